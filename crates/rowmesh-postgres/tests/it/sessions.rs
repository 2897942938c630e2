//! What a session promises, whatever the server is like.

use rowmesh_postgres::Bytes;

use rowmesh_postgres::connection::Session;

use crate::cluster::{Cluster, Database};

#[test]
fn a_session_asks_writes_and_copies() {
    let database = Database::new();
    let session = database.session();
    session.batch("CREATE TABLE public.t (id int PRIMARY KEY, name text)").unwrap();
    assert_eq!(session.execute("INSERT INTO public.t VALUES ($1, $2)", &[&1, &"one"]).unwrap(), 1);
    let chunks = ["2\ttwo\n", "3\tthree\n"].map(|line| Bytes::from_static(line.as_bytes()));
    assert_eq!(session.copy_in("COPY public.t FROM STDIN", chunks.into_iter()).unwrap(), 2);
    let names = session.query("SELECT name FROM public.t ORDER BY id", &[]).unwrap();
    assert_eq!(names.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["one", "two", "three"]);
    let mut text = Vec::new();
    let each = |chunk: Bytes| {
        text.extend_from_slice(&chunk);
        Ok(())
    };
    session.copy_out("COPY public.t TO STDOUT", each).unwrap();
    assert_eq!(text, b"1\tone\n2\ttwo\n3\tthree\n");
}

#[test]
fn whether_triggers_keep_still_depends_on_the_role() {
    let database = Database::new();
    let ordinary = Session::open(&database.location().as_user(database.role("app"))).unwrap();
    let setting = |session: &Session| -> String {
        session.query_one("SELECT current_setting('session_replication_role')", &[]).unwrap().get(0)
    };
    let superuser = database.session();
    assert_eq!((setting(&superuser), superuser.is_replica()), ("replica".to_owned(), true));
    assert_eq!((setting(&ordinary), ordinary.is_replica()), ("origin".to_owned(), false));
}

#[test]
fn a_session_notices_that_its_server_has_gone_and_the_next_one_finds_it_again() {
    let cluster = Cluster::own(&[]);
    let database = Database::on(&cluster);
    let session = database.session();
    assert!(!session.is_closed());
    cluster.control(&["restart", "-m", "immediate"]);
    assert!(session.is_closed());
    session.query("SELECT 1", &[]).expect_err("the server knows nothing of this session");
    assert_eq!(database.session().query_one("SELECT 1", &[]).unwrap().get::<_, i32>(0), 1);
    assert!(database.cluster().folder().join("log").exists());
}
