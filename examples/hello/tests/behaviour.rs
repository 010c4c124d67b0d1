//! The real binary, asked over real sockets and told to end by real signals.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(20);

struct Hello {
    child: Child,
    stdout: BufReader<ChildStdout>,
    port: u16,
}

impl Hello {
    fn start(environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hello"))
            .env_clear()
            .envs([("PORT", "0"), ("VERSION", "7"), ("HOSTNAME", "box")])
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("hello starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("listens on") {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).expect("a line"), 0, "hello ended before it listened");
        }
        let port = line.trim().rsplit_once(':').expect("an address").1.parse().expect("a port");
        Self { child, stdout, port }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        stream
    }

    fn get(&self, target: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn sigterm(&self) {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits until the log has a line like this.
    fn until(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.stdout.read_line(&mut line).expect("a line"), 0, "hello never said {text}");
        }
    }

    fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status;
            }
            assert!(begun.elapsed() < LIMIT, "hello does not end");
            thread::yield_now();
        }
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// One answer off a connection that stays open.
fn answer(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).expect("a line"), 0, "closed after {head:?}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    reader.read_exact(&mut body).expect("a body");
    head + &String::from_utf8(body).expect("text")
}

#[test]
fn it_says_what_it_is() {
    let hello = Hello::start(&[]);
    let root = hello.get("/");
    assert!(root.starts_with("HTTP/1.1 200 OK\r\n"), "{root}");
    assert!(root.contains("X-Hello-Version: 7\r\n"), "{root}");
    assert!(root.ends_with("hello from version 7 on box\n"), "{root}");
    assert!(hello.get("/health").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(hello.get("/nothing").starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(hello.get("/slow?ms=soon").starts_with("HTTP/1.1 400 Bad Request\r\n"));
}

#[test]
fn connections_are_kept_alive() {
    let hello = Hello::start(&[]);
    let mut stream = hello.connect();
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
        let answer = answer(&stream);
        assert!(answer.contains("Connection: keep-alive\r\n"), "{answer}");
    }
}

#[test]
fn sigterm_lets_the_begun_request_finish() {
    let mut hello = Hello::start(&[]);
    let mut slow = hello.connect();
    slow.write_all(b"GET /slow?ms=1500 HTTP/1.1\r\n\r\n").expect("sent");
    let idle = hello.connect();
    // Proves that the slow request has begun: its thread was started before this one's.
    let mut late = hello.connect();
    late.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    answer(&late);

    hello.sigterm();
    hello.until("SIGTERM: finishing");
    // A request that was on the wire when the signal came.
    late.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let last = answer(&late);
    assert!(last.contains("Connection: close\r\n"), "{last}");

    let answer = answer(&slow);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    assert_eq!((&idle).read(&mut [0]).expect("an orderly end, no reset"), 0);
    assert_eq!(hello.ended().code(), Some(0));
    assert!(TcpStream::connect(("127.0.0.1", hello.port)).is_err(), "nobody new is taken");
}

#[test]
fn told_so_it_drops_what_it_has_begun() {
    let mut hello = Hello::start(&[("DROP_ON_SIGTERM", "1")]);
    let mut slow = hello.connect();
    slow.write_all(b"GET /slow?ms=60000 HTTP/1.1\r\n\r\n").expect("sent");
    hello.get("/");
    hello.sigterm();
    assert_eq!(hello.ended().code(), Some(0));
    let mut answer = Vec::new();
    let _reset_or_end = slow.read_to_end(&mut answer);
    assert!(answer.is_empty());
}

#[test]
fn told_so_it_ignores_sigterm() {
    let mut hello = Hello::start(&[("IGNORE_SIGTERM", "1")]);
    hello.sigterm();
    hello.until("SIGTERM: ignored");
    assert!(hello.get("/").starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn told_so_it_crashes_at_its_start() {
    let output = Command::new(env!("CARGO_BIN_EXE_hello"))
        .env_clear()
        .env("CRASH_AT_START", "1")
        .output()
        .expect("hello starts");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert!(stderr.starts_with("hello: cannot open the database: "), "{stderr}");
}

#[test]
fn told_so_it_crashes_later() {
    let mut hello = Hello::start(&[("CRASH_AFTER_MS", "50")]);
    assert_eq!(hello.ended().code(), Some(1));
}

#[test]
fn told_so_it_becomes_unhealthy() {
    let hello = Hello::start(&[("UNHEALTHY_AFTER_MS", "1000")]);
    let begun = Instant::now();
    while hello.get("/health").starts_with("HTTP/1.1 200 OK\r\n") {
        assert!(begun.elapsed() < LIMIT, "it stays healthy");
    }
    assert!(hello.get("/health").starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    assert!(hello.get("/").starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_migration_ends_with_the_code_that_is_asked_for() {
    for (words, code, said) in [
        (&["migrate"][..], 0, "hello: the schema is up to date"),
        (&["migrate", "3"], 3, "hello: column `greeting` exists already"),
        (&["nonsense"], 2, "hello: there is no command nonsense"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_hello")).args(words).output().expect("hello starts");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(said), "{text}");
    }
}
