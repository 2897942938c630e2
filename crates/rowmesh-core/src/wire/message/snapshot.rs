//! "Send a whole copy." What the frames of the answer hold is the snapshot's business.

use super::{Message, WireError};
use crate::encode::Malformed;
use crate::ident::Digest;
use crate::limits;
use crate::wire::fields::{FieldReader, FieldWriter};
use crate::wire::frame::{Frame, FrameError, FrameKind, FrameReader};

/// "Send a whole copy", or the next part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Fingerprint of the asking node's tables' definitions.
    pub schema: Digest,
    /// Where to go on: the mark that the last part ended with; empty to begin.
    pub mark: Vec<u8>,
    /// Bytes after which the answer ends.
    pub max_bytes: u64,
}

impl Message for SnapshotRequest {
    const KIND: u64 = 17;
    const NAME: &'static str = "snapshot request";

    fn write(&self, out: &mut FieldWriter) {
        out.bytes(1, &self.schema.0);
        out.bytes(2, &self.mark);
        out.number(3, self.max_bytes);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<SnapshotRequest, Malformed> {
        Ok(SnapshotRequest {
            schema: Digest(input.array(1)?),
            mark: input.bytes(2, limits::SNAPSHOT_MARK_BYTES_MAX)?.to_vec(),
            max_bytes: input.number(3, limits::NUMBER_MAX)?,
        })
    }
}

pub(super) fn snapshot_frames(body: &[u8]) -> Result<Vec<Frame>, WireError> {
    let mut reader = FrameReader::new();
    reader.push(body);
    let mut frames = Vec::new();
    let mut bytes = 0usize;
    while let Some(frame) = reader.next_frame()? {
        if !matches!(frame.kind, FrameKind::SnapshotStart | FrameKind::SnapshotChunk | FrameKind::SnapshotEnd) {
            return Err(FrameError::Unexpected("snapshot holds a frame of another kind").into());
        }
        bytes = bytes.saturating_add(frame.payload.len());
        let limit = limits::EXCHANGE_BYTES_MAX + limits::FRAME_BYTES_MAX;
        if bytes > limit {
            return Err(Malformed::TooLarge { what: "snapshot part", got: bytes as u64, limit: limit as u64 }.into());
        }
        frames.push(frame);
    }
    reader.finish()?;
    Ok(frames)
}
