//! Sessions in a role that a person has typed an MFA code for: worth keeping between commands, by whoever can.

use std::{fmt, sync::Arc};

use crate::secret::Secret;

/// Credentials of a role, until they end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSession {
    pub access_key_id: String,
    pub secret_access_key: Secret<String>,
    pub session_token: Secret<String>,
    /// Milliseconds since the Unix epoch.
    pub issued_ms: u64,
    pub expires_ms: u64,
}

/// Which session: of another caller, device or endpoint it is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKey {
    pub role_arn: String,
    /// Who takes the role on, for comparing; holds no secret.
    pub fingerprint: String,
    /// The same for people.
    pub identity: String,
    pub endpoint: String,
}

/// Keeps sessions from one process to the next. What cannot be kept is asked for again, which is no failure.
pub trait KeepSessions: Send + Sync {
    fn find(&self, key: &SessionKey) -> Option<RoleSession>;
    fn keep(&self, key: &SessionKey, session: &RoleSession);
    fn forget(&self, key: &SessionKey);
}

/// Who keeps them; nobody, unless somebody is named.
#[derive(Clone, Default)]
pub struct Sessions(Option<Arc<dyn KeepSessions>>);

impl Sessions {
    #[must_use]
    pub fn kept_by(keeper: impl KeepSessions + 'static) -> Self {
        Self(Some(Arc::new(keeper)))
    }

    pub(super) fn find(&self, key: &SessionKey) -> Option<RoleSession> {
        self.0.as_ref()?.find(key)
    }

    pub(super) fn keep(&self, key: &SessionKey, session: &RoleSession) {
        if let Some(keeper) = &self.0 {
            keeper.keep(key, session);
        }
    }

    pub(super) fn forget(&self, key: &SessionKey) {
        if let Some(keeper) = &self.0 {
            keeper.forget(key);
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sessions(..)")
    }
}

/// Where a session is kept says nothing about whose it is.
impl PartialEq for Sessions {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Sessions {}
