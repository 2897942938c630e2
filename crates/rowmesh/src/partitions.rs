//! The partitions that are open, in a file, so that a row of `network_partitions` that was opened before a restart is closed after it.

use std::path::{Path, PathBuf};

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::NodeId;
use rowmesh_core::store::PartitionRecord;
use tracing::warn;

use crate::files;

/// The partitions that were open when the node stopped. What cannot be read is forgotten: it is only for the record.
pub(crate) fn open_ones(data: &Path) -> Vec<PartitionRecord> {
    let text = std::fs::read_to_string(path(data)).unwrap_or_default();
    text.lines().filter_map(parse).collect()
}

/// Keeps those that are open now.
pub(crate) fn keep(data: &Path, open: &[PartitionRecord]) {
    let line = |partition: &PartitionRecord| {
        let PartitionRecord { peer, started_at, detected_at, reason, .. } = partition;
        format!("{peer}\t{}\t{}\t{}\n", started_at.0, detected_at.0, reason.replace(['\t', '\n'], " "))
    };
    let text: String = open.iter().map(line).collect();
    if let Err(failure) = files::write(&path(data), text.as_bytes()) {
        warn!(%failure, "the open partitions could not be noted");
    }
}

fn parse(line: &str) -> Option<PartitionRecord> {
    let mut parts = line.splitn(4, '\t');
    let mut next = || parts.next();
    Some(PartitionRecord {
        peer: NodeId::parse(next()?)?,
        started_at: WallTime(next()?.parse().ok()?),
        detected_at: WallTime(next()?.parse().ok()?),
        healed_at: None,
        reason: next()?.to_owned(),
        events_on_healing: 0,
    })
}

fn path(data: &Path) -> PathBuf {
    data.join("partitions")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g16_an_open_partition_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(open_ones(folder.path()), []);
        let open = PartitionRecord {
            peer: NodeId::of_public_key(&[1; 32]),
            started_at: WallTime(5),
            detected_at: WallTime(6),
            healed_at: None,
            reason: "cannot reach depot: no\tanswer".into(),
            events_on_healing: 0,
        };
        keep(folder.path(), std::slice::from_ref(&open));
        let expected = PartitionRecord { reason: "cannot reach depot: no answer".into(), ..open };
        assert_eq!(open_ones(folder.path()), [expected]);
        keep(folder.path(), &[]);
        assert_eq!(open_ones(folder.path()), []);
    }
}
