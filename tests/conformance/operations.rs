//! That no operation is forgotten: what the sandbox answers is tried here and is in the guide, and nothing else is.

use std::collections::BTreeSet;

/// Each service: its source, where it is tried, its heading in the guide.
const SERVICES: [(&str, &str, &str); 9] = [
    (include_str!("../../src/sandbox/world/ecs.rs"), include_str!("ecs.rs"), "ECS"),
    (
        concat!(
            include_str!("../../src/sandbox/world/ecr.rs"),
            include_str!("../../src/sandbox/wire/registry/layers.rs")
        ),
        include_str!("ecr.rs"),
        "ECR",
    ),
    (include_str!("../../src/sandbox/world/elb/call.rs"), include_str!("elb.rs"), "ELBv2"),
    (include_str!("../../src/sandbox/world/logs.rs"), include_str!("logs.rs"), "CloudWatch Logs"),
    (include_str!("../../src/sandbox/world/cloudwatch.rs"), include_str!("cloudwatch.rs"), "CloudWatch"),
    (include_str!("../../src/sandbox/world/ssm.rs"), include_str!("ssm.rs"), "SSM"),
    (include_str!("../../src/sandbox/world/secretsmanager.rs"), include_str!("secretsmanager.rs"), "Secrets Manager"),
    (include_str!("../../src/sandbox/world/sts.rs"), include_str!("sts.rs"), "STS"),
    (include_str!("../../src/sandbox/world/ec2.rs"), include_str!("ec2.rs"), "EC2"),
];

const GUIDE: &str = include_str!("../../docs/guide/sandbox.md");

/// The arms of the match that takes calls apart: `"CreateCluster" => …`, also several in one.
fn answered(source: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for line in source.lines().map(str::trim).filter(|line| line.starts_with('"')) {
        let Some((names, _)) = line.split_once(" => ") else { continue };
        for name in names.split(" | ") {
            let Some(name) = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) else { continue };
            // Operations are verbs and nouns; words of other tables are all capitals or small.
            if name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase) {
                found.insert(name);
            }
        }
    }
    found
}

/// `CreateCluster` is `create_cluster` in Rust.
fn method(operation: &str) -> String {
    let mut name = String::new();
    for character in operation.chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    name
}

/// The row of the guide's table that begins with the service's name.
fn documented(service: &str) -> BTreeSet<&'static str> {
    let row = GUIDE.lines().find(|line| line.starts_with(&format!("| {service} |")));
    let row = row.unwrap_or_else(|| panic!("docs/guide/sandbox.md has no row for {service}"));
    row.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_operation_is_tried() {
    for (source, tests, service) in SERVICES {
        let answered = answered(source);
        assert!(!answered.is_empty(), "{service}: the source has another shape now");
        // By a method of the SDK, or by its name where there is no SDK.
        let tried = |operation: &&str| {
            [format!(".{}()", method(operation)), format!("\"{operation}\"")].iter().any(|call| tests.contains(call))
        };
        let untried: Vec<_> = answered.into_iter().filter(|operation| !tried(operation)).collect();
        assert!(untried.is_empty(), "{service}: {untried:?} are emulated, but tests/conformance does not try them");
    }
}

#[test]
fn every_operation_is_in_the_guide_and_no_other() {
    for (source, _, service) in SERVICES {
        assert_eq!(documented(service), answered(source), "{service}: docs/guide/sandbox.md");
    }
}
