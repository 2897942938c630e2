//! Whom the daemon calls and when: members with an address that nobody has paused, as their schedule says. What comes of a call is
//! `exchanges`; calling somebody early because there is news is `nudges`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use rowmesh_core::ident::{Digest, NodeId};
use tracing::warn;

use super::{Daemon, Wake};
use crate::exchanger;
use crate::failure::{Failure, code};
use crate::random::random;
use crate::store_thread::Exposed;

/// Exchanges under way at the same time.
pub(super) const EXCHANGES_MAX: usize = 16;

/// An exchange that is under way.
pub(super) struct Running {
    pub(super) started: Instant,
    /// What could be told when it began: what came later it may not carry.
    pub(super) exposed: Arc<Exposed>,
    /// The roster that it began with.
    pub(super) roster: Digest,
    task: Option<tokio::task::Id>,
}

impl Daemon {
    pub(super) fn follow_roster(&mut self) {
        let roster = self.shared.members.roster();
        self.shared.book().retain(|node| roster.is_member(node));
        if let Some(server) = &self.server {
            roster.revoked().for_each(|(node, _)| server.disconnect(*node));
        }
        let gone: Vec<NodeId> = self.waits.keys().filter(|peer| !roster.is_member(peer)).copied().collect();
        gone.iter().filter_map(|peer| self.waits.remove(peer)).for_each(|wait| wait.abort());
        if roster.is_revoked(&self.shared.me()) {
            let failure = Failure::new(code::REMOVED, "this node was removed from the mesh").hint(
                "To come back it needs a new identity and a new invite:",
                "rowmesh up new.db --name NEW --join INVITE",
            );
            self.shared.book().notices.insert("removed".to_owned(), failure);
        }
        self.keep_schedule();
        self.follow_cuts();
        if self.shared.options.nudge {
            let ignorant: Vec<NodeId> = self.others().into_iter().filter(|peer| !self.knows_roster(peer)).collect();
            ignorant.into_iter().for_each(|peer| self.nudge(peer));
        }
    }

    /// Whom to call: members with an address that nobody has paused.
    pub(super) fn keep_schedule(&mut self) {
        let roster = self.shared.members.roster();
        let now = self.shared.clock.now();
        let me = self.shared.me();
        let stands_still = self.shared.standstill().is_some() || !roster.is_member(&me);
        let may_call = |node: &NodeId| {
            let has_address = roster.member(node).is_some_and(|member| !member.addresses.is_empty());
            *node != me && has_address && !stands_still && !self.shared.book().is_paused(Some(*node), now)
        };
        let wanted: BTreeSet<NodeId> = roster.members().map(|(node, _)| *node).filter(may_call).collect();
        let unwanted: Vec<NodeId> = self.schedule.peers().filter(|peer| !wanted.contains(peer)).copied().collect();
        unwanted.iter().filter(|peer| !self.running.contains_key(peer)).for_each(|peer| self.schedule.remove(peer));
        let tick = self.tick();
        for peer in wanted {
            self.schedule.add(tick, peer, dice());
        }
    }

    pub(super) fn resumed(&mut self) {
        self.keep_schedule();
        let tick = self.tick();
        self.others().iter().for_each(|peer| self.schedule.nudge_peer(tick, peer));
    }

    pub(super) fn call_who_is_due(&mut self) {
        while self.running.len() < EXCHANGES_MAX {
            let Some(peer) = self.schedule.poll_due(self.tick()) else { return };
            self.call(peer);
        }
    }

    fn call(&mut self, peer: NodeId) {
        let roster = self.shared.members.roster();
        let Some(member) = roster.member(&peer) else { return self.schedule.remove(&peer) };
        let now = self.shared.clock.now();
        if self.shared.standstill().is_some() || self.shared.book().is_paused(Some(peer), now) {
            return self.schedule.remove(&peer);
        }
        let kept = self.shared.book().peer(peer).connection.clone();
        let addresses = member.addresses.clone();
        let (exposed, roster) = (self.shared.store.exposed(), roster.hash());
        let running = Running { started: Instant::now(), exposed, roster, task: None };
        let exchange = exchanger::exchange(self.shared.clone(), peer, addresses, kept);
        let shared = self.shared.clone();
        let task = self.tasks.spawn(async move {
            let outcome = exchange.await;
            shared.wake(Wake::Exchanged(peer, Box::new(outcome)));
        });
        self.running.insert(peer, Running { task: Some(task.id()), ..running });
    }

    /// A task that panicked has told nobody that it ended.
    pub(super) fn bury_tasks(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            let Err(error) = ended else { continue };
            let peer = self.running.iter().find(|(_, running)| running.task == Some(error.id())).map(|(peer, _)| *peer);
            let Some(peer) = peer.filter(|_| error.is_panic()) else { continue };
            warn!(?peer, %error, "an exchange met a mistake of ours");
            self.running.remove(&peer);
            let failure = Failure::bug("an exchange met a mistake of ours");
            self.shared.book().peer(peer).failure = Some(failure);
            self.schedule.failed(self.tick(), &peer, true, dice());
        }
    }
}

/// Only for spreading calls in time: without dice they are less well spread.
pub(super) fn dice() -> u64 {
    random().unwrap_or(0)
}
