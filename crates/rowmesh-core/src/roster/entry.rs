//! One signed entry of the roster: its exact bytes, what it says, who signed it. Whether it counts is `roster`'s business.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::changeset::{decode_vector, encode_vector};
use crate::clock::{Lamport, VersionVector, WallTime};
use crate::encode::{Malformed, Reader, Writer};
use crate::ident::{Digest, MeshId, NodeId, Origin, Seq};
use crate::limits;
use crate::sign::{self, BadSignature, PublicKey, SignatureBytes, Signer};

/// Separates a roster entry's signature from all others.
const PURPOSE: &str = "rowmesh roster entry 1";
/// First byte of an encoded entry.
const VERSION: u8 = 1;

/// A roster entry whose signature is good. Its bytes are kept as they came and forwarded as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    hash: Digest,
    mesh: MeshId,
    parents: Vec<Digest>,
    epoch: u64,
    signer: PublicKey,
    signed_at: WallTime,
    action: Action,
    bytes: Arc<[u8]>,
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes the mesh; the signer is its first member and admin. Only the entry without parents does this.
    Found {
        /// What people call the mesh.
        mesh_name: String,
        /// What people call the founder.
        node_name: String,
        /// Where the founder can be reached.
        addresses: Vec<String>,
    },
    /// Lets a node in, or gives a member another name, role and addresses.
    Add(NewMember),
    /// Says where the signer can be reached from now on.
    Address {
        /// All its addresses.
        addresses: Vec<String>,
    },
    /// Says what the signer is called from now on.
    Rename {
        /// The new name.
        name: String,
    },
    /// Shuts a key out for ever.
    Revoke {
        /// Whose.
        node: NodeId,
        /// The last changesets of that node which are still taken in.
        cut: VersionVector,
    },
    /// Sets a table's policies, all at once.
    Policy(TablePolicy),
    /// Sets what travels, all at once.
    Scope(Scope),
    /// Raises the cut of a revoked node to what the signer had taken in before it learned of the revocation.
    Witness {
        /// The revoked node.
        node: NodeId,
        /// Its changesets that the signer holds.
        held: VersionVector,
        /// The highest timestamp of those that belong to closed incarnations.
        lamport: Lamport,
    },
    /// Closes an incarnation of the signer's: what it sealed under it up to `last` is taken in although its time lies ahead, up to `lamport`; what
    /// comes later never is. It goes on under another one.
    Close {
        /// Which.
        origin: Origin,
        /// The last changeset that any member has acknowledged; 0 if none.
        last: Seq,
        /// The highest timestamp up to there.
        lamport: Lamport,
    },
    /// An action of a later version: kept, forwarded, without effect here. Number 8 is reserved for changing one's key.
    Unknown {
        /// Its number.
        kind: u64,
    },
}

/// Who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMember {
    /// The node's key, whose hash is its name.
    pub public_key: PublicKey,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where it can be reached; may be empty.
    pub addresses: Vec<String>,
    /// Who made the invite, if not the signer.
    pub invited_by: Option<NodeId>,
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything, revoking and setting policy and scope included.
    Admin,
    /// Reads and writes all that travels, and lets further nodes in.
    Peer,
    /// Reads and writes what it was granted.
    Restricted,
    /// Only reads.
    Observer,
    /// A role of a later version: a member without rights here.
    Other(u64),
}

/// How a table's conflicts are settled. Policies are open words, so that an older node carries a newer one's.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TablePolicy {
    /// The table.
    pub table: String,
    /// `update_wins`, `delete_wins`, `last_writer` …; the default where absent.
    pub existence: Option<String>,
    /// Column → `last_writer`, `max`, `min`, `counter`, `set_union` …
    pub columns: BTreeMap<String, String>,
    /// Column of a foreign key → `restore_parent`, `cascade`, `set_null` …
    pub references: BTreeMap<String, String>,
    /// Numbered fields of later versions, ascending, from 16.
    pub extras: Vec<(u64, Vec<u8>)>,
}

/// What does not travel.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Scope {
    /// Names or patterns of tables that stay where they are.
    pub exclude: Vec<String>,
    /// Rows that stay where they are.
    pub filters: Vec<RowFilter>,
    /// The tables that people had before them when they agreed to the filters: one that came later and may hold rows which a filter
    /// means waits until they have named it. `None`: all have been seen.
    pub known: Option<Vec<String>>,
    /// Numbered fields of later versions, ascending, from 16.
    pub extras: Vec<(u64, Vec<u8>)>,
}

/// Rows held back: those of a root table under a condition, with all that depends on them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RowFilter {
    /// What people call it.
    pub name: String,
    /// The table that the condition is about.
    pub root: String,
    /// The condition, as the configuration words it.
    pub condition: String,
    /// Nullable foreign keys that count as ownership, as `table.column`.
    pub follow: Vec<String>,
    /// When a row that belongs to several others is held back: `any` or `all` of them are. `None`: any.
    pub several_owners: Option<String>,
    /// Numbered fields of later versions, ascending, from 16.
    pub extras: Vec<(u64, Vec<u8>)>,
}

/// Why bytes are no roster entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryError {
    /// Not the bytes of an entry.
    #[error("roster entry is malformed")]
    Malformed(#[from] Malformed),
    /// Not signed by the key that it names.
    #[error("roster entry is forged")]
    Forged(#[from] BadSignature),
}

impl Entry {
    /// Makes the entry that founds a mesh.
    ///
    /// # Errors
    /// If a name or an address breaks a limit.
    pub fn found(action: Action, signer: &dyn Signer, now: WallTime) -> Result<Entry, EntryError> {
        Entry::sign(MeshId::default(), Vec::new(), 1, action, signer, now)
    }

    /// Signs an entry on top of `parents`, which are sorted.
    ///
    /// # Errors
    /// If the action breaks a limit.
    pub(super) fn sign(
        mesh: MeshId,
        parents: Vec<Digest>,
        epoch: u64,
        action: Action,
        signer: &dyn Signer,
        signed_at: WallTime,
    ) -> Result<Entry, EntryError> {
        let mut out = Writer::default();
        out.byte(VERSION);
        out.raw(&mesh.0);
        out.number(parents.len() as u64);
        parents.iter().for_each(|parent| out.raw(&parent.0));
        out.number(epoch);
        out.raw(&signer.public_key().0);
        out.number(signed_at.0);
        out.number(action.kind());
        out.bytes(&action.encode());
        let hash = Digest::of(&out.0);
        out.raw(&sign::sign(signer, PURPOSE, &hash.0));
        // Reading back what was written holds our own entries to the limits that others will hold them to.
        Entry::decode(&out.0)
    }

    /// Reads an entry and checks its signature.
    ///
    /// # Errors
    /// If the bytes break a limit or the format, or the signature does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Entry, EntryError> {
        let (limit, got) = (limits::ROSTER_ENTRY_BYTES_MAX, bytes.len());
        if got > limit {
            return Err(Malformed::TooLarge { what: "roster entry", got: got as u64, limit: limit as u64 }.into());
        }
        let signed = got.checked_sub(64).ok_or(Malformed::Short("roster entry"))?;
        let (body, signature) = bytes.split_at(signed);
        let signature: SignatureBytes = signature.try_into().map_err(|_| Malformed::Short("roster signature"))?;
        let hash = Digest::of(body);
        let mut input = Reader::new(body);
        if input.byte("roster version")? != VERSION {
            return Err(Malformed::Invalid("roster version").into());
        }
        let mesh = MeshId(input.array("roster mesh")?);
        let parents = decode_parents(&mut input)?;
        let epoch = input.bounded("roster epoch", limits::NUMBER_MAX)?;
        let signer = PublicKey(input.array("roster signer")?);
        let signed_at = WallTime(input.bounded("roster time", limits::NUMBER_MAX)?);
        let kind = input.number("roster action")?;
        let action = Action::decode(kind, input.bytes("roster action", limits::ROSTER_ENTRY_BYTES_MAX)?)?;
        input.end("roster entry")?;
        let founds = matches!(action, Action::Found { .. });
        if founds != parents.is_empty() || founds != (mesh == MeshId::default()) || founds != (epoch == 1) {
            return Err(Malformed::Invalid("roster genesis").into());
        }
        sign::verify(&signer, PURPOSE, &hash.0, &signature)?;
        Ok(Entry { hash, mesh, parents, epoch, signer, signed_at, action, bytes: bytes.into() })
    }

    /// Its name: the hash of its bytes without the signature.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// The mesh it belongs to; for the entry that founds one, the mesh it founds.
    pub fn mesh(&self) -> MeshId {
        if self.parents.is_empty() { MeshId(self.hash.0) } else { self.mesh }
    }

    /// The heads that its signer knew, sorted.
    pub fn parents(&self) -> &[Digest] {
        &self.parents
    }

    /// One more than the highest epoch of its parents.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Who signed it.
    pub fn signer(&self) -> NodeId {
        self.signer.node_id()
    }

    /// The key that signed it.
    pub fn signer_key(&self) -> PublicKey {
        self.signer
    }

    /// The signer's clock.
    pub fn signed_at(&self) -> WallTime {
        self.signed_at
    }

    /// What it does.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// Its exact bytes.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

impl Role {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Peer => "peer",
            Role::Restricted => "restricted",
            Role::Observer => "observer",
            Role::Other(_) => "unknown",
        }
    }

    /// Reads what [`Role::as_str`] writes.
    pub fn parse(text: &str) -> Option<Role> {
        [Role::Admin, Role::Peer, Role::Restricted, Role::Observer].into_iter().find(|role| role.as_str() == text)
    }

    /// The number it travels as.
    pub fn number(self) -> u64 {
        match self {
            Role::Admin => 1,
            Role::Peer => 2,
            Role::Restricted => 3,
            Role::Observer => 4,
            Role::Other(number) => number,
        }
    }

    /// The role of a number.
    pub fn of_number(number: u64) -> Role {
        match number {
            1 => Role::Admin,
            2 => Role::Peer,
            3 => Role::Restricted,
            4 => Role::Observer,
            other => Role::Other(other),
        }
    }

    /// Whether changesets of such a member are taken in.
    pub fn may_write(self) -> bool {
        matches!(self, Role::Admin | Role::Peer | Role::Restricted)
    }
}

impl Action {
    /// The number it travels as.
    pub fn kind(&self) -> u64 {
        match self {
            Action::Found { .. } => 1,
            Action::Add(_) => 2,
            Action::Address { .. } => 3,
            Action::Rename { .. } => 4,
            Action::Revoke { .. } => 5,
            Action::Policy(_) => 6,
            Action::Scope(_) => 7,
            Action::Witness { .. } => 9,
            Action::Close { .. } => 10,
            Action::Unknown { kind } => *kind,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut fields = FieldWriter::default();
        match self {
            Action::Found { mesh_name, node_name, addresses } => {
                fields.text(1, mesh_name);
                fields.text(2, node_name);
                fields.texts(3, addresses);
            }
            Action::Add(member) => {
                fields.put(1, |out| out.raw(&member.public_key.0));
                fields.text(2, &member.name);
                fields.put(3, |out| out.number(member.role.number()));
                fields.texts(4, &member.addresses);
                if let Some(inviter) = &member.invited_by {
                    fields.put(5, |out| out.raw(&inviter.0));
                }
            }
            Action::Address { addresses } => fields.texts(1, addresses),
            Action::Rename { name } => fields.text(1, name),
            Action::Revoke { node, cut: vector } | Action::Witness { node, held: vector, .. } => {
                fields.put(1, |out| out.raw(&node.0));
                fields.put(2, |out| encode_vector(out, vector));
                if let Action::Witness { lamport, .. } = self
                    && *lamport > Lamport(0)
                {
                    fields.put(3, |out| out.number(lamport.0));
                }
            }
            Action::Close { origin, last, lamport } => {
                fields.put(1, |out| out.origin(origin));
                fields.put(2, |out| out.number(last.0));
                fields.put(3, |out| out.number(lamport.0));
            }
            Action::Policy(policy) => policy.encode(&mut fields),
            Action::Scope(scope) => scope.encode(&mut fields),
            Action::Unknown { .. } => {}
        }
        fields.finish()
    }

    pub(super) fn decode(kind: u64, bytes: &[u8]) -> Result<Action, Malformed> {
        if !matches!(kind, 1..=7 | 9 | 10) {
            return Ok(Action::Unknown { kind });
        }
        let fields = FieldReader::new(bytes)?;
        Ok(match kind {
            1 => Action::Found {
                mesh_name: fields.need(1, "mesh name", person_name)?,
                node_name: fields.need(2, "node name", person_name)?,
                addresses: fields.need(3, "addresses", addresses)?,
            },
            2 => Action::Add(NewMember {
                public_key: fields.need(1, "member key", |input| input.array("member key").map(PublicKey))?,
                name: fields.need(2, "member name", person_name)?,
                role: fields.need(3, "role", |input| input.number("role").map(Role::of_number))?,
                addresses: fields.need(4, "addresses", addresses)?,
                invited_by: fields.find(5, "inviter", |input| input.array("inviter").map(NodeId))?,
            }),
            3 => Action::Address { addresses: fields.need(1, "addresses", addresses)? },
            4 => Action::Rename { name: fields.need(1, "member name", person_name)? },
            5 => {
                let (node, cut) = node_and_vector(&fields)?;
                Action::Revoke { node, cut }
            }
            6 => Action::Policy(TablePolicy::decode(&fields)?),
            7 => Action::Scope(Scope::decode(&fields)?),
            10 => Action::Close {
                origin: fields.need(1, "closed incarnation", |input| input.origin("closed incarnation"))?,
                last: fields.need(2, "last changeset", |input| input.seq("last changeset"))?,
                lamport: fields.need(3, "highest timestamp", highest_timestamp)?,
            },
            _ => {
                let (node, held) = node_and_vector(&fields)?;
                let lamport = fields.find(3, "highest timestamp", highest_timestamp)?.unwrap_or_default();
                Action::Witness { node, held, lamport }
            }
        })
    }
}

impl TablePolicy {
    fn encode(&self, fields: &mut FieldWriter) {
        fields.text(1, &self.table);
        if let Some(existence) = &self.existence {
            fields.text(2, existence);
        }
        fields.put(3, |out| write_column_policies(out, &self.columns));
        if !self.references.is_empty() {
            fields.put(4, |out| write_column_policies(out, &self.references));
        }
        fields.extras(&self.extras);
    }

    fn decode(fields: &FieldReader<'_>) -> Result<TablePolicy, Malformed> {
        Ok(TablePolicy {
            table: fields.need(1, "policy table", |input| rule(input, "policy table"))?,
            existence: fields.find(2, "existence policy", |input| rule(input, "existence policy"))?,
            columns: fields.need(3, "column policies", column_policies)?,
            references: fields.find(4, "reference policies", column_policies)?.unwrap_or_default(),
            extras: fields.extras(),
        })
    }
}

impl Scope {
    fn encode(&self, fields: &mut FieldWriter) {
        fields.texts(1, &self.exclude);
        fields.put(2, |out| {
            out.number(self.filters.len() as u64);
            self.filters.iter().for_each(|filter| out.bytes(&filter.encode()));
        });
        if let Some(known) = &self.known {
            fields.texts(3, known);
        }
        fields.extras(&self.extras);
    }

    fn decode(fields: &FieldReader<'_>) -> Result<Scope, Malformed> {
        Ok(Scope {
            exclude: fields.need(1, "excluded tables", |input| rules(input, "excluded tables"))?,
            filters: fields.need(2, "filters", |input| {
                let count = input.count("filters", limits::TABLES_PER_CHANGESET_MAX)?;
                (0..count).map(|_| RowFilter::decode(input.bytes("filter", limits::ROSTER_ENTRY_BYTES_MAX)?)).collect()
            })?,
            known: fields.find(3, "known tables", |input| rules(input, "known tables"))?,
            extras: fields.extras(),
        })
    }
}

impl RowFilter {
    fn encode(&self) -> Vec<u8> {
        let mut fields = FieldWriter::default();
        fields.text(1, &self.name);
        fields.text(2, &self.root);
        fields.text(3, &self.condition);
        fields.texts(4, &self.follow);
        if let Some(several) = &self.several_owners {
            fields.text(5, several);
        }
        fields.extras(&self.extras);
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Result<RowFilter, Malformed> {
        let fields = FieldReader::new(bytes)?;
        Ok(RowFilter {
            name: fields.need(1, "filter name", person_name)?,
            root: fields.need(2, "filter root", |input| rule(input, "filter root"))?,
            condition: fields.need(3, "filter condition", |input| rule(input, "filter condition"))?,
            follow: fields.need(4, "filter follow list", |input| rules(input, "filter follow list"))?,
            several_owners: fields
                .find(5, "rule for several owners", |input| rule(input, "rule for several owners"))?,
            extras: fields.extras(),
        })
    }
}

/// The first field number that this version does not know.
const EXTRAS_FROM: u64 = 16;

/// Numbered fields, ascending, each with its length, so that a reader can keep what it does not know.
#[derive(Default)]
struct FieldWriter {
    fields: Vec<(u64, Vec<u8>)>,
}

impl FieldWriter {
    fn put(&mut self, number: u64, write: impl FnOnce(&mut Writer)) {
        let mut out = Writer::default();
        write(&mut out);
        self.fields.push((number, out.0));
    }

    fn text(&mut self, number: u64, text: &str) {
        self.put(number, |out| out.bytes(text.as_bytes()));
    }

    fn texts(&mut self, number: u64, texts: &[String]) {
        self.put(number, |out| {
            out.number(texts.len() as u64);
            texts.iter().for_each(|text| out.bytes(text.as_bytes()));
        });
    }

    fn extras(&mut self, extras: &[(u64, Vec<u8>)]) {
        self.fields.extend_from_slice(extras);
    }

    fn finish(self) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(self.fields.len() as u64);
        for (number, bytes) in &self.fields {
            out.number(*number);
            out.bytes(bytes);
        }
        out.0
    }
}

struct FieldReader<'a> {
    fields: BTreeMap<u64, &'a [u8]>,
}

impl<'a> FieldReader<'a> {
    fn new(bytes: &'a [u8]) -> Result<FieldReader<'a>, Malformed> {
        let mut input = Reader::new(bytes);
        let count = input.count("roster fields", bytes.len())?;
        let mut fields = BTreeMap::new();
        for _ in 0..count {
            let number = input.number("roster field")?;
            if fields.last_key_value().is_some_and(|(last, _)| *last >= number) {
                return Err(Malformed::Invalid("roster field"));
            }
            fields.insert(number, input.bytes("roster field", limits::ROSTER_ENTRY_BYTES_MAX)?);
        }
        input.end("roster action")?;
        Ok(FieldReader { fields })
    }

    fn find<T>(
        &self,
        number: u64,
        what: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        let Some(bytes) = self.fields.get(&number) else { return Ok(None) };
        let mut input = Reader::new(bytes);
        let value = read(&mut input)?;
        input.end(what)?;
        Ok(Some(value))
    }

    fn need<T>(
        &self,
        number: u64,
        what: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        self.find(number, what, read)?.ok_or(Malformed::Short(what))
    }

    fn extras(&self) -> Vec<(u64, Vec<u8>)> {
        self.fields.range(EXTRAS_FROM..).map(|(number, bytes)| (*number, bytes.to_vec())).collect()
    }
}

fn decode_parents(input: &mut Reader<'_>) -> Result<Vec<Digest>, Malformed> {
    let count = input.count("roster parents", limits::ROSTER_PARENTS_MAX)?;
    let mut parents: Vec<Digest> = Vec::with_capacity(count);
    for _ in 0..count {
        let parent = input.digest("roster parent")?;
        if parents.last().is_some_and(|last| *last >= parent) {
            return Err(Malformed::Invalid("roster parents"));
        }
        parents.push(parent);
    }
    Ok(parents)
}

fn highest_timestamp(input: &mut Reader<'_>) -> Result<Lamport, Malformed> {
    input.bounded("highest timestamp", limits::NUMBER_MAX).map(Lamport)
}

fn node_and_vector(fields: &FieldReader<'_>) -> Result<(NodeId, VersionVector), Malformed> {
    let node = fields.need(1, "revoked node", |input| input.array("revoked node").map(NodeId))?;
    let vector = fields.need(2, "cut", decode_vector)?;
    if vector.dots().any(|dot| dot.origin.node != node) {
        return Err(Malformed::Invalid("cut"));
    }
    Ok((node, vector))
}

/// What people call something: shown in terminals and pages, so nothing that steers a terminal is let through.
fn person_name(input: &mut Reader<'_>) -> Result<String, Malformed> {
    let name = text(input, "name", limits::NODE_NAME_BYTES_MAX)?;
    if is_person_name(&name) { Ok(name) } else { Err(Malformed::Invalid("name")) }
}

/// Whether a node, a mesh or a filter may be called so.
pub fn is_person_name(name: &str) -> bool {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    !name.trim().is_empty() && name.len() <= limits::NODE_NAME_BYTES_MAX && !name.contains(steers)
}

/// Whether a text can be an address: `host:port` in visible ASCII, without a path or a scheme.
pub fn is_address(address: &str) -> bool {
    let port = address.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
    let visible = address.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'@' | b'?' | b'#'));
    visible && address.len() <= limits::ADDRESS_BYTES_MAX && port.is_some_and(|port| port.parse::<u16>().is_ok())
}

fn addresses(input: &mut Reader<'_>) -> Result<Vec<String>, Malformed> {
    let count = input.count("addresses", limits::ADDRESSES_MAX)?;
    (0..count)
        .map(|_| {
            let address = text(input, "address", limits::ADDRESS_BYTES_MAX)?;
            if is_address(&address) { Ok(address) } else { Err(Malformed::Invalid("address")) }
        })
        .collect()
}

fn write_column_policies(out: &mut Writer, policies: &BTreeMap<String, String>) {
    out.number(policies.len() as u64);
    for (column, policy) in policies {
        out.bytes(column.as_bytes());
        out.bytes(policy.as_bytes());
    }
}

fn column_policies(input: &mut Reader<'_>) -> Result<BTreeMap<String, String>, Malformed> {
    let count = input.count("column policies", limits::COLUMNS_MAX)?;
    let mut policies = BTreeMap::new();
    for _ in 0..count {
        let column = rule(input, "policy column")?;
        if policies.last_key_value().is_some_and(|(last, _)| *last >= column) {
            return Err(Malformed::Invalid("policy column"));
        }
        policies.insert(column, rule(input, "column policy")?);
    }
    Ok(policies)
}

fn rules(input: &mut Reader<'_>, what: &'static str) -> Result<Vec<String>, Malformed> {
    let count = input.count(what, limits::TABLES_PER_CHANGESET_MAX)?;
    (0..count).map(|_| rule(input, what)).collect()
}

fn rule(input: &mut Reader<'_>, what: &'static str) -> Result<String, Malformed> {
    text(input, what, limits::RULE_BYTES_MAX)
}

fn text(input: &mut Reader<'_>, what: &'static str, limit: usize) -> Result<String, Malformed> {
    let bytes = input.bytes(what, limit)?;
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Invalid(what))?;
    if text.is_empty() { Err(Malformed::Invalid(what)) } else { Ok(text.to_owned()) }
}
