//! The roster's difference, in both directions.

use std::sync::Arc;

use super::Message;
use super::parts::{read_digests, read_entries, write_blobs, write_digests};
use crate::encode::Malformed;
use crate::ident::Digest;
use crate::limits;
use crate::wire::fields::{FieldReader, FieldWriter};

/// All that the sender has of the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterOffer {
    /// Hashes of all its entries.
    pub hashes: Vec<Digest>,
}

/// The difference.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RosterReply {
    /// Entries that the offer did not name, parents first.
    pub entries: Vec<Arc<[u8]>>,
    /// Hashes that the answering node lacks.
    pub lacking: Vec<Digest>,
    /// Whether there are further entries that did not fit.
    pub more: bool,
}

/// Roster entries, parents first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterPush {
    /// Their exact bytes.
    pub entries: Vec<Arc<[u8]>>,
}

/// The roster after a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterTaken {
    /// Its epoch.
    pub epoch: u64,
    /// Its hash.
    pub hash: Digest,
    /// Entries that the pushed ones stand on and that are lacking.
    pub missing: Vec<Digest>,
}

impl Message for RosterOffer {
    const KIND: u64 = 3;
    const NAME: &'static str = "roster offer";

    fn write(&self, out: &mut FieldWriter) {
        write_digests(out, 1, &self.hashes);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<RosterOffer, Malformed> {
        Ok(RosterOffer { hashes: read_digests(input, 1)? })
    }
}

impl Message for RosterReply {
    const KIND: u64 = 4;
    const NAME: &'static str = "roster reply";

    fn write(&self, out: &mut FieldWriter) {
        write_blobs(out, 1, &self.entries);
        write_digests(out, 2, &self.lacking);
        out.flag(3, self.more);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<RosterReply, Malformed> {
        Ok(RosterReply { entries: read_entries(input, 1)?, lacking: read_digests(input, 2)?, more: input.flag(3)? })
    }
}

impl Message for RosterPush {
    const KIND: u64 = 5;
    const NAME: &'static str = "roster push";

    fn write(&self, out: &mut FieldWriter) {
        write_blobs(out, 1, &self.entries);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<RosterPush, Malformed> {
        Ok(RosterPush { entries: read_entries(input, 1)? })
    }
}

impl Message for RosterTaken {
    const KIND: u64 = 6;
    const NAME: &'static str = "roster push reply";

    fn write(&self, out: &mut FieldWriter) {
        out.number(1, self.epoch);
        out.bytes(2, &self.hash.0);
        write_digests(out, 3, &self.missing);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<RosterTaken, Malformed> {
        Ok(RosterTaken {
            epoch: input.number(1, limits::NUMBER_MAX)?,
            hash: Digest(input.array(2)?),
            missing: read_digests(input, 3)?,
        })
    }
}
