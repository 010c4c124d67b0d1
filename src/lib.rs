//! `docker ecs-ship`: from source to a draining, zero-downtime rollout on Amazon ECS.
//!
//! # Floors
//!
//! A module imports only from floors below its own; `tests/floors.rs` says no, with the path.
//!
//! | floor | modules | |
//! |---|---|---|
//! | 0 words | [`id`] [`image`] [`secret`] [`env`] [`event`] [`exit`] [`prose`] | pure, import nothing of ours |
//! | 1 thought | [`config`] [`plan`] [`rollout`] | pure and synchronous; time is an argument |
//! | 2 hands | [`aws`] [`docker`] [`credentials`] [`git`] | one outside system each |
//! | 3 doing | [`observe`] [`run`] | reads once, walks the plan, watches |
//! | 4 faces | [`report`] | see events and nothing else |
//! | 5 the door | [`cli`] [`plugin`] [`failure`] [`rehearsal`] | arguments, Docker's plugin protocol, how a failure is told, rehearsals |
//! | beside | [`sandbox`] | ECR, ECS, ELB, Logs, SSM, Secrets Manager and STS on loopback; shares no type with the rest |
//!
//! # The path of a deploy
//!
//! `ship.toml`, flags and environment become a [`config::spec::Spec`]; [`observe`] reads the world once into a
//! [`plan::observed::Observed`]; from the two a pure function makes a [`plan::step::Plan`], which `plan` prints and `deploy`
//! walks ([`run`]), telling [`event`]s that [`report`] draws. A rollout is watched by a state machine in [`rollout`] that has
//! no clock and no network. Whatever happens, the run ends with what is live and a number from [`exit`].
//!
//! `docs/design/architecture.md` tells the same at more length, `docs/decisions` says why.
//!
//! # Files the program touches
//!
//! Reads `ship.toml`, the build context, task definition files, Docker's and AWS's own configuration. Writes the file of
//! `--record`, what `install` lists in its manifest, the sandbox's state folder and, while buildx builds, a folder that
//! nobody else can read. Nothing else.

pub mod aws;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod docker;
pub mod env;
pub mod event;
pub mod exit;
pub mod failure;
#[cfg(test)]
mod fuzzed;
pub mod git;
pub mod id;
pub mod image;
pub mod observe;
pub mod plan;
pub mod plugin;
pub mod prose;
pub mod rehearsal;
pub mod report;
pub mod rollout;
pub mod run;
pub mod sandbox;
pub mod secret;
