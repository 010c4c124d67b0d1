//! Which target a request goes to: groups that stick, algorithms, slow starts, conditions; and what is added on the way.

use std::time::Duration;

use http::header;
use http_body_util::BodyExt as _;
use tokio::io::AsyncReadExt as _;

use super::super::lock;
use super::field::{Client, Field, Server, between, empty, soon, tally, until};

/// A second group with this server in it, behind no listener yet.
fn second(field: &Field, server: &Server) -> String {
    let members = [
        ("Name", "other"),
        ("Protocol", "HTTP"),
        ("Port", "80"),
        ("TargetType", "ip"),
        ("HealthCheckPath", "/health"),
        ("HealthCheckIntervalSeconds", "6"),
    ];
    let xml = field.ask("CreateTargetGroup", &members);
    let group = between(&xml, "<TargetGroupArn>", "<").to_owned();
    let port = server.target.port.to_string();
    field.ask(
        "RegisterTargets",
        &[("TargetGroupArn", &group), ("Targets.member.1.Id", "127.0.0.1"), ("Targets.member.1.Port", &port)],
    );
    group
}

async fn answers(client: &mut Client, count: usize, headers: &[(&'static str, &str)]) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..count {
        let mut request = client.request("GET", "/", empty());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let response = client.send(request).await.unwrap();
        all.push(String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap());
    }
    all
}

#[tokio::test]
async fn a_client_stays_with_its_group_whatever_the_weights_become() {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let field = Field::with(&[&a]).await;
    let other = second(&field, &b);
    let forward = |first: &str, second: &str| {
        let config = "DefaultActions.member.1.ForwardConfig";
        field.ask(
            "ModifyListener",
            &[
                ("ListenerArn", &field.listener),
                ("DefaultActions.member.1.Type", "forward"),
                (&format!("{config}.TargetGroups.member.1.TargetGroupArn"), &field.group),
                (&format!("{config}.TargetGroups.member.1.Weight"), first),
                (&format!("{config}.TargetGroups.member.2.TargetGroupArn"), &other),
                (&format!("{config}.TargetGroups.member.2.Weight"), second),
                (&format!("{config}.TargetGroupStickinessConfig.Enabled"), "true"),
                (&format!("{config}.TargetGroupStickinessConfig.DurationSeconds"), "600"),
            ],
        )
    };
    let xml = forward("1", "0");
    assert!(xml.contains("<Enabled>true</Enabled><DurationSeconds>600</DurationSeconds>"), "{xml}");
    until("b healthy", || lock(&field.world).elb.health(&other, &b.target).reason.is_none()).await;
    let mut client = field.client().await;
    let request = client.request("GET", "/", empty());
    let response = client.send(request).await.unwrap();
    let cookies: Vec<_> =
        response.headers().get_all(header::SET_COOKIE).iter().map(|one| one.to_str().unwrap().to_owned()).collect();
    assert!(cookies[0].starts_with("AWSALBTG=") && cookies[1].starts_with("AWSALBTGCORS="), "{cookies:?}");
    let cookie = cookies[0].split(';').next().unwrap().to_owned();
    response.into_body().collect().await.unwrap();
    forward("0", "1");
    assert_eq!(answers(&mut client, 4, &[("cookie", &cookie)]).await, ["a"; 4]);
    assert_eq!(answers(&mut client, 4, &[]).await, ["b"; 4]);
    // With nobody left in the group the weights decide again.
    field.deregister(&a);
    assert_eq!(answers(&mut client, 4, &[("cookie", &cookie)]).await, ["b"; 4]);
}

#[tokio::test]
async fn the_one_with_the_fewest_requests_out_is_next() {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let field = Field::with(&[&a, &b]).await;
    field.attribute("load_balancing.algorithm.type", "least_outstanding_requests");
    let mut held = field.client().await;
    let waiting = tokio::spawn(async move { held.get("/gate").await.unwrap().1 });
    until("one at the gate", || a.requests() + b.requests() == 1).await;
    let (busy, free) = if a.requests() == 1 { (&a, "b") } else { (&b, "a") };
    let mut client = field.client().await;
    assert_eq!(answers(&mut client, 6, &[]).await, [free; 6]);
    busy.open_gate();
    assert_eq!(waiting.await.unwrap(), busy.name);
    // Equal again, they take turns.
    until("nothing in flight", || field.in_flight() == 0).await;
    let shares = tally(answers(&mut client, 6, &[]).await);
    assert_eq!((shares["a"], shares["b"]), (3, 3));
}

#[tokio::test]
async fn a_target_in_slow_start_gets_a_growing_share() {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let field = Field::with(&[&a]).await;
    // Three seconds of ours.
    field.attribute("slow_start.duration_seconds", "300");
    field.register(&b);
    field.becomes(&b, "healthy").await;
    let mut client = field.client().await;
    let warming = || {
        let world = lock(&field.world);
        let registration = world.elb.target_group(&field.group).unwrap().registration(&b.target).unwrap().clone();
        registration.warming.expect("a slow start")
    };
    let now = || super::super::clock::now();
    // Each window is judged by the share that b had at its end: it never had more.
    let mut all = 0;
    while now() < warming().from + 1_000 {
        let shares = tally(answers(&mut client, 100, &[]).await);
        let from_b = shares.get("b").copied().unwrap_or(0);
        all += from_b;
        // A share of s gives s / (1 + s) of the requests; 25 more of a hundred are five standard deviations.
        let share = warming().share(now());
        let expected = usize::try_from(100 * share / (1000 + share)).unwrap();
        assert!(from_b <= expected + 25, "{from_b} of 100 at {share}");
    }
    assert!(all > 0, "a slow start is not a stop");
    until("the end of the slow start", || now() >= warming().until).await;
    let shares = tally(answers(&mut client, 100, &[]).await);
    assert_eq!((shares["a"], shares["b"]), (50, 50));
}

#[tokio::test]
async fn rules_ask_for_method_header_query_and_source() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    for (priority, status, condition) in [
        ("1", "410", vec![("Field", "http-request-method"), ("HttpRequestMethodConfig.Values.member.1", "DELETE")]),
        (
            "2",
            "411",
            vec![
                ("Field", "http-header"),
                ("HttpHeaderConfig.HttpHeaderName", "X-Stage"),
                ("HttpHeaderConfig.Values.member.1", "gr?en"),
            ],
        ),
        (
            "3",
            "412",
            vec![
                ("Field", "query-string"),
                ("QueryStringConfig.Values.member.1.Key", "version"),
                ("QueryStringConfig.Values.member.1.Value", "2*"),
            ],
        ),
        ("4", "413", vec![("Field", "source-ip"), ("SourceIpConfig.Values.member.1", "10.0.0.0/8")]),
        ("5", "414", vec![("Field", "path-pattern"), ("PathPatternConfig.RegexValues.member.1", "^/v[0-9]+/")]),
    ] {
        let mut members: Vec<(String, &str)> = vec![
            ("ListenerArn".into(), &field.listener),
            ("Priority".into(), priority),
            ("Actions.member.1.Type".into(), "fixed-response"),
            ("Actions.member.1.FixedResponseConfig.StatusCode".into(), status),
        ];
        members.extend(condition.iter().map(|(name, value)| (format!("Conditions.member.1.{name}"), *value)));
        let members: Vec<(&str, &str)> = members.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let written = field.ask("CreateRule", &members);
        assert!(written.contains(condition[0].1), "{written}");
    }
    let mut client = field.client().await;
    for (method, path, stage, status) in [
        ("DELETE", "/", "", 410),
        ("GET", "/", "Green", 411),
        ("GET", "/?a=b&version=2.1", "", 412),
        ("GET", "/?version=1", "blue", 200),
        ("GET", "/v12/items", "", 414),
        ("GET", "/a/v12/items", "", 200),
    ] {
        let mut request = client.request(method, path, empty());
        request.headers_mut().insert("x-stage", stage.parse().unwrap());
        let response = client.send(request).await.unwrap();
        assert_eq!(response.status(), status, "{method} {path} {stage}");
        response.into_body().collect().await.unwrap();
    }
}

#[tokio::test]
async fn the_balancers_attributes_say_what_becomes_of_headers() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    let set = |key: &str, value: &str| {
        field.ask(
            "ModifyLoadBalancerAttributes",
            &[
                ("LoadBalancerArn", &field.load_balancer),
                ("Attributes.member.1.Key", key),
                ("Attributes.member.1.Value", value),
            ],
        );
    };
    let mut client = field.client().await;
    let mut seen = async || {
        let mut request = client.request("GET", "/headers", empty());
        request.headers_mut().insert("x-forwarded-for", "10.0.0.9".parse().unwrap());
        request.headers_mut().insert("x_odd", "1".parse().unwrap());
        let response = client.send(request).await.unwrap();
        let text = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let hops = text.lines().find_map(|line| line.strip_prefix("x-forwarded-for: ")).unwrap_or("none").to_owned();
        (hops, text.contains("x_odd"))
    };
    assert_eq!(seen().await, ("10.0.0.9, 127.0.0.1".to_owned(), true));
    set("routing.http.xff_client_port.enabled", "true");
    let (hops, _) = seen().await;
    assert!(hops.starts_with("10.0.0.9, 127.0.0.1:"), "{hops}");
    set("routing.http.xff_header_processing.mode", "preserve");
    assert_eq!(seen().await.0, "10.0.0.9");
    set("routing.http.xff_header_processing.mode", "remove");
    set("routing.http.drop_invalid_header_fields.enabled", "true");
    assert_eq!(seen().await, ("none".to_owned(), false));
}

#[tokio::test]
async fn a_listeners_attributes_say_what_its_answers_carry() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    let set = |key: &str, value: &str| {
        let members = [
            ("ListenerArn", field.listener.as_str()),
            ("Attributes.member.1.Key", key),
            ("Attributes.member.1.Value", value),
        ];
        field.ask("ModifyListenerAttributes", &members);
    };
    let mut client = field.client().await;
    let mut seen = async |method: &str| {
        let response = client.send(client.request(method, "/headers", empty())).await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let seen = [header("server"), header("keep-alive"), header("x-frame-options")];
        response.into_body().collect().await.unwrap();
        seen
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(seen("GET").await, [some("app/1"), None, None]);
    assert_eq!(seen("TRACE").await[0], some("awselb/2.0"));
    set("routing.http.response.x_frame_options.header_value", "DENY");
    set("routing.http.response.server.enabled", "false");
    // The program's own header is its own, and every answer has the added one.
    assert_eq!(seen("GET").await, [some("app/1"), None, some("DENY")]);
    assert_eq!(seen("TRACE").await, [None, None, some("DENY")]);
    set("routing.http.response.x_frame_options.header_value", "");
    assert_eq!(seen("GET").await[2], None);
}

#[tokio::test]
async fn a_rule_writes_host_and_url_anew_before_a_target_sees_them() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    let rule = |priority: &str, path: &str, pattern: &str, replacement: &str| {
        field.ask(
            "CreateRule",
            &[
                ("ListenerArn", &field.listener),
                ("Priority", priority),
                ("Conditions.member.1.Field", "path-pattern"),
                ("Conditions.member.1.Values.member.1", path),
                ("Actions.member.1.Type", "forward"),
                ("Actions.member.1.TargetGroupArn", &field.group),
                ("Transforms.member.1.Type", "url-rewrite"),
                ("Transforms.member.1.UrlRewriteConfig.Rewrites.member.1.Regex", pattern),
                ("Transforms.member.1.UrlRewriteConfig.Rewrites.member.1.Replace", replacement),
                ("Transforms.member.2.Type", "host-header-rewrite"),
                (
                    "Transforms.member.2.HostHeaderRewriteConfig.Rewrites.member.1.Regex",
                    "^127[.]0[.]0[.]1:([0-9])[0-9]*$",
                ),
                ("Transforms.member.2.HostHeaderRewriteConfig.Rewrites.member.1.Replace", "shop-$1.internal"),
            ],
        )
    };
    rule("1", "/api/*", "^/api/([a-z]+)[?]v=(.*)$", "/$1?version=$2&by=rule");
    rule("2", "/broken/*", "^/broken/(.*)$", "no path");
    let mut client = field.client().await;
    let (status, text) = client.get("/api/headers?v=2").await.unwrap();
    let host = format!("host: shop-{}.internal", &field.port.to_string()[..1]);
    assert!(status == 200 && text.starts_with("GET /headers?version=2&by=rule\n") && text.contains(&host), "{text}");
    // A pattern that is not met leaves the request as it came; what makes no request is the balancer's own failure.
    assert_eq!(client.get("/api/headers").await.unwrap().0, 200);
    assert_eq!(client.get("/broken/headers").await.unwrap().0, 500);
    let (_, text) = client.get("/headers").await.unwrap();
    assert!(text.contains(&format!("host: 127.0.0.1:{}", field.port)), "{text}");
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_closed_after_the_idle_timeout() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    field.ask(
        "ModifyLoadBalancerAttributes",
        &[
            ("LoadBalancerArn", &field.load_balancer),
            ("Attributes.member.1.Key", "idle_timeout.timeout_seconds"),
            ("Attributes.member.1.Value", "1"),
        ],
    );
    let mut tunnel = super::traffic::socket(&field).await;
    let begun = tokio::time::Instant::now();
    // Longer than the timeout in all, but never in one piece.
    let mut beat = tokio::time::interval(Duration::from_millis(300));
    for _ in 0..7 {
        beat.tick().await;
        assert_eq!(super::traffic::shout(&mut tunnel, "hello").await, "HELLO");
    }
    let mut rest = Vec::new();
    soon("the end of the tunnel", tunnel.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty() && begun.elapsed() >= Duration::from_millis(2_500), "{:?}", begun.elapsed());
    until("nothing in flight", || field.in_flight() == 0).await;
}
