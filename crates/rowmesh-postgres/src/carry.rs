//! The application's triggers at the receiver. None of them fires for our writes where the session may say so, since what they write to tracked
//! tables travels as rows. The exceptions are those that only maintain what does not travel, such as a table that is not synced: they are *carried*,
//! as a trigger and a function of ours with the same text that fire for the daemon only, so that they have their effect here exactly once. What
//! the application made is never touched.
//!
//! Where the role may not keep triggers still all of them fire, and each that must not is told with the statement that gives it a guard.

use std::collections::BTreeSet;

use rowmesh_core::ident::hex;
use rowmesh_core::value::TableName;
use rowmesh_engine::plan::{ApplicationTrigger, AttachOptions, Treatment, reached};

use self::judge::{Judge, own_path};
use crate::attach::{drop_trigger_on, may_alter, patiently};
use crate::capture;
use crate::catalog::Tracked;
use crate::connection::Session;
use crate::error::Result;
use crate::sql::{Token, literal, qualified, quote, quote_list, tokens};

mod judge;

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
    let reached = reached(all.iter().map(|(_, trigger)| trigger), &judge.tracked);
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

/// The settings that a copy needs beside the function's own: where to look for bare names.
fn path_setting(path: &[String]) -> String {
    format!("SET search_path = {}, pg_temp", quote_list(path))
}
