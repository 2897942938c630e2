//! The list of the application's tables, parents before children. What is in them stands in `schema/sqlite.sql`;
//! the search table, which belongs to no module and never syncs, is named by [`SEARCH_TABLE`] and not listed.

/// The full-text table that triggers keep in step with `business_products`. It exists in SQLite only.
pub const SEARCH_TABLE: &str = "product_search";

/// One table of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableInfo {
    /// Its name, the same in SQLite and PostgreSQL.
    pub name: &'static str,
    /// The module of the application that it belongs to.
    pub area: Area,
    /// Whether its rows belong to all servers; false for what concerns one server only.
    pub syncs: bool,
    /// The columns of the primary key, in the key's order.
    pub key: &'static [&'static str],
}

/// The modules of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Area {
    /// Small tables of kinds and templates.
    Lookups,
    /// Users, their logins and their rights.
    Users,
    /// Businesses, what they sell and to whom.
    Business,
    /// Employees and private persons.
    People,
    /// Vehicles, drivers and journeys.
    Vehicles,
    /// Building sites.
    Projects,
    /// Loans between businesses.
    Loans,
    /// Conversations.
    Chat,
    /// What concerns one server only.
    Private,
}

/// All tables of the application, in the order of their foreign keys: whatever a row needs by a NOT NULL foreign key
/// is in an earlier table. Only nullable keys point forward (`users.current_business_id`).
pub fn tables() -> &'static [TableInfo] {
    TABLES
}

/// The entry of one table, or none if the application has no such table.
pub fn table(name: &str) -> Option<&'static TableInfo> {
    TABLES.iter().find(|table| table.name == name)
}

const TABLES: &[TableInfo] = &[
    synced("job_titles", Area::Lookups, &["id"]),
    synced("compensation_types", Area::Lookups, &["id"]),
    synced("benefit_types", Area::Lookups, &["id"]),
    synced("id_format_templates", Area::Lookups, &["id"]),
    synced("driver_license_templates", Area::Lookups, &["id"]),
    synced("expense_domains", Area::Lookups, &["id"]),
    synced("project_types", Area::Lookups, &["id"]),
    synced("users", Area::Users, &["id"]),
    synced("accounts", Area::Users, &["provider", "provider_account_id"]),
    synced("permission_templates", Area::Lookups, &["id"]),
    synced("expense_categories", Area::Lookups, &["id"]),
    synced("expense_subcategories", Area::Lookups, &["id"]),
    synced("fund_sources", Area::Lookups, &["id"]),
    synced("businesses", Area::Business, &["id"]),
    synced("business_memberships", Area::Users, &["user_id", "business_id"]),
    synced("business_locations", Area::Business, &["id"]),
    synced("business_accounts", Area::Business, &["business_id"]),
    synced("business_categories", Area::Business, &["id"]),
    synced("business_brands", Area::Business, &["id"]),
    synced("business_suppliers", Area::Business, &["id"]),
    synced("business_customers", Area::Business, &["id"]),
    synced("persons", Area::People, &["id"]),
    synced("employees", Area::People, &["id"]),
    synced("employee_contracts", Area::People, &["id"]),
    synced("employee_benefits", Area::People, &["id"]),
    synced("employee_loans", Area::People, &["id"]),
    synced("employee_loan_payments", Area::People, &["id"]),
    synced("employee_bonuses", Area::People, &["id"]),
    synced("employee_deductions", Area::People, &["id"]),
    synced("employee_deduction_payments", Area::People, &["id"]),
    synced("employee_salary_increases", Area::People, &["id"]),
    synced("employee_attendance", Area::People, &["employee_id", "attendance_date"]),
    synced("employee_leave_balances", Area::People, &["employee_id", "year", "leave_type"]),
    synced("employee_leave_requests", Area::People, &["id"]),
    synced("employee_allowances", Area::People, &["id"]),
    synced("employee_time_tracking", Area::People, &["id"]),
    synced("employee_business_assignments", Area::People, &["employee_id", "business_id"]),
    synced("disciplinary_actions", Area::People, &["id"]),
    synced("business_products", Area::Business, &["id"]),
    synced("product_variants", Area::Business, &["id"]),
    synced("product_images", Area::Business, &["id"]),
    synced("business_orders", Area::Business, &["id"]),
    synced("business_order_items", Area::Business, &["order_id", "line_no"]),
    synced("business_stock_movements", Area::Business, &["id"]),
    synced("business_transactions", Area::Business, &["id"]),
    synced("vehicles", Area::Vehicles, &["id"]),
    synced("vehicle_drivers", Area::Vehicles, &["id"]),
    synced("driver_authorizations", Area::Vehicles, &["driver_id", "vehicle_id"]),
    synced("vehicle_licenses", Area::Vehicles, &["id"]),
    synced("vehicle_trips", Area::Vehicles, &["id"]),
    synced("vehicle_expenses", Area::Vehicles, &["id"]),
    synced("vehicle_maintenance_records", Area::Vehicles, &["id"]),
    synced("vehicle_maintenance_services", Area::Vehicles, &["id"]),
    synced("vehicle_maintenance_service_expenses", Area::Vehicles, &["id"]),
    synced("vehicle_reimbursements", Area::Vehicles, &["id"]),
    synced("construction_projects", Area::Projects, &["id"]),
    synced("project_contractors", Area::Projects, &["id"]),
    synced("project_stages", Area::Projects, &["id"]),
    synced("stage_contractor_assignments", Area::Projects, &["stage_id", "contractor_id"]),
    synced("construction_expenses", Area::Projects, &["id"]),
    synced("project_transactions", Area::Projects, &["id"]),
    synced("personal_budgets", Area::People, &["id"]),
    synced("personal_expenses", Area::People, &["id"]),
    synced("inter_business_loans", Area::Loans, &["id"]),
    synced("loan_transactions", Area::Loans, &["id"]),
    synced("customer_laybys", Area::Business, &["id"]),
    synced("customer_layby_payments", Area::Business, &["id"]),
    synced("chat_rooms", Area::Chat, &["id"]),
    synced("chat_participants", Area::Chat, &["room_id", "user_id"]),
    synced("chat_messages", Area::Chat, &["id"]),
    local("sessions", Area::Private, &["id"]),
    local("verification_tokens", Area::Private, &["identifier", "token"]),
    local("audit_logs", Area::Private, &["id"]),
    local("_prisma_migrations", Area::Private, &["id"]),
];

const fn synced(name: &'static str, area: Area, key: &'static [&'static str]) -> TableInfo {
    TableInfo { name, area, syncs: true, key }
}

const fn local(name: &'static str, area: Area, key: &'static [&'static str]) -> TableInfo {
    TableInfo { name, area, syncs: false, key }
}
