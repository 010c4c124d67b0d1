//! A sandbox in the background: started, found again and stopped through its state folder.
//!
//! The run file in the folder says who runs there. It is only ever believed after the process it names has
//! answered for itself: a stale file, or a process id that has been given to somebody else, is noticed.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process, setsid, test_kill_process};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

use super::world::Millis;
use super::{Handle, Sandbox, Settings, StartError, state};

const RUN_FILE: &str = "sandbox.json";
const UP_LOCK: &str = "up.lock";

/// How long a sandbox may take to answer once its process runs: it may have containers to see to first.
const STARTING: Duration = Duration::from_mins(1);

/// How long it may take to end: requests under way are finished and containers removed. Each container that goes gives it
/// as much time again.
const STOPPING: Duration = Duration::from_mins(1);

/// How often the containers that are left are counted.
const COUNT: Duration = Duration::from_millis(500);

/// How long a process that is there may take to say who it is.
const ANSWERING: Duration = Duration::from_secs(3);

const LOOK: Duration = Duration::from_millis(50);

/// How much of the log tells why it did not start.
const LAST_LINES: usize = 20;

pub use super::tasks::Substance;

/// A sandbox that has answered for itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// The identity all its containers are labelled with.
    pub sandbox: String,
    pub pid: u32,
    /// `http://127.0.0.1:4517`
    pub endpoint: String,
    /// `127.0.0.1:4517`
    pub registry: String,
    pub speed: f64,
    #[serde(default)]
    pub tasks: Substance,
    /// When it was started, in milliseconds since the epoch.
    pub started: Millis,
}

#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("cannot use the state folder {folder}")]
    Folder { folder: PathBuf, source: io::Error },
    #[error("cannot write to the log {log}")]
    Log { log: PathBuf, source: io::Error },
    #[error("cannot start {exe}")]
    Spawn { exe: PathBuf, source: io::Error },
    #[error("the sandbox ended before it answered; its last words:\n{last_lines}")]
    Ended { last_lines: String },
    #[error("the sandbox did not answer within {} s; its last words:\n{last_lines}", STARTING.as_secs())]
    Silent { last_lines: String },
    #[error("cannot signal the sandbox (process {pid})")]
    Signal { pid: u32, source: io::Error },
    #[error("the sandbox (process {pid}) did not end within {} s{}", STOPPING.as_secs(), and_left(*left))]
    Stubborn { pid: u32, left: Option<usize> },
    #[error("the sandbox has ended, and {}", left_words(*left))]
    Left { sandbox: String, left: Option<usize> },
    #[error("a sandbox runs that does not answer")]
    Mute { lock: PathBuf },
    #[error("cannot listen for signals")]
    Signals { source: io::Error },
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Whether `spawn` found one or made one.
#[derive(Debug, Clone, PartialEq)]
pub enum Spawned {
    Fresh(Running),
    Already(Running),
}

/// The sandbox on this state folder, if one answers.
pub async fn running(folder: &Path) -> Option<Running> {
    let noted: Running = serde_json::from_slice(&fs::read(folder.join(RUN_FILE)).ok()?).ok()?;
    let answered = tokio::time::timeout(ANSWERING, ask(&noted.registry)).await.ok()??;
    (answered.pid == noted.pid && answered.sandbox == noted.sandbox).then_some(answered)
}

/// Asks who listens there.
async fn ask(authority: &str) -> Option<Running> {
    let address: SocketAddr = authority.parse().ok()?;
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/_sandbox/health").header(header::HOST, authority).body(Empty::<Bytes>::new()).ok()?;
    let response = sender.send_request(request).await.ok()?;
    // Whoever else may listen there could answer with anything.
    let body = Limited::new(response.into_body(), 64 * 1024).collect().await.ok()?.to_bytes();
    connection.abort();
    serde_json::from_slice(&body).ok()
}

/// Starts `exe args…` in the background, and waits until the sandbox on this folder answers. That program is to call
/// [`serve`]. Where one answers already it is given back; two calls at once start one.
pub async fn spawn(exe: &Path, args: &[String], folder: &Path, log: &Path) -> Result<Spawned, DaemonError> {
    let failed = |source| DaemonError::Folder { folder: folder.to_owned(), source };
    state::create(folder).map_err(failed)?;
    let gate = state::lock_file(folder, UP_LOCK).map_err(failed)?;
    // Whoever holds it is waiting for the sandbox it has started: so does this call, and then finds it.
    let _held = tokio::task::spawn_blocking(move || gate.lock().map(|()| gate))
        .await
        .map_err(|source| failed(io::Error::other(source)))?
        .map_err(failed)?;
    if let Some(running) = running(folder).await {
        return Ok(Spawned::Already(running));
    }
    let log_failed = |source| DaemonError::Log { log: log.to_owned(), source };
    let written = state::log_file(log).map_err(log_failed)?;
    let begin = written.metadata().map_err(log_failed)?.len();
    let copy = written.try_clone().map_err(log_failed)?;
    let mut child = tokio::process::Command::new(exe)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::from(written))
        .stderr(Stdio::from(copy))
        .spawn()
        .map_err(|source| DaemonError::Spawn { exe: exe.to_owned(), source })?;
    let mut look = tokio::time::interval(LOOK);
    let answered = tokio::time::timeout(STARTING, async {
        loop {
            look.tick().await;
            if let Some(running) = running(folder).await {
                return Some(running);
            }
            if !matches!(child.try_wait(), Ok(None)) {
                return None;
            }
        }
    })
    .await;
    match answered {
        Ok(Some(running)) => Ok(Spawned::Fresh(running)),
        Ok(None) => Err(DaemonError::Ended { last_lines: last_lines(log, begin) }),
        Err(_) => {
            // It is ours and has said nothing: better gone than found later by nobody.
            let _gone = child.kill().await;
            Err(DaemonError::Silent { last_lines: last_lines(log, begin) })
        }
    }
}

/// What was written to the log since `begin`, at most its last lines.
fn last_lines(log: &Path, begin: u64) -> String {
    let all = fs::read(log).unwrap_or_default();
    let new = all.get(usize::try_from(begin).unwrap_or(0)..).unwrap_or_default();
    let text = String::from_utf8_lossy(new);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

fn and_left(left: Option<usize>) -> String {
    left.map(|count| format!("; {count} of its containers are left")).unwrap_or_default()
}

fn left_words(left: Option<usize>) -> String {
    match left {
        Some(count) => format!("{count} of its containers are left: the engine has not removed them"),
        None => "whether any of its containers are left is not known: the engine does not answer".to_owned(),
    }
}

/// Ends the sandbox on this folder, and waits until it has gone with everything it started. Gives back what ran; `told` is
/// how many containers the engine still has, whenever that changes. Without an engine nobody looks.
pub async fn stop(
    folder: &Path,
    docker: Option<&bollard::Docker>,
    mut told: impl FnMut(usize),
) -> Result<Option<Running>, DaemonError> {
    let Some(running) = running(folder).await else { return Ok(None) };
    let pid = running.pid;
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // A process id that does not fit is nobody's.
    let Some(process) = process else { return Ok(None) };
    match kill_process(process, Signal::TERM) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(errno) => return Err(DaemonError::Signal { pid, source: errno.into() }),
    }
    let docker = docker.filter(|_| running.tasks == Substance::Containers);
    let counted = async || match docker {
        Some(docker) => super::tasks::count(docker, &running.sandbox).await,
        None => std::future::pending().await,
    };
    let gone = async {
        let mut look = tokio::time::interval(LOOK);
        // The lock goes last of all, and with the process however it ends; a child of ours may stay a zombie.
        while test_kill_process(process).is_ok() && !is_free(folder) {
            look.tick().await;
        }
    };
    let mut gone = std::pin::pin!(gone);
    let mut count = tokio::time::interval(COUNT);
    let (mut left, mut quiet) = (None, tokio::time::Instant::now());
    loop {
        tokio::select! {
            () = gone.as_mut() => break,
            now = async { count.tick().await; counted().await } => if now.is_some() && now != left {
                (left, quiet) = (now, tokio::time::Instant::now());
                told(now.unwrap_or_default());
            },
            () = tokio::time::sleep_until(quiet + STOPPING) => return Err(DaemonError::Stubborn { pid, left }),
        }
    }
    if docker.is_some() {
        match counted().await {
            Some(0) => {}
            left => return Err(DaemonError::Left { sandbox: running.sandbox, left }),
        }
    }
    Ok(Some(running))
}

/// What the last sandbox on this folder ran its tasks as, and how many its services are to have.
#[must_use]
pub fn before(folder: &Path) -> Option<(Substance, usize)> {
    let world = state::Folder::read(folder).ok()??;
    Some((super::world::ecs::substance(&world).into(), super::world::ecs::wanted(&world)))
}

/// Removes the containers of a sandbox that was killed and could not do it itself; gives back how many there were. While
/// it goes on no other can start on the folder, and where one runs this is refused.
pub async fn sweep(folder: &Path, docker: &bollard::Docker) -> Result<usize, DaemonError> {
    if !folder.is_dir() {
        return Ok(0);
    }
    let held = match state::Folder::open(folder) {
        Err(state::StateError::Taken { folder }) => return Err(DaemonError::Mute { lock: folder.join(state::LOCK) }),
        opened => opened.map_err(StartError::from)?,
    };
    let swept = super::tasks::sweep(docker, &held.identity).await;
    swept.map_err(|source| StartError::Engine { source: Box::new(source) }.into())
}

fn is_free(folder: &Path) -> bool {
    state::Folder::open(folder).is_ok()
}

/// The identity of the sandbox on this folder, running or not: what its containers are labelled with.
#[must_use]
pub fn identity(folder: &Path) -> Option<String> {
    if folder.is_dir() { state::identity(folder).ok() } else { None }
}

/// The registry that the sandbox on this folder had when it was last written down: images on the engine may still be
/// named after it.
#[must_use]
pub fn registry(folder: &Path) -> Option<String> {
    let world = state::Folder::read(folder).ok()??;
    Some(world.place.authority)
}

/// Whether the serving process leaves the terminal it was started from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// A session of its own: the terminal's signals do not reach it.
    Own,
    /// The caller's: Ctrl-C ends it.
    Callers,
}

/// Runs a sandbox until SIGTERM or SIGINT. `ready` is called once it answers.
pub async fn serve(settings: Settings, session: Session, ready: impl FnOnce(&Handle)) -> Result<(), DaemonError> {
    if session == Session::Own {
        // Refused to the leader of a process group only, which has a session of its own then, or a shell that gave it one.
        let _leader = setsid();
    }
    let signals = |source| DaemonError::Signals { source };
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let folder = settings.state.clone();
    let handle = Sandbox::start(settings).await?;
    let file = folder.join(RUN_FILE);
    let noted = state::replace(&file, handle.card().to_string().as_bytes());
    if let Err(source) = noted {
        handle.stop().await;
        return Err(DaemonError::Folder { folder, source });
    }
    ready(&handle);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // First the file: from now on nobody is to find this one.
    let _gone = fs::remove_file(&file);
    handle.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn note(folder: &Path, registry: &str, pid: u32) {
        let card = serde_json::json!({
            "sandbox": "abc", "pid": pid, "endpoint": format!("http://{registry}"), "registry": registry,
            "speed": 1.0, "started": 0
        });
        state::replace(&folder.join(RUN_FILE), card.to_string().as_bytes()).unwrap();
    }

    #[tokio::test]
    async fn a_run_file_is_not_believed_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(running(folder.path()).await, None);
        // Nobody listens there.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        note(folder.path(), &free.to_string(), std::process::id());
        assert_eq!(running(folder.path()).await, None);
        // A sandbox listens there, but another one.
        let other = tempfile::tempdir().unwrap();
        let handle = Sandbox::start(Settings::new(other.path().to_owned())).await.unwrap();
        note(folder.path(), handle.authority(), std::process::id());
        assert_eq!(running(folder.path()).await, None);
        // The one that was noted.
        state::replace(&other.path().join(RUN_FILE), handle.card().to_string().as_bytes()).unwrap();
        let found = running(other.path()).await.unwrap();
        assert_eq!((found.pid, found.registry.as_str()), (std::process::id(), handle.authority()));
        handle.stop().await;
        assert_eq!(running(other.path()).await, None);
        assert_eq!(stop(other.path(), None, |_| {}).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_program_that_ends_is_told_with_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::write(&log, "of an earlier run\n").unwrap();
        let args = ["-c".to_owned(), "echo port is taken; exit 3".to_owned()];
        let error = spawn(Path::new("/bin/sh"), &args, folder.path(), &log).await.unwrap_err();
        let DaemonError::Ended { last_lines } = error else { panic!("{error:?}") };
        assert_eq!(last_lines, "port is taken");
    }
}
