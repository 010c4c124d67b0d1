//! Deployments that shift traffic, against a small model that foretells every look of the scheduler.
//!
//! The model runs the tasks, probes the targets, answers the pauses and rings the alarms, at random and at random moments.
//! What must come of it, it works out from AWS's description and its own books, with words and numbers of its own: which
//! stage, which share of the traffic, which pauses, which status. After every look:
//!
//! 1. status, stage, pauses and shares are those foretold, in the rules and in what `DescribeServiceDeployments` says;
//! 2. weights of a rule make a whole, and a group is only ever given more of it while a healthy target stands there;
//! 3. whoever has traffic has a healthy target, unless that was taken away from outside;
//! 4. tasks of the revision in service are only stopped after the bake time, and new ones come only with `SCALE_UP`;
//! 5. what was given up or overtaken starts nothing more, and stops only when the traffic is given back: a revision that is
//!    taken back then at once, whoever is healthy beside it;
//! 6. one deployment is PRIMARY, the newest record alone is on its way, and an end is an end.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Just, ProptestConfig, Strategy as _, any, prop_oneof, proptest};

use super::*;
use elb::{Failing, ProbeOutcome, Target, TargetState};

const STAGES: [&str; 10] = [
    "RECONCILE_SERVICE",
    "PRE_SCALE_UP",
    "SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
    "BAKE_TIME",
    "CLEAN_UP",
];
const RECONCILE: usize = 0;
const PRE_SCALE_UP: usize = 1;
const SCALE_UP: usize = 2;
const TEST_SHIFT: usize = 4;
const PRODUCTION_SHIFT: usize = 6;
const BAKE: usize = 8;
const CLEAN_UP: usize = 9;

/// Before every part of the production traffic: a stage of pauses only.
const BEFORE_EVERY_PART: &str = "PRE_PRODUCTION_TRAFFIC_SHIFT";

/// All of the traffic: shares are counted in thousandths.
const ALL: u32 = 1000;

const LOOK: Millis = 10_000;

// ── what is asked for ────────────────────────────────────────────────────────────

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Rolling,
    BlueGreen,
    /// In parts of so many thousandths.
    Linear(u32),
    Canary(u32),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum OnAlarm {
    Nothing,
    Back,
    End,
}

#[derive(Debug, Clone)]
struct Asked {
    way: Way,
    part_minutes: u64,
    bake_minutes: u64,
    /// Where it pauses, for how many minutes at most, and whether it goes on by itself then.
    pauses: Vec<(&'static str, u64, bool)>,
    on_alarm: OnAlarm,
}

impl Asked {
    /// What the new revision has after each shift.
    fn shares(&self) -> Vec<u32> {
        match self.way {
            Way::Rolling => Vec::new(),
            Way::BlueGreen | Way::Canary(ALL) => vec![ALL],
            Way::Linear(part) => (1..).map(|n| (n * part).min(ALL)).take(ALL.div_ceil(part) as usize).collect(),
            Way::Canary(part) => vec![part, ALL],
        }
    }

    fn shifts(&self) -> bool {
        self.way != Way::Rolling
    }

    fn configuration(&self) -> Value {
        let percent = |part: u32| f64::from(part) / 10.0;
        let mut asked = json!({
            "bakeTimeInMinutes": self.bake_minutes,
            "deploymentCircuitBreaker": { "enable": true, "rollback": true },
            "alarms": { "alarmNames": ["errors"], "enable": self.on_alarm != OnAlarm::Nothing,
                "rollback": self.on_alarm == OnAlarm::Back },
            "lifecycleHooks": self.pauses.iter().map(|(stage, minutes, goes_on)| json!({
                "targetType": "PAUSE", "lifecycleStages": [stage], "timeoutConfiguration": {
                    "timeoutInMinutes": minutes, "action": if *goes_on { "CONTINUE" } else { "ROLLBACK" } }
            })).collect::<Vec<_>>()
        });
        let minutes = self.part_minutes;
        match self.way {
            Way::Rolling => asked["strategy"] = json!("ROLLING"),
            Way::BlueGreen => asked["strategy"] = json!("BLUE_GREEN"),
            Way::Linear(part) => {
                asked["strategy"] = json!("LINEAR");
                asked["linearConfiguration"] =
                    json!({ "stepPercent": percent(part), "stepBakeTimeInMinutes": minutes });
            }
            Way::Canary(part) => {
                asked["strategy"] = json!("CANARY");
                asked["canaryConfiguration"] =
                    json!({ "canaryPercent": percent(part), "canaryBakeTimeInMinutes": minutes });
            }
        }
        asked
    }
}

// ── the model's books ────────────────────────────────────────────────────────────

/// A revision: the id of its deployment, and which of the two groups its tasks stand in.
#[derive(Debug, Clone, PartialEq)]
struct Revision {
    id: String,
    group: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Pause {
    Waits { until: Millis, goes_on: bool },
    Done(&'static str),
}

/// One service deployment.
#[derive(Debug, Clone)]
struct Course {
    asked: Asked,
    arn: String,
    to: Revision,
    status: &'static str,
    stage: usize,
    since: Millis,
    /// How many of the shares have been given.
    given: usize,
    given_at: Option<Millis>,
    /// Whether the pauses before the next part have been called.
    called: bool,
    pauses: Vec<Pause>,
    /// How many tasks were wanted when it began.
    desired: usize,
    /// The alarm was on already when it began.
    deaf: bool,
}

/// A task as the API told of it before a look.
#[derive(Debug, Clone)]
struct Told {
    id: String,
    by: String,
    wanted: bool,
    over: bool,
}

#[derive(Debug, Default)]
struct Known {
    up_at: Option<Millis>,
    end_at: Option<Millis>,
    target: Option<Target>,
    /// Crashed, made sick or stopped by the model.
    hurt: bool,
    /// Seen by the model to be told to stop.
    dismissed: bool,
}

struct Model {
    web: Shifting,
    desired: usize,
    alarm_is_on: bool,
    /// Who has the traffic when nothing is on its way, and whether there is a way back to it.
    in_service: Revision,
    can_return: bool,
    /// What must have been given to each group by each rule: production, test.
    shares: [[u32; 2]; 2],
    course: Option<Course>,
    statuses: BTreeMap<String, String>,
    /// Deployment → the group that its tasks stand in.
    groups: BTreeMap<String, usize>,
    /// Deployments that are over for good, or were overtaken.
    abandoned: BTreeSet<String>,
    tasks: BTreeMap<String, Known>,
    /// Whether a group is without a healthy target for a cause that is not the scheduler's.
    excused: [bool; 2],
    healthy: BTreeMap<String, usize>,
    next_look: Millis,
    next_probe: Millis,
    sick: BTreeSet<Target>,
    port: u16,
}

impl Model {
    fn begin(rolling: bool, desired: u32) -> Self {
        let first = Asked {
            way: Way::BlueGreen,
            part_minutes: 0,
            bake_minutes: 0,
            pauses: Vec::new(),
            on_alarm: OnAlarm::Nothing,
        };
        let mut web =
            if rolling { Shifting::from_rolling(desired) } else { Shifting::begin(desired, &first.configuration()) };
        made_of(&mut web.sim.world, Substance::Containers);
        let (now, service) = (web.sim.now, web.sim.service());
        let in_service = Revision { id: service["deployments"][0]["id"].as_str().unwrap().to_owned(), group: 0 };
        let mut model = Self {
            web,
            desired: desired as usize,
            alarm_is_on: false,
            in_service: in_service.clone(),
            can_return: true,
            shares: [[ALL, 0], [ALL, 0]],
            course: None,
            statuses: BTreeMap::new(),
            groups: BTreeMap::from([(in_service.id.clone(), 0)]),
            abandoned: BTreeSet::new(),
            tasks: BTreeMap::new(),
            excused: [false; 2],
            healthy: BTreeMap::new(),
            next_look: 0,
            next_probe: now,
            sick: BTreeSet::new(),
            port: 20_000,
        };
        model.take_over();
        model
    }

    /// The tasks that were there before the model.
    fn take_over(&mut self) {
        for task in self.web.sim.tasks("RUNNING") {
            let id = short(task["taskArn"].as_str().unwrap()).to_owned();
            let port = task["containers"][0]["networkBindings"][0]["hostPort"].as_u64().unwrap();
            let target = Target { address: "127.0.0.1".into(), port: u16::try_from(port).unwrap() };
            self.tasks.insert(id, Known { target: Some(target), ..Known::default() });
        }
        // The first look that the model does not foretell shows it when the others will be.
        let before = self.web.sim.world.ecs.next_look;
        self.next_look = before;
        alarm(&mut self.web.sim, "errors", "OK");
        self.healthy = self.healthy_now();
    }

    // ── what the model does to the world ───────────────────────────────────────

    fn deploy(&mut self, asked: Asked, image: &str) {
        let definition = self.web.sim.register(image);
        let answer = self.web.sim.update(json!({
            "taskDefinition": definition, "deploymentConfiguration": asked.configuration(),
            "loadBalancers": self.web.way()
        }));
        let id = answer["deployments"][0]["id"].as_str().unwrap().to_owned();
        if let Some(overtaken) = self.course.take() {
            if !["SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"].contains(&overtaken.status) {
                self.statuses.insert(overtaken.arn.clone(), "STOP_REQUESTED".into());
            }
            // All of the traffic is the new revision's by then, and the old one is on its way out.
            if overtaken.status == "IN_PROGRESS" && overtaken.asked.shifts() && overtaken.stage == CLEAN_UP {
                self.abandoned.insert(std::mem::replace(&mut self.in_service, overtaken.to.clone()).id);
                self.can_return = true;
            } else if overtaken.to != self.in_service && (overtaken.asked.shifts() || asked.shifts()) {
                // Where tasks are replaced one by one, those of an overtaken attempt are replaced by their own kind.
                self.abandoned.insert(overtaken.to.id.clone());
            }
        }
        let group = if asked.shifts() { 1 - self.in_service.group } else { self.in_service.group };
        self.course = Some(Course {
            asked,
            arn: answer["currentServiceDeployment"].as_str().unwrap().to_owned(),
            to: Revision { id: id.clone(), group },
            status: "PENDING",
            stage: RECONCILE,
            since: 0,
            given: 0,
            given_at: None,
            called: false,
            pauses: Vec::new(),
            desired: 0,
            deaf: false,
        });
        self.groups.insert(id, group);
    }

    fn stop(&mut self) {
        let Some(course) = &mut self.course else { return };
        let answer = self.web.sim.stop_current();
        let is_late = course.asked.shifts() && course.stage == CLEAN_UP;
        match course.status {
            "PENDING" | "IN_PROGRESS" if self.can_return && !is_late => {
                answer.unwrap();
                course.status = "ROLLBACK_REQUESTED";
            }
            "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS" => drop(answer.unwrap()),
            _ => assert_eq!(answer.unwrap_err().code, "ConflictException"),
        }
    }

    fn answer(&mut self, which: usize, goes_on: bool) {
        let shown = self.web.sim.current()["lifecycleHookDetails"].as_array().cloned().unwrap_or_default();
        let Some(course) = &mut self.course else { return };
        let waiting: Vec<usize> =
            (0..course.pauses.len()).filter(|n| matches!(course.pauses[*n], Pause::Waits { .. })).collect();
        if shown.is_empty() || waiting.is_empty() {
            return;
        }
        let chosen = waiting[which % waiting.len()];
        let Pause::Waits { until, .. } = course.pauses[chosen] else { unreachable!() };
        let action = if goes_on { "CONTINUE" } else { "ROLLBACK" };
        let answer = answer(&mut self.web.sim, &shown[chosen], action);
        if until <= self.web.sim.now {
            assert_eq!(answer.unwrap_err().code, "ConflictException");
        } else {
            answer.unwrap();
            course.pauses[chosen] = Pause::Done(if goes_on { "SUCCEEDED" } else { "FAILED" });
        }
    }

    fn ring(&mut self) {
        self.alarm_is_on = !self.alarm_is_on;
        alarm(&mut self.web.sim, "errors", if self.alarm_is_on { "ALARM" } else { "OK" });
    }

    fn scale(&mut self, desired: usize) {
        // Nobody need be healthy where nobody is to be, and then it takes its time.
        if desired == 0 || self.desired == 0 {
            self.excused = [true; 2];
        }
        self.desired = desired;
        self.web.sim.update(json!({ "desiredCount": desired }));
    }

    /// A task that runs, and does not end yet.
    fn victim(&mut self, which: usize) -> Option<(Value, String)> {
        let up: Vec<Value> =
            self.web.sim.tasks("RUNNING").into_iter().filter(|task| task["lastStatus"] == "RUNNING").collect();
        let task = up.get(which % up.len().max(1))?.clone();
        let id = short(task["taskArn"].as_str().unwrap()).to_owned();
        self.tasks.get_mut(&id).unwrap().hurt = true;
        Some((task, id))
    }

    // ── those who run the tasks ────────────────────────────────────────────────

    fn run_tasks(&mut self) {
        let now = self.web.sim.now;
        for order in run::orders(&mut self.web.sim.world, now) {
            match order {
                run::Order::Start(task) => {
                    let up = run::launch(&mut self.web.sim.world, &task, now).is_some();
                    self.tasks.entry(task).or_default().up_at = up.then_some(now + 3000);
                }
                run::Order::Stop(task) => {
                    let known = self.tasks.entry(task).or_default();
                    (known.up_at, known.end_at) = (None, Some(now + 2000));
                }
            }
        }
        for (task, known) in &mut self.tasks {
            let mut tell = |report| run::report(&mut self.web.sim.world, task, report, now);
            if known.up_at.is_some_and(|at| at <= now) {
                known.up_at = None;
                self.port += 1;
                known.target = Some(Target { address: "127.0.0.1".into(), port: self.port });
                let bindings = vec![Binding { container_port: 80, host_port: self.port, protocol: "tcp".into() }];
                tell(Report::Started(vec![run::Started {
                    container: "app".into(),
                    runtime_id: task.clone(),
                    bindings,
                }]));
            }
            if known.end_at.is_some_and(|at| at <= now) {
                known.end_at = None;
                tell(Report::Exited { container: "app".into(), code: 0, reason: None });
                tell(Report::Gone);
            }
        }
    }

    fn probe(&mut self) {
        let (now, pace) = (self.web.sim.now, self.web.sim.world.pace);
        if now < self.next_probe {
            return;
        }
        self.next_probe = now + 5000;
        for target in self.tasks.values().filter_map(|known| known.target.clone()) {
            for group in &self.web.groups {
                let outcome = if self.sick.contains(&target) {
                    ProbeOutcome::Failed(Failing::Code(500))
                } else {
                    ProbeOutcome::Passed
                };
                self.web.sim.world.elb.probe_result(group, &target, outcome, pace, now);
            }
        }
    }

    // ── what can be seen ───────────────────────────────────────────────────────

    fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        for wanted in [true, false] {
            for task in self.web.sim.tasks(if wanted { "RUNNING" } else { "STOPPED" }) {
                told.push(Told {
                    id: short(task["taskArn"].as_str().unwrap()).to_owned(),
                    by: task["startedBy"].as_str().unwrap().to_owned(),
                    wanted,
                    over: task["lastStatus"] == "STOPPED",
                });
            }
        }
        told
    }

    /// Tasks that are to run and whose target is healthy, with the group it stands in.
    fn healthy_now(&mut self) -> BTreeMap<String, usize> {
        let told = self.told();
        let elb = &self.web.sim.world.elb;
        let mut healthy = BTreeMap::new();
        for task in told.into_iter().filter(|task| task.wanted) {
            let Some(target) = self.tasks.get(&task.id).and_then(|known| known.target.as_ref()) else { continue };
            for (group, arn) in self.web.groups.iter().enumerate() {
                if elb.health(arn, target).state == TargetState::Healthy {
                    healthy.insert(task.id.clone(), group);
                }
            }
        }
        healthy
    }

    // ── what must come of it ───────────────────────────────────────────────────

    fn call_pauses(course: &mut Course, stage: &str, now: Millis) -> bool {
        let called = course.asked.pauses.iter().filter(|(at, ..)| *at == stage);
        let called: Vec<Pause> = called
            .map(|(_, minutes, goes_on)| Pause::Waits { until: now + minutes * 60_000, goes_on: *goes_on })
            .collect();
        course.pauses.extend(&called);
        !called.is_empty()
    }

    fn enter(&mut self, stage: usize, now: Millis) {
        let course = self.course.as_mut().unwrap();
        (course.stage, course.since) = (stage, now);
        Self::call_pauses(course, STAGES[stage], now);
        if stage == TEST_SHIFT {
            self.give(1, ALL);
        }
    }

    /// The new revision's group has so much of a rule's traffic.
    fn give(&mut self, rule: usize, share: u32) {
        let group = self.course.as_ref().unwrap().to.group;
        self.shares[rule][group] = share;
        self.shares[rule][1 - group] = ALL - share;
    }

    fn give_back(&mut self) {
        for rule in &mut self.shares {
            rule[self.in_service.group] = ALL;
            rule[1 - self.in_service.group] = 0;
        }
    }

    fn give_up(&mut self, now: Millis) {
        let returns = self.can_return;
        let course = self.course.as_mut().unwrap();
        match course.status {
            "ROLLBACK_IN_PROGRESS" => (course.status, self.can_return) = ("ROLLBACK_FAILED", false),
            _ if returns => {
                course.status = "ROLLBACK_IN_PROGRESS";
                for pause in &mut course.pauses {
                    if matches!(pause, Pause::Waits { .. }) {
                        *pause = Pause::Done("FAILED");
                    }
                }
                (course.stage, course.since) = (CLEAN_UP, now);
                self.abandoned.insert(course.to.id.clone());
                self.give_back();
            }
            _ => {
                course.status = "STOPPED";
                self.abandoned.insert(course.to.id.clone());
            }
        }
    }

    /// One look: `before` is what could be seen, `failed` how many failures of the primary are counted by now.
    fn foretell(&mut self, before: &[Told], healthy: &BTreeMap<String, usize>, failed: u64, now: Millis) {
        for status in self.statuses.values_mut().filter(|status| *status == "STOP_REQUESTED") {
            "STOPPED".clone_into(status);
        }
        let threshold = (self.desired as u64).div_ceil(2).clamp(3, 200);
        let in_service = self.in_service.id.clone();
        let Some(course) = self.course.as_mut() else { return };
        let to = course.to.id.clone();
        let earlier = |task: &&Told| task.by != to && task.by != in_service;
        let shifts = course.asked.shifts();
        match course.status {
            "PENDING" => {
                (course.status, course.deaf, course.desired) = ("IN_PROGRESS", self.alarm_is_on, self.desired);
                self.give_back();
                if shifts {
                    let left = before.iter().any(|task| earlier(&task) && task.wanted);
                    self.enter(if left { RECONCILE } else { PRE_SCALE_UP }, now);
                }
                return;
            }
            "ROLLBACK_REQUESTED" => return self.give_up(now),
            "IN_PROGRESS" | "ROLLBACK_IN_PROGRESS" => {}
            _ => return,
        }
        let forward = course.status == "IN_PROGRESS";
        let is_late = forward && shifts && course.stage == CLEAN_UP;
        if failed >= threshold && !is_late {
            return self.give_up(now);
        }
        if forward && self.alarm_is_on && !course.deaf && !is_late {
            match course.asked.on_alarm {
                OnAlarm::Nothing => {}
                OnAlarm::Back => return self.give_up(now),
                OnAlarm::End => {
                    course.status = "STOPPED";
                    self.abandoned.insert(course.to.id.clone());
                    return;
                }
            }
        }
        if forward && shifts {
            let mine = before.iter().filter(|task| task.by == to && healthy.contains_key(&task.id)).count();
            let whole = before.iter().filter(|task| task.by == in_service && healthy.contains_key(&task.id)).count();
            // A revision that has failed in coming back comes back no more: what stands beside it goes on serving.
            let reconciled = if self.can_return {
                before.iter().filter(earlier).all(|task| task.over) && whole >= course.desired.min(self.desired)
            } else {
                before.iter().filter(earlier).all(|task| task.over || self.groups[&task.by] == self.in_service.group)
            };
            self.go_on(mine, reconciled, now);
        }
    }

    /// At most one stage with a look.
    fn go_on(&mut self, mine: usize, reconciled: bool, now: Millis) {
        let desired = self.desired;
        let course = self.course.as_mut().unwrap();
        let mut waits = false;
        for pause in &mut course.pauses {
            match *pause {
                Pause::Waits { until, goes_on } if until <= now => {
                    *pause = Pause::Done("TIMED_OUT");
                    if !goes_on {
                        return self.give_up(now);
                    }
                }
                Pause::Waits { .. } => waits = true,
                Pause::Done("FAILED") => return self.give_up(now),
                Pause::Done(_) => {}
            }
        }
        if waits {
            return;
        }
        // Nothing is sent to where nobody would answer.
        let somebody = mine > 0 || desired == 0;
        let minutes = |minutes: u64| minutes * 60_000;
        let next = match course.stage {
            RECONCILE => reconciled,
            SCALE_UP => mine >= desired,
            PRODUCTION_SHIFT => {
                let shares = course.asked.shares();
                let is_time = course.given_at.is_none_or(|at| now >= at + minutes(course.asked.part_minutes));
                if course.given < shares.len() && is_time && somebody {
                    if !course.called && Self::call_pauses(course, BEFORE_EVERY_PART, now) {
                        course.called = true;
                        return;
                    }
                    (course.given_at, course.called) = (Some(now), false);
                    course.given += 1;
                    let share = shares[course.given - 1];
                    return self.give(0, share);
                }
                course.given == shares.len()
            }
            BAKE => now >= course.since + minutes(course.asked.bake_minutes),
            CLEAN_UP => false,
            stage => stage + 1 != TEST_SHIFT || somebody,
        };
        if next {
            let stage = course.stage + 1;
            self.enter(stage, now);
        }
    }

    /// An end that was seen, if it was time for it.
    fn accept_end(&mut self, seen: &str, before: &[Told], healthy: &BTreeMap<String, usize>) {
        let Some(course) = self.course.as_mut() else { return };
        let (end, winner) = match (course.status, seen) {
            ("IN_PROGRESS", "SUCCESSFUL") => ("SUCCESSFUL", course.to.clone()),
            ("ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL") => ("ROLLBACK_SUCCESSFUL", self.in_service.clone()),
            _ => return,
        };
        assert!(!course.asked.shifts() || course.stage == CLEAN_UP, "{end} in {}", STAGES[course.stage]);
        let left: Vec<&Told> = before.iter().filter(|task| task.by != winner.id && !task.over).collect();
        assert!(left.is_empty(), "{end} with {left:?}");
        let mine = before.iter().filter(|task| task.by == winner.id && healthy.contains_key(&task.id)).count();
        assert!(mine >= self.desired, "{end} with {mine} of {}", self.desired);
        course.status = end;
        if winner != self.in_service {
            self.abandoned.insert(self.in_service.id.clone());
        }
        (self.in_service, self.can_return) = (winner, true);
    }

    // ── a tick ─────────────────────────────────────────────────────────────────

    fn tick(&mut self, length: Millis) {
        self.web.sim.now += length;
        let (now, pace) = (self.web.sim.now, self.web.sim.world.pace);
        self.web.sim.world.elb.tick(pace, now);
        self.probe();
        if now < self.next_look {
            tick(&mut self.web.sim.world, now);
        } else {
            self.next_look = now + LOOK;
            let (before, healthy) = (self.told(), self.healthy_now());
            tick(&mut self.web.sim.world, now);
            self.compare(&before, &healthy, now);
        }
        self.run_tasks();
    }

    fn compare(&mut self, before: &[Told], healthy: &BTreeMap<String, usize>, now: Millis) {
        let service = self.web.sim.service();
        let deployments = service["deployments"].as_array().unwrap();
        // Rule 6.
        assert_eq!(deployments.iter().filter(|one| one["status"] == "PRIMARY").count(), 1);
        let returning = self.course.as_ref().is_some_and(|course| course.status == "ROLLBACK_IN_PROGRESS");
        let primary =
            if returning { Some(&self.in_service.id) } else { self.course.as_ref().map(|course| &course.to.id) };
        let failed = deployments.iter().find(|one| one["id"].as_str() == primary.map(String::as_str));
        let failed = failed.map_or(0, |one| one["failedTasks"].as_u64().unwrap());
        let was = self.shares;
        self.foretell(before, healthy, failed, now);
        let current = self.web.sim.current();
        self.accept_end(current["status"].as_str().unwrap(), before, healthy);
        self.compare_course(&current, now);
        self.compare_traffic(was, healthy);
        self.compare_tasks(before);
        self.compare_records(&service);
    }

    /// Rule 1.
    fn compare_course(&mut self, current: &Value, now: Millis) {
        let Some(course) = &self.course else { return };
        let at = now - BEGIN;
        assert_eq!(current["serviceDeploymentArn"], course.arn);
        assert_eq!(current["status"], course.status, "at {at}: {course:#?} {:#?}", self.web.sim.events());
        if !course.asked.shifts() {
            return;
        }
        if ["IN_PROGRESS", "ROLLBACK_IN_PROGRESS"].contains(&course.status) {
            assert_eq!(current["lifecycleStage"], STAGES[course.stage], "at {at}: {course:#?}");
            let shown = current["lifecycleHookDetails"].as_array().cloned().unwrap_or_default();
            let shown: Vec<&str> = shown.iter().map(|hook| hook["status"].as_str().unwrap()).collect();
            let expected = course.pauses.iter().map(|pause| match pause {
                Pause::Waits { .. } => "AWAITING_ACTION",
                Pause::Done(word) => word,
            });
            assert_eq!(shown, expected.collect::<Vec<_>>(), "at {at}: {course:#?}");
        }
        let weight = |summary: &Value| {
            let percent = summary["requestedProductionTrafficWeight"].as_f64().unwrap();
            format!("{:.0}", percent * 10.0).parse::<u32>().unwrap()
        };
        let target = weight(&current["targetServiceRevision"]);
        let sources: u32 = current["sourceServiceRevisions"].as_array().unwrap().iter().map(weight).sum();
        assert_eq!(target + sources, ALL, "{current:#}");
        assert_eq!(target, self.shares[0][course.to.group], "at {at}: {current:#}");
    }

    /// Rules 1 to 3.
    fn compare_traffic(&mut self, was: [[u32; 2]; 2], before: &BTreeMap<String, usize>) {
        let after = self.healthy_now();
        let stands = |healthy: &BTreeMap<String, usize>, group: usize| healthy.values().any(|it| *it == group);
        for group in [0, 1] {
            if stands(&after, group) {
                self.excused[group] = false;
                continue;
            }
            let lost = |(id, at): (&String, &usize)| *at == group && self.tasks[id].hurt;
            self.excused[group] |= self.healthy.iter().any(lost) || self.desired == 0;
        }
        for (index, rule) in [self.web.production.clone(), self.web.test.clone()].into_iter().enumerate() {
            let weights = self.web.weights(&rule);
            let sum: u32 = weights.iter().sum();
            assert!([100, ALL].contains(&sum), "{weights:?}");
            let shares = weights.map(|weight| weight * ALL / sum);
            assert_eq!(shares, self.shares[index], "rule {index}: {:#?} {:#?}", self.course, self.web.sim.events());
            for group in [0, 1] {
                let excused = self.excused[group] || stands(&after, group);
                assert!(
                    shares[group] == 0 || excused,
                    "rule {index} sends {} ‰ to group {group}, where nobody is: {:#?} {:#?}",
                    shares[group],
                    self.course,
                    self.web.sim.events()
                );
                let forward = self.course.as_ref().is_some_and(|it| it.to.group == group && it.status == "IN_PROGRESS");
                let raised = shares[group] > was[index][group] && forward && self.desired > 0;
                assert!(
                    !raised || stands(before, group),
                    "given to group {group}, where nobody is: {:#?}",
                    self.course
                );
            }
        }
        self.healthy = after;
    }

    /// Rules 4 and 5.
    fn compare_tasks(&mut self, before: &[Told]) {
        let after = self.told();
        let known: BTreeSet<&String> = before.iter().map(|task| &task.id).collect();
        let (stage, forward) = self.course.as_ref().map_or((CLEAN_UP, false), |course| {
            (course.stage, course.asked.shifts() && course.status == "IN_PROGRESS")
        });
        for task in after.iter().filter(|task| !known.contains(&task.id)) {
            assert!(!self.abandoned.contains(&task.by), "{} was given up, and starts a task", task.by);
            let is_new = task.by != self.in_service.id;
            assert!(!forward || !is_new || stage >= SCALE_UP, "started in {}", STAGES[stage]);
        }
        let taken_back =
            self.course.as_ref().filter(|course| course.asked.shifts() && course.status == "ROLLBACK_IN_PROGRESS");
        if let Some(course) = taken_back {
            let left = after.iter().filter(|task| task.by == course.to.id && task.wanted).count();
            assert_eq!(left, 0, "taken back, and still wanted: {:#?}", self.web.sim.events());
        }
        let scaled: Vec<Value> = self.web.sim.tasks("STOPPED");
        for task in after.iter().filter(|task| !task.wanted) {
            let one = self.tasks.entry(task.id.clone()).or_default();
            if std::mem::replace(&mut one.dismissed, true) || !forward || task.by != self.in_service.id {
                continue;
            }
            let why = scaled.iter().find(|it| it["taskArn"].as_str().is_some_and(|arn| short(arn) == task.id));
            let why = why.and_then(|it| it["stoppedReason"].as_str()).unwrap_or_default();
            assert!(stage == CLEAN_UP || !why.starts_with("Scaling activity"), "{why} in {}", STAGES[stage]);
        }
    }

    /// Rule 6.
    fn compare_records(&mut self, service: &Value) {
        let listed = self.web.sim.call("ListServiceDeployments", &json!({ "cluster": "jobs", "service": "web" }));
        let records = listed["serviceDeployments"].as_array().unwrap();
        assert_eq!(records[0]["serviceDeploymentArn"], service["currentServiceDeployment"]);
        for record in records {
            let (arn, now) = (record["serviceDeploymentArn"].as_str().unwrap(), record["status"].as_str().unwrap());
            let mine = self.course.as_ref().filter(|course| course.arn == arn);
            if let Some(course) = mine {
                assert_eq!(now, course.status);
                continue;
            }
            let was = self.statuses.entry(arn.to_owned()).or_insert_with(|| now.to_owned());
            assert_eq!(now, was, "{arn}");
            assert!(["SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"].contains(&now), "{now}");
        }
    }
}

// ── whatever happens ─────────────────────────────────────────────────────────────

#[derive(Debug, Clone)]
enum Move {
    Deploy(Asked),
    DeployBroken(Asked),
    Stop,
    Answer { which: usize, goes_on: bool },
    Ring,
    Scale(usize),
    Crash(usize),
    Sicken(usize),
    StopTask(usize),
    Wait(u64),
}

fn asked() -> impl proptest::strategy::Strategy<Value = Asked> {
    let way = prop_oneof![
        1 => Just(Way::Rolling),
        3 => Just(Way::BlueGreen),
        3 => prop_oneof![Just(100), Just(300), Just(500), Just(335), Just(1000)].prop_map(Way::Linear),
        3 => prop_oneof![Just(1), Just(50), Just(225), Just(1000)].prop_map(Way::Canary),
    ];
    let stage = prop_oneof![
        Just("RECONCILE_SERVICE"),
        Just("PRE_SCALE_UP"),
        Just("POST_SCALE_UP"),
        Just("POST_TEST_TRAFFIC_SHIFT"),
        Just(BEFORE_EVERY_PART),
        Just("POST_PRODUCTION_TRAFFIC_SHIFT"),
    ];
    let pauses = proptest::collection::vec((stage, 1_u64..8, any::<bool>()), 0..3);
    let on_alarm = prop_oneof![2 => Just(OnAlarm::Nothing), 2 => Just(OnAlarm::Back), 1 => Just(OnAlarm::End)];
    (way, 0_u64..3, 0_u64..4, pauses, on_alarm).prop_map(|(way, part_minutes, bake_minutes, pauses, on_alarm)| {
        let pauses = if way == Way::Rolling { Vec::new() } else { pauses };
        Asked { way, part_minutes, bake_minutes, pauses, on_alarm }
    })
}

fn moves() -> impl proptest::strategy::Strategy<Value = Move> {
    prop_oneof![
        4 => asked().prop_map(Move::Deploy),
        1 => asked().prop_map(Move::DeployBroken),
        1 => Just(Move::Stop),
        3 => (any::<usize>(), prop_oneof![4 => Just(true), 1 => Just(false)])
            .prop_map(|(which, goes_on)| Move::Answer { which, goes_on }),
        1 => Just(Move::Ring),
        1 => (0_usize..5).prop_map(Move::Scale),
        1 => any::<usize>().prop_map(Move::Crash),
        1 => any::<usize>().prop_map(Move::Sicken),
        1 => any::<usize>().prop_map(Move::StopTask),
        8 => (1_u64..240).prop_map(Move::Wait),
    ]
}

fn make(model: &mut Model, next: Move) {
    match next {
        Move::Deploy(asked) => model.deploy(asked, "app:next"),
        Move::DeployBroken(asked) => model.deploy(asked, "127.0.0.1:4517/jobs/api:gone"),
        Move::Stop => model.stop(),
        Move::Answer { which, goes_on } => model.answer(which, goes_on),
        Move::Ring => model.ring(),
        Move::Scale(desired) => model.scale(desired),
        Move::Crash(which) => {
            if let Some((task, _)) = model.victim(which) {
                model.web.sim.crash(&task, 1);
            }
        }
        Move::Sicken(which) => {
            if let Some((_, id)) = model.victim(which) {
                model.sick.extend(model.tasks[&id].target.clone());
            }
        }
        Move::StopTask(which) => {
            if let Some((task, _)) = model.victim(which) {
                model.web.sim.call("StopTask", &json!({ "cluster": "jobs", "task": task["taskArn"] }));
            }
        }
        Move::Wait(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_look_goes_as_the_model_foretells(
        rolling in any::<bool>(),
        desired in 1_u32..4,
        ticks in proptest::collection::vec(prop_oneof![Just(500), Just(1000), Just(2500), Just(4000), Just(13_000)], 1..6),
        moves in proptest::collection::vec(moves(), 1..16),
    ) {
        let mut model = Model::begin(rolling, desired);
        let mut ticks = ticks.into_iter().cycle();
        for next in moves {
            let until = model.web.sim.now + match next { Move::Wait(seconds) => seconds * 1000, _ => 500 };
            make(&mut model, next);
            while model.web.sim.now < until {
                model.tick(ticks.next().unwrap());
            }
        }
        // Nobody disturbs it any more, and pauses run out.
        let end = model.web.sim.now + 6 * 60 * 60 * 1000;
        let over = |model: &mut Model| {
            let ended = !["PENDING", "IN_PROGRESS", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"]
                .iter().any(|status| model.course.as_ref().is_some_and(|course| course.status == *status));
            ended && (!model.can_return || model.course.as_ref().is_some_and(|it| it.status == "STOPPED") || model.web.sim.is_steady())
        };
        let mut quiet = 0;
        while quiet < 5 {
            assert!(model.web.sim.now < end, "{:#?} {:#?}", model.course, model.web.sim.events());
            let before = model.next_look;
            model.tick(2500);
            if model.next_look != before {
                quiet = if over(&mut model) { quiet + 1 } else { 0 };
            }
        }
        let is_whole = model.course.as_ref().is_none_or(|course| course.status.ends_with("SUCCESSFUL"));
        if is_whole {
            let group = model.in_service.group;
            for task in model.web.sim.tasks("RUNNING") {
                assert_eq!(task["startedBy"], model.in_service.id);
            }
            assert_eq!(model.healthy.values().filter(|at| **at == group).count(), model.desired);
            assert_eq!(model.shares, [0, 1].map(|_| [0, 1].map(|it| if it == group { ALL } else { 0 })));
        }
    }
}

/// What the model has found: courses that chance seldom takes, each with something to overtake midway.
#[test]
fn what_was_found_once_goes_as_the_model_foretells() {
    let asked = |way, on_alarm| Asked { way, part_minutes: 2, bake_minutes: 0, pauses: Vec::new(), on_alarm };
    let linear = || Move::Deploy(asked(Way::Linear(300), OnAlarm::End));
    let courses = [
        // Overtaken with some of the traffic shifted, by one that shifts none.
        vec![linear(), Move::Wait(150), Move::Deploy(asked(Way::Rolling, OnAlarm::Nothing)), Move::Wait(200)],
        // Failed with some of the traffic shifted, and no way back is wanted.
        vec![linear(), Move::Wait(150), Move::Ring, Move::Wait(200), Move::Ring, linear(), Move::Wait(60)],
        // Overtaken while the old revision is taken away.
        vec![
            Move::Deploy(asked(Way::BlueGreen, OnAlarm::Nothing)),
            Move::Wait(121),
            Move::Deploy(asked(Way::BlueGreen, OnAlarm::Nothing)),
            Move::Wait(200),
        ],
    ];
    for course in courses {
        let mut model = Model::begin(false, 2);
        for next in course {
            let until = model.web.sim.now + if let Move::Wait(seconds) = next { seconds * 1000 } else { 500 };
            make(&mut model, next);
            while model.web.sim.now < until {
                model.tick(500);
            }
        }
    }
}
