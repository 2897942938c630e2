//! Origins by number, and with them the version vector: what the row states of this database reflect. Kept in memory and in
//! `rowmesh_origins`; after a rollback it must be loaded anew.

use std::collections::HashMap;

use rowmesh_core::clock::VersionVector;
use rowmesh_core::ident::{Digest, Dot, Incarnation, NodeId, Origin, Seq};
use rowmesh_core::row_state::OriginTable;
use rusqlite::{Connection, params};

/// One known origin.
#[derive(Clone, Debug)]
pub struct KnownOrigin {
    /// Its name.
    pub origin: Origin,
    /// The highest changeset of it that the row states reflect.
    pub seq: Seq,
    /// That changeset's hash.
    pub hash: Digest,
    /// Changesets at or below are not in the log.
    pub floor: Seq,
}

/// All origins of this database by number, from 1.
#[derive(Default)]
pub struct Origins {
    known: Vec<KnownOrigin>,
    numbers: HashMap<Origin, u32>,
    stored: usize,
}

impl Origins {
    /// Reads them all.
    pub fn load(connection: &Connection) -> rusqlite::Result<Origins> {
        let mut origins = Origins::default();
        let mut statement = connection
            .prepare_cached("SELECT node, incarnation, nonce, seq, hash, floor FROM rowmesh_origins ORDER BY o")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let incarnation = Incarnation { count: row.get(1)?, nonce: row.get::<_, i64>(2)? as u64 };
            let known = KnownOrigin {
                origin: Origin { node: NodeId(row.get(0)?), incarnation },
                seq: Seq(row.get::<_, i64>(3)? as u64),
                hash: Digest(row.get(4)?),
                floor: Seq(row.get::<_, i64>(5)? as u64),
            };
            origins.numbers.insert(known.origin, origins.known.len() as u32 + 1);
            origins.known.push(known);
        }
        origins.stored = origins.known.len();
        Ok(origins)
    }

    /// Whether the database holds what these say: nobody else writes there, so if it does not, it is another database, or an earlier state
    /// of this one.
    pub fn stand_in(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let mut statement = connection.prepare_cached("SELECT count(*), coalesce(sum(seq), 0) FROM rowmesh_origins")?;
        let (count, sum): (i64, i64) = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let known = &self.known[..self.stored];
        Ok(count == known.len() as i64 && sum == known.iter().map(|known| known.seq.0 as i64).sum::<i64>())
    }

    /// Writes those that were numbered since the last call. To be called in the transaction that uses the numbers.
    pub fn store_new(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        for (position, known) in self.known.iter().enumerate().skip(self.stored) {
            let incarnation = known.origin.incarnation;
            connection
                .prepare_cached(
                    "INSERT INTO rowmesh_origins (o, node, node_id, incarnation, nonce, seq, hash, floor) VALUES (?1, ?2, ?8, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    position as i64 + 1,
                    known.origin.node.0,
                    incarnation.count,
                    incarnation.nonce as i64,
                    known.seq.0 as i64,
                    known.hash.0,
                    known.floor.0 as i64,
                    known.origin.node.to_string(),
                ])?;
        }
        self.stored = self.known.len();
        Ok(())
    }

    /// Moves an origin's number forward in the current transaction.
    pub fn advance(&mut self, connection: &Connection, dot: Dot, hash: Digest) -> rusqlite::Result<()> {
        let number = self.number(&dot.origin);
        self.store_new(connection)?;
        let known = &mut self.known[number as usize - 1];
        assert!(known.seq < dot.seq, "the version vector may only grow: {} after {}", dot, known.seq);
        (known.seq, known.hash) = (dot.seq, hash);
        self.store_reached(connection, number)
    }

    /// Takes an origin's number back: what came later has got other names. The one place where a version vector falls.
    pub fn cut(&mut self, connection: &Connection, last: Dot, hash: Digest) -> rusqlite::Result<()> {
        let number = self.number(&last.origin);
        let known = &mut self.known[number as usize - 1];
        (known.seq, known.hash) = (last.seq, hash);
        self.store_reached(connection, number)
    }

    fn store_reached(&self, connection: &Connection, number: u32) -> rusqlite::Result<()> {
        let known = &self.known[number as usize - 1];
        connection.prepare_cached("UPDATE rowmesh_origins SET seq = ?2, hash = ?3 WHERE o = ?1")?.execute(params![
            number,
            known.seq.0 as i64,
            known.hash.0
        ])?;
        Ok(())
    }

    /// Says that an origin's changesets up to `dot` are in the row states, and up to `floor` not in the log.
    pub fn settle(&mut self, connection: &Connection, dot: Dot, hash: Digest, floor: Seq) -> rusqlite::Result<()> {
        let number = self.number(&dot.origin);
        self.store_new(connection)?;
        let known = &mut self.known[number as usize - 1];
        known.floor = known.floor.max(floor);
        if dot.seq > known.seq {
            (known.seq, known.hash) = (dot.seq, hash);
        }
        connection
            .prepare_cached("UPDATE rowmesh_origins SET seq = ?2, hash = ?3, floor = ?4 WHERE o = ?1")?
            .execute(params![number, known.seq.0 as i64, known.hash.0, known.floor.0 as i64])?;
        Ok(())
    }

    /// What is known of an origin.
    pub fn get(&self, origin: &Origin) -> Option<&KnownOrigin> {
        self.numbers.get(origin).map(|number| &self.known[*number as usize - 1])
    }

    /// What is known of all.
    pub fn all(&self) -> &[KnownOrigin] {
        &self.known
    }

    /// The version vector.
    pub fn vector(&self) -> VersionVector {
        self.known.iter().map(|known| Dot { origin: known.origin, seq: known.seq }).collect()
    }

    /// Where the log begins.
    pub fn floor(&self) -> VersionVector {
        self.known.iter().map(|known| Dot { origin: known.origin, seq: known.floor }).collect()
    }
}

impl OriginTable for Origins {
    fn number(&mut self, origin: &Origin) -> u32 {
        if let Some(number) = self.numbers.get(origin) {
            return *number;
        }
        self.known.push(KnownOrigin { origin: *origin, seq: Seq(0), hash: Digest::default(), floor: Seq(0) });
        let number = self.known.len() as u32;
        self.numbers.insert(*origin, number);
        number
    }

    fn origin(&self, number: u32) -> Option<Origin> {
        self.known.get((number as usize).checked_sub(1)?).map(|known| known.origin)
    }
}
