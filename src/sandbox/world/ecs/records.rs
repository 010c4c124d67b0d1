//! The calls about service deployments and service revisions.

use serde_json::{Value, json};

use super::super::{Fault, Millis, Place};
use super::course::{Answer, HookStatus};
use super::deployment::RecordStatus;
use super::input::{invalid, page, short, strings, text};
use super::{Ecs, unsupported};

/// `arn:…:service-deployment/CLUSTER/SERVICE/ID` or `…:service-revision/…`.
fn parts_of(arn: &str) -> Option<(&str, &str, &str)> {
    let mut parts = arn.split('/').skip(1);
    let found = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(found)
}

pub(super) fn list_all(ecs: &Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    let (_, cluster) = ecs.cluster(input)?;
    let name = text(input, "service").ok_or_else(|| invalid("Service cannot be empty."))?;
    let service = cluster
        .services
        .get(short(name))
        .ok_or_else(|| Fault::new("ServiceNotFoundException", "Service not found."))?;
    let statuses = strings(input, "status");
    let bound = |member: &str| input["createdAt"].get(member).and_then(Value::as_f64);
    let (after, before) = (bound("after"), bound("before"));
    let found = service
        .history
        .iter()
        .filter(|record| statuses.is_empty() || statuses.contains(&record.progress.word()))
        .filter(|record| {
            let at = std::time::Duration::from_millis(record.created_at).as_secs_f64();
            after.is_none_or(|after| at >= after) && before.is_none_or(|before| at <= before)
        })
        .map(|record| record.brief(service, place))
        .collect();
    page(input, found, 20, "serviceDeployments")
}

pub(super) fn describe(ecs: &Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    let arns = strings(input, "serviceDeploymentArns");
    if arns.is_empty() {
        return Err(invalid("Service Deployment ARNs cannot be empty."));
    }
    if arns.len() > 20 {
        return Err(invalid("Service Deployment ARN count cannot exceed 20"));
    }
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in arns {
        let shown = parts_of(arn).and_then(|(cluster, service, id)| {
            let service = ecs.clusters.get(cluster)?.services.get(service)?;
            let record = service.history.iter().find(|record| record.id == id)?;
            Some(record.describe(service, place, &ecs.tasks_of(service)))
        });
        match shown {
            Some(shown) => found.push(shown),
            None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
        }
    }
    Ok(json!({ "serviceDeployments": found, "failures": failures }))
}

pub(super) fn describe_revisions(ecs: &Ecs, place: &Place, input: &Value) -> Result<Value, Fault> {
    let arns = strings(input, "serviceRevisionArns");
    if arns.is_empty() {
        return Err(invalid("Service Revision ARNs cannot be empty."));
    }
    if arns.len() > 20 {
        return Err(invalid("Service Revision ARN count cannot exceed 20"));
    }
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in arns {
        let shown = parts_of(arn).and_then(|(cluster, service, number)| {
            let service = ecs.clusters.get(cluster)?.services.get(service)?;
            let revision = service.revisions.get(number)?;
            let images: Vec<(String, String)> = ecs
                .definitions
                .find(&revision.definition)?
                .containers()
                .iter()
                .filter_map(|container| {
                    Some((text(container, "name")?.to_owned(), text(container, "image")?.to_owned()))
                })
                .collect();
            Some(revision.describe(service, place, number, &images))
        });
        match shown {
            Some(shown) => found.push(shown),
            None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
        }
    }
    Ok(json!({ "serviceRevisions": found, "failures": failures }))
}

pub(super) fn stop(ecs: &mut Ecs, input: &Value, now: Millis) -> Result<Value, Fault> {
    let arn = text(input, "serviceDeploymentArn").ok_or_else(|| invalid("Service Deployment ARN cannot be empty."))?;
    match text(input, "stopType") {
        None | Some("ROLLBACK") => {}
        Some(other) => return Err(unsupported(&format!("The sandbox does not emulate the stop type {other}."))),
    }
    let not_found = || Fault::new("ServiceDeploymentNotFoundException", "Service deployment not found.");
    let (cluster, name, id) = parts_of(arn).ok_or_else(not_found)?;
    let service = ecs.clusters.get_mut(cluster).and_then(|known| known.services.get_mut(name)).ok_or_else(not_found)?;
    let way_back = service.way_back().is_some();
    let record = service.history.iter_mut().find(|record| record.id == id).ok_or_else(not_found)?;
    let conflict = |why: &str| Err(Fault::new("ConflictException", why));
    match record.progress {
        // The revision to go back to is being stopped already.
        RecordStatus::InProgress if record.is_cleaning_up() => {
            return conflict("Service deployment in lifecycle stage CLEAN_UP cannot be stopped.");
        }
        RecordStatus::Pending | RecordStatus::InProgress if way_back => {
            record.progress = RecordStatus::RollbackRequested;
            record.updated_at = now;
        }
        RecordStatus::Pending | RecordStatus::InProgress => {
            return conflict("There is no completed service deployment to roll back to.");
        }
        // Already on its way out: asked for once more, it changes nothing.
        RecordStatus::StopRequested | RecordStatus::RollbackRequested | RecordStatus::RollbackInProgress => {}
        RecordStatus::Successful
        | RecordStatus::Stopped
        | RecordStatus::RollbackSuccessful
        | RecordStatus::RollbackFailed => {
            return conflict(&format!("Service deployment in status {} cannot be stopped.", record.progress.word()));
        }
    }
    Ok(json!({ "serviceDeploymentArn": arn }))
}

/// `ContinueServiceDeployment`: answers a hook that waits.
pub(super) fn go_on(ecs: &mut Ecs, input: &Value, now: Millis) -> Result<Value, Fault> {
    let arn = text(input, "serviceDeploymentArn").ok_or_else(|| invalid("Service Deployment ARN cannot be empty."))?;
    let id = text(input, "hookId").ok_or_else(|| invalid("Hook ID cannot be empty."))?;
    let answer = text(input, "action").map_or(Ok(Answer::Continue), Answer::parse)?;
    let not_found = || Fault::new("ServiceDeploymentNotFoundException", "Service deployment not found.");
    let (cluster, name, record) = parts_of(arn).ok_or_else(not_found)?;
    let service = ecs.clusters.get_mut(cluster).and_then(|known| known.services.get_mut(name)).ok_or_else(not_found)?;
    let record = service.history.iter_mut().find(|known| known.id == record).ok_or_else(not_found)?;
    let hook = record
        .course
        .hooks
        .iter_mut()
        .find(|hook| hook.id == id)
        .ok_or_else(|| invalid(format!("The hook {id} does not exist in the service deployment.")))?;
    if hook.status != HookStatus::AwaitingAction || hook.expires_at <= now {
        let word = hook.status.word();
        return Err(Fault::new(
            "ConflictException",
            format!("The hook {id} is in status {word} and awaits no action."),
        ));
    }
    hook.status = match answer {
        Answer::Continue => HookStatus::Succeeded,
        Answer::Rollback => HookStatus::Failed,
    };
    record.updated_at = now;
    Ok(json!({ "serviceDeploymentArn": arn }))
}
