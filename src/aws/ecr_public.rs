//! Public ECR, `public.ecr.aws`: a login of its own, of which there is one API in one region for the whole
//! world.

use aws_sdk_ecrpublic as sdk;
use aws_sdk_ecrpublic::config::{Builder, Region};

use super::{
    call::send,
    connect::Aws,
    ecr::{EcrToken, granted},
    error::{AwsError, Service},
};
use crate::image::PublicEcr;

const SERVICE: Service = Service::EcrPublic;

/// "You must use us-east-1" — Amazon ECR Public user guide, registry authentication.
pub const REGION: &str = "us-east-1";

/// 12 hours of pulls beyond the limit for strangers, and of pushes to the caller's own public registry.
pub async fn token(aws: &Aws, registry: PublicEcr) -> Result<EcrToken, AwsError> {
    const OPERATION: &str = "GetAuthorizationToken";
    let mut config = Builder::from(&aws.config).region(Region::from_static(REGION));
    if registry == PublicEcr::DualStack {
        config = config.use_dual_stack(true);
    }
    let client = sdk::Client::from_conf(config.build());
    let answer = send!(aws, "GetAuthorizationToken", client.get_authorization_token())?;
    let lacks = |what| AwsError::unreadable(aws, SERVICE, OPERATION, what);
    let data = answer.authorization_data.ok_or_else(|| lacks("it holds no token"))?;
    let encoded = data.authorization_token.ok_or_else(|| lacks("it holds no token"))?;
    let expires_ms = data.expires_at.and_then(|at| at.to_millis().ok());
    granted(&encoded, registry.host().to_owned(), expires_ms).map_err(lacks)
}
