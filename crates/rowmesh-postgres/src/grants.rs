//! Which rights an ordinary role still lacks to keep tables in sync, as statements for an administrator. Grants nothing itself, and asks for
//! nothing that is not used; the application's own role needs nothing at all.
//!
//! Triggers that fire for every writer (`ENABLE ALWAYS`) and strides of identity columns can be made by the owner of a table only, so the role
//! becomes a member of the owner. Not where the owner is a superuser, whose member could do anything: there rights on the table must do, and
//! what is written under `session_replication_role = replica` is found by reconciling only.

use std::collections::BTreeSet;
use std::fmt;

use rowmesh_engine::plan::AttachOptions;

use crate::attach;
use crate::catalog::{Catalog, home_schema};
use crate::connection::{Location, Session};
use crate::error::Result;

/// One right that is missing, or several of one kind on one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// What the role is to have.
    pub right: Right,
    /// The role.
    pub role: String,
    /// What for, in a few words.
    pub what_for: &'static str,
}

/// What can be missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Right {
    /// Privileges on something, as in `SELECT, INSERT` and `TABLE "public"."orders"`.
    Privileges(Vec<&'static str>, String),
    /// To be a member of another role.
    Member(String),
    /// The same for a role that takes over nothing by itself, since version 16.
    Heir(String),
    /// To have what the roles have that it is a member of, before version 16.
    Inherits,
    /// To see all rows, whatever the policies of a table say.
    AllRows,
}

/// Privileges on a table that is not the role's own.
const ON_TABLE: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRIGGER"];

/// Privileges on the sequence behind a column, so that its next number can be kept free.
const ON_SEQUENCE: [&str; 2] = ["SELECT", "UPDATE"];

/// The statement that gives the right.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = quoted(&self.role);
        match &self.right {
            Right::Privileges(names, thing) => write!(f, "GRANT {} ON {thing} TO {role};", names.join(", ")),
            Right::Member(owner) => write!(f, "GRANT {} TO {role};", quoted(owner)),
            Right::Heir(owner) => write!(f, "GRANT {} TO {role} WITH INHERIT TRUE;", quoted(owner)),
            Right::Inherits => write!(f, "ALTER ROLE {role} INHERIT;"),
            Right::AllRows => write!(f, "ALTER ROLE {role} BYPASSRLS;"),
        }
    }
}

/// What the role of a location lacks to keep in sync the tables that the options name.
///
/// # Errors
/// If the database cannot be opened or read.
pub fn missing_at(location: &Location, options: &AttachOptions) -> Result<Vec<Grant>> {
    let session = Session::open(location)?;
    let home = home_schema(&session, location.schema.as_deref())?;
    let catalog = Catalog::read(&session, &home, &options.keys)?;
    let wanted = attach::plan(&session, &home, options)?.names();
    let places =
        catalog.tables.into_iter().filter(|table| wanted.contains(&table.schema.name)).map(|table| table.place);
    let places: Vec<_> = places.chain(catalog.hidden).collect();
    missing(&session, &location.user, &places)
}

/// What `role` lacks to keep these tables, each a schema and a name, in sync. Empty for a superuser. Any role may ask.
///
/// # Errors
/// If there is no such role, or the database cannot be asked.
pub fn missing(session: &Session, role: &str, tables: &[(String, String)]) -> Result<Vec<Grant>> {
    let (schemas, names): (Vec<&str>, Vec<&str>) =
        tables.iter().map(|(schema, name)| (schema.as_str(), name.as_str())).unzip();
    let asker = Asker { session, role };
    let mut rights = asker.on_database()?;
    rights.extend(asker.on_schemas(&schemas, &names)?);
    rights.extend(asker.on_tables(&schemas, &names)?);
    for (right, what_for) in asker.on_sequences(&schemas, &names)? {
        // Whoever owns a table mostly owns the sequences behind it too.
        if !rights.iter().any(|(known, _)| *known == right) {
            rights.push((right, what_for));
        }
    }
    rights.extend(asker.on_settings()?);
    let rights = asker.inherited(rights)?;
    Ok(rights.into_iter().map(|(right, what_for)| Grant { right, role: role.to_owned(), what_for }).collect())
}

type Rights = Vec<(Right, &'static str)>;

struct Asker<'a> {
    session: &'a Session,
    role: &'a str,
}

impl Asker<'_> {
    fn on_database(&self) -> Result<Rights> {
        let sql = "SELECT current_database()::text, ARRAY(
                       SELECT right_name FROM unnest(ARRAY['CONNECT', 'CREATE']) AS right_name
                       WHERE NOT has_database_privilege($1, current_database(), right_name))";
        let row = self.session.query_one(sql, &[&self.role])?;
        let (name, lacks): (String, Vec<String>) = (row.get(0), row.get(1));
        let names = pick(&["CONNECT", "CREATE"], &lacks);
        let right = Right::Privileges(names, format!("DATABASE {}", quoted(&name)));
        Ok(if lacks.is_empty() {
            Vec::new()
        } else {
            vec![(right, "schema rowmesh, in which everything of ours lies")]
        })
    }

    fn on_schemas(&self, schemas: &[&str], names: &[&str]) -> Result<Rights> {
        // What the owner of a table may, a member of it may as well.
        let sql = "SELECT DISTINCT n.nspname::text
                   FROM unnest($2::text[], $3::text[]) AS wanted (schema, name)
                   JOIN pg_namespace AS n ON n.nspname = wanted.schema
                   JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted.name
                   JOIN pg_roles AS o ON o.oid = c.relowner
                   WHERE NOT has_schema_privilege($1, n.oid, 'USAGE')
                     AND (o.rolsuper OR NOT has_schema_privilege(o.oid, n.oid, 'USAGE'))
                   ORDER BY 1";
        let rows = self.session.query(sql, &[&self.role, &schemas, &names])?;
        let usage = |name: &str| Right::Privileges(vec!["USAGE"], format!("SCHEMA {}", quoted(name)));
        Ok(rows.iter().map(|row| (usage(row.get(0)), "to reach the tables in it")).collect())
    }

    fn on_tables(&self, schemas: &[&str], names: &[&str]) -> Result<Rights> {
        let sql = "SELECT n.nspname::text, c.relname::text, o.rolname::text, o.rolsuper,
                          pg_has_role($1, c.relowner, 'USAGE'),
                          (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = $1),
                          c.relrowsecurity, c.relforcerowsecurity,
                          ARRAY(SELECT right_name FROM unnest($4::text[]) AS right_name
                                WHERE NOT has_table_privilege($1, c.oid, right_name))
                   FROM unnest($2::text[], $3::text[]) AS wanted (schema, name)
                   JOIN pg_namespace AS n ON n.nspname = wanted.schema
                   JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted.name
                   JOIN pg_roles AS o ON o.oid = c.relowner
                   ORDER BY 1, 2";
        let on_table: &[&str] = &ON_TABLE;
        let rows = self.session.query(sql, &[&self.role, &schemas, &names, &on_table])?;
        let (mut owners, mut rights, mut hides_rows) = (BTreeSet::new(), Rights::new(), false);
        for row in &rows {
            let (owner, is_superuser): (String, bool) = (row.get(2), row.get(3));
            let (is_own, sees_all): (bool, bool) = (row.get(4), row.get(5));
            let (has_policies, owner_too): (bool, bool) = (row.get(6), row.get(7));
            let lacks: Vec<String> = row.get(8);
            let becomes_own = is_own || !is_superuser;
            if !is_own && becomes_own {
                owners.insert(owner);
            } else if !is_own && !lacks.is_empty() {
                let table = format!("TABLE {}.{}", quoted(row.get(0)), quoted(row.get(1)));
                rights.push((Right::Privileges(pick(&ON_TABLE, &lacks), table), "to capture and apply changes of it"));
            }
            hides_rows |= has_policies && !sees_all && (owner_too || !becomes_own);
        }
        let members =
            owners.into_iter().map(|owner| (Right::Member(owner), "triggers that fire for every writer, and strides"));
        let all_rows = hides_rows.then_some((Right::AllRows, "policies would hide rows"));
        Ok(members.chain(rights).chain(all_rows).collect())
    }

    fn on_sequences(&self, schemas: &[&str], names: &[&str]) -> Result<Rights> {
        let sql = "SELECT DISTINCT sn.nspname::text, s.relname::text, o.rolname::text, o.rolsuper,
                          ARRAY(SELECT right_name FROM unnest($4::text[]) AS right_name
                                WHERE NOT has_sequence_privilege($1, s.oid, right_name))
                   FROM unnest($2::text[], $3::text[]) AS wanted (schema, name)
                   JOIN pg_namespace AS n ON n.nspname = wanted.schema
                   JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted.name
                   CROSS JOIN LATERAL (
                       SELECT d.objid FROM pg_depend AS d
                        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
                          AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
                       UNION
                       SELECT d.refobjid FROM pg_attrdef AS f JOIN pg_depend AS d ON d.objid = f.oid
                        WHERE f.adrelid = c.oid AND d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
                   ) AS behind (oid)
                   JOIN pg_class AS s ON s.oid = behind.oid AND s.relkind = 'S'
                   JOIN pg_namespace AS sn ON sn.oid = s.relnamespace
                   JOIN pg_roles AS o ON o.oid = s.relowner
                   WHERE NOT pg_has_role($1, s.relowner, 'USAGE')
                   ORDER BY 1, 2";
        let on_sequence: &[&str] = &ON_SEQUENCE;
        let rows = self.session.query(sql, &[&self.role, &schemas, &names, &on_sequence])?;
        let right = |row: &crate::Row| {
            let is_superusers: bool = row.get(3);
            if !is_superusers {
                return Some((Right::Member(row.get(2)), "strides"));
            }
            let names = pick(&ON_SEQUENCE, &row.get::<_, Vec<String>>(4));
            let thing = format!("SEQUENCE {}.{}", quoted(row.get(0)), quoted(row.get(1)));
            (!names.is_empty()).then_some((Right::Privileges(names, thing), "to keep its next number free"))
        };
        Ok(rows.iter().filter_map(right).collect())
    }

    /// A role that takes over nothing by itself has to be told to.
    fn inherited(&self, rights: Rights) -> Result<Rights> {
        let sql = "SELECT rolinherit FROM pg_roles WHERE rolname = $1";
        let inherits: bool = self.session.query_one(sql, &[&self.role])?.get(0);
        let joins = rights.iter().any(|(right, _)| matches!(right, Right::Member(_)));
        if inherits || !joins {
            return Ok(rights);
        }
        if self.session.version() < 16 {
            return Ok(rights
                .into_iter()
                .chain([(Right::Inherits, "to have the rights of the roles that it is a member of")])
                .collect());
        }
        let heir = |(right, what_for)| match right {
            Right::Member(owner) => (Right::Heir(owner), what_for),
            other => (other, what_for),
        };
        Ok(rights.into_iter().map(heir).collect())
    }

    /// Before version 15 nobody but a superuser can have it.
    fn on_settings(&self) -> Result<Rights> {
        if self.session.version() < 15 {
            return Ok(Vec::new());
        }
        let sql = "SELECT has_parameter_privilege($1, 'session_replication_role', 'SET')";
        let has_it: bool = self.session.query_one(sql, &[&self.role])?.get(0);
        let right = Right::Privileges(vec!["SET"], "PARAMETER session_replication_role".to_owned());
        Ok(if has_it { Vec::new() } else { vec![(right, "the application's triggers keep still for what is applied")] })
    }
}

/// Those of the names that are lacking, in their own order.
fn pick(names: &[&'static str], lacking: &[String]) -> Vec<&'static str> {
    names.iter().copied().filter(|name| lacking.iter().any(|lacking| lacking == name)).collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
