//! Origins by number, and with them the version vector: what the row states of this database reflect. Kept in memory and written through
//! to the database; after a rollback it must be loaded anew.

use std::collections::HashMap;

use rowmesh_core::clock::VersionVector;
use rowmesh_core::ident::{Digest, Dot, Origin, Seq};
use rowmesh_core::row_state::OriginTable;

use crate::database::Names;
use crate::fault::{Error, Result};

/// One known origin.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub fn load(db: &impl Names) -> Result<Origins> {
        let known = db.origins()?;
        let numbers = known.iter().zip(1..).map(|(known, number)| (known.origin, number)).collect();
        Ok(Origins { stored: known.len(), known, numbers })
    }

    /// Whether the database holds what these say: nobody else writes there, so if it does not, it is another database, or an earlier state
    /// of this one.
    pub fn stand_in(&self, db: &impl Names) -> Result<bool> {
        let known = &self.known[..self.stored];
        let sum = known.iter().map(|known| known.seq.0).sum();
        Ok(db.origins_sum()? == (known.len() as u64, sum))
    }

    /// Writes those that were numbered since the last call. To be called in the transaction that uses the numbers.
    pub fn store_new(&mut self, db: &impl Names) -> Result<()> {
        for (position, known) in self.known.iter().enumerate().skip(self.stored) {
            db.add_origin(position as u32 + 1, known)?;
        }
        self.stored = self.known.len();
        Ok(())
    }

    /// Moves an origin's number forward in the current transaction.
    pub fn advance(&mut self, db: &impl Names, dot: Dot, hash: Digest) -> Result<()> {
        let number = self.number(&dot.origin);
        self.store_new(db)?;
        let known = &mut self.known[number as usize - 1];
        assert!(known.seq < dot.seq, "the version vector may only grow: {} after {}", dot, known.seq);
        (known.seq, known.hash) = (dot.seq, hash);
        db.set_origin(number, known)
    }

    /// Takes an origin's number back: what came later has got other names. The one place where a version vector falls.
    pub fn cut(&mut self, db: &impl Names, last: Dot, hash: Digest) -> Result<()> {
        let number = self.number(&last.origin);
        let known = &mut self.known[number as usize - 1];
        (known.seq, known.hash) = (last.seq, hash);
        db.set_origin(number, known)
    }

    /// Says that an origin's changesets up to `dot` are in the row states, and up to `floor` not in the log.
    pub fn settle(&mut self, db: &impl Names, dot: Dot, hash: Digest, floor: Seq) -> Result<()> {
        let number = self.number(&dot.origin);
        self.store_new(db)?;
        let known = &mut self.known[number as usize - 1];
        known.floor = known.floor.max(floor);
        if dot.seq > known.seq {
            (known.seq, known.hash) = (dot.seq, hash);
        }
        db.set_origin(number, known)
    }

    /// What is known of an origin.
    pub fn get(&self, origin: &Origin) -> Option<&KnownOrigin> {
        self.numbers.get(origin).map(|number| &self.known[*number as usize - 1])
    }

    /// The number of an origin that must be known.
    pub fn known_number(&self, origin: &Origin) -> Result<u32> {
        let number = self.numbers.get(origin).copied();
        number.ok_or_else(|| Error::inconsistent("a changeset of an unknown origin"))
    }

    /// The dot that a stored number of an origin and a changeset's of it mean.
    pub fn dot(&self, number: u32, seq: Seq) -> Result<Dot> {
        let origin = self.origin(number).ok_or_else(|| Error::inconsistent("a row that names an unknown origin"))?;
        Ok(Dot { origin, seq })
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
