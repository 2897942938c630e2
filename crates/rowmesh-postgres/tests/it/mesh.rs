//! Databases of a real server as places of the contract, and as nodes of tests that are PostgreSQL's own.

use rowmesh_contract::Place;
use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::{Incarnation, NodeId};
use rowmesh_core::store::StoreResult;
use rowmesh_engine::plan::AttachOptions;
use rowmesh_postgres::connection::{Location, Session};
use rowmesh_postgres::store::PostgresStore;

use crate::cluster::{Database, check_references};

pub use rowmesh_contract::{check_equal, converge, lacked, now, verified};

/// A node on a database of its own.
pub type Node = rowmesh_contract::Node<Site>;

/// A database with the application's session.
pub struct Site {
    pub app: Session,
    pub database: Database,
    /// Who the store logs in as, if that is not the superuser.
    role: Option<String>,
}

impl Site {
    /// On a database of its own choosing.
    pub fn on(database: Database) -> Site {
        Site { app: application(&database), database, role: None }
    }

    /// The same, on which the store logs in as this role.
    pub fn as_role(database: Database, role: &str) -> Site {
        Site { role: Some(role.to_owned()), ..Site::on(database) }
    }

    /// The same of which the store's role is nobody special: it owns the tables, and may not keep triggers and foreign keys still.
    pub fn ordinary() -> Site {
        let database = Database::new();
        let role = database.role("ordinary");
        let name = database.location().database;
        let rights =
            format!("GRANT CREATE ON DATABASE \"{name}\" TO \"{role}\"; ALTER SCHEMA public OWNER TO \"{role}\"");
        database.session().batch(&rights).unwrap();
        let app = Session::open(&database.location().as_user(&role)).unwrap();
        app.batch("RESET ALL").unwrap();
        assert!(!app.is_replica());
        Site { app, database, role: Some(role) }
    }

    /// All rows of a query, one line each.
    pub fn query(&self, sql: &str) -> Vec<String> {
        self.texts(&format!("SELECT q::text FROM ({sql}) AS q"))
    }

    /// One text.
    pub fn text(&self, sql: &str) -> String {
        self.app.query_one(&format!("SELECT ({sql})::text"), &[]).unwrap().get(0)
    }
}

impl Place for Site {
    type Store = PostgresStore;
    type Address = Location;

    fn empty() -> Site {
        Site::on(Database::new())
    }

    fn address(&self) -> Location {
        let location = self.database.location();
        match &self.role {
            Some(role) => location.as_user(role),
            None => location,
        }
    }

    fn open(address: &Location, node: NodeId, incarnation: Incarnation) -> StoreResult<PostgresStore> {
        PostgresStore::open(address, &AttachOptions::default(), node, incarnation)
    }

    fn run(&self, sql: &str) {
        self.app.batch(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    fn run_unchecked(&self, sql: &str) {
        self.run(&format!("SET session_replication_role = replica; {sql}; RESET session_replication_role"));
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        let rows = self.app.query(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_else(|| "NULL".to_owned())).collect()
    }

    fn ours(table: &str) -> String {
        format!("rowmesh.{table}")
    }

    fn date_notes(&self, at: WallTime) {
        self.run(&format!("UPDATE rowmesh.dirty SET at = to_timestamp({} / 1000.0)", at.0));
    }

    fn lose_triggers(&self, table: &str) {
        let triggers = format!(
            "SELECT quote_ident(tgname) FROM pg_trigger WHERE tgrelid = '{table}'::regclass AND NOT tgisinternal"
        );
        let triggers = self.texts(&triggers);
        assert!(!triggers.is_empty(), "{table} had none");
        triggers.iter().for_each(|name| self.run(&format!("DROP TRIGGER {name} ON {table}")));
    }

    fn copied(self) -> (Site, Site) {
        let Site { app, database, role } = self;
        // Nobody may be in a database that is copied.
        drop(app);
        let copy = database.copy();
        (Site { role: role.clone(), ..Site::on(database) }, Site { role, ..Site::on(copy) })
    }

    fn catalog(&self) -> Vec<String> {
        self.texts(CATALOG)
    }

    fn check_sound(&self) {
        check_references(&self.app);
    }
}

/// Everything that somebody made.
const CATALOG: &str = "
    SELECT 'relation ' || oid::regclass FROM pg_class WHERE oid >= 16384 AND relnamespace <> 'pg_toast'::regnamespace
    UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE oid >= 16384
    UNION ALL SELECT 'trigger ' || tgname || ' of ' || tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger
    UNION ALL SELECT 'constraint ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE oid >= 16384
    UNION ALL SELECT 'schema ' || nspname || ' ' || coalesce(nspacl::text, '') FROM pg_namespace
    UNION ALL SELECT 'comment ' || description FROM pg_description WHERE objoid >= 16384
    UNION ALL SELECT 'rights ' || relname || ' ' || relacl::text FROM pg_class WHERE oid >= 16384 AND relacl IS NOT NULL
    ORDER BY 1";

/// A session as an application has it: nothing of what ours set.
pub fn application(database: &Database) -> Session {
    let app = database.session();
    app.batch("RESET ALL").unwrap();
    app
}

/// Nodes of one mesh that have the same schema.
pub fn nodes(count: u8, schema: &str) -> Vec<Node> {
    rowmesh_contract::nodes(count, schema)
}

/// Two of them, between which each batch has travelled.
pub fn travels(schema: &str, batches: &[&str]) -> Vec<Node> {
    rowmesh_contract::travels(schema, batches)
}
