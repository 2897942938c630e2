//! Whether a database may live where it lives: two programs share a SQLite file through the file system's locks, and those of
//! network file systems cannot be relied on. Reads the list of mounts, never the database.

use std::path::Path;

/// What is known of the file system under a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// A file system of this machine.
    Local,
    /// A file system of another machine; its type.
    Network(String),
    /// The list of mounts does not tell.
    Unknown,
}

/// Judges where `path` lies by the mounts of the running system. `path` must be absolute and free of links.
pub fn judge(path: &Path) -> Verdict {
    match std::fs::read("/proc/self/mountinfo") {
        Ok(mounts) => judge_by(&String::from_utf8_lossy(&mounts), path),
        Err(_) => Verdict::Unknown,
    }
}

/// Judges where `path` lies by a list of mounts as Linux shows it in `/proc/self/mountinfo`.
pub fn judge_by(mountinfo: &str, path: &Path) -> Verdict {
    let mounts = mountinfo.lines().filter_map(parse_mount);
    let over_path = mounts.filter(|(point, _)| path.starts_with(point));
    // Of mounts on one point the last is the one that is seen.
    match over_path.max_by_key(|(point, _)| Path::new(point).components().count()) {
        Some((_, kind)) if is_network(kind) => Verdict::Network(kind.to_owned()),
        Some(_) => Verdict::Local,
        None => Verdict::Unknown,
    }
}

/// Mount point and type of one line: `36 35 98:0 /root /point options [tags] - type source options`.
fn parse_mount(line: &str) -> Option<(String, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let point = before.split(' ').nth(4)?;
    Some((unescape(point), after.split(' ').next()?))
}

/// Mount points have space, tab, newline and backslash in octal.
fn unescape(point: &str) -> String {
    point.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn is_network(kind: &str) -> bool {
    const NETWORK: [&str; 24] = [
        "9p",
        "acfs",
        "afs",
        "afpfs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "gfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "prl_fs",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
    ];
    // Of file systems in user space those that are known to be local are few, and any other may reach over a network.
    const LOCAL_IN_USER_SPACE: [&str; 8] = [
        "fuse.bindfs",
        "fuse.ecryptfs",
        "fuse.encfs",
        "fuse.fuse-overlayfs",
        "fuse.gocryptfs",
        "fuse.lxcfs",
        "fuse.mergerfs",
        "fuse.ntfs-3g",
    ];
    NETWORK.contains(&kind) || (kind.starts_with("fuse.") && !LOCAL_IN_USER_SPACE.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw
23 22 0:5 / /dev/shm rw,nosuid - tmpfs tmpfs rw
24 22 0:40 / /srv/share rw,relatime shared:9 - nfs4 server:/export rw,vers=4.2
25 24 0:41 / /srv/share/fast rw - xfs /dev/sdb1 rw
26 22 0:42 / /mnt/with\\040space rw - cifs //server/share rw
27 22 0:43 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw,lowerdir=a
28 22 0:44 / /home/me/far rw - fuse.sshfs me@server: rw
29 22 0:45 / /mnt/stick rw - fuseblk /dev/sdc1 rw
30 22 0:46 / /twice rw - nfs server:/a rw
31 22 0:47 / /twice rw - ext4 /dev/sdd1 rw
";

    fn check(path: &str, expected: Verdict) {
        assert_eq!(judge_by(MOUNTS, Path::new(path)), expected, "{path}");
    }

    #[test]
    fn b11_network_file_systems_are_refused() {
        check("/srv/share/app.db", Verdict::Network("nfs4".into()));
        check("/mnt/with space/app.db", Verdict::Network("cifs".into()));
        check("/home/me/far/app.db", Verdict::Network("fuse.sshfs".into()));
    }

    #[test]
    fn b11_local_file_systems_tmpfs_and_overlay_are_allowed() {
        check("/home/me/app.db", Verdict::Local);
        check("/dev/shm/app.db", Verdict::Local);
        check("/var/lib/docker/overlay2/x/merged/app.db", Verdict::Local);
        check("/mnt/stick/app.db", Verdict::Local);
    }

    #[test]
    fn b11_the_innermost_and_the_last_mount_decide() {
        check("/srv/share/fast/app.db", Verdict::Local);
        check("/srv/shared/app.db", Verdict::Local);
        check("/twice/app.db", Verdict::Local);
    }

    #[test]
    fn b11_a_list_that_cannot_be_read_is_no_reason_to_refuse() {
        assert_eq!(judge_by("", Path::new("/app.db")), Verdict::Unknown);
        assert_eq!(judge_by("nonsense\n1 2 3", Path::new("/app.db")), Verdict::Unknown);
    }
}
