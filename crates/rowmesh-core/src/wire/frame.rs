//! Frames: how every body travels. Magic, lengths, a checksum over the bytes as they travel, then the payload, compressed where
//! that helps. Limits are checked before anything is allocated. What payloads mean is `message`'s and `batch`'s business.
//!
//! Layout, numbers big-endian: magic `RMf`, version 1, kind, flags, wire length (4), plain length (4), BLAKE3 (32), payload.
//! The checksum covers the fourteen bytes before it and the payload.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::io::Read;

use thiserror::Error;

use crate::limits;

/// The first three bytes of every frame.
const MAGIC: [u8; 3] = *b"RMf";
/// The version of the layout.
const VERSION: u8 = 1;
/// Bytes before the payload.
pub const HEADER_BYTES: usize = 46;
/// Bytes of the header that the checksum covers.
const CHECKED_BYTES: usize = 14;
/// The payload is compressed with zstd.
const FLAG_ZSTD: u8 = 1;
/// Speed matters more than the last bytes; anything is faster than a slow line.
const ZSTD_LEVEL: i32 = 1;
/// Payloads below this many bytes are not worth the attempt.
const COMPRESS_FROM: usize = 256;
/// Kinds from here on may be skipped by who does not know them.
const IGNORABLE_FROM: u8 = 128;

/// One frame, checked and decompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: FrameKind,
    /// The payload.
    pub payload: Vec<u8>,
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Changesets as they were sealed.
    Changesets,
    /// The end of a stream.
    End,
    /// The beginning of a snapshot; its payload is the snapshot's business.
    SnapshotStart,
    /// A part of a snapshot.
    SnapshotChunk,
    /// The end of a snapshot.
    SnapshotEnd,
    /// One message.
    Message,
    /// Something of a later version that may be skipped.
    Ignorable(u8),
}

/// Takes frames out of bytes that arrive in pieces of any size. Take out all frames after each piece: then it never holds more
/// than one frame and one piece.
#[derive(Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
    failed: Option<FrameError>,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Not from Rowmesh: a proxy's page, another service.
    #[error("answer is not from rowmesh: it begins with {0:?}")]
    Foreign(String),
    /// Another layout.
    #[error("frame has version {0}, this node knows version 1")]
    Version(u8),
    /// A kind that must be understood and is not.
    #[error("frame has kind {0}, which this node does not know")]
    Kind(u8),
    /// A flag that must be understood and is not.
    #[error("frame has flags {0:#04x}, which this node does not know")]
    Flags(u8),
    /// Above a limit.
    #[error("frame announces {got} bytes, above the limit of {limit}")]
    TooLarge {
        /// What it announces.
        got: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// Grows too much.
    #[error("frame of {wire} bytes announces {plain} bytes of content: that is no honest ratio")]
    Bomb {
        /// Bytes as it travels.
        wire: u64,
        /// Bytes that it would grow to.
        plain: u64,
    },
    /// Altered on the way.
    #[error("frame does not have the checksum that it names")]
    Checksum,
    /// The compressed bytes are not what they should be.
    #[error("frame cannot be decompressed: {0}")]
    Compression(String),
    /// The stream ended inside a frame.
    #[error("stream ends inside a frame: {have} of {need} bytes came")]
    Truncated {
        /// Bytes that came.
        have: usize,
        /// Bytes that should have come, as far as is known.
        need: usize,
    },
    /// A body holds more or other frames than it may.
    #[error("{0}")]
    Unexpected(&'static str),
}

/// Appends a frame to a body.
///
/// # Panics
/// If the payload is above [`limits::FRAME_BYTES_MAX`]: callers close frames long before.
pub fn write_frame(out: &mut Vec<u8>, kind: FrameKind, payload: &[u8]) {
    assert!(payload.len() <= limits::FRAME_BYTES_MAX, "a frame of {} bytes is above the limit", payload.len());
    let packed = compress(payload);
    let (flags, wire) = packed.as_deref().map_or((0, payload), |packed| (FLAG_ZSTD, packed));
    let mut head = [0u8; CHECKED_BYTES];
    let lengths = [wire.len(), payload.len()].map(|length| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    let fields = MAGIC.into_iter().chain([VERSION, kind.number(), flags]).chain(lengths.into_iter().flatten());
    head.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    out.extend_from_slice(&head);
    out.extend_from_slice(&checksum(&head, wire));
    out.extend_from_slice(wire);
}

impl FrameReader {
    /// Has read nothing.
    pub fn new() -> FrameReader {
        FrameReader::default()
    }

    /// Takes in the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole frame, if one has arrived. Frames of later versions that may be skipped are skipped.
    ///
    /// # Errors
    /// As soon as it is known that no valid frame can come; and the same again at every later call.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        loop {
            match self.read() {
                Ok(Some(Frame { kind: FrameKind::Ignorable(_), .. })) => {}
                Ok(other) => return Ok(other),
                Err(error) => {
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// Errs unless the stream ended where a frame ended.
    ///
    /// # Errors
    /// If something is left over.
    pub fn finish(mut self) -> Result<(), FrameError> {
        if self.next_frame()?.is_some() {
            return Err(FrameError::Unexpected("stream holds more frames than were read"));
        }
        let rest = self.rest();
        let need = Header::read(rest)?.map_or(HEADER_BYTES, |header| header.wire.saturating_add(HEADER_BYTES));
        if rest.is_empty() { Ok(()) } else { Err(FrameError::Truncated { have: rest.len(), need }) }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn read(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = self.rest();
        let Some(header) = Header::read(rest)? else { return Ok(None) };
        let end = header.wire.saturating_add(HEADER_BYTES);
        let (Some(head), Some(wire)) = (rest.get(..CHECKED_BYTES), rest.get(HEADER_BYTES..end)) else {
            return Ok(None);
        };
        if checksum(head, wire) != header.checksum {
            return Err(FrameError::Checksum);
        }
        let payload = if header.compressed { decompress(wire, header.plain)? } else { wire.to_vec() };
        self.start = self.start.saturating_add(end);
        Ok(Some(Frame { kind: header.kind, payload }))
    }
}

impl FrameKind {
    fn number(self) -> u8 {
        match self {
            FrameKind::Changesets => 1,
            FrameKind::End => 2,
            FrameKind::SnapshotStart => 3,
            FrameKind::SnapshotChunk => 4,
            FrameKind::SnapshotEnd => 5,
            FrameKind::Message => 6,
            FrameKind::Ignorable(number) => number,
        }
    }

    fn of_number(number: u8) -> Result<FrameKind, FrameError> {
        Ok(match number {
            1 => FrameKind::Changesets,
            2 => FrameKind::End,
            3 => FrameKind::SnapshotStart,
            4 => FrameKind::SnapshotChunk,
            5 => FrameKind::SnapshotEnd,
            6 => FrameKind::Message,
            number if number >= IGNORABLE_FROM => FrameKind::Ignorable(number),
            number => return Err(FrameError::Kind(number)),
        })
    }

    /// Bytes of payload that such a frame may hold.
    fn bytes_max(self) -> usize {
        match self {
            FrameKind::Message => limits::MESSAGE_BYTES_MAX,
            FrameKind::End => limits::ACK_BYTES_MAX,
            FrameKind::Ignorable(_) => limits::FRAME_BYTES_TARGET,
            _ => limits::FRAME_BYTES_MAX,
        }
    }
}

struct Header {
    kind: FrameKind,
    compressed: bool,
    wire: usize,
    plain: usize,
    checksum: [u8; 32],
}

impl Header {
    /// Reads and judges a header; `None` if not all of it has come. What is wrong is said as early as it can be seen.
    fn read(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
        if bytes.iter().zip(&MAGIC).any(|(got, expected)| got != expected) {
            let start = bytes.get(..16).unwrap_or(bytes);
            return Err(FrameError::Foreign(String::from_utf8_lossy(start).into_owned()));
        }
        if let Some(version) = bytes.get(3).filter(|version| **version != VERSION) {
            return Err(FrameError::Version(*version));
        }
        let Some((head, rest)) = bytes.split_first_chunk::<CHECKED_BYTES>() else { return Ok(None) };
        let Some((checksum, _)) = rest.split_first_chunk::<32>() else { return Ok(None) };
        let [_, _, _, _, kind, flags, w0, w1, w2, w3, p0, p1, p2, p3] = *head;
        let kind = FrameKind::of_number(kind)?;
        if flags & !FLAG_ZSTD != 0 {
            return Err(FrameError::Flags(flags));
        }
        let wire = u32::from_be_bytes([w0, w1, w2, w3]) as usize;
        let plain = u32::from_be_bytes([p0, p1, p2, p3]) as usize;
        let compressed = flags & FLAG_ZSTD != 0;
        judge_lengths(kind, compressed, wire, plain)?;
        Ok(Some(Header { kind, compressed, wire, plain, checksum: *checksum }))
    }
}

fn judge_lengths(kind: FrameKind, compressed: bool, wire: usize, plain: usize) -> Result<(), FrameError> {
    let limit = kind.bytes_max();
    for (got, limit) in [(wire, limit.min(limits::FRAME_WIRE_BYTES_MAX)), (plain, limit)] {
        if got > limit {
            return Err(FrameError::TooLarge { got: got as u64, limit: limit as u64 });
        }
    }
    if !compressed && wire != plain {
        return Err(FrameError::Unexpected("frame is not compressed and yet names two lengths"));
    }
    if plain > wire.saturating_mul(limits::FRAME_RATIO_MAX).max(limits::FRAME_RATIO_FLOOR) {
        return Err(FrameError::Bomb { wire: wire as u64, plain: plain as u64 });
    }
    Ok(())
}

fn checksum(head: &[u8], wire: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(head).update(wire).finalize().as_bytes()
}

/// The payload compressed; `None` where that does not save a sixteenth.
fn compress(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() < COMPRESS_FROM {
        return None;
    }
    let packed = zstd::bulk::compress(payload, ZSTD_LEVEL).ok()?;
    let worth_it = packed.len() < payload.len().saturating_sub(payload.len() / 16);
    // Our own zeros must not look like a bomb at the other end.
    let honest = payload.len() <= packed.len().saturating_mul(limits::FRAME_RATIO_MAX).max(limits::FRAME_RATIO_FLOOR);
    (worth_it && honest).then_some(packed)
}

/// Decompresses to exactly `plain` bytes, which have been judged; a frame that would give more is cut off there.
fn decompress(wire: &[u8], plain: usize) -> Result<Vec<u8>, FrameError> {
    let failed = |error: std::io::Error| FrameError::Compression(error.to_string());
    let mut decoder = zstd::stream::read::Decoder::with_buffer(wire).map_err(failed)?.single_frame();
    decoder.window_log_max(limits::ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
    // Grows with what really comes: a length alone reserves no more than a mebibyte.
    let mut payload = Vec::with_capacity(plain.min(limits::FRAME_RATIO_FLOOR));
    let bound = (plain as u64).saturating_add(1);
    decoder.by_ref().take(bound).read_to_end(&mut payload).map_err(failed)?;
    if payload.len() != plain {
        return Err(FrameError::Compression(format!("gives {} bytes instead of {plain}", payload.len())));
    }
    let rest = decoder.finish();
    if rest.is_empty() { Ok(payload) } else { Err(FrameError::Compression("bytes follow its end".into())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn framed(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_frame(&mut out, kind, payload);
        out
    }

    fn read_all(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
        let mut reader = FrameReader::new();
        reader.push(bytes);
        let mut frames = Vec::new();
        while let Some(frame) = reader.next_frame()? {
            frames.push(frame);
        }
        reader.finish()?;
        Ok(frames)
    }

    /// A frame that says of itself what the caller wants, with a right checksum.
    fn forged(kind: u8, flags: u8, wire: &[u8], wire_length: u32, plain_length: u32) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend([VERSION, kind, flags]);
        head.extend(wire_length.to_be_bytes());
        head.extend(plain_length.to_be_bytes());
        let check = checksum(&head, wire);
        head.extend(check);
        head.extend(wire);
        head
    }

    fn text() -> Vec<u8> {
        b"the quick brown fox ".repeat(200)
    }

    #[test]
    fn what_compresses_travels_compressed_and_what_does_not_travels_as_it_is() {
        let packed = framed(FrameKind::Changesets, &text());
        assert!(packed.len() < text().len() / 10);
        assert_eq!(read_all(&packed).unwrap()[0].payload, text());
        let noise: Vec<u8> = (0..200u32).flat_map(|n| *blake3::hash(&n.to_be_bytes()).as_bytes()).collect();
        assert_eq!(framed(FrameKind::Changesets, &noise).len(), noise.len() + HEADER_BYTES);
    }

    #[test]
    fn zeros_that_compress_beyond_the_ratio_are_still_accepted_from_ourselves() {
        let zeros = vec![0; 8 << 20];
        assert_eq!(read_all(&framed(FrameKind::SnapshotChunk, &zeros)).unwrap()[0].payload, zeros);
    }

    #[test]
    fn j4_every_flipped_bit_of_a_frame_is_refused() {
        let bytes = framed(FrameKind::End, &text()[..300]);
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[position] ^= 1 << bit;
                assert!(read_all(&altered).is_err(), "bit {bit} of byte {position}");
            }
        }
    }

    #[test]
    fn j3_a_stream_cut_at_any_byte_is_refused() {
        let mut bytes = framed(FrameKind::Changesets, b"one");
        let boundary = bytes.len();
        bytes.extend(framed(FrameKind::End, b"two"));
        for length in (1..bytes.len()).filter(|length| *length != boundary) {
            assert!(matches!(read_all(&bytes[..length]), Err(FrameError::Truncated { .. })), "{length}");
        }
    }

    #[test]
    fn bytes_behind_the_last_frame_are_refused() {
        let mut bytes = framed(FrameKind::End, b"x");
        bytes.extend(b"RM");
        assert!(matches!(read_all(&bytes), Err(FrameError::Truncated { have: 2, .. })));
        bytes.extend(b"!!");
        assert!(matches!(read_all(&bytes), Err(FrameError::Foreign(_))));
    }

    #[test]
    fn j7_a_page_of_a_middlebox_is_named_as_what_it_is() {
        let error = read_all(b"<html><body>Please log in</body></html>").unwrap_err();
        assert_eq!(error.to_string(), "answer is not from rowmesh: it begins with \"<html><body>Plea\"");
    }

    #[test]
    fn s47_unknown_kinds_and_flags_are_refused_unless_they_may_be_skipped() {
        assert_eq!(read_all(&forged(9, 0, b"x", 1, 1)), Err(FrameError::Kind(9)));
        assert_eq!(read_all(&forged(2, 2, b"x", 1, 1)), Err(FrameError::Flags(2)));
        let mut bytes = forged(200, 0, b"later", 5, 5);
        bytes.extend(framed(FrameKind::End, b"x"));
        assert_eq!(read_all(&bytes).unwrap(), [Frame { kind: FrameKind::End, payload: b"x".to_vec() }]);
        let mut version = framed(FrameKind::End, b"x");
        version[3] = 2;
        assert_eq!(read_all(&version), Err(FrameError::Version(2)));
    }

    #[test]
    fn k21_s49_lengths_are_judged_from_the_header_alone_at_the_limit_and_above_it() {
        let judge = |kind: u8, wire: usize, plain: usize| {
            let mut reader = FrameReader::new();
            let bytes = forged(kind, u8::from(wire != plain), b"", wire as u32, plain as u32);
            reader.push(&bytes);
            reader.next_frame()
        };
        assert_eq!(judge(1, limits::FRAME_BYTES_MAX, limits::FRAME_BYTES_MAX), Ok(None));
        assert!(matches!(judge(1, limits::FRAME_BYTES_MAX + 1, 1), Err(FrameError::TooLarge { .. })));
        assert!(matches!(judge(1, 1 << 20, limits::FRAME_BYTES_MAX + 1), Err(FrameError::TooLarge { .. })));
        assert_eq!(judge(6, limits::MESSAGE_BYTES_MAX, limits::MESSAGE_BYTES_MAX), Ok(None));
        let above = limits::MESSAGE_BYTES_MAX + 1;
        assert!(matches!(judge(6, above, above), Err(FrameError::TooLarge { .. })));
        assert!(matches!(judge(1, u32::MAX as usize, u32::MAX as usize), Err(FrameError::TooLarge { .. })));
    }

    #[test]
    fn j6_s48_a_bomb_is_refused_before_it_goes_off() {
        let bomb = zstd::bulk::compress(&vec![0; 60 << 20], 19).unwrap();
        let wire = bomb.len() as u32;
        let honest = forged(1, FLAG_ZSTD, &bomb, wire, 60 << 20);
        assert!(matches!(read_all(&honest), Err(FrameError::Bomb { .. })));
        let lying = forged(1, FLAG_ZSTD, &bomb, wire, 1000);
        let error = read_all(&lying).unwrap_err();
        assert_eq!(error, FrameError::Compression("gives 1001 bytes instead of 1000".into()));
        // At the ratio itself nothing is refused, one byte more is.
        let edge = 2000 * limits::FRAME_RATIO_MAX;
        assert_eq!(judge_lengths(FrameKind::Changesets, true, 2000, edge), Ok(()));
        assert!(matches!(judge_lengths(FrameKind::Changesets, true, 2000, edge + 1), Err(FrameError::Bomb { .. })));
        assert_eq!(judge_lengths(FrameKind::Changesets, true, 10, limits::FRAME_RATIO_FLOOR), Ok(()));
        let above = limits::FRAME_RATIO_FLOOR + 1;
        assert!(matches!(judge_lengths(FrameKind::Changesets, true, 10, above), Err(FrameError::Bomb { .. })));
    }

    fn with_window(log: u32) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(&text()).unwrap();
        let packed = encoder.finish().unwrap();
        forged(1, FLAG_ZSTD, &packed, packed.len() as u32, text().len() as u32)
    }

    #[test]
    fn j6_a_huge_compression_window_is_refused() {
        assert_eq!(read_all(&with_window(limits::ZSTD_WINDOW_LOG_MAX)).unwrap()[0].payload, text());
        assert!(matches!(read_all(&with_window(limits::ZSTD_WINDOW_LOG_MAX + 1)), Err(FrameError::Compression(_))));
    }

    #[test]
    fn a_second_compressed_part_behind_the_first_is_refused() {
        let mut packed = zstd::bulk::compress(&text(), 1).unwrap();
        packed.extend(zstd::bulk::compress(b"more", 1).unwrap());
        let bytes = forged(1, FLAG_ZSTD, &packed, packed.len() as u32, text().len() as u32);
        assert!(matches!(read_all(&bytes), Err(FrameError::Compression(_))));
    }

    proptest! {
        #[test]
        fn frames_come_out_whole_however_the_bytes_are_cut(
            payloads in proptest::collection::vec(proptest::collection::vec(0u8..4, 0..600), 1..6),
            cuts in proptest::collection::vec(1usize..300, 1..200),
        ) {
            let mut bytes = Vec::new();
            payloads.iter().for_each(|payload| write_frame(&mut bytes, FrameKind::Changesets, payload));
            let mut reader = FrameReader::new();
            let (mut rest, mut out, mut cuts) = (&bytes[..], Vec::new(), cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                rest = after;
                reader.push(piece);
                while let Some(frame) = reader.next_frame().unwrap() {
                    out.push(frame.payload);
                }
            }
            prop_assert_eq!(reader.finish(), Ok(()));
            prop_assert_eq!(out, payloads);
        }

        #[test]
        fn s72_no_bytes_make_the_reader_panic(
            bytes: Vec<u8>, kind: u8, flags in 0u8..2, wire: u32, plain in 0u32..5000, honest: bool,
        ) {
            prop_assert!(read_all(&bytes).is_err() || bytes.is_empty());
            let length = if honest { bytes.len() as u32 } else { wire };
            let _ = read_all(&forged(kind, flags, &bytes, length, plain));
        }
    }
}
