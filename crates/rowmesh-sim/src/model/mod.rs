//! The model tier: small random meshes of the shipped pure types, without a database, wire or clock. Each history is checked
//! against `reference`, which is written from the definitions alone. Whole nodes on real stores are the mesh tier's business.
//!
//! Reading order: `history` (what is known of a history), `node` (seal, take in, park), `world` (who does what when),
//! `reference` (what should have come out), `check` (the oracles), `sweep` (many seeds at once), `small_scope` (all histories of
//! three events). `span` plays through the rules that reach over several rows and are not built yet.

pub mod check;
pub mod history;
pub mod node;
pub mod reference;
pub mod small_scope;
pub mod span;
pub mod sweep;
pub mod world;

/// What went wrong in a history, in one line.
pub type Failure = String;

/// Fails a check with a message.
macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}
pub(crate) use ensure;
