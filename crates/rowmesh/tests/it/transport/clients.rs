//! What a connection can do for its owner, and how long it puts up with a node that does not play along.

use std::time::{Duration, Instant};

use rowmesh::transport::{
    ALPN, BodyError, ClientLimits, Connection, DialError, DialFault, OutgoingBody, PaceRule, RequestFault, connect,
};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::raw::{Identity, SETTINGS, frame, server_config, tls_server, write};
use super::{FOREVER, Host, key};

#[tokio::test]
async fn a_request_held_back_does_not_hold_up_others_on_the_same_connection() {
    let host = Host::start().await;
    let connection = host.dial(&key()).await;
    let held = connection.request_within("/hold", "", Duration::from_secs(3_600));
    let others = async {
        for _ in 0..10 {
            let echoed = connection.request("/echo", vec![5; 1 << 20]).await.unwrap();
            assert_eq!(echoed.body.len(), 1 << 20);
        }
        host.handler.release.notify_one();
    };
    let (held, ()) = timeout(FOREVER, async { tokio::join!(held, others) }).await.unwrap();
    assert_eq!(&held.unwrap().body[..], b"released");
    assert_eq!(host.server.load().members, 1);
}

#[tokio::test]
async fn both_ends_agree_on_who_and_where_they_are() {
    let host = Host::start().await;
    let from = key();
    let connection = host.dial(&from).await;
    connection.request("/whoami", "").await.unwrap();
    let seen = host.handler.seen.lock().unwrap()[0].0;
    assert_eq!((seen.node, seen.public_key), (from.node_id(), from.public_key()));
    assert_eq!(seen.address, connection.local_address());
    assert_eq!((connection.peer(), connection.peer_public_key()), (host.id(), host.key.public_key()));
    assert_eq!(connection.peer_address(), host.address());
    assert_eq!(seen.exporter, connection.exporter());
}

#[tokio::test]
async fn a_refusal_keeps_its_status_and_reason_all_the_way_into_a_dial_error() {
    let host = Host::start().await;
    let from = key();
    host.handler.refused.lock().unwrap().insert(from.node_id());
    let connection = host.dial(&from).await;
    let refusal = connection.request("/whoami", "").await.unwrap().accepted().unwrap_err();
    let error = DialError::refused(connection.peer(), connection.peer_address(), refusal);
    let DialFault::Refused(refusal) = error.fault() else { panic!("{error}") };
    assert_eq!((refusal.status, &refusal.body[..]), (403, &b"RM-unknown-peer"[..]));
}

#[tokio::test]
async fn a_lost_connection_says_so_and_a_path_with_a_query_is_refused() {
    let host = Host::start().await;
    let connection = host.dial(&key()).await;
    assert_eq!(connection.request("/whoami?as=other", "").await.unwrap().status, 400);
    let error = connection.request("no path", "").await.unwrap_err();
    assert!(matches!(error.fault, RequestFault::BadPath(_)), "{error:?}");
    assert!(!connection.is_closed());
    host.server.shutdown(Duration::ZERO).await;
    let error = timeout(FOREVER, connection.request("/whoami", "")).await.unwrap().unwrap_err();
    assert!(matches!(error.fault, RequestFault::Lost(_)), "{error:?}");
    assert!(connection.is_closed());
}

#[tokio::test]
async fn j5_an_answer_that_does_not_begin_or_does_not_go_on_is_given_up() {
    let host = Host::start().await;
    let connection = connect(&key(), host.id(), &host.addresses(), &impatient()).await.unwrap();
    let error = timeout(FOREVER, connection.request("/hold", "")).await.unwrap().unwrap_err();
    assert!(matches!(error.fault, RequestFault::TimedOut(_)), "{error:?}");
    timeout(FOREVER, host.handler.dropped.notified()).await.expect("the server forgets a request that was given up");

    let mut stream = connection.request_streaming("/stalled", "").await.unwrap();
    assert_eq!(stream.chunk().await.unwrap().as_deref(), Some(&b"begun"[..]));
    let error = timeout(FOREVER, stream.chunk()).await.unwrap().unwrap_err();
    assert!(matches!(error, BodyError::TooSlow(_)), "{error:?}");
    assert_eq!(connection.request("/whoami", "").await.unwrap().status, 200, "the connection lives on");
}

#[tokio::test]
async fn j5_a_node_that_does_not_take_a_request_is_given_up_but_a_slow_producer_is_not() {
    let identity = Identity::ed25519();
    let act = |mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>| async move {
        write(&mut stream, &frame(SETTINGS, 0, 0, &[])).await;
        let mut sink = [0; 4_096];
        // Reads everything and never opens the window of 64 KiB again.
        while stream.read(&mut sink).await.is_ok_and(|bytes| bytes > 0) {}
    };
    let address = tls_server(server_config(&identity, &[ALPN]), act).await;
    let connection = connect(&key(), identity.node, &[address.to_string()], &impatient()).await.unwrap();
    let error = timeout(FOREVER, connection.request("/any", vec![0; 4 << 20])).await.unwrap().unwrap_err();
    assert!(matches!(error.fault, RequestFault::TakenTooSlowly(_)), "{error:?}");

    let host = Host::start().await;
    let connection = connect(&key(), host.id(), &host.addresses(), &impatient()).await.unwrap();
    let (sender, body) = OutgoingBody::stream(1);
    tokio::spawn(async move {
        for _ in 0..4 {
            tokio::time::sleep(impatient().pace.window).await;
            sender.send("a little").await.unwrap();
        }
        sender.finish().await.unwrap();
    });
    let response = timeout(FOREVER, connection.request_streaming("/slurp", body)).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn j5_a_node_that_has_gone_silent_is_noticed_by_keep_alive() {
    let identity = Identity::ed25519();
    let act = |mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>| async move {
        write(&mut stream, &frame(SETTINGS, 0, 0, &[])).await;
        std::future::pending::<()>().await;
    };
    let address = tls_server(server_config(&identity, &[ALPN]), act).await;
    let (every, answer) = (Duration::from_millis(50), Duration::from_millis(100));
    let limits = ClientLimits { keep_alive: every, keep_alive_answer: answer, ..ClientLimits::default() };
    let connection = connect(&key(), identity.node, &[address.to_string()], &limits).await.unwrap();
    let began = Instant::now();
    let held = connection.request_within("/any", "", Duration::from_secs(3_600));
    let error = timeout(FOREVER, held).await.unwrap().unwrap_err();
    assert!(matches!(error.fault, RequestFault::Lost(_)), "{error:?}");
    assert!(began.elapsed() >= answer);
}

#[tokio::test]
async fn a_dropped_connection_closes_but_not_before_its_streams_are_read() {
    let host = Host::start().await;
    let connection = host.dial(&key()).await;
    let stream = connection.request_streaming("/big", "").await.unwrap();
    drop(connection);
    assert_eq!(stream.whole(8 << 20).await.unwrap().len(), 8 << 20);
    let gone = async {
        while host.server.load().members > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(FOREVER, gone).await.unwrap();
}

#[tokio::test]
async fn j12_a_cancelled_request_leaves_the_others_their_own_answers() {
    let host = Host::start().await;
    let connection: Connection = host.dial(&key()).await;
    for n in 0..200_u32 {
        let cancelled = connection.request("/echo", vec![0xee; 100_000]);
        let _ = timeout(Duration::from_micros(u64::from(n) * 20), cancelled).await;
        let body = n.to_be_bytes().repeat(1_000);
        assert!(connection.request("/echo", body.clone()).await.unwrap().body == body, "request {n}");
    }
}

fn impatient() -> ClientLimits {
    let pace = PaceRule { window: Duration::from_millis(200), bytes_per_second_min: 1_000 };
    ClientLimits { answer: Duration::from_millis(500), pace, ..ClientLimits::default() }
}
