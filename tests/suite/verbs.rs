//! The verbs about what runs, against a sandbox with tasks on paper: both streams and the exit code of each.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use regex::Regex;
use serde_json::{Value, json};

use crate::{
    environment::{Environment, Output, PROGRAM},
    paper::Paper,
    stand_in::{self, StandIn},
};

const SHIP: &str = "format = 1\n\n[images.web]\nrepository = \"shop/web\"\n\n[services.web]\ncluster = \"shop\"\n\n\
                    [environments.sandbox]\nsandbox = true\n";

/// How fast the sandbox runs: a rollout takes seconds.
const SPEED: &str = "30";

/// A service `web` that runs `web:1`.
pub(crate) fn shop(speed: &str, scenario: &str) -> Paper {
    let paper = Paper::up_with(speed, scenario);
    paper.environment.write("ship.toml", SHIP);
    paper.cluster();
    paper.logs("CreateLogGroup", &json!({ "logGroupName": "/shop/web" }));
    register(&paper, "shop/web:1");
    paper.ecs(
        "CreateService",
        &json!({
            "cluster": "shop", "serviceName": "web", "taskDefinition": "web:1", "desiredCount": 2,
            "deploymentConfiguration": { "deploymentCircuitBreaker": { "enable": true, "rollback": true } },
        }),
    );
    paper.steady();
    paper
}

/// The next revision of `web`.
pub(crate) fn register(paper: &Paper, image: &str) {
    let options =
        json!({ "awslogs-group": "/shop/web", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "web" });
    let container = json!({
        "name": "web", "image": image, "memory": 64, "logConfiguration": { "logDriver": "awslogs", "options": options },
    });
    paper.ecs("RegisterTaskDefinition", &json!({ "family": "web", "containerDefinitions": [container] }));
}

/// Somebody else rolls a revision out.
pub(crate) fn update(paper: &Paper, revision: &str) {
    paper.ecs("UpdateService", &json!({ "cluster": "shop", "service": "web", "taskDefinition": revision }));
}

pub(crate) fn ship(paper: &Paper, words: &[&str]) -> Output {
    paper.environment.run_all(PROGRAM, words)
}

/// What the service is set to run.
fn runs(paper: &Paper) -> String {
    let answer = paper.ecs("DescribeServices", &json!({ "cluster": "shop", "services": ["web"] }));
    let arn = answer["services"][0]["taskDefinition"].as_str().expect("an ARN");
    arn.rsplit('/').next().expect("a name").to_owned()
}

/// The ids of the service's tasks in a state.
fn tasks(paper: &Paper, status: &str) -> Vec<String> {
    let answer = paper.ecs("ListTasks", &json!({ "cluster": "shop", "serviceName": "web", "desiredStatus": status }));
    let arns = answer["taskArns"].as_array().expect("a list");
    arns.iter().map(|arn| arn.as_str().expect("an ARN").rsplit('/').next().expect("an id").to_owned()).collect()
}

/// With what differs from run to run named, and gaps as wide everywhere.
pub(crate) fn told(output: &Output) -> String {
    static CHANGING: LazyLock<[(Regex, &str); 9]> = LazyLock::new(|| {
        let regex = |text| Regex::new(text).expect("a constant");
        [
            (regex(r"sha256:[0-9a-f]{12,64}"), "sha256:DIGEST"),
            (regex(r"\b[0-9a-f]{32}\b"), "TASK"),
            (regex(r"\b[0-9a-f]{8}\b"), "TASK"),
            (regex(r"ecs-svc/\d+"), "ecs-svc/N"),
            (regex(r"\d+ (second|minute|hour|day)s?\b"), "N seconds"),
            (regex(r"\b\d+(\.\d|m\d\d)s\b"), "N s"),
            (regex(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
            (regex(r"\b1[0-9]{12}\b"), "TIME"),
            (regex(r"(\S)   +"), "$1   "),
        ]
    });
    let mut text = output.to_string();
    for (regex, name) in CHANGING.iter() {
        text = regex.replace_all(&text, *name).into_owned();
    }
    text
}

fn lines(output: &Output) -> Vec<Value> {
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// A command that runs on; what it prints is read line by line.
struct Running {
    child: Child,
    reader: BufReader<Box<dyn std::io::Read + Send>>,
}

/// Which of its streams is read.
#[derive(Debug, Clone, Copy)]
enum Heard {
    Data,
    Talk,
}

impl Running {
    fn start(mut command: Command, words: &[&str], heard: Heard) -> Self {
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stream: Box<dyn std::io::Read + Send> = match heard {
            Heard::Data => Box::new(child.stdout.take().expect("piped")),
            Heard::Talk => Box::new(child.stderr.take().expect("piped")),
        };
        Self { child, reader: BufReader::new(stream) }
    }

    /// Reads until a line holds the words, and gives all that was read.
    fn until(&mut self, wanted: &str) -> String {
        let mut heard = String::new();
        while !heard.contains(wanted) {
            assert_ne!(self.reader.read_line(&mut heard).expect("text"), 0, "ended without {wanted:?}: {heard}");
        }
        heard
    }

    fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("the program runs");
    }

    /// The rest of what it says, and its exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).expect("text");
        (rest, self.child.wait().expect("it ends").code())
    }
}

/// Looks until it is so; three thousand looks are a minute on an idle machine.
pub(crate) fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..3000 {
        if so() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("it never was so: {what}");
}

#[test]
fn watch_says_that_nothing_is_going_on_to_people_and_to_programs() {
    let paper = shop("100", "");
    insta::assert_snapshot!(told(&ship(&paper, &["watch"])), @"
    exit: 0
    --- stdout
    --- stderr
    web: nothing is going on, web:1 runs
    ");
    let output = ship(&paper, &["watch", "--progress", "json"]).success();
    let events: Vec<Value> = lines(&output).into_iter().map(|line| line["event"].clone()).collect();
    let [begun, ended] = events.as_slice() else { panic!("{output}") };
    assert_eq!((&begun["kind"], &begun["verb"], &begun["steps"]), (&json!("begun"), &json!("watch"), &json!([])));
    let live = json!([{ "service": "web", "live": "unchanged", "words": "web:1 runs, and nothing is going on" }]);
    assert_eq!((&ended["kind"], &ended["exit"], &ended["live"]), (&json!("ended"), &json!(0), &live), "{output}");
    assert_eq!(output.stderr, "");
}

#[test]
fn watch_takes_up_what_somebody_else_has_started_and_tells_what_was_before() {
    let paper = shop(SPEED, "format = 1\n\n[[tasks]]\nof = \"new\"\npull = \"3s\"\n");
    register(&paper, "shop/web:2");
    update(&paper, "web:2");
    let has_begun = || {
        let answer = paper.ecs("DescribeServices", &json!({ "cluster": "shop", "services": ["web"] }));
        let events = answer["services"][0]["events"].as_array().expect("events").clone();
        // Two tasks of the first revision; what comes after them is of the second.
        let started =
            events.iter().filter(|event| event["message"].as_str().is_some_and(|text| text.contains("has started")));
        started.count() > 1
    };
    until("ECS has begun", has_begun);
    let output = ship(&paper, &["watch", "--progress", "plain"]).success();
    assert!(output.stderr.contains("its rollout to web:2 is going on"), "{output}");
    assert!(output.stderr.contains("has started"), "what ECS said before is told: {output}");
    assert!(output.stderr.contains("web:2 is live") && output.stderr.contains("2 tasks of web:1"), "{output}");
    assert_eq!((output.stdout.as_str(), runs(&paper).as_str()), ("", "web:2"));
}

#[test]
fn watch_of_a_rollout_that_ecs_takes_back_ends_with_its_reason() {
    let paper = shop(SPEED, "format = 1\n\n[[tasks]]\nof = \"new\"\ncrash_after = \"500ms\"\nexit_code = 3\n");
    register(&paper, "shop/web:2");
    update(&paper, "web:2");
    let output = ship(&paper, &["watch", "--progress", "plain"]);
    assert_eq!(output.code, Some(20), "{output}");
    assert!(output.stderr.contains("web exited (3)"), "{output}");
    assert!(output.stderr.contains("web:1"), "what serves is named: {output}");
    until("web:1 is back", || runs(&paper) == "web:1");

    // Which tasks died, of what, and in words.
    let output = ship(&paper, &["tasks", "--format", "json"]).success();
    let died = lines(&output).into_iter().find(|task| task["revision"] == "web:2").expect("a task that died");
    assert_eq!((&died["status"], &died["containers"][0]["exit_code"]), (&json!("STOPPED"), &json!(3)), "{died:#}");
    let table = ship(&paper, &["tasks"]).success().stdout;
    assert!(table.starts_with("SERVICE   TASK       REVISION   STATE"), "{table}");
    assert!(table.lines().any(|line| line.contains("web:2") && line.contains("web exited (3)")), "{table}");
    let running = table.lines().filter(|line| line.contains("web:1") && line.contains("running")).count();
    assert_eq!(running, 2, "{table}");

    // The history knows that it brought nothing, and a rollback has nowhere to go.
    let rows = lines(&ship(&paper, &["history", "--format", "json"]).success());
    assert_eq!((&rows[0]["revision"], &rows[0]["verdict"]), (&json!("web:2"), &json!("rolled back")), "{rows:#?}");
    let table = ship(&paper, &["history", "-n", "1"]).success().stdout;
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains("rolled back"), "{table}");
    insta::assert_snapshot!(told(&ship(&paper, &["rollback", "--yes"])), @"
    exit: 5
    --- stdout
    --- stderr
    refused: nothing ran before web:1 in service web, as far as ECS remembers
      hint:  name a revision, as in `docker-ecs-ship rollback web --to web:1`; `aws ecs list-task-definitions --family-prefix web --region us-east-1` shows what there is
    nothing was changed
    ");
    // Its log is that of the task that died last.
    let last = tasks(&paper, "STOPPED");
    assert!(!last.is_empty());
    for task in &last {
        put_logs(&paper, task, &["cannot open the database"]);
    }
    let previous = ship(&paper, &["logs", "--previous"]).success();
    assert!(previous.stdout.contains("| cannot open the database"), "{previous}");
}

#[test]
fn rollback_shows_what_changes_asks_and_goes_back_and_forth() {
    let paper = shop(SPEED, "");
    register(&paper, "shop/web:2");
    update(&paper, "web:2");
    paper.steady();
    insta::assert_snapshot!(told(&ship(&paper, &["rollback"])), @"
    exit: 5
    --- stdout
    --- stderr
    web  web:2 → web:1
      changes   ~ image  web:2 → web:1

    error: this asks before it acts, and there is nobody to ask
      hint:  give --yes, as in a CI job
    ");
    assert_eq!(runs(&paper), "web:2", "nobody was asked, so nothing was done");

    let back = ship(&paper, &["rollback", "--yes", "--progress", "plain"]).success();
    assert!(back.stderr.starts_with("web  web:2 → web:1\n"), "{back}");
    assert!(back.stderr.contains("web:1 is live"), "{back}");
    assert_eq!((runs(&paper).as_str(), back.stdout.as_str()), ("web:1", ""));
    let _ = ship(&paper, &["rollback", "--yes"]).success();
    assert_eq!(runs(&paper), "web:2", "forward again");
    let _ = ship(&paper, &["rollback", "--yes", "--to", "1"]).success();
    assert_eq!(runs(&paper), "web:1");
    insta::assert_snapshot!(told(&ship(&paper, &["rollback", "--yes", "--to", "99"])), @"
    exit: 5
    --- stdout
    --- stderr
    refused: web:99 does not exist
      hint:  `docker-ecs-ship history web` shows what ran; a number alone means a revision of the same family
    nothing was changed
    ");

    // A TAB knows where to go, and which tasks there are to look at.
    let tab = ship(&paper, &["__complete", "rollback", "web", "--to", ""]).success();
    assert!(tab.stdout.starts_with("1\tweb:1 succeeded ") && tab.stdout.contains("\n2\tweb:2 succeeded "), "{tab}");
    let tab = ship(&paper, &["__complete", "logs", "--task", ""]).success();
    assert!(tab.stdout.contains("\trunning web:1\n") && tab.stdout.ends_with(":4\n"), "{tab}");

    let rows = lines(&ship(&paper, &["history", "--format", "json"]).success());
    let went: Vec<_> = rows.iter().map(|row| (row["revision"].as_str(), row["verdict"].as_str())).collect();
    let succeeded = |revision| (Some(revision), Some("succeeded"));
    assert_eq!(went, ["web:1", "web:2", "web:1", "web:2", "web:1"].map(succeeded));
    assert!(rows.iter().all(|row| row["created_ms"].is_u64() && row["duration_ms"].is_u64()), "{rows:#?}");
}

#[test]
fn stop_deployment_asks_and_has_ecs_take_it_back() {
    let paper = shop(SPEED, "format = 1\n\n[[tasks]]\nof = \"new\"\npull = \"60s\"\n");
    insta::assert_snapshot!(told(&ship(&paper, &["stop-deployment", "--yes"])), @"
    exit: 0
    --- stdout
    --- stderr
    web: nothing to stop, web:1 runs
    ");
    register(&paper, "shop/web:2");
    update(&paper, "web:2");
    until("ECS has begun", || tasks(&paper, "RUNNING").len() > 2);
    insta::assert_snapshot!(told(&ship(&paper, &["stop-deployment"])), @"
    exit: 5
    --- stdout
    --- stderr
    web: ECS stops rolling out web:2, starts tasks of web:1 again and drains the new ones
    error: this asks before it acts, and there is nobody to ask
      hint:  give --yes, as in a CI job
    ");
    insta::assert_snapshot!(told(&ship(&paper, &["stop-deployment", "--yes"])), @"
    exit: 0
    --- stdout
    --- stderr
    web: ECS stops rolling out web:2, starts tasks of web:1 again and drains the new ones
    web: asked; look on with docker-ecs-ship watch --environment sandbox web
    ");
    let watched = ship(&paper, &["watch"]);
    assert!(matches!(watched.code, Some(0 | 20)), "{watched}");
    until("web:1 is back", || runs(&paper) == "web:1");
    paper.steady();
    assert_eq!(tasks(&paper, "RUNNING").len(), 2);
}

fn put_logs(paper: &Paper, task: &str, messages: &[&str]) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // What is put later is later, also within one second.
    let first = stand_in::now_seconds() * 1000 + NEXT.fetch_add(10, Ordering::Relaxed);
    let stream = format!("web/web/{task}");
    let names = json!({ "logGroupName": "/shop/web", "logStreamName": stream });
    let events: Vec<Value> =
        messages.iter().zip(first..).map(|(message, time)| json!({ "timestamp": time, "message": message })).collect();
    // It may be there already.
    paper.try_logs("CreateLogStream", &names);
    let mut put = names;
    put["logEvents"] = json!(events);
    paper.logs("PutLogEvents", &put);
}

#[test]
fn logs_of_all_tasks_of_one_and_as_they_come() {
    let paper = shop("100", "");
    let running = tasks(&paper, "RUNNING");
    let [one, two] = running.as_slice() else { panic!("{running:?}") };
    insta::assert_snapshot!(told(&ship(&paper, &["logs", "--previous"])), @"
    exit: 5
    --- stdout
    --- stderr
    error: web has no task that has stopped
      hint:  `docker-ecs-ship tasks web` shows them all; ECS forgets a stopped task after about an hour
    ");
    put_logs(&paper, one, &["one is up", "\u{1b}[31mone is red\u{1b}[0m"]);
    put_logs(&paper, two, &["two is up"]);

    let all = ship(&paper, &["logs"]).success();
    let short = |id: &str| id[..8].to_owned();
    let expected = format!("{0} | one is up\n{0} | one is red\n{1} | two is up\n", short(one), short(two));
    assert_eq!((all.stdout.as_str(), all.stderr.as_str()), (expected.as_str(), ""));
    let only = ship(&paper, &["logs", "--task", &two[..8], "--tail", "1"]).success();
    assert_eq!(only.stdout, format!("{} | two is up\n", short(two)));
    insta::assert_snapshot!(told(&ship(&paper, &["logs", "--task", "nonsense"])), @"
    exit: 5
    --- stdout
    --- stderr
    error: web has no task nonsense
      hint:  `docker-ecs-ship tasks web` shows them all; ECS forgets a stopped task after about an hour
    ");
    insta::assert_snapshot!(told(&ship(&paper, &["logs", "--since", "yesterday"])), @"
    exit: 2
    --- stdout
    --- stderr
    error: `yesterday` is not a time such as 90s, 10m or 1h30m
      hint:  write a number with s, m, h or d
    ");

    let mut following = Running::start(paper.environment.command(PROGRAM), &["logs", "--follow"], Heard::Data);
    let _ = following.until("two is up");
    put_logs(&paper, one, &["one goes on"]);
    assert!(following.until("one goes on").ends_with(&format!("{} | one goes on\n", short(one))));
    following.interrupt();
    assert_eq!(following.end(), (String::new(), Some(130)));
}

#[test]
fn run_follows_one_task_and_what_stops_it_is_told() {
    let paper = shop("100", "");
    let detached = ship(&paper, &["run", "--detach", "web", "--", "rake", "db:version"]).success();
    let id = detached.stdout.trim();
    assert_eq!(id.len(), 32, "{detached}");
    let described = paper.ecs("DescribeTasks", &json!({ "cluster": "shop", "tasks": [id] }));
    let command = &described["tasks"][0]["overrides"]["containerOverrides"][0];
    assert_eq!((&command["name"], &command["command"]), (&json!("web"), &json!(["rake", "db:version"])));

    let late = ship(&paper, &["run", "--timeout", "1s", "--", "rake", "db:migrate"]);
    assert_eq!((late.code, late.stdout.as_str()), (Some(24), ""), "{late}");
    // How many of its states are seen is a matter of luck.
    let talk = told(&late);
    assert!(
        talk.contains("--- stderr\ntask TASK of web:1: starting\n") && talk.contains("task TASK: running\n"),
        "{talk}"
    );
    let end = "error: task TASK took longer than it may and was stopped\n  \
               hint:  its lines stand above; `docker-ecs-ship logs web --task TASK` shows them again\n";
    assert!(talk.ends_with(end), "{talk}");

    let mut interrupted = Running::start(paper.environment.command(PROGRAM), &["run", "--", "sleep"], Heard::Talk);
    let heard = interrupted.until(": running");
    let id = heard.split_whitespace().nth(1).expect("an id").to_owned();
    interrupted.interrupt();
    let (rest, code) = interrupted.end();
    assert_eq!(code, Some(130), "{heard}{rest}");
    assert!(rest.contains("told to stop") && rest.contains("stopped on request"), "{rest}");
    let described = paper.ecs("DescribeTasks", &json!({ "cluster": "shop", "tasks": [id] }));
    assert_eq!(described["tasks"][0]["lastStatus"], json!("STOPPED"));
    assert_eq!(described["tasks"][0]["stoppedReason"], json!("stopped on request"));

    paper.environment.write("ship.toml", &format!("{SHIP}\n[services.worker]\nimage = \"web\"\ncluster = \"shop\"\n"));
    let face = paper.environment.face("docker");
    let which = paper.environment.run(&face, ["ecs-ship", "run", "-e", "sandbox", "--", "true"]);
    insta::assert_snapshot!(told(&which), @"
    exit: 2
    --- stdout
    --- stderr
    error: `run` is about one service, and ship.toml has web, worker
      hint:  name one of them, as in `docker ecs-ship run --environment sandbox web`
    ");
}

#[test]
fn before_that_does_not_end_well_rolls_nothing_out() {
    let paper = shop("100", "");
    paper.environment.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let before =
        "cluster = \"shop\"\n\n[services.web.before]\ncommand = [\"rake\", \"db:migrate\"]\ntimeout = \"1s\"\n";
    paper.environment.write("ship.toml", &SHIP.replace("cluster = \"shop\"\n", before));
    crate::plan::commit(&paper);
    paper.repository();
    let planned = ship(&paper, &["plan"]).success();
    assert!(planned.stdout.contains("before    run rake db:migrate"), "{planned}");
    let output = ship(&paper, &["deploy", "--yes", "--progress", "plain"]);
    paper.remove_images();
    assert_eq!(output.code, Some(24), "{output}");
    assert!(output.stderr.contains("took longer than it may and was stopped"), "{output}");
    assert!(output.stderr.contains("nothing was rolled out"), "{output}");
    assert_eq!(runs(&paper), "web:1");
    // The task that ran was one of the new revision.
    let stopped = paper.ecs("ListTasks", &json!({ "cluster": "shop", "desiredStatus": "STOPPED" }));
    let described = paper.ecs("DescribeTasks", &json!({ "cluster": "shop", "tasks": stopped["taskArns"] }));
    let tasks = described["tasks"].as_array().expect("a list");
    let arn =
        tasks.iter().find(|task| task["startedBy"] == "docker-ecs-ship").expect("ours")["taskDefinitionArn"].clone();
    assert!(arn.as_str().is_some_and(|arn| arn.ends_with("/web:2")), "{arn}");
}

#[test]
fn exec_without_the_plugin_and_without_a_container_says_so() {
    let paper = shop("100", "");
    insta::assert_snapshot!(told(&ship(&paper, &["exec", "--", "sh"])), @"
    exit: 5
    --- stdout
    --- stderr
    error: web runs on paper: its tasks have no containers
      hint:  take the sandbox down and start it without --paper: `docker-ecs-ship sandbox up`
    ");
    paper
        .environment
        .write("ship.toml", &SHIP.replace("sandbox]\nsandbox = true", "production]\nregion = \"us-east-1\""));
    insta::assert_snapshot!(told(&ship(&paper, &["exec", "--", "sh"])), @"
    exit: 4
    --- stdout
    --- stderr
    error: session-manager-plugin is not installed
      hint:  install it: https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html
    ");
}

/// AWS with one service that runs one task, for which ECS Exec is on.
fn aws_with_exec() -> StandIn {
    let arn = |rest: &str| format!("arn:aws:ecs:eu-west-1:111111111111:{rest}");
    let ok = |body: Value| (200, body.to_string());
    let aws = StandIn::start();
    aws.answer(
        "DescribeServices",
        ok(json!({ "failures": [], "services": [{
            "serviceName": "web", "serviceArn": arn("service/shop/web"), "clusterArn": arn("cluster/shop"),
            "status": "ACTIVE", "desiredCount": 1, "runningCount": 1, "pendingCount": 0, "enableExecuteCommand": true,
            "taskDefinition": arn("task-definition/web:7"), "deploymentController": { "type": "ECS" },
            "deployments": [{ "id": "ecs-svc/1", "status": "PRIMARY", "rolloutState": "COMPLETED",
                "taskDefinition": arn("task-definition/web:7"), "desiredCount": 1, "runningCount": 1, "pendingCount": 0,
                "failedTasks": 0 }],
        }]})),
    );
    aws.answer(
        "DescribeTaskDefinition",
        ok(json!({ "taskDefinition": { "family": "web", "revision": 7, "containerDefinitions": [{ "name": "web", "image": "a" }] } })),
    );
    let task = arn("task/shop/0123456789abcdef0123456789abcdef");
    aws.answer("ListTasks", ok(json!({ "taskArns": [task] })));
    aws.answer(
        "DescribeTasks",
        ok(json!({ "failures": [], "tasks": [{
            "taskArn": task, "clusterArn": arn("cluster/shop"), "taskDefinitionArn": arn("task-definition/web:7"),
            "lastStatus": "RUNNING", "desiredStatus": "RUNNING",
            "containers": [{ "name": "web", "lastStatus": "RUNNING", "runtimeId": "0123-4567" }],
        }]})),
    );
    aws.answer(
        "ExecuteCommand",
        ok(json!({
            "clusterArn": arn("cluster/shop"), "taskArn": task, "containerName": "web", "interactive": true,
            "session": { "sessionId": "ecs-execute-command-1", "streamUrl": "wss://x", "tokenValue": "SECRET" },
        })),
    );
    aws
}

/// A machine whose AWS that is.
fn at(aws: &StandIn) -> Environment {
    let mut environment = Environment::new();
    environment
        .set("AWS_ENDPOINT_URL", &aws.url)
        .set("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .set("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    environment.write("ship.toml", &SHIP.replace("sandbox]\nsandbox = true", "production]\nregion = \"eu-west-1\""));
    environment
}

/// The actions that `exec` needs.
pub(crate) fn heard_of_exec() -> BTreeSet<String> {
    let aws = aws_with_exec();
    let mut environment = at(&aws);
    environment.script("bin/session-manager-plugin", "echo 1.2.553.0\n");
    environment.prepend(environment.work().join("bin"));
    let _ = environment.run(PROGRAM, ["exec", "--", "sh"]).success();
    // All of them are ECS's here: the service has no target group.
    aws.asked().into_iter().map(|asked| format!("ecs:{}", asked.operation)).collect()
}

#[test]
fn exec_hands_the_plugin_what_the_aws_cli_hands_it() {
    let aws = aws_with_exec();
    let mut environment = at(&aws);
    let bin = environment.work().join("bin");
    // A plugin that takes the session from a variable, and one that is older.
    for (version, first) in [
        ("1.2.553.0", "AWS_SSM_START_SESSION_RESPONSE"),
        ("1.2.497.0", r#"{"sessionId":"ecs-execute-command-1","streamUrl":"wss://x","tokenValue":"SECRET"}"#),
    ] {
        environment.script(
            "bin/session-manager-plugin",
            &format!(
                "if [ \"$1\" = --version ]; then echo {version}; exit 0; fi\n\
                 for word in \"$@\"; do echo \"[$word]\"; done\necho \"{{$AWS_SSM_START_SESSION_RESPONSE}}\"\nexit ${{END:-0}}\n"
            ),
        );
        environment.prepend(bin.clone());
        let output = environment.run(PROGRAM, ["exec", "--", "sh", "-c", "echo $HOME"]).success();
        let variable = if first.starts_with('{') {
            ""
        } else {
            r#"{"sessionId":"ecs-execute-command-1","streamUrl":"wss://x","tokenValue":"SECRET"}"#
        };
        let url = &aws.url;
        assert_eq!(
            output.stdout,
            format!(
                "[{first}]\n[eu-west-1]\n[StartSession]\n[]\n\
                 [{{\"Target\":\"ecs:shop_0123456789abcdef0123456789abcdef_0123-4567\"}}]\n[{url}]\n{{{variable}}}\n"
            ),
            "{version}"
        );
    }
    let asked = aws.asked().into_iter().rfind(|asked| asked.operation == "ExecuteCommand").expect("asked");
    let sent: Value = serde_json::from_str(&asked.body).expect("JSON");
    assert_eq!((&sent["command"], &sent["container"]), (&json!("sh -c 'echo $HOME'"), &json!("web")));
    environment.set("END", "7");
    insta::assert_snapshot!(told(&environment.run(PROGRAM, ["exec", "--", "sh"])), @r#"
    exit: 24
    --- stdout
    [{"sessionId":"ecs-execute-command-1","streamUrl":"wss://x","tokenValue":"SECRET"}]
    [eu-west-1]
    [StartSession]
    []
    [{"Target":"ecs:shop_0123456789abcdef0123456789abcdef_0123-4567"}]
    [http://127.0.0.1:PORT]
    {}
    --- stderr
    error: the session ended with 7
      hint:  what the command and the plugin said stands above
    "#);
}

#[test]
fn exec_that_is_off_says_how_to_turn_it_on() {
    let aws = aws_with_exec();
    let refused = json!({
        "__type": "InvalidParameterException",
        "message": "The execute command failed because execute command was not enabled when the task was run or the \
                    execute command agent isn't running. Wait and try again or run a new task with execute command enabled \
                    and try again.",
    });
    aws.answer("ExecuteCommand", (400, refused.to_string()));
    let mut environment = at(&aws);
    environment.script("bin/session-manager-plugin", "echo 1.2.553.0\n");
    environment.prepend(environment.work().join("bin"));
    let output = environment.run(PROGRAM, ["exec", "--", "sh"]);
    assert_ne!(output.code, Some(0));
    assert!(output.stderr.contains("execute command"), "{output}");
    assert!(output.stderr.contains("hint:"), "{output}");
}
