//! Where the engine is, resolved as docker resolves it, and how to reach it.
//!
//! The rules are those of docker/cli 28 (`cli/command/cli.go`, `opts/hosts.go`, `cli/connhelper`);
//! the texts of the errors are docker's own, so that what people find about them applies.
//! [`Endpoint::resolve`] is pure but for the `read` closure it is handed.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Url;

pub use self::dial::{Connection, DialError};

mod dial;

/// Docker's default on Linux and macOS.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// Docker's default ports without and with TLS.
const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;
/// The context that stands for flags and environment instead of a stored file.
const DEFAULT_CONTEXT: &str = "default";

/// The global flags of docker that decide about the engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DockerFlags {
    pub context: Option<String>,
    /// `-H`; docker takes a list and refuses more than one.
    pub hosts: Vec<String>,
    /// `--tls`, `--tls=false`.
    pub tls: Option<bool>,
    /// `--tlsverify`, `--tlsverify=false`; any of the two turns TLS on.
    pub tlsverify: Option<bool>,
    pub tlscacert: Option<PathBuf>,
    pub tlscert: Option<PathBuf>,
    pub tlskey: Option<PathBuf>,
}

/// The values of the environment variables docker reads; empty counts as unset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DockerEnvironment {
    /// `DOCKER_HOST`.
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub context: Option<String>,
    /// `DOCKER_TLS`.
    pub tls: Option<String>,
    /// `DOCKER_TLS_VERIFY`.
    pub tls_verify: Option<String>,
    /// `DOCKER_CERT_PATH`.
    pub cert_path: Option<PathBuf>,
    /// `DOCKER_API_VERSION`.
    pub api_version: Option<String>,
    /// `DOCKER_CUSTOM_HEADERS`, `name=value` pairs as CSV.
    pub custom_headers: Option<String>,
}

/// All that decides where the engine is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointInputs {
    pub flags: DockerFlags,
    pub environment: DockerEnvironment,
    /// `--config`, `DOCKER_CONFIG` or `~/.docker`.
    pub config_dir: PathBuf,
    /// The text of `config.json` in there; `None` when there is no such file.
    pub config_file: Option<String>,
    /// Set when `DOCKER_CLI_PLUGIN_USE_DIAL_STDIO` is: the docker command with the globals it got,
    /// `["docker", "--context", "x"]`. The engine is then reached through its `system dial-stdio`.
    pub dial_stdio: Option<Vec<String>>,
}

/// A resolved engine: how to reach it and what to send with every request.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The docker context it came from.
    pub context: String,
    /// As docker prints it: `unix:///var/run/docker.sock`.
    pub host: String,
    pub address: Address,
    /// Fixed by `DOCKER_API_VERSION`; else it is negotiated.
    pub api_version: Option<String>,
    /// `HttpHeaders` of `config.json`, or `DOCKER_CUSTOM_HEADERS` instead of them.
    pub headers: Vec<(String, String)>,
    /// Build arguments that stand for `proxies` in `config.json`.
    pub proxy_arguments: BTreeMap<String, String>,
}

/// How the engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Unix {
        path: PathBuf,
    },
    Tcp {
        host: String,
        port: u16,
        /// Put before every path; from `tcp://host:port/path`.
        base_path: String,
        tls: Option<TlsFiles>,
    },
    /// `argv` is a child process whose standard input and output are the connection.
    Child {
        argv: Vec<String>,
        /// What to send as `Host`.
        authority: String,
    },
}

/// TLS material as read, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// `None`: the system's own roots.
    pub ca: Option<Vec<u8>>,
    pub identity: Option<TlsIdentity>,
    pub verification: Verification,
}

#[derive(Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    pub certificate: Vec<u8>,
    pub key: crate::secret::Secret<Vec<u8>>,
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TlsIdentity(****)")
    }
}

/// Whether the engine's certificate is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verification {
    #[default]
    Verify,
    /// `--tls` without `--tlsverify`, or `SkipTLSVerify` of a context: encrypted, but anybody may answer.
    Skip,
}

/// Why no endpoint could be made out. The texts are docker's.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("conflicting options: cannot specify both --host and --context")]
    HostAndContext,
    #[error("specify only one -H")]
    SeveralHosts,
    #[error("invalid bind address format: {host}")]
    Host { host: String },
    #[error("invalid proto, expected unix: {address}")]
    UnixAddress { address: String },
    #[error("`{host}` is not an address")]
    TcpAddress { host: String, source: url::ParseError },
    #[error("ssh host connection is not valid: invalid SSH URL: {cause}")]
    Ssh { host: String, cause: &'static str },
    #[error("a `{scheme}` address cannot be reached from this platform")]
    Scheme { scheme: String },
    #[error("context \"{context}\": context not found: open {path}: no such file or directory", path = path.display())]
    ContextNotFound { context: String, path: PathBuf },
    #[error("context \"{context}\" has no docker endpoint")]
    ContextWithoutDocker { context: String },
    #[error("`{path}` could not be read", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{path}` is not valid JSON", path = path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("`DOCKER_CUSTOM_HEADERS` must be a list of name=value pairs, not `{value}`")]
    CustomHeaders { value: String },
    #[error(
        "a client certificate needs both files, and `{missing}` is missing", missing = missing.display()
    )]
    HalfIdentity { missing: PathBuf },
}

/// The parts of `config.json` that concern the engine; everything else is left to others.
#[derive(Debug, Default, Deserialize)]
struct ConfigFile {
    #[serde(default, rename = "currentContext")]
    current_context: Option<String>,
    #[serde(default, rename = "HttpHeaders")]
    http_headers: BTreeMap<String, String>,
    #[serde(default)]
    proxies: BTreeMap<String, Proxy>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Proxy {
    #[serde(rename = "httpProxy")]
    http: Option<String>,
    #[serde(rename = "httpsProxy")]
    https: Option<String>,
    #[serde(rename = "noProxy")]
    none: Option<String>,
    #[serde(rename = "ftpProxy")]
    ftp: Option<String>,
    #[serde(rename = "allProxy")]
    all: Option<String>,
}

/// `contexts/meta/<sha256 of the name>/meta.json`.
#[derive(Debug, Deserialize)]
struct ContextMeta {
    #[serde(default, rename = "Endpoints")]
    endpoints: BTreeMap<String, ContextEndpoint>,
}

#[derive(Debug, Deserialize)]
struct ContextEndpoint {
    #[serde(default, rename = "Host")]
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

/// Reads a file; the one outside thing resolving needs.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

impl Endpoint {
    /// Finds the engine as `docker` would with these flags, this environment and this configuration.
    pub fn resolve(inputs: &EndpointInputs, read: ReadFile<'_>) -> Result<Self, EndpointError> {
        let config = match &inputs.config_file {
            Some(text) => serde_json::from_str(text)
                .map_err(|source| EndpointError::Json { path: inputs.config_dir.join("config.json"), source })?,
            None => ConfigFile::default(),
        };
        let context = context_name(inputs, &config)?;
        let (host, address) = match (&inputs.dial_stdio, context.as_str()) {
            (Some(docker), _) => {
                let mut argv = docker.clone();
                argv.extend(["system", "dial-stdio"].map(str::to_owned));
                (argv.join(" "), Address::Child { argv, authority: "docker".to_owned() })
            }
            (None, DEFAULT_CONTEXT) => default_endpoint(inputs, read)?,
            (None, name) => stored_endpoint(inputs, name, read)?,
        };
        Ok(Self {
            proxy_arguments: proxy_arguments(&config, &host),
            context,
            host,
            address,
            api_version: set(inputs.environment.api_version.as_ref()).cloned(),
            headers: headers(inputs, config)?,
        })
    }
}

/// Docker takes a variable that is set but empty for one that is not set.
fn set(value: Option<&String>) -> Option<&String> {
    value.filter(|value| !value.is_empty())
}

/// `--context`, then `-H` and `DOCKER_HOST` (both mean "default"), then `DOCKER_CONTEXT`, then the file.
/// Docker's manual has `DOCKER_CONTEXT` win over `DOCKER_HOST`; docker itself does not.
fn context_name(inputs: &EndpointInputs, config: &ConfigFile) -> Result<String, EndpointError> {
    let flag = set(inputs.flags.context.as_ref());
    if flag.is_some() && !inputs.flags.hosts.is_empty() {
        return Err(EndpointError::HostAndContext);
    }
    if let Some(context) = flag {
        return Ok(context.clone());
    }
    if !inputs.flags.hosts.is_empty() || set(inputs.environment.host.as_ref()).is_some() {
        return Ok(DEFAULT_CONTEXT.to_owned());
    }
    let named = set(inputs.environment.context.as_ref()).or_else(|| set(config.current_context.as_ref()));
    Ok(named.map_or(DEFAULT_CONTEXT, String::as_str).to_owned())
}

/// Docker's `resolveDefaultDockerEndpoint`: flags and environment, no stored context.
fn default_endpoint(inputs: &EndpointInputs, read: ReadFile<'_>) -> Result<(String, Address), EndpointError> {
    let EndpointInputs { flags, environment, config_dir, .. } = inputs;
    let verify = flags.tlsverify.unwrap_or_else(|| set(environment.tls_verify.as_ref()).is_some());
    let on =
        verify || flags.tlsverify.is_some() || flags.tls.unwrap_or_else(|| set(environment.tls.as_ref()).is_some());
    let host = match flags.hosts.as_slice() {
        [] => environment.host.as_deref().unwrap_or_default(),
        [host] => host,
        _ => return Err(EndpointError::SeveralHosts),
    };
    let host = parse_host(host, on)?;
    let tls = if on {
        let folder = environment.cert_path.as_deref().filter(|path| !path.as_os_str().is_empty()).unwrap_or(config_dir);
        let ca_path = flags.tlscacert.clone().unwrap_or_else(|| folder.join("ca.pem"));
        let ca = read(&ca_path).map_err(|source| EndpointError::Read { path: ca_path, source })?;
        let identity = identity(
            read,
            FileChoice::of(flags.tlscert.as_ref(), folder, "cert.pem"),
            FileChoice::of(flags.tlskey.as_ref(), folder, "key.pem"),
        )?;
        let verification = if verify { Verification::Verify } else { Verification::Skip };
        Some(TlsFiles { ca: Some(ca), identity, verification })
    } else {
        None
    };
    let address = address(&host, tls)?;
    Ok((host, address))
}

/// A file that was named, or one that is used when it happens to be there.
enum FileChoice {
    Named(PathBuf),
    IfPresent(PathBuf),
}

impl FileChoice {
    fn of(flag: Option<&PathBuf>, folder: &Path, name: &str) -> Self {
        flag.map_or_else(|| Self::IfPresent(folder.join(name)), |path| Self::Named(path.clone()))
    }

    fn read(self, read: ReadFile<'_>) -> Result<(PathBuf, Option<Vec<u8>>), EndpointError> {
        let (path, result) = match self {
            Self::Named(path) => (path.clone(), read(&path).map(Some)),
            Self::IfPresent(path) => {
                let result = match read(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    other => other.map(Some),
                };
                (path, result)
            }
        };
        match result {
            Ok(content) => Ok((path, content)),
            Err(source) => Err(EndpointError::Read { path, source }),
        }
    }
}

fn identity(
    read: ReadFile<'_>,
    certificate: FileChoice,
    key: FileChoice,
) -> Result<Option<TlsIdentity>, EndpointError> {
    let (certificate_path, certificate) = certificate.read(read)?;
    let (key_path, key) = key.read(read)?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsIdentity { certificate, key: crate::secret::Secret::new(key) })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(EndpointError::HalfIdentity { missing: certificate_path }),
        (Some(_), None) => Err(EndpointError::HalfIdentity { missing: key_path }),
    }
}

/// A context as `docker context create` stored it.
fn stored_endpoint(
    inputs: &EndpointInputs,
    name: &str,
    read: ReadFile<'_>,
) -> Result<(String, Address), EndpointError> {
    let id = hex::encode(Sha256::digest(name.as_bytes()));
    let contexts = inputs.config_dir.join("contexts");
    let path = contexts.join("meta").join(&id).join("meta.json");
    let meta = match read(&path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EndpointError::ContextNotFound { context: name.to_owned(), path });
        }
        Err(source) => return Err(EndpointError::Read { path, source }),
    };
    let meta: ContextMeta = serde_json::from_slice(&meta).map_err(|source| EndpointError::Json { path, source })?;
    let Some(docker) = meta.endpoints.get("docker").filter(|endpoint| !endpoint.host.is_empty()) else {
        return Err(EndpointError::ContextWithoutDocker { context: name.to_owned() });
    };
    let folder = contexts.join("tls").join(&id).join("docker");
    let (_, ca) = FileChoice::IfPresent(folder.join("ca.pem")).read(read)?;
    let identity =
        identity(read, FileChoice::IfPresent(folder.join("cert.pem")), FileChoice::IfPresent(folder.join("key.pem")))?;
    let verification = if docker.skip_tls_verify { Verification::Skip } else { Verification::Verify };
    // No material and nothing to skip: docker speaks plain HTTP then, not TLS with the system's roots.
    let tls = (ca.is_some() || identity.is_some() || docker.skip_tls_verify).then_some(TlsFiles {
        ca,
        identity,
        verification,
    });
    let address = address(&docker.host, tls)?;
    Ok((docker.host.clone(), address))
}

/// Docker's `opts.ParseHost`: what people may write, as a URL with everything in it.
fn parse_host(text: &str, tls: bool) -> Result<String, EndpointError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(if tls { format!("tcp://localhost:{TLS_PORT}") } else { format!("unix://{DEFAULT_SOCKET}") });
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
    match scheme {
        "tcp" => {
            let (host, port, path) = host_and_port(text, rest, PLAIN_PORT)?;
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            Ok(format!("tcp://{host}:{port}{path}"))
        }
        "unix" if rest.contains("://") => Err(EndpointError::UnixAddress { address: rest.to_owned() }),
        "unix" if rest.is_empty() => Ok(format!("unix://{DEFAULT_SOCKET}")),
        "unix" | "npipe" | "fd" | "ssh" => Ok(format!("{scheme}://{rest}")),
        _ => Err(EndpointError::Host { host: text.to_owned() }),
    }
}

/// The parts of `[host][:port][/path]`; what is missing is `localhost` and `port`.
fn host_and_port(whole: &str, rest: &str, port: u16) -> Result<(String, u16, String), EndpointError> {
    let invalid = |source| EndpointError::TcpAddress { host: whole.to_owned(), source };
    // The URL standard wants a host where docker does not.
    let rest =
        if rest.is_empty() || rest.starts_with([':', '/']) { format!("localhost{rest}") } else { rest.to_owned() };
    // A scheme without a default port, so that a written `:80` is not dropped.
    let url = Url::parse(&format!("docker://{rest}")).map_err(invalid)?;
    let host = url.host_str().ok_or(url::ParseError::EmptyHost).map_err(invalid)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok((host, url.port().unwrap_or(port), url.path().trim_end_matches('/').to_owned()))
}

fn address(host: &str, tls: Option<TlsFiles>) -> Result<Address, EndpointError> {
    let (scheme, rest) = host.split_once("://").ok_or_else(|| EndpointError::Host { host: host.to_owned() })?;
    match scheme {
        "unix" => Ok(Address::Unix { path: PathBuf::from(rest) }),
        "tcp" | "http" => {
            let (host, port, base_path) = host_and_port(host, rest, if tls.is_some() { TLS_PORT } else { PLAIN_PORT })?;
            Ok(Address::Tcp { host, port, base_path, tls })
        }
        "https" => {
            let (host, port, base_path) = host_and_port(host, rest, 443)?;
            Ok(Address::Tcp { host, port, base_path, tls: Some(tls.unwrap_or_default()) })
        }
        "ssh" => ssh(host),
        _ => Err(EndpointError::Scheme { scheme: scheme.to_owned() }),
    }
}

/// `cli/connhelper`: an ssh child that runs `docker system dial-stdio` over there.
fn ssh(host: &str) -> Result<Address, EndpointError> {
    let refuse = |cause| EndpointError::Ssh { host: host.to_owned(), cause };
    let url = Url::parse(host).map_err(|_| refuse("it cannot be parsed"))?;
    if url.password().is_some() {
        return Err(refuse("plain-text password is not supported"));
    }
    if url.query().is_some() {
        return Err(refuse("query parameters are not allowed"));
    }
    if url.fragment().is_some() {
        return Err(refuse("fragments are not allowed"));
    }
    let Some(name) = url.host_str().filter(|name| !name.is_empty()) else {
        return Err(refuse("hostname is empty"));
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let mut argv: Vec<String> = ["ssh", "-o", "ConnectTimeout=30", "-T"].map(str::to_owned).into();
    if !url.username().is_empty() {
        argv.extend(["-l".to_owned(), url.username().to_owned()]);
    }
    if let Some(port) = url.port() {
        argv.extend(["-p".to_owned(), port.to_string()]);
    }
    argv.extend(["--".to_owned(), name.to_owned(), "docker".to_owned()]);
    // As written, because `Url` would hand it out with `%20` for a blank.
    let path = host.trim_start_matches("ssh://").split_once('/').map_or("", |(_, path)| path);
    if !path.is_empty() {
        // The remote shell reads this one: ssh joins its arguments with blanks.
        argv.push(quote(&format!("--host=unix:///{path}")));
    }
    argv.extend(["system", "dial-stdio"].map(str::to_owned));
    // What docker sends from here; engines never look at it.
    Ok(Address::Child { argv, authority: "docker.example.com".to_owned() })
}

/// Quotes a word for a POSIX shell where it needs it.
fn quote(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=:/.,@%+".contains(letter);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// `DOCKER_CUSTOM_HEADERS` replaces `HttpHeaders`; a `User-Agent` of either is ours to send.
fn headers(inputs: &EndpointInputs, config: ConfigFile) -> Result<Vec<(String, String)>, EndpointError> {
    let pairs = match set(inputs.environment.custom_headers.as_ref()) {
        None => config.http_headers.into_iter().collect(),
        Some(value) => csv(value)
            .iter()
            .map(|field| match field.split_once('=') {
                Some((name, content)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), content.to_owned())),
                Some(_) | None => Err(EndpointError::CustomHeaders { value: value.clone() }),
            })
            .collect::<Result<Vec<_>, _>>()?,
    };
    Ok(pairs.into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case("user-agent")).collect())
}

/// One line of CSV: fields may be quoted, a doubled quote is a quote.
fn csv(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let field = fields.last_mut().expect("the list starts with one field and only grows");
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

/// Docker hands the proxies of `config.json` to every build, in upper and lower case.
fn proxy_arguments(config: &ConfigFile, host: &str) -> BTreeMap<String, String> {
    let Some(proxy) = config.proxies.get(host).or_else(|| config.proxies.get("default")) else {
        return BTreeMap::new();
    };
    let Proxy { http, https, none, ftp, all } = proxy;
    [("HTTP_PROXY", http), ("HTTPS_PROXY", https), ("NO_PROXY", none), ("FTP_PROXY", ftp), ("ALL_PROXY", all)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, set(value.as_ref())?)))
        .flat_map(|(name, value)| [(name.to_owned(), value.clone()), (name.to_lowercase(), value.clone())])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(_: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn inputs() -> EndpointInputs {
        EndpointInputs { config_dir: PathBuf::from("/home/me/.docker"), ..EndpointInputs::default() }
    }

    fn with_host(host: &str) -> EndpointInputs {
        let mut inputs = inputs();
        inputs.flags.hosts = vec![host.to_owned()];
        inputs
    }

    /// Each row was tried with docker 28.2.2.
    #[test]
    fn hosts_are_read_as_docker_reads_them() {
        for (written, meant) in [
            ("", "unix:///var/run/docker.sock"),
            (" ", "unix:///var/run/docker.sock"),
            ("unix://", "unix:///var/run/docker.sock"),
            ("unix:///run/user/1000/docker.sock", "unix:///run/user/1000/docker.sock"),
            ("localhost", "tcp://localhost:2375"),
            ("tcp://", "tcp://localhost:2375"),
            (":2376", "tcp://localhost:2376"),
            ("tcp://h/p", "tcp://h:2375/p"),
            ("tcp://h:80", "tcp://h:80"),
            ("tcp://[::1]:5", "tcp://[::1]:5"),
            ("ssh://me@h:22/run/docker.sock", "ssh://me@h:22/run/docker.sock"),
        ] {
            assert_eq!(Endpoint::resolve(&with_host(written), &missing).unwrap().host, meant, "{written}");
        }
    }

    #[test]
    fn what_docker_refuses_is_refused_in_its_words() {
        for (written, error) in [
            ("bad://x", "invalid bind address format: bad://x"),
            ("http://h", "invalid bind address format: http://h"),
            ("unix://a://b", "invalid proto, expected unix: a://b"),
            ("ssh://u:p@h", "ssh host connection is not valid: invalid SSH URL: plain-text password is not supported"),
            ("npipe:////./pipe/x", "a `npipe` address cannot be reached from this platform"),
            ("tcp://h:x", "`tcp://h:x` is not an address"),
            ("1.2.3.4:99999", "`1.2.3.4:99999` is not an address"),
        ] {
            assert_eq!(Endpoint::resolve(&with_host(written), &missing).unwrap_err().to_string(), error);
        }
        let mut both = with_host("x");
        both.flags.context = Some("y".to_owned());
        assert!(matches!(Endpoint::resolve(&both, &missing), Err(EndpointError::HostAndContext)));
        let mut two = with_host("x");
        two.flags.hosts.push("y".to_owned());
        assert!(matches!(Endpoint::resolve(&two, &missing), Err(EndpointError::SeveralHosts)));
    }

    #[test]
    fn the_context_is_chosen_in_dockers_order() {
        let config = |text: &str| Some(text.to_owned());
        let current = r#"{"currentContext":"file"}"#;
        // (--context, -H, DOCKER_HOST, DOCKER_CONTEXT, config.json) → context
        let rows = [
            (Some("flag"), None, Some("unix:///x"), Some("env"), current, "flag"),
            (None, Some("unix:///x"), None, Some("env"), current, "default"),
            (None, None, Some("unix:///x"), Some("env"), current, "default"),
            (None, None, Some(""), Some("env"), current, "env"),
            (None, None, None, Some(""), current, "file"),
            (None, None, None, None, current, "file"),
            (None, None, None, None, "{}", "default"),
        ];
        for (flag, host, env_host, env_context, file, meant) in rows {
            let mut inputs = inputs();
            inputs.flags.context = flag.map(str::to_owned);
            inputs.flags.hosts = host.map(str::to_owned).into_iter().collect();
            inputs.environment.host = env_host.map(str::to_owned);
            inputs.environment.context = env_context.map(str::to_owned);
            inputs.config_file = config(file);
            let parsed: ConfigFile = serde_json::from_str(file).unwrap();
            assert_eq!(context_name(&inputs, &parsed).unwrap(), meant);
        }
    }

    fn stored(name: &str, meta: &str, tls: &[(&str, &str)]) -> impl Fn(&Path) -> io::Result<Vec<u8>> {
        let id = hex::encode(Sha256::digest(name.as_bytes()));
        let root = PathBuf::from("/home/me/.docker/contexts");
        let mut files = BTreeMap::from([(root.join("meta").join(&id).join("meta.json"), meta.as_bytes().to_vec())]);
        for (file, content) in tls {
            files.insert(root.join("tls").join(&id).join("docker").join(file), content.as_bytes().to_vec());
        }
        move |path| files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn in_context(name: &str) -> EndpointInputs {
        let mut inputs = inputs();
        inputs.flags.context = Some(name.to_owned());
        inputs
    }

    #[test]
    fn a_context_that_is_not_there_is_named_with_its_file() {
        let error = Endpoint::resolve(&in_context("nope"), &missing).unwrap_err();
        assert_eq!(
            error.to_string(),
            "context \"nope\": context not found: open /home/me/.docker/contexts/meta/\
             ca3704aa0b06f5954c79ee837faa152d84d6b2d42838f0637a15eda8337dbdce/meta.json: no such file or directory"
        );
    }

    #[test]
    fn a_stored_ssh_context_becomes_dockers_ssh_command() {
        let meta = r#"{"Name":"remote","Metadata":{"Description":"my ssh"},
            "Endpoints":{"docker":{"Host":"ssh://me@example.com:2222/run/my docker.sock","SkipTLSVerify":false}}}"#;
        let endpoint = Endpoint::resolve(&in_context("remote"), &stored("remote", meta, &[])).unwrap();
        let Address::Child { argv, .. } = endpoint.address else { panic!("{:?}", endpoint.address) };
        assert_eq!(
            argv.join(" "),
            "ssh -o ConnectTimeout=30 -T -l me -p 2222 -- example.com docker \
             '--host=unix:///run/my docker.sock' system dial-stdio"
        );
    }

    #[test]
    fn a_tcp_context_uses_tls_only_when_it_has_something_to_use() {
        let meta = |skip: bool| {
            format!(r#"{{"Endpoints":{{"docker":{{"Host":"tcp://10.0.0.1:2376","SkipTLSVerify":{skip}}}}}}}"#)
        };
        let tls = |skip: bool, files: &[(&str, &str)]| {
            let endpoint = Endpoint::resolve(&in_context("c"), &stored("c", &meta(skip), files)).unwrap();
            let Address::Tcp { host, port, tls, .. } = endpoint.address else { panic!("{:?}", endpoint.address) };
            assert_eq!((host.as_str(), port), ("10.0.0.1", 2376));
            tls
        };
        assert_eq!(tls(false, &[]), None);
        assert_eq!(tls(true, &[]).unwrap().verification, Verification::Skip);
        let full = tls(false, &[("ca.pem", "CA"), ("cert.pem", "CERT"), ("key.pem", "KEY")]).unwrap();
        assert_eq!(full.ca.as_deref(), Some(&b"CA"[..]));
        assert!(full.identity.is_some());
        assert_eq!(full.verification, Verification::Verify);
    }

    #[test]
    fn tls_by_environment_reads_the_certificate_folder() {
        let mut inputs = inputs();
        inputs.environment.tls_verify = Some("1".to_owned());
        inputs.environment.cert_path = Some(PathBuf::from("/certs"));
        let error = Endpoint::resolve(&inputs, &missing).unwrap_err();
        assert_eq!(error.to_string(), "`/certs/ca.pem` could not be read");
        let only_ca = |path: &Path| {
            if path == Path::new("/certs/ca.pem") { Ok(b"CA".to_vec()) } else { missing(path) }
        };
        let endpoint = Endpoint::resolve(&inputs, &only_ca).unwrap();
        assert_eq!(endpoint.host, "tcp://localhost:2376");
        let Address::Tcp { tls: Some(tls), .. } = endpoint.address else { panic!("{:?}", endpoint.address) };
        assert_eq!((tls.verification, tls.identity), (Verification::Verify, None));
        let half = |path: &Path| if path.ends_with("key.pem") { missing(path) } else { Ok(b"PEM".to_vec()) };
        let error = Endpoint::resolve(&inputs, &half).unwrap_err();
        assert_eq!(error.to_string(), "a client certificate needs both files, and `/certs/key.pem` is missing");
    }

    /// Regardless of its value, `--tlsverify` turns TLS on; false means an unverified peer.
    #[test]
    fn tlsverify_false_is_still_tls() {
        let mut inputs = inputs();
        inputs.flags.tlsverify = Some(false);
        let endpoint = Endpoint::resolve(&inputs, &|path| {
            if path.ends_with("ca.pem") { Ok(b"CA".to_vec()) } else { missing(path) }
        })
        .unwrap();
        let Address::Tcp { tls: Some(tls), .. } = endpoint.address else { panic!("{:?}", endpoint.address) };
        assert_eq!(tls.verification, Verification::Skip);
    }

    #[test]
    fn headers_come_from_the_file_unless_the_environment_has_its_own() {
        let mut inputs = inputs();
        inputs.config_file = Some(r#"{"HttpHeaders":{"X-Team":"a","User-Agent":"no"}}"#.to_owned());
        let headers = |inputs: &EndpointInputs| Endpoint::resolve(inputs, &missing).map(|endpoint| endpoint.headers);
        assert_eq!(headers(&inputs).unwrap(), [("X-Team".to_owned(), "a".to_owned())]);
        inputs.environment.custom_headers = Some(r#""X-One=1,""2""",X-Two=3"#.to_owned());
        assert_eq!(
            headers(&inputs).unwrap(),
            [("X-One".to_owned(), "1,\"2\"".to_owned()), ("X-Two".to_owned(), "3".to_owned())]
        );
        inputs.environment.custom_headers = Some("nonsense".to_owned());
        assert!(matches!(headers(&inputs), Err(EndpointError::CustomHeaders { .. })));
    }

    #[test]
    fn proxies_become_build_arguments_in_both_cases() {
        let mut inputs = inputs();
        inputs.config_file = Some(r#"{"proxies":{"default":{"httpProxy":"http://p:1","noProxy":"x"}}}"#.to_owned());
        let arguments = Endpoint::resolve(&inputs, &missing).unwrap().proxy_arguments;
        let names: Vec<_> = arguments.keys().map(String::as_str).collect();
        assert_eq!(names, ["HTTP_PROXY", "NO_PROXY", "http_proxy", "no_proxy"]);
    }

    #[test]
    fn a_plugin_told_to_use_dial_stdio_goes_through_docker() {
        let mut inputs = inputs();
        inputs.dial_stdio = Some(["docker", "--context", "x"].map(str::to_owned).into());
        inputs.flags.context = Some("x".to_owned());
        let endpoint = Endpoint::resolve(&inputs, &missing).unwrap();
        assert_eq!(endpoint.host, "docker --context x system dial-stdio");
    }

    #[test]
    fn a_broken_config_file_is_named() {
        let mut inputs = inputs();
        inputs.config_file = Some("{".to_owned());
        let error = Endpoint::resolve(&inputs, &missing).unwrap_err();
        assert_eq!(error.to_string(), "`/home/me/.docker/config.json` is not valid JSON");
    }
}
