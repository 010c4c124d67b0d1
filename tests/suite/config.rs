//! `config`: the file judged, shown and described; and that what the documentation says can be written.

use std::{fs, path::Path};

use crate::environment::{Environment, PROGRAM};

const TWO: &str = "format = 1\n\n[images.web]\nrepository = \"shop/web\"\ntags = [\"v${env.BUILD}\"]\n\n[services.web]\n\
                   cluster = \"shop\"\n\n[environments.production]\nregion = \"eu-west-1\"\nservices.web.cluster = \"shop-live\"\n\n\
                   [environments.staging]\nregion = \"eu-central-1\"\n";

#[test]
fn a_file_that_is_right_is_told_so_without_an_environment_being_named() {
    let mut environment = Environment::new();
    environment.write("ship.toml", TWO);
    let output = environment.run(PROGRAM, ["config", "validate"]).success();
    assert_eq!(output.stdout, "ship.toml has no mistakes: 1 service, 1 image, 2 environments (production, staging)\n");
    // Not set on this machine: CI has it.
    assert!(output.stderr.contains("`${env.BUILD}` is not set here"), "{}", output.stderr);
    let output = environment.set("BUILD", "7").run(PROGRAM, ["config", "validate", "--format", "json"]).success();
    let value: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(value["environments"], serde_json::json!(["production", "staging"]));
    assert_eq!((value["warnings"].as_array().map(Vec::len), output.stderr.as_str()), (Some(0), ""));
}

#[test]
fn every_mistake_is_drawn_and_the_exit_code_says_so() {
    let mut environment = Environment::new();
    let text = TWO.replace("cluster = \"shop\"", "clustr = \"shop\"").replace("eu-central-1", "eu-central-1a");
    environment.write("ship.toml", &format!("default_environment = \"prod\"\n{text}"));
    environment.set("LC_ALL", "C");
    let output = environment.run(PROGRAM, ["config", "validate"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""));
    assert!(output.stderr.is_ascii(), "{}", output.stderr);
    insta::assert_snapshot!(output.stderr);
    let output = environment.run(PROGRAM, ["config", "validate", "--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&output.stderr).expect("one line of JSON");
    let mistakes = value["error"]["mistakes"].as_array().expect("a list");
    let codes: Vec<_> = mistakes.iter().map(|mistake| mistake["code"].as_str().unwrap_or_default()).collect();
    assert_eq!(codes, ["config::unknown_environment", "config::unknown_key", "config::bad_region"]);
    assert_eq!((mistakes[1]["line"].as_u64(), mistakes[1]["file"].as_str()), (Some(9), Some("ship.toml")));
}

#[test]
fn what_the_file_means_is_shown_with_its_origin() {
    let mut environment = Environment::new();
    environment.write("deploy/ship.toml", &format!("extends = \"../base.toml\"\n{TWO}"));
    environment.write("base.toml", "format = 1\n\n[services.web.rollout]\non_failure = \"leave\"\n");
    environment.set("BUILD", "7").set("ECS_SHIP_ENVIRONMENT", "production").set("ECS_SHIP_REGION", "us-east-1");
    let output = environment.run(PROGRAM, ["config", "show", "--file", "deploy/ship.toml"]).success();
    insta::assert_snapshot!(output.stdout);
    let output = environment
        .run(PROGRAM, ["config", "show", "--file", "deploy/ship.toml", "-e", "staging", "--format", "json"])
        .success();
    let value: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(
        value["services"]["web"]["rollout"]["on_failure"],
        serde_json::json!({
            "value": "leave", "from": { "file": "base.toml", "line": 4, "table": "services.web.rollout" }
        })
    );
    assert_eq!(
        value["environments"]["staging"]["region"]["from"],
        serde_json::json!({ "variable": "ECS_SHIP_REGION" })
    );
}

#[test]
fn the_schema_that_is_printed_is_the_one_that_is_committed() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/ship.schema.json");
    let printed = Environment::new().run(PROGRAM, ["config", "schema"]).success().stdout;
    assert_eq!(printed, fs::read_to_string(committed).expect("it is committed"));
}

/// The ` ```toml ` blocks of a page.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in page.lines() {
        match (&mut block, line.trim()) {
            (None, "```toml") => block = Some(String::new()),
            (Some(_), "```") => blocks.extend(block.take()),
            (Some(block), _) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

fn pages(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

#[test]
fn what_the_documentation_says_can_be_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    pages(&root.join("docs"), &mut files);
    let (mut whole, mut parts) = (0, 0);
    for file in files {
        let name = file.strip_prefix(root).expect("below").display().to_string();
        for block in blocks(&fs::read_to_string(&file).expect("a page")) {
            // A scenario of a rehearsal is TOML of another format.
            if !["[images", "[services", "[environments"].iter().any(|table| block.contains(table)) {
                continue;
            }
            if block.lines().any(|line| line.trim_start().starts_with("format")) {
                // A whole file must mean something, wherever it is read.
                let mut environment = Environment::new();
                environment.set("NUGET_TOKEN", "x");
                for beside in ["ship.base.toml", "base.toml"] {
                    environment.write(&format!("../{beside}"), "format = 1\n");
                    environment.write(beside, "format = 1\n");
                }
                environment.write("deploy/common.env", "LEVEL=info\n");
                environment.write("ship.toml", &block);
                let output = environment.run(PROGRAM, ["config", "validate"]);
                assert_eq!(output.code, Some(0), "{name}:\n{block}\n{}", output.stderr);
                whole += 1;
            } else {
                let parsed = ecs_ship::config::file::parse(&format!("format = 1\n{block}"));
                assert_eq!(parsed.errors, [], "{name}:\n{block}");
                parts += 1;
            }
        }
    }
    assert!(whole >= 2 && parts >= 1, "{whole} whole files, {parts} parts");
}
