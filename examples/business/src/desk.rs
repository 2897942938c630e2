//! One server of the application, for programs that know no SQL: its connection with the settings that it works with, its
//! tables, the edits that users make at the same time, and what all its shared tables hold. The actions themselves are the
//! workload's.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, types::ValueRef};

use crate::{
    catalog::quoted,
    generate::{Seed, generate},
    tables::{TableInfo, tables},
    workload::{Action, Workload},
};

/// One server's database, opened as the application opens it.
#[derive(Debug)]
pub struct Desk {
    conn: Connection,
}

/// What one table holds: equal on two servers exactly where all rows are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
    /// BLAKE3 over all values of all rows in the order of their keys, 64 hexadecimal digits.
    pub digest: String,
}

/// A customer, to be edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Its key.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Its number.
    pub phone: String,
}

impl Desk {
    /// Makes a new file with the application's tables, all of them empty.
    pub fn create(path: &Path) -> rusqlite::Result<Self> {
        let desk = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        crate::create(&desk.conn)?;
        Ok(desk)
    }

    /// Opens a file that is there.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// Fills the tables.
    pub fn seed(&self, seed: &Seed) -> rusqlite::Result<()> {
        generate(&self.conn, seed)
    }

    /// Does one action of a workload.
    pub fn work(&self, workload: &mut Workload) -> rusqlite::Result<Action> {
        workload.step(&self.conn)
    }

    /// The first customers in the order of their keys: the same on every server that holds the same rows.
    pub fn customers(&self, count: u32) -> rusqlite::Result<Vec<Customer>> {
        let sql = "SELECT id, name, coalesce(phone, '') FROM business_customers ORDER BY id LIMIT ?1";
        let mut statement = self.conn.prepare_cached(sql)?;
        let customers = statement
            .query_map([count], |row| Ok(Customer { id: row.get(0)?, name: row.get(1)?, phone: row.get(2)? }))?;
        customers.collect()
    }

    /// One customer; none if there is no such row.
    pub fn customer(&self, id: &str) -> rusqlite::Result<Option<Customer>> {
        Ok(self.customers(u32::MAX)?.into_iter().find(|customer| customer.id == id))
    }

    /// Adds a customer to the first business, under a number that nothing of the workload ever touches.
    pub fn add_customer(&self, id: &str, name: &str) -> rusqlite::Result<()> {
        let sql = "INSERT INTO business_customers (id, business_id, customer_number, name, created_at, updated_at) \
             SELECT ?1, id, 'GUEST-' || ?1, ?2, created_at, created_at FROM businesses ORDER BY id LIMIT 1";
        self.change(sql, id, name)
    }

    /// Changes a customer's number.
    pub fn change_phone(&self, customer: &str, phone: &str) -> rusqlite::Result<()> {
        self.change("UPDATE business_customers SET phone = ?2 WHERE id = ?1", customer, phone)
    }

    /// Changes a customer's name.
    pub fn change_name(&self, customer: &str, name: &str) -> rusqlite::Result<()> {
        self.change("UPDATE business_customers SET name = ?2 WHERE id = ?1", customer, name)
    }

    /// What every table holds whose rows belong to all servers.
    pub fn contents(&self) -> rusqlite::Result<Vec<Contents>> {
        // One transaction, so that all tables are read as they were at one moment.
        let reading = self.conn.unchecked_transaction()?;
        tables().iter().filter(|table| table.syncs).map(|table| contents_of(&reading, table)).collect()
    }

    fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Self> {
        let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        conn.busy_timeout(Duration::from_millis(5_000))?;
        conn.pragma_update(None, "journal_mode", "wal")?;
        conn.pragma_update(None, "synchronous", "normal")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.set_prepared_statement_cache_capacity(128);
        Ok(Self { conn })
    }

    /// Exactly one row, or an error.
    fn change(&self, sql: &str, customer: &str, value: &str) -> rusqlite::Result<()> {
        match self.conn.prepare_cached(sql)?.execute([customer, value])? {
            1 => Ok(()),
            _ => Err(rusqlite::Error::QueryReturnedNoRows),
        }
    }
}

fn contents_of(conn: &Connection, table: &TableInfo) -> rusqlite::Result<Contents> {
    let order: Vec<String> = table.key.iter().map(|column| quoted(column)).collect();
    let mut statement = conn.prepare(&format!("SELECT * FROM {} ORDER BY {}", quoted(table.name), order.join(", ")))?;
    let columns = statement.column_count();
    let mut hash = blake3::Hasher::new();
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        for column in 0..columns {
            digest_value(&mut hash, row.get_ref(column)?);
        }
    }
    Ok(Contents { table: table.name, rows: count, digest: hash.finalize().to_string() })
}

/// Type, length and bytes: no two different rows give the same bytes.
fn digest_value(hash: &mut blake3::Hasher, value: ValueRef<'_>) {
    let mut part = |kind: u8, bytes: &[u8]| {
        hash.update(&[kind]);
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    match value {
        ValueRef::Null => part(0, &[]),
        ValueRef::Integer(number) => part(1, &number.to_le_bytes()),
        ValueRef::Real(number) => part(2, &number.to_bits().to_le_bytes()),
        ValueRef::Text(text) => part(3, text),
        ValueRef::Blob(bytes) => part(4, bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeded(folder: &Path, name: &str) -> Desk {
        let desk = Desk::create(&folder.join(name)).expect("created");
        desk.seed(&Seed::small(1).without_demo_data()).expect("seeded");
        desk
    }

    #[test]
    fn equal_rows_have_equal_digests_and_one_changed_value_shows() {
        let folder = tempfile::tempdir().expect("a folder");
        let (a, b) = (seeded(folder.path(), "a.db"), seeded(folder.path(), "b.db"));
        let before = a.contents().expect("read");
        assert_eq!(before, b.contents().expect("read"));
        assert_eq!(before.len(), 70);
        assert!(before.iter().all(|table| table.rows > 0));
        let customer = &a.customers(1).expect("read")[0];
        a.change_phone(&customer.id, "+263 77 000 0000").expect("changed");
        let after = a.contents().expect("read");
        let differ: Vec<_> = before.iter().zip(&after).filter(|(x, y)| x != y).map(|(x, _)| x.table).collect();
        assert_eq!(differ, ["business_customers"]);
        assert_eq!(a.customer(&customer.id).expect("read").expect("there").phone, "+263 77 000 0000");
    }

    #[test]
    fn a_guest_is_added_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let desk = seeded(folder.path(), "a.db");
        desk.add_customer("guest-1", "Guest").expect("added");
        assert_eq!(desk.customer("guest-1").expect("read").expect("there").name, "Guest");
        assert!(desk.add_customer("guest-1", "Guest").is_err());
    }

    #[test]
    fn values_that_look_alike_have_different_digests() {
        let digest = |values: &[ValueRef<'_>]| {
            let mut hash = blake3::Hasher::new();
            values.iter().for_each(|value| digest_value(&mut hash, *value));
            hash.finalize()
        };
        let all = [
            digest(&[ValueRef::Null]),
            digest(&[ValueRef::Integer(1)]),
            digest(&[ValueRef::Real(1.0)]),
            digest(&[ValueRef::Text(b"1")]),
            digest(&[ValueRef::Blob(b"1")]),
            digest(&[ValueRef::Text(b"")]),
            digest(&[ValueRef::Text(b"a"), ValueRef::Text(b"bc")]),
            digest(&[ValueRef::Text(b"ab"), ValueRef::Text(b"c")]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
        }
    }

    #[test]
    fn an_edit_of_a_row_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(seeded(folder.path(), "a.db").change_name("nobody", "x").is_err());
        assert!(Desk::open(&folder.path().join("absent.db")).is_err());
    }
}
