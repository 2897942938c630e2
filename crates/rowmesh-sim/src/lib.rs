//! Deterministic simulator. Two tiers: `model` drives the pure types of rowmesh-core (merge, show, ledger, codec) through random
//! histories and compares them with a naive reference; `mesh` drives whole nodes. Nothing here reads a clock or real randomness.

pub mod mesh;
pub mod model;
pub mod rng;
