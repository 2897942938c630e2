//! Listens for other nodes. Bounds how many may connect, how long each phase may take and how slowly bytes may move; proves
//! who is there; hands each request to the [`Handler`] and its answer back. Decides nothing about what a node may ask for.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rowmesh_core::ident::NodeId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use super::body::{IncomingBody, OutgoingBody, WireBody, lock};
use super::lanes::{Group, Lane, Place};
use super::limits::{
    CONNECTION_WINDOW_BYTES, HEADERS_BYTES_MAX, SEND_BUFFER_BYTES_MAX, STRANGER_WINDOW_BYTES, STREAM_WINDOW_BYTES,
    ServerLimits,
};
use super::tls::{Session, SessionFault, server_config};
use super::watch::{ConnectionWatch, Verdict, Watched};
use crate::identity::NodeKey;

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Asked for every request of every peer that has proved its key, also of one that nobody knows:
    /// refusing it, with a status and a reason, is the handler's part. Dropped in the middle when the peer goes away.
    fn handle(&self, request: IncomingRequest) -> impl Future<Output = OutgoingResponse> + Send;

    /// Whether a node belongs to us, asked once per connection. It gives no rights: it decides only which bounds hold and
    /// whose connections give way first when there are too many. Must not wait for anything.
    fn knows(&self, node: NodeId) -> bool {
        let _ = node;
        true
    }
}

/// A request and who really sent it.
#[derive(Debug)]
pub struct IncomingRequest {
    /// The other end, as TLS has proved it: an id in the body proves nothing and must be compared with this one.
    pub peer: PeerInfo,
    /// The path, without a query.
    pub path: String,
    /// What came with it.
    pub body: IncomingBody,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct PeerInfo {
    /// Its name.
    pub node: NodeId,
    /// The key that the name is made from.
    pub public_key: [u8; 32],
    /// Where its packets come from.
    pub address: SocketAddr,
    /// Equal at both ends of this connection and known to nobody else: binds what is said to where it is said.
    pub exporter: [u8; 32],
}

/// An answer.
#[derive(Debug)]
pub struct OutgoingResponse {
    /// HTTP status, 200 to 599.
    pub status: u16,
    /// What goes with it.
    pub body: OutgoingBody,
}

impl OutgoingResponse {
    /// An answer whose body is all there.
    pub fn new(status: u16, body: impl Into<OutgoingBody>) -> OutgoingResponse {
        OutgoingResponse { status, body: body.into() }
    }
}

/// A listening server. Dropping it cuts all connections; [`Server::shutdown`] is kinder.
#[derive(Debug)]
pub struct Server {
    local_address: SocketAddr,
    lanes: Lanes,
    stop: watch::Sender<Option<Duration>>,
    accepting: JoinHandle<()>,
}

/// Connections at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// That have not finished their handshake.
    pub handshakes: usize,
    /// Of nodes that the handler did not know when they came.
    pub strangers: usize,
    /// Of nodes that the handler knew.
    pub members: usize,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address}")]
pub struct BindError {
    /// As it was given.
    pub address: String,
    /// What the system answered.
    pub source: io::Error,
}

impl Server {
    /// Listens on `address` (`host:port`, port 0 for any) and serves from then on.
    ///
    /// # Errors
    /// If the address is none, is not of this machine, or is taken.
    pub async fn bind(
        address: &str,
        key: &Arc<NodeKey>,
        handler: Arc<impl Handler>,
        limits: ServerLimits,
    ) -> Result<Server, BindError> {
        let failed = |source| BindError { address: address.into(), source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local_address = listener.local_addr().map_err(failed)?;
        let lanes = Lanes {
            handshakes: Lane::new(limits.handshakes_max, usize::MAX),
            strangers: Lane::new(limits.strangers_max, usize::MAX),
            members: Lane::new(limits.members_max, limits.connections_per_member_max),
        };
        let (stop, stopping) = watch::channel(None);
        let door = Door { tls: TlsAcceptor::from(server_config(key)), handler, limits, lanes: lanes.clone(), stopping };
        let accepting = tokio::spawn(accept(listener, Arc::new(door)));
        Ok(Server { local_address, lanes, stop, accepting })
    }

    /// Where it really listens.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// How many are connected.
    pub fn load(&self) -> Load {
        Load {
            handshakes: self.lanes.handshakes.len(),
            strangers: self.lanes.strangers.len(),
            members: self.lanes.members.len(),
        }
    }

    /// Cuts every connection of a node at once, whatever is in progress: for one that has been revoked.
    pub fn disconnect(&self, node: NodeId) {
        self.lanes.strangers.show_out(node);
        self.lanes.members.show_out(node);
    }

    /// Takes no more connections and requests, lets those in progress end for as long as `grace`, then cuts them.
    pub async fn shutdown(mut self, grace: Duration) {
        self.stop.send_replace(Some(grace));
        if let Err(panicked) = (&mut self.accepting).await {
            warn!(%panicked, "the accept loop had failed");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[derive(Clone, Debug)]
struct Lanes {
    handshakes: Arc<Lane>,
    strangers: Arc<Lane>,
    members: Arc<Lane>,
}

/// What every connection needs.
struct Door<H> {
    tls: TlsAcceptor,
    handler: Arc<H>,
    limits: ServerLimits,
    lanes: Lanes,
    stopping: watch::Receiver<Option<Duration>>,
}

async fn accept<H: Handler>(listener: TcpListener, door: Arc<Door<H>>) {
    let mut stopping = door.stopping.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopping.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((tcp, address)) => {
                    let place = door.lanes.handshakes.enter(Group::of_address(address.ip()), None);
                    connections.spawn(welcome(door.clone(), tcp, address, place));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: turning in circles would not bring any back.
                    warn!(error = &error as &dyn std::error::Error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    let grace = stopping.borrow().unwrap_or_default();
    let _ = timeout(grace, async { while connections.join_next().await.is_some() {} }).await;
    connections.shutdown().await;
}

/// One connection, from the handshake to its end.
async fn welcome<H: Handler>(door: Arc<Door<H>>, tcp: TcpStream, address: SocketAddr, mut place: Place) {
    let handshake = timeout(door.limits.handshake, shake_hands(&door.tls, tcp));
    let (stream, session) = tokio::select! {
        done = handshake => match done {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => return debug!(%address, error = &error as &dyn std::error::Error, "handshake failed"),
            Err(_) => return debug!(%address, "handshake timed out"),
        },
        () = place.shown_out() => return debug!(%address, "handshake gave way to newer ones"),
    };
    drop(place);

    let is_known = door.handler.knows(session.node);
    let mut place = if is_known {
        door.lanes.members.enter(Group::Node(session.node), Some(session.node))
    } else {
        door.lanes.strangers.enter(Group::of_address(address.ip()), Some(session.node))
    };
    let Session { node, public_key, exporter } = session;
    let peer = PeerInfo { node, public_key, address, exporter };
    tokio::select! {
        () = serve(&door, stream, peer, is_known) => {}
        () = place.shown_out() => debug!(%address, ?node, "connection shown out"),
    }
}

#[derive(Debug, thiserror::Error)]
enum HandshakeError {
    #[error("tls")]
    Tls(#[from] io::Error),
    #[error("session")]
    Session(#[from] SessionFault),
}

async fn shake_hands(
    tls: &TlsAcceptor,
    tcp: TcpStream,
) -> Result<(Box<TlsStream<TcpStream>>, Session), HandshakeError> {
    tcp.set_nodelay(true)?;
    let stream = Box::new(tls.accept(tcp).await?);
    let session = Session::of_server(stream.get_ref().1)?;
    Ok((stream, session))
}

async fn serve<H: Handler>(door: &Door<H>, stream: Box<TlsStream<TcpStream>>, peer: PeerInfo, is_known: bool) {
    let watch = ConnectionWatch::new(&door.limits);
    // Dropped on every way out, and with it what the connection's requests were doing.
    let requests = Arc::new(Mutex::new(JoinSet::new()));
    let service = service_fn(|request| {
        let answer = answer(door.handler.clone(), watch.clone(), peer, request, door.limits.clone());
        async { Ok::<_, Infallible>(answer.await) }
    });
    let io = TokioIo::new(Watched::new(stream, watch.clone()));
    let executor = RequestTasks(Arc::downgrade(&requests));
    let mut connection = pin!(http2_settings(&door.limits, is_known, executor).serve_connection(io, service));
    let mut stopping = door.stopping.clone();
    let mut ticks = interval(watch.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closes_at = None;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(peer = ?peer.node, error = &error as &dyn std::error::Error, "connection ended");
                }
                return;
            }
            _ = stopping.changed(), if stopping.has_changed().is_ok() => connection.as_mut().graceful_shutdown(),
            _ = ticks.tick() => {
                let now = Instant::now();
                match watch.verdict(now) {
                    Verdict::Fine => closes_at = None,
                    Verdict::Idle => {
                        if closes_at.is_none() {
                            connection.as_mut().graceful_shutdown();
                        }
                        if now >= *closes_at.get_or_insert(now + door.limits.header) {
                            return;
                        }
                    }
                    stuck => return debug!(peer = ?peer.node, ?stuck, "connection cut"),
                }
            }
        }
    }
}

fn http2_settings(limits: &ServerLimits, is_known: bool, tasks: RequestTasks) -> http2::Builder<RequestTasks> {
    let (stream_window, connection_window) = if is_known {
        (STREAM_WINDOW_BYTES, CONNECTION_WINDOW_BYTES)
    } else {
        (STRANGER_WINDOW_BYTES, STRANGER_WINDOW_BYTES)
    };
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(stream_window)
        .initial_connection_window_size(connection_window)
        .max_concurrent_streams(limits.requests_per_connection_max)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX);
    builder
}

async fn answer<H: Handler>(
    handler: Arc<H>,
    watch: Arc<ConnectionWatch>,
    peer: PeerInfo,
    request: Request<Incoming>,
    limits: ServerLimits,
) -> Response<WireBody> {
    let in_progress = watch.request();
    let OutgoingResponse { status, body } = if request.method() != Method::POST {
        OutgoingResponse::new(405, "only POST is spoken here")
    } else if request.uri().query().is_some() {
        OutgoingResponse::new(400, "a path has no query here")
    } else {
        let path = request.uri().path().to_owned();
        let body = IncomingBody::new(request.into_body(), limits.pace, limits.body_bytes_max);
        handler.handle(IncomingRequest { peer, path, body }).await
    };
    let mut response = Response::new(WireBody::new(body, in_progress.sending(), Some(in_progress)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// Where hyper puts the requests of one connection, so that they end with it and not at their own leisure.
#[derive(Clone)]
struct RequestTasks(Weak<Mutex<JoinSet<()>>>);

impl<F> hyper::rt::Executor<F> for RequestTasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, request: F) {
        let Some(tasks) = self.0.upgrade() else { return };
        let mut tasks = lock(&tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            request.await;
        });
    }
}
