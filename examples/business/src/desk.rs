//! One server of the application, for programs that know no SQL: its connection with the settings that it works with, its
//! tables, the edits that users make at the same time, and what all its shared tables hold. The actions themselves are the
//! workload's.

use std::ffi::OsStr;

use crate::{
    catalog::{Kind, Table, quoted},
    cell::values,
    database::{self, Database, Error, Purpose, Result, Transaction, Value},
    generate::{Seed, generate},
    tables::{TableInfo, tables},
    workload::{Action, Workload},
};

/// One server's database, opened as the application opens it.
#[derive(Debug)]
pub struct Desk {
    db: Box<dyn Database>,
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
    /// Makes the application's tables, all of them empty, in a new file or in the server's database that a url leads to.
    pub fn create(place: impl AsRef<OsStr>) -> Result<Self> {
        let db = database::open_new(place)?;
        crate::create(&*db)?;
        Ok(Self { db })
    }

    /// Opens a file, or a server's database, that is there.
    pub fn open(place: impl AsRef<OsStr>) -> Result<Self> {
        Ok(Self { db: database::open(place)? })
    }

    /// Fills the tables.
    pub fn seed(&self, seed: &Seed) -> Result<()> {
        generate(&*self.db, seed)
    }

    /// Does one action of a workload.
    pub fn work(&self, workload: &mut Workload) -> Result<Action> {
        workload.step(&*self.db)
    }

    /// The first customers in the order of their keys: the same on every server that holds the same rows.
    pub fn customers(&self, count: u32) -> Result<Vec<Customer>> {
        let sql = "SELECT id, name, coalesce(phone, '') FROM business_customers ORDER BY id LIMIT ?1";
        let rows: Vec<(String, String, String)> = self.db.all(sql, &values![i64::from(count)])?;
        Ok(rows.into_iter().map(|(id, name, phone)| Customer { id, name, phone }).collect())
    }

    /// One customer; none if there is no such row.
    pub fn customer(&self, id: &str) -> Result<Option<Customer>> {
        Ok(self.customers(u32::MAX)?.into_iter().find(|customer| customer.id == id))
    }

    /// Adds a customer to the first business, under a number that nothing of the workload ever touches. PostgreSQL takes
    /// only a UUID for the id.
    pub fn add_customer(&self, id: &str, name: &str) -> Result<()> {
        let first =
            format!("SELECT id, created_at FROM businesses ORDER BY {} LIMIT 1", self.db.dialect().in_byte_order("id"));
        let (business, time): (String, String) = self.db.one(&first, &[])?;
        let sql = "INSERT INTO business_customers (id, business_id, customer_number, name, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?5)";
        self.db.execute(sql, &values![id, business, format!("GUEST-{id}"), name, time])?;
        Ok(())
    }

    /// Changes a customer's number.
    pub fn change_phone(&self, customer: &str, phone: &str) -> Result<()> {
        self.change("UPDATE business_customers SET phone = ?2 WHERE id = ?1", customer, phone)
    }

    /// Changes a customer's name.
    pub fn change_name(&self, customer: &str, name: &str) -> Result<()> {
        self.change("UPDATE business_customers SET name = ?2 WHERE id = ?1", customer, name)
    }

    /// What every table holds whose rows belong to all servers.
    pub fn contents(&self) -> Result<Vec<Contents>> {
        // One transaction, so that all tables are read as they were at one moment.
        let reading = Transaction::begin(&*self.db, Purpose::Reading)?;
        let synced = tables().iter().filter(|table| table.syncs);
        let contents = synced.map(|table| contents_of(&*self.db, table)).collect::<Result<_>>()?;
        reading.commit()?;
        Ok(contents)
    }

    /// Exactly one row, or an error.
    fn change(&self, sql: &str, customer: &str, value: &str) -> Result<()> {
        match self.db.execute(sql, &values![customer, value])? {
            1 => Ok(()),
            _ => Err(Error::NoRow),
        }
    }
}

fn contents_of(db: &dyn Database, table: &TableInfo) -> Result<Contents> {
    let described = Table::read(db, table.name)?;
    let order = |column: &&str| match described.kind_of(column) {
        Some(Kind::Text) => db.dialect().in_byte_order(&quoted(column)),
        _ => quoted(column),
    };
    let order: Vec<String> = table.key.iter().map(order).collect();
    let mut hash = blake3::Hasher::new();
    let mut rows = 0;
    db.for_each(&format!("{} ORDER BY {}", described.select_sql(), order.join(", ")), &[], &mut |row| {
        rows += 1;
        row.iter().for_each(|value| digest_value(&mut hash, value));
    })?;
    Ok(Contents { table: table.name, rows, digest: hash.finalize().to_string() })
}

/// Type, length and bytes: no two different rows give the same bytes.
fn digest_value(hash: &mut blake3::Hasher, value: &Value) {
    let mut part = |kind: u8, bytes: &[u8]| {
        hash.update(&[kind]);
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    match value {
        Value::Null => part(0, &[]),
        Value::Integer(number) => part(1, &number.to_le_bytes()),
        Value::Real(number) => part(2, &number.to_bits().to_le_bytes()),
        Value::Text(text) => part(3, text.as_bytes()),
        Value::Blob(bytes) => part(4, bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn seeded(folder: &Path, name: &str) -> Desk {
        let desk = Desk::create(folder.join(name)).expect("created");
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
        let digest = |values: &[Value]| {
            let mut hash = blake3::Hasher::new();
            values.iter().for_each(|value| digest_value(&mut hash, value));
            hash.finalize()
        };
        let all = [
            digest(&[Value::Null]),
            digest(&[Value::Integer(1)]),
            digest(&[Value::Real(1.0)]),
            digest(&[Value::Text("1".into())]),
            digest(&[Value::Blob(b"1".to_vec())]),
            digest(&[Value::Text("".into())]),
            digest(&[Value::Text("a".into()), Value::Text("bc".into())]),
            digest(&[Value::Text("ab".into()), Value::Text("c".into())]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
        }
    }

    #[test]
    fn an_edit_of_a_row_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(seeded(folder.path(), "a.db").change_name("nobody", "x").is_err());
        assert!(Desk::open(folder.path().join("absent.db")).is_err());
    }
}
