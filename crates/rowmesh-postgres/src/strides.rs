//! Brings sequences into step, so that each node deals out other numbers, and back to what they were. Which ones is decided in `sequences`; how
//! they keep ahead of what arrives is told there too.
//!
//! `ALTER SEQUENCE` waits for every transaction that has drawn a number, and whoever draws one waits for it; under its lock nobody is between
//! drawing and committing, and sessions that hold numbers in store (`CACHE`) give them up. So each sequence is altered in a short transaction of
//! its own that gives way soon, and what could not be had is tried again later. Numbers only ever go up: what was drawn is never drawn again.

use std::time::{Duration, Instant};

use rowmesh_core::stride::Stride;

use crate::attach::{LOCK_TRY, in_transaction};
use crate::catalog::Tracked;
use crate::connection::Session;
use crate::error::Result;
use crate::sequences::{self, Column, Memory, Sequence, Settings};

/// How often sequences are looked at: an application may set them to where it likes.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest and the longest pause before what could not be had is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));

/// Keeps the sequences of one database in step.
#[derive(Debug, Default)]
pub struct Dealer {
    stride: Option<Stride>,
    columns: Vec<Column>,
    /// Sequences in step, each with the number beyond which too few are left.
    dealt: Vec<(u32, i64)>,
    /// The pause before the next try, where something could not be had.
    pause: Option<Duration>,
    /// When they were last looked at; `None` if that is due.
    looked: Option<Instant>,
}

impl Dealer {
    /// Says which numbers are to be dealt out; `None` leaves everything as it is.
    pub fn take_up(&mut self, stride: Option<Stride>) {
        self.stride = stride;
    }

    /// Says which tables are tracked.
    pub fn follow<'t>(&mut self, tables: impl IntoIterator<Item = &'t Tracked>) {
        self.columns = sequences::columns(tables);
    }

    /// Brings every sequence into step that can be and is not, and those back whose tables are tracked no more. Not inside of a transaction.
    ///
    /// # Errors
    /// If the session has ended. What is refused is logged and left; what is locked is tried again when [`Dealer::is_due`] says so.
    pub fn settle(&mut self, session: &Session) -> Result<()> {
        let Some(stride) = self.stride else { return Ok(()) };
        let found = sequences::read(session, &self.columns)?;
        self.dealt.clear();
        let mut is_whole = true;
        for sequence in &found {
            match settle_one(session, sequence, stride) {
                Ok(Became::InStep) => self.dealt.push((sequence.oid, sequence.last_in_steps(stride.step()))),
                Ok(Became::Left) => {}
                Ok(Became::Altered) => is_whole = false,
                Err(error) if session.is_closed() => return Err(error),
                Err(error) if error.is_lock() => is_whole = false,
                Err(error) => {
                    let name = sequence.sql_name();
                    tracing::warn!(error = &error as &dyn std::error::Error, sequence = name, "it stays out of step");
                }
            }
        }
        let gone = "DELETE FROM rowmesh.sequences WHERE NOT EXISTS (SELECT FROM pg_sequence WHERE seqrelid = sequence)";
        session.execute(gone, &[])?;
        let longer = self.pause.map_or(RETRY.0, |pause| (pause * 2).min(RETRY.1));
        self.pause = (!is_whole).then_some(longer);
        self.looked = (!is_whole).then(Instant::now);
        Ok(())
    }

    /// Whether there is something to settle: somebody has set a sequence elsewhere, or altered or dropped it, or what was locked is to be
    /// tried again. Looks now and then only.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn is_due(&mut self, session: &Session) -> Result<bool> {
        let interval = self.pause.unwrap_or(LOOK_INTERVAL);
        let (Some(stride), false) = (self.stride, self.looked.is_some_and(|looked| looked.elapsed() < interval)) else {
            return Ok(false);
        };
        self.looked = Some(Instant::now());
        if self.pause.is_some() || self.dealt.is_empty() {
            return Ok(self.pause.is_some());
        }
        let (oids, lasts): (Vec<u32>, Vec<i64>) = self.dealt.iter().copied().unzip();
        let looked = session.query_one(OUT_OF_STEP, &[&oids, &lasts, &stride.step(), &stride.remainder()]);
        match looked {
            Ok(row) => Ok(row.get(0)),
            // Whoever holds it locked will be done at the next look.
            Err(error) if error.is_lock() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether any of them is not what it was brought to. One that nobody has drawn from since it was set has no last value.
const OUT_OF_STEP: &str = "
    SELECT EXISTS (
        SELECT FROM unnest($1::oid[], $2::int8[]) AS dealt (oid, last_in_steps) LEFT JOIN pg_sequence AS s ON s.seqrelid = dealt.oid
         WHERE CASE WHEN s.seqrelid IS NULL OR s.seqincrement <> $3 THEN true
                    ELSE (SELECT (last - $4) % $3 <> 0 OR last > dealt.last_in_steps
                            FROM (SELECT pg_sequence_last_value(dealt.oid) AS last OFFSET 0) AS at) END)";

/// What became of a sequence.
enum Became {
    /// It deals out this node's numbers.
    InStep,
    /// It counts as it did without us.
    Left,
    /// Somebody has altered it while we waited for its lock: it is looked at anew.
    Altered,
}

/// Puts one sequence in order.
fn settle_one(session: &Session, sequence: &Sequence, stride: Stride) -> Result<Became> {
    let in_step = sequence.is_in_step();
    if sequence.memory.is_some_and(|memory| !memory.released) && !in_step {
        let sql = "UPDATE rowmesh.sequences SET released = true WHERE sequence = $1::oid::regclass";
        session.execute(sql, &[&sequence.oid])?;
        return Ok(Became::Left);
    }
    if !sequence.may_alter || sequence.memory.is_some_and(|memory| memory.released) {
        return Ok(Became::Left);
    }
    let position = Position::read(session, sequence)?;
    let fits = sequence.fits(stride.step(), Some(position.next(&sequence.settings))).is_ok();
    match (fits, sequence.memory) {
        (false, Some(memory)) => in_short(session, || restore(session, sequence, memory)).map(|()| Became::Left),
        (false, None) => Ok(Became::Left),
        (true, _) if in_step && is_settled(sequence, position, stride) => Ok(Became::InStep),
        (true, _) => in_short(session, || deal(session, sequence, stride)),
    }
}

/// Whether there is nothing left to do about a sequence that is ours.
fn is_settled(sequence: &Sequence, position: Position, stride: Stride) -> bool {
    let settings = &sequence.settings;
    let starts_well = sequence.memory.is_none_or(|memory| settings.start != memory.first || stride.has(memory.first));
    settings.increment == stride.step() && stride.has(position.next(settings)) && starts_well
}

/// A short transaction that waits for nobody for long.
fn in_short<T>(session: &Session, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let limit = format!("SET LOCAL lock_timeout = {}", LOCK_TRY.as_millis());
    in_transaction(session, || session.batch(&limit).and_then(|()| run()))
}

/// Gives a sequence the numbers of a stride from the next one on.
fn deal(session: &Session, sequence: &Sequence, stride: Stride) -> Result<Became> {
    let Some((settings, position)) = lock(session, sequence)? else { return Ok(Became::Left) };
    if settings != sequence.settings {
        return Ok(Became::Altered);
    }
    let Some(next) = stride.first_from(position.next(&settings)).filter(|next| *next <= settings.max) else {
        return Ok(Became::Left);
    };
    let was = sequence.memory;
    let start = was.map_or(settings.start, |memory| memory.start);
    let first = stride.first_from(start).filter(|first| *first <= settings.max).unwrap_or(start);
    // A start that somebody has set since is his.
    let sets_start = was.is_none_or(|memory| memory.first == settings.start);
    let start_with = if sets_start { format!(" START WITH {first}") } else { String::new() };
    session.batch(&format!("ALTER SEQUENCE {} INCREMENT BY {}{start_with}", sequence.sql_name(), stride.step()))?;
    let before = next - stride.step();
    match position.is_called && before >= settings.min {
        true => set(session, sequence, before, true)?,
        false => set(session, sequence, next, false)?,
    }
    let sql = "INSERT INTO rowmesh.sequences (sequence, increment, start, step, first) VALUES ($1::oid::regclass, $2, $3, $4, $5)
               ON CONFLICT (sequence) DO UPDATE SET step = excluded.step, first = excluded.first";
    let increment = was.map_or(settings.increment, |memory| memory.increment);
    session.execute(sql, &[&sequence.oid, &increment, &start, &stride.step(), &first])?;
    Ok(Became::InStep)
}

/// Makes a sequence what it was, as far as nobody has altered it since, and forgets it. It goes on behind every number that was drawn or has come.
fn restore(session: &Session, sequence: &Sequence, memory: Memory) -> Result<()> {
    let Some((settings, position)) = lock(session, sequence)? else { return Ok(()) };
    if !memory.released && settings.increment == memory.step {
        let holds = (settings.min..=settings.max).contains(&memory.start);
        let start_with = match settings.start == memory.first && holds {
            true => format!(" START WITH {}", memory.start),
            false => String::new(),
        };
        session.batch(&format!(
            "ALTER SEQUENCE {} INCREMENT BY {}{start_with}",
            sequence.sql_name(),
            memory.increment
        ))?;
        let last = position.next(&settings) - memory.increment;
        if position.is_called && (settings.min..=settings.max).contains(&last) {
            set(session, sequence, last, true)?;
        }
    }
    session.execute("DELETE FROM rowmesh.sequences WHERE sequence = $1::oid::regclass", &[&sequence.oid]).map(drop)
}

/// Makes every sequence what it was, in the transaction that is under way.
///
/// # Errors
/// If the database cannot be written, or somebody is drawing numbers.
pub fn restore_all(session: &Session) -> Result<()> {
    for sequence in sequences::read(session, &[])? {
        match sequence.memory {
            Some(memory) if sequence.may_alter => restore(session, &sequence, memory)?,
            Some(memory) if !memory.released => {
                let (name, increment) = (sequence.sql_name(), memory.increment);
                tracing::warn!(
                    "this role may not alter {name} any more: ALTER SEQUENCE {name} INCREMENT BY {increment}"
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// Names of the sequences that deal out numbers in our steps.
///
/// # Errors
/// If the database cannot be read.
pub fn in_step(session: &Session) -> Result<Vec<String>> {
    let found = sequences::read(session, &[])?;
    let in_step = found.into_iter().filter(Sequence::is_in_step);
    Ok(in_step.map(|sequence| format!("{}.{}", sequence.place.0, sequence.place.1)).collect())
}

/// Where a sequence stands.
#[derive(Clone, Copy, Debug)]
struct Position {
    last: i64,
    is_called: bool,
}

impl Position {
    fn read(session: &Session, sequence: &Sequence) -> Result<Position> {
        let row = session.query_one(&format!("SELECT last_value, is_called FROM {}", sequence.sql_name()), &[])?;
        Ok(Position { last: row.get(0), is_called: row.get(1) })
    }

    /// The number that is drawn next. Every number that has come from elsewhere lies below.
    fn next(self, settings: &Settings) -> i64 {
        if self.is_called { self.last.saturating_add(settings.increment) } else { self.last }
    }
}

/// Keeps everybody from drawing until the transaction ends; how the sequence is set then. `None` if it is gone.
fn lock(session: &Session, sequence: &Sequence) -> Result<Option<(Settings, Position)>> {
    // There is no statement that only locks one: this says once more what is so.
    let cycle = if sequence.settings.cycles { "CYCLE" } else { "NO CYCLE" };
    session.batch(&format!("ALTER SEQUENCE IF EXISTS {} {cycle}", sequence.sql_name()))?;
    let sql = "SELECT seqstart, seqincrement, seqmin, seqmax, seqcycle FROM pg_sequence WHERE seqrelid = $1";
    let Some(row) = session.query_opt(sql, &[&sequence.oid])? else { return Ok(None) };
    let settings =
        Settings { start: row.get(0), increment: row.get(1), min: row.get(2), max: row.get(3), cycles: row.get(4) };
    Ok(Some((settings, Position::read(session, sequence)?)))
}

/// In a transaction that has altered the sequence, so that it is undone with it.
fn set(session: &Session, sequence: &Sequence, value: i64, is_called: bool) -> Result<()> {
    session.query_one("SELECT setval($1::oid::regclass, $2, $3)", &[&sequence.oid, &value, &is_called]).map(drop)
}
