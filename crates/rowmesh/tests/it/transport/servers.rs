//! A server's own life: where it listens, who is connected, how it ends.

use std::sync::Arc;
use std::time::Duration;

use rowmesh::transport::{ClientLimits, DialFault, Server, ServerLimits, connect};
use tokio::time::timeout;

use super::{FOREVER, Host, Scripted, key};

#[tokio::test]
async fn an_address_that_is_taken_or_none_is_an_error_that_names_it() {
    let host = Host::start().await;
    for address in [&host.address().to_string(), "nonsense", "192.0.2.1:0"] {
        let bound = Server::bind(address, &key(), Arc::new(Scripted::default()), ServerLimits::default()).await;
        assert_eq!(bound.unwrap_err().to_string(), format!("listen on {address}"));
    }
}

#[tokio::test]
async fn s19_a_node_may_connect_twice_and_the_oldest_connection_gives_way_in_the_end() {
    let limits = ServerLimits { connections_per_member_max: 2, ..ServerLimits::default() };
    let host = Host::with(limits).await;
    let from = key();
    let first = host.dial(&from).await;
    let held = first.request_within("/hold", "", Duration::from_secs(3_600));
    let rest = async {
        let second = host.dial(&from).await;
        assert_eq!(second.request("/whoami", "").await.unwrap().status, 200);
        let third = host.dial(&from).await;
        assert_eq!(third.request("/whoami", "").await.unwrap().status, 200);
        assert_eq!(second.request("/whoami", "").await.unwrap().status, 200);
        assert_eq!(host.server.load().members, 2);
    };
    let (held, ()) = timeout(FOREVER, async { tokio::join!(held, rest) }).await.unwrap();
    held.unwrap_err();
    timeout(FOREVER, host.handler.dropped.notified()).await.expect("what the oldest was doing ends with it");
}

#[tokio::test]
async fn a_handler_whose_peer_has_gone_away_is_dropped() {
    let host = Host::start().await;
    let connection = host.dial(&key()).await;
    let held = connection.request_within("/hold", "", Duration::from_millis(100));
    held.await.unwrap_err();
    drop(connection);
    timeout(FOREVER, host.handler.dropped.notified()).await.unwrap();
}

#[tokio::test]
async fn shutdown_lets_requests_end_and_takes_no_more() {
    let host = Host::start().await;
    let (id, addresses, handler) = (host.id(), host.addresses(), host.handler.clone());
    let connection = host.dial(&key()).await;
    let held = tokio::spawn(async move {
        let held = connection.request_within("/hold", "", Duration::from_secs(3_600)).await;
        (held, connection)
    });
    while handler.seen.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let stopped = tokio::spawn(host.server.shutdown(Duration::from_secs(3_600)));
    let refused = async {
        loop {
            match connect(&key(), id, &addresses, &ClientLimits::default()).await {
                Err(error) if matches!(error.fault(), DialFault::Unreachable(_)) => break,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    timeout(FOREVER, refused).await.unwrap();
    assert!(!stopped.is_finished(), "it waits for the request in progress");
    handler.release.notify_one();
    let (held, connection) = timeout(FOREVER, held).await.unwrap().unwrap();
    assert_eq!(&held.unwrap().body[..], b"released");
    timeout(FOREVER, stopped).await.unwrap().unwrap();
    assert!(connection.request("/whoami", "").await.is_err());
}

#[tokio::test]
async fn shutdown_cuts_what_does_not_end_within_the_grace() {
    let host = Host::start().await;
    let connection = host.dial(&key()).await;
    let held = connection.request_within("/hold", "", Duration::from_secs(3_600));
    let stop = async {
        while host.handler.seen.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        host.server.shutdown(Duration::from_millis(50)).await;
    };
    let (held, ()) = timeout(FOREVER, async { tokio::join!(held, stop) }).await.unwrap();
    held.unwrap_err();
    timeout(FOREVER, host.handler.dropped.notified()).await.unwrap();
    assert_eq!(Arc::strong_count(&host.handler), 1, "nothing of the server is left");
}
