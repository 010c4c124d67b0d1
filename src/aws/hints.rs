//! What to do about a failed call: one table from kind, operation and code to sentences for people.

use std::error::Error as _;

use super::error::{AwsError, Deny, Kind, Reached, Service, Session, Source, named_in};

/// Sentences, most useful first; never empty.
#[must_use]
pub fn hints(error: &AwsError) -> Vec<String> {
    if let Some(special) = of_operation(error) {
        return special;
    }
    match error.kind() {
        Kind::NoRegion { profile } => vec![
            "set `region` in the environment's table of ship.toml, or AWS_REGION".to_owned(),
            format!(
                "looked at ship.toml and flags, AWS_REGION, AWS_DEFAULT_REGION, profile `{}`",
                profile.as_deref().unwrap_or("default")
            ),
        ],
        Kind::CaBundle { .. } => {
            vec!["AWS_CA_BUNDLE must name a readable PEM file; unset it to trust the system's certificates".to_owned()]
        }
        Kind::NoCredentials { looked } => {
            let mut hints = vec![
                "sign in with `aws sso login`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    .to_owned(),
            ];
            hints.extend(looked.iter().map(|place| format!("looked at {place}")));
            hints
        }
        Kind::CredentialsFailed { source } => unprovided(error, source),
        Kind::NoProvider { source: Source::Container } => vec![OUTSIDE.to_owned()],
        Kind::NoProvider { source: Source::Profile(_) | Source::WebIdentity } => vec![
            "check the network and HTTPS_PROXY; a sign-in is asked for at portal.sso.REGION.amazonaws.com and oidc.REGION.amazonaws.com, a role at sts.REGION.amazonaws.com, which in a network without a way out needs a VPC endpoint (com.amazonaws.REGION.sts)".to_owned(),
        ],
        Kind::NotAssigned { profile } => vec![
            format!(
                "compare `sso_account_id` and `sso_role_name` of {} with what the access portal offers you",
                profile.as_deref().map_or_else(|| "the profile".to_owned(), |profile| format!("profile `{profile}`"))
            ),
            "who runs IAM Identity Center assigns the permission set; after that `aws sso login` once more".to_owned(),
        ],
        Kind::SignInOfConsole { profile } => handed_over(profile.as_deref()),
        Kind::Expired { profile, session: Session::Sso } => {
            vec![format!("run `aws sso login{}`", flag(profile.as_deref()))]
        }
        Kind::Expired { profile, session: Session::Temporary } => vec![
            "the temporary credentials are over: fetch new ones the way these were fetched".to_owned(),
            format!("if they come from IAM Identity Center: `aws sso login{}`", flag(profile.as_deref())),
        ],
        Kind::UnknownCredentials { profile } => vec![
            format!(
                "AWS does not know this access key: check it with `aws sts get-caller-identity{}`",
                flag(profile.as_deref())
            ),
            "a key that was deactivated, or one of another partition (China, GovCloud), looks the same".to_owned(),
        ],
        Kind::BadSignature => {
            vec!["the secret access key does not belong to the access key id: set both anew, without spaces".to_owned()]
        }
        Kind::WrongRegion => vec![format!(
            "the endpoint is of another region than {}: compare the region with AWS_ENDPOINT_URL and the profile's `endpoint_url`",
            error.region().unwrap_or("?")
        )],
        Kind::NoMfaCode { .. } => without_a_code(),
        Kind::MfaSessionOver { .. } => after_a_session(),
        Kind::ClockSkew => vec![
            "this machine's clock is more than 5 minutes off: set it (`timedatectl set-ntp true`, or restart the VM)"
                .to_owned(),
        ],
        Kind::AccessDenied { action, resource, deny } => denied(action, resource.as_deref(), *deny),
        Kind::NotOffered => vec![
            "this endpoint does not offer the operation: check AWS_ENDPOINT_URL and the profile's `endpoint_url`"
                .to_owned(),
        ],
        Kind::Throttled => vec![
            "AWS limits how often this may be called, over the whole account: try again in a minute".to_owned(),
            "see what else calls the same API at the same time (other pipelines, dashboards)".to_owned(),
        ],
        Kind::Quota => vec![
            "a quota of the account is used up: raise it in Service Quotas, or remove what is not needed".to_owned(),
        ],
        Kind::NotFound => vec![of_place(error, "what was asked for is not there")],
        Kind::Conflict => vec!["something else is changing it: look again in a moment".to_owned()],
        Kind::Invalid => vec!["AWS refused the request as it is; its message says which part".to_owned()],
        Kind::Unreachable { place: Reached::Sandbox, .. } => {
            vec!["start the sandbox with `docker-ecs-ship sandbox up`".to_owned()]
        }
        Kind::Unreachable { place: Reached::Aws, .. } => vec![
            unreachable(error),
            "behind a proxy that inspects TLS, name its certificate in AWS_CA_BUNDLE".to_owned(),
        ],
        // Where packets are dropped, as in a network without a way out.
        Kind::Timeout { place: Reached::Aws, .. } => {
            vec![unreachable(error), "then run the same command again".to_owned()]
        }
        Kind::Timeout { place: Reached::Sandbox, .. } => {
            vec!["see how the sandbox does with `docker-ecs-ship sandbox status`".to_owned()]
        }
        Kind::Server => vec![
            "AWS failed on its side: see https://health.aws.amazon.com, then run the same command again".to_owned(),
        ],
        Kind::Unreadable { .. } => {
            vec!["something between here and AWS answered instead: check HTTPS_PROXY and AWS_ENDPOINT_URL".to_owned()]
        }
        Kind::Unknown => {
            vec!["look the code up in the API reference of the service; AWS Support wants the request id".to_owned()]
        }
    }
}

fn without_a_code() -> Vec<String> {
    vec![
        "there is no terminal to ask on: run it on one, or use a role that wants no code, as CI does".to_owned(),
        "for the registry of another account log in before: `docker-ecs-ship login REGISTRY` asks for the code"
            .to_owned(),
    ]
}

fn after_a_session() -> Vec<String> {
    vec![
        "run the same command again: it asks for a new code; what ECS was asked for goes on meanwhile".to_owned(),
        "a longer `duration_seconds` in the profile lasts for longer runs".to_owned(),
    ]
}

/// Whoever was to give credentials has failed; what AWS said of it is in the cause.
fn unprovided(error: &AwsError, source: &Source) -> Vec<String> {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    match source {
        Source::Profile(profile) => {
            let check = format!("check with `aws sts get-caller-identity{}`", flag(profile.as_deref()));
            match named_in(&cause) {
                Some((action, role)) if action == "sts:AssumeRole" => {
                    vec![to_assume(role.as_deref().unwrap_or("the role")), check]
                }
                Some(_) | None => vec![check],
            }
        }
        Source::WebIdentity => vec![
            "the token of AWS_WEB_IDENTITY_TOKEN_FILE is shown to STS for the role of AWS_ROLE_ARN: its issuer must be an OpenID Connect provider of that account, and the role's trust policy must name it with the token's audience and subject".to_owned(),
            "a token is good for some minutes only: the pod or the job that runs this has to write a new one".to_owned(),
        ],
        Source::Container => vec![
            "what runs this container gives its role: the task's `taskRoleArn` on ECS, a Pod Identity association on EKS, the project's role in CodeBuild".to_owned(),
            OUTSIDE.to_owned(),
        ],
    }
}

const OUTSIDE: &str =
    "outside of such a container unset AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";

fn to_assume(role: &str) -> String {
    format!("allow sts:AssumeRole on {role} for these credentials, and name them in the role's trust policy")
}

/// A name that does not resolve, a port nobody answers on: where the way is blocked depends on where one is.
fn unreachable(error: &AwsError) -> String {
    let region = error.region().unwrap_or("?");
    let services = match error.service() {
        Some(Service::Ecr) => format!("com.amazonaws.{region}.ecr.api and .ecr.dkr"),
        Some(Service::Sts) => format!("com.amazonaws.{region}.sts"),
        Some(Service::Ecs | Service::EcrPublic | Service::Elb | Service::Logs) | None => "of the service".to_owned(),
    };
    format!(
        "check that region {region} exists, the network, and HTTPS_PROXY; in a network without a way out, that it has VPC endpoints ({services})"
    )
}

/// ` --profile jobs`, for a command to copy.
fn flag(profile: Option<&str>) -> String {
    profile.map_or_else(String::new, |profile| format!(" --profile {profile}"))
}

/// The AWS CLI, which makes such profiles, gives their credentials to any program.
fn handed_over(profile: Option<&str>) -> Vec<String> {
    vec![
        format!(
            "let the AWS CLI hand it over: name a profile of its own here that has `credential_process = aws configure export-credentials{}`",
            flag(profile)
        ),
        "when it is over, `aws login` once more for the profile with `login_session`".to_owned(),
    ]
}

fn denied(action: &str, resource: Option<&str>, deny: Deny) -> Vec<String> {
    let on = resource.map_or_else(String::new, |resource| format!(" on {resource}"));
    match deny {
        Deny::Missing => vec![format!("allow the IAM action {action}{on} for these credentials")],
        Deny::Explicit => vec![format!(
            "{action}{on} is denied by a policy (often a service control policy): allowing it elsewhere does not help"
        )],
    }
}

fn of_place(error: &AwsError, what: &str) -> String {
    let region = error.region().unwrap_or("?");
    format!(
        "{what} in region {region}: check its name in ship.toml, the region and the account (`aws sts get-caller-identity`)"
    )
}

/// Rows that know more than their kind. The codes are those of the API reference of the operation.
fn of_operation(error: &AwsError) -> Option<Vec<String>> {
    let code = error.code()?;
    let message = error.message().unwrap_or_default();
    let hint = match (error.operation()?, code) {
        (_, "ClusterNotFoundException") => of_place(error, "there is no such cluster"),
        (_, "ServiceNotFoundException") => of_place(error, "there is no such service"),
        (_, "TargetGroupNotFound") => {
            "the service names a target group that was deleted: give the service another load balancer, or create it again"
                .to_owned()
        }
        (_, "RepositoryNotFoundException") => of_place(error, "there is no such ECR repository"),
        ("UpdateService", "ServiceNotActiveException") => {
            "the service was deleted or is being deleted: create it again, then deploy".to_owned()
        }
        ("UpdateService" | "CreateService", "InvalidParameterException") if message.contains("ecs-tasks.amazonaws.com") => {
            "the task's role must trust ecs-tasks.amazonaws.com, and these credentials need iam:PassRole on it".to_owned()
        }
        ("UpdateService" | "CreateService", "PlatformTaskDefinitionIncompatibilityException") => {
            "the task definition asks for what the service's platform version cannot do: compare requiresCompatibilities and runtimePlatform".to_owned()
        }
        ("RegisterTaskDefinition", "ClientException") if message.contains("Role is not valid") => {
            "taskRoleArn or executionRoleArn names a role that does not exist in this account".to_owned()
        }
        ("RegisterTaskDefinition", "ClientException") => {
            "ECS refuses the task definition; its message names the field: correct it in the definition the deploy starts from".to_owned()
        }
        ("AssumeRole", "AccessDenied") if message.contains("MultiFactorAuthentication failed") => {
            "the MFA code was wrong or used already: wait for the next one and run it again".to_owned()
        }
        ("AssumeRole", "AccessDenied") => {
            let role = match error.kind() {
                Kind::AccessDenied { resource: Some(role), .. } => role.as_str(),
                _ => "the role",
            };
            to_assume(role)
        }
        ("StopServiceDeployment", "ConflictException") => {
            "the rollout has ended already: see `docker-ecs-ship status`".to_owned()
        }
        ("GetLogEvents", "ResourceNotFoundException") => {
            "the log group or stream is not there: the container wrote nothing, or never started".to_owned()
        }
        ("CreateListener", "DuplicateListener") => "another listener has this port: set `listener_port` to a free one".to_owned(),
        _ => return None,
    };
    Some(vec![hint])
}

#[cfg(test)]
mod tests {
    use std::{error::Error, fmt::Write, path::PathBuf, str::FromStr};

    use serde_json::json;

    use super::{AwsError, Kind, hints};
    use crate::{
        aws::{
            Endpoint, Identity, Variables, connect, ecr, ecs, elb, logs,
            recorded::{Server, answer},
            sts,
        },
        config::spec::{Percentages, SandboxService},
        id::{Cluster, ServiceName, TaskDefArn},
        image::Tag,
    };

    /// The whole of what a person sees: the error, its causes, its hints.
    fn told(error: &AwsError) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(deeper) = cause {
            write!(text, "\n  cause: {deeper}").unwrap();
            cause = deeper.source();
        }
        for hint in hints(error) {
            write!(text, "\n  hint: {hint}").unwrap();
        }
        text
    }

    fn json_error(code: &str, message: &str) -> String {
        json!({"__type": code, "message": message}).to_string()
    }

    fn xml_error(code: &str, message: &str) -> String {
        format!(
            r#"<ErrorResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>5e3f0c2a-0000-4000-8000-1d2c3b4a5f60</RequestId></ErrorResponse>"#
        )
    }

    async fn call(operation: &'static str, status: u16, body: String) -> AwsError {
        let server = Server::start([(operation, answer(status, body))]).await;
        let aws = server.aws().await;
        let (cluster, service) = (Cluster::new("jobs"), ServiceName::new("api"));
        let arn = TaskDefArn::new("arn:aws:ecs:eu-west-1:111111111111:task-definition/api:42");
        let refused = match operation {
            "DescribeServices" => ecs::service(&aws, &cluster, &service).await.map(drop),
            "DescribeClusters" => ecs::clusters(&aws, &[cluster]).await.map(drop),
            "ListTasks" => ecs::view_tasks(&aws, &cluster, &service, &[]).await.map(drop),
            "UpdateService" => {
                let unchanged = Percentages::default();
                ecs::update_service(&aws, &cluster, &service, &arn, ecs::Force::No, unchanged).await.map(drop)
            }
            "RegisterTaskDefinition" => ecs::register(&aws, &json!({"family": "api"})).await.map(drop),
            "StopServiceDeployment" => ecs::stop_deployment(&aws, "arn").await,
            "GetAuthorizationToken" => ecr::token(&aws).await.map(drop),
            "DescribeImages" => ecr::image_digest(&aws, "jobs/api", &Tag::from_str("v1").unwrap()).await.map(drop),
            "CreateRepository" => ecr::create_repository(&aws, "jobs/api").await.map(drop),
            "DescribeTargetHealth" => elb::target_health(&aws, "arn").await.map(drop),
            "CreateTargetGroup" => elb::create_target_group(&aws, "api", &SandboxService::default()).await.map(drop),
            "CreateListener" => elb::create_listener(&aws, "lb", "tg", Some(80)).await.map(drop),
            "GetCallerIdentity" => sts::caller(&aws).await.map(drop),
            "GetLogEvents" => {
                let source = logs::LogSource { group: "/ecs/api".into(), stream: "api/app/1".into(), region: None };
                logs::last_lines(&aws, &source, 10).await.map(drop)
            }
            other => panic!("{other} is not in the table"),
        };
        refused.expect_err("the server refused")
    }

    /// Operation, HTTP status and body of an answer.
    type Row = (&'static str, u16, String);

    const USER: &str = "User: arn:aws:sts::111111111111:assumed-role/ship/ci is not authorized to perform";

    /// All that a person is told for each row.
    async fn told_for(rows: Vec<Row>) -> String {
        let mut text = String::new();
        for (operation, status, body) in rows {
            let told = told(&call(operation, status, body).await);
            assert!(!told.contains("FwoGZX"), "the session token is shown: {told}");
            writeln!(text, "{told}").unwrap();
        }
        text
    }

    #[tokio::test]
    async fn a_denial_names_the_action_to_allow() {
        let rows = vec![
            (
                "UpdateService",
                400,
                json_error(
                    "AccessDeniedException",
                    &format!(
                        "{USER}: ecs:UpdateService on resource: arn:aws:ecs:eu-west-1:111111111111:service/jobs/api because no identity-based policy allows the ecs:UpdateService action"
                    ),
                ),
            ),
            (
                "RegisterTaskDefinition",
                400,
                json_error(
                    "AccessDeniedException",
                    &format!(
                        "{USER}: iam:PassRole on resource: arn:aws:iam::111111111111:role/api because no identity-based policy allows the iam:PassRole action"
                    ),
                ),
            ),
            (
                "DescribeServices",
                400,
                json_error(
                    "AccessDeniedException",
                    &format!(
                        "{USER}: ecs:DescribeServices on resource: arn:aws:ecs:eu-west-1:111111111111:service/jobs/api with an explicit deny in a service control policy"
                    ),
                ),
            ),
            ("GetAuthorizationToken", 400, json_error("AccessDeniedException", "")),
            (
                "DescribeTargetHealth",
                403,
                xml_error(
                    "AccessDenied",
                    &format!(
                        "{USER}: elasticloadbalancing:DescribeTargetHealth because no identity-based policy allows the elasticloadbalancing:DescribeTargetHealth action"
                    ),
                ),
            ),
        ];
        insta::assert_snapshot!(told_for(rows).await, @r"
        ECS UpdateService: AccessDeniedException: User: arn:aws:sts::111111111111:assumed-role/ship/ci is not authorized to perform: ecs:UpdateService on resource: arn:aws:ecs:eu-west-1:111111111111:service/jobs/api because no identity-based policy allows the ecs:UpdateService action (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: allow the IAM action ecs:UpdateService on arn:aws:ecs:eu-west-1:111111111111:service/jobs/api for these credentials
        ECS RegisterTaskDefinition: AccessDeniedException: User: arn:aws:sts::111111111111:assumed-role/ship/ci is not authorized to perform: iam:PassRole on resource: arn:aws:iam::111111111111:role/api because no identity-based policy allows the iam:PassRole action (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: allow the IAM action iam:PassRole on arn:aws:iam::111111111111:role/api for these credentials
        ECS DescribeServices: AccessDeniedException: User: arn:aws:sts::111111111111:assumed-role/ship/ci is not authorized to perform: ecs:DescribeServices on resource: arn:aws:ecs:eu-west-1:111111111111:service/jobs/api with an explicit deny in a service control policy (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: ecs:DescribeServices on arn:aws:ecs:eu-west-1:111111111111:service/jobs/api is denied by a policy (often a service control policy): allowing it elsewhere does not help
        ECR GetAuthorizationToken: AccessDeniedException (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: allow the IAM action ecr:GetAuthorizationToken for these credentials
        ELB DescribeTargetHealth: AccessDenied: User: arn:aws:sts::111111111111:assumed-role/ship/ci is not authorized to perform: elasticloadbalancing:DescribeTargetHealth because no identity-based policy allows the elasticloadbalancing:DescribeTargetHealth action (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: allow the IAM action elasticloadbalancing:DescribeTargetHealth for these credentials
        ");
    }

    #[tokio::test]
    async fn a_refusal_for_who_asks_says_what_to_do() {
        let rows = vec![
            (
                "DescribeServices",
                400,
                json_error("ExpiredTokenException", "The security token included in the request is expired"),
            ),
            (
                "GetCallerIdentity",
                403,
                xml_error("ExpiredToken", "The security token included in the request is expired"),
            ),
            (
                "DescribeServices",
                400,
                json_error("UnrecognizedClientException", "The security token included in the request is invalid."),
            ),
            (
                "GetCallerIdentity",
                403,
                xml_error("InvalidClientTokenId", "The security token included in the request is invalid."),
            ),
            (
                "DescribeServices",
                400,
                json_error(
                    "InvalidSignatureException",
                    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:FwoGZXIvYXdzEB'",
                ),
            ),
            (
                "DescribeServices",
                400,
                json_error(
                    "InvalidSignatureException",
                    "Signature expired: 20261123T090000Z is now earlier than 20261123T091000Z (20261123T091500Z - 5 min.)",
                ),
            ),
        ];
        insta::assert_snapshot!(told_for(rows).await, @r"
        ECS DescribeServices: ExpiredTokenException: The security token included in the request is expired (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: the temporary credentials are over: fetch new ones the way these were fetched
          hint: if they come from IAM Identity Center: `aws sso login`
        STS GetCallerIdentity: ExpiredToken: The security token included in the request is expired (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: the temporary credentials are over: fetch new ones the way these were fetched
          hint: if they come from IAM Identity Center: `aws sso login`
        ECS DescribeServices: UnrecognizedClientException: The security token included in the request is invalid. (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: AWS does not know this access key: check it with `aws sts get-caller-identity`
          hint: a key that was deactivated, or one of another partition (China, GovCloud), looks the same
        STS GetCallerIdentity: InvalidClientTokenId: The security token included in the request is invalid. (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: AWS does not know this access key: check it with `aws sts get-caller-identity`
          hint: a key that was deactivated, or one of another partition (China, GovCloud), looks the same
        ECS DescribeServices: InvalidSignatureException: The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details. (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: the secret access key does not belong to the access key id: set both anew, without spaces
        ECS DescribeServices: InvalidSignatureException: Signature expired: 20261123T090000Z is now earlier than 20261123T091000Z (20261123T091500Z - 5 min.) (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: this machine's clock is more than 5 minutes off: set it (`timedatectl set-ntp true`, or restart the VM)
        ");
    }

    #[tokio::test]
    async fn a_refusal_for_what_is_asked_says_what_to_do() {
        let rows = vec![
            ("DescribeServices", 400, json_error("ThrottlingException", "Rate exceeded")),
            ("ListTasks", 400, json_error("ClusterNotFoundException", "Cluster not found.")),
            ("ListTasks", 400, json_error("ServiceNotFoundException", "Service not found.")),
            ("UpdateService", 400, json_error("ServiceNotFoundException", "Service not found.")),
            ("UpdateService", 400, json_error("ServiceNotActiveException", "Service was not ACTIVE.")),
            ("UpdateService", 400, json_error("ClientException", "TaskDefinition is inactive")),
            ("RegisterTaskDefinition", 400, json_error("ClientException", "Role is not valid")),
            (
                "RegisterTaskDefinition",
                400,
                json_error("ClientException", "Container.image contains invalid characters."),
            ),
            (
                "StopServiceDeployment",
                400,
                json_error("ConflictException", "The service deployment is already in a terminal state."),
            ),
            ("GetAuthorizationToken", 500, json_error("ServerException", "Internal failure")),
            (
                "CreateRepository",
                400,
                json_error(
                    "LimitExceededException",
                    "The operation failed because it exceeded the limit of repositories",
                ),
            ),
            (
                "CreateTargetGroup",
                400,
                xml_error("TooManyTargetGroups", "The maximum number of target groups has been reached"),
            ),
            ("DescribeTargetHealth", 400, xml_error("TargetGroupNotFound", "One or more target groups not found")),
            ("GetLogEvents", 400, json_error("ResourceNotFoundException", "The specified log stream does not exist.")),
            ("DescribeImages", 400, json_error("InvalidParameterException", "Invalid parameter at 'imageTag'")),
            ("DescribeClusters", 503, "<html><title>Bad gateway</title></html>".to_owned()),
            ("DescribeClusters", 400, json_error("BrandNewException", "never seen before")),
            ("StopServiceDeployment", 400, json_error("UnknownOperationException", "")),
        ];
        insta::assert_snapshot!(told_for(rows).await, @r"
        ECS DescribeServices: ThrottlingException: Rate exceeded (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: AWS limits how often this may be called, over the whole account: try again in a minute
          hint: see what else calls the same API at the same time (other pipelines, dashboards)
        ECS ListTasks: ClusterNotFoundException: Cluster not found. (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: there is no such cluster in region eu-west-1: check its name in ship.toml, the region and the account (`aws sts get-caller-identity`)
        ECS ListTasks: ServiceNotFoundException: Service not found. (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: there is no such service in region eu-west-1: check its name in ship.toml, the region and the account (`aws sts get-caller-identity`)
        ECS UpdateService: ServiceNotFoundException: Service not found. (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: there is no such service in region eu-west-1: check its name in ship.toml, the region and the account (`aws sts get-caller-identity`)
        ECS UpdateService: ServiceNotActiveException: Service was not ACTIVE. (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: the service was deleted or is being deleted: create it again, then deploy
        ECS UpdateService: ClientException: TaskDefinition is inactive (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: AWS refused the request as it is; its message says which part
        ECS RegisterTaskDefinition: ClientException: Role is not valid (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: taskRoleArn or executionRoleArn names a role that does not exist in this account
        ECS RegisterTaskDefinition: ClientException: Container.image contains invalid characters. (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: ECS refuses the task definition; its message names the field: correct it in the definition the deploy starts from
        ECS StopServiceDeployment: ConflictException: The service deployment is already in a terminal state. (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: the rollout has ended already: see `docker-ecs-ship status`
        ECR GetAuthorizationToken: ServerException: Internal failure (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: AWS failed on its side: see https://health.aws.amazon.com, then run the same command again
        ECR CreateRepository: LimitExceededException: The operation failed because it exceeded the limit of repositories (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: a quota of the account is used up: raise it in Service Quotas, or remove what is not needed
        ELB CreateTargetGroup: TooManyTargetGroups: The maximum number of target groups has been reached (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: a quota of the account is used up: raise it in Service Quotas, or remove what is not needed
        ELB DescribeTargetHealth: TargetGroupNotFound: One or more target groups not found (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: the service names a target group that was deleted: give the service another load balancer, or create it again
        CloudWatch Logs GetLogEvents: ResourceNotFoundException: The specified log stream does not exist. (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: the log group or stream is not there: the container wrote nothing, or never started
        ECR DescribeImages: InvalidParameterException: Invalid parameter at 'imageTag' (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: AWS refused the request as it is; its message says which part
        ECS DescribeClusters: the answer (HTTP 503) is not one of the API's (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: something between here and AWS answered instead: check HTTPS_PROXY and AWS_ENDPOINT_URL
        ECS DescribeClusters: BrandNewException: never seen before (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: look the code up in the API reference of the service; AWS Support wants the request id
        ECS StopServiceDeployment: UnknownOperationException (request id 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60)
          hint: this endpoint does not offer the operation: check AWS_ENDPOINT_URL and the profile's `endpoint_url`
        ");
    }

    #[tokio::test]
    async fn a_sandbox_that_is_not_there_is_said_to_be_down() {
        // A port that was free a moment ago and that nobody listens on.
        let url = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}", listener.local_addr().unwrap())
        };
        let aws = connect(&Endpoint::At { url: url.clone() }, &Identity::default()).await.unwrap();
        let (progress, mut waits) = tokio::sync::mpsc::channel(8);
        let error = sts::caller(&aws.telling(progress)).await.unwrap_err();
        // At once: waiting does not start a sandbox.
        assert_eq!(waits.recv().await, None);
        assert!(matches!(error.kind(), Kind::Unreachable { .. }), "{error:?}");
        insta::assert_snapshot!(told(&error).replace(&url, "http://127.0.0.1:PORT"), @r"
        STS GetCallerIdentity: cannot reach http://127.0.0.1:PORT
          cause: Connection refused (os error 111)
          hint: start the sandbox with `docker-ecs-ship sandbox up`
        ");
    }

    #[tokio::test]
    async fn without_a_region_nothing_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let identity =
            Identity { profile: Some(format!("no-such-profile-{}", folder.path().display())), ..Identity::default() };
        let error = connect(&Endpoint::Aws, &identity).await.unwrap_err();
        assert!(matches!(error.kind(), Kind::NoRegion { .. }), "{error:?}");
        assert_eq!(error.to_string(), "no AWS region is set");
        assert!(hints(&error)[0].contains("AWS_REGION"));
    }

    #[tokio::test]
    async fn a_broken_ca_bundle_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "not a certificate").unwrap();
        for path in [PathBuf::from("/no/such/bundle.pem"), empty] {
            let variables = Variables { ca_bundle: Some(path.clone()), ..Variables::default() };
            let identity = Identity { region: Some("eu-west-1".to_owned()), variables, ..Identity::default() };
            let error = connect(&Endpoint::Aws, &identity).await.unwrap_err();
            assert_eq!(*error.kind(), Kind::CaBundle { path });
            assert!(error.source().is_some());
        }
    }
}
