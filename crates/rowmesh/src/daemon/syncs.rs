//! People who wait for exchanges to be done (`rowmesh sync`): whom they wait for, and when that is over. What counts is what was here and
//! there when they asked, so that it ends under constant writes too, and ends only when it is true.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rowmesh_core::clock::VersionVector;
use rowmesh_core::ident::NodeId;
use tokio::sync::oneshot;

use super::Daemon;
use crate::answers;
use crate::control::api::Answer;
use crate::failure::{Failure, Retry, code};
use crate::peers::PeerState;
use crate::shared::Shared;

/// What a person wants.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(super) peers: Vec<NodeId>,
    /// Wait until everything is everywhere, not only for one exchange with each.
    pub(super) wait: bool,
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// A person waits for exchanges to be done.
#[derive(Debug)]
pub(super) struct Sync {
    wish: Wish,
    asked: Instant,
    /// What was sealed here when the person asked: every peer shall have it.
    ours: VersionVector,
    peers: BTreeMap<NodeId, Stage>,
}

/// How far it is with one peer.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    /// Nothing was heard of it since the person asked.
    Silent,
    /// This it had when it was first heard of since: we shall have it.
    Heard(VersionVector),
    /// Nothing remains to be waited for.
    Done,
    /// It cannot be reached at present: nobody waits for it.
    Unreachable,
}

/// A peer that fetches for itself is between two waits here for no longer than this.
const BETWEEN_WAITS: Duration = Duration::from_secs(2);

impl Daemon {
    /// What was dirty is sealed: now exchange, as a person asked.
    pub(super) fn sync(&mut self, wish: Wish) {
        if let Some(standstill) = self.shared.standstill() {
            return drop(wish.reply.send(Answer::Failed(standstill)));
        }
        self.keep_schedule();
        let tick = self.tick();
        wish.peers.iter().for_each(|peer| self.schedule.nudge_peer(tick, peer));
        let peers = wish.peers.iter().map(|peer| (*peer, self.first_stage(peer, wish.wait))).collect();
        let ours = self.shared.store.exposed().position.vector.clone();
        self.syncs.push(Sync { wish, asked: Instant::now(), ours, peers });
        self.judge_syncs();
    }

    /// An exchange that we began has ended: some people have waited for that.
    pub(super) fn judge_exchange(
        &mut self,
        peer: NodeId,
        started: Instant,
        was_reached: bool,
        ended: Result<bool, &Failure>,
    ) {
        let comes = self.comes(&peer);
        let has = self.shared.book().peer(peer).vector.clone();
        let mut again = false;
        for sync in self.syncs.iter_mut().filter(|sync| started >= sync.asked) {
            let wait = sync.wish.wait;
            let Some(stage) = sync.peers.get_mut(&peer).filter(|stage| !stage.is_final()) else { continue };
            match ended {
                Ok(_) if !wait => *stage = Stage::Done,
                Ok(moved) => {
                    stage.hears(&has);
                    again |= moved;
                }
                // Who waits here and has something would call.
                Err(_) if comes => stage.hears(&has),
                Err(failure) if (!wait || (!was_reached && is_out_of_reach(failure))) => {
                    *stage = Stage::Unreachable;
                }
                // What broke off on the way, and who is busy, is tried again until the time is over.
                Err(_) => {}
            }
        }
        self.judge_syncs();
        if again && self.syncs.iter().any(|sync| sync.waits_for(&peer)) {
            self.schedule.nudge_peer(self.tick(), &peer);
        }
    }

    /// A peer has said by itself what it has.
    pub(super) fn judge_visit(&mut self, peer: NodeId) {
        if self.syncs.is_empty() {
            return;
        }
        let has = self.shared.book().peer(peer).vector.clone();
        let stages = self.syncs.iter_mut().filter_map(|sync| sync.peers.get_mut(&peer));
        stages.for_each(|stage| stage.hears(&has));
        self.judge_syncs();
    }

    /// Ends what has come true.
    pub(super) fn judge_syncs(&mut self) {
        let here = self.shared.store.exposed();
        for sync in &mut self.syncs {
            let book = self.shared.book();
            for (peer, stage) in &mut sync.peers {
                let Stage::Heard(theirs) = stage else { continue };
                let has_ours = book.get(peer).is_some_and(|state| state.vector.includes(&sync.ours));
                if has_ours && here.position.vector.includes(theirs) {
                    *stage = Stage::Done;
                }
            }
        }
        self.end_syncs(|sync| sync.peers.values().all(Stage::is_final));
    }

    /// A second has passed: who is waited for is called again, who has gone is not waited for, and what is late ends.
    pub(super) fn press_syncs(&mut self) {
        let waited_for: Vec<NodeId> =
            self.others().into_iter().filter(|peer| self.syncs.iter().any(|sync| sync.waits_for(peer))).collect();
        let tick = self.tick();
        for peer in waited_for {
            if self.schedule.peers().any(|called| *called == peer) {
                self.schedule.nudge_peer(tick, &peer);
            } else if !self.comes(&peer) {
                let stages = self.syncs.iter_mut().filter_map(|sync| sync.peers.get_mut(&peer));
                stages.filter(|stage| !stage.is_final()).for_each(|stage| *stage = Stage::Unreachable);
            }
        }
        self.judge_syncs();
        let now = Instant::now();
        self.end_syncs(|sync| sync.wish.deadline <= now);
    }

    /// Answers all who wait, however it stands.
    pub(super) fn end_syncs(&mut self, is_over: impl Fn(&Sync) -> bool) {
        let (over, waiting) = std::mem::take(&mut self.syncs).into_iter().partition(|sync| is_over(sync));
        self.syncs = waiting;
        over.into_iter().for_each(|sync: Sync| sync.end(&self.shared));
    }

    fn first_stage(&self, peer: &NodeId, wait: bool) -> Stage {
        let is_called = self.schedule.peers().any(|called| called == peer);
        let (waits_here, has) = {
            let book = self.shared.book();
            let state = book.get(peer);
            (state.is_some_and(|state| state.waiting > 0), state.map(|state| state.vector.clone()).unwrap_or_default())
        };
        match () {
            () if is_called => Stage::Silent,
            // Had it anything that we lack, it would not wait here but call.
            () if waits_here => Stage::Heard(has),
            () if wait && self.comes(peer) => Stage::Silent,
            () => Stage::Unreachable,
        }
    }

    /// Whether a peer comes by itself, so that it need not be called.
    fn comes(&self, peer: &NodeId) -> bool {
        let is_called = self.schedule.peers().any(|called| called == peer);
        let now = self.shared.clock.now();
        let book = self.shared.book();
        let nobody = PeerState::default();
        let state = book.get(peer).unwrap_or(&nobody);
        if book.is_paused(Some(*peer), now) {
            return false;
        }
        // A node that has just started has seen nobody yet.
        let silent = state.last_seen.map(|last_seen| Duration::from_millis(now.0.saturating_sub(last_seen.0)));
        let is_in_touch = silent.unwrap_or_else(|| self.shared.started.elapsed()) < 2 * self.shared.options.interval;
        state.waiting > 0
            || state.woken.is_some_and(|woken| woken.elapsed() < BETWEEN_WAITS)
            || (!is_called && is_in_touch)
    }
}

impl Sync {
    fn waits_for(&self, peer: &NodeId) -> bool {
        self.peers.get(peer).is_some_and(|stage| !stage.is_final())
    }

    fn end(self, shared: &Shared) {
        let here = shared.store.exposed();
        let is_even = |peer: &NodeId| {
            let book = shared.book();
            let state = book.get(peer).filter(|state| state.said.is_some());
            state.is_some_and(|state| state.vector.includes(&self.ours) && here.position.vector.includes(&state.vector))
        };
        let is_met = |(peer, stage): (&NodeId, &Stage)| match stage {
            Stage::Done => self.wish.wait || is_even(peer),
            _ => false,
        };
        let complete = self.peers.iter().all(is_met);
        let wanted = answers::peers(shared).into_iter().filter(|(node, _)| self.peers.contains_key(node));
        let (mut peers, mut unreachable, mut late) = (Vec::new(), Vec::new(), Vec::new());
        for (node, peer) in wanted {
            match self.peers.get(&node) {
                Some(Stage::Unreachable) => unreachable.push(peer.name.clone()),
                Some(Stage::Done) => {}
                _ => late.push(peer.name.clone()),
            }
            peers.push(peer);
        }
        let _ = self.wish.reply.send(Answer::Synced { complete, peers, unreachable, late });
    }
}

impl Stage {
    fn is_final(&self) -> bool {
        matches!(self, Stage::Done | Stage::Unreachable)
    }

    /// Only the first word counts: what a peer writes later is not waited for.
    fn hears(&mut self, has: &VersionVector) {
        if *self == Stage::Silent {
            *self = Stage::Heard(has.clone());
        }
    }
}

/// Nobody answers there, or nothing changes before a person acts. Who answers "not now" is reached.
fn is_out_of_reach(failure: &Failure) -> bool {
    failure.code == code::UNREACHABLE || failure.retry() == Retry::NeedsPerson
}
