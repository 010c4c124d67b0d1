//! Taking on a role: that of an environment, and that of a profile which wants an MFA code. The SDK's own
//! profiles know roles but no code, and would be refused.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, Result as Provided, error::CredentialsError, future};
use aws_sdk_ecs::config::{Credentials, SharedCredentialsProvider};
use tokio::sync::{Mutex, oneshot};

use super::{
    connect::{Identity, Whence},
    error::{AwsError, Kind, Service},
    principal::{self, Files, Principal},
    session::{RoleSession, SessionKey, Sessions},
};
use crate::secret::Secret;

/// Asks a person for the code of an MFA device, by its ARN; `None` where there is nobody to ask.
#[derive(Clone, Copy)]
pub struct AskMfa(pub fn(&str) -> Option<String>);

impl Default for AskMfa {
    fn default() -> Self {
        Self(|_| None)
    }
}

impl fmt::Debug for AskMfa {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AskMfa(..)")
    }
}

/// Two that ask differently still ask for the same.
impl PartialEq for AskMfa {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for AskMfa {}

/// The profile whose credentials a profile with an MFA device starts from; `None` where the SDK manages by
/// itself.
pub(super) fn mfa_source(files: &Files, named: &str) -> Option<String> {
    let profile = files.profile(named)?;
    profile.get("mfa_serial")?;
    profile.get("role_arn")?;
    profile.get("source_profile").map(str::to_owned)
}

/// Every role on the way, the last one on top of the others; `None` where there is none for us to take on.
pub(super) fn provider(identity: &Identity, config: &SdkConfig, whence: &Whence) -> Option<Assumed> {
    let files = Files::read(&identity.variables);
    let named = identity.profile.as_ref().or_else(|| {
        // Access keys of the environment win over its profile.
        identity.variables.profile.as_ref().filter(|_| identity.variables.access_key_id.is_none())
    });
    let profile = named.and_then(|named| files.profile(named));
    let serial = profile.as_ref().and_then(|profile| profile.get("mfa_serial")).map(str::to_owned);
    let of_profile = named.filter(|named| mfa_source(&files, named).is_some()).and_then(|_| {
        let profile = profile.as_ref()?;
        let session_name = profile.get("role_session_name").map(str::to_owned);
        Some(Assumed(Arc::new(Assuming {
            sts: aws_sdk_sts::Client::new(config),
            arn: profile.get("role_arn")?.to_owned(),
            session_name: session_name.unwrap_or_else(|| identity.variables.session_name()),
            external_id: profile.get("external_id").map(str::to_owned),
            seconds: profile.get("duration_seconds").and_then(|seconds| seconds.parse().ok()),
            mfa: serial.clone().map(|serial| Mfa { serial, ask: identity.ask }),
            first: None,
            caller: principal::of_chain(identity),
            endpoint: principal::endpoint(&identity.variables),
            sessions: identity.sessions.clone(),
            whence: whence.clone(),
            held: Mutex::default(),
        })))
    });
    let Some(role) = &identity.role else { return of_profile };
    let base = match &of_profile {
        Some(first) => config.to_builder().credentials_provider(SharedCredentialsProvider::new(first.clone())).build(),
        None => config.clone(),
    };
    Some(Assumed(Arc::new(Assuming {
        sts: aws_sdk_sts::Client::new(&base),
        arn: role.arn.clone(),
        session_name: role.session_name.clone(),
        external_id: None,
        seconds: None,
        // Where the profile has a role of its own, the code is given for that one.
        mfa: serial.filter(|_| of_profile.is_none()).map(|serial| Mfa { serial, ask: identity.ask }),
        first: of_profile,
        caller: principal::of_chain(identity),
        endpoint: principal::endpoint(&identity.variables),
        sessions: identity.sessions.clone(),
        whence: whence.clone(),
        held: Mutex::default(),
    })))
}

/// Credentials of a role, fetched anew whenever the SDK finds them too old.
#[derive(Clone)]
pub(super) struct Assumed(Arc<Assuming>);

struct Assuming {
    sts: aws_sdk_sts::Client,
    arn: String,
    session_name: String,
    external_id: Option<String>,
    /// How long the session is to last; AWS's default is an hour.
    seconds: Option<i32>,
    mfa: Option<Mfa>,
    /// With whose credentials the role is taken on, where those are a role's, too.
    first: Option<Assumed>,
    caller: Principal,
    endpoint: String,
    sessions: Sessions,
    whence: Whence,
    /// Every client has a cache of its own; a person is to be asked once.
    held: Mutex<Option<Credentials>>,
}

/// How long a session that was kept will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasts {
    Long,
    LastPart,
}

struct Mfa {
    /// The ARN of the device.
    serial: String,
    /// Who can be asked for its code.
    ask: AskMfa,
}

/// As the SDK's own cache: credentials that are as good as over are fetched anew.
const EARLY: Duration = Duration::from_secs(10);
/// One that was kept must last for a few calls at least.
const EARLY_MS: u64 = 60_000;
/// In the last part of its life a session may not outlast a rollout, in whose middle nobody is asked: a new one is
/// better, if somebody has a code at hand.
const LAST_PART: u64 = 4;

impl fmt::Debug for Assumed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Assumed").field("arn", &self.0.arn).finish_non_exhaustive()
    }
}

impl Assumed {
    /// Asks for the code, if one will be wanted, before any call is made: a call ends after some seconds, and a
    /// person who looks for a phone takes longer. The call would be made again, and ask again. Later nobody is asked:
    /// what is drawn meanwhile would cover the question.
    pub(super) async fn ask_first(&self) -> Result<(), AwsError> {
        let asking = self.0.first.as_ref().unwrap_or(self);
        if let Some(mfa) = &asking.0.mfa {
            let opened = asking.opened(mfa).await;
            *asking.0.held.lock().await =
                Some(opened.map_err(|error| AwsError::from_credentials(&self.0.whence, &error))?);
        }
        Ok(())
    }

    /// A session for the command that begins: one that was kept, if AWS still knows it, or a new one.
    async fn opened(&self, mfa: &Mfa) -> Provided {
        let Some((kept, lasts)) = self.kept().await else { return self.assume(Some(mfa.code().await?)).await };
        if !self.is_known(&kept).await {
            self.forget().await;
            return self.assume(Some(mfa.code().await?)).await;
        }
        match lasts {
            Lasts::Long => Ok(kept),
            Lasts::LastPart => match mfa.code().await {
                Ok(code) => self.assume(Some(code)).await,
                // Nobody is there, and it is still good.
                Err(_) => Ok(kept),
            },
        }
    }

    /// Those of this process, of one before it, or new ones.
    async fn credentials(&self) -> Provided {
        let mut held = self.0.held.lock().await;
        let soon = now() + EARLY;
        if let Some(good) = held.as_ref().filter(|held| held.expiry().is_some_and(|expiry| expiry > soon)) {
            return Ok(good.clone());
        }
        let fresh = match (self.kept().await, &self.0.mfa) {
            // Another command has asked meanwhile.
            (Some((kept, _)), _) => kept,
            (None, None) => self.assume(None).await?,
            (None, Some(_)) => {
                let kind = Kind::MfaSessionOver { role: self.0.arn.clone() };
                return Err(CredentialsError::provider_error(AwsError::before_any_call(kind, None)));
            }
        };
        *held = Some(fresh.clone());
        Ok(fresh)
    }

    /// Whether AWS still takes them: a role that was deleted, or made anew, ends its sessions before their time. Where it
    /// cannot be asked, the next call tells.
    async fn is_known(&self, credentials: &Credentials) -> bool {
        let Assuming { sts, whence, .. } = &*self.0;
        let own = SharedCredentialsProvider::new(credentials.clone());
        let sts = aws_sdk_sts::Client::from_conf(sts.config().to_builder().credentials_provider(own).build());
        let Err(error) = sts.get_caller_identity().send().await else { return true };
        let error = AwsError::from_sdk(whence, Service::Sts, "GetCallerIdentity", error);
        !matches!(error.kind(), Kind::Expired { .. } | Kind::UnknownCredentials { .. })
    }

    async fn forget(&self) {
        let Some(key) = self.key() else { return };
        let sessions = self.0.sessions.clone();
        tokio::task::spawn_blocking(move || sessions.forget(&key)).await.ok();
    }

    /// Only what costs a person a code is worth keeping.
    async fn kept(&self) -> Option<(Credentials, Lasts)> {
        let key = self.key()?;
        let sessions = self.0.sessions.clone();
        // A keyring may take two seconds, and ends in that time.
        let found = tokio::task::spawn_blocking(move || sessions.find(&key)).await.ok().flatten()?;
        let RoleSession { access_key_id, secret_access_key, session_token, issued_ms, expires_ms } = found;
        let left = expires_ms.saturating_sub(millis(now()));
        if left < EARLY_MS {
            return None;
        }
        let life = expires_ms.saturating_sub(issued_ms);
        let lasts = if left < life / LAST_PART { Lasts::LastPart } else { Lasts::Long };
        let expiry = SystemTime::UNIX_EPOCH + Duration::from_millis(expires_ms);
        let (secret, token) = (secret_access_key.expose().clone(), Some(session_token.expose().clone()));
        Some((Credentials::new(access_key_id, secret, token, Some(expiry), "AssumeRole"), lasts))
    }

    async fn keep(&self, credentials: &Credentials) {
        let (Some(key), Some(token), Some(expiry)) = (self.key(), credentials.session_token(), credentials.expiry())
        else {
            return;
        };
        let session = RoleSession {
            access_key_id: credentials.access_key_id().to_owned(),
            secret_access_key: Secret::new(credentials.secret_access_key().to_owned()),
            session_token: Secret::new(token.to_owned()),
            issued_ms: millis(now()),
            expires_ms: millis(expiry),
        };
        let sessions = self.0.sessions.clone();
        // Whether it could be kept is of no matter to this command.
        tokio::task::spawn_blocking(move || sessions.keep(&key, &session)).await.ok();
    }

    fn key(&self) -> Option<SessionKey> {
        let Assuming { arn, session_name, external_id, seconds, caller, endpoint, mfa, .. } = &*self.0;
        let serial = &mfa.as_ref()?.serial;
        Some(SessionKey {
            role_arn: arn.clone(),
            fingerprint: format!("{serial} {session_name} {external_id:?} {seconds:?} {}", caller.fingerprint),
            identity: caller.label.clone(),
            endpoint: endpoint.clone(),
        })
    }

    /// `code` is one of the MFA device, where the role wants one.
    async fn assume(&self, code: Option<String>) -> Provided {
        let Assuming { sts, arn, session_name, external_id, seconds, mfa, whence, .. } = &*self.0;
        let mut request = sts
            .assume_role()
            .role_arn(arn)
            .role_session_name(session_name)
            .set_external_id(external_id.clone())
            .set_duration_seconds(*seconds);
        if let (Some(mfa), Some(code)) = (mfa, code) {
            request = request.serial_number(&mfa.serial).token_code(code);
        }
        let answer = request.send().await.map_err(|error| {
            let error = AwsError::from_sdk(whence, Service::Sts, "AssumeRole", error);
            CredentialsError::provider_error(error.for_role(arn))
        })?;
        let given = answer.credentials.ok_or_else(|| CredentialsError::unhandled("AssumeRole gave no credentials"))?;
        let expires = given.expiration.try_into().map_err(CredentialsError::unhandled)?;
        let token = Some(given.session_token);
        let fresh = Credentials::new(given.access_key_id, given.secret_access_key, token, Some(expires), "AssumeRole");
        self.keep(&fresh).await;
        Ok(fresh)
    }
}

impl Mfa {
    async fn code(&self) -> Result<String, CredentialsError> {
        let (ask, asked) = (self.ask.0, self.serial.clone());
        let (sender, receiver) = oneshot::channel();
        // A plain thread: the end of a runtime waits for its own ones, and somebody who presses Ctrl-C instead of
        // typing a code would wait for ever.
        let thread = std::thread::Builder::new().name("MFA code".to_owned());
        thread.spawn(move || sender.send(ask(&asked))).map_err(CredentialsError::unhandled)?;
        let code = receiver.await.ok().flatten().map(|code| code.trim().to_owned());
        code.filter(|code| !code.is_empty()).ok_or_else(|| {
            let kind = Kind::NoMfaCode { serial: self.serial.clone() };
            CredentialsError::provider_error(AwsError::before_any_call(kind, None))
        })
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "credentials end by the clock of the world")]
fn now() -> SystemTime {
    SystemTime::now()
}

impl ProvideCredentials for Assumed {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}
