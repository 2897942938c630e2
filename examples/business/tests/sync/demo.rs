//! The demo rule on real nodes: what it covers stays at home by every way out, and nothing else does.

use std::collections::BTreeSet;

use business::{DEMO_BUSINESSES, Row, Seed, Workload};
use rowmesh_core::clock::VersionVector;
use rowmesh_core::event::Operation;

use crate::node::{Mesh, Node, Rules, check_equal, now};
use crate::rows::{
    Bytes, RowName, all_texts, canaries, check_rows, demo_names, read_tables, read_travelling, synced_tables,
};
use crate::support::{count, strings};

/// Real and demo rows, of before Rowmesh came and of afterwards, in every table that can hold them.
fn filled_before_and_after(mesh: Mesh, rules: &Rules) -> Node {
    let mut node = mesh.filled(1, rules, &Seed::small(1));
    node.seal();
    for table in synced_tables().map(|table| table.name) {
        for tag in ["demo-after", "plain-after"] {
            business::sample_upsert(&*node.app, table, tag, 0).unwrap();
        }
    }
    node.seal();
    for table in synced_tables().map(|table| table.name) {
        for tag in ["demo-after", "plain-after"] {
            business::sample_update(&*node.app, table, tag, 1).unwrap();
        }
    }
    node
}

/// Asserts that `there` holds everything of `here` that may travel, and nothing else.
fn check_travelled(here: &Node, there: &mut Node) {
    check_rows(&read_travelling(&*here.app), &read_tables(&*there.app, synced_tables()));
    there.check_sound();
}

/// Asserts that no name and no text of a demo row is in these bytes.
fn check_nothing_left(node: &Node, ever_demo: &[(RowName, Row)], bytes: &[u8]) {
    let left = Bytes::new(bytes);
    let travelling = all_texts(read_travelling(&*node.app).values());
    let canaries = canaries(ever_demo.iter().map(|(_, row)| row), &travelling);
    assert!(canaries.len() > 500, "{} texts are of demo rows only", canaries.len());
    let leaked: Vec<&String> = canaries.iter().filter(|text| left.contain(text)).collect();
    assert!(leaked.is_empty(), "left the node: {leaked:?}");
    for business in DEMO_BUSINESSES {
        assert!(!left.contain(business), "{business} left the node");
    }
    let real = strings(&*node.app, "SELECT id FROM business_orders WHERE business_id NOT LIKE '%demo%'");
    assert!(real.iter().all(|id| left.contain(id)), "what travels can be found in the bytes");
}

fn demo_rows_of(node: &Node) -> Vec<(RowName, Row)> {
    let demo = demo_names(&*node.app);
    read_tables(&*node.app, synced_tables()).into_iter().filter(|(name, _)| demo.contains(name)).collect()
}

fn m1_m5_q19_no_demo_row_leaves_by_log_or_snapshot_and_every_other_row_does(mesh: Mesh) {
    let rules = Rules::without_demo_rows();
    let mut here = filled_before_and_after(mesh, &rules);
    let mut ever_demo = demo_rows_of(&here);
    // One node joins before the last writes and takes them from the log, the other has all of it in the snapshot.
    let mut early = mesh.joined(2, &rules, &mut here);
    let mut left: Vec<u8> = here.snapshot().concat();
    here.seal();
    let mut workload = Workload::new(1, "A");
    for _ in 0..60 {
        workload.step(&*here.app).unwrap();
        here.seal();
    }
    ever_demo.extend(demo_rows_of(&here));
    let possible = business::demo_tables(&*here.app).unwrap();
    assert_eq!(ever_demo.iter().map(|((table, _), _)| *table).collect::<BTreeSet<_>>(), possible);

    early.pull(&mut here);
    let mut late = mesh.joined(3, &rules, &mut here);
    check_travelled(&here, &mut early);
    check_travelled(&here, &mut late);
    let points = "users WHERE current_business_id LIKE '%demo%'";
    assert!(count(&*here.app, points) > 0 && count(&*early.app, points) + count(&*late.app, points) == 0);

    left.extend(here.snapshot().concat());
    here.log_after(&VersionVector::default()).iter().for_each(|changeset| left.extend(changeset.bytes().iter()));
    check_nothing_left(&here, &ever_demo, &left);
    check_held_back(&mut here);
    here.check_sound();
    assert_eq!(early.seal() + late.seal(), 0);
    check_equal(&mut [here, early, late]);
}

/// Every demo row is listed, under a demo business.
fn check_held_back(node: &mut Node) {
    let listed = node.store.held_back().unwrap();
    assert!(listed.iter().all(|(filter, ..)| filter == "demo"), "{listed:?}");
    let roots: BTreeSet<&str> = listed.iter().map(|(_, root, _)| root.as_str()).collect();
    let businesses = strings(&*node.app, &format!("SELECT id FROM businesses WHERE {}", business::DEMO_SKIP));
    assert_eq!(roots, businesses.iter().map(String::as_str).collect(), "{listed:?}");
    let rows: u64 = listed.iter().map(|(.., rows)| rows).sum();
    assert_eq!(rows as usize, demo_names(&*node.app).len(), "{listed:?}");
}

fn q19_a_user_who_works_in_a_demo_business_travels_without_it(mesh: Mesh) {
    let rules = Rules::without_demo_rows();
    let mut here = mesh.filled(1, &rules, &Seed::small(1));
    let mut there = mesh.joined(2, &rules, &mut here);
    here.run("UPDATE users SET name = 'Tendai Demo', current_business_id = 'demo-test'");
    here.seal();
    there.pull(&mut here);
    let distinct = "SELECT DISTINCT name || ' ' || coalesce(current_business_id, 'none') FROM users";
    assert_eq!(strings(&*there.app, distinct), ["Tendai Demo none"]);
    assert_eq!(strings(&*here.app, distinct), ["Tendai Demo demo-test"]);
    // An edit of the user elsewhere leaves the pointer here alone.
    there.run("UPDATE users SET phone = '+263 77 123 4567'");
    there.seal();
    here.pull(&mut there);
    let here_now = strings(&*here.app, "SELECT DISTINCT phone || current_business_id FROM users");
    assert_eq!(here_now, ["+263 77 123 4567demo-test"]);
    assert_eq!(here.seal() + there.seal(), 0);
    check_travelled(&here, &mut there);
    here.check_sound();
}

/// Two nodes with the same real rows, and one of them with a demo business of its own.
fn pair_with_demo_business(mesh: Mesh) -> (Node, Node) {
    let rules = Rules::without_demo_rows();
    let mut here = mesh.filled(1, &rules, &Seed::small(1).without_demo_data());
    let there = mesh.joined(2, &rules, &mut here);
    for table in synced_tables().map(|table| table.name) {
        business::sample_upsert(&*here.app, table, "demo-own", 0).unwrap();
        business::sample_upsert(&*here.app, table, "plain", 0).unwrap();
    }
    (here, there)
}

/// Does something here and checks that the other node then has exactly what may travel, while nothing else happened here.
fn check_move(here: &mut Node, there: &mut Node, sql: &str) {
    here.run(sql);
    let stood = read_tables(&*here.app, synced_tables());
    here.seal();
    there.pull(here);
    check_travelled(here, there);
    assert_eq!(there.seal() + here.seal(), 0, "{sql}: sealed again");
    check_rows(&stood, &read_tables(&*here.app, synced_tables()));
    here.check_sound();
    check_held_back_if_any(here);
}

fn check_held_back_if_any(node: &mut Node) {
    let rows: u64 = node.store.held_back().unwrap().iter().map(|(.., rows)| rows).sum();
    assert_eq!(rows as usize, demo_names(&*node.app).len());
}

fn m2_a_business_that_becomes_demo_leaves_with_all_that_hangs_on_it_and_comes_back_whole(mesh: Mesh) {
    let (mut here, mut there) = pair_with_demo_business(mesh);
    check_move(&mut here, &mut there, "UPDATE users SET locale = 'sn'");
    let orders = count(&*there.app, "business_orders");
    check_move(&mut here, &mut there, "UPDATE businesses SET id = 'demo-was-plain' WHERE id = 'plain-business'");
    assert!(count(&*there.app, "business_orders") < orders);
    assert_eq!(count(&*there.app, "businesses WHERE id IN ('plain-business', 'demo-was-plain')"), 0);
    check_move(&mut here, &mut there, "UPDATE businesses SET id = 'plain-business' WHERE id = 'demo-was-plain'");
    assert_eq!(count(&*there.app, "business_orders"), orders);
    check_move(&mut here, &mut there, "UPDATE businesses SET id = 'real-now' WHERE id = 'demo-own-business'");
    assert!(count(&*there.app, "business_orders") > orders);
}

fn m2_one_order_moved_to_a_demo_business_leaves_with_its_lines_and_comes_back_as_a_new_birth(mesh: Mesh) {
    let (mut here, mut there) = pair_with_demo_business(mesh);
    check_move(&mut here, &mut there, "UPDATE users SET locale = 'sn'");
    let order = strings(&*here.app, "SELECT id FROM business_orders WHERE business_id = 'plain-business'").remove(0);
    let lines = format!("business_order_items WHERE order_id = '{order}'");
    let stood = (count(&*here.app, &lines), count(&*there.app, &lines));
    assert!(stood.0 > 0 && stood.0 == stood.1);

    check_move(
        &mut here,
        &mut there,
        &format!("UPDATE business_orders SET business_id = 'demo-own-business' WHERE id = '{order}'"),
    );
    assert_eq!((count(&*here.app, &lines), count(&*there.app, &lines)), (stood.0, 0));
    let before = there.store.position().vector;
    check_move(
        &mut here,
        &mut there,
        &format!("UPDATE business_orders SET business_id = 'plain-business' WHERE id = '{order}'"),
    );
    assert_eq!(count(&*there.app, &lines), stood.1);
    let arrived = here.log_after(&before);
    assert!(arrived.iter().flat_map(|changeset| changeset.events()).all(|event| event.operation == Operation::Insert));
}

fn m2_q18_a_row_that_leaves_goes_although_another_node_edits_it_and_the_edit_is_in_the_ledger(mesh: Mesh) {
    let (mut here, mut there) = pair_with_demo_business(mesh);
    check_move(&mut here, &mut there, "UPDATE users SET locale = 'sn'");
    here.run("UPDATE businesses SET id = 'demo-was-plain' WHERE id = 'plain-business'");
    there.run("UPDATE business_customers SET phone = '+263 71 000 1111' WHERE business_id = 'plain-business'");
    here.seal();
    there.seal();
    for _ in 0..2 {
        there.pull(&mut here);
        here.pull(&mut there);
    }
    assert_eq!(count(&*there.app, "business_customers WHERE phone = '+263 71 000 1111'"), 0);
    assert!(there.ledger().iter().any(|entry| entry.contains("+263 71 000 1111")), "{:?}", there.ledger());
    assert_eq!(here.ledger(), there.ledger());
    check_travelled(&here, &mut there);
    here.check_sound();
    assert_eq!(here.seal() + there.seal(), 0);
}

fn m2_q18_what_was_added_elsewhere_to_a_row_that_left_goes_with_it_and_comes_back_with_it(mesh: Mesh) {
    let rules = Rules::without("private", "description = 'private'");
    let mut here = mesh.filled(1, &rules, &Seed::small(1).without_demo_data());
    for table in synced_tables().map(|table| table.name) {
        business::sample_upsert(&*here.app, table, "plain", 0).unwrap();
    }
    here.seal();
    let mut there = mesh.joined(2, &rules, &mut here);
    let mut third = mesh.joined(3, &rules, &mut here);
    let orders = count(&*here.app, "business_orders");
    let in_business = |node: &Node| count(&*node.app, "business_customers WHERE business_id = 'plain-business'");
    let standing = in_business(&here);

    here.run("UPDATE businesses SET description = 'private' WHERE id = 'plain-business'");
    there.run(
        "INSERT INTO business_customers (id, business_id, customer_number, name, created_at, updated_at)
         VALUES ('00000000-0000-4000-8000-000000000001', 'plain-business', 'C-9000', 'Rudo Newcomer',
                 '2026-01-02T03:04:05.000Z', '2026-01-02T03:04:05.000Z')",
    );
    here.seal();
    there.seal();
    // One node hears of the new customer first, the other of the leave.
    third.pull(&mut here);
    third.pull(&mut there);
    there.pull(&mut here);
    here.pull(&mut there);
    for node in [&there, &third] {
        assert_eq!((in_business(node), count(&*node.app, "businesses WHERE id = 'plain-business'")), (0, 0));
    }
    assert!(third.store.parked().unwrap().iter().any(|parked| parked.table == "business_customers"));
    assert_eq!(in_business(&here), standing + 1, "nothing is lost: it stands where the business stands");
    assert_eq!(
        (here.seal(), there.seal(), third.seal()),
        (1, 0, 0),
        "the newcomer leaves too, and nobody deleted anything"
    );
    for node in [&mut there, &mut third] {
        node.pull(&mut here);
        assert_eq!(node.store.parked().unwrap(), []);
        assert_eq!(in_business(node), 0);
    }
    assert_eq!(here.seal() + there.seal() + third.seal(), 0);

    here.run("UPDATE businesses SET description = 'open again' WHERE id = 'plain-business'");
    here.seal();
    there.pull(&mut here);
    third.pull(&mut here);
    for node in [&mut here, &mut there, &mut third] {
        assert_eq!(in_business(node), standing + 1);
        assert_eq!(count(&*node.app, "business_orders"), orders);
        assert_eq!(node.store.parked().unwrap(), []);
    }
    check_equal(&mut [here, there, third]);
}

fn m3_a_new_table_that_may_hold_demo_rows_waits_until_somebody_has_named_it(mesh: Mesh) {
    let known = Rules::without_demo_rows().knowing_todays_tables();
    let mut here = mesh.filled(1, &known, &Seed::small(1));
    let mut there = mesh.joined(2, &known, &mut here);
    let business = strings(&*here.app, "SELECT id FROM businesses WHERE id NOT LIKE '%demo%'").remove(0);
    for node in [&here, &there] {
        node.run(
            "CREATE TABLE reminders (id TEXT PRIMARY KEY, business_id TEXT REFERENCES businesses (id), body TEXT)",
        );
        node.run("CREATE TABLE colours (id TEXT PRIMARY KEY, name TEXT)");
    }
    here.run(&format!("INSERT INTO reminders VALUES ('r1', '{business}', 'call'), ('r2', 'demo-test', 'secret')"));
    here.run("INSERT INTO colours VALUES ('red', 'Red')");
    here.store.follow_schema(now()).unwrap();
    there.store.follow_schema(now()).unwrap();
    here.seal();
    there.pull(&mut here);
    assert_eq!((count(&*there.app, "reminders"), count(&*there.app, "colours")), (0, 1));
    let status = here.store.tables(false).unwrap().into_iter().find(|table| table.name == "reminders").unwrap();
    assert!(status.reason.contains("its nullable business_id refers to businesses"), "{}", status.reason);
    assert_eq!(status.remedy, "rowmesh tables add reminders");

    let named = known.including("reminders");
    here.stand(&named);
    there.stand(&named);
    here.seal();
    there.pull(&mut here);
    assert_eq!(
        count(&*there.app, "reminders"),
        2,
        "who names the table without following the key lets all of it travel"
    );
    assert_eq!(
        strings(&*there.app, "SELECT coalesce(business_id, 'none') FROM reminders ORDER BY id"),
        [&business, "none"]
    );
    let status = here.store.tables(false).unwrap().into_iter().find(|table| table.name == "reminders").unwrap();
    assert_eq!(status.reason, "");
    assert_eq!(here.seal() + there.seal(), 0);
}

fn m1_with_all_owners_a_loan_to_a_demo_business_travels_and_takes_along_what_it_needs(mesh: Mesh) {
    let rules = Rules::without_demo_rows().where_all_owners_must_stay();
    let mut here = mesh.empty(1, &rules);
    let mut there = mesh.empty(2, &rules);
    for tag in ["plain", "demo-own", "demo-other"] {
        business::sample_upsert(&*here.app, "inter_business_loans", tag, 0).unwrap();
    }
    let loan = "UPDATE inter_business_loans SET lender_business_id = 'demo-own-business', borrower_business_id";
    let demo_loan =
        strings(&*here.app, "SELECT id FROM inter_business_loans WHERE lender_business_id LIKE 'demo-own%'").remove(0);
    let steps = [
        (format!("{loan} = 'plain-business' WHERE id = '{demo_loan}'"), (1, 1)),
        (format!("{loan} = 'demo-other-business' WHERE id = '{demo_loan}'"), (0, 0)),
        (format!("{loan} = 'plain-business' WHERE id = '{demo_loan}'"), (1, 1)),
        ("UPDATE businesses SET id = 'demo-now' WHERE id = 'plain-business'".to_owned(), (0, 0)),
        ("UPDATE businesses SET id = 'plain-business' WHERE id = 'demo-now'".to_owned(), (1, 1)),
    ];
    for (sql, expected) in steps {
        here.run(&sql);
        here.seal();
        there.pull(&mut here);
        let loans = count(&*there.app, &format!("inter_business_loans WHERE id = '{demo_loan}'"));
        let lenders = count(&*there.app, "businesses WHERE id = 'demo-own-business'");
        assert_eq!((loans, lenders), expected, "{sql}");
        assert_eq!(count(&*there.app, "businesses WHERE id = 'demo-other-business'"), 0, "{sql}");
        assert_eq!(here.seal() + there.seal(), 0, "{sql}: sealed again");
        there.check_sound();
    }
}

fn m7_what_a_node_without_the_filter_sends_is_not_taken_in_as_far_as_the_filter_covers_it(mesh: Mesh) {
    let mut hostile = mesh.empty(1, &Rules::usual());
    let mut there = mesh.empty(2, &Rules::without_demo_rows());
    business::generate(&*hostile.app, &Seed::small(1)).unwrap();
    hostile.seal();
    there.pull(&mut hostile);
    assert!(!demo_names(&*hostile.app).is_empty());
    assert_eq!(demo_names(&*there.app), BTreeSet::new());
    check_travelled(&hostile, &mut there);
    // Nor later, row by row, where the parents are elsewhere.
    hostile.run("UPDATE businesses SET description = 'still here' WHERE id = 'demo-test'");
    hostile.run("UPDATE business_products SET description = 'still here'");
    hostile.seal();
    business::sample_insert(&*hostile.app, "business_order_items", "demo-late").unwrap();
    hostile.seal();
    there.pull(&mut hostile);
    check_travelled(&hostile, &mut there);
    let listed = there.store.held_back().unwrap();
    assert!(listed.iter().any(|(filter, root, _)| filter == "demo, not taken in" && root == "demo-test"), "{listed:?}");
    business::sample_delete(&*hostile.app, "business_order_items", "demo-late").unwrap();
    hostile.seal();
    there.pull(&mut hostile);
    check_travelled(&hostile, &mut there);
    assert_eq!(there.seal(), 0);
}

on_each_mesh! {
    m1_m5_q19_no_demo_row_leaves_by_log_or_snapshot_and_every_other_row_does
    q19_a_user_who_works_in_a_demo_business_travels_without_it
    m2_a_business_that_becomes_demo_leaves_with_all_that_hangs_on_it_and_comes_back_whole
    m2_one_order_moved_to_a_demo_business_leaves_with_its_lines_and_comes_back_as_a_new_birth
    m2_q18_a_row_that_leaves_goes_although_another_node_edits_it_and_the_edit_is_in_the_ledger
    m2_q18_what_was_added_elsewhere_to_a_row_that_left_goes_with_it_and_comes_back_with_it
    m3_a_new_table_that_may_hold_demo_rows_waits_until_somebody_has_named_it
    m1_with_all_owners_a_loan_to_a_demo_business_travels_and_takes_along_what_it_needs
    m7_what_a_node_without_the_filter_sends_is_not_taken_in_as_far_as_the_filter_covers_it
}
