//! Dialing a resolved endpoint: Unix socket, TCP with or without TLS, or a child process as a pipe.

use std::{
    io,
    pin::Pin,
    process::Stdio,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::oneshot,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    },
};

use super::{Address, Endpoint, TlsFiles, Verification};

/// As long as docker's own client waits (`go-connections/sockets`, `defaultTimeout`).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of what a tunnel printed is kept for the error message.
const STDERR_KEPT: usize = 4096;

/// Both ways of a connection to the engine.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("connecting failed")]
    Connect { source: io::Error },
    #[error("connecting took more than {} seconds", CONNECT_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the TLS handshake failed")]
    Handshake { source: io::Error },
    #[error("{file} is not usable")]
    Material { file: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the client key is encrypted, which docker has given up as well")]
    EncryptedKey,
    #[error("`{host}` cannot be the name on a certificate")]
    ServerName { host: String, source: rustls_pki_types::InvalidDnsNameError },
    #[error("`{command}` could not be started")]
    Spawn { command: String, source: io::Error },
    /// ssh or `docker system dial-stdio` ended before the engine said anything; its own words.
    #[error("{said}")]
    Tunnel { said: String },
}

impl Endpoint {
    /// Opens one connection; HTTP over it is the caller's business.
    pub async fn dial(&self) -> Result<Box<dyn Connection>, DialError> {
        match &self.address {
            Address::Unix { path } => {
                let stream = UnixStream::connect(path).await.map_err(|source| DialError::Connect { source })?;
                Ok(Box::new(stream))
            }
            Address::Tcp { host, port, tls, base_path: _ } => {
                let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), *port)))
                    .await
                    .map_err(|_| DialError::TimedOut)?
                    .map_err(|source| DialError::Connect { source })?;
                // Requests are small and answered at once; waiting for more to send only delays them.
                stream.set_nodelay(true).map_err(|source| DialError::Connect { source })?;
                match tls {
                    None => Ok(Box::new(stream)),
                    Some(files) => secure(stream, host, files).await,
                }
            }
            Address::Child { argv, authority: _ } => Ok(Box::new(Tunnel::start(argv)?)),
        }
    }
}

async fn secure(stream: TcpStream, host: &str, files: &TlsFiles) -> Result<Box<dyn Connection>, DialError> {
    let config = client_config(files)?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|source| DialError::ServerName { host: host.to_owned(), source })?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, handshake)
        .await
        .map_err(|_| DialError::TimedOut)?
        .map_err(|source| DialError::Handshake { source })?;
    Ok(Box::new(stream))
}

fn client_config(files: &TlsFiles) -> Result<ClientConfig, DialError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|source| material("the TLS provider", source))?;
    let builder = match files.verification {
        Verification::Skip => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
        }
        Verification::Verify => builder.with_root_certificates(roots(files.ca.as_deref())?),
    };
    let Some(identity) = &files.identity else { return Ok(builder.with_no_client_auth()) };
    let key = identity.key.expose();
    let has = |mark: &[u8]| key.windows(mark.len()).any(|window| window == mark);
    if has(b"Proc-Type: 4,ENCRYPTED") || has(b"BEGIN ENCRYPTED PRIVATE KEY") {
        return Err(DialError::EncryptedKey);
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&identity.certificate)
        .collect::<Result<_, _>>()
        .map_err(|source| material("cert.pem", source))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| material("key.pem", source))?;
    builder.with_client_auth_cert(chain, key).map_err(|source| material("cert.pem with key.pem", source))
}

fn roots(ca: Option<&[u8]>) -> Result<RootCertStore, DialError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|source| material("ca.pem", source))?;
                roots.add(certificate).map_err(|source| material("ca.pem", source))?;
            }
        }
        None => {
            // A system's store may hold a certificate that rustls does not take; the others still count.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(material("ca.pem", rustls::Error::General("it holds no certificate".to_owned())));
    }
    Ok(roots)
}

fn material(file: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> DialError {
    DialError::Material { file, source: Box::new(source) }
}

/// Takes any certificate, as docker does with `--tls` alone. The peer must still own its key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A child whose standard input and output are the connection. It dies with the connection.
struct Tunnel {
    output: ChildStdout,
    input: ChildStdin,
    /// How the child ended and what it said, for a connection that ends before it began.
    ended: oneshot::Receiver<String>,
    /// What came out of `ended`, which answers only once.
    said: Option<String>,
    answered: Answered,
    /// Dropped with the tunnel; the task that watches the child kills it then.
    _alive: oneshot::Sender<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answered {
    NothingYet,
    Something,
}

impl Tunnel {
    fn start(argv: &[String]) -> Result<Self, DialError> {
        let spawn = |source| DialError::Spawn { command: argv.join(" "), source };
        let (program, arguments) = argv.split_first().ok_or_else(|| spawn(io::ErrorKind::InvalidInput.into()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C goes to the whole foreground group; the tunnel must outlive it, or the engine
            // would never hear that the build is cancelled in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(spawn)?;
        let input = child.stdin.take().ok_or_else(|| spawn(io::ErrorKind::BrokenPipe.into()))?;
        let output = child.stdout.take().ok_or_else(|| spawn(io::ErrorKind::BrokenPipe.into()))?;
        let (alive, dropped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let command = argv.join(" ");
        tokio::spawn(async move {
            tokio::select! {
                told = watch(child, command) => drop(end.send(told)),
                _ = dropped => {}
            }
        });
        Ok(Self { output, input, ended, said: None, answered: Answered::NothingYet, _alive: alive })
    }
}

impl Tunnel {
    /// Waits until it is known how the child ended.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if self.said.is_none() {
            let said = std::task::ready!(Pin::new(&mut self.ended).poll(context));
            self.said = Some(said.unwrap_or_default());
        }
        let said = self.said.clone().unwrap_or_default();
        Poll::Ready(io::Error::other(DialError::Tunnel { said }))
    }
}

/// Waits for the child and says how it ended in docker's words.
async fn watch(mut child: Child, command: String) -> String {
    let mut said = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        let mut piece = [0; 1024];
        while let Ok(length @ 1..) = stderr.read(&mut piece).await {
            said.extend_from_slice(&piece[..length]);
            said.drain(..said.len().saturating_sub(STDERR_KEPT));
        }
    }
    let status = match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let said = String::from_utf8_lossy(&said);
    format!("command [{command}] has exited with {status}: stderr={}", said.trim())
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.output).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.answered = Answered::Something;
            return Poll::Ready(Ok(()));
        }
        match self.answered {
            Answered::Something => Poll::Ready(Ok(())),
            Answered::NothingYet => self.poll_end(context).map(Err),
        }
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match std::task::ready!(Pin::new(&mut self.input).poll_write(context, bytes)) {
            // A child that ended at once breaks the first write; why it ended comes a moment later.
            Err(_) if self.answered == Answered::NothingYet => self.poll_end(context).map(Err),
            other => Poll::Ready(other),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(context)
    }
}
