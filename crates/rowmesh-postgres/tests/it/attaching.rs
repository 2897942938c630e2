//! The plan, attaching, following the application's schema, and taking everything out again.

use rowmesh_engine::changes::ChangeKind;
use rowmesh_engine::plan::{AttachOptions, Followed, Plan};
use rowmesh_postgres::attach::{attach, detach, follow, installed, is_attached, plan};
use rowmesh_postgres::capture::VERSION;
use rowmesh_postgres::catalog::home_schema;
use rowmesh_postgres::connection::Session;
use rowmesh_postgres::watch::Watch;

use crate::capturing::{attached, noted};
use crate::cluster::Database;

fn options() -> AttachOptions {
    AttachOptions::default()
}

fn planned(schema: &str) -> Plan {
    let database = Database::new();
    let session = database.session();
    session.batch(schema).unwrap();
    let plan = plan(&session, "public", &options()).unwrap();
    assert!(!is_attached(&session).unwrap(), "a plan writes nothing");
    plan
}

fn kinds(followed: &Followed) -> Vec<(String, ChangeKind)> {
    followed.changes.iter().map(|change| (change.table.to_string(), change.kind.clone())).collect()
}

/// After losing a trigger this way, a look tells at once, following tells that the table must be reconciled, and capture stands again.
fn check_lost(statements: &str, expected: ChangeKind) {
    let (_database, session) =
        attached("CREATE TABLE public.t (id int PRIMARY KEY, n int); CREATE TABLE public.other (id int PRIMARY KEY)");
    let mut watch = Watch::default();
    watch.followed(follow(&session, "public", &options()).unwrap().schema_version);
    assert!(!watch.look(&session).unwrap().schema_changed);
    session.batch(statements).unwrap();
    assert!(watch.look(&session).unwrap().schema_changed, "{statements}");
    let followed = follow(&session, "public", &options()).unwrap();
    let change = followed.changes.iter().find(|change| &*change.table == "t").unwrap_or_else(|| panic!("{statements}"));
    assert_eq!((&change.kind, change.needs_reconcile()), (&expected, true), "{statements}");
    watch.followed(followed.schema_version);
    assert!(!watch.look(&session).unwrap().schema_changed, "{statements}");
    assert_eq!(kinds(&follow(&session, "public", &options()).unwrap()), [], "{statements}");
    session.batch("DELETE FROM rowmesh.dirty; INSERT INTO public.t VALUES (77)").unwrap();
    assert_eq!(noted(&session, "t"), ["insert 77"], "{statements}");
}

#[test]
fn a5_each_way_of_losing_a_trigger_is_noticed_and_mended() {
    let vanished = ChangeKind::TriggersVanished;
    check_lost("ALTER TABLE public.t DISABLE TRIGGER ALL", vanished.clone());
    check_lost("ALTER TABLE public.t DISABLE TRIGGER rowmesh_capture_2_update", vanished.clone());
    check_lost("DROP TRIGGER rowmesh_capture_2_truncate ON public.t", vanished.clone());
    check_lost(
        "CREATE OR REPLACE FUNCTION rowmesh.capture_2_insert() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        vanished.clone(),
    );
    check_lost("DROP FUNCTION rowmesh.capture_2_insert() CASCADE", vanished.clone());
    // As pg_restore --disable-triggers does: what was written in between is not noted, and at the end all stands again, nearly.
    let restored = "ALTER TABLE public.t DISABLE TRIGGER ALL; INSERT INTO public.t VALUES (1); ALTER TABLE public.t ENABLE TRIGGER ALL";
    check_lost(restored, vanished.clone());
    let exactly = "ALTER TABLE public.t DISABLE TRIGGER rowmesh_capture_2_insert; INSERT INTO public.t VALUES (1);
                   ALTER TABLE public.t ENABLE ALWAYS TRIGGER rowmesh_capture_2_insert";
    check_lost(exactly, vanished);
    check_lost("DROP TABLE public.t; CREATE TABLE public.t (id int PRIMARY KEY, n int)", ChangeKind::Rebuilt);
    let swapped = "CREATE TABLE public.t2 (LIKE public.t INCLUDING ALL); ALTER TABLE public.t RENAME TO old; ALTER TABLE public.t2 RENAME TO t; DROP TABLE public.old";
    check_lost(swapped, ChangeKind::Rebuilt);
}

#[test]
fn i11_tables_of_ours_that_someone_drops_are_made_anew() {
    let (_database, session) = attached("CREATE TABLE public.t (id int PRIMARY KEY)");
    session.batch("DROP TABLE rowmesh.dirty").unwrap();
    let followed = follow(&session, "public", &options()).unwrap();
    assert_eq!(kinds(&followed), [("t".to_owned(), ChangeKind::NotesLost)]);
    session.batch("DROP TABLE rowmesh.tables CASCADE").unwrap();
    let followed = follow(&session, "public", &options()).unwrap();
    assert!(followed.changes[0].needs_reconcile(), "{:?}", followed.changes);
    session.batch("INSERT INTO public.t VALUES (1)").unwrap();
    assert_eq!(noted(&session, "t"), ["insert 1"]);
    session.batch("DROP SCHEMA rowmesh CASCADE; INSERT INTO public.t VALUES (2)").unwrap();
    assert!(!is_attached(&session).unwrap());
}

#[test]
fn new_altered_renamed_and_dropped_tables_are_followed() {
    let (_database, session) =
        attached("CREATE TABLE public.a (id int PRIMARY KEY); CREATE TABLE public.b (id int PRIMARY KEY)");
    session
        .batch("CREATE TABLE public.c (id int PRIMARY KEY); ALTER TABLE public.a ADD COLUMN n int; DROP TABLE public.b")
        .unwrap();
    let mut told = kinds(&follow(&session, "public", &options()).unwrap());
    told.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [("a", ChangeKind::Altered), ("b", ChangeKind::Dropped), ("c", ChangeKind::Appeared)];
    assert_eq!(told, expected.map(|(table, kind)| (table.to_owned(), kind)));
    session.batch("ALTER TABLE public.c RENAME TO d").unwrap();
    let told = kinds(&follow(&session, "public", &options()).unwrap());
    assert_eq!(told, [("d".to_owned(), ChangeKind::Renamed { from: "c".into() })]);
    session.batch("INSERT INTO public.d VALUES (1)").unwrap();
    assert_eq!(noted(&session, "d"), ["insert 1"]);
    assert_eq!(kinds(&follow(&session, "public", &options()).unwrap()), []);
    let left = AttachOptions { exclude: vec!["a".to_owned()], ..options() };
    follow(&session, "public", &left).unwrap();
    session.batch("INSERT INTO public.a VALUES (1)").unwrap();
    assert_eq!(noted(&session, "a"), [] as [&str; 0]);
}

#[test]
fn a20_a21_what_cannot_be_tracked_is_told_with_code_and_remedy() {
    let plan = planned(
        "CREATE TABLE public.no_key (a int); CREATE TABLE public.id_only (id int); CREATE UNLOGGED TABLE public.quick (id int PRIMARY KEY);
         CREATE TABLE public.parent (id int PRIMARY KEY); CREATE TABLE public.child (PRIMARY KEY (id)) INHERITS (public.parent);
         CREATE MATERIALIZED VIEW public.m AS SELECT 1; CREATE VIEW public.v AS SELECT 1; CREATE TEMP TABLE gone (id int PRIMARY KEY);
         CREATE TABLE public.nullable (a int UNIQUE);
         CREATE TABLE public.computed (a int, b int GENERATED ALWAYS AS (a) STORED PRIMARY KEY);
         CREATE TABLE public.wide (a int, b int, c int, d int, e int, f int, g int, h int, i int, PRIMARY KEY (a, b, c, d, e, f, g, h, i));
         CREATE TABLE public.\"_AToB\" (\"A\" int NOT NULL, \"B\" int NOT NULL); CREATE UNIQUE INDEX ab ON public.\"_AToB\" (\"A\", \"B\");
         CREATE TABLE public.partial (a int NOT NULL); CREATE UNIQUE INDEX p ON public.partial (a) WHERE a > 0",
    );
    let told: Vec<(&str, &str)> = plan.skipped.iter().map(|table| (&*table.name, table.code)).collect();
    let expected = [
        ("child", "RM2117"),
        ("computed", "RM2118"),
        ("id_only", "RM2103"),
        ("m", "RM2101"),
        ("no_key", "RM2103"),
        ("nullable", "RM2103"),
        ("parent", "RM2117"),
        ("partial", "RM2103"),
        ("quick", "RM2116"),
        ("wide", "RM2104"),
    ];
    assert_eq!(told, expected);
    assert_eq!(plan.names().iter().map(|name| &**name).collect::<Vec<_>>(), ["_AToB"]);
    let id_only = plan.skipped.iter().find(|table| &*table.name == "id_only").unwrap();
    assert_eq!(id_only.remedy, "ALTER TABLE \"public\".\"id_only\" ADD PRIMARY KEY (\"id\");");
}

#[test]
fn the_plan_knows_keys_foreign_keys_and_what_lacks_an_index() {
    let plan = planned(
        "CREATE TABLE public.p (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text NOT NULL UNIQUE);
         CREATE TABLE public.c (p int PRIMARY KEY REFERENCES public.p ON DELETE CASCADE, other int REFERENCES public.p (id));
         CREATE TABLE public.parts (id uuid, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
         CREATE TABLE public.parts_1 PARTITION OF public.parts DEFAULT;
         CREATE SCHEMA shop; CREATE TABLE shop.p (id bigint PRIMARY KEY)",
    );
    assert_eq!(plan.names().iter().map(|name| &**name).collect::<Vec<_>>(), ["c", "p", "parts", "shop.p"]);
    let kinds: Vec<String> = plan.tracked.iter().map(|table| format!("{} {:?}", table.name, table.key_kind)).collect();
    assert_eq!(kinds, ["c Natural", "p Generated", "parts Natural", "shop.p Natural"]);
    let foreign: Vec<(&str, &str, bool)> =
        plan.tracked[0].foreign_keys.iter().map(|key| (&*key.parent, key.on_delete.as_str(), key.not_null)).collect();
    assert_eq!(foreign, [("p", "CASCADE", true), ("p", "NO ACTION", false)]);
    assert_eq!(plan.tracked[1].uniques.len(), 1);
    let remedies: Vec<&str> = plan.unindexed.iter().map(|key| key.remedy.as_str()).collect();
    assert_eq!(remedies, ["CREATE INDEX ON \"public\".\"c\" (\"other\");"]);
}

#[test]
fn n6_detaching_leaves_the_database_as_it_was() {
    let schema = "CREATE TABLE public.t (id int PRIMARY KEY); CREATE TABLE public.parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
                  CREATE TABLE public.parts_1 PARTITION OF public.parts DEFAULT";
    let before = Database::new();
    before.session().batch(schema).unwrap();
    let (_database, session) = attached(schema);
    assert!(installed(&session).unwrap().len() > 20);
    detach(&session).unwrap();
    assert_eq!(installed(&session).unwrap(), []);
    let all =
        "SELECT count(*) FROM pg_class WHERE oid >= 16384 UNION ALL SELECT count(*) FROM pg_proc WHERE oid >= 16384
               UNION ALL SELECT count(*) FROM pg_trigger UNION ALL SELECT count(*) FROM pg_namespace";
    let count = |session: &Session| session.query(all, &[]).unwrap().iter().map(|row| row.get(0)).collect::<Vec<i64>>();
    assert_eq!(count(&session), count(&before.session()));
    session.batch("INSERT INTO public.t VALUES (1); INSERT INTO public.parts VALUES (1)").unwrap();
}

#[test]
fn n6_what_others_put_into_our_schema_stays() {
    let (_database, session) = attached("CREATE TABLE public.t (id int PRIMARY KEY)");
    session.batch("CREATE TABLE rowmesh.mine (id int)").unwrap();
    detach(&session).unwrap();
    session.query("SELECT * FROM rowmesh.mine", &[]).unwrap();
}

#[test]
fn a_schema_that_is_the_applications_is_refused() {
    let database = Database::new();
    let session = database.session();
    session.batch("CREATE SCHEMA rowmesh; CREATE TABLE rowmesh.events (id int)").unwrap();
    assert_eq!(plan(&session, "public", &options()).unwrap_err().code(), "RM2110");
    assert_eq!(attach(&session, "public", &options()).unwrap_err().code(), "RM2110");
    assert_eq!(follow(&session, "public", &options()).unwrap_err().code(), "RM2109");
}

#[test]
fn i13_triggers_of_another_version_are_replaced_and_a_newer_one_is_refused() {
    let (_database, session) = attached("CREATE TABLE public.t (id int PRIMARY KEY)");
    let reversion = |version: &str| {
        let row = session.query_one("SELECT prosrc FROM pg_proc WHERE proname = 'capture_1_update'", &[]).unwrap();
        let body = row.get::<_, String>(0).replace(&format!("rowmesh capture {VERSION} "), version);
        let sql = format!(
            "CREATE OR REPLACE FUNCTION rowmesh.capture_1_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $f${body}$f$"
        );
        session.batch(&sql).unwrap();
    };
    reversion("rowmesh capture 0 ");
    assert_eq!(kinds(&follow(&session, "public", &options()).unwrap()), [("t".to_owned(), ChangeKind::Upgraded)]);
    reversion("rowmesh capture 99 ");
    assert_eq!(follow(&session, "public", &options()).unwrap_err().code(), "RM2114");
}

#[test]
fn a_table_that_somebody_writes_to_is_attached_when_he_is_done_and_others_never_wait_for_us() {
    let database = Database::new();
    let (session, app, other) = (database.session(), database.session(), database.session());
    session.batch("CREATE TABLE public.t (id int PRIMARY KEY)").unwrap();
    app.batch("BEGIN; INSERT INTO public.t VALUES (1)").unwrap();
    std::thread::scope(|scope| {
        let own = database.session();
        let attaching = scope.spawn(move || attach(&own, "public", &options()).map(|_| ()));
        // Each of these would wait behind us if we waited for the lock without giving way.
        other.batch("SET lock_timeout = '200ms'").unwrap();
        for id in 10..1000 {
            other.execute("INSERT INTO public.t VALUES ($1)", &[&id]).unwrap();
        }
        assert!(!attaching.is_finished());
        app.batch("COMMIT").unwrap();
        attaching.join().unwrap().unwrap();
    });
    other.batch("INSERT INTO public.t VALUES (2)").unwrap();
    assert_eq!(noted(&session, "t"), ["insert 2"]);
}

#[test]
fn an_ordinary_role_that_owns_the_tables_attaches_and_the_search_path_names_the_home_schema() {
    let database = Database::new();
    let role = database.role("owner");
    let superuser = database.session();
    superuser
        .batch(&format!(
            "CREATE SCHEMA shop AUTHORIZATION \"{role}\"; GRANT CREATE ON DATABASE \"{name}\" TO \"{role}\";
             ALTER ROLE \"{role}\" IN DATABASE \"{name}\" SET search_path = \"$user\", missing, \"shop\", public",
            name = superuser.query_one("SELECT current_database()::text", &[]).unwrap().get::<_, String>(0)
        ))
        .unwrap();
    let session = Session::open(&database.location().as_user(role)).unwrap();
    session.batch("CREATE TABLE shop.t (id int PRIMARY KEY)").unwrap();
    let home = home_schema(&session, None).unwrap();
    assert_eq!(home, "shop");
    let followed = attach(&session, &home, &options()).unwrap();
    assert_eq!(kinds(&followed), [("t".to_owned(), ChangeKind::Appeared)]);
    superuser.batch("INSERT INTO shop.t VALUES (1)").unwrap();
    let count: i64 = session.query_one("SELECT count(*) FROM rowmesh.dirty", &[]).unwrap().get(0);
    assert_eq!(count, 1, "a writer in the replica role is noted too");
    detach(&session).unwrap();
    superuser.batch(&format!("DROP SCHEMA shop CASCADE; DROP OWNED BY \"{}\"", session_user(&session))).unwrap();
}

fn session_user(session: &Session) -> String {
    session.query_one("SELECT current_user::text", &[]).unwrap().get(0)
}
