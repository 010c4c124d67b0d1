//! The `docker` shim: ours stays with us, everything else reaches the real docker as it was typed.

use std::path::Path;

use crate::environment::{Environment, PROGRAM};

#[test]
fn docker_ecs_ship_works_literally() {
    let environment = Environment::installed();
    let version = format!("docker-ecs-ship version v{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(environment.run("docker", ["ecs-ship", "version"]).success().stdout, version);
    assert_eq!(environment.run("docker", ["-D", "--config", "x", "ecs-ship", "version"]).success().stdout, version);
    let help = environment.run("docker", ["help", "ecs-ship", "plan"]).success();
    assert!(help.stdout.starts_with("Usage:  docker ecs-ship plan [OPTIONS] [SERVICE...]\n"), "{help}");
    assert_eq!(environment.run("docker", ["ecs-ship", "plan", "--help"]), help);
    assert_eq!(environment.run("docker", ["ecs-ship", "--nonsense"]).code, Some(2));
}

#[test]
fn everything_else_is_dockers() {
    let with_shim = Environment::installed();
    let without = Environment::with_docker();
    for words in [["context", "show"], ["ps", "--nonsense"], ["frobnicate", "x"], ["run", "--help"]] {
        assert_eq!(with_shim.run("docker", words), without.run("docker", words), "{words:?}");
    }
}

#[test]
fn arguments_exit_code_and_name_reach_the_next_docker_untouched() {
    let mut environment = Environment::new();
    environment.script("real/docker", "for word in \"$@\"; do echo \"[$word]\"; done; cat; exit 7\n");
    environment.prepend(environment.work().join("real"));
    environment.face("docker");
    environment.prepend(environment.work().join("faces"));
    let output = environment.run_with_input("docker", ["run", "", "a b", "--", "ecs-ship", "$x"], "input\n");
    assert_eq!(output.stdout, "[run]\n[]\n[a b]\n[--]\n[ecs-ship]\n[$x]\ninput\n");
    assert_eq!((output.code, output.stderr.as_str()), (Some(7), ""));
}

#[test]
fn two_shims_on_path_do_not_call_each_other_for_ever() {
    let mut environment = Environment::new();
    environment.script("real/docker", "echo real\n");
    environment.prepend(environment.work().join("real"));
    // Copies, so that no file identity tells one from another.
    for folder in ["second", "first"] {
        let folder = environment.work().join(folder);
        environment.install_program(Path::new(PROGRAM), &folder.join("docker"));
        environment.prepend(folder);
    }
    assert_eq!(environment.run("docker", ["ps"]).success().stdout, "real\n");
}

#[test]
fn without_another_docker_it_says_so() {
    let environment = Environment::new();
    let shim = environment.face("docker");
    let output = environment.command(shim).arg("ps").env("PATH", environment.work().join("faces")).output();
    let output = output.expect("the shim starts");
    let stderr = String::from_utf8(output.stderr).expect("it is text");
    assert!(stderr.starts_with("error: there is no other `docker` on PATH behind "), "{stderr}");
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn our_name_is_offered_beside_dockers_own() {
    let environment = Environment::installed();
    let output = environment.run("docker", ["__complete", "ecs"]).success();
    let description = "Ship to Amazon ECS: build, push and roll out";
    assert_eq!(output.stdout, format!("ecsship\t{description}\necs-ship\t{description}\n:4\n"));
    let all = environment.run("docker", ["__completeNoDesc", ""]).success().stdout;
    assert!(all.lines().any(|line| line == "run") && all.lines().any(|line| line == "ecs-ship"), "{all}");
    let other = environment.run("docker", ["__complete", "ru"]).success().stdout;
    assert!(!other.contains("ecs-ship"), "{other}");
}
