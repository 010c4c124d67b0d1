//! What the verbs about running services read before they plan or show: the services, what they have been
//! through, and the definitions they may go back to.

use std::collections::BTreeMap;

use futures_util::future::{join_all, try_join_all};

use crate::{
    aws::{Aws, AwsError, deployments, ecs, sts},
    config::spec::{Place, Spec},
    id::{Key, TaskDefArn},
    plan::{
        observed::{DefinitionObserved, ServiceKnown, ServiceObserved},
        rollback::Way,
    },
};

/// The account of the credentials, asked for only where the environment says which it must be.
pub async fn account(spec: &Spec, aws: &Aws) -> Result<Option<String>, AwsError> {
    match (&spec.environment.place, &spec.environment.account) {
        (Place::Aws, Some(_)) => sts::caller(aws).await.map(|caller| Some(caller.account)),
        (Place::Aws | Place::Sandbox, _) => Ok(None),
    }
}

/// Every service of the spec as it is, without what it has been through.
pub async fn observed(spec: &Spec, aws: &Aws) -> Result<BTreeMap<Key, ServiceKnown>, AwsError> {
    let asked = spec.services.iter().map(|(key, service)| async move {
        let observed = ecs::service(aws, &service.cluster, &service.service).await?;
        Ok((key.clone(), ServiceKnown { observed, history: None }))
    });
    Ok(try_join_all(asked).await?.into_iter().collect())
}

/// Every service of the spec with its last `most` deployments, all asked at once.
pub async fn known(spec: &Spec, aws: &Aws, most: usize) -> Result<BTreeMap<Key, ServiceKnown>, AwsError> {
    let asked = spec.services.iter().map(|(key, service)| async move {
        let (observed, history) = tokio::join!(
            ecs::service(aws, &service.cluster, &service.service),
            deployments::history(aws, &service.cluster, &service.service, most),
        );
        let observed = observed?;
        let history = match (&observed, history) {
            (_, Ok(history)) => Some(history),
            // Of a service that is not there nothing can be asked.
            (ServiceObserved::Missing | ServiceObserved::Inactive { .. }, Err(_)) => None,
            (ServiceObserved::Active(_), Err(error)) if error.is_out_of_reach() => None,
            (ServiceObserved::Active(_), Err(error)) => return Err(error),
        };
        Ok((key.clone(), ServiceKnown { observed, history }))
    });
    Ok(try_join_all(asked).await?.into_iter().collect())
}

/// The definitions that the services would go back to. None for one that is not there.
pub async fn targets(
    aws: &Aws,
    ways: &BTreeMap<Key, Way>,
) -> Result<BTreeMap<Key, Option<DefinitionObserved>>, AwsError> {
    let asked = ways.iter().filter_map(|(key, way)| {
        let revision = match way {
            Way::Stop(going) => going.started.previous.clone()?,
            Way::Underway(_) => return None,
            Way::To(revision) => revision.clone(),
        };
        Some(async move { (key.clone(), definition(aws, &revision).await) })
    });
    join_all(asked).await.into_iter().map(|(key, found)| Ok((key, found?))).collect()
}

async fn definition(aws: &Aws, revision: &TaskDefArn) -> Result<Option<DefinitionObserved>, AwsError> {
    match ecs::definition(aws, Some(revision.as_str())).await {
        Ok((definition, tags)) => {
            let arn = definition.get("taskDefinitionArn").and_then(serde_json::Value::as_str);
            Ok(Some(DefinitionObserved {
                arn: arn.map_or_else(|| revision.clone(), TaskDefArn::new),
                definition,
                tags,
            }))
        }
        // "ClientException: Unable to describe task definition."
        Err(error) if error.is_not_found() || error.code() == Some("ClientException") => Ok(None),
        Err(error) => Err(error),
    }
}
