//! Nodes that belong to one mesh: changes and members spread, whoever can reach whom, and nothing is written when nothing happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rowmesh::control::api::{Answer, Question};

use crate::cluster::{TestNode, converge, eventually, status_shows};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_becomes_visible_on_the_peer_without_waiting_for_the_interval() {
    let till = TestNode::founder("till").await;
    let office = TestNode::joiner("office", &till).await;
    till.sees(1).await;
    office.sees(1).await;
    let begun = Instant::now();
    till.database.write("1", "gum");
    eventually("the row is at the office", || office.database.read("1").as_deref() == Some("gum")).await;
    // The interval is half a minute: only a nudge is this fast.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    office.database.write("2", "tea");
    eventually("the row is at the till", || till.database.read("2").as_deref() == Some("tea")).await;
    converge(&[&till, &office]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_from_before_the_joining_come_with_the_copy() {
    let till = TestNode::founder("till").await;
    for nth in 0..50 {
        till.database.write(&nth.to_string(), "old");
    }
    let office = TestNode::joiner("office", &till).await;
    assert_eq!(office.database.lock().loads, 1);
    till.database.write("new", "one");
    converge(&[&till, &office]).await;
    assert_eq!(office.database.rows().len(), 51);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_node_that_joined_through_the_second_is_known_to_the_first() {
    let till = TestNode::founder("till").await;
    let office = TestNode::joiner("office", &till).await;
    let depot = TestNode::joiner("depot", &office).await;
    till.sees(2).await;
    depot.sees(2).await;
    let names =
        |status: rowmesh::control::api::Status| status.peers.into_iter().map(|peer| peer.name).collect::<Vec<_>>();
    let mut known = names(till.status().await);
    known.sort();
    assert_eq!(known, ["depot", "office"]);
    depot.database.write("1", "from the depot");
    till.database.write("2", "from the till");
    converge(&[&till, &office, &depot]).await;
    assert_eq!(till.database.read("1").as_deref(), Some("from the depot"));
    let nodes = till.database.lock().nodes.len();
    assert_eq!(nodes, 3, "sync_nodes names all members");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writes_of_one_row_end_equal_everywhere() {
    let till = TestNode::founder("till").await;
    let office = TestNode::joiner("office", &till).await;
    let depot = TestNode::joiner("depot", &till).await;
    for round in 0..20 {
        till.database.write("hot", &format!("till {round}"));
        office.database.write("hot", &format!("office {round}"));
        depot.database.write("hot", &format!("depot {round}"));
        depot.database.write(&format!("own {round}"), "depot");
    }
    converge(&[&till, &office, &depot]).await;
    assert_eq!(till.database.rows().len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j10_a_node_that_nobody_can_call_hears_of_changes_at_once() {
    let till = TestNode::founder("till").await;
    let kiosk = TestNode::with("kiosk", |options| options.listen = None).joins(&till).await;
    kiosk.sees(1).await;
    till.sees(1).await;
    let begun = Instant::now();
    till.database.write("1", "gum");
    eventually("the row is at the kiosk", || kiosk.database.read("1").is_some()).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    kiosk.database.write("2", "tea");
    eventually("the row is at the till", || till.database.read("2").is_some()).await;
    let shows_even = |status: &rowmesh::control::api::Status| status.peers[0].they_lack + status.peers[0].we_lack == 0;
    let status = status_shows(&till, "the kiosk has everything", shows_even).await;
    assert!(!status.peers[0].dialled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_members_agree_on_spreads_at_once_even_while_an_exchange_is_under_way() {
    let hourly = |options: &mut rowmesh::NodeOptions| options.interval = Duration::from_secs(3600);
    let till = TestNode::with("till", hourly).founds().await;
    let office = TestNode::with("office", hourly).joins(&till).await;
    till.sees(1).await;
    office.sees(1).await;
    for round in 0..100 {
        // Each may come while an exchange about the other is under way.
        office.database.write("1", &round.to_string());
        till.database.write("2", &round.to_string());
        let name = format!("till-{round}");
        let renamed = Question::Rename { node: String::new(), name: name.clone(), dry_run: false };
        till.ask(renamed).await.expect("renamed");
        status_shows(&office, "the till's new name", |status| status.peers[0].name == name).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_pass_through_a_node_between_two_that_cannot_reach_each_other() {
    let hub = TestNode::founder("hub").await;
    let left = TestNode::with("left", |options| options.listen = None).joins(&hub).await;
    let right = TestNode::with("right", |options| options.listen = None).joins(&hub).await;
    left.database.write("1", "left");
    right.database.write("2", "right");
    converge(&[&hub, &left, &right]).await;
    assert_eq!(right.database.read("1").as_deref(), Some("left"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_pair_writes_nothing() {
    let short = |options: &mut rowmesh::NodeOptions| options.interval = Duration::from_millis(100);
    let till = TestNode::with("till", short).founds().await;
    let office = TestNode::with("office", short).joins(&till).await;
    till.database.write("1", "gum");
    converge(&[&till, &office]).await;
    // Acknowledgements and records of what has moved are still on their way; then nothing may follow.
    let written = || till.database.lock().writes + office.database.lock().writes;
    let exchanges = |status: rowmesh::control::api::Status| status.peers[0].last_seen.unwrap_or(0);
    let mut quiet_since = (written(), 0);
    let mut last_exchange = 0;
    eventually_quiet(&till, |seen| {
        let now = written();
        if now != quiet_since.0 {
            quiet_since = (now, 0);
        } else if exchanges(seen.clone()) != last_exchange {
            quiet_since.1 += 1;
        }
        last_exchange = exchanges(seen);
        quiet_since.1 >= 20
    })
    .await;
    let sessions = till.database.lock().sessions.len() + office.database.lock().sessions.len();
    assert!((1..=6).contains(&sessions), "{sessions} rows for one change and one joining");
}

async fn eventually_quiet(node: &TestNode, mut judge: impl FnMut(rowmesh::control::api::Status) -> bool) {
    let deadline = Instant::now() + crate::cluster::FOREVER;
    while !judge(node.status().await) {
        assert!(Instant::now() < deadline, "an idle pair goes on writing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_stops_exchange_and_never_capture() {
    let till = TestNode::founder("till").await;
    let office = TestNode::joiner("office", &till).await;
    till.sees(1).await;
    till.ask(Question::Pause { peer: None, for_ms: None }).await.unwrap();
    let before = till.database.vector().total();
    till.database.write("1", "gum");
    eventually("the change is sealed", || till.database.vector().total() > before).await;
    let synced = till.ask(Question::Sync { peer: None, wait: false, timeout_ms: 1_000 }).await.unwrap();
    assert!(matches!(synced, Answer::Synced { complete: false, .. }), "{synced:?}");
    assert_eq!(office.database.read("1"), None);
    let status = till.status().await;
    assert!(status.paused && status.peers[0].state == "paused");
    till.ask(Question::Resume { peer: None }).await.unwrap();
    converge(&[&till, &office]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_answers_when_everybody_has_everything() {
    let till = TestNode::with("till", |options| options.nudge = false).founds().await;
    let office = TestNode::with("office", |options| options.nudge = false).joins(&till).await;
    till.sees(1).await;
    till.database.write("1", "gum");
    office.database.write("2", "tea");
    // What the other side has not sealed yet cannot be asked for.
    eventually("the office has sealed", || office.database.lock().writes > 0 && office.database.vector().total() > 0)
        .await;
    let synced =
        till.ask(Question::Sync { peer: Some("office".into()), wait: true, timeout_ms: 20_000 }).await.unwrap();
    let Answer::Synced { complete, peers, .. } = synced else { panic!("{synced:?}") };
    assert!(complete, "{peers:?}");
    assert_eq!((peers[0].they_lack, peers[0].we_lack), (0, 0));
    assert_eq!(till.database.rows(), office.database.rows());
}

/// An exchange that moves nothing is not yet the end: the peer may be taking the same changes over another connection, or hold them for a
/// while as here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_does_not_end_while_a_peer_has_not_acknowledged_what_was_here() {
    let quiet = |options: &mut rowmesh::NodeOptions| options.nudge = false;
    let till = TestNode::with("till", quiet).founds().await;
    let office = TestNode::with("office", quiet).joins(&till).await;
    till.sees(1).await;
    till.clock_ahead.store(7 * 60 * 1_000, std::sync::atomic::Ordering::Relaxed);
    till.database.write("1", "from the future");
    let synced = till.ask(Question::Sync { peer: None, wait: true, timeout_ms: 20_000 });
    let clocks_agree = async {
        let names_clock =
            |status: &rowmesh::control::api::Status| status.attention.iter().any(|hint| hint.text.contains("RM4301"));
        status_shows(&till, "an exchange has ended and moved nothing", names_clock).await;
        office.clock_ahead.store(7 * 60 * 1_000, std::sync::atomic::Ordering::Relaxed);
    };
    let (synced, ()) = tokio::join!(synced, clocks_agree);
    let Answer::Synced { complete: true, .. } = synced.unwrap() else { panic!("it ended before the office had all") };
    assert_eq!(office.database.read("1").as_deref(), Some("from the future"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_ends_while_the_applications_go_on_writing() {
    let till = TestNode::founder("till").await;
    let office = TestNode::joiner("office", &till).await;
    till.sees(1).await;
    let is_open = Arc::new(AtomicBool::new(true));
    let writers = [&till, &office].map(|node| {
        let (database, is_open) = (node.database.clone(), is_open.clone());
        std::thread::spawn(move || {
            for nth in 0.. {
                if !is_open.load(Ordering::Relaxed) {
                    return nth;
                }
                database.write(&format!("{}", nth % 10), &nth.to_string());
                std::thread::park_timeout(Duration::from_millis(2));
            }
            0
        })
    });
    for round in 0..5 {
        till.database.write(&format!("round {round}"), "now");
        let synced = till.ask(Question::Sync { peer: None, wait: true, timeout_ms: 20_000 }).await.unwrap();
        assert!(matches!(synced, Answer::Synced { complete: true, .. }), "{synced:?}");
        assert!(office.database.read(&format!("round {round}")).is_some(), "what was here when it was asked is there");
    }
    is_open.store(false, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| assert!(writer.join().unwrap() > 10, "they wrote all the time"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_waits_for_nobody_who_cannot_be_reached_and_names_them() {
    let till = TestNode::founder("till").await;
    let office = TestNode::joiner("office", &till).await;
    let mut depot = TestNode::joiner("depot", &till).await;
    till.sees(2).await;
    depot.stop().await;
    till.database.write("1", "gum");
    let begun = Instant::now();
    let synced = till.ask(Question::Sync { peer: None, wait: true, timeout_ms: 60_000 }).await.unwrap();
    let Answer::Synced { complete, unreachable, .. } = synced else { panic!("{synced:?}") };
    assert_eq!((complete, unreachable), (false, vec!["depot".to_owned()]));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(office.database.read("1").as_deref(), Some("gum"), "the others were waited for");
}

/// What the application has written and a lock keeps from being sealed is part of what was here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_seals_first_even_if_the_database_is_locked_for_a_moment() {
    let till = TestNode::founder("till").await;
    let office = TestNode::joiner("office", &till).await;
    till.sees(1).await;
    till.database.lock().locked = 8;
    till.database.write("1", "gum");
    let synced = till.ask(Question::Sync { peer: None, wait: true, timeout_ms: 20_000 }).await.unwrap();
    assert!(matches!(synced, Answer::Synced { complete: true, .. }), "{synced:?}");
    assert_eq!(office.database.read("1").as_deref(), Some("gum"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_changes_from_a_clock_that_is_ahead_are_held_and_status_says_so() {
    // Who pulled does not tell the origin what it held: that comes with the origin's own next push.
    let short = |options: &mut rowmesh::NodeOptions| options.interval = Duration::from_millis(500);
    let till = TestNode::with("till", short).founds().await;
    let office = TestNode::with("office", short).joins(&till).await;
    till.sees(1).await;
    office.clock_ahead.store(7 * 60 * 1_000, std::sync::atomic::Ordering::Relaxed);
    office.database.write("1", "from the future");
    let names_clock =
        |status: &rowmesh::control::api::Status| status.attention.iter().any(|hint| hint.text.contains("RM4301"));
    let status = status_shows(&till, "the till says whose clock is wrong", names_clock).await;
    assert!(status.attention.iter().any(|hint| hint.text.contains("office")), "{:?}", status.attention);
    status_shows(&office, "the office is told too", names_clock).await;
    assert_eq!(till.database.read("1"), None);
    till.clock_ahead.store(7 * 60 * 1_000, std::sync::atomic::Ordering::Relaxed);
    till.ask(Question::Sync { peer: None, wait: false, timeout_ms: 10_000 }).await.unwrap();
    eventually("the change is taken in once the clocks agree", || till.database.read("1").is_some()).await;
}

/// Once the clock is right, nothing of the time before waits until the others' clocks have come as far, and no later edit does either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_q23_what_was_sealed_while_the_clock_was_ahead_is_sealed_anew_when_it_is_right() {
    const YEAR_MS: i64 = 365 * 86_400_000;
    let short = |options: &mut rowmesh::NodeOptions| options.interval = Duration::from_millis(500);
    let till = TestNode::with("till", short).founds().await;
    let office = TestNode::with("office", short).joins(&till).await;
    let depot = TestNode::with("depot", short).joins(&till).await;
    // The depot's clock is as wrong as the office's: it takes in what the till holds, and goes on from there.
    office.database.write("before", "right time");
    eventually("all is well", || depot.database.read("before").is_some() && till.database.read("before").is_some())
        .await;
    [&office, &depot].iter().for_each(|node| node.clock_ahead.store(YEAR_MS, Ordering::Relaxed));
    office.database.write("shared", "seen by the depot");
    eventually("the depot has it", || depot.database.read("shared").is_some()).await;
    depot.clock_ahead.store(0, Ordering::Relaxed);
    office.database.write("alone", "seen by nobody");
    let told =
        |status: &rowmesh::control::api::Status| status.attention.iter().any(|hint| hint.text.contains("RM4301"));
    status_shows(&till, "the till holds it", told).await;
    assert_eq!((till.database.read("shared"), depot.database.read("alone")), (None, None));
    let life = office.database.origin();

    office.clock_ahead.store(0, Ordering::Relaxed);
    eventually("everybody has everything", || {
        [&till, &depot].iter().all(|node| node.database.rows() == office.database.rows())
    })
    .await;
    assert_ne!(office.database.origin(), life, "under another name");
    // What lies above a row of the future is no future any more.
    till.database.write("shared", "and edited since");
    eventually("the edit goes round", || {
        [&office, &depot].iter().all(|node| node.database.read("shared").as_deref() == Some("and edited since"))
    })
    .await;
    eventually("nobody holds anything", || till.database.vector() == office.database.vector()).await;
}

/// What lies ahead because another node's clock was ahead is not mended by new names, and the roster does not grow with trying.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_q23_a_node_that_edited_what_came_from_the_future_does_not_close_one_life_after_another() {
    const YEAR_MS: i64 = 365 * 86_400_000;
    let short = |options: &mut rowmesh::NodeOptions| options.interval = Duration::from_millis(500);
    let till = TestNode::with("till", short).founds().await;
    let mut office = TestNode::with("office", short).joins(&till).await;
    let depot = TestNode::with("depot", short).joins(&till).await;
    till.sees(2).await;
    [&office, &depot].iter().for_each(|node| node.clock_ahead.store(YEAR_MS, Ordering::Relaxed));
    office.database.write("shared", "from the future");
    eventually("the depot has it", || depot.database.read("shared").is_some()).await;
    office.stop().await;
    depot.clock_ahead.store(0, Ordering::Relaxed);
    depot.database.write("shared", "edited at the right time");
    let told =
        |status: &rowmesh::control::api::Status| status.attention.iter().any(|hint| hint.text.contains("RM4301"));
    status_shows(&till, "the till holds it", told).await;
    let life = depot.database.origin();
    let begun = std::time::Instant::now();
    eventually("several intervals pass", || begun.elapsed() > Duration::from_secs(4)).await;
    assert_eq!(depot.database.origin(), life, "a new life would not help");

    office.clock_ahead.store(0, Ordering::Relaxed);
    office.start().await;
    eventually("everybody has everything", || {
        [&till, &office].iter().all(|node| node.database.read("shared").as_deref() == Some("edited at the right time"))
    })
    .await;
}

/// Held for as long as it takes, told by name, kept where it was made, and no hindrance to anything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_a_clock_that_is_years_off_wins_nothing_and_holds_up_nobody() {
    const YEARS_MS: i64 = 30 * 365 * 86_400_000;
    let till = TestNode::founder("till").await;
    let office = TestNode::joiner("office", &till).await;
    let depot = TestNode::joiner("depot", &till).await;
    till.sees(2).await;
    office.clock_ahead.store(YEARS_MS, Ordering::Relaxed);
    office.database.write("hot", "from the future");
    let names_office = |status: &rowmesh::control::api::Status| {
        status.attention.iter().any(|hint| hint.text.contains("RM4301") && hint.text.contains("office"))
    };
    status_shows(&till, "the till says whose clock is wrong", names_office).await;
    till.database.write("hot", "of today");
    depot.database.write("own", "of today too");
    eventually("the others go on, and the office hears of it", || {
        [&till, &depot, &office].iter().all(|node| node.database.read("own").is_some())
            && depot.database.read("hot").as_deref() == Some("of today")
    })
    .await;
    assert_eq!(till.database.read("hot").as_deref(), Some("of today"), "the future wins nothing");
    assert_eq!(office.database.read("hot").as_deref(), Some("from the future"), "and is not lost where it was written");
}

/// What is held of one origin wakes nobody again, what the others make wakes them as ever. The interval is longer than the test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_while_one_origin_is_held_the_changes_of_others_come_at_once() {
    let hour = |options: &mut rowmesh::NodeOptions| options.interval = Duration::from_secs(3_600);
    let deaf = |options: &mut rowmesh::NodeOptions| {
        hour(options);
        options.listen = None;
    };
    let till = TestNode::with("till", hour).founds().await;
    // Both can only call the till: what one makes reaches the other through it, and only because the other waits there.
    let [office, kiosk] = [TestNode::with("office", deaf), TestNode::with("kiosk", deaf)];
    let (office, kiosk) = (office.joins(&till).await, kiosk.joins(&till).await);
    till.sees(2).await;
    till.clock_ahead.store(7 * 60 * 1_000, Ordering::Relaxed);
    let names_clock =
        |status: &rowmesh::control::api::Status| status.attention.iter().any(|hint| hint.text.contains("RM4301"));
    for round in 0..3 {
        till.database.write(&format!("held {round}"), "from the future");
        for node in [&office, &kiosk] {
            status_shows(node, "it holds the till's changes", names_clock).await;
        }
        office.database.write(&format!("office {round}"), "of today");
        eventually("the office's change comes to the kiosk", || {
            kiosk.database.read(&format!("office {round}")).is_some()
        })
        .await;
        kiosk.database.write(&format!("kiosk {round}"), "of today");
        eventually("the kiosk's change comes to the office", || {
            office.database.read(&format!("kiosk {round}")).is_some()
        })
        .await;
    }
    assert_eq!((office.database.read("held 0"), kiosk.database.read("held 2")), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h12_a_node_that_is_woken_for_what_it_must_hold_does_not_ask_again_and_again() {
    let till = TestNode::founder("till").await;
    let kiosk = TestNode::with("kiosk", |options| options.listen = None).joins(&till).await;
    kiosk.sees(1).await;
    till.clock_ahead.store(7 * 60 * 1_000, std::sync::atomic::Ordering::Relaxed);
    till.database.write("1", "from the future");
    let names_clock =
        |status: &rowmesh::control::api::Status| status.attention.iter().any(|hint| hint.text.contains("RM4301"));
    status_shows(&kiosk, "the kiosk holds the change", names_clock).await;
    // Were it asking again and again, the till would hear of it all the time.
    let heard = async || till.status().await.peers[0].last_seen;
    let mut quiet = 0;
    let (begun, mut before) = (Instant::now(), heard().await);
    while quiet < 20 {
        assert!(begun.elapsed() < crate::cluster::FOREVER, "the kiosk asks again and again");
        tokio::time::sleep(Duration::from_millis(25)).await;
        let now = heard().await;
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
    }
    assert_eq!(kiosk.database.read("1"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_others_lock_for_a_moment_delays_changes_and_alarms_nobody() {
    let till = TestNode::founder("till").await;
    let office = TestNode::joiner("office", &till).await;
    converge(&[&till, &office]).await;
    office.database.lock().locked = 4;
    till.database.lock().locked = 4;
    till.database.write("1", "gum");
    office.database.write("2", "tea");
    converge(&[&till, &office]).await;
    assert_eq!(office.database.rows().len(), 2);
    for node in [&till, &office] {
        let status = node.status().await;
        assert!(status.attention.is_empty() && status.capturing, "{:?}", status.attention);
        // Whoever was called before it listened is another matter.
        let errors: Vec<String> =
            node.database.lock().sessions.iter().filter_map(|session| session.error.clone()).collect();
        assert!(errors.iter().all(|error| error.contains("RM4401")), "{errors:?}");
        assert_eq!(node.database.lock().locked, 0);
    }
}
