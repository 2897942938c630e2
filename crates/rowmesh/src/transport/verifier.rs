//! Decides whether the other end of a TLS handshake holds the key that it shows. A certificate authority, dates and names
//! have no say. On the server side it does not decide who is welcome: a stranger gets an HTTP answer that says so, where a
//! TLS alert would tell it nothing.

use std::sync::Arc;

use rowmesh_core::ident::NodeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};

use super::certificate::{CertificateFault, public_key_of};

/// The client's side: the server must be the node that was dialled.
#[derive(Debug)]
pub(super) struct OneNode {
    pub(super) expected: NodeId,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// The server's side: any node, as long as it proves which one it is.
#[derive(Debug)]
pub(super) struct AnyNode {
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for OneNode {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let answered = only_node(certificate, others).map_err(refused)?;
        if answered != self.expected {
            return Err(refused(CertificateFault::WrongNode { expected: self.expected, answered }));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12_refused())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_handshake(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for AnyNode {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        only_node(certificate, others).map_err(refused)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12_refused())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_handshake(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

fn only_node(certificate: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<NodeId, CertificateFault> {
    if !others.is_empty() {
        return Err(CertificateFault::NotOne { count: 1 + others.len() });
    }
    public_key_of(std::slice::from_ref(certificate)).map(|public_key| NodeId::of_public_key(&public_key))
}

/// The signature is checked with the key that *we* have read from the certificate, the one that the node's name is made
/// from: two parsers that read one certificate differently would let one node pass for another.
fn verify_handshake(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let public_key = public_key_of(std::slice::from_ref(certificate)).map_err(refused)?;
    let claimed = NodeId::of_public_key(&public_key);
    let not_its_owner = |_| refused(CertificateFault::NotItsOwner { claimed });
    if signature.scheme != SignatureScheme::ED25519 {
        return Err(refused(CertificateFault::NotItsOwner { claimed }));
    }
    verify_tls13_signature_with_raw_key(message, &subject_public_key_info(&public_key), signature, algorithms)
        .map_err(not_its_owner)
}

/// RFC 8410: the sequence of algorithm 1.3.101.112 and the key as a bit string.
fn subject_public_key_info(public_key: &[u8; 32]) -> SubjectPublicKeyInfoDer<'static> {
    const HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    SubjectPublicKeyInfoDer::from([&HEAD[..], public_key].concat())
}

fn refused(fault: CertificateFault) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(fault))))
}

fn tls12_refused() -> Error {
    Error::General("TLS 1.2 is not spoken".into())
}
