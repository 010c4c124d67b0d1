//! The sandbox's texts before the tool's eyes.
//!
//! Both sides quote AWS, each for itself: the sandbox where it prints (`sandbox/world/ecs`), the tool where it reads
//! (`rollout/reason`). Here is a third quotation, and all three must agree: a text that is changed on either side, or on
//! both by somebody who believed himself, is noticed.

use ecs_ship::id::TaskDefArn;
use ecs_ship::rollout::reason::{Class, of_event, reason};
use ecs_ship::rollout::view::{ContainerView, TaskView};
use ecs_ship::sandbox::wire::query::Form;
use ecs_ship::sandbox::world::ecs::run::{self, Order, Report, Started};
use ecs_ship::sandbox::world::ecs::{self, Binding, ContainerHealth, Hindrance, Obstacle};
use ecs_ship::sandbox::world::elb::{self, Failing, ProbeOutcome, Target};
use ecs_ship::sandbox::world::{Millis, Pace, Place, World, secretsmanager};
use serde_json::{Value, json};

/// A world with a clock of its own, whose tasks do what the test says.
struct Stage {
    world: World,
    now: Millis,
    group: String,
    port: u16,
}

impl Stage {
    /// A cluster, and a target group that a listener forwards to.
    fn set() -> Self {
        let place =
            Place { account: "000000000000".into(), region: "us-east-1".into(), authority: "127.0.0.1:4517".into() };
        let world = World::new(place, Pace::new(1.0), 5);
        let mut stage = Self { world, now: 1_790_000_000_000, group: String::new(), port: 20_000 };
        stage.call("CreateCluster", &json!({ "clusterName": "jobs" }));
        let made = stage.elb(
            "CreateTargetGroup",
            &[("Name", "web"), ("Protocol", "HTTP"), ("Port", "80"), ("TargetType", "ip"), ("VpcId", "vpc-1")],
        );
        stage.group = between(&made, "TargetGroupArn");
        let made = stage.elb(
            "CreateLoadBalancer",
            &[("Name", "front"), ("Subnets.member.1", "subnet-1"), ("Subnets.member.2", "subnet-2")],
        );
        let (balancer, group) = (between(&made, "LoadBalancerArn"), stage.group.clone());
        stage.elb(
            "CreateListener",
            &[
                ("LoadBalancerArn", &balancer),
                ("Protocol", "HTTP"),
                ("Port", "80"),
                ("DefaultActions.member.1.Type", "forward"),
                ("DefaultActions.member.1.TargetGroupArn", &group),
            ],
        );
        stage.elb(
            "ModifyTargetGroupAttributes",
            &[
                ("TargetGroupArn", &group),
                ("Attributes.member.1.Key", "deregistration_delay.timeout_seconds"),
                ("Attributes.member.1.Value", "0"),
            ],
        );
        stage
    }

    fn call(&mut self, operation: &str, input: &Value) -> Value {
        ecs::call(&mut self.world, operation, input, self.now).unwrap_or_else(|fault| panic!("{operation}: {fault:?}"))
    }

    fn elb(&mut self, action: &str, members: &[(&str, &str)]) -> String {
        let form: Form = members.iter().copied().collect();
        elb::call(&mut self.world, action, &form, self.now).unwrap_or_else(|fault| panic!("{action}: {fault:?}"))
    }

    fn register(&mut self, container: &Value) {
        let mut whole =
            json!({ "name": "app", "image": "app:1", "memory": 64, "portMappings": [{ "containerPort": 80 }] });
        whole.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        let role = "arn:aws:iam::000000000000:role/execution";
        let whole = json!({ "family": "web", "executionRoleArn": role, "containerDefinitions": [whole] });
        self.call("RegisterTaskDefinition", &whole);
    }

    fn serve(&mut self, desired: u32, behind_a_balancer: bool) {
        let balancer = json!({ "targetGroupArn": self.group, "containerName": "app", "containerPort": 80 });
        self.call(
            "CreateService",
            &json!({ "cluster": "jobs", "serviceName": "web", "taskDefinition": "web", "desiredCount": desired,
                "loadBalancers": if behind_a_balancer { vec![balancer] } else { Vec::new() },
                "deploymentConfiguration": { "deploymentCircuitBreaker": { "enable": true, "rollback": true } } }),
        );
    }

    /// Half a second, in which tasks that are to start start and tasks that are to stop are gone.
    fn step(&mut self) {
        self.now += 500;
        let (now, pace) = (self.now, self.world.pace);
        self.world.elb.tick(pace, now);
        ecs::tick(&mut self.world, now);
        for order in run::orders(&mut self.world, now) {
            match order {
                Order::Start(task) => {
                    if run::launch(&mut self.world, &task, now).is_some() {
                        self.port += 1;
                        let bindings =
                            vec![Binding { container_port: 80, host_port: self.port, protocol: "tcp".into() }];
                        let started = Started { container: "app".into(), runtime_id: task.clone(), bindings };
                        run::report(&mut self.world, &task, Report::Started(vec![started]), now);
                    }
                }
                Order::Stop(task) => run::report(&mut self.world, &task, Report::Gone, now),
            }
        }
    }

    fn until(&mut self, what: &str, mut so: impl FnMut(&mut Self) -> bool) {
        for _ in 0..4000 {
            if so(self) {
                return;
            }
            self.step();
        }
        panic!("not {what}: {:#?}", self.events());
    }

    /// Oldest first, without the prefix.
    fn events(&mut self) -> Vec<String> {
        let answer = self.call("DescribeServices", &json!({ "cluster": "jobs", "services": ["web"] }));
        let events = answer["services"][0]["events"].as_array().unwrap();
        events.iter().rev().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    }

    fn said(&mut self, words: &str) -> bool {
        self.events().iter().any(|event| event.contains(words))
    }

    fn tasks(&mut self, status: &str) -> Vec<Value> {
        let arns = self.call("ListTasks", &json!({ "cluster": "jobs", "desiredStatus": status }))["taskArns"].clone();
        if arns.as_array().unwrap().is_empty() {
            return Vec::new();
        }
        self.call("DescribeTasks", &json!({ "cluster": "jobs", "tasks": arns }))["tasks"].as_array().unwrap().clone()
    }

    fn up(&mut self) -> String {
        self.until("up", |stage| stage.tasks("RUNNING").iter().any(|task| task["lastStatus"] == "RUNNING"));
        let task = self.tasks("RUNNING").remove(0);
        task["taskArn"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    fn report(&mut self, task: &str, report: Report) {
        run::report(&mut self.world, task, report, self.now);
    }

    /// The first task that has ended, as the tool sees it.
    fn ended(&mut self) -> TaskView {
        self.until("ended", |stage| stage.tasks("STOPPED").iter().any(|task| task["lastStatus"] == "STOPPED"));
        view(&self.tasks("STOPPED").into_iter().find(|task| task["lastStatus"] == "STOPPED").unwrap())
    }
}

fn between(text: &str, tag: &str) -> String {
    let from = text.find(&format!("<{tag}>")).unwrap() + tag.len() + 2;
    text[from..].split('<').next().unwrap().to_owned()
}

fn view(task: &Value) -> TaskView {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let millis = |value: &Value| {
        let at = std::time::Duration::try_from_secs_f64(value.as_f64()?).ok()?;
        u64::try_from(at.as_millis()).ok()
    };
    TaskView {
        id: text(&task["taskArn"]).unwrap(),
        task_definition: TaskDefArn::new(task["taskDefinitionArn"].as_str().unwrap()),
        started_by: text(&task["startedBy"]),
        last_status: text(&task["lastStatus"]).unwrap(),
        desired_status: text(&task["desiredStatus"]).unwrap(),
        health: None,
        stop_code: text(&task["stopCode"]),
        stopped_reason: text(&task["stoppedReason"]),
        created_ms: millis(&task["createdAt"]),
        started_ms: millis(&task["startedAt"]),
        stopping_ms: millis(&task["stoppingAt"]),
        stopped_ms: millis(&task["stoppedAt"]),
        containers: vec![ContainerView {
            name: "app".to_owned(),
            last_status: "STOPPED".to_owned(),
            exit_code: task["containers"][0]["exitCode"].as_i64(),
            reason: text(&task["containers"][0]["reason"]),
            health: None,
        }],
        addresses: Vec::new(),
    }
}

/// What AWS says of a task that does not start, and what the tool makes of it.
#[test]
fn what_is_missing_is_told_and_understood() {
    let missing_image = "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref \
                         127.0.0.1:4517/jobs/api:gone: 127.0.0.1:4517/jobs/api:gone: not found";
    let secret = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db";
    let missing_secret = format!(
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to \
         retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret {secret} from \
         secrets manager: ResourceNotFoundException: Secrets Manager can't find the specified secret."
    );
    let missing_parameter = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource \
                             retrieval failed: unable to retrieve secrets from ssm: service call has been retried 1 \
                             time(s): invalid parameters: /jobs/key";
    let missing_key = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval \
                       failed: unable to retrieve secret from asm: service call has been retried 1 time(s): retrieved secret \
                       from Secrets Manager did not contain json key password";
    let there = "arn:aws:secretsmanager:us-east-1:000000000000:secret:there";
    let missing_group = "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 \
                         times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group \
                         does not exist. : exit status 1";
    let log = json!({ "logDriver": "awslogs", "options": { "awslogs-group": "/gone" } });
    for (container, text, words) in [
        (json!({ "image": "127.0.0.1:4517/jobs/api:gone" }), missing_image, "not in the registry"),
        (json!({ "secrets": [{ "name": "A", "valueFrom": secret }] }), &missing_secret, secret),
        (json!({ "secrets": [{ "name": "A", "valueFrom": "/jobs/key" }] }), missing_parameter, "/jobs/key"),
        (
            json!({ "secrets": [{ "name": "A", "valueFrom": format!("{there}:password::") }] }),
            missing_key,
            "what it asked for is password",
        ),
        (json!({ "logConfiguration": log }), missing_group, "create the log group"),
    ] {
        let mut stage = Stage::set();
        let there = json!({ "Name": "there", "SecretString": "{}", "ClientRequestToken": "0".repeat(32) });
        secretsmanager::call(&mut stage.world, "CreateSecret", &there, stage.now).unwrap();
        stage.register(&container);
        stage.serve(1, false);
        let ended = stage.ended();
        assert_eq!(ended.stop_code.as_deref(), Some("TaskFailedToStart"));
        assert_eq!(ended.stopped_reason.as_deref(), Some(text));
        let understood = reason(&ended);
        assert_eq!(understood.class, Class::Deterministic, "{text}");
        assert!(understood.words.contains(words), "{}", understood.words);
    }
}

/// What keeps ECS from placing or launching a task, of which there is nothing but an event.
#[test]
fn tasks_that_are_not_placed_are_told_and_understood() {
    let room = "(service web) was unable to place a task because no container instance met all of its requirements. The \
                closest matching (container-instance ";
    let role = "(service web) failed to launch a task with (error ECS was unable to assume the role \
                'arn:aws:iam::000000000000:role/execution' that was provided for this task. Please verify that the role being \
                passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this \
                role.).";
    let capacity = "(service web) was unable to place a task. Reason: Capacity is unavailable at this time. Please try again \
                    later or in a different availability zone.";
    for (obstacle, text, class, words) in [
        (Obstacle::Capacity, capacity, Class::Noise, "AWS had no room for it"),
        (Obstacle::Placement, room, Class::Noise, "the cluster has no room for it"),
        (Obstacle::Role, role, Class::Deterministic, "its trust policy must name ecs-tasks.amazonaws.com"),
    ] {
        let mut stage = Stage::set();
        let hindrance = Hindrance { obstacle, service: None, rolling: None, left: Some(1), lasts: None };
        ecs::hindered_by(&mut stage.world, vec![hindrance]);
        stage.register(&json!({}));
        stage.serve(1, false);
        stage.until("placed in the end", |stage| !stage.tasks("RUNNING").is_empty());
        let told = stage.events().into_iter().find(|event| event.starts_with(text));
        let told = told.unwrap_or_else(|| panic!("{:#?}", stage.events()));
        let understood = of_event(&told).unwrap_or_else(|| panic!("not understood: {told}"));
        assert_eq!(understood.class, class, "{told}");
        assert!(understood.words.contains(words), "{}", understood.words);
    }
}

/// How a process ends, and what the tool makes of it.
#[test]
fn ends_of_processes_are_told_and_understood() {
    let out_of_memory = Some("OutOfMemoryError: Container killed due to memory usage");
    for (code, told, class, words) in [
        (0, None, Class::NeedsTwo, "keeps running"),
        (3, None, Class::NeedsTwo, "app exited (3)"),
        (126, None, Class::Deterministic, "not executable"),
        (127, None, Class::Deterministic, "not found in the image"),
        (137, None, Class::NeedsTwo, "SIGKILL"),
        (137, out_of_memory, Class::NeedsTwo, "out of memory"),
        (139, None, Class::NeedsTwo, "SIGSEGV"),
    ] {
        let mut stage = Stage::set();
        stage.register(&json!({}));
        stage.serve(1, false);
        let task = stage.up();
        let told = told.map(ToOwned::to_owned);
        stage.report(&task, Report::Exited { container: "app".into(), code, reason: told });
        let ended = stage.ended();
        assert_eq!(ended.stop_code.as_deref(), Some("EssentialContainerExited"));
        assert_eq!(ended.stopped_reason.as_deref(), Some("Essential container in task exited"));
        let understood = reason(&ended);
        assert_eq!(understood.class, class, "{code}");
        assert!(understood.words.contains(words), "{code}: {}", understood.words);
    }
}

#[test]
fn health_scaling_and_operators_are_told_and_understood() {
    let understood = |stage: &mut Stage, code: &str, text: &str, class: Class, words: &str| {
        let ended = stage.ended();
        assert_eq!((ended.stop_code.as_deref(), ended.stopped_reason.as_deref()), (Some(code), Some(text)));
        let found = reason(&ended);
        assert_eq!(found.class, class, "{text}");
        assert!(found.words.contains(words), "{}", found.words);
    };
    let scheduler = "ServiceSchedulerInitiated";

    let mut stage = Stage::set();
    stage.register(&json!({ "healthCheck": { "command": ["CMD", "true"] } }));
    stage.serve(1, false);
    let task = stage.up();
    stage.report(&task, Report::Health { container: "app".into(), health: ContainerHealth::Unhealthy });
    stage.until("told", |stage| stage.said("unhealthy status"));
    assert!(stage.said(&format!("(service web) (task {task}) failed container health checks.")));
    let replacement = stage.tasks("RUNNING").iter().find_map(|other| {
        let id = other["taskArn"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        (id != task).then_some(id)
    });
    stage.step();
    stage.report(&replacement.unwrap(), Report::Health { container: "app".into(), health: ContainerHealth::Healthy });
    understood(
        &mut stage,
        scheduler,
        "Task failed container health checks",
        Class::NeedsTwo,
        "`healthCheck` command failed",
    );

    let mut stage = Stage::set();
    stage.register(&json!({}));
    stage.serve(1, true);
    let task = stage.up();
    stage.until("registered", |stage| stage.said("registered 1 targets"));
    let (group, pace) = (stage.group.clone(), stage.world.pace);
    let (sick, well) = [stage.port, stage.port + 1].map(|port| Target { address: "127.0.0.1".into(), port }).into();
    stage.until("gone", |stage| {
        let now = stage.now;
        stage.world.elb.probe_result(&group, &sick, ProbeOutcome::Failed(Failing::Code(503)), pace, now);
        stage.world.elb.probe_result(&group, &well, ProbeOutcome::Passed, pace, now);
        stage.tasks("STOPPED").iter().any(|task| task["lastStatus"] == "STOPPED")
    });
    let unhealthy = format!(
        "(service web) (task {task}) (port {}) is unhealthy in (target-group {group}) due to (reason Health checks failed \
         with these codes: [503]).",
        sick.port
    );
    assert!(stage.said(&unhealthy), "{:#?}", stage.events());
    assert!(stage.said(". Amazon ECS replaced 1 tasks due to an unhealthy status."));
    let text = format!("Task failed ELB health checks in (target-group {group})");
    understood(&mut stage, scheduler, &text, Class::NeedsTwo, "load balancer found it unhealthy");

    let mut stage = Stage::set();
    stage.register(&json!({}));
    stage.serve(1, false);
    stage.until("steady", |stage| stage.said("has reached a steady state."));
    stage.call("UpdateService", &json!({ "cluster": "jobs", "service": "web", "desiredCount": 0 }));
    let service = stage.call("DescribeServices", &json!({ "cluster": "jobs", "services": ["web"] }));
    let deployment = service["services"][0]["deployments"][0]["id"].as_str().unwrap().to_owned();
    let text = format!("Scaling activity initiated by (deployment {deployment})");
    understood(&mut stage, scheduler, &text, Class::Noise, "this is no failure");

    let mut stage = Stage::set();
    stage.register(&json!({}));
    stage.serve(1, false);
    let task = stage.up();
    stage.call("StopTask", &json!({ "cluster": "jobs", "task": task }));
    understood(&mut stage, "UserInitiated", "Task stopped by user", Class::Noise, "somebody stopped it");
}

/// Every event of a service that fails, rolls back, drains and is stuck: the lines of AWS's list, word for word.
#[test]
fn events_are_the_lines_of_the_list() {
    let line = |pattern: &str| regex::Regex::new(&format!("^\\(service web\\) {pattern}$")).unwrap();
    let (task, deployment, group) = (r"\(task [0-9a-f]{32}\)", r"ecs-svc/\d{19}", r"\(target-group arn:aws:[^)]+\)");
    let list = [
        line(r"has reached a steady state\."),
        line(&format!(r"has started \d+ tasks:( {task})+\.")),
        line(&format!(r"registered \d+ targets in {group}")),
        line(&format!(r"deregistered \d+ targets in {group}")),
        line(r"has begun draining connections on \d+ tasks\."),
        line(&format!(r"has stopped \d+ running tasks:( {task})+\.")),
        line(&format!(r"\(deployment {deployment}\) deployment completed\.")),
        line(&format!(r"\(deployment {deployment}\) deployment failed: tasks failed to start\.")),
        line(&format!(r"rolling back to deployment {deployment}\.")),
        line(r"is unable to consistently start tasks successfully\."),
        line(
            r"was unable to stop or start tasks during a deployment because of the service deployment configuration\. Update the minimumHealthyPercent or maximumPercent value and try again\.",
        ),
    ];
    let mut stage = Stage::set();
    stage.register(&json!({}));
    stage.serve(1, true);
    let probe = |stage: &mut Stage| {
        let (group, pace, now) = (stage.group.clone(), stage.world.pace, stage.now);
        for port in 20_000..=stage.port {
            let target = Target { address: "127.0.0.1".into(), port };
            stage.world.elb.probe_result(&group, &target, ProbeOutcome::Passed, pace, now);
        }
    };
    let wait = |stage: &mut Stage, words: &str, times: usize| {
        stage.until(words, |stage| {
            probe(stage);
            stage.events().iter().filter(|event| event.contains(words)).count() >= times
        });
    };
    wait(&mut stage, "steady", 1);
    stage.call("UpdateService", &json!({ "cluster": "jobs", "service": "web", "forceNewDeployment": true }));
    wait(&mut stage, "steady", 2);
    stage.register(&json!({ "image": "127.0.0.1:4517/jobs/api:gone" }));
    stage.call("UpdateService", &json!({ "cluster": "jobs", "service": "web", "taskDefinition": "web" }));
    wait(&mut stage, "steady", 3);
    let stuck = json!({ "cluster": "jobs", "service": "web", "forceNewDeployment": true,
        "deploymentConfiguration": { "minimumHealthyPercent": 100, "maximumPercent": 150 } });
    stage.call("UpdateService", &stuck);
    wait(&mut stage, "unable to stop or start", 1);
    let events = stage.events();
    for event in &events {
        assert!(list.iter().any(|line| line.is_match(event)), "not on the list: {event}");
    }
    for line in &list {
        assert!(events.iter().any(|event| line.is_match(event)), "not said: {line}");
    }
}
