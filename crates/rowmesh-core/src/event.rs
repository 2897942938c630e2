//! One row's insert, update or delete as it travels: exact images, and what it knew. How many make a changeset is `changeset`'s business.

use std::sync::Arc;

use crate::amount::Amount;
use crate::clock::{Lamport, VersionVector};
use crate::encode::{Malformed, Reader, Writer};
use crate::ident::{Dot, Origin, Seq};
use crate::limits;
use crate::value::{ColumnName, Key, TableName, Value};

/// What was done to a row, as its net effect in one seal round.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operation {
    /// The row was not there before.
    Insert,
    /// Some of its columns changed.
    Update,
    /// It is gone.
    Delete,
}

/// A table as the origin had it when it sealed: events name columns by their position in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableShape {
    /// The table.
    pub name: TableName,
    /// Its columns in the origin's order.
    pub columns: Vec<ColumnName>,
    /// Positions of the key's columns in the key's order.
    pub key: Vec<u16>,
}

/// Numbered fields of later versions, ascending.
pub type Extras = Vec<(u64, Vec<u8>)>;

/// Number of the extra field that says of a delete: the row still stands at its origin, it left the scope. Empty.
pub const EXTRA_LEAVES_SCOPE: u64 = 1;

/// Number of the extra field that names columns, by position: what this event wrote there is counted anew, and no change to what stood before. A
/// list of numbers, ascending.
pub const EXTRA_COUNTED_ANEW: u64 = 2;

/// Number of the extra field that names claims of other rows on unique values that this event wrote: its node knew them, and they give way to it. A
/// list of keys and changesets.
pub const EXTRA_BEATS: u64 = 3;

/// A claim of another row of the same table: its key, and the changeset of the write that claims.
pub type Beaten = (Key, Dot);

/// Whether these fields of a delete say that the row left the scope.
pub fn leaves_scope(extras: &Extras) -> bool {
    extras.iter().any(|(number, _)| *number == EXTRA_LEAVES_SCOPE)
}

/// One row's change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Position of the table in the changeset's list of shapes.
    pub table: u16,
    /// What happened.
    pub operation: Operation,
    /// When, in the one order that respects causality.
    pub lamport: Lamport,
    /// The changeset whose insert made the row; this event's own for an insert of a new row.
    pub birth: Birth,
    /// Every column as it was shown before; empty for an insert.
    pub before: Vec<Value>,
    /// The columns written, by position, ascending: all for an insert, those that differ for an update, none for a delete.
    pub written: Vec<(u16, Value)>,
    /// Makes the event's hash say nothing about its content to those who may not have it.
    pub salt: [u8; 16],
    /// Numbered fields of later versions, ascending, kept and forwarded as they are: references by identity, claims known to lose.
    pub extras: Extras,
}

/// What a write did to a column, as counters see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// From one number to another: the difference.
    By(Amount),
    /// It says what number there is, whatever stood before: it made the row, was counted anew, or there was no number.
    To,
    /// It left no number.
    None,
}

impl Change {
    /// From what stood before, if that counts, to what stands now.
    pub fn of(before: Option<&Value>, after: &Value) -> Change {
        if Amount::of(after).is_none() {
            return Change::None;
        }
        before.and_then(|before| Amount::difference(before, after)).map_or(Change::To, Change::By)
    }
}

/// Which insert made the row that an event is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Birth {
    /// This very event.
    Here,
    /// The insert in that changeset, under the same table and key.
    At(Dot),
}

/// The unique name of one event.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventId {
    /// The changeset.
    pub dot: Dot,
    /// The table.
    pub table: TableName,
    /// The row.
    pub key: Key,
}

/// What an origin knew when it sealed: a vector clock, less the events that it held parked then.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// Everything the origin's row states reflected, its own earlier changesets included.
    pub vector: VersionVector,
    /// Events inside the vector that nobody there could see in a table yet: all of those in the rows that the changeset touches, and where
    /// there is room for all ([`crate::limits::PARKED_NAMED_MAX`]), those of other rows too. Sorted.
    pub parked: Arc<Vec<EventId>>,
}

impl Operation {
    /// As `sync_events` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Insert => "INSERT",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
        }
    }

    /// Reads what [`Operation::as_str`] writes.
    pub fn parse(text: &str) -> Option<Operation> {
        [Operation::Insert, Operation::Update, Operation::Delete]
            .into_iter()
            .find(|operation| operation.as_str() == text)
    }
}

impl Context {
    /// Whether the origin had seen what that changeset did to this row.
    pub fn sees(&self, dot: &Dot, table: &str, key: &Key) -> bool {
        self.vector.covers(dot) && !self.parked.iter().any(|id| id.dot == *dot && *id.table == *table && id.key == *key)
    }
}

impl Event {
    /// The row's key, from the image that has one.
    pub fn key(&self, shape: &TableShape) -> Key {
        match self.operation {
            Operation::Insert => Key::of(shape.key.iter().map(|column| &self.written[usize::from(*column)].1)),
            _ => Key::of(shape.key.iter().map(|column| &self.before[usize::from(*column)])),
        }
    }

    /// The columns of which it says that their values were counted anew, by position, ascending.
    pub fn counted_anew(&self) -> Vec<u16> {
        let field = self.extras.iter().find(|(number, _)| *number == EXTRA_COUNTED_ANEW);
        let columns = field.map(|(_, bytes)| decode_columns(bytes, limits::COLUMNS_MAX).unwrap_or_default());
        columns.unwrap_or_default()
    }

    /// What it did to a column that it wrote, for whoever adds up.
    pub fn change(&self, column: u16, after: &Value) -> Change {
        let before = self.before.get(usize::from(column));
        Change::of(before.filter(|_| self.counted_anew().binary_search(&column).is_err()), after)
    }

    /// Every column as the event left it; `None` for a delete.
    pub fn after(&self) -> Option<Vec<Value>> {
        match self.operation {
            Operation::Delete => None,
            Operation::Insert => Some(self.written.iter().map(|(_, value)| value.clone()).collect()),
            Operation::Update => {
                let mut after = self.before.clone();
                for (column, value) in &self.written {
                    after[usize::from(*column)] = value.clone();
                }
                Some(after)
            }
        }
    }

    /// The changeset whose insert made the row, told from inside changeset `own`.
    pub fn birth_dot(&self, own: Dot) -> Dot {
        match self.birth {
            Birth::Here => own,
            Birth::At(dot) => dot,
        }
    }

    /// What [`Event::weight`] is at least.
    pub const WEIGHT_MIN: usize = 64;

    /// Rough bytes it takes, for budgets.
    pub fn weight(&self) -> usize {
        let before: usize = self.before.iter().map(Value::weight).sum();
        let written: usize = self.written.iter().map(|(_, value)| value.weight() + 2).sum();
        before + written + Event::WEIGHT_MIN
    }

    /// Appends the canonical bytes. `origins` is the changeset's list; each birth's origin must be in it.
    pub(crate) fn encode(&self, out: &mut Writer, origins: &[Origin]) {
        out.number(u64::from(self.table));
        out.byte(self.operation as u8);
        out.number(self.lamport.0);
        match self.birth {
            Birth::Here => out.number(0),
            Birth::At(dot) => {
                let index = origins.binary_search(&dot.origin).expect("the list has the origin of every birth");
                out.number(index as u64 + 1);
                out.number(dot.seq.0);
            }
        }
        out.raw(&self.salt);
        if self.operation != Operation::Insert {
            for value in &self.before {
                value.encode(out);
            }
        }
        match self.operation {
            Operation::Insert => self.written.iter().for_each(|(_, value)| value.encode(out)),
            Operation::Update => {
                out.number(self.written.len() as u64);
                for (column, value) in &self.written {
                    out.number(u64::from(*column));
                    value.encode(out);
                }
            }
            Operation::Delete => {}
        }
        out.number(self.extras.len() as u64);
        for (number, bytes) in &self.extras {
            out.number(*number);
            out.bytes(bytes);
        }
    }

    /// Reads one event; checks every position against the shapes.
    pub(crate) fn decode(
        input: &mut Reader<'_>,
        shapes: &[TableShape],
        origins: &[Origin],
    ) -> Result<Event, Malformed> {
        let table = input.bounded("event table", shapes.len().saturating_sub(1) as u64)? as u16;
        let shape = shapes.get(usize::from(table)).ok_or(Malformed::Invalid("event table"))?;
        let operation = match input.byte("operation")? {
            0 => Operation::Insert,
            1 => Operation::Update,
            2 => Operation::Delete,
            _ => return Err(Malformed::Invalid("operation")),
        };
        let lamport = Lamport(input.bounded("lamport", limits::NUMBER_MAX)?);
        let birth = match input.bounded("birth origin", origins.len() as u64)? {
            0 => Birth::Here,
            index => {
                let origin = origins[index as usize - 1];
                Birth::At(Dot { origin, seq: Seq(input.bounded("birth seq", limits::NUMBER_MAX)?) })
            }
        };
        let salt = input.array("salt")?;
        let width = shape.columns.len();
        let before = match operation {
            Operation::Insert => Vec::new(),
            _ => (0..width).map(|_| Value::decode(input)).collect::<Result<_, _>>()?,
        };
        let written = match operation {
            Operation::Insert => {
                (0..width).map(|column| Ok((column as u16, Value::decode(input)?))).collect::<Result<_, _>>()?
            }
            Operation::Update => decode_written(input, shape)?,
            Operation::Delete => Vec::new(),
        };
        let extras = decode_extras(input)?;
        if let Some((_, bytes)) = extras.iter().find(|(number, _)| *number == EXTRA_COUNTED_ANEW) {
            decode_columns(bytes, width)?;
        }
        if let Some((_, bytes)) = extras.iter().find(|(number, _)| *number == EXTRA_BEATS) {
            decode_beaten(bytes)?;
        }
        let event = Event { table, operation, lamport, birth, before, written, salt, extras };
        event.check_key(shape)?;
        Ok(event)
    }

    /// Refuses a key that no index of every database holds. A small event has a small key: only others are worth encoding it for.
    fn check_key(&self, shape: &TableShape) -> Result<(), Malformed> {
        let limit = limits::KEY_BYTES_MAX;
        if self.weight() < limit / 4 {
            return Ok(());
        }
        let got = self.key(shape).0.len();
        if got <= limit {
            return Ok(());
        }
        Err(Malformed::TooLarge { what: "event key", got: got as u64, limit: limit as u64 })
    }
}

fn decode_written(input: &mut Reader<'_>, shape: &TableShape) -> Result<Vec<(u16, Value)>, Malformed> {
    let count = input.count("written columns", shape.columns.len())?;
    let mut written: Vec<(u16, Value)> = Vec::with_capacity(count);
    for _ in 0..count {
        let column = input.bounded("written column", shape.columns.len().saturating_sub(1) as u64)? as u16;
        let rises = written.last().is_none_or(|(last, _)| *last < column);
        if !rises || shape.key.contains(&column) {
            return Err(Malformed::Invalid("written column"));
        }
        written.push((column, Value::decode(input)?));
    }
    if written.is_empty() { Err(Malformed::Invalid("written columns")) } else { Ok(written) }
}

fn decode_extras(input: &mut Reader<'_>) -> Result<Extras, Malformed> {
    let count = input.count("extra fields", limits::EXTRAS_MAX)?;
    let mut extras: Extras = Vec::with_capacity(count);
    for _ in 0..count {
        let number = input.number("extra field")?;
        if extras.last().is_some_and(|(last, _)| *last >= number) {
            return Err(Malformed::Invalid("extra field"));
        }
        extras.push((number, input.bytes("extra field", limits::EVENT_BYTES_MAX)?.to_vec()));
    }
    Ok(extras)
}

/// Bytes of the field [`EXTRA_BEATS`].
pub fn beats_field(beaten: &[Beaten]) -> (u64, Vec<u8>) {
    let mut bytes = Writer::default();
    for (key, dot) in beaten {
        bytes.bytes(&key.0);
        bytes.origin(&dot.origin);
        bytes.number(dot.seq.0);
    }
    (EXTRA_BEATS, bytes.0)
}

/// The claims that extra fields name as beaten.
pub fn beats(extras: &Extras) -> Vec<Beaten> {
    let field = extras.iter().find(|(number, _)| *number == EXTRA_BEATS);
    field.map(|(_, bytes)| decode_beaten(bytes).unwrap_or_default()).unwrap_or_default()
}

/// Gives the changesets that extra fields name other names.
pub fn rename_beaten(extras: &mut Extras, name: impl Fn(Dot) -> Dot) {
    let beaten: Vec<Beaten> = beats(extras).into_iter().map(|(key, dot)| (key, name(dot))).collect();
    if let Some(field) = extras.iter_mut().find(|(number, _)| *number == EXTRA_BEATS) {
        *field = beats_field(&beaten);
    }
}

fn decode_beaten(bytes: &[u8]) -> Result<Vec<Beaten>, Malformed> {
    let mut input = Reader::new(bytes);
    let mut beaten = Vec::new();
    while input.rest() > 0 {
        if beaten.len() >= limits::CLAIMS_BEATEN_MAX {
            return Err(Malformed::Invalid("beaten claims"));
        }
        let key = Key(input.bytes("key of a beaten claim", limits::KEY_BYTES_MAX)?.to_vec());
        beaten.push((key, Dot { origin: input.origin("beaten claim")?, seq: input.seq("beaten claim")? }));
    }
    Ok(beaten)
}

/// Bytes of the field [`EXTRA_COUNTED_ANEW`]; `columns` are positions, ascending.
pub fn counted_anew_field(columns: impl Iterator<Item = u16>) -> (u64, Vec<u8>) {
    let mut bytes = Writer::default();
    columns.for_each(|column| bytes.number(u64::from(column)));
    (EXTRA_COUNTED_ANEW, bytes.0)
}

/// Reads positions in a row of `width` columns, which must rise: so nobody can send more of them than there are.
fn decode_columns(bytes: &[u8], width: usize) -> Result<Vec<u16>, Malformed> {
    let mut input = Reader::new(bytes);
    let mut columns: Vec<u16> = Vec::new();
    while input.rest() > 0 {
        let column = input.bounded("column counted anew", width.saturating_sub(1) as u64)? as u16;
        if columns.last().is_some_and(|last| *last >= column) {
            return Err(Malformed::Invalid("column counted anew"));
        }
        columns.push(column);
    }
    Ok(columns)
}

impl TableShape {
    pub(crate) fn encode(&self, out: &mut Writer) {
        out.bytes(self.name.as_bytes());
        out.number(self.columns.len() as u64);
        for column in &self.columns {
            out.bytes(column.as_bytes());
        }
        out.number(self.key.len() as u64);
        for column in &self.key {
            out.number(u64::from(*column));
        }
    }

    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<TableShape, Malformed> {
        let name = input.name("table name")?.into();
        let count = input.count("columns", limits::COLUMNS_MAX)?;
        let columns = (0..count)
            .map(|_| Ok(input.name("column name")?.into()))
            .collect::<Result<Vec<ColumnName>, Malformed>>()?;
        let unique: std::collections::BTreeSet<&ColumnName> = columns.iter().collect();
        if unique.len() != columns.len() {
            return Err(Malformed::Invalid("column names"));
        }
        let key_count = input.count("key columns", limits::KEY_COLUMNS_MAX)?;
        let mut key = Vec::with_capacity(key_count);
        for _ in 0..key_count {
            let column = input.bounded("key column", count.saturating_sub(1) as u64)? as u16;
            if key.contains(&column) {
                return Err(Malformed::Invalid("key column"));
            }
            key.push(column);
        }
        if key.is_empty() { Err(Malformed::Invalid("key")) } else { Ok(TableShape { name, columns, key }) }
    }
}
