//! Bodies that are passed on as they come, and tunnels.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::link::Flight;

/// A client's body on its way to a target.
pub(super) enum Upload {
    Empty,
    Streamed {
        incoming: Incoming,
        /// Grows with every piece: a slow upload is not an idle connection.
        progress: Arc<AtomicU64>,
    },
}

impl Upload {
    pub(super) fn new(incoming: Incoming) -> Self {
        if incoming.is_end_stream() { Self::Empty } else { Self::Streamed { incoming, progress: Arc::default() } }
    }

    pub(super) fn progress(&self) -> Option<Arc<AtomicU64>> {
        match self {
            Self::Empty => None,
            Self::Streamed { progress, .. } => Some(Arc::clone(progress)),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streamed { incoming, progress } => {
                let polled = Pin::new(incoming).poll_frame(context);
                if polled.is_ready() {
                    progress.fetch_add(1, Ordering::Relaxed);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// An answer's body on its way to a client.
pub(super) enum Download {
    Page(Full<Bytes>),
    Streamed(Box<Streamed>),
}

pub(super) struct Streamed {
    incoming: Incoming,
    /// Until the end of the body.
    carrier: Option<(Flight, SendRequest<Upload>)>,
    idle: Duration,
    /// Runs while the target sends nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Download {
    /// The rest of an answer. When it has come to its end, the connection is given back.
    pub(super) fn new(incoming: Incoming, flight: Flight, sender: SendRequest<Upload>, idle: Duration) -> Self {
        let mut streamed = Streamed { incoming, carrier: Some((flight, sender)), idle, stalled: None };
        // An answer without a body is never polled.
        streamed.settle();
        Self::Streamed(Box::new(streamed))
    }
}

impl Streamed {
    fn settle(&mut self) {
        if self.incoming.is_end_stream() {
            self.land();
        }
    }

    fn land(&mut self) {
        if let Some((flight, sender)) = self.carrier.take() {
            flight.land(sender);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.stalled = None;
                self.settle();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(io::Error::other(error)))),
            Poll::Ready(None) => {
                self.land();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let idle = self.idle;
                let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + idle)));
                match stalled.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into()))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Page(full) => Pin::new(full).poll_frame(context).map_err(|never| match never {}),
            Self::Streamed(streamed) => streamed.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Page(full) => full.is_end_stream(),
            Self::Streamed(streamed) => streamed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Page(full) => full.size_hint(),
            Self::Streamed(streamed) => streamed.incoming.size_hint(),
        }
    }
}

/// One end of a tunnel that counts what comes in, so that it can be seen whether anything moves.
pub(super) struct Counted<Stream> {
    pub(super) stream: Stream,
    pub(super) read: Arc<AtomicU64>,
}

impl<Stream: AsyncRead + Unpin> AsyncRead for Counted<Stream> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, read } = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(stream).poll_read(context, buffer);
        read.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl<Stream: AsyncWrite + Unpin> AsyncWrite for Counted<Stream> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
