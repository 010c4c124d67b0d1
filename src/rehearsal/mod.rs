//! A rehearsal: the live image and then the new one as a real rollout in a sandbox of its own, under
//! load, and what is to be learned from it.
//!
//! Nothing is deployed here in another way than `deploy` does it: [`stage`] turns the plan's inputs into
//! those of a private sandbox, [`production`] says how the service is really set up, [`findings`] judges
//! what the sandbox's witness and load saw, and [`report`] tells it.

pub mod baseline;
pub mod definition;
pub mod findings;
pub mod image;
pub mod production;
pub mod report;
pub mod stage;
pub mod tap;

use std::{io, path::PathBuf};

use crate::{aws::AwsError, docker::DockerError, id::Key};

/// Why there is no rehearsal.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    #[error("which service? One is rehearsed at a time, and there are {}", list(known))]
    ChooseService { known: Vec<Key> },
    #[error("{service} has no load balancer, so there is nothing to put load on")]
    NoLoadBalancer { service: Key },
    #[error("the containers of {service} need secrets that only AWS has: {}", names.join(", "))]
    Secrets { service: Key, names: Vec<String> },
    #[error("the image to start from, {image}, is not on this engine and cannot be pulled")]
    NoImage {
        image: String,
        #[source]
        source: Option<Box<DockerError>>,
    },
    #[error("the login to pull {image} could not be had")]
    NoLogin {
        image: String,
        #[source]
        source: Box<AwsError>,
    },
    #[error("revision {revision} cannot be looked up: the live service could not be read")]
    NoRevision { revision: String },
    #[error("revision {revision} cannot be looked up")]
    Lookup {
        revision: String,
        #[source]
        source: Box<AwsError>,
    },
    #[error("revision {revision} has no container `{container}`")]
    NoContainer { revision: String, container: String },
    #[error("cannot use the folder {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the balancer of the rehearsal has no address")]
    NoAddress,
}

fn list(keys: &[Key]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl RehearsalError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::ChooseService { known } => {
                let first = known.first().map(ToString::to_string).unwrap_or_default();
                format!("name it: `docker-ecs-ship rehearse {first}`")
            }
            Self::NoLoadBalancer { .. } => {
                "a rehearsal counts lost requests; a service that takes its work from a queue has none to lose"
                    .to_owned()
            }
            Self::Secrets { service, names } => {
                let example = names.first().map_or("NAME", String::as_str);
                format!(
                    "give them values that let the program start, in ship.toml:\n[services.{service}.sandbox.environment]\n\
                     {example} = \"…\""
                )
            }
            Self::NoImage { image, .. } => {
                format!("`docker pull {image}` it, or name another image or revision with --from")
            }
            Self::NoLogin { .. } | Self::NoRevision { .. } | Self::Lookup { .. } => {
                "sign in to AWS, or name an image that is on this engine with --from".to_owned()
            }
            Self::NoContainer { .. } => "name another revision with --from".to_owned(),
            Self::Folder { path, .. } => {
                format!("see whether you may write {} and whether the disk is full", path.display())
            }
            Self::NoAddress => "something took its port; run the same command again".to_owned(),
        }
    }

    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ChooseService { .. } => "rehearsal::choose_service",
            Self::NoLoadBalancer { .. } => "rehearsal::no_load_balancer",
            Self::Secrets { .. } => "rehearsal::secrets",
            Self::NoImage { .. } => "rehearsal::no_image",
            Self::NoLogin { .. } => "rehearsal::no_login",
            Self::NoRevision { .. } => "rehearsal::no_revision",
            Self::Lookup { .. } => "rehearsal::lookup",
            Self::NoContainer { .. } => "rehearsal::no_container",
            Self::Folder { .. } => "rehearsal::folder",
            Self::NoAddress => "rehearsal::no_address",
        }
    }
}
