//! When to call whom: a period with jitter, a back-off after failures that grows to a cap, a short delay that gathers nudges.
//! Reads no clock and throws no dice: monotonic time and random numbers come in.

use std::collections::BTreeMap;

use crate::ident::NodeId;

/// Monotonic milliseconds since some moment of the caller's choice. Unlike the wall clock it never jumps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Tick(pub u64);

/// How often to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Milliseconds between exchanges with one peer.
    pub interval_ms: u64,
    /// Every wait is shortened by up to this many hundredths, so that nodes that started together drift apart.
    pub jitter_percent: u64,
    /// Milliseconds before the first attempt after a failure; doubled after each further one.
    pub backoff_first_ms: u64,
    /// Milliseconds that a back-off grows to.
    pub backoff_max_ms: u64,
    /// Milliseconds for which nudges are gathered before the call.
    pub nudge_ms: u64,
    /// Milliseconds that lie at least between the starts of two nudged exchanges with one peer.
    pub nudge_gap_ms: u64,
}

/// When to call each peer.
#[derive(Clone, Debug)]
pub struct Schedule {
    timing: Timing,
    peers: BTreeMap<NodeId, Peer>,
}

/// How long ago things happened with a peer, in milliseconds; `None` for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Ages {
    /// We last began to call it.
    pub tried_ms: Option<u64>,
    /// We last completed an exchange that we began.
    pub reached_ms: Option<u64>,
    /// It last called us.
    pub heard_ms: Option<u64>,
    /// Neither side last lacked anything of the other.
    pub even_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    due: Tick,
    running: bool,
    nudged: bool,
    failures: u32,
    tried: Option<Tick>,
    reached: Option<Tick>,
    heard: Option<Tick>,
    even: Option<Tick>,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            interval_ms: 30_000,
            jitter_percent: 20,
            backoff_first_ms: 1_000,
            backoff_max_ms: 300_000,
            nudge_ms: 2,
            nudge_gap_ms: 50,
        }
    }
}

impl Schedule {
    /// Knows no peers.
    pub fn new(timing: Timing) -> Schedule {
        Schedule { timing, peers: BTreeMap::new() }
    }

    /// Calls a peer from now on, the first time soon. Does nothing for one that is known.
    pub fn add(&mut self, now: Tick, peer: NodeId, random: u64) {
        // Up to a second, so that a restart of many nodes does not make all of them call at once.
        let due = Tick(now.0.saturating_add(random % self.timing.interval_ms.clamp(1, 1_000)));
        self.peers.entry(peer).or_insert(Peer { due, ..Peer::default() });
    }

    /// Calls a peer no more.
    pub fn remove(&mut self, peer: &NodeId) {
        self.peers.remove(peer);
    }

    /// Whom it calls.
    pub fn peers(&self) -> impl Iterator<Item = &NodeId> {
        self.peers.keys()
    }

    /// Something was sealed here: calls everyone soon, but for those that are backed off from.
    pub fn nudge(&mut self, now: Tick) {
        let timing = self.timing;
        self.peers.values_mut().for_each(|peer| peer.nudge(now, &timing));
    }

    /// A peer has something for us, or was asked for by a person: calls it soon, even if it is backed off from.
    pub fn nudge_peer(&mut self, now: Tick, node: &NodeId) {
        let timing = self.timing;
        if let Some(peer) = self.peers.get_mut(node) {
            peer.failures = 0;
            peer.nudge(now, &timing);
        }
    }

    /// A peer called us: it is reachable at least one way, so the back-off ends.
    pub fn heard_from(&mut self, now: Tick, node: &NodeId) {
        let Some(peer) = self.peers.get_mut(node) else { return };
        peer.heard = Some(now);
        if peer.failures > 0 && !peer.running {
            peer.failures = 0;
            peer.due = peer.due.min(Tick(now.0.saturating_add(self.timing.backoff_first_ms)));
        }
    }

    /// The peer to call now, if one is due. It counts as being called until it is told what came of it.
    pub fn poll_due(&mut self, now: Tick) -> Option<NodeId> {
        let due = self.peers.iter_mut().filter(|(_, peer)| !peer.running && peer.due <= now);
        let (node, peer) = due.min_by_key(|(_, peer)| peer.due)?;
        peer.running = true;
        peer.nudged = false;
        peer.tried = Some(now);
        Some(*node)
    }

    /// When somebody is due next; `None` while everyone is being called, or there is nobody.
    pub fn next_due(&self) -> Option<Tick> {
        self.peers.values().filter(|peer| !peer.running).map(|peer| peer.due).min()
    }

    /// An exchange ended well; `more` if it left something over, `even` if neither side lacks anything.
    pub fn succeeded(&mut self, now: Tick, node: &NodeId, more: bool, even: bool, random: u64) {
        let timing = self.timing;
        let Some(peer) = self.peers.get_mut(node) else { return };
        peer.running = false;
        peer.failures = 0;
        peer.reached = Some(now);
        if even {
            peer.even = Some(now);
        }
        peer.due = now.after(jittered(timing.interval_ms, timing.jitter_percent, random));
        if more || peer.nudged {
            peer.nudge(now, &timing);
        }
    }

    /// An exchange failed; `retry` is false where somebody has to do something first: then it is tried at the longest
    /// interval only.
    pub fn failed(&mut self, now: Tick, node: &NodeId, retry: bool, random: u64) {
        let timing = self.timing;
        let Some(peer) = self.peers.get_mut(node) else { return };
        peer.running = false;
        peer.failures = peer.failures.saturating_add(1);
        let doubled = timing.backoff_first_ms.saturating_mul(1 << peer.failures.saturating_sub(1).min(40));
        let wait = if retry { doubled.min(timing.backoff_max_ms) } else { timing.backoff_max_ms };
        peer.due = now.after(jittered(wait, timing.jitter_percent, random));
    }

    /// How many attempts in a row have failed.
    pub fn failures(&self, node: &NodeId) -> u32 {
        self.peers.get(node).map_or(0, |peer| peer.failures)
    }

    /// How long ago things happened.
    pub fn ages(&self, now: Tick, node: &NodeId) -> Ages {
        let Some(peer) = self.peers.get(node) else { return Ages::default() };
        let age = |then: Option<Tick>| then.map(|then| now.0.saturating_sub(then.0));
        Ages {
            tried_ms: age(peer.tried),
            reached_ms: age(peer.reached),
            heard_ms: age(peer.heard),
            even_ms: age(peer.even),
        }
    }
}

impl Tick {
    fn after(self, ms: u64) -> Tick {
        Tick(self.0.saturating_add(ms))
    }
}

impl Peer {
    fn nudge(&mut self, now: Tick, timing: &Timing) {
        self.nudged = true;
        if self.running || self.failures > 0 {
            return;
        }
        let gap = self.tried.map_or(now, |tried| tried.after(timing.nudge_gap_ms));
        // A nudge that waits already is not put off by the next one.
        self.due = self.due.min(now.after(timing.nudge_ms).max(gap));
    }
}

/// Shortened by up to `percent`, so that a period is never exceeded.
fn jittered(ms: u64, percent: u64, random: u64) -> u64 {
    let span = ms.saturating_mul(percent.min(100)) / 100;
    ms - random % span.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PEER: NodeId = NodeId([1; 32]);
    const OTHER: NodeId = NodeId([2; 32]);

    fn schedule() -> Schedule {
        let mut schedule = Schedule::new(Timing::default());
        schedule.add(Tick(0), PEER, 0);
        schedule
    }

    fn settled() -> Schedule {
        let mut schedule = schedule();
        assert_eq!(schedule.poll_due(Tick(0)), Some(PEER));
        schedule.succeeded(Tick(10), &PEER, false, true, 0);
        schedule
    }

    #[test]
    fn a_peer_is_called_once_a_period() {
        let mut schedule = settled();
        assert_eq!(schedule.poll_due(Tick(30_009)), None);
        assert_eq!(schedule.poll_due(Tick(30_010)), Some(PEER));
        assert_eq!(schedule.poll_due(Tick(90_000)), None, "it is being called");
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn nudges_are_gathered_and_do_not_put_each_other_off() {
        let mut schedule = settled();
        schedule.nudge(Tick(1_000));
        schedule.nudge(Tick(1_001));
        assert_eq!(schedule.next_due(), Some(Tick(1_002)));
        assert_eq!(schedule.poll_due(Tick(1_002)), Some(PEER));
        // What is sealed while the exchange runs makes the next one follow, not sooner than the gap.
        schedule.nudge(Tick(1_003));
        schedule.succeeded(Tick(1_004), &PEER, false, true, 0);
        assert_eq!(schedule.next_due(), Some(Tick(1_052)));
    }

    #[test]
    fn what_was_left_over_is_fetched_soon() {
        let mut schedule = schedule();
        schedule.poll_due(Tick(0));
        schedule.succeeded(Tick(500), &PEER, true, false, 0);
        assert_eq!(schedule.next_due(), Some(Tick(502)));
    }

    #[test]
    fn failures_back_off_up_to_the_cap_and_nudges_do_not_break_through() {
        let mut schedule = schedule();
        let mut now = Tick(0);
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(schedule.poll_due(now), Some(PEER));
            schedule.failed(now, &PEER, true, 0);
            schedule.nudge(now);
            let due = schedule.next_due().unwrap();
            waits.push(due.0 - now.0);
            now = due;
        }
        assert_eq!(waits[..4], [1_000, 2_000, 4_000, 8_000]);
        assert_eq!(waits[11], Timing::default().backoff_max_ms);
        assert_eq!(schedule.failures(&PEER), 12);
    }

    #[test]
    fn a_failure_that_needs_a_person_is_not_repeated_soon() {
        let mut schedule = schedule();
        schedule.poll_due(Tick(0));
        schedule.failed(Tick(0), &PEER, false, 0);
        assert_eq!(schedule.next_due(), Some(Tick(Timing::default().backoff_max_ms)));
    }

    #[test]
    fn j10_a_peer_that_calls_us_is_called_again() {
        let mut schedule = schedule();
        for at in 0..9 {
            schedule.poll_due(Tick(at * 400_000));
            schedule.failed(Tick(at * 400_000), &PEER, true, 0);
        }
        schedule.heard_from(Tick(3_200_100), &PEER);
        assert_eq!(schedule.next_due(), Some(Tick(3_201_100)));
        assert_eq!(schedule.failures(&PEER), 0);
    }

    #[test]
    fn the_one_that_waits_longest_is_called_first() {
        let mut schedule = Schedule::new(Timing::default());
        schedule.add(Tick(0), PEER, 700);
        schedule.add(Tick(0), OTHER, 300);
        assert_eq!(schedule.poll_due(Tick(1_000)), Some(OTHER));
        assert_eq!(schedule.poll_due(Tick(1_000)), Some(PEER));
        assert_eq!(schedule.poll_due(Tick(1_000)), None);
    }

    #[test]
    fn g16_the_ages_tell_one_direction_from_the_other() {
        let mut schedule = settled();
        schedule.heard_from(Tick(400), &PEER);
        let ages = schedule.ages(Tick(1_010), &PEER);
        let expected =
            Ages { tried_ms: Some(1_010), reached_ms: Some(1_000), heard_ms: Some(610), even_ms: Some(1_000) };
        assert_eq!(ages, expected);
        assert_eq!(schedule.ages(Tick(5), &OTHER), Ages::default());
    }

    proptest! {
        #[test]
        fn jitter_only_shortens_and_never_by_more_than_it_may(ms in 0u64..1_000_000, percent: u64, random: u64) {
            let wait = jittered(ms, percent, random);
            prop_assert!(wait <= ms && wait >= ms - ms * percent.min(100) / 100);
        }

        #[test]
        fn numbers_at_their_ends_never_wrap(now: u64, interval: u64, random: u64, failures in 0u32..70) {
            let timing = Timing {
                interval_ms: interval, backoff_first_ms: interval, backoff_max_ms: u64::MAX, nudge_ms: interval,
                ..Timing::default()
            };
            let mut schedule = Schedule::new(timing);
            schedule.add(Tick(now), PEER, random);
            for _ in 0..failures {
                schedule.poll_due(Tick(u64::MAX));
                schedule.failed(Tick(now), &PEER, true, random);
            }
            schedule.poll_due(Tick(u64::MAX));
            schedule.succeeded(Tick(now), &PEER, true, true, random);
            schedule.nudge(Tick(u64::MAX));
            prop_assert!(schedule.next_due().is_some());
        }
    }
}
