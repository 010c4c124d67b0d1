//! Deployments that shift traffic (blue/green, linear, canary), and the ways back that all deployments have.
//!
//! | stage | what is done | it ends when |
//! |---|---|---|
//! | `RECONCILE_SERVICE` | only where an earlier attempt still has tasks: the revision in service gets all of its own again, and the others are stopped | they are gone |
//! | `PRE_SCALE_UP` | production and test rules forward to the revision in service | at once |
//! | `SCALE_UP` | all tasks of the new revision are started, behind the other target group | they are healthy |
//! | `POST_SCALE_UP` | | a task is still healthy |
//! | `TEST_TRAFFIC_SHIFT` | the test rules forward to the new revision | at once |
//! | `POST_TEST_TRAFFIC_SHIFT` | | at once |
//! | `PRODUCTION_TRAFFIC_SHIFT` | the production rules too: at once, in steps, or a part and then the rest, each only while a task is healthy | all is shifted |
//! | `POST_PRODUCTION_TRAFFIC_SHIFT` | | at once |
//! | `BAKE_TIME` | both run | `bakeTimeInMinutes` are over |
//! | `CLEAN_UP` | the old revision is drained and stopped | it is gone |
//!
//! A `PAUSE` hook holds a stage back until somebody answers, or for as long as it is to wait. "At once" is the
//! scheduler's next look. (Tested by `strategies`.)

use super::super::super::elb::Weighted;
use super::super::alarms::OnAlarm;
use super::super::course::{self, Course, DeploymentStrategy, Held, Hook, HookStatus, Stage};
use super::super::deployment::{RecordStatus, Role, Rollback, Rollout};
use super::super::task::Task;
use super::Step;

/// "A stage may take 24 hours."
const LONGEST_STAGE: u64 = 24 * 60 * 60;

/// Why a deployment is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Because {
    Breaker,
    Asked,
    Alarm(Vec<String>),
    Hook,
    /// A stage took too long.
    Overdue(Stage),
    /// Traffic could not be shifted.
    Rule(String),
}

impl Because {
    fn words(&self, what: &str) -> String {
        match self {
            Self::Breaker => format!("Service deployment {what} because the circuit breaker threshold was exceeded."),
            Self::Asked => format!("Service deployment {what} because of a request to stop it."),
            Self::Alarm(names) => {
                format!("Service deployment {what} because of CloudWatch alarms: {}.", names.join(", "))
            }
            Self::Hook => format!("Service deployment {what} because a lifecycle hook asked for it."),
            Self::Overdue(stage) => {
                format!("Service deployment {what} because the stage {} took more than 24 hours.", stage.word())
            }
            Self::Rule(why) => format!("Service deployment {what} because traffic could not be shifted: {why}"),
        }
    }
}

/// Which rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Traffic {
    Production,
    Test,
}

impl Step<'_, '_> {
    // ── alarms ─────────────────────────────────────────────────────────────────

    pub(super) fn hear_alarms(&mut self) {
        let (now, alarms) = (self.scene.now, self.scene.alarms);
        let Some(record) = self.service.underway().filter(|record| record.progress == RecordStatus::InProgress) else {
            return;
        };
        if record.course.stage == Stage::CleanUp {
            return;
        }
        let Some(watch) = record.watch.as_mut() else { return };
        if !watch.look(alarms) {
            return;
        }
        let (then, because) = (watch.then, Because::Alarm(watch.triggered.clone()));
        let Some(primary) = self.service.deployments.first_mut() else { return };
        primary.rollout = Rollout::Failed;
        "ECS deployment failed: alarm detected.".clone_into(&mut primary.reason);
        primary.updated_at = now;
        let id = primary.id();
        self.say(&format!("(deployment {id}) deployment failed: alarm detected."));
        match then {
            OnAlarm::RollBack => self.roll_back_or_stall(&because),
            OnAlarm::Fail => self.stall(&because),
        }
    }

    // ── ways back ──────────────────────────────────────────────────────────────

    /// "During a rollback there is no COMPLETED deployment, so a second failure stalls too."
    pub(super) fn roll_back_or_stall(&mut self, because: &Because) {
        let rolling_back =
            self.service.underway().is_some_and(|record| record.progress == RecordStatus::RollbackInProgress);
        if !rolling_back && self.service.way_back().is_some() {
            self.roll_back(because);
        } else {
            self.stall(because);
        }
    }

    /// The deployment stays where it is, and starts nothing more.
    pub(super) fn stall(&mut self, because: &Because) {
        let now = self.scene.now;
        let Some(record) = self.service.underway() else { return };
        let end = match record.progress {
            RecordStatus::RollbackInProgress => RecordStatus::RollbackFailed,
            _ => RecordStatus::Stopped,
        };
        record.stopped_at = Some(now);
        self.close(end, Some(&because.words("failed")));
    }

    /// Makes the latest completed deployment the primary one again.
    pub(super) fn roll_back(&mut self, because: &Because) {
        let now = self.scene.now;
        let Some(index) = self.service.way_back() else {
            self.close(RecordStatus::RollbackFailed, None);
            return;
        };
        let threshold = self.service.threshold();
        let mut back = self.service.deployments.remove(index);
        let shifts = self.service.underway().is_some_and(|record| record.shifts());
        for deployment in self.service.deployments.iter_mut().filter(|known| known.role == Role::Primary) {
            deployment.role = Role::Active;
            deployment.set_aside = shifts;
            if deployment.rollout != Rollout::Failed {
                deployment.rollout = Rollout::Failed;
                deployment.reason = format!("ECS deployment {} stopped: rollback was requested.", deployment.id());
            }
            deployment.updated_at = now;
        }
        back.role = Role::Primary;
        back.rollout = Rollout::InProgress;
        back.reason = match because {
            Because::Breaker => format!("ECS deployment circuit breaker: rolling back to deploymentId {}.", back.id()),
            Because::Asked | Because::Alarm(_) | Because::Hook | Because::Overdue(_) | Because::Rule(_) => {
                format!("ECS deployment {} in progress.", back.id())
            }
        };
        back.failed = 0;
        back.stuck = false;
        back.updated_at = now;
        let (id, number) = (back.id(), back.number.clone());
        let left = self.service.deployments.first().map_or(0, |deployment| deployment.failed);
        self.service.deployments.insert(0, back);
        self.service.start_failures = 0;
        self.service.no_start_before = 0;
        self.service.steady = false;
        let reason = because.words("rolled back");
        let mut shifted = false;
        if let Some(record) = self.service.underway() {
            record.progress = RecordStatus::RollbackInProgress;
            record.reason = Some(reason.clone());
            record.rollback = Some(Rollback { reason, started_at: now, to: number });
            record.tally.get_or_insert((left, threshold));
            record.updated_at = now;
            for hook in record.course.hooks.iter_mut().filter(|hook| hook.status == HookStatus::AwaitingAction) {
                hook.status = HookStatus::Failed;
            }
            shifted = record.shifts();
            if shifted {
                record.course.enter(Stage::CleanUp, now);
                (record.course.production, record.course.test) = (0.0, 0.0);
            }
        }
        if shifted {
            // To the primary, which is now the one that was in service: all of the traffic, at once.
            for traffic in [Traffic::Test, Traffic::Production] {
                // A rule that is gone carries no traffic that could be given back.
                let _gone = self.spread(traffic, 100.0);
            }
        }
        self.say(&format!("rolling back to deployment {id}."));
        self.count_wanted();
    }

    // ── stages ─────────────────────────────────────────────────────────────────

    /// Begins the course of a deployment that shifts traffic.
    pub(super) fn begin_course(&mut self) {
        let in_service = self.service.shifted_from().cloned();
        let earlier = self.tasks().any(|task| {
            task.is_kept() && !self.is_primary(task) && !in_service.as_ref().is_some_and(|known| known.owns(task))
        });
        // Without anything in service there is nothing to shift away from.
        let share = if in_service.is_some() { 0.0 } else { 100.0 };
        if let Some(record) = self.service.underway() {
            (record.course.production, record.course.test) = (share, share);
        }
        if earlier && let Some(serving) = in_service {
            let wanted = u32::try_from(self.service.wanted()).unwrap_or(u32::MAX);
            let known = self.service.deployments.iter_mut().find(|known| known.number == serving.number);
            if let Some(known) = known.filter(|known| known.kept != wanted && known.rollout != Rollout::Failed) {
                (known.kept, known.updated_at) = (wanted, self.scene.now);
            }
        }
        for traffic in [Traffic::Test, Traffic::Production] {
            // Told when it is to be shifted; here it is where it was.
            let _later = self.spread(traffic, share);
        }
        self.enter(if earlier { Stage::ReconcileService } else { Stage::PreScaleUp });
    }

    /// Moves a deployment that shifts traffic from stage to stage: at most one with every look.
    pub(super) fn shift(&mut self) {
        let (now, pace) = (self.scene.now, self.scene.pace);
        let Some(record) = self.service.underway() else { return };
        if record.progress != RecordStatus::InProgress || !record.shifts() || record.started_at == Some(now) {
            return;
        }
        let held = record.course.held(now);
        let Course { stage, since, .. } = record.course;
        let configuration = record.configuration.clone();
        match held {
            Held::Free => {}
            Held::Waiting => return,
            Held::Refused => return self.roll_back_or_stall(&Because::Hook),
        }
        if stage != Stage::BakeTime && stage != Stage::CleanUp && now >= since + pace.millis(LONGEST_STAGE) {
            return self.roll_back_or_stall(&Because::Overdue(stage));
        }
        let done = match stage {
            Stage::ReconcileService => self.is_reconciled(),
            Stage::ScaleUp => self.standing_by() >= self.service.wanted(),
            // Nothing is shifted to where nobody would answer.
            Stage::PostScaleUp => self.would_answer(),
            Stage::PreScaleUp
            | Stage::TestTrafficShift
            | Stage::PostTestTrafficShift
            | Stage::PostProductionTrafficShift => true,
            Stage::ProductionTrafficShift => match self.shift_production(DeploymentStrategy::of(&configuration)) {
                Ok(done) => done,
                Err(because) => return self.roll_back_or_stall(&because),
            },
            Stage::BakeTime => {
                now >= since + pace.millis(configuration["bakeTimeInMinutes"].as_u64().unwrap_or(0) * 60)
            }
            Stage::CleanUp => false,
        };
        if done {
            self.enter(stage.next());
        }
    }

    fn enter(&mut self, stage: Stage) {
        let now = self.scene.now;
        if let Some(record) = self.service.underway() {
            record.course.enter(stage, now);
            record.updated_at = now;
        }
        self.pause_at(stage.word());
        match stage {
            Stage::TestTrafficShift => {
                if let Some(record) = self.service.underway() {
                    record.course.test = 100.0;
                }
                if let Err(because) = self.spread(Traffic::Test, 100.0) {
                    self.roll_back_or_stall(&because);
                }
            }
            Stage::ScaleUp => self.count_wanted(),
            Stage::CleanUp => {
                for known in &mut self.service.deployments {
                    match known.role {
                        // It has all of the traffic: should it be overtaken now, it is the one to go back to.
                        Role::Primary => known.completed = true,
                        Role::Active => {
                            known.kept = 0;
                            known.updated_at = now;
                        }
                    }
                }
            }
            Stage::ReconcileService
            | Stage::PreScaleUp
            | Stage::PostScaleUp
            | Stage::PostTestTrafficShift
            | Stage::ProductionTrafficShift
            | Stage::PostProductionTrafficShift
            | Stage::BakeTime => {}
        }
    }

    /// Calls the hooks of a stage; says whether there are any.
    fn pause_at(&mut self, stage: &str) -> bool {
        let (now, pace) = (self.scene.now, self.scene.pace);
        let Some(record) = self.service.history.first_mut() else { return false };
        let called: Vec<Hook> = course::pauses_at(&record.configuration, stage)
            .map(|(minutes, otherwise)| Hook {
                id: self.scene.dice.uuid(),
                status: HookStatus::AwaitingAction,
                expires_at: now + pace.millis(minutes * 60),
                otherwise,
            })
            .collect();
        let any = !called.is_empty();
        record.course.hooks.extend(called);
        any
    }

    /// One step of the production traffic, if it is time for one; says whether all of it is shifted.
    fn shift_production(&mut self, strategy: DeploymentStrategy) -> Result<bool, Because> {
        let (now, pace) = (self.scene.now, self.scene.pace);
        let Some(record) = self.service.underway() else { return Ok(false) };
        let Course { production, shifted_at, asked, .. } = record.course;
        // A first deployment has had all from the beginning.
        if production >= 100.0 && (shifted_at.is_some() || record.sources.is_empty()) {
            return Ok(true);
        }
        if shifted_at.is_some_and(|at| now < at + pace.millis(strategy.wait_minutes() * 60)) {
            return Ok(false);
        }
        if !self.would_answer() {
            return Ok(false);
        }
        let Some(record) = self.service.underway() else { return Ok(false) };
        if !asked {
            record.course.asked = true;
            if self.pause_at(course::BEFORE_EVERY_SHIFT) {
                return Ok(false);
            }
        }
        let share = strategy.next_share(production);
        if let Some(record) = self.service.underway() {
            let course = &mut record.course;
            (course.production, course.shifted_at, course.asked) = (share, Some(now), false);
            record.updated_at = now;
        }
        self.spread(Traffic::Production, share)?;
        Ok(false)
    }

    /// Whether what earlier attempts have left is gone, and the revision in service is whole again.
    fn is_reconciled(&self) -> bool {
        let left = |wanted: fn(&Self, &Task) -> bool| self.tasks().any(|task| !task.is_over() && wanted(self, task));
        if left(Self::is_set_aside) {
            return false;
        }
        let Some(known) = self.service.shifted_from().filter(|known| known.rollout != Rollout::Failed) else {
            return true;
        };
        let others = self.tasks().any(|task| !task.is_over() && !self.is_primary(task) && !known.owns(task));
        !others && self.healthy_of(known) >= self.kept_in_service(known)
    }

    /// Healthy tasks of the new revision.
    fn standing_by(&self) -> usize {
        self.tasks().filter(|task| self.healthy.contains(&task.id) && self.is_primary(task)).count()
    }

    fn would_answer(&self) -> bool {
        self.standing_by() > 0 || self.service.wanted() == 0
    }

    /// Takes the traffic back from a revision that was overtaken midway by a deployment that shifts none itself.
    pub(super) fn return_traffic(&mut self) {
        let midway = self.service.shifting().is_some() || self.service.is_stalled_midway();
        if midway || !self.service.deployments.iter().any(|known| known.set_aside) {
            return;
        }
        // The primary stands where the one in service does.
        for traffic in [Traffic::Test, Traffic::Production] {
            // A rule that is gone carries no traffic that could be given back.
            let _gone = self.spread(traffic, 100.0);
        }
    }

    /// Gives the primary's target groups this share of the traffic, and the groups beside them the rest.
    fn spread(&mut self, traffic: Traffic, percent: f64) -> Result<(), Because> {
        let (now, pace) = (self.scene.now, self.scene.pace);
        let Some(revision) = self.primary().and_then(|primary| self.service.revisions.get(&primary.number)) else {
            return Ok(());
        };
        let (share, rest) = weights(percent);
        // The service's own, not the revision's: one of a time when nothing was shifted knows of no rules.
        for balancer in &self.service.load_balancers {
            let Some(advanced) = &balancer.advanced else { continue };
            let own = [balancer.group.as_str(), advanced.alternate.as_str()];
            let group = revision.groups().find(|group| own.contains(group)).unwrap_or(&balancer.group);
            let rule = match traffic {
                Traffic::Production => &advanced.production,
                Traffic::Test => match &advanced.test {
                    Some(rule) => rule,
                    None => continue,
                },
            };
            let mut groups = vec![
                Weighted { arn: balancer.other_than(group).to_owned(), weight: rest },
                Weighted { arn: group.to_owned(), weight: share },
            ];
            // In the order in which the service names them, whichever is in service.
            groups.sort_by_key(|weighted| weighted.arn != balancer.group);
            let forwarded = self.scene.elb.forward(pace, rule, groups, now);
            forwarded.map_err(|fault| Because::Rule(format!("{rule}: {}", fault.message)))?;
        }
        Ok(())
    }
}

/// Percent as the weights of a rule, which are whole and at most 999: `100`, `25`, or `0.5` as 5 to 995.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
fn weights(percent: f64) -> (u32, u32) {
    let tenths = (percent.clamp(0.0, 100.0) * 10.0).round() as u32;
    if tenths.is_multiple_of(10) { (tenths / 10, 100 - tenths / 10) } else { (tenths, 1000 - tenths) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn percents_are_weights() {
        for (percent, expected) in
            [(0.0, (0, 100)), (100.0, (100, 0)), (25.0, (25, 75)), (0.5, (5, 995)), (99.9, (999, 1)), (7.0, (7, 93))]
        {
            assert_eq!(super::weights(percent), expected, "{percent}");
        }
    }
}
