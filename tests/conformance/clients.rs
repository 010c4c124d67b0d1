//! A sandbox on paper, and clients for it.

use std::time::Duration;

use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region};
use ecs_ship::sandbox::{Handle, Sandbox, Settings, Signatures, scenario};

/// Everything happens within this, or never.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// Fast enough that a default drain of five minutes takes a third of a second.
const SPEED: f64 = 1000.0;

pub(crate) struct Place {
    handle: Handle,
    pub(crate) ecs: aws_sdk_ecs::Client,
    pub(crate) ecr: aws_sdk_ecr::Client,
    pub(crate) elb: aws_sdk_elasticloadbalancingv2::Client,
    pub(crate) logs: aws_sdk_cloudwatchlogs::Client,
    pub(crate) sts: aws_sdk_sts::Client,
    folder: tempfile::TempDir,
}

macro_rules! client {
    ($service:ident, $endpoint:expr, $credentials:expr) => {
        $service::Client::from_conf(
            $service::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-east-1"))
                .credentials_provider($credentials.clone())
                .endpoint_url($endpoint)
                .build(),
        )
    };
}

/// The access key that the guide names.
fn documented() -> Credentials {
    Credentials::new("sandbox", "sandbox", None, None, "test")
}

impl Place {
    pub(crate) async fn start() -> Self {
        Self::with(documented(), Signatures::Verified).await
    }

    /// One that takes any signature, for calls that no SDK makes.
    pub(crate) async fn unverified() -> Self {
        Self::with(documented(), Signatures::Any).await
    }

    /// One to which a scenario happens.
    pub(crate) async fn under(scenario: &str) -> Self {
        let scenario = scenario::parse(&format!("format = 1\n{scenario}")).unwrap();
        Self::of(&documented(), |folder| Settings { scenario, ..folder }).await
    }

    /// Clients that sign with these keys.
    pub(crate) async fn with(keys: Credentials, signatures: Signatures) -> Self {
        Self::of(&keys, |settings| Settings { signatures, ..settings }).await
    }

    async fn of(keys: &Credentials, change: impl FnOnce(Settings) -> Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = change(Settings { speed: SPEED, ..Settings::new(folder.path().to_owned()) });
        let handle = Sandbox::start(settings).await.unwrap();
        Self {
            ecs: client!(aws_sdk_ecs, handle.endpoint(), keys),
            ecr: client!(aws_sdk_ecr, handle.endpoint(), keys),
            elb: client!(aws_sdk_elasticloadbalancingv2, handle.endpoint(), keys),
            logs: client!(aws_sdk_cloudwatchlogs, handle.endpoint(), keys),
            sts: client!(aws_sdk_sts, handle.endpoint(), keys),
            handle,
            folder,
        }
    }

    /// The same sandbox, asked with other keys.
    pub(crate) fn signing(&self, keys: &Credentials) -> (aws_sdk_ecs::Client, aws_sdk_sts::Client) {
        let endpoint = self.handle.endpoint();
        (client!(aws_sdk_ecs, endpoint, keys), client!(aws_sdk_sts, endpoint, keys))
    }

    /// The same for ECR.
    pub(crate) fn ecr_signing(&self, keys: &Credentials) -> aws_sdk_ecr::Client {
        client!(aws_sdk_ecr, self.handle.endpoint(), keys)
    }

    /// Writes a file into its state folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// `http://127.0.0.1:4517`
    pub(crate) fn endpoint(&self) -> &str {
        self.handle.endpoint()
    }

    /// `127.0.0.1:4517`
    pub(crate) fn authority(&self) -> &str {
        self.handle.authority()
    }

    pub(crate) async fn stop(self) {
        self.handle.stop().await;
    }
}

/// Waits for a state, with a limit.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut beat = tokio::time::interval(Duration::from_millis(30));
    let found = tokio::time::timeout(LIMIT, async {
        loop {
            beat.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    });
    found.await.unwrap_or_else(|_| panic!("not {what} within {LIMIT:?}"))
}

/// Code and message of a refusal, as the SDK has read them.
macro_rules! refusal {
    ($call:expr) => {{
        use aws_sdk_ecs::error::ProvideErrorMetadata as _;
        let error = $call.send().await.expect_err("this is refused").into_service_error();
        (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
    }};
}
pub(crate) use refusal;
