//! ECS: what a service has been through, from its service deployments and service revisions.

use std::collections::BTreeMap;

use aws_sdk_ecs as sdk;
use aws_sdk_ecs::types::{ServiceDeployment, ServiceRevision, ServiceRevisionSummary};
use futures_util::future::try_join_all;

use super::{
    call::send,
    connect::Aws,
    ecs::{count, milliseconds},
    error::{AwsError, Service},
};
use crate::{
    id::{Cluster, ServiceName, TaskDefArn},
    rollout::past::{ImageOfRevision, Past, RevisionOfService},
};

const SERVICE: Service = Service::Ecs;

/// The last deployments of a service, newest first, at most `most` of them. ECS remembers 90 days, and nothing
/// before 2024-10-25.
///
/// Without `DescribeServiceRevisions` the deployments are still told, without what they ran.
pub async fn history(aws: &Aws, cluster: &Cluster, service: &ServiceName, most: usize) -> Result<Vec<Past>, AwsError> {
    let arns = list(aws, cluster, service, most).await?;
    let found = describe(aws, &arns).await?;
    let mut revisions: Vec<String> = found
        .iter()
        .flat_map(|found| found.source_service_revisions().iter().chain(found.target_service_revision()))
        .filter_map(|revision| revision.arn().map(str::to_owned))
        .collect();
    // "duplicates → ServerException".
    revisions.sort_unstable();
    revisions.dedup();
    let known = match self::revisions(aws, &revisions).await {
        Ok(known) => known,
        Err(error) if error.is_out_of_reach() => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    let mut history: Vec<Past> = found.iter().map(|found| past(found, &known)).collect();
    // The answer to a list of ARNs need not be in its order.
    history.sort_by_key(|past| std::cmp::Reverse(past.created_ms));
    Ok(history)
}

/// `ListServiceDeployments` is newest first.
async fn list(aws: &Aws, cluster: &Cluster, service: &ServiceName, most: usize) -> Result<Vec<String>, AwsError> {
    let mut arns: Vec<String> = Vec::new();
    let mut next = None;
    while arns.len() < most {
        let left = i32::try_from((most - arns.len()).min(100)).unwrap_or(100);
        let request = aws
            .ecs
            .list_service_deployments()
            .cluster(cluster.as_str())
            .service(service.as_str())
            .max_results(left)
            .set_next_token(next.take());
        let answer = send!(aws, "ListServiceDeployments", request)?;
        arns.extend(
            answer.service_deployments().iter().filter_map(|brief| Some(brief.service_deployment_arn()?.to_owned())),
        );
        next = answer.next_token;
        if next.is_none() {
            break;
        }
    }
    arns.truncate(most);
    Ok(arns)
}

async fn describe(aws: &Aws, arns: &[String]) -> Result<Vec<ServiceDeployment>, AwsError> {
    // "Service Deployment ARN count cannot exceed 20".
    let answers = try_join_all(arns.chunks(20).map(|some| async move {
        let request = aws.ecs.describe_service_deployments().set_service_deployment_arns(Some(some.to_vec()));
        send!(aws, "DescribeServiceDeployments", request)
    }))
    .await?;
    Ok(answers.into_iter().flat_map(|answer| answer.service_deployments.unwrap_or_default()).collect())
}

async fn revisions(aws: &Aws, arns: &[String]) -> Result<BTreeMap<String, ServiceRevision>, AwsError> {
    // "Service Revision ARN count cannot exceed 20"; one that is forgotten is among the answer's failures.
    let answers = try_join_all(arns.chunks(20).map(|some| async move {
        let request = aws.ecs.describe_service_revisions().set_service_revision_arns(Some(some.to_vec()));
        send!(aws, "DescribeServiceRevisions", request)
    }))
    .await?;
    Ok(answers
        .into_iter()
        .flat_map(|answer| answer.service_revisions.unwrap_or_default())
        .filter_map(|revision| Some((revision.service_revision_arn()?.to_owned(), revision)))
        .collect())
}

fn past(found: &ServiceDeployment, known: &BTreeMap<String, ServiceRevision>) -> Past {
    Past {
        arn: found.service_deployment_arn().unwrap_or_default().to_owned(),
        status: found.status().map_or("", |status| status.as_str()).to_owned(),
        reason: found.status_reason().map(str::to_owned),
        created_ms: milliseconds(found.created_at()),
        finished_ms: milliseconds(found.finished_at().or(found.stopped_at())),
        target: found.target_service_revision().map(|target| revision(target, known)),
        sources: found.source_service_revisions().iter().map(|source| revision(source, known)).collect(),
        rollback_reason: found.rollback().and_then(|rollback| rollback.reason()).map(str::to_owned),
    }
}

fn revision(summary: &ServiceRevisionSummary, known: &BTreeMap<String, ServiceRevision>) -> RevisionOfService {
    let arn = summary.arn().unwrap_or_default().to_owned();
    let full = known.get(&arn);
    let images = full.map(ServiceRevision::container_images).unwrap_or_default();
    RevisionOfService {
        task_definition: full.and_then(ServiceRevision::task_definition).map(TaskDefArn::new),
        images: images
            .iter()
            .map(|image| ImageOfRevision {
                container: image.container_name().unwrap_or_default().to_owned(),
                image: image.image().unwrap_or_default().to_owned(),
                digest: image.image_digest().map(str::to_owned),
            })
            .collect(),
        running: count(summary.running_task_count()),
        arn,
    }
}
