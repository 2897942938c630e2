//! What a server sees of one connection from outside of hyper: how far the peer has come in the HTTP/2 framing, which
//! requests are in progress, whether responses are being taken. Parses frame headers only, never what is in the frames.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::body::{Sending, SharedSending, lock};
use super::limits::{PaceRule, ServerLimits};

/// The watch over one connection.
#[derive(Debug)]
pub(super) struct ConnectionWatch {
    header: Duration,
    idle: Duration,
    pace: PaceRule,
    framing: Mutex<Framing>,
    requests: Mutex<Requests>,
}

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// Nothing is in progress and has not been for a while: close with good manners.
    Idle,
    /// The peer has begun something that it does not end.
    StuckInHeaders,
    /// The peer does not take a response.
    StuckInResponse,
}

/// One request, from its last header to the end of its response.
#[derive(Debug)]
pub(super) struct RequestInProgress {
    watch: Arc<ConnectionWatch>,
    number: u64,
    sending: SharedSending,
}

#[derive(Debug)]
struct Requests {
    in_progress: BTreeMap<u64, SharedSending>,
    begun: u64,
    idle_since: Instant,
}

impl ConnectionWatch {
    pub(super) fn new(limits: &ServerLimits) -> Arc<ConnectionWatch> {
        let now = Instant::now();
        Arc::new(ConnectionWatch {
            header: limits.header,
            idle: limits.idle,
            pace: limits.pace,
            framing: Mutex::new(Framing::new(now)),
            requests: Mutex::new(Requests { in_progress: BTreeMap::new(), begun: 0, idle_since: now }),
        })
    }

    pub(super) fn request(self: &Arc<ConnectionWatch>) -> RequestInProgress {
        let sending = Sending::new(self.pace);
        let mut requests = lock(&self.requests);
        requests.begun += 1;
        let number = requests.begun;
        requests.in_progress.insert(number, sending.clone());
        RequestInProgress { watch: self.clone(), number, sending }
    }

    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        if lock(&self.framing).waits_since().is_some_and(|since| now.saturating_duration_since(since) >= self.header) {
            return Verdict::StuckInHeaders;
        }
        let requests = lock(&self.requests);
        if requests.in_progress.values().any(|sending| lock(sending).is_too_slow(now)) {
            return Verdict::StuckInResponse;
        }
        let is_idle =
            requests.in_progress.is_empty() && now.saturating_duration_since(requests.idle_since) >= self.idle;
        if is_idle { Verdict::Idle } else { Verdict::Fine }
    }

    /// How often a verdict is worth asking for.
    pub(super) fn interval(&self) -> Duration {
        let shortest = self.header.min(self.idle).min(self.pace.window);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(5))
    }
}

impl RequestInProgress {
    pub(super) fn sending(&self) -> SharedSending {
        self.sending.clone()
    }
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        let mut requests = lock(&self.watch.requests);
        requests.in_progress.remove(&self.number);
        if requests.in_progress.is_empty() {
            requests.idle_since = Instant::now();
        }
    }
}

/// A stream whose incoming bytes pass under the eyes of a [`ConnectionWatch`].
pub(super) struct Watched<IO> {
    io: IO,
    watch: Arc<ConnectionWatch>,
}

impl<IO> Watched<IO> {
    pub(super) fn new(io: IO, watch: Arc<ConnectionWatch>) -> Watched<IO> {
        Watched { io, watch }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        lock(&self.watch.framing).read(&buf.filled()[before..], Instant::now());
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

const PREFACE_BYTES: usize = 24;
const FRAME_HEADER_BYTES: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Where in the HTTP/2 framing (RFC 9113, 3.4 and 4.1) the peer stands.
#[derive(Debug)]
struct Framing {
    preface_left: usize,
    /// The header of the present frame, as far as it has come.
    header: [u8; FRAME_HEADER_BYTES],
    header_len: usize,
    /// Bytes of the present frame's payload that are still to come.
    payload_left: usize,
    /// Since when the peer owes us the rest of the preface with its first frame, or of a block of headers.
    waits_since: Option<Instant>,
}

impl Framing {
    fn new(now: Instant) -> Framing {
        Framing {
            preface_left: PREFACE_BYTES,
            header: [0; FRAME_HEADER_BYTES],
            header_len: 0,
            payload_left: 0,
            waits_since: Some(now),
        }
    }

    fn waits_since(&self) -> Option<Instant> {
        self.waits_since
    }

    fn read(&mut self, mut bytes: &[u8], now: Instant) {
        take(&mut bytes, &mut self.preface_left);
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                take(&mut bytes, &mut self.payload_left);
            } else {
                self.header[self.header_len] = bytes[0];
                self.header_len += 1;
                bytes = &bytes[1..];
                if self.header_len < FRAME_HEADER_BYTES {
                    continue;
                }
                self.header_len = 0;
                self.payload_left =
                    usize::from(self.header[0]) << 16 | usize::from(self.header[1]) << 8 | usize::from(self.header[2]);
                if matches!(self.header[3], HEADERS | CONTINUATION) {
                    self.waits_since.get_or_insert(now);
                }
            }
            if self.payload_left == 0 {
                self.frame_ended();
            }
        }
    }

    fn frame_ended(&mut self) {
        let [_, _, _, kind, flags, ..] = self.header;
        if !matches!(kind, HEADERS | CONTINUATION) || flags & END_HEADERS != 0 {
            self.waits_since = None;
        }
    }
}

fn take(bytes: &mut &[u8], left: &mut usize) {
    let taken = bytes.len().min(*left);
    *left -= taken;
    *bytes = &bytes[taken..];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j5_framing_knows_what_the_peer_still_owes_however_the_bytes_are_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut owed_until = vec![(0, bytes.len() + FRAME_HEADER_BYTES + 6)];
        bytes.extend(frame(4, 0, 6));
        bytes.extend(frame(8, 0, 4));
        let headers = bytes.len() + FRAME_HEADER_BYTES;
        bytes.extend(frame(HEADERS, 0, 10));
        bytes.extend(frame(CONTINUATION, END_HEADERS, 3));
        owed_until.push((headers, bytes.len()));
        bytes.extend(frame(0, 1, 250));
        let headers = bytes.len() + FRAME_HEADER_BYTES;
        bytes.extend(frame(HEADERS, END_HEADERS | 1, 20));
        owed_until.push((headers, bytes.len()));

        for step in [1, 2, 3, 7, 50, 1_000] {
            let start = Instant::now();
            let mut framing = Framing::new(start);
            let mut read = 0;
            for piece in bytes.chunks(step) {
                framing.read(piece, start);
                read += piece.len();
                let owed = owed_until.iter().any(|(from, to)| (*from..*to).contains(&read));
                assert_eq!(framing.waits_since().is_some(), owed, "after {read} bytes in steps of {step}");
            }
        }
    }

    #[test]
    fn j5_the_clock_of_a_block_of_headers_starts_with_its_first_frame() {
        let start = Instant::now();
        let later = start + Duration::from_secs(3);
        let mut framing = Framing::new(start);
        framing.read(&[0; PREFACE_BYTES], start);
        framing.read(&frame(4, 0, 0), start);
        framing.read(&frame(HEADERS, 0, 5), start);
        framing.read(&frame(CONTINUATION, 0, 5), later);
        assert_eq!(framing.waits_since(), Some(start));
    }

    fn frame(kind: u8, flags: u8, payload: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, payload, kind, flags, 0, 0, 0, 1];
        bytes.resize(FRAME_HEADER_BYTES + usize::from(payload), 0);
        bytes
    }
}
