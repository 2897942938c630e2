//! Tests against real PostgreSQL servers, which they start and end themselves.

mod absences;
mod attaching;
mod capturing;
mod cluster;
mod contract;
mod copying;
mod crashes;
mod encrypted;
mod mesh;
mod ordinary;
mod pooled;
mod rights;
mod sequences;
mod sessions;
mod stepped;
mod travel;
mod triggers;
mod typing;
mod urls;
mod versions;
