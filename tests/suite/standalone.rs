//! `docker-ecs-ship` by hand: help, mistakes, exit codes, which stream says what.

use std::{
    io::Read as _,
    process::{Command, Stdio},
};

use insta::assert_snapshot;

use crate::environment::{Environment, PROGRAM};

#[test]
fn help_goes_to_stdout_and_is_the_same_however_it_is_asked_for() {
    let environment = Environment::new();
    let help = environment.run(PROGRAM, ["--help"]).success();
    assert!(help.stdout.starts_with("Usage:  docker-ecs-ship COMMAND\n"), "{help}");
    assert_eq!(help.stderr, "");
    for output in [environment.run(PROGRAM, []), environment.run(PROGRAM, ["-h"]), environment.run(PROGRAM, ["help"])] {
        assert_eq!(output, help);
    }
    let deploy = environment.run(PROGRAM, ["deploy", "--help"]).success();
    assert!(deploy.stdout.contains("docker-ecs-ship deploy --environment staging"), "{deploy}");
    assert_eq!(environment.run(PROGRAM, ["help", "deploy"]), deploy);
    let sandbox = environment.run(PROGRAM, ["sandbox"]).success();
    assert_eq!(environment.run(PROGRAM, ["sandbox", "--help"]), sandbox);
}

#[test]
fn a_mistake_is_told_as_docker_tells_it() {
    let environment = Environment::new();
    assert_snapshot!(environment.run(PROGRAM, ["deploy", "--enviroment", "x"]), @r#"
    exit: 2
    --- stdout
    --- stderr
    unknown flag: --enviroment

    Did you mean --environment?

    Usage:  docker-ecs-ship deploy [OPTIONS] [SERVICE...]

    Run 'docker-ecs-ship deploy --help' for more information
    "#);
    assert_snapshot!(environment.run(PROGRAM, ["depoly"]), @r#"
    exit: 2
    --- stdout
    --- stderr
    unknown command: docker-ecs-ship depoly

    Did you mean deploy?

    Usage:  docker-ecs-ship COMMAND

    Run 'docker-ecs-ship --help' for more information
    "#);
    assert_snapshot!(environment.run(PROGRAM, ["--context"]), @r#"
    exit: 2
    --- stdout
    --- stderr
    flag needs an argument: --context

    Usage:  docker-ecs-ship COMMAND

    Run 'docker-ecs-ship --help' for more information
    "#);
    assert_snapshot!(environment.run(PROGRAM, ["sandbox", "up", "--port", "70000"]), @r#"
    exit: 2
    --- stdout
    --- stderr
    invalid argument "70000" for "--port": 70000 is not in 0..=65535

    Usage:  docker-ecs-ship sandbox up [OPTIONS]

    Run 'docker-ecs-ship sandbox up --help' for more information
    "#);
}

#[test]
fn the_version_has_three_forms() {
    let environment = Environment::new();
    let version = env!("CARGO_PKG_VERSION");
    for (output, expected) in [
        (environment.run(PROGRAM, ["version"]), format!("docker-ecs-ship version v{version}\n")),
        (environment.run(PROGRAM, ["--version"]), format!("docker-ecs-ship version v{version}\n")),
        (environment.run(PROGRAM, ["version", "--short"]), format!("{version}\n")),
        (environment.run(PROGRAM, ["version", "--format", "json"]), format!("{{\"version\":\"v{version}\"}}\n")),
    ] {
        assert_eq!(output.success().stdout, expected);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let environment = Environment::new();
    let mut command = environment.command(PROGRAM);
    let mut child = command
        .args(["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().expect("stderr is a pipe").read_to_string(&mut stderr).expect("it is text");
    assert_eq!((child.wait().expect("it ends").code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_under_stdout_is_a_failure() {
    let environment = Environment::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has /dev/full");
    let output = environment.command(PROGRAM).arg("--help").stdout(full).output().expect("the program starts");
    let stderr = String::from_utf8(output.stderr).expect("it is text");
    assert!(stderr.starts_with("error: cannot write the output\n  cause: No space left on device"), "{stderr}");
    assert_eq!(output.status.code(), Some(4));
}

/// What `build.rs` asks the linker for, by what came of it: an option that a linker ignores is no error.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_start_touches_few_pages_and_loads_the_c_library_alone() {
    let read = Command::new("readelf").args(["-S", "-d", "-W", PROGRAM]).env("LC_ALL", "C").output();
    let read = String::from_utf8(read.expect("readelf comes with the linker").stdout).expect("text");
    let libraries: Vec<&str> = read.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert!(
        libraries.iter().all(|line| ["[libc.", "[libm.", "[ld-linux"].iter().any(|own| line.contains(own))),
        "{read}"
    );
    // The names in `src/start-up.ld` are those of functions that there are.
    let mut words = read.split_whitespace().skip_while(|word| *word != ".text.start_up");
    let size = words.nth(4).and_then(|size| u32::from_str_radix(size, 16).ok());
    assert!(size.is_some_and(|size| size > 100_000), "{size:?} in {read}");
}
