//! `init`: what it writes plans to no change against the service it was made from.

use std::fs;

use serde_json::{Value, json};

use crate::{
    environment::{Environment, Output, PROGRAM},
    paper::Paper,
    plan::{commit, document, shop},
};

fn init<const N: usize>(paper: &Paper, words: [&str; N]) -> Output {
    paper.environment.finish(paper.environment.command(PROGRAM).arg("init").args(words))
}

fn written(environment: &Environment, name: &str) -> String {
    fs::read_to_string(environment.work().join(name)).expect("it was written")
}

const FROM_WEB: [&str; 6] = ["--cluster", "shop", "--service", "web", "--region", "us-east-1"];

#[test]
fn of_a_service_that_runs() {
    let paper = shop("200");
    paper.repository_called("web");
    let refused = init(&paper, FROM_WEB);
    insta::assert_snapshot!(refused, @"
    exit: 5
    --- stdout
    --- stderr
    error: $WORK/ship.toml exists already
      hint:  name another file with --file, or replace it with --force
    ");
    fs::remove_file(paper.environment.work().join("ship.toml")).expect("it is there");
    insta::assert_snapshot!(init(&paper, FROM_WEB), @"
    exit: 0
    --- stdout
    wrote ship.toml: service web of cluster shop

      docker-ecs-ship plan     # what a deploy would do; changes nothing
      docker-ecs-ship deploy   # build, push, roll out
      docker-ecs-ship status   # what runs
    --- stderr
    ");
    insta::assert_snapshot!(written(&paper.environment, "ship.toml"), @r#"
    # Made by `docker-ecs-ship init` from service web of cluster shop.
    # Every key is in docs/reference/ship-toml.md of docker-ecs-ship.
    format = 1

    [images.web]
    repository = "web"                          # in ECR; account and region are the environment's
    create_repository = true                    # where it does not exist yet

    [services.web]
    cluster = "shop"
    # task_definition = "live"                  # what runs is cloned; or a path to its JSON

    [environments.production]
    region = "us-east-1"
    account = "000000000000"                    # credentials of another account are refused
    # confirm = true                            # show the plan and ask before acting

    # [environments.sandbox]                    # a rehearsal on this machine, without an account
    # sandbox = true
    "#);
    commit(&paper);
    // Nothing but the image.
    let planned = document(&paper);
    let service = &planned["services"][0];
    assert_eq!((&service["expected"], &service["changes"]), (&json!("change"), &json!([])), "{planned:#}");

    let _ = paper.environment.run(PROGRAM, ["deploy", "--yes"]).success();
    assert_eq!(document(&paper)["outcome"], json!("nothing_to_do"));
    // Made again from what was shipped, it knows the repository. Another file is another build, of the same image.
    let again = [&FROM_WEB[..], &["--force"]].concat();
    let _ = init(&paper, <[&str; 7]>::try_from(again).expect("seven words")).success();
    assert!(!written(&paper.environment, "ship.toml").contains("create_repository"));
    assert_eq!(document(&paper)["services"][0]["changes"], json!([]));
}

#[test]
fn a_definition_in_the_repo_is_what_runs() {
    let paper = shop("200");
    // Beside a ship.toml that is there, only the definition is written.
    let exported = init(&paper, ["--task-definition", "deploy/task.json"]);
    insta::assert_snapshot!(exported, @r#"
    exit: 0
    --- stdout
    wrote deploy/task.json: web:1 as it is registered
    name it in ship.toml to ship it: task_definition = "deploy/task.json"
    --- stderr
    "#);
    let definition: Value = serde_json::from_str(&written(&paper.environment, "deploy/task.json")).expect("JSON");
    insta::assert_snapshot!(format!("{definition:#}"), @r#"
    {
      "family": "web",
      "memory": "64",
      "brandNew": {
        "of": 12345678901234567890
      },
      "containerDefinitions": [
        {
          "name": "web",
          "image": "web:1",
          "unheardOf": [
            {
              "deep": 12.5
            }
          ],
          "environment": [
            {
              "name": "LOG_LEVEL",
              "value": "info"
            }
          ],
          "cpu": 0,
          "essential": true
        }
      ],
      "tags": [
        {
          "key": "team",
          "value": "shop"
        }
      ]
    }
    "#);
    // As the AWS CLI takes it.
    paper.ecs("RegisterTaskDefinition", &definition);
    let again = init(&paper, ["--task-definition", "deploy/task.json"]);
    assert_eq!(again.code, Some(5), "{again}");

    let words =
        ["--cluster", "shop", "--service", "web", "--region", "us-east-1", "--task-definition", "task.json", "--force"];
    let _ = init(&paper, words).success();
    assert!(written(&paper.environment, "ship.toml").contains("task_definition = \"task.json\""));
    assert_eq!(document(&paper)["services"][0]["changes"], json!([]));
}

#[test]
fn of_a_dockerfile_alone_and_of_what_the_sandbox_made_of_it() {
    let paper = Paper::up("200");
    let environment = &paper.environment;
    let nothing = init(&paper, []);
    assert_eq!(nothing.code, Some(5), "{nothing}");
    environment.write(
        "src/Api/Dockerfile",
        "FROM scratch AS build\nFROM scratch AS runtime\nCOPY src/Api/Dockerfile /\nEXPOSE 9090\n",
    );
    insta::assert_snapshot!(init(&paper, []), @"
    exit: 0
    --- stdout
    wrote ship.toml: src/Api/Dockerfile, to begin with in the sandbox

      docker-ecs-ship deploy   # build, push, roll out
      docker-ecs-ship status   # what runs
    --- stderr
    ");
    insta::assert_snapshot!(written(environment, "ship.toml"), @r#"
    # Made by `docker-ecs-ship init`.
    # Every key is in docs/reference/ship-toml.md of docker-ecs-ship.
    format = 1

    [images.work]
    repository = "work"                         # in ECR; account and region are the environment's
    create_repository = true                    # where it does not exist yet
    dockerfile = "src/Api/Dockerfile"
    # target = "runtime"                        # stages: build, runtime; the last one is built

    [services.work]
    cluster = "work"

    [services.work.sandbox]                     # how the sandbox makes it
    container_port = 9090                       # the Dockerfile exposes it

    [environments.sandbox]                      # stands in for AWS on this machine; needs no account
    sandbox = true

    # [environments.production]                 # a service that runs on AWS already
    # region = "eu-west-1"
    "#);
    commit(&paper);
    let _ = environment.run(PROGRAM, ["deploy", "--yes"]).success();
    let first = written(environment, "ship.toml");
    let _ = init(&paper, ["--sandbox", "--force"]).success();
    insta::assert_snapshot!(written(environment, "ship.toml"), @r#"
    # Made by `docker-ecs-ship init` from service work of cluster work.
    # Every key is in docs/reference/ship-toml.md of docker-ecs-ship.
    format = 1

    [images.work]
    repository = "work"                         # in ECR; account and region are the environment's
    dockerfile = "src/Api/Dockerfile"
    # target = "runtime"                        # stages: build, runtime; the last one is built

    [services.work]
    cluster = "work"
    # task_definition = "live"                  # what runs is cloned; or a path to its JSON

    [services.work.sandbox]                     # how the sandbox makes it
    container_port = 9090

    [environments.sandbox]                      # stands in for AWS on this machine; needs no account
    sandbox = true

    # [environments.production]                 # a service that runs on AWS already
    # region = "eu-west-1"
    "#);
    let planned = document(&paper);
    assert_eq!(planned["services"][0]["changes"], json!([]), "{planned:#}");
    environment.write("ship.toml", &first);
    assert_eq!(document(&paper)["outcome"], json!("nothing_to_do"));
}

#[test]
fn which_service_has_to_be_clear() {
    let paper = shop("200");
    for name in ["api", "worker"] {
        paper.ecs(
            "CreateService",
            &json!({ "cluster": "shop", "serviceName": name, "taskDefinition": "web:1", "desiredCount": 0 }),
        );
    }
    let output = init(&paper, ["--cluster", "shop", "--region", "us-east-1", "--file", "other.toml"]);
    insta::assert_snapshot!(output, @"
    exit: 5
    --- stdout
    --- stderr
    error: which service is not clear: shop/api, shop/web, shop/worker
      hint:  name it with --cluster and --service
    ");
    let output = init(&paper, ["--service", "wrong", "--region", "us-east-1", "--file", "other.toml"]);
    insta::assert_snapshot!(output, @"
    exit: 5
    --- stdout
    --- stderr
    error: there is no service wrong
      hint:  check --cluster, --service, --region and --profile; `aws ecs list-services` shows what is there
    ");
    // One that is alone with its name needs no cluster.
    let _ = init(&paper, ["--service", "worker", "--region", "us-east-1", "--file", "other.toml"]).success();
    assert!(written(&paper.environment, "other.toml").contains("[services.worker]"));
}

/// At a terminal somebody is asked, by number or by name, and again where the answer is neither.
#[test]
fn a_service_is_picked_from_those_that_run() {
    let paper = shop("200");
    paper.ecs(
        "CreateService",
        &json!({ "cluster": "shop", "serviceName": "worker", "taskDefinition": "web:1", "desiredCount": 0 }),
    );
    let picked = |answers: &str| {
        let line = format!("TERM=xterm {PROGRAM} init --region us-east-1 --force");
        paper.environment.run_with_input("script", ["-qec", &line, "/dev/null"], answers).success().stdout
    };
    let told = picked("3\nworker\n");
    for words in [
        "1  web     in cluster shop",
        "2  worker  in cluster shop",
        "Which service runs this repo? Its number or its name (Enter: none):",
        "Services in us-east-1:",
        "there is no number 3; type one from 1 to 2, or a name",
        "wrote ship.toml: service worker of cluster shop",
    ] {
        assert!(told.contains(words), "{words}:\n{told}");
    }
    assert!(written(&paper.environment, "ship.toml").contains("[services.worker]"));
    assert!(picked("1\n").contains("wrote ship.toml: service web of cluster shop"));
    let none = picked("\n");
    assert!(none.contains("wrote ship.toml") && !none.contains("of cluster shop\r\n\r\n"), "{none}");
    assert!(written(&paper.environment, "ship.toml").contains("sandbox = true"));
}
