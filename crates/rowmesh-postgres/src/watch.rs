//! Notices that a database has moved: rows noted, or the schema. Looks only: what is to be done about it is done in `attach` and by the
//! engine.

use rowmesh_engine::database::Seen;

use crate::connection::Session;
use crate::error::Result;

/// What a session remembers between looks.
#[derive(Debug, Default)]
pub struct Watch {
    followed: Option<i64>,
}

impl Watch {
    /// Looks, in one statement. A schema that was not followed yet is told each time.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn look(&self, session: &Session) -> Result<Seen> {
        let sql = format!("SELECT ({SCHEMA_VERSION}), EXISTS (SELECT FROM rowmesh.dirty)");
        let row = session.query_one(&sql, &[])?;
        let schema_version: i64 = row.get(0);
        Ok(Seen { data_changed: row.get(1), schema_changed: self.followed != Some(schema_version) })
    }

    /// Says that the schema was followed up to a version.
    pub fn followed(&mut self, schema_version: i64) {
        self.followed = Some(schema_version);
    }
}

/// A number that is another one whenever a table, column, index, constraint, trigger or function of anyone's was made, altered or dropped.
///
/// # Errors
/// If the database cannot be read.
pub fn schema_version(session: &Session) -> Result<i64> {
    Ok(session.query_one(&format!("SELECT {SCHEMA_VERSION}"), &[])?.get(0))
}

/// Each line of a catalog counts by where it stands, and altering it moves it; what the server's own lines say is left out. Of triggers and
/// functions counts besides who wrote them: one that was switched off and on again may stand where it stood. Vacuum and ANALYZE move nothing.
const SCHEMA_VERSION: &str = "
    COALESCE((SELECT pg_catalog.bit_xor(pg_catalog.hashtidextended(ctid, 1)) FROM pg_catalog.pg_class
               WHERE oid >= 16384 AND relkind IN ('r', 'p', 'f', 'm', 'i', 'I')), 0)
    # COALESCE((SELECT pg_catalog.bit_xor(pg_catalog.hashtidextended(ctid, 2)) FROM pg_catalog.pg_attribute
               WHERE attrelid >= 16384 AND attnum > 0), 0)
    # COALESCE((SELECT pg_catalog.bit_xor(pg_catalog.hashtidextended(ctid, 3)) FROM pg_catalog.pg_constraint WHERE oid >= 16384), 0)
    # COALESCE((SELECT pg_catalog.bit_xor(pg_catalog.hashtidextended(ctid, 4)) FROM pg_catalog.pg_attrdef), 0)
    # COALESCE((SELECT pg_catalog.bit_xor(pg_catalog.hash_record_extended(ROW(ctid, xmin), 5)) FROM pg_catalog.pg_trigger
               WHERE NOT tgisinternal), 0)
    # COALESCE((SELECT pg_catalog.bit_xor(pg_catalog.hash_record_extended(ROW(ctid, xmin), 6)) FROM pg_catalog.pg_proc WHERE oid >= 16384), 0)
    # COALESCE((SELECT pg_catalog.bit_xor(pg_catalog.hashtidextended(ctid, 7)) FROM pg_catalog.pg_inherits), 0)
    # COALESCE((SELECT pg_catalog.bit_xor(pg_catalog.hashtidextended(ctid, 8)) FROM pg_catalog.pg_enum), 0)
    # COALESCE((SELECT pg_catalog.bit_xor(pg_catalog.hashtidextended(ctid, 9)) FROM pg_catalog.pg_namespace WHERE oid >= 16384), 0)";
