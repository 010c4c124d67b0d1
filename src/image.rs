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

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)
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
}
