//! pglogical: the extension that native logical replication grew from.

use rowmesh_postgres::connection::Session;

use super::{Carrier, Join, Kind};
use crate::postgres::server::Server;

/// As its manual sets it up.
pub const KIND: Kind = Kind {
    name: "pglogical",
    settings: &["wal_level = logical", "shared_preload_libraries = 'pglogical'"],
    needs: &["{pg}/lib/pglogical.so"],
    package: "postgresql-15-pglogical",
    attach,
};

struct Pglogical {
    target: Session,
}

fn attach(source: &Server) -> Result<Join, String> {
    let provider = source.application();
    provider.batch("CREATE EXTENSION pglogical").expect("its package is installed");
    make_node(&provider, "provider", source);
    let publish = "SELECT pglogical.replication_set_add_all_tables('default', ARRAY['public'])";
    provider.query(publish, &[]).expect("all tables have keys");
    let source = source.conninfo();
    Ok(Box::new(move |target| {
        let session = target.application();
        session.batch("CREATE EXTENSION pglogical").expect("its package is installed");
        make_node(&session, "subscriber", target);
        session.query(SUBSCRIBE, &[&source]).expect("a new subscription");
        Ok(Box::new(Pglogical { target: session }))
    }))
}

const SUBSCRIBE: &str =
    "SELECT pglogical.create_subscription('shop', $1::text, synchronize_data := true, forward_origins := '{}')";

fn make_node(session: &Session, name: &str, server: &Server) {
    session
        .query("SELECT pglogical.create_node($1::text::name, $2::text)", &[&name, &server.conninfo()])
        .expect("a new node");
}

impl Carrier for Pglogical {
    fn stop_receiving(&mut self) {
        self.target.query("SELECT pglogical.alter_subscription_disable('shop', true)", &[]).expect("it is there");
    }

    fn receive(&mut self) {
        self.target.query("SELECT pglogical.alter_subscription_enable('shop', true)", &[]).expect("it is there");
    }
}
