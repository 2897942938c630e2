//! Each operation on each synced table, one by one, to another node; and the tables that never leave a server.

use business::{Database, Key, Value};
use rowmesh_core::event::Operation;
use rowmesh_core::value;

use crate::node::{Mesh, Node, Rules};
use crate::rows::{Bytes, all_texts, canaries, check_rows, private_tables, read_tables, synced_tables};
use crate::support;

const ROWS: u32 = 4;

/// What is done to a table for a tag, and the rows that it was done to.
type Does = fn(&dyn Database, &str, &str) -> Vec<Key>;

/// On every synced table: prepares rows, lets them arrive, does the operation, and checks that its effect arrives whole and alone.
fn check_each_table(mesh: Mesh, operation: Operation, prepare: Does, act: Does) {
    let rules = Rules::usual();
    let (mut here, mut there) = (mesh.empty(1, &rules), mesh.empty(2, &rules));
    for table in synced_tables().map(|table| table.name) {
        println!("{table}");
        prepare(&*here.app, table, table);
        here.seal();
        there.pull(&mut here);
        let keys = act(&*here.app, table, table);
        assert!(here.seal() >= keys.len() as u64, "{table}: {} rows were changed", keys.len());
        check_arrives(&mut here, &mut there, table, &keys, operation);
    }
    check_rows(&read_tables(&*here.app, synced_tables()), &read_tables(&*there.app, synced_tables()));
    there.check_sound();
    here.check_sound();
}

fn check_arrives(here: &mut Node, there: &mut Node, table: &str, keys: &[Key], operation: Operation) {
    let changesets = here.log_after(&there.store.position().vector);
    let events = || {
        changesets
            .iter()
            .flat_map(|changeset| changeset.events().iter().map(move |event| (changeset.shape(event), event)))
    };
    for key in keys {
        let of_row = |(shape, event): &(&rowmesh_core::event::TableShape, &rowmesh_core::event::Event)| {
            &*shape.name == table && key_of(&event.key(shape)) == *key
        };
        let found: Vec<Operation> = events().filter(of_row).map(|(_, event)| event.operation).collect();
        assert_eq!(found, [operation], "{table}: events of {key:?}");
    }
    let taken = there.take(&changesets);
    assert_eq!((taken.parked, taken.conflicts), (0, 0), "{table}");
    // The row itself, and every parent that was made for it.
    for (shape, event) in events() {
        let key = key_of(&event.key(shape));
        let (sent, came) = (read_row(here, &shape.name, &key), read_row(there, &shape.name, &key));
        assert_eq!(sent, came, "{table}: row {key:?} of {}", shape.name);
        assert_eq!(came.is_none(), event.operation == Operation::Delete, "{table}: row {key:?} of {}", shape.name);
    }
    there.check_references();
    assert_eq!(there.seal(), 0, "{table}: what came is sealed again");
}

fn read_row(node: &Node, table: &str, key: &Key) -> Option<Vec<(String, Value)>> {
    business::read_row(&*node.app, table, key).unwrap()
}

fn key_of(key: &value::Key) -> Key {
    let values = key.values().unwrap().into_iter();
    values
        .map(|value| match value {
            value::Value::Integer(number) => Value::Integer(number),
            value::Value::Text(text) => Value::Text(String::from_utf8(text.to_vec()).unwrap()),
            value::Value::Typed(_, text) => Value::Text(text),
            other => panic!("the application has no key with {other:?}"),
        })
        .collect()
}

fn nothing(_: &dyn Database, _: &str, _: &str) -> Vec<Key> {
    Vec::new()
}

fn insert(db: &dyn Database, table: &str, tag: &str) -> Vec<Key> {
    vec![business::sample_insert(db, table, tag).unwrap()]
}

fn insert_bulk(db: &dyn Database, table: &str, tag: &str) -> Vec<Key> {
    business::bulk_insert(db, table, tag, ROWS).unwrap()
}

fn a_row_created_in_each_table_arrives_with_its_parents(mesh: Mesh) {
    check_each_table(mesh, Operation::Insert, nothing, insert);
}

fn a_row_updated_in_each_table_arrives(mesh: Mesh) {
    check_each_table(mesh, Operation::Update, insert, |db, table, tag| {
        vec![business::sample_update(db, table, tag, 1).unwrap()]
    });
}

fn a_row_deleted_in_each_table_is_deleted_there(mesh: Mesh) {
    check_each_table(mesh, Operation::Delete, insert, |db, table, tag| {
        vec![business::sample_delete(db, table, tag).unwrap()]
    });
}

fn an_upsert_that_inserts_in_each_table_arrives(mesh: Mesh) {
    check_each_table(mesh, Operation::Insert, nothing, |db, table, tag| {
        vec![business::sample_upsert(db, table, tag, 0).unwrap()]
    });
}

fn an_upsert_that_updates_in_each_table_arrives(mesh: Mesh) {
    check_each_table(mesh, Operation::Update, insert, |db, table, tag| {
        vec![business::sample_upsert(db, table, tag, 1).unwrap()]
    });
}

fn rows_created_in_bulk_in_each_table_arrive(mesh: Mesh) {
    check_each_table(mesh, Operation::Insert, nothing, insert_bulk);
}

fn rows_updated_in_bulk_in_each_table_arrive(mesh: Mesh) {
    check_each_table(mesh, Operation::Update, insert_bulk, |db, table, tag| {
        business::bulk_update(db, table, tag, ROWS, 1).unwrap()
    });
}

fn rows_deleted_in_bulk_in_each_table_are_deleted_there(mesh: Mesh) {
    check_each_table(mesh, Operation::Delete, insert_bulk, |db, table, tag| {
        business::bulk_delete(db, table, tag, ROWS).unwrap()
    });
}

fn m5_not_a_byte_of_an_excluded_table_leaves_the_node(mesh: Mesh) {
    let mut node = mesh.filled(1, &Rules::usual(), &business::Seed::small(1));
    let tables: Vec<&str> = private_tables().map(|table| table.name).collect();
    assert_eq!(tables, ["sessions", "verification_tokens", "audit_logs", "_prisma_migrations"]);
    // Parents do travel: they are there before.
    tables.iter().for_each(|table| drop(business::sample_upsert(&*node.app, table, "private", 0).unwrap()));
    tables.iter().for_each(|table| drop(business::bulk_insert(&*node.app, table, "bulk", ROWS).unwrap()));
    node.seal();
    let before = node.store.position();

    let mut written = Vec::new();
    let mut note = |node: &mut Node| {
        written.extend(read_tables(&*node.app, private_tables()).into_values());
        assert_eq!(node.seal(), 0, "a changeset was made");
    };
    for table in &tables {
        note(&mut node);
        business::sample_update(&*node.app, table, "private", 1).unwrap();
        note(&mut node);
        business::sample_upsert(&*node.app, table, "private", 2).unwrap();
        note(&mut node);
        business::bulk_update(&*node.app, table, "bulk", ROWS, 1).unwrap();
        note(&mut node);
        business::sample_delete(&*node.app, table, "private").unwrap();
        business::bulk_delete(&*node.app, table, "bulk", ROWS).unwrap();
        note(&mut node);
    }
    node.run(
        "INSERT INTO sessions (id, session_token, user_id, user_agent, expires_at) SELECT 'canary-sess', 'canary-token', id, 'canary-agent', '2030-01-01' FROM users LIMIT 1;
         INSERT INTO verification_tokens VALUES ('canary-mail@example.org', 'canary-verification', '2030-01-01');
         INSERT INTO audit_logs (action, entity_type, new_values) VALUES ('canary-action', 'canary-entity', '{\"secret\":\"canary-value\"}');
         INSERT INTO _prisma_migrations (id, checksum, migration_name, logs) VALUES ('canary-migration', 'canary-checksum', 'canary-name', 'canary-logs')",
    );
    note(&mut node);
    assert_eq!(node.store.position(), before);

    let travelling = all_texts(read_tables(&*node.app, synced_tables()).values());
    let canaries = canaries(written.iter(), &travelling);
    assert!(canaries.iter().filter(|text| text.contains("canary-")).count() >= 12);
    let mut left: Vec<u8> = node.snapshot().concat();
    node.log_after(&Default::default()).iter().for_each(|changeset| left.extend(changeset.bytes().iter()));
    let left = Bytes::new(&left);
    let leaked: Vec<&String> = canaries.iter().filter(|text| left.contain(text)).collect();
    assert!(leaked.is_empty(), "left the node: {leaked:?}");
    let name = support::strings(&*node.app, "SELECT name FROM business_products LIMIT 1").remove(0);
    assert!(left.contain(&name), "what travels can be found in the bytes");
}

on_each_mesh! {
    a_row_created_in_each_table_arrives_with_its_parents
    a_row_updated_in_each_table_arrives
    a_row_deleted_in_each_table_is_deleted_there
    an_upsert_that_inserts_in_each_table_arrives
    an_upsert_that_updates_in_each_table_arrives
    rows_created_in_bulk_in_each_table_arrive
    rows_updated_in_bulk_in_each_table_arrive
    rows_deleted_in_bulk_in_each_table_are_deleted_there
    m5_not_a_byte_of_an_excluded_table_leaves_the_node
}
