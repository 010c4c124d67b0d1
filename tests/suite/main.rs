//! The binary as a user meets it: its four faces, its streams and its exit codes, in a home of its own.

mod bad_input;
mod base_images;
mod completion;
mod config;
mod credential_helper;
#[cfg(target_os = "linux")]
mod desktop;
mod environment;
mod event_page;
mod generated;
mod identities;
mod init;
mod keyrings;
mod killed;
mod leaks;
mod left_behind;
#[cfg(target_os = "linux")]
mod listening;
mod login;
mod paper;
mod permissions;
mod plan;
mod plugin;
mod preflight;
mod promote;
mod scenario;
#[cfg(target_os = "linux")]
mod secret_service;
mod shim;
mod stand_in;
mod standalone;
mod status;
mod verbs;
