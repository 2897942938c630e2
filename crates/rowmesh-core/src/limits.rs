//! Every bound on what arrives from outside or grows with use, in one place, with the relations between them.
//! What a limit means for the caller is told where it is enforced, not here.

/// Largest sequence number, Lamport timestamp or length that is accepted from anyone: above it arithmetic could wrap.
pub const NUMBER_MAX: u64 = 1 << 62;

/// Rows that one changeset holds at most on an embedded database; a larger round is sealed as several changesets.
pub const UNIT_ROWS_SQLITE: usize = 5_000;
/// Rows that one changeset holds at most on a server database.
pub const UNIT_ROWS_POSTGRES: usize = 100_000;
/// Rows that a changeset from a peer may hold, whatever database it comes from.
pub const CHANGESET_EVENTS_MAX: usize = UNIT_ROWS_POSTGRES;

/// Bytes of one encoded event; a larger row stays behind and is reported.
pub const EVENT_BYTES_MAX: usize = 32 << 20;
/// Bytes after which the sealer closes a changeset and begins the next part.
pub const CHANGESET_BYTES_TARGET: usize = 3 << 20;
/// Bytes of one encoded changeset from a peer.
pub const CHANGESET_BYTES_MAX: usize = 48 << 20;
/// Bytes of changesets after which a frame is closed.
pub const FRAME_BYTES_TARGET: usize = 1 << 20;
/// Bytes of one frame once decompressed.
pub const FRAME_BYTES_MAX: usize = 64 << 20;
/// Bytes of one frame as it travels.
pub const FRAME_WIRE_BYTES_MAX: usize = 64 << 20;
/// A frame may not grow by more than this when decompressed (beyond a small floor).
pub const FRAME_RATIO_MAX: usize = 1_000;
/// Bytes of changesets that one pull or push carries at most.
pub const EXCHANGE_BYTES_MAX: usize = 16 << 20;

/// Tables that one changeset may name.
pub const TABLES_PER_CHANGESET_MAX: usize = 4_096;
/// Characters of a decimal that is added up, and bytes of a sum: PostgreSQL holds 131,072 digits before the point and 16,383 behind it.
pub const AMOUNT_DIGITS_MAX: usize = 150_000;
/// Digits behind the point of an exact sum: a double has 1,074 at most, a decimal of PostgreSQL 16,383.
pub const AMOUNT_SCALE_MAX: u64 = 20_000;
/// Columns of one table.
pub const COLUMNS_MAX: usize = 2_000;
/// Writes that may stand side by side in one row: with honest members one of each origin in each column. What names them takes bytes of its own for
/// each, so that no count promises more than has arrived.
pub const ROW_WRITES_MAX: usize = COLUMNS_MAX * ORIGINS_MAX;
/// Extra fields of one event.
pub const EXTRAS_MAX: usize = 64;
/// Claims on unique values that one event names as giving way to it.
pub const CLAIMS_BEATEN_MAX: usize = 100;
/// Columns of one key: the dirty table has a place for each.
pub const KEY_COLUMNS_MAX: usize = 8;
/// Bytes of one key, encoded, that travels: the indexes of every kind of database hold it.
pub const KEY_BYTES_MAX: usize = 2_048;
/// Bytes of a table's or column's name.
pub const NAME_BYTES_MAX: usize = 1_024;
/// Origins that a version vector may name.
pub const ORIGINS_MAX: usize = 4_096;
/// Open parked events that a changeset may name.
pub const PARKED_NAMED_MAX: usize = 10_000;

/// Members of a mesh, former ones included, and so signed acknowledgements in one message.
pub const MEMBERS_MAX: usize = 1_024;
/// Roster entries.
pub const ROSTER_ENTRIES_MAX: usize = 65_536;
/// Bytes of one roster entry.
pub const ROSTER_ENTRY_BYTES_MAX: usize = 64 << 10;
/// Bytes of one message that is not a stream of frames.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Addresses of one node.
pub const ADDRESSES_MAX: usize = 16;

/// Heads that one roster entry may name as its parents.
pub const ROSTER_PARENTS_MAX: usize = 1_024;
/// Roster entries of one signer who is no admin, so that one member cannot fill the roster.
pub const ROSTER_ENTRIES_PER_SIGNER_MAX: usize = 8_192;
/// Bytes of roster entries that one message carries before it says that there is more.
pub const ROSTER_MESSAGE_BYTES_TARGET: usize = 4 << 20;
/// Bytes of the name of a node, a mesh or a filter.
pub const NODE_NAME_BYTES_MAX: usize = 128;
/// Bytes of one address.
pub const ADDRESS_BYTES_MAX: usize = 255;
/// Bytes of a rule, pattern or condition inside a roster entry.
pub const RULE_BYTES_MAX: usize = 16 << 10;
/// Bytes of the condition of one row filter.
pub const CONDITION_BYTES_MAX: usize = 8 << 10;
/// Parentheses and NOTs inside one another in a condition.
pub const CONDITION_DEPTH_MAX: usize = 64;
/// Row filters of one scope: one bit each wherever it is told which of them apply.
pub const FILTERS_MAX: usize = 64;

/// Bytes of one signed acknowledgement.
pub const ACK_BYTES_MAX: usize = 512 << 10;
/// Bytes of acknowledgements that one message carries before the rest waits for the next exchange.
pub const ACKS_MESSAGE_BYTES_TARGET: usize = 4 << 20;

/// Bytes inside an invite.
pub const INVITE_BYTES_MAX: usize = 6 << 10;
/// Wrong proofs after which an invite is locked.
pub const INVITE_FAILURES_MAX: u32 = 5;
/// Milliseconds that an invite lives unless told otherwise.
pub const INVITE_TTL_MS_DEFAULT: u64 = 15 * 60 * 1_000;
/// Milliseconds that an invite lives at most.
pub const INVITE_TTL_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Nodes that one invite lets in at most.
pub const INVITE_USES_MAX: u32 = 500;
/// Invites that one node keeps open.
pub const INVITES_OPEN_MAX: usize = 20;

/// A frame may decompress to this many bytes whatever its ratio.
pub const FRAME_RATIO_FLOOR: usize = 1 << 20;
/// Base-two logarithm of the largest compression window accepted: 8 MB.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Changesets in one frame.
pub const CHANGESETS_PER_FRAME_MAX: usize = 65_536;
/// Bytes of one request's or response's body.
pub const BODY_BYTES_MAX: usize = EXCHANGE_BYTES_MAX + FRAME_WIRE_BYTES_MAX;
/// Bytes of changesets asked for in one pull, and offered in one push, unless told otherwise.
pub const EXCHANGE_BYTES_DEFAULT: usize = 4 << 20;
/// Requests that one exchange makes at most; what is left waits for the next one.
pub const EXCHANGE_REQUESTS_MAX: u32 = 4_096;
/// Changesets held back or refused that one reply tells of; the rest is counted.
pub const REPORTS_MAX: usize = 256;
/// Bytes of a message for people.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Bytes of a code.
pub const CODE_BYTES_MAX: usize = 16;
/// Bytes of one table's fingerprint.
pub const FINGERPRINT_BYTES_MAX: usize = 64;
/// Bytes of the mark from which a snapshot is resumed.
pub const SNAPSHOT_MARK_BYTES_MAX: usize = 64 << 10;
/// Milliseconds that a waiting request is held open.
pub const WAIT_MS_MAX: u64 = 60_000;

/// Milliseconds by which a timestamp may lie ahead of our clock before it is held.
pub const DRIFT_MS_MAX: u64 = 5 * 60 * 1_000;
/// How far ahead a timestamp that a closed incarnation left behind may lie and still be followed by later ones: 30 years, so that a member
/// who lies about it cannot use up the numbers.
pub const CLOSED_AHEAD_MS_MAX: u64 = 30 * 365 * 24 * 3_600 * 1_000;
/// Milliseconds that a transaction of ours on an embedded database goes on taking in further changesets.
pub const APPLY_MS_BUDGET: u64 = 25;
/// Dirty keys that one round of sealing reads into memory.
pub const ROUND_KEYS_MAX: usize = 200_000;
/// Rows in one chunk of a snapshot.
pub const SNAPSHOT_CHUNK_ROWS: usize = 10_000;
/// Bytes after which a chunk of a snapshot is closed.
pub const SNAPSHOT_CHUNK_BYTES_TARGET: usize = 3 << 20;

const _: () = assert!(EVENT_BYTES_MAX < CHANGESET_BYTES_MAX);
const _: () = assert!(CHANGESET_BYTES_TARGET + EVENT_BYTES_MAX <= CHANGESET_BYTES_MAX);
const _: () = assert!(CHANGESET_BYTES_MAX + FRAME_BYTES_TARGET <= FRAME_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_TARGET <= EXCHANGE_BYTES_MAX);
const _: () = assert!(UNIT_ROWS_SQLITE <= CHANGESET_EVENTS_MAX);
const _: () = assert!(ROSTER_PARENTS_MAX * 32 + RULE_BYTES_MAX < ROSTER_ENTRY_BYTES_MAX);
const _: () =
    assert!(ROSTER_ENTRIES_MAX * 34 + ROSTER_MESSAGE_BYTES_TARGET + ROSTER_ENTRY_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(ACKS_MESSAGE_BYTES_TARGET + ACK_BYTES_MAX + MEMBERS_MAX * 64 < MESSAGE_BYTES_MAX);
const _: () = assert!(
    TABLES_PER_CHANGESET_MAX * (NAME_BYTES_MAX + FINGERPRINT_BYTES_MAX + 8) + 2 * ACK_BYTES_MAX < MESSAGE_BYTES_MAX
);
const _: () = assert!(EXCHANGE_BYTES_DEFAULT <= EXCHANGE_BYTES_MAX);
const _: () = assert!(ADDRESSES_MAX * (ADDRESS_BYTES_MAX + 2) + 256 < INVITE_BYTES_MAX);
const _: () = assert!(CONDITION_BYTES_MAX <= RULE_BYTES_MAX);
const _: () = assert!(FILTERS_MAX <= u64::BITS as usize);
