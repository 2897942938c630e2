//! News at once instead of with the next exchange that is due: who lacks something is called, unless it fetches by itself; and who cannot call
//! us is waited at, so that its news reach us.

use std::time::Duration;

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::NodeId;
use rowmesh_core::wire::WakeReason;
use tracing::debug;

use super::{Daemon, Wake};
use crate::exchanger;
use crate::transport::RequestError;

/// A peer that was woken has this long to fetch what it was woken for before it is called.
const FETCH_PATIENCE: Duration = Duration::from_millis(100);

/// What we have for others.
impl Daemon {
    /// Something new may be told: calls those who lack it and do not wait for it already.
    pub(super) fn nudge_who_lacks(&mut self) {
        self.shared.book().last_change = Some(self.shared.clock.now());
        if self.shared.options.nudge {
            let lacking: Vec<NodeId> = self.others().into_iter().filter(|peer| self.lacks_something(peer)).collect();
            lacking.into_iter().for_each(|peer| self.nudge(peer));
        }
        self.judge_syncs();
    }

    pub(super) fn nudge(&mut self, peer: NodeId) {
        if self.running.contains_key(&peer) {
            return;
        }
        // Who waits here is answered by itself; who has just been answered is about to fetch, and is looked at again in a moment.
        let (waits, fetches) = {
            let mut book = self.shared.book();
            let state = book.peer(peer);
            let fetches = state.woken.is_some_and(|woken| woken.elapsed() < FETCH_PATIENCE);
            (state.waiting > 0, fetches.then(|| std::mem::replace(&mut state.owed, true)))
        };
        match fetches {
            _ if waits => {}
            Some(true) => {}
            Some(false) => self.look_again_at(peer),
            // Who is backed off from is not called sooner for a nudge.
            None if self.schedule.failures(&peer) == 0 => self.schedule.nudge_peer(self.tick(), &peer),
            None => {}
        }
    }

    fn look_again_at(&mut self, peer: NodeId) {
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(FETCH_PATIENCE).await;
            shared.wake(Wake::Owed(peer));
        });
    }

    /// A peer that was left to fetch something by itself has had its time.
    pub(super) fn owed(&mut self, peer: NodeId) {
        self.shared.book().peer(peer).owed = false;
        if self.lacks_something(&peer) || !self.knows_roster(&peer) {
            self.nudge(peer);
        }
    }

    pub(super) fn knows_roster(&self, peer: &NodeId) -> bool {
        let hash = self.shared.members.roster().hash();
        self.shared.book().peer(*peer).said.as_ref().is_some_and(|said| said.roster == hash)
    }

    pub(super) fn lacks_something(&self, peer: &NodeId) -> bool {
        let exposed = self.shared.store.exposed();
        let ours = &exposed.position.vector;
        let mut book = self.shared.book();
        let state = book.peer(*peer);
        state.vector.lacks_of(ours) > 0 && state.offered.lacks_of(ours) > 0
    }
}

/// What others have for us.
impl Daemon {
    /// A peer that has not called us of late may be unable to: then we wait at it, so that its news reaches us at once.
    pub(super) fn wait_at(&mut self, peer: NodeId, now: WallTime) {
        let patience = self.shared.options.interval * 5 / 2;
        let (connection, left_out, calls) = {
            let book = self.shared.book();
            let Some(state) = book.get(&peer) else { return };
            let calls = state.called.is_some_and(|called| called.elapsed() < patience);
            let left_out = state.left_out.iter().copied().collect();
            (state.connection.clone(), left_out, calls || book.is_paused(Some(peer), now))
        };
        let Some(connection) = connection.filter(|_| !calls && self.shared.options.nudge) else { return };
        if self.waits.contains_key(&peer) {
            return;
        }
        let shared = self.shared.clone();
        shared.book().peer(peer).waited_with = shared.store.exposed().position.vector.clone();
        let wait = self.tasks.spawn(async move {
            let news = exchanger::wait_for_news(&shared, &connection, left_out).await;
            shared.wake(Wake::News(peer, news));
        });
        self.waits.insert(peer, wait);
    }

    pub(super) fn news(&mut self, peer: NodeId, news: Result<WakeReason, RequestError>) {
        self.waits.remove(&peer);
        match news {
            Ok(WakeReason::Timeout) => self.wait_at(peer, self.shared.clock.now()),
            Ok(WakeReason::Closing) => {}
            Ok(_) => {
                self.woken_by.insert(peer);
                self.schedule.nudge_peer(self.tick(), &peer);
            }
            Err(error) => {
                debug!(?peer, error = &error as &dyn std::error::Error, "waiting at a peer broke off");
                self.schedule.nudge_peer(self.tick(), &peer);
            }
        }
    }
}
