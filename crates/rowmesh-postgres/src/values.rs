//! Exact conversion between PostgreSQL's values and ours, both ways. A row comes and goes as texts, since the text of a value is exact in
//! sessions with our settings and is the same for every type; what each type's text becomes is decided here, and docs/types.md tells it.
//! Values from elsewhere that a column cannot hold exactly are refused with the reason, never bent. Runs no statement.

use std::borrow::Cow;
use std::fmt;

use rowmesh_core::value::Value;

use crate::sql::quote;

/// What a column's type is, as far as its values' form goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `boolean`.
    Boolean,
    /// `smallint`, `integer` and `bigint`, by their bytes.
    Integer(u8),
    /// `real`: widened to a double, which is exact.
    Single,
    /// `double precision`.
    Double,
    /// `numeric`.
    Decimal,
    /// `text`, `varchar`, `char(n)`, `name`, `"char"`, `citext`, enums and `json`: their text is the value.
    Text,
    /// `uuid`: its text in small letters, so that it is the same key in a database without such a type.
    Uuid,
    /// `bytea`.
    Bytes,
    /// `timestamp with` and `without time zone`.
    Timestamp {
        /// Whether it is a moment rather than a reading of a clock.
        with_zone: bool,
    },
    /// `date`.
    Date,
    /// `jsonb`.
    Jsonb,
    /// All others: type name and canonical text.
    Other,
}

/// What reading and writing one column needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PgColumn {
    /// Its name.
    pub name: String,
    /// Its type without a length, qualified where need be: what a text is turned into. The assignment then refuses what is too long.
    pub cast: String,
    /// The name that values of this type travel under: without schema, array types as `element[]`.
    pub travels_as: String,
    /// What it is at bottom, behind all domains.
    pub kind: Kind,
    /// Length, precision or scale as PostgreSQL packs them; -1 for none.
    pub typmod: i32,
    /// Whether the database hands out its values: identity or a sequence as its default.
    pub handed_out: bool,
    /// The sequence that they come from, by its number in the server's catalog, where the catalog tells.
    pub sequence: Option<u32>,
    /// Whether it takes a value of ours only with OVERRIDING SYSTEM VALUE.
    pub always_identity: bool,
    /// Whether a value's text depends on how a session shows values.
    pub depends_on_settings: bool,
}

impl PgColumn {
    /// Whether values of it are equal exactly where they travel as equal ones, but for the scale of numbers, and every value that fits can be
    /// compared.
    pub fn is_equal_as_given(&self) -> bool {
        match self.kind {
            Kind::Text => ["text", "varchar", "bpchar", "name"].contains(&&*self.travels_as),
            Kind::Date | Kind::Jsonb | Kind::Other => false,
            _ => true,
        }
    }
}

/// Why a value cannot stand in a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misfit {
    /// The column.
    pub column: String,
    /// Why.
    pub reason: String,
}

/// A value on its way into a statement, as text; `None` is NULL.
pub type Parameter<'v> = Option<Cow<'v, str>>;

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {} cannot hold the value exactly: {}", self.column, self.reason)
    }
}

/// An expression for a row of `alias` as one array of texts, for [`read_row`].
pub fn row_expression<'c>(columns: impl IntoIterator<Item = &'c PgColumn>, alias: &str) -> String {
    let parts: Vec<String> = columns.into_iter().map(|column| text_expression(column, alias)).collect();
    format!("ARRAY[{}]::pg_catalog.text[]", parts.join(", "))
}

/// An expression for the text of one column.
pub fn text_expression(column: &PgColumn, alias: &str) -> String {
    let name = format!("{alias}.{}", quote(&column.name));
    match column.kind {
        Kind::Single => format!("{name}::pg_catalog.float8::pg_catalog.text"),
        Kind::Bytes => format!("pg_catalog.encode({name}, 'hex')"),
        _ => format!("{name}::pg_catalog.text"),
    }
}

/// An expression for the value of a column, of a parameter that [`fit`] made.
pub fn value_expression(column: &PgColumn, parameter: &str) -> String {
    match column.kind {
        Kind::Bytes => format!("pg_catalog.decode({parameter}, 'hex')::{}", column.cast),
        _ => format!("({parameter})::pg_catalog.text::{}", column.cast),
    }
}

/// A value as COPY's text format has it before its own escapes: as [`fit`] makes it, with what [`value_expression`] would do already done.
/// One that does not fit goes as NULL: whoever writes has asked before.
pub fn copied<'v>(column: &PgColumn, value: &'v Value) -> Parameter<'v> {
    let text = fit(column, value).ok().flatten()?;
    Some(if column.kind == Kind::Bytes { format!("\\x{text}").into() } else { text })
}

/// The values of a row that [`row_expression`] has fetched.
///
/// # Errors
/// If a text is not what its type writes: the expression was another's.
pub fn read_row<'c>(
    columns: impl IntoIterator<Item = &'c PgColumn>,
    texts: &[Option<&str>],
) -> Result<Vec<Value>, Misfit> {
    let mut values = Vec::with_capacity(texts.len());
    for (column, text) in columns.into_iter().zip(texts) {
        values.push(match text {
            None => Value::Null,
            Some(text) => read(column, text)?,
        });
    }
    Ok(values)
}

/// The value whose text [`text_expression`] has fetched.
///
/// # Errors
/// If it is not what the type writes.
pub fn read(column: &PgColumn, text: &str) -> Result<Value, Misfit> {
    let broken = || misfit(column, format!("{text:.40} is no text of its type"));
    Ok(match column.kind {
        Kind::Boolean => match text {
            "true" | "t" => Value::Boolean(true),
            "false" | "f" => Value::Boolean(false),
            _ => return Err(broken()),
        },
        Kind::Integer(_) => Value::Integer(text.parse().map_err(|_| broken())?),
        Kind::Single | Kind::Double => Value::Real(text.parse().map_err(|_| broken())?),
        Kind::Decimal if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && !text.ends_with('y') => {
            Value::Decimal(text.to_owned())
        }
        Kind::Text | Kind::Uuid | Kind::Date | Kind::Jsonb => Value::text(text),
        Kind::Timestamp { .. } => Value::text(&iso(text)),
        Kind::Bytes => Value::Blob(unhex(text).ok_or_else(broken)?.into()),
        Kind::Decimal | Kind::Other => Value::Typed(column.travels_as.as_str().into(), text.to_owned()),
    })
}

/// The text that makes a column hold exactly this value, wherever it comes from.
///
/// # Errors
/// If it cannot. What only the server can judge (a label of an enum, the grammar of a range, the length of a text) it refuses itself, when the
/// text is turned into the type.
pub fn fit<'v>(column: &PgColumn, value: &'v Value) -> Result<Parameter<'v>, Misfit> {
    if value.is_null() {
        return Ok(None);
    }
    let refuse = |reason: &str| Err(misfit(column, reason.to_owned()));
    let text = match (column.kind, value) {
        (Kind::Boolean, value) => Cow::Borrowed(fit_boolean(column, value)?),
        (Kind::Integer(bytes), value) => fit_integer(column, bytes, value)?,
        (Kind::Single, value) => {
            let number = as_real(column, value)?;
            if !number.is_nan() && f64::from(number as f32).to_bits() != number.to_bits() {
                return refuse("the number needs a double");
            }
            show_real(number)
        }
        (Kind::Double, value) => show_real(as_real(column, value)?),
        (Kind::Decimal, value) => fit_decimal(column, value)?,
        (Kind::Bytes, Value::Blob(bytes)) => hex(bytes).into(),
        (Kind::Bytes, _) => return refuse("it is no bytes"),
        (_, Value::Blob(_)) => return refuse("it is bytes"),
        (Kind::Uuid, value) => fit_uuid(column, value)?,
        (Kind::Text, value) => as_text(column, value)?,
        (Kind::Timestamp { .. }, Value::Integer(milliseconds)) => {
            moment(*milliseconds).ok_or_else(|| misfit(column, format!("{milliseconds} ms is no time")))?.into()
        }
        (Kind::Timestamp { with_zone }, value) => fit_timestamp(column, with_zone, as_text(column, value)?)?,
        (_, Value::Real(_)) => return refuse("a number is no text of this type"),
        (_, value) => as_text(column, value)?,
    };
    Ok(Some(text))
}

fn fit_boolean(column: &PgColumn, value: &Value) -> Result<&'static str, Misfit> {
    match value {
        Value::Boolean(true) | Value::Integer(1) => Ok("true"),
        Value::Boolean(false) | Value::Integer(0) => Ok("false"),
        Value::Text(_) => match value.as_str() {
            Some("true" | "t") => Ok("true"),
            Some("false" | "f") => Ok("false"),
            _ => Err(misfit(column, "the text is neither true nor false".to_owned())),
        },
        _ => Err(misfit(column, "it is neither true nor false".to_owned())),
    }
}

fn fit_integer<'v>(column: &PgColumn, bytes: u8, value: &'v Value) -> Result<Cow<'v, str>, Misfit> {
    let number = match value {
        Value::Integer(number) => *number,
        Value::Boolean(truth) => i64::from(*truth),
        // Not -0.0: it would come back as another value.
        Value::Real(real) if real.fract() == 0.0 && real.abs() < 9e15 && (*real != 0.0 || real.is_sign_positive()) => {
            *real as i64
        }
        Value::Decimal(text) => text.parse().map_err(|_| misfit(column, "it is no whole number".to_owned()))?,
        Value::Text(_) => {
            let canonical = value.as_str().and_then(|text| text.parse::<i64>().ok().filter(|n| n.to_string() == text));
            canonical.ok_or_else(|| misfit(column, "the text is no whole number".to_owned()))?
        }
        _ => return Err(misfit(column, "it is no whole number".to_owned())),
    };
    let bits = 8 * u32::from(bytes) - 1;
    let limit = 1i128 << bits;
    if !(-limit..limit).contains(&i128::from(number)) {
        return Err(misfit(column, format!("{number} is out of range")));
    }
    Ok(number.to_string().into())
}

fn as_real(column: &PgColumn, value: &Value) -> Result<f64, Misfit> {
    match value {
        Value::Real(number) => Ok(*number),
        Value::Integer(number) if i128::from(*number) == (*number as f64) as i128 => Ok(*number as f64),
        Value::Integer(_) => Err(misfit(column, "the whole number has more digits than a double".to_owned())),
        _ => Err(misfit(column, "it is no floating-point number".to_owned())),
    }
}

fn show_real(number: f64) -> Cow<'static, str> {
    if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        format!("{number:?}").into()
    }
}

fn fit_decimal<'v>(column: &PgColumn, value: &'v Value) -> Result<Cow<'v, str>, Misfit> {
    let text: Cow<'v, str> = match value {
        Value::Decimal(text) | Value::Typed(_, text) => text.into(),
        Value::Integer(number) => number.to_string().into(),
        // The shortest text that means this double and no other: what the application wrote.
        Value::Real(number) if *number == 0.0 && number.is_sign_negative() => {
            return Err(misfit(column, "a decimal has no negative zero".to_owned()));
        }
        Value::Real(number) if number.is_finite() => plain(&format!("{number}")).into(),
        Value::Real(number) => show_real(*number),
        Value::Text(_) => {
            let text = value.as_str().filter(|text| is_decimal(text));
            text.ok_or_else(|| misfit(column, "the text is no decimal number".to_owned()))?.into()
        }
        _ => return Err(misfit(column, "it is no number".to_owned())),
    };
    // numeric(p, s) would round what has more digits behind the point.
    if let Some(scale) = numeric_scale(column.typmod) {
        let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.trim_end_matches('0').len() as i32);
        if digits > scale {
            return Err(misfit(column, format!("{digits} digits behind the point, {scale} have room")));
        }
    }
    Ok(text)
}

/// A whole number that was stored as a double has no digits behind the point.
fn plain(text: &str) -> String {
    text.strip_suffix(".0").unwrap_or(text).to_owned()
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && all_digits(fraction)
}

fn numeric_scale(typmod: i32) -> Option<i32> {
    // Eleven bits with a sign, behind the four bytes of the header that every typmod of this kind counts.
    (typmod >= 4).then(|| (((typmod - 4) & 0x7ff) ^ 1024) - 1024)
}

fn fit_uuid<'v>(column: &PgColumn, value: &'v Value) -> Result<Cow<'v, str>, Misfit> {
    let text = as_text(column, value)?;
    let is_canonical = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    // Another spelling means the same UUID here and another key elsewhere.
    if is_canonical { Ok(text) } else { Err(misfit(column, "it is no UUID in small letters".to_owned())) }
}

fn as_text<'v>(column: &PgColumn, value: &'v Value) -> Result<Cow<'v, str>, Misfit> {
    let text: Cow<'v, str> = match value {
        Value::Text(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| misfit(column, "its bytes are not UTF-8".to_owned()))?;
            text.into()
        }
        Value::Typed(_, text) | Value::Decimal(text) => text.into(),
        Value::Integer(number) | Value::Born(number, _) => number.to_string().into(),
        Value::Boolean(truth) => if *truth { "true" } else { "false" }.into(),
        Value::Real(_) | Value::Blob(_) | Value::Null => {
            return Err(misfit(column, "it is no text".to_owned()));
        }
    };
    if text.contains('\0') {
        return Err(misfit(column, "PostgreSQL's texts hold no zero byte".to_owned()));
    }
    Ok(text)
}

/// Times in text, as PostgreSQL and as others write them. More than six digits of a second would be rounded; a zone would be dropped by a
/// type that has none, and guessed by one that needs it.
fn fit_timestamp<'v>(column: &PgColumn, with_zone: bool, text: Cow<'v, str>) -> Result<Cow<'v, str>, Misfit> {
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 6 && fraction[6..digits].bytes().any(|digit| digit != b'0') {
        return Err(misfit(column, "it has more digits than microseconds".to_owned()));
    }
    let is_special = text.ends_with("infinity");
    let time = text.get(11..).unwrap_or("");
    let has_zone = time.ends_with('Z') || time.contains(['+', '-']) || time.ends_with(" UTC");
    // ISO text of a moment at UTC is how others write what a clock there shows.
    let is_utc = time.ends_with('Z') || time.ends_with("+00") || time.ends_with("+00:00");
    if !with_zone && has_zone && !is_utc {
        return Err(misfit(column, "it names a time zone, and the column has none".to_owned()));
    }
    if with_zone && !has_zone && !is_special && !text.ends_with(" BC") {
        return Ok(format!("{text}+00").into());
    }
    Ok(text)
}

/// A time as PostgreSQL writes it in UTC, in the form in which it travels, which is that of applications on databases without such a type:
/// `2026-01-31T12:00:00.000Z`, with more digits where there are more. What has no such form, as `infinity` or a year before Christ, travels as
/// it is.
fn iso(text: &str) -> Cow<'_, str> {
    let time = text.strip_suffix("+00").unwrap_or(text);
    let Some((date, clock)) = time.split_once(' ') else { return text.into() };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let is_plain = is_shaped(date, "0000-00-00") && is_shaped(clock, "00:00:00");
    if is_plain && fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{date}T{clock}.{fraction:0<3}Z").into()
    } else {
        text.into()
    }
}

/// Whether a time has the form that [`iso`] gives.
fn is_iso(text: &str) -> bool {
    let Some((seconds, fraction)) = text.strip_suffix('Z').and_then(|text| text.split_once('.')) else { return false };
    let digits = fraction.len();
    let is_shortest = digits == 3 || ((4..=6).contains(&digits) && !fraction.ends_with('0'));
    is_shaped(seconds, "0000-00-00T00:00:00") && is_shortest && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text is the pattern with any digits for its zeros.
fn is_shaped(text: &str, pattern: &str) -> bool {
    let fits = |(byte, wanted): (u8, u8)| if wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(fits)
}

/// Whether a value that fits a column stands exactly as it is given, so that nobody has to look how it stands.
pub fn stands_as_given(column: &PgColumn, value: &Value) -> bool {
    match (column.kind, value) {
        (_, Value::Null)
        | (Kind::Boolean, Value::Boolean(_))
        | (Kind::Integer(_), Value::Integer(_))
        | (Kind::Single | Kind::Double, Value::Real(_))
        | (Kind::Bytes, Value::Blob(_))
        | (Kind::Uuid, Value::Text(_)) => true,
        (Kind::Decimal, Value::Decimal(text)) => {
            let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
            is_decimal(text) && numeric_scale(column.typmod).is_none_or(|scale| scale == digits)
        }
        (Kind::Text, Value::Text(bytes)) => !bytes.ends_with(b" "),
        (Kind::Date, Value::Text(_)) => value.as_str().is_some_and(|text| is_shaped(text, "0000-00-00")),
        (Kind::Timestamp { .. }, Value::Text(_)) => column.typmod < 0 && value.as_str().is_some_and(is_iso),
        (Kind::Other, Value::Typed(name, _)) => **name == *column.travels_as && column.typmod < 0,
        _ => false,
    }
}

/// Milliseconds since 1970 as a moment in text.
fn moment(milliseconds: i64) -> Option<String> {
    let (seconds, rest) = (milliseconds.div_euclid(1000), milliseconds.rem_euclid(1000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days)?;
    let (shown, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Some(format!("{shown:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{rest:03}+00{era}"))
}

/// Year, month and day of a day counted from 1970, in the calendar that PostgreSQL counts by; `None` beyond its years.
fn civil(days: i64) -> Option<(i64, i64, i64)> {
    let days = days.checked_add(719_468).filter(|days| (-2_000_000..108_000_000).contains(days))?;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    Some((year_of_era + era * 400 + i64::from(month <= 2), month, day))
}

fn misfit(column: &PgColumn, reason: String) -> Misfit {
    Misfit { column: column.name.clone(), reason }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: Kind, typmod: i32) -> PgColumn {
        PgColumn {
            name: "c".into(),
            cast: "x".into(),
            travels_as: "x".into(),
            kind,
            typmod,
            handed_out: false,
            sequence: None,
            always_identity: false,
            depends_on_settings: false,
        }
    }

    fn check(kind: Kind, typmod: i32, value: Value, expected: Option<&str>) {
        let fitted = fit(&column(kind, typmod), &value);
        assert_eq!(fitted.as_ref().ok().map(|text| text.as_deref()), expected.map(Some), "{kind:?} {value:?}");
    }

    #[test]
    fn i9_what_a_column_cannot_hold_exactly_is_refused_not_bent() {
        check(Kind::Integer(4), -1, Value::Integer(1 << 31), None);
        check(Kind::Integer(4), -1, Value::Integer(-(1 << 31)), Some("-2147483648"));
        check(Kind::Integer(8), -1, Value::Real(-0.0), None);
        check(Kind::Integer(8), -1, Value::Real(7.0), Some("7"));
        check(Kind::Integer(8), -1, Value::text("007"), None);
        check(Kind::Single, -1, Value::Real(0.1), None);
        check(Kind::Single, -1, Value::Real(f64::from(0.1f32)), Some("0.10000000149011612"));
        check(Kind::Double, -1, Value::Integer((1 << 53) + 1), None);
        check(Kind::Text, -1, Value::text("a\0b"), None);
        check(Kind::Text, -1, Value::Text(vec![0xff].into()), None);
        check(Kind::Bytes, -1, Value::text("x"), None);
        check(Kind::Boolean, -1, Value::Integer(2), None);
        check(Kind::Uuid, -1, Value::text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), None);
        // numeric(10, 2)
        let two_digits = (10 << 16 | 2) + 4;
        check(Kind::Decimal, two_digits, Value::Decimal("1.005".into()), None);
        check(Kind::Decimal, two_digits, Value::Decimal("1.500".into()), Some("1.500"));
        check(Kind::Decimal, -1, Value::Real(-0.0), None);
        check(Kind::Timestamp { with_zone: true }, -1, Value::text("2024-01-01T00:00:00.0000001Z"), None);
        check(Kind::Timestamp { with_zone: false }, -1, Value::text("2024-01-01 00:00:00+02"), None);
    }

    #[test]
    fn i9_what_another_database_writes_finds_its_exact_form() {
        check(Kind::Boolean, -1, Value::Integer(1), Some("true"));
        check(Kind::Decimal, -1, Value::Real(12.5), Some("12.5"));
        check(Kind::Decimal, -1, Value::Real(12.0), Some("12"));
        let with_zone = Kind::Timestamp { with_zone: true };
        check(with_zone, -1, Value::Integer(1_700_000_000_123), Some("2023-11-14 22:13:20.123+00"));
        check(with_zone, -1, Value::Integer(-62_135_596_800_001), Some("0001-12-31 23:59:59.999+00 BC"));
        check(with_zone, -1, Value::text("2024-01-01 00:00:00"), Some("2024-01-01 00:00:00+00"));
        check(with_zone, -1, Value::Integer(i64::MAX), None);
    }
}
