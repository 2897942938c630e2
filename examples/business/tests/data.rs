//! Generated data, the workload on it, and the demo rule.

mod support;

use std::collections::BTreeSet;

use business::{Action, DEMO_BUSINESSES, Seed, Value, Workload, demo_rows, generate};
use rusqlite::Connection;
use support::{assert_sound, count, dump, empty, filled, strings};

#[test]
fn every_table_gets_rows_and_no_reference_is_broken() {
    for seed in [Seed::small(1), Seed::new(1), Seed::small(2).without_demo_data()] {
        let conn = filled(&seed);
        for table in business::tables() {
            assert!(count(&conn, &format!("\"{}\"", table.name)) > 0, "{} is empty under {seed:?}", table.name);
        }
        assert_sound(&conn);
    }
}

#[test]
fn the_same_seed_makes_the_same_bytes_and_another_seed_others() {
    let first = dump(&filled(&Seed::new(7)));
    assert_eq!(first, dump(&filled(&Seed::new(7))));
    assert_ne!(first, dump(&filled(&Seed::new(8))));
}

#[test]
fn many_businesses_of_many_sizes_can_be_made() {
    let seed = Seed { businesses: 9, users: 1, employees: 5, customers: 1, products: 1, orders: 2, ..Seed::small(3) };
    let conn = filled(&seed);
    assert_eq!(count(&conn, "businesses"), 9 + DEMO_BUSINESSES.len() as i64);
    assert_sound(&conn);
}

#[test]
fn orders_add_up() {
    let conn = filled(&Seed::new(5));
    let wrong = "business_orders AS o WHERE abs(subtotal - (SELECT sum(total_price) FROM business_order_items WHERE order_id = o.id)) > 0.001 \
         OR abs(total_amount - subtotal - tax_amount) > 0.001";
    assert_eq!(count(&conn, wrong), 0);
    let booked = "business_accounts AS a WHERE abs(balance - (SELECT sum(total_amount) FROM business_orders WHERE business_id = a.business_id)) > 0.001";
    assert_eq!(count(&conn, booked), 0);
}

#[test]
fn seeding_twice_fails_and_changes_nothing() {
    let conn = filled(&Seed::small(1));
    let before = dump(&conn);
    assert!(generate(&conn, &Seed::small(1)).is_err());
    assert_eq!(before, dump(&conn));
}

#[test]
fn five_hundred_steps_do_everything_and_break_nothing() {
    let conn = filled(&Seed::new(1));
    let mut workload = Workload::new(1, "A");
    let actions: Vec<Action> = (0..500).map(|_| workload.step(&conn).unwrap()).collect();
    assert_sound(&conn);
    let kinds: BTreeSet<_> = actions.iter().map(std::mem::discriminant).map(|kind| format!("{kind:?}")).collect();
    assert_eq!(kinds.len(), 18, "kinds of action seen: {kinds:?}");
    assert!(!actions.contains(&Action::Idle));
}

#[test]
fn a_workload_repeats_itself_from_its_seed() {
    let run = |seed| {
        let conn = filled(&Seed::small(1));
        let mut workload = Workload::new(seed, "A");
        let said: Vec<String> = (0..200).map(|_| workload.step(&conn).unwrap().to_string()).collect();
        // The audit log's times are the workload's too, so everything must be equal.
        (said, dump(&conn))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn workloads_of_several_nodes_never_make_the_same_key_or_unique_value() {
    let conn = filled(&Seed::small(1));
    let mut nodes = ["A", "B", "shop-1", "shop1"].map(|node| Workload::new(1, node));
    for _ in 0..150 {
        for node in &mut nodes {
            node.step(&conn).unwrap();
        }
    }
    assert_sound(&conn);
}

#[test]
fn a_restarted_node_goes_on_with_its_order_numbers() {
    let conn = filled(&Seed::small(1));
    for seed in 1..=3 {
        let mut workload = Workload::new(seed, "A");
        for _ in 0..60 {
            workload.step(&conn).unwrap();
        }
    }
    assert!(count(&conn, "business_orders WHERE order_number LIKE 'A-%'") > 20);
}

#[test]
fn an_empty_database_leaves_a_workload_idle() {
    let conn = empty();
    assert_eq!(Workload::new(1, "A").step(&conn).unwrap(), Action::Idle);
    assert!(conn.is_autocommit());
}

#[test]
fn a_failed_step_leaves_nothing_behind() {
    let conn = filled(&Seed::small(1));
    conn.execute_batch(
        "CREATE TEMP TRIGGER refuse BEFORE INSERT ON business_stock_movements BEGIN SELECT raise(ABORT, 'refused'); END",
    )
    .unwrap();
    let mut workload = Workload::new(1, "A");
    let failures = (0..100).filter(|_| {
        let before = count(&conn, "business_orders");
        let failed = workload.step(&conn).is_err();
        assert!(conn.is_autocommit());
        assert!(!failed || count(&conn, "business_orders") == before, "a failed sale left its order");
        failed
    });
    assert!(failures.count() > 5);
}

#[test]
fn demo_data_is_in_every_table_that_can_hold_it() {
    for seed in [Seed::small(1), Seed::new(1)] {
        let conn = filled(&seed);
        let rows = demo_rows(&conn).unwrap();
        let found: BTreeSet<&str> = rows.iter().map(|row| row.table).collect();
        let possible = business::demo_tables(&conn).unwrap();
        assert_eq!(found, possible);
        assert_eq!(found.len(), 54, "tables that depend on businesses: {found:?}");
    }
}

#[test]
fn real_data_is_not_covered_by_the_demo_rule() {
    assert!(demo_rows(&filled(&Seed::small(1).without_demo_data())).unwrap().is_empty());
    let conn = filled(&Seed::new(1));
    let covered: BTreeSet<&str> = demo_rows(&conn).unwrap().iter().map(|row| row.table).collect();
    for table in
        ["users", "accounts", "persons", "personal_expenses", "job_titles", "expense_categories", "fund_sources"]
    {
        assert!(!covered.contains(table), "{table} must not be dragged in");
    }
    assert!(
        count(&conn, "users WHERE current_business_id IN ('clothing-demo-business', 'restaurant-demo', 'demo-test')")
            > 0
    );
}

#[test]
fn the_demo_oracle_covers_children_at_any_depth_and_either_owner() {
    let conn = filled(&Seed::small(1));
    let covered = demo_rows(&conn).unwrap();
    let is_covered =
        |table: &str, id: &str| covered.iter().any(|row| row.table == table && row.key == [Value::Text(id.to_owned())]);
    let real = "SELECT id FROM businesses WHERE id NOT LIKE '%demo%'";
    let deep = "SELECT e.id FROM vehicle_maintenance_service_expenses AS e JOIN vehicle_maintenance_services AS s ON s.id = e.service_id \
         JOIN vehicle_maintenance_records AS r ON r.id = s.record_id JOIN vehicles AS v ON v.id = r.vehicle_id WHERE v.business_id";
    for (is_demo, condition) in [(true, "= 'demo-test'".to_owned()), (false, format!("IN ({real})"))] {
        let ids = strings(&conn, &format!("{deep} {condition}"));
        assert!(!ids.is_empty());
        assert!(ids.iter().all(|id| is_covered("vehicle_maintenance_service_expenses", id) == is_demo), "{condition}");
    }
    let crossing = strings(
        &conn,
        &format!(
            "SELECT id FROM inter_business_loans WHERE lender_business_id IN ({real}) AND borrower_business_id LIKE '%demo%'"
        ),
    );
    assert_eq!(crossing.len(), 1, "a real business lends to a demo one");
    assert!(is_covered("inter_business_loans", &crossing[0]));
}

#[test]
fn the_demo_oracle_agrees_with_a_plain_query() {
    let conn = filled(&Seed::new(2));
    let oracle = |table: &str| {
        let rows = demo_rows(&conn).unwrap().into_iter().filter(|row| row.table == table);
        rows.map(|row| format!("{:?}", row.key)).collect::<BTreeSet<_>>()
    };
    let queried = |sql: &str| {
        let keys = strings(&conn, sql).into_iter();
        keys.map(|id| format!("{:?}", [Value::Text(id)])).collect::<BTreeSet<_>>()
    };
    let demo = format!("(SELECT id FROM businesses WHERE {})", business::DEMO_SKIP);
    assert_eq!(oracle("businesses"), queried(&format!("SELECT id FROM businesses WHERE {}", business::DEMO_SKIP)));
    assert_eq!(
        oracle("business_orders"),
        queried(&format!("SELECT id FROM business_orders WHERE business_id IN {demo}"))
    );
    let images = format!(
        "SELECT i.id FROM product_images AS i JOIN business_products AS p ON p.id = i.product_id WHERE p.business_id IN {demo}"
    );
    assert_eq!(oracle("product_images"), queried(&images));
}

#[test]
fn the_search_table_follows_the_products() {
    let conn = filled(&Seed::small(1));
    let found =
        |term: &str| strings_with(&conn, "SELECT product_id FROM product_search WHERE product_search MATCH ?1", term);
    business::sample_insert(&conn, "business_products", "zebra").unwrap();
    assert_eq!(found("zebra").len(), 1);
    conn.execute("UPDATE business_products SET name = 'Okapi lamp' WHERE name LIKE '%zebra%'", []).unwrap();
    conn.execute("UPDATE business_products SET description = NULL, sku = 'OKP-1' WHERE name = 'Okapi lamp'", [])
        .unwrap();
    assert_eq!((found("okapi").len(), found("zebra").len()), (1, 0));
    assert_sound(&conn);
    business::sample_delete(&conn, "business_products", "zebra").unwrap();
    assert!(found("okapi").is_empty());
    assert_sound(&conn);
}

fn strings_with(conn: &Connection, sql: &str, parameter: &str) -> Vec<String> {
    conn.prepare(sql).unwrap().query_map([parameter], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}
