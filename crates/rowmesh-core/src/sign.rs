//! Ed25519 signatures over domain-separated bytes. Makes no keys: whoever holds one implements `Signer`.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;

use crate::ident::NodeId;

/// An Ed25519 public key, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PublicKey(pub [u8; 32]);

/// An Ed25519 signature, 64 bytes.
pub type SignatureBytes = [u8; 64];

/// A signature that does not fit the bytes and the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{what} was not signed by {signer:?}")]
pub struct BadSignature {
    /// What was signed.
    pub what: &'static str,
    /// Who should have signed.
    pub signer: NodeId,
}

/// Holder of a node's secret key.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> PublicKey;
    /// Signs the bytes as they are: callers go through [`sign`], which keeps purposes apart.
    fn sign_bytes(&self, bytes: &[u8]) -> SignatureBytes;
    /// A secret of this node for one purpose, the same at every call.
    fn derive(&self, purpose: &'static str) -> [u8; 32];

    /// The node's name.
    fn node_id(&self) -> NodeId {
        self.public_key().node_id()
    }
}

/// Signs `bytes` for one purpose, so that a signature can never be used for another.
pub fn sign(signer: &dyn Signer, purpose: &'static str, bytes: &[u8]) -> SignatureBytes {
    signer.sign_bytes(&bound(purpose, bytes))
}

/// Checks a signature that [`sign`] made.
///
/// # Errors
/// If the signature does not fit, or the key is no point of the curve.
pub fn verify(
    key: &PublicKey,
    purpose: &'static str,
    bytes: &[u8],
    signature: &SignatureBytes,
) -> Result<(), BadSignature> {
    let bad = BadSignature { what: purpose, signer: key.node_id() };
    let verifying = VerifyingKey::from_bytes(&key.0).map_err(|_| bad)?;
    verifying.verify_strict(&bound(purpose, bytes), &Signature::from_bytes(signature)).map_err(|_| bad)
}

impl PublicKey {
    /// The name of the node that holds the secret half.
    pub fn node_id(&self) -> NodeId {
        NodeId::of_public_key(&self.0)
    }
}

/// A secret key in memory: what the simulator, the tests and a node's key file hold.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key that belongs to 32 random bytes.
    pub fn from_seed(seed: [u8; 32]) -> SecretKey {
        SecretKey(SigningKey::from_bytes(&seed))
    }
}

impl Signer for SecretKey {
    fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    fn sign_bytes(&self, bytes: &[u8]) -> SignatureBytes {
        self.0.sign(bytes).to_bytes()
    }

    fn derive(&self, purpose: &'static str) -> [u8; 32] {
        blake3::derive_key(purpose, self.0.as_bytes())
    }
}

fn bound(purpose: &'static str, bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(purpose.len() + 1 + bytes.len());
    whole.extend_from_slice(purpose.as_bytes());
    whole.push(0);
    whole.extend_from_slice(bytes);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_bytes_its_purpose_and_its_key_only() {
        let (key, other) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let signature = sign(&key, "test a", b"bytes");
        let check =
            |key: &SecretKey, purpose, bytes: &[u8]| verify(&key.public_key(), purpose, bytes, &signature).is_ok();
        assert!(check(&key, "test a", b"bytes"));
        assert!(!check(&key, "test b", b"bytes"));
        assert!(!check(&key, "test a", b"bytez"));
        assert!(!check(&other, "test a", b"bytes"));
    }
}
