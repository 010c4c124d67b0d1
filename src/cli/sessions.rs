//! Sessions in roles that a person has typed an MFA code for: kept where ECR tokens are, in the same way.

use serde::{Deserialize, Serialize};

use super::{Door, credentials};
use crate::{
    aws::{KeepSessions, RoleSession, SessionKey},
    credentials::{About, Cache, Entry, Login, Scope, TokenKey},
    secret::Secret,
};

/// Looks at the settings and the folder only when a session is wanted.
pub(crate) struct Kept(pub(crate) Door);

/// What stands in the place of a token's password.
#[derive(Serialize, Deserialize)]
struct Secrets {
    secret_access_key: String,
    session_token: String,
}

impl Kept {
    fn cache(&self) -> Option<Cache> {
        // A mistake in the settings is told by whoever needs them.
        credentials::cache(&self.0, &credentials::settings(&self.0).ok()?).ok()
    }
}

impl KeepSessions for Kept {
    fn find(&self, key: &SessionKey) -> Option<RoleSession> {
        let Entry { login, about } = self.cache()?.find_session(&place(key))?;
        let Secrets { secret_access_key, session_token } = serde_json::from_str(login.password.expose()).ok()?;
        Some(RoleSession {
            access_key_id: login.username,
            secret_access_key: Secret::new(secret_access_key),
            session_token: Secret::new(session_token),
            issued_ms: about.issued_ms,
            expires_ms: about.expires_ms,
        })
    }

    fn keep(&self, key: &SessionKey, session: &RoleSession) {
        let Some(cache) = self.cache() else { return };
        let secrets = Secrets {
            secret_access_key: session.secret_access_key.expose().clone(),
            session_token: session.session_token.expose().clone(),
        };
        let password = serde_json::to_string(&secrets).expect("texts always serialise");
        let entry = Entry {
            login: Login { username: session.access_key_id.clone(), password: Secret::new(password) },
            about: About {
                registry: key.role_arn.clone(),
                account: None,
                region: String::new(),
                identity: key.identity.clone(),
                caller: None,
                issued_ms: session.issued_ms,
                expires_ms: session.expires_ms,
            },
        };
        cache.keep_session(&place(key), &entry);
    }

    fn forget(&self, key: &SessionKey) {
        if let Some(cache) = self.cache() {
            cache.forget_session(&place(key));
        }
    }
}

fn place(key: &SessionKey) -> TokenKey {
    let SessionKey { role_arn, fingerprint, identity, endpoint } = key.clone();
    TokenKey { registry: role_arn, scope: Scope { region: String::new(), endpoint, fingerprint, identity } }
}
