//! The world under a simulated clock: what happens, in which order, in whose words.

use super::super::{Pace, Place, cloudwatch, elb};
use super::run::{self, Report};
use super::*;
use crate::sandbox::tasks::Paper;
use crate::sandbox::wire::query::Form;

const BEGIN: Millis = 1_790_000_000_000;

/// A world on paper, in AWS's own time.
struct Sim {
    world: World,
    paper: Paper,
    now: Millis,
}

impl Sim {
    fn new() -> Self {
        let place =
            Place { account: "000000000000".into(), region: "us-east-1".into(), authority: "127.0.0.1:4517".into() };
        let mut world = World::new(place, Pace::new(1.0), 11);
        made_of(&mut world, Substance::Paper);
        let mut sim = Self { world, paper: Paper::default(), now: BEGIN };
        sim.call("CreateCluster", &json!({ "clusterName": "jobs" }));
        sim
    }

    fn try_call(&mut self, operation: &str, input: &Value) -> Result<Value, Fault> {
        call(&mut self.world, operation, input, self.now)
    }

    fn call(&mut self, operation: &str, input: &Value) -> Value {
        self.try_call(operation, input).unwrap_or_else(|fault| panic!("{operation}: {fault:?}"))
    }

    fn register(&mut self, image: &str) -> String {
        self.register_with(
            &json!({ "name": "app", "image": image, "memory": 64, "portMappings": [{ "containerPort": 80 }] }),
        )
    }

    fn register_with(&mut self, container: &Value) -> String {
        let input = json!({ "family": "web", "containerDefinitions": [container] });
        let answer = self.call("RegisterTaskDefinition", &input);
        answer["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
    }

    /// A service `web` on `web:1`, settled.
    fn settled(desired: u32, configuration: &Value) -> Self {
        let mut sim = Self::new();
        sim.register("app:1");
        sim.create(desired, configuration);
        sim.wait("steady", 500, Sim::is_steady);
        sim
    }

    fn create(&mut self, desired: u32, configuration: &Value) {
        self.call(
            "CreateService",
            &json!({
                "cluster": "jobs", "serviceName": "web", "taskDefinition": "web", "desiredCount": desired,
                "deploymentConfiguration": configuration
            }),
        );
    }

    fn update(&mut self, mut input: Value) -> Value {
        input["cluster"] = json!("jobs");
        input["service"] = json!("web");
        self.call("UpdateService", &input)["service"].clone()
    }

    /// Half a second.
    fn step(&mut self) {
        self.now += 500;
        let pace = self.world.pace;
        self.world.elb.tick(pace, self.now);
        tick(&mut self.world, self.now);
        self.paper.step(&mut self.world, self.now);
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 2 {
            self.step();
        }
    }

    /// Lets time pass until it is so; gives back how many seconds that took.
    fn wait(&mut self, what: &str, limit: u64, mut so: impl FnMut(&mut Self) -> bool) -> u64 {
        let begin = self.now;
        while !so(self) {
            assert!(self.now - begin < limit * 1000, "not {what} within {limit} s: {:#?}", self.events());
            self.step();
        }
        (self.now - begin) / 1000
    }

    fn service(&mut self) -> Value {
        self.call("DescribeServices", &json!({ "cluster": "jobs", "services": ["web"] }))["services"][0].clone()
    }

    fn is_steady(&mut self) -> bool {
        let service = self.service();
        service["events"][0]["message"].as_str().is_some_and(|text| text.ends_with("has reached a steady state."))
    }

    /// Oldest first, with ids that are the same from run to run replaced by short ones.
    fn events(&mut self) -> Vec<String> {
        let service = self.service();
        let mut texts: Vec<String> =
            service["events"].as_array().unwrap().iter().map(|e| e["message"].as_str().unwrap().to_owned()).collect();
        texts.reverse();
        let task = regex::Regex::new(r"[0-9a-f]{32}").unwrap();
        let deployment = regex::Regex::new(r"ecs-svc/\d{19}").unwrap();
        texts
            .into_iter()
            .map(|text| deployment.replace_all(&task.replace_all(&text, "T"), "ecs-svc/N").into_owned())
            .collect()
    }

    fn current(&mut self) -> Value {
        let arn = self.service()["currentServiceDeployment"].clone();
        self.call("DescribeServiceDeployments", &json!({ "serviceDeploymentArns": [arn] }))["serviceDeployments"][0]
            .clone()
    }

    fn tasks(&mut self, desired: &str) -> Vec<Value> {
        let list = json!({ "cluster": "jobs", "serviceName": "web", "desiredStatus": desired });
        let arns = self.call("ListTasks", &list)["taskArns"].clone();
        if arns.as_array().unwrap().is_empty() {
            return Vec::new();
        }
        let answer = self.call("DescribeTasks", &json!({ "cluster": "jobs", "tasks": arns }));
        answer["tasks"].as_array().unwrap().clone()
    }

    fn report(&mut self, task: &Value, report: Report) {
        let id = short(task["taskArn"].as_str().unwrap()).to_owned();
        run::report(&mut self.world, &id, report, self.now);
    }

    /// The process of a running task ends by itself.
    fn crash(&mut self, task: &Value, code: i64) {
        self.report(task, Report::Exited { container: "app".into(), code, reason: None });
    }
}

fn rolls_back() -> Value {
    json!({ "deploymentCircuitBreaker": { "enable": true, "rollback": true } })
}

#[test]
fn a_rollout_tells_its_story_in_aws_s_words() {
    let mut sim = Sim::settled(2, &json!({}));
    sim.register("app:2");
    let answer = sim.update(json!({ "taskDefinition": "web:2" }));
    // Right after the call the new one is first and wants nothing yet, the old one still all.
    let seen: Vec<_> = answer["deployments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| {
            (d["status"].as_str().unwrap(), d["desiredCount"].as_u64().unwrap(), d["rolloutState"].as_str().unwrap())
        })
        .collect();
    assert_eq!(seen, [("PRIMARY", 0, "IN_PROGRESS"), ("ACTIVE", 2, "COMPLETED")]);
    assert_eq!(sim.current()["status"], "PENDING");
    sim.run(11);
    let current = sim.current();
    assert_eq!(current["status"], "IN_PROGRESS");
    assert_eq!(answer["currentServiceDeployment"], current["serviceDeploymentArn"]);
    assert_eq!(current["deploymentCircuitBreaker"], json!({ "status": "DISABLED", "failureCount": 0, "threshold": 3 }));
    sim.wait("done", 200, Sim::is_steady);
    assert_eq!(sim.current()["status"], "SUCCESSFUL");
    insta::assert_snapshot!(sim.events().join("\n"), @r"
    (service web) has started 2 tasks: (task T) (task T).
    (service web) (deployment ecs-svc/N) deployment completed.
    (service web) has reached a steady state.
    (service web) has started 2 tasks: (task T) (task T).
    (service web) has stopped 2 running tasks: (task T) (task T).
    (service web) (deployment ecs-svc/N) deployment completed.
    (service web) has reached a steady state.
    ");
    let stopped = sim.tasks("STOPPED");
    assert_eq!(stopped.len(), 2);
    for task in stopped {
        assert_eq!(task["stopCode"], "ServiceSchedulerInitiated");
        let primary = sim.service()["deployments"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(task["stoppedReason"], format!("Scaling activity initiated by (deployment {primary})"));
    }
}

/// A process may take its whole `stopTimeout` to end: until then the rollout is not over.
#[test]
fn a_deployment_is_not_done_while_an_old_process_still_ends() {
    let mut sim = Sim::settled(1, &json!({}));
    sim.register("app:2");
    sim.update(json!({ "taskDefinition": "web:2" }));
    let stopping = |sim: &mut Sim| sim.tasks("STOPPED").iter().any(|task| task["lastStatus"] == "STOPPING");
    sim.wait("stopping", 200, stopping);
    for _ in 0..60 {
        sim.now += 500;
        tick(&mut sim.world, sim.now);
    }
    assert!(stopping(&mut sim), "nobody has carried the order out yet");
    assert_eq!(sim.current()["status"], "IN_PROGRESS");
    assert!(!sim.is_steady());
    sim.wait("done", 30, |sim| sim.current()["status"] == "SUCCESSFUL");
    assert!(!stopping(&mut sim));
    sim.update(json!({ "desiredCount": 0 }));
    sim.wait("stopping", 30, stopping);
    assert!(!sim.is_steady());
}

#[test]
fn shapes_of_ids_are_aws_s() {
    let mut sim = Sim::settled(1, &json!({}));
    let service = sim.service();
    let number = service["deployments"][0]["id"].as_str().unwrap().strip_prefix("ecs-svc/").unwrap().to_owned();
    assert_eq!(number.len(), 19);
    let arn = service["currentServiceDeployment"].as_str().unwrap();
    let id = arn.strip_prefix("arn:aws:ecs:us-east-1:000000000000:service-deployment/jobs/web/").unwrap();
    assert_eq!(id.len(), 21);
    let revision = format!("arn:aws:ecs:us-east-1:000000000000:service-revision/jobs/web/{number}");
    assert_eq!(sim.current()["targetServiceRevision"]["arn"], revision);
    let described = sim.call("DescribeServiceRevisions", &json!({ "serviceRevisionArns": [revision, "arn:x/a/b/c"] }));
    assert_eq!(
        described["serviceRevisions"][0]["containerImages"],
        json!([{ "containerName": "app", "image": "app:1" }])
    );
    assert_eq!(described["failures"], json!([{ "arn": "arn:x/a/b/c", "reason": "MISSING" }]));
    let task = &sim.tasks("RUNNING")[0];
    assert_eq!(task["startedBy"], format!("ecs-svc/{number}"));
    assert_eq!(task["group"], "service:web");
}

#[test]
fn the_same_definition_without_force_deploys_nothing() {
    let mut sim = Sim::settled(1, &json!({}));
    let id = sim.service()["deployments"][0]["id"].clone();
    let kept = sim.update(json!({ "taskDefinition": "web:1", "healthCheckGracePeriodSeconds": 5 }));
    assert_eq!((&kept["deployments"][0]["id"], kept["deployments"].as_array().unwrap().len()), (&id, 1));
    assert_eq!(kept["healthCheckGracePeriodSeconds"], 5);
    let forced = sim.update(json!({ "forceNewDeployment": true }));
    assert_ne!(forced["deployments"][0]["id"], id);
}

#[test]
fn a_newer_deployment_supersedes_the_one_on_its_way() {
    let mut sim = Sim::settled(2, &json!({}));
    sim.register("app:2");
    sim.register("app:3");
    sim.update(json!({ "taskDefinition": "web:2" }));
    sim.run(14);
    let second = sim.current()["serviceDeploymentArn"].clone();
    sim.update(json!({ "taskDefinition": "web:3" }));
    let status = |sim: &mut Sim| {
        let answer = sim.call("DescribeServiceDeployments", &json!({ "serviceDeploymentArns": [second] }));
        answer["serviceDeployments"][0]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(&mut sim), "STOP_REQUESTED");
    sim.run(11);
    assert_eq!(status(&mut sim), "STOPPED");
    sim.wait("done", 300, |sim| sim.current()["status"] == "SUCCESSFUL");
    assert_eq!(sim.tasks("RUNNING").len(), 2);
    let definition = sim.tasks("RUNNING")[0]["taskDefinitionArn"].as_str().unwrap().to_owned();
    assert!(definition.ends_with("web:3"), "{definition}");
    let listed =
        sim.call("ListServiceDeployments", &json!({ "cluster": "jobs", "service": "web", "status": ["STOPPED"] }));
    assert_eq!(listed["serviceDeployments"][0]["serviceDeploymentArn"], second);
    assert_eq!(listed["serviceDeployments"].as_array().unwrap().len(), 1);
}

#[test]
fn a_missing_image_trips_the_breaker_and_goes_back() {
    let mut sim = Sim::settled(1, &rolls_back());
    let good = sim.service()["deployments"][0]["id"].clone();
    sim.register("127.0.0.1:4517/jobs/api:gone");
    sim.update(json!({ "taskDefinition": "web:2" }));
    sim.wait("failed once", 60, |sim| sim.service()["deployments"][0]["failedTasks"] == 1);
    let failed = sim.tasks("STOPPED").remove(0);
    let reason = "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref \
                  127.0.0.1:4517/jobs/api:gone: 127.0.0.1:4517/jobs/api:gone: not found";
    assert_eq!((&failed["stopCode"], &failed["stoppedReason"]), (&json!("TaskFailedToStart"), &json!(reason)));
    assert_eq!(failed["containers"][0]["reason"], reason);
    assert!(failed.get("startedAt").is_none());
    let breaker = json!({ "status": "MONITORING", "failureCount": 1, "threshold": 3 });
    assert_eq!(sim.current()["deploymentCircuitBreaker"], breaker);
    sim.wait("rolling back", 600, |sim| sim.current()["status"] == "ROLLBACK_IN_PROGRESS");
    let service = sim.service();
    let (primary, failed) = (&service["deployments"][0], &service["deployments"][1]);
    assert_eq!(primary["id"], good);
    let rolling = format!("ECS deployment circuit breaker: rolling back to deploymentId {}.", good.as_str().unwrap());
    assert_eq!(primary["rolloutStateReason"], rolling);
    assert_eq!((&failed["status"], &failed["rolloutState"]), (&json!("ACTIVE"), &json!("FAILED")));
    assert_eq!(failed["rolloutStateReason"], "ECS deployment circuit breaker: tasks failed to start.");
    sim.wait("rolled back", 100, |sim| sim.current()["status"] == "ROLLBACK_SUCCESSFUL");
    let current = sim.current();
    assert_eq!(
        current["deploymentCircuitBreaker"],
        json!({ "status": "TRIGGERED", "failureCount": 3, "threshold": 3 })
    );
    let to = current["rollback"]["serviceRevisionArn"].as_str().unwrap();
    assert!(good.as_str().unwrap().ends_with(short(to)));
    assert_eq!(sim.tasks("RUNNING").len(), 1);
    insta::assert_snapshot!(sim.events()[3..].join("\n"), @r"
    (service web) has started 1 tasks: (task T).
    (service web) has started 1 tasks: (task T).
    (service web) has started 1 tasks: (task T).
    (service web) is unable to consistently start tasks successfully.
    (service web) (deployment ecs-svc/N) deployment failed: tasks failed to start.
    (service web) rolling back to deployment ecs-svc/N.
    (service web) (deployment ecs-svc/N) deployment completed.
    (service web) has reached a steady state.
    ");
}

#[test]
fn with_nothing_to_go_back_to_a_failed_deployment_stalls() {
    let mut sim = Sim::new();
    sim.register("127.0.0.1:4517/jobs/api:gone");
    sim.create(1, &rolls_back());
    sim.wait("failed", 600, |sim| sim.service()["deployments"][0]["rolloutState"] == "FAILED");
    assert_eq!(sim.current()["status"], "STOPPED");
    let events = sim.events().len();
    sim.run(2000);
    assert_eq!(sim.events().len(), events, "it launches nothing more: {:#?}", sim.events());
}

#[test]
fn starts_that_fail_are_tried_ever_more_rarely() {
    let mut sim = Sim::new();
    sim.register("127.0.0.1:4517/jobs/api:gone");
    sim.create(1, &json!({}));
    let mut gaps = Vec::new();
    for number in 1..=8 {
        gaps.push(sim.wait("started", 2000, |sim| sim.service()["deployments"][0]["failedTasks"] == number));
    }
    assert!(gaps.windows(2).skip(1).all(|pair| pair[0] <= pair[1]), "{gaps:?}");
    assert!(*gaps.last().unwrap() >= 640, "{gaps:?}");
}

#[test]
fn a_deployment_that_has_ended_keeps_its_count_of_failures() {
    let breaker = json!({ "enable": true, "rollback": true, "resetOnHealthyTask": false });
    let mut sim = Sim::settled(1, &json!({ "deploymentCircuitBreaker": breaker }));
    sim.register("app:2");
    sim.update(json!({ "taskDefinition": "web:2" }));
    let next = |sim: &mut Sim| {
        let tasks = sim.tasks("RUNNING");
        tasks.into_iter().find(|task| {
            task["lastStatus"] == "RUNNING"
                && task["taskDefinitionArn"].as_str().is_some_and(|arn| arn.ends_with("web:2"))
        })
    };
    sim.wait("running", 100, |sim| next(sim).is_some());
    let task = next(&mut sim).unwrap();
    sim.crash(&task, 1);
    sim.wait("successful", 300, |sim| sim.current()["status"] == "SUCCESSFUL");
    let ended = sim.current();
    assert_eq!(ended["deploymentCircuitBreaker"]["failureCount"], 1, "{ended:#}");
    sim.register("app:3");
    sim.update(json!({ "taskDefinition": "web:3" }));
    sim.run(30);
    let asked = json!({ "serviceDeploymentArns": [ended["serviceDeploymentArn"]] });
    let later = sim.call("DescribeServiceDeployments", &asked)["serviceDeployments"][0].clone();
    assert_eq!(later["deploymentCircuitBreaker"]["failureCount"], 1, "{later:#}");
}

#[test]
fn a_deployment_that_stalls_says_when_it_stopped() {
    let mut sim = Sim::settled(1, &json!({ "deploymentCircuitBreaker": { "enable": true, "rollback": false } }));
    let broken = sim.register("127.0.0.1:4517/jobs/api:gone");
    sim.update(json!({ "taskDefinition": broken }));
    sim.wait("stopped", 4000, |sim| sim.current()["status"] == "STOPPED");
    let stopped = sim.current();
    assert!(stopped["stoppedAt"].is_number(), "{stopped:#}");
}

/// Where old tasks go first, what is rolled back to has to start: it does not wait because those before it could not.
#[test]
fn a_rollback_starts_its_tasks_without_delay() {
    let mut configuration = rolls_back();
    configuration["minimumHealthyPercent"] = json!(0);
    configuration["maximumPercent"] = json!(100);
    let mut sim = Sim::settled(2, &configuration);
    let broken = sim.register("127.0.0.1:4517/jobs/api:gone");
    sim.update(json!({ "taskDefinition": broken }));
    let old = |sim: &mut Sim| {
        let tasks = sim.tasks("RUNNING");
        tasks.iter().filter(|task| task["taskDefinitionArn"].as_str().is_some_and(|arn| arn.ends_with("web:1"))).count()
    };
    sim.wait("rolling back", 4000, |sim| sim.events().iter().any(|event| event.contains("rolling back to deployment")));
    assert_eq!(old(&mut sim), 2, "{:#?}", sim.events());
    sim.wait("steady", 200, Sim::is_steady);
}

#[test]
fn a_crash_is_told_with_its_exit_code_and_replaced() {
    let mut sim = Sim::settled(2, &json!({}));
    let first = sim.tasks("RUNNING").remove(0);
    sim.crash(&first, 3);
    sim.run(11);
    sim.wait("replaced", 100, Sim::is_steady);
    assert_eq!(sim.tasks("RUNNING").len(), 2);
    let stopped = sim.tasks("STOPPED").remove(0);
    assert_eq!(stopped["taskArn"], first["taskArn"]);
    assert_eq!(stopped["stopCode"], "EssentialContainerExited");
    assert_eq!(stopped["stoppedReason"], "Essential container in task exited");
    assert_eq!(stopped["containers"][0]["exitCode"], 3);
    assert_eq!(sim.events().last().unwrap(), "(service web) has reached a steady state.");
    // Stopped tasks can be described for an hour.
    sim.run(3500);
    assert_eq!(sim.tasks("STOPPED").len(), 1);
    sim.run(120);
    assert_eq!(sim.tasks("STOPPED").len(), 0);
}

#[test]
fn an_old_task_that_dies_during_a_rollout_is_replaced_by_its_own_revision() {
    let mut sim = Sim::settled(2, &json!({}));
    sim.register("app:2");
    sim.update(json!({ "taskDefinition": "web:2" }));
    sim.run(14);
    let old = sim.tasks("RUNNING").into_iter().find(|task| task["taskDefinitionArn"].as_str().unwrap().ends_with(":1"));
    sim.crash(&old.unwrap(), 1);
    sim.run(12);
    let kept = |sim: &mut Sim, revision: &str| {
        sim.tasks("RUNNING")
            .iter()
            .filter(|task| task["taskDefinitionArn"].as_str().unwrap().ends_with(revision))
            .count()
    };
    assert_eq!((kept(&mut sim, ":1"), kept(&mut sim, ":2")), (2, 2));
    sim.wait("done", 300, |sim| sim.current()["status"] == "SUCCESSFUL");
    assert_eq!((kept(&mut sim, ":1"), kept(&mut sim, ":2")), (0, 2));
}

#[test]
fn percentages_that_allow_no_step_are_told_once() {
    for (desired, minimum, maximum) in [(2, 75, 100), (3, 100, 125)] {
        let mut sim = Sim::settled(desired, &json!({ "minimumHealthyPercent": minimum, "maximumPercent": maximum }));
        sim.register("app:2");
        sim.update(json!({ "taskDefinition": "web:2" }));
        sim.run(300);
        let stuck = "(service web) was unable to stop or start tasks during a deployment because of the service deployment \
                     configuration. Update the minimumHealthyPercent or maximumPercent value and try again.";
        assert_eq!(sim.events().iter().filter(|text| *text == stuck).count(), 1, "{:#?}", sim.events());
        assert_eq!(sim.current()["status"], "IN_PROGRESS");
        // As the event says: another value, and it goes on.
        sim.update(json!({ "deploymentConfiguration": { "minimumHealthyPercent": 50, "maximumPercent": maximum } }));
        sim.wait("done", 600, |sim| sim.current()["status"] == "SUCCESSFUL");
    }
}

#[test]
fn without_room_old_tasks_make_way_first() {
    let mut sim = Sim::settled(4, &json!({ "minimumHealthyPercent": 50, "maximumPercent": 100 }));
    sim.register("app:2");
    sim.update(json!({ "taskDefinition": "web:2" }));
    sim.wait("done", 600, |sim| {
        let running = sim.service()["runningCount"].as_u64().unwrap() + sim.service()["pendingCount"].as_u64().unwrap();
        assert!(running <= 4);
        sim.current()["status"] == "SUCCESSFUL"
    });
    let texts = sim.events();
    let stops = texts.iter().filter(|text| text.contains("has stopped 2 running tasks")).count();
    assert_eq!(stops, 2, "{texts:#?}");
}

#[test]
fn a_stop_goes_back_to_the_last_completed_deployment() {
    let mut sim = Sim::settled(2, &json!({}));
    sim.register("app:2");
    sim.update(json!({ "taskDefinition": "web:2" }));
    sim.run(12);
    let arn = sim.current()["serviceDeploymentArn"].clone();
    let answer = sim.call("StopServiceDeployment", &json!({ "serviceDeploymentArn": arn, "stopType": "ROLLBACK" }));
    assert_eq!(answer, json!({ "serviceDeploymentArn": arn }));
    assert_eq!(sim.current()["status"], "ROLLBACK_REQUESTED");
    sim.wait("rolled back", 100, |sim| sim.current()["status"] == "ROLLBACK_SUCCESSFUL");
    let running = sim.tasks("RUNNING");
    assert!(
        running.iter().all(|task| task["taskDefinitionArn"].as_str().unwrap().ends_with(":1")) && running.len() == 2
    );
    let fault = sim.try_call("StopServiceDeployment", &json!({ "serviceDeploymentArn": arn })).unwrap_err();
    assert_eq!(fault.code, "ConflictException");
    let unknown = json!({ "serviceDeploymentArn": "arn:aws:ecs:us-east-1:000000000000:service-deployment/jobs/web/x" });
    let fault = sim.try_call("StopServiceDeployment", &unknown).unwrap_err();
    assert_eq!(fault.code, "ServiceDeploymentNotFoundException");
}

/// What died before is not held against the deployment that is gone back to.
#[test]
fn a_rollback_begins_with_no_failures() {
    let mut sim = Sim::settled(3, &rolls_back());
    sim.register("app:2");
    sim.update(json!({ "taskDefinition": "web:2" }));
    sim.wait("begun", 20, |sim| sim.current()["status"] == "IN_PROGRESS");
    for task in sim.tasks("RUNNING") {
        if task["taskDefinitionArn"].as_str().unwrap().ends_with(":1") {
            sim.crash(&task, 1);
        }
    }
    let arn = sim.current()["serviceDeploymentArn"].clone();
    sim.call("StopServiceDeployment", &json!({ "serviceDeploymentArn": arn }));
    sim.wait("over", 200, |sim| sim.current()["status"].as_str().unwrap().starts_with("ROLLBACK_SUCC"));
}

#[test]
fn health_counts_by_the_table() {
    // Without balancer and check: forty seconds after RUNNING, which paper reaches in five.
    let mut sim = Sim::new();
    sim.register("app:1");
    sim.create(1, &json!({}));
    let took = sim.wait("steady", 100, Sim::is_steady);
    assert!((40..=65).contains(&took), "{took}");
    // With a check: when it is passed.
    let mut sim = Sim::new();
    sim.register_with(
        &json!({ "name": "app", "image": "a", "memory": 64, "healthCheck": { "command": ["CMD", "true"] } }),
    );
    sim.create(1, &json!({}));
    let took = sim.wait("steady", 100, Sim::is_steady);
    assert!(took <= 25, "{took}");
    let task = sim.tasks("RUNNING").remove(0);
    assert_eq!(task["healthStatus"], "HEALTHY");
    // And replaced when it is not.
    sim.report(&task, Report::Health { container: "app".into(), health: ContainerHealth::Unhealthy });
    sim.run(12);
    let id = short(task["taskArn"].as_str().unwrap()).to_owned();
    let service = sim.service();
    let texts: Vec<&str> =
        service["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap()).collect();
    assert!(
        texts.contains(&format!("(service web) (task {id}) failed container health checks.").as_str()),
        "{texts:#?}"
    );
    assert!(texts[0].ends_with("Amazon ECS replaced 1 tasks due to an unhealthy status."), "{texts:#?}");
    sim.wait("replaced", 100, Sim::is_steady);
    let stopped = sim.tasks("STOPPED").remove(0);
    assert_eq!(stopped["stoppedReason"], "Task failed container health checks");
}

#[test]
fn within_its_grace_a_task_may_be_unhealthy() {
    let mut sim = Sim::new();
    sim.register_with(
        &json!({ "name": "app", "image": "a", "memory": 64, "healthCheck": { "command": ["CMD", "true"] } }),
    );
    sim.create(1, &json!({}));
    sim.update(json!({ "healthCheckGracePeriodSeconds": 120 }));
    sim.wait("running", 60, |sim| sim.service()["runningCount"] == 1);
    let task = sim.tasks("RUNNING").remove(0);
    sim.report(&task, Report::Health { container: "app".into(), health: ContainerHealth::Unhealthy });
    sim.run(100);
    assert_eq!(sim.tasks("RUNNING")[0]["taskArn"], task["taskArn"]);
    assert_eq!(sim.service()["deployments"][0]["failedTasks"], 0);
    sim.wait("found unhealthy", 40, |sim| sim.service()["deployments"][0]["failedTasks"] == 1);
}

#[test]
fn scaling_starts_and_stops_without_a_deployment() {
    let mut sim = Sim::settled(2, &json!({}));
    let deployment = sim.current()["serviceDeploymentArn"].clone();
    for desired in [5, 1, 0] {
        sim.update(json!({ "desiredCount": desired }));
        sim.wait("scaled", 100, |sim| sim.is_steady() && sim.service()["runningCount"] == desired);
        assert_eq!(sim.service()["deployments"].as_array().unwrap().len(), 1);
    }
    assert_eq!(sim.current()["serviceDeploymentArn"], deployment);
}

#[test]
fn a_count_changed_in_the_middle_of_a_rollout_is_that_of_the_new_revision() {
    for desired in [1, 5] {
        let mut sim = Sim::settled(3, &json!({}));
        sim.register("app:2");
        sim.update(json!({ "taskDefinition": "web:2" }));
        sim.run(14);
        let rollout = sim.current()["serviceDeploymentArn"].clone();
        let shown = sim.update(json!({ "desiredCount": desired }));
        assert_eq!(shown["currentServiceDeployment"], rollout, "no deployment of its own");
        sim.wait("done", 300, |sim| sim.current()["status"] == "SUCCESSFUL" && sim.is_steady());
        let running = sim.tasks("RUNNING");
        assert_eq!(running.len(), desired);
        assert!(running.iter().all(|task| task["taskDefinitionArn"].as_str().unwrap().ends_with(":2")));
    }
}

#[test]
fn a_tag_is_resolved_once_for_each_deployment() {
    let mut sim = Sim::new();
    let ecr = |sim: &mut Sim, operation: &str, input: Value| {
        super::super::ecr::call(&mut sim.world, operation, &input, sim.now).unwrap()
    };
    ecr(&mut sim, "CreateRepository", json!({ "repositoryName": "jobs/api" }));
    let push = |sim: &mut Sim, name: &str| {
        let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [], "annotations": { "name": name } });
        let put = json!({ "repositoryName": "jobs/api", "imageTag": "live", "imageManifest": manifest.to_string() });
        ecr(sim, "PutImage", put)["image"]["imageId"]["imageDigest"].as_str().unwrap().to_owned()
    };
    let digests = |sim: &mut Sim| -> Vec<String> {
        let mut all: Vec<String> = sim
            .tasks("RUNNING")
            .iter()
            .map(|task| task["containers"][0]["imageDigest"].as_str().unwrap_or_default().to_owned())
            .collect();
        all.sort();
        all.dedup();
        all
    };
    let first = push(&mut sim, "first");
    sim.register("127.0.0.1:4517/jobs/api:live");
    sim.create(1, &json!({}));
    sim.wait("steady", 200, Sim::is_steady);
    // The tag moves on; the deployment does not.
    let second = push(&mut sim, "second");
    sim.update(json!({ "desiredCount": 3 }));
    sim.wait("three", 100, |sim| sim.service()["runningCount"] == 3 && sim.is_steady());
    assert_eq!(digests(&mut sim), std::slice::from_ref(&first));
    sim.update(json!({ "forceNewDeployment": true }));
    sim.wait("done", 300, |sim| sim.current()["status"] == "SUCCESSFUL");
    assert_eq!(digests(&mut sim), std::slice::from_ref(&second));
    let revision = sim.current()["targetServiceRevision"]["arn"].clone();
    let described = sim.call("DescribeServiceRevisions", &json!({ "serviceRevisionArns": [revision] }));
    assert_eq!(described["serviceRevisions"][0]["containerImages"][0]["imageDigest"], second);
    // And a rollback goes to the digest of then, whatever the tag says now.
    let history = sim.call("ListServiceDeployments", &json!({ "cluster": "jobs", "service": "web" }));
    let target = history["serviceDeployments"][1]["targetServiceRevisionArn"].clone();
    let described = sim.call("DescribeServiceRevisions", &json!({ "serviceRevisionArns": [target] }));
    assert_eq!(described["serviceRevisions"][0]["containerImages"][0]["imageDigest"], first);
}

#[test]
fn a_deleted_service_drains_away_and_can_be_made_again() {
    let mut sim = Sim::settled(1, &json!({}));
    let delete = json!({ "cluster": "jobs", "service": "web" });
    let fault = sim.try_call("DeleteService", &delete).unwrap_err();
    assert_eq!(fault.message, "The service cannot be stopped while it is scaled above 0.");
    sim.call("DeleteService", &json!({ "cluster": "jobs", "service": "web", "force": true }));
    assert_eq!(sim.service()["status"], "DRAINING");
    sim.wait("gone", 60, |sim| sim.service()["status"] == "INACTIVE");
    let fault = sim.try_call("UpdateService", &json!({ "cluster": "jobs", "service": "web" })).unwrap_err();
    assert_eq!((fault.code.as_str(), fault.message.as_str()), ("ServiceNotActiveException", "Service was not ACTIVE."));
    sim.create(1, &json!({}));
    assert_eq!(sim.service()["status"], "ACTIVE");
}

#[test]
fn refusals_are_aws_s() {
    let mut sim = Sim::settled(1, &json!({}));
    let jobs = |mut input: Value| {
        input["cluster"] = json!("jobs");
        input
    };
    for (operation, input, code, message) in [
        (
            "DescribeServices",
            json!({ "cluster": "x", "services": ["a"] }),
            "ClusterNotFoundException",
            "Cluster not found.",
        ),
        ("DescribeServices", jobs(json!({})), "InvalidParameterException", "Services cannot be empty."),
        ("DescribeTasks", jobs(json!({ "tasks": [] })), "InvalidParameterException", "Tasks cannot be empty."),
        ("ListTasks", jobs(json!({ "serviceName": "x" })), "ServiceNotFoundException", "Service not found."),
        ("UpdateService", jobs(json!({ "service": "x" })), "ServiceNotFoundException", "Service not found."),
        (
            "UpdateService",
            jobs(json!({ "service": "web", "taskDefinition": "web:9" })),
            "InvalidParameterException",
            "TaskDefinition not found.",
        ),
        (
            "CreateService",
            jobs(json!({ "serviceName": "web", "taskDefinition": "web" })),
            "InvalidParameterException",
            "Creation of service was not idempotent.",
        ),
        (
            "CreateService",
            jobs(
                json!({ "serviceName": "b", "taskDefinition": "web", "deploymentController": { "type": "CODE_DEPLOY" } }),
            ),
            "UnsupportedFeatureException",
            "The sandbox does not emulate the deployment controller CODE_DEPLOY.",
        ),
        (
            "UpdateService",
            jobs(json!({ "service": "web", "availabilityZoneRebalancing": "ENABLED",
                "deploymentConfiguration": { "minimumHealthyPercent": 0, "maximumPercent": 100 } })),
            "InvalidParameterException",
            "Availability Zone Rebalancing does not support maximumPercent <= 100 % as deployment configuration.",
        ),
        ("StopTask", jobs(json!({ "task": "x" })), "InvalidParameterException", "The referenced task was not found."),
        (
            "RegisterContainerInstance",
            json!({}),
            "UnknownOperationException",
            "The sandbox does not emulate the ECS operation RegisterContainerInstance.",
        ),
    ] {
        let fault = sim.try_call(operation, &input).unwrap_err();
        assert_eq!((fault.code.as_str(), fault.message.as_str()), (code, message), "{operation}");
    }
}

#[test]
fn tags_are_kept_beside_the_thing() {
    let mut sim = Sim::settled(1, &json!({}));
    let arn = sim.service()["serviceArn"].clone();
    sim.call(
        "TagResource",
        &json!({ "resourceArn": arn, "tags": [{ "key": "a", "value": "1" }, { "key": "b", "value": "2" }] }),
    );
    sim.call("TagResource", &json!({ "resourceArn": arn, "tags": [{ "key": "a", "value": "3" }] }));
    sim.call("UntagResource", &json!({ "resourceArn": arn, "tagKeys": ["b"] }));
    let tags = sim.call("ListTagsForResource", &json!({ "resourceArn": arn }));
    assert_eq!(tags, json!({ "tags": [{ "key": "a", "value": "3" }] }));
    assert!(sim.service().get("tags").is_none());
}

#[test]
fn a_world_written_down_and_read_goes_on() {
    let mut sim = Sim::settled(2, &json!({}));
    sim.register("app:2");
    sim.update(json!({ "taskDefinition": "web:2" }));
    sim.run(12);
    let written = serde_json::to_string(&sim.world).unwrap();
    sim.world = serde_json::from_str(&written).unwrap();
    sim.paper = Paper::default();
    for id in run::living(&sim.world) {
        run::resume(&mut sim.world, &id, run::Remains::Whole, sim.now);
    }
    sim.wait("done", 200, |sim| sim.current()["status"] == "SUCCESSFUL");
    assert_eq!(sim.tasks("RUNNING").len(), 2);
}

/// What stands between two tags of an answer of ELBv2.
fn between(text: &str, tag: &str) -> String {
    let from = text.find(&format!("<{tag}>")).unwrap() + tag.len() + 2;
    text[from..].split('<').next().unwrap().to_owned()
}

impl Sim {
    fn elb(&mut self, action: &str, members: &[(&str, &str)]) -> String {
        let form: Form = members.iter().copied().collect();
        elb::call(&mut self.world, action, &form, self.now).unwrap_or_else(|fault| panic!("{action}: {fault:?}"))
    }

    /// A target group that a listener forwards to, with this deregistration delay.
    fn target_group(&mut self, delay: &str) -> String {
        let made = self.elb(
            "CreateTargetGroup",
            &[("Name", "web"), ("Protocol", "HTTP"), ("Port", "80"), ("TargetType", "ip"), ("VpcId", "vpc-1")],
        );
        let group = between(&made, "TargetGroupArn");
        let made = self.elb(
            "CreateLoadBalancer",
            &[("Name", "front"), ("Subnets.member.1", "subnet-1"), ("Subnets.member.2", "subnet-2")],
        );
        let balancer = between(&made, "LoadBalancerArn");
        self.elb(
            "CreateListener",
            &[
                ("LoadBalancerArn", &balancer),
                ("Protocol", "HTTP"),
                ("Port", "80"),
                ("DefaultActions.member.1.Type", "forward"),
                ("DefaultActions.member.1.TargetGroupArn", &group),
            ],
        );
        self.elb(
            "ModifyTargetGroupAttributes",
            &[
                ("TargetGroupArn", &group),
                ("Attributes.member.1.Key", "deregistration_delay.timeout_seconds"),
                ("Attributes.member.1.Value", delay),
            ],
        );
        group
    }

    fn create_balanced(&mut self, group: &str, desired: u32, configuration: &Value) {
        self.call(
            "CreateService",
            &json!({
                "cluster": "jobs", "serviceName": "web", "taskDefinition": "web", "desiredCount": desired,
                "deploymentConfiguration": configuration,
                "loadBalancers": [{ "targetGroupArn": group, "containerName": "app", "containerPort": 80 }]
            }),
        );
    }

    fn status_of(&mut self, task: &Value) -> String {
        let input = json!({ "cluster": "jobs", "tasks": [task["taskArn"]] });
        self.call("DescribeTasks", &input)["tasks"][0]["lastStatus"].as_str().unwrap().to_owned()
    }
}

mod model;
mod shifting;

/// Behind a load balancer; these need the world's real ELB.
mod balanced {
    use super::super::super::elb::{ProbeOutcome, Target, TargetState};
    use super::*;

    fn target_of(task: &Value) -> Target {
        let port = task["containers"][0]["networkBindings"][0]["hostPort"].as_u64().unwrap();
        Target { address: "127.0.0.1".into(), port: u16::try_from(port).unwrap() }
    }

    #[test]
    fn old_targets_are_drained_before_the_signal() {
        let mut sim = Sim::new();
        let group = sim.target_group("30");
        sim.register("app:1");
        sim.create_balanced(&group, 1, &json!({}));
        let took = sim.wait("steady", 100, Sim::is_steady);
        assert!(took <= 40, "a healthy target needs no forty seconds: {took}");
        let old = sim.tasks("RUNNING").remove(0);
        sim.register("app:2");
        sim.update(json!({ "taskDefinition": "web:2" }));
        sim.wait("chosen", 100, |sim| sim.status_of(&old) == "DEACTIVATING");
        let chosen = sim.now;
        sim.wait("draining", 30, |sim| sim.world.elb.health(&group, &target_of(&old)).state == TargetState::Draining);
        let draining = sim.now;
        // "has stopped" comes about ten seconds before "deregistered".
        assert!((9_000..=11_000).contains(&(draining - chosen)), "{}", draining - chosen);
        // While it drains it runs, and counts as running.
        assert_eq!(sim.service()["runningCount"], 2);
        sim.wait("signalled", 100, |sim| sim.status_of(&old) != "DEACTIVATING");
        let signalled = sim.now;
        assert!((30_000..=41_000).contains(&(signalled - draining)), "{}", signalled - draining);
        assert_eq!(sim.world.elb.health(&group, &target_of(&old)).state, TargetState::Unused);
        sim.wait("done", 100, |sim| sim.current()["status"] == "SUCCESSFUL");
        insta::assert_snapshot!(sim.events()[4..].join("\n").replace(&group, "ARN"), @r"
        (service web) has started 1 tasks: (task T).
        (service web) registered 1 targets in (target-group ARN)
        (service web) has stopped 1 running tasks: (task T).
        (service web) deregistered 1 targets in (target-group ARN)
        (service web) has begun draining connections on 1 tasks.
        (service web) (deployment ecs-svc/N) deployment completed.
        (service web) has reached a steady state.
        ");
    }

    #[test]
    fn a_task_told_to_stop_drains_first_where_that_was_asked_for() {
        for (what, words) in [(StopTask::SignalsAtOnce, "STOPPING"), (StopTask::DrainsFirst, "DEACTIVATING")] {
            let mut sim = Sim::new();
            stop_task_does(&mut sim.world, what);
            let group = sim.target_group("30");
            sim.register("app:1");
            sim.create_balanced(&group, 1, &json!({}));
            sim.wait("steady", 100, Sim::is_steady);
            let task = sim.tasks("RUNNING").remove(0);
            let stopped = sim.call("StopTask", &json!({ "cluster": "jobs", "task": task["taskArn"] }));
            assert_eq!(stopped["task"]["lastStatus"], words);
            sim.wait("gone", 100, |sim| sim.status_of(&task) == "STOPPED");
            let ended = sim.tasks("STOPPED").remove(0);
            assert_eq!(ended["stopCode"], "UserInitiated");
            let left = ended["stoppedAt"].as_f64().unwrap() - ended["stoppingAt"].as_f64().unwrap();
            assert_eq!(left >= 30.0, what == StopTask::DrainsFirst, "{left}");
        }
    }

    #[test]
    fn a_task_is_healthy_when_it_is_so_in_every_target_group() {
        let mut sim = Sim::new();
        made_of(&mut sim.world, Substance::Containers);
        let first = sim.target_group("0");
        let made = sim.elb(
            "CreateTargetGroup",
            &[("Name", "admin"), ("Protocol", "HTTP"), ("Port", "81"), ("TargetType", "ip"), ("VpcId", "vpc-1")],
        );
        let second = between(&made, "TargetGroupArn");
        let balancer = sim.elb("DescribeLoadBalancers", &[]);
        sim.elb(
            "CreateListener",
            &[
                ("LoadBalancerArn", &between(&balancer, "LoadBalancerArn")),
                ("Protocol", "HTTP"),
                ("Port", "81"),
                ("DefaultActions.member.1.Type", "forward"),
                ("DefaultActions.member.1.TargetGroupArn", &second),
            ],
        );
        sim.register_with(&json!({ "name": "app", "image": "app:1", "memory": 64,
            "portMappings": [{ "containerPort": 80 }, { "containerPort": 81 }] }));
        let behind =
            |group: &str, port: u16| json!({ "targetGroupArn": group, "containerName": "app", "containerPort": port });
        sim.call(
            "CreateService",
            &json!({ "cluster": "jobs", "serviceName": "web", "taskDefinition": "web", "desiredCount": 1,
                "loadBalancers": [behind(&first, 80), behind(&second, 81)] }),
        );
        sim.wait("registered", 60, |sim| sim.events().iter().any(|text| text.contains(&second)));
        let task = sim.tasks("RUNNING").remove(0);
        let port = |index: usize| {
            let port = task["containers"][0]["networkBindings"][index]["hostPort"].as_u64().unwrap();
            Target { address: "127.0.0.1".into(), port: u16::try_from(port).unwrap() }
        };
        sim.run(2);
        let (now, pace) = (sim.now, sim.world.pace);
        sim.world.elb.probe_result(&first, &port(0), ProbeOutcome::Passed, pace, now);
        sim.run(60);
        assert!(!sim.is_steady(), "one of two is not enough");
        let now = sim.now;
        sim.world.elb.probe_result(&second, &port(1), ProbeOutcome::Passed, pace, now);
        sim.wait("steady", 20, Sim::is_steady);
    }

    #[test]
    fn with_a_delay_of_nothing_the_signal_follows_at_once() {
        let mut sim = Sim::new();
        let group = sim.target_group("0");
        sim.register("app:1");
        sim.create_balanced(&group, 1, &json!({}));
        sim.wait("steady", 100, Sim::is_steady);
        let old = sim.tasks("RUNNING").remove(0);
        sim.register("app:2");
        sim.update(json!({ "taskDefinition": "web:2" }));
        sim.wait("deregistered", 100, |sim| {
            sim.world.elb.health(&group, &target_of(&old)).state == TargetState::Unused
        });
        // The same step: no second in which it would still finish what it has.
        assert!(["STOPPING", "STOPPED"].contains(&sim.status_of(&old).as_str()));
    }

    #[test]
    fn a_target_found_unhealthy_is_told_and_replaced() {
        let mut sim = Sim::new();
        let group = sim.target_group("0");
        sim.register("app:1");
        sim.create_balanced(&group, 1, &json!({}));
        sim.wait("steady", 100, Sim::is_steady);
        let bad = sim.tasks("RUNNING").remove(0);
        let (target, pace) = (target_of(&bad), sim.world.pace);
        for _ in 0..2 {
            let now = sim.now;
            sim.world.elb.probe_result(&group, &target, ProbeOutcome::Failed(elb::Failing::Code(503)), pace, now);
        }
        sim.wait("replaced", 200, |sim| sim.status_of(&bad) == "STOPPED" && sim.is_steady());
        let stopped = sim.tasks("STOPPED").remove(0);
        assert_eq!(stopped["stoppedReason"], format!("Task failed ELB health checks in (target-group {group})"));
        insta::assert_snapshot!(sim.events()[4..].join("\n").replace(&group, "ARN"), @r"
        (service web) (task T) (port 49153) is unhealthy in (target-group ARN) due to (reason Health checks failed with these codes: [503]).
        (service web) has started 1 tasks: (task T). Amazon ECS replaced 1 tasks due to an unhealthy status.
        (service web) registered 1 targets in (target-group ARN)
        (service web) has stopped 1 running tasks: (task T).
        (service web) deregistered 1 targets in (target-group ARN)
        (service web) has begun draining connections on 1 tasks.
        (service web) has reached a steady state.
        ");
    }

    #[test]
    fn a_container_that_ends_while_its_task_drains_ended_by_itself() {
        let mut sim = Sim::new();
        let group = sim.target_group("30");
        sim.register("app:1");
        sim.create_balanced(&group, 2, &json!({}));
        sim.wait("steady", 100, Sim::is_steady);
        let (first, other) = (sim.tasks("RUNNING").remove(0), sim.tasks("RUNNING").remove(1));
        sim.update(json!({ "desiredCount": 0 }));
        sim.wait("draining", 40, |sim| sim.status_of(&first) == "DEACTIVATING");
        sim.crash(&first, 3);
        sim.wait("gone", 100, |sim| sim.status_of(&first) == "STOPPED" && sim.status_of(&other) == "STOPPED");
        let sights = sight::sights(&sim.world);
        let by_itself = |task: &Value| {
            let id = short(task["taskArn"].as_str().unwrap());
            sights.iter().find(|sight| sight.task == id).unwrap().containers[0].by_itself
        };
        assert_eq!((by_itself(&first), by_itself(&other)), (true, false));
    }

    #[test]
    fn load_balancers_must_fit() {
        let mut sim = Sim::new();
        let group = sim.target_group("0");
        sim.register("app:1");
        let mut refused = |group: &str, container: &str, port: u16| {
            let input = json!({
                "cluster": "jobs", "serviceName": "web", "taskDefinition": "web", "desiredCount": 1,
                "loadBalancers": [{ "targetGroupArn": group, "containerName": container, "containerPort": port }]
            });
            sim.try_call("CreateService", &input).unwrap_err().message
        };
        assert_eq!(refused(&group, "other", 80), "The container other does not exist in the task definition.");
        assert_eq!(refused(&group, "app", 81), "The container app did not have a container port 81 defined.");
        assert_eq!(refused("arn:x", "app", 80), "The target group arn:x does not exist.");
    }
}
