//! A configuration folder for one run of buildx: docker's own, seen through links, with a `config.json` that has the logins of
//! this run in it. Nobody else may look into it, and it goes with the run.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::docker::{
    endpoint::{Address, Endpoint, TlsFiles, Verification},
    error::DockerError,
    registry::RegistryAuth,
};

/// Docker's default, which needs no variable: buildx knows its builders by the name of the endpoint.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

pub(super) struct PrivateFolder {
    path: PathBuf,
}

impl PrivateFolder {
    pub(super) fn new(docker_config: &Path, scratch: &Path, logins: &RegistryAuth) -> Result<Self, DockerError> {
        let mut random = [0; 12];
        getrandom::fill(&mut random).map_err(|source| DockerError::Broken {
            operation: "draw a name",
            source: Box::new(io::Error::other(source.to_string())),
        })?;
        let path = scratch.join(format!("docker-ecs-ship-buildx.{}", hex::encode(random)));
        let failed = |source: io::Error| DockerError::BuildxFolder { path: path.clone(), source };
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        // From here on it is taken away whatever happens.
        let folder = Self { path: path.clone() };
        let own = fs::canonicalize(docker_config).ok();
        for entry in own.iter().filter_map(|own| fs::read_dir(own).ok()).flatten().flatten() {
            if entry.file_name() != "config.json" {
                symlink(entry.path(), path.join(entry.file_name())).map_err(failed)?;
            }
        }
        let config = fs::read(docker_config.join("config.json")).unwrap_or_default();
        let config = serde_json::from_slice(&config).unwrap_or_default();
        folder.write("config.json", with_logins(config, logins).to_string().as_bytes())?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), DockerError> {
        use io::Write as _;

        let path = self.path.join(name);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(content))
            .map_err(|source| DockerError::BuildxFolder { path: self.path.clone(), source })
    }

    /// What the child is to find in its environment so that it talks to this engine; `None` is to be taken out.
    pub(super) fn variables(&self, endpoint: &Endpoint) -> Result<Vec<(&'static str, Option<String>)>, DockerError> {
        let mut variables = vec![
            ("DOCKER_CONFIG", Some(self.path.display().to_string())),
            // Docker has started us, not the child.
            ("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", None),
            ("DOCKER_CLI_PLUGIN_SOCKET", None),
        ];
        let Endpoint { context, host, address, .. } = endpoint;
        if context != "default" {
            variables.extend([("DOCKER_CONTEXT", Some(context.clone())), ("DOCKER_HOST", None)]);
            return Ok(variables);
        }
        // Behind docker's own `dial-stdio` there is no address, and the environment is docker's.
        if !host.contains("://") {
            return Ok(variables);
        }
        let host = (host != DEFAULT_HOST).then(|| host.clone());
        // With DOCKER_HOST the context is the default one, and without, it must be named: the file may have another.
        variables.push(("DOCKER_CONTEXT", host.is_none().then(|| context.clone())));
        variables.push(("DOCKER_HOST", host));
        let tls = match address {
            Address::Tcp { tls, .. } => tls.as_ref(),
            Address::Unix { .. } | Address::Child { .. } => None,
        };
        if let Some(TlsFiles { ca, identity, verification }) = tls {
            fs::DirBuilder::new()
                .mode(0o700)
                .create(self.path.join("engine"))
                .map_err(|source| DockerError::BuildxFolder { path: self.path.clone(), source })?;
            let identity = identity.as_ref();
            let files = [
                ("engine/ca.pem", ca.as_ref()),
                ("engine/cert.pem", identity.map(|identity| &identity.certificate)),
                ("engine/key.pem", identity.map(|identity| identity.key.expose())),
            ];
            for (name, content) in files {
                if let Some(content) = content {
                    self.write(name, content)?;
                }
            }
            let verify = *verification == Verification::Verify;
            variables.extend([
                ("DOCKER_CERT_PATH", Some(self.path.join("engine").display().to_string())),
                ("DOCKER_TLS_VERIFY", verify.then(|| "1".to_owned())),
                ("DOCKER_TLS", Some("1".to_owned())),
            ]);
        } else {
            variables.extend([("DOCKER_TLS_VERIFY", None), ("DOCKER_TLS", None)]);
        }
        Ok(variables)
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // Links are taken away, never what they point at.
        let _gone = fs::remove_dir_all(&self.path);
    }
}

/// Docker's configuration with these logins in the file itself: a helper named for one of these registries, or for all, would
/// be asked in their place, so that for each of them there is none (`""`).
fn with_logins(config: Value, logins: &RegistryAuth) -> Value {
    let mut config = match config {
        Value::Object(config) => config,
        _ => Map::new(),
    };
    for credentials in logins.iter() {
        let server = match credentials.server.as_str() {
            "docker.io" => "https://index.docker.io/v1/",
            server => server,
        };
        let login = STANDARD.encode(format!("{}:{}", credentials.username, credentials.password.expose()));
        for (section, value) in [("auths", json!({ "auth": login })), ("credHelpers", json!(""))] {
            let section = config.entry(section).or_insert_with(|| json!({}));
            if !section.is_object() {
                *section = json!({});
            }
            section[server] = value;
        }
    }
    Value::Object(config)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::{docker::registry::RegistryCredentials, secret::Secret};

    fn login(server: &str) -> RegistryAuth {
        RegistryAuth::default().with(RegistryCredentials {
            username: "AWS".to_owned(),
            password: Secret::new("token".to_owned()),
            server: server.to_owned(),
        })
    }

    fn endpoint(context: &str, host: &str, address: Address) -> Endpoint {
        Endpoint {
            context: context.to_owned(),
            host: host.to_owned(),
            address,
            api_version: None,
            headers: Vec::new(),
            proxy_arguments: BTreeMap::new(),
        }
    }

    #[test]
    fn it_is_dockers_folder_with_our_logins_and_goes_again() {
        let (docker, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(docker.path().join("buildx")).unwrap();
        fs::write(docker.path().join("buildx/current"), "mine").unwrap();
        let config = json!({ "credsStore": "pass", "auths": { "ghcr.io": {} }, "credHelpers": { "ghcr.io": "x" } });
        fs::write(docker.path().join("config.json"), config.to_string()).unwrap();
        let folder = PrivateFolder::new(docker.path(), scratch.path(), &login("r.example.com")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&folder.path().join("config.json"))), (0o700, 0o600));
        let written: Value = serde_json::from_slice(&fs::read(folder.path().join("config.json")).unwrap()).unwrap();
        assert_eq!(
            written,
            json!({
                "credsStore": "pass",
                "auths": { "ghcr.io": {}, "r.example.com": { "auth": "QVdTOnRva2Vu" } },
                "credHelpers": { "ghcr.io": "x", "r.example.com": "" },
            })
        );
        assert_eq!(fs::read_to_string(folder.path().join("buildx/current")).unwrap(), "mine");
        drop(folder);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
        assert!(docker.path().join("buildx/current").exists(), "the user's own stays");
    }

    #[test]
    fn without_a_configuration_there_is_one() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = PrivateFolder::new(&scratch.path().join("none"), scratch.path(), &login("docker.io")).unwrap();
        let written = fs::read_to_string(folder.path().join("config.json")).unwrap();
        assert!(written.contains("https://index.docker.io/v1/"), "{written}");
    }

    #[test]
    fn the_child_talks_to_the_same_engine() {
        let scratch = tempfile::tempdir().unwrap();
        let folder =
            PrivateFolder::new(&scratch.path().join("none"), scratch.path(), &RegistryAuth::default()).unwrap();
        let told = |endpoint: &Endpoint| -> BTreeMap<&str, Option<String>> {
            folder.variables(endpoint).unwrap().into_iter().filter(|(name, _)| *name != "DOCKER_CONFIG").collect()
        };
        let socket = || Address::Unix { path: "/run/x".into() };
        let named = told(&endpoint("remote", "ssh://me@host", socket()));
        assert_eq!((named["DOCKER_CONTEXT"].as_deref(), &named["DOCKER_HOST"]), (Some("remote"), &None));
        let usual = told(&endpoint("default", DEFAULT_HOST, socket()));
        assert_eq!((usual["DOCKER_CONTEXT"].as_deref(), &usual["DOCKER_HOST"]), (Some("default"), &None));
        let other = told(&endpoint("default", "unix:///run/x", socket()));
        assert_eq!((&other["DOCKER_CONTEXT"], other["DOCKER_HOST"].as_deref()), (&None, Some("unix:///run/x")));
        let tls = TlsFiles { ca: Some(b"ca".to_vec()), identity: None, verification: Verification::Verify };
        let address = Address::Tcp { host: "h".to_owned(), port: 2376, base_path: String::new(), tls: Some(tls) };
        let far = told(&endpoint("default", "tcp://h:2376", address));
        assert_eq!(far["DOCKER_TLS_VERIFY"].as_deref(), Some("1"));
        let certificates = far["DOCKER_CERT_PATH"].clone().unwrap();
        assert_eq!(fs::read(Path::new(&certificates).join("ca.pem")).unwrap(), b"ca");
    }
}
