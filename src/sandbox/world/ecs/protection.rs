//! Task protection: `UpdateTaskProtection` and `GetTaskProtection`. The scheduler honours it.

use serde_json::{Value, json};

use super::super::{Fault, Millis, Pace, Place};
use super::input::{count, flag, invalid, seconds, short, strings};
use super::{Ecs, Task};

/// "If you do not specify a value, the protection period is 2 hours": in minutes, as `expiresInMinutes` is.
const TWO_HOURS: u32 = 120;

/// "The minimum is 1 and the maximum is 2,880 (48 hours)."
const LONGEST: u32 = 2880;

#[expect(clippy::similar_names, reason = "the world's own names, of types that cannot be mixed up")]
pub(super) fn update(ecs: &mut Ecs, place: &Place, pace: Pace, input: &Value, now: Millis) -> Result<Value, Fault> {
    let protects = flag(input, "protectionEnabled").ok_or_else(|| invalid("protectionEnabled cannot be empty."))?;
    let minutes = count(input, "expiresInMinutes")?.unwrap_or(TWO_HOURS);
    if !(1..=LONGEST).contains(&minutes) {
        return Err(invalid("expiresInMinutes must be between 1 and 2880."));
    }
    let asked = strings(input, "tasks");
    if asked.is_empty() || asked.len() > 10 {
        return Err(invalid("Tasks must have between 1 and 10 elements."));
    }
    let until = protects.then(|| now + pace.millis(u64::from(minutes) * 60));
    each(ecs, place, input, now, &asked, |task| task.protected_until = until)
}

pub(super) fn get(ecs: &mut Ecs, place: &Place, input: &Value, now: Millis) -> Result<Value, Fault> {
    let asked = strings(input, "tasks");
    if asked.len() > 100 {
        return Err(invalid("Tasks cannot have more than 100 elements."));
    }
    if !asked.is_empty() {
        return each(ecs, place, input, now, &asked, |_| {});
    }
    // Without names: all tasks of services in the cluster.
    let cluster = ecs.cluster(input)?.0.to_owned();
    let all = ecs.tasks.values().filter(|task| task.cluster == cluster && task.service.is_some() && !task.is_over());
    let ids: Vec<String> = all.map(|task| task.id.clone()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    each(ecs, place, input, now, &ids, |_| {})
}

fn each(
    ecs: &mut Ecs,
    place: &Place,
    input: &Value,
    now: Millis,
    asked: &[&str],
    mut change: impl FnMut(&mut Task),
) -> Result<Value, Fault> {
    let cluster = ecs.cluster(input)?.0.to_owned();
    let (mut protected, mut failures) = (Vec::new(), Vec::new());
    for reference in asked {
        let arn = format!("arn:aws:ecs:{}:{}:task/{cluster}/{}", place.region, place.account, short(reference));
        let found = ecs.tasks.get_mut(short(reference)).filter(|task| task.cluster == cluster && !task.is_over());
        match found {
            None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
            // "Task protection is for tasks that run as part of an Amazon ECS service" only.
            Some(task) if task.service.is_none() => failures.push(json!({
                "arn": arn, "reason": "TASK_NOT_VALID", "detail": "The task is not part of a service."
            })),
            Some(task) => {
                change(task);
                let mut shown = json!({ "taskArn": arn, "protectionEnabled": task.is_protected(now) });
                if let Some(until) = task.protected_until.filter(|_| task.is_protected(now)) {
                    shown["expirationDate"] = seconds(until);
                }
                protected.push(shown);
            }
        }
    }
    Ok(json!({ "protectedTasks": protected, "failures": failures }))
}
