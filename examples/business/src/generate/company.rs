//! One business with everything below it: stock, staff, sales, laybys, vehicles, a building site, a chat room.

use super::{Generator, People, lookups};
use crate::{
    calendar::Moment,
    cell::{Cents, cells, values},
    database::{Result, Value},
    fill::{full_name, phone},
    random::uuid_of,
};

/// What the rows of one business refer to.
struct Company {
    id: String,
    /// Tells the numbers of this business from those of the others.
    mark: String,
    user: String,
    locations: Vec<String>,
    categories: Vec<String>,
    brands: Vec<String>,
    suppliers: Vec<String>,
    customers: Vec<String>,
    products: Vec<Product>,
    employees: Vec<String>,
}

#[derive(Clone)]
struct Product {
    id: String,
    variant: Option<String>,
    price: Cents,
}

struct Sale {
    id: String,
    number: String,
    when: Moment,
    total: Cents,
}

impl Generator<'_> {
    pub(super) fn company(&mut self, place: usize, id: &str, people: &People) -> Result<()> {
        let mut company = self.found(place, id, people)?;
        self.premises(&mut company)?;
        self.staff(&mut company, people)?;
        self.assortment(&mut company)?;
        self.customers(&mut company)?;
        self.sales(&company)?;
        self.laybys(&company)?;
        self.fleet(&company, people)?;
        self.building_site(&company, people)?;
        let name = format!("Team {id}");
        self.room(Some(id), "BUSINESS", &name, &people.users[..people.users.len().min(5)])
    }

    fn found(&mut self, place: usize, id: &str, people: &People) -> Result<Company> {
        let owner = people.users[place % people.users.len()].clone();
        let kind = if id.contains("clothing") {
            "CLOTHING"
        } else {
            *self.dice.pick(&["HARDWARE", "RESTAURANT", "CONSTRUCTION"])
        };
        let row = cells!["id" => id, "name" => title(id), "type" => kind, "owner_user_id" => owner, "tax_rate" => 15];
        self.insert("businesses", &row)?;
        for (rank, user) in people.users.iter().enumerate() {
            let (owns, sells) = (*user == owner, rank % 3 == place % 3);
            if owns || sells {
                let role = if owns { "OWNER" } else { "EMPLOYEE" };
                let template = (!owns).then(|| format!("cashier-{}", kind.to_lowercase()));
                let row = cells!["user_id" => user, "business_id" => id, "role" => role, "template_id" => template, "joined_at" => Moment::OPENING.plus_days(-150)];
                self.insert("business_memberships", &row)?;
            }
        }
        Ok(Company {
            id: id.to_owned(),
            mark: format!("{place:02}"),
            user: owner,
            locations: Vec::new(),
            categories: Vec::new(),
            brands: Vec::new(),
            suppliers: Vec::new(),
            customers: Vec::new(),
            products: Vec::new(),
            employees: Vec::new(),
        })
    }

    fn premises(&mut self, company: &mut Company) -> Result<()> {
        let account = format!("ACC/{}", company.mark);
        self.insert("business_accounts", &cells!["business_id" => company.id, "account_number" => account])?;
        let mut within: Option<String> = None;
        for (code, name, kind) in
            [("SHOP", "Shop", "SHOP"), ("STORE", "Storeroom", "WAREHOUSE"), ("S1", "First shelf", "SHELF")]
        {
            let row = cells!["business_id" => company.id, "parent_location_id" => within, "code" => code, "name" => name, "type" => kind];
            within = Some(self.insert("business_locations", &row)?);
            company.locations.extend(within.clone());
        }
        Ok(())
    }

    fn staff(&mut self, company: &mut Company, people: &People) -> Result<()> {
        for place in 0..self.seed.employees.max(1) {
            let (job, ..) = *self.dice.pick(lookups::JOB_TITLES);
            let (pay, ..) = *self.dice.pick(lookups::COMPENSATION_TYPES);
            let name = full_name(&mut self.dice);
            let phone = phone(&mut self.dice);
            let row = cells![
                "employee_number" => format!("EMP/{}/{place:03}", company.mark),
                "primary_business_id" => company.id,
                "job_title_id" => job,
                "compensation_type_id" => pay,
                "supervisor_id" => company.employees.first(),
                "id_format_template_id" => "id-zw",
                "email" => format!("staff.{}.{place}@example.com", company.mark),
                "full_name" => name,
                "phone" => phone,
                "employment_status" => "ACTIVE",
                "termination_date" => Value::Null,
            ];
            let employee = self.insert("employees", &row)?;
            self.contract(company, &employee, place, job, pay)?;
            self.attendance(&employee)?;
            if place.is_multiple_of(4) {
                self.personnel_file(company, &employee, place)?;
            }
            company.employees.push(employee);
        }
        let row = cells!["employee_id" => company.employees[0], "business_id" => company.id, "is_primary" => true, "assigned_by_user_id" => people.users[0]];
        self.insert("employee_business_assignments", &row)?;
        Ok(())
    }

    fn contract(&mut self, company: &Company, employee: &str, place: u32, job: &str, pay: &str) -> Result<()> {
        let mut earlier: Option<String> = None;
        let versions = if place.is_multiple_of(3) { 2 } else { 1 };
        for version in 1..=versions {
            let row = cells![
                "employee_id" => employee,
                "business_id" => company.id,
                "previous_contract_id" => earlier,
                "job_title_id" => job,
                "compensation_type_id" => pay,
                "contract_number" => format!("CON/{}/{place:03}/{version}", company.mark),
                "version" => version,
                "base_salary" => Cents(40_000 + version * 5_000),
                "status" => if version == versions { "ACTIVE" } else { "EXPIRED" },
            ];
            earlier = Some(self.insert("employee_contracts", &row)?);
        }
        for (benefit, ..) in lookups::BENEFIT_TYPES.iter().take(1 + place as usize % 3) {
            let row = cells!["employee_id" => employee, "benefit_type_id" => benefit, "contract_id" => earlier];
            self.insert("employee_benefits", &row)?;
        }
        Ok(())
    }

    fn attendance(&mut self, employee: &str) -> Result<()> {
        let days = i64::from(self.seed.days.max(1));
        for day in (1..=days).rev() {
            let morning = Moment::OPENING.plus_days(-day).plus_minutes(self.dice.between(-30, 20));
            let evening = morning.plus_minutes(self.dice.between(440, 540));
            let date = morning.date();
            let row = cells![
                "employee_id" => employee,
                "attendance_date" => date,
                "check_in" => morning,
                "check_out" => evening,
                "hours_worked" => 8.0,
            ];
            self.insert("employee_attendance", &row)?;
            let row = cells!["employee_id" => employee, "attendance_date" => date, "clock_in" => morning, "clock_out" => evening, "break_minutes" => 45];
            self.insert("employee_time_tracking", &row)?;
        }
        Ok(())
    }

    /// Loans, raises, leave, warnings: what only some employees have.
    fn personnel_file(&mut self, company: &Company, employee: &str, place: u32) -> Result<()> {
        let boss = company.employees.first();
        self.employee_loan(company, employee, place)?;
        self.insert("employee_bonuses", &cells!["employee_id" => employee, "approved_by_id" => boss])?;
        let total = Cents(self.dice.between(20, 90) * 100);
        let deduction = cells![
            "employee_id" => employee,
            "approved_by_id" => boss,
            "type" => "UNIFORM",
            "total_amount" => total,
            "remaining_amount" => total.times_percent(75),
            "monthly_deduction" => total.times_percent(25),
        ];
        let deduction = self.insert("employee_deductions", &deduction)?;
        self.insert(
            "employee_deduction_payments",
            &cells!["deduction_id" => deduction, "amount" => total.times_percent(25)],
        )?;
        let raise = cells![
            "employee_id" => employee,
            "approved_by_id" => boss,
            "previous_salary" => Cents(45_000),
            "new_salary" => Cents(49_500),
            "percentage" => 10,
        ];
        self.insert("employee_salary_increases", &raise)?;
        for kind in ["ANNUAL", "SICK"] {
            let row = cells!["employee_id" => employee, "year" => 2025, "leave_type" => kind, "entitled_days" => 22.0, "used_days" => 3.5];
            self.insert("employee_leave_balances", &row)?;
        }
        self.insert(
            "employee_leave_requests",
            &cells!["employee_id" => employee, "approved_by_id" => boss, "days" => 5.0],
        )?;
        self.insert("employee_allowances", &cells!["employee_id" => employee, "amount" => Cents(3_000)])?;
        self.insert("disciplinary_actions", &cells!["employee_id" => employee, "issued_by_id" => boss])?;
        Ok(())
    }

    fn employee_loan(&mut self, company: &Company, employee: &str, place: u32) -> Result<()> {
        let total = Cents(self.dice.between(100, 900) * 100);
        let instalment = total.times_percent(10);
        let row = cells![
            "employee_id" => employee,
            "approved_by_id" => company.employees.first(),
            "loan_number" => format!("EL/{}/{place:03}", company.mark),
            "total_amount" => total,
            "remaining_balance" => Cents(total.0 - 2 * instalment.0),
            "monthly_payment" => instalment,
            "interest_rate" => 5,
        ];
        let loan = self.insert("employee_loans", &row)?;
        for receipt in 1..=2 {
            let row = cells!["loan_id" => loan, "receipt_number" => format!("R/{receipt}"), "amount" => instalment];
            self.insert("employee_loan_payments", &row)?;
        }
        Ok(())
    }

    fn assortment(&mut self, company: &mut Company) -> Result<()> {
        let mut parent: Option<String> = None;
        for (order, name) in ["All goods", "New in", "Everyday", "On offer"].into_iter().enumerate() {
            let row = cells!["business_id" => company.id, "parent_id" => parent, "name" => name, "display_order" => order as i64];
            let category = self.insert("business_categories", &row)?;
            parent = parent.or_else(|| Some(category.clone()));
            company.categories.push(category);
        }
        for name in ["Kopje", "Baobab", "Südwind"] {
            let brand = self.insert("business_brands", &cells!["business_id" => company.id, "name" => name])?;
            company.brands.push(brand);
        }
        for place in 0..3 {
            let name = format!("{} & Sons", full_name(&mut self.dice));
            let row =
                cells!["business_id" => company.id, "supplier_number" => format!("SUP/{place:03}"), "name" => name];
            let supplier = self.insert("business_suppliers", &row)?;
            company.suppliers.push(supplier);
        }
        for place in 0..self.seed.products.max(1) {
            let product = self.product(company, place)?;
            company.products.push(product);
        }
        Ok(())
    }

    fn product(&mut self, company: &Company, place: u32) -> Result<Product> {
        let name = format!(
            "{} {} {}",
            self.dice.pick(&["Blue", "Heavy", "Small", "Fine", "Café"]),
            self.dice.pick(GOODS),
            place + 1
        );
        let price = Cents(self.dice.between(99, 25_000));
        let stock = self.dice.between(20, 300);
        let row = cells![
            "business_id" => company.id,
            "category_id" => self.dice.pick(&company.categories),
            "brand_id" => self.dice.pick(&company.brands),
            "supplier_id" => self.dice.pick(&company.suppliers),
            "location_id" => self.dice.pick(&company.locations),
            "sku" => format!("SKU/{}/{place:04}", company.mark),
            "name" => name,
            "base_price" => price,
            "cost_price" => price.times_percent(60),
            "tax_rate" => 15,
            "stock_quantity" => stock,
        ];
        let id = self.insert("business_products", &row)?;
        let variant = match place % 4 {
            0 => Some(self.variants(&id)?),
            _ => None,
        };
        if place.is_multiple_of(2) {
            self.images(&id, variant.as_deref())?;
        }
        let row = cells!["business_id" => company.id, "product_id" => id, "type" => "PURCHASE_RECEIVED", "quantity" => stock, "unit_cost" => price.times_percent(60)];
        self.insert("business_stock_movements", &row)?;
        Ok(Product { id, variant, price })
    }

    fn variants(&mut self, product: &str) -> Result<String> {
        let mut last = String::new();
        for size in ["S", "M", "L"] {
            let sku = format!("VAR/{}/{size}", &product[..13]);
            let row = cells!["product_id" => product, "sku" => sku, "name" => format!("Size {size}"), "size" => size, "stock_quantity" => 10];
            last = self.insert("product_variants", &row)?;
        }
        Ok(last)
    }

    fn images(&mut self, product: &str, variant: Option<&str>) -> Result<()> {
        for order in 0..2 {
            let path =
                format!("/uploads/products/{}.jpg", uuid_of(self.seed.seed, &["image", product, &order.to_string()]));
            let row = cells!["product_id" => product, "variant_id" => variant, "image_path" => path, "display_order" => order, "is_primary" => order == 0];
            self.insert("product_images", &row)?;
        }
        Ok(())
    }

    fn customers(&mut self, company: &mut Company) -> Result<()> {
        for place in 0..self.seed.customers.max(1) {
            let (name, phone) = (full_name(&mut self.dice), phone(&mut self.dice));
            let row = cells!["business_id" => company.id, "customer_number" => format!("CUST/{place:04}"), "name" => name, "phone" => phone];
            let customer = self.insert("business_customers", &row)?;
            company.customers.push(customer);
        }
        Ok(())
    }

    fn sales(&mut self, company: &Company) -> Result<()> {
        let mut balance = Cents(0);
        for place in 0..self.seed.orders.max(1) {
            let sale = self.sale(company, place)?;
            balance.0 += sale.total.0;
            let row = cells![
                "business_id" => company.id,
                "order_id" => sale.id,
                "created_by_user_id" => company.user,
                "type" => "SALE",
                "amount" => sale.total,
                "balance_after" => balance,
                "description" => format!("Order {}", sale.number),
                "transaction_date" => sale.when,
            ];
            self.insert("business_transactions", &row)?;
        }
        self.db.execute(
            "UPDATE business_accounts SET balance = ?1 WHERE business_id = ?2",
            &values![balance, company.id],
        )?;
        Ok(())
    }

    fn sale(&mut self, company: &Company, place: u32) -> Result<Sale> {
        let lines: Vec<(Product, i64)> = (0..self.dice.between(1, 4))
            .map(|_| (self.dice.pick(&company.products).clone(), self.dice.between(1, 3)))
            .collect();
        let subtotal = Cents(lines.iter().map(|(product, quantity)| product.price.0 * quantity).sum());
        let tax = subtotal.times_percent(15);
        let total = Cents(subtotal.0 + tax.0);
        let number = format!("ORD/{place:05}");
        let when = Moment::OPENING.plus_minutes(-self.dice.between(60, 90 * 24 * 60));
        let employee = self.dice.pick(&company.employees).clone();
        let row = cells![
            "business_id" => company.id,
            "customer_id" => self.dice.pick(&company.customers),
            "employee_id" => employee,
            "location_id" => company.locations[0],
            "order_number" => number,
            "status" => "COMPLETED",
            "payment_status" => "PAID",
            "payment_method" => self.dice.pick(&["CASH", "CARD", "MOBILE_MONEY"]),
            "subtotal" => subtotal,
            "tax_amount" => tax,
            "total_amount" => total,
            "ordered_at" => when,
            "cancelled_at" => Value::Null,
            "created_at" => when,
            "updated_at" => when,
        ];
        let id = self.insert("business_orders", &row)?;
        for (line, (product, quantity)) in (1_i64..).zip(&lines) {
            self.sold_line(company, &id, line, product, *quantity, &employee)?;
        }
        Ok(Sale { id, number, when, total })
    }

    fn sold_line(
        &mut self,
        company: &Company,
        order: &str,
        line: i64,
        product: &Product,
        quantity: i64,
        employee: &str,
    ) -> Result<()> {
        let row = cells![
            "order_id" => order,
            "line_no" => line,
            "product_id" => product.id,
            "variant_id" => product.variant,
            "quantity" => quantity,
            "unit_price" => product.price,
            "total_price" => Cents(product.price.0 * quantity),
        ];
        self.insert("business_order_items", &row)?;
        let row = cells![
            "business_id" => company.id,
            "product_id" => product.id,
            "variant_id" => product.variant,
            "order_id" => order,
            "employee_id" => employee,
            "type" => "SALE",
            "quantity" => -quantity,
        ];
        self.insert("business_stock_movements", &row)?;
        Ok(())
    }

    fn laybys(&mut self, company: &Company) -> Result<()> {
        for place in 0..self.seed.customers.max(1).div_ceil(5) {
            let product = self.dice.pick(&company.products).clone();
            let total = Cents(product.price.0 * 4);
            let deposit = total.times_percent(25);
            let row = cells![
                "business_id" => company.id,
                "customer_id" => self.dice.pick(&company.customers),
                "layby_number" => format!("LAY/{place:04}"),
                "items" => format!("[{{\"product\": \"{}\", \"quantity\": 4}}]", product.id),
                "total_amount" => total,
                "deposit_amount" => deposit,
                "total_paid" => deposit,
                "balance_remaining" => Cents(total.0 - deposit.0),
                "installment_amount" => total.times_percent(25),
                "completed_at" => Value::Null,
            ];
            let layby = self.insert("customer_laybys", &row)?;
            let row = cells![
                "layby_id" => layby,
                "received_by_id" => company.employees[0],
                "receipt_number" => format!("LR/{}/{place:04}", company.mark),
                "amount" => deposit,
            ];
            self.insert("customer_layby_payments", &row)?;
        }
        Ok(())
    }

    fn fleet(&mut self, company: &Company, people: &People) -> Result<()> {
        let row = cells![
            "employee_id" => company.employees[0],
            "license_template_id" => "licence-zw",
            "full_name" => full_name(&mut self.dice),
            "license_number" => format!("DL/{}", company.mark),
        ];
        let driver = self.insert("vehicle_drivers", &row)?;
        for place in 0..2 {
            let plate = format!("A{}/{:04}", company.mark, 1000 + place);
            let row = cells!["business_id" => company.id, "user_id" => company.user, "license_plate" => plate, "make" => "Toyota", "model" => "Hilux"];
            let vehicle = self.insert("vehicles", &row)?;
            let row =
                cells!["driver_id" => driver, "vehicle_id" => vehicle, "authorized_by_user_id" => people.users[0]];
            self.insert("driver_authorizations", &row)?;
            self.insert("vehicle_licenses", &cells!["vehicle_id" => vehicle, "type" => "REGISTRATION"])?;
            self.journeys(company, &vehicle, &driver)?;
            self.workshop(company, &vehicle)?;
        }
        Ok(())
    }

    fn journeys(&mut self, company: &Company, vehicle: &str, driver: &str) -> Result<()> {
        for day in 1..=3 {
            let start = Moment::OPENING.plus_days(-day);
            let row = cells![
                "vehicle_id" => vehicle,
                "driver_id" => driver,
                "business_id" => company.id,
                "start_time" => start,
                "end_time" => start.plus_minutes(90),
                "start_mileage_km" => 80_000 - day * 60,
                "end_mileage_km" => 80_000 - day * 60 + 42,
                "distance_km" => 42.0,
                "is_completed" => true,
            ];
            let trip = self.insert("vehicle_trips", &row)?;
            let row = cells!["vehicle_id" => vehicle, "trip_id" => trip, "business_id" => company.id, "subcategory_id" => "running-fuel", "created_by_user_id" => company.user];
            self.insert("vehicle_expenses", &row)?;
            if day == 1 {
                let row = cells!["vehicle_id" => vehicle, "user_id" => company.user, "business_id" => company.id, "trip_id" => trip, "distance_km" => 42.0];
                self.insert("vehicle_reimbursements", &row)?;
            }
        }
        Ok(())
    }

    fn workshop(&mut self, company: &Company, vehicle: &str) -> Result<()> {
        let row = cells!["vehicle_id" => vehicle, "created_by_user_id" => company.user, "provider" => "Mbare Motors", "total_cost" => Cents(18_000)];
        let record = self.insert("vehicle_maintenance_records", &row)?;
        let row =
            cells!["record_id" => record, "name" => "Brake pads", "category" => "BRAKES", "cost" => Cents(18_000)];
        let service = self.insert("vehicle_maintenance_services", &row)?;
        for (kind, description) in [("PART", "Front pads"), ("LABOUR", "Two hours")] {
            let row = cells!["service_id" => service, "type" => kind, "description" => description, "quantity" => 2.0, "unit_cost" => Cents(4_500), "total_cost" => Cents(9_000)];
            self.insert("vehicle_maintenance_service_expenses", &row)?;
        }
        Ok(())
    }

    fn building_site(&mut self, company: &Company, people: &People) -> Result<()> {
        let row = cells![
            "business_id" => company.id,
            "project_type_id" => "project-house",
            "client_id" => people.persons[0],
            "manager_id" => company.employees[0],
            "created_by_user_id" => company.user,
            "code" => format!("PRJ/{}", company.mark),
            "name" => format!("House for {}", full_name(&mut self.dice)),
            "budget" => Cents(9_000_000),
            "status" => "ACTIVE",
        ];
        let project = self.insert("construction_projects", &row)?;
        let contractors = people.persons[1..]
            .iter()
            .map(|person| self.insert("project_contractors", &cells!["project_id" => project, "person_id" => person]))
            .collect::<Result<Vec<String>>>()?;
        let mut earlier: Option<String> = None;
        for (position, name) in (1_i64..).zip(["Foundation", "Walls", "Roof"]) {
            let row = cells!["project_id" => project, "predecessor_stage_id" => earlier, "position" => position, "name" => name];
            let stage = self.insert("project_stages", &row)?;
            let contractor = self.dice.pick(&contractors).clone();
            self.stage(company, &project, &stage, &contractor, position)?;
            earlier = Some(stage);
        }
        Ok(())
    }

    fn stage(&mut self, company: &Company, project: &str, stage: &str, contractor: &str, position: i64) -> Result<()> {
        let row = cells!["stage_id" => stage, "contractor_id" => contractor, "agreed_amount" => Cents(250_000), "deposit_amount" => Cents(50_000)];
        self.insert("stage_contractor_assignments", &row)?;
        let row = cells![
            "project_id" => project,
            "stage_id" => stage,
            "contractor_id" => contractor,
            "subcategory_id" => "materials-cement",
            "paid_by_user_id" => company.user,
            "description" => "Cement, 50 bags",
            "amount" => Cents(65_000),
        ];
        let expense = self.insert("construction_expenses", &row)?;
        let row = cells![
            "project_id" => project,
            "stage_id" => stage,
            "contractor_id" => contractor,
            "expense_id" => expense,
            "amount" => Cents(65_000),
            "reference_number" => format!("PT/{}/{position:03}", company.mark),
        ];
        self.insert("project_transactions", &row)?;
        Ok(())
    }
}

/// `harare-hardware` is shown as `Harare Hardware`.
fn title(id: &str) -> String {
    let capital =
        |word: &str| word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect::<String>();
    id.split('-').map(capital).collect::<Vec<_>>().join(" ")
}

const GOODS: &[&str] =
    &["shirt", "hammer", "paint", "stew", "bag of cement", "jacket", "lamp", "tea", "pipe", "notebook"];
