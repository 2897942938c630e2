//! The one place where the node gets random numbers from.

use crate::failure::Failure;

/// Sixteen random bytes of the operating system.
pub(crate) fn random_bytes() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::bug("the operating system gives no random numbers").because(&error))?;
    Ok(bytes)
}

/// A random number.
pub(crate) fn random() -> Result<u64, Failure> {
    Ok(random_bytes()?[..8].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
}
