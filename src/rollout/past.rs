//! What a service has been through: its deployments, newest first, and what each left running. From these
//! follows what goes on now, and what was really running before.

use super::goal::Started;
use crate::id::TaskDefArn;

/// A service deployment, as `DescribeServiceDeployments` and `DescribeServiceRevisions` tell it together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past {
    /// Its ARN.
    pub arn: String,
    /// `SUCCESSFUL`, `ROLLBACK_SUCCESSFUL`, `IN_PROGRESS`, or a word newer than this program.
    pub status: String,
    pub reason: Option<String>,
    pub created_ms: Option<u64>,
    pub finished_ms: Option<u64>,
    /// What it rolled out.
    pub target: Option<RevisionOfService>,
    /// What ran when it began.
    pub sources: Vec<RevisionOfService>,
    pub rollback_reason: Option<String>,
}

/// A service revision: the task definition and the images that ran under it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RevisionOfService {
    /// Its ARN; the last part is the number of the deployment, `ecs-svc/<number>`.
    pub arn: String,
    /// `None` where it could not be read, or is forgotten: ECS keeps revisions for 90 days.
    pub task_definition: Option<TaskDefArn>,
    /// Container, image and digest.
    pub images: Vec<ImageOfRevision>,
    /// How many tasks of it ran when the deployment began.
    pub running: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageOfRevision {
    pub container: String,
    pub image: String,
    pub digest: Option<String>,
}

/// Whether a deployment has ended, by its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Under way to what it rolls out.
    Going,
    /// Asked to be taken back, or being taken back.
    GoingBack,
    Ended,
}

impl Past {
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.status.as_str() {
            "PENDING" | "IN_PROGRESS" => Stage::Going,
            "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS" => Stage::GoingBack,
            // A newer deployment moves the one before to STOP_REQUESTED and STOPPED: that one is over.
            _ => Stage::Ended,
        }
    }

    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == "SUCCESSFUL"
    }

    /// `ecs-svc/7383640180127437285`: "the revision ARN's last segment is the numeric part of the deployment id".
    #[must_use]
    pub fn deployment_id(&self) -> Option<String> {
        let number = self.target.as_ref()?.arn.rsplit('/').next()?;
        (!number.is_empty()).then(|| format!("ecs-svc/{number}"))
    }

    /// What ran before it, the most of it where it was several.
    #[must_use]
    pub fn before(&self) -> Option<&RevisionOfService> {
        self.sources.iter().max_by_key(|source| source.running)
    }

    /// What a watch of it is pinned to; `None` when what it rolls out is not known.
    #[must_use]
    pub fn started(&self, desired: u32) -> Option<Started> {
        Some(Started {
            deployment_id: self.deployment_id()?,
            service_deployment: Some(self.arn.clone()),
            task_definition: self.target.as_ref()?.task_definition.clone()?,
            previous: self.before().and_then(|before| before.task_definition.clone()),
            desired,
        })
    }

    /// How it ended, or where it is, in a word or two.
    #[must_use]
    pub fn verdict(&self) -> String {
        match self.status.as_str() {
            "SUCCESSFUL" => "succeeded",
            "PENDING" | "IN_PROGRESS" => "going on",
            "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS" => "being rolled back",
            "ROLLBACK_SUCCESSFUL" => "rolled back",
            "ROLLBACK_FAILED" => "failed, and so did its rollback",
            // "A newer deployment moves the previous one to STOP_REQUESTED → STOPPED."
            "STOP_REQUESTED" | "STOPPED" => "superseded",
            // A word newer than this program is shown as it is.
            other => return other.to_owned(),
        }
        .to_owned()
    }

    /// Why it did not succeed, in ECS's words.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        if self.succeeded() {
            return None;
        }
        self.rollback_reason.as_deref().or(self.reason.as_deref())
    }

    /// From its beginning to its end.
    #[must_use]
    pub fn duration_ms(&self) -> Option<u64> {
        Some(self.finished_ms?.saturating_sub(self.created_ms?))
    }
}

/// The deployment that is going on, or being taken back.
#[must_use]
pub fn current(history: &[Past]) -> Option<&Past> {
    history.iter().find(|past| past.stage() != Stage::Ended)
}

/// What was really running before `now`: what the deployment that brought it had replaced, or, where that is not
/// known, what the last one before it brought. Deployments that did not succeed brought nothing.
///
/// Why not the revision before, by number? It may be one that failed and was taken back, one of another
/// service of the family, or one that nobody ever ran.
#[must_use]
pub fn before<'a>(history: &'a [Past], now: &TaskDefArn) -> Option<&'a RevisionOfService> {
    let brought: Vec<&Past> = history.iter().filter(|past| past.succeeded()).collect();
    let is_other = |revision: &&RevisionOfService| revision.task_definition.as_ref().is_some_and(|arn| arn != now);
    let was_brought = |revision: &RevisionOfService| {
        brought
            .iter()
            .any(|past| past.target.as_ref().is_some_and(|target| target.task_definition == revision.task_definition))
    };
    brought.iter().find_map(|past| {
        // A rollout that was replaced half-way is among what its successor replaced, but never was all there is.
        let sources = past.sources.iter().filter(is_other);
        sources
            .max_by_key(|source| (was_brought(source), source.running))
            .or_else(|| past.target.as_ref().filter(is_other))
    })
}

#[cfg(test)]
mod tests {
    use super::{Past, RevisionOfService, Stage, before, current};
    use crate::id::TaskDefArn;

    fn revision(short: &str, running: u32) -> RevisionOfService {
        let number = short.rsplit(':').next().expect("a revision");
        RevisionOfService {
            arn: format!("arn:aws:ecs:eu-west-1:111111111111:service-revision/shop/web/{number}"),
            task_definition: Some(TaskDefArn::new(short)),
            images: Vec::new(),
            running,
        }
    }

    fn past(status: &str, target: &str, sources: &[(&str, u32)]) -> Past {
        Past {
            status: status.to_owned(),
            target: Some(revision(target, 0)),
            sources: sources.iter().map(|(short, running)| revision(short, *running)).collect(),
            ..Past::default()
        }
    }

    fn told(history: &[Past], now: &str) -> Option<String> {
        before(history, &TaskDefArn::new(now)).map(|found| found.task_definition.as_ref().expect("known").to_string())
    }

    #[test]
    fn before_is_what_the_last_successful_deployment_replaced() {
        let first = past("SUCCESSFUL", "web:1", &[]);
        let second = past("SUCCESSFUL", "web:2", &[("web:1", 2)]);
        // 3 failed and was rolled back to 2: before 2 there was 1, and never 3.
        let failed = past("ROLLBACK_SUCCESSFUL", "web:3", &[("web:2", 2)]);
        assert_eq!(told(&[failed.clone(), second.clone(), first.clone()], "web:2"), Some("web:1".to_owned()));
        // Nothing was there before the first.
        assert_eq!(told(std::slice::from_ref(&first), "web:1"), None);
        assert_eq!(told(&[], "web:1"), None);
        // The same revision again (forceNewDeployment) is no step back.
        let forced = past("SUCCESSFUL", "web:2", &[("web:2", 2)]);
        assert_eq!(told(&[forced, second.clone(), first.clone()], "web:2"), Some("web:1".to_owned()));
        // After a rollback to 1, what ran before is 2.
        let back = past("SUCCESSFUL", "web:1", &[("web:2", 2)]);
        assert_eq!(told(&[back, second, first], "web:1"), Some("web:2".to_owned()));
    }

    #[test]
    fn a_rollout_that_was_replaced_half_way_is_not_what_ran_before() {
        let first = past("SUCCESSFUL", "web:1", &[]);
        let stopped = past("STOPPED", "web:2", &[("web:1", 2)]);
        let third = past("SUCCESSFUL", "web:3", &[("web:2", 3), ("web:1", 1)]);
        assert_eq!(told(&[third, stopped, first], "web:3"), Some("web:1".to_owned()));
        // Nothing better is known of it: then it is what was seen running.
        let third = past("SUCCESSFUL", "web:3", &[("web:2", 3)]);
        assert_eq!(told(&[third], "web:3"), Some("web:2".to_owned()));
    }

    #[test]
    fn without_sources_it_is_what_the_deployment_before_brought() {
        let history =
            [past("SUCCESSFUL", "web:3", &[]), past("STOPPED", "web:2", &[]), past("SUCCESSFUL", "web:1", &[])];
        assert_eq!(told(&history, "web:3"), Some("web:1".to_owned()));
    }

    #[test]
    fn what_goes_on_is_found_by_its_status_and_pinned_by_its_revision() {
        let going = past("IN_PROGRESS", "web:2", &[("web:1", 2)]);
        let done = past("SUCCESSFUL", "web:1", &[]);
        for (status, stage) in [
            ("PENDING", Stage::Going),
            ("IN_PROGRESS", Stage::Going),
            ("ROLLBACK_REQUESTED", Stage::GoingBack),
            ("ROLLBACK_IN_PROGRESS", Stage::GoingBack),
            ("STOP_REQUESTED", Stage::Ended),
            ("SUCCESSFUL", Stage::Ended),
            ("A_WORD_FROM_THE_FUTURE", Stage::Ended),
        ] {
            assert_eq!(past(status, "web:2", &[]).stage(), stage, "{status}");
        }
        assert_eq!(current(&[going.clone(), done.clone()]), Some(&going));
        assert_eq!(current(&[done]), None);
        let started = going.started(2).expect("all of it is known");
        assert_eq!(started.deployment_id, "ecs-svc/2");
        assert_eq!(started.previous, Some(TaskDefArn::new("web:1")));
    }
}
