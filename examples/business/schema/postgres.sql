-- The schema of the application that Rowmesh was first made for, on PostgreSQL 14 or later.
-- schema/sqlite.sql is the same application on SQLite: the same tables, columns, keys, unique constraints and
-- foreign keys. Enumerations are types here; foreign keys come last, since users and businesses refer to each other.

CREATE TYPE "user_role" AS ENUM ('USER', 'MANAGER', 'ADMIN', 'SYSTEM');
CREATE TYPE "membership_role" AS ENUM ('OWNER', 'MANAGER', 'EMPLOYEE', 'ACCOUNTANT', 'VIEWER');
CREATE TYPE "business_type" AS ENUM ('CLOTHING', 'RESTAURANT', 'GROCERY', 'HARDWARE', 'CONSTRUCTION', 'TRANSPORT', 'SERVICES', 'OTHER');
CREATE TYPE "job_level" AS ENUM ('JUNIOR', 'INTERMEDIATE', 'SENIOR', 'LEAD', 'EXECUTIVE');
CREATE TYPE "compensation_kind" AS ENUM ('HOURLY', 'DAILY', 'MONTHLY', 'COMMISSION', 'PIECE_RATE');
CREATE TYPE "pay_frequency" AS ENUM ('DAILY', 'WEEKLY', 'FORTNIGHTLY', 'MONTHLY', 'YEARLY', 'ONCE');
CREATE TYPE "benefit_kind" AS ENUM ('INSURANCE', 'MEDICAL', 'PENSION', 'TRANSPORT', 'HOUSING', 'MEAL', 'EDUCATION', 'OTHER');
CREATE TYPE "fund_kind" AS ENUM ('SALARY', 'SAVINGS', 'LOAN', 'GIFT', 'BUSINESS', 'OTHER');
CREATE TYPE "project_category" AS ENUM ('RESIDENTIAL', 'COMMERCIAL', 'INFRASTRUCTURE', 'RENOVATION', 'OTHER');
CREATE TYPE "employment_status" AS ENUM ('ACTIVE', 'PROBATION', 'SUSPENDED', 'ON_LEAVE', 'TERMINATED', 'RESIGNED');
CREATE TYPE "contract_status" AS ENUM ('DRAFT', 'PENDING', 'ACTIVE', 'EXPIRED', 'TERMINATED');
CREATE TYPE "approval_status" AS ENUM ('PENDING', 'APPROVED', 'REJECTED', 'CANCELLED');
CREATE TYPE "settlement_status" AS ENUM ('ACTIVE', 'PAID', 'WRITTEN_OFF', 'DEFAULTED', 'CANCELLED');
CREATE TYPE "employee_loan_type" AS ENUM ('SALARY_ADVANCE', 'PERSONAL', 'EMERGENCY', 'EDUCATION');
CREATE TYPE "payment_method" AS ENUM ('CASH', 'CARD', 'BANK_TRANSFER', 'MOBILE_MONEY', 'PAYROLL', 'CHEQUE');
CREATE TYPE "bonus_type" AS ENUM ('PERFORMANCE', 'ANNUAL', 'REFERRAL', 'SPOT');
CREATE TYPE "deduction_type" AS ENUM ('TAX', 'DAMAGE', 'ADVANCE', 'UNIFORM', 'PENSION', 'OTHER');
CREATE TYPE "attendance_status" AS ENUM ('PRESENT', 'LATE', 'ABSENT', 'HALF_DAY', 'ON_LEAVE', 'HOLIDAY');
CREATE TYPE "leave_type" AS ENUM ('ANNUAL', 'SICK', 'MATERNITY', 'PATERNITY', 'STUDY', 'UNPAID');
CREATE TYPE "allowance_type" AS ENUM ('TRANSPORT', 'HOUSING', 'MEAL', 'PHONE', 'TOOLS');
CREATE TYPE "disciplinary_kind" AS ENUM ('VERBAL_WARNING', 'WRITTEN_WARNING', 'SUSPENSION', 'FINAL_WARNING', 'DISMISSAL');
CREATE TYPE "severity" AS ENUM ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL');
CREATE TYPE "location_type" AS ENUM ('SHOP', 'WAREHOUSE', 'SHELF', 'OFFICE', 'VEHICLE');
CREATE TYPE "customer_type" AS ENUM ('INDIVIDUAL', 'BUSINESS', 'WHOLESALE', 'WALK_IN');
CREATE TYPE "product_type" AS ENUM ('PHYSICAL', 'SERVICE', 'DIGITAL', 'COMBO');
CREATE TYPE "product_condition" AS ENUM ('NEW', 'USED', 'REFURBISHED');
CREATE TYPE "stock_movement_type" AS ENUM ('PURCHASE_RECEIVED', 'SALE', 'RETURN', 'ADJUSTMENT', 'TRANSFER', 'DAMAGE');
CREATE TYPE "order_type" AS ENUM ('SALE', 'DINE_IN', 'TAKE_AWAY', 'DELIVERY', 'ONLINE');
CREATE TYPE "order_status" AS ENUM ('DRAFT', 'CONFIRMED', 'PREPARING', 'COMPLETED', 'CANCELLED', 'REFUNDED');
CREATE TYPE "payment_status" AS ENUM ('UNPAID', 'PARTIAL', 'PAID', 'REFUNDED');
CREATE TYPE "ledger_entry_type" AS ENUM ('DEPOSIT', 'WITHDRAWAL', 'SALE', 'EXPENSE', 'TRANSFER', 'LOAN', 'ADJUSTMENT');
CREATE TYPE "vehicle_ownership" AS ENUM ('PERSONAL', 'BUSINESS', 'LEASED');
CREATE TYPE "vehicle_status" AS ENUM ('ACTIVE', 'MAINTENANCE', 'SOLD', 'RETIRED');
CREATE TYPE "fuel_type" AS ENUM ('PETROL', 'DIESEL', 'ELECTRIC', 'HYBRID', 'GAS');
CREATE TYPE "vehicle_license_type" AS ENUM ('REGISTRATION', 'RADIO', 'ROAD_USE', 'INSURANCE');
CREATE TYPE "maintenance_category" AS ENUM ('ENGINE', 'BRAKES', 'TYRES', 'BODY', 'ELECTRICAL', 'GENERAL');
CREATE TYPE "maintenance_expense_type" AS ENUM ('PART', 'LABOUR', 'CONSUMABLE', 'TOWING');
CREATE TYPE "vehicle_expense_type" AS ENUM ('FUEL', 'TOLL', 'PARKING', 'FINE', 'REPAIR', 'OTHER');
CREATE TYPE "trip_type" AS ENUM ('BUSINESS', 'PERSONAL', 'MIXED');
CREATE TYPE "authorization_level" AS ENUM ('BASIC', 'STANDARD', 'HEAVY');
CREATE TYPE "project_status" AS ENUM ('PLANNING', 'ACTIVE', 'ON_HOLD', 'COMPLETED', 'CANCELLED');
CREATE TYPE "construction_expense_type" AS ENUM ('MATERIAL', 'LABOUR', 'EQUIPMENT', 'PERMIT', 'TRANSPORT', 'OTHER');
CREATE TYPE "project_transaction_type" AS ENUM ('DEPOSIT', 'PAYMENT', 'REFUND', 'ADJUSTMENT');
CREATE TYPE "loan_transaction_type" AS ENUM ('ADVANCE', 'PAYMENT', 'INTEREST', 'FEE');
CREATE TYPE "layby_status" AS ENUM ('ACTIVE', 'COMPLETED', 'CANCELLED', 'DEFAULTED');
CREATE TYPE "chat_room_type" AS ENUM ('DIRECT', 'GROUP', 'BUSINESS');
CREATE TYPE "chat_role" AS ENUM ('OWNER', 'MODERATOR', 'MEMBER');
CREATE TYPE "message_type" AS ENUM ('TEXT', 'IMAGE', 'FILE', 'SYSTEM');
CREATE TYPE "budget_period" AS ENUM ('WEEKLY', 'MONTHLY', 'QUARTERLY', 'YEARLY');

-- What an employee is employed as.
CREATE TABLE "job_titles" (
    "id" TEXT NOT NULL,
    "title" TEXT NOT NULL,
    "description" TEXT,
    "department" TEXT,
    "level" "job_level" NOT NULL DEFAULT 'JUNIOR',
    "default_salary" NUMERIC(12,2) CHECK ("default_salary" >= 0),
    "responsibilities" JSONB NOT NULL DEFAULT '[]',
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "job_titles_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "job_titles_title_key" ON "job_titles" ("title");

-- How an employee is paid.
CREATE TABLE "compensation_types" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "kind" "compensation_kind" NOT NULL DEFAULT 'MONTHLY',
    "frequency" "pay_frequency" NOT NULL DEFAULT 'MONTHLY',
    "base_amount" NUMERIC(12,2) CHECK ("base_amount" >= 0),
    "commission_rate" NUMERIC(9,4),
    "description" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "compensation_types_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "compensation_types_name_key" ON "compensation_types" ("name");

-- What an employer can add to a salary.
CREATE TABLE "benefit_types" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "kind" "benefit_kind" NOT NULL DEFAULT 'OTHER',
    "default_amount" NUMERIC(12,2) CHECK ("default_amount" >= 0),
    "is_percentage" BOOLEAN NOT NULL DEFAULT false,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "benefit_types_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "benefit_types_name_key" ON "benefit_types" ("name");

-- How the national identity numbers of a country look.
CREATE TABLE "id_format_templates" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "country_code" TEXT NOT NULL,
    "pattern" TEXT NOT NULL,
    "example" TEXT NOT NULL,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "id_format_templates_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "id_format_templates_name_key" ON "id_format_templates" ("name");

-- How the driving licences of a country look.
CREATE TABLE "driver_license_templates" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "country_code" TEXT NOT NULL,
    "pattern" TEXT NOT NULL,
    "categories" JSONB NOT NULL DEFAULT '[]',
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "driver_license_templates_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "driver_license_templates_name_key" ON "driver_license_templates" ("name");

-- The widest grouping of expenses: household, business, vehicle, construction.
CREATE TABLE "expense_domains" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "emoji" TEXT,
    "description" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "expense_domains_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "expense_domains_name_key" ON "expense_domains" ("name");

-- The kinds of construction project.
CREATE TABLE "project_types" (
    "id" TEXT NOT NULL,
    "domain_id" TEXT,
    "name" TEXT NOT NULL,
    "category" "project_category" NOT NULL DEFAULT 'OTHER',
    "description" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "project_types_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "project_types_name_key" ON "project_types" ("name");
CREATE INDEX "project_types_domain_id_idx" ON "project_types" ("domain_id");

-- People who can log in. The business they last worked in is a pointer only: it makes no user part of that
-- business.
CREATE TABLE "users" (
    "id" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "password_hash" TEXT,
    "phone" TEXT,
    "image_url" TEXT,
    "role" "user_role" NOT NULL DEFAULT 'USER',
    "permissions" JSONB NOT NULL DEFAULT '{}',
    "locale" TEXT NOT NULL DEFAULT 'en',
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "email_verified_at" TIMESTAMPTZ,
    "last_login_at" TIMESTAMPTZ,
    "login_count" INTEGER NOT NULL DEFAULT 0,
    "failed_login_attempts" INTEGER NOT NULL DEFAULT 0,
    -- Circular with businesses.owner_user_id: both may be empty.
    "current_business_id" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "users_pkey" PRIMARY KEY ("id")
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
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "accounts_pkey" PRIMARY KEY ("provider", "provider_account_id")
);
CREATE INDEX "accounts_user_id_idx" ON "accounts" ("user_id");

-- Named sets of permissions, per kind of business.
CREATE TABLE "permission_templates" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "business_type" "business_type" NOT NULL,
    "permissions" JSONB NOT NULL DEFAULT '{}',
    "created_by_user_id" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "permission_templates_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "permission_templates_name_business_type_key" ON "permission_templates" ("name", "business_type");
CREATE INDEX "permission_templates_created_by_user_id_idx" ON "permission_templates" ("created_by_user_id");

-- Expenses by category, some of them made by users.
CREATE TABLE "expense_categories" (
    "id" TEXT NOT NULL,
    "domain_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "emoji" TEXT,
    "color" TEXT NOT NULL DEFAULT '#3B82F6',
    "is_default" BOOLEAN NOT NULL DEFAULT false,
    "created_by_user_id" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "expense_categories_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "expense_categories_domain_id_name_key" ON "expense_categories" ("domain_id", "name");
CREATE INDEX "expense_categories_created_by_user_id_idx" ON "expense_categories" ("created_by_user_id");

-- The finer division of a category.
CREATE TABLE "expense_subcategories" (
    "id" TEXT NOT NULL,
    "category_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "emoji" TEXT,
    "description" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "expense_subcategories_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "expense_subcategories_category_id_name_key" ON "expense_subcategories" ("category_id", "name");

-- Where a user's private money comes from; without a user, one that all see.
CREATE TABLE "fund_sources" (
    "id" TEXT NOT NULL,
    "user_id" TEXT,
    "name" TEXT NOT NULL,
    "kind" "fund_kind" NOT NULL DEFAULT 'OTHER',
    "balance" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "fund_sources_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "fund_sources_user_id_name_key" ON "fund_sources" ("user_id", "name");

-- The businesses that share the application. Ids are readable text in the older rows and UUIDs in the newer
-- ones.
CREATE TABLE "businesses" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "type" "business_type" NOT NULL DEFAULT 'OTHER',
    "description" TEXT,
    "address" TEXT,
    "phone" TEXT,
    "email" TEXT,
    "currency" TEXT NOT NULL DEFAULT 'USD',
    "tax_number" TEXT,
    "tax_rate" NUMERIC(9,4) NOT NULL DEFAULT 0,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "settings" JSONB NOT NULL DEFAULT '{}',
    "owner_user_id" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "businesses_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "businesses_tax_number_key" ON "businesses" ("tax_number");
CREATE INDEX "businesses_owner_user_id_idx" ON "businesses" ("owner_user_id");

-- Which user may do what in which business.
CREATE TABLE "business_memberships" (
    "user_id" TEXT NOT NULL,
    "business_id" TEXT NOT NULL,
    "role" "membership_role" NOT NULL DEFAULT 'EMPLOYEE',
    "permissions" JSONB NOT NULL DEFAULT '{}',
    "template_id" TEXT,
    "invited_by_user_id" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "joined_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "last_accessed_at" TIMESTAMPTZ,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "business_memberships_pkey" PRIMARY KEY ("user_id", "business_id")
);
CREATE INDEX "business_memberships_business_id_idx" ON "business_memberships" ("business_id");
CREATE INDEX "business_memberships_template_id_idx" ON "business_memberships" ("template_id");
CREATE INDEX "business_memberships_invited_by_user_id_idx" ON "business_memberships" ("invited_by_user_id");

-- Shops, warehouses and the shelves within them.
CREATE TABLE "business_locations" (
    "id" UUID NOT NULL,
    "business_id" TEXT NOT NULL,
    "parent_location_id" UUID,
    "code" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "type" "location_type" NOT NULL DEFAULT 'SHOP',
    "address" TEXT,
    "latitude" DOUBLE PRECISION,
    "longitude" DOUBLE PRECISION,
    "capacity" INTEGER CHECK ("capacity" >= 0),
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "business_locations_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "business_locations_business_id_code_key" ON "business_locations" ("business_id", "code");
CREATE INDEX "business_locations_parent_location_id_idx" ON "business_locations" ("parent_location_id");

-- The cash account of a business: one each, so the business is its key.
CREATE TABLE "business_accounts" (
    "business_id" TEXT NOT NULL,
    "account_number" TEXT NOT NULL,
    "balance" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "overdraft_limit" NUMERIC(12,2) NOT NULL DEFAULT 0 CHECK ("overdraft_limit" >= 0),
    "last_reconciled_at" TIMESTAMPTZ,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "business_accounts_pkey" PRIMARY KEY ("business_id")
);
CREATE UNIQUE INDEX "business_accounts_account_number_key" ON "business_accounts" ("account_number");

-- Product categories, in a tree per business.
CREATE TABLE "business_categories" (
    "id" UUID NOT NULL,
    "business_id" TEXT NOT NULL,
    "parent_id" UUID,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "emoji" TEXT,
    "color" TEXT,
    "display_order" INTEGER NOT NULL DEFAULT 0,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "business_categories_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "business_categories_business_id_name_key" ON "business_categories" ("business_id", "name");
CREATE INDEX "business_categories_parent_id_idx" ON "business_categories" ("parent_id");

-- Brands that a business sells.
CREATE TABLE "business_brands" (
    "id" UUID NOT NULL,
    "business_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "logo_url" TEXT,
    "website" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "business_brands_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "business_brands_business_id_name_key" ON "business_brands" ("business_id", "name");

-- Who a business buys from.
CREATE TABLE "business_suppliers" (
    "id" UUID NOT NULL,
    "business_id" TEXT NOT NULL,
    "supplier_number" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "contact_person" TEXT,
    "email" TEXT,
    "phone" TEXT,
    "payment_terms" TEXT,
    "credit_limit" NUMERIC(12,2) CHECK ("credit_limit" >= 0),
    "rating" DOUBLE PRECISION,
    "notes" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "business_suppliers_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "business_suppliers_business_id_supplier_number_key" ON "business_suppliers" ("business_id", "supplier_number");

-- Who a business sells to.
CREATE TABLE "business_customers" (
    "id" UUID NOT NULL,
    "business_id" TEXT NOT NULL,
    "customer_number" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "type" "customer_type" NOT NULL DEFAULT 'INDIVIDUAL',
    "email" TEXT,
    "phone" TEXT,
    "address" JSONB,
    "loyalty_points" INTEGER NOT NULL DEFAULT 0 CHECK ("loyalty_points" >= 0),
    "total_spent" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "credit_limit" NUMERIC(12,2) CHECK ("credit_limit" >= 0),
    "date_of_birth" DATE,
    "notes" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "business_customers_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "business_customers_business_id_customer_number_key" ON "business_customers" ("business_id", "customer_number");

-- People whom the application knows but who cannot log in: contractors, clients, borrowers.
CREATE TABLE "persons" (
    "id" UUID NOT NULL,
    "id_format_template_id" TEXT,
    "full_name" TEXT NOT NULL,
    "national_id" TEXT,
    "email" TEXT,
    "phone" TEXT NOT NULL,
    "address" TEXT,
    "date_of_birth" DATE,
    "notes" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "persons_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "persons_national_id_key" ON "persons" ("national_id");
CREATE INDEX "persons_id_format_template_id_idx" ON "persons" ("id_format_template_id");

-- Who works for a business. Supervisors are employees too.
CREATE TABLE "employees" (
    "id" UUID NOT NULL,
    "employee_number" TEXT NOT NULL,
    "user_id" TEXT,
    "primary_business_id" TEXT NOT NULL,
    "job_title_id" TEXT NOT NULL,
    "compensation_type_id" TEXT NOT NULL,
    "supervisor_id" UUID,
    "id_format_template_id" TEXT,
    "full_name" TEXT NOT NULL,
    "email" TEXT,
    "phone" TEXT NOT NULL,
    "national_id" TEXT NOT NULL,
    "address" TEXT,
    "date_of_birth" DATE,
    "hire_date" DATE NOT NULL,
    "termination_date" DATE,
    "employment_status" "employment_status" NOT NULL DEFAULT 'PROBATION',
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "hourly_rate" NUMERIC(12,2) CHECK ("hourly_rate" >= 0),
    "emergency_contact" JSONB,
    -- A small JPEG that is shown beside the name.
    "photo_thumbnail" BYTEA,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employees_pkey" PRIMARY KEY ("id")
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
    "id" UUID NOT NULL,
    "employee_id" UUID NOT NULL,
    "business_id" TEXT NOT NULL,
    "previous_contract_id" UUID,
    "job_title_id" TEXT NOT NULL,
    "compensation_type_id" TEXT NOT NULL,
    "contract_number" TEXT NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 1,
    "base_salary" NUMERIC(12,2) NOT NULL CHECK ("base_salary" >= 0),
    "commission_rate" NUMERIC(9,4),
    "start_date" DATE NOT NULL,
    "end_date" DATE,
    "probation_months" INTEGER CHECK ("probation_months" >= 0),
    "status" "contract_status" NOT NULL DEFAULT 'DRAFT',
    "terms" JSONB NOT NULL DEFAULT '{}',
    "signed_at" TIMESTAMPTZ,
    -- The signature as it was drawn on the screen.
    "signature_image" BYTEA,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_contracts_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "employee_contracts_contract_number_key" ON "employee_contracts" ("contract_number");
CREATE INDEX "employee_contracts_employee_id_idx" ON "employee_contracts" ("employee_id");
CREATE INDEX "employee_contracts_business_id_idx" ON "employee_contracts" ("business_id");
CREATE INDEX "employee_contracts_previous_contract_id_idx" ON "employee_contracts" ("previous_contract_id");
CREATE INDEX "employee_contracts_job_title_id_idx" ON "employee_contracts" ("job_title_id");
CREATE INDEX "employee_contracts_compensation_type_id_idx" ON "employee_contracts" ("compensation_type_id");

-- Benefits that an employee has.
CREATE TABLE "employee_benefits" (
    "id" UUID NOT NULL,
    "employee_id" UUID NOT NULL,
    "benefit_type_id" TEXT NOT NULL,
    "contract_id" UUID,
    "amount" NUMERIC(12,2) NOT NULL CHECK ("amount" >= 0),
    "is_percentage" BOOLEAN NOT NULL DEFAULT false,
    "effective_date" DATE NOT NULL,
    "end_date" DATE,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_benefits_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "employee_benefits_employee_id_benefit_type_id_effective_dat_key" ON "employee_benefits" ("employee_id", "benefit_type_id", "effective_date");
CREATE INDEX "employee_benefits_benefit_type_id_idx" ON "employee_benefits" ("benefit_type_id");
CREATE INDEX "employee_benefits_contract_id_idx" ON "employee_benefits" ("contract_id");

-- Money lent to an employee and paid back out of the salary.
CREATE TABLE "employee_loans" (
    "id" UUID NOT NULL,
    "employee_id" UUID NOT NULL,
    "approved_by_id" UUID,
    "loan_number" TEXT NOT NULL,
    "loan_type" "employee_loan_type" NOT NULL DEFAULT 'PERSONAL',
    "total_amount" NUMERIC(12,2) NOT NULL CHECK ("total_amount" >= 0),
    "remaining_balance" NUMERIC(12,2) NOT NULL CHECK ("remaining_balance" >= 0),
    "monthly_payment" NUMERIC(12,2) NOT NULL CHECK ("monthly_payment" >= 0),
    "interest_rate" NUMERIC(9,4) NOT NULL DEFAULT 0,
    "loan_date" DATE NOT NULL,
    "purpose" TEXT,
    "status" "settlement_status" NOT NULL DEFAULT 'ACTIVE',
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_loans_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "employee_loans_loan_number_key" ON "employee_loans" ("loan_number");
CREATE INDEX "employee_loans_employee_id_idx" ON "employee_loans" ("employee_id");
CREATE INDEX "employee_loans_approved_by_id_idx" ON "employee_loans" ("approved_by_id");

-- Instalments of an employee's loan.
CREATE TABLE "employee_loan_payments" (
    "id" UUID NOT NULL,
    "loan_id" UUID NOT NULL,
    "receipt_number" TEXT NOT NULL,
    "amount" NUMERIC(12,2) NOT NULL CHECK ("amount" >= 0),
    "payment_method" "payment_method" NOT NULL DEFAULT 'PAYROLL',
    "payment_date" DATE NOT NULL,
    "payroll_period" TEXT,
    "notes" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_loan_payments_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "employee_loan_payments_loan_id_receipt_number_key" ON "employee_loan_payments" ("loan_id", "receipt_number");

-- One-off payments on top of the salary.
CREATE TABLE "employee_bonuses" (
    "id" UUID NOT NULL,
    "employee_id" UUID NOT NULL,
    "approved_by_id" UUID,
    "type" "bonus_type" NOT NULL DEFAULT 'PERFORMANCE',
    "amount" NUMERIC(12,2) NOT NULL CHECK ("amount" >= 0),
    "reason" TEXT,
    "awarded_on" DATE NOT NULL,
    "is_paid" BOOLEAN NOT NULL DEFAULT false,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_bonuses_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "employee_bonuses_employee_id_idx" ON "employee_bonuses" ("employee_id");
CREATE INDEX "employee_bonuses_approved_by_id_idx" ON "employee_bonuses" ("approved_by_id");

-- What is kept back from a salary.
CREATE TABLE "employee_deductions" (
    "id" UUID NOT NULL,
    "employee_id" UUID NOT NULL,
    "approved_by_id" UUID,
    "type" "deduction_type" NOT NULL DEFAULT 'OTHER',
    "total_amount" NUMERIC(12,2) NOT NULL CHECK ("total_amount" >= 0),
    "remaining_amount" NUMERIC(12,2) NOT NULL CHECK ("remaining_amount" >= 0),
    "monthly_deduction" NUMERIC(12,2) NOT NULL CHECK ("monthly_deduction" >= 0),
    "reason" TEXT,
    "start_date" DATE NOT NULL,
    "status" "settlement_status" NOT NULL DEFAULT 'ACTIVE',
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_deductions_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "employee_deductions_employee_id_idx" ON "employee_deductions" ("employee_id");
CREATE INDEX "employee_deductions_approved_by_id_idx" ON "employee_deductions" ("approved_by_id");

-- The single amounts that were kept back.
CREATE TABLE "employee_deduction_payments" (
    "id" UUID NOT NULL,
    "deduction_id" UUID NOT NULL,
    "amount" NUMERIC(12,2) NOT NULL CHECK ("amount" >= 0),
    "payment_date" DATE NOT NULL,
    "payroll_period" TEXT,
    "notes" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_deduction_payments_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "employee_deduction_payments_deduction_id_idx" ON "employee_deduction_payments" ("deduction_id");

-- Raises, each with the salary before and after it.
CREATE TABLE "employee_salary_increases" (
    "id" UUID NOT NULL,
    "employee_id" UUID NOT NULL,
    "contract_id" UUID,
    "approved_by_id" UUID,
    "previous_salary" NUMERIC(12,2) NOT NULL CHECK ("previous_salary" >= 0),
    "new_salary" NUMERIC(12,2) NOT NULL CHECK ("new_salary" >= 0),
    "percentage" NUMERIC(9,4) NOT NULL,
    "effective_date" DATE NOT NULL,
    "reason" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_salary_increases_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "employee_salary_increases_employee_id_effective_date_key" ON "employee_salary_increases" ("employee_id", "effective_date");
CREATE INDEX "employee_salary_increases_contract_id_idx" ON "employee_salary_increases" ("contract_id");
CREATE INDEX "employee_salary_increases_approved_by_id_idx" ON "employee_salary_increases" ("approved_by_id");

-- One row per employee and day, so that a day entered twice is one row.
CREATE TABLE "employee_attendance" (
    "employee_id" UUID NOT NULL,
    "attendance_date" DATE NOT NULL,
    "check_in" TIMESTAMPTZ,
    "check_out" TIMESTAMPTZ,
    "hours_worked" DOUBLE PRECISION,
    "status" "attendance_status" NOT NULL DEFAULT 'PRESENT',
    "notes" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_attendance_pkey" PRIMARY KEY ("employee_id", "attendance_date")
);

-- Days of leave per employee, year and kind.
CREATE TABLE "employee_leave_balances" (
    "employee_id" UUID NOT NULL,
    "year" INTEGER NOT NULL,
    "leave_type" "leave_type" NOT NULL,
    "entitled_days" DOUBLE PRECISION NOT NULL DEFAULT 0,
    "used_days" DOUBLE PRECISION NOT NULL DEFAULT 0,
    "carried_over_days" DOUBLE PRECISION NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_leave_balances_pkey" PRIMARY KEY ("employee_id", "year", "leave_type")
);

-- Requests for leave and what became of them.
CREATE TABLE "employee_leave_requests" (
    "id" UUID NOT NULL,
    "employee_id" UUID NOT NULL,
    "approved_by_id" UUID,
    "leave_type" "leave_type" NOT NULL DEFAULT 'ANNUAL',
    "start_date" DATE NOT NULL,
    "end_date" DATE NOT NULL,
    "days" DOUBLE PRECISION NOT NULL,
    "reason" TEXT,
    "status" "approval_status" NOT NULL DEFAULT 'PENDING',
    "decided_at" TIMESTAMPTZ,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_leave_requests_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "employee_leave_requests_employee_id_idx" ON "employee_leave_requests" ("employee_id");
CREATE INDEX "employee_leave_requests_approved_by_id_idx" ON "employee_leave_requests" ("approved_by_id");

-- Regular additions to a salary.
CREATE TABLE "employee_allowances" (
    "id" UUID NOT NULL,
    "employee_id" UUID NOT NULL,
    "type" "allowance_type" NOT NULL DEFAULT 'TRANSPORT',
    "amount" NUMERIC(12,2) NOT NULL CHECK ("amount" >= 0),
    "frequency" "pay_frequency" NOT NULL DEFAULT 'MONTHLY',
    "effective_date" DATE NOT NULL,
    "end_date" DATE,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_allowances_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "employee_allowances_employee_id_idx" ON "employee_allowances" ("employee_id");

-- Spells of work within a day of attendance.
CREATE TABLE "employee_time_tracking" (
    "id" UUID NOT NULL,
    "employee_id" UUID NOT NULL,
    "attendance_date" DATE NOT NULL,
    "clock_in" TIMESTAMPTZ NOT NULL,
    "clock_out" TIMESTAMPTZ,
    "break_minutes" INTEGER NOT NULL DEFAULT 0 CHECK ("break_minutes" >= 0),
    "activity" TEXT,
    "latitude" DOUBLE PRECISION,
    "longitude" DOUBLE PRECISION,
    "device" JSONB,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_time_tracking_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "employee_time_tracking_employee_id_attendance_date_idx" ON "employee_time_tracking" ("employee_id", "attendance_date");

-- Further businesses that an employee works for.
CREATE TABLE "employee_business_assignments" (
    "employee_id" UUID NOT NULL,
    "business_id" TEXT NOT NULL,
    "role" TEXT,
    "start_date" DATE NOT NULL,
    "end_date" DATE,
    "is_primary" BOOLEAN NOT NULL DEFAULT false,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "assigned_by_user_id" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "employee_business_assignments_pkey" PRIMARY KEY ("employee_id", "business_id")
);
CREATE INDEX "employee_business_assignments_business_id_idx" ON "employee_business_assignments" ("business_id");
CREATE INDEX "employee_business_assignments_assigned_by_user_id_idx" ON "employee_business_assignments" ("assigned_by_user_id");

-- Warnings and what followed from them.
CREATE TABLE "disciplinary_actions" (
    "id" UUID NOT NULL,
    "employee_id" UUID NOT NULL,
    "issued_by_id" UUID,
    "kind" "disciplinary_kind" NOT NULL DEFAULT 'VERBAL_WARNING',
    "severity" "severity" NOT NULL DEFAULT 'LOW',
    "description" TEXT NOT NULL,
    "incident_date" DATE NOT NULL,
    "acknowledged_at" TIMESTAMPTZ,
    "follow_up_date" DATE,
    "is_resolved" BOOLEAN NOT NULL DEFAULT false,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "disciplinary_actions_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "disciplinary_actions_employee_id_idx" ON "disciplinary_actions" ("employee_id");
CREATE INDEX "disciplinary_actions_issued_by_id_idx" ON "disciplinary_actions" ("issued_by_id");

-- What a business sells. The three triggers at the end of this file keep product_search in step with it.
CREATE TABLE "business_products" (
    "id" UUID NOT NULL,
    "business_id" TEXT NOT NULL,
    "category_id" UUID NOT NULL,
    "brand_id" UUID,
    "supplier_id" UUID,
    "location_id" UUID,
    "sku" TEXT NOT NULL,
    "barcode" TEXT,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "type" "product_type" NOT NULL DEFAULT 'PHYSICAL',
    "condition" "product_condition" NOT NULL DEFAULT 'NEW',
    "base_price" NUMERIC(12,2) NOT NULL CHECK ("base_price" >= 0),
    "cost_price" NUMERIC(12,2) CHECK ("cost_price" >= 0),
    "tax_rate" NUMERIC(9,4) NOT NULL DEFAULT 0,
    "stock_quantity" INTEGER NOT NULL DEFAULT 0,
    "reorder_level" INTEGER NOT NULL DEFAULT 5 CHECK ("reorder_level" >= 0),
    "unit" TEXT NOT NULL DEFAULT 'each',
    "weight_kg" DOUBLE PRECISION,
    "attributes" JSONB NOT NULL DEFAULT '{}',
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "business_products_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "business_products_business_id_sku_key" ON "business_products" ("business_id", "sku");
CREATE INDEX "business_products_barcode_idx" ON "business_products" ("barcode");
CREATE INDEX "business_products_category_id_idx" ON "business_products" ("category_id");
CREATE INDEX "business_products_brand_id_idx" ON "business_products" ("brand_id");
CREATE INDEX "business_products_supplier_id_idx" ON "business_products" ("supplier_id");
CREATE INDEX "business_products_location_id_idx" ON "business_products" ("location_id");

-- Sizes and colours of a product.
CREATE TABLE "product_variants" (
    "id" UUID NOT NULL,
    "product_id" UUID NOT NULL,
    "sku" TEXT,
    "name" TEXT NOT NULL,
    "size" TEXT,
    "color" TEXT,
    "price_adjustment" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "stock_quantity" INTEGER NOT NULL DEFAULT 0,
    "attributes" JSONB NOT NULL DEFAULT '{}',
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "product_variants_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "product_variants_sku_key" ON "product_variants" ("sku");
CREATE UNIQUE INDEX "product_variants_product_id_name_key" ON "product_variants" ("product_id", "name");

-- Pictures of a product: the row names a file under the application's upload folder.
CREATE TABLE "product_images" (
    "id" UUID NOT NULL,
    "product_id" UUID NOT NULL,
    "variant_id" UUID,
    "image_path" TEXT NOT NULL,
    "alt_text" TEXT,
    "display_order" INTEGER NOT NULL DEFAULT 0,
    "is_primary" BOOLEAN NOT NULL DEFAULT false,
    "file_size_bytes" INTEGER CHECK ("file_size_bytes" >= 0),
    "width_px" INTEGER,
    "height_px" INTEGER,
    "placeholder" BYTEA,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "product_images_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "product_images_product_id_display_order_key" ON "product_images" ("product_id", "display_order");
CREATE UNIQUE INDEX "product_images_one_primary_key" ON "product_images" ("product_id") WHERE "is_primary";
CREATE INDEX "product_images_variant_id_idx" ON "product_images" ("variant_id");

-- Sales. The order number is the business's own.
CREATE TABLE "business_orders" (
    "id" UUID NOT NULL,
    "business_id" TEXT NOT NULL,
    "customer_id" UUID,
    "employee_id" UUID,
    "location_id" UUID,
    "order_number" TEXT NOT NULL,
    "type" "order_type" NOT NULL DEFAULT 'SALE',
    "status" "order_status" NOT NULL DEFAULT 'DRAFT',
    "payment_status" "payment_status" NOT NULL DEFAULT 'UNPAID',
    "payment_method" "payment_method",
    "subtotal" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "tax_amount" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "discount_amount" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "total_amount" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "notes" TEXT,
    "attributes" JSONB NOT NULL DEFAULT '{}',
    "ordered_at" TIMESTAMPTZ NOT NULL,
    "cancelled_at" TIMESTAMPTZ,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "business_orders_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "business_orders_business_id_order_number_key" ON "business_orders" ("business_id", "order_number");
CREATE INDEX "business_orders_business_id_ordered_at_idx" ON "business_orders" ("business_id", "ordered_at");
CREATE INDEX "business_orders_customer_id_idx" ON "business_orders" ("customer_id");
CREATE INDEX "business_orders_employee_id_idx" ON "business_orders" ("employee_id");
CREATE INDEX "business_orders_location_id_idx" ON "business_orders" ("location_id");

-- Lines of an order, numbered within it.
CREATE TABLE "business_order_items" (
    "order_id" UUID NOT NULL,
    "line_no" INTEGER NOT NULL,
    "product_id" UUID NOT NULL,
    "variant_id" UUID,
    "description" TEXT,
    "quantity" INTEGER NOT NULL CHECK ("quantity" > 0),
    "unit_price" NUMERIC(12,2) NOT NULL CHECK ("unit_price" >= 0),
    "discount_amount" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "total_price" NUMERIC(12,2) NOT NULL,
    "attributes" JSONB,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "business_order_items_pkey" PRIMARY KEY ("order_id", "line_no")
);
CREATE INDEX "business_order_items_product_id_idx" ON "business_order_items" ("product_id");
CREATE INDEX "business_order_items_variant_id_idx" ON "business_order_items" ("variant_id");

-- Every change of a product's stock, with its cause.
CREATE TABLE "business_stock_movements" (
    "id" UUID NOT NULL,
    "business_id" TEXT NOT NULL,
    "product_id" UUID NOT NULL,
    "variant_id" UUID,
    "order_id" UUID,
    "employee_id" UUID,
    "type" "stock_movement_type" NOT NULL,
    "quantity" INTEGER NOT NULL,
    "unit_cost" NUMERIC(12,2),
    "reference" TEXT,
    "reason" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "business_stock_movements_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "business_stock_movements_business_id_idx" ON "business_stock_movements" ("business_id");
CREATE INDEX "business_stock_movements_product_id_idx" ON "business_stock_movements" ("product_id");
CREATE INDEX "business_stock_movements_variant_id_idx" ON "business_stock_movements" ("variant_id");
CREATE INDEX "business_stock_movements_order_id_idx" ON "business_stock_movements" ("order_id");
CREATE INDEX "business_stock_movements_employee_id_idx" ON "business_stock_movements" ("employee_id");

-- Entries in the account of a business.
CREATE TABLE "business_transactions" (
    "id" UUID NOT NULL,
    "business_id" TEXT NOT NULL,
    "order_id" UUID,
    "created_by_user_id" TEXT,
    "type" "ledger_entry_type" NOT NULL,
    "amount" NUMERIC(12,2) NOT NULL,
    "balance_after" NUMERIC(12,2) NOT NULL,
    "description" TEXT NOT NULL,
    "reference" TEXT,
    "transaction_date" TIMESTAMPTZ NOT NULL,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "business_transactions_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "business_transactions_business_id_idx" ON "business_transactions" ("business_id");
CREATE INDEX "business_transactions_order_id_idx" ON "business_transactions" ("order_id");
CREATE INDEX "business_transactions_created_by_user_id_idx" ON "business_transactions" ("created_by_user_id");

-- Cars and trucks, of a business or of a user.
CREATE TABLE "vehicles" (
    "id" UUID NOT NULL,
    "business_id" TEXT,
    "user_id" TEXT,
    "license_plate" TEXT NOT NULL,
    "vin" TEXT,
    "make" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "year" INTEGER NOT NULL,
    "color" TEXT,
    "ownership" "vehicle_ownership" NOT NULL DEFAULT 'BUSINESS',
    "status" "vehicle_status" NOT NULL DEFAULT 'ACTIVE',
    "fuel" "fuel_type" NOT NULL DEFAULT 'PETROL',
    "mileage_km" INTEGER NOT NULL DEFAULT 0 CHECK ("mileage_km" >= 0),
    "purchase_price" NUMERIC(12,2) CHECK ("purchase_price" >= 0),
    "purchase_date" DATE,
    "insurance_expires_on" DATE,
    "notes" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "vehicles_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "vehicles_license_plate_key" ON "vehicles" ("license_plate");
CREATE UNIQUE INDEX "vehicles_vin_key" ON "vehicles" ("vin");
CREATE INDEX "vehicles_business_id_idx" ON "vehicles" ("business_id");
CREATE INDEX "vehicles_user_id_idx" ON "vehicles" ("user_id");

-- Who may drive: an employee, a user, or someone who is neither.
CREATE TABLE "vehicle_drivers" (
    "id" UUID NOT NULL,
    "employee_id" UUID,
    "user_id" TEXT,
    "license_template_id" TEXT,
    "full_name" TEXT NOT NULL,
    "license_number" TEXT NOT NULL,
    "license_expires_on" DATE NOT NULL,
    "phone" TEXT NOT NULL,
    "email" TEXT,
    "date_of_birth" DATE,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "vehicle_drivers_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "vehicle_drivers_user_id_key" ON "vehicle_drivers" ("user_id");
CREATE UNIQUE INDEX "vehicle_drivers_license_number_key" ON "vehicle_drivers" ("license_number");
CREATE INDEX "vehicle_drivers_employee_id_idx" ON "vehicle_drivers" ("employee_id");
CREATE INDEX "vehicle_drivers_license_template_id_idx" ON "vehicle_drivers" ("license_template_id");

-- Which driver may drive which vehicle.
CREATE TABLE "driver_authorizations" (
    "driver_id" UUID NOT NULL,
    "vehicle_id" UUID NOT NULL,
    "level" "authorization_level" NOT NULL DEFAULT 'BASIC',
    "authorized_by_user_id" TEXT,
    "valid_from" DATE NOT NULL,
    "valid_until" DATE,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "notes" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "driver_authorizations_pkey" PRIMARY KEY ("driver_id", "vehicle_id")
);
CREATE INDEX "driver_authorizations_vehicle_id_idx" ON "driver_authorizations" ("vehicle_id");
CREATE INDEX "driver_authorizations_authorized_by_user_id_idx" ON "driver_authorizations" ("authorized_by_user_id");

-- Papers of a vehicle that run out.
CREATE TABLE "vehicle_licenses" (
    "id" UUID NOT NULL,
    "vehicle_id" UUID NOT NULL,
    "type" "vehicle_license_type" NOT NULL DEFAULT 'REGISTRATION',
    "license_number" TEXT NOT NULL,
    "issued_on" DATE NOT NULL,
    "expires_on" DATE NOT NULL,
    "authority" TEXT,
    "fee" NUMERIC(12,2) CHECK ("fee" >= 0),
    "document_path" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "vehicle_licenses_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "vehicle_licenses_vehicle_id_type_license_number_key" ON "vehicle_licenses" ("vehicle_id", "type", "license_number");

-- Journeys, with the mileage before and after.
CREATE TABLE "vehicle_trips" (
    "id" UUID NOT NULL,
    "vehicle_id" UUID NOT NULL,
    "driver_id" UUID NOT NULL,
    "business_id" TEXT,
    "type" "trip_type" NOT NULL DEFAULT 'BUSINESS',
    "purpose" TEXT,
    "start_location" TEXT NOT NULL,
    "end_location" TEXT,
    "start_time" TIMESTAMPTZ NOT NULL,
    "end_time" TIMESTAMPTZ,
    "start_mileage_km" INTEGER NOT NULL CHECK ("start_mileage_km" >= 0),
    "end_mileage_km" INTEGER,
    "distance_km" DOUBLE PRECISION,
    "waypoints" JSONB,
    -- The track as packed coordinates.
    "gps_track" BYTEA,
    "is_completed" BOOLEAN NOT NULL DEFAULT false,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "vehicle_trips_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "vehicle_trips_vehicle_id_idx" ON "vehicle_trips" ("vehicle_id");
CREATE INDEX "vehicle_trips_driver_id_idx" ON "vehicle_trips" ("driver_id");
CREATE INDEX "vehicle_trips_business_id_idx" ON "vehicle_trips" ("business_id");

-- Fuel, tolls, fines.
CREATE TABLE "vehicle_expenses" (
    "id" UUID NOT NULL,
    "vehicle_id" UUID NOT NULL,
    "trip_id" UUID,
    "business_id" TEXT,
    "subcategory_id" TEXT,
    "created_by_user_id" TEXT,
    "type" "vehicle_expense_type" NOT NULL DEFAULT 'FUEL',
    "amount" NUMERIC(12,2) NOT NULL CHECK ("amount" >= 0),
    "fuel_litres" DOUBLE PRECISION,
    "mileage_km" INTEGER,
    "expense_date" DATE NOT NULL,
    "description" TEXT,
    "receipt_path" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "vehicle_expenses_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "vehicle_expenses_vehicle_id_idx" ON "vehicle_expenses" ("vehicle_id");
CREATE INDEX "vehicle_expenses_trip_id_idx" ON "vehicle_expenses" ("trip_id");
CREATE INDEX "vehicle_expenses_business_id_idx" ON "vehicle_expenses" ("business_id");
CREATE INDEX "vehicle_expenses_subcategory_id_idx" ON "vehicle_expenses" ("subcategory_id");
CREATE INDEX "vehicle_expenses_created_by_user_id_idx" ON "vehicle_expenses" ("created_by_user_id");

-- Visits to the workshop.
CREATE TABLE "vehicle_maintenance_records" (
    "id" UUID NOT NULL,
    "vehicle_id" UUID NOT NULL,
    "created_by_user_id" TEXT,
    "service_date" DATE NOT NULL,
    "mileage_km" INTEGER NOT NULL CHECK ("mileage_km" >= 0),
    "provider" TEXT NOT NULL,
    "total_cost" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "next_service_date" DATE,
    "next_service_mileage_km" INTEGER,
    "warranty_until" DATE,
    "notes" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "vehicle_maintenance_records_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "vehicle_maintenance_records_vehicle_id_idx" ON "vehicle_maintenance_records" ("vehicle_id");
CREATE INDEX "vehicle_maintenance_records_created_by_user_id_idx" ON "vehicle_maintenance_records" ("created_by_user_id");

-- What was done on one visit.
CREATE TABLE "vehicle_maintenance_services" (
    "id" UUID NOT NULL,
    "record_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "category" "maintenance_category" NOT NULL DEFAULT 'GENERAL',
    "cost" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "notes" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "vehicle_maintenance_services_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "vehicle_maintenance_services_record_id_idx" ON "vehicle_maintenance_services" ("record_id");

-- Parts and labour of one service.
CREATE TABLE "vehicle_maintenance_service_expenses" (
    "id" UUID NOT NULL,
    "service_id" UUID NOT NULL,
    "type" "maintenance_expense_type" NOT NULL DEFAULT 'PART',
    "description" TEXT NOT NULL,
    "quantity" DOUBLE PRECISION NOT NULL DEFAULT 1,
    "unit_cost" NUMERIC(12,2) NOT NULL CHECK ("unit_cost" >= 0),
    "total_cost" NUMERIC(12,2) NOT NULL CHECK ("total_cost" >= 0),
    "receipt_path" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "vehicle_maintenance_service_expenses_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "vehicle_maintenance_service_expenses_service_id_idx" ON "vehicle_maintenance_service_expenses" ("service_id");

-- Money owed to a user for driving.
CREATE TABLE "vehicle_reimbursements" (
    "id" UUID NOT NULL,
    "vehicle_id" UUID NOT NULL,
    "user_id" TEXT NOT NULL,
    "business_id" TEXT,
    "trip_id" UUID,
    "period" TEXT NOT NULL,
    "distance_km" DOUBLE PRECISION NOT NULL,
    "rate_per_km" NUMERIC(9,4) NOT NULL,
    "amount" NUMERIC(12,2) NOT NULL CHECK ("amount" >= 0),
    "status" "approval_status" NOT NULL DEFAULT 'PENDING',
    "approved_by_user_id" TEXT,
    "paid_at" TIMESTAMPTZ,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "vehicle_reimbursements_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "vehicle_reimbursements_vehicle_id_idx" ON "vehicle_reimbursements" ("vehicle_id");
CREATE INDEX "vehicle_reimbursements_user_id_idx" ON "vehicle_reimbursements" ("user_id");
CREATE INDEX "vehicle_reimbursements_business_id_idx" ON "vehicle_reimbursements" ("business_id");
CREATE INDEX "vehicle_reimbursements_trip_id_idx" ON "vehicle_reimbursements" ("trip_id");
CREATE INDEX "vehicle_reimbursements_approved_by_user_id_idx" ON "vehicle_reimbursements" ("approved_by_user_id");

-- Building sites, of a business or private.
CREATE TABLE "construction_projects" (
    "id" UUID NOT NULL,
    "business_id" TEXT,
    "project_type_id" TEXT NOT NULL,
    "client_id" UUID,
    "manager_id" UUID,
    "created_by_user_id" TEXT,
    "code" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "address" TEXT,
    "budget" NUMERIC(12,2) NOT NULL DEFAULT 0 CHECK ("budget" >= 0),
    "spent_amount" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "status" "project_status" NOT NULL DEFAULT 'PLANNING',
    "start_date" DATE,
    "end_date" DATE,
    "completion_percent" DOUBLE PRECISION NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "construction_projects_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "construction_projects_code_key" ON "construction_projects" ("code");
CREATE INDEX "construction_projects_business_id_idx" ON "construction_projects" ("business_id");
CREATE INDEX "construction_projects_project_type_id_idx" ON "construction_projects" ("project_type_id");
CREATE INDEX "construction_projects_client_id_idx" ON "construction_projects" ("client_id");
CREATE INDEX "construction_projects_manager_id_idx" ON "construction_projects" ("manager_id");
CREATE INDEX "construction_projects_created_by_user_id_idx" ON "construction_projects" ("created_by_user_id");

-- Persons who work on a project.
CREATE TABLE "project_contractors" (
    "id" UUID NOT NULL,
    "project_id" UUID NOT NULL,
    "person_id" UUID NOT NULL,
    "role" TEXT,
    "daily_rate" NUMERIC(12,2) CHECK ("daily_rate" >= 0),
    "agreed_amount" NUMERIC(12,2) CHECK ("agreed_amount" >= 0),
    "is_primary" BOOLEAN NOT NULL DEFAULT false,
    "status" "approval_status" NOT NULL DEFAULT 'PENDING',
    "notes" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "project_contractors_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "project_contractors_project_id_person_id_key" ON "project_contractors" ("project_id", "person_id");
CREATE INDEX "project_contractors_person_id_idx" ON "project_contractors" ("person_id");

-- Stages of a project in their order.
CREATE TABLE "project_stages" (
    "id" UUID NOT NULL,
    "project_id" UUID NOT NULL,
    "predecessor_stage_id" UUID,
    "position" INTEGER NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "status" "project_status" NOT NULL DEFAULT 'PLANNING',
    "budget" NUMERIC(12,2) CHECK ("budget" >= 0),
    "start_date" DATE,
    "end_date" DATE,
    "completed_at" TIMESTAMPTZ,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "project_stages_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "project_stages_project_id_position_key" ON "project_stages" ("project_id", "position");
CREATE INDEX "project_stages_predecessor_stage_id_idx" ON "project_stages" ("predecessor_stage_id");

-- Who works on which stage, for how much.
CREATE TABLE "stage_contractor_assignments" (
    "stage_id" UUID NOT NULL,
    "contractor_id" UUID NOT NULL,
    "agreed_amount" NUMERIC(12,2) NOT NULL DEFAULT 0 CHECK ("agreed_amount" >= 0),
    "deposit_amount" NUMERIC(12,2) NOT NULL DEFAULT 0 CHECK ("deposit_amount" >= 0),
    "is_deposit_paid" BOOLEAN NOT NULL DEFAULT false,
    "start_date" DATE,
    "end_date" DATE,
    "notes" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "stage_contractor_assignments_pkey" PRIMARY KEY ("stage_id", "contractor_id")
);
CREATE INDEX "stage_contractor_assignments_contractor_id_idx" ON "stage_contractor_assignments" ("contractor_id");

-- What a project has cost.
CREATE TABLE "construction_expenses" (
    "id" UUID NOT NULL,
    "project_id" UUID NOT NULL,
    "stage_id" UUID,
    "contractor_id" UUID,
    "subcategory_id" TEXT,
    "paid_by_user_id" TEXT,
    "type" "construction_expense_type" NOT NULL DEFAULT 'MATERIAL',
    "amount" NUMERIC(12,2) NOT NULL CHECK ("amount" >= 0),
    "quantity" DOUBLE PRECISION,
    "unit" TEXT,
    "description" TEXT NOT NULL,
    "expense_date" DATE NOT NULL,
    "receipt_path" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "construction_expenses_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "construction_expenses_project_id_idx" ON "construction_expenses" ("project_id");
CREATE INDEX "construction_expenses_stage_id_idx" ON "construction_expenses" ("stage_id");
CREATE INDEX "construction_expenses_contractor_id_idx" ON "construction_expenses" ("contractor_id");
CREATE INDEX "construction_expenses_subcategory_id_idx" ON "construction_expenses" ("subcategory_id");
CREATE INDEX "construction_expenses_paid_by_user_id_idx" ON "construction_expenses" ("paid_by_user_id");

-- Money that moved in a project.
CREATE TABLE "project_transactions" (
    "id" UUID NOT NULL,
    "project_id" UUID NOT NULL,
    "stage_id" UUID,
    "contractor_id" UUID,
    "expense_id" UUID,
    "type" "project_transaction_type" NOT NULL DEFAULT 'PAYMENT',
    "amount" NUMERIC(12,2) NOT NULL,
    "payment_method" "payment_method" NOT NULL DEFAULT 'CASH',
    "reference_number" TEXT NOT NULL,
    "status" "approval_status" NOT NULL DEFAULT 'PENDING',
    "approved_by_user_id" TEXT,
    "transaction_date" TIMESTAMPTZ NOT NULL,
    "notes" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "project_transactions_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "project_transactions_reference_number_key" ON "project_transactions" ("reference_number");
CREATE INDEX "project_transactions_project_id_idx" ON "project_transactions" ("project_id");
CREATE INDEX "project_transactions_stage_id_idx" ON "project_transactions" ("stage_id");
CREATE INDEX "project_transactions_contractor_id_idx" ON "project_transactions" ("contractor_id");
CREATE INDEX "project_transactions_expense_id_idx" ON "project_transactions" ("expense_id");
CREATE INDEX "project_transactions_approved_by_user_id_idx" ON "project_transactions" ("approved_by_user_id");

-- What a user means to spend.
CREATE TABLE "personal_budgets" (
    "id" UUID NOT NULL,
    "user_id" TEXT NOT NULL,
    "category_id" TEXT,
    "fund_source_id" TEXT,
    "name" TEXT NOT NULL,
    "period" "budget_period" NOT NULL DEFAULT 'MONTHLY',
    "limit_amount" NUMERIC(12,2) NOT NULL CHECK ("limit_amount" >= 0),
    "spent_amount" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "starts_on" DATE NOT NULL,
    "ends_on" DATE,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "personal_budgets_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "personal_budgets_user_id_name_starts_on_key" ON "personal_budgets" ("user_id", "name", "starts_on");
CREATE INDEX "personal_budgets_category_id_idx" ON "personal_budgets" ("category_id");
CREATE INDEX "personal_budgets_fund_source_id_idx" ON "personal_budgets" ("fund_source_id");

-- What a user has spent, sometimes on a building site.
CREATE TABLE "personal_expenses" (
    "id" UUID NOT NULL,
    "user_id" TEXT NOT NULL,
    "category_id" TEXT NOT NULL,
    "subcategory_id" TEXT,
    "budget_id" UUID,
    "fund_source_id" TEXT,
    "project_id" UUID,
    "amount" NUMERIC(12,2) NOT NULL CHECK ("amount" >= 0),
    "description" TEXT NOT NULL,
    "expense_date" DATE NOT NULL,
    "payment_method" "payment_method" NOT NULL DEFAULT 'CASH',
    "tags" JSONB NOT NULL DEFAULT '[]',
    "receipt_path" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "personal_expenses_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "personal_expenses_user_id_idx" ON "personal_expenses" ("user_id");
CREATE INDEX "personal_expenses_category_id_idx" ON "personal_expenses" ("category_id");
CREATE INDEX "personal_expenses_subcategory_id_idx" ON "personal_expenses" ("subcategory_id");
CREATE INDEX "personal_expenses_budget_id_idx" ON "personal_expenses" ("budget_id");
CREATE INDEX "personal_expenses_fund_source_id_idx" ON "personal_expenses" ("fund_source_id");
CREATE INDEX "personal_expenses_project_id_idx" ON "personal_expenses" ("project_id");

-- Money that one business lends to another, or to a person.
CREATE TABLE "inter_business_loans" (
    "id" UUID NOT NULL,
    "loan_number" TEXT NOT NULL,
    "lender_business_id" TEXT NOT NULL,
    "borrower_business_id" TEXT,
    "borrower_person_id" UUID,
    "approved_by_user_id" TEXT,
    "principal_amount" NUMERIC(12,2) NOT NULL CHECK ("principal_amount" >= 0),
    "remaining_balance" NUMERIC(12,2) NOT NULL,
    "interest_rate" NUMERIC(9,4) NOT NULL DEFAULT 0,
    "loan_date" DATE NOT NULL,
    "due_date" DATE,
    "terms" TEXT,
    "status" "settlement_status" NOT NULL DEFAULT 'ACTIVE',
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "inter_business_loans_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "inter_business_loans_loan_number_key" ON "inter_business_loans" ("loan_number");
CREATE INDEX "inter_business_loans_lender_business_id_idx" ON "inter_business_loans" ("lender_business_id");
CREATE INDEX "inter_business_loans_borrower_business_id_idx" ON "inter_business_loans" ("borrower_business_id");
CREATE INDEX "inter_business_loans_borrower_person_id_idx" ON "inter_business_loans" ("borrower_person_id");
CREATE INDEX "inter_business_loans_approved_by_user_id_idx" ON "inter_business_loans" ("approved_by_user_id");

-- Advances and repayments of a loan between businesses.
CREATE TABLE "loan_transactions" (
    "id" UUID NOT NULL,
    "loan_id" UUID NOT NULL,
    "recorded_by_user_id" TEXT,
    "type" "loan_transaction_type" NOT NULL DEFAULT 'PAYMENT',
    "amount" NUMERIC(12,2) NOT NULL CHECK ("amount" >= 0),
    "balance_after" NUMERIC(12,2) NOT NULL,
    "payment_method" "payment_method" NOT NULL DEFAULT 'BANK_TRANSFER',
    "reference" TEXT,
    "transaction_date" TIMESTAMPTZ NOT NULL,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "loan_transactions_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "loan_transactions_loan_id_idx" ON "loan_transactions" ("loan_id");
CREATE INDEX "loan_transactions_recorded_by_user_id_idx" ON "loan_transactions" ("recorded_by_user_id");

-- Goods kept for a customer until they are paid off.
CREATE TABLE "customer_laybys" (
    "id" UUID NOT NULL,
    "business_id" TEXT NOT NULL,
    "customer_id" UUID NOT NULL,
    "order_id" UUID,
    "layby_number" TEXT NOT NULL,
    "status" "layby_status" NOT NULL DEFAULT 'ACTIVE',
    "items" JSONB NOT NULL DEFAULT '[]',
    "total_amount" NUMERIC(12,2) NOT NULL CHECK ("total_amount" >= 0),
    "deposit_amount" NUMERIC(12,2) NOT NULL DEFAULT 0 CHECK ("deposit_amount" >= 0),
    "total_paid" NUMERIC(12,2) NOT NULL DEFAULT 0,
    "balance_remaining" NUMERIC(12,2) NOT NULL,
    "installment_amount" NUMERIC(12,2),
    "frequency" "pay_frequency" NOT NULL DEFAULT 'MONTHLY',
    "start_date" DATE NOT NULL,
    "due_date" DATE,
    "completed_at" TIMESTAMPTZ,
    "notes" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "customer_laybys_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "customer_laybys_business_id_layby_number_key" ON "customer_laybys" ("business_id", "layby_number");
CREATE INDEX "customer_laybys_customer_id_idx" ON "customer_laybys" ("customer_id");
CREATE INDEX "customer_laybys_order_id_idx" ON "customer_laybys" ("order_id");

-- Instalments of a layby.
CREATE TABLE "customer_layby_payments" (
    "id" UUID NOT NULL,
    "layby_id" UUID NOT NULL,
    "received_by_id" UUID,
    "receipt_number" TEXT NOT NULL,
    "amount" NUMERIC(12,2) NOT NULL CHECK ("amount" > 0),
    "payment_method" "payment_method" NOT NULL DEFAULT 'CASH',
    "payment_date" TIMESTAMPTZ NOT NULL,
    "notes" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "customer_layby_payments_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "customer_layby_payments_receipt_number_key" ON "customer_layby_payments" ("receipt_number");
CREATE INDEX "customer_layby_payments_layby_id_idx" ON "customer_layby_payments" ("layby_id");
CREATE INDEX "customer_layby_payments_received_by_id_idx" ON "customer_layby_payments" ("received_by_id");

-- Conversations, of a business or between users.
CREATE TABLE "chat_rooms" (
    "id" UUID NOT NULL,
    "business_id" TEXT,
    "created_by_user_id" TEXT,
    "name" TEXT NOT NULL,
    "type" "chat_room_type" NOT NULL DEFAULT 'GROUP',
    "is_archived" BOOLEAN NOT NULL DEFAULT false,
    "last_message_at" TIMESTAMPTZ,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "chat_rooms_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "chat_rooms_business_id_idx" ON "chat_rooms" ("business_id");
CREATE INDEX "chat_rooms_created_by_user_id_idx" ON "chat_rooms" ("created_by_user_id");

-- Who is in a room.
CREATE TABLE "chat_participants" (
    "room_id" UUID NOT NULL,
    "user_id" TEXT NOT NULL,
    "role" "chat_role" NOT NULL DEFAULT 'MEMBER',
    "is_muted" BOOLEAN NOT NULL DEFAULT false,
    "joined_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "last_read_at" TIMESTAMPTZ,
    CONSTRAINT "chat_participants_pkey" PRIMARY KEY ("room_id", "user_id")
);
CREATE INDEX "chat_participants_user_id_idx" ON "chat_participants" ("user_id");

-- What was said. A reply outlives what it replies to.
CREATE TABLE "chat_messages" (
    "id" UUID NOT NULL,
    "room_id" UUID NOT NULL,
    "sender_id" TEXT,
    "reply_to_id" UUID,
    "type" "message_type" NOT NULL DEFAULT 'TEXT',
    "content" TEXT NOT NULL,
    "attachments" JSONB,
    "sent_at" TIMESTAMPTZ NOT NULL,
    "edited_at" TIMESTAMPTZ,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "chat_messages_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "chat_messages_room_id_sent_at_idx" ON "chat_messages" ("room_id", "sent_at");
CREATE INDEX "chat_messages_sender_id_idx" ON "chat_messages" ("sender_id");
CREATE INDEX "chat_messages_reply_to_id_idx" ON "chat_messages" ("reply_to_id");

-- Who is logged in, on this server only.
CREATE TABLE "sessions" (
    "id" TEXT NOT NULL,
    "session_token" TEXT NOT NULL,
    "user_id" TEXT NOT NULL,
    "ip_address" TEXT,
    "user_agent" TEXT,
    "expires_at" TIMESTAMPTZ NOT NULL,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "sessions_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "sessions_session_token_key" ON "sessions" ("session_token");
CREATE INDEX "sessions_user_id_idx" ON "sessions" ("user_id");

-- Tokens of mails that are on their way.
CREATE TABLE "verification_tokens" (
    "identifier" TEXT NOT NULL,
    "token" TEXT NOT NULL,
    "expires_at" TIMESTAMPTZ NOT NULL,
    CONSTRAINT "verification_tokens_pkey" PRIMARY KEY ("identifier", "token")
);
CREATE UNIQUE INDEX "verification_tokens_token_key" ON "verification_tokens" ("token");

-- Who did what on this server. Numbered here, so no other server could use the numbers.
CREATE TABLE "audit_logs" (
    "id" BIGINT GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    "user_id" TEXT,
    "business_id" TEXT,
    "action" TEXT NOT NULL,
    "entity_type" TEXT NOT NULL,
    "entity_id" TEXT,
    "old_values" JSONB,
    "new_values" JSONB,
    "ip_address" TEXT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "audit_logs_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "audit_logs_entity_type_entity_id_idx" ON "audit_logs" ("entity_type", "entity_id");
CREATE INDEX "audit_logs_user_id_idx" ON "audit_logs" ("user_id");
CREATE INDEX "audit_logs_business_id_idx" ON "audit_logs" ("business_id");

-- Which migrations this database has had.
CREATE TABLE "_prisma_migrations" (
    "id" TEXT NOT NULL,
    "checksum" TEXT NOT NULL,
    "finished_at" TIMESTAMPTZ,
    "migration_name" TEXT NOT NULL,
    "logs" TEXT,
    "rolled_back_at" TIMESTAMPTZ,
    "started_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "applied_steps_count" INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT "_prisma_migrations_pkey" PRIMARY KEY ("id")
);

-- Search over products: an index over an expression does here what product_search does in SQLite.
CREATE INDEX "business_products_search_idx" ON "business_products" USING gin (to_tsvector('simple', "name" || ' ' || "sku" || ' ' || coalesce("description", '')));

-- Foreign keys.
ALTER TABLE "project_types" ADD CONSTRAINT "project_types_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "expense_domains" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "users" ADD CONSTRAINT "users_current_business_id_fkey" FOREIGN KEY ("current_business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "accounts" ADD CONSTRAINT "accounts_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "permission_templates" ADD CONSTRAINT "permission_templates_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "expense_categories" ADD CONSTRAINT "expense_categories_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "expense_domains" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "expense_categories" ADD CONSTRAINT "expense_categories_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "expense_subcategories" ADD CONSTRAINT "expense_subcategories_category_id_fkey" FOREIGN KEY ("category_id") REFERENCES "expense_categories" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "fund_sources" ADD CONSTRAINT "fund_sources_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "businesses" ADD CONSTRAINT "businesses_owner_user_id_fkey" FOREIGN KEY ("owner_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_memberships" ADD CONSTRAINT "business_memberships_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "business_memberships" ADD CONSTRAINT "business_memberships_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "business_memberships" ADD CONSTRAINT "business_memberships_template_id_fkey" FOREIGN KEY ("template_id") REFERENCES "permission_templates" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_memberships" ADD CONSTRAINT "business_memberships_invited_by_user_id_fkey" FOREIGN KEY ("invited_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_locations" ADD CONSTRAINT "business_locations_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "business_locations" ADD CONSTRAINT "business_locations_parent_location_id_fkey" FOREIGN KEY ("parent_location_id") REFERENCES "business_locations" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_accounts" ADD CONSTRAINT "business_accounts_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "business_categories" ADD CONSTRAINT "business_categories_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "business_categories" ADD CONSTRAINT "business_categories_parent_id_fkey" FOREIGN KEY ("parent_id") REFERENCES "business_categories" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_brands" ADD CONSTRAINT "business_brands_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "business_suppliers" ADD CONSTRAINT "business_suppliers_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "business_customers" ADD CONSTRAINT "business_customers_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "persons" ADD CONSTRAINT "persons_id_format_template_id_fkey" FOREIGN KEY ("id_format_template_id") REFERENCES "id_format_templates" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "employees" ADD CONSTRAINT "employees_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "employees" ADD CONSTRAINT "employees_primary_business_id_fkey" FOREIGN KEY ("primary_business_id") REFERENCES "businesses" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "employees" ADD CONSTRAINT "employees_job_title_id_fkey" FOREIGN KEY ("job_title_id") REFERENCES "job_titles" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "employees" ADD CONSTRAINT "employees_compensation_type_id_fkey" FOREIGN KEY ("compensation_type_id") REFERENCES "compensation_types" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "employees" ADD CONSTRAINT "employees_supervisor_id_fkey" FOREIGN KEY ("supervisor_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "employees" ADD CONSTRAINT "employees_id_format_template_id_fkey" FOREIGN KEY ("id_format_template_id") REFERENCES "id_format_templates" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "employee_contracts" ADD CONSTRAINT "employee_contracts_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_contracts" ADD CONSTRAINT "employee_contracts_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "employee_contracts" ADD CONSTRAINT "employee_contracts_previous_contract_id_fkey" FOREIGN KEY ("previous_contract_id") REFERENCES "employee_contracts" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "employee_contracts" ADD CONSTRAINT "employee_contracts_job_title_id_fkey" FOREIGN KEY ("job_title_id") REFERENCES "job_titles" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "employee_contracts" ADD CONSTRAINT "employee_contracts_compensation_type_id_fkey" FOREIGN KEY ("compensation_type_id") REFERENCES "compensation_types" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "employee_benefits" ADD CONSTRAINT "employee_benefits_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_benefits" ADD CONSTRAINT "employee_benefits_benefit_type_id_fkey" FOREIGN KEY ("benefit_type_id") REFERENCES "benefit_types" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "employee_benefits" ADD CONSTRAINT "employee_benefits_contract_id_fkey" FOREIGN KEY ("contract_id") REFERENCES "employee_contracts" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "employee_loans" ADD CONSTRAINT "employee_loans_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_loans" ADD CONSTRAINT "employee_loans_approved_by_id_fkey" FOREIGN KEY ("approved_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "employee_loan_payments" ADD CONSTRAINT "employee_loan_payments_loan_id_fkey" FOREIGN KEY ("loan_id") REFERENCES "employee_loans" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_bonuses" ADD CONSTRAINT "employee_bonuses_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_bonuses" ADD CONSTRAINT "employee_bonuses_approved_by_id_fkey" FOREIGN KEY ("approved_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "employee_deductions" ADD CONSTRAINT "employee_deductions_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_deductions" ADD CONSTRAINT "employee_deductions_approved_by_id_fkey" FOREIGN KEY ("approved_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "employee_deduction_payments" ADD CONSTRAINT "employee_deduction_payments_deduction_id_fkey" FOREIGN KEY ("deduction_id") REFERENCES "employee_deductions" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_salary_increases" ADD CONSTRAINT "employee_salary_increases_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_salary_increases" ADD CONSTRAINT "employee_salary_increases_contract_id_fkey" FOREIGN KEY ("contract_id") REFERENCES "employee_contracts" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "employee_salary_increases" ADD CONSTRAINT "employee_salary_increases_approved_by_id_fkey" FOREIGN KEY ("approved_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "employee_attendance" ADD CONSTRAINT "employee_attendance_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_leave_balances" ADD CONSTRAINT "employee_leave_balances_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_leave_requests" ADD CONSTRAINT "employee_leave_requests_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_leave_requests" ADD CONSTRAINT "employee_leave_requests_approved_by_id_fkey" FOREIGN KEY ("approved_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "employee_allowances" ADD CONSTRAINT "employee_allowances_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_time_tracking" ADD CONSTRAINT "employee_time_tracking_employee_id_attendance_date_fkey" FOREIGN KEY ("employee_id", "attendance_date") REFERENCES "employee_attendance" ("employee_id", "attendance_date") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_business_assignments" ADD CONSTRAINT "employee_business_assignments_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_business_assignments" ADD CONSTRAINT "employee_business_assignments_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "employee_business_assignments" ADD CONSTRAINT "employee_business_assignments_assigned_by_user_id_fkey" FOREIGN KEY ("assigned_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "disciplinary_actions" ADD CONSTRAINT "disciplinary_actions_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "disciplinary_actions" ADD CONSTRAINT "disciplinary_actions_issued_by_id_fkey" FOREIGN KEY ("issued_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_products" ADD CONSTRAINT "business_products_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "business_products" ADD CONSTRAINT "business_products_category_id_fkey" FOREIGN KEY ("category_id") REFERENCES "business_categories" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "business_products" ADD CONSTRAINT "business_products_brand_id_fkey" FOREIGN KEY ("brand_id") REFERENCES "business_brands" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_products" ADD CONSTRAINT "business_products_supplier_id_fkey" FOREIGN KEY ("supplier_id") REFERENCES "business_suppliers" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_products" ADD CONSTRAINT "business_products_location_id_fkey" FOREIGN KEY ("location_id") REFERENCES "business_locations" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "product_variants" ADD CONSTRAINT "product_variants_product_id_fkey" FOREIGN KEY ("product_id") REFERENCES "business_products" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "product_images" ADD CONSTRAINT "product_images_product_id_fkey" FOREIGN KEY ("product_id") REFERENCES "business_products" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "product_images" ADD CONSTRAINT "product_images_variant_id_fkey" FOREIGN KEY ("variant_id") REFERENCES "product_variants" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_orders" ADD CONSTRAINT "business_orders_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "business_orders" ADD CONSTRAINT "business_orders_customer_id_fkey" FOREIGN KEY ("customer_id") REFERENCES "business_customers" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_orders" ADD CONSTRAINT "business_orders_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_orders" ADD CONSTRAINT "business_orders_location_id_fkey" FOREIGN KEY ("location_id") REFERENCES "business_locations" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_order_items" ADD CONSTRAINT "business_order_items_order_id_fkey" FOREIGN KEY ("order_id") REFERENCES "business_orders" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "business_order_items" ADD CONSTRAINT "business_order_items_product_id_fkey" FOREIGN KEY ("product_id") REFERENCES "business_products" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "business_order_items" ADD CONSTRAINT "business_order_items_variant_id_fkey" FOREIGN KEY ("variant_id") REFERENCES "product_variants" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_stock_movements" ADD CONSTRAINT "business_stock_movements_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "business_stock_movements" ADD CONSTRAINT "business_stock_movements_product_id_fkey" FOREIGN KEY ("product_id") REFERENCES "business_products" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "business_stock_movements" ADD CONSTRAINT "business_stock_movements_variant_id_fkey" FOREIGN KEY ("variant_id") REFERENCES "product_variants" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_stock_movements" ADD CONSTRAINT "business_stock_movements_order_id_fkey" FOREIGN KEY ("order_id") REFERENCES "business_orders" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_stock_movements" ADD CONSTRAINT "business_stock_movements_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_transactions" ADD CONSTRAINT "business_transactions_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "business_accounts" ("business_id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "business_transactions" ADD CONSTRAINT "business_transactions_order_id_fkey" FOREIGN KEY ("order_id") REFERENCES "business_orders" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "business_transactions" ADD CONSTRAINT "business_transactions_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicles" ADD CONSTRAINT "vehicles_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicles" ADD CONSTRAINT "vehicles_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicle_drivers" ADD CONSTRAINT "vehicle_drivers_employee_id_fkey" FOREIGN KEY ("employee_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicle_drivers" ADD CONSTRAINT "vehicle_drivers_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicle_drivers" ADD CONSTRAINT "vehicle_drivers_license_template_id_fkey" FOREIGN KEY ("license_template_id") REFERENCES "driver_license_templates" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "driver_authorizations" ADD CONSTRAINT "driver_authorizations_driver_id_fkey" FOREIGN KEY ("driver_id") REFERENCES "vehicle_drivers" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "driver_authorizations" ADD CONSTRAINT "driver_authorizations_vehicle_id_fkey" FOREIGN KEY ("vehicle_id") REFERENCES "vehicles" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "driver_authorizations" ADD CONSTRAINT "driver_authorizations_authorized_by_user_id_fkey" FOREIGN KEY ("authorized_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicle_licenses" ADD CONSTRAINT "vehicle_licenses_vehicle_id_fkey" FOREIGN KEY ("vehicle_id") REFERENCES "vehicles" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "vehicle_trips" ADD CONSTRAINT "vehicle_trips_vehicle_id_fkey" FOREIGN KEY ("vehicle_id") REFERENCES "vehicles" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "vehicle_trips" ADD CONSTRAINT "vehicle_trips_driver_id_fkey" FOREIGN KEY ("driver_id") REFERENCES "vehicle_drivers" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "vehicle_trips" ADD CONSTRAINT "vehicle_trips_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicle_expenses" ADD CONSTRAINT "vehicle_expenses_vehicle_id_fkey" FOREIGN KEY ("vehicle_id") REFERENCES "vehicles" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "vehicle_expenses" ADD CONSTRAINT "vehicle_expenses_trip_id_fkey" FOREIGN KEY ("trip_id") REFERENCES "vehicle_trips" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicle_expenses" ADD CONSTRAINT "vehicle_expenses_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicle_expenses" ADD CONSTRAINT "vehicle_expenses_subcategory_id_fkey" FOREIGN KEY ("subcategory_id") REFERENCES "expense_subcategories" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicle_expenses" ADD CONSTRAINT "vehicle_expenses_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicle_maintenance_records" ADD CONSTRAINT "vehicle_maintenance_records_vehicle_id_fkey" FOREIGN KEY ("vehicle_id") REFERENCES "vehicles" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "vehicle_maintenance_records" ADD CONSTRAINT "vehicle_maintenance_records_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicle_maintenance_services" ADD CONSTRAINT "vehicle_maintenance_services_record_id_fkey" FOREIGN KEY ("record_id") REFERENCES "vehicle_maintenance_records" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "vehicle_maintenance_service_expenses" ADD CONSTRAINT "vehicle_maintenance_service_expenses_service_id_fkey" FOREIGN KEY ("service_id") REFERENCES "vehicle_maintenance_services" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "vehicle_reimbursements" ADD CONSTRAINT "vehicle_reimbursements_vehicle_id_fkey" FOREIGN KEY ("vehicle_id") REFERENCES "vehicles" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "vehicle_reimbursements" ADD CONSTRAINT "vehicle_reimbursements_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "vehicle_reimbursements" ADD CONSTRAINT "vehicle_reimbursements_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicle_reimbursements" ADD CONSTRAINT "vehicle_reimbursements_trip_id_fkey" FOREIGN KEY ("trip_id") REFERENCES "vehicle_trips" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "vehicle_reimbursements" ADD CONSTRAINT "vehicle_reimbursements_approved_by_user_id_fkey" FOREIGN KEY ("approved_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "construction_projects" ADD CONSTRAINT "construction_projects_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "construction_projects" ADD CONSTRAINT "construction_projects_project_type_id_fkey" FOREIGN KEY ("project_type_id") REFERENCES "project_types" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "construction_projects" ADD CONSTRAINT "construction_projects_client_id_fkey" FOREIGN KEY ("client_id") REFERENCES "persons" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "construction_projects" ADD CONSTRAINT "construction_projects_manager_id_fkey" FOREIGN KEY ("manager_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "construction_projects" ADD CONSTRAINT "construction_projects_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "project_contractors" ADD CONSTRAINT "project_contractors_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "construction_projects" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "project_contractors" ADD CONSTRAINT "project_contractors_person_id_fkey" FOREIGN KEY ("person_id") REFERENCES "persons" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "project_stages" ADD CONSTRAINT "project_stages_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "construction_projects" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "project_stages" ADD CONSTRAINT "project_stages_predecessor_stage_id_fkey" FOREIGN KEY ("predecessor_stage_id") REFERENCES "project_stages" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "stage_contractor_assignments" ADD CONSTRAINT "stage_contractor_assignments_stage_id_fkey" FOREIGN KEY ("stage_id") REFERENCES "project_stages" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "stage_contractor_assignments" ADD CONSTRAINT "stage_contractor_assignments_contractor_id_fkey" FOREIGN KEY ("contractor_id") REFERENCES "project_contractors" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "construction_expenses" ADD CONSTRAINT "construction_expenses_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "construction_projects" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "construction_expenses" ADD CONSTRAINT "construction_expenses_stage_id_fkey" FOREIGN KEY ("stage_id") REFERENCES "project_stages" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "construction_expenses" ADD CONSTRAINT "construction_expenses_contractor_id_fkey" FOREIGN KEY ("contractor_id") REFERENCES "project_contractors" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "construction_expenses" ADD CONSTRAINT "construction_expenses_subcategory_id_fkey" FOREIGN KEY ("subcategory_id") REFERENCES "expense_subcategories" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "construction_expenses" ADD CONSTRAINT "construction_expenses_paid_by_user_id_fkey" FOREIGN KEY ("paid_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "project_transactions" ADD CONSTRAINT "project_transactions_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "construction_projects" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "project_transactions" ADD CONSTRAINT "project_transactions_stage_id_fkey" FOREIGN KEY ("stage_id") REFERENCES "project_stages" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "project_transactions" ADD CONSTRAINT "project_transactions_contractor_id_fkey" FOREIGN KEY ("contractor_id") REFERENCES "project_contractors" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "project_transactions" ADD CONSTRAINT "project_transactions_expense_id_fkey" FOREIGN KEY ("expense_id") REFERENCES "construction_expenses" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "project_transactions" ADD CONSTRAINT "project_transactions_approved_by_user_id_fkey" FOREIGN KEY ("approved_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "personal_budgets" ADD CONSTRAINT "personal_budgets_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "personal_budgets" ADD CONSTRAINT "personal_budgets_category_id_fkey" FOREIGN KEY ("category_id") REFERENCES "expense_categories" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "personal_budgets" ADD CONSTRAINT "personal_budgets_fund_source_id_fkey" FOREIGN KEY ("fund_source_id") REFERENCES "fund_sources" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "personal_expenses" ADD CONSTRAINT "personal_expenses_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "personal_expenses" ADD CONSTRAINT "personal_expenses_category_id_fkey" FOREIGN KEY ("category_id") REFERENCES "expense_categories" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "personal_expenses" ADD CONSTRAINT "personal_expenses_subcategory_id_fkey" FOREIGN KEY ("subcategory_id") REFERENCES "expense_subcategories" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "personal_expenses" ADD CONSTRAINT "personal_expenses_budget_id_fkey" FOREIGN KEY ("budget_id") REFERENCES "personal_budgets" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "personal_expenses" ADD CONSTRAINT "personal_expenses_fund_source_id_fkey" FOREIGN KEY ("fund_source_id") REFERENCES "fund_sources" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "personal_expenses" ADD CONSTRAINT "personal_expenses_project_id_fkey" FOREIGN KEY ("project_id") REFERENCES "construction_projects" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "inter_business_loans" ADD CONSTRAINT "inter_business_loans_lender_business_id_fkey" FOREIGN KEY ("lender_business_id") REFERENCES "businesses" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "inter_business_loans" ADD CONSTRAINT "inter_business_loans_borrower_business_id_fkey" FOREIGN KEY ("borrower_business_id") REFERENCES "businesses" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "inter_business_loans" ADD CONSTRAINT "inter_business_loans_borrower_person_id_fkey" FOREIGN KEY ("borrower_person_id") REFERENCES "persons" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "inter_business_loans" ADD CONSTRAINT "inter_business_loans_approved_by_user_id_fkey" FOREIGN KEY ("approved_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "loan_transactions" ADD CONSTRAINT "loan_transactions_loan_id_fkey" FOREIGN KEY ("loan_id") REFERENCES "inter_business_loans" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "loan_transactions" ADD CONSTRAINT "loan_transactions_recorded_by_user_id_fkey" FOREIGN KEY ("recorded_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "customer_laybys" ADD CONSTRAINT "customer_laybys_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "customer_laybys" ADD CONSTRAINT "customer_laybys_customer_id_fkey" FOREIGN KEY ("customer_id") REFERENCES "business_customers" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "customer_laybys" ADD CONSTRAINT "customer_laybys_order_id_fkey" FOREIGN KEY ("order_id") REFERENCES "business_orders" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "customer_layby_payments" ADD CONSTRAINT "customer_layby_payments_layby_id_fkey" FOREIGN KEY ("layby_id") REFERENCES "customer_laybys" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "customer_layby_payments" ADD CONSTRAINT "customer_layby_payments_received_by_id_fkey" FOREIGN KEY ("received_by_id") REFERENCES "employees" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "chat_rooms" ADD CONSTRAINT "chat_rooms_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "chat_rooms" ADD CONSTRAINT "chat_rooms_created_by_user_id_fkey" FOREIGN KEY ("created_by_user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "chat_participants" ADD CONSTRAINT "chat_participants_room_id_fkey" FOREIGN KEY ("room_id") REFERENCES "chat_rooms" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "chat_participants" ADD CONSTRAINT "chat_participants_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "chat_messages" ADD CONSTRAINT "chat_messages_room_id_fkey" FOREIGN KEY ("room_id") REFERENCES "chat_rooms" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "chat_messages" ADD CONSTRAINT "chat_messages_sender_id_fkey" FOREIGN KEY ("sender_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "chat_messages" ADD CONSTRAINT "chat_messages_reply_to_id_fkey" FOREIGN KEY ("reply_to_id") REFERENCES "chat_messages" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "audit_logs" ADD CONSTRAINT "audit_logs_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "audit_logs" ADD CONSTRAINT "audit_logs_business_id_fkey" FOREIGN KEY ("business_id") REFERENCES "businesses" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
