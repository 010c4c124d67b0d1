//! From an endpoint and an identity to configured clients: the only place a client is made.
//!
//! The region is resolved here, before anything is asked of the network: without one the SDK would
//! look for it in the instance metadata, which takes four seconds where that address drops packets.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig,
    ecs::EcsCredentialsProvider,
    environment::EnvironmentVariableCredentialsProvider,
    imds::credentials::ImdsCredentialsProvider,
    meta::{credentials::CredentialsProviderChain, region::ProvideRegion},
    profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider},
    provider_config::ProviderConfig,
    retry::RetryConfig,
    timeout::TimeoutConfig,
    web_identity_token::WebIdentityTokenCredentialsProvider,
};
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError, future};
use aws_sdk_ecs::config::{
    AsyncSleep as _, Credentials, SharedAsyncSleep, SharedCredentialsProvider, SharedHttpClient,
};
use aws_smithy_http_client::{
    Builder as HttpClientBuilder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    allowance::Allowance,
    assume::{self, AskMfa},
    batch::Batch,
    error::{AwsError, ConnectCause, Kind, Source, Unprovided, innermost},
    principal,
    session::Sessions,
};
use crate::{
    env,
    event::Progress,
    id::{Cluster, ServiceName},
};

/// Whom the clients talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// AWS, or whatever `AWS_ENDPOINT_URL` and the profile say instead.
    Aws,
    /// The sandbox: one plain HTTP address for every service, with the access key it knows.
    At { url: String },
}

/// As whom, and in which region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// From a flag or `ship.toml`; wins over the environment.
    pub region: Option<String>,
    /// From a flag or `ship.toml`; wins over `AWS_PROFILE`.
    pub profile: Option<String>,
    /// The role to take on with these credentials.
    pub role: Option<Role>,
    /// Who can be asked for an MFA code.
    pub ask: AskMfa,
    /// Who keeps what was given for one.
    pub sessions: Sessions,
    pub variables: Variables,
}

/// A role of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    /// Names the session in `CloudTrail`, and in every ARN of a caller.
    pub session_name: String,
}

/// The environment variables that decide here. The SDK reads its own (access keys, web identity,
/// container credentials) from the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    pub region: Option<String>,
    pub default_region: Option<String>,
    pub profile: Option<String>,
    pub ca_bundle: Option<PathBuf>,
    // The rest only tells whose a token is, see `super::principal`.
    pub access_key_id: Option<String>,
    pub config_file: Option<PathBuf>,
    pub credentials_file: Option<PathBuf>,
    pub role_arn: Option<String>,
    pub role_session_name: Option<String>,
    pub web_identity_token_file: Option<PathBuf>,
    /// Full or relative.
    pub container_uri: Option<String>,
    pub endpoint_url: Option<String>,
    pub endpoint_url_ecr: Option<String>,
    pub ignore_endpoints: bool,
    pub fips: bool,
    pub dual_stack: bool,
    pub home: Option<PathBuf>,
    pub user: Option<String>,
}

impl Variables {
    /// Reads them through `look_up`; an empty value counts as unset, as in the AWS CLI.
    #[must_use]
    pub fn read(look_up: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| look_up(name).filter(|value| !value.is_empty());
        let path = |name| set(name).map(PathBuf::from);
        let on = |name| set(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Self {
            region: set(env::AWS_REGION),
            default_region: set(env::AWS_DEFAULT_REGION),
            profile: set(env::AWS_PROFILE),
            ca_bundle: path(env::AWS_CA_BUNDLE),
            access_key_id: set(env::AWS_ACCESS_KEY_ID),
            config_file: path(env::AWS_CONFIG_FILE),
            credentials_file: path(env::AWS_SHARED_CREDENTIALS_FILE),
            role_arn: set(env::AWS_ROLE_ARN),
            role_session_name: set(env::AWS_ROLE_SESSION_NAME),
            web_identity_token_file: path(env::AWS_WEB_IDENTITY_TOKEN_FILE),
            container_uri: set(env::AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)
                .or_else(|| set(env::AWS_CONTAINER_CREDENTIALS_FULL_URI)),
            endpoint_url: set(env::AWS_ENDPOINT_URL),
            endpoint_url_ecr: set(env::AWS_ENDPOINT_URL_ECR),
            ignore_endpoints: on(env::AWS_IGNORE_CONFIGURED_ENDPOINT_URLS),
            fips: on(env::AWS_USE_FIPS_ENDPOINT),
            dual_stack: on(env::AWS_USE_DUALSTACK_ENDPOINT),
            home: path(env::HOME).or_else(|| path(env::USERPROFILE)),
            user: set(env::USER).or_else(|| set(env::USERNAME)),
        }
    }

    /// How a session in a role is called: by `AWS_ROLE_SESSION_NAME`, else after the user.
    #[must_use]
    pub fn session_name(&self) -> String {
        let named = self.role_session_name.clone();
        let name = named.or_else(|| Some(format!("docker-ecs-ship-{}", self.user.as_ref()?)));
        // "The regex used to validate this parameter is a string of characters consisting of upper- and lower-case
        // alphanumeric characters with no spaces … or any of the following characters: =,.@-", 2 to 64 of them
        // (STS API reference, `AssumeRole`).
        let fits =
            |letter: char| if letter.is_ascii_alphanumeric() || "_+=,.@-".contains(letter) { letter } else { '-' };
        name.unwrap_or_else(|| "docker-ecs-ship".to_owned()).chars().map(fits).take(64).collect()
    }
}

impl Identity {
    /// The profile somebody named.
    fn named_profile(&self) -> Option<&str> {
        self.profile.as_deref().or(self.variables.profile.as_deref())
    }
}

/// The clients of every service, with one identity, one connection pool and one credentials cache.
/// Cloning is cheap.
#[derive(Clone)]
pub struct Aws {
    pub(super) ecs: aws_sdk_ecs::Client,
    pub(super) ecr: aws_sdk_ecr::Client,
    pub(super) elb: aws_sdk_elasticloadbalancingv2::Client,
    pub(super) logs: aws_sdk_cloudwatchlogs::Client,
    pub(super) sts: aws_sdk_sts::Client,
    pub(super) config: SdkConfig,
    whence: Whence,
    pub(super) sleep: SharedAsyncSleep,
    pub(super) progress: Option<mpsc::Sender<Progress>>,
    /// Container instance ARN → EC2 instance id: asked once each, they never change.
    pub(super) instances: Arc<Mutex<HashMap<String, String>>>,
    pub(super) batches: Arc<Batches>,
    allowance: Arc<Allowance>,
    ca_bundle: Option<PathBuf>,
}

/// What is asked for together.
#[derive(Debug, Default)]
pub(super) struct Batches {
    pub(super) services: Batch<(Cluster, ServiceName), aws_sdk_ecs::types::Service>,
    pub(super) deployments: Batch<String, aws_sdk_ecs::types::ServiceDeployment>,
    pub(super) tasks: Batch<(Cluster, String), aws_sdk_ecs::types::Task>,
    pub(super) groups: Batch<String, aws_sdk_elasticloadbalancingv2::types::TargetGroup>,
}

/// A shorter wait in the queue is not worth a line.
const WORTH_A_WORD: Duration = Duration::from_secs(1);

/// Where calls go and with whose credentials, for what is told of a failed one.
#[derive(Debug, Clone)]
pub(super) struct Whence {
    pub(super) endpoint: Endpoint,
    pub(super) region: String,
    pub(super) profile: Option<String>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Aws").field("whence", &self.whence).finish_non_exhaustive()
    }
}

impl Aws {
    #[must_use]
    pub fn region(&self) -> &str {
        &self.whence.region
    }

    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.whence.endpoint
    }

    pub(super) const fn whence(&self) -> &Whence {
        &self.whence
    }

    /// The profile somebody named; credentials need not come from one.
    #[must_use]
    pub fn profile(&self) -> Option<&str> {
        self.whence.profile.as_deref()
    }

    /// The same clients for an endpoint whose clock runs so many times faster: it takes as many more calls a second.
    #[must_use]
    pub fn at_speed(&self, speed: f64) -> Self {
        Self { allowance: Arc::new(Allowance::at_speed(speed)), ..self.clone() }
    }

    /// How long reading so many services takes, because a shared account has no more calls to give.
    #[must_use]
    pub fn to_read(&self, services: usize) -> Duration {
        self.allowance.to_read(services)
    }

    /// Waits until a call may be made, and says so where that takes a while.
    pub(super) async fn turn(&self, operation: &'static str) {
        let wait = self.allowance.take(operation, Instant::now());
        if wait.is_zero() {
            return;
        }
        if let Some(progress) = self.progress.as_ref().filter(|_| wait >= WORTH_A_WORD) {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let queued = Progress::Queued { operation: operation.to_owned(), wait_ms };
            // A face that has gone away is no reason not to wait.
            progress.send(queued).await.ok();
        }
        self.sleep.sleep(wait).await;
    }

    /// The same clients, reporting every wait before a retry as [`Progress::Retrying`].
    #[must_use]
    pub fn telling(&self, progress: mpsc::Sender<Progress>) -> Self {
        Self { progress: Some(progress), ..self.clone() }
    }

    /// CloudWatch Logs of `region`, which a task definition may set apart from its own.
    pub(super) fn logs_in(&self, region: &str) -> aws_sdk_cloudwatchlogs::Client {
        if region == self.whence.region {
            return self.logs.clone();
        }
        let config = aws_sdk_cloudwatchlogs::config::Builder::from(&self.config)
            .region(aws_sdk_cloudwatchlogs::config::Region::new(region.to_owned()))
            .build();
        aws_sdk_cloudwatchlogs::Client::from_conf(config)
    }
}

impl Aws {
    /// What reads an address that is not of an API, as those of layers are: by the same proxy and with the same trust as
    /// the calls.
    pub(super) fn connector(&self) -> Result<Connector, AwsError> {
        if matches!(self.whence.endpoint, Endpoint::At { .. }) {
            return Ok(Connector::builder().build_http());
        }
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_sleep_impl(Some(self.sleep.clone()));
        let tls = match &self.ca_bundle {
            Some(path) => trust(path)?,
            None => TlsContext::default(),
        };
        Ok(connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(tls).build())
    }
}

/// How long a call may take, and how long to wait before it is tried again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Before the second attempt; doubled before each further one.
    pub(crate) first_delay: Duration,
    pub(crate) connect: Duration,
    pub(crate) attempt: Duration,
    /// All attempts with the delays between them.
    pub(crate) call: Duration,
}

impl Patience {
    /// Five attempts wait about 8 s in all. Adaptive mode is wrong for a command somebody watches: its first delay was
    /// measured at 8 to 20 s. An attempt that says nothing for 20 s is lost; `GetLogEvents` is the slowest call made here.
    pub(crate) const USUAL: Self = Self {
        first_delay: Duration::from_secs(1),
        connect: Duration::from_secs(4),
        attempt: Duration::from_secs(20),
        call: Duration::from_secs(90),
    };

    /// The same pattern, so many times quicker: for an other side that is on this machine and answers at once.
    #[cfg(test)]
    pub(crate) fn hurried(by: u32) -> Self {
        let Self { first_delay, connect, attempt, call } = Self::USUAL;
        Self { first_delay: first_delay / by, connect: connect / by, attempt: attempt / by, call: call / by }
    }

    const ATTEMPTS: u32 = 5;
}

/// Makes the clients. Credentials are not looked for before the first call, but for those that a person has to
/// type a code for.
pub async fn connect(endpoint: &Endpoint, identity: &Identity) -> Result<Aws, AwsError> {
    open(endpoint, identity, Patience::USUAL).await
}

pub(crate) async fn open(endpoint: &Endpoint, identity: &Identity, patience: Patience) -> Result<Aws, AwsError> {
    let region = match endpoint {
        Endpoint::Aws => resolve_region(identity).await?,
        Endpoint::At { .. } => identity.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
    };
    let Patience { first_delay, connect, attempt, call } = patience;
    let retries = RetryConfig::standard().with_max_attempts(Patience::ATTEMPTS).with_initial_backoff(first_delay);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(connect)
        .operation_attempt_timeout(attempt)
        .operation_timeout(call)
        .build();
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.clone()))
        .retry_config(retries)
        .timeout_config(timeouts);
    let loader = match identity.named_profile() {
        Some(profile) => loader.profile_name(profile),
        None => loader,
    };
    let loader = match endpoint {
        Endpoint::Aws => {
            let client = trusted(identity)?;
            let chain = credentials(identity, &region, client.as_ref());
            let loader = loader.credentials_provider(chain);
            match client {
                Some(client) => loader.http_client(client),
                None => loader,
            }
        }
        Endpoint::At { url } => loader
            .endpoint_url(url)
            // No TLS, no proxy: it is on this machine.
            .http_client(HttpClientBuilder::new().build_http())
            .credentials_provider(Credentials::new("sandbox", "sandbox", None, None, "sandbox")),
    };
    let mut config = loader.load().await;
    let whence = Whence { endpoint: endpoint.clone(), region, profile: identity.named_profile().map(str::to_owned) };
    let assumed = match endpoint {
        Endpoint::Aws => assume::provider(identity, &config, &whence),
        // Whoever asks there has the access key of the sandbox.
        Endpoint::At { .. } => None,
    };
    if let Some(assumed) = assumed {
        assumed.ask_first().await?;
        config = config.into_builder().credentials_provider(SharedCredentialsProvider::new(assumed)).build();
    }
    let sleep = config.sleep_impl().expect("aws-config sets a sleep implementation with its rt-tokio feature");
    Ok(Aws {
        ecs: aws_sdk_ecs::Client::new(&config),
        ecr: aws_sdk_ecr::Client::new(&config),
        elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        logs: aws_sdk_cloudwatchlogs::Client::new(&config),
        sts: aws_sdk_sts::Client::new(&config),
        whence,
        sleep,
        progress: None,
        ca_bundle: identity.variables.ca_bundle.clone(),
        instances: Arc::default(),
        batches: Arc::default(),
        allowance: Arc::new(Allowance::at_speed(match endpoint {
            Endpoint::Aws => 1.0,
            // Nobody else is there who could be throttled, until somebody says how fast its clock runs.
            Endpoint::At { .. } => 1e6,
        })),
        config,
    })
}

/// Flag or file, then `AWS_REGION`, `AWS_DEFAULT_REGION`, then the profile; never the network.
async fn resolve_region(identity: &Identity) -> Result<String, AwsError> {
    let Variables { region, default_region, .. } = &identity.variables;
    if let Some(region) = identity.region.as_ref().or(region.as_ref()).or(default_region.as_ref()) {
        return Ok(region.clone());
    }
    let mut profile = ProfileFileRegionProvider::builder();
    if let Some(named) = identity.named_profile() {
        profile = profile.profile_name(named);
    }
    match profile.build().region().await {
        Some(region) => Ok(region.to_string()),
        None => Err(AwsError::before_any_call(
            Kind::NoRegion { profile: identity.named_profile().map(str::to_owned) },
            None,
        )),
    }
}

/// The HTTP client that trusts `AWS_CA_BUNDLE` and nothing else; `None` leaves the SDK's own, which
/// trusts the system's roots. Both honour `HTTPS_PROXY` and `NO_PROXY`.
fn trusted(identity: &Identity) -> Result<Option<SharedHttpClient>, AwsError> {
    let Some(path) = &identity.variables.ca_bundle else { return Ok(None) };
    let tls = trust(path)?;
    let client = HttpClientBuilder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(aws_sdk_ecs::config::RuntimeComponents::sleep_impl));
        connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(tls.clone()).build()
    });
    Ok(Some(client))
}

/// What trusts the certificates of a file, and nothing else.
fn trust(path: &Path) -> Result<TlsContext, AwsError> {
    let unusable =
        |cause: ConnectCause| AwsError::before_any_call(Kind::CaBundle { path: path.to_owned() }, Some(cause));
    let pem = std::fs::read(path).map_err(|error| unusable(error.into()))?;
    // The connector panics on a bundle without a certificate, so that is looked at here.
    if !pem.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN) {
        return Err(unusable("the file holds no certificate in PEM form".into()));
    }
    let store = TrustStore::empty().with_pem_certificate(pem);
    TlsContext::builder().with_trust_store(store).build().map_err(|error| unusable(error.into()))
}

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Who may have credentials, in order. Two differences from the SDK's own chain: a profile that was
/// named in `ship.toml` or by a flag and that exists wins over access keys in the environment, as
/// `aws --profile` does; and the instance metadata gives up after 200 ms instead of a second, because
/// on a laptop that address is nobody.
fn credentials(identity: &Identity, region: &str, client: Option<&SharedHttpClient>) -> SharedCredentialsProvider {
    let mut provider = ProviderConfig::without_region().with_region(Some(Region::new(region.to_owned())));
    if let Some(client) = client {
        provider = provider.with_http_client(client.clone());
    }
    let metadata = aws_config::imds::Client::builder()
        .configure(&provider)
        .max_attempts(1)
        .connect_timeout(Duration::from_millis(200))
        .read_timeout(Duration::from_secs(1))
        .build();
    let environment = EnvironmentVariableCredentialsProvider::new();
    let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(&provider).build();
    let web_identity = Named(Source::WebIdentity, web_identity);
    let container = Named(Source::Container, EcsCredentialsProvider::builder().configure(&provider).build());
    let instance = LastResort(ImdsCredentialsProvider::builder().configure(&provider).imds_client(metadata).build());
    let profile = ProfileFileCredentialsProvider::builder().configure(&provider);
    // A profile that wants an MFA code: its source comes first, and `assume` goes on from there.
    let files = principal::Files::read(&identity.variables);
    let source = |named: &str| assume::mfa_source(&files, named).unwrap_or_else(|| named.to_owned());
    let first = match (&identity.profile, &identity.variables.profile) {
        (Some(named), _) => CredentialsProviderChain::first_try("Profile", profile.profile_name(source(named)).build())
            .or_else("Environment", environment),
        (None, Some(named)) => CredentialsProviderChain::first_try("Environment", environment)
            .or_else("Profile", profile.profile_name(source(named)).build()),
        (None, None) => {
            CredentialsProviderChain::first_try("Environment", environment).or_else("Profile", profile.build())
        }
    };
    let chain = first
        .or_else("WebIdentityToken", web_identity)
        .or_else("EcsContainer", container)
        .or_else("Ec2InstanceMetadata", instance);
    SharedCredentialsProvider::new(chain)
}

/// Says whose failure it is: the chain passes it on without a name.
#[derive(Debug)]
struct Named<P>(Source, P);

impl<P: ProvideCredentials> ProvideCredentials for Named<P> {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            self.1.provide_credentials().await.map_err(|error| match error {
                CredentialsError::CredentialsNotLoaded(_) => error,
                _ => CredentialsError::provider_error(Unprovided { by: self.0.clone(), source: error }),
            })
        })
    }
}

/// Instance metadata that answers with an error is not an instance with broken credentials but, nearly
/// always, no instance at all: a proxy, a firewall, a container that may not ask. As the last of the
/// chain it then means "nobody had any", with everyone's answer, instead of its own alone.
#[derive(Debug)]
struct LastResort(ImdsCredentialsProvider);

impl ProvideCredentials for LastResort {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            self.0.provide_credentials().await.map_err(|error| match error {
                CredentialsError::CredentialsNotLoaded(_) => error,
                _ => CredentialsError::not_loaded(innermost(&error)),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        error::Error,
        fmt::Write,
        path::Path,
        process::Command,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::{AskMfa, Endpoint, Identity, Patience, Variables, connect, open};
    use crate::{
        aws::{hints::hints, sts},
        sandbox::{Sandbox, Settings},
    };

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let look_up = |name: &str| match name {
            "AWS_REGION" => Some(String::new()),
            "AWS_DEFAULT_REGION" => Some("eu-west-1".to_owned()),
            _ => None,
        };
        let expected = Variables { default_region: Some("eu-west-1".to_owned()), ..Variables::default() };
        assert_eq!(Variables::read(look_up), expected);
    }

    /// Runs in a process of its own, see [`credentials_in`]: the SDK reads the process's environment.
    #[tokio::test]
    #[ignore = "started by `credentials_that_cannot_be_had_are_explained` with an environment of its own"]
    async fn child_without_credentials() {
        let identity = Identity {
            region: Some("eu-west-1".to_owned()),
            profile: std::fs::read_to_string("profile").ok(),
            ..Identity::default()
        };
        let aws = connect(&Endpoint::Aws, &identity).await.unwrap();
        let error = sts::caller(&aws).await.unwrap_err();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(deeper) = cause {
            write!(text, "\n  cause: {deeper}").unwrap();
            cause = deeper.source();
        }
        for hint in hints(&error) {
            write!(text, "\n  hint: {hint}").unwrap();
        }
        std::fs::write("told", text).unwrap();
    }

    /// Name under the home folder, and content.
    type Files<'a> = &'a [(&'a str, &'a str)];

    /// What a user with these AWS files, and nothing else, is told.
    fn credentials_in(files: Files, profile: Option<&str>) -> String {
        told_by("child_without_credentials", files, profile)
    }

    fn told_by(child: &str, files: Files, profile: Option<&str>) -> String {
        let home = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
            std::fs::write(path, content).unwrap();
        }
        if let Some(profile) = profile {
            std::fs::write(home.path().join("profile"), profile).unwrap();
        }
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", &format!("aws::connect::tests::{child}")])
            .current_dir(home.path())
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", "/usr/bin:/bin")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        let told = std::fs::read_to_string(home.path().join("told")).unwrap();
        told.replace(&home.path().display().to_string(), "HOME")
    }

    const QUICK: u32 = 40;
    static ASKED: AtomicUsize = AtomicUsize::new(0);

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "started by `who_looks_for_a_phone_is_asked_once` with an environment of its own"]
    async fn child_who_looks_for_a_phone() {
        let sandbox = Sandbox::start(Settings::new("state".into())).await.unwrap();
        let config = format!(
            "[profile jobs]\nregion = us-east-1\nendpoint_url = {}\nsource_profile = me\n\
             role_arn = arn:aws:iam::000000000000:role/ship\nmfa_serial = arn:aws:iam::000000000000:mfa/me\n\
             [profile me]\naws_access_key_id = sandbox\naws_secret_access_key = sandbox\n",
            sandbox.endpoint()
        );
        std::fs::create_dir(".aws").unwrap();
        std::fs::write(".aws/config", config).unwrap();
        let variables = Variables { config_file: Some(".aws/config".into()), ..Variables::default() };
        let profile = Some("jobs".to_owned());
        // Who takes longer than one attempt of a call may.
        let ask = AskMfa(|_| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(2 * Patience::hurried(QUICK).attempt);
            Some("123456".to_owned())
        });
        let identity = Identity { profile, ask, variables, ..Identity::default() };
        let aws = open(&Endpoint::Aws, &identity, Patience::hurried(QUICK)).await.unwrap();
        let caller = sts::caller(&aws).await.unwrap();
        std::fs::write("told", format!("asked {} times: {}", ASKED.load(Ordering::SeqCst), caller.arn)).unwrap();
        sandbox.stop().await;
    }

    /// An attempt of a call would end meanwhile, and the next one would ask again.
    #[test]
    fn who_looks_for_a_phone_is_asked_once() {
        let told = told_by("child_who_looks_for_a_phone", &[], None);
        assert!(told.starts_with("asked 1 times: arn:aws:sts::000000000000:assumed-role/ship/"), "{told}");
    }

    #[test]
    fn credentials_that_cannot_be_had_are_explained() {
        let sso = "[profile jobs]\nsso_session = corp\nsso_account_id = 111111111111\nsso_role_name = ship\nregion = eu-west-1\n\
                   [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n";
        let process = "[profile jobs]\ncredential_process = sh -c 'echo vault is sealed >&2; exit 3'\n";
        // The file's name is the SHA-1 of the session's name.
        let expired = r#"{"accessToken":"aoaAAAAAGVtrV","expiresAt":"2020-01-01T00:00:00Z","region":"eu-west-1","startUrl":"https://corp.awsapps.com/start"}"#;
        let cache = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
        let console = "[default]\nlogin_session = arn:aws:iam::111111111111:user/ana\n\
                       [profile jobs]\nlogin_session = arn:aws:iam::111111111111:user/ana\n\
                       [profile ship]\nrole_arn = arn:aws:iam::111111111111:role/ship\nsource_profile = jobs\n";
        let cases: [(&str, Files, Option<&str>); 8] = [
            ("nothing anywhere", &[], None),
            ("a profile that is not there", &[(".aws/config", sso)], Some("jbos")),
            ("never signed in", &[(".aws/config", sso)], Some("jobs")),
            ("session over", &[(".aws/config", sso), (cache, expired)], Some("jobs")),
            ("helper fails", &[(".aws/config", process)], Some("jobs")),
            ("signed in by aws login", &[(".aws/config", console)], Some("jobs")),
            ("signed in by aws login, without a name", &[(".aws/config", console)], None),
            ("a role by a profile that is signed in by aws login", &[(".aws/config", console)], Some("ship")),
        ];
        let mut text = String::new();
        for (title, files, profile) in cases {
            let told = credentials_in(files, profile);
            assert!(!told.contains("aoaAAAAAGVtrV"), "{told}");
            writeln!(text, "# {title}\n{told}").unwrap();
        }
        insta::assert_snapshot!(text, @r"
        # nothing anywhere
        no AWS credentials were found
          hint: sign in with `aws sso login`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
          hint: looked at environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY): environment variable not set
          hint: looked at profile (~/.aws/config, ~/.aws/credentials): nothing there
          hint: looked at web identity (AWS_WEB_IDENTITY_TOKEN_FILE): $AWS_WEB_IDENTITY_TOKEN_FILE was not set
          hint: looked at container (AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI): ECS provider not configured
          hint: looked at EC2 instance metadata: IMDS disabled by AWS_EC2_METADATA_DISABLED env var set to `true`
        # a profile that is not there
        no AWS credentials were found
          hint: sign in with `aws sso login`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
          hint: looked at profile (~/.aws/config, ~/.aws/credentials): profile `jbos` was not defined: could not find source profile jbos referenced from the root profile
          hint: looked at environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY): environment variable not set
          hint: looked at web identity (AWS_WEB_IDENTITY_TOKEN_FILE): $AWS_WEB_IDENTITY_TOKEN_FILE was not set
          hint: looked at container (AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI): ECS provider not configured
          hint: looked at EC2 instance metadata: IMDS disabled by AWS_EC2_METADATA_DISABLED env var set to `true`
        # never signed in
        the SSO session of profile `jobs` has expired or was never started
          cause: failed to load the cached SSO token
          hint: run `aws sso login --profile jobs`
        # session over
        the SSO session of profile `jobs` has expired or was never started
          cause: the SSO token has expired and cannot be refreshed
          hint: run `aws sso login --profile jobs`
        # helper fails
        the credentials of profile `jobs` could not be loaded
          cause: Error retrieving credentials: external process exited with code exit status: 3. Stderr: vault is sealed
          hint: check with `aws sts get-caller-identity --profile jobs`
        # signed in by aws login
        the sign-in of profile `jobs` by `aws login` cannot be used directly
          hint: let the AWS CLI hand it over: name a profile of its own here that has `credential_process = aws configure export-credentials --profile jobs`
          hint: when it is over, `aws login` once more for the profile with `login_session`
        # signed in by aws login, without a name
        the sign-in of the default profile by `aws login` cannot be used directly
          hint: let the AWS CLI hand it over: name a profile of its own here that has `credential_process = aws configure export-credentials`
          hint: when it is over, `aws login` once more for the profile with `login_session`
        # a role by a profile that is signed in by aws login
        the sign-in of profile `ship` by `aws login` cannot be used directly
          hint: let the AWS CLI hand it over: name a profile of its own here that has `credential_process = aws configure export-credentials --profile ship`
          hint: when it is over, `aws login` once more for the profile with `login_session`
        ");
    }
}
