//! Logins to the registries of other accounts: a build may take its base images from there, and whose credentials log in
//! is the user's to say for each of them.

use crate::aws::Identity;

use super::login::Logins;

/// As whom a registry of another account is logged in to.
pub struct Guest {
    pub identity: Identity,
    pub logins: Logins,
    pub otherwise: Otherwise,
}

/// What to do where that login cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// The user has named who logs in to this registry: it is a mistake of theirs, or of somebody's policy.
    Fail,
    /// As whom everything else is done: the repository's policy may let those in, too.
    Own,
    /// Without one: the image may be on this machine.
    Without,
}

/// Knows by the host of a registry whether it has somebody of its own.
pub struct Guests(Box<Lookup>);

type Lookup = dyn Fn(&str) -> Option<Guest> + Send + Sync;

impl Guests {
    #[must_use]
    pub fn by(of: impl Fn(&str) -> Option<Guest> + Send + Sync + 'static) -> Self {
        Self(Box::new(of))
    }

    /// Every registry is logged in to as whom everything else is done.
    #[must_use]
    pub fn none() -> Self {
        Self::by(|_| None)
    }

    /// `None` for a registry that nobody has said anything about.
    #[must_use]
    pub fn of(&self, registry: &str) -> Option<Guest> {
        (self.0)(registry)
    }
}
