-- Every table that Rowmesh keeps in a user's database. All names begin with rowmesh_, so that a person and `rowmesh uninstall`
-- know them at a glance. The first eight are for people too; docs/storage.md tells each column.

-- Who is in the mesh, as the signed roster says.
CREATE TABLE IF NOT EXISTS rowmesh_sync_nodes (
    node_id    TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    addresses  TEXT NOT NULL,
    state      TEXT NOT NULL,
    last_seen  INTEGER
) WITHOUT ROWID;

-- One row per exchange that moved something or failed. Exchanges that moved nothing are counted in the next row.
CREATE TABLE IF NOT EXISTS rowmesh_sync_sessions (
    id                  INTEGER PRIMARY KEY,
    peer                TEXT NOT NULL,
    dialled             INTEGER NOT NULL,
    started_at          INTEGER NOT NULL,
    ended_at            INTEGER NOT NULL,
    state               TEXT NOT NULL,
    changesets_sent     INTEGER NOT NULL,
    changesets_received INTEGER NOT NULL,
    events_sent         INTEGER NOT NULL,
    events_received     INTEGER NOT NULL,
    bytes_sent          INTEGER NOT NULL,
    bytes_received      INTEGER NOT NULL,
    idle_before         INTEGER NOT NULL,
    error               TEXT
);

-- One row per stretch of time in which a peer could not be reached.
CREATE TABLE IF NOT EXISTS rowmesh_network_partitions (
    peer              TEXT NOT NULL,
    started_at        INTEGER NOT NULL,
    detected_at       INTEGER NOT NULL,
    healed_at         INTEGER,
    reason            TEXT NOT NULL,
    events_on_healing INTEGER NOT NULL,
    PRIMARY KEY (peer, started_at)
) WITHOUT ROWID;

-- Figures of an hour in which something happened.
CREATE TABLE IF NOT EXISTS rowmesh_sync_metrics (
    hour   INTEGER NOT NULL,
    peer   TEXT NOT NULL,
    name   TEXT NOT NULL,
    value  REAL NOT NULL,
    PRIMARY KEY (hour, peer, name)
) WITHOUT ROWID;

-- What the roster says of policies and scope, for reading; changing it here changes nothing.
CREATE TABLE IF NOT EXISTS rowmesh_sync_configurations (
    name   TEXT PRIMARY KEY,
    value  TEXT NOT NULL
) WITHOUT ROWID;

-- One row per initial load into this database.
CREATE TABLE IF NOT EXISTS rowmesh_initial_load_sessions (
    id            INTEGER PRIMARY KEY,
    source        TEXT NOT NULL,
    state         TEXT NOT NULL,
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    chunks_loaded INTEGER NOT NULL,
    rows_loaded   INTEGER NOT NULL,
    rows_total    INTEGER NOT NULL,
    start         BLOB NOT NULL,
    error         TEXT
);

-- The ledger: one row per losing write, the same on every node.
CREATE TABLE IF NOT EXISTS rowmesh_conflict_resolutions (
    id             TEXT PRIMARY KEY,
    table_name     TEXT NOT NULL,
    record_key     TEXT NOT NULL,
    key            BLOB NOT NULL,
    column_name    TEXT,
    conflict_type  TEXT NOT NULL,
    strategy       TEXT NOT NULL,
    state          TEXT NOT NULL,
    losing_node    TEXT NOT NULL,
    losing_origin  INTEGER NOT NULL,
    losing_seq     INTEGER NOT NULL,
    losing_lamport INTEGER NOT NULL,
    losing_value   BLOB,
    losing_data    TEXT,
    winning_node   TEXT NOT NULL,
    winning_origin INTEGER NOT NULL,
    winning_seq    INTEGER NOT NULL,
    winning_lamport INTEGER NOT NULL,
    winning_value  BLOB,
    winning_data   TEXT,
    common_value   BLOB,
    common_data    TEXT,
    detected_at    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rowmesh_conflict_resolutions_row ON rowmesh_conflict_resolutions (table_name, record_key);

-- Keys that triggers noted in the application's own transactions and that no seal has looked at yet. Nothing in it can fail:
-- no unique index, no constraint. The ids are handles for deletion and mean nothing else.
CREATE TABLE IF NOT EXISTS rowmesh_dirty (
    id INTEGER PRIMARY KEY,
    t  INTEGER,
    op INTEGER,
    at INTEGER,
    k1, k2, k3, k4, k5, k6, k7, k8
);

-- Every table ever tracked or named by an event, by number; a number is never given to another name. `rows` counts the rows that are
-- shown, as the row states say.
CREATE TABLE IF NOT EXISTS rowmesh_tables (
    t     INTEGER PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    shape TEXT NOT NULL,
    rows  INTEGER NOT NULL DEFAULT 0
);

-- Every column of them that was ever seen, by number.
CREATE TABLE IF NOT EXISTS rowmesh_columns (
    t    INTEGER NOT NULL,
    ix   INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (t, ix)
) WITHOUT ROWID;

-- The version vector: every origin by number, the highest changeset of it that the row states reflect, and that one's hash.
-- Changesets at or below `floor` are not in the log.
CREATE TABLE IF NOT EXISTS rowmesh_origins (
    o           INTEGER PRIMARY KEY,
    node        BLOB NOT NULL,
    node_id     TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    nonce       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    hash        BLOB NOT NULL,
    floor       INTEGER NOT NULL,
    UNIQUE (node, incarnation, nonce)
);

-- The log, in the order of taking in: each changeset as its origin sealed it.
CREATE TABLE IF NOT EXISTS rowmesh_changesets (
    c         INTEGER PRIMARY KEY,
    o         INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    hash      BLOB NOT NULL,
    context   TEXT NOT NULL,
    events    INTEGER NOT NULL,
    sealed_at INTEGER NOT NULL,
    taken_at  INTEGER NOT NULL,
    body      BLOB NOT NULL,
    UNIQUE (o, seq)
);

-- The events of the log one by one; read them through rowmesh_sync_events. id = c * 131072 + position.
CREATE TABLE IF NOT EXISTS rowmesh_events (
    id       INTEGER PRIMARY KEY,
    t        INTEGER NOT NULL,
    key      BLOB NOT NULL,
    op       INTEGER NOT NULL,
    lamport  INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    record_key  TEXT NOT NULL,
    before_data TEXT,
    after_data  TEXT
);
CREATE INDEX IF NOT EXISTS rowmesh_events_row ON rowmesh_events (t, key);

-- What is remembered of each row. The bytes are rowmesh_core::row_state::encode's, with origins by number.
CREATE TABLE IF NOT EXISTS rowmesh_row_states (
    r     INTEGER PRIMARY KEY,
    t     INTEGER NOT NULL,
    key   BLOB NOT NULL,
    state BLOB NOT NULL,
    UNIQUE (t, key)
);

-- Hashes of the unique values that shown rows hold: how the sealer finds the row that a REPLACE removed.
CREATE TABLE IF NOT EXISTS rowmesh_claims (
    hash INTEGER NOT NULL,
    t    INTEGER NOT NULL,
    key  BLOB NOT NULL,
    PRIMARY KEY (hash, t, key)
) WITHOUT ROWID;

-- Events that the row states hold and the tables cannot show yet.
CREATE TABLE IF NOT EXISTS rowmesh_parked (
    t      INTEGER NOT NULL,
    key    BLOB NOT NULL,
    o      INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    reason TEXT NOT NULL,
    since  INTEGER NOT NULL,
    PRIMARY KEY (t, key, o, seq)
) WITHOUT ROWID;

-- Rows that do not show a unique value which they claim, by the hash of the value; `doubted` where they are to be looked at again.
CREATE TABLE IF NOT EXISTS rowmesh_exceptions (
    t       INTEGER NOT NULL,
    claim   BLOB NOT NULL,
    key     BLOB NOT NULL,
    doubted INTEGER NOT NULL,
    PRIMARY KEY (t, claim, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rowmesh_exceptions_row ON rowmesh_exceptions (t, key);

-- Rows that are shown under another key (`place`) than the number that they were born with, because that belongs to another row.
CREATE TABLE IF NOT EXISTS rowmesh_lost_numbers (
    t        INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    identity BLOB NOT NULL,
    place    BLOB NOT NULL,
    PRIMARY KEY (t, identity)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rowmesh_lost_numbers_number ON rowmesh_lost_numbers (t, number);

-- Rows that a filter keeps here, with the root row that is the reason.
CREATE TABLE IF NOT EXISTS rowmesh_held_back (
    t      INTEGER NOT NULL,
    key    BLOB NOT NULL,
    filter TEXT NOT NULL,
    root   TEXT NOT NULL,
    PRIMARY KEY (t, key)
) WITHOUT ROWID;

-- Signed roster entries, as they came.
CREATE TABLE IF NOT EXISTS rowmesh_roster (
    hash  BLOB PRIMARY KEY,
    entry BLOB NOT NULL
) WITHOUT ROWID;

-- The newest signed acknowledgement of each member.
CREATE TABLE IF NOT EXISTS rowmesh_acknowledgements (
    node  BLOB PRIMARY KEY,
    bytes BLOB NOT NULL
) WITHOUT ROWID;

-- This node's own few facts by name: format of these tables, own origin.
CREATE TABLE IF NOT EXISTS rowmesh_facts (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- One row per event with its images as JSON, newest last.
CREATE VIEW IF NOT EXISTS rowmesh_sync_events AS
SELECT e.id,
       t.name AS table_name,
       e.record_key,
       CASE e.op WHEN 0 THEN 'INSERT' WHEN 1 THEN 'UPDATE' ELSE 'DELETE' END AS operation,
       e.before_data,
       e.after_data,
       c.context AS vector_clock,
       e.lamport AS lamport_clock,
       lower(hex(e.checksum)) AS checksum,
       o.node_id AS origin_node,
       o.incarnation AS origin_incarnation,
       c.seq AS origin_seq,
       c.sealed_at,
       c.taken_at,
       CASE WHEN EXISTS (SELECT 1 FROM rowmesh_parked p WHERE p.t = e.t AND p.key = e.key AND p.o = c.o AND p.seq = c.seq)
            THEN 'parked'
            WHEN o.o = (SELECT value FROM rowmesh_facts WHERE name = 'own_origin') THEN 'sealed'
            ELSE 'applied' END AS state
  FROM rowmesh_events e
  JOIN rowmesh_changesets c ON c.c = e.id / 131072
  JOIN rowmesh_origins o ON o.o = c.o
  JOIN rowmesh_tables t ON t.t = e.t;
