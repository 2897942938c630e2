//! How long, how much and how many the transport puts up with. Sizes of messages are `rowmesh_core::limits`.

use std::time::Duration;

use rowmesh_core::limits::{FRAME_WIRE_BYTES_MAX, MEMBERS_MAX, MESSAGE_BYTES_MAX};

/// What a server puts up with.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// From accepting a connection to the end of its TLS handshake.
    pub handshake: Duration,
    /// From the end of the handshake to the first HTTP/2 frame, and from the first byte of a request's headers to the last.
    pub header: Duration,
    /// A connection without any request in progress is closed after this.
    pub idle: Duration,
    /// Connections that have not finished their handshake. The oldest of the greediest address gives way to a new one.
    pub handshakes_max: usize,
    /// Connections of nodes that the handler does not know; they give way in the same manner.
    pub strangers_max: usize,
    /// Connections of nodes that the handler knows; the oldest of the greediest node gives way.
    pub members_max: usize,
    /// Connections of one known node; its oldest gives way, which is the dead one after a change of network.
    pub connections_per_member_max: usize,
    /// Requests in progress on one connection.
    pub requests_per_connection_max: u32,
    /// Bytes of one request's body, streamed or not.
    pub body_bytes_max: u64,
    /// How slowly a peer may send a request or take a response.
    pub pace: PaceRule,
}

/// What a client puts up with.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// For all of a dial: names, every address, handshakes.
    pub dial: Duration,
    /// From TCP's first packet to the end of the TLS handshake at one address.
    pub attempt: Duration,
    /// From the last byte of a request to the first of its response, unless the call says otherwise.
    pub answer: Duration,
    /// Bytes of a response that is taken whole. A streamed one is bounded by whoever reads it.
    pub response_bytes_max: usize,
    /// How slowly the peer may take a request or send a response.
    pub pace: PaceRule,
    /// While a request is in progress the peer is asked this often whether it is still there,
    pub keep_alive: Duration,
    /// and the connection is given up when it has not answered after this.
    pub keep_alive_answer: Duration,
}

/// A body must move by `bytes_per_second_min` on average over each `window` that was spent waiting for the peer.
/// Time that we take ourselves does not count.
#[derive(Clone, Copy, Debug)]
pub struct PaceRule {
    /// What is averaged over.
    pub window: Duration,
    /// Bytes per second.
    pub bytes_per_second_min: u32,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            handshakes_max: 256,
            strangers_max: 64,
            members_max: MEMBERS_MAX,
            connections_per_member_max: 4,
            requests_per_connection_max: 32,
            body_bytes_max: 2 * FRAME_WIRE_BYTES_MAX as u64,
            pace: PaceRule::default(),
        }
    }
}

impl Default for ClientLimits {
    fn default() -> Self {
        ClientLimits {
            dial: Duration::from_secs(10),
            attempt: Duration::from_secs(8),
            answer: Duration::from_secs(30),
            response_bytes_max: MESSAGE_BYTES_MAX,
            pace: PaceRule::default(),
            keep_alive: Duration::from_secs(10),
            keep_alive_answer: Duration::from_secs(20),
        }
    }
}

impl PaceRule {
    /// How long so many bytes may take.
    pub(super) fn time_for(self, bytes: u64) -> Duration {
        Duration::from_millis(bytes.saturating_mul(1_000) / u64::from(self.bytes_per_second_min.max(1)))
    }
}

impl Default for PaceRule {
    fn default() -> Self {
        PaceRule { window: Duration::from_secs(60), bytes_per_second_min: 1_000 }
    }
}

/// Bytes of a body in one HTTP/2 frame: at the slowest pace still several within one window.
pub(super) const CHUNK_BYTES_MAX: usize = 16 << 10;
/// Bytes that a known peer may have on the way in one body, and in all bodies of its connection: below this a fast link
/// with a long round trip would stand idle.
pub(super) const STREAM_WINDOW_BYTES: u32 = 4 << 20;
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// The same for a node that nobody knows yet.
pub(super) const STRANGER_WINDOW_BYTES: u32 = 64 << 10;
/// Bytes of one body that HTTP/2 holds for the peer to take. What lies there counts as sent, so it has to be so little that
/// a link at the slowest pace carries it within the idle time-out.
pub(super) const SEND_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Bytes of a request's or a response's headers.
pub(super) const HEADERS_BYTES_MAX: u32 = 16 << 10;
/// Socket addresses that one dial tries.
pub(super) const ATTEMPTS_MAX: usize = 32;
