//! A connection to one node: requests over it, several at once, and their answers. How the node is found is `dial`; what is
//! asked and whether it is asked again is the caller's part.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rowmesh_core::ident::NodeId;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::client::TlsStream;
use tracing::debug;

use super::body::{BodyError, IncomingBody, OutgoingBody, Sending, SharedSending, WireBody, lock};
use super::limits::{
    CONNECTION_WINDOW_BYTES, ClientLimits, HEADERS_BYTES_MAX, PaceRule, SEND_BUFFER_BYTES_MAX, STREAM_WINDOW_BYTES,
};
use super::tls::Session;

/// An open connection. Requests may be made from many tasks at once. It closes when it and all streams of its responses are
/// dropped.
pub struct Connection {
    sender: SendRequest<WireBody>,
    session: Session,
    peer_address: SocketAddr,
    local_address: SocketAddr,
    limits: ClientLimits,
    driver: Arc<Driver>,
}

/// An answer that is all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// What came with it.
    pub body: Bytes,
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct ResponseStream {
    status: u16,
    body: IncomingBody,
    _driver: Arc<Driver>,
}

/// The node answered, and not with what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node answers with status {status}")]
pub struct Refusal {
    /// HTTP status, not 2xx.
    pub status: u16,
    /// What came with it.
    pub body: Bytes,
}

/// A request got no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
#[error("request {path} to {}", peer.short())]
pub struct RequestError {
    /// Who was asked.
    pub peer: NodeId,
    /// For what.
    pub path: String,
    /// What went wrong.
    #[source]
    pub fault: RequestFault,
}

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum RequestFault {
    /// The path is none: a mistake of the caller.
    #[error("not a path")]
    BadPath(#[source] hyper::http::Error),
    /// The connection was closed or lost before the answer began. The node may or may not have acted on the request.
    #[error("the connection was lost")]
    Lost(#[source] hyper::Error),
    /// The answer did not begin in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The node does not take the request's body.
    #[error("the node took the request too slowly: less than {} bytes per second over {:?}", .0.bytes_per_second_min, .0.window)]
    TakenTooSlowly(PaceRule),
    /// The answer did not come whole.
    #[error("answer")]
    Body(#[source] BodyError),
}

impl Connection {
    /// Begins HTTP/2 on a stream whose handshake has proved the node.
    pub(super) async fn over(
        stream: Box<TlsStream<TcpStream>>,
        session: Session,
        peer_address: SocketAddr,
        limits: &ClientLimits,
    ) -> io::Result<Connection> {
        let local_address = stream.get_ref().0.local_addr()?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEADERS_BYTES_MAX)
            .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
            .keep_alive_interval(limits.keep_alive)
            .keep_alive_timeout(limits.keep_alive_answer);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let peer = session.node;
        let driving = tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(?peer, error = &error as &dyn std::error::Error, "connection ended");
            }
        });
        let driver = Arc::new(Driver(driving.abort_handle()));
        Ok(Connection { sender, session, peer_address, local_address, limits: limits.clone(), driver })
    }

    /// Asks for something and takes the whole answer, waiting `limits.answer` for it to begin.
    ///
    /// # Errors
    /// See [`RequestFault`]; a status other than 200 is an answer, not an error.
    pub async fn request(&self, path: &str, body: impl Into<Bytes>) -> Result<Response, RequestError> {
        self.request_within(path, body, self.limits.answer).await
    }

    /// The same with a wait of its own, for a request that the node is meant to hold back for a while. The wait counts from
    /// the last byte of the request to the first of the answer; the bodies themselves are held to the minimum pace instead,
    /// so that a slow link may take as long as it needs.
    ///
    /// # Errors
    /// See [`RequestFault`].
    pub async fn request_within(
        &self,
        path: &str,
        body: impl Into<Bytes>,
        answer: Duration,
    ) -> Result<Response, RequestError> {
        let body = OutgoingBody::Whole(body.into());
        let stream = self.ask(path, body, answer).await.map_err(|fault| self.error(path, fault))?;
        let status = stream.status;
        let body = stream.body.whole(self.limits.response_bytes_max).await;
        let body = body.map_err(|fault| self.error(path, RequestFault::Body(fault)))?;
        Ok(Response { status, body })
    }

    /// Asks for something and leaves the answer's body to be read bit by bit; the request's body may be a stream too.
    ///
    /// # Errors
    /// See [`RequestFault`].
    pub async fn request_streaming(
        &self,
        path: &str,
        body: impl Into<OutgoingBody>,
    ) -> Result<ResponseStream, RequestError> {
        self.ask(path, body.into(), self.limits.answer).await.map_err(|fault| self.error(path, fault))
    }

    /// Who is at the other end.
    pub fn peer(&self) -> NodeId {
        self.session.node
    }

    /// The key that its name is made from.
    pub fn peer_public_key(&self) -> [u8; 32] {
        self.session.public_key
    }

    /// The address that it was reached at.
    pub fn peer_address(&self) -> SocketAddr {
        self.peer_address
    }

    /// Our own address on the way there.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Equal at both ends of this connection and known to nobody else: binds what is said to where it is said.
    pub fn exporter(&self) -> [u8; 32] {
        self.session.exporter
    }

    /// Whether no further request can be made over it.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    async fn ask(&self, path: &str, body: OutgoingBody, answer: Duration) -> Result<ResponseStream, RequestFault> {
        let uri = Uri::builder().scheme("https").authority("rowmesh").path_and_query(path).build();
        let sending = Sending::new(self.limits.pace);
        let body = WireBody::new(body, sending.clone(), None);
        let request = Request::post(uri.map_err(RequestFault::BadPath)?).body(body).map_err(RequestFault::BadPath)?;
        let response = self.sender.clone().send_request(request);
        let response = tokio::select! {
            response = response => response.map_err(RequestFault::Lost)?,
            fault = self.out_of_patience(&sending, answer) => return Err(fault),
        };
        let status = response.status().as_u16();
        let body = IncomingBody::new(response.into_body(), self.limits.pace, u64::MAX);
        Ok(ResponseStream { status, body, _driver: self.driver.clone() })
    }

    /// Ends when the node has taken the request too slowly, or has taken it and let `answer` pass.
    async fn out_of_patience(&self, sending: &SharedSending, answer: Duration) -> RequestFault {
        loop {
            let now = Instant::now();
            let ask_again = {
                let mut sending = lock(sending);
                match sending.all_taken_by() {
                    Some(taken) if now >= taken + answer => return RequestFault::TimedOut(answer),
                    Some(taken) => taken + answer,
                    None if sending.is_too_slow(now) => return RequestFault::TakenTooSlowly(self.limits.pace),
                    None => now + (self.limits.pace.window / 8).min(answer),
                }
            };
            sleep_until(ask_again).await;
        }
    }

    fn error(&self, path: &str, fault: RequestFault) -> RequestError {
        RequestError { peer: self.session.node, path: path.into(), fault }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({:?} at {})", self.session.node, self.peer_address)
    }
}

impl Response {
    /// The body of an answer with a status of 2xx.
    ///
    /// # Errors
    /// If the status is another one.
    pub fn accepted(self) -> Result<Bytes, Refusal> {
        let Response { status, body } = self;
        if (200..300).contains(&status) { Ok(body) } else { Err(Refusal { status, body }) }
    }
}

impl ResponseStream {
    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The next bytes, never empty; `None` when the answer is complete.
    ///
    /// # Errors
    /// See [`BodyError`]. What has been read until then is not the whole answer.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        self.body.chunk().await
    }

    /// All that is left, if it is no more than `bytes_max`.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub async fn whole(self, bytes_max: usize) -> Result<Bytes, BodyError> {
        self.body.whole(bytes_max).await
    }
}

/// Keeps the connection moving until nobody needs it.
#[derive(Debug)]
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
