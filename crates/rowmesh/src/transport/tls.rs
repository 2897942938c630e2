//! What both ends say in the handshake, and what a finished one proves. TLS 1.3 only, our protocol only, no resumption and
//! no early data: every connection proves both keys anew.

use std::fmt;
use std::sync::Arc;

use rowmesh_core::ident::NodeId;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, CommonState, ServerConfig, SignatureAlgorithm, SignatureScheme};

use super::certificate::{CertificateFault, certificate_of, public_key_of};
use super::verifier::{AnyNode, OneNode};
use super::{ALPN, EXPORTER_LABEL};
use crate::identity::NodeKey;

/// The server's end.
pub(super) fn server_config(key: &Arc<NodeKey>) -> Arc<ServerConfig> {
    let provider = provider();
    let verifier = AnyNode { algorithms: provider.signature_verification_algorithms };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("ring has TLS 1.3")
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(credentials(key));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Arc::new(config)
}

/// The client's end of a connection to `peer` and to nobody else.
pub(super) fn client_config(key: &Arc<NodeKey>, peer: NodeId) -> Arc<ClientConfig> {
    let provider = provider();
    let verifier = OneNode { expected: peer, algorithms: provider.signature_verification_algorithms };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("ring has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(credentials(key));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Arc::new(config)
}

/// What a finished handshake has proved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) node: NodeId,
    pub(super) public_key: [u8; 32],
    pub(super) exporter: [u8; 32],
}

/// Why a finished handshake is still no session of ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionFault {
    #[error("the peer did not ask for the protocol rowmesh/1")]
    OtherProtocol,
    #[error(transparent)]
    Certificate(#[from] CertificateFault),
    #[error("derive keying material")]
    Exporter(#[source] rustls::Error),
}

impl Session {
    pub(super) fn of_server(connection: &rustls::ServerConnection) -> Result<Session, SessionFault> {
        Session::of(connection, connection.export_keying_material([0; 32], EXPORTER_LABEL, None))
    }

    pub(super) fn of_client(connection: &rustls::ClientConnection) -> Result<Session, SessionFault> {
        Session::of(connection, connection.export_keying_material([0; 32], EXPORTER_LABEL, None))
    }

    /// rustls refuses a protocol that we did not offer, but not the lack of one.
    fn of(state: &CommonState, exporter: Result<[u8; 32], rustls::Error>) -> Result<Session, SessionFault> {
        if state.alpn_protocol() != Some(ALPN) {
            return Err(SessionFault::OtherProtocol);
        }
        let public_key = public_key_of(state.peer_certificates().unwrap_or_default())?;
        let exporter = exporter.map_err(SessionFault::Exporter)?;
        Ok(Session { node: NodeId::of_public_key(&public_key), public_key, exporter })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn credentials(key: &Arc<NodeKey>) -> Arc<SingleCertAndKey> {
    let certified = CertifiedKey::new(vec![certificate_of(key)], Arc::new(HandshakeKey(key.clone())));
    Arc::new(SingleCertAndKey::from(certified))
}

/// Lets rustls sign without giving it the secret.
#[derive(Clone)]
struct HandshakeKey(Arc<NodeKey>);

impl SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for HandshakeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(self.0.sign(message).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

impl fmt::Debug for HandshakeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
