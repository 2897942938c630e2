//! That the rights which are printed are enough, and that none of them is too much: what attaching, sealing and applying do is done by an
//! ordinary role with all of them, and again and again with one left out.

use rowmesh_postgres::connection::Session;
use rowmesh_postgres::error::Result;
use rowmesh_postgres::grants::{Grant, Right, missing};

use rowmesh_core::store::Store;
use rowmesh_engine::plan::AttachOptions;
use rowmesh_postgres::attach::{detach, installed, plan};

use crate::cluster::{Database, version};
use crate::mesh::{Node, Site, converge, now};

/// An application whose tables belong partly to a role of its own and partly to a superuser, with policies on one of each.
struct Shop {
    database: Database,
    /// Writes the tables and knows nothing of us.
    application: String,
    /// Whom we log in as.
    ours: String,
}

impl Shop {
    fn new() -> Shop {
        let database = Database::new();
        let [owner, application, ours] = ["owner", "application", "ours"].map(|name| database.role(name));
        let session = database.session();
        let name = database.location().database;
        session
            .batch(&format!(
                "REVOKE ALL ON DATABASE \"{name}\" FROM PUBLIC;
                 GRANT CONNECT ON DATABASE \"{name}\" TO \"{application}\";
                 CREATE SCHEMA sales AUTHORIZATION \"{owner}\";
                 CREATE TABLE sales.orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
                 CREATE TABLE sales.secrets (id int PRIMARY KEY, note text);
                 ALTER TABLE sales.orders OWNER TO \"{owner}\";
                 ALTER TABLE sales.secrets OWNER TO \"{owner}\";
                 ALTER TABLE sales.secrets ENABLE ROW LEVEL SECURITY;
                 ALTER TABLE sales.secrets FORCE ROW LEVEL SECURITY;
                 CREATE SCHEMA legacy;
                 CREATE TABLE legacy.\"Stock\" (id serial PRIMARY KEY, note text);
                 GRANT USAGE ON SCHEMA sales, legacy TO \"{application}\";
                 GRANT INSERT, UPDATE ON sales.orders, legacy.\"Stock\" TO \"{application}\";
                 GRANT USAGE ON ALL SEQUENCES IN SCHEMA sales, legacy TO \"{application}\""
            ))
            .unwrap();
        Shop { database, application, ours }
    }

    fn tables() -> Vec<(String, String)> {
        [("sales", "orders"), ("sales", "secrets"), ("legacy", "Stock")]
            .map(|(s, t)| (s.to_owned(), t.to_owned()))
            .to_vec()
    }

    fn missing(&self) -> Vec<Grant> {
        missing(&self.database.session(), &self.ours, &Shop::tables()).unwrap()
    }

    fn open(&self, role: &str) -> Result<Session> {
        Session::open(&self.database.location().as_user(role))
    }

    /// What attaching, sealing, applying and detaching do with rights, in their statements; whether all of it was allowed.
    fn keeps_in_sync(&self) -> Result<bool> {
        let session = self.open(&self.ours)?;
        session.batch(
            "CREATE SCHEMA rowmesh;
             CREATE TABLE rowmesh.dirty (what text);
             CREATE FUNCTION rowmesh.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
                 AS 'BEGIN INSERT INTO rowmesh.dirty VALUES (TG_TABLE_NAME); RETURN NULL; END'",
        )?;
        for (schema, table) in Shop::tables() {
            let table = format!("\"{schema}\".\"{table}\"");
            session.batch(&format!(
                "CREATE TRIGGER rowmesh_note AFTER INSERT OR UPDATE OR DELETE ON {table} EXECUTE FUNCTION rowmesh.note();
                 CREATE TRIGGER rowmesh_truncate AFTER TRUNCATE ON {table} EXECUTE FUNCTION rowmesh.note()"
            ))?;
            session.begin()?;
            session.batch(&format!("LOCK TABLE {table} IN ACCESS SHARE MODE"))?;
            session.batch(&format!("INSERT INTO {table} (id, note) OVERRIDING SYSTEM VALUE VALUES (7, 'a')"))?;
            session.query(&format!("SELECT id FROM {table} ORDER BY id FOR UPDATE"), &[])?;
            session.batch(&format!("UPDATE {table} SET note = 'b' WHERE id = 7; DELETE FROM {table} WHERE id = 7"))?;
            session.commit()?;
        }
        for table in ["sales.orders", "sales.secrets"] {
            session.batch(&format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER rowmesh_note"))?;
        }
        session.batch("ALTER TABLE sales.orders ALTER id SET INCREMENT 3")?;
        session.query("SELECT setval('sales.orders_id_seq', last_value) FROM sales.orders_id_seq", &[])?;
        session.query("SELECT setval('legacy.\"Stock_id_seq\"', last_value) FROM legacy.\"Stock_id_seq\"", &[])?;
        Ok(session.is_replica() || session.version() < 15)
    }
}

/// Each single privilege as a grant of its own.
fn single(grants: Vec<Grant>) -> Vec<Grant> {
    let split = |grant: Grant| match grant.right.clone() {
        Right::Privileges(names, thing) => names
            .into_iter()
            .map(|name| Grant { right: Right::Privileges(vec![name], thing.clone()), ..grant.clone() })
            .collect(),
        _ => vec![grant],
    };
    grants.into_iter().flat_map(split).collect()
}

fn apply(shop: &Shop, grants: &[Grant]) {
    let session = shop.database.session();
    for grant in grants {
        session.batch(&grant.to_string()).unwrap_or_else(|error| panic!("{grant}: {error:?}"));
    }
}

#[test]
fn an_ordinary_role_can_do_everything_with_the_rights_that_are_printed() {
    let shop = Shop::new();
    apply(&shop, &shop.missing());
    assert_eq!(shop.missing(), [], "and is then told of none any more");
    assert!(shop.keeps_in_sync().expect("all is allowed"));
    shop.open(&shop.ours).unwrap().batch("DELETE FROM rowmesh.dirty").unwrap();
    let application = shop.open(&shop.application).unwrap();
    application
        .batch("INSERT INTO sales.orders (note) VALUES ('x'); INSERT INTO legacy.\"Stock\" (note) VALUES ('y')")
        .unwrap();
    application.query("SELECT * FROM rowmesh.dirty", &[]).expect_err("the application has no right on what is ours");
    let noted =
        shop.open(&shop.ours).unwrap().query("SELECT DISTINCT what FROM rowmesh.dirty ORDER BY 1", &[]).unwrap();
    assert_eq!(noted.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["Stock", "orders"]);
    // The triggers go with the function, also those on tables whose owner we are not.
    shop.open(&shop.ours).unwrap().batch("DROP SCHEMA rowmesh CASCADE").unwrap();
    application.batch("INSERT INTO legacy.\"Stock\" (note) VALUES ('z')").unwrap();
}

#[test]
fn none_of_the_rights_that_are_printed_is_too_much() {
    let count = single(Shop::new().missing()).len();
    assert!(count >= 12, "{count}");
    for left_out in 0..count {
        let shop = Shop::new();
        let mut grants = single(shop.missing());
        let without = grants.remove(left_out);
        apply(&shop, &grants);
        assert!(!matches!(shop.keeps_in_sync(), Ok(true)), "nothing misses {without}");
    }
}

#[test]
fn the_statements_are_told_in_an_order_that_can_be_run_with_what_each_is_for() {
    let shop = Shop::new();
    let name = &shop.database.location().database;
    let lines: Vec<String> = shop.missing().iter().map(|grant| format!("{grant}  -- {}", grant.what_for)).collect();
    // Before version 15 nobody but a superuser may set a parameter of a superuser's.
    let suffix = if version() < 15 { "before_15" } else { "" };
    insta::with_settings!({ snapshot_suffix => suffix }, {
        insta::assert_snapshot!(lines.join("\n").replace(name, "shop"));
    });
    let superuser = missing(&shop.database.session(), "postgres", &Shop::tables()).unwrap();
    assert_eq!(superuser, [], "a superuser lacks nothing");
}

#[test]
fn a_sequence_that_belongs_to_somebody_else_than_its_table_asks_for_a_right_of_its_own() {
    let database = Database::new();
    let [owner, other, ours] = ["owner", "other", "ours"].map(|name| database.role(name));
    let session = database.session();
    session
        .batch(&format!(
            "CREATE SEQUENCE public.numbers; ALTER SEQUENCE public.numbers OWNER TO \"{other}\"; CREATE SEQUENCE public.more;
             CREATE TABLE public.t (id bigint PRIMARY KEY DEFAULT nextval('public.numbers'), n bigint DEFAULT nextval('public.more'), s serial);
             ALTER TABLE public.t OWNER TO \"{owner}\""
        ))
        .unwrap();
    let told = || {
        let grants = missing(&session, &ours, &[("public".to_owned(), "t".to_owned())]).unwrap();
        let about_it = grants.iter().filter(|grant| match &grant.right {
            Right::Member(_) => true,
            Right::Privileges(_, thing) => thing.starts_with("SEQUENCE"),
            Right::AllRows | Right::Heir(_) | Right::Inherits => false,
        });
        about_it.map(ToString::to_string).collect::<Vec<_>>()
    };
    let expected = [
        format!("GRANT \"{owner}\" TO \"{ours}\";"),
        format!("GRANT SELECT, UPDATE ON SEQUENCE \"public\".\"more\" TO \"{ours}\";"),
        format!("GRANT \"{other}\" TO \"{ours}\";"),
    ];
    assert_eq!(told(), expected);
    told().iter().for_each(|statement| session.batch(statement).unwrap());
    assert_eq!(told(), [] as [String; 0]);
}

#[test]
fn a_role_that_takes_over_nothing_by_itself_is_told_to() {
    let shop = Shop::new();
    shop.database.session().batch(&format!("ALTER ROLE \"{}\" NOINHERIT", shop.ours)).unwrap();
    let told: Vec<String> = shop.missing().iter().map(ToString::to_string).collect();
    let is_told = |end: &str| told.iter().any(|statement| statement.ends_with(end));
    assert!(is_told(if version() < 16 { "INHERIT;" } else { "WITH INHERIT TRUE;" }), "{told:?}");
    apply(&shop, &shop.missing());
    assert_eq!(shop.missing(), []);
    assert!(shop.keeps_in_sync().expect("all is allowed"));
}

/// A node whose role has rights on the tables of somebody else, and a role that has none at all.
fn guest(name: u8, schema: &str) -> (Node, String) {
    let database = Database::new();
    let [ours, other] = ["ours", "other"].map(|role| database.role(role));
    let session = database.session();
    session.batch(&format!("SET search_path = public; {schema}; SET search_path = pg_catalog")).unwrap();
    let tables = session
        .query("SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace", &[])
        .unwrap();
    let places: Vec<(String, String)> = tables.iter().map(|row| ("public".to_owned(), row.get(0))).collect();
    for grant in missing(&session, &ours, &places).unwrap() {
        session.batch(&grant.to_string()).unwrap();
    }
    (Node::on(name, Site::as_role(database, &ours), "SELECT 1"), other)
}

#[test]
fn n6_a_role_that_owns_no_table_takes_out_what_it_has_put_in_and_nobody_else_does() {
    let (node, other) = guest(1, "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)");
    let location = rowmesh_contract::Place::address(&node.place);
    let superuser = node.database.session();
    let stopped = node.stop();
    let before = installed(&superuser).unwrap();
    assert!(before.iter().filter(|(kind, _)| kind == "trigger").count() >= 8);
    let refused = detach(&Session::open(&location.as_user(&other)).unwrap()).unwrap_err();
    assert_eq!(refused.code(), "RM3205");
    assert!(refused.remedy().contains("GRANT"), "{}", refused.remedy());
    assert_eq!(installed(&superuser).unwrap(), before, "nothing was changed");
    detach(&Session::open(&location).unwrap()).unwrap();
    assert_eq!(installed(&superuser).unwrap(), []);
    stopped.place.app.batch("INSERT INTO t VALUES (1)").unwrap();
}

#[test]
fn a_table_that_may_not_be_read_any_more_stands_aside_and_the_others_flow() {
    let schema = "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE TABLE u (id int PRIMARY KEY, a text)";
    let (node, _) = guest(1, schema);
    let role = rowmesh_contract::Place::address(&node.place).user;
    let mut nodes = vec![node, Node::new(2, schema)];
    nodes[0].run("INSERT INTO t VALUES (1, 'x'); INSERT INTO u VALUES (1, 'x')");
    converge(&mut nodes);
    nodes[0].run(&format!("REVOKE SELECT ON u FROM \"{role}\""));
    nodes[0].run("INSERT INTO t VALUES (2, 'y'); INSERT INTO u VALUES (2, 'y')");
    nodes[1].run("INSERT INTO t VALUES (3, 'z'); INSERT INTO u VALUES (3, 'z')");
    converge(&mut nodes);
    for node in &nodes {
        assert_eq!(node.text("SELECT string_agg(id::text, ' ' ORDER BY id) FROM t"), "1 2 3", "node {}", node.name);
    }
    let session = Session::open(&rowmesh_contract::Place::address(&nodes[0].place)).unwrap();
    let plan = plan(&session, "public", &AttachOptions::default()).unwrap();
    let hidden: Vec<_> = plan.skipped.iter().map(|table| (&*table.name, table.code, table.remedy.as_str())).collect();
    let remedy = format!("GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON TABLE \"public\".\"u\" TO \"{role}\";");
    assert_eq!(hidden, [("u", "RM2119", remedy.as_str())]);
    nodes[0].run(&remedy);
    nodes[0].store.follow_schema(now()).unwrap();
    assert_eq!(nodes[0].store.retry_parked(now()).unwrap(), 0);
    converge(&mut nodes);
    for node in &nodes {
        assert_eq!(node.text("SELECT string_agg(id::text, ' ' ORDER BY id) FROM u"), "1 2 3", "node {}", node.name);
    }
}
