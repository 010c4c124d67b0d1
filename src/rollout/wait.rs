//! What ECS waits for on purpose: a bake time, the pause after a step of traffic, a hook, a person. None of it is
//! a lack of progress, and none of it may go on without being seen.

use super::{
    budget::{Bake, Clock},
    goal::WatchBudget,
    view::{HookView, ServiceDeploymentView, ShiftView},
};
use crate::event::{Hook, Shift};

#[derive(Debug, Clone, Default)]
pub(super) struct Wait {
    arn: String,
    stage: Option<String>,
    baking_since_ms: Option<u64>,
    bake_ms: u64,
    shift: Option<ShiftView>,
    hook: Option<HookView>,
}

/// What must change for a waiting rollout to count as moving: traffic and hooks.
pub(super) type Fingerprint = (Option<u32>, Option<u32>, Option<(String, String)>);

/// A hook that AWS lets wait for up to two weeks must not keep a job that long; a day is what a stage may take.
const LONGEST_SHIFT_MS: u64 = 24 * 3_600_000;

impl Wait {
    pub(super) fn hear(&mut self, seen: &ServiceDeploymentView, now_ms: u64) {
        self.arn.clone_from(&seen.arn);
        self.stage.clone_from(&seen.stage);
        if seen.stage.as_deref() == Some("BAKE_TIME") {
            self.baking_since_ms.get_or_insert(now_ms);
        }
        self.bake_ms = seen.bake_ms;
        if seen.shift.is_some() {
            self.shift.clone_from(&seen.shift);
        }
        // `AWAITING_ACTION` is a PAUSE hook's own word. A word newer than this program is not taken for it.
        self.hook = seen.hooks.iter().find(|hook| hook.status == "AWAITING_ACTION").cloned();
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let (production, test) =
            self.shift.as_ref().map_or((None, None), |shift| (shift.production_permille, shift.test_permille));
        (production, test, self.hook.as_ref().map(|hook| (hook.id.clone(), hook.status.clone())))
    }

    pub(super) const fn bake(&self) -> Bake {
        if self.baking_since_ms.is_some() { Bake::Seen } else { Bake::None }
    }

    /// Whether production traffic goes to the new revision alone, or nothing is known of any shift.
    pub(super) fn has_all_traffic(&self) -> bool {
        self.shift.as_ref().and_then(|shift| shift.production_permille).is_none_or(|permille| permille >= 1000)
    }

    /// The budget with what ECS was told to wait for on top: a pause after a step is longer than the usual patience,
    /// and a linear shift of ten steps longer than the usual total. What a person takes is on the person's account
    /// as far as progress goes; the total counts it.
    pub(super) fn stretched(&self, budget: WatchBudget) -> WatchBudget {
        let (step_ms, steps) = self.shift.as_ref().map_or((0, 0), |shift| (shift.step_bake_ms, u64::from(shift.steps)));
        let all_steps_ms = step_ms.saturating_mul(steps).saturating_add(self.bake_ms).min(LONGEST_SHIFT_MS);
        let one_step_ms = step_ms.max(self.bake_ms).min(LONGEST_SHIFT_MS);
        let patience_ms = budget.no_progress_ms.saturating_add(one_step_ms);
        let total_ms = budget.total_ms.saturating_add(all_steps_ms);
        WatchBudget {
            no_progress_ms: if self.hook.is_some() { total_ms } else { patience_ms },
            total_ms,
            drain_ms: budget.drain_ms.saturating_add(self.bake_ms.min(LONGEST_SHIFT_MS)),
            ..budget
        }
    }

    /// Which clock it is that ran out.
    pub(super) const fn clock(&self, clock: Clock) -> Clock {
        if self.hook.is_some() { Clock::Somebody } else { clock }
    }

    pub(super) fn shift(&self, now_ms: u64) -> Option<Shift> {
        let left = self
            .baking_since_ms
            .filter(|_| self.stage.as_deref() == Some("BAKE_TIME"))
            .map(|since| since.saturating_add(self.bake_ms).saturating_sub(now_ms));
        let stage = self.stage.clone();
        match &self.shift {
            Some(ShiftView { strategy, production_permille, test_permille, step_bake_ms: _, steps: _ }) => {
                Some(Shift {
                    strategy: strategy.clone(),
                    stage,
                    production_permille: *production_permille,
                    test_permille: *test_permille,
                    bake_left_ms: left,
                })
            }
            // A rolling update bakes too, where it has alarms.
            None if left.is_some() => Some(Shift {
                strategy: "ROLLING".to_owned(),
                stage,
                production_permille: None,
                test_permille: None,
                bake_left_ms: left,
            }),
            None => None,
        }
    }

    pub(super) fn hook(&self) -> Option<Hook> {
        let HookView { id, kind: _, status: _, expires_ms, timeout_action } = self.hook.as_ref()?;
        Some(Hook {
            id: id.clone(),
            stage: self.stage.clone(),
            expires_ms: *expires_ms,
            timeout_action: timeout_action.clone(),
            command: format!(
                "aws ecs continue-service-deployment --service-deployment-arn {} --hook-id {id} --action CONTINUE",
                self.arn
            ),
        })
    }
}
