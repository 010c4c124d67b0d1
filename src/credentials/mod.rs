//! Registry credentials: [`tokens`] keeps what AWS gave for this run, [`docker_config`] finds what the
//! user's own Docker configuration has for every other registry.

pub mod docker_config;
pub mod tokens;

pub use docker_config::{DockerConfig, DockerConfigError, RegistryAuth};
pub use tokens::{Granted, Tokens};
