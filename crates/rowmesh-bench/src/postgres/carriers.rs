//! Who carries changes from one server to another. Each kind is set up as its manual says, with nothing tuned, every table of the application included.

mod bucardo;
mod native;
mod pglogical;
pub mod rowmesh;

use std::time::Duration;

use super::server::Server;
use crate::measure::cpu_time_with_the_dead;

/// One that runs between two servers.
pub trait Carrier: Send {
    /// Told once the first copy of every table is complete.
    fn copied(&mut self) {}

    /// Has nothing arrive from here on.
    fn stop_receiving(&mut self);

    /// Has all arrive that waits, and what follows.
    fn receive(&mut self);

    /// Its processes beside those of the servers.
    fn programs(&self) -> Vec<u32> {
        vec![]
    }

    /// Processor time of these.
    fn processor(&self) -> Duration {
        self.programs().into_iter().filter_map(cpu_time_with_the_dead).sum()
    }
}

/// What is left to do once the first server is prepared: starts to copy what that one holds to a server whose tables are made.
pub type Join = Box<dyn FnOnce(&Server) -> Result<Box<dyn Carrier>, String> + Send>;

/// One that can be set up.
pub struct Kind {
    /// As it is printed.
    pub name: &'static str,
    /// Lines for `postgresql.conf` that it needs on both servers.
    pub settings: &'static [&'static str],
    /// Files that must be there; `{pg}` is the folder of the server's release.
    needs: &'static [&'static str],
    package: &'static str,
    /// Prepares the server that the application works on.
    pub attach: fn(&Server) -> Result<Join, String>,
}

/// All kinds; Rowmesh last.
pub const KINDS: &[Kind] = &[native::KIND, pglogical::KIND, bucardo::KIND, rowmesh::KIND];

impl Kind {
    /// Why it cannot be measured here.
    pub fn absence(&self) -> Option<String> {
        let is_there = |file: &&str| {
            let file = file.replace("{pg}", &super::cluster::binaries().join("..").to_string_lossy());
            std::path::Path::new(&file).exists()
        };
        (!self.needs.iter().all(is_there)).then(|| format!("not installed: apt-get install {}", self.package))
    }
}
