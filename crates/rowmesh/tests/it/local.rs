//! The local socket: who may ask, how fast a dead daemon is noticed, and that what is asked is answered.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rowmesh::control::api::{Answer, LogQuestion, Question};
use rowmesh::control::client::ask;
use rowmesh::failure::code;

use crate::cluster::{TestNode, eventually};

async fn asked(node: &TestNode, question: Question) -> Result<Answer, rowmesh::Failure> {
    let socket = node.options.socket_path();
    tokio::task::spawn_blocking(move || ask(&socket, &question)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_answers_its_owner_and_is_closed_to_others() {
    let till = TestNode::founder("till").await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&till.options.socket_path()), 0o600);
    assert_eq!(mode(till.data()), 0o700);
    let Answer::Status(status) = asked(&till, Question::Status).await.unwrap() else { panic!("a status is due") };
    assert_eq!((status.name.as_str(), status.mesh.as_str(), status.tables_synced), ("till", "shop", 1));
    assert!(status.capturing && status.attention.is_empty(), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_has_its_answer() {
    let till = TestNode::founder("till").await;
    let office = TestNode::joiner("office", &till).await;
    till.database.write("1", "gum");
    eventually("the row is at the office", || office.database.read("1").is_some()).await;
    assert!(matches!(asked(&till, Question::Peers).await, Ok(Answer::Peers { peers }) if peers[0].name == "office"));
    let tables = asked(&till, Question::Tables { count: true }).await;
    assert!(matches!(tables, Ok(Answer::Tables { ref tables, .. }) if tables[0].rows == Some(1)), "{tables:?}");
    let log = Question::Log(LogQuestion { peer: Some("till".into()), limit: 10, ..LogQuestion::default() });
    let log = asked(&office, log).await;
    assert!(matches!(log, Ok(Answer::Log { ref changes }) if changes[0].node == "till"), "{log:?}");
    assert!(matches!(asked(&till, Question::Conflicts { all: true, limit: 5 }).await, Ok(Answer::Conflicts { .. })));
    let none = asked(&till, Question::Conflict { id: "zz".into() }).await.unwrap_err();
    assert_eq!(none.code, code::NO_SUCH_CONFLICT);
    let nobody = asked(&till, Question::Pause { peer: Some("nobody".into()), for_ms: None }).await.unwrap_err();
    assert_eq!(nobody.code, code::NO_SUCH_PEER);
    let checks = asked(&till, Question::Doctor { fix: true }).await;
    assert!(matches!(checks, Ok(Answer::Checks { ref checks }) if checks.len() > 3), "{checks:?}");
    assert!(asked(&till, Question::Conflict { id: String::new() }).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_daemon_is_noticed_at_once() {
    let mut till = TestNode::founder("till").await;
    till.stop().await;
    for leftover in [false, true] {
        if leftover {
            // What kill -9 leaves: a socket that nobody listens on.
            drop(std::os::unix::net::UnixListener::bind(till.options.socket_path()).unwrap());
        }
        let begun = Instant::now();
        let refused = asked(&till, Question::Status).await.unwrap_err();
        assert_eq!(refused.code, code::NOT_RUNNING);
        assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
        assert!(refused.hints.iter().any(|hint| hint.command == "rowmesh run"));
    }
    till.start().await;
    assert!(asked(&till, Question::Status).await.is_ok(), "the leftover is in nobody's way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_answered_and_the_connection_goes_on() {
    let till = TestNode::founder("till").await;
    let socket = till.options.socket_path();
    let lines = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.write_all(b"hello\n{\"do\":\"fly\"}\n{\"do\":\"peers\"}\n").unwrap();
        BufReader::new(stream).lines().take(3).map(Result::unwrap).collect::<Vec<_>>()
    });
    let lines = lines.await.unwrap();
    assert!(lines[0].contains("\"is\":\"failed\"") && lines[1].contains("\"is\":\"failed\""), "{lines:?}");
    assert!(lines[2].contains("\"is\":\"peers\""), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_is_a_question_too() {
    let mut till = TestNode::founder("till").await;
    assert_eq!(asked(&till, Question::Stop).await, Ok(Answer::Done));
    let mut running = till.running.take().unwrap();
    running.ended().await;
    assert!(running.stuck().is_some());
    running.stop().await;
    assert_eq!(asked(&till, Question::Status).await.unwrap_err().code, code::NOT_RUNNING);
}
