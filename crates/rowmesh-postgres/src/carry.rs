//! The application's triggers at the receiver. None of them fires for our writes where the session may say so, since what they write to tracked
//! tables travels as rows. The exceptions are those that only maintain what does not travel, such as a table that is not synced: they are *carried*,
//! as a trigger and a function of ours with the same text that fire for the daemon only, so that they have their effect here exactly once. What
//! the application made is never touched.
//!
//! Where the role may not keep triggers still all of them fire, and each that must not is told with the statement that gives it a guard.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rowmesh_core::ident::hex;
use rowmesh_core::value::TableName;
use rowmesh_engine::plan::{ApplicationTrigger, AttachOptions, Treatment};

use crate::attach::{drop_trigger_on, may_alter, patiently};
use crate::capture;
use crate::catalog::Tracked;
use crate::connection::Session;
use crate::error::Result;
use crate::sql::{Token, literal, qualified, quote, quote_list, tokens};

/// What the names of carried copies begin with; the name of the application's trigger follows, so that they fire in the same order.
pub const TRIGGER_PREFIX: &str = "rowmesh_carried_";

/// What the names of their functions begin with.
pub const PREFIX: &str = "carried_";

/// The setting that tells our sessions, and the condition that it does not.
const GUARD: &str = "current_setting('rowmesh.applying', true) IS DISTINCT FROM 'on'";

/// Bytes that a name may have.
const NAME_BYTES_MAX: usize = 63;

/// Every trigger of the application that matters, and what becomes of it.
pub struct Judged {
    triggers: Vec<(Source, ApplicationTrigger)>,
    /// Positions of those that are carried by copies of ours.
    copied: BTreeSet<usize>,
    is_replica: bool,
    path: Vec<String>,
}

impl Judged {
    /// For the plan.
    pub fn triggers(&self) -> Vec<ApplicationTrigger> {
        self.triggers.iter().map(|(_, trigger)| trigger.clone()).collect()
    }

    /// How many triggers are added.
    pub fn copies(&self) -> usize {
        self.copied.len()
    }

    /// Tables in which rows may stand otherwise than we write them, or come without us, because triggers of the application fire for us; `None`
    /// where that may be any.
    pub fn disturbed(&self) -> Option<BTreeSet<TableName>> {
        let mut disturbed = BTreeSet::new();
        for (number, (source, trigger)) in self.triggers.iter().enumerate() {
            if !(self.copied.contains(&number) || source.fires(self.is_replica)) || source.is_guarded() {
                continue;
            }
            disturbed.extend(source.writes.clone()?);
            if source.is_before() && trigger.treatment != Treatment::NoEffect {
                disturbed.insert(trigger.table.clone());
            }
        }
        Some(disturbed)
    }
}

/// A trigger as the catalog holds it.
struct Source {
    place: (String, String),
    relation: u32,
    /// `O`, `A` or `R`: in which sessions it fires.
    enabled: String,
    timing: i16,
    is_constraint: bool,
    definition: String,
    language: String,
    function: String,
    body: String,
    settings: Vec<String>,
    /// Who its function shall run as.
    runs_as: String,
    /// Synced tables that it may write; none where that cannot be told.
    writes: Option<Vec<TableName>>,
}

impl Source {
    fn is_before(&self) -> bool {
        self.timing & 2 != 0
    }

    fn is_of_rows(&self) -> bool {
        self.timing & 1 != 0
    }

    /// Whether it fires for what our sessions write.
    fn fires(&self, is_replica: bool) -> bool {
        match self.enabled.as_str() {
            "A" => true,
            "R" => is_replica,
            _ => !is_replica,
        }
    }

    fn is_guarded(&self) -> bool {
        self.definition.contains("rowmesh.applying") || self.body.contains("rowmesh.applying")
    }

    /// Whether it fires for deletes only, and whether it fires for anything else only.
    fn deletes(&self) -> (bool, bool) {
        (self.timing & (4 | 16) == 0, self.timing & 8 == 0)
    }
}

/// Judges every trigger of the application that stands on a tracked table, or on a table that a carried one writes.
///
/// # Errors
/// If the catalog cannot be read.
pub fn survey(session: &Session, home: &str, options: &AttachOptions, tables: &[Tracked]) -> Result<Judged> {
    let mut judge = Judge::new(session, home, options, tables)?;
    let sources = sources(session)?;
    let mut all: Vec<(Source, ApplicationTrigger)> = Vec::with_capacity(sources.len());
    for mut source in sources {
        let table = judge.name_of(&source);
        let treatment = judge.treatment(&mut source)?;
        let name = trigger_name(&source.definition);
        all.push((source, ApplicationTrigger { name, table, treatment }));
    }
    let reached = reached(&all, &judge.tracked);
    let is_replica = session.is_replica();
    let (mut triggers, mut copied) = (Vec::new(), BTreeSet::new());
    for (number, (source, mut trigger)) in all.into_iter().enumerate() {
        let is_reached = reached.contains(&number);
        if !is_reached && !judge.tracked.contains(&trigger.table) {
            continue;
        }
        let fires = source.fires(is_replica);
        if fires && !matches!(trigger.treatment, Treatment::Carried(_) | Treatment::NoEffect) {
            let why = match (is_replica, source.enabled.as_str()) {
                (false, "O") => "since this role may not keep it still",
                _ => "since it is set to fire for changes from elsewhere too",
            };
            if !source.is_guarded() {
                let why = match what_it_does(&trigger.treatment) {
                    Some(does) => format!("{why}: {does}"),
                    None => why.to_owned(),
                };
                trigger.treatment = Treatment::Fires { why, remedy: guarded(&source) };
            }
        } else if !fires && is_reached && trigger.treatment.is_carried() {
            if may_alter(session, source.relation)? {
                copied.insert(triggers.len());
            } else {
                let owner = "only the owner of its table may let it run: rowmesh init --print-grants tells which right is missing";
                trigger.treatment = Treatment::CannotRun(owner.to_owned());
            }
        }
        triggers.push((source, trigger));
    }
    Ok(Judged { triggers, copied, is_replica, path: judge.path })
}

/// What a trigger that fires does that it should not.
fn what_it_does(treatment: &Treatment) -> Option<String> {
    Some(match treatment {
        Treatment::TravelsAsRows(tables) | Treatment::Mixed { tracked: tables, .. } => {
            format!("what it writes to {} travels by itself and would be there twice", tables.join(", "))
        }
        Treatment::Checks => "it may refuse what was allowed where it was written".to_owned(),
        Treatment::ChangesItsRow => "it may change rows otherwise than where they were written".to_owned(),
        Treatment::CannotTell(why) => why.clone(),
        _ => return None,
    })
}

/// Brings the copies in step with what was judged: makes those that are missing, anew those whose trigger or function has moved, and drops those
/// that are wanted no more. Returns whether anything was done.
///
/// # Errors
/// If the database cannot be written, or somebody holds a table for long.
pub fn refresh(session: &Session, judged: &Judged) -> Result<bool> {
    assert!(judged.is_replica || judged.copied.is_empty(), "copies are for sessions that keep triggers still");
    let wanted: Vec<Copy> = judged.copied.iter().map(|n| Copy::of(&judged.triggers[*n].0, &judged.path)).collect();
    let standing = standing(session)?;
    let mut moved = false;
    for stale in standing.iter().filter(|copy| !wanted.iter().any(|wanted| wanted.stands_as(copy))) {
        moved = true;
        patiently(session, || drop_copy(session, stale))?;
    }
    for copy in wanted.iter().filter(|wanted| !standing.iter().any(|copy| wanted.stands_as(copy))) {
        moved = true;
        patiently(session, || copy.make(session))?;
    }
    Ok(moved)
}

/// A copy that stands.
pub(crate) struct Standing {
    pub(crate) name: String,
    pub(crate) relation: u32,
    pub(crate) place: (String, String),
    pub(crate) function: String,
    mark: String,
    is_enabled: bool,
}

/// All copies that stand. Those that partitions have of the whole table's are not told.
///
/// # Errors
/// If the catalog cannot be read.
pub(crate) fn standing(session: &Session) -> Result<Vec<Standing>> {
    let sql = "SELECT g.tgname::text, g.tgrelid, n.nspname::text, c.relname::text, p.proname::text, p.prosrc, g.tgenabled::text
                 FROM pg_catalog.pg_trigger g
                 JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
                WHERE g.tgparentid = 0 AND pg_catalog.starts_with(g.tgname::text, $1)
                  AND p.pronamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'rowmesh')
                ORDER BY 3, 4, 1";
    let rows = session.query(sql, &[&TRIGGER_PREFIX])?;
    Ok(rows
        .iter()
        .map(|row| Standing {
            name: row.get(0),
            relation: row.get(1),
            place: (row.get(2), row.get(3)),
            function: row.get(4),
            mark: row.get::<_, &str>(5).lines().next().unwrap_or_default().to_owned(),
            is_enabled: row.get::<_, &str>(6) == "R",
        })
        .collect())
}

/// Takes all copies out, in the transaction that is under way.
///
/// # Errors
/// If the database cannot be written.
pub fn drop_copies(session: &Session) -> Result<()> {
    standing(session)?.iter().try_for_each(|copy| drop_copy(session, copy))
}

fn drop_copy(session: &Session, copy: &Standing) -> Result<()> {
    drop_trigger_on(session, copy.relation, &copy.place, &copy.name, &copy.function)?;
    session.batch(&format!("DROP FUNCTION IF EXISTS rowmesh.{}()", quote(&copy.function)))
}

/// A trigger and a function of ours that do what one of the application's does.
struct Copy {
    name: String,
    place: (String, String),
    function: String,
    mark: String,
    sql: String,
    runs_as: String,
}

impl Copy {
    fn of(source: &Source, path: &[String]) -> Copy {
        let own_name = trigger_name(&source.definition);
        let told = format!("{:?} {own_name}", source.place);
        let short = |text: &str| hex(&blake3::hash(text.as_bytes()).as_bytes()[..6]);
        let mut name = format!("{TRIGGER_PREFIX}{own_name}");
        if name.len() > NAME_BYTES_MAX {
            let end = (0..=NAME_BYTES_MAX - 13).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
            name = format!("{}_{}", &name[..end], short(&told));
        }
        let function = format!("{PREFIX}{}", short(&told));
        let trigger = copied_definition(source, &name, &function);
        let mut settings = source.settings.clone();
        if own_path(&settings).is_none() {
            settings.push(path_setting(path));
        }
        let settings: String = settings.iter().map(|setting| format!(" {setting}")).collect();
        let made = |mark: &str| {
            let body = format!("{mark}\n{}", source.body);
            format!(
                "CREATE OR REPLACE FUNCTION rowmesh.{function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER{settings} AS {}",
                literal(&body)
            )
        };
        let mark = format!("/* rowmesh carried {} */", short(&format!("{}{trigger}{}", made(""), source.runs_as)));
        let sql = format!(
            "{};\nREVOKE ALL ON FUNCTION rowmesh.{function}() FROM PUBLIC;\n{trigger};\nALTER TABLE {} ENABLE REPLICA TRIGGER {};",
            made(&mark),
            qualified(&source.place.0, &source.place.1),
            quote(&name)
        );
        Copy { name, place: source.place.clone(), function, mark, sql, runs_as: source.runs_as.clone() }
    }

    fn stands_as(&self, copy: &Standing) -> bool {
        (&self.name, &self.place, &self.function, &self.mark) == (&copy.name, &copy.place, &copy.function, &copy.mark)
            && copy.is_enabled
    }

    fn make(&self, session: &Session) -> Result<()> {
        session
            .batch(&format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", qualified(&self.place.0, &self.place.1)))?;
        session.batch(&self.sql)?;
        // What the application wrote has no more rights with us than with it.
        let is_superuser: bool = session.query_one("SELECT current_setting('is_superuser') = 'on'", &[])?.get(0);
        match is_superuser {
            true => {
                session.batch(&format!("ALTER FUNCTION rowmesh.{}() OWNER TO {}", self.function, quote(&self.runs_as)))
            }
            false => Ok(()),
        }
    }
}

/// The definition of a copy: another name and function, and only for us.
fn copied_definition(source: &Source, name: &str, function: &str) -> String {
    let old_name = quoted_as_server(&source.definition);
    let head = source.definition.replacen(
        &format!("CREATE TRIGGER {old_name} "),
        &format!("CREATE TRIGGER {} ", quote(name)),
        1,
    );
    let with_guard = with_condition(&head, "current_setting('rowmesh.applying', true) = 'on'");
    let at = with_guard.rfind(" EXECUTE FUNCTION ").unwrap_or(with_guard.len());
    let arguments = &source.definition[source.definition.rfind(" EXECUTE FUNCTION ").unwrap_or(0)..];
    let arguments = &arguments[arguments.find('(').unwrap_or(0)..];
    format!("{} EXECUTE FUNCTION rowmesh.{function}{arguments}", &with_guard[..at])
}

/// The statement that gives a trigger its guard.
fn guarded(source: &Source) -> String {
    if source.is_constraint {
        return format!("begin its function {} with IF {GUARD} IS NOT TRUE THEN RETURN NULL; END IF;", source.function);
    }
    let sql = source.definition.replacen("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1);
    format!("{};", with_condition(&sql, GUARD))
}

/// A trigger's definition, as the server writes it, with one condition more.
fn with_condition(definition: &str, condition: &str) -> String {
    let Some(at) = definition.rfind(" EXECUTE FUNCTION ") else { return definition.to_owned() };
    let (head, rest) = definition.split_at(at);
    match head.strip_suffix(')') {
        // Only a condition ends with a parenthesis there.
        Some(open) if head.contains(" WHEN (") => format!("{open} AND {condition}){rest}"),
        _ => format!("{head} WHEN ({condition}){rest}"),
    }
}

/// The name in a definition, without quotes, and with those that the server has put.
fn trigger_name(definition: &str) -> String {
    let words = tokens(definition);
    let at = words.iter().position(|word| word.is("trigger")).unwrap_or(0);
    words.get(at + 1).and_then(Token::name).unwrap_or_default().to_owned()
}

fn quoted_as_server(definition: &str) -> String {
    let name = trigger_name(definition);
    if definition.starts_with(&format!("CREATE TRIGGER {name} ")) { name } else { quote(&name) }
}

/// Triggers of the application that can fire at all. Copies that partitions have of the whole table's are not told.
fn sources(session: &Session) -> Result<Vec<Source>> {
    let sql = "SELECT n.nspname::text, c.relname::text, g.tgrelid, g.tgenabled::text, g.tgtype, g.tgconstraint <> 0,
                      pg_catalog.pg_get_triggerdef(g.oid), l.lanname::text, g.tgfoid::regproc::text, p.prosrc,
                      ARRAY(SELECT pg_catalog.format('SET %s = %s', pg_catalog.split_part(s, '=', 1),
                                     CASE WHEN pg_catalog.split_part(s, '=', 1) = 'search_path' AND pg_catalog.strpos(s, '=') < pg_catalog.length(s)
                                          THEN pg_catalog.substr(s, pg_catalog.strpos(s, '=') + 1)
                                          ELSE pg_catalog.quote_literal(pg_catalog.substr(s, pg_catalog.strpos(s, '=') + 1)) END)
                              FROM pg_catalog.unnest(p.proconfig) s),
                      pg_catalog.pg_get_userbyid(CASE WHEN p.prosecdef THEN p.proowner ELSE c.relowner END)::text
                 FROM pg_catalog.pg_trigger g
                 JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid AND c.relkind IN ('r', 'p')
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
                 JOIN pg_catalog.pg_language l ON l.oid = p.prolang
                WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND g.tgenabled <> 'D'
                  AND NOT pg_catalog.starts_with(g.tgname::text, $1) AND NOT pg_catalog.starts_with(g.tgname::text, $2)
                  AND n.nspname <> 'rowmesh'
                ORDER BY n.nspname, c.relname, g.tgname";
    let rows = session.query(sql, &[&capture::TRIGGER_PREFIX, &TRIGGER_PREFIX])?;
    Ok(rows
        .iter()
        .map(|row| Source {
            place: (row.get(0), row.get(1)),
            relation: row.get(2),
            enabled: row.get(3),
            timing: row.get(4),
            is_constraint: row.get(5),
            definition: row.get(6),
            language: row.get(7),
            function: row.get(8),
            body: row.get(9),
            settings: row.get(10),
            runs_as: row.get(11),
            writes: None,
        })
        .collect())
}

/// Positions of the triggers that can fire because of our writes: carried ones on tracked tables, and those on what they write.
fn reached(judged: &[(Source, ApplicationTrigger)], tracked: &BTreeSet<TableName>) -> BTreeSet<usize> {
    let mut by_table: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, (_, trigger)) in judged.iter().enumerate() {
        by_table.entry(&trigger.table).or_default().push(index);
    }
    let mut waiting: Vec<&str> = tracked.iter().map(|table| &**table).collect();
    let mut seen: BTreeSet<&str> = waiting.iter().copied().collect();
    let mut reached = BTreeSet::new();
    while let Some(table) = waiting.pop() {
        for index in by_table.get(table).into_iter().flatten() {
            if let Treatment::Carried(writes) = &judged[*index].1.treatment {
                reached.insert(*index);
                waiting.extend(writes.iter().map(String::as_str).filter(|written| seen.insert(written)));
            }
        }
    }
    reached
}

/// What is known of the database while triggers are judged.
struct Judge<'a> {
    session: &'a Session,
    options: &'a AttachOptions,
    home: &'a str,
    tracked: BTreeSet<TableName>,
    /// By schema and name, parts included: under which name the whole travels.
    relations: HashMap<(String, String), Relation>,
    /// The schemas in which the application looks for bare names.
    path: Vec<String>,
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
    fn new(session: &'a Session, home: &'a str, options: &'a AttachOptions, tables: &[Tracked]) -> Result<Judge<'a>> {
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

    fn name_of(&self, source: &Source) -> TableName {
        let known = self.relations.get(&source.place).map(|relation| relation.name.clone());
        known.unwrap_or_else(|| travel_name(self.home, &source.place.0, &source.place.1))
    }

    fn treatment(&mut self, source: &mut Source) -> Result<Treatment> {
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
fn own_path(settings: &[String]) -> Option<Vec<String>> {
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

/// The settings that a copy needs beside the function's own: where to look for bare names.
fn path_setting(path: &[String]) -> String {
    format!("SET search_path = {}, pg_temp", quote_list(path))
}
