//! What follows from an exchange that we began: what it has shown of the peer is written down, the next one is arranged, and whoever waited
//! for it is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use rowmesh_core::clock::VersionVector;
use rowmesh_core::exchange::Summary;
use rowmesh_core::ident::NodeId;
use tracing::debug;

use super::Daemon;
use super::calls::dice;
use crate::exchanger::Outcome;
use crate::failure::{Failure, code};
use crate::notices::{held_here, held_there};
use crate::recorder::Exchanged;

impl Daemon {
    pub(super) fn exchanged(&mut self, peer: NodeId, outcome: Outcome) {
        let Outcome { connection, summary, exchanged, may_retry } = outcome;
        let Some(running) = self.running.remove(&peer) else { return };
        let now = exchanged.ended_at;
        let tick = self.tick();
        let exposed = self.shared.store.exposed();
        let learned = self.note(peer, connection, &summary, &exchanged);
        match &exchanged.failure {
            None => {
                let moved = exchanged.sent.changesets + exchanged.received.changesets > 0;
                let even = is_even(&summary.peer_vector, &exposed.position.vector);
                self.schedule.succeeded(tick, &peer, summary.unfinished && moved, even, dice());
            }
            Some(failure) => {
                debug!(peer = ?peer, %failure, "an exchange failed");
                self.schedule.failed(tick, &peer, may_retry, dice());
            }
        }
        let succeeded = exchanged.failure.is_none();
        let records = self.recorder.exchanged(&exchanged);
        self.write(records);
        // What is held back wakes us no more once the peer has been told of it, and what we have brought there ourselves wakes us once. Who
        // wakes us for nothing all the same would do so for ever: then the next exchange is the one that is due.
        let brought = summary.received.changesets > 0 || summary.roster_received > 0;
        let stands = self.shared.book().peer(peer).waited_with == exposed.position.vector;
        let is_fruitless = self.woken_by.remove(&peer) && !brought && !learned && stands;
        let moved = brought || summary.sent.changesets > 0;
        if succeeded {
            if !is_fruitless {
                self.wait_at(peer, now);
            }
            // Rosters are exchanged first. What this node learned itself, the peer has said that it has.
            if summary.roster_received == 0 {
                self.shared.book().learns_roster(peer, running.roster);
            }
            // What came up meanwhile may have been too late for this exchange.
            let lacks_changes = !Arc::ptr_eq(&running.exposed, &exposed) && self.lacks_something(&peer);
            if self.shared.options.nudge && (lacks_changes || !self.knows_roster(&peer)) {
                self.nudge(peer);
            }
        }
        let ended = exchanged.failure.as_ref().map_or(Ok(moved), Err);
        self.judge_exchange(peer, running.started, summary.peer.is_some(), ended);
    }

    /// Writes down what an exchange has shown of a peer. Returns whether more is held back of what it has than was known.
    fn note(
        &mut self,
        peer: NodeId,
        connection: Option<Arc<crate::transport::Connection>>,
        summary: &Summary,
        exchanged: &Exchanged,
    ) -> bool {
        let name = self.shared.members.name_of(&peer);
        let mut book = self.shared.book();
        if let Some(hello) = &summary.peer {
            book.hears(hello, exchanged.ended_at);
        }
        let state = book.peer(peer);
        if summary.peer.is_some() {
            state.vector.clone_from(&summary.peer_vector);
        }
        if let Some(connection) = &connection {
            state.address = connection.peer_address().to_string();
        }
        state.connection = connection;
        state.failure.clone_from(&exchanged.failure);
        state.dialled = exchanged.failure.is_none();
        let mut learned = false;
        if exchanged.failure.is_none() {
            learned = !summary.left_out.is_subset(&state.left_out);
            state.left_out.clone_from(&summary.left_out);
        }
        if exchanged.failure.is_none() {
            let pruned = summary.we_need_older.then(|| {
                Failure::new(code::LOG_PRUNED, format!("{name} no longer has changes that this node lacks")).hint(
                    "Another peer may have them; otherwise this node has to join anew:",
                    "rowmesh up new.db --name NEW --join INVITE",
                )
            });
            set(&mut book.notices, format!("pruned {peer}"), pruned);
            let roster = self.shared.members.roster();
            let name_of =
                |node: &NodeId| roster.member(node).map_or_else(|| node.short(), |member| member.name.clone());
            let here = summary.held.iter().chain(&summary.refused);
            set(&mut book.notices, format!("held {peer}"), held_here(here, &name_of));
            let there = summary.held_by_peer.iter().chain(&summary.refused_by_peer);
            set(&mut book.notices, format!("held by {peer}"), held_there(there, &name));
        }
        learned
    }
}

fn is_even(a: &VersionVector, b: &VersionVector) -> bool {
    a.includes(b) && b.includes(a)
}

fn set(notices: &mut BTreeMap<String, Failure>, about: String, failure: Option<Failure>) {
    match failure {
        Some(failure) => drop(notices.insert(about, failure)),
        None => drop(notices.remove(&about)),
    }
}
