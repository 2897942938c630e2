//! Tests of the store against real SQLite files.

mod altering;
mod contract;
mod failing;
mod mesh;
mod shapes;
mod travel;
