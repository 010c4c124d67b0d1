//! The verbs around a rollout with real tasks: what ran before, one-off tasks, and a program that is killed in the middle.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::Value;

use crate::scenario::{Said, Scenario};

/// How fast ECS's clock runs here: a tick of the scheduler is one second.
const SPEED: u32 = 10;

fn ship(scenario: &Scenario, verb: &str, words: &[&str]) -> Said {
    scenario.ship(&[&[verb, "--environment", "sandbox"], words].concat())
}

/// Deploys a version, and kills the program when a step of this kind has begun.
fn killed_at(scenario: &Scenario, version: &str, kind: &str) {
    let mut child = scenario
        .command(&["deploy", "--environment", "sandbox", "--yes", "--progress", "json"])
        .env("HELLO_VERSION", version)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut wanted = Value::Null;
    let begun = lines.map_while(Result::ok).any(|line| {
        let event = serde_json::from_str::<Value>(&line).expect("JSON")["event"].clone();
        if event["kind"] == "begun" {
            let steps = event["steps"].as_array().expect("steps");
            wanted = steps.iter().find(|step| step["kind"] == kind).expect("such a step")["id"].clone();
        }
        event["kind"] == "started" && event["step"] == wanted
    });
    assert!(begun, "no step {kind} began");
    child.kill().expect("it runs");
    child.wait().expect("it was ours");
}

#[test]
fn killed_at_any_step_the_same_command_ends_well_and_nothing_is_rolled_out_twice() {
    let scenario = Scenario::with_version_one(SPEED, "deregistration_delay = \"3s\"");
    let kinds = ["build", "push", "register", "update", "watch"];
    for (version, kind) in (2..).zip(kinds) {
        let version = version.to_string();
        killed_at(&scenario, &version, kind);
        let said = scenario.deploy(&version, &[]).ended_with(0);
        assert!(said.talk.contains("is live") || said.talk.contains("done"), "{kind}: {}", said.talk);
        assert_eq!(scenario.serving(), version, "killed at {kind}");
        assert_eq!(scenario.containers().len(), 2, "killed at {kind}");
        scenario.deploy(&version, &[]).ended_with(0);
    }
    let said = ship(&scenario, "history", &["--format", "json", "--limit", "50"]).ended_with(0);
    let rows: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(rows.iter().all(|row| row["verdict"] == "succeeded"), "{}", said.out);
    for version in 1..=kinds.len() + 1 {
        let begins = format!("v{version}-");
        let of_it = rows.iter().filter(|row| row["tag"].as_str().is_some_and(|tag| tag.starts_with(&begins)));
        assert_eq!(of_it.count(), 1, "version {version} was rolled out once: {}", said.out);
    }
}

#[test]
fn a_rollback_under_load_loses_no_request() {
    let scenario = Scenario::with_version_one(SPEED, "deregistration_delay = \"20s\"");
    scenario.deploy("2", &[]).ended_with(0);
    let load = scenario.put_load();
    let said = ship(&scenario, "rollback", &["--yes", "--progress", "plain", "hello"]).ended_with(0);
    let tally = scenario.stop(load);
    assert!(said.talk.starts_with("hello  hello:2 (v2-"), "what changes is shown first: {}", said.talk);
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert!(["1", "2"].iter().all(|version| tally.answers.get(*version).is_some_and(|count| *count > 0)), "{tally:?}");
    assert_eq!(scenario.serving(), "1");
}

#[test]
fn the_log_of_a_crashed_task_is_there_after_the_rollout() {
    let scenario = Scenario::with_version_one(SPEED, "");
    scenario.deploy("2", &[("HELLO_CRASH", "1")]).ended_with(20);
    let said = ship(&scenario, "logs", &["--previous", "hello"]).ended_with(0);
    assert!(said.out.contains("| hello: cannot open the database"), "{}", said.out);
    let said = ship(&scenario, "logs", &["hello"]).ended_with(0);
    assert_eq!(said.out.matches("hello: version 1 listens on").count(), 2, "{}", said.out);
    let said = ship(&scenario, "tasks", &["hello"]).ended_with(0);
    assert!(said.out.lines().any(|line| line.contains("hello:2") && line.contains("exited (1)")), "{}", said.out);
    let said = ship(&scenario, "status", &["hello"]).ended_with(0);
    assert!(said.out.contains("hello:1") && said.out.contains("rolled back"), "{}", said.out);
}

#[test]
fn a_task_by_hand_shows_its_lines_and_its_end_is_the_commands() {
    let scenario = Scenario::with_version_one(SPEED, "");
    let said = ship(&scenario, "run", &["hello", "--", "migrate"]).ended_with(0);
    assert_eq!(said.out, "hello: migrating the schema for version 1\nhello: the schema is up to date\n");
    let said = ship(&scenario, "run", &["hello", "--", "migrate", "3"]).ended_with(24);
    assert!(said.out.contains("column `greeting` exists already"), "{}", said.out);
    assert!(
        said.talk.contains("ended with 3") && said.talk.contains("logs --environment sandbox hello --task"),
        "{}",
        said.talk
    );
    // A task of the sandbox is a container of this machine.
    let said = ship(&scenario, "exec", &["hello", "--", "/hello", "migrate"]).ended_with(0);
    assert_eq!(said.out, "hello: migrating the schema for version 1\nhello: the schema is up to date\n");
    ship(&scenario, "exec", &["hello", "--", "/hello", "migrate", "5"]).ended_with(24);
}

#[test]
fn the_task_before_a_rollout_decides_whether_there_is_one() {
    let scenario = Scenario::with_version_one(SPEED, "");
    let file = scenario.hello().join("ship.toml");
    let text = fs::read_to_string(&file).expect("ours");
    let with = |command: &str| {
        let before = format!("cluster = \"hello\"\n\n[services.hello.before]\ncommand = {command}\n");
        fs::write(&file, text.replacen("cluster = \"hello\"\n", &before, 1)).expect("ours");
    };
    with("[\"migrate\", \"4\"]");
    let said = scenario.deploy("2", &[]).ended_with(24);
    assert!(said.talk.contains("hello: migrating the schema for version 2"), "of the new image: {}", said.talk);
    assert!(said.talk.contains("column `greeting` exists already"), "{}", said.talk);
    assert!(said.talk.contains("nothing was rolled out"), "{}", said.talk);
    assert_eq!(scenario.serving(), "1");
    with("[\"migrate\"]");
    let said = scenario.deploy("3", &[]).ended_with(0);
    let (migrated, live) = (said.talk.find("the schema is up to date"), said.talk.find("is live"));
    assert!(migrated.is_some() && migrated < live, "{}", said.talk);
    assert_eq!(scenario.serving(), "3");
}
