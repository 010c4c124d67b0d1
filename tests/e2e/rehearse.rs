//! What a rehearsal must find, and what it must leave behind: nothing.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{
    rollout::as_aws,
    scenario::{Said, Scenario, end},
};

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

/// Rehearses with a scenario of this text.
fn play(scenario: &Scenario, text: &str) -> Said {
    std::fs::write(scenario.hello().join("chaos.toml"), format!("format = 1\n{text}")).expect("a new file");
    rehearse(scenario, &["--scenario", "chaos.toml"])
}

fn tasks<'a>(report: &'a Value, side: &str) -> Vec<&'a Value> {
    report["tasks"].as_array().into_iter().flatten().filter(|task| task["side"] == side).collect()
}

#[test]
fn tasks_that_crash_and_run_out_of_memory_are_told_apart_and_the_old_ones_serve_on() {
    let scenario = Scenario::new(SHORT);
    let said = play(
        &scenario,
        "[[tasks]]\nof = \"new\"\nfirst = 1\ncrash_after = \"150ms\"\nout_of_memory = true\n\
         [[tasks]]\nof = \"new\"\ncrash_after = \"150ms\"\nexit_code = 3\n",
    );
    let report = report(&said.ended_with(20));
    let codes = codes(&report);
    for code in ["out_of_memory", "ended_unasked", "production_fails"] {
        assert!(codes.contains(&code), "{code}: {report}");
    }
    assert_eq!(report["forecast"]["ended"], "failed", "{report}");
    assert!(tasks(&report, "old").iter().all(|task| task["ending"] == "none"), "{report}");
    assert!(report["scenario"]["acts"][1].as_str().is_some_and(|act| act.contains("exit 3")), "{report}");
    leaves_nothing(&scenario, &report);
}

#[test]
fn a_busy_account_an_autoscaler_long_requests_and_a_slow_stop_cost_no_request() {
    let scenario = Scenario::new(SHORT);
    let said = play(
        &scenario,
        "[[faults]]\nservice = \"ecs\"\nfault = \"throttle\"\nafter = 2\ntimes = 3\n\
         [[faults]]\nservice = \"ecs\"\noperation = \"DescribeServices\"\nfault = \"cut\"\nafter = 4\ntimes = 1\n\
         [[scales]]\nat = \"1s\"\nto = 3\n[[tasks]]\nof = \"old\"\nstop_after = \"1s\"\n\
         [[tasks]]\nof = \"new\"\nfirst = 1\nhealth = [{ for = \"1500ms\", answer = 200 }, { for = \"1s\", answer = 503 }, { answer = \"own\" }]\n\
         [load]\nslow_every = 5\nslow_path = \"/slow?ms=900\"\n",
    );
    let report = report(&said.ended_with(0));
    assert_eq!(report["lost"], 0, "{report}");
    assert_eq!(tasks(&report, "new").len(), 3, "the autoscaler's is there: {report}");
    for task in tasks(&report, "old") {
        assert!(task["ending"] == "finished" && task["stop_ms"].as_u64().is_some_and(|ms| ms >= 1_000), "{report}");
    }
    assert!(codes(&report).contains(&"unhealthy_while_serving"), "{report}");
    let acts: Vec<&str> =
        report["scenario"]["acts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(acts.iter().any(|act| act.ends_with("(it met 3 calls)")), "{acts:?}");
    leaves_nothing(&scenario, &report);
}

#[test]
fn sockets_are_counted_and_a_lost_spot_task_is_named() {
    let scenario = Scenario::new(SHORT);
    let said = play(
        &scenario,
        "[[tasks]]\nof = \"new\"\nfirst = 1\nspot_after = \"2s\"\n\
         [load]\nrate = 50\nwebsockets = 10\nwebsocket_path = \"/ws?ms=700\"\n",
    );
    let report = report(&said);
    let sockets = &report["websockets"];
    assert!(sockets["opened"].as_u64() > Some(20) && sockets["closed"].as_u64() > Some(10), "{report}");
    assert_eq!(sockets["cut"], 0, "each was closed in good order before the drain was over: {report}");
    assert!(codes(&report).contains(&"spot_lost"), "{report}");
    for lost in report["lost_requests"].as_array().into_iter().flatten() {
        assert_eq!(lost["cause"], "reclaimed", "{report}");
    }
    leaves_nothing(&scenario, &report);
}

#[test]
fn a_second_deployer_takes_over_and_the_load_goes_on_until_that_is_through() {
    let scenario = Scenario::new(SHORT);
    let report = report(&play(&scenario, "[[deploys]]\nat = \"1s\"\n").ended_with(23));
    assert_eq!((&report["lost"], &report["exit"]), (&Value::from(0), &Value::from(23)), "{report}");
    assert!(codes(&report).contains(&"superseded"), "{report}");
    assert!(tasks(&report, "old").iter().all(|task| task["gone_at"].is_u64()), "it was watched to its end: {report}");
    leaves_nothing(&scenario, &report);
}

#[test]
fn a_revision_of_aws_is_pulled_with_the_login_of_the_environment_and_rehearsed() {
    let scenario = Scenario::with_version_one(20, SHORT);
    // Revision 2 is live; what is asked for is the one before it, whose image the engine no longer has.
    scenario.deploy("2", &[]).ended_with(0);
    let file = scenario.hello().join("ship.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(file, text + "\n[environments.production]\nregion = \"us-east-1\"\n").expect("a new file");
    let registry = scenario.endpoint().trim_start_matches("http://").to_owned();
    let images = docker(&["images", "--quiet", "--no-trunc", "--filter", &format!("reference={registry}/hello")]);
    for image in images.lines() {
        docker(&["rmi", "--force", image]);
    }
    let words =
        ["rehearse", "-e", "production", "--from", "1", "--progress", "quiet", "--format", "json", "--speed", "20"];
    let mut command = as_aws(&scenario, &words);
    let said: Said = command.env("HELLO_VERSION", "3").output().expect("the program starts").into();
    let report = report(&said.ended_with(0));
    assert_eq!((&report["from"], &report["lost"]), (&Value::from("hello:1"), &Value::from(0)), "{report}");
    assert_eq!(report["production"]["read_from"], "service", "{report}");
    assert_eq!(scenario.serving(), "2", "what is live was not touched");
    leaves_nothing(&scenario, &report);
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
