//! Which tables travel at all, by name: what a person names or leaves out, and what stays at home everywhere unless named.
//! Rows are not judged here, and no table is looked at.

use std::fmt;

/// A pattern of table names that stay at home unless a person names them, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultExclusion {
    /// `*` stands for any run of characters, `?` for one; case does not matter.
    pub pattern: &'static str,
    /// Why, in words for the plan.
    pub reason: &'static str,
}

const OWN: &str = "Rowmesh's own";
const INTERNAL: &str = "the database's own";
const SESSIONS: &str = "who is logged in on this server";
const TOKENS: &str = "tokens of mails that are on their way";
const AUDIT: &str = "what happened on this server";
const MIGRATIONS: &str = "migration history of this database";

/// Tables that nobody can bring into the mesh: they describe this node or this database file.
pub const ALWAYS_EXCLUDED: &[DefaultExclusion] = &[
    exclusion("rowmesh_*", OWN),
    exclusion("_rowmesh_*", OWN),
    exclusion("rowmesh.*", OWN),
    exclusion("sqlite_*", INTERNAL),
    exclusion("pg_catalog.*", INTERNAL),
    exclusion("information_schema.*", INTERNAL),
];

/// Tables that stay at home unless a person names them. Names that business data bears too, such as `training_sessions` or
/// `stock_audits`, are not in it: a table too many in the mesh is seen in the plan, a missing one is missed in an emergency.
pub const DEFAULT_EXCLUSIONS: &[DefaultExclusion] = &[
    exclusion("session", SESSIONS),
    exclusion("sessions", SESSIONS),
    exclusion("user_session", SESSIONS),
    exclusion("user_sessions", SESSIONS),
    exclusion("usersession", SESSIONS),
    exclusion("usersessions", SESSIONS),
    exclusion("auth_session*", SESSIONS),
    exclusion("login_session*", SESSIONS),
    exclusion("web_session*", SESSIONS),
    exclusion("http_session*", SESSIONS),
    exclusion("ci_sessions", SESSIONS),
    exclusion("django_session", SESSIONS),
    exclusion("spring_session*", SESSIONS),
    exclusion("tower_session*", SESSIONS),
    exclusion("*verification_token*", TOKENS),
    exclusion("*verificationtoken*", TOKENS),
    exclusion("password_reset*", TOKENS),
    exclusion("passwordreset*", TOKENS),
    exclusion("audit_log", AUDIT),
    exclusion("audit_logs", AUDIT),
    exclusion("auditlog", AUDIT),
    exclusion("auditlogs", AUDIT),
    exclusion("auditlog_logentry", AUDIT),
    exclusion("audit_trail", AUDIT),
    exclusion("audit_trails", AUDIT),
    exclusion("*_audit_log", AUDIT),
    exclusion("*_audit_logs", AUDIT),
    exclusion("audit_events", AUDIT),
    exclusion("auditevents", AUDIT),
    exclusion("django_admin_log", AUDIT),
    exclusion("_prisma_migrations", MIGRATIONS),
    exclusion("django_migrations", MIGRATIONS),
    exclusion("schema_migration", MIGRATIONS),
    exclusion("schema_migrations", MIGRATIONS),
    exclusion("ar_internal_metadata", MIGRATIONS),
    exclusion("knex_migrations*", MIGRATIONS),
    exclusion("__efmigrationshistory", MIGRATIONS),
    exclusion("__efmigrationslock", MIGRATIONS),
    exclusion("flyway_schema_history", MIGRATIONS),
    exclusion("schema_version", MIGRATIONS),
    exclusion("schemaversions", MIGRATIONS),
    exclusion("versioninfo", MIGRATIONS),
    exclusion("databasechangelog", MIGRATIONS),
    exclusion("databasechangeloglock", MIGRATIONS),
    exclusion("alembic_version", MIGRATIONS),
    exclusion("sequelizemeta", MIGRATIONS),
    exclusion("sequelizedata", MIGRATIONS),
    exclusion("migrations", MIGRATIONS),
    exclusion("typeorm_metadata", MIGRATIONS),
    exclusion("typeorm_migrations", MIGRATIONS),
    exclusion("mikro_orm_migrations", MIGRATIONS),
    exclusion("doctrine_migration_versions", MIGRATIONS),
    exclusion("phinxlog", MIGRATIONS),
    exclusion("__drizzle_migrations", MIGRATIONS),
    exclusion("drizzle_migrations", MIGRATIONS),
    exclusion("atlas_schema_revisions", MIGRATIONS),
    exclusion("dbmate_migrations", MIGRATIONS),
    exclusion("south_migrationhistory", MIGRATIONS),
    exclusion("kysely_migration", MIGRATIONS),
    exclusion("kysely_migration_lock", MIGRATIONS),
    exclusion("pgmigrations", MIGRATIONS),
    exclusion("goose_db_version", MIGRATIONS),
    exclusion("gorp_migrations", MIGRATIONS),
    exclusion("_sqlx_migrations", MIGRATIONS),
    exclusion("__diesel_schema_migrations", MIGRATIONS),
    exclusion("refinery_schema_history", MIGRATIONS),
    exclusion("seaql_migrations", MIGRATIONS),
    exclusion("d1_migrations", MIGRATIONS),
    exclusion("_yoyo_*", MIGRATIONS),
    exclusion("yoyo_lock", MIGRATIONS),
    exclusion("migratehistory", MIGRATIONS),
    exclusion("aerich", MIGRATIONS),
];

/// Which tables travel, by name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TablePatterns {
    /// Tables that travel, by name or pattern; empty means all. A name in full also beats a default exclusion and an excluding
    /// pattern: `["*", "audit_logs"]` is everything, and the audit log too.
    pub include: Vec<String>,
    /// Tables that stay at home, by name or pattern.
    pub exclude: Vec<String>,
}

/// Whether a table travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It does.
    Sync,
    /// It stays at home.
    Skip {
        /// The pattern that says so.
        pattern: String,
        /// Why, in words for the plan.
        reason: &'static str,
    },
}

impl TablePatterns {
    /// Reads one list in which `!name` or `!pattern` includes and all others exclude, as rosters carry it.
    pub fn from_rules<'r>(rules: impl IntoIterator<Item = &'r str>) -> TablePatterns {
        let mut patterns = TablePatterns::default();
        for rule in rules {
            match rule.trim().strip_prefix('!') {
                Some(included) => patterns.include.push(included.trim().to_owned()),
                None => patterns.exclude.push(rule.trim().to_owned()),
            }
        }
        patterns
    }

    /// The list that [`TablePatterns::from_rules`] reads.
    pub fn to_rules(&self) -> Vec<String> {
        self.exclude.iter().cloned().chain(self.include.iter().map(|name| format!("!{name}"))).collect()
    }

    /// Decides about one table. First that applies: never Rowmesh's own; excluded by its full name; included by its full name;
    /// excluded by a pattern; excluded by default; included by a pattern or for lack of any.
    pub fn decide(&self, name: &str) -> Decision {
        if let Some(own) = ALWAYS_EXCLUDED.iter().find(|exclusion| matches(exclusion.pattern, name)) {
            return own.skip();
        }
        let named = |list: &[String]| list.iter().find(|entry| !is_pattern(entry) && matches(entry, name)).cloned();
        let excluded = |pattern: String| Decision::Skip { pattern, reason: "excluded by the configuration" };
        if let Some(entry) = named(&self.exclude) {
            return excluded(entry);
        }
        if named(&self.include).is_some() {
            return Decision::Sync;
        }
        if let Some(pattern) = self.exclude.iter().find(|pattern| matches(pattern, name)) {
            return excluded(pattern.clone());
        }
        if let Some(default) = DEFAULT_EXCLUSIONS.iter().find(|exclusion| matches(exclusion.pattern, name)) {
            return default.skip();
        }
        if self.include.is_empty() || self.include.iter().any(|pattern| matches(pattern, name)) {
            return Decision::Sync;
        }
        Decision::Skip { pattern: self.include.join(", "), reason: "not among the included tables" }
    }

    /// Whether a person included this very table by its full name.
    pub fn names(&self, table: &str) -> bool {
        self.include.iter().any(|entry| !is_pattern(entry) && matches(entry, table))
    }

    /// Includes one table by its full name, whatever excluded it before; all others stay as they are.
    pub fn add(&mut self, table: &str) {
        self.exclude.retain(|entry| is_pattern(entry) || !matches(entry, table));
        if self.include.is_empty() {
            self.include.push("*".to_owned());
        }
        if !self.names(table) {
            self.include.push(table.to_owned());
        }
    }

    /// Leaves one table out by its full name, whatever included it before; all others stay as they are.
    pub fn remove(&mut self, table: &str) {
        let names = |entry: &String| !is_pattern(entry) && matches(entry, table);
        // An empty list means all: whoever included nothing else keeps the entry, which the exclusion beats.
        if self.include.iter().any(|entry| !names(entry)) {
            self.include.retain(|entry| !names(entry));
        }
        if !self.exclude.iter().any(names) {
            self.exclude.push(table.to_owned());
        }
    }
}

impl DefaultExclusion {
    fn skip(&self) -> Decision {
        Decision::Skip { pattern: self.pattern.to_owned(), reason: self.reason }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Sync => f.write_str("sync"),
            Decision::Skip { pattern, reason } => write!(f, "skip ({reason}; {pattern})"),
        }
    }
}

const fn exclusion(pattern: &'static str, reason: &'static str) -> DefaultExclusion {
    DefaultExclusion { pattern, reason }
}

fn is_pattern(entry: &str) -> bool {
    entry.contains(['*', '?'])
}

/// Whether a pattern fits a table's name, with its schema or without.
fn matches(pattern: &str, name: &str) -> bool {
    let bare = name.split_once('.').map(|(_, bare)| bare);
    glob(pattern, name) || bare.is_some_and(|bare| glob(pattern, bare))
}

/// `*` is any run of characters, `?` one; case does not matter.
fn glob(pattern: &str, name: &str) -> bool {
    let folded = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
    let (pattern, name) = (folded(pattern), folded(name));
    let (mut part, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match pattern.get(part) {
            Some('*') => {
                part += 1;
                retry = Some((part, at));
            }
            Some(c) if at < name.len() && (*c == '?' || *c == name[at]) => (part, at) = (part + 1, at + 1),
            None if at == name.len() => return true,
            _ => match retry {
                Some((after_star, from)) if from < name.len() => {
                    (part, at) = (after_star, from + 1);
                    retry = Some((part, at));
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(include: &[&str], exclude: &[&str]) -> TablePatterns {
        let owned = |list: &[&str]| list.iter().map(|entry| (*entry).to_owned()).collect();
        TablePatterns { include: owned(include), exclude: owned(exclude) }
    }

    fn check(patterns: &TablePatterns, name: &str, syncs: bool) {
        let decision = patterns.decide(name);
        assert_eq!(decision == Decision::Sync, syncs, "{name}: {decision}");
    }

    #[test]
    fn what_belongs_to_one_server_stays_at_home_by_default() {
        let defaults = TablePatterns::default();
        for name in [
            "sessions",
            "Session",
            "public.sessions",
            "VerificationToken",
            "verification_tokens",
            "email_verification_tokens",
            "password_reset_tokens",
            "audit_logs",
            "AuditLog",
            "_prisma_migrations",
            "django_migrations",
            "schema_migrations",
            "knex_migrations",
            "__EFMigrationsHistory",
            "flyway_schema_history",
            "alembic_version",
            "SequelizeMeta",
            "migrations",
            "rowmesh_dirty",
            "_rowmesh_x",
            "rowmesh.sync_nodes",
            "sqlite_sequence",
        ] {
            check(&defaults, name, false);
        }
    }

    #[test]
    fn business_data_with_a_similar_name_travels() {
        let defaults = TablePatterns::default();
        for name in [
            "training_sessions",
            "stock_audits",
            "bird_migrations",
            "tokens",
            "users",
            "sync_events",
            "audit_log_rules",
        ] {
            check(&defaults, name, true);
        }
    }

    #[test]
    fn each_default_exclusion_is_needed_once_and_says_why() {
        let all: Vec<&DefaultExclusion> = ALWAYS_EXCLUDED.iter().chain(DEFAULT_EXCLUSIONS).collect();
        for (position, exclusion) in all.iter().enumerate() {
            assert!(!exclusion.reason.is_empty());
            let twin = all
                .iter()
                .enumerate()
                .find(|(other, twin)| *other != position && matches(twin.pattern, exclusion.pattern));
            assert_eq!(twin, None, "{} is covered twice", exclusion.pattern);
        }
    }

    #[test]
    fn a_full_name_beats_a_pattern_and_a_default_but_never_our_own_tables() {
        let named = patterns(&["*", "audit_logs", "rowmesh_dirty", "order_archive"], &["*_archive", "users"]);
        check(&named, "audit_logs", true);
        check(&named, "AUDIT_LOGS", true);
        check(&named, "order_archive", true);
        check(&named, "stock_archive", false);
        check(&named, "users", false);
        check(&named, "rowmesh_dirty", false);
        check(&named, "orders", true);
        check(&patterns(&["users"], &["users"]), "users", false);
        check(&patterns(&["audit*"], &[]), "audit_logs", false);
    }

    #[test]
    fn adding_a_table_brings_it_in_and_leaves_the_others_as_they_were() {
        let mut all = patterns(&[], &["orders", "*_archive"]);
        for table in ["audit_logs", "orders", "stock_archive"] {
            check(&all, table, false);
            all.add(table);
            check(&all, table, true);
        }
        check(&all, "other_archive", false);
        check(&all, "sessions", false);
        check(&all, "users", true);
        let mut narrow = patterns(&["users"], &[]);
        narrow.add("orders");
        check(&narrow, "orders", true);
        check(&narrow, "products", false);
    }

    #[test]
    fn removing_a_table_leaves_it_out_and_the_others_as_they_were() {
        let mut all = patterns(&["*", "audit_logs"], &["*_archive"]);
        for table in ["audit_logs", "orders"] {
            check(&all, table, true);
            all.remove(table);
            check(&all, table, false);
        }
        check(&all, "users", true);
        check(&all, "stock_archive", false);
        let before = all.clone();
        all.remove("orders");
        assert_eq!(all, before, "twice is as good as once");
        all.add("orders");
        check(&all, "orders", true);
        let mut only = patterns(&["users"], &[]);
        only.remove("users");
        check(&only, "users", false);
        check(&only, "orders", false);
    }

    #[test]
    fn what_is_included_leaves_the_rest_at_home() {
        let narrowed = patterns(&["shop_*", "users"], &["shop_tmp_?"]);
        check(&narrowed, "shop_orders", true);
        check(&narrowed, "users", true);
        check(&narrowed, "shop_tmp_1", false);
        check(&narrowed, "shop_tmp_12", true);
        check(&narrowed, "other", false);
        check(&patterns(&["*"], &[]), "other", true);
    }

    #[test]
    fn rules_of_a_roster_come_back_as_they_were() {
        let both = patterns(&["audit_logs"], &["*_archive", "users"]);
        let rules = both.to_rules();
        assert_eq!(rules, ["*_archive", "users", "!audit_logs"]);
        assert_eq!(TablePatterns::from_rules(rules.iter().map(String::as_str)), both);
    }

    #[test]
    fn the_reason_is_told() {
        let decision = TablePatterns::default().decide("_prisma_migrations");
        assert_eq!(decision.to_string(), "skip (migration history of this database; _prisma_migrations)");
    }

    #[test]
    fn k13_a_glob_made_to_backtrack_ends_soon() {
        assert!(!glob(&"*a".repeat(200), &"a".repeat(199)));
        assert!(glob("*a?c*", "xxabcxx"));
        assert!(!glob("a?c", "ac"));
    }
}
