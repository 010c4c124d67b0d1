//! Why a task ended, in words for people, and how much one such end proves.
//!
//! The rows are matched against texts that AWS documents or that were recorded; hand-written fakes and
//! hand-written parsers agree with each other and with nothing else.

use super::view::{ContainerView, TaskView};

/// How much one ended task says about the revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Says nothing about the revision: Spot, a host, capacity, throttling, an operator, the scheduler.
    Noise,
    /// May be bad luck once; twice it is the revision.
    NeedsTwo,
    /// Every further task of this revision will end the same way.
    Deterministic,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub class: Class,
    /// What happened and what to do, without a full stop.
    pub words: String,
}

/// How the words begin of a task that had too little of it.
pub const OUT_OF_MEMORY: &str = "it ran out of memory";

/// One row: if all fragments of any alternative are in the text, this is why.
struct Row {
    any: &'static [&'static [&'static str]],
    class: Class,
    words: &'static str,
}

/// In the order of precedence: a pull that failed for want of a route also says `failed to resolve ref`.
/// Fragments are lower case.
const ROWS: &[Row] = &[
    Row {
        any: &[&["scaling activity initiated by"]],
        class: Class::Noise,
        words: "ECS replaced it in the course of a rollout or a scaling: this is no failure",
    },
    Row {
        any: &[
            &["spot task was interrupted"],
            &["host ec2 (instance", "stopped"],
            &["host ec2 (instance", "terminated"],
        ],
        class: Class::Noise,
        words: "its host was taken away: this is not about the image, ECS starts another",
    },
    Row {
        any: &[
            &["container instance deregistration forced by user"],
            &["service was deleted"],
            &["task stopped by user"],
        ],
        class: Class::Noise,
        words: "somebody stopped it",
    },
    Row {
        any: &[&["unable to assume the role"]],
        class: Class::Deterministic,
        words: "ECS may not assume the role of the task: its trust policy must name ecs-tasks.amazonaws.com, and the role must exist",
    },
    Row {
        any: &[&["descriptor matching platform"], &["exec format error"]],
        class: Class::Deterministic,
        words: "the image is built for another CPU than the task runs on: compare `platform` of the image with `runtimePlatform` of the task definition",
    },
    // Before the pulls: S3 answers 403 as well, and the role of ECR has no part in it.
    Row {
        any: &[&["httpreaderseeker"], &["httpreadseeker"], &["cannotpull", "nil pointer"]],
        class: Class::NeedsTwo,
        words: "the image's layers could not be fetched from S3: check the gateway endpoint for S3 and the security groups",
    },
    // Secrets before pulls: `unable to pull secrets or registry auth` names both.
    Row {
        any: &[
            &["accessdenied", "secretsmanager:getsecretvalue"],
            &["accessdenied", "kms:decrypt"],
            &["not authorized to perform", "secretsmanager:"],
        ],
        class: Class::Deterministic,
        words: "the execution role may not read a secret: it needs secretsmanager:GetSecretValue (and kms:Decrypt for a key of your own)",
    },
    Row {
        any: &[&["accessdenied", "ssm:getparameter"], &["not authorized to perform", "ssm:"]],
        class: Class::Deterministic,
        words: "the execution role may not read a parameter: it needs ssm:GetParameters",
    },
    Row {
        any: &[
            &["pull access denied"],
            &["cannotpull", "403 forbidden"],
            &["not authorized to perform", "ecr:"],
            &["accessdenied", "ecr:"],
            &["cannotpull", "no basic auth credentials"],
        ],
        class: Class::Deterministic,
        words: "the image may not be pulled: the execution role needs ecr:GetAuthorizationToken, ecr:BatchGetImage and ecr:GetDownloadUrlForLayer, or the repository does not exist",
    },
    Row {
        any: &[&["toomanyrequests"]],
        class: Class::Noise,
        words: "the registry allows no more pulls for now: use a pull-through cache or log in to it",
    },
    Row {
        any: &[&["no space left on device"]],
        class: Class::NeedsTwo,
        words: "the disk of the task is full: raise `ephemeralStorage` or make the image smaller",
    },
    Row {
        any: &[
            &["i/o timeout"],
            &["dial tcp"],
            &["tls handshake timeout"],
            &["request canceled while waiting for connection"],
            &["context deadline exceeded"],
        ],
        class: Class::NeedsTwo,
        words: "the task has no way to the AWS services it needs: check NAT, public IP or the VPC endpoints (ecr.api, ecr.dkr, s3, logs, secretsmanager)",
    },
    Row {
        any: &[
            &["can't retrieve the secret"],
            &["unable to retrieve secret from asm"],
            &["resourcenotfoundexception", "secrets manager"],
        ],
        class: Class::Deterministic,
        words: "a secret does not exist in this region or has no value AWSCURRENT: check `secrets` of the task definition",
    },
    Row {
        any: &[&["from ssm"], &["invalid parameters", "ssm"], &["invalid ssm parameters"]],
        class: Class::Deterministic,
        words: "an SSM parameter does not exist in this region: check `secrets` of the task definition",
    },
    Row {
        any: &[
            &["failed to validate logger args"],
            &["failed to initialize logging driver"],
            &["log group does not exist"],
        ],
        class: Class::Deterministic,
        words: "the log driver could not start: create the log group, or set `awslogs-create-group` and allow logs:CreateLogGroup",
    },
    Row {
        any: &[&["failed to download env files"], &["environment files"]],
        class: Class::NeedsTwo,
        words: "an environment file could not be read from S3: check the bucket, its policy and s3:GetObject of the execution role",
    },
    Row {
        any: &[&["efs utils"], &["mount.nfs"], &["efs mount"]],
        class: Class::NeedsTwo,
        words: "an EFS volume could not be mounted: check its mount targets, security groups and file system policy",
    },
    Row {
        any: &[&["failed to resolve ref"], &["cannotpull", "not found"], &["cannotpull", "manifest unknown"]],
        class: Class::Deterministic,
        words: "the image is not in the registry: the tag or digest was never pushed, or a lifecycle policy removed it",
    },
    Row {
        any: &[
            &["insufficientfreeaddressesinsubnet"],
            &["not have enough free addresses"],
            &["network interface provisioning"],
            &["create network interface"],
            &["resource:eni"],
        ],
        class: Class::Noise,
        words: "no network interface could be had: the subnet has no free addresses, or EC2 was slow",
    },
    Row {
        any: &[
            &["capacity is unavailable"],
            &["resource:cpu"],
            &["resource:memory"],
            &["resource:gpu"],
            &["resource:ports"],
            &["rate exceeded"],
            &["being throttled"],
            &["limit on the number of tasks"],
            &["limit on the number of vcpus"],
            &["reached the limit"],
            &["was unable to place a task. reason: internal error"],
        ],
        class: Class::Noise,
        words: "AWS had no room for it or slowed the account down: ECS tries again",
    },
    Row {
        any: &[
            &["no container instance met all of its requirements"],
            &["no container instances were found"],
            &["insufficient cpu units available"],
            &["insufficient memory available"],
        ],
        class: Class::Noise,
        words: "the cluster has no room for it: no container instance has the CPU, memory, ports or attributes it asks for",
    },
    Row {
        any: &[&["unable to stop or start tasks during a deployment", "configuration"]],
        class: Class::Deterministic,
        words: "its percentages leave ECS no move: raise `maximum_percent` or lower `minimum_healthy_percent`",
    },
    Row {
        any: &[&["tasks under protection"]],
        class: Class::Noise,
        words: "old tasks are protected from scale-in: they stay until their protection ends",
    },
    Row {
        any: &[&["unable to consistently start tasks"]],
        class: Class::Noise,
        words: "tasks kept failing before they ran, so ECS tries less and less often, up to 27 minutes apart",
    },
    Row {
        any: &[&["incompatible compute"], &["missing an attribute required"]],
        class: Class::Noise,
        words: "no instance of the cluster can run this task definition: compare its `requiresCompatibilities` and `runtimePlatform` with the instances",
    },
    Row {
        any: &[&["failed elb health checks"], &["is unhealthy in (target-group"]],
        class: Class::NeedsTwo,
        words: "the load balancer found it unhealthy: check path, port, matcher and time-outs of the target group's health check, and `healthCheckGracePeriodSeconds`",
    },
    Row {
        any: &[&["failed container health checks"]],
        class: Class::NeedsTwo,
        words: "the container's own `healthCheck` command failed: check the command and its `startPeriod`",
    },
    Row {
        any: &[&["outofmemory"]],
        class: Class::NeedsTwo,
        words: "it ran out of memory: raise `memory` of the container or the task, or find what eats it",
    },
    Row {
        any: &[
            &["executable file not found"],
            &["cannotstartcontainererror", "no such file or directory"],
            &["cannotstartcontainererror", "permission denied"],
        ],
        class: Class::Deterministic,
        words: "the container's command cannot be run: it is not in the image or not executable",
    },
    Row {
        any: &[
            &["internalerror"],
            &["encountered error \"agent\""],
            &["containervanishederror"],
            &["taskfailedtostart: agent"],
        ],
        class: Class::Noise,
        words: "ECS or its agent failed: ECS starts another",
    },
];

/// What is known of why `task` ended.
#[must_use]
pub fn reason(task: &TaskView) -> Reason {
    let mut text = task.stopped_reason.clone().unwrap_or_default();
    for container in &task.containers {
        if let Some(reason) = &container.reason {
            text.push('\n');
            text.push_str(reason);
        }
    }
    if let Some(found) = of_text(&text) {
        return found;
    }
    match task.stop_code.as_deref() {
        // AWS's sample event has the one for a Spot interruption, its reference the other.
        Some("SpotInterruption" | "TerminationNotice") => {
            return noise("its host was taken away: this is not about the image, ECS starts another");
        }
        Some("UserInitiated") => return noise("somebody stopped it"),
        Some(_) | None => {}
    }
    if let Some(found) = of_exit(task) {
        return found;
    }
    let told = task.stopped_reason.clone().or_else(|| task.stop_code.clone());
    Reason {
        class: Class::NeedsTwo,
        words: told.map_or_else(|| "it ended and ECS gave no reason".to_owned(), |told| format!("ECS says: {told}")),
    }
}

/// [`reason`] in words alone.
#[must_use]
pub fn explain(task: &TaskView) -> String {
    reason(task).words
}

/// What one line of text says: a service event, or the last line of a container's log.
#[must_use]
pub fn of_text(text: &str) -> Option<Reason> {
    let lower = text.to_lowercase();
    let row = ROWS
        .iter()
        .find(|row| row.any.iter().any(|fragments| fragments.iter().all(|fragment| lower.contains(fragment))));
    match (row, missing(text)) {
        (Some(row), None) => Some(Reason { class: row.class, words: row.words.to_owned() }),
        (Some(row), Some(missing)) => Some(Reason { class: row.class, words: format!("{}; {missing}", row.words) }),
        // An action of a service this table has no row for.
        (None, Some(missing)) => Some(Reason { class: Class::Deterministic, words: missing }),
        (None, None) => None,
    }
}

/// What IAM itself names: `User: arn:aws:sts::1:assumed-role/NAME/x is not authorized to perform: ACTION on resource: y`.
fn missing(text: &str) -> Option<String> {
    let (before, after) = text.split_once("not authorized to perform: ")?;
    let action = after.split_whitespace().next()?.trim_end_matches(['.', ',', ';']);
    let role = before.rsplit_once(":assumed-role/").and_then(|(_, role)| role.split(['/', ' ']).next());
    Some(match role {
        Some(role) => format!("role {role} lacks {action}"),
        None => format!("what it lacks is {action}"),
    })
}

/// What a service event says of trouble. The everyday ones, one of an unhealthy task that was replaced
/// among them, say nothing.
#[must_use]
pub fn of_event(text: &str) -> Option<Reason> {
    let is_trouble = [
        "failed to launch a task",
        "was unable to",
        "is unable to consistently",
        "is unhealthy in",
        "failed container health checks",
        "are being throttled",
        "failed ELB health checks",
    ];
    is_trouble.iter().any(|words| text.contains(words)).then(|| of_text(text)).flatten()
}

/// The limit that a task reached which ran out of memory, in MiB: that of its container, else that of the task.
#[must_use]
pub fn memory_limit(definition: &serde_json::Value, container: &str) -> Option<String> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::String(text) => Some(text.clone()),
        _ => None,
    };
    let containers = definition["containerDefinitions"].as_array()?;
    let own = containers.iter().find(|found| found["name"] == container).and_then(|found| text(&found["memory"]));
    own.filter(|memory| memory != "0").or_else(|| text(&definition["memory"]))
}

fn noise(words: &str) -> Reason {
    Reason { class: Class::Noise, words: words.to_owned() }
}

/// From the exit code: of the container that failed, else of the one that finished.
fn of_exit(task: &TaskView) -> Option<Reason> {
    let exits = || task.containers.iter().filter_map(|container| Some((container, container.exit_code?)));
    let (container, code) = exits().find(|(_, code)| *code != 0).or_else(|| exits().next())?;
    let ContainerView { name, last_status: _, exit_code: _, reason: _, health: _ } = container;
    let after = match (task.started_ms, task.stopping_ms.or(task.stopped_ms)) {
        (Some(started), Some(ended)) if ended >= started => format!(" after {} s", (ended - started) / 1000),
        (Some(_) | None, Some(_) | None) => String::new(),
    };
    let (class, words) = match code {
        0 => (
            Class::NeedsTwo,
            format!("{name} finished{after} with exit code 0: a service needs a process that keeps running"),
        ),
        126 => (Class::Deterministic, format!("{name} exited (126): its command is not executable")),
        127 => (Class::Deterministic, format!("{name} exited (127): its command was not found in the image")),
        134 => (Class::NeedsTwo, format!("{name} aborted{after} (134, SIGABRT)")),
        137 => (
            Class::NeedsTwo,
            format!(
                "{name} was killed{after} (137, SIGKILL): it did not end within `stopTimeout` after SIGTERM, or was killed from outside"
            ),
        ),
        139 => (Class::NeedsTwo, format!("{name} crashed{after} (139, SIGSEGV)")),
        143 => (Class::NeedsTwo, format!("{name} was ended{after} by SIGTERM (143)")),
        other => (Class::NeedsTwo, format!("{name} exited ({other}){after}: its last log lines say why")),
    };
    Some(Reason { class, words })
}

#[cfg(test)]
mod tests {
    use super::{Class, explain, memory_limit, of_event, of_text, reason};
    use crate::{
        id::TaskDefArn,
        rollout::view::{ContainerView, TaskView},
    };

    fn task(stop_code: &str, stopped_reason: &str, exit_code: Option<i64>, container_reason: &str) -> TaskView {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        TaskView {
            id: "1".to_owned(),
            task_definition: TaskDefArn::new("web:42"),
            started_by: None,
            last_status: "STOPPED".to_owned(),
            desired_status: "STOPPED".to_owned(),
            health: None,
            stop_code: some(stop_code),
            stopped_reason: some(stopped_reason),
            created_ms: Some(0),
            started_ms: Some(1_000),
            stopping_ms: Some(4_500),
            stopped_ms: Some(5_000),
            containers: vec![ContainerView {
                name: "web".to_owned(),
                last_status: "STOPPED".to_owned(),
                exit_code,
                reason: some(container_reason),
                health: None,
            }],
            addresses: Vec::new(),
        }
    }

    /// Texts as AWS's guides and recordings have them.
    #[test]
    #[expect(clippy::too_many_lines, reason = "one row for each text, and the texts are long")]
    fn real_reasons_are_understood() {
        use Class::{Deterministic, NeedsTwo, Noise};
        let exited = "Essential container in task exited";
        for (stop_code, stopped_reason, exit_code, container_reason, class, words) in [
            (
                "ServiceSchedulerInitiated",
                "Scaling activity initiated by (deployment ecs-svc/1234567890123456789)",
                None,
                "",
                Noise,
                "no failure",
            ),
            ("SpotInterruption", "Your Spot Task was interrupted.", None, "", Noise, "host was taken away"),
            ("TerminationNotice", "Your Spot Task was interrupted.", None, "", Noise, "host was taken away"),
            ("TerminationNotice", "", None, "", Noise, "host was taken away"),
            ("", "Host EC2 (instance i-0123456789abcdef0) stopped/terminated", None, "", Noise, "host was taken away"),
            ("", "Container instance deregistration forced by user", None, "", Noise, "somebody stopped it"),
            ("", "Service was deleted", None, "", Noise, "somebody stopped it"),
            ("UserInitiated", "", Some(143), "", Noise, "somebody stopped it"),
            ("EssentialContainerExited", exited, Some(1), "", NeedsTwo, "web exited (1) after 3 s"),
            ("EssentialContainerExited", exited, Some(0), "", NeedsTwo, "keeps running"),
            (
                "EssentialContainerExited",
                exited,
                Some(137),
                "OutOfMemoryError: Container killed due to memory usage",
                NeedsTwo,
                "out of memory",
            ),
            ("EssentialContainerExited", exited, Some(137), "", NeedsTwo, "stopTimeout"),
            ("EssentialContainerExited", exited, Some(139), "", NeedsTwo, "SIGSEGV"),
            ("EssentialContainerExited", exited, Some(134), "", NeedsTwo, "SIGABRT"),
            ("EssentialContainerExited", exited, Some(143), "", NeedsTwo, "SIGTERM"),
            ("EssentialContainerExited", exited, Some(126), "", Deterministic, "not executable"),
            ("EssentialContainerExited", exited, Some(127), "", Deterministic, "not found in the image"),
            (
                "TaskFailedToStart",
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): image Manifest does not contain descriptor matching platform 'linux/arm64'",
                None,
                "",
                Deterministic,
                "another CPU",
            ),
            (
                "ServiceSchedulerInitiated",
                "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/web/0123456789abcdef)",
                Some(143),
                "",
                NeedsTwo,
                "load balancer found it unhealthy",
            ),
            (
                "ServiceSchedulerInitiated",
                "Task failed container health checks",
                Some(143),
                "",
                NeedsTwo,
                "`healthCheck` command failed",
            ),
            (
                "TaskFailedToStart",
                "CannotPullContainerError: The task cannot pull repo:tag from the registry. pull image manifest has been retried 5 time(s): failed to resolve ref 111111111111.dkr.ecr.eu-west-1.amazonaws.com/web:nope: not found",
                None,
                "",
                Deterministic,
                "not in the registry",
            ),
            (
                "TaskFailedToStart",
                "Task failed to start",
                None,
                "CannotPullContainerError: Error response from daemon: pull access denied for web, repository does not exist or may require 'docker login'",
                Deterministic,
                "ecr:BatchGetImage",
            ),
            (
                "TaskFailedToStart",
                "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref x/web:1: failed to do request: Head https://x/v2/web/manifests/1: dial tcp 10.0.0.1:443: i/o timeout",
                None,
                "",
                NeedsTwo,
                "NAT",
            ),
            ("TaskFailedToStart", "CannotPullContainerError: context deadline exceeded", None, "", NeedsTwo, "NAT"),
            (
                "TaskFailedToStart",
                "CannotPullContainerError: Error response from daemon: Get https://x/v2/: net/http: TLS handshake timeout",
                None,
                "",
                NeedsTwo,
                "NAT",
            ),
            (
                "TaskFailedToStart",
                "CannotPullContainerError: Get https://x/v2/: net/http: request canceled while waiting for connection",
                None,
                "",
                NeedsTwo,
                "NAT",
            ),
            (
                "TaskFailedToStart",
                "CannotPullContainerError: failed to copy: httpReaderSeeker: failed open: unexpected status code https://x: 403 Forbidden",
                None,
                "",
                NeedsTwo,
                "S3",
            ),
            (
                "TaskFailedToStart",
                "CannotPullContainerError: failed to copy: httpReadSeeker: failed open: unexpected status code",
                None,
                "",
                NeedsTwo,
                "S3",
            ),
            (
                "TaskFailedToStart",
                "CannotPullContainerError: panic: runtime error: invalid memory address or nil pointer dereference",
                None,
                "",
                NeedsTwo,
                "S3",
            ),
            (
                "TaskFailedToStart",
                "CannotPullContainerError: toomanyrequests: You have reached your pull rate limit",
                None,
                "",
                Noise,
                "no more pulls",
            ),
            (
                "TaskFailedToStart",
                "CannotPullContainerError: write /var/lib/x: no space left on device",
                None,
                "",
                NeedsTwo,
                "ephemeralStorage",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret arn:aws:secretsmanager:x from secrets manager: AccessDeniedException: User: arn:aws:sts::1:assumed-role/r is not authorized to perform: secretsmanager:GetSecretValue on resource: x",
                None,
                "",
                Deterministic,
                "secretsmanager:GetSecretValue",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: failed to fetch secret x from secrets manager: ResourceNotFoundException: Secrets Manager can't find the specified secret.",
                None,
                "",
                Deterministic,
                "AWSCURRENT",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: unable to pull secrets or registry auth: The task can't retrieve the secret with ARN 'arn:x' from AWS Secrets Manager.",
                None,
                "",
                Deterministic,
                "AWSCURRENT",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid parameters: /a/b",
                None,
                "",
                Deterministic,
                "SSM parameter",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secrets from ssm: AccessDeniedException: User: x is not authorized to perform: ssm:GetParameters on resource: y",
                None,
                "",
                Deterministic,
                "ssm:GetParameters",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist.",
                None,
                "",
                Deterministic,
                "log group",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: failed to download env files: file download command: non empty error stream",
                None,
                "",
                NeedsTwo,
                "environment file",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: mount.nfs4",
                None,
                "",
                NeedsTwo,
                "EFS",
            ),
            (
                "TaskFailedToStart",
                "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment enabled in subnet 'subnet-1': InsufficientFreeAddressesInSubnet",
                None,
                "",
                Noise,
                "free addresses",
            ),
            (
                "TaskFailedToStart",
                "Timeout waiting for network interface provisioning to complete.",
                None,
                "",
                Noise,
                "network interface",
            ),
            ("TaskFailedToStart", "InternalError: unable to create container", None, "", Noise, "agent failed"),
            (
                "TaskFailedToStart",
                "Task failed to start",
                None,
                "CannotStartContainerError: Error response from daemon: failed to create task for container: exec: \"/nope\": stat /nope: no such file or directory",
                Deterministic,
                "cannot be run",
            ),
            (
                "NewCode",
                "A sentence nobody has seen yet",
                None,
                "",
                NeedsTwo,
                "ECS says: A sentence nobody has seen yet",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: unable to pull secrets or registry auth: AccessDeniedException: User: arn:aws:sts::111111111111:assumed-role/ecsTaskExecutionRole/0123 is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:x because no identity-based policy allows it",
                None,
                "",
                Deterministic,
                "role ecsTaskExecutionRole lacks secretsmanager:GetSecretValue",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: AccessDeniedException: User: arn:aws:sts::1:assumed-role/r/x is not authorized to perform: kms:Decrypt on resource: y",
                None,
                "",
                Deterministic,
                "role r lacks kms:Decrypt",
            ),
            (
                "TaskFailedToStart",
                "something new: User: arn:aws:sts::1:assumed-role/r/x is not authorized to perform: newservice:Thing on resource: y",
                None,
                "",
                Deterministic,
                "role r lacks newservice:Thing",
            ),
            (
                "EssentialContainerExited",
                exited,
                None,
                "CannotStartContainerError: Error response from daemon: OCI runtime create failed: exec: \"app\": executable file not found in $PATH",
                Deterministic,
                "cannot be run",
            ),
            ("NewCode", "", None, "", NeedsTwo, "ECS says: NewCode"),
            ("", "", None, "", NeedsTwo, "no reason"),
        ] {
            let task = task(stop_code, stopped_reason, exit_code, container_reason);
            let got = reason(&task);
            assert_eq!(got.class, class, "{stopped_reason}: {}", got.words);
            assert!(got.words.contains(words), "{stopped_reason}: {}", got.words);
            assert_eq!(explain(&task), got.words);
        }
    }

    #[test]
    fn service_events_are_understood() {
        for (text, class) in [
            (
                "(service web) failed to launch a task with (error ECS was unable to assume the role 'arn:aws:iam::1:role/x' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role.).",
                Some(Class::Deterministic),
            ),
            (
                "(service web) was unable to place a task. Reason: Capacity is unavailable at this time.",
                Some(Class::Noise),
            ),
            ("(service web) operations are being throttled. Will try again later.", Some(Class::Noise)),
            ("exec /app: exec format error", Some(Class::Deterministic)),
            (
                "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching container-instance 0123 has insufficient CPU units available.",
                Some(Class::Noise),
            ),
            (
                "(service web) was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.",
                Some(Class::Deterministic),
            ),
            (
                "(service web) was unable to reach steady state because (taskSet ecs-svc/1) was unable to scale in due to (reason 1 tasks under protection)",
                Some(Class::Noise),
            ),
            ("(service web) is unable to consistently start tasks successfully.", Some(Class::Noise)),
            (
                "(service web) was unable to reach steady state. Reason: No Container Instances were found in your capacity provider.",
                Some(Class::Noise),
            ),
            (
                "(service web) (task 0123) (port 8080) is unhealthy in (target-group arn:x) due to (reason Health checks failed with these codes: [503]).",
                Some(Class::NeedsTwo),
            ),
            ("(service web) (task 0123) failed container health checks.", Some(Class::NeedsTwo)),
            (
                "(service web) was unable to place a task. Reason: You've reached the limit on the number of vCPUs you can run concurrently.",
                Some(Class::Noise),
            ),
            ("(service web) has reached a steady state.", None),
            ("(service web) has started 1 tasks: (task 0123456789abcdef).", None),
            ("(service web) has begun draining connections on 1 tasks.", None),
        ] {
            assert_eq!(of_text(text).map(|reason| reason.class), class, "{text}");
            if text.starts_with("(service") {
                assert_eq!(of_event(text).map(|reason| reason.class), class, "{text}");
            }
        }
        // Everyday: 27 of 2,190 in a census of production events.
        let routine =
            "(service web) has started 1 tasks: (task 0123). Amazon ECS replaced 1 tasks due to an unhealthy status.";
        assert_eq!(of_event(routine), None);
    }

    #[test]
    fn a_limit_of_memory_is_that_of_the_container_else_of_the_task() {
        let definition = |own: serde_json::Value| serde_json::json!({"memory": "512", "containerDefinitions": [{"name": "web", "memory": own}]});
        assert_eq!(memory_limit(&definition(256.into()), "web").as_deref(), Some("256"));
        assert_eq!(memory_limit(&definition(serde_json::Value::Null), "web").as_deref(), Some("512"));
    }
}
