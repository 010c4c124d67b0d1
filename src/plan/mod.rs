//! Planning, pure and synchronous: [`observed`] is the world as read once, `make` turns it and the
//! `Spec` into a [`step::Plan`] or a refusal, `settle` fills in what is only known later.

pub mod diff;
pub mod make;
pub mod observed;
pub mod refusal;
pub mod settle;
pub mod step;
