//! The handshake: who are you, what do you know.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::parts::{incarnation_bytes, incarnation_of, read_marks, write_marks};
use super::{Message, WireError};
use crate::ack::AckMark;
use crate::clock::{VersionVector, WallTime};
use crate::encode::Malformed;
use crate::ident::{Digest, Incarnation, MeshId, NodeId};
use crate::limits;
use crate::wire::fields::{FieldReader, FieldWriter, item_bytes, item_text, item_tuple};

/// What a node says of itself at the beginning of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Lowest version of the protocol that it speaks.
    pub protocol_min: u16,
    /// Highest version of the protocol that it speaks.
    pub protocol_max: u16,
    /// Its mesh.
    pub mesh: MeshId,
    /// Its name: must be that of the key on the connection.
    pub node: NodeId,
    /// The life of its database.
    pub incarnation: Incarnation,
    /// What its row states reflect.
    pub vector: VersionVector,
    /// Highest changeset of each origin that it has pruned from its log: it can send only what lies above.
    pub floor: VersionVector,
    /// Epoch of its roster.
    pub epoch: u64,
    /// Hash of its roster.
    pub roster: Digest,
    /// Fingerprint of the tracked tables' definitions.
    pub schema: Digest,
    /// Its clock.
    pub now: WallTime,
    /// Its own newest signed acknowledgement.
    pub ack: Option<Arc<[u8]>>,
    /// Which acknowledgements it knows.
    pub acks: BTreeMap<NodeId, AckMark>,
    /// Fingerprints of table contents at its vector, where it has them at hand.
    pub fingerprints: Vec<Fingerprint>,
    /// Whether nobody can call it, so that its own calls must serve both ways.
    pub cannot_be_dialled: bool,
}

/// The content of one table, in few bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The table.
    pub table: String,
    /// Sums as `verify` defines them.
    pub sum: Vec<u8>,
}

/// The other side of the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloReply {
    /// The version that both will speak: the highest in common.
    pub protocol: u16,
    /// What the answering node says of itself.
    pub hello: Hello,
}

/// The highest version that both speak.
pub fn common_protocol(a: (u16, u16), b: (u16, u16)) -> Option<u16> {
    let highest = a.1.min(b.1);
    (highest >= a.0.max(b.0)).then_some(highest)
}

impl Message for Hello {
    const KIND: u64 = 1;
    const NAME: &'static str = "hello";

    fn write(&self, out: &mut FieldWriter) {
        out.number(1, u64::from(self.protocol_min));
        out.number(2, u64::from(self.protocol_max));
        out.bytes(3, &self.mesh.0);
        out.bytes(4, &self.node.0);
        out.bytes(5, &incarnation_bytes(&self.incarnation));
        out.vector(6, &self.vector);
        out.vector(7, &self.floor);
        out.number(8, self.epoch);
        out.bytes(9, &self.roster.0);
        out.bytes(10, &self.schema.0);
        out.number(11, self.now.0);
        if let Some(ack) = &self.ack {
            out.bytes(12, ack);
        }
        write_marks(out, 13, &self.acks);
        out.list(14, self.fingerprints.iter(), |out, one| out.array(2)?.str(&one.table)?.bytes(&one.sum).map(drop));
        out.flag(15, self.cannot_be_dialled);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Hello, Malformed> {
        Ok(Hello {
            protocol_min: input.number(1, u64::from(u16::MAX))? as u16,
            protocol_max: input.number(2, u64::from(u16::MAX))? as u16,
            mesh: MeshId(input.array(3)?),
            node: NodeId(input.array(4)?),
            incarnation: incarnation_of(input.array(5)?),
            vector: input.vector(6)?,
            floor: input.vector(7)?,
            epoch: input.number(8, limits::NUMBER_MAX)?,
            roster: Digest(input.array(9)?),
            schema: Digest(input.array(10)?),
            now: WallTime(input.number(11, limits::NUMBER_MAX)?),
            ack: input.optional_bytes(12, limits::ACK_BYTES_MAX)?.map(Arc::from),
            acks: read_marks(input, 13)?,
            fingerprints: read_fingerprints(input, 14)?,
            cannot_be_dialled: input.flag(15)?,
        })
    }
}

impl Message for HelloReply {
    const KIND: u64 = 2;
    const NAME: &'static str = "hello reply";

    fn write(&self, out: &mut FieldWriter) {
        out.number(1, u64::from(self.protocol));
        out.bytes(2, &self.hello.payload());
    }

    fn read(input: &mut FieldReader<'_>) -> Result<HelloReply, Malformed> {
        let protocol = input.number(1, u64::from(u16::MAX))? as u16;
        let hello = match Hello::of_payload(input.bytes(2, limits::MESSAGE_BYTES_MAX)?) {
            Ok(hello) => hello,
            Err(WireError::Malformed(malformed)) => return Err(malformed),
            Err(_) => return Err(Malformed::Invalid("hello in a hello reply")),
        };
        Ok(HelloReply { protocol, hello })
    }
}

fn read_fingerprints(input: &mut FieldReader<'_>, number: u64) -> Result<Vec<Fingerprint>, Malformed> {
    input.list(number, limits::TABLES_PER_CHANGESET_MAX, |input| {
        item_tuple(input, "fingerprint", 2)?;
        let table = item_text(input, "fingerprint table", limits::NAME_BYTES_MAX)?;
        Ok(Fingerprint { table, sum: item_bytes(input, "fingerprint", limits::FINGERPRINT_BYTES_MAX)?.to_vec() })
    })
}
