//! End to end, with a real engine: the program builds, pushes and rolls out real containers behind the
//! sandbox's balancer. Each test is one obligation; its checks look at state, not at wording.

mod rollout;
mod scenario;
