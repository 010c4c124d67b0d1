//! AWS's own client against the API.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use aws_sdk_elasticloadbalancingv2 as elbv2;
use elbv2::config::{BehaviorVersion, Credentials, Region};
use elbv2::error::ProvideErrorMetadata as _;
use elbv2::types::{
    Action, ActionTypeEnum, Matcher, ProtocolEnum, RedirectActionConfig, RedirectActionStatusCodeEnum, RuleCondition,
    RulePriorityPair, Tag, TargetDescription, TargetGroupAttribute, TargetGroupTuple, TargetHealthReasonEnum,
    TargetHealthStateEnum, TargetTypeEnum,
};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::super::super::super::clock;
use super::super::super::super::world::{World, elb};
use super::super::super::query::{self, Service};
use super::super::{Balancer, lock};
use super::field::{Client, Server, empty_world, until};

/// Answers Query requests, as the sandbox's endpoint does.
async fn endpoint(world: Arc<Mutex<World>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let world = Arc::clone(&world);
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let world = Arc::clone(&world);
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    Ok::<_, hyper::Error>(query::serve(&body, "req-1", |call| {
                        assert_eq!(call.service, Service::Elb);
                        elb::call(&mut lock(&world), &call.action, &call.form, clock::now())
                    }))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    url
}

async fn client(world: &Arc<Mutex<World>>) -> elbv2::Client {
    let config = elbv2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("AKID", "secret", None, None, "test"))
        .endpoint_url(endpoint(Arc::clone(world)).await)
        .build();
    elbv2::Client::from_conf(config)
}

fn forward(arn: &str) -> Action {
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(arn).build()
}

#[tokio::test]
async fn the_way_of_a_deploy() {
    let world = empty_world();
    let balancer = Balancer::start(Arc::clone(&world), vec![Ipv4Addr::LOCALHOST.into()]);
    let client = client(&world).await;
    let server = Server::start("a").await;

    let made =
        client.create_load_balancer().name("web").subnets("subnet-1").security_groups("sg-1").send().await.unwrap();
    let made = made.load_balancers()[0].clone();
    let load_balancer = made.load_balancer_arn().unwrap();
    assert!(load_balancer.starts_with("arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/"));
    assert_eq!(made.dns_name(), Some("127.0.0.1"));
    assert_eq!(made.security_groups(), ["sg-1"]);
    assert!(made.created_time().unwrap().secs() > 1_700_000_000);

    let group = client
        .create_target_group()
        .name("web")
        .protocol(ProtocolEnum::Http)
        .port(80)
        .target_type(TargetTypeEnum::Ip)
        .health_check_path("/health")
        .health_check_interval_seconds(5)
        .health_check_timeout_seconds(2)
        .matcher(Matcher::builder().http_code("200-299").build())
        .tags(Tag::builder().key("team").value("jobs & <co>").build())
        .send()
        .await
        .unwrap()
        .target_groups()[0]
        .clone();
    let arn = group.target_group_arn().unwrap();
    assert_eq!(group.matcher().unwrap().http_code(), Some("200-299"));
    assert_eq!((group.healthy_threshold_count(), group.unhealthy_threshold_count()), (Some(5), Some(2)));

    let listener = client
        .create_listener()
        .load_balancer_arn(load_balancer)
        .protocol(ProtocolEnum::Http)
        .default_actions(forward(arn))
        .send()
        .await
        .unwrap()
        .listeners()[0]
        .clone();
    let port = u16::try_from(listener.port().unwrap()).unwrap();
    let found = client.describe_target_groups().load_balancer_arn(load_balancer).send().await.unwrap();
    assert_eq!(found.target_groups()[0].load_balancer_arns(), [load_balancer]);
    assert_eq!(listener.default_actions()[0].target_group_arn(), Some(arn));

    let target = TargetDescription::builder().id("127.0.0.1").port(server.target.port.into()).build();
    client.register_targets().target_group_arn(arn).targets(target.clone()).send().await.unwrap();
    until("healthy", || lock(&world).elb.health(arn, &server.target).reason.is_none()).await;
    let health = client.describe_target_health().target_group_arn(arn).send().await.unwrap();
    let one = &health.target_health_descriptions()[0];
    assert_eq!(one.target_health().unwrap().state(), Some(&TargetHealthStateEnum::Healthy));
    assert_eq!(one.health_check_port(), Some(server.target.port.to_string().as_str()));
    assert_eq!(Client::connect(port).await.get("/").await.unwrap().1, "a");

    client.deregister_targets().target_group_arn(arn).targets(target.clone()).send().await.unwrap();
    let health = client.describe_target_health().target_group_arn(arn).targets(target).send().await.unwrap();
    let health = health.target_health_descriptions()[0].target_health().unwrap().clone();
    assert_eq!(health.state(), Some(&TargetHealthStateEnum::Draining));
    assert_eq!(health.reason(), Some(&TargetHealthReasonEnum::DeregistrationInProgress));
    assert_eq!(health.description(), Some("Target deregistration is in progress"));

    let tags = client.describe_tags().resource_arns(arn).send().await.unwrap();
    assert_eq!(tags.tag_descriptions()[0].tags()[0].value(), Some("jobs & <co>"));
    client.add_tags().resource_arns(arn).tags(Tag::builder().key("team").value("web").build()).send().await.unwrap();
    let tags = client.describe_tags().resource_arns(arn).send().await.unwrap();
    assert_eq!(tags.tag_descriptions()[0].tags()[0].value(), Some("web"));
    client.remove_tags().resource_arns(arn).tag_keys("team").send().await.unwrap();
    let tags = client.describe_tags().resource_arns(arn).send().await.unwrap();
    assert!(tags.tag_descriptions()[0].tags().is_empty());
    balancer.stop().await;
}

#[tokio::test]
async fn errors_are_typed() {
    let world = empty_world();
    let client = client(&world).await;
    let stranger = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/no/0123456789abcdef";
    let error = client.describe_target_health().target_group_arn(stranger).send().await.unwrap_err();
    let error = error.into_service_error();
    assert!(error.is_target_group_not_found_exception());
    assert_eq!(error.message(), Some("One or more target groups not found"));
    let error = client.describe_load_balancers().names("no").send().await.unwrap_err().into_service_error();
    assert!(error.is_load_balancer_not_found_exception());
    let create = || client.create_target_group().name("web").protocol(ProtocolEnum::Http);
    create().port(80).send().await.unwrap();
    create().port(80).send().await.unwrap();
    let error = create().port(81).send().await.unwrap_err().into_service_error();
    assert!(error.is_duplicate_target_group_name_exception());
    let error = client.describe_ssl_policies().send().await.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("InvalidAction"));
    let error = client.create_target_group().name("-").send().await.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("ValidationError"));
}

#[tokio::test]
async fn attributes_rules_and_pages() {
    let world = empty_world();
    let balancer = Balancer::start(Arc::clone(&world), vec![Ipv4Addr::LOCALHOST.into()]);
    let client = client(&world).await;
    let mut arns = Vec::new();
    for number in 0..5 {
        let name = format!("group-{number}");
        let made = client.create_target_group().name(name).protocol(ProtocolEnum::Http).port(80).send().await.unwrap();
        arns.push(made.target_groups()[0].target_group_arn().unwrap().to_owned());
    }
    let pages = client.describe_target_groups().page_size(2).into_paginator().send().collect::<Result<Vec<_>, _>>();
    let pages: Vec<_> = pages.await.unwrap().iter().map(|page| page.target_groups().len()).collect();
    assert_eq!(pages, [2, 2, 1]);

    let change = TargetGroupAttribute::builder().key("deregistration_delay.timeout_seconds").value("30").build();
    client.modify_target_group_attributes().target_group_arn(&arns[0]).attributes(change).send().await.unwrap();
    let all = client.describe_target_group_attributes().target_group_arn(&arns[0]).send().await.unwrap();
    let value = |key| all.attributes().iter().find(|one| one.key() == Some(key)).and_then(|one| one.value());
    assert_eq!(value("deregistration_delay.timeout_seconds"), Some("30"));
    assert_eq!(value("stickiness.enabled"), Some("false"));
    assert_eq!(value("load_balancing.algorithm.type"), Some("round_robin"));

    let made = client.create_load_balancer().name("web").send().await.unwrap();
    let load_balancer = made.load_balancers()[0].load_balancer_arn().unwrap().to_owned();
    let all = client.describe_load_balancer_attributes().load_balancer_arn(&load_balancer).send().await.unwrap();
    assert!(
        all.attributes()
            .iter()
            .any(|one| one.key() == Some("idle_timeout.timeout_seconds") && one.value() == Some("60"))
    );
    let made =
        client.create_listener().load_balancer_arn(&load_balancer).default_actions(forward(&arns[0])).send().await;
    let listener = made.unwrap().listeners()[0].listener_arn().unwrap().to_owned();

    let weighted = Action::builder().r#type(ActionTypeEnum::Forward).forward_config(
        elbv2::types::ForwardActionConfig::builder()
            .target_groups(TargetGroupTuple::builder().target_group_arn(&arns[1]).weight(9).build())
            .target_groups(TargetGroupTuple::builder().target_group_arn(&arns[2]).build())
            .build(),
    );
    let path = RuleCondition::builder().field("path-pattern").values("/v2/*").build();
    let rule = client
        .create_rule()
        .listener_arn(&listener)
        .priority(10)
        .conditions(path)
        .actions(weighted.build())
        .send()
        .await
        .unwrap()
        .rules()[0]
        .clone();
    let tuples = rule.actions()[0].forward_config().unwrap().target_groups();
    assert_eq!((tuples[0].weight(), tuples[1].weight()), (Some(9), Some(1)));
    assert_eq!(rule.conditions()[0].path_pattern_config().unwrap().values(), ["/v2/*"]);
    let away = RedirectActionConfig::builder()
        .protocol("HTTPS")
        .port("443")
        .status_code(RedirectActionStatusCodeEnum::Http301);
    let away = Action::builder().r#type(ActionTypeEnum::Redirect).redirect_config(away.build()).build();
    let host = RuleCondition::builder()
        .field("host-header")
        .host_header_config(elbv2::types::HostHeaderConditionConfig::builder().values("a.example").build())
        .build();
    client.create_rule().listener_arn(&listener).priority(20).conditions(host).actions(away).send().await.unwrap();
    let rule_arn = rule.rule_arn().unwrap();
    let pair = RulePriorityPair::builder().rule_arn(rule_arn).priority(30).build();
    client.set_rule_priorities().rule_priorities(pair).send().await.unwrap();
    let rules = client.describe_rules().listener_arn(&listener).send().await.unwrap();
    let priorities: Vec<_> = rules.rules().iter().filter_map(|rule| rule.priority()).collect();
    assert_eq!(priorities, ["20", "30", "default"]);
    assert_eq!(rules.rules()[0].actions()[0].redirect_config().unwrap().host(), Some("#{host}"));
    assert_eq!(rules.rules()[2].is_default(), Some(true));

    let error = client.delete_target_group().target_group_arn(&arns[1]).send().await.unwrap_err().into_service_error();
    assert!(error.is_resource_in_use_exception());
    client.modify_rule().rule_arn(rule_arn).actions(forward(&arns[2])).send().await.unwrap();
    client.delete_target_group().target_group_arn(&arns[1]).send().await.unwrap();
    client.delete_rule().rule_arn(rule_arn).send().await.unwrap();
    client.modify_listener().listener_arn(&listener).default_actions(forward(&arns[3])).send().await.unwrap();
    client.delete_listener().listener_arn(&listener).send().await.unwrap();
    let error = client.describe_listeners().listener_arns(&listener).send().await.unwrap_err().into_service_error();
    assert!(error.is_listener_not_found_exception());
    client.delete_load_balancer().load_balancer_arn(&load_balancer).send().await.unwrap();
    assert!(client.describe_load_balancers().send().await.unwrap().load_balancers().is_empty());
    balancer.stop().await;
}
