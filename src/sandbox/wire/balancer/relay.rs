//! One request: which target, on which connection, and what is changed on the way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, interval_at, timeout};

use super::super::super::clock;
use super::super::super::world::elb::{
    Action, Asked, Forward, ForwardedFor, ListenerRoute, Redirect, Rewritten, RuleRoute, Stickiness, Transform,
    Weighted,
};
use super::body::{Counted, Download, Upload};
use super::link::{Fit, Flight, Link, Unreachable};
use super::table::{Group, Table};
use super::{Plane, page};

/// A reused connection that ends without an answer this soon had been closed before the request came, so the request is
/// sent again. Later it is the target that broke down over the request, and the client gets the 502 it would get from
/// the real balancer: the sandbox must not hide a task that is killed at work.
const STALE: Duration = Duration::from_millis(100);

/// The listener was deleted under a client's connection: it ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the listener is gone")]
pub(super) struct ListenerGone;

/// Adds what the listener adds to every answer. "If the response from the target includes the HTTP response header, the load
/// balancer updates the header value" — ELB user guide, "Add response headers".
pub(super) fn dress(listener: &ListenerRoute, answer: &mut Response<Download>) {
    if !listener.names_itself && matches!(answer.body(), Download::Page(_)) {
        answer.headers_mut().remove(header::SERVER);
    }
    for (name, value) in &listener.added_headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            answer.headers_mut().insert(name, value);
        }
    }
}

/// Answers one request on `port`.
pub(super) async fn serve(
    plane: &Plane,
    port: u16,
    client: SocketAddr,
    closing: watch::Receiver<()>,
    mut request: Request<Incoming>,
) -> Result<Response<Download>, ListenerGone> {
    let table = plane.table();
    let listener = table.listener(port).ok_or(ListenerGone)?;
    let idle = Duration::from_secs(listener.idle_timeout_seconds);
    if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
        return Ok(page::method_not_allowed());
    }
    let host = host(&request);
    let host = host.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let RuleRoute { action, transforms, conditions: _ } =
        route(listener, &request, host, client).ok_or(ListenerGone)?;
    let forward = match action {
        Action::Forward(forward) => forward,
        Action::Fixed { status, content_type, body } => {
            return Ok(page::fixed(*status, content_type.as_deref(), body));
        }
        Action::Redirect(redirect) => {
            let Redirect { status, .. } = redirect;
            let query = request.uri().query().unwrap_or_default();
            return Ok(page::redirect(*status, &redirect.location(host, port, request.uri().path(), query)));
        }
    };
    let group = remembered(forward, &table, request.headers())
        .or_else(|| weigh(&forward.groups, plane.trace.number()))
        .map(ToOwned::to_owned);
    let Some(group) = group else { return Ok(page::unavailable()) };
    let kept = table.group(&group).and_then(|group| group.stickiness.as_ref());
    let cookie = kept.and_then(|kept| kept_by(kept, request.headers())).map(ToOwned::to_owned);
    let group_cookie = forward.sticky_seconds.map(|seconds| (group_cookie(&group), seconds));
    let upgrade = is_upgrade(request.headers()).then(|| hyper::upgrade::on(&mut request));
    let passage = Passage {
        plane,
        group,
        group_cookie,
        cookie,
        idle,
        again: again(&request, upgrade.is_some()),
        naming: Naming::of(request.headers()),
    };
    let mut request = outgoing(request, listener, client, &plane.trace);
    // "If there is a pattern match but the transform fails, we return an HTTP 500 error."
    if !transforms.iter().all(|transform| rewrite(transform, &mut request)) {
        return Ok(page::internal_error());
    }
    Ok(passage.pass(Arc::clone(&table), request, upgrade, closing).await)
}

/// Writes anew what the transform is about; no if that makes no request.
fn rewrite(transform: &Transform, request: &mut Request<Upload>) -> bool {
    let Transform { of, pattern, replacement } = transform;
    match of {
        Rewritten::Host => {
            let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
            let Some(new) = host.and_then(|host| pattern.replaced(host, replacement)) else { return true };
            let Ok(value) = HeaderValue::from_str(&new) else { return false };
            request.headers_mut().insert(header::HOST, value);
        }
        Rewritten::Url => {
            let url = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
            let Some(new) = pattern.replaced(url, replacement) else { return true };
            match new.parse::<Uri>() {
                Ok(uri) if new.starts_with('/') => *request.uri_mut() = uri,
                Ok(_) | Err(_) => return false,
            }
        }
    }
    true
}

/// The first rule that the request meets.
fn route<'a>(
    listener: &'a ListenerRoute,
    request: &Request<Incoming>,
    host: &str,
    client: SocketAddr,
) -> Option<&'a RuleRoute> {
    let header = |name: &str| {
        let values = request.headers().get_all(name).into_iter();
        values.filter_map(|value| value.to_str().ok().map(ToOwned::to_owned)).collect()
    };
    listener.rule(&Asked {
        method: request.method().as_str(),
        host,
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        client: client.ip(),
        header: &header,
    })
}

/// The group that the client was sent to before, where groups are sticky. "If a target group has no healthy targets" or is no
/// longer among those of the rule, the weights decide again.
fn remembered<'a>(forward: &'a Forward, table: &Table, headers: &HeaderMap) -> Option<&'a str> {
    forward.sticky_seconds?;
    let cookie = cookie(headers, GROUP_COOKIE)?;
    let mut arns = forward.groups.iter().map(|group| group.arn.as_str());
    arns.find(|arn| group_cookie(arn) == cookie).filter(|arn| table.group(arn).is_some_and(Group::serves))
}

/// The value of the cookie that leads to a group.
fn group_cookie(arn: &str) -> String {
    hex::encode(Sha256::digest(arn))
}

/// A request that carries the first is told in the second which target it went to, as the access log of the real one
/// would say afterwards. The sandbox's own load asks for it; nobody else ever sees either.
pub(in super::super::super) const ASKS_TARGET: HeaderName = HeaderName::from_static("x-ecs-ship-asks-target");
pub(in super::super::super) const TARGET: HeaderName = HeaderName::from_static("x-ecs-ship-target");

/// Whether the client asks where its request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    Target,
    Nothing,
}

impl Naming {
    fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(ASKS_TARGET) { Self::Target } else { Self::Nothing }
    }

    fn name(self, mut response: Response<Download>, link: &Link) -> Response<Download> {
        if self == Self::Target
            && let Ok(value) = HeaderValue::from_str(&link.target().to_string())
        {
            response.headers_mut().insert(TARGET, value);
        }
        response
    }
}

/// The group whose turn it is, by weight.
fn weigh(groups: &[Weighted], number: u64) -> Option<&str> {
    let total: u64 = groups.iter().map(|group| u64::from(group.weight)).sum();
    let mut point = number.checked_rem(total)?;
    for group in groups {
        let weight = u64::from(group.weight);
        if point < weight {
            return Some(&group.arn);
        }
        point -= weight;
    }
    None
}

/// Whether a request may be sent once more when nothing is known of what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// It has no body, and doing it twice is doing it once (RFC 9110, 9.2.2).
    May,
    MustNot,
}

fn again(request: &Request<Incoming>, upgrade: bool) -> Again {
    use hyper::body::Body as _;
    if request.method().is_idempotent() && request.body().is_end_stream() && !upgrade {
        Again::May
    } else {
        Again::MustNot
    }
}

/// A request on its way through.
struct Passage<'a> {
    plane: &'a Plane,
    group: String,
    /// The value and the seconds of the cookie that leads to the group again.
    group_cookie: Option<(String, u64)>,
    /// What the client brings that leads to its target.
    cookie: Option<String>,
    idle: Duration,
    again: Again,
    naming: Naming,
}

impl Passage<'_> {
    async fn pass(
        self,
        mut table: Arc<Table>,
        mut request: Request<Upload>,
        upgrade: Option<OnUpgrade>,
        closing: watch::Receiver<()>,
    ) -> Response<Download> {
        let mut fit = match self.again {
            Again::May => Fit::Any,
            Again::MustNot => Fit::Recent,
        };
        loop {
            let Some(link) = self.choose(&table) else { return page::unavailable() };
            let flight = Flight::begin(link);
            let way = Arc::clone(flight.link());
            let named = |response| self.naming.name(response, &way);
            let (reused, mut sender) = match flight.link().reuse(fit) {
                Some(sender) => (true, sender),
                None => match flight.link().connect().await {
                    Ok(sender) => (false, sender),
                    // Closed meanwhile: the target may well have gone, and another is there.
                    Err(_) if !flight.link().is_open() => {
                        table = self.plane.table();
                        continue;
                    }
                    Err(Unreachable::Refused) => return named(page::bad_gateway()),
                    Err(Unreachable::TimedOut) => return named(page::gateway_timeout()),
                },
            };
            // The last look before sending: see the head of the balancer's module.
            if !flight.link().is_open() {
                table = self.plane.table();
                continue;
            }
            let spare = (reused && self.again == Again::May).then(|| copy(&request));
            flight.sent();
            let at = Instant::now();
            match self.exchange(&mut sender, request).await {
                Exchange::Answered(response) => {
                    return named(self.answer(response, flight, sender, upgrade, closing));
                }
                Exchange::Unsent(back) if reused => request = *back,
                Exchange::Lost => match spare {
                    Some(spare) if at.elapsed() < STALE && !flight.link().is_gone() => request = spare,
                    Some(_) | None => return named(page::bad_gateway()),
                },
                Exchange::Unsent(_) => return named(page::bad_gateway()),
                Exchange::TimedOut => return named(page::gateway_timeout()),
            }
            // The target had closed the idle connection, as is its right. The client must not notice.
            fit = Fit::New;
            table = self.plane.table();
        }
    }

    fn choose(&self, table: &Table) -> Option<Arc<Link>> {
        let group = table.group(&self.group)?;
        self.cookie
            .as_ref()
            .and_then(|cookie| group.by_cookie(cookie))
            .or_else(|| group.next(self.plane.trace.number(), clock::now()))
    }

    /// Sends, and waits for the answer's head: for as long as something moves, and then the idle timeout.
    async fn exchange(&self, sender: &mut SendRequest<Upload>, request: Request<Upload>) -> Exchange {
        let progress = request.body().progress();
        let moved = || progress.as_ref().map_or(0, |count| count.load(Ordering::Relaxed));
        let mut answer = std::pin::pin!(sender.try_send_request(request));
        loop {
            let before = moved();
            match timeout(self.idle, answer.as_mut()).await {
                Ok(Ok(response)) => return Exchange::Answered(response),
                Ok(Err(mut refused)) => {
                    return refused.take_message().map_or(Exchange::Lost, |back| Exchange::Unsent(Box::new(back)));
                }
                Err(_) if moved() == before => return Exchange::TimedOut,
                Err(_) => {}
            }
        }
    }

    fn answer(
        &self,
        mut response: Response<Incoming>,
        flight: Flight,
        sender: SendRequest<Upload>,
        upgrade: Option<OnUpgrade>,
        closing: watch::Receiver<()>,
    ) -> Response<Download> {
        let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = response.headers().get(header::UPGRADE).cloned();
        strip(response.headers_mut());
        match self.plane.table().group(&self.group).and_then(|group| group.stickiness.as_ref()) {
            Some(Stickiness::ByBalancer { seconds }) => {
                stick(response.headers_mut(), TARGET_COOKIE, flight.link().cookie(), *seconds);
            }
            Some(Stickiness::ByProgram { cookie, seconds }) if sets(response.headers(), cookie) => {
                let value = cookie_of(PROGRAM_COOKIE, flight.link().cookie(), *seconds);
                response.headers_mut().extend(value.map(|value| (header::SET_COOKIE, value)));
            }
            Some(Stickiness::ByProgram { .. }) | None => {}
        }
        if let Some((cookie, seconds)) = &self.group_cookie {
            stick(response.headers_mut(), GROUP_COOKIE, cookie, *seconds);
        }
        if !switching {
            let (head, incoming) = response.into_parts();
            return Response::from_parts(head, Download::new(incoming, flight, sender, self.idle));
        }
        let (Some(client), Some(protocol)) = (upgrade, protocol) else { return page::bad_gateway() };
        switch(response.headers_mut(), protocol);
        let target = hyper::upgrade::on(&mut response);
        let alive = self.plane.connections.subscribe();
        tokio::spawn(tunnel(client, target, self.idle, flight, closing, alive));
        let (head, _) = response.into_parts();
        Response::from_parts(head, Download::Page(http_body_util::Full::default()))
    }
}

enum Exchange {
    Answered(Response<Incoming>),
    /// Nothing of it has been sent.
    Unsent(Box<Request<Upload>>),
    /// The connection ended before an answer.
    Lost,
    TimedOut,
}

/// Bytes both ways until one side ends, nothing has moved for the idle timeout, the target is gone, or the listener closes.
async fn tunnel(
    client: OnUpgrade,
    target: OnUpgrade,
    idle: Duration,
    flight: Flight,
    mut closing: watch::Receiver<()>,
    _alive: watch::Receiver<()>,
) {
    let link = Arc::clone(flight.link());
    let moved = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&moved);
    let through = async {
        let (client, target) = tokio::try_join!(client, target).ok()?;
        let mut client = Counted { stream: TokioIo::new(client), read: Arc::clone(&count) };
        let mut target = Counted { stream: TokioIo::new(target), read: count };
        tokio::io::copy_bidirectional(&mut client, &mut target).await.ok()
    };
    let idled = async {
        let mut look = interval_at(Instant::now() + idle, idle);
        let mut before = 0;
        loop {
            look.tick().await;
            let now = moved.load(Ordering::Relaxed);
            if now == before {
                return;
            }
            before = now;
        }
    };
    tokio::select! {
        _ = through => {}
        () = idled => {}
        () = link.gone() => {}
        _ = closing.changed() => {}
    }
}

/// A request without a body once more.
fn copy(request: &Request<Upload>) -> Request<Upload> {
    let mut copy = Request::new(Upload::Empty);
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    request.headers().clone_into(copy.headers_mut());
    copy
}

/// The host a request is for: of an absolute request line, else of its header.
fn host(request: &Request<Incoming>) -> Option<HeaderValue> {
    let line = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    line.or_else(|| request.headers().get(header::HOST).cloned())
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
        && tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// Takes away what is meant for one hop only (RFC 9110, 7.6.1). hyper writes the framing of the next hop.
fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> =
            tokens(headers, &header::CONNECTION).filter_map(|token| token.parse().ok()).collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, header::TE, header::TRANSFER_ENCODING, header::UPGRADE] {
        headers.remove(name);
    }
}

fn switch(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// The request as the target gets it.
fn outgoing(
    request: Request<Incoming>,
    listener: &ListenerRoute,
    client: SocketAddr,
    trace: &Trace,
) -> Request<Upload> {
    let host = host(&request);
    let upgrade = is_upgrade(request.headers()).then(|| request.headers().get(header::UPGRADE).cloned()).flatten();
    let (mut head, incoming) = request.into_parts();
    head.version = Version::HTTP_11;
    head.extensions = http::Extensions::new();
    if head.uri.authority().is_some() {
        let path = head.uri.path_and_query().cloned();
        head.uri = path.map_or_else(Uri::default, Uri::from);
    }
    let headers = &mut head.headers;
    strip(headers);
    headers.remove(ASKS_TARGET);
    // hyper has asked the client to continue, or will, as soon as the body is wanted.
    headers.remove(header::EXPECT);
    headers.insert(header::HOST, host.unwrap_or_else(|| HeaderValue::from_static("127.0.0.1")));
    if let Some(protocol) = upgrade {
        switch(headers, protocol);
    }
    if listener.drops_invalid_headers {
        let valid = |name: &HeaderName| name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let invalid: Vec<HeaderName> = headers.keys().filter(|name| !valid(name)).cloned().collect();
        for name in invalid {
            headers.remove(name);
        }
    }
    forwarded_for(headers, listener, client);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(FORWARDED_PORT, HeaderValue::from(listener.port));
    if let Ok(id) = HeaderValue::from_str(&trace.id(headers.get(TRACE_ID))) {
        headers.insert(TRACE_ID, id);
    }
    Request::from_parts(head, Upload::new(incoming))
}

fn forwarded_for(headers: &mut HeaderMap, listener: &ListenerRoute, client: SocketAddr) {
    match listener.forwarded_for {
        ForwardedFor::Preserve => {}
        ForwardedFor::Remove => {
            headers.remove(FORWARDED_FOR);
        }
        ForwardedFor::Append => {
            let mut hops: Vec<_> =
                tokens(headers, &FORWARDED_FOR).filter(|hop| !hop.is_empty()).map(ToOwned::to_owned).collect();
            hops.push(if listener.with_client_port { client.to_string() } else { client.ip().to_string() });
            if let Ok(hops) = HeaderValue::from_str(&hops.join(", ")) {
                headers.insert(FORWARDED_FOR, hops);
            }
        }
    }
}

/// The cookie that leads to a target, and the one that leads to a group. Each has a twin with `CORS` at its end.
const TARGET_COOKIE: &str = "AWSALB";
const GROUP_COOKIE: &str = "AWSALBTG";

/// The balancer's cookie beside the program's own.
const PROGRAM_COOKIE: &str = "AWSALBAPP-0";

/// The cookie of a request that leads to a target of the group. Where the program's cookie decides, a client that has lost
/// that one begins anew.
fn kept_by<'a>(kept: &Stickiness, headers: &'a HeaderMap) -> Option<&'a str> {
    match kept {
        Stickiness::ByBalancer { .. } => cookie(headers, TARGET_COOKIE),
        Stickiness::ByProgram { cookie: name, .. } => {
            cookie(headers, name)?;
            cookie(headers, PROGRAM_COOKIE)
        }
    }
}

/// Whether an answer gives the client a cookie of this name.
fn sets(headers: &HeaderMap, name: &str) -> bool {
    let cookies = headers.get_all(header::SET_COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies.filter_map(|value| value.split_once('=')).any(|(known, _)| known.trim() == name)
}

fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let pairs = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

/// The cookie, and its twin for requests from other origins.
fn stick(headers: &mut HeaderMap, name: &str, cookie: &str, seconds: u64) {
    let twin = cookie_of(&format!("{name}CORS"), cookie, seconds)
        .and_then(|value| HeaderValue::from_str(&format!("{}; SameSite=None", value.to_str().ok()?)).ok());
    for value in [cookie_of(name, cookie, seconds), twin].into_iter().flatten() {
        headers.append(header::SET_COOKIE, value);
    }
}

fn cookie_of(name: &str, cookie: &str, seconds: u64) -> Option<HeaderValue> {
    let until = i64::try_from(clock::now() / 1000 + seconds).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    let until = until.map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).unwrap_or_default();
    HeaderValue::from_str(&format!("{name}={cookie}; Expires={until}; Path=/")).ok()
}

/// Makes `X-Amzn-Trace-Id`s and numbers that look random: a seed of the process, and a count.
pub(super) struct Trace {
    seed: u64,
    count: AtomicU64,
}

impl Trace {
    pub(super) fn new() -> Self {
        // Without a source of randomness the ids repeat after a restart, which hurts nobody.
        Self { seed: getrandom::u64().unwrap_or_default(), count: AtomicU64::new(0) }
    }

    /// `splitmix64`: spreads evenly over any modulus that matters here.
    fn number(&self) -> u64 {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut z = self.seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `Root=1-67891233-abcdef012345678912345678`; a request that has a root keeps it and gets a `Self`.
    fn id(&self, given: Option<&HeaderValue>) -> String {
        let id = format!("1-{:08x}-{:016x}{:08x}", clock::now() / 1000, self.number(), self.number() & 0xffff_ffff);
        match given.and_then(|value| value.to_str().ok()) {
            Some(given) if given.contains("Root=") => {
                let kept: Vec<_> = given.split(';').filter(|field| !field.trim().starts_with("Self=")).collect();
                format!("Self={id};{}", kept.join(";"))
            }
            Some(_) | None => format!("Root={id}"),
        }
    }
}
