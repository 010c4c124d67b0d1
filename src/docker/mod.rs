//! The Docker engine: where it is, what it can do, building and pushing.
//!
//! [`endpoint`] finds the engine as docker itself does and dials it; [`engine`] speaks the API over
//! that dial; [`build`](mod@build) and [`push`](mod@push) do the work and tell their progress on a
//! channel, not knowing who listens.

pub mod build;
pub mod check;
pub mod context;
pub mod dockerfile;
pub mod endpoint;
pub mod engine;
pub mod error;
pub mod ignore;
pub mod images;
pub(crate) mod lines;
mod output;
pub mod push;
pub mod rawjson;
pub mod registry;
#[cfg(test)]
pub(crate) mod testing;

use tokio::sync::mpsc::Sender;

pub use self::{
    build::{
        BuilderUsed, Built, Chosen, Lent, build,
        inputs::{BuildInputs, BuildVariables},
    },
    endpoint::{DockerFlags, Endpoint, EndpointInputs},
    engine::{Engine, EngineDescription, ImageStore},
    error::DockerError,
    push::push,
    registry::{RegistryAuth, RegistryCredentials},
};
use crate::event::Progress;

/// Tells one piece of progress: waits for room with what must not be lost, drops the rest when the
/// channel is full. A closed channel is no reason to stop a build, so it is not an error either.
pub(crate) async fn tell(updates: &Sender<Progress>, progress: Progress) {
    if progress.is_droppable() {
        drop(updates.try_send(progress));
    } else {
        drop(updates.send(progress).await);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::tell;
    use crate::event::Progress;

    #[tokio::test]
    async fn a_full_channel_drops_only_what_may_be_dropped() {
        let (sender, mut receiver) = mpsc::channel(1);
        tell(&sender, Progress::Context { sent: 1 }).await;
        tell(&sender, Progress::Context { sent: 2 }).await;
        let kept = tokio::spawn(async move {
            tell(&sender, Progress::BuildWarning { message: "kept".to_owned() }).await;
        });
        assert_eq!(receiver.recv().await, Some(Progress::Context { sent: 1 }));
        assert_eq!(receiver.recv().await, Some(Progress::BuildWarning { message: "kept".to_owned() }));
        assert_eq!(receiver.recv().await, None);
        kept.await.unwrap();
    }
}
