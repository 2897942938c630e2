//! CBOR maps with small numbers as keys: how messages evolve. Unknown numbers are skipped, unless they say that they must be
//! understood; keys come in order, so nothing can be said twice. Knows no message.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::collections::BTreeMap;
use std::convert::Infallible;

use minicbor::{Decoder, Encoder, decode, encode};

use crate::changeset::{decode_vector, encode_vector};
use crate::clock::VersionVector;
use crate::encode::{Malformed, Reader, Writer};
use crate::limits;

/// A field with such a number or a higher one must be understood, or the message is refused.
pub(super) const CRITICAL_FROM: u64 = 1_000;

/// Writes fields in ascending order of their numbers.
#[derive(Default)]
pub(super) struct FieldWriter {
    count: u64,
    body: Vec<u8>,
}

/// Fields by number, each with its bytes unread.
pub(super) struct FieldReader<'a> {
    what: &'static str,
    fields: BTreeMap<u64, &'a [u8]>,
}

impl FieldWriter {
    pub(super) fn number(&mut self, number: u64, value: u64) {
        self.put(number, |out| out.u64(value).map(drop));
    }

    pub(super) fn flag(&mut self, number: u64, value: bool) {
        self.put(number, |out| out.bool(value).map(drop));
    }

    pub(super) fn bytes(&mut self, number: u64, value: &[u8]) {
        self.put(number, |out| out.bytes(value).map(drop));
    }

    pub(super) fn text(&mut self, number: u64, value: &str) {
        self.put(number, |out| out.str(value).map(drop));
    }

    pub(super) fn vector(&mut self, number: u64, value: &VersionVector) {
        let mut bytes = Writer::default();
        encode_vector(&mut bytes, value);
        self.bytes(number, &bytes.0);
    }

    pub(super) fn list<T>(
        &mut self,
        number: u64,
        items: impl ExactSizeIterator<Item = T>,
        write: impl Fn(&mut Encoder<&mut Vec<u8>>, T) -> Result<(), encode::Error<Infallible>>,
    ) {
        self.put(number, |out| {
            out.array(items.len() as u64)?;
            items.into_iter().try_for_each(|item| write(out, item))
        });
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.body.len().saturating_add(9));
        sure(Encoder::new(&mut whole).map(self.count).map(drop));
        whole.extend_from_slice(&self.body);
        whole
    }

    fn put(
        &mut self,
        number: u64,
        write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Result<(), encode::Error<Infallible>>,
    ) {
        self.count = self.count.saturating_add(1);
        let mut out = Encoder::new(&mut self.body);
        sure(out.u64(number).map(drop));
        sure(write(&mut out));
    }
}

impl<'a> FieldReader<'a> {
    /// Takes a map apart.
    pub(super) fn new(what: &'static str, bytes: &'a [u8]) -> Result<FieldReader<'a>, Malformed> {
        let mut input = Decoder::new(bytes);
        let count = definite(what, input.map())?;
        let mut fields = BTreeMap::new();
        for _ in 0..count {
            let number = input.u64().map_err(|error| envelope(what, &error))?;
            if fields.last_key_value().is_some_and(|(last, _)| *last >= number) {
                return Err(Malformed::Invalid(what));
            }
            let start = input.position();
            input.skip().map_err(|error| envelope(what, &error))?;
            fields.insert(number, bytes.get(start..input.position()).unwrap_or_default());
        }
        if input.position() == bytes.len() { Ok(FieldReader { what, fields }) } else { Err(Malformed::Trailing(what)) }
    }

    /// Refuses the message if it holds fields that must be understood and have not been read.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        match self.fields.range(CRITICAL_FROM..).next() {
            None => Ok(()),
            Some(_) => Err(Malformed::Invalid("critical field")),
        }
    }

    pub(super) fn number(&mut self, number: u64, limit: u64) -> Result<u64, Malformed> {
        let what = self.what;
        let got = self.need(number, |input| input.u64())?;
        if got > limit { Err(Malformed::TooLarge { what, got, limit }) } else { Ok(got) }
    }

    pub(super) fn flag(&mut self, number: u64) -> Result<bool, Malformed> {
        Ok(self.find(number, |input| input.bool())?.unwrap_or(false))
    }

    pub(super) fn bytes(&mut self, number: u64, limit: usize) -> Result<&'a [u8], Malformed> {
        let bytes = self.need(number, |input| input.bytes())?;
        bounded(self.what, bytes, limit)
    }

    pub(super) fn optional_bytes(&mut self, number: u64, limit: usize) -> Result<Option<&'a [u8]>, Malformed> {
        let bytes = self.find(number, |input| input.bytes())?;
        bytes.map(|bytes| bounded(self.what, bytes, limit)).transpose()
    }

    pub(super) fn array<const N: usize>(&mut self, number: u64) -> Result<[u8; N], Malformed> {
        let what = self.what;
        self.bytes(number, N)?.try_into().map_err(|_| Malformed::Invalid(what))
    }

    pub(super) fn text(&mut self, number: u64, limit: usize) -> Result<String, Malformed> {
        let text = self.need(number, |input| input.str())?;
        bounded(self.what, text.as_bytes(), limit)?;
        Ok(text.to_owned())
    }

    pub(super) fn vector(&mut self, number: u64) -> Result<VersionVector, Malformed> {
        vector_of(self.bytes(number, limits::ACK_BYTES_MAX)?)
    }

    /// A version vector; an absent one is empty.
    pub(super) fn optional_vector(&mut self, number: u64) -> Result<VersionVector, Malformed> {
        let bytes = self.optional_bytes(number, limits::ACK_BYTES_MAX)?;
        bytes.map_or_else(|| Ok(VersionVector::new()), vector_of)
    }

    /// A list; an absent one is empty.
    pub(super) fn list<T>(
        &mut self,
        number: u64,
        limit: usize,
        read: impl Fn(&mut Decoder<'a>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let what = self.what;
        let Some(bytes) = self.fields.remove(&number) else { return Ok(Vec::new()) };
        let mut input = Decoder::new(bytes);
        let count = definite(what, input.array())?;
        if count > limit as u64 {
            return Err(Malformed::TooLarge { what, got: count, limit: limit as u64 });
        }
        // Every item takes a byte at least; `skip` has walked over all of them already.
        (0..count).map(|_| read(&mut input)).collect()
    }

    fn need<T>(
        &mut self,
        number: u64,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, decode::Error>,
    ) -> Result<T, Malformed> {
        self.find(number, read)?.ok_or(Malformed::Short(self.what))
    }

    fn find<T>(
        &mut self,
        number: u64,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, decode::Error>,
    ) -> Result<Option<T>, Malformed> {
        let Some(bytes) = self.fields.remove(&number) else { return Ok(None) };
        read(&mut Decoder::new(bytes)).map(Some).map_err(|error| envelope(self.what, &error))
    }
}

fn vector_of(bytes: &[u8]) -> Result<VersionVector, Malformed> {
    let mut input = Reader::new(bytes);
    let vector = decode_vector(&mut input)?;
    input.end("version vector")?;
    Ok(vector)
}

/// An item of a list: bytes up to a limit.
pub(super) fn item_bytes<'a>(input: &mut Decoder<'a>, what: &'static str, limit: usize) -> Result<&'a [u8], Malformed> {
    let bytes = input.bytes().map_err(|error| envelope(what, &error))?;
    bounded(what, bytes, limit)
}

/// The head of an item that is itself a list of known length.
pub(super) fn item_tuple(input: &mut Decoder<'_>, what: &'static str, length: u64) -> Result<(), Malformed> {
    let got = definite(what, input.array())?;
    if got == length { Ok(()) } else { Err(Malformed::Invalid(what)) }
}

/// An item of a list: a number that leaves room to count on.
pub(super) fn item_number(input: &mut Decoder<'_>, what: &'static str) -> Result<u64, Malformed> {
    let got = input.u64().map_err(|error| envelope(what, &error))?;
    let limit = limits::NUMBER_MAX;
    if got > limit { Err(Malformed::TooLarge { what, got, limit }) } else { Ok(got) }
}

/// An item of a list: bytes of one length.
pub(super) fn item_array<const N: usize>(input: &mut Decoder<'_>, what: &'static str) -> Result<[u8; N], Malformed> {
    item_bytes(input, what, N)?.try_into().map_err(|_| Malformed::Invalid(what))
}

/// An item of a list: a text up to a limit.
pub(super) fn item_text(input: &mut Decoder<'_>, what: &'static str, limit: usize) -> Result<String, Malformed> {
    let text = input.str().map_err(|error| envelope(what, &error))?;
    bounded(what, text.as_bytes(), limit)?;
    Ok(text.to_owned())
}

fn bounded<'a>(what: &'static str, bytes: &'a [u8], limit: usize) -> Result<&'a [u8], Malformed> {
    if bytes.len() > limit {
        return Err(Malformed::TooLarge { what, got: bytes.len() as u64, limit: limit as u64 });
    }
    Ok(bytes)
}

fn definite(what: &'static str, count: Result<Option<u64>, decode::Error>) -> Result<u64, Malformed> {
    count.map_err(|error| envelope(what, &error))?.ok_or(Malformed::Invalid(what))
}

fn envelope(what: &'static str, error: &decode::Error) -> Malformed {
    Malformed::Envelope { what, why: error.to_string() }
}

/// A vector of bytes takes every byte.
fn sure(result: Result<(), encode::Error<Infallible>>) {
    assert!(result.is_ok(), "encoding into memory failed");
}
