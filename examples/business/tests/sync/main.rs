//! The application on several nodes: its schema, its data and its workload through the sealer, the log and the stores of Rowmesh.
//! Not here: how changesets travel (they are carried by hand), and what one table's rows can do to each other, which are the
//! stores' own tests.

mod demo;
mod every_table;
mod node;
mod rows;
#[path = "../support/mod.rs"]
mod support;
mod work;
