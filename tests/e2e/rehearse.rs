//! What a rehearsal must find, and what it must leave behind: nothing.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
    time::Duration,
};

use aws_sdk_ecs::types::{ContainerDefinition, KeyValuePair, LoadBalancer, PortMapping};
use aws_sdk_elasticloadbalancingv2 as elb;
use serde_json::Value;

use crate::{
    killed::{ecs, is_settled},
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
fn tasks_that_are_not_placed_leave_the_old_ones_serving() {
    let scenario = Scenario::new(SHORT);
    let report = report(&play(&scenario, "[[tasks]]\nof = \"new\"\nfails = \"role\"\n").ended_with(20));
    assert!(tasks(&report, "new").is_empty(), "there is not even a task: {report}");
    assert!(report["error"].to_string().contains("ecs-tasks.amazonaws.com"), "{report}");
    assert_eq!(report["lost"], 0, "{report}");
    leaves_nothing(&scenario, &report);
    let wait = "[[tasks]]\nof = \"new\"\nfails = \"capacity\"\nfails_for = \"3s\"\n";
    let report = self::report(&play(&scenario, wait).ended_with(0));
    assert_eq!(report["lost"], 0, "{report}");
    assert!(report["live_ms"].as_u64().is_some_and(|live| live >= 3_000), "{report}");
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
    // Slow to come and slow to start, so that both rollouts are under way for a while.
    let slow = "[[tasks]]\nof = \"new\"\npull = \"500ms\"\nboot = \"1s\"\n";
    let report = report(&play(&scenario, &format!("[[deploys]]\nat = \"1s\"\n{slow}")).ended_with(23));
    assert_eq!((&report["lost"], &report["exit"]), (&Value::from(0), &Value::from(23)), "{report}");
    assert!(codes(&report).contains(&"superseded"), "{report}");
    let serving: Vec<&Value> = tasks(&report, "new").into_iter().filter(|task| task["gone_at"].is_null()).collect();
    for task in &serving {
        let at = |moment: &str| task[moment].as_u64().unwrap_or_default();
        assert!(at("started_at") >= at("created_at") + 500 && at("boot_ms") >= 1_000, "{report}");
    }
    assert_eq!(serving.len(), 2, "{report}");
    assert!(tasks(&report, "old").iter().all(|task| task["gone_at"].is_u64()), "it was watched to its end: {report}");
    leaves_nothing(&scenario, &report);
}

#[test]
fn a_revision_of_aws_is_pulled_with_the_login_of_the_environment_and_rehearsed() {
    let scenario = Scenario::with_version_one(20, SHORT);
    // Revision 2 is live; what is asked for is the one before it, whose image the engine no longer has.
    scenario.deploy("2", &[]).ended_with(0);
    append(&scenario, PRODUCTION);
    let registry = scenario.endpoint().trim_start_matches("http://").to_owned();
    let images = docker(&["images", "--quiet", "--no-trunc", "--filter", &format!("reference={registry}/hello")]);
    for image in images.lines() {
        docker(&["rmi", "--force", image]);
    }
    let report = report(&from(&scenario, "1").ended_with(0));
    assert_eq!((&report["from"], &report["lost"]), (&Value::from("hello:1"), &Value::from(0)), "{report}");
    assert_eq!(report["production"]["read_from"], "service", "{report}");
    assert_eq!(scenario.serving(), "2", "what is live was not touched");
    leaves_nothing(&scenario, &report);
}

/// An environment whose AWS is whatever `as_aws` says.
const PRODUCTION: &str = "[environments.production]\nregion = \"us-east-1\"";

/// Rehearses version 3 from this revision or image, with what plays AWS.
fn from(scenario: &Scenario, from: &str) -> Said {
    let words =
        ["rehearse", "-e", "production", "--from", from, "--progress", "quiet", "--format", "json", "--speed", "50"];
    as_aws(scenario, &words).env("HELLO_VERSION", "3").output().expect("the program starts").into()
}

fn notes(report: &Value) -> String {
    report["notes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

/// The first revision with these containers beside its own, registered as a new one: `hello:3`.
fn with_sidecars(scenario: &Scenario, sidecars: &[ContainerDefinition]) -> String {
    let client = ecs(scenario);
    scenario.block_on(async {
        let first = client.describe_task_definition().task_definition("hello:1").send().await.expect("it is there");
        let first = first.task_definition.expect("it");
        let own = first.container_definitions()[0].clone();
        let all = client.register_task_definition().family("hello").container_definitions(own);
        let all = all.set_network_mode(first.network_mode).set_cpu(first.cpu).set_memory(first.memory);
        let all = sidecars.iter().fold(all, |all, one| all.container_definitions(one.clone()));
        let made = all.send().await.expect("it is registered").task_definition.expect("it");
        format!("hello:{}", made.revision())
    })
}

/// One more target group of the service, `internal`.
struct Internal<'a> {
    container: &'a str,
    port: i32,
    /// Between its health checks, and how long it drains.
    seconds: [i32; 2],
    /// So many health checks in a row make a target healthy.
    threshold: i32,
    /// The revision that has the container.
    revision: &'a str,
}

/// Puts the service behind it.
fn put_behind_another_group(scenario: &Scenario, internal: &Internal<'_>) {
    use elb::types::{Action, ActionTypeEnum, ProtocolEnum, TargetGroupAttribute, TargetTypeEnum};
    let Internal { container, port, seconds: [beat, delay], threshold, revision } = *internal;
    let config = elb::Config::builder()
        .behavior_version(elb::config::BehaviorVersion::latest())
        .endpoint_url(scenario.endpoint())
        .region(elb::config::Region::new("us-east-1"))
        .credentials_provider(elb::config::Credentials::new("sandbox", "sandbox", None, None, "test"))
        .build();
    let (elb, ecs) = (elb::Client::from_conf(config), ecs(scenario));
    scenario.block_on(async {
        let group = elb.create_target_group().name("internal").protocol(ProtocolEnum::Http).port(port).vpc_id("vpc-1");
        let group = group.target_type(TargetTypeEnum::Ip).health_check_path("/health");
        let group = group.health_check_interval_seconds(beat).health_check_timeout_seconds(2);
        let made = group.healthy_threshold_count(threshold).send().await.expect("a group");
        let group = made.target_groups()[0].target_group_arn().expect("an ARN");
        let delay =
            TargetGroupAttribute::builder().key("deregistration_delay.timeout_seconds").value(delay.to_string());
        let drain = elb.modify_target_group_attributes().target_group_arn(group).attributes(delay.build());
        drain.send().await.expect("it is set");
        let known = elb.describe_load_balancers().send().await.expect("it answers");
        let balancer = known.load_balancers()[0].load_balancer_arn().expect("an ARN");
        let forward = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(group).build();
        let listener = elb.create_listener().load_balancer_arn(balancer).protocol(ProtocolEnum::Http);
        listener.default_actions(forward).send().await.expect("a listener");
        let known = ecs.describe_services().cluster("hello").services("hello").send().await.expect("it answers");
        let own = known.services()[0].load_balancers()[0].clone();
        let other =
            LoadBalancer::builder().target_group_arn(group).container_name(container).container_port(port).build();
        let update = ecs.update_service().cluster("hello").service("hello").load_balancers(own).load_balancers(other);
        update.task_definition(revision).send().await.expect("it is updated");
    });
    scenario.until("behind both", async || is_settled(&ecs).await);
}

#[test]
fn what_is_replaced_can_be_named_in_every_way_and_with_its_sidecars() {
    let scenario = Scenario::with_version_one(20, SHORT);
    scenario.deploy("2", &[]).ended_with(0);
    append(&scenario, PRODUCTION);
    let internal = Internal { container: "hello", port: 8080, seconds: [5, 3], threshold: 2, revision: "hello:2" };
    put_behind_another_group(&scenario, &internal);
    let image = scenario.block_on(async {
        let first = ecs(&scenario).describe_task_definition().task_definition("hello:1").send().await;
        let first = first.expect("it is there").task_definition.expect("it");
        first.container_definitions()[0].image().expect("an image").to_owned()
    });
    let arn = "arn:aws:ecs:us-east-1:000000000000:task-definition/hello:1";
    for (asked, told) in [("hello:1", "hello:1"), (arn, "hello:1"), (&image, &image)] {
        let report = report(&from(&scenario, asked).ended_with(0));
        assert_eq!((&report["from"], &report["lost"]), (&Value::from(told), &Value::from(0)), "{report}");
        assert_eq!(report["production"]["read_from"], "service", "{report}");
        assert_eq!(report["production"]["further_groups"][0]["target_group"], "internal", "{report}");
        leaves_nothing(&scenario, &report);
    }
    // One beside it that serves on a port of its own, and one that the program can do without and nobody has.
    let beside = |name: &str, image: &str| ContainerDefinition::builder().name(name).image(image).memory(64);
    let port = KeyValuePair::builder().name("PORT").value("8081").build();
    let proxy = beside("proxy", &image).essential(true).environment(port).build();
    let agent = beside("agent", "127.0.0.1:1/agent:1").essential(false).build();
    let revision = with_sidecars(&scenario, &[proxy, agent]);
    let report = report(&from(&scenario, &revision).ended_with(0));
    assert_eq!((&report["from"], &report["lost"]), (&Value::from(revision), &Value::from(0)), "{report}");
    assert!(notes(&report).contains("agent is left out: its image 127.0.0.1:1/agent:1 cannot be had"), "{report}");
    for old in tasks(&report, "old") {
        let exits: Vec<&Value> = old["exits"].as_array().into_iter().flatten().collect();
        assert_eq!(exits.len(), 2, "hello and proxy, each with its end: {report}");
        assert_eq!(old["ending"], "finished", "{report}");
    }
    assert_eq!(report["production"]["further_groups"][0]["target_group"], "internal", "{report}");
    // One that it cannot do without.
    let revision = with_sidecars(&scenario, &[beside("proxy", "127.0.0.1:1/proxy:1").essential(true).build()]);
    let said = from(&scenario, &revision);
    assert_ne!(said.code, 0);
    assert!(said.talk.contains("127.0.0.1:1/proxy:1"), "{}", said.talk);
    // And what is not there at all.
    for nowhere in ["99", "hello:99"] {
        let said = from(&scenario, nowhere);
        assert_ne!(said.code, 0);
        assert!(said.talk.contains("revision hello:99 cannot be looked up"), "{}", said.talk);
    }
    leaves_nothing(&scenario, &Value::Null);
}

/// Both decide when a new task is healthy, and both let an old one go.
#[test]
fn every_target_group_of_a_service_is_rehearsed() {
    let scenario = Scenario::with_version_one(20, SHORT);
    append(&scenario, PRODUCTION);
    let image = scenario.block_on(async {
        let first = ecs(&scenario).describe_task_definition().task_definition("hello:1").send().await;
        let first = first.expect("it is there").task_definition.expect("it");
        first.container_definitions()[0].image().expect("an image").to_owned()
    });
    let port = KeyValuePair::builder().name("PORT").value("8081").build();
    let proxy = ContainerDefinition::builder().name("proxy").image(&image).memory(64).essential(true);
    let mapping = PortMapping::builder().container_port(8081).build();
    let revision = with_sidecars(&scenario, &[proxy.environment(port).port_mappings(mapping).build()]);
    // Five good answers, one each 30 s, make it healthy; and it drains twice as long as the first.
    let internal = Internal { container: "proxy", port: 8081, seconds: [30, 6], threshold: 5, revision: &revision };
    put_behind_another_group(&scenario, &internal);
    let words = ["rehearse", "-e", "production", "--progress", "quiet", "--format", "json", "--speed", "50"];
    let mut command = as_aws(&scenario, &words);
    let said: Said = command.env("HELLO_VERSION", "2").output().expect("the program starts").into();
    let report = report(&said.ended_with(0));
    assert_eq!((&report["from"], &report["lost"]), (&Value::from(revision), &Value::from(0)), "{report}");
    let production = &report["production"];
    assert!(production["target_group"].as_str().is_some_and(|name| name.starts_with("ship-hello")), "{report}");
    let further = &production["further_groups"];
    assert_eq!(further.as_array().map(Vec::len), Some(1), "{report}");
    assert_eq!(
        (&further[0]["target_group"], &further[0]["container"], &further[0]["container_port"]),
        (&"internal".into(), &"proxy".into(), &8081.into()),
        "{report}"
    );
    let at = |task: &Value, moment: &str| task[moment].as_u64().unwrap_or_else(|| panic!("{moment}: {report}"));
    for task in tasks(&report, "new") {
        assert_eq!(task["targets"].as_array().map(Vec::len), Some(2), "a port each: {report}");
        assert!(at(task, "healthy_at") >= at(task, "started_at"), "{report}");
    }
    for task in tasks(&report, "old") {
        assert!(at(task, "signalled_at") - at(task, "drained_from") >= 5_500, "{report}");
    }
    leaves_nothing(&scenario, &report);
}

/// A sandbox that plays AWS and lets whoever asks do less than everything.
fn denying(speed: u32, calls: &[&str]) -> Scenario {
    let scenario = Scenario::new(SHORT);
    append(&scenario, PRODUCTION);
    let faults = calls.iter().map(|call| {
        let (service, operation) = call.split_once(' ').expect("service and operation");
        format!("[[faults]]\nservice = \"{service}\"\noperation = \"{operation}\"\nfault = \"deny\"\n")
    });
    let text = format!("format = 1\n{}", faults.collect::<String>());
    std::fs::write(scenario.hello().join("denied.toml"), text).expect("a new file");
    let speed = speed.to_string();
    scenario.ship(&["sandbox", "up", "--port", "0", "--speed", &speed, "--scenario", "denied.toml"]).ended_with(0);
    scenario
}

#[test]
fn what_may_not_be_read_is_taken_from_ship_toml_and_said() {
    let rehearse = |scenario: &Scenario| -> Said {
        let words = ["rehearse", "-e", "production", "--progress", "quiet", "--format", "json", "--speed", "50"];
        as_aws(scenario, &words).env("HELLO_VERSION", "2").output().expect("the program starts").into()
    };
    // The target group may not be looked at.
    let scenario = denying(20, &["elb DescribeTargetGroups", "elb DescribeTargetGroupAttributes"]);
    scenario.deploy("1", &[]).ended_with(0);
    let report = report(&rehearse(&scenario).ended_with(0));
    assert_eq!(
        (&report["from"], &report["production"]["read_from"]),
        (&"hello:1".into(), &"service".into()),
        "{report}"
    );
    let told = notes(&report);
    for action in ["elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetGroupAttributes"] {
        assert!(told.contains(action), "{action}: {report}");
    }
    // What ship.toml says of both, and not AWS's defaults.
    assert_eq!(report["production"]["deregistration_delay_s"], 3, "{report}");
    assert_eq!(report["production"]["health_check"]["path"], "/health", "{report}");
    leaves_nothing(&scenario, &report);
    // The service itself may not.
    let scenario = denying(20, &["ecs DescribeServices"]);
    let report = self::report(&rehearse(&scenario).ended_with(0));
    assert_eq!(report["production"]["read_from"], "file", "{report}");
    let told = notes(&report);
    assert!(told.contains("the live service could not be read") && told.contains("ecs:DescribeServices"), "{report}");
    assert!(told.contains("the new image replaces itself"), "{report}");
    leaves_nothing(&scenario, &report);
}

/// Adds to the scenario's ship.toml.
fn append(scenario: &Scenario, text: &str) {
    let file = scenario.hello().join("ship.toml");
    let known = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(file, format!("{known}\n{text}\n")).expect("a new file");
}

#[test]
fn what_must_succeed_before_a_rollout_runs_in_a_rehearsal_too() {
    let scenario = Scenario::new(SHORT);
    append(&scenario, "[services.hello.before]\ncommand = [\"migrate\", \"0\"]");
    let words = ["rehearse", "--environment", "sandbox", "--progress", "plain", "--speed", "20"];
    let said = scenario.ship(&words).ended_with(0);
    let ran = "Before the rollout, as before a deploy, migrate 0 ran once in the new image and succeeded.";
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat(&said.out).contains(ran), "{}", said.out);
    // Once, for the new image alone.
    assert_eq!(said.talk.matches("migrating the schema").count(), 1, "{}", said.talk);
    // One that fails: nothing is rolled out, and what it wrote is told.
    let file = scenario.hello().join("ship.toml");
    let text = std::fs::read_to_string(&file).expect("a file").replace("\"0\"", "\"3\"");
    std::fs::write(&file, text).expect("a new file");
    let said = scenario.ship(&words).ended_with(24);
    assert!(flat(&said.out).contains("ran once in the new image and failed: nothing was rolled out"), "{}", said.out);
    assert!(said.talk.contains("column `greeting` exists already"), "{}", said.talk);
    for misplaced in ["nothing to change", "live after", "ended on SIGTERM"] {
        assert!(!said.out.contains(misplaced), "{misplaced}: {}", said.out);
    }
    // Its sandbox is gone, and what could be done to a service of that name would be done to another one.
    for misplaced in ["logs --environment", "status --environment", "the next deploy makes another"] {
        assert!(!said.talk.contains(misplaced), "{misplaced}: {}", said.talk);
    }
    leaves_nothing(&scenario, &Value::Null);
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
    let reading = std::thread::spawn(move || {
        let mut rest = String::new();
        talk.read_to_string(&mut rest).expect("text");
        rest
    });
    end(child, Duration::from_secs(30)).ended_with(130);
    let rest = reading.join().expect("text");
    // Its ECS goes on with nothing.
    let end = rest.split_once("rehearse to sandbox: cancelled").map(|(_, end)| end);
    let end = end.unwrap_or_else(|| panic!("{rest}"));
    assert!(end.contains("its sandbox is taken away, and production is as it was"), "{rest}");
    assert!(!end.contains("ECS goes on"), "{rest}");
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
