//! `snapshot` and the load of one: whole and at one moment, beside an application that writes, begun anew where it was cut short, refused where
//! it does not fit.

use rowmesh_core::clock::VersionVector;
use rowmesh_core::ident::Seq;
use rowmesh_core::limits;
use rowmesh_core::store::Store;

use crate::node::{Copy, Node, check_equal, check_refused, converge, nodes, now, two};
use crate::place::Place;

const NOTES: &str = "CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT)";

/// A member with two rows, and a node that has captured nothing yet.
fn member_and_joiner<P: Place>() -> (Node<P>, Node<P>) {
    let mut member = Node::<P>::new(1, NOTES);
    member.run("INSERT INTO notes VALUES ('a', 'ann'), ('b', 'bob')");
    member.seal();
    (member, Node::outside(2, NOTES))
}

fn check<P: Place>(member: Node<P>, joiner: Node<P>, expected: &[&str]) {
    let mut nodes = vec![member, joiner];
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &nodes {
        assert_eq!(node.texts("SELECT id || '=' || text FROM notes ORDER BY id"), expected, "node {}", node.name);
    }
}

/// Fifty rows, more than two pieces of a copy hold.
fn many() -> String {
    let wide = "x".repeat(limits::SNAPSHOT_CHUNK_BYTES_TARGET / 20);
    format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) INSERT INTO notes SELECT 'n' || i, '{wide}' FROM n"
    )
}

pub(crate) fn g1_a_copy_holds_rows_ledger_log_and_what_is_remembered_of_the_deleted<P: Place>() {
    let mut nodes = nodes::<P>(2, NOTES);
    nodes[0].run("INSERT INTO notes VALUES ('a', 'ann'), ('b', 'bob'), ('c', 'cid')");
    converge(&mut nodes);
    nodes[0].run("UPDATE notes SET text = 'of one' WHERE id = 'a'; DELETE FROM notes WHERE id = 'c'");
    nodes[1].run("UPDATE notes SET text = 'of two' WHERE id = 'a'");
    converge(&mut nodes);
    let mut late = Node::<P>::new(4, NOTES);
    late.load(&nodes[0].copy());
    // Who was not there when it was deleted does not bring it back.
    nodes[1].run("INSERT INTO notes VALUES ('d', 'dan')");
    nodes.push(late);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[2].texts("SELECT id FROM notes ORDER BY id"), ["a", "b", "d"]);
    assert_eq!(nodes[2].ledger().len(), 1);
    assert_eq!(nodes[2].log().len(), nodes[0].log().len());
    assert_eq!(nodes[2].store.position().vector, nodes[0].store.position().vector);
}

pub(crate) fn a_copy_tells_its_rows_and_is_of_one_moment<P: Place>() {
    let (mut member, mut joiner) = member_and_joiner::<P>();
    member.run(&many());
    member.seal();
    let mut source = member.store.snapshot(&VersionVector::default()).expect("read");
    let start = source.start();
    let vector = member.store.position().vector;
    member.run("DELETE FROM notes WHERE id <> 'a'; UPDATE notes SET text = 'later'");
    member.seal();
    assert_eq!(source.rows(), 52);
    joiner.stand();
    joiner.store.load_begin(&start, member.store.position().origin.node, now()).expect("begun");
    let (mut chunks, mut rows) = (0, 0);
    while let Some((chunk, count)) = source.next_chunk().expect("read") {
        assert_eq!(joiner.store.load_chunk(&chunk, now()).expect("loaded"), count);
        (chunks, rows) = (chunks + 1, rows + count);
    }
    assert!(chunks > 2 && rows == 52, "{rows} rows in {chunks} chunks");
    assert_eq!(joiner.store.position().vector.get(&member.dot(1).origin).0, 0, "it counts from its end on");
    joiner.store.load_finish(&source.end(), now()).expect("loaded");
    assert_eq!(joiner.store.position().vector, vector);
    assert_eq!(
        (joiner.count("notes"), joiner.texts("SELECT text FROM notes WHERE id = 'a'")),
        (52, vec!["ann".to_owned()])
    );
    assert_eq!(joiner.seal(), 0, "what was loaded is no event");
    let mut nodes = vec![member, joiner];
    converge(&mut nodes);
    check_equal(&mut nodes);
}

pub(crate) fn what_is_stable_is_left_out_of_the_log_and_stands_all_the_same<P: Place>() {
    let (mut member, mut joiner) = member_and_joiner::<P>();
    let stable = member.store.position().vector;
    member.run("UPDATE notes SET text = 'later' WHERE id = 'a'");
    member.seal();
    joiner.stand();
    joiner.load(&member.copy_after(&stable));
    let position = joiner.store.position();
    assert_eq!((position.floor.get(&member.dot(1).origin), position.vector), (Seq(1), member.store.position().vector));
    assert_eq!(joiner.log_after(&stable).iter().map(|changeset| changeset.dot()).collect::<Vec<_>>(), [member.dot(2)]);
    check(member, joiner, &["a=later", "b=bob"]);
}

pub(crate) fn g1_what_the_joiner_s_application_writes_before_it_is_let_in_reaches_the_others<P: Place>() {
    let (mut member, mut joiner) = member_and_joiner::<P>();
    joiner.run("INSERT INTO notes VALUES ('j', 'before'), ('b', 'also here')");
    joiner.stand();
    joiner.run("INSERT INTO notes VALUES ('k', 'after')");
    joiner.load(&member.copy());
    check(member, joiner, &["a=ann", "b=also here", "j=before", "k=after"]);
}

pub(crate) fn g1_a_load_that_is_cut_short_keeps_what_the_application_did_meanwhile<P: Place>() {
    let (mut member, mut joiner) = member_and_joiner::<P>();
    joiner.stand();
    let copy = member.copy();
    joiner.load_but_for_the_end(&copy);
    joiner.run("DELETE FROM notes WHERE id = 'a'; UPDATE notes SET text = 'edited' WHERE id = 'b'; INSERT INTO notes VALUES ('j', 'new')");
    let mut joiner = joiner.restart();
    joiner.load_but_for_the_end(&copy);
    let mut joiner = joiner.restart();
    joiner.load(&copy);
    check(member, joiner, &["b=edited", "j=new"]);
}

/// Families in which a delete has its say in every way, and rows that refer to rows of their own table.
const FAMILIES: &str = "CREATE TABLE parents (id TEXT PRIMARY KEY, a TEXT, b TEXT);
    CREATE TABLE kept (id TEXT PRIMARY KEY, parent TEXT REFERENCES parents (id) ON DELETE CASCADE, a TEXT, b TEXT);
    CREATE TABLE loose (id TEXT PRIMARY KEY, parent TEXT REFERENCES parents (id) ON DELETE SET NULL);
    CREATE TABLE strict (id TEXT PRIMARY KEY, parent TEXT NOT NULL REFERENCES parents (id));
    CREATE TABLE tree (id TEXT PRIMARY KEY, up TEXT REFERENCES tree (id) ON DELETE CASCADE)";

/// A member with such families, and a node that has got everything of its copy but the end.
fn families_half_way<P: Place>() -> (Node<P>, Node<P>) {
    let mut member = Node::<P>::new(1, FAMILIES);
    member.run(
        "INSERT INTO parents VALUES ('p', '-', '-'), ('q', '-', '-'), ('r', '-', '-'); INSERT INTO kept VALUES ('k', 'p', '-', '-'), ('l', 'q', '-', '-');
         INSERT INTO loose VALUES ('l', 'q'); INSERT INTO strict VALUES ('s', 'r'); INSERT INTO tree VALUES ('root', NULL), ('twig', 'root')",
    );
    member.seal();
    let mut joiner = Node::<P>::outside(2, FAMILIES);
    joiner.stand();
    joiner.load_but_for_the_end(&member.copy());
    (member, joiner)
}

/// Begins anew with what the member has now, lets both come to the same knowledge, and asserts that they have the same rows.
fn load_anew<P: Place>(mut member: Node<P>, joiner: Node<P>) -> Vec<Node<P>> {
    member.seal();
    let mut joiner = joiner.restart();
    joiner.load(&member.copy());
    joiner.place.check_sound();
    let mut nodes = vec![member, joiner];
    for _ in 0..2 {
        converge(&mut nodes);
        for node in &mut nodes {
            node.store.retry_parked(now()).expect("tried");
        }
    }
    check_equal(&mut nodes);
    nodes
}

pub(crate) fn g1_a_load_begun_anew_takes_nothing_with_it_that_the_application_hung_on_rows_that_had_come<P: Place>() {
    let (member, joiner) = families_half_way::<P>();
    joiner.run(
        "INSERT INTO kept VALUES ('new', 'p', 'x', 'x'); UPDATE kept SET a = 'x' WHERE id = 'l'; INSERT INTO loose VALUES ('new', 'q');
         INSERT INTO strict VALUES ('new', 'r'); INSERT INTO tree VALUES ('leaf', 'twig')",
    );
    // Twice: what stays for its children's sake stays again.
    let mut joiner = joiner.restart();
    joiner.load_but_for_the_end(&{
        let mut member = Node::<P>::new(3, FAMILIES);
        member.copy()
    });
    let nodes = load_anew(member, joiner);
    for node in &nodes {
        assert_eq!(node.texts("SELECT id || a FROM kept ORDER BY id"), ["k-", "lx", "newx"], "node {}", node.name);
        assert_eq!(node.texts("SELECT id || parent FROM loose ORDER BY id"), ["lq", "newq"], "node {}", node.name);
        assert_eq!(node.count("strict WHERE id = 'new'") + node.count("tree WHERE id = 'leaf'"), 2);
    }
}

pub(crate) fn g1_a_load_begun_anew_reverts_nothing_of_the_mesh_s_rows_that_the_application_has_edited<P: Place>() {
    let (member, joiner) = families_half_way::<P>();
    joiner.run("UPDATE kept SET a = 'here' WHERE id = 'k'; UPDATE parents SET a = 'here' WHERE id = 'q'");
    member.run("UPDATE kept SET b = 'there' WHERE id = 'k'; UPDATE parents SET b = 'there'");
    for node in &load_anew(member, joiner) {
        assert_eq!(node.texts("SELECT a || ' ' || b FROM kept WHERE id = 'k'"), ["here there"], "node {}", node.name);
        assert_eq!(node.texts("SELECT a || ' ' || b FROM parents ORDER BY id"), ["- there", "here there", "- there"]);
    }
}

pub(crate) fn g1_a_row_that_stays_for_its_children_when_a_load_is_begun_anew_takes_up_what_was_written_elsewhere<
    P: Place,
>() {
    let (member, joiner) = families_half_way::<P>();
    joiner.run("INSERT INTO kept VALUES ('new', 'p', 'x', 'x')");
    member.run("UPDATE parents SET b = 'there' WHERE id = 'p'");
    for node in &load_anew(member, joiner) {
        assert_eq!(node.texts("SELECT a || b FROM parents WHERE id = 'p'"), ["-there"], "node {}", node.name);
        assert_eq!(node.count("kept"), 3);
    }
}

pub(crate) fn p5_a_row_that_is_deleted_elsewhere_while_the_application_hangs_another_on_it_lets_no_reference_dangle<
    P: Place,
>() {
    let (mut member, joiner) = families_half_way::<P>();
    joiner.run("INSERT INTO strict VALUES ('new', 'r')");
    member.run("DELETE FROM strict; DELETE FROM parents WHERE id = 'r'");
    member.seal();
    let mut joiner = joiner.restart();
    joiner.load(&member.copy());
    joiner.place.check_sound();
    assert_eq!(joiner.texts("SELECT id FROM strict"), ["new"]);
    let mut nodes = vec![member, joiner];
    converge(&mut nodes);
    nodes.iter().for_each(|node| node.place.check_sound());
    // Both wait for somebody who decides: here the delete, there the child.
    nodes[1].run("DELETE FROM strict");
    converge(&mut nodes);
    nodes.iter_mut().for_each(|node| assert_eq!(node.store.retry_parked(now()).expect("tried"), 0));
    check_equal(&mut nodes);
    assert_eq!(nodes[0].count("parents"), 2);
}

pub(crate) fn g1_a_row_that_the_joiner_made_and_deleted_itself_says_nothing_about_the_mesh_s_row_of_that_key<
    P: Place,
>() {
    let (mut member, mut joiner) = member_and_joiner::<P>();
    joiner.stand();
    joiner.run("INSERT INTO notes VALUES ('a', 'mine'); DELETE FROM notes WHERE id = 'a'");
    joiner.load(&member.copy());
    check(member, joiner, &["a=ann", "b=bob"]);
}

pub(crate) fn a_load_cut_short_after_any_piece_is_begun_anew_and_comes_to_the_same_end<P: Place>() {
    let (mut member, mut joiner) = member_and_joiner::<P>();
    member.run(&many());
    member.seal();
    joiner.stand();
    let copy = member.copy();
    for pieces in 0..copy.chunks.len() {
        joiner.begin_load(&copy).expect("begun");
        for chunk in &copy.chunks[..pieces] {
            joiner.store.load_chunk(chunk, now()).expect("loaded");
        }
        // In the same run of the daemon, and after a restart.
        if pieces % 2 == 0 {
            joiner = joiner.restart();
        }
        assert_eq!(joiner.store.position().vector.total(), 0);
    }
    // The member has gone on meanwhile: the last copy is another one.
    member.run("DELETE FROM notes WHERE id = 'n7'; UPDATE notes SET text = 'later' WHERE id = 'a'");
    member.seal();
    joiner.load(&member.copy());
    assert_eq!(joiner.count(&format!("{} WHERE state = 'Completed'", P::ours("initial_load_sessions"))), 1);
    let mut nodes = vec![member, joiner];
    converge(&mut nodes);
    check_equal(&mut nodes);
}

pub(crate) fn pieces_of_a_copy_are_refused_where_none_was_begun<P: Place>() {
    let (mut member, mut joiner) = member_and_joiner::<P>();
    joiner.stand();
    let copy = member.copy();
    check_refused(joiner.store.load_chunk(&copy.chunks[0], now()), "RM9105");
    check_refused(joiner.store.load_finish(&copy.end, now()), "RM9105");
    joiner.load(&copy);
    check_refused(joiner.store.load_chunk(&copy.chunks[0], now()), "RM9105");
    check_refused(joiner.store.load_finish(&copy.end, now()), "RM9105");
    check(member, joiner, &["a=ann", "b=bob"]);
}

/// Loads these pieces of a copy, and says whether all was taken for whole.
fn comes_to_an_end<P: Place>(joiner: &mut Node<P>, copy: &Copy, pieces: &[usize]) -> bool {
    joiner.begin_load(copy).expect("begun");
    let loaded = pieces.iter().all(|piece| joiner.store.load_chunk(&copy.chunks[*piece], now()).is_ok());
    loaded && joiner.store.load_finish(&copy.end, now()).is_ok()
}

pub(crate) fn a_copy_with_a_piece_missing_is_not_taken_for_whole<P: Place>() {
    let (mut member, mut joiner) = member_and_joiner::<P>();
    joiner.stand();
    member.run(&many());
    member.seal();
    let copy = member.copy();
    for missing in 0..copy.chunks.len() {
        let pieces: Vec<usize> = (0..copy.chunks.len()).filter(|piece| *piece != missing).collect();
        assert!(!comes_to_an_end(&mut joiner, &copy, &pieces), "without piece {missing}");
        assert_eq!(joiner.store.position().vector.total(), 0);
    }
    joiner.begin_load(&copy).expect("begun");
    check_refused(joiner.store.load_finish(&copy.end, now()), "RM5303");
    joiner.load(&copy);
    assert_eq!(joiner.count("notes"), 52);
    joiner.place.check_sound();
}

pub(crate) fn pieces_of_a_copy_are_taken_in_their_order_only_and_each_once<P: Place>() {
    let (mut member, mut joiner) = member_and_joiner::<P>();
    joiner.stand();
    member.run(&many());
    member.seal();
    let copy = member.copy();
    assert!(copy.chunks.len() > 3, "{} pieces", copy.chunks.len());
    // Repeated; another one, twice; in another order; one left out: each of them as many as there are.
    for pieces in [[0, 1, 1, 3], [0, 2, 1, 3], [0, 2, 2, 3], [1, 2, 3, 0], [0, 1, 3, 3]] {
        let wrong = (0..4).find(|place| pieces[*place] != *place).expect("one is not where it belongs");
        joiner.begin_load(&copy).expect("begun");
        for (place, piece) in pieces.into_iter().enumerate().take(wrong + 1) {
            let taken = joiner.store.load_chunk(&copy.chunks[piece], now());
            assert_eq!(taken.is_ok(), place < wrong, "piece {piece} in place {place} of {pieces:?}");
        }
        // The load is over: it begins anew, and nothing of it counts.
        check_refused(joiner.store.load_chunk(&copy.chunks[wrong], now()), "RM9105");
        check_refused(joiner.store.load_finish(&copy.end, now()), "RM9105");
        assert_eq!(joiner.store.position().vector.total(), 0);
    }
    joiner.begin_load(&copy).expect("begun");
    joiner.store.load_chunk(&copy.chunks[0], now()).expect("the first");
    check_refused(joiner.store.load_chunk(&copy.chunks[0], now()), "RM5303");
    joiner.load(&copy);
    assert_eq!(joiner.count("notes"), 52);
    joiner.place.check_sound();
}

pub(crate) fn a_damaged_piece_of_a_copy_is_refused_and_the_load_can_be_begun_anew<P: Place>() {
    let (mut member, mut joiner) = member_and_joiner::<P>();
    joiner.stand();
    let copy = member.copy();
    joiner.store.load_begin(&copy.start[1..], member.store.position().origin.node, now()).expect_err("damaged");
    joiner.begin_load(&copy).expect("begun");
    joiner.store.load_chunk(&copy.chunks[0][..copy.chunks[0].len() - 1], now()).expect_err("damaged");
    let mut joiner = joiner.restart();
    joiner.load_but_for_the_end(&copy);
    joiner.store.load_finish(&copy.end[1..], now()).expect_err("damaged");
    let mut joiner = joiner.restart();
    joiner.load(&copy);
    check(member, joiner, &["a=ann", "b=bob"]);
}

const SHOP: &str = "CREATE TABLE a_users (id TEXT PRIMARY KEY, code TEXT UNIQUE);
    CREATE TABLE b_posts (id TEXT PRIMARY KEY, author TEXT REFERENCES a_users (code))";

/// A member with two users, each with a post, and a node that is about to load them.
fn shop<P: Place>() -> (Node<P>, Node<P>) {
    let mut member = Node::<P>::new(1, SHOP);
    member.run(
        "INSERT INTO a_users VALUES ('1', 'ann'), ('2', 'bob'); INSERT INTO b_posts VALUES ('x', 'ann'), ('y', 'bob')",
    );
    member.seal();
    let mut joiner = Node::<P>::outside(2, SHOP);
    joiner.stand();
    (member, joiner)
}

pub(crate) fn p5_no_row_of_a_copy_refers_to_what_the_application_has_written_otherwise<P: Place>() {
    let (mut member, mut joiner) = shop::<P>();
    joiner.run("INSERT INTO a_users VALUES ('1', 'another')");
    joiner.load(&member.copy());
    joiner.place.check_sound();
    assert_eq!(joiner.texts("SELECT id FROM b_posts"), ["y"], "the other one waits");
    assert_eq!(joiner.store.parked().expect("read").len(), 1);
    joiner.run("UPDATE a_users SET code = 'ann' WHERE id = '1'");
    joiner.seal();
    assert_eq!(joiner.store.retry_parked(now()).expect("tried"), 0);
    let mut nodes = vec![member, joiner];
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT id FROM b_posts ORDER BY id"), ["x", "y"]);
}

pub(crate) fn p5_no_row_of_a_copy_refers_to_what_the_application_deletes_while_it_comes_in<P: Place>() {
    let (mut member, mut joiner) = shop::<P>();
    let copy = member.copy();
    joiner.begin_load(&copy).expect("begun");
    let mut chunks = copy.chunks.iter();
    while joiner.count("a_users") == 0 {
        joiner.store.load_chunk(chunks.next().expect("parents come first"), now()).expect("loaded");
    }
    joiner.run("DELETE FROM a_users WHERE id = '1'");
    for chunk in chunks {
        joiner.store.load_chunk(chunk, now()).expect("loaded");
    }
    joiner.store.load_finish(&copy.end, now()).expect("loaded");
    joiner.place.check_sound();
    assert_eq!(joiner.texts("SELECT id FROM b_posts"), ["y"], "the other one waits");
    let mut nodes = vec![member, joiner];
    converge(&mut nodes);
    nodes.iter().for_each(|node| node.place.check_sound());
}

pub(crate) fn p5_a_copy_brings_parents_before_their_children_whatever_their_names<P: Place>() {
    let schema = "CREATE TABLE c_towns (id TEXT PRIMARY KEY); CREATE TABLE b_users (id TEXT PRIMARY KEY, town TEXT REFERENCES c_towns (id));
        CREATE TABLE a_posts (id TEXT PRIMARY KEY, author TEXT REFERENCES b_users (id))";
    let mut member = Node::<P>::new(1, schema);
    member.run("INSERT INTO c_towns VALUES ('t'); INSERT INTO b_users VALUES ('ann', 't'); INSERT INTO a_posts VALUES ('x', 'ann')");
    member.seal();
    let mut joiner = Node::<P>::outside(2, schema);
    joiner.stand();
    let copy = member.copy();
    joiner.begin_load(&copy).expect("begun");
    for chunk in &copy.chunks {
        joiner.store.load_chunk(chunk, now()).expect("loaded");
        joiner.place.check_sound();
    }
    joiner.store.load_finish(&copy.end, now()).expect("loaded");
    assert_eq!(joiner.store.parked().expect("read"), [], "nothing had to wait");
    let mut nodes = vec![member, joiner];
    converge(&mut nodes);
    check_equal(&mut nodes);
}

pub(crate) fn a_database_that_holds_rows_already_is_not_loaded_over<P: Place>() {
    let (mut member, joiner) = member_and_joiner::<P>();
    drop(joiner);
    let place = P::empty();
    place.run(&format!("{NOTES}; INSERT INTO notes VALUES ('mine', 'x')"));
    let mut joiner = Node::on(2, place, "SELECT 1");
    let (copy, position) = (member.copy(), joiner.store.position());
    check_refused(joiner.begin_load(&copy), "RM5504");
    assert_eq!((joiner.store.position(), joiner.count("notes")), (position, 1));
    check_refused(joiner.store.load_chunk(&copy.chunks[0], now()), "RM9105");
}

pub(crate) fn tables_and_columns_of_a_copy_that_are_not_here_wait_for_them<P: Place>() {
    let mut nodes = vec![
        Node::<P>::new(
            1,
            "CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT, mood TEXT); CREATE TABLE plants (id TEXT PRIMARY KEY)",
        ),
        Node::new(2, NOTES),
    ];
    nodes[0].run("INSERT INTO notes VALUES ('a', 'ann', 'merry'); INSERT INTO plants VALUES ('fern')");
    nodes[0].seal();
    let (member, joiner) = two(&mut nodes);
    joiner.load(&member.copy());
    assert_eq!(joiner.texts("SELECT text FROM notes"), ["ann"]);
    assert_eq!(joiner.store.parked().expect("read").len(), 1);
    joiner.run("ALTER TABLE notes ADD COLUMN mood TEXT; CREATE TABLE plants (id TEXT PRIMARY KEY)");
    joiner.store.follow_schema(now()).expect("followed");
    assert_eq!(joiner.store.retry_parked(now()).expect("tried"), 0);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT mood || plants.id FROM notes, plants"), ["merryfern"]);
}
