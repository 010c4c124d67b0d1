//! The sandbox through botocore, the library under the AWS CLI and boto3: a life of every service with its waiters and
//! paginators, every answer held against AWS's own models, and which operations are not there.

use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn botocore_finds_nothing_wrong() {
    let python = format!("{ROOT}/target/clients/bin/python");
    assert!(Path::new(&python).exists(), "there is no {python}; tests/ensure-tools puts it there");
    let here = format!("{ROOT}/tests/conformance");
    let done = Command::new(python)
        .arg(format!("{here}/botocore_client.py"))
        .arg(env!("CARGO_BIN_EXE_docker-ecs-ship"))
        .arg(format!("{here}/not-emulated.txt"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
}
