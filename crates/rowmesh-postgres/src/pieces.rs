//! Reads row states for a snapshot by several sessions at once that see one moment: each takes a table, or a stretch of the keys of a large one,
//! and reads it by `COPY … TO STDOUT`. Tables come in the order in which they were asked for, each whole before the next. What waits to be sent
//! is bounded; who sends slowly is read for slowly. What is in a state is core's business.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use rowmesh_engine::database::{Piece, Pieces};
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::registry::TableNumber;

use crate::connection::{Location, Session};
use crate::copy::CopiedRows;
use crate::error;
use crate::fault::Told;

/// Sessions that read at once.
const READERS: usize = 2;
/// Pieces that wait to be sent.
const PIECES_AHEAD: usize = 2;
/// Rows of a stretch, about.
const STRETCH_ROWS: i64 = 250_000;
/// Keys that are looked at to cut a table into stretches, about.
const SAMPLE_ROWS: f64 = 2_000.0;

/// Keys are read in the order of their index: nothing has told the planner yet how they lie, and reading all of the table for each stretch, or sorting
/// it, takes longer. Who sends slowly is waited for.
const BY_INDEX: &str =
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL idle_in_transaction_session_timeout = 0";

/// Keys of one table, from after the one to the other.
struct Stretch {
    /// The table's turn.
    turn: usize,
    table: TableNumber,
    after: Vec<u8>,
    until: Option<Vec<u8>>,
}

/// What is left to be read.
struct Left {
    stretches: VecDeque<Stretch>,
    /// Whose pieces are handed out. Readers are one table ahead of it at most: what waits does not grow with the number of tables.
    turn: usize,
    /// Nobody wants any more.
    is_over: bool,
}

/// What readers and whoever hands out share.
struct Plan {
    left: Mutex<Left>,
    moved: Condvar,
}

/// What a reader says of a stretch.
enum Said {
    Piece(Piece),
    /// It is read.
    Done,
    Failed(error::Error),
}

/// One table's turn.
struct Turn {
    said: Receiver<Said>,
    /// Stretches that are not read to their end yet.
    left: usize,
}

/// The pieces, all of one table before those of the next, in any order within a table.
pub struct Reading {
    plan: Arc<Plan>,
    turns: VecDeque<Turn>,
}

/// Begins to read what `session` sees, whose transaction has to go on until all readers have begun, which they have when this returns. `None` if
/// the server has no room for more sessions of ours.
pub fn read(session: &Session, location: &Location, tables: &[TableNumber]) -> Result<Option<Reading>> {
    read_cut(session, location, tables, STRETCH_ROWS)
}

/// The same in stretches of about so many rows.
pub fn read_cut(
    session: &Session,
    location: &Location,
    tables: &[TableNumber],
    stretch_rows: i64,
) -> Result<Option<Reading>> {
    let (stretches, rows) = stretches(session, tables, stretch_rows)?;
    let moment: String = session.query_one("SELECT pg_export_snapshot()", &[]).told()?.get(0);
    // For little a second session is not worth its beginning.
    let wanted = READERS.min(stretches.len()).min(1 + (rows / stretch_rows) as usize);
    // A server that has no room for the second has answered for the first.
    let sessions: Vec<Session> = (0..wanted).map_while(|_| open_at(location, &moment).ok()).collect();
    if sessions.is_empty() {
        return Ok(None);
    }
    let (senders, receivers): (Vec<_>, Vec<_>) = tables.iter().map(|_| sync_channel(PIECES_AHEAD)).unzip();
    let of_turn = |turn: usize| stretches.iter().filter(|stretch| stretch.turn == turn).count();
    let turns = receivers.into_iter().enumerate().map(|(turn, said)| Turn { said, left: of_turn(turn) }).collect();
    let left = Mutex::new(Left { stretches, turn: 0, is_over: false });
    let plan = Arc::new(Plan { left, moved: Condvar::new() });
    for session in sessions {
        let (plan, senders) = (plan.clone(), senders.clone());
        thread::spawn(move || read_all(&session, &plan, &senders));
    }
    Ok(Some(Reading { plan, turns }))
}

impl Pieces for Reading {
    fn next(&mut self) -> Result<Option<Piece>> {
        while let Some(turn) = self.turns.front_mut() {
            if turn.left == 0 {
                self.turns.pop_front();
                self.plan.change(|left| left.turn += 1);
                continue;
            }
            match turn.said.recv() {
                Ok(Said::Piece(piece)) => return Ok(Some(piece)),
                Ok(Said::Done) => turn.left -= 1,
                Ok(Said::Failed(error)) => return Err(error).told(),
                Err(_) => return Err(Error::inconsistent("readers of row states that ended before their end")),
            }
        }
        Ok(None)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.plan.change(|left| left.is_over = true);
    }
}

impl Plan {
    fn change(&self, change: impl FnOnce(&mut Left)) {
        change(&mut self.left.lock().unwrap_or_else(PoisonError::into_inner));
        self.moved.notify_all();
    }

    /// The next stretch, once it may be read; `None` if there is none.
    fn next(&self) -> Option<Stretch> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let is_early = |left: &mut Left| {
            let next = left.stretches.front();
            !left.is_over && next.is_some_and(|next| next.turn > left.turn + 1)
        };
        let mut left = self.moved.wait_while(left, is_early).unwrap_or_else(PoisonError::into_inner);
        if left.is_over { None } else { left.stretches.pop_front() }
    }
}

/// Reads stretches until there are none, or nobody wants them.
fn read_all(session: &Session, plan: &Plan, senders: &[SyncSender<Said>]) {
    while let Some(stretch) = plan.next() {
        let sender = &senders[stretch.turn];
        let read = catch_unwind(AssertUnwindSafe(|| stretch.read(session, sender)));
        let broken = |_| Err(io::Error::other("a reader of row states broke").into());
        let said = read.unwrap_or_else(broken).map_or_else(Said::Failed, |()| Said::Done);
        let goes_on = matches!(said, Said::Done);
        if sender.send(said).is_err() || !goes_on {
            return;
        }
    }
}

fn open_at(location: &Location, moment: &str) -> error::Result<Session> {
    let session = Session::open(location)?;
    session.begin()?;
    session.batch(&format!(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{moment}'; {BY_INDEX}"
    ))?;
    Ok(session)
}

/// Every table in its turn, large ones in several stretches, and about how many rows that is.
fn stretches(session: &Session, tables: &[TableNumber], stretch_rows: i64) -> Result<(VecDeque<Stretch>, i64)> {
    let (mut all, mut total) = (VecDeque::new(), 0);
    for (turn, table) in tables.iter().enumerate() {
        let sql = "SELECT rows FROM rowmesh.tables WHERE t = $1";
        let rows: i64 = session.query_opt(sql, &[&table.0]).told()?.map_or(0, |row| row.get(0));
        total += rows;
        let mut after = Vec::new();
        for cut in cuts(session, *table, rows, stretch_rows)? {
            all.push_back(Stretch {
                turn,
                table: *table,
                after: std::mem::replace(&mut after, cut.clone()),
                until: Some(cut),
            });
        }
        all.push_back(Stretch { turn, table: *table, after, until: None });
    }
    Ok((all, total))
}

/// Keys that cut a table into stretches of about equally many rows. Only how long one takes depends on how well they are chosen.
fn cuts(session: &Session, table: TableNumber, rows: i64, stretch_rows: i64) -> Result<Vec<Vec<u8>>> {
    let wanted = (rows / stretch_rows) as usize;
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let share = (100.0 * SAMPLE_ROWS / rows as f64).min(100.0);
    let sql = format!("SELECT key FROM rowmesh.row_states TABLESAMPLE SYSTEM ({share}) WHERE t = $1 ORDER BY key");
    let keys: Vec<Vec<u8>> = session.query(&sql, &[&table.0]).told()?.iter().map(|row| row.get(0)).collect();
    let mut cuts: Vec<Vec<u8>> =
        (1..=wanted).filter_map(|n| keys.get(n * keys.len() / (wanted + 1)).cloned()).collect();
    cuts.dedup();
    Ok(cuts)
}

impl Stretch {
    fn sql(&self) -> String {
        let hex = |key: &[u8]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let until = self.until.as_ref().map_or_else(String::new, |key| format!(" AND key <= '\\x{}'", hex(key)));
        format!(
            "COPY (SELECT key, state FROM rowmesh.row_states WHERE t = {} AND key > '\\x{}'{until} ORDER BY key) TO STDOUT (FORMAT binary)",
            self.table.0,
            hex(&self.after)
        )
    }

    fn read(&self, session: &Session, sender: &SyncSender<Said>) -> error::Result<()> {
        let mut piece = Piece::new(self.table);
        let send = |piece| {
            let gone = |_| error::Error::from(io::Error::other("nobody waits for the snapshot any more"));
            sender.send(Said::Piece(piece)).map_err(gone)
        };
        let mut copied = CopiedRows::<2>::default();
        session.copy_out(&self.sql(), |bytes| {
            copied.take(&bytes, |[key, state]| {
                piece.push(key, state);
                if piece.is_full() { send(std::mem::replace(&mut piece, Piece::new(self.table))) } else { Ok(()) }
            })
        })?;
        if !copied.is_whole() {
            return Err(io::Error::other("a COPY ended before its end").into());
        }
        if piece.rows > 0 { send(piece) } else { Ok(()) }
    }
}
