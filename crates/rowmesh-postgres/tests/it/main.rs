//! Tests against real PostgreSQL servers, which they start and end themselves.

mod cluster;
mod sessions;
mod urls;
