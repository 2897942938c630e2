//! Parts that several messages have in common, written and read the same way in each.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ack::AckMark;
use crate::encode::Malformed;
use crate::ident::{Digest, Incarnation, NodeId, Origin};
use crate::limits;
use crate::wire::fields::{FieldReader, FieldWriter, item_array, item_bytes, item_number, item_tuple};

pub(super) fn incarnation_bytes(incarnation: &Incarnation) -> [u8; 12] {
    let mut bytes = [0; 12];
    let fields = incarnation.count.to_be_bytes().into_iter().chain(incarnation.nonce.to_be_bytes());
    bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    bytes
}

pub(super) fn incarnation_of(bytes: [u8; 12]) -> Incarnation {
    let [c0, c1, c2, c3, nonce @ ..] = bytes;
    Incarnation { count: u32::from_be_bytes([c0, c1, c2, c3]), nonce: u64::from_be_bytes(nonce) }
}

pub(super) fn write_blobs(out: &mut FieldWriter, number: u64, blobs: &[Arc<[u8]>]) {
    out.list(number, blobs.iter(), |out, blob| out.bytes(blob).map(drop));
}

pub(super) fn read_entries(input: &mut FieldReader<'_>, number: u64) -> Result<Vec<Arc<[u8]>>, Malformed> {
    input.list(number, limits::ROSTER_ENTRIES_MAX, |input| {
        item_bytes(input, "roster entry", limits::ROSTER_ENTRY_BYTES_MAX).map(Arc::from)
    })
}

pub(super) fn read_acks(input: &mut FieldReader<'_>, number: u64) -> Result<Vec<Arc<[u8]>>, Malformed> {
    input.list(number, limits::MEMBERS_MAX, |input| {
        item_bytes(input, "acknowledgement", limits::ACK_BYTES_MAX).map(Arc::from)
    })
}

pub(super) fn write_digests(out: &mut FieldWriter, number: u64, digests: &[Digest]) {
    out.list(number, digests.iter(), |out, digest| out.bytes(&digest.0).map(drop));
}

pub(super) fn read_digests(input: &mut FieldReader<'_>, number: u64) -> Result<Vec<Digest>, Malformed> {
    input.list(number, limits::ROSTER_ENTRIES_MAX, |input| item_array(input, "roster hash").map(Digest))
}

pub(super) fn write_origins(out: &mut FieldWriter, number: u64, origins: &[Origin]) {
    out.list(number, origins.iter(), |out, origin| {
        out.array(2)?.bytes(&origin.node.0)?.bytes(&incarnation_bytes(&origin.incarnation)).map(drop)
    });
}

pub(super) fn read_origins(input: &mut FieldReader<'_>, number: u64) -> Result<Vec<Origin>, Malformed> {
    input.list(number, limits::ORIGINS_MAX, |input| {
        item_tuple(input, "origin", 2)?;
        let node = NodeId(item_array(input, "origin")?);
        Ok(Origin { node, incarnation: incarnation_of(item_array(input, "origin")?) })
    })
}

pub(super) fn write_marks(out: &mut FieldWriter, number: u64, marks: &BTreeMap<NodeId, AckMark>) {
    out.list(number, marks.iter(), |out, (node, mark)| {
        out.array(3)?.bytes(&node.0)?.bytes(&incarnation_bytes(&mark.incarnation))?.u64(mark.counter).map(drop)
    });
}

pub(super) fn read_marks(input: &mut FieldReader<'_>, number: u64) -> Result<BTreeMap<NodeId, AckMark>, Malformed> {
    let marks = input.list(number, limits::MEMBERS_MAX, |input| {
        item_tuple(input, "acknowledgement mark", 3)?;
        let node = NodeId(item_array(input, "acknowledgement mark")?);
        let incarnation = incarnation_of(item_array(input, "acknowledgement mark")?);
        Ok((node, AckMark { incarnation, counter: item_number(input, "acknowledgement mark")? }))
    })?;
    let rises = marks.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
    if rises { Ok(marks.into_iter().collect()) } else { Err(Malformed::Invalid("acknowledgement marks")) }
}

/// The beginning of a text, cut between characters.
pub(super) fn clipped(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}
