//! The rolling scheduler: what it does to one service on each of its looks.
//!
//! AWS's scheduler moves about every ten seconds (measured: 9.5–10.1 s between "has stopped" and
//! "deregistered" in six of six rollouts), so one look is one such step. Within a step the order is fixed:
//! earlier decisions are carried out first, then tasks are judged, started, and only then stopped — new before old.
//! A deployment that shifts traffic instead ([`shift`]) goes by the same steps, but for the percentages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::super::cloudwatch::Alarms;
use super::super::elb::{Elb, Target, TargetState};
use super::super::{Millis, Pace};
use super::Substance;
use super::alarms::Watch;
use super::course::Stage;
use super::definition::Definitions;
use super::deployment::{Deployment, RecordStatus, Role, Rollout, Tally};
use super::hindrance::{self, Hindrance, Obstacle};
use super::ids::Dice;
use super::service::{Bounds, Breaker, Service, Status};
use super::sight::Rolling;
use super::task::{Birth, ContainerHealth, Membership, Phase, Seat, Standing, Stop, StopCode, Task};

mod conclude;
mod shift;

use shift::Because;

/// "40 s after RUNNING": how a task without load balancer and without health check comes to count as healthy.
const SETTLING: u64 = 40;

/// "up to 27 min between tries" of tasks that never reach RUNNING.
const LONGEST_THROTTLE: u64 = 27 * 60;

/// All that a look at one service needs of the rest of the world.
pub(super) struct Scene<'a> {
    pub(super) pace: Pace,
    pub(super) now: Millis,
    pub(super) elb: &'a mut Elb,
    pub(super) alarms: &'a Alarms,
    pub(super) definitions: &'a Definitions,
    pub(super) tasks: &'a mut BTreeMap<String, Task>,
    pub(super) dice: &'a mut Dice,
    pub(super) substance: Substance,
    pub(super) hindrances: &'a mut [Hindrance],
}

/// How a running task stands at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Healthy,
    /// Not yet, or nobody can say.
    Waiting,
    Unhealthy {
        event: String,
        reason: String,
    },
}

/// One look at one service.
pub(super) fn look(service: &mut Service, scene: &mut Scene<'_>) {
    let ids: Vec<String> = scene
        .tasks
        .values()
        .filter(|task| task.cluster == service.cluster && task.service.as_deref() == Some(&service.name))
        .map(|task| task.id.clone())
        .collect();
    let mut step = Step { service, scene, ids, healthy: BTreeSet::new(), waiting: 0 };
    // What died until now died under the deployment that was the primary one: a rollback begins with none.
    step.count_failures();
    step.advance_records();
    step.return_traffic();
    step.deregister();
    step.register();
    step.judge();
    step.trip_breaker();
    step.hear_alarms();
    step.shift();
    let unmet = step.start();
    let stopped = step.stop(unmet);
    step.notice_deadlock(unmet, stopped);
    step.conclude();
}

struct Step<'a, 'b> {
    service: &'a mut Service,
    scene: &'a mut Scene<'b>,
    /// The service's tasks, ended ones included; the ones started in this step are added.
    ids: Vec<String>,
    /// Kept tasks that count as healthy.
    healthy: BTreeSet<String>,
    /// Running tasks that may still turn either way.
    waiting: usize,
}

impl Step<'_, '_> {
    fn say(&mut self, text: &str) {
        self.service.say(self.scene.dice, self.scene.now, text);
    }

    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.ids.iter().filter_map(|id| self.scene.tasks.get(id))
    }

    fn owned(&self, deployment: &Deployment) -> impl Iterator<Item = &Task> {
        self.tasks().filter(|task| deployment.owns(task))
    }

    fn ids_where(&self, mut wanted: impl FnMut(&Task) -> bool) -> Vec<String> {
        self.tasks().filter(|task| wanted(task)).map(|task| task.id.clone()).collect()
    }

    fn primary(&self) -> Option<&Deployment> {
        self.service.primary()
    }

    fn is_primary(&self, task: &Task) -> bool {
        self.primary().is_some_and(|primary| primary.owns(task))
    }

    // ── what was asked for since the last look ─────────────────────────────────

    fn advance_records(&mut self) {
        let now = self.scene.now;
        let counts = self.counts();
        let watched = Watch::begin(&self.service.configuration, self.scene.alarms);
        for record in &mut self.service.history {
            match record.progress {
                RecordStatus::StopRequested => {
                    record.stopped_at = Some(now);
                    record.counts = Some(counts.clone());
                    record.end(
                        RecordStatus::Stopped,
                        Some("Service deployment stopped because of a new service deployment."),
                        now,
                    );
                }
                RecordStatus::Pending => {
                    record.progress = RecordStatus::InProgress;
                    record.started_at = Some(now);
                    record.updated_at = now;
                    record.course.since = now;
                    record.watch.clone_from(&watched);
                }
                RecordStatus::InProgress
                | RecordStatus::Successful
                | RecordStatus::Stopped
                | RecordStatus::RollbackRequested
                | RecordStatus::RollbackInProgress
                | RecordStatus::RollbackSuccessful
                | RecordStatus::RollbackFailed => {}
            }
        }
        if self.service.history.first().is_some_and(|latest| latest.started_at == Some(now) && latest.shifts()) {
            self.begin_course();
        }
        if self.service.history.first().is_some_and(|latest| latest.progress == RecordStatus::RollbackRequested) {
            self.roll_back(&Because::Asked);
        }
        self.count_wanted();
    }

    /// Tells the primary deployment how many tasks it is to have.
    fn count_wanted(&mut self) {
        let wanted = u32::try_from(self.wanted_of_primary()).unwrap_or(u32::MAX);
        for deployment in &mut self.service.deployments {
            if deployment.role == Role::Primary && deployment.rollout != Rollout::Failed && deployment.kept != wanted {
                deployment.kept = wanted;
                deployment.updated_at = self.scene.now;
            }
        }
    }

    /// As many as the service is to have, but none before the stage at which they are started.
    fn wanted_of_primary(&self) -> usize {
        match self.service.shifting() {
            Some(course) if course.stage < Stage::ScaleUp => 0,
            Some(_) | None => self.service.wanted(),
        }
    }

    /// What every deployment has at this moment.
    fn counts(&self) -> BTreeMap<String, Tally> {
        let tasks: Vec<&Task> = self.tasks().collect();
        self.service.deployments.iter().map(|known| (known.number.clone(), known.tally(&tasks))).collect()
    }

    /// Ends the service deployment that is on its way.
    fn close(&mut self, progress: RecordStatus, reason: Option<&str>) {
        let (now, counts) = (self.scene.now, self.counts());
        if let Some(record) = self.service.underway() {
            record.counts = Some(counts);
            record.end(progress, reason, now);
        }
    }

    // ── targets ────────────────────────────────────────────────────────────────

    /// Takes leaving tasks out of their target groups, and signals those whose drain is over.
    fn deregister(&mut self) {
        let Scene { pace, now, elb, tasks, .. } = &mut *self.scene;
        let (mut left, mut draining) = (BTreeMap::<String, usize>::new(), 0_usize);
        for id in &self.ids {
            let Some(task) = tasks.get_mut(id).filter(|task| task.phase >= Phase::Deactivating) else { continue };
            let mut any = false;
            for seat in task.seats.iter_mut().filter(|seat| seat.membership == Membership::Registered) {
                // The only refusal is a target group that is gone, and with it the target.
                let _gone = elb.deregister(*pace, &seat.group, &seat.target, *now);
                seat.membership = Membership::Deregistered;
                *left.entry(seat.group.clone()).or_default() += 1;
                any = true;
            }
            draining += usize::from(any);
            // With a deregistration delay of 0 the target is unused already: the signal follows at once.
            if task.phase == Phase::Deactivating && task.is_drained(elb) {
                task.phase = Phase::Stopping;
            }
        }
        for (group, count) in left {
            self.say(&format!("deregistered {count} targets in (target-group {group})"));
        }
        if draining > 0 {
            self.say(&format!("has begun draining connections on {draining} tasks."));
        }
    }

    /// Puts running tasks behind the load balancers of their own revision.
    fn register(&mut self) {
        let Scene { pace, now, elb, tasks, substance, .. } = &mut *self.scene;
        let mut joined = BTreeMap::<String, usize>::new();
        for id in &self.ids {
            let Some(task) = tasks.get_mut(id).filter(|task| task.phase == Phase::Running) else { continue };
            for (container, port, group) in self.service.places_of(task.deployment().unwrap_or_default()) {
                let binding = task
                    .containers
                    .iter()
                    .filter(|known| known.name == container)
                    .flat_map(|known| &known.bindings)
                    .find(|binding| binding.container_port == port);
                let Some(binding) = binding else { continue };
                let target = Target { address: "127.0.0.1".to_owned(), port: binding.host_port };
                let known = task.seats.iter().any(|seat| seat.group == group && seat.target == target);
                let mut join = || match substance {
                    Substance::Containers => elb.register(*pace, &group, &target, *now),
                    // One whose health is told by a scenario is probed like any other.
                    Substance::Paper if elb.is_scripted(&target) => elb.register(*pace, &group, &target, *now),
                    Substance::Paper => elb.register_paper(*pace, &group, &target, *now),
                };
                if !known && join().is_ok() {
                    task.seats.push(Seat { group: group.clone(), target, membership: Membership::Registered });
                    *joined.entry(group).or_default() += 1;
                }
            }
        }
        for (group, count) in joined {
            self.service.steady = false;
            self.say(&format!("registered {count} targets in (target-group {group})"));
        }
    }

    // ── health ─────────────────────────────────────────────────────────────────

    fn judge(&mut self) {
        let mut events = Vec::new();
        for id in self.ids.clone() {
            let Some(task) = self.scene.tasks.get(&id).filter(|task| task.phase == Phase::Running) else { continue };
            if task.standing == Standing::Condemned {
                continue;
            }
            let verdict = self.verdict(task);
            let started_by = task.started_by.clone();
            let forgives = self.service.forgives();
            let owner = self.service.deployments.iter_mut().find(|deployment| Some(deployment.id()) == started_by);
            let Some(task) = self.scene.tasks.get_mut(&id) else { continue };
            match verdict {
                Verdict::Healthy => {
                    self.healthy.insert(id);
                    if task.standing == Standing::Fresh {
                        task.standing = Standing::Proven;
                        if let Some(owner) = owner.filter(|_| forgives) {
                            owner.failed = 0;
                        }
                        self.service.start_failures = 0;
                    }
                }
                Verdict::Waiting => self.waiting += 1,
                Verdict::Unhealthy { event, reason } => {
                    task.standing = Standing::Condemned;
                    task.counted = true;
                    // Kept until it is stopped: the reason is the one of the first finding.
                    task.stop = Some(Stop { code: StopCode::ServiceSchedulerInitiated, reason });
                    if let Some(owner) = owner {
                        owner.failed += 1;
                    }
                    self.service.steady = false;
                    events.push(event);
                }
            }
        }
        for event in events {
            self.say(&event);
        }
    }

    /// | load balancer | health check | healthy when                          |
    /// |---------------|--------------|---------------------------------------|
    /// | no            | no           | 40 s after RUNNING                    |
    /// | no            | yes          | all essential containers are          |
    /// | yes           | no           | the target is, in every target group  |
    /// | yes           | yes          | both                                  |
    ///
    /// Within the grace period nothing is held against a task. (Tested by `health_counts_by_the_table`.)
    fn verdict(&self, task: &Task) -> Verdict {
        let Scene { pace, now, elb, definitions, .. } = &*self.scene;
        let started = task.started_at.unwrap_or(*now);
        let in_grace = *now < started + pace.millis(self.service.grace_seconds);
        let checked = definitions.find(&task.definition).is_some_and(super::definition::Definition::has_health_check);
        let places = self.service.places_of(task.deployment().unwrap_or_default()).len();
        let balanced = places > 0;
        if !checked && !balanced {
            return if *now >= started + pace.millis(SETTLING) { Verdict::Healthy } else { Verdict::Waiting };
        }
        let mut verdict = Verdict::Healthy;
        if checked {
            match task.health() {
                ContainerHealth::Healthy => {}
                ContainerHealth::Unknown => verdict = Verdict::Waiting,
                ContainerHealth::Unhealthy => {
                    verdict = Verdict::Unhealthy {
                        event: format!("(task {}) failed container health checks.", task.id),
                        reason: "Task failed container health checks".to_owned(),
                    };
                }
            }
        }
        if balanced && task.seats.len() < places && verdict == Verdict::Healthy {
            verdict = Verdict::Waiting;
        }
        for seat in &task.seats {
            let health = elb.health(&seat.group, &seat.target);
            match health.state {
                TargetState::Healthy => {}
                // With health checks off, AWS routes to the target as if it were healthy.
                TargetState::Unavailable if health.reason.as_deref() == Some("Target.HealthCheckDisabled") => {}
                TargetState::Initial | TargetState::Unavailable | TargetState::Unused | TargetState::Draining => {
                    if verdict == Verdict::Healthy {
                        verdict = Verdict::Waiting;
                    }
                }
                TargetState::Unhealthy => {
                    let why = health.description.unwrap_or_else(|| "Health checks failed".to_owned());
                    verdict = Verdict::Unhealthy {
                        event: format!(
                            "(task {}) (port {}) is unhealthy in (target-group {}) due to (reason {why}).",
                            task.id, seat.target.port, seat.group
                        ),
                        reason: format!("Task failed ELB health checks in (target-group {})", seat.group),
                    };
                }
            }
        }
        match verdict {
            Verdict::Unhealthy { .. } if in_grace => Verdict::Waiting,
            Verdict::Healthy | Verdict::Waiting | Verdict::Unhealthy { .. } => verdict,
        }
    }

    // ── failures ───────────────────────────────────────────────────────────────

    /// Counts the tasks that ended without being asked to.
    fn count_failures(&mut self) {
        let ended = self.ids_where(|task| task.phase >= Phase::Stopping && !task.counted);
        for id in ended {
            let Some(task) = self.scene.tasks.get_mut(&id) else { continue };
            task.counted = true;
            let failed = match task.stop.as_ref().map(|stop| stop.code) {
                Some(StopCode::TaskFailedToStart | StopCode::EssentialContainerExited) => true,
                // Its host is to blame, and not its image.
                Some(StopCode::UserInitiated | StopCode::ServiceSchedulerInitiated | StopCode::SpotInterruption)
                | None => false,
            };
            let (by, ran) = (task.started_by.clone(), task.started_at.is_some());
            self.service.steady = false;
            if !failed {
                continue;
            }
            if let Some(owner) = self.service.deployments.iter_mut().find(|known| Some(known.id()) == by) {
                owner.failed += 1;
                owner.updated_at = self.scene.now;
            }
            // Only tasks that went from PENDING to STOPPED slow the next try down.
            if !ran {
                self.service.start_failures += 1;
                let doubled = 10_u64.saturating_mul(1 << self.service.start_failures.min(20));
                let wait = self.scene.pace.millis(doubled.min(LONGEST_THROTTLE));
                self.service.no_start_before = self.scene.now + wait;
                if self.service.start_failures == 3 {
                    self.say("is unable to consistently start tasks successfully.");
                }
            }
        }
    }

    /// A deployment that shifts traffic has no circuit breaker, but a failure path of its own: it goes back after as many
    /// failures as the breaker would have counted.
    fn trip_breaker(&mut self) {
        let (breaker, shifting) = (self.service.breaker(), self.service.shifting().is_some());
        let threshold = self.service.threshold();
        let now = self.scene.now;
        // The revision to go back to is being stopped already.
        let is_late = self.service.underway().is_some_and(|record| record.is_cleaning_up());
        let Some(primary) = self.service.deployments.first_mut() else { return };
        let watched = (breaker != Breaker::Off || shifting) && !is_late;
        if !watched || primary.rollout != Rollout::InProgress || primary.failed < threshold {
            return;
        }
        primary.rollout = Rollout::Failed;
        "ECS deployment circuit breaker: tasks failed to start.".clone_into(&mut primary.reason);
        primary.updated_at = now;
        let (id, failed) = (primary.id(), primary.failed);
        self.say(&format!("(deployment {id}) deployment failed: tasks failed to start."));
        if let Some(record) = self.service.underway() {
            record.triggered = breaker != Breaker::Off;
            record.tally = Some((failed, threshold));
        }
        match breaker {
            Breaker::RollsBack => self.roll_back_or_stall(&Because::Breaker),
            Breaker::Stops | Breaker::Off if shifting => self.roll_back_or_stall(&Because::Breaker),
            Breaker::Stops | Breaker::Off => self.stall(&Because::Breaker),
        }
    }

    // ── start ──────────────────────────────────────────────────────────────────

    /// Starts what there is room for; gives back how many tasks of the primary could not be started.
    fn start(&mut self) -> usize {
        let Bounds { minimum, maximum } = self.service.bounds();
        let wanted = self.service.wanted();
        let alive = |step: &Self, deployment: &Deployment| {
            step.owned(deployment).filter(|task| task.is_kept() && task.standing != Standing::Condemned).count()
        };
        let Some(primary) = self.primary().cloned() else { return 0 };
        let missing = match primary.rollout {
            // A failed deployment stalls: it launches nothing.
            Rollout::Failed => 0,
            Rollout::InProgress | Rollout::Completed => self.wanted_of_primary().saturating_sub(alive(self, &primary)),
        };
        let shifting = self.keeps_both();
        let primary_healthy = self.owned(&primary).filter(|task| self.healthy.contains(&task.id)).count();
        // A task of an older revision that dies during the rollout is replaced by its own revision.
        let older: Vec<Deployment> = self
            .service
            .deployments
            .iter()
            .filter(|known| known.role == Role::Active && known.rollout != Rollout::Failed && !known.set_aside)
            // Where traffic is shifted, only the one in service: those of earlier attempts are on their way out.
            .filter(|known| !shifting || known.completed)
            .cloned()
            .collect();
        let mut still_needed = wanted
            .saturating_sub(primary_healthy)
            .saturating_sub(older.iter().map(|known| alive(self, known)).sum::<usize>());
        let mut plan = vec![(primary, missing)];
        for known in older {
            let gap = usize::try_from(known.kept).unwrap_or(0).saturating_sub(alive(self, &known));
            // Where traffic is shifted, the one in service keeps its count until the end.
            let gap = if shifting { gap } else { gap.min(still_needed) };
            still_needed = still_needed.saturating_sub(gap);
            plan.push((known, gap));
        }
        // New before old, unless availability is already short of what it may be.
        if self.serving() < minimum {
            plan.rotate_left(1);
        }
        let counted = self.tasks().filter(|task| task.counts_for_maximum()).count();
        let mut room = if shifting { usize::MAX } else { maximum.saturating_sub(counted) };
        if self.scene.now < self.service.no_start_before {
            return 0;
        }
        let condemned = self.tasks().filter(|task| task.is_kept() && task.standing == Standing::Condemned).count();
        let (mut started, mut unmet, mut hindered) = (Vec::new(), 0, Vec::new());
        for (deployment, gap) in plan {
            let now_started = gap.min(room);
            room -= now_started;
            if deployment.role == Role::Primary {
                unmet = gap - now_started;
            }
            for _ in 0..now_started {
                match self.hindrance(&deployment) {
                    None => started.extend(self.launch(&deployment)),
                    // Of many tasks that are not placed in one look it is said once.
                    Some(obstacle) if hindered.iter().any(|(_, known)| *known == obstacle) => {}
                    Some(obstacle) => hindered.push((deployment.definition.clone(), obstacle)),
                }
            }
        }
        for (definition, obstacle) in hindered {
            let Some(definition) = self.scene.definitions.find(&definition) else { continue };
            let text = hindrance::told(obstacle, definition, &self.scene.dice.hex());
            self.service.steady = false;
            self.say(&text);
        }
        if !started.is_empty() {
            let mut text = format!("has started {} tasks:", started.len());
            for id in &started {
                write!(text, " (task {id})").expect("writing to a string cannot fail");
            }
            text.push('.');
            let replaced = condemned.min(started.len());
            if replaced > 0 {
                write!(text, " Amazon ECS replaced {replaced} tasks due to an unhealthy status.")
                    .expect("writing to a string cannot fail");
            }
            self.service.steady = false;
            self.say(&text);
            self.ids.extend(started);
        }
        unmet
    }

    /// What keeps the next task of a deployment from being started.
    fn hindrance(&mut self, deployment: &Deployment) -> Option<Obstacle> {
        let is_first = self.service.history.last().is_none_or(|first| first.target == deployment.number);
        let rolling = if is_first { Rolling::First } else { Rolling::Later };
        let since = self.scene.now.saturating_sub(deployment.created_at);
        hindrance::met(self.scene.hindrances, &self.service.name, rolling, since)
    }

    fn launch(&mut self, deployment: &Deployment) -> Option<String> {
        let definition = self.scene.definitions.find(&deployment.definition)?;
        let launch_type = self.service.kept.get("launchType").and_then(serde_json::Value::as_str).unwrap_or("EC2");
        let by = deployment.id();
        let tags = match self.service.kept.get("propagateTags").and_then(serde_json::Value::as_str) {
            Some("SERVICE") => self.service.tags.clone(),
            Some("TASK_DEFINITION") => definition.tags().to_vec(),
            _ => Vec::new(),
        };
        let birth = Birth {
            cluster: &self.service.cluster,
            service: Some(&self.service.name),
            started_by: Some(&by),
            launch_type,
            overrides: serde_json::json!({ "containerOverrides": [], "inferenceAcceleratorOverrides": [] }),
            exec: self.service.kept.get("enableExecuteCommand").and_then(serde_json::Value::as_bool).unwrap_or(false),
            tags,
        };
        let task = Task::new(self.scene.dice, definition, birth, self.scene.now);
        let id = task.id.clone();
        self.scene.tasks.insert(id.clone(), task);
        Some(id)
    }

    // ── stop ───────────────────────────────────────────────────────────────────

    /// Chooses what may go; gives back how many that were.
    fn stop(&mut self, unmet: usize) -> usize {
        let Bounds { minimum, .. } = self.service.bounds();
        let wanted = self.service.wanted();
        let primary_healthy =
            self.tasks().filter(|task| self.healthy.contains(&task.id) && self.is_primary(task)).count();
        let leaving = self.tasks().filter(|task| task.phase == Phase::Deactivating).count();
        let condemned = self.ids_where(|task| task.is_kept() && task.standing == Standing::Condemned);
        let aside = self.ids_where(|task| task.is_kept() && self.is_set_aside(task));

        // Older deployments: as many as the new one has made good for, or as stand in its way.
        let (old, surplus) = self.old_ones(primary_healthy);
        let in_the_way = unmet.saturating_sub(leaving).saturating_sub(condemned.len()).saturating_sub(aside.len());
        let hands_over = self.service.shifting().is_some_and(|course| course.stage == Stage::CleanUp);
        let mut spare = if hands_over && !self.service.is_returning() {
            usize::MAX
        } else {
            self.serving().saturating_sub(minimum)
        };
        let (mut chosen, mut protected): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for id in old.into_iter().take(surplus.max(in_the_way)) {
            if self.is_protected(&id) {
                protected.push(id);
                continue;
            }
            if self.healthy.contains(&id) {
                if spare == 0 {
                    continue;
                }
                spare -= 1;
            }
            chosen.push(id);
        }
        for id in aside {
            if self.is_protected(&id) { protected.push(id) } else { chosen.push(id) }
        }

        // The primary: more than wanted after a scale-in, all of them after a deletion. Nobody asks for a minimum then.
        let own = self.ranked(Self::is_primary);
        match self.service.status {
            Status::Active => {
                let sound: Vec<String> = own.into_iter().filter(|id| !condemned.contains(id)).collect();
                let excess = sound.len().saturating_sub(wanted);
                for id in sound.into_iter().take(excess) {
                    if self.is_protected(&id) { protected.push(id) } else { chosen.push(id) }
                }
            }
            Status::Draining | Status::Inactive => chosen.extend(own),
        }

        // Unhealthy ones: when replacements stand, else one at a time and at random where there is no room for any.
        let waiting: Vec<String> = condemned.into_iter().filter(|id| !chosen.contains(id)).collect();
        let (replaced, waiting): (Vec<String>, Vec<String>) =
            waiting.into_iter().partition(|id| primary_healthy >= wanted || self.is_replaced(id));
        chosen.extend(replaced);
        if !waiting.is_empty() && unmet > 0 && leaving == 0 {
            let one = self.scene.dice.choose(waiting.len());
            chosen.extend(waiting.into_iter().nth(one));
        }
        self.dismiss(&chosen);
        self.tell_protected(&protected);
        chosen.len()
    }

    /// Tasks of older deployments, in the order in which they may go, and how many of them may.
    fn old_ones(&self, primary_healthy: usize) -> (Vec<String>, usize) {
        let is_old = |step: &Self, task: &Task| !step.is_primary(task) && !step.is_set_aside(task);
        if self.service.is_stalled_midway() {
            return (Vec::new(), 0);
        }
        let made_good = |old: Vec<String>, wanted: usize, healthy: usize| {
            let surplus = old.len().saturating_sub(wanted.saturating_sub(healthy));
            (old, surplus)
        };
        let Some(course) = self.service.shifting().filter(|_| !self.service.is_returning()) else {
            return made_good(self.ranked(is_old), self.service.wanted(), primary_healthy);
        };
        if course.stage == Stage::CleanUp {
            let all = self.ranked(is_old);
            let count = all.len();
            return (all, count);
        }
        // The one in service stays to the very end. Beside it may stand a revision whose rollout was overtaken, in the same
        // groups: it goes as far as the one in service has made good for it, which one that has failed never does.
        let Some(known) = self.service.shifted_from().filter(|known| known.rollout != Rollout::Failed) else {
            return (Vec::new(), 0);
        };
        let others = self.ranked(|step, task| is_old(step, task) && !known.owns(task));
        made_good(others, self.kept_in_service(known), self.healthy_of(known))
    }

    /// How many tasks the revision in service is to have while traffic is shifted from it.
    fn kept_in_service(&self, known: &Deployment) -> usize {
        usize::try_from(known.kept).unwrap_or(usize::MAX).min(self.service.wanted())
    }

    fn healthy_of(&self, known: &Deployment) -> usize {
        self.owned(known).filter(|task| self.healthy.contains(&task.id)).count()
    }

    /// Whether two revisions stand beside each other, each with all of its tasks.
    fn keeps_both(&self) -> bool {
        self.service.shifting().is_some() || self.service.is_stalled_midway()
    }

    fn is_set_aside(&self, task: &Task) -> bool {
        self.service.deployments.iter().any(|known| known.set_aside && known.owns(task))
    }

    /// Healthy tasks, but for those that no traffic goes to any more.
    fn serving(&self) -> usize {
        self.tasks().filter(|task| self.healthy.contains(&task.id) && !self.is_set_aside(task)).count()
    }

    /// Whether the deployment of an unhealthy task has as many healthy ones without it as it is to have.
    fn is_replaced(&self, id: &str) -> bool {
        let Some(task) = self.scene.tasks.get(id) else { return false };
        let Some(owner) = self.service.deployments.iter().find(|known| known.owns(task)) else { return true };
        let healthy = self.owned(owner).filter(|task| self.healthy.contains(&task.id)).count();
        healthy >= usize::try_from(owner.kept).unwrap_or(usize::MAX)
    }

    /// Protection is for sound tasks of a service that goes on.
    fn is_protected(&self, id: &str) -> bool {
        self.service.status == Status::Active
            && self
                .scene
                .tasks
                .get(id)
                .is_some_and(|task| task.is_protected(self.scene.now) && task.standing != Standing::Condemned)
    }

    fn tell_protected(&mut self, held: &[String]) {
        let told = std::mem::replace(&mut self.service.protected, held.len());
        let Some(first) = held.first().filter(|_| told != held.len()) else { return };
        let owner = self.scene.tasks.get(first).and_then(|task| task.started_by.clone()).unwrap_or_default();
        self.say(&format!(
            "was unable to reach steady state because (taskSet {owner}) was unable to scale in due to (reason {} tasks \
             under protection)",
            held.len()
        ));
    }

    /// Kept tasks, those first that are missed least: not protected, not yet running, unhealthy, unproven, the oldest.
    fn ranked(&self, wanted: impl Fn(&Self, &Task) -> bool) -> Vec<String> {
        let mut ranked: Vec<_> = self
            .tasks()
            .filter(|task| task.is_kept() && wanted(self, task))
            .map(|task| {
                let healthy = self.healthy.contains(&task.id);
                let condemned = task.standing == Standing::Condemned;
                let protected = task.is_protected(self.scene.now);
                (protected, healthy, !task.is_starting(), !condemned, task.started_at, task.id.clone())
            })
            .collect();
        ranked.sort();
        ranked.into_iter().map(|(.., id)| id).collect()
    }

    fn dismiss(&mut self, chosen: &[String]) {
        let Some(cause) = self.primary().map(Deployment::id) else { return };
        let now = self.scene.now;
        let (mut running, mut pending) = (Vec::new(), 0_usize);
        let mut by_deployment = BTreeMap::<String, u32>::new();
        for id in chosen {
            let Some(task) = self.scene.tasks.get_mut(id).filter(|task| task.is_kept()) else { continue };
            if task.is_starting() {
                pending += 1;
            } else {
                running.push(id.clone());
            }
            // An unhealthy task brings its own reason.
            let stop = task.stop.take().unwrap_or_else(|| Stop {
                code: StopCode::ServiceSchedulerInitiated,
                reason: format!("Scaling activity initiated by (deployment {cause})"),
            });
            task.dismiss(stop, now);
            *by_deployment.entry(task.started_by.clone().unwrap_or_default()).or_default() += 1;
            self.healthy.remove(id);
        }
        for index in 0..self.service.deployments.len() {
            let deployment = &self.service.deployments[index];
            if deployment.role == Role::Primary && deployment.rollout != Rollout::Failed {
                continue;
            }
            let left = self.owned(deployment).filter(|task| task.is_kept()).count();
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            let gone = by_deployment.get(&deployment.id()).copied().unwrap_or(0);
            let kept = match deployment.rollout {
                Rollout::Failed => left,
                Rollout::InProgress | Rollout::Completed => deployment.kept.saturating_sub(gone).max(left),
            };
            let deployment = &mut self.service.deployments[index];
            if deployment.kept != kept {
                deployment.kept = kept;
                deployment.updated_at = now;
            }
        }
        if !running.is_empty() {
            let mut text = format!("has stopped {} running tasks:", running.len());
            for id in &running {
                write!(text, " (task {id})").expect("writing to a string cannot fail");
            }
            text.push('.');
            self.say(&text);
        }
        if pending > 0 {
            self.say(&format!("stopped {pending} pending tasks."));
        }
        if !running.is_empty() || pending > 0 {
            self.service.steady = false;
        }
    }
}
