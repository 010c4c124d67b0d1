//! A deploy that is killed (`kill -9`) at any of its steps: what ECS was told it goes on with, and the same command again
//! ends well, as if nothing had been.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use crate::{environment::PROGRAM, paper::Paper};

const SHIP: &str = r#"
format = 1

[images.web]
repository = "shop/web"
tags = ["${env.VERSION}"]
args = { VERSION = "${env.VERSION}" }

[services.web]
cluster = "shop"

[services.web.sandbox]
desired_count = 2
deregistration_delay = "10s"

[environments.sandbox]
sandbox = true
"#;

const DOCKERFILE: &str =
    "FROM scratch\nCOPY content /content\nARG VERSION=0\nENV VERSION=${VERSION}\nENTRYPOINT [\"/content\"]\n";

struct Place {
    paper: Paper,
}

impl Place {
    fn set() -> Self {
        let paper = Paper::up("50");
        paper.environment.write("ship.toml", SHIP);
        paper.environment.write("Dockerfile", DOCKERFILE);
        paper.environment.write("content", "content");
        Self { paper }
    }

    fn deploy(&self, version: &str) -> std::process::Command {
        let mut command = self.paper.environment.command(PROGRAM);
        command.args(["deploy", "-e", "sandbox", "--yes", "--progress", "json"]).env("VERSION", version);
        command
    }

    /// Kills it at the first event of that kind that is of a step of that kind.
    fn kill_at(&self, version: &str, step: &str, event: &str) {
        let mut child =
            self.deploy(version).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
        let mut kinds = serde_json::Map::new();
        let lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
        for line in lines.map_while(Result::ok) {
            let record: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            let told = &record["event"];
            for outline in told["steps"].as_array().into_iter().flatten() {
                kinds.insert(outline["id"].to_string(), outline["kind"].clone());
            }
            if told["kind"] == event && kinds.get(&told["step"].to_string()).is_some_and(|kind| kind == step) {
                child.kill().expect("it runs");
                let status = child.wait().expect("it ends");
                assert_eq!(status.code(), None, "by a signal");
                return;
            }
        }
        panic!("it ended before {step} was {event}: {:?}", child.wait());
    }

    /// The same command again: to the end, and once more with nothing left to do.
    fn converges(&self, version: &str, what: &str) {
        for expected in ["serves", "nothing to do"] {
            let output = self.paper.environment.finish(&mut self.deploy(version));
            assert_eq!(output.code, Some(0), "{what}: {output}");
            let last = output.stdout.lines().last().expect("it says how it ended");
            let last: serde_json::Value = serde_json::from_str(last).expect("JSON");
            let told = last.to_string();
            assert!(last["event"]["kind"] == "ended" && told.contains(expected), "{what}: {told}");
        }
        let answer = self.paper.ecs("DescribeServices", &serde_json::json!({ "cluster": "shop", "services": ["web"] }));
        let deployments = answer["services"][0]["deployments"].as_array().expect("deployments");
        assert_eq!((deployments.len(), &deployments[0]["rolloutState"]), (1, &"COMPLETED".into()), "{what}");
        let definition = self
            .paper
            .ecs("DescribeTaskDefinition", &serde_json::json!({ "taskDefinition": deployments[0]["taskDefinition"] }));
        let image = definition["taskDefinition"]["containerDefinitions"][0]["image"].to_string();
        assert!(image.contains("shop/web"), "{what}: {image}");
    }
}

#[test]
fn killed_at_any_step_the_same_again_converges() {
    let place = Place::set();
    place.converges("first", "the first one");
    let steps = [
        ("login", "started"),
        ("build", "started"),
        ("push", "started"),
        ("register", "started"),
        ("update", "started"),
        ("update", "done"),
        ("watch", "started"),
        ("watch", "told"),
    ];
    for (index, (step, event)) in steps.into_iter().enumerate() {
        let version = format!("v{index}");
        place.kill_at(&version, step, event);
        place.converges(&version, &format!("killed when {step} was {event}"));
    }
    place.paper.remove_images();
}
