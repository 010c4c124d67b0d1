//! Plans made by hand, walked for real: against a sandbox in this process whose tasks are on paper, and the
//! engine where a step needs one. Every case looks at the exit code, at what is said to be live, and at the
//! last line a person reads; they must agree.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use super::{
    act::Hands,
    cancel::{self, Cancel, Canceller, Source},
    guests::Guests,
    login::Logins,
    outcome::Outcome,
    runner::{self, Opening},
    teller::Teller,
};
use crate::{
    aws::{self, Endpoint, Identity, connect::Patience, ecs},
    config::spec::{Builder, SandboxService},
    docker::{BuildVariables, EndpointInputs, Engine, RegistryAuth},
    event::{Event, Live, Phase, Progress, Record},
    exit::Exit,
    failure::{Failure, Shown, render},
    id::{Cluster, Key, RunId, ServiceName, StepId, TaskDefArn},
    image::{Digest, ImageName, Reference},
    plan::step::{
        Action, Behind, BuildAction, CheckAction, CheckCall, ImagePatch, Later, LiveDefinition, OnFailure, Percentages,
        Plan, RegisterAction, Release, RolloutObserved, Running, Step, Terms, Toward, WatchBudget,
    },
    report::{Report as _, plain::Plain, style::Style},
    rollout::goal::Pace,
    sandbox::{
        Handle, Sandbox, Settings,
        clock::now,
        scenario::{Crash, HealthAnswer, HealthStep, Of, OutOfMemory, Scenario, TaskScript},
        world::ecs::run::{self, Report},
    },
};

/// How much faster than life the sandbox runs: ten seconds between two moves of the scheduler are a tenth of one.
const SPEED: f64 = 100.0;
/// A rollout takes about two seconds, and a busy machine may take twenty times as long; anything slower than this hangs.
const LIMIT: Duration = Duration::from_mins(5);

/// Long enough for everything but what a case is about, also on a machine that is busy with something else.
const BUDGET: WatchBudget =
    WatchBudget { no_progress_ms: 200_000, total_ms: 240_000, drain_ms: 200_000, deregistration_delay_ms: 100 };

fn settings(deregistration_delay: Duration) -> SandboxService {
    SandboxService { deregistration_delay, ..SandboxService::default() }
}

fn definition(cpu: &str) -> Value {
    definition_of("app", cpu)
}

/// The container is called `app` in every family.
fn definition_of(family: &str, cpu: &str) -> Value {
    json!({
        "family": family, "networkMode": "bridge", "cpu": cpu, "memory": "128",
        "containerDefinitions": [{
            "name": "app", "image": "registry/app:0", "essential": true, "memory": 128,
            "portMappings": [{ "containerPort": 8080, "hostPort": 0, "protocol": "tcp" }],
        }],
    })
}

/// The system's: which calls a push consists of, and how often each is tried again, is another with every engine.
async fn engine() -> Engine {
    let inputs = EndpointInputs { config_dir: PathBuf::from("/nonexistent"), ..EndpointInputs::default() };
    Engine::connect(&inputs, &|path| fs::read(path)).await.unwrap()
}

/// For a wire with faults on it: what is not answered in four seconds is lost, and a retry need not wait one.
async fn hands(endpoint: &str) -> Hands {
    hands_with(endpoint, Patience::hurried(5)).await
}

/// For a sandbox that answers every call: on a busy machine it may take longer than four seconds, and a call that changes
/// something is not to be made twice for that.
async fn patient_hands(endpoint: &str) -> Hands {
    let first_delay = Patience::hurried(5).first_delay;
    hands_with(endpoint, Patience { first_delay, ..Patience::USUAL }).await
}

async fn hands_with(endpoint: &str, patience: Patience) -> Hands {
    let endpoint_of = Endpoint::At { url: endpoint.to_owned() };
    let aws = aws::connect::open(&endpoint_of, &Identity::default(), patience).await.unwrap();
    Hands {
        aws,
        engine: Some(engine().await),
        registry_auth: RegistryAuth::default(),
        build_variables: BuildVariables::default(),
        logins: Logins::of_this_run(),
        guests: Guests::none(),
        source: None,
        registry: endpoint.trim_start_matches("http://").to_owned(),
        pace: Pace::every(50),
    }
}

/// A sandbox of its own, and what acts on it.
struct Lab {
    sandbox: Handle,
    hands: Hands,
    _state: TempDir,
}

/// What came of a walk.
struct Walked {
    outcome: Outcome,
    records: Vec<Record>,
}

impl Walked {
    /// The exit code, what is live, and the last line, as `deploy` tells them.
    fn told(self) -> (Exit, Vec<Live>, String) {
        let Self { outcome, mut records } = self;
        let (exit, live, summary) = (outcome.exit, outcome.live.clone(), outcome.summary.clone());
        let ended = Failure::of_run(outcome, "ship", None, Shown::ByFace);
        assert_eq!(ended.as_ref().map_or_else(Failure::exit, |exit| *exit), exit);
        let error = ended.as_ref().err().map(render::told);
        let event = Event::Ended { summary, exit: exit.code(), live: live.clone(), elapsed_ms: 0, error };
        let last = records.last().unwrap().clone();
        records.push(Record { event, ..last });
        let lines = Lines::default();
        let mut face = Plain::new(lines.clone(), Style::BARE);
        for record in &records {
            face.hear(record).unwrap();
        }
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        (exit, live.iter().map(|live| live.live).collect(), text.lines().last().unwrap_or_default().to_owned())
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Walks a plan; `heard` is called with everything that is told.
async fn walk(plan: &Plan, hands: &Hands, cancel: &Cancel, mut heard: impl FnMut(&Event)) -> Walked {
    let (sender, mut receiver) = mpsc::channel(super::teller::CHANNEL);
    let teller = Teller::new(sender, None, now);
    let opening = Opening { run: RunId::new("run"), verb: "deploy".to_owned(), environment: None, prepared_ms: 0 };
    let walking = async {
        let outcome = runner::run(plan, opening, hands, &teller, cancel).await;
        drop(teller);
        outcome
    };
    let hearing = async {
        let mut records = Vec::new();
        while let Some(record) = receiver.recv().await {
            heard(&record.event);
            records.push(record);
        }
        records
    };
    let (outcome, records) = timeout(LIMIT, async { tokio::join!(walking, hearing) }).await.expect("the run ends");
    Walked { outcome, records }
}

fn step(id: u32, action: Action, needs: &[u32]) -> Step {
    Step { id: StepId(id), action, cause: "a test".to_owned(), needs: needs.iter().copied().map(StepId).collect() }
}

mod courses;
mod faults;
mod fleet;
mod recorded;
mod shifted;
mod together;

fn app() -> Key {
    Key::new("app")
}

fn cluster() -> Cluster {
    Cluster::new("lab")
}

fn service() -> ServiceName {
    ServiceName::new("app")
}

/// ECS and its circuit breaker decide.
const fn terms(budget: WatchBudget) -> Terms {
    Terms { on_failure: OnFailure::Wait, ..Terms::within(budget) }
}

fn watch_of(name: &str, id: u32, deployment: u32, terms: Terms) -> Step {
    let action = Action::Watch {
        service: Key::new(name),
        cluster: cluster(),
        name: ServiceName::new(name),
        deployment: Later::From(StepId(deployment)),
        terms,
        toward: Toward::New,
    };
    step(id, action, &[deployment])
}

fn register(id: u32, base: Value, compare_to: Option<LiveDefinition>) -> Step {
    let service = Key::new(base["family"].as_str().expect("a definition has a family"));
    let image = ImagePatch {
        container: "app".to_owned(),
        name: ImageName { registry: "registry".to_owned(), repository: "app".to_owned() },
        tag: "v2".parse().unwrap(),
        digest: Later::Known(format!("sha256:{}", "a".repeat(64)).parse::<Digest>().unwrap()),
    };
    let register = RegisterAction { service, base, tags: Vec::new(), images: vec![image], compare_to };
    step(id, Action::Register(Box::new(register)), &[])
}

/// The first ship of a service.
fn first_plan(deregistration_delay: Duration) -> Plan {
    Plan { steps: first_steps("app", 0, deregistration_delay), release: Release::Independent }
}

/// Seven steps, numbered from after `offset`.
fn first_steps(name: &str, offset: u32, deregistration_delay: Duration) -> Vec<Step> {
    let boxed = || Box::new(settings(deregistration_delay));
    let (key, at) = (|| Key::new(name), |id: u32| offset + id);
    let create = Action::CreateService {
        service: key(),
        cluster: cluster(),
        name: ServiceName::new(name),
        task_definition: Later::From(StepId(at(5))),
        target_groups: vec![Behind {
            target_group: Later::From(StepId(at(2))),
            container: "app".to_owned(),
            container_port: boxed().container_port,
            listener: StepId(at(4)),
        }],
        settings: boxed(),
        percentages: Percentages::default(),
    };
    let listener = Action::CreateListener {
        service: key(),
        load_balancer: Later::From(StepId(at(3))),
        target_group: Later::From(StepId(at(2))),
        port: None,
    };
    vec![
        step(at(1), Action::CreateCluster { cluster: cluster() }, &[]),
        step(at(2), Action::CreateTargetGroup { service: key(), name: name.to_owned(), settings: boxed() }, &[]),
        step(at(3), Action::CreateLoadBalancer { service: key(), name: name.to_owned() }, &[]),
        step(at(4), listener, &[at(2), at(3)]),
        register(at(5), definition_of(name, "128"), None),
        step(at(6), create, &[at(1), at(2), at(4), at(5)]),
        watch_of(name, at(7), at(6), terms(BUDGET)),
    ]
}

/// A ship over what runs.
fn next_plan(live: (TaskDefArn, Value), base: Value, budget: WatchBudget) -> Plan {
    Plan { steps: next_steps(0, live, base, terms(budget)), release: Release::Independent }
}

/// Three steps, numbered from after `offset`.
fn next_steps(offset: u32, live: (TaskDefArn, Value), base: Value, terms: Terms) -> Vec<Step> {
    let (arn, definition) = live;
    let name = base["family"].as_str().expect("a definition has a family").to_owned();
    let running = Running {
        task_definition: arn.clone(),
        rollout: RolloutObserved::Complete,
        deployment: None,
        previous: None,
        desired: 2,
        minimum_healthy_percent: 100,
        maximum_percent: 200,
    };
    let update = Action::Update {
        service: Key::new(&name),
        cluster: cluster(),
        name: ServiceName::new(&name),
        task_definition: Later::From(StepId(offset + 1)),
        running,
        percentages: Percentages::default(),
    };
    vec![
        register(offset + 1, base, Some(LiveDefinition { arn, definition })),
        step(offset + 2, update, &[offset + 1]),
        watch_of(&name, offset + 3, offset + 2, terms),
    ]
}

impl Lab {
    async fn new() -> Self {
        Self::at_speed(SPEED).await
    }

    async fn at_speed(speed: f64) -> Self {
        Self::at_speed_with(speed, Scenario::default()).await
    }

    /// Where the tasks of every deployment of `service` after its first die by themselves, always before their health can be
    /// told: whoever lets them die from outside may be late on a busy machine.
    async fn where_tasks_die(service: &str, speed: f64) -> Self {
        let health = vec![HealthStep { lasts: None, answer: HealthAnswer::Refused }];
        let crash = Crash { after: Duration::from_millis(50), exit_code: 1, memory: OutOfMemory::No };
        let script = TaskScript {
            of: Of::New,
            service: Some(service.to_owned()),
            first: None,
            pull: None,
            boot: None,
            health,
            crash: Some(crash),
            fails: None,
            unplaced: None,
            stop: None,
            spot_after: None,
        };
        Self::at_speed_with(speed, Scenario { tasks: vec![script], ..Scenario::default() }).await
    }

    async fn at_speed_with(speed: f64, scenario: Scenario) -> Self {
        let state = TempDir::new().unwrap();
        let settings = Settings { speed, scenario, ..Settings::new(state.path().to_owned()) };
        let sandbox = Box::pin(Sandbox::start(settings)).await.unwrap();
        let hands = Box::pin(patient_hands(sandbox.endpoint())).await;
        Self { sandbox, hands, _state: state }
    }

    /// With version 1 running.
    async fn shipped(deregistration_delay: Duration) -> Self {
        Self::new().await.ship(deregistration_delay).await
    }

    async fn ship(self, deregistration_delay: Duration) -> Self {
        let walked = self.walk(&first_plan(deregistration_delay)).await;
        assert_eq!(walked.outcome.exit, Exit::Done, "{:?}", walked.outcome.failure);
        self
    }

    async fn walk(&self, plan: &Plan) -> Walked {
        let (_canceller, cancel) = cancel::token();
        walk(plan, &self.hands, &cancel, |_| {}).await
    }

    /// Asks to stop at the first event that `when` is true of.
    async fn walk_until(&self, plan: &Plan, when: impl Fn(&Event) -> bool) -> Walked {
        let (canceller, cancel) = cancel::token();
        let mut asked = false;
        let ask = |event: &Event| {
            if !asked && when(event) {
                asked = true;
                canceller.ask(Source::Signal);
            }
        };
        walk(plan, &self.hands, &cancel, ask).await
    }

    async fn live(&self) -> (TaskDefArn, Value) {
        self.live_of("app").await
    }

    async fn live_of(&self, family: &str) -> (TaskDefArn, Value) {
        let (definition, _) = ecs::definition(&self.hands.aws, Some(family)).await.unwrap();
        let arn = definition["taskDefinitionArn"].as_str().unwrap().to_owned();
        (TaskDefArn::new(arn), definition)
    }

    /// Lets every task of the newest revision but those of `serving` die as soon as it runs, for ever.
    async fn crash_all_but(&self, serving: &TaskDefArn) {
        loop {
            {
                let mut world = self.sandbox.world();
                for task in run::living(&world) {
                    let definition = run::definition_of(&world, &task).unwrap();
                    let is_new = definition["taskDefinitionArn"] != serving.as_str();
                    if is_new && run::was_up(&world, &task) {
                        let exited = Report::Exited { container: "app".to_owned(), code: 1, reason: None };
                        run::report(&mut world, &task, exited, now());
                        run::report(&mut world, &task, Report::Gone, now());
                    }
                }
            }
            tokio::task::yield_now().await;
            beat().await;
        }
    }
}

/// The sandbox's own beat is 50 ms.
async fn beat() {
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    beat.tick().await;
    beat.tick().await;
}

const SHORT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_first_ship_is_live() {
    let lab = Lab::new().await;
    let told = lab.walk(&first_plan(SHORT)).await.told();
    let last_line = "deploy: done in 0.0s; app:1 (v2) serves all traffic, 2 tasks started";
    assert_eq!(told, (Exit::Done, vec![Live::New], last_line.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ship_replaces_and_the_same_again_is_nothing_to_do() {
    let lab = Lab::shipped(SHORT).await;
    let told = lab.walk(&next_plan(lab.live().await, definition("256"), BUDGET)).await.told();
    let last_line = "deploy: done in 0.0s; app:2 (v2) serves all traffic, 2 tasks of app:1 replaced";
    assert_eq!(told, (Exit::Done, vec![Live::New], last_line.to_owned()));

    let told = lab.walk(&next_plan(lab.live().await, definition("256"), BUDGET)).await.told();
    let last_line = "deploy: nothing to do in 0.0s; app:2 (v2) serves already";
    assert_eq!(told, (Exit::Done, vec![Live::Unchanged], last_line.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_rolled_back_and_the_old_revision_serves() {
    // Slow enough for the watcher to see a task that has died before ECS has ended with all of it.
    let lab = Lab::where_tasks_die("app", 30.0).await.ship(SHORT).await;
    let walked = lab.walk(&next_plan(lab.live().await, definition("256"), BUDGET)).await;
    let notes: Vec<_> = walked
        .records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Failed { note, .. } => Some(note.clone()),
            _ => None,
        })
        .collect();
    assert!(notes.len() == 1 && notes[0].starts_with("rolled back by ECS: "), "{notes:?}");
    assert!(notes[0].contains("tasks failed: app exited (1)"), "{notes:?}");
    let last_line = "deploy: failed after 0.0s; app:1 still serves all traffic, app:2 (v2) was rolled back";
    assert_eq!(walked.told(), (Exit::RolloutFailed, vec![Live::Unchanged], last_line.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_deploy_in_the_middle_supersedes() {
    let lab = Lab::shipped(SHORT).await;
    let first = lab.live().await;
    let plan = next_plan(first.clone(), definition("256"), BUDGET);
    let mut third = definition("512");
    third["containerDefinitions"][0]["image"] = json!("registry/app:3");
    let (sender, mut started) = mpsc::channel(1);
    let (_canceller, cancel) = cancel::token();
    let walking = walk(&plan, &lab.hands, &cancel, |event| {
        if matches!(event, Event::Told { progress: Progress::Phase { to: Phase::Starting, .. }, .. }) {
            sender.try_send(()).unwrap();
        }
    });
    let other = async {
        started.recv().await.unwrap();
        let arn = ecs::register(&lab.hands.aws, &third).await.unwrap();
        ecs::update_service(&lab.hands.aws, &cluster(), &service(), &arn, ecs::Force::No, Percentages::default())
            .await
            .unwrap();
    };
    let (walked, ()) = tokio::join!(walking, other);
    let last_line = "deploy: superseded after 0.0s; unknown what serves, app:2 (v2) was replaced by another deployment";
    assert_eq!(walked.told(), (Exit::Superseded, vec![Live::Unknown], last_line.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_takes_longer_than_its_budget_is_not_a_failed_deploy() {
    let lab = Lab::shipped(Duration::from_mins(50)).await;
    // Time for ECS to begin, and far too little for it to end.
    let budget = WatchBudget { drain_ms: 1_000, deregistration_delay_ms: 30_000, ..BUDGET };
    let told = lab.walk(&next_plan(lab.live().await, definition("256"), budget)).await.told();
    let last_line = "deploy: live, but not drained after 0.0s; app:2 (v2) serves, old tasks may still be draining";
    assert_eq!(told, (Exit::DrainUnfinished, vec![Live::New], last_line.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_before_the_first_step_nothing_is_done() {
    let lab = Lab::shipped(SHORT).await;
    let plan = next_plan(lab.live().await, definition("256"), BUDGET);
    let (canceller, cancel) = cancel::token();
    canceller.ask(Source::Signal);
    let walked = walk(&plan, &lab.hands, &cancel, |_| {}).await;
    assert_eq!(walked.records.len(), 1, "nothing was told but the beginning");
    let last_line = "deploy: cancelled after 0.0s; unchanged, app:1 still serves all traffic";
    assert_eq!(walked.told(), (Exit::Cancelled, vec![Live::Unchanged], last_line.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_watching_ecs_goes_on_and_a_second_deploy_picks_up() {
    let lab = Lab::shipped(SHORT).await;
    let live = lab.live().await;
    let plan = next_plan(live.clone(), definition("256"), BUDGET);
    let starting =
        |event: &Event| matches!(event, Event::Told { progress: Progress::Phase { to: Phase::Starting, .. }, .. });
    let (exit, serves, last_line) = lab.walk_until(&plan, starting).await.told();
    assert_eq!((exit, serves), (Exit::Cancelled, vec![Live::Mixed]));
    assert_eq!(last_line, "deploy: cancelled after 0.0s; app:1 serves, ECS goes on rolling out app:2 (v2)");

    let now_live = lab.live().await;
    let observed = ecs::view_service(&lab.hands.aws, &cluster(), &service()).await.unwrap().unwrap();
    let primary = observed.deployments.iter().find(|deployment| deployment.status == "PRIMARY").unwrap();
    let mut plan = next_plan(now_live, definition("256"), BUDGET);
    if let Action::Update { running, .. } = &mut plan.steps[1].action {
        *running = Running {
            rollout: RolloutObserved::Going,
            deployment: Some(primary.id.clone()),
            previous: Some(live.0.clone()),
            ..running.clone()
        };
    }
    let (exit, serves, last_line) = lab.walk(&plan).await.told();
    assert_eq!((exit, serves), (Exit::Done, vec![Live::New]));
    assert_eq!(last_line, "deploy: done in 0.0s; app:2 (v2) serves all traffic, 2 tasks of app:1 replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_draining_the_new_revision_serves() {
    let lab = Lab::shipped(Duration::from_mins(50)).await;
    let budget = WatchBudget { deregistration_delay_ms: 30_000, ..BUDGET };
    let plan = next_plan(lab.live().await, definition("256"), budget);
    let draining =
        |event: &Event| matches!(event, Event::Told { progress: Progress::Phase { to: Phase::Draining, .. }, .. });
    let told = lab.walk_until(&plan, draining).await.told();
    let last_line = "deploy: cancelled after 0.0s; app:2 (v2) serves, ECS goes on draining the old tasks";
    assert_eq!(told, (Exit::Cancelled, vec![Live::New], last_line.to_owned()));
}

/// A wish to stop that comes with the last step done is no cancellation: everything is done.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_after_the_last_step_it_is_done() {
    let lab = Lab::shipped(SHORT).await;
    let plan = next_plan(lab.live().await, definition("256"), BUDGET);
    let last = |event: &Event| matches!(event, Event::Done { step: StepId(3), .. });
    let (exit, live, _) = lab.walk_until(&plan, last).await.told();
    assert_eq!((exit, live), (Exit::Done, vec![Live::New]));
}

/// Answers no call, so that a step hangs that must not be cut off by the first wish to stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_wish_to_stop_leaves_at_once_and_says_that_it_does_not_know() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hands = hands(&format!("http://{}", silent.local_addr().unwrap())).await;
    let live = (TaskDefArn::new("arn:aws:ecs:us-east-1:000000000000:task-definition/app:1"), json!({}));
    let mut plan = next_plan(live, definition("256"), BUDGET);
    // The revision is known, so that the update is the first call.
    plan.steps.remove(0);
    if let Action::Update { task_definition, .. } = &mut plan.steps[0].action {
        *task_definition = Later::Known(TaskDefArn::new("arn:aws:ecs:us-east-1:000000000000:task-definition/app:2"));
    }
    plan.steps[0].needs.clear();
    let (canceller, cancel) = cancel::token();
    let walking = walk(&plan, &hands, &cancel, |_| {});
    let asking = async |canceller: Canceller| {
        let (connection, _) = silent.accept().await.unwrap();
        canceller.ask(Source::Signal);
        // The call goes on: it may have arrived.
        tokio::task::yield_now().await;
        canceller.ask(Source::Signal);
        connection
    };
    let (walked, _connection) =
        timeout(Duration::from_secs(5), async { tokio::join!(walking, asking(canceller)) }).await.expect("at once");
    let last_line = "deploy: cancelled after 0.0s; unknown: updating app was cut off";
    assert_eq!(walked.told(), (Exit::Cancelled, vec![Live::Unknown], last_line.to_owned()));
}

/// Two services fail side by side: each is told for what it is, not only the one that failed first.
#[tokio::test(flavor = "multi_thread")]
async fn every_service_is_told_by_its_own_end() {
    let lab = Lab::shipped(SHORT).await;
    let live = lab.live().await;
    let budget = WatchBudget { total_ms: 1, no_progress_ms: 1, ..BUDGET };
    let mut plan = next_plan(live.clone(), definition("256"), budget);
    // The same service under another name: its update is refused.
    let refused = Action::Update {
        service: Key::new("other"),
        cluster: cluster(),
        name: ServiceName::new("other"),
        task_definition: Later::From(StepId(1)),
        running: Running {
            task_definition: live.0.clone(),
            rollout: RolloutObserved::Complete,
            deployment: None,
            previous: None,
            desired: 2,
            minimum_healthy_percent: 100,
            maximum_percent: 200,
        },
        percentages: Percentages::default(),
    };
    plan.steps.push(step(4, refused, &[1]));
    let Action::Watch { cluster, terms, .. } = plan.steps[2].action.clone() else { unreachable!("it is a watch") };
    let other = Action::Watch {
        service: Key::new("other"),
        cluster,
        name: ServiceName::new("other"),
        deployment: Later::From(StepId(4)),
        terms,
        toward: Toward::New,
    };
    plan.steps.push(step(5, other, &[4]));
    let walked = lab.walk(&plan).await;
    let words: Vec<_> = walked.outcome.live.iter().map(|live| (live.live, live.words.clone())).collect();
    assert_eq!(words[1], (Live::Unchanged, "unchanged, app:1 still serves all traffic".to_owned()));
    assert_eq!(walked.outcome.failure.as_ref().map(|(title, _)| title.as_str()), Some("update other failed"));
    // Of the first service it depends on the moment whether the watch had begun; never is it said to be live.
    assert_ne!(words[0].0, Live::New, "{words:?}");
    assert_eq!(walked.outcome.exit, Exit::Register);
}

fn reference(repository: &str, tag: &str) -> Reference {
    format!("127.0.0.1:1/{repository}:{tag}").parse().unwrap()
}

/// What fails before the service is touched leaves it as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_each_kind_of_step_has_its_exit_code() {
    let lab = Lab::shipped(SHORT).await;
    let nothing = TempDir::new().unwrap();
    let build = BuildAction {
        image: app(),
        context: nothing.path().to_owned(),
        dockerfile: nothing.path().join("Dockerfile"),
        target: None,
        args: BTreeMap::new(),
        secrets: BTreeMap::new(),
        ssh: Vec::new(),
        cache_from: Vec::new(),
        cache_to: Vec::new(),
        platform: None,
        tags: vec![reference("docker-ecs-ship-test-of-run", "never-built")],
        builder: Builder::Auto,
    };
    let check = |call| Action::Check(Box::new(CheckAction { image: app(), call, timeout_ms: 60_000 }));
    let push = Action::Push {
        image: app(),
        reference: reference("docker-ecs-ship-test-of-run", "never-built"),
        login: StepId(9),
    };
    let listener = Action::CreateListener {
        service: app(),
        load_balancer: Later::Known(
            "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/no/1".to_owned(),
        ),
        target_group: Later::Known("arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/no/1".to_owned()),
        port: None,
    };
    for (action, exit, title) in [
        (listener, Exit::Environment, "create listener of app failed"),
        (Action::Build(Box::new(build.clone())), Exit::Build, "build app failed"),
        (
            check(CheckCall::Stage { stage: "test".to_owned(), build: Box::new(build) }),
            Exit::Build,
            "check app: test failed",
        ),
        (push, Exit::Push, "push app failed"),
    ] {
        let mut plan = next_plan(lab.live().await, definition("256"), BUDGET);
        plan.steps.insert(0, step(9, action, &[]));
        plan.steps[1].needs.push(StepId(9));
        let walked = lab.walk(&plan).await;
        assert_eq!(walked.outcome.failure.as_ref().map(|(title, _)| title.as_str()), Some(title));
        let last_line = "deploy: failed after 0.0s; unchanged, app:1 still serves all traffic";
        assert_eq!(walked.told(), (exit, vec![Live::Unchanged], last_line.to_owned()), "{title}");
    }

    let plan = next_plan(lab.live().await, json!({ "family": "app", "containerDefinitions": [] }), BUDGET);
    let told = lab.walk(&plan).await.told();
    let last_line = "deploy: failed after 0.0s; unchanged, app:1 still serves all traffic";
    assert_eq!(told, (Exit::Register, vec![Live::Unchanged], last_line.to_owned()));
}
