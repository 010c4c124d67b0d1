//! Doing: walks a plan ([`runner`]), watches rollouts ([`watch`]), hears cancellation ([`cancel`]), and
//! knows what is live at the end ([`outcome`]).

pub mod act;
pub mod cancel;
pub mod error;
pub mod login;
pub mod others;
pub mod outcome;
mod release;
pub mod runner;
pub mod teller;
pub mod watch;

#[cfg(test)]
mod tests;
