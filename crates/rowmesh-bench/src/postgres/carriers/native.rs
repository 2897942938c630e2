//! PostgreSQL's own logical replication: a publication of all tables and a subscription to it.

use std::time::Duration;

use rowmesh_postgres::connection::Session;

use super::{Carrier, Join, Kind};
use crate::postgres::contestant::wait_until;
use crate::postgres::server::Server;

/// As its manual sets it up. Without the second setting it would not be back for five seconds after it was stopped, which says nothing of its speed.
pub const KIND: Kind = Kind {
    name: "native logical",
    settings: &["wal_level = logical", "wal_retrieve_retry_interval = 50ms"],
    needs: &[],
    package: "postgresql",
    attach,
};

struct Native {
    target: Session,
}

fn attach(source: &Server) -> Result<Join, String> {
    source.application().batch("CREATE PUBLICATION shop FOR ALL TABLES").expect("a new publication");
    let subscribe = format!("CREATE SUBSCRIPTION shop CONNECTION '{}' PUBLICATION shop", source.conninfo());
    Ok(Box::new(move |target| {
        let target = target.application();
        target.batch(&subscribe).expect("a new subscription");
        Ok(Box::new(Native { target }))
    }))
}

impl Carrier for Native {
    fn stop_receiving(&mut self) {
        self.target.batch("ALTER SUBSCRIPTION shop DISABLE").expect("it is there");
        let query = "SELECT pid FROM pg_stat_subscription WHERE pid IS NOT NULL";
        wait_until(Duration::from_millis(10), || self.target.query(query, &[]).is_ok_and(|workers| workers.is_empty()));
    }

    fn receive(&mut self) {
        self.target.batch("ALTER SUBSCRIPTION shop ENABLE").expect("it is there");
    }
}
