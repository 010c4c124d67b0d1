//! Logins to ECR: which token a registry wants, and the call that fetches it where none is kept.

use crate::{
    aws::{Aws, AwsError, Identity, ecr, ecr_public, principal, sts},
    credentials::{About, Cache, Entry, Had, Kind, Login, Scope, TokenKey, Tokens, Want},
    image::{EcrHost, PublicEcr},
};

/// A registry of ECR, by its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registry {
    Private(EcrHost),
    Public(PublicEcr),
}

impl Registry {
    /// `None` for what belongs to somebody else.
    #[must_use]
    pub fn of(host: &str) -> Option<Self> {
        host.parse().ok().map(Self::Private).or_else(|| PublicEcr::of(host).map(Self::Public))
    }

    /// The region whose API gives its token.
    #[must_use]
    pub fn region(&self) -> &str {
        match self {
            Self::Private(host) => &host.region,
            Self::Public(_) => ecr_public::REGION,
        }
    }
}

/// Whether the caller's ARN is worth a call of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Ask,
    Leave,
}

/// As whom tokens are asked for, and kept.
#[must_use]
pub fn scope(identity: &Identity, region: &str) -> Scope {
    let principal = principal::principal(identity);
    Scope {
        region: region.to_owned(),
        endpoint: principal::endpoint(&identity.variables),
        fingerprint: principal.fingerprint,
        identity: principal.label,
    }
}

/// The tokens of one caller.
#[derive(Debug)]
pub struct Logins {
    tokens: Tokens,
    scope: Scope,
}

impl Logins {
    #[must_use]
    pub fn new(cache: Cache, scope: Scope) -> Self {
        Self { tokens: Tokens::new(cache), scope }
    }

    /// For a registry that is not there tomorrow: the sandbox's.
    #[must_use]
    pub fn of_this_run() -> Self {
        let scope = Scope {
            region: String::new(),
            endpoint: String::new(),
            fingerprint: String::new(),
            identity: "the sandbox".to_owned(),
        };
        Self::new(Cache::nowhere(), scope)
    }

    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    #[must_use]
    pub const fn cache(&self) -> &Cache {
        self.tokens.cache()
    }

    fn key(&self, registry: &str) -> TokenKey {
        let region = Registry::of(registry).map_or_else(|| self.scope.region.clone(), |host| host.region().to_owned());
        TokenKey { registry: registry.to_owned(), scope: Scope { region, ..self.scope.clone() } }
    }

    /// The kept token of a registry, however old; asks nobody.
    #[must_use]
    pub fn find(&self, registry: &str) -> Option<(Kind, Entry)> {
        self.cache().find(&self.key(registry))
    }

    /// The token for a registry. AWS is connected to only when one has to be fetched.
    pub async fn get<E: From<AwsError>>(
        &self,
        registry: &str,
        want: Want,
        caller: Caller,
        clock: fn() -> u64,
        connect: impl AsyncFnOnce() -> Result<Aws, E>,
    ) -> Result<Had<E>, E> {
        let fetch = async || Ok(self.fetch(&connect().await?, registry, caller, clock).await?);
        self.tokens.get(&self.key(registry), want, clock, fetch).await
    }

    async fn fetch(&self, aws: &Aws, registry: &str, ask: Caller, clock: fn() -> u64) -> Result<Entry, AwsError> {
        let host = Registry::of(registry);
        let token = async {
            match &host {
                Some(Registry::Private(host)) => ecr::token_for(aws, host).await,
                Some(Registry::Public(public)) => ecr_public::token(aws, *public).await,
                // The sandbox's, or that of another stand-in.
                None => ecr::token(aws).await,
            }
        };
        let caller = async {
            match ask {
                Caller::Ask => Some(sts::caller(aws).await),
                Caller::Leave => None,
            }
        };
        let (token, caller) = tokio::join!(token, caller);
        let token = token?;
        // Who we are is nice to know, and the token is what was wanted.
        let caller = caller.and_then(Result::ok);
        // ECR answers with the registry of whose credentials these are.
        let owner = token.registry.parse::<EcrHost>().ok().map(|host| host.account);
        Ok(Entry {
            login: Login { username: token.username, password: token.password },
            about: About {
                registry: registry.to_owned(),
                account: owner.or_else(|| Some(caller.as_ref()?.account.clone())),
                region: host.as_ref().map_or(aws.region(), Registry::region).to_owned(),
                identity: self.scope.identity.clone(),
                caller: caller.map(|caller| caller.arn),
                issued_ms: clock(),
                expires_ms: token.expires_ms,
            },
        })
    }

    /// Drops the token that a registry has refused.
    pub async fn forget(&self, registry: &str) {
        self.tokens.forget(&self.key(registry)).await;
    }
}

/// The private ECR registries that a text names: a Dockerfile, a build argument.
#[must_use]
pub fn registries_in(text: &str) -> Vec<String> {
    let word = |letter: char| !(letter.is_ascii_alphanumeric() || ".-_".contains(letter));
    let mut found: Vec<String> =
        text.split(word).filter(|word| word.parse::<EcrHost>().is_ok()).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart() {
        for (host, region) in [
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com", Some("us-east-1")),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("123456789012.dkr-ecr.us-west-2.on.aws", Some("us-west-2")),
            ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", Some("eusc-de-east-1")),
            ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", Some("us-iso-east-1")),
            ("123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", Some("us-isob-east-1")),
            ("public.ecr.aws", Some("us-east-1")),
            ("ecr-public.aws.com", Some("us-east-1")),
            ("12345678901.dkr.ecr.us-east-1.amazonaws.com", None),
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example", None),
            ("ghcr.io", None),
        ] {
            assert_eq!(Registry::of(host).as_ref().map(Registry::region), region, "{host}");
        }
    }

    #[test]
    fn registries_are_found_in_a_dockerfile() {
        let text = "# syntax=docker/dockerfile:1\nARG BASE=111111111111.dkr.ecr.eu-west-1.amazonaws.com/base:1\n\
                    FROM $BASE AS a\nFROM debian\nCOPY --from=222222222222.dkr.ecr.us-east-1.amazonaws.com/x /a /b\n\
                    FROM 111111111111.dkr.ecr.eu-west-1.amazonaws.com/other\n";
        assert_eq!(
            registries_in(text),
            ["111111111111.dkr.ecr.eu-west-1.amazonaws.com", "222222222222.dkr.ecr.us-east-1.amazonaws.com",]
        );
    }
}
