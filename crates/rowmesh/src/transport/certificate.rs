//! The certificate that carries a node's public key through TLS, made and read. Nothing but the key in it means anything:
//! dates, names and extensions are neither set with care nor looked at.

use rcgen::{CertificateParams, DistinguishedName, DnType, PKCS_ED25519, PublicKeyData, SignatureAlgorithm};
use rowmesh_core::ident::NodeId;
use rustls::pki_types::CertificateDer;
use x509_parser::oid_registry::OID_SIG_ED25519;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::NodeKey;

/// What is wrong with the certificate that a peer has shown.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CertificateFault {
    /// A chain, or none at all.
    #[error("the peer shows {count} certificates instead of one")]
    NotOne {
        /// How many.
        count: usize,
    },
    /// Not X.509, or bytes behind its end.
    #[error("the peer's certificate cannot be read")]
    Malformed,
    /// Another kind of key (RSA, P-256).
    #[error("the peer's certificate is not for an Ed25519 key")]
    NotEd25519,
    /// Not a point of the curve, or one under which anybody can sign.
    #[error("the peer's Ed25519 key is not a usable one")]
    WeakKey,
    /// A sound certificate of somebody else.
    #[error("the peer is {answered}, not {expected}")]
    WrongNode {
        /// Who was dialled.
        expected: NodeId,
        /// Whose certificate came.
        answered: NodeId,
    },
    /// The certificate is copied: whoever shows it does not have its key.
    #[error("the peer shows the certificate of {claimed} but cannot sign with its key")]
    NotItsOwner {
        /// Whose certificate it is.
        claimed: NodeId,
    },
}

/// The self-signed certificate of a node.
///
/// # Panics
/// Never, unless rcgen cannot encode a constant.
pub(super) fn certificate_of(key: &NodeKey) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "rowmesh node");
    let signer = CertificateSigner { key, public_key: key.public_key() };
    params.self_signed(&signer).expect("constant parameters encode").der().clone()
}

/// The public key of the one certificate that a peer has shown.
pub(super) fn public_key_of(chain: &[CertificateDer<'_>]) -> Result<[u8; 32], CertificateFault> {
    let [certificate] = chain else { return Err(CertificateFault::NotOne { count: chain.len() }) };
    let (rest, certificate) = X509Certificate::from_der(certificate).map_err(|_| CertificateFault::Malformed)?;
    if !rest.is_empty() {
        return Err(CertificateFault::Malformed);
    }
    let spki = certificate.public_key();
    if spki.algorithm.algorithm != OID_SIG_ED25519 || spki.algorithm.parameters.is_some() {
        return Err(CertificateFault::NotEd25519);
    }
    if spki.subject_public_key.unused_bits != 0 {
        return Err(CertificateFault::Malformed);
    }
    let public_key: [u8; 32] =
        spki.subject_public_key.data.as_ref().try_into().map_err(|_| CertificateFault::Malformed)?;
    match ed25519_dalek::VerifyingKey::from_bytes(&public_key) {
        Ok(point) if !point.is_weak() => Ok(public_key),
        _ => Err(CertificateFault::WeakKey),
    }
}

/// Lets rcgen sign without giving it the secret: no second copy of it comes into being.
struct CertificateSigner<'a> {
    key: &'a NodeKey,
    public_key: [u8; 32],
}

impl PublicKeyData for CertificateSigner<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public_key
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for CertificateSigner<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.key.sign(message).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_went_in_comes_out() {
        let key = NodeKey::from_seed(&[5; 32]);
        assert_eq!(public_key_of(&[certificate_of(&key)]), Ok(key.public_key()));
    }

    #[test]
    fn a_certificate_with_any_byte_missing_or_added_is_malformed() {
        let whole = certificate_of(&NodeKey::from_seed(&[5; 32])).to_vec();
        let longer = [&whole[..], &[0]].concat();
        for end in 0..whole.len() {
            let cut = CertificateDer::from(whole[..end].to_vec());
            assert_eq!(public_key_of(&[cut]), Err(CertificateFault::Malformed));
        }
        assert_eq!(public_key_of(&[CertificateDer::from(longer)]), Err(CertificateFault::Malformed));
    }

    #[test]
    fn k9_a_key_under_which_anybody_can_sign_is_refused() {
        let whole = certificate_of(&NodeKey::from_seed(&[5; 32])).to_vec();
        let key = NodeKey::from_seed(&[5; 32]).public_key();
        let at = whole.windows(32).position(|window| window == key).unwrap();
        let identity_point = small(1);
        let off_the_curve =
            (2..).map(small).find(|point| ed25519_dalek::VerifyingKey::from_bytes(point).is_err()).unwrap();
        for weak in [[0; 32], identity_point, off_the_curve] {
            let mut forged = whole.clone();
            forged[at..at + 32].copy_from_slice(&weak);
            assert_eq!(public_key_of(&[CertificateDer::from(forged)]), Err(CertificateFault::WeakKey), "{weak:?}");
        }
    }
    fn small(first: u8) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[0] = first;
        bytes
    }
}
