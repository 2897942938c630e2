//! Logical time: version vectors say what is known, Lamport timestamps put it in one order. Reads no clock: wall time comes in.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use crate::ident::{Dot, Origin, Seq};
use crate::limits;

/// Milliseconds since 1970 in UTC, as some machine's clock told them. May be wrong by years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct WallTime(pub u64);

/// Hybrid logical clock reading: 48 bits of milliseconds above 16 bits of counter.
///
/// Source: Kulkarni et al., *Logical Physical Clocks and Consistent Snapshots*, 2014.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lamport(pub u64);

/// Origin → highest sequence number known: a causally closed set of changesets.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct VersionVector(BTreeMap<Origin, Seq>);

impl Lamport {
    /// The first timestamp of a millisecond. Times past the year 10889 saturate.
    pub fn at(time: WallTime) -> Lamport {
        Lamport(time.0.min((1 << 46) - 1) << 16)
    }

    /// The next timestamp; a full counter spills into the next millisecond.
    #[must_use]
    pub fn next(self) -> Lamport {
        Lamport((self.0 + 1).min(limits::NUMBER_MAX))
    }

    /// The millisecond part.
    pub fn wall(self) -> WallTime {
        WallTime(self.0 >> 16)
    }

    /// Whether it lies further ahead of `now` than [`limits::DRIFT_MS_MAX`]: then it is neither applied nor merged.
    pub fn is_too_far_ahead(self, now: WallTime) -> bool {
        self.wall().0 > now.0.saturating_add(limits::DRIFT_MS_MAX)
    }
}

impl VersionVector {
    /// Knows nothing.
    pub fn new() -> VersionVector {
        VersionVector::default()
    }

    /// Highest number known of an origin; zero if none.
    pub fn get(&self, origin: &Origin) -> Seq {
        self.0.get(origin).copied().unwrap_or_default()
    }

    /// Whether the changeset is known.
    pub fn covers(&self, dot: &Dot) -> bool {
        self.get(&dot.origin) >= dot.seq
    }

    /// Whether everything that `other` knows is known here.
    pub fn includes(&self, other: &VersionVector) -> bool {
        other.0.iter().all(|(origin, seq)| self.get(origin) >= *seq)
    }

    /// Raises one origin's number; never lowers it.
    pub fn raise(&mut self, dot: Dot) {
        if dot.seq == Seq(0) {
            return;
        }
        match self.0.entry(dot.origin) {
            Entry::Vacant(entry) => {
                entry.insert(dot.seq);
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                *known = dot.seq.max(*known);
            }
        }
    }

    /// Raises every number to that of `other`.
    pub fn join(&mut self, other: &VersionVector) {
        for dot in other.dots() {
            self.raise(dot);
        }
    }

    /// What both know.
    #[must_use]
    pub fn meet(&self, other: &VersionVector) -> VersionVector {
        self.dots().map(|dot| Dot { seq: dot.seq.min(other.get(&dot.origin)), ..dot }).collect()
    }

    /// The last known changeset of each origin, in the order of origins.
    pub fn dots(&self) -> impl Iterator<Item = Dot> + '_ {
        self.0.iter().map(|(origin, seq)| Dot { origin: *origin, seq: *seq })
    }

    /// Forgets an origin, for a context that leaves out its own origin.
    pub fn remove(&mut self, origin: &Origin) {
        self.0.remove(origin);
    }

    /// How many origins it names.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it knows nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many changesets it covers.
    pub fn total(&self) -> u64 {
        self.0.values().fold(0u64, |sum, seq| sum.saturating_add(seq.0))
    }

    /// How many changesets `other` covers that are not covered here.
    pub fn lacks_of(&self, other: &VersionVector) -> u64 {
        other.dots().map(|dot| dot.seq.0.saturating_sub(self.get(&dot.origin).0)).fold(0u64, u64::saturating_add)
    }
}

impl FromIterator<Dot> for VersionVector {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut vector = VersionVector::new();
        for dot in dots {
            vector.raise(dot);
        }
        vector
    }
}

impl fmt::Debug for VersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter()).finish()
    }
}

impl fmt::Display for Lamport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> 16, self.0 & 0xffff)
    }
}

impl fmt::Debug for Lamport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::{Incarnation, NodeId};

    fn origin(n: u8) -> Origin {
        Origin { node: NodeId([n; 32]), incarnation: Incarnation { count: 1, nonce: 0 } }
    }

    fn dot(n: u8, seq: u64) -> Dot {
        Dot { origin: origin(n), seq: Seq(seq) }
    }

    #[test]
    fn c9_a_full_counter_spills_into_the_next_millisecond() {
        let full = Lamport(Lamport::at(WallTime(5)).0 | 0xffff);
        assert_eq!(full.next(), Lamport::at(WallTime(6)));
    }

    #[test]
    fn c9_timestamps_stop_at_the_largest_number_instead_of_wrapping() {
        assert_eq!(Lamport(limits::NUMBER_MAX).next(), Lamport(limits::NUMBER_MAX));
        assert!(Lamport::at(WallTime(u64::MAX)) <= Lamport(limits::NUMBER_MAX));
    }

    #[test]
    fn c4_a_timestamp_is_held_only_beyond_the_bound() {
        let now = WallTime(1_000_000);
        let edge = WallTime(now.0 + limits::DRIFT_MS_MAX);
        assert!(!Lamport::at(edge).is_too_far_ahead(now));
        assert!(Lamport::at(WallTime(edge.0 + 1)).is_too_far_ahead(now));
    }

    #[test]
    fn joining_and_meeting_vectors_are_bounds() {
        let a: VersionVector = [dot(1, 4), dot(2, 1)].into_iter().collect();
        let b: VersionVector = [dot(2, 3), dot(3, 2)].into_iter().collect();
        let mut union = a.clone();
        union.join(&b);
        assert!(union.includes(&a) && union.includes(&b));
        assert!(a.includes(&a.meet(&b)) && b.includes(&a.meet(&b)));
        assert_eq!(a.lacks_of(&b), 4);
        assert_eq!(union.total(), 9);
    }
}
