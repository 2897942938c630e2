//! The ledger's entries between core and the rows of `conflict_resolutions`. Which entries there are is core's business.

use rowmesh_core::clock::{Lamport, WallTime};
use rowmesh_core::encode::{Reader, Writer};
use rowmesh_core::ident::{Dot, Seq, hex};
use rowmesh_core::ledger::{ConflictType, Entry, EntryId, Left};
use rowmesh_core::policy::Strategy;
use rowmesh_core::row_state::{OriginTable, Stamp};
use rowmesh_core::store::ConflictView;
use rowmesh_core::value::{ColumnName, Key, TableName, Value};

use crate::database::{Access, Ledger};
use crate::fault::{Error, Result};
use crate::origins::Origins;

/// One side of an entry as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideRow {
    /// The node, for people.
    pub node: String,
    /// The origin's number.
    pub origin: u32,
    /// The changeset.
    pub seq: Seq,
    /// The time.
    pub lamport: Lamport,
    /// What it left, as bytes.
    pub value: Option<Vec<u8>>,
    /// The same as JSON.
    pub data: Option<String>,
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// Short name, the same on every node.
    pub id: String,
    /// The table.
    pub table: TableName,
    /// The row, for people: its key as it was made.
    pub record_key: String,
    /// The row, by its identity.
    pub key: Key,
    /// The column; none where a row lost as a whole.
    pub column: Option<ColumnName>,
    /// What kind of conflict.
    pub conflict_type: String,
    /// How it was settled.
    pub strategy: String,
    /// `open` or `superseded`.
    pub state: String,
    /// What lost.
    pub losing: SideRow,
    /// What won.
    pub winning: SideRow,
    /// What both had seen, as bytes.
    pub common_value: Option<Vec<u8>>,
    /// The same as JSON.
    pub common_data: Option<String>,
    /// This node's clock when it first saw it.
    pub detected_at: WallTime,
}

/// What an entry is about, and whether it is open.
pub struct EntryLine {
    /// Its short name.
    pub id: String,
    /// The origin and the changeset of the write that lost.
    pub loser: (u32, Seq),
    /// The column; none where it lost as a whole.
    pub column: Option<ColumnName>,
    /// Whether it is open.
    pub open: bool,
}

/// Writes entries; those known are brought up to date. Returns how many were new.
pub fn save(db: &impl Access, origins: &mut Origins, entries: &[Entry], now: WallTime) -> Result<u64> {
    let mut new = 0;
    for entry in entries {
        let row = EntryRow::of(entry, origins, now);
        origins.store_new(db)?;
        new += u64::from(db.save_entry(&row)?);
    }
    Ok(new)
}

/// Writes entries that name the winner that is known now, unless one that came later is known already.
pub fn save_later(db: &impl Access, origins: &mut Origins, entries: &[Entry], now: WallTime) -> Result<u64> {
    let mut later = Vec::with_capacity(entries.len());
    for entry in entries {
        let known = winner_of(db, origins, entry)?;
        if known.is_none_or(|known| known < entry.winning) {
            later.push(entry.clone());
        }
    }
    save(db, origins, &later, now)
}

/// Writes entries that name the earliest winner that is known now, unless an earlier one is known already.
pub fn save_earlier(db: &impl Access, origins: &mut Origins, entries: &[Entry], now: WallTime) -> Result<u64> {
    let mut new = 0;
    for entry in entries {
        let known = winner_of(db, origins, entry)?;
        if known.is_none_or(|known| known > entry.winning) {
            new += save(db, origins, std::slice::from_ref(entry), now)?;
        }
    }
    Ok(new)
}

fn winner_of(db: &impl Ledger, origins: &Origins, entry: &Entry) -> Result<Option<Stamp>> {
    let known = db.winner_of(&name_of(entry))?;
    known.map(|(origin, seq, lamport)| Ok(Stamp { lamport, dot: origins.dot(origin, seq)? })).transpose()
}

/// Says whether an entry is open, where that has changed.
pub fn set_open(db: &impl Ledger, told: &EntryLine, is_open: bool) -> Result<()> {
    if told.open == is_open { Ok(()) } else { db.set_entry_state(&told.id, state_name(is_open)) }
}

/// Entries as stored, newest first.
pub fn list(db: &impl Ledger, origins: &Origins, only_open: bool, limit: usize) -> Result<Vec<ConflictView>> {
    db.newest_entries(only_open, limit)?.into_iter().map(|row| row.view(origins)).collect()
}

/// Entries of one row, oldest first.
pub fn of_row(db: &impl Ledger, origins: &Origins, table: &str, key: &Key) -> Result<Vec<ConflictView>> {
    db.whole_entries_of_row(table, key)?.into_iter().map(|row| row.view(origins)).collect()
}

/// Entries as they are, for a snapshot, by id from after the one given: each as values, two of them numbers of origins.
pub fn dump(db: &impl Ledger, after: &str, limit: usize) -> Result<Vec<Vec<Value>>> {
    Ok(db.entries_after(after, limit)?.into_iter().map(EntryRow::into_values).collect())
}

/// Writes a dumped entry, but for those between several rows, which are told anew once the rows are here; `there` tells the origins of its numbers.
pub fn restore(db: &impl Access, origins: &mut Origins, there: &dyn OriginTable, entry: Vec<Value>) -> Result<()> {
    let mut row = EntryRow::from_values(entry).map_err(|what| Error::damaged("a ledger entry from a peer", what))?;
    let kind = ConflictType::parse(&row.conflict_type);
    if kind.is_some_and(|kind| kind.spans_rows() && kind != ConflictType::Rekey) {
        return Ok(());
    }
    for side in [&mut row.losing, &mut row.winning] {
        let origin = there.origin(side.origin);
        let origin =
            origin.ok_or_else(|| Error::inconsistent("a ledger entry of an origin that the snapshot lacks"))?;
        side.origin = origins.number(&origin);
    }
    origins.store_new(db)?;
    db.save_entry(&row)?;
    Ok(())
}

/// Brings the entries of a row that a rule between rows tells up to date: those that are not told any more are forgotten. Returns how many are new.
pub fn save_told(
    db: &impl Access,
    origins: &mut Origins,
    (table, key): (&TableName, &Key),
    (kind, entries): (ConflictType, &[Entry]),
    now: WallTime,
) -> Result<u64> {
    let told: Vec<String> = entries.iter().map(name_of).collect();
    for known in db.whole_entries_of_row(table, key)? {
        if known.conflict_type == kind.as_str() && !told.contains(&known.id) {
            db.forget_entry(&known.id)?;
        }
    }
    save(db, origins, entries, now)
}

/// Short name of an entry: the same on every node. A write may have lost in its column under an earlier policy and be shown, and claim, now; it may
/// lose by several rules between rows.
pub fn name_of(entry: &Entry) -> String {
    let (id, mut out) = (&entry.id, Writer::default());
    out.bytes(id.table.as_bytes());
    out.bytes(&id.key.0);
    out.origin(&id.loser.origin);
    out.number(id.loser.seq.0);
    out.bytes(id.column.as_deref().unwrap_or("").as_bytes());
    if entry.kind.spans_rows() {
        out.bytes(entry.kind.as_str().as_bytes());
    }
    hex(&blake3::hash(&out.0).as_bytes()[..8]).to_uppercase()
}

/// Values of a dumped entry.
pub const DUMPED_VALUES: usize = 23;

impl EntryRow {
    fn of(entry: &Entry, origins: &mut Origins, now: WallTime) -> EntryRow {
        let mut side = |stamp: &Stamp, left: &Left| SideRow {
            node: stamp.dot.origin.node.to_string(),
            origin: origins.number(&stamp.dot.origin),
            seq: stamp.dot.seq,
            lamport: stamp.lamport,
            value: left.encode(),
            data: left.to_json(),
        };
        EntryRow {
            id: name_of(entry),
            table: entry.id.table.clone(),
            record_key: entry.id.key.to_display(),
            key: entry.id.key.clone(),
            column: entry.id.column.clone(),
            conflict_type: entry.kind.as_str().to_owned(),
            strategy: entry.strategy.as_str().to_owned(),
            state: state_name(!entry.superseded).to_owned(),
            losing: side(&entry.losing, &entry.lost),
            winning: side(&entry.winning, &entry.won),
            common_value: entry.common_value.as_ref().map(encode),
            common_data: entry.common_value.as_ref().map(Value::to_json),
            detected_at: now,
        }
    }

    fn view(self, origins: &Origins) -> Result<ConflictView> {
        let stamp = |side: &SideRow| -> Result<Stamp> {
            Ok(Stamp { lamport: side.lamport, dot: origins.dot(side.origin, side.seq)? })
        };
        let (losing, winning) = (stamp(&self.losing)?, stamp(&self.winning)?);
        let left = |side: &SideRow, is_value: bool| {
            let left = Left::decode(side.value.as_deref(), is_value);
            left.map_err(|source| Error::damaged("one side of a row in conflict_resolutions", source))
        };
        let kind = ConflictType::parse(&self.conflict_type);
        let kind = kind.ok_or_else(|| Error::inconsistent("a conflict of unknown type"))?;
        let strategy = Strategy::parse(&self.strategy);
        let entry = Entry {
            lost: left(&self.losing, self.column.is_some())?,
            won: left(&self.winning, self.column.is_some() && kind != ConflictType::Unique)?,
            kind,
            strategy: strategy.ok_or_else(|| Error::inconsistent("a conflict of unknown strategy"))?,
            common_value: self.common_value.as_deref().map(decode).transpose()?,
            superseded: self.state != "open",
            id: EntryId { table: self.table, key: self.key, loser: losing.dot, column: self.column },
            losing,
            winning,
        };
        Ok(ConflictView { id: self.id, entry, detected_at: self.detected_at })
    }

    fn into_values(self) -> Vec<Value> {
        let text = |text: String| Value::text(&text);
        let bytes = |bytes: Option<Vec<u8>>| bytes.map_or(Value::Null, |bytes| Value::Blob(bytes.into()));
        let maybe = |text: Option<&str>| text.map_or(Value::Null, Value::text);
        let mut values = vec![
            text(self.id),
            Value::text(&self.table),
            text(self.record_key),
            Value::Blob(self.key.0.into()),
            maybe(self.column.as_deref()),
            text(self.conflict_type),
            text(self.strategy),
            text(self.state),
        ];
        for side in [self.losing, self.winning] {
            values.extend([
                text(side.node),
                Value::Integer(i64::from(side.origin)),
                Value::Integer(side.seq.0 as i64),
                Value::Integer(side.lamport.0 as i64),
                bytes(side.value),
                maybe(side.data.as_deref()),
            ]);
        }
        values.extend([
            bytes(self.common_value),
            maybe(self.common_data.as_deref()),
            Value::Integer(self.detected_at.0 as i64),
        ]);
        values
    }

    /// Reads what [`EntryRow::into_values`] gave.
    fn from_values(values: Vec<Value>) -> std::result::Result<EntryRow, &'static str> {
        let mut left = Values(values.into_iter());
        let row = EntryRow {
            id: left.text()?,
            table: left.text()?.into(),
            record_key: left.text()?,
            key: Key(left.bytes()?.ok_or("no key")?),
            column: left.maybe_text()?.map(Into::into),
            conflict_type: left.text()?,
            strategy: left.text()?,
            state: left.text()?,
            losing: left.side()?,
            winning: left.side()?,
            common_value: left.bytes()?,
            common_data: left.maybe_text()?,
            detected_at: WallTime(left.number()?),
        };
        if left.0.next().is_some() { Err("more values than an entry has") } else { Ok(row) }
    }
}

/// The values of a dumped entry that were not read yet.
struct Values(std::vec::IntoIter<Value>);

impl Values {
    fn maybe_text(&mut self) -> std::result::Result<Option<String>, &'static str> {
        match self.0.next() {
            Some(Value::Null) => Ok(None),
            Some(value) => value.as_str().map(|text| Some(text.to_owned())).ok_or("no text where text belongs"),
            None => Err("fewer values than an entry has"),
        }
    }

    fn text(&mut self) -> std::result::Result<String, &'static str> {
        self.maybe_text()?.ok_or("NULL where text belongs")
    }

    fn bytes(&mut self) -> std::result::Result<Option<Vec<u8>>, &'static str> {
        match self.0.next() {
            Some(Value::Null) => Ok(None),
            Some(Value::Blob(bytes)) => Ok(Some(bytes.to_vec())),
            _ => Err("no bytes where bytes belong"),
        }
    }

    fn number(&mut self) -> std::result::Result<u64, &'static str> {
        match self.0.next() {
            Some(Value::Integer(number)) => u64::try_from(number).map_err(|_| "a negative number"),
            _ => Err("no number where a number belongs"),
        }
    }

    fn side(&mut self) -> std::result::Result<SideRow, &'static str> {
        Ok(SideRow {
            node: self.text()?,
            origin: u32::try_from(self.number()?).map_err(|_| "a number of an origin that is too large")?,
            seq: Seq(self.number()?),
            lamport: Lamport(self.number()?),
            value: self.bytes()?,
            data: self.maybe_text()?,
        })
    }
}

/// The changeset of the write that lost.
pub fn loser_of(told: &EntryLine, origins: &Origins) -> Result<Dot> {
    origins.dot(told.loser.0, told.loser.1)
}

fn state_name(is_open: bool) -> &'static str {
    if is_open { "open" } else { "superseded" }
}

fn decode(bytes: &[u8]) -> Result<Value> {
    let value = Value::decode(&mut Reader::new(bytes));
    value.map_err(|source| Error::damaged("a value in conflict_resolutions", source))
}

fn encode(value: &Value) -> Vec<u8> {
    let mut out = Writer::default();
    value.encode(&mut out);
    out.0
}
