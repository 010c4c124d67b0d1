//! How long a push may stand still. The engine waits without an end for a registry that has stopped to read or to answer,
//! and so would everybody who waits for the engine.

use std::time::Duration;

use tokio::{sync::mpsc::Sender, time::Instant};

use super::PushStream;
use crate::{
    docker::{
        error::{DockerError, PushCause, PushFailure},
        tell,
    },
    event::{LayerState, Progress},
    image::Reference,
};

/// How long nothing may change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Before a word about it.
    pub(super) word: Duration,
    /// Before the push is given up.
    pub(super) end: Duration,
    /// The same while the engine has not begun to send anything.
    pub(super) begin: Duration,
}

impl Patience {
    /// Whatever is sent moves more often than this, on thin lines too. An engine that has told of its layers and sends none
    /// of them may still be at work itself, on a slow disk or behind another push: it gets more.
    pub(super) const USUAL: Self =
        Self { word: Duration::from_mins(1), end: Duration::from_mins(5), begin: Duration::from_mins(15) };
}

/// Since when nothing has changed.
#[derive(Debug)]
pub(super) struct Silence {
    patience: Patience,
    since: Instant,
    word: Word,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Due,
    Said,
}

impl Silence {
    pub(super) fn of(patience: Patience) -> Self {
        Self { patience, since: Instant::now(), word: Word::Due }
    }

    pub(super) fn broken(&mut self) {
        self.since = Instant::now();
        self.word = Word::Due;
    }

    /// Says a word, or gives up.
    pub(super) async fn look(
        &mut self,
        stream: &PushStream,
        reference: &Reference,
        updates: &Sender<Progress>,
    ) -> Result<(), DockerError> {
        let passed = self.since.elapsed();
        let limit = self.patience.limit(stream);
        if passed >= limit {
            let message = format!("{} has not answered for {}", reference.name.registry, words(limit));
            let reference = reference.to_string();
            return Err(DockerError::Push(Box::new(PushFailure { reference, message, cause: PushCause::Stalled })));
        }
        if passed >= self.patience.word && self.word == Word::Due {
            self.word = Word::Said;
            let message = format!(
                "{} has not answered for {}; the push is given up after {}",
                reference.name.registry,
                words(self.patience.word),
                words(limit)
            );
            tell(updates, Progress::Warning { message }).await;
        }
        Ok(())
    }
}

impl Patience {
    fn limit(self, stream: &PushStream) -> Duration {
        let any = |wanted: &[LayerState]| stream.layers.iter().any(|layer| wanted.contains(&layer.state));
        let at_work = any(&[LayerState::Preparing, LayerState::Waiting]) && !any(&[LayerState::Pushing]);
        if at_work { self.begin } else { self.end }
    }
}

fn words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 120.. if seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::docker::push::Moved;

    fn layer(status: &str, current: u64) -> serde_json::Value {
        json!({ "status": status, "progressDetail": { "current": current, "total": 10 }, "id": "aaaaaaaaaaaa" })
    }

    #[test]
    fn an_engine_that_repeats_itself_does_not_move() {
        let mut stream = PushStream::default();
        let mut moves = |status: &str, current| {
            stream.moved = Moved::No;
            stream.apply(&layer(status, current)).unwrap();
            stream.moved
        };
        assert_eq!(moves("Waiting", 0), Moved::Yes);
        assert_eq!(moves("Waiting", 0), Moved::No);
        assert_eq!(moves("Pushing", 0), Moved::Yes);
        assert_eq!(moves("Pushing", 4), Moved::Yes);
        assert_eq!(moves("Pushing", 4), Moved::No);
        assert_eq!(moves("Pushed", 10), Moved::Yes);
    }

    #[test]
    fn what_sends_nothing_yet_gets_more_time() {
        let limit = |status: &str| {
            let mut stream = PushStream::default();
            if !status.is_empty() {
                stream.apply(&layer(status, 0)).unwrap();
            }
            words(Patience::USUAL.limit(&stream))
        };
        assert_eq!(
            ["", "Preparing", "Waiting", "Pushing", "Pushed"].map(limit),
            ["5 minutes", "15 minutes", "15 minutes", "5 minutes", "5 minutes"]
        );
    }

    /// Time stands still but for what the test lets pass.
    #[tokio::test(start_paused = true)]
    async fn a_word_after_a_minute_and_the_end_after_five() {
        let reference = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/jobs/api:v1".parse().unwrap();
        let (updates, mut told) = tokio::sync::mpsc::channel(8);
        let mut silence = Silence::of(Patience::USUAL);
        let stream = PushStream::default();
        for _ in 0..2 {
            tokio::time::advance(Duration::from_secs(59)).await;
            silence.look(&stream, &reference, &updates).await.unwrap();
            silence.broken();
        }
        assert!(told.try_recv().is_err(), "what moves is not told about");
        for _ in 0..4 {
            tokio::time::advance(Duration::from_mins(1)).await;
            silence.look(&stream, &reference, &updates).await.unwrap();
        }
        let Some(Progress::Warning { message }) = told.recv().await else { panic!("a word") };
        insta::assert_snapshot!(message, @"111111111111.dkr.ecr.eu-west-1.amazonaws.com has not answered for 60 s; the push is given up after 5 minutes");
        assert!(told.try_recv().is_err(), "once");
        tokio::time::advance(Duration::from_mins(1)).await;
        let error = silence.look(&stream, &reference, &updates).await.unwrap_err();
        insta::assert_snapshot!(error.remedy(), @"run it again: layers that have arrived are not sent twice. If it stops there again, look at what is between the engine and the registry (a proxy, a VPN, an MTU that is too large, a VPC endpoint), and at `docker push` of the same name");
        assert!(matches!(error, DockerError::Push(failure) if failure.cause == PushCause::Stalled));
    }
}
