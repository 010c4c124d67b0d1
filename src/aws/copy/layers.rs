//! Layers on their way from one repository to another: a few at once, each in parts, none of them whole in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_ecr as sdk;
use aws_sdk_ecr::{
    config::{AsyncSleep as _, http::HttpRequest},
    primitives::Blob,
};
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{CopyError, End, SERVICE, manifest::Piece};
use crate::{
    aws::{
        call::send,
        error::{AwsError, ConnectCause},
    },
    event::{Layer, LayerState, Progress},
};

/// "Layer parts must be at least 5 MiB", all but the last, and a part that is sent again costs all of it.
const PART: usize = 8 * 1024 * 1024;

/// As many as docker pushes at once by default are five; each of these is on two lines at once.
const AT_ONCE: usize = 3;

/// How often a layer is begun anew, and how often reading one goes on where it ended.
const ATTEMPTS: u32 = 4;

/// A line that says nothing for so long is lost.
const SILENCE: Duration = Duration::from_secs(30);

/// How often the layers are told: what an eye can follow.
const TICK: Duration = Duration::from_millis(100);

/// A configuration is a few kilobytes.
const SMALL: u64 = 8 * 1024 * 1024;

/// Both ends, and what reads the addresses that ECR gives for layers.
pub(super) struct Wire<'a> {
    pub(super) from: &'a End<'a>,
    pub(super) to: &'a End<'a>,
    pub(super) connector: Connector,
}

/// Sends those of the layers that lack, and tells of all. Gives those that did not arrive and are not needed, with why.
pub(super) async fn send_all(
    wire: &Wire<'_>,
    all: &[Piece],
    lacking: &[Piece],
    needed: &[Piece],
    progress: &mpsc::Sender<Progress>,
) -> Result<BTreeMap<String, CopyError>, CopyError> {
    let board = Board::of(all, lacking);
    // Each is begun when there is room for it.
    let sends: Vec<_> = lacking.iter().map(|piece| wire.send_if_it_can(piece, needed, &board).boxed()).collect();
    let sending = stream::iter(sends).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>();
    tokio::pin!(sending);
    let mut ticker = interval(TICK);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let sent = loop {
        tokio::select! {
            sent = &mut sending => break sent,
            _ = ticker.tick() => {
                // A newer number will come.
                progress.try_send(board.snapshot(Snapshot::OneOfMany)).ok();
            }
        }
    };
    // A face that has gone away is no reason to stop.
    progress.send(board.snapshot(Snapshot::Last)).await.ok();
    Ok(sent?.into_iter().flatten().collect())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Snapshot {
    OneOfMany,
    Last,
}

/// Where each layer stands.
struct Board(Mutex<Vec<(String, Layer)>>);

impl Board {
    fn of(all: &[Piece], lacking: &[Piece]) -> Self {
        let layers = all.iter().map(|piece| {
            let state = if lacking.contains(piece) { LayerState::Waiting } else { LayerState::Exists };
            let id = piece.digest.rsplit(':').next().unwrap_or_default().chars().take(12).collect();
            (piece.digest.clone(), Layer { id, state, current: 0, total: Some(piece.size) })
        });
        Self(Mutex::new(layers.collect()))
    }

    fn tell(&self, piece: &Piece, state: LayerState, current: u64) {
        let mut layers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, layer)) = layers.iter_mut().find(|(digest, _)| *digest == piece.digest) {
            layer.state = state;
            layer.current = current;
        }
    }

    fn snapshot(&self, which: Snapshot) -> Progress {
        let layers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let layers = layers.iter().map(|(_, layer)| layer.clone()).collect();
        Progress::Layers { layers, last: which == Snapshot::Last }
    }
}

impl Wire<'_> {
    async fn send_if_it_can(
        &self,
        piece: &Piece,
        needed: &[Piece],
        board: &Board,
    ) -> Result<Option<(String, CopyError)>, CopyError> {
        match self.send(piece, board).await {
            Ok(()) => Ok(None),
            Err(error) if needed.contains(piece) => Err(error),
            Err(error) => Ok(Some((piece.digest.clone(), error))),
        }
    }

    async fn send(&self, piece: &Piece, board: &Board) -> Result<(), CopyError> {
        let mut attempt = 1;
        loop {
            board.tell(piece, LayerState::Pushing, 0);
            match self.send_once(piece, board).await {
                Err(error) if error.is_passing() && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
                Ok(()) => {
                    board.tell(piece, LayerState::Pushed, piece.size);
                    return Ok(());
                }
            }
        }
    }

    async fn send_once(&self, piece: &Piece, board: &Board) -> Result<(), CopyError> {
        let upload = self.begin().await?;
        let mut reading = Reading::of(self, piece);
        let mut hash = Sha256::new();
        let mut part = Vec::with_capacity(PART.min(usize::try_from(piece.size).unwrap_or(PART)));
        let mut sent = 0;
        while let Some(chunk) = reading.next().await? {
            hash.update(&chunk);
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(PART - part.len()));
                part.extend_from_slice(now);
                rest = later;
                if part.len() == PART {
                    sent = self.part(&upload, std::mem::take(&mut part), sent).await?;
                    board.tell(piece, LayerState::Pushing, sent);
                }
            }
        }
        if !part.is_empty() {
            sent = self.part(&upload, part, sent).await?;
            board.tell(piece, LayerState::Pushing, sent);
        }
        // Before ECR is asked to: what it would keep under another digest is of no use to anybody.
        let found = format!("sha256:{}", hex::encode(hash.finalize()));
        if found != piece.digest {
            return Err(CopyError::OtherBytes { what: "layer", digest: piece.digest.clone(), found });
        }
        self.end(&upload, piece).await
    }

    async fn begin(&self) -> Result<String, CopyError> {
        let to = self.to;
        let request =
            to.client.initiate_layer_upload().set_registry_id(to.registry.clone()).repository_name(to.repository);
        let answer = send!(to.aws, "InitiateLayerUpload", request)?;
        let lacks = || AwsError::unreadable(to.aws, SERVICE, "InitiateLayerUpload", "it names no upload");
        Ok(answer.upload_id.ok_or_else(lacks)?)
    }

    /// Sends one part, and gives the first byte of the next.
    async fn part(&self, upload: &str, bytes: Vec<u8>, first: u64) -> Result<u64, CopyError> {
        let to = self.to;
        let next = first + bytes.len() as u64;
        let number = |byte: u64| i64::try_from(byte).unwrap_or(i64::MAX);
        let request = to
            .client
            .upload_layer_part()
            .set_registry_id(to.registry.clone())
            .repository_name(to.repository)
            .upload_id(upload)
            .part_first_byte(number(first))
            .part_last_byte(number(next - 1))
            .layer_part_blob(Blob::new(bytes));
        send!(to.aws, "UploadLayerPart", request)?;
        Ok(next)
    }

    async fn end(&self, upload: &str, piece: &Piece) -> Result<(), CopyError> {
        let to = self.to;
        let request = to
            .client
            .complete_layer_upload()
            .set_registry_id(to.registry.clone())
            .repository_name(to.repository)
            .upload_id(upload)
            .layer_digests(&piece.digest);
        match send!(to.aws, "CompleteLayerUpload", request) {
            Ok(_) => Ok(()),
            // Somebody else was faster, or an answer was lost.
            Err(error) if error.code() == Some("LayerAlreadyExistsException") => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The whole of a piece that is small.
    pub(super) async fn small(&self, piece: &Piece) -> Result<Vec<u8>, CopyError> {
        if piece.size > SMALL {
            let why = format!("its configuration has {} bytes", piece.size);
            return Err(CopyError::Manifest { digest: piece.digest.clone(), why });
        }
        let mut reading = Reading::of(self, piece);
        let mut bytes = Vec::new();
        while let Some(chunk) = reading.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        let found = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        if found == piece.digest {
            Ok(bytes)
        } else {
            Err(CopyError::OtherBytes { what: "configuration", digest: piece.digest.clone(), found })
        }
    }
}

/// A layer as it comes, over as many connections as it takes.
struct Reading<'a> {
    wire: &'a Wire<'a>,
    piece: &'a Piece,
    /// How much has come.
    at: u64,
    /// How much of what comes next has come before.
    skip: u64,
    body: Option<sdk::config::http::HttpResponse>,
    /// Connections that ended too early since the last byte.
    broken: u32,
}

impl<'a> Reading<'a> {
    fn of(wire: &'a Wire<'a>, piece: &'a Piece) -> Self {
        Self { wire, piece, at: 0, skip: 0, body: None, broken: 0 }
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, CopyError> {
        while self.at < self.piece.size {
            match self.chunk().await {
                Ok(mut chunk) => {
                    let known = chunk.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                    self.skip -= known as u64;
                    let new = chunk.split_off(known);
                    if new.is_empty() {
                        continue;
                    }
                    self.broken = 0;
                    self.at += new.len() as u64;
                    return Ok(Some(new));
                }
                Err(Ended::Aws(error)) => return Err(error.into()),
                Err(Ended::Early(cause)) => {
                    self.body = None;
                    self.broken += 1;
                    if self.broken >= ATTEMPTS {
                        let Piece { digest, size } = self.piece.clone();
                        return Err(CopyError::Download { digest, read: self.at, size, cause });
                    }
                    let delay = Duration::from_millis(250) * 2_u32.pow(self.broken);
                    self.wire.from.aws.sleep.sleep(delay).await;
                }
            }
        }
        Ok(None)
    }

    async fn chunk(&mut self) -> Result<Bytes, Ended> {
        if self.body.is_none() {
            self.body = Some(self.open().await?);
        }
        let body = self.body.as_mut().expect("just opened").body_mut();
        loop {
            let frame = timeout(SILENCE, body.frame()).await;
            let frame = frame.map_err(|_| Ended::early(format!("nothing came for {} s", SILENCE.as_secs())))?;
            let frame = frame.ok_or_else(|| Ended::early("the connection ended"))?;
            if let Ok(data) = frame.map_err(Ended::Early)?.into_data() {
                return Ok(data);
            }
        }
    }

    /// An address is good for an hour; each connection gets a new one.
    async fn open(&mut self) -> Result<sdk::config::http::HttpResponse, Ended> {
        let from = self.wire.from;
        let request = from
            .client
            .get_download_url_for_layer()
            .set_registry_id(from.registry.clone())
            .repository_name(from.repository)
            .layer_digest(&self.piece.digest);
        let answer = send!(from.aws, "GetDownloadUrlForLayer", request).map_err(Ended::Aws)?;
        let lacks = || AwsError::unreadable(from.aws, SERVICE, "GetDownloadUrlForLayer", "it names no address");
        let address = answer.download_url.ok_or_else(lacks).map_err(Ended::Aws)?;
        let mut request = HttpRequest::empty();
        request.set_uri(address).map_err(|error| Ended::Early(error.into()))?;
        if self.at > 0 {
            request.headers_mut().insert("range", format!("bytes={}-", self.at));
        }
        let response = timeout(SILENCE, self.wire.connector.call(request)).await;
        let response = response.map_err(|_| Ended::early("no answer"))?.map_err(|error| Ended::Early(error.into()))?;
        match response.status().as_u16() {
            206 => self.skip = 0,
            // It begins again, whatever was asked for.
            200 => self.skip = self.at,
            status => return Err(Ended::early(format!("the answer is HTTP {status}"))),
        }
        Ok(response)
    }
}

/// Why there are no more bytes.
enum Ended {
    Aws(AwsError),
    Early(ConnectCause),
}

impl Ended {
    fn early(words: impl Into<String>) -> Self {
        Self::Early(words.into().into())
    }
}
