//! `ship.toml`: as written ([`file`]), as meant ([`spec`]), and the way from one to the other
//! ([`resolve`]), which is the only place where precedence is decided. Mistakes are collected, all of
//! them, as [`error::ConfigError`].

pub mod spec;
