//! The state machine under a clock the test turns.

use proptest::prelude::*;

use super::super::super::wire::query::Form;
use super::super::World;
use super::*;

/// A world at pace 1 whose clock the test turns; nothing listens.
struct Bench {
    world: World,
    now: Millis,
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map(|(found, _)| found).unwrap()
}

impl Bench {
    fn new() -> Self {
        let place =
            Place { account: "000000000000".into(), region: "us-east-1".into(), authority: "127.0.0.1:4517".into() };
        Self { world: World::new(place, Pace::new(1.0), 7), now: 1_790_000_000_000 }
    }

    fn call(&mut self, action: &str, members: &[(&str, &str)]) -> Result<String, Fault> {
        let form: Form = members.iter().copied().collect();
        call(&mut self.world, action, &form, self.now)
    }

    /// `Code: Message` of a refusal.
    fn refusal(&mut self, action: &str, members: &[(&str, &str)]) -> String {
        let before = self.world.elb.revision();
        let Fault { status, code, message } = self.call(action, members).unwrap_err();
        assert_eq!((status, self.world.elb.revision()), (400, before), "a refusal changes nothing");
        format!("{code}: {message}")
    }

    fn group(&mut self, name: &str) -> String {
        let members = [("Name", name), ("Protocol", "HTTP"), ("Port", "80"), ("TargetType", "ip")];
        let xml = self.call("CreateTargetGroup", &members).unwrap();
        between(&xml, "<TargetGroupArn>", "<").to_owned()
    }

    fn balancer(&mut self, name: &str) -> String {
        let xml = self.call("CreateLoadBalancer", &[("Name", name), ("Subnets.member.1", "subnet-1")]).unwrap();
        between(&xml, "<LoadBalancerArn>", "<").to_owned()
    }

    fn listener(&mut self, balancer: &str, group: &str, port: &str) -> Result<String, Fault> {
        let xml = self.call(
            "CreateListener",
            &[
                ("LoadBalancerArn", balancer),
                ("Port", port),
                ("Protocol", "HTTP"),
                ("DefaultActions.member.1.Type", "forward"),
                ("DefaultActions.member.1.TargetGroupArn", group),
            ],
        )?;
        Ok(between(&xml, "<ListenerArn>", "<").to_owned())
    }

    /// A group behind a listener.
    fn attached(&mut self) -> String {
        let (balancer, group) = (self.balancer("web"), self.group("web"));
        self.listener(&balancer, &group, "8080").unwrap();
        group
    }

    fn later(&mut self, millis: u64) {
        self.now += millis;
        self.world.elb.tick(Pace::new(1.0), self.now);
    }

    fn probe(&mut self, group: &str, port: u16, outcome: ProbeOutcome) {
        self.world.elb.probe_result(group, &target(port), outcome, Pace::new(1.0), self.now);
    }

    /// `state reason description`.
    fn health(&self, group: &str, port: u16) -> String {
        let TargetHealth { state, reason, description } = self.world.elb.health(group, &target(port));
        let words = [Some(state.as_str().to_owned()), reason, description];
        words.into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }

    fn register(&mut self, group: &str, port: u16) {
        self.world.elb.register(Pace::new(1.0), group, &target(port), self.now).unwrap();
    }

    fn deregister(&mut self, group: &str, port: u16) {
        self.world.elb.deregister(Pace::new(1.0), group, &target(port), self.now).unwrap();
    }

    fn duties(&self) -> Vec<(u16, Duty)> {
        let routes = Routes::of(&self.world.elb);
        routes.groups[0].targets.iter().map(|one| (one.target.port, one.duty)).collect()
    }
}

fn target(port: u16) -> Target {
    Target { address: "127.0.0.1".into(), port }
}

const PASSED: ProbeOutcome = ProbeOutcome::Passed;
const TIMED_OUT: ProbeOutcome = ProbeOutcome::Failed(Failing::TimedOut);

#[test]
fn a_target_is_told_in_the_services_words() {
    let mut bench = Bench::new();
    let group = bench.group("web");
    assert_eq!(bench.health(&group, 1), "unused · Target.NotRegistered · Target is not registered to the target group");
    bench.register(&group, 1);
    assert_eq!(
        bench.health(&group, 1),
        "unused · Target.NotInUse · Target group is not configured to receive traffic from the load balancer"
    );
    let balancer = bench.balancer("web");
    bench.later(60_000);
    bench.listener(&balancer, &group, "8080").unwrap();
    assert_eq!(bench.health(&group, 1), "initial · Elb.RegistrationInProgress · Target registration is in progress");
    bench.later(1000);
    assert_eq!(bench.health(&group, 1), "initial · Elb.InitialHealthChecking · Initial health checks in progress");
    bench.probe(&group, 1, TIMED_OUT);
    assert_eq!(bench.health(&group, 1), "initial · Elb.InitialHealthChecking · Initial health checks in progress");
    bench.probe(&group, 1, TIMED_OUT);
    assert_eq!(bench.health(&group, 1), "unhealthy · Target.Timeout · Request timed out");
    bench.probe(&group, 1, ProbeOutcome::Failed(Failing::Code(500)));
    assert_eq!(
        bench.health(&group, 1),
        "unhealthy · Target.ResponseCodeMismatch · Health checks failed with these codes: [500]"
    );
    bench.probe(&group, 1, ProbeOutcome::Failed(Failing::Broken));
    assert_eq!(bench.health(&group, 1), "unhealthy · Target.FailedHealthChecks · Health checks failed");
    for _ in 0..5 {
        assert_ne!(bench.health(&group, 1), "healthy");
        bench.probe(&group, 1, PASSED);
    }
    assert_eq!(bench.health(&group, 1), "healthy");
    bench.deregister(&group, 1);
    assert_eq!(
        bench.health(&group, 1),
        "draining · Target.DeregistrationInProgress · Target deregistration is in progress"
    );
    bench.later(299_999);
    bench.deregister(&group, 1);
    bench.probe(&group, 1, PASSED);
    assert!(bench.health(&group, 1).starts_with("draining"), "neither a probe nor a second call touches a drain");
    bench.later(1);
    assert!(bench.health(&group, 1).starts_with("unused · Target.NotRegistered"));
}

#[test]
fn one_pass_makes_a_new_target_healthy_and_two_failures_make_it_unhealthy() {
    let mut bench = Bench::new();
    let group = bench.attached();
    bench.register(&group, 1);
    bench.probe(&group, 1, PASSED);
    assert_eq!(bench.health(&group, 1), "healthy");
    for outcome in [TIMED_OUT, PASSED, TIMED_OUT] {
        bench.probe(&group, 1, outcome);
        assert_eq!(bench.health(&group, 1), "healthy", "failures must be in a row");
    }
    bench.probe(&group, 1, TIMED_OUT);
    assert_eq!(bench.health(&group, 1), "unhealthy · Target.Timeout · Request timed out");
}

#[test]
fn probes_that_decide_nothing_are_not_written_down() {
    let mut bench = Bench::new();
    let group = bench.attached();
    bench.register(&group, 1);
    bench.probe(&group, 1, PASSED);
    let before = bench.world.elb.revision();
    for outcome in [PASSED, TIMED_OUT, PASSED] {
        bench.probe(&group, 1, outcome);
    }
    bench.later(5000);
    assert_eq!(bench.world.elb.revision(), before);
}

#[test]
fn registering_a_draining_target_starts_it_anew_and_registering_twice_changes_nothing() {
    let mut bench = Bench::new();
    let group = bench.attached();
    bench.register(&group, 1);
    bench.probe(&group, 1, PASSED);
    bench.register(&group, 1);
    assert_eq!(bench.health(&group, 1), "healthy");
    bench.deregister(&group, 1);
    bench.register(&group, 1);
    assert!(bench.health(&group, 1).starts_with("initial"));
    bench.later(400_000);
    assert!(bench.health(&group, 1).starts_with("initial"), "the old drain's end is forgotten");
}

#[test]
fn a_drain_is_over_at_once_without_a_delay_or_without_traffic() {
    let mut bench = Bench::new();
    let unattached = bench.group("idle");
    bench.register(&unattached, 1);
    bench.deregister(&unattached, 1);
    assert!(bench.health(&unattached, 1).contains("Target.NotRegistered"));

    let group = bench.attached();
    let delay =
        [("Attributes.member.1.Key", "deregistration_delay.timeout_seconds"), ("Attributes.member.1.Value", "0")];
    bench.call("ModifyTargetGroupAttributes", &[&[("TargetGroupArn", group.as_str())], &delay[..]].concat()).unwrap();
    bench.register(&group, 1);
    bench.deregister(&group, 1);
    assert!(bench.health(&group, 1).contains("Target.NotRegistered"));
}

#[test]
fn paper_targets_are_healthy_unasked() {
    let mut bench = Bench::new();
    let group = bench.attached();
    bench.world.elb.register_paper(Pace::new(1.0), &group, &target(1), bench.now).unwrap();
    assert!(bench.health(&group, 1).starts_with("initial"));
    assert_eq!(Routes::of(&bench.world.elb).groups[0].targets[0].probing, Probing::Off);
    bench.later(0);
    assert_eq!(bench.health(&group, 1), "healthy");
}

#[test]
fn requests_go_to_the_healthy_else_to_the_unhealthy_and_never_to_new_or_draining_ones() {
    let mut bench = Bench::new();
    let group = bench.attached();
    for port in 1..=3 {
        bench.register(&group, port);
    }
    assert_eq!(bench.duties(), [(1, Duty::Waiting), (2, Duty::Waiting), (3, Duty::Waiting)]);
    for _ in 0..2 {
        bench.probe(&group, 1, TIMED_OUT);
    }
    assert_eq!(bench.duties(), [(1, Duty::Serving), (2, Duty::Waiting), (3, Duty::Waiting)], "fails open");
    bench.probe(&group, 2, PASSED);
    assert_eq!(bench.duties(), [(1, Duty::Waiting), (2, Duty::Serving), (3, Duty::Waiting)]);
    bench.deregister(&group, 2);
    assert_eq!(bench.duties(), [(1, Duty::Serving), (2, Duty::Draining), (3, Duty::Waiting)]);
}

#[test]
fn a_group_may_fail_open_before_its_last_target_is_unhealthy() {
    let mut bench = Bench::new();
    let group = bench.attached();
    for port in 1..=4 {
        bench.register(&group, port);
        bench.probe(&group, port, PASSED);
    }
    let fall = |bench: &mut Bench, port: u16| (0..2).for_each(|_| bench.probe(&group, port, TIMED_OUT));
    let serving = |bench: &Bench| bench.duties().iter().filter(|(_, duty)| *duty == Duty::Serving).count();
    let set = |bench: &mut Bench, kind: &str, value: &str| {
        let key = format!("target_group_health.unhealthy_state_routing.minimum_healthy_targets.{kind}");
        let members = [
            ("TargetGroupArn", group.as_str()),
            ("Attributes.member.1.Key", key.as_str()),
            ("Attributes.member.1.Value", value),
        ];
        bench.call("ModifyTargetGroupAttributes", &members).map(|_| ())
    };
    fall(&mut bench, 1);
    fall(&mut bench, 2);
    assert_eq!(serving(&bench), 2);
    set(&mut bench, "count", "3").unwrap();
    assert_eq!(serving(&bench), 4);
    set(&mut bench, "count", "1").unwrap();
    set(&mut bench, "percentage", "50").unwrap();
    assert_eq!(serving(&bench), 2);
    set(&mut bench, "percentage", "51").unwrap();
    assert_eq!(serving(&bench), 4);
    for (kind, value) in [("count", "0"), ("percentage", "101"), ("percentage", "half")] {
        assert_eq!(set(&mut bench, kind, value).unwrap_err().code, "ValidationError", "{kind} {value}");
    }
}

#[test]
fn a_new_target_starts_slowly_beside_one_that_is_warm() {
    let mut bench = Bench::new();
    let group = bench.attached();
    let set = |bench: &mut Bench, key: &str, value: &str| {
        let members = [
            ("TargetGroupArn", group.as_str()),
            ("Attributes.member.1.Key", key),
            ("Attributes.member.1.Value", value),
        ];
        bench.call("ModifyTargetGroupAttributes", &members).map(|_| ())
    };
    let share = |bench: &Bench, port: u16| {
        let warming = bench.world.elb.target_group(&group).unwrap().registration(&target(port)).unwrap().warming;
        warming.map_or(1000, |warming| warming.share(bench.now))
    };
    assert_eq!(set(&mut bench, "slow_start.duration_seconds", "29").unwrap_err().code, "ValidationError");
    set(&mut bench, "slow_start.duration_seconds", "30").unwrap();
    for port in 1..=2 {
        bench.register(&group, port);
    }
    bench.probe(&group, 1, PASSED);
    assert_eq!(share(&bench, 1), 1000, "there is no other yet");
    bench.probe(&group, 2, PASSED);
    assert_eq!(share(&bench, 2), 0);
    bench.later(15_000);
    assert_eq!(share(&bench, 2), 500);
    bench.later(15_000);
    assert_eq!(share(&bench, 2), 1000);
    for outcome in [TIMED_OUT, TIMED_OUT] {
        bench.probe(&group, 2, outcome);
    }
    for _ in 0..5 {
        bench.probe(&group, 2, PASSED);
    }
    assert_eq!(share(&bench, 2), 0, "healthy again, it starts again");
    let other = set(&mut bench, "load_balancing.algorithm.type", "least_outstanding_requests").unwrap_err();
    assert_eq!(other.code, "InvalidConfigurationRequest");
    set(&mut bench, "slow_start.duration_seconds", "0").unwrap();
    set(&mut bench, "load_balancing.algorithm.type", "least_outstanding_requests").unwrap();
}

#[test]
fn a_world_survives_being_written_and_read() {
    let mut bench = Bench::new();
    let group = bench.attached();
    bench.register(&group, 1);
    bench.probe(&group, 1, PASSED);
    bench.register(&group, 2);
    bench.probe(&group, 2, TIMED_OUT);
    bench.probe(&group, 2, ProbeOutcome::Failed(Failing::Code(503)));
    bench.register(&group, 3);
    bench.deregister(&group, 3);
    let text = serde_json::to_string(&bench.world).unwrap();
    let read: World = serde_json::from_str(&text).unwrap();
    assert_eq!(Routes::of(&read.elb), Routes::of(&bench.world.elb));
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    assert!(read.elb.health(&group, &target(2)).description.unwrap().contains("503"));
}

#[test]
fn refusals_are_the_services() {
    let mut bench = Bench::new();
    let group = bench.attached();
    let stranger = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/no/0123456789abcdef";
    let arn = |kind| format!("arn:aws:elasticloadbalancing:us-east-1:000000000000:{kind}/app/no/0123456789abcdef/1/2");
    let (listener, rule, balancer) = (arn("listener"), arn("listener-rule"), arn("loadbalancer"));
    let mut said = String::new();
    for (action, members) in [
        ("CreateSpaceship", vec![]),
        ("DescribeTargetHealth", vec![]),
        ("DescribeTargetHealth", vec![("TargetGroupArn", "web")]),
        ("DescribeTargetHealth", vec![("TargetGroupArn", stranger)]),
        ("DescribeTargetGroups", vec![("Names.member.1", "no")]),
        ("DescribeTargetGroups", vec![("PageSize", "0")]),
        ("DescribeLoadBalancers", vec![("Names.member.1", "no")]),
        ("DescribeListeners", vec![("LoadBalancerArn", &balancer)]),
        ("DeleteListener", vec![("ListenerArn", &listener)]),
        ("DeleteRule", vec![("RuleArn", &rule)]),
        ("DeleteTargetGroup", vec![("TargetGroupArn", &group)]),
        ("CreateTargetGroup", vec![("Name", "web"), ("Protocol", "HTTP"), ("Port", "81"), ("TargetType", "ip")]),
        ("CreateTargetGroup", vec![("Name", "-web"), ("Protocol", "HTTP"), ("Port", "80")]),
        ("CreateTargetGroup", vec![("Name", "net"), ("Protocol", "TCP"), ("Port", "80")]),
        ("CreateTargetGroup", vec![("Name", "web2"), ("Protocol", "HTTP"), ("Port", "80"), ("TargetType", "lambda")]),
        (
            "ModifyTargetGroup",
            vec![("TargetGroupArn", &group), ("HealthCheckIntervalSeconds", "5"), ("HealthCheckTimeoutSeconds", "5")],
        ),
        ("ModifyTargetGroup", vec![("TargetGroupArn", &group), ("Matcher.HttpCode", "200-600")]),
        ("RegisterTargets", vec![("TargetGroupArn", &group), ("Targets.member.1.Id", "web.local")]),
        (
            "ModifyTargetGroupAttributes",
            vec![
                ("TargetGroupArn", &group),
                ("Attributes.member.1.Key", "deregistration_delay.timeout_seconds"),
                ("Attributes.member.1.Value", "3601"),
            ],
        ),
        ("CreateLoadBalancer", vec![("Name", "net"), ("Type", "network")]),
        ("AddTags", vec![("ResourceArns.member.1", stranger), ("Tags.member.1.Key", "a")]),
    ] {
        let line = bench.refusal(action, &members);
        said.push_str(&line.replace(&group, "GROUP"));
        said.push('\n');
    }
    insta::assert_snapshot!(said, @r"
    InvalidAction: Could not find operation CreateSpaceship for version 2015-12-01: the sandbox does not emulate it
    ValidationError: 1 validation error detected: Value null at 'targetGroupArn' failed to satisfy constraint: Member must not be null
    ValidationError: 'web' is not a valid target group ARN
    TargetGroupNotFound: One or more target groups not found
    TargetGroupNotFound: One or more target groups not found
    ValidationError: Page size '0' must be between 1 and 400
    LoadBalancerNotFound: Load balancers '[no]' not found
    LoadBalancerNotFound: One or more load balancers not found
    ListenerNotFound: One or more listeners not found
    RuleNotFound: One or more rules not found
    ResourceInUse: Target group 'GROUP' is currently in use by a listener or a rule
    DuplicateTargetGroupName: A target group with the same name 'web' exists, but with different settings
    ValidationError: Target group name '-web' cannot begin or end with '-'
    UnsupportedProtocol: The sandbox's load balancer speaks HTTP only; protocol 'TCP' is not supported
    ValidationError: The sandbox does not emulate target groups of type 'lambda'
    ValidationError: Health check timeout '5' must be smaller than the interval '5'
    ValidationError: Health check matcher HTTP code '200-600' must be within 200-499 inclusive
    ValidationError: The IP address 'web.local' is not a valid IPv4 or IPv6 address
    ValidationError: Target group attribute 'deregistration_delay.timeout_seconds' must be between 0 and 3600; '3601' is not
    ValidationError: The sandbox does not emulate load balancers of type 'network'
    TargetGroupNotFound: One or more target groups not found
    ");
}

#[test]
fn target_groups_are_created_once() {
    let mut bench = Bench::new();
    let first = bench.group("web");
    assert_eq!(bench.group("web"), first, "same name and settings: the same group");
    bench.call("DeleteTargetGroup", &[("TargetGroupArn", &first)]).unwrap();
    assert_ne!(bench.group("web"), first, "a new group of an old name is another");
}

#[test]
fn a_target_group_belongs_to_one_load_balancer() {
    let mut bench = Bench::new();
    let group = bench.attached();
    let other = bench.balancer("other");
    assert_eq!(bench.listener(&other, &group, "8081").unwrap_err().code, "TargetGroupAssociationLimit");
    let free = bench.group("free");
    assert_eq!(bench.listener(&other, &free, "8080").unwrap_err().code, "ResourceInUse");
    let web = bench.balancer("web");
    assert_eq!(bench.listener(&web, &free, "8080").unwrap_err().code, "DuplicateListener");
}

#[test]
fn a_load_balancer_takes_its_listeners_along() {
    let mut bench = Bench::new();
    let group = bench.attached();
    bench.register(&group, 1);
    bench.probe(&group, 1, PASSED);
    let arn = bench.balancer("web");
    bench.call("DeleteLoadBalancer", &[("LoadBalancerArn", &arn)]).unwrap();
    assert!(bench.world.elb.listeners().is_empty() && !bench.world.elb.is_attached(&group));
    assert!(bench.health(&group, 1).contains("Target.NotInUse"));
    assert_eq!(Routes::of(&bench.world.elb).groups[0].targets[0].probing, Probing::Off);
}

#[test]
fn rules_are_tried_by_priority_and_priorities_can_be_swapped() {
    let mut bench = Bench::new();
    let (balancer, group, api) = (bench.balancer("web"), bench.group("web"), bench.group("api"));
    let listener = bench.listener(&balancer, &group, "8080").unwrap();
    let mut rule = |priority: &str, pattern: &str, status: &str| {
        let members = [
            ("ListenerArn", listener.as_str()),
            ("Priority", priority),
            ("Conditions.member.1.Field", "path-pattern"),
            ("Conditions.member.1.Values.member.1", pattern),
            ("Actions.member.1.Type", "fixed-response"),
            ("Actions.member.1.FixedResponseConfig.StatusCode", status),
        ];
        bench.call("CreateRule", &members).map(|xml| between(&xml, "<RuleArn>", "<").to_owned())
    };
    let late = rule("20", "/a*", "402").unwrap();
    let early = rule("10", "/ab*", "403").unwrap();
    assert_eq!(rule("10", "/x", "404").unwrap_err().message, "Priority '10' is currently in use");
    let status = |bench: &Bench, path: &str| {
        let routes = Routes::of(&bench.world.elb);
        let asked = Asked {
            method: "GET",
            host: "any",
            path,
            query: "",
            client: std::net::Ipv4Addr::LOCALHOST.into(),
            header: &|_| Vec::new(),
        };
        match &routes.listeners[0].rule(&asked).unwrap().action {
            Action::Fixed { status, .. } => Some(*status),
            Action::Forward(_) | Action::Redirect(_) => None,
        }
    };
    assert_eq!([status(&bench, "/abc"), status(&bench, "/ac"), status(&bench, "/")], [Some(403), Some(402), None]);
    let swap = [
        ("RulePriorities.member.1.RuleArn", late.as_str()),
        ("RulePriorities.member.1.Priority", "10"),
        ("RulePriorities.member.2.RuleArn", early.as_str()),
        ("RulePriorities.member.2.Priority", "20"),
    ];
    assert_eq!(bench.refusal("SetRulePriorities", &swap[..2]), "PriorityInUse: Priority '10' is currently in use");
    bench.call("SetRulePriorities", &swap).unwrap();
    assert_eq!(status(&bench, "/abc"), Some(402));
    assert!(!bench.world.elb.is_attached(&api));
    let forward = [
        ("RuleArn", late.as_str()),
        ("Actions.member.1.Type", "forward"),
        ("Actions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn", api.as_str()),
    ];
    bench.call("ModifyRule", &forward).unwrap();
    assert!(bench.world.elb.is_attached(&api), "a rule attaches a group as a listener does");
    bench.call("DeleteRule", &[("RuleArn", &late)]).unwrap();
    assert!(!bench.world.elb.is_attached(&api));
}

/// What the balancer is told, kept for looking at.
#[derive(Default)]
struct Told(std::sync::Mutex<Vec<Routes>>);

impl DataPlane for Told {
    fn reserve(&self, port: u16) -> std::io::Result<u16> {
        match port {
            0 => Ok(40_000),
            81 => Err(std::io::ErrorKind::AddrInUse.into()),
            other => Ok(other),
        }
    }

    fn publish(&self, routes: Routes) {
        self.0.lock().unwrap().push(routes);
    }
}

#[test]
fn a_listener_is_recorded_only_with_a_port_that_listens() {
    let mut bench = Bench::new();
    let (balancer, group) = (bench.balancer("web"), bench.group("web"));
    bench.world.elb.connect(Arc::new(Told::default()));
    let busy = bench.listener(&balancer, &group, "81").unwrap_err();
    assert_eq!(busy.code, "ResourceInUse");
    assert!(busy.message.contains("cannot listen on 127.0.0.1:81: something else listens there"), "{}", busy.message);
    assert!(bench.world.elb.listeners().is_empty());
    let forward = [
        ("LoadBalancerArn", balancer.as_str()),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.TargetGroupArn", group.as_str()),
    ];
    let xml = bench.call("CreateListener", &forward).unwrap();
    assert_eq!(between(&xml, "<Port>", "<"), "40000");
}

/// One thing that can happen to a group of four targets.
#[derive(Debug, Clone)]
enum Event {
    Register(u16),
    Deregister(u16),
    Probe(u16, ProbeOutcome),
    Later(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let failing = prop_oneof![Just(Failing::TimedOut), Just(Failing::Broken), (400_u16..600).prop_map(Failing::Code)];
    let outcome = prop_oneof![2 => Just(PASSED), 1 => failing.prop_map(ProbeOutcome::Failed)];
    prop_oneof![
        (1_u16..5).prop_map(Event::Register),
        (1_u16..5).prop_map(Event::Deregister),
        ((1_u16..5), outcome).prop_map(|(port, outcome)| Event::Probe(port, outcome)),
        (0_u64..200_000).prop_map(Event::Later),
    ]
}

proptest! {
    /// Whatever happens: the table told last is the truth, a draining target never serves and is gone when its delay
    /// is over, and if any target is healthy only healthy ones serve.
    #[test]
    fn the_table_is_always_the_truth(events in prop::collection::vec(event(), 1..60)) {
        let mut bench = Bench::new();
        let group = bench.attached();
        let told = Arc::new(Told::default());
        bench.world.elb.connect(Arc::clone(&told) as Arc<dyn DataPlane>);
        let mut drains: BTreeMap<u16, Millis> = BTreeMap::new();
        for event in events {
            match event {
                Event::Register(port) => {
                    bench.register(&group, port);
                    drains.remove(&port);
                }
                Event::Deregister(port) => {
                    if bench.world.elb.target_group(&group).unwrap().registration(&target(port)).is_some() {
                        drains.entry(port).or_insert(bench.now + 300_000);
                    }
                    bench.deregister(&group, port);
                }
                Event::Probe(port, outcome) => bench.probe(&group, port, outcome),
                Event::Later(millis) => {
                    bench.later(millis);
                    drains.retain(|_, until| *until > bench.now);
                }
            }
            let truth = Routes::of(&bench.world.elb);
            let last = told.0.lock().unwrap().last().cloned();
            prop_assert_eq!(last.as_ref(), Some(&truth));
            let draining: Vec<u16> = drains.keys().copied().collect();
            let mut seen = Vec::new();
            let registered = bench.world.elb.target_group(&group).unwrap().registrations.clone();
            let healthy = registered.iter().any(|one| one.standing == Standing::Healthy);
            for (port, duty) in bench.duties() {
                let standing = registered.iter().find(|one| one.target.port == port).unwrap().standing;
                match duty {
                    Duty::Draining => seen.push(port),
                    Duty::Serving => prop_assert!(
                        matches!(standing, Standing::Healthy) || !healthy && matches!(standing, Standing::Unhealthy(_))
                    ),
                    Duty::Waiting => prop_assert!(standing != Standing::Healthy),
                }
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, draining);
        }
    }
}
