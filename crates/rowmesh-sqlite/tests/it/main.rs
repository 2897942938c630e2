//! Tests of the store against real SQLite files.

mod joining;
mod mesh;
mod travel;
