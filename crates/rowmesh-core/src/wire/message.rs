//! Requests and responses: what nodes ask each other, and how that is written down. One message is one frame; streams of
//! changesets and snapshots are several. Nothing here decides anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::ack::AckMark;
use crate::clock::{VersionVector, WallTime};
use crate::encode::{Malformed, Reader, Writer};
use crate::ident::{Digest, Dot, Incarnation, MeshId, NodeId, Origin, Seq};
use crate::invite::{InviteId, InviteProof};
use crate::limits;
use crate::sign::PublicKey;

use super::batch::Batch;
use super::fields::{FieldReader, FieldWriter, item_array, item_bytes, item_number, item_text, item_tuple};
use super::frame::{Frame, FrameError, FrameKind, FrameReader, write_frame};

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

/// What a node says of itself at the beginning of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Lowest version of the protocol that it speaks.
    pub protocol_min: u16,
    /// Highest version of the protocol that it speaks.
    pub protocol_max: u16,
    /// Its mesh.
    pub mesh: MeshId,
    /// Its name: must be that of the key on the connection.
    pub node: NodeId,
    /// The life of its database.
    pub incarnation: Incarnation,
    /// What its row states reflect.
    pub vector: VersionVector,
    /// Highest changeset of each origin that it has pruned from its log: it can send only what lies above.
    pub floor: VersionVector,
    /// Epoch of its roster.
    pub epoch: u64,
    /// Hash of its roster.
    pub roster: Digest,
    /// Fingerprint of the tracked tables' definitions.
    pub schema: Digest,
    /// Its clock.
    pub now: WallTime,
    /// Its own newest signed acknowledgement.
    pub ack: Option<Arc<[u8]>>,
    /// Which acknowledgements it knows.
    pub acks: BTreeMap<NodeId, AckMark>,
    /// Fingerprints of table contents at its vector, where it has them at hand.
    pub fingerprints: Vec<Fingerprint>,
    /// Whether nobody can call it, so that its own calls must serve both ways.
    pub cannot_be_dialled: bool,
}

/// The content of one table, in few bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The table.
    pub table: String,
    /// Sums as `verify` defines them.
    pub sum: Vec<u8>,
}

/// The other side of the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloReply {
    /// The version that both will speak: the highest in common.
    pub protocol: u16,
    /// What the answering node says of itself.
    pub hello: Hello,
}

/// All that the sender has of the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterOffer {
    /// Hashes of all its entries.
    pub hashes: Vec<Digest>,
}

/// The difference.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RosterReply {
    /// Entries that the offer did not name, parents first.
    pub entries: Vec<Arc<[u8]>>,
    /// Hashes that the answering node lacks.
    pub lacking: Vec<Digest>,
    /// Whether there are further entries that did not fit.
    pub more: bool,
}

/// Roster entries, parents first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterPush {
    /// Their exact bytes.
    pub entries: Vec<Arc<[u8]>>,
}

/// The roster after a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterTaken {
    /// Its epoch.
    pub epoch: u64,
    /// Its hash.
    pub hash: Digest,
    /// Entries that the pushed ones stand on and that are lacking.
    pub missing: Vec<Digest>,
}

/// Acknowledgements for the other, and which are known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acks {
    /// Signed acknowledgements that the other does not know.
    pub acks: Vec<Arc<[u8]>>,
    /// Which are known here, these included.
    pub known: BTreeMap<NodeId, AckMark>,
}

/// Acknowledgements that the asking node did not know.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AcksReply {
    /// Their exact bytes.
    pub acks: Vec<Arc<[u8]>>,
}

/// "My version vector is V; send what I lack, at most B bytes." The vector is the acknowledgement of what came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// What the asking node's row states reflect.
    pub vector: VersionVector,
    /// Origins to leave out: what came of them is held back there.
    pub except: Vec<Origin>,
    /// Bytes of changesets after which the answer ends.
    pub max_bytes: u64,
}

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PushReply {
    /// What the answering node's row states reflect now.
    pub vector: VersionVector,
    /// What it took in.
    pub taken: Tally,
    /// How many it had already.
    pub duplicates: u64,
    /// What it could not take in yet; at most [`limits::REPORTS_MAX`] are told.
    pub held: Vec<Report>,
    /// What it will never take in; at most [`limits::REPORTS_MAX`] are told.
    pub refused: Vec<Report>,
}

/// An amount of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tally {
    /// Changesets.
    pub changesets: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes of them, as sealed.
    pub bytes: u64,
}

/// Why one changeset was not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which, where its bytes could be read.
    pub dot: Option<Dot>,
    /// `RM` and four digits.
    pub code: String,
    /// For people.
    pub text: String,
}

/// "Answer as soon as you have what I lack, or after that time."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What the asking node's row states reflect.
    pub vector: VersionVector,
    /// Hash of its roster.
    pub roster: Digest,
    /// Milliseconds to wait at most.
    pub max_ms: u64,
}

/// The answer to a waiting node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Why it comes now.
    pub reason: WakeReason,
}

/// Why a waiting node is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeReason {
    /// There is something to pull.
    Changes,
    /// The roster moved.
    Roster,
    /// The time is over.
    Timeout,
    /// The answering node shuts down.
    Closing,
    /// A reason of a later version: exchange and see.
    Other(u64),
}

/// "I hold this invite."
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// Lowest version of the protocol that it speaks.
    pub protocol_min: u16,
    /// Highest version of the protocol that it speaks.
    pub protocol_max: u16,
    /// The mesh that the invite names.
    pub mesh: MeshId,
    /// Which invite.
    pub invite: InviteId,
    /// That it knows the secret.
    pub proof: InviteProof,
    /// What it wants to be called.
    pub name: String,
    /// Its key: must be the one on the connection.
    pub public_key: PublicKey,
    /// Where it can be reached.
    pub addresses: Vec<String>,
    /// Fingerprint of its tables' definitions.
    pub schema: Digest,
    /// Its clock.
    pub now: WallTime,
}

/// The roster with the new member in it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct JoinReply {
    /// Entries, parents first.
    pub entries: Vec<Arc<[u8]>>,
    /// Whether there are further entries that did not fit: the first exchange brings them.
    pub more: bool,
}

/// "Send a whole copy", or the next part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Fingerprint of the asking node's tables' definitions.
    pub schema: Digest,
    /// Where to go on: the mark that the last part ended with; empty to begin.
    pub mark: Vec<u8>,
    /// Bytes after which the answer ends.
    pub max_bytes: u64,
}

/// "No", with a reason that people can look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One of [`code`].
    pub code: String,
    /// For people.
    pub text: String,
    /// Milliseconds after which to try again; `None` where trying again is useless until somebody changes something.
    pub retry_ms: Option<u64>,
}

/// Codes that travel. Never used again for anything else.
pub mod code {
    /// The caller is not a member of this mesh.
    pub const NOT_A_MEMBER: &str = "RM4105";
    /// The caller was removed from this mesh.
    pub const REMOVED: &str = "RM4102";
    /// The invite was used, has expired or was taken back.
    pub const INVITE_DEAD: &str = "RM4103";
    /// No such invite.
    pub const INVITE_UNKNOWN: &str = "RM4101";
    /// The invite is locked after wrong attempts.
    pub const INVITE_LOCKED: &str = "RM4106";
    /// The two nodes belong to different meshes.
    pub const OTHER_MESH: &str = "RM4107";
    /// The name in the message is not that of the key on the connection.
    pub const OTHER_IDENTITY: &str = "RM4108";
    /// A node called itself.
    pub const SELF: &str = "RM4109";
    /// Two machines use one identity.
    pub const TWO_LIVES: &str = "RM4110";
    /// No version of the protocol in common.
    pub const NO_COMMON_PROTOCOL: &str = "RM4111";
    /// The body is not what the path asks for.
    pub const MALFORMED: &str = "RM4112";
    /// The caller's role does not allow it.
    pub const NOT_ALLOWED: &str = "RM4113";
    /// Not now.
    pub const BUSY: &str = "RM4114";
    /// No snapshot can be had here now.
    pub const NO_SNAPSHOT: &str = "RM4115";
    /// A clock is too far ahead.
    pub const CLOCK_AHEAD: &str = "RM4301";
    /// A changeset is malformed or was altered.
    pub const CHANGESET_MALFORMED: &str = "RM5401";
    /// A changeset was not signed by its origin.
    pub const CHANGESET_FORGED: &str = "RM5402";
    /// One name, two contents.
    pub const EQUIVOCATION: &str = "RM5403";
    /// A changeset of a removed node from after its removal.
    pub const ABOVE_CUT: &str = "RM5404";
    /// A changeset of a node that may only read.
    pub const READ_ONLY: &str = "RM5405";
    /// A changeset whose predecessor is not here.
    pub const GAP: &str = "RM5201";
    /// A changeset that was sealed under a roster that is not here.
    pub const UNKNOWN_EPOCH: &str = "RM5202";
    /// A changeset of a node that the roster does not name.
    pub const UNKNOWN_ORIGIN: &str = "RM5203";
    /// A changeset that refers to others which are not here.
    pub const MISSING_CONTEXT: &str = "RM5204";
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

/// The highest version that both speak.
pub fn common_protocol(a: (u16, u16), b: (u16, u16)) -> Option<u16> {
    let highest = a.1.min(b.1);
    (highest >= a.0.max(b.0)).then_some(highest)
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

impl Refusal {
    /// A refusal that trying again does not change.
    pub fn new(code: &str, text: impl Into<String>) -> Refusal {
        Refusal { code: code.to_owned(), text: text.into(), retry_ms: None }
    }

    /// Whether the caller may try again by itself.
    pub fn may_retry(&self) -> bool {
        self.retry_ms.is_some()
    }
}

impl Report {
    /// Of a changeset, or of bytes that could not be read as one.
    pub fn new(dot: Option<Dot>, code: &str, text: impl Into<String>) -> Report {
        Report { dot, code: code.to_owned(), text: text.into() }
    }
}

impl Tally {
    /// Adds another amount.
    pub fn add(&mut self, other: Tally) {
        self.changesets = self.changesets.saturating_add(other.changesets);
        self.events = self.events.saturating_add(other.events);
        self.bytes = self.bytes.saturating_add(other.bytes);
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

impl Message for Hello {
    const KIND: u64 = 1;
    const NAME: &'static str = "hello";

    fn write(&self, out: &mut FieldWriter) {
        out.number(1, u64::from(self.protocol_min));
        out.number(2, u64::from(self.protocol_max));
        out.bytes(3, &self.mesh.0);
        out.bytes(4, &self.node.0);
        out.bytes(5, &incarnation_bytes(&self.incarnation));
        out.vector(6, &self.vector);
        out.vector(7, &self.floor);
        out.number(8, self.epoch);
        out.bytes(9, &self.roster.0);
        out.bytes(10, &self.schema.0);
        out.number(11, self.now.0);
        if let Some(ack) = &self.ack {
            out.bytes(12, ack);
        }
        write_marks(out, 13, &self.acks);
        out.list(14, self.fingerprints.iter(), |out, one| out.array(2)?.str(&one.table)?.bytes(&one.sum).map(drop));
        out.flag(15, self.cannot_be_dialled);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Hello, Malformed> {
        Ok(Hello {
            protocol_min: input.number(1, u64::from(u16::MAX))? as u16,
            protocol_max: input.number(2, u64::from(u16::MAX))? as u16,
            mesh: MeshId(input.array(3)?),
            node: NodeId(input.array(4)?),
            incarnation: incarnation_of(input.array(5)?),
            vector: input.vector(6)?,
            floor: input.vector(7)?,
            epoch: input.number(8, limits::NUMBER_MAX)?,
            roster: Digest(input.array(9)?),
            schema: Digest(input.array(10)?),
            now: WallTime(input.number(11, limits::NUMBER_MAX)?),
            ack: input.optional_bytes(12, limits::ACK_BYTES_MAX)?.map(Arc::from),
            acks: read_marks(input, 13)?,
            fingerprints: read_fingerprints(input, 14)?,
            cannot_be_dialled: input.flag(15)?,
        })
    }
}

impl Message for HelloReply {
    const KIND: u64 = 2;
    const NAME: &'static str = "hello reply";

    fn write(&self, out: &mut FieldWriter) {
        out.number(1, u64::from(self.protocol));
        out.bytes(2, &self.hello.payload());
    }

    fn read(input: &mut FieldReader<'_>) -> Result<HelloReply, Malformed> {
        let protocol = input.number(1, u64::from(u16::MAX))? as u16;
        let hello = match Hello::of_payload(input.bytes(2, limits::MESSAGE_BYTES_MAX)?) {
            Ok(hello) => hello,
            Err(WireError::Malformed(malformed)) => return Err(malformed),
            Err(_) => return Err(Malformed::Invalid("hello in a hello reply")),
        };
        Ok(HelloReply { protocol, hello })
    }
}

impl Message for RosterOffer {
    const KIND: u64 = 3;
    const NAME: &'static str = "roster offer";

    fn write(&self, out: &mut FieldWriter) {
        write_digests(out, 1, &self.hashes);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<RosterOffer, Malformed> {
        Ok(RosterOffer { hashes: read_digests(input, 1)? })
    }
}

impl Message for RosterReply {
    const KIND: u64 = 4;
    const NAME: &'static str = "roster reply";

    fn write(&self, out: &mut FieldWriter) {
        write_blobs(out, 1, &self.entries);
        write_digests(out, 2, &self.lacking);
        out.flag(3, self.more);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<RosterReply, Malformed> {
        Ok(RosterReply { entries: read_entries(input, 1)?, lacking: read_digests(input, 2)?, more: input.flag(3)? })
    }
}

impl Message for RosterPush {
    const KIND: u64 = 5;
    const NAME: &'static str = "roster push";

    fn write(&self, out: &mut FieldWriter) {
        write_blobs(out, 1, &self.entries);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<RosterPush, Malformed> {
        Ok(RosterPush { entries: read_entries(input, 1)? })
    }
}

impl Message for RosterTaken {
    const KIND: u64 = 6;
    const NAME: &'static str = "roster push reply";

    fn write(&self, out: &mut FieldWriter) {
        out.number(1, self.epoch);
        out.bytes(2, &self.hash.0);
        write_digests(out, 3, &self.missing);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<RosterTaken, Malformed> {
        Ok(RosterTaken {
            epoch: input.number(1, limits::NUMBER_MAX)?,
            hash: Digest(input.array(2)?),
            missing: read_digests(input, 3)?,
        })
    }
}

impl Message for Acks {
    const KIND: u64 = 7;
    const NAME: &'static str = "acknowledgements";

    fn write(&self, out: &mut FieldWriter) {
        write_blobs(out, 1, &self.acks);
        write_marks(out, 2, &self.known);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Acks, Malformed> {
        Ok(Acks { acks: read_acks(input, 1)?, known: read_marks(input, 2)? })
    }
}

impl Message for AcksReply {
    const KIND: u64 = 8;
    const NAME: &'static str = "acknowledgements reply";

    fn write(&self, out: &mut FieldWriter) {
        write_blobs(out, 1, &self.acks);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<AcksReply, Malformed> {
        Ok(AcksReply { acks: read_acks(input, 1)? })
    }
}

impl Message for Pull {
    const KIND: u64 = 9;
    const NAME: &'static str = "pull";

    fn write(&self, out: &mut FieldWriter) {
        out.vector(1, &self.vector);
        out.number(2, self.max_bytes);
        out.list(3, self.except.iter(), |out, origin| {
            out.array(2)?.bytes(&origin.node.0)?.bytes(&incarnation_bytes(&origin.incarnation)).map(drop)
        });
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Pull, Malformed> {
        Ok(Pull {
            vector: input.vector(1)?,
            max_bytes: input.number(2, limits::NUMBER_MAX)?,
            except: input.list(3, limits::ORIGINS_MAX, |input| {
                item_tuple(input, "origin", 2)?;
                let node = NodeId(item_array(input, "origin")?);
                Ok(Origin { node, incarnation: incarnation_of(item_array(input, "origin")?) })
            })?,
        })
    }
}

impl Message for PushReply {
    const KIND: u64 = 12;
    const NAME: &'static str = "push reply";

    fn write(&self, out: &mut FieldWriter) {
        out.vector(1, &self.vector);
        out.number(2, self.taken.changesets);
        out.number(3, self.taken.events);
        out.number(4, self.taken.bytes);
        out.number(5, self.duplicates);
        write_reports(out, 6, &self.held);
        write_reports(out, 7, &self.refused);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<PushReply, Malformed> {
        let mut amount = |number| input.number(number, limits::NUMBER_MAX);
        let taken = Tally { changesets: amount(2)?, events: amount(3)?, bytes: amount(4)? };
        Ok(PushReply {
            taken,
            duplicates: amount(5)?,
            vector: input.vector(1)?,
            held: read_reports(input, 6)?,
            refused: read_reports(input, 7)?,
        })
    }
}

impl Message for Wait {
    const KIND: u64 = 13;
    const NAME: &'static str = "wait";

    fn write(&self, out: &mut FieldWriter) {
        out.vector(1, &self.vector);
        out.bytes(2, &self.roster.0);
        out.number(3, self.max_ms);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Wait, Malformed> {
        Ok(Wait {
            vector: input.vector(1)?,
            roster: Digest(input.array(2)?),
            max_ms: input.number(3, limits::NUMBER_MAX)?,
        })
    }
}

impl Message for Wake {
    const KIND: u64 = 14;
    const NAME: &'static str = "wake";

    fn write(&self, out: &mut FieldWriter) {
        out.number(1, self.reason.number());
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Wake, Malformed> {
        Ok(Wake { reason: WakeReason::of_number(input.number(1, limits::NUMBER_MAX)?) })
    }
}

impl Message for Join {
    const KIND: u64 = 15;
    const NAME: &'static str = "join";

    fn write(&self, out: &mut FieldWriter) {
        out.number(1, u64::from(self.protocol_min));
        out.number(2, u64::from(self.protocol_max));
        out.bytes(3, &self.mesh.0);
        out.bytes(4, &self.invite.0);
        out.bytes(5, &self.proof.0);
        out.text(6, &self.name);
        out.bytes(7, &self.public_key.0);
        out.list(8, self.addresses.iter(), |out, address| out.str(address).map(drop));
        out.bytes(9, &self.schema.0);
        out.number(10, self.now.0);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Join, Malformed> {
        Ok(Join {
            protocol_min: input.number(1, u64::from(u16::MAX))? as u16,
            protocol_max: input.number(2, u64::from(u16::MAX))? as u16,
            mesh: MeshId(input.array(3)?),
            invite: InviteId(input.array(4)?),
            proof: InviteProof(input.array(5)?),
            name: input.text(6, limits::NODE_NAME_BYTES_MAX)?,
            public_key: PublicKey(input.array(7)?),
            addresses: input
                .list(8, limits::ADDRESSES_MAX, |input| item_text(input, "address", limits::ADDRESS_BYTES_MAX))?,
            schema: Digest(input.array(9)?),
            now: WallTime(input.number(10, limits::NUMBER_MAX)?),
        })
    }
}

impl Message for JoinReply {
    const KIND: u64 = 16;
    const NAME: &'static str = "join reply";

    fn write(&self, out: &mut FieldWriter) {
        write_blobs(out, 1, &self.entries);
        out.flag(2, self.more);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<JoinReply, Malformed> {
        Ok(JoinReply { entries: read_entries(input, 1)?, more: input.flag(2)? })
    }
}

impl Message for SnapshotRequest {
    const KIND: u64 = 17;
    const NAME: &'static str = "snapshot request";

    fn write(&self, out: &mut FieldWriter) {
        out.bytes(1, &self.schema.0);
        out.bytes(2, &self.mark);
        out.number(3, self.max_bytes);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<SnapshotRequest, Malformed> {
        Ok(SnapshotRequest {
            schema: Digest(input.array(1)?),
            mark: input.bytes(2, limits::SNAPSHOT_MARK_BYTES_MAX)?.to_vec(),
            max_bytes: input.number(3, limits::NUMBER_MAX)?,
        })
    }
}

impl Message for Refusal {
    const KIND: u64 = 100;
    const NAME: &'static str = "refusal";

    fn write(&self, out: &mut FieldWriter) {
        out.text(1, clipped(&self.code, limits::CODE_BYTES_MAX));
        out.text(2, clipped(&self.text, limits::TEXT_BYTES_MAX));
        if let Some(after) = self.retry_ms {
            out.number(3, after.saturating_add(1));
        } else {
            out.number(3, 0);
        }
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Refusal, Malformed> {
        Ok(Refusal {
            code: input.text(1, limits::CODE_BYTES_MAX)?,
            text: input.text(2, limits::TEXT_BYTES_MAX)?,
            retry_ms: input.number(3, limits::NUMBER_MAX)?.checked_sub(1),
        })
    }
}

impl WakeReason {
    fn number(self) -> u64 {
        match self {
            WakeReason::Changes => 1,
            WakeReason::Roster => 2,
            WakeReason::Timeout => 3,
            WakeReason::Closing => 4,
            WakeReason::Other(number) => number,
        }
    }

    fn of_number(number: u64) -> WakeReason {
        match number {
            1 => WakeReason::Changes,
            2 => WakeReason::Roster,
            3 => WakeReason::Timeout,
            4 => WakeReason::Closing,
            other => WakeReason::Other(other),
        }
    }
}

/// The payload of a body that is one message and that message a refusal; anything else is for the path's own decoder to judge.
fn refusal_in(body: &[u8]) -> Option<Vec<u8>> {
    let mut reader = FrameReader::new();
    // A refusal is short: looking at the beginning is enough to tell, and copies no stream.
    reader.push(body.get(..body.len().min(limits::TEXT_BYTES_MAX * 2)).unwrap_or(body));
    let frame = reader.next_frame().ok()??;
    let mut fields =
        (frame.kind == FrameKind::Message).then(|| FieldReader::new(Refusal::NAME, &frame.payload))?.ok()?;
    let is_refusal = fields.number(0, u64::MAX) == Ok(Refusal::KIND);
    (is_refusal && reader.finish().is_ok()).then_some(frame.payload)
}

fn snapshot_frames(body: &[u8]) -> Result<Vec<Frame>, WireError> {
    let mut reader = FrameReader::new();
    reader.push(body);
    let mut frames = Vec::new();
    let mut bytes = 0usize;
    while let Some(frame) = reader.next_frame()? {
        if !matches!(frame.kind, FrameKind::SnapshotStart | FrameKind::SnapshotChunk | FrameKind::SnapshotEnd) {
            return Err(FrameError::Unexpected("snapshot holds a frame of another kind").into());
        }
        bytes = bytes.saturating_add(frame.payload.len());
        let limit = limits::EXCHANGE_BYTES_MAX + limits::FRAME_BYTES_MAX;
        if bytes > limit {
            return Err(Malformed::TooLarge { what: "snapshot part", got: bytes as u64, limit: limit as u64 }.into());
        }
        frames.push(frame);
    }
    reader.finish()?;
    Ok(frames)
}

fn incarnation_bytes(incarnation: &Incarnation) -> [u8; 12] {
    let mut bytes = [0; 12];
    let fields = incarnation.count.to_be_bytes().into_iter().chain(incarnation.nonce.to_be_bytes());
    bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    bytes
}

fn incarnation_of(bytes: [u8; 12]) -> Incarnation {
    let [c0, c1, c2, c3, nonce @ ..] = bytes;
    Incarnation { count: u32::from_be_bytes([c0, c1, c2, c3]), nonce: u64::from_be_bytes(nonce) }
}

fn write_blobs(out: &mut FieldWriter, number: u64, blobs: &[Arc<[u8]>]) {
    out.list(number, blobs.iter(), |out, blob| out.bytes(blob).map(drop));
}

fn read_entries(input: &mut FieldReader<'_>, number: u64) -> Result<Vec<Arc<[u8]>>, Malformed> {
    input.list(number, limits::ROSTER_ENTRIES_MAX, |input| {
        item_bytes(input, "roster entry", limits::ROSTER_ENTRY_BYTES_MAX).map(Arc::from)
    })
}

fn read_acks(input: &mut FieldReader<'_>, number: u64) -> Result<Vec<Arc<[u8]>>, Malformed> {
    input.list(number, limits::MEMBERS_MAX, |input| {
        item_bytes(input, "acknowledgement", limits::ACK_BYTES_MAX).map(Arc::from)
    })
}

fn write_digests(out: &mut FieldWriter, number: u64, digests: &[Digest]) {
    out.list(number, digests.iter(), |out, digest| out.bytes(&digest.0).map(drop));
}

fn read_digests(input: &mut FieldReader<'_>, number: u64) -> Result<Vec<Digest>, Malformed> {
    input.list(number, limits::ROSTER_ENTRIES_MAX, |input| item_array(input, "roster hash").map(Digest))
}

fn write_marks(out: &mut FieldWriter, number: u64, marks: &BTreeMap<NodeId, AckMark>) {
    out.list(number, marks.iter(), |out, (node, mark)| {
        out.array(3)?.bytes(&node.0)?.bytes(&incarnation_bytes(&mark.incarnation))?.u64(mark.counter).map(drop)
    });
}

fn read_marks(input: &mut FieldReader<'_>, number: u64) -> Result<BTreeMap<NodeId, AckMark>, Malformed> {
    let marks = input.list(number, limits::MEMBERS_MAX, |input| {
        item_tuple(input, "acknowledgement mark", 3)?;
        let node = NodeId(item_array(input, "acknowledgement mark")?);
        let incarnation = incarnation_of(item_array(input, "acknowledgement mark")?);
        Ok((node, AckMark { incarnation, counter: item_number(input, "acknowledgement mark")? }))
    })?;
    let rises = marks.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
    if rises { Ok(marks.into_iter().collect()) } else { Err(Malformed::Invalid("acknowledgement marks")) }
}

fn read_fingerprints(input: &mut FieldReader<'_>, number: u64) -> Result<Vec<Fingerprint>, Malformed> {
    input.list(number, limits::TABLES_PER_CHANGESET_MAX, |input| {
        item_tuple(input, "fingerprint", 2)?;
        let table = item_text(input, "fingerprint table", limits::NAME_BYTES_MAX)?;
        Ok(Fingerprint { table, sum: item_bytes(input, "fingerprint", limits::FINGERPRINT_BYTES_MAX)?.to_vec() })
    })
}

fn write_reports(out: &mut FieldWriter, number: u64, reports: &[Report]) {
    let told = reports.get(..limits::REPORTS_MAX).unwrap_or(reports);
    out.list(number, told.iter(), |out, report| {
        let mut dot = Writer::default();
        if let Some(name) = &report.dot {
            dot.origin(&name.origin);
            dot.number(name.seq.0);
        }
        let code = clipped(&report.code, limits::CODE_BYTES_MAX);
        out.array(3)?.bytes(&dot.0)?.str(code)?.str(clipped(&report.text, limits::TEXT_BYTES_MAX)).map(drop)
    });
}

fn read_reports(input: &mut FieldReader<'_>, number: u64) -> Result<Vec<Report>, Malformed> {
    input.list(number, limits::REPORTS_MAX, |input| {
        item_tuple(input, "report", 3)?;
        let dot = item_bytes(input, "report", 64)?;
        let code = item_text(input, "report", limits::CODE_BYTES_MAX)?;
        let text = item_text(input, "report", limits::TEXT_BYTES_MAX)?;
        Ok(Report { dot: read_dot(dot)?, code, text })
    })
}

fn read_dot(bytes: &[u8]) -> Result<Option<Dot>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut input = Reader::new(bytes);
    let origin = input.origin("report")?;
    let seq = Seq(input.bounded("report", limits::NUMBER_MAX)?);
    input.end("report")?;
    Ok(Some(Dot { origin, seq }))
}

/// The beginning of a text, cut between characters.
fn clipped(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
