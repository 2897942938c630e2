//! What a node does about a clock that was ahead. While it is, the others hold what is sealed here; once it is right again, that would still be
//! held until their clocks have come as far. So the incarnation is closed behind what anybody has taken in, and the rest gets new names and
//! times. Also what a node says when others' cuts lie below what it has taken in.

use std::time::Instant;

use rowmesh_core::clock::VersionVector;
use rowmesh_core::ident::{Dot, NodeId, Seq};
use rowmesh_core::limits;
use rowmesh_core::roster::Role;
use rowmesh_core::store::Store;
use tracing::{info, warn};

use super::{Daemon, Wake};
use crate::failure::Failure;
use crate::shared::Shared;

impl Daemon {
    /// Looks, once an interval, whether somebody lacks what was sealed here because its times lie too far ahead of a clock that is right.
    pub(super) fn mend_clock(&mut self) {
        if self.clock_looked.elapsed() < self.shared.options.interval || self.renewing {
            return;
        }
        self.clock_looked = Instant::now();
        self.follow_cuts();
        let Some(lacked) = self.lacked_by_somebody().filter(|_| self.clock_is_right()) else { return };
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            match close_if_ahead(&shared, lacked).await {
                Ok(true) => info!("this machine's clock was ahead: what others hold for that is sealed anew"),
                Ok(false) => {}
                Err(failure) => warn!(%failure, "what was sealed while the clock was ahead stays held for now"),
            }
        });
    }

    /// Carries out what the roster says of closed incarnations and removed nodes: a life of this node's own that is closed goes on as another
    /// one, and what others should not refuse is vouched for. Left half done by a crash, it is done at the next start.
    pub(super) fn follow_cuts(&mut self) {
        let roster = self.shared.members.roster();
        let position = self.shared.store.exposed().position.clone();
        if let Some(last) = roster.closed(&position.origin)
            && !self.renewing
        {
            self.renewing = true;
            let shared = self.shared.clone();
            self.tasks.spawn(async move {
                if let Err(failure) = shared.store.restamp(last).await {
                    warn!(%failure, "what was sealed while the clock was ahead could not be sealed anew");
                }
                shared.wake(Wake::Renewed);
            });
        }
        let me = self.shared.me();
        let others: VersionVector = position.vector.dots().filter(|dot| dot.origin.node != me).collect();
        let may_vouch = roster.member(&me).is_some_and(|member| matches!(member.role, Role::Admin | Role::Peer));
        if let Some(node) = roster.cut_too_low(&others).filter(|_| may_vouch) {
            let shared = self.shared.clone();
            self.tasks.spawn(async move {
                if let Err(failure) = vouch(&shared, node, &others).await {
                    warn!(%failure, "what was taken in of a node that was cut off could not be vouched for");
                }
            });
        }
    }

    /// The last changeset of ours that the peer has who has the fewest; `None` if all have all.
    fn lacked_by_somebody(&self) -> Option<Seq> {
        let position = &self.shared.store.exposed().position;
        let ours = position.vector.get(&position.origin);
        let others = self.others();
        let mut book = self.shared.book();
        let theirs = others.iter().filter_map(|peer| {
            let peer = book.peer(*peer);
            peer.said.as_ref().map(|_| peer.vector.get(&position.origin))
        });
        theirs.collect::<Vec<_>>().into_iter().filter(|theirs| *theirs < ours).min()
    }

    /// Whether this clock agrees with the peers' of whom anything was heard: with the one in the middle.
    fn clock_is_right(&self) -> bool {
        let others = self.others();
        let mut book = self.shared.book();
        let mut offsets: Vec<u64> = Vec::new();
        for peer in others {
            offsets.extend(book.peer(peer).said.as_ref().map(|said| said.clock_offset_ms.unsigned_abs()));
        }
        offsets.sort_unstable();
        offsets.get(offsets.len() / 2).is_some_and(|middle| *middle <= limits::DRIFT_MS_MAX / 2)
    }
}

/// Says to all what is held here of a node that was cut off, and how far ahead it lies.
async fn vouch(shared: &Shared, node: NodeId, held: &VersionVector) -> Result<(), Failure> {
    let roster = shared.members.roster();
    let is_closed = |dot: &Dot| dot.origin.node == node && roster.closed(&dot.origin).is_some();
    let closed: Vec<Dot> = held.dots().filter(is_closed).collect();
    let highest = move |store: &mut dyn Store| {
        let each = closed.iter().map(|dot| store.lamport_of(&dot.origin, Seq(0), dot.seq));
        each.collect::<Result<Vec<_>, _>>()
    };
    let lamport = shared.store.read(highest).await?.into_iter().flatten().max().unwrap_or_default();
    shared.members.sign(|roster, signer, now| roster.witness(signer, now, node, held, lamport)).await?;
    Ok(())
}

/// Closes the present incarnation if the changeset after `lacked` lies too far ahead. Says whether it has.
async fn close_if_ahead(shared: &Shared, lacked: Seq) -> Result<bool, Failure> {
    let position = shared.store.exposed().position.clone();
    let origin = position.origin;
    let next = shared.store.read(move |store| store.lamport_of(&origin, lacked, lacked.next())).await?;
    let (roster, now) = (shared.members.roster(), shared.clock.now());
    let is_ahead = next.is_some_and(|lamport| roster.is_too_far_ahead(lamport, now));
    if !is_ahead || roster.closed(&origin).is_some() {
        return Ok(false);
    }
    // Where neither this clock nor what others took in of this life was ahead, another node's times are: new names would lie as far ahead.
    let sealed_at = shared.store.read(move |store| store.own_sealed_at(lacked.next())).await?;
    let before = shared.store.read(move |store| store.lamport_of(&origin, Seq(0), lacked)).await?;
    let was_wrong = sealed_at.is_some_and(|at| at.0 > now.0.saturating_add(limits::DRIFT_MS_MAX));
    if !was_wrong && !before.is_some_and(|lamport| roster.is_too_far_ahead(lamport, now)) {
        return Ok(false);
    }
    let last = taken_by_anybody(shared, &position.floor);
    let lamport = shared.store.read(move |store| store.lamport_of(&origin, Seq(0), last)).await?.unwrap_or_default();
    shared.members.sign(|roster, signer, now| roster.close(signer, now, origin, last, lamport).map(Some)).await?;
    Ok(true)
}

/// The last changeset of this life that anybody else has taken in, by an acknowledgement or by what it said; those that are in no log count too.
fn taken_by_anybody(shared: &Shared, floor: &VersionVector) -> Seq {
    let origin = shared.store.exposed().position.origin;
    let me = shared.me();
    let roster = shared.members.roster();
    let others: Vec<_> = roster.members().map(|(node, _)| *node).filter(|node| *node != me).collect();
    let acknowledged = shared.members.with_acks(|acks| {
        let acks = others.iter().filter_map(|node| acks.get(node));
        acks.map(|ack| ack.ack().vector.get(&origin)).max()
    });
    let mut book = shared.book();
    let said = others.iter().map(|node| book.peer(*node).vector.get(&origin)).max();
    [acknowledged, said, Some(floor.get(&origin))].into_iter().flatten().max().unwrap_or_default()
}
