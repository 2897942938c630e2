//! A stream of changesets with its end, as one pull answers it and one push offers it.

use std::sync::Arc;

use crate::changeset::{decode_vector, encode_vector};
use crate::clock::VersionVector;
use crate::encode::{Malformed, Reader, Writer};
use crate::limits;

use super::frame::{FrameError, FrameKind, FrameReader, write_frame};
use super::message::WireError;

/// Changesets as they were sealed, each after those that it depends on as far as they are in the stream, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Batch {
    /// The changesets' exact bytes.
    pub changesets: Vec<Arc<[u8]>>,
    /// How it ended.
    pub end: End,
}

/// The last frame of every stream: without it the stream was cut.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct End {
    /// Whether the sender has more for who asks again.
    pub more: bool,
    /// What the sender's row states reflect.
    pub vector: VersionVector,
}

impl Batch {
    /// Its frames: changesets gathered up to [`limits::FRAME_BYTES_TARGET`], then the end.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut waiting: Vec<&Arc<[u8]>> = Vec::new();
        let mut bytes = 0;
        for changeset in &self.changesets {
            let is_full = bytes + changeset.len() > limits::FRAME_BYTES_TARGET
                || waiting.len() >= limits::CHANGESETS_PER_FRAME_MAX;
            if is_full && !waiting.is_empty() {
                write_changesets(&mut out, &waiting);
                waiting.clear();
                bytes = 0;
            }
            waiting.push(changeset);
            bytes += changeset.len();
        }
        if !waiting.is_empty() {
            write_changesets(&mut out, &waiting);
        }
        write_frame(&mut out, FrameKind::End, &self.end.encode());
        out
    }

    /// Reads a body that holds one stream and nothing else.
    ///
    /// # Errors
    /// If it breaks a limit or the format, or has no end.
    pub fn decode(body: &[u8]) -> Result<Batch, WireError> {
        let mut reader = FrameReader::new();
        reader.push(body);
        let mut changesets = Vec::new();
        let mut bytes = 0usize;
        loop {
            let Some(frame) = reader.next_frame()? else {
                reader.finish()?;
                return Err(FrameError::Unexpected("stream of changesets has no end").into());
            };
            match frame.kind {
                FrameKind::Changesets => {
                    bytes = bytes.saturating_add(frame.payload.len());
                    check_total(bytes)?;
                    read_changesets(&frame.payload, &mut changesets)?;
                }
                FrameKind::End => {
                    reader.finish()?;
                    return Ok(Batch { changesets, end: End::decode(&frame.payload)? });
                }
                _ => return Err(FrameError::Unexpected("stream of changesets holds a frame of another kind").into()),
            }
        }
    }
}

impl End {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.byte(u8::from(self.more));
        encode_vector(&mut out, &self.vector);
        out.0
    }

    fn decode(bytes: &[u8]) -> Result<End, Malformed> {
        let mut input = Reader::new(bytes);
        let more = match input.byte("end of stream")? {
            0 => false,
            1 => true,
            _ => return Err(Malformed::Invalid("end of stream")),
        };
        let vector = decode_vector(&mut input)?;
        input.end("end of stream")?;
        Ok(End { more, vector })
    }
}

/// A sender stops at the bytes that were asked for, but the changeset that crosses them goes whole.
fn check_total(bytes: usize) -> Result<(), Malformed> {
    let limit = limits::EXCHANGE_BYTES_MAX + limits::CHANGESET_BYTES_MAX;
    if bytes > limit {
        return Err(Malformed::TooLarge { what: "stream of changesets", got: bytes as u64, limit: limit as u64 });
    }
    Ok(())
}

fn write_changesets(out: &mut Vec<u8>, changesets: &[&Arc<[u8]>]) {
    let mut payload = Writer::default();
    payload.number(changesets.len() as u64);
    changesets.iter().for_each(|changeset| payload.bytes(changeset));
    write_frame(out, FrameKind::Changesets, &payload.0);
}

fn read_changesets(payload: &[u8], changesets: &mut Vec<Arc<[u8]>>) -> Result<(), Malformed> {
    let mut input = Reader::new(payload);
    let count = input.count("changesets in a frame", limits::CHANGESETS_PER_FRAME_MAX)?;
    for _ in 0..count {
        changesets.push(input.bytes("changeset", limits::CHANGESET_BYTES_MAX)?.into());
    }
    input.end("frame of changesets")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::{Dot, Incarnation, NodeId, Origin, Seq};
    use proptest::prelude::*;

    fn batch(sizes: &[usize]) -> Batch {
        let origin = Origin { node: NodeId([1; 32]), incarnation: Incarnation { count: 1, nonce: 2 } };
        let noise = |size: usize| -> Arc<[u8]> {
            let mut bytes = vec![0; size];
            blake3::Hasher::new().update(&size.to_be_bytes()).finalize_xof().fill(&mut bytes);
            bytes.into()
        };
        Batch {
            changesets: sizes.iter().map(|size| noise(*size)).collect(),
            end: End { more: true, vector: [Dot { origin, seq: Seq(4) }].into_iter().collect() },
        }
    }

    #[test]
    fn a_stream_comes_back_as_it_was_sent_whatever_the_sizes() {
        for sizes in [&[][..], &[0], &[10, 20, 30], &[900_000, 900_000, 5], &[3 << 20, 1, 1]] {
            let batch = batch(sizes);
            assert_eq!(Batch::decode(&batch.encode()), Ok(batch));
        }
    }

    #[test]
    fn j3_a_stream_without_its_end_is_refused_at_every_byte() {
        let bytes = batch(&[40, 70]).encode();
        for length in 0..bytes.len() {
            assert!(Batch::decode(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn frames_behind_the_end_or_of_another_kind_are_refused() {
        let mut twice = batch(&[]).encode();
        twice.extend(batch(&[]).encode());
        assert!(Batch::decode(&twice).is_err());
        let mut other = Vec::new();
        write_frame(&mut other, FrameKind::SnapshotChunk, b"x");
        other.extend(batch(&[]).encode());
        assert!(Batch::decode(&other).is_err());
    }

    #[test]
    fn s49_a_stream_is_bounded_as_a_whole() {
        let limit = limits::EXCHANGE_BYTES_MAX + limits::CHANGESET_BYTES_MAX;
        assert_eq!(check_total(limit), Ok(()));
        assert!(check_total(limit + 1).is_err());
        let mut too_many = Writer::default();
        too_many.number(limits::CHANGESETS_PER_FRAME_MAX as u64 + 1);
        assert!(matches!(read_changesets(&too_many.0, &mut Vec::new()), Err(Malformed::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn s72_no_payload_makes_the_decoder_panic(payload: Vec<u8>) {
            let mut bytes = Vec::new();
            write_frame(&mut bytes, FrameKind::Changesets, &payload);
            write_frame(&mut bytes, FrameKind::End, &payload);
            let _ = Batch::decode(&bytes);
        }
    }
}
