//! From an endpoint and an identity to configured clients: the only place a client is made.
//!
//! The region is resolved here, before anything is asked of the network: without one the SDK would
//! look for it in the instance metadata, which takes four seconds where that address drops packets.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, default_provider::credentials::DefaultCredentialsChain, meta::region::ProvideRegion,
    profile::ProfileFileRegionProvider, provider_config::ProviderConfig, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_ecs::config::{Credentials, SharedAsyncSleep, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::{
    Builder as HttpClientBuilder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use tokio::sync::mpsc;

use super::error::{AwsError, ConnectCause, Kind};
use crate::event::Progress;

/// Whom the clients talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// AWS, or whatever `AWS_ENDPOINT_URL` and the profile say instead.
    Aws,
    /// The sandbox: one plain HTTP address for every service, with credentials nobody checks.
    At { url: String },
}

/// As whom, and in which region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// From a flag or `ship.toml`; wins over the environment.
    pub region: Option<String>,
    /// From a flag or `ship.toml`; wins over `AWS_PROFILE`.
    pub profile: Option<String>,
    pub variables: Variables,
}

/// The environment variables that decide here. The SDK reads its own (access keys, web identity,
/// container credentials) from the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    pub region: Option<String>,
    pub default_region: Option<String>,
    pub profile: Option<String>,
    pub ca_bundle: Option<PathBuf>,
}

impl Variables {
    pub const REGION: &'static str = "AWS_REGION";
    pub const DEFAULT_REGION: &'static str = "AWS_DEFAULT_REGION";
    pub const PROFILE: &'static str = "AWS_PROFILE";
    /// A PEM file trusted instead of the system's roots, as the AWS CLI takes it.
    pub const CA_BUNDLE: &'static str = "AWS_CA_BUNDLE";

    /// Reads them through `look_up`; an empty value counts as unset, as in the AWS CLI.
    #[must_use]
    pub fn read(look_up: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| look_up(name).filter(|value| !value.is_empty());
        Self {
            region: set(Self::REGION),
            default_region: set(Self::DEFAULT_REGION),
            profile: set(Self::PROFILE),
            ca_bundle: set(Self::CA_BUNDLE).map(PathBuf::from),
        }
    }
}

impl Identity {
    /// The profile that is used, also when nobody named one.
    fn profile_name(&self) -> &str {
        self.profile.as_deref().or(self.variables.profile.as_deref()).unwrap_or("default")
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
    config: SdkConfig,
    endpoint: Endpoint,
    region: String,
    profile: String,
    pub(super) sleep: SharedAsyncSleep,
    pub(super) progress: Option<mpsc::Sender<Progress>>,
    /// Container instance ARN → EC2 instance id: asked once each, they never change.
    pub(super) instances: Arc<Mutex<HashMap<String, String>>>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Aws")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl Aws {
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The profile credentials come from, `default` when none was named.
    #[must_use]
    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// The same clients, reporting every wait before a retry as [`Progress::Retrying`].
    #[must_use]
    pub fn telling(&self, progress: mpsc::Sender<Progress>) -> Self {
        Self { progress: Some(progress), ..self.clone() }
    }

    /// CloudWatch Logs of `region`, which a task definition may set apart from its own.
    pub(super) fn logs_in(&self, region: &str) -> aws_sdk_cloudwatchlogs::Client {
        if region == self.region {
            return self.logs.clone();
        }
        let config = aws_sdk_cloudwatchlogs::config::Builder::from(&self.config)
            .region(aws_sdk_cloudwatchlogs::config::Region::new(region.to_owned()))
            .build();
        aws_sdk_cloudwatchlogs::Client::from_conf(config)
    }
}

/// Makes the clients. Credentials are not looked for before the first call.
pub async fn connect(endpoint: &Endpoint, identity: &Identity) -> Result<Aws, AwsError> {
    // Five attempts wait about 8 s in all. Adaptive mode is wrong for a command somebody watches:
    // its first delay was measured at 8 to 20 s.
    let retries = RetryConfig::standard().with_max_attempts(5);
    open(endpoint, identity, retries).await
}

pub(super) async fn open(endpoint: &Endpoint, identity: &Identity, retries: RetryConfig) -> Result<Aws, AwsError> {
    let region = match endpoint {
        Endpoint::Aws => resolve_region(identity).await?,
        Endpoint::At { .. } => identity.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
    };
    // An attempt that says nothing for 20 s is lost; GetLogEvents is the slowest call made here.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(4))
        .operation_attempt_timeout(Duration::from_secs(20))
        .operation_timeout(Duration::from_secs(90))
        .build();
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.clone()))
        .profile_name(identity.profile_name())
        .retry_config(retries)
        .timeout_config(timeouts);
    let loader = match endpoint {
        Endpoint::Aws => {
            let client = trusted(identity)?;
            let chain = credentials(identity, &region, client.as_ref()).await;
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
    let config = loader.load().await;
    let sleep = config.sleep_impl().expect("aws-config sets a sleep implementation with its rt-tokio feature");
    Ok(Aws {
        ecs: aws_sdk_ecs::Client::new(&config),
        ecr: aws_sdk_ecr::Client::new(&config),
        elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        logs: aws_sdk_cloudwatchlogs::Client::new(&config),
        sts: aws_sdk_sts::Client::new(&config),
        endpoint: endpoint.clone(),
        region,
        profile: identity.profile_name().to_owned(),
        sleep,
        progress: None,
        instances: Arc::default(),
        config,
    })
}

/// Flag or file, then `AWS_REGION`, `AWS_DEFAULT_REGION`, then the profile; never the network.
async fn resolve_region(identity: &Identity) -> Result<String, AwsError> {
    let Variables { region, default_region, profile: _, ca_bundle: _ } = &identity.variables;
    if let Some(region) = identity.region.as_ref().or(region.as_ref()).or(default_region.as_ref()) {
        return Ok(region.clone());
    }
    let profile = ProfileFileRegionProvider::builder().profile_name(identity.profile_name()).build();
    match profile.region().await {
        Some(region) => Ok(region.to_string()),
        None => Err(AwsError::before_any_call(Kind::NoRegion { profile: identity.profile_name().to_owned() }, None)),
    }
}

/// The HTTP client that trusts `AWS_CA_BUNDLE` and nothing else; `None` leaves the SDK's own, which
/// trusts the system's roots. Both honour `HTTPS_PROXY` and `NO_PROXY`.
fn trusted(identity: &Identity) -> Result<Option<SharedHttpClient>, AwsError> {
    let Some(path) = &identity.variables.ca_bundle else { return Ok(None) };
    let unusable = |cause: ConnectCause| AwsError::before_any_call(Kind::CaBundle { path: path.clone() }, Some(cause));
    let pem = std::fs::read(path).map_err(|error| unusable(error.into()))?;
    // The connector panics on a bundle without a certificate, so that is looked at here.
    if !pem.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN) {
        return Err(unusable("the file holds no certificate in PEM form".into()));
    }
    let store = TrustStore::empty().with_pem_certificate(pem);
    let tls = TlsContext::builder().with_trust_store(store).build().map_err(|error| unusable(error.into()))?;
    let client = HttpClientBuilder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(aws_sdk_ecs::config::RuntimeComponents::sleep_impl));
        connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(tls.clone()).build()
    });
    Ok(Some(client))
}

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The SDK's chain with an instance metadata client that gives up after 200 ms instead of a second:
/// on a laptop that address is nobody.
async fn credentials(identity: &Identity, region: &str, client: Option<&SharedHttpClient>) -> SharedCredentialsProvider {
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
    let mut chain = DefaultCredentialsChain::builder()
        .configure(provider)
        .region(Region::new(region.to_owned()))
        .imds_client(metadata);
    // Naming `default` would turn "no profile at all" into "profile default was not defined".
    if let Some(name) = identity.profile.as_ref().or(identity.variables.profile.as_ref()) {
        chain = chain.profile_name(name);
    }
    SharedCredentialsProvider::new(chain.build().await)
}
