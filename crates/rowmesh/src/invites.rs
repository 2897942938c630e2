//! The invites that this node has made: enough of each to check a proof, kept in files that only the node's user can read, never in the
//! database. Whether a proof is good is core's to say; who is let in is `joining`'s.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::hex;
use rowmesh_core::ident::{MeshId, NodeId};
use rowmesh_core::invite::{Attempt, Invite, InviteRecord, InviteSecret, Redeemed, redeem};
use rowmesh_core::limits;
use rowmesh_core::roster::{Role, is_address};
use tracing::warn;

use crate::failure::{Failure, code};
use crate::files;
use crate::random::random_bytes;

/// All invites of this node.
#[derive(Debug)]
pub(crate) struct Invites {
    folder: PathBuf,
    records: Mutex<Records>,
}

struct Records(Vec<InviteRecord>);

/// What an invite is to be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) ttl_ms: u64,
    pub(crate) uses: u32,
    pub(crate) role: Role,
    pub(crate) addresses: Vec<String>,
}

/// How long a dead invite is remembered, so that whoever comes late is told why it is dead.
const REMEMBERED_MS: u64 = 7 * 24 * 3_600_000;

impl Invites {
    /// Reads the invites in a data folder.
    ///
    /// # Errors
    /// If the folder cannot be read or made.
    pub(crate) fn open(data: &Path) -> Result<Invites, Failure> {
        let folder = data.join("invites");
        let failed = |source| Failure::file("read the invites", &folder, &source);
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder).map_err(failed)?;
        let mut records = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "invite") {
                continue;
            }
            match InviteRecord::decode(&std::fs::read(&path).map_err(failed)?) {
                Ok(record) => records.push(record),
                Err(error) => warn!(path = %path.display(), %error, "an invite cannot be read and is passed over"),
            }
        }
        Ok(Invites { folder, records: Mutex::new(Records(records)) })
    }

    /// Makes an invite and keeps what is needed to check it.
    ///
    /// # Errors
    /// If too many are open, what is wanted cannot be, or it cannot be kept.
    pub(crate) fn create(
        &self,
        mesh: MeshId,
        inviter: NodeId,
        wanted: Wanted,
        now: WallTime,
    ) -> Result<Invite, Failure> {
        let Wanted { ttl_ms, uses, role, addresses } = wanted;
        check(ttl_ms, uses, role, &addresses)?;
        let mut records = self.lock();
        self.forget_dead(&mut records, now);
        let open = records.0.iter().filter(|record| record.is_open(now)).count();
        if open >= limits::INVITES_OPEN_MAX {
            return Err(Failure::new(code::NO_INVITE, format!("{open} invites are open already"))
                .hint("Use one of them, or wait until they expire.", ""));
        }
        let secret = InviteSecret::new(random_bytes()?);
        let expires = WallTime(now.0.saturating_add(ttl_ms));
        let invite = Invite { mesh, inviter, addresses, secret, expires, role };
        let record = invite.record(uses);
        self.save(&record)?;
        records.0.push(record);
        Ok(invite)
    }

    /// Judges an attempt, and remembers it before anybody is told.
    ///
    /// # Errors
    /// If the outcome cannot be kept. Then nobody is let in.
    pub(crate) fn redeem(&self, attempt: &Attempt<'_>, now: WallTime) -> Result<Redeemed, Failure> {
        let mut records = self.lock();
        let mut tried = records.0.clone();
        let redeemed = redeem(&mut tried, now, attempt);
        for (before, after) in records.0.iter().zip(&tried) {
            if before != after {
                self.save(after)?;
            }
        }
        records.0 = tried;
        Ok(redeemed)
    }

    fn forget_dead(&self, records: &mut Records, now: WallTime) {
        let is_remembered = |record: &InviteRecord| now.0 < record.expires.0.saturating_add(REMEMBERED_MS);
        for record in records.0.iter().filter(|record| !is_remembered(record)) {
            if let Err(failure) = files::remove(&self.path_of(record)) {
                warn!(%failure, "an old invite cannot be removed");
            }
        }
        records.0.retain(is_remembered);
    }

    fn save(&self, record: &InviteRecord) -> Result<(), Failure> {
        files::write(&self.path_of(record), &record.encode())
    }

    fn path_of(&self, record: &InviteRecord) -> PathBuf {
        self.folder.join(format!("{}.invite", hex(&record.id.0)))
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(ttl_ms: u64, uses: u32, role: Role, addresses: &[String]) -> Result<(), Failure> {
    let no = |message: String, hint: &str| Err(Failure::new(code::NO_INVITE, message).hint(hint, ""));
    if addresses.is_empty() {
        return no(
            "no address is known at which this node can be reached".into(),
            "Name one: rowmesh invite --addr HOST:PORT",
        );
    }
    if let Some(address) = addresses.iter().find(|address| !is_address(address)) {
        return no(format!("{address:?} is no address"), "Give host:port, such as 192.168.1.20:7696.");
    }
    if ttl_ms == 0 || ttl_ms > limits::INVITE_TTL_MS_MAX {
        return no("an invite lasts between a millisecond and 24 hours".into(), "Give --ttl 15m, for example.");
    }
    if uses == 0 || uses > limits::INVITE_USES_MAX {
        return no(format!("an invite lets in 1 to {} nodes", limits::INVITE_USES_MAX), "Give --uses 1, for example.");
    }
    if matches!(role, Role::Admin | Role::Other(_)) {
        return no("nobody becomes an admin by invite".into(), "Give --role peer or --role observer.");
    }
    Ok(())
}

/// Keys of invites are nobody's business, not even a log's.
impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} invites", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime(1_000_000);
    const MESH: MeshId = MeshId([3; 32]);
    const INVITER: NodeId = NodeId([1; 32]);

    fn wanted() -> Wanted {
        Wanted { ttl_ms: 1_000, uses: 1, role: Role::Peer, addresses: vec!["127.0.0.1:7696".into()] }
    }

    fn try_with(invites: &Invites, invite: &Invite, joiner: u8) -> Redeemed {
        let joiner = NodeId([joiner; 32]);
        let exporter = [7; 32];
        let (id, proof) = (invite.secret.id(), invite.proof(&exporter, &joiner));
        invites.redeem(&Attempt { mesh: MESH, id, proof, joiner, inviter: INVITER, exporter: &exporter }, NOW).unwrap()
    }

    #[test]
    fn s29_a_used_invite_stays_used_after_a_crash_and_its_user_may_ask_again() {
        let folder = tempfile::tempdir().unwrap();
        let invites = Invites::open(folder.path()).unwrap();
        let invite = invites.create(MESH, INVITER, wanted(), NOW).unwrap();
        assert_eq!(try_with(&invites, &invite, 2), Redeemed::Ok { role: Role::Peer, again: false });
        let after_crash = Invites::open(folder.path()).unwrap();
        assert_eq!(try_with(&after_crash, &invite, 2), Redeemed::Ok { role: Role::Peer, again: true });
        assert_eq!(try_with(&after_crash, &invite, 3), Redeemed::Used { by: NodeId([2; 32]), at: NOW });
    }

    #[test]
    fn s66_s31_what_is_kept_of_an_invite_is_closed_to_others_and_cannot_make_the_line_again() {
        let folder = tempfile::tempdir().unwrap();
        let invites = Invites::open(folder.path()).unwrap();
        let line = invites.create(MESH, INVITER, wanted(), NOW).unwrap().to_line();
        let path = std::fs::read_dir(folder.path().join("invites")).unwrap().next().unwrap().unwrap().path();
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let kept = std::fs::read(&path).unwrap();
        let secret = &Invite::parse(&line).ok().unwrap().secret;
        assert!(kept.windows(16).all(|window| {
            let window: [u8; 16] = window.try_into().unwrap();
            InviteSecret::new(window) != *secret
        }));
    }

    #[test]
    fn twenty_invites_may_be_open_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let invites = Invites::open(folder.path()).unwrap();
        for _ in 0..limits::INVITES_OPEN_MAX {
            invites.create(MESH, INVITER, wanted(), NOW).unwrap();
        }
        let refused = invites.create(MESH, INVITER, wanted(), NOW).err().unwrap();
        assert_eq!(refused.code, code::NO_INVITE);
        let later = WallTime(NOW.0 + 1_000);
        invites.create(MESH, INVITER, wanted(), later).unwrap();
    }

    #[test]
    fn an_invite_that_cannot_be_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let invites = Invites::open(folder.path()).unwrap();
        for impossible in [
            Wanted { addresses: vec![], ..wanted() },
            Wanted { addresses: vec!["here".into()], ..wanted() },
            Wanted { ttl_ms: 0, ..wanted() },
            Wanted { ttl_ms: limits::INVITE_TTL_MS_MAX + 1, ..wanted() },
            Wanted { uses: 0, ..wanted() },
            Wanted { uses: limits::INVITE_USES_MAX + 1, ..wanted() },
            Wanted { role: Role::Admin, ..wanted() },
        ] {
            let shown = format!("{impossible:?}");
            assert!(invites.create(MESH, INVITER, impossible, NOW).is_err(), "{shown}");
        }
        invites.create(MESH, INVITER, Wanted { ttl_ms: limits::INVITE_TTL_MS_MAX, ..wanted() }, NOW).unwrap();
    }
}
