//! What a set of roster entries says: the pure fold, in the order of (epoch, hash). Keeps no entries and checks no signatures.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::{Lamport, VersionVector};
use crate::ident::{Digest, NodeId, Origin, Seq};
use crate::limits;
use crate::sign::PublicKey;

use super::entry::{Action, Entry, Role, Scope, TablePolicy};
use super::{Graph, Kept, Member, NewMember, Revocation};

/// The fold of a set of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) mesh_name: String,
    pub(super) members: BTreeMap<NodeId, Member>,
    pub(super) revoked: BTreeMap<NodeId, Revocation>,
    /// Nodes whose Add was cut off with its signer.
    pub(super) orphans: BTreeMap<NodeId, Member>,
    /// With the epoch of each entry, in the order of the fold.
    pub(super) policies: Vec<(u64, TablePolicy)>,
    pub(super) scopes: Vec<(u64, Scope)>,
    /// The last changeset that is taken in of each incarnation that was closed.
    pub(super) closed: BTreeMap<Origin, Seq>,
    /// The highest timestamp that such changesets have.
    pub(super) closed_lamport: Lamport,
    /// The entries that have effect.
    pub(super) counted: BTreeSet<Digest>,
    /// Whether an action of a later version is among the entries: then members may exist whom we cannot know.
    has_unknown: bool,
}

impl Graph {
    /// Folds entries that come in order and contain their ancestors.
    pub(super) fn fold(&self, entries: Vec<&Kept>) -> State {
        let mut state = State::default();
        let revocations: Vec<&Kept> = entries.iter().copied().filter(|kept| kept.revokes().is_some()).collect();
        for kept in &revocations {
            state.note_revocation(kept);
        }
        let cut_off = self.cut_off(&entries, &revocations);
        for kept in entries {
            if kept.revokes().is_some() {
                state.counted.insert(kept.entry.hash());
            } else if cut_off.contains(&kept.entry.hash()) {
                state.note_orphan(kept);
            } else {
                state.take(kept);
            }
        }
        state
    }

    /// Entries of revoked nodes that one of their revocations had not seen.
    fn cut_off(&self, entries: &[&Kept], revocations: &[&Kept]) -> BTreeSet<Digest> {
        let mut cut_off = BTreeSet::new();
        for revocation in revocations {
            let seen = self.ancestors(&revocation.entry);
            let hashes = entries.iter().filter(|kept| Some(kept.entry.signer()) == revocation.revokes());
            cut_off.extend(hashes.map(|kept| kept.entry.hash()).filter(|hash| !seen.contains(hash)));
        }
        cut_off
    }
}

impl Kept {
    /// Whom it revokes, if it does and had the right to.
    fn revokes(&self) -> Option<NodeId> {
        match self.entry.action() {
            Action::Revoke { node, .. } if self.entitled => Some(*node),
            _ => None,
        }
    }
}

impl State {
    /// Whether a node may do this, as things stand in this state.
    pub(super) fn entitles(&self, signer: &NodeId, action: &Action) -> bool {
        let Some(role) = self.members.get(signer).map(|member| member.role) else { return false };
        match action {
            Action::Add(member) => match role {
                Role::Admin => true,
                Role::Peer => member.role != Role::Admin,
                _ => false,
            },
            Action::Address { .. } | Action::Rename { .. } => true,
            Action::Revoke { node, .. } => role == Role::Admin || node == signer,
            Action::Witness { .. } => matches!(role, Role::Admin | Role::Peer),
            Action::Close { origin, .. } => origin.node == *signer,
            Action::Policy(_) | Action::Scope(_) => role == Role::Admin,
            Action::Found { .. } | Action::Unknown { .. } => false,
        }
    }

    /// Whether entries of that signer may be kept at all.
    pub(super) fn has_met(&self, signer: &NodeId) -> bool {
        self.has_unknown
            || self.members.contains_key(signer)
            || self.orphans.contains_key(signer)
            || self.revoked.get(signer).is_some_and(|revocation| revocation.was.is_some())
    }

    /// How many were ever let in.
    pub(super) fn admitted(&self) -> usize {
        self.members.len() + self.revoked.values().filter(|revocation| revocation.was.is_some()).count()
    }

    fn note_revocation(&mut self, kept: &Kept) {
        let (entry, Action::Revoke { node, cut }) = (&kept.entry, kept.entry.action()) else { return };
        let first =
            || Revocation { was: None, cut: VersionVector::new(), since_epoch: entry.epoch(), by: entry.signer() };
        self.revoked.entry(*node).or_insert_with(first).cut.join(cut);
    }

    fn note_orphan(&mut self, kept: &Kept) {
        self.has_unknown |= matches!(kept.entry.action(), Action::Unknown { .. });
        if let (true, Action::Add(new)) = (kept.entitled, kept.entry.action()) {
            self.orphans.entry(new.public_key.node_id()).or_insert_with(|| member_of(new, &kept.entry));
        }
    }

    /// Takes in an entry that comes after all those folded so far and revokes nobody.
    pub(super) fn take(&mut self, kept: &Kept) {
        let entry = &kept.entry;
        let signer = entry.signer();
        let founds = matches!(entry.action(), Action::Found { .. });
        self.has_unknown |= matches!(entry.action(), Action::Unknown { .. });
        if !kept.entitled {
            return;
        }
        // A signer whose own admission was cut off admits nobody.
        let was_admitted = self.members.contains_key(&signer)
            || self.revoked.get(&signer).is_some_and(|revocation| revocation.was.is_some());
        if !founds && !was_admitted {
            return self.note_orphan(kept);
        }
        self.counted.insert(entry.hash());
        match entry.action() {
            Action::Found { mesh_name, node_name, addresses } => {
                self.mesh_name.clone_from(mesh_name);
                let founder = member_with(entry.signer_key(), node_name, Role::Admin, addresses, entry);
                self.admit(founder);
            }
            Action::Add(new) => self.add(new, kept),
            Action::Address { addresses } => {
                if let Some(member) = self.member_or_former(&signer) {
                    member.addresses.clone_from(addresses);
                }
            }
            Action::Rename { name } => {
                if let Some(member) = self.member_or_former(&signer) {
                    member.name.clone_from(name);
                }
            }
            Action::Witness { node, held, lamport } => {
                if let Some(revocation) = self.revoked.get_mut(node) {
                    revocation.cut.join(held);
                }
                for dot in held.dots().filter(|dot| dot.origin.node == *node) {
                    if let Some(last) = self.closed.get_mut(&dot.origin) {
                        *last = dot.seq.max(*last);
                        self.closed_lamport = self.closed_lamport.max(*lamport);
                    }
                }
            }
            Action::Close { origin, last, lamport } => {
                let known = self.closed.entry(*origin).or_default();
                *known = (*last).max(*known);
                self.closed_lamport = self.closed_lamport.max(*lamport);
            }
            Action::Policy(policy) => self.policies.push((entry.epoch(), policy.clone())),
            Action::Scope(scope) => self.scopes.push((entry.epoch(), scope.clone())),
            Action::Revoke { .. } | Action::Unknown { .. } => {}
        }
    }

    fn add(&mut self, new: &NewMember, kept: &Kept) {
        let node = new.public_key.node_id();
        match self.member_or_former(&node) {
            // Two who invite one node at once do not fight: the first stands, and only an admin changes a role. A node that
            // may write stays one that may, until it is removed with a cut: else some would take what others refuse.
            Some(member) if kept.by_admin => {
                member.name.clone_from(&new.name);
                if new.role.may_write() || !member.role.may_write() {
                    member.role = new.role;
                }
                member.addresses.clone_from(&new.addresses);
            }
            Some(_) => {}
            None => self.admit(member_of(new, &kept.entry)),
        }
    }

    fn admit(&mut self, member: Member) {
        if self.admitted() >= limits::MEMBERS_MAX {
            return;
        }
        let node = member.public_key.node_id();
        match self.revoked.get_mut(&node) {
            Some(revocation) => revocation.was = Some(member),
            None => drop(self.members.insert(node, member)),
        }
    }

    fn member_or_former(&mut self, node: &NodeId) -> Option<&mut Member> {
        match self.revoked.get_mut(node) {
            Some(revocation) => revocation.was.as_mut(),
            None => self.members.get_mut(node),
        }
    }
}

/// What an action is to people.
pub(super) fn describe(action: &Action) -> &'static str {
    match action {
        Action::Found { .. } => "found a mesh here",
        Action::Add(_) => "let this node in",
        Action::Address { .. } => "say where it can be reached",
        Action::Rename { .. } => "rename itself",
        Action::Revoke { .. } => "remove this node",
        Action::Policy(_) => "set policies",
        Action::Scope(_) => "set the scope",
        Action::Witness { .. } => "bear witness of what another node has sealed",
        Action::Close { .. } => "close an incarnation of another node",
        Action::Unknown { .. } => "do what this version does not know",
    }
}

fn member_of(new: &NewMember, entry: &Entry) -> Member {
    member_with(new.public_key, &new.name, new.role, &new.addresses, entry)
}

fn member_with(public_key: PublicKey, name: &str, role: Role, addresses: &[String], entry: &Entry) -> Member {
    Member {
        name: name.to_owned(),
        public_key,
        role,
        addresses: addresses.to_vec(),
        since_epoch: entry.epoch(),
        added_by: entry.signer(),
    }
}
