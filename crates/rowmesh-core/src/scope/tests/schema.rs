//! Which keys own, which tables wait, which errors are found: on schemas small enough to see the answer.

use std::collections::BTreeSet;

use super::*;
use crate::scope::reference::held_back;
use crate::scope::{
    Accepted, Doubt, Filter, FilterIx, Follow, RootRow, Scope, ScopeError, SeveralOwners, TablePatterns, Travel,
};
use crate::value::TableName;

/// A shop with a demo business, as the reference application has it.
fn shop() -> Vec<TableSchema> {
    vec![
        table("businesses", &["id*", "name", "owner_id?>users"]),
        table("users", &["id*", "current_business_id?>businesses"]),
        table("accounts", &["id*", "user_id>users"]),
        table("orders", &["id*", "business_id>businesses", "made_by?>users"]),
        table("order_items", &["id*", "order_id>orders", "product_id?>products"]),
        table("products", &["id*", "business_id>businesses"]),
        table("projects", &["id*", "business_id?>businesses"]),
        table("stages", &["id*", "project_id>projects"]),
        table("expenses", &["id*", "user_id>users", "project_id?>projects"]),
        table("loans", &["id*", "lender>businesses", "borrower?>businesses"]),
        table("countries", &["id*", "name"]),
        table("sessions", &["id*", "user_id>users"]),
    ]
}

fn demo(follow: &[&str]) -> Filter {
    Filter::parse("demo", "businesses", "id LIKE '%-demo%' OR id LIKE 'demo-%'", follow).unwrap()
}

fn covered(coverage: &Coverage) -> Vec<String> {
    coverage.explain().filters[0].covered.iter().map(ToString::to_string).collect()
}

fn ids(row: &[&str]) -> Vec<Value> {
    row.iter().map(|id| if id.is_empty() { Value::Null } else { Value::text(id) }).collect()
}

#[test]
fn m1_not_null_keys_own_at_any_depth_and_nullable_ones_do_not() {
    let coverage = Coverage::plan(&shop(), &[demo(&[])]).unwrap();
    assert_eq!(covered(&coverage), ["businesses", "loans", "order_items", "orders", "products"]);
    let owners = |table: &str| coverage.owners_of(table).iter().map(|edge| edge.parent.to_string()).collect::<Vec<_>>();
    assert_eq!(owners("order_items"), ["orders"]);
    assert_eq!(owners("loans"), ["businesses"]);
    assert_eq!(owners("users"), [""; 0]);
    assert_eq!(coverage.roots("businesses"), [FilterIx(0)]);
    assert!(coverage.roots("orders").is_empty());
}

#[test]
fn m1_following_a_nullable_key_draws_in_what_hangs_on_it() {
    let coverage = Coverage::plan(&shop(), &[demo(&["projects.business_id", "loans.borrower"])]).unwrap();
    assert_eq!(covered(&coverage), ["businesses", "loans", "order_items", "orders", "products", "projects", "stages"]);
    assert_eq!(coverage.owners_of("loans").len(), 2);
}

#[test]
fn q19_a_pointer_at_a_demo_business_travels_as_null_and_its_user_stays_in_the_mesh() {
    let schemas = shop();
    let coverage = Arc::new(Coverage::plan(&schemas, &[demo(&[])]).unwrap());
    let mut database = Database::new();
    insert(&mut database, &schemas, "businesses", &ids(&["shop-demo", "Shop", ""]));
    let user = ids(&["ann", "shop-demo"]);
    insert(&mut database, &schemas, "users", &user);
    let mut memory = Memory::new(&schemas, &database);
    let mut judge = Judge::new(coverage.clone());
    let verdict = judge_row(&mut judge, &coverage, &mut memory, "users", &user);
    assert_eq!(verdict, Verdict::Travels { nulls: vec![1] });
    let account = judge_row(&mut judge, &coverage, &mut memory, "accounts", &ids(&["a", "ann"]));
    assert_eq!(account, Verdict::Travels { nulls: vec![] });
}

#[test]
fn m1_the_root_that_keeps_a_row_is_named_and_looked_up_once() {
    let schemas = shop();
    let coverage = Arc::new(Coverage::plan(&schemas, &[demo(&[])]).unwrap());
    let mut database = Database::new();
    insert(&mut database, &schemas, "businesses", &ids(&["shop-demo", "Shop", ""]));
    insert(&mut database, &schemas, "orders", &ids(&["o1", "shop-demo", ""]));
    let mut memory = Memory::new(&schemas, &database);
    let mut judge = Judge::new(coverage.clone());
    for item in 0..100 {
        let verdict =
            judge_row(&mut judge, &coverage, &mut memory, "order_items", &ids(&[&format!("i{item}"), "o1", ""]));
        assert_eq!(verdict, Verdict::HeldBack(RootRow { filter: FilterIx(0), key: Key::of(&ids(&["shop-demo"])) }));
    }
    assert_eq!(memory.looks, 2);
}

#[test]
fn m7_a_row_of_a_demo_business_that_is_not_here_stays_too() {
    let schemas = shop();
    let coverage = Arc::new(Coverage::plan(&schemas, &[demo(&[])]).unwrap());
    let database = Database::new();
    let mut memory = Memory::new(&schemas, &database);
    let mut judge = Judge::new(coverage.clone());
    let order = judge_row(&mut judge, &coverage, &mut memory, "orders", &ids(&["o1", "clothing-demo-business", ""]));
    assert_eq!(
        order,
        Verdict::HeldBack(RootRow { filter: FilterIx(0), key: Key::of(&ids(&["clothing-demo-business"])) })
    );
    let plain = judge_row(&mut judge, &coverage, &mut memory, "orders", &ids(&["o1", "clothing", ""]));
    assert_eq!(plain, Verdict::Travels { nulls: vec![] });
}

#[test]
fn m1_all_owners_lets_a_shared_row_travel_and_what_it_needs_with_it() {
    let schemas = shop();
    let filter = Filter { several_owners: SeveralOwners::All, ..demo(&["loans.borrower"]) };
    let coverage = Arc::new(Coverage::plan(&schemas, std::slice::from_ref(&filter)).unwrap());
    let mut database = Database::new();
    for business in ["a-demo", "b-demo", "real"] {
        insert(&mut database, &schemas, "businesses", &ids(&[business, "", ""]));
        insert(&mut database, &schemas, "products", &ids(&[&format!("p-{business}"), business]));
    }
    insert(&mut database, &schemas, "loans", &ids(&["shared", "a-demo", "real"]));
    insert(&mut database, &schemas, "loans", &ids(&["inner", "b-demo", "a-demo"]));
    let held: BTreeSet<String> =
        held_back(&schemas, &[filter], &database).iter().map(|row| row.key.to_display()).collect();
    assert_eq!(held.iter().collect::<Vec<_>>(), ["b-demo", "inner", "p-a-demo", "p-b-demo"]);
    let mut memory = Memory::new(&schemas, &database);
    let mut judge = Judge::new(coverage.clone());
    for (table, rows) in &database {
        for (key, row) in rows {
            let verdict = judge_row(&mut judge, &coverage, &mut memory, table, row);
            let stays = matches!(verdict, Verdict::HeldBack(_));
            assert_eq!(stays, held.contains(&key.to_display()), "{table} {}", key.to_display());
        }
    }
}

#[test]
fn m1_cycles_and_self_references_end_and_hold_nothing_by_themselves() {
    let schemas = [
        table("businesses", &["id*", "parent?>businesses"]),
        table("a", &["id*", "b>b", "business_id?>businesses"]),
        table("b", &["id*", "a>a"]),
    ];
    let filter = Filter::parse("demo", "businesses", "id = 'demo'", &["a.business_id", "businesses.parent"]).unwrap();
    let coverage = Arc::new(Coverage::plan(&schemas, &[filter]).unwrap());
    let mut database = Database::new();
    insert(&mut database, &schemas, "businesses", &ids(&["demo", "demo"]));
    insert(&mut database, &schemas, "businesses", &ids(&["branch", "demo"]));
    insert(&mut database, &schemas, "businesses", &ids(&["alone", "alone"]));
    for (a, b, business) in [("a1", "b1", "branch"), ("a2", "b2", ""), ("a3", "b3", "alone")] {
        insert(&mut database, &schemas, "a", &ids(&[a, b, business]));
        insert(&mut database, &schemas, "b", &ids(&[b, a]));
    }
    let mut memory = Memory::new(&schemas, &database);
    let mut judge = Judge::new(coverage.clone());
    let mut stays = |table: &str, row: &[&str]| {
        matches!(judge_row(&mut judge, &coverage, &mut memory, table, &ids(row)), Verdict::HeldBack(_))
    };
    assert!(stays("b", &["b1", "a1"]));
    assert!(stays("a", &["a1", "b1", "branch"]));
    assert!(!stays("b", &["b2", "a2"]));
    assert!(!stays("a", &["a3", "b3", "alone"]));
    assert!(stays("businesses", &["branch", "demo"]));
    assert!(!stays("businesses", &["alone", "alone"]));
}

#[test]
fn m1_of_a_key_of_several_columns_only_what_must_travels_as_null() {
    let mut items = table("items", &["id*", "tenant", "product?", "maker?", "note?"]);
    items.foreign_keys = vec![
        foreign_key(&[1, 2], "products", &["tenant", "id"], false),
        foreign_key(&[3, 2], "makers", &["tenant", "id"], false),
    ];
    let schemas = [
        table("products", &["id*", "tenant"]),
        table("makers", &["id*", "tenant"]),
        items,
        table("members", &["a?*>products", "b*"]),
    ];
    let filters =
        [Filter::parse("p", "products", "id = 'x'", &[""; 0]), Filter::parse("m", "makers", "id = 'x'", &[""; 0])];
    let coverage = Coverage::plan(&schemas, &filters.map(Result::unwrap)).unwrap();
    let nulls: Vec<Vec<usize>> = coverage.null_when_held_back("items").iter().map(|edge| edge.nulls.clone()).collect();
    assert_eq!(nulls, [vec![2], vec![3]], "column 2 is shared, but column 1 may not be NULL");
    assert!(coverage.owners_of("members")[0].binds, "a column of the key binds whatever the database says");
    assert!(coverage.null_when_held_back("members").is_empty());
}

#[test]
fn m1_a_declared_reference_owns_without_a_foreign_key() {
    let schemas = [table("businesses", &["id*"]), table("notes", &["id*", "shop?"])];
    let filter = Filter::parse("demo", "businesses", "id = 'demo'", &["notes.shop -> businesses.id"]).unwrap();
    let coverage = Arc::new(Coverage::plan(&schemas, &[filter]).unwrap());
    let mut database = Database::new();
    insert(&mut database, &schemas, "businesses", &ids(&["demo"]));
    let mut memory = Memory::new(&schemas, &database);
    let verdict = judge_row(&mut Judge::new(coverage.clone()), &coverage, &mut memory, "notes", &ids(&["n", "demo"]));
    assert!(matches!(verdict, Verdict::HeldBack(_)));
    assert_eq!(coverage.owners_of("notes")[0].foreign_key, None);
}

#[test]
fn names_are_found_whatever_their_case_if_one_only_is_meant() {
    let mut orders = table("Orders", &["id*", "Business_Id?"]);
    orders.foreign_keys.push(foreign_key(&[1], "BUSINESSES", &["ID"], false));
    let schemas = [table("businesses", &["id*"]), orders];
    let filter = Filter::parse("demo", "Businesses", "ID = 'demo'", &["orders.business_id"]).unwrap();
    let coverage = Coverage::plan(&schemas, &[filter]).unwrap();
    assert_eq!(covered(&coverage), ["Orders", "businesses"]);
}

fn check_error(filters: &[Filter], message: &str) {
    match Coverage::plan(&shop(), filters) {
        Err(error) => assert_eq!(error.to_string(), message),
        Ok(_) => panic!("expected: {message}"),
    }
}

#[test]
fn what_is_not_there_is_named_with_what_was_probably_meant() {
    let parse = |root: &str, skip: &str, follow: &[&str]| Filter::parse("demo", root, skip, follow).unwrap();
    check_error(
        &[parse("busineses", "id = 'x'", &[])],
        "filter demo names table busineses, which does not exist; did you mean businesses?",
    );
    check_error(
        &[parse("businesses", "nam = 'x'", &[])],
        "filter demo names column nam of table businesses, which does not exist; did you mean name?",
    );
    check_error(
        &[demo(&["project.business_id"])],
        "filter demo names table project, which does not exist; did you mean projects?",
    );
    check_error(
        &[demo(&["projects.busines_id"])],
        "filter demo names column busines_id of table projects, which does not exist; did you mean business_id?",
    );
    check_error(
        &[demo(&["countries.name"])],
        "filter demo follows countries.name, which is no foreign key: write countries.name -> table.column",
    );
    check_error(
        &[demo(&["orders.made_by"])],
        "filter demo follows orders.made_by, but no row of users can be covered by it",
    );
    check_error(&[demo(&[]), demo(&[])], "two filters are called demo");
    let many: Vec<Filter> = (0..65).map(|number| Filter { name: number.to_string(), ..demo(&[]) }).collect();
    check_error(&many, "65 filters, above the limit of 64");
    assert!(Coverage::plan(&shop(), &many[..64]).is_ok());
}

#[test]
fn entries_of_follow_are_read_in_all_their_forms() {
    let check = |text: &str, table: &str, columns: &[&str]| {
        let follow = Follow::parse(text).unwrap();
        assert_eq!(
            (&*follow.table, follow.columns.iter().map(|column| &**column).collect::<Vec<_>>()),
            (table, columns.to_vec())
        );
    };
    check("orders.business_id", "orders", &["business_id"]);
    check(" public.orders.business_id ", "public.orders", &["business_id"]);
    check("orders.(tenant, id)", "orders", &["tenant", "id"]);
    assert_eq!(Follow::parse("a.b -> c.d").unwrap().target, Some(("c".into(), vec!["d".into()])));
    for wrong in ["orders", "orders.", ".id", "orders.(a,)", "orders(a)", "a.b -> c", "a.(b,c) -> d.e", ""] {
        assert_eq!(Follow::parse(wrong), None, "{wrong:?}");
    }
    let error = Filter::parse("demo", "businesses", "id = 'x'", &["orders"]).unwrap_err();
    assert!(matches!(error, ScopeError::FollowSyntax { .. }));
    assert!(matches!(Filter::parse("demo", "businesses", "id =", &[""; 0]), Err(ScopeError::Condition { .. })));
}

/// The shop after a migration, with the tables of the shop known.
fn migrated(new: &[TableSchema], include: &[&str]) -> Coverage {
    let accepted: BTreeSet<TableName> = shop().iter().map(|schema| schema.name.clone()).collect();
    let tables = TablePatterns { include: include.iter().map(ToString::to_string).collect(), exclude: Vec::new() };
    let scope = Scope { tables, filters: vec![demo(&["projects.business_id"])], accepted: Accepted::Only(accepted) };
    scope.cover(&[shop(), new.to_vec()].concat()).unwrap()
}

#[test]
fn m3_a_new_table_waits_unless_its_own_keys_leave_no_doubt() {
    let new = [
        table("owned", &["id*", "order_id>orders"]),
        table("lookup", &["id*", "name"]),
        table("of_lookup", &["id*", "lookup_id>lookup"]),
        table("of_users", &["id*", "user_id>users"]),
        table("nullable", &["id*", "business_id?>businesses"]),
        table("named", &["id*", "orderId?"]),
        table("named_by_root", &["id*", "businessID"]),
        table("needs_waiting", &["id*", "named_id>named"]),
        table("points_at_waiting", &["id*", "named_id?>named"]),
    ];
    let coverage = migrated(&new, &[]);
    for (table, goes) in [
        ("owned", true),
        ("lookup", true),
        ("of_lookup", true),
        ("of_users", true),
        ("nullable", false),
        ("named", false),
        ("named_by_root", false),
        ("needs_waiting", false),
        ("points_at_waiting", true),
        ("orders", true),
        ("users", true),
        ("sessions", false),
        ("not_seen_yet", false),
    ] {
        assert_eq!(coverage.may_travel(table), goes, "{table}: {:?}", coverage.travel(table));
    }
    assert_eq!(coverage.travel("owned"), Travel::ByRow);
    assert_eq!(coverage.travel("lookup"), Travel::Always);
    let business = |column: &str| vec![column.into()];
    let nullable = Doubt::Nullable { columns: business("business_id"), parent: "businesses".into() };
    assert_eq!(coverage.travel("nullable"), Travel::Waits(vec![nullable]));
    let named = Doubt::Named { column: "orderId".into(), parent: "orders".into() };
    assert_eq!(coverage.travel("named"), Travel::Waits(vec![named]));
    assert_eq!(coverage.travel("not_seen_yet"), Travel::Waits(vec![Doubt::Unknown]));
}

#[test]
fn m3_a_key_to_a_table_that_waits_travels_as_null() {
    let new = [table("named", &["id*", "order_id?"]), table("points", &["id*", "named_id?>named"])];
    let coverage = Arc::new(migrated(&new, &[]));
    let database = Database::new();
    let schemas = [shop(), new.to_vec()].concat();
    let mut memory = Memory::new(&schemas, &database);
    let mut judge = Judge::new(coverage.clone());
    let mut judged = |table: &str, row: &[&str]| judge_row(&mut judge, &coverage, &mut memory, table, &ids(row));
    assert_eq!(judged("points", &["p", "n"]), Verdict::Travels { nulls: vec![1] });
    assert_eq!(judged("named", &["n", ""]), Verdict::TableStays);
    assert_eq!(judged("sessions", &["s", "ann"]), Verdict::TableStays);
    assert_eq!(judged("not_seen_yet", &["s"]), Verdict::TableStays);
}

#[test]
fn m3_a_person_decides_by_following_the_key_or_by_naming_the_table() {
    let new = [table("nullable", &["id*", "business_id?>businesses"])];
    assert_eq!(migrated(&new, &["*", "nullable"]).travel("nullable"), Travel::Always);
    let scope = Scope { filters: vec![demo(&["nullable.business_id"])], ..Scope::default() };
    let coverage = scope.cover(&[shop(), new.to_vec()].concat()).unwrap();
    assert_eq!(coverage.travel("nullable"), Travel::ByRow);
    assert_eq!(
        Scope::default().cover(&new).unwrap().travel("nullable"),
        Travel::Always,
        "without filters nothing waits"
    );
}

#[test]
fn m3_a_filter_that_does_not_fit_here_keeps_what_it_cannot_judge_and_nothing_else() {
    let mut schemas = shop();
    for schema in &mut schemas {
        if &*schema.name == "businesses" {
            schema.columns[0].name = "code".into();
        }
        for key in schema.foreign_keys.iter_mut().filter(|key| &*key.parent == "businesses") {
            key.parent_columns = vec!["code".into()];
        }
    }
    let scope = Scope { filters: vec![demo(&["projects.business_id", "later.business_id"])], ..Scope::default() };
    assert!(scope.cover(&schemas).is_err());
    let coverage = scope.cover_here(&schemas);
    assert_eq!(coverage.problems().len(), 2, "{:?}", coverage.problems());
    for table in ["businesses", "orders", "order_items", "projects", "stages"] {
        assert!(!coverage.may_travel(table), "{table}");
    }
    for table in ["users", "accounts", "countries", "expenses"] {
        assert!(coverage.may_travel(table), "{table}");
    }
    let too_many = Scope { filters: vec![demo(&[]); 65], ..Scope::default() };
    assert!(!too_many.cover_here(&shop()).may_travel("countries"), "filters that cannot be used keep everything");
}

#[test]
fn m3_a_broken_key_towards_covered_rows_keeps_its_table() {
    let mut broken = table("notes", &["id*", "business_id?"]);
    broken.foreign_keys.push(foreign_key(&[1], "businesses", &["gone"], false));
    let schemas = [shop(), vec![broken]].concat();
    let error = Coverage::plan(&schemas, &[demo(&["notes.business_id"])]).unwrap_err();
    assert_eq!(error.to_string(), "a foreign key of table notes names columns of businesses that do not exist");
    let scope = Scope { filters: vec![demo(&[])], ..Scope::default() };
    assert!(!scope.cover_here(&schemas).may_travel("notes"));
    assert!(scope.cover_here(&schemas).may_travel("orders"));
}

#[test]
fn m1_the_plan_names_what_is_followed_and_what_is_not_covered() {
    let scope = Scope { filters: vec![demo(&["loans.borrower"])], ..Scope::default() };
    let plan = scope.cover(&shop()).unwrap().explain();
    let text = plan.to_string();
    let expected = "\
filter demo: rows of businesses where id LIKE '%-demo%' OR id LIKE 'demo-%' stay at home, and what belongs to them
  a row with several owners stays if any of its owners stay
  covers 5 tables: businesses, loans, order_items, orders, products
  follows 4 NOT NULL keys, and by declaration 1
    loans.borrower -> businesses
  not covered, although it refers to covered rows (name the key in follow to cover it):
    projects.business_id -> businesses (and 1 tables that hang on projects)
    users.current_business_id -> businesses (and 3 tables that hang on users)
travel as NULL while the row they name stays:
  loans.borrower -> businesses
  order_items.product_id -> products
  projects.business_id -> businesses
  users.current_business_id -> businesses
stays    sessions: skip (who is logged in on this server; sessions)
";
    assert_eq!(text, expected);
}

#[test]
fn a_table_that_needs_one_that_stays_is_named_in_the_plan() {
    let schemas = [shop(), vec![table("logins", &["id*", "session_id>sessions", "old_id?>sessions"])]].concat();
    let coverage = Scope::default().cover(&schemas).unwrap();
    let plan = coverage.explain();
    let lines: Vec<String> = plan.needs_skipped.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["logins.session_id -> sessions"]);
    let nulled: Vec<String> = plan.nulled.iter().map(ToString::to_string).collect();
    assert_eq!(nulled, ["logins.old_id -> sessions"], "without any filter too");
    assert!(coverage.is_by_row() && coverage.is_judged("logins") && !coverage.is_judged("orders"));
    assert!(!Scope::default().cover(&shop()).unwrap().is_by_row());
}

#[test]
fn a_scope_of_a_roster_is_read_and_one_from_the_future_refused() {
    let filter = crate::roster::RowFilter {
        name: "demo".into(),
        root: "businesses".into(),
        condition: "id LIKE 'demo-%'".into(),
        follow: vec!["projects.business_id".into()],
        several_owners: None,
        extras: vec![],
    };
    let exclude = vec!["notes".into(), "!audit_logs".into(), "!*".into()];
    let mut rules = crate::roster::Scope { exclude, filters: vec![filter], known: None, extras: vec![] };
    let scope = Scope::from_roster(&rules).unwrap();
    assert_eq!(scope.filters[0].follow[0].columns, ["business_id".into()]);
    assert_eq!(scope.tables.include, ["audit_logs", "*"]);
    assert_eq!((&scope.accepted, scope.filters[0].several_owners), (&Accepted::All, SeveralOwners::Any));
    rules.known = Some(vec!["orders".into()]);
    rules.filters[0].several_owners = Some("all".into());
    let scope = Scope::from_roster(&rules).unwrap();
    assert_eq!(scope.accepted, Accepted::Only(["orders".into()].into()));
    assert_eq!(scope.filters[0].several_owners, SeveralOwners::All);
    rules.filters[0].several_owners = Some("most".into());
    assert_eq!(Scope::from_roster(&rules), Err(ScopeError::Newer { filter: "demo".into() }));
    rules.filters[0].several_owners = None;
    rules.filters[0].extras.push((16, vec![1]));
    assert_eq!(Scope::from_roster(&rules), Err(ScopeError::Newer { filter: "demo".into() }));
}
