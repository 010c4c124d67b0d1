//! What is wrong with a rollout before it begins: reasons to refuse it that only ECS would tell otherwise, minutes
//! later, and warnings about what ECS takes and people regret.

use serde_json::Value;

use super::{
    make::containers,
    observed::{Attached, Observed, ServiceActive, ServiceObserved, TargetGroupObserved},
    refusal::{Refusal, at_least},
    step::{Action, Plan, RegisterAction},
};
use crate::{
    config::spec::{Place, Service, Spec},
    id::{Cluster, Key, ServiceName, TaskDefArn},
};

/// Something to know before a ship, and no reason to refuse it. `Display` says what, [`Warning::hint`] what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error(
        "service {name} may be without a task during the rollout: {percent} % of {desired} rounds up to none that must run"
    )]
    NoneMustRun { service: Key, name: ServiceName, cluster: Cluster, desired: u32, percent: u32 },
    #[error("service {name} wants no task: nothing is started, so nothing is proven")]
    NoneWanted { service: Key, name: ServiceName, cluster: Cluster },
    #[error(
        "requests that run when a task of {name} is replaced are cut off: the deregistration delay of {target_group} is 0 s"
    )]
    NoDrain { service: Key, name: ServiceName, target_group: String, arn: String },
    #[error(
        "draining {name} may take {delay_s} s, longer than the {total_s} s that the whole rollout may take: \
         the deregistration delay of {target_group}"
    )]
    DrainBeyondTotal { service: Key, name: ServiceName, target_group: String, arn: String, delay_s: u64, total_s: u64 },
    #[error(
        "container {container} of {service} is killed {stop_s} s after SIGTERM, and requests may run for {delay_s} s: \
         a task that is not stopped by a rollout (a Spot interruption, a lost host) cuts them off"
    )]
    KilledWhileServing { service: Key, container: String, stop_s: u64, delay_s: u64 },
    #[error("a rollout that fails cannot be taken back: {revision}, which {name} runs, is INACTIVE")]
    NoWayBack { service: Key, name: ServiceName, revision: TaskDefArn },
}

impl Warning {
    /// Stable, for machines and for looking it up.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoneMustRun { .. } => "plan::none_must_run",
            Self::NoneWanted { .. } => "plan::none_wanted",
            Self::NoDrain { .. } => "plan::no_drain",
            Self::DrainBeyondTotal { .. } => "plan::drain_beyond_total",
            Self::KilledWhileServing { .. } => "plan::killed_while_serving",
            Self::NoWayBack { .. } => "plan::no_way_back",
        }
    }

    #[must_use]
    pub const fn service(&self) -> &Key {
        match self {
            Self::NoneMustRun { service, .. }
            | Self::NoneWanted { service, .. }
            | Self::NoDrain { service, .. }
            | Self::DrainBeyondTotal { service, .. }
            | Self::KilledWhileServing { service, .. }
            | Self::NoWayBack { service, .. } => service,
        }
    }

    /// What to do, in one or two sentences.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoneMustRun { name, cluster, .. } => format!(
                "let ECS start new tasks first: `aws ecs update-service --cluster {cluster} --service {name} \
                 --deployment-configuration minimumHealthyPercent=100,maximumPercent=200`"
            ),
            Self::NoneWanted { name, cluster, .. } => {
                format!("`aws ecs update-service --cluster {cluster} --service {name} --desired-count 1` starts one")
            }
            Self::NoDrain { arn, .. } => format!(
                "let them finish: `aws elbv2 modify-target-group-attributes --target-group-arn {arn} \
                 --attributes Key=deregistration_delay.timeout_seconds,Value=30`"
            ),
            Self::DrainBeyondTotal { service, arn, .. } => format!(
                "raise `timeouts.total` of [services.{service}.rollout], or shorten the delay: \
                 `aws elbv2 modify-target-group-attributes --target-group-arn {arn} \
                 --attributes Key=deregistration_delay.timeout_seconds,Value=30`"
            ),
            Self::KilledWhileServing { delay_s, .. } => {
                // Fargate takes up to 120 s: ContainerDefinition in the ECS API reference.
                let most = (*delay_s).min(120);
                format!("raise `stopTimeout` of the container to {most}, or shorten the deregistration delay")
            }
            Self::NoWayBack { service, .. } => format!(
                "roll out once with `task_definition` of [services.{service}] as it is: the new revision is ACTIVE, \
                 and the next rollout can be taken back to it"
            ),
        }
    }
}

/// Refuses what ECS would refuse in the middle, or would try for ever.
pub(super) fn refuse(
    place: &Place,
    key: &Key,
    service: &Service,
    live: Option<&ServiceActive>,
    base: &Value,
    refusals: &mut Vec<Refusal>,
) {
    if let Some(live) = live {
        for group in &live.target_groups {
            refuse_target_group(key, service, group, base, refusals);
        }
    }
    refuse_before(key, service, base, refusals);
    if *place == Place::Aws && base["executionRoleArn"].as_str().is_none_or(str::is_empty) {
        let needs = needs_of_execution_role(base);
        if !needs.is_empty() {
            refusals.push(Refusal::NoExecutionRole { service: key.clone(), needs });
        }
    }
}

/// ECS would say it when the task is to run, after the build and the push:
///
/// > InvalidParameterException: Override for container named migrate is not a container in the TaskDefinition.
fn refuse_before(key: &Key, service: &Service, base: &Value, refusals: &mut Vec<Refusal>) {
    let Some(wanted) = service.before.as_ref().and_then(|before| before.container.as_ref()) else { return };
    let containers: Vec<String> =
        containers(base).iter().map(|container| container["name"].as_str().unwrap_or_default().to_owned()).collect();
    if !containers.contains(wanted) {
        refusals.push(Refusal::BeforeContainerNotFound { service: key.clone(), wanted: wanted.clone(), containers });
    }
}

fn refuse_target_group(
    key: &Key,
    service: &Service,
    group: &TargetGroupObserved,
    base: &Value,
    refusals: &mut Vec<Refusal>,
) {
    if group.attached == Attached::ToNothing {
        refusals.push(Refusal::TargetGroupUnattached {
            service: key.clone(),
            name: service.service.clone(),
            target_group: group.name().to_owned(),
            arn: group.arn.clone(),
        });
    }
    let all = containers(base);
    let Some(container) = all.iter().find(|container| container["name"].as_str() == Some(&group.container)) else {
        refusals.push(Refusal::BalancedContainerMissing {
            service: key.clone(),
            container: group.container.clone(),
            target_group: group.name().to_owned(),
            containers: all.iter().map(|container| container["name"].as_str().unwrap_or_default().to_owned()).collect(),
        });
        return;
    };
    if !maps(container, group.container_port) {
        refusals.push(Refusal::PortNotMapped {
            service: key.clone(),
            container: group.container.clone(),
            port: group.container_port,
            target_group: group.name().to_owned(),
            mapped: ports(container).map(text_of).collect(),
        });
    }
}

/// `containerPort` or `containerPortRange` of each port mapping.
fn ports(container: &Value) -> impl Iterator<Item = &Value> {
    let mappings = container["portMappings"].as_array().map_or(&[][..], Vec::as_slice);
    mappings.iter().filter_map(|mapping| mapping.get("containerPort").or_else(|| mapping.get("containerPortRange")))
}

fn text_of(port: &Value) -> String {
    port.as_str().map_or_else(|| port.to_string(), str::to_owned)
}

fn maps(container: &Value, port: u32) -> bool {
    ports(container).map(text_of).any(|mapped| match mapped.split_once('-') {
        Some((first, last)) => {
            let number = |text: &str| text.trim().parse::<u32>().ok();
            number(first).zip(number(last)).is_some_and(|(first, last)| (first..=last).contains(&port))
        }
        None => mapped.parse() == Ok(port),
    })
}

/// What in a definition cannot be without an execution role, as `RegisterTaskDefinition` says it:
///
/// > When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.
/// > Fargate requires task definition to have execution role ARN to support ECR images.
/// > Fargate requires task definition to have execution role ARN to support log driver awslogs.
///
/// On EC2 the agent pulls and logs with the role of the instance.
fn needs_of_execution_role(base: &Value) -> Vec<&'static str> {
    let all = containers(base);
    let is_fargate =
        base["requiresCompatibilities"].as_array().is_some_and(|words| words.iter().any(|word| word == "FARGATE"));
    let mut needs = Vec::new();
    let has_secrets = |container: &Value| {
        let some = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
        some(&container["secrets"]) || some(&container["logConfiguration"]["secretOptions"])
    };
    if all.iter().any(has_secrets) {
        needs.push("`secrets`");
    }
    if is_fargate {
        // The image that is shipped is in ECR, whatever stands there now.
        needs.push("an image in ECR on Fargate");
        if all.iter().any(|container| container["logConfiguration"]["logDriver"].as_str() == Some("awslogs")) {
            needs.push("the log driver `awslogs` on Fargate");
        }
    }
    needs
}

/// Everything worth a word before the plan is carried out.
#[must_use]
pub fn warnings(plan: &Plan, spec: &Spec, observed: &Observed) -> Vec<Warning> {
    let mut found = Vec::new();
    for step in &plan.steps {
        let Action::Register(register) = &step.action else { continue };
        let (Some(service), Some(ServiceObserved::Active(live))) =
            (spec.services.get(&register.service), observed.services.get(&register.service))
        else {
            continue;
        };
        of_service(register, service, live, &mut found);
    }
    found
}

fn of_service(register: &RegisterAction, service: &Service, live: &ServiceActive, found: &mut Vec<Warning>) {
    let key = || register.service.clone();
    let (name, cluster) = (&service.service, &service.cluster);
    let percent = service.rollout.percentages.minimum_healthy.unwrap_or(live.minimum_healthy_percent);
    if live.desired_count == 0 {
        found.push(Warning::NoneWanted { service: key(), name: name.clone(), cluster: cluster.clone() });
    } else if at_least(live.desired_count, percent) == 0 {
        found.push(Warning::NoneMustRun {
            service: key(),
            name: name.clone(),
            cluster: cluster.clone(),
            desired: live.desired_count,
            percent,
        });
    }
    let total_s = service.rollout.total.as_secs();
    for group in &live.target_groups {
        let (target_group, arn, delay_s) = (group.name().to_owned(), group.arn.clone(), group.deregistration_delay_s);
        if delay_s == 0 {
            found.push(Warning::NoDrain { service: key(), name: name.clone(), target_group, arn });
        } else if delay_s > total_s {
            found.push(Warning::DrainBeyondTotal {
                service: key(),
                name: name.clone(),
                target_group,
                arn,
                delay_s,
                total_s,
            });
        }
    }
    for container in containers(&register.base) {
        // Only what somebody has set: the defaults, 30 s against 300 s, are nobody's decision.
        let Some(stop_s) = container.get("stopTimeout").and_then(Value::as_u64) else { continue };
        let name = container["name"].as_str().unwrap_or_default();
        let delays = live.target_groups.iter().filter(|group| group.container == name);
        if let Some(delay_s) = delays.map(|group| group.deregistration_delay_s).max()
            && stop_s < delay_s.min(120)
        {
            found.push(Warning::KilledWhileServing { service: key(), container: name.to_owned(), stop_s, delay_s });
        }
    }
    if live.definition["status"].as_str() == Some("INACTIVE") {
        found.push(Warning::NoWayBack { service: key(), name: name.clone(), revision: live.task_definition.clone() });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::warnings;
    use crate::{
        config::spec::{Before, Place, Spec},
        id::Key,
        plan::{
            make::plan,
            observed::{Attached, Observed},
            testing::{live, observed, spec},
        },
    };

    /// Refusals, else warnings, each with its code.
    fn told(change: impl FnOnce(&mut Spec, &mut Observed)) -> String {
        let (mut spec, mut observed) = (spec(Place::Aws), observed());
        change(&mut spec, &mut observed);
        let lines: Vec<_> = match plan(&spec, &observed) {
            Err(refusals) => {
                refusals.iter().map(|refusal| format!("{}: {refusal}\n  {}", refusal.code(), refusal.hint())).collect()
            }
            Ok(plan) => warnings(&plan, &spec, &observed)
                .iter()
                .map(|warning| format!("{}: {warning}\n  {}", warning.code(), warning.hint()))
                .collect(),
        };
        lines.join("\n")
    }

    #[test]
    fn a_service_in_order_has_nothing_to_be_told() {
        assert_eq!(told(|_, _| ()), "");
        // What is not known is no reason to refuse.
        assert_eq!(told(|_, observed| live(observed).target_groups[0].attached = Attached::NotSaid), "");
    }

    #[test]
    fn a_target_group_that_no_balancer_forwards_to() {
        insta::assert_snapshot!(told(|_, observed| live(observed).target_groups[0].attached = Attached::ToNothing), @"
        plan::target_group_unattached: no load balancer forwards to target group web of service web: its targets never get healthy
          add a listener or a rule that forwards to it: `aws elbv2 create-listener --load-balancer-arn … --protocol HTTP --port 80 --default-actions Type=forward,TargetGroupArn=arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/web/73e2d6bc24d8a067`; or take it out of the service
        ");
    }

    #[test]
    fn a_task_before_the_rollout_in_a_container_that_is_not_there() {
        let run_in = |container: Option<&str>| {
            told(|spec, observed| {
                let definition = &mut live(observed).definition["containerDefinitions"];
                let mut sidecar = definition[0].clone();
                sidecar["name"] = "migrate".into();
                sidecar["essential"] = false.into();
                sidecar["portMappings"] = json!([]);
                definition.as_array_mut().expect("containers").push(sidecar);
                spec.services.get_mut(&Key::new("web")).expect("web").before = Some(Before {
                    command: vec!["rake".to_owned(), "db:migrate".to_owned()],
                    timeout: Duration::from_mins(15),
                    container: container.map(str::to_owned),
                });
            })
        };
        insta::assert_snapshot!(run_in(Some("migrat")), @r#"
        plan::before_container_not_found: the task before the rollout of web is to run in container migrat, and its task definition has web and migrate
          did you mean migrate? Write `container = "migrate"` in [services.web.before]; without it the container that gets the image runs the command
        "#);
        insta::assert_snapshot!(run_in(Some("tools")), @r#"
        plan::before_container_not_found: the task before the rollout of web is to run in container tools, and its task definition has web and migrate
          name one of them in [services.web.before], as in `container = "web"`; without it the container that gets the image runs the command
        "#);
        for fits in [None, Some("web"), Some("migrate")] {
            assert_eq!(run_in(fits), "");
        }
    }

    #[test]
    fn a_port_that_the_container_does_not_map() {
        let mapping = |mappings: Value| {
            told(|_, observed| live(observed).definition["containerDefinitions"][0]["portMappings"] = mappings)
        };
        insta::assert_snapshot!(mapping(json!([{ "containerPort": 80 }, { "containerPortRange": "9000-9010" }])), @r#"
        plan::port_not_mapped: target group web wants port 8080 of container web, which maps 80 and 9000-9010
          add { "containerPort": 8080 } to `portMappings` of container web in the task definition of [services.web], or point the service at another port with `aws ecs update-service --load-balancers`
        "#);
        insta::assert_snapshot!(mapping(json!([])), @r#"
        plan::port_not_mapped: target group web wants port 8080 of container web, which maps none
          add { "containerPort": 8080 } to `portMappings` of container web in the task definition of [services.web], or point the service at another port with `aws ecs update-service --load-balancers`
        "#);
        for fits in
            [json!([{ "containerPort": 8080 }]), json!([{ "containerPortRange": "8000-8100", "protocol": "tcp" }])]
        {
            assert_eq!(mapping(fits), "");
        }
    }

    #[test]
    fn a_container_that_the_target_group_does_not_find() {
        insta::assert_snapshot!(told(|_, observed| {
            live(observed).definition["containerDefinitions"][0]["name"] = json!("app");
        }), @"
        plan::balanced_container_missing: target group web wants container web, and the task definition of web has app
          call the container web in the task definition of [services.web], or point the service at another one with `aws ecs update-service --load-balancers`
        ");
    }

    #[test]
    fn an_execution_role_is_asked_for_where_ecs_needs_one() {
        let with = |compatibility: &str, container: Value, role: Value| {
            told(|_, observed| {
                let definition = &mut live(observed).definition;
                definition["requiresCompatibilities"] = json!([compatibility]);
                definition["executionRoleArn"] = role;
                for (name, value) in container.as_object().expect("members") {
                    definition["containerDefinitions"][0][name] = value.clone();
                }
            })
        };
        let secrets = || json!({ "secrets": [{ "name": "KEY", "valueFrom": "/key" }] });
        let logs = || json!({ "logConfiguration": { "logDriver": "awslogs", "options": {} } });
        insta::assert_snapshot!(with("EC2", secrets(), Value::Null), @"
        plan::no_execution_role: the task definition of web has no execution role, which it needs for `secrets`
          put `executionRoleArn` into the task definition of [services.web], with a role that trusts ecs-tasks.amazonaws.com and has the policy AmazonECSTaskExecutionRolePolicy
        ");
        insta::assert_snapshot!(with("FARGATE", logs(), json!("")), @"
        plan::no_execution_role: the task definition of web has no execution role, which it needs for an image in ECR on Fargate and the log driver `awslogs` on Fargate
          put `executionRoleArn` into the task definition of [services.web], with a role that trusts ecs-tasks.amazonaws.com and has the policy AmazonECSTaskExecutionRolePolicy
        ");
        for (compatibility, container) in [("EC2", logs()), ("EC2", json!({ "secrets": [] })), ("EXTERNAL", json!({}))]
        {
            assert_eq!(with(compatibility, container.clone(), Value::Null), "", "{compatibility} {container}");
        }
        assert_eq!(with("FARGATE", secrets(), json!("arn:aws:iam::111111111111:role/ecsTaskExecutionRole")), "");
    }

    #[test]
    fn a_rollout_that_may_cost_requests_is_warned_about() {
        insta::assert_snapshot!(told(|_, observed| live(observed).desired_count = 0), @"
        plan::none_wanted: service web wants no task: nothing is started, so nothing is proven
          `aws ecs update-service --cluster shop --service web --desired-count 1` starts one
        ");
        insta::assert_snapshot!(told(|_, observed| live(observed).minimum_healthy_percent = 0), @"
        plan::none_must_run: service web may be without a task during the rollout: 0 % of 2 rounds up to none that must run
          let ECS start new tasks first: `aws ecs update-service --cluster shop --service web --deployment-configuration minimumHealthyPercent=100,maximumPercent=200`
        ");
        insta::assert_snapshot!(told(|_, observed| live(observed).target_groups[0].deregistration_delay_s = 0), @"
        plan::no_drain: requests that run when a task of web is replaced are cut off: the deregistration delay of web is 0 s
          let them finish: `aws elbv2 modify-target-group-attributes --target-group-arn arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/web/73e2d6bc24d8a067 --attributes Key=deregistration_delay.timeout_seconds,Value=30`
        ");
        insta::assert_snapshot!(told(|spec, _| {
            spec.services.get_mut(&Key::new("web")).expect("web").rollout.total = Duration::from_mins(2);
        }), @"
        plan::drain_beyond_total: draining web may take 300 s, longer than the 120 s that the whole rollout may take: the deregistration delay of web
          raise `timeouts.total` of [services.web.rollout], or shorten the delay: `aws elbv2 modify-target-group-attributes --target-group-arn arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/web/73e2d6bc24d8a067 --attributes Key=deregistration_delay.timeout_seconds,Value=30`
        ");
        insta::assert_snapshot!(told(|_, observed| {
            live(observed).definition["containerDefinitions"][0]["stopTimeout"] = json!(10);
        }), @"
        plan::killed_while_serving: container web of web is killed 10 s after SIGTERM, and requests may run for 300 s: a task that is not stopped by a rollout (a Spot interruption, a lost host) cuts them off
          raise `stopTimeout` of the container to 120, or shorten the deregistration delay
        ");
        insta::assert_snapshot!(told(|_, observed| live(observed).definition["status"] = json!("INACTIVE")), @"
        plan::no_way_back: a rollout that fails cannot be taken back: web:41, which web runs, is INACTIVE
          roll out once with `task_definition` of [services.web] as it is: the new revision is ACTIVE, and the next rollout can be taken back to it
        ");
    }

    #[test]
    fn one_task_of_one_may_not_be_stopped_first() {
        // 1 % of 1 rounds up to 1.
        assert_eq!(
            told(|_, observed| {
                live(observed).desired_count = 1;
                live(observed).minimum_healthy_percent = 1;
            }),
            ""
        );
    }
}
