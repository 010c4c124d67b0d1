//! What is refused before anything is sent, and what is kept or overwritten of what others have changed: by the program
//! itself, against a sandbox in which it has come to be so.

use serde_json::{Value, json};

use crate::{
    environment::PROGRAM,
    paper::Paper,
    plan::{by_hand, shop, shop_in},
};

const SHIP: &str = "format = 1\n\n[images.web]\nrepository = \"shop/web\"\n\n\
                    [services.web]\ncluster = \"shop\"\n\n[environments.production]\nregion = \"us-east-1\"\n";

/// `plan` and `deploy` refuse for these reasons and no other, each with what to do, and change nothing.
fn refused(paper: &Paper, codes: &[&str]) -> String {
    let before = service(paper);
    let planned = paper.environment.run(PROGRAM, ["plan", "--format", "json"]);
    assert_eq!(planned.code, Some(5), "{planned}");
    let document: Value = serde_json::from_str(&planned.stdout).expect("JSON");
    let refusals = document["refusals"].as_array().expect("a list");
    let found: Vec<_> = refusals.iter().map(|refusal| refusal["code"].as_str().expect("text")).collect();
    assert_eq!(found, codes, "{document:#}");
    let deployed = paper.environment.run(PROGRAM, ["deploy", "--yes"]);
    assert_eq!(deployed.code, Some(5), "{deployed}");
    let count = |word: &str| deployed.stderr.lines().filter(|line| line.trim_start().starts_with(word)).count();
    assert_eq!((count("refused: "), count("hint: ")), (codes.len(), codes.len()), "{deployed}");
    assert_eq!(service(paper), before);
    deployed.stderr
}

/// What a rollout would change.
fn service(paper: &Paper) -> Value {
    let answer = paper.ecs("DescribeServices", &json!({ "cluster": "shop", "services": ["web"] }));
    let service = &answer["services"][0];
    json!([service["taskDefinition"], service["deployments"][0]["id"]])
}

fn with_service(keys: &str) -> String {
    SHIP.replace("cluster = \"shop\"\n", &format!("cluster = \"shop\"\n{keys}\n"))
}

#[test]
fn of_the_file_and_the_definition() {
    let paper = shop("200");
    let write = |text: &str| paper.environment.write("ship.toml", text);

    write(&SHIP.replace("region = \"us-east-1\"\n", "region = \"us-east-1\"\naccount = \"111111111111\"\n"));
    let told = refused(&paper, &["plan::wrong_account"]);
    assert!(told.contains("111111111111") && told.contains("000000000000"), "{told}");

    write(&with_service("ssm_secrets = { DB = \"/shop/db\" }"));
    let told = refused(&paper, &["plan::no_execution_role"]);
    assert!(told.contains("`secrets`") && told.contains("executionRoleArn"), "{told}");

    write(&with_service("container = \"app\""));
    refused(&paper, &["plan::container_not_found"]);

    let container = json!({ "name": "web", "image": "x", "memory": 64 });
    let definition = json!({
        "family": "web", "containerDefinitions": [container],
        "runtimePlatform": { "cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX" },
    });
    paper.environment.write("task.json", &definition.to_string());
    let text = with_service("task_definition = \"task.json\"");
    write(&text.replace("repository = \"shop/web\"\n", "repository = \"shop/web\"\nplatform = \"linux/amd64\"\n"));
    let told = refused(&paper, &["plan::other_platform"]);
    assert!(told.contains("linux/arm64") && told.contains("linux/amd64"), "{told}");
}

#[test]
fn percentages_that_let_nothing_move() {
    let paper = shop("200");
    // Of two tasks: 75 % are two, and so are 125 %.
    let stuck = json!({ "minimumHealthyPercent": 75, "maximumPercent": 125 });
    let update = json!({ "cluster": "shop", "service": "web", "deploymentConfiguration": stuck });
    paper.ecs("UpdateService", &update);
    let told = refused(&paper, &["plan::deadlock"]);
    assert!(told.contains("minimumHealthyPercent=75,maximumPercent=150"), "{told}");
    // What ship.toml sets itself counts, and not what was there before.
    paper.environment.write("ship.toml", &with_service("rollout.maximum_percent = 150"));
    assert_eq!(paper.environment.run(PROGRAM, ["plan", "--exit-code"]).code, Some(6));
}

#[test]
fn a_tag_that_is_another_image_for_ever() {
    let paper = shop("200");
    paper.ecr("PutImageTagMutability", &json!({ "repositoryName": "shop/web", "imageTagMutability": "IMMUTABLE" }));
    paper.environment.write("ship.toml", &SHIP.replace("\"shop/web\"\n", "\"shop/web\"\ntags = [\"v1\"]\n"));
    let _ = paper.environment.run(PROGRAM, ["deploy", "--yes"]).success();
    // The service runs it: there is nothing to build and nothing to do.
    assert_eq!(paper.environment.run(PROGRAM, ["plan", "--exit-code"]).code, Some(0));
    paper.ecs("UpdateService", &json!({ "cluster": "shop", "service": "web", "taskDefinition": "web:1" }));
    paper.steady();
    let told = refused(&paper, &["plan::tag_taken"]);
    assert!(told.contains("immutable") && told.contains("v1"), "{told}");
    paper.remove_images();
}

/// A service whose immutable tag is in ECR for another platform than the one that it is to run on now.
pub(crate) fn pushed_for_another(paper: Paper) -> Paper {
    let paper = shop_in(paper);
    paper.ecr("PutImageTagMutability", &json!({ "repositoryName": "shop/web", "imageTagMutability": "IMMUTABLE" }));
    let text = SHIP.replace("\"shop/web\"\n", "\"shop/web\"\nplatform = \"linux/amd64\"\ntags = [\"v1\"]\n");
    paper.environment.write("ship.toml", &text);
    let _ = paper.environment.run(PROGRAM, ["deploy", "--yes"]).success();
    assert_eq!(paper.environment.run(PROGRAM, ["plan", "--exit-code"]).code, Some(0));
    let definition = json!({
        "family": "web", "containerDefinitions": [{ "name": "web", "image": "x", "memory": 64 }],
        "runtimePlatform": { "cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX" },
    });
    paper.environment.write("task.json", &definition.to_string());
    // What ship.toml would build now is right; what is there was built before.
    let text = text.replace("platform = \"linux/amd64\"\n", "");
    let text = text.replace("cluster = \"shop\"\n", "cluster = \"shop\"\ntask_definition = \"task.json\"\n");
    paper.environment.write("ship.toml", &text);
    paper
}

#[test]
fn a_tag_that_is_for_another_platform_for_ever() {
    // By `plan` and by `deploy`; what came before has not read it.
    let scenario = "format = 1\n\n[[faults]]\nservice = \"ecr\"\noperation = \"GetDownloadUrlForLayer\"\nfault = \"deny\"\nafter = 2\n";
    let paper = pushed_for_another(Paper::up_with("200", scenario));
    let told = refused(&paper, &["plan::pushed_platform"]);
    assert!(
        told.contains("tag v1 of repository shop/web is immutable and is for linux/amd64")
            && told.contains("runs linux/arm64")
            && told.contains("under a tag other than v1"),
        "{told}"
    );
    // Whoever may not look is not kept from shipping, and hears what that leaves open.
    let planned = paper.environment.run(PROGRAM, ["plan", "--exit-code"]);
    assert_eq!(planned.code, Some(6), "{planned}");
    let told = format!("{}{}", planned.stdout, planned.stderr);
    assert!(told.contains("what platform image shop/web:v1 is for is not known"), "{planned}");
    assert!(told.contains("ecr:GetDownloadUrlForLayer"), "{planned}");
    paper.remove_images();
}

#[test]
fn target_groups_that_no_task_can_get_healthy_in() {
    let paper = Paper::up("200");
    paper.environment.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    paper.environment.write("ship.toml", SHIP);
    crate::plan::commit(&paper);
    paper.cluster();
    paper.repository();
    let balancer = paper.elb(
        "CreateLoadBalancer",
        &[("Name", "web"), ("Subnets.member.1", "subnet-1"), ("Subnets.member.2", "subnet-2")],
        "LoadBalancerArn",
    );
    let group = paper.elb(
        "CreateTargetGroup",
        &[("Name", "web"), ("Protocol", "HTTP"), ("Port", "8080"), ("VpcId", "vpc-1"), ("TargetType", "ip")],
        "TargetGroupArn",
    );
    let listener = paper.elb(
        "CreateListener",
        &[
            ("LoadBalancerArn", &balancer),
            ("Protocol", "HTTP"),
            ("Port", "80"),
            ("DefaultActions.member.1.Type", "forward"),
            ("DefaultActions.member.1.TargetGroupArn", &group),
        ],
        "ListenerArn",
    );
    let mapped = json!({ "name": "web", "image": "web:1", "memory": 64, "portMappings": [{ "containerPort": 8080 }] });
    let register = json!({ "family": "web", "containerDefinitions": [mapped] });
    paper.ecs("RegisterTaskDefinition", &register);
    paper.ecs(
        "CreateService",
        &json!({
            "cluster": "shop", "serviceName": "web", "taskDefinition": "web:1", "desiredCount": 1,
            "loadBalancers": [{ "targetGroupArn": group, "containerName": "web", "containerPort": 8080 }],
        }),
    );
    paper.steady();
    paper.elb(
        "ModifyTargetGroupAttributes",
        &[
            ("TargetGroupArn", &group),
            ("Attributes.member.1.Key", "deregistration_delay.timeout_seconds"),
            ("Attributes.member.1.Value", "600"),
        ],
        "Key",
    );
    // Not refused: it may be meant so.
    paper.environment.write("ship.toml", &with_service("rollout.timeouts = { no_progress = \"1m\", total = \"5m\" }"));
    let planned = paper.environment.run(PROGRAM, ["plan"]).success();
    let told = format!("{}{}", planned.stdout, planned.stderr);
    assert!(told.contains("longer than the 300 s that the whole rollout may take"), "{planned}");

    let bare = json!({ "name": "web", "image": "x", "memory": 64, "portMappings": [{ "containerPort": 80 }] });
    let file = json!({ "family": "web", "containerDefinitions": [bare] });
    paper.environment.write("task.json", &file.to_string());
    paper.environment.write("ship.toml", &with_service("task_definition = \"task.json\""));
    let told = refused(&paper, &["plan::port_not_mapped"]);
    assert!(told.contains("wants port 8080 of container web, which maps 80"), "{told}");

    paper.elb("DeleteListener", &[("ListenerArn", &listener)], "RequestId");
    paper.environment.write("ship.toml", SHIP);
    let told = refused(&paper, &["plan::target_group_unattached"]);
    assert!(told.contains("aws elbv2 create-listener"), "{told}");
}

#[test]
fn what_others_have_changed_is_overwritten_where_ship_toml_says_it() {
    let paper = shop("200");
    // A tag that stays, so that only what is said here is another definition.
    let text = with_service("memory = \"64\"\nenvironment = { LOG_LEVEL = \"info\" }");
    paper.environment.write("ship.toml", &text.replace("\"shop/web\"\n", "\"shop/web\"\ntags = [\"fixed\"]\n"));
    let _ = paper.environment.run(PROGRAM, ["deploy", "--yes"]).success();
    by_hand(&paper);
    let planned = paper.environment.run(PROGRAM, ["plan"]).success();
    let drift = planned.stdout.lines().filter(|line| line.contains("drift") || line.ends_with("overwritten"));
    insta::assert_snapshot!(drift.map(str::trim_end).collect::<Vec<_>>().join("\n"), @"
    drift     web:3 comes from outside of docker-ecs-ship; since web:2, its last ship:
              ~ memory                  64 → 128      overwritten
              ~ environment[LOG_LEVEL]  info → debug  overwritten
    ");
    let planned = paper.environment.run(PROGRAM, ["plan", "--format", "json"]).success();
    let document: Value = serde_json::from_str(&planned.stdout).expect("JSON");
    let fields = document["services"][0]["drift"]["fields"].as_array().expect("a list");
    assert!(fields.iter().all(|field| field["fate"] == "overwritten") && fields.len() == 2, "{document:#}");
    let deployed = paper.environment.run(PROGRAM, ["deploy", "--yes"]).success();
    assert_eq!(deployed.stderr.matches("overwritten").count(), 2, "{deployed}");
    let shipped = paper.ecs("DescribeTaskDefinition", &json!({ "taskDefinition": "web:4" }));
    let definition = &shipped["taskDefinition"];
    assert_eq!(definition["memory"], json!("64"));
    assert_eq!(definition["containerDefinitions"][0]["environment"], json!([{ "name": "LOG_LEVEL", "value": "info" }]));
    // That is the last ship now, and nothing has drifted from it.
    let planned = paper.environment.run(PROGRAM, ["plan"]).success();
    assert!(!planned.stdout.contains("drift"), "{planned}");
    paper.remove_images();
}
