//! The rolling scheduler: what it does to one service on each of its looks.
//!
//! AWS's scheduler moves about every ten seconds (measured: 9.5–10.1 s between "has stopped" and
//! "deregistered" in six of six rollouts), so one look is one such step. Within a step the order is fixed:
//! earlier decisions are carried out first, then tasks are judged, started, and only then stopped — new before old.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::super::elb::{Elb, Target, TargetState};
use super::super::{Millis, Pace};
use super::Substance;
use super::definition::Definitions;
use super::deployment::{Deployment, RecordStatus, Role, Rollback, Rollout};
use super::ids::Dice;
use super::service::{Bounds, Breaker, Service, Status};
use super::task::{Birth, ContainerHealth, Membership, Phase, Seat, Standing, Stop, StopCode, Task};

/// "40 s after RUNNING": how a task without load balancer and without health check comes to count as healthy.
const SETTLING: u64 = 40;

/// "up to 27 min between tries" of tasks that never reach RUNNING.
const LONGEST_THROTTLE: u64 = 27 * 60;

/// All that a look at one service needs of the rest of the world.
pub(super) struct Scene<'a> {
    pub(super) pace: Pace,
    pub(super) now: Millis,
    pub(super) elb: &'a mut Elb,
    pub(super) definitions: &'a Definitions,
    pub(super) tasks: &'a mut BTreeMap<String, Task>,
    pub(super) dice: &'a mut Dice,
    pub(super) substance: Substance,
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
    step.advance_records();
    step.deregister();
    step.register();
    step.judge();
    step.count_failures();
    step.trip_breaker();
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
        for record in &mut self.service.history {
            match record.progress {
                RecordStatus::StopRequested => {
                    record.stopped_at = Some(now);
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
        if self.service.history.first().is_some_and(|latest| latest.progress == RecordStatus::RollbackRequested) {
            self.roll_back(Because::Asked);
        }
        let wanted = u32::try_from(self.service.wanted()).unwrap_or(u32::MAX);
        for deployment in &mut self.service.deployments {
            if deployment.role == Role::Primary && deployment.rollout != Rollout::Failed && deployment.kept != wanted {
                deployment.kept = wanted;
                deployment.updated_at = now;
            }
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

    /// Puts running tasks behind the service's load balancers.
    fn register(&mut self) {
        let Scene { pace, now, elb, tasks, substance, .. } = &mut *self.scene;
        let mut joined = BTreeMap::<String, usize>::new();
        for id in &self.ids {
            let Some(task) = tasks.get_mut(id).filter(|task| task.phase == Phase::Running) else { continue };
            for balancer in &self.service.load_balancers {
                let binding = task
                    .containers
                    .iter()
                    .filter(|container| container.name == balancer.container)
                    .flat_map(|container| &container.bindings)
                    .find(|binding| binding.container_port == balancer.port);
                let Some(binding) = binding else { continue };
                let target = Target { address: "127.0.0.1".to_owned(), port: binding.host_port };
                let known = task.seats.iter().any(|seat| seat.group == balancer.group && seat.target == target);
                let mut join = || match substance {
                    Substance::Containers => elb.register(*pace, &balancer.group, &target, *now),
                    Substance::Paper => elb.register_paper(*pace, &balancer.group, &target, *now),
                };
                if !known && join().is_ok() {
                    let seat = Seat { group: balancer.group.clone(), target, membership: Membership::Registered };
                    task.seats.push(seat);
                    *joined.entry(balancer.group.clone()).or_default() += 1;
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
        let balanced = !self.service.load_balancers.is_empty();
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
        if balanced && task.seats.len() < self.service.load_balancers.len() && verdict == Verdict::Healthy {
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
                Some(StopCode::UserInitiated | StopCode::ServiceSchedulerInitiated) | None => false,
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

    fn trip_breaker(&mut self) {
        let breaker = self.service.breaker();
        let threshold = self.service.threshold();
        let now = self.scene.now;
        let Some(primary) = self.service.deployments.first_mut() else { return };
        let tripped = breaker != Breaker::Off && primary.rollout == Rollout::InProgress && primary.failed >= threshold;
        if !tripped {
            return;
        }
        primary.rollout = Rollout::Failed;
        "ECS deployment circuit breaker: tasks failed to start.".clone_into(&mut primary.reason);
        primary.updated_at = now;
        let (id, failed) = (primary.id(), primary.failed);
        self.say(&format!("(deployment {id}) deployment failed: tasks failed to start."));
        let rolling_back = match self.service.underway() {
            Some(record) => {
                record.triggered = true;
                record.tally = Some((failed, threshold));
                record.progress == RecordStatus::RollbackInProgress
            }
            None => false,
        };
        match breaker {
            // "During a rollback there is no COMPLETED deployment, so a second failure stalls too."
            Breaker::RollsBack if !rolling_back && self.service.way_back().is_some() => {
                self.roll_back(Because::Breaker);
            }
            Breaker::RollsBack | Breaker::Stops | Breaker::Off => {
                if let Some(record) = self.service.underway() {
                    let end = if rolling_back { RecordStatus::RollbackFailed } else { RecordStatus::Stopped };
                    record.stopped_at = Some(now);
                    record.end(
                        end,
                        Some("Service deployment failed because the circuit breaker threshold was exceeded."),
                        now,
                    );
                }
            }
        }
    }

    /// Makes the latest completed deployment the primary one again.
    fn roll_back(&mut self, because: Because) {
        let now = self.scene.now;
        let Some(index) = self.service.way_back() else {
            if let Some(record) = self.service.underway() {
                record.end(RecordStatus::RollbackFailed, None, now);
            }
            return;
        };
        let threshold = self.service.threshold();
        let mut back = self.service.deployments.remove(index);
        for deployment in &mut self.service.deployments {
            if deployment.role == Role::Primary {
                deployment.role = Role::Active;
                deployment.rollout = Rollout::Failed;
                if because == Because::Asked {
                    deployment.reason = format!("ECS deployment {} stopped: rollback was requested.", deployment.id());
                }
                deployment.updated_at = now;
            }
        }
        back.role = Role::Primary;
        back.rollout = Rollout::InProgress;
        back.reason = match because {
            Because::Breaker => format!("ECS deployment circuit breaker: rolling back to deploymentId {}.", back.id()),
            Because::Asked => format!("ECS deployment {} in progress.", back.id()),
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
        if let Some(record) = self.service.underway() {
            let reason = match because {
                Because::Breaker => {
                    "Service deployment rolled back because the circuit breaker threshold was exceeded."
                }
                Because::Asked => "Service deployment rolled back because of a request to stop it.",
            };
            record.progress = RecordStatus::RollbackInProgress;
            record.reason = Some(reason.to_owned());
            record.rollback = Some(Rollback { reason: reason.to_owned(), started_at: now, to: number });
            record.tally.get_or_insert((left, threshold));
            record.updated_at = now;
        }
        self.say(&format!("rolling back to deployment {id}."));
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
            Rollout::InProgress | Rollout::Completed => wanted.saturating_sub(alive(self, &primary)),
        };
        let primary_healthy = self.owned(&primary).filter(|task| self.healthy.contains(&task.id)).count();
        // A task of an older revision that dies during the rollout is replaced by its own revision.
        let older: Vec<Deployment> = self
            .service
            .deployments
            .iter()
            .filter(|known| known.role == Role::Active && known.rollout != Rollout::Failed)
            .cloned()
            .collect();
        let mut still_needed = wanted
            .saturating_sub(primary_healthy)
            .saturating_sub(older.iter().map(|known| alive(self, known)).sum::<usize>());
        let mut plan = vec![(primary, missing)];
        for known in older {
            let gap = usize::try_from(known.kept).unwrap_or(0).saturating_sub(alive(self, &known)).min(still_needed);
            still_needed -= gap;
            plan.push((known, gap));
        }
        // New before old, unless availability is already short of what it may be.
        if self.healthy.len() < minimum {
            plan.rotate_left(1);
        }
        let mut room = maximum.saturating_sub(self.tasks().filter(|task| task.counts_for_maximum()).count());
        if self.scene.now < self.service.no_start_before {
            return 0;
        }
        let condemned = self.tasks().filter(|task| task.is_kept() && task.standing == Standing::Condemned).count();
        let (mut started, mut unmet) = (Vec::new(), 0);
        for (deployment, gap) in plan {
            let now_started = gap.min(room);
            room -= now_started;
            if deployment.role == Role::Primary {
                unmet = gap - now_started;
            }
            for _ in 0..now_started {
                started.extend(self.launch(&deployment));
            }
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

    fn launch(&mut self, deployment: &Deployment) -> Option<String> {
        let definition = self.scene.definitions.find(&deployment.definition)?;
        let launch_type = self.service.kept.get("launchType").and_then(serde_json::Value::as_str).unwrap_or("EC2");
        let by = deployment.id();
        let tags = match self.service.kept.get("propagateTags").and_then(serde_json::Value::as_str) {
            Some("SERVICE") => self.service.tags.clone(),
            _ => Vec::new(),
        };
        let birth = Birth {
            cluster: &self.service.cluster,
            service: Some(&self.service.name),
            started_by: Some(&by),
            launch_type,
            overrides: serde_json::json!({ "containerOverrides": [], "inferenceAcceleratorOverrides": [] }),
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
        let by_primary = |step: &Self, task: &Task| step.is_primary(task);
        let mut chosen: Vec<String> = Vec::new();

        // Older deployments: as many as the new one has made good for, or as stand in its way.
        let primary_healthy =
            self.tasks().filter(|task| self.healthy.contains(&task.id) && by_primary(self, task)).count();
        let old = self.ranked(|step, task| !by_primary(step, task));
        let surplus = old.len().saturating_sub(wanted.saturating_sub(primary_healthy));
        let leaving = self.tasks().filter(|task| task.phase == Phase::Deactivating).count();
        let condemned = self.ids_where(|task| task.is_kept() && task.standing == Standing::Condemned);
        let in_the_way = unmet.saturating_sub(leaving).saturating_sub(condemned.len());
        let mut spare = self.healthy.len().saturating_sub(minimum);
        for id in old.into_iter().take(surplus.max(in_the_way)) {
            if self.healthy.contains(&id) {
                if spare == 0 {
                    continue;
                }
                spare -= 1;
            }
            chosen.push(id);
        }

        // The primary: more than wanted after a scale-in, all of them after a deletion. Nobody asks for a minimum then.
        let own = self.ranked(by_primary);
        match self.service.status {
            Status::Active => {
                let sound: Vec<String> = own.into_iter().filter(|id| !condemned.contains(id)).collect();
                let excess = sound.len().saturating_sub(wanted);
                chosen.extend(sound.into_iter().take(excess));
            }
            Status::Draining | Status::Inactive => chosen.extend(own),
        }

        // Unhealthy ones: when replacements stand, else one at a time and at random where there is no room for any.
        let waiting: Vec<String> = condemned.into_iter().filter(|id| !chosen.contains(id)).collect();
        if !waiting.is_empty() {
            if primary_healthy >= wanted {
                chosen.extend(waiting);
            } else if unmet > 0 && leaving == 0 {
                let one = self.scene.dice.choose(waiting.len());
                chosen.extend(waiting.into_iter().nth(one));
            }
        }
        self.dismiss(&chosen);
        chosen.len()
    }

    /// Kept tasks, those first that are missed least: not yet running, unhealthy, unproven, then the oldest.
    fn ranked(&self, wanted: impl Fn(&Self, &Task) -> bool) -> Vec<String> {
        let mut ranked: Vec<(bool, bool, bool, Option<Millis>, String)> = self
            .tasks()
            .filter(|task| task.is_kept() && wanted(self, task))
            .map(|task| {
                let healthy = self.healthy.contains(&task.id);
                let condemned = task.standing == Standing::Condemned;
                (healthy, !task.is_starting(), !condemned, task.started_at, task.id.clone())
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

    // ── the end ────────────────────────────────────────────────────────────────

    /// Nothing may be started and nothing may be stopped, and waiting will not change it.
    fn notice_deadlock(&mut self, unmet: usize, stopped: usize) {
        let moving = self.waiting > 0
            || stopped > 0
            || self.tasks().any(|task| {
                task.is_starting()
                    || task.phase == Phase::Deactivating
                    || (task.is_kept() && task.standing == Standing::Condemned)
            });
        if unmet == 0 || moving {
            return;
        }
        let Some(primary) = self.service.deployments.first_mut().filter(|primary| !primary.stuck) else { return };
        primary.stuck = true;
        self.say(
            "was unable to stop or start tasks during a deployment because of the service deployment configuration. \
             Update the minimumHealthyPercent or maximumPercent value and try again.",
        );
    }

    fn conclude(&mut self) {
        let now = self.scene.now;
        if self.service.status == Status::Draining {
            if self.tasks().all(|task| task.phase == Phase::Stopped) {
                self.service.status = Status::Inactive;
                self.service.deployments.clear();
                if let Some(record) = self.service.underway() {
                    record.end(RecordStatus::Stopped, Some("Service was deleted."), now);
                }
            }
            return;
        }
        let wanted = self.service.wanted();
        let Some(primary) = self.primary() else { return };
        // Never in the look that made it the primary, or gave it its count: that much is left to be seen.
        let seen = primary.updated_at < now;
        let (number, rollout) = (primary.number.clone(), primary.rollout);
        let own: Vec<&Task> = self.owned(primary).collect();
        let in_place = own.iter().filter(|task| task.is_kept()).count() == wanted
            && own.iter().filter(|task| self.healthy.contains(&task.id)).count() == wanted;
        // Measured twelve seconds after SIGTERM: "completed" is not said while an old process still ends.
        let others = self.tasks().any(|task| task.phase != Phase::Stopped && !self.is_primary(task));
        let leaving = own.iter().any(|task| matches!(task.phase, Phase::Deactivating | Phase::Stopping));
        let id = format!("ecs-svc/{number}");
        if rollout == Rollout::InProgress && in_place && !others && seen {
            let threshold = self.service.threshold();
            self.service.deployments.retain(|deployment| deployment.role == Role::Primary);
            if let Some(primary) = self.service.deployments.first_mut() {
                primary.rollout = Rollout::Completed;
                primary.reason = format!("ECS deployment {id} completed.");
                primary.completed = true;
                primary.updated_at = now;
                let failed = primary.failed;
                if let Some(record) = self.service.underway() {
                    record.tally.get_or_insert((failed, threshold));
                    match record.progress {
                        RecordStatus::RollbackInProgress => record.end(RecordStatus::RollbackSuccessful, None, now),
                        RecordStatus::Pending | RecordStatus::InProgress => {
                            record.end(RecordStatus::Successful, None, now);
                        }
                        RecordStatus::StopRequested
                        | RecordStatus::RollbackRequested
                        | RecordStatus::Successful
                        | RecordStatus::Stopped
                        | RecordStatus::RollbackSuccessful
                        | RecordStatus::RollbackFailed => {}
                    }
                }
            }
            self.say(&format!("(deployment {id}) deployment completed."));
        }
        let completed = self.primary().is_some_and(|primary| primary.rollout == Rollout::Completed);
        let steady = completed && in_place && !others && !leaving;
        if steady && !self.service.steady {
            // Measured one millisecond after "deployment completed."
            self.service.say(self.scene.dice, now + 1, "has reached a steady state.");
        }
        self.service.steady = steady;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Because {
    Breaker,
    Asked,
}
