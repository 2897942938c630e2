//! Rowmesh itself: a node beside each server, set up with the commands that people use, nudged as it is by default.

use std::sync::Arc;

use super::{Carrier, Join, Kind};
use crate::daemons::{Daemon, Place};
use crate::postgres::server::Server;

/// As its manual sets it up.
pub const KIND: Kind = Kind { name: "Rowmesh", settings: &[], needs: &[], package: "", attach };

struct Rowmesh {
    place: Arc<Place>,
    near: Daemon,
    /// `None` while nothing is to be received.
    far: Option<Daemon>,
}

fn attach(source: &Server) -> Result<Join, String> {
    let place = Arc::new(Place::new().ok_or("there is no release build of rowmesh, and none could be made")?);
    let near = place.start(&["up", &source.url(), "--name", "a", "--yes"])?;
    Ok(Box::new(move |target| {
        let far = place.start(&["up", &target.url(), "--name", "b", "--yes", "--join", near.invite()])?;
        Ok(Box::new(Rowmesh { place, near, far: Some(far) }))
    }))
}

impl Carrier for Rowmesh {
    fn stop_receiving(&mut self) {
        self.far = None;
    }

    fn receive(&mut self) {
        self.far = Some(self.place.start(&["run", "--name", "b"]).expect("it ran before"));
    }

    fn programs(&self) -> Vec<u32> {
        self.far.iter().chain([&self.near]).map(Daemon::pid).collect()
    }
}
