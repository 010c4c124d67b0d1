//! The face `docker-credential-ecs-ship`: docker's credential helper protocol over our ECR login.
//!
//! An action is the only argument, its input stands on stdin, the answer on stdout. An error is told on
//! *stdout* with exit code 1; docker knows some texts by heart (docker-credential-helpers 0.9.8,
//! credentials/error.go).

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, Read as _, Write as _},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{
    Door, credentials,
    dispatch::{Drawing, block_on_here, tell},
    output::Output,
    sandbox, show,
    surroundings::Surroundings,
};
use crate::{
    aws::{
        self, Endpoint, Identity,
        ecr::{self, EcrToken},
    },
    credentials::{About, Entry, How, Login, Scope, TokenKey, Want},
    exit::Exit,
    failure::{Failure, spelling::Spelling},
    image::EcrHost,
    plugin::{face, globals::Globals},
    run::login::{Caller, Logins, Registry, scope},
    sandbox::daemon,
    secret::Secret,
};

/// Docker goes on without a login when it hears this.
const NOT_FOUND: &str = "credentials not found in native keychain";
const NO_SERVER: &str = "no credentials server URL";
const NO_USERNAME: &str = "no credentials username";
/// What an error of the protocol ends with; no number of ours, docker only asks whether it is 0.
const PROTOCOL_ERROR: u8 = 1;

/// Answers one action.
#[must_use]
pub fn main(words: &[OsString], surroundings: Surroundings) -> u8 {
    let door = Door { surroundings, globals: Globals::default(), name: face::STANDALONE.to_owned() };
    let [action] = words else { return Answer::usage().say() };
    let answer = match action.to_str() {
        Some("get") => get(&door),
        Some("list") => list(&door),
        Some("store") => store(&door),
        Some("erase") => erase(&door),
        Some("version") => Ok(Answer::Value(format!("docker-credential-ecs-ship v{}", env!("CARGO_PKG_VERSION")))),
        Some(_) | None => Ok(Answer::usage()),
    };
    match answer {
        Ok(answer) => answer.say(),
        Err(failure) => {
            // Docker shows what stands on stdout in the middle of a line of its own; the whole is for people.
            let mut text = failure.to_string().replace('\n', " ");
            if let Some(hint) = failure.hints().into_iter().next() {
                text = format!("{text}; {hint}");
            }
            tell(&failure, Drawing::ForPeople, Spelling::STANDALONE);
            Answer::Error(text).say()
        }
    }
}

enum Answer {
    Value(String),
    /// `store` and `erase` have nothing to say.
    Done,
    Error(String),
}

impl Answer {
    fn say(self) -> u8 {
        let (text, code) = match self {
            Self::Done => return Exit::Done.code(),
            Self::Value(text) => (text, Exit::Done.code()),
            Self::Error(text) => (text, PROTOCOL_ERROR),
        };
        match Output::Stdout.write_all(format!("{text}\n").as_bytes()) {
            Ok(()) => code,
            Err(error) => tell(&Failure::Output(error), Drawing::ForPeople, Spelling::STANDALONE),
        }
    }

    fn usage() -> Self {
        Self::Error("Usage: docker-credential-ecs-ship <store|get|erase|list|version>".to_owned())
    }
}

fn input() -> Result<String, Failure> {
    let mut asked = String::new();
    // A registry's address and a token are short; whoever sends more is not docker.
    let read = io::stdin().lock().take(64 * 1024).read_to_string(&mut asked);
    read.map_err(|source| Failure::Io { action: "read", path: "stdin".into(), source })?;
    Ok(asked)
}

/// The host in what docker asks about: docker stores a host name, or a URL of it.
fn host_of(server: &str) -> &str {
    let host = server.split_once("://").map_or(server, |(_, rest)| rest);
    host.split('/').next().unwrap_or_default()
}

fn get(door: &Door) -> Result<Answer, Failure> {
    let asked = input()?;
    let server = asked.trim();
    if server.is_empty() {
        return Ok(Answer::Error(NO_SERVER.to_owned()));
    }
    let host = host_of(server);
    let login = match Registry::of(host) {
        Some(registry) => Some(login(&registry, host, door)?),
        None if sandbox::may_be(host) => block_on_here(of_sandbox(host, door))?,
        None => None,
    };
    let Some(Login { username, password }) = login else { return Ok(Answer::Error(NOT_FOUND.to_owned())) };
    let answer = Credential { server: server.to_owned(), username, secret: password.expose().clone() };
    Ok(Answer::Value(serde_json::to_string(&answer).expect("texts always serialise")))
}

/// The login to the registry of the sandbox that runs; `None` where none does, or that is another's.
async fn of_sandbox(host: &str, door: &Door) -> Result<Option<Login>, Failure> {
    let running = daemon::running(&sandbox::state_folder(door)?).await;
    let Some(running) = running.filter(|running| running.registry == host) else { return Ok(None) };
    let aws = aws::connect(&Endpoint::At { url: running.endpoint }, &Identity::default()).await?;
    let EcrToken { username, password, .. } = ecr::token(&aws).await?;
    Ok(Some(Login { username, password }))
}

/// What somebody has stored, else the kept token, else a new one.
fn login(registry: &Registry, host: &str, door: &Door) -> Result<Login, Failure> {
    let settings = credentials::settings(door)?;
    let identity = credentials::identity_for(registry, host, &settings, door);
    let logins = Logins::new(credentials::cache(door, &settings)?, scope(&identity, registry.region()));
    let now = show::now_ms();
    let stored = logins.cache().find(&stored_key(host)).filter(|(_, entry)| entry.about.is_valid(now));
    let kept = stored.or_else(|| logins.find(host).filter(|(_, entry)| entry.about.is_fresh(now)));
    // Without a runtime, without the SDK: docker asks once for each registry of each command.
    if let Some((_, entry)) = kept {
        return Ok(entry.login);
    }
    let connect = async || Ok::<_, Failure>(aws::connect(&Endpoint::Aws, &identity).await?);
    let had = block_on_here(logins.get(host, Want::Fresh, Caller::Leave, show::now_ms, connect))?;
    if let How::Kept(failure) = &had.how {
        let text = format!("warning: a new token could not be had, so the old one is kept: {failure}\n");
        // The login is what was asked for.
        Output::Stderr.write_all(text.as_bytes()).ok();
    }
    Ok(had.entry.login)
}

/// Everything that is kept, by the plain lines of the files: docker asks for this before a classic build,
/// and a network call or a keyring for each would make every build slow.
fn list(door: &Door) -> Result<Answer, Failure> {
    let (cache, now) = (credentials::cache(door, &credentials::settings(door)?)?, show::now_ms());
    let all = cache.list().into_iter().filter(|about| about.is_valid(now));
    // ECR's user name is the same everywhere.
    let all: BTreeMap<String, &str> = all.map(|about| (about.registry, USERNAME)).collect();
    Ok(Answer::Value(serde_json::to_string(&all).expect("texts always serialise")))
}

const USERNAME: &str = "AWS";

/// What docker hands over after `docker login`, and is given for `get`, in the order of the protocol's own struct.
#[derive(Deserialize, Serialize)]
struct Credential {
    #[serde(rename = "ServerURL", default)]
    server: String,
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

/// Keeps what `docker login` hands over: until it expires it goes before what we would fetch, because
/// somebody has said so.
fn store(door: &Door) -> Result<Answer, Failure> {
    let Ok(credential) = serde_json::from_str::<Credential>(&input()?) else {
        return Ok(Answer::Error("this is no credential as docker writes one".to_owned()));
    };
    let Credential { server, username, secret } = credential;
    if server.trim().is_empty() {
        return Ok(Answer::Error(NO_SERVER.to_owned()));
    }
    if username.is_empty() {
        return Ok(Answer::Error(NO_USERNAME.to_owned()));
    }
    let host = host_of(server.trim());
    let Some(registry) = Registry::of(host) else {
        return Ok(Answer::Error(format!(
            "docker-credential-ecs-ship keeps logins to ECR alone, and {host} is none: set another `credsStore` for it"
        )));
    };
    let cache = credentials::cache(door, &credentials::settings(door)?)?;
    let now = show::now_ms();
    let entry = Entry {
        about: About {
            registry: host.to_owned(),
            account: host.parse().ok().map(|host: EcrHost| host.account),
            region: registry.region().to_owned(),
            identity: "docker login".to_owned(),
            caller: None,
            issued_ms: now,
            expires_ms: expiry(&secret).unwrap_or(now + TWELVE_HOURS),
        },
        login: Login { username, password: Secret::new(secret) },
    };
    if cache.keep(&stored_key(host), &entry).is_some() {
        return Ok(Answer::Done);
    }
    let why = cache.trouble().unwrap_or_else(|| "by your settings nothing is kept".to_owned());
    Ok(Answer::Error(format!(
        "the login cannot be kept ({why}); none is needed: docker-credential-ecs-ship fetches tokens itself"
    )))
}

/// "The authorization token is valid for 12 hours" — ECR API reference, `GetAuthorizationToken`.
const TWELVE_HOURS: u64 = 12 * 60 * 60 * 1000;

/// When ECR's password says that it expires: base64 of JSON with `expiration` in seconds.
fn expiry(secret: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Password {
        expiration: u64,
    }
    let json = STANDARD.decode(secret).ok()?;
    let Password { expiration } = serde_json::from_slice(&json).ok()?;
    expiration.checked_mul(1000)
}

/// Under which a stored login lies: nobody's but docker's.
fn stored_key(host: &str) -> TokenKey {
    let scope = Scope {
        region: String::new(),
        endpoint: "docker login".to_owned(),
        fingerprint: String::new(),
        identity: "docker login".to_owned(),
    };
    TokenKey { registry: host.to_owned(), scope }
}

/// Forgets a registry, as `docker logout` wants it. That nothing is known of it is what was wanted.
fn erase(door: &Door) -> Result<Answer, Failure> {
    let asked = input()?;
    if asked.trim().is_empty() {
        return Ok(Answer::Error(NO_SERVER.to_owned()));
    }
    let cache = credentials::cache(door, &credentials::settings(door)?)?;
    let forgotten = cache.forget_all(Some(host_of(asked.trim())));
    forgotten.map_err(|error| Failure::Login(super::login::LoginError::Forget(error)))?;
    Ok(Answer::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_stores_a_host_or_a_url_of_it() {
        for (server, host) in [
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com", "123456789012.dkr.ecr.us-east-1.amazonaws.com"),
            (
                "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/v2/",
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            ),
            ("evil.example/123456789012.dkr.ecr.us-east-1.amazonaws.com", "evil.example"),
            ("https://index.docker.io/v1/", "index.docker.io"),
            ("", ""),
        ] {
            assert_eq!(host_of(server), host, "{server}");
        }
    }

    #[test]
    fn a_password_of_ecr_says_when_it_expires() {
        let password =
            STANDARD.encode(r#"{"payload":"x","datakey":"y","version":"2","type":"DATA_KEY","expiration":1790000000}"#);
        assert_eq!(expiry(&password), Some(1_790_000_000_000));
        for other in ["", "hunter2", "e30="] {
            assert_eq!(expiry(other), None, "{other}");
        }
    }
}
