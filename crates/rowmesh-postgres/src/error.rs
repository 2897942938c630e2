//! What can be wrong with a connection, a catalog, a plan or the capture, each with its code, who can act, and what to do. What PostgreSQL's
//! own refusals mean is told in `fault`. Retries nothing and logs nothing.

use rowmesh_core::store::StoreError;
use tokio_postgres::error::SqlState;

use crate::fault::of_postgres;

/// Result of this half of the crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can be wrong with a connection, a catalog, a plan or the capture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system gave no thread or no socket.
    #[error("no connection can be prepared on this machine")]
    Machine(#[from] std::io::Error),
    /// The server refused, or could not be asked.
    #[error("postgresql refused a statement")]
    Postgres(#[from] tokio_postgres::Error),
}

impl Error {
    /// What the server said, where it said anything.
    pub fn sqlstate(&self) -> Option<&SqlState> {
        match self {
            Error::Postgres(source) => source.code(),
            Error::Machine(_) => None,
        }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        match error {
            Error::Postgres(source) => of_postgres(source),
            Error::Machine(_) => StoreError::transient("RM5106", error.to_string()).because(error),
        }
    }
}
