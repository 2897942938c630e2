//! Signed acknowledgements, in both directions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Message;
use super::parts::{read_acks, read_marks, write_blobs, write_marks};
use crate::ack::AckMark;
use crate::encode::Malformed;
use crate::ident::NodeId;
use crate::wire::fields::{FieldReader, FieldWriter};

/// Acknowledgements for the other, and which are known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acks {
    /// Signed acknowledgements that the other does not know.
    pub acks: Vec<Arc<[u8]>>,
    /// Which are known here, these included.
    pub known: BTreeMap<NodeId, AckMark>,
}

/// Acknowledgements that the asking node did not know.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AcksReply {
    /// Their exact bytes.
    pub acks: Vec<Arc<[u8]>>,
}

impl Message for Acks {
    const KIND: u64 = 7;
    const NAME: &'static str = "acknowledgements";

    fn write(&self, out: &mut FieldWriter) {
        write_blobs(out, 1, &self.acks);
        write_marks(out, 2, &self.known);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Acks, Malformed> {
        Ok(Acks { acks: read_acks(input, 1)?, known: read_marks(input, 2)? })
    }
}

impl Message for AcksReply {
    const KIND: u64 = 8;
    const NAME: &'static str = "acknowledgements reply";

    fn write(&self, out: &mut FieldWriter) {
        write_blobs(out, 1, &self.acks);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<AcksReply, Malformed> {
        Ok(AcksReply { acks: read_acks(input, 1)? })
    }
}
