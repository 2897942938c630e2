//! What one seal round produced: events with a signed, chained header. Verified is a type of its own, so that nothing unsigned
//! can be applied by mistake. Ordering, storing and sending changesets are not here.

use std::collections::BTreeSet;
use std::sync::Arc;

use thiserror::Error;

use crate::clock::{Lamport, VersionVector, WallTime};
use crate::encode::{Malformed, Reader, Writer};
use crate::event::{Context, Event, EventId, TableShape};
use crate::ident::{Digest, Dot, MeshId, Origin, Seq};
use crate::limits;
use crate::sign::{self, BadSignature, PublicKey, SignatureBytes, Signer};
use crate::value::Key;

/// Separates a changeset's signature from all others.
const PURPOSE: &str = "rowmesh changeset 1";
/// First byte of an encoded changeset.
const VERSION: u8 = 1;

/// What the origin signs. The events are in it by their hashes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The mesh it belongs to.
    pub mesh: MeshId,
    /// Its name.
    pub dot: Dot,
    /// Hash of the origin's previous changeset; zeros for the first.
    pub previous: Digest,
    /// Epoch of the roster it was sealed under.
    pub epoch: u64,
    /// Hash of the roster it was sealed under.
    pub roster: Digest,
    /// What the origin knew.
    pub context: Context,
    /// Part `part` (from 1) of `parts` of one round too large for one changeset.
    pub part: u32,
    /// How many parts the round has.
    pub parts: u32,
    /// The origin's clock when it sealed.
    pub sealed_at: WallTime,
    /// Highest timestamp of its events.
    pub lamport_max: Lamport,
}

/// A changeset as it came: decoded, its bytes kept, nothing proven.
#[derive(Clone, Debug)]
pub struct Claimed {
    header: Header,
    hash: Digest,
    signature: SignatureBytes,
    body: Body,
}

/// A changeset whose signature is its origin's and whose events are those that were signed.
#[derive(Clone, Debug)]
pub struct Changeset {
    header: Header,
    hash: Digest,
    body: Body,
}

#[derive(Clone, Debug)]
struct Body {
    bytes: Arc<[u8]>,
    shapes: Vec<TableShape>,
    events: Vec<Event>,
    checksums: Vec<Digest>,
}

/// What a changeset calls itself, read from its header and from nothing behind it; nothing if it has none.
pub fn dot_of(bytes: &[u8]) -> Option<Dot> {
    let mut input = Reader::new(bytes);
    (input.byte("changeset version").ok()? == VERSION).then_some(())?;
    let header = input.bytes("header", limits::CHANGESET_BYTES_MAX).ok()?;
    decode_header(header).ok().map(|parts| parts.header.dot)
}

/// Why a changeset from elsewhere is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// Not the bytes of a changeset.
    #[error("changeset is malformed")]
    Malformed(#[from] Malformed),
    /// The events are not those that the header was signed over.
    #[error("changeset {0} does not hold the events that were signed")]
    Altered(Dot),
    /// Not signed by its origin.
    #[error("changeset is forged")]
    Forged(#[from] BadSignature),
    /// From another mesh.
    #[error("changeset belongs to mesh {0}")]
    OtherMesh(MeshId),
}

impl Claimed {
    /// Takes a changeset from bytes and checks that its events are those named in its header.
    ///
    /// # Errors
    /// If the bytes break a limit or the format, or were altered after signing.
    pub fn decode(bytes: &[u8]) -> Result<Claimed, Refused> {
        let mut input = Reader::new(bytes);
        if bytes.len() > limits::CHANGESET_BYTES_MAX {
            let (got, limit) = (bytes.len() as u64, limits::CHANGESET_BYTES_MAX as u64);
            return Err(Malformed::TooLarge { what: "changeset", got, limit }.into());
        }
        if input.byte("changeset version")? != VERSION {
            return Err(Malformed::Invalid("changeset version").into());
        }
        let header_bytes = input.bytes("header", limits::CHANGESET_BYTES_MAX)?;
        let signature = input.array("signature")?;
        let SignedParts { header, elders, shapes_hash, events_root, event_count } = decode_header(header_bytes)?;
        let shapes_bytes = input.bytes("tables", limits::CHANGESET_BYTES_MAX)?;
        let shapes = decode_shapes(shapes_bytes)?;
        let origins = origins_of(&header.context.vector, header.dot.origin, &elders);
        let (events, checksums) = decode_events(&mut input, &shapes, &origins, event_count)?;
        input.end("changeset")?;
        let dot = header.dot;
        if Digest::of(shapes_bytes) != shapes_hash || root_of(&checksums) != events_root {
            return Err(Refused::Altered(dot));
        }
        let hash = Digest::of(header_bytes);
        Ok(Claimed { header, hash, signature, body: Body { bytes: bytes.into(), shapes, events, checksums } })
    }

    /// What it says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Hash of its header, by which it is told from every other changeset.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// Turns the claim into a fact.
    ///
    /// # Errors
    /// If it is of another mesh or `key` did not sign it.
    pub fn verify(self, mesh: &MeshId, key: &PublicKey) -> Result<Changeset, Refused> {
        if self.header.mesh != *mesh {
            return Err(Refused::OtherMesh(self.header.mesh));
        }
        let signer = key.node_id();
        if signer != self.header.dot.origin.node {
            return Err(BadSignature { what: PURPOSE, signer: self.header.dot.origin.node }.into());
        }
        sign::verify(key, PURPOSE, &self.hash.0, &self.signature)?;
        Ok(Changeset { header: self.header, hash: self.hash, body: self.body })
    }

    /// Takes a changeset from this node's own log, which holds verified ones only.
    pub fn trust_own_log(self) -> Changeset {
        Changeset { header: self.header, hash: self.hash, body: self.body }
    }
}

impl Changeset {
    /// Seals events into a changeset: encodes, hashes, signs.
    pub fn seal(header: Header, shapes: Vec<TableShape>, events: Vec<Event>, signer: &dyn Signer) -> Changeset {
        let elders = elders_of(&events, &header);
        let origins = origins_of(&header.context.vector, header.dot.origin, &elders);
        let mut checksums = Vec::with_capacity(events.len());
        let mut event_section = Writer::default();
        let mut one = Writer::default();
        for event in &events {
            one.0.clear();
            event.encode(&mut one, &origins);
            checksums.push(Digest::of(&one.0));
            event_section.bytes(&one.0);
        }
        let mut shape_section = Writer::default();
        shape_section.number(shapes.len() as u64);
        shapes.iter().for_each(|shape| shape.encode(&mut shape_section));

        let parts = SignedParts {
            header,
            elders,
            shapes_hash: Digest::of(&shape_section.0),
            events_root: root_of(&checksums),
            event_count: events.len(),
        };
        let header_bytes = encode_header(&parts);
        let hash = Digest::of(&header_bytes);
        let signature = sign::sign(signer, PURPOSE, &hash.0);

        let mut out = Writer::default();
        out.byte(VERSION);
        out.bytes(&header_bytes);
        out.raw(&signature);
        out.bytes(&shape_section.0);
        out.raw(&event_section.0);
        Changeset { header: parts.header, hash, body: Body { bytes: out.0.into(), shapes, events, checksums } }
    }

    /// What its origin signed.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its name.
    pub fn dot(&self) -> Dot {
        self.header.dot
    }

    /// Hash of the signed header: what the origin's next changeset names as its previous one.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// Its exact bytes, forwarded as they are.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.body.bytes
    }

    /// The tables that its events name.
    pub fn shapes(&self) -> &[TableShape] {
        &self.body.shapes
    }

    /// Its events.
    pub fn events(&self) -> &[Event] {
        &self.body.events
    }

    /// The events' checksums, in their order.
    pub fn checksums(&self) -> &[Digest] {
        &self.body.checksums
    }

    /// The table that an event is about.
    pub fn shape(&self, event: &Event) -> &TableShape {
        &self.body.shapes[usize::from(event.table)]
    }

    /// The name of an event.
    pub fn event_id(&self, event: &Event) -> EventId {
        let shape = self.shape(event);
        EventId { dot: self.header.dot, table: shape.name.clone(), key: event.key(shape) }
    }
}

/// What an encoded changeset says of itself, without a look at its events and without any check.
///
/// # Errors
/// If the bytes do not begin as a changeset does.
pub fn header_of(bytes: &[u8]) -> Result<Header, Malformed> {
    let mut input = Reader::new(bytes);
    if input.byte("changeset version")? != VERSION {
        return Err(Malformed::Invalid("changeset version"));
    }
    decode_header(input.bytes("header", limits::CHANGESET_BYTES_MAX)?).map(|parts| parts.header)
}

/// The salt of an event: nobody without the origin's secret can guess it, and the origin need not remember it.
pub fn event_salt(secret: &[u8; 32], dot: Dot, position: usize) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(&dot.origin.incarnation.nonce.to_be_bytes());
    hasher.update(&dot.seq.0.to_be_bytes());
    hasher.update(&(position as u64).to_be_bytes());
    let mut salt = [0; 16];
    hasher.finalize_xof().fill(&mut salt);
    salt
}

struct SignedParts {
    header: Header,
    /// Origins of births that the events name and the context does not: incarnations that are closed and that all have seen whole, so that
    /// no version vector has to name them any more. Sorted.
    elders: Vec<Origin>,
    shapes_hash: Digest,
    events_root: Digest,
    event_count: usize,
}

/// The list that births in events point into: every origin of the context, the changeset's own and the elders, sorted.
fn origins_of(vector: &VersionVector, own: Origin, elders: &[Origin]) -> Vec<Origin> {
    let mut origins: Vec<Origin> = vector.dots().map(|dot| dot.origin).chain(elders.iter().copied()).collect();
    origins.push(own);
    origins.sort_unstable();
    origins.dedup();
    origins
}

fn elders_of(events: &[Event], header: &Header) -> Vec<Origin> {
    let is_known = |origin: &Origin| is_in_context(header, origin);
    let births = events.iter().map(|event| event.birth_dot(header.dot).origin);
    let elders: BTreeSet<Origin> = births.filter(|origin| !is_known(origin)).collect();
    elders.into_iter().collect()
}

fn is_in_context(header: &Header, origin: &Origin) -> bool {
    *origin == header.dot.origin || header.context.vector.get(origin) != Seq(0)
}

fn root_of(checksums: &[Digest]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for checksum in checksums {
        hasher.update(&checksum.0);
    }
    Digest(*hasher.finalize().as_bytes())
}

fn encode_header(parts: &SignedParts) -> Vec<u8> {
    let header = &parts.header;
    let mut out = Writer::default();
    out.raw(&header.mesh.0);
    out.origin(&header.dot.origin);
    out.number(header.dot.seq.0);
    out.raw(&header.previous.0);
    out.number(header.epoch);
    out.raw(&header.roster.0);
    encode_context(&mut out, &header.context);
    out.number(parts.elders.len() as u64);
    parts.elders.iter().for_each(|origin| out.origin(origin));
    out.number(u64::from(header.part));
    out.number(u64::from(header.parts));
    out.number(header.sealed_at.0);
    out.number(header.lamport_max.0);
    out.raw(&parts.shapes_hash.0);
    out.raw(&parts.events_root.0);
    out.number(parts.event_count as u64);
    out.0
}

fn decode_header(bytes: &[u8]) -> Result<SignedParts, Malformed> {
    let mut input = Reader::new(bytes);
    let mesh = MeshId(input.array("mesh")?);
    let origin = input.origin("origin")?;
    let seq = input.seq("seq")?;
    if seq == Seq(0) {
        return Err(Malformed::Invalid("seq"));
    }
    let previous = input.digest("previous hash")?;
    let epoch = input.bounded("epoch", limits::NUMBER_MAX)?;
    let roster = input.digest("roster hash")?;
    let context = decode_context(&mut input)?;
    let count = input.count("origins of births", limits::ORIGINS_MAX)?;
    let elders = (0..count).map(|_| input.origin("origin of births")).collect::<Result<Vec<_>, _>>()?;
    let part = input.bounded("part", u64::from(u32::MAX))? as u32;
    let parts = input.bounded("parts", u64::from(u32::MAX))? as u32;
    if part == 0 || part > parts {
        return Err(Malformed::Invalid("part"));
    }
    if context.vector.get(&origin).0 != seq.0 - 1 {
        return Err(Malformed::Invalid("own context"));
    }
    let header = Header {
        mesh,
        dot: Dot { origin, seq },
        previous,
        epoch,
        roster,
        context,
        part,
        parts,
        sealed_at: WallTime(input.bounded("sealed at", limits::NUMBER_MAX)?),
        lamport_max: Lamport(input.bounded("lamport", limits::NUMBER_MAX)?),
    };
    let rises = elders.windows(2).all(|pair| pair[0] < pair[1]);
    if !rises || elders.iter().any(|origin| is_in_context(&header, origin)) {
        return Err(Malformed::Invalid("origins of births"));
    }
    let shapes_hash = input.digest("tables hash")?;
    let events_root = input.digest("events root")?;
    let event_count = input.bounded("events", limits::CHANGESET_EVENTS_MAX as u64)? as usize;
    input.end("header")?;
    Ok(SignedParts { header, elders, shapes_hash, events_root, event_count })
}

/// Appends a context's canonical bytes.
pub fn encode_context(out: &mut Writer, context: &Context) {
    encode_vector(out, &context.vector);
    out.number(context.parked.len() as u64);
    for id in context.parked.iter() {
        out.origin(&id.dot.origin);
        out.number(id.dot.seq.0);
        out.bytes(id.table.as_bytes());
        out.bytes(&id.key.0);
    }
}

/// Reads what [`encode_context`] wrote.
///
/// # Errors
/// If the bytes are anything else.
pub fn decode_context(input: &mut Reader<'_>) -> Result<Context, Malformed> {
    let vector = decode_vector(input)?;
    let count = input.count("parked events", limits::PARKED_NAMED_MAX)?;
    let mut parked: Vec<EventId> = Vec::with_capacity(count);
    for _ in 0..count {
        let dot = Dot { origin: input.origin("parked origin")?, seq: input.seq("parked seq")? };
        let table = input.name("parked table")?.into();
        let key = Key(input.bytes("parked key", limits::EVENT_BYTES_MAX)?.to_vec());
        let id = EventId { dot, table, key };
        if parked.last().is_some_and(|last| *last >= id) {
            return Err(Malformed::Invalid("parked events"));
        }
        parked.push(id);
    }
    Ok(Context { vector, parked: Arc::new(parked) })
}

/// Appends a version vector's canonical bytes.
pub fn encode_vector(out: &mut Writer, vector: &VersionVector) {
    out.number(vector.len() as u64);
    for dot in vector.dots() {
        out.origin(&dot.origin);
        out.number(dot.seq.0);
    }
}

/// Reads what [`encode_vector`] wrote: origins ascending, no zeros.
///
/// # Errors
/// If the bytes are anything else.
pub fn decode_vector(input: &mut Reader<'_>) -> Result<VersionVector, Malformed> {
    let count = input.count("origins", limits::ORIGINS_MAX)?;
    let mut vector = VersionVector::new();
    let mut last = None;
    for _ in 0..count {
        let dot = Dot { origin: input.origin("vector origin")?, seq: input.seq("vector seq")? };
        if dot.seq == Seq(0) || last.is_some_and(|last| last >= dot.origin) {
            return Err(Malformed::Invalid("version vector"));
        }
        last = Some(dot.origin);
        vector.raise(dot);
    }
    Ok(vector)
}

fn decode_shapes(bytes: &[u8]) -> Result<Vec<TableShape>, Malformed> {
    let mut input = Reader::new(bytes);
    let count = input.count("tables", limits::TABLES_PER_CHANGESET_MAX)?;
    let shapes = (0..count).map(|_| TableShape::decode(&mut input)).collect::<Result<_, _>>()?;
    input.end("tables")?;
    Ok(shapes)
}

fn decode_events(
    input: &mut Reader<'_>,
    shapes: &[TableShape],
    origins: &[Origin],
    count: usize,
) -> Result<(Vec<Event>, Vec<Digest>), Malformed> {
    let mut events = Vec::with_capacity(count.min(input.rest()));
    let mut checksums = Vec::with_capacity(count.min(input.rest()));
    for _ in 0..count {
        let bytes = input.bytes("event", limits::EVENT_BYTES_MAX)?;
        let mut event = Reader::new(bytes);
        events.push(Event::decode(&mut event, shapes, origins)?);
        event.end("event")?;
        checksums.push(Digest::of(bytes));
    }
    Ok((events, checksums))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Birth, Operation};
    use crate::ident::Incarnation;
    use crate::sign::SecretKey;
    use crate::value::Value;

    const MESH: MeshId = MeshId([3; 32]);

    fn key() -> SecretKey {
        SecretKey::from_seed([5; 32])
    }

    fn sealed() -> Changeset {
        let origin = Origin { node: key().node_id(), incarnation: Incarnation { count: 1, nonce: 9 } };
        let other = Origin { node: NodeId([1; 32]), ..origin };
        let shapes = vec![TableShape { name: "shop".into(), columns: vec!["id".into(), "name".into()], key: vec![0] }];
        let parked = EventId {
            dot: Dot { origin: other, seq: Seq(2) },
            table: "shop".into(),
            key: Key::of([&Value::Integer(4)]),
        };
        let insert = Event {
            table: 0,
            operation: Operation::Insert,
            lamport: Lamport(70),
            birth: Birth::Here,
            before: vec![],
            written: vec![(0, Value::Integer(1)), (1, "gum".into())],
            salt: [8; 16],
            extras: vec![],
        };
        let update = Event {
            operation: Operation::Update,
            birth: Birth::At(Dot { origin: other, seq: Seq(1) }),
            before: vec![Value::Integer(2), Value::Null],
            written: vec![(1, "tea".into())],
            extras: vec![(7, vec![1, 2])],
            ..insert.clone()
        };
        // Its birth was sealed by an incarnation that everybody has seen whole and no vector names any more.
        let elder = Origin { incarnation: Incarnation { count: 0, nonce: 2 }, ..other };
        let birth = Birth::At(Dot { origin: elder, seq: Seq(7) });
        let delete = Event { operation: Operation::Delete, written: vec![], birth, ..update.clone() };
        let header = Header {
            mesh: MESH,
            dot: Dot { origin, seq: Seq(3) },
            previous: Digest([4; 32]),
            epoch: 2,
            roster: Digest([6; 32]),
            context: Context {
                vector: [Dot { origin, seq: Seq(2) }, Dot { origin: other, seq: Seq(5) }].into_iter().collect(),
                parked: Arc::new(vec![parked]),
            },
            part: 1,
            parts: 1,
            sealed_at: WallTime(77),
            lamport_max: Lamport(70),
        };
        Changeset::seal(header, shapes, vec![insert, update, delete], &key())
    }

    use crate::ident::NodeId;

    #[test]
    fn a_changeset_comes_back_as_it_was_sealed() {
        let changeset = sealed();
        let back = Claimed::decode(changeset.bytes()).unwrap().verify(&MESH, &key().public_key()).unwrap();
        assert_eq!(back.header(), changeset.header());
        assert_eq!(back.events(), changeset.events());
        assert_eq!(back.checksums(), changeset.checksums());
        assert_eq!(back.hash(), changeset.hash());
    }

    #[test]
    fn s35_j4_every_single_flipped_bit_is_refused() {
        let bytes = sealed().bytes().to_vec();
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[position] ^= 1 << bit;
                let verdict = Claimed::decode(&altered).and_then(|claimed| claimed.verify(&MESH, &key().public_key()));
                assert!(verdict.is_err(), "bit {bit} of byte {position} was not missed");
            }
        }
    }

    #[test]
    fn j3_every_truncation_is_refused() {
        let bytes = sealed().bytes().to_vec();
        for length in 0..bytes.len() {
            assert!(Claimed::decode(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn j3_a_key_that_no_index_holds_is_refused_and_the_longest_is_not() {
        let changeset = sealed();
        let with_key = |bytes: usize| {
            let mut insert = changeset.events()[0].clone();
            insert.written[0].1 = Value::Blob(vec![7; bytes].into());
            Changeset::seal(changeset.header().clone(), changeset.shapes().to_vec(), vec![insert], &key())
        };
        let spare = limits::KEY_BYTES_MAX - with_key(1_000).events()[0].key(&changeset.shapes()[0]).0.len();
        let longest = with_key(1_000 + spare);
        assert_eq!(longest.events()[0].key(&changeset.shapes()[0]).0.len(), limits::KEY_BYTES_MAX);
        assert_eq!(Claimed::decode(longest.bytes()).unwrap().header(), longest.header());
        assert!(matches!(Claimed::decode(with_key(1_001 + spare).bytes()), Err(Refused::Malformed(_))));
    }

    #[test]
    fn columns_that_are_counted_anew_must_rise_and_be_there() {
        let changeset = sealed();
        let with = |columns: &[u16]| {
            let mut update = changeset.events()[1].clone();
            update.extras = vec![crate::event::counted_anew_field(columns.iter().copied())];
            let (header, shapes) = (changeset.header().clone(), changeset.shapes().to_vec());
            Claimed::decode(Changeset::seal(header, shapes, vec![update], &key()).bytes()).map(drop)
        };
        for columns in [&[][..], &[1], &[0, 1]] {
            assert_eq!(with(columns), Ok(()), "{columns:?}");
        }
        for columns in [&[1, 1][..], &[1, 0], &[2], &[0, 1, 2]] {
            assert!(matches!(with(columns), Err(Refused::Malformed(_))), "{columns:?}");
        }
    }

    #[test]
    fn k1_a_changeset_under_another_key_or_mesh_is_refused() {
        let bytes = sealed().bytes().to_vec();
        let claimed = Claimed::decode(&bytes).unwrap();
        let stranger = SecretKey::from_seed([6; 32]).public_key();
        assert!(matches!(claimed.clone().verify(&MESH, &stranger), Err(Refused::Forged(_))));
        assert!(matches!(claimed.verify(&MeshId([9; 32]), &key().public_key()), Err(Refused::OtherMesh(_))));
    }
}
