//! Tests of capture against real SQLite files: an application's own connection beside the daemon's. Sealing and applying are tested
//! elsewhere; here the question is what is noted, what is installed, and what the application notices of it.

mod altering;
mod app;
mod attaching;
mod carrying;
mod noting;
