//! Reads `rowmesh.toml`. Every complaint names file, line and column. What the keys mean is not known here.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use rowmesh::failure::Failure;
use rowmesh::options::{ColumnPolicy, ExistencePolicy, OrphanPolicy};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::suggest::nearest;
use super::{Config, Filter, KEYS, Key, Kind, Source, TableSettings, Value, parse_text, wrong_value};
use crate::failure::{Outcome, failure};
use crate::units::parse_duration;

/// A file's text, able to say where in it something stands.
pub struct FileText<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> FileText<'a> {
    /// Text that stands in a file.
    pub fn new(path: &'a Path, text: &'a str) -> FileText<'a> {
        FileText { path, text }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.before(offset).matches('\n').count()
    }

    /// `rowmesh.toml:14:1`; columns count characters.
    fn place(&self, span: Range<usize>) -> String {
        let before = self.before(span.start);
        let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
        format!("{}:{}:{column}", self.path.display(), self.line(span.start))
    }

    fn before(&self, offset: usize) -> &'a str {
        self.text.get(..offset).unwrap_or(self.text)
    }

    fn source(&self, span: Range<usize>) -> Source {
        Source::File(self.path.to_owned(), self.line(span.start))
    }

    fn unknown(&self, key: &Name<'_>, what: &str, known: &[&str]) -> Failure {
        let name = key.as_ref();
        let meant =
            nearest(name, known.iter().copied()).map(|k| format!(". Did you mean \"{k}\"?")).unwrap_or_default();
        failure("RM1105", format!("{} unknown {what}{meant}", self.place(key.span())))
            .hint("Every key with its default:", "rowmesh config example")
    }

    fn wrong(&self, span: Range<usize>, problem: &str) -> Failure {
        wrong_value(&self.place(span), problem)
    }
}

type Name<'i> = Spanned<std::borrow::Cow<'i, str>>;
type Item<'i> = Spanned<DeValue<'i>>;

/// Takes everything of a file into the configuration.
///
/// # Errors
/// RM1102 where it is no TOML, RM1105 for an unknown key, RM1103 for a value that the key cannot have.
pub fn read(file: &FileText<'_>, config: &mut Config) -> Outcome<()> {
    let document = DeTable::parse(file.text).map_err(|error| {
        let place = file.place(error.span().unwrap_or(0..0));
        failure("RM1102", format!("{place} this is not TOML: {}", error.message()))
            .hint("Every key with its default:", "rowmesh config example")
    })?;
    for (name, item) in document.get_ref() {
        match name.as_ref().as_ref() {
            "table" => read_tables(file, item, config)?,
            "filters" => read_filters(file, item, config)?,
            _ => read_section(file, name, item, "", config)?,
        }
    }
    Ok(())
}

fn read_section(
    file: &FileText<'_>,
    name: &Name<'_>,
    item: &Item<'_>,
    above: &str,
    config: &mut Config,
) -> Outcome<()> {
    let path = join(above, name.as_ref());
    if let Some(key) = KEYS.iter().find(|key| key.path == path) {
        let value = value_of(file, key, item)?;
        config.set(key.path, value, file.source(name.span()));
        return Ok(());
    }
    let is_section = KEYS.iter().any(|key| key.path.starts_with(&format!("{path}.")));
    match item.get_ref() {
        DeValue::Table(table) if is_section => {
            table.iter().try_for_each(|(inner, item)| read_section(file, inner, item, &path, config))
        }
        _ if is_section => Err(file.wrong(item.span(), &format!("{path} is a section: write [{path}]"))),
        _ if above.is_empty() => Err(file.unknown(name, &format!("section [{path}]"), &sections())),
        _ => {
            let known: Vec<&str> = KEYS.iter().filter(|key| key.section() == above).map(Key::name).collect();
            Err(file.unknown(name, &format!("key \"{}\" in [{above}]", name.as_ref()), &known))
        }
    }
}

fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = KEYS.iter().map(Key::section).chain(["table", "filters"]).collect();
    sections.dedup();
    sections
}

fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

fn value_of(file: &FileText<'_>, key: &Key, item: &Item<'_>) -> Outcome<Value> {
    let problem = |problem: &str| file.wrong(item.span(), &format!("{}: {problem}", key.path));
    match (key.kind, item.get_ref()) {
        (Kind::List, DeValue::Array(array)) => Ok(Value::List(texts(file, key.path, array)?)),
        (Kind::List, _) => Err(problem("expected a list of texts, such as [\"a\", \"b\"]")),
        (Kind::Duration, DeValue::String(text)) => {
            parse_duration(text).map(Value::Duration).map_err(|wrong| problem(&wrong))
        }
        (Kind::Duration, _) => Err(problem("expected a duration in quotes, such as \"30s\"")),
        (kind, DeValue::String(text)) => parse_text(kind, text).map_err(|wrong| problem(&wrong)),
        _ => Err(problem("expected a text in quotes")),
    }
}

fn texts(file: &FileText<'_>, what: &str, array: &DeArray<'_>) -> Outcome<Vec<String>> {
    let text = |item: &Item<'_>| match item.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        _ => Err(file.wrong(item.span(), &format!("{what}: expected texts in quotes"))),
    };
    array.iter().map(text).collect()
}

fn read_tables(file: &FileText<'_>, item: &Item<'_>, config: &mut Config) -> Outcome<()> {
    let DeValue::Table(tables) = item.get_ref() else {
        return Err(file.wrong(item.span(), "table is a section: write [table.NAME]"));
    };
    for (name, item) in tables {
        let DeValue::Table(entries) = item.get_ref() else {
            return Err(file.wrong(item.span(), &format!("write [table.{}]", name.as_ref())));
        };
        let section = format!("table.{}", name.as_ref());
        let mut settings = TableSettings::default();
        for (key, item) in entries {
            match (key.as_ref().as_ref(), item.get_ref()) {
                ("key", DeValue::Array(columns)) => settings.key = texts(file, &format!("{section}.key"), columns)?,
                ("key", _) => {
                    return Err(file.wrong(item.span(), &format!("{section}.key: expected a list of columns")));
                }
                ("sync", DeValue::String(word)) if word == "both" => settings.off = false,
                ("sync", DeValue::String(word)) if word == "off" => settings.off = true,
                ("sync", _) => {
                    return Err(file.wrong(item.span(), &format!("{section}.sync: expected \"both\" or \"off\"")));
                }
                ("conflicts", DeValue::String(word)) if ExistencePolicy::parse(word).is_some() => {
                    settings.conflicts = Some(word.to_string());
                }
                ("conflicts", _) => {
                    let all = ExistencePolicy::ALL.map(ExistencePolicy::as_str);
                    return Err(file.wrong(item.span(), &format!("{section}.conflicts: {}", expected(&all))));
                }
                ("columns", DeValue::Table(columns)) => {
                    settings.columns = read_columns(file, &format!("{section}.columns"), columns)?;
                }
                ("columns", _) => {
                    let problem = format!("{section}.columns: write columns.NAME = \"counter\"");
                    return Err(file.wrong(item.span(), &problem));
                }
                ("references", DeValue::Table(columns)) => {
                    settings.references = read_references(file, &format!("{section}.references"), columns)?;
                }
                ("references", _) => {
                    let problem = format!("{section}.references: write references.COLUMN = \"cascade\"");
                    return Err(file.wrong(item.span(), &problem));
                }
                (other, _) => {
                    let what = format!("key \"{other}\" in [{section}]");
                    return Err(file.unknown(key, &what, &["key", "sync", "conflicts", "columns", "references"]));
                }
            }
        }
        config.tables.insert(name.as_ref().to_string(), settings);
    }
    Ok(())
}

fn read_columns(file: &FileText<'_>, section: &str, columns: &DeTable<'_>) -> Outcome<BTreeMap<String, String>> {
    let mut policies = BTreeMap::new();
    for (column, item) in columns {
        match item.get_ref() {
            // Which nodes there are is known to the mesh only.
            DeValue::String(word) if ColumnPolicy::is_word(word) => {
                policies.insert(column.as_ref().to_string(), word.to_string());
            }
            _ => {
                let problem = format!("{section}.{}: {}", column.as_ref(), expected(&ColumnPolicy::WORDS));
                return Err(file.wrong(item.span(), &problem));
            }
        }
    }
    Ok(policies)
}

fn read_references(file: &FileText<'_>, section: &str, columns: &DeTable<'_>) -> Outcome<BTreeMap<String, String>> {
    let mut policies = BTreeMap::new();
    for (column, item) in columns {
        match item.get_ref() {
            DeValue::String(word) if OrphanPolicy::parse(word).is_some() => {
                policies.insert(column.as_ref().to_string(), word.to_string());
            }
            _ => {
                let all = OrphanPolicy::ALL.map(OrphanPolicy::as_str);
                let problem = format!("{section}.{}: {}", column.as_ref(), expected(&all));
                return Err(file.wrong(item.span(), &problem));
            }
        }
    }
    Ok(policies)
}

fn expected(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    format!("expected {}", words.join(" or "))
}

fn read_filters(file: &FileText<'_>, item: &Item<'_>, config: &mut Config) -> Outcome<()> {
    let DeValue::Array(filters) = item.get_ref() else {
        return Err(file.wrong(item.span(), "filters is a list: write [[filters]]"));
    };
    for item in filters.iter() {
        let DeValue::Table(entries) = item.get_ref() else {
            return Err(file.wrong(item.span(), "write [[filters]]"));
        };
        config.filters.push(read_filter(file, item.span(), entries)?);
    }
    Ok(())
}

const FILTER_KEYS: [&str; 5] = ["name", "table", "skip", "follow", "several_owners"];

fn read_filter(file: &FileText<'_>, span: Range<usize>, entries: &DeTable<'_>) -> Outcome<Filter> {
    let mut filter = Filter::default();
    for (key, item) in entries {
        match (key.as_ref().as_ref(), item.get_ref()) {
            ("name", DeValue::String(text)) => filter.name = text.to_string(),
            ("table", DeValue::String(text)) => filter.table = text.to_string(),
            ("skip", DeValue::String(text)) => filter.skip = text.to_string(),
            ("follow", DeValue::Array(columns)) => filter.follow = texts(file, "filters.follow", columns)?,
            ("several_owners", DeValue::String(text)) if ["any", "all"].contains(&text.as_ref()) => {
                filter.several_owners = Some(text.to_string());
            }
            (known, _) if FILTER_KEYS.contains(&known) => {
                let expected = match known {
                    "follow" => "a list of texts",
                    "several_owners" => "\"any\" or \"all\"",
                    _ => "a text in quotes",
                };
                return Err(file.wrong(item.span(), &format!("filters.{known}: expected {expected}")));
            }
            (other, _) => {
                let what = format!("key \"{other}\" in [[filters]]");
                return Err(file.unknown(key, &what, &FILTER_KEYS));
            }
        }
    }
    match [("name", &filter.name), ("table", &filter.table), ("skip", &filter.skip)].iter().find(|(_, v)| v.is_empty())
    {
        Some((missing, _)) => Err(file.wrong(span, &format!("a filter needs \"{missing}\""))),
        None => Ok(filter),
    }
}
