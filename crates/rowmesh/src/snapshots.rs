//! A whole copy on its way from one node to another: frames of one consistent read, as one stream, and their way into the store at the
//! other end. What is in them is the stores' business. A copy that breaks off begins anew.
//!
//! Each payload begins with a count of rows, eight bytes, big-endian: all rows in the start frame, those of the chunk in a chunk.

use std::collections::VecDeque;
use std::sync::Arc;

use rowmesh_core::ident::NodeId;
use rowmesh_core::limits;
use rowmesh_core::store::{SnapshotSource, Store};
use rowmesh_core::wire::message::code as wire_code;
use rowmesh_core::wire::{FrameKind, FrameReader, Path, Refusal, Request, Response, SnapshotRequest, write_frame};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::failure::{Failure, code, request_failure};
use crate::responder::refused;
use crate::shared::Shared;
use crate::store_thread::StoreHandle;
use crate::transport::{
    BodySender, Connection, OutgoingBody, OutgoingResponse, RequestError, RequestFault, ResponseStream,
};

/// How far a copy has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows loaded so far.
    pub rows: u64,
    /// Rows in all.
    pub rows_total: u64,
    /// Bytes that came so far.
    pub bytes: u64,
}

/// Snapshots that one node reads at the same time.
pub(crate) const AT_ONCE: usize = 2;
/// Chunks that wait for a slow reader.
const CHUNKS_AHEAD: usize = 2;

/// Begins to send a copy.
pub(crate) async fn send(shared: &Arc<Shared>) -> Result<OutgoingResponse, Failure> {
    let Ok(permit) = shared.snapshots.clone().try_acquire_owned() else {
        let text = "other nodes are being sent copies at present";
        return Ok(refused(Refusal { retry_ms: Some(5_000), ..Refusal::new(wire_code::NO_SNAPSHOT, text) }));
    };
    let stable = shared.members.stable(&shared.store.exposed());
    let source = shared.store.read(move |store| store.snapshot(&stable)).await?;
    if let Some(blocked) = shared.store.exposed().blocked.clone() {
        return Err(blocked);
    }
    let (sender, body) = OutgoingBody::stream(CHUNKS_AHEAD);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        if let Err(failure) = produce(source, &sender).and_then(|()| sender.blocking_finish().map_err(|_| gone())) {
            warn!(%failure, "a snapshot broke off");
        }
    });
    Ok(OutgoingResponse { status: 200, body })
}

fn produce(mut source: Box<dyn SnapshotSource>, sender: &BodySender) -> Result<(), Failure> {
    put(sender, FrameKind::SnapshotStart, source.rows(), &source.start())?;
    while let Some((chunk, rows)) = source.next_chunk()? {
        put(sender, FrameKind::SnapshotChunk, rows, &chunk)?;
    }
    put(sender, FrameKind::SnapshotEnd, 0, &source.end())
}

fn put(sender: &BodySender, kind: FrameKind, rows: u64, bytes: &[u8]) -> Result<(), Failure> {
    let mut payload = Vec::with_capacity(8 + bytes.len());
    payload.extend_from_slice(&rows.to_be_bytes());
    payload.extend_from_slice(bytes);
    let mut frame = Vec::new();
    write_frame(&mut frame, kind, &payload);
    sender.blocking_send(frame).map_err(|_| gone())
}

fn gone() -> Failure {
    Failure::new(code::LOAD, "the node that was being sent a copy went away")
}

/// Fetches a copy from a peer into the store, whose standing is set and which captures nothing meanwhile.
pub(crate) async fn load(
    store: &StoreHandle,
    clock: &Clock,
    connection: &Connection,
    name: &str,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Progress, Failure> {
    let schema = store.exposed().schema;
    // The whole copy comes as one stream: it ends with the snapshot, not with a number of bytes.
    let request = Request::Snapshot(SnapshotRequest { schema, mark: Vec::new(), max_bytes: limits::NUMBER_MAX });
    let lost = |error: RequestError| {
        let below = request_failure(&error, name);
        Failure::new(code::LOAD, format!("the initial copy from {name} broke off"))
            .why(below.cause)
            .hint("It begins anew by itself; this node keeps no part of it.", "")
    };
    let path = Path::Snapshot.as_str();
    let stream = connection.request_streaming(path, OutgoingBody::from(request.encode())).await.map_err(lost)?;
    if stream.status() != 200 {
        return Err(refusal(stream, name).await);
    }
    let mut incoming = Incoming { stream, reader: FrameReader::new(), peer: connection.peer(), bytes: 0 };
    let loading = Loading { store, clock, peer: connection.peer() };
    let mut loaded = Progress::default();
    let mut frames = VecDeque::new();
    let ended = || Failure::new(code::LOAD, format!("the initial copy from {name} ended too early"));
    loop {
        // The store works on one frame while the next is made ready there and the one after it comes in.
        while frames.len() < FRAMES_READ && !frames.back().is_some_and(Frame::is_end) {
            frames.push_back(incoming.next(name).await.map_err(|fault| fault.or_lost(&lost))?.ok_or_else(ended)?);
        }
        let Some(frame) = frames.pop_front() else { return Err(ended()) };
        let (kind, rows) = (frame.kind, frame.rows);
        let load = loading.load(frame, frames.front());
        if kind == FrameKind::SnapshotEnd || frames.back().is_some_and(Frame::is_end) {
            load.await?;
        } else {
            let next = async { incoming.next(name).await.map_err(|fault| fault.or_lost(&lost))?.ok_or_else(ended) };
            frames.push_back(tokio::try_join!(load, next)?.1);
        }
        match kind {
            FrameKind::SnapshotStart => loaded.rows_total = rows,
            FrameKind::SnapshotEnd => {
                info!(rows = loaded.rows, bytes = incoming.bytes, "the initial copy is complete");
                progress(loaded);
                return Ok(loaded);
            }
            _ => loaded.rows += rows,
        }
        loaded.bytes = incoming.bytes;
        progress(loaded);
    }
}

/// Frames in memory when the store begins with the first of them.
const FRAMES_READ: usize = 2;

/// One frame of a copy.
struct Frame {
    kind: FrameKind,
    rows: u64,
    bytes: Arc<[u8]>,
}

impl Frame {
    fn is_end(&self) -> bool {
        self.kind == FrameKind::SnapshotEnd
    }
}

/// The way of frames into the store.
struct Loading<'l> {
    store: &'l StoreHandle,
    clock: &'l Clock,
    peer: NodeId,
}

impl Loading<'_> {
    /// Gives a frame to the store, and tells it what comes next.
    async fn load(&self, frame: Frame, next: Option<&Frame>) -> Result<(), Failure> {
        let (now, peer, bytes) = (self.clock.now(), self.peer, frame.bytes);
        let next = next.filter(|next| next.kind == FrameKind::SnapshotChunk).map(|next| next.bytes.clone());
        match frame.kind {
            FrameKind::SnapshotStart => self.store.write(move |store| store.load_begin(&bytes, peer, now)).await,
            FrameKind::SnapshotEnd => self.store.write(move |store| store.load_finish(&bytes, now)).await,
            _ => {
                let load = move |store: &mut dyn Store| {
                    if let Some(next) = &next {
                        store.load_ahead(next);
                    }
                    store.load_chunk(&bytes, now)
                };
                self.store.write(load).await.map(drop)
            }
        }
    }
}

async fn refusal(stream: ResponseStream, name: &str) -> Failure {
    let status = stream.status();
    let body = stream.whole(limits::MESSAGE_BYTES_MAX).await.unwrap_or_default();
    match Response::decode(Path::Snapshot, &body) {
        Ok(Response::Refused(refusal)) => crate::exchanger::refused(&refusal, name),
        _ => Failure::new(code::BAD_ANSWER, format!("{name} answers a request for a copy with status {status}")),
    }
}

/// A copy as it comes in.
struct Incoming {
    stream: ResponseStream,
    reader: FrameReader,
    peer: NodeId,
    bytes: u64,
}

enum Fault {
    Lost(RequestError),
    Failed(Failure),
}

impl Fault {
    fn or_lost(self, lost: &dyn Fn(RequestError) -> Failure) -> Failure {
        match self {
            Fault::Lost(error) => lost(error),
            Fault::Failed(failure) => failure,
        }
    }
}

impl Incoming {
    async fn next(&mut self, name: &str) -> Result<Option<Frame>, Fault> {
        let damaged = |error: &(dyn std::error::Error + 'static)| {
            Fault::Failed(
                Failure::new(code::LOAD, format!("the initial copy from {name} arrived damaged")).because(error),
            )
        };
        loop {
            if let Some(frame) = self.reader.next_frame().map_err(|error| damaged(&error))? {
                if !matches!(frame.kind, FrameKind::SnapshotStart | FrameKind::SnapshotChunk | FrameKind::SnapshotEnd) {
                    continue;
                }
                let Some((rows, bytes)) = frame.payload.split_first_chunk::<8>() else {
                    return Err(Fault::Failed(Failure::new(
                        code::LOAD,
                        format!("{name} sends a copy that cannot be read"),
                    )));
                };
                let (kind, rows, bytes) = (frame.kind, u64::from_be_bytes(*rows), bytes.into());
                return Ok(Some(Frame { kind, rows, bytes }));
            }
            let chunk = self.stream.chunk().await.map_err(|fault| {
                let fault = RequestFault::Body(fault);
                Fault::Lost(RequestError { peer: self.peer, path: Path::Snapshot.as_str().to_owned(), fault })
            })?;
            let Some(chunk) = chunk else { return Ok(None) };
            self.bytes += chunk.len() as u64;
            self.reader.push(&chunk);
        }
    }
}
