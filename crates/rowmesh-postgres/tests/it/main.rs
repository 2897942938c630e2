//! Tests against real PostgreSQL servers, which they start and end themselves.

mod cluster;
mod encrypted;
mod pooled;
mod rights;
mod sessions;
mod urls;
