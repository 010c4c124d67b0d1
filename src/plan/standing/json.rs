//! How a service stands, for programs. Members are added, never renamed or removed.

use serde_json::{Value, json};

use super::{Active, Changed, Deaths, Group, Rolling, Runs, Standing, Stands, State};
use crate::{
    plan::outlook,
    rollout::past::{Past, Stage},
};

/// The version of the JSON that `status --format json` prints.
pub(super) const SCHEMA: u32 = 1;

impl Standing {
    #[must_use]
    pub fn json(&self, environment: Option<&str>) -> Value {
        let Self { service, cluster, name, stands, gaps } = self;
        let mut value = json!({
            "schema": SCHEMA,
            "service": service, "environment": environment, "cluster": cluster, "name": name,
            "state": self.state_code(), "healthy": self.healthy(),
            "not_known": gaps.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        let members = match stands {
            Stands::Missing => json!({}),
            Stands::Gone { status } => json!({ "status": status }),
            Stands::Active(active) => of_active(active),
        };
        if let (Value::Object(all), Value::Object(members)) = (&mut value, members) {
            all.extend(members);
        }
        value
    }

    /// Whether all is well; `None` where nobody can say.
    #[must_use]
    pub fn healthy(&self) -> Option<bool> {
        match &self.stands {
            Stands::Missing | Stands::Gone { .. } => Some(false),
            Stands::Active(active) => active.state.is_healthy(),
        }
    }

    fn state_code(&self) -> &'static str {
        match &self.stands {
            Stands::Missing => "missing",
            Stands::Gone { .. } => "gone",
            Stands::Active(active) => match active.state {
                State::Healthy => "healthy",
                State::Running => "running",
                State::Short => "short_of_tasks",
                State::Unhealthy => "unhealthy",
                State::Registering => "registering",
                State::RollingOut => "rolling_out",
                State::Draining => "draining",
                State::GoingBack => "rolling_back",
                State::Failed => "last_rollout_failed",
                State::Empty => "no_task_wanted",
                State::OtherController(_) => "other_controller",
            },
        }
    }
}

fn of_active(active: &Active) -> Value {
    let Active { state, runs, desired, running, unhealthy_tasks, groups, rollout, last, deaths, changed, urls } =
        active;
    let Runs { container, revision, image, version: _, tag, digest, commit, by, since_ms } = runs;
    let controller = match state {
        State::OtherController(controller) => controller.as_str(),
        _ => "ECS",
    };
    json!({
        "revision": revision.to_string(), "task_definition": revision.as_str(),
        "image": { "container": container, "reference": image, "tag": tag, "digest": digest, "commit": commit },
        "by": by, "since_ms": since_ms, "controller": controller,
        "tasks": { "desired": desired, "running": running, "unhealthy": unhealthy_tasks },
        "target_groups": groups.as_ref().map(|groups| groups.iter().map(of_group).collect::<Vec<_>>()),
        "rollout": rollout.as_ref().map(of_rollout),
        "last": last.as_ref().map(of_past),
        "deaths": deaths.iter().map(|Deaths { count, why }| json!({ "count": count, "why": why })).collect::<Vec<_>>(),
        "drift": of_changed(changed),
        "urls": urls,
    })
}

fn of_group(group: &Group) -> Value {
    let Group { name, healthy, registered, draining, others } = group;
    let others: Vec<_> = others
        .iter()
        .map(|(state, reason, count)| json!({ "state": state, "reason": reason, "count": count }))
        .collect();
    json!({
        "target_group": name, "healthy": healthy, "registered": registered, "draining": draining, "not_healthy": others,
    })
}

fn of_rollout(rollout: &Rolling) -> Value {
    let Rolling { revision, previous, stage, started_ms, running, desired, lifecycle, breaker, old_running } = rollout;
    json!({
        "revision": revision.to_string(), "previous": previous.as_ref().map(ToString::to_string),
        "state": match stage {
            Stage::Going => "going",
            Stage::GoingBack => "going_back",
            Stage::Ended => "draining",
        },
        "started_ms": started_ms, "running": running, "desired": desired, "old_running": old_running,
        "lifecycle_stage": lifecycle,
        "breaker": breaker.as_ref().map(|breaker| json!({
            "status": breaker.status, "failures": breaker.failures, "threshold": breaker.threshold,
        })),
    })
}

fn of_past(past: &Past) -> Value {
    let revision = past.target.as_ref().and_then(|target| target.task_definition.as_ref());
    json!({
        "revision": revision.map(ToString::to_string), "status": past.status, "verdict": past.verdict(),
        "reason": past.why(), "created_ms": past.created_ms, "finished_ms": past.finished_ms,
        "duration_ms": past.duration_ms(),
    })
}

fn of_changed(changed: &Changed) -> Value {
    match changed {
        Changed::No => json!({ "state": "none" }),
        Changed::NotInContent { shipped } => json!({ "state": "none", "shipped": shipped.to_string() }),
        Changed::NotShipped => json!({ "state": "not_shipped" }),
        Changed::Drifted(drift) => json!({
            "state": "drifted", "shipped": drift.shipped.to_string(), "live": drift.live.to_string(),
            "fields": drift.changes.iter().map(outlook::difference_json).collect::<Vec<_>>(),
        }),
    }
}
