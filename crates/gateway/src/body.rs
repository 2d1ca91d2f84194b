//! Reads a body, bounded in bytes and in time, and inflates it under the same bound.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, header};
use http_body_util::BodyExt;

use crate::room::{Hold, Room};

/// How long the rest of a body that there is no room for is read and forgotten.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);

/// Why there is no body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// More than the source takes, as sent or inflated.
    TooLarge,
    /// It didn't arrive in time.
    Late,
    /// It broke off, or isn't what its encoding says.
    Unreadable,
    /// An encoding other than gzip.
    UnknownEncoding,
    /// Too much is held already.
    NoRoom,
}

/// The whole body, and the place it takes.
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    pub(crate) hold: Hold,
}

/// What a source and the configuration allow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// Reads all of it.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    room: &Room,
    bounds: Bounds,
) -> Result<Whole, Fault> {
    let gzip = encoding(headers)?;
    // A length that isn't a number never gets past hyper.
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let reading = async {
        if declared.is_some_and(|length: usize| length > bounds.bytes) {
            drain(&mut body, bounds.bytes).await;
            return Err(Fault::TooLarge);
        }
        let Some(hold) = room.enter(declared.unwrap_or_default()) else {
            drain_briefly(&mut body, bounds.bytes).await;
            return Err(Fault::NoRoom);
        };
        collect(&mut body, hold, bounds.bytes).await
    };
    let whole = tokio::time::timeout(bounds.time, reading).await.unwrap_or(Err(Fault::Late))?;
    if !gzip {
        return Ok(whole);
    }
    // A few kilobytes may inflate to the limit: milliseconds that other requests mustn't wait for.
    let inflating = tokio::task::spawn_blocking(move || inflate(whole, bounds.bytes));
    inflating.await.unwrap_or(Err(Fault::Unreadable))
}

fn encoding(headers: &HeaderMap) -> Result<bool, Fault> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(false) };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(false),
        "gzip" | "x-gzip" => Ok(true),
        _ => Err(Fault::UnknownEncoding),
    }
}

async fn collect(body: &mut Body, mut hold: Hold, limit: usize) -> Result<Whole, Fault> {
    // Most bodies come in one piece, which is passed on as it is.
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Fault::Unreadable)?.into_data() else { continue };
        let length = first.len() + joined.len() + data.len();
        if length > limit {
            drain(body, limit).await;
            return Err(Fault::TooLarge);
        }
        if !hold.grow(data.len()) {
            drain_briefly(body, limit).await;
            return Err(Fault::NoRoom);
        }
        if joined.is_empty() && first.is_empty() {
            first = data;
        } else {
            if joined.is_empty() {
                joined.reserve(length * 2);
                joined.extend_from_slice(&std::mem::take(&mut first));
            }
            joined.extend_from_slice(&data);
        }
    }
    let bytes = if joined.is_empty() { first } else { joined.freeze() };
    Ok(Whole { bytes, hold })
}

/// Reads on and forgets, for a while: a client that is still writing when the connection closes sees a reset and
/// never the answer.
async fn drain(body: &mut Body, limit: usize) {
    let mut left = limit.saturating_mul(2);
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        if length > left {
            return;
        }
        left -= length;
    }
}

/// The same for a sender that is to come again soon: it shall not wait long for being told so.
async fn drain_briefly(body: &mut Body, limit: usize) {
    let _ = tokio::time::timeout(DRAIN_WITHIN, drain(body, limit)).await;
}

fn inflate(packed: Whole, limit: usize) -> Result<Whole, Fault> {
    let Whole { bytes, mut hold } = packed;
    let mut decoder = MultiGzDecoder::new(bytes.as_ref());
    let mut out = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let length = decoder.read(&mut piece).map_err(|_| Fault::Unreadable)?;
        if length == 0 {
            return Ok(Whole { bytes: out.into(), hold });
        }
        if out.len() + length > limit {
            return Err(Fault::TooLarge);
        }
        if !hold.grow(length) {
            return Err(Fault::NoRoom);
        }
        out.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use futures_util::stream;
    use http::HeaderValue;
    use prometheus::IntGauge;

    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 1_000_000, time: Duration::from_millis(200) };

    fn room() -> Room {
        Room::new(10_000_000, IntGauge::new("g", "h").unwrap())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn read_gzip(bytes: Vec<u8>) -> Result<Bytes, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("GZIP"));
        read(&headers, Body::from(bytes), &room(), BOUNDS).await.map(|whole| whole.bytes)
    }

    async fn read_plain(body: Body) -> Result<Bytes, Fault> {
        read(&HeaderMap::new(), body, &room(), BOUNDS).await.map(|whole| whole.bytes)
    }

    #[tokio::test]
    async fn a_body_is_the_same_in_one_piece_and_in_many() {
        assert_eq!(read_plain(Body::from("abcdef")).await.unwrap(), "abcdef");
        let pieces = ["ab", "", "cd", "ef"].map(Ok::<_, std::io::Error>);
        assert_eq!(read_plain(Body::from_stream(stream::iter(pieces))).await.unwrap(), "abcdef");
        assert_eq!(read_plain(Body::empty()).await.unwrap(), "");
    }

    #[tokio::test]
    async fn the_limit_holds_for_what_is_sent_and_for_what_it_inflates_to() {
        assert!(read_plain(Body::from(vec![b'x'; 1_000_000])).await.is_ok());
        assert_eq!(read_plain(Body::from(vec![b'x'; 1_000_001])).await, Err(Fault::TooLarge));
        assert_eq!(read_gzip(gzip(b"{\"a\":1}")).await.unwrap(), "{\"a\":1}");
        let bomb = gzip(&vec![0; 100_000_000]);
        assert!(bomb.len() < 200_000);
        assert_eq!(read_gzip(bomb).await, Err(Fault::TooLarge));
    }

    #[tokio::test]
    async fn damaged_gzip_is_unreadable_and_other_encodings_are_unknown() {
        let whole = gzip(&[7; 5_000]);
        assert_eq!(read_gzip(whole[..whole.len() - 4].to_vec()).await, Err(Fault::Unreadable));
        assert_eq!(read_gzip(b"not gzip".to_vec()).await, Err(Fault::Unreadable));
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
        let fault = read(&headers, Body::empty(), &room(), BOUNDS).await.map(|whole| whole.bytes);
        assert_eq!(fault, Err(Fault::UnknownEncoding));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_late() {
        assert_eq!(
            read_plain(Body::from_stream(stream::pending::<Result<&str, std::io::Error>>())).await,
            Err(Fault::Late)
        );
    }

    #[tokio::test]
    async fn no_more_is_held_than_there_is_room_for() {
        let room = Room::new(3_000, IntGauge::new("g", "h").unwrap());
        let held = read(&HeaderMap::new(), Body::from(vec![b'x'; 1_500]), &room, BOUNDS).await;
        assert!(held.is_ok());
        let fault = read(&HeaderMap::new(), Body::from("x"), &room, BOUNDS).await.map(|whole| whole.bytes);
        assert_eq!(fault, Err(Fault::NoRoom));
    }
}
