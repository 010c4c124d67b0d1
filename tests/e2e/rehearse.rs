//! What a rehearsal must find, and what it must leave behind: nothing.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::scenario::{Said, Scenario, end};

/// Short drains and stops: they take real time in a rehearsal.
const SHORT: &str = "deregistration_delay = \"3s\"\nstop_timeout = \"3s\"";

fn rehearse(scenario: &Scenario, words: &[&str]) -> Said {
    let mut all =
        vec!["rehearse", "--environment", "sandbox", "--progress", "quiet", "--format", "json", "--speed", "20"];
    all.extend(words);
    scenario.ship(&all)
}

fn report(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("no report:\n{}\n{}", said.out, said.talk))
}

fn codes(report: &Value) -> Vec<&str> {
    report["findings"].as_array().into_iter().flatten().filter_map(|finding| finding["code"].as_str()).collect()
}

fn leaves_nothing(scenario: &Scenario, report: &Value) {
    let left = std::fs::read_dir(scenario.state().join("docker-ecs-ship/rehearsals")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "its folder is gone");
    for task in report["tasks"].as_array().into_iter().flatten() {
        let id = task["task"].as_str().expect("an id");
        let listed = docker(&["ps", "--all", "--quiet", "--filter", &format!("label=ecs-ship.task={id}")]);
        assert_eq!(listed, "", "a container of task {id} is left");
    }
}

fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output().expect("docker runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn the_example_is_rehearsed_out_of_the_box_and_loses_nothing() {
    let scenario = Scenario::new(SHORT);
    let said = rehearse(&scenario, &["--slow-every", "10", "--slow-path", "/slow?ms=700"]).ended_with(0);
    let report = report(&said);
    assert_eq!((&report["lost"], &report["exit"]), (&Value::from(0), &Value::from(0)), "{report}");
    for phase in ["start", "drain", "after"] {
        assert!(report["phases"][phase]["requests"].as_u64().is_some_and(|count| count > 0), "{phase}: {report}");
    }
    let old: Vec<&Value> =
        report["tasks"].as_array().into_iter().flatten().filter(|task| task["side"] == "old").collect();
    assert!(old.len() == 2 && old.iter().all(|task| task["ending"] == "finished"), "{report}");
    assert!(report["forecast"]["ended"] == "completed" && report["drained_ms"].is_u64(), "{report}");
    leaves_nothing(&scenario, &report);
}

#[test]
fn a_program_that_ignores_sigterm_is_told_with_the_requests_it_cost() {
    // Requests that outlast the drain: the balancer cuts them when it is over.
    let scenario = Scenario::new(&format!("{SHORT}\nenvironment = {{ IGNORE_SIGTERM = \"1\" }}"));
    let said = rehearse(&scenario, &["--slow-every", "5", "--slow-path", "/slow?ms=5000"]).ended_with(25);
    let report = report(&said);
    assert!(report["lost"].as_u64().is_some_and(|lost| lost > 0), "{report}");
    let old: Vec<&Value> =
        report["tasks"].as_array().into_iter().flatten().filter(|task| task["side"] == "old").collect();
    for task in old {
        assert_eq!(task["ending"], "killed", "{report}");
        assert!(task["stop_ms"].as_u64().is_some_and(|ms| (2_500..6_000).contains(&ms)), "real seconds: {report}");
    }
    let codes = codes(&report);
    assert!(codes.contains(&"killed") && codes.contains(&"lost_in_drain"), "{codes:?}");
    leaves_nothing(&scenario, &report);
}

#[test]
fn what_is_live_is_what_the_new_image_replaces() {
    let scenario = Scenario::with_version_one(20, SHORT);
    let before = scenario.containers();
    let mut command = scenario.command(&["rehearse", "-e", "sandbox", "--progress", "quiet", "--speed", "20"]);
    let said: Said = command.env("HELLO_VERSION", "2").output().expect("the program starts").into();
    let said = said.ended_with(0);
    assert!(said.out.contains("Rehearsal of hello: hello:1, replaced by hello:v2-"), "{}", said.out);
    assert!(said.out.contains("no request was lost"), "{}", said.out);
    assert!(said.out.contains("as the live service is set up"), "{}", said.out);
    // The live service was looked at and not touched.
    assert_eq!(scenario.containers(), before);
    assert_eq!(scenario.serving(), "1");
}

#[test]
fn an_interrupt_takes_everything_away() {
    let scenario = Scenario::new("deregistration_delay = \"60s\"");
    let mut child = scenario
        .command(&["rehearse", "--environment", "sandbox", "--progress", "plain"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut talk = BufReader::new(child.stderr.take().expect("piped"));
    let mut heard = String::new();
    while !heard.contains("draining") {
        assert_ne!(talk.read_line(&mut heard).expect("text"), 0, "ended before the old tasks drained: {heard}");
    }
    let folder =
        std::fs::read_dir(scenario.state().join("docker-ecs-ship/rehearsals")).expect("a folder").flatten().next();
    let identity = std::fs::read_to_string(folder.expect("it plays").path().join("id")).expect("an identity");
    let label = format!("label=ecs-ship.sandbox={}", identity.trim());
    assert_ne!(docker(&["ps", "--quiet", "--filter", &label]), "");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .expect("the program runs");
    let reading =
        std::thread::spawn(move || while talk.read_line(&mut String::new()).is_ok_and(|length| length > 0) {});
    end(child, Duration::from_secs(30)).ended_with(130);
    reading.join().expect("text");
    assert_eq!(docker(&["ps", "--all", "--quiet", "--filter", &label]), "");
    leaves_nothing(&scenario, &Value::Null);
}

#[test]
fn what_a_killed_rehearsal_left_is_taken_away_by_the_next() {
    let scenario = Scenario::new(SHORT);
    let mut child = scenario
        .command(&["rehearse", "--environment", "sandbox", "--progress", "plain"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut talk = BufReader::new(child.stderr.take().expect("piped"));
    let mut heard = String::new();
    while !heard.contains("Rolling out") {
        assert_ne!(talk.read_line(&mut heard).expect("text"), 0, "ended before the rollout: {heard}");
    }
    child.kill().expect("it runs");
    child.wait().expect("it was ours");
    let folder =
        std::fs::read_dir(scenario.state().join("docker-ecs-ship/rehearsals")).expect("a folder").flatten().next();
    let identity = std::fs::read_to_string(folder.expect("it played").path().join("id")).expect("an identity");
    let label = format!("label=ecs-ship.sandbox={}", identity.trim());
    assert_ne!(docker(&["ps", "--quiet", "--filter", &label]), "", "killed, it could not clear up");
    let said = scenario.ship(&["sandbox", "down"]).ended_with(0);
    assert!(said.talk.contains("rehearsal"), "{}", said.talk);
    assert_eq!(docker(&["ps", "--all", "--quiet", "--filter", &label]), "");
    leaves_nothing(&scenario, &Value::Null);
}
