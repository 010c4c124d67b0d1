//! What clients and targets see.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::super::Balancer;
use super::super::link::FRESH;
use super::super::lock;
use super::field::{
    Body, Client, Field, Server, ask, between, empty, empty_world, nobody, read_head, soon, tally, until,
};

#[tokio::test]
async fn requests_take_turns_on_one_kept_connection() {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let field = Field::with(&[&a, &b]).await;
    let mut client = field.client().await;
    let mut answers = Vec::new();
    for _ in 0..10 {
        let (status, body) = client.get("/").await.unwrap();
        assert_eq!(status, StatusCode::OK);
        answers.push(body);
    }
    assert_eq!(tally(answers), [("a".into(), 5), ("b".into(), 5)].into());
    let traffic = field.balancer.traffic();
    assert!(traffic.iter().all(|one| one.requests == 5), "{traffic:?}");
    until("all at rest", || field.in_flight() == 0).await;
}

#[tokio::test]
async fn hop_by_hop_headers_stop_here_and_the_forwarded_ones_are_added() {
    let server = Server::start("a").await;
    let field = Field::with(&[&server]).await;
    let mut client = field.client().await;
    let mut request = client.request("GET", "/headers?q=1", empty());
    for (name, value) in [
        ("connection", "x-secret"),
        ("x-secret", "mine"),
        ("te", "trailers"),
        ("proxy-connection", "keep-alive"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-amzn-trace-id", "Root=1-67891233-abcdef012345678912345678;Sampled=1"),
        ("x-kept", "yes"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let response = client.send(request).await.unwrap();
    assert_eq!(response.headers()["server"], "app/1", "the target's own");
    assert!(!response.headers().contains_key("keep-alive"));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap().replace(&field.port.to_string(), "PORT");
    let own = between(&body, "Self=", ";").to_owned();
    assert_eq!(own.len(), "1-67891233-abcdef012345678912345678".len());
    insta::assert_snapshot!(body.replace(&own, "OWN"), @r"
    GET /headers?q=1
    host: 127.0.0.1:PORT
    x-amzn-trace-id: Self=OWN;Root=1-67891233-abcdef012345678912345678;Sampled=1
    x-forwarded-for: 203.0.113.7, 127.0.0.1
    x-forwarded-port: PORT
    x-forwarded-proto: http
    x-kept: yes
    ");
}

#[tokio::test]
async fn probes_find_what_there_is_and_end_with_the_registration() {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let field = Field::with(&[&a, &b]).await;
    a.set_health(500);
    field.becomes(&a, "unhealthy Target.ResponseCodeMismatch").await;
    for _ in 0..4 {
        assert_eq!(field.get("/").await.1, "b");
    }
    b.set_health(503);
    field.becomes(&b, "unhealthy Target.ResponseCodeMismatch").await;
    let open: Vec<_> = [field.get("/").await.1, field.get("/").await.1].into();
    assert_eq!(tally(open), [("a".into(), 1), ("b".into(), 1)].into(), "with none healthy it fails open");
    a.set_health(200);
    field.becomes(&a, "healthy").await;
    assert_eq!((field.get("/").await.1, field.get("/").await.1), ("a".into(), "a".into()));

    let gone = nobody();
    field.register(&gone);
    field.becomes(&gone, "unhealthy Target.FailedHealthChecks").await;

    field.deregister(&a);
    let (probes, others) = (a.probes(), b.probes());
    until("five more probes of the other", || b.probes() >= others + 5).await;
    assert!(a.probes() <= probes + 1, "only one on its way may still have come");
}

#[tokio::test]
async fn a_silent_target_times_out() {
    let silent = Server::raw("silent", |mut stream, _| async move { while read_head(&mut stream).await {} }).await;
    let field = Field::new();
    field.register(&silent);
    field.becomes(&silent, "unhealthy Target.Timeout").await;
}

#[tokio::test]
async fn a_draining_target_finishes_what_it_has_and_gets_nothing_new() {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let field = Field::with(&[&a]).await;
    field.attribute("deregistration_delay.timeout_seconds", "3600");
    let mut kept = field.client().await;
    assert_eq!(kept.get("/").await.unwrap().1, "a");
    let mut busy = field.client().await;
    let in_flight = tokio::spawn(async move { busy.get("/gate").await.unwrap() });
    until("the request at the gate", || a.requests() == 2).await;
    assert_eq!(kept.get("/").await.unwrap().1, "a");
    assert!(a.connections() >= 2, "one busy, one idle");
    field.register(&b);
    field.becomes(&b, "healthy").await;

    field.deregister(&a);
    assert_eq!(field.health(&a), "draining Target.DeregistrationInProgress");
    for _ in 0..20 {
        assert_eq!(kept.get("/").await.unwrap().1, "b", "the client's connection lives on");
        assert_eq!(field.get("/").await.1, "b");
    }
    assert_eq!(a.requests(), 3);
    until("idle connections to be closed", || a.connections() == 1).await;
    a.open_gate();
    assert_eq!(in_flight.await.unwrap(), (StatusCode::OK, "a".to_owned()));
    until("the last connection to be closed", || a.connections() == 0).await;
}

#[tokio::test]
async fn the_end_of_a_drain_cuts_what_is_left() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    field.attribute("deregistration_delay.timeout_seconds", "10");
    let mut tunnel = socket(&field).await;
    let mut busy = field.client().await;
    let in_flight = tokio::spawn(async move { busy.get("/gate").await.unwrap() });
    until("the request at the gate", || a.requests() == 2).await;
    field.deregister(&a);
    assert_eq!(shout(&mut tunnel, "still there").await, "STILL THERE");
    assert_eq!(in_flight.await.unwrap().0, StatusCode::BAD_GATEWAY);
    assert_eq!(soon("the tunnel's end", tunnel.read(&mut [0; 8])).await.unwrap_or(0), 0);
    assert_eq!(field.health(&a), "unused Target.NotRegistered");
    until("nothing to be left", || a.connections() == 0).await;
}

/// A tunnel through the balancer.
pub(super) async fn socket(field: &Field) -> TokioIo<hyper::upgrade::Upgraded> {
    let mut client = field.client().await;
    let mut request = client.request("GET", "/socket", empty());
    request.headers_mut().insert(header::CONNECTION, "Upgrade".parse().unwrap());
    request.headers_mut().insert(header::UPGRADE, "shout".parse().unwrap());
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()[header::UPGRADE], "shout");
    TokioIo::new(soon("the tunnel", hyper::upgrade::on(response)).await.unwrap())
}

pub(super) async fn shout(tunnel: &mut TokioIo<hyper::upgrade::Upgraded>, words: &str) -> String {
    tunnel.write_all(words.as_bytes()).await.unwrap();
    let mut heard = vec![0; words.len()];
    soon("an echo", tunnel.read_exact(&mut heard)).await.unwrap();
    String::from_utf8(heard).unwrap()
}

#[tokio::test]
async fn upgraded_connections_are_tunnels_and_count_as_in_flight() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    let mut tunnel = socket(&field).await;
    assert_eq!(shout(&mut tunnel, "hello").await, "HELLO");
    assert_eq!(shout(&mut tunnel, "again").await, "AGAIN");
    assert_eq!(field.in_flight(), 1);
    drop(tunnel);
    until("the tunnel to be gone", || field.in_flight() == 0 && a.connections() == 0).await;
}

/// The promise the sandbox exists for. Clients hammer without a pause while targets come and go; every request carries
/// the number of deregistrations that had returned when it was made.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_fails_and_none_reaches_a_draining_target() {
    let servers = [Server::start("a").await, Server::start("b").await, Server::start("c").await];
    let field = Field::with(&[&servers[0], &servers[1], &servers[2]]).await;
    field.attribute("deregistration_delay.timeout_seconds", "5");
    let (epoch, stop, sent) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (epoch, stop, sent, port) = (Arc::clone(&epoch), Arc::clone(&stop), Arc::clone(&sent), field.port);
            tokio::spawn(async move {
                let mut client = Client::connect(port).await;
                while !stop.load(Ordering::SeqCst) {
                    let count = sent.fetch_add(1, Ordering::SeqCst);
                    if count % 97 == 0 {
                        client = Client::connect(port).await;
                    }
                    let (method, path, body) = if number % 2 == 0 {
                        ("GET", "/", empty())
                    } else {
                        ("POST", "/echo", Full::new(Bytes::from("ping")).map_err(|never| match never {}).boxed())
                    };
                    let mut request = client.request(method, path, body);
                    let stamp = epoch.load(Ordering::SeqCst);
                    request.headers_mut().insert("x-stamp", stamp.into());
                    let response = client.send(request).await.unwrap();
                    assert_eq!(response.status(), StatusCode::OK);
                    let body = response.into_body().collect().await.unwrap().to_bytes();
                    assert!(!body.is_empty());
                }
            })
        })
        .collect();
    for round in 0..12 {
        let server = &servers[round % 3];
        field.deregister(server);
        let after = epoch.fetch_add(1, Ordering::SeqCst) + 1;
        let goal = sent.load(Ordering::SeqCst) + 200;
        until("two hundred more requests", || sent.load(Ordering::SeqCst) >= goal).await;
        field.becomes(server, "unused Target.NotRegistered").await;
        let late: Vec<_> = server.stamps().into_iter().filter(|stamp| *stamp >= after).collect();
        assert_eq!(late, Vec::<u64>::new(), "{} got requests made after its deregistration", server.name);
        field.register(server);
        field.becomes(server, "healthy").await;
        let goal = server.requests() + 20;
        until("the target to take its turn again", || server.requests() >= goal).await;
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
}

/// What `make bench` measures as a rate, as a count: many clients at once, and nobody loses a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_requests_loses_none() {
    const CLIENTS: usize = 64;
    const EACH: usize = 100;
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let field = Field::with(&[&a, &b]).await;
    let port = field.port;
    let client = || async move {
        let mut client = Client::connect(port).await;
        for _ in 0..EACH {
            assert_eq!(client.get("/").await.unwrap().0, StatusCode::OK);
        }
    };
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(client())).collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(a.requests() + b.requests(), CLIENTS * EACH);
    assert_eq!(field.in_flight(), 0);
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    const PIECES: usize = 512;
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    let mut client = field.client().await;
    let (pieces, receiver) = mpsc::channel::<Bytes>(1);
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), receiver))
    });
    let body: Body = StreamBody::new(stream).map_err(|never| match never {}).boxed();
    let request = client.request("POST", "/echo", body);
    pieces.send(Bytes::from_static(b"first")).await.unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!(response.headers().get(header::CONTENT_LENGTH), None, "chunked, as it came");
    let mut body = response.into_body();
    let first = soon("the first piece", body.frame()).await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first", "comes back while the upload still runs");
    let upload = tokio::spawn(async move {
        for number in 0..PIECES {
            pieces.send(Bytes::from(vec![u8::try_from(number % 251).unwrap(); 65_536])).await.unwrap();
        }
    });
    let mut seen = 0_usize;
    while let Some(frame) = soon("a piece", body.frame()).await {
        for byte in frame.unwrap().into_data().unwrap() {
            assert_eq!(usize::from(byte), seen / 65_536 % 251);
            seen += 1;
        }
    }
    upload.await.unwrap();
    assert_eq!(seen, PIECES * 65_536);
}

#[tokio::test]
async fn a_known_length_stays_known() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    let mut client = field.client().await;
    let body = Full::new(Bytes::from(vec![7; 100_000])).map_err(|never| match never {}).boxed();
    let request = client.request("PUT", "/echo", body);
    let response = client.send(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 100_000);
    let request = client.request("HEAD", "/", empty());
    let response = client.send(request).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_LENGTH], "1");
    assert_eq!(client.get("/").await.unwrap().1, "a", "and the connection is in step");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    let mut stream = TcpStream::connect(("127.0.0.1", field.port)).await.unwrap();
    stream.write_all(b"GET /gate HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    until("the request at the gate", || a.requests() == 1).await;
    drop(stream);
    until("the target to be told", || a.dropped() == 1 && field.in_flight() == 0).await;
}

#[tokio::test]
async fn errors_are_the_real_balancers_pages() {
    let field = Field::new();
    let mut client = field.client().await;
    let request = client.request("GET", "/", empty());
    let response = client.send(request).await.unwrap();
    assert_eq!(response.headers()["server"], "awselb/2.0");
    assert_eq!(response.headers()["content-type"], "text/html");
    assert_eq!(response.headers()["content-length"], "162");
    let page = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        page,
        "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n\
         <center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n"
    );

    let absent = nobody();
    field.register(&absent);
    assert_eq!(client.get("/").await.unwrap().0, StatusCode::SERVICE_UNAVAILABLE, "initial takes nothing");
    field.becomes(&absent, "unhealthy Target.FailedHealthChecks").await;
    let (status, page) = client.get("/").await.unwrap();
    assert_eq!((status, page.len()), (StatusCode::BAD_GATEWAY, 122));
    assert!(page.contains("<h1>502 Bad Gateway</h1>"));
    field.deregister(&absent);

    let junk = Server::raw("junk", |mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await;
    })
    .await;
    let field = Field::with(&[&junk]).await;
    assert_eq!(field.get("/").await.0, StatusCode::BAD_GATEWAY);
    let quiet = Server::raw("quiet", |mut stream, _| async move {
        read_head(&mut stream).await;
    })
    .await;
    let field = Field::with(&[&quiet]).await;
    assert_eq!(field.get("/").await.0, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_target_that_takes_too_long_is_a_504() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    let members = [
        ("LoadBalancerArn", field.load_balancer.as_str()),
        ("Attributes.member.1.Key", "idle_timeout.timeout_seconds"),
        ("Attributes.member.1.Value", "1"),
    ];
    field.ask("ModifyLoadBalancerAttributes", &members);
    let (status, page) = field.get("/gate").await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert!(page.contains("<h1>504 Gateway Time-out</h1>"));
    until("the target to be told", || a.dropped() == 1).await;
}

/// Answers one request on each connection, promising to keep it, and then closes it: at once, or over the next request.
async fn fickle(name: &'static str, closes: Closes) -> Server {
    Server::raw(name, move |mut stream, _| async move {
        if read_head(&mut stream).await {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok").await;
            if closes == Closes::OverTheNext {
                read_head(&mut stream).await;
            }
        }
    })
    .await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closes {
    AtOnce,
    OverTheNext,
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_nobodys_error() {
    for closes in [Closes::AtOnce, Closes::OverTheNext] {
        let server = fickle("fickle", closes).await;
        let field = Field::with(&[&server]).await;
        let mut client = field.client().await;
        for number in 0..50 {
            let answer = client.get("/").await.unwrap();
            assert_eq!(answer, (StatusCode::OK, "ok".to_owned()), "{closes:?} {number}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_repeated_takes_no_connection_that_may_be_stale() {
    let server = fickle("fickle", Closes::OverTheNext).await;
    let field = Field::with(&[&server]).await;
    let mut client = field.client().await;
    assert_eq!(client.get("/").await.unwrap().0, StatusCode::OK);
    let at = tokio::time::Instant::now();
    until("the connection to be old", || at.elapsed() > FRESH).await;
    let request = client.request("POST", "/", empty());
    assert_eq!(client.send(request).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_request_that_may_have_been_done_is_not_done_twice() {
    let heads = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heads);
    let server = Server::raw("once", move |mut stream, _| {
        let count = Arc::clone(&count);
        async move {
            if read_head(&mut stream).await {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
            if read_head(&mut stream).await {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let field = Field::with(&[&server]).await;
    let mut client = field.client().await;
    assert_eq!(client.get("/").await.unwrap().0, StatusCode::OK);
    let request = client.request("POST", "/", empty());
    assert_eq!(client.send(request).await.unwrap().status(), StatusCode::BAD_GATEWAY);
    assert_eq!(heads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn rules_choose_by_path_and_host() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    let rule = |priority: &str, field_name: &str, value: &str, action: &[(&str, &str)]| {
        let members = [
            ("ListenerArn", field.listener.as_str()),
            ("Priority", priority),
            ("Conditions.member.1.Field", field_name),
            ("Conditions.member.1.Values.member.1", value),
        ];
        field.ask("CreateRule", &[&members[..], action].concat());
    };
    rule(
        "1",
        "path-pattern",
        "/teapot*",
        &[
            ("Actions.member.1.Type", "fixed-response"),
            ("Actions.member.1.FixedResponseConfig.StatusCode", "418"),
            ("Actions.member.1.FixedResponseConfig.ContentType", "application/json"),
            ("Actions.member.1.FixedResponseConfig.MessageBody", "{}"),
        ],
    );
    rule(
        "2",
        "host-header",
        "old.example",
        &[
            ("Actions.member.1.Type", "redirect"),
            ("Actions.member.1.RedirectConfig.StatusCode", "HTTP_301"),
            ("Actions.member.1.RedirectConfig.Host", "new.example"),
        ],
    );
    assert_eq!(field.get("/teapot/1").await, (StatusCode::IM_A_TEAPOT, "{}".into()));
    assert_eq!(field.get("/tea").await, (StatusCode::OK, "a".into()));
    let mut client = field.client().await;
    let mut request = client.request("GET", "/x?y=z", empty());
    request.headers_mut().insert(header::HOST, "old.example".parse().unwrap());
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::MOVED_PERMANENTLY);
    let location = format!("http://new.example:{}/x?y=z", field.port);
    assert_eq!(response.headers()[header::LOCATION], location.as_str());
}

#[tokio::test]
async fn weights_share_the_requests() {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let field = Field::with(&[&a]).await;
    let members = [
        ("Name", "other"),
        ("Protocol", "HTTP"),
        ("Port", "80"),
        ("TargetType", "ip"),
        ("HealthCheckPath", "/health"),
        ("HealthCheckIntervalSeconds", "6"),
    ];
    let xml = field.ask("CreateTargetGroup", &members);
    let other = between(&xml, "<TargetGroupArn>", "<").to_owned();
    let shares = |first: &str, second: &str| {
        field.ask(
            "ModifyListener",
            &[
                ("ListenerArn", &field.listener),
                ("DefaultActions.member.1.Type", "forward"),
                ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn", &field.group),
                ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.Weight", first),
                ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.2.TargetGroupArn", &other),
                ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.2.Weight", second),
            ],
        );
    };
    shares("0", "1");
    let port = b.target.port.to_string();
    let target =
        [("TargetGroupArn", other.as_str()), ("Targets.member.1.Id", "127.0.0.1"), ("Targets.member.1.Port", &port)];
    field.ask("RegisterTargets", &target);
    until("b healthy", || lock(&field.world).elb.health(&other, &b.target).reason.is_none()).await;
    for (first, second, at_least) in [("0", "1", 200), ("1", "0", 0), ("1", "1", 60)] {
        shares(first, second);
        let mut client = field.client().await;
        let mut from_b = 0;
        for _ in 0..200 {
            from_b += usize::from(client.get("/").await.unwrap().1 == "b");
        }
        // Sixty of two hundred at even shares is 5.7 standard deviations off.
        let at_most = if at_least == 60 { 140 } else { at_least };
        assert!((at_least..=at_most).contains(&from_b), "{first}:{second} gave b {from_b}");
    }
}

#[tokio::test]
async fn a_cookie_sticks_until_its_target_drains() {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let field = Field::with(&[&a, &b]).await;
    field.attribute("stickiness.enabled", "true");
    let mut client = field.client().await;
    let request = client.request("GET", "/", empty());
    let response = client.send(request).await.unwrap();
    let cookies: Vec<_> =
        response.headers().get_all(header::SET_COOKIE).iter().map(|one| one.to_str().unwrap()).collect();
    assert!(cookies[0].starts_with("AWSALB=") && cookies[0].ends_with(" GMT; Path=/"), "{cookies:?}");
    assert!(cookies[1].starts_with("AWSALBCORS=") && cookies[1].ends_with("; SameSite=None"), "{cookies:?}");
    let cookie = cookies[0].split(';').next().unwrap().to_owned();
    let first = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let again = async |client: &mut Client| {
        let mut request = client.request("GET", "/", empty());
        request.headers_mut().insert(header::COOKIE, format!("x=1; {cookie}").parse().unwrap());
        let response = client.send(request).await.unwrap();
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    };
    for _ in 0..6 {
        assert_eq!(again(&mut client).await, first);
    }
    let (gone, left) = if first == "a" { (&a, "b") } else { (&b, "a") };
    field.deregister(gone);
    for _ in 0..6 {
        assert_eq!(again(&mut client).await, left);
    }
}

/// One request for `/session` with these cookies: who answered, and what cookies it gave.
async fn in_session(client: &mut Client, cookies: &str) -> (String, Vec<String>) {
    let mut request = client.request("GET", "/session", empty());
    request.headers_mut().insert(header::COOKIE, cookies.parse().unwrap());
    let response = client.send(request).await.unwrap();
    let given = response.headers().get_all(header::SET_COOKIE).iter();
    let given = given.map(|one| one.to_str().unwrap().split(';').next().unwrap().to_owned()).collect();
    (String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap(), given)
}

#[tokio::test]
async fn the_program_s_own_cookie_sticks_for_as_long_as_the_client_has_it() {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let field = Field::with(&[&a, &b]).await;
    field.attribute("stickiness.enabled", "true");
    field.attribute("stickiness.type", "app_cookie");
    field.attribute("stickiness.app_cookie.cookie_name", "session");
    let mut client = field.client().await;
    let (first, given) = in_session(&mut client, "x=1").await;
    assert!(given.len() == 2 && given[0] == "session=abc" && given[1].starts_with("AWSALBAPP-0="), "{given:?}");
    for _ in 0..6 {
        let (again, given) = in_session(&mut client, &given.join("; ")).await;
        // The program sets no new cookie, so neither does the balancer.
        assert_eq!((again, given), (first.clone(), Vec::new()));
    }
    // Without the program's cookie the balancer's leads nowhere, and the other way round.
    for half in &given {
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(in_session(&mut client, half).await.0);
        }
        assert!(seen.contains(&"a".to_owned()) && seen.contains(&"b".to_owned()), "{half}: {seen:?}");
    }
    let own = [
        ("TargetGroupArn", field.group.as_str()),
        ("Attributes.member.1.Key", "stickiness.app_cookie.cookie_name"),
        ("Attributes.member.1.Value", "AWSALB"),
    ];
    assert_eq!(ask(&field.world, "ModifyTargetGroupAttributes", &own).unwrap_err().code, "ValidationError");
}

#[tokio::test]
async fn ports_are_taken_and_given_back_with_the_call() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    let port = field.port.to_string();
    let members = [
        ("LoadBalancerArn", field.load_balancer.as_str()),
        ("Port", port.as_str()),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.TargetGroupArn", field.group.as_str()),
    ];
    let mut listener = field.listener.clone();
    for _ in 0..5 {
        let mut kept = field.client().await;
        kept.get("/").await.unwrap();
        field.ask("DeleteListener", &[("ListenerArn", &listener)]);
        assert!(TcpStream::connect(("127.0.0.1", field.port)).await.is_err(), "closed when the call has returned");
        soon("the end of the client's connection", async { while kept.get("/").await.is_ok() {} }).await;
        let xml = field.ask("CreateListener", &members);
        between(&xml, "<ListenerArn>", "<").clone_into(&mut listener);
        // New targets start from the beginning, and take nothing before.
        field.becomes(&a, "healthy").await;
        assert_eq!(field.get("/").await.1, "a");
    }
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = busy.local_addr().unwrap().port().to_string();
    let mut elsewhere = members;
    elsewhere[1].1 = &taken;
    let fault = ask(&field.world, "CreateListener", &elsewhere).unwrap_err();
    assert_eq!(fault.code, "ResourceInUse");
    drop(busy);
    let members = [("ListenerArn", listener.as_str()), ("Port", taken.as_str())];
    field.ask("ModifyListener", &members);
    assert_eq!(Client::connect(taken.parse().unwrap()).await.get("/").await.unwrap().1, "a");
    assert!(TcpStream::connect(("127.0.0.1", field.port)).await.is_err());
}

#[tokio::test]
async fn a_restart_brings_the_same_ports_and_targets() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    assert_eq!(field.get("/").await.1, "a");
    let text = serde_json::to_string(&lock(&field.world).elb).unwrap();
    field.balancer.stop().await;
    let mut squatter = Some(std::net::TcpListener::bind(("127.0.0.1", field.port)).unwrap());
    let world = empty_world();
    lock(&world).elb = serde_json::from_str(&text).unwrap();
    let balancer = Balancer::start(Arc::clone(&world), vec![Ipv4Addr::LOCALHOST.into()]);
    assert_eq!(balancer.unbound().first().map(|(port, _)| *port), Some(field.port));
    squatter.take();
    until("the port to be bound again", || balancer.unbound().is_empty()).await;
    assert_eq!(Client::connect(field.port).await.get("/").await.unwrap().1, "a");
    balancer.stop().await;
}

#[tokio::test]
async fn stopping_lets_requests_finish() {
    let a = Server::start("a").await;
    let field = Field::with(&[&a]).await;
    let mut busy = field.client().await;
    let in_flight = tokio::spawn(async move { busy.get("/gate").await.unwrap() });
    until("the request at the gate", || a.requests() == 1).await;
    let idle = field.client().await;
    let port = field.port;
    let stopping = tokio::spawn(async move { field.balancer.stop().await });
    until("the port to be closed", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err()).await;
    a.open_gate();
    assert_eq!(in_flight.await.unwrap(), (StatusCode::OK, "a".to_owned()));
    soon("the stop", stopping).await.unwrap();
    drop(idle);
}
