//! Deployments that shift traffic, pauses, alarms, protection.

use super::*;

mod model;

/// A service `web` behind two target groups.
struct Shifting {
    sim: Sim,
    groups: [String; 2],
    production: String,
    test: String,
}

/// What of a deployment can be seen from outside at one moment.
#[derive(Debug, PartialEq)]
struct Seen {
    stage: String,
    /// Weights of the two groups in the production and in the test rule.
    production: [u32; 2],
    test: [u32; 2],
    /// Tasks of the older and of the newer revision.
    running: [usize; 2],
}

impl Shifting {
    fn begin(desired: u32, configuration: &Value) -> Self {
        let mut sim = Sim::new();
        let mut group = |name: &str| {
            let made = sim.elb(
                "CreateTargetGroup",
                &[("Name", name), ("Protocol", "HTTP"), ("Port", "80"), ("TargetType", "ip"), ("VpcId", "vpc-1")],
            );
            between(&made, "TargetGroupArn")
        };
        let groups = [group("blue"), group("green")];
        for group in &groups {
            let delay = [
                ("Attributes.member.1.Key", "deregistration_delay.timeout_seconds"),
                ("Attributes.member.1.Value", "20"),
            ];
            sim.elb("ModifyTargetGroupAttributes", &[[("TargetGroupArn", group.as_str())].as_slice(), &delay].concat());
        }
        let made = sim.elb(
            "CreateLoadBalancer",
            &[("Name", "front"), ("Subnets.member.1", "subnet-1"), ("Subnets.member.2", "subnet-2")],
        );
        let balancer = between(&made, "LoadBalancerArn");
        let mut listener = |port: &str| {
            let made = sim.elb(
                "CreateListener",
                &[
                    ("LoadBalancerArn", &balancer),
                    ("Protocol", "HTTP"),
                    ("Port", port),
                    ("DefaultActions.member.1.Type", "forward"),
                    ("DefaultActions.member.1.TargetGroupArn", &groups[0]),
                ],
            );
            between(&made, "ListenerArn")
        };
        let (front, test) = (listener("80"), listener("81"));
        let made = sim.elb(
            "CreateRule",
            &[
                ("ListenerArn", &front),
                ("Priority", "1"),
                ("Conditions.member.1.Field", "path-pattern"),
                ("Conditions.member.1.Values.member.1", "/*"),
                ("Actions.member.1.Type", "forward"),
                ("Actions.member.1.TargetGroupArn", &groups[0]),
            ],
        );
        let production = between(&made, "RuleArn");
        sim.register("app:1");
        let mut shifting = Self { sim, groups, production, test };
        shifting.try_create(desired, configuration).unwrap();
        shifting.sim.wait("steady", 2000, Sim::is_steady);
        shifting.sim.register("app:2");
        shifting
    }

    fn try_create(&mut self, desired: u32, configuration: &Value) -> Result<Value, Fault> {
        let input = json!({
            "cluster": "jobs", "serviceName": "web", "taskDefinition": "web", "desiredCount": desired,
            "deploymentConfiguration": configuration, "loadBalancers": self.way()
        });
        self.sim.try_call("CreateService", &input)
    }

    fn weights(&self, rule: &str) -> [u32; 2] {
        let forwards = self.sim.world.elb.action_of(rule).unwrap().target_groups();
        self.groups.each_ref().map(|group| forwards.iter().find(|to| to.arn == *group).map_or(0, |to| to.weight))
    }

    fn seen(&mut self) -> Seen {
        let stage = self.sim.current()["lifecycleStage"].as_str().unwrap_or("-").to_owned();
        let mut revisions = self.sim.revisions();
        revisions.sort();
        let first = revisions.first().cloned();
        let older = revisions.iter().filter(|one| Some(*one) == first.as_ref()).count();
        Seen {
            stage,
            production: self.weights(&self.production),
            test: self.weights(&self.test),
            running: [older, revisions.len() - older],
        }
    }

    /// Everything that is seen until the deployment has ended, each with the seconds it lasted to the nearest look.
    fn course(&mut self) -> String {
        let mut told: Vec<(Seen, u64)> = Vec::new();
        for _ in 0..40_000 {
            let seen = self.seen();
            let over = seen.stage == "-" && self.sim.current()["status"] != "PENDING";
            match told.last_mut() {
                Some((last, lasted)) if *last == seen => *lasted += 500,
                _ => told.push((seen, 0)),
            }
            if over {
                break;
            }
            self.sim.step();
        }
        let line = |(seen, lasted): (Seen, u64)| {
            let Seen { stage, production: [p, q], test: [t, u], running: [old, new] } = seen;
            format!("{stage} production {p}/{q} test {t}/{u} tasks {old}+{new} for {} s", (lasted + 5000) / 10_000 * 10)
        };
        told.into_iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl Shifting {
    /// The same, but the service has only ever rolled out, behind the first group: neither rules nor a second group.
    fn from_rolling(desired: u32) -> Self {
        let mut web = Self::begin(desired, &minutes("BLUE_GREEN", 0));
        web.sim.call("DeleteService", &json!({ "cluster": "jobs", "service": "web", "force": true }));
        web.sim.wait("gone", 100, |sim| sim.service()["status"] == "INACTIVE");
        let behind = json!({ "targetGroupArn": web.groups[0], "containerName": "app", "containerPort": 80 });
        web.sim.call(
            "CreateService",
            &json!({ "cluster": "jobs", "serviceName": "web", "taskDefinition": "web:1", "desiredCount": desired,
                "loadBalancers": [behind] }),
        );
        web.sim.wait("steady", 200, Sim::is_steady);
        web
    }

    /// The way from one group to the other, for services that have not had one.
    fn way(&self) -> Value {
        json!([{ "targetGroupArn": self.groups[0], "containerName": "app", "containerPort": 80, "advancedConfiguration": {
            "alternateTargetGroupArn": self.groups[1], "productionListenerRule": self.production,
            "testListenerRule": self.test, "roleArn": "arn:aws:iam::000000000000:role/ecs" } }])
    }

    /// Both rules forward to the one and the other group by these weights.
    fn both(&self) -> [[u32; 2]; 2] {
        [self.weights(&self.production), self.weights(&self.test)]
    }
}

impl Sim {
    /// A rollout of this revision, as far as its bake time.
    fn baking(&mut self, definition: &str) {
        self.update(json!({ "taskDefinition": definition }));
        self.wait_for_bake();
    }

    fn wait_for_bake(&mut self) {
        self.wait("baking", 300, |sim| sim.current()["lifecycleStage"] == "BAKE_TIME");
    }

    fn wait_for_status(&mut self, status: &str, limit: u64) -> u64 {
        self.wait(status, limit, |sim| sim.current()["status"] == status)
    }

    /// Asks for the current deployment to be taken back.
    fn stop_current(&mut self) -> Result<Value, Fault> {
        let arn = self.current()["serviceDeploymentArn"].clone();
        self.try_call("StopServiceDeployment", &json!({ "serviceDeploymentArn": arn }))
    }

    /// `web:1`, of every task that is to run.
    fn revisions(&mut self) -> Vec<String> {
        self.tasks("RUNNING").iter().map(definition_of).collect()
    }
}

fn definition_of(task: &Value) -> String {
    short(task["taskDefinitionArn"].as_str().unwrap()).to_owned()
}

fn minutes(strategy: &str, bake: u64) -> Value {
    json!({ "strategy": strategy, "bakeTimeInMinutes": bake })
}

#[test]
fn a_blue_green_deployment_goes_from_stage_to_stage() {
    let mut web = Shifting::begin(2, &minutes("BLUE_GREEN", 5));
    assert_eq!(web.weights(&web.production), [100, 0], "the first one has it all");
    web.sim.update(json!({ "taskDefinition": "web:2" }));
    insta::assert_snapshot!(web.course(), @r"
    - production 100/0 test 100/0 tasks 2+0 for 10 s
    PRE_SCALE_UP production 100/0 test 100/0 tasks 2+0 for 10 s
    SCALE_UP production 100/0 test 100/0 tasks 2+2 for 20 s
    POST_SCALE_UP production 100/0 test 100/0 tasks 2+2 for 10 s
    TEST_TRAFFIC_SHIFT production 100/0 test 0/100 tasks 2+2 for 10 s
    POST_TEST_TRAFFIC_SHIFT production 100/0 test 0/100 tasks 2+2 for 10 s
    PRODUCTION_TRAFFIC_SHIFT production 100/0 test 0/100 tasks 2+2 for 10 s
    PRODUCTION_TRAFFIC_SHIFT production 0/100 test 0/100 tasks 2+2 for 10 s
    POST_PRODUCTION_TRAFFIC_SHIFT production 0/100 test 0/100 tasks 2+2 for 10 s
    BAKE_TIME production 0/100 test 0/100 tasks 2+2 for 300 s
    CLEAN_UP production 0/100 test 0/100 tasks 2+0 for 40 s
    - production 0/100 test 0/100 tasks 2+0 for 0 s
    ");
    let current = web.sim.current();
    assert_eq!(current["status"], "SUCCESSFUL");
    assert_eq!(current["targetServiceRevision"]["requestedProductionTrafficWeight"], 100.0);
    assert_eq!(current["sourceServiceRevisions"][0]["requestedProductionTrafficWeight"], 0.0);
    let revision = current["targetServiceRevision"]["arn"].clone();
    let described = web.sim.call("DescribeServiceRevisions", &json!({ "serviceRevisionArns": [revision] }));
    assert_eq!(
        described["serviceRevisions"][0]["resolvedConfiguration"]["loadBalancers"],
        json!([{ "targetGroupArn": web.groups[1], "productionListenerRule": web.production }])
    );
    insta::assert_snapshot!(web.sim.events()[4..].join("\n").replace(&web.groups[0], "BLUE").replace(&web.groups[1], "GREEN"), @r"
    (service web) has started 2 tasks: (task T) (task T).
    (service web) registered 2 targets in (target-group GREEN)
    (service web) has stopped 2 running tasks: (task T) (task T).
    (service web) deregistered 2 targets in (target-group BLUE)
    (service web) has begun draining connections on 2 tasks.
    (service web) (deployment ecs-svc/N) deployment completed.
    (service web) has reached a steady state.
    ");
    // And the next one goes the other way.
    web.sim.update(json!({ "forceNewDeployment": true }));
    web.course();
    assert_eq!(web.both(), [[100, 0], [100, 0]]);
}

#[test]
fn linear_and_canary_deployments_shift_in_steps() {
    let mut linear = minutes("LINEAR", 1);
    linear["linearConfiguration"] = json!({ "stepPercent": 40.0, "stepBakeTimeInMinutes": 2 });
    let mut web = Shifting::begin(1, &linear);
    web.sim.update(json!({ "taskDefinition": "web:2" }));
    insta::assert_snapshot!(web.course(), @r"
    - production 100/0 test 100/0 tasks 1+0 for 10 s
    PRE_SCALE_UP production 100/0 test 100/0 tasks 1+0 for 10 s
    SCALE_UP production 100/0 test 100/0 tasks 1+1 for 20 s
    POST_SCALE_UP production 100/0 test 100/0 tasks 1+1 for 10 s
    TEST_TRAFFIC_SHIFT production 100/0 test 0/100 tasks 1+1 for 10 s
    POST_TEST_TRAFFIC_SHIFT production 100/0 test 0/100 tasks 1+1 for 10 s
    PRODUCTION_TRAFFIC_SHIFT production 100/0 test 0/100 tasks 1+1 for 10 s
    PRODUCTION_TRAFFIC_SHIFT production 60/40 test 0/100 tasks 1+1 for 120 s
    PRODUCTION_TRAFFIC_SHIFT production 20/80 test 0/100 tasks 1+1 for 120 s
    PRODUCTION_TRAFFIC_SHIFT production 0/100 test 0/100 tasks 1+1 for 10 s
    POST_PRODUCTION_TRAFFIC_SHIFT production 0/100 test 0/100 tasks 1+1 for 10 s
    BAKE_TIME production 0/100 test 0/100 tasks 1+1 for 60 s
    CLEAN_UP production 0/100 test 0/100 tasks 1+0 for 40 s
    - production 0/100 test 0/100 tasks 1+0 for 0 s
    ");
    let mut canary = minutes("CANARY", 0);
    canary["canaryConfiguration"] = json!({ "canaryPercent": 2.5, "canaryBakeTimeInMinutes": 3 });
    let mut web = Shifting::begin(1, &canary);
    web.sim.update(json!({ "taskDefinition": "web:2" }));
    insta::assert_snapshot!(web.course(), @r"
    - production 100/0 test 100/0 tasks 1+0 for 10 s
    PRE_SCALE_UP production 100/0 test 100/0 tasks 1+0 for 10 s
    SCALE_UP production 100/0 test 100/0 tasks 1+1 for 20 s
    POST_SCALE_UP production 100/0 test 100/0 tasks 1+1 for 10 s
    TEST_TRAFFIC_SHIFT production 100/0 test 0/100 tasks 1+1 for 10 s
    POST_TEST_TRAFFIC_SHIFT production 100/0 test 0/100 tasks 1+1 for 10 s
    PRODUCTION_TRAFFIC_SHIFT production 100/0 test 0/100 tasks 1+1 for 10 s
    PRODUCTION_TRAFFIC_SHIFT production 975/25 test 0/100 tasks 1+1 for 180 s
    PRODUCTION_TRAFFIC_SHIFT production 0/100 test 0/100 tasks 1+1 for 10 s
    POST_PRODUCTION_TRAFFIC_SHIFT production 0/100 test 0/100 tasks 1+1 for 10 s
    BAKE_TIME production 0/100 test 0/100 tasks 1+1 for 10 s
    CLEAN_UP production 0/100 test 0/100 tasks 1+0 for 40 s
    - production 0/100 test 0/100 tasks 1+0 for 0 s
    ");
}

/// A pause before production traffic is shifted, which waits so long.
fn paused(strategy: &str, stage: &str, timeout: &Value) -> Value {
    let mut configuration = minutes(strategy, 0);
    configuration["lifecycleHooks"] =
        json!([{ "targetType": "PAUSE", "lifecycleStages": [stage], "timeoutConfiguration": timeout }]);
    configuration
}

fn hook(sim: &mut Sim) -> Option<Value> {
    let current = sim.current();
    let hooks = current["lifecycleHookDetails"].as_array()?.clone();
    hooks.into_iter().find(|hook| hook["status"] == "AWAITING_ACTION")
}

fn answer(sim: &mut Sim, hook: &Value, action: &str) -> Result<Value, Fault> {
    let arn = sim.current()["serviceDeploymentArn"].clone();
    let input = json!({ "serviceDeploymentArn": arn, "hookId": hook["hookId"], "action": action });
    sim.try_call("ContinueServiceDeployment", &input)
}

#[test]
fn a_pause_holds_until_somebody_answers() {
    let mut web = Shifting::begin(1, &minutes("BLUE_GREEN", 0));
    let configuration = paused("BLUE_GREEN", "POST_TEST_TRAFFIC_SHIFT", &json!({}));
    web.sim.update(json!({ "taskDefinition": "web:2", "deploymentConfiguration": configuration }));
    let sim = &mut web.sim;
    sim.wait("paused", 200, |sim| hook(sim).is_some());
    let paused = hook(sim).unwrap();
    assert_eq!((&paused["targetType"], &paused["timeoutAction"]), (&json!("PAUSE"), &json!("ROLLBACK")));
    sim.run(600);
    assert_eq!(sim.current()["lifecycleStage"], "POST_TEST_TRAFFIC_SHIFT");
    assert_eq!(answer(sim, &json!({ "hookId": "x" }), "CONTINUE").unwrap_err().code, "InvalidParameterException");
    answer(sim, &paused, "CONTINUE").unwrap();
    assert_eq!(answer(sim, &paused, "CONTINUE").unwrap_err().code, "ConflictException");
    sim.wait_for_status("SUCCESSFUL", 300);
}

#[test]
fn a_pause_that_is_refused_or_runs_out_goes_back() {
    let mut web = Shifting::begin(1, &minutes("BLUE_GREEN", 0));
    for (timeout, action, ends) in [
        (json!({ "timeoutInMinutes": 10 }), Some("ROLLBACK"), "ROLLBACK_SUCCESSFUL"),
        (json!({ "timeoutInMinutes": 10 }), None, "ROLLBACK_SUCCESSFUL"),
        (json!({ "timeoutInMinutes": 10, "action": "CONTINUE" }), None, "SUCCESSFUL"),
    ] {
        let configuration = paused("BLUE_GREEN", "POST_PRODUCTION_TRAFFIC_SHIFT", &timeout);
        web.sim.update(json!({ "taskDefinition": "web:2", "deploymentConfiguration": configuration }));
        web.sim.wait("paused", 300, |sim| hook(sim).is_some());
        assert_eq!(web.weights(&web.production), [0, 100]);
        if let Some(action) = action {
            let paused = hook(&mut web.sim).unwrap();
            answer(&mut web.sim, &paused, action).unwrap();
        }
        web.sim.wait("ended", 900, |sim| sim.current()["status"] == ends);
        let back = if ends == "SUCCESSFUL" { [0, 100] } else { [100, 0] };
        assert_eq!(web.both(), [back, back]);
    }
}

#[test]
fn pauses_before_every_step_are_asked_anew() {
    let mut configuration = paused("LINEAR", "PRE_PRODUCTION_TRAFFIC_SHIFT", &json!({}));
    configuration["linearConfiguration"] = json!({ "stepPercent": 50.0, "stepBakeTimeInMinutes": 0 });
    let mut web = Shifting::begin(1, &minutes("BLUE_GREEN", 0));
    web.sim.update(json!({ "taskDefinition": "web:2", "deploymentConfiguration": configuration }));
    let mut seen = Vec::new();
    for expected in [[100, 0], [50, 50]] {
        web.sim.wait("paused", 300, |sim| hook(sim).is_some());
        assert_eq!(web.weights(&web.production), expected);
        let paused = hook(&mut web.sim).unwrap();
        seen.push(paused["hookId"].clone());
        answer(&mut web.sim, &paused, "CONTINUE").unwrap();
    }
    assert_ne!(seen[0], seen[1]);
    web.sim.wait_for_status("SUCCESSFUL", 300);
}

#[test]
fn a_stop_while_baking_gives_the_traffic_back_at_once() {
    let mut web = Shifting::begin(2, &minutes("BLUE_GREEN", 10));
    web.sim.baking("web:2");
    web.sim.stop_current().unwrap();
    web.sim.run(11);
    assert_eq!(web.sim.current()["status"], "ROLLBACK_IN_PROGRESS");
    assert_eq!(web.both(), [[100, 0], [100, 0]]);
    web.sim.wait_for_status("ROLLBACK_SUCCESSFUL", 200);
    assert_eq!(web.sim.revisions(), ["web:1", "web:1"]);
}

/// The revision to go back to is from a time when the service had neither rules nor a second group.
#[test]
fn a_service_that_begins_to_shift_can_go_back_to_what_it_was() {
    let mut web = Shifting::from_rolling(1);
    web.sim.update(json!({ "taskDefinition": "web:2", "loadBalancers": web.way(),
        "deploymentConfiguration": minutes("BLUE_GREEN", 10) }));
    web.sim.wait_for_bake();
    assert_eq!(web.both(), [[0, 100], [0, 100]]);
    web.sim.stop_current().unwrap();
    // At once: the groups that lose their tasks now must get nothing meanwhile.
    web.sim.run(11);
    assert_eq!(web.both(), [[100, 0], [100, 0]]);
    web.sim.wait_for_status("ROLLBACK_SUCCESSFUL", 200);
    assert_eq!(web.both(), [[100, 0], [100, 0]]);
    assert_eq!(web.sim.revisions(), ["web:1"]);
    // And begin once more, and come through.
    web.sim.update(json!({ "taskDefinition": "web:2", "deploymentConfiguration": minutes("BLUE_GREEN", 0) }));
    web.sim.wait_for_status("SUCCESSFUL", 400);
    assert_eq!(web.both(), [[0, 100], [0, 100]]);
}

#[test]
fn a_green_revision_that_does_not_start_is_given_up() {
    let mut web = Shifting::begin(1, &minutes("BLUE_GREEN", 0));
    web.sim.register("127.0.0.1:4517/jobs/api:gone");
    web.sim.update(json!({ "taskDefinition": "web" }));
    web.sim.wait_for_status("ROLLBACK_SUCCESSFUL", 900);
    assert_eq!(web.weights(&web.production), [100, 0]);
    assert_eq!(web.sim.current()["deploymentCircuitBreaker"]["status"], "DISABLED");
}

#[test]
fn a_shift_that_is_overtaken_is_reconciled() {
    let mut web = Shifting::begin(1, &minutes("BLUE_GREEN", 10));
    web.sim.baking("web:2");
    let first = web.sim.current()["serviceDeploymentArn"].clone();
    web.sim.register("app:3");
    web.sim.update(json!({ "taskDefinition": "web:3" }));
    web.sim.run(11);
    let overtaken = web.sim.call("DescribeServiceDeployments", &json!({ "serviceDeploymentArns": [first] }));
    assert_eq!(overtaken["serviceDeployments"][0]["status"], "STOPPED");
    assert_eq!(web.sim.current()["lifecycleStage"], "RECONCILE_SERVICE");
    // Traffic is back where it came from before the half-proven one is taken away.
    assert_eq!(web.weights(&web.production), [100, 0]);
    web.sim.wait_for_status("SUCCESSFUL", 1500);
    assert_eq!(web.weights(&web.production), [0, 100]);
    assert_eq!(web.sim.revisions(), ["web:3"]);
}

#[test]
fn both_revisions_keep_their_count_while_traffic_shifts() {
    let mut web = Shifting::begin(2, &minutes("BLUE_GREEN", 20));
    web.sim.baking("web:2");
    let blue = web.sim.tasks("RUNNING").into_iter().find(|task| definition_of(task) == "web:1").unwrap();
    web.sim.crash(&blue, 1);
    web.sim.update(json!({ "desiredCount": 3 }));
    web.sim.run(60);
    assert_eq!(web.seen().running, [2, 3]);
    web.sim.wait("done", 1500, |sim| sim.current()["status"] == "SUCCESSFUL" && sim.is_steady());
    assert_eq!(web.seen().running, [3, 0]);
}

#[test]
fn ways_that_lead_nowhere_are_refused() {
    let mut web = Shifting::begin(1, &minutes("BLUE_GREEN", 0));
    web.production.push('0');
    let refused = web.sim.try_call(
        "UpdateService",
        &json!({ "cluster": "jobs", "service": "web", "loadBalancers": [{ "targetGroupArn": web.groups[0],
            "containerName": "app", "containerPort": 80 }] }),
    );
    let words = "advancedConfiguration is required for the load balancers of a service with the deployment strategy BLUE_GREEN.";
    assert_eq!(refused.unwrap_err().message, words);
    web.sim.call("DeleteService", &json!({ "cluster": "jobs", "service": "web", "force": true }));
    web.sim.wait("gone", 100, |sim| sim.service()["status"] == "INACTIVE");
    let refused = web.try_create(1, &minutes("BLUE_GREEN", 0)).unwrap_err();
    assert_eq!(refused.message, format!("The listener rule {} does not exist.", web.production));
}

// ── alarms ───────────────────────────────────────────────────────────────────────

fn watched(rollback: bool) -> Value {
    json!({ "alarms": { "alarmNames": ["errors", "latency"], "enable": true, "rollback": rollback } })
}

fn alarm(sim: &mut Sim, name: &str, state: &str) {
    let put = json!({ "AlarmName": name, "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1 });
    let set = json!({ "AlarmName": name, "StateValue": state, "StateReason": "a test" });
    for (operation, input) in [("PutMetricAlarm", put), ("SetAlarmState", set)] {
        cloudwatch::call(&mut sim.world, operation, &input, sim.now).unwrap();
    }
}

#[test]
fn an_alarm_undoes_a_rolling_deployment_while_it_bakes() {
    let mut sim = Sim::settled(1, &watched(true));
    // One that has been on since before is not heard.
    alarm(&mut sim, "latency", "ALARM");
    sim.register("app:2");
    sim.baking("web:2");
    assert_eq!(sim.tasks("RUNNING").len(), 1, "the old one is gone already");
    let quiet = json!({ "status": "MONITORING", "alarmNames": ["errors", "latency"], "triggeredAlarmNames": [] });
    assert_eq!(sim.current()["alarms"], quiet);
    alarm(&mut sim, "errors", "ALARM");
    sim.run(11);
    assert_eq!(sim.current()["alarms"]["triggeredAlarmNames"], json!(["errors"]));
    sim.wait_for_status("ROLLBACK_SUCCESSFUL", 300);
    assert_eq!(definition_of(&sim.tasks("RUNNING")[0]), "web:1");
    insta::assert_snapshot!(sim.events()[5..].join("\n"), @r"
    (service web) (deployment ecs-svc/N) deployment failed: alarm detected.
    (service web) rolling back to deployment ecs-svc/N.
    (service web) has started 1 tasks: (task T).
    (service web) has stopped 1 running tasks: (task T).
    (service web) (deployment ecs-svc/N) deployment completed.
    (service web) has reached a steady state.
    ");
    assert_eq!(sim.current()["alarms"]["status"], "TRIGGERED");
}

#[test]
fn an_alarm_without_rollback_only_ends_the_deployment() {
    let mut sim = Sim::settled(1, &watched(false));
    sim.register("app:2");
    sim.update(json!({ "taskDefinition": "web:2" }));
    sim.run(15);
    alarm(&mut sim, "errors", "ALARM");
    sim.wait_for_status("STOPPED", 20);
    let failed = &sim.service()["deployments"][0];
    assert_eq!((&failed["rolloutState"], &failed["status"]), (&json!("FAILED"), &json!("PRIMARY")));
}

#[test]
fn without_an_alarm_the_bake_time_ends_by_itself() {
    let mut sim = Sim::settled(1, &json!({ "bakeTimeInMinutes": 2 }));
    sim.register("app:2");
    sim.baking("web:2");
    let took = sim.wait_for_status("SUCCESSFUL", 300);
    assert!((110..=130).contains(&took), "{took}");
    assert!(!sim.events()[4..].iter().any(|text| text.contains("steady") && !sim.is_steady()));
}

#[test]
fn an_alarm_gives_the_traffic_back() {
    let mut configuration = minutes("CANARY", 1);
    configuration["alarms"] = json!({ "alarmNames": ["errors"], "enable": true, "rollback": true });
    let mut web = Shifting::begin(1, &configuration);
    web.sim.update(json!({ "taskDefinition": "web:2" }));
    let production = web.production.clone();
    while web.weights(&production) != [95, 5] {
        web.sim.step();
    }
    alarm(&mut web.sim, "errors", "ALARM");
    web.sim.run(11);
    assert_eq!(web.weights(&production), [100, 0]);
    web.sim.wait_for_status("ROLLBACK_SUCCESSFUL", 200);
}

// ── early success, protection ────────────────────────────────────────────────────

#[test]
fn an_early_success_leaves_the_rest_for_later() {
    for (cleanup, left) in [("DEFERRED", true), ("BLOCKING", false)] {
        let criteria = json!({ "enable": true, "healthyPercent": 50, "sourceServiceRevisionCleanup": cleanup });
        let mut sim = Sim::settled(4, &json!({ "minimumHealthyPercent": 50, "maximumPercent": 150 }));
        sim.register("app:2");
        sim.update(
            json!({ "taskDefinition": "web:2", "deploymentConfiguration": { "earlySuccessCriteria": criteria } }),
        );
        sim.wait_for_status("SUCCESSFUL", 400);
        let old = |sim: &mut Sim| sim.tasks("RUNNING").iter().any(|task| definition_of(task) == "web:1");
        assert_eq!(old(&mut sim), left, "{cleanup}");
        let counts = sim.current()["targetServiceRevision"].clone();
        sim.wait("steady", 400, Sim::is_steady);
        assert_eq!(sim.service()["deployments"].as_array().unwrap().len(), 1);
        assert!(!old(&mut sim));
        assert_eq!(sim.current()["targetServiceRevision"], counts, "{cleanup}: what came later is not its doing");
    }
}

#[test]
fn protected_tasks_outlive_scale_ins_and_deployments() {
    let mut sim = Sim::settled(3, &json!({}));
    let protected = sim.tasks("RUNNING").remove(0)["taskArn"].clone();
    let input = json!({ "cluster": "jobs", "tasks": [protected], "protectionEnabled": true, "expiresInMinutes": 10 });
    let answer = sim.call("UpdateTaskProtection", &input);
    assert_eq!(answer["protectedTasks"][0]["protectionEnabled"], true);
    sim.update(json!({ "desiredCount": 0 }));
    sim.run(60);
    assert_eq!(sim.tasks("RUNNING")[0]["taskArn"], protected);
    assert_eq!(sim.tasks("RUNNING").len(), 1);
    let said = "(service web) was unable to reach steady state because (taskSet ecs-svc/N) was unable to scale in due to \
                (reason 1 tasks under protection)";
    assert_eq!(sim.events().iter().filter(|text| *text == said).count(), 1, "{:#?}", sim.events());
    assert!(!sim.is_steady());
    // A new revision does not take it away either.
    sim.register("app:2");
    sim.update(json!({ "taskDefinition": "web:2", "desiredCount": 1 }));
    sim.run(120);
    assert_eq!(sim.current()["status"], "IN_PROGRESS");
    assert!(sim.tasks("RUNNING").iter().any(|task| task["taskArn"] == protected));
    let shown = sim.call("GetTaskProtection", &json!({ "cluster": "jobs", "tasks": [protected, "nope"] }));
    assert_eq!(shown["failures"][0]["reason"], "MISSING");
    // Until it runs out.
    sim.wait_for_status("SUCCESSFUL", 600);
    assert_eq!(sim.tasks("RUNNING").len(), 1);
    assert_eq!(
        sim.call("GetTaskProtection", &json!({ "cluster": "jobs" }))["protectedTasks"][0]["protectionEnabled"],
        false
    );
}

#[test]
fn settings_of_clusters_and_accounts_are_kept() {
    let mut sim = Sim::new();
    sim.call("PutAccountSetting", &json!({ "name": "containerInsights", "value": "enabled" }));
    assert_eq!(
        sim.call("ListAccountSettings", &json!({}))["settings"][0]["principalArn"],
        "arn:aws:iam::000000000000:root"
    );
    let made = sim.call("CreateCluster", &json!({ "clusterName": "other" }))["cluster"].clone();
    assert_eq!(made["settings"], json!([{ "name": "containerInsights", "value": "enabled" }]));
    let strategy = json!([{ "capacityProvider": "FARGATE", "weight": 1 }]);
    let providers = json!({ "cluster": "other", "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
        "defaultCapacityProviderStrategy": strategy });
    let put = sim.call("PutClusterCapacityProviders", &providers)["cluster"].clone();
    assert_eq!(
        put["defaultCapacityProviderStrategy"],
        json!([{ "capacityProvider": "FARGATE", "weight": 1, "base": 0 }])
    );
    let refused = sim.try_call(
        "PutClusterCapacityProviders",
        &json!({ "cluster": "other", "capacityProviders": ["mine"], "defaultCapacityProviderStrategy": [] }),
    );
    assert!(refused.unwrap_err().message.starts_with("The specified capacity provider 'mine' was not found."));
    let described = sim.call("DescribeCapacityProviders", &json!({ "capacityProviders": ["FARGATE", "mine"] }));
    assert_eq!(described["capacityProviders"][0]["name"], "FARGATE");
    assert_eq!(described["failures"][0]["reason"], "MISSING");
}
