//! AWS: [`connect`] makes the clients, once; [`ecs`], [`deployments`], [`ecr`], [`elb`], [`logs`] and [`sts`] each ask
//! or change one thing and answer in our own words; [`error`] turns every failure into one type and
//! [`hints`] says what to do about it.

mod allowance;
mod batch;
mod call;
pub mod connect;
pub mod deployments;
pub mod ecr;
pub mod ecs;
pub mod elb;
pub mod error;
pub mod hints;
pub mod logs;
#[cfg(test)]
pub(crate) mod recorded;
pub mod sts;

pub use connect::{Aws, Endpoint, Identity, Variables, connect};
pub use error::{AwsError, Kind};
