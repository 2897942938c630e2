//! PgBouncer between us and the server: found out and explained where it lends sessions for single transactions, not minded where it lends
//! them for good.

use rowmesh_core::store::{StoreError, StoreErrorKind};
use rowmesh_postgres::connection::{Location, check_place};
use rowmesh_postgres::url::{Surroundings, parse};

use crate::cluster::{Cluster, Database};

fn code_of(location: &Location) -> &'static str {
    match check_place(location) {
        Ok(()) => "",
        Err(error) => {
            // Seen only if the test fails.
            eprintln!("{error:?}");
            StoreError::from(error).code
        }
    }
}

#[test]
fn a_server_without_a_pooler_is_taken() {
    let database = Database::new();
    assert_eq!(code_of(&database.location()), "");
}

#[test]
fn a_pooler_in_transaction_mode_is_found_out() {
    let cluster = Cluster::own(&[]);
    let pooler = cluster.pooler("transaction", "");
    for _ in 0..10 {
        assert_eq!(code_of(&pooler), "RM1209");
    }
}

#[test]
fn a_pooler_that_takes_turns_is_found_out() {
    let cluster = Cluster::own(&[]);
    let pooler = cluster.pooler("transaction", "server_round_robin = 1\nmin_pool_size = 5");
    for _ in 0..10 {
        assert_eq!(code_of(&pooler), "RM1209");
    }
}

#[test]
fn a_pooler_in_session_mode_is_not_minded() {
    let cluster = Cluster::own(&[]);
    assert_eq!(code_of(&cluster.pooler("session", "")), "");
}

#[test]
fn a_url_that_tells_of_a_pooler_is_believed_and_the_way_around_it_named() {
    let location = |text: &str| parse(text, &Surroundings::default()).unwrap();
    let told = |text: &str| StoreError::from(check_place(&location(text)).expect_err("a pooler"));
    let neon = told("postgres://app:secret@ep-a-1-pooler.aws.neon.tech/shop?sslmode=require");
    assert_eq!((neon.code, neon.kind), ("RM1209", StoreErrorKind::NeedsPerson));
    assert!(neon.remedy.contains("postgres://app@ep-a-1.aws.neon.tech:5432/shop"), "{}", neon.remedy);
    let prisma = told("postgres://app:secret@db.example/shop?pgbouncer=true");
    assert!(prisma.remedy.contains("DIRECT_URL"), "{}", prisma.remedy);
    assert!(!format!("{neon:?}{prisma:?}").contains("secret"));
}
