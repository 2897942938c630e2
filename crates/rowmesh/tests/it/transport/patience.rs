//! Peers that sit still, in every phase of a connection: they are shown out in time, and nobody waits for them.

use std::collections::VecDeque;
use std::time::Duration;

use rowmesh::transport::{PaceRule, ServerLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::raw::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Identity, PREFACE, SETTINGS, closes_within, connect_as, frame,
    post_headers, write,
};
use super::{FOREVER, Host, key};

/// As many as fit with their other ends into a process that may open 1,024 files.
const MANY: usize = 200;
/// Where each holds a response of 8 MiB.
const FEW: usize = 20;

fn impatient() -> ServerLimits {
    ServerLimits {
        handshake: Duration::from_secs(1),
        header: Duration::from_secs(1),
        idle: Duration::from_millis(1_500),
        pace: PaceRule { window: Duration::from_millis(500), bytes_per_second_min: 10_000 },
        ..ServerLimits::default()
    }
}

/// So that it is the header time-out alone that closes.
fn impatient_but_for_idleness() -> ServerLimits {
    ServerLimits { idle: FOREVER * 10, ..impatient() }
}

/// Opens many connections that stop at one point, serves a good peer meanwhile, and sees them all closed.
async fn check<F, S>(limits: ServerLimits, many: usize, open: impl Fn(std::net::SocketAddr) -> F) -> Host
where
    F: Future<Output = S>,
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let host = Host::with(limits).await;
    let good = host.dial(&key()).await;
    let mut stuck = Vec::new();
    for _ in 0..many {
        stuck.push(open(host.address()).await);
        let served = timeout(FOREVER, good.request("/echo", vec![1; 10_000])).await.unwrap().unwrap();
        assert_eq!(served.body.len(), 10_000);
    }
    let newcomer = host.dial(&key()).await;
    assert_eq!(newcomer.request("/whoami", "").await.unwrap().status, 200);
    drop((good, newcomer));
    for stream in &mut stuck {
        assert!(closes_within(stream, FOREVER).await, "a stuck connection stays");
    }
    let all_gone = async {
        while host.server.load() != Default::default() {
            tokio::task::yield_now().await;
        }
    };
    timeout(FOREVER, all_gone).await.unwrap();
    host
}

#[tokio::test]
async fn j5_s15_silent_before_tls() {
    let host = check(impatient(), MANY, |address| async move { TcpStream::connect(address).await.unwrap() }).await;
    assert_eq!(host.requests_seen(), MANY + 1);
}

#[tokio::test]
async fn j5_s15_silent_in_the_middle_of_the_client_hello() {
    check(impatient(), MANY, |address| async move {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        write(&mut tcp, &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await;
        tcp
    })
    .await;
}

#[tokio::test]
async fn j5_silent_after_the_handshake() {
    check(impatient_but_for_idleness(), MANY, |address| async move {
        connect_as(&Identity::ed25519(), address).await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn j5_silent_in_the_preface() {
    check(impatient_but_for_idleness(), MANY, |address| begun(address, PREFACE[..10].to_vec())).await;
}

#[tokio::test]
async fn j5_silent_in_the_headers() {
    let headers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &post_headers("/whoami"));
    let cut = opening(&headers[..headers.len() - 3]);
    let host = check(impatient_but_for_idleness(), MANY, move |address| begun(address, cut.clone())).await;
    assert_eq!(host.requests_seen(), MANY + 1);

    let never_ended = opening(&frame(HEADERS, END_STREAM, 1, &post_headers("/whoami")));
    let host = check(impatient_but_for_idleness(), MANY, move |address| begun(address, never_ended.clone())).await;
    assert_eq!(host.requests_seen(), MANY + 1);
}

#[tokio::test]
async fn j5_silent_in_the_body() {
    let mut bytes = opening(&frame(HEADERS, END_HEADERS, 1, &post_headers("/slurp")));
    bytes.extend(frame(DATA, 0, 1, b"a little"));
    let host = check(impatient(), MANY, move |address| begun(address, bytes.clone())).await;
    let slurped = host.handler.slurped.lock().unwrap();
    assert_eq!(slurped.len(), MANY);
    for result in &*slurped {
        assert!(result.clone().is_err_and(|error| error.starts_with("the body arrived too slowly")), "{result:?}");
    }
}

#[tokio::test]
async fn j5_does_not_read_the_response() {
    // INITIAL_WINDOW_SIZE 0: nothing of the response may be sent.
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
    bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &post_headers("/big")));
    check(impatient(), FEW, move |address| begun(address, bytes.clone())).await;
}

#[tokio::test]
async fn j5_does_not_read_from_the_socket() {
    // All windows wide open, so that it is TCP that backs up: the answer of 8 MiB is more than the kernel takes.
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])].concat();
    bytes.extend(frame(8, 0, 0, &[0x7f, 0, 0, 0]));
    for stream in [1, 3, 5] {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &post_headers("/big")));
    }
    check(impatient(), FEW, move |address| begun(address, bytes.clone())).await;
}

#[tokio::test]
async fn j5_idle_after_a_request() {
    let bytes = opening(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &post_headers("/whoami")));
    let host = check(impatient(), MANY, move |address| begun(address, bytes.clone())).await;
    assert_eq!(host.requests_seen(), 2 * MANY + 1);
}

#[tokio::test]
async fn j5_a_body_that_trickles_is_given_up_and_one_at_the_minimum_pace_is_not() {
    for (chunk, fast_enough) in [(10, false), (1_000, true)] {
        let host = Host::with(impatient()).await;
        let mut stream = connect_as(&Identity::ed25519(), host.address()).await.unwrap();
        write(&mut stream, &opening(&frame(HEADERS, END_HEADERS, 1, &post_headers("/slurp")))).await;
        let trickle = async {
            for _ in 0..100 {
                if stream.write_all(&frame(DATA, 0, 1, &vec![0; chunk])).await.is_err() {
                    break;
                }
                stream.flush().await.unwrap();
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            let _ = stream.write_all(&frame(DATA, END_STREAM, 1, &[])).await;
            let _ = stream.flush().await;
        };
        let ended = host.handler.slurp_ended.notified();
        let ((), ended) = tokio::join!(trickle, timeout(FOREVER, ended));
        ended.unwrap();
        let slurped = host.handler.slurped.lock().unwrap().remove(0);
        assert_eq!(slurped.is_ok(), fast_enough, "{slurped:?}");
    }
}

#[tokio::test]
async fn a_request_that_the_handler_holds_back_is_not_idle() {
    let host = Host::with(impatient()).await;
    let connection = host.dial(&key()).await;
    let held = connection.request_within("/hold", "", FOREVER);
    let later = async {
        tokio::time::sleep(2 * impatient().idle).await;
        host.handler.release.notify_one();
    };
    let (held, ()) = tokio::join!(held, later);
    assert_eq!(&held.unwrap().body[..], b"released");
}

#[tokio::test]
async fn s15_thousands_of_half_open_handshakes_take_a_bounded_number_of_places_and_shut_nobody_out() {
    // No time-out comes to help: the bound alone must do.
    let limits = ServerLimits { handshake: FOREVER * 10, handshakes_max: 16, ..ServerLimits::default() };
    let host = Host::with(limits).await;
    let mut half_open = VecDeque::new();
    for n in 0..2_000 {
        half_open.push_back(TcpStream::connect(host.address()).await.unwrap());
        if half_open.len() > 100 {
            half_open.pop_front();
        }
        if n % 100 == 0 {
            let good = host.dial(&key()).await;
            assert_eq!(good.request("/whoami", "").await.unwrap().status, 200);
        }
        assert!(host.server.load().handshakes <= 16);
    }
}

#[tokio::test]
async fn j5_strangers_in_any_number_do_not_shut_members_out() {
    let limits = ServerLimits { strangers_max: 8, members_max: 4, ..ServerLimits::default() };
    let host = Host::with(limits).await;
    let member = host.dial(&key()).await;
    let mut strangers = Vec::new();
    for _ in 0..40 {
        let stranger = key();
        host.handler.strangers.lock().unwrap().insert(stranger.node_id());
        strangers.push(host.dial(&stranger).await);
        assert!(host.server.load().strangers <= 8);
    }
    assert_eq!(member.request("/whoami", "").await.unwrap().status, 200);
    let newest = strangers.last().unwrap();
    assert_eq!(newest.request("/whoami", "").await.unwrap().status, 200);
    assert!(strangers[0].request("/whoami", "").await.is_err());
}

/// A connection with these bytes sent over it.
async fn begun(address: std::net::SocketAddr, bytes: Vec<u8>) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut stream = connect_as(&Identity::ed25519(), address).await.unwrap();
    write(&mut stream, &bytes).await;
    stream
}

fn opening(rest: &[u8]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[]), rest].concat()
}
