//! Messages come back as they were sent; hostile ones are refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::Encoder;
use proptest::prelude::*;

use super::*;
use crate::ack::AckMark;
use crate::clock::{VersionVector, WallTime};
use crate::ident::{Digest, Dot, Incarnation, MeshId, NodeId, Origin, Seq};
use crate::invite::{InviteId, InviteProof};
use crate::limits;
use crate::sign::PublicKey;

fn origin(n: u8) -> Origin {
    Origin { node: NodeId([n; 32]), incarnation: Incarnation { count: u32::from(n), nonce: u64::MAX - 1 } }
}

fn vector(seq: u64) -> VersionVector {
    [Dot { origin: origin(1), seq: Seq(seq) }, Dot { origin: origin(2), seq: Seq(7) }].into_iter().collect()
}

fn marks() -> BTreeMap<NodeId, AckMark> {
    let mark = |n: u8| AckMark { incarnation: origin(n).incarnation, counter: 300 };
    (1..4).map(|n| (NodeId([n; 32]), mark(n))).collect()
}

fn hello() -> Hello {
    Hello {
        protocol_min: 1,
        protocol_max: 3,
        mesh: MeshId([1; 32]),
        node: NodeId([2; 32]),
        incarnation: origin(3).incarnation,
        vector: vector(5),
        floor: vector(2),
        epoch: 9,
        roster: Digest([4; 32]),
        schema: Digest([5; 32]),
        now: WallTime(77),
        ack: Some(vec![1, 2, 3].into()),
        acks: marks(),
        fingerprints: vec![Fingerprint { table: "orders".into(), sum: vec![9; 32] }],
        cannot_be_dialled: true,
    }
}

fn report(n: u8) -> Report {
    Report::new(Some(Dot { origin: origin(n), seq: Seq(4) }), code::GAP, "seq 3 is not here")
}

fn requests() -> Vec<Request> {
    let blobs: Vec<Arc<[u8]>> = vec![vec![1].into(), vec![].into(), vec![7; 300].into()];
    let join = Join {
        protocol_min: 1,
        protocol_max: 1,
        mesh: MeshId([1; 32]),
        invite: InviteId([2; 16]),
        proof: InviteProof([3; 32]),
        name: "depot".into(),
        public_key: PublicKey([4; 32]),
        addresses: vec!["h:1".into()],
        schema: Digest([5; 32]),
        now: WallTime(6),
    };
    vec![
        Request::Hello(Box::new(hello())),
        Request::Hello(Box::new(Hello { ack: None, cannot_be_dialled: false, ..hello() })),
        Request::RosterOffer(RosterOffer { hashes: vec![Digest([1; 32]), Digest([2; 32])] }),
        Request::RosterPush(RosterPush { entries: blobs.clone() }),
        Request::Acks(Acks { acks: blobs.clone(), known: marks() }),
        Request::Pull(Pull { vector: vector(1), coming: vector(2), except: vec![origin(4)], max_bytes: 1 << 20 }),
        Request::Push(Batch { changesets: blobs[..1].to_vec(), end: Default::default() }),
        Request::Wait(Wait {
            vector: vector(1),
            roster: Digest([1; 32]),
            max_ms: 5,
            except: vector(2).dots().map(|dot| dot.origin).collect(),
        }),
        Request::Join(Box::new(join)),
        Request::Snapshot(SnapshotRequest { schema: Digest([1; 32]), mark: vec![3; 100], max_bytes: 7 }),
    ]
}

fn responses() -> Vec<(Path, Response)> {
    let blobs: Vec<Arc<[u8]>> = vec![vec![1].into(), vec![7; 300].into()];
    let pushed = PushReply {
        vector: vector(8),
        taken: Tally { changesets: 1, events: 2, bytes: 3 },
        duplicates: 4,
        held: vec![report(1), Report::new(None, code::CHANGESET_MALFORMED, "")],
        refused: vec![report(2)],
    };
    let chunk = Frame { kind: FrameKind::SnapshotChunk, payload: vec![1, 2, 3] };
    vec![
        (Path::Hello, Response::Hello(Box::new(HelloReply { protocol: 1, hello: hello() }))),
        (
            Path::RosterOffer,
            Response::Roster(RosterReply { entries: blobs.clone(), lacking: vec![Digest([1; 32])], more: true }),
        ),
        (Path::RosterPush, Response::RosterTaken(RosterTaken { epoch: 4, hash: Digest([2; 32]), missing: vec![] })),
        (Path::Acks, Response::Acks(AcksReply { acks: blobs.clone() })),
        (Path::Pull, Response::Batch(Batch { changesets: blobs.clone(), end: Default::default() })),
        (Path::Push, Response::Pushed(pushed)),
        (Path::Wait, Response::Wake(Wake { reason: WakeReason::Other(44) })),
        (Path::Join, Response::Joined(JoinReply { entries: blobs, more: false })),
        (Path::Snapshot, Response::Snapshot(vec![chunk])),
        (Path::Pull, Response::Refused(Refusal::new(code::NOT_A_MEMBER, "who are you"))),
        (Path::Hello, Response::Refused(Refusal { retry_ms: Some(0), ..Refusal::new(code::BUSY, "later") })),
    ]
}

#[test]
fn requests_come_back_as_they_were_sent() {
    for request in requests() {
        let back = Request::decode(request.path(), &request.encode());
        assert!(back == Ok(request.clone()), "{}", request.path().as_str());
        assert_eq!(Path::parse(request.path().as_str()), Some(request.path()));
    }
}

#[test]
fn responses_come_back_as_they_were_sent() {
    for (path, response) in responses() {
        assert!(Response::decode(path, &response.encode()) == Ok(response), "{}", path.as_str());
    }
}

#[test]
fn j3_a_message_cut_at_any_byte_is_refused() {
    for request in requests() {
        let body = request.encode();
        assert!((0..body.len()).all(|length| Request::decode(request.path(), &body[..length]).is_err()));
    }
    for (path, response) in responses() {
        let body = response.encode();
        let cuts = (1..body.len()).all(|length| Response::decode(path, &body[..length]).is_err());
        assert!(cuts, "{}", path.as_str());
    }
}

#[test]
fn j4_every_flipped_bit_of_a_message_is_refused() {
    let body = requests()[7].encode();
    for position in 0..body.len() {
        for bit in 0..8 {
            let mut altered = body.clone();
            altered[position] ^= 1 << bit;
            assert!(Request::decode(Path::Wait, &altered).is_err());
        }
    }
}

/// The bytes stand in docs/protocol.md too: whoever changes them changes the protocol.
#[test]
fn the_example_of_the_protocol_document_is_what_is_sent() {
    let body = Response::Wake(Wake { reason: WakeReason::Timeout }).encode();
    let document = include_str!("../../../../../docs/protocol.md");
    let shown: String = document.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let shown: String = shown.chars().filter(|c| !c.is_whitespace()).collect();
    assert!(shown.contains(&crate::ident::hex(&body)), "{}", crate::ident::hex(&body));
}

#[test]
fn a_message_on_the_wrong_path_is_refused() {
    for request in requests() {
        for path in Path::ALL.into_iter().filter(|path| *path != request.path()) {
            assert!(Request::decode(path, &request.encode()).is_err());
        }
    }
}

/// A `wait` with its fields given one by one.
fn wait_with(fields: &[(u64, &[u8])]) -> Result<Request, WireError> {
    let mut payload = Vec::new();
    Encoder::new(&mut payload).map(fields.len() as u64).unwrap();
    for (number, value) in fields {
        Encoder::new(&mut payload).u64(*number).unwrap();
        payload.extend_from_slice(value);
    }
    let mut body = Vec::new();
    write_frame(&mut body, FrameKind::Message, &payload);
    Request::decode(Path::Wait, &body)
}

fn cbor(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Encoder::new(&mut out));
    out
}

fn number(value: u64) -> Vec<u8> {
    cbor(|out| drop(out.u64(value).map(drop)))
}

fn blob(value: &[u8]) -> Vec<u8> {
    cbor(|out| drop(out.bytes(value).map(drop)))
}

#[test]
fn s46_a_field_that_comes_twice_or_out_of_order_is_refused() {
    let (kind, empty, hash, time) = (number(13), blob(&[0]), blob(&[1; 32]), number(5));
    assert!(wait_with(&[(0, &kind), (1, &empty), (2, &hash), (3, &time)]).is_ok());
    assert!(wait_with(&[(0, &kind), (1, &empty), (2, &hash), (3, &time), (3, &time)]).is_err());
    assert!(wait_with(&[(0, &kind), (1, &empty), (2, &hash), (2, &hash), (3, &time)]).is_err());
    assert!(wait_with(&[(0, &kind), (2, &hash), (1, &empty), (3, &time)]).is_err());
    assert!(wait_with(&[(0, &kind), (1, &empty), (3, &time)]).is_err(), "a field that is needed is missing");
}

#[test]
fn s47_an_unknown_field_is_skipped_and_an_unknown_critical_one_refused() {
    let (kind, empty, hash, time) = (number(13), blob(&[0]), blob(&[1; 32]), number(5));
    let known: [(u64, &[u8]); 4] = [(0, &kind), (1, &empty), (2, &hash), (3, &time)];
    let with = |number: u64| wait_with(&[&known[..], &[(number, &time)]].concat());
    assert!(with(5).is_ok());
    assert!(with(999).is_ok());
    assert_eq!(with(1_000).err(), Some(WireError::Malformed(Malformed::Invalid("critical field"))));
    assert!(with(u64::MAX).is_err());
}

#[test]
fn s40_numbers_at_the_limit_pass_and_above_it_are_refused() {
    let with = |value: u64| wait_with(&[(0, &number(13)), (1, &blob(&[0])), (2, &blob(&[1; 32])), (3, &number(value))]);
    assert!(with(limits::NUMBER_MAX).is_ok());
    assert!(with(limits::NUMBER_MAX + 1).is_err());
    assert!(with(u64::MAX).is_err());
    let negative = cbor(|out| drop(out.i64(-1).map(drop)));
    assert!(wait_with(&[(0, &number(13)), (1, &blob(&[0])), (2, &blob(&[1; 32])), (3, &negative)]).is_err());
}

#[test]
fn s50_deep_nesting_is_walked_over_without_depth() {
    // A hundred thousand lists in one another, as a field that nobody knows.
    let deep = [vec![0x81u8; 100_000], vec![0x80]].concat();
    let fields: [(u64, &[u8]); 5] =
        [(0, &number(13)), (1, &blob(&[0])), (2, &blob(&[1; 32])), (3, &number(5)), (5, &deep)];
    assert!(wait_with(&fields).is_ok());
    let endless = [vec![0x9fu8; 100_000], vec![0xff; 100_000]].concat();
    let fields: [(u64, &[u8]); 5] = [fields[0], fields[1], fields[2], fields[3], (5, &endless)];
    let _ = wait_with(&fields);
}

#[test]
fn k21_a_list_that_promises_more_than_is_there_is_refused() {
    let mut payload = cbor(|out| {
        out.map(2).unwrap().u64(0).unwrap().u64(3).unwrap().u64(1).unwrap();
    });
    Encoder::new(&mut payload).array(u64::MAX).unwrap();
    let mut body = Vec::new();
    write_frame(&mut body, FrameKind::Message, &payload);
    assert!(Request::decode(Path::RosterOffer, &body).is_err());
}

#[test]
fn s49_lists_are_bounded_at_the_limit() {
    let join = |count: usize| {
        let Some(Request::Join(join)) = requests().into_iter().find(|request| request.path() == Path::Join) else {
            return Err(WireError::Kind { got: 0, expected: Join::KIND });
        };
        let addresses = vec!["h:1".to_owned(); count];
        Request::decode(Path::Join, &Request::Join(Box::new(Join { addresses, ..*join })).encode())
    };
    assert!(join(limits::ADDRESSES_MAX).is_ok());
    assert!(join(limits::ADDRESSES_MAX + 1).is_err());
    let marked = |count: usize| {
        let mark = |n: usize| (NodeId(*blake3::hash(&n.to_be_bytes()).as_bytes()), AckMark::default());
        let hello = Hello { acks: (0..count).map(mark).collect(), ..hello() };
        Request::decode(Path::Hello, &Request::Hello(Box::new(hello)).encode())
    };
    assert!(marked(limits::MEMBERS_MAX).is_ok());
    assert!(marked(limits::MEMBERS_MAX + 1).is_err());
}

#[test]
fn long_texts_and_long_lists_of_reports_are_cut_by_the_sender() {
    let reply = PushReply {
        held: vec![Report::new(None, code::GAP, "ü".repeat(limits::TEXT_BYTES_MAX)); limits::REPORTS_MAX + 1],
        ..PushReply::default()
    };
    let Ok(Response::Pushed(back)) = Response::decode(Path::Push, &Response::Pushed(reply).encode()) else {
        panic!("our own reply is refused");
    };
    assert_eq!(back.held.len(), limits::REPORTS_MAX);
    assert_eq!(back.held[0].text.len(), limits::TEXT_BYTES_MAX);
}

#[test]
fn the_highest_common_protocol_is_taken() {
    assert_eq!(common_protocol((1, 3), (2, 5)), Some(3));
    assert_eq!(common_protocol((1, 1), (1, 1)), Some(1));
    assert_eq!(common_protocol((1, 2), (3, 4)), None);
    assert_eq!(common_protocol((4, 2), (1, 9)), None);
}

proptest! {
    #[test]
    fn s72_no_payload_makes_a_decoder_panic(payload: Vec<u8>, kind in 0u64..20) {
        let mut body = Vec::new();
        write_frame(&mut body, FrameKind::Message, &payload);
        let mut typed = Vec::new();
        write_frame(&mut typed, FrameKind::Message, &[vec![0xa2, 0], number(kind), vec![1], payload].concat());
        for path in Path::ALL {
            let _ = (Request::decode(path, &body), Response::decode(path, &body));
            let _ = (Request::decode(path, &typed), Response::decode(path, &typed));
        }
    }

    #[test]
    fn s72_an_altered_hello_is_read_or_refused_and_never_a_panic(position: prop::sample::Index, byte: u8) {
        let mut payload = hello().payload();
        let position = position.index(payload.len());
        payload[position] = byte;
        if let Ok(read) = Hello::of_payload(&payload) {
            prop_assert_eq!(Hello::of_payload(&read.payload()), Ok(read));
        }
    }
}
