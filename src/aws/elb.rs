//! ELBv2: the health of targets, how long they drain, and the balancer the sandbox needs.

use std::time::Duration;

use aws_sdk_elasticloadbalancingv2 as sdk;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, Matcher, ProtocolEnum, TargetGroupAttribute, TargetTypeEnum,
};

use serde::Serialize;

use super::{
    call::send,
    connect::Aws,
    error::{AwsError, Service},
};
use crate::{config::spec::SandboxService, plan::observed::Attached, rollout::view::TargetView};

const SERVICE: Service = Service::Elb;

const DELAY: &str = "deregistration_delay.timeout_seconds";

/// AWS's default for `deregistration_delay.timeout_seconds`, also used where it may not be read.
pub const DEFAULT_DEREGISTRATION_DELAY_S: u64 = 300;

/// AWS's default for `HealthCheckIntervalSeconds`.
pub const DEFAULT_HEALTH_CHECK_INTERVAL_S: u64 = 30;

/// `DescribeTargetHealth` of one target group; the API takes no more than one.
pub async fn target_health(aws: &Aws, target_group: &str) -> Result<Vec<TargetView>, AwsError> {
    let request = aws.elb.describe_target_health().target_group_arn(target_group);
    let answer = send!(aws, "DescribeTargetHealth", request)?;
    let view = |description: sdk::types::TargetHealthDescription| {
        let target = description.target?;
        let id = target.id?;
        let health = description.target_health;
        let health = health.as_ref();
        Some(TargetView {
            target_group: target_group.to_owned(),
            address: target.port.map_or_else(|| id.clone(), |port| format!("{id}:{port}")),
            state: health.and_then(|health| health.state()).map_or("unknown", |state| state.as_str()).to_owned(),
            reason: health.and_then(|health| health.reason()).map(|reason| reason.as_str().to_owned()),
            description: health.and_then(|health| health.description()).map(str::to_owned),
        })
    };
    Ok(answer.target_health_descriptions.unwrap_or_default().into_iter().filter_map(view).collect())
}

/// Seconds a target of the group drains.
pub async fn deregistration_delay(aws: &Aws, target_group: &str) -> Result<u64, AwsError> {
    let request = aws.elb.describe_target_group_attributes().target_group_arn(target_group);
    let answer = send!(aws, "DescribeTargetGroupAttributes", request)?;
    let attributes = answer.attributes.unwrap_or_default();
    let delay = attributes.iter().find(|attribute| attribute.key() == Some(DELAY));
    let delay = delay.and_then(|attribute| attribute.value()?.parse().ok());
    Ok(delay.unwrap_or(DEFAULT_DEREGISTRATION_DELAY_S))
}

/// What `DescribeTargetGroups` says of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described {
    pub attached: Attached,
    /// Seconds between two health checks of a target.
    pub health_check_interval_s: u64,
}

/// ELB names no limit for the ARNs of one `DescribeTargetGroups`; twenty is what it takes elsewhere (`DescribeTags`,
/// `DescribeLoadBalancers`).
const GROUPS_A_CALL: usize = 20;

/// Whether a load balancer forwards to the group, and how often its targets are looked at.
pub async fn described(aws: &Aws, target_group: &str) -> Result<Described, AwsError> {
    let ask = aws.batches.groups.ask(
        aws,
        (SERVICE, "DescribeTargetGroups"),
        target_group.to_owned(),
        GROUPS_A_CALL,
        |_| (),
        |arns: Vec<String>| async move {
            let request = aws.elb.describe_target_groups().set_target_group_arns(Some(arns.clone()));
            let found = send!(aws, "DescribeTargetGroups", request)?.target_groups.unwrap_or_default();
            let arn_of = |group: &sdk::types::TargetGroup| match arns.as_slice() {
                // Asked for alone it can only be that one.
                [only] => Some(only.clone()),
                _ => group.target_group_arn().map(str::to_owned),
            };
            Ok(found.into_iter().filter_map(|group| Some((arn_of(&group)?, group))).collect())
        },
    );
    let group = ask.await?;
    let attached = match &group {
        Some(group) if group.load_balancer_arns().is_empty() => Attached::ToNothing,
        Some(_) => Attached::ToBalancer,
        None => Attached::NotSaid,
    };
    let interval = group.as_ref().and_then(sdk::types::TargetGroup::health_check_interval_seconds);
    let interval = interval.and_then(|seconds| u64::try_from(seconds).ok());
    Ok(Described { attached, health_check_interval_s: interval.unwrap_or(DEFAULT_HEALTH_CHECK_INTERVAL_S) })
}

/// How a target group asks its targets how they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthCheck {
    /// `HTTP`, `HTTPS`, `TCP`; with HTTP/2 or gRPC in it `HTTP2` or `GRPC`.
    pub protocol: String,
    pub path: String,
    pub interval_s: u64,
    pub timeout_s: u64,
    pub healthy_threshold: u32,
    pub unhealthy_threshold: u32,
    /// The statuses that pass, `200-299`.
    pub matcher: String,
}

/// The health check of a target group.
pub async fn health_check(aws: &Aws, target_group: &str) -> Result<HealthCheck, AwsError> {
    let request = aws.elb.describe_target_groups().target_group_arns(target_group);
    let groups = send!(aws, "DescribeTargetGroups", request)?.target_groups.unwrap_or_default();
    let group = groups.into_iter().next();
    let group = group.ok_or_else(|| AwsError::unreadable(aws, SERVICE, "DescribeTargetGroups", "it holds no group"))?;
    // ELB's defaults for HTTP, where it says nothing.
    let number = |value: Option<i32>, usual: u32| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(usual);
    let protocol = group.health_check_protocol().map_or("HTTP", |protocol| protocol.as_str());
    let version = group.protocol_version().filter(|version| protocol == "HTTP" && *version != "HTTP1");
    Ok(HealthCheck {
        protocol: version.unwrap_or(protocol).to_owned(),
        path: group.health_check_path().unwrap_or("/").to_owned(),
        interval_s: number(group.health_check_interval_seconds(), 30).into(),
        timeout_s: number(group.health_check_timeout_seconds(), 5).into(),
        healthy_threshold: number(group.healthy_threshold_count(), 5),
        unhealthy_threshold: number(group.unhealthy_threshold_count(), 2),
        matcher: group.matcher().and_then(|matcher| matcher.http_code()).unwrap_or("200").to_owned(),
    })
}

/// A target group for tasks with addresses of their own, with its draining time set. One of that name
/// is taken over, so that a set-up that was cut short can go on.
pub async fn create_target_group(aws: &Aws, name: &str, settings: &SandboxService) -> Result<String, AwsError> {
    let interval = settings.health_check_interval.max(Duration::from_secs(1));
    let threshold = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let request = aws
        .elb
        .create_target_group()
        .name(name)
        .protocol(ProtocolEnum::Http)
        .port(i32::from(settings.container_port))
        .vpc_id("vpc-sandbox")
        .target_type(TargetTypeEnum::Ip)
        .health_check_path(&settings.health_check_path)
        .health_check_interval_seconds(seconds(interval))
        .health_check_timeout_seconds(seconds(settings.health_check_timeout()))
        .healthy_threshold_count(threshold(settings.shape.healthy_threshold))
        .unhealthy_threshold_count(threshold(settings.shape.unhealthy_threshold))
        .matcher(Matcher::builder().http_code(&settings.shape.matcher).build());
    let group = match send!(aws, "CreateTargetGroup", request) {
        Ok(answer) => answer.target_groups,
        Err(error) if error.code() == Some("DuplicateTargetGroupName") => {
            send!(aws, "DescribeTargetGroups", aws.elb.describe_target_groups().names(name))?.target_groups
        }
        Err(error) => return Err(error),
    };
    let arn = group.unwrap_or_default().into_iter().find_map(|group| group.target_group_arn);
    let arn = arn.ok_or_else(|| AwsError::unreadable(aws, SERVICE, "CreateTargetGroup", "it names no ARN"))?;
    let delay = settings.deregistration_delay.as_secs().to_string();
    let attribute = TargetGroupAttribute::builder().key(DELAY).value(delay).build();
    let request = aws.elb.modify_target_group_attributes().target_group_arn(&arn).attributes(attribute);
    send!(aws, "ModifyTargetGroupAttributes", request)?;
    Ok(arn)
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

/// An application load balancer; one of that name is taken over.
pub async fn create_load_balancer(aws: &Aws, name: &str) -> Result<String, AwsError> {
    let request = aws.elb.create_load_balancer().name(name).subnets("subnet-sandbox-a").subnets("subnet-sandbox-b");
    let created = match send!(aws, "CreateLoadBalancer", request) {
        Ok(answer) => answer.load_balancers,
        Err(error) if error.code() == Some("DuplicateLoadBalancerName") => {
            send!(aws, "DescribeLoadBalancers", aws.elb.describe_load_balancers().names(name))?.load_balancers
        }
        Err(error) => return Err(error),
    };
    let arn = created.unwrap_or_default().into_iter().find_map(|balancer| balancer.load_balancer_arn);
    arn.ok_or_else(|| AwsError::unreadable(aws, SERVICE, "CreateLoadBalancer", "it names no ARN"))
}

/// A listener that forwards everything to the group; without a port the sandbox picks a free one.
/// Yields the listener's ARN. One that forwards there already is taken over.
pub async fn create_listener(
    aws: &Aws,
    load_balancer: &str,
    target_group: &str,
    port: Option<u16>,
) -> Result<String, AwsError> {
    let forward = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(target_group).build();
    let request = aws
        .elb
        .create_listener()
        .load_balancer_arn(load_balancer)
        .protocol(ProtocolEnum::Http)
        .set_port(port.map(i32::from))
        .default_actions(forward);
    let listeners = match send!(aws, "CreateListener", request) {
        Ok(answer) => answer.listeners.unwrap_or_default(),
        Err(error) if error.code() == Some("DuplicateListener") => {
            let existing = listeners(aws, load_balancer).await?;
            let forwards = |listener: &sdk::types::Listener| {
                listener.default_actions().iter().any(|action| action.target_group_arn() == Some(target_group))
            };
            let existing: Vec<_> = existing.into_iter().filter(forwards).collect();
            if existing.is_empty() {
                return Err(error);
            }
            existing
        }
        Err(error) => return Err(error),
    };
    let arn = listeners.into_iter().find_map(|listener| listener.listener_arn);
    arn.ok_or_else(|| AwsError::unreadable(aws, SERVICE, "CreateListener", "it names no ARN"))
}

async fn listeners(aws: &Aws, load_balancer: &str) -> Result<Vec<sdk::types::Listener>, AwsError> {
    let request = aws.elb.describe_listeners().load_balancer_arn(load_balancer);
    Ok(send!(aws, "DescribeListeners", request)?.listeners.unwrap_or_default())
}

/// Where a target group is served: one URL for each listener of each balancer in front of it.
pub async fn serving_urls(aws: &Aws, target_group: &str) -> Result<Vec<String>, AwsError> {
    let request = aws.elb.describe_target_groups().target_group_arns(target_group);
    let groups = send!(aws, "DescribeTargetGroups", request)?.target_groups.unwrap_or_default();
    let balancers: Vec<String> =
        groups.into_iter().flat_map(|group| group.load_balancer_arns.unwrap_or_default()).collect();
    let mut urls = Vec::new();
    for balancer in balancers {
        urls.extend(listener_urls(aws, &balancer).await?);
    }
    Ok(urls)
}

/// One URL for each listener of a load balancer.
pub async fn listener_urls(aws: &Aws, load_balancer: &str) -> Result<Vec<String>, AwsError> {
    let describe = async {
        send!(aws, "DescribeLoadBalancers", aws.elb.describe_load_balancers().load_balancer_arns(load_balancer))
    };
    let (balancers, listeners) = tokio::join!(describe, listeners(aws, load_balancer));
    let balancers = balancers?.load_balancers.unwrap_or_default();
    let Some(host) = balancers.into_iter().find_map(|balancer| balancer.dns_name) else { return Ok(Vec::new()) };
    let url = |listener: &sdk::types::Listener| {
        let scheme = listener.protocol()?.as_str().to_ascii_lowercase();
        let port = listener.port()?;
        Some(match (scheme.as_str(), port) {
            ("http", 80) | ("https", 443) => format!("{scheme}://{host}/"),
            _ => format!("{scheme}://{host}:{port}/"),
        })
    };
    Ok(listeners?.iter().filter_map(url).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{create_listener, create_target_group, serving_urls, target_health};
    use crate::{
        aws::recorded::{Answer, Server, answer},
        config::spec::SandboxService,
    };

    const HEALTH: &str = include_str!("../../tests/recorded/aws/describe-target-health.xml");

    /// An answer of the Query protocol: its two wrappers and what is in them.
    fn wrapped(operation: &str, inside: &str) -> Answer {
        let text = format!(
            "<{operation}Response xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><{operation}Result>{inside}</{operation}Result></{operation}Response>"
        );
        answer(200, text)
    }

    fn refused(code: &str) -> Answer {
        let text = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
        );
        answer(400, text)
    }

    #[tokio::test]
    async fn target_health_is_told_in_the_words_of_elb() {
        let server = Server::start([("DescribeTargetHealth", answer(200, HEALTH))]).await;
        let targets = target_health(&server.aws().await, "arn:tg").await.unwrap();
        insta::assert_debug_snapshot!(targets, @r#"
        [
            TargetView {
                target_group: "arn:tg",
                address: "10.0.1.27:8080",
                state: "unhealthy",
                reason: Some(
                    "Target.ResponseCodeMismatch",
                ),
                description: Some(
                    "Health checks failed with these codes: [500]",
                ),
            },
            TargetView {
                target_group: "arn:tg",
                address: "i-0f76f4a2b9c8d7e6f:32768",
                state: "healthy",
                reason: None,
                description: None,
            },
            TargetView {
                target_group: "arn:tg",
                address: "10.0.2.14:8080",
                state: "state-from-the-future",
                reason: None,
                description: None,
            },
        ]
        "#);
    }

    #[tokio::test]
    async fn a_target_group_gets_its_health_check_and_its_draining_time() {
        let group = "<TargetGroups><member><TargetGroupArn>arn:tg</TargetGroupArn></member></TargetGroups>";
        let server = Server::start([
            ("CreateTargetGroup", wrapped("CreateTargetGroup", group)),
            ("ModifyTargetGroupAttributes", wrapped("ModifyTargetGroupAttributes", "")),
        ])
        .await;
        let settings = SandboxService {
            health_check_interval: Duration::from_secs(3),
            deregistration_delay: Duration::from_secs(7),
            ..SandboxService::default()
        };
        assert_eq!(create_target_group(&server.aws().await, "api", &settings).await.unwrap(), "arn:tg");
        let sent: Vec<String> = server.asked().into_iter().map(|asked| asked.body.replace('&', "\n")).collect();
        insta::assert_snapshot!(sent.join("\n\n"), @"
        Action=CreateTargetGroup
        Version=2015-12-01
        Name=api
        Protocol=HTTP
        Port=8080
        VpcId=vpc-sandbox
        HealthCheckPath=%2Fhealth
        HealthCheckIntervalSeconds=3
        HealthCheckTimeoutSeconds=2
        HealthyThresholdCount=2
        UnhealthyThresholdCount=2
        Matcher.HttpCode=200
        TargetType=ip

        Action=ModifyTargetGroupAttributes
        Version=2015-12-01
        TargetGroupArn=arn%3Atg
        Attributes.member.1.Key=deregistration_delay.timeout_seconds
        Attributes.member.1.Value=7
        ");
    }

    #[tokio::test]
    async fn what_a_cut_short_set_up_left_is_taken_over() {
        let group = "<TargetGroups><member><TargetGroupArn>arn:tg</TargetGroupArn></member></TargetGroups>";
        let listener = |port: u16| {
            format!(
                "<member><ListenerArn>arn:listener/{port}</ListenerArn><Port>{port}</Port><Protocol>HTTP</Protocol>\
                 <DefaultActions><member><Type>forward</Type><TargetGroupArn>arn:tg/{port}</TargetGroupArn></member></DefaultActions></member>"
            )
        };
        let listeners = format!("<Listeners>{}{}</Listeners>", listener(80), listener(8081));
        let server = Server::start([
            ("CreateTargetGroup", refused("DuplicateTargetGroupName")),
            ("DescribeTargetGroups", wrapped("DescribeTargetGroups", group)),
            ("ModifyTargetGroupAttributes", wrapped("ModifyTargetGroupAttributes", "")),
            ("CreateListener", refused("DuplicateListener")),
            ("DescribeListeners", wrapped("DescribeListeners", &listeners)),
        ])
        .await;
        let aws = server.aws().await;
        assert_eq!(create_target_group(&aws, "api", &SandboxService::default()).await.unwrap(), "arn:tg");
        assert_eq!(create_listener(&aws, "arn:lb", "arn:tg/8081", None).await.unwrap(), "arn:listener/8081");
        let error = create_listener(&aws, "arn:lb", "arn:tg/other", Some(80)).await.unwrap_err();
        assert_eq!(error.code(), Some("DuplicateListener"));
    }

    #[tokio::test]
    async fn a_target_group_is_served_at_every_listener_in_front_of_it() {
        let group = "<TargetGroups><member><LoadBalancerArns><member>arn:lb</member></LoadBalancerArns></member></TargetGroups>";
        let balancer = "<LoadBalancers><member><DNSName>127.0.0.1</DNSName></member></LoadBalancers>";
        let listeners = "<Listeners><member><Port>8081</Port><Protocol>HTTP</Protocol></member>\
                         <member><Port>443</Port><Protocol>HTTPS</Protocol></member></Listeners>";
        let server = Server::start([
            ("DescribeTargetGroups", wrapped("DescribeTargetGroups", group)),
            ("DescribeLoadBalancers", wrapped("DescribeLoadBalancers", balancer)),
            ("DescribeListeners", wrapped("DescribeListeners", listeners)),
        ])
        .await;
        let urls = serving_urls(&server.aws().await, "arn:tg").await.unwrap();
        assert_eq!(urls, ["http://127.0.0.1:8081/", "https://127.0.0.1/"]);
    }
}
