//! Selling, stock, prices, customers, laybys, and loans between businesses.

use rusqlite::{Connection, OptionalExtension};

use super::{Action, Workload};
use crate::{
    cell::Cents,
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
    pub(super) fn sell(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let Some(business) = self.some_business(conn)? else {
            return Ok(None);
        };
        let lines = self.basket(conn, &business)?;
        if lines.is_empty() {
            return Ok(None);
        }
        let total = Cents(lines.iter().map(|line| line.price.0 * line.quantity).sum());
        let (id, number) = (self.new_id(), self.next_order_number(conn, &business)?);
        let sale = Sale { id: &id, number: &number, business: &business, lines: &lines, total };
        self.write_order(conn, &sale)?;
        self.write_lines(conn, &sale)?;
        self.book(conn, &sale)?;
        Ok(Some(Action::Sold { order: number, items: lines.len(), total }))
    }

    /// One to five lines of products that are in stock.
    fn basket(&mut self, conn: &Connection, business: &str) -> rusqlite::Result<Vec<Line>> {
        let mut lines: Vec<Line> = Vec::new();
        for _ in 0..self.dice.between(1, 5) {
            let in_stock = "business_products WHERE business_id = ?2 AND is_active AND stock_quantity >= 20";
            let Some(product) = self.some_id(conn, in_stock, &business)? else {
                break;
            };
            let price = conn
                .prepare_cached("SELECT base_price FROM business_products WHERE id = ?1")?
                .query_row([&product], |row| row.get(0).map(Cents::from_column))?;
            lines.push(Line { product, quantity: self.dice.between(1, 4), price });
        }
        Ok(lines)
    }

    /// Counts on from the highest number that this node has given out in this business, so that it goes on after a restart.
    fn next_order_number(&self, conn: &Connection, business: &str) -> rusqlite::Result<String> {
        let (from, to) = (format!("{}-", self.prefix), format!("{}.", self.prefix));
        let last: Option<String> = conn
            .prepare_cached(
                "SELECT max(order_number) FROM business_orders WHERE business_id = ?1 AND order_number > ?2 AND order_number < ?3",
            )?
            .query_row((business, &from, &to), |row| row.get(0))?;
        let last = last.and_then(|number| number[from.len()..].parse::<u64>().ok()).unwrap_or(FIRST_ORDER - 1);
        Ok(format!("{from}{}", last + 1))
    }

    fn write_order(&mut self, conn: &Connection, sale: &Sale<'_>) -> rusqlite::Result<()> {
        let customer = self.some_id(
            conn,
            &format!("business_customers WHERE business_id = ?2 AND {}", self.lasting()),
            &sale.business,
        )?;
        let employee = self.some_id(conn, "employees WHERE primary_business_id = ?2", &sale.business)?;
        let method = *self.dice.pick(&["CASH", "CARD", "MOBILE_MONEY"]);
        conn.prepare_cached(
            "INSERT INTO business_orders (id, business_id, customer_id, employee_id, order_number, status, payment_status, \
             payment_method, subtotal, total_amount, ordered_at, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, 'COMPLETED', 'PAID', ?6, ?7, ?7, ?8, ?8, ?8)",
        )?
        .execute((sale.id, sale.business, &customer, employee, sale.number, method, amount(sale.total), self.now.time()))?;
        conn.prepare_cached(
            "UPDATE business_customers SET total_spent = total_spent + ?2, loyalty_points = loyalty_points + 1, updated_at = ?3 WHERE id = ?1",
        )?
        .execute((customer, amount(sale.total), self.now.time()))?;
        Ok(())
    }

    fn write_lines(&mut self, conn: &Connection, sale: &Sale<'_>) -> rusqlite::Result<()> {
        for (line_no, line) in (1_i64..).zip(sale.lines) {
            let total = Cents(line.price.0 * line.quantity);
            conn.prepare_cached(
                "INSERT INTO business_order_items (order_id, line_no, product_id, quantity, unit_price, total_price, created_at, updated_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
            )?
            .execute((sale.id, line_no, &line.product, line.quantity, amount(line.price), amount(total), self.now.time()))?;
            self.move_stock(conn, sale.business, &line.product, Some(sale.id), "SALE", -line.quantity)?;
        }
        Ok(())
    }

    fn move_stock(
        &mut self,
        conn: &Connection,
        business: &str,
        product: &str,
        order: Option<&str>,
        kind: &str,
        quantity: i64,
    ) -> rusqlite::Result<()> {
        let (id, now) = (self.new_id(), self.now.time());
        conn.prepare_cached(
            "INSERT INTO business_stock_movements (id, business_id, product_id, order_id, type, quantity, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((&id, business, product, order, kind, quantity, &now))?;
        conn.prepare_cached(
            "UPDATE business_products SET stock_quantity = stock_quantity + ?2, updated_at = ?3 WHERE id = ?1",
        )?
        .execute((product, quantity, &now))?;
        Ok(())
    }

    /// The money of a sale in the business's account, which makes that account's row the busiest of all.
    fn book(&mut self, conn: &Connection, sale: &Sale<'_>) -> rusqlite::Result<()> {
        let (id, now) = (self.new_id(), self.now.time());
        let balance: Option<f64> = conn
            .prepare_cached("UPDATE business_accounts SET balance = round(balance + ?2, 2), updated_at = ?3 WHERE business_id = ?1 RETURNING balance")?
            .query_row((sale.business, amount(sale.total), &now), |row| row.get(0))
            .optional()?;
        let Some(balance) = balance else {
            return Ok(());
        };
        conn.prepare_cached(
            "INSERT INTO business_transactions (id, business_id, order_id, type, amount, balance_after, description, \
             transaction_date, created_at, updated_at) VALUES (?1, ?2, ?3, 'SALE', ?4, ?5, ?6, ?7, ?7, ?7)",
        )?
        .execute((
            &id,
            sale.business,
            sale.id,
            amount(sale.total),
            balance,
            format!("Order {}", sale.number),
            &now,
        ))?;
        Ok(())
    }

    pub(super) fn cancel_order(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let Some(order) = self.some_id(conn, "business_orders WHERE status = 'COMPLETED' AND ?2", &true)? else {
            return Ok(None);
        };
        let (business, number): (String, String) = conn
            .prepare_cached(
                "UPDATE business_orders SET status = 'CANCELLED', payment_status = 'REFUNDED', cancelled_at = ?2, updated_at = ?2 \
                 WHERE id = ?1 RETURNING business_id, order_number",
            )?
            .query_row((&order, self.now.time()), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let items: Vec<(String, i64)> = conn
            .prepare_cached(
                "SELECT product_id, quantity FROM business_order_items WHERE order_id = ?1 ORDER BY line_no",
            )?
            .query_map([&order], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (product, quantity) in items {
            self.move_stock(conn, &business, &product, Some(&order), "RETURN", quantity)?;
        }
        Ok(Some(Action::Cancelled { order: number }))
    }

    pub(super) fn receive_stock(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let Some(product) = self.some_id(conn, "business_products WHERE is_active AND ?2", &true)? else {
            return Ok(None);
        };
        let (business, name): (String, String) = conn
            .prepare_cached("SELECT business_id, name FROM business_products WHERE id = ?1")?
            .query_row([&product], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let quantity = self.dice.between(20, 120);
        self.move_stock(conn, &business, &product, None, "PURCHASE_RECEIVED", quantity)?;
        Ok(Some(Action::ReceivedStock { product: name, quantity }))
    }

    pub(super) fn change_price(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let Some(product) = self.some_id(conn, "business_products WHERE is_active AND ?2", &true)? else {
            return Ok(None);
        };
        let (name, from): (String, Cents) = conn
            .prepare_cached("SELECT name, base_price FROM business_products WHERE id = ?1")?
            .query_row([&product], |row| Ok((row.get(0)?, Cents::from_column(row.get(1)?))))?;
        let to = Cents(from.times_percent(self.dice.between(80, 125)).0.clamp(99, 100_000));
        conn.prepare_cached("UPDATE business_products SET base_price = ?2, updated_at = ?3 WHERE id = ?1")?
            .execute((&product, amount(to), self.now.time()))?;
        Ok(Some(Action::ChangedPrice { product: name, from, to }))
    }

    pub(super) fn raise_prices(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let with_products = "business_categories WHERE EXISTS (SELECT 1 FROM business_products AS p WHERE p.category_id = business_categories.id) AND ?2";
        let Some(category) = self.some_id(conn, with_products, &true)? else {
            return Ok(None);
        };
        let percent = self.dice.between(1, 4);
        let products = conn
            .prepare_cached(
                "UPDATE business_products SET base_price = round(min(base_price * (100 + ?2) / 100.0, 1000), 2), updated_at = ?3 \
                 WHERE category_id = ?1",
            )?
            .execute((&category, percent, self.now.time()))?;
        let name = name_of(conn, "SELECT name FROM business_categories WHERE id = ?1", &category)?;
        Ok(Some(Action::RaisedPrices { category: name, products, percent }))
    }

    pub(super) fn add_customer(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let Some(business) = self.some_business(conn)? else {
            return Ok(None);
        };
        let (id, number) = (self.new_id(), self.new_number('C'));
        let (name, phone) = (full_name(&mut self.dice), phone(&mut self.dice));
        conn.prepare_cached(
            "INSERT INTO business_customers (id, business_id, customer_number, name, phone, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
        )?
        .execute((&id, &business, &number, &name, &phone, self.now.time()))?;
        Ok(Some(Action::AddedCustomer { name }))
    }

    pub(super) fn change_customer(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let Some(customer) = self.some_id(conn, "business_customers WHERE ?2", &true)? else {
            return Ok(None);
        };
        let sql = match self.dice.between(0, 2) {
            0 => "UPDATE business_customers SET phone = ?2, updated_at = ?4 WHERE id = ?1 AND ?3 <> '' RETURNING name",
            1 => "UPDATE business_customers SET email = ?3, updated_at = ?4 WHERE id = ?1 AND ?2 <> '' RETURNING name",
            _ => "UPDATE business_customers SET notes = ?2 || ' ' || ?3, updated_at = ?4 WHERE id = ?1 RETURNING name",
        };
        let (phone, email) = (phone(&mut self.dice), format!("customer.{}@example.com", self.dice.between(1, 99_999)));
        let name =
            conn.prepare_cached(sql)?.query_row((&customer, &phone, &email, self.now.time()), |row| row.get(0))?;
        Ok(Some(Action::ChangedCustomer { name }))
    }

    /// Only customers that this node has added itself: another node sells to none of them, so none is missed there.
    pub(super) fn delete_customer(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let unused = "business_customers WHERE customer_number GLOB ?2 \
             AND NOT EXISTS (SELECT 1 FROM business_orders AS o WHERE o.customer_id = business_customers.id) \
             AND NOT EXISTS (SELECT 1 FROM customer_laybys AS l WHERE l.customer_id = business_customers.id)";
        let own = format!("{}-C*", self.prefix);
        let Some(customer) = self.some_id(conn, unused, &own)? else {
            return Ok(None);
        };
        let name = name_of(conn, "DELETE FROM business_customers WHERE id = ?1 RETURNING name", &customer)?;
        Ok(Some(Action::DeletedCustomer { name }))
    }

    /// The condition on customers that no other node will delete: those of the installation, and this node's own.
    fn lasting(&self) -> String {
        format!("(customer_number GLOB 'CUST/*' OR customer_number GLOB '{}-C*')", self.prefix)
    }

    pub(super) fn pay_layby(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let Some(layby) =
            self.some_id(conn, "customer_laybys WHERE status = 'ACTIVE' AND balance_remaining >= 0.01 AND ?2", &true)?
        else {
            return Ok(None);
        };
        let (number, left, instalment): (String, Cents, Option<f64>) = conn
            .prepare_cached(
                "SELECT layby_number, balance_remaining, installment_amount FROM customer_laybys WHERE id = ?1",
            )?
            .query_row([&layby], |row| Ok((row.get(0)?, Cents::from_column(row.get(1)?), row.get(2)?)))?;
        let paid = instalment.map_or(left, Cents::from_column).max(Cents(1)).min(left);
        let left = Cents(left.0 - paid.0);
        let (id, receipt, now) = (self.new_id(), self.new_number('R'), self.now.time());
        conn.prepare_cached(
            "INSERT INTO customer_layby_payments (id, layby_id, receipt_number, amount, payment_date, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?5)",
        )?
        .execute((&id, &layby, &receipt, amount(paid), &now))?;
        conn.prepare_cached(
            "UPDATE customer_laybys SET total_paid = round(total_paid + ?2, 2), balance_remaining = ?3, updated_at = ?4, \
             status = CASE WHEN ?3 > 0 THEN status ELSE 'COMPLETED' END, \
             completed_at = CASE WHEN ?3 > 0 THEN completed_at ELSE ?4 END WHERE id = ?1",
        )?
        .execute((&layby, amount(paid), amount(left), &now))?;
        Ok(Some(Action::PaidLayby { layby: number, amount: paid, left }))
    }

    pub(super) fn pay_business_loan(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let Some(loan) = self.some_id(
            conn,
            "inter_business_loans WHERE status = 'ACTIVE' AND remaining_balance >= 0.01 AND ?2",
            &true,
        )?
        else {
            return Ok(None);
        };
        let (number, principal, left): (String, Cents, Cents) = conn
            .prepare_cached(
                "SELECT loan_number, principal_amount, remaining_balance FROM inter_business_loans WHERE id = ?1",
            )?
            .query_row([&loan], |row| {
                Ok((row.get(0)?, Cents::from_column(row.get(1)?), Cents::from_column(row.get(2)?)))
            })?;
        let paid = principal.times_percent(5).max(Cents(1)).min(left);
        let left = Cents(left.0 - paid.0);
        let (id, now) = (self.new_id(), self.now.time());
        conn.prepare_cached(
            "INSERT INTO loan_transactions (id, loan_id, amount, balance_after, transaction_date, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?5)",
        )?
        .execute((&id, &loan, amount(paid), amount(left), &now))?;
        conn.prepare_cached(
            "UPDATE inter_business_loans SET remaining_balance = ?2, updated_at = ?3, \
             status = CASE WHEN ?2 > 0 THEN status ELSE 'PAID' END WHERE id = ?1",
        )?
        .execute((&loan, amount(left), &now))?;
        Ok(Some(Action::PaidBusinessLoan { loan: number, amount: paid, left }))
    }
}

/// Seven digits for a long time: numbers of one length sort as they count.
const FIRST_ORDER: u64 = 1_000_001;

/// What a DECIMAL column holds for an amount.
pub(super) fn amount(cents: Cents) -> f64 {
    cents.0 as f64 / 100.0
}

pub(super) fn name_of(conn: &Connection, sql: &str, id: &str) -> rusqlite::Result<String> {
    conn.prepare_cached(sql)?.query_row([id], |row| row.get(0))
}
