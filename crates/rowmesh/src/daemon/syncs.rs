//! People who wait for exchanges to be done (`rowmesh sync`): whom they wait for, and when that is over.

use std::collections::BTreeSet;
use std::time::Instant;

use rowmesh_core::ident::NodeId;
use tokio::sync::oneshot;

use super::Daemon;
use crate::answers;
use crate::control::api::Answer;
use crate::shared::Shared;

#[derive(Debug)]
pub(crate) struct Sync {
    pub(super) peers: BTreeSet<NodeId>,
    pub(super) todo: BTreeSet<NodeId>,
    pub(super) wait: bool,
    pub(super) asked: Instant,
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Answer>,
}

impl Daemon {
    pub(super) fn sync(&mut self, mut sync: Sync) {
        sync.asked = Instant::now();
        self.keep_schedule();
        let tick = self.tick();
        let called: BTreeSet<NodeId> = self.schedule.peers().copied().collect();
        for peer in &sync.peers {
            self.schedule.nudge_peer(tick, peer);
        }
        // Who cannot be called comes by itself, if it is in touch at all; there is nothing to wait for but that.
        let now = self.shared.clock.now();
        let wait = sync.wait;
        let comes = |peer: &NodeId| {
            let book = self.shared.book();
            let Some(state) = book.get(peer) else { return false };
            let silent = state.last_seen.map_or(u64::MAX, |last_seen| now.0.saturating_sub(last_seen.0));
            state.waiting > 0 || (wait && u128::from(silent) < 2 * self.shared.options.interval.as_millis())
        };
        sync.todo.retain(|peer| called.contains(peer) || comes(peer));
        self.syncs.push(sync);
        self.judge_waiting_syncs();
    }

    /// An exchange with a peer ended: some people have waited for that.
    pub(super) fn judge_syncs(&mut self, peer: NodeId, started: Instant, moved: bool) {
        let is_even = answers::is_even(&self.shared, &peer);
        let tick = self.tick();
        let mut again = false;
        for sync in &mut self.syncs {
            if sync.todo.contains(&peer) && started >= sync.asked {
                if sync.wait && moved && !is_even {
                    again = true;
                } else {
                    sync.todo.remove(&peer);
                }
            }
        }
        if again {
            self.schedule.nudge_peer(tick, &peer);
        }
        self.judge_waiting_syncs();
    }

    /// Those who come by themselves are done when they have everything.
    pub(super) fn judge_waiting_syncs(&mut self) {
        if self.syncs.is_empty() {
            return;
        }
        let called: BTreeSet<NodeId> = self.schedule.peers().copied().collect();
        let shared = self.shared.clone();
        for sync in &mut self.syncs {
            sync.todo.retain(|peer| called.contains(peer) || !answers::is_even(&shared, peer));
        }
        let (done, waiting) = std::mem::take(&mut self.syncs).into_iter().partition(|sync| sync.todo.is_empty());
        self.syncs = waiting;
        done.into_iter().for_each(|sync: Sync| end_sync(&shared, sync));
    }

    pub(super) fn end_late_syncs(&mut self) {
        let now = Instant::now();
        let (late, waiting) = std::mem::take(&mut self.syncs).into_iter().partition(|sync| sync.deadline <= now);
        self.syncs = waiting;
        let shared = self.shared.clone();
        late.into_iter().for_each(|sync: Sync| end_sync(&shared, sync));
    }
}

pub(super) fn end_sync(shared: &Shared, sync: Sync) {
    let complete = sync.peers.iter().all(|peer| answers::is_even(shared, peer));
    let peers = answers::peers(shared).into_iter().filter(|(node, _)| sync.peers.contains(node)).map(|(_, peer)| peer);
    let _ = sync.reply.send(Answer::Synced { complete, peers: peers.collect() });
}
