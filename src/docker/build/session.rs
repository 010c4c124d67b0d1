//! `BuildKit`'s session: the connection over which a build asks this side for registry credentials, secrets and the
//! signatures of an ssh agent. One for each build, of our own: bollard's answers for credentials only.
//!
//! `POST /session` is upgraded to HTTP/2, and over it the engine is the client of the gRPC services here. Which of them
//! there are is said in the headers of the upgrade. The context of the build goes another way, in the body of
//! `POST /build`; `moby.filesync.v1.FileSync` would be one more service of this connection.

mod ssh;

use std::{collections::BTreeMap, pin::Pin};

use bollard_buildkit_proto::{
    health,
    moby::{
        buildkit::secrets::v1::{
            GetSecretRequest, GetSecretResponse,
            secrets_server::{Secrets, SecretsServer},
        },
        filesync::v1::{
            CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
            GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
            auth_server::{Auth, AuthServer},
        },
        sshforward::v1::ssh_server::SshServer,
    },
};
use bytes::Bytes;
use futures_util::Stream;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONNECTION, UPGRADE},
};
use hyper_util::{rt::TokioExecutor, service::TowerToHyperService};
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status, service::Routes};

use self::ssh::Agents;
use super::inputs::BuildInputs;
use crate::{
    docker::{
        engine::{Engine, refusal},
        error::DockerError,
        registry::RegistryAuth,
    },
    secret::Secret,
};

const NAME: &str = "docker-ecs-ship";
/// In `grpc.health.v1`. Without an answer `BuildKit` takes the session for dead.
const SERVING: i32 = 1;

/// A session that is open; it ends when it is dropped.
pub(super) struct Session {
    id: String,
    serving: JoinHandle<()>,
}

impl Session {
    pub(super) async fn open(engine: &Engine, auth: &RegistryAuth, inputs: &BuildInputs) -> Result<Self, DockerError> {
        let id = new_id()?;
        let mut routes = Routes::default()
            .add_service(health::health_server::HealthServer::new(Health))
            .add_service(AuthServer::new(Credentials(auth.clone())));
        let mut methods = vec!["/moby.filesync.v1.Auth/Credentials"];
        if !inputs.secrets.is_empty() {
            routes = routes.add_service(SecretsServer::new(Values(inputs.secrets.clone())));
            methods.push("/moby.buildkit.secrets.v1.Secrets/GetSecret");
        }
        if !inputs.agents.is_empty() {
            routes = routes.add_service(SshServer::new(Agents(inputs.agents.clone())));
            methods.extend(["/moby.sshforward.v1.SSH/CheckAgent", "/moby.sshforward.v1.SSH/ForwardAgent"]);
        }
        let headers = headers(&id, &methods)?;
        let response = engine.request(Method::POST, "/session", headers, bollard::body_full(Bytes::new())).await?;
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => {}
            // Deprecated since engine 29.2, and to go.
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(DockerError::NoSession),
            _ => return Err(refusal(OPEN, response).await),
        }
        let connection = hyper::upgrade::on(response).await;
        let connection =
            connection.map_err(|source| DockerError::Broken { operation: OPEN, source: Box::new(source) })?;
        let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(connection, TowerToHyperService::new(routes.prepare()));
        // How it ends is the build's to tell.
        let serving = tokio::spawn(async move { drop(serving.await) });
        Ok(Self { id, serving })
    }

    /// By which the build finds it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

const OPEN: &str = "open a build session";

/// The engine refuses a second session with the id of one that is open.
fn new_id() -> Result<String, DockerError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|source| DockerError::Broken {
        operation: "draw a session id",
        source: Box::new(std::io::Error::other(source.to_string())),
    })?;
    Ok(hex::encode(bytes))
}

fn headers(id: &str, methods: &[&'static str]) -> Result<HeaderMap, DockerError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("h2c"));
    let id = HeaderValue::from_str(id).map_err(|error| DockerError::Request { source: error.into() })?;
    headers.insert(HeaderName::from_static("x-docker-expose-session-uuid"), id);
    headers.insert(HeaderName::from_static("x-docker-expose-session-name"), HeaderValue::from_static(NAME));
    for method in methods {
        let name = HeaderName::from_static("x-docker-expose-session-grpc-method");
        headers.append(name, HeaderValue::from_static(method));
    }
    Ok(headers)
}

struct Health;

type HealthStream = Pin<Box<dyn Stream<Item = Result<health::HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl health::health_server::Health for Health {
    type WatchStream = HealthStream;

    async fn check(
        &self,
        _: Request<health::HealthCheckRequest>,
    ) -> Result<Response<health::HealthCheckResponse>, Status> {
        Ok(Response::new(health::HealthCheckResponse { status: SERVING }))
    }

    async fn list(
        &self,
        _: Request<health::HealthListRequest>,
    ) -> Result<Response<health::HealthListResponse>, Status> {
        Err(not_here())
    }

    async fn watch(&self, _: Request<health::HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(not_here())
    }
}

fn not_here() -> Status {
    Status::unimplemented("not part of this session")
}

/// With these alone the engine fetches registry tokens by itself, as the other methods would let us do for it.
struct Credentials(RegistryAuth);

#[tonic::async_trait]
impl Auth for Credentials {
    async fn credentials(&self, request: Request<CredentialsRequest>) -> Result<Response<CredentialsResponse>, Status> {
        // For a registry without a login: nobody, as docker answers.
        let found = self.0.of_session_host(&request.get_ref().host);
        let answer = found.map(|found| CredentialsResponse {
            username: found.username.clone(),
            secret: found.password.expose().clone(),
        });
        Ok(Response::new(answer.unwrap_or_default()))
    }

    async fn fetch_token(&self, _: Request<FetchTokenRequest>) -> Result<Response<FetchTokenResponse>, Status> {
        Err(not_here())
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(not_here())
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(not_here())
    }
}

/// Secrets by their ids.
struct Values(BTreeMap<String, Secret<Vec<u8>>>);

#[tonic::async_trait]
impl Secrets for Values {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        let id = &request.get_ref().id;
        let value = self.0.get(id).ok_or_else(|| Status::not_found(format!("secret {id} is not in ship.toml")))?;
        Ok(Response::new(GetSecretResponse { data: value.expose().clone() }))
    }
}
