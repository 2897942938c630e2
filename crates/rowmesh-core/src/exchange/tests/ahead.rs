//! What a dialer does ahead of its turn: the next batch is asked for, or read, while the last is taken in. Whole exchanges, in which it is done
//! too, are in the file above.

use super::*;
use crate::wire::Refusal;

/// A dialer of node 0 that calls node 1 and is to take in the first batch, of one changeset.
fn at_its_first_batch(nodes: &mut [Node]) -> (Dialer, Vec<Arc<[u8]>>) {
    let mut dialer = Dialer::new(nodes[1].id(), Options { max_bytes: 1, ..Options::default() });
    loop {
        match dialer.poll_step(&nodes[0].view()) {
            Step::Apply(changesets) => return (dialer, changesets),
            Step::Send(request) => {
                let response = carried(nodes, 0, 1, request, Fault::None).unwrap();
                dialer.handle_response(&nodes[0].view(), response);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn ahead_of(dialer: &Dialer, node: &Node) -> Pull {
    match dialer.poll_ahead(&node.view()) {
        Some(Ahead::Send(Request::Pull(pull))) => pull,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_next_batch_is_asked_for_while_the_last_is_taken_in_and_nothing_is_acknowledged_that_is_not() {
    let mut nodes = mesh(2);
    nodes[1].seal_many(3);
    let (mut dialer, changesets) = at_its_first_batch(&mut nodes);
    let pull = ahead_of(&dialer, &nodes[0]);
    assert!(pull.vector.is_empty(), "nothing is taken in yet");
    assert_eq!(pull.coming.get(&nodes[1].origin()), Seq(1));
    let response = carried(&mut nodes, 0, 1, Request::Pull(pull), Fault::None).unwrap();
    dialer.handle_response_ahead(response);
    assert!(dialer.poll_ahead(&nodes[0].view()).is_none(), "one batch ahead is enough");
    dialer.handle_applied(nodes[0].apply(changesets));
    let Step::Apply(next) = dialer.poll_step(&nodes[0].view()) else { panic!("it is here already") };
    assert_eq!(next, [nodes[1].log[&Dot { origin: nodes[1].origin(), seq: Seq(2) }].bytes().clone()]);
}

#[test]
fn a_batch_that_came_ahead_is_dropped_if_what_it_stands_on_was_not_taken_in() {
    let mut nodes = mesh(3);
    nodes[1].clock = WallTime(NOW.0 + 600_000);
    nodes[1].seal_many(2);
    let (mut dialer, changesets) = at_its_first_batch(&mut nodes);
    let pull = Request::Pull(ahead_of(&dialer, &nodes[0]));
    dialer.handle_response_ahead(carried(&mut nodes, 0, 1, pull, Fault::None).unwrap());
    let applied = nodes[0].apply(changesets);
    assert_eq!(codes(&applied.held), [code::CLOCK_AHEAD]);
    dialer.handle_applied(applied);
    let Step::Done(summary) = dialer.poll_step(&nodes[0].view()) else { panic!("there is nothing else to be had") };
    assert_eq!(summary.held.len(), 1, "the second was not even judged");
}

#[test]
fn an_answer_ahead_that_says_no_or_never_comes_changes_nothing() {
    let mut nodes = mesh(2);
    nodes[1].seal_many(2);
    let (mut dialer, changesets) = at_its_first_batch(&mut nodes);
    dialer.handle_response_ahead(Response::Refused(Refusal::new(code::BUSY, "not now")));
    dialer.handle_log_ahead(LogBatch { changesets: changesets.clone(), more: true });
    dialer.handle_applied(nodes[0].apply(changesets));
    assert!(matches!(dialer.poll_step(&nodes[0].view()), Step::Send(Request::Pull(_))));
}

#[test]
fn the_log_is_read_ahead_while_a_push_is_on_its_way() {
    let mut nodes = mesh(2);
    nodes[0].seal_many(50);
    let mut dialer = Dialer::new(nodes[1].id(), Options { max_bytes: 1_000, ..Options::default() });
    let mut read_in_turn = 0;
    let summary = loop {
        if let Some(Ahead::ReadLog(request)) = dialer.poll_ahead(&nodes[0].view()) {
            dialer.handle_log_ahead(nodes[0].read(request));
        }
        match dialer.poll_step(&nodes[0].view()) {
            Step::ReadLog(request) => {
                read_in_turn += 1;
                dialer.handle_log(nodes[0].read(request));
            }
            Step::Send(request) => {
                let response = carried(&mut nodes, 0, 1, request, Fault::None).unwrap();
                dialer.handle_response(&nodes[0].view(), response);
            }
            Step::Done(summary) => break summary,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((summary.sent.changesets, read_in_turn), (50, 1));
    assert_eq!(nodes[0].vector, nodes[1].vector);
}
