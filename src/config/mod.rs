//! `ship.toml`: as written ([`mod@file`]), as meant ([`spec`]), and the way from one to the other
//! ([`resolve`](mod@resolve)), which is the only place where precedence is decided. Mistakes are collected, all of
//! them, as [`error::ConfigError`].

pub mod draft;
pub mod duration;
pub mod environment_file;
pub mod error;
pub mod file;
mod read;
pub mod resolve;
pub mod schema;
pub mod secrets;
pub mod settings;
pub mod show;
pub mod sources;
pub mod spec;
mod syntax;
pub mod variables;

pub use file::{Names, names};

#[cfg(test)]
mod corpus;
