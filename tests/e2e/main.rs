//! End to end, with a real engine: the program builds, pushes and rolls out real containers behind the
//! sandbox's balancer. Each test is one obligation; its checks look at state, not at wording.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test that drives the program from outside has a clock and an environment of its own"
)]

mod aws_cli;
mod image;
mod killed;
mod login;
mod promote;
mod rehearse;
mod rollout;
mod scenario;
mod verbs;
