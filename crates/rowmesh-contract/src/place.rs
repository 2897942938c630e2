//! What the contract needs of a kind of database: a place that one test has for itself, the application's side of it, and its store. How that
//! is done is told in each store's own tests.

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::{Incarnation, NodeId};
use rowmesh_core::store::{Store, StoreResult};

/// A database that one test has for itself, gone with this value, with the application's own connection to it. SQL that a clause gives it is
/// such that every kind of database understands it.
pub trait Place: Sized {
    /// The store over it.
    type Store: Store;
    /// What a store is opened by.
    type Address: Clone + Send + 'static;

    /// The type of a key whose numbers this kind of database hands out, as a schema spells it.
    const NUMBER: &'static str;

    /// A database without any table.
    fn empty() -> Self;

    /// Where it is.
    fn address(&self) -> Self::Address;

    /// Opens a store on it, attaching to it if that has not been done.
    ///
    /// # Errors
    /// As the store's own way of opening.
    fn open(address: &Self::Address, node: NodeId, incarnation: Incarnation) -> StoreResult<Self::Store>;

    /// Runs statements as the application, which is never refused.
    fn run(&self, sql: &str);

    /// Runs statements as an application that has switched foreign keys off; triggers of ours run all the same.
    fn run_unchecked(&self, sql: &str);

    /// The first column of each row, which is text; `NULL` where it is null.
    fn texts(&self, sql: &str) -> Vec<String>;

    /// A table of ours, as this kind of database names it.
    fn ours(table: &str) -> String;

    /// Says of everything that is noted that it was written at this time.
    fn date_notes(&self, at: WallTime);

    /// Drops our triggers from a table, as a tool that rebuilds tables does.
    fn lose_triggers(&self, table: &str);

    /// Two databases that hold what this one holds now: itself, and a backup of it that was restored elsewhere. No store may be open on it.
    fn copied(self) -> (Self, Self);

    /// All that the database's own catalog lists, a line each: what an uninstall must leave as it was.
    fn catalog(&self) -> Vec<String>;

    /// Asserts that every constraint of the application holds and that the database finds itself in order.
    fn check_sound(&self);
}
