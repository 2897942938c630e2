//! What PostgreSQL's refusals mean outside: a code, who can act, and what to do. What can be wrong with a connection, a catalog or a plan is
//! told in `error`.

use rowmesh_core::store::StoreError;
use tokio_postgres::error::SqlState;

/// What PostgreSQL's refusal means for the daemon.
pub fn of_postgres(source: tokio_postgres::Error) -> StoreError {
    let error = match source.code() {
        Some(
            &SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE,
        ) => StoreError::transient("RM5101", "the database is locked by another connection"),
        None => StoreError::transient("RM5106", "the connection to the database was lost"),
        Some(_) => StoreError::broken("RM9106", "postgresql refused a statement of rowmesh"),
    };
    error.because(source)
}
