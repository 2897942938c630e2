//! The program as its users meet it: real processes of the built binary on files of their own. What single functions do is tested beside them.

mod bad_input;
mod configuration;
mod daemons;
mod deciding;
mod demo;
mod home;
mod invites;
mod kill;
mod leaving;
mod machine;
mod quick_start;
mod resolving;
mod usage;
