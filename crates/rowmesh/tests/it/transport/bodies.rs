//! A body is whole or an error: every way in which one can be cut short, in both directions.

use std::time::Duration;

use rowmesh::transport::{ALPN, BodyError, ClientLimits, OutgoingBody, RequestFault, connect};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::raw::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Identity, PREFACE, RST_STREAM, SETTINGS, STATUS_200, connect_as,
    frame, post_headers, relay, server_config, tls_server, write,
};
use super::{FOREVER, Host, key};

#[tokio::test]
async fn bodies_of_all_sizes_come_back_as_they_went() {
    let host = Host::start().await;
    let connection = host.dial(&key()).await;
    for size in [0, 1, 16 << 10, (16 << 10) + 1, 1 << 20, 7 << 20] {
        let body: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let response = connection.request("/echo", body.clone()).await.unwrap();
        assert_eq!(response.status, 200);
        assert!(response.body == body, "{size} bytes");
    }
}

#[tokio::test]
async fn streams_in_both_directions_arrive_in_order_and_complete() {
    let host = Host::start().await;
    let connection = host.dial(&key()).await;
    let mut stream = connection.request_streaming("/stream", "").await.unwrap();
    let mut all = Vec::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        all.extend_from_slice(&chunk);
    }
    assert_eq!(all, [vec![0; 1_000], vec![1; 1_000], vec![2; 1_000]].concat());

    let (sender, body) = OutgoingBody::stream(1);
    let producer = tokio::spawn(async move {
        for n in 0..100_u8 {
            sender.send(vec![n; 50_000]).await?;
        }
        sender.finish().await
    });
    let echoed = connection.request_streaming("/echo", body).await.unwrap().whole(8 << 20).await.unwrap();
    assert_eq!(echoed.len(), 5_000_000);
    assert!(echoed.chunks(50_000).enumerate().all(|(n, chunk)| chunk.iter().all(|byte| usize::from(*byte) == n)));
    producer.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_larger_than_allowed_is_refused_at_the_limit_and_not_below() {
    let host = Host::start().await;
    let connection = host.dial(&key()).await;
    assert_eq!(connection.request("/small", vec![0; 1_000]).await.unwrap().status, 200);
    assert_eq!(connection.request("/small", vec![0; 1_001]).await.unwrap().status, 413);

    let (sender, body) = OutgoingBody::stream(1);
    tokio::spawn(async move { while sender.send(vec![0; 1_000]).await.is_ok() {} });
    assert_eq!(connection.request_streaming("/small", body).await.unwrap().status(), 413);

    for (bytes_max, fits) in [(3_000, true), (2_999, false)] {
        let whole = connection.request_streaming("/stream", "").await.unwrap().whole(bytes_max).await;
        assert_eq!(whole.is_ok(), fits, "{whole:?}");
    }
    let limits = ClientLimits { response_bytes_max: (8 << 20) - 1, ..ClientLimits::default() };
    let strict = connect(&key(), host.id(), &host.addresses(), &limits).await.unwrap();
    let error = strict.request("/big", "").await.unwrap_err();
    assert!(matches!(error.fault, RequestFault::Body(BodyError::TooLarge { .. })), "{error:?}");
    assert_eq!(strict.request("/whoami", "").await.unwrap().status, 200, "the connection lives on");
}

#[tokio::test]
async fn a_request_larger_than_the_server_takes_is_cut_there() {
    let limits = rowmesh::transport::ServerLimits { body_bytes_max: 10_000, ..Default::default() };
    let host = Host::with(limits).await;
    let connection = host.dial(&key()).await;
    assert_eq!(connection.request("/slurp", vec![0; 10_000]).await.unwrap().status, 200);
    assert_eq!(connection.request("/slurp", vec![0; 10_001]).await.unwrap().status, 200);
    let slurped = host.handler.slurped.lock().unwrap();
    assert_eq!(slurped[0], Ok(10_000));
    assert_eq!(slurped[1], Err("the body is larger than 10000 bytes".into()));
}

#[tokio::test]
async fn a_refusal_arrives_although_the_request_was_not_read() {
    let host = Host::start().await;
    let from = key();
    host.handler.refused.lock().unwrap().insert(from.node_id());
    let connection = host.dial(&from).await;
    for _ in 0..20 {
        let response = connection.request("/echo", vec![0; 8 << 20]).await.unwrap();
        assert_eq!((response.status, &response.body[..]), (403, &b"RM-unknown-peer"[..]));
        let (sender, body) = OutgoingBody::stream(1);
        tokio::spawn(async move { while sender.send(vec![0; 100_000]).await.is_ok() {} });
        let response = connection.request_streaming("/echo", body).await.unwrap();
        assert_eq!(response.status(), 403);
        assert_eq!(&response.whole(100).await.unwrap()[..], b"RM-unknown-peer");
    }
}

#[tokio::test]
async fn j3_a_producer_that_gives_up_or_panics_is_an_error_for_the_reader() {
    let host = Host::start().await;
    let connection = host.dial(&key()).await;
    let error = connection.request_streaming("/abandoned", "").await.unwrap().whole(10_000).await.unwrap_err();
    assert!(matches!(error, BodyError::Cut { .. }), "{error:?}");
    let error = connection.request("/panic", "").await.unwrap_err();
    assert!(matches!(error.fault, RequestFault::Lost(_)), "{error:?}");

    let (sender, body) = OutgoingBody::stream(1);
    tokio::spawn(async move {
        sender.send("half of it").await.unwrap();
        drop(sender);
    });
    assert!(connection.request_streaming("/slurp", body).await.is_err());
    timeout(FOREVER, host.handler.slurp_ended.notified()).await.unwrap();
    let slurped = host.handler.slurped.lock().unwrap().remove(0);
    assert!(slurped.unwrap_err().starts_with("the body was cut off"));
}

#[tokio::test]
async fn j3_after_an_error_reading_on_is_an_error_again() {
    let host = Host::start().await;
    let connection = host.dial(&key()).await;
    let mut stream = connection.request_streaming("/abandoned", "").await.unwrap();
    while let Ok(chunk) = stream.chunk().await {
        assert!(chunk.is_some(), "an abandoned body has no end");
    }
    assert!(matches!(stream.chunk().await, Err(BodyError::AlreadyFailed)));
}

#[tokio::test]
async fn j3_a_connection_cut_anywhere_never_gives_a_short_answer() {
    let host = Host::start().await;
    let body: Vec<u8> = (0..3_000).map(|n| (n % 251) as u8).collect();
    let (mut failed, mut succeeded) = (0, 0);
    for bytes_max in (0..).map(|n| n * 97) {
        let relay = relay(host.address(), bytes_max).await;
        let answer = async {
            let connection = connect(&key(), host.id(), &[relay.to_string()], &ClientLimits::default()).await.ok()?;
            let whole = connection.request("/echo", body.clone()).await.ok()?;
            let mut stream = connection.request_streaming("/stream", "").await.ok()?;
            let mut streamed = Vec::new();
            while let Some(chunk) = stream.chunk().await.ok()? {
                streamed.extend_from_slice(&chunk);
            }
            Some((whole.body, streamed))
        };
        match timeout(FOREVER, answer).await.unwrap() {
            None => failed += 1,
            Some((whole, streamed)) => {
                assert!(whole == body && streamed.len() == 3_000, "cut after {bytes_max} bytes");
                succeeded += 1;
            }
        }
        if succeeded == 3 {
            break;
        }
    }
    assert!(failed > 60, "only {failed} cuts hurt: the relay did not cut");
}

/// What a raw server sends after the headers and the first part of an answer.
async fn check_cut_answer(ending: Vec<u8>, goes_away: bool) {
    let identity = Identity::ed25519();
    let act = move |stream| cut_answer(stream, ending.clone(), goes_away);
    let address = tls_server(server_config(&identity, &[ALPN]), act).await;
    let limits = ClientLimits::default();
    let connection = connect(&key(), identity.node, &[address.to_string()], &limits).await.unwrap();
    let mut stream = timeout(FOREVER, connection.request_streaming("/any", "")).await.unwrap().unwrap();
    assert_eq!(stream.chunk().await.unwrap().as_deref(), Some(&b"first part"[..]));
    let error = timeout(FOREVER, stream.chunk()).await.unwrap().unwrap_err();
    assert!(matches!(error, BodyError::Cut { bytes_seen: 10, .. }), "{error:?}");
}

async fn cut_answer(mut stream: TlsStream<TcpStream>, ending: Vec<u8>, goes_away: bool) {
    let mut sink = [0; 4_096];
    // The client's first flight, up to and including its request: its headers are the last to come.
    let mut seen = Vec::new();
    while !has_request(&seen) {
        let bytes = stream.read(&mut sink).await.unwrap();
        seen.extend_from_slice(&sink[..bytes]);
    }
    write(&mut stream, &frame(SETTINGS, 0, 0, &[])).await;
    write(&mut stream, &frame(HEADERS, END_HEADERS, 1, STATUS_200)).await;
    write(&mut stream, &frame(DATA, 0, 1, b"first part")).await;
    write(&mut stream, &ending).await;
    if !goes_away {
        while stream.read(&mut sink).await.is_ok_and(|bytes| bytes > 0) {}
    }
}

/// Whether a whole HEADERS frame has come.
fn has_request(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(PREFACE) else { return false };
    while let [a, b, c, kind, _, _, _, _, _, payload @ ..] = rest {
        let len = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        if payload.len() < len {
            return false;
        }
        if *kind == HEADERS {
            return true;
        }
        rest = &payload[len..];
    }
    false
}

#[tokio::test]
async fn j3_an_answer_reset_with_any_code_is_cut_and_not_complete() {
    for code in 0..14_u32 {
        check_cut_answer(frame(RST_STREAM, 0, 1, &code.to_be_bytes()), false).await;
    }
}

#[tokio::test]
async fn j3_an_answer_whose_connection_ends_is_cut_and_not_complete() {
    check_cut_answer(Vec::new(), true).await;
    check_cut_answer(frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]), true).await;
    // A frame that says to be longer than what comes.
    check_cut_answer(vec![0, 0, 100, DATA, END_STREAM, 0, 0, 0, 1, b'x'], true).await;
}

#[tokio::test]
async fn j3_an_answer_shorter_or_longer_than_it_says_is_an_error() {
    for says in ["9", "11"] {
        let identity = Identity::ed25519();
        let act = move |mut stream: TlsStream<TcpStream>| async move {
            let mut sink = [0; 4_096];
            let mut seen = Vec::new();
            while !has_request(&seen) {
                let bytes = stream.read(&mut sink).await.unwrap();
                seen.extend_from_slice(&sink[..bytes]);
            }
            // content-length is number 28 of HPACK's static table, as a literal without indexing.
            let headers = [STATUS_200, &[0x0f, 28 - 15, says.len() as u8], says.as_bytes()].concat();
            write(&mut stream, &frame(SETTINGS, 0, 0, &[])).await;
            write(&mut stream, &frame(HEADERS, END_HEADERS, 1, &headers)).await;
            write(&mut stream, &frame(DATA, END_STREAM, 1, b"ten bytes.")).await;
            while stream.read(&mut sink).await.is_ok_and(|bytes| bytes > 0) {}
        };
        let address = tls_server(server_config(&identity, &[ALPN]), act).await;
        let limits = ClientLimits::default();
        let connection = connect(&key(), identity.node, &[address.to_string()], &limits).await.unwrap();
        let error = timeout(FOREVER, connection.request("/any", "")).await.unwrap().unwrap_err();
        assert!(matches!(error.fault, RequestFault::Body(BodyError::Cut { .. })), "{says}: {error:?}");
    }
}

#[tokio::test]
async fn j3_a_request_cut_in_its_body_is_an_error_for_the_handler() {
    let resets = (0..14_u32).map(|code| Some(frame(RST_STREAM, 0, 1, &code.to_be_bytes())));
    for ending in resets.chain([None]) {
        let host = Host::start().await;
        let mut stream = connect_as(&Identity::ed25519(), host.address()).await.unwrap();
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        bytes.extend(frame(HEADERS, END_HEADERS, 1, &post_headers("/slurp")));
        bytes.extend(frame(DATA, 0, 1, b"first part"));
        write(&mut stream, &bytes).await;
        if let Some(reset) = &ending {
            write(&mut stream, reset).await;
        } else {
            drop(stream);
        }
        // A handler whose peer is gone may be dropped before it sees the error; it must not see an end.
        let ended = timeout(Duration::from_millis(200), host.handler.slurp_ended.notified()).await;
        if ended.is_ok() {
            let slurped = host.handler.slurped.lock().unwrap().remove(0);
            assert!(slurped.clone().is_err_and(|error| error.starts_with("the body was cut off")), "{slurped:?}");
        }
    }
}
