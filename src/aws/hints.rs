//! What to do about a failed call: one table from kind, operation and code to sentences for people.

use super::error::{AwsError, Deny, Kind, Reached, Session};

/// Sentences, most useful first; never empty.
#[must_use]
pub fn hints(error: &AwsError) -> Vec<String> {
    if let Some(special) = of_operation(error) {
        return special;
    }
    match error.kind() {
        Kind::NoRegion { profile } => vec![
            "set `region` in the environment's table of ship.toml, or AWS_REGION".to_owned(),
            format!("looked at: ship.toml and flags, AWS_REGION, AWS_DEFAULT_REGION, profile `{profile}`"),
        ],
        Kind::CaBundle { .. } => {
            vec!["AWS_CA_BUNDLE must name a readable PEM file; unset it to trust the system's certificates".to_owned()]
        }
        Kind::NoCredentials { looked } => {
            let mut hints = vec![
                "sign in with `aws sso login`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned(),
            ];
            hints.extend(looked.iter().map(|place| format!("looked at {place}")));
            hints
        }
        Kind::CredentialsFailed { profile } => {
            vec![format!("check with `aws sts get-caller-identity --profile {profile}`")]
        }
        Kind::Expired { profile, session: Session::Sso } => vec![format!("run `aws sso login --profile {profile}`")],
        Kind::Expired { profile, session: Session::Temporary } => vec![
            "the temporary credentials are over: fetch new ones the way these were fetched".to_owned(),
            format!("if they come from IAM Identity Center: `aws sso login --profile {profile}`"),
        ],
        Kind::UnknownCredentials { profile } => vec![
            format!("AWS does not know this access key: check it with `aws sts get-caller-identity --profile {profile}`"),
            "a key that was deactivated, or one of another partition (China, GovCloud), looks the same".to_owned(),
        ],
        Kind::BadSignature => {
            vec!["the secret access key does not belong to the access key id: set both anew, without spaces".to_owned()]
        }
        Kind::ClockSkew => vec![
            "this machine's clock is more than 5 minutes off: set it (`timedatectl set-ntp true`, or restart the VM)".to_owned(),
        ],
        Kind::AccessDenied { action, resource, deny } => denied(action, resource.as_deref(), *deny),
        Kind::Throttled => vec![
            "AWS limits how often this may be called, over the whole account: try again in a minute".to_owned(),
            "see what else calls the same API at the same time (other pipelines, dashboards)".to_owned(),
        ],
        Kind::Quota => vec!["a quota of the account is used up: raise it in Service Quotas, or remove what is not needed".to_owned()],
        Kind::NotFound => vec![of_place(error, "what was asked for is not there")],
        Kind::Conflict => vec!["something else is changing it: look again in a moment".to_owned()],
        Kind::Invalid => vec!["AWS refused the request as it is; its message says which part".to_owned()],
        Kind::Unreachable { place: Reached::Sandbox, .. } => {
            vec!["start the sandbox with `docker-ecs-ship sandbox up`".to_owned()]
        }
        Kind::Unreachable { place: Reached::Aws, .. } => vec![
            format!("check the network, HTTPS_PROXY, and that region {} exists", error.region().unwrap_or("?")),
            "behind a proxy that inspects TLS, name its certificate in AWS_CA_BUNDLE".to_owned(),
        ],
        Kind::Timeout { .. } => vec!["check the network and HTTPS_PROXY, then run the same command again".to_owned()],
        Kind::Server => vec!["AWS failed on its side: see https://health.aws.amazon.com, then run the same command again".to_owned()],
        Kind::Unreadable { .. } => {
            vec!["something between here and AWS answered instead: check HTTPS_PROXY and AWS_ENDPOINT_URL".to_owned()]
        }
        Kind::Unknown => vec!["look the code up in the API reference of the service; AWS Support wants the request id".to_owned()],
    }
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
    format!("{what} in region {region}: check its name in ship.toml, the region and the account (`aws sts get-caller-identity`)")
}

/// Rows that know more than their kind. The codes are those of the API reference of the operation.
fn of_operation(error: &AwsError) -> Option<Vec<String>> {
    let code = error.code()?;
    let message = error.message().unwrap_or_default();
    let hint = match (error.operation()?, code) {
        (_, "ClusterNotFoundException") => of_place(error, "there is no such cluster"),
        (_, "ServiceNotFoundException") => of_place(error, "there is no such service"),
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
