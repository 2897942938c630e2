//! Nodes whose role is nobody special: the server looks after foreign keys for what they write, and lets them act. Everything has to arrive all the
//! same, nothing is cascaded in silence, and nothing is sealed twice.

use rowmesh_contract::Place;
use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::{Incarnation, NodeId};
use rowmesh_core::store::{Store, StoreResult};
use rowmesh_postgres::connection::Location;
use rowmesh_postgres::store::PostgresStore;

use crate::mesh::{Node, Site, check_equal, converge};

/// A place of the contract with such a role.
pub struct Ordinary(Site);

impl Place for Ordinary {
    const NUMBER: &'static str = <Site as Place>::NUMBER;

    type Store = PostgresStore;
    type Address = Location;

    fn empty() -> Ordinary {
        Ordinary(Site::ordinary())
    }

    fn address(&self) -> Location {
        self.0.address()
    }

    fn open(address: &Location, node: NodeId, incarnation: Incarnation) -> StoreResult<PostgresStore> {
        Site::open(address, node, incarnation)
    }

    fn run(&self, sql: &str) {
        self.0.run(sql);
    }

    fn run_unchecked(&self, sql: &str) {
        let superuser = self.0.database.session();
        superuser.batch(&format!("SET search_path = public; {sql}")).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        self.0.texts(sql)
    }

    fn ours(table: &str) -> String {
        Site::ours(table)
    }

    fn date_notes(&self, at: WallTime) {
        self.0.date_notes(at);
    }

    fn lose_triggers(&self, table: &str) {
        self.0.lose_triggers(table);
    }

    fn copied(self) -> (Ordinary, Ordinary) {
        let (one, other) = self.0.copied();
        // Rights on a database are not copied with it.
        for site in [&one, &other] {
            let Location { database, user, .. } = site.address();
            site.database.session().batch(&format!("GRANT CREATE ON DATABASE \"{database}\" TO \"{user}\"")).unwrap();
        }
        (Ordinary(one), Ordinary(other))
    }

    fn catalog(&self) -> Vec<String> {
        self.0.catalog()
    }

    fn check_sound(&self) {
        self.0.check_sound();
    }
}

mod contract {
    rowmesh_contract::contract!(crate::ordinary::Ordinary);
}

fn pair(schema: &str) -> Vec<Node> {
    (1..=2).map(|name| Node::on(name, Site::ordinary(), schema)).collect()
}

/// Runs each batch on the first of two nodes and asserts after each that the second holds the same and that nothing is sealed twice; at the end
/// that nothing waits.
fn check_travels(schema: &str, batches: &[&str]) -> Vec<Node> {
    let mut nodes = pair(schema);
    for batch in batches {
        nodes[0].run(batch);
        converge(&mut nodes);
        assert_eq!(nodes[1].store.parked().unwrap(), [], "after {batch}");
        check_equal(&mut nodes);
        assert_eq!((nodes[0].seal(), nodes[1].seal()), (0, 0), "nothing is sealed twice after {batch}");
    }
    nodes
}

/// Parents with every kind of child, and grandchildren.
const FAMILY: &str = "CREATE TABLE parents (id text PRIMARY KEY, code text UNIQUE NOT NULL, place int UNIQUE);
    CREATE TABLE children (id text PRIMARY KEY, parent text REFERENCES parents ON DELETE CASCADE, code text REFERENCES parents (code) ON DELETE SET NULL);
    CREATE TABLE grandchildren (id text PRIMARY KEY, child text NOT NULL REFERENCES children ON DELETE CASCADE, note text);
    CREATE TABLE friends (id text PRIMARY KEY, parent text REFERENCES parents, child text REFERENCES children ON DELETE RESTRICT)";

const PEOPLE: &str = "INSERT INTO parents VALUES ('p', 'x', 1), ('q', 'y', 2), ('r', 'z', 3);
    INSERT INTO children VALUES ('c', 'p', 'x'), ('d', 'q', 'y'), ('e', NULL, 'z');
    INSERT INTO grandchildren VALUES ('g', 'c', 'of c'), ('h', 'd', 'of d');
    INSERT INTO friends VALUES ('f', 'q', 'c'), ('i', 'p', NULL)";

#[test]
fn e5_parents_go_with_their_children_or_without() {
    let nodes = check_travels(
        FAMILY,
        &[
            PEOPLE,
            "DELETE FROM friends WHERE id = 'i'; UPDATE friends SET child = NULL; DELETE FROM parents WHERE id = 'p'",
            "DELETE FROM parents WHERE id = 'r'",
            "UPDATE children SET parent = NULL, code = NULL; UPDATE friends SET parent = NULL; DELETE FROM parents",
        ],
    );
    assert_eq!(nodes[1].query("SELECT * FROM children ORDER BY id"), ["(d,,)", "(e,,)"]);
    assert_eq!(nodes[1].query("SELECT * FROM grandchildren ORDER BY id"), ["(h,d,\"of d\")"]);
}

#[test]
fn e5_a_child_that_moves_away_in_time_does_not_go_with_its_parent() {
    let nodes = check_travels(
        FAMILY,
        &[
            PEOPLE,
            "UPDATE children SET parent = 'q', code = 'y' WHERE id = 'c'; UPDATE friends SET parent = 'q' WHERE id = 'i'; DELETE FROM parents WHERE id = 'p'",
            "INSERT INTO parents VALUES ('s', 'x', 1); UPDATE children SET parent = 's', code = 'x' WHERE id = 'd'; DELETE FROM parents WHERE id = 'r'",
        ],
    );
    assert_eq!(nodes[1].query("SELECT * FROM children ORDER BY id"), ["(c,q,y)", "(d,s,x)", "(e,,)"]);
    assert_eq!(nodes[1].text("SELECT count(*) FROM grandchildren"), "2");
}

#[test]
fn e1_a_key_moves_with_the_rows_that_refer_to_it() {
    for (clause, move_it) in [
        ("ON UPDATE CASCADE", "UPDATE a SET id = 'y' WHERE id = 'x'"),
        ("ON UPDATE CASCADE ON DELETE CASCADE", "UPDATE a SET id = 'y' WHERE id = 'x'"),
        (
            "DEFERRABLE INITIALLY DEFERRED",
            "BEGIN; UPDATE a SET id = 'y' WHERE id = 'x'; UPDATE b SET a = 'y' WHERE a = 'x'; COMMIT",
        ),
        (
            "ON DELETE CASCADE DEFERRABLE",
            "BEGIN; SET CONSTRAINTS ALL DEFERRED; UPDATE a SET id = 'y' WHERE id = 'x'; UPDATE b SET a = 'y' WHERE a = 'x'; COMMIT",
        ),
        (
            "ON DELETE CASCADE",
            "INSERT INTO a VALUES ('y', NULL); UPDATE b SET a = 'y' WHERE a = 'x'; DELETE FROM a WHERE id = 'x'; UPDATE a SET name = 'one' WHERE id = 'y'",
        ),
        (
            "ON DELETE SET NULL",
            "INSERT INTO a VALUES ('y', NULL); UPDATE b SET a = 'y' WHERE a = 'x'; DELETE FROM a WHERE id = 'x'; UPDATE a SET name = 'one' WHERE id = 'y'",
        ),
    ] {
        let schema = format!(
            "CREATE TABLE a (id text PRIMARY KEY, name text UNIQUE); CREATE TABLE b (id text PRIMARY KEY, a text REFERENCES a {clause});
             CREATE TABLE c (id text PRIMARY KEY, b text NOT NULL REFERENCES b ON DELETE CASCADE)"
        );
        let rows = "INSERT INTO a VALUES ('x', 'one'), ('z', 'two'); INSERT INTO b VALUES ('p', 'x'), ('q', 'x'), ('r', 'z'); INSERT INTO c VALUES ('k', 'p')";
        let nodes = check_travels(&schema, &[rows, move_it]);
        assert_eq!(nodes[1].query("SELECT id, a FROM b ORDER BY id"), ["(p,y)", "(q,y)", "(r,z)"], "{clause}");
        assert_eq!(nodes[1].text("SELECT count(*) FROM c"), "1", "{clause}");
    }
}

#[test]
fn e3_unique_values_of_rows_that_others_refer_to_swap_and_rotate() {
    let nodes = check_travels(
        FAMILY,
        &[
            PEOPLE,
            "BEGIN; UPDATE parents SET place = NULL WHERE id = 'p'; UPDATE parents SET place = 1 WHERE id = 'q'; UPDATE parents SET place = 2 WHERE id = 'p'; COMMIT",
            "BEGIN; UPDATE parents SET place = NULL WHERE id = 'p'; UPDATE parents SET place = place + 1 WHERE id = 'r'; UPDATE parents SET place = 3 WHERE id = 'q';
             UPDATE parents SET place = 1 WHERE id = 'p'; UPDATE parents SET place = 2 WHERE id = 'r'; COMMIT",
        ],
    );
    assert_eq!(nodes[1].query("SELECT id, place FROM parents ORDER BY id"), ["(p,1)", "(q,3)", "(r,2)"]);
    assert_eq!(nodes[1].query("SELECT * FROM children ORDER BY id"), ["(c,p,x)", "(d,q,y)", "(e,,z)"]);
    assert_eq!(nodes[1].text("SELECT count(*) FROM grandchildren"), "2");
}

#[test]
fn e3_values_that_others_refer_to_swap_and_rotate_and_the_others_go_along_or_stay() {
    for clause in [
        "",
        "ON DELETE CASCADE",
        "ON DELETE SET NULL",
        "ON DELETE RESTRICT",
        "ON DELETE CASCADE ON UPDATE CASCADE",
        "ON UPDATE SET NULL",
    ] {
        let schema = format!(
            "CREATE TABLE a (id text PRIMARY KEY, code text UNIQUE NOT NULL);
             CREATE TABLE b (id text PRIMARY KEY, code text REFERENCES a (code) {clause} DEFERRABLE);
             CREATE TABLE c (id text PRIMARY KEY, b text NOT NULL REFERENCES b ON DELETE CASCADE)"
        );
        let rows = "INSERT INTO a VALUES ('1', 'x'), ('2', 'y'), ('3', 'z');
                    INSERT INTO b VALUES ('p', 'x'), ('q', 'y'), ('r', 'z'); INSERT INTO c VALUES ('k', 'p'), ('l', 'q'), ('m', 'r')";
        // By the way of no reference at all, which is open to every kind of foreign key.
        let rotate = |with: &str| {
            format!(
                "BEGIN; UPDATE b SET code = NULL; UPDATE a SET code = 'tmp' WHERE id = '1'; UPDATE a SET code = 'x' WHERE id = '2';
                 UPDATE a SET code = 'y' WHERE id = '3'; UPDATE a SET code = 'z' WHERE id = '1'; {with}; COMMIT"
            )
        };
        let along = rotate("UPDATE b SET code = CASE id WHEN 'p' THEN 'z' WHEN 'q' THEN 'x' ELSE 'y' END");
        let stay = rotate("UPDATE b SET code = CASE id WHEN 'p' THEN 'z' WHEN 'q' THEN 'x' ELSE 'y' END");
        let other_way = rotate("UPDATE b SET code = CASE id WHEN 'p' THEN 'x' WHEN 'q' THEN 'x' ELSE 'z' END");
        let nodes = check_travels(&schema, &[rows, &along, &stay, &other_way]);
        assert_eq!(nodes[1].query("SELECT * FROM b ORDER BY id"), ["(p,x)", "(q,x)", "(r,z)"], "{clause}");
        assert_eq!(nodes[1].text("SELECT count(*) FROM c"), "3", "{clause}");
    }
}

#[test]
fn e3_a_local_row_that_refers_to_values_which_swap_stays_as_it_is() {
    let schema = "CREATE TABLE a (id text PRIMARY KEY, code text UNIQUE NOT NULL);
        CREATE TABLE b (id text PRIMARY KEY, code text REFERENCES a (code) ON DELETE CASCADE ON UPDATE CASCADE, note text);
        CREATE TABLE c (id text PRIMARY KEY, b text NOT NULL REFERENCES b ON DELETE CASCADE)";
    let mut nodes = pair(schema);
    nodes[0].run("INSERT INTO a VALUES ('1', 'x'), ('2', 'y')");
    converge(&mut nodes);
    nodes[0].run("BEGIN; UPDATE a SET code = 't' WHERE id = '1'; UPDATE a SET code = 'x' WHERE id = '2'; UPDATE a SET code = 'y' WHERE id = '1'; COMMIT");
    nodes[1].run("INSERT INTO b VALUES ('here', 'x', 'kept'); INSERT INTO c VALUES ('k', 'here')");
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.query("SELECT * FROM b"), ["(here,x,kept)"]);
        assert_eq!((node.text("SELECT count(*) FROM c"), node.seal()), ("1".to_owned(), 0));
        assert_eq!(node.store.parked().unwrap(), []);
    }
}

#[test]
fn e7_trees_are_planted_turned_round_and_cut_down() {
    for clause in ["", "ON DELETE CASCADE", "ON DELETE SET NULL ON UPDATE CASCADE", "ON DELETE RESTRICT"] {
        let schema = format!("CREATE TABLE tree (id text PRIMARY KEY, up text REFERENCES tree {clause}, n int UNIQUE)");
        let nodes = check_travels(
            &schema,
            &[
                "INSERT INTO tree VALUES ('c', NULL, 3), ('b', 'c', 2), ('a', 'b', 1)",
                "BEGIN; UPDATE tree SET up = NULL WHERE id = 'b'; UPDATE tree SET up = 'a' WHERE id = 'c'; COMMIT",
                "BEGIN; UPDATE tree SET n = NULL WHERE id = 'a'; UPDATE tree SET n = 1 WHERE id = 'c'; UPDATE tree SET n = 3 WHERE id = 'a'; COMMIT",
                "INSERT INTO tree VALUES ('root', NULL, 9); UPDATE tree SET up = 'root' WHERE id = 'b'; UPDATE tree SET up = 'b' WHERE id = 'c'; UPDATE tree SET up = 'root' WHERE id = 'a'",
                "DELETE FROM tree WHERE id = 'c'; DELETE FROM tree WHERE id = 'a'",
                "BEGIN; UPDATE tree SET up = NULL; DELETE FROM tree WHERE id = 'root'; INSERT INTO tree VALUES ('root', 'b', 9); COMMIT",
                "BEGIN; UPDATE tree SET up = NULL; DELETE FROM tree; COMMIT",
            ],
        );
        assert_eq!(nodes[1].text("SELECT count(*) FROM tree"), "0", "{clause}");
    }
}

#[test]
fn e7_rows_that_refer_to_one_another_come_and_go_together() {
    for clause in ["", "ON DELETE CASCADE", "ON DELETE SET NULL"] {
        let schema = format!(
            "CREATE TABLE users (id text PRIMARY KEY, shop text); CREATE TABLE shops (id text PRIMARY KEY, owner text REFERENCES users {clause});
             ALTER TABLE users ADD FOREIGN KEY (shop) REFERENCES shops {clause} DEFERRABLE INITIALLY DEFERRED"
        );
        check_travels(
            &schema,
            &[
                "BEGIN; INSERT INTO users VALUES ('u', 's'); INSERT INTO shops VALUES ('s', 'u'); COMMIT",
                "BEGIN; INSERT INTO users VALUES ('v', 't'); INSERT INTO shops VALUES ('t', 'v'); UPDATE users SET shop = 't' WHERE id = 'u'; UPDATE shops SET owner = 'v'; COMMIT",
                "BEGIN; UPDATE users SET shop = NULL WHERE id = 'u'; UPDATE shops SET owner = NULL WHERE id = 's'; DELETE FROM users WHERE id = 'u'; DELETE FROM shops WHERE id = 's'; COMMIT",
                "BEGIN; UPDATE users SET shop = NULL; DELETE FROM shops; DELETE FROM users; COMMIT",
            ],
        );
    }
}

#[test]
fn e9_a_parent_that_goes_elsewhere_takes_nothing_with_it_that_is_still_needed_here() {
    for clause in ["", "ON DELETE CASCADE", "ON DELETE SET NULL"] {
        let schema = format!(
            "CREATE TABLE a (id text PRIMARY KEY, n int); CREATE TABLE b (id text PRIMARY KEY, a text REFERENCES a {clause});
             CREATE TABLE c (id text PRIMARY KEY, b text NOT NULL REFERENCES b ON DELETE CASCADE)"
        );
        let mut nodes = pair(&schema);
        nodes[0].run("INSERT INTO a VALUES ('x', 1), ('y', 1)");
        converge(&mut nodes);
        nodes[0].run("DELETE FROM a WHERE id = 'x'; UPDATE a SET n = 2 WHERE id = 'y'");
        nodes[1].run("INSERT INTO b VALUES ('here', 'x'); INSERT INTO c VALUES ('k', 'here')");
        converge(&mut nodes);
        assert_eq!(nodes[1].query("SELECT * FROM b"), ["(here,x)"], "{clause}");
        assert_eq!(nodes[1].text("SELECT count(*) FROM c"), "1", "{clause}");
        assert_eq!(nodes[1].text("SELECT n FROM a WHERE id = 'y'"), "2", "{clause}");
        assert_eq!(nodes[1].store.parked().unwrap(), [], "what is needed stands: {clause}");
        check_equal(&mut nodes);
        assert_eq!((nodes[0].seal(), nodes[1].seal()), (0, 0), "{clause}");
        nodes[1].run("DELETE FROM c; DELETE FROM b");
        converge(&mut nodes);
        assert_eq!(nodes[1].store.retry_parked(crate::mesh::now()).unwrap(), 0);
        check_equal(&mut nodes);
        assert_eq!(nodes[1].text("SELECT count(*) FROM a"), "1", "{clause}");
    }
}

#[test]
fn c11_one_row_that_cannot_stand_keeps_back_only_what_hangs_on_it() {
    let mut nodes = pair(
        "CREATE TABLE a (id text PRIMARY KEY, n int UNIQUE); CREATE TABLE b (id text PRIMARY KEY, a text REFERENCES a ON DELETE CASCADE)",
    );
    nodes[1].run("ALTER TABLE a ADD CHECK (n < 50)");
    nodes[1].store.follow_schema(crate::mesh::now()).unwrap();
    nodes[0].run("INSERT INTO a SELECT n, n FROM generate_series(1, 40) n; INSERT INTO b SELECT n, n FROM generate_series(1, 40) n");
    converge(&mut nodes);
    nodes[0].run(
        "UPDATE b SET a = '1' WHERE a = '2'; DELETE FROM a WHERE id = '2'; UPDATE a SET n = 99 WHERE id = '7'; UPDATE a SET n = 7 WHERE id = '8';
         INSERT INTO a VALUES ('bad', 77); INSERT INTO b VALUES ('hangs on it', 'bad'), ('free', '9'); UPDATE a SET n = -n WHERE id::text > '90' AND id <> 'bad'",
    );
    converge(&mut nodes);
    let mut parked: Vec<String> = nodes[1].store.parked().unwrap().into_iter().map(|parked| parked.key).collect();
    parked.sort();
    assert_eq!(parked, ["7", "8", "bad", "hangs on it"]);
    assert_eq!(nodes[1].query("SELECT a FROM b WHERE id IN ('2', 'free') ORDER BY id"), ["(1)", "(9)"]);
    nodes[1].run("ALTER TABLE a DROP CONSTRAINT a_n_check");
    nodes[1].store.follow_schema(crate::mesh::now()).unwrap();
    nodes[1].store.retry_parked(crate::mesh::now()).unwrap();
    assert_eq!(nodes[1].store.parked().unwrap(), []);
    check_equal(&mut nodes);
}

#[test]
fn e3_rows_that_only_tables_without_sync_refer_to_swap_and_lose_nothing_of_those() {
    let schema = "CREATE TABLE users (id text PRIMARY KEY, name text UNIQUE NOT NULL);
        CREATE TABLE logins (who text REFERENCES users ON DELETE CASCADE, at text)";
    let mut nodes = pair(schema);
    nodes[0].run("INSERT INTO users VALUES ('1', 'ann'), ('2', 'bob')");
    converge(&mut nodes);
    nodes[1].run("INSERT INTO logins VALUES ('1', 'today'), ('2', 'today')");
    nodes[0].run("BEGIN; UPDATE users SET name = 't' WHERE id = '1'; UPDATE users SET name = 'ann' WHERE id = '2'; UPDATE users SET name = 'bob' WHERE id = '1'; COMMIT");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].query("SELECT * FROM users ORDER BY id"), ["(1,bob)", "(2,ann)"]);
    assert_eq!(nodes[1].text("SELECT count(*) FROM logins"), "2");
    assert_eq!(nodes[1].store.parked().unwrap(), []);
}
