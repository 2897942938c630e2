//! Fills an empty database of the application with repeatable data that makes sense: orders add up, stock movements
//! have their orders, loans their payments. Not here: what happens afterwards, which is `workload`'s.
//!
//! Numbers that people see (order, customer, receipt numbers) carry a `/`, which no number of a workload does.

mod company;
mod lookups;

use std::collections::BTreeMap;

use crate::{
    calendar::Moment,
    catalog::{self, Kind, Table},
    cell::{Cell, Cents, cells, values},
    database::{Database, Purpose, Result, Transaction, Value},
    fill::{Filler, Style, full_name},
    random::{Dice, uuid_of},
};

/// The ids of the businesses that are demo data.
pub const DEMO_BUSINESSES: &[&str] = &["clothing-demo-business", "restaurant-demo", "demo-test"];

/// What [`generate`] makes: the same seed and sizes make the same bytes. Every table gets at least one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// Where all ids, names and amounts come from.
    pub seed: u64,
    /// Real businesses, beside the demo ones; at least 1.
    pub businesses: u32,
    /// Whether the three demo businesses are made too, with everything below them.
    pub demo_data: bool,
    /// Users; at least 1.
    pub users: u32,
    /// Employees of each business; at least 1.
    pub employees: u32,
    /// Customers of each business; at least 1.
    pub customers: u32,
    /// Products of each business; at least 1.
    pub products: u32,
    /// Orders of each business; at least 1.
    pub orders: u32,
    /// Messages in each chat room; at least 1.
    pub messages: u32,
    /// Days of attendance of each employee; at least 1.
    pub days: u32,
}

impl Seed {
    /// A company that has worked for some months: about 15,500 rows.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            businesses: 4,
            demo_data: true,
            users: 24,
            employees: 12,
            customers: 60,
            products: 80,
            orders: 150,
            messages: 60,
            days: 20,
        }
    }

    /// The least that has rows in every table and all of its demo data: about 700 rows, for tests that make many databases.
    pub fn small(seed: u64) -> Self {
        Self {
            seed,
            businesses: 1,
            demo_data: true,
            users: 3,
            employees: 2,
            customers: 3,
            products: 4,
            orders: 4,
            messages: 3,
            days: 2,
        }
    }

    /// The same without the demo businesses.
    pub fn without_demo_data(self) -> Self {
        Self { demo_data: false, ..self }
    }
}

/// Fills the tables that [`create`](crate::create) has made, in one transaction per business and some around them.
/// Fails if the database already holds rows of the same seed.
pub fn generate(db: &dyn Database, seed: &Seed) -> Result<()> {
    let mut generator = Generator::new(db, seed)?;
    let users = generator.in_transaction(|generator| {
        let people = generator.lookups()?;
        generator.users(&people)
    })?;
    let companies = generator.business_ids().into_iter().enumerate();
    let companies: Vec<String> = companies
        .map(|(place, id)| {
            generator.in_transaction(|generator| generator.company(place, &id, &users).map(|()| id.clone()))
        })
        .collect::<Result<_>>()?;
    generator.in_transaction(|generator| {
        generator.loans_between(&companies, &users)?;
        generator.private_money(&companies, &users)?;
        generator.direct_rooms(&users)?;
        generator.current_businesses(&companies, &users)?;
        generator.server_only(&companies, &users)
    })
}

struct Generator<'a> {
    db: &'a dyn Database,
    seed: &'a Seed,
    tables: BTreeMap<&'static str, Table>,
    statements: BTreeMap<&'static str, String>,
    /// Rows made so far per table: the label of the next one.
    made: BTreeMap<&'static str, u32>,
    dice: Dice,
}

/// Ids of the users, and of the persons that no user stands for.
struct People {
    users: Vec<String>,
    persons: Vec<String>,
}

impl<'a> Generator<'a> {
    fn new(db: &'a dyn Database, seed: &'a Seed) -> Result<Self> {
        let tables = catalog::read_all(db)?;
        let statements = tables.iter().map(|(name, table)| (*name, table.insert_sql(table.given_columns()))).collect();
        Ok(Self { db, seed, tables, statements, made: BTreeMap::new(), dice: Dice::of(seed.seed, &["generate"]) })
    }

    fn in_transaction<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let transaction = Transaction::begin(self.db, Purpose::Writing)?;
        let made = work(self)?;
        transaction.commit()?;
        Ok(made)
    }

    /// Inserts a row and returns its id (the text of the key's first column). Columns that are not given get their
    /// default; those without one are made up, except that nullable foreign keys stay NULL.
    fn insert(&mut self, name: &'static str, given: &[(&str, Value)]) -> Result<String> {
        let place = self.made.entry(name).or_insert(0);
        *place += 1;
        let label = format!("{place:04}");
        let when = Moment::OPENING.plus_minutes(-self.dice.between(60, 180 * 24 * 60));
        let filler = Filler { label: &label, style: Style::Prose, when };
        let table = &self.tables[name];
        let row: Vec<Value> = table
            .given_columns()
            .map(|column| match given.iter().find(|(given, _)| *given == column.name) {
                Some((_, value)) => value.clone(),
                None if column.name == "id" && column.kind == Kind::Text => {
                    uuid_of(self.seed.seed, &[name, &label]).cell()
                }
                None if column.default.is_some() => column.default.cell(),
                None if !column.not_null && (table.is_foreign(&column.name) || self.dice.percent(35)) => Value::Null,
                None => filler.value(table, column, &mut self.dice),
            })
            .collect();
        self.db.execute(&self.statements[name], &row)?;
        let first = table.given_columns().position(|column| column.name == table.key[0]);
        Ok(match first.map(|at| &row[at]) {
            Some(Value::Text(id)) => id.clone(),
            _ => label,
        })
    }

    fn business_ids(&self) -> Vec<String> {
        let real = (0..self.seed.businesses.max(1)).map(|place| match REAL_BUSINESSES.get(place as usize) {
            Some(id) => (*id).to_owned(),
            None => uuid_of(self.seed.seed, &["businesses", &place.to_string()]),
        });
        let demo = DEMO_BUSINESSES.iter().filter(|_| self.seed.demo_data).map(|id| (*id).to_owned());
        real.chain(demo).collect()
    }

    fn users(&mut self, lookups: &lookups::Lookups) -> Result<People> {
        let mut users = Vec::new();
        for place in 0..self.seed.users.max(1) {
            let name = full_name(&mut self.dice);
            let email = format!("{}.{place}@example.com", name.to_lowercase().replace([' ', '\''], "."));
            let role = if place == 0 { "ADMIN" } else { "USER" };
            let user = self.insert("users", &cells!["name" => name, "email" => email, "role" => role])?;
            let account = format!("{:012}", self.dice.next() % 1_000_000_000_000);
            self.insert(
                "accounts",
                &cells!["provider" => "google", "provider_account_id" => account, "user_id" => user],
            )?;
            users.push(user);
        }
        self.insert("fund_sources", &cells!["name" => "Petty cash", "kind" => "BUSINESS"])?;
        let persons = (0..4)
            .map(|_| {
                let name = full_name(&mut self.dice);
                self.insert("persons", &cells!["full_name" => name, "id_format_template_id" => lookups.id_format])
            })
            .collect::<Result<_>>()?;
        Ok(People { users, persons })
    }

    /// Each business lends to the next one, so that loans also cross the border between real and demo data; and each
    /// to a person.
    fn loans_between(&mut self, companies: &[String], people: &People) -> Result<()> {
        for (place, lender) in companies.iter().enumerate() {
            let next = Some(&companies[(place + 1) % companies.len()]).filter(|next| *next != lender);
            self.loan(place, lender, next, None, &people.users[0])?;
            let person = self.dice.pick(&people.persons).clone();
            self.loan(place, lender, None, Some(&person), &people.users[0])?;
        }
        Ok(())
    }

    fn loan(
        &mut self,
        place: usize,
        lender: &str,
        business: Option<&String>,
        person: Option<&String>,
        approver: &str,
    ) -> Result<()> {
        let principal = Cents(self.dice.between(500, 9_000) * 100);
        let paid = principal.times_percent(self.dice.between(5, 40));
        let left = Cents(principal.0 - paid.0);
        let kind = if person.is_some() { 'P' } else { 'B' };
        let loan = self.insert(
            "inter_business_loans",
            &cells![
                "loan_number" => format!("L{kind}/{place:03}"),
                "lender_business_id" => lender,
                "borrower_business_id" => business,
                "borrower_person_id" => person,
                "approved_by_user_id" => approver,
                "principal_amount" => principal,
                "remaining_balance" => left,
                "interest_rate" => 7.5,
            ],
        )?;
        for (kind, amount, balance) in [("ADVANCE", principal, principal), ("PAYMENT", paid, left)] {
            self.insert(
                "loan_transactions",
                &cells!["loan_id" => loan, "type" => kind, "amount" => amount, "balance_after" => balance],
            )?;
        }
        Ok(())
    }

    fn private_money(&mut self, companies: &[String], people: &People) -> Result<()> {
        let of_first = "SELECT id FROM construction_projects WHERE business_id = ?1";
        let project: String = self.db.one(of_first, &values![companies[0]])?;
        for (place, user) in people.users.iter().enumerate() {
            let source =
                self.insert("fund_sources", &cells!["user_id" => user, "name" => "Salary", "kind" => "SALARY"])?;
            let budget = self.insert(
                "personal_budgets",
                &cells!["user_id" => user, "name" => "Household", "fund_source_id" => source, "category_id" => "food"],
            )?;
            for _ in 0..3 {
                self.insert(
                    "personal_expenses",
                    &cells![
                        "user_id" => user,
                        "category_id" => "food",
                        "budget_id" => budget,
                        "fund_source_id" => source,
                        "project_id" => Some(&project).filter(|_| place == 0),
                    ],
                )?;
            }
        }
        Ok(())
    }

    fn direct_rooms(&mut self, people: &People) -> Result<()> {
        for pair in people.users.windows(2).step_by(4) {
            self.room(None, "DIRECT", "Direct", pair)?;
        }
        Ok(())
    }

    /// A room with its members and what they have said in it over the last two months.
    fn room(&mut self, business: Option<&str>, kind: &str, name: &str, members: &[String]) -> Result<()> {
        let room = self.insert(
            "chat_rooms",
            &cells!["business_id" => business, "created_by_user_id" => members[0], "name" => name, "type" => kind],
        )?;
        for member in members {
            let joined = Moment::OPENING.plus_days(-61);
            self.insert("chat_participants", &cells!["room_id" => room, "user_id" => member, "joined_at" => joined])?;
        }
        let mut earlier: Option<String> = None;
        for message in 0..self.seed.messages.max(1) {
            let sent =
                Moment::OPENING.plus_days(-60).plus_minutes(i64::from(message) * 900 + self.dice.between(0, 800));
            let reply_to = earlier.filter(|_| self.dice.percent(25));
            let said = cells![
                "room_id" => room,
                "sender_id" => self.dice.pick(members),
                "reply_to_id" => reply_to,
                "content" => self.dice.pick(REMARKS_IN_CHAT),
                "sent_at" => sent,
                "edited_at" => Value::Null,
                "created_at" => sent,
                "updated_at" => sent,
            ];
            earlier = Some(self.insert("chat_messages", &said)?);
        }
        Ok(())
    }

    /// Where each user was last. The last user's pointer leads to a demo business, which makes the user no demo data.
    fn current_businesses(&mut self, companies: &[String], people: &People) -> Result<()> {
        for (place, user) in people.users.iter().enumerate() {
            let is_last = place + 1 == people.users.len();
            let real = companies.len() - if self.seed.demo_data { DEMO_BUSINESSES.len() } else { 0 };
            let business = if is_last { companies.last() } else { companies.get(place % real) };
            self.db.execute("UPDATE users SET current_business_id = ?1 WHERE id = ?2", &values![business, user])?;
        }
        Ok(())
    }

    fn server_only(&mut self, companies: &[String], people: &People) -> Result<()> {
        for (place, user) in people.users.iter().enumerate() {
            let token = self.dice.uuid();
            self.insert("sessions", &cells!["session_token" => token, "user_id" => user])?;
            let business = &companies[place % companies.len()];
            self.insert(
                "audit_logs",
                &cells!["user_id" => user, "business_id" => business, "action" => "LOGIN", "entity_type" => "User", "entity_id" => user],
            )?;
        }
        let token = self.dice.uuid();
        self.insert("verification_tokens", &cells!["identifier" => "new.user@example.com", "token" => token])?;
        for migration in ["20250301080000_init", "20250612093000_laybys", "20250904141500_product_search"] {
            self.insert("_prisma_migrations", &cells!["migration_name" => migration, "applied_steps_count" => 1])?;
        }
        Ok(())
    }
}

const REAL_BUSINESSES: &[&str] = &["harare-hardware", "moyo-construction"];

const REMARKS_IN_CHAT: &[&str] = &[
    "Good morning, who opens today?",
    "The delivery is here.",
    "Please count the shelf again.",
    "Done 👍",
    "Can you call the supplier?",
    "I am late, the road is flooded.",
    "The card machine works again.",
    "Thanks, seen.",
    "Layby customer came for the balance.",
    "Who has the keys of the truck?",
];
