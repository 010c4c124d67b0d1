//! `docker ecs-ship`: from source to a draining, zero-downtime rollout on Amazon ECS.

pub mod aws;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod docker;
pub mod env;
pub mod event;
pub mod exit;
pub mod failure;
pub mod git;
pub mod id;
pub mod image;
pub mod observe;
pub mod plan;
pub mod plugin;
pub mod report;
pub mod rollout;
pub mod run;
pub mod sandbox;
pub mod secret;
