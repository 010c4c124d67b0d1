//! The scheduler against a small model of it, which knows nothing but what the API tells and what was done to the world.
//!
//! The model is the one that runs the tasks, probes the targets and asks for things, at random; it keeps its own books
//! in its own way, and after every half second compares:
//!
//! 1. started only up to `floor(maximumPercent)`, RUNNING and PENDING together;
//! 2. nothing healthy stopped by the scheduler below `ceil(minimumHealthyPercent)`;
//! 3. no stop of the scheduler's for a task behind a target before its deregistration delay is over;
//! 4. no new request to a target that is deregistered;
//! 5. as many targets said to be registered and deregistered as there were;
//! 6. "deployment completed" before "steady state";
//! 7. the revision, the statuses and the counts that the calls so far must lead to.

use std::collections::BTreeSet;

use proptest::prelude::{Just, ProptestConfig, Strategy as _, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use elb::{Duty, Failing, ProbeOutcome, Routes, Target, TargetState};

/// What the model knows of a task.
#[derive(Debug, Default)]
struct Known {
    definition: String,
    target: Option<Target>,
    /// Whether its target was seen registered.
    seated: bool,
    up_since: Option<Millis>,
    /// When its target was first seen out of service.
    left_at: Option<Millis>,
}

#[derive(Debug)]
enum Due {
    Up(String),
    Down(String),
}

struct Model {
    sim: Sim,
    group: Option<String>,
    delay: Millis,
    /// `minimumHealthyPercent`, `maximumPercent`.
    percents: (u64, u64),
    desired: u64,
    /// The task definition that the service must have.
    definition: String,
    /// Deployment id → task definition.
    deployments: BTreeMap<String, String>,
    tasks: BTreeMap<String, Known>,
    /// Service deployment → status as last seen.
    statuses: BTreeMap<String, String>,
    completed: bool,
    newest_event: Option<String>,
    /// Targets said to have come and not to have gone.
    seated: i64,
    due: Vec<(Millis, Due)>,
    sick: BTreeSet<Target>,
    port: u16,
}

impl Model {
    fn begin(balanced: bool, delay: u64, desired: u64, percents: (u64, u64)) -> Self {
        let mut sim = Sim::new();
        made_of(&mut sim.world, Substance::Containers);
        let definition = sim.register("app:1");
        let group = balanced.then(|| sim.target_group(&delay.to_string()));
        let balancers =
            group.iter().map(|group| json!({ "targetGroupArn": group, "containerName": "app", "containerPort": 80 }));
        let made = sim.call(
            "CreateService",
            &json!({
                "cluster": "jobs", "serviceName": "web", "taskDefinition": definition, "desiredCount": desired,
                "loadBalancers": balancers.collect::<Vec<_>>(),
                "deploymentConfiguration": { "minimumHealthyPercent": percents.0, "maximumPercent": percents.1,
                    "deploymentCircuitBreaker": { "enable": true, "rollback": true } }
            }),
        );
        let mut model = Self {
            sim,
            group,
            delay: delay * 1000,
            percents,
            desired,
            definition,
            deployments: BTreeMap::new(),
            tasks: BTreeMap::new(),
            statuses: BTreeMap::new(),
            completed: false,
            newest_event: None,
            seated: 0,
            due: Vec::new(),
            sick: BTreeSet::new(),
            port: 20_000,
        };
        model.note(&made["service"]);
        model
    }

    /// A call has begun a deployment.
    fn note(&mut self, service: &Value) {
        let newest = &service["deployments"][0];
        let (id, definition) = (newest["id"].as_str().unwrap(), newest["taskDefinition"].as_str().unwrap());
        if self.deployments.insert(id.to_owned(), definition.to_owned()).is_none() {
            self.completed = false;
            definition.clone_into(&mut self.definition);
        }
    }

    fn ask(&mut self, input: Value) {
        let answer = self.sim.update(input);
        self.note(&answer);
    }

    // ── those who run the tasks ────────────────────────────────────────────────

    fn run_tasks(&mut self) {
        let now = self.sim.now;
        for order in run::orders(&mut self.sim.world, now) {
            match order {
                run::Order::Start(task) => {
                    let launched = run::launch(&mut self.sim.world, &task, now).is_some();
                    if launched {
                        self.due.push((now + 3000, Due::Up(task)));
                    }
                }
                run::Order::Stop(task) => {
                    self.check_stop(&task);
                    self.due.retain(|(_, due)| !matches!(due, Due::Up(up) if *up == task));
                    self.due.push((now + 2000, Due::Down(task)));
                }
            }
        }
        let (ready, later) = std::mem::take(&mut self.due).into_iter().partition(|(at, _)| *at <= now);
        self.due = later;
        for (_, due) in Vec::from_iter::<Vec<_>>(ready) {
            match due {
                Due::Up(task) => {
                    self.port += 1;
                    let bindings = vec![Binding { container_port: 80, host_port: self.port, protocol: "tcp".into() }];
                    let started = run::Started { container: "app".into(), runtime_id: task.clone(), bindings };
                    run::report(&mut self.sim.world, &task, Report::Started(vec![started]), now);
                    let known = self.tasks.entry(task).or_default();
                    known.up_since = Some(now);
                    known.target =
                        self.group.is_some().then(|| Target { address: "127.0.0.1".into(), port: self.port });
                }
                Due::Down(task) => {
                    run::report(
                        &mut self.sim.world,
                        &task,
                        Report::Exited { container: "app".into(), code: 0, reason: None },
                        now,
                    );
                    run::report(&mut self.sim.world, &task, Report::Gone, now);
                }
            }
        }
    }

    fn probe(&mut self) {
        let Some(group) = self.group.clone() else { return };
        let (now, pace) = (self.sim.now, self.sim.world.pace);
        if !now.is_multiple_of(5000) {
            return;
        }
        for target in self.tasks.values().filter_map(|known| known.target.clone()).collect::<Vec<_>>() {
            let outcome = if self.sick.contains(&target) {
                ProbeOutcome::Failed(Failing::Code(500))
            } else {
                ProbeOutcome::Passed
            };
            self.sim.world.elb.probe_result(&group, &target, outcome, pace, now);
        }
    }

    fn state(&self, target: &Target) -> TargetState {
        self.group.as_ref().map_or(TargetState::Unused, |group| self.sim.world.elb.health(group, target).state)
    }

    /// The four-way table, without the rows of container health checks.
    fn is_healthy(&self, known: &Known) -> bool {
        match &known.target {
            Some(target) => self.state(target) == TargetState::Healthy,
            None => known.up_since.is_some_and(|since| self.sim.now >= since + 40_000),
        }
    }

    /// Rule 3.
    fn check_stop(&self, task: &str) {
        let Some(known) = self.tasks.get(task) else { return };
        let (Some(_), Some(left)) = (&known.target, known.left_at) else { return };
        let shown = self.sim.world.ecs.tasks[task].describe(&self.sim.world.place, false);
        if shown["stopCode"] == "ServiceSchedulerInitiated" {
            assert!(self.sim.now + 500 >= left + self.delay, "signalled {} ms after it left", self.sim.now - left);
        }
    }

    // ── half a second ──────────────────────────────────────────────────────────

    fn step(&mut self) {
        self.sim.now += 500;
        let (now, pace) = (self.sim.now, self.sim.world.pace);
        self.sim.world.elb.tick(pace, now);
        self.probe();
        let healthy: BTreeSet<String> =
            self.tasks.iter().filter(|(_, known)| self.is_healthy(known)).map(|(id, _)| id.clone()).collect();
        let before = self.sim.world.revision();
        tick(&mut self.sim.world, now);
        if self.sim.world.revision() != before {
            self.compare(&healthy);
        }
        self.run_tasks();
    }

    fn compare(&mut self, healthy: &BTreeSet<String>) {
        let service = self.sim.service();
        let (minimum, maximum) = ((self.desired * self.percents.0).div_ceil(100), self.desired * self.percents.1 / 100);
        let count = |member: &str| service[member].as_u64().unwrap();
        assert_eq!(count("desiredCount"), self.desired);
        assert_eq!(service["deployments"][0]["status"], "PRIMARY");

        // Started, and chosen to stop, in this look.
        let (mut started, mut dismissed) = (0, 0);
        let kept: Vec<Value> = self.sim.tasks("RUNNING");
        let ids = |tasks: &[Value]| -> Vec<String> {
            tasks.iter().map(|task| short(task["taskArn"].as_str().unwrap()).to_owned()).collect()
        };
        for (id, task) in ids(&kept).into_iter().zip(&kept) {
            let known = self.tasks.entry(id).or_default();
            if known.definition.is_empty() {
                task["taskDefinitionArn"].as_str().unwrap().clone_into(&mut known.definition);
                started += 1;
            }
        }
        let going = self.sim.tasks("STOPPED");
        for (id, task) in ids(&going).into_iter().zip(&going) {
            let first = task["stoppingAt"] == input::seconds(self.sim.now);
            let scaled = task["stoppedReason"].as_str().is_some_and(|why| why.starts_with("Scaling activity"));
            dismissed += u64::from(first && scaled && healthy.contains(&id));
        }
        // Rule 1.
        assert!(started == 0 || count("runningCount") + count("pendingCount") <= maximum, "{:#?}", self.sim.events());
        // Rule 2.
        let left = ids(&kept).iter().filter(|id| healthy.contains(*id)).count() as u64;
        assert!(dismissed == 0 || left >= minimum, "{left} < {minimum}: {:#?}", self.sim.events());
        self.compare_targets();
        self.hear(&service);
        self.compare_records(&service);
        assert_eq!(service["taskDefinition"], self.definition, "{:#?}", self.sim.events());
    }

    /// Rule 4, and when targets left.
    fn compare_targets(&mut self) {
        let routes = Routes::of(&self.sim.world.elb);
        let duty = |target: &Target| {
            routes
                .groups
                .iter()
                .flat_map(|group| &group.targets)
                .find(|known| known.target == *target)
                .map(|one| one.duty)
        };
        for id in self.tasks.keys().cloned().collect::<Vec<_>>() {
            let Some(target) = self.tasks[&id].target.clone() else { continue };
            let state = self.state(&target);
            let known = self.tasks.get_mut(&id).unwrap();
            known.seated |= state != TargetState::Unused;
            if known.seated && matches!(state, TargetState::Draining | TargetState::Unused) {
                known.left_at.get_or_insert(self.sim.now);
                assert_ne!(duty(&target), Some(Duty::Serving));
            }
        }
    }

    /// Rules 5 and 6: every event once, in the order they were said.
    fn hear(&mut self, service: &Value) {
        let events = service["events"].as_array().unwrap();
        let new: Vec<&Value> =
            events.iter().take_while(|event| event["id"].as_str() != self.newest_event.as_deref()).collect();
        for event in new.iter().rev() {
            let text = event["message"].as_str().unwrap().strip_prefix("(service web) ").unwrap();
            let number = || text.split(' ').nth(1).unwrap().parse::<i64>().unwrap();
            match text {
                _ if text.starts_with("registered ") => self.seated += number(),
                _ if text.starts_with("deregistered ") => self.seated -= number(),
                _ if text.ends_with("deployment completed.") => self.completed = true,
                "has reached a steady state." => assert!(self.completed, "{:#?}", self.sim.events()),
                _ => {
                    if let Some(id) = text.strip_prefix("rolling back to deployment ") {
                        self.completed = false;
                        self.definition = self.deployments[id.trim_end_matches('.')].clone();
                    }
                }
            }
        }
        self.newest_event = events.first().and_then(|event| event["id"].as_str()).map(ToOwned::to_owned);
        let seats =
            self.sim.world.elb.target_group(self.group.as_deref().unwrap_or_default()).map_or(0, |group| {
                group.registrations.iter().filter(|registration| !registration.is_draining()).count()
            });
        assert_eq!(self.seated, i64::try_from(seats).unwrap(), "{:#?}", self.sim.events());
    }

    /// Rule 7: how the status of a service deployment may follow another.
    fn compare_records(&mut self, service: &Value) {
        let listed = self.sim.call("ListServiceDeployments", &json!({ "cluster": "jobs", "service": "web" }));
        let records = listed["serviceDeployments"].as_array().unwrap();
        assert_eq!(records[0]["serviceDeploymentArn"], service["currentServiceDeployment"]);
        for (index, record) in records.iter().enumerate() {
            let (arn, now) = (record["serviceDeploymentArn"].as_str().unwrap(), record["status"].as_str().unwrap());
            let was = self.statuses.insert(arn.to_owned(), now.to_owned()).unwrap_or_else(|| "PENDING".to_owned());
            let legal: &[&str] = match was.as_str() {
                "PENDING" => {
                    &["IN_PROGRESS", "STOP_REQUESTED", "STOPPED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"]
                }
                "IN_PROGRESS" => {
                    &["SUCCESSFUL", "STOP_REQUESTED", "STOPPED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"]
                }
                "ROLLBACK_REQUESTED" => &["ROLLBACK_IN_PROGRESS", "STOP_REQUESTED", "STOPPED"],
                "ROLLBACK_IN_PROGRESS" => &["ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED", "STOP_REQUESTED", "STOPPED"],
                "STOP_REQUESTED" => &["STOPPED"],
                _ => &[],
            };
            assert!(was == now || legal.contains(&now), "{was} → {now}");
            assert!(index == 0 || ["PENDING", "IN_PROGRESS"].iter().all(|live| *live != now), "two at once");
        }
    }
}

#[derive(Debug, Clone)]
enum Move {
    Deploy,
    DeployBroken,
    Force,
    Scale(u64),
    Crash(usize),
    Sicken(usize),
    StopTask(usize),
    StopDeployment,
    Wait(u64),
}

fn moves() -> impl proptest::strategy::Strategy<Value = Move> {
    prop_oneof![
        2 => Just(Move::Deploy),
        1 => Just(Move::DeployBroken),
        1 => Just(Move::Force),
        1 => (0_u64..6).prop_map(Move::Scale),
        2 => any::<usize>().prop_map(Move::Crash),
        2 => any::<usize>().prop_map(Move::Sicken),
        1 => any::<usize>().prop_map(Move::StopTask),
        1 => Just(Move::StopDeployment),
        6 => (1_u64..60).prop_map(Move::Wait),
    ]
}

fn make(model: &mut Model, next: &Move) {
    let up = |model: &mut Model, which: usize| {
        let running = model.sim.tasks("RUNNING");
        let up: Vec<Value> = running.into_iter().filter(|task| task["lastStatus"] == "RUNNING").collect();
        (!up.is_empty()).then(|| up[which % up.len()].clone())
    };
    match *next {
        Move::Deploy => {
            let definition = model.sim.register("app:next");
            model.ask(json!({ "taskDefinition": definition }));
        }
        Move::DeployBroken => {
            let definition = model.sim.register("127.0.0.1:4517/jobs/api:gone");
            model.ask(json!({ "taskDefinition": definition }));
        }
        Move::Force => model.ask(json!({ "forceNewDeployment": true })),
        Move::Scale(desired) => {
            model.desired = desired;
            model.ask(json!({ "desiredCount": desired }));
        }
        Move::Crash(which) => {
            if let Some(task) = up(model, which) {
                model.sim.crash(&task, 1);
            }
        }
        Move::Sicken(which) => {
            if let Some(target) = up(model, which).and_then(|task| {
                model.tasks.get(short(task["taskArn"].as_str().unwrap())).and_then(|one| one.target.clone())
            }) {
                model.sick.insert(target);
            }
        }
        Move::StopTask(which) => {
            if let Some(task) = up(model, which) {
                model.sim.call("StopTask", &json!({ "cluster": "jobs", "task": task["taskArn"] }));
            }
        }
        Move::StopDeployment => {
            let arn = model.sim.service()["currentServiceDeployment"].clone();
            // Refused where there is nothing to stop, or nothing to go back to.
            let _refused = model.sim.try_call("StopServiceDeployment", &json!({ "serviceDeploymentArn": arn }));
        }
        Move::Wait(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_happens_the_world_does_as_the_model_says(
        balanced in any::<bool>(),
        delay in prop_oneof![Just(0), Just(15), Just(40)],
        desired in 1_u64..6,
        percents in prop_oneof![Just((100, 200)), Just((50, 150)), Just((50, 100)), Just((0, 100)), Just((100, 150))],
        moves in proptest::collection::vec(moves(), 1..14),
    ) {
        let mut model = Model::begin(balanced, delay, desired, percents);
        for _ in 0..200 {
            model.step();
        }
        for next in moves {
            make(&mut model, &next);
            for _ in 0..match next { Move::Wait(seconds) => seconds * 2, _ => 2 } {
                model.step();
            }
        }
        // Nobody disturbs it any more: it comes to rest, or says why not.
        let said = |model: &mut Model, text: &str| model.sim.events().iter().any(|event| event.contains(text));
        for step in 0..10_000 {
            // What was asked for last has been looked at by then.
            if step > 42 && model.sim.is_steady() {
                break;
            }
            model.step();
        }
        let service = model.sim.service();
        let failed = service["deployments"][0]["rolloutState"] == "FAILED";
        if !failed && !said(&mut model, "was unable to stop or start tasks") {
            prop_assert!(model.sim.is_steady(), "{:#?}", model.sim.events());
            prop_assert_eq!(service["runningCount"].as_u64(), Some(model.desired));
            prop_assert_eq!(service["deployments"].as_array().unwrap().len(), 1);
            for task in model.sim.tasks("RUNNING") {
                prop_assert_eq!(&task["taskDefinitionArn"], &json!(model.definition));
            }
        }
    }
}
