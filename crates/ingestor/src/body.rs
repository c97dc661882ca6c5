//! A request's body as bytes: bounded in size before and after decompression, and in the time it may take.

use std::{io, sync::Arc, time::Duration};

use async_compression::{
    tokio::bufread::{GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, header};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// A sender that needs longer is not sending.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// Bodies up to this size need no permit.
pub(crate) const SMALL_BODY: usize = 256 << 10;
/// Larger bodies in memory at once; with their entries and verdicts each may take some four times its size.
const LARGE_BODIES: usize = 4;
/// Zstandard windows up to 8 MiB, what RFC 8878 section 3.1.1.1.2 asks decoders to take; a larger one is a way to ask
/// for memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Why there is no body to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Too many bytes, as sent or decompressed.
    TooLarge,
    /// A `Content-Type` that is not JSON or lines.
    ContentType,
    /// A `Content-Encoding` that is not taken.
    Encoding,
    /// Compressed data that is damaged or ends too early.
    Damaged,
    /// It did not arrive whole.
    Incomplete,
    /// It did not arrive in time.
    TooSlow,
}

/// How the body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

/// Reads bodies within bounds; a clone shares them.
#[derive(Debug, Clone)]
pub(crate) struct BodyReader {
    max_bytes: usize,
    large: Arc<Semaphore>,
}

/// A body, and the permit for its size; hold it for as long as something of that size is in memory.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    encoding: Encoding,
    max_bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl BodyReader {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, large: Arc::new(Semaphore::new(LARGE_BODIES)) }
    }

    /// Reads a body as it was sent. What cannot be taken is refused before it is read, where the headers tell.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Received, BodyError> {
        check_content_type(headers)?;
        let encoding = encoding(headers)?;
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > self.max_bytes as u64) {
            return Err(BodyError::TooLarge);
        }
        tokio::time::timeout(READ_LIMIT, self.collect(body, encoding))
            .await
            .map_err(|_| BodyError::TooSlow)?
    }

    async fn collect(&self, body: Body, encoding: Encoding) -> Result<Received, BodyError> {
        let mut chunks = body.into_data_stream();
        let mut permit = None;
        let Some(first) = chunks.next().await else {
            return Ok(self.received(Bytes::new(), encoding, permit));
        };
        let first = first.map_err(|_| BodyError::Incomplete)?;
        let Some(second) = chunks.next().await else {
            // Nearly all bodies are one chunk, and it is not copied.
            let fits = first.len() <= self.max_bytes;
            return fits.then(|| self.received(first, encoding, permit)).ok_or(BodyError::TooLarge);
        };
        let mut collected = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(chunk) = next {
            let chunk = chunk.map_err(|_| BodyError::Incomplete)?;
            if collected.len() + chunk.len() > self.max_bytes {
                return Err(BodyError::TooLarge);
            }
            collected.extend_from_slice(&chunk);
            if permit.is_none() && collected.len() > SMALL_BODY {
                permit = Arc::clone(&self.large).acquire_owned().await.ok();
            }
            next = chunks.next().await;
        }
        Ok(self.received(collected.freeze(), encoding, permit))
    }

    fn received(&self, bytes: Bytes, encoding: Encoding, permit: Option<OwnedSemaphorePermit>) -> Received {
        Received { bytes, encoding, max_bytes: self.max_bytes, permit }
    }
}

impl Received {
    /// Whether decompressing and reading it would hold up everybody else on this thread for long.
    pub(crate) fn is_large(&self) -> bool {
        self.permit.is_some() || (self.encoding != Encoding::Plain && self.bytes.len() > SMALL_BODY / 8)
    }

    /// The body as it was before it was compressed. Takes the processor for as long as that takes.
    pub(crate) fn plain(self) -> Result<(Bytes, Option<OwnedSemaphorePermit>), BodyError> {
        let compressed: &[u8] = &self.bytes;
        let plain = match self.encoding {
            Encoding::Plain => return Ok((self.bytes, self.permit)),
            Encoding::Gzip => {
                let mut decoder = GzipDecoder::new(compressed);
                decoder.multiple_members(true);
                inflate(decoder, self.max_bytes)
            }
            Encoding::Zstd => {
                let window = DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX);
                let mut decoder = ZstdDecoder::with_params(compressed, &[window]);
                decoder.multiple_members(true);
                inflate(decoder, self.max_bytes)
            }
        }?;
        Ok((plain.into(), self.permit))
    }
}

/// Decompresses from memory, which never has to wait, up to `max_bytes`: a bomb stops there.
fn inflate(decoder: impl AsyncRead + Unpin, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let mut plain = Vec::new();
    let outcome = decoder.take(max_bytes as u64 + 1).read_to_end(&mut plain).now_or_never();
    let ended: io::Result<usize> = outcome.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
    match ended {
        Ok(_) if plain.len() > max_bytes => Err(BodyError::TooLarge),
        Ok(_) => Ok(plain),
        Err(_) => Err(BodyError::Damaged),
    }
}

/// JSON and lines of it, under the names that senders give them; without a name the body speaks for itself.
fn check_content_type(headers: &HeaderMap) -> Result<(), BodyError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().map_err(|_| BodyError::ContentType)?;
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = matches!(
        kind.as_str(),
        "" | "application/json"
            | "text/json"
            | "text/plain"
            | "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/json-lines"
            | "application/x-jsonlines"
    );
    if known || (kind.starts_with("application/") && kind.ends_with("+json")) {
        Ok(())
    } else {
        Err(BodyError::ContentType)
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, BodyError> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = values.next() else { return Ok(Encoding::Plain) };
    if values.next().is_some() {
        return Err(BodyError::Encoding);
    }
    match value.to_str().map(str::trim).map(str::to_ascii_lowercase).as_deref() {
        Ok("" | "identity") => Ok(Encoding::Plain),
        Ok("gzip" | "x-gzip") => Ok(Encoding::Gzip),
        Ok("zstd") => Ok(Encoding::Zstd),
        _ => Err(BodyError::Encoding),
    }
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};

    use super::*;

    const MAX: usize = 1000;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    async fn read(
        pairs: &[(header::HeaderName, &'static str)],
        body: impl Into<Body>,
    ) -> Result<Bytes, BodyError> {
        Ok(BodyReader::new(MAX).read(&headers(pairs), body.into()).await?.plain()?.0)
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        compressed(GzipEncoder::new(plain))
    }

    fn compressed(mut encoder: impl AsyncRead + Unpin) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.read_to_end(&mut out).now_or_never().unwrap().unwrap();
        out
    }

    fn chunks(count: usize, of: usize) -> Body {
        Body::from_stream(futures_util::stream::iter(
            (0..count).map(move |_| Ok::<_, io::Error>(vec![b'x'; of])),
        ))
    }

    #[tokio::test]
    async fn compressed_bodies_are_read_and_bombs_stop_at_the_limit() {
        let gzipped = (header::CONTENT_ENCODING, "gzip");
        assert_eq!(read(std::slice::from_ref(&gzipped), gzip(b"{}")).await.unwrap(), "{}");
        let two = [gzip(b"{"), gzip(b"}")].concat();
        assert_eq!(read(std::slice::from_ref(&gzipped), two).await.unwrap(), "{}");
        let zstd = compressed(ZstdEncoder::new(&b"{}"[..]));
        assert_eq!(read(&[(header::CONTENT_ENCODING, "zstd")], zstd).await.unwrap(), "{}");
        assert_eq!(read(&[gzipped], gzip(&vec![b' '; 1 << 20])).await, Err(BodyError::TooLarge));
        let bomb = compressed(ZstdEncoder::new(&vec![b' '; 1 << 20][..]));
        assert_eq!(read(&[(header::CONTENT_ENCODING, "zstd")], bomb).await, Err(BodyError::TooLarge));
    }

    #[tokio::test]
    async fn damaged_compression_is_told_from_too_much() {
        let whole = gzip(b"{\"hostname\":\"h\"}");
        let (truncated, _) = whole.split_at(whole.len() - 9);
        for body in [truncated.to_vec(), b"no gzip at all".to_vec(), Vec::new()] {
            assert_eq!(read(&[(header::CONTENT_ENCODING, "gzip")], body).await, Err(BodyError::Damaged));
        }
        let zstd = compressed(ZstdEncoder::new(&vec![b'a'; 500][..]));
        let (truncated, _) = zstd.split_at(zstd.len() - 3);
        assert_eq!(
            read(&[(header::CONTENT_ENCODING, "zstd")], truncated.to_vec()).await,
            Err(BodyError::Damaged)
        );
    }

    #[tokio::test]
    async fn size_is_bounded_announced_or_not() {
        assert_eq!(read(&[], vec![b'x'; MAX]).await.unwrap().len(), MAX);
        assert_eq!(read(&[], vec![b'x'; MAX + 1]).await, Err(BodyError::TooLarge));
        assert_eq!(read(&[(header::CONTENT_LENGTH, "1001")], "x").await, Err(BodyError::TooLarge));
        assert_eq!(read(&[], chunks(10, 100)).await.unwrap().len(), MAX);
        assert_eq!(read(&[], chunks(10_000, 101)).await, Err(BodyError::TooLarge));
        assert_eq!(read(&[], Body::empty()).await.unwrap(), "");
    }

    #[tokio::test]
    async fn only_json_and_lines_are_taken() {
        for kind in [
            "application/json; charset=utf-8",
            "text/plain",
            "application/x-ndjson",
            "Application/JSON",
            "application/vnd.x+json",
        ] {
            assert!(read(&[(header::CONTENT_TYPE, kind)], "{}").await.is_ok(), "{kind}");
        }
        for kind in [
            "text/html",
            "application/xml",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
        ] {
            assert_eq!(
                read(&[(header::CONTENT_TYPE, kind)], "{}").await,
                Err(BodyError::ContentType),
                "{kind}"
            );
        }
        for coding in ["br", "deflate", "gzip, gzip"] {
            assert_eq!(
                read(&[(header::CONTENT_ENCODING, coding)], "{}").await,
                Err(BodyError::Encoding),
                "{coding}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let slow =
            futures_util::stream::iter([Ok::<_, io::Error>("{")]).chain(futures_util::stream::pending());
        assert_eq!(read(&[], Body::from_stream(slow)).await, Err(BodyError::TooSlow));
        let broken =
            futures_util::stream::iter([Ok("{"), Err(io::Error::from(io::ErrorKind::ConnectionReset))]);
        assert_eq!(read(&[], Body::from_stream(broken)).await, Err(BodyError::Incomplete));
    }

    #[tokio::test(start_paused = true)]
    async fn few_large_bodies_are_in_memory_at_once() {
        let reader = BodyReader::new(10 << 20);
        let mut held = Vec::new();
        for _ in 0..LARGE_BODIES {
            held.push(reader.read(&HeaderMap::new(), chunks(3, SMALL_BODY)).await.unwrap());
        }
        assert!(held[0].is_large());
        assert_eq!(
            reader.read(&HeaderMap::new(), chunks(3, SMALL_BODY)).await.unwrap_err(),
            BodyError::TooSlow
        );
        assert!(!reader.read(&HeaderMap::new(), "{}".into()).await.unwrap().is_large());
        held.clear();
        assert!(reader.read(&HeaderMap::new(), chunks(3, SMALL_BODY)).await.is_ok());
    }
}
