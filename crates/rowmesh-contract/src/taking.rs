//! `take`: exactly once, in causal order, whatever comes and comes again, over what was sealed first. What becomes of edits that meet is
//! `settling`'s, what cannot be shown `parking`'s.

use rowmesh_core::ident::{Incarnation, Seq};
use rowmesh_core::store::{Store, Taken};

use crate::node::{Node, check_equal, converge, lacked, nodes, now, two};
use crate::place::Place;

const ITEMS: &str = "CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT, stock INTEGER)";
const SHOP: &str = "
    CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT NOT NULL, phone TEXT, email TEXT UNIQUE);
    CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers (id) ON DELETE CASCADE, total INTEGER);
    CREATE TABLE lines (ord TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE, line INTEGER NOT NULL, what TEXT, PRIMARY KEY (ord, line))";

/// Runs each batch on the first node, converging after each; nothing is parked and nothing comes back.
fn check<P: Place>(schema: &str, batches: &[&str]) -> Vec<Node<P>> {
    let mut nodes = nodes::<P>(2, schema);
    for batch in batches {
        nodes[0].run(batch);
        converge(&mut nodes);
        check_equal(&mut nodes);
        assert_eq!((nodes[0].seal(), nodes[1].seal()), (0, 0), "nothing is sealed twice after {batch}");
    }
    assert_eq!(nodes[1].store.parked().expect("read"), []);
    nodes
}

pub(crate) fn inserts_updates_and_deletes_arrive<P: Place>() {
    let nodes = check::<P>(
        SHOP,
        &[
            "INSERT INTO customers VALUES ('a', 'Ann', '1', 'a@x'), ('b', 'Bob', NULL, NULL); INSERT INTO orders VALUES ('o', 'a', 15)",
            "UPDATE customers SET phone = '2' WHERE id = 'a'; DELETE FROM customers WHERE id = 'b'; INSERT INTO lines VALUES ('o', 1, 'gum')",
            "BEGIN; INSERT INTO customers VALUES ('c', 'Cleo', NULL, 'c@x'); UPDATE orders SET customer = 'c' WHERE id = 'o'; COMMIT",
        ],
    );
    assert_eq!(nodes[1].texts("SELECT customer || line || what FROM orders JOIN lines ON ord = orders.id"), ["c1gum"]);
    assert_eq!(nodes[1].texts("SELECT phone FROM customers ORDER BY id"), ["2", "NULL"]);
}

pub(crate) fn bulk_statements_upserts_and_cascades_arrive<P: Place>() {
    let nodes = check::<P>(
        SHOP,
        &[
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
               INSERT INTO customers SELECT 'c' || i, 'Name ' || i, CAST(i AS TEXT), 'e' || i FROM n;
             INSERT INTO orders SELECT 'o' || id, id, 1 FROM customers",
            "UPDATE customers SET name = name || '!' WHERE CAST(phone AS INTEGER) > 10; DELETE FROM customers WHERE CAST(phone AS INTEGER) <= 10;
             INSERT INTO customers VALUES ('c11', 'x', '0', 'y') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
        ],
    );
    assert_eq!(
        (nodes[1].count("customers WHERE name LIKE '%!' OR name = 'x'"), nodes[1].count("orders")),
        (5990, 5990)
    );
}

pub(crate) fn j1_what_comes_again_changes_nothing<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple', 1), ('b', 'bread', 2)");
    nodes[0].seal();
    let (one, two) = two(&mut nodes);
    let all = lacked(two, one);
    let first = two.store.take(now(), &all).expect("taken");
    assert_eq!(first, Taken { changesets: 1, events: 2, rows_written: 2, ..Taken::default() });
    let position = two.store.position();
    assert_eq!(position.vector.get(&one.store.position().origin), Seq(1));
    let again = two.store.take(now(), &[all[0].clone(), all[0].clone()]).expect("taken");
    assert_eq!(again, Taken { changesets: 2, ..Taken::default() }, "they are in the row states, as asked");
    assert_eq!(two.store.position(), position);
    assert_eq!((two.seal(), two.log().len(), two.events().len()), (0, 1, 2));
    check_equal(&mut nodes);
}

pub(crate) fn j2_what_comes_before_its_time_is_not_taken_and_what_fits_before_it_is<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    for n in 1..=3 {
        nodes[0].run(&format!("INSERT INTO items VALUES ('{n}', 'x', {n})"));
        nodes[0].seal();
    }
    let (one, two) = two(&mut nodes);
    let all = lacked(two, one);
    let origin = one.store.position().origin;
    assert_eq!(two.store.take(now(), &all[1..]).expect("none of them fits"), Taken::default());
    assert_eq!((two.store.position().vector.get(&origin), two.count("items")), (Seq(0), 0));
    let gap = [all[0].clone(), all[2].clone(), all[1].clone()];
    assert_eq!(two.store.take(now(), &gap).expect("the first fits").changesets, 1);
    assert_eq!(two.store.position().vector.get(&origin), Seq(1));
    two.take(&all[1..]);
    check_equal(&mut nodes);
}

pub(crate) fn e9_what_refers_to_something_unheard_of_waits_for_it_by_whatever_way_it_comes<P: Place>() {
    let schema =
        "CREATE TABLE p (id TEXT PRIMARY KEY); CREATE TABLE c (id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p (id))";
    let mut nodes = nodes::<P>(3, schema);
    nodes[0].run("INSERT INTO p VALUES ('a')");
    nodes[0].seal();
    let (one, rest) = nodes.split_at_mut(1);
    rest[0].pull(&mut one[0]);
    rest[0].run("INSERT INTO c VALUES ('x', 'a')");
    rest[0].seal();
    // The third hears of the child first: it has seen what is not there yet.
    let (second, third) = two(rest);
    let all = lacked(third, second);
    assert_eq!(third.store.take(now(), &all[1..]).expect("not yet").changesets, 0);
    third.take(&all);
    assert_eq!(third.texts("SELECT p FROM c"), ["a"]);
}

pub(crate) fn own_changesets_that_come_back_change_nothing<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple', 1)");
    converge(&mut nodes);
    nodes[0].run("UPDATE items SET stock = 5");
    nodes[0].seal();
    let (one, two) = two(&mut nodes);
    let echo = two.log();
    let position = one.store.position();
    let taken = one.store.take(now(), &echo).expect("taken");
    assert_eq!(taken, Taken { changesets: 1, ..Taken::default() });
    assert_eq!(
        (one.store.position(), one.texts("SELECT CAST(stock AS TEXT) FROM items")),
        (position, vec!["5".to_owned()])
    );
}

pub(crate) fn g5_a_restored_database_takes_back_what_it_had_sealed_since_and_goes_on_in_another_life<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple', 1)");
    converge(&mut nodes);
    let (one, restored) = nodes.remove(0).stop().copied();
    let mut one = one.start();
    one.run("INSERT INTO items VALUES ('lost', 'and found', 2); UPDATE items SET stock = 9 WHERE id = 'a'");
    one.seal();
    nodes[0].pull(&mut one);
    drop(one);

    let mut one = restored.start();
    let next = Incarnation { count: 2, nonce: 5 };
    one.store.renew_incarnation(next).expect("renewed");
    one.run("INSERT INTO items VALUES ('b', 'bread', 3)");
    nodes.insert(0, one);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].texts("SELECT id FROM items WHERE stock <> 1 ORDER BY id"), ["a", "b", "lost"]);
    assert_eq!(nodes[0].store.position().origin.incarnation, next);
}

pub(crate) fn an_offer_of_nothing_seals_what_is_dirty<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    assert_eq!(node.store.take(now(), &[]).expect("taken"), Taken::default());
    node.run("INSERT INTO items VALUES ('a', 'apple', 1)");
    let taken = node.store.take(now(), &[]).expect("taken");
    assert_eq!((taken.sealed.dots, taken.sealed.events, taken.changesets), (vec![node.dot(1)], 1, 0));
}

pub(crate) fn d1_an_unsealed_edit_is_sealed_before_anything_is_applied_over_it<P: Place>() {
    let mut nodes = check::<P>(ITEMS, &["INSERT INTO items VALUES ('a', 'apple', 1)"]);
    nodes[0].run("UPDATE items SET stock = 2");
    nodes[0].seal();
    nodes[1].run("UPDATE items SET stock = 3");
    let (one, two) = two(&mut nodes);
    let of_one = lacked(two, one);
    let taken = two.store.take(now(), &of_one).expect("taken");
    assert_eq!((taken.changesets, taken.conflicts, taken.sealed.events), (1, 1, 1));
    assert_eq!(taken.sealed.dots, [two.dot(1)]);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].ledger().len(), 1);
}

pub(crate) fn d2_q26_what_was_applied_is_never_sealed_again<P: Place>() {
    let mut nodes = check::<P>(
        SHOP,
        &[
            "INSERT INTO customers VALUES ('a', 'Ann', '1', NULL)",
            "BEGIN; DELETE FROM customers; INSERT INTO customers VALUES ('a', 'New', '2', 'z'); COMMIT",
        ],
    );
    for _ in 0..5 {
        assert_eq!((nodes[0].seal(), nodes[1].seal()), (0, 0));
    }
}

pub(crate) fn d6_e14_one_key_many_times_in_one_batch_ends_as_its_last_write<P: Place>() {
    let mut nodes = nodes::<P>(2, "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)");
    for sql in [
        "INSERT INTO t VALUES ('a', '1')",
        "UPDATE t SET v = '2'",
        "DELETE FROM t",
        "INSERT INTO t VALUES ('a', '3')",
        "BEGIN; DELETE FROM t; INSERT INTO t VALUES ('a', '4'); DELETE FROM t; INSERT INTO t VALUES ('a', '5'); COMMIT",
    ] {
        nodes[0].run(sql);
        nodes[0].seal();
    }
    let (one, other) = two(&mut nodes);
    other.pull(one);
    assert_eq!(other.texts("SELECT v FROM t"), ["5"]);
    // Deleted and made anew here, edited there: one row everywhere.
    nodes[0].run("BEGIN; DELETE FROM t; INSERT INTO t VALUES ('a', 'new'); COMMIT");
    nodes[1].run("UPDATE t SET v = 'edited'");
    converge(&mut nodes);
    check_equal(&mut nodes);
}

pub(crate) fn p3_changesets_that_come_together_make_what_they_make_one_by_one<P: Place>() {
    const LOOSE: &str = "CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER, name TEXT UNIQUE)";
    const STRICT: &str = "CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER CHECK (n < 100), name TEXT UNIQUE)";
    let mut writers = vec![Node::<P>::new(1, LOOSE), Node::new(2, LOOSE)];
    writers[0].run("INSERT INTO t VALUES ('a', 1, 'x'), ('b', 2, 'y'), ('gone', 1, NULL), ('poison', 1, NULL)");
    converge(&mut writers);
    for (writer, batch) in [
        (1, "UPDATE t SET n = 50 WHERE id = 'a'"),
        (1, "DELETE FROM t WHERE id = 'b'"),
        (0, "UPDATE t SET n = 7 WHERE id = 'a'"),
        (0, "UPDATE t SET name = NULL WHERE id = 'a'"),
        (0, "UPDATE t SET name = 'x' WHERE id = 'b'"),
        (0, "DELETE FROM t WHERE id = 'gone'"),
        (0, "INSERT INTO t VALUES ('gone', 9, NULL)"),
        (0, "UPDATE t SET n = 500 WHERE id = 'poison'"),
        (0, "UPDATE t SET n = 600, name = 'p' WHERE id = 'poison'"),
    ] {
        writers[writer].run(batch);
        assert_eq!(writers[writer].seal(), 1, "{batch}");
    }
    converge(&mut writers);
    let all = writers[0].log();
    let mut readers = vec![Node::<P>::new(3, STRICT), Node::new(4, STRICT)];
    readers[0].take(&all);
    all.iter().for_each(|changeset| drop(readers[1].take(std::slice::from_ref(changeset))));
    check_equal(&mut readers);
    let parked = |node: &mut Node<P>| {
        let parked = node.store.parked().expect("read").into_iter();
        parked.map(|parked| (parked.dot, parked.key, parked.reason)).collect::<Vec<_>>()
    };
    let (together, alone) = (parked(&mut readers[0]), parked(&mut readers[1]));
    assert!(together.len() == 2 && together == alone, "{together:?} and {alone:?}");
    let rows = "SELECT id || n || coalesce(name, '-') FROM t ORDER BY id";
    assert_eq!(readers[0].texts(rows), ["a7-", "b2x", "gone9-", "poison1-"]);
    let states = |node: &mut Node<P>| {
        let events = node.events().into_iter();
        events.map(|event| (event.dot, event.key, event.operation, event.state)).collect::<Vec<_>>()
    };
    assert_eq!(states(&mut readers[0]), states(&mut readers[1]));
    assert_eq!(readers[0].ledger(), writers[0].ledger());
}

pub(crate) fn d7_rows_of_five_hundred_columns_and_keys_of_eight_travel<P: Place>() {
    let columns: Vec<String> = (0..500).map(|n| format!("c{n} INTEGER DEFAULT {n}")).collect();
    let key: Vec<String> = (0..8).map(|n| format!("k{n} TEXT NOT NULL")).collect();
    let names: Vec<String> = (0..8).map(|n| format!("k{n}")).collect();
    let schema =
        format!("CREATE TABLE wide ({}, {}, PRIMARY KEY ({}))", key.join(", "), columns.join(", "), names.join(", "));
    let insert = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10)
                  INSERT INTO wide (k0, k1, k2, k3, k4, k5, k6, k7) SELECT CAST(i AS TEXT), '1', '2', '3', '4', '5', '6', CAST(i AS TEXT) FROM n";
    let sets: Vec<String> = (0..500).map(|n| format!("c{n} = c{n} + 1")).collect();
    let nodes = check::<P>(&schema, &[insert, &format!("UPDATE wide SET {}", sets.join(", "))]);
    assert_eq!(nodes[1].texts("SELECT CAST(sum(c499) AS TEXT) FROM wide"), [(10 * 500).to_string()]);
}

pub(crate) fn e1_a_changed_primary_key_moves_the_row_and_its_children<P: Place>() {
    let schema = "CREATE TABLE a (id TEXT PRIMARY KEY, v INTEGER);
                  CREATE TABLE b (id TEXT PRIMARY KEY, a TEXT REFERENCES a (id) ON UPDATE CASCADE)";
    let nodes = check::<P>(
        schema,
        &["INSERT INTO a VALUES ('x', 1); INSERT INTO b VALUES ('p', 'x')", "UPDATE a SET id = 'y'"],
    );
    assert_eq!(nodes[1].texts("SELECT a.id || b.a FROM a, b"), ["yy"]);
}

pub(crate) fn e3_unique_values_swap_and_rotate_inside_a_transaction<P: Place>() {
    for index in ["u", "lower(u)", "u, coalesce(v, '')", "u) WHERE (v <> 'off'"] {
        let schema =
            format!("CREATE TABLE t (id TEXT PRIMARY KEY, u TEXT, v TEXT); CREATE UNIQUE INDEX i ON t ({index})");
        let nodes = check::<P>(
            &schema,
            &[
                "INSERT INTO t VALUES ('a', 'x', 'on'), ('b', 'y', 'on'), ('c', 'z', 'on')",
                "BEGIN; UPDATE t SET u = NULL WHERE id = 'a'; UPDATE t SET u = 'x' WHERE id = 'b'; UPDATE t SET u = 'y' WHERE id = 'a'; COMMIT",
                "BEGIN; UPDATE t SET u = 'tmp' WHERE id = 'a'; UPDATE t SET u = 'y' WHERE id = 'c'; UPDATE t SET u = 'z' WHERE id = 'a'; COMMIT",
                "BEGIN; DELETE FROM t WHERE id = 'b'; INSERT INTO t VALUES ('d', 'x', 'on'); COMMIT",
                "DELETE FROM t WHERE id = 'd'; UPDATE t SET u = 'x' WHERE id = 'a'; INSERT INTO t VALUES ('e', 'z', 'on')",
            ],
        );
        assert_eq!(nodes[1].texts("SELECT id || u FROM t ORDER BY id"), ["ax", "cy", "ez"], "{index}");
    }
}

pub(crate) fn e5_what_cascades_did_at_the_origin_is_done_everywhere_once<P: Place>() {
    let schema = "CREATE TABLE a (id TEXT PRIMARY KEY);
        CREATE TABLE b (id TEXT PRIMARY KEY, a TEXT NOT NULL REFERENCES a (id) ON DELETE CASCADE ON UPDATE CASCADE);
        CREATE TABLE c (id TEXT PRIMARY KEY, b TEXT REFERENCES b (id) ON DELETE SET NULL, a TEXT DEFAULT 'a0' REFERENCES a (id) ON DELETE SET DEFAULT);
        CREATE TABLE d (id TEXT PRIMARY KEY, b TEXT NOT NULL REFERENCES b (id) ON DELETE CASCADE, c TEXT REFERENCES c (id) ON DELETE RESTRICT)";
    let nodes = check::<P>(
        schema,
        &[
            "INSERT INTO a VALUES ('a0'), ('a1'), ('a2'); INSERT INTO b VALUES ('b1', 'a1'), ('b2', 'a2');
             INSERT INTO c VALUES ('c1', 'b1', 'a1'), ('c2', 'b2', 'a0'); INSERT INTO d VALUES ('d1', 'b1', NULL), ('d2', 'b2', 'c2')",
            "UPDATE a SET id = 'a9' WHERE id = 'a2'",
            "DELETE FROM a WHERE id = 'a1'",
        ],
    );
    assert_eq!(nodes[0].ledger(), [""; 0]);
    let all = "SELECT id FROM a UNION ALL SELECT id || a FROM b UNION ALL SELECT id || coalesce(b, '-') || a FROM c UNION ALL SELECT id FROM d ORDER BY 1";
    assert_eq!(nodes[1].texts(all), ["a0", "a9", "b2a9", "c1-a0", "c2b2a0", "d2"]);
}

pub(crate) fn e7_a_transaction_that_is_legal_only_at_its_end_arrives_whole<P: Place>() {
    check::<P>(
        "CREATE TABLE p (id TEXT PRIMARY KEY, v TEXT);
         CREATE TABLE c (id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)",
        &[
            "BEGIN; INSERT INTO c VALUES ('x', 'a'); INSERT INTO p VALUES ('a', '1'); COMMIT",
            "BEGIN; DELETE FROM p WHERE id = 'a'; INSERT INTO p VALUES ('a', '2'); COMMIT",
            "BEGIN; DELETE FROM p WHERE id = 'a'; UPDATE c SET p = 'z'; INSERT INTO p VALUES ('z', '3'); COMMIT",
        ],
    );
}

pub(crate) fn a_node_that_stops_anywhere_goes_on_where_it_was<P: Place>() {
    let mut nodes = nodes::<P>(2, ITEMS);
    nodes[0].run("INSERT INTO items VALUES ('a', 'apple', 1)");
    nodes[0].seal();
    nodes[0].run("UPDATE items SET stock = 9");
    let mut nodes: Vec<Node<P>> = nodes.into_iter().map(Node::restart).collect();
    converge(&mut nodes);
    check_equal(&mut nodes);
    let one = nodes.remove(0).stop();
    one.place.run("UPDATE items SET name = 'while nobody looked'");
    nodes.insert(0, one.start());
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT name FROM items WHERE stock = 9"), ["while nobody looked"]);
    assert_eq!(nodes[0].store.position().vector.total(), 3);
}
