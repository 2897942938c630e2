//! Signed acknowledgements: what each member says that its row states reflect, and what follows for pruning.
//! They are forwarded like changesets. Pruning itself is the store's.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::changeset::{decode_vector, encode_vector};
use crate::clock::{VersionVector, WallTime};
use crate::encode::{Malformed, Reader, Writer};
use crate::ident::{Digest, Incarnation, MeshId, NodeId, Origin};
use crate::limits;
use crate::roster::Roster;
use crate::sign::{self, BadSignature, SignatureBytes, Signer};

/// Separates an acknowledgement's signature from all others.
const PURPOSE: &str = "rowmesh acknowledgement 1";
/// First byte of an encoded acknowledgement.
const VERSION: u8 = 1;

/// What a member says it has taken in. Sign a new one only when the vector or the epoch has moved, or an idle mesh would write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The mesh.
    pub mesh: MeshId,
    /// Whose it is: node and the life of its database.
    pub origin: Origin,
    /// The node's own count of its acknowledgements in this life, rising.
    pub counter: u64,
    /// What its row states reflect; for a sponsor, the lower of that and its joiner's.
    pub vector: VersionVector,
    /// Epoch of the roster it knows.
    pub epoch: u64,
    /// Its clock.
    pub at: WallTime,
}

/// An acknowledgement whose signature is its member's. Its bytes are forwarded as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedAck {
    ack: Ack,
    bytes: Arc<[u8]>,
}

/// Which of a node's acknowledgements: later lives are newer, then higher counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct AckMark {
    /// The life of the node's database.
    pub incarnation: Incarnation,
    /// The count in that life.
    pub counter: u64,
}

/// The newest acknowledgement of each node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AckStore(BTreeMap<NodeId, SignedAck>);

/// Why an acknowledgement is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AckError {
    /// Not the bytes of one.
    #[error("acknowledgement is malformed")]
    Malformed(#[from] Malformed),
    /// Not signed by the node that it names.
    #[error("acknowledgement is forged")]
    Forged(#[from] BadSignature),
    /// Of another mesh.
    #[error("acknowledgement belongs to mesh {0}")]
    OtherMesh(MeshId),
    /// Its node is no member.
    #[error("acknowledgement is of {0:?}, which is not a member")]
    NotAMember(NodeId),
}

impl SignedAck {
    /// Signs what this node has taken in.
    pub fn sign(ack: Ack, signer: &dyn Signer) -> SignedAck {
        let mut out = Writer::default();
        out.byte(VERSION);
        out.raw(&ack.mesh.0);
        out.origin(&ack.origin);
        out.number(ack.counter);
        out.number(ack.epoch);
        out.number(ack.at.0);
        encode_vector(&mut out, &ack.vector);
        let signature = sign::sign(signer, PURPOSE, &Digest::of(&out.0).0);
        out.raw(&signature);
        SignedAck { ack, bytes: out.0.into() }
    }

    /// Reads an acknowledgement of a member and checks it.
    ///
    /// # Errors
    /// If it is malformed, forged, of another mesh, or not of a present member.
    pub fn verify(bytes: &[u8], roster: &Roster) -> Result<SignedAck, AckError> {
        let (ack, signed, signature) = decode(bytes)?;
        if ack.mesh != roster.mesh() {
            return Err(AckError::OtherMesh(ack.mesh));
        }
        let member = roster.member(&ack.origin.node).ok_or(AckError::NotAMember(ack.origin.node))?;
        sign::verify(&member.public_key, PURPOSE, &Digest::of(signed).0, &signature)?;
        Ok(SignedAck { ack, bytes: bytes.into() })
    }

    /// Reads an acknowledgement from this node's own store, which holds verified ones only.
    ///
    /// # Errors
    /// If the bytes are not those of one.
    pub fn trust_own_store(bytes: &[u8]) -> Result<SignedAck, AckError> {
        let (ack, ..) = decode(bytes)?;
        Ok(SignedAck { ack, bytes: bytes.into() })
    }

    /// What it says.
    pub fn ack(&self) -> &Ack {
        &self.ack
    }

    /// Whose it is.
    pub fn node(&self) -> NodeId {
        self.ack.origin.node
    }

    /// Which of its node's acknowledgements it is.
    pub fn mark(&self) -> AckMark {
        AckMark { incarnation: self.ack.origin.incarnation, counter: self.ack.counter }
    }

    /// Its exact bytes.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

impl AckStore {
    /// Knows none.
    pub fn new() -> AckStore {
        AckStore::default()
    }

    /// Keeps an acknowledgement if it is newer than the one known of its node. A replayed one changes nothing.
    pub fn keep(&mut self, ack: SignedAck) -> bool {
        let is_newer = self.0.get(&ack.node()).is_none_or(|known| known.mark() < ack.mark());
        if is_newer {
            self.0.insert(ack.node(), ack);
        }
        is_newer
    }

    /// The newest of a node.
    pub fn get(&self, node: &NodeId) -> Option<&SignedAck> {
        self.0.get(node)
    }

    /// The newest of each node, by id.
    pub fn iter(&self) -> impl Iterator<Item = &SignedAck> {
        self.0.values()
    }

    /// Which one is known of each node: what a peer needs to know to send newer ones.
    pub fn marks(&self) -> BTreeMap<NodeId, AckMark> {
        self.0.iter().map(|(node, ack)| (*node, ack.mark())).collect()
    }

    /// Those newer than what a peer knows, of members only, as many as one message carries.
    pub fn newer_than(&self, known: &BTreeMap<NodeId, AckMark>, roster: &Roster) -> Vec<&SignedAck> {
        let newer = |ack: &&SignedAck| known.get(&ack.node()).is_none_or(|mark| *mark < ack.mark());
        let mut room = limits::ACKS_MESSAGE_BYTES_TARGET;
        let fits = |ack: &&SignedAck| {
            let had_room = room > 0;
            room = room.saturating_sub(ack.bytes.len());
            had_room
        };
        self.iter().filter(|ack| roster.is_member(&ack.node())).filter(newer).take_while(fits).collect()
    }

    /// Drops acknowledgements of nodes that are no members any more.
    pub fn forget_strangers(&mut self, roster: &Roster) {
        self.0.retain(|node, _| roster.is_member(node));
    }

    /// What every member has taken in: what may be pruned. A member without an acknowledgement has taken in nothing.
    ///
    /// Empty, too, while a member has sealed something before its acknowledgement that is not `here` yet: it could be
    /// concurrent with what everybody acknowledges, and would then meet a tombstone that is gone.
    pub fn stable(&self, roster: &Roster, here: &VersionVector) -> VersionVector {
        let mut stable: Option<VersionVector> = None;
        for (node, _) in roster.members() {
            let Some(ack) = self.0.get(node).map(|signed| &signed.ack) else { return VersionVector::new() };
            let own = ack.vector.dots().filter(|dot| dot.origin.node == *node);
            if own.into_iter().any(|dot| !here.covers(&dot)) {
                return VersionVector::new();
            }
            stable = Some(stable.map_or_else(|| ack.vector.clone(), |known| known.meet(&ack.vector)));
        }
        // What is not here cannot be pruned here.
        stable.unwrap_or_default().meet(here)
    }

    /// Whether every member but `except` has acknowledged under a roster of at least that epoch: until then a sponsor
    /// acknowledges the lower of itself and its joiner, since somebody may not know that the joiner counts.
    pub fn everyone_knows(&self, roster: &Roster, epoch: u64, except: &NodeId) -> bool {
        let mut others = roster.members().filter(|(node, _)| *node != except);
        others.all(|(node, _)| self.0.get(node).is_some_and(|signed| signed.ack.epoch >= epoch))
    }
}

fn decode(bytes: &[u8]) -> Result<(Ack, &[u8], SignatureBytes), Malformed> {
    if bytes.len() > limits::ACK_BYTES_MAX {
        let (got, limit) = (bytes.len() as u64, limits::ACK_BYTES_MAX as u64);
        return Err(Malformed::TooLarge { what: "acknowledgement", got, limit });
    }
    let signed_length = bytes.len().checked_sub(64).ok_or(Malformed::Short("acknowledgement"))?;
    let (signed, signature) = bytes.split_at(signed_length);
    let signature = signature.try_into().map_err(|_| Malformed::Short("acknowledgement"))?;
    let mut input = Reader::new(signed);
    if input.byte("acknowledgement version")? != VERSION {
        return Err(Malformed::Invalid("acknowledgement version"));
    }
    let ack = Ack {
        mesh: MeshId(input.array("acknowledgement mesh")?),
        origin: input.origin("acknowledgement node")?,
        counter: input.bounded("acknowledgement counter", limits::NUMBER_MAX)?,
        epoch: input.bounded("acknowledgement epoch", limits::NUMBER_MAX)?,
        at: WallTime(input.bounded("acknowledgement time", limits::NUMBER_MAX)?),
        vector: decode_vector(&mut input)?,
    };
    input.end("acknowledgement")?;
    Ok((ack, signed, signature))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::{Dot, Seq};
    use crate::roster::{NewMember, Role};
    use crate::sign::SecretKey;

    const NOW: WallTime = WallTime(5);

    fn key(n: u8) -> SecretKey {
        SecretKey::from_seed([n; 32])
    }

    fn origin(n: u8) -> Origin {
        Origin { node: key(n).node_id(), incarnation: Incarnation { count: 1, nonce: 3 } }
    }

    fn vector(parts: &[(u8, u64)]) -> VersionVector {
        parts.iter().map(|(n, seq)| Dot { origin: origin(*n), seq: Seq(*seq) }).collect()
    }

    fn mesh_of(count: u8) -> Roster {
        let mut roster = Roster::found(&key(1), "m", "n", vec![], NOW).unwrap();
        for n in 2..=count {
            let member = NewMember {
                public_key: key(n).public_key(),
                name: format!("node {n}"),
                role: Role::Peer,
                addresses: vec![],
                invited_by: None,
            };
            let entry = roster.add(&key(1), NOW, member).unwrap();
            roster.insert(entry.bytes()).unwrap();
        }
        roster
    }

    fn ack(roster: &Roster, n: u8, counter: u64, parts: &[(u8, u64)]) -> SignedAck {
        let ack = Ack {
            mesh: roster.mesh(),
            origin: origin(n),
            counter,
            vector: vector(parts),
            epoch: roster.epoch(),
            at: NOW,
        };
        SignedAck::sign(ack, &key(n))
    }

    #[test]
    fn an_acknowledgement_comes_back_as_it_was_signed() {
        let roster = mesh_of(2);
        let signed = ack(&roster, 2, 7, &[(1, 3), (2, 9)]);
        assert_eq!(SignedAck::verify(signed.bytes(), &roster), Ok(signed.clone()));
        assert_eq!(SignedAck::trust_own_store(signed.bytes()), Ok(signed));
    }

    #[test]
    fn j4_every_flipped_bit_and_j3_every_truncation_of_an_acknowledgement_is_refused() {
        let roster = mesh_of(2);
        let bytes = ack(&roster, 2, 7, &[(1, 3)]).bytes().to_vec();
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[position] ^= 1 << bit;
                assert!(SignedAck::verify(&altered, &roster).is_err());
            }
            assert!(SignedAck::verify(&bytes[..position], &roster).is_err());
        }
    }

    #[test]
    fn s41_an_acknowledgement_for_another_node_is_refused() {
        let roster = mesh_of(3);
        let forged = SignedAck::sign(ack(&roster, 2, 7, &[(1, 3)]).ack, &key(3));
        assert!(matches!(SignedAck::verify(forged.bytes(), &roster), Err(AckError::Forged(_))));
        let stranger = ack(&roster, 9, 1, &[]);
        assert!(matches!(SignedAck::verify(stranger.bytes(), &roster), Err(AckError::NotAMember(_))));
        let elsewhere = ack(&Roster::found(&key(2), "x", "y", vec![], NOW).unwrap(), 2, 1, &[]);
        assert!(matches!(SignedAck::verify(elsewhere.bytes(), &roster), Err(AckError::OtherMesh(_))));
    }

    #[test]
    fn s40_numbers_at_the_limit_pass_and_above_it_are_refused() {
        let roster = mesh_of(1);
        let with = |counter| SignedAck::verify(ack(&roster, 1, counter, &[]).bytes(), &roster);
        assert!(with(limits::NUMBER_MAX).is_ok());
        assert!(matches!(with(limits::NUMBER_MAX + 1), Err(AckError::Malformed(Malformed::TooLarge { .. }))));
    }

    #[test]
    fn k8_a_replayed_acknowledgement_never_lowers_what_is_known() {
        let roster = mesh_of(1);
        let mut acks = AckStore::new();
        assert!(acks.keep(ack(&roster, 1, 2, &[(1, 5)])));
        assert!(!acks.keep(ack(&roster, 1, 1, &[(1, 4)])));
        assert!(!acks.keep(ack(&roster, 1, 2, &[(1, 5)])));
        assert_eq!(acks.get(&key(1).node_id()).unwrap().ack.vector, vector(&[(1, 5)]));
    }

    #[test]
    fn only_what_every_member_has_acknowledged_is_stable() {
        let roster = mesh_of(3);
        let here = vector(&[(1, 9), (2, 9), (3, 9)]);
        let mut acks = AckStore::new();
        acks.keep(ack(&roster, 1, 1, &[(1, 5), (2, 4)]));
        acks.keep(ack(&roster, 2, 1, &[(1, 3), (2, 6), (3, 1)]));
        assert!(acks.stable(&roster, &here).is_empty(), "the third has said nothing");
        acks.keep(ack(&roster, 3, 1, &[(1, 4), (2, 6), (3, 2)]));
        assert_eq!(acks.stable(&roster, &here), vector(&[(1, 3), (2, 4)]));
    }

    #[test]
    fn nothing_is_stable_while_a_member_has_sealed_what_is_not_here() {
        let roster = mesh_of(2);
        let mut acks = AckStore::new();
        acks.keep(ack(&roster, 1, 1, &[(1, 5), (2, 4)]));
        acks.keep(ack(&roster, 2, 1, &[(1, 5), (2, 8)]));
        assert!(acks.stable(&roster, &vector(&[(1, 5), (2, 7)])).is_empty());
        assert_eq!(acks.stable(&roster, &vector(&[(1, 5), (2, 8)])), vector(&[(1, 5), (2, 4)]));
    }

    #[test]
    fn q21_a_tombstone_that_the_joiner_lacks_is_not_stable_anywhere() {
        // 1 and 2 are members; 2 sponsors 3. Node 1 does not know of 3 yet, so 2 acknowledges for both.
        let before = mesh_of(2);
        let after = mesh_of(3);
        let tombstone = Dot { origin: origin(1), seq: Seq(6) };
        let (sponsor, joiner) = (vector(&[(1, 6)]), vector(&[(1, 4)]));
        let mut acks = AckStore::new();
        acks.keep(ack(&before, 1, 1, &[(1, 6)]));
        acks.keep(SignedAck::sign(Ack { vector: sponsor.meet(&joiner), ..ack(&after, 2, 1, &[]).ack }, &key(2)));
        assert!(!acks.stable(&before, &sponsor).covers(&tombstone), "node 1 keeps the tombstone");
        assert!(!acks.everyone_knows(&after, after.epoch(), &key(3).node_id()));
        acks.keep(ack(&after, 1, 2, &[(1, 6)]));
        assert!(acks.everyone_knows(&after, after.epoch(), &key(3).node_id()), "now 2 may speak for itself");
        assert!(!acks.stable(&after, &sponsor).covers(&tombstone), "and node 1 counts the joiner");
    }

    #[test]
    fn a_peer_is_sent_only_what_is_newer_than_it_knows() {
        let roster = mesh_of(3);
        let mut acks = AckStore::new();
        acks.keep(ack(&roster, 1, 2, &[]));
        acks.keep(ack(&roster, 2, 2, &[]));
        let mut theirs = AckStore::new();
        theirs.keep(ack(&roster, 1, 1, &[]));
        theirs.keep(ack(&roster, 2, 2, &[]));
        let newer = acks.newer_than(&theirs.marks(), &roster);
        assert_eq!(newer.iter().map(|ack| ack.node()).collect::<Vec<_>>(), [key(1).node_id()]);
        assert!(theirs.newer_than(&acks.marks(), &roster).is_empty());
    }
}
