//! Doing: walks a plan ([`runner`]), watches rollouts ([`watch`]), hears cancellation ([`cancel`]), and
//! knows what is live at the end ([`outcome`]). [`task`] follows one task, [`logs`] reads what several write, [`session`]
//! goes into one.

pub mod act;
pub mod cancel;
pub mod check;
pub mod error;
pub mod guests;
pub mod login;
pub mod logs;
pub mod others;
pub mod outcome;
mod release;
pub mod runner;
pub mod session;
pub mod task;
pub mod teller;
pub mod watch;

#[cfg(test)]
mod tests;
