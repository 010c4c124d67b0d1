//! Everything there is to read about how a service stands. Only the service itself is essential: what else cannot be
//! read is told as such, and the rest is shown all the same.

use futures_util::future::try_join_all;
use tokio::join;

use super::{last_shipped, look_back};
use crate::{
    aws::{
        Aws, AwsError, deployments, ecs, elb,
        error::{Kind, Service as Api},
    },
    config::spec::Service,
    plan::{
        observed::{ServiceActive, ServiceObserved, Shipped},
        pick_up,
        standing::{Definition, Looked, Told, Untold},
    },
    rollout::{past::Past, view::ServiceDeploymentView},
};

/// Enough to find the deployment that brought what runs, behind a few that were taken back.
const DEPLOYMENTS: usize = 10;

/// Looks at one of so many services from all sides: two round trips, and one more while a rollout goes on.
pub async fn look(aws: &Aws, service: &Service, services: usize) -> Result<Looked, AwsError> {
    let Service { cluster, service: name, .. } = service;
    let (observed, history) =
        join!(ecs::service(aws, cluster, name), deployments::history(aws, cluster, name, DEPLOYMENTS));
    let mut live = match observed? {
        ServiceObserved::Active(live) => live,
        observed @ (ServiceObserved::Missing | ServiceObserved::Inactive { .. }) => {
            return Ok(Looked::absent(observed));
        }
    };
    let history = told(history);
    let shipped = async {
        // Task sets of another controller have definitions of their own.
        if live.definition.is_null() {
            return Shipped::NotFound;
        }
        last_shipped(aws, &live, cluster, name, look_back(services)).await
    };
    let ports: Vec<u32> = live.target_groups.iter().map(|group| group.container_port).collect();
    let (shipped, tasks, targets, urls, (before, deployment)) = join!(
        shipped,
        ecs::view_tasks(aws, cluster, name, &ports),
        of_all_groups(&live, async |group| elb::target_health(aws, group).await),
        of_all_groups(&live, async |group| elb::serving_urls(aws, group).await),
        rollout(aws, &live, history.as_deref().ok()),
    );
    live.shipped = shipped;
    Ok(Looked {
        observed: ServiceObserved::Active(live),
        history,
        tasks: told(tasks),
        targets: told(targets),
        urls: told(urls),
        before,
        deployment,
    })
}

async fn of_all_groups<T>(
    live: &ServiceActive,
    read: impl AsyncFn(&str) -> Result<Vec<T>, AwsError>,
) -> Result<Vec<T>, AwsError> {
    let read = &read;
    let answers = try_join_all(live.target_groups.iter().map(|group| async move { read(&group.arn).await })).await?;
    Ok(answers.into_iter().flatten().collect())
}

type Rollout = (Option<Told<Definition>>, Option<Told<ServiceDeploymentView>>);

/// What ran before the rollout that is going on, and the rollout itself.
async fn rollout(aws: &Aws, live: &ServiceActive, history: Option<&[Past]>) -> Rollout {
    let Some(going) = pick_up::going(live, history) else { return (None, None) };
    let before = async {
        let previous = going.started.previous.as_ref().filter(|previous| **previous != live.task_definition)?;
        Some(told(ecs::definition(aws, Some(previous.as_str())).await))
    };
    let deployment = async {
        let arn = going.service_deployment.as_deref()?;
        // One that ECS does not know (yet) is no gap: what the service itself says of it is there.
        told(ecs::view_deployment(aws, arn).await).transpose()
    };
    join!(before, deployment)
}

fn told<T>(answered: Result<T, AwsError>) -> Told<T> {
    answered.map_err(|error| {
        Untold(match error.kind() {
            Kind::AccessDenied { action, .. } => format!("{action} is not allowed"),
            Kind::NotOffered => {
                let prefix = error.service().map_or("aws", Api::iam_prefix);
                format!("this endpoint does not offer {prefix}:{}", error.operation().unwrap_or_default())
            }
            _ => error.to_string(),
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::look;
    use crate::{
        aws::recorded::{Answer, Server, answer},
        id::{Cluster, ServiceName},
        plan::{
            observed::ServiceObserved,
            standing::{Looked, Untold},
            testing::service,
        },
    };

    const SERVICE: &str = include_str!("../../tests/recorded/aws/describe-services.json");
    const DEFINITION: &str = include_str!("../../tests/recorded/aws/describe-task-definition.json");
    const ATTRIBUTES: &str = include_str!("../../tests/recorded/aws/describe-target-group-attributes.xml");

    fn denied(action: &str) -> Answer {
        let message =
            format!("User: arn:aws:iam::111111111111:user/ci is not authorized to perform: {action} on resource: *");
        answer(400, json!({ "__type": "AccessDeniedException", "message": message }))
    }

    async fn looked(answers: Vec<(&'static str, Answer)>) -> Looked {
        let server = Server::start(answers).await;
        let mut wanted = service("api", "api");
        (wanted.cluster, wanted.service) = (Cluster::new("jobs"), ServiceName::new("api"));
        look(&server.aws().await, &wanted, 1).await.expect("the service can be read")
    }

    #[tokio::test]
    async fn what_may_not_be_read_says_which_action_is_missing() {
        let no_health = "<Type>Sender</Type><Code>AccessDenied</Code><Message>User: arn:aws:iam::111111111111:user/ci is not \
                         authorized to perform: elasticloadbalancing:DescribeTargetHealth</Message>";
        let looked = looked(vec![
            ("DescribeServices", answer(200, SERVICE)),
            ("DescribeTaskDefinition", answer(200, DEFINITION)),
            ("ListServiceDeployments", denied("ecs:ListServiceDeployments")),
            ("ListTasks", denied("ecs:ListTasks")),
            ("DescribeTargetGroupAttributes", answer(200, ATTRIBUTES)),
            ("DescribeTargetHealth", answer(403, format!("<ErrorResponse><Error>{no_health}</Error></ErrorResponse>"))),
        ])
        .await;
        assert!(matches!(looked.observed, ServiceObserved::Active(_)), "{looked:?}");
        let untold = |what: &str| Untold(format!("{what} is not allowed"));
        assert_eq!(looked.history, Err(untold("ecs:ListServiceDeployments")));
        assert_eq!(looked.tasks, Err(untold("ecs:ListTasks")));
        assert_eq!(looked.targets, Err(untold("elasticloadbalancing:DescribeTargetHealth")));
    }

    #[tokio::test]
    async fn of_a_service_that_is_not_there_nothing_else_is_asked() {
        let missing = json!({ "services": [], "failures": [{ "arn": "arn", "reason": "MISSING" }] });
        let looked = looked(vec![("DescribeServices", answer(200, missing))]).await;
        assert_eq!(looked, Looked::absent(ServiceObserved::Missing));
    }
}
