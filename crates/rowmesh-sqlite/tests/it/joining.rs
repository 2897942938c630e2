//! A node that comes to the others by a snapshot while its own application writes already.

use rowmesh_core::clock::VersionVector;
use rowmesh_core::store::Store;

use crate::mesh::{Node, check_equal, converge, now};

const NOTES: &str = "CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT)";

/// The copy of a node, in pieces: start, chunks, end.
fn copy_of(node: &mut Node) -> (Vec<u8>, Vec<Vec<u8>>, Vec<u8>) {
    let mut source = node.store.snapshot(&VersionVector::default()).unwrap();
    let start = source.start();
    let mut chunks = Vec::new();
    while let Some((chunk, _)) = source.next_chunk().unwrap() {
        chunks.push(chunk);
    }
    (start, chunks, source.end())
}

/// A member with two rows, and a node that has captured nothing yet.
fn member_and_joiner() -> (Node, Node) {
    let mut member = Node::new(1, NOTES);
    member.run("INSERT INTO notes VALUES ('a', 'ann'), ('b', 'bob')");
    member.seal();
    (member, Node::outside(2, NOTES))
}

fn load(joiner: &mut Node, copy: &(Vec<u8>, Vec<Vec<u8>>, Vec<u8>)) {
    begin(joiner, copy);
    joiner.store.load_finish(&copy.2, now()).unwrap();
}

/// Everything but the end.
fn begin(joiner: &mut Node, (start, chunks, _): &(Vec<u8>, Vec<Vec<u8>>, Vec<u8>)) {
    let source = rowmesh_core::ident::NodeId([1; 32]);
    joiner.store.load_begin(start, source, now()).unwrap();
    for chunk in chunks {
        joiner.store.load_chunk(chunk, now()).unwrap();
    }
}

fn check(member: Node, joiner: Node, expected: &[&str]) {
    let mut nodes = vec![member, joiner];
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &nodes {
        let rows: Vec<String> = node
            .app
            .prepare("SELECT id || '=' || text FROM notes ORDER BY id")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(rows, expected, "node {}", node.name);
    }
}

#[test]
fn g1_what_the_joiner_s_application_writes_before_it_is_let_in_reaches_the_others() {
    let (mut member, mut joiner) = member_and_joiner();
    joiner.run("INSERT INTO notes VALUES ('j', 'before'), ('b', 'also here')");
    joiner.stand();
    joiner.run("INSERT INTO notes VALUES ('k', 'after')");
    load(&mut joiner, &copy_of(&mut member));
    check(member, joiner, &["a=ann", "b=also here", "j=before", "k=after"]);
}

#[test]
fn g1_a_load_that_is_cut_short_keeps_what_the_application_did_meanwhile() {
    let (mut member, mut joiner) = member_and_joiner();
    joiner.stand();
    let copy = copy_of(&mut member);
    begin(&mut joiner, &copy);
    joiner.run("DELETE FROM notes WHERE id = 'a'; UPDATE notes SET text = 'edited' WHERE id = 'b'; INSERT INTO notes VALUES ('j', 'new')");
    let mut joiner = joiner.restart();
    begin(&mut joiner, &copy);
    let mut joiner = joiner.restart();
    load(&mut joiner, &copy);
    check(member, joiner, &["b=edited", "j=new"]);
}

#[test]
fn g1_a_row_that_the_joiner_made_and_deleted_itself_says_nothing_about_the_mesh_s_row_of_that_key() {
    let (mut member, mut joiner) = member_and_joiner();
    joiner.stand();
    joiner.run("INSERT INTO notes VALUES ('a', 'mine'); DELETE FROM notes WHERE id = 'a'");
    load(&mut joiner, &copy_of(&mut member));
    check(member, joiner, &["a=ann", "b=bob"]);
}
