//! Registry credentials. ECR's: [`tokens`] of this process over the [`cache`] of all, in a [`folder`] that
//! is ours alone, encrypted with the key of a [`store`], be it the keyring of a desktop [`session`]. Those of every other registry: [`docker_config`]
//! finds what the user's own Docker configuration has, and [`docker_file`] changes it where that is asked for:
//! a login handed to docker ([`docker_login`], remembered by [`handed`]).

pub mod cache;
pub mod docker_config;
pub mod docker_file;
pub mod docker_login;
mod folder;
pub mod handed;
#[cfg(target_os = "linux")]
mod secret_service;
pub mod session;
pub mod store;
pub mod tokens;

pub use cache::{About, Cache, Entry, Login, Scope, TokenKey};
pub use docker_config::{DockerConfig, DockerConfigError, RegistryAuth};
pub use docker_file::{DockerFile, DockerFileError};
pub use docker_login::DockerLoginError;
pub use session::DesktopSession;
pub use store::{Choice, Kind};
pub use tokens::{Had, How, Tokens, Want};
