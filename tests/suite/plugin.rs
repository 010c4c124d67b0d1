//! The plugin `docker-ecsship` and what `install` lays out, through the real Docker CLI.

use std::{fs, path::Path};

use insta::assert_snapshot;

use crate::environment::{Environment, PROGRAM};

#[test]
fn docker_lists_the_plugin_and_finds_nothing_wrong_with_it() {
    let environment = Environment::installed();
    let help = environment.run("docker", ["--help"]).success();
    assert!(help.stdout.contains("  ecsship*    Ship to Amazon ECS: build, push and roll out\n"), "{help}");
    assert!(!help.stdout.contains("Invalid Plugins"), "{help}");
    let plugins = environment.run("docker", ["info", "--format", "{{json .ClientInfo.Plugins}}"]);
    let plugins: serde_json::Value = serde_json::from_str(&plugins.stdout).expect("docker prints JSON");
    let plugin = plugins.as_array().into_iter().flatten().find(|plugin| plugin["Name"] == "ecsship");
    let plugin = plugin.expect("docker knows the plugin");
    assert_eq!(plugin["Version"], format!("v{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(plugin.get("Err"), None, "{plugin}");
}

#[test]
fn docker_hands_us_our_words_and_passes_our_exit_code_on() {
    let environment = Environment::installed();
    let version = format!("docker-ecs-ship version v{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(environment.run("docker", ["ecsship", "version"]).success().stdout, version);
    let with_flags = environment.run("docker", ["--log-level", "debug", "--tls=false", "ecsship", "version"]);
    assert_eq!(with_flags.success().stdout, version);
    let help = environment.run("docker", ["ecsship", "deploy", "--help"]).success();
    assert!(help.stdout.starts_with("Usage:  docker ecsship deploy [OPTIONS] [SERVICE...]\n"), "{help}");
    assert_eq!(environment.run("docker", ["help", "ecsship", "deploy"]), help);
    assert_snapshot!(environment.run("docker", ["ecsship", "deploy", "--nonsense"]), @r#"
    exit: 2
    --- stdout
    --- stderr
    unknown flag: --nonsense

    Usage:  docker ecsship deploy [OPTIONS] [SERVICE...]

    Run 'docker ecsship deploy --help' for more information
    "#);
}

#[test]
fn docker_completes_our_words() {
    let environment = Environment::installed();
    environment.write("ship.toml", "format = 1\n[services.api]\n[services.web]\n[environments.staging]\n");
    let complete = |words: &[&str]| {
        let output = environment.command("docker").arg("__complete").args(words).output().expect("docker starts");
        String::from_utf8(output.stdout).expect("it is text")
    };
    assert_eq!(complete(&["ecsship", "de"]), "deploy\tBuild, push and roll out\n:4\n");
    assert_eq!(complete(&["ecsship", "deploy", ""]), "api\nweb\n:4\n");
    assert_eq!(complete(&["ecsship", "deploy", "api", "-e", ""]), "staging\n:4\n");
    assert_eq!(complete(&["ecsship", "deploy", "--file", ""]), "toml\n:8\n");
    assert_eq!(complete(&["ecs-ship", "deploy", ""]), "api\nweb\n:4\n");
}

#[test]
fn metadata_is_answered_by_every_name_that_docker_could_ask() {
    let environment = Environment::new();
    let template = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-metadata/metadata.json"));
    let expected = template.expect("the file is there").replace("${version}", env!("CARGO_PKG_VERSION"));
    for name in ["docker-ecsship", "docker-ecs-ship", "docker-ship"] {
        let output = environment.run(environment.face(name), ["docker-cli-plugin-metadata"]).success();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), (expected.as_str(), ""), "{name}");
    }
}

#[test]
fn installing_says_what_it_made_and_uninstalling_takes_it_away() {
    let environment = Environment::new();
    assert_snapshot!(environment.run(PROGRAM, ["install"]).success().stderr, @r#"
    made     $HOME/.local/share/docker-ecs-ship/docker-ecs-ship
    made     $HOME/.local/bin/docker-ecs-ship
    made     $HOME/.local/bin/docker-credential-ecs-ship
    made     $HOME/.docker/cli-plugins/docker-ecsship
    made     $HOME/.local/share/docker-ecs-ship/shim/docker
    made     $HOME/.local/share/bash-completion/completions/docker-ecs-ship
    made     $HOME/.local/share/zsh/site-functions/_docker-ecs-ship
    made     $HOME/.config/fish/completions/docker-ecs-ship.fish

    Add this line to your shell's start-up file:
    "#);
    let again = environment.run(PROGRAM, ["install"]).success();
    assert!(!again.stderr.contains("made"), "{again}");
    // Never under the name that docker calls invalid.
    assert!(!environment.home().join(".docker/cli-plugins/docker-ecs-ship").exists());

    let _ = environment.run(environment.home().join(".local/bin/docker-ecs-ship"), ["uninstall"]).success();
    let left: Vec<_> = fs::read_dir(environment.home()).expect("the home is there").collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(environment.run(PROGRAM, ["uninstall"]).code, Some(5));
}

#[test]
fn dockers_configuration_folder_may_be_elsewhere() {
    let mut environment = Environment::with_docker();
    let elsewhere = environment.work().join("config");
    environment.set("DOCKER_CONFIG", &elsewhere.display().to_string());
    let _ = environment.run(PROGRAM, ["install"]).success();
    assert!(elsewhere.join("cli-plugins/docker-ecsship").exists());
    let _ = environment.run("docker", ["ecsship", "version"]).success();
    let flag = environment.work().join("flag");
    let _ = environment.run(PROGRAM, ["--config", "flag", "install"]).success();
    assert!(flag.join("cli-plugins/docker-ecsship").exists());
    assert!(!elsewhere.join("cli-plugins/docker-ecsship").exists(), "the one installed before is gone");
}
