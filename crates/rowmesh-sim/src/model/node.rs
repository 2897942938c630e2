//! One node of the model: tables, row states, version vector, parked rows; it seals what its user wrote and takes in what others
//! sealed, by the shipped merge and show. Who does what when is `world`'s business; what should come out is `reference`'s.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rowmesh_core::changeset::{Changeset, Claimed, Header};
use rowmesh_core::clock::{Lamport, VersionVector, WallTime};
use rowmesh_core::event::{Birth, Context, EXTRA_LEAVES_SCOPE, Event, Operation, counted_anew_field, leaves_scope};
use rowmesh_core::ident::{Digest, Dot, Incarnation, MeshId, NodeId, Origin};
use rowmesh_core::ledger::{self, Entry, EntryId};
use rowmesh_core::policy::TablePolicy;
use rowmesh_core::row_state::{Arrival, Changes, ColumnIx, Register, RowState, Shown, Stamp};
use rowmesh_core::show::{self, Choice};
use rowmesh_core::sign::{PublicKey, SecretKey, SignatureBytes, Signer};
use rowmesh_core::value::{ColumnName, Value};

use super::history::{EVENTS_MAX, EventSet, History, Record, SealedUnit, Setting};
use super::reference::Folded;
use super::{Failure, ensure};
use crate::rng::Rng;

/// The mesh that all histories play in.
const MESH: MeshId = MeshId([7; 32]);

/// One node.
pub struct Node {
    /// Its number.
    pub number: usize,
    /// What stands in its table, by row.
    pub table: Vec<Option<Vec<Value>>>,
    /// Its row states.
    pub states: Vec<RowState>,
    /// What they reflect.
    pub vector: VersionVector,
    /// The same as a set of events.
    pub known: EventSet,
    /// In which order it took them in.
    pub order: Vec<usize>,
    /// Rows that this node cannot show for a reason of its own.
    pub blocked: Vec<bool>,
    /// Per row the events that came in while it was blocked.
    pub parked: Vec<Vec<usize>>,
    /// Epoch of the roster that it knows.
    pub epoch: u64,
    /// Events that are no longer in its log.
    pub pruned: EventSet,
    /// Per row the ledger entries of pruned events.
    pub kept: Vec<Vec<Entry>>,
    /// Per row the ledger as it grew event by event, by the names of the losing writes.
    grown: Vec<BTreeMap<EntryId, Entry>>,
    /// Changesets on their way here, by number; some of them twice.
    pub inbox: Vec<usize>,
    /// Milliseconds by which its clock is ahead.
    pub skew: u64,
    origin: Origin,
    previous: Digest,
    signer: Box<dyn Signer>,
    /// This node's number for each column of an image.
    columns: Vec<ColumnIx>,
    /// Names by those numbers.
    names: Vec<ColumnName>,
    /// Rows that the application touched since the last seal, to tell a missed write from none.
    touched: BTreeSet<usize>,
    /// Of those, the ones that moved into a filter.
    leaving: BTreeSet<usize>,
    /// Rows and columns that somebody counted since the last seal.
    counted: BTreeSet<(usize, usize)>,
}

/// What came of offering changesets to a node.
#[derive(Clone, Copy, Default, Debug)]
pub struct Received {
    /// Taken into row states.
    pub taken: usize,
    /// Known already.
    pub repeated: usize,
    /// Waiting for what they build on.
    pub held: usize,
}

impl Node {
    /// A node whose database is empty.
    pub fn new(number: usize, setting: &Setting, rng: &mut Rng) -> Node {
        let signer = signer_of(number, setting.signed);
        let incarnation = Incarnation { count: 1, nonce: rng.bits() };
        let (columns, names) = own_column_numbers(setting, rng);
        Node {
            number,
            table: vec![None; setting.rows],
            states: vec![RowState::default(); setting.rows],
            vector: VersionVector::new(),
            known: EventSet::default(),
            order: Vec::new(),
            blocked: vec![false; setting.rows],
            parked: vec![Vec::new(); setting.rows],
            epoch: 0,
            pruned: EventSet::default(),
            kept: vec![Vec::new(); setting.rows],
            grown: vec![BTreeMap::new(); setting.rows],
            inbox: Vec::new(),
            skew: 0,
            origin: Origin { node: signer.node_id(), incarnation },
            previous: Digest::default(),
            signer,
            columns,
            names,
            touched: BTreeSet::new(),
            leaving: BTreeSet::new(),
            counted: BTreeSet::new(),
        }
    }

    /// The application writes a row, or deletes it with `None`.
    pub fn write(&mut self, row: usize, image: Option<Vec<Value>>) {
        self.table[row] = image;
        self.touched.insert(row);
        self.leaving.remove(&row);
    }

    /// The row moves into a filter: for everything that travels it is gone.
    pub fn leave(&mut self, row: usize) {
        self.write(row, None);
        self.leaving.insert(row);
    }

    /// Somebody counted what there is and says so, whatever stood there.
    pub fn count(&mut self, row: usize, column: usize) {
        self.counted.insert((row, column));
    }

    /// Whether the application wrote something that is not sealed yet.
    pub fn has_unsealed(&self) -> bool {
        (0..self.table.len()).any(|row| self.shown(row) != self.table[row])
    }

    /// Seals what differs from what was shown; returns the numbers of the changesets made.
    pub fn seal(&mut self, history: &mut History, now: u64, rng: &mut Rng) -> Result<Vec<usize>, Failure> {
        let mut changed: Vec<usize> =
            (0..self.table.len()).filter(|row| self.shown(*row) != self.table[*row]).collect();
        let echo = changed.iter().find(|row| !self.touched.contains(row));
        ensure!(echo.is_none(), "o6: node {} would seal row {echo:?} that nobody wrote", self.number);
        self.touched.clear();
        let counted = std::mem::take(&mut self.counted);
        if history.records.len() + changed.len() >= EVENTS_MAX {
            return Err("model: history too long".into());
        }
        rng.shuffle(&mut changed);
        let mut parts: Vec<Vec<usize>> = Vec::new();
        for row in changed {
            match parts.last_mut() {
                Some(part) if rng.chance(85) => part.push(row),
                _ => parts.push(vec![row]),
            }
        }
        let count = parts.len();
        let mut units = Vec::with_capacity(count);
        for (part, rows) in parts.into_iter().enumerate() {
            units.push(self.seal_part(history, (&rows, &counted), (part as u32 + 1, count as u32), now, rng)?);
        }
        Ok(units)
    }

    /// Takes in one transaction's worth of changesets, in the order given; what cannot go in yet returns to the inbox.
    pub fn receive(&mut self, history: &History, units: &[usize]) -> Result<Received, Failure> {
        assert!(!self.has_unsealed(), "apply and seal share one transaction: seal first");
        let mut received = Received::default();
        let mut rows = BTreeSet::new();
        for unit in units {
            let header = history.units[*unit].changeset.header();
            if self.vector.covers(&header.dot) {
                received.repeated += 1;
            } else if !self.vector.includes(&header.context.vector) || header.epoch > self.epoch {
                received.held += 1;
                self.inbox.push(*unit);
            } else {
                self.take_in(history, *unit, &mut rows)?;
                received.taken += 1;
            }
        }
        for row in rows {
            if !self.blocked[row] {
                self.show_row(history, row)?;
            }
        }
        Ok(received)
    }

    /// From now on the row cannot be shown here: what comes for it is parked.
    pub fn block(&mut self, row: usize) {
        self.blocked[row] = true;
        self.states[row].shown = self.frozen(self.shown(row));
    }

    /// The cause is gone: what was parked is shown, all of it together.
    pub fn unblock(&mut self, history: &History, row: usize) -> Result<(), Failure> {
        assert!(!self.has_unsealed(), "apply and seal share one transaction: seal first");
        self.blocked[row] = false;
        self.parked[row].clear();
        self.show_row(history, row)
    }

    /// Learns what the roster says up to an epoch; rows are shown anew under it.
    pub fn learn_epoch(&mut self, history: &History, epoch: u64) -> Result<(), Failure> {
        assert!(!self.has_unsealed(), "apply and seal share one transaction: seal first");
        self.epoch = epoch;
        for row in 0..self.states.len() {
            if !self.blocked[row] {
                self.show_row(history, row)?;
            }
        }
        Ok(())
    }

    /// The ledger of a row: entries kept when events were pruned, and those computed from the events still in the log, in the
    /// order in which they came in here.
    pub fn ledger(&self, history: &History, row: usize) -> Vec<Entry> {
        let of_row = self.order.iter().filter(|event| history.records[**event].row == row && !self.pruned.has(**event));
        let events: Vec<_> = of_row.map(|event| history.row_event(*event)).collect();
        let fresh = ledger::entries(&history.setting.table, &Setting::key(row), &events, &history.policies);
        let mut entries: Vec<Entry> = self.kept[row].iter().cloned().map(|entry| self.reopened(row, entry)).collect();
        entries.extend(fresh);
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        entries
    }

    /// The ledger of a row as it grew with each event that came, without a look back at those before.
    pub fn grown_ledger(&self, row: usize) -> Vec<Entry> {
        self.grown[row].values().cloned().map(|entry| self.reopened(row, entry)).collect()
    }

    /// Forgets a row's events, all of which are stable, and the whole row if it is gone.
    pub fn prune(&mut self, history: &History, row: usize) {
        self.kept[row] = self.ledger(history, row);
        let known = self.order.iter().filter(|event| history.records[**event].row == row);
        known.for_each(|event| self.pruned.insert(*event));
        if self.states[row].live.is_empty() {
            self.states[row] = RowState::default();
        }
    }

    /// A row state in the columns' common order, to compare with other nodes and with the reference.
    pub fn folded(&self, row: usize) -> Folded {
        let state = &self.states[row];
        let writes =
            |column: &ColumnIx| state.register(*column).writes().iter().map(|w| (w.stamp, w.value.clone())).collect();
        let witness = |(stamp, image): &(Stamp, Vec<(ColumnIx, Value)>)| (*stamp, self.in_common_order(image));
        Folded {
            births: state.births.clone(),
            columns: self.columns.iter().map(writes).collect(),
            live: state.live.clone(),
            deletes: state.deletes.clone(),
            has_left: state.has_left(),
            witnesses: state.witnesses.iter().map(witness).collect(),
            counted: self.columns.iter().map(|column| state.counted(*column)).collect(),
        }
    }

    /// What the row state says that the table shows.
    pub fn shown(&self, row: usize) -> Option<Vec<Value>> {
        let state = &self.states[row];
        let value = |column: &ColumnIx| state.shown_value(*column).map_or(Value::Null, Cow::into_owned);
        state.is_shown().then(|| self.columns.iter().map(value).collect())
    }

    /// Which of a row's ledger losses the row state alone calls open.
    pub fn is_open(&self, row: usize, dot: &Dot, column: Option<usize>) -> bool {
        self.states[row].is_open(dot, column.map(|column| self.columns[column]))
    }

    /// What the row state says today of an entry whose events are no longer there.
    fn reopened(&self, row: usize, entry: Entry) -> Entry {
        let number =
            |name: &ColumnName| self.names.iter().position(|own| own == name).map(|number| ColumnIx(number as u16));
        let column = entry.id.column.as_ref().and_then(number);
        Entry { superseded: !self.states[row].is_open(&entry.id.loser, column), ..entry }
    }

    fn seal_part(
        &mut self,
        history: &mut History,
        (rows, counted): (&[usize], &BTreeSet<(usize, usize)>),
        (part, parts): (u32, u32),
        now: u64,
        rng: &mut Rng,
    ) -> Result<usize, Failure> {
        let dot = Dot { origin: self.origin, seq: self.vector.get(&self.origin).next() };
        let seen = self.known.without(self.parked_events());
        let captured = Lamport::at(WallTime(now + self.skew));
        let events: Vec<Event> = rows.iter().map(|row| self.event_of((*row, counted), captured, rng)).collect();
        let lamport_max = events.iter().map(|event| event.lamport).max().unwrap_or_default();
        let header = Header {
            mesh: MESH,
            dot,
            previous: self.previous,
            epoch: self.epoch,
            roster: Digest::default(),
            context: Context { vector: self.vector.clone(), parked: self.parked_ids(history) },
            part,
            parts,
            sealed_at: WallTime(now + self.skew),
            lamport_max,
        };
        let unit = history.units.len();
        for (row, event) in rows.iter().zip(&events) {
            history.records.push(self.record_of(*row, event, (dot, unit), seen));
        }
        let changeset = travel(header, history.setting.shape(), events, self.signer.as_ref(), history.setting.signed)?;
        self.previous = changeset.hash();
        let first = history.records.len() - rows.len();
        history.units.push(SealedUnit { changeset, first, node: self.number });
        self.take_in_own(history, unit)?;
        Ok(unit)
    }

    fn event_of(&self, (row, counted): (usize, &BTreeSet<(usize, usize)>), captured: Lamport, rng: &mut Rng) -> Event {
        let (before, after) = (self.shown(row), &self.table[row]);
        let state = &self.states[row];
        let operation = match (&before, after) {
            (None, _) => Operation::Insert,
            (_, None) => Operation::Delete,
            _ => Operation::Update,
        };
        let was = |column: usize| before.as_ref().map(|before| &before[column]);
        let values = after.iter().flatten().enumerate();
        let written = values.filter(|(column, value)| was(*column) != Some(value));
        let written: Vec<_> = written.map(|(column, value)| (column as u16, value.clone())).collect();
        let birth = match (operation, state.birth()) {
            (Operation::Insert, _) | (_, None) => Birth::Here,
            (_, Some(birth)) => Birth::At(birth.dot),
        };
        let lamport = captured.max(state.lamport_max().next());
        let salt = std::array::from_fn(|_| rng.bits() as u8);
        let mut extras = Vec::new();
        if operation == Operation::Delete && self.leaving.contains(&row) {
            extras.push((EXTRA_LEAVES_SCOPE, Vec::new()));
        }
        let columns = written.iter().map(|(column, _)| *column);
        let mut anew = columns.filter(|column| counted.contains(&(row, usize::from(*column)))).peekable();
        if anew.peek().is_some() {
            extras.push(counted_anew_field(anew));
        }
        Event { table: 0, operation, lamport, birth, before: before.unwrap_or_default(), written, salt, extras }
    }

    fn record_of(&self, row: usize, event: &Event, (dot, changeset): (Dot, usize), seen: EventSet) -> Record {
        let mut written = vec![None; self.columns.len()];
        let mut anew = vec![false; self.columns.len()];
        for (column, value) in &event.written {
            anew[usize::from(*column)] = event.counted_anew().contains(column);
            written[usize::from(*column)] = Some(value.clone());
        }
        Record {
            row,
            stamp: Stamp { lamport: event.lamport, dot },
            epoch: self.epoch,
            operation: event.operation,
            leaves: leaves_scope(&event.extras),
            written,
            anew,
            before: self.shown(row),
            after: self.table[row].clone(),
            seen,
            changeset,
        }
    }

    /// Own changesets change row states only: the table stands already as its user left it, and must go on standing so.
    fn take_in_own(&mut self, history: &History, unit: usize) -> Result<(), Failure> {
        let mut rows = BTreeSet::new();
        self.take_in(history, unit, &mut rows)?;
        for row in rows {
            if self.blocked[row] {
                self.states[row].shown = self.frozen(self.table[row].clone());
                continue;
            }
            let wrote = self.table[row].clone();
            self.show_row(history, row)?;
            let stands = &self.table[row];
            ensure!(*stands == wrote, "node {} wrote {wrote:?} to row {row} and is shown {stands:?}", self.number);
        }
        Ok(())
    }

    fn take_in(&mut self, history: &History, unit: usize, rows: &mut BTreeSet<usize>) -> Result<(), Failure> {
        let sealed = &history.units[unit];
        let header = sealed.changeset.header();
        for (position, event) in sealed.changeset.events().iter().enumerate() {
            let number = sealed.first + position;
            let row = history.records[number].row;
            self.merge(history, header, event, number)?;
            if self.blocked[row] && sealed.node != self.number {
                self.parked[row].push(number);
            }
            self.known.insert(number);
            self.order.push(number);
            rows.insert(row);
        }
        self.vector.raise(header.dot);
        Ok(())
    }

    fn merge(&mut self, history: &History, header: &Header, event: &Event, number: usize) -> Result<(), Failure> {
        let record = &history.records[number];
        ensure!(self.known.includes(record.seen), "o4: node {} takes in event {number} before its past", self.number);
        let key = Setting::key(record.row);
        let state = &mut self.states[record.row];
        let table = &*history.setting.table;
        let arrival =
            Arrival { event, dot: header.dot, context: &header.context, table, key: &key, columns: &self.columns };
        let merged = state.merge(&arrival);
        let met = history.of_row(record.row, self.known).any(|(other, _)| !record.seen.has(other));
        ensure!(
            merged.concurrent == met,
            "event {number}: merge calls it concurrent={}, it is {met}",
            merged.concurrent
        );
        self.grow_ledger(history, number);
        self.remember_missed(history, number);
        self.remember_rows(history, record.row)
    }

    fn grow_ledger(&mut self, history: &History, number: usize) {
        let record = &history.records[number];
        let unseen = history.of_row(record.row, self.known).filter(|(other, _)| !record.seen.has(*other));
        let unseen: Vec<_> = unseen.map(|(other, _)| history.row_event(other)).collect();
        let (table, key) = (&history.setting.table, Setting::key(record.row));
        let event = history.row_event(number);
        for entry in ledger::entries_after(table, &key, &event, &unseen, &history.policies) {
            let known = self.grown[record.row].entry(entry.id.clone()).or_insert_with(|| entry.clone());
            if known.winning < entry.winning {
                *known = entry;
            }
        }
    }

    /// Looks up in the log what writes that stand side by side have not seen, where the state asks for it. The event that has just come in is in
    /// the log.
    fn remember_missed(&mut self, history: &History, number: usize) {
        let row = history.records[number].row;
        let mut known = self.known;
        known.insert(number);
        for (column, stamp) in self.states[row].missed_not_remembered() {
            let unseen = history.apart_from(&stamp, row, known);
            let unseen: Vec<_> = unseen.into_iter().map(|other| history.row_event(other)).collect();
            let changes = Changes::to(&self.names[usize::from(column.0)], &unseen);
            self.states[row].remember_missed(column, stamp, changes);
        }
    }

    /// Looks up in the log the whole rows that the state asks for.
    fn remember_rows(&mut self, history: &History, row: usize) -> Result<(), Failure> {
        for stamp in self.states[row].rows_not_remembered() {
            let left =
                history.of_row(row, EventSet::first(history.records.len())).find(|(_, record)| record.stamp == stamp);
            let (_, record) =
                left.ok_or_else(|| format!("row {row} asks for the row of an unknown write {stamp:?}"))?;
            let image = record.after.as_ref().ok_or_else(|| format!("row {row} asks for the row of a delete"))?;
            let image = self.in_own_order(image);
            self.states[row].remember_row(stamp, image);
        }
        Ok(())
    }

    fn show_row(&mut self, history: &History, row: usize) -> Result<(), Failure> {
        let choice = show::show(&self.states[row], self.policy(history), &self.names);
        self.states[row].shown = show::remember(&self.states[row], &choice);
        self.table[row] = match &choice {
            Choice::Absent => None,
            Choice::Present(image) => {
                ensure!(image.len() == self.columns.len(), "row {row} is shown with columns missing: {image:?}");
                Some(self.in_common_order(image))
            }
        };
        ensure!(
            self.shown(row) == self.table[row],
            "row {row}: the state forgot what it shows: {:?}",
            self.states[row].shown
        );
        Ok(())
    }

    fn policy<'h>(&self, history: &'h History) -> &'h TablePolicy {
        history.policies.at(self.epoch).table(&history.setting.table)
    }

    fn parked_events(&self) -> EventSet {
        let mut events = EventSet::default();
        self.parked.iter().flatten().for_each(|event| events.insert(*event));
        events
    }

    fn parked_ids(&self, history: &History) -> Arc<Vec<rowmesh_core::event::EventId>> {
        let mut ids: Vec<_> = self.parked.iter().flatten().map(|event| history.event_id(*event)).collect();
        ids.sort();
        Arc::new(ids)
    }

    fn frozen(&self, image: Option<Vec<Value>>) -> Shown {
        image.map_or(Shown::Absent, |image| Shown::Image(self.in_own_order(&image)))
    }

    /// An image by this node's own column numbers.
    pub fn in_own_order(&self, image: &[Value]) -> Vec<(ColumnIx, Value)> {
        let mut own: Vec<_> = self.columns.iter().copied().zip(image.iter().cloned()).collect();
        own.sort_by_key(|(column, _)| *column);
        own
    }

    /// An image in the columns' common order.
    pub fn in_common_order(&self, image: &[(ColumnIx, Value)]) -> Vec<Value> {
        let value = |column: &ColumnIx| image.iter().find(|(own, _)| own == column).map(|(_, value)| value.clone());
        self.columns.iter().map(|column| value(column).unwrap_or(Value::Null)).collect()
    }

    /// Whether several writes stand side by side in some column of the row.
    pub fn has_several(&self, row: usize) -> bool {
        self.states[row].registers.iter().any(|register| matches!(register, Register::Several(_)))
    }
}

/// Seals, and takes the changeset from its bytes as a receiver would.
fn travel(
    header: Header,
    shape: rowmesh_core::event::TableShape,
    events: Vec<Event>,
    signer: &dyn Signer,
    signed: bool,
) -> Result<Changeset, Failure> {
    let sent = Changeset::seal(header, vec![shape], events, signer);
    let claimed = Claimed::decode(sent.bytes()).map_err(|refused| format!("own changeset is refused: {refused:?}"))?;
    let came = if signed {
        claimed
            .verify(&MESH, &signer.public_key())
            .map_err(|refused| format!("own signature is refused: {refused:?}"))?
    } else {
        claimed.trust_own_log()
    };
    let same = came.header() == sent.header() && came.events() == sent.events() && came.shapes() == sent.shapes();
    ensure!(same && came.hash() == sent.hash(), "changeset {} changed on its way", sent.dot());
    Ok(came)
}

/// Each node numbers columns in the order in which it met them, with gaps where it knows columns that others lack.
fn own_column_numbers(setting: &Setting, rng: &mut Rng) -> (Vec<ColumnIx>, Vec<ColumnName>) {
    let count = setting.columns.len();
    let mut numbers: Vec<u16> = (0..count as u16 + rng.below(2) as u16).collect();
    rng.shuffle(&mut numbers);
    let columns: Vec<ColumnIx> = numbers[..count].iter().copied().map(ColumnIx).collect();
    let mut names: Vec<ColumnName> = vec!["of this node only".into(); numbers.len()];
    for (column, name) in columns.iter().zip(&setting.columns) {
        names[usize::from(column.0)] = name.clone();
    }
    (columns, names)
}

fn signer_of(number: usize, signed: bool) -> Box<dyn Signer> {
    let seed = [number as u8 + 1; 32];
    if signed { Box::new(SecretKey::from_seed(seed)) } else { Box::new(Nobody(NodeId(seed))) }
}

/// Signs nothing: signatures are slow, and their check is another test's.
struct Nobody(NodeId);

impl Signer for Nobody {
    fn public_key(&self) -> PublicKey {
        PublicKey(self.0.0)
    }

    fn sign_bytes(&self, _: &[u8]) -> SignatureBytes {
        [0; 64]
    }

    fn derive(&self, _: &'static str) -> [u8; 32] {
        self.0.0
    }

    fn node_id(&self) -> NodeId {
        self.0
    }
}
