//! Planning, pure and synchronous: [`observed`] is the world as read once, `make` turns it and the
//! `Spec` into a [`step::Plan`] or a refusal, `settle` fills in what is only known later. [`pick_up`] and
//! [`rollback`] plan from what a service runs and has been through, [`promote`] says what of one environment may go to another.

pub mod diff;
pub mod drift;
pub mod make;
pub mod observed;
pub mod outlook;
mod overlay;
pub mod pick_up;
pub mod preflight;
pub mod promote;
pub mod refusal;
pub mod rollback;
pub mod settle;
pub mod standing;
pub mod step;
#[cfg(test)]
pub(crate) mod testing;
