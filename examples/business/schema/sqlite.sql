-- The schema of the application that Rowmesh was first made for, as its ORM would lay it out in SQLite.
-- Ids are text and made by the application; decimals, booleans, times and JSON are declared by name and held as
-- SQLite holds them; enumerations are CHECK constraints. schema/postgres.sql is the same application on PostgreSQL:
-- the same tables, columns, keys, unique constraints and foreign keys.
-- Tables stand in the order of their foreign keys, parents first; only users.current_business_id points forward.

-- What an employee is employed as.
CREATE TABLE "job_titles" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "title" TEXT NOT NULL,
    "description" TEXT,
    "department" TEXT,
    "level" TEXT NOT NULL DEFAULT 'JUNIOR' CHECK ("level" IN ('JUNIOR', 'INTERMEDIATE', 'SENIOR', 'LEAD', 'EXECUTIVE')),
    "default_salary" DECIMAL CHECK ("default_salary" >= 0),
    "responsibilities" JSONB NOT NULL DEFAULT '[]',
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL
);
CREATE UNIQUE INDEX "job_titles_title_key" ON "job_titles" ("title");

-- How an employee is paid.
CREATE TABLE "compensation_types" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "kind" TEXT NOT NULL DEFAULT 'MONTHLY' CHECK ("kind" IN ('HOURLY', 'DAILY', 'MONTHLY', 'COMMISSION', 'PIECE_RATE')),
    "frequency" TEXT NOT NULL DEFAULT 'MONTHLY' CHECK ("frequency" IN ('DAILY', 'WEEKLY', 'FORTNIGHTLY', 'MONTHLY', 'YEARLY', 'ONCE')),
    "base_amount" DECIMAL CHECK ("base_amount" >= 0),
    "commission_rate" DECIMAL,
    "description" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL
);
CREATE UNIQUE INDEX "compensation_types_name_key" ON "compensation_types" ("name");

-- What an employer can add to a salary.
CREATE TABLE "benefit_types" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "kind" TEXT NOT NULL DEFAULT 'OTHER' CHECK ("kind" IN ('INSURANCE', 'MEDICAL', 'PENSION', 'TRANSPORT', 'HOUSING', 'MEAL', 'EDUCATION', 'OTHER')),
    "default_amount" DECIMAL CHECK ("default_amount" >= 0),
    "is_percentage" BOOLEAN NOT NULL DEFAULT false,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL
);
CREATE UNIQUE INDEX "benefit_types_name_key" ON "benefit_types" ("name");

-- How the national identity numbers of a country look.
CREATE TABLE "id_format_templates" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "country_code" TEXT NOT NULL,
    "pattern" TEXT NOT NULL,
    "example" TEXT NOT NULL,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL
);
CREATE UNIQUE INDEX "id_format_templates_name_key" ON "id_format_templates" ("name");

-- How the driving licences of a country look.
CREATE TABLE "driver_license_templates" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "country_code" TEXT NOT NULL,
    "pattern" TEXT NOT NULL,
    "categories" JSONB NOT NULL DEFAULT '[]',
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL
);
CREATE UNIQUE INDEX "driver_license_templates_name_key" ON "driver_license_templates" ("name");

-- The widest grouping of expenses: household, business, vehicle, construction.
CREATE TABLE "expense_domains" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "emoji" TEXT,
    "description" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL
);
CREATE UNIQUE INDEX "expense_domains_name_key" ON "expense_domains" ("name");

-- The kinds of construction project.
CREATE TABLE "project_types" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "domain_id" TEXT,
    "name" TEXT NOT NULL,
    "category" TEXT NOT NULL DEFAULT 'OTHER' CHECK ("category" IN ('RESIDENTIAL', 'COMMERCIAL', 'INFRASTRUCTURE', 'RENOVATION', 'OTHER')),
    "description" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "project_types_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "expense_domains" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "project_types_name_key" ON "project_types" ("name");
CREATE INDEX "project_types_domain_id_idx" ON "project_types" ("domain_id");

-- People who can log in. The business they last worked in is a pointer only: it makes no user part of that
-- business.
CREATE TABLE "users" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "email" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "password_hash" TEXT,
    "phone" TEXT,
    "image_url" TEXT,
    "role" TEXT NOT NULL DEFAULT 'USER' CHECK ("role" IN ('USER', 'MANAGER', 'ADMIN', 'SYSTEM')),
    "permissions" JSONB NOT NULL DEFAULT '{}',
    "locale" TEXT NOT NULL DEFAULT 'en',
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "email_verified_at" DATETIME,
    "last_login_at" DATETIME,
    "login_count" INTEGER NOT NULL DEFAULT 0,
    "failed_login_attempts" INTEGER NOT NULL DEFAULT 0,
    -- Circular with businesses.owner_user_id: both may be empty.
    "current_business_id" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "users_current_business_id_fkey" FOREIGN KEY ("current_business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "users_email_key" ON "users" ("email");
CREATE INDEX "users_current_business_id_idx" ON "users" ("current_business_id");

-- Logins of other providers that a user may come in with.
CREATE TABLE "accounts" (
    "provider" TEXT NOT NULL,
    "provider_account_id" TEXT NOT NULL,
    "user_id" TEXT NOT NULL,
    "kind" TEXT NOT NULL DEFAULT 'oauth',
    "scope" TEXT,
    "access_token" TEXT,
    "refresh_token" TEXT,
    "expires_at" INTEGER,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    PRIMARY KEY ("provider", "provider_account_id"),
    CONSTRAINT "accounts_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX "accounts_user_id_idx" ON "accounts" ("user_id");

-- Named sets of permissions, per kind of business.
CREATE TABLE "permission_templates" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "business_type" TEXT NOT NULL CHECK ("business_type" IN ('CLOTHING', 'RESTAURANT', 'GROCERY', 'HARDWARE', 'CONSTRUCTION', 'TRANSPORT', 'SERVICES', 'OTHER')),
    "permissions" JSONB NOT NULL DEFAULT '{}',
    "created_by_user_id" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "permission_templates_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "permission_templates_name_business_type_key" ON "permission_templates" ("name", "business_type");
CREATE INDEX "permission_templates_created_by_user_id_idx" ON "permission_templates" ("created_by_user_id");

-- Expenses by category, some of them made by users.
CREATE TABLE "expense_categories" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "domain_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "emoji" TEXT,
    "color" TEXT NOT NULL DEFAULT '#3B82F6',
    "is_default" BOOLEAN NOT NULL DEFAULT false,
    "created_by_user_id" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "expense_categories_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "expense_domains" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "expense_categories_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "expense_categories_domain_id_name_key" ON "expense_categories" ("domain_id", "name");
CREATE INDEX "expense_categories_created_by_user_id_idx" ON "expense_categories" ("created_by_user_id");

-- The finer division of a category.
CREATE TABLE "expense_subcategories" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "category_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "emoji" TEXT,
    "description" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "expense_subcategories_category_id_fkey" FOREIGN KEY ("category_id") REFERENCES "expense_categories" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "expense_subcategories_category_id_name_key" ON "expense_subcategories" ("category_id", "name");

-- Where a user's private money comes from; without a user, one that all see.
CREATE TABLE "fund_sources" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "user_id" TEXT,
    "name" TEXT NOT NULL,
    "kind" TEXT NOT NULL DEFAULT 'OTHER' CHECK ("kind" IN ('SALARY', 'SAVINGS', 'LOAN', 'GIFT', 'BUSINESS', 'OTHER')),
    "balance" DECIMAL NOT NULL DEFAULT 0,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "fund_sources_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "fund_sources_user_id_name_key" ON "fund_sources" ("user_id", "name");

-- The businesses that share the application. Ids are readable text in the older rows and UUIDs in the newer
-- ones.
CREATE TABLE "businesses" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "type" TEXT NOT NULL DEFAULT 'OTHER' CHECK ("type" IN ('CLOTHING', 'RESTAURANT', 'GROCERY', 'HARDWARE', 'CONSTRUCTION', 'TRANSPORT', 'SERVICES', 'OTHER')),
    "description" TEXT,
    "address" TEXT,
    "phone" TEXT,
    "email" TEXT,
    "currency" TEXT NOT NULL DEFAULT 'USD',
    "tax_number" TEXT,
    "tax_rate" DECIMAL NOT NULL DEFAULT 0,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "settings" JSONB NOT NULL DEFAULT '{}',
    "owner_user_id" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "businesses_owner_user_id_fkey" FOREIGN KEY ("owner_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "businesses_tax_number_key" ON "businesses" ("tax_number");
CREATE INDEX "businesses_owner_user_id_idx" ON "businesses" ("owner_user_id");

-- Which user may do what in which business.
CREATE TABLE "business_memberships" (
    "user_id" TEXT NOT NULL,
    "business_id" TEXT NOT NULL,
    "role" TEXT NOT NULL DEFAULT 'EMPLOYEE' CHECK ("role" IN ('OWNER', 'MANAGER', 'EMPLOYEE', 'ACCOUNTANT', 'VIEWER')),
    "permissions" JSONB NOT NULL DEFAULT '{}',
    "template_id" TEXT,
    "invited_by_user_id" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "joined_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "last_accessed_at" DATETIME,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    PRIMARY KEY ("user_id", "business_id"),
    CONSTRAINT "business_memberships_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "business_memberships_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "business_memberships_template_id_fkey" FOREIGN KEY ("template_id") REFERENCES "permission_templates" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "business_memberships_invited_by_user_id_fkey" FOREIGN KEY ("invited_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "business_memberships_business_id_idx" ON "business_memberships" ("business_id");
CREATE INDEX "business_memberships_template_id_idx" ON "business_memberships" ("template_id");
CREATE INDEX "business_memberships_invited_by_user_id_idx" ON "business_memberships" ("invited_by_user_id");

-- Shops, warehouses and the shelves within them.
CREATE TABLE "business_locations" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "business_id" TEXT NOT NULL,
    "parent_location_id" TEXT,
    "code" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "type" TEXT NOT NULL DEFAULT 'SHOP' CHECK ("type" IN ('SHOP', 'WAREHOUSE', 'SHELF', 'OFFICE', 'VEHICLE')),
    "address" TEXT,
    "latitude" REAL,
    "longitude" REAL,
    "capacity" INTEGER CHECK ("capacity" >= 0),
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "business_locations_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "business_locations_parent_location_id_fkey" FOREIGN KEY ("parent_location_id") REFERENCES "business_locations" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "business_locations_business_id_code_key" ON "business_locations" ("business_id", "code");
CREATE INDEX "business_locations_parent_location_id_idx" ON "business_locations" ("parent_location_id");

-- The cash account of a business: one each, so the business is its key.
CREATE TABLE "business_accounts" (
    "business_id" TEXT NOT NULL PRIMARY KEY,
    "account_number" TEXT NOT NULL,
    "balance" DECIMAL NOT NULL DEFAULT 0,
    "overdraft_limit" DECIMAL NOT NULL DEFAULT 0 CHECK ("overdraft_limit" >= 0),
    "last_reconciled_at" DATETIME,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "business_accounts_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "business_accounts_account_number_key" ON "business_accounts" ("account_number");

-- Product categories, in a tree per business.
CREATE TABLE "business_categories" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "business_id" TEXT NOT NULL,
    "parent_id" TEXT,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "emoji" TEXT,
    "color" TEXT,
    "display_order" INTEGER NOT NULL DEFAULT 0,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "business_categories_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "business_categories_parent_id_fkey" FOREIGN KEY ("parent_id") REFERENCES "business_categories" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "business_categories_business_id_name_key" ON "business_categories" ("business_id", "name");
CREATE INDEX "business_categories_parent_id_idx" ON "business_categories" ("parent_id");

-- Brands that a business sells.
CREATE TABLE "business_brands" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "business_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "logo_url" TEXT,
    "website" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "business_brands_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "business_brands_business_id_name_key" ON "business_brands" ("business_id", "name");

-- Who a business buys from.
CREATE TABLE "business_suppliers" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "business_id" TEXT NOT NULL,
    "supplier_number" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "contact_person" TEXT,
    "email" TEXT,
    "phone" TEXT,
    "payment_terms" TEXT,
    "credit_limit" DECIMAL CHECK ("credit_limit" >= 0),
    "rating" REAL,
    "notes" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "business_suppliers_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "business_suppliers_business_id_supplier_number_key" ON "business_suppliers" ("business_id", "supplier_number");

-- Who a business sells to.
CREATE TABLE "business_customers" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "business_id" TEXT NOT NULL,
    "customer_number" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "type" TEXT NOT NULL DEFAULT 'INDIVIDUAL' CHECK ("type" IN ('INDIVIDUAL', 'BUSINESS', 'WHOLESALE', 'WALK_IN')),
    "email" TEXT,
    "phone" TEXT,
    "address" JSONB,
    "loyalty_points" INTEGER NOT NULL DEFAULT 0 CHECK ("loyalty_points" >= 0),
    "total_spent" DECIMAL NOT NULL DEFAULT 0,
    "credit_limit" DECIMAL CHECK ("credit_limit" >= 0),
    "date_of_birth" DATE,
    "notes" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "business_customers_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "business_customers_business_id_customer_number_key" ON "business_customers" ("business_id", "customer_number");

-- People whom the application knows but who cannot log in: contractors, clients, borrowers.
CREATE TABLE "persons" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "id_format_template_id" TEXT,
    "full_name" TEXT NOT NULL,
    "national_id" TEXT,
    "email" TEXT,
    "phone" TEXT NOT NULL,
    "address" TEXT,
    "date_of_birth" DATE,
    "notes" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "persons_id_format_template_id_fkey" FOREIGN KEY ("id_format_template_id") REFERENCES "id_format_templates" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "persons_national_id_key" ON "persons" ("national_id");
CREATE INDEX "persons_id_format_template_id_idx" ON "persons" ("id_format_template_id");

-- Who works for a business. Supervisors are employees too.
CREATE TABLE "employees" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "employee_number" TEXT NOT NULL,
    "user_id" TEXT,
    "primary_business_id" TEXT NOT NULL,
    "job_title_id" TEXT NOT NULL,
    "compensation_type_id" TEXT NOT NULL,
    "supervisor_id" TEXT,
    "id_format_template_id" TEXT,
    "full_name" TEXT NOT NULL,
    "email" TEXT,
    "phone" TEXT NOT NULL,
    "national_id" TEXT NOT NULL,
    "address" TEXT,
    "date_of_birth" DATE,
    "hire_date" DATE NOT NULL,
    "termination_date" DATE,
    "employment_status" TEXT NOT NULL DEFAULT 'PROBATION' CHECK ("employment_status" IN ('ACTIVE', 'PROBATION', 'SUSPENDED', 'ON_LEAVE', 'TERMINATED', 'RESIGNED')),
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "hourly_rate" DECIMAL CHECK ("hourly_rate" >= 0),
    "emergency_contact" JSONB,
    -- A small JPEG that is shown beside the name.
    "photo_thumbnail" BLOB,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "employees_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "employees_primary_business_id_fkey" FOREIGN KEY ("primary_business_id") REFERENCES "businesses" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "employees_job_title_id_fkey" FOREIGN KEY ("job_title_id") REFERENCES "job_titles" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "employees_compensation_type_id_fkey" FOREIGN KEY ("compensation_type_id") REFERENCES "compensation_types" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "employees_supervisor_id_fkey" FOREIGN KEY ("supervisor_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "employees_id_format_template_id_fkey" FOREIGN KEY ("id_format_template_id") REFERENCES "id_format_templates" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "employees_employee_number_key" ON "employees" ("employee_number");
CREATE UNIQUE INDEX "employees_user_id_key" ON "employees" ("user_id");
CREATE UNIQUE INDEX "employees_email_key" ON "employees" ("email");
CREATE INDEX "employees_primary_business_id_idx" ON "employees" ("primary_business_id");
CREATE INDEX "employees_job_title_id_idx" ON "employees" ("job_title_id");
CREATE INDEX "employees_compensation_type_id_idx" ON "employees" ("compensation_type_id");
CREATE INDEX "employees_supervisor_id_idx" ON "employees" ("supervisor_id");
CREATE INDEX "employees_id_format_template_id_idx" ON "employees" ("id_format_template_id");

-- Signed contracts; a renewed one names the one before it.
CREATE TABLE "employee_contracts" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "employee_id" TEXT NOT NULL,
    "business_id" TEXT NOT NULL,
    "previous_contract_id" TEXT,
    "job_title_id" TEXT NOT NULL,
    "compensation_type_id" TEXT NOT NULL,
    "contract_number" TEXT NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 1,
    "base_salary" DECIMAL NOT NULL CHECK ("base_salary" >= 0),
    "commission_rate" DECIMAL,
    "start_date" DATE NOT NULL,
    "end_date" DATE,
    "probation_months" INTEGER CHECK ("probation_months" >= 0),
    "status" TEXT NOT NULL DEFAULT 'DRAFT' CHECK ("status" IN ('DRAFT', 'PENDING', 'ACTIVE', 'EXPIRED', 'TERMINATED')),
    "terms" JSONB NOT NULL DEFAULT '{}',
    "signed_at" DATETIME,
    -- The signature as it was drawn on the screen.
    "signature_image" BLOB,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "employee_contracts_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "employee_contracts_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "employee_contracts_previous_contract_id_fkey" FOREIGN KEY ("previous_contract_id") REFERENCES "employee_contracts" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "employee_contracts_job_title_id_fkey" FOREIGN KEY ("job_title_id") REFERENCES "job_titles" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "employee_contracts_compensation_type_id_fkey" FOREIGN KEY ("compensation_type_id") REFERENCES "compensation_types" ("id") ON DELETE RESTRICT ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "employee_contracts_contract_number_key" ON "employee_contracts" ("contract_number");
CREATE INDEX "employee_contracts_employee_id_idx" ON "employee_contracts" ("employee_id");
CREATE INDEX "employee_contracts_business_id_idx" ON "employee_contracts" ("business_id");
CREATE INDEX "employee_contracts_previous_contract_id_idx" ON "employee_contracts" ("previous_contract_id");
CREATE INDEX "employee_contracts_job_title_id_idx" ON "employee_contracts" ("job_title_id");
CREATE INDEX "employee_contracts_compensation_type_id_idx" ON "employee_contracts" ("compensation_type_id");

-- Benefits that an employee has.
CREATE TABLE "employee_benefits" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "employee_id" TEXT NOT NULL,
    "benefit_type_id" TEXT NOT NULL,
    "contract_id" TEXT,
    "amount" DECIMAL NOT NULL CHECK ("amount" >= 0),
    "is_percentage" BOOLEAN NOT NULL DEFAULT false,
    "effective_date" DATE NOT NULL,
    "end_date" DATE,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "employee_benefits_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "employee_benefits_benefit_type_id_fkey" FOREIGN KEY ("benefit_type_id") REFERENCES "benefit_types" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "employee_benefits_contract_id_fkey" FOREIGN KEY ("contract_id") REFERENCES "employee_contracts" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "employee_benefits_employee_id_benefit_type_id_effective_dat_key" ON "employee_benefits" ("employee_id", "benefit_type_id", "effective_date");
CREATE INDEX "employee_benefits_benefit_type_id_idx" ON "employee_benefits" ("benefit_type_id");
CREATE INDEX "employee_benefits_contract_id_idx" ON "employee_benefits" ("contract_id");

-- Money lent to an employee and paid back out of the salary.
CREATE TABLE "employee_loans" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "employee_id" TEXT NOT NULL,
    "approved_by_id" TEXT,
    "loan_number" TEXT NOT NULL,
    "loan_type" TEXT NOT NULL DEFAULT 'PERSONAL' CHECK ("loan_type" IN ('SALARY_ADVANCE', 'PERSONAL', 'EMERGENCY', 'EDUCATION')),
    "total_amount" DECIMAL NOT NULL CHECK ("total_amount" >= 0),
    "remaining_balance" DECIMAL NOT NULL CHECK ("remaining_balance" >= 0),
    "monthly_payment" DECIMAL NOT NULL CHECK ("monthly_payment" >= 0),
    "interest_rate" DECIMAL NOT NULL DEFAULT 0,
    "loan_date" DATE NOT NULL,
    "purpose" TEXT,
    "status" TEXT NOT NULL DEFAULT 'ACTIVE' CHECK ("status" IN ('ACTIVE', 'PAID', 'WRITTEN_OFF', 'DEFAULTED', 'CANCELLED')),
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "employee_loans_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "employee_loans_approved_by_id_fkey" FOREIGN KEY ("approved_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "employee_loans_loan_number_key" ON "employee_loans" ("loan_number");
CREATE INDEX "employee_loans_employee_id_idx" ON "employee_loans" ("employee_id");
CREATE INDEX "employee_loans_approved_by_id_idx" ON "employee_loans" ("approved_by_id");

-- Instalments of an employee's loan.
CREATE TABLE "employee_loan_payments" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "loan_id" TEXT NOT NULL,
    "receipt_number" TEXT NOT NULL,
    "amount" DECIMAL NOT NULL CHECK ("amount" >= 0),
    "payment_method" TEXT NOT NULL DEFAULT 'PAYROLL' CHECK ("payment_method" IN ('CASH', 'CARD', 'BANK_TRANSFER', 'MOBILE_MONEY', 'PAYROLL', 'CHEQUE')),
    "payment_date" DATE NOT NULL,
    "payroll_period" TEXT,
    "notes" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "employee_loan_payments_loan_id_fkey" FOREIGN KEY ("loan_id") REFERENCES "employee_loans" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "employee_loan_payments_loan_id_receipt_number_key" ON "employee_loan_payments" ("loan_id", "receipt_number");

-- One-off payments on top of the salary.
CREATE TABLE "employee_bonuses" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "employee_id" TEXT NOT NULL,
    "approved_by_id" TEXT,
    "type" TEXT NOT NULL DEFAULT 'PERFORMANCE' CHECK ("type" IN ('PERFORMANCE', 'ANNUAL', 'REFERRAL', 'SPOT')),
    "amount" DECIMAL NOT NULL CHECK ("amount" >= 0),
    "reason" TEXT,
    "awarded_on" DATE NOT NULL,
    "is_paid" BOOLEAN NOT NULL DEFAULT false,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "employee_bonuses_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "employee_bonuses_approved_by_id_fkey" FOREIGN KEY ("approved_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "employee_bonuses_employee_id_idx" ON "employee_bonuses" ("employee_id");
CREATE INDEX "employee_bonuses_approved_by_id_idx" ON "employee_bonuses" ("approved_by_id");

-- What is kept back from a salary.
CREATE TABLE "employee_deductions" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "employee_id" TEXT NOT NULL,
    "approved_by_id" TEXT,
    "type" TEXT NOT NULL DEFAULT 'OTHER' CHECK ("type" IN ('TAX', 'DAMAGE', 'ADVANCE', 'UNIFORM', 'PENSION', 'OTHER')),
    "total_amount" DECIMAL NOT NULL CHECK ("total_amount" >= 0),
    "remaining_amount" DECIMAL NOT NULL CHECK ("remaining_amount" >= 0),
    "monthly_deduction" DECIMAL NOT NULL CHECK ("monthly_deduction" >= 0),
    "reason" TEXT,
    "start_date" DATE NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'ACTIVE' CHECK ("status" IN ('ACTIVE', 'PAID', 'WRITTEN_OFF', 'DEFAULTED', 'CANCELLED')),
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "employee_deductions_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "employee_deductions_approved_by_id_fkey" FOREIGN KEY ("approved_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "employee_deductions_employee_id_idx" ON "employee_deductions" ("employee_id");
CREATE INDEX "employee_deductions_approved_by_id_idx" ON "employee_deductions" ("approved_by_id");

-- The single amounts that were kept back.
CREATE TABLE "employee_deduction_payments" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "deduction_id" TEXT NOT NULL,
    "amount" DECIMAL NOT NULL CHECK ("amount" >= 0),
    "payment_date" DATE NOT NULL,
    "payroll_period" TEXT,
    "notes" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "employee_deduction_payments_deduction_id_fkey" FOREIGN KEY ("deduction_id") REFERENCES "employee_deductions" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX "employee_deduction_payments_deduction_id_idx" ON "employee_deduction_payments" ("deduction_id");

-- Raises, each with the salary before and after it.
CREATE TABLE "employee_salary_increases" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "employee_id" TEXT NOT NULL,
    "contract_id" TEXT,
    "approved_by_id" TEXT,
    "previous_salary" DECIMAL NOT NULL CHECK ("previous_salary" >= 0),
    "new_salary" DECIMAL NOT NULL CHECK ("new_salary" >= 0),
    "percentage" DECIMAL NOT NULL,
    "effective_date" DATE NOT NULL,
    "reason" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "employee_salary_increases_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "employee_salary_increases_contract_id_fkey" FOREIGN KEY ("contract_id") REFERENCES "employee_contracts" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "employee_salary_increases_approved_by_id_fkey" FOREIGN KEY ("approved_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "employee_salary_increases_employee_id_effective_date_key" ON "employee_salary_increases" ("employee_id", "effective_date");
CREATE INDEX "employee_salary_increases_contract_id_idx" ON "employee_salary_increases" ("contract_id");
CREATE INDEX "employee_salary_increases_approved_by_id_idx" ON "employee_salary_increases" ("approved_by_id");

-- One row per employee and day, so that a day entered twice is one row.
CREATE TABLE "employee_attendance" (
    "employee_id" TEXT NOT NULL,
    "attendance_date" DATE NOT NULL,
    "check_in" DATETIME,
    "check_out" DATETIME,
    "hours_worked" REAL,
    "status" TEXT NOT NULL DEFAULT 'PRESENT' CHECK ("status" IN ('PRESENT', 'LATE', 'ABSENT', 'HALF_DAY', 'ON_LEAVE', 'HOLIDAY')),
    "notes" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    PRIMARY KEY ("employee_id", "attendance_date"),
    CONSTRAINT "employee_attendance_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- Days of leave per employee, year and kind.
CREATE TABLE "employee_leave_balances" (
    "employee_id" TEXT NOT NULL,
    "year" INTEGER NOT NULL,
    "leave_type" TEXT NOT NULL CHECK ("leave_type" IN ('ANNUAL', 'SICK', 'MATERNITY', 'PATERNITY', 'STUDY', 'UNPAID')),
    "entitled_days" REAL NOT NULL DEFAULT 0,
    "used_days" REAL NOT NULL DEFAULT 0,
    "carried_over_days" REAL NOT NULL DEFAULT 0,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    PRIMARY KEY ("employee_id", "year", "leave_type"),
    CONSTRAINT "employee_leave_balances_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- Requests for leave and what became of them.
CREATE TABLE "employee_leave_requests" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "employee_id" TEXT NOT NULL,
    "approved_by_id" TEXT,
    "leave_type" TEXT NOT NULL DEFAULT 'ANNUAL' CHECK ("leave_type" IN ('ANNUAL', 'SICK', 'MATERNITY', 'PATERNITY', 'STUDY', 'UNPAID')),
    "start_date" DATE NOT NULL,
    "end_date" DATE NOT NULL,
    "days" REAL NOT NULL,
    "reason" TEXT,
    "status" TEXT NOT NULL DEFAULT 'PENDING' CHECK ("status" IN ('PENDING', 'APPROVED', 'REJECTED', 'CANCELLED')),
    "decided_at" DATETIME,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "employee_leave_requests_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "employee_leave_requests_approved_by_id_fkey" FOREIGN KEY ("approved_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "employee_leave_requests_employee_id_idx" ON "employee_leave_requests" ("employee_id");
CREATE INDEX "employee_leave_requests_approved_by_id_idx" ON "employee_leave_requests" ("approved_by_id");

-- Regular additions to a salary.
CREATE TABLE "employee_allowances" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "employee_id" TEXT NOT NULL,
    "type" TEXT NOT NULL DEFAULT 'TRANSPORT' CHECK ("type" IN ('TRANSPORT', 'HOUSING', 'MEAL', 'PHONE', 'TOOLS')),
    "amount" DECIMAL NOT NULL CHECK ("amount" >= 0),
    "frequency" TEXT NOT NULL DEFAULT 'MONTHLY' CHECK ("frequency" IN ('DAILY', 'WEEKLY', 'FORTNIGHTLY', 'MONTHLY', 'YEARLY', 'ONCE')),
    "effective_date" DATE NOT NULL,
    "end_date" DATE,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "employee_allowances_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX "employee_allowances_employee_id_idx" ON "employee_allowances" ("employee_id");

-- Spells of work within a day of attendance.
CREATE TABLE "employee_time_tracking" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "employee_id" TEXT NOT NULL,
    "attendance_date" DATE NOT NULL,
    "clock_in" DATETIME NOT NULL,
    "clock_out" DATETIME,
    "break_minutes" INTEGER NOT NULL DEFAULT 0 CHECK ("break_minutes" >= 0),
    "activity" TEXT,
    "latitude" REAL,
    "longitude" REAL,
    "device" JSONB,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "employee_time_tracking_employee_id_attendance_date_fkey" FOREIGN KEY ("employee_id", "attendance_date") REFERENCES "employee_attendance" ("employee_id", "attendance_date") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX "employee_time_tracking_employee_id_attendance_date_idx" ON "employee_time_tracking" ("employee_id", "attendance_date");

-- Further businesses that an employee works for.
CREATE TABLE "employee_business_assignments" (
    "employee_id" TEXT NOT NULL,
    "business_id" TEXT NOT NULL,
    "role" TEXT,
    "start_date" DATE NOT NULL,
    "end_date" DATE,
    "is_primary" BOOLEAN NOT NULL DEFAULT false,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "assigned_by_user_id" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    PRIMARY KEY ("employee_id", "business_id"),
    CONSTRAINT "employee_business_assignments_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "employee_business_assignments_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "employee_business_assignments_assigned_by_user_id_fkey" FOREIGN KEY ("assigned_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "employee_business_assignments_business_id_idx" ON "employee_business_assignments" ("business_id");
CREATE INDEX "employee_business_assignments_assigned_by_user_id_idx" ON "employee_business_assignments" ("assigned_by_user_id");

-- Warnings and what followed from them.
CREATE TABLE "disciplinary_actions" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "employee_id" TEXT NOT NULL,
    "issued_by_id" TEXT,
    "kind" TEXT NOT NULL DEFAULT 'VERBAL_WARNING' CHECK ("kind" IN ('VERBAL_WARNING', 'WRITTEN_WARNING', 'SUSPENSION', 'FINAL_WARNING', 'DISMISSAL')),
    "severity" TEXT NOT NULL DEFAULT 'LOW' CHECK ("severity" IN ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
    "description" TEXT NOT NULL,
    "incident_date" DATE NOT NULL,
    "acknowledged_at" DATETIME,
    "follow_up_date" DATE,
    "is_resolved" BOOLEAN NOT NULL DEFAULT false,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "disciplinary_actions_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "disciplinary_actions_issued_by_id_fkey" FOREIGN KEY ("issued_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "disciplinary_actions_employee_id_idx" ON "disciplinary_actions" ("employee_id");
CREATE INDEX "disciplinary_actions_issued_by_id_idx" ON "disciplinary_actions" ("issued_by_id");

-- What a business sells. The three triggers at the end of this file keep product_search in step with it.
CREATE TABLE "business_products" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "business_id" TEXT NOT NULL,
    "category_id" TEXT NOT NULL,
    "brand_id" TEXT,
    "supplier_id" TEXT,
    "location_id" TEXT,
    "sku" TEXT NOT NULL,
    "barcode" TEXT,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "type" TEXT NOT NULL DEFAULT 'PHYSICAL' CHECK ("type" IN ('PHYSICAL', 'SERVICE', 'DIGITAL', 'COMBO')),
    "condition" TEXT NOT NULL DEFAULT 'NEW' CHECK ("condition" IN ('NEW', 'USED', 'REFURBISHED')),
    "base_price" DECIMAL NOT NULL CHECK ("base_price" >= 0),
    "cost_price" DECIMAL CHECK ("cost_price" >= 0),
    "tax_rate" DECIMAL NOT NULL DEFAULT 0,
    "stock_quantity" INTEGER NOT NULL DEFAULT 0,
    "reorder_level" INTEGER NOT NULL DEFAULT 5 CHECK ("reorder_level" >= 0),
    "unit" TEXT NOT NULL DEFAULT 'each',
    "weight_kg" REAL,
    "attributes" JSONB NOT NULL DEFAULT '{}',
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "business_products_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "business_products_category_id_fkey" FOREIGN KEY ("category_id") REFERENCES "business_categories" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "business_products_brand_id_fkey" FOREIGN KEY ("brand_id") REFERENCES "business_brands" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "business_products_supplier_id_fkey" FOREIGN KEY ("supplier_id") REFERENCES "business_suppliers" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "business_products_location_id_fkey" FOREIGN KEY ("location_id") REFERENCES "business_locations" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "business_products_business_id_sku_key" ON "business_products" ("business_id", "sku");
CREATE INDEX "business_products_barcode_idx" ON "business_products" ("barcode");
CREATE INDEX "business_products_category_id_idx" ON "business_products" ("category_id");
CREATE INDEX "business_products_brand_id_idx" ON "business_products" ("brand_id");
CREATE INDEX "business_products_supplier_id_idx" ON "business_products" ("supplier_id");
CREATE INDEX "business_products_location_id_idx" ON "business_products" ("location_id");

-- Sizes and colours of a product.
CREATE TABLE "product_variants" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "product_id" TEXT NOT NULL,
    "sku" TEXT,
    "name" TEXT NOT NULL,
    "size" TEXT,
    "color" TEXT,
    "price_adjustment" DECIMAL NOT NULL DEFAULT 0,
    "stock_quantity" INTEGER NOT NULL DEFAULT 0,
    "attributes" JSONB NOT NULL DEFAULT '{}',
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "product_variants_product_id_fkey" FOREIGN KEY ("product_id") REFERENCES "business_products" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "product_variants_sku_key" ON "product_variants" ("sku");
CREATE UNIQUE INDEX "product_variants_product_id_name_key" ON "product_variants" ("product_id", "name");

-- Pictures of a product: the row names a file under the application's upload folder.
CREATE TABLE "product_images" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "product_id" TEXT NOT NULL,
    "variant_id" TEXT,
    "image_path" TEXT NOT NULL,
    "alt_text" TEXT,
    "display_order" INTEGER NOT NULL DEFAULT 0,
    "is_primary" BOOLEAN NOT NULL DEFAULT false,
    "file_size_bytes" INTEGER CHECK ("file_size_bytes" >= 0),
    "width_px" INTEGER,
    "height_px" INTEGER,
    "placeholder" BLOB,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "product_images_product_id_fkey" FOREIGN KEY ("product_id") REFERENCES "business_products" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "product_images_variant_id_fkey" FOREIGN KEY ("variant_id") REFERENCES "product_variants" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "product_images_product_id_display_order_key" ON "product_images" ("product_id", "display_order");
CREATE UNIQUE INDEX "product_images_one_primary_key" ON "product_images" ("product_id") WHERE "is_primary";
CREATE INDEX "product_images_variant_id_idx" ON "product_images" ("variant_id");

-- Sales. The order number is the business's own.
CREATE TABLE "business_orders" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "business_id" TEXT NOT NULL,
    "customer_id" TEXT,
    "employee_id" TEXT,
    "location_id" TEXT,
    "order_number" TEXT NOT NULL,
    "type" TEXT NOT NULL DEFAULT 'SALE' CHECK ("type" IN ('SALE', 'DINE_IN', 'TAKE_AWAY', 'DELIVERY', 'ONLINE')),
    "status" TEXT NOT NULL DEFAULT 'DRAFT' CHECK ("status" IN ('DRAFT', 'CONFIRMED', 'PREPARING', 'COMPLETED', 'CANCELLED', 'REFUNDED')),
    "payment_status" TEXT NOT NULL DEFAULT 'UNPAID' CHECK ("payment_status" IN ('UNPAID', 'PARTIAL', 'PAID', 'REFUNDED')),
    "payment_method" TEXT CHECK ("payment_method" IN ('CASH', 'CARD', 'BANK_TRANSFER', 'MOBILE_MONEY', 'PAYROLL', 'CHEQUE')),
    "subtotal" DECIMAL NOT NULL DEFAULT 0,
    "tax_amount" DECIMAL NOT NULL DEFAULT 0,
    "discount_amount" DECIMAL NOT NULL DEFAULT 0,
    "total_amount" DECIMAL NOT NULL DEFAULT 0,
    "notes" TEXT,
    "attributes" JSONB NOT NULL DEFAULT '{}',
    "ordered_at" DATETIME NOT NULL,
    "cancelled_at" DATETIME,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "business_orders_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "business_orders_customer_id_fkey" FOREIGN KEY ("customer_id") REFERENCES "business_customers" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "business_orders_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "business_orders_location_id_fkey" FOREIGN KEY ("location_id") REFERENCES "business_locations" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "business_orders_business_id_order_number_key" ON "business_orders" ("business_id", "order_number");
CREATE INDEX "business_orders_business_id_ordered_at_idx" ON "business_orders" ("business_id", "ordered_at");
CREATE INDEX "business_orders_customer_id_idx" ON "business_orders" ("customer_id");
CREATE INDEX "business_orders_employee_id_idx" ON "business_orders" ("employee_id");
CREATE INDEX "business_orders_location_id_idx" ON "business_orders" ("location_id");

-- Lines of an order, numbered within it.
CREATE TABLE "business_order_items" (
    "order_id" TEXT NOT NULL,
    "line_no" INTEGER NOT NULL,
    "product_id" TEXT NOT NULL,
    "variant_id" TEXT,
    "description" TEXT,
    "quantity" INTEGER NOT NULL CHECK ("quantity" > 0),
    "unit_price" DECIMAL NOT NULL CHECK ("unit_price" >= 0),
    "discount_amount" DECIMAL NOT NULL DEFAULT 0,
    "total_price" DECIMAL NOT NULL,
    "attributes" JSONB,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    PRIMARY KEY ("order_id", "line_no"),
    CONSTRAINT "business_order_items_order_id_fkey" FOREIGN KEY ("order_id") REFERENCES "business_orders" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "business_order_items_product_id_fkey" FOREIGN KEY ("product_id") REFERENCES "business_products" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "business_order_items_variant_id_fkey" FOREIGN KEY ("variant_id") REFERENCES "product_variants" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "business_order_items_product_id_idx" ON "business_order_items" ("product_id");
CREATE INDEX "business_order_items_variant_id_idx" ON "business_order_items" ("variant_id");

-- Every change of a product's stock, with its cause.
CREATE TABLE "business_stock_movements" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "business_id" TEXT NOT NULL,
    "product_id" TEXT NOT NULL,
    "variant_id" TEXT,
    "order_id" TEXT,
    "employee_id" TEXT,
    "type" TEXT NOT NULL CHECK ("type" IN ('PURCHASE_RECEIVED', 'SALE', 'RETURN', 'ADJUSTMENT', 'TRANSFER', 'DAMAGE')),
    "quantity" INTEGER NOT NULL,
    "unit_cost" DECIMAL,
    "reference" TEXT,
    "reason" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "business_stock_movements_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "business_stock_movements_product_id_fkey" FOREIGN KEY ("product_id") REFERENCES "business_products" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "business_stock_movements_variant_id_fkey" FOREIGN KEY ("variant_id") REFERENCES "product_variants" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "business_stock_movements_order_id_fkey" FOREIGN KEY ("order_id") REFERENCES "business_orders" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "business_stock_movements_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "business_stock_movements_business_id_idx" ON "business_stock_movements" ("business_id");
CREATE INDEX "business_stock_movements_product_id_idx" ON "business_stock_movements" ("product_id");
CREATE INDEX "business_stock_movements_variant_id_idx" ON "business_stock_movements" ("variant_id");
CREATE INDEX "business_stock_movements_order_id_idx" ON "business_stock_movements" ("order_id");
CREATE INDEX "business_stock_movements_employee_id_idx" ON "business_stock_movements" ("employee_id");

-- Entries in the account of a business.
CREATE TABLE "business_transactions" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "business_id" TEXT NOT NULL,
    "order_id" TEXT,
    "created_by_user_id" TEXT,
    "type" TEXT NOT NULL CHECK ("type" IN ('DEPOSIT', 'WITHDRAWAL', 'SALE', 'EXPENSE', 'TRANSFER', 'LOAN', 'ADJUSTMENT')),
    "amount" DECIMAL NOT NULL,
    "balance_after" DECIMAL NOT NULL,
    "description" TEXT NOT NULL,
    "reference" TEXT,
    "transaction_date" DATETIME NOT NULL,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "business_transactions_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "business_accounts" ("business_id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "business_transactions_order_id_fkey" FOREIGN KEY ("order_id") REFERENCES "business_orders" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "business_transactions_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "business_transactions_business_id_idx" ON "business_transactions" ("business_id");
CREATE INDEX "business_transactions_order_id_idx" ON "business_transactions" ("order_id");
CREATE INDEX "business_transactions_created_by_user_id_idx" ON "business_transactions" ("created_by_user_id");

-- Cars and trucks, of a business or of a user.
CREATE TABLE "vehicles" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "business_id" TEXT,
    "user_id" TEXT,
    "license_plate" TEXT NOT NULL,
    "vin" TEXT,
    "make" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "year" INTEGER NOT NULL,
    "color" TEXT,
    "ownership" TEXT NOT NULL DEFAULT 'BUSINESS' CHECK ("ownership" IN ('PERSONAL', 'BUSINESS', 'LEASED')),
    "status" TEXT NOT NULL DEFAULT 'ACTIVE' CHECK ("status" IN ('ACTIVE', 'MAINTENANCE', 'SOLD', 'RETIRED')),
    "fuel" TEXT NOT NULL DEFAULT 'PETROL' CHECK ("fuel" IN ('PETROL', 'DIESEL', 'ELECTRIC', 'HYBRID', 'GAS')),
    "mileage_km" INTEGER NOT NULL DEFAULT 0 CHECK ("mileage_km" >= 0),
    "purchase_price" DECIMAL CHECK ("purchase_price" >= 0),
    "purchase_date" DATE,
    "insurance_expires_on" DATE,
    "notes" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "vehicles_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "vehicles_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "vehicles_license_plate_key" ON "vehicles" ("license_plate");
CREATE UNIQUE INDEX "vehicles_vin_key" ON "vehicles" ("vin");
CREATE INDEX "vehicles_business_id_idx" ON "vehicles" ("business_id");
CREATE INDEX "vehicles_user_id_idx" ON "vehicles" ("user_id");

-- Who may drive: an employee, a user, or someone who is neither.
CREATE TABLE "vehicle_drivers" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "employee_id" TEXT,
    "user_id" TEXT,
    "license_template_id" TEXT,
    "full_name" TEXT NOT NULL,
    "license_number" TEXT NOT NULL,
    "license_expires_on" DATE NOT NULL,
    "phone" TEXT NOT NULL,
    "email" TEXT,
    "date_of_birth" DATE,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "vehicle_drivers_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "vehicle_drivers_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "vehicle_drivers_license_template_id_fkey" FOREIGN KEY ("license_template_id") REFERENCES "driver_license_templates" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "vehicle_drivers_user_id_key" ON "vehicle_drivers" ("user_id");
CREATE UNIQUE INDEX "vehicle_drivers_license_number_key" ON "vehicle_drivers" ("license_number");
CREATE INDEX "vehicle_drivers_employee_id_idx" ON "vehicle_drivers" ("employee_id");
CREATE INDEX "vehicle_drivers_license_template_id_idx" ON "vehicle_drivers" ("license_template_id");

-- Which driver may drive which vehicle.
CREATE TABLE "driver_authorizations" (
    "driver_id" TEXT NOT NULL,
    "vehicle_id" TEXT NOT NULL,
    "level" TEXT NOT NULL DEFAULT 'BASIC' CHECK ("level" IN ('BASIC', 'STANDARD', 'HEAVY')),
    "authorized_by_user_id" TEXT,
    "valid_from" DATE NOT NULL,
    "valid_until" DATE,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "notes" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    PRIMARY KEY ("driver_id", "vehicle_id"),
    CONSTRAINT "driver_authorizations_driver_id_fkey" FOREIGN KEY ("driver_id") REFERENCES "vehicle_drivers" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "driver_authorizations_vehicle_id_fkey" FOREIGN KEY ("vehicle_id") REFERENCES "vehicles" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "driver_authorizations_authorized_by_user_id_fkey" FOREIGN KEY ("authorized_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "driver_authorizations_vehicle_id_idx" ON "driver_authorizations" ("vehicle_id");
CREATE INDEX "driver_authorizations_authorized_by_user_id_idx" ON "driver_authorizations" ("authorized_by_user_id");

-- Papers of a vehicle that run out.
CREATE TABLE "vehicle_licenses" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "vehicle_id" TEXT NOT NULL,
    "type" TEXT NOT NULL DEFAULT 'REGISTRATION' CHECK ("type" IN ('REGISTRATION', 'RADIO', 'ROAD_USE', 'INSURANCE')),
    "license_number" TEXT NOT NULL,
    "issued_on" DATE NOT NULL,
    "expires_on" DATE NOT NULL,
    "authority" TEXT,
    "fee" DECIMAL CHECK ("fee" >= 0),
    "document_path" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "vehicle_licenses_vehicle_id_fkey" FOREIGN KEY ("vehicle_id") REFERENCES "vehicles" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "vehicle_licenses_vehicle_id_type_license_number_key" ON "vehicle_licenses" ("vehicle_id", "type", "license_number");

-- Journeys, with the mileage before and after.
CREATE TABLE "vehicle_trips" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "vehicle_id" TEXT NOT NULL,
    "driver_id" TEXT NOT NULL,
    "business_id" TEXT,
    "type" TEXT NOT NULL DEFAULT 'BUSINESS' CHECK ("type" IN ('BUSINESS', 'PERSONAL', 'MIXED')),
    "purpose" TEXT,
    "start_location" TEXT NOT NULL,
    "end_location" TEXT,
    "start_time" DATETIME NOT NULL,
    "end_time" DATETIME,
    "start_mileage_km" INTEGER NOT NULL CHECK ("start_mileage_km" >= 0),
    "end_mileage_km" INTEGER,
    "distance_km" REAL,
    "waypoints" JSONB,
    -- The track as packed coordinates.
    "gps_track" BLOB,
    "is_completed" BOOLEAN NOT NULL DEFAULT false,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "vehicle_trips_vehicle_id_fkey" FOREIGN KEY ("vehicle_id") REFERENCES "vehicles" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "vehicle_trips_driver_id_fkey" FOREIGN KEY ("driver_id") REFERENCES "vehicle_drivers" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "vehicle_trips_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "vehicle_trips_vehicle_id_idx" ON "vehicle_trips" ("vehicle_id");
CREATE INDEX "vehicle_trips_driver_id_idx" ON "vehicle_trips" ("driver_id");
CREATE INDEX "vehicle_trips_business_id_idx" ON "vehicle_trips" ("business_id");

-- Fuel, tolls, fines.
CREATE TABLE "vehicle_expenses" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "vehicle_id" TEXT NOT NULL,
    "trip_id" TEXT,
    "business_id" TEXT,
    "subcategory_id" TEXT,
    "created_by_user_id" TEXT,
    "type" TEXT NOT NULL DEFAULT 'FUEL' CHECK ("type" IN ('FUEL', 'TOLL', 'PARKING', 'FINE', 'REPAIR', 'OTHER')),
    "amount" DECIMAL NOT NULL CHECK ("amount" >= 0),
    "fuel_litres" REAL,
    "mileage_km" INTEGER,
    "expense_date" DATE NOT NULL,
    "description" TEXT,
    "receipt_path" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "vehicle_expenses_vehicle_id_fkey" FOREIGN KEY ("vehicle_id") REFERENCES "vehicles" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "vehicle_expenses_trip_id_fkey" FOREIGN KEY ("trip_id") REFERENCES "vehicle_trips" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "vehicle_expenses_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "vehicle_expenses_subcategory_id_fkey" FOREIGN KEY ("subcategory_id") REFERENCES "expense_subcategories" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "vehicle_expenses_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "vehicle_expenses_vehicle_id_idx" ON "vehicle_expenses" ("vehicle_id");
CREATE INDEX "vehicle_expenses_trip_id_idx" ON "vehicle_expenses" ("trip_id");
CREATE INDEX "vehicle_expenses_business_id_idx" ON "vehicle_expenses" ("business_id");
CREATE INDEX "vehicle_expenses_subcategory_id_idx" ON "vehicle_expenses" ("subcategory_id");
CREATE INDEX "vehicle_expenses_created_by_user_id_idx" ON "vehicle_expenses" ("created_by_user_id");

-- Visits to the workshop.
CREATE TABLE "vehicle_maintenance_records" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "vehicle_id" TEXT NOT NULL,
    "created_by_user_id" TEXT,
    "service_date" DATE NOT NULL,
    "mileage_km" INTEGER NOT NULL CHECK ("mileage_km" >= 0),
    "provider" TEXT NOT NULL,
    "total_cost" DECIMAL NOT NULL DEFAULT 0,
    "next_service_date" DATE,
    "next_service_mileage_km" INTEGER,
    "warranty_until" DATE,
    "notes" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "vehicle_maintenance_records_vehicle_id_fkey" FOREIGN KEY ("vehicle_id") REFERENCES "vehicles" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "vehicle_maintenance_records_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "vehicle_maintenance_records_vehicle_id_idx" ON "vehicle_maintenance_records" ("vehicle_id");
CREATE INDEX "vehicle_maintenance_records_created_by_user_id_idx" ON "vehicle_maintenance_records" ("created_by_user_id");

-- What was done on one visit.
CREATE TABLE "vehicle_maintenance_services" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "record_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "category" TEXT NOT NULL DEFAULT 'GENERAL' CHECK ("category" IN ('ENGINE', 'BRAKES', 'TYRES', 'BODY', 'ELECTRICAL', 'GENERAL')),
    "cost" DECIMAL NOT NULL DEFAULT 0,
    "notes" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "vehicle_maintenance_services_record_id_fkey" FOREIGN KEY ("record_id") REFERENCES "vehicle_maintenance_records" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX "vehicle_maintenance_services_record_id_idx" ON "vehicle_maintenance_services" ("record_id");

-- Parts and labour of one service.
CREATE TABLE "vehicle_maintenance_service_expenses" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "service_id" TEXT NOT NULL,
    "type" TEXT NOT NULL DEFAULT 'PART' CHECK ("type" IN ('PART', 'LABOUR', 'CONSUMABLE', 'TOWING')),
    "description" TEXT NOT NULL,
    "quantity" REAL NOT NULL DEFAULT 1,
    "unit_cost" DECIMAL NOT NULL CHECK ("unit_cost" >= 0),
    "total_cost" DECIMAL NOT NULL CHECK ("total_cost" >= 0),
    "receipt_path" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "vehicle_maintenance_service_expenses_service_id_fkey" FOREIGN KEY ("service_id") REFERENCES "vehicle_maintenance_services" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX "vehicle_maintenance_service_expenses_service_id_idx" ON "vehicle_maintenance_service_expenses" ("service_id");

-- Money owed to a user for driving.
CREATE TABLE "vehicle_reimbursements" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "vehicle_id" TEXT NOT NULL,
    "user_id" TEXT NOT NULL,
    "business_id" TEXT,
    "trip_id" TEXT,
    "period" TEXT NOT NULL,
    "distance_km" REAL NOT NULL,
    "rate_per_km" DECIMAL NOT NULL,
    "amount" DECIMAL NOT NULL CHECK ("amount" >= 0),
    "status" TEXT NOT NULL DEFAULT 'PENDING' CHECK ("status" IN ('PENDING', 'APPROVED', 'REJECTED', 'CANCELLED')),
    "approved_by_user_id" TEXT,
    "paid_at" DATETIME,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "vehicle_reimbursements_vehicle_id_fkey" FOREIGN KEY ("vehicle_id") REFERENCES "vehicles" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "vehicle_reimbursements_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "vehicle_reimbursements_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "vehicle_reimbursements_trip_id_fkey" FOREIGN KEY ("trip_id") REFERENCES "vehicle_trips" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "vehicle_reimbursements_approved_by_user_id_fkey" FOREIGN KEY ("approved_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "vehicle_reimbursements_vehicle_id_idx" ON "vehicle_reimbursements" ("vehicle_id");
CREATE INDEX "vehicle_reimbursements_user_id_idx" ON "vehicle_reimbursements" ("user_id");
CREATE INDEX "vehicle_reimbursements_business_id_idx" ON "vehicle_reimbursements" ("business_id");
CREATE INDEX "vehicle_reimbursements_trip_id_idx" ON "vehicle_reimbursements" ("trip_id");
CREATE INDEX "vehicle_reimbursements_approved_by_user_id_idx" ON "vehicle_reimbursements" ("approved_by_user_id");

-- Building sites, of a business or private.
CREATE TABLE "construction_projects" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "business_id" TEXT,
    "project_type_id" TEXT NOT NULL,
    "client_id" TEXT,
    "manager_id" TEXT,
    "created_by_user_id" TEXT,
    "code" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "address" TEXT,
    "budget" DECIMAL NOT NULL DEFAULT 0 CHECK ("budget" >= 0),
    "spent_amount" DECIMAL NOT NULL DEFAULT 0,
    "status" TEXT NOT NULL DEFAULT 'PLANNING' CHECK ("status" IN ('PLANNING', 'ACTIVE', 'ON_HOLD', 'COMPLETED', 'CANCELLED')),
    "start_date" DATE,
    "end_date" DATE,
    "completion_percent" REAL NOT NULL DEFAULT 0,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "construction_projects_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "construction_projects_project_type_id_fkey" FOREIGN KEY ("project_type_id") REFERENCES "project_types" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "construction_projects_client_id_fkey" FOREIGN KEY ("client_id") REFERENCES "persons" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "construction_projects_manager_id_fkey" FOREIGN KEY ("manager_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "construction_projects_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "construction_projects_code_key" ON "construction_projects" ("code");
CREATE INDEX "construction_projects_business_id_idx" ON "construction_projects" ("business_id");
CREATE INDEX "construction_projects_project_type_id_idx" ON "construction_projects" ("project_type_id");
CREATE INDEX "construction_projects_client_id_idx" ON "construction_projects" ("client_id");
CREATE INDEX "construction_projects_manager_id_idx" ON "construction_projects" ("manager_id");
CREATE INDEX "construction_projects_created_by_user_id_idx" ON "construction_projects" ("created_by_user_id");

-- Persons who work on a project.
CREATE TABLE "project_contractors" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "project_id" TEXT NOT NULL,
    "person_id" TEXT NOT NULL,
    "role" TEXT,
    "daily_rate" DECIMAL CHECK ("daily_rate" >= 0),
    "agreed_amount" DECIMAL CHECK ("agreed_amount" >= 0),
    "is_primary" BOOLEAN NOT NULL DEFAULT false,
    "status" TEXT NOT NULL DEFAULT 'PENDING' CHECK ("status" IN ('PENDING', 'APPROVED', 'REJECTED', 'CANCELLED')),
    "notes" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "project_contractors_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "construction_projects" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "project_contractors_person_id_fkey" FOREIGN KEY ("person_id") REFERENCES "persons" ("id") ON DELETE RESTRICT ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "project_contractors_project_id_person_id_key" ON "project_contractors" ("project_id", "person_id");
CREATE INDEX "project_contractors_person_id_idx" ON "project_contractors" ("person_id");

-- Stages of a project in their order.
CREATE TABLE "project_stages" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "project_id" TEXT NOT NULL,
    "predecessor_stage_id" TEXT,
    "position" INTEGER NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "status" TEXT NOT NULL DEFAULT 'PLANNING' CHECK ("status" IN ('PLANNING', 'ACTIVE', 'ON_HOLD', 'COMPLETED', 'CANCELLED')),
    "budget" DECIMAL CHECK ("budget" >= 0),
    "start_date" DATE,
    "end_date" DATE,
    "completed_at" DATETIME,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "project_stages_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "construction_projects" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "project_stages_predecessor_stage_id_fkey" FOREIGN KEY ("predecessor_stage_id") REFERENCES "project_stages" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "project_stages_project_id_position_key" ON "project_stages" ("project_id", "position");
CREATE INDEX "project_stages_predecessor_stage_id_idx" ON "project_stages" ("predecessor_stage_id");

-- Who works on which stage, for how much.
CREATE TABLE "stage_contractor_assignments" (
    "stage_id" TEXT NOT NULL,
    "contractor_id" TEXT NOT NULL,
    "agreed_amount" DECIMAL NOT NULL DEFAULT 0 CHECK ("agreed_amount" >= 0),
    "deposit_amount" DECIMAL NOT NULL DEFAULT 0 CHECK ("deposit_amount" >= 0),
    "is_deposit_paid" BOOLEAN NOT NULL DEFAULT false,
    "start_date" DATE,
    "end_date" DATE,
    "notes" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    PRIMARY KEY ("stage_id", "contractor_id"),
    CONSTRAINT "stage_contractor_assignments_stage_id_fkey" FOREIGN KEY ("stage_id") REFERENCES "project_stages" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "stage_contractor_assignments_contractor_id_fkey" FOREIGN KEY ("contractor_id") REFERENCES "project_contractors" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX "stage_contractor_assignments_contractor_id_idx" ON "stage_contractor_assignments" ("contractor_id");

-- What a project has cost.
CREATE TABLE "construction_expenses" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "project_id" TEXT NOT NULL,
    "stage_id" TEXT,
    "contractor_id" TEXT,
    "subcategory_id" TEXT,
    "paid_by_user_id" TEXT,
    "type" TEXT NOT NULL DEFAULT 'MATERIAL' CHECK ("type" IN ('MATERIAL', 'LABOUR', 'EQUIPMENT', 'PERMIT', 'TRANSPORT', 'OTHER')),
    "amount" DECIMAL NOT NULL CHECK ("amount" >= 0),
    "quantity" REAL,
    "unit" TEXT,
    "description" TEXT NOT NULL,
    "expense_date" DATE NOT NULL,
    "receipt_path" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "construction_expenses_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "construction_projects" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "construction_expenses_stage_id_fkey" FOREIGN KEY ("stage_id") REFERENCES "project_stages" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "construction_expenses_contractor_id_fkey" FOREIGN KEY ("contractor_id") REFERENCES "project_contractors" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "construction_expenses_subcategory_id_fkey" FOREIGN KEY ("subcategory_id") REFERENCES "expense_subcategories" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "construction_expenses_paid_by_user_id_fkey" FOREIGN KEY ("paid_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "construction_expenses_project_id_idx" ON "construction_expenses" ("project_id");
CREATE INDEX "construction_expenses_stage_id_idx" ON "construction_expenses" ("stage_id");
CREATE INDEX "construction_expenses_contractor_id_idx" ON "construction_expenses" ("contractor_id");
CREATE INDEX "construction_expenses_subcategory_id_idx" ON "construction_expenses" ("subcategory_id");
CREATE INDEX "construction_expenses_paid_by_user_id_idx" ON "construction_expenses" ("paid_by_user_id");

-- Money that moved in a project.
CREATE TABLE "project_transactions" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "project_id" TEXT NOT NULL,
    "stage_id" TEXT,
    "contractor_id" TEXT,
    "expense_id" TEXT,
    "type" TEXT NOT NULL DEFAULT 'PAYMENT' CHECK ("type" IN ('DEPOSIT', 'PAYMENT', 'REFUND', 'ADJUSTMENT')),
    "amount" DECIMAL NOT NULL,
    "payment_method" TEXT NOT NULL DEFAULT 'CASH' CHECK ("payment_method" IN ('CASH', 'CARD', 'BANK_TRANSFER', 'MOBILE_MONEY', 'PAYROLL', 'CHEQUE')),
    "reference_number" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'PENDING' CHECK ("status" IN ('PENDING', 'APPROVED', 'REJECTED', 'CANCELLED')),
    "approved_by_user_id" TEXT,
    "transaction_date" DATETIME NOT NULL,
    "notes" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "project_transactions_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "construction_projects" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "project_transactions_stage_id_fkey" FOREIGN KEY ("stage_id") REFERENCES "project_stages" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "project_transactions_contractor_id_fkey" FOREIGN KEY ("contractor_id") REFERENCES "project_contractors" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "project_transactions_expense_id_fkey" FOREIGN KEY ("expense_id") REFERENCES "construction_expenses" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "project_transactions_approved_by_user_id_fkey" FOREIGN KEY ("approved_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "project_transactions_reference_number_key" ON "project_transactions" ("reference_number");
CREATE INDEX "project_transactions_project_id_idx" ON "project_transactions" ("project_id");
CREATE INDEX "project_transactions_stage_id_idx" ON "project_transactions" ("stage_id");
CREATE INDEX "project_transactions_contractor_id_idx" ON "project_transactions" ("contractor_id");
CREATE INDEX "project_transactions_expense_id_idx" ON "project_transactions" ("expense_id");
CREATE INDEX "project_transactions_approved_by_user_id_idx" ON "project_transactions" ("approved_by_user_id");

-- What a user means to spend.
CREATE TABLE "personal_budgets" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "user_id" TEXT NOT NULL,
    "category_id" TEXT,
    "fund_source_id" TEXT,
    "name" TEXT NOT NULL,
    "period" TEXT NOT NULL DEFAULT 'MONTHLY' CHECK ("period" IN ('WEEKLY', 'MONTHLY', 'QUARTERLY', 'YEARLY')),
    "limit_amount" DECIMAL NOT NULL CHECK ("limit_amount" >= 0),
    "spent_amount" DECIMAL NOT NULL DEFAULT 0,
    "starts_on" DATE NOT NULL,
    "ends_on" DATE,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "personal_budgets_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "personal_budgets_category_id_fkey" FOREIGN KEY ("category_id") REFERENCES "expense_categories" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "personal_budgets_fund_source_id_fkey" FOREIGN KEY ("fund_source_id") REFERENCES "fund_sources" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "personal_budgets_user_id_name_starts_on_key" ON "personal_budgets" ("user_id", "name", "starts_on");
CREATE INDEX "personal_budgets_category_id_idx" ON "personal_budgets" ("category_id");
CREATE INDEX "personal_budgets_fund_source_id_idx" ON "personal_budgets" ("fund_source_id");

-- What a user has spent, sometimes on a building site.
CREATE TABLE "personal_expenses" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "user_id" TEXT NOT NULL,
    "category_id" TEXT NOT NULL,
    "subcategory_id" TEXT,
    "budget_id" TEXT,
    "fund_source_id" TEXT,
    "project_id" TEXT,
    "amount" DECIMAL NOT NULL CHECK ("amount" >= 0),
    "description" TEXT NOT NULL,
    "expense_date" DATE NOT NULL,
    "payment_method" TEXT NOT NULL DEFAULT 'CASH' CHECK ("payment_method" IN ('CASH', 'CARD', 'BANK_TRANSFER', 'MOBILE_MONEY', 'PAYROLL', 'CHEQUE')),
    "tags" JSONB NOT NULL DEFAULT '[]',
    "receipt_path" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "personal_expenses_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "personal_expenses_category_id_fkey" FOREIGN KEY ("category_id") REFERENCES "expense_categories" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "personal_expenses_subcategory_id_fkey" FOREIGN KEY ("subcategory_id") REFERENCES "expense_subcategories" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "personal_expenses_budget_id_fkey" FOREIGN KEY ("budget_id") REFERENCES "personal_budgets" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "personal_expenses_fund_source_id_fkey" FOREIGN KEY ("fund_source_id") REFERENCES "fund_sources" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "personal_expenses_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "construction_projects" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "personal_expenses_user_id_idx" ON "personal_expenses" ("user_id");
CREATE INDEX "personal_expenses_category_id_idx" ON "personal_expenses" ("category_id");
CREATE INDEX "personal_expenses_subcategory_id_idx" ON "personal_expenses" ("subcategory_id");
CREATE INDEX "personal_expenses_budget_id_idx" ON "personal_expenses" ("budget_id");
CREATE INDEX "personal_expenses_fund_source_id_idx" ON "personal_expenses" ("fund_source_id");
CREATE INDEX "personal_expenses_project_id_idx" ON "personal_expenses" ("project_id");

-- Money that one business lends to another, or to a person.
CREATE TABLE "inter_business_loans" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "loan_number" TEXT NOT NULL,
    "lender_business_id" TEXT NOT NULL,
    "borrower_business_id" TEXT,
    "borrower_person_id" TEXT,
    "approved_by_user_id" TEXT,
    "principal_amount" DECIMAL NOT NULL CHECK ("principal_amount" >= 0),
    "remaining_balance" DECIMAL NOT NULL,
    "interest_rate" DECIMAL NOT NULL DEFAULT 0,
    "loan_date" DATE NOT NULL,
    "due_date" DATE,
    "terms" TEXT,
    "status" TEXT NOT NULL DEFAULT 'ACTIVE' CHECK ("status" IN ('ACTIVE', 'PAID', 'WRITTEN_OFF', 'DEFAULTED', 'CANCELLED')),
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "inter_business_loans_lender_business_id_fkey" FOREIGN KEY ("lender_business_id") REFERENCES "businesses" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "inter_business_loans_borrower_business_id_fkey" FOREIGN KEY ("borrower_business_id") REFERENCES "businesses" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "inter_business_loans_borrower_person_id_fkey" FOREIGN KEY ("borrower_person_id") REFERENCES "persons" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "inter_business_loans_approved_by_user_id_fkey" FOREIGN KEY ("approved_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "inter_business_loans_loan_number_key" ON "inter_business_loans" ("loan_number");
CREATE INDEX "inter_business_loans_lender_business_id_idx" ON "inter_business_loans" ("lender_business_id");
CREATE INDEX "inter_business_loans_borrower_business_id_idx" ON "inter_business_loans" ("borrower_business_id");
CREATE INDEX "inter_business_loans_borrower_person_id_idx" ON "inter_business_loans" ("borrower_person_id");
CREATE INDEX "inter_business_loans_approved_by_user_id_idx" ON "inter_business_loans" ("approved_by_user_id");

-- Advances and repayments of a loan between businesses.
CREATE TABLE "loan_transactions" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "loan_id" TEXT NOT NULL,
    "recorded_by_user_id" TEXT,
    "type" TEXT NOT NULL DEFAULT 'PAYMENT' CHECK ("type" IN ('ADVANCE', 'PAYMENT', 'INTEREST', 'FEE')),
    "amount" DECIMAL NOT NULL CHECK ("amount" >= 0),
    "balance_after" DECIMAL NOT NULL,
    "payment_method" TEXT NOT NULL DEFAULT 'BANK_TRANSFER' CHECK ("payment_method" IN ('CASH', 'CARD', 'BANK_TRANSFER', 'MOBILE_MONEY', 'PAYROLL', 'CHEQUE')),
    "reference" TEXT,
    "transaction_date" DATETIME NOT NULL,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "loan_transactions_loan_id_fkey" FOREIGN KEY ("loan_id") REFERENCES "inter_business_loans" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "loan_transactions_recorded_by_user_id_fkey" FOREIGN KEY ("recorded_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "loan_transactions_loan_id_idx" ON "loan_transactions" ("loan_id");
CREATE INDEX "loan_transactions_recorded_by_user_id_idx" ON "loan_transactions" ("recorded_by_user_id");

-- Goods kept for a customer until they are paid off.
CREATE TABLE "customer_laybys" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "business_id" TEXT NOT NULL,
    "customer_id" TEXT NOT NULL,
    "order_id" TEXT,
    "layby_number" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'ACTIVE' CHECK ("status" IN ('ACTIVE', 'COMPLETED', 'CANCELLED', 'DEFAULTED')),
    "items" JSONB NOT NULL DEFAULT '[]',
    "total_amount" DECIMAL NOT NULL CHECK ("total_amount" >= 0),
    "deposit_amount" DECIMAL NOT NULL DEFAULT 0 CHECK ("deposit_amount" >= 0),
    "total_paid" DECIMAL NOT NULL DEFAULT 0,
    "balance_remaining" DECIMAL NOT NULL,
    "installment_amount" DECIMAL,
    "frequency" TEXT NOT NULL DEFAULT 'MONTHLY' CHECK ("frequency" IN ('DAILY', 'WEEKLY', 'FORTNIGHTLY', 'MONTHLY', 'YEARLY', 'ONCE')),
    "start_date" DATE NOT NULL,
    "due_date" DATE,
    "completed_at" DATETIME,
    "notes" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "customer_laybys_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "customer_laybys_customer_id_fkey" FOREIGN KEY ("customer_id") REFERENCES "business_customers" ("id") ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "customer_laybys_order_id_fkey" FOREIGN KEY ("order_id") REFERENCES "business_orders" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "customer_laybys_business_id_layby_number_key" ON "customer_laybys" ("business_id", "layby_number");
CREATE INDEX "customer_laybys_customer_id_idx" ON "customer_laybys" ("customer_id");
CREATE INDEX "customer_laybys_order_id_idx" ON "customer_laybys" ("order_id");

-- Instalments of a layby.
CREATE TABLE "customer_layby_payments" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "layby_id" TEXT NOT NULL,
    "received_by_id" TEXT,
    "receipt_number" TEXT NOT NULL,
    "amount" DECIMAL NOT NULL CHECK ("amount" > 0),
    "payment_method" TEXT NOT NULL DEFAULT 'CASH' CHECK ("payment_method" IN ('CASH', 'CARD', 'BANK_TRANSFER', 'MOBILE_MONEY', 'PAYROLL', 'CHEQUE')),
    "payment_date" DATETIME NOT NULL,
    "notes" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "customer_layby_payments_layby_id_fkey" FOREIGN KEY ("layby_id") REFERENCES "customer_laybys" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "customer_layby_payments_received_by_id_fkey" FOREIGN KEY ("received_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "customer_layby_payments_receipt_number_key" ON "customer_layby_payments" ("receipt_number");
CREATE INDEX "customer_layby_payments_layby_id_idx" ON "customer_layby_payments" ("layby_id");
CREATE INDEX "customer_layby_payments_received_by_id_idx" ON "customer_layby_payments" ("received_by_id");

-- Conversations, of a business or between users.
CREATE TABLE "chat_rooms" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "business_id" TEXT,
    "created_by_user_id" TEXT,
    "name" TEXT NOT NULL,
    "type" TEXT NOT NULL DEFAULT 'GROUP' CHECK ("type" IN ('DIRECT', 'GROUP', 'BUSINESS')),
    "is_archived" BOOLEAN NOT NULL DEFAULT false,
    "last_message_at" DATETIME,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "chat_rooms_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "chat_rooms_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "chat_rooms_business_id_idx" ON "chat_rooms" ("business_id");
CREATE INDEX "chat_rooms_created_by_user_id_idx" ON "chat_rooms" ("created_by_user_id");

-- Who is in a room.
CREATE TABLE "chat_participants" (
    "room_id" TEXT NOT NULL,
    "user_id" TEXT NOT NULL,
    "role" TEXT NOT NULL DEFAULT 'MEMBER' CHECK ("role" IN ('OWNER', 'MODERATOR', 'MEMBER')),
    "is_muted" BOOLEAN NOT NULL DEFAULT false,
    "joined_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "last_read_at" DATETIME,
    PRIMARY KEY ("room_id", "user_id"),
    CONSTRAINT "chat_participants_room_id_fkey" FOREIGN KEY ("room_id") REFERENCES "chat_rooms" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "chat_participants_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX "chat_participants_user_id_idx" ON "chat_participants" ("user_id");

-- What was said. A reply outlives what it replies to.
CREATE TABLE "chat_messages" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "room_id" TEXT NOT NULL,
    "sender_id" TEXT,
    "reply_to_id" TEXT,
    "type" TEXT NOT NULL DEFAULT 'TEXT' CHECK ("type" IN ('TEXT', 'IMAGE', 'FILE', 'SYSTEM')),
    "content" TEXT NOT NULL,
    "attachments" JSONB,
    "sent_at" DATETIME NOT NULL,
    "edited_at" DATETIME,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" DATETIME NOT NULL,
    CONSTRAINT "chat_messages_room_id_fkey" FOREIGN KEY ("room_id") REFERENCES "chat_rooms" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "chat_messages_sender_id_fkey" FOREIGN KEY ("sender_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "chat_messages_reply_to_id_fkey" FOREIGN KEY ("reply_to_id") REFERENCES "chat_messages" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "chat_messages_room_id_sent_at_idx" ON "chat_messages" ("room_id", "sent_at");
CREATE INDEX "chat_messages_sender_id_idx" ON "chat_messages" ("sender_id");
CREATE INDEX "chat_messages_reply_to_id_idx" ON "chat_messages" ("reply_to_id");

-- Who is logged in, on this server only.
CREATE TABLE "sessions" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "session_token" TEXT NOT NULL,
    "user_id" TEXT NOT NULL,
    "ip_address" TEXT,
    "user_agent" TEXT,
    "expires_at" DATETIME NOT NULL,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "sessions_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "sessions_session_token_key" ON "sessions" ("session_token");
CREATE INDEX "sessions_user_id_idx" ON "sessions" ("user_id");

-- Tokens of mails that are on their way.
CREATE TABLE "verification_tokens" (
    "identifier" TEXT NOT NULL,
    "token" TEXT NOT NULL,
    "expires_at" DATETIME NOT NULL,
    PRIMARY KEY ("identifier", "token")
);
CREATE UNIQUE INDEX "verification_tokens_token_key" ON "verification_tokens" ("token");

-- Who did what on this server. Numbered here, so no other server could use the numbers.
CREATE TABLE "audit_logs" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "user_id" TEXT,
    "business_id" TEXT,
    "action" TEXT NOT NULL,
    "entity_type" TEXT NOT NULL,
    "entity_id" TEXT,
    "old_values" JSONB,
    "new_values" JSONB,
    "ip_address" TEXT,
    "created_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "audit_logs_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "audit_logs_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE INDEX "audit_logs_entity_type_entity_id_idx" ON "audit_logs" ("entity_type", "entity_id");
CREATE INDEX "audit_logs_user_id_idx" ON "audit_logs" ("user_id");
CREATE INDEX "audit_logs_business_id_idx" ON "audit_logs" ("business_id");

-- Which migrations this database has had.
CREATE TABLE "_prisma_migrations" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "checksum" TEXT NOT NULL,
    "finished_at" DATETIME,
    "migration_name" TEXT NOT NULL,
    "logs" TEXT,
    "rolled_back_at" DATETIME,
    "started_at" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "applied_steps_count" INTEGER NOT NULL DEFAULT 0
);

-- Search over products, kept by the application's own triggers: local to each server, never synced itself.
-- product_id is indexed like the other columns, because an entry is found again by its phrase: a DELETE that compared
-- an UNINDEXED column would read the whole table, and rowids of a table with a text key do not survive VACUUM.
-- Search in name, sku and description with the column filter {name sku description}.
CREATE VIRTUAL TABLE "product_search" USING fts5(product_id, name, sku, description, tokenize = 'unicode61 remove_diacritics 2');

CREATE TRIGGER "business_products_search_insert" AFTER INSERT ON "business_products" BEGIN
    INSERT INTO "product_search" (product_id, name, sku, description)
    VALUES (new."id", new."name", new."sku", coalesce(new."description", ''));
END;

CREATE TRIGGER "business_products_search_update" AFTER UPDATE OF "id", "name", "sku", "description" ON "business_products" BEGIN
    DELETE FROM "product_search"
    WHERE "product_search" MATCH 'product_id:"' || replace(old."id", '"', '""') || '"' AND product_id = old."id";
    INSERT INTO "product_search" (product_id, name, sku, description)
    VALUES (new."id", new."name", new."sku", coalesce(new."description", ''));
END;

CREATE TRIGGER "business_products_search_delete" AFTER DELETE ON "business_products" BEGIN
    DELETE FROM "product_search"
    WHERE "product_search" MATCH 'product_id:"' || replace(old."id", '"', '""') || '"' AND product_id = old."id";
END;
