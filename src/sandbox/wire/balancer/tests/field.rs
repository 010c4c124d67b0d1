//! A world with a balancer, servers for it to forward to, and clients that ask.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{interval, timeout};

use super::super::super::super::clock;
use super::super::super::super::world::elb::{self, Target};
use super::super::super::super::world::{Fault, Pace, Place, World};
use super::super::super::query::Form;
use super::super::{Balancer, lock};

pub(super) type Body = BoxBody<Bytes, hyper::Error>;

/// So fast that the five seconds between two probes are 50 ms, and the one of registering is ten.
pub(super) const SPEED: f64 = 100.0;

const LIMIT: Duration = Duration::from_secs(20);

/// Waits until `holds`, and says what it waited for if that never comes.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut pulse = interval(Duration::from_millis(2));
    let wait = async {
        while !holds() {
            pulse.tick().await;
        }
    };
    assert!(timeout(LIMIT, wait).await.is_ok(), "never came: {what}");
}

/// Ends a test that hangs with the name of what hung.
pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = timeout(LIMIT, future).await else { panic!("never came: {what}") };
    value
}

pub(super) struct Field {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) balancer: Balancer,
    pub(super) load_balancer: String,
    pub(super) group: String,
    pub(super) listener: String,
    pub(super) port: u16,
}

pub(super) fn empty_world() -> Arc<Mutex<World>> {
    let place =
        Place { account: "000000000000".into(), region: "us-east-1".into(), authority: "127.0.0.1:4517".into() };
    Arc::new(Mutex::new(World::new(place, Pace::new(SPEED), 7)))
}

pub(super) fn ask(world: &Mutex<World>, action: &str, members: &[(&str, &str)]) -> Result<String, Fault> {
    let form: Form = members.iter().copied().collect();
    elb::call(&mut lock(world), action, &form, clock::now())
}

pub(super) fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map(|(found, _)| found).unwrap()
}

impl Field {
    /// A load balancer with a listener on a free port that forwards to an empty group.
    pub(super) fn new() -> Self {
        let world = empty_world();
        let balancer = Balancer::start(Arc::clone(&world), vec![Ipv4Addr::LOCALHOST.into()]);
        let xml = ask(&world, "CreateLoadBalancer", &[("Name", "web")]).unwrap();
        let load_balancer = between(&xml, "<LoadBalancerArn>", "<").to_owned();
        let members = [
            ("Name", "web"),
            ("Protocol", "HTTP"),
            ("Port", "80"),
            ("TargetType", "ip"),
            ("HealthCheckPath", "/health"),
            ("HealthCheckIntervalSeconds", "5"),
            ("HealthCheckTimeoutSeconds", "2"),
            ("HealthyThresholdCount", "2"),
        ];
        let xml = ask(&world, "CreateTargetGroup", &members).unwrap();
        let group = between(&xml, "<TargetGroupArn>", "<").to_owned();
        let members = [
            ("LoadBalancerArn", load_balancer.as_str()),
            ("DefaultActions.member.1.Type", "forward"),
            ("DefaultActions.member.1.TargetGroupArn", group.as_str()),
        ];
        let xml = ask(&world, "CreateListener", &members).unwrap();
        let listener = between(&xml, "<ListenerArn>", "<").to_owned();
        let port = between(&xml, "<Port>", "<").parse().unwrap();
        Self { world, balancer, load_balancer, group, listener, port }
    }

    pub(super) fn ask(&self, action: &str, members: &[(&str, &str)]) -> String {
        ask(&self.world, action, members).unwrap()
    }

    pub(super) fn attribute(&self, key: &str, value: &str) {
        self.ask(
            "ModifyTargetGroupAttributes",
            &[("TargetGroupArn", &self.group), ("Attributes.member.1.Key", key), ("Attributes.member.1.Value", value)],
        );
    }

    pub(super) fn register(&self, server: &Server) {
        let mut world = lock(&self.world);
        let pace = world.pace;
        world.elb.register(pace, &self.group, &server.target, clock::now()).unwrap();
    }

    pub(super) fn deregister(&self, server: &Server) {
        let mut world = lock(&self.world);
        let pace = world.pace;
        world.elb.deregister(pace, &self.group, &server.target, clock::now()).unwrap();
    }

    /// `state reason`.
    pub(super) fn health(&self, server: &Server) -> String {
        let health = lock(&self.world).elb.health(&self.group, &server.target);
        format!("{} {}", health.state.as_str(), health.reason.unwrap_or_default()).trim().to_owned()
    }

    pub(super) async fn becomes(&self, server: &Server, health: &str) {
        until(&format!("{} {health}", server.name), || self.health(server) == health).await;
    }

    pub(super) async fn with(servers: &[&Server]) -> Self {
        let field = Self::new();
        for server in servers {
            if server.health_port != server.target.port {
                let port = server.health_port.to_string();
                field.ask("ModifyTargetGroup", &[("TargetGroupArn", &field.group), ("HealthCheckPort", &port)]);
            }
            field.register(server);
        }
        for server in servers {
            field.becomes(server, "healthy").await;
        }
        field
    }

    pub(super) async fn client(&self) -> Client {
        Client::connect(self.port).await
    }

    /// `GET` on a connection of its own.
    pub(super) async fn get(&self, path: &str) -> (StatusCode, String) {
        self.client().await.get(path).await.unwrap()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.balancer.traffic().iter().map(|traffic| traffic.in_flight).sum()
    }
}

/// One keep-alive connection to a listener.
pub(super) struct Client {
    sender: SendRequest<Body>,
    port: u16,
}

pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

impl Client {
    pub(super) async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self { sender, port }
    }

    pub(super) fn request(&self, method: &str, path: &str, body: Body) -> Request<Body> {
        let host = format!("127.0.0.1:{}", self.port);
        Request::builder().method(method).uri(path).header(header::HOST, host).body(body).unwrap()
    }

    pub(super) async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        soon("an answer", self.sender.send_request(request)).await
    }

    pub(super) async fn get(&mut self, path: &str) -> hyper::Result<(StatusCode, String)> {
        let request = self.request("GET", path, empty());
        let response = self.send(request).await?;
        let status = response.status();
        let body = soon("a body", response.into_body().collect()).await?.to_bytes();
        Ok((status, String::from_utf8(body.to_vec()).unwrap()))
    }
}

/// A target: a server that does what the path says.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) target: Target,
    /// Where `/health` is answered, whatever the target's own port does.
    pub(super) health_port: u16,
    state: Arc<State>,
    _closing: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    name: &'static str,
    health: AtomicU16,
    requests: AtomicUsize,
    connections: AtomicUsize,
    probes: AtomicUsize,
    /// `/gate` waits for a permit.
    gate: Semaphore,
    /// Gates left before they opened: the balancer gave up.
    dropped: AtomicUsize,
    /// Stamps of the requests that carried one.
    stamps: Mutex<Vec<u64>>,
}

impl Server {
    pub(super) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            name,
            health: AtomicU16::new(200),
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            probes: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            dropped: AtomicUsize::new(0),
            stamps: Mutex::default(),
        });
        let closing = watch::Sender::new(());
        tokio::spawn(listen(listener, Arc::clone(&state), closing.subscribe()));
        let target = Target { address: "127.0.0.1".into(), port };
        Self { name, target, health_port: port, state, _closing: closing }
    }

    /// A server that reads a request and then does with the connection as `answer` says.
    pub(super) async fn raw<Answer, Done>(name: &'static str, answer: Answer) -> Self
    where
        Answer: Fn(TcpStream, usize) -> Done + Send + 'static,
        Done: Future<Output = ()> + Send + 'static,
    {
        let server = Self::start(name).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(answer(stream, number));
            }
        });
        Self { target: Target { port, ..server.target.clone() }, ..server }
    }

    pub(super) fn set_health(&self, code: u16) {
        self.state.health.store(code, Ordering::SeqCst);
    }

    pub(super) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub(super) fn probes(&self) -> usize {
        self.state.probes.load(Ordering::SeqCst)
    }

    pub(super) fn dropped(&self) -> usize {
        self.state.dropped.load(Ordering::SeqCst)
    }

    pub(super) fn open_gate(&self) {
        self.state.gate.add_permits(1);
    }

    pub(super) fn stamps(&self) -> Vec<u64> {
        lock(&self.state.stamps).clone()
    }
}

async fn listen(listener: TcpListener, state: Arc<State>, mut closing: watch::Receiver<()>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.changed() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (state, mut closing) = (Arc::clone(&state), closing.clone());
        tokio::spawn(async move {
            state.connections.fetch_add(1, Ordering::SeqCst);
            let service = hyper::service::service_fn(|request| answer(Arc::clone(&state), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::select! {
                _ = connection => {}
                _ = closing.changed() => {}
            }
            state.connections.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

struct Waiting<'a>(&'a State);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

fn say(text: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed())
}

async fn answer(state: Arc<State>, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/health" {
        state.probes.fetch_add(1, Ordering::SeqCst);
        let mut response = say("");
        *response.status_mut() = StatusCode::from_u16(state.health.load(Ordering::SeqCst)).unwrap();
        return Ok(response);
    }
    state.requests.fetch_add(1, Ordering::SeqCst);
    if let Some(stamp) = request.headers().get("x-stamp") {
        lock(&state.stamps).push(stamp.to_str().unwrap().parse().unwrap());
    }
    Ok(match request.uri().path() {
        "/echo" => Response::new(request.into_body().boxed()),
        "/headers" => {
            let mut lines: Vec<String> =
                request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            lines.sort();
            let mut response = say(format!("{} {:?}\n{}", request.method(), request.uri(), lines.join("\n")));
            response.headers_mut().insert("keep-alive", "timeout=5".parse().unwrap());
            response.headers_mut().insert("server", "app/1".parse().unwrap());
            response
        }
        // A session of the program's own, begun where the client has none.
        "/session" => {
            let mut response = say(state.name);
            if request.headers().get(header::COOKIE).is_none_or(|cookie| !cookie.to_str().unwrap().contains("session="))
            {
                response.headers_mut().insert(header::SET_COOKIE, "session=abc; Path=/".parse().unwrap());
            }
            response
        }
        "/gate" => {
            let waiting = Waiting(&state);
            state.gate.acquire().await.unwrap().forget();
            std::mem::forget(waiting);
            say(state.name)
        }
        "/socket" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                let mut buffer = [0; 64];
                while let Ok(read @ 1..) = io.read(&mut buffer).await {
                    buffer[..read].make_ascii_uppercase();
                    if io.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            });
            let mut response = say("");
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert(header::CONNECTION, "upgrade".parse().unwrap());
            response.headers_mut().insert(header::UPGRADE, "shout".parse().unwrap());
            response
        }
        _ => say(state.name),
    })
}

/// Reads one request's head from a raw connection; false at its end.
pub(super) async fn read_head(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => seen.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// A port on which nobody listens.
pub(super) fn nobody() -> Server {
    let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let port = listener.local_addr().unwrap().port();
    let state = Arc::new(State {
        name: "nobody",
        health: AtomicU16::new(200),
        requests: AtomicUsize::new(0),
        connections: AtomicUsize::new(0),
        probes: AtomicUsize::new(0),
        gate: Semaphore::new(0),
        dropped: AtomicUsize::new(0),
        stamps: Mutex::default(),
    });
    let target = Target { address: "127.0.0.1".into(), port };
    Server { name: "nobody", target, health_port: port, state, _closing: watch::Sender::new(()) }
}

/// How often each word came.
pub(super) fn tally(words: impl IntoIterator<Item = String>) -> HashMap<String, usize> {
    let mut tally = HashMap::new();
    for word in words {
        *tally.entry(word).or_default() += 1;
    }
    tally
}
