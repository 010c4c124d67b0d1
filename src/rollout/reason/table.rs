//! Texts of AWS, row by row, with what they must be understood as. They are quoted here on their own, from the
//! developer guide, from the agent's source and from what people published of their accounts; account and ids are
//! replaced. `super::rows` must not be the only place that knows them.

use crate::{
    id::TaskDefArn,
    rollout::view::{ContainerView, TaskView},
};

/// Who is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rollout) enum Group {
    Ours,
    Noise,
}

/// After which task of its kind a rollout is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rollout) enum Acts {
    First,
    Second,
    Never,
}

/// Where ECS says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rollout) enum Told {
    /// `stopCode`, `stoppedReason`, the exit code of the container and its `reason`.
    Task(&'static str, &'static str, Option<i64>, &'static str),
    /// What follows `(service web) `.
    Event(&'static str),
    /// The last line of the container's log.
    Log(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub(in crate::rollout) struct Quoted {
    pub(in crate::rollout) told: Told,
    pub(in crate::rollout) group: Group,
    pub(in crate::rollout) acts: Acts,
    /// Is said of it, IAM actions among them.
    pub(in crate::rollout) words: &'static [&'static str],
}

const fn ours(acts: Acts, words: &'static [&'static str], told: Told) -> Quoted {
    Quoted { told, group: Group::Ours, acts, words }
}

const fn noise(words: &'static [&'static str], told: Told) -> Quoted {
    Quoted { told, group: Group::Noise, acts: Acts::Never, words }
}

const fn failed(stopped_reason: &'static str) -> Told {
    Told::Task("TaskFailedToStart", stopped_reason, None, "")
}

const fn exited(code: i64, reason: &'static str) -> Told {
    Told::Task("EssentialContainerExited", "Essential container in task exited", Some(code), reason)
}

const fn container(reason: &'static str) -> Told {
    Told::Task("TaskFailedToStart", "Task failed to start", None, reason)
}

impl Told {
    /// All of it.
    pub(in crate::rollout) fn text(self) -> String {
        match self {
            Self::Task(_, stopped_reason, _, "") => stopped_reason.to_owned(),
            Self::Task(_, stopped_reason, _, reason) => format!("{stopped_reason}\n{reason}"),
            Self::Event(text) => format!("(service web) {text}"),
            Self::Log(text) => text.to_owned(),
        }
    }

    /// A task of `web:42` that ended so, after three and a half seconds.
    pub(in crate::rollout) fn task(self, id: &str) -> Option<TaskView> {
        let Self::Task(stop_code, stopped_reason, exit_code, reason) = self else { return None };
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some(TaskView {
            id: id.to_owned(),
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
                reason: some(reason),
                health: None,
            }],
            addresses: Vec::new(),
        })
    }
}

use Acts::{First, Second};

/// In the order of the guide's pages: replacement, exits, platform, health, pulls, resources, placement, hosts, people.
#[rustfmt::skip]
pub(in crate::rollout) const TABLE: &[Quoted] = &[
    // -- replacement by the scheduler is no failure
    noise(&["this is no failure"], Told::Task("ServiceSchedulerInitiated", "Scaling activity initiated by (deployment ecs-svc/0123456789012345678)", Some(143), "")),
    noise(&["this is no failure"], Told::Task("ServiceSchedulerInitiated", "Scaling activity initiated by (deployment ecs-svc/0123456789012345678)", None, "")),
    // -- the process ended
    ours(Second, &["web exited (1) after 3 s", "its last log lines say why"], exited(1, "")),
    ours(Second, &["web finished after 3 s with exit code 0", "keeps running"], exited(0, "")),
    ours(Second, &["it ran out of memory", "`memory`"], exited(137, "OutOfMemoryError: Container killed due to memory usage")),
    ours(Second, &["it ran out of memory"], exited(137, "OutOfMemory: container killed due to high memory usage")),
    ours(Second, &["web was killed", "137, SIGKILL", "`stopTimeout`"], exited(137, "")),
    ours(Second, &["web crashed", "139, SIGSEGV"], exited(139, "")),
    ours(Second, &["web aborted", "134, SIGABRT"], exited(134, "")),
    ours(Second, &["web was ended", "by SIGTERM (143)"], exited(143, "")),
    ours(First, &["web exited (126)", "not executable"], exited(126, "")),
    ours(First, &["web exited (127)", "not found in the image"], exited(127, "")),
    // -- another processor
    ours(First, &["another CPU", "`runtimePlatform`"], Told::Log("exec /usr/local/bin/docker-entrypoint.sh: exec format error")),
    ours(First, &["another CPU", "`runtimePlatform`"], failed("CannotPullContainerError: pull image manifest has been retried 7 time(s): image Manifest does not contain descriptor matching platform 'linux/amd64'")),
    // -- health
    ours(Second, &["the load balancer found it unhealthy", "path, port, matcher"], Told::Task("ServiceSchedulerInitiated", "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/web/0123456789abcdef)", Some(143), "")),
    ours(Second, &["the container's own `healthCheck` command failed", "`startPeriod`"], Told::Task("ServiceSchedulerInitiated", "Task failed container health checks", Some(143), "")),
    ours(Second, &["the load balancer found it unhealthy"], Told::Event("(task 0123456789abcdef0123456789abcdef) (port 8080) is unhealthy in (target-group arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/web/0123456789abcdef) due to (reason Health checks failed with these codes: [503]).")),
    ours(Second, &["the load balancer found it unhealthy"], Told::Event("(instance i-0123456789abcdef0) (port 32768) is unhealthy in (target-group arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/web/0123456789abcdef) due to (reason Request timed out).")),
    ours(Second, &["`healthCheck` command failed"], Told::Event("(task 0123456789abcdef0123456789abcdef) failed container health checks.")),
    // -- pulls: what is not there
    ours(First, &["not in the registry", "lifecycle policy"], failed("CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref 111111111111.dkr.ecr.us-east-1.amazonaws.com/shop/web:34683c0: not found")),
    ours(First, &["not in the registry"], failed("CannotPullContainerError: Error response from daemon: manifest for web:nope not found: manifest unknown: Requested image not found")),
    ours(First, &["not in the registry"], Told::Event("was unable to place a task. Reason: CannotPullContainerError: ref pull has been retried 1 time(s): failed to resolve ref 111111111111.dkr.ecr.eu-west-1.amazonaws.com/web:nope: not found.")),
    // -- pulls: what may not be pulled
    ours(First, &["ecr:GetAuthorizationToken, ecr:BatchGetImage and ecr:GetDownloadUrlForLayer"], failed("CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref docker.io/library/web:latest: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed")),
    ours(First, &["ecr:BatchGetImage"], container("CannotPullContainerError: Error response from daemon: pull access denied for web, repository does not exist or may require 'docker login'")),
    ours(First, &["ecr:BatchGetImage"], failed("CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref 111111111111.dkr.ecr.us-east-1.amazonaws.com/web:1: pulling from host 111111111111.dkr.ecr.us-east-1.amazonaws.com failed with status code [manifests 1]: 403 Forbidden")),
    ours(First, &["ecr:GetAuthorizationToken", "role ecsTaskExecutionRole lacks ecr:GetAuthorizationToken"], failed("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 1 time(s): AccessDeniedException: User: arn:aws:sts::111111111111:assumed-role/ecsTaskExecutionRole/0123456789abcdef is not authorized to perform: ecr:GetAuthorizationToken on resource: * because no identity-based policy allows the ecr:GetAuthorizationToken action")),
    ours(First, &["ecr:BatchGetImage"], container("CannotPullContainerError: Error response from daemon: Get https://111111111111.dkr.ecr.eu-west-1.amazonaws.com/v2/web/manifests/1: no basic auth credentials")),
    ours(First, &["ecr:GetAuthorizationToken"], container("CannotPullContainerAuthError: engine docker private registry credentials: not found")),
    // -- pulls: no way
    ours(Second, &["NAT", "VPC endpoints (ecr.api, ecr.dkr, s3"], failed("CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref docker.io/tryretool/backend:2.110.5: failed to do request: Head \"https://registry-1.docker.io/v2/tryretool/backend/manifests/2.110.5\": dial tcp 34.205.13.154:443: i/o timeout")),
    ours(Second, &["NAT"], failed("CannotPullContainerError: Error response from daemon: Get https://111111111111.dkr.ecr.us-east-1.amazonaws.com/v2/: net/http: TLS handshake timeout")),
    ours(Second, &["NAT"], failed("CannotPullContainerError: Error response from daemon: Get https://111111111111.dkr.ecr.us-east-1.amazonaws.com/v2/: net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)")),
    ours(Second, &["NAT"], failed("CannotPullContainerError: context deadline exceeded")),
    ours(Second, &["NAT"], failed("ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. operation error ECR: GetAuthorizationToken, exceeded maximum number of attempts, 3, https response error StatusCode: 0, RequestID: , request send failed")),
    // -- pulls: S3
    ours(Second, &["fetched from S3", "gateway endpoint"], failed("CannotPullContainerError: failed to copy: httpReaderSeeker: failed open: unexpected status code https://prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com/x: 403 Forbidden")),
    ours(Second, &["fetched from S3", "gateway endpoint"], failed("CannotPullContainerError: failed to copy: httpReadSeeker: failed open: unexpected status code 403 Forbidden")),
    ours(Second, &["fetched from S3"], failed("CannotPullContainerError: panic: runtime error: invalid memory address or nil pointer dereference")),
    // -- pulls: the rest
    noise(&["no more pulls", "pull-through cache"], failed("CannotPullContainerError: inspect image has been retried 5 time(s): httpReaderSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/library/redis/manifests/7: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.")),
    ours(Second, &["the disk of the task is full", "`ephemeralStorage`"], failed("CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to copy: failed to send write: write /var/lib/containerd/io.containerd.content.v1.content/ingest/x/data: no space left on device")),
    ours(Second, &["the image could not be pulled"], container("CannotPullImageManifestError: Error response from daemon: unexpected end of JSON input")),
    ours(Second, &["the image could not be pulled"], container("CannotPullECRContainerError: AuthorizationData is malformed")),
    // -- secrets
    ours(First, &["secretsmanager:GetSecretValue", "role ecsTaskExecutionRole lacks secretsmanager:GetSecretValue"], failed("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret arn:aws:secretsmanager:eu-west-1:111111111111:secret:db from secrets manager: AccessDeniedException: User: arn:aws:sts::111111111111:assumed-role/ecsTaskExecutionRole/0123456789abcdef is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:eu-west-1:111111111111:secret:db because no identity-based policy allows the secretsmanager:GetSecretValue action")),
    ours(First, &["kms:Decrypt", "role r lacks kms:Decrypt"], failed("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: AccessDeniedException: User: arn:aws:sts::111111111111:assumed-role/r/0123456789abcdef is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:eu-west-1:111111111111:key/x")),
    ours(First, &["kms:Decrypt"], failed("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret from secrets manager: AccessDeniedException: Access to KMS is not allowed")),
    ours(First, &["a secret does not exist", "AWSCURRENT"], failed("ResourceInitializationError: unable to pull secrets or registry auth: The task can't retrieve the secret with ARN 'arn:aws:secretsmanager:eu-west-1:111111111111:secret:db' from AWS Secrets Manager. Check whether the secret exists in the specified Region.")),
    ours(First, &["a secret does not exist", "AWSCURRENT"], failed("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret arn:aws:secretsmanager:eu-west-1:111111111111:secret:db from secrets manager: ResourceNotFoundException: Secrets Manager can't find the specified secret.")),
    ours(First, &["no such key in its JSON", "`valueFrom`"], failed("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): retrieved secret from Secrets Manager did not contain json key MY_SECRET")),
    ours(Second, &["NAT", "secretsmanager"], failed("ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: There is a connection issue between the task and AWS Secrets Manager. Check your task network configuration. failed to fetch secret")),
    noise(&["slowed the account down"], failed("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 5 time(s): ThrottlingException: Rate exceeded")),
    ours(Second, &["could not be set up", "execution role"], failed("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): InternalServiceError: An error occurred on the server side.")),
    // -- parameters
    ours(First, &["an SSM parameter does not exist"], failed("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid ssm parameters: /shop/web/key")),
    ours(First, &["an SSM parameter does not exist"], failed("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid parameters: /shop/web/key")),
    ours(First, &["ssm:GetParameters", "role ecsTaskExecutionRole lacks ssm:GetParameters"], failed("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secrets from ssm: service call has been retried 1 time(s): AccessDeniedException: User: arn:aws:sts::111111111111:assumed-role/ecsTaskExecutionRole/0123456789abcdef is not authorized to perform: ssm:GetParameters on resource: arn:aws:ssm:eu-west-1:111111111111:parameter/shop/web/key")),
    ours(Second, &["NAT", "ssm"], failed("ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secrets from ssm: The task cannot pull secrets from AWS Systems Manager. There is a connection issue between the task and AWS Systems Manager Parameter Store. Check your task network configuration. RequestCanceled: request context canceled caused by: context deadline exceeded")),
    // -- logs
    ours(First, &["create the log group", "logs:CreateLogGroup"], failed("ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1")),
    ours(First, &["logs:CreateLogStream", "role web-execution lacks logs:CreateLogStream"], failed("ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: AccessDeniedException: User: arn:aws:sts::111111111111:assumed-role/web-execution/0123456789abcdef is not authorized to perform: logs:CreateLogStream on resource: arn:aws:logs:eu-west-1:111111111111:log-group:web:log-stream:web/web/0123456789abcdef")),
    ours(First, &["the log driver could not start"], failed("ResourceInitializationError: failed to initialize logging driver: failed to create Cloudwatch log group: InvalidParameterException")),
    ours(First, &["create the log group"], container("CannotStartContainerError: Error response from daemon: failed to create task for container: failed to initialize logging driver: failed to create Cloudwatch log stream: operation error CloudWatch Logs: CreateLogStream, https response error StatusCode: 400, api error ResourceNotFoundException: The specified log group does not exist.")),
    ours(Second, &["NAT", "logs"], failed("ResourceInitializationError: failed to validate logger args: The task cannot find the Amazon CloudWatch log group defined in the task definition. There is a connection issue between the task and Amazon CloudWatch. Check your network configuration. signal: killed")),
    // -- files and volumes
    ours(Second, &["an environment file", "s3:GetObject"], failed("ResourceInitializationError: failed to download env files: service call has been retried 1 time(s): operation error S3: HeadObject, https response error StatusCode: 403, api error Forbidden: Forbidden")),
    ours(Second, &["NAT", "s3"], failed("ResourceInitializationError: failed to download env files: file download command: non-empty error stream: RequestCanceled: request context cancelled caused by: context deadline exceeded")),
    ours(Second, &["an EFS volume", "elasticfilesystem:ClientMount"], failed("ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: Failed to resolve \"fs-0123456789abcdef0.efs.us-east-1.amazonaws.com\" - check that your file system ID is correct, and ensure that the VPC has an EFS mount target for this file system ID.")),
    ours(Second, &["an EFS volume"], failed("ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: Mount attempt 1/3 failed due to timeout after 15 sec, wait 0 sec before next attempt. b'mount.nfs4: mount system call failed'")),
    ours(Second, &["a volume of the task could not be made"], container("CannotCreateVolumeError: Error response from daemon: create data: volume driver not found")),
    // -- the container and its runtime
    ours(First, &["the container's command cannot be run"], container("CannotStartContainerError: Error response from daemon: OCI runtime create failed: runc create failed: unable to start container process: exec: \"app\": executable file not found in $PATH: unknown")),
    ours(First, &["the container's command cannot be run"], container("CannotStartContainerError: Error response from daemon: failed to create task for container: exec: \"/nope\": stat /nope: no such file or directory: unknown")),
    ours(First, &["the container's command cannot be run"], container("CannotStartContainerError: Error response from daemon: OCI runtime create failed: exec: \"/app/start\": permission denied: unknown")),
    ours(Second, &["made or started by its runtime"], container("CannotStartContainerError: failed to get container status: bad response")),
    ours(Second, &["made or started by its runtime"], container("CannotCreateContainerError: API error (500): devmapper: Thin Pool has 4350 free data blocks which is less than minimum required 4454 free data blocks")),
    ours(Second, &["made or started by its runtime"], container("ContainerRuntimeTimeoutError: Could not transition to running; timed out after waiting 3m0s")),
    ours(Second, &["made or started by its runtime"], container("ContainerRuntimeError: failed to create container runtime task")),
    ours(Second, &["made or started by its runtime"], container("DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s")),
    noise(&["ECS or its agent failed"], container("CannotStopContainerError: failed sending SIGTERM to container: context canceled")),
    noise(&["ECS or its agent failed"], container("CannotInspectContainerError: Could not transition to inspecting")),
    noise(&["ECS or its agent failed"], container("ContainerVanishedError: No container matching saved ID found")),
    noise(&["ECS or its agent failed"], container("ContainerNetworkingError: failed to get network metadata")),
    // -- a task that could not be started
    noise(&["no network interface", "free addresses"], failed("Unexpected EC2 error while attempting to Create Network Interface with public IP assignment enabled in subnet 'subnet-0123456789abcdef0': InsufficientFreeAddressesInSubnet")),
    noise(&["no network interface"], failed("Unable to attach network interface to unused device index")),
    noise(&["no network interface"], failed("Timeout waiting for network interface provisioning to complete.")),
    noise(&["no network interface"], failed("ResourceInitializationError: failed to configure ENI: failed to setup regular eni: netplugin failed with no error message")),
    noise(&["no network interface"], Told::Event("was unable to place a task. Reason: RESOURCE:ENI.")),
    ours(Second, &["`requiresCompatibilities`"], failed("The selected task definition is not compatible with the selected compute strategy")),
    noise(&["the agent"], failed("AGENT")),
    noise(&["ECS or its agent failed"], failed("InternalError: unable to create container")),
    ours(Second, &["could not be set up"], failed("ResourceInitializationError: failed to create new container runtime task")),
    // -- placement
    noise(&["the cluster has no room for it", "CPU, memory, ports or attributes"], Told::Event("was unable to place a task because no container instance met all of its requirements. The closest matching container-instance 0123456789abcdef has insufficient CPU units available.")),
    noise(&["the cluster has no room for it"], Told::Event("was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance 0123456789abcdef) has insufficient memory available.")),
    noise(&["the agent of the closest container instance"], Told::Event("was unable to place a task because no container instance met all of its requirements. The closest matching container-instance 0123456789abcdef encountered error \"AGENT\".")),
    noise(&["`requiresAttributes`"], Told::Event("was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance 0123456789abcdef) is missing an attribute required by your task.")),
    noise(&["the cluster has no room for it"], Told::Event("was unable to reach steady state. Reason: No Container Instances were found in your capacity provider.")),
    noise(&["no room for it", "quota"], Told::Event("was unable to place a task. Reason: You've reached the limit on the number of vCPUs you can run concurrently.")),
    noise(&["no room for it", "quota"], Told::Event("was unable to place a task. Reason: You've reached the limit on the number of tasks you can run concurrently.")),
    noise(&["no room for it"], Told::Event("was unable to place a task. Reason: Capacity is unavailable at this time. Please try again later or in a different availability zone.")),
    noise(&["no room for it"], Told::Event("was unable to place a task. Reason: Internal error.")),
    noise(&["no room for it"], failed("RESOURCE:CPU")),
    noise(&["no room for it"], failed("RESOURCE:MEMORY")),
    noise(&["no room for it"], failed("RESOURCE:GPU")),
    noise(&["no room for it"], failed("RESOURCE:PORTS")),
    noise(&["slowed the account down"], Told::Event("operations are being throttled. Will try again later.")),
    noise(&["less and less often"], Told::Event("is unable to consistently start tasks successfully.")),
    // -- roles and settings
    ours(First, &["may not assume the role", "ecs-tasks.amazonaws.com", "iam:PassRole"], Told::Event("failed to launch a task with (error ECS was unable to assume the role 'arn:aws:iam::111111111111:role/web' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role.).")),
    ours(First, &["may not assume the role"], failed("ECS was unable to assume the role 'arn:aws:iam::111111111111:role/web' that was provided for this task.")),
    ours(First, &["`maximum_percent`", "`minimum_healthy_percent`"], Told::Event("was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.")),
    noise(&["protected from scale-in"], Told::Event("was unable to reach steady state because (taskSet ecs-svc/0123456789012345678) was unable to scale in due to (reason 2 tasks under protection)")),
    ours(First, &["role r lacks newservice:Thing"], failed("something new: User: arn:aws:sts::111111111111:assumed-role/r/x is not authorized to perform: newservice:Thing on resource: y")),
    // -- hosts
    noise(&["its host was taken away"], Told::Task("SpotInterruption", "Your Spot Task was interrupted.", None, "")),
    noise(&["its host was taken away"], Told::Task("TerminationNotice", "Your Spot Task was interrupted.", Some(137), "")),
    noise(&["its host was taken away"], Told::Task("SpotInterruption", "", None, "")),
    noise(&["its host was taken away"], Told::Task("TerminationNotice", "", Some(143), "")),
    noise(&["its host was taken away"], Told::Task("TaskFailedToStart", "SpotInterruptionError: Spot instance was reclaimed", None, "")),
    noise(&["its host was taken away"], Told::Task("", "Host EC2 (instance i-0123456789abcdef0) stopped.", Some(137), "")),
    noise(&["its host was taken away"], Told::Task("", "Host EC2 (instance i-0123456789abcdef0) terminated.", Some(137), "")),
    // -- people
    noise(&["somebody stopped it"], Told::Task("UserInitiated", "Task stopped by user", Some(143), "")),
    noise(&["somebody stopped it"], Told::Task("UserInitiated", "looking for something", Some(143), "")),
    noise(&["somebody stopped it"], Told::Task("ServiceSchedulerInitiated", "Container instance deregistration forced by user", Some(137), "")),
    noise(&["somebody stopped it"], Told::Task("ServiceSchedulerInitiated", "Service was deleted", Some(143), "")),
    // -- what nobody has seen yet
    ours(Second, &["ECS says: A sentence nobody has seen yet"], Told::Task("NewCode", "A sentence nobody has seen yet", None, "")),
    ours(Second, &["ECS says: NewCode"], Told::Task("NewCode", "", None, "")),
    ours(Second, &["ECS gave no reason"], Told::Task("", "", None, "")),
];
