//! A scenario in words: what a report says was done to the tasks, so that nobody takes it for what they did themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{
    Crash, Deploy, Fails, FaultKind, HealthAnswer, HealthStep, Obstacle, Of, OnStop, OutOfMemory, Scale, Scenario,
    TaskScript, Unplaced, WireFault,
};

impl Scenario {
    /// One line for each thing that happens. What the load is like is no such thing.
    #[must_use]
    pub fn acts(&self) -> Vec<String> {
        let tasks = self.tasks.iter().map(task);
        let (faults, scales, deploys) =
            (self.faults.iter().map(fault), self.scales.iter().map(scale), self.deploys.iter().map(deploy));
        tasks.chain(faults).chain(scales).chain(deploys).collect()
    }
}

impl Scenario {
    /// The services it names.
    #[must_use]
    pub fn services(&self) -> BTreeSet<&str> {
        let tasks = self.tasks.iter().filter_map(|script| script.service.as_deref());
        let scales = self.scales.iter().filter_map(|scale| scale.service.as_deref());
        let deploys = self.deploys.iter().filter_map(|deploy| deploy.service.as_deref());
        tasks.chain(scales).chain(deploys).collect()
    }
}

/// `1m30s`, `8s`, `500ms`: as a scenario writes it.
fn told(duration: Duration) -> String {
    let (minutes, seconds, ms) = (duration.as_secs() / 60, duration.as_secs() % 60, duration.subsec_millis());
    let part = |number: u64, unit: &str| if number > 0 { format!("{number}{unit}") } else { String::new() };
    let told = part(minutes, "m") + &part(seconds, "s") + &part(ms.into(), "ms");
    if told.is_empty() { "0s".to_owned() } else { told }
}

fn of(service: Option<&str>) -> String {
    service.map(|service| format!(" of {service}")).unwrap_or_default()
}

fn task(script: &TaskScript) -> String {
    let TaskScript { of: whose, service, first, pull, boot, health, crash, fails, unplaced, stop, spot_after } = script;
    let (one, many) = match whose {
        Of::Old => ("old task", "old tasks"),
        Of::New => ("new task", "new tasks"),
        Of::All => ("task", "all tasks"),
    };
    let whose = match first {
        None => many.to_owned(),
        Some(1) => format!("the first {one}"),
        Some(first) => format!("the first {first} {one}s"),
    };
    let mut phrases = Vec::new();
    phrases.extend(pull.map(|pull| format!("the image takes {} to come", told(pull))));
    phrases.extend(boot.map(|boot| format!("health checks fail for {} after the start", told(boot))));
    if !health.is_empty() {
        let steps: Vec<String> = health.iter().map(step).collect();
        phrases.push(format!("health checks: {}", steps.join(", then ")));
    }
    phrases.extend(crash.map(|Crash { after, exit_code, memory }| match memory {
        OutOfMemory::Yes => format!("killed for memory {} after the start (exit {exit_code})", told(after)),
        OutOfMemory::No => format!("ended {} after the start (exit {exit_code})", told(after)),
    }));
    phrases.extend(fails.map(|fails| {
        match fails {
            Fails::Image => "no start, the image is not found",
            Fails::Architecture => "no start, the image is for another processor",
            Fails::Secret => "no start, a secret is not found",
            Fails::LogGroup => "no start, the log group is not found",
        }
        .to_owned()
    }));
    phrases.extend(unplaced.map(|Unplaced { obstacle, lasts }| {
        let what = match obstacle {
            Obstacle::Capacity => "not placed, AWS has no capacity",
            Obstacle::Placement => "not placed, no container instance has room",
            Obstacle::Role => "not launched, ECS may not assume the role",
        };
        lasts.map_or_else(|| what.to_owned(), |lasts| format!("{what}, for {} from the deployment", told(lasts)))
    }));
    phrases.extend(stop.map(|stop| match stop {
        OnStop::After(late) => format!("SIGTERM comes {} late", told(late)),
        OnStop::Never => "SIGTERM is never noticed".to_owned(),
    }));
    phrases.extend(spot_after.map(|after| format!("Spot capacity lost {} after the start", told(after))));
    format!("{whose}{}: {}", of(service.as_deref()), phrases.join("; "))
}

fn step(step: &HealthStep) -> String {
    let answer = match step.answer {
        HealthAnswer::Status(status) => status.to_string(),
        HealthAnswer::Timeout => "no answer in time".to_owned(),
        HealthAnswer::Refused => "refused".to_owned(),
        HealthAnswer::Own => "what the program says".to_owned(),
    };
    step.lasts.map_or_else(|| answer.clone(), |lasts| format!("{answer} for {}", told(lasts)))
}

fn fault(fault: &WireFault) -> String {
    let WireFault { service, operation, kind, after, times } = fault;
    let who = match (service, operation) {
        (None, None) => "all calls".to_owned(),
        (Some(service), None) => format!("calls of {service}"),
        (None, Some(operation)) => operation.clone(),
        (Some(service), Some(operation)) => format!("{service} {operation}"),
    };
    let what = match kind {
        FaultKind::Throttle => "throttled".to_owned(),
        FaultKind::Error => "answered with a server error".to_owned(),
        FaultKind::Deny => "denied".to_owned(),
        FaultKind::Stall(lasts) => format!("answered {} late", told(*lasts)),
        FaultKind::Cut => "cut off".to_owned(),
    };
    let many = times.map_or("all".to_owned(), |times| times.to_string());
    let from = if *after > 0 { format!(", after {after} that go well") } else { String::new() };
    format!("{who}: {many} {what}{from}")
}

fn scale(scale: &Scale) -> String {
    let Scale { at, service, to } = scale;
    let whose = of(service.as_deref());
    format!("an autoscaler sets the desired count{whose} to {to}, {} after the rollout began", told(*at))
}

fn deploy(deploy: &Deploy) -> String {
    let Deploy { at, service } = deploy;
    let what = service.as_deref().unwrap_or("the service");
    format!("somebody else deploys {what}, {} after the rollout began", told(*at))
}
