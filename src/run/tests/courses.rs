//! The machine beside the sandbox's world, both under one simulated clock: whatever happens to a rollout there, what the
//! watcher says at the end is what the world says of its service deployment.
//!
//! No wire between the two: `aws` has its own tests with recorded bodies. What is read here is read from the same answers.

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};

use super::*;
use crate::{
    event::Side,
    rollout::{
        goal::{Goal, Started},
        machine::{Machine, Next, Verdict},
        schedule::{Ask, Part},
        view::{
            BreakerView, ContainerView, DeploymentView, EventView, GroupView, HookView, ServiceDeploymentView,
            ServiceView, ShiftView, TargetView, TaskView, View,
        },
    },
    sandbox::{
        tasks::Paper,
        wire::query::Form,
        world::{self, Place, World, cloudwatch, ecs::Substance},
    },
};

const BEGIN: u64 = 1_790_000_000_000;
const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;

/// So much that no clock runs out before the world has come to an end, if it comes to one: tasks that crash for ever are
/// ever more work.
const PATIENT: WatchBudget = WatchBudget {
    no_progress_ms: 20 * MINUTE,
    total_ms: 25 * MINUTE,
    drain_ms: 20 * MINUTE,
    deregistration_delay_ms: 20 * SECOND,
};

/// How the next revision is rolled out.
#[derive(Debug, Clone)]
struct Way {
    strategy: &'static str,
    /// Also of each part of the traffic.
    bake_minutes: u64,
    /// Whether ECS takes back what fails.
    rolls_back: bool,
    hears_alarms: bool,
    /// Whether it pauses before the traffic is shifted, and goes on by itself then.
    pause: Option<bool>,
    minimum_percent: u64,
}

impl Way {
    fn shifts(&self) -> bool {
        self.strategy != "ROLLING"
    }

    fn configuration(&self) -> Value {
        let mut configuration = json!({
            "strategy": self.strategy, "bakeTimeInMinutes": self.bake_minutes,
            "maximumPercent": 200, "minimumHealthyPercent": self.minimum_percent,
            "deploymentCircuitBreaker": { "enable": true, "rollback": self.rolls_back },
            "alarms": { "alarmNames": ["errors"], "enable": self.hears_alarms, "rollback": self.rolls_back },
        });
        let bake = self.bake_minutes;
        match self.strategy {
            "LINEAR" => {
                configuration["linearConfiguration"] = json!({ "stepPercent": 40.0, "stepBakeTimeInMinutes": bake });
            }
            "CANARY" => {
                configuration["canaryConfiguration"] = json!({ "canaryPercent": 5.0, "canaryBakeTimeInMinutes": bake });
            }
            _ => {}
        }
        if let Some(goes_on) = self.pause.filter(|_| self.shifts()) {
            let action = if goes_on { "CONTINUE" } else { "ROLLBACK" };
            configuration["lifecycleHooks"] = json!([{ "targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"],
                "timeoutConfiguration": { "timeoutInMinutes": 3, "action": action } }]);
        }
        configuration
    }
}

/// What somebody does to the rollout, or what befalls it.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// A running task of the new revision ends, and of the old one.
    CrashNew,
    CrashOld,
    /// Every task of the new revision ends as soon as it runs, from now on.
    Doom,
    Overtake,
    Stop,
    Ring,
    Scale(u32),
    /// Nobody deletes it in the middle of a rollout, but somebody does.
    Delete,
}

/// The image that no registry has: a task of it never starts.
const MISSING: &str = "127.0.0.1:4517/jobs/api:gone";

struct Stage {
    world: World,
    paper: Paper,
    now: u64,
    groups: [String; 2],
    rules: [String; 2],
    doomed: bool,
    /// The deployment that is watched.
    ours: String,
}

fn within<'a>(text: &'a str, tag: &str) -> &'a str {
    let inner = text.split_once(&format!("<{tag}>")).map_or("", |(_, rest)| rest);
    inner.split_once(&format!("</{tag}>")).map_or("", |(inner, _)| inner)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn maybe(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

/// ECS tells seconds with a fraction.
fn time(value: &Value) -> Option<u64> {
    let seconds = value.as_f64()?;
    Some(Duration::from_secs_f64(seconds).as_millis().try_into().unwrap())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn permille(value: &Value) -> Option<u32> {
    value.as_f64().map(|percent| format!("{:.0}", percent * 10.0).parse().unwrap())
}

fn last(arn: &Value) -> String {
    text(arn).rsplit('/').next().unwrap_or_default().to_owned()
}

impl Stage {
    /// `app` with its first revision in service.
    fn set(desired: u32) -> Self {
        let place =
            Place { account: "000000000000".into(), region: "us-east-1".into(), authority: "127.0.0.1:4517".into() };
        let mut world = World::new(place, world::Pace::new(1.0), 7);
        world::ecs::made_of(&mut world, Substance::Paper);
        let mut stage = Self {
            world,
            paper: Paper::default(),
            now: BEGIN,
            groups: Default::default(),
            rules: Default::default(),
            doomed: false,
            ours: String::new(),
        };
        stage.ecs("CreateCluster", &json!({ "clusterName": "lab" })).unwrap();
        let groups = ["blue", "green"].map(|name| {
            let made = stage.elb(
                "CreateTargetGroup",
                &[("Name", name), ("Protocol", "HTTP"), ("Port", "80"), ("TargetType", "ip"), ("VpcId", "vpc-1")],
            );
            let group = within(&made, "TargetGroupArn").to_owned();
            let key = ("Attributes.member.1.Key", "deregistration_delay.timeout_seconds");
            stage.elb(
                "ModifyTargetGroupAttributes",
                &[("TargetGroupArn", &group), key, ("Attributes.member.1.Value", "20")],
            );
            group
        });
        let made = stage.elb("CreateLoadBalancer", &[("Name", "front"), ("Subnets.member.1", "subnet-1")]);
        let balancer = within(&made, "LoadBalancerArn").to_owned();
        let rules = ["80", "81"].map(|port| {
            let made = stage.elb(
                "CreateListener",
                &[
                    ("LoadBalancerArn", &balancer),
                    ("Protocol", "HTTP"),
                    ("Port", port),
                    ("DefaultActions.member.1.Type", "forward"),
                    ("DefaultActions.member.1.TargetGroupArn", &groups[0]),
                ],
            );
            let listener = within(&made, "ListenerArn").to_owned();
            let made = stage.elb(
                "CreateRule",
                &[
                    ("ListenerArn", &listener),
                    ("Priority", "1"),
                    ("Conditions.member.1.Field", "path-pattern"),
                    ("Conditions.member.1.Values.member.1", "/*"),
                    ("Actions.member.1.Type", "forward"),
                    ("Actions.member.1.TargetGroupArn", &groups[0]),
                ],
            );
            within(&made, "RuleArn").to_owned()
        });
        (stage.groups, stage.rules) = (groups, rules);
        let first = stage.register("app:1");
        let set = json!({
            "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0, "deploymentCircuitBreaker": { "enable": true, "rollback": true }
        });
        let made = json!({ "cluster": "lab", "serviceName": "app", "taskDefinition": first, "desiredCount": desired,
            "deploymentConfiguration": set, "loadBalancers": stage.behind() });
        stage.ecs("CreateService", &made).unwrap();
        stage.alarm("OK");
        let made = text(&stage.service()["currentServiceDeployment"]);
        while stage.record(&made)["status"] != "SUCCESSFUL" {
            stage.step();
            assert!(stage.now < BEGIN + 30 * MINUTE, "the first deployment ends");
        }
        stage
    }

    fn ecs(&mut self, operation: &str, input: &Value) -> Result<Value, world::Fault> {
        world::ecs::call(&mut self.world, operation, input, self.now)
    }

    fn elb(&mut self, action: &str, members: &[(&str, &str)]) -> String {
        let form: Form = members.iter().copied().collect();
        world::elb::call(&mut self.world, action, &form, self.now).unwrap()
    }

    fn alarm(&mut self, state: &str) {
        let put =
            json!({ "AlarmName": "errors", "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1 });
        let set = json!({ "AlarmName": "errors", "StateValue": state, "StateReason": "a test" });
        for (operation, input) in [("PutMetricAlarm", put), ("SetAlarmState", set)] {
            cloudwatch::call(&mut self.world, operation, &input, self.now).unwrap();
        }
    }

    fn behind(&self) -> Value {
        let [production, test] = &self.rules;
        json!([{ "targetGroupArn": self.groups[0], "containerName": "app", "containerPort": 80, "advancedConfiguration": {
            "alternateTargetGroupArn": self.groups[1], "productionListenerRule": production,
            "testListenerRule": test, "roleArn": "arn:aws:iam::000000000000:role/ecs" } }])
    }

    fn register(&mut self, image: &str) -> String {
        let ports = json!([{ "containerPort": 80 }]);
        let container = json!({ "name": "app", "image": image, "memory": 64, "portMappings": ports });
        let made = self.ecs("RegisterTaskDefinition", &json!({ "family": "app", "containerDefinitions": [container] }));
        text(&made.unwrap()["taskDefinition"]["taskDefinitionArn"])
    }

    fn update(&mut self, mut input: Value) -> Value {
        input["cluster"] = json!("lab");
        input["service"] = json!("app");
        self.ecs("UpdateService", &input).unwrap()["service"].clone()
    }

    fn service(&mut self) -> Value {
        self.ecs("DescribeServices", &json!({ "cluster": "lab", "services": ["app"] })).unwrap()["services"][0].clone()
    }

    fn record(&mut self, arn: &str) -> Value {
        let asked = json!({ "serviceDeploymentArns": [arn] });
        self.ecs("DescribeServiceDeployments", &asked).unwrap()["serviceDeployments"][0].clone()
    }

    fn tasks(&mut self) -> Vec<Value> {
        self.tasks_wanted(&["RUNNING", "STOPPED"])
    }

    /// Those that are to be so.
    fn tasks_wanted(&mut self, statuses: &[&str]) -> Vec<Value> {
        let mut arns: Vec<Value> = Vec::new();
        for desired in statuses {
            let asked = json!({ "cluster": "lab", "serviceName": "app", "desiredStatus": desired });
            let answer = self.ecs("ListTasks", &asked).unwrap();
            arns.extend(list(&answer["taskArns"]).iter().cloned());
        }
        let mut tasks = Vec::new();
        for some in arns.chunks(100) {
            let answer = self.ecs("DescribeTasks", &json!({ "cluster": "lab", "tasks": some })).unwrap();
            tasks.extend(list(&answer["tasks"]).iter().cloned());
        }
        tasks
    }

    /// One second.
    fn step(&mut self) {
        self.now += SECOND;
        let pace = self.world.pace;
        self.world.elb.tick(pace, self.now);
        world::ecs::tick(&mut self.world, self.now);
        self.paper.step(&mut self.world, self.now);
        if self.doomed {
            self.crash(Side::New, usize::MAX);
        }
    }

    /// Ends so many of the tasks of one side that run.
    fn crash(&mut self, side: Side, most: usize) {
        let ours = self.ours.clone();
        // One that is to stop has no reason to crash, and there may be very many.
        let running = self.tasks_wanted(&["RUNNING"]).into_iter().filter(|task| {
            task["lastStatus"] == "RUNNING" && (task["startedBy"] == ours.as_str()) == (side == Side::New)
        });
        for task in running.take(most).collect::<Vec<_>>() {
            let exited = Report::Exited { container: "app".into(), code: 1, reason: None };
            run::report(&mut self.world, &last(&task["taskArn"]), exited, self.now);
        }
    }

    fn make(&mut self, what: Move) {
        match what {
            Move::CrashNew => self.crash(Side::New, 1),
            Move::CrashOld => self.crash(Side::Old, 1),
            Move::Doom => self.doomed = true,
            Move::Overtake => {
                let definition = self.register("app:other");
                self.update(json!({ "taskDefinition": definition }));
            }
            Move::Stop => {
                let arn = self.service()["currentServiceDeployment"].clone();
                // Refused where there is nothing to stop, or nothing to go back to.
                let _refused = self.ecs("StopServiceDeployment", &json!({ "serviceDeploymentArn": arn }));
            }
            Move::Ring => self.alarm("ALARM"),
            Move::Scale(desired) => drop(self.update(json!({ "desiredCount": desired }))),
            Move::Delete => {
                self.ecs("DeleteService", &json!({ "cluster": "lab", "service": "app", "force": true })).unwrap();
            }
        }
    }

    // ── what a look sees ───────────────────────────────────────────────────────

    fn look(&mut self, machine: &Machine, ask: &Ask) -> View {
        let service = ask.wants(Part::Service).then(|| self.service_view());
        let deployment = machine.service_deployment().filter(|_| ask.wants(Part::Deployment)).map(str::to_owned);
        let deployment = deployment.map(|arn| self.deployment_view(&arn));
        let tasks = ask.wants(Part::Tasks).then(|| self.tasks().iter().map(task_view).collect());
        let targets = ask.wants(Part::Targets).then(|| self.target_views());
        View { service, deployment, tasks, targets, denied: BTreeMap::new() }
    }

    fn service_view(&mut self) -> ServiceView {
        let service = self.service();
        let group = |arn: &String| GroupView { arn: arn.clone(), container_port: 80 };
        ServiceView {
            status: text(&service["status"]),
            desired: number(&service["desiredCount"]),
            running: number(&service["runningCount"]),
            pending: number(&service["pendingCount"]),
            deployments: list(&service["deployments"])
                .iter()
                .map(|known| DeploymentView {
                    id: text(&known["id"]),
                    status: text(&known["status"]),
                    task_definition: TaskDefArn::new(text(&known["taskDefinition"])),
                    desired: number(&known["desiredCount"]),
                    pending: number(&known["pendingCount"]),
                    running: number(&known["runningCount"]),
                    failed: number(&known["failedTasks"]),
                    rollout_state: maybe(&known["rolloutState"]),
                    rollout_reason: maybe(&known["rolloutStateReason"]),
                })
                .collect(),
            events: list(&service["events"])
                .iter()
                .map(|event| EventView {
                    id: text(&event["id"]),
                    time_ms: time(&event["createdAt"]).unwrap(),
                    text: text(&event["message"]),
                })
                .collect(),
            current_service_deployment: maybe(&service["currentServiceDeployment"]),
            groups: self.groups.iter().map(group).collect(),
        }
    }

    fn deployment_view(&mut self, arn: &str) -> ServiceDeploymentView {
        let record = self.record(arn);
        let configuration = &record["deploymentConfiguration"];
        let minutes = |value: &Value| value.as_u64().unwrap_or_default() * MINUTE;
        let strategy = text(&configuration["strategy"]);
        let target = &record["targetServiceRevision"];
        let breaker = &record["deploymentCircuitBreaker"];
        ServiceDeploymentView {
            arn: text(&record["serviceDeploymentArn"]),
            status: text(&record["status"]),
            reason: maybe(&record["statusReason"]),
            stage: maybe(&record["lifecycleStage"]),
            breaker: breaker.is_object().then(|| BreakerView {
                status: text(&breaker["status"]),
                failures: number(&breaker["failureCount"]),
                threshold: number(&breaker["threshold"]),
            }),
            rollback_reason: maybe(&record["rollback"]["reason"]),
            alarms: list(&record["alarms"]["triggeredAlarmNames"]).iter().map(text).collect(),
            shift: (strategy != "ROLLING").then(|| ShiftView {
                strategy,
                production_permille: permille(&target["requestedProductionTrafficWeight"]),
                test_permille: permille(&target["requestedTestTrafficWeight"]),
                step_bake_ms: minutes(&configuration["linearConfiguration"]["stepBakeTimeInMinutes"]),
                steps: 3,
            }),
            hooks: list(&record["lifecycleHookDetails"])
                .iter()
                .map(|hook| HookView {
                    id: text(&hook["hookId"]),
                    kind: text(&hook["targetType"]),
                    status: text(&hook["status"]),
                    expires_ms: time(&hook["expiresAt"]),
                    timeout_action: maybe(&hook["timeoutAction"]),
                })
                .collect(),
            bake_ms: minutes(&configuration["bakeTimeInMinutes"]),
        }
    }

    fn target_views(&mut self) -> Vec<TargetView> {
        let mut views = Vec::new();
        for group in self.groups.clone() {
            let answer = self.elb("DescribeTargetHealth", &[("TargetGroupArn", &group)]);
            views.extend(answer.split("<Target>").skip(1).map(|one| TargetView {
                target_group: group.clone(),
                address: format!("{}:{}", within(one, "Id"), within(one, "Port")),
                state: within(one, "State").to_owned(),
                reason: Some(within(one, "Reason").to_owned()).filter(|reason| !reason.is_empty()),
                description: None,
            }));
        }
        views
    }
}

fn task_view(task: &Value) -> TaskView {
    let containers = list(&task["containers"]);
    let bindings = containers.iter().flat_map(|container| list(&container["networkBindings"]));
    TaskView {
        id: last(&task["taskArn"]),
        task_definition: TaskDefArn::new(text(&task["taskDefinitionArn"])),
        started_by: maybe(&task["startedBy"]),
        last_status: text(&task["lastStatus"]),
        desired_status: text(&task["desiredStatus"]),
        health: maybe(&task["healthStatus"]),
        stop_code: maybe(&task["stopCode"]),
        stopped_reason: maybe(&task["stoppedReason"]),
        created_ms: time(&task["createdAt"]),
        started_ms: time(&task["startedAt"]),
        stopping_ms: time(&task["stoppingAt"]),
        stopped_ms: time(&task["stoppedAt"]),
        containers: containers
            .iter()
            .map(|container| ContainerView {
                name: text(&container["name"]),
                last_status: text(&container["lastStatus"]),
                exit_code: container["exitCode"].as_i64(),
                reason: maybe(&container["reason"]),
                health: maybe(&container["healthStatus"]),
            })
            .collect(),
        addresses: bindings.map(|binding| format!("{}:{}", text(&binding["bindIP"]), binding["hostPort"])).collect(),
    }
}

// ── one rollout, watched ─────────────────────────────────────────────────────────

#[derive(Debug, Clone)]
struct Course {
    desired: u32,
    way: Way,
    /// Whether its image is there.
    image: &'static str,
    on_failure: OnFailure,
    /// Each so many seconds after the one before.
    moves: Vec<(u64, Move)>,
}

struct Seen {
    verdict: Verdict,
    live: Live,
    /// What the world says of our deployment at that moment, and whether a newer one has been asked for.
    status: String,
    overtaken: bool,
    stage: Stage,
}

fn watch_course(course: &Course) -> Seen {
    let Course { desired, way, image, on_failure, moves } = course;
    let mut stage = Stage::set(*desired);
    let previous = TaskDefArn::new(text(&stage.service()["taskDefinition"]));
    let definition = stage.register(image);
    let answer = stage.update(json!({
        "taskDefinition": definition, "deploymentConfiguration": way.configuration(), "loadBalancers": stage.behind()
    }));
    stage.ours = text(&answer["deployments"][0]["id"]);
    let ours = text(&answer["currentServiceDeployment"]);
    let started = Started {
        deployment_id: stage.ours.clone(),
        service_deployment: Some(ours.clone()),
        task_definition: TaskDefArn::new(&definition),
        previous: Some(previous.clone()),
        desired: *desired,
    };
    let goal = Goal {
        service: app(),
        started,
        terms: Terms { on_failure: *on_failure, ..Terms::within(PATIENT) },
        pace: Pace::for_services(1),
    };
    let mut machine = Machine::new(goal, stage.now);
    let (mut next_look, mut ask) = (stage.now, Ask::all());
    let mut moves = moves.iter();
    let mut next_move = moves.next().map(|(after, what)| (stage.now + after * SECOND, *what));
    let limit = stage.now + 2 * PATIENT.total_ms;
    loop {
        while let Some((at, what)) = next_move
            && at <= stage.now
        {
            stage.make(what);
            next_move = moves.next().map(|(after, what)| (stage.now + after * SECOND, *what));
        }
        if stage.now >= next_look {
            let view = stage.look(&machine, &ask);
            let heard = machine.see(&view, stage.now);
            if heard.take_back.is_some() {
                // As `run::watch` does it.
                let arn = machine.service_deployment().map(str::to_owned);
                let stopped =
                    arn.map(|arn| stage.ecs("StopServiceDeployment", &json!({ "serviceDeploymentArn": arn })));
                if stopped.is_none_or(|stopped| stopped.is_err()) {
                    let back = stage.update(json!({ "taskDefinition": previous.as_str() }));
                    machine.taken_back_by(back["deployments"][0]["id"].as_str().unwrap());
                }
            }
            match heard.next {
                Next::Ended(verdict) => {
                    let status = text(&stage.record(&ours)["status"]);
                    let overtaken = text(&stage.service()["currentServiceDeployment"]) != ours;
                    return Seen { verdict, live: machine.live(), status, overtaken, stage };
                }
                Next::Look { after_ms, ask: next } => (next_look, ask) = (stage.now + after_ms, next),
            }
        }
        stage.step();
        assert!(stage.now < limit, "no end: {:#}", stage.service());
    }
}

fn ways() -> impl Strategy<Value = Way> {
    let strategy = prop_oneof![3 => Just("ROLLING"), 2 => Just("BLUE_GREEN"), 1 => Just("LINEAR"), 1 => Just("CANARY")];
    let pause = prop_oneof![2 => Just(None), 1 => any::<bool>().prop_map(Some)];
    let percent = prop_oneof![Just(100), Just(50), Just(0)];
    (strategy, 0_u64..3, any::<bool>(), any::<bool>(), pause, percent).prop_map(
        |(strategy, bake_minutes, rolls_back, hears_alarms, pause, minimum_percent)| Way {
            strategy,
            bake_minutes,
            rolls_back,
            hears_alarms,
            pause,
            minimum_percent,
        },
    )
}

fn courses() -> impl Strategy<Value = Course> {
    let what = prop_oneof![
        3 => Just(Move::CrashNew),
        2 => Just(Move::CrashOld),
        2 => Just(Move::Doom),
        2 => Just(Move::Overtake),
        2 => Just(Move::Stop),
        2 => Just(Move::Ring),
        1 => (0_u32..4).prop_map(Move::Scale),
        1 => Just(Move::Delete),
    ];
    let image = prop_oneof![5 => Just("app:2"), 1 => Just(MISSING)];
    let on_failure = prop_oneof![Just(OnFailure::Wait), Just(OnFailure::TakeBack), Just(OnFailure::Leave)];
    let moves = proptest::collection::vec((0_u64..120, what), 0..4);
    (1_u32..4, ways(), image, on_failure, moves).prop_map(|(desired, way, image, on_failure, moves)| {
        // Nothing more can be done to a service that is deleted.
        let until = moves.iter().position(|(_, what)| matches!(what, Move::Delete)).map_or(moves.len(), |at| at + 1);
        Course { desired, way, image, on_failure, moves: moves[..until].to_vec() }
    })
}

/// What is left of the old, by the world's own books. A task of ours may drain, where somebody has asked for fewer.
fn old_left(stage: &mut Stage) -> Vec<String> {
    let (own, old): (Vec<TaskView>, Vec<TaskView>) = {
        let ours = Some(stage.ours.clone());
        stage.tasks().iter().map(task_view).partition(|task| task.started_by == ours)
    };
    let mut left: Vec<String> = old
        .into_iter()
        .filter(|task| task.last_status != "STOPPED")
        .map(|task| format!("{} {}", task.id, task.last_status))
        .collect();
    let is_own = |address: &String| own.iter().any(|task| task.addresses.contains(address));
    left.extend(
        stage
            .target_views()
            .into_iter()
            .filter(|target| target.state == "draining" && !is_own(&target.address))
            .map(|target| target.address),
    );
    left
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_the_watcher_says_is_what_the_world_says(course in courses()) {
        let Seen { verdict, live, status, overtaken, mut stage } = watch_course(&course);
        let deleted = stage.service()["status"] != "ACTIVE";
        let status = status.as_str();
        match &verdict {
            Verdict::Drained | Verdict::NothingProven => {
                prop_assert!(status == "SUCCESSFUL", "{verdict:?} of one that is {status}");
                let left = old_left(&mut stage);
                prop_assert!(left.is_empty(), "half-drained: {left:?}");
                prop_assert!(live == Live::New || verdict == Verdict::NothingProven, "{live:?}");
            }
            Verdict::RolledBack { .. } => {
                prop_assert!(status == "ROLLBACK_SUCCESSFUL" || overtaken, "rolled back, but {status}");
            }
            Verdict::Failed { .. } => {
                let left_alone = course.on_failure == OnFailure::Leave;
                let failed = ["STOPPED", "ROLLBACK_FAILED"].contains(&status);
                prop_assert!(failed || deleted || left_alone, "failed, but {status}");
                // Of a service that is deleted while the old tasks drain nothing is left that could be a success.
                prop_assert!(status != "SUCCESSFUL" || deleted, "a success is called a failure");
            }
            // Where it had been the current one to its end, it is overtaken all the same.
            Verdict::Superseded { .. } => prop_assert!(overtaken, "overtaken by nobody: {status}"),
            Verdict::Stopped => prop_assert!(status == "STOPPED", "stopped, but {status}"),
            // One that was being taken back when somebody else's took its place, which stands still itself.
            Verdict::TimedOut { .. } if overtaken => {}
            Verdict::TimedOut { .. } => prop_assert!(
                ["PENDING", "IN_PROGRESS", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"].contains(&status),
                "out of time with one that is {status}"
            ),
            Verdict::Live | Verdict::Steady | Verdict::DrainUnfinished => prop_assert!(false, "{verdict:?}, {status}"),
        }
    }
}

/// How it must end, and the course it takes: the way of the rollout, its image, what a failure does, and what happens when.
type Row = (&'static str, Way, &'static str, OnFailure, Vec<(u64, Move)>);

/// One course for each end: what the random ones are meant to meet.
#[test]
fn every_end_is_met_and_told() {
    let way = |strategy| Way {
        strategy,
        bake_minutes: 1,
        rolls_back: true,
        hears_alarms: true,
        pause: None,
        minimum_percent: 100,
    };
    let rolling = || way("ROLLING");
    let paused = |goes_on| Way { pause: Some(goes_on), ..way("CANARY") };
    let stays = Way { rolls_back: false, ..rolling() };
    let (drained, rolled_back, failed) = ("drained", "rolled back", "failed");
    let courses: [Row; 18] = [
        (drained, rolling(), "app:2", OnFailure::Wait, Vec::new()),
        (drained, way("BLUE_GREEN"), "app:2", OnFailure::Wait, Vec::new()),
        (drained, way("LINEAR"), "app:2", OnFailure::TakeBack, Vec::new()),
        (drained, paused(true), "app:2", OnFailure::Wait, Vec::new()),
        (drained, rolling(), "app:2", OnFailure::TakeBack, vec![(30, Move::CrashOld), (5, Move::CrashNew)]),
        ("nothing proven", rolling(), "app:2", OnFailure::Wait, vec![(0, Move::Scale(0))]),
        (rolled_back, paused(false), "app:2", OnFailure::Wait, Vec::new()),
        (rolled_back, rolling(), "app:2", OnFailure::Wait, vec![(0, Move::Doom)]),
        (rolled_back, way("BLUE_GREEN"), "app:2", OnFailure::Wait, vec![(0, Move::Doom)]),
        (rolled_back, rolling(), MISSING, OnFailure::TakeBack, Vec::new()),
        (rolled_back, stays.clone(), "app:2", OnFailure::TakeBack, vec![(0, Move::Doom)]),
        (rolled_back, rolling(), "app:2", OnFailure::Wait, vec![(20, Move::Stop)]),
        (rolled_back, way("CANARY"), "app:2", OnFailure::Wait, vec![(100, Move::Ring)]),
        (failed, stays, "app:2", OnFailure::Wait, vec![(0, Move::Doom)]),
        (failed, rolling(), MISSING, OnFailure::Leave, Vec::new()),
        (failed, rolling(), "app:2", OnFailure::Wait, vec![(20, Move::Delete)]),
        (failed, rolling(), "app:2", OnFailure::Wait, vec![(84, Move::Ring), (49, Move::Delete)]),
        ("overtaken", rolling(), "app:2", OnFailure::Wait, vec![(20, Move::Overtake)]),
    ];
    for (expected, way, image, on_failure, moves) in courses {
        let course = Course { desired: 2, way, image, on_failure, moves };
        let Seen { verdict, status, .. } = watch_course(&course);
        let end = match &verdict {
            Verdict::Drained => drained,
            Verdict::NothingProven => "nothing proven",
            Verdict::RolledBack { .. } => rolled_back,
            Verdict::Failed { .. } => failed,
            Verdict::Superseded { .. } => "overtaken",
            Verdict::Live
            | Verdict::Steady
            | Verdict::DrainUnfinished
            | Verdict::Stopped
            | Verdict::TimedOut { .. } => "another",
        };
        assert_eq!(end, expected, "{verdict:?} of one that is {status}: {course:#?}");
    }
}
