//! Every way a call to AWS ends badly, as one type: which call, what AWS said, under which request
//! id, and what kind of trouble it is.

use std::{error::Error, fmt, path::PathBuf, sync::LazyLock};

use aws_config::meta::ProviderChainError;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ecs::{
    error::{ErrorMetadata, ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use regex::Regex;

use super::connect::{Aws, Endpoint, Whence};

/// What lies under an [`AwsError`] of ours: a file, a socket, a credentials provider.
pub type ConnectCause = Box<dyn Error + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Ecs,
    Ecr,
    EcrPublic,
    Elb,
    Logs,
    Sts,
}

impl Service {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ecs => "ECS",
            Self::Ecr => "ECR",
            Self::EcrPublic => "ECR Public",
            Self::Elb => "ELB",
            Self::Logs => "CloudWatch Logs",
            Self::Sts => "STS",
        }
    }

    /// The part before the colon in an IAM action.
    #[must_use]
    pub const fn iam_prefix(self) -> &'static str {
        match self {
            Self::Ecs => "ecs",
            Self::Ecr => "ecr",
            Self::EcrPublic => "ecr-public",
            Self::Elb => "elasticloadbalancing",
            Self::Logs => "logs",
            Self::Sts => "sts",
        }
    }
}

/// What kind of trouble it is; what to do about each is in [`super::hints`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    NoRegion {
        profile: Option<String>,
    },
    /// `AWS_CA_BUNDLE` names a file that cannot be used.
    CaBundle {
        path: PathBuf,
    },
    /// Nobody had credentials.
    NoCredentials {
        /// Who was asked, in order, each with its answer.
        looked: Vec<String>,
    },
    /// There are credentials to be had, but whoever gives them failed: a broken profile, a helper process that
    /// ended with an error, a role that may not be assumed.
    CredentialsFailed {
        source: Source,
    },
    /// Whoever was to give credentials does not answer.
    NoProvider {
        source: Source,
    },
    /// Signed in at the portal, which does not give the profile's role to this person.
    NotAssigned {
        profile: Option<String>,
    },
    /// Signed in by `aws login`: the SDK's own way to it is not built in.
    SignInOfConsole {
        profile: Option<String>,
    },
    /// The session is over, or an SSO sign-in was never made.
    Expired {
        profile: Option<String>,
        session: Session,
    },
    /// AWS does not know the access key, or no key was sent.
    UnknownCredentials {
        profile: Option<String>,
    },
    /// The secret key does not belong to the access key.
    BadSignature,
    /// The request was signed for one region and sent to another.
    WrongRegion,
    ClockSkew,
    /// The role wants the code of an MFA device, and nobody could be asked for it.
    NoMfaCode {
        serial: String,
    },
    /// The session that was opened with such a code has ended in the middle of the command.
    MfaSessionOver {
        role: String,
    },
    AccessDenied {
        /// `ecs:UpdateService`, or what AWS named instead, often `iam:PassRole`.
        action: String,
        resource: Option<String>,
        deny: Deny,
    },
    /// The endpoint does not know the operation: an emulator, or a region that is behind.
    NotOffered,
    Throttled,
    /// A quota of the account or of the resource.
    Quota,
    NotFound,
    /// It exists, but in a state that does not allow the call.
    Conflict,
    /// AWS understood and refused what was asked.
    Invalid,
    /// No connection: name not found, refused, cut, or TLS failed.
    Unreachable {
        endpoint: String,
        place: Reached,
    },
    Timeout {
        endpoint: String,
        place: Reached,
    },
    /// AWS failed, 5xx.
    Server,
    /// An answer that is not what the API promises: a proxy's page, or a field missing.
    Unreadable {
        status: Option<u16>,
    },
    /// A code this program has no opinion about.
    Unknown,
}

/// Whose credentials could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Of this name, or the default one.
    Profile(Option<String>),
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN`.
    WebIdentity,
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI` or `_RELATIVE_URI`.
    Container,
}

/// One of the chain that has an answer, and it is an error: the SDK's chain passes it on without a name.
#[derive(Debug, thiserror::Error)]
#[error("credentials of {}", .by.whose())]
pub(super) struct Unprovided {
    pub(super) by: Source,
    pub(super) source: CredentialsError,
}

impl Source {
    fn whose(&self) -> String {
        match self {
            Self::Profile(profile) => of_profile(profile.as_deref()),
            Self::WebIdentity => "the web identity (AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN)".to_owned(),
            Self::Container => "the container's role (AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI)".to_owned(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// IAM Identity Center: `aws sso login` renews it.
    Sso,
    /// Temporary keys from elsewhere.
    Temporary,
}

/// Why access is denied, as far as the message says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deny {
    /// Nothing allows it: granting the action helps.
    Missing,
    /// Something forbids it (a service control policy, a boundary): granting does not help.
    Explicit,
}

/// Whom we failed to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    Aws,
    Sandbox,
}

/// A call to AWS that failed, or could not be made.
pub struct AwsError(Box<Failed>);

#[derive(Debug)]
struct Failed {
    call: Option<(Service, &'static str)>,
    kind: Kind,
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    region: Option<String>,
    cause: Option<ConnectCause>,
}

impl AwsError {
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    #[must_use]
    pub fn service(&self) -> Option<Service> {
        self.0.call.map(|(service, _)| service)
    }

    /// `UpdateService`; `None` when it failed before any call.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.call.map(|(_, operation)| operation)
    }

    /// The service's own error code.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The service's own words, capped and without what must not be shown.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.0.region.as_deref()
    }

    #[must_use]
    pub fn is_access_denied(&self) -> bool {
        matches!(self.0.kind, Kind::AccessDenied { .. })
    }

    /// Whether these credentials, or this endpoint, will never answer the call: one that is not
    /// essential may be left out from now on.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        matches!(self.0.kind, Kind::AccessDenied { .. } | Kind::NotOffered)
    }

    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.0.kind, Kind::NotFound)
    }

    /// Whether the same call may succeed a moment later without anyone doing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self.0.kind {
            Kind::Throttled | Kind::Server | Kind::Timeout { .. } | Kind::Unreachable { .. } => true,
            Kind::NoRegion { .. }
            | Kind::CaBundle { .. }
            | Kind::NoCredentials { .. }
            | Kind::CredentialsFailed { .. }
            | Kind::NoProvider { .. }
            | Kind::NotAssigned { .. }
            | Kind::SignInOfConsole { .. }
            | Kind::Expired { .. }
            | Kind::UnknownCredentials { .. }
            | Kind::BadSignature
            | Kind::WrongRegion
            | Kind::ClockSkew
            | Kind::NoMfaCode { .. }
            | Kind::MfaSessionOver { .. }
            | Kind::AccessDenied { .. }
            | Kind::NotOffered
            | Kind::Quota
            | Kind::NotFound
            | Kind::Conflict
            | Kind::Invalid
            | Kind::Unreadable { .. }
            | Kind::Unknown => false,
        }
    }

    pub(super) fn before_any_call(kind: Kind, cause: Option<ConnectCause>) -> Self {
        let nothing = Failed { call: None, kind, code: None, message: None, request_id: None, region: None, cause };
        Self(Box::new(nothing))
    }

    /// For an answer that lacks what the API promises.
    pub(super) fn unreadable(aws: &Aws, service: Service, operation: &'static str, lacks: &str) -> Self {
        Self(Box::new(Failed {
            call: Some((service, operation)),
            kind: Kind::Unreadable { status: None },
            code: None,
            message: Some(lacks.to_owned()),
            request_id: None,
            region: Some(aws.region().to_owned()),
            cause: None,
        }))
    }

    /// The same for one more who asked with this call. What lies under it is told once.
    pub(super) fn retold(&self) -> Self {
        let Failed { call, kind, code, message, request_id, region, cause: _ } = &*self.0;
        Self(Box::new(Failed {
            call: *call,
            kind: kind.clone(),
            code: code.clone(),
            message: message.clone(),
            request_id: request_id.clone(),
            region: region.clone(),
            cause: None,
        }))
    }

    /// For a `failures[]` entry of ECS: a call that succeeded and still says no.
    pub(super) fn refused(aws: &Aws, operation: &'static str, reason: &str, detail: Option<&str>) -> Self {
        let kind = if reason == "MISSING" { Kind::NotFound } else { Kind::Unknown };
        Self(Box::new(Failed {
            call: Some((Service::Ecs, operation)),
            kind,
            code: Some(reason.to_owned()),
            message: detail.map(shown),
            request_id: None,
            region: Some(aws.region().to_owned()),
            cause: None,
        }))
    }

    /// Names the role in a refusal of `AssumeRole` that does not name it itself.
    pub(super) fn for_role(mut self, role: &str) -> Self {
        if let Kind::AccessDenied { resource: resource @ None, .. } = &mut self.0.kind {
            *resource = Some(role.to_owned());
        }
        self
    }

    /// The same error once more: what lies under it as its text.
    fn again(&self) -> Self {
        let Failed { call, kind, code, message, request_id, region, cause } = &*self.0;
        Self(Box::new(Failed {
            call: *call,
            kind: kind.clone(),
            code: code.clone(),
            message: message.clone(),
            request_id: request_id.clone(),
            region: region.clone(),
            cause: cause.as_ref().map(|cause| told(&cause.to_string())),
        }))
    }

    /// For credentials that were wanted before any call.
    pub(super) fn from_credentials(aws: &Whence, error: &CredentialsError) -> Self {
        if let Some(deeper) = chain(error).find_map(|cause| cause.downcast_ref::<Self>()) {
            return deeper.again();
        }
        let (kind, cause) = without_credentials(aws, error);
        Self::before_any_call(kind, cause)
    }

    pub(super) fn from_sdk<E>(aws: &Whence, service: Service, operation: &'static str, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        // A call of ours on the way to the credentials failed: that one is to be told.
        if let Some(deeper) = chain(&error).find_map(|cause| cause.downcast_ref::<Self>()) {
            return deeper.again();
        }
        let code = error.code().map(str::to_owned);
        let message = error.message().filter(|message| !message.is_empty()).map(shown);
        let request_id = error.request_id().map(str::to_owned);
        let status = error.raw_response().map(|response| response.status().as_u16());
        let (kind, cause) = match error {
            // Every answer of the API that says no has a code, and a page of a proxy or a guest network has none.
            SdkError::ServiceError(_) if code.is_none() && status.is_some_and(|status| status < 500) => {
                (Kind::Unreadable { status }, None)
            }
            SdkError::ServiceError(_) => {
                let words = Words { code: code.as_deref(), message: message.as_deref(), status };
                (words.kind(aws, service, operation), None)
            }
            SdkError::ResponseError(error) => (Kind::Unreadable { status: Some(error.raw().status().as_u16()) }, None),
            other => without_answer(aws, &other),
        };
        let region = Some(aws.region.clone());
        Self(Box::new(Failed { call: Some((service, operation)), kind, code, message, request_id, region, cause }))
    }
}

/// The call never got an answer: no credentials, no connection, no time.
fn without_answer<E>(aws: &Whence, error: &SdkError<E>) -> (Kind, Option<ConnectCause>)
where
    E: Error + Send + Sync + 'static,
{
    if let Some(credentials) = chain(error).find_map(|cause| cause.downcast_ref::<CredentialsError>()) {
        return without_credentials(aws, credentials);
    }
    let (endpoint, place) = match &aws.endpoint {
        Endpoint::Aws => (format!("AWS in {}", aws.region), Reached::Aws),
        Endpoint::At { url } => (url.clone(), Reached::Sandbox),
    };
    let timed_out = match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout(),
        _ => false,
    };
    let unreachable = matches!(error, SdkError::DispatchFailure(_));
    let cause = Some(told(&innermost(error)));
    match (timed_out, unreachable) {
        (true, _) => (Kind::Timeout { endpoint, place }, cause),
        (false, true) => (Kind::Unreachable { endpoint, place }, cause),
        (false, false) => (Kind::Invalid, cause),
    }
}

fn without_credentials(aws: &Whence, error: &CredentialsError) -> (Kind, Option<ConnectCause>) {
    let texts: Vec<String> = chain(error).map(ToString::to_string).collect();
    let all = texts.join(": ");
    let answer = chain(error).find_map(|cause| cause.downcast_ref::<ErrorMetadata>());
    let words = answer.and_then(|answer| Some(format!("{}: {}", answer.code()?, answer.message()?)));
    // Every level above the last only says that loading failed.
    let cause = || words.as_ref().or(texts.last()).map(|deepest| told(deepest));
    let profile = aws.profile.clone();
    let by = chain(error).find_map(|cause| cause.downcast_ref::<Unprovided>()).map(|failed| failed.by.clone());
    let source = by.unwrap_or_else(|| Source::Profile(profile.clone()));
    // As the SDK's errors call it, whichever client it was.
    if texts.iter().any(|text| text == "dispatch failure" || text == "request has timed out") {
        return (Kind::NoProvider { source }, cause());
    }
    if source == Source::WebIdentity || source == Source::Container {
        return (Kind::CredentialsFailed { source }, cause());
    }
    let looked = || match chain(error).find_map(|cause| cause.downcast_ref::<ProviderChainError<CredentialsError>>()) {
        Some(asked) => asked.attempts().iter().map(|attempt| looked_at(attempt.name(), attempt.error())).collect(),
        None => Vec::new(),
    };
    // Texts of aws-config 1.13, sso/token.rs, sso/cache.rs; `UnauthorizedException` is what SSO
    // answers for a token that was revoked.
    let sso = ["the SSO token has expired", "failed to load the cached SSO token", "cached SSO token", "sso/cache"];
    let revoked = all.contains("Session token not found or invalid") || all.contains("InvalidGrantException");
    if revoked || sso.iter().any(|text| all.contains(text)) {
        return (Kind::Expired { profile, session: Session::Sso }, cause());
    }
    if all.contains("ExpiredToken") {
        return (Kind::Expired { profile, session: Session::Temporary }, cause());
    }
    // aws-config 1.13, profile/credentials/exec.rs, of a profile with `login_session`: "In order to use an active login
    // session, the `credentials-login` feature must be enabled."
    if all.contains("`credentials-login` feature") {
        return (Kind::SignInOfConsole { profile }, None);
    }
    // What `GetRoleCredentials` answers: "ForbiddenException: No access".
    if all.contains("ForbiddenException") {
        return (Kind::NotAssigned { profile }, cause());
    }
    match error {
        CredentialsError::CredentialsNotLoaded(_) => (Kind::NoCredentials { looked: looked() }, None),
        _ => (Kind::CredentialsFailed { source }, cause()),
    }
}

/// `profile: No profiles were defined`.
fn looked_at(name: &str, error: &CredentialsError) -> String {
    let place = match name {
        "Environment" => "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
        "Profile" => "profile (~/.aws/config, ~/.aws/credentials)",
        "WebIdentityToken" => "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)",
        "EcsContainer" => "container (AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI)",
        "Ec2InstanceMetadata" => "EC2 instance metadata",
        other => other,
    };
    // The first is always "the credential provider was not enabled"; the next says why.
    let answer = match chain(error).nth(1).map(ToString::to_string) {
        None => "nothing there".to_owned(),
        // aws-config 1.13, imds/credentials.rs.
        Some(text) if text == "received 404 from IMDS" => "the instance has no role".to_owned(),
        Some(text) => shown(&text),
    };
    format!("{place}: {answer}")
}

pub(super) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The last of a chain: "io error: client error (Connect): tcp connect error: Connection refused" says
/// everything at its end.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// What a credentials provider said, as a leaf: its own types carry nothing a caller could use.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told(String);

fn told(text: &str) -> ConnectCause {
    Box::new(Told(shown(text)))
}

/// A service's own words about a call.
struct Words<'a> {
    code: Option<&'a str>,
    message: Option<&'a str>,
    status: Option<u16>,
}

impl Words<'_> {
    fn kind(&self, aws: &Whence, service: Service, operation: &'static str) -> Kind {
        let code = self.code.unwrap_or_default();
        let message = self.message.unwrap_or_default();
        let profile = || aws.profile.clone();
        match code {
            // "Signature expired: 20261123T090000Z is now earlier than 20261123T091000Z"
            "InvalidSignatureException" | "SignatureDoesNotMatch"
                if message.contains("Signature expired") || message.contains("Signature not yet current") =>
            {
                Kind::ClockSkew
            }
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Kind::ClockSkew,
            // "Credential should be scoped to a valid region. ", and "… to correct service: 'ecr'." of a wrong endpoint
            "InvalidSignatureException" | "SignatureDoesNotMatch"
                if message.contains("Credential should be scoped to a valid region") =>
            {
                Kind::WrongRegion
            }
            "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "IncompleteSignatureException" => Kind::BadSignature,
            "ExpiredTokenException" | "ExpiredToken" => {
                Kind::Expired { profile: profile(), session: Session::Temporary }
            }
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "OptInRequired" => Kind::UnknownCredentials { profile: profile() },
            "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" | "AuthorizationError" => {
                denied(service, operation, message)
            }
            "UnknownOperationException" | "InvalidAction" => Kind::NotOffered,
            "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException" => Kind::Throttled,
            "LimitExceededException" | "ServiceQuotaExceededException" => Kind::Quota,
            // ELB has one code per quota: TooManyTargetGroups, TooManyListeners, …
            code if code.starts_with("TooMany") => Kind::Quota,
            "ServiceNotActiveException" | "ConflictException" | "UpdateInProgressException" => Kind::Conflict,
            code if code.contains("AlreadyExists") || code.starts_with("Duplicate") || code.ends_with("InUse") => {
                Kind::Conflict
            }
            code if code.ends_with("NotFoundException") || code.ends_with("NotFound") => Kind::NotFound,
            // DescribeTaskDefinition has no code of its own: ClientException "Unable to describe task definition."
            "ClientException" if message.starts_with("Unable to describe task definition") => Kind::NotFound,
            "ClientException" | "ValidationError" | "ValidationException" => Kind::Invalid,
            code if code.starts_with("Invalid") || code.ends_with("UnsupportedFeatureException") => Kind::Invalid,
            "ServerException"
            | "InternalFailure"
            | "InternalError"
            | "ServiceUnavailable"
            | "ServiceUnavailableException" => Kind::Server,
            _ => match self.status {
                Some(500..) => Kind::Server,
                Some(_) | None => Kind::Unknown,
            },
        }
    }
}

/// `User: arn:aws:iam::111111111111:user/ci is not authorized to perform: iam:PassRole on resource:
/// arn:aws:iam::111111111111:role/web because no identity-based policy allows the iam:PassRole action`
static NOT_AUTHORIZED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"not authorized to perform: ([A-Za-z0-9-]+:[A-Za-z0-9*]+)(?: on resource: (\S+))?")
        .expect("a constant expression")
});

fn denied(service: Service, operation: &'static str, message: &str) -> Kind {
    let (action, resource) =
        named_in(message).unwrap_or_else(|| (format!("{}:{operation}", service.iam_prefix()), None));
    let deny = if message.contains("explicit deny") { Deny::Explicit } else { Deny::Missing };
    Kind::AccessDenied { action, resource, deny }
}

/// Action and resource of a denial.
pub(super) fn named_in(message: &str) -> Option<(String, Option<String>)> {
    let parts = NOT_AUTHORIZED.captures(message)?;
    let part = |number| parts.get(number).map(|part| part.as_str().to_owned());
    Some((part(1)?, part(2)))
}

/// A bad signature's message carries the canonical request with the session token in it; a proxy's
/// page is long. So: no signing headers, no control characters, at most [`LONGEST`] characters.
fn shown(text: &str) -> String {
    static SIGNING: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?i)(x-amz-[a-z0-9-]+|authorization|signature|credential)\s*[:=]\s*[^\s&'"]+"#)
            .expect("a constant expression")
    });
    let text = text.split("The Canonical String for this request").next().unwrap_or_default();
    let text = SIGNING.replace_all(text.trim(), "$1: ****");
    let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Characters of a message that are shown; the longest useful one seen (an `iam:PassRole` denial with
/// two ARNs) has 420.
const LONGEST: usize = 700;

fn of_profile(profile: Option<&str>) -> String {
    profile.map_or_else(|| "the default profile".to_owned(), |profile| format!("profile `{profile}`"))
}

impl fmt::Display for AwsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { call, kind, code, message, request_id, region: _, cause: _ } = &*self.0;
        // Without credentials nothing is called: the name of the call would only look like a part of the answer.
        let unsent = matches!(
            kind,
            Kind::NoCredentials { .. }
                | Kind::CredentialsFailed { .. }
                | Kind::NoProvider { .. }
                | Kind::NotAssigned { .. }
                | Kind::SignInOfConsole { .. }
        ) || (matches!(kind, Kind::Expired { .. }) && code.is_none());
        if let Some((service, operation)) = call
            && !unsent
        {
            write!(formatter, "{} {operation}: ", service.name())?;
        }
        match kind {
            Kind::NoRegion { .. } => return formatter.write_str("no AWS region is set"),
            Kind::CaBundle { path } => return write!(formatter, "AWS_CA_BUNDLE `{}` cannot be used", path.display()),
            Kind::NoCredentials { .. } => return formatter.write_str("no AWS credentials were found"),
            Kind::CredentialsFailed { source } => {
                return write!(formatter, "the credentials of {} could not be loaded", source.whose());
            }
            Kind::NoProvider { source } => {
                return write!(formatter, "nobody answers who could give the credentials of {}", source.whose());
            }
            Kind::NotAssigned { profile } => {
                return write!(
                    formatter,
                    "the sign-in is good, but does not bring the role of {}",
                    of_profile(profile.as_deref())
                );
            }
            Kind::SignInOfConsole { profile } => {
                return write!(
                    formatter,
                    "the sign-in of {} by `aws login` cannot be used directly",
                    of_profile(profile.as_deref())
                );
            }
            Kind::Expired { profile, session: Session::Sso } if code.is_none() => {
                return write!(
                    formatter,
                    "the SSO session of {} has expired or was never started",
                    of_profile(profile.as_deref())
                );
            }
            Kind::Expired { profile, session: Session::Temporary } if code.is_none() => {
                return write!(
                    formatter,
                    "the temporary credentials of {} have expired",
                    of_profile(profile.as_deref())
                );
            }
            Kind::NoMfaCode { serial } => return write!(formatter, "the role wants a code of the MFA device {serial}"),
            Kind::MfaSessionOver { role } => {
                return write!(formatter, "the session in {role} that an MFA code was given for is over");
            }
            Kind::Unreachable { endpoint, .. } => return write!(formatter, "cannot reach {endpoint}"),
            Kind::Timeout { endpoint, .. } => return write!(formatter, "no answer in time from {endpoint}"),
            Kind::Unreadable { status: Some(status) } => {
                write!(formatter, "the answer (HTTP {status}) is not one of the API's")?;
            }
            Kind::Unreadable { status: None } => formatter.write_str("the answer is not what the API promises")?,
            Kind::Expired { .. }
            | Kind::UnknownCredentials { .. }
            | Kind::BadSignature
            | Kind::WrongRegion
            | Kind::ClockSkew
            | Kind::AccessDenied { .. }
            | Kind::NotOffered
            | Kind::Throttled
            | Kind::Quota
            | Kind::NotFound
            | Kind::Conflict
            | Kind::Invalid
            | Kind::Server
            | Kind::Unknown => formatter.write_str(code.as_deref().unwrap_or("refused"))?,
        }
        if let Some(message) = message {
            write!(formatter, ": {message}")?;
        }
        match request_id {
            Some(request_id) => write!(formatter, " (request id {request_id})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for AwsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Error for AwsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.cause.as_ref().map(|cause| &**cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, shown};

    #[test]
    fn a_message_never_shows_what_signs_a_request() {
        let message = "The request signature we calculated does not match. x-amz-security-token:FwoGZX\nAuthorization=abc\n\n\
                       The Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:FwoGZXIvYXdz'";
        let text = shown(message);
        assert!(!text.contains("FwoGZX") && !text.contains("abc"), "{text}");
        assert!(text.starts_with("The request signature we calculated does not match."), "{text}");
    }

    #[test]
    fn a_message_has_an_end() {
        assert_eq!(shown(&"ü".repeat(5_000)).chars().count(), LONGEST + 1);
    }
}
