//! The registry through crane and skopeo. What docker's engines make of it is tried by the tests that push and pull with one.

use std::process::Command;

/// The script's own word for a client that is not there.
const MISSING: i32 = 3;

#[test]
fn crane_and_skopeo_find_nothing_wrong() {
    let root = env!("CARGO_MANIFEST_DIR");
    let done = Command::new(format!("{root}/tests/registry-clients.sh"))
        .arg(env!("CARGO_BIN_EXE_docker-ecs-ship"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    #[expect(clippy::disallowed_methods, reason = "the switch that CONTRIBUTING.md describes")]
    let skip = std::env::var_os("ECS_SHIP_E2E").is_some_and(|value| value == "skip");
    if done.status.code() == Some(MISSING) && skip {
        return;
    }
    assert!(done.status.success(), "{}{said}", String::from_utf8_lossy(&done.stdout));
}
