//! The signed log of members, roles, policies and scope: a set of entries that form a graph, and the fold of that set.
//! The same set gives the same roster whatever the order of arrival. Sending and storing entries are not here.
//!
//! Two rules carry the security of it:
//! an entry counts only if its signer had the right to it in the fold of the entry's own ancestors, which nobody can change
//! afterwards; and a revocation cuts the roster as it cuts the log: of the revoked node's entries only those count that the
//! revocation has among its ancestors (so a stolen key cannot sign itself a friend in the past), other revocations excepted.

mod entry;
mod fold;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use crate::clock::{Lamport, VersionVector, WallTime};
use crate::ident::{Digest, Dot, MeshId, NodeId, Origin, Seq};
use crate::limits;
use crate::sign::{PublicKey, Signer};
use crate::stride::Stride;

pub use entry::{
    Action, Entry, EntryError, NewMember, Role, RowFilter, Scope, TablePolicy, is_address, is_person_name,
};
use fold::State;

/// The roster as one node knows it.
#[derive(Clone, Debug)]
pub struct Roster {
    mesh: MeshId,
    graph: Graph,
    heads: BTreeSet<Digest>,
    state: State,
}

/// A member of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What people call it.
    pub name: String,
    /// Its key.
    pub public_key: PublicKey,
    /// What it may do.
    pub role: Role,
    /// Where it can be reached; empty for a node that only calls others.
    pub addresses: Vec<String>,
    /// Epoch of the entry that let it in.
    pub since_epoch: u64,
    /// Who let it in; the founder did so itself.
    pub added_by: NodeId,
}

/// What is known of a node that was shut out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The member it was; `None` if it was revoked before it was ever let in.
    pub was: Option<Member>,
    /// The last changesets of it that are taken in, all revocations and witnesses of it together.
    pub cut: VersionVector,
    /// Epoch of the first entry that revoked it.
    pub since_epoch: u64,
    /// Who revoked it first.
    pub by: NodeId,
}

/// What became of bytes offered to the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The entry is part of the roster now.
    New(Digest),
    /// It was already.
    Known(Digest),
}

/// What became of many entries offered at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// The entries that are new, parents before children.
    pub new: Vec<Digest>,
    /// Hashes of entries that are lacking before the rest can be taken in. Sorted.
    pub missing: Vec<Digest>,
    /// Why others were refused.
    pub refused: Vec<RosterError>,
}

/// Why an entry is not taken in, or not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RosterError {
    /// No entry, or not a signed one.
    #[error("{0}")]
    Entry(#[from] EntryError),
    /// Of another mesh.
    #[error("roster entry belongs to mesh {0}")]
    OtherMesh(MeshId),
    /// Entries that it stands on are not here. Sorted.
    #[error("roster entry stands on {} entries that are not here", .0.len())]
    MissingParents(Vec<Digest>),
    /// Its epoch is not one more than its parents' highest.
    #[error("roster entry names epoch {got}, its parents give {expected}")]
    WrongEpoch {
        /// What it says.
        got: u64,
        /// What it should say.
        expected: u64,
    },
    /// Its signer was no member in its own past.
    #[error("roster entry is signed by {0:?}, who was no member")]
    Stranger(NodeId),
    /// A limit is reached.
    #[error("roster is full: {what} is limited to {limit}")]
    Full {
        /// What there is too much of.
        what: &'static str,
        /// The most that is accepted.
        limit: usize,
    },
    /// The signer may not do this.
    #[error("{signer:?} may not {what}")]
    NotAllowed {
        /// Who.
        signer: NodeId,
        /// What.
        what: &'static str,
    },
    /// A revoked key never returns.
    #[error("{0:?} was removed for good: its key cannot be let in again")]
    Revoked(NodeId),
    /// Nobody of that name is a member.
    #[error("{0:?} is not a member")]
    NotAMember(NodeId),
    /// Nobody could change policies, scope or members any more.
    #[error("the last admin of a mesh cannot be removed")]
    LastAdmin,
    /// The first entry of the mesh is not among those given.
    #[error("the entry that founded mesh {0} is missing")]
    NoGenesis(MeshId),
}

/// All entries, and those facts about them that never change.
#[derive(Clone, Debug, Default)]
struct Graph {
    entries: BTreeMap<Digest, Kept>,
    /// Every order that is asked for: parents come before children because epochs rise.
    order: BTreeSet<(u64, Digest)>,
    per_signer: BTreeMap<NodeId, usize>,
}

#[derive(Clone, Debug)]
struct Kept {
    entry: Entry,
    /// Whether the signer had the right to it in the fold of its ancestors.
    entitled: bool,
    /// Whether the signer was an admin there.
    by_admin: bool,
}

impl Roster {
    /// Founds a mesh with the signer as its first member and admin.
    ///
    /// # Errors
    /// If a name or an address breaks a limit.
    pub fn found(
        signer: &dyn Signer,
        mesh_name: &str,
        node_name: &str,
        addresses: Vec<String>,
        now: WallTime,
    ) -> Result<Roster, RosterError> {
        let action = Action::Found { mesh_name: mesh_name.to_owned(), node_name: node_name.to_owned(), addresses };
        let genesis = Entry::found(action, signer, now)?;
        let mut roster = Roster::empty(genesis.mesh());
        roster.insert_entry(genesis)?;
        Ok(roster)
    }

    /// The roster of a mesh from entries in any order.
    ///
    /// # Errors
    /// If the founding entry is not among them, or any of them is refused or stands on one that is not there.
    pub fn from_entries<B: AsRef<[u8]>>(
        mesh: MeshId,
        entries: impl IntoIterator<Item = B>,
    ) -> Result<Roster, RosterError> {
        let mut roster = Roster::empty(mesh);
        let mut decoded = Vec::new();
        for bytes in entries {
            decoded.push(Entry::decode(bytes.as_ref())?);
        }
        decoded.sort_by_key(|entry| (entry.epoch(), entry.hash()));
        if decoded.first().is_none_or(|first| first.hash().0 != mesh.0) {
            return Err(RosterError::NoGenesis(mesh));
        }
        for entry in decoded {
            roster.insert_entry(entry)?;
        }
        Ok(roster)
    }

    /// Takes one entry in.
    ///
    /// # Errors
    /// If it is malformed, forged, of another mesh, signed by a stranger, or stands on entries that are not here yet.
    pub fn insert(&mut self, bytes: &[u8]) -> Result<Inserted, RosterError> {
        self.insert_entry(Entry::decode(bytes)?)
    }

    /// Takes in what it can of many entries in any order, and says what is lacking for the rest.
    pub fn adopt<B: AsRef<[u8]>>(&mut self, entries: impl IntoIterator<Item = B>) -> Adopted {
        let mut adopted = Adopted::default();
        let mut decoded = Vec::new();
        for bytes in entries {
            match Entry::decode(bytes.as_ref()) {
                Ok(entry) => decoded.push(entry),
                Err(error) => adopted.refused.push(error.into()),
            }
        }
        // Parents have lower epochs than their children (else they are refused), so one pass is enough.
        decoded.sort_by_key(|entry| (entry.epoch(), entry.hash()));
        let mut missing = BTreeSet::new();
        for entry in decoded {
            match self.insert_entry(entry) {
                Ok(Inserted::New(hash)) => adopted.new.push(hash),
                Ok(Inserted::Known(_)) => {}
                Err(RosterError::MissingParents(parents)) => missing.extend(parents),
                Err(error) => adopted.refused.push(error),
            }
        }
        adopted.missing = missing.into_iter().collect();
        adopted
    }

    /// The mesh's name among machines.
    pub fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// The mesh's name among people.
    pub fn mesh_name(&self) -> &str {
        &self.state.mesh_name
    }

    /// Everyone who belongs, by id.
    pub fn members(&self) -> impl Iterator<Item = (&NodeId, &Member)> {
        self.state.members.iter()
    }

    /// One who belongs.
    pub fn member(&self, node: &NodeId) -> Option<&Member> {
        self.state.members.get(node)
    }

    /// Whether a node belongs.
    pub fn is_member(&self, node: &NodeId) -> bool {
        self.state.members.contains_key(node)
    }

    /// Whether a node was shut out.
    pub fn is_revoked(&self, node: &NodeId) -> bool {
        self.state.revoked.contains_key(node)
    }

    /// What is known of a node that was shut out.
    pub fn revocation(&self, node: &NodeId) -> Option<&Revocation> {
        self.state.revoked.get(node)
    }

    /// Everyone who was shut out, by id.
    pub fn revoked(&self) -> impl Iterator<Item = (&NodeId, &Revocation)> {
        self.state.revoked.iter()
    }

    /// Nodes that were let in by a node which, it turned out, had been revoked before: an admin may add them again or revoke them.
    pub fn orphans(&self) -> impl Iterator<Item = (&NodeId, &Member)> {
        self.state.orphans.iter().filter(|(node, _)| !self.is_member(node) && !self.is_revoked(node))
    }

    /// The key that a node's changesets and acknowledgements are checked with: a member's, or that of one who was shut out.
    pub fn key_of(&self, node: &NodeId) -> Option<PublicKey> {
        let former = || self.revocation(node).and_then(|revocation| revocation.was.as_ref());
        self.member(node).or_else(former).map(|member| member.public_key)
    }

    /// Which numbers a node deals out: its slot is its place in the order in which all that ever belonged were let in, so that of one who was
    /// shut out goes to nobody else. `None` for a node that never belonged, and while nobody else ever did. Two that were let in at once, by
    /// nodes that did not know of each other, may have had one slot until they met.
    pub fn stride_of(&self, node: &NodeId) -> Option<Stride> {
        let former = self.revoked().filter_map(|(node, revocation)| Some((node, revocation.was.as_ref()?)));
        let all = self.members().chain(former).map(|(node, member)| (member.since_epoch, node));
        let order: BTreeSet<(u64, &NodeId)> = all.collect();
        let place = order.iter().position(|(_, known)| *known == node)?;
        (order.len() > 1).then(|| Stride::new(place + 1, order.len()))
    }

    /// The highest epoch of its entries.
    pub fn epoch(&self) -> u64 {
        self.graph.order.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// Entries that no other stands on. Sorted.
    pub fn heads(&self) -> &BTreeSet<Digest> {
        &self.heads
    }

    /// What names this set of entries in handshakes and changesets: a hash over the sorted heads.
    pub fn hash(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("rowmesh roster heads 1");
        for head in &self.heads {
            hasher.update(&head.0);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// Whether a changeset sealed under that roster can be judged here.
    ///
    /// The rule: it can unless its epoch is above ours. A higher epoch proves that entries are lacking. At an equal or lower
    /// epoch a concurrent entry may still be lacking, but nothing can be judged wrongly for that: if its origin is not known
    /// yet, the changeset is held for that reason; revocations count from when they are known, whatever a header says; and
    /// policies are folded again when entries arrive. To insist on the exact hash would hold changesets for ever, since the
    /// sets that others passed through are not those that we passed through.
    pub fn knows(&self, epoch: u64, hash: &Digest) -> bool {
        epoch <= self.epoch() || *hash == self.hash()
    }

    /// Hashes of all entries, parents before children.
    pub fn hashes(&self) -> Vec<Digest> {
        self.graph.order.iter().map(|(_, hash)| *hash).collect()
    }

    /// All entries, parents before children.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.graph.order.iter().filter_map(|(_, hash)| self.entry(hash))
    }

    /// One entry.
    pub fn entry(&self, hash: &Digest) -> Option<&Entry> {
        self.graph.entries.get(hash).map(|kept| &kept.entry)
    }

    /// Whether an entry has effect: its signer had the right to it and no revocation cuts it off.
    pub fn counts(&self, hash: &Digest) -> bool {
        self.state.counted.contains(hash)
    }

    /// Policies as they stand, by table.
    pub fn policies(&self) -> BTreeMap<&str, &TablePolicy> {
        self.policies_at(u64::MAX)
    }

    /// Policies by table as the entries up to an epoch give them: what a changeset sealed under that epoch is judged by.
    pub fn policies_at(&self, epoch: u64) -> BTreeMap<&str, &TablePolicy> {
        let until = self.state.policies.iter().filter(|(at, _)| *at <= epoch);
        until.map(|(_, policy)| (policy.table.as_str(), policy)).collect()
    }

    /// One table's policy as the entries up to an epoch give it.
    pub fn policy_at(&self, table: &str, epoch: u64) -> Option<&TablePolicy> {
        let until = self.state.policies.iter().rev().filter(|(at, _)| *at <= epoch);
        until.map(|(_, policy)| policy).find(|policy| policy.table == table)
    }

    /// What does not travel, as it stands; `None` where no entry has said so yet.
    pub fn scope(&self) -> Option<&Scope> {
        self.scope_at(u64::MAX)
    }

    /// What does not travel, as the entries up to an epoch give it.
    pub fn scope_at(&self, epoch: u64) -> Option<&Scope> {
        self.state.scopes.iter().rev().find(|(at, _)| *at <= epoch).map(|(_, scope)| scope)
    }

    fn empty(mesh: MeshId) -> Roster {
        Roster { mesh, graph: Graph::default(), heads: BTreeSet::new(), state: State::default() }
    }
}

/// Entries made here. Each is signed on top of the present heads and not yet part of the roster: store it, then [`Roster::insert`] it.
impl Roster {
    /// Lets a node in, or gives a member another name, role and addresses.
    ///
    /// # Errors
    /// If the signer may not, the key was revoked, the mesh is full, or a limit is broken.
    pub fn add(&self, signer: &dyn Signer, now: WallTime, member: NewMember) -> Result<Entry, RosterError> {
        let node = member.public_key.node_id();
        if self.is_revoked(&node) {
            return Err(RosterError::Revoked(node));
        }
        if !self.is_member(&node) && self.state.admitted() >= limits::MEMBERS_MAX {
            return Err(RosterError::Full { what: "members", limit: limits::MEMBERS_MAX });
        }
        self.sign(signer, now, Action::Add(member))
    }

    /// Says where the signer can be reached.
    ///
    /// # Errors
    /// If it is no member or an address is none.
    pub fn set_addresses(
        &self,
        signer: &dyn Signer,
        now: WallTime,
        addresses: Vec<String>,
    ) -> Result<Entry, RosterError> {
        self.sign(signer, now, Action::Address { addresses })
    }

    /// Says what the signer is called.
    ///
    /// # Errors
    /// If it is no member or the name is none.
    pub fn rename(&self, signer: &dyn Signer, now: WallTime, name: String) -> Result<Entry, RosterError> {
        self.sign(signer, now, Action::Rename { name })
    }

    /// Shuts a node out for ever, or leaves, if the node is the signer itself. Of its changesets those up to `cut` stay good:
    /// give all that is known here, other nodes add what they hold.
    ///
    /// # Errors
    /// If the signer may not, or the node is not a member, or the last admin.
    pub fn revoke(
        &self,
        signer: &dyn Signer,
        now: WallTime,
        node: NodeId,
        known: &VersionVector,
    ) -> Result<Entry, RosterError> {
        let member = self.member(&node).ok_or(RosterError::NotAMember(node))?;
        let admins = self.members().filter(|(_, member)| member.role == Role::Admin).count();
        if member.role == Role::Admin && admins == 1 {
            return Err(RosterError::LastAdmin);
        }
        self.sign(signer, now, Action::Revoke { node, cut: part_of(known, &node) })
    }

    /// Closes an incarnation of the signer's own, because its clock was ahead: `last` is the last changeset of it that any member has
    /// acknowledged, `lamport` the highest timestamp up to there.
    ///
    /// # Errors
    /// If the signer is no member, or the incarnation another node's.
    pub fn close(
        &self,
        signer: &dyn Signer,
        now: WallTime,
        origin: Origin,
        last: Seq,
        lamport: Lamport,
    ) -> Result<Entry, RosterError> {
        self.sign(signer, now, Action::Close { origin, last, lamport })
    }

    /// The last changeset that is taken in of an incarnation that was closed; `None` if it was not.
    pub fn closed(&self, origin: &Origin) -> Option<Seq> {
        self.state.closed.get(origin).copied()
    }

    /// Whether a timestamp lies too far ahead to be taken in. What closed incarnations have left behind is nobody's future any more: later
    /// edits of the same rows have to lie above it.
    pub fn is_too_far_ahead(&self, lamport: Lamport, now: WallTime) -> bool {
        let believed =
            WallTime(now.0.saturating_add(limits::CLOSED_AHEAD_MS_MAX)).min(self.state.closed_lamport.wall());
        lamport.is_too_far_ahead(now.max(believed))
    }

    /// A node of which this one had taken in more than the roster's cut allows before it learned of the cut: it has to say so, or what refers to
    /// that is held everywhere else.
    pub fn cut_too_low(&self, known: &VersionVector) -> Option<NodeId> {
        let is_above = |dot: &Dot| {
            let revoked = self.revocation(&dot.origin.node).is_some_and(|revocation| !revocation.cut.covers(dot));
            revoked || self.closed(&dot.origin).is_some_and(|last| dot.seq > last)
        };
        known.dots().find(is_above).map(|dot| dot.origin.node)
    }

    /// Raises the cut of a revoked node, or of closed incarnations of a node, to what this node had taken in before it learned of that: without
    /// it, changesets that refer to those would be held everywhere else for ever. `lamport` is the highest timestamp of what it holds of closed
    /// incarnations: what lies above those is nobody's future any more either. `None` if the cut is high enough already.
    ///
    /// # Errors
    /// If the signer may not, or nothing of the node was ever cut.
    pub fn witness(
        &self,
        signer: &dyn Signer,
        now: WallTime,
        node: NodeId,
        known: &VersionVector,
        lamport: Lamport,
    ) -> Result<Option<Entry>, RosterError> {
        let held = match self.revocation(&node) {
            Some(_) => part_of(known, &node),
            None => known.dots().filter(|dot| dot.origin.node == node && self.closed(&dot.origin).is_some()).collect(),
        };
        let has_cut = self.is_revoked(&node) || self.state.closed.keys().any(|origin| origin.node == node);
        if !has_cut {
            return Err(RosterError::NotAMember(node));
        }
        if self.cut_too_low(&held).is_none() {
            return Ok(None);
        }
        self.sign(signer, now, Action::Witness { node, held, lamport }).map(Some)
    }

    /// Sets one table's policies.
    ///
    /// # Errors
    /// If the signer is no admin or a limit is broken.
    pub fn set_policy(&self, signer: &dyn Signer, now: WallTime, policy: TablePolicy) -> Result<Entry, RosterError> {
        self.sign(signer, now, Action::Policy(policy))
    }

    /// Sets what does not travel.
    ///
    /// # Errors
    /// If the signer is no admin or a limit is broken.
    pub fn set_scope(&self, signer: &dyn Signer, now: WallTime, scope: Scope) -> Result<Entry, RosterError> {
        self.sign(signer, now, Action::Scope(scope))
    }

    fn sign(&self, signer: &dyn Signer, now: WallTime, action: Action) -> Result<Entry, RosterError> {
        let node = signer.node_id();
        if !self.state.entitles(&node, &action) {
            return Err(RosterError::NotAllowed { signer: node, what: fold::describe(&action) });
        }
        // Where there are more heads than fit, the next entry joins the others.
        let parents: Vec<Digest> = self.heads.iter().copied().take(limits::ROSTER_PARENTS_MAX).collect();
        let epoch = self.graph.epoch_above(&parents);
        Ok(Entry::sign(self.mesh, parents, epoch, action, signer, now)?)
    }
}

impl Roster {
    fn insert_entry(&mut self, entry: Entry) -> Result<Inserted, RosterError> {
        let hash = entry.hash();
        if self.graph.entries.contains_key(&hash) {
            return Ok(Inserted::Known(hash));
        }
        self.check_place(&entry)?;
        let on_all_heads = self.heads.iter().eq(entry.parents());
        let past = if on_all_heads { None } else { Some(self.graph.past_of(&entry)) };
        let before = past.as_ref().unwrap_or(&self.state);
        let signer = entry.signer();
        if !entry.parents().is_empty() && !before.has_met(&signer) {
            return Err(RosterError::Stranger(signer));
        }
        let by_admin = before.members.get(&signer).is_some_and(|member| member.role == Role::Admin);
        self.check_room(&entry, by_admin)?;
        let entitled = entry.parents().is_empty() || before.entitles(&signer, entry.action());
        let revokes = matches!(entry.action(), Action::Revoke { .. });

        for parent in entry.parents() {
            self.heads.remove(parent);
        }
        self.heads.insert(hash);
        let kept = Kept { entry, entitled, by_admin };
        // On top of everything known an entry is the last in the order, so it can be folded in by itself.
        if on_all_heads && !revokes {
            self.state.take(&kept);
            self.graph.keep(kept);
        } else {
            self.graph.keep(kept);
            self.state = self.graph.fold_all();
        }
        Ok(Inserted::New(hash))
    }

    fn check_place(&self, entry: &Entry) -> Result<(), RosterError> {
        if entry.mesh() != self.mesh {
            return Err(RosterError::OtherMesh(entry.mesh()));
        }
        let lacks = |parent: &&Digest| !self.graph.entries.contains_key(*parent);
        let missing: Vec<Digest> = entry.parents().iter().filter(lacks).copied().collect();
        if !missing.is_empty() {
            return Err(RosterError::MissingParents(missing));
        }
        let expected = self.graph.epoch_above(entry.parents());
        if entry.epoch() != expected {
            return Err(RosterError::WrongEpoch { got: entry.epoch(), expected });
        }
        Ok(())
    }

    /// Admins keep half of the room for themselves, or a member could fill the roster before it can be revoked.
    fn check_room(&self, entry: &Entry, by_admin: bool) -> Result<(), RosterError> {
        let signer = entry.signer();
        let limit = if by_admin { limits::ROSTER_ENTRIES_MAX } else { limits::ROSTER_ENTRIES_MAX / 2 };
        if self.graph.entries.len() >= limit {
            return Err(RosterError::Full { what: "number of entries", limit });
        }
        let limit = limits::ROSTER_ENTRIES_PER_SIGNER_MAX;
        if !by_admin && self.graph.per_signer.get(&signer).is_some_and(|count| *count >= limit) {
            return Err(RosterError::Full { what: "number of entries of one signer", limit });
        }
        Ok(())
    }
}

impl Graph {
    fn keep(&mut self, kept: Kept) {
        let entry = &kept.entry;
        self.order.insert((entry.epoch(), entry.hash()));
        *self.per_signer.entry(entry.signer()).or_default() += 1;
        self.entries.insert(entry.hash(), kept);
    }

    fn epoch_above(&self, parents: &[Digest]) -> u64 {
        let epochs = parents.iter().filter_map(|parent| self.entries.get(parent)).map(|kept| kept.entry.epoch());
        epochs.max().unwrap_or(0) + 1
    }

    /// Everything that an entry stands on, without itself.
    fn ancestors(&self, entry: &Entry) -> BTreeSet<Digest> {
        let mut found = BTreeSet::new();
        let mut waiting: Vec<Digest> = entry.parents().to_vec();
        while let Some(hash) = waiting.pop() {
            let Some(kept) = self.entries.get(&hash) else { continue };
            if found.insert(hash) {
                waiting.extend(kept.entry.parents());
            }
        }
        found
    }

    fn past_of(&self, entry: &Entry) -> State {
        let ancestors = self.ancestors(entry);
        let past = self.order.iter().filter(|(_, hash)| ancestors.contains(hash));
        self.fold(past.filter_map(|(_, hash)| self.entries.get(hash)).collect())
    }

    fn fold_all(&self) -> State {
        self.fold(self.order.iter().filter_map(|(_, hash)| self.entries.get(hash)).collect())
    }
}

fn part_of(vector: &VersionVector, node: &NodeId) -> VersionVector {
    vector.dots().filter(|dot| dot.origin.node == *node).collect()
}

/// The bytes of an entry, for callers that store or send them.
impl From<&Entry> for Arc<[u8]> {
    fn from(entry: &Entry) -> Arc<[u8]> {
        entry.bytes().clone()
    }
}

#[cfg(test)]
mod tests;
