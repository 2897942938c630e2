//! Names of nodes, origins and changesets. No keys are made and nothing is signed here.

use std::fmt;

/// BLAKE3-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

/// A node's name: the BLAKE3 hash of its Ed25519 public key, so nobody can claim another's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub [u8; 32]);

/// A mesh's name: the hash of the roster entry that founded it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MeshId(pub [u8; 32]);

/// One life of a node's database. A node that was restored, cloned or failed over takes the next one,
/// so that a number is never issued twice for different content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation {
    /// Counts the lives of this node, from 1.
    pub count: u32,
    /// Random, so that two copies of one database that both move on are told apart.
    pub nonce: u64,
}

/// Where a change was first committed; travels with it for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Origin {
    /// The node that sealed the change.
    pub node: NodeId,
    /// The life of that node's database.
    pub incarnation: Incarnation,
}

/// An origin's own count of its changesets: from 1, no gaps, no reuse. Zero means "none yet".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

/// The unique name of one changeset.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Dot {
    /// Who sealed it.
    pub origin: Origin,
    /// Which of the origin's changesets it is.
    pub seq: Seq,
}

impl NodeId {
    /// The name that belongs to an Ed25519 public key.
    pub fn of_public_key(public_key: &[u8; 32]) -> NodeId {
        NodeId(*blake3::hash(public_key).as_bytes())
    }

    /// Sixteen letters in two groups: enough to tell the nodes of one mesh apart by eye.
    pub fn short(&self) -> String {
        let letters = base32(&self.0[..10]);
        format!("{}-{}", &letters[..8], &letters[8..16])
    }

    /// Reads the full form that `Display` writes; spaces, dashes and case do not matter.
    /// `None` if a letter or a check digit is wrong.
    pub fn parse(text: &str) -> Option<NodeId> {
        let letters: Vec<u8> =
            text.bytes().filter(|b| !matches!(b, b'-' | b' ')).map(|b| b.to_ascii_uppercase()).collect();
        if letters.len() != 56 {
            return None;
        }
        let mut plain = Vec::with_capacity(52);
        for group in letters.chunks(14) {
            let (body, check) = group.split_at(13);
            if check_letter(body)? != check[0] {
                return None;
            }
            plain.extend_from_slice(body);
        }
        unbase32(&plain).map(NodeId)
    }
}

impl Seq {
    /// The number after this one.
    ///
    /// # Panics
    /// Past 2^62: by then an origin has sealed a million changesets a second for 146,000 years.
    #[must_use]
    pub fn next(self) -> Seq {
        assert!(self.0 < crate::limits::NUMBER_MAX, "sequence number {} leaves no room", self.0);
        Seq(self.0 + 1)
    }
}

impl Digest {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = base32(&self.0);
        let mut checked = String::with_capacity(56);
        for body in plain.as_bytes().chunks(13) {
            checked.push_str(std::str::from_utf8(body).expect("base32 is ASCII"));
            checked.push(char::from(check_letter(body).expect("own letters are valid")));
        }
        let groups: Vec<&str> = (0..8).map(|i| &checked[i * 7..(i + 1) * 7]).collect();
        f.write_str(&groups.join("-"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl fmt::Display for MeshId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0[..8]))
    }
}

impl fmt::Debug for MeshId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0[..8]))
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.count, self.nonce)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node.short(), self.incarnation.count)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.origin, self.seq)
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut letters = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut pending, mut bits) = (0u32, 0u32);
    for byte in bytes {
        pending = (pending << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            letters.push(char::from(ALPHABET[((pending >> bits) & 31) as usize]));
        }
    }
    if bits > 0 {
        letters.push(char::from(ALPHABET[((pending << (5 - bits)) & 31) as usize]));
    }
    letters
}

fn unbase32(letters: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = Vec::with_capacity(33);
    let (mut pending, mut bits) = (0u32, 0u32);
    for letter in letters {
        pending = (pending << 5) | letter_value(*letter)?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(((pending >> bits) & 255) as u8);
        }
    }
    bytes.try_into().ok()
}

fn letter_value(letter: u8) -> Option<u32> {
    ALPHABET.iter().position(|a| *a == letter).map(|position| position as u32)
}

/// Luhn modulo 32, as Syncthing's device ids use it: finds every single wrong letter and most swaps.
fn check_letter(body: &[u8]) -> Option<u8> {
    let (mut factor, mut sum) = (1, 0);
    for letter in body {
        let addend = factor * letter_value(*letter)?;
        sum += addend / 32 + addend % 32;
        factor = if factor == 2 { 1 } else { 2 };
    }
    Some(ALPHABET[((32 - sum % 32) % 32) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_id_survives_being_written_down_and_read_back() {
        let id = NodeId::of_public_key(&[7; 32]);
        let text = id.to_string();
        assert_eq!(text.len(), 63);
        assert_eq!(NodeId::parse(&text), Some(id));
        assert_eq!(NodeId::parse(&text.to_lowercase().replace('-', " ")), Some(id));
    }

    #[test]
    fn a_mistyped_letter_of_a_node_id_is_noticed() {
        let text = NodeId::of_public_key(&[9; 32]).to_string();
        for position in text.char_indices().filter(|(_, c)| *c != '-').map(|(i, _)| i) {
            let mut wrong = text.clone().into_bytes();
            wrong[position] = if wrong[position] == b'A' { b'B' } else { b'A' };
            assert_eq!(NodeId::parse(&String::from_utf8(wrong).unwrap()), None);
        }
    }
}
