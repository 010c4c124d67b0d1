//! The socket by which the Docker CLI tells a plugin to end.
//!
//! Docker catches SIGINT and SIGTERM and, where stdout is no terminal, passes them on by closing this
//! socket; it never writes to it (cli-plugins/socket/socket.go). The end of the stream is therefore
//! one cancellation, and it also comes when docker dies.

#[cfg(unix)]
use std::{
    io::{self, Read as _},
    os::unix::net::UnixStream,
    thread,
};

/// Calls `gone` once, from a thread of its own, when docker asks the plugin to end or has ended.
///
/// `socket` is the value of `DOCKER_CLI_PLUGIN_SOCKET`. Without one, or where nobody listens (a
/// Docker CLI before 25, or a value inherited from a docker long gone), nothing happens and nothing
/// is reported. A Ctrl-C in a terminal without one for stdout arrives here *and* as SIGINT: whoever
/// counts cancellations takes the two within a second for one.
#[cfg(unix)]
pub fn on_docker_gone(socket: Option<&str>, gone: impl FnOnce() + Send + 'static) {
    let Some(mut stream) = socket.and_then(|socket| connect(socket).ok()) else { return };
    let wait = move || {
        let mut byte = [0];
        loop {
            match stream.read(&mut byte) {
                // Docker sends nothing; should it begin to, that is not the end.
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        gone();
    };
    // Without a thread the signals themselves still arrive; there is nobody to tell here.
    let _ = thread::Builder::new().name("docker-plugin-socket".to_owned()).spawn(wait);
}

/// Docker has no such socket on this system that the standard library could open.
#[cfg(not(unix))]
pub fn on_docker_gone(_socket: Option<&str>, _gone: impl FnOnce() + Send + 'static) {}

/// `@name` is an abstract socket (Linux); anything else is a path.
#[cfg(unix)]
fn connect(socket: &str) -> io::Result<UnixStream> {
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.strip_prefix('@') {
        use std::os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr};

        return UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?);
    }
    UnixStream::connect(socket)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        io::Write as _,
        os::{
            linux::net::SocketAddrExt as _,
            unix::net::{SocketAddr, UnixListener},
        },
        sync::mpsc,
        time::Duration,
    };

    use super::on_docker_gone;

    #[test]
    fn the_end_of_the_stream_is_one_cancellation_and_a_byte_is_none() {
        let name = format!("docker_cli_test_{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let listener = UnixListener::bind_addr(&address).expect("the name is free");
        let (sender, receiver) = mpsc::channel();
        on_docker_gone(Some(&format!("@{name}")), move || sender.send(()).expect("the test waits"));
        let (mut docker, _) = listener.accept().expect("the plugin connects");
        docker.write_all(b"x").expect("the plugin reads");
        assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(docker);
        receiver.recv_timeout(Duration::from_secs(10)).expect("the end is heard");
        assert_eq!(receiver.recv_timeout(Duration::from_secs(10)), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn without_docker_nothing_is_heard() {
        for socket in [None, Some("@docker_cli_nobody_listens_here"), Some("/nowhere/docker_cli_x")] {
            let (sender, receiver) = mpsc::channel::<()>();
            on_docker_gone(socket, move || drop(sender));
            // The callback is dropped uncalled, and with it the sender.
            assert_eq!(receiver.recv_timeout(Duration::from_secs(10)), Err(mpsc::RecvTimeoutError::Disconnected));
        }
    }
}
