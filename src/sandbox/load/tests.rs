//! A load on servers that answer, are slow, refuse and cut.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// A rate is requests over time: time has to pass here.
async fn lapse(duration: Duration) {
    let _over = tokio::time::timeout(duration, std::future::pending::<()>()).await;
}

/// A server that answers every connection's requests with `answer`, after `wait`; `None` cuts instead.
async fn server(answer: Option<&'static str>, wait: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = [0; 2048];
                while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                    lapse(wait).await;
                    let Some(answer) = answer else { return };
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    authority
}

async fn drive_for(load: Load, how_long: Duration) -> Tally {
    let (stop, stopped) = watch::channel(());
    let driving = tokio::spawn(drive(load, stopped));
    lapse(how_long).await;
    stop.send(()).unwrap();
    driving.await.unwrap()
}

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-ecs-ship-target: 127.0.0.1:1\r\n\r\nok";

#[tokio::test]
async fn the_rate_is_kept_however_slow_the_answers_are() {
    let load = Load { authority: server(Some(GOOD), Duration::from_millis(300)).await, rate: 100, ..Load::default() };
    let tally = drive_for(load, Duration::from_secs(1)).await;
    // A closed loop of a few connections would have sent a handful each.
    assert!((80..=105).contains(&tally.requests), "{tally:?}");
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert!(tally.slowest_ms >= 300, "{tally:?}");
    let target = &tally.targets["127.0.0.1:1"];
    assert_eq!(target.requests, tally.requests);
    assert!(target.quantile(0.5) >= 300 && target.quantile(1.0) == tally.slowest_ms, "{tally:?}");
}

#[tokio::test]
async fn what_is_cut_and_what_is_refused_is_lost_and_kept_with_its_time() {
    let load = Load { authority: server(None, Duration::ZERO).await, rate: 50, ..Load::default() };
    let tally = drive_for(load, Duration::from_millis(300)).await;
    assert!(tally.requests > 5 && tally.failed == tally.requests, "{tally:?}");
    assert_eq!(tally.lost[0].kind, "connection ended under the request");
    let error = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";
    let load = Load { authority: server(Some(error), Duration::ZERO).await, rate: 50, ..Load::default() };
    let tally = drive_for(load, Duration::from_millis(300)).await;
    assert_eq!(tally.failures.keys().collect::<Vec<_>>(), ["502 from the program"]);
    assert_eq!(tally.lost[0].by, Blame::Program);
    let error = "HTTP/1.1 502 Bad Gateway\r\nserver: awselb/2.0\r\ncontent-length: 0\r\n\r\n";
    let load = Load { authority: server(Some(error), Duration::ZERO).await, rate: 50, ..Load::default() };
    let tally = drive_for(load, Duration::from_millis(300)).await;
    assert_eq!(tally.failures.keys().collect::<Vec<_>>(), ["502 from the balancer"]);
    assert_eq!(tally.lost[0].by, Blame::Balancer);
    // An answer that says no is an answer.
    let no = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let load = Load { authority: server(Some(no), Duration::ZERO).await, rate: 50, ..Load::default() };
    let tally = drive_for(load, Duration::from_millis(300)).await;
    assert_eq!((tally.failed, tally.statuses[&404]), (0, tally.requests));
}

#[tokio::test]
async fn a_load_that_cannot_keep_its_rate_says_so() {
    let authority = server(Some(GOOD), Duration::from_millis(200)).await;
    let easy = Load { authority: authority.clone(), rate: 20, ..Load::default() };
    let tally = drive_for(easy.clone(), Duration::from_millis(500)).await;
    assert_eq!(tally.late.requests, 0, "{tally:?}");
    assert!((400..5_000).contains(&tally.lasted_ms), "{tally:?}");
    // Two at a time, each for 200 ms: ten a second and no more.
    let narrow = Load { rate: 100, connections: 2, ..easy };
    let tally = drive_for(narrow, Duration::from_millis(500)).await;
    assert!(tally.late.requests > 10 && tally.late.longest_ms > 500, "{tally:?}");
}

#[tokio::test]
async fn a_socket_that_is_refused_says_why() {
    let no = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let authority = server(Some(no), Duration::ZERO).await;
    let load = Load { authority, rate: 1, websockets: 2, websocket_path: "/ws".to_owned(), ..Load::default() };
    let sockets = drive_for(load, Duration::from_millis(300)).await.websockets;
    assert_eq!(sockets.refusals.keys().collect::<Vec<_>>(), ["404 from the program"]);
    assert!(sockets.opened == 0 && sockets.refused >= 2, "{sockets:?}");
}

#[tokio::test]
async fn each_request_counts_in_the_phase_it_was_due_in() {
    let load = Load { authority: server(Some(GOOD), Duration::ZERO).await, rate: 100, ..Load::default() };
    let (phases, phase) = watch::channel(Phase::Before);
    let (stop, stopped) = watch::channel(());
    let driving = tokio::spawn(drive_through(load, phase, stopped));
    lapse(Duration::from_millis(200)).await;
    phases.send(Phase::Drain).unwrap();
    lapse(Duration::from_millis(200)).await;
    stop.send(()).unwrap();
    let tally = driving.await.unwrap();
    assert!(tally.phases[&Phase::Before].requests > 5 && tally.phases[&Phase::Drain].requests > 5, "{tally:?}");
    assert_eq!(tally.phases.values().map(|share| share.requests).sum::<u64>(), tally.requests);
}

#[test]
fn slow_requests_are_spread_over_all_targets() {
    for every in [2, 5, 20, 50] {
        let slow: Vec<u64> = (1..=10_000).filter(|number| is_slow(*number, every)).collect();
        let expected = 10_000 / usize::try_from(every).unwrap();
        assert!(slow.len().abs_diff(expected) < expected / 5, "{every}: {}", slow.len());
        for targets in 2..6 {
            let met: std::collections::BTreeSet<u64> = slow.iter().map(|number| number % targets).collect();
            assert_eq!(met.len() as u64, targets, "{every} {targets}");
        }
    }
    assert!(!is_slow(7, 0));
}
