//! An initial copy that a start finds unfinished is fetched again, until it is whole; nothing is exchanged meanwhile. How a copy is loaded is
//! `joining`.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::{Daemon, Wake};
use crate::failure::Failure;
use crate::joining::{self, Applicant, Unfinished};
use crate::shared::Shared;

impl Daemon {
    pub(super) fn resume_load(&mut self) {
        if self.shared.loading.borrow().is_none() {
            return;
        }
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            let mut pause = Duration::from_millis(500);
            loop {
                match finish_load(&shared).await {
                    Ok(()) => return shared.wake(Wake::Loaded),
                    Err(failure) => {
                        warn!(%failure, "the initial copy did not come whole; it begins anew");
                        shared.wake(Wake::LoadFails(failure));
                    }
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(30));
            }
        });
    }

    pub(super) fn loaded(&mut self) {
        info!("the initial copy is complete; live");
        self.shared.loading.send_replace(None);
        self.shared.book().notices.remove("load");
        self.resumed();
    }
}

async fn finish_load(shared: &Arc<Shared>) -> Result<(), Failure> {
    let sponsor = Unfinished::read(&shared.options.data)?.map_or_else(|| shared.me(), |note| note.sponsor);
    let applicant =
        Applicant { key: &shared.key, options: &shared.options, store: &shared.store, addresses: Vec::new() };
    let say = |progress: crate::snapshots::Progress| {
        shared.loading.send_replace(Some(format!("{} of {} rows", progress.rows, progress.rows_total)));
    };
    joining::load(&applicant, &shared.members.roster(), sponsor, None, &say).await?;
    shared.store.set_capturing(true).await
}
