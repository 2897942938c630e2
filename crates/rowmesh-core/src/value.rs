//! Exact values: what a database held, bit for bit, with one canonical encoding. No conversions between types live here.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::encode::{Malformed, Reader, Writer};
use crate::ident::hex;
use crate::limits;

/// The name of a table, as the database spells it.
pub type TableName = Arc<str>;
/// The name of a column, as the database spells it.
pub type ColumnName = Arc<str>;

/// One value of one column. Equal means identical: 1 is not 1.0, 0.0 is not -0.0, and every NaN is the one NaN.
#[derive(Clone, Debug)]
pub enum Value {
    /// No value.
    Null,
    /// Truth, where the database has a type for it.
    Boolean(bool),
    /// 64-bit signed integer.
    Integer(i64),
    /// IEEE 754 double.
    Real(f64),
    /// Text in the database's encoding; SQLite lets it hold bytes that are not UTF-8, and so do we.
    Text(Bytes),
    /// Bytes.
    Blob(Bytes),
    /// Exact decimal of any length, in its shortest text that keeps the scale (`1.10` is not `1.1`).
    Decimal(String),
    /// A value of a type that has no form of its own here: the type's name and its canonical text.
    Typed(Arc<str>, String),
    /// A number that a database handed out as the key of a row, and which of the rows it means that were ever given this number. Stands in events and
    /// row states, in the row's key and in what refers to it; never in a table.
    Born(i64, Birthmark),
}

/// Tells a row from all others that were given its number: a hash of what is known of the insert that made it, the same for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Birthmark(pub u64);

/// The bytes of a value: few in place, many shared. A row is copied again and again on its way; its long texts are not.
#[derive(Clone)]
pub struct Bytes(Held);

#[derive(Clone)]
enum Held {
    Few(u8, [u8; FEW]),
    Many(Arc<[u8]>),
}

/// As many as fit where the reference to shared ones would stand.
const FEW: usize = 22;

/// First byte of an encoded text.
const TEXT: u8 = 3;
/// First byte of an encoded number of a row.
const BORN: u8 = 8;

/// Longest blob that JSON for people spells out; a longer one is named by length and hash.
const BLOB_BYTES_SPELT: usize = 1_024;

impl Value {
    /// Text from a string.
    pub fn text(text: &str) -> Value {
        Value::Text(text.as_bytes().into())
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The text, where it is text in UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Rough bytes it takes, for budgets.
    pub fn weight(&self) -> usize {
        match self {
            Value::Null | Value::Boolean(_) => 1,
            Value::Integer(_) | Value::Real(_) => 9,
            Value::Text(bytes) | Value::Blob(bytes) => bytes.len() + 4,
            Value::Decimal(text) => text.len() + 4,
            Value::Typed(name, text) => name.len() + text.len() + 8,
            Value::Born(..) => 18,
        }
    }

    /// What it is where nobody asks which row is meant: for a row's number the number.
    pub fn plain(&self) -> Cow<'_, Value> {
        match self {
            Value::Born(number, _) => Cow::Owned(Value::Integer(*number)),
            other => Cow::Borrowed(other),
        }
    }

    /// The same of a value of one's own.
    pub fn into_plain(self) -> Value {
        if let Value::Born(number, _) = self { Value::Integer(number) } else { self }
    }

    /// Appends the canonical bytes.
    pub fn encode(&self, out: &mut Writer) {
        match self {
            Value::Null => out.byte(0),
            Value::Integer(number) => {
                out.byte(1);
                out.signed(*number);
            }
            Value::Real(number) => {
                out.byte(2);
                out.raw(&real_bits(*number).to_be_bytes());
            }
            Value::Text(bytes) => {
                out.byte(TEXT);
                out.bytes(bytes);
            }
            Value::Blob(bytes) => {
                out.byte(4);
                out.bytes(bytes);
            }
            Value::Boolean(truth) => {
                out.byte(5);
                out.byte(u8::from(*truth));
            }
            Value::Decimal(text) => {
                out.byte(6);
                out.bytes(text.as_bytes());
            }
            Value::Typed(name, text) => {
                out.byte(7);
                out.bytes(name.as_bytes());
                out.bytes(text.as_bytes());
            }
            Value::Born(number, birth) => {
                out.byte(BORN);
                out.signed(*number);
                out.raw(&birth.0.to_be_bytes());
            }
        }
    }

    /// Reads one value.
    pub fn decode(input: &mut Reader<'_>) -> Result<Value, Malformed> {
        let limit = limits::EVENT_BYTES_MAX;
        Ok(match input.byte("value")? {
            0 => Value::Null,
            1 => Value::Integer(input.signed("integer")?),
            2 => Value::Real(decode_real(u64::from_be_bytes(input.array("real")?))?),
            TEXT => Value::Text(input.bytes("text", limit)?.into()),
            4 => Value::Blob(input.bytes("blob", limit)?.into()),
            5 => match input.byte("boolean")? {
                0 => Value::Boolean(false),
                1 => Value::Boolean(true),
                _ => return Err(Malformed::Invalid("boolean")),
            },
            6 => Value::Decimal(utf8(input.bytes("decimal", limit)?, "decimal")?),
            7 => {
                Value::Typed(input.name("type name")?.into(), utf8(input.bytes("typed value", limit)?, "typed value")?)
            }
            BORN => Value::Born(input.signed("number of a row")?, Birthmark(u64::from_be_bytes(input.array("birth")?))),
            _ => return Err(Malformed::Invalid("value kind")),
        })
    }

    /// Appends JSON for people and for queries: exact for NULL, booleans, integers, finite reals, UTF-8 text and short blobs;
    /// what JSON cannot hold becomes an object that names its type.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Boolean(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Value::Integer(number) | Value::Born(number, _) => write_display(out, number),
            Value::Real(number) if is_short(*number) => write_display(out, &format_args!("{}.0", *number as i64)),
            Value::Real(number) if number.is_finite() => write_display(out, &format_args!("{number:?}")),
            Value::Real(number) => write_display(out, &format_args!("{{\"real\":\"{number}\"}}")),
            Value::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => write_json_string(out, text),
                Err(_) => write_display(out, &format_args!("{{\"text\":\"{}\"}}", hex(bytes))),
            },
            Value::Blob(bytes) if bytes.len() <= BLOB_BYTES_SPELT => {
                write_display(out, &format_args!("{{\"blob\":\"{}\"}}", hex(bytes)));
            }
            Value::Blob(bytes) => write_display(
                out,
                &format_args!("{{\"blob_bytes\":{},\"blake3\":\"{}\"}}", bytes.len(), blake3::hash(bytes).to_hex()),
            ),
            Value::Decimal(text) => write_json_string(out, text),
            Value::Typed(_, text) => write_json_string(out, text),
        }
    }

    /// The JSON of [`Value::write_json`].
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        if bytes.len() > FEW {
            return Bytes(Held::Many(bytes.into()));
        }
        let mut few = [0; FEW];
        few[..bytes.len()].copy_from_slice(bytes);
        Bytes(Held::Few(bytes.len() as u8, few))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        bytes.as_slice().into()
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Held::Few(length, bytes) => &bytes[..usize::from(*length)],
            Held::Many(bytes) => bytes,
        }
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Boolean(a), Value::Boolean(b)) => a == b,
            (Value::Integer(a), Value::Integer(b)) => a == b,
            (Value::Real(a), Value::Real(b)) => real_bits(*a) == real_bits(*b),
            (Value::Text(a), Value::Text(b)) | (Value::Blob(a), Value::Blob(b)) => a == b,
            (Value::Decimal(a), Value::Decimal(b)) => a == b,
            (Value::Typed(a, x), Value::Typed(b, y)) => a == b && x == y,
            (Value::Born(a, x), Value::Born(b, y)) => (a, x) == (b, y),
            _ => false,
        }
    }
}

impl Eq for Value {}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Integer(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::text(text)
    }
}

/// The key of one row: canonical bytes of its key columns' values, in the order of the table's key. Compares as bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Key(pub Vec<u8>);

impl Key {
    /// The key made of these values.
    pub fn of<'v>(values: impl IntoIterator<Item = &'v Value>) -> Key {
        let mut out = Writer(Vec::with_capacity(40));
        for value in values {
            value.encode(&mut out);
        }
        Key(out.0)
    }

    /// The values it is made of.
    ///
    /// # Errors
    /// If the bytes are no key.
    pub fn values(&self) -> Result<Vec<Value>, Malformed> {
        let mut input = Reader::new(&self.0);
        let mut values = Vec::with_capacity(1);
        while input.rest() > 0 {
            values.push(Value::decode(&mut input)?);
        }
        Ok(values)
    }

    /// For people: the bare value where there is one, else a JSON array.
    pub fn to_display(&self) -> String {
        if let Some(text) = self.as_text() {
            return text.to_owned();
        }
        match self.values() {
            Ok(values) if values.len() == 1 => values[0].to_json(),
            Ok(values) => {
                let parts: Vec<String> = values.iter().map(Value::to_json).collect();
                format!("[{}]", parts.join(","))
            }
            Err(_) => hex(&self.0),
        }
    }

    /// The text that it consists of, where it is one in UTF-8.
    fn as_text(&self) -> Option<&str> {
        let mut input = Reader::new(&self.0);
        let is_text = input.byte("value").ok()? == TEXT;
        let text = input.bytes("text", limits::EVENT_BYTES_MAX).ok().filter(|_| is_text && input.rest() == 0)?;
        std::str::from_utf8(text).ok()
    }
}

/// Appends an object of names and values.
pub fn write_json_object<'v>(out: &mut String, fields: impl IntoIterator<Item = (&'v str, &'v Value)>) {
    out.push('{');
    for (index, (name, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_json_string(out, name);
        out.push(':');
        value.write_json(out);
    }
    out.push('}');
}

/// Appends a JSON string.
pub fn write_json_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    // What needs no escape, nearly always all of it, is copied as a whole.
    while let Some(position) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.push_str(&rest[..position]);
        match rest.as_bytes()[position] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => write_display(out, &format_args!("\\u{control:04x}")),
        }
        rest = &rest[position + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

fn write_display(out: &mut String, what: &dyn std::fmt::Display) {
    write!(out, "{what}").expect("writing to a String never fails");
}

/// Whether a real is a whole number that its shortest form writes out, with `.0` behind it: an amount, mostly.
fn is_short(number: f64) -> bool {
    number.fract() == 0.0 && number.abs() < 1e15 && (number != 0.0 || number.is_sign_positive())
}

fn real_bits(number: f64) -> u64 {
    if number.is_nan() { f64::NAN.to_bits() } else { number.to_bits() }
}

fn decode_real(bits: u64) -> Result<f64, Malformed> {
    let number = f64::from_bits(bits);
    if real_bits(number) == bits { Ok(number) } else { Err(Malformed::Invalid("real")) }
}

fn utf8(bytes: &[u8], what: &'static str) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::Invalid(what))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Boolean),
            any::<i64>().prop_map(Value::Integer),
            any::<u64>().prop_map(|bits| Value::Real(f64::from_bits(bits))),
            any::<Vec<u8>>().prop_map(|bytes| Value::Text(bytes.into())),
            any::<Vec<u8>>().prop_map(|bytes| Value::Blob(bytes.into())),
            "-?[0-9]{1,30}(\\.[0-9]{1,30})?".prop_map(Value::Decimal),
            ("[a-z]{1,9}", ".{0,20}").prop_map(|(name, text)| Value::Typed(name.into(), text)),
            (any::<i64>(), any::<u64>()).prop_map(|(number, birth)| Value::Born(number, Birthmark(birth))),
        ]
    }

    proptest! {
        #[test]
        fn f13_values_come_back_bit_for_bit(value in any_value()) {
            let mut out = Writer::default();
            value.encode(&mut out);
            let mut input = Reader::new(&out.0);
            prop_assert_eq!(Value::decode(&mut input), Ok(value));
            prop_assert_eq!(input.end("value"), Ok(()));
        }

        #[test]
        fn k13_any_bytes_that_decode_encode_to_themselves(bytes: Vec<u8>) {
            let mut input = Reader::new(&bytes);
            if let Ok(value) = Value::decode(&mut input) {
                let mut out = Writer::default();
                value.encode(&mut out);
                prop_assert_eq!(&out.0[..], &bytes[..bytes.len() - input.rest()]);
            }
        }

        #[test]
        fn keys_of_different_values_differ(a in proptest::collection::vec(any_value(), 1..4), b in proptest::collection::vec(any_value(), 1..4)) {
            prop_assert_eq!(Key::of(&a) == Key::of(&b), a == b);
            prop_assert_eq!(Key::of(&a).values(), Ok(a));
        }
    }

    #[test]
    fn f13_scale_sign_of_zero_and_number_kind_tell_values_apart() {
        assert_ne!(Value::Decimal("1.10".into()), Value::Decimal("1.1".into()));
        assert_ne!(Value::Real(0.0), Value::Real(-0.0));
        assert_ne!(Value::Integer(1), Value::Real(1.0));
        assert_eq!(Value::Real(f64::NAN), Value::Real(-f64::NAN));
    }

    proptest! {
        #[test]
        fn reals_in_json_are_written_in_their_shortest_form(whole in -20_000_000_000_000_000i64..20_000_000_000_000_000, bits: u64) {
            for number in [whole as f64, whole as f64 / 8.0, f64::from_bits(bits)] {
                if number.is_finite() {
                    prop_assert_eq!(Value::Real(number).to_json(), format!("{number:?}"));
                }
            }
        }

        #[test]
        fn strings_in_json_have_every_control_quote_and_backslash_escaped(text in ".{0,40}|[\\x00-\\x7f]{0,40}") {
            let mut expected = String::from("\"");
            for c in text.chars() {
                match c {
                    '"' | '\\' => expected.extend(['\\', c]),
                    '\n' => expected.push_str("\\n"),
                    '\r' => expected.push_str("\\r"),
                    '\t' => expected.push_str("\\t"),
                    c if u32::from(c) < 0x20 => expected.push_str(&format!("\\u{:04x}", u32::from(c))),
                    c => expected.push(c),
                }
            }
            expected.push('"');
            prop_assert_eq!(Value::text(&text).to_json(), expected);
        }
    }

    #[test]
    fn minus_zero_keeps_its_sign_in_json() {
        assert_eq!(Value::Real(-0.0).to_json(), "-0.0");
    }

    #[test]
    fn keys_are_shown_bare_where_they_are_one_value() {
        let shown = |values: &[Value]| Key::of(values).to_display();
        assert_eq!(shown(&[Value::text("a \"b\"")]), "a \"b\"");
        assert_eq!(shown(&[Value::text("")]), "");
        assert_eq!(shown(&[Value::Integer(-7)]), "-7");
        assert_eq!(shown(&[Value::text("a"), Value::Integer(1)]), "[\"a\",1]");
        assert_eq!(shown(&[Value::Text(vec![0xff].into())]), "{\"text\":\"ff\"}");
        assert_eq!(Key(vec![TEXT, 9, 1]).to_display(), "030901");
    }

    #[test]
    fn few_bytes_and_many_are_the_same_kind_of_bytes() {
        for length in [0, 1, FEW - 1, FEW, FEW + 1, 1_000] {
            let bytes: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let held = Bytes::from(bytes.clone());
            assert_eq!(*held, *bytes);
            assert_eq!(held, Bytes::from(&bytes[..]));
            assert_ne!(held, Bytes::from([&bytes[..], &[7]].concat()));
        }
    }

    #[test]
    fn json_for_people_keeps_what_json_can_hold() {
        let values = [
            Value::Null,
            Value::Integer(1 << 60),
            Value::Real(0.1),
            Value::text("a\"\n\u{1}é"),
            Value::Blob(vec![1, 255].into()),
        ];
        let json: Vec<String> = values.iter().map(Value::to_json).collect();
        assert_eq!(json, ["null", "1152921504606846976", "0.1", "\"a\\\"\\n\\u0001é\"", "{\"blob\":\"01ff\"}"]);
        assert_eq!(Value::Real(f64::INFINITY).to_json(), "{\"real\":\"inf\"}");
    }
}
