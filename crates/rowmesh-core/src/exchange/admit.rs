//! What is let in: a changeset from elsewhere is taken, known, early, held back or refused. Changes nothing and stores nothing;
//! what is held back is not acknowledged, so it comes again by itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::changeset::{Changeset, Claimed, Header, Refused};
use crate::clock::{VersionVector, WallTime};
use crate::ident::{Digest, Dot, Origin, Seq};
use crate::roster::Roster;
use crate::wire::Report;
use crate::wire::message::code;

/// What a changeset is judged by.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Our clock.
    pub now: WallTime,
    /// What our row states reflect; closed incarnations that have left the vector are to be put back in.
    pub vector: &'a VersionVector,
    /// Our roster.
    pub roster: &'a Roster,
    /// Hash of a changeset that we hold; `None` if it was pruned or never came.
    pub hash_of: &'a dyn Fn(&Dot) -> Option<Digest>,
}

/// What to do with a changeset.
#[derive(Clone, Debug)]
pub enum Admission {
    /// Take it in now.
    Take(Box<Changeset>),
    /// It is here already.
    Duplicate(Dot),
    /// Its origin's previous ones are not here.
    Gap {
        /// Which it is.
        dot: Dot,
        /// The last of its origin that is here.
        have: Seq,
    },
    /// It may be taken in later; until then nothing of it is merged, not even its clock.
    Held(Dot, HoldReason),
    /// It will never be taken in.
    Refused(Report),
}

/// Why a changeset has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// Its timestamps lie too far ahead of our clock.
    ClockAhead {
        /// The highest of them.
        stamp: WallTime,
    },
    /// It was sealed under a roster that is not here.
    UnknownEpoch(u64),
    /// Its node is not in the roster, or was let in by a node that had been removed.
    UnknownOrigin,
    /// It refers to changesets that are not here.
    MissingContext {
        /// One of them.
        lacking: Dot,
    },
}

/// Many changesets, judged together.
#[derive(Clone, Debug, Default)]
pub struct Sorted {
    /// Those to take in, each after those that it depends on.
    pub take: Vec<Changeset>,
    /// How many are here already.
    pub duplicates: u64,
    /// Those that have to wait.
    pub held: Vec<Report>,
    /// Those that are refused.
    pub refused: Vec<Report>,
}

/// Judges one changeset.
pub fn admit(known: &Known<'_>, claimed: Claimed) -> Admission {
    let dot = claimed.header().dot;
    // What is here already was verified when it came: the same header hash names the same changeset.
    if known.vector.covers(&dot) && (known.hash_of)(&dot) == Some(claimed.hash()) {
        return Admission::Duplicate(dot);
    }
    let Some(key) = known.roster.key_of(&dot.origin.node) else {
        return Admission::Held(dot, HoldReason::UnknownOrigin);
    };
    let changeset = match claimed.verify(&known.roster.mesh(), &key) {
        Ok(changeset) => changeset,
        Err(error) => return Admission::Refused(report_of(Some(dot), &error)),
    };
    // A signature is checked before anything else is believed, so what follows can be held against its origin.
    if known.vector.covers(&dot) {
        return known_already(known, &changeset);
    }
    let header = changeset.header();
    if let Some(refusal) = may_not_write(known.roster, header) {
        return Admission::Refused(refusal);
    }
    if let Some(reason) = too_early(known, header) {
        return reason;
    }
    if let Some(refusal) = untruthful(known, &changeset) {
        return Admission::Refused(refusal);
    }
    if known.roster.is_too_far_ahead(header.lamport_max, known.now) {
        return Admission::Held(dot, HoldReason::ClockAhead { stamp: header.lamport_max.wall() });
    }
    Admission::Take(Box::new(changeset))
}

/// Judges many changesets in whatever order they came: those that depend on each other are brought into order first.
pub fn sort_out<B: AsRef<[u8]>>(known: &Known<'_>, changesets: impl IntoIterator<Item = B>) -> Sorted {
    let mut sorted = Sorted::default();
    let mut claims = Vec::new();
    for bytes in changesets {
        match Claimed::decode(bytes.as_ref()) {
            Ok(claimed) => claims.push(claimed),
            Err(error) => sorted.refused.push(report_of(None, &error)),
        }
    }
    // A context is a causally closed set, so whoever has seen more of them comes later.
    claims.sort_by_cached_key(|claimed| (claimed.header().context.vector.total(), claimed.header().dot));

    let mut vector = known.vector.clone();
    let mut taken: BTreeMap<Dot, Digest> = BTreeMap::new();
    for claimed in claims {
        let hash_of = |dot: &Dot| taken.get(dot).copied().or_else(|| (known.hash_of)(dot));
        let admission = admit(&Known { vector: &vector, hash_of: &hash_of, ..*known }, claimed);
        match admission {
            Admission::Take(changeset) => {
                vector.raise(changeset.dot());
                taken.insert(changeset.dot(), changeset.hash());
                sorted.take.push(*changeset);
            }
            Admission::Duplicate(_) => sorted.duplicates += 1,
            Admission::Gap { dot, have } => {
                let text = format!("its origin's changesets after {have} are not here");
                sorted.held.push(Report::new(Some(dot), code::GAP, text));
            }
            Admission::Held(dot, reason) => sorted.held.push(reason.report(dot)),
            Admission::Refused(report) => sorted.refused.push(report),
        }
    }
    sorted
}

impl HoldReason {
    /// As it is told to the other side and to people.
    pub fn report(&self, dot: Dot) -> Report {
        let (code, text) = match self {
            HoldReason::ClockAhead { stamp } => {
                (code::CLOCK_AHEAD, format!("its clock reads {} ms, too far ahead of ours", stamp.0))
            }
            HoldReason::UnknownEpoch(epoch) => {
                (code::UNKNOWN_EPOCH, format!("it was sealed under roster epoch {epoch}, which is not here"))
            }
            HoldReason::UnknownOrigin => {
                (code::UNKNOWN_ORIGIN, format!("the roster here does not name {}", dot.origin.node.short()))
            }
            HoldReason::MissingContext { lacking } => {
                (code::MISSING_CONTEXT, format!("it refers to {lacking}, which is not here"))
            }
        };
        Report::new(Some(dot), code, text)
    }
}

/// Origins of reported changesets: what else comes of them in this exchange is of no use.
pub(super) fn origins_of<'a>(reports: impl IntoIterator<Item = &'a Report>) -> BTreeSet<Origin> {
    reports.into_iter().filter_map(|report| report.dot).map(|dot| dot.origin).collect()
}

fn known_already(known: &Known<'_>, changeset: &Changeset) -> Admission {
    let dot = changeset.dot();
    match (known.hash_of)(&dot) {
        Some(hash) if hash != changeset.hash() => {
            let text = format!("its origin signed two different changesets of this name: {hash:?} is here");
            Admission::Refused(Report::new(Some(dot), code::EQUIVOCATION, text))
        }
        _ => Admission::Duplicate(dot),
    }
}

fn may_not_write(roster: &Roster, header: &Header) -> Option<Report> {
    let dot = header.dot;
    if let Some(revocation) = roster.revocation(&dot.origin.node) {
        let below = revocation.cut.covers(&dot);
        let last = revocation.cut.get(&dot.origin);
        let text = format!("its node was removed; what it sealed after {last} is not taken in");
        return (!below).then(|| Report::new(Some(dot), code::ABOVE_CUT, text));
    }
    if let Some(last) = roster.closed(&dot.origin).filter(|last| dot.seq > *last) {
        let text = format!("its origin closed this incarnation at {last} and sealed anew what came later");
        return Some(Report::new(Some(dot), code::ABOVE_CUT, text));
    }
    // Under a later roster the role may be another one: then the changeset waits for that roster.
    let role = roster.member(&dot.origin.node).map(|member| member.role)?;
    let is_reader = !role.may_write() && roster.knows(header.epoch, &header.roster);
    is_reader.then(|| Report::new(Some(dot), code::READ_ONLY, "its node may only read"))
}

fn too_early(known: &Known<'_>, header: &Header) -> Option<Admission> {
    let dot = header.dot;
    if !known.roster.knows(header.epoch, &header.roster) {
        return Some(Admission::Held(dot, HoldReason::UnknownEpoch(header.epoch)));
    }
    let have = known.vector.get(&dot.origin);
    if dot.seq.0 != have.0 + 1 {
        return Some(Admission::Gap { dot, have });
    }
    let mut context = header.context.vector.dots();
    let lacking = context.find(|dot| !known.vector.covers(dot))?;
    Some(Admission::Held(dot, HoldReason::MissingContext { lacking }))
}

fn untruthful(known: &Known<'_>, changeset: &Changeset) -> Option<Report> {
    let header = changeset.header();
    let dot = header.dot;
    if changeset.events().iter().any(|event| event.lamport > header.lamport_max) {
        let text = "an event is later than the latest time that its origin signed";
        return Some(Report::new(Some(dot), code::CHANGESET_MALFORMED, text));
    }
    let before = Dot { seq: Seq(dot.seq.0.saturating_sub(1)), ..dot };
    let expected = if before.seq == Seq(0) { Some(Digest::default()) } else { (known.hash_of)(&before) };
    let breaks_chain = expected.is_some_and(|expected| expected != header.previous);
    let text = "it does not follow on the previous changeset of its origin that is here";
    breaks_chain.then(|| Report::new(Some(dot), code::EQUIVOCATION, text))
}

fn report_of(dot: Option<Dot>, error: &Refused) -> Report {
    let code = match error {
        Refused::Malformed(_) | Refused::Altered(_) => code::CHANGESET_MALFORMED,
        Refused::Forged(_) => code::CHANGESET_FORGED,
        Refused::OtherMesh(_) => code::OTHER_MESH,
    };
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    Report::new(dot, code, format!("{error}{source}"))
}
