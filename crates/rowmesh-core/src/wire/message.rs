//! Requests and responses: what nodes ask each other, and how that is written down. One message is one frame; streams of
//! changesets and snapshots are several. Here is what all have in common; each group of messages has its own file. Nothing here decides
//! anything.

use thiserror::Error;

use super::batch::Batch;
use super::fields::{FieldReader, FieldWriter};
use super::frame::{Frame, FrameError, FrameKind, FrameReader, write_frame};
use crate::encode::Malformed;

use refusal::refusal_in;
use snapshot::snapshot_frames;

pub use acks::{Acks, AcksReply};
pub use changes::{Pull, PushReply, Report, Tally};
pub use hello::{Fingerprint, Hello, HelloReply, common_protocol};
pub use joining::{Join, JoinReply};
pub use refusal::Refusal;
pub use roster::{RosterOffer, RosterPush, RosterReply, RosterTaken};
pub use snapshot::SnapshotRequest;
pub use waiting::{Wait, Wake, WakeReason};

mod acks;
mod changes;
pub mod code;
mod hello;
mod joining;
mod parts;
mod refusal;
mod roster;
mod snapshot;
mod waiting;

/// The lowest version of the protocol that this node speaks.
pub const PROTOCOL_MIN: u16 = 1;
/// The highest version of the protocol that this node speaks.
pub const PROTOCOL_MAX: u16 = 1;
/// The media type of every body.
pub const MEDIA_TYPE: &str = "application/vnd.rowmesh.frames";

/// What one node asks another.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Who are you, what do you know.
    Hello(Box<Hello>),
    /// Here is what I have of the roster.
    RosterOffer(RosterOffer),
    /// Here is what you lack of the roster.
    RosterPush(RosterPush),
    /// Here are acknowledgements that are newer than yours.
    Acks(Acks),
    /// Send what I lack.
    Pull(Pull),
    /// Here is what you lack.
    Push(Batch),
    /// Answer when there is news.
    Wait(Wait),
    /// Let me in.
    Join(Box<Join>),
    /// Send a whole copy.
    Snapshot(SnapshotRequest),
}

/// What the other answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// To [`Request::Hello`].
    Hello(Box<HelloReply>),
    /// To [`Request::RosterOffer`].
    Roster(RosterReply),
    /// To [`Request::RosterPush`].
    RosterTaken(RosterTaken),
    /// To [`Request::Acks`].
    Acks(AcksReply),
    /// To [`Request::Pull`].
    Batch(Batch),
    /// To [`Request::Push`].
    Pushed(PushReply),
    /// To [`Request::Wait`].
    Wake(Wake),
    /// To [`Request::Join`].
    Joined(JoinReply),
    /// To [`Request::Snapshot`]: frames of the three snapshot kinds, whose payloads are the snapshot's business.
    Snapshot(Vec<Frame>),
    /// To anything.
    Refused(Refusal),
}

/// Where a request goes, and with that what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// `/v1/hello`
    Hello,
    /// `/v1/roster/offer`
    RosterOffer,
    /// `/v1/roster/push`
    RosterPush,
    /// `/v1/acks`
    Acks,
    /// `/v1/pull`
    Pull,
    /// `/v1/push`
    Push,
    /// `/v1/wait`
    Wait,
    /// `/v1/join`
    Join,
    /// `/v1/snapshot`
    Snapshot,
}

/// Why a body is no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// Not frames, or not intact.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Frames with something else in them.
    #[error("message is malformed")]
    Malformed(#[from] Malformed),
    /// A message, but not one that belongs here.
    #[error("message of kind {got} where {expected} was expected")]
    Kind {
        /// The message's kind.
        got: u64,
        /// What it should have been.
        expected: u64,
    },
}

impl Path {
    /// All of them.
    pub const ALL: [Path; 9] = [
        Path::Hello,
        Path::RosterOffer,
        Path::RosterPush,
        Path::Acks,
        Path::Pull,
        Path::Push,
        Path::Wait,
        Path::Join,
        Path::Snapshot,
    ];

    /// As it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Path::Hello => "/v1/hello",
            Path::RosterOffer => "/v1/roster/offer",
            Path::RosterPush => "/v1/roster/push",
            Path::Acks => "/v1/acks",
            Path::Pull => "/v1/pull",
            Path::Push => "/v1/push",
            Path::Wait => "/v1/wait",
            Path::Join => "/v1/join",
            Path::Snapshot => "/v1/snapshot",
        }
    }

    /// The path that a URL names.
    pub fn parse(path: &str) -> Option<Path> {
        Path::ALL.into_iter().find(|known| known.as_str() == path)
    }
}

impl Request {
    /// Where it goes.
    pub fn path(&self) -> Path {
        match self {
            Request::Hello(_) => Path::Hello,
            Request::RosterOffer(_) => Path::RosterOffer,
            Request::RosterPush(_) => Path::RosterPush,
            Request::Acks(_) => Path::Acks,
            Request::Pull(_) => Path::Pull,
            Request::Push(_) => Path::Push,
            Request::Wait(_) => Path::Wait,
            Request::Join(_) => Path::Join,
            Request::Snapshot(_) => Path::Snapshot,
        }
    }

    /// Its body.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Request::Hello(message) => message.body(),
            Request::RosterOffer(message) => message.body(),
            Request::RosterPush(message) => message.body(),
            Request::Acks(message) => message.body(),
            Request::Pull(message) => message.body(),
            Request::Push(batch) => batch.encode(),
            Request::Wait(message) => message.body(),
            Request::Join(message) => message.body(),
            Request::Snapshot(message) => message.body(),
        }
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    /// If it breaks a limit or the format.
    pub fn decode(path: Path, body: &[u8]) -> Result<Request, WireError> {
        Ok(match path {
            Path::Hello => Request::Hello(Box::new(Hello::of_body(body)?)),
            Path::RosterOffer => Request::RosterOffer(RosterOffer::of_body(body)?),
            Path::RosterPush => Request::RosterPush(RosterPush::of_body(body)?),
            Path::Acks => Request::Acks(Acks::of_body(body)?),
            Path::Pull => Request::Pull(Pull::of_body(body)?),
            Path::Push => Request::Push(Batch::decode(body)?),
            Path::Wait => Request::Wait(Wait::of_body(body)?),
            Path::Join => Request::Join(Box::new(Join::of_body(body)?)),
            Path::Snapshot => Request::Snapshot(SnapshotRequest::of_body(body)?),
        })
    }
}

impl Response {
    /// Its body.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Response::Hello(message) => message.body(),
            Response::Roster(message) => message.body(),
            Response::RosterTaken(message) => message.body(),
            Response::Acks(message) => message.body(),
            Response::Batch(batch) => batch.encode(),
            Response::Pushed(message) => message.body(),
            Response::Wake(message) => message.body(),
            Response::Joined(message) => message.body(),
            Response::Snapshot(frames) => {
                let mut out = Vec::new();
                frames.iter().for_each(|frame| write_frame(&mut out, frame.kind, &frame.payload));
                out
            }
            Response::Refused(message) => message.body(),
        }
    }

    /// Reads the body of the answer to a request that went to `path`.
    ///
    /// # Errors
    /// If it breaks a limit or the format.
    pub fn decode(path: Path, body: &[u8]) -> Result<Response, WireError> {
        if let Some(payload) = refusal_in(body) {
            return Ok(Response::Refused(Refusal::of_payload(&payload)?));
        }
        Ok(match path {
            Path::Hello => Response::Hello(Box::new(HelloReply::of_body(body)?)),
            Path::RosterOffer => Response::Roster(RosterReply::of_body(body)?),
            Path::RosterPush => Response::RosterTaken(RosterTaken::of_body(body)?),
            Path::Acks => Response::Acks(AcksReply::of_body(body)?),
            Path::Pull => Response::Batch(Batch::decode(body)?),
            Path::Push => Response::Pushed(PushReply::of_body(body)?),
            Path::Wait => Response::Wake(Wake::of_body(body)?),
            Path::Join => Response::Joined(JoinReply::of_body(body)?),
            Path::Snapshot => Response::Snapshot(snapshot_frames(body)?),
        })
    }
}

/// One message: a number, and fields.
trait Message: Sized {
    const KIND: u64;
    const NAME: &'static str;

    fn write(&self, out: &mut FieldWriter);
    fn read(input: &mut FieldReader<'_>) -> Result<Self, Malformed>;

    fn payload(&self) -> Vec<u8> {
        let mut out = FieldWriter::default();
        out.number(0, Self::KIND);
        self.write(&mut out);
        out.finish()
    }

    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_frame(&mut out, FrameKind::Message, &self.payload());
        out
    }

    fn of_payload(payload: &[u8]) -> Result<Self, WireError> {
        let mut input = FieldReader::new(Self::NAME, payload)?;
        let got = input.number(0, u64::MAX)?;
        if got != Self::KIND {
            return Err(WireError::Kind { got, expected: Self::KIND });
        }
        let message = Self::read(&mut input)?;
        input.finish()?;
        Ok(message)
    }

    fn of_body(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = FrameReader::new();
        reader.push(body);
        let Some(frame) = reader.next_frame()? else {
            reader.finish()?;
            return Err(FrameError::Unexpected("body is empty").into());
        };
        reader.finish()?;
        if frame.kind != FrameKind::Message {
            return Err(FrameError::Unexpected("body holds a stream where a message was expected").into());
        }
        Self::of_payload(&frame.payload)
    }
}

#[cfg(test)]
mod tests;
