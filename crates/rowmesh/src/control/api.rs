//! What the command line and the dashboard may ask a running node, and what it answers: plain data, one JSON document a line over the
//! node's socket. Fields may be added; readers ignore what they do not know. No behaviour is here.

use serde::{Deserialize, Serialize};

/// One question. Answered by one [`Answer`], or by a stream of them where it says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Question {
    /// Is everything everywhere? Answered by [`Answer::Status`].
    Status,
    /// All members and how they fare. Answered by [`Answer::Peers`].
    Peers,
    /// Can they be reached from here, and how fast? Answered by [`Answer::Pinged`].
    Ping {
        /// Only this peer (name or id prefix).
        peer: Option<String>,
    },
    /// All tables. Answered by [`Answer::Tables`].
    Tables {
        /// Count rows too, which takes a scan.
        count: bool,
    },
    /// Lets a table travel from now on, or keeps it at home everywhere: what exists elsewhere stays. Answered by
    /// [`Answer::TableSet`].
    SetTable {
        /// Its name.
        table: String,
        /// Whether it is to travel.
        travels: bool,
        /// Say what would happen, and change nothing.
        dry_run: bool,
    },
    /// Which policies settle conflicts, where they are not the default. Answered by [`Answer::Policies`].
    Policies,
    /// Sets the policy of a table's rows or of one of its columns, for all nodes. Answered by [`Answer::PolicySet`].
    SetPolicy {
        /// The table.
        table: String,
        /// The column; none for whether a row stands that was deleted and written at once.
        column: Option<String>,
        /// The policy, or `default`.
        rule: String,
        /// Say what would happen, and change nothing.
        dry_run: bool,
    },
    /// Gives this node another name. Answered by [`Answer::Renamed`].
    Rename {
        /// What it is called now, or the beginning of its id; a node may rename itself only. Empty: this node.
        node: String,
        /// The new name.
        name: String,
        /// Say what would happen, and change nothing.
        dry_run: bool,
    },
    /// Changes in and out, newest first. Answered by [`Answer::Log`].
    Log(LogQuestion),
    /// The ledger. Answered by [`Answer::Conflicts`].
    Conflicts {
        /// Settled ones too.
        all: bool,
        /// At most so many.
        limit: usize,
    },
    /// One entry by its id or a unique prefix. Answered by [`Answer::Conflict`].
    Conflict {
        /// The id.
        id: String,
    },
    /// Where a row comes from. Answered by [`Answer::Why`].
    Why {
        /// The table.
        table: String,
        /// The row: the bare value of a key of one column, a JSON array otherwise.
        key: String,
        /// At most so many of its changes, the newest.
        limit: usize,
    },
    /// Says what was counted of a row. Answered by [`Answer::Counted`].
    Count {
        /// The table.
        table: String,
        /// The row: the bare value of a key of one column, a JSON array otherwise.
        key: String,
        /// Columns and the numbers that were counted.
        values: Vec<(String, String)>,
        /// Say what would happen, and change nothing.
        dry_run: bool,
    },
    /// The changesets that hold changes which are meant. Answered by [`Answer::Meant`].
    Meant(Meant),
    /// Takes back some of what one of them did. Answered by [`Answer::Undone`].
    Undo {
        /// Which changes are meant.
        meant: Meant,
        /// The changeset, as [`Answer::Meant`] numbers it.
        changeset: u64,
        /// How many of its events are done, from the last one on.
        skip: usize,
        /// Say what would happen, and change nothing.
        dry_run: bool,
    },
    /// Settles one conflict on all nodes. Answered by [`Answer::Resolved`].
    Resolve(Resolution),
    /// A new invite. Answered by [`Answer::Invite`].
    Invite {
        /// Milliseconds that it lasts.
        ttl_ms: u64,
        /// How many nodes may use it.
        uses: u32,
        /// `peer`, `observer` …
        role: String,
        /// Addresses to put into it instead of those that were found.
        addresses: Vec<String>,
    },
    /// Exchange now. Answered by [`Answer::Synced`] once it is done or the time is over.
    Sync {
        /// Only with this peer (name or id prefix).
        peer: Option<String>,
        /// Wait until all reachable peers have everything.
        wait: bool,
        /// Milliseconds to wait at most.
        timeout_ms: u64,
    },
    /// Stop exchanging; capture goes on. Answered by [`Answer::Done`].
    Pause {
        /// Only with this peer.
        peer: Option<String>,
        /// Resume by itself after so many milliseconds.
        for_ms: Option<u64>,
    },
    /// Go on exchanging. Answered by [`Answer::Done`].
    Resume {
        /// Only with this peer.
        peer: Option<String>,
    },
    /// Checks that only the running node can make. Answered by [`Answer::Checks`].
    Doctor {
        /// Mend what can be mended.
        fix: bool,
    },
    /// Finish what is under way and end. Answered by [`Answer::Done`].
    Stop,
}

/// Which changes to list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LogQuestion {
    /// Only this table.
    pub table: Option<String>,
    /// Only rows whose key reads so.
    pub key: Option<String>,
    /// Only changes made at this peer (name or id prefix).
    pub peer: Option<String>,
    /// Only changes taken in since, milliseconds since 1970.
    pub since: Option<u64>,
    /// Only changes after this one, for following.
    pub after_id: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)]
pub enum Answer {
    /// To [`Question::Status`].
    Status(Status),
    /// To [`Question::Peers`].
    Peers {
        /// All members but this one.
        peers: Vec<Peer>,
    },
    /// To [`Question::Ping`].
    Pinged {
        /// One by one.
        pings: Vec<Ping>,
    },
    /// To [`Question::Tables`].
    Tables {
        /// All tables of the database.
        tables: Vec<Table>,
        /// What filters keep here.
        held_back: Vec<HeldBack>,
    },
    /// To [`Question::SetTable`].
    TableSet {
        /// Whether the mesh's rules changed, or would.
        changed: bool,
        /// The table as it is now.
        table: Table,
    },
    /// To [`Question::Policies`].
    Policies {
        /// By table, rows before columns.
        policies: Vec<Policy>,
    },
    /// To [`Question::SetPolicy`].
    PolicySet {
        /// Whether the mesh's rules changed, or would.
        changed: bool,
        /// The policy until now.
        before: String,
    },
    /// To [`Question::Rename`].
    Renamed {
        /// Whether the name changed, or would.
        changed: bool,
        /// The name until now.
        before: String,
    },
    /// To [`Question::Log`].
    Log {
        /// The changes, newest first.
        changes: Vec<Change>,
    },
    /// To [`Question::Conflicts`].
    Conflicts {
        /// The entries, newest first.
        conflicts: Vec<Conflict>,
    },
    /// To [`Question::Conflict`].
    Conflict(Conflict),
    /// To [`Question::Count`].
    Counted {
        /// The table.
        table: String,
        /// The row.
        key: String,
        /// What stood in the columns before.
        before: std::collections::BTreeMap<String, serde_json::Value>,
        /// What was written, or would be.
        writes: Vec<Wrote>,
    },
    /// To [`Question::Meant`].
    Meant {
        /// This node's numbers of them, newest first.
        changesets: Vec<u64>,
        /// The time after which nothing is meant, milliseconds since 1970: now, if none was named.
        until: u64,
    },
    /// To [`Question::Undo`].
    Undone {
        /// The rows that were looked at.
        rows: Vec<Undone>,
        /// How many of the changeset's events that were.
        looked: usize,
        /// Whether it has more.
        more: bool,
        /// Events that were sealed.
        events: u64,
    },
    /// To [`Question::Resolve`].
    Resolved {
        /// The conflict's whole id.
        id: String,
        /// The table.
        table: String,
        /// The row.
        key: String,
        /// What was written, or would be.
        writes: Vec<Wrote>,
    },
    /// To [`Question::Why`].
    Why(Why),
    /// To [`Question::Invite`].
    Invite {
        /// The line to paste.
        line: String,
        /// When it ends, milliseconds since 1970.
        expires_at: u64,
    },
    /// To [`Question::Sync`].
    Synced {
        /// Whether every peer asked for has all that was here when it was asked for, and all that it had then is here.
        complete: bool,
        /// The peers as they are now.
        peers: Vec<Peer>,
        /// Names of those that could not be reached, and were not waited for.
        #[serde(default)]
        unreachable: Vec<String>,
        /// Names of those with which it was not done in time.
        #[serde(default)]
        late: Vec<String>,
    },
    /// To [`Question::Doctor`].
    Checks {
        /// One by one.
        checks: Vec<Check>,
    },
    /// It is done.
    Done,
    /// It could not be done.
    Failed(Failure),
}

/// An error as people and programs see it, everywhere the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// `RM` and four digits.
    pub code: String,
    /// What happened.
    pub message: String,
    /// Where: database, file, peer; may be empty.
    #[serde(default)]
    pub location: String,
    /// Why, as far as is known: what the layer below said; may be empty.
    #[serde(default)]
    pub cause: String,
    /// What to do.
    #[serde(default)]
    pub hints: Vec<Hint>,
}

/// One attempt to reach a peer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ping {
    /// The peer's name.
    pub name: String,
    /// Where it answered; empty if nowhere.
    pub address: String,
    /// Milliseconds from dialling to the end of the handshake, in which both sides have proved who they are.
    pub ms: Option<u64>,
    /// Why it did not answer.
    #[serde(default)]
    pub error: Option<Failure>,
}

/// One thing to do about a failure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hint {
    /// In words.
    pub text: String,
    /// What to type; may be empty.
    #[serde(default)]
    pub command: String,
}

/// Is everything everywhere?
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// This node's name.
    pub name: String,
    /// This node's id, short.
    pub node: String,
    /// The mesh's name.
    pub mesh: String,
    /// Version of the program.
    pub version: String,
    /// Milliseconds since the daemon started.
    pub up_ms: u64,
    /// The database in words.
    pub database: String,
    /// Tables that sync.
    pub tables_synced: u64,
    /// Tables that do not.
    pub tables_excluded: u64,
    /// Whether capture is in place everywhere.
    pub capturing: bool,
    /// Milliseconds since the last change was sealed or applied; none if there was none since the start.
    pub last_change_ms: Option<u64>,
    /// Keys noted and not yet sealed.
    pub dirty: bool,
    /// Changesets in the log.
    pub changesets: u64,
    /// Events that cannot be shown yet.
    pub parked: u64,
    /// Open ledger entries.
    pub conflicts_open: u64,
    /// Whether exchange is paused.
    pub paused: bool,
    /// Largest difference to a peer's clock seen, milliseconds.
    pub clock_offset_ms: i64,
    /// Where the node listens.
    pub listen: Vec<String>,
    /// State of an initial load under way, in words; empty if none.
    pub loading: String,
    /// The peers.
    pub peers: Vec<Peer>,
    /// What needs a person, each with the command that helps. Empty means healthy.
    pub attention: Vec<Hint>,
}

/// Another node, seen from here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its id, short.
    pub node: String,
    /// Its role.
    pub role: String,
    /// `live`, `offline`, `paused`, `never seen`.
    pub state: String,
    /// Where it was last reached, or its addresses.
    pub address: String,
    /// Changesets that it lacks of what we have, as far as we know.
    pub they_lack: u64,
    /// Changesets that we lack of what it said it has.
    pub we_lack: u64,
    /// Milliseconds between commit there and arrival here of the last change; none if unknown.
    pub lag_ms: Option<u64>,
    /// Milliseconds since 1970 when it was last reached; none if never.
    pub last_seen: Option<u64>,
    /// Whether it can be dialled from here.
    pub dialled: bool,
    /// Its clock less ours, milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// `same`, `differs`, or empty if unknown.
    pub schema: String,
    /// Last failure, if the last attempt failed.
    pub error: Option<Failure>,
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Whether it syncs.
    pub synced: bool,
    /// Why not, or what is wrong.
    pub reason: String,
    /// What to type about it.
    pub remedy: String,
    /// Its key.
    pub key: Vec<String>,
    /// The columns that travel; empty where none does.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Its rows, if counted.
    pub rows: Option<u64>,
    /// Whether capture is in place.
    pub captured: bool,
    /// Events parked.
    pub parked: u64,
    /// Rows that a filter keeps here.
    pub held_back: u64,
}

/// Rows that a filter keeps here because of one root row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldBack {
    /// The filter.
    pub filter: String,
    /// The root row's key.
    pub root: String,
    /// Rows held back with it, itself included.
    pub rows: u64,
}

/// A policy that is not the default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The table.
    pub table: String,
    /// The column; none for whether a row stands that was deleted and written at once.
    pub column: Option<String>,
    /// As the roster spells it.
    pub rule: String,
    /// Whether this version knows it; else the default holds here.
    pub known: bool,
}

/// One change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Number in this node's log.
    pub id: u64,
    /// When this node took it in, milliseconds since 1970.
    pub at: u64,
    /// Name of the node that made it.
    pub node: String,
    /// The changeset's number there.
    pub seq: u64,
    /// INSERT, UPDATE or DELETE.
    pub operation: String,
    /// The table.
    pub table: String,
    /// The row.
    pub key: String,
    /// Row before.
    pub before: Option<serde_json::Value>,
    /// Row after.
    pub after: Option<serde_json::Value>,
    /// `sealed`, `applied` or `parked`.
    pub state: String,
}

/// One losing write.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// Its id, equal on all nodes.
    pub id: String,
    /// The table.
    pub table: String,
    /// The row.
    pub key: String,
    /// The column; none if the row as a whole.
    pub column: Option<String>,
    /// `UPDATE_UPDATE` …
    pub conflict_type: String,
    /// `LAST_WRITER_WINS` …
    pub strategy: String,
    /// `open` or `superseded`.
    pub state: String,
    /// When this node noticed, milliseconds since 1970.
    pub detected_at: u64,
    /// The write that is not shown.
    pub losing: ConflictSide,
    /// The write that is.
    pub winning: ConflictSide,
    /// The value before, where known.
    pub common: Option<serde_json::Value>,
    /// The whole row as it stands now; only in [`Answer::Conflict`].
    pub row: Option<serde_json::Value>,
}

/// One side of a conflict.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConflictSide {
    /// Name of the node.
    pub node: String,
    /// When, milliseconds since 1970, by that node's clock.
    pub at: u64,
    /// What it wrote: a value, or an object of the columns where the row as a whole is meant; none for a delete.
    pub value: Option<serde_json::Value>,
}

/// Where a row comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The table.
    pub table: String,
    /// The row.
    pub key: String,
    /// Whether it stands.
    pub stands: bool,
    /// Who made it; several where nodes did so at once.
    pub made: Vec<Author>,
    /// Who deleted it, where no later write knew of that.
    pub deleted: Vec<Author>,
    /// How a delete and a write are settled that meet.
    pub policy: String,
    /// Its columns.
    pub columns: Vec<WhyColumn>,
    /// What lost in it, oldest first.
    pub conflicts: Vec<Conflict>,
    /// What of it cannot be shown here.
    pub waits: Vec<WhyWaits>,
    /// What became of it, oldest first, as far as the log still tells.
    pub changes: Vec<Change>,
}

/// Who wrote something.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Author {
    /// Name of the node.
    pub node: String,
    /// When, milliseconds since 1970, by that node's clock.
    pub at: u64,
    /// The changeset's number there; 1 also of rows that stood there before Rowmesh came.
    pub seq: u64,
}

/// One column of a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WhyColumn {
    /// Its name.
    pub column: String,
    /// What stands; none where the row or the column does not.
    pub value: Option<serde_json::Value>,
    /// `last`: nobody wrote beside it. `chosen`: the policy prefers it to those beside it. `sum`: it is what all of them come to.
    pub cause: String,
    /// How writes are settled that meet.
    pub policy: String,
    /// The write that the policy prefers, then those beside it.
    pub writes: Vec<WhyWrite>,
}

/// A value, and who wrote it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WhyWrite {
    /// Who.
    pub by: Author,
    /// What.
    pub value: serde_json::Value,
}

/// A change that cannot be shown here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WhyWaits {
    /// Name of the node that made it.
    pub node: String,
    /// The changeset's number there.
    pub seq: u64,
    /// What stands in the way.
    pub reason: String,
}

/// Which changes are meant: those that all of these mean.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Meant {
    /// Of this node (name or id prefix).
    pub node: Option<String>,
    /// Of its changesets with this number.
    pub seq: Option<u64>,
    /// Made at this time or later, milliseconds since 1970, by the clock of whoever made them.
    pub since: Option<u64>,
    /// Made at this time or earlier.
    pub until: Option<u64>,
    /// In this table.
    pub table: Option<String>,
}

/// A row of which changes are taken back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Undone {
    /// The table.
    pub table: String,
    /// The row.
    pub key: String,
    /// `back`: it stands again. `changed`: columns hold what they held. `gone`: it is deleted. `nothing`: what was done to it stands no more.
    pub what: String,
    /// What is written.
    pub writes: Vec<Wrote>,
    /// Columns that others wrote since, and that stay as they are.
    pub kept: Vec<String>,
    /// Why the database did not take it; then nothing is written.
    pub refused: Option<String>,
}

/// What a person decides about one conflict: a side, or values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resolution {
    /// Its id or the beginning of it.
    pub id: String,
    /// `shown`, `lost`, or the name of the node that wrote the side.
    pub keep: Option<String>,
    /// Columns and what they shall hold instead.
    #[serde(default)]
    pub set: Vec<(String, String)>,
    /// Columns that shall hold NULL.
    #[serde(default)]
    pub set_null: Vec<String>,
    /// Say what would happen, and change nothing.
    pub dry_run: bool,
}

/// What was written to a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Wrote {
    /// The column; none where the row was deleted.
    pub column: Option<String>,
    /// Whether what stood there was written again, so that it stands alone.
    pub stays: bool,
    /// What was written.
    pub value: Option<serde_json::Value>,
}

/// One check of the doctor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// `ok`, `warning` or `error`.
    pub verdict: String,
    /// What was found.
    pub text: String,
    /// The code, where something is wrong.
    pub code: String,
    /// What to type.
    pub command: String,
}
