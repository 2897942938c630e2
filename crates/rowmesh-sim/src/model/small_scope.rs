//! All histories of three events on one row: every way in which they can have seen, parked or missed each other, every order of
//! timestamps and origins, every mix of operations, every order of arrival and every policy. No dice, no nodes.

use rowmesh_core::clock::{Lamport, VersionVector};
use rowmesh_core::event::{Birth, Context, EXTRA_LEAVES_SCOPE, Event, EventId, Operation};
use rowmesh_core::ident::{Digest, Dot, Incarnation, NodeId, Origin, Seq};
use rowmesh_core::ledger::{self, RowEvent};
use rowmesh_core::policy::{ColumnPolicy, ExistencePolicy};
use rowmesh_core::row_state::{Arrival, Changes, ColumnIx, RowState, Stamp};
use rowmesh_core::show::{self, Choice};
use rowmesh_core::value::Value;

use super::history::{DrawnPolicy, EventSet, History, Record, Setting};
use super::reference::{self, Folded};
use super::{Failure, check, ensure};

/// How many events besides the insert that all have seen.
const EVENTS: usize = 3;

/// How three events relate, whatever they do.
#[derive(Clone, Debug)]
pub struct Scheme {
    /// Per event: which earlier ones lie in its vector.
    covers: [[bool; EVENTS]; EVENTS],
    /// Per event: which of those it names as parked.
    parks: [[bool; EVENTS]; EVENTS],
    /// Per event its origin; the number decides ties.
    origins: [u8; EVENTS],
    /// Per event its timestamp.
    lamports: [u64; EVENTS],
}

/// What one event does to the columns.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Delete,
    Leave,
    Write(&'static [(usize, i64)]),
    Insert(i64, i64),
}

const DEEDS: [Deed; 7] = [
    Deed::Delete,
    Deed::Leave,
    Deed::Write(&[(1, 0)]),
    Deed::Write(&[(1, 1)]),
    Deed::Write(&[(2, 0)]),
    Deed::Write(&[(1, 1), (2, 1)]),
    Deed::Insert(0, 1),
];

/// One history, ready to be delivered.
struct Case {
    history: History,
    events: Vec<(Event, Context, Dot)>,
}

/// Every way in which three events can relate.
pub fn schemes() -> Vec<Scheme> {
    let mut schemes = Vec::new();
    for bits in 0..8_u8 {
        let mut covers = [[false; EVENTS]; EVENTS];
        (covers[1][0], covers[2][0], covers[2][1]) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
        if covers[1][0] && covers[2][1] && !covers[2][0] {
            continue;
        }
        for origins in origins_for(&covers) {
            for parks in parks_for(&covers, &origins) {
                for lamports in lamports_for(&covers) {
                    schemes.push(Scheme { covers, parks, origins, lamports });
                }
            }
        }
    }
    schemes
}

/// Plays all mixes of deeds in one scheme; returns how many there were.
///
/// # Errors
/// If a state depends on the order of arrival, or anything differs from the reference.
pub fn play(scheme: &Scheme) -> Result<usize, Failure> {
    let mut played = 0;
    for mix in 0..DEEDS.len().pow(EVENTS as u32) {
        let [first, second] = [mix % DEEDS.len(), mix / DEEDS.len() % DEEDS.len()];
        let deeds = [DEEDS[first], DEEDS[second], DEEDS[mix / DEEDS.len().pow(2)]];
        let case = Case::of(scheme, deeds);
        case.check(scheme).map_err(|failure| format!("{scheme:?} {deeds:?}: {failure}"))?;
        played += 1;
    }
    Ok(played)
}

impl Case {
    fn of(scheme: &Scheme, deeds: [Deed; EVENTS]) -> Case {
        let setting = Setting {
            table: "t".into(),
            rows: 1,
            columns: vec!["id".into(), "a".into(), "b".into()],
            policies: vec![policy(ExistencePolicy::UpdateWins, ColumnPolicy::LastWriter)],
            signed: false,
        };
        let mut case = Case { history: History::new(setting), events: Vec::new() };
        let base_dot = Dot { origin: origin(0), seq: Seq(1) };
        case.add(Deed::Insert(7, 7), base_dot, Lamport(1), EventSet::default(), Context::default());
        for (number, deed) in deeds.into_iter().enumerate() {
            let mut vector: VersionVector = [base_dot].into_iter().collect();
            let mut seen = EventSet::default();
            seen.insert(0);
            let mut parked = Vec::new();
            for earlier in (0..number).filter(|earlier| scheme.covers[number][*earlier]) {
                vector.raise(scheme.dot(earlier));
                if scheme.parks[number][earlier] {
                    parked.push(EventId { dot: scheme.dot(earlier), table: "t".into(), key: Setting::key(0) });
                } else {
                    seen.insert(earlier + 1);
                }
            }
            parked.sort();
            let context = Context { vector, parked: parked.into() };
            case.add(deed, scheme.dot(number), Lamport(scheme.lamports[number] + 1), seen, context);
        }
        case
    }

    fn add(&mut self, deed: Deed, dot: Dot, lamport: Lamport, seen: EventSet, context: Context) {
        let unseen_row = || vec![Setting::key_value(0), Value::Integer(7), Value::Integer(7)];
        let stands = reference::show(&reference::fold(&self.history, seen, 0), &self.history.setting.policies[0]);
        let image = |a: i64, b: i64| vec![Setting::key_value(0), a.into(), b.into()];
        let (operation, before, written) = match deed {
            Deed::Delete | Deed::Leave => (Operation::Delete, stands.unwrap_or_else(unseen_row), Vec::new()),
            Deed::Insert(a, b) => {
                (Operation::Insert, Vec::new(), image(a, b).into_iter().zip(0..).map(|(v, c)| (c, v)).collect())
            }
            Deed::Write(columns) => {
                let written = columns.iter().map(|(column, value)| (*column as u16, (*value).into())).collect();
                (Operation::Update, stands.unwrap_or_else(unseen_row), written)
            }
        };
        let birth = if operation == Operation::Insert {
            Birth::Here
        } else {
            Birth::At(Dot { origin: origin(0), seq: Seq(1) })
        };
        let leaves = matches!(deed, Deed::Leave);
        let extras = if leaves { vec![(EXTRA_LEAVES_SCOPE, Vec::new())] } else { Vec::new() };
        let event = Event { table: 0, operation, lamport, birth, before, written, salt: [0; 16], extras };
        let mut columns = vec![None; 3];
        event.written.iter().for_each(|(column, value)| columns[usize::from(*column)] = Some(value.clone()));
        self.history.records.push(Record {
            row: 0,
            stamp: Stamp { lamport, dot },
            epoch: 0,
            operation,
            leaves,
            anew: vec![false; columns.len()],
            written: columns,
            before: (operation != Operation::Insert).then(|| event.before.clone()),
            after: event.after(),
            seen,
            changeset: self.events.len(),
        });
        self.events.push((event, context, dot));
    }

    fn check(&self, scheme: &Scheme) -> Result<(), Failure> {
        check::causality(&self.history)?;
        let all = EventSet::first(EVENTS + 1);
        let expected = reference::fold(&self.history, all, 0);
        let mut state = RowState::default();
        for order in scheme.orders() {
            state = self.deliver(&order)?;
            ensure!(folded(&state) == expected, "order {order:?} gives {state:#?}, should be {expected:#?}");
        }
        let first = ColumnPolicy::NodePriority([origin(2).node].into());
        for existence in ExistencePolicy::ALL {
            for column in [ColumnPolicy::LastWriter, ColumnPolicy::Max, ColumnPolicy::Counter, first.clone()] {
                self.check_policy(&state, &expected, policy(existence, column))?;
            }
        }
        Ok(())
    }

    fn deliver(&self, order: &[usize]) -> Result<RowState, Failure> {
        let (mut state, mut known) = (RowState::default(), EventSet::default());
        for number in std::iter::once(0).chain(order.iter().map(|number| number + 1)) {
            let (event, context, dot) = &self.events[number];
            let key = Setting::key(0);
            let columns = [ColumnIx(0), ColumnIx(1), ColumnIx(2)];
            state.merge(&Arrival { event, dot: *dot, context, table: "t", key: &key, columns: &columns });
            known.insert(number);
            for (column, stamp) in state.missed_not_remembered() {
                let unseen = self.history.apart_from(&stamp, 0, known);
                let unseen: Vec<_> = unseen.into_iter().map(|other| self.row_event(&self.history, other)).collect();
                let changes = Changes::to(&self.history.setting.columns[usize::from(column.0)], &unseen);
                state.remember_missed(column, stamp, changes);
            }
            for stamp in state.rows_not_remembered() {
                let record = self.history.records.iter().find(|record| record.stamp == stamp);
                let left =
                    record.and_then(|record| record.after.clone()).ok_or("a row is wanted that no write left")?;
                state.remember_row(stamp, columns.into_iter().zip(left).collect());
            }
        }
        Ok(state)
    }

    fn check_policy(&self, state: &RowState, folded: &Folded, drawn: DrawnPolicy) -> Result<(), Failure> {
        let setting = Setting {
            policies: vec![drawn.clone()],
            columns: self.history.setting.columns.clone(),
            table: "t".into(),
            ..self.history.setting
        };
        let history = History { records: self.history.records.clone(), ..History::new(setting) };
        let chosen = show::show(state, history.policies.current().table("t"), &history.setting.columns);
        let table = match chosen {
            Choice::Absent => None,
            Choice::Present(image) => Some(image.into_iter().map(|(_, value)| value).collect::<Vec<_>>()),
        };
        let expected = reference::show(folded, &drawn);
        ensure!(table == expected, "{drawn:?} shows {table:?}, should be {expected:?}");

        let forwards: Vec<RowEvent> = (0..self.events.len()).map(|number| self.row_event(&history, number)).collect();
        let backwards: Vec<RowEvent> = forwards.iter().rev().cloned().collect();
        let expected = reference::ledger(&history, EventSet::first(self.events.len()), 0);
        for events in [forwards, backwards] {
            let entries = ledger::entries(&history.setting.table, &Setting::key(0), &events, &history.policies);
            let losses: Vec<_> = entries.iter().map(|entry| check::loss(&history, entry)).collect();
            ensure!(losses == expected, "{drawn:?}: ledger {losses:#?}, should be {expected:#?}");
        }
        Ok(())
    }

    fn row_event(&self, history: &History, number: usize) -> RowEvent {
        let (event, context, dot) = &self.events[number];
        RowEvent::new(event, *dot, context, 0, &history.setting.columns)
    }
}

impl Scheme {
    /// An event's name: its origin's count of those before it.
    fn dot(&self, event: usize) -> Dot {
        let before = self.origins[..event].iter().filter(|origin| **origin == self.origins[event]).count();
        Dot { origin: origin(self.origins[event]), seq: Seq(before as u64 + 1) }
    }

    /// All orders of arrival in which nothing comes before what its vector covers.
    fn orders(&self) -> Vec<[usize; EVENTS]> {
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let place = |order: &[usize; EVENTS], event: usize| order.iter().position(|other| *other == event);
        let keeps = |order: &[usize; EVENTS]| {
            (0..EVENTS).all(|b| (0..b).all(|a| !self.covers[b][a] || place(order, a) < place(order, b)))
        };
        orders.into_iter().filter(keeps).collect()
    }
}

/// An origin has seen its own past; otherwise any event may come from any origin.
fn origins_for(covers: &[[bool; EVENTS]; EVENTS]) -> Vec<[u8; EVENTS]> {
    let all = (0..27_u8).map(|number| [number % 3 + 1, number / 3 % 3 + 1, number / 9 + 1]);
    all.filter(|origins| (0..EVENTS).all(|b| (0..b).all(|a| origins[a] != origins[b] || covers[b][a]))).collect()
}

/// A blocked row parks whatever arrives for it: what came to an origin after a parked event is parked too, unless it is its own. An own event is parked
/// where a new policy wants to show it, beside what stands, and cannot.
fn parks_for(covers: &[[bool; EVENTS]; EVENTS], origins: &[u8; EVENTS]) -> Vec<[[bool; EVENTS]; EVENTS]> {
    let mut found = Vec::new();
    for bits in 0..8_u8 {
        let mut parks = [[false; EVENTS]; EVENTS];
        (parks[1][0], parks[2][0], parks[2][1]) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
        let is_possible = (0..EVENTS).all(|b| {
            (0..b).all(|a| {
                let later_too = (a + 1..b).all(|m| {
                    let came_later = covers[m][a] && covers[b][m];
                    !came_later || (if origins[m] == origins[b] { parks[m][a] } else { parks[b][m] })
                });
                !parks[b][a] || (covers[b][a] && later_too)
            })
        });
        if is_possible {
            found.push(parks);
        }
    }
    found
}

/// All orders with ties in which a later event lies above what it covers.
fn lamports_for(covers: &[[bool; EVENTS]; EVENTS]) -> Vec<[u64; EVENTS]> {
    let all = (0..27_u64).map(|number| [number % 3 + 1, number / 3 % 3 + 1, number / 9 + 1]);
    let rises =
        |lamports: &[u64; EVENTS]| (0..EVENTS).all(|b| (0..b).all(|a| !covers[b][a] || lamports[a] < lamports[b]));
    let has_no_gap = |lamports: &[u64; EVENTS]| lamports.iter().all(|one| *one == 1 || lamports.contains(&(one - 1)));
    all.filter(|lamports| rises(lamports) && has_no_gap(lamports)).collect()
}

fn policy(existence: ExistencePolicy, column: ColumnPolicy) -> DrawnPolicy {
    DrawnPolicy { existence, columns: vec![ColumnPolicy::LastWriter, column.clone(), column] }
}

fn origin(number: u8) -> Origin {
    Origin { node: NodeId([number; 32]), incarnation: Incarnation { count: 1, nonce: 0 } }
}

fn folded(state: &RowState) -> Folded {
    let writes =
        |column: u16| state.register(ColumnIx(column)).writes().iter().map(|w| (w.stamp, w.value.clone())).collect();
    let row = |image: &[(ColumnIx, Value)]| image.iter().map(|(_, value)| value.clone()).collect();
    Folded {
        births: state.births.clone(),
        columns: (0..3).map(writes).collect(),
        live: state.live.clone(),
        deletes: state.deletes.clone(),
        has_left: state.has_left(),
        witnesses: state.witnesses.iter().map(|(stamp, image)| (*stamp, row(image))).collect(),
        counted: (0..3).map(|column| state.counted(ColumnIx(column))).collect(),
    }
}

/// The trace of a scheme is nothing but itself: there are no dice.
pub fn trace(scheme: &Scheme) -> Digest {
    Digest::of(format!("{scheme:?}").as_bytes())
}
