//! Coming into a mesh: invites that work once, and every way in which they do not, each told apart. `restarts` has what happens when
//! somebody dies in the middle.

use std::sync::Arc;

use rowmesh::control::api::{Answer, Question};
use rowmesh::failure::code;
use rowmesh::identity::NodeKey;
use rowmesh::transport::{ClientLimits, connect};
use rowmesh_core::clock::WallTime;
use rowmesh_core::invite::{Invite, InviteSecret};
use rowmesh_core::wire::{Path, Pull, Refusal, Request, Response};

use crate::cluster::{TestNode, converge};

async fn refusal_of(joiner: &TestNode, invite: &str) -> rowmesh::Failure {
    let node = joiner.open().unwrap();
    node.join(invite, |_| {}).await.expect_err("this invite must not work")
}

#[tokio::test]
async fn s21_a_used_invite_says_who_used_it() {
    let till = TestNode::founder("till").await;
    let invite = till.invite().await;
    let office = TestNode::new("office");
    office.open().unwrap().join(&invite, |_| {}).await.unwrap();
    let refused = refusal_of(&TestNode::new("depot"), &invite).await;
    assert_eq!(refused.code, code::INVITE);
    assert!(refused.message.starts_with("this invite no longer works: used by \"office\" at "), "{refused}");
    assert!(refused.hints.iter().any(|hint| hint.command == "rowmesh invite"));
}

#[tokio::test]
async fn s22_an_expired_invite_says_when() {
    let till = TestNode::founder("till").await;
    let invite = till.invite_lasting(1).await;
    till.clock_ahead.store(60_000, std::sync::atomic::Ordering::Relaxed);
    let refused = refusal_of(&TestNode::new("office"), &invite).await;
    assert_eq!(refused.code, code::INVITE);
    assert!(refused.message.contains("no longer works: expired at "), "{refused}");
}

#[tokio::test]
async fn s24_s25_a_damaged_invite_says_how() {
    let till = TestNode::founder("till").await;
    let invite = till.invite().await;
    let office = TestNode::new("office");
    let cut = refusal_of(&office, &invite[..invite.len() - 3]).await;
    assert_eq!(cut.code, code::INVITE);
    assert!(cut.message.contains("3 characters are missing at the end"), "{cut}");
    let mut altered = invite.clone().into_bytes();
    altered[40] = if altered[40] == b'A' { b'B' } else { b'A' };
    let altered = refusal_of(&office, std::str::from_utf8(&altered).unwrap()).await;
    assert!(altered.message.contains("a character was changed"), "{altered}");
    let other = refusal_of(&office, "hello").await;
    assert!(other.message.contains("this is not an invite"), "{other}");
    assert_eq!(till.status().await.peers.len(), 0);
}

#[tokio::test]
async fn s26_an_invite_of_another_mesh_or_with_another_secret_is_refused() {
    let till = TestNode::founder("till").await;
    let other = TestNode::founder("elsewhere").await;
    let here = Invite::parse(&till.invite().await).unwrap_or_else(|error| panic!("{error}"));
    let there = Invite::parse(&other.invite().await).unwrap_or_else(|error| panic!("{error}"));
    let office = TestNode::new("office");
    let wrong_mesh = Invite { mesh: there.mesh, ..here.clone() };
    let refused = refusal_of(&office, &wrong_mesh.to_line()).await;
    assert!(refused.code == code::INVITE && refused.message.contains("another mesh"), "{refused}");
    let wrong_secret = Invite { secret: InviteSecret::new([1; 16]), ..here };
    let refused = refusal_of(&office, &wrong_secret.to_line()).await;
    assert!(
        refused.code == code::INVITE && refused.message.contains("not known to the node that made it"),
        "{refused}"
    );
}

#[tokio::test]
async fn s13_an_invite_that_leads_to_another_node_says_nothing_to_it() {
    let till = TestNode::founder("till").await;
    let other = TestNode::founder("elsewhere").await;
    let invite = Invite::parse(&till.invite().await).unwrap_or_else(|error| panic!("{error}"));
    let astray = Invite { addresses: vec![other.running.as_ref().unwrap().listening().unwrap().to_string()], ..invite };
    let refused = refusal_of(&TestNode::new("office"), &astray.to_line()).await;
    assert_eq!(refused.code, code::WRONG_NODE);
    assert!(refused.message.ends_with("is not the one that made this invite"), "{refused}");
    assert_eq!(other.status().await.peers.len(), 0);
}

#[tokio::test]
async fn s20_an_invite_does_not_work_on_its_own_maker() {
    let mut till = TestNode::founder("till").await;
    let invite = till.invite().await;
    let refused = {
        till.stop().await;
        till.database = Default::default();
        refusal_of(&till, &invite).await
    };
    assert!(refused.code == code::INVITE && refused.message.contains("this very node"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s28_of_two_that_race_for_one_invite_one_wins() {
    let till = TestNode::founder("till").await;
    let invite = till.invite().await;
    let (office, depot) = (TestNode::new("office"), TestNode::new("depot"));
    let (first, second) = (office.open().unwrap(), depot.open().unwrap());
    let (one, other) = tokio::join!(first.join(&invite, |_| {}), second.join(&invite, |_| {}));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    let loser = one.err().or(other.err()).unwrap();
    assert!(loser.message.contains("used by"), "{loser}");
    assert_eq!(till.status().await.peers.len(), 1);
}

#[tokio::test]
async fn a_node_with_rows_of_its_own_is_stopped_before_the_invite_is_used() {
    let till = TestNode::founder("till").await;
    let invite = till.invite().await;
    let office = TestNode::new("office");
    office.database.write("1", "precious");
    let refused = refusal_of(&office, &invite).await;
    assert_eq!(refused.code, code::HAS_ROWS);
    assert!(refused.cause.contains("notes (1 rows)"), "{refused}");
    let depot = TestNode::new("depot");
    depot.open().unwrap().join(&invite, |_| {}).await.unwrap();
}

#[tokio::test]
async fn a_member_does_not_join_twice_and_a_stranger_does_not_start() {
    let mut till = TestNode::founder("till").await;
    let invite = till.invite().await;
    till.stop().await;
    let refused = refusal_of(&till, &invite).await;
    assert_eq!(refused.code, code::HAS_MESH);
    let refused = till.open().unwrap().found_mesh("again").await.unwrap_err();
    assert_eq!(refused.code, code::HAS_MESH);
    let refused = TestNode::new("office").open().unwrap().start().await.unwrap_err();
    assert_eq!(refused.code, code::NO_MESH);
}

#[tokio::test]
async fn nobody_is_there_that_the_invite_leads_to() {
    let mut till = TestNode::founder("till").await;
    let invite = till.invite().await;
    till.stop().await;
    let refused = refusal_of(&TestNode::new("office"), &invite).await;
    assert_eq!(refused.code, code::UNREACHABLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_of_one_name_get_two_names() {
    let till = TestNode::founder("till").await;
    let first = TestNode::joiner("office", &till).await;
    let second = TestNode::joiner("office", &till).await;
    assert_eq!(second.status().await.name, "office-2");
    converge(&[&till, &first, &second]).await;
}

#[tokio::test]
async fn s1_an_unknown_peer_gets_403_with_a_code_for_everything_it_asks() {
    let till = TestNode::founder("till").await;
    till.database.write("1", "secret");
    let stranger = Arc::new(NodeKey::generate().unwrap());
    let running = till.running.as_ref().unwrap();
    let addresses = [running.listening().unwrap().to_string()];
    let connection = connect(&stranger, running.id(), &addresses, &ClientLimits::default()).await.unwrap();
    let pull = Request::Pull(Pull {
        vector: Default::default(),
        coming: Default::default(),
        except: vec![],
        max_bytes: 1_000,
    });
    for path in Path::ALL.into_iter().filter(|path| *path != Path::Join) {
        let answer = connection.request(path.as_str(), pull.encode()).await.unwrap();
        assert_eq!(answer.status, 403, "{path:?}");
        let Ok(Response::Refused(Refusal { code: told, .. })) = Response::decode(path, &answer.body) else {
            panic!("{path:?} is answered with something else")
        };
        assert_eq!(told, code::NOT_A_MEMBER, "{path:?}");
    }
    let nowhere = connection.request("/v9/nothing", "").await.unwrap();
    assert_eq!(nowhere.status, 404);
    let nonsense = connection.request(Path::Join.as_str(), "nonsense").await.unwrap();
    assert_eq!(nonsense.status, 400);
}

#[tokio::test]
async fn an_invite_that_cannot_be_is_refused_with_its_reason() {
    let till = TestNode::founder("till").await;
    let ask = |ttl_ms, role: &str| {
        let role = role.to_owned();
        till.ask(Question::Invite { ttl_ms, uses: 1, role, addresses: vec![] })
    };
    assert_eq!(ask(1_000, "admin").await.unwrap_err().code, code::NO_INVITE);
    assert_eq!(ask(1_000, "king").await.unwrap_err().code, code::NO_INVITE);
    assert_eq!(ask(u64::MAX, "peer").await.unwrap_err().code, code::NO_INVITE);
    let Answer::Invite { line, expires_at } = ask(0, "").await.unwrap() else { panic!("an invite is due") };
    let invite = Invite::parse(&line).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(invite.expires, WallTime(expires_at));
}
