//! Registry passwords: issued without being remembered, checked without being looked up.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::Millis;

/// "The token is valid for 12 hours" — ECR API reference, `GetAuthorizationToken`.
pub(super) const LIFETIME: Millis = 12 * 60 * 60 * 1000;

/// What a password turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Valid,
    Expired,
    /// Never issued here, or tampered with.
    Invalid,
}

/// Issues and checks passwords.
///
/// Like ECR's, a password carries its own expiry under a seal, so that any number of them costs no memory and one issued
/// before a restart is as good as any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mint {
    /// Made when first needed, and kept.
    key: Option<String>,
    /// Passwords issued before this moment count as expired.
    valid_from: Millis,
}

/// The readable part of ECR's own passwords has the same members.
#[derive(Serialize, Deserialize)]
struct Password {
    payload: String,
    datakey: String,
    version: String,
    #[serde(rename = "type")]
    kind: String,
    /// Seconds since the epoch, as ECR writes it.
    expiration: u64,
}

impl Mint {
    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    pub(super) fn issue(&mut self, now: Millis, lifetime: Millis) -> String {
        let key = self.key.get_or_insert_with(super::random_hex::<32>).clone();
        // The payload is the moment of issue (ECR's is sealed, and nobody reads it) and something that makes it unique.
        let payload = format!("{now}.{}", super::random_hex::<16>());
        let expiration = (now + lifetime) / 1000;
        let datakey = seal(&key, &payload, expiration);
        let password = Password { payload, datakey, version: "2".into(), kind: "DATA_KEY".into(), expiration };
        STANDARD.encode(serde_json::to_vec(&password).expect("strings and a number always serialise"))
    }

    pub(super) fn expire_all(&mut self, now: Millis) {
        self.valid_from = now + 1;
    }

    pub(super) fn standing(&self, password: &str, now: Millis) -> Standing {
        let decoded = STANDARD.decode(password).ok();
        let password: Option<Password> = decoded.and_then(|json| serde_json::from_slice(&json).ok());
        let (Some(key), Some(password)) = (&self.key, password) else {
            return Standing::Invalid;
        };
        if seal(key, &password.payload, password.expiration) != password.datakey {
            return Standing::Invalid;
        }
        let issued = password.payload.split_once('.').and_then(|(issued, _)| issued.parse::<Millis>().ok());
        if issued.is_none_or(|issued| issued < self.valid_from) || now / 1000 >= password.expiration {
            return Standing::Expired;
        }
        Standing::Valid
    }
}

/// Hashed twice with the key, so that nobody can lengthen a payload.
fn seal(key: &str, payload: &str, expiration: u64) -> String {
    let inner = Sha256::digest(format!("{key}|{expiration}|{payload}"));
    hex::encode(Sha256::new().chain_update(key).chain_update(inner).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_lives_as_long_as_it_says() {
        let mut mint = Mint::default();
        let now = 1_790_000_000_000;
        let password = mint.issue(now, LIFETIME);
        for (at, standing) in [
            (now, Standing::Valid),
            (now + LIFETIME - 1000, Standing::Valid),
            (now + LIFETIME, Standing::Expired),
            (now + 10 * LIFETIME, Standing::Expired),
        ] {
            assert_eq!(mint.standing(&password, at), standing, "{at}");
        }
        assert_ne!(password, mint.issue(now, LIFETIME));
    }

    #[test]
    fn only_its_own_passwords_are_good() {
        let mut mint = Mint::default();
        assert_eq!(mint.standing("anything", 0), Standing::Invalid);
        let stranger = Mint::default().issue(0, LIFETIME);
        let own = mint.issue(0, LIFETIME);
        assert_eq!(mint.standing(&stranger, 0), Standing::Invalid);
        let json = String::from_utf8(STANDARD.decode(&own).unwrap()).unwrap();
        let longer = STANDARD.encode(json.replace("\"expiration\":43200", "\"expiration\":99999"));
        assert_ne!(longer, own);
        assert_eq!(mint.standing(&longer, 0), Standing::Invalid);
        let remembered: Mint = serde_json::from_str(&serde_json::to_string(&mint).unwrap()).unwrap();
        assert_eq!(remembered.standing(&own, 0), Standing::Valid);
    }

    #[test]
    fn all_can_be_expired_at_once() {
        let mut mint = Mint::default();
        let old = mint.issue(5, LIFETIME);
        mint.expire_all(5);
        assert_eq!(mint.standing(&old, 6), Standing::Expired);
        assert_eq!(mint.standing(&mint.clone().issue(6, LIFETIME), 6), Standing::Valid);
    }
}
