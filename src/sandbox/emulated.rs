//! Which operations there are: the table of the guide, which the conformance tests hold against the source.

const GUIDE: &str = include_str!("../../docs/guide/sandbox.md");

/// The services as scenarios call them, and as the guide does.
const SERVICES: [(&str, &str); 9] = [
    ("ecs", "ECS"),
    ("ecr", "ECR"),
    ("elb", "ELBv2"),
    ("logs", "CloudWatch Logs"),
    ("ssm", "SSM"),
    ("secretsmanager", "Secrets Manager"),
    ("cloudwatch", "CloudWatch"),
    ("sts", "STS"),
    ("ec2", "EC2"),
];

/// What is asked of the registry is a method.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"];

/// The operations of a service, or of all of them, with the service they belong to.
pub(super) fn operations(service: Option<&str>) -> Vec<(&'static str, &'static str)> {
    let meant = |name: &str| service.is_none_or(|service| service == name);
    let mut all = Vec::new();
    for (name, heading) in SERVICES.into_iter().filter(|(name, _)| meant(name)) {
        let row = GUIDE.lines().find_map(|line| line.strip_prefix(&format!("| {heading} | `")));
        let row = row.and_then(|row| row.strip_suffix("` |")).unwrap_or_default();
        all.extend(row.split("` `").map(|operation| (name, operation)));
    }
    if meant("registry") {
        all.extend(METHODS.map(|method| ("registry", method)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_its_operations() {
        for (service, operation) in [
            ("ecs", "DescribeServices"),
            ("ecr", "UploadLayerPart"),
            ("elb", "SetSubnets"),
            ("logs", "FilterLogEvents"),
            ("ssm", "PutParameter"),
            ("secretsmanager", "UpdateSecretVersionStage"),
            ("cloudwatch", "SetAlarmState"),
            ("sts", "GetCallerIdentity"),
            ("ec2", "DescribeVpcs"),
            ("registry", "PATCH"),
        ] {
            assert!(operations(Some(service)).contains(&(service, operation)), "{service}");
        }
        let all: usize = SERVICES.iter().map(|(name, _)| operations(Some(name)).len()).sum();
        assert_eq!(operations(None).len(), all + METHODS.len());
    }
}
