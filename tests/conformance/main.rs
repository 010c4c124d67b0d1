//! The sandbox through AWS's own SDK for Rust: every operation it emulates, with its refusals and its pages, on paper.
//!
//! A sandbox that only our own code speaks to would share our mistakes. botocore, which is under the AWS CLI, judges it too;
//! and what the CLI makes of it with real containers is tried by `tests/aws-cli.sh`.

#![expect(clippy::unwrap_used, reason = "where a test cannot go on, it has failed")]

mod botocore;
mod clients;
mod cloudwatch;
mod ec2;
mod ecr;
mod ecs;
mod elb;
mod logs;
mod operations;
mod registry;
mod secretsmanager;
mod ssm;
mod sts;
mod texts;
mod wire;
