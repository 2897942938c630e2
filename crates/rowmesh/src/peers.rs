//! What this node knows of its peers at this moment: who can be reached, who lacks what, what went wrong last. Gone with the process,
//! but for pauses, which a person has asked for and which therefore outlive it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rowmesh_core::clock::{VersionVector, WallTime};
use rowmesh_core::ident::{Digest, Incarnation, NodeId, Origin};
use rowmesh_core::wire::Hello;

use crate::failure::Failure;
use crate::files;
use crate::transport::Connection;

/// All peers, by id.
#[derive(Debug, Default)]
pub(crate) struct PeerBook {
    peers: BTreeMap<NodeId, PeerState>,
    pauses: Pauses,
    /// Why sealing or looking at the database fails at present.
    pub(crate) capture: Option<Failure>,
    /// Why the database refuses what this node has to write down, found by any write.
    pub(crate) writing: Option<Failure>,
    /// Why nothing can be taken in from others at present.
    pub(crate) receiving: Option<Failure>,
    /// When something was last sealed or applied.
    pub(crate) last_change: Option<WallTime>,
    /// What else needs a person, by what it is about.
    pub(crate) notices: BTreeMap<String, Failure>,
}

/// One peer.
#[derive(Debug, Default)]
pub(crate) struct PeerState {
    /// The connection that we keep to it.
    pub(crate) connection: Option<Arc<Connection>>,
    /// What it last said of itself.
    pub(crate) said: Option<Said>,
    /// What it is known to have.
    pub(crate) vector: VersionVector,
    /// The last exchange that we began failed with this, and the peer has not called since.
    pub(crate) failure: Option<Failure>,
    /// Where it was last reached from here.
    pub(crate) address: String,
    /// Whether the last attempt to reach it from here worked.
    pub(crate) dialled: bool,
    /// When it was last in touch, whoever called.
    pub(crate) last_seen: Option<WallTime>,
    /// Origins of which it has changes that could not be taken in here when it was last asked: they are no news.
    pub(crate) left_out: BTreeSet<Origin>,
    /// What this node had when it last began to wait there.
    pub(crate) waited_with: VersionVector,
    /// How many of its requests wait here for news.
    pub(crate) waiting: usize,
    /// What it has been given to the end of the log, and has not said yet that it took in.
    pub(crate) offered: VersionVector,
    /// When its last wait here ended: it is about to fetch what it was woken for.
    pub(crate) woken: Option<Instant>,
    /// It was left to fetch something by itself.
    pub(crate) owed: bool,
    /// When it last called us.
    pub(crate) called: Option<Instant>,
}

/// What a peer says of itself in a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) incarnation: Incarnation,
    pub(crate) roster: Digest,
    pub(crate) schema: Digest,
    /// Its clock less ours, milliseconds.
    pub(crate) clock_offset_ms: i64,
    pub(crate) cannot_be_dialled: bool,
}

/// Who is not to be exchanged with, and until when.
#[derive(Debug, Default)]
struct Pauses {
    path: Option<PathBuf>,
    /// `None` stands for everybody; no time for "until somebody resumes".
    until: BTreeMap<Option<NodeId>, Option<WallTime>>,
}

const PAUSES_FILE: &str = "paused";

impl PeerBook {
    /// Knows nobody, but who was paused when the node stopped.
    pub(crate) fn open(data: &Path) -> PeerBook {
        PeerBook { pauses: Pauses::open(data.join(PAUSES_FILE)), ..PeerBook::default() }
    }

    /// One peer.
    pub(crate) fn get(&self, node: &NodeId) -> Option<&PeerState> {
        self.peers.get(node)
    }

    /// One peer, to be changed.
    pub(crate) fn peer(&mut self, node: NodeId) -> &mut PeerState {
        self.peers.entry(node).or_default()
    }

    /// Forgets all but these.
    pub(crate) fn retain(&mut self, is_member: impl Fn(&NodeId) -> bool) {
        self.peers.retain(|node, _| is_member(node));
    }

    /// A peer said what it has in a handshake.
    pub(crate) fn hears(&mut self, hello: &Hello, now: WallTime) {
        let peer = self.peer(hello.node);
        peer.last_seen = Some(now);
        peer.vector.clone_from(&hello.vector);
        peer.said = Some(Said {
            incarnation: hello.incarnation,
            roster: hello.roster,
            schema: hello.schema,
            clock_offset_ms: offset(hello.now, now),
            cannot_be_dialled: hello.cannot_be_dialled,
        });
    }

    /// A peer has the roster with this hash by now.
    pub(crate) fn learns_roster(&mut self, peer: NodeId, roster: Digest) {
        if let Some(said) = &mut self.peer(peer).said {
            said.roster = roster;
        }
    }

    /// What is wrong with the database and needs a person, each code once.
    pub(crate) fn troubles(&self) -> Vec<&Failure> {
        let mut troubles: Vec<&Failure> = Vec::new();
        for failure in self.capture.iter().chain(&self.receiving).chain(&self.writing) {
            if troubles.iter().all(|known| known.code != failure.code) {
                troubles.push(failure);
            }
        }
        troubles
    }

    /// Stops exchange with one or all.
    pub(crate) fn pause(&mut self, whom: Option<NodeId>, until: Option<WallTime>) -> Result<(), Failure> {
        self.pauses.until.insert(whom, until);
        self.pauses.save()
    }

    /// Goes on with one or all.
    pub(crate) fn resume(&mut self, whom: Option<NodeId>) -> Result<(), Failure> {
        match whom {
            Some(_) => drop(self.pauses.until.remove(&whom)),
            None => self.pauses.until.clear(),
        }
        self.pauses.save()
    }

    /// Whether exchange with a peer is paused; `None` asks for everybody.
    pub(crate) fn is_paused(&self, whom: Option<NodeId>, now: WallTime) -> bool {
        let holds = |until: &Option<WallTime>| until.is_none_or(|until| now < until);
        [None, whom].iter().filter_map(|whom| self.pauses.until.get(whom)).any(holds)
    }
}

impl Pauses {
    fn open(path: PathBuf) -> Pauses {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        Pauses { path: Some(path), until: text.lines().filter_map(parse_pause).collect() }
    }

    fn save(&self) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        let line = |(whom, until): (&Option<NodeId>, &Option<WallTime>)| {
            let whom = whom.map_or_else(|| "all".to_owned(), |node| node.to_string());
            format!("{whom} {}\n", until.map_or(0, |until| until.0))
        };
        let text: String = self.until.iter().map(line).collect();
        files::write(path, text.as_bytes())
    }
}

fn parse_pause(line: &str) -> Option<(Option<NodeId>, Option<WallTime>)> {
    let (whom, until) = line.split_once(' ')?;
    let whom = if whom == "all" { None } else { Some(NodeId::parse(whom)?) };
    let until = Some(WallTime(until.parse().ok()?)).filter(|until| until.0 > 0);
    Some((whom, until))
}

fn offset(theirs: WallTime, ours: WallTime) -> i64 {
    let (theirs, ours) = (i128::from(theirs.0), i128::from(ours.0));
    i64::try_from(theirs - ours).unwrap_or(if theirs > ours { i64::MAX } else { i64::MIN })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_outlives_the_process_and_ends_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let depot = NodeId::of_public_key(&[1; 32]);
        PeerBook::open(folder.path()).pause(Some(depot), Some(WallTime(100))).unwrap();
        let mut book = PeerBook::open(folder.path());
        assert!(book.is_paused(Some(depot), WallTime(99)));
        assert!(!book.is_paused(Some(depot), WallTime(100)));
        assert!(!book.is_paused(None, WallTime(99)), "the others go on");
        book.pause(None, None).unwrap();
        assert!(PeerBook::open(folder.path()).is_paused(Some(depot), WallTime(u64::MAX)));
        book.resume(None).unwrap();
        assert!(!PeerBook::open(folder.path()).is_paused(Some(depot), WallTime(0)));
    }

    #[test]
    fn c4_clocks_that_are_ages_apart_do_not_wrap() {
        assert_eq!(offset(WallTime(u64::MAX), WallTime(0)), i64::MAX);
        assert_eq!(offset(WallTime(0), WallTime(u64::MAX)), i64::MIN);
        assert_eq!(offset(WallTime(5), WallTime(7)), -2);
    }
}
