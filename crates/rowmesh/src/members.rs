//! Who belongs to the mesh and what each has acknowledged, as this node knows it: in memory for everybody to read, in the store before
//! anybody can read it. Spreads nothing by itself: the exchange does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rowmesh_core::ack::{Ack, AckStore, SignedAck};
use rowmesh_core::clock::{VersionVector, WallTime};
use rowmesh_core::ident::{Digest, MeshId, NodeId};
use rowmesh_core::policy::{ColumnPolicy, ExistencePolicy, OrphanPolicy, Policies, PolicyHistory, TablePolicy};
use rowmesh_core::roster::{self, Action, Adopted, Entry, Inserted, Roster, RosterError};
use rowmesh_core::scope::Scope;
use rowmesh_core::sign::{PublicKey, SignatureBytes, Signer};
use rowmesh_core::store::{NodeRecord, Standing, Store, StoreResult};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::failure::{Failure, code};
use crate::identity::NodeKey;
use crate::store_thread::{Exposed, StoreHandle};

/// The roster and the acknowledgements of a node that belongs to a mesh.
#[derive(Debug)]
pub(crate) struct Members {
    key: Arc<NodeKey>,
    store: StoreHandle,
    clock: Clock,
    roster: watch::Sender<Arc<Roster>>,
    acks: Mutex<AckStore>,
    /// One change of the roster after the other, so that store and memory go the same way.
    changing: tokio::sync::Mutex<()>,
}

impl Signer for NodeKey {
    fn public_key(&self) -> PublicKey {
        PublicKey(NodeKey::public_key(self))
    }

    fn sign_bytes(&self, bytes: &[u8]) -> SignatureBytes {
        NodeKey::sign(self, bytes)
    }

    fn derive(&self, purpose: &'static str) -> [u8; 32] {
        NodeKey::derive(self, purpose)
    }
}

/// Reads the roster that a database holds; `None` if it belongs to no mesh yet.
pub(crate) async fn kept_roster(store: &StoreHandle) -> Result<Option<Roster>, Failure> {
    let entries = store.read(|store| store.roster_entries()).await?;
    let founding =
        entries.iter().filter_map(|bytes| Entry::decode(bytes).ok()).find(|entry| entry.parents().is_empty());
    let Some(founding) = founding else { return Ok(None) };
    let roster = Roster::from_entries(founding.mesh(), &entries);
    let damaged = |error: RosterError| Failure::bug("the roster in the database cannot be read").because(&error);
    roster.map(Some).map_err(damaged)
}

impl Members {
    /// Takes up a roster that the store has, with the acknowledgements that it has, and lets the store know where it stands.
    pub(crate) async fn open(
        key: Arc<NodeKey>,
        store: StoreHandle,
        clock: Clock,
        roster: Roster,
    ) -> Result<Members, Failure> {
        let mut acks = AckStore::new();
        for bytes in store.read(|store| store.acknowledgements()).await? {
            match SignedAck::trust_own_store(&bytes) {
                Ok(ack) => drop(acks.keep(ack)),
                Err(error) => warn!(%error, "an acknowledgement in the database cannot be read"),
            }
        }
        let roster = watch::Sender::new(Arc::new(roster));
        Ok(Members { key, store, clock, roster, acks: Mutex::new(acks), changing: tokio::sync::Mutex::default() })
    }

    /// The roster as it is now.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        self.roster.borrow().clone()
    }

    /// Follows the roster.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.subscribe()
    }

    /// This node.
    pub(crate) fn me(&self) -> NodeId {
        self.key.node_id()
    }

    /// Runs something on the acknowledgements as they are now.
    pub(crate) fn with_acks<T>(&self, work: impl FnOnce(&AckStore) -> T) -> T {
        work(&self.acks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a peer is called, or its short id.
    pub(crate) fn name_of(&self, node: &NodeId) -> String {
        self.roster().member(node).map_or_else(|| node.short(), |member| member.name.clone())
    }

    /// Lets the store know where it stands, which begins capture.
    pub(crate) async fn stand(&self) -> Result<(), Failure> {
        let standing = standing(&self.key, &self.roster())?;
        self.store.set_standing(standing).await
    }

    /// Takes in what it can of entries from elsewhere: stored first, then believed.
    pub(crate) async fn adopt(&self, entries: Vec<Arc<[u8]>>) -> Result<Adopted, Failure> {
        let _changing = self.changing.lock().await;
        let mut roster = Roster::clone(&self.roster());
        let adopted = roster.adopt(&entries);
        for refused in &adopted.refused {
            warn!(error = %refused, "a roster entry from a peer is refused");
        }
        if !adopted.new.is_empty() {
            self.replace(roster, &adopted.new).await?;
        }
        Ok(adopted)
    }

    /// Makes an entry on top of the present roster and takes it in. `None` if there is nothing to say.
    pub(crate) async fn sign(
        &self,
        make: impl FnOnce(&Roster, &dyn Signer, WallTime) -> Result<Option<Entry>, RosterError>,
    ) -> Result<Option<Entry>, Failure> {
        let _changing = self.changing.lock().await;
        let mut roster = Roster::clone(&self.roster());
        let Some(entry) = make(&roster, &*self.key, self.clock.now())? else { return Ok(None) };
        if let Inserted::New(hash) = roster.insert(entry.bytes())? {
            self.replace(roster, &[hash]).await?;
        }
        Ok(Some(entry))
    }

    async fn replace(&self, roster: Roster, new: &[Digest]) -> Result<(), Failure> {
        let standing = standing(&self.key, &roster)?;
        let kept = Kept::of(&roster, new, self.me());
        self.store.write(move |store| kept.keep(store)).await?;
        self.store.set_standing(standing).await?;
        info!(epoch = roster.epoch(), members = roster.members().count(), "the roster moved");
        self.acks.lock().unwrap_or_else(PoisonError::into_inner).forget_strangers(&roster);
        self.roster.send_replace(Arc::new(roster));
        Ok(())
    }

    /// This node's newest acknowledgement: a new one only if what it would say has changed, so that an idle mesh writes nothing.
    pub(crate) async fn own_ack(&self, exposed: &Exposed) -> Result<SignedAck, Failure> {
        let roster = self.roster();
        let me = self.me();
        let origin = exposed.position.origin;
        let known = self.with_acks(|acks| acks.get(&me).cloned());
        let vector = self.with_acks(|acks| acknowledgeable(&roster, acks, &me, &exposed.position.vector));
        if let Some(known) = &known {
            let says = known.ack();
            if says.origin == origin && says.vector == vector && says.epoch == roster.epoch() {
                return Ok(known.clone());
            }
        }
        let counter = known.map_or(0, |known| known.ack().counter).saturating_add(1);
        let ack = Ack { mesh: roster.mesh(), origin, counter, vector, epoch: roster.epoch(), at: self.clock.now() };
        let signed = SignedAck::sign(ack, &*self.key);
        self.keep_verified(vec![signed.clone()]).await?;
        Ok(signed)
    }

    /// Writes down once more what is written down already: whether the database takes a write.
    pub(crate) async fn try_to_write(&self, exposed: &Exposed) -> Result<(), Failure> {
        let ack = self.own_ack(exposed).await?;
        self.store.write(move |store| store.keep_acknowledgement(&ack.node(), ack.bytes())).await
    }

    /// Keeps acknowledgements that were checked against the roster, those that are newer than what is known. Returns how many.
    pub(crate) async fn keep_verified(&self, acks: Vec<SignedAck>) -> Result<usize, Failure> {
        let is_newer = |ack: &SignedAck| {
            self.with_acks(|known| known.get(&ack.node()).is_none_or(|known| known.mark() < ack.mark()))
        };
        let newer: Vec<SignedAck> = acks.into_iter().filter(is_newer).collect();
        if newer.is_empty() {
            return Ok(0);
        }
        let storing = newer.clone();
        let keep = move |store: &mut dyn Store| -> StoreResult<()> {
            storing.iter().try_for_each(|ack| store.keep_acknowledgement(&ack.node(), ack.bytes()))
        };
        self.store.write(keep).await?;
        let mut known = self.acks.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(newer.into_iter().filter(|ack| known.keep(ack.clone())).count())
    }

    /// What every member has taken in.
    pub(crate) fn stable(&self, exposed: &Exposed) -> VersionVector {
        let roster = self.roster();
        self.with_acks(|acks| acks.stable(&roster, &exposed.position.vector))
    }
}

/// What this node may say that it has taken in. While somebody may not know that a node which it let in counts, it speaks for that node
/// too: the lower of both (Q21). Before the joiner has said anything, what was said last stays: the joiner's copy was made after that.
fn acknowledgeable(roster: &Roster, acks: &AckStore, me: &NodeId, vector: &VersionVector) -> VersionVector {
    let mut bounded = vector.clone();
    let unknown_to_some = |(node, member): &(&NodeId, &roster::Member)| {
        member.added_by == *me && *node != me && !acks.everyone_knows(roster, member.since_epoch, node)
    };
    for (joiner, _) in roster.members().filter(unknown_to_some) {
        let said = acks.get(joiner).or_else(|| acks.get(me)).map(|ack| ack.ack().vector.clone());
        bounded = bounded.meet(&said.unwrap_or_default());
    }
    bounded
}

/// What a roster means for sealing and applying.
///
/// # Errors
/// If it holds a filter that this version does not understand: then nothing may leave the node.
pub(crate) fn standing(key: &Arc<NodeKey>, roster: &Roster) -> Result<Standing, Failure> {
    let scope = match roster.scope() {
        Some(rules) => Scope::from_roster(rules).map_err(|error| {
            Failure::new(code::BAD_SETTING, "the mesh's rules of what travels are not understood here")
                .because(&error)
                .hint("Upgrade this node to the version that the others have:", "rowmesh version")
        })?,
        None => Scope::default(),
    };
    Ok(Standing {
        mesh: roster.mesh(),
        signer: key.clone(),
        epoch: roster.epoch(),
        roster: roster.hash(),
        policies: Arc::new(policies(roster)),
        scope: Arc::new(scope),
        stride: roster.stride_of(&key.node_id()),
    })
}

/// What is stored of a roster that has new entries.
pub(crate) struct Kept {
    entries: Vec<Vec<u8>>,
    nodes: Vec<NodeRecord>,
    settings: Vec<(String, String)>,
}

impl Kept {
    /// Of a roster with these entries new; all of them for a database that has none.
    pub(crate) fn of(roster: &Roster, new: &[Digest], me: NodeId) -> Kept {
        let entries = new.iter().filter_map(|hash| roster.entry(hash)).map(|entry| entry.bytes().to_vec()).collect();
        Kept { entries, nodes: nodes(roster, me), settings: settings(roster) }
    }

    /// Stores it.
    pub(crate) fn keep(&self, store: &mut dyn Store) -> StoreResult<()> {
        store.keep_roster(&self.entries, &self.nodes, &self.settings)
    }
}

fn nodes(roster: &Roster, me: NodeId) -> Vec<NodeRecord> {
    let record = |node: &NodeId, member: &roster::Member, state: &str| NodeRecord {
        node: *node,
        name: member.name.clone(),
        role: member.role.as_str().to_owned(),
        addresses: member.addresses.clone(),
        state: if *node == me { "self".to_owned() } else { state.to_owned() },
        last_seen: None,
    };
    let members = roster.members().map(|(node, member)| record(node, member, "member"));
    let revoked = roster.revoked().filter_map(|(node, revocation)| Some((node, revocation.was.as_ref()?)));
    members.chain(revoked.map(|(node, member)| record(node, member, "revoked"))).collect()
}

fn settings(roster: &Roster) -> Vec<(String, String)> {
    let mut settings = vec![("mesh.name".to_owned(), roster.mesh_name().to_owned())];
    if let Some(scope) = roster.scope() {
        settings.push(("tables.exclude".to_owned(), scope.exclude.join(", ")));
        for filter in &scope.filters {
            settings.push((format!("filter.{}", filter.name), format!("{}: {}", filter.root, filter.condition)));
        }
    }
    for (table, policy) in roster.policies() {
        if let Some(existence) = &policy.existence {
            settings.push((format!("policy.{table}"), existence.clone()));
        }
        for (column, rule) in policy.columns.iter().chain(&policy.references) {
            settings.push((format!("policy.{table}.{column}"), rule.clone()));
        }
    }
    settings
}

fn policies(roster: &Roster) -> PolicyHistory {
    let sets_policy = |entry: &&Entry| matches!(entry.action(), Action::Policy(_)) && roster.counts(&entry.hash());
    let epochs: BTreeSet<u64> = roster.entries().filter(sets_policy).map(Entry::epoch).collect();
    let mut history = PolicyHistory::default();
    for epoch in epochs {
        let tables = roster.policies_at(epoch).into_iter();
        let tables = tables.map(|(table, policy)| (table.into(), table_policy(policy))).collect();
        history.set(epoch, Policies { tables });
    }
    history
}

/// Words of a later version mean the default here.
fn table_policy(policy: &roster::TablePolicy) -> TablePolicy {
    let column = |(name, rule): (&String, &String)| Some((name.as_str().into(), ColumnPolicy::parse(rule)?));
    let reference = |(name, rule): (&String, &String)| Some((name.as_str().into(), OrphanPolicy::parse(rule)?));
    TablePolicy {
        existence: policy.existence.as_deref().and_then(ExistencePolicy::parse).unwrap_or_default(),
        columns: policy.columns.iter().filter_map(column).collect(),
        references: policy.references.iter().filter_map(reference).collect(),
    }
}

/// The mesh that a roster entry belongs to, for a node that has only its invite.
pub(crate) fn roster_of(mesh: MeshId, entries: &[Arc<[u8]>]) -> Result<Roster, Failure> {
    Ok(Roster::from_entries(mesh, entries)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowmesh_core::ident::{Dot, Incarnation, Origin, Seq};
    use rowmesh_core::roster::{NewMember, Role};

    const NOW: WallTime = WallTime(5);

    fn key(n: u8) -> NodeKey {
        NodeKey::from_seed(&[n; 32])
    }

    fn vector(seq: u64) -> VersionVector {
        let origin = Origin { node: key(1).node_id(), incarnation: Incarnation { count: 1, nonce: 3 } };
        [Dot { origin, seq: Seq(seq) }].into_iter().collect()
    }

    fn add(roster: &mut Roster, n: u8, by: u8) {
        let member = NewMember {
            public_key: Signer::public_key(&key(n)),
            name: format!("node {n}"),
            role: Role::Peer,
            addresses: vec![],
            invited_by: None,
        };
        let entry = roster.add(&key(by), NOW, member).unwrap();
        roster.insert(entry.bytes()).unwrap();
    }

    fn says(roster: &Roster, acks: &mut AckStore, n: u8, counter: u64, seq: u64) {
        let origin = Origin { node: key(n).node_id(), incarnation: Incarnation { count: 1, nonce: 3 } };
        let ack = Ack { mesh: roster.mesh(), origin, counter, vector: vector(seq), epoch: roster.epoch(), at: NOW };
        acks.keep(SignedAck::sign(ack, &key(n)));
    }

    #[test]
    fn q21_a_sponsor_acknowledges_for_its_joiner_until_everybody_knows_of_it() {
        let mut roster = Roster::found(&key(1), "shop", "till", vec![], NOW).unwrap();
        add(&mut roster, 2, 1);
        let mut acks = AckStore::new();
        says(&roster, &mut acks, 1, 1, 4);
        says(&roster, &mut acks, 2, 1, 4);
        let sponsor = key(2).node_id();
        let may_say = |roster: &Roster, acks: &AckStore| acknowledgeable(roster, acks, &sponsor, &vector(9));
        assert_eq!(may_say(&roster, &acks), vector(9), "nobody new is there");
        let before = roster.clone();
        add(&mut roster, 3, 2);
        assert_eq!(may_say(&roster, &acks), vector(4), "what it had said before the joiner's copy was made");
        says(&roster, &mut acks, 3, 1, 6);
        assert_eq!(may_say(&roster, &acks), vector(6), "the joiner has spoken");
        says(&roster, &mut acks, 2, 2, 6);
        says(&before, &mut acks, 1, 2, 9);
        assert_eq!(may_say(&roster, &acks), vector(6), "the first does not know of the joiner");
        says(&roster, &mut acks, 1, 3, 9);
        assert_eq!(may_say(&roster, &acks), vector(9));
    }
}
