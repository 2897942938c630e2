//! Writes what the recorder has found worth a row, one after the other, beside the daemon's loop. What is worth a row is the recorder's part.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::recorder::Record;
use crate::store_thread::StoreHandle;

/// Writes records one after the other, beside the loop.
pub(crate) struct Scribe {
    records: mpsc::UnboundedSender<Vec<Record>>,
    writing: JoinHandle<()>,
}

impl Scribe {
    pub(crate) fn start(store: StoreHandle) -> Scribe {
        let (records, mut waiting) = mpsc::unbounded_channel::<Vec<Record>>();
        let writing = tokio::spawn(async move {
            while let Some(records) = waiting.recv().await {
                let mut records = VecDeque::from(records);
                let written = store.write(move |store| {
                    while let Some(record) = records.front() {
                        record.write(store)?;
                        records.pop_front();
                    }
                    Ok(())
                });
                if let Err(failure) = written.await {
                    warn!(%failure, "a record could not be written");
                }
            }
        });
        Scribe { records, writing }
    }

    pub(crate) fn write(&self, records: Vec<Record>) {
        let _ = self.records.send(records);
    }

    pub(crate) async fn end(self) {
        drop(self.records);
        let _ = self.writing.await;
    }
}
