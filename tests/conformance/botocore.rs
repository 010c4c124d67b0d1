//! The sandbox through botocore, the library under the AWS CLI and boto3: a life of every service with its waiters and
//! paginators, every answer held against AWS's own models, and which operations are not there; through the calls of
//! Terraform; and through two tools that stand on it, `ecs deploy` and Ansible.

use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs a client with the program and more; what it says is what is wrong.
fn finds_nothing_wrong(client: &str, more: &[&str]) {
    let python = format!("{ROOT}/target/clients/bin/python");
    assert!(Path::new(&python).exists(), "there is no {python}; tests/ensure-tools puts it there");
    let here = format!("{ROOT}/tests/conformance");
    let done = Command::new(python)
        .arg(format!("{here}/{client}"))
        .arg(env!("CARGO_BIN_EXE_docker-ecs-ship"))
        .args(more.iter().map(|name| format!("{here}/{name}")))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn botocore_finds_nothing_wrong() {
    finds_nothing_wrong("botocore_client.py", &["not-emulated.txt"]);
}

#[test]
fn the_calls_of_terraform_s_provider_are_answered() {
    finds_nothing_wrong("terraform_client.py", &[]);
}

#[test]
fn ecs_deploy_deploys() {
    finds_nothing_wrong("ecs_deploy_client.py", &[]);
}

#[test]
fn ansible_s_modules_change_what_they_should_and_nothing_else() {
    finds_nothing_wrong("ansible_client.py", &[]);
}
