//! The roster under random histories and hostile entries.

use proptest::prelude::*;

use super::*;
use crate::clock::VersionVector;
use crate::encode::Malformed;
use crate::ident::{Dot, Incarnation, Origin, Seq};
use crate::sign::SecretKey;

const NOW: WallTime = WallTime(1_000);

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed([n; 32])
}

fn id(n: u8) -> NodeId {
    key(n).node_id()
}

fn member(n: u8, role: Role) -> NewMember {
    NewMember {
        public_key: key(n).public_key(),
        name: format!("node {n}"),
        role,
        addresses: vec![format!("10.0.0.{n}:7696")],
        invited_by: None,
    }
}

fn up_to(n: u8, seq: u64) -> VersionVector {
    let origin = Origin { node: id(n), incarnation: Incarnation { count: 1, nonce: 7 } };
    [Dot { origin, seq: Seq(seq) }].into_iter().collect()
}

fn founded() -> Roster {
    Roster::found(&key(1), "shops", "node 1", vec!["10.0.0.1:7696".into()], NOW).unwrap()
}

fn with(mut roster: Roster, entry: Entry) -> Roster {
    assert!(matches!(roster.insert(entry.bytes()), Ok(Inserted::New(_))));
    roster
}

/// Node 1 founds, lets in 2 as admin and 3 as peer.
fn three() -> Roster {
    let roster = founded();
    let entry = roster.add(&key(1), NOW, member(2, Role::Admin)).unwrap();
    let roster = with(roster, entry);
    let entry = roster.add(&key(1), NOW, member(3, Role::Peer)).unwrap();
    with(roster, entry)
}

fn all_bytes(roster: &Roster) -> Vec<Arc<[u8]>> {
    roster.entries().map(|entry| entry.bytes().clone()).collect()
}

fn merged(a: &Roster, b: &Roster) -> Roster {
    let mut both = a.clone();
    let adopted = both.adopt(all_bytes(b));
    assert_eq!((adopted.missing, adopted.refused), (vec![], vec![]));
    both
}

fn assert_same(a: &Roster, b: &Roster) {
    assert_eq!(a.state, b.state);
    assert_eq!(a.heads, b.heads);
    assert_eq!((a.hash(), a.epoch()), (b.hash(), b.epoch()));
}

#[test]
fn a_third_node_can_be_let_in_by_the_second() {
    let roster = three();
    let roster = with(roster.clone(), roster.add(&key(3), NOW, member(4, Role::Peer)).unwrap());
    let joined = roster.member(&id(4)).unwrap();
    assert_eq!((joined.added_by, joined.since_epoch), (id(3), 4));
    assert_eq!(Roster::from_entries(roster.mesh(), all_bytes(&roster)).unwrap().member(&id(4)), Some(joined));
}

#[test]
fn a_peer_neither_makes_admins_nor_revokes_nor_sets_policy_or_scope() {
    let roster = three();
    let refused = |made: Result<Entry, RosterError>| assert!(matches!(made, Err(RosterError::NotAllowed { .. })));
    refused(roster.add(&key(3), NOW, member(4, Role::Admin)));
    refused(roster.revoke(&key(3), NOW, id(1), &VersionVector::new()));
    refused(roster.set_policy(&key(3), NOW, TablePolicy { table: "t".into(), ..TablePolicy::default() }));
    refused(roster.set_scope(&key(3), NOW, Scope::default()));
}

#[test]
fn an_entry_without_the_right_to_it_is_kept_and_has_no_effect() {
    let roster = three();
    let parents: Vec<Digest> = roster.heads().iter().copied().collect();
    for action in [
        Action::Add(member(4, Role::Admin)),
        Action::Revoke { node: id(1), cut: VersionVector::new() },
        Action::Scope(Scope::default()),
    ] {
        let forced = Entry::sign(roster.mesh(), parents.clone(), 4, action, &key(3), NOW).unwrap();
        let after = with(roster.clone(), forced.clone());
        assert!(!after.counts(&forced.hash()));
        assert_eq!(after.members().count(), 3);
        assert!(after.scope().is_none());
    }
}

#[test]
fn a_peer_cannot_raise_the_role_of_a_member() {
    let roster = three();
    let roster = with(roster.clone(), roster.add(&key(1), NOW, member(4, Role::Restricted)).unwrap());
    let roster = with(roster.clone(), roster.add(&key(3), NOW, member(4, Role::Peer)).unwrap());
    assert_eq!(roster.member(&id(4)).unwrap().role, Role::Restricted);
    let roster = with(roster.clone(), roster.add(&key(1), NOW, member(4, Role::Peer)).unwrap());
    assert_eq!(roster.member(&id(4)).unwrap().role, Role::Peer);
}

#[test]
fn a_member_speaks_for_its_own_name_and_addresses() {
    let roster = three();
    let roster = with(roster.clone(), roster.set_addresses(&key(3), NOW, vec!["[fe80::1]:9".into()]).unwrap());
    let roster = with(roster.clone(), roster.rename(&key(3), NOW, "depot".into()).unwrap());
    let depot = roster.member(&id(3)).unwrap();
    assert_eq!((depot.name.as_str(), depot.addresses.as_slice()), ("depot", ["[fe80::1]:9".to_owned()].as_slice()));
    assert!(matches!(roster.rename(&key(9), NOW, "x".into()), Err(RosterError::NotAllowed { .. })));
}

#[test]
fn k7_a_revoked_key_never_returns() {
    let roster = three();
    let revoked = with(roster.clone(), roster.revoke(&key(1), NOW, id(3), &up_to(3, 5)).unwrap());
    assert!(revoked.is_revoked(&id(3)) && !revoked.is_member(&id(3)));
    assert_eq!(revoked.key_of(&id(3)), Some(key(3).public_key()));
    assert_eq!(revoked.revocation(&id(3)).unwrap().cut, up_to(3, 5));
    assert_eq!(revoked.add(&key(1), NOW, member(3, Role::Peer)), Err(RosterError::Revoked(id(3))));

    // Not even by an admin who had not heard of it.
    let elsewhere = with(roster.clone(), roster.add(&key(2), NOW, member(3, Role::Admin)).unwrap());
    let both = merged(&revoked, &elsewhere);
    assert!(both.is_revoked(&id(3)) && !both.is_member(&id(3)));
    assert_same(&both, &merged(&elsewhere, &revoked));
}

#[test]
fn k7_a_revoked_node_cannot_sign_itself_a_friend_in_the_past() {
    let roster = three();
    let revoked = with(roster.clone(), roster.revoke(&key(1), NOW, id(3), &VersionVector::new()).unwrap());
    let backdated = with(roster.clone(), roster.add(&key(3), NOW, member(7, Role::Peer)).unwrap());
    let further = with(backdated.clone(), backdated.add(&key(7), NOW, member(8, Role::Peer)).unwrap());
    let both = merged(&revoked, &further);
    assert!(!both.is_member(&id(7)) && !both.is_member(&id(8)));
    assert_eq!(both.orphans().map(|(node, _)| *node).collect::<BTreeSet<_>>(), [id(7), id(8)].into());
    assert_same(&both, &merged(&further, &revoked));
    // An honest node that was let in this way can be let in again.
    let mended = with(both.clone(), both.add(&key(1), NOW, member(7, Role::Peer)).unwrap());
    assert!(mended.is_member(&id(7)) && mended.orphans().all(|(node, _)| *node != id(7)));
}

#[test]
fn what_a_node_did_before_it_was_revoked_stands() {
    let roster = three();
    let roster = with(roster.clone(), roster.add(&key(3), NOW, member(4, Role::Peer)).unwrap());
    let roster = with(roster.clone(), roster.revoke(&key(1), NOW, id(3), &VersionVector::new()).unwrap());
    assert!(roster.is_member(&id(4)));
}

#[test]
fn g15_conflicting_removals_are_resolved_toward_removal() {
    let roster = three();
    let a = with(roster.clone(), roster.revoke(&key(1), NOW, id(2), &VersionVector::new()).unwrap());
    let b = with(roster.clone(), roster.revoke(&key(2), NOW, id(1), &VersionVector::new()).unwrap());
    let c = with(b.clone(), b.add(&key(3), NOW, member(4, Role::Peer)).unwrap());
    let both = merged(&a, &c);
    assert!(both.is_revoked(&id(1)) && both.is_revoked(&id(2)) && both.is_member(&id(4)));
    assert_same(&both, &merged(&c, &a));
}

#[test]
fn g7_cuts_of_several_revocations_and_witnesses_are_joined() {
    let roster = three();
    let a = with(roster.clone(), roster.revoke(&key(1), NOW, id(3), &up_to(3, 2)).unwrap());
    let b = with(roster.clone(), roster.revoke(&key(2), NOW, id(3), &up_to(3, 4)).unwrap());
    let both = merged(&a, &b);
    assert_eq!(both.revocation(&id(3)).unwrap().cut, up_to(3, 4));
    assert_eq!(both.witness(&key(1), NOW, id(3), &up_to(3, 3), Lamport(0)), Ok(None));
    let witness = both.witness(&key(1), NOW, id(3), &up_to(3, 9), Lamport(0)).unwrap().unwrap();
    assert_eq!(with(both, witness).revocation(&id(3)).unwrap().cut, up_to(3, 9));
}

#[test]
fn q23_only_the_origin_closes_an_incarnation_and_whoever_holds_more_of_it_says_so() {
    let roster = three();
    let closing = up_to(3, 2).dots().next().unwrap().origin;
    let lamport = Lamport::at(WallTime(NOW.0 + 3_600_000));
    let stranger = roster.close(&key(2), NOW, closing, Seq(2), lamport);
    assert!(matches!(stranger, Err(RosterError::NotAllowed { .. })));
    assert!(roster.is_too_far_ahead(lamport, NOW));
    let closed = with(roster.clone(), roster.close(&key(3), NOW, closing, Seq(2), lamport).unwrap());
    assert_eq!((roster.closed(&closing), closed.closed(&closing)), (None, Some(Seq(2))));
    // What it left behind is followed, and nothing beyond it.
    assert!(!closed.is_too_far_ahead(lamport.next(), NOW));
    assert!(closed.is_too_far_ahead(Lamport::at(WallTime(lamport.wall().0 + limits::DRIFT_MS_MAX + 1)), NOW));

    assert_eq!(closed.cut_too_low(&up_to(3, 2)), None);
    assert_eq!(closed.witness(&key(2), NOW, id(3), &up_to(3, 2), Lamport(0)), Ok(None));
    assert_eq!(closed.cut_too_low(&up_to(3, 5)), Some(id(3)));
    let beyond = Lamport::at(WallTime(lamport.wall().0 + 3_600_000));
    let witness = closed.witness(&key(2), NOW, id(3), &up_to(3, 5), beyond).unwrap().unwrap();
    let witnessed = with(closed.clone(), witness);
    assert_eq!(witnessed.closed(&closing), Some(Seq(5)));
    assert!(!witnessed.is_too_far_ahead(beyond.next(), NOW), "what everybody takes in may be edited");
    // A lie about the future does not use up the numbers.
    let liar = with(roster.clone(), roster.close(&key(3), NOW, closing, Seq(2), Lamport(limits::NUMBER_MAX)).unwrap());
    assert!(liar.is_too_far_ahead(Lamport::at(WallTime(NOW.0 + 2 * limits::CLOSED_AHEAD_MS_MAX)), NOW));
}

#[test]
fn a_member_may_leave_and_the_last_admin_may_not() {
    let roster = three();
    assert!(!with(roster.clone(), roster.revoke(&key(3), NOW, id(3), &up_to(3, 1)).unwrap()).is_member(&id(3)));
    let alone = founded();
    assert_eq!(alone.revoke(&key(1), NOW, id(1), &VersionVector::new()), Err(RosterError::LastAdmin));
}

#[test]
fn policies_and_scope_are_those_of_the_epoch_asked_for() {
    let policy = |word: &str| TablePolicy {
        table: "stock".into(),
        existence: Some("delete_wins".into()),
        columns: [("quantity".to_owned(), word.to_owned())].into(),
        references: [("shelf".to_owned(), "cascade".to_owned())].into(),
        extras: vec![(16, vec![1, 2, 3])],
    };
    let filter = RowFilter {
        name: "demo".into(),
        root: "businesses".into(),
        condition: "id like 'demo-%'".into(),
        follow: vec!["users.current_business_id".into()],
        several_owners: Some("all".into()),
        extras: vec![],
    };
    let known = Some(vec!["businesses".into(), "users".into()]);
    let scope = Scope { exclude: vec!["sessions".into()], filters: vec![filter], known, extras: vec![] };
    let roster = three();
    let roster = with(roster.clone(), roster.set_policy(&key(1), NOW, policy("max")).unwrap());
    let roster = with(roster.clone(), roster.set_scope(&key(1), NOW, scope.clone()).unwrap());
    let roster = with(roster.clone(), roster.set_policy(&key(2), NOW, policy("counter")).unwrap());
    assert_eq!(roster.policy_at("stock", 3), None);
    assert_eq!(roster.policy_at("stock", 5), Some(&policy("max")));
    assert_eq!(roster.policy_at("stock", 6), Some(&policy("counter")));
    assert_eq!(roster.policies(), [("stock", &policy("counter"))].into());
    assert_eq!((roster.scope_at(4), roster.scope_at(5), roster.scope()), (None, Some(&scope), Some(&scope)));
}

#[test]
fn an_action_of_a_later_version_is_kept_forwarded_and_ignored() {
    let roster = three();
    let parents: Vec<Digest> = roster.heads().iter().copied().collect();
    let later = Entry::sign(roster.mesh(), parents, 4, Action::Unknown { kind: 8 }, &key(3), NOW).unwrap();
    let after = with(roster.clone(), later.clone());
    assert_eq!(after.members().count(), 3);
    assert!(after.hashes().contains(&later.hash()) && !after.counts(&later.hash()));
    // Whom it made a member we cannot know, so entries of strangers above it are kept too.
    let stranger =
        Entry::sign(roster.mesh(), vec![later.hash()], 5, Action::Rename { name: "x".into() }, &key(9), NOW).unwrap();
    assert!(matches!(after.clone().insert(stranger.bytes()), Ok(Inserted::New(_))));
}

#[test]
fn a_strangers_entry_is_refused() {
    let mut roster = three();
    let parents: Vec<Digest> = roster.heads().iter().copied().collect();
    let entry = Entry::sign(roster.mesh(), parents, 4, Action::Rename { name: "x".into() }, &key(9), NOW).unwrap();
    assert_eq!(roster.insert(entry.bytes()), Err(RosterError::Stranger(id(9))));
}

#[test]
fn entries_whose_parents_are_missing_say_which() {
    let roster = three();
    let entries = all_bytes(&roster);
    let mut behind = founded();
    let missing = roster.entry(&roster.hashes()[2]).unwrap().parents().to_vec();
    assert_eq!(behind.insert(&entries[2]), Err(RosterError::MissingParents(missing.clone())));
    assert_eq!(behind.adopt([&entries[2]]).missing, missing);
    assert_eq!(behind.adopt([&entries[2], &entries[1], &entries[0]]).new.len(), 2);
    assert_same(&behind, &roster);
}

#[test]
fn k8_replayed_entries_change_nothing() {
    let mut roster = three();
    let before = roster.clone();
    for bytes in all_bytes(&before) {
        assert!(matches!(roster.insert(&bytes), Ok(Inserted::Known(_))));
    }
    assert_same(&roster, &before);
}

#[test]
fn g11_entries_of_another_mesh_are_refused() {
    let mut roster = founded();
    let other = Roster::found(&key(1), "other shops", "node 1", vec![], NOW).unwrap();
    let adopted = roster.adopt(all_bytes(&other));
    assert_eq!(adopted.refused, vec![RosterError::OtherMesh(other.mesh())]);
    assert_eq!(
        Roster::from_entries(other.mesh(), all_bytes(&roster)).err(),
        Some(RosterError::NoGenesis(other.mesh()))
    );
}

#[test]
fn j4_every_flipped_bit_of_an_entry_is_refused() {
    let roster = three();
    let bytes = all_bytes(&roster)[2].to_vec();
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[position] ^= 1 << bit;
            assert!(Entry::decode(&altered).is_err(), "bit {bit} of byte {position}");
        }
    }
}

#[test]
fn a_wrong_epoch_is_refused() {
    let mut roster = three();
    let parents: Vec<Digest> = roster.heads().iter().copied().collect();
    let entry = Entry::sign(roster.mesh(), parents, 9, Action::Rename { name: "x".into() }, &key(1), NOW).unwrap();
    assert_eq!(roster.insert(entry.bytes()), Err(RosterError::WrongEpoch { got: 9, expected: 4 }));
}

#[test]
fn names_addresses_and_sizes_are_held_to_their_limits() {
    let roster = founded();
    let name = |length: usize| roster.rename(&key(1), NOW, "n".repeat(length));
    assert!(name(limits::NODE_NAME_BYTES_MAX).is_ok());
    assert!(name(limits::NODE_NAME_BYTES_MAX + 1).is_err());
    assert!(name(0).is_err());
    for steering in ["\u{1b}[2J", "a\nb", "\u{202e}moc.knab", "  "] {
        assert!(roster.rename(&key(1), NOW, steering.into()).is_err(), "{steering:?}");
    }
    let addresses = |count: usize| roster.set_addresses(&key(1), NOW, vec!["h:1".to_owned(); count]);
    assert!(addresses(limits::ADDRESSES_MAX).is_ok());
    assert!(addresses(limits::ADDRESSES_MAX + 1).is_err());
    for bad in ["", "host", ":1", "h:99999", "http://h:1", "h h:1", "user@h:1"] {
        assert!(roster.set_addresses(&key(1), NOW, vec![bad.into()]).is_err(), "{bad:?}");
    }
    let scope =
        |bytes: usize| roster.set_scope(&key(1), NOW, Scope { exclude: vec!["t".repeat(bytes)], ..Scope::default() });
    assert!(scope(limits::RULE_BYTES_MAX).is_ok());
    assert!(scope(limits::RULE_BYTES_MAX + 1).is_err());
    let too_large = Scope { exclude: vec!["t".repeat(limits::RULE_BYTES_MAX); 4], ..Scope::default() };
    let refusal = roster.set_scope(&key(1), NOW, too_large);
    assert!(matches!(refusal, Err(RosterError::Entry(EntryError::Malformed(Malformed::TooLarge { .. })))));
}

#[test]
fn a_cut_that_names_another_node_is_refused() {
    let roster = three();
    let parents: Vec<Digest> = roster.heads().iter().copied().collect();
    let action = Action::Revoke { node: id(3), cut: up_to(2, 5) };
    assert!(Entry::sign(roster.mesh(), parents, 4, action, &key(1), NOW).is_err());
}

#[test]
fn a_changeset_of_a_higher_epoch_has_to_wait() {
    let behind = three();
    let ahead = with(behind.clone(), behind.rename(&key(1), NOW, "x".into()).unwrap());
    assert!(behind.knows(behind.epoch(), &behind.hash()));
    assert!(!behind.knows(ahead.epoch(), &ahead.hash()));
    assert!(ahead.knows(behind.epoch(), &behind.hash()));
}

/// One step of a history on three replicas: somebody signs something somewhere, or two replicas meet.
#[derive(Clone, Debug)]
enum Step {
    Sign { replica: usize, signer: u8, action: u8, subject: u8 },
    Meet { from: usize, to: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sign = (0..3usize, 1..6u8, 0..10u8, 1..8u8).prop_map(|(replica, signer, action, subject)| Step::Sign {
        replica,
        signer,
        action,
        subject,
    });
    let meet = (0..3usize, 0..3usize).prop_map(|(from, to)| Step::Meet { from, to });
    proptest::collection::vec(prop_oneof![4 => sign, 1 => meet], 0..40)
}

fn action_of(action: u8, subject: u8) -> Action {
    match action {
        0 | 1 => Action::Add(member(subject, Role::Peer)),
        2 => Action::Add(member(subject, Role::Admin)),
        3 => Action::Revoke { node: id(subject), cut: up_to(subject, u64::from(action)) },
        4 => Action::Witness { node: id(subject), held: up_to(subject, 9), lamport: Lamport(u64::from(subject)) },
        5 => Action::Rename { name: format!("renamed {subject}") },
        6 => Action::Policy(TablePolicy { table: format!("t{}", subject % 2), ..TablePolicy::default() }),
        7 => Action::Scope(Scope { exclude: vec![format!("t{subject}")], ..Scope::default() }),
        8 => {
            let origin = up_to(subject, 1).dots().next().expect("it has one").origin;
            Action::Close { origin, last: Seq(u64::from(subject)), lamport: Lamport(u64::from(subject)) }
        }
        _ => Action::Unknown { kind: 8 },
    }
}

fn play(steps: &[Step]) -> Vec<Roster> {
    let mut replicas = vec![three(); 3];
    for step in steps {
        match step {
            Step::Meet { from, to } => {
                let entries = all_bytes(&replicas[*from]);
                let adopted = replicas[*to].adopt(entries);
                assert_eq!((adopted.missing, adopted.refused), (vec![], vec![]));
            }
            Step::Sign { replica, signer, action, subject } => {
                let roster = &mut replicas[*replica];
                let parents: Vec<Digest> = roster.heads().iter().copied().collect();
                let (epoch, action) = (roster.epoch() + 1, action_of(*action, *subject));
                // Signed whether allowed or not: what has no right must be kept and have no effect, everywhere alike.
                let entry = Entry::sign(roster.mesh(), parents, epoch, action, &key(*signer), NOW).unwrap();
                let outcome = roster.insert(entry.bytes());
                let stranger = matches!(outcome, Err(RosterError::Stranger(_)));
                assert!(stranger || outcome.is_ok(), "{outcome:?}");
            }
        }
    }
    replicas
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn g15_the_same_entries_give_the_same_roster_in_whatever_order_they_arrive(
        steps in steps(),
        shuffle in proptest::collection::vec(any::<u32>(), 200),
    ) {
        let replicas = play(&steps);
        let whole = merged(&merged(&replicas[0], &replicas[1]), &replicas[2]);
        assert_same(&whole, &merged(&merged(&replicas[2], &replicas[0]), &replicas[1]));
        // A refold of everything gives what taking in one by one gave.
        prop_assert_eq!(&whole.state, &whole.graph.fold_all());
        prop_assert_eq!(&replicas[0].state, &replicas[0].graph.fold_all());

        let mut entries: Vec<(u32, Arc<[u8]>)> =
            all_bytes(&whole).into_iter().enumerate().map(|(i, bytes)| (shuffle[i % 200], bytes)).collect();
        entries.sort_by_key(|(position, _)| *position);
        let mut again = Roster::empty(whole.mesh());
        // One by one, each tried until its parents are there.
        while !entries.is_empty() {
            let before = entries.len();
            entries.retain(|(_, bytes)| matches!(again.insert(bytes), Err(RosterError::MissingParents(_))));
            prop_assert!(entries.len() < before);
        }
        assert_same(&whole, &again);
    }

    #[test]
    fn k7_nobody_whom_an_entitled_entry_revokes_is_ever_a_member(steps in steps()) {
        for replica in play(&steps) {
            for (node, _) in replica.revoked() {
                prop_assert!(!replica.is_member(node));
            }
        }
    }

    #[test]
    fn s72_random_bytes_are_no_entry_and_never_a_panic(bytes: Vec<u8>) {
        prop_assert!(Entry::decode(&bytes).is_err());
    }

    #[test]
    fn s72_altered_actions_never_panic_and_decode_to_themselves(
        which in 0u8..9,
        position: proptest::sample::Index,
        byte: u8,
        cut: proptest::sample::Index,
    ) {
        let action = action_of(which, 5);
        let mut bytes = action.encode();
        if !bytes.is_empty() {
            let position = position.index(bytes.len());
            bytes[position] = byte;
            let length = cut.index(bytes.len() + 1);
            let read = Action::decode(action.kind(), &bytes);
            if let Ok(read @ (Action::Add(_) | Action::Rename { .. } | Action::Revoke { .. })) = read {
                let again = Action::decode(read.kind(), &read.encode());
                prop_assert_eq!(again, Ok(read));
            }
            let _ = Action::decode(action.kind(), &bytes[..length]);
        }
    }
}

/// Which of the numbers 1, 2, 3 … each of these nodes would draw first, and the step.
fn dealt(roster: &Roster, nodes: &[u8]) -> Vec<Option<(i64, i64)>> {
    let first = |stride: crate::stride::Stride| (stride.first_from(1).unwrap(), stride.step());
    nodes.iter().map(|n| roster.stride_of(&id(*n)).map(first)).collect()
}

#[test]
fn members_deal_out_numbers_by_the_order_in_which_they_were_let_in_and_a_lonely_one_all() {
    assert_eq!(dealt(&founded(), &[1]), [None]);
    let roster = three();
    assert_eq!(dealt(&roster, &[1, 2, 3, 4]), [Some((1, 16)), Some((2, 16)), Some((3, 16)), None]);
}

#[test]
fn the_numbers_of_a_node_that_was_removed_go_to_nobody_else() {
    let roster = three();
    let roster = with(roster.clone(), roster.revoke(&key(1), NOW, id(2), &VersionVector::new()).unwrap());
    let roster = with(roster.clone(), roster.add(&key(1), NOW, member(4, Role::Peer)).unwrap());
    assert_eq!(dealt(&roster, &[1, 2, 3, 4]), [1, 2, 3, 4].map(|slot| Some((slot, 16))));
}

#[test]
fn nodes_that_were_let_in_at_once_have_numbers_of_their_own_as_soon_as_the_rosters_meet() {
    let roster = three();
    let here = with(roster.clone(), roster.add(&key(1), NOW, member(4, Role::Peer)).unwrap());
    let there = with(roster.clone(), roster.add(&key(2), NOW, member(5, Role::Peer)).unwrap());
    assert_eq!((dealt(&here, &[4]), dealt(&there, &[5])), (vec![Some((4, 16))], vec![Some((4, 16))]));
    let (one, other) = (merged(&here, &there), merged(&there, &here));
    assert_eq!(dealt(&one, &[1, 2, 3, 4, 5]), dealt(&other, &[1, 2, 3, 4, 5]));
    let mut both = dealt(&one, &[4, 5]);
    both.sort();
    assert_eq!(both, [Some((4, 16)), Some((5, 16))]);
}

#[test]
fn the_step_doubles_with_the_seventeenth_node() {
    let mut roster = founded();
    for n in 2..=17 {
        assert!(n == 2 || dealt(&roster, &[1]) == [Some((1, 16))], "with {n} nodes");
        let entry = roster.add(&key(1), NOW, member(n, Role::Peer)).unwrap();
        roster = with(roster, entry);
    }
    assert_eq!(dealt(&roster, &[1, 16, 17]), [Some((1, 32)), Some((16, 32)), Some((17, 32))]);
}
