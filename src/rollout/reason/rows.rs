//! The table of reasons: which words of ECS mean what, how much they prove, and what to do.
//!
//! The rows are ECS's own, from its developer guide ("stopped tasks error codes", "task cannot pull image", "resource
//! initialization error", "service event messages"), from the source of its agent, and from texts that people published
//! from their accounts. Every alternative here is shown by such a text in the tests: one that no text shows is an
//! invention.

use super::Class;

/// One row: if all fragments of any alternative are in the text, this is why.
pub(super) struct Row {
    pub(super) any: &'static [&'static [&'static str]],
    pub(super) class: Class,
    pub(super) words: &'static str,
}

/// In the order of precedence: a pull that failed for want of a route also says `failed to resolve ref`, and a secret
/// that could not be read because calls were slowed down says `unable to retrieve secret`. Fragments are lower case.
pub(super) const ROWS: &[Row] = &[
    Row {
        any: &[&["scaling activity initiated by"]],
        class: Class::Noise,
        words: "ECS replaced it in the course of a rollout or a scaling: this is no failure",
    },
    Row {
        any: &[
            &["spot task was interrupted"],
            &["spotinterruptionerror"],
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
        any: &[&["toomanyrequests"]],
        class: Class::Noise,
        words: "the registry allows no more pulls for now: use a pull-through cache or log in to it",
    },
    // Before all that says what could not be read: throttled is not missing.
    Row {
        any: &[&["throttlingexception"], &["rate exceeded"], &["operations are being throttled"]],
        class: Class::Noise,
        words: "AWS slowed the account down: ECS tries again",
    },
    Row {
        any: &[&["unable to assume the role"]],
        class: Class::Deterministic,
        words: "ECS may not assume the role of the task: its trust policy must name ecs-tasks.amazonaws.com, the role must exist, and whoever deploys needs iam:PassRole for it",
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
    // Before secrets, parameters and log groups, which are said to be missing where there is only no way to them.
    Row {
        any: &[
            &["there is a connection issue between the task and"],
            &["i/o timeout"],
            &["dial tcp"],
            &["tls handshake timeout"],
            &["request canceled while waiting for connection"],
            &["context deadline exceeded"],
        ],
        class: Class::NeedsTwo,
        words: "the task has no way to the AWS services it needs: check NAT, public IP or the VPC endpoints (ecr.api, ecr.dkr, s3, logs, secretsmanager, ssm)",
    },
    // Secrets before pulls: `unable to pull secrets or registry auth` names both.
    Row {
        any: &[
            &["not authorized to perform", "secretsmanager:"],
            &["not authorized to perform", "kms:decrypt"],
            &["access to kms is not allowed"],
        ],
        class: Class::Deterministic,
        words: "the execution role may not read a secret: it needs secretsmanager:GetSecretValue (and kms:Decrypt for a key of your own)",
    },
    Row {
        any: &[&["not authorized to perform", "ssm:"]],
        class: Class::Deterministic,
        words: "the execution role may not read a parameter: it needs ssm:GetParameters (and kms:Decrypt for a key of your own)",
    },
    Row {
        any: &[
            &["pull access denied"],
            &["cannotpull", "403 forbidden"],
            &["cannotpullcontainerautherror"],
            &["not authorized to perform", "ecr:"],
            &["cannotpull", "no basic auth credentials"],
        ],
        class: Class::Deterministic,
        words: "the image may not be pulled: the execution role needs ecr:GetAuthorizationToken, ecr:BatchGetImage and ecr:GetDownloadUrlForLayer, or the repository does not exist",
    },
    Row {
        any: &[&["no space left on device"]],
        class: Class::NeedsTwo,
        words: "the disk of the task is full: raise `ephemeralStorage` or make the image smaller",
    },
    Row {
        any: &[&["did not contain json key"]],
        class: Class::Deterministic,
        words: "a secret has no such key in its JSON: add it to the secret, or mend `valueFrom` in `secrets` of the task definition",
    },
    Row {
        any: &[&["can't retrieve the secret"], &["unable to retrieve secret from asm", "resourcenotfoundexception"]],
        class: Class::Deterministic,
        words: "a secret does not exist in this region or has no value AWSCURRENT: check `secrets` of the task definition",
    },
    Row {
        any: &[&["from ssm", "invalid parameters"], &["invalid ssm parameters"]],
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
        words: "the log driver could not start: create the log group, or set `awslogs-create-group` and allow logs:CreateLogGroup; the execution role needs logs:CreateLogStream and logs:PutLogEvents",
    },
    Row {
        any: &[&["failed to download env files"]],
        class: Class::NeedsTwo,
        words: "an environment file could not be read from S3: check the bucket and its policy; the execution role needs s3:GetObject and s3:GetBucketLocation",
    },
    Row {
        any: &[&["efs utils"], &["mount.nfs"]],
        class: Class::NeedsTwo,
        words: "an EFS volume could not be mounted: check its mount targets, security groups and file system policy; with IAM the task role needs elasticfilesystem:ClientMount",
    },
    Row {
        any: &[&["failed to resolve ref"], &["cannotpull", "not found"], &["cannotpull", "manifest unknown"]],
        class: Class::Deterministic,
        words: "the image is not in the registry: the tag or digest was never pushed, or a lifecycle policy removed it",
    },
    Row {
        any: &[
            &["insufficientfreeaddressesinsubnet"],
            &["network interface provisioning"],
            &["create network interface"],
            &["attach network interface"],
            &["failed to configure eni"],
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
            &["reached the limit on the number"],
            &["was unable to place a task. reason: internal error"],
        ],
        class: Class::Noise,
        words: "AWS had no room for it, or the account has reached a quota (Service Quotas: Fargate tasks and vCPUs): ECS tries again",
    },
    // What the closest instance lacks, before that none fits.
    Row {
        any: &[&["encountered error \"agent\""]],
        class: Class::Noise,
        words: "the agent of the closest container instance is not connected: look at that instance",
    },
    Row {
        any: &[&["missing an attribute required by your task"]],
        class: Class::Noise,
        words: "no instance of the cluster has an attribute that the task asks for: compare `requiresAttributes` and `runtimePlatform` of the task definition with the instances",
    },
    Row {
        any: &[&["no container instance met all of its requirements"], &["no container instances were found"]],
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
        any: &[&["not compatible with the selected compute strategy"]],
        class: Class::NeedsTwo,
        words: "the task definition does not fit what the service runs on: compare its `requiresCompatibilities` with the service's launch type or capacity provider",
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
        any: &[&["cannotcreatevolumeerror"]],
        class: Class::NeedsTwo,
        words: "a volume of the task could not be made: check `volumes` and `mountPoints` of the task definition",
    },
    Row {
        any: &[
            &["cannotcreatecontainererror"],
            &["cannotstartcontainererror"],
            &["containerruntimeerror"],
            &["containerruntimetimeouterror"],
            &["dockertimeouterror"],
        ],
        class: Class::NeedsTwo,
        words: "the container could not be made or started by its runtime: look at its own reason, at `volumes`, `entryPoint` and `command`, and at the space and load of the host",
    },
    Row {
        any: &[
            &["internalerror"],
            &["containervanishederror"],
            &["cannotinspectcontainererror"],
            &["cannotstopcontainererror"],
            &["containernetworkingerror"],
        ],
        class: Class::Noise,
        words: "ECS or its agent failed: ECS starts another",
    },
    // The rest of what goes wrong before a container is made.
    Row {
        any: &[&["unable to pull secrets or registry auth"], &["resourceinitializationerror"]],
        class: Class::NeedsTwo,
        words: "what the task needs before it starts could not be set up: check its execution role, `secrets` and network",
    },
    Row {
        any: &[&["cannotpull"]],
        class: Class::NeedsTwo,
        words: "the image could not be pulled: check its name, the registry and the way to it",
    },
];
