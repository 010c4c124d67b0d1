//! Blue/green, linear and canary deployments with pauses, bakes and alarms, watched on the wire of the sandbox, which
//! carries them out by itself.

use aws_sdk_ecs::{
    config::{BehaviorVersion, Credentials, Region},
    types::DeploymentLifecycleHookAction as Answer,
};

use super::*;
use crate::{
    aws::elb,
    event::Board,
    rollout::goal::{OnInterrupt, Terms},
    sandbox::{
        wire::query::Form,
        world::{self, cloudwatch},
    },
};

/// A stage of ten seconds is looked at twice.
const SHIFT_SPEED: f64 = 50.0;

/// Enough for what the sandbox is told to wait for; a bake has a budget of its own.
const PATIENT: WatchBudget = WatchBudget { no_progress_ms: 150_000, total_ms: 240_000, ..BUDGET };

/// `app` behind two target groups and two rules, its first revision in production.
struct Stage {
    lab: Lab,
}

fn between(text: &str, tag: &str) -> String {
    let from = text.find(&format!("<{tag}>")).unwrap() + tag.len() + 2;
    text[from..].split('<').next().unwrap().to_owned()
}

impl Stage {
    async fn set(configuration: &Value) -> Self {
        let lab = Lab::at_speed(SHIFT_SPEED).await;
        let walked = Box::pin(lab.walk(&first_plan(SHORT))).await;
        assert_eq!(walked.outcome.exit, Exit::Done, "{:?}", walked.outcome.failure);
        let stage = Self { lab };
        let blue = stage.service()["loadBalancers"][0]["targetGroupArn"].as_str().unwrap().to_owned();
        let green = Box::pin(elb::create_target_group(&stage.lab.hands.aws, "green", &settings(SHORT))).await.unwrap();
        let balancer = between(&stage.elb("DescribeLoadBalancers", &[]), "LoadBalancerArn");
        let front = between(&stage.elb("DescribeListeners", &[("LoadBalancerArn", &balancer)]), "ListenerArn");
        let made = stage.elb(
            "CreateRule",
            &[
                ("ListenerArn", &front),
                ("Priority", "1"),
                ("Conditions.member.1.Field", "path-pattern"),
                ("Conditions.member.1.Values.member.1", "/*"),
                ("Actions.member.1.Type", "forward"),
                ("Actions.member.1.TargetGroupArn", &blue),
            ],
        );
        let test = elb::create_listener(&stage.lab.hands.aws, &balancer, &blue, None).await.unwrap();
        let advanced = json!({ "alternateTargetGroupArn": green, "productionListenerRule": between(&made, "RuleArn"),
            "testListenerRule": test, "roleArn": "arn:aws:iam::000000000000:role/ecs" });
        let behind = json!([{ "targetGroupArn": blue, "containerName": "app", "containerPort": 8080, "advancedConfiguration": advanced }]);
        // The load balancers start a deployment of their own, the configuration alone starts none.
        stage.update(json!({ "loadBalancers": behind, "deploymentConfiguration": { "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0 } }));
        stage.lab.settled().await;
        stage.update(json!({ "deploymentConfiguration": configuration }));
        stage
    }

    fn ecs(&self, operation: &str, input: &Value) -> Value {
        let mut world = self.lab.sandbox.world();
        world::ecs::call(&mut world, operation, input, now()).unwrap_or_else(|fault| panic!("{operation}: {fault:?}"))
    }

    fn elb(&self, action: &str, members: &[(&str, &str)]) -> String {
        let form: Form = members.iter().copied().collect();
        let mut world = self.lab.sandbox.world();
        world::elb::call(&mut world, action, &form, now()).unwrap_or_else(|fault| panic!("{action}: {fault:?}"))
    }

    fn service(&self) -> Value {
        self.ecs("DescribeServices", &json!({ "cluster": "lab", "services": ["app"] }))["services"][0].clone()
    }

    fn update(&self, mut input: Value) {
        input["cluster"] = json!("lab");
        input["service"] = json!("app");
        self.ecs("UpdateService", &input);
    }

    fn alarm(&self, state: &str) {
        let put =
            json!({ "AlarmName": "app-5xx", "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1 });
        let set = json!({ "AlarmName": "app-5xx", "StateValue": state, "StateReason": "a test" });
        let mut world = self.lab.sandbox.world();
        for (operation, input) in [("PutMetricAlarm", put), ("SetAlarmState", set)] {
            cloudwatch::call(&mut world, operation, &input, now()).unwrap();
        }
    }

    /// Does what the hint says, with another client: `aws ecs continue-service-deployment …`.
    async fn follow(&self, hint: &str, answer: Answer) {
        let words: Vec<_> = hint.split(' ').collect();
        let after = |flag: &str| words[words.iter().position(|word| *word == flag).unwrap() + 1];
        assert_eq!((&words[..3], after("--action")), (&["aws", "ecs", "continue-service-deployment"][..], "CONTINUE"));
        let config = aws_sdk_ecs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("sandbox", "sandbox", None, None, "test"))
            .endpoint_url(self.lab.sandbox.endpoint());
        aws_sdk_ecs::Client::from_conf(config.build())
            .continue_service_deployment()
            .service_deployment_arn(after("--service-deployment-arn"))
            .hook_id(after("--hook-id"))
            .action(answer)
            .send()
            .await
            .unwrap();
    }

    /// Rolls out the next revision; every hook is answered with the next of the answers, none is left alone.
    async fn roll_out(&self, answers: &[Answer], on_interrupt: OnInterrupt) -> (Walked, Vec<Board>) {
        let terms = Terms { on_interrupt, ..terms(PATIENT) };
        let steps = next_steps(0, self.lab.live().await, definition("256"), terms);
        let plan = Plan { steps, release: Release::Independent };
        let (canceller, cancel) = cancel::token();
        let (sender, mut hints) = mpsc::channel(16);
        let mut boards: Vec<Board> = Vec::new();
        let mut asked: Vec<String> = Vec::new();
        let walking = walk(&plan, &self.lab.hands, &cancel, |event| {
            let Event::Told { progress: Progress::Board(board), .. } = event else { return };
            if let Some(hook) = &board.hook
                && !asked.contains(&hook.id)
            {
                asked.push(hook.id.clone());
                sender.try_send(hook.command.clone()).unwrap();
                if on_interrupt == OnInterrupt::TakeBack {
                    canceller.ask(Source::Signal);
                }
            }
            boards.push(board.clone());
        });
        let answering = async {
            for answer in answers {
                let hint = hints.recv().await.unwrap();
                self.follow(&hint, answer.clone()).await;
            }
            std::future::pending::<()>().await;
        };
        let walked = tokio::select! {
            walked = walking => walked,
            () = answering => unreachable!("it waits for the end"),
        };
        (walked, boards)
    }
}

/// Stages and production traffic as they were told, each once.
fn course(boards: &[Board]) -> Vec<(String, u32)> {
    let mut told: Vec<(String, u32)> = Vec::new();
    for shift in boards.iter().filter_map(|board| board.shift.as_ref()) {
        let now = (shift.stage.clone().unwrap_or_default(), shift.production_permille.unwrap_or_default());
        if told.last() != Some(&now) {
            told.push(now);
        }
    }
    told
}

fn permilles(boards: &[Board]) -> Vec<u32> {
    let mut all: Vec<u32> = course(boards).into_iter().map(|(_, permille)| permille).collect();
    all.dedup();
    all
}

/// Never live while production traffic still goes to the old revision.
fn never_live_too_early(boards: &[Board]) {
    for board in boards {
        let permille = board.shift.as_ref().and_then(|shift| shift.production_permille);
        let is_live = matches!(board.phase, Phase::Healthy | Phase::Draining | Phase::Drained);
        assert!(!is_live || permille.is_none_or(|permille| permille == 1000), "{board:?}");
    }
}

fn paused(strategy: &str, stage: &str, timeout: &Value) -> Value {
    json!({ "strategy": strategy, "bakeTimeInMinutes": 0,
        "lifecycleHooks": [{ "targetType": "PAUSE", "lifecycleStages": [stage], "timeoutConfiguration": timeout }] })
}

fn why(walked: &Walked) -> String {
    walked.outcome.failure.as_ref().map(|(_, error)| error.to_string()).unwrap_or_default()
}

fn ended(walked: &Walked) -> (Exit, Live) {
    (walked.outcome.exit, walked.outcome.live[0].live)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blue_green_deployment_is_told_stage_by_stage_and_goes_on_when_the_hint_is_followed() {
    let mut configuration = paused("BLUE_GREEN", "POST_TEST_TRAFFIC_SHIFT", &json!({}));
    configuration["bakeTimeInMinutes"] = json!(1);
    let stage = Stage::set(&configuration).await;
    let (walked, boards) = stage.roll_out(&[Answer::Continue], OnInterrupt::Leave).await;
    assert_eq!(ended(&walked), (Exit::Done, Live::New), "{}", why(&walked));
    let stages: Vec<_> = course(&boards).into_iter().map(|(stage, _)| stage).collect();
    let order = ["SCALE_UP", "POST_TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME", "CLEAN_UP"];
    let mut left = order.into_iter().peekable();
    for told in &stages {
        left.next_if(|next| next == told);
    }
    assert_eq!(left.next(), None, "in this order: {stages:?}");
    assert_eq!(permilles(&boards), [0, 1000]);
    never_live_too_early(&boards);
    let strategies: std::collections::BTreeSet<_> =
        boards.iter().filter_map(|board| board.shift.as_ref()).map(|shift| shift.strategy.as_str()).collect();
    assert_eq!(strategies, ["BLUE_GREEN"].into());
    let hook = boards.iter().find_map(|board| board.hook.as_ref()).expect("the pause is shown");
    assert_eq!(hook.stage.as_deref(), Some("POST_TEST_TRAFFIC_SHIFT"));
    assert_eq!((hook.timeout_action.as_deref(), hook.expires_ms.is_some()), (Some("ROLLBACK"), true));
    let test = |board: &Board| board.shift.as_ref().and_then(|shift| shift.test_permille);
    assert!(boards.iter().any(|board| board.hook.is_some() && test(board) == Some(1000)), "test traffic first");
    let bakes: Vec<_> = boards.iter().filter_map(|board| board.shift.as_ref()?.bake_left_ms).collect();
    assert!(!bakes.is_empty() && bakes.is_sorted_by(|one, next| one >= next), "a bake counts down: {bakes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn linear_and_canary_deployments_are_told_step_by_step() {
    for (strategy, steps, expected) in [
        ("LINEAR", json!({ "stepPercent": 40.0, "stepBakeTimeInMinutes": 1 }), vec![0, 400, 800, 1000]),
        ("CANARY", json!({ "canaryPercent": 2.5, "canaryBakeTimeInMinutes": 1 }), vec![0, 25, 1000]),
    ] {
        let mut configuration = json!({ "strategy": strategy, "bakeTimeInMinutes": 0 });
        configuration[format!("{}Configuration", strategy.to_lowercase())] = steps;
        let stage = Stage::set(&configuration).await;
        let (walked, boards) = stage.roll_out(&[], OnInterrupt::Leave).await;
        assert_eq!(ended(&walked), (Exit::Done, Live::New), "{strategy}: {}", why(&walked));
        assert_eq!(permilles(&boards), expected, "{strategy}: {:?}", course(&boards));
        never_live_too_early(&boards);
    }
}

/// In a linear deployment every step has a hook of its own.
#[tokio::test(flavor = "multi_thread")]
async fn each_step_waits_for_its_own_answer_and_one_may_say_no() {
    let mut configuration = paused("LINEAR", "PRE_PRODUCTION_TRAFFIC_SHIFT", &json!({}));
    configuration["linearConfiguration"] = json!({ "stepPercent": 50.0, "stepBakeTimeInMinutes": 0 });
    let stage = Stage::set(&configuration).await;
    let (walked, boards) = stage.roll_out(&[Answer::Continue, Answer::Rollback], OnInterrupt::Leave).await;
    assert_eq!(ended(&walked), (Exit::RolloutFailed, Live::Unchanged), "{}", why(&walked));
    let hooks: std::collections::BTreeSet<_> =
        boards.iter().filter_map(|board| board.hook.as_ref()).map(|hook| hook.id.as_str()).collect();
    assert_eq!(hooks.len(), 2);
    assert!(permilles(&boards).contains(&500), "{:?}", course(&boards));
    never_live_too_early(&boards);
    assert_eq!(stage.lab.settled().await, "128", "the old revision runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_runs_out_is_rolled_back_and_said() {
    let configuration =
        paused("BLUE_GREEN", "POST_PRODUCTION_TRAFFIC_SHIFT", &json!({ "timeoutInMinutes": 1, "action": "ROLLBACK" }));
    let stage = Stage::set(&configuration).await;
    let (walked, boards) = stage.roll_out(&[], OnInterrupt::Leave).await;
    assert_eq!(ended(&walked), (Exit::RolloutFailed, Live::Unchanged), "{}", why(&walked));
    assert!(why(&walked).starts_with("rolled back by ECS: "), "{}", why(&walked));
    assert!(boards.iter().any(|board| board.hook.is_some() && board.phase != Phase::RollingBack));
    assert_eq!(boards.last().map(|board| board.phase), Some(Phase::RollingBack));
    assert_eq!(stage.lab.settled().await, "128");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_in_the_bake_gives_the_traffic_back_and_is_named() {
    for strategy in ["BLUE_GREEN", "ROLLING"] {
        let alarms = json!({ "alarmNames": ["app-5xx"], "enable": true, "rollback": true });
        let stage = Stage::set(&json!({ "strategy": strategy, "bakeTimeInMinutes": 2 })).await;
        stage.alarm("OK");
        stage.update(json!({ "deploymentConfiguration": { "alarms": alarms } }));
        let baking = async {
            loop {
                let current = stage.service()["currentServiceDeployment"].clone();
                let input = json!({ "serviceDeploymentArns": [current] });
                let described = stage.ecs("DescribeServiceDeployments", &input);
                if described["serviceDeployments"][0]["lifecycleStage"] == "BAKE_TIME" {
                    stage.alarm("ALARM");
                    std::future::pending::<()>().await;
                }
                beat().await;
            }
        };
        let (walked, boards) = tokio::select! {
            rolled_out = stage.roll_out(&[], OnInterrupt::Leave) => rolled_out,
            () = baking => unreachable!("it waits for the end"),
        };
        assert_eq!(ended(&walked), (Exit::RolloutFailed, Live::Unchanged), "{strategy}: {}", why(&walked));
        assert_eq!(why(&walked), "rolled back by ECS: the alarm app-5xx fired", "{strategy}");
        let bakes = boards.iter().any(|board| board.shift.as_ref().is_some_and(|shift| shift.bake_left_ms.is_some()));
        assert!(bakes, "{strategy}: the bake is shown");
        assert_eq!(stage.lab.settled().await, "128", "{strategy}");
    }
}

/// Ctrl-C at a pause, where the rollout is to be taken back then: ECS is asked, once.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_at_a_pause_it_is_taken_back() {
    let stage = Stage::set(&paused("BLUE_GREEN", "POST_TEST_TRAFFIC_SHIFT", &json!({}))).await;
    let (walked, _) = stage.roll_out(&[], OnInterrupt::TakeBack).await;
    assert_eq!(walked.outcome.exit, Exit::Cancelled);
    assert!(walked.outcome.live[0].words.contains("ECS takes app:2"), "{:?}", walked.outcome.live);
    assert_eq!(stage.lab.settled().await, "128");
}
