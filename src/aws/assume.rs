//! Taking on a role: that of an environment, and that of a profile which wants an MFA code. The SDK's own
//! profiles know roles but no code, and would be refused.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, Result as Provided, error::CredentialsError, future};
use aws_sdk_ecs::config::{Credentials, SharedCredentialsProvider};
use tokio::sync::Mutex;

use super::{
    connect::{Identity, Whence},
    error::{AwsError, Kind, Service},
    principal::Files,
};

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
        Some(Assumed {
            sts: aws_sdk_sts::Client::new(config),
            arn: profile.get("role_arn")?.to_owned(),
            session_name: session_name.unwrap_or_else(|| identity.variables.session_name()),
            external_id: profile.get("external_id").map(str::to_owned),
            mfa: serial.clone().map(|serial| (serial, identity.ask)),
            whence: whence.clone(),
            held: Mutex::default(),
        })
    });
    let Some(role) = &identity.role else { return of_profile };
    let (base, mfa) = match of_profile {
        // The code was given for the profile's own role.
        Some(first) => {
            (config.clone().into_builder().credentials_provider(SharedCredentialsProvider::new(first)).build(), None)
        }
        None => (config.clone(), serial.map(|serial| (serial, identity.ask))),
    };
    Some(Assumed {
        sts: aws_sdk_sts::Client::new(&base),
        arn: role.arn.clone(),
        session_name: role.session_name.clone(),
        external_id: None,
        mfa,
        whence: whence.clone(),
        held: Mutex::default(),
    })
}

/// Credentials of a role, fetched anew whenever the SDK finds them too old.
pub(super) struct Assumed {
    sts: aws_sdk_sts::Client,
    arn: String,
    session_name: String,
    external_id: Option<String>,
    /// The ARN of the device, and who can be asked for its code.
    mfa: Option<(String, AskMfa)>,
    whence: Whence,
    /// Every client has a cache of its own; a person is to be asked once.
    held: Mutex<Option<Credentials>>,
}

/// As the SDK's own cache: credentials that are as good as over are fetched anew.
const EARLY: Duration = Duration::from_secs(10);

impl fmt::Debug for Assumed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Assumed").field("arn", &self.arn).finish_non_exhaustive()
    }
}

impl Assumed {
    async fn assume(&self) -> Provided {
        let mut request = self
            .sts
            .assume_role()
            .role_arn(&self.arn)
            .role_session_name(&self.session_name)
            .set_external_id(self.external_id.clone());
        if let Some((serial, ask)) = &self.mfa {
            let (ask, asked) = (ask.0, serial.clone());
            // A person types slower than anything else here; the rest must go on meanwhile.
            let code = tokio::task::spawn_blocking(move || ask(&asked)).await.ok().flatten();
            let code = code.map(|code| code.trim().to_owned()).filter(|code| !code.is_empty());
            let code = code.ok_or_else(|| {
                let kind = Kind::NoMfaCode { serial: serial.clone() };
                CredentialsError::provider_error(AwsError::before_any_call(kind, None))
            })?;
            request = request.serial_number(serial).token_code(code);
        }
        let answer = request.send().await.map_err(|error| {
            let error = AwsError::from_sdk(&self.whence, Service::Sts, "AssumeRole", error);
            CredentialsError::provider_error(error.for_role(&self.arn))
        })?;
        let given = answer.credentials.ok_or_else(|| CredentialsError::unhandled("AssumeRole gave no credentials"))?;
        let expires = given.expiration.try_into().map_err(CredentialsError::unhandled)?;
        let token = Some(given.session_token);
        Ok(Credentials::new(given.access_key_id, given.secret_access_key, token, Some(expires), "AssumeRole"))
    }
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
        future::ProvideCredentials::new(async move {
            let mut held = self.held.lock().await;
            let soon = now() + EARLY;
            if let Some(good) = held.as_ref().filter(|held| held.expiry().is_some_and(|expiry| expiry > soon)) {
                return Ok(good.clone());
            }
            let fresh = self.assume().await?;
            *held = Some(fresh.clone());
            Ok(fresh)
        })
    }
}
