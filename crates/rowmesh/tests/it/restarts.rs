//! What survives: nodes that stop and start, that die in the middle, that come back from a backup, that are there twice.

use std::time::{Duration, Instant};

use rowmesh::control::api::Status;
use rowmesh::failure::code;

use crate::cluster::{TestNode, converge, eventually, status_shows};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h1_either_side_may_restart_and_nothing_is_lost_or_doubled() {
    let mut till = TestNode::founder("till").await;
    let mut office = TestNode::joiner("office", &till).await;
    for round in 0..3 {
        till.database.write(&format!("till {round}"), "1");
        office.stop().await;
        till.database.write(&format!("while away {round}"), "1");
        office.database.write(&format!("office {round}"), "1");
        office.start().await;
        till.stop().await;
        office.database.write("hot", &format!("office {round}"));
        till.database.write("hot", &format!("till {round}"));
        till.start().await;
    }
    converge(&[&till, &office]).await;
    assert_eq!(till.database.rows().len(), 10);
}

/// Both move at once: neither could find the other at a new port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_port_the_system_chose_find_each_other_after_both_have_restarted() {
    let any_port = |options: &mut rowmesh::NodeOptions| options.listen = Some("127.0.0.1:0".into());
    let mut till = TestNode::with("till", any_port).founds().await;
    let mut office = TestNode::with("office", any_port).joins(&till).await;
    let listening = |node: &TestNode| node.running.as_ref().unwrap().listening();
    let before = [&till, &office].map(listening);
    till.stop().await;
    office.stop().await;
    till.start().await;
    office.start().await;
    assert_eq!([&till, &office].map(listening), before);
    till.database.write("1", "gum");
    office.database.write("2", "tea");
    converge(&[&till, &office]).await;

    // The port may be somebody else's by then: another one is taken, and the peer that stayed is told.
    till.stop().await;
    let _taken = std::net::TcpListener::bind(before[0].unwrap()).unwrap();
    till.start().await;
    assert_ne!(listening(&till), before[0]);
    till.database.write("3", "cake");
    converge(&[&till, &office]).await;
}

/// A peer that cannot be called any more and calls by itself is as well as any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_goes_when_the_peer_is_in_touch_again() {
    let till = TestNode::founder("till").await;
    let mut office = TestNode::joiner("office", &till).await;
    till.sees(1).await;
    office.stop().await;
    till.database.write("1", "gum");
    status_shows(&till, "the office cannot be reached", |status| status.peers[0].error.is_some()).await;
    office.options.listen = None;
    office.start().await;
    office.database.write("2", "tea");
    converge(&[&till, &office]).await;
    let is_well = |status: &Status| status.peers[0].state == "live" && status.peers[0].error.is_none();
    let status = status_shows(&till, "the office is in touch", is_well).await;
    assert!(status.attention.is_empty(), "{:?}", status.attention);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h15_a_stop_is_quick_whatever_is_under_way() {
    let mut till = TestNode::founder("till").await;
    let mut office = TestNode::with("office", |options| options.listen = None).joins(&till).await;
    for nth in 0..200 {
        till.database.write(&nth.to_string(), "x");
    }
    let begun = Instant::now();
    till.stop().await;
    office.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?} for two", begun.elapsed());
    till.start().await;
    office.start().await;
    converge(&[&till, &office]).await;
    assert_eq!(office.database.rows().len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_a_copy_that_breaks_off_begins_anew_and_the_invite_is_not_needed_again() {
    let till = TestNode::founder("till").await;
    for nth in 0..10 {
        let sealed = till.database.vector().total();
        till.database.write(&nth.to_string(), "old");
        eventually("it is sealed", || till.database.vector().total() > sealed).await;
    }
    let mut office = TestNode::new("office");
    office.database.lock().break_load_after = Some(4);
    let invite = till.invite().await;
    let broken = office.open().unwrap().join(&invite, |_| {}).await.unwrap_err();
    assert_eq!(broken.code, "RM9104", "what the database said");
    // As after a crash: it starts, finds that its copy is unfinished, and goes on by itself.
    office.database.lock().break_load_after = Some(7);
    office.start().await;
    let is_live = |status: &Status| status.loading.is_empty();
    status_shows(&office, "the copy is complete", is_live).await;
    office.database.write("own", "new");
    converge(&[&till, &office]).await;
    assert_eq!(office.database.lock().loads, 1);
    assert_eq!(till.database.rows().len(), 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s29_a_joiner_that_dies_after_it_was_let_in_may_come_again() {
    let till = TestNode::founder("till").await;
    let invite = till.invite().await;
    let mut office = TestNode::new("office");
    office.open().unwrap().join(&invite, |_| {}).await.unwrap();
    // The answer got lost: the inviter knows it, its own database does not.
    office.database = Default::default();
    std::fs::remove_file(office.data().join("loading")).ok();
    office.open().unwrap().join(&invite, |_| {}).await.unwrap();
    office.start().await;
    till.database.write("1", "gum");
    converge(&[&till, &office]).await;
    assert_eq!(till.status().await.peers.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_a_node_restored_from_a_backup_takes_a_new_incarnation_and_fetches_what_it_lost() {
    let till = TestNode::founder("till").await;
    let mut office = TestNode::joiner("office", &till).await;
    office.database.write("1", "before the backup");
    converge(&[&till, &office]).await;
    office.stop().await;
    let backup = office.database.backup();
    office.start().await;
    office.database.write("2", "after the backup");
    eventually("it is at the till", || till.database.read("2").is_some()).await;
    let first_life = office.database.origin().unwrap();
    office.stop().await;
    office.database.restore(&backup);
    office.start().await;
    let status = office.status().await;
    assert!(status.attention.iter().any(|hint| hint.text.contains(code::RESTORED)), "{:?}", status.attention);
    assert_ne!(office.database.origin().unwrap(), first_life);
    office.database.write("3", "after the restore");
    converge(&[&till, &office]).await;
    assert_eq!(office.database.read("2").as_deref(), Some("after the backup"));
    assert_eq!(till.database.rows().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_without_the_mark_peers_show_that_the_database_was_restored() {
    let till = TestNode::founder("till").await;
    let mut office = TestNode::joiner("office", &till).await;
    office.database.write("1", "before the backup");
    converge(&[&till, &office]).await;
    office.stop().await;
    let backup = office.database.backup();
    let mark = std::fs::read(office.data().join("exposed")).unwrap();
    office.start().await;
    office.database.write("2", "after the backup");
    eventually("it is at the till", || till.database.read("2").is_some()).await;
    let first_life = office.database.origin().unwrap();
    office.stop().await;
    // The whole machine went back, the mark with it.
    office.database.restore(&backup);
    std::fs::write(office.data().join("exposed"), mark).unwrap();
    office.start().await;
    eventually("it has a new incarnation", || office.database.origin() != Some(first_life)).await;
    office.database.write("3", "after the restore");
    converge(&[&till, &office]).await;
    assert_eq!(office.database.rows().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g6_a_clone_that_runs_beside_its_original_is_told_so() {
    let till = TestNode::founder("till").await;
    let mut office = TestNode::joiner("office", &till).await;
    office.database.write("1", "before the cloning");
    converge(&[&till, &office]).await;
    office.stop().await;
    let mut clone = TestNode::new("clone");
    copy_folder(office.data(), clone.data());
    clone.database = office.database.backup();
    office.start().await;
    clone.start().await;
    let first = clone.status().await;
    assert!(first.attention.iter().any(|hint| hint.text.contains(code::RESTORED)), "{:?}", first.attention);
    let told =
        async |node: &TestNode| node.status().await.attention.iter().any(|hint| hint.text.contains(code::TWO_LIVES));
    let deadline = Instant::now() + crate::cluster::FOREVER;
    let mut round = 0;
    while !told(&office).await && !told(&clone).await {
        assert!(Instant::now() < deadline, "nobody notices the clone");
        round += 1;
        office.database.write(&format!("office {round}"), "original");
        clone.database.write(&format!("clone {round}"), "copy");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Whatever both have made is known under different names: nothing is lost over it.
    till.database.write("2", "the mesh goes on");
    eventually("the till has seen both", || {
        till.database.rows().keys().any(|id| id.starts_with("office"))
            && till.database.rows().keys().any(|id| id.starts_with("clone"))
    })
    .await;
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

#[tokio::test]
async fn c2_two_daemons_with_one_data_folder_are_told_apart() {
    let mut till = TestNode::founder("till").await;
    let refused = till.open().unwrap_err();
    assert_eq!(refused.code, code::TWO_DAEMONS);
    assert!(refused.message.contains(&format!("process {}", std::process::id())), "{refused}");
    till.stop().await;
    till.start().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let till = TestNode::founder("till").await;
    let taken = till.running.as_ref().unwrap().listening().unwrap();
    let other = TestNode::with("other", |options| options.listen = Some(taken.to_string()));
    let node = other.open().unwrap();
    node.found_mesh("other").await.unwrap();
    let refused = node.start().await.unwrap_err();
    assert_eq!(
        (refused.code.as_str(), refused.message),
        (code::PORT_IN_USE, format!("port {} is in use", taken.port()))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g16_a_peer_that_is_lost_and_found_leaves_one_row() {
    let short = |options: &mut rowmesh::NodeOptions| options.interval = Duration::from_millis(200);
    let till = TestNode::with("till", short).founds().await;
    let mut office = TestNode::with("office", short).joins(&till).await;
    till.sees(1).await;
    office.stop().await;
    let rows = || till.database.lock().partitions.clone();
    eventually("the loss is written", || rows().iter().any(|row| row.healed_at.is_none())).await;
    // Silence may tell of the loss before the first call in vain does, which tells why.
    let is_told = |status: &Status| status.peers[0].state == "offline" && status.peers[0].error.is_some();
    let status = status_shows(&till, "the office is offline, and why", is_told).await;
    assert_eq!(status.peers[0].error.as_ref().unwrap().code, code::UNREACHABLE);
    assert!(!status.attention.is_empty());
    till.database.write("1", "meanwhile");
    office.start().await;
    eventually("the finding is written", || rows().iter().any(|row| row.healed_at.is_some())).await;
    converge(&[&till, &office]).await;
    let rows = rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0].started_at <= rows[0].detected_at && rows[0].healed_at > Some(rows[0].detected_at));
    assert!(rows[0].reason.contains(code::UNREACHABLE), "{rows:?}");
    let failures = till.database.lock().sessions.iter().filter(|session| session.state == "failed").count();
    assert!(failures <= 2, "{failures} rows for one reason");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_when_the_sponsor_dies_another_member_sends_the_copy() {
    let till = TestNode::founder("till").await;
    let mut office = TestNode::joiner("office", &till).await;
    for nth in 0..6 {
        let sealed = till.database.vector().total();
        till.database.write(&nth.to_string(), "old");
        eventually("it is sealed", || till.database.vector().total() > sealed).await;
    }
    converge(&[&till, &office]).await;
    let mut depot = TestNode::new("depot");
    depot.database.lock().break_load_after = Some(3);
    let invite = office.invite().await;
    depot.open().unwrap().join(&invite, |_| {}).await.unwrap_err();
    // The first has heard of the third before the second is gone; otherwise it would not know whom it speaks to.
    eventually("the till knows the depot", || till.database.lock().nodes.len() == 3).await;
    office.stop().await;
    depot.start().await;
    status_shows(&depot, "the copy is complete", |status| status.loading.is_empty()).await;
    till.database.write("new", "one");
    converge(&[&till, &depot]).await;
    assert_eq!((depot.database.rows().len(), depot.database.lock().loads), (7, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g14_j9_a_node_that_moves_to_another_address_is_found_there() {
    let till = TestNode::founder("till").await;
    let mut office = TestNode::joiner("office", &till).await;
    till.sees(1).await;
    office.stop().await;
    let address = format!("127.0.0.1:{}", crate::cluster::free_port());
    office.options.listen = Some(address.clone());
    office.start().await;
    till.database.write("1", "gum");
    converge(&[&till, &office]).await;
    let found = |status: &Status| status.peers[0].dialled && status.peers[0].address == address;
    status_shows(&till, "the till calls the office at its new address", found).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h13_a_store_that_hangs_is_noticed() {
    let mut till = TestNode::with("till", |options| options.watchdog = Duration::from_millis(300)).founds().await;
    let database = till.database.clone();
    let (hangs, release) = (std::sync::mpsc::channel::<()>(), std::sync::mpsc::channel::<()>());
    let holder = std::thread::spawn(move || {
        let _held = database.lock();
        hangs.0.send(()).unwrap();
        // Until the test lets go of the other end.
        let _ = release.1.recv();
    });
    hangs.1.recv().unwrap();
    let running = till.running.as_ref().unwrap();
    eventually("the watchdog sees it", || running.stuck().is_some()).await;
    assert!(running.stuck().unwrap().message.starts_with("the store's thread has been at one thing"));
    drop(release.0);
    holder.join().unwrap();
    eventually("it goes on", || running.stuck().is_none()).await;
    till.stop().await;
}
