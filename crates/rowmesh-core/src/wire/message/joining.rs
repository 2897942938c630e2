//! "Let me in."

use std::sync::Arc;

use super::Message;
use super::parts::{read_entries, write_blobs};
use crate::clock::WallTime;
use crate::encode::Malformed;
use crate::ident::{Digest, MeshId};
use crate::invite::{InviteId, InviteProof};
use crate::limits;
use crate::sign::PublicKey;
use crate::wire::fields::{FieldReader, FieldWriter, item_text};

/// "I hold this invite."
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// Lowest version of the protocol that it speaks.
    pub protocol_min: u16,
    /// Highest version of the protocol that it speaks.
    pub protocol_max: u16,
    /// The mesh that the invite names.
    pub mesh: MeshId,
    /// Which invite.
    pub invite: InviteId,
    /// That it knows the secret.
    pub proof: InviteProof,
    /// What it wants to be called.
    pub name: String,
    /// Its key: must be the one on the connection.
    pub public_key: PublicKey,
    /// Where it can be reached.
    pub addresses: Vec<String>,
    /// Fingerprint of its tables' definitions.
    pub schema: Digest,
    /// Its clock.
    pub now: WallTime,
}

/// The roster with the new member in it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct JoinReply {
    /// Entries, parents first.
    pub entries: Vec<Arc<[u8]>>,
    /// Whether there are further entries that did not fit: the first exchange brings them.
    pub more: bool,
}

impl Message for Join {
    const KIND: u64 = 15;
    const NAME: &'static str = "join";

    fn write(&self, out: &mut FieldWriter) {
        out.number(1, u64::from(self.protocol_min));
        out.number(2, u64::from(self.protocol_max));
        out.bytes(3, &self.mesh.0);
        out.bytes(4, &self.invite.0);
        out.bytes(5, &self.proof.0);
        out.text(6, &self.name);
        out.bytes(7, &self.public_key.0);
        out.list(8, self.addresses.iter(), |out, address| out.str(address).map(drop));
        out.bytes(9, &self.schema.0);
        out.number(10, self.now.0);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Join, Malformed> {
        Ok(Join {
            protocol_min: input.number(1, u64::from(u16::MAX))? as u16,
            protocol_max: input.number(2, u64::from(u16::MAX))? as u16,
            mesh: MeshId(input.array(3)?),
            invite: InviteId(input.array(4)?),
            proof: InviteProof(input.array(5)?),
            name: input.text(6, limits::NODE_NAME_BYTES_MAX)?,
            public_key: PublicKey(input.array(7)?),
            addresses: input
                .list(8, limits::ADDRESSES_MAX, |input| item_text(input, "address", limits::ADDRESS_BYTES_MAX))?,
            schema: Digest(input.array(9)?),
            now: WallTime(input.number(10, limits::NUMBER_MAX)?),
        })
    }
}

impl Message for JoinReply {
    const KIND: u64 = 16;
    const NAME: &'static str = "join reply";

    fn write(&self, out: &mut FieldWriter) {
        write_blobs(out, 1, &self.entries);
        out.flag(2, self.more);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<JoinReply, Malformed> {
        Ok(JoinReply { entries: read_entries(input, 1)?, more: input.flag(2)? })
    }
}
