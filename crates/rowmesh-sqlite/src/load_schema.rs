//! Gives a database that has no table at all the schema that a snapshot came with. The only place where statements from another node are
//! run: on the joiner's own wish, in an empty database, and only what makes tables, indexes, views and triggers.

use rowmesh_core::store::StoreError;
use rowmesh_engine::fault::Result;
use rowmesh_engine::plan::AttachOptions;
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::attach;
use crate::fault::Told;

/// Runs the statements in one transaction, in their order: tables first, then what hangs on them. In the same transaction the tables are
/// captured, so that no row comes in before.
pub fn run(connection: &mut Connection, statements: &[String], options: &AttachOptions) -> Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE").told()?;
    connection.authorizer(Some(allow_schema)).told()?;
    let made = make_all(connection, statements);
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).told()?;
    match made.and_then(|()| attach::follow_inside(connection, options).told()) {
        Ok(()) => connection.execute_batch("COMMIT").told(),
        Err(error) => {
            connection.execute_batch("ROLLBACK").told()?;
            Err(error)
        }
    }
}

fn make_all(connection: &Connection, statements: &[String]) -> Result<()> {
    for statement in statements {
        connection.execute(statement, []).map_err(|source| {
            let shown: String = statement.chars().take(200).collect();
            StoreError::needs_person(
                "RM2301",
                format!("this database could not be given the mesh's schema at: {shown}"),
                "run the application's own migrations on this database first, then join again",
            )
            .because(source)
        })?;
    }
    Ok(())
}

/// What making a schema needs, and nothing that reads a file, attaches, changes a setting or touches rows of a user's table.
fn allow_schema(context: AuthContext<'_>) -> Authorization {
    use AuthAction::{
        CreateIndex, CreateTable, CreateTrigger, CreateView, CreateVtable, Delete, DropTable, Function, Insert, Read,
        Reindex, Select, Transaction, Update,
    };
    match context.action {
        CreateTable { .. } | CreateIndex { .. } | CreateView { .. } | CreateTrigger { .. } | CreateVtable { .. } => {
            Authorization::Allow
        }
        Read { .. } | Select | Reindex { .. } | Transaction { .. } => Authorization::Allow,
        // Virtual tables fill their own shadow tables; all others are written only through the schema table.
        Insert { .. } | Update { .. } | Delete { .. } | DropTable { .. } => Authorization::Allow,
        Function { function_name } if function_name.eq_ignore_ascii_case("load_extension") => Authorization::Deny,
        Function { .. } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}
