//! Employees and vehicles: loans, hours, attendance, journeys.

use rusqlite::Connection;

use super::{
    Action, Workload,
    sales::{amount, name_of},
};
use crate::cell::Cents;

impl Workload {
    pub(super) fn pay_employee_loan(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let Some(loan) =
            self.some_id(conn, "employee_loans WHERE status = 'ACTIVE' AND remaining_balance >= 0.01 AND ?2", &true)?
        else {
            return Ok(None);
        };
        let (number, left, instalment): (String, Cents, Cents) = conn
            .prepare_cached("SELECT loan_number, remaining_balance, monthly_payment FROM employee_loans WHERE id = ?1")?
            .query_row([&loan], |row| {
                Ok((row.get(0)?, Cents::from_column(row.get(1)?), Cents::from_column(row.get(2)?)))
            })?;
        let paid = instalment.max(Cents(1)).min(left);
        let left = Cents(left.0 - paid.0);
        let (id, receipt) = (self.new_id(), self.new_number('R'));
        conn.prepare_cached(
            "INSERT INTO employee_loan_payments (id, loan_id, receipt_number, amount, payment_date, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
        )?
        .execute((&id, &loan, &receipt, amount(paid), self.now.date(), self.now.time()))?;
        conn.prepare_cached(
            "UPDATE employee_loans SET remaining_balance = ?2, updated_at = ?3, \
             status = CASE WHEN ?2 > 0 THEN status ELSE 'PAID' END WHERE id = ?1",
        )?
        .execute((&loan, amount(left), self.now.time()))?;
        Ok(Some(Action::PaidEmployeeLoan { loan: number, amount: paid, left }))
    }

    /// Clocks an employee out who is in, and in who is not.
    pub(super) fn clock(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let Some(employee) = self.some_id(conn, "employees WHERE is_active AND ?2", &true)? else {
            return Ok(None);
        };
        let (name, date) =
            (name_of(conn, "SELECT full_name FROM employees WHERE id = ?1", &employee)?, self.now.date());
        let left = conn
            .prepare_cached(
                "UPDATE employee_time_tracking SET clock_out = ?3, updated_at = ?3 \
                 WHERE employee_id = ?1 AND attendance_date = ?2 AND clock_out IS NULL",
            )?
            .execute((&employee, &date, self.now.time()))?;
        if left > 0 {
            conn.prepare_cached(
                "UPDATE employee_attendance SET check_out = ?3, hours_worked = coalesce(hours_worked, 0) + 4, updated_at = ?3 \
                 WHERE employee_id = ?1 AND attendance_date = ?2",
            )?
            .execute((&employee, &date, self.now.time()))?;
            return Ok(Some(Action::ClockedOut { employee: name }));
        }
        self.clock_in(conn, &employee, &date)?;
        Ok(Some(Action::ClockedIn { employee: name }))
    }

    fn clock_in(&mut self, conn: &Connection, employee: &str, date: &str) -> rusqlite::Result<()> {
        let (id, now) = (self.new_id(), self.now.time());
        conn.prepare_cached(
            "INSERT INTO employee_attendance (employee_id, attendance_date, check_in, status, created_at, updated_at) \
             VALUES (?1, ?2, ?3, 'PRESENT', ?3, ?3) ON CONFLICT (employee_id, attendance_date) \
             DO UPDATE SET check_in = coalesce(check_in, excluded.check_in), status = excluded.status, updated_at = excluded.updated_at",
        )?
        .execute((employee, date, &now))?;
        conn.prepare_cached(
            "INSERT INTO employee_time_tracking (id, employee_id, attendance_date, clock_in, activity, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, 'Work', ?4, ?4)",
        )?
        .execute((&id, employee, date, &now))?;
        Ok(())
    }

    /// A manager enters the day for everybody: one upsert of many rows.
    pub(super) fn record_attendance(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let Some(business) = self.some_business(conn)? else {
            return Ok(None);
        };
        let status = *self.dice.pick(&["PRESENT", "LATE", "HOLIDAY"]);
        let employees = conn
            .prepare_cached(
                "INSERT INTO employee_attendance (employee_id, attendance_date, status, notes, created_at, updated_at) \
                 SELECT id, ?2, ?3, 'entered by the manager', ?4, ?4 FROM employees WHERE primary_business_id = ?1 AND is_active \
                 ON CONFLICT (employee_id, attendance_date) \
                 DO UPDATE SET status = excluded.status, notes = excluded.notes, updated_at = excluded.updated_at",
            )?
            .execute((&business, self.now.date(), status, self.now.time()))?;
        let name = name_of(conn, "SELECT name FROM businesses WHERE id = ?1", &business)?;
        Ok((employees > 0).then_some(Action::RecordedAttendance { business: name, employees }))
    }

    pub(super) fn drive(&mut self, conn: &Connection) -> rusqlite::Result<Option<Action>> {
        let authorized = "vehicles WHERE EXISTS (SELECT 1 FROM driver_authorizations AS a WHERE a.vehicle_id = vehicles.id AND a.is_active) AND ?2";
        let Some(vehicle) = self.some_id(conn, authorized, &true)? else {
            return Ok(None);
        };
        let driver = name_of(
            conn,
            "SELECT min(driver_id) FROM driver_authorizations WHERE vehicle_id = ?1 AND is_active",
            &vehicle,
        )?;
        let (plate, mileage, business): (String, i64, Option<String>) = conn
            .prepare_cached("SELECT license_plate, mileage_km, business_id FROM vehicles WHERE id = ?1")?
            .query_row([&vehicle], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let km = self.dice.between(3, 160);
        let (trip, expense) = (self.new_id(), self.new_id());
        let end = self.now.plus_minutes(km * 2);
        conn.prepare_cached(
            "INSERT INTO vehicle_trips (id, vehicle_id, driver_id, business_id, start_location, start_time, end_time, \
             start_mileage_km, end_mileage_km, distance_km, is_completed, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, 'Shop', ?5, ?6, ?7, ?8, ?9, true, ?6, ?6)",
        )?
        .execute((
            &trip,
            &vehicle,
            &driver,
            &business,
            self.now.time(),
            end.time(),
            mileage,
            mileage + km,
            km as f64,
        ))?;
        conn.prepare_cached("UPDATE vehicles SET mileage_km = ?2, updated_at = ?3 WHERE id = ?1")?.execute((
            &vehicle,
            mileage + km,
            end.time(),
        ))?;
        conn.prepare_cached(
            "INSERT INTO vehicle_expenses (id, vehicle_id, trip_id, business_id, amount, fuel_litres, expense_date, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
        )?
        .execute((&expense, &vehicle, &trip, &business, amount(Cents(km * 17)), km as f64 / 10.0, end.date(), end.time()))?;
        Ok(Some(Action::Drove { plate, km }))
    }
}
