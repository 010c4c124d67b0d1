//! `status` against a sandbox on paper: one service from all sides, several in a table, and what goes on.

use serde_json::{Value, json};

use crate::{
    environment::PROGRAM,
    plan,
    verbs::{register, ship, shop, told, until, update},
};

fn json_of(paper: &crate::paper::Paper) -> Value {
    let output = ship(paper, &["status", "--format", "json"]).success();
    serde_json::from_str(&output.stdout).expect("one line of JSON")
}

#[test]
fn from_a_ship_to_drift() {
    let paper = plan::shop("200");
    let _ = paper.environment.run(PROGRAM, ["deploy", "--yes"]).success();
    paper.remove_images();
    insta::assert_snapshot!(told(&ship(&paper, &["status"])), @"
    exit: 0
    --- stdout
    web  healthy: 2 of 2 tasks of web:2 run in cluster shop
      image   10ffde7da7b0 (sha256:DIGEST)
      commit   10ffde7da7b0
      since   N seconds ago, by root
      last   web:2 succeeded N seconds ago after N s
      drift   none, it is as it was shipped
    --- stderr
    ");
    let status = json_of(&paper);
    assert_eq!(
        (&status["schema"], &status["healthy"], &status["revision"]),
        (&json!(1), &json!(true), &json!("web:2"))
    );
    assert_eq!(status["image"]["commit"], json!("10ffde7da7b0"));
    assert_eq!((&status["drift"]["state"], &status["rollout"]), (&json!("none"), &Value::Null));
    assert_eq!(status["not_known"], json!([]));

    plan::by_hand(&paper);
    insta::assert_snapshot!(told(&ship(&paper, &["status"])), @"
    exit: 0
    --- stdout
    web  healthy: 2 of 2 tasks of web:3 run in cluster shop
      image   10ffde7da7b0 (sha256:DIGEST)
      commit   10ffde7da7b0
      since   N seconds ago, by root
      last   web:3 succeeded N seconds ago after N s
      drift   web:3 comes from outside of docker-ecs-ship; since web:2, its last ship:
                ~ memory   64 → 128
                ~ environment[LOG_LEVEL]  info → debug
      look   docker-ecs-ship plan --environment production web
    --- stderr
    ");
    assert_eq!(json_of(&paper)["drift"]["fields"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_rollout_that_goes_on_and_the_way_to_watch_it() {
    let paper = shop("30", "format = 1\n\n[[tasks]]\nof = \"new\"\npull = \"60s\"\n");
    register(&paper, "shop/web:2");
    update(&paper, "web:2");
    insta::assert_snapshot!(told(&ship(&paper, &["status"])), @"
    exit: 0
    --- stdout
    web  rolling out: 2 of 2 tasks of web:1 run in cluster shop
      image   web:1
      since   N seconds ago, by root
      last   web:1 succeeded N seconds ago after N s
      rollout   web:2 for N seconds: 0 of 2 tasks run
      watch   docker-ecs-ship watch --environment sandbox web
      drift   not known, none of the latest revisions was shipped by docker-ecs-ship
    --- stderr
    ");
    let status = json_of(&paper);
    let rollout = &status["rollout"];
    assert_eq!((&status["state"], &status["revision"]), (&json!("rolling_out"), &json!("web:1")));
    assert_eq!((&rollout["revision"], &rollout["previous"]), (&json!("web:2"), &json!("web:1")));
    // The spelling of the one who asks.
    let face = paper.environment.face("docker");
    let output = paper.environment.run(&face, ["ecs-ship", "status"]).success();
    assert!(output.stdout.contains("docker ecs-ship watch --environment sandbox web"), "{output}");
}

#[test]
fn several_services_stand_in_one_table() {
    let paper = shop("100", "");
    let file = paper.environment.work().join("ship.toml");
    let text = std::fs::read_to_string(&file).expect("ours");
    let more = "\n[services.cron]\nimage = \"web\"\ncluster = \"shop\"\n\n[services.worker]\nimage = \"web\"\ncluster = \"shop\"\n";
    paper.environment.write("ship.toml", &format!("{text}{more}"));
    let worker = json!({ "cluster": "shop", "serviceName": "worker", "taskDefinition": "web:1", "desiredCount": 0 });
    paper.ecs("CreateService", &worker);
    let is_steady =
        || !ship(&paper, &["status", "--format", "json", "worker"]).success().stdout.contains("rolling_out");
    until("worker is steady", is_steady);
    insta::assert_snapshot!(told(&ship(&paper, &["status"])), @"
    exit: 0
    --- stdout
    SERVICE   REVISION   IMAGE   COMMIT   BY   SINCE   TASKS   TARGETS   STATE
    cron   -   -   -   -   -   -   -   does not exist
    web   web:1   web:1   -   root   N seconds ago   2/2   -   healthy
    worker   web:1   web:1   -   root   N seconds ago   0/0   -   no task wanted
    --- stderr
    ");
    let lines = ship(&paper, &["status", "--format", "json"]).success();
    let states: Vec<Value> =
        lines.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["state"].clone()).collect();
    assert_eq!((states.len(), &states[0], &states[1]), (3, &json!("missing"), &json!("healthy")));
}
