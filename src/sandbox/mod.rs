//! The sandbox: an embedded stand-in for ECR, ECS, ELBv2, CloudWatch Logs and STS on loopback.

pub mod clock;
pub mod wire;
pub mod world;
