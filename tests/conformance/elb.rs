//! ELBv2: load balancers, target groups, listeners, rules, targets, tags.

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, FixedResponseActionConfig, IpAddressType, ListenerAttribute, LoadBalancerAttribute,
    LoadBalancerStateEnum, ProtocolEnum, RuleCondition, RulePriorityPair, Tag, TargetDescription, TargetGroupAttribute,
    TargetHealthStateEnum, TargetTypeEnum,
};

use crate::clients::{Place, refusal, until};

/// A load balancer with a listener that forwards to a group of this name; their ARNs.
pub(crate) async fn balanced(place: &Place, name: &str) -> (String, String) {
    let balancer = balancer(place, name).await;
    let group = group(place, name).await;
    let create = place.elb.create_listener().load_balancer_arn(&balancer).protocol(ProtocolEnum::Http);
    create.default_actions(forward(&group)).send().await.unwrap();
    (balancer, group)
}

async fn balancer(place: &Place, name: &str) -> String {
    let made =
        place.elb.create_load_balancer().name(name).subnets("subnet-1").subnets("subnet-2").send().await.unwrap();
    made.load_balancers()[0].load_balancer_arn().unwrap().to_owned()
}

pub(crate) async fn group(place: &Place, name: &str) -> String {
    let create = place.elb.create_target_group().name(name).protocol(ProtocolEnum::Http).port(80).vpc_id("vpc-1");
    let made = create.target_type(TargetTypeEnum::Ip).send().await.unwrap();
    made.target_groups()[0].target_group_arn().unwrap().to_owned()
}

fn forward(group: &str) -> Action {
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(group).build()
}

fn fixed() -> Action {
    let answer =
        FixedResponseActionConfig::builder().status_code("503").message_body("later").content_type("text/plain");
    Action::builder().r#type(ActionTypeEnum::FixedResponse).fixed_response_config(answer.build()).build()
}

fn path(pattern: &str) -> RuleCondition {
    RuleCondition::builder().field("path-pattern").values(pattern).build()
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

#[tokio::test]
async fn load_balancers() {
    let place = Place::start().await;
    let elb = &place.elb;
    let arn = balancer(&place, "web").await;
    // The same once more is the same one.
    assert_eq!(balancer(&place, "web").await, arn);
    assert_eq!(refusal!(elb.create_load_balancer().name("no spaces").subnets("subnet-1")).0, "ValidationError");
    for name in ["b", "c"] {
        balancer(&place, name).await;
    }
    let pages: Vec<_> = elb.describe_load_balancers().page_size(2).into_paginator().send().collect().await;
    let sizes: Vec<usize> = pages.into_iter().map(|page| page.unwrap().load_balancers().len()).collect();
    assert_eq!(sizes, [2, 1]);
    let one = elb.describe_load_balancers().names("web").send().await.unwrap().load_balancers()[0].clone();
    assert_eq!(one.load_balancer_arn(), Some(arn.as_str()));
    assert_eq!(one.state().unwrap().code(), Some(&LoadBalancerStateEnum::Active));
    assert!(!one.dns_name().unwrap().is_empty());
    assert!(one.created_time().is_some_and(|at| at.secs() > 1_700_000_000));
    assert_eq!(
        refusal!(elb.describe_load_balancers().names("nope")),
        ("LoadBalancerNotFound".to_owned(), "Load balancers '[nope]' not found".to_owned())
    );
    let attribute = LoadBalancerAttribute::builder().key("idle_timeout.timeout_seconds").value("120").build();
    let modify = || elb.modify_load_balancer_attributes().load_balancer_arn(&arn);
    modify().attributes(attribute).send().await.unwrap();
    let answer = elb.describe_load_balancer_attributes().load_balancer_arn(&arn).send().await.unwrap();
    let idle = answer.attributes().iter().find(|one| one.key() == Some("idle_timeout.timeout_seconds")).unwrap();
    assert_eq!(idle.value(), Some("120"));
    let attribute = LoadBalancerAttribute::builder().key("idle_timeout.timeout_seconds").value("0").build();
    assert_eq!(refusal!(modify().attributes(attribute)).0, "ValidationError");
    let set = elb.set_security_groups().load_balancer_arn(&arn).security_groups("sg-2").send().await.unwrap();
    assert_eq!(set.security_group_ids(), ["sg-2"]);
    let set = elb.set_subnets().load_balancer_arn(&arn).subnets("subnet-3").subnets("subnet-4").send().await.unwrap();
    assert_eq!(set.availability_zones().len(), 2);
    elb.set_ip_address_type().load_balancer_arn(&arn).ip_address_type(IpAddressType::Ipv4).send().await.unwrap();
    let dual = elb.set_ip_address_type().load_balancer_arn(&arn).ip_address_type(IpAddressType::Dualstack);
    assert_eq!(refusal!(dual).0, "ValidationError");
    let capacity = elb.describe_capacity_reservation().load_balancer_arn(&arn).send().await.unwrap();
    assert!(capacity.minimum_load_balancer_capacity().is_none());
    for _ in 0..2 {
        elb.delete_load_balancer().load_balancer_arn(&arn).send().await.unwrap();
    }
    let refused = refusal!(elb.describe_load_balancers().load_balancer_arns(&arn));
    assert_eq!(refused.0, "LoadBalancerNotFound");
    place.stop().await;
}

#[tokio::test]
async fn target_groups() {
    let place = Place::start().await;
    let elb = &place.elb;
    let arn = group(&place, "web").await;
    assert_eq!(group(&place, "web").await, arn);
    let create = elb.create_target_group().name("web").protocol(ProtocolEnum::Http).port(81);
    assert_eq!(
        refusal!(create),
        (
            "DuplicateTargetGroupName".to_owned(),
            "A target group with the same name 'web' exists, but with different settings".to_owned()
        )
    );
    for name in ["b", "c"] {
        group(&place, name).await;
    }
    let pages: Vec<_> = elb.describe_target_groups().page_size(2).into_paginator().send().collect().await;
    let sizes: Vec<usize> = pages.into_iter().map(|page| page.unwrap().target_groups().len()).collect();
    assert_eq!(sizes, [2, 1]);
    let modify = elb.modify_target_group().target_group_arn(&arn).health_check_path("/health");
    let modified = modify.healthy_threshold_count(2).send().await.unwrap().target_groups()[0].clone();
    assert_eq!((modified.health_check_path(), modified.healthy_threshold_count()), (Some("/health"), Some(2)));
    assert_eq!((modified.health_check_interval_seconds(), modified.unhealthy_threshold_count()), (Some(30), Some(2)));
    assert_eq!(modified.matcher().unwrap().http_code(), Some("200"));
    let modify = |value: &str| {
        let attribute =
            TargetGroupAttribute::builder().key("deregistration_delay.timeout_seconds").value(value).build();
        elb.modify_target_group_attributes().target_group_arn(&arn).attributes(attribute)
    };
    assert_eq!(refusal!(modify("4000")).0, "ValidationError");
    modify("7").send().await.unwrap();
    let answer = elb.describe_target_group_attributes().target_group_arn(&arn).send().await.unwrap();
    let value = |key: &str| answer.attributes().iter().find(|one| one.key() == Some(key)).unwrap().value().unwrap();
    assert_eq!(value("deregistration_delay.timeout_seconds"), "7");
    assert_eq!(value("stickiness.enabled"), "false");
    elb.delete_target_group().target_group_arn(&arn).send().await.unwrap();
    assert_eq!(
        refusal!(elb.describe_target_groups().target_group_arns(&arn)),
        ("TargetGroupNotFound".to_owned(), "One or more target groups not found".to_owned())
    );
    place.stop().await;
}

#[tokio::test]
async fn listeners_and_rules() {
    let place = Place::start().await;
    let elb = &place.elb;
    let (balancer, group) = balanced(&place, "web").await;
    let listeners = elb.describe_listeners().load_balancer_arn(&balancer).send().await.unwrap();
    let listener = listeners.listeners()[0].clone();
    let (arn, port) = (listener.listener_arn().unwrap(), listener.port().unwrap());
    assert_eq!(listener.default_actions()[0].target_group_arn(), Some(group.as_str()));
    let create = elb.create_listener().load_balancer_arn(&balancer).protocol(ProtocolEnum::Http);
    assert_eq!(refusal!(create.port(port).default_actions(forward(&group))).0, "DuplicateListener");
    let create = elb.create_listener().load_balancer_arn(format!("{balancer}0")).protocol(ProtocolEnum::Http);
    assert_eq!(refusal!(create.default_actions(forward(&group))).0, "LoadBalancerNotFound");
    assert_eq!(
        refusal!(elb.delete_target_group().target_group_arn(&group)),
        ("ResourceInUse".to_owned(), format!("Target group '{group}' is currently in use by a listener or a rule"))
    );
    elb.create_listener()
        .load_balancer_arn(&balancer)
        .protocol(ProtocolEnum::Http)
        .default_actions(fixed())
        .send()
        .await
        .unwrap();
    let list = elb.describe_listeners().load_balancer_arn(&balancer);
    let pages: Vec<_> = list.page_size(1).into_paginator().send().collect().await;
    assert_eq!(pages.into_iter().map(|page| page.unwrap().listeners().len()).collect::<Vec<_>>(), [1, 1]);
    let modified = elb.modify_listener().listener_arn(arn).default_actions(fixed()).send().await.unwrap();
    let answer = modified.listeners()[0].default_actions()[0].fixed_response_config().unwrap().clone();
    assert_eq!((answer.status_code(), answer.message_body()), (Some("503"), Some("later")));

    let rule = |priority: i32, pattern: &str| {
        elb.create_rule().listener_arn(arn).priority(priority).conditions(path(pattern)).actions(forward(&group))
    };
    let first = rule(10, "/a/*").send().await.unwrap().rules()[0].rule_arn().unwrap().to_owned();
    let second = rule(20, "/b/*").send().await.unwrap().rules()[0].rule_arn().unwrap().to_owned();
    assert_eq!(
        refusal!(rule(10, "/c/*")),
        ("PriorityInUse".to_owned(), "Priority '10' is currently in use".to_owned())
    );
    let swap =
        [(&first, 20), (&second, 10)].map(|(arn, at)| RulePriorityPair::builder().rule_arn(arn).priority(at).build());
    elb.set_rule_priorities().set_rule_priorities(Some(swap.to_vec())).send().await.unwrap();
    let list = elb.describe_rules().listener_arn(arn);
    let pages: Vec<_> = list.page_size(2).into_paginator().send().collect().await;
    let rules: Vec<_> = pages.into_iter().flat_map(|page| page.unwrap().rules().to_vec()).collect();
    let priorities: Vec<_> = rules.iter().map(|rule| rule.priority().unwrap()).collect();
    assert_eq!(priorities, ["10", "20", "default"]);
    assert_eq!(rules[0].rule_arn(), Some(second.as_str()));
    let modified = elb.modify_rule().rule_arn(&first).actions(fixed()).conditions(path("/z")).send().await.unwrap();
    assert_eq!(modified.rules()[0].conditions()[0].values(), ["/z"]);
    let default = rules[2].rule_arn().unwrap();
    assert_eq!(refusal!(elb.delete_rule().rule_arn(default)).0, "OperationNotPermitted");
    elb.delete_rule().rule_arn(&first).send().await.unwrap();
    assert_eq!(
        refusal!(elb.describe_rules().rule_arns(&first)),
        ("RuleNotFound".to_owned(), "One or more rules not found".to_owned())
    );
    let attributes = elb.describe_listener_attributes().listener_arn(arn).send().await.unwrap();
    assert_eq!(attributes.attributes()[0].value(), Some("true"));
    let hsts = "routing.http.response.strict_transport_security.header_value";
    let set = |key: &str, value: &str| {
        let attribute = ListenerAttribute::builder().key(key).value(value).build();
        elb.modify_listener_attributes().listener_arn(arn).attributes(attribute)
    };
    let modified = set(hsts, "max-age=60").send().await.unwrap();
    let value = modified.attributes().iter().find(|one| one.key() == Some(hsts)).and_then(|one| one.value());
    assert_eq!(value, Some("max-age=60"));
    assert_eq!(
        refusal!(set("tcp.idle_timeout.seconds", "60")),
        (
            "ValidationError".to_owned(),
            "Listener attribute key 'tcp.idle_timeout.seconds' is not recognized".to_owned()
        )
    );
    elb.delete_listener().listener_arn(arn).send().await.unwrap();
    assert_eq!(
        refusal!(elb.describe_listeners().listener_arns(arn)),
        ("ListenerNotFound".to_owned(), "One or more listeners not found".to_owned())
    );
    elb.delete_target_group().target_group_arn(&group).send().await.unwrap();
    place.stop().await;
}

#[tokio::test]
async fn targets() {
    let place = Place::start().await;
    let elb = &place.elb;
    let (_, group) = balanced(&place, "web").await;
    let target = |port: i32| TargetDescription::builder().id("127.0.0.1").port(port).build();
    let health = async || {
        let answer = elb.describe_target_health().target_group_arn(&group).send().await.unwrap();
        answer
            .target_health_descriptions()
            .iter()
            .map(|one| one.target_health().unwrap().state().unwrap().clone())
            .collect::<Vec<_>>()
    };
    // Nobody listens on port 1.
    elb.register_targets().target_group_arn(&group).targets(target(1)).send().await.unwrap();
    assert_eq!(health().await, [TargetHealthStateEnum::Initial]);
    until("unhealthy", async || (health().await == [TargetHealthStateEnum::Unhealthy]).then_some(())).await;
    elb.deregister_targets().target_group_arn(&group).targets(target(1)).send().await.unwrap();
    until("gone", async || health().await.is_empty().then_some(())).await;
    let asked = elb.describe_target_health().target_group_arn(&group).targets(target(1)).send().await.unwrap();
    let unused = asked.target_health_descriptions()[0].target_health().unwrap();
    assert_eq!(unused.state(), Some(&TargetHealthStateEnum::Unused));
    assert_eq!(unused.reason().unwrap().as_str(), "Target.NotRegistered");
    let wrong = TargetDescription::builder().id("i-12345").port(80).build();
    assert_eq!(refusal!(elb.register_targets().target_group_arn(&group).targets(wrong)).0, "ValidationError");
    assert_eq!(refusal!(elb.describe_target_health().target_group_arn(format!("{group}0"))).0, "TargetGroupNotFound");
    place.stop().await;
}

#[tokio::test]
async fn tags() {
    let place = Place::start().await;
    let elb = &place.elb;
    let (balancer, group) = balanced(&place, "web").await;
    let arns = [balancer, group];
    elb.add_tags().set_resource_arns(Some(arns.to_vec())).tags(tag("a", "1")).tags(tag("b", "2")).send().await.unwrap();
    elb.remove_tags().set_resource_arns(Some(arns.to_vec())).tag_keys("a").send().await.unwrap();
    let answer = elb.describe_tags().set_resource_arns(Some(arns.to_vec())).send().await.unwrap();
    for (described, arn) in answer.tag_descriptions().iter().zip(&arns) {
        assert_eq!(described.resource_arn(), Some(arn.as_str()));
        assert_eq!(described.tags(), [tag("b", "2")]);
    }
    let twice = elb.add_tags().resource_arns(&arns[0]).tags(tag("a", "1")).tags(tag("a", "2"));
    assert_eq!(refusal!(twice).0, "DuplicateTagKeys");
    place.stop().await;
}
