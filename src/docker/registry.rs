//! Registry credentials as the engine takes them: the two headers and BuildKit's session.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use serde_json::json;

use crate::secret::Secret;

/// What opens one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryCredentials {
    pub username: String,
    pub password: Secret<String>,
    /// The host with its port, as in an image reference.
    pub server: String,
}

impl RegistryCredentials {
    /// The value of `X-Registry-Auth`: base64url **with** padding. Engines take standard base64 for
    /// undecodable as soon as it holds `+` or `/`, and go on without credentials.
    pub(crate) fn header(&self) -> String {
        URL_SAFE.encode(
            json!({ "username": self.username, "password": self.password.expose(), "serveraddress": self.server })
                .to_string(),
        )
    }
}

/// What a build may need to pull its base images, by registry host; `docker.io` is Docker Hub.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegistryAuth(BTreeMap<String, RegistryCredentials>);

impl RegistryAuth {
    /// Adds the credentials of one registry; a second set for the same host replaces the first.
    #[must_use]
    pub fn with(mut self, credentials: RegistryCredentials) -> Self {
        self.0.insert(credentials.server.clone(), credentials);
        self
    }

    /// The credentials of one registry.
    #[must_use]
    pub fn of(&self, host: &str) -> Option<&RegistryCredentials> {
        self.0.get(host)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &RegistryCredentials> {
        self.0.values()
    }

    /// The credentials of a registry as `BuildKit` asks for them: Docker Hub goes by the name of its API.
    pub(crate) fn of_session_host(&self, host: &str) -> Option<&RegistryCredentials> {
        self.of(if host == "registry-1.docker.io" { "docker.io" } else { host })
    }

    /// The value of `X-Registry-Config` for the classic builder, which knows Docker Hub by its old URL.
    pub(crate) fn header(&self) -> String {
        let hosts: serde_json::Map<_, _> = self
            .0
            .iter()
            .map(|(host, credentials)| {
                let host = if host == "docker.io" { "https://index.docker.io/v1/" } else { host };
                let value = json!({
                    "username": credentials.username,
                    "password": credentials.password.expose(),
                    "serveraddress": host,
                });
                (host.to_owned(), value)
            })
            .collect();
        URL_SAFE.encode(serde_json::Value::Object(hosts).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_url_safe_and_padded() {
        let credentials = RegistryCredentials {
            username: "AWS".to_owned(),
            // Encodes to `+` and `/` in standard base64: engines then push without credentials.
            password: Secret::new("ab~?>>".to_owned()),
            server: "127.0.0.1:5000".to_owned(),
        };
        let header = credentials.header();
        assert!(!header.contains('+') && !header.contains('/'), "{header}");
        assert_eq!(header.len() % 4, 0);
        let back: serde_json::Value = serde_json::from_slice(&URL_SAFE.decode(&header).unwrap()).unwrap();
        assert_eq!(back, json!({"username": "AWS", "password": "ab~?>>", "serveraddress": "127.0.0.1:5000"}));
    }

    #[test]
    fn docker_hub_has_a_name_of_its_own_in_each_place() {
        let auth = RegistryAuth::default().with(RegistryCredentials {
            username: "me".to_owned(),
            password: Secret::new("secret".to_owned()),
            server: "docker.io".to_owned(),
        });
        assert!(auth.of_session_host("registry-1.docker.io").is_some() && auth.of_session_host("ghcr.io").is_none());
        let header = String::from_utf8(URL_SAFE.decode(auth.header()).unwrap()).unwrap();
        assert!(header.contains("https://index.docker.io/v1/"), "{header}");
        assert!(!format!("{auth:?}").contains("secret\""), "{auth:?}");
    }
}
