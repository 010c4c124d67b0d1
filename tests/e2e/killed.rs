//! A sandbox with real containers that is killed at any moment: the next one takes up what it finds or takes it away.

use std::{process::Command, time::Duration};

use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};

use crate::scenario::Scenario;

const UP: [&str; 6] = ["sandbox", "up", "--port", "0", "--speed", "20"];

pub(crate) fn ecs(scenario: &Scenario) -> aws_sdk_ecs::Client {
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(scenario.endpoint())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("sandbox", "sandbox", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_ecs::Client::from_conf(config)
}

/// Process and identity of the sandbox.
fn card(scenario: &Scenario) -> (i32, String) {
    let said = scenario.ship(&["sandbox", "status", "--format", "json"]).ended_with(0);
    let status: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let pid = status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a process");
    (pid, status["id"].as_str().expect("an id").to_owned())
}

/// Whether the service has come to rest with one deployment and all its tasks.
pub(crate) async fn is_settled(ecs: &aws_sdk_ecs::Client) -> bool {
    let Ok(answer) = ecs.describe_services().cluster("hello").services("hello").send().await else { return false };
    let service = &answer.services()[0];
    let [only] = service.deployments() else { return false };
    only.running_count() == 2 && service.running_count() == 2 && service.pending_count() == 0
}

fn volumes_and_networks() -> String {
    let list = |what: &str| {
        let listed = Command::new("docker").args([what, "ls", "--quiet", "--filter", "name=ecs-sandbox"]).output();
        String::from_utf8_lossy(&listed.expect("docker runs").stdout).into_owned()
    };
    list("volume") + &list("network")
}

#[test]
fn killed_while_it_rolls_out_it_takes_up_its_containers_or_takes_them_away() {
    let scenario = Scenario::with_version_one(20, "deregistration_delay = \"20s\"");
    let (_, id) = card(&scenario);
    for round in 0..6 {
        let client = ecs(&scenario);
        scenario.block_on(async {
            // Refused by nobody: a rollout that is going on is overtaken.
            let update = client.update_service().cluster("hello").service("hello").force_new_deployment(true);
            update.send().await.expect("it answers");
            // A moment of the second or so that pulling, starting, draining and stopping take here.
            let moment = Duration::from_millis(getrandom::u64().expect("randomness") % 2500);
            let _moment = tokio::time::timeout(moment, std::future::pending::<()>()).await;
        });
        let pid = rustix::process::Pid::from_raw(card(&scenario).0).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
        scenario.ship(&UP).ended_with(0);
        assert_eq!(card(&scenario).1, id, "round {round}: it is the same sandbox");
    }
    let client = ecs(&scenario);
    scenario.until("settled", async || is_settled(&client).await);
    // No more than what it runs, whether up or ended, and all of it serves.
    scenario.until("two containers", async || Scenario::containers_of(&id, &["--all"]).len() == 2);
    assert_eq!(scenario.serving(), "1");
    scenario.ship(&["sandbox", "down"]).ended_with(0);
    assert_eq!(Scenario::containers_of(&id, &["--all"]), Vec::<String>::new());
    assert_eq!(volumes_and_networks(), "");
}

/// Killed for good, and ended by `down` afterwards: nothing is left of it either.
#[test]
fn what_a_killed_one_has_left_is_taken_away_by_down() {
    let scenario = Scenario::with_version_one(20, "");
    let (pid, id) = card(&scenario);
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    assert_eq!(Scenario::containers_of(&id, &["--all"]).len(), 2, "its containers do not know");
    let _ = scenario.ship(&["sandbox", "down"]);
    assert_eq!(Scenario::containers_of(&id, &["--all"]), Vec::<String>::new());
}
