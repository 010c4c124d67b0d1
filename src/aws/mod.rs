//! AWS: [`connect`] makes the clients, once; [`copy`] brings an image from one repository to another; [`ecs`], [`deployments`], [`ecr`], [`ecr_public`], [`elb`], [`logs`], [`tasks`] and [`sts`] each ask
//! or change one thing and answer in our own words; [`error`] turns every failure into one type and
//! [`hints`] says what to do about it. [`principal`] knows who asks without asking anybody, [`assume`] takes on a role,
//! whose [`session`] may be kept.

mod allowance;
pub mod assume;
mod batch;
mod call;
pub mod connect;
pub mod copy;
pub mod deployments;
pub mod ecr;
pub mod ecr_public;
pub mod ecs;
pub mod elb;
pub mod error;
pub mod hints;
pub mod logs;
pub mod principal;
#[cfg(test)]
pub(crate) mod recorded;
pub mod session;
pub mod sts;
pub mod tasks;

pub use assume::AskMfa;
pub use connect::{Aws, Endpoint, Identity, Role, Variables, connect};
pub use error::{AwsError, Kind};
pub use session::{KeepSessions, RoleSession, SessionKey, Sessions};
