//! Schedules of two or three sessions stepped by hand: what the application does between two of our statements. Ours runs in a thread of its own
//! and is held by a lock at a known place; nothing depends on time.

use std::sync::atomic::{AtomicBool, Ordering};

use rowmesh_contract::Place;
use rowmesh_core::clock::WallTime;
use rowmesh_core::policy::PolicyHistory;
use rowmesh_core::scope::{Filter, Scope};
use rowmesh_core::store::{Store, StoreErrorKind, StoreResult, Taken};
use rowmesh_postgres::connection::Session;
use rowmesh_postgres::store::PostgresStore;

use crate::mesh::{Node, Site, application, check_equal, converge, lacked, now};

const NOTES: &str = "CREATE TABLE notes (id text PRIMARY KEY, a text, b text)";

/// Who our sessions log in as.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// Who keeps triggers and foreign keys still for what it writes.
    Mighty,
    /// Nobody special: the server lets foreign keys act for us.
    Ordinary,
}

const ROLES: [Role; 2] = [Role::Mighty, Role::Ordinary];

impl Role {
    fn node(self, name: u8, schema: &str) -> Node {
        match self {
            Role::Mighty => Node::new(name, schema),
            Role::Ordinary => Node::on(name, Site::ordinary(), schema),
        }
    }

    fn pair(self, schema: &str) -> Vec<Node> {
        vec![self.node(1, schema), self.node(2, schema)]
    }

    /// Two nodes that hold the rows which these statements make.
    fn pair_with(self, schema: &str, rows: &str) -> Vec<Node> {
        let mut nodes = self.pair(schema);
        nodes[0].run(rows);
        converge(&mut nodes);
        nodes
    }
}

fn finish(nodes: &mut [Node]) {
    converge(nodes);
    check_equal(nodes);
    for node in nodes {
        assert_eq!(node.seal(), 0, "nothing is sealed twice");
    }
}

/// Runs something of ours that the application's locks hold up, and meanwhile something of the application's, which has to let it go on.
fn while_it_waits<T: Send>(
    node: &mut Node,
    ours: impl FnOnce(&mut PostgresStore) -> T + Send,
    theirs: impl FnOnce(&Session),
) -> T {
    let Node { store, place: Site { app, .. }, .. } = node;
    store.database().session().batch("SET lock_timeout = '60s'").unwrap();
    std::thread::scope(|scope| {
        let ours = scope.spawn(|| ours(store));
        until(app, "NOT granted", || ours.is_finished());
        theirs(app);
        ours.join().unwrap()
    })
}

/// Until a session in this database holds or wants such a lock.
fn until(app: &Session, lock: &str, is_over: impl Fn() -> bool) {
    let here =
        "SELECT pid FROM pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let sql = format!("SELECT EXISTS (SELECT FROM pg_locks WHERE {lock} AND pid IN ({here}))");
    while !app.query_one(&sql, &[]).unwrap().get::<_, bool>(0) {
        assert!(!is_over(), "nothing of ours waited");
    }
}

fn seal(store: &mut PostgresStore) -> StoreResult<u64> {
    store.seal(now()).map(|sealed| sealed.events)
}

/// Everything that the first node lacks of the second.
fn from_second(nodes: &mut [Node]) -> Vec<rowmesh_core::changeset::Changeset> {
    nodes[1].seal();
    let (here, there) = nodes.split_at_mut(1);
    lacked(&here[0], &mut there[0])
}

#[test]
fn q2_a_table_first_noted_while_we_wait_for_another_loses_no_row() {
    for role in ROLES {
        let mut nodes = role.pair_with(
            "CREATE TABLE a (id text PRIMARY KEY); CREATE TABLE b (id text PRIMARY KEY)",
            "INSERT INTO a VALUES ('1'); INSERT INTO b VALUES ('1'), ('2')",
        );
        let other = application(&nodes[0].database);
        nodes[0].run("INSERT INTO a VALUES ('new')");
        other.batch("BEGIN; LOCK TABLE a IN ACCESS EXCLUSIVE MODE").unwrap();
        let sealed = while_it_waits(&mut nodes[0], seal, |app| {
            app.batch("INSERT INTO b VALUES ('new')").unwrap();
            other.batch("COMMIT").unwrap();
        });
        assert_eq!(sealed.unwrap(), 1, "what was noted of the table that was not locked waits");
        finish(&mut nodes);
        assert_eq!(nodes[1].query("SELECT id FROM b ORDER BY id"), ["(1)", "(2)", "(new)"]);
    }
}

#[test]
fn q2_a_note_whose_key_could_not_be_read_costs_a_look_and_no_row() {
    for role in ROLES {
        let mut nodes = role.pair_with(NOTES, "INSERT INTO notes VALUES ('1', 'x'), ('2', 'y')");
        nodes[0].run("INSERT INTO rowmesh.dirty (t, op, at, k) SELECT t, 2, now(), ARRAY[NULL] FROM rowmesh.tables WHERE name = 'notes'");
        assert_eq!(nodes[0].seal(), 0);
        finish(&mut nodes);
        assert_eq!(nodes[1].query("SELECT id FROM notes ORDER BY id"), ["(1)", "(2)"]);
    }
}

#[test]
fn a6_emptying_a_table_without_rows_leaves_nothing_to_do() {
    let mut nodes = Role::Mighty.pair(NOTES);
    nodes[0].run("TRUNCATE notes");
    assert_eq!(nodes[0].seal(), 0);
    assert!(!nodes[0].store.look().unwrap().dirty);
}

#[test]
fn q2_a_truncate_or_a_rewrite_between_our_looks_seals_no_false_delete() {
    for role in ROLES {
        for (ddl, left) in [
            ("TRUNCATE notes; INSERT INTO notes VALUES ('2', 'again')", 1),
            ("ALTER TABLE notes ALTER a TYPE varchar USING a || '!'", 2),
        ] {
            let mut nodes = role.pair_with(NOTES, "INSERT INTO notes VALUES ('1', 'x'), ('2', 'y')");
            let other = application(&nodes[0].database);
            nodes[0].run("UPDATE notes SET b = 'z' WHERE id = '1'");
            other.batch(&format!("BEGIN; {ddl}")).unwrap();
            let sealed = while_it_waits(&mut nodes[0], seal, |_| other.batch("COMMIT").unwrap());
            sealed.unwrap();
            nodes[0].store.follow_schema(now()).unwrap();
            // What the rewrite made of the values travels with the migration itself, not as events.
            converge(&mut nodes);
            assert_eq!(nodes[0].text("SELECT count(*) FROM notes"), left.to_string(), "{ddl}");
            assert_eq!(nodes[1].text("SELECT count(*) FROM notes"), left.to_string(), "{ddl}");
        }
    }
}

#[test]
fn d1_a_row_that_came_after_we_locked_and_was_changed_before_we_write_keeps_both_values() {
    for role in ROLES {
        let mut nodes = role.pair_with(NOTES, "INSERT INTO notes VALUES ('a', 'x')");
        nodes[1].run("UPDATE notes SET b = 'theirs' WHERE id = 'a'; INSERT INTO notes VALUES ('k', 'theirs')");
        let changesets = from_second(&mut nodes);
        let (second, third) = (application(&nodes[0].database), application(&nodes[0].database));
        second.batch("BEGIN; UPDATE notes SET a = 'y' WHERE id = 'a'").unwrap();
        // An early clock: what comes from there wins.
        let early = WallTime(1_000);
        let taken = while_it_waits(
            &mut nodes[0],
            |store| store.take(early, &changesets),
            |app| {
                app.batch("INSERT INTO notes VALUES ('k', 'first')").unwrap();
                third.batch("BEGIN; LOCK TABLE rowmesh.parked IN ACCESS EXCLUSIVE MODE").unwrap();
                second.batch("COMMIT").unwrap();
                until(app, "NOT granted AND relation = 'rowmesh.parked'::regclass", || false);
                second.batch("SET lock_timeout = '1ms'").unwrap();
                // Where the row is locked already the application would wait: then nothing can be lost.
                let _ = second.batch("UPDATE notes SET a = 'second' WHERE id = 'k'");
                third.batch("COMMIT").unwrap();
            },
        );
        taken.unwrap();
        finish(&mut nodes);
        assert!(nodes[0].ledger().concat().contains("second"), "{:?}", nodes[0].ledger());
    }
}

#[test]
fn d1_q18_a_row_that_goes_with_its_owner_takes_along_what_was_written_to_it_after_we_sealed() {
    for role in ROLES {
        let mut nodes = role.pair(
            "CREATE TABLE shops (id text PRIMARY KEY, kind text);
         CREATE TABLE orders (id text PRIMARY KEY, shop text NOT NULL REFERENCES shops ON DELETE CASCADE, note text)",
        );
        let filter = Filter::parse("private", "shops", "kind = 'private'", &[] as &[&str]).unwrap();
        let scope = Scope { filters: vec![filter], ..Scope::default() };
        nodes.iter_mut().for_each(|node| node.stand_by(&scope, &PolicyHistory::default()));
        nodes[1].run("INSERT INTO shops VALUES ('s', 'open')");
        converge(&mut nodes);
        nodes[0].run("INSERT INTO orders VALUES ('o', 's', 'first')");
        nodes[0].seal();
        nodes[1].run("UPDATE shops SET kind = 'private'");
        let leave = from_second(&mut nodes);
        let other = application(&nodes[0].database);
        other.batch("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; UPDATE orders SET note = 'second'").unwrap();
        let taken =
            while_it_waits(&mut nodes[0], |store| store.take(now(), &leave), |_| other.batch("COMMIT").unwrap());
        taken.unwrap();
        assert_eq!(nodes[0].text("SELECT count(*) FROM orders"), "0");
        converge(&mut nodes);
        // The owner's home says now what becomes of the row that came.
        converge(&mut nodes);
        nodes[1].run("UPDATE shops SET kind = 'open'");
        converge(&mut nodes);
        finish(&mut nodes);
        assert_eq!(nodes[0].query("SELECT note FROM orders"), ["(second)"]);
    }
}

#[test]
fn d1_e2_a_row_that_gives_way_keeps_what_the_application_writes_to_it_after_we_sealed() {
    const CUSTOMERS: &str = "CREATE TABLE customers (id text PRIMARY KEY, email text UNIQUE, name text)";
    for role in ROLES {
        let mut nodes = role.pair(CUSTOMERS);
        nodes[1].run("INSERT INTO customers VALUES ('a', 'x', 'a')");
        nodes[1].place.date_notes(WallTime(1_000));
        nodes[1].seal();
        nodes[0].run("INSERT INTO customers VALUES ('b', 'x', 'b')");
        finish(&mut nodes);
        nodes[1].run("INSERT INTO customers VALUES ('c', 'y', 'c')");
        nodes[1].place.date_notes(WallTime(1_000));
        let changesets = from_second(&mut nodes);
        nodes[0].run("INSERT INTO customers VALUES ('d', 'y', 'd')");
        nodes[0].seal();
        let (second, third) = (application(&nodes[0].database), application(&nodes[0].database));
        // We ask for exceptions after we have sealed, and before we come to the row that has to give way.
        third.batch("BEGIN; LOCK TABLE rowmesh.exceptions IN ACCESS EXCLUSIVE MODE").unwrap();
        let ours = |store: &mut PostgresStore| store.take(now(), &changesets);
        let taken = while_it_waits(&mut nodes[0], ours, |_| {
            second.batch("UPDATE customers SET name = 'meanwhile' WHERE id = 'd'").unwrap();
            third.batch("COMMIT").unwrap();
        });
        taken.unwrap();
        finish(&mut nodes);
        let shown = nodes[1].query("SELECT id, left(email, 2), name FROM customers ORDER BY id");
        assert_eq!(shown, ["(a,x,a)", "(b,x~,b)", "(c,y,c)", "(d,y~,meanwhile)"]);
    }
}

#[test]
fn d5_a_daemon_starts_while_our_tables_are_vacuumed() {
    for role in ROLES {
        let mut nodes = role.pair_with(NOTES, "INSERT INTO notes VALUES ('a', 'x', 'y')");
        let node = nodes.pop().unwrap();
        let vacuum = application(&node.database);
        vacuum.batch("BEGIN; LOCK TABLE rowmesh.events, rowmesh.row_states IN SHARE UPDATE EXCLUSIVE MODE").unwrap();
        nodes.push(node.restart());
        vacuum.batch("COMMIT").unwrap();
        nodes[0].run("UPDATE notes SET a = 'z'");
        finish(&mut nodes);
    }
}

#[test]
fn h9_a_vacuum_full_of_the_notes_between_two_parts_of_a_round_loses_none() {
    let mut nodes = Role::Mighty.pair(NOTES);
    nodes[0].run("INSERT INTO notes SELECT n, repeat('x', 600000) FROM generate_series(1, 30) n");
    assert!(nodes[0].store.seal(now()).unwrap().more, "the round has several parts");
    nodes[0].run("VACUUM FULL rowmesh.dirty");
    nodes[0].run("INSERT INTO notes SELECT n, 'late' FROM generate_series(31, 60) n");
    finish(&mut nodes);
    assert_eq!(nodes[1].text("SELECT count(*) FROM notes"), "60");
}

#[test]
fn a16_rolled_back_savepoints_leave_nothing_and_what_stayed_travels() {
    for role in ROLES {
        let mut nodes = role.pair(NOTES);
        nodes[0].run(
        "BEGIN; INSERT INTO notes VALUES ('1', 'x'); SAVEPOINT s; INSERT INTO notes VALUES ('2', 'x'); UPDATE notes SET a = 'no';
         ROLLBACK TO s; INSERT INTO notes VALUES ('3', 'x'); RELEASE s; COMMIT; BEGIN; DELETE FROM notes; ROLLBACK",
    );
        assert_eq!(nodes[0].seal(), 2);
        finish(&mut nodes);
        assert_eq!(nodes[1].query("SELECT id, a FROM notes ORDER BY id"), ["(1,x)", "(3,x)"]);
    }
}

/// What the application does in a transaction that our statement has to wait for.
fn check_schema_change(role: Role, ddl: &str, ours: impl FnOnce(&mut Node, &Session)) {
    let mut node = role
        .node(1, "CREATE TABLE notes (id text PRIMARY KEY, a text, b text); CREATE TABLE other (id text PRIMARY KEY)");
    node.run("INSERT INTO notes VALUES ('1', 'x'); INSERT INTO other VALUES ('1')");
    let other = application(&node.database);
    other.batch(&format!("BEGIN; {ddl}")).unwrap();
    ours(&mut node, &other);
    node.seal();
    assert!(!node.store.look().unwrap().dirty, "{ddl}");
}

const SCHEMA_CHANGES: [&str; 6] = [
    "ALTER TABLE notes ADD c int DEFAULT 7",
    "ALTER TABLE notes DROP COLUMN b",
    "ALTER TABLE notes RENAME COLUMN a TO z",
    "ALTER TABLE notes RENAME COLUMN id TO key",
    "ALTER TABLE notes RENAME TO scraps",
    "DROP TABLE notes",
];

#[test]
fn i1_a_schema_that_changes_while_we_wait_to_seal_is_followed() {
    for role in ROLES {
        for ddl in SCHEMA_CHANGES {
            check_schema_change(role, ddl, |node, other| {
                let sealed = while_it_waits(node, seal, |_| other.batch("COMMIT").unwrap());
                sealed.unwrap_or_else(|error| panic!("{ddl}: {error:?}"));
            });
        }
    }
}

#[test]
fn i1_a_schema_that_changes_while_we_wait_to_take_is_followed() {
    for role in ROLES {
        for ddl in SCHEMA_CHANGES {
            let mut far = role.node(2, NOTES);
            far.run("INSERT INTO notes VALUES ('1', 'far', 'y'), ('2', 'far', 'y')");
            far.seal();
            check_schema_change(role, ddl, |node, other| {
                let changesets = lacked(node, &mut far);
                let taken =
                    while_it_waits(node, |store| store.take(now(), &changesets), |_| other.batch("COMMIT").unwrap());
                let taken: Taken = taken.unwrap_or_else(|error| panic!("{ddl}: {error:?}"));
                assert_eq!(taken.changesets, 1, "{ddl}");
            });
        }
    }
}

/// A schema that moves when all is sealed and before anything is taken. Returns what the second node then holds.
fn after_moving_between_seal_and_take(role: Role, ddl: &str) -> Vec<String> {
    let mut nodes = role.pair_with(NOTES, "INSERT INTO notes VALUES ('1', 'x', 'kept'), ('2', 'x', 'kept')");
    nodes[1].run("UPDATE notes SET a = 'far' WHERE id = '1'; INSERT INTO notes VALUES ('3', 'far', 'kept')");
    let changesets = from_second(&mut nodes);
    nodes[0].run("INSERT INTO notes VALUES ('4', 'near', 'kept')");
    assert_eq!(nodes[0].seal(), 1);
    nodes[0].run(ddl);
    assert_eq!(nodes[0].take(&changesets).changesets, changesets.len(), "{role:?}, {ddl}");
    nodes[0].store.follow_schema(now()).unwrap();
    converge(&mut nodes);
    nodes.iter_mut().for_each(|node| assert_eq!(node.seal(), 0, "{role:?}, {ddl}"));
    nodes[1].query("SELECT * FROM notes ORDER BY id")
}

#[test]
fn i1_q2_a_schema_that_moves_between_seal_and_take_loses_nothing_and_deletes_nothing_elsewhere() {
    let all = ["(1,far,kept)", "(2,x,kept)", "(3,far,kept)", "(4,near,kept)"];
    for role in ROLES {
        for ddl in SCHEMA_CHANGES {
            assert_eq!(after_moving_between_seal_and_take(role, ddl), all, "{role:?}, {ddl}");
        }
    }
}

#[test]
fn a6_a_table_that_is_emptied_between_seal_and_take_loses_what_was_known_and_keeps_what_came() {
    for role in ROLES {
        // What was edited elsewhere meanwhile comes back whole.
        let left = ["(1,far,kept)", "(3,far,kept)"];
        assert_eq!(after_moving_between_seal_and_take(role, "TRUNCATE notes"), left, "{role:?}");
    }
}

/// A node that had got all rows of a copy but not its end, and whose load is begun anew while the application has something open that it commits
/// then. Returns what both nodes hold in the end.
fn after_beginning_anew(role: Role, schema: &str, rows: &str, meanwhile: &str, shown: &str) -> [Vec<String>; 2] {
    let mut member = role.node(1, schema);
    member.run(rows);
    member.seal();
    let mut joiner = match role {
        Role::Mighty => Node::outside(2, schema),
        Role::Ordinary => Node::outside_on(2, Site::ordinary(), schema),
    };
    joiner.stand();
    let copy = member.copy();
    joiner.load_but_for_the_end(&copy);
    let other = application(&joiner.database);
    other.batch(&format!("BEGIN; {meanwhile}")).unwrap();
    let source = member.store.position().origin.node;
    let begin = |store: &mut PostgresStore| store.load_begin(&copy.start, source, now());
    while_it_waits(&mut joiner, begin, |_| other.batch("COMMIT").unwrap()).unwrap();
    for chunk in &copy.chunks {
        joiner.store.load_chunk(chunk, now()).unwrap();
    }
    joiner.store.load_finish(&copy.end, now()).unwrap();
    let mut nodes = [member, joiner];
    finish(&mut nodes);
    nodes.map(|node| node.query(shown))
}

#[test]
fn d1_g1_what_is_written_to_rows_of_a_load_at_the_moment_it_is_begun_anew_stays() {
    for role in ROLES {
        let rows = "INSERT INTO notes VALUES ('1', 'x', 'y'), ('2', 'x', 'y')";
        let check = |meanwhile: &str, expected: &[&str]| {
            for held in after_beginning_anew(role, NOTES, rows, meanwhile, "SELECT * FROM notes ORDER BY id") {
                assert_eq!(held, expected, "{role:?}, {meanwhile}");
            }
        };
        check("UPDATE notes SET b = 'mine' WHERE id = '1'", &["(1,x,mine)", "(2,x,y)"]);
        check("DELETE FROM notes WHERE id = '1'", &["(2,x,y)"]);
    }
}

#[test]
fn q3_g1_a_child_that_comes_to_a_row_of_a_load_at_the_moment_it_is_begun_anew_does_not_go_with_it() {
    for role in ROLES {
        let rows = "INSERT INTO parents VALUES ('p', 1); INSERT INTO children VALUES ('c', 'p')";
        let meanwhile = "INSERT INTO children VALUES ('new', 'p'); INSERT INTO toys VALUES ('t', 'new')";
        let shown = "SELECT c.id, parent, toys.id AS toy FROM children AS c LEFT JOIN toys ON child = c.id ORDER BY 1";
        for held in after_beginning_anew(role, ACTING_FAMILY, rows, meanwhile, shown) {
            assert_eq!(held, ["(c,p,)", "(new,p,t)"], "{role:?}");
        }
    }
}

/// The application's connection is cut off by no lock of ours: what it does meanwhile gets through, and so does our next attempt.
fn check_gives_way(role: Role, theirs: &str) {
    let mut nodes = role.pair_with(NOTES, "INSERT INTO notes VALUES ('a', 'x'), ('b', 'x')");
    nodes[1].run("UPDATE notes SET b = 'far'; DELETE FROM notes WHERE id = 'b'");
    let changesets = from_second(&mut nodes);
    nodes[0].run(&format!("BEGIN; {theirs}"));
    let refused = nodes[0].store.take(now(), &changesets).unwrap_err();
    assert_eq!((refused.code, refused.kind), ("RM5101", StoreErrorKind::Transient), "{theirs}");
    nodes[0].run("COMMIT");
    finish(&mut nodes);
    assert_eq!(nodes[0].text("SELECT b FROM notes WHERE id = 'a'"), "far", "{theirs}");
}

#[test]
fn d5_d9_whatever_lock_the_application_holds_we_give_way_and_come_again() {
    for role in ROLES {
        check_gives_way(role, "UPDATE notes SET a = 'y' WHERE id = 'a'");
        check_gives_way(role, "DELETE FROM notes WHERE id = 'b'");
        check_gives_way(role, "SELECT FROM notes FOR SHARE");
        check_gives_way(role, "LOCK TABLE notes IN ACCESS EXCLUSIVE MODE");
        check_gives_way(role, "LOCK TABLE notes IN SHARE ROW EXCLUSIVE MODE");
    }
}

#[test]
fn d5_who_has_held_locks_for_long_waits_for_nobody() {
    for role in ROLES {
        let mut nodes = role.pair_with(NOTES, "INSERT INTO notes VALUES ('a', 'x')");
        nodes[1].run("UPDATE notes SET b = 'far' WHERE id = 'a'; INSERT INTO notes VALUES ('k', 'far')");
        let changesets = from_second(&mut nodes);
        nodes[0].run("UPDATE notes SET a = 'y'");
        let (second, third) = (application(&nodes[0].database), application(&nodes[0].database));
        second.batch("BEGIN; INSERT INTO notes VALUES ('k', 'mine')").unwrap();
        third.batch("BEGIN; LOCK TABLE rowmesh.parked IN ACCESS EXCLUSIVE MODE").unwrap();
        let ours = |store: &mut PostgresStore| store.take(now(), &changesets);
        let refused = while_it_waits(&mut nodes[0], ours, |app| {
            // For longer than our patience, and long before a session of the application's would look for a deadlock.
            let long =
                "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND clock_timestamp() - waitstart > '400 ms')";
            while !app.query_one(long, &[]).unwrap().get::<_, bool>(0) {}
            third.batch("COMMIT").unwrap();
        });
        assert_eq!(refused.unwrap_err().code, "RM5101");
        second.batch("COMMIT").unwrap();
        finish(&mut nodes);
    }
}

#[test]
fn d5_in_a_deadlock_we_lose_and_the_application_goes_on() {
    for role in ROLES {
        let mut nodes = role.pair_with(NOTES, "INSERT INTO notes VALUES ('a', 'x'), ('b', 'x')");
        nodes[1].run("UPDATE notes SET b = 'far'");
        let changesets = from_second(&mut nodes);
        let other = application(&nodes[0].database);
        nodes[0].run("BEGIN; UPDATE notes SET a = 'y' WHERE id = 'b'");
        let Node { store, place: Site { app, .. }, .. } = &mut nodes[0];
        let refused = std::thread::scope(|scope| {
            let ours = scope.spawn(|| store.take(now(), &changesets));
            until(&other, "NOT granted", || ours.is_finished());
            // We hold a and wait for b.
            app.batch("UPDATE notes SET a = 'y' WHERE id = 'a'; COMMIT").unwrap();
            ours.join().unwrap()
        });
        assert_eq!(refused.unwrap_err().kind, StoreErrorKind::Transient);
        finish(&mut nodes);
        assert_eq!(nodes[1].query("SELECT * FROM notes ORDER BY id"), ["(a,y,far)", "(b,y,far)"]);
    }
}

#[test]
fn d1_a_key_that_the_application_takes_between_our_seal_and_our_insert_is_sealed_first() {
    for role in ROLES {
        let mut nodes = role.pair_with(NOTES, "INSERT INTO notes VALUES ('a', 'x')");
        nodes[1].run("INSERT INTO notes VALUES ('k', 'theirs', 'theirs')");
        let changesets = from_second(&mut nodes);
        let other = application(&nodes[0].database);
        // Uncommitted: we neither see nor lock it, and meet it only when we insert.
        other.batch("BEGIN; INSERT INTO notes VALUES ('k', 'mine')").unwrap();
        let taken =
            while_it_waits(&mut nodes[0], |store| store.take(now(), &changesets), |_| other.batch("COMMIT").unwrap());
        let taken = taken.unwrap();
        assert_eq!((taken.changesets, taken.sealed.events), (1, 1));
        finish(&mut nodes);
        let (row, ledger) = (nodes[0].query("SELECT * FROM notes").concat(), nodes[0].ledger().concat());
        assert!(
            format!("{row}{ledger}").contains("mine") && format!("{row}{ledger}").contains("theirs"),
            "{row} {ledger}"
        );
    }
}

const FAMILY: &str = "CREATE TABLE parents (id text PRIMARY KEY);
    CREATE TABLE children (id text PRIMARY KEY, parent text REFERENCES parents (id))";

/// No reference dangles on any node, as far as can be seen.
fn check_family(nodes: &mut [Node]) {
    converge(nodes);
    for node in nodes.iter() {
        let dangling = "SELECT count(*) FROM children c WHERE NOT EXISTS (SELECT FROM parents p WHERE p.id = c.parent)";
        assert_eq!(node.text(dangling), "0", "node {}", node.name);
    }
}

/// What the second node wrote is taken in by the first, whose application does something meanwhile that commits while we wait for it: the parent stands
/// on both, and no reference dangles.
fn check_family_after(mut nodes: Vec<Node>, there: &str, meanwhile: &str) -> Vec<Node> {
    nodes[1].run(there);
    let changesets = from_second(&mut nodes);
    let other = application(&nodes[0].database);
    other.batch(&format!("BEGIN; {meanwhile}")).unwrap();
    let taken =
        while_it_waits(&mut nodes[0], |store| store.take(now(), &changesets), |_| other.batch("COMMIT").unwrap());
    // A child whose parent went unnoticed waits until that is sealed.
    assert!(taken.is_ok(), "{there} there, {meanwhile} here");
    check_family(&mut nodes);
    check_equal(&mut nodes);
    nodes.iter_mut().for_each(|node| assert_eq!(node.store.parked().unwrap(), [], "{there}, {meanwhile}"));
    assert_eq!(nodes[0].text("SELECT count(*) FROM parents WHERE id = 'p'"), "1", "{there} there, {meanwhile} here");
    nodes
}

#[test]
fn q3_a_child_that_comes_while_we_delete_its_parent_does_not_dangle() {
    for role in ROLES {
        let nodes = role.pair_with(FAMILY, "INSERT INTO parents VALUES ('p')");
        check_family_after(nodes, "DELETE FROM parents", "INSERT INTO children VALUES ('c', 'p')");
    }
}

/// Covers D4.
#[test]
fn q3_a_parent_that_goes_while_we_insert_its_child_leaves_no_child_behind() {
    for role in ROLES {
        let nodes = role.pair_with(FAMILY, "INSERT INTO parents VALUES ('p')");
        check_family_after(nodes, "INSERT INTO children VALUES ('c', 'p')", "DELETE FROM parents");
    }
}

/// The same where the server lets foreign keys act for us: what goes with a parent are its children.
const ACTING_FAMILY: &str = "CREATE TABLE parents (id text PRIMARY KEY, n int);
    CREATE TABLE children (id text PRIMARY KEY, parent text REFERENCES parents (id) ON DELETE CASCADE);
    CREATE TABLE toys (id text PRIMARY KEY, child text NOT NULL REFERENCES children (id) ON DELETE CASCADE)";

#[test]
fn q3_a_child_that_comes_while_an_ordinary_role_deletes_its_parent_does_not_go_in_silence() {
    for role in ROLES {
        let nodes = role.pair_with(ACTING_FAMILY, "INSERT INTO parents VALUES ('p', 1)");
        let meanwhile = "INSERT INTO children VALUES ('c', 'p'); INSERT INTO toys VALUES ('t', 'c')";
        let nodes = check_family_after(nodes, "DELETE FROM parents", meanwhile);
        assert_eq!(nodes[0].text("SELECT count(*) FROM toys"), "1");
    }
}

#[test]
fn q3_a_child_that_moves_to_a_parent_while_an_ordinary_role_deletes_it_does_not_go_in_silence() {
    for role in ROLES {
        let rows = "INSERT INTO parents VALUES ('p', 1), ('q', 1); INSERT INTO children VALUES ('c', 'q'); INSERT INTO toys VALUES ('t', 'c')";
        let nodes = role.pair_with(ACTING_FAMILY, rows);
        let nodes = check_family_after(nodes, "DELETE FROM parents WHERE id = 'p'", "UPDATE children SET parent = 'p'");
        assert_eq!(nodes[0].query("SELECT * FROM children"), ["(c,p)"]);
        assert_eq!(nodes[0].text("SELECT count(*) FROM toys"), "1");
    }
}

#[test]
fn q3_a_parent_that_goes_while_an_ordinary_role_inserts_its_child_leaves_no_child_behind() {
    for role in ROLES {
        let nodes = role.pair_with(ACTING_FAMILY, "INSERT INTO parents VALUES ('p', 1)");
        check_family_after(nodes, "INSERT INTO children VALUES ('c', 'p')", "DELETE FROM parents");
    }
}

#[test]
fn d1_a_row_that_goes_out_of_the_way_for_an_ordinary_role_comes_back_with_what_was_written_to_it_meanwhile() {
    let schema = "CREATE TABLE parents (id text PRIMARY KEY, n int UNIQUE);
        CREATE TABLE children (id text PRIMARY KEY, parent text REFERENCES parents (id) ON DELETE CASCADE, note text)";
    let rows = "INSERT INTO parents VALUES ('p', 1), ('q', 2); INSERT INTO children VALUES ('c', 'p', 'first')";
    let mut nodes = Role::Ordinary.pair_with(schema, rows);
    nodes[1].run("BEGIN; UPDATE parents SET n = NULL WHERE id = 'p'; UPDATE parents SET n = 1 WHERE id = 'q'; UPDATE parents SET n = 2 WHERE id = 'p'; COMMIT");
    let changesets = from_second(&mut nodes);
    let other = application(&nodes[0].database);
    other.batch("BEGIN; UPDATE children SET note = 'second'").unwrap();
    let taken =
        while_it_waits(&mut nodes[0], |store| store.take(now(), &changesets), |_| other.batch("COMMIT").unwrap());
    assert_eq!(taken.unwrap().parked, 0);
    finish(&mut nodes);
    for node in &nodes {
        assert_eq!(node.query("SELECT * FROM children"), ["(c,p,second)"]);
        assert_eq!(node.query("SELECT id, n FROM parents ORDER BY id"), ["(p,2)", "(q,1)"]);
    }
}

#[test]
fn a1_what_commits_late_is_sealed_later_and_nothing_is_skipped() {
    let mut nodes = Role::Mighty.pair(NOTES);
    let sessions: Vec<Session> = (0..3).map(|_| application(&nodes[0].database)).collect();
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (round, order) in orders.iter().enumerate() {
        for (number, session) in sessions.iter().enumerate() {
            session.batch(&format!("BEGIN; INSERT INTO notes VALUES ('{round}-{number}', 'x')")).unwrap();
        }
        for number in order {
            assert_eq!(nodes[0].seal(), 0);
            sessions[*number].batch("COMMIT").unwrap();
            assert_eq!(nodes[0].seal(), 1);
        }
    }
    finish(&mut nodes);
    assert_eq!(nodes[1].text("SELECT count(*) FROM notes"), "18");
}

#[test]
fn a2_long_transactions_prepared_ones_and_writers_elsewhere_hold_up_nobody() {
    let mut nodes = Role::Mighty.pair(NOTES);
    let elsewhere = crate::cluster::Database::new();
    let (far, long) = (application(&elsewhere), application(&nodes[0].database));
    far.batch("CREATE TABLE t (); BEGIN; CREATE TABLE u ()").unwrap();
    long.batch("BEGIN; INSERT INTO notes VALUES ('long', 'x')").unwrap();
    nodes[0].run("BEGIN; INSERT INTO notes VALUES ('prepared', 'x'); PREPARE TRANSACTION 'orphan'");
    for n in 0..50 {
        nodes[0].run(&format!("INSERT INTO notes VALUES ('{n}', 'x')"));
        assert_eq!(nodes[0].seal(), 1);
    }
    converge(&mut nodes);
    assert_eq!(nodes[1].text("SELECT count(*) FROM notes"), "50");
    nodes[0].run("COMMIT PREPARED 'orphan'");
    long.batch("COMMIT").unwrap();
    far.batch("COMMIT").unwrap();
    finish(&mut nodes);
    assert_eq!(nodes[1].text("SELECT count(*) FROM notes"), "52");
}

#[test]
fn a3_c1_parent_and_child_of_one_round_arrive_together_whatever_their_order() {
    for role in ROLES {
        let mut nodes = role.pair(FAMILY);
        nodes[0].run("INSERT INTO parents VALUES ('p'); INSERT INTO children VALUES ('c', 'p'); INSERT INTO parents VALUES ('q'); UPDATE children SET parent = 'q'");
        let other = application(&nodes[0].database);
        other.batch("DELETE FROM parents WHERE id = 'p'; INSERT INTO children VALUES ('d', 'q')").unwrap();
        assert_eq!(nodes[0].seal(), 3);
        finish(&mut nodes);
        assert_eq!(nodes[1].query("SELECT * FROM children ORDER BY id"), ["(c,q)", "(d,q)"]);
        assert!(nodes[1].store.parked().unwrap().is_empty());
    }
}

#[test]
fn d1_q1_a_row_that_is_written_all_the_time_loses_no_increment_and_stops_no_round() {
    for role in ROLES {
        let mut nodes = role.pair_with(
            "CREATE TABLE hot (id int PRIMARY KEY, n bigint NOT NULL, far bigint)",
            "INSERT INTO hot VALUES (1, 0, 0)",
        );
        let (rounds, least) = (60, 1_500);
        let writer = application(&nodes[0].database);
        let is_over = AtomicBool::new(false);
        let increments = std::thread::scope(|scope| {
            let is_over = &is_over;
            let writing = scope.spawn(move || {
                let mut done = 0;
                while done < least || !is_over.load(Ordering::Relaxed) {
                    writer.batch("UPDATE hot SET n = n + 1 WHERE id = 1").unwrap();
                    done += 1;
                }
                done
            });
            for round in 1..=rounds {
                nodes[1].run(&format!("UPDATE hot SET far = {round} WHERE id = 1"));
                let changesets = from_second(&mut nodes);
                let taken = nodes[0].store.take(now(), &changesets).unwrap();
                assert_eq!(taken.changesets, changesets.len());
            }
            is_over.store(true, Ordering::Relaxed);
            writing.join().unwrap()
        });
        finish(&mut nodes);
        assert_eq!(nodes[1].query("SELECT n, far FROM hot"), [format!("({increments},{rounds})")]);
    }
}

#[test]
fn a16_serializable_transactions_with_retries_lose_nothing() {
    for role in ROLES {
        let mut nodes = role.pair_with(
            "CREATE TABLE hot (id int PRIMARY KEY, n bigint NOT NULL, far bigint)",
            "INSERT INTO hot SELECT n, 0, 0 FROM generate_series(1, 4) n",
        );
        let writers: Vec<Session> = (0..2).map(|_| application(&nodes[0].database)).collect();
        std::thread::scope(|scope| {
            for (number, writer) in writers.into_iter().enumerate() {
                scope.spawn(move || {
                    for n in 0..200 {
                        let sql = format!(
                            "BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE hot SET n = n + 1 WHERE id = {}; COMMIT",
                            (n + number) % 4 + 1
                        );
                        while let Err(error) = writer.batch(&sql) {
                            assert_eq!(error.sqlstate().map(|state| state.code()), Some("40001"), "{error:?}");
                            writer.batch("ROLLBACK").unwrap();
                        }
                    }
                });
            }
            for round in 1..=20 {
                nodes[1].run(&format!("UPDATE hot SET far = {round}"));
                let changesets = from_second(&mut nodes);
                nodes[0].take(&changesets);
            }
        });
        finish(&mut nodes);
        assert_eq!(nodes[1].text("SELECT sum(n) FROM hot"), "400");
    }
}

#[test]
fn a_note_of_many_rows_is_cut_over_several_parts_and_lost_in_none() {
    let mut nodes = Role::Mighty.pair(NOTES);
    nodes[0].run("INSERT INTO notes SELECT n, repeat('x', 20000) FROM generate_series(1, 2000) n");
    let first = nodes[0].store.seal(now()).unwrap();
    assert!(first.more);
    nodes[0].run("UPDATE notes SET b = 'late' WHERE id = '1999'; DELETE FROM notes WHERE id IN ('1', '2000')");
    finish(&mut nodes);
    assert_eq!(nodes[1].text("SELECT count(*) FROM notes"), "1998");
    assert_eq!(nodes[0].text("SELECT count(*) FROM rowmesh.dirty"), "0");
}

#[test]
fn a_key_that_can_be_deferred_takes_in_rows_like_any_other() {
    for role in ROLES {
        let mut nodes =
            role.pair("CREATE TABLE notes (id text PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, a text, b text)");
        nodes[0].run("INSERT INTO notes VALUES ('1', 'x'), ('2', 'y')");
        finish(&mut nodes);
        nodes[1].run("UPDATE notes SET a = 'z' WHERE id = '1'; DELETE FROM notes WHERE id = '2'; INSERT INTO notes VALUES ('3', 'far')");
        finish(&mut nodes);
        assert_eq!(nodes[0].query("SELECT id, a FROM notes ORDER BY id"), ["(1,z)", "(3,far)"]);
    }
}

#[test]
fn p5_a_unique_value_that_is_checked_late_is_never_there_twice() {
    for role in ROLES {
        let mut nodes =
            role.pair("CREATE TABLE seats (id int PRIMARY KEY, place int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
        nodes[0].run("INSERT INTO seats VALUES (1, 1)");
        nodes[1].run("INSERT INTO seats VALUES (2, 1)");
        converge(&mut nodes);
        for node in &nodes {
            assert_eq!(node.text("SELECT count(*) - count(DISTINCT place) FROM seats"), "0", "node {}", node.name);
        }
    }
}

#[test]
fn keys_longer_than_an_index_holds_stop_nobody_else() {
    let mut nodes = Role::Mighty.pair("CREATE TABLE notes (id numeric, part text, a text, PRIMARY KEY (id, part))");
    nodes[0]
        .run("INSERT INTO notes VALUES ('1', '', 'x'), ('1', repeat('k', 3000), 'x'), ('1', repeat('k', 200000), 'x')");
    nodes[0].run("INSERT INTO notes SELECT string_agg((random() * 9)::int::text, '')::numeric, 'digits', 'x' FROM generate_series(1, 5000)");
    converge(&mut nodes);
    let there: i64 = nodes[1].text("SELECT count(*) FROM notes").parse().unwrap();
    let held_back: u64 = nodes[0].store.held_back().unwrap().iter().map(|(_, _, count)| count).sum();
    assert_eq!((there, held_back), (1, 3));
    assert_eq!(nodes[0].store.reconcile(None, now()).unwrap(), 0);
    nodes[0].run("DELETE FROM notes WHERE part <> ''");
    finish(&mut nodes);
    assert!(nodes[0].store.held_back().unwrap().is_empty());
    assert_eq!(nodes[1].text("SELECT count(*) FROM notes"), "1");
}

#[test]
fn rows_with_long_keys_that_stood_there_before_do_not_keep_a_node_from_starting() {
    let schema = "CREATE TABLE notes (id text PRIMARY KEY, a text, b text)";
    let rows = "INSERT INTO notes VALUES (repeat('k', 100000)), ('1')";
    let mut node = Node::new(1, &format!("{schema}; {rows}"));
    let held_back: u64 = node.store.held_back().unwrap().iter().map(|(_, _, count)| count).sum();
    assert_eq!(held_back, 1);
    assert_eq!(node.seal(), 0);
}

/// For an ordinary role the server itself checks late, and nobody has to be kept away.
#[test]
fn d5_a_table_of_which_the_application_holds_a_row_is_given_way_to_where_we_need_all_of_it() {
    let mut nodes = Role::Mighty.pair_with(
        "CREATE TABLE seats (id int PRIMARY KEY, place int UNIQUE DEFERRABLE, who text)",
        "INSERT INTO seats VALUES (1, 1), (2, 2)",
    );
    nodes[1].run("UPDATE seats SET place = 3 - place");
    let changesets = from_second(&mut nodes);
    nodes[0].run("BEGIN; INSERT INTO seats VALUES (3, 3)");
    assert_eq!(nodes[0].store.take(now(), &changesets).unwrap_err().kind, StoreErrorKind::Transient);
    nodes[0].run("COMMIT");
    finish(&mut nodes);
    assert_eq!(nodes[0].query("SELECT id, place FROM seats ORDER BY id"), ["(1,2)", "(2,1)", "(3,3)"]);
}

#[test]
fn c2_a_second_daemon_on_the_same_database_is_turned_away() {
    let node = Node::new(1, NOTES);
    let options = rowmesh_engine::plan::AttachOptions::default();
    let incarnation = rowmesh_core::ident::Incarnation { count: 1, nonce: 1 };
    let second =
        PostgresStore::open(&node.database.location(), &options, node.store.position().origin.node, incarnation);
    assert_eq!(second.err().map(|error| error.code), Some("RM4202"));
}
