//! The server: a thread for each connection, and an orderly end.
//!
//! The end goes like this. Connections that wait in the backlog are still taken, then the port
//! closes. Who is being answered gets the answer, with `Connection: close`. Who has a connection open
//! without a request gets `LINGER` to send one more, because it may be on the wire already; then the
//! connection is closed. Nobody who was told "keep-alive" is met by a reset.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{self, BufReader, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    request::{self, Incoming, Request},
    socket,
};

/// How long an open connection without a request is kept once we are ending: a few round trips.
const LINGER: Duration = Duration::from_millis(500);
/// Longer than the 60 s after which an Application Load Balancer drops an idle connection by default,
/// so that it is never the server that closes first: the balancer would answer 502.
const IDLE: Duration = Duration::from_secs(75);
/// The longest answer that `/slow` can be asked for.
const SLOWEST: Duration = Duration::from_secs(600);

/// What the pages say.
pub struct Site {
    pub version: String,
    pub host: String,
}

/// When `/health` stops being well.
pub struct Health {
    since: Instant,
    until: Option<Duration>,
}

impl Health {
    pub fn new(unhealthy_after: Option<Duration>) -> Self {
        Self { since: Instant::now(), until: unhealthy_after }
    }

    fn is_well(&self) -> bool {
        self.until.is_none_or(|until| self.since.elapsed() < until)
    }
}

#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    site: Site,
    health: Health,
    stopping: AtomicBool,
    answered: AtomicU64,
    in_flight: AtomicUsize,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    all_closed: Condvar,
}

struct Connection {
    stream: TcpStream,
    busy: AtomicBool,
}

impl Server {
    pub fn new(site: Site, health: Health) -> Self {
        Self(Arc::new(Shared {
            site,
            health,
            stopping: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            connections: Mutex::default(),
            all_closed: Condvar::new(),
        }))
    }

    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::SeqCst)
    }

    pub fn answered(&self) -> u64 {
        self.0.answered.load(Ordering::SeqCst)
    }

    /// Takes connections until [`Server::stop`].
    pub fn run(&self, listener: &TcpListener) {
        for number in 0.. {
            match listener.accept() {
                Ok((stream, _)) => self.begin(number, stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Out of file descriptors, or the other side went away before it was taken.
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
            if self.0.stopping.load(Ordering::SeqCst) && listener.set_nonblocking(true).is_err() {
                return;
            }
        }
    }

    /// Begins the end; returns when no idle connection is left.
    pub fn stop(&self, address: SocketAddr) {
        self.0.stopping.store(true, Ordering::SeqCst);
        // Wakes `accept`, which has no other way to hear of it.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())));
        thread::sleep(LINGER);
        for connection in self.0.open().values().filter(|connection| !connection.busy.load(Ordering::SeqCst)) {
            // What has arrived can still be read after this; then comes the end of the stream.
            let _gone_already = connection.stream.shutdown(Shutdown::Read);
        }
    }

    pub fn wait_until_idle(&self) {
        let mut open = self.0.open();
        while !open.is_empty() {
            open = self.0.all_closed.wait(open).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    fn begin(&self, number: u64, stream: TcpStream) {
        // On Linux a connection does not inherit this from a listener, elsewhere it does.
        let _as_it_is = stream.set_nonblocking(false);
        let connection = Arc::new(Connection { stream, busy: AtomicBool::new(false) });
        self.0.open().insert(number, connection.clone());
        let shared = self.0.clone();
        // An answer needs little stack; thousands of threads with 2 MB each would need much.
        let started = thread::Builder::new().stack_size(128 << 10).spawn(move || {
            let _broken_by_the_other_side = shared.serve(&connection);
            shared.close(number);
        });
        if started.is_err() {
            self.0.close(number);
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn close(&self, number: u64) {
        let mut open = self.open();
        open.remove(&number);
        if open.is_empty() {
            self.all_closed.notify_all();
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn serve(&self, connection: &Connection) -> io::Result<()> {
        let stream = &connection.stream;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        loop {
            stream.set_read_timeout(Some(if self.is_stopping() { LINGER } else { IDLE }))?;
            match request::read(&mut reader) {
                Incoming::End => return Ok(()),
                Incoming::Refused(status) => {
                    let answer = self.answer(status, "", Keep::Close, Body::Sent);
                    return (&connection.stream).write_all(&answer);
                }
                Incoming::Request(request) => {
                    connection.busy.store(true, Ordering::SeqCst);
                    if let ("/ws", Some(key)) = (request.path(), &request.websocket_key) {
                        return self.socket(&request, key, &mut reader, stream);
                    }
                    self.in_flight.fetch_add(1, Ordering::SeqCst);
                    let (status, text) = self.page(&request);
                    // Asked only now: a signal during a slow answer closes the connection after it.
                    let keep = if request.keep_alive && !self.is_stopping() { Keep::Alive } else { Keep::Close };
                    let body = if request.method == "HEAD" { Body::LeftOut } else { Body::Sent };
                    let sent = (&connection.stream).write_all(&self.answer(status, &text, keep, body));
                    self.in_flight.fetch_sub(1, Ordering::SeqCst);
                    self.answered.fetch_add(1, Ordering::SeqCst);
                    connection.busy.store(false, Ordering::SeqCst);
                    sent?;
                    if matches!(keep, Keep::Close) {
                        return stream.shutdown(Shutdown::Write);
                    }
                }
            }
        }
    }

    /// An echo, for as long as the other side likes, or for `?ms=`.
    fn socket(
        &self,
        request: &Request,
        key: &str,
        reader: &mut BufReader<&TcpStream>,
        mut stream: &TcpStream,
    ) -> io::Result<()> {
        let accept = socket::accept(key);
        stream.write_all(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nX-Hello-Version: {}\r\n\r\n",
                self.site.version
            )
            .as_bytes(),
        )?;
        let lasts = request.query("ms").and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
        socket::echo(reader, stream, lasts.map(|lasts| Instant::now() + lasts), || self.is_stopping())
    }

    fn page(&self, request: &Request) -> (&'static str, String) {
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return ("405 Method Not Allowed", "only GET and HEAD\n".to_owned());
        }
        let Site { version, host } = &self.site;
        match request.path() {
            "/" => ("200 OK", format!("hello from version {version} on {host}\n")),
            "/health" if self.health.is_well() => ("200 OK", "well\n".to_owned()),
            "/health" => ("503 Service Unavailable", "not well\n".to_owned()),
            "/slow" => match request.query("ms").unwrap_or("1000").parse() {
                Ok(milliseconds) => {
                    let time = Duration::from_millis(milliseconds).min(SLOWEST);
                    thread::sleep(time);
                    ("200 OK", format!("slow hello from version {version} on {host} after {} ms\n", time.as_millis()))
                }
                Err(error) => ("400 Bad Request", format!("ms: {error}\n")),
            },
            _ => ("404 Not Found", "there are /, /health, /slow?ms=1000 and /ws\n".to_owned()),
        }
    }

    fn answer(&self, status: &str, text: &str, keep: Keep, body: Body) -> Vec<u8> {
        let mut answer = String::with_capacity(256 + text.len());
        let connection = match keep {
            Keep::Alive => "keep-alive",
            Keep::Close => "close",
        };
        let written = write!(
            answer,
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             Connection: {connection}\r\nCache-Control: no-store\r\nX-Hello-Version: {}\r\n\r\n",
            text.len(),
            self.site.version,
        );
        debug_assert!(written.is_ok(), "a String takes everything");
        if matches!(body, Body::Sent) {
            answer.push_str(text);
        }
        answer.into_bytes()
    }
}

#[derive(Clone, Copy)]
enum Keep {
    Alive,
    Close,
}

#[derive(Clone, Copy)]
enum Body {
    Sent,
    /// The answer to `HEAD`: all headers, no body.
    LeftOut,
}
