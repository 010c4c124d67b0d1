//! ECR: the login of this run, repositories and what their tags point at.

use std::str::FromStr;

use aws_sdk_ecr as sdk;
use aws_sdk_ecr::{
    config::{Builder, Region},
    types::{ImageIdentifier, ImageTagMutability},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    call::send,
    connect::Aws,
    error::{AwsError, Service},
};
use crate::{
    image::{Digest, EcrEndpoint, EcrHost, Tag},
    plan::observed::{Mutability, RepositoryObserved, Unread},
    secret::Secret,
};

const SERVICE: Service = Service::Ecr;

/// What `GetAuthorizationToken` gives: 12 hours of access to the account's registry in one region.
#[derive(Debug, Clone)]
pub struct EcrToken {
    pub username: String,
    pub password: Secret<String>,
    /// `111111111111.dkr.ecr.eu-west-1.amazonaws.com`, or `127.0.0.1:4510`.
    pub registry: String,
    /// Milliseconds since the Unix epoch.
    pub expires_ms: u64,
}

/// The token of the caller's own registry in the region of `aws`.
pub async fn token(aws: &Aws) -> Result<EcrToken, AwsError> {
    token_by(aws, &aws.ecr).await
}

/// The token for the registry at this host: of its region, by the kind of endpoint that it is itself.
pub async fn token_for(aws: &Aws, host: &EcrHost) -> Result<EcrToken, AwsError> {
    let mut config = Builder::from(&aws.config).region(Region::new(host.region.clone()));
    if host.endpoint == EcrEndpoint::Fips {
        config = config.use_fips(true);
    }
    if host.is_dual_stack() {
        config = config.use_dual_stack(true);
    }
    token_by(aws, &sdk::Client::from_conf(config.build())).await
}

async fn token_by(aws: &Aws, client: &sdk::Client) -> Result<EcrToken, AwsError> {
    const OPERATION: &str = "GetAuthorizationToken";
    let lacks = |what| AwsError::unreadable(aws, SERVICE, OPERATION, what);
    let answer = send!(aws, "GetAuthorizationToken", client.get_authorization_token())?;
    let data = answer.authorization_data.unwrap_or_default().into_iter().next();
    let data = data.ok_or_else(|| lacks("it holds no token"))?;
    let encoded = data.authorization_token.ok_or_else(|| lacks("it holds no token"))?;
    let endpoint = data.proxy_endpoint.ok_or_else(|| lacks("it names no registry"))?;
    let expires_ms = data.expires_at.and_then(|at| at.to_millis().ok());
    granted(&encoded, host(&endpoint).to_owned(), expires_ms).map_err(lacks)
}

/// Takes the token apart, which is base64 of `AWS:<password>`; or what it lacks.
pub(super) fn granted(encoded: &str, registry: String, expires_ms: Option<i64>) -> Result<EcrToken, &'static str> {
    let pair = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = pair.ok_or("the token is not base64")?;
    let (username, password) = pair.split_once(':').ok_or("the token has no user name")?;
    Ok(EcrToken {
        username: username.to_owned(),
        password: Secret::new(password.to_owned()),
        registry,
        expires_ms: expires_ms.and_then(|at| at.try_into().ok()).unwrap_or(0),
    })
}

/// `https://111111111111.dkr.ecr.eu-west-1.amazonaws.com` without what Docker does not want.
fn host(endpoint: &str) -> &str {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// The repository and what `tag` points at, in one round trip; with what may not be read.
pub async fn repository(aws: &Aws, name: &str, tag: &Tag) -> Result<(RepositoryObserved, Option<Unread>), AwsError> {
    let (described, tagged) = tokio::join!(repository_alone(aws, name), image_digest(aws, name, tag));
    let RepositoryObserved::Present { uri, immutable_tags, tagged: _ } = described? else {
        return Ok((RepositoryObserved::Missing, None));
    };
    let (tagged, unread) = match tagged {
        Ok(digest) => (digest, None),
        // Not essential: it only spares a push that would change nothing.
        Err(error) if error.is_out_of_reach() => {
            (None, Some(Unread::Tag { repository: name.to_owned(), tag: tag.to_string() }))
        }
        Err(error) => return Err(error),
    };
    Ok((RepositoryObserved::Present { uri, immutable_tags, tagged }, unread))
}

/// The repository, without a look at any tag.
pub async fn repository_alone(aws: &Aws, name: &str) -> Result<RepositoryObserved, AwsError> {
    let request = aws.ecr.describe_repositories().repository_names(name);
    let described = match send!(aws, "DescribeRepositories", request) {
        Ok(described) => described.repositories.unwrap_or_default().into_iter().next(),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let Some(described) = described else { return Ok(RepositoryObserved::Missing) };
    let uri = described.repository_uri;
    let uri = uri.ok_or_else(|| AwsError::unreadable(aws, SERVICE, "DescribeRepositories", "it names no URI"))?;
    // With IMMUTABLE_WITH_EXCLUSION a filter may free this very tag. A plan refused wrongly is worse
    // than a push that ECR refuses, hence only the plain value counts.
    let immutable = described.image_tag_mutability == Some(ImageTagMutability::Immutable);
    let immutable_tags = if immutable { Mutability::Immutable } else { Mutability::Mutable };
    Ok(RepositoryObserved::Present { uri, immutable_tags, tagged: None })
}

/// What the registry says the tag is; `None` when there is no such image.
pub async fn image_digest(aws: &Aws, repository: &str, tag: &Tag) -> Result<Option<Digest>, AwsError> {
    let id = ImageIdentifier::builder().image_tag(tag.as_str()).build();
    let request = aws.ecr.describe_images().repository_name(repository).image_ids(id);
    let answer = match send!(aws, "DescribeImages", request) {
        Ok(answer) => answer,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let digest = answer.image_details.unwrap_or_default().into_iter().find_map(|image| image.image_digest);
    digest
        .map(|digest| Digest::from_str(&digest))
        .transpose()
        .map_err(|_| AwsError::unreadable(aws, SERVICE, "DescribeImages", "its digest is not a sha256"))
}

/// Creates it; one that exists already is what was wanted. Yields the URI.
pub async fn create_repository(aws: &Aws, name: &str) -> Result<String, AwsError> {
    let created = match send!(aws, "CreateRepository", aws.ecr.create_repository().repository_name(name)) {
        Ok(answer) => answer.repository,
        Err(error) if error.code() == Some("RepositoryAlreadyExistsException") => {
            let request = aws.ecr.describe_repositories().repository_names(name);
            let answer = send!(aws, "DescribeRepositories", request)?;
            answer.repositories.unwrap_or_default().into_iter().next()
        }
        Err(error) => return Err(error),
    };
    let uri = created.and_then(|repository| repository.repository_uri);
    uri.ok_or_else(|| AwsError::unreadable(aws, SERVICE, "CreateRepository", "it names no URI"))
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn a_registry_is_named_as_docker_names_it() {
        assert_eq!(
            host("https://111111111111.dkr.ecr.eu-west-1.amazonaws.com"),
            "111111111111.dkr.ecr.eu-west-1.amazonaws.com"
        );
        assert_eq!(host("http://127.0.0.1:4510/"), "127.0.0.1:4510");
    }
}
