//! Waits for the deployments of others, before a plan is made.

use std::time::Duration;

use super::watch::pause;
use crate::{
    aws::{self, Aws},
    id::{Cluster, ServiceName},
    rollout::goal::Pace,
};

/// A deployment that somebody else has started.
#[derive(Debug, Clone)]
pub struct Other {
    pub cluster: Cluster,
    pub name: ServiceName,
    /// `ecs-svc/123`.
    pub deployment: String,
}

/// How waiting went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    Ended,
    TooLong,
}

/// Waits until none of these deployments is in progress any more, whatever became of them.
pub async fn until_ended(aws: &Aws, others: &[Other], pace: Pace, limit: Duration) -> Waited {
    let ended = async {
        for other in others {
            while is_going(aws, other).await {
                pause(pace.service_ms).await;
            }
        }
    };
    match tokio::time::timeout(limit, ended).await {
        Ok(()) => Waited::Ended,
        Err(_) => Waited::TooLong,
    }
}

async fn is_going(aws: &Aws, other: &Other) -> bool {
    match aws::ecs::view_service(aws, &other.cluster, &other.name).await {
        Ok(Some(service)) => {
            let theirs = service.deployments.iter().find(|found| found.id == other.deployment);
            theirs.is_some_and(|theirs| match &theirs.rollout_state {
                Some(state) => state == "IN_PROGRESS" && theirs.status == "PRIMARY",
                // ECS says no state behind a Classic Load Balancer; one deployment that is left is the end.
                None => service.deployments.len() > 1,
            })
        }
        Ok(None) => false,
        // A look that fails is no reason to give up: the next may not.
        Err(_) => true,
    }
}
