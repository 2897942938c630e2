//! Tests of the store against real SQLite files.

mod altering;
mod failing;
mod joining;
mod leaving;
mod ledger;
mod mesh;
mod restamping;
mod shapes;
mod travel;
mod widening;
