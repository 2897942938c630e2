//! What travels between nodes, byte by byte: frames, messages in them, and streams of changesets. Docs: `docs/protocol.md`.
//! Who sends what when is `exchange`'s business; sockets and HTTP are the node's.

mod batch;
mod fields;
pub mod frame;
pub mod message;

pub use batch::{Batch, End};
pub use frame::{Frame, FrameError, FrameKind, FrameReader, write_frame};
pub use message::{
    Acks, AcksReply, Fingerprint, Hello, HelloReply, Join, JoinReply, Path, Pull, PushReply, Refusal, Report, Request,
    Response, RosterOffer, RosterPush, RosterReply, RosterTaken, SnapshotRequest, Tally, Wait, Wake, WakeReason,
    WireError,
};
