//! Image references: registry host, repository, tag and digest; parsed once, printed as docker does.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// `host[:port]/path`, without tag and digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageName {
    /// `111111111111.dkr.ecr.eu-west-1.amazonaws.com`, `127.0.0.1:4510`, `docker.io`.
    pub registry: String,
    /// `jobs/api`.
    pub repository: String,
}

impl ImageName {
    /// Joins a registry host and a repository, both checked.
    pub fn new(registry: &str, repository: &str) -> Result<Self, ReferenceError> {
        check_registry(registry)?;
        check_repository(repository)?;
        // "repository name must not be more than 255 characters" (distribution/reference,
        // NameTotalLengthMax).
        if registry.len() + 1 + repository.len() > 255 {
            return Err(ReferenceError::Repository { repository: repository.to_owned() });
        }
        Ok(Self { registry: registry.to_owned(), repository: repository.to_owned() })
    }

    /// The ECR host in front, if it is one.
    #[must_use]
    pub fn ecr(&self) -> Option<EcrHost> {
        self.registry.parse().ok()
    }
}

impl FromStr for ImageName {
    type Err = ReferenceError;

    /// Reads a name as docker does: `web` is `docker.io/library/web`, `team/web` is
    /// `docker.io/team/web`, and the part before the first `/` is a host only if it could not be part
    /// of a repository: it has a `.` or a `:`, or is `localhost`, or has an upper-case letter
    /// (`splitDockerDomain` of distribution/reference).
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let host = text.split_once('/').filter(|(first, _)| {
            first.contains(['.', ':'])
                || *first == "localhost"
                || first.chars().any(|letter| letter.is_ascii_uppercase())
        });
        let (registry, repository) = match host {
            Some(("index.docker.io", path)) => ("docker.io", path),
            Some((registry, path)) => (registry, path),
            None => ("docker.io", text),
        };
        if registry == "docker.io" && !repository.contains('/') {
            // "cannot specify 64-byte hexadecimal strings": it would read as an image id.
            if repository.len() == 64 && repository.bytes().all(is_hex_digit) {
                return Err(ReferenceError::Repository { repository: repository.to_owned() });
            }
            check_repository(repository)?;
            return Self::new(registry, &format!("library/{repository}"));
        }
        Self::new(registry, repository)
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)
    }
}

fn is_hex_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// `domain-name [":" port]`: labels of letters, digits and inner `-`, divided by `.`; or an IPv6
/// address in brackets.
fn check_registry(registry: &str) -> Result<(), ReferenceError> {
    let bad = || ReferenceError::Registry { registry: registry.to_owned() };
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(bad());
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let good = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':'),
        None => host.split('.').all(label),
    };
    if good { Ok(()) } else { Err(bad()) }
}

/// `path-component ["/" path-component]*` with `separator := [_.] | "__" | "-"+`.
fn check_repository(repository: &str) -> Result<(), ReferenceError> {
    let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let component = |component: &str| {
        let bytes = component.as_bytes();
        bytes.first().is_some_and(letter)
            && bytes.last().is_some_and(letter)
            && bytes.split(letter).all(|separator| {
                matches!(separator, b"" | b"_" | b"." | b"__") || separator.iter().all(|byte| *byte == b'-')
            })
    };
    if repository.split('/').all(component) {
        Ok(())
    } else {
        Err(ReferenceError::Repository { repository: repository.to_owned() })
    }
}

/// The host of a private ECR registry, which says whose it is and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EcrHost {
    /// 12 digits.
    pub account: String,
    pub region: String,
    pub endpoint: EcrEndpoint,
    joint: EcrJoint,
    domain: &'static str,
}

/// Which of ECR's endpoints a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EcrEndpoint {
    Standard,
    Fips,
}

/// The hosts of public ECR, which belong to no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PublicEcr {
    Standard,
    DualStack,
}

impl PublicEcr {
    #[must_use]
    pub const fn host(self) -> &'static str {
        match self {
            Self::Standard => "public.ecr.aws",
            Self::DualStack => "ecr-public.aws.com",
        }
    }

    #[must_use]
    pub fn of(host: &str) -> Option<Self> {
        [Self::Standard, Self::DualStack].into_iter().find(|known| known.host() == host)
    }
}

/// `dkr.ecr` is the old spelling, `dkr-ecr` the one of the dual-stack hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum EcrJoint {
    Dot,
    Dash,
}

/// What may stand behind the region, as amazon-ecr-credential-helper 0.12.0 knows it.
const ECR_DOMAINS: [&str; 9] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "on.aws",
    "on.amazonwebservices.com.cn",
    "sc2s.sgov.gov",
    "c2s.ic.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
];

impl EcrHost {
    /// Whether it is one of the hosts that IPv6 reaches, too.
    #[must_use]
    pub fn is_dual_stack(&self) -> bool {
        self.joint == EcrJoint::Dash
    }

    /// The name of a repository at this host.
    pub fn image(&self, repository: &str) -> Result<ImageName, ReferenceError> {
        ImageName::new(&self.to_string(), repository)
    }
}

impl FromStr for EcrHost {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse_ecr_host(text).ok_or_else(|| ReferenceError::NotEcr { registry: text.to_owned() })
    }
}

fn parse_ecr_host(text: &str) -> Option<EcrHost> {
    let (account, rest) = text.split_at_checked(12)?;
    if !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (joint, rest) = match rest.strip_prefix(".dkr.ecr") {
        Some(rest) => (EcrJoint::Dot, rest),
        None => (EcrJoint::Dash, rest.strip_prefix(".dkr-ecr")?),
    };
    let (endpoint, rest) = match rest.strip_prefix("-fips") {
        Some(rest) => (EcrEndpoint::Fips, rest),
        None => (EcrEndpoint::Standard, rest),
    };
    let (region, domain) = rest.strip_prefix('.')?.split_once('.')?;
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !region.starts_with(|letter: char| letter.is_ascii_alphanumeric()) || !region.bytes().all(word) {
        return None;
    }
    let domain = ECR_DOMAINS.into_iter().find(|known| *known == domain)?;
    Some(EcrHost { account: account.to_owned(), region: region.to_owned(), endpoint, joint, domain })
}

impl fmt::Display for EcrHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joint = match self.joint {
            EcrJoint::Dot => "dkr.ecr",
            EcrJoint::Dash => "dkr-ecr",
        };
        let endpoint = match self.endpoint {
            EcrEndpoint::Standard => "",
            EcrEndpoint::Fips => "-fips",
        };
        write!(formatter, "{}.{joint}{endpoint}.{}.{}", self.account, self.region, self.domain)
    }
}

/// A tag: up to 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tag(String);

impl Tag {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let mut letters = text.chars();
        let first = letters.next().ok_or(ReferenceError::Empty)?;
        let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if !word(first) || !letters.all(|letter| word(letter) || letter == '.' || letter == '-') || text.len() > 128 {
            return Err(ReferenceError::Tag { tag: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 hexadecimal digits, as docker shows ids.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(7..19).unwrap_or(&self.0)
    }
}

impl FromStr for Digest {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ReferenceError::Digest { digest: text.to_owned() })
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A full reference: `name`, `name:tag`, `name@digest` or `name:tag@digest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reference {
    pub name: ImageName,
    pub tag: Option<Tag>,
    pub digest: Option<Digest>,
}

impl Reference {
    #[must_use]
    pub const fn tagged(name: ImageName, tag: Tag) -> Self {
        Self { name, tag: Some(tag), digest: None }
    }

    #[must_use]
    pub const fn pinned(name: ImageName, digest: Digest) -> Self {
        Self { name, tag: None, digest: Some(digest) }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon before the last slash belongs to the port of the host.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.parse()?)),
            _ => (rest, None),
        };
        Ok(Self { name: name.parse()?, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.name)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("an image reference is empty")]
    Empty,
    #[error("`{tag}` is not a tag: up to 128 letters, digits, `_`, `.` and `-`, starting with a letter, digit or `_`")]
    Tag { tag: String },
    #[error("`{digest}` is not a digest: `sha256:` and 64 hexadecimal digits")]
    Digest { digest: String },
    #[error(
        "`{repository}` is not a repository name: lower-case letters, digits and single `.`, `_`, `-` between them, parts divided by `/`"
    )]
    Repository { repository: String },
    #[error("`{registry}` is not a registry host: `name.example.com`, `localhost` or `127.0.0.1:5000`")]
    Registry { registry: String },
    #[error("`{registry}` is not an ECR registry: `<12 digits>.dkr.ecr.<region>.amazonaws.com`")]
    NotEcr { registry: String },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        for (text, registry, repository) in [
            ("web", "docker.io", "library/web"),
            ("team/web", "docker.io", "team/web"),
            ("docker.io/web", "docker.io", "library/web"),
            ("index.docker.io/team/web", "docker.io", "team/web"),
            ("localhost/web", "localhost", "web"),
            ("localhost:5000/web", "localhost:5000", "web"),
            ("127.0.0.1:4510/jobs/api", "127.0.0.1:4510", "jobs/api"),
            ("[::1]:5000/web", "[::1]:5000", "web"),
            ("Registry/web", "Registry", "web"),
            ("a/b/c", "docker.io", "a/b/c"),
            (
                "111111111111.dkr.ecr.eu-west-1.amazonaws.com/jobs/api",
                "111111111111.dkr.ecr.eu-west-1.amazonaws.com",
                "jobs/api",
            ),
        ] {
            let name: ImageName = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((name.registry.as_str(), name.repository.as_str()), (registry, repository), "{text}");
        }
    }

    #[test]
    fn references_are_taken_apart() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, tag, pinned) in [
            ("web", None, false),
            ("web:1", Some("1"), false),
            ("localhost:5000/web", None, false),
            ("localhost:5000/web:v1.2-3", Some("v1.2-3"), false),
            (&format!("web@{digest}"), None, true),
            (&format!("localhost:5000/a/web:1@{digest}"), Some("1"), true),
        ] {
            let reference: Reference = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(reference.tag.as_ref().map(Tag::as_str), tag, "{text}");
            assert_eq!(reference.digest.is_some(), pinned, "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let hex = "ab".repeat(32);
        for (text, error) in [
            ("", ReferenceError::Empty),
            ("Web", ReferenceError::Repository { repository: "Web".to_owned() }),
            ("web/", ReferenceError::Repository { repository: "web/".to_owned() }),
            ("a//b", ReferenceError::Repository { repository: "a//b".to_owned() }),
            ("a..b", ReferenceError::Repository { repository: "a..b".to_owned() }),
            ("a___b", ReferenceError::Repository { repository: "a___b".to_owned() }),
            (&hex, ReferenceError::Repository { repository: hex.clone() }),
            ("web:", ReferenceError::Empty),
            ("web:-x", ReferenceError::Tag { tag: "-x".to_owned() }),
            ("web@sha256:12", ReferenceError::Digest { digest: "sha256:12".to_owned() }),
            ("-a.b/web", ReferenceError::Registry { registry: "-a.b".to_owned() }),
            ("host:port/web", ReferenceError::Registry { registry: "host:port".to_owned() }),
        ] {
            assert_eq!(text.parse::<Reference>(), Err(error), "{text}");
        }
        assert!("a--b/c__d/e.f_g".parse::<Reference>().is_ok());
    }

    #[test]
    fn an_ecr_host_says_whose_it_is_and_where() {
        for (text, region, endpoint) in [
            ("111111111111.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1", EcrEndpoint::Standard),
            ("111111111111.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", EcrEndpoint::Fips),
            ("111111111111.dkr-ecr.eu-west-1.on.aws", "eu-west-1", EcrEndpoint::Standard),
            ("111111111111.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", EcrEndpoint::Standard),
            ("111111111111.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", EcrEndpoint::Standard),
        ] {
            let host: EcrHost = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(host.account, "111111111111");
            assert_eq!((host.region.as_str(), host.endpoint), (region, endpoint), "{text}");
            let name = host.image("jobs/api").expect("a good repository");
            assert_eq!(name.ecr().as_ref(), Some(&host));
            assert_eq!(name.to_string(), format!("{text}/jobs/api"));
        }
        for text in [
            "",
            "public.ecr.aws",
            "127.0.0.1:4510",
            "11111111111.dkr.ecr.eu-west-1.amazonaws.com",
            "111111111111.dkr.ecr.eu-west-1.example.com",
            "111111111111.dkr.ecr.eu-west-1.amazonaws.com.evil.org",
            "111111111111.dkr.ecr..amazonaws.com",
            "é11111111111.dkr.ecr.eu-west-1.amazonaws.com",
        ] {
            assert!(text.parse::<EcrHost>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_reference_survives_printing(
            registry in "docker\\.io|localhost|[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z][a-z0-9]{0,5}){1,3}(:[0-9]{1,5})?|127\\.0\\.0\\.1:[0-9]{1,5}",
            repository in "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}(/[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}){1,3}",
            tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"),
            digest in proptest::option::of("sha256:[0-9a-f]{64}"),
        ) {
            let reference = Reference {
                name: ImageName::new(&registry, &repository).expect("made of good parts"),
                tag: tag.map(|tag| tag.parse().expect("a good tag")),
                digest: digest.map(|digest| digest.parse().expect("a good digest")),
            };
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
        }

        #[test]
        fn whatever_is_read_prints_to_what_reads_the_same(text in "[a-zA-Z0-9._:/@-]{0,40}|\\PC{0,20}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
        }

        #[test]
        fn an_ecr_host_survives_printing(
            account in "[0-9]{12}",
            joint in "dkr\\.ecr|dkr-ecr",
            endpoint in "|-fips",
            region in "[a-z]{2,4}(-[a-z]{2,7}){1,2}-[0-9]",
            domain in proptest::sample::select(&ECR_DOMAINS[..]),
        ) {
            let text = format!("{account}.{joint}{endpoint}.{region}.{domain}");
            let host: EcrHost = text.parse().expect("made of good parts");
            prop_assert_eq!(host.to_string(), text);
        }
    }
}
