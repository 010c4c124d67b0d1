//! What the tests of this module share: the engine under test, images without a base, a registry that
//! answers like ECR. All of it real bytes on real sockets.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptions, RemoveImageOptionsBuilder};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

use super::{
    build::Lent,
    endpoint::{DockerEnvironment, EndpointInputs},
    engine::Engine,
    registry::RegistryCredentials,
};
use crate::{
    config::spec::Builder,
    event::Progress,
    id::Key,
    image::{ImageName, Reference},
    plan::step::BuildAction,
    secret::Secret,
};

/// The engine of `DOCKER_HOST`, or the system's. A machine without one fails the test, as it should.
pub(crate) async fn engine() -> Engine {
    #[expect(clippy::disallowed_methods, reason = "lets the same tests run against other engines")]
    let host = std::env::var("DOCKER_HOST").ok();
    let inputs = EndpointInputs {
        environment: DockerEnvironment { host, ..DockerEnvironment::default() },
        config_dir: PathBuf::from("/nonexistent"),
        ..EndpointInputs::default()
    };
    Engine::connect(&inputs, &|path| fs::read(path)).await.unwrap()
}

/// A name nobody else has.
pub(super) fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes).unwrap();
    format!("{prefix}-{}-{}", hex::encode(bytes), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// How a test program ends.
#[derive(Clone, Copy)]
pub(super) enum Then {
    Exit(u8),
    Hang,
}

/// A static executable that prints a text and ends. No base image can be pulled where the tests run,
/// and none is needed: this is the whole ELF file, assembled here for the engine's own architecture.
pub(super) fn program(says: &str, then: Then) -> Vec<u8> {
    const BASE: u32 = 0x40_0000;
    const HEADERS: usize = 64 + 56;
    let length = u32::try_from(says.len()).unwrap();
    let code_length = machine_code(0, length, then).len();
    let text_at = BASE + u32::try_from(HEADERS + code_length).unwrap();
    let code = machine_code(text_at, length, then);
    let machine: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    let size = (HEADERS + code.len() + says.len()) as u64;
    let mut elf = Vec::new();
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend(2u16.to_le_bytes());
    elf.extend(machine.to_le_bytes());
    elf.extend(1u32.to_le_bytes());
    elf.extend((u64::from(BASE) + HEADERS as u64).to_le_bytes());
    elf.extend(64u64.to_le_bytes());
    elf.extend(0u64.to_le_bytes());
    elf.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 0, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1u32.to_le_bytes());
    elf.extend(5u32.to_le_bytes());
    for word in [0, u64::from(BASE), u64::from(BASE), size, size, 0x1_0000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    elf.extend(says.as_bytes());
    elf
}

/// `write(1, text, length)`, then `exit(code)` or `pause()` for ever.
#[cfg(target_arch = "x86_64")]
fn machine_code(text_at: u32, length: u32, then: Then) -> Vec<u8> {
    let load = |opcode: u8, value: u32| [&[opcode][..], &value.to_le_bytes()].concat();
    let (eax, edi, esi, edx, syscall) = (0xb8, 0xbf, 0xbe, 0xba, vec![0x0f, 0x05]);
    let mut code = [load(eax, 1), load(edi, 1), load(esi, text_at), load(edx, length), syscall.clone()].concat();
    match then {
        Then::Exit(status) => code.extend([load(eax, 60), load(edi, status.into()), syscall].concat()),
        Then::Hang => code.extend([load(eax, 34), syscall, vec![0xeb, 0xf7]].concat()),
    }
    code
}

/// The same for 64-bit ARM; `ppoll` of nothing stands for `pause`.
#[cfg(target_arch = "aarch64")]
fn machine_code(text_at: u32, length: u32, then: Then) -> Vec<u8> {
    let load = |register: u32, value: u32| 0xd280_0000 | (value & 0xffff) << 5 | register;
    let high = |register: u32, value: u32| 0xf2a0_0000 | (value >> 16) << 5 | register;
    let call = 0xd400_0001;
    let mut code = vec![load(8, 64), load(0, 1), load(1, text_at), high(1, text_at), load(2, length), call];
    match then {
        Then::Exit(status) => code.extend([load(8, 93), load(0, status.into()), call]),
        Then::Hang => code.extend([load(8, 73), load(0, 0), load(1, 0), load(2, 0), load(3, 0), call, 0x1400_0000]),
    }
    code.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// A context folder with a Dockerfile and some programs.
pub(super) struct Source {
    folder: tempfile::TempDir,
}

impl Source {
    pub(super) fn new(dockerfile: &str, programs: &[(&str, Vec<u8>)]) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
        for (name, content) in programs {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder }
    }

    pub(super) fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(super) fn action(&self, builder: Builder, tags: &[Reference]) -> BuildAction {
        BuildAction {
            image: Key::new("api"),
            context: self.path().to_owned(),
            dockerfile: self.path().join("Dockerfile"),
            target: None,
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
            ssh: Vec::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            platform: None,
            tags: tags.to_vec(),
            builder,
        }
    }
}

/// What builds are lent where they ask for nothing. Docker's plugins are those that `tests/ensure-tools` has brought.
pub(super) fn lent() -> Lent {
    let docker_config = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/clients/docker");
    assert!(docker_config.join("cli-plugins/docker-buildx").is_file(), "there is no buildx: run tests/ensure-tools");
    Lent { docker_config, scratch: std::env::temp_dir(), ..Lent::default() }
}

pub(super) fn reference(registry: &str, repository: &str, tag: &str) -> Reference {
    let name = ImageName { registry: registry.to_owned(), repository: repository.to_owned() };
    Reference::tagged(name, tag.parse().unwrap())
}

pub(super) async fn remove(engine: &Engine, image: &Reference) {
    engine
        .docker()
        .remove_image(&image.to_string(), Some(RemoveImageOptionsBuilder::default().force(true).build()), None)
        .await
        .unwrap();
}

/// Removes the untagged images the classic builder left behind under a label. A step that was given up
/// holds on to its image until the engine has taken its container away. Not by `prune`: that takes the
/// leases of other tests' builds away from a containerd store.
pub(super) async fn prune(engine: &Engine, label: &str) {
    let filters = HashMap::from([("label", vec![label])]);
    let gone = async {
        let mut again = tokio::time::interval(Duration::from_millis(50));
        loop {
            again.tick().await;
            let options = ListImagesOptionsBuilder::default().all(true).filters(&filters).build();
            let left = engine.docker().list_images(Some(options)).await.unwrap();
            if left.is_empty() {
                return;
            }
            for image in left {
                // Refused while it is in use; then the next round has it.
                drop(engine.docker().remove_image(&image.id, None::<RemoveImageOptions>, None).await);
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), gone).await.unwrap();
}

/// Runs something that tells its progress and returns both.
pub(super) async fn told<T>(work: impl AsyncFnOnce(&mpsc::Sender<Progress>) -> T) -> (T, Vec<Progress>) {
    let (sender, mut receiver) = mpsc::channel(256);
    let listener = tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some(progress) = receiver.recv().await {
            all.push(progress);
        }
        all
    });
    // An engine that is stuck fails the test instead of keeping it.
    let result =
        tokio::time::timeout(Duration::from_mins(5), work(&sender)).await.expect("the engine takes no step on");
    drop(sender);
    (result, listener.await.unwrap())
}

/// How the registry answers; the bodies are ECR's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Friendly,
    Expired,
    NoRepository,
    Denied,
    /// By the repository's own policy.
    Forbidden,
    Immutable,
    /// Takes no blob: it neither reads nor answers.
    Stalling,
}

/// A registry on loopback that wants `AWS:<token>` and keeps what it is given.
pub(super) struct Registry {
    pub(super) host: String,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

struct State {
    mood: Mood,
    uploads: BTreeMap<String, Vec<u8>>,
    blobs: BTreeMap<String, usize>,
    manifests: BTreeMap<String, Bytes>,
}

/// Needs base64url in the header: with standard base64 the engine would push without credentials.
const TOKEN: &str = "tok~?>>~";

impl Registry {
    pub(super) async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State {
            mood,
            uploads: BTreeMap::new(),
            blobs: BTreeMap::new(),
            manifests: BTreeMap::new(),
        }));
        let shared = Arc::clone(&state);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { Ok::<_, Infallible>(answer(&state, request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { host, state, server }
    }

    pub(super) fn credentials(&self) -> RegistryCredentials {
        self.credentials_with(TOKEN)
    }

    pub(super) fn credentials_with(&self, password: &str) -> RegistryCredentials {
        RegistryCredentials {
            username: "AWS".to_owned(),
            password: Secret::new(password.to_owned()),
            server: self.host.clone(),
        }
    }

    /// The digest of the manifest under a tag, as a registry works it out.
    pub(super) fn digest(&self, tag: &str) -> Option<String> {
        let state = self.state.lock().unwrap();
        state.manifests.get(tag).map(|manifest| digest(manifest))
    }

    pub(super) fn set(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

async fn answer(state: &Mutex<State>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    if state.lock().unwrap().mood == Mood::Stalling && parts.method != Method::GET && parts.method != Method::HEAD {
        return std::future::pending().await;
    }
    let body = body.collect().await.unwrap().to_bytes();
    let mut state = state.lock().unwrap();
    let wanted = format!("Basic {}", STANDARD.encode(format!("AWS:{TOKEN}")));
    let authorized = parts.headers.get(header::AUTHORIZATION).is_some_and(|value| value == wanted.as_str());
    let mut response = if authorized {
        respond(&mut state, &parts.method, &parts.uri, body)
    } else {
        let mut response = plain(StatusCode::UNAUTHORIZED, "Not Authorized\n");
        let challenge =
            "Basic realm=\"https://111111111111.dkr.ecr.eu-west-1.amazonaws.com/\",service=\"ecr.amazonaws.com\"";
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
        response
    };
    response.headers_mut().insert("docker-distribution-api-version", "registry/2.0".parse().unwrap());
    response
}

fn plain(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_owned()));
    *response.status_mut() = status;
    response
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "errors": [{ "code": code, "message": message }] });
    let mut response = plain(status, &body.to_string());
    response.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    response
}

fn respond(state: &mut State, method: &Method, uri: &http::Uri, body: Bytes) -> Response<Full<Bytes>> {
    let path = uri.path();
    if path == "/v2/" {
        return plain(StatusCode::OK, "");
    }
    match state.mood {
        Mood::Expired => {
            let message = "Your authorization token has expired. Reauthenticate and try again.";
            return refusal(StatusCode::FORBIDDEN, "DENIED", message);
        }
        Mood::NoRepository => {
            let message = "The repository with name 'jobs/api' does not exist in the registry with id '111111111111'";
            return refusal(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message);
        }
        Mood::Denied if method != Method::HEAD && method != Method::GET => {
            let message = "User: arn:aws:iam::111111111111:user/u is not authorized to perform: \
                ecr:InitiateLayerUpload on resource: arn:aws:ecr:eu-west-1:111111111111:repository/jobs/api";
            return refusal(StatusCode::FORBIDDEN, "DENIED", message);
        }
        Mood::Forbidden if method != Method::HEAD && method != Method::GET => {
            let message = "User: arn:aws:iam::111111111111:user/u is not authorized to perform: \
                ecr:InitiateLayerUpload on resource: arn:aws:ecr:eu-west-1:111111111111:repository/jobs/api with an \
                explicit deny in a resource-based policy";
            return refusal(StatusCode::FORBIDDEN, "DENIED", message);
        }
        Mood::Friendly | Mood::Denied | Mood::Forbidden | Mood::Immutable | Mood::Stalling => {}
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    if path.contains("/blobs/uploads") {
        upload(state, method, uri, last, &body)
    } else if path.contains("/blobs/") {
        blob(state, last)
    } else {
        manifest(state, method, last, body)
    }
}

fn upload(state: &mut State, method: &Method, uri: &http::Uri, id: &str, body: &[u8]) -> Response<Full<Bytes>> {
    if *method == Method::POST {
        let id = unique("upload");
        let mut response = plain(StatusCode::ACCEPTED, "");
        let location = format!("{}{id}", uri.path());
        response.headers_mut().insert(header::LOCATION, location.parse().unwrap());
        response.headers_mut().insert(header::RANGE, "0-0".parse().unwrap());
        state.uploads.insert(id, Vec::new());
        return response;
    }
    let Some(bytes) = state.uploads.get_mut(id) else { return plain(StatusCode::NOT_FOUND, "") };
    bytes.extend_from_slice(body);
    if *method == Method::PATCH {
        let mut response = plain(StatusCode::ACCEPTED, "");
        let range = format!("0-{}", bytes.len().saturating_sub(1));
        response.headers_mut().insert(header::LOCATION, uri.path().parse().unwrap());
        response.headers_mut().insert(header::RANGE, range.parse().unwrap());
        return response;
    }
    let announced = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .find(|(name, _)| name == "digest")
        .map(|(_, value)| value.into_owned());
    let (real, length) = (digest(bytes), bytes.len());
    if announced.as_ref() != Some(&real) {
        return refusal(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "provided digest did not match uploaded content");
    }
    state.blobs.insert(real.clone(), length);
    let mut response = plain(StatusCode::CREATED, "");
    response.headers_mut().insert("docker-content-digest", real.parse().unwrap());
    response
}

fn blob(state: &State, digest: &str) -> Response<Full<Bytes>> {
    let Some(length) = state.blobs.get(digest) else { return plain(StatusCode::NOT_FOUND, "") };
    let mut response = plain(StatusCode::OK, "");
    response.headers_mut().insert(header::CONTENT_LENGTH, (*length).into());
    response.headers_mut().insert("docker-content-digest", digest.parse().unwrap());
    response
}

fn manifest(state: &mut State, method: &Method, name: &str, body: Bytes) -> Response<Full<Bytes>> {
    if *method != Method::PUT {
        let Some(manifest) = state.manifests.get(name) else {
            return refusal(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "Requested image not found");
        };
        let mut response = plain(StatusCode::OK, "");
        response.headers_mut().insert(header::CONTENT_LENGTH, manifest.len().into());
        response.headers_mut().insert("docker-content-digest", digest(manifest).parse().unwrap());
        return response;
    }
    if state.mood == Mood::Immutable {
        let message = format!(
            "The image tag '{name}' already exists in the 'jobs/api' repository and cannot be overwritten because the \
             repository is immutable."
        );
        return refusal(StatusCode::BAD_REQUEST, "TAG_INVALID", &message);
    }
    let digest = digest(&body);
    state.manifests.insert(name.to_owned(), body.clone());
    state.manifests.insert(digest.clone(), body);
    let mut response = plain(StatusCode::CREATED, "");
    response.headers_mut().insert("docker-content-digest", digest.parse().unwrap());
    response
}
