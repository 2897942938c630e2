//! The embeddable Rowmesh node: identity, HTTPS between nodes, scheduling. Prints nothing and reads no home directory:
//! where data lies is said by the caller.

mod answers;
pub mod clock;
pub mod control;
mod counting;
mod daemon;
mod database;
mod decisions;
mod exchanger;
pub mod failure;
mod files;
mod high_water;
pub mod identity;
mod intake;
mod invites;
mod joining;
mod lock;
mod members;
mod node;
mod notices;
pub mod options;
mod partitions;
mod peers;
mod policies;
mod port;
pub mod postgres;
mod random;
mod recorder;
mod resolutions;
mod responder;
mod rows;
mod scribe;
pub mod setup;
mod shared;
mod snapshots;
mod store_thread;
pub mod transport;
mod undoing;
mod wishes;

pub use failure::Failure;
pub use node::{Joined, Node, RunningNode};
pub use options::NodeOptions;
pub use snapshots::Progress;
