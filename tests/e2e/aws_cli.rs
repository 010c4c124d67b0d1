//! The sandbox through the AWS CLI, with real containers: `tests/aws-cli.sh`.

use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_aws_cli_does_by_hand_what_deploy_does() {
    let script = format!("{ROOT}/tests/aws-cli.sh");
    let done = Command::new(script).arg(env!("CARGO_BIN_EXE_docker-ecs-ship")).output().expect("the script starts");
    let (out, talk) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && out.ends_with("aws-cli: ok\n"), "{out}{talk}");
}
