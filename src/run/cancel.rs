//! One token from SIGINT, SIGTERM, SIGHUP and the docker CLI's plugin socket: the first asks the run to
//! stop, the second leaves at once.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// How often cancelling was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    Never,
    /// Stop watching, tell what is live.
    Once,
    /// Leave now.
    Again,
}

/// Where a wish to stop came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// SIGINT, SIGTERM or SIGHUP.
    Signal,
    /// The docker CLI closed the plugin socket.
    DockerSocket,
}

/// One Ctrl-C in `docker ecsship … | tee` reaches a plugin twice, as SIGINT and as the end of the
/// socket: within this time the two are one.
const ONE_WISH: Duration = Duration::from_secs(1);

/// The end that asks.
#[derive(Debug, Clone)]
pub struct Canceller {
    asked: watch::Sender<Asked>,
    last: Arc<Mutex<Option<(Instant, Source)>>>,
}

/// The end that hears.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<Asked>);

/// A token that nothing has asked for yet.
#[must_use]
pub fn token() -> (Canceller, Cancel) {
    let (asked, heard) = watch::channel(Asked::Never);
    (Canceller { asked, last: Arc::default() }, Cancel(heard))
}

impl Canceller {
    pub fn ask(&self, source: Source) {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|(then, from)| from != source && now.duration_since(then) < ONE_WISH) {
            return;
        }
        *last = Some((now, source));
        self.asked.send_modify(|asked| {
            *asked = match *asked {
                Asked::Never => Asked::Once,
                Asked::Once | Asked::Again => Asked::Again,
            };
        });
    }

    /// Listens to the signals of this process until it ends. Must be called inside a tokio runtime.
    #[cfg(unix)]
    pub fn hear_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let mut signals = signal(kind)?;
            let canceller = self.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    canceller.ask(Source::Signal);
                }
            });
        }
        Ok(())
    }

    /// Listens to Ctrl-C until the process ends. Must be called inside a tokio runtime.
    #[cfg(not(unix))]
    pub fn hear_signals(&self) -> std::io::Result<()> {
        let canceller = self.clone();
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                canceller.ask(Source::Signal);
            }
        });
        Ok(())
    }
}

impl Cancel {
    #[must_use]
    pub fn asked(&self) -> Asked {
        *self.0.borrow()
    }

    /// Waits until cancelling was asked for at least once.
    pub async fn once(&self) {
        self.at_least(Asked::Once).await;
    }

    /// Waits until cancelling was asked for twice.
    pub async fn again(&self) {
        self.at_least(Asked::Again).await;
    }

    async fn at_least(&self, least: Asked) {
        let mut heard = self.0.clone();
        if heard.wait_for(|asked| *asked >= least).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Duration, Source, token};

    #[tokio::test(start_paused = true)]
    async fn a_signal_and_the_end_of_the_socket_are_one_wish_and_two_signals_are_two() {
        let (canceller, cancel) = token();
        assert_eq!(cancel.asked(), Asked::Never);
        canceller.ask(Source::DockerSocket);
        canceller.ask(Source::Signal);
        assert_eq!(cancel.asked(), Asked::Once);
        cancel.once().await;

        tokio::time::advance(Duration::from_secs(2)).await;
        canceller.ask(Source::Signal);
        assert_eq!(cancel.asked(), Asked::Again);
        cancel.again().await;

        let (canceller, cancel) = token();
        canceller.ask(Source::Signal);
        canceller.ask(Source::Signal);
        assert_eq!(cancel.asked(), Asked::Again);
    }
}
