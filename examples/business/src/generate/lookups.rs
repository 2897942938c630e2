//! The small tables of kinds and templates. Their ids are readable text and the same whatever the seed: a company's
//! servers have them from one installation.

use super::Generator;
use crate::{
    cell::cells,
    database::{Result, Value},
};

/// Ids that other rows refer to.
pub(super) struct Lookups {
    pub id_format: &'static str,
}

pub(super) const JOB_TITLES: &[(&str, &str, &str, &str)] = &[
    ("job-shop-assistant", "Shop assistant", "Sales", "JUNIOR"),
    ("job-cashier", "Cashier", "Sales", "JUNIOR"),
    ("job-cook", "Cook", "Kitchen", "INTERMEDIATE"),
    ("job-driver", "Driver", "Transport", "INTERMEDIATE"),
    ("job-bricklayer", "Bricklayer", "Construction", "SENIOR"),
    ("job-manager", "Manager", "Management", "LEAD"),
];

pub(super) const COMPENSATION_TYPES: &[(&str, &str, &str, &str)] = &[
    ("pay-monthly", "Monthly salary", "MONTHLY", "MONTHLY"),
    ("pay-hourly", "Hourly wage", "HOURLY", "WEEKLY"),
    ("pay-commission", "Commission on sales", "COMMISSION", "MONTHLY"),
];

pub(super) const BENEFIT_TYPES: &[(&str, &str, &str)] = &[
    ("benefit-medical", "Medical aid", "MEDICAL"),
    ("benefit-pension", "Pension fund", "PENSION"),
    ("benefit-transport", "Transport allowance", "TRANSPORT"),
];

const EXPENSE_DOMAINS: &[(&str, &str)] =
    &[("household", "Household"), ("vehicle", "Vehicle"), ("construction", "Construction")];

const EXPENSE_CATEGORIES: &[(&str, &str, &str, &[&str])] = &[
    ("household", "food", "Food", &["Groceries", "Eating out"]),
    ("household", "rent", "Rent", &["House", "Electricity"]),
    ("vehicle", "running", "Running costs", &["Fuel", "Tolls"]),
    ("vehicle", "upkeep", "Upkeep", &["Tyres", "Service"]),
    ("construction", "materials", "Materials", &["Cement", "Steel"]),
    ("construction", "labour", "Labour", &["Day labour"]),
];

const PROJECT_TYPES: &[(&str, &str, &str)] = &[
    ("project-house", "House", "RESIDENTIAL"),
    ("project-shop", "Shop fitting", "COMMERCIAL"),
    ("project-roof", "Roof repair", "RENOVATION"),
];

impl Generator<'_> {
    pub(super) fn lookups(&mut self) -> Result<Lookups> {
        for (id, title, department, level) in JOB_TITLES {
            self.insert(
                "job_titles",
                &cells!["id" => id, "title" => title, "department" => department, "level" => level],
            )?;
        }
        for (id, name, kind, frequency) in COMPENSATION_TYPES {
            self.insert(
                "compensation_types",
                &cells!["id" => id, "name" => name, "kind" => kind, "frequency" => frequency],
            )?;
        }
        for (id, name, kind) in BENEFIT_TYPES {
            self.insert("benefit_types", &cells!["id" => id, "name" => name, "kind" => kind])?;
        }
        self.templates()?;
        self.expense_tree()?;
        for (id, name, category) in PROJECT_TYPES {
            let row = cells!["id" => id, "name" => name, "category" => category, "domain_id" => "construction"];
            self.insert("project_types", &row)?;
        }
        Ok(Lookups { id_format: "id-zw" })
    }

    fn templates(&mut self) -> Result<()> {
        let id_formats = [
            ("id-zw", "Zimbabwe national id", "ZW", "##-######-A-##"),
            ("id-za", "South African id", "ZA", "#############"),
        ];
        for (id, name, country, pattern) in id_formats {
            self.insert(
                "id_format_templates",
                &cells!["id" => id, "name" => name, "country_code" => country, "pattern" => pattern],
            )?;
        }
        let license =
            cells!["id" => "licence-zw", "name" => "Zimbabwe driving licence", "categories" => r#"["1", "2", "4"]"#];
        self.insert("driver_license_templates", &license)?;
        for kind in ["CLOTHING", "RESTAURANT", "HARDWARE", "CONSTRUCTION"] {
            let row = cells![
                "id" => format!("cashier-{}", kind.to_lowercase()),
                "name" => "Cashier",
                "business_type" => kind,
                "permissions" => r#"{"orders": ["read", "write"], "products": ["read"]}"#,
                "created_by_user_id" => Value::Null,
            ];
            self.insert("permission_templates", &row)?;
        }
        Ok(())
    }

    fn expense_tree(&mut self) -> Result<()> {
        for (id, name) in EXPENSE_DOMAINS {
            self.insert("expense_domains", &cells!["id" => id, "name" => name])?;
        }
        for (domain, category, name, parts) in EXPENSE_CATEGORIES {
            let row = cells!["id" => category, "domain_id" => domain, "name" => name, "is_default" => true];
            self.insert("expense_categories", &row)?;
            for part in *parts {
                let id = format!("{category}-{}", part.to_lowercase().replace(' ', "-"));
                let row = cells!["id" => id, "category_id" => category, "name" => part];
                self.insert("expense_subcategories", &row)?;
            }
        }
        Ok(())
    }
}
