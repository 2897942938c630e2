//! Makes up a fitting value for a column from its name, its declared type and its enumeration. Knows nothing of other
//! rows: foreign keys, and numbers that must agree with other numbers, are set by the caller.

use crate::{
    calendar::Moment,
    catalog::{Column, Kind, Table},
    cell::{Cell, Cents},
    database::Value,
    random::Dice,
};

/// How the row that is being made is called, and when it was made.
pub(crate) struct Filler<'a> {
    /// Part of every text that must be unique, and in samples of every text.
    pub label: &'a str,
    pub style: Style,
    pub when: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As people would write it.
    Prose,
    /// Each text names its column and the row's label, so that a test can find it again anywhere.
    Tagged,
}

impl Filler<'_> {
    /// A value that the column's own CHECK accepts; never NULL.
    pub(crate) fn value(&self, table: &Table, column: &Column, dice: &mut Dice) -> Value {
        if !column.choices.is_empty() {
            return dice.pick(&column.choices).cell();
        }
        match column.kind {
            Kind::Boolean => dice.percent(50).cell(),
            Kind::Time => self.time(&column.name, dice).cell(),
            Kind::Date => self.date(&column.name, dice).cell(),
            Kind::Decimal => decimal(&column.name, dice),
            Kind::Real => real(&column.name, dice).cell(),
            Kind::Integer => self.integer(&column.name, dice).cell(),
            Kind::Json => self.json(column).cell(),
            Kind::Bytes => Value::Blob(thumbnail(dice)),
            Kind::Text => self.text(table, &column.name, dice).cell(),
        }
    }

    fn time(&self, column: &str, dice: &mut Dice) -> Moment {
        match column {
            "created_at" | "updated_at" => self.when,
            _ => self.when.plus_minutes(dice.between(1, 600)),
        }
    }

    fn date(&self, column: &str, dice: &mut Dice) -> String {
        let days = match column {
            "date_of_birth" => dice.between(-20_000, -7_000),
            "hire_date" | "purchase_date" => dice.between(-1_500, -30),
            _ if column.contains("expires") || column.contains("until") => dice.between(100, 1_000),
            _ if column.starts_with("end") || column.starts_with("due") || column.starts_with("next") => {
                dice.between(30, 200)
            }
            _ => dice.between(-60, 0),
        };
        self.when.plus_days(days).date()
    }

    fn integer(&self, column: &str, dice: &mut Dice) -> i64 {
        match column {
            "year" => self.when.year() - dice.between(0, 12),
            "quantity" => dice.between(1, 20),
            "file_size_bytes" => dice.between(20_000, 4_000_000),
            "width_px" | "height_px" => dice.between(1, 40) * 100,
            _ if column.ends_with("_km") => dice.between(10_000, 200_000),
            _ => dice.between(1, 400),
        }
    }

    /// As PostgreSQL shows it, so that a row reads the same from every database.
    fn json(&self, column: &Column) -> String {
        match &column.default {
            Some(Value::Text(text)) if text == "[]" => format!("[\"{}\", \"{}\"]", column.name, self.label),
            _ => format!("{{\"about\": \"{}\", \"label\": \"{}\"}}", column.name, self.label),
        }
    }

    fn text(&self, table: &Table, column: &str, dice: &mut Dice) -> String {
        let written = match self.style {
            Style::Prose => prose(column, dice),
            Style::Tagged => return self.tagged_text(column),
        };
        match table.unique.contains(column) {
            true => format!("{written} {}", self.label),
            false => written,
        }
    }

    fn tagged_text(&self, column: &str) -> String {
        match column {
            "email" => format!("{}@example.com", self.label.replace(' ', ".")),
            _ => format!("{} of {}", column.replace('_', " "), self.label),
        }
    }
}

pub(crate) fn full_name(dice: &mut Dice) -> String {
    format!("{} {}", dice.pick(FIRST_NAMES), dice.pick(LAST_NAMES))
}

pub(crate) fn phone(dice: &mut Dice) -> String {
    format!("+263 7{} {:03} {:03}", dice.between(1, 8), dice.between(100, 999), dice.between(0, 999))
}

fn decimal(column: &str, dice: &mut Dice) -> Value {
    let is_rate = column.contains("rate") && !column.starts_with("hourly") && !column.starts_with("daily");
    match is_rate || column == "percentage" {
        true => (dice.between(0, 2_500) as f64 / 100.0).cell(),
        false => Cents(dice.between(100, 250_000)).cell(),
    }
}

fn real(column: &str, dice: &mut Dice) -> f64 {
    match column {
        "latitude" => -17.8 + dice.between(-10_000, 10_000) as f64 / 100_000.0,
        "longitude" => 31.05 + dice.between(-10_000, 10_000) as f64 / 100_000.0,
        _ => dice.between(1, 999) as f64 / 10.0,
    }
}

/// Starts as a JPEG does, and is small.
fn thumbnail(dice: &mut Dice) -> Vec<u8> {
    let length = dice.index(160) + 40;
    [&[0xff, 0xd8, 0xff, 0xe0], dice.bytes(length).as_slice()].concat()
}

fn prose(column: &str, dice: &mut Dice) -> String {
    match column {
        "full_name" | "contact_person" => full_name(dice),
        "email" => format!("{}.{}@example.com", dice.pick(FIRST_NAMES), dice.between(100, 999)).to_lowercase(),
        "phone" => phone(dice),
        "address" | "start_location" | "end_location" => {
            format!("{} {}", dice.between(1, 220), dice.pick(STREETS))
        }
        "color" => (*dice.pick(COLOURS)).to_owned(),
        "unit" => (*dice.pick(&["each", "kg", "m", "bag", "box"])).to_owned(),
        "emoji" => (*dice.pick(&["🧾", "🛠️", "🚚", "🍽️", "👕"])).to_owned(),
        "payroll_period" | "period" => format!("2025-{:02}", dice.between(1, 12)),
        "country_code" => "ZW".to_owned(),
        "ip_address" => format!("10.0.{}.{}", dice.between(0, 20), dice.between(2, 250)),
        _ if column.ends_with("_url") || column.ends_with("website") => {
            format!("https://shop.example.com/{}", dice.between(1000, 9999))
        }
        _ if column.ends_with("_path") => format!("/uploads/{:08x}.jpg", dice.next() >> 32),
        _ if ["number", "code", "barcode", "vin", "national_id", "reference", "checksum"]
            .iter()
            .any(|end| column.ends_with(end)) =>
        {
            format!("{:010}", dice.next() % 10_000_000_000)
        }
        _ => (*dice.pick(REMARKS)).to_owned(),
    }
}

const FIRST_NAMES: &[&str] = &[
    "Tendai",
    "Rudo",
    "Farai",
    "Chipo",
    "Tatenda",
    "Nyasha",
    "Kudzai",
    "Rumbidzai",
    "Simba",
    "Tariro",
    "Blessing",
    "Grace",
    "Joseph",
    "Maria",
    "Zoë",
    "André",
    "Wei",
    "Amina",
    "Oluwaseun",
    "Łukasz",
];
const LAST_NAMES: &[&str] = &[
    "Moyo",
    "Ncube",
    "Dube",
    "Sibanda",
    "Ndlovu",
    "Chikwanda",
    "Mutasa",
    "Hove",
    "Banda",
    "Phiri",
    "O'Connor",
    "Müller",
];
const STREETS: &[&str] = &[
    "Samora Machel Avenue",
    "Borrowdale Road",
    "Chinhoyi Street",
    "Market Square",
    "Robson Manyika Avenue",
    "Mill Lane",
];
const COLOURS: &[&str] = &["black", "white", "navy", "red", "olive", "grey", "#3B82F6"];
const REMARKS: &[&str] = &[
    "agreed by phone",
    "see the file",
    "as discussed",
    "urgent",
    "first of the year",
    "paid in full",
    "to be checked again",
    "customer waits",
    "bought at the usual place",
    "replaces the old one",
    "due at month's end",
    "nothing unusual",
];
