//! Connecting: what goes over the wire, TLS, tunnels, and the errors people meet.

use std::{convert::Infallible, error::Error as _, path::PathBuf, sync::Mutex};

use http_body_util::Full;
use hyper::service::service_fn;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier},
};

use super::*;
use crate::docker::endpoint::{TlsFiles, TlsIdentity, Verification};

const CA: &[u8] = include_bytes!("../endpoint/tls/ca.pem");
const OTHER_CA: &[u8] = include_bytes!("../endpoint/tls/other-ca.pem");
const SERVER: &[u8] = include_bytes!("../endpoint/tls/server.pem");
const SERVER_KEY: &[u8] = include_bytes!("../endpoint/tls/server-key.pem");
const CLIENT: &[u8] = include_bytes!("../endpoint/tls/client.pem");
const CLIENT_KEY: &[u8] = include_bytes!("../endpoint/tls/client-key.pem");

fn endpoint(address: Address) -> Endpoint {
    Endpoint {
        context: "default".to_owned(),
        host: match &address {
            Address::Unix { path } => format!("unix://{}", path.display()),
            Address::Tcp { host, port, .. } => format!("tcp://{host}:{port}"),
            Address::Child { argv, .. } => argv.join(" "),
        },
        address,
        api_version: None,
        headers: Vec::new(),
        proxy_arguments: std::collections::BTreeMap::new(),
    }
}

type Seen = Arc<Mutex<Vec<String>>>;

/// Answers every request like an engine of that version and notes what was asked.
async fn serve(io: impl Connection + 'static, api: &'static str, seen: Seen) {
    let service = service_fn(move |request: Request<Incoming>| {
        let header =
            |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
        seen.lock().unwrap().push(format!(
            "{} {} host={} agent={} team={}",
            request.method(),
            request.uri(),
            header("host"),
            header("user-agent").split('/').next().unwrap(),
            header("x-team"),
        ));
        let mut response = Response::new(Full::<Bytes>::from("{}"));
        response.headers_mut().insert("api-version", HeaderValue::from_static(api));
        async move { Ok::<_, Infallible>(response) }
    });
    // A client that hangs up is part of some tests.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service).await);
}

fn on_socket(api: &'static str) -> (tempfile::TempDir, PathBuf, Seen) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let seen = Seen::default();
    let notes = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(Box::new(stream) as Box<dyn Connection>, api, Arc::clone(&notes)));
        }
    });
    (folder, path, seen)
}

#[tokio::test]
async fn the_version_agreed_on_and_our_headers_are_on_the_wire() {
    let (_folder, path, seen) = on_socket("1.43");
    let mut endpoint = endpoint(Address::Unix { path });
    endpoint.headers = vec![("X-Team".to_owned(), "a".to_owned())];
    let engine = Engine::at(endpoint).await.unwrap();
    engine.docker().version().await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "GET /_ping host=api.moby.localhost agent=docker-ecs-ship team=a",
            "GET /v1.43/version host=api.moby.localhost agent=docker-ecs-ship team=a",
        ]
    );
}

#[tokio::test]
async fn versions_are_agreed_on_as_docker_does() {
    for (engine_api, fixed, agreed) in
        [("1.41", None, "1.41"), ("1.99", None, "1.51"), ("1.99", Some("1.45"), "1.45"), ("1.41", Some("1.60"), "1.60")]
    {
        let (_folder, path, _) = on_socket(engine_api);
        let mut endpoint = endpoint(Address::Unix { path });
        endpoint.api_version = fixed.map(str::to_owned);
        let engine = Engine::at(endpoint).await.unwrap();
        assert_eq!(engine.wire.version.unwrap().to_string(), agreed);
    }
    let (_folder, path, _) = on_socket("1.24");
    let error = Engine::at(endpoint(Address::Unix { path })).await.unwrap_err();
    assert!(matches!(error, DockerError::EngineTooOld { .. }), "{error}");
    let (_folder, path, _) = on_socket("1.41");
    let mut fixed = endpoint(Address::Unix { path });
    fixed.api_version = Some("newest".to_owned());
    assert!(matches!(Engine::at(fixed).await.unwrap_err(), DockerError::ApiVersion { .. }));
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_told_from_one_that_does_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = Engine::at(endpoint(Address::Unix { path: folder.path().join("none.sock") })).await.unwrap_err();
    assert!(matches!(nothing, DockerError::NotInstalled { .. }), "{nothing:?}");
    // A socket whose server is gone.
    let path = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let dead = Engine::at(endpoint(Address::Unix { path: path.clone() })).await.unwrap_err();
    assert_eq!(
        dead.to_string(),
        format!("cannot connect to the Docker daemon at unix://{}: it is not running", path.display())
    );
    // Root may open anything, so the kernel's word is given by hand.
    let source = std::io::ErrorKind::PermissionDenied.into();
    let denied = DockerError::dialing("unix:///x", crate::docker::endpoint::DialError::Connect { source });
    assert!(matches!(denied, DockerError::PermissionDenied { .. }));
}

#[tokio::test]
async fn something_else_on_the_port_is_not_an_engine() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(|_: Request<Incoming>| async {
            let mut response = Response::new(Full::<Bytes>::from("not here"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            Ok::<_, Infallible>(response)
        });
        drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
    });
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port, base_path: String::new(), tls: None };
    let error = Engine::at(endpoint(address)).await.unwrap_err();
    assert!(matches!(error, DockerError::NotAnEngine { status: 404, .. }), "{error:?}");
}

/// An engine that wants a client certificate, as `dockerd --tlsverify` does.
async fn tls_engine() -> (u16, Seen) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA).unwrap()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(SERVER).unwrap()],
            PrivateKeyDer::from_pem_slice(SERVER_KEY).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Seen::default();
    let notes = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(serve(Box::new(stream) as Box<dyn Connection>, "1.41", Arc::clone(&notes)));
            }
        }
    });
    (port, seen)
}

#[tokio::test]
async fn tls_verifies_both_ends_unless_told_otherwise() {
    let (port, seen) = tls_engine().await;
    let identity =
        || Some(TlsIdentity { certificate: CLIENT.to_vec(), key: crate::secret::Secret::new(CLIENT_KEY.to_vec()) });
    let with = |ca: Option<&[u8]>, identity, verification, base_path: &str| {
        let tls = Some(TlsFiles { ca: ca.map(<[u8]>::to_vec), identity, verification });
        endpoint(Address::Tcp { host: "127.0.0.1".to_owned(), port, base_path: base_path.to_owned(), tls })
    };
    Engine::at(with(Some(CA), identity(), Verification::Verify, "/behind")).await.unwrap();
    assert_eq!(
        seen.lock().unwrap()[0],
        format!("GET /behind/_ping host=127.0.0.1:{port} agent=docker-ecs-ship team=-")
    );
    let stranger = Engine::at(with(Some(OTHER_CA), identity(), Verification::Verify, "")).await.unwrap_err();
    assert!(matches!(stranger, DockerError::Tls { .. }), "{stranger:?}");
    Engine::at(with(Some(OTHER_CA), identity(), Verification::Skip, "")).await.unwrap();
    // TLS 1.3 lets a client without certificate connect and hears of it with the first answer.
    Engine::at(with(Some(CA), None, Verification::Verify, "")).await.unwrap_err();
    let broken = Some(TlsIdentity { certificate: CLIENT.to_vec(), key: crate::secret::Secret::new(b"x".to_vec()) });
    let error = Engine::at(with(Some(CA), broken, Verification::Verify, "")).await.unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "key.pem is not usable");
    let locked = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n".to_vec();
    let locked = Some(TlsIdentity { certificate: CLIENT.to_vec(), key: crate::secret::Secret::new(locked) });
    let error = Engine::at(with(Some(CA), locked, Verification::Verify, "")).await.unwrap_err();
    assert!(error.source().unwrap().to_string().contains("encrypted"), "{error:?}");
}

fn child(script: &str) -> Endpoint {
    endpoint(Address::Child {
        argv: ["sh", "-c", script].map(str::to_owned).into(),
        authority: "docker.example.com".to_owned(),
    })
}

#[tokio::test]
async fn a_tunnel_that_fails_says_what_it_said() {
    let error = Engine::at(child("echo 'ssh: no route to host' >&2; exit 255")).await.unwrap_err();
    assert!(matches!(error, DockerError::Unreachable { .. }), "{error:?}");
    assert_eq!(
        error.source().unwrap().to_string(),
        "command [sh -c echo 'ssh: no route to host' >&2; exit 255] has exited with exit status: 255: \
         stderr=ssh: no route to host"
    );
    let missing = endpoint(Address::Child { argv: vec!["/no/such/ssh".to_owned()], authority: "x".to_owned() });
    assert!(matches!(Engine::at(missing).await.unwrap_err(), DockerError::Unreachable { .. }));
}

#[tokio::test]
async fn a_tunnel_that_works_carries_an_engine() {
    let answer = r"printf 'HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK'";
    Engine::at(child(&format!("read line; {answer}; cat >/dev/null"))).await.unwrap();
}

/// A tunnel must not outlive its connection, whatever it waits for.
#[tokio::test]
async fn a_tunnel_ends_with_its_connection() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let connection = child(&format!("echo $$ > {}; exec 0<&-; sleep 600", pid_file.display())).dial().await.unwrap();
    let limit = Duration::from_secs(30);
    let written = tokio::time::timeout(limit, async {
        let mut again = tokio::time::interval(Duration::from_millis(20));
        loop {
            if let Some(pid) = std::fs::read_to_string(&pid_file).ok().filter(|pid| pid.ends_with('\n')) {
                return pid.trim().to_owned();
            }
            again.tick().await;
        }
    });
    let pid = written.await.unwrap();
    drop(connection);
    let gone = tokio::time::timeout(limit, async {
        let mut again = tokio::time::interval(Duration::from_millis(20));
        while std::path::Path::new(&format!("/proc/{pid}")).exists() {
            again.tick().await;
        }
    });
    gone.await.unwrap();
}

#[tokio::test]
async fn an_engine_that_goes_away_is_told_as_such_by_every_call() {
    let (folder, path, _) = on_socket("1.41");
    let engine = Engine::at(endpoint(Address::Unix { path })).await.unwrap();
    drop(folder);
    assert!(matches!(engine.describe().await.unwrap_err(), DockerError::NotInstalled { .. }));
}

/// docker's own pipe to the engine, as a plugin is told to use it by `DOCKER_CLI_PLUGIN_USE_DIAL_STDIO`.
#[tokio::test(flavor = "multi_thread")]
async fn docker_system_dial_stdio_carries_an_engine() {
    let host = crate::docker::testing::engine().await.endpoint().host.clone();
    let inputs = EndpointInputs {
        dial_stdio: Some(["docker", "--host", &host].map(str::to_owned).into()),
        ..EndpointInputs::default()
    };
    let missing = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let engine = Engine::connect(&inputs, &missing).await.unwrap();
    assert!(engine.describe().await.unwrap().observed.platform.starts_with("linux/"));
}

#[test]
fn what_a_ping_tells_about_buildkit() {
    for (headers, buildkit_there) in [
        (vec![("builder-version", "2")], BuildKit::Present),
        // Engine 20.10.
        (vec![("ostype", "linux")], BuildKit::Present),
        (vec![("builder-version", "1")], BuildKit::Absent),
        (vec![("ostype", "windows")], BuildKit::Absent),
        (vec![("libpod-api-version", "5.8.6"), ("builder-version", "")], BuildKit::Absent),
    ] {
        let headers: HeaderMap =
            headers.into_iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
        assert_eq!(buildkit(&headers), buildkit_there, "{headers:?}");
    }
}

#[test]
fn refusals_are_read_in_every_dress() {
    let read = |body: &str| refusal_message(body.as_bytes(), StatusCode::NOT_FOUND);
    assert_eq!(read(r#"{"message":"No such image: x"}"#), "No such image: x");
    assert_eq!(read(r#"{"errorDetail":{"message":"denied"},"error":"denied"}"#), "denied");
    assert_eq!(read("404 page not found\n"), "404 page not found");
    assert_eq!(read(""), "Not Found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_of_this_machine_describes_itself() {
    let engine = crate::docker::testing::engine().await;
    let description = engine.describe().await.unwrap();
    assert!(description.observed.platform.starts_with("linux/"), "{description:?}");
    assert!(!description.version.is_empty());
    assert!(description.api >= OLDEST && description.api <= NEWEST);
    assert_eq!(description.observed.buildkit, engine.buildkit());
}
