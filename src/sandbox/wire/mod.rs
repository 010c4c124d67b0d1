//! The sandbox's HTTP face.

pub mod auth;
pub mod query;
pub mod registry;
