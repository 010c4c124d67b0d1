//! The engine's API over our own dial: ping, version, what this engine can do, raw requests.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use bollard::{BollardRequest, ClientVersion, Docker};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, HOST, USER_AGENT},
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::{
    endpoint::{Address, Connection, DialError, Endpoint, EndpointInputs, ReadFile},
    error::DockerError,
};
use crate::plan::observed::{BuildKit, EngineObserved};

/// The newest API this program has been run against (engine 28.5); a newer engine is asked in this one.
const NEWEST: ApiVersion = ApiVersion { major: 1, minor: 51 };
/// Engine 19.03: the first whose BuildKit needs no experimental flag.
const OLDEST: ApiVersion = ApiVersion { major: 1, minor: 40 };
/// A ping over ssh includes the login; ssh itself gives up connecting after 30 seconds.
const PING_SECONDS: u64 = 40;
/// bollard counts the upload of a build context in its time limit, so there must be none to speak of.
const NO_LIMIT: Duration = Duration::from_hours(30 * 24);
/// Plain questions are answered at once or never.
const ANSWER_LIMIT: Duration = Duration::from_mins(2);
const AGENT: &str = concat!("docker-ecs-ship/", env!("CARGO_PKG_VERSION"));

/// A version of the engine API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    pub major: u16,
    pub minor: u16,
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ApiVersion {
    type Err = DockerError;

    fn from_str(text: &str) -> Result<Self, DockerError> {
        let numbers = text
            .trim()
            .split_once('.')
            .and_then(|(major, minor)| Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? }));
        numbers.ok_or_else(|| DockerError::ApiVersion { value: text.to_owned() })
    }
}

/// An engine that has answered.
#[derive(Debug, Clone)]
pub struct Engine {
    wire: Arc<Wire>,
    docker: Docker,
    ping: Ping,
}

/// What a ping told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ping {
    buildkit: BuildKit,
    /// The newest version it speaks, which may not be the one that is spoken.
    api: Option<ApiVersion>,
}

/// What this engine is, for the plan and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineDescription {
    pub observed: EngineObserved,
    /// `28.5.2`, or podman's own number.
    pub version: String,
    /// The version spoken on the wire.
    pub api: ApiVersion,
    pub store: ImageStore,
}

/// Where the engine keeps images: decides what an image id is and how a push reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageStore {
    /// Layers unpacked by a storage driver; an image id is the digest of its configuration.
    Graphdriver,
    /// The containerd image store; an image id is the digest of its manifest or index.
    Containerd,
}

impl Engine {
    /// Resolves the endpoint, asks whether an engine answers and agrees on a version.
    pub async fn connect(inputs: &EndpointInputs, read: ReadFile<'_>) -> Result<Self, DockerError> {
        Self::at(Endpoint::resolve(inputs, read).map_err(DockerError::Endpoint)?).await
    }

    /// The same for an endpoint that is resolved already.
    pub async fn at(endpoint: Endpoint) -> Result<Self, DockerError> {
        let mut wire = Wire::new(endpoint)?;
        let limit = Duration::from_secs(PING_SECONDS);
        let answer = tokio::time::timeout(limit, wire.ping())
            .await
            .map_err(|_| DockerError::NotAnswering { host: wire.endpoint.host.clone(), seconds: PING_SECONDS })??;
        if !answer.status().is_success() {
            return Err(DockerError::NotAnEngine {
                host: wire.endpoint.host.clone(),
                status: answer.status().as_u16(),
            });
        }
        let headers = answer.headers();
        let engine_api = headers.get("api-version").and_then(|value| value.to_str().ok()).unwrap_or_default();
        wire.version = Some(wire.agree(engine_api)?);
        let ping = Ping { buildkit: buildkit(headers), api: engine_api.parse().ok() };
        let wire = Arc::new(wire);
        let docker = bollard_over(&wire)?;
        Ok(Self { wire, docker, ping })
    }

    /// The typed API; every call goes over this engine's connection and version.
    #[must_use]
    pub const fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The same without a time limit, for builds.
    pub(crate) fn unhurried(&self) -> Docker {
        self.docker.clone().with_timeout(NO_LIMIT)
    }

    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.wire.endpoint
    }

    /// Whether the engine has a `BuildKit` of its own.
    #[must_use]
    pub const fn buildkit(&self) -> BuildKit {
        self.ping.buildkit
    }

    /// Whether `outputs=[{"Type":"cacheonly"}]` of a build means that nothing is to come of it. Since engine 25 (API 1.44)
    /// the answer is `exporter "" could not be found`.
    pub(crate) fn takes_cache_only(&self) -> bool {
        self.ping.api.is_some_and(|api| api < ApiVersion { major: 1, minor: 44 })
    }

    /// Asks what the engine is.
    pub async fn describe(&self) -> Result<EngineDescription, DockerError> {
        let api = |error| DockerError::api("describe itself", error);
        let version = self.docker.version().await.map_err(api)?;
        let info = self.docker.info().await.map_err(api)?;
        let containerd = info.driver_status.unwrap_or_default().iter().any(|pair| {
            // `["driver-type","io.containerd.snapshotter.v1"]`, as buildx's dockerutil looks for it.
            matches!(pair.as_slice(), [key, value] if key == "driver-type" && value == "io.containerd.snapshotter.v1")
        });
        Ok(EngineDescription {
            observed: EngineObserved {
                platform: format!("{}/{}", version.os.unwrap_or_default(), version.arch.unwrap_or_default()),
                buildkit: self.ping.buildkit,
            },
            version: version.version.unwrap_or_default(),
            api: self.wire.version.unwrap_or(NEWEST),
            store: if containerd { ImageStore::Containerd } else { ImageStore::Graphdriver },
        })
    }

    /// A request bollard has no fitting call for. `path` is without the version.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: BollardBody,
    ) -> Result<Response<Incoming>, DockerError> {
        let mut request =
            Request::builder().method(method).uri(path).body(body).map_err(|source| DockerError::Request { source })?;
        *request.headers_mut() = headers;
        self.wire.send(request).await
    }
}

/// bollard does not export the name of its body type; this is how `body_full` and `body_try_stream` end up.
pub(crate) type BollardBody = http_body_util::Either<
    http_body_util::Full<Bytes>,
    http_body_util::StreamBody<
        std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<hyper::body::Frame<Bytes>, std::io::Error>> + Send>>,
    >,
>;

/// `Builder-Version: 2` since engine 23; engine 20.10 has `BuildKit` and sends no such header. `1` is
/// an engine that was told to prefer the classic builder, Windows, or podman 5, which names itself, too.
fn buildkit(headers: &HeaderMap) -> BuildKit {
    let classic = headers.get("builder-version").is_some_and(|value| value == "1");
    let windows = headers.get("ostype").is_some_and(|value| value == "windows");
    if classic || windows || headers.contains_key("libpod-api-version") { BuildKit::Absent } else { BuildKit::Present }
}

fn bollard_over(wire: &Arc<Wire>) -> Result<Docker, DockerError> {
    let wire = Arc::clone(wire);
    let transport = move |request: BollardRequest| {
        let wire = Arc::clone(&wire);
        async move { wire.send(request).await.map_err(|error| bollard::errors::Error::from(std::io::Error::other(error))) }
    };
    Docker::connect_with_custom_transport(
        transport,
        Some("http://docker"),
        ANSWER_LIMIT.as_secs(),
        // Has no effect on the wire: bollard 0.21 drops the prefix it makes of it, and `Wire` puts ours.
        &ClientVersion { major_version: NEWEST.major.into(), minor_version: NEWEST.minor.into() },
    )
    .map_err(|source| DockerError::Api { operation: "be connected to", source })
}

/// One endpoint with all that goes into every request.
#[derive(Debug)]
struct Wire {
    endpoint: Endpoint,
    headers: HeaderMap,
    /// What the endpoint's own path, if it has one, puts before ours.
    base_path: String,
    /// Not known before the ping.
    version: Option<ApiVersion>,
}

impl Wire {
    fn new(endpoint: Endpoint) -> Result<Self, DockerError> {
        let request = |source: http::Error| DockerError::Request { source };
        let mut headers = HeaderMap::new();
        for (name, value) in &endpoint.headers {
            let name = HeaderName::try_from(name).map_err(|error| request(error.into()))?;
            headers.insert(name, HeaderValue::try_from(value).map_err(|error| request(error.into()))?);
        }
        let (authority, base_path) = match &endpoint.address {
            // What docker sends: a socket has no name, and an invented one would be looked up by proxies.
            Address::Unix { .. } => ("api.moby.localhost".to_owned(), String::new()),
            Address::Tcp { host, port, base_path, tls: _ } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                (format!("{host}:{port}"), base_path.clone())
            }
            Address::Child { authority, argv: _ } => (authority.clone(), String::new()),
        };
        headers.insert(HOST, HeaderValue::try_from(authority).map_err(|error| request(error.into()))?);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        Ok(Self { endpoint, headers, base_path, version: None })
    }

    async fn ping(&self) -> Result<Response<Incoming>, DockerError> {
        let request = Request::builder()
            .method(Method::GET)
            .uri("/_ping")
            .body(bollard::body_full(Bytes::new()))
            .map_err(|source| DockerError::Request { source })?;
        self.send(request).await
    }

    /// The lower of the engine's version and ours, unless `DOCKER_API_VERSION` fixes one.
    fn agree(&self, engine: &str) -> Result<ApiVersion, DockerError> {
        if let Some(fixed) = &self.endpoint.api_version {
            return fixed.parse();
        }
        // An engine that does not name its version is older than the header, which came with 1.13.
        let engine: ApiVersion = engine.parse().unwrap_or(ApiVersion { major: 1, minor: 24 });
        if engine < OLDEST {
            return Err(DockerError::EngineTooOld {
                host: self.endpoint.host.clone(),
                api: engine.to_string(),
                least: OLDEST.to_string(),
            });
        }
        Ok(engine.min(NEWEST))
    }

    /// A connection per request, as docker does over ssh; the engine is near or the tunnel is shared.
    async fn send(&self, request: BollardRequest) -> Result<Response<Incoming>, DockerError> {
        let host = &self.endpoint.host;
        let io: Box<dyn Connection> = self.endpoint.dial().await.map_err(|error| DockerError::dialing(host, error))?;
        let broken = |source: hyper::Error| self.broken(source);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(broken)?;
        // Ends by itself: with the response, or when the caller drops the request or the response.
        tokio::spawn(connection.with_upgrades());
        sender.send_request(self.dress(request)?).await.map_err(broken)
    }

    /// A tunnel that ended before any answer has left word why, inside the I/O error hyper met.
    fn broken(&self, source: hyper::Error) -> DockerError {
        let mut cause = std::error::Error::source(&source);
        while let Some(error) = cause {
            let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            if let Some(DialError::Tunnel { said }) = inner.and_then(|inner| inner.downcast_ref()) {
                let host = self.endpoint.host.clone();
                return DockerError::Unreachable { host, source: DialError::Tunnel { said: said.clone() } };
            }
            cause = error.source();
        }
        DockerError::Broken { operation: "answer", source: Box::new(source) }
    }

    /// Puts version, host, agent and the configured headers on a request.
    fn dress(&self, request: BollardRequest) -> Result<BollardRequest, DockerError> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let version = self.version.map(|version| format!("/v{version}")).unwrap_or_default();
        parts.uri = Uri::try_from(format!("{}{version}{path}", self.base_path))
            .map_err(|error| DockerError::Request { source: error.into() })?;
        // bollard appends its own JSON type to the one it was given; the first is the right one.
        if let Some(first) = parts.headers.get(CONTENT_TYPE).cloned() {
            parts.headers.insert(CONTENT_TYPE, first);
        }
        for (name, value) in &self.headers {
            parts.headers.insert(name, value.clone());
        }
        Ok(BollardRequest::from_parts(parts, body))
    }
}

/// The message in an error body of the engine: `{"message":…}`, or podman's `{"errorDetail":{"message":…}}`.
pub(crate) async fn refusal(operation: &'static str, response: Response<Incoming>) -> DockerError {
    let status = response.status();
    let body = match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(source) => return DockerError::Broken { operation, source: Box::new(source) },
    };
    DockerError::Refused { operation, status: status.as_u16(), message: refusal_message(&body, status) }
}

fn refusal_message(body: &[u8], status: StatusCode) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let told = ["/message", "/errorDetail/message", "/error"]
        .iter()
        .find_map(|pointer| value.pointer(pointer).and_then(serde_json::Value::as_str));
    match told {
        Some(message) => message.trim().to_owned(),
        None if body.is_empty() => status.canonical_reason().unwrap_or("no reason given").to_owned(),
        None => String::from_utf8_lossy(body).trim().chars().take(500).collect(),
    }
}

#[cfg(test)]
mod tests;
