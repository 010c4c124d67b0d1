//! `tasks`: the tasks of a service, running and stopped within the hour that ECS remembers.

use serde_json::{Value, json};

use super::{
    Door, args,
    prepare::{self, Sleeping},
    show,
    table::{self, Cell, Column, age, or_dash},
};
use crate::{
    aws::{Aws, ecs, elb},
    exit::Exit,
    failure::Failure,
    id::Key,
    observe::services,
    plan::{observed::ServiceActive, pick_up},
    report::{style::Meaning, words},
    rollout::{
        reason,
        view::{TargetView, TaskView},
    },
};

/// A task with what its targets say.
struct Row {
    service: Key,
    task: TaskView,
    targets: Vec<TargetView>,
}

pub async fn run(args: &args::Tasks, door: &Door) -> Result<Exit, Failure> {
    let understood = prepare::understand(&args.selection, door).await?;
    let spec = &understood.spec;
    let place = prepare::connect(spec, door, Sleeping::Refuse).await?;
    let known = services::observed(spec, &place.aws).await?;
    let (mut rows, mut refusals) = (Vec::new(), Vec::new());
    for (key, service) in &spec.services {
        match pick_up::live(key, service, known.get(key), place.aws.region()) {
            Ok(live) => rows.extend(tasks(&place.aws, key, service, live).await?),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if !refusals.is_empty() {
        return Err(Failure::Refused(refusals));
    }
    let now_ms = show::now_ms();
    table::print(args.format, COLUMNS, &rows, |row| cells(row, now_ms), as_json, door)?;
    Ok(Exit::Done)
}

/// Running ones first, then the stopped, each newest first.
async fn tasks(
    aws: &Aws,
    key: &Key,
    service: &crate::config::spec::Service,
    live: &ServiceActive,
) -> Result<Vec<Row>, Failure> {
    let ports: Vec<u32> = live.target_groups.iter().map(|group| group.container_port).collect();
    let mut tasks = ecs::view_tasks(aws, &service.cluster, &service.service, &ports).await?;
    tasks.sort_by_key(|task| (is_stopped(task), std::cmp::Reverse(task.created_ms)));
    let mut targets = Vec::new();
    for group in &live.target_groups {
        // An extra: a missing permission must not hide the tasks.
        targets.extend(elb::target_health(aws, &group.arn).await.unwrap_or_default());
    }
    let of = |task: &TaskView| {
        targets.iter().filter(|target| task.addresses.contains(&target.address)).cloned().collect::<Vec<_>>()
    };
    let rows = tasks.into_iter().map(|task| Row { service: key.clone(), targets: of(&task), task });
    Ok(rows.collect())
}

fn is_stopped(task: &TaskView) -> bool {
    matches!(task.last_status.as_str(), "STOPPED" | "DELETED")
}

/// `running`, `running, unhealthy`, `stopping`.
fn state(task: &TaskView) -> String {
    let state = match (task.last_status.as_str(), task.desired_status.as_str()) {
        ("RUNNING", "STOPPED") => "chosen to stop".to_owned(),
        (status, _) => status.to_lowercase(),
    };
    match task.health.as_deref() {
        Some(health @ ("HEALTHY" | "UNHEALTHY")) if !is_stopped(task) => format!("{state}, {}", health.to_lowercase()),
        Some(_) | None => state,
    }
}

fn meaning(task: &TaskView) -> Meaning {
    match (task.last_status.as_str(), task.health.as_deref()) {
        ("RUNNING", Some("UNHEALTHY")) => Meaning::Bad,
        ("RUNNING", _) if task.desired_status == "RUNNING" => Meaning::Good,
        ("STOPPED" | "DELETED", _) => Meaning::Aside,
        _ => Meaning::Active,
    }
}

fn target(targets: &[TargetView]) -> String {
    let said = |target: &TargetView| match &target.reason {
        Some(reason) => format!("{} ({reason})", target.state),
        None => target.state.clone(),
    };
    targets.iter().map(said).collect::<Vec<_>>().join(", ")
}

fn why(task: &TaskView) -> Option<String> {
    is_stopped(task).then(|| words::brief(&words::clean(&reason::explain(task))))
}

/// `1`, or with their names where there are several.
fn exit_codes(task: &TaskView) -> String {
    let ended: Vec<_> =
        task.containers.iter().filter_map(|container| Some((&container.name, container.exit_code?))).collect();
    match (ended.as_slice(), task.containers.len()) {
        ([(_, code)], 1) => code.to_string(),
        _ => ended.iter().map(|(name, code)| format!("{name}={code}")).collect::<Vec<_>>().join(" "),
    }
}

const COLUMNS: [Column; 8] = [
    Column::with_room("SERVICE", 1),
    Column::always("TASK"),
    Column::always("REVISION"),
    Column::always("STATE"),
    Column::with_room("TARGET", 4),
    Column::with_room("SINCE", 3),
    Column::with_room("EXIT", 2),
    Column::always("WHY"),
];

fn cells(row: &Row, now_ms: u64) -> [Cell; 8] {
    let Row { service, task, targets } = row;
    let since = if is_stopped(task) { task.stopped_ms } else { task.started_ms.or(task.created_ms) };
    [
        service.to_string().into(),
        task.id.get(..8).unwrap_or(&task.id).to_owned().into(),
        task.task_definition.to_string().into(),
        Cell::painted(state(task), meaning(task)),
        or_dash(Some(target(targets))).into(),
        or_dash(since.map(|since| age(since, now_ms))).into(),
        or_dash(Some(exit_codes(task))).into(),
        why(task).unwrap_or_default().into(),
    ]
}

fn as_json(row: &Row) -> Value {
    let Row { service, task, targets } = row;
    let containers: Vec<Value> = task
        .containers
        .iter()
        .map(|container| {
            json!({
                "name": container.name, "status": container.last_status, "health": container.health,
                "exit_code": container.exit_code, "reason": container.reason,
            })
        })
        .collect();
    let targets: Vec<Value> = targets
        .iter()
        .map(|target| {
            json!({
                "address": target.address, "state": target.state, "reason": target.reason,
                "description": target.description,
            })
        })
        .collect();
    json!({
        "service": service, "task": task.id, "revision": task.task_definition.to_string(),
        "status": task.last_status, "desired_status": task.desired_status, "health": task.health,
        "created_ms": task.created_ms, "started_ms": task.started_ms, "stopped_ms": task.stopped_ms,
        "stop_code": task.stop_code, "stopped_reason": task.stopped_reason, "why": why(task),
        "containers": containers, "targets": targets,
    })
}

#[cfg(test)]
mod tests {
    use super::{exit_codes, state};
    use crate::{
        id::TaskDefArn,
        rollout::view::{ContainerView, TaskView},
    };

    fn task(last: &str, desired: &str, health: Option<&str>, codes: &[(&str, Option<i64>)]) -> TaskView {
        TaskView {
            id: "0c3b1c5e0d9b4f0f8a7d6e5c4b3a2f1e".to_owned(),
            task_definition: TaskDefArn::new("web:1"),
            started_by: None,
            last_status: last.to_owned(),
            desired_status: desired.to_owned(),
            health: health.map(str::to_owned),
            stop_code: None,
            stopped_reason: None,
            created_ms: None,
            started_ms: None,
            stopping_ms: None,
            stopped_ms: None,
            containers: codes
                .iter()
                .map(|(name, exit_code)| ContainerView {
                    name: (*name).to_owned(),
                    last_status: last.to_owned(),
                    exit_code: *exit_code,
                    reason: None,
                    health: None,
                })
                .collect(),
            addresses: Vec::new(),
        }
    }

    #[test]
    fn a_state_is_ecss_word_with_the_health_it_knows() {
        assert_eq!(state(&task("RUNNING", "RUNNING", Some("UNKNOWN"), &[])), "running");
        assert_eq!(state(&task("RUNNING", "RUNNING", Some("UNHEALTHY"), &[])), "running, unhealthy");
        assert_eq!(state(&task("RUNNING", "STOPPED", None, &[])), "chosen to stop");
        assert_eq!(state(&task("STOPPED", "STOPPED", Some("HEALTHY"), &[])), "stopped");
    }

    #[test]
    fn exit_codes_have_names_where_there_are_several_containers() {
        assert_eq!(exit_codes(&task("STOPPED", "STOPPED", None, &[("app", Some(1))])), "1");
        let several = task("STOPPED", "STOPPED", None, &[("app", Some(137)), ("proxy", Some(0)), ("log", None)]);
        assert_eq!(exit_codes(&several), "app=137 proxy=0");
        assert_eq!(exit_codes(&task("RUNNING", "RUNNING", None, &[("app", None)])), "");
    }
}
