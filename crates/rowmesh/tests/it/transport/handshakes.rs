//! Who gets through a server's handshake, and under which name.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rowmesh::transport::ALPN;
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, NamedGroup};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::raw::{Identity, client_config, connect_as, post, tls_connect, write};
use super::{FOREVER, Host, key};

/// A client with this identity, and whether a request of its comes through to the handler.
async fn check(identity: Option<&Identity>, alpn: &[&[u8]], gets_through: bool) {
    let host = Host::start().await;
    let answer = match tls_connect(client_config(identity, alpn), host.address()).await {
        Ok(stream) => post(stream, "/whoami", b"").await,
        Err(error) => Err(error.into()),
    };
    assert_eq!(answer.is_ok(), gets_through, "{answer:?}");
    assert_eq!(host.requests_seen(), usize::from(gets_through));
    if let (Ok((status, body)), Some(identity)) = (answer, identity) {
        assert_eq!((status, &body[..]), (200, &identity.node.0[..]));
    }
    // Whatever came before, the next one is served.
    assert_eq!(host.dial(&key()).await.request("/whoami", "").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_stranger_with_a_sound_certificate_reaches_the_handler_under_its_own_name() {
    check(Some(&Identity::ed25519()), &[ALPN], true).await;
}

#[tokio::test]
async fn s1_an_unknown_node_is_told_so_by_the_handler() {
    let host = Host::start().await;
    let stranger = key();
    host.handler.strangers.lock().unwrap().insert(stranger.node_id());
    host.handler.refused.lock().unwrap().insert(stranger.node_id());
    let connection = host.dial(&stranger).await;
    let response = connection.request("/whoami", "").await.unwrap();
    assert_eq!((response.status, &response.body[..]), (403, &b"RM-unknown-peer"[..]));
    assert_eq!((host.server.load().strangers, host.server.load().members), (1, 0));
}

#[tokio::test]
async fn s2_a_revoked_node_is_refused_on_its_open_connection_which_is_then_cut() {
    let host = Host::start().await;
    let (revoked, member) = (key(), key());
    let connection = host.dial(&revoked).await;
    let bystander = host.dial(&member).await;
    assert_eq!(connection.request("/whoami", "").await.unwrap().status, 200);
    host.handler.refused.lock().unwrap().insert(revoked.node_id());
    assert_eq!(connection.request("/whoami", "").await.unwrap().status, 403);
    let held = connection.request("/hold", "");
    host.server.disconnect(revoked.node_id());
    timeout(FOREVER, held).await.unwrap().unwrap_err();
    assert!(connection.request("/whoami", "").await.is_err());
    assert_eq!(bystander.request("/whoami", "").await.unwrap().status, 200);
}

#[tokio::test]
async fn s3_k9_the_right_certificate_with_another_private_key_is_refused() {
    let (owner, thief) = (Identity::ed25519(), Identity::ed25519());
    check(Some(&owner.signing_with(&thief)), &[ALPN], false).await;
}

#[tokio::test]
async fn s4_a_chain_of_two_certificates_is_refused() {
    let (first, second) = (Identity::ed25519(), Identity::ed25519());
    let chain = vec![first.chain[0].clone(), second.chain[0].clone()];
    check(Some(&first.showing(chain)), &[ALPN], false).await;
    let twice = vec![first.chain[0].clone(), first.chain[0].clone()];
    check(Some(&first.showing(twice)), &[ALPN], false).await;
}

#[tokio::test]
async fn s5_keys_of_another_kind_are_refused() {
    for identity in [Identity::p256(), Identity::rsa(), Identity::x25519()] {
        check(Some(&identity), &[ALPN], false).await;
    }
}

#[tokio::test]
async fn s6_expired_and_not_yet_valid_certificates_are_accepted() {
    for years in [(1980, 1981), (3000, 3001)] {
        check(Some(&Identity::dated(years)), &[ALPN], true).await;
    }
}

#[tokio::test]
async fn s7_k9_a_client_of_tls_1_2_is_refused_by_an_alert_about_the_version() {
    let host = Host::start().await;
    assert_eq!(answer_to(&host, &client_hello(&[0x0303])).await, (ALERT, PROTOCOL_VERSION));
    assert_eq!(answer_to(&host, &client_hello(&[])).await, (ALERT, PROTOCOL_VERSION));
    // The same words with TLS 1.3 among them are understood: it is the version that was refused.
    assert_eq!(answer_to(&host, &client_hello(&[0x0304, 0x0303])).await.0, HANDSHAKE);
}

#[tokio::test]
async fn s8_k9_without_our_protocol_or_with_another_nobody_is_served() {
    let identity = Identity::ed25519();
    check(Some(&identity), &[], false).await;
    check(Some(&identity), &[b"h2"], false).await;
    check(Some(&identity), &[b"http/1.1", b"rowmesh/2"], false).await;
    check(Some(&identity), &[b"h2", ALPN], true).await;
}

#[tokio::test]
async fn s9_a_client_without_certificate_is_refused() {
    check(None, &[ALPN], false).await;
    check(Some(&Identity::ed25519().showing(vec![])), &[ALPN], false).await;
}

#[tokio::test]
async fn s10_k9_plaintext_gets_no_http_answer() {
    let host = Host::start().await;
    for request in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], super::raw::PREFACE] {
        let mut tcp = TcpStream::connect(host.address()).await.unwrap();
        write(&mut tcp, request).await;
        let mut answer = Vec::new();
        let _ = timeout(FOREVER, tcp.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.is_empty() || answer[0] == ALERT, "{:?}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(host.requests_seen(), 0);
}

#[tokio::test]
async fn http_1_inside_of_our_protocol_is_not_served() {
    let host = Host::start().await;
    let mut stream = connect_as(&Identity::ed25519(), host.address()).await.unwrap();
    write(&mut stream, b"POST /whoami HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = timeout(FOREVER, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1"), "{:?}", String::from_utf8_lossy(&answer));
    assert_eq!(host.requests_seen(), 0);
}

#[tokio::test]
async fn s11_s12_no_ticket_is_given_and_no_early_data_can_be_sent() {
    let host = Host::start().await;
    let tickets = Arc::new(TicketBox::default());
    let mut config = client_config(Some(&Identity::ed25519()), &[ALPN]);
    config.resumption = Resumption::store(tickets.clone());
    config.enable_early_data = true;
    for _ in 0..2 {
        let stream = tls_connect(config.clone(), host.address()).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        post(stream, "/whoami", b"").await.unwrap();
    }
    let name = ServerName::from(host.address().ip());
    let mut third = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    assert!(third.early_data().is_none());
    assert!(tickets.asked.load(Ordering::Relaxed) > 0, "the client would have resumed");
    assert_eq!(tickets.received.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn s14_the_name_comes_from_the_handshake_whatever_the_request_says() {
    let host = Host::start().await;
    let (sender, claimed) = (Identity::ed25519(), key());
    let stream = connect_as(&sender, host.address()).await.unwrap();
    let (_, answer) = post(stream, "/whoami", &claimed.node_id().0).await.unwrap();
    assert_eq!(&answer[..], sender.node.0);
    let seen = host.handler.seen.lock().unwrap()[0].0;
    assert_eq!(seen.node, sender.node);
    assert_eq!(rowmesh_core::ident::NodeId::of_public_key(&seen.public_key), sender.node);
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const PROTOCOL_VERSION: u8 = 70;

/// Kind of the first record, and the alert that it carries if it is one.
async fn answer_to(host: &Host, hello: &[u8]) -> (u8, u8) {
    let mut tcp = TcpStream::connect(host.address()).await.unwrap();
    write(&mut tcp, hello).await;
    let mut record = [0; 7];
    timeout(FOREVER, tcp.read_exact(&mut record)).await.unwrap().unwrap();
    (record[0], record[6])
}

/// A ClientHello (RFC 8446, 4.1.2) that names these versions, or none, as clients before TLS 1.3 did.
fn client_hello(versions: &[u16]) -> Vec<u8> {
    let mut extensions = Vec::new();
    let mut extend = |kind: u16, body: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend((body.len() as u16).to_be_bytes());
        extensions.extend(body);
    };
    extend(10, &[0, 2, 0, 0x1d]);
    extend(13, &[0, 4, 8, 7, 4, 3]);
    extend(16, &[&[0, 10, 9], ALPN].concat());
    if !versions.is_empty() {
        let list: Vec<u8> = versions.iter().flat_map(|version| version.to_be_bytes()).collect();
        extend(43, &[&[list.len() as u8], &list[..]].concat());
        // No key share yet: a server that goes along asks for one.
        extend(51, &[0, 0]);
    }
    assert_eq!(u16::from(NamedGroup::X25519), 0x1d);

    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend([0, 6, 0x13, 0x01, 0xc0, 0x2b, 0xc0, 0x2f]);
    hello.extend([1, 0]);
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let mut record = vec![HANDSHAKE, 3, 1];
    record.extend((hello.len() as u16 + 4).to_be_bytes());
    record.push(1);
    record.extend(&(hello.len() as u32).to_be_bytes()[1..]);
    record.extend(hello);
    record
}

/// Counts what a client that wants to resume is given.
#[derive(Debug, Default)]
struct TicketBox {
    asked: AtomicUsize,
    received: AtomicUsize,
}

impl ClientSessionStore for TicketBox {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        None
    }
}
