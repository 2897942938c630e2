//! Tests of the store against real SQLite files.

mod mesh;
mod travel;
