//! The face `docker-credential-ecs-ship`: docker's credential helper protocol over our ECR login.
//!
//! An action is the only argument, its input stands on stdin, the answer on stdout. An error is told on
//! *stdout* with exit code 1; docker knows some texts by heart (docker-credential-helpers 0.9.8,
//! credentials/error.go).

use std::{
    ffi::OsString,
    io::{self, Read as _, Write as _},
};

use serde_json::json;

use super::{
    Door,
    dispatch::{block_on, tell},
    output::Output,
    surroundings::Surroundings,
};
use crate::{
    aws::{self, Endpoint, Identity, ecr},
    env,
    exit::Exit,
    failure::{Failure, render},
    image::EcrHost,
    plugin::{face, globals::Globals},
    secret::Secret,
};

/// A login for a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    pub password: Secret<String>,
}

/// Docker goes on without a login when it hears this.
const NOT_FOUND: &str = "credentials not found in native keychain";
const NO_SERVER: &str = "no credentials server URL";
/// What an error of the protocol ends with; no number of ours, docker only asks whether it is 0.
const PROTOCOL_ERROR: u8 = 1;

/// Answers one action.
pub fn main(words: &[OsString], surroundings: Surroundings) -> u8 {
    let door = Door { surroundings, globals: Globals::default(), name: face::STANDALONE.to_owned() };
    match words {
        [action] => match action.to_str() {
            Some("get") => match get(&door) {
                Ok(answer) => answer.say(),
                Err(failure) => {
                    let text = failure.to_string();
                    tell(&failure, render::plain);
                    Answer::Error(text).say()
                }
            },
            // Docker asks for all of them before a classic build; a network call per registry would make
            // every build slow, so the list is empty and each registry is asked for by name.
            Some("list") => Answer::Value("{}".to_owned()).say(),
            Some("version") => {
                Answer::Value(format!("docker-credential-ecs-ship v{}", env!("CARGO_PKG_VERSION"))).say()
            }
            Some("store" | "erase") => Answer::Error(
                "not implemented: logins to ECR are fetched when they are needed and never stored here".to_owned(),
            )
            .say(),
            Some(_) | None => Answer::usage(),
        },
        _ => Answer::usage(),
    }
}

enum Answer {
    Value(String),
    Error(String),
}

impl Answer {
    fn say(self) -> u8 {
        let (text, code) = match self {
            Self::Value(text) => (text, Exit::Done.code()),
            Self::Error(text) => (text, PROTOCOL_ERROR),
        };
        match writeln!(Output::Stdout, "{text}") {
            Ok(()) => code,
            Err(error) => tell(&Failure::Output(error), render::plain),
        }
    }

    fn usage() -> u8 {
        Self::Error("Usage: docker-credential-ecs-ship <store|get|erase|list|version>".to_owned()).say()
    }
}

fn get(door: &Door) -> Result<Answer, Failure> {
    let mut asked = String::new();
    // A registry's address is short; whoever sends more is not docker.
    let read = io::stdin().lock().take(64 * 1024).read_to_string(&mut asked);
    read.map_err(|source| Failure::Io { action: "read", path: "stdin".into(), source })?;
    let server = asked.trim();
    if server.is_empty() {
        return Ok(Answer::Error(NO_SERVER.to_owned()));
    }
    let Some(registry) = ecr_host(server) else { return Ok(Answer::Error(NOT_FOUND.to_owned())) };
    let Login { username, password } = block_on(login(&registry, door))?;
    // The order of the protocol's own struct.
    let answer = json!({ "ServerURL": server, "Username": username, "Secret": password.expose() });
    Ok(Answer::Value(answer.to_string()))
}

/// Fetches the login of a private ECR registry.
async fn login(registry: &EcrHost, door: &Door) -> Result<Login, Failure> {
    let variables = &door.surroundings.variables;
    let identity = Identity {
        region: Some(registry.region.clone()),
        profile: variables.get(env::ECS_SHIP_PROFILE).map(str::to_owned),
        variables: aws::Variables::read(|name| variables.get(name).map(str::to_owned)),
    };
    let aws = aws::connect(&Endpoint::Aws, &identity).await?;
    let token = ecr::token(&aws).await?;
    Ok(Login { username: token.username, password: token.password })
}

/// The registry docker asks about, if it is a private one of ECR: docker stores a host name, or a URL of it.
fn ecr_host(server: &str) -> Option<EcrHost> {
    let host = server.split_once("://").map_or(server, |(_, rest)| rest);
    host.split('/').next().unwrap_or_default().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecr_hosts_are_told_from_others() {
        for (server, region) in [
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com", Some("us-east-1")),
            ("https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/v2/", Some("eu-west-1")),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("123456789012.dkr-ecr.us-west-2.on.aws", Some("us-west-2")),
            ("12345678901.dkr.ecr.us-east-1.amazonaws.com", None),
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example", None),
            ("evil.example/123456789012.dkr.ecr.us-east-1.amazonaws.com", None),
            ("public.ecr.aws", None),
            ("ghcr.io", None),
            ("https://index.docker.io/v1/", None),
            ("", None),
        ] {
            assert_eq!(ecr_host(server).map(|host| host.region).as_deref(), region, "{server}");
        }
    }
}
