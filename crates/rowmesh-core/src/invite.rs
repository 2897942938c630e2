//! One-time invites: the line that a person copies, the proof that a joiner gives, and what the inviter remembers.
//! The secret never travels and is never kept where it was made. Random bytes and the clock come from the caller.

use std::fmt;

use thiserror::Error;

use crate::clock::WallTime;
use crate::encode::{Malformed, Reader, Writer};
use crate::ident::{MeshId, NodeId};
use crate::limits;
use crate::roster::{Role, is_address};

/// What every invite of this version begins with.
const PREFIX: &str = "rm1.";
/// The letters of URL-safe base64 (RFC 4648, section 5), without padding.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Bytes of length and of its own check in front: the first four letters tell how long the line has to be.
const LENGTH_BYTES: usize = 3;
/// Bytes of checksum behind.
const CHECK_BYTES: usize = 4;

/// An invite as its holder has it. No `Debug`: it holds a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    /// The mesh it lets into.
    pub mesh: MeshId,
    /// Who made it: the node that answers must have this key, or nothing is said to it.
    pub inviter: NodeId,
    /// Where the inviter can be reached.
    pub addresses: Vec<String>,
    /// Sixteen random bytes.
    pub secret: InviteSecret,
    /// When it stops working, by the inviter's clock.
    pub expires: WallTime,
    /// What the joiner may do.
    pub role: Role,
}

/// The secret of an invite. Neither shown nor compared in the open.
#[derive(Clone, Copy)]
pub struct InviteSecret([u8; 16]);

/// Names an invite without giving its secret away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InviteId(pub [u8; 16]);

/// Shows that somebody knows the secret, on this connection and as this node only.
#[derive(Clone, Copy)]
pub struct InviteProof(pub [u8; 32]);

/// Why a line is no invite.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InviteError {
    /// Something else altogether.
    #[error("this is not an invite: an invite begins with rm1.")]
    NotAnInvite,
    /// An invite of another version of Rowmesh.
    #[error("this invite was made by another version of rowmesh: it begins with {0}")]
    OtherVersion(String),
    /// The end is missing.
    #[error("this invite is damaged: {} missing at the end, copy the whole line", characters(.0))]
    Truncated(Option<usize>),
    /// Something was added.
    #[error("this invite is damaged: {} too many at the end, copy the line alone", characters(&Some(*.0)))]
    TooLong(usize),
    /// A character that no invite has.
    #[error("this invite is damaged: {found:?} at position {position} belongs to no invite, copy the line again")]
    Character {
        /// What stands there.
        found: char,
        /// Counted from 1.
        position: usize,
    },
    /// Right in length, wrong in content.
    #[error("this invite is damaged: a character was changed, copy the line again")]
    Altered,
    /// Undamaged and yet not understood.
    #[error("this invite cannot be read")]
    Malformed(#[from] Malformed),
}

/// What the inviter remembers of an invite: enough to check a proof, not enough to make the line again.
/// Kept in node-local state that only the node's user can read, never in a replicated table.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteRecord {
    /// Its name.
    pub id: InviteId,
    /// What proofs are checked with: derived from the secret.
    key: [u8; 32],
    /// The mesh it lets into.
    pub mesh: MeshId,
    /// What the joiner may do.
    pub role: Role,
    /// When it stops working.
    pub expires: WallTime,
    /// How many more nodes it lets in.
    pub uses_left: u32,
    /// Whom it let in, and when.
    pub used: Vec<(NodeId, WallTime)>,
    /// Wrong proofs so far.
    pub failures: u32,
    /// When it was taken back, if it was.
    pub revoked: Option<WallTime>,
}

/// What a joiner brings.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The mesh it wants to join.
    pub mesh: MeshId,
    /// Which invite it holds.
    pub id: InviteId,
    /// That it knows the secret.
    pub proof: InviteProof,
    /// Who it is, by the key it showed on the connection.
    pub joiner: NodeId,
    /// This node.
    pub inviter: NodeId,
    /// Keying material that both ends of the connection, and nobody between them, can export.
    pub exporter: &'a [u8],
}

/// What an invite is worth to a joiner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// It lets this node in.
    Ok {
        /// What it may do.
        role: Role,
        /// Whether it had let this very node in before: the answer got lost, or the inviter crashed.
        again: bool,
    },
    /// Too late.
    Expired(WallTime),
    /// Somebody was faster.
    Used {
        /// Who used it last.
        by: NodeId,
        /// When.
        at: WallTime,
    },
    /// Taken back.
    Revoked(WallTime),
    /// No such invite, or not its secret: the two are not told apart.
    Unknown,
    /// Made for another mesh.
    WrongMesh,
    /// Locked after [`limits::INVITE_FAILURES_MAX`] wrong proofs.
    TooManyFailures,
}

impl Invite {
    /// The line that a person copies.
    pub fn to_line(&self) -> String {
        let mut body = Writer::default();
        body.raw(&self.mesh.0);
        body.raw(&self.inviter.0);
        body.raw(&self.secret.0);
        body.number(self.expires.0);
        body.number(self.role.number());
        body.number(self.addresses.len() as u64);
        self.addresses.iter().for_each(|address| body.bytes(address.as_bytes()));

        let length = LENGTH_BYTES + body.0.len() + CHECK_BYTES;
        let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        let mut whole = vec![high, low, length_check([high, low])];
        whole.extend_from_slice(&body.0);
        let check = checksum(&whole);
        whole.extend_from_slice(&check);
        format!("{PREFIX}{}", to_base64(&whole))
    }

    /// Reads a line; line breaks and spaces that a mail or a terminal put into it do not matter.
    ///
    /// # Errors
    /// With what is wrong with it, as precisely as can be told.
    pub fn parse(line: &str) -> Result<Invite, InviteError> {
        let letters: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        let coded = without_prefix(&letters)?;
        let bytes = checked_bytes(coded)?;
        let body = bytes.get(LENGTH_BYTES..bytes.len().saturating_sub(CHECK_BYTES)).unwrap_or_default();
        let mut input = Reader::new(body);
        let invite = Invite {
            mesh: MeshId(input.array("invite mesh")?),
            inviter: NodeId(input.array("inviter")?),
            secret: InviteSecret(input.array("invite secret")?),
            expires: WallTime(input.bounded("invite expiry", limits::NUMBER_MAX)?),
            role: Role::of_number(input.number("invite role")?),
            addresses: decode_addresses(&mut input)?,
        };
        input.end("invite")?;
        Ok(invite)
    }

    /// What the inviter keeps of it.
    pub fn record(&self, uses: u32) -> InviteRecord {
        InviteRecord {
            id: self.secret.id(),
            key: self.secret.proof_key(),
            mesh: self.mesh,
            role: self.role,
            expires: self.expires,
            uses_left: uses.clamp(1, limits::INVITE_USES_MAX),
            used: Vec::new(),
            failures: 0,
            revoked: None,
        }
    }

    /// The proof for one connection.
    pub fn proof(&self, exporter: &[u8], joiner: &NodeId) -> InviteProof {
        proof(&self.secret.proof_key(), &self.mesh, exporter, joiner, &self.inviter)
    }
}

impl InviteSecret {
    /// Sixteen random bytes from the caller.
    pub fn new(random: [u8; 16]) -> InviteSecret {
        InviteSecret(random)
    }

    /// The name that belongs to it.
    pub fn id(&self) -> InviteId {
        let whole = blake3::derive_key("rowmesh invite id 1", &self.0);
        let mut id = [0; 16];
        id.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        InviteId(id)
    }

    fn proof_key(&self) -> [u8; 32] {
        blake3::derive_key("rowmesh invite proof 1", &self.0)
    }
}

impl InviteRecord {
    /// Whether it could still let somebody in.
    pub fn is_open(&self, now: WallTime) -> bool {
        self.revoked.is_none()
            && self.uses_left > 0
            && now < self.expires
            && self.failures < limits::INVITE_FAILURES_MAX
    }

    /// Judges an attempt and notes it. Store the record, in one step with the new member's entry where it is `Ok`,
    /// before anything is answered.
    ///
    /// Why an invite does not work is told only to who knows its secret.
    pub fn redeem(&mut self, now: WallTime, attempt: &Attempt<'_>) -> Redeemed {
        if self.failures >= limits::INVITE_FAILURES_MAX {
            return Redeemed::TooManyFailures;
        }
        let expected = proof(&self.key, &attempt.mesh, attempt.exporter, &attempt.joiner, &attempt.inviter);
        if attempt.id != self.id || expected != attempt.proof {
            self.failures += 1;
            return Redeemed::Unknown;
        }
        if attempt.mesh != self.mesh {
            return Redeemed::WrongMesh;
        }
        if self.used.iter().any(|(node, _)| *node == attempt.joiner) {
            return Redeemed::Ok { role: self.role, again: true };
        }
        if let Some(at) = self.revoked {
            return Redeemed::Revoked(at);
        }
        if let (0, Some((by, at))) = (self.uses_left, self.used.last()) {
            return Redeemed::Used { by: *by, at: *at };
        }
        if now >= self.expires {
            return Redeemed::Expired(self.expires);
        }
        self.uses_left = self.uses_left.saturating_sub(1);
        self.used.push((attempt.joiner, now));
        Redeemed::Ok { role: self.role, again: false }
    }

    /// Its bytes for node-local state.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.byte(1);
        out.raw(&self.id.0);
        out.raw(&self.key);
        out.raw(&self.mesh.0);
        out.number(self.role.number());
        out.number(self.expires.0);
        out.number(u64::from(self.uses_left));
        out.number(u64::from(self.failures));
        // Zero stands for "not": nobody takes an invite back in 1970.
        out.number(self.revoked.map_or(0, |at| at.0));
        out.number(self.used.len() as u64);
        for (node, at) in &self.used {
            out.raw(&node.0);
            out.number(at.0);
        }
        out.0
    }

    /// Reads what [`InviteRecord::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<InviteRecord, Malformed> {
        let mut input = Reader::new(bytes);
        if input.byte("invite record version")? != 1 {
            return Err(Malformed::Invalid("invite record version"));
        }
        let id = InviteId(input.array("invite id")?);
        let key = input.array("invite key")?;
        let mesh = MeshId(input.array("invite mesh")?);
        let role = Role::of_number(input.number("invite role")?);
        let expires = WallTime(input.bounded("invite expiry", limits::NUMBER_MAX)?);
        let uses_left = input.bounded("invite uses", u64::from(limits::INVITE_USES_MAX))? as u32;
        let failures = input.bounded("invite failures", u64::from(u32::MAX))? as u32;
        let revoked = match input.bounded("invite end", limits::NUMBER_MAX)? {
            0 => None,
            at => Some(WallTime(at)),
        };
        let count = input.count("invite uses", limits::INVITE_USES_MAX as usize)?;
        let used = (0..count)
            .map(|_| Ok((NodeId(input.array("invite user")?), WallTime(input.number("invite use")?))))
            .collect::<Result<_, Malformed>>()?;
        input.end("invite record")?;
        Ok(InviteRecord { id, key, mesh, role, expires, uses_left, used, failures, revoked })
    }
}

/// Judges an attempt against all invites of a node.
pub fn redeem(records: &mut [InviteRecord], now: WallTime, attempt: &Attempt<'_>) -> Redeemed {
    match records.iter_mut().find(|record| record.id == attempt.id) {
        Some(record) => record.redeem(now, attempt),
        None => Redeemed::Unknown,
    }
}

impl PartialEq for InviteProof {
    /// Without telling by time where two proofs differ.
    fn eq(&self, other: &InviteProof) -> bool {
        blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(other.0)
    }
}

impl Eq for InviteProof {}

/// Says nothing: whoever sees a proof in a log could try it.
impl fmt::Debug for InviteProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteProof")
    }
}

impl PartialEq for InviteSecret {
    fn eq(&self, other: &InviteSecret) -> bool {
        self.proof_key() == other.proof_key()
    }
}

impl Eq for InviteSecret {}

impl fmt::Debug for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::ident::hex(&self.0))
    }
}

impl fmt::Display for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

fn proof(key: &[u8; 32], mesh: &MeshId, exporter: &[u8], joiner: &NodeId, inviter: &NodeId) -> InviteProof {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(b"rowmesh-join");
    hasher.update(&mesh.0);
    hasher.update(&joiner.0);
    hasher.update(&inviter.0);
    hasher.update(exporter);
    InviteProof(*hasher.finalize().as_bytes())
}

fn without_prefix(letters: &str) -> Result<&str, InviteError> {
    if let Some(coded) = letters.strip_prefix(PREFIX) {
        return Ok(coded);
    }
    let version = letters.split_once('.').map(|(version, _)| version);
    match version.and_then(|version| version.strip_prefix("rm")) {
        Some(digits) if !digits.is_empty() && digits.len() <= 4 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Err(InviteError::OtherVersion(format!("rm{digits}.")))
        }
        _ if PREFIX.starts_with(letters) && !letters.is_empty() => Err(InviteError::Truncated(None)),
        _ => Err(InviteError::NotAnInvite),
    }
}

fn checked_bytes(coded: &str) -> Result<Vec<u8>, InviteError> {
    for (index, found) in coded.chars().enumerate() {
        if !found.is_ascii() || !LETTERS.contains(&(found as u8)) {
            return Err(InviteError::Character { found, position: PREFIX.len() + index + 1 });
        }
    }
    // Four letters are the three bytes that say how many there must be.
    let Some((first, rest)) = coded.split_at_checked(4) else { return Err(InviteError::Truncated(None)) };
    let announced = match from_base64(first).as_deref() {
        Some([high, low, check]) if length_check([*high, *low]) == *check => {
            usize::from(u16::from_be_bytes([*high, *low]))
        }
        _ => return Err(InviteError::Altered),
    };
    let (wanted, got) = (letters_for(announced), 4 + rest.len());
    if got < wanted {
        return Err(InviteError::Truncated(Some(wanted - got)));
    }
    if got > wanted {
        return Err(InviteError::TooLong(got - wanted));
    }
    let bytes = from_base64(coded).ok_or(InviteError::Altered)?;
    let (body, check) = bytes
        .len()
        .checked_sub(CHECK_BYTES)
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or(InviteError::Truncated(None))?;
    if checksum(body) == *check { Ok(bytes) } else { Err(InviteError::Altered) }
}

fn decode_addresses(input: &mut Reader<'_>) -> Result<Vec<String>, Malformed> {
    let count = input.count("invite addresses", limits::ADDRESSES_MAX)?;
    (0..count)
        .map(|_| {
            let bytes = input.bytes("invite address", limits::ADDRESS_BYTES_MAX)?;
            let address = std::str::from_utf8(bytes).map_err(|_| Malformed::Invalid("invite address"))?;
            if is_address(address) { Ok(address.to_owned()) } else { Err(Malformed::Invalid("invite address")) }
        })
        .collect()
}

fn characters(count: &Option<usize>) -> String {
    match count {
        Some(1) => "1 character is".to_owned(),
        Some(count) => format!("{count} characters are"),
        None => "most of it is".to_owned(),
    }
}

fn length_check(length: [u8; 2]) -> u8 {
    blake3::hash(&length).as_bytes()[0]
}

fn checksum(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.iter_mut().zip(blake3::hash(bytes).as_bytes()).for_each(|(to, from)| *to = *from);
    check
}

fn letters_for(bytes: usize) -> usize {
    (bytes * 8).div_ceil(6)
}

fn to_base64(bytes: &[u8]) -> String {
    let mut letters = String::with_capacity(letters_for(bytes.len()));
    let (mut pending, mut bits) = (0u32, 0u32);
    for byte in bytes {
        pending = (pending << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 6 {
            bits -= 6;
            letters.push(char::from(LETTERS[((pending >> bits) & 63) as usize]));
        }
    }
    if bits > 0 {
        letters.push(char::from(LETTERS[((pending << (6 - bits)) & 63) as usize]));
    }
    letters
}

/// `None` if a letter is none, or bits are left over that nobody writes.
fn from_base64(letters: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(letters.len() * 3 / 4);
    let (mut pending, mut bits) = (0u32, 0u32);
    for letter in letters.bytes() {
        pending = (pending << 6) | LETTERS.iter().position(|known| *known == letter)? as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(((pending >> bits) & 255) as u8);
        }
        pending &= (1 << bits) - 1;
    }
    (pending == 0 && bits < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: WallTime = WallTime(1_000);
    const EXPORTER: &[u8] = &[7; 32];

    fn node(n: u8) -> NodeId {
        NodeId::of_public_key(&[n; 32])
    }

    fn invite() -> Invite {
        Invite {
            mesh: MeshId([3; 32]),
            inviter: node(1),
            addresses: vec!["192.168.1.20:7696".into(), "[fe80::1]:7696".into()],
            secret: InviteSecret::new([9; 16]),
            expires: WallTime(NOW.0 + limits::INVITE_TTL_MS_DEFAULT),
            role: Role::Peer,
        }
    }

    fn attempt(invite: &Invite, joiner: u8) -> Attempt<'static> {
        Attempt {
            mesh: invite.mesh,
            id: invite.secret.id(),
            proof: invite.proof(EXPORTER, &node(joiner)),
            joiner: node(joiner),
            inviter: invite.inviter,
            exporter: EXPORTER,
        }
    }

    fn error(line: &str) -> InviteError {
        Invite::parse(line).err().expect("a damaged invite is refused")
    }

    #[test]
    fn an_invite_survives_being_copied_with_line_breaks() {
        let line = invite().to_line();
        assert!(line.len() < 210, "{} characters", line.len());
        assert!(Invite::parse(&line) == Ok(invite()));
        let folded = format!("  {}\r\n {}\n", &line[..50], &line[50..]);
        assert!(Invite::parse(&folded) == Ok(invite()));
    }

    #[test]
    fn s24_a_truncated_invite_says_how_many_characters_are_missing() {
        let line = invite().to_line();
        for length in 8..line.len() {
            assert_eq!(error(&line[..length]), InviteError::Truncated(Some(line.len() - length)));
        }
        for length in 1..8 {
            assert_eq!(error(&line[..length]), InviteError::Truncated(None));
        }
        let message = error(&line[..line.len() - 3]).to_string();
        assert_eq!(message, "this invite is damaged: 3 characters are missing at the end, copy the whole line");
        assert_eq!(error(&format!("{line}==")), InviteError::Character { found: '=', position: line.len() + 1 });
        assert_eq!(error(&format!("{line}AB")), InviteError::TooLong(2));
    }

    #[test]
    fn s25_every_changed_letter_of_an_invite_is_noticed() {
        let line = invite().to_line();
        for position in PREFIX.len()..line.len() {
            for letter in LETTERS {
                let mut altered = line.clone().into_bytes();
                if altered[position] == *letter {
                    continue;
                }
                altered[position] = *letter;
                let got = error(std::str::from_utf8(&altered).unwrap());
                let guessed = matches!(got, InviteError::Truncated(Some(_)) | InviteError::TooLong(_));
                assert!(got == InviteError::Altered || (position < 8 && guessed), "{position}: {got}");
            }
        }
    }

    #[test]
    fn other_lines_are_told_apart_from_damaged_invites() {
        assert_eq!(error("rm2.AAAA"), InviteError::OtherVersion("rm2.".into()));
        for other in ["", "hello", "https://example.com/", "rmx.AAAA", "RM1.AAAA"] {
            assert_eq!(error(other), InviteError::NotAnInvite, "{other:?}");
        }
        assert_eq!(error("rm1.AA*A"), InviteError::Character { found: '*', position: 7 });
        assert_eq!(error("rm1.AAä"), InviteError::Character { found: 'ä', position: 7 });
    }

    #[test]
    fn s21_s28_an_invite_lets_in_one_node_and_tells_the_second_who_was_faster() {
        let mut records = vec![invite().record(1)];
        let first = redeem(&mut records, NOW, &attempt(&invite(), 2));
        assert_eq!(first, Redeemed::Ok { role: Role::Peer, again: false });
        let second = redeem(&mut records, WallTime(NOW.0 + 1), &attempt(&invite(), 3));
        assert_eq!(second, Redeemed::Used { by: node(2), at: NOW });
    }

    #[test]
    fn s29_the_node_that_was_let_in_may_ask_again() {
        let mut record = invite().record(1);
        record.redeem(NOW, &attempt(&invite(), 2));
        let late = WallTime(invite().expires.0 + 1);
        assert_eq!(record.redeem(late, &attempt(&invite(), 2)), Redeemed::Ok { role: Role::Peer, again: true });
    }

    #[test]
    fn s22_an_invite_works_until_the_moment_it_expires() {
        let expires = invite().expires;
        let mut record = invite().record(2);
        let last = record.redeem(WallTime(expires.0 - 1), &attempt(&invite(), 2));
        assert_eq!(last, Redeemed::Ok { role: Role::Peer, again: false });
        assert_eq!(record.redeem(expires, &attempt(&invite(), 3)), Redeemed::Expired(expires));
    }

    #[test]
    fn s23_an_invite_that_was_taken_back_lets_nobody_in() {
        let mut record = invite().record(1);
        record.revoked = Some(NOW);
        assert_eq!(record.redeem(NOW, &attempt(&invite(), 2)), Redeemed::Revoked(NOW));
    }

    #[test]
    fn s26_an_invite_of_another_mesh_is_refused() {
        let other = Invite { mesh: MeshId([4; 32]), ..invite() };
        let mut records = vec![invite().record(1)];
        assert_eq!(redeem(&mut records, NOW, &attempt(&other, 2)), Redeemed::WrongMesh);
        let strange = Invite { secret: InviteSecret::new([1; 16]), ..invite() };
        assert_eq!(redeem(&mut records, NOW, &attempt(&strange, 2)), Redeemed::Unknown);
    }

    #[test]
    fn s27_a_proof_is_good_on_its_own_connection_and_for_its_own_node_only() {
        let good = attempt(&invite(), 2);
        for wrong in [
            Attempt { exporter: &[8; 32], ..good },
            Attempt { joiner: node(3), ..good },
            Attempt { inviter: node(4), ..good },
            Attempt { proof: InviteProof([0; 32]), ..good },
        ] {
            assert_eq!(invite().record(1).redeem(NOW, &wrong), Redeemed::Unknown);
        }
    }

    #[test]
    fn s30_five_wrong_proofs_lock_an_invite() {
        let mut record = invite().record(1);
        let wrong = Attempt { proof: InviteProof([0; 32]), ..attempt(&invite(), 2) };
        for _ in 0..limits::INVITE_FAILURES_MAX {
            assert_eq!(record.redeem(NOW, &wrong), Redeemed::Unknown);
        }
        assert_eq!(record.redeem(NOW, &attempt(&invite(), 2)), Redeemed::TooManyFailures);
        let mut almost = invite().record(1);
        for _ in 1..limits::INVITE_FAILURES_MAX {
            assert_eq!(almost.redeem(NOW, &wrong), Redeemed::Unknown);
        }
        assert_eq!(almost.redeem(NOW, &attempt(&invite(), 2)), Redeemed::Ok { role: Role::Peer, again: false });
    }

    #[test]
    fn s31_what_the_inviter_keeps_does_not_contain_the_secret() {
        let kept = invite().record(1).encode();
        assert!(!kept.windows(16).any(|window| window == [9; 16]));
    }

    #[test]
    fn a_record_comes_back_as_it_was_kept() {
        let mut record = invite().record(3);
        record.redeem(NOW, &attempt(&invite(), 2));
        record.revoked = Some(NOW);
        let bytes = record.encode();
        assert!(InviteRecord::decode(&bytes) == Ok(record));
        assert!((0..bytes.len()).all(|length| InviteRecord::decode(&bytes[..length]).is_err()));
    }

    proptest! {
        #[test]
        fn s72_no_text_makes_the_parser_panic(text: String, letters in "[A-Za-z0-9_-]{0,300}") {
            prop_assert!(Invite::parse(&text).is_err());
            prop_assert!(Invite::parse(&["rm1.", &text].concat()).is_err());
            prop_assert!(Invite::parse(&["rm1.", &letters].concat()).is_err());
        }

        #[test]
        fn base64_is_its_own_inverse(bytes: Vec<u8>) {
            prop_assert_eq!(from_base64(&to_base64(&bytes)), Some(bytes));
        }
    }
}
