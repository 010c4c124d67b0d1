//! A WebSocket held open (RFC 6455): pinged, opened again when the server closes it in good order, and
//! counted as cut when it just ends.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::header;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    sync::watch,
};

use super::{Load, Tally, answered_by, connect, lock, request, told};

/// How often it is pinged.
const PING: Duration = Duration::from_millis(500);

/// How often one is opened at most.
const AGAIN: Duration = Duration::from_millis(250);

/// "%x8 denotes a connection close".
const CLOSE: u8 = 0x8;

/// How a socket ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    Cut,
}

/// Holds one open until `stop` changes.
pub(super) async fn hold(load: Arc<Load>, tally: Arc<Mutex<Tally>>, mut stop: watch::Receiver<()>) {
    let mut tries = tokio::time::interval(AGAIN);
    tries.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let opened = tokio::select! {
            opened = async { tries.tick().await; open(&load).await } => opened,
            _ = stop.changed() => return,
        };
        let stream = match opened {
            Ok(stream) => stream,
            Err(why) => {
                let sockets = &mut lock(&tally).websockets;
                sockets.refused += 1;
                *sockets.refusals.entry(why).or_default() += 1;
                continue;
            }
        };
        lock(&tally).websockets.opened += 1;
        let end = tokio::select! {
            end = stay(stream) => end,
            _ = stop.changed() => return,
        };
        let sockets = &mut lock(&tally).websockets;
        match end {
            End::Closed => sockets.closed += 1,
            End::Cut => sockets.cut += 1,
        }
    }
}

type Stream = TokioIo<hyper::upgrade::Upgraded>;

/// Opens one, or says why it cannot be.
async fn open(load: &Load) -> Result<Stream, String> {
    let mut key = [0_u8; 16];
    // It only shows that the answer is to this request; nothing depends on nobody guessing it.
    let _unseeded = getrandom::fill(&mut key);
    let request = request(load, &load.websocket_path)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, STANDARD.encode(key))
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let mut sender = connect(&load.authority).await.map_err(|broken| broken.kind.to_owned())?;
        let response =
            sender.send_request(request).await.map_err(|_| "connection ended under the request".to_owned())?;
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            return Err(told(response.status().as_u16(), answered_by(&response)));
        }
        hyper::upgrade::on(response).await.map(TokioIo::new).map_err(|error| error.to_string())
    };
    tokio::time::timeout(load.limit, exchange).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

/// Pings until it ends.
async fn stay(stream: Stream) -> End {
    let (mut read, mut write) = tokio::io::split(stream);
    let pinging = async {
        let mut beat = tokio::time::interval(PING);
        loop {
            beat.tick().await;
            // FIN and opcode 9; no payload; "a client MUST mask all frames", here with zeros.
            if write.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.is_err() {
                // What ended it is for the reading half to say.
                std::future::pending::<()>().await;
            }
        }
    };
    let reading = async {
        loop {
            match frame(&mut read).await {
                Ok(CLOSE) => return End::Closed,
                Ok(_) => {}
                Err(_) => return End::Cut,
            }
        }
    };
    tokio::select! {
        () = pinging => End::Cut,
        end = reading => end,
    }
}

/// Reads one frame and gives its opcode.
async fn frame(read: &mut (impl AsyncRead + Unpin)) -> io::Result<u8> {
    let mut head = [0_u8; 2];
    read.read_exact(&mut head).await?;
    let length = match head[1] & 0x7f {
        126 => u64::from(read.read_u16().await?),
        127 => read.read_u64().await?,
        short => u64::from(short),
    };
    // A server never masks.
    tokio::io::copy(&mut read.take(length), &mut tokio::io::sink()).await?;
    Ok(head[0] & 0x0f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_told_apart_and_skipped_whole() {
        let mut bytes: Vec<u8> = vec![0x81, 3, b'a', b'b', b'c', 0x82, 126, 1, 0];
        bytes.extend([7; 256]);
        bytes.extend([0x88, 2, 3, 0xe9]);
        let mut read = bytes.as_slice();
        assert_eq!(frame(&mut read).await.unwrap(), 1);
        assert_eq!(frame(&mut read).await.unwrap(), 2);
        assert_eq!(frame(&mut read).await.unwrap(), CLOSE);
        assert!(frame(&mut read).await.is_err());
    }
}
