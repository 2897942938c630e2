//! Reads row states for a snapshot by several sessions at once that see one moment: each takes a table, or a stretch of the keys of a large one,
//! and reads it by `COPY … TO STDOUT`. What waits to be sent is bounded; who sends slowly is read for slowly. What is in a state is core's business.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
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
    table: TableNumber,
    after: Vec<u8>,
    until: Option<Vec<u8>>,
}

type Stretches = Arc<Mutex<VecDeque<Stretch>>>;

/// What a reader says.
enum Said {
    Piece(Piece),
    /// It has read all that was left for it.
    Done,
    Failed(error::Error),
}

/// The pieces as they come.
pub struct Reading {
    said: Receiver<Said>,
    readers: usize,
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
    // For little a second session is not worth its beginning, and with one tables come in their order.
    let wanted = READERS.min(stretches.len()).min(1 + (rows / stretch_rows) as usize);
    // A server that has no room for the second has answered for the first.
    let sessions: Vec<Session> = (0..wanted).map_while(|_| open_at(location, &moment).ok()).collect();
    if sessions.is_empty() {
        return Ok(None);
    }
    let (sender, said) = sync_channel(PIECES_AHEAD);
    let readers = sessions.len();
    let stretches = Arc::new(Mutex::new(stretches));
    for session in sessions {
        let (stretches, sender) = (stretches.clone(), sender.clone());
        thread::spawn(move || {
            let said = read_all(&session, &stretches, &sender).map_or_else(Said::Failed, |()| Said::Done);
            // Nobody may be waiting any more.
            let _ = sender.send(said);
        });
    }
    Ok(Some(Reading { said, readers }))
}

impl Pieces for Reading {
    fn next(&mut self) -> Result<Option<Piece>> {
        while self.readers > 0 {
            match self.said.recv() {
                Ok(Said::Piece(piece)) => return Ok(Some(piece)),
                Ok(Said::Done) => self.readers -= 1,
                Ok(Said::Failed(error)) => return Err(error).told(),
                Err(_) => return Err(Error::inconsistent("a reader of row states that ended without a word")),
            }
        }
        Ok(None)
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
    for table in tables {
        let sql = "SELECT rows FROM rowmesh.tables WHERE t = $1";
        let rows: i64 = session.query_opt(sql, &[&table.0]).told()?.map_or(0, |row| row.get(0));
        total += rows;
        let mut after = Vec::new();
        for cut in cuts(session, *table, rows, stretch_rows)? {
            all.push_back(Stretch {
                table: *table,
                after: std::mem::replace(&mut after, cut.clone()),
                until: Some(cut),
            });
        }
        all.push_back(Stretch { table: *table, after, until: None });
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

fn read_all(session: &Session, stretches: &Stretches, sender: &SyncSender<Said>) -> error::Result<()> {
    loop {
        let next = stretches.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(stretch) = next else { return Ok(()) };
        stretch.read(session, sender)?;
    }
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
