//! What a trigger of the application does, as far as its text tells: read word by word, with the functions that it calls. What cannot be told is
//! said so. What follows from it is `carry`'s.

use std::collections::{BTreeSet, HashMap};

use rowmesh_core::value::TableName;
use rowmesh_engine::plan::{AttachOptions, Treatment};

use super::{Source, trigger_name};
use crate::catalog::Tracked;
use crate::connection::Session;
use crate::error::Result;
use crate::sql::{Token, tokens};

/// What is known of the database while triggers are judged.
pub(super) struct Judge<'a> {
    session: &'a Session,
    options: &'a AttachOptions,
    home: &'a str,
    pub(super) tracked: BTreeSet<TableName>,
    /// By schema and name, parts included: under which name the whole travels.
    relations: HashMap<(String, String), Relation>,
    /// The schemas in which the application looks for bare names.
    pub(super) path: Vec<String>,
    /// What is known of functions, by name.
    functions: HashMap<String, Vec<Function>>,
    /// Tables to which tracked ones refer with a foreign key that acts.
    acted_on: BTreeSet<TableName>,
}

#[derive(Clone)]
struct Relation {
    name: TableName,
    is_plain: bool,
}

#[derive(Clone)]
struct Function {
    schema: String,
    volatility: String,
    language: String,
    body: String,
    settings: Vec<String>,
}

/// What a body does.
#[derive(Default)]
struct Effects {
    /// Tables that it writes.
    writes: BTreeSet<TableName>,
    checks: bool,
    changes_row: bool,
    /// Why it cannot be told.
    unknown: Option<String>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        session: &'a Session,
        home: &'a str,
        options: &'a AttachOptions,
        tables: &[Tracked],
    ) -> Result<Judge<'a>> {
        let tracked: BTreeSet<TableName> = tables.iter().map(|table| table.schema.name.clone()).collect();
        let sql = "SELECT n.nspname::text, c.relname::text, c.relkind IN ('r', 'p') AND NOT EXISTS (
                              SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid), rn.nspname::text, root.relname::text
                     FROM pg_catalog.pg_class c
                     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                     JOIN pg_catalog.pg_class root
                       ON root.oid = CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid) ELSE c.oid END
                     JOIN pg_catalog.pg_namespace rn ON rn.oid = root.relnamespace
                    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'rowmesh')";
        let mut relations = HashMap::new();
        for row in session.query(sql, &[])? {
            let (schema, table): (String, String) = (row.get(3), row.get(4));
            let relation = Relation { name: travel_name(home, &schema, &table), is_plain: row.get(2) };
            relations.insert((row.get(0), row.get(1)), relation);
        }
        let acts = |key: &&rowmesh_core::schema::ForeignKey| !key.on_delete.eq_ignore_ascii_case("NO ACTION");
        let keys = tables.iter().flat_map(|table| &table.schema.foreign_keys);
        let acted_on = keys.filter(acts).map(|key| key.parent.clone()).collect();
        let path = search_path(session, home)?;
        Ok(Judge { session, options, home, tracked, relations, path, functions: HashMap::new(), acted_on })
    }

    pub(super) fn name_of(&self, source: &Source) -> TableName {
        let known = self.relations.get(&source.place).map(|relation| relation.name.clone());
        known.unwrap_or_else(|| travel_name(self.home, &source.place.0, &source.place.1))
    }

    pub(super) fn treatment(&mut self, source: &mut Source) -> Result<Treatment> {
        let name = trigger_name(&source.definition);
        let path = own_path(&source.settings);
        let mut effects = match source.language.as_str() {
            "plpgsql" => self.effects(&source.body, path.as_deref(), &mut BTreeSet::new())?,
            _ if CHANGE_THE_ROW.contains(&source.body.as_str()) => Effects { changes_row: true, ..Effects::default() },
            other => Effects::unknown(format!("its function is written in {other}")),
        };
        if let Some(condition) = condition_of(&source.definition) {
            let in_condition = self.effects(&condition, path.as_deref(), &mut BTreeSet::new())?;
            effects.take(in_condition);
        }
        if source.is_of_rows() && source.is_before() {
            effects.changes_row |= assigns_new(&source.body);
            if effects.unknown.is_none() && !returns_its_row(source) {
                effects.unknown = Some("it fires before its row is written and may return another, or none".to_owned());
            }
        }
        if source.body.to_ascii_lowercase().contains("tg_name") {
            effects.unknown.get_or_insert("it asks for its own name".to_owned());
        }
        if source.is_constraint {
            effects.unknown.get_or_insert("it is a constraint".to_owned());
        }
        let can_be_carried = source.language == "plpgsql" && !source.is_constraint;
        let travelling = effects.writes.iter().filter(|table| self.tracked.contains(*table)).cloned().collect();
        source.writes = effects.unknown.is_none().then_some(travelling);
        if self.options.leave_triggers.contains(&name) {
            return Ok(Treatment::LeftByChoice);
        }
        Ok(self.treatment_of(effects, can_be_carried && self.options.carry_triggers.contains(&name)))
    }

    fn treatment_of(&self, effects: Effects, by_choice: bool) -> Treatment {
        let (travelling, local): (Vec<TableName>, Vec<TableName>) =
            effects.writes.iter().cloned().partition(|table| self.tracked.contains(table));
        let texts = |names: &[TableName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (travelling, local) = (texts(&travelling), texts(&local));
        if by_choice {
            return Treatment::Carried(local);
        }
        if effects.changes_row {
            return Treatment::ChangesItsRow;
        }
        if effects.checks {
            return Treatment::Checks;
        }
        if let Some(reason) = effects.unknown {
            return Treatment::CannotTell(reason);
        }
        match (travelling.is_empty(), local.is_empty()) {
            (true, true) => Treatment::NoEffect,
            (true, false) => Treatment::Carried(local),
            (false, true) => Treatment::TravelsAsRows(travelling),
            (false, false) => Treatment::Mixed { tracked: travelling, untracked: local },
        }
    }

    /// What a text of SQL or PL/pgSQL does, with the functions that it calls.
    fn effects(&mut self, body: &str, path: Option<&[String]>, seen: &mut BTreeSet<String>) -> Result<Effects> {
        let words = tokens(body);
        let mut effects = Effects::default();
        for at in 0..words.len() {
            if at > 0 && words[at - 1] == Token::Mark('.') {
                continue;
            }
            let begins = begins_statement(&words, at);
            let Token::Word(word) = &words[at] else { continue };
            match word.as_str() {
                "insert" | "merge" if is(&words, at + 1, "into") => self.add_write(&words, at + 2, path, &mut effects),
                "delete" if is(&words, at + 1, "from") => self.add_write(&words, at + 2, path, &mut effects),
                "update" if !is(&words, at + 1, "set") && !is_lock_clause(&words, at) && !is(&words, at + 1, "of") => {
                    self.add_write(&words, at + 1, path, &mut effects);
                }
                "truncate" => effects.doubt("it empties tables"),
                "execute" => effects.doubt("it makes statements while it runs (EXECUTE)"),
                "raise" if begins => effects.checks |= !harmless_raise(&words, at),
                "assert" if begins => effects.checks = true,
                "notify" if begins => effects.doubt(NOTIFIES),
                "copy" | "call" | "do" | "create" | "alter" | "drop" | "grant" | "revoke" | "set" | "reset"
                | "lock" | "listen" | "unlisten" | "refresh" | "vacuum" | "analyze" | "comment" | "import"
                | "security" | "commit" | "rollback"
                    if begins && !is_assignment(&words, at) =>
                {
                    effects.doubt(&format!("it runs {}", word.to_ascii_uppercase()));
                }
                _ => {}
            }
        }
        for name in called(&words) {
            let called = self.call(&name, seen)?;
            effects.take(called);
        }
        Ok(effects)
    }

    fn add_write(&self, words: &[Token], at: usize, path: Option<&[String]>, effects: &mut Effects) {
        let at = if is(words, at, "only") { at + 1 } else { at };
        let Some(first) = words.get(at).and_then(Token::name) else {
            return effects.doubt("it writes to something that is not named");
        };
        let second = words.get(at + 2).and_then(Token::name).filter(|_| words.get(at + 1) == Some(&Token::Mark('.')));
        let found = match second {
            Some(table) => self.relations.get(&(first.to_owned(), table.to_owned())),
            None => {
                let path = path.unwrap_or(&self.path);
                path.iter().find_map(|schema| self.relations.get(&(schema.clone(), first.to_owned())))
            }
        };
        match found {
            None => effects.doubt(&format!("it writes to {first}, which is not found")),
            Some(relation) if !relation.is_plain => {
                effects.doubt(&format!("it writes to {}, which is a view or has rules", relation.name));
            }
            Some(relation) if !self.tracked.contains(&relation.name) && self.acted_on.contains(&relation.name) => {
                effects.doubt(&format!("it writes to {}, to which synced tables refer", relation.name));
            }
            Some(relation) => drop(effects.writes.insert(relation.name.clone())),
        }
    }

    /// What the functions of a name do. Which of several is meant is not asked: all of them are looked at.
    fn call(&mut self, name: &str, seen: &mut BTreeSet<String>) -> Result<Effects> {
        let mut effects = Effects::default();
        if !seen.insert(name.to_owned()) {
            return Ok(effects);
        }
        for function in self.functions_named(name)? {
            if function.schema == "pg_catalog" {
                match name {
                    "pg_notify" => effects.doubt(NOTIFIES),
                    _ if function.volatility != "v" || HARMLESS.contains(&name) => {}
                    _ => effects.doubt(&format!("it calls {name}, whose effect is not known")),
                }
                continue;
            }
            match function.language.as_str() {
                "plpgsql" | "sql" => {
                    let path = own_path(&function.settings);
                    let inner = self.effects(&function.body, path.as_deref(), seen)?;
                    effects.take(inner);
                }
                _ if function.volatility != "v" => {}
                _ => effects.doubt(&format!("it calls {name}, whose effect is not known")),
            }
        }
        Ok(effects)
    }

    fn functions_named(&mut self, name: &str) -> Result<Vec<Function>> {
        if let Some(known) = self.functions.get(name) {
            return Ok(known.clone());
        }
        let sql = "SELECT n.nspname::text, p.provolatile::text, l.lanname::text,
                          COALESCE(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc),
                          COALESCE(p.proconfig, ARRAY[]::text[])
                     FROM pg_catalog.pg_proc p
                     JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                     JOIN pg_catalog.pg_language l ON l.oid = p.prolang
                    WHERE p.proname = $1 AND p.prokind IN ('f', 'p')";
        let rows = self.session.query(sql, &[&name])?;
        let found: Vec<Function> = rows
            .iter()
            .map(|row| Function {
                schema: row.get(0),
                volatility: row.get(1),
                language: row.get(2),
                body: row.get(3),
                settings: row
                    .get::<_, Vec<String>>(4)
                    .into_iter()
                    .filter_map(|setting| setting.split_once('=').map(|(name, value)| format!("SET {name} = {value}")))
                    .collect(),
            })
            .collect();
        self.functions.insert(name.to_owned(), found.clone());
        Ok(found)
    }
}

impl Effects {
    fn unknown(reason: String) -> Effects {
        Effects { unknown: Some(reason), ..Effects::default() }
    }

    fn doubt(&mut self, reason: &str) {
        self.unknown.get_or_insert_with(|| reason.to_owned());
    }

    fn take(&mut self, other: Effects) {
        self.writes.extend(other.writes);
        self.checks |= other.checks;
        self.unknown = self.unknown.take().or(other.unknown);
    }
}

const NOTIFIES: &str = "it has an effect outside of the rows (NOTIFY)";

/// Trigger functions that come with PostgreSQL and change or skip the row.
const CHANGE_THE_ROW: [&str; 3] =
    ["tsvector_update_trigger_byid", "tsvector_update_trigger_bycolumn", "suppress_redundant_updates_trigger"];

/// Functions of PostgreSQL's that give another value each time and change nothing but a sequence.
const HARMLESS: [&str; 9] =
    ["random", "clock_timestamp", "timeofday", "nextval", "currval", "lastval", "gen_random_uuid", "uuidv4", "uuidv7"];

fn travel_name(home: &str, schema: &str, table: &str) -> TableName {
    if schema == home { table.into() } else { format!("{schema}.{table}").into() }
}

/// Where our role looks for bare names, the home schema first.
fn search_path(session: &Session, home: &str) -> Result<Vec<String>> {
    let sql = "SELECT n.nspname::text
                 FROM (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'search_path') s,
                      pg_catalog.regexp_split_to_table(s.reset_val, '\\s*,\\s*') WITH ORDINALITY p (name, place)
                 JOIN pg_catalog.pg_namespace n ON n.nspname = CASE p.name WHEN '\"$user\"' THEN current_user
                      ELSE pg_catalog.replace(pg_catalog.btrim(p.name, '\"'), '\"\"', '\"') END
                WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> $1 ORDER BY p.place";
    let others = session.query(sql, &[&home])?;
    Ok(std::iter::once(home.to_owned()).chain(others.iter().map(|row| row.get(0))).collect())
}

/// The path that a function sets for itself.
pub(super) fn own_path(settings: &[String]) -> Option<Vec<String>> {
    let value = settings.iter().find_map(|setting| setting.strip_prefix("SET search_path = "))?;
    Some(tokens(value).iter().filter_map(Token::name).map(str::to_owned).collect())
}

fn is(words: &[Token], at: usize, keyword: &str) -> bool {
    words.get(at).is_some_and(|word| word.is(keyword))
}

/// Whether a statement can begin here.
fn begins_statement(words: &[Token], at: usize) -> bool {
    const OPENERS: [&str; 5] = ["begin", "then", "else", "loop", "atomic"];
    match at.checked_sub(1).map(|before| &words[before]) {
        None => true,
        Some(Token::Mark(mark)) => *mark == ';' || *mark == '>',
        Some(Token::Word(word)) => OPENERS.contains(&word.as_str()),
        Some(_) => false,
    }
}

/// A variable may have the name of a keyword that begins no statement of PL/pgSQL's own.
fn is_assignment(words: &[Token], at: usize) -> bool {
    matches!(words.get(at + 1), Some(Token::Mark(':' | '=' | '.' | '[')))
}

/// `FOR UPDATE` and `FOR NO KEY UPDATE` only lock.
fn is_lock_clause(words: &[Token], at: usize) -> bool {
    at.checked_sub(1).is_some_and(|before| words[before].is("for") || words[before].is("key"))
}

fn harmless_raise(words: &[Token], at: usize) -> bool {
    ["debug", "log", "info", "notice", "warning"].iter().any(|level| is(words, at + 1, level))
}

/// Names that something stands in parentheses behind: functions, and much else that is none.
fn called(words: &[Token]) -> BTreeSet<String> {
    let is_open = |at: usize| words.get(at + 1) == Some(&Token::Mark('('));
    (0..words.len()).filter(|at| is_open(*at)).filter_map(|at| words[at].name()).map(str::to_owned).collect()
}

/// Whether a body gives NEW, or a column of it, another value.
fn assigns_new(body: &str) -> bool {
    let words = tokens(body);
    let is_new = |at: usize| is(&words, at, "new");
    (0..words.len()).any(|at| {
        let assigns = is_new(at) && begins_statement(&words, at);
        let takes = is(&words, at, "for") || is(&words, at, "foreach") || is(&words, at, "diagnostics");
        let into = is(&words, at, "into") && !(at > 0 && (is(&words, at - 1, "insert") || is(&words, at - 1, "merge")));
        let end = |word: &Token| {
            matches!(word, Token::Mark(';'))
                || ["from", "in", "using", "where", "values"].iter().any(|end| word.is(end))
        };
        let fills = (takes || into) && {
            let length = words[at + 1..].iter().position(end).unwrap_or(words.len() - at - 1);
            (at + 1..at + 1 + length).any(is_new)
        };
        assigns || fills
    })
}

/// Whether every RETURN of a trigger that fires before its row hands on just that row.
fn returns_its_row(source: &Source) -> bool {
    let words = tokens(&source.body);
    let returned = (0..words.len()).filter(|at| is(&words, *at, "return") && begins_statement(&words, *at));
    let row = match source.deletes() {
        (true, _) => "old",
        (_, true) => "new",
        _ => return false,
    };
    let mut returned = returned.peekable();
    returned.peek().is_some()
        && returned.all(|at| is(&words, at + 1, row) && words.get(at + 2) == Some(&Token::Mark(';')))
}

/// The condition of a trigger's definition.
fn condition_of(definition: &str) -> Option<String> {
    let at = definition.find(" WHEN (")?;
    let end = definition.rfind(" EXECUTE FUNCTION ")?;
    definition.get(at + " WHEN ".len()..end).map(str::to_owned)
}
