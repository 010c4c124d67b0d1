//! The rollout as a state machine, pure and without a clock: it is told what was seen and when, and
//! answers when to look again or how it ended.

pub mod goal;
pub mod view;
