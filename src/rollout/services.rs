//! What `DescribeServices` said about our deployment, over all looks. Right after an update it still
//! answers from before it; a late answer may come after a newer one.

use std::collections::BTreeSet;

use super::view::{DeploymentView, ServiceView};

/// Where our deployment stood in one answer. Only ever goes forward.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// Ours is not listed, and what is PRIMARY ran before: an answer from before the update.
    Before,
    Primary,
    /// Another one is PRIMARY although ours was.
    Replaced,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Services {
    /// The newest answer that knew our deployment.
    view: Option<ServiceView>,
    view_ms: u64,
    /// The newest answer, whatever it knew.
    any: Option<ServiceView>,
    replaced: Option<DeploymentView>,
    /// Ids that were PRIMARY before ours, or ACTIVE beside it.
    older: BTreeSet<String>,
    /// Answers in a row that did not know ours, the time of the first and of the last.
    strangers: u32,
    strange_since_ms: Option<u64>,
    strange_until_ms: u64,
    stranger: Option<DeploymentView>,
    /// Answers in a row, after one that knew ours, by which the service is deleted.
    deleted: u32,
    completed: bool,
    failed_since_ms: Option<u64>,
    reason: Option<String>,
    rolling_back: bool,
}

/// Whether an answer told something about our deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Ours,
    Stale,
}

impl Services {
    pub(super) fn hear(&mut self, seen: &ServiceView, ours: &str, now_ms: u64) -> Heard {
        self.any = Some(seen.clone());
        let is_over = matches!(seen.status.as_str(), "DRAINING" | "INACTIVE");
        self.deleted = if is_over && self.view.is_some() { self.deleted.saturating_add(1) } else { 0 };
        let primary = seen.deployments.iter().find(|deployment| deployment.status == "PRIMARY");
        let own = seen.deployments.iter().find(|deployment| deployment.id == ours);
        let standing = match (primary, own) {
            (Some(primary), _) if primary.id == ours => Standing::Primary,
            // It was PRIMARY when it was made, so it has been replaced since.
            (Some(_), Some(_)) => Standing::Replaced,
            (Some(primary), None) if self.view.is_some() && !self.older.contains(&primary.id) => Standing::Replaced,
            // Of a service that is deleted none is PRIMARY: all of them were recorded as DRAINING.
            (None, Some(_)) if is_over => Standing::Primary,
            (Some(_) | None, _) => Standing::Before,
        };
        if let Some(own) = own {
            self.latch(own, now_ms);
        }
        match standing {
            Standing::Before => {
                if self.view.is_none() {
                    self.older.extend(primary.map(|primary| primary.id.clone()));
                }
                self.strangers = self.strangers.saturating_add(1);
                self.strange_since_ms.get_or_insert(now_ms);
                self.strange_until_ms = now_ms;
                self.stranger = primary.cloned();
                Heard::Stale
            }
            // Once replaced it stays so: an answer that says otherwise is an older one.
            Standing::Primary if self.replaced.is_some() => Heard::Stale,
            Standing::Primary | Standing::Replaced => {
                self.strangers = 0;
                self.strange_since_ms = None;
                if standing == Standing::Replaced {
                    self.replaced = primary.cloned();
                    // Only here: an answer from before the update may tell of an earlier rollback.
                    self.rolling_back |= primary.is_some_and(says_rollback);
                } else {
                    let others = seen.deployments.iter().filter(|deployment| deployment.id != ours);
                    self.older.extend(others.map(|deployment| deployment.id.clone()));
                }
                self.view = Some(seen.clone());
                self.view_ms = now_ms;
                Heard::Ours
            }
        }
    }

    fn latch(&mut self, own: &DeploymentView, now_ms: u64) {
        match own.rollout_state.as_deref() {
            Some("COMPLETED") => self.completed = true,
            Some("FAILED") => {
                self.failed_since_ms.get_or_insert(now_ms);
                self.reason = own.rollout_reason.clone().or(self.reason.take());
            }
            // `IN_PROGRESS`, none, or a word newer than this program: nothing final.
            Some(_) | None => {}
        }
    }

    pub(super) const fn view(&self) -> Option<&ServiceView> {
        self.view.as_ref()
    }

    pub(super) const fn any(&self) -> Option<&ServiceView> {
        self.any.as_ref()
    }

    /// When [`Services::view`] was answered.
    pub(super) const fn view_ms(&self) -> u64 {
        self.view_ms
    }

    /// The status of a service that is deleted. One that has replaced ours by then does not list it any more; such an answer
    /// may be one of before the service was made, so it takes two.
    pub(super) fn deleted(&self) -> Option<&str> {
        let by_view = self.view.as_ref().filter(|view| matches!(view.status.as_str(), "DRAINING" | "INACTIVE"));
        by_view.or(self.any.as_ref().filter(|_| self.deleted >= 2)).map(|view| view.status.as_str())
    }

    pub(super) fn own<'a>(&'a self, ours: &str) -> Option<&'a DeploymentView> {
        self.view.as_ref()?.deployments.iter().find(|deployment| deployment.id == ours)
    }

    /// All but ours.
    pub(super) fn others<'a>(&'a self, ours: &'a str) -> impl Iterator<Item = &'a DeploymentView> {
        self.view.iter().flat_map(|view| &view.deployments).filter(move |deployment| deployment.id != ours)
    }

    /// ECS's word that our rollout is complete; it is never taken back.
    pub(super) const fn completed(&self) -> bool {
        self.completed
    }

    pub(super) const fn failed_since_ms(&self) -> Option<u64> {
        self.failed_since_ms
    }

    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    pub(super) const fn rolling_back(&self) -> bool {
        self.rolling_back
    }

    /// What is PRIMARY in place of ours.
    pub(super) const fn replaced(&self) -> Option<&DeploymentView> {
        self.replaced.as_ref()
    }

    /// The PRIMARY of answers that do not know our deployment, how long they have said so without one
    /// that does in between, and how many they were. From answer to answer: silence says nothing.
    pub(super) fn stranger(&self) -> Option<(&DeploymentView, u64, u32)> {
        let for_ms = self.strange_until_ms.saturating_sub(self.strange_since_ms?);
        Some((self.stranger.as_ref()?, for_ms, self.strangers))
    }
}

/// `ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/N.`
pub(super) fn says_rollback(deployment: &DeploymentView) -> bool {
    deployment.rollout_reason.as_deref().is_some_and(|reason| reason.contains("rolling back"))
}
