//! Tells a slow link from a peer that holds on for ever. Reads no clock: callers say what time it is.

use std::time::Duration;

use tokio::time::Instant;

use super::limits::PaceRule;

/// How one body has moved so far, in one direction.
#[derive(Debug)]
pub(super) struct Pace {
    rule: PaceRule,
    turn_began: Option<Instant>,
    /// Spent waiting for the peer in this window, the present turn not included.
    waited: Duration,
    /// Moved in this window.
    moved: u64,
}

impl Pace {
    pub(super) fn new(rule: PaceRule) -> Pace {
        Pace { rule, turn_began: None, waited: Duration::ZERO, moved: 0 }
    }

    pub(super) fn rule(&self) -> PaceRule {
        self.rule
    }

    /// From now on it is the peer who has to do something.
    pub(super) fn peer_turn(&mut self, now: Instant) {
        self.turn_began = Some(now);
    }

    /// The peer has moved `bytes`; from now on it is we who take our time.
    pub(super) fn our_turn(&mut self, now: Instant, bytes: usize) {
        if let Some(began) = self.turn_began.take() {
            self.waited += now.saturating_duration_since(began);
            self.moved += bytes as u64;
        }
    }

    /// Whether the peer has had a whole window and not used it. A window that was used is closed and the next begins.
    pub(super) fn is_too_slow(&mut self, now: Instant) -> bool {
        if self.waited + self.turn(now) < self.rule.window {
            return false;
        }
        let due = self.rule.window.as_millis() as u64 * u64::from(self.rule.bytes_per_second_min) / 1_000;
        if self.moved < due {
            return true;
        }
        (self.waited, self.moved) = (Duration::ZERO, 0);
        self.turn_began = self.turn_began.map(|_| now);
        false
    }

    /// When `is_too_slow` is worth asking again, if the peer's turn lasts until then.
    pub(super) fn window_ends(&self, now: Instant) -> Instant {
        now + self.rule.window.saturating_sub(self.waited + self.turn(now))
    }

    fn turn(&self, now: Instant) -> Duration {
        self.turn_began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: PaceRule = PaceRule { window: Duration::from_secs(10), bytes_per_second_min: 100 };

    #[test]
    fn a_peer_that_trickles_is_too_slow_and_one_at_the_minimum_is_not() {
        for (bytes_per_second, too_slow) in [(0, true), (99, true), (100, false), (5_000, false)] {
            let start = Instant::now();
            let mut pace = Pace::new(RULE);
            let mut seen = false;
            for second in 0..30 {
                let now = start + Duration::from_secs(second);
                pace.peer_turn(now);
                pace.our_turn(now + Duration::from_secs(1), bytes_per_second);
                seen |= pace.is_too_slow(now + Duration::from_secs(1));
            }
            assert_eq!(seen, too_slow, "{bytes_per_second} bytes per second");
        }
    }

    #[test]
    fn our_own_time_does_not_count_against_the_peer() {
        let start = Instant::now();
        let mut pace = Pace::new(RULE);
        pace.peer_turn(start);
        pace.our_turn(start + Duration::from_secs(1), 1);
        assert!(!pace.is_too_slow(start + Duration::from_secs(3_600)));
        pace.peer_turn(start + Duration::from_secs(3_600));
        assert!(!pace.is_too_slow(start + Duration::from_secs(3_608)));
        assert!(pace.is_too_slow(start + Duration::from_secs(3_609)));
    }

    #[test]
    fn a_fast_beginning_buys_one_window_only() {
        let start = Instant::now();
        let mut pace = Pace::new(RULE);
        pace.peer_turn(start);
        pace.our_turn(start + Duration::from_secs(1), 1 << 30);
        pace.peer_turn(start + Duration::from_secs(1));
        assert!(!pace.is_too_slow(start + Duration::from_secs(10)));
        assert!(!pace.is_too_slow(start + Duration::from_secs(19)));
        assert!(pace.is_too_slow(start + Duration::from_secs(20)));
    }
}
