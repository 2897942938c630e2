//! By which policies the rows of each table were shown last: people may change them at any time, and whoever ends before all rows are shown by the
//! new ones goes on where it was. Showing them is `late`'s.

use rowmesh_core::encode::Writer;
use rowmesh_core::ident::{NodeId, hex};
use rowmesh_core::policy::TablePolicy;

use super::Engine;
use super::by_table::ByTable;
use crate::database::{Database, Names};
use crate::fault::Result;

/// The fact that tells them, by hash; a table that has the defaults is not in it.
const FACT: &str = "ruled";

/// What it says of a table in which rows wait: no policy has this word.
const WAITING: &str = "rows wait";

impl<D: Database> Engine<D> {
    /// Remembers to show the tables anew whose rows were shown by other policies than hold now.
    pub(super) fn find_shown_otherwise(&mut self) -> Result<()> {
        if self.standing.is_none() {
            return Ok(());
        }
        let now = self.ruled_now()?;
        let Some(fact) = self.database.access().fact(FACT)? else {
            // Nothing was ever shown by other ones.
            return self.write(|db| db.set_fact(FACT, &now.write()));
        };
        let before = ByTable::read(&fact);
        for table in self.registry.all() {
            if !before.says(table.number, now.of(table.number)) {
                self.to_show.insert(table.schema.name.clone());
            }
        }
        Ok(())
    }

    /// Writes down that the rows of a table are shown by the policies that hold now; or that some of them wait, so that whoever comes after this
    /// process looks at them again.
    pub(super) fn set_ruled(&mut self, table: &str) -> Result<()> {
        let Some(number) = self.registry.tracked_by_name(table).map(|table| table.number) else { return Ok(()) };
        let Some(fact) = self.database.access().fact(FACT)? else { return Ok(()) };
        let mut ruled = ByTable::read(&fact);
        let now = self.ruled_now()?.of(number).cloned();
        let word = if self.waits(number) { Some(WAITING.to_owned()) } else { now };
        if ruled.says(number, word.as_ref()) {
            return Ok(());
        }
        ruled.set(number, word);
        self.write(|db| db.set_fact(FACT, &ruled.write()))
    }

    fn ruled_now(&self) -> Result<ByTable> {
        let policies = self.standing()?.policies.clone();
        let word = |table: &str| word(policies.current().table(table));
        Ok(self.registry.all().iter().filter_map(|table| Some((table.number, word(&table.schema.name)?))).collect())
    }
}

/// Tells a table's policies apart from others; none for the defaults.
fn word(policy: &TablePolicy) -> Option<String> {
    let mut out = Writer::default();
    out.bytes(policy.existence.as_str().as_bytes());
    for (column, rule) in policy.columns.iter().filter(|(_, rule)| **rule != Default::default()) {
        out.bytes(column.as_bytes());
        out.bytes(rule.spell(NodeId::to_string).as_bytes());
    }
    for (column, rule) in policy.references.iter().filter(|(_, rule)| **rule != Default::default()) {
        out.bytes(column.as_bytes());
        out.bytes(rule.as_str().as_bytes());
    }
    let is_default = policy.existence == Default::default()
        && policy.columns.values().all(|rule| *rule == Default::default())
        && policy.references.values().all(|rule| *rule == Default::default());
    (!is_default).then(|| hex(&blake3::hash(&out.0).as_bytes()[..8]))
}
