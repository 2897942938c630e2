//! Finds a node: resolves its addresses, tries them all at once, and takes the first one where the right node proves its
//! key. What the others answered is kept for the message.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rowmesh_core::ident::NodeId;
use rowmesh_core::limits::ADDRESSES_MAX;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::debug;

use super::certificate::CertificateFault;
use super::client::{Connection, Refusal};
use super::limits::{ATTEMPTS_MAX, ClientLimits};
use super::tls::{Session, SessionFault, client_config};
use crate::identity::NodeKey;

/// No address led to the node.
#[derive(Debug)]
pub struct DialError {
    /// Who was dialled.
    pub peer: NodeId,
    /// What each address answered, the most telling first; never empty.
    pub attempts: Vec<(String, DialFault)>,
}

/// Why one address did not lead to the node.
#[derive(Debug, thiserror::Error)]
pub enum DialFault {
    /// A node does not sync with itself.
    #[error("that is this node itself")]
    Itself,
    /// There was nothing to try.
    #[error("no address is known")]
    NoAddress,
    /// Not of the form `host:port`.
    #[error("not an address of the form host:port")]
    BadAddress,
    /// The name does not resolve.
    #[error("name not found")]
    NameNotFound(#[source] Option<io::Error>),
    /// Nobody listens there, or no way leads there.
    #[error("cannot be reached")]
    Unreachable(#[source] io::Error),
    /// No answer, or not enough of one.
    #[error("no answer in time")]
    TimedOut,
    /// Somebody listens and hung up in the handshake: an overloaded node, or a forwarded port with nothing behind.
    #[error("hung up during the handshake")]
    HungUp(#[source] io::Error),
    /// Another node is there now.
    #[error("another node answers: {answered}")]
    WrongNode {
        /// Who was dialled.
        expected: NodeId,
        /// Who says to be there.
        answered: NodeId,
    },
    /// Somebody shows the node's certificate without having its key.
    #[error("an impostor answers: it shows the certificate of the node without having its key")]
    Impostor,
    /// Something else is there.
    #[error("no Rowmesh node answers there")]
    NotRowmesh(#[source] NotRowmesh),
    /// The right node is there and does not want to talk to us.
    #[error("the node refuses us")]
    Refused(#[source] Refusal),
}

/// What seems to be there instead.
#[derive(Debug, thiserror::Error)]
pub enum NotRowmesh {
    /// A web server without TLS, a captive portal, another service.
    #[error("the answer is not TLS")]
    NotTls(#[source] io::Error),
    /// A TLS server that does not speak our protocol.
    #[error("it speaks TLS but not the protocol rowmesh/1")]
    OtherProtocol,
    /// A TLS server that speaks another version or wants other keys.
    #[error("it speaks TLS, but not as a Rowmesh node does")]
    OtherTls(#[source] io::Error),
    /// Its certificate is not that of a node.
    #[error("its certificate is not that of a Rowmesh node")]
    Certificate(#[source] CertificateFault),
}

/// Connects to `peer`, whichever of the `addresses` (`host:port`) it is at. All are tried at once; the first at which the
/// node proves its key wins, the others are dropped.
///
/// # Errors
/// If no address led to the node within `limits.dial`, with what each answered.
pub async fn connect(
    key: &Arc<NodeKey>,
    peer: NodeId,
    addresses: &[String],
    limits: &ClientLimits,
) -> Result<Connection, DialError> {
    if peer == key.node_id() {
        return Err(DialError::of(peer, vec![(String::new(), DialFault::Itself)]));
    }
    let dialled = Race::new(key, peer, addresses, limits).run(tokio::time::Instant::now() + limits.dial).await?;
    debug!(?peer, address = %dialled.address, "connected");
    let Dialled { name, stream, session, address } = *dialled;
    Connection::over(stream, session, address, limits)
        .await
        .map_err(|source| DialError::of(peer, vec![(name, DialFault::HungUp(source))]))
}

impl DialError {
    /// The most telling of the answers.
    pub fn fault(&self) -> &DialFault {
        &self.attempts[0].1
    }

    /// For a node that was reached at `address` and then refused to talk to us.
    pub fn refused(peer: NodeId, address: SocketAddr, refusal: Refusal) -> DialError {
        DialError::of(peer, vec![(address.to_string(), DialFault::Refused(refusal))])
    }

    fn of(peer: NodeId, mut attempts: Vec<(String, DialFault)>) -> DialError {
        attempts.sort_by_key(|(_, fault)| std::cmp::Reverse(fault.weight()));
        DialError { peer, attempts }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dial {}", self.peer.short())?;
        for (nth, (address, fault)) in self.attempts.iter().enumerate() {
            f.write_str(if nth == 0 { ": " } else { "; " })?;
            if !address.is_empty() {
                write!(f, "{address}: ")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault().source()
    }
}

impl DialFault {
    /// The further an attempt came, the more it tells.
    fn weight(&self) -> u8 {
        match self {
            DialFault::NoAddress | DialFault::Itself => 0,
            DialFault::BadAddress => 1,
            DialFault::NameNotFound(_) => 2,
            DialFault::Unreachable(_) => 3,
            DialFault::TimedOut => 4,
            DialFault::HungUp(_) => 5,
            DialFault::NotRowmesh(_) => 6,
            DialFault::WrongNode { .. } => 7,
            DialFault::Impostor => 8,
            DialFault::Refused(_) => 9,
        }
    }
}

/// All attempts of one dial.
struct Race {
    peer: NodeId,
    tls: TlsConnector,
    attempt: Duration,
    running: JoinSet<Step>,
    /// What still runs, by the name that the caller knows it under.
    open: Vec<String>,
    tried: BTreeSet<SocketAddr>,
    failed: Vec<(String, DialFault)>,
}

enum Step {
    Resolved(String, Result<Vec<SocketAddr>, DialFault>),
    Tried(String, Result<Box<Dialled>, DialFault>),
}

struct Dialled {
    name: String,
    address: SocketAddr,
    stream: Box<TlsStream<TcpStream>>,
    session: Session,
}

impl Race {
    fn new(key: &Arc<NodeKey>, peer: NodeId, addresses: &[String], limits: &ClientLimits) -> Race {
        let mut running = JoinSet::new();
        let names: BTreeSet<&String> = addresses.iter().take(ADDRESSES_MAX).collect();
        for name in &names {
            let name = (*name).clone();
            running.spawn(async move {
                let resolved = resolve(&name).await;
                Step::Resolved(name, resolved)
            });
        }
        let tls = TlsConnector::from(client_config(key, peer));
        let open = names.into_iter().cloned().collect();
        Race { peer, tls, attempt: limits.attempt, running, open, tried: BTreeSet::new(), failed: Vec::new() }
    }

    async fn run(mut self, deadline: tokio::time::Instant) -> Result<Box<Dialled>, DialError> {
        loop {
            let step = tokio::select! {
                step = self.running.join_next() => step,
                () = sleep_until(deadline) => return Err(self.give_up(Some(DialFault::TimedOut))),
            };
            match step {
                Some(Ok(Step::Resolved(name, Ok(addresses)))) => self.try_all(&name, addresses),
                Some(Ok(Step::Tried(_, Ok(dialled)))) => return Ok(dialled),
                Some(Ok(Step::Resolved(name, Err(fault)) | Step::Tried(name, Err(fault)))) => self.failed(name, fault),
                Some(Err(panicked)) => debug!(%panicked, "an attempt failed"),
                None => return Err(self.give_up(None)),
            }
        }
    }

    fn try_all(&mut self, name: &str, addresses: Vec<SocketAddr>) {
        self.close(name);
        for address in addresses {
            if self.tried.len() < ATTEMPTS_MAX && self.tried.insert(address) {
                let label = label(name, address);
                self.open.push(label.clone());
                let attempt = timeout(self.attempt, attempt(self.tls.clone(), name.to_owned(), address));
                self.running.spawn(async move {
                    let tried = attempt.await.unwrap_or(Err(DialFault::TimedOut));
                    Step::Tried(label, tried.map(Box::new))
                });
            }
        }
    }

    fn failed(&mut self, name: String, fault: DialFault) {
        debug!(peer = ?self.peer, address = name, error = &fault as &dyn std::error::Error, "dial failed");
        self.close(&name);
        self.failed.push((name, fault));
    }

    fn close(&mut self, name: &str) {
        self.open.retain(|open| open != name);
    }

    fn give_up(mut self, timed_out: Option<DialFault>) -> DialError {
        if timed_out.is_some() {
            self.failed.extend(self.open.into_iter().map(|name| (name, DialFault::TimedOut)));
        }
        if self.failed.is_empty() {
            self.failed.push((String::new(), DialFault::NoAddress));
        }
        DialError::of(self.peer, self.failed)
    }
}

async fn resolve(name: &str) -> Result<Vec<SocketAddr>, DialFault> {
    if name.contains(['[', ']', ' ', '/']) && name.parse::<SocketAddr>().is_err() {
        return Err(DialFault::BadAddress);
    }
    match lookup_host(name).await {
        Ok(addresses) => {
            let addresses: Vec<SocketAddr> = addresses.collect();
            if addresses.is_empty() { Err(DialFault::NameNotFound(None)) } else { Ok(addresses) }
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(DialFault::BadAddress),
        Err(error) => Err(DialFault::NameNotFound(Some(error))),
    }
}

/// What the user typed, and what became of it where that is something else.
fn label(name: &str, address: SocketAddr) -> String {
    let address = address.to_string();
    if name == address { address } else { format!("{name} ({address})") }
}

async fn attempt(tls: TlsConnector, name: String, address: SocketAddr) -> Result<Dialled, DialFault> {
    let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let stream = tls.connect(server_name(&name, address), tcp).await.map_err(handshake_fault)?;
    let session = Session::of_client(stream.get_ref().1).map_err(session_fault)?;
    Ok(Dialled { name, address, stream: Box::new(stream), session })
}

/// Nobody checks the name; it goes along so that a proxy which sorts by name can do its work.
fn server_name(name: &str, address: SocketAddr) -> ServerName<'static> {
    name.rsplit_once(':')
        .and_then(|(host, _)| ServerName::try_from(host.to_owned()).ok())
        .unwrap_or_else(|| ServerName::from(address.ip()))
}

fn unreachable(error: io::Error) -> DialFault {
    if error.kind() == io::ErrorKind::TimedOut { DialFault::TimedOut } else { DialFault::Unreachable(error) }
}

fn handshake_fault(error: io::Error) -> DialFault {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return DialFault::HungUp(error);
    };
    match tls {
        rustls::Error::InvalidMessage(_) => DialFault::NotRowmesh(NotRowmesh::NotTls(error)),
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            DialFault::NotRowmesh(NotRowmesh::OtherProtocol)
        }
        rustls::Error::InvalidCertificate(CertificateError::Other(fault)) => {
            match fault.0.downcast_ref::<CertificateFault>() {
                Some(fault) => certificate_fault(fault),
                None => DialFault::NotRowmesh(NotRowmesh::OtherTls(error)),
            }
        }
        _ => DialFault::NotRowmesh(NotRowmesh::OtherTls(error)),
    }
}

fn certificate_fault(fault: &CertificateFault) -> DialFault {
    match *fault {
        CertificateFault::WrongNode { expected, answered } => DialFault::WrongNode { expected, answered },
        CertificateFault::NotItsOwner { .. } => DialFault::Impostor,
        ref other => DialFault::NotRowmesh(NotRowmesh::Certificate(other.clone())),
    }
}

fn session_fault(fault: SessionFault) -> DialFault {
    match fault {
        SessionFault::OtherProtocol => DialFault::NotRowmesh(NotRowmesh::OtherProtocol),
        SessionFault::Certificate(fault) => certificate_fault(&fault),
        SessionFault::Exporter(error) => DialFault::NotRowmesh(NotRowmesh::OtherTls(io::Error::other(error))),
    }
}
