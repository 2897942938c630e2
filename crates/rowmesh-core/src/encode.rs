//! The canonical byte form that hashes and signatures are made over: variable-length integers and length-prefixed bytes.
//! One value has exactly one encoding, so bytes verified are bytes meant. Envelopes that evolve are CBOR (`wire`), not this.

use thiserror::Error;

use crate::ident::{Digest, Incarnation, NodeId, Origin, Seq};
use crate::limits;

/// Bytes from outside that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The bytes end inside a field.
    #[error("{0} is cut short")]
    Short(&'static str),
    /// A field holds a value that nobody writes.
    #[error("{0} is not valid")]
    Invalid(&'static str),
    /// A field is larger than its limit.
    #[error("{what} is {got}, above the limit of {limit}")]
    TooLarge {
        /// The field.
        what: &'static str,
        /// What it says.
        got: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// Bytes follow where the value ends.
    #[error("{0} is followed by bytes that belong to nothing")]
    Trailing(&'static str),
    /// An envelope that is not the CBOR it should be.
    #[error("{what} is not readable: {why}")]
    Envelope {
        /// The message.
        what: &'static str,
        /// What the decoder says.
        why: String,
    },
}

/// Appends canonical bytes.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

/// Takes canonical bytes apart, refusing everything that `Writer` would not have written.
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl Writer {
    /// One byte.
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Seven bits a byte, lowest first, the top bit set on all but the last.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number as u8) | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Sign folded into the lowest bit, so that small numbers of either sign are short.
    pub fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    /// Length, then the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Bytes whose length the reader knows.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Node, then incarnation.
    pub fn origin(&mut self, origin: &Origin) {
        self.raw(&origin.node.0);
        self.number(u64::from(origin.incarnation.count));
        self.raw(&origin.incarnation.nonce.to_be_bytes());
    }
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    /// Bytes not yet read.
    pub fn rest(&self) -> usize {
        self.bytes.len()
    }

    /// Errs unless everything has been read.
    pub fn end(&self, what: &'static str) -> Result<(), Malformed> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Malformed::Trailing(what)) }
    }

    /// One byte.
    pub fn byte(&mut self, what: &'static str) -> Result<u8, Malformed> {
        let (first, rest) = self.bytes.split_first().ok_or(Malformed::Short(what))?;
        self.bytes = rest;
        Ok(*first)
    }

    /// A number in its shortest form.
    pub fn number(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed::Invalid(what));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                let padded = byte == 0 && shift > 0;
                return if padded { Err(Malformed::Invalid(what)) } else { Ok(number) };
            }
        }
        Err(Malformed::Invalid(what))
    }

    /// A number at or below `limit`.
    pub fn bounded(&mut self, what: &'static str, limit: u64) -> Result<u64, Malformed> {
        let got = self.number(what)?;
        if got > limit { Err(Malformed::TooLarge { what, got, limit }) } else { Ok(got) }
    }

    /// A count of things that take at least one byte each, so that no count can promise more than is there.
    pub fn count(&mut self, what: &'static str, limit: usize) -> Result<usize, Malformed> {
        let count = self.bounded(what, limit as u64)? as usize;
        if count > self.bytes.len() { Err(Malformed::Short(what)) } else { Ok(count) }
    }

    /// A signed number.
    pub fn signed(&mut self, what: &'static str) -> Result<i64, Malformed> {
        let folded = self.number(what)?;
        Ok(((folded >> 1) as i64) ^ -((folded & 1) as i64))
    }

    /// Bytes with their length before them.
    pub fn bytes(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], Malformed> {
        let length = self.bounded(what, limit as u64)? as usize;
        self.raw(what, length)
    }

    /// As many bytes as the caller knows there are.
    pub fn raw(&mut self, what: &'static str, length: usize) -> Result<&'a [u8], Malformed> {
        if length > self.bytes.len() {
            return Err(Malformed::Short(what));
        }
        let (head, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        Ok(head)
    }

    /// Bytes of a fixed length.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let bytes = self.raw(what, N)?;
        Ok(bytes.try_into().expect("raw returns the length asked for"))
    }

    /// A name in UTF-8.
    pub fn name(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        let bytes = self.bytes(what, limits::NAME_BYTES_MAX)?;
        let name = std::str::from_utf8(bytes).map_err(|_| Malformed::Invalid(what))?;
        if name.is_empty() { Err(Malformed::Invalid(what)) } else { Ok(name) }
    }

    /// A digest.
    pub fn digest(&mut self, what: &'static str) -> Result<Digest, Malformed> {
        self.array(what).map(Digest)
    }

    /// A node and an incarnation of it.
    pub fn origin(&mut self, what: &'static str) -> Result<Origin, Malformed> {
        let node = NodeId(self.array(what)?);
        let count = self.bounded(what, u64::from(u32::MAX))? as u32;
        let nonce = u64::from_be_bytes(self.array(what)?);
        Ok(Origin { node, incarnation: Incarnation { count, nonce } })
    }

    /// A sequence number.
    pub fn seq(&mut self, what: &'static str) -> Result<Seq, Malformed> {
        self.bounded(what, limits::NUMBER_MAX).map(Seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back_as_written(number: u64, signed: i64) {
            let mut writer = Writer::default();
            writer.number(number);
            writer.signed(signed);
            let mut reader = Reader::new(&writer.0);
            prop_assert_eq!(reader.number("n"), Ok(number));
            prop_assert_eq!(reader.signed("s"), Ok(signed));
            prop_assert_eq!(reader.end("both"), Ok(()));
        }

        #[test]
        fn k13_what_decodes_encodes_to_the_same_bytes(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            if let Ok(number) = reader.number("n") {
                let mut writer = Writer::default();
                writer.number(number);
                prop_assert_eq!(&writer.0[..], &bytes[..bytes.len() - reader.rest()]);
            }
        }
    }

    #[test]
    fn k21_a_length_beyond_the_bytes_is_refused_before_anything_is_allocated() {
        let mut writer = Writer::default();
        writer.number(1 << 40);
        assert!(matches!(Reader::new(&writer.0).bytes("blob", 100), Err(Malformed::TooLarge { .. })));
        assert!(matches!(Reader::new(&writer.0).bytes("blob", usize::MAX), Err(Malformed::Short("blob"))));
        assert!(matches!(Reader::new(&writer.0).count("rows", usize::MAX), Err(Malformed::Short("rows"))));
    }
}
