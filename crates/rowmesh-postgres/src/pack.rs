//! Rows of a snapshot made ready for COPY beside the session, with their states: values as texts, states as bytes. Only rows that will stand exactly
//! as they are given; all others are placed one by one, in `rows`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rowmesh_core::value::{TableName, Value};
use rowmesh_engine::database::Packer;
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::registry::Table;

use crate::access::PostgresAccess;
use crate::catalog::Tracked;
use crate::copy::{CopyRows, CopyTexts};
use crate::fault::Told;
use crate::row_states::COPY_STATES;
use crate::rows::{Tables, name_of};
use crate::sql::quote_list;
use crate::values::{Kind, fit, stands_as_given};

/// Makes rows ready for the tables as they were last followed.
pub struct PostgresPacker(pub(crate) Tables);

/// Rows of one table that are ready.
pub struct Packed {
    /// What the table looked like.
    details: Arc<Tracked>,
    rows: CopyTexts,
    states: CopyRows,
    /// The highest numbers in columns whose values the database hands out.
    numbers: BTreeMap<usize, i64>,
}

impl Packer for PostgresPacker {
    type Packed = Packed;

    /// Where the server checks a key late, COPY cannot be refused in time.
    fn begin(&self, table: &Table) -> Option<Packed> {
        let details = self.0.get(&table.schema.name)?;
        let is_same = details.columns.len() == table.columns.len();
        let is_usual = is_same && !details.is_key_late && details.late.is_empty();
        is_usual.then(|| Packed {
            details: details.clone(),
            rows: CopyTexts::default(),
            states: CopyRows::default(),
            numbers: BTreeMap::new(),
        })
    }

    fn add(&self, packed: &mut Packed, table: &Table, row: &[&Value], key: &[u8], state: &[u8]) -> bool {
        let details = packed.details.clone();
        let mut texts = packed.rows.begin();
        for (column, value) in details.columns.iter().zip(row) {
            let text = if stands_as_given(column, value) { fit(column, value).ok() } else { None };
            match text {
                Some(Some(text)) if column.kind == Kind::Bytes => texts.value(Some(&format!("\\x{text}"))),
                Some(text) => texts.value(text.as_deref()),
                // What was written of the row is taken back.
                None => return false,
            }
        }
        texts.end();
        packed.note_numbers(&details, row);
        let mut states = packed.states.row(3);
        states.bigint(table.number.0);
        states.value(key);
        states.value(state);
        true
    }
}

impl Packed {
    fn note_numbers(&mut self, details: &Tracked, row: &[&Value]) {
        for (position, column) in details.columns.iter().enumerate().filter(|(_, column)| column.sequence.is_some()) {
            if let (Kind::Integer(_), Value::Integer(number)) = (column.kind, row[position]) {
                let highest = self.numbers.entry(position).or_insert(*number);
                *highest = (*highest).max(*number);
            }
        }
    }

    /// Writes rows and states.
    pub(crate) fn place(&self, db: &PostgresAccess<'_>, table: &Table) -> Result<()> {
        if self.states.is_empty() {
            return Ok(());
        }
        let details = db.details(table)?;
        db.session.batch(&format!("LOCK TABLE {} IN ROW EXCLUSIVE MODE", name_of(details))).told()?;
        db.check_schema()?;
        if *self.details != **details {
            return Err(Error::StartOver);
        }
        let mut held = db.held.borrow_mut();
        held.written.insert((table.number, details.oid));
        for (column, highest) in &self.numbers {
            let name: (TableName, usize) = (table.schema.name.clone(), *column);
            let known = held.numbers.entry(name).or_insert(*highest);
            *known = (*known).max(*highest);
        }
        drop(held);
        let names = quote_list(details.columns.iter().map(|column| &column.name));
        let sql = format!("COPY {} ({names}) FROM STDIN", name_of(details));
        let messages: Vec<Bytes> = self.rows.messages().collect();
        match db.guarded(|db| db.session.copy_in(&sql, messages.into_iter()))? {
            Ok(_) => {}
            // Which row it is, the long way finds out.
            Err(_) => return Err(Error::StartOver),
        }
        db.session.copy_in(COPY_STATES, self.states.messages()).told().map(drop)
    }
}
