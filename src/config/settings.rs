//! `settings.toml`: what one user wants of this program on one machine, as opposed to `ship.toml`, which a
//! team shares. Mistakes are collected and drawn like those of `ship.toml`.

use std::{collections::BTreeMap, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::error::{ConfigError, Mistake, Place, nearest};
use crate::{
    id::Arn,
    image::{EcrHost, PublicEcr},
};

/// The name of the file in the folder `docker-ecs-ship` of the user's configuration.
pub const FILE_NAME: &str = "settings.toml";

/// Where tokens may be kept.
pub const STORES: [&str; 7] = ["auto", "secret-service", "keyutils", "keychain", "credential-manager", "file", "none"];

const TOP: [&str; 2] = ["credentials", "registries"];
const CREDENTIALS: [&str; 1] = ["store"];
const REGISTRY: [&str; 2] = ["profile", "role_arn"];

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `credentials.store`: one of [`STORES`].
    pub store: Option<String>,
    /// By host, or by account for all registries of it.
    registries: BTreeMap<String, RegistrySettings>,
}

/// `[registries."HOST"]`: whose credentials log in there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistrySettings {
    pub profile: Option<String>,
    pub role_arn: Option<String>,
}

impl Settings {
    /// Reads the file; every mistake in it, or none.
    pub fn parse(text: &str) -> Result<Self, Vec<ConfigError>> {
        let (table, syntax) = DeTable::parse_recoverable(text);
        let mut reader = Reader { text, errors: Vec::new() };
        for error in &syntax {
            let message = error.message().to_owned();
            let span = error.span().map_or(Place::Nowhere, Place::File);
            reader.errors.push(ConfigError::new(Mistake::Syntax { message, write: None }, span));
        }
        // What the parser has mended is not worth a second complaint.
        if !reader.errors.is_empty() {
            return Err(reader.errors);
        }
        let settings = reader.settings(table.get_ref());
        reader.errors.sort_by_key(|error| error.place.order());
        if reader.errors.is_empty() { Ok(settings) } else { Err(reader.errors) }
    }

    /// Whose credentials log in to a registry, if the user has said it.
    #[must_use]
    pub fn registry(&self, host: &str) -> Option<&RegistrySettings> {
        let account = host.parse().ok().map(|host: EcrHost| host.account);
        self.registries.get(host).or_else(|| self.registries.get(&account?))
    }
}

struct Reader<'a> {
    text: &'a str,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    fn settings(&mut self, top: &DeTable<'_>) -> Settings {
        let mut settings = Settings::default();
        for (key, value) in top {
            match key.get_ref().as_ref() {
                "credentials" => {
                    for (key, value) in self.table("", "credentials", value).into_iter().flatten() {
                        match key.get_ref().as_ref() {
                            "store" => settings.store = self.store(value),
                            other => self.unknown("credentials", other, key.span(), &CREDENTIALS),
                        }
                    }
                }
                "registries" => {
                    for (key, value) in self.table("", "registries", value).into_iter().flatten() {
                        let name = key.get_ref().as_ref();
                        if !is_registry(name) {
                            self.bad(Choice::Registry { written: name.to_owned() }, key.span());
                        }
                        let registry = self.registry(name, value);
                        settings.registries.insert(name.to_owned(), registry);
                    }
                }
                other => self.unknown("", other, key.span(), &TOP),
            }
        }
        settings
    }

    fn registry(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> RegistrySettings {
        let mut registry = RegistrySettings::default();
        let path = format!("registries.\"{name}\"");
        for (key, value) in self.table("registries", name, value).into_iter().flatten() {
            match key.get_ref().as_ref() {
                "profile" => registry.profile = self.string(&path, "profile", value),
                "role_arn" => {
                    let written = self.string(&path, "role_arn", value);
                    if let Some(written) = written.as_ref().filter(|arn| !is_role(arn)) {
                        self.bad(Choice::Role { written: written.clone() }, value.span());
                    }
                    registry.role_arn = written;
                }
                other => self.unknown(&path, other, key.span(), &REGISTRY),
            }
        }
        registry
    }

    fn store(&mut self, value: &Spanned<DeValue<'_>>) -> Option<String> {
        let written = self.string("credentials", "store", value)?;
        if !STORES.contains(&written.as_str()) {
            self.bad(Choice::Store { written: written.clone() }, value.span());
        }
        Some(written)
    }

    fn table<'a, 'b>(&mut self, table: &str, key: &str, value: &'a Spanned<DeValue<'b>>) -> Option<&'a DeTable<'b>> {
        let found = value.get_ref().as_table();
        if found.is_none() {
            self.wrong(table, key, "a table", value, &format!("[{key}]"));
        }
        found
    }

    fn string(&mut self, table: &str, key: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
        match value.get_ref().as_str() {
            Some("") | None => {
                let source = self.text.get(value.span()).unwrap_or_default().trim_matches('"');
                self.wrong(table, key, "a text in quotes", value, &format!("{key} = \"{source}\""));
                None
            }
            Some(text) => Some(text.to_owned()),
        }
    }

    fn wrong(&mut self, table: &str, key: &str, expected: &'static str, value: &Spanned<DeValue<'_>>, write: &str) {
        let found = match value.get_ref() {
            DeValue::String(text) if text.is_empty() => "empty",
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let (key, table, write) = (key.to_owned(), table.to_owned(), write.to_owned());
        let mistake = Mistake::WrongType { key, table, expected, found, write };
        self.errors.push(ConfigError::new(mistake, Place::File(value.span())));
    }

    fn unknown(&mut self, table: &str, key: &str, span: Range<usize>, known: &[&'static str]) {
        let mistake = Mistake::UnknownKey {
            key: key.to_owned(),
            table: table.to_owned(),
            nearest: nearest(key, known.iter().copied()).map(ToOwned::to_owned),
            belongs: None,
            known: known.to_vec(),
        };
        self.errors.push(ConfigError::new(mistake, Place::File(span)));
    }

    fn bad(&mut self, choice: Choice, span: Range<usize>) {
        self.errors.push(ConfigError::new(Mistake::BadSetting(choice), Place::File(span)));
    }
}

/// A value of the settings that is none of those that it may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Choice {
    #[error("there is no credential store `{written}`")]
    Store { written: String },
    #[error("`{written}` is no registry of ECR and no account")]
    Registry { written: String },
    #[error("`{written}` is not the ARN of a role")]
    Role { written: String },
}

impl Choice {
    /// What to write instead.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Store { written } => {
                let meant = nearest(written, STORES.iter().copied());
                let meant = meant.map(|meant| format!("did you mean \"{meant}\"? ")).unwrap_or_default();
                format!("{meant}known: {}", STORES.join(", "))
            }
            Self::Registry { .. } => {
                "write a host, as \"111111111111.dkr.ecr.eu-west-1.amazonaws.com\" or \"public.ecr.aws\", or the 12 \
                 digits of an account for all of its registries"
                    .to_owned()
            }
            Self::Role { .. } => "write it like \"arn:aws:iam::111111111111:role/pull\"".to_owned(),
        }
    }
}

fn is_registry(name: &str) -> bool {
    let account = name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit());
    account || name.parse::<EcrHost>().is_ok() || PublicEcr::of(name).is_some()
}

fn is_role(arn: &str) -> bool {
    arn.parse::<Arn>().is_ok_and(|arn| {
        let named = arn.resource.strip_prefix("role/").is_some_and(|name| !name.is_empty());
        arn.service == "iam" && arn.region.is_empty() && arn.account.len() == 12 && named
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            error::{Look, render},
            sources::Sources,
        },
        *,
    };

    const HOST: &str = "111111111111.dkr.ecr.eu-west-1.amazonaws.com";

    #[test]
    fn a_registry_goes_by_its_host_then_by_its_account() {
        let text = format!(
            "[credentials]\nstore = \"file\"\n[registries]\n\"111111111111\" = {{ profile = \"account\" }}\n\
             [registries.\"{HOST}\"]\nprofile = \"host\"\nrole_arn = \"arn:aws:iam::111111111111:role/a/pull\"\n\
             [registries.\"public.ecr.aws\"]\nprofile = \"public\"\n"
        );
        let settings = Settings::parse(&text).unwrap();
        assert_eq!(settings.store.as_deref(), Some("file"));
        let profile = |host: &str| settings.registry(host).and_then(|found| found.profile.clone());
        assert_eq!(profile(HOST).as_deref(), Some("host"));
        assert_eq!(profile("111111111111.dkr.ecr.us-east-1.amazonaws.com").as_deref(), Some("account"));
        assert_eq!(profile("public.ecr.aws").as_deref(), Some("public"));
        assert_eq!(profile("222222222222.dkr.ecr.us-east-1.amazonaws.com"), None);
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
    }

    #[test]
    fn mistakes_are_drawn_all_at_once() {
        let text = "colour = true\n\n[credentials]\nstore = \"keyutil\"\nstor = 1\n\n[registries.\"ghcr.io\"]\nprofile = 7\n\n\
                    [registries.\"111111111111\"]\nrole_arn = \"ship\"\n";
        let look = Look { colour: false, unicode: false, width: 100 };
        let drawn = |text: &str| render(&Settings::parse(text).unwrap_err(), &Sources::of(FILE_NAME, text), look);
        insta::assert_snapshot!(drawn(text));
        insta::assert_snapshot!("syntax", drawn("[credentials\nstore = 1\n"));
    }
}
