//! Bodies of requests and responses, in both directions: bounded in size and pace, and never taken for complete unless the
//! sender has said that they are. What the bytes mean is not looked at.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::limits::{CHUNK_BYTES_MAX, PaceRule, SEND_BUFFER_BYTES_MAX};
use super::pace::Pace;
use super::watch::RequestInProgress;

/// A body that arrives, read as a whole or chunk by chunk.
#[derive(Debug)]
pub struct IncomingBody {
    incoming: Incoming,
    pace: Pace,
    bytes_max: u64,
    bytes_seen: u64,
    broken: bool,
}

/// A body to send.
#[derive(Debug)]
pub enum OutgoingBody {
    /// All of it is there.
    Whole(Bytes),
    /// It is made while it is sent: see [`OutgoingBody::stream`].
    Stream(BodyStream),
}

/// Where the chunks of a streamed body are put. Dropped before [`BodySender::finish`], it tells the reader that the body is
/// cut short, so that a producer that fails or panics never passes for one that was done.
#[derive(Debug)]
pub struct BodySender(mpsc::Sender<Item>);

/// The sending end of a streamed body, as the transport sees it.
#[derive(Debug)]
pub struct BodyStream(mpsc::Receiver<Item>);

/// Why a body did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is, or says that it is, larger than is accepted here.
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge {
        /// The bound.
        bytes_max: u64,
    },
    /// The peer does not keep up the minimum pace.
    #[error("the body arrived too slowly: less than {} bytes per second over {:?}", .0.bytes_per_second_min, .0.window)]
    TooSlow(PaceRule),
    /// The connection was lost, or the sender gave up, in the middle.
    #[error("the body was cut off after {bytes_seen} bytes")]
    Cut {
        /// What had arrived until then.
        bytes_seen: u64,
        /// What the connection says, if it says anything.
        source: Option<hyper::Error>,
    },
    /// Reading goes on after an error.
    #[error("the body had already failed")]
    AlreadyFailed,
}

/// The reader of a streamed body is gone: there is no point in producing more.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the body is gone")]
pub struct ReaderGone;

#[derive(Debug)]
enum Item {
    Chunk(Bytes),
    End,
}

impl IncomingBody {
    pub(super) fn new(incoming: Incoming, rule: PaceRule, bytes_max: u64) -> IncomingBody {
        IncomingBody { incoming, pace: Pace::new(rule), bytes_max, bytes_seen: 0, broken: false }
    }

    /// The next bytes, never empty; `None` when the body is complete.
    ///
    /// # Errors
    /// See [`BodyError`]. What has been read until then is not the whole body.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.broken {
            return Err(BodyError::AlreadyFailed);
        }
        let next = self.next_chunk().await;
        self.broken = next.is_err();
        next
    }

    /// All bytes, if there are no more than `bytes_max`.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub async fn whole(mut self, bytes_max: usize) -> Result<Bytes, BodyError> {
        self.bytes_max = self.bytes_max.min(bytes_max as u64);
        if self.incoming.size_hint().lower() > self.bytes_max {
            return Err(BodyError::TooLarge { bytes_max: self.bytes_max });
        }
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut all = Vec::with_capacity(first.len() + second.len());
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let Some(frame) = self.next_frame().await? else { return self.end() };
            let Ok(bytes) = frame.into_data() else { continue };
            self.bytes_seen += bytes.len() as u64;
            if self.bytes_seen > self.bytes_max {
                return Err(BodyError::TooLarge { bytes_max: self.bytes_max });
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    async fn next_frame(&mut self) -> Result<Option<Frame<Bytes>>, BodyError> {
        self.pace.peer_turn(Instant::now());
        loop {
            let patience = self.pace.window_ends(Instant::now());
            let frame = timeout_at(patience, self.incoming.frame()).await;
            let now = Instant::now();
            if let Ok(frame) = frame {
                let bytes = frame.as_ref().and_then(|f| f.as_ref().ok()?.data_ref().map(Bytes::len)).unwrap_or(0);
                self.pace.our_turn(now, bytes);
                let bytes_seen = self.bytes_seen;
                return frame.transpose().map_err(|source| BodyError::Cut { bytes_seen, source: Some(source) });
            }
            if self.pace.is_too_slow(now) {
                return Err(BodyError::TooSlow(self.pace.rule()));
            }
        }
    }

    /// hyper reports a stream that the peer reset with NO_ERROR as if it had ended; only the end-of-stream flag counts.
    fn end(&self) -> Result<Option<Bytes>, BodyError> {
        if self.incoming.is_end_stream() {
            Ok(None)
        } else {
            Err(BodyError::Cut { bytes_seen: self.bytes_seen, source: None })
        }
    }
}

impl OutgoingBody {
    /// A body that is produced while it is sent; at most `chunks_max` chunks wait in between.
    pub fn stream(chunks_max: usize) -> (BodySender, OutgoingBody) {
        let (sender, receiver) = mpsc::channel(chunks_max.max(1));
        (BodySender(sender), OutgoingBody::Stream(BodyStream(receiver)))
    }
}

impl<T: Into<Bytes>> From<T> for OutgoingBody {
    fn from(bytes: T) -> Self {
        OutgoingBody::Whole(bytes.into())
    }
}

impl BodySender {
    /// Adds a chunk; waits while the reader is behind.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub async fn send(&self, chunk: impl Into<Bytes>) -> Result<(), ReaderGone> {
        self.0.send(Item::Chunk(chunk.into())).await.map_err(|_| ReaderGone)
    }

    /// The same for a thread outside of the async runtime, such as the store's.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub fn blocking_send(&self, chunk: impl Into<Bytes>) -> Result<(), ReaderGone> {
        self.0.blocking_send(Item::Chunk(chunk.into())).map_err(|_| ReaderGone)
    }

    /// Says that the body is complete.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub async fn finish(self) -> Result<(), ReaderGone> {
        self.0.send(Item::End).await.map_err(|_| ReaderGone)
    }

    /// The same for a thread outside of the async runtime.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub fn blocking_finish(self) -> Result<(), ReaderGone> {
        self.0.blocking_send(Item::End).map_err(|_| ReaderGone)
    }
}

/// How far a body has been taken by the peer, seen from outside while hyper sends it.
#[derive(Debug)]
pub(super) struct Sending {
    pace: Pace,
    handed: u64,
    finished: Option<Instant>,
}

/// Shared between a body and whoever watches over it.
pub(super) type SharedSending = Arc<Mutex<Sending>>;

impl Sending {
    pub(super) fn new(rule: PaceRule) -> SharedSending {
        Arc::new(Mutex::new(Sending { pace: Pace::new(rule), handed: 0, finished: None }))
    }

    pub(super) fn is_too_slow(&mut self, now: Instant) -> bool {
        self.finished.is_none() && self.pace.is_too_slow(now)
    }

    /// By when the peer must have taken everything, once all of it is in HTTP/2's send buffer: the rest there is out of our
    /// sight and gets the time that the slowest pace allows.
    pub(super) fn all_taken_by(&self) -> Option<Instant> {
        let unseen = self.handed.min(SEND_BUFFER_BYTES_MAX as u64);
        self.finished.map(|finished| finished + self.pace.rule().time_for(unseen))
    }
}

/// The form in which hyper sends an [`OutgoingBody`].
pub(super) struct WireBody {
    /// What is left of the present chunk.
    chunk: Bytes,
    /// Where further chunks come from.
    stream: Option<BodyStream>,
    sending: SharedSending,
    handed: usize,
    /// On the server, the request counts as in progress until its response is sent.
    _in_progress: Option<RequestInProgress>,
}

/// The producer of a streamed body went away without finishing it.
#[derive(Debug, thiserror::Error)]
#[error("the producer of the body gave up")]
pub(super) struct Abandoned;

impl WireBody {
    pub(super) fn new(body: OutgoingBody, sending: SharedSending, in_progress: Option<RequestInProgress>) -> WireBody {
        let (chunk, stream) = match body {
            OutgoingBody::Whole(bytes) => (bytes, None),
            OutgoingBody::Stream(stream) => (Bytes::new(), Some(stream)),
        };
        WireBody { chunk, stream, sending, handed: 0, _in_progress: in_progress }
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Abandoned>>> {
        while self.chunk.is_empty() {
            let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
            match ready!(stream.0.poll_recv(cx)) {
                Some(Item::Chunk(chunk)) => self.chunk = chunk,
                Some(Item::End) => self.stream = None,
                None => return Poll::Ready(Some(Err(Abandoned))),
            }
        }
        Poll::Ready(Some(Ok(self.chunk.split_to(self.chunk.len().min(CHUNK_BYTES_MAX)))))
    }
}

impl Body for WireBody {
    type Data = Bytes;
    type Error = Abandoned;

    /// hyper asks for the next chunk when the one before has found room in the peer's window: what lies between is the
    /// peer's turn.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Abandoned>>> {
        let handed = std::mem::take(&mut self.handed);
        lock(&self.sending).pace.our_turn(Instant::now(), handed);
        let next = ready!(self.next(cx));
        if let Some(Ok(bytes)) = &next {
            self.handed = bytes.len();
            let mut sending = lock(&self.sending);
            sending.handed += bytes.len() as u64;
            sending.pace.peer_turn(Instant::now());
        }
        Poll::Ready(next.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none() && self.chunk.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.stream {
            None => SizeHint::with_exact(self.chunk.len() as u64),
            Some(_) => SizeHint::default(),
        }
    }
}

impl Drop for WireBody {
    fn drop(&mut self) {
        lock(&self.sending).finished = Some(Instant::now());
    }
}

/// The lock guards plain counters that are right at every moment, so one that a panic has poisoned is as good as any.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
