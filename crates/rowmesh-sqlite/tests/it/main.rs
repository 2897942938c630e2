//! Tests of the store against real SQLite files.

mod altering;
mod joining;
mod mesh;
mod restamping;
mod travel;
