//! The application's triggers at the receiver: what becomes of each, and that those which maintain what does not travel have their effect there
//! exactly once.

use std::collections::BTreeSet;

use rowmesh_core::store::Store;
use rowmesh_engine::plan::{AttachOptions, Treatment};
use rowmesh_postgres::attach::{detach, plan};
use rowmesh_postgres::connection::Session;

use crate::cluster::Database;
use crate::mesh::{Node, Site, check_equal, converge, now};

const SHOP: &str = "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE TABLE other (id int PRIMARY KEY, a text);
    CREATE TABLE notes_of_t (what text); CREATE TABLE counted (n int); INSERT INTO counted VALUES (0)";

/// A trigger on `t` with this occasion and body.
fn trigger(name: &str, occasion: &str, body: &str) -> String {
    format!(
        "; CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $body$ {body} $body$;
         CREATE TRIGGER {name} {occasion} EXECUTE FUNCTION {name}()"
    )
}

fn planned(session: &Session, options: &AttachOptions) -> Vec<(String, Treatment)> {
    let plan = plan(session, "public", options).unwrap();
    plan.triggers.into_iter().map(|trigger| (trigger.name, trigger.treatment)).collect()
}

#[test]
fn what_becomes_of_a_trigger_follows_from_what_it_does() {
    let of = |table: &str| vec![table.to_owned()];
    let row = "AFTER INSERT ON t FOR EACH ROW";
    let before = "BEFORE INSERT OR UPDATE ON t FOR EACH ROW";
    let untold = |why: &str| Treatment::CannotTell(why.to_owned());
    let cases: Vec<(&str, &str, &str, Treatment)> = vec![
        ("carried", row, "BEGIN INSERT INTO notes_of_t VALUES (NEW.a); RETURN NULL; END", Treatment::Carried(of("notes_of_t"))),
        (
            "carried_by_rules",
            row,
            "DECLARE x int; BEGIN /* UPDATE t */ IF TG_OP = 'UPDATE t SET' THEN RAISE NOTICE 'DELETE FROM t'; END IF;
             SELECT count(*) INTO x FROM other FOR UPDATE; UPDATE public.\"counted\" SET n = COALESCE(n, 0) + length(lower(NEW.a));
             INSERT INTO notes_of_t (what) VALUES (now()::text || gen_random_uuid()) ON CONFLICT DO NOTHING; RETURN NULL; END",
            Treatment::Carried(vec!["counted".to_owned(), "notes_of_t".to_owned()]),
        ),
        ("carried_by_help", row, "BEGIN PERFORM helps(NEW.a); RETURN NULL; END", Treatment::Carried(of("counted"))),
        ("carried_early", before, "BEGIN DELETE FROM notes_of_t; RETURN NEW; END", Treatment::Carried(of("notes_of_t"))),
        ("travels", row, "BEGIN WITH x AS (INSERT INTO other VALUES (1) RETURNING 1) SELECT 1; RETURN NULL; END", Treatment::TravelsAsRows(of("other"))),
        (
            "writes_both",
            row,
            "BEGIN UPDATE ONLY other SET a = ''; INSERT INTO notes_of_t VALUES (''); RETURN NULL; END",
            Treatment::Mixed { tracked: of("other"), untracked: of("notes_of_t") },
        ),
        ("checks", before, "BEGIN IF NEW.id < 0 THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END", Treatment::Checks),
        ("looks", row, "BEGIN PERFORM 1; RAISE WARNING 'x'; RETURN NULL; END", Treatment::NoEffect),
        ("changes", before, "BEGIN NEW.a := upper(NEW.a); RETURN NEW; END", Treatment::ChangesItsRow),
        ("changes_too", before, "BEGIN SELECT upper(NEW.a) INTO NEW.a; INSERT INTO notes_of_t VALUES (''); RETURN NEW; END", Treatment::ChangesItsRow),
        ("may_skip", before, "BEGIN INSERT INTO notes_of_t VALUES (''); RETURN NULL; END", untold("it fires before its row is written and may return another, or none")),
        ("at_run_time", row, "BEGIN EXECUTE 'INSERT INTO notes_of_t VALUES (1)'; RETURN NULL; END", untold("it makes statements while it runs (EXECUTE)")),
        ("tells", row, "BEGIN NOTIFY t; RETURN NULL; END", untold("it has an effect outside of the rows (NOTIFY)")),
        ("tells_too", row, "BEGIN PERFORM pg_notify('t', NEW.a); RETURN NULL; END", untold("it has an effect outside of the rows (NOTIFY)")),
        ("sets", row, "BEGIN PERFORM set_config('x.y', 'z', true); INSERT INTO notes_of_t VALUES (1); RETURN NULL; END", untold("it calls set_config, whose effect is not known")),
        ("by_view", row, "BEGIN INSERT INTO seen VALUES (1); RETURN NULL; END", untold("it writes to seen, which is a view or has rules")),
        ("nowhere", row, "BEGIN INSERT INTO missing VALUES (1); RETURN NULL; END", untold("it writes to missing, which is not found")),
        ("stays", row, "BEGIN INSERT INTO notes_of_t VALUES (1); RETURN NULL; END", Treatment::LeftByChoice),
        ("wanted", row, "BEGIN EXECUTE 'INSERT INTO notes_of_t VALUES (1)'; RETURN NULL; END", Treatment::Carried(Vec::new())),
    ];
    let database = Database::new();
    let session = database.session();
    let made: String = cases.iter().map(|(name, occasion, body, _)| trigger(name, occasion, body)).collect();
    session
        .batch(&format!(
            "SET search_path = public; {SHOP}; CREATE VIEW seen AS SELECT * FROM t;
             CREATE FUNCTION helps(x text) RETURNS void LANGUAGE sql AS 'UPDATE counted SET n = n + 1';
             ALTER TABLE t ADD words tsvector {made};
             CREATE TRIGGER words BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(words, 'pg_catalog.english', a);
             CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION carried();
             CREATE TRIGGER off AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION carried(); ALTER TABLE t DISABLE TRIGGER off;
             CREATE TRIGGER far AFTER INSERT ON counted FOR EACH ROW EXECUTE FUNCTION travels(); SET search_path = pg_catalog"
        ))
        .unwrap();
    let options = AttachOptions {
        leave_triggers: BTreeSet::from(["stays".to_owned()]),
        carry_triggers: BTreeSet::from(["wanted".to_owned()]),
        ..AttachOptions::default()
    };
    let found = planned(&session, &options);
    let of_name = |name: &str| found.iter().find(|(found, _)| found == name).map(|(_, treatment)| treatment.clone());
    for (name, _, _, expected) in &cases {
        assert_eq!(of_name(name).as_ref(), Some(expected), "{name}");
    }
    assert_eq!(of_name("words"), Some(Treatment::ChangesItsRow));
    assert_eq!(of_name("late"), Some(untold("it is a constraint")));
    assert_eq!(
        (of_name("off"), of_name("far")),
        (None, None),
        "one never fires, the other stands where nothing leads to"
    );
}

const AUDITED: &str =
    "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE TABLE notes_of_t (what text); CREATE TABLE counted (n int);
    INSERT INTO counted VALUES (0)";

fn audited() -> String {
    AUDITED.to_owned()
        + &trigger(
            "audit",
            "AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW",
            "BEGIN INSERT INTO notes_of_t VALUES (TG_OP); RETURN NULL; END",
        )
        + &trigger(
            "count_notes",
            "AFTER INSERT ON notes_of_t FOR EACH ROW WHEN (NEW.what <> 'DELETE')",
            "BEGIN UPDATE counted SET n = n + 1; RETURN NULL; END",
        )
}

fn notes(node: &Node) -> (String, String) {
    let noted = "SELECT coalesce(string_agg(what, ' ' ORDER BY what), '') FROM notes_of_t";
    (node.text(noted), node.text("SELECT n FROM counted"))
}

fn check_carried(mut nodes: Vec<Node>) -> Vec<Node> {
    nodes[0].run("INSERT INTO t VALUES (1, 'x'), (2, 'y')");
    converge(&mut nodes);
    nodes[1].run("UPDATE t SET a = 'z' WHERE id = 1; DELETE FROM t WHERE id = 2");
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &mut nodes {
        assert_eq!(notes(node), ("DELETE INSERT INSERT UPDATE".to_owned(), "3".to_owned()), "node {}", node.name);
        assert_eq!(node.seal(), 0);
    }
    nodes
}

/// Covers D3.
#[test]
fn what_does_not_travel_is_maintained_at_the_receiver_exactly_once_over_a_whole_chain() {
    let nodes = check_carried((1..=2).map(|name| Node::new(name, &audited())).collect());
    assert_eq!(nodes[1].text("SELECT count(*) FROM rowmesh.dirty"), "0", "what is carried leaves nothing to look at");
}

#[test]
fn where_no_trigger_can_be_kept_still_those_that_are_carried_fire_by_themselves() {
    check_carried((1..=2).map(|name| Node::on(name, Site::ordinary(), &audited())).collect());
}

#[test]
fn rows_in_partitions_are_maintained_too() {
    let schema = "CREATE TABLE t (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE TABLE high PARTITION OF t FOR VALUES FROM (10) TO (100);
        CREATE TABLE notes_of_t (what text)"
        .to_owned()
        + &trigger("audit", "AFTER INSERT ON t FOR EACH ROW", "BEGIN INSERT INTO notes_of_t VALUES ('t' || NEW.id); RETURN NULL; END")
        + &trigger("of_low", "AFTER INSERT ON low FOR EACH ROW", "BEGIN INSERT INTO notes_of_t VALUES ('low' || NEW.id); RETURN NULL; END");
    let mut nodes: Vec<Node> = (1..=2).map(|name| Node::new(name, &schema)).collect();
    nodes[0].run("INSERT INTO t VALUES (1), (11)");
    converge(&mut nodes);
    for node in &mut nodes {
        node.run("CREATE TABLE more PARTITION OF t FOR VALUES FROM (100) TO (200)");
        node.store.follow_schema(now()).unwrap();
    }
    nodes[0].run("INSERT INTO t VALUES (111)");
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &nodes {
        assert_eq!(
            node.query("SELECT what FROM notes_of_t ORDER BY 1"),
            ["(low1)", "(t1)", "(t11)", "(t111)"],
            "node {}",
            node.name
        );
    }
}

#[test]
fn i1_a_carried_trigger_follows_what_migrations_make_of_it() {
    let mut nodes: Vec<Node> = (1..=2).map(|name| Node::new(name, &audited())).collect();
    let migrate = |nodes: &mut Vec<Node>, sql: &str| {
        for node in nodes.iter_mut() {
            node.run(sql);
            node.store.follow_schema(now()).unwrap();
        }
    };
    let mut check = |sql: &str, id: u32, expected: &str| {
        migrate(&mut nodes, sql);
        nodes[0].run(&format!("DELETE FROM notes_of_t; INSERT INTO t VALUES ({id})"));
        nodes[1].run("DELETE FROM notes_of_t");
        converge(&mut nodes);
        assert_eq!(nodes[1].text("SELECT coalesce(string_agg(what, ' '), '') FROM notes_of_t"), expected, "{sql}");
    };
    check("SELECT 1", 1, "INSERT");
    check(
        "CREATE OR REPLACE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO notes_of_t VALUES ('new'); RETURN NULL; END $$",
        2,
        "new",
    );
    check("ALTER TRIGGER audit ON t RENAME TO \"An audit\"", 3, "new");
    check("ALTER TABLE t DISABLE TRIGGER \"An audit\"", 4, "");
    check("ALTER TABLE t ENABLE TRIGGER \"An audit\"", 5, "new");
    check("ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME TO t", 6, "new");
    check(
        "CREATE OR REPLACE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO notes_of_t VALUES ('x'); NOTIFY x; RETURN NULL; END $$",
        7,
        "",
    );
    check(
        "DROP TRIGGER \"An audit\" ON t; CREATE TRIGGER again AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION count_notes()",
        8,
        "",
    );
    let counted = nodes.iter().map(|node| node.text("SELECT n FROM counted")).collect::<Vec<_>>();
    assert_eq!(counted, ["7", "6"], "what was left does not lead on");
}

#[test]
fn n6_carried_triggers_go_with_rowmesh_and_the_applications_stay_as_they_were() {
    let triggers = "SELECT string_agg(tgname::text || tgenabled::text || oid, ' ' ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal AND tgname NOT LIKE 'rowmesh%'";
    let site = Site::on(Database::new());
    let database = site.database.session();
    let node = Node::on(1, site, &audited());
    let before = node.text(triggers);
    assert_eq!(node.text("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'rowmesh_carried%'"), "2");
    let stopped = node.stop();
    detach(&database).unwrap();
    let left = "SELECT count(*)::int4 FROM pg_trigger WHERE tgname LIKE 'rowmesh%'";
    assert_eq!(database.query_one(left, &[]).unwrap().get::<_, i32>(0), 0);
    assert_eq!(stopped.place.text(triggers), before);
    assert_eq!(stopped.place.text("SELECT count(*) FROM pg_namespace WHERE nspname = 'rowmesh'"), "0");
}

const NEEDS_MORE: &str = "CREATE OR REPLACE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM more(); INSERT INTO notes_of_t VALUES (TG_OP); RETURN NULL; END $$";

#[test]
fn c11_a_carried_trigger_that_fails_keeps_back_its_row_alone() {
    for make in [|name| Node::new(name, &audited()), |name| Node::on(name, Site::ordinary(), &audited())] {
        let mut nodes: Vec<Node> = (1..=2).map(make).collect();
        // In whatever way it fails.
        for (id, breaks, mends) in [
            (
                1,
                "ALTER TABLE notes_of_t ADD CHECK (what <> 'INSERT')",
                "ALTER TABLE notes_of_t DROP CONSTRAINT notes_of_t_what_check",
            ),
            (
                2,
                "ALTER TABLE notes_of_t ADD CONSTRAINT odd CHECK (what <> 'INSERT' OR 1 / (length(what) - 6) > 5) NOT VALID",
                "ALTER TABLE notes_of_t DROP CONSTRAINT odd",
            ),
            (3, NEEDS_MORE, "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
        ] {
            nodes[1].run(breaks);
            nodes[1].store.follow_schema(now()).unwrap();
            nodes[0]
                .run(&format!("INSERT INTO t VALUES ({id}, 'x'); UPDATE t SET a = 'y' WHERE id < {id} AND {id} < 3"));
            converge(&mut nodes);
            let parked = nodes[1].store.parked().unwrap();
            assert_eq!(parked.len(), 1, "{breaks}: {parked:?}");
            assert!(parked[0].reason.contains("trigger"), "{parked:?}");
            nodes[1].run(mends);
            nodes[1].store.follow_schema(now()).unwrap();
            assert_eq!(nodes[1].store.retry_parked(now()).unwrap(), 0);
            check_equal(&mut nodes);
            assert_eq!(notes(&nodes[0]), notes(&nodes[1]));
        }
    }
}

#[test]
fn where_a_trigger_cannot_be_kept_still_the_plan_tells_its_guard_and_the_guard_keeps_it_still() {
    let schema = "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE TABLE totals (id int PRIMARY KEY, n int)"
        .to_owned()
        + &trigger(
            "add_up",
            "AFTER INSERT ON t FOR EACH ROW WHEN (NEW.a <> 'no' OR NEW.a IS NULL)",
            "BEGIN UPDATE totals SET n = n + 1; RETURN NULL; END",
        )
        + &trigger(
            "upper",
            "BEFORE INSERT OR UPDATE ON t FOR EACH ROW",
            "BEGIN NEW.a := upper(NEW.a); RETURN NEW; END",
        )
        + &trigger(
            "each_statement",
            "AFTER INSERT ON t FOR EACH STATEMENT",
            "BEGIN EXECUTE 'SELECT 1'; RETURN NULL; END",
        );
    let mut sites = vec![Site::ordinary(), Site::ordinary()];
    for site in &sites {
        rowmesh_contract::Place::run(site, &schema);
        let session = Session::open(&rowmesh_contract::Place::address(site)).unwrap();
        let told = planned(&session, &AttachOptions::default());
        assert_eq!(told.len(), 3, "{told:?}");
        for (name, treatment) in told {
            let Treatment::Fires { remedy, .. } = &treatment else { panic!("{name}: {treatment:?}") };
            rowmesh_contract::Place::run(site, remedy);
        }
        let told = planned(&session, &AttachOptions::default());
        assert!(!told.iter().any(|(_, treatment)| matches!(treatment, Treatment::Fires { .. })), "{told:?}");
    }
    let other = sites.pop().unwrap();
    let mut nodes = vec![Node::on(1, sites.pop().unwrap(), "SELECT 1"), Node::on(2, other, "SELECT 1")];
    nodes[0].run("INSERT INTO totals VALUES (1, 0); INSERT INTO t VALUES (1, 'x'), (2, 'no'), (3, NULL)");
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.text("SELECT n FROM totals"), "3", "once each, also of what became NO: node {}", node.name);
        assert_eq!(node.seal(), 0);
    }
}

#[test]
fn what_a_trigger_without_guard_writes_is_never_missed() {
    let schema = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE totals (id int PRIMARY KEY, n int)".to_owned()
        + &trigger("add_up", "AFTER INSERT ON t FOR EACH ROW", "BEGIN UPDATE totals SET n = n + 1; RETURN NULL; END");
    let mut nodes: Vec<Node> = (1..=2).map(|name| Node::on(name, Site::ordinary(), &schema)).collect();
    nodes[0].run("INSERT INTO totals VALUES (1, 0)");
    converge(&mut nodes);
    nodes[0].run("INSERT INTO t VALUES (1)");
    converge(&mut nodes);
    converge(&mut nodes);
    // It counts twice, as the plan says, but what stands is what is known, on both.
    check_equal(&mut nodes);
}
