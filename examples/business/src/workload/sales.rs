//! Selling, stock, prices, customers, laybys, and loans between businesses.

use super::{Action, Workload};
use crate::{
    cell::{Cents, values},
    database::{Database, Result},
    fill::{full_name, phone},
};

struct Line {
    product: String,
    quantity: i64,
    price: Cents,
}

/// What an order is written from.
struct Sale<'a> {
    id: &'a str,
    number: &'a str,
    business: &'a str,
    lines: &'a [Line],
    total: Cents,
}

impl Workload {
    pub(super) fn sell(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let Some(business) = self.some_business(db)? else {
            return Ok(None);
        };
        let lines = self.basket(db, &business)?;
        if lines.is_empty() {
            return Ok(None);
        }
        let total = Cents(lines.iter().map(|line| line.price.0 * line.quantity).sum());
        let (id, number) = (self.new_id(), self.next_order_number(db, &business)?);
        let sale = Sale { id: &id, number: &number, business: &business, lines: &lines, total };
        self.write_order(db, &sale)?;
        self.write_lines(db, &sale)?;
        self.book(db, &sale)?;
        Ok(Some(Action::Sold { order: number, items: lines.len(), total }))
    }

    /// One to five lines of products that are in stock.
    fn basket(&mut self, db: &dyn Database, business: &str) -> Result<Vec<Line>> {
        let mut lines: Vec<Line> = Vec::new();
        for _ in 0..self.dice.between(1, 5) {
            let in_stock = "business_products WHERE business_id = ?2 AND is_active AND stock_quantity >= 20";
            let Some(product) = self.some_id(db, in_stock, business)? else {
                break;
            };
            let price = db.one("SELECT base_price FROM business_products WHERE id = ?1", &values![product])?;
            lines.push(Line { product, quantity: self.dice.between(1, 4), price });
        }
        Ok(lines)
    }

    /// Counts on from the highest number that this node has given out in this business, so that it goes on after a restart.
    fn next_order_number(&self, db: &dyn Database, business: &str) -> Result<String> {
        let (from, to) = (format!("{}-", self.prefix), format!("{}.", self.prefix));
        let number = db.dialect().in_byte_order("order_number");
        let last: Option<String> = db.one(
            &format!(
                "SELECT max({number}) FROM business_orders WHERE business_id = ?1 AND {number} > ?2 AND {number} < ?3"
            ),
            &values![business, from, to],
        )?;
        let last = last.and_then(|number| number[from.len()..].parse::<u64>().ok()).unwrap_or(FIRST_ORDER - 1);
        Ok(format!("{from}{}", last + 1))
    }

    fn write_order(&mut self, db: &dyn Database, sale: &Sale<'_>) -> Result<()> {
        let lasting = format!("business_customers WHERE business_id = ?2 AND {}", self.lasting());
        let customer = self.some_id(db, &lasting, sale.business)?;
        let employee = self.some_id(db, "employees WHERE primary_business_id = ?2", sale.business)?;
        let method = *self.dice.pick(&["CASH", "CARD", "MOBILE_MONEY"]);
        db.execute(
            "INSERT INTO business_orders (id, business_id, customer_id, employee_id, order_number, status, payment_status, \
             payment_method, subtotal, total_amount, ordered_at, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, 'COMPLETED', 'PAID', ?6, ?7, ?7, ?8, ?8, ?8)",
            &values![sale.id, sale.business, customer, employee, sale.number, method, sale.total, self.now],
        )?;
        db.execute(
            "UPDATE business_customers SET total_spent = round(total_spent + ?2, 2), loyalty_points = loyalty_points + 1, \
             updated_at = ?3 WHERE id = ?1",
            &values![customer, sale.total, self.now],
        )?;
        Ok(())
    }

    fn write_lines(&mut self, db: &dyn Database, sale: &Sale<'_>) -> Result<()> {
        for (line_no, line) in (1_i64..).zip(sale.lines) {
            let total = Cents(line.price.0 * line.quantity);
            db.execute(
                "INSERT INTO business_order_items (order_id, line_no, product_id, quantity, unit_price, total_price, created_at, updated_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
                &values![sale.id, line_no, line.product, line.quantity, line.price, total, self.now],
            )?;
            self.move_stock(db, sale.business, &line.product, Some(sale.id), "SALE", -line.quantity)?;
        }
        Ok(())
    }

    fn move_stock(
        &mut self,
        db: &dyn Database,
        business: &str,
        product: &str,
        order: Option<&str>,
        kind: &str,
        quantity: i64,
    ) -> Result<()> {
        let id = self.new_id();
        db.execute(
            "INSERT INTO business_stock_movements (id, business_id, product_id, order_id, type, quantity, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            &values![id, business, product, order, kind, quantity, self.now],
        )?;
        db.execute(
            "UPDATE business_products SET stock_quantity = stock_quantity + ?2, updated_at = ?3 WHERE id = ?1",
            &values![product, quantity, self.now],
        )?;
        Ok(())
    }

    /// The money of a sale in the business's account, which makes that account's row the busiest of all.
    fn book(&mut self, db: &dyn Database, sale: &Sale<'_>) -> Result<()> {
        let id = self.new_id();
        let balance: Option<Cents> = db.first(
            "UPDATE business_accounts SET balance = round(balance + ?2, 2), updated_at = ?3 WHERE business_id = ?1 RETURNING balance",
            &values![sale.business, sale.total, self.now],
        )?;
        let Some(balance) = balance else {
            return Ok(());
        };
        let description = format!("Order {}", sale.number);
        db.execute(
            "INSERT INTO business_transactions (id, business_id, order_id, type, amount, balance_after, description, \
             transaction_date, created_at, updated_at) VALUES (?1, ?2, ?3, 'SALE', ?4, ?5, ?6, ?7, ?7, ?7)",
            &values![id, sale.business, sale.id, sale.total, balance, description, self.now],
        )?;
        Ok(())
    }

    pub(super) fn cancel_order(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let Some(order) = self.some_id(db, "business_orders WHERE status = 'COMPLETED' AND ?2", true)? else {
            return Ok(None);
        };
        let (business, number): (String, String) = db.one(
            "UPDATE business_orders SET status = 'CANCELLED', payment_status = 'REFUNDED', cancelled_at = ?2, updated_at = ?2 \
             WHERE id = ?1 RETURNING business_id, order_number",
            &values![order, self.now],
        )?;
        let items: Vec<(String, i64)> = db.all(
            "SELECT product_id, quantity FROM business_order_items WHERE order_id = ?1 ORDER BY line_no",
            &values![order],
        )?;
        for (product, quantity) in items {
            self.move_stock(db, &business, &product, Some(&order), "RETURN", quantity)?;
        }
        Ok(Some(Action::Cancelled { order: number }))
    }

    pub(super) fn receive_stock(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let Some(product) = self.some_id(db, "business_products WHERE is_active AND ?2", true)? else {
            return Ok(None);
        };
        let (business, name): (String, String) =
            db.one("SELECT business_id, name FROM business_products WHERE id = ?1", &values![product])?;
        let quantity = self.dice.between(20, 120);
        self.move_stock(db, &business, &product, None, "PURCHASE_RECEIVED", quantity)?;
        Ok(Some(Action::ReceivedStock { product: name, quantity }))
    }

    pub(super) fn change_price(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let Some(product) = self.some_id(db, "business_products WHERE is_active AND ?2", true)? else {
            return Ok(None);
        };
        let (name, from): (String, Cents) =
            db.one("SELECT name, base_price FROM business_products WHERE id = ?1", &values![product])?;
        let to = Cents(from.times_percent(self.dice.between(80, 125)).0.clamp(99, 100_000));
        db.execute(
            "UPDATE business_products SET base_price = ?2, updated_at = ?3 WHERE id = ?1",
            &values![product, to, self.now],
        )?;
        Ok(Some(Action::ChangedPrice { product: name, from, to }))
    }

    /// In whole cents, as the program computes: halves of a cent are rounded otherwise in floats than in decimals.
    pub(super) fn raise_prices(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let with_products = "business_categories WHERE EXISTS (SELECT 1 FROM business_products AS p WHERE p.category_id = business_categories.id) AND ?2";
        let Some(category) = self.some_id(db, with_products, true)? else {
            return Ok(None);
        };
        let percent = self.dice.between(1, 4);
        let products = db.execute(
            "UPDATE business_products SET base_price = CASE WHEN base_price * (100 + ?2) >= 100000 THEN 1000 \
             ELSE (CAST(round(base_price * 100) AS INTEGER) * (100 + ?2) + 50) / 100 / 100.0 END, updated_at = ?3 \
             WHERE category_id = ?1",
            &values![category, percent, self.now],
        )?;
        let name = db.one("SELECT name FROM business_categories WHERE id = ?1", &values![category])?;
        Ok(Some(Action::RaisedPrices { category: name, products, percent }))
    }

    pub(super) fn add_customer(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let Some(business) = self.some_business(db)? else {
            return Ok(None);
        };
        let (id, number) = (self.new_id(), self.new_number('C'));
        let (name, phone) = (full_name(&mut self.dice), phone(&mut self.dice));
        db.execute(
            "INSERT INTO business_customers (id, business_id, customer_number, name, phone, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
            &values![id, business, number, name, phone, self.now],
        )?;
        Ok(Some(Action::AddedCustomer { name }))
    }

    pub(super) fn change_customer(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let Some(customer) = self.some_id(db, "business_customers WHERE ?2", true)? else {
            return Ok(None);
        };
        let sql = match self.dice.between(0, 2) {
            0 => "UPDATE business_customers SET phone = ?2, updated_at = ?4 WHERE id = ?1 AND ?3 <> '' RETURNING name",
            1 => "UPDATE business_customers SET email = ?3, updated_at = ?4 WHERE id = ?1 AND ?2 <> '' RETURNING name",
            _ => "UPDATE business_customers SET notes = ?2 || ' ' || ?3, updated_at = ?4 WHERE id = ?1 RETURNING name",
        };
        let (phone, email) = (phone(&mut self.dice), format!("customer.{}@example.com", self.dice.between(1, 99_999)));
        // None where its own node has deleted it meanwhile: PostgreSQL does not stop others from writing.
        let name = db.first(sql, &values![customer, phone, email, self.now])?;
        Ok(name.map(|name| Action::ChangedCustomer { name }))
    }

    /// Only customers that this node has added itself: another node sells to none of them, so none is missed there.
    pub(super) fn delete_customer(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let unused = format!(
            "business_customers WHERE {} \
             AND NOT EXISTS (SELECT 1 FROM business_orders AS o WHERE o.customer_id = business_customers.id) \
             AND NOT EXISTS (SELECT 1 FROM customer_laybys AS l WHERE l.customer_id = business_customers.id) AND ?2",
            begins("customer_number", &self.own_customers())
        );
        let Some(customer) = self.some_id(db, &unused, true)? else {
            return Ok(None);
        };
        let name = db.one("DELETE FROM business_customers WHERE id = ?1 RETURNING name", &values![customer])?;
        Ok(Some(Action::DeletedCustomer { name }))
    }

    /// The condition on customers that no other node will delete: those of the installation, and this node's own.
    fn lasting(&self) -> String {
        let (installed, own) = (begins("customer_number", "CUST/"), begins("customer_number", &self.own_customers()));
        format!("({installed} OR {own})")
    }

    /// What the number of every customer that this node has added begins with.
    fn own_customers(&self) -> String {
        format!("{}-C", self.prefix)
    }

    pub(super) fn pay_layby(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let open = "customer_laybys WHERE status = 'ACTIVE' AND balance_remaining >= 0.01 AND ?2";
        let Some(layby) = self.some_id(db, open, true)? else {
            return Ok(None);
        };
        let (number, left, instalment): (String, Cents, Option<Cents>) = db.one(
            "SELECT layby_number, balance_remaining, installment_amount FROM customer_laybys WHERE id = ?1",
            &values![layby],
        )?;
        let paid = instalment.unwrap_or(left).max(Cents(1)).min(left);
        let left = Cents(left.0 - paid.0);
        let (id, receipt) = (self.new_id(), self.new_number('R'));
        db.execute(
            "INSERT INTO customer_layby_payments (id, layby_id, receipt_number, amount, payment_date, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?5)",
            &values![id, layby, receipt, paid, self.now],
        )?;
        db.execute(
            "UPDATE customer_laybys SET total_paid = round(total_paid + ?2, 2), balance_remaining = ?3, updated_at = ?4, \
             status = CASE WHEN ?5 THEN 'COMPLETED' ELSE status END, \
             completed_at = CASE WHEN ?5 THEN ?4 ELSE completed_at END WHERE id = ?1",
            &values![layby, paid, left, self.now, left == Cents(0)],
        )?;
        Ok(Some(Action::PaidLayby { layby: number, amount: paid, left }))
    }

    pub(super) fn pay_business_loan(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let open = "inter_business_loans WHERE status = 'ACTIVE' AND remaining_balance >= 0.01 AND ?2";
        let Some(loan) = self.some_id(db, open, true)? else {
            return Ok(None);
        };
        let (number, principal, left): (String, Cents, Cents) = db.one(
            "SELECT loan_number, principal_amount, remaining_balance FROM inter_business_loans WHERE id = ?1",
            &values![loan],
        )?;
        let paid = principal.times_percent(5).max(Cents(1)).min(left);
        let left = Cents(left.0 - paid.0);
        let id = self.new_id();
        db.execute(
            "INSERT INTO loan_transactions (id, loan_id, amount, balance_after, transaction_date, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?5)",
            &values![id, loan, paid, left, self.now],
        )?;
        db.execute(
            "UPDATE inter_business_loans SET remaining_balance = ?2, updated_at = ?3, \
             status = CASE WHEN ?4 THEN 'PAID' ELSE status END WHERE id = ?1",
            &values![loan, left, self.now, left == Cents(0)],
        )?;
        Ok(Some(Action::PaidBusinessLoan { loan: number, amount: paid, left }))
    }
}

/// Seven digits for a long time: numbers of one length sort as they count.
const FIRST_ORDER: u64 = 1_000_001;

/// Whether a text begins with this one, which is of letters, digits and marks that need no quoting.
fn begins(column: &str, with: &str) -> String {
    format!("substr({column}, 1, {}) = '{with}'", with.len())
}
