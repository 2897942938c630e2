//! What a node does when others know more of what it has made than it does itself: once, its database was put back to an earlier state, and it
//! goes on under a new incarnation; twice, somebody else uses its name, and a person has to choose.

use std::sync::atomic::Ordering;

use tracing::warn;

use super::{Daemon, Wake};
use crate::shared::{restored, two_lives};

impl Daemon {
    /// Others know changes under this node's name that it does not know. Once, the database was put back; twice, somebody else makes them.
    pub(super) fn other_life(&mut self, seen: u32) {
        let own = self.shared.store.exposed().position.origin;
        // The first of several who noticed has been heard.
        if seen < own.incarnation.count || self.renewing || self.shared.two_lives.load(Ordering::Relaxed) {
            return;
        }
        self.renewals += 1;
        if self.renewals > 1 {
            warn!("another machine uses this node's identity; capture and exchange stop until a person has chosen");
            self.shared.two_lives.store(true, Ordering::Relaxed);
            self.shared.book().notices.insert("lives".to_owned(), two_lives());
            let store = self.shared.store.clone();
            self.tasks.spawn(async move { drop(store.set_capturing(false).await) });
            return;
        }
        self.renewing = true;
        self.shared.book().notices.insert("lives".to_owned(), restored());
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            if let Err(failure) = shared.store.renew(seen).await {
                warn!(%failure, "no new incarnation could be taken");
            }
            shared.wake(Wake::Renewed);
        });
    }

    pub(super) fn renewed(&mut self) {
        self.renewing = false;
        self.resumed();
    }
}
