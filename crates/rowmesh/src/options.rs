//! What a node is told when it is opened. Everything has a default but the data folder and the database. Files and environment variables
//! are the caller's business: nothing is looked up here.

use std::path::PathBuf;
use std::time::Duration;

use rowmesh_core::limits::{ADDRESSES_MAX, NODE_NAME_BYTES_MAX};
pub use rowmesh_core::policy::{ColumnPolicy, ExistencePolicy, OrphanPolicy};
pub use rowmesh_core::roster::{RowFilter, TablePolicy};
use rowmesh_core::roster::{is_address, is_person_name};

use crate::clock::Clock;
use crate::failure::{Failure, code};
use crate::transport::{ClientLimits, ServerLimits};

/// Settings of one node.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Folder of the node's own files: key, locks, invites, control socket. Made if it is not there.
    pub data: PathBuf,
    /// The database: a path, or a URL.
    pub database: String,
    /// Whether the database was made for this node, so that nobody else has chosen its journal mode: then it is WAL.
    pub is_new: bool,
    /// What people call the node.
    pub name: String,
    /// Where to listen for peers, `host:port`, port 0 for any; `None` for a node that only calls others.
    pub listen: Option<String>,
    /// Addresses at which peers reach this node. Empty: those that follow from `listen`.
    pub advertise: Vec<String>,
    /// Where the control socket lies. Default: `control.sock` in the data folder.
    pub socket: Option<PathBuf>,
    /// How often to exchange with each peer when nothing happens.
    pub interval: Duration,
    /// Whether to exchange at once after a change.
    pub nudge: bool,
    /// Tables that sync, by name or pattern.
    pub include: Vec<String>,
    /// Tables that do not, by name or pattern, beside those that are excluded by default.
    pub exclude: Vec<String>,
    /// Rows that stay here.
    pub filters: Vec<RowFilter>,
    /// How the conflicts of tables are settled, where it is not as everywhere. Columns that are not named keep the policy that they have.
    pub policies: Vec<TablePolicy>,
    /// Key columns of tables that have no usable key of their own.
    pub keys: Vec<(String, Vec<String>)>,
    /// Triggers of the application that keep still for changes from other nodes whatever they do, by name.
    pub leave_triggers: Vec<String>,
    /// Triggers of the application that run for changes from other nodes although it cannot be told that they only maintain what stays here, by
    /// name. PostgreSQL only.
    pub carry_triggers: Vec<String>,
    /// How often to look at the database for changes of the application.
    pub look: Duration,
    /// After how long at one thing a part of the node counts as hanging.
    pub watchdog: Duration,
    /// Missed intervals after which a peer counts as lost.
    pub missed_intervals_max: u32,
    /// Where the time comes from.
    pub clock: Clock,
    /// What is put up with when listening.
    pub server_limits: ServerLimits,
    /// What is put up with when dialling.
    pub client_limits: ClientLimits,
}

impl NodeOptions {
    /// The defaults for a database and a data folder.
    pub fn new(data: impl Into<PathBuf>, database: impl Into<String>) -> NodeOptions {
        NodeOptions {
            data: data.into(),
            database: database.into(),
            is_new: false,
            name: "node".to_owned(),
            listen: Some("0.0.0.0:7696".to_owned()),
            advertise: Vec::new(),
            socket: None,
            interval: Duration::from_secs(30),
            nudge: true,
            include: vec!["*".to_owned()],
            exclude: Vec::new(),
            filters: Vec::new(),
            policies: Vec::new(),
            keys: Vec::new(),
            leave_triggers: Vec::new(),
            carry_triggers: Vec::new(),
            look: Duration::from_millis(50),
            watchdog: Duration::from_secs(60),
            missed_intervals_max: 3,
            clock: Clock::machine(),
            server_limits: ServerLimits::default(),
            client_limits: ClientLimits::default(),
        }
    }

    /// Where the control socket lies.
    pub fn socket_path(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| self.data.join("control.sock"))
    }

    /// Whether all of it can be used.
    ///
    /// # Errors
    /// With the first setting that cannot.
    pub fn check(&self) -> Result<(), Failure> {
        let bad = |what: String, hint: &str| Err(Failure::new(code::BAD_SETTING, what).hint(hint, ""));
        if !is_person_name(&self.name) {
            let hint = format!("A name is 1 to {NODE_NAME_BYTES_MAX} bytes of visible text.");
            return bad(format!("{:?} cannot be the name of a node", self.name), &hint);
        }
        if let Some(listen) = self.listen.as_ref().filter(|listen| !is_address(listen)) {
            return bad(format!("cannot listen on {listen:?}"), "Give host:port, such as 0.0.0.0:7696.");
        }
        if let Some(address) = self.advertise.iter().find(|address| !is_address(address)) {
            return bad(format!("{address:?} is no address"), "Give host:port, such as 192.168.1.20:7696.");
        }
        if self.advertise.len() > ADDRESSES_MAX {
            return bad(format!("{} addresses are too many", self.advertise.len()), "Give 16 at most.");
        }
        if self.interval < Duration::from_millis(100) {
            return bad(format!("an interval of {:?} is too short", self.interval), "Give 100 ms or more.");
        }
        Ok(())
    }
}
