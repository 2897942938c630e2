//! What the node gives its store to keep: roster, acknowledgements, and the rows that people read.

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::NodeId;
use rowmesh_core::store::{MetricRecord, NodeRecord, PartitionRecord, SessionRecord, Store};

use crate::node::Node;
use crate::place::Place;

const ITEMS: &str = "CREATE TABLE items (id TEXT PRIMARY KEY)";
const PEER: NodeId = NodeId([5; 32]);

fn member(name: &str, last_seen: Option<u64>) -> NodeRecord {
    NodeRecord {
        node: PEER,
        name: name.to_owned(),
        role: "peer".to_owned(),
        addresses: vec!["one:1".to_owned(), "two:2".to_owned()],
        state: "member".to_owned(),
        last_seen: last_seen.map(WallTime),
    }
}

fn session(state: &'static str, ended_at: u64, error: Option<&str>) -> SessionRecord {
    SessionRecord {
        peer: PEER,
        dialled: true,
        started_at: WallTime(1),
        ended_at: WallTime(ended_at),
        state,
        changesets_sent: 1,
        changesets_received: 2,
        events_sent: 3,
        events_received: 4,
        bytes_sent: 5,
        bytes_received: 6,
        idle_before: 7,
        error: error.map(str::to_owned),
    }
}

pub(crate) fn roster_entries_are_kept_once_each_with_what_they_mean<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    assert_eq!(node.store.roster_entries().expect("read"), Vec::<Vec<u8>>::new());
    let (first, second) = (vec![0, 255, 1], vec![2; 5_000]);
    let setting = |value: &str| ("existence".to_owned(), value.to_owned());
    node.store
        .keep_roster(std::slice::from_ref(&first), &[member("office", None)], &[setting("update_wins")])
        .expect("kept");
    node.store
        .keep_roster(&[second.clone(), first.clone()], &[member("shop", None)], &[setting("delete_wins")])
        .expect("kept");
    let mut kept = node.store.roster_entries().expect("read");
    kept.sort();
    assert_eq!(kept, [first, second]);
    let nodes = P::ours("sync_nodes");
    assert_eq!(
        node.texts(&format!(
            "SELECT name || ' ' || role || ' ' || addresses || ' ' || state FROM {nodes} WHERE node_id = '{PEER}'"
        )),
        ["shop peer one:1 two:2 member"]
    );
    assert_eq!(
        node.texts(&format!("SELECT name || '=' || value FROM {}", P::ours("sync_configurations"))),
        ["existence=delete_wins"]
    );
}

pub(crate) fn of_each_node_the_newest_acknowledgement_is_kept<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    assert_eq!(node.store.acknowledgements().expect("read"), Vec::<Vec<u8>>::new());
    node.store.keep_acknowledgement(&PEER, &[1]).expect("kept");
    node.store.keep_acknowledgement(&NodeId([6; 32]), &[0, 2]).expect("kept");
    node.store.keep_acknowledgement(&PEER, &[3, 3]).expect("kept");
    let mut kept = node.store.acknowledgements().expect("read");
    kept.sort();
    assert_eq!(kept, [vec![0, 2], vec![3, 3]]);
}

pub(crate) fn a_session_that_went_well_tells_when_the_peer_was_last_seen_and_a_failed_one_does_not<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    node.store.keep_roster(&[], &[member("office", None)], &[]).expect("kept");
    let seen = format!("SELECT CAST(last_seen AS TEXT) FROM {}", P::ours("sync_nodes"));
    node.store.record_session(&session("failed", 2, Some("cut"))).expect("recorded");
    assert_eq!(node.texts(&seen), ["NULL"]);
    node.store.record_session(&session("completed", 7, None)).expect("recorded");
    assert_eq!(node.texts(&seen), ["7"]);
    node.store.keep_roster(&[], &[member("office", None)], &[]).expect("kept");
    assert_eq!(node.texts(&seen), ["7"], "the roster does not know, and takes nothing away");
    let columns = "peer || ' ' || dialled || ' ' || started_at || ' ' || ended_at || ' ' || state || ' ' || changesets_sent || ' ' || changesets_received \
        || ' ' || events_sent || ' ' || events_received || ' ' || bytes_sent || ' ' || bytes_received || ' ' || idle_before || ' ' || coalesce(error, '-')";
    assert_eq!(
        node.texts(&format!("SELECT {columns} FROM {} ORDER BY id", P::ours("sync_sessions"))),
        [format!("{PEER} 1 1 2 failed 1 2 3 4 5 6 7 cut"), format!("{PEER} 1 1 7 completed 1 2 3 4 5 6 7 -")]
    );
}

pub(crate) fn a_partition_is_one_row_that_is_opened_and_closed<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    let open = PartitionRecord {
        peer: PEER,
        started_at: WallTime(10),
        detected_at: WallTime(20),
        healed_at: None,
        reason: "no answer".to_owned(),
        events_on_healing: 0,
    };
    let rows = |node: &Node<P>| {
        let columns = "peer || ' ' || started_at || ' ' || detected_at || ' ' || coalesce(healed_at, 0) || ' ' || reason || ' ' || events_on_healing";
        node.texts(&format!("SELECT {columns} FROM {} ORDER BY started_at", P::ours("network_partitions")))
    };
    node.store.record_partition(&open).expect("recorded");
    node.store.record_partition(&open).expect("recorded");
    assert_eq!(rows(&node), [format!("{PEER} 10 20 0 no answer 0")]);
    let healed = PartitionRecord { healed_at: Some(WallTime(30)), events_on_healing: 4, ..open.clone() };
    node.store.record_partition(&healed).expect("recorded");
    assert_eq!(rows(&node), [format!("{PEER} 10 20 30 no answer 4")]);
    node.store.record_partition(&PartitionRecord { started_at: WallTime(40), ..open }).expect("recorded");
    assert_eq!(rows(&node).len(), 2);
}

pub(crate) fn figures_of_one_hour_add_up<P: Place>() {
    let mut node = Node::<P>::new(1, ITEMS);
    let figure = |hour, peer, value| MetricRecord { hour: WallTime(hour), peer, name: "events".to_owned(), value };
    node.store
        .record_metrics(&[figure(1, None, 1.5), figure(1, Some(PEER), 2.0), figure(2, None, 1.0)])
        .expect("recorded");
    node.store.record_metrics(&[figure(1, None, 1.0)]).expect("recorded");
    node.store.record_metrics(&[]).expect("recorded");
    let columns = "hour || ' ' || peer || ' ' || CAST(value * 2 AS INTEGER)";
    let rows = node.texts(&format!("SELECT {columns} FROM {} ORDER BY hour, peer", P::ours("sync_metrics")));
    assert_eq!(rows, ["1  5".to_owned(), format!("1 {PEER} 4"), "2  2".to_owned()]);
}
