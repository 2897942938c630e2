//! The node's local door for the command line and the dashboard: questions and answers over a Unix socket that only its owner may open.

pub mod api;
pub mod client;
#[cfg(unix)]
pub(crate) mod server;

/// Bytes of one question or answer. Answers are bounded by the limits in the questions.
const LINE_BYTES_MAX: u64 = 64 << 20;
