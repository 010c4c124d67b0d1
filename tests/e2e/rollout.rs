//! What a rollout must do, and must not.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::scenario::{Said, Scenario, end};

/// How fast ECS's clock runs here: a tick of the scheduler is one second.
const SPEED: u32 = 10;

#[test]
fn version_two_replaces_version_one_under_load_without_a_lost_request() {
    let scenario = Scenario::with_version_one(SPEED, "deregistration_delay = \"20s\"");
    let before = scenario.containers();
    assert_eq!(before.len(), 2, "two tasks of version 1");
    let load = scenario.put_load();
    scenario.deploy("2", &[]).ended_with(0);
    // The verdict is strict: at its end the old tasks are gone, not going.
    let after = scenario.containers();
    let tally = scenario.stop(load);
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert!(tally.answers.get("1").is_some_and(|count| *count > 0), "version 1 served: {tally:?}");
    assert!(tally.answers.get("2").is_some_and(|count| *count > 0), "version 2 served: {tally:?}");
    assert_eq!(after.len(), 2);
    assert!(before.iter().all(|old| !after.contains(old)), "{before:?} {after:?}");
    assert_eq!(scenario.serving(), "2");
}

#[test]
fn without_draining_the_same_rollout_loses_requests() {
    // This proves the instrument: were the load blind, the test above would prove nothing.
    let scenario = Scenario::with_version_one(SPEED, "deregistration_delay = \"0s\"");
    let load = scenario.put_load();
    scenario.deploy("2", &[]).ended_with(0);
    let tally = scenario.stop(load);
    assert!(tally.failed > 0, "requests in flight are cut when nothing drains: {tally:?}");
    assert_eq!(scenario.serving(), "2");
}

#[test]
fn an_image_that_crashes_at_its_start_leaves_version_one_serving() {
    let scenario = Scenario::with_version_one(SPEED, "");
    let before = scenario.containers();
    let said = scenario.deploy("2", &[("HELLO_CRASH", "1")]).ended_with(20);
    assert!(
        said.talk.contains("cannot open the database"),
        "the reason is the container's own last line: {}",
        said.talk
    );
    assert!(said.talk.contains("hello:1"), "what serves is named: {}", said.talk);
    assert_eq!(scenario.serving(), "1");
    assert_eq!(scenario.containers(), before, "the tasks of version 1 were not touched");
}

#[test]
fn a_second_deploy_of_the_same_commit_does_nothing_and_says_so() {
    let scenario = Scenario::with_version_one(SPEED, "");
    let before = scenario.containers();
    let said = scenario.deploy("1", &[]).ended_with(0);
    assert!(said.talk.contains("nothing to do"), "{}", said.talk);
    assert_eq!(scenario.containers(), before);
}

#[test]
fn an_interrupt_leaves_the_rollout_running_and_a_second_deploy_picks_it_up() {
    // A drain long enough to be interrupted in.
    let scenario = Scenario::with_version_one(SPEED, "deregistration_delay = \"60s\"");
    let mut child =
        scenario.deploying("2", &[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut talk = BufReader::new(child.stderr.take().expect("piped"));
    let mut heard = String::new();
    while !heard.contains("has started") {
        assert_ne!(talk.read_line(&mut heard).expect("text"), 0, "ended before the rollout began: {heard}");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("the program runs");
    let reading = std::thread::spawn(move || {
        let mut rest = String::new();
        while talk.read_line(&mut rest).is_ok_and(|length| length > 0) {}
        rest
    });
    let said = end(child, Duration::from_secs(10)).ended_with(130);
    let rest = reading.join().expect("text") + &said.talk;
    assert!(rest.contains("watch --environment sandbox hello"), "it says how to look again: {rest}");

    let said = scenario.deploy("2", &[]).ended_with(0);
    assert!(said.talk.contains("already going"), "{}", said.talk);
    assert_eq!(scenario.serving(), "2");
}

#[test]
fn the_smallest_file_ships_to_a_service_that_exists_with_credentials_the_sdk_finds() {
    let scenario = Scenario::with_version_one(SPEED, "");
    let smallest = "format = 1\n\n[images.hello]\nrepository = \"hello\"\n\n[services.hello]\ncluster = \"hello\"\n\n\
                    [environments.production]\nregion = \"us-east-1\"\n";
    std::fs::write(scenario.hello().join("ship.toml"), smallest).expect("a new file");
    // To the program this is AWS: the endpoint is the SDK's own setting, and so are the keys.
    let said = run(&mut as_aws(&scenario, &["deploy"])).ended_with(0);
    assert!(said.talk.contains("hello:2"), "{}", said.talk);
    assert!(!said.talk.contains("wJalrXUtnFEMI"), "{}", said.talk);
    let url = run(&mut as_aws(&scenario, &["status", "--format", "url"])).ended_with(0).out;
    let authority = url.trim().trim_start_matches("http://").trim_end_matches('/');
    assert_eq!(scenario.answers(authority), "0", "the image's own default version");
}

#[test]
fn a_secret_that_is_not_there_is_named_and_one_that_is_there_reaches_the_program() {
    let scenario = Scenario::new("");
    scenario.ship(&["sandbox", "up", "--port", "0", "--speed", &SPEED.to_string()]).ended_with(0);
    let file = scenario.hello().join("ship.toml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    let with = "cluster = \"hello\"\nssm_secrets = { GREETING = \"/hello/greeting\" }\n";
    std::fs::write(&file, text.replacen("cluster = \"hello\"\n", with, 1)).expect("a new file");
    let said = scenario.deploy("1", &[]).ended_with(20);
    assert!(said.talk.contains("what it asked for is /hello/greeting"), "{}", said.talk);
    assert_eq!(scenario.containers(), Vec::<String>::new(), "nothing was started without it");

    // Put there as the guide says, by a client that is not ours.
    let put = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients/bin/aws"))
        .args(["--endpoint-url", &scenario.endpoint(), "--region", "us-east-1", "ssm", "put-parameter"])
        .args(["--name", "/hello/greeting", "--type", "SecureString", "--value", "good morning"])
        .env("AWS_ACCESS_KEY_ID", "sandbox")
        .env("AWS_SECRET_ACCESS_KEY", "sandbox")
        .output()
        .expect("the AWS CLI, which tests/ensure-tools puts there");
    assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    // The first one still tries, and finds it, too.
    let said = run(scenario.deploying("2", &[]).arg("--wait-for-other")).ended_with(0);
    assert!(!said.talk.contains("good morning"), "{}", said.talk);
    let inspect = ["inspect", "--format", "{{join .Config.Env \"\\n\"}}", &scenario.containers()[0]];
    let seen = Command::new("docker").args(inspect).output().expect("docker runs");
    assert!(String::from_utf8_lossy(&seen.stdout).contains("GREETING=good morning"), "{seen:?}");
}

/// The program with nothing but the settings that AWS's own tools read.
pub(crate) fn as_aws(scenario: &Scenario, words: &[&str]) -> Command {
    let mut command = scenario.command(words);
    command
        .env("AWS_ENDPOINT_URL", scenario.endpoint())
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    command
}

fn run(command: &mut Command) -> Said {
    command.output().expect("the program starts").into()
}

/// There is no task to look at, only what ECS says: the cause is told while it is waited for, and what will never go well
/// ends the deploy.
#[test]
fn what_keeps_tasks_from_being_placed_is_told_and_what_will_never_go_well_is_taken_back() {
    let scenario = Scenario::new("deregistration_delay = \"3s\"");
    let chaos = "format = 1\n[[tasks]]\nof = \"new\"\nfirst = 2\nfails = \"capacity\"\n\
                 [[tasks]]\nof = \"new\"\nfirst = 2\nfails = \"placement\"\n[[tasks]]\nof = \"new\"\nfails = \"role\"\n";
    std::fs::write(scenario.hello().join("chaos.toml"), chaos).expect("a new file");
    scenario.ship(&["sandbox", "up", "--port", "0", "--speed", "20", "--scenario", "chaos.toml"]).ended_with(0);
    scenario.deploy("1", &[]).ended_with(0);
    let begun = Instant::now();
    let said = scenario.deploy("2", &[]).ended_with(20);
    // Building and taking back included.
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}:\n{}", begun.elapsed(), said.talk);
    for words in [
        "Capacity is unavailable at this time",
        "AWS had no room for it",
        "no container instance met all of its requirements",
        "the cluster has no room for it",
        "its trust policy must name ecs-tasks.amazonaws.com",
    ] {
        assert!(said.talk.contains(words), "{words}:\n{}", said.talk);
    }
    assert_eq!(scenario.serving(), "1");
}
