//! Completion as a person meets it: the real bash, with our script and with docker's own.

use crate::environment::Environment;

/// Sources a script and asks for the completions of a line, the last word of which is being typed.
fn complete(environment: &Environment, source: &str, function: &str, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "{source}
        # What bash-completion's function of this name does, for words without `=` and `:`.
        _get_comp_words_by_ref() {{
            words=(\"${{COMP_WORDS[@]}}\") cword=$COMP_CWORD
            cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}
        }}
        compopt() {{ :; }}
        COMP_WORDS=({}) COMP_CWORD={} COMP_TYPE=9 COMPREPLY=()
        COMP_LINE=\"${{COMP_WORDS[*]}}\" COMP_POINT=${{#COMP_LINE}}
        {function}
        printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1,
    );
    let output = environment.command("bash").args(["--norc", "-c", &script]).output().expect("these tests need bash");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it is text");
    text.lines().filter(|line| !line.is_empty()).map(|line| line.trim_end().to_owned()).collect()
}

fn ship_toml(environment: &Environment) {
    environment.write("ship.toml", "format = 1\n[services.api]\n[services.web]\n[environments.staging]\n");
    environment.write("other.toml", "[services.db]\n");
    environment.write("notes.txt", "");
}

#[test]
fn the_standalone_name_is_completed_by_our_script() {
    let environment = Environment::installed();
    ship_toml(&environment);
    let source = environment.run("docker-ecs-ship", ["completion", "bash"]).success().stdout;
    let bash = |words: &[&str]| complete(&environment, &source, "__docker_ecs_ship", words);
    assert_eq!(bash(&["docker-ecs-ship", "de"]), ["deploy"]);
    assert_eq!(
        bash(&["docker-ecs-ship", "sandbox", ""]),
        [
            "up      (Start the sandbox)",
            "down    (Stop the sandbox and remove the containers it started)",
            "status  (Show whether the sandbox runs and how to point other tools at it)",
        ]
    );
    assert_eq!(bash(&["docker-ecs-ship", "deploy", ""]), ["api", "web"]);
    assert_eq!(bash(&["docker-ecs-ship", "deploy", "--environment", ""]), ["staging"]);
    assert_eq!(bash(&["docker-ecs-ship", "deploy", "--environment=st"]), ["staging"]);
    assert_eq!(bash(&["docker-ecs-ship", "deploy", "--file", "other.toml", ""]), ["db"]);
    let mut files = bash(&["docker-ecs-ship", "deploy", "--file", ""]);
    files.sort();
    assert_eq!(files, ["other.toml", "ship.toml"]);
    assert_eq!(bash(&["docker-ecs-ship", "deploy", "--record", "no"]), ["notes.txt"]);
    assert!(bash(&["docker-ecs-ship", "nonsense", ""]).is_empty());
}

#[test]
fn dockers_own_script_completes_both_spellings() {
    let environment = Environment::installed();
    ship_toml(&environment);
    let source = environment.run("docker", ["completion", "bash"]).success().stdout;
    let bash = |words: &[&str]| complete(&environment, &source, "__start_docker", words);
    assert_eq!(bash(&["docker", "ecs-ship", "depl"]), ["deploy"]);
    assert_eq!(bash(&["docker", "ecsship", "depl"]), ["deploy"]);
    assert_eq!(bash(&["docker", "ecs-ship", "deploy", "w"]), ["web"]);
    assert_eq!(bash(&["docker", "ecs-s"]), ["ecs-ship"]);
    assert_eq!(bash(&["docker", "contex"]), ["context"]);
}

#[test]
fn descriptions_can_be_switched_off() {
    for (name, value, described) in [
        ("DOCKER_CLI_DISABLE_COMPLETION_DESCRIPTION", "1", false),
        ("DOCKER_COMPLETION_DESCRIPTIONS", "false", false),
        ("COBRA_COMPLETION_DESCRIPTIONS", "0", false),
        ("COBRA_COMPLETION_DESCRIPTIONS", "true", true),
    ] {
        let mut environment = Environment::new();
        environment.set(name, value);
        let output = environment.run(environment.face("docker-ecs-ship"), ["__complete", "de"]).success();
        assert_eq!(output.stdout.contains('\t'), described, "{name}={value}: {output}");
    }
}

#[test]
fn a_file_that_is_being_edited_still_has_names() {
    let environment = Environment::new();
    let program = environment.face("docker-ecs-ship");
    environment.write("ship.toml", "[services.api\n");
    let output = environment.run(&program, ["__complete", "deploy", ""]).success();
    assert_eq!(output.stdout, "api\n:4\n");
    environment.write("ship.toml", "\u{0}");
    let output = environment.run(&program, ["__complete", "deploy", ""]).success();
    assert_eq!(output.stdout, ":4\n");
}
