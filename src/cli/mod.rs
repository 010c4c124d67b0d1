//! The command line: what was typed ([`args`]), what the process was found in ([`surroundings`]), and
//! one file per verb. [`main`] finds out which face was asked for and hands over.

pub(crate) mod adopt;
pub mod args;
pub mod completion;
mod config;
pub mod credential_helper;
mod credentials;
pub mod deploy;
mod dispatch;
pub mod door;
pub mod exec;
pub mod help;
pub mod history;
pub mod init;
pub mod install;
pub mod login;
pub mod logout;
pub mod logs;
mod outlook;
pub mod output;
mod page;
pub mod plan;
mod prepare;
pub mod reference;
pub mod rehearse;
pub mod replay;
pub mod rollback;
pub mod run_task;
pub mod sandbox;
mod sessions;
mod show;
mod standing;
pub mod status;
pub mod stop_deployment;
pub mod surroundings;
mod table;
pub mod tasks;
pub mod usage;
pub mod version;
mod walk;
pub mod watch;

pub use dispatch::main;
pub use door::Door;
