//! Who asks, known before anybody is asked: the profile or role that the SDK's chain will come to, from
//! files and variables alone.
//!
//! A token is kept under this name. The access key id would not do: that of an SSO session or an assumed
//! role is another one every hour, and a cache under it is never hit. Whatever could change who one is
//! goes into the fingerprint; too much of it costs a call, too little would be somebody else's token.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::connect::{Identity, Variables};

/// The caller, as far as files and variables tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// For people: `profile jobs`.
    pub label: String,
    /// For comparing; holds no secret.
    pub fingerprint: String,
}

/// What makes the address of the APIs, besides the region: `standard`, or what was set in its place.
#[must_use]
pub fn endpoint(variables: &Variables) -> String {
    let Variables { endpoint_url, endpoint_url_ecr, ignore_endpoints, fips, dual_stack, .. } = variables;
    let named = endpoint_url_ecr.as_ref().or(endpoint_url.as_ref()).filter(|_| !ignore_endpoints);
    let mut endpoint = named.map_or("standard", String::as_str).to_owned();
    for (set, word) in [(fips, " fips"), (dual_stack, " dual-stack")] {
        if *set {
            endpoint.push_str(word);
        }
    }
    endpoint
}

/// The region as [`super::connect`] finds it, but for what only the network knows.
#[must_use]
pub fn region(identity: &Identity) -> Option<String> {
    let Variables { region, default_region, profile, .. } = &identity.variables;
    let set = identity.region.as_ref().or(region.as_ref()).or(default_region.as_ref());
    set.cloned().or_else(|| {
        let named = identity.profile.as_ref().or(profile.as_ref()).map_or("default", String::as_str);
        Files::read(&identity.variables).profile(named)?.get("region").map(str::to_owned)
    })
}

/// Follows the chain of [`super::connect`], in its order.
#[must_use]
pub fn principal(identity: &Identity) -> Principal {
    let base = of_chain(identity);
    match &identity.role {
        // Whoever may take the role on is the same caller afterwards.
        Some(role) => Principal {
            label: format!("role {} by {}", role.arn, base.label),
            fingerprint: format!("role {}", role.arn),
        },
        None => base,
    }
}

/// The same before a role of ours is taken on.
#[must_use]
pub fn of_chain(identity: &Identity) -> Principal {
    let variables = &identity.variables;
    let files = Files::read(variables);
    let key = variables.access_key_id.as_ref().map(|key| Principal {
        label: format!("access key {}", masked(key)),
        // Of long-lived keys it stays; of temporary ones nothing else says whose they are.
        fingerprint: format!("key {key}"),
    });
    // One that only sets a region brings nobody: the chain goes on.
    let named =
        |name: &String| files.profile(name).filter(Profile::brings_credentials).map(|profile| profile.principal(name));
    let by_profile = match (&identity.profile, &variables.profile) {
        (Some(name), _) => named(name).or(key),
        (None, Some(name)) => key.or_else(|| named(name)),
        (None, None) => key.or_else(|| named(&"default".to_owned())),
    };
    by_profile.unwrap_or_else(|| of_surroundings(variables))
}

/// The account that a profile works in, where its own words say it.
#[must_use]
pub fn account_of_profile(variables: &Variables, name: &str) -> Option<String> {
    let profile = Files::read(variables).profile(name)?;
    let of_role = || account_of_role(profile.get("role_arn")?);
    profile.get("sso_account_id").map(str::to_owned).or_else(of_role)
}

/// `arn:aws:iam::111111111111:role/ship` says whose it is.
#[must_use]
pub fn account_of_role(arn: &str) -> Option<String> {
    let account = arn.split(':').nth(4)?;
    (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())).then(|| account.to_owned())
}

/// Whom a machine or a container makes of us.
fn of_surroundings(variables: &Variables) -> Principal {
    let Variables { web_identity_token_file, role_arn, container_uri, .. } = variables;
    if let (Some(file), Some(arn)) = (web_identity_token_file, role_arn) {
        return Principal {
            label: format!("role {arn} by web identity"),
            fingerprint: format!("web identity {arn} {}", file.display()),
        };
    }
    match container_uri {
        // A home folder may be shared by machines, their roles are not; and every pod of EKS asks at the same address.
        Some(uri) => Principal {
            label: "the container's role".to_owned(),
            fingerprint: format!("container {uri} {}", machine()),
        },
        None => Principal { label: "the instance's role".to_owned(), fingerprint: format!("instance {}", machine()) },
    }
}

#[cfg(unix)]
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn machine() -> String {
    String::new()
}

/// `AKIA…MPLE`.
fn masked(key: &str) -> String {
    match (key.get(..4), key.len().checked_sub(4).and_then(|end| key.get(end..))) {
        (Some(begin), Some(end)) if key.len() >= 16 => format!("{begin}…{end}"),
        _ => "of the environment".to_owned(),
    }
}

/// `~/.aws/config` and `~/.aws/credentials`, or what is set in their place.
#[derive(Debug, Default)]
pub(super) struct Files {
    config: String,
    credentials: String,
}

impl Files {
    pub(super) fn read(variables: &Variables) -> Self {
        let at_home = |name: &str| variables.home.as_ref().map(|home| home.join(".aws").join(name));
        let read = |path: Option<PathBuf>| path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let named = |set: &Option<PathBuf>, name| match set {
            Some(path) => Some(expanded(path, variables.home.as_deref())),
            None => at_home(name),
        };
        Self {
            config: read(named(&variables.config_file, "config")),
            credentials: read(named(&variables.credentials_file, "credentials")),
        }
    }

    /// A profile that one of the files has.
    pub(super) fn profile(&self, name: &str) -> Option<Profile> {
        // `[default]` alone needs no `profile` before it.
        let mut titles = vec![format!("profile {name}")];
        if name == "default" {
            titles.push(name.to_owned());
        }
        let (config, own) = (section(&self.config, &titles), section(&self.credentials, &[name.to_owned()]));
        if config.is_none() && own.is_none() {
            return None;
        }
        let values = config.into_iter().chain(own).flatten().collect();
        Some(Profile { values, config: hex::encode(Sha256::digest(&self.config)) })
    }
}

/// `~/…` as the SDK reads it.
fn expanded(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        (Ok(_) | Err(_), _) => path.to_owned(),
    }
}

/// The keys of the first section of one of these names; deeper lines belong to nested settings and are
/// none of ours.
fn section(text: &str, names: &[String]) -> Option<Vec<(String, String)>> {
    let mut values: Option<Vec<(String, String)>> = None;
    let mut inside = false;
    for line in text.lines() {
        if let Some(header) = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let header = header.0.split_whitespace().collect::<Vec<_>>().join(" ");
            inside = names.contains(&header);
            if inside {
                values.get_or_insert_default();
            }
            continue;
        }
        let comment = line.trim_start().starts_with(['#', ';']);
        if inside
            && !comment
            && !line.starts_with([' ', '\t'])
            && let (Some(values), Some((key, value))) = (values.as_mut(), line.split_once('='))
        {
            let value = value.split(" #").next().unwrap_or_default().split(" ;").next().unwrap_or_default();
            values.push((key.trim().to_lowercase(), value.trim().to_owned()));
        }
    }
    values
}

/// What the files say of one profile.
#[derive(Debug)]
pub(super) struct Profile {
    values: Vec<(String, String)>,
    /// Of the whole configuration: a profile may lead to another one, and an SSO session is a section
    /// of its own.
    config: String,
}

impl Profile {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    fn brings_credentials(&self) -> bool {
        const KEYS: [&str; 8] = [
            "aws_access_key_id",
            "credential_process",
            "credential_source",
            "login_session",
            "role_arn",
            "sso_session",
            "sso_start_url",
            "web_identity_token_file",
        ];
        self.values.iter().any(|(key, _)| KEYS.contains(&key.as_str()))
    }

    fn principal(&self, name: &str) -> Principal {
        let mut fingerprint = format!("profile {name} {}", self.config);
        for (key, value) in &self.values {
            // What changes with every sign-in says nothing about who signed in; the rest does, as
            // `x_principal_arn` of saml2aws.
            let passing = ["secret", "token", "expir"].iter().any(|word| key.contains(word))
                || (key == "aws_access_key_id" && value.starts_with("ASIA"));
            if !passing {
                fingerprint.extend([" ", key, "=", value]);
            }
        }
        Principal { label: format!("profile {name}"), fingerprint }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::aws::connect::Role;

    /// A home with these two files.
    fn identity(config: &str, credentials: &str) -> (tempfile::TempDir, Identity) {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".aws")).unwrap();
        fs::write(home.path().join(".aws/config"), config).unwrap();
        fs::write(home.path().join(".aws/credentials"), credentials).unwrap();
        let variables = Variables { home: Some(home.path().to_owned()), ..Variables::default() };
        (home, Identity { variables, ..Identity::default() })
    }

    const CONFIG: &str =
        "[profile jobs]\nsso_session = corp\nsso_role_name = ship\n[sso-session corp]\nsso_region = eu-west-1\n";

    fn by(profile: &str, config: &str, credentials: &str) -> Principal {
        let (_home, identity) = identity(config, credentials);
        principal(&Identity { profile: Some(profile.to_owned()), ..identity })
    }

    #[test]
    fn temporary_keys_of_a_profile_come_and_go_and_it_stays_the_same() {
        let first = "[saml]\naws_access_key_id = ASIAAAAAAAAAAAAAAAA1\naws_secret_access_key=one\naws_session_token=x\nx_security_token_expires = 1\nx_principal_arn = arn:a\n";
        let later = first.replace("AAA1", "AAA2").replace("=one", "=two").replace("= 1", "= 2");
        assert_eq!(by("saml", CONFIG, first), by("saml", CONFIG, &later));
        // Signed in as somebody else.
        assert_ne!(by("saml", CONFIG, first), by("saml", CONFIG, &later.replace("arn:a", "arn:b")));
        // Long-lived keys belong to one user.
        let user = "[jobs]\naws_access_key_id = AKIAAAAAAAAAAAAAAAA1\naws_secret_access_key=one\n";
        assert_ne!(by("jobs", "", user), by("jobs", "", &user.replace("AAA1", "AAA2")));
        assert_eq!(by("jobs", "", user), by("jobs", "", &user.replace("=one", "=two")));
    }

    #[test]
    fn a_profile_that_means_another_role_is_another_caller() {
        let before = by("jobs", CONFIG, "");
        assert_eq!(before.label, "profile jobs");
        assert_ne!(before, by("jobs", &CONFIG.replace("= ship", "= admin"), ""));
        assert_ne!(
            before.fingerprint,
            by("jobs", &CONFIG.replace("sso_region = eu-west-1", "sso_region = us-east-1"), "").fingerprint
        );
    }

    #[test]
    fn the_chain_is_followed_in_its_order() {
        let (_home, plain) =
            identity("[default]\nregion = eu-west-1\nrole_arn = x\n[profile jobs]\nrole_arn = y\n", "");
        let with = |change: fn(&mut Identity)| {
            let mut identity = plain.clone();
            change(&mut identity);
            principal(&identity).label
        };
        let key = |identity: &mut Identity| identity.variables.access_key_id = Some("AKIAIOSFODNN7EXAMPLE".to_owned());
        assert_eq!(with(|_| ()), "profile default");
        assert_eq!(with(key), "access key AKIA…MPLE");
        assert_eq!(with(|identity| identity.variables.profile = Some("jobs".into())), "profile jobs");
        let mut both = plain.clone();
        key(&mut both);
        both.variables.profile = Some("jobs".into());
        assert_eq!(principal(&both).label, "access key AKIA…MPLE", "a profile of the environment gives way to keys");
        both.profile = Some("jobs".into());
        assert_eq!(principal(&both).label, "profile jobs", "one that was named does not");
        both.profile = Some("nobody".into());
        assert_eq!(principal(&both).label, "access key AKIA…MPLE");
        let role = Role { arn: "arn:aws:iam::222222222222:role/ship".into(), session_name: "a".into() };
        let assumed = principal(&Identity { role: Some(role.clone()), ..plain.clone() });
        assert_eq!(assumed.label, "role arn:aws:iam::222222222222:role/ship by profile default");
        let otherwise = Identity { role: Some(Role { session_name: "b".into(), ..role }), ..both };
        assert_eq!(assumed.fingerprint, principal(&otherwise).fingerprint);
    }

    #[test]
    fn machines_and_containers_are_callers_too() {
        let label = |variables: Variables| principal(&Identity { variables, ..Identity::default() }).label;
        assert_eq!(label(Variables::default()), "the instance's role");
        let container = Variables { container_uri: Some("/v2/credentials/1".into()), ..Variables::default() };
        assert_eq!(label(container), "the container's role");
        let web = Variables {
            web_identity_token_file: Some("/var/run/token".into()),
            role_arn: Some("arn:aws:iam::1:role/ci".into()),
            ..Variables::default()
        };
        assert_eq!(label(web), "role arn:aws:iam::1:role/ci by web identity");
    }

    #[test]
    fn another_endpoint_is_another_token() {
        let url = Variables { endpoint_url: Some("http://127.0.0.1:4517".into()), ..Variables::default() };
        assert_eq!(endpoint(&Variables::default()), "standard");
        assert_eq!(endpoint(&url), "http://127.0.0.1:4517");
        assert_eq!(endpoint(&Variables { endpoint_url_ecr: Some("http://e".into()), ..url.clone() }), "http://e");
        assert_eq!(endpoint(&Variables { ignore_endpoints: true, fips: true, ..url }), "standard fips");
    }

    #[test]
    fn a_profile_or_a_role_says_whose_account_it_is() {
        let (_home, Identity { variables, .. }) = identity(
            "[profile sso]\nsso_account_id = 111111111111\n[profile role]\nrole_arn = arn:aws:iam::222222222222:role/x\n\
             [profile keys]\nregion = eu-west-1\n",
            "",
        );
        for (profile, account) in
            [("sso", Some("111111111111")), ("role", Some("222222222222")), ("keys", None), ("x", None)]
        {
            assert_eq!(account_of_profile(&variables, profile).as_deref(), account, "{profile}");
        }
        assert_eq!(account_of_role("arn:aws-cn:iam::333333333333:role/a/b").as_deref(), Some("333333333333"));
        for other in ["", "arn:aws:iam::aws:role/x", "role/x"] {
            assert_eq!(account_of_role(other), None, "{other}");
        }
    }

    #[test]
    fn sections_are_read_as_the_aws_tools_write_them() {
        let text =
            "# comment\n[ profile  jobs ]\nRegion = eu-west-1 # here\ns3 =\n  max = 10\n; x\n[other]\nregion=a\n";
        let found = section(text, &["profile jobs".to_owned()]).unwrap();
        assert_eq!(found, [("region".into(), "eu-west-1".into()), ("s3".into(), String::new())]);
        assert_eq!(section(text, &["nobody".to_owned()]), None);
    }
}
