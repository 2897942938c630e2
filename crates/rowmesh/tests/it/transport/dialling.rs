//! What a client takes for the node that it looks for, and what it says of everything else.

use rowmesh::identity::NodeKey;
use rowmesh::transport::{ALPN, ClientLimits, Connection, DialError, DialFault, NotRowmesh, connect};
use rowmesh_core::ident::NodeId;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::raw::{Identity, relay, server_config, tcp_server, tls_server, write};
use super::{FOREVER, Host, key};

async fn dial(peer: NodeId, addresses: &[String]) -> Result<Connection, DialError> {
    let limits = ClientLimits { attempt: Duration::from_secs(2), ..ClientLimits::default() };
    timeout(FOREVER, connect(&key(), peer, addresses, &limits)).await.unwrap()
}

async fn fault_at(peer: NodeId, address: SocketAddr) -> DialFault {
    dial(peer, &[address.to_string()]).await.unwrap_err().attempts.remove(0).1
}

/// A raw server with this identity, dialled as `peer`.
async fn fault_of(identity: &Identity, alpn: &[&[u8]], peer: NodeId) -> DialFault {
    fault_at(peer, tls_server(server_config(identity, alpn), drain).await).await
}

async fn drain(mut stream: impl AsyncReadExt + Unpin) {
    let mut sink = [0; 1_024];
    while stream.read(&mut sink).await.is_ok_and(|bytes| bytes > 0) {}
}

#[tokio::test]
async fn s13_a_node_that_is_not_the_one_dialled_is_refused_by_name() {
    let host = Host::start().await;
    let expected = NodeKey::generate().unwrap().node_id();
    let error = dial(expected, &host.addresses()).await.unwrap_err();
    let DialFault::WrongNode { expected: named, answered } = error.fault() else { panic!("{error}") };
    assert_eq!((*named, *answered), (expected, host.id()));
    assert!(error.to_string().contains(&host.id().to_string()), "{error}");
    assert_eq!(host.requests_seen(), 0);
}

#[tokio::test]
async fn s3_k9_a_server_with_a_copied_certificate_is_an_impostor() {
    let (owner, thief) = (Identity::ed25519(), Identity::ed25519());
    let fault = fault_of(&owner.signing_with(&thief), &[ALPN], owner.node).await;
    assert!(matches!(fault, DialFault::Impostor), "{fault:?}");
}

#[tokio::test]
async fn s4_s5_a_server_with_a_chain_or_another_kind_of_key_is_no_node() {
    let identity = Identity::ed25519();
    let twice = identity.showing(vec![identity.chain[0].clone(), identity.chain[0].clone()]);
    for identity in [twice, Identity::rsa(), Identity::x25519(), Identity::p256()] {
        let fault = fault_of(&identity, &[ALPN], identity.node).await;
        assert!(matches!(fault, DialFault::NotRowmesh(NotRowmesh::Certificate(_))), "{fault:?}");
    }
}

#[tokio::test]
async fn s6_a_server_whose_certificate_has_expired_is_accepted() {
    for years in [(1980, 1981), (3000, 3001)] {
        let identity = Identity::dated(years);
        let address = tls_server(server_config(&identity, &[ALPN]), drain).await;
        let connection = dial(identity.node, &[address.to_string()]).await.unwrap();
        assert_eq!(connection.peer(), identity.node);
    }
}

#[tokio::test]
async fn s7_k9_a_server_that_offers_tls_1_2_only_is_not_talked_to() {
    // ServerHello (RFC 5246): version 3.3, random, no session, a suite of TLS 1.2, no extension.
    let mut hello = vec![22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0xc0, 0x2b, 0]);
    let address = tcp_server(move |mut tcp| {
        let hello = hello.clone();
        async move {
            write(&mut tcp, &hello).await;
            drain(tcp).await;
        }
    })
    .await;
    let fault = fault_at(key().node_id(), address).await;
    assert!(matches!(fault, DialFault::NotRowmesh(NotRowmesh::OtherTls(_))), "{fault:?}");
}

#[tokio::test]
async fn s8_k9_a_server_without_our_protocol_is_no_node() {
    let identity = Identity::ed25519();
    for alpn in [&[][..], &[&b"h2"[..]], &[&b"http/1.1"[..], b"rowmesh/2"]] {
        let fault = fault_of(&identity, alpn, identity.node).await;
        assert!(matches!(fault, DialFault::NotRowmesh(NotRowmesh::OtherProtocol)), "{alpn:?} {fault:?}");
    }
}

#[tokio::test]
async fn j7_a_plain_web_server_or_any_other_service_is_told_as_such() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Please log in</html>",
        "HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n",
        "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let address = tcp_server(move |mut tcp| async move {
            write(&mut tcp, answer.as_bytes()).await;
            drain(tcp).await;
        })
        .await;
        let peer = key().node_id();
        let error = dial(peer, &[address.to_string()]).await.unwrap_err();
        assert!(matches!(error.fault(), DialFault::NotRowmesh(NotRowmesh::NotTls(_))), "{answer}: {error:?}");
        assert_eq!(error.to_string(), format!("dial {}: {address}: no Rowmesh node answers there", peer.short()));
    }
}

#[tokio::test]
async fn j7_an_ordinary_https_server_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // What it says to a client that has only Ed25519 to verify with: handshake failure.
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        write(&mut tcp, &[21, 3, 3, 0, 2, 2, 40]).await;
        drain(tcp).await;
    });
    let fault = fault_at(key().node_id(), address).await;
    assert!(matches!(fault, DialFault::NotRowmesh(NotRowmesh::OtherTls(_))), "{fault:?}");
}

#[tokio::test]
async fn s20_a_node_does_not_dial_itself_and_notices_an_address_that_leads_home() {
    let host = Host::start().await;
    let limits = ClientLimits::default();
    let error = connect(&host.key, host.id(), &host.addresses(), &limits).await.unwrap_err();
    assert!(matches!(error.fault(), DialFault::Itself), "{error}");
    let elsewhere = key().node_id();
    let error = connect(&host.key, elsewhere, &host.addresses(), &limits).await.unwrap_err();
    assert!(matches!(error.fault(), DialFault::WrongNode { answered, .. } if *answered == host.id()), "{error}");
    assert_eq!(host.requests_seen(), 0);
}

#[tokio::test]
async fn every_way_not_to_reach_a_node_has_its_own_fault() {
    let peer = key().node_id();
    let only = |address: &str| [address.to_owned()];

    let error = dial(peer, &[]).await.unwrap_err();
    assert!(matches!(error.fault(), DialFault::NoAddress), "{error}");
    for address in ["", "nonsense", "10.0.0.1", "10.0.0.1:port", "[::1", "https://shop:7696"] {
        let error = dial(peer, &only(address)).await.unwrap_err();
        assert!(matches!(error.fault(), DialFault::BadAddress), "{address}: {error}");
    }
    let unresolvable = format!("{}.invalid:7696", "a".repeat(70));
    let error = dial(peer, &only(&unresolvable)).await.unwrap_err();
    assert!(matches!(error.fault(), DialFault::NameNotFound(_)), "{error:?}");

    let closed = closed_port().await;
    let error = dial(peer, &only(&closed)).await.unwrap_err();
    assert!(matches!(error.fault(), DialFault::Unreachable(_)), "{error:?}");

    let silent = tcp_server(drain).await;
    let fault = fault_at(peer, silent).await;
    assert!(matches!(fault, DialFault::TimedOut), "{fault:?}");

    let hangs_up = tcp_server(|tcp| async move { drop(tcp) }).await;
    let fault = fault_at(peer, hangs_up).await;
    assert!(matches!(fault, DialFault::HungUp(_)), "{fault:?}");
}

#[tokio::test]
async fn j9_the_right_address_is_found_among_bad_ones_without_waiting_for_them() {
    let host = Host::start().await;
    let other = Host::start().await;
    let silent = tcp_server(drain).await;
    let addresses = [
        format!("{}.invalid:7696", "a".repeat(70)),
        closed_port().await,
        silent.to_string(),
        "nonsense".into(),
        other.address().to_string(),
        host.address().to_string(),
    ];
    // The silent address would take an hour to give up.
    let hour = Duration::from_secs(3_600);
    let limits = ClientLimits { attempt: hour, dial: hour, ..ClientLimits::default() };
    let connected = timeout(FOREVER, connect(&key(), host.id(), &addresses, &limits)).await.unwrap().unwrap();
    assert_eq!(connected.peer_address(), host.address());
    assert_eq!(connected.request("/whoami", "").await.unwrap().status, 200);
}

#[tokio::test]
async fn j9_when_no_address_leads_there_each_is_told_and_the_most_telling_first() {
    let other = Host::start().await;
    let silent = tcp_server(drain).await;
    let closed = closed_port().await;
    let addresses = [closed.clone(), silent.to_string(), other.address().to_string()];
    let limits = ClientLimits { dial: Duration::from_secs(2), ..ClientLimits::default() };
    let error = connect(&key(), key().node_id(), &addresses, &limits).await.unwrap_err();
    let told: Vec<&str> = error.attempts.iter().map(|(address, _)| address.as_str()).collect();
    assert_eq!(told, [other.address().to_string(), silent.to_string(), closed]);
    assert!(matches!(error.attempts[1].1, DialFault::TimedOut));
}

#[tokio::test]
async fn the_exporter_is_equal_at_both_ends_and_different_on_every_connection() {
    let host = Host::start().await;
    let from = key();
    let mut exporters = Vec::new();
    for _ in 0..3 {
        let connection = host.dial(&from).await;
        let theirs = connection.request("/exporter", "").await.unwrap().body;
        assert_eq!(&theirs[..], connection.exporter());
        assert!(!exporters.contains(&theirs));
        exporters.push(theirs);
    }
}

#[tokio::test]
async fn a_relay_that_only_forwards_learns_and_changes_nothing() {
    let host = Host::start().await;
    let relay = relay(host.address(), u64::MAX).await;
    let connection = dial(host.id(), &[relay.to_string()]).await.unwrap();
    let theirs = connection.request("/exporter", "").await.unwrap().body;
    assert_eq!(&theirs[..], connection.exporter());
    assert_eq!(connection.peer_address(), relay);
}

/// The channel binding of an invite (S27) stands on this.
#[tokio::test]
async fn s27_a_relay_that_ends_tls_itself_cannot_pass_for_the_node() {
    let victim = Identity::ed25519();
    let relay = Identity::ed25519();
    let fault = fault_of(&relay, &[ALPN], victim.node).await;
    assert!(matches!(fault, DialFault::WrongNode { answered, .. } if answered == relay.node), "{fault:?}");
    let fault = fault_of(&victim.signing_with(&relay), &[ALPN], victim.node).await;
    assert!(matches!(fault, DialFault::Impostor), "{fault:?}");

    // Where both ends let the relay in under its own name, their exporters differ.
    let (left, right) = (Host::start().await, Host::start().await);
    let relay: Arc<NodeKey> = key();
    let (to_left, to_right) = (left.dial(&relay).await, right.dial(&relay).await);
    assert_ne!(to_left.exporter(), to_right.exporter());
}

async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}
