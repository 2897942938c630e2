//! PostgreSQL, through the `postgres` driver. Parameters go out as text, which the server reads as whatever type it has
//! given them; results come in as the types of their columns.

use std::{cell::RefCell, collections::HashMap, error::Error as StdError, fmt};

use bytes::BytesMut;
use postgres::{
    Client, NoTls, Statement,
    fallible_iterator::FallibleIterator,
    types::{Format, FromSql, IsNull, ToSql, Type, to_sql_checked},
};

use super::{Database, Dialect, Purpose, Result, Value};
use crate::calendar::{date_of_day, time_of_microsecond};

/// One connection to a PostgreSQL server.
pub struct Postgres(RefCell<Session>);

struct Session {
    client: Client,
    /// Prepared statements by the application's text.
    statements: HashMap<String, Statement>,
    is_in_transaction: bool,
}

/// More statements than the application has; those that tests make for each table are not kept for ever.
const STATEMENTS_KEPT: usize = 512;

impl Postgres {
    /// Opens a connection by a `postgres://` url, without TLS: the application runs beside its server.
    pub fn connect(url: &str) -> Result<Self> {
        let mut config: postgres::Config = url.parse()?;
        // A notice, as of a table that is there already, is nobody's business here.
        let client = config.application_name("business").notice_callback(|_| {}).connect(NoTls)?;
        Ok(Self(RefCell::new(Session { client, statements: HashMap::new(), is_in_transaction: false })))
    }

    fn end(&self, command: &str) -> Result<()> {
        let session = &mut *self.0.borrow_mut();
        session.is_in_transaction = false;
        Ok(session.client.batch_execute(command)?)
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").finish_non_exhaustive()
    }
}

impl Session {
    fn prepare(&mut self, sql: &str) -> Result<Statement> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= STATEMENTS_KEPT {
            self.statements.clear();
        }
        let statement = self.client.prepare(&sql.replace('?', "$"))?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

impl Database for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn execute(&self, sql: &str, parameters: &[Value]) -> Result<usize> {
        let session = &mut *self.0.borrow_mut();
        let statement = session.prepare(sql)?;
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|value| value as _).collect();
        let changed = session.client.execute(&statement, &parameters)?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    fn for_each(&self, sql: &str, parameters: &[Value], take: &mut dyn FnMut(Vec<Value>)) -> Result<()> {
        let session = &mut *self.0.borrow_mut();
        let statement = session.prepare(sql)?;
        let mut rows = session.client.query_raw(&statement, parameters)?;
        while let Some(row) = rows.next()? {
            take((0..row.len()).map(|at| row.try_get(at)).collect::<std::result::Result<_, _>>()?);
        }
        Ok(())
    }

    fn run(&self, script: &str) -> Result<()> {
        Ok(self.0.borrow_mut().client.batch_execute(script)?)
    }

    fn begin(&self, purpose: Purpose) -> Result<()> {
        let session = &mut *self.0.borrow_mut();
        session.client.batch_execute(match purpose {
            Purpose::Writing => "BEGIN",
            Purpose::Reading => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        })?;
        session.is_in_transaction = true;
        Ok(())
    }

    fn commit(&self) -> Result<()> {
        self.end("COMMIT")
    }

    fn rollback(&self) -> Result<()> {
        self.end("ROLLBACK")
    }

    fn is_in_transaction(&self) -> bool {
        self.0.borrow().is_in_transaction
    }
}

/// The driver's own text says little more than that something failed; the server's says what.
pub(super) fn message(error: &postgres::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl ToSql for Value {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Real(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Blob(bytes) => {
                out.extend_from_slice(b"\\x");
                out.extend_from_slice(hexadecimal(bytes).as_bytes());
            }
        }
        Ok(IsNull::No)
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(match *ty {
            Type::BOOL => Self::Integer(bool::from_sql(ty, raw)?.into()),
            Type::INT2 => Self::Integer(i16::from_sql(ty, raw)?.into()),
            Type::INT4 => Self::Integer(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Self::Integer(i64::from_sql(ty, raw)?),
            Type::FLOAT4 => Self::Real(f32::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Self::Real(f64::from_sql(ty, raw)?),
            Type::NUMERIC => decimal(raw)?,
            Type::TIMESTAMP | Type::TIMESTAMPTZ => Self::Text(time_of_microsecond(i64::from_sql(ty, raw)?)),
            Type::DATE => Self::Text(date_of_day(i32::from_sql(ty, raw)?.into())),
            Type::UUID => Self::Text(uuid(raw)),
            Type::BYTEA => Self::Blob(raw.to_vec()),
            // One byte for the version of the format.
            Type::JSONB => Self::Text(String::from_utf8(raw.get(1..).unwrap_or_default().to_vec())?),
            _ => Self::Text(String::from_utf8(raw.to_vec())?),
        })
    }

    fn from_sql_null(_: &Type) -> std::result::Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A NUMERIC comes as digits to the base of 10,000: their count, the weight of the first, the sign, the places to show, the digits.
/// A whole number is an integer, as it is in a DECIMAL column of SQLite's.
fn decimal(raw: &[u8]) -> std::result::Result<Value, Box<dyn StdError + Sync + Send>> {
    const NEGATIVE: u16 = 0x4000;
    let words: Vec<u16> = raw.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let [_, weight, sign @ (0 | NEGATIVE), _, digits @ ..] = words.as_slice() else {
        return Err("a number that is none".into());
    };
    let written: String = digits.iter().map(|digit| format!("{digit:04}")).collect();
    let exponent = (i32::from(*weight as i16) + 1 - digits.len() as i32) * 4;
    let sign = if *sign == NEGATIVE { "-" } else { "" };
    let number: f64 = format!("{sign}0{written}e{exponent}").parse()?;
    let is_whole = number.fract() == 0.0 && number.abs() < 1e15;
    Ok(if is_whole { Value::Integer(number as i64) } else { Value::Real(number) })
}

fn uuid(raw: &[u8]) -> String {
    let digits = hexadecimal(raw);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits.get(part).unwrap_or_default());
    parts.join("-")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_the_number_that_sqlite_would_hold() {
        let read = |words: &[u16]| {
            let raw: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            decimal(&raw).unwrap()
        };
        assert_eq!(read(&[0, 0, 0, 2]), Value::Integer(0));
        assert_eq!(read(&[1, 0, 0, 2, 45]), Value::Integer(45));
        assert_eq!(read(&[2, 0, 0, 2, 45, 9000]), Value::Real(45.9));
        assert_eq!(read(&[1, 0xffff, 0x4000, 2, 500]), Value::Real(-0.05));
        assert_eq!(read(&[1, 1, 0, 0, 9]), Value::Integer(90_000));
        assert!(decimal(&[0, 0, 0, 0, 0xc0, 0, 0, 0]).is_err());
    }

    #[test]
    fn a_uuid_is_written_as_the_application_writes_it() {
        let bytes: Vec<u8> = (0..16).map(|place| place * 16).collect();
        assert_eq!(uuid(&bytes), "00102030-4050-6070-8090-a0b0c0d0e0f0");
    }
}
