//! The rollout as a state machine, pure and without a clock: it is told what was seen and when, and
//! answers when to look again or how it ended.
//!
//! [`machine`] decides; `tasks` and `services` remember what was seen, [`schedule`] says when to
//! look next, [`budget`] how long to wait, [`reason`] why a task ended.

pub mod budget;
pub mod goal;
pub mod machine;
pub mod past;
pub mod reason;
pub mod schedule;
mod services;
mod tasks;
pub mod view;
mod wait;
