//! What peers do here of their own accord: each request tells something of the peer, and those that come together are one exchange in the record.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::NodeId;

use super::Daemon;
use crate::recorder::{Exchanged, Moved};
use crate::responder::Heard;

#[derive(Debug)]
pub(super) struct Inbound {
    started_at: WallTime,
    last: Instant,
    sent: Moved,
    received: Moved,
}

/// Requests of one peer that are no further apart than this are one exchange.
const INBOUND_QUIET: Duration = Duration::from_secs(1);

impl Daemon {
    pub(super) fn heard(&mut self, peer: NodeId, heard: Heard) {
        let now = self.shared.clock.now();
        let Heard { hello, has, offered, roster, sent, received } = heard;
        let says_what_it_has = hello.is_some() || has.is_some();
        {
            let mut book = self.shared.book();
            if let Some(hello) = &hello {
                book.hears(hello, now);
                let state = book.peer(peer);
                state.called = Some(Instant::now());
                // What went wrong when it was last called from here is past; whether it can be called now shows in a moment.
                state.failure = None;
            }
            if let Some(roster) = roster {
                book.learns_roster(peer, roster);
            }
            let state = book.peer(peer);
            state.last_seen = Some(now);
            if let Some(has) = has {
                state.vector.join(&has);
            }
            if let Some(offered) = offered {
                state.offered = offered;
            }
        }
        self.schedule.heard_from(self.tick(), &peer);
        let inbound = self.inbound.entry(peer).or_insert_with(|| Inbound {
            started_at: now,
            last: Instant::now(),
            sent: Moved::default(),
            received: Moved::default(),
        });
        inbound.last = Instant::now();
        inbound.sent.add(sent);
        inbound.received.add(received);
        if says_what_it_has {
            self.judge_visit(peer);
        }
    }

    /// What a peer did here becomes one exchange once it is over.
    pub(super) fn end_visits(&mut self, now: WallTime, is_over: impl Fn(&Inbound) -> bool) {
        let (over, going_on): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.inbound).into_iter().partition(|(_, inbound)| is_over(inbound));
        self.inbound = going_on;
        for (peer, Inbound { started_at, sent, received, .. }) in over {
            let exchanged =
                Exchanged { peer, dialled: false, started_at, ended_at: now, sent, received, failure: None };
            let records = self.recorder.exchanged(&exchanged);
            self.write(records);
        }
    }
}

impl Inbound {
    pub(super) fn is_quiet(&self) -> bool {
        self.last.elapsed() >= INBOUND_QUIET
    }
}
