//! Moves opaque requests and responses between nodes over HTTPS, both sides pinned to their Ed25519 keys. Knows who is at the
//! other end and how much may arrive how slowly; knows nothing of rows, rosters or what the messages mean: who is let in is
//! asked of the [`Handler`], request by request. There is no plaintext listener and no fallback of any kind.

mod body;
mod certificate;
mod client;
mod dial;
mod lanes;
mod limits;
mod pace;
mod server;
mod tls;
mod verifier;
mod watch;

pub use body::{BodyError, BodySender, IncomingBody, OutgoingBody, ReaderGone};
pub use certificate::CertificateFault;
pub use client::{Connection, Refusal, RequestError, RequestFault, Response, ResponseStream};
pub use dial::{DialError, DialFault, NotRowmesh, connect};
pub use hyper::body::Bytes;
pub use limits::{ClientLimits, PaceRule, ServerLimits};
pub use server::{BindError, Handler, IncomingRequest, Load, OutgoingResponse, PeerInfo, Server};

/// The one protocol that is spoken, as TLS negotiates it.
pub const ALPN: &[u8] = b"rowmesh/1";

/// Label of the keying material that both ends of one connection, and nobody else, can derive (RFC 8446, 7.5).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-rowmesh-join";
