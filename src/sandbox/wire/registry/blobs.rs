//! Reading blobs, whole or a range of them.

use std::io::{self, SeekFrom};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::refusal::Refusal;
use super::{Answer, Call};

/// Bytes read from the disk at once.
const READ_BUFFER: usize = 256 * 1024;

impl Call<'_> {
    /// "A GET request to an existing blob URL MUST provide the expected blob, with a response code that MUST be `200 OK`."
    pub(super) async fn blob(&self, name: &str, digest: &str, range: Option<&str>) -> Result<Answer, Refusal> {
        self.with_repository(name, |_, ecr| {
            let known = ecr.repository(name).is_some_and(|repository| repository.layer_size(digest).is_some());
            if known { Ok(()) } else { Err(Refusal::blob_unknown(digest)) }
        })?;
        // If the disk lost it, "unknown" makes the client push it again.
        let Some((mut file, size)) = self.store.blob(digest).await? else {
            return Err(Refusal::blob_unknown(digest));
        };
        let builder = Response::builder()
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(ACCEPT_RANGES, "bytes")
            .header("docker-content-digest", digest);
        let response = match range.map_or(Wanted::Everything, |range| Wanted::parse(range, size)) {
            Wanted::Nothing => return Err(Refusal::range_invalid(size)),
            Wanted::Everything => builder.header(CONTENT_LENGTH, size).body(reading(file, size)),
            Wanted::Part { first, last } => {
                file.seek(SeekFrom::Start(first)).await?;
                let length = last - first + 1;
                builder
                    .status(StatusCode::PARTIAL_CONTENT)
                    .header(CONTENT_RANGE, format!("bytes {first}-{last}/{size}"))
                    .header(CONTENT_LENGTH, length)
                    .body(reading(file, length))
            }
        };
        Ok(response.expect("all header values are digits or a checked digest"))
    }
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Everything,
    Part {
        first: u64,
        last: u64,
    },
    /// Behind the end: 416.
    Nothing,
}

impl Wanted {
    /// One range is honoured; several, another unit or nonsense count as none, as RFC 9110 allows.
    fn parse(header: &str, size: u64) -> Self {
        let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::Everything;
        };
        match (first.trim(), last.trim()) {
            ("", suffix) => match suffix.parse::<u64>() {
                Ok(0) => Self::Nothing,
                Ok(_) if size == 0 => Self::Nothing,
                Ok(length) => Self::Part { first: size.saturating_sub(length), last: size - 1 },
                Err(_) => Self::Everything,
            },
            (first, "") => match first.parse::<u64>() {
                Ok(first) if first < size => Self::Part { first, last: size - 1 },
                Ok(_) => Self::Nothing,
                Err(_) => Self::Everything,
            },
            (first, last) => match (first.parse::<u64>(), last.parse::<u64>()) {
                (Ok(first), Ok(last)) if first > last => Self::Everything,
                (Ok(first), Ok(last)) if first < size => Self::Part { first, last: last.min(size - 1) },
                (Ok(_), Ok(_)) => Self::Nothing,
                (Err(_), _) | (_, Err(_)) => Self::Everything,
            },
        }
    }
}

/// The next `length` bytes of the file, piece by piece.
fn reading(file: File, length: u64) -> BoxBody<Bytes, io::Error> {
    let pieces = stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut piece = BytesMut::with_capacity(READ_BUFFER);
        let mut limited = file.take(left);
        let count = limited.read_buf(&mut piece).await? as u64;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        file = limited.into_inner();
        Ok(Some((Frame::data(piece.freeze()), (file, left - count))))
    });
    BodyExt::boxed(StreamBody::new(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let part = |first, last| Wanted::Part { first, last };
        for (header, size, wanted) in [
            ("bytes=0-4", 10, part(0, 4)),
            ("bytes=5-", 10, part(5, 9)),
            ("bytes=-3", 10, part(7, 9)),
            ("bytes=-30", 10, part(0, 9)),
            ("bytes=0-99", 10, part(0, 9)),
            ("bytes=9-9", 10, part(9, 9)),
            ("bytes=10-", 10, Wanted::Nothing),
            ("bytes=10-12", 10, Wanted::Nothing),
            ("bytes=-0", 10, Wanted::Nothing),
            ("bytes=-1", 0, Wanted::Nothing),
            ("bytes=0-", 0, Wanted::Nothing),
            ("bytes=4-2", 10, Wanted::Everything),
            ("bytes=0-1,4-5", 10, Wanted::Everything),
            ("lines=0-1", 10, Wanted::Everything),
            ("bytes=a-b", 10, Wanted::Everything),
        ] {
            assert_eq!(Wanted::parse(header, size), wanted, "{header} of {size}");
        }
    }
}
