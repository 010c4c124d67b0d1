//! The Docker plugin protocol: which face a file name asks for ([`face`]), docker's own flags before
//! the name ([`globals`]), what was called ([`call`]), [`metadata`], shell completion ([`complete`]),
//! the `docker` [`shim`], the socket that tells when docker has gone ([`signals`]), and
//! [`install`]ing all of it.

pub mod call;
pub mod complete;
pub mod face;
pub mod globals;
pub mod helped;
pub mod install;
pub mod metadata;
pub mod shim;
pub mod signals;
