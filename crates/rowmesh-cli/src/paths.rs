//! Where things lie on this machine, by the conventions of its system. Makes no folder and reads no file.

use std::path::PathBuf;

use crate::config::Surroundings;

/// Name of the socket in a node's folder.
pub const SOCKET: &str = "control.sock";

/// The folder that holds one folder per node: what systemd says, else the user's state folder, else the system's.
pub fn state_root(surroundings: &Surroundings) -> PathBuf {
    let absolute = |name: &str| surroundings.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // systemd lists several folders with colons; ours is the first.
    let systemd = surroundings.variable("STATE_DIRECTORY").and_then(|list| list.split(':').next()).map(PathBuf::from);
    systemd
        .or_else(|| absolute("XDG_STATE_HOME").map(|folder| folder.join("rowmesh")))
        .or_else(|| absolute("HOME").map(|home| home.join(USER_STATE)))
        .unwrap_or_else(|| PathBuf::from("/var/lib/rowmesh"))
}

#[cfg(target_os = "macos")]
const USER_STATE: &str = "Library/Application Support/rowmesh";
#[cfg(not(target_os = "macos"))]
const USER_STATE: &str = ".local/state/rowmesh";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_folder_is_where_the_system_wants_it() {
        let check = |variables: &[(&str, &str)], expected: &str| {
            let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let surroundings = Surroundings { variables, ..Surroundings::default() };
            assert_eq!(state_root(&surroundings), PathBuf::from(expected));
        };
        check(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")], "/s/rowmesh");
        check(&[("STATE_DIRECTORY", "/var/lib/rowmesh:/x"), ("HOME", "/h")], "/var/lib/rowmesh");
        check(&[("XDG_STATE_HOME", "relative")], "/var/lib/rowmesh");
        check(&[], "/var/lib/rowmesh");
    }
}
