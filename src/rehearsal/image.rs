//! The image a rehearsal starts from: which one is meant, and that the engine has it.

use std::error::Error as _;

use serde_json::Value;

use super::{
    RehearsalError,
    production::{Production, image_of},
};
use crate::{
    aws::{Aws, AwsError, ecs},
    config::spec::Service,
    credentials::{Login, Want},
    docker::{Engine, RegistryAuth, RegistryCredentials, images},
    run::login::{Caller, Logins, Registry},
};

/// Image, name and task definition of what `--from` names.
pub type Named = (Option<String>, Option<String>, Option<Value>);

/// Finds what `from` means: a revision by number, `family:number` or ARN, else an image.
///
/// `hello:7` could be both. It is a revision of the live service's own family; else an image, if the engine has it.
pub async fn named(
    from: &str,
    production: &Production,
    service: &Service,
    aws: Option<&Aws>,
    engine: &Engine,
) -> Result<Named, RehearsalError> {
    let family =
        production.revision.as_deref().and_then(|revision| revision.rsplit_once(':')).map(|(family, _)| family);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let revision = match (from.rsplit_once(':'), family) {
        _ if from.starts_with("arn:") => Some(from.to_owned()),
        (None, Some(family)) if is_number(from) => Some(format!("{family}:{from}")),
        (Some((name, number)), Some(family)) if name == family && is_number(number) => Some(from.to_owned()),
        (Some((name, number)), _) if is_number(number) && !name.contains(['/', '.']) => {
            let known = images::is_there(engine, from).await.unwrap_or(false);
            (!known && aws.is_some()).then(|| from.to_owned())
        }
        _ => None,
    };
    let Some(revision) = revision else {
        if is_number(from) {
            return Err(RehearsalError::NoRevision { revision: from.to_owned() });
        }
        return Ok((Some(from.to_owned()), None, production.definition.clone()));
    };
    let Some(aws) = aws else { return Err(RehearsalError::NoRevision { revision }) };
    let lacks = |source| RehearsalError::Lookup { revision: revision.clone(), source: Box::new(source) };
    let (definition, _) = ecs::definition(aws, Some(&revision)).await.map_err(lacks)?;
    let container = service.container.clone().or_else(|| production.container.clone()).or_else(|| only(&definition));
    let image = container.as_deref().and_then(|container| image_of(&definition, container));
    match image {
        // `hello:1`, however long it was asked for.
        Some(image) => {
            let name = revision.rsplit_once('/').map_or(revision.as_str(), |(_, name)| name).to_owned();
            Ok((Some(image), Some(name), Some(definition)))
        }
        None => Err(RehearsalError::NoContainer { revision, container: container.unwrap_or_default() }),
    }
}

fn only(definition: &Value) -> Option<String> {
    let containers = definition["containerDefinitions"].as_array()?;
    let essential = containers.iter().find(|container| container["essential"].as_bool() != Some(false));
    Some(essential?["name"].as_str()?.to_owned())
}

/// Where images come from.
pub struct Sources<'a> {
    pub engine: &'a Engine,
    /// `None`: nothing of AWS can be had.
    pub aws: Option<&'a Aws>,
    /// The ECR tokens of the environment, kept like those of every other verb.
    pub ecr: &'a Logins,
    /// What docker is logged in to.
    pub docker: &'a RegistryAuth,
    pub clock: fn() -> u64,
}

impl Sources<'_> {
    /// Sees to it that the engine has the image.
    pub async fn see_to(&self, image: &str) -> Result<(), RehearsalError> {
        let missing = |source| RehearsalError::NoImage { image: image.to_owned(), source: Some(Box::new(source)) };
        if images::is_there(self.engine, image).await.map_err(missing)? {
            return Ok(());
        }
        let host = host(image);
        let credentials = match (self.docker.of(host), self.aws) {
            (Some(known), _) => Some(known.clone()),
            (None, Some(aws)) if self.is_ecr(host) => {
                let had = self.ecr.get(host, Want::Fresh, Caller::Leave, self.clock, async || Ok(aws.clone())).await;
                let no_login =
                    |source: AwsError| RehearsalError::NoLogin { image: image.to_owned(), source: Box::new(source) };
                let Login { username, password, .. } = had.map_err(no_login)?.entry.login;
                Some(RegistryCredentials { username, password, server: host.to_owned() })
            }
            (None, Some(_) | None) => None,
        };
        images::pull(self.engine, image, credentials.as_ref()).await.map_err(missing)
    }

    /// Whether a token of ECR opens it. A stand-in for AWS on this machine has its registry here, too; a token of the real
    /// one is shown to nobody else.
    fn is_ecr(&self, host: &str) -> bool {
        let is_stand_in = !self.ecr.scope().endpoint.is_empty();
        let is_local = ["127.0.0.1", "localhost"].iter().any(|local| host.starts_with(local));
        Registry::of(host).is_some() || (is_stand_in && is_local)
    }

    /// The same for the other containers of a definition. One that is not essential and whose image cannot be had is
    /// named in the answer, with why.
    pub async fn see_to_others(
        &self,
        definition: &Value,
        main: Option<&str>,
    ) -> Result<Vec<(String, String)>, RehearsalError> {
        let mut left_out = Vec::new();
        for container in definition["containerDefinitions"].as_array().into_iter().flatten() {
            let (Some(name), Some(image)) = (container["name"].as_str(), container["image"].as_str()) else { continue };
            if Some(name) == main {
                continue;
            }
            match self.see_to(image).await {
                Ok(()) => {}
                Err(error) if container["essential"].as_bool() == Some(false) => {
                    let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                    left_out.push((
                        name.to_owned(),
                        format!("{name} is left out: its image {image} cannot be had ({why})"),
                    ));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(left_out)
    }
}

/// The registry in a reference; Docker Hub where there is none.
fn host(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        Some(_) | None => "docker.io",
    }
}
