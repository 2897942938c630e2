//! One exchange between two nodes as pure state machines: the side that calls (`dialer`), the side that answers (`responder`),
//! what is let in (`admit`), and when to call (`schedule`). Sockets, stores and clocks are the caller's: both sides say what is
//! to be done and are told what came of it.

pub mod admit;
pub mod dialer;
pub mod responder;
pub mod schedule;

use std::sync::Arc;

use crate::ack::AckStore;
use crate::changeset::Header;
use crate::clock::{VersionVector, WallTime};
use crate::ident::{Digest, Incarnation, NodeId, Origin};
use crate::limits;
use crate::roster::Roster;
use crate::wire::message::{PROTOCOL_MAX, PROTOCOL_MIN};
use crate::wire::{Fingerprint, Hello, PushReply};

pub use admit::{Admission, HoldReason, Known, Sorted, admit, sort_out};
pub use dialer::{Ahead, Dialer, Failure, Options, Step, Summary};
pub use responder::{Answer, Responder};
pub use schedule::{Ages, Schedule, Tick, Timing};

/// What an exchange needs to see of this node. Make a new one for each call: it must not be older than the last thing done.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// This node.
    pub node: NodeId,
    /// The life of its database.
    pub incarnation: Incarnation,
    /// Its roster.
    pub roster: &'a Roster,
    /// The acknowledgements it knows, its own included.
    pub acks: &'a AckStore,
    /// What its row states reflect.
    pub vector: &'a VersionVector,
    /// What it has pruned from its log.
    pub floor: &'a VersionVector,
    /// Fingerprint of the tracked tables' definitions.
    pub schema: Digest,
    /// Fingerprints of table contents, where they are at hand.
    pub fingerprints: &'a [Fingerprint],
    /// Its clock.
    pub now: WallTime,
    /// Whether nobody can call it.
    pub cannot_be_dialled: bool,
    /// Whether it takes nothing in at present: the disk is nearly full, or a person said so.
    pub receiving_paused: bool,
}

/// Which changesets to read from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRequest {
    /// What the other side has.
    pub after: VersionVector,
    /// Origins to leave out, and with them whatever depends on what is left out.
    pub except: Vec<Origin>,
    /// Bytes after which to stop; the changeset that crosses them goes whole.
    pub max_bytes: u64,
}

/// What was read from the log: each changeset after those that it depends on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LogBatch {
    /// The changesets' exact bytes.
    pub changesets: Vec<Arc<[u8]>>,
    /// Whether there are more that the other side lacks.
    pub more: bool,
}

/// What came of changesets that were to be applied. Reports of what was not taken in name the changeset and the reason.
pub type Applied = PushReply;

/// Chooses from a log, offered in any order that has causes before effects.
#[derive(Clone, Debug)]
pub struct LogPicker {
    request: LogRequest,
    reached: VersionVector,
    bytes: u64,
}

/// Whether a changeset goes into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// It does.
    Take,
    /// It does not: the other side has it, or could not take it in yet.
    Skip,
    /// No more fits: stop, and say that there is more.
    Full,
}

impl View<'_> {
    /// What this node says of itself.
    pub fn hello(&self) -> Hello {
        Hello {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            mesh: self.roster.mesh(),
            node: self.node,
            incarnation: self.incarnation,
            vector: self.vector.clone(),
            floor: self.floor.clone(),
            epoch: self.roster.epoch(),
            roster: self.roster.hash(),
            schema: self.schema,
            now: self.now,
            ack: self.acks.get(&self.node).map(|ack| ack.bytes().clone()),
            acks: self.acks.marks(),
            fingerprints: self.fingerprints.to_vec(),
            cannot_be_dialled: self.cannot_be_dialled,
        }
    }
}

impl LogRequest {
    /// A request within bounds, whoever made it.
    pub fn new(after: VersionVector, except: impl IntoIterator<Item = Origin>, max_bytes: u64) -> LogRequest {
        let max_bytes = max_bytes.clamp(1, limits::EXCHANGE_BYTES_MAX as u64);
        LogRequest { after, except: except.into_iter().collect(), max_bytes }
    }
}

impl LogPicker {
    /// Nothing chosen yet.
    pub fn new(request: LogRequest) -> LogPicker {
        LogPicker { reached: request.after.clone(), request, bytes: 0 }
    }

    /// Judges the next changeset of the log.
    pub fn offer(&mut self, header: &Header, bytes: usize) -> Pick {
        let dot = header.dot;
        let is_next = self.reached.get(&dot.origin).0 + 1 == dot.seq.0;
        let excluded = self.request.except.contains(&dot.origin);
        if !is_next || excluded || !self.reached.includes(&header.context.vector) {
            return Pick::Skip;
        }
        if self.bytes >= self.request.max_bytes {
            return Pick::Full;
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.reached.raise(dot);
        Pick::Take
    }
}

/// Origins of which `floor` has pruned more than `vector` has: what is lacking of them cannot be had there.
fn pruned_away<'a>(vector: &'a VersionVector, floor: &'a VersionVector) -> impl Iterator<Item = Origin> + 'a {
    floor.dots().filter(|dot| !vector.covers(dot)).map(|dot| dot.origin)
}

#[cfg(test)]
mod tests;
