//! Health checks.

use std::sync::{Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::super::super::clock;
use super::super::super::world::elb::{Failing, HealthCheck, ProbeOutcome, Probed, REGISTRATION_SECONDS, Target};
use super::super::super::world::{Pace, World};
use super::{address, lock};

/// A program is asked no more often than this, however fast the sandbox's time runs.
const LEAST_INTERVAL: Duration = Duration::from_millis(20);

/// Probes `target` at the check's interval and tells the world, for as long as there is one.
pub(super) async fn repeat(world: Weak<Mutex<World>>, pace: Pace, group: String, target: Target, check: HealthCheck) {
    let period = pace.scaled(Duration::from_secs(check.interval_seconds.into())).max(LEAST_INTERVAL);
    // Not scaled: however fast the sandbox's time runs, the program's does not.
    let limit = Duration::from_secs(check.timeout_seconds.into());
    let first = Instant::now() + pace.scaled(Duration::from_secs(REGISTRATION_SECONDS));
    let mut beat = interval_at(first, period);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let asked = Instant::now();
        let outcome = timeout(limit, probe(&target, &check)).await.unwrap_or(ProbeOutcome::Failed(Failing::TimedOut));
        let took_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Some(world) = world.upgrade() else { return };
        let (mut world, at) = (lock(&world), clock::now());
        world.elb.note_probe(Probed { group: group.clone(), target: target.clone(), at, took_ms, outcome });
        world.elb.probe_result(&group, &target, outcome, pace, at);
    }
}

/// One check on a connection of its own: "after each health check is completed, the load balancer node closes the
/// connection".
async fn probe(target: &Target, check: &HealthCheck) -> ProbeOutcome {
    let address = address(target, check.port.of(target));
    let request = Request::get(check.path.as_str())
        .header(header::HOST, address.to_string())
        .header(header::USER_AGENT, "ELB-HealthChecker/2.0")
        .header(header::ACCEPT_ENCODING, "gzip, compressed")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let status = async {
        let stream = TcpStream::connect(address).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let mut exchange = std::pin::pin!(sender.send_request(request.ok()?));
        let response = tokio::select! {
            response = exchange.as_mut() => response,
            // One that closes right behind its answer has still handed it over.
            _ = connection => exchange.await,
        };
        response.ok().map(|response| response.status().as_u16())
    };
    match status.await {
        Some(code) if check.matcher.matches(code) => ProbeOutcome::Passed,
        Some(code) => ProbeOutcome::Failed(Failing::Code(code)),
        None => ProbeOutcome::Failed(Failing::Broken),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_target_that_closes_with_its_answer_is_healthy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                let _read = stream.read(&mut head).await.unwrap();
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwell")
                    .await
                    .unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        let target = Target { address: "127.0.0.1".to_owned(), port };
        for _ in 0..200 {
            assert_eq!(probe(&target, &HealthCheck::default()).await, ProbeOutcome::Passed);
        }
    }
}
