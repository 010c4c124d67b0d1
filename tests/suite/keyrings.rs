//! The real keyring of the kernel, and what it does to a login when it is away.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
};

use crate::{
    environment::{Environment, Output, PROGRAM},
    login::signed_in,
    stand_in::{REGISTRY, StandIn},
};

pub(crate) fn tokens(environment: &Environment) -> Vec<String> {
    let folder = environment.home().join(".local/state/docker-ecs-ship/credentials");
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.retain(|name| name.split('.').next_back() == Some("token") && !name.starts_with("set-aside-"));
    names
}

/// Whether any file below holds these bytes.
pub(crate) fn holds(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            holds(&path, bytes)
        } else {
            fs::read(&path).is_ok_and(|content| content.windows(bytes.len()).any(|window| window == bytes))
        }
    })
}

pub(crate) fn login(environment: &Environment) -> Output {
    environment.run(PROGRAM, ["--debug", "login", REGISTRY])
}

#[test]
fn the_kernel_keeps_the_key() {
    let stand_in = StandIn::start();
    let environment = signed_in(&stand_in, "keyutils");
    let output = login(&environment).success();
    if output.stdout.contains("memory only") {
        // Docker's seccomp profile and some kernels have none: then it must be said, and nothing be lost.
        assert!(output.stderr.contains("keyutils: not there"), "{output}");
        return;
    }
    assert!(output.stdout.contains("the kernel's keyring (keyutils)"), "{output}");
    let names = tokens(&environment);
    assert!(names.len() == 1 && names[0].starts_with("keyutils-"), "{names:?}");
    assert!(!holds(&environment.home(), b"first"), "the token is encrypted");
    let _ = login(&environment).success();
    assert_eq!(stand_in.count("GetAuthorizationToken"), 1);
    let _ = environment.run(PROGRAM, ["logout"]).success();
    assert_eq!(tokens(&environment), Vec::<String>::new());
    // A key that is gone is no failure.
    let _ = environment.run(PROGRAM, ["logout"]).success();
    let _ = login(&environment).success();
    assert_eq!(stand_in.count("GetAuthorizationToken"), 2);
    let _ = environment.run(PROGRAM, ["logout"]).success();
}

#[test]
fn many_first_runs_make_one_key() {
    let stand_in = StandIn::start();
    let environment = signed_in(&stand_in, "keyutils");
    let registries: Vec<String> =
        (0..12).map(|number| format!("{number:012}.dkr.ecr.eu-west-1.amazonaws.com")).collect();
    let children: Vec<_> = registries
        .iter()
        .map(|registry| {
            environment.command(PROGRAM).args(["login", registry]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
        })
        .collect();
    for child in children {
        let output = child.and_then(Child::wait_with_output).expect("it starts and ends");
        assert!(output.status.success(), "{output:?}");
    }
    if tokens(&environment).is_empty() {
        // No keyutils here, see above.
        return;
    }
    assert_eq!(stand_in.count("GetAuthorizationToken"), 12);
    for registry in &registries {
        let _ = environment.run(PROGRAM, ["login", registry]).success();
    }
    assert_eq!(stand_in.count("GetAuthorizationToken"), 12, "every token opens with the one key");
    let _ = environment.run(PROGRAM, ["logout"]).success();
}
