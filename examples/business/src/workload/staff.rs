//! Employees and vehicles: loans, hours, attendance, journeys.

use super::{Action, Workload};
use crate::{
    cell::{Cents, values},
    database::{Database, Result},
};

impl Workload {
    pub(super) fn pay_employee_loan(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let open = "employee_loans WHERE status = 'ACTIVE' AND remaining_balance >= 0.01 AND ?2";
        let Some(loan) = self.some_id(db, open, true)? else {
            return Ok(None);
        };
        let (number, left, instalment): (String, Cents, Cents) = db.one(
            "SELECT loan_number, remaining_balance, monthly_payment FROM employee_loans WHERE id = ?1",
            &values![loan],
        )?;
        let paid = instalment.max(Cents(1)).min(left);
        let left = Cents(left.0 - paid.0);
        let (id, receipt) = (self.new_id(), self.new_number('R'));
        db.execute(
            "INSERT INTO employee_loan_payments (id, loan_id, receipt_number, amount, payment_date, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
            &values![id, loan, receipt, paid, self.now.date(), self.now],
        )?;
        db.execute(
            "UPDATE employee_loans SET remaining_balance = ?2, updated_at = ?3, \
             status = CASE WHEN ?4 THEN 'PAID' ELSE status END WHERE id = ?1",
            &values![loan, left, self.now, left == Cents(0)],
        )?;
        Ok(Some(Action::PaidEmployeeLoan { loan: number, amount: paid, left }))
    }

    /// Clocks an employee out who is in, and in who is not.
    pub(super) fn clock(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let Some(employee) = self.some_id(db, "employees WHERE is_active AND ?2", true)? else {
            return Ok(None);
        };
        let name = db.one("SELECT full_name FROM employees WHERE id = ?1", &values![employee])?;
        let day = values![employee, self.now.date(), self.now];
        let left = db.execute(
            "UPDATE employee_time_tracking SET clock_out = ?3, updated_at = ?3 \
             WHERE employee_id = ?1 AND attendance_date = ?2 AND clock_out IS NULL",
            &day,
        )?;
        if left > 0 {
            db.execute(
                "UPDATE employee_attendance SET check_out = ?3, hours_worked = coalesce(hours_worked, 0) + 4, updated_at = ?3 \
                 WHERE employee_id = ?1 AND attendance_date = ?2",
                &day,
            )?;
            return Ok(Some(Action::ClockedOut { employee: name }));
        }
        self.clock_in(db, &employee)?;
        Ok(Some(Action::ClockedIn { employee: name }))
    }

    fn clock_in(&mut self, db: &dyn Database, employee: &str) -> Result<()> {
        db.execute(
            "INSERT INTO employee_attendance (employee_id, attendance_date, check_in, status, created_at, updated_at) \
             VALUES (?1, ?2, ?3, 'PRESENT', ?3, ?3) ON CONFLICT (employee_id, attendance_date) \
             DO UPDATE SET check_in = coalesce(employee_attendance.check_in, excluded.check_in), status = excluded.status, \
             updated_at = excluded.updated_at",
            &values![employee, self.now.date(), self.now],
        )?;
        let id = self.new_id();
        db.execute(
            "INSERT INTO employee_time_tracking (id, employee_id, attendance_date, clock_in, activity, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, 'Work', ?4, ?4)",
            &values![id, employee, self.now.date(), self.now],
        )?;
        Ok(())
    }

    /// A manager enters the day for everybody: one upsert of many rows.
    pub(super) fn record_attendance(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let Some(business) = self.some_business(db)? else {
            return Ok(None);
        };
        let status = *self.dice.pick(&["PRESENT", "LATE", "HOLIDAY"]);
        let employees = db.execute(
            "INSERT INTO employee_attendance (employee_id, attendance_date, status, notes, created_at, updated_at) \
             SELECT id, ?2, ?3, 'entered by the manager', ?4, ?4 FROM employees WHERE primary_business_id = ?1 AND is_active \
             ON CONFLICT (employee_id, attendance_date) \
             DO UPDATE SET status = excluded.status, notes = excluded.notes, updated_at = excluded.updated_at",
            &values![business, self.now.date(), status, self.now],
        )?;
        let name = db.one("SELECT name FROM businesses WHERE id = ?1", &values![business])?;
        Ok((employees > 0).then_some(Action::RecordedAttendance { business: name, employees }))
    }

    pub(super) fn drive(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let authorized = "vehicles WHERE EXISTS (SELECT 1 FROM driver_authorizations AS a WHERE a.vehicle_id = vehicles.id AND a.is_active) AND ?2";
        let Some(vehicle) = self.some_id(db, authorized, true)? else {
            return Ok(None);
        };
        let driver: String = db.one(
            "SELECT driver_id FROM driver_authorizations WHERE vehicle_id = ?1 AND is_active ORDER BY driver_id LIMIT 1",
            &values![vehicle],
        )?;
        let (plate, mileage, business): (String, i64, Option<String>) =
            db.one("SELECT license_plate, mileage_km, business_id FROM vehicles WHERE id = ?1", &values![vehicle])?;
        let km = self.dice.between(3, 160);
        let (trip, expense) = (self.new_id(), self.new_id());
        let (end, distance) = (self.now.plus_minutes(km * 2), km as f64);
        db.execute(
            "INSERT INTO vehicle_trips (id, vehicle_id, driver_id, business_id, start_location, start_time, end_time, \
             start_mileage_km, end_mileage_km, distance_km, is_completed, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, 'Shop', ?5, ?6, ?7, ?8, ?9, true, ?6, ?6)",
            &values![trip, vehicle, driver, business, self.now, end, mileage, mileage + km, distance],
        )?;
        db.execute(
            "UPDATE vehicles SET mileage_km = ?2, updated_at = ?3 WHERE id = ?1",
            &values![vehicle, mileage + km, end],
        )?;
        db.execute(
            "INSERT INTO vehicle_expenses (id, vehicle_id, trip_id, business_id, amount, fuel_litres, expense_date, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
            &values![expense, vehicle, trip, business, Cents(km * 17), distance / 10.0, end.date(), end],
        )?;
        Ok(Some(Action::Drove { plate, km }))
    }
}
