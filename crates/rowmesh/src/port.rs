//! The port of a node that leaves the choice to the system (`--listen HOST:0`): remembered beside the key and tried again first, so that
//! others find the node where they knew it. Opens no socket.

use std::path::{Path, PathBuf};

use tracing::warn;

use crate::files;

/// Beside the key.
const FILE: &str = "port";

/// Where the port is remembered.
#[derive(Debug)]
pub(crate) struct KeptPort {
    path: PathBuf,
    host: String,
}

impl KeptPort {
    /// Of an address that leaves the choice to the system; `None` for one that names its port.
    pub(crate) fn of(listen: &str, data: &Path) -> Option<KeptPort> {
        let host = listen.strip_suffix(":0")?;
        Some(KeptPort { path: data.join(FILE), host: host.to_owned() })
    }

    /// The address with the port that was taken last time, if there was one.
    pub(crate) fn last(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        let port: u16 = text.trim().parse().ok().filter(|port| *port != 0)?;
        Some(format!("{}:{port}", self.host))
    }

    /// Remembers a port. That it cannot be is no reason not to start: others are told the new one then.
    pub(crate) fn keep(&self, port: u16) {
        if let Err(failure) = files::write(&self.path, format!("{port}\n").as_bytes()) {
            warn!(%failure, "the port is not remembered for the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_remembered_only_where_the_system_chose_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(KeptPort::of("127.0.0.1:7696", folder.path()).is_none());
        assert!(KeptPort::of("127.0.0.1:70", folder.path()).is_none());
        let port = KeptPort::of("127.0.0.1:0", folder.path()).unwrap();
        assert_eq!(port.last(), None);
        port.keep(4711);
        assert_eq!(port.last().as_deref(), Some("127.0.0.1:4711"));
        assert_eq!(KeptPort::of("[::]:0", folder.path()).unwrap().last().as_deref(), Some("[::]:4711"));
        std::fs::write(folder.path().join(FILE), "0\n").unwrap();
        assert_eq!(port.last(), None, "damage is no port");
    }
}
