//! From one environment to the next, with real containers: the same digest, and no lost request.

use std::{collections::BTreeSet, fs, process::Command};

use crate::scenario::Scenario;

const SPEED: u32 = 10;

/// A second environment in the same sandbox, with a cluster and a repository of its own.
const PRODUCTION: &str = "
[environments.production]
sandbox = true
promote_from = \"sandbox\"

[environments.production.services.hello]
cluster = \"production\"

[environments.production.images.hello]
repository = \"production/hello\"
";

/// The images that containers of the sandbox run, without their registry.
fn images(containers: &[String]) -> BTreeSet<String> {
    let listed = Command::new("docker")
        .args(["inspect", "--format", "{{.Config.Image}}"])
        .args(containers)
        .output()
        .expect("docker runs");
    let text = String::from_utf8_lossy(&listed.stdout);
    text.lines().map(|image| image.split_once('/').expect("a registry").1.to_owned()).collect()
}

#[test]
fn what_serves_in_one_environment_serves_in_the_next_without_a_lost_request() {
    let scenario = Scenario::with_version_one(SPEED, "deregistration_delay = \"20s\"");
    let file = scenario.hello().join("ship.toml");
    let text = fs::read_to_string(&file).expect("it is there");
    fs::write(&file, text + PRODUCTION).expect("it is ours");
    let promote = ["deploy", "--environment", "production", "--yes", "--progress", "plain"];
    scenario.ship(&promote).ended_with(0);
    let url = scenario.ship(&["status", "--environment", "production", "--format", "url"]).ended_with(0).out;
    let authority = url.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert_eq!(scenario.answers(&authority), "1");

    scenario.deploy("2", &[]).ended_with(0);
    assert_eq!(scenario.answers(&authority), "1", "nothing gets there by itself");
    let load = scenario.put_load_on(&authority);
    let said = scenario.ship(&promote).ended_with(0);
    let tally = scenario.stop(load);
    assert!(said.talk.contains("copy hello"), "{}", said.talk);
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert!(["1", "2"].iter().all(|version| tally.answers.get(*version).is_some_and(|count| *count > 0)), "{tally:?}");
    assert_eq!(scenario.answers(&authority), "2");

    let images = images(&scenario.containers());
    let repositories: Vec<&str> = images.iter().filter_map(|image| Some(image.split_once('@')?.0)).collect();
    let digests: BTreeSet<&str> = images.iter().filter_map(|image| Some(image.split_once('@')?.1)).collect();
    assert_eq!((repositories, digests.len()), (vec!["hello", "production/hello"], 1), "{images:?}");
    let again = scenario.ship(&promote).ended_with(0);
    assert!(again.talk.contains("nothing to do"), "{}", again.talk);
}
