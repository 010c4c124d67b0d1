//! Checks on the engine of this machine, or of `DOCKER_HOST`.

use std::{future::pending, time::Duration};

use bollard::query_parameters::ListContainersOptionsBuilder;
use tokio::sync::mpsc;

use super::*;
use crate::{
    config::spec::Builder,
    docker::{
        build::{Lent, build},
        testing::{Source, Then, engine, program, reference, remove as remove_image, told, unique},
    },
    image::Reference,
};

/// Long enough for a busy machine.
const LIMIT: Duration = Duration::from_mins(2);

/// An image with one program of each kind.
struct Built {
    engine: Engine,
    id: Digest,
    tag: Reference,
    /// Its name, by which its containers are found.
    key: Key,
}

async fn built() -> Built {
    let engine = engine().await;
    let source = Source::new(
        "FROM scratch\nCOPY good bad waits /\nCMD [\"/bad\"]\n",
        &[
            ("good", program("all is well\n", Then::Exit(0))),
            ("bad", program("one\ntwo", Then::Exit(3))),
            ("waits", program("waiting\n", Then::Hang)),
        ],
    );
    let tag = reference("127.0.0.1:1", "jobs/api", &unique("checked"));
    let action = source.action(Builder::Auto, std::slice::from_ref(&tag));
    let (built, _) =
        told(async |updates: &mpsc::Sender<Progress>| build(&engine, &action, &Lent::default(), updates).await).await;
    let id = built.unwrap().image_id.unwrap();
    Built { engine, id, tag, key: Key::new(unique("image")) }
}

impl Built {
    async fn check(&self, command: &str, limit: Duration, stop: impl Future<Output = ()>) -> (Checked, Vec<Progress>) {
        let run = CheckRun { command: vec![command.to_owned()], platform: None, memory_mib: Some(64) };
        let (checked, progress) = told(async |updates: &mpsc::Sender<Progress>| {
            super::run(&self.engine, &self.key, &self.id, &run, limit, updates, stop).await
        })
        .await;
        (checked.unwrap(), progress)
    }

    async fn containers(&self) -> usize {
        let filters = HashMap::from([("label", vec![format!("{LABEL}={}", self.key)])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        self.engine.docker().list_containers(Some(options)).await.unwrap().len()
    }

    async fn leaves_nothing(&self) {
        let gone = async {
            let mut again = tokio::time::interval(Duration::from_millis(50));
            while self.containers().await > 0 {
                again.tick().await;
            }
        };
        tokio::time::timeout(LIMIT, gone).await.expect("the container is taken away");
    }

    async fn end(self) {
        self.leaves_nothing().await;
        remove_image(&self.engine, &self.tag).await;
    }
}

fn states(progress: &[Progress]) -> Vec<VertexState> {
    let state = |progress: &Progress| match progress {
        Progress::Vertex(vertex) => Some(vertex.state),
        _ => None,
    };
    progress.iter().filter_map(state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_its_lines_and_how_it_ended() {
    let image = built().await;
    let (checked, progress) = image.check("/good", LIMIT, pending()).await;
    assert_eq!(checked, Checked { ending: Ending::Exited { code: 0 }, log: vec!["all is well".to_owned()] });
    assert_eq!(states(&progress), [VertexState::Started, VertexState::Done]);
    let said = Progress::BuildLog { vertex: VERTEX.to_owned(), line: "all is well".to_owned() };
    assert!(progress.contains(&said), "{progress:?}");

    let (checked, progress) = image.check("/bad", LIMIT, pending()).await;
    assert_eq!(checked.ending, Ending::Exited { code: 3 });
    assert_eq!(checked.log, ["one", "two"]);
    assert_eq!(states(&progress), [VertexState::Started, VertexState::Failed]);
    image.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_is_told_in_the_engines_words() {
    let image = built().await;
    let (checked, progress) = image.check("/nowhere", LIMIT, pending()).await;
    assert!(matches!(&checked.ending, Ending::NotStarted { why } if why.contains("/nowhere")), "{checked:?}");
    assert_eq!(states(&progress), [VertexState::Failed]);
    image.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_too_long_is_killed() {
    let image = built().await;
    let (checked, _) = image.check("/waits", Duration::from_secs(2), pending()).await;
    assert_eq!(checked.ending, Ending::TimedOut);
    assert_eq!(checked.log, ["waiting"]);
    image.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_stop_takes_the_container_away() {
    let image = built().await;
    let (stop, asked) = tokio::sync::oneshot::channel::<()>();
    let watching = async {
        let mut again = tokio::time::interval(Duration::from_millis(50));
        while image.containers().await == 0 {
            again.tick().await;
        }
        stop.send(()).expect("it is still going");
    };
    let checking = image.check("/waits", LIMIT, async { drop(asked.await) });
    let ((checked, _), ()) = tokio::join!(checking, watching);
    assert_eq!(checked.ending, Ending::Stopped);
    image.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_left_in_the_middle_takes_its_container_along() {
    let image = built().await;
    let checking = tokio::time::timeout(Duration::from_secs(2), image.check("/waits", LIMIT, pending())).await;
    assert!(checking.is_err(), "{checking:?}");
    // Not by and by: the program may be gone in the next moment.
    assert_eq!(image.containers().await, 0);
    image.end().await;
}
