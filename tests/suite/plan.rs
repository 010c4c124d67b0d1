//! `plan` against a sandbox on paper: what it answers scripts, and what it knows of a task definition that others
//! have changed.

use serde_json::{Value, json};

use crate::{
    environment::{Output, PROGRAM},
    paper::Paper,
};

const SHIP: &str = "format = 1\n\n[images.web]\nrepository = \"shop/web\"\n\n\
                    [services.web]\ncluster = \"shop\"\n\n[environments.production]\nregion = \"us-east-1\"\n";

/// A service that runs a definition with members that no SDK knows.
pub(crate) fn shop(speed: &str) -> Paper {
    shop_in(Paper::up(speed))
}

pub(crate) fn shop_in(paper: Paper) -> Paper {
    paper.environment.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    paper.environment.write("ship.toml", SHIP);
    commit(&paper);
    paper.cluster();
    paper.repository();
    let container = json!({
        "name": "web", "image": "web:1", "unheardOf": [{ "deep": 12.50 }],
        "environment": [{ "name": "LOG_LEVEL", "value": "info" }],
    });
    paper.ecs(
        "RegisterTaskDefinition",
        &json!({
            "family": "web", "memory": "64", "brandNew": { "of": 12_345_678_901_234_567_890_u64 },
            "containerDefinitions": [container], "tags": [{ "key": "team", "value": "shop" }],
        }),
    );
    paper.ecs(
        "CreateService",
        &json!({ "cluster": "shop", "serviceName": "web", "taskDefinition": "web:1", "desiredCount": 2 }),
    );
    paper.steady();
    paper
}

/// Commits the working folder, so that a build has a name. The commit is the same on every machine.
pub(crate) fn commit(paper: &Paper) {
    for words in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", "shop"]] {
        let mut git = paper.environment.command("git");
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "suite").env(format!("GIT_{who}_EMAIL"), "suite@example.com");
            git.env(format!("GIT_{who}_DATE"), "2026-01-01T00:00:00Z");
        }
        let _ = paper.environment.finish(git.args(words)).success();
    }
}

/// Somebody changes two fields of `web:2` in the console, and rolls that out as `web:3`.
pub(crate) fn by_hand(paper: &Paper) {
    let shipped = paper.ecs("DescribeTaskDefinition", &json!({ "taskDefinition": "web:2", "include": ["TAGS"] }));
    let mut by_hand = shipped["taskDefinition"].clone();
    for name in [
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
    ] {
        by_hand.as_object_mut().expect("an object").remove(name);
    }
    by_hand["memory"] = json!("128");
    by_hand["containerDefinitions"][0]["environment"] = json!([{ "name": "LOG_LEVEL", "value": "debug" }]);
    // The console copies tags into the revision it makes of another.
    by_hand["tags"] = shipped["tags"].clone();
    paper.ecs("RegisterTaskDefinition", &by_hand);
    paper.ecs("UpdateService", &json!({ "cluster": "shop", "service": "web", "taskDefinition": "web:3" }));
    paper.steady();
}

fn plan<const N: usize>(paper: &Paper, words: [&str; N]) -> Output {
    let mut command = paper.environment.command(PROGRAM);
    paper.environment.finish(command.arg("plan").args(words))
}

pub(crate) fn document(paper: &Paper) -> Value {
    serde_json::from_str(&plan(paper, ["--format", "json"]).success().stdout).expect("JSON")
}

#[test]
fn from_a_service_that_runs_over_a_ship_to_drift() {
    let paper = shop("200");
    insta::assert_snapshot!(plan(&paper, ["--exit-code"]), @"
    exit: 6
    --- stdout
    Plan for production, account 000000000000 in us-east-1

    web  2 tasks of web:1 in cluster shop
      build     shop/web:10ffde7da7b0, and push it
      register  ~ image  1 → 10ffde7da7b0
      roll out  2 tasks, then drain those of web:1 (2m00s at most)

    1 service to ship: docker-ecs-ship deploy --environment production
    --- stderr
    ");
    let before = document(&paper);
    assert_eq!((&before["outcome"], &before["services"][0]["changes"]), (&json!("changes"), &json!([])));

    let _ = paper.environment.run(PROGRAM, ["deploy", "--yes"]).success();
    let shipped = paper.ecs("DescribeTaskDefinition", &json!({ "taskDefinition": "web:2", "include": ["TAGS"] }));
    let definition = &shipped["taskDefinition"];
    assert_eq!(definition["brandNew"].to_string(), "{\"of\":12345678901234567890}");
    assert_eq!(definition["containerDefinitions"][0]["unheardOf"], json!([{ "deep": 12.50 }]));
    let keys: Vec<_> = shipped["tags"].as_array().expect("tags").iter().map(|tag| tag["key"].clone()).collect();
    let ours = ["image-tag", "service", "target", "fingerprint"].map(|name| json!(format!("docker-ecs-ship:{name}")));
    assert_eq!(keys, [&[json!("team")][..], &ours].concat());

    insta::assert_snapshot!(plan(&paper, ["--exit-code"]), @"
    exit: 0
    --- stdout
    Plan for production, account 000000000000 in us-east-1

    web  nothing to do: web:2 runs 10ffde7da7b0 already

    nothing to do
    --- stderr
    ");
    assert_eq!(document(&paper)["outcome"], json!("nothing_to_do"));

    by_hand(&paper);
    insta::assert_snapshot!(plan(&paper, ["--exit-code"]), @"
    exit: 0
    --- stdout
    Plan for production, account 000000000000 in us-east-1

    web  nothing to do: web:3 runs 10ffde7da7b0 already
      drift     web:3 comes from outside of docker-ecs-ship; since web:2, its last ship:
                ~ memory                  64 → 128      kept
                ~ environment[LOG_LEVEL]  info → debug  kept

    nothing to do
    --- stderr
    ");
    let fields = document(&paper)["services"][0]["drift"]["fields"].clone();
    assert_eq!(fields.as_array().expect("a list").len(), 2, "{fields}");
    let deployed = paper.environment.run(PROGRAM, ["deploy", "--yes"]).success();
    assert!(deployed.stderr.contains("since web:2, its last ship"), "{deployed}");
}

#[test]
fn what_is_refused_is_a_document_too() {
    let paper = Paper::up("1");
    paper.environment.write("ship.toml", SHIP);
    let output = plan(&paper, ["--format", "json"]);
    assert_eq!(output.code, Some(5), "{output}");
    let document: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(document["outcome"], json!("refused"));
    let codes: Vec<_> =
        document["refusals"].as_array().expect("a list").iter().map(|refusal| &refusal["code"]).collect();
    assert_eq!(codes, ["plan::cluster_missing", "plan::repository_missing"]);
}

#[test]
fn percentages_that_differ_are_set_and_nothing_is_rolled_out() {
    let paper = shop("200");
    let say = |percent: u32| {
        let service = format!("cluster = \"shop\"\nrollout = {{ minimum_healthy_percent = {percent} }}\n");
        // A tag that stays, so that only the percentages differ.
        let image = "repository = \"shop/web\"\ntags = [\"fixed\"]\n";
        let text = SHIP.replace("repository = \"shop/web\"\n", image).replace("cluster = \"shop\"\n", &service);
        paper.environment.write("ship.toml", &text);
    };
    let service = || {
        let asked = json!({ "cluster": "shop", "services": ["web"] });
        paper.ecs("DescribeServices", &asked)["services"][0].clone()
    };
    say(100);
    let _ = paper.environment.run(PROGRAM, ["deploy", "--yes"]).success();
    paper.steady();
    let before = service();
    // Said, and as they are already.
    assert_eq!(document(&paper)["outcome"], json!("nothing_to_do"));
    say(50);
    let planned = plan(&paper, ["--exit-code"]);
    assert_eq!(planned.code, Some(6), "{planned}");
    assert!(planned.stdout.contains("update    ~ minimumHealthyPercent  100 → 50\n"), "{planned}");
    assert!(!planned.stdout.contains("roll out"), "{planned}");
    let documented = document(&paper)["services"][0].clone();
    assert_eq!(
        (&documented["expected"], &documented["settings"]),
        (
            &json!("configure"),
            &json!([{
                "path": "deploymentConfiguration.minimumHealthyPercent", "change": "changed", "from": "100", "to": "50"
            }])
        )
    );
    let _ = paper.environment.run(PROGRAM, ["deploy", "--yes"]).success();
    let after = service();
    assert_eq!(after["deploymentConfiguration"]["minimumHealthyPercent"], json!(50));
    // The circuit breaker and the maximum stay, and so does the deployment.
    assert_eq!(after["deploymentConfiguration"]["maximumPercent"], before["deploymentConfiguration"]["maximumPercent"]);
    assert_eq!(after["deployments"][0]["id"], before["deployments"][0]["id"]);
    assert_eq!(plan(&paper, ["--exit-code"]).code, Some(0));
}

/// Written, read from a file, and come from a variable; by name and by look.
#[test]
fn values_that_look_like_secrets_are_in_no_output_of_any_format() {
    let paper = shop("200");
    paper.environment.write("web.env", "API_TOKEN=hunter2 from a file\n");
    let overlays = "cluster = \"shop\"\nenvironment_files = [\"web.env\"]\n\
                    environment = { DB_PASSWORD = \"hunter2\", DATABASE_URL = \"postgres://shop:hunter2@db/shop\" }\n";
    let image = "repository = \"shop/web\"\nargs = { NPM_TOKEN = \"npm_hunter2\" }\n";
    let text = SHIP.replace("repository = \"shop/web\"\n", image).replace("cluster = \"shop\"\n", overlays);
    paper.environment.write("ship.toml", &text);
    let mut warned = 0;
    for words in [
        &["config", "validate"][..],
        &["config", "validate", "--format", "json"],
        &["config", "show"],
        &["config", "show", "--format", "json"],
        &["plan"],
        &["plan", "--format", "json"],
        &["deploy", "--yes", "--progress", "plain", "--record", "run.jsonl"],
        &["deploy", "--yes", "--progress", "json"],
        &["deploy", "--yes", "--progress", "quiet"],
        &["plan"],
        &["status"],
        &["status", "--format", "json"],
        &["history"],
        &["history", "--format", "json"],
        &["tasks"],
        &["tasks", "--format", "json"],
        &["replay", "run.jsonl"],
    ] {
        let output = paper.environment.run_all(PROGRAM, words).success();
        let told = format!("{}{}", output.stdout, output.stderr);
        assert!(!told.contains("hunter2"), "{words:?}\n{told}");
        warned += usize::from(told.contains("looks like a secret"));
    }
    assert!(warned >= 6, "{warned}");
    let record = std::fs::read_to_string(paper.environment.work().join("run.jsonl")).expect("it was recorded");
    assert!(!record.contains("hunter2"), "{record}");
    // Nor where the file has mistakes, as text or as JSON.
    paper.environment.write(
        "ship.toml",
        &text.replace("DB_PASSWORD = \"hunter2\"", "DB_PASSWORD = \"hunter2$x\", API_KEY = hunter2"),
    );
    for format in ["table", "json"] {
        let output = paper.environment.run(PROGRAM, ["config", "validate", "--format", format]);
        assert_eq!(output.code, Some(3), "{output}");
        assert!(!output.stderr.contains("hunter2"), "{output}");
    }
}

#[test]
fn a_recording_that_has_no_room_is_told_and_does_not_hold_up_the_deploy() {
    let paper = shop("200");
    let output = paper.environment.run(PROGRAM, ["deploy", "--yes", "--record", "/dev/full"]).success();
    let told = "warning: the recording /dev/full ends before the run: No space left on device (os error 28)\n";
    assert!(output.stderr.ends_with(told), "{output}");
}

#[test]
fn a_deployment_of_somebody_else_is_waited_for_where_that_is_wished() {
    // A rollout takes a few seconds.
    let paper = shop("20");
    let again = json!({ "cluster": "shop", "service": "web", "forceNewDeployment": true });
    paper.ecs("UpdateService", &again);
    let refused = paper.environment.run(PROGRAM, ["deploy", "--yes"]);
    assert_eq!(refused.code, Some(5), "{refused}");
    assert!(refused.stderr.contains("--wait-for-other"), "{refused}");
    let waited = paper.environment.run(PROGRAM, ["deploy", "--yes", "--wait-for-other"]).success();
    assert!(waited.stderr.starts_with("waiting for ecs-svc/"), "{waited}");
    // What it waited for was replaced, not superseded: web:1 again, then ours.
    let answer = paper.ecs("DescribeServices", &json!({ "cluster": "shop", "services": ["web"] }));
    let runs = answer["services"][0]["taskDefinition"].as_str().expect("an ARN");
    assert!(runs.ends_with("/web:2"), "{runs}");
}

#[test]
fn what_ship_toml_lays_over_a_definition_is_registered_with_all_the_rest() {
    let paper = shop("200");
    paper.environment.write("web.env", "LOG_LEVEL=warn\nFROM_FILE=1\n");
    let overlays = "cluster = \"shop\"\ncpu = \"128\"\nenvironment = { FROM_FILE = \"2\", API_TOKEN = \"hunter2\" }\n\
                    environment_files = [\"web.env\"]\n";
    paper.environment.write("ship.toml", &SHIP.replace("cluster = \"shop\"\n", overlays));
    let planned = plan(&paper, []);
    assert!(!planned.stdout.contains("hunter2") && !planned.stderr.contains("hunter2"), "{planned}");
    let changes = document(&paper)["services"][0]["changes"].clone();
    insta::assert_snapshot!(format!("{changes:#}"), @r#"
    [
      {
        "path": "containerDefinitions[web].environment[LOG_LEVEL]",
        "change": "changed",
        "from": "info",
        "to": "warn"
      },
      {
        "path": "containerDefinitions[web].environment[API_TOKEN]",
        "change": "added",
        "to": "****"
      },
      {
        "path": "containerDefinitions[web].environment[FROM_FILE]",
        "change": "added",
        "to": "2"
      },
      {
        "path": "cpu",
        "change": "added",
        "to": "128"
      }
    ]
    "#);
    let _ = paper.environment.run(PROGRAM, ["deploy", "--yes"]).success();
    let shipped = paper.ecs("DescribeTaskDefinition", &json!({ "taskDefinition": "web:2" }));
    let definition = &shipped["taskDefinition"];
    assert_eq!(
        (&definition["cpu"], definition["brandNew"].to_string().as_str()),
        (&json!("128"), "{\"of\":12345678901234567890}")
    );
    let environment = &definition["containerDefinitions"][0]["environment"];
    let pairs: Vec<_> = environment
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| format!("{}={}", entry["name"], entry["value"]))
        .collect();
    assert_eq!(pairs.join(" ").replace('"', ""), "LOG_LEVEL=warn API_TOKEN=hunter2 FROM_FILE=2");
    let again = document(&paper);
    assert_eq!(again["services"][0]["changes"], json!([]), "{again:#}");
}
