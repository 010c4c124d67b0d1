//! The image a rehearsal starts from: which one is meant, and that the engine has it.

use serde_json::Value;

use super::{
    RehearsalError,
    production::{Production, image_of},
};
use crate::{
    aws::{Aws, ecr, ecs},
    config::spec::Service,
    docker::{Engine, RegistryAuth, RegistryCredentials, images},
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
        Some(image) => Ok((Some(image), Some(revision), Some(definition))),
        None => Err(RehearsalError::NoContainer { revision, container: container.unwrap_or_default() }),
    }
}

fn only(definition: &Value) -> Option<String> {
    let containers = definition["containerDefinitions"].as_array()?;
    let essential = containers.iter().find(|container| container["essential"].as_bool() != Some(false));
    Some(essential?["name"].as_str()?.to_owned())
}

/// Sees to it that the engine has the image.
pub async fn see_to(
    engine: &Engine,
    aws: Option<&Aws>,
    image: &str,
    logins: &RegistryAuth,
) -> Result<(), RehearsalError> {
    let missing = |source| RehearsalError::NoImage { image: image.to_owned(), source: Some(Box::new(source)) };
    if images::is_there(engine, image).await.map_err(missing)? {
        return Ok(());
    }
    let host = host(image);
    let credentials = match (logins.of(host), aws) {
        (Some(known), _) => Some(known.clone()),
        (None, Some(aws)) => {
            let token = ecr::token(aws)
                .await
                .map_err(|source| RehearsalError::NoLogin { image: image.to_owned(), source: Box::new(source) })?;
            let is_ecr = host == token.registry || host.contains(".dkr.ecr.");
            let credentials =
                RegistryCredentials { username: token.username, password: token.password, server: host.to_owned() };
            Some(credentials).filter(|_| is_ecr)
        }
        (None, None) => None,
    };
    images::pull(engine, image, credentials.as_ref()).await.map_err(missing)
}

/// The registry in a reference; Docker Hub where there is none.
fn host(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        Some(_) | None => "docker.io",
    }
}
