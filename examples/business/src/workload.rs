//! What the users of the application do all day: one business action per step, each in one transaction. Several nodes
//! may run a workload on copies of one database at once: they update the same rows, so there are conflicts enough, but
//! ids and numbers carry the node's name, and nothing is deleted that another node may refer to meanwhile. So no
//! workload by itself causes a unique collision or an orphan; tests that want those write them themselves.
//!
//! Time is made up: it starts on 2026-01-05 and moves on by some minutes per step.

mod action;
mod sales;
mod staff;
mod talk;

pub use self::action::Action;
use crate::{
    calendar::Moment,
    cell::{Cell, values},
    database::{Database, Purpose, Result, Transaction},
    random::{Dice, fingerprint, uuid_of},
};

/// A stream of business actions, repeatable from its seed and the state of the database.
#[derive(Debug, Clone)]
pub struct Workload {
    seed: u64,
    node: String,
    /// Begins every number that people see; letters and digits only, another one for every node name.
    prefix: String,
    dice: Dice,
    now: Moment,
    ids_made: u64,
    /// The messages that this node sent last: only they are replied to.
    own_messages: Vec<(String, String)>,
}

impl Workload {
    /// The workload of one node. Two workloads on copies of one database need different node names; the same node
    /// started again on its own database needs another seed, because new ids are made of seed, node and a counter.
    pub fn new(seed: u64, node_name: &str) -> Self {
        Self {
            seed,
            node: node_name.to_owned(),
            prefix: prefix_of(node_name),
            dice: Dice::of(seed, &["workload", node_name]),
            now: Moment::OPENING,
            ids_made: 0,
            own_messages: Vec::new(),
        }
    }

    /// Does one action drawn at random, in one transaction, and says what it was. Where the drawn
    /// action finds nothing to work on, another one is drawn; [`Action::Idle`] means that the database holds too
    /// little data to do anything. After an error nothing of the step is in the database, and stepping may go on.
    pub fn step(&mut self, db: &dyn Database) -> Result<Action> {
        self.now = self.now.plus_minutes(self.dice.between(1, 15));
        let transaction = Transaction::begin(db, Purpose::Writing)?;
        for _ in 0..ATTEMPTS {
            if let Some(action) = self.attempt(db)? {
                transaction.commit()?;
                return Ok(action);
            }
        }
        Ok(Action::Idle)
    }

    /// One kind of action out of a hundred tickets. An action looks for its rows before it writes: none means that
    /// nothing was written.
    fn attempt(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        match self.dice.between(0, 99) {
            0..=9 => self.log_in(db),
            10..=34 => self.sell(db),
            35..=38 => self.cancel_order(db),
            39..=43 => self.receive_stock(db),
            44..=47 => self.change_price(db),
            48 => self.raise_prices(db),
            49..=54 => self.add_customer(db),
            55..=60 => self.change_customer(db),
            61..=63 => self.delete_customer(db),
            64..=67 => self.pay_layby(db),
            68..=71 => self.pay_employee_loan(db),
            72..=73 => self.pay_business_loan(db),
            74..=80 => self.clock(db),
            81..=82 => self.record_attendance(db),
            83..=87 => self.drive(db),
            88..=98 => self.send_message(db),
            _ => self.prune_messages(db),
        }
    }

    fn new_id(&mut self) -> String {
        self.ids_made += 1;
        uuid_of(self.seed, &["work", &self.node, &self.ids_made.to_string()])
    }

    /// A number that no other node gives out, such as `A-R5f21c0a944d1`.
    fn new_number(&mut self, kind: char) -> String {
        let id = self.new_id().replace('-', "");
        format!("{}-{kind}{}", self.prefix, &id[..12])
    }

    /// The id of some row, drawn evenly enough for UUIDs. `from` is a table and a WHERE clause that uses `?2`.
    fn some_id(&mut self, db: &dyn Database, from: &str, parameter: impl Cell) -> Result<Option<String>> {
        let parameters = values![self.dice.uuid(), parameter];
        let above = db.first(&format!("SELECT id FROM {from} AND id >= ?1 ORDER BY id LIMIT 1"), &parameters)?;
        match above {
            Some(id) => Ok(Some(id)),
            None => db.first(&format!("SELECT id FROM {from} AND id < ?1 ORDER BY id LIMIT 1"), &parameters),
        }
    }

    /// Some active business; there are few, and their ids are no UUIDs.
    fn some_business(&mut self, db: &dyn Database) -> Result<Option<String>> {
        let order = db.dialect().in_byte_order("id");
        let ids: Vec<String> = db.all(&format!("SELECT id FROM businesses WHERE is_active ORDER BY {order}"), &[])?;
        Ok(if ids.is_empty() { None } else { Some(self.dice.pick(&ids).clone()) })
    }

    fn some_user(&mut self, db: &dyn Database) -> Result<Option<String>> {
        self.some_id(db, "users WHERE is_active AND ?2", true)
    }

    fn log_in(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let Some(user) = self.some_user(db)? else {
            return Ok(None);
        };
        let (session, token, now) = (self.new_id(), self.new_id(), self.now);
        let expires = self.now.plus_days(1);
        db.execute(
            "INSERT INTO sessions (id, session_token, user_id, ip_address, expires_at, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            &values![session, token, user, "10.0.0.7", expires, now],
        )?;
        let name = db.one(
            "UPDATE users SET last_login_at = ?2, login_count = login_count + 1, updated_at = ?2 WHERE id = ?1 RETURNING name",
            &values![user, now],
        )?;
        db.execute(
            "INSERT INTO audit_logs (user_id, action, entity_type, entity_id, created_at) VALUES (?1, 'LOGIN', 'User', ?1, ?2)",
            &values![user, now],
        )?;
        Ok(Some(Action::LoggedIn { user: name }))
    }
}

/// How often a step draws before it gives up; with data in the tables the first or second draw nearly always does.
const ATTEMPTS: u32 = 64;

/// Names of letters and digits stand for themselves; from others the rest is dropped and a mark of the full name added.
fn prefix_of(node: &str) -> String {
    let plain: String = node.chars().filter(char::is_ascii_alphanumeric).collect();
    if plain == node && !plain.is_empty() {
        return plain;
    }
    format!("{plain}{:08x}", fingerprint(&[node]) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_different_names_give_out_different_numbers() {
        assert_eq!(prefix_of("A"), "A");
        assert_ne!(prefix_of("shop-1"), prefix_of("shop1"));
        assert_ne!(prefix_of("é"), prefix_of(""));
        assert!(prefix_of("shop-1").chars().all(|letter| letter.is_ascii_alphanumeric()));
    }
}
