//! Opens sessions, always with the same settings, on a runtime of their own. A call returns when the server has answered. What stands in the
//! database is not its business; who opens a new session when one has ended is the caller's.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use futures_util::{SinkExt, StreamExt};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, SimpleQueryMessage, Statement};

use crate::error::{Error, Result};
use crate::fault::Meaning;
pub use crate::location::{Location, Server};
use crate::reach::{Reached, reach};

/// One value of a statement.
pub type Param<'a> = &'a (dyn ToSql + Sync);

/// How long a statement of ours waits for a lock before it gives way: our transactions are short and can be repeated.
pub const LOCK_PATIENCE: Duration = Duration::from_millis(250);

/// Prepared statements that a session keeps; beyond that it begins anew.
const STATEMENTS_MAX: usize = 500;

/// How long the end of a session waits for the server to hear of it.
const FAREWELL_PATIENCE: Duration = Duration::from_millis(200);

/// One session with fixed settings, on a runtime of its own. For threads that may block: not to be used inside of an async task.
pub struct Session {
    /// `None` only while it is being dropped.
    link: Option<Link>,
    statements: RefCell<HashMap<String, Statement>>,
    in_transaction: Cell<bool>,
    /// Where triggers of the application look for what they name, in a session that cannot keep them still.
    path_of_triggers: Option<String>,
    version: u32,
    server: Server,
}

/// What carries a session.
struct Link {
    client: Client,
    driver: JoinHandle<()>,
    runtime: Runtime,
}

impl Session {
    /// Opens a session.
    ///
    /// # Errors
    /// If no server of the location lets us in.
    pub fn open(location: &Location) -> Result<Session> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let opened = runtime.block_on(async {
            let reached = reach(location, is_usable).await?;
            reached.client.batch_execute(SETTINGS).await?;
            let path_of_triggers =
                configure(&reached.client, reached.major_version(), location.schema.as_deref()).await?;
            Ok::<_, Error>((reached, path_of_triggers))
        });
        let (reached, path_of_triggers) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // A name that nobody resolves may keep a thread of it busy for longer than anybody waits.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        Ok(Session {
            version: reached.major_version(),
            server: reached.server,
            link: Some(Link { client: reached.client, driver: reached.driver, runtime }),
            statements: RefCell::default(),
            in_transaction: Cell::new(false),
            path_of_triggers,
        })
    }

    /// Number of the server's process that serves this session.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub fn process(&self) -> Result<i32> {
        Ok(self.query_one("SELECT pg_backend_pid()", &[])?.get(0))
    }

    /// Rows that a statement returns.
    ///
    /// # Errors
    /// If the server refuses it, or is gone.
    pub fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        self.prepared(sql, async |client, statement| client.query(statement, params).await)
    }

    /// The one row that a statement returns, if it returns one.
    ///
    /// # Errors
    /// As [`Session::query`], and if there are several rows.
    pub fn query_opt(&self, sql: &str, params: &[Param<'_>]) -> Result<Option<Row>> {
        self.prepared(sql, async |client, statement| client.query_opt(statement, params).await)
    }

    /// The one row that a statement returns.
    ///
    /// # Errors
    /// As [`Session::query`], and if there is none or there are several.
    pub fn query_one(&self, sql: &str, params: &[Param<'_>]) -> Result<Row> {
        self.prepared(sql, async |client, statement| client.query_one(statement, params).await)
    }

    /// Runs a statement and tells how many rows it touched.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        let count = self.prepared(sql, async |client, statement| client.execute(statement, params).await);
        self.forget_after(sql);
        count
    }

    /// Runs several statements without waiting for one before the next is sent; the rows of each. All are sent, even if one is refused: in a
    /// transaction the server then refuses those behind it.
    ///
    /// # Errors
    /// The first refusal.
    pub fn pipeline(&self, statements: &[(&str, &[Param<'_>])]) -> Result<Vec<Vec<Row>>> {
        let client = self.client();
        let answers: std::result::Result<_, tokio_postgres::Error> = self.runtime().block_on(async {
            let prepared = try_join_all(statements.iter().map(|(sql, _)| self.prepare(client, sql))).await?;
            let sent = prepared.iter().zip(statements).map(|(statement, (_, params))| client.query(statement, params));
            join_all(sent).await.into_iter().collect()
        });
        answers.map_err(|error| self.noticed(error))
    }

    /// Runs one or more statements without values, whose rows nobody wants.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub fn batch(&self, sql: &str) -> Result<()> {
        let done = self.runtime().block_on(self.client().batch_execute(sql)).map_err(|error| self.noticed(error));
        self.forget_after(sql);
        done
    }

    /// Sends data to a `COPY … FROM STDIN`; how many rows arrived.
    ///
    /// # Errors
    /// As [`Session::query`]. No row arrives then.
    pub fn copy_in(&self, sql: &str, chunks: impl Iterator<Item = Bytes>) -> Result<u64> {
        self.try_copy_in(sql, chunks.map(Ok::<_, Error>))
    }

    /// The same with data whose source may fail.
    ///
    /// # Errors
    /// As [`Session::copy_in`], and the first error of the source. No row arrives then.
    pub fn try_copy_in<E: From<Error>>(
        &self,
        sql: &str,
        chunks: impl Iterator<Item = std::result::Result<Bytes, E>>,
    ) -> std::result::Result<u64, E> {
        self.runtime().block_on(async {
            let statement = self.prepare(self.client(), sql).await.map_err(|error| self.noticed(error))?;
            let sink = self.client().copy_in(&statement).await.map_err(|error| self.noticed(error))?;
            let mut sink = std::pin::pin!(sink);
            for chunk in chunks {
                // A sink that is dropped unfinished has the server undo what came.
                sink.feed(chunk?).await.map_err(|error| self.noticed(error))?;
            }
            Ok(sink.finish().await.map_err(|error| self.noticed(error))?)
        })
    }

    /// Hands out the data of a `COPY … TO STDOUT` as it comes.
    ///
    /// # Errors
    /// As [`Session::query`], and what `each` says; nothing more is read then.
    pub fn copy_out(&self, sql: &str, mut each: impl FnMut(Bytes) -> Result<()>) -> Result<()> {
        self.runtime().block_on(async {
            let stream = self.client().copy_out(sql).await.map_err(|error| self.noticed(error))?;
            let mut stream = std::pin::pin!(stream);
            while let Some(chunk) = stream.next().await {
                each(chunk.map_err(|error| self.noticed(error))?)?;
            }
            Ok(())
        })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub fn begin(&self) -> Result<()> {
        assert!(!self.in_transaction.get(), "a transaction was begun inside another");
        self.batch("BEGIN")?;
        self.in_transaction.set(true);
        Ok(())
    }

    /// Commits the transaction. Whether it did is unknown where the connection was lost.
    ///
    /// # Errors
    /// As [`Session::query`], and if a statement of it was refused before: then it is undone.
    pub fn commit(&self) -> Result<()> {
        // PostgreSQL answers COMMIT of a transaction that has failed with ROLLBACK, and no error. The empty SELECT is refused there.
        let done = self.batch("SELECT; COMMIT");
        if done.as_ref().is_err_and(|error| error.sqlstate().is_some()) {
            let _ = self.batch("ROLLBACK");
        }
        self.in_transaction.set(false);
        done
    }

    /// Undoes the transaction. Of a session that has ended the server has undone it.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub fn rollback(&self) -> Result<()> {
        self.in_transaction.set(false);
        self.batch("ROLLBACK")
    }

    /// Whether a transaction that [`Session::begin`] began is open.
    pub fn in_transaction(&self) -> bool {
        self.in_transaction.get()
    }

    /// Whether the session has ended, by the server or on the way to it, as far as that has been heard of.
    pub fn is_closed(&self) -> bool {
        // Twice: what the first look finds at the socket wakes the driver, the second lets it act.
        self.runtime().block_on(async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        });
        self.client().is_closed()
    }

    /// Whether the application's triggers and rules keep still for what this session writes.
    pub fn is_replica(&self) -> bool {
        self.path_of_triggers.is_none()
    }

    /// Where triggers of the application look for what they name, if they fire for what this session writes.
    pub fn path_of_triggers(&self) -> Option<&str> {
        self.path_of_triggers.as_deref()
    }

    /// The server's version, as in 17.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The one of the location's servers that let us in.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Prepares a statement unless it is, runs it, and prepares it anew once if the schema has moved under it.
    fn prepared<T>(
        &self,
        sql: &str,
        run: impl AsyncFn(&Client, &Statement) -> std::result::Result<T, tokio_postgres::Error>,
    ) -> Result<T> {
        let client = self.client();
        self.runtime().block_on(async {
            let known = self.statements.borrow().contains_key(sql);
            let statement = self.prepare(client, sql).await.map_err(|error| self.noticed(error))?;
            match run(client, &statement).await.map_err(|error| self.noticed(error)) {
                Err(error) if known && is_stale(&error) && !self.in_transaction() => {
                    let statement = self.prepare(client, sql).await?;
                    Ok(run(client, &statement).await?)
                }
                answer => answer,
            }
        })
    }

    async fn prepare(&self, client: &Client, sql: &str) -> std::result::Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let statement = client.prepare(sql).await?;
        let mut statements = self.statements.borrow_mut();
        if statements.len() >= STATEMENTS_MAX {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Takes note of what an error says about this session.
    fn noticed(&self, error: tokio_postgres::Error) -> Error {
        let error = Error::from(error);
        if is_stale(&error) {
            self.forget();
        }
        error
    }

    fn forget_after(&self, sql: &str) {
        if changes_schema(sql) {
            self.forget();
        }
    }

    fn forget(&self) {
        self.statements.borrow_mut().clear();
        self.client().clear_type_cache();
    }

    fn client(&self) -> &Client {
        &self.link().client
    }

    fn runtime(&self) -> &Runtime {
        &self.link().runtime
    }

    fn link(&self) -> &Link {
        self.link.as_ref().expect("a session has its link until it is dropped")
    }
}

/// Tells the server, so that its log shows no broken connection.
impl Drop for Session {
    fn drop(&mut self) {
        self.statements.borrow_mut().clear();
        let Some(Link { client, driver, runtime }) = self.link.take() else { return };
        drop(client);
        // Inside of an async task nobody may wait; the server finds out by itself then.
        if Handle::try_current().is_err() {
            let _ = runtime.block_on(async { tokio::time::timeout(FAREWELL_PATIENCE, driver).await });
        }
        runtime.shutdown_background();
    }
}

/// Whether each of our sessions is one session of the server, as settings, prepared statements and transactions need it. Behind a pooler in
/// transaction mode it is not: there two sessions share one as long as neither is in a transaction. For setting up; later nothing changes it.
///
/// # Errors
/// [`Error::Pooled`] if it is not, and if no session can be opened.
pub fn check_place(location: &Location) -> Result<()> {
    let pooled = |server: &Server| Error::Pooled {
        pooler: server.to_string(),
        direct: location.direct().map(|direct| direct.to_string()),
    };
    if location.is_pooled {
        return Err(pooled(&location.servers[0]));
    }
    let (one, other) = match (Session::open(location), Session::open(location)) {
        (Ok(one), Ok(other)) => (one, other),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let process = one.process()?;
    // A pooler hands out the session that was given back last; one that takes turns is caught by the change in between.
    for _ in 0..SHARING_ATTEMPTS {
        if other.process()? == process || one.process()? != process {
            return Err(pooled(&one.server));
        }
    }
    Ok(())
}

/// How often two sessions are asked whether they are one.
const SHARING_ATTEMPTS: usize = 8;

/// Everything that the result of a statement of ours may depend on, whatever server, database and role say. What we look up was written a moment
/// ago, so its pages are in memory: with the stock price of reading one, a thousand keys would have the planner read all of a table of 100,000 rows.
const SETTINGS: &str = "
    SET client_encoding = 'UTF8';
    SET TimeZone = 'UTC';
    SET DateStyle = 'ISO, YMD';
    SET IntervalStyle = 'postgres';
    SET extra_float_digits = 3;
    SET bytea_output = 'hex';
    SET lc_monetary = 'C';
    SET xmloption = 'content';
    SET standard_conforming_strings = on;
    SET array_nulls = on;
    SET transform_null_equals = off;
    SET quote_all_identifiers = off;
    SET search_path = pg_catalog, pg_temp;
    SET rowmesh.applying = 'on';
    SET row_security = off;
    SET synchronous_commit = on;
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_read_only = off;
    SET default_transaction_deferrable = off;
    SET idle_in_transaction_session_timeout = '60s';
    SET idle_session_timeout = 0;
    SET jit = off;
    SET seq_page_cost = 1;
    SET random_page_cost = 0.5;
    SET client_min_messages = error;
";

/// The oldest version that we speak.
const VERSION_MIN: u32 = 14;

/// Whether the server is of an age that we know, and the primary.
async fn is_usable(reached: &Reached) -> Result<()> {
    if reached.major_version() < VERSION_MIN {
        return Err(Error::TooOld { server: reached.server.to_string(), version: reached.version.clone() });
    }
    // Alone and first: a time-out of the role's would count for all that is sent together with it.
    reached.client.batch_execute("SET statement_timeout = 0").await?;
    if reached.major_version() >= 17 {
        reached.client.batch_execute("SET transaction_timeout = 0").await?;
    }
    let answer = reached.client.simple_query("SELECT pg_catalog.pg_is_in_recovery()").await?;
    let is_standby = answer.iter().any(|part| matches!(part, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")));
    if is_standby { Err(Error::Standby(reached.server.to_string())) } else { Ok(()) }
}

/// The settings that depend on the server. The application's triggers keep still for what we write where the role may decide that, which is looked
/// up first, so that the server's log shows no refusal at each of our sessions. Elsewhere it is returned where they look for what they name.
async fn configure(client: &Client, version: u32, home: Option<&str>) -> Result<Option<String>> {
    let deadlocks: i64 =
        client.query_one("SELECT setting::bigint FROM pg_settings WHERE name = 'deadlock_timeout'", &[]).await?.get(0);
    let patience = LOCK_PATIENCE.min(Duration::from_millis(deadlocks.unsigned_abs().max(2) / 2));
    client.batch_execute(&format!("SET lock_timeout = {}", patience.as_millis())).await?;
    let may_decide = match version {
        ..15 => "SELECT current_setting('is_superuser') = 'on'",
        _ => "SELECT has_parameter_privilege('session_replication_role', 'SET')",
    };
    let may_decide = client.query_one(may_decide, &[]).await?.get(0);
    if may_decide {
        client.batch_execute("SET session_replication_role = replica").await?;
        return Ok(None);
    }
    Ok(Some(client.query_one(APPLICATIONS_PATH, &[&home]).await?.get(0)))
}

/// What is PostgreSQL's is found first all the same.
const APPLICATIONS_PATH: &str = "
    SELECT concat_ws(', ', 'pg_catalog', quote_ident($1::text), nullif(reset_val, ''), 'pg_temp')
      FROM pg_settings WHERE name = 'search_path'";

fn is_stale(error: &Error) -> bool {
    matches!(error, Error::Postgres(source) if Meaning::of(source) == Meaning::SchemaMoved)
}

fn changes_schema(sql: &str) -> bool {
    const VERBS: [&str; 3] = ["create", "alter", "drop"];
    let mut words = sql.split(|c: char| !c.is_ascii_alphabetic());
    words.any(|word| VERBS.iter().any(|verb| word.eq_ignore_ascii_case(verb)))
}
