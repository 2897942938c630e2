//! What is worth a row in `sync_sessions`, `network_partitions` and `sync_metrics`. An exchange that moved nothing is only counted, so that an
//! idle pair of nodes never writes. Pure: it is told what happened and when, and says what to write; writing is the caller's part.

use std::collections::BTreeMap;

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::NodeId;
use rowmesh_core::store::{MetricRecord, PartitionRecord, SessionRecord, Store, StoreResult};

use crate::failure::Failure;

/// One exchange that ended, however it ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exchanged {
    pub(crate) peer: NodeId,
    pub(crate) dialled: bool,
    pub(crate) started_at: WallTime,
    pub(crate) ended_at: WallTime,
    pub(crate) sent: Moved,
    pub(crate) received: Moved,
    pub(crate) failure: Option<Failure>,
}

/// An amount of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) changesets: u64,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

/// A row to write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Session(SessionRecord),
    Partition(PartitionRecord),
    Metrics(Vec<MetricRecord>),
}

/// What has happened and is not written yet.
#[derive(Debug)]
pub(crate) struct Recorder {
    started_at: WallTime,
    /// Milliseconds without a successful exchange after which a peer is lost.
    lost_after_ms: u64,
    peers: BTreeMap<NodeId, Seen>,
    hour: Hour,
}

#[derive(Debug, Default)]
struct Seen {
    idle: u64,
    last_failure: Option<Failure>,
    last_success: Option<WallTime>,
    lost: Option<PartitionRecord>,
}

#[derive(Debug, Default)]
struct Hour {
    begins_at: WallTime,
    figures: BTreeMap<(Option<NodeId>, &'static str), f64>,
}

const HOUR_MS: u64 = 3_600_000;
/// Why a peer is lost of which nothing was heard and that was not called in vain yet.
const UNEXPLAINED: &str = "no exchange";

impl Recorder {
    /// Knows of nothing yet. `lost` are the partitions that were open when the node stopped.
    pub(crate) fn new(now: WallTime, lost_after_ms: u64, lost: Vec<PartitionRecord>) -> Recorder {
        let lost_seen =
            |partition: PartitionRecord| (partition.peer, Seen { lost: Some(partition), ..Seen::default() });
        Recorder {
            started_at: now,
            lost_after_ms,
            peers: lost.into_iter().map(lost_seen).collect(),
            hour: Hour { begins_at: WallTime(now.0 - now.0 % HOUR_MS), ..Hour::default() },
        }
    }

    /// An exchange ended.
    pub(crate) fn exchanged(&mut self, exchanged: &Exchanged) -> Vec<Record> {
        let mut records = self.turn_hour(exchanged.ended_at);
        self.count(exchanged);
        let seen = self.peers.entry(exchanged.peer).or_default();
        match &exchanged.failure {
            None => {
                seen.last_success = Some(exchanged.ended_at);
                seen.last_failure = None;
                records.extend(seen.found(exchanged).map(Record::Partition));
            }
            Some(failure) if seen.last_failure.as_ref().is_some_and(|last| last.is_like(failure)) => {
                seen.idle += 1;
                return records;
            }
            Some(failure) => {
                records.extend(seen.explained(failure).map(Record::Partition));
                seen.last_failure = Some(failure.clone());
            }
        }
        let is_news = exchanged.failure.is_some() || exchanged.sent.changesets + exchanged.received.changesets > 0;
        if is_news {
            records.push(Record::Session(session(exchanged, std::mem::take(&mut seen.idle))));
        } else {
            seen.idle += 1;
        }
        records
    }

    /// Time passes: which of the `members` are lost, and whether an hour with something in it is over.
    pub(crate) fn tick(&mut self, now: WallTime, members: &[NodeId]) -> Vec<Record> {
        let mut records = self.turn_hour(now);
        for peer in members {
            let seen = self.peers.entry(*peer).or_default();
            let last = seen.last_success.unwrap_or(self.started_at);
            if seen.lost.is_none() && now.0.saturating_sub(last.0) > self.lost_after_ms {
                let reason = seen.last_failure.as_ref().map_or_else(|| UNEXPLAINED.to_owned(), Failure::to_string);
                let partition = PartitionRecord {
                    peer: *peer,
                    started_at: last,
                    detected_at: now,
                    healed_at: None,
                    reason,
                    events_on_healing: 0,
                };
                seen.lost = Some(partition.clone());
                records.push(Record::Partition(partition));
            }
        }
        records
    }

    /// A figure of the present hour grows.
    pub(crate) fn add(&mut self, name: &'static str, peer: Option<NodeId>, amount: u64) {
        if amount > 0 {
            *self.hour.figures.entry((peer, name)).or_default() += amount as f64;
        }
    }

    /// What the present hour holds so far, for the end of the program.
    pub(crate) fn close(&mut self) -> Vec<Record> {
        let figures = std::mem::take(&mut self.hour.figures);
        let hour = self.hour.begins_at;
        let metric = |((peer, name), value): ((Option<NodeId>, &str), f64)| MetricRecord {
            hour,
            peer,
            name: name.to_owned(),
            value,
        };
        let metrics: Vec<MetricRecord> = figures.into_iter().map(metric).collect();
        if metrics.is_empty() { Vec::new() } else { vec![Record::Metrics(metrics)] }
    }

    /// Partitions that are open.
    pub(crate) fn lost(&self) -> Vec<PartitionRecord> {
        self.peers.values().filter_map(|seen| seen.lost.clone()).collect()
    }

    /// Whether a peer is lost at present.
    #[cfg(test)]
    fn is_lost(&self, peer: &NodeId) -> bool {
        self.peers.get(peer).is_some_and(|seen| seen.lost.is_some())
    }

    fn turn_hour(&mut self, now: WallTime) -> Vec<Record> {
        let begins_at = WallTime(now.0 - now.0 % HOUR_MS);
        if begins_at == self.hour.begins_at {
            return Vec::new();
        }
        let records = self.close();
        self.hour.begins_at = begins_at;
        records
    }

    fn count(&mut self, exchanged: &Exchanged) {
        let peer = Some(exchanged.peer);
        let Exchanged { sent, received, .. } = exchanged;
        self.add("changesets_sent", peer, sent.changesets);
        self.add("events_sent", peer, sent.events);
        self.add("bytes_sent", peer, if sent.changesets > 0 { sent.bytes } else { 0 });
        self.add("changesets_received", peer, received.changesets);
        self.add("events_received", peer, received.events);
        self.add("bytes_received", peer, if received.changesets > 0 { received.bytes } else { 0 });
    }
}

impl Moved {
    /// Adds another amount.
    pub(crate) fn add(&mut self, other: Moved) {
        self.changesets += other.changesets;
        self.events += other.events;
        self.bytes += other.bytes;
    }
}

impl Record {
    /// Writes it.
    pub(crate) fn write(&self, store: &mut dyn Store) -> StoreResult<()> {
        match self {
            Record::Session(session) => store.record_session(session),
            Record::Partition(partition) => store.record_partition(partition),
            Record::Metrics(metrics) => store.record_metrics(metrics),
        }
    }
}

impl Seen {
    /// Gives a partition that was noticed by silence its reason, with the first failure that tells one.
    fn explained(&mut self, failure: &Failure) -> Option<PartitionRecord> {
        let partition = self.lost.as_mut().filter(|partition| partition.reason == UNEXPLAINED)?;
        partition.reason = failure.to_string();
        Some(partition.clone())
    }

    /// Closes the partition that was open, if one was.
    fn found(&mut self, exchanged: &Exchanged) -> Option<PartitionRecord> {
        let mut partition = self.lost.take()?;
        partition.healed_at = Some(exchanged.ended_at);
        partition.events_on_healing = exchanged.sent.events + exchanged.received.events;
        Some(partition)
    }
}

fn session(exchanged: &Exchanged, idle_before: u64) -> SessionRecord {
    let Exchanged { sent, received, .. } = exchanged;
    SessionRecord {
        peer: exchanged.peer,
        dialled: exchanged.dialled,
        started_at: exchanged.started_at,
        ended_at: exchanged.ended_at,
        state: if exchanged.failure.is_some() { "failed" } else { "completed" },
        changesets_sent: sent.changesets,
        changesets_received: received.changesets,
        events_sent: sent.events,
        events_received: received.events,
        bytes_sent: sent.bytes,
        bytes_received: received.bytes,
        idle_before,
        error: exchanged.failure.as_ref().map(Failure::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId([1; 32]);
    const START: WallTime = WallTime(10 * HOUR_MS);

    fn recorder() -> Recorder {
        Recorder::new(START, 90_000, Vec::new())
    }

    fn exchange(after_ms: u64, events: u64) -> Exchanged {
        let at = WallTime(START.0 + after_ms);
        let moved = Moved { changesets: u64::from(events > 0), events, bytes: 100 * events };
        let received = Moved::default();
        Exchanged { peer: PEER, dialled: true, started_at: at, ended_at: at, sent: moved, received, failure: None }
    }

    fn failed(after_ms: u64, code: &str) -> Exchanged {
        Exchanged { failure: Some(Failure::new(code, "cannot reach depot")), ..exchange(after_ms, 0) }
    }

    fn sessions(records: Vec<Record>) -> Vec<SessionRecord> {
        let only = |record| if let Record::Session(session) = record { Some(session) } else { None };
        records.into_iter().filter_map(only).collect()
    }

    #[test]
    fn an_idle_exchange_is_counted_and_not_written() {
        let mut recorder = recorder();
        assert_eq!(recorder.exchanged(&exchange(0, 0)), []);
        assert_eq!(recorder.exchanged(&exchange(30_000, 0)), []);
        let rows = sessions(recorder.exchanged(&exchange(60_000, 3)));
        assert_eq!((rows[0].idle_before, rows[0].events_sent, rows[0].state), (2, 3, "completed"));
        assert_eq!(sessions(recorder.exchanged(&exchange(61_000, 1)))[0].idle_before, 0);
    }

    #[test]
    fn a_failure_is_written_once_for_each_reason() {
        let mut recorder = recorder();
        assert_eq!(sessions(recorder.exchanged(&failed(0, "RM4401"))).len(), 1);
        assert_eq!(recorder.exchanged(&failed(30_000, "RM4401")), []);
        assert_eq!(sessions(recorder.exchanged(&failed(60_000, "RM4105"))).len(), 1);
        assert_eq!(recorder.exchanged(&exchange(70_000, 0)), []);
        assert_eq!(sessions(recorder.exchanged(&failed(80_000, "RM4105"))).len(), 1, "it had worked in between");
    }

    #[test]
    fn g16_a_lost_peer_opens_one_row_and_closes_it_when_found() {
        let mut recorder = recorder();
        recorder.exchanged(&exchange(1_000, 1));
        recorder.exchanged(&failed(30_000, "RM4401"));
        assert_eq!(recorder.tick(WallTime(START.0 + 91_000), &[PEER]), []);
        let opened = recorder.tick(WallTime(START.0 + 91_001), &[PEER]);
        let [Record::Partition(partition)] = &opened[..] else { panic!("{opened:?}") };
        assert_eq!((partition.started_at.0 - START.0, partition.healed_at), (1_000, None));
        assert!(partition.reason.contains("RM4401"));
        assert_eq!(recorder.tick(WallTime(START.0 + 200_000), &[PEER]), [], "it is known");
        assert!(recorder.is_lost(&PEER));
        let closed = recorder.exchanged(&exchange(300_000, 7));
        let [Record::Partition(healed), Record::Session(_)] = &closed[..] else { panic!("{closed:?}") };
        assert_eq!((healed.started_at, healed.events_on_healing), (partition.started_at, 7));
        assert_eq!(healed.healed_at, Some(WallTime(START.0 + 300_000)));
        assert!(!recorder.is_lost(&PEER));
    }

    #[test]
    fn g16_a_peer_that_was_lost_in_silence_has_its_reason_as_soon_as_a_call_fails() {
        let mut recorder = recorder();
        let opened = recorder.tick(WallTime(START.0 + 90_001), &[PEER]);
        let [Record::Partition(silent)] = &opened[..] else { panic!("{opened:?}") };
        assert_eq!(silent.reason, UNEXPLAINED);
        let told = recorder.exchanged(&failed(91_000, "RM4401"));
        let [Record::Partition(partition), Record::Session(_)] = &told[..] else { panic!("{told:?}") };
        assert!(partition.reason.contains("RM4401"), "{partition:?}");
        assert_eq!(PartitionRecord { reason: silent.reason.clone(), ..partition.clone() }, *silent);
        let again = recorder.exchanged(&failed(92_000, "RM4105"));
        assert!(matches!(&again[..], [Record::Session(_)]), "the first reason stays: {again:?}");
    }

    #[test]
    fn a_partition_that_was_open_at_the_last_stop_is_closed_after_the_start() {
        let open = PartitionRecord {
            peer: PEER,
            started_at: WallTime(5),
            detected_at: WallTime(6),
            healed_at: None,
            reason: "gone".into(),
            events_on_healing: 0,
        };
        let mut recorder = Recorder::new(START, 90_000, vec![open]);
        assert_eq!(recorder.tick(WallTime(START.0 + 200_000), &[PEER]), [], "one row for one absence");
        let closed = recorder.exchanged(&exchange(300_000, 0));
        assert!(matches!(&closed[..], [Record::Partition(partition)] if partition.started_at == WallTime(5)));
    }

    #[test]
    fn only_hours_in_which_something_happened_are_written() {
        let mut recorder = recorder();
        recorder.exchanged(&exchange(1_000, 4));
        recorder.add("events_sealed", None, 2);
        let records = recorder.tick(WallTime(START.0 + HOUR_MS), &[]);
        let [Record::Metrics(metrics)] = &records[..] else { panic!("{records:?}") };
        let names: Vec<(&str, f64)> = metrics.iter().map(|metric| (metric.name.as_str(), metric.value)).collect();
        assert_eq!(
            names,
            [("events_sealed", 2.0), ("bytes_sent", 400.0), ("changesets_sent", 1.0), ("events_sent", 4.0)]
        );
        assert!(metrics.iter().all(|metric| metric.hour == START));
        assert_eq!(recorder.tick(WallTime(START.0 + 2 * HOUR_MS), &[]), []);
        assert_eq!(recorder.close(), []);
    }
}
