//! Answers to what people ask a running node: the node's state, put into the plain data of `control::api`. Decides nothing and changes
//! nothing, but for pauses and invites; what changes the roster is `decisions` and `policies`, what writes to rows `resolutions`
//! and `counting`.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::NodeId;
use rowmesh_core::invite::Invite;
use rowmesh_core::ledger::Left;
use rowmesh_core::limits;
use rowmesh_core::roster::Role;
use rowmesh_core::row_state::Stamp;
use rowmesh_core::store::{ConflictView, EventQuery, EventView, TableStatus};
use rowmesh_core::value::Value;

use crate::control::api::{
    Answer, Change, Check, Conflict, ConflictSide, HeldBack, Hint, LogQuestion, Peer, Ping, Question, Status, Table,
};
use crate::counting;
use crate::daemon::Wake;
use crate::decisions;
use crate::failure::{Failure, code, dial_failure};
use crate::invites::Wanted;
use crate::peers::PeerState;
use crate::policies;
use crate::resolutions;
use crate::rows;
use crate::shared::Shared;
use crate::transport::connect;
use crate::undoing;

/// Entries that one answer lists at most, whatever was asked for.
pub(crate) const ROWS_MAX: usize = 10_000;

/// Answers one question. Those that change whom the daemon calls are its own to answer.
pub(crate) async fn answer(shared: &Shared, question: Question) -> Result<Answer, Failure> {
    Ok(match question {
        Question::Status => Answer::Status(status(shared).await?),
        Question::Peers => Answer::Peers { peers: peers(shared).into_iter().map(|(_, peer)| peer).collect() },
        Question::Ping { peer } => ping(shared, peer).await?,
        Question::Tables { count } => tables(shared, count).await?,
        Question::SetTable { table, travels, dry_run } => {
            decisions::set_table(shared, &table, travels, dry_run).await?
        }
        Question::Policies => Answer::Policies { policies: policies::list(&shared.members.roster()) },
        Question::Count { table, key, values, dry_run } => {
            counting::count(shared, &table, &key, &values, dry_run).await?
        }
        Question::Meant(meant) => undoing::changesets(shared, meant).await?,
        Question::Undo { meant, changeset, skip, dry_run } => {
            undoing::undo(shared, meant, changeset, skip, dry_run).await?
        }
        Question::Resolve(resolution) => resolutions::resolve(shared, resolution).await?,
        Question::SetPolicy { table, column, rule, dry_run } => {
            policies::set(shared, &table, column.as_deref(), &rule, dry_run).await?
        }
        Question::Rename { node, name, dry_run } => decisions::rename(shared, &node, name, dry_run).await?,
        Question::Log(question) => log(shared, question).await?,
        Question::Why { table, key, limit } => rows::why(shared, &table, &key, limit).await?,
        Question::Conflicts { all, limit } => conflicts(shared, all, limit).await?,
        Question::Conflict { id } => conflict(shared, &id).await?,
        Question::Invite { ttl_ms, uses, role, addresses } => invite(shared, ttl_ms, uses, &role, addresses)?,
        Question::Pause { peer, for_ms } => {
            let whom = peer.map(|peer| find_peer(shared, &peer)).transpose()?;
            let until = for_ms.map(|ms| WallTime(shared.clock.now().0.saturating_add(ms)));
            shared.book().pause(whom, until)?;
            Answer::Done
        }
        Question::Resume { peer } => {
            let whom = peer.map(|peer| find_peer(shared, &peer)).transpose()?;
            shared.book().resume(whom)?;
            shared.wake(Wake::Resumed);
            Answer::Done
        }
        Question::Doctor { fix } => doctor(shared, fix).await?,
        Question::Sync { .. } | Question::Stop => {
            Answer::Failed(Failure::bug("this question is the daemon's to answer"))
        }
    })
}

/// The peer that a name, or the beginning of an id, means.
pub(crate) fn find_peer(shared: &Shared, wanted: &str) -> Result<NodeId, Failure> {
    let roster = shared.members.roster();
    let me = shared.me();
    let others = || roster.members().filter(|(node, _)| **node != me);
    let prefix = wanted.to_uppercase();
    let named: Vec<NodeId> = others().filter(|(_, member)| member.name == wanted).map(|(node, _)| *node).collect();
    let by_id =
        || others().filter(|(node, _)| node.to_string().starts_with(&prefix) || node.short().starts_with(&prefix));
    let found = if named.is_empty() { by_id().map(|(node, _)| *node).collect() } else { named };
    match found[..] {
        [one] => Ok(one),
        [] => Err(Failure::new(code::NO_SUCH_PEER, format!("no peer is called \"{wanted}\""))
            .hint("All peers:", "rowmesh peers")),
        _ => Err(Failure::new(code::NO_SUCH_PEER, format!("\"{wanted}\" means {} peers", found.len()))
            .hint("Give more of the id:", "rowmesh peers")),
    }
}

/// All members but this one, as people see them.
pub(crate) fn peers(shared: &Shared) -> Vec<(NodeId, Peer)> {
    let roster = shared.members.roster();
    let exposed = shared.store.exposed();
    let lags = shared.lags().clone();
    let now = shared.clock.now();
    let book = shared.book();
    let nobody = PeerState::default();
    let others = roster.members().filter(|(node, _)| **node != shared.me());
    let peer = |(node, member): (&NodeId, &rowmesh_core::roster::Member)| {
        let state = book.get(node).unwrap_or(&nobody);
        let said = state.said.as_ref();
        let schema = match said {
            None => "",
            Some(said) if said.schema == exposed.schema => "same",
            Some(_) => "differs",
        };
        let address = if state.address.is_empty() { member.addresses.join(", ") } else { state.address.clone() };
        let peer = Peer {
            name: member.name.clone(),
            node: node.short(),
            role: member.role.as_str().to_owned(),
            state: state_of(shared, state, book.is_paused(Some(*node), now)).to_owned(),
            address,
            they_lack: state.vector.lacks_of(&exposed.position.vector),
            we_lack: exposed.position.vector.lacks_of(&state.vector),
            lag_ms: lags.get(node).copied(),
            last_seen: state.last_seen.map(|at| at.0),
            dialled: state.dialled,
            clock_offset_ms: said.map(|said| said.clock_offset_ms),
            schema: schema.to_owned(),
            error: state.failure.clone(),
        };
        (*node, peer)
    };
    others.map(peer).collect()
}

/// Dials each on a connection of its own, all at once; nothing is exchanged.
async fn ping(shared: &Shared, peer: Option<String>) -> Result<Answer, Failure> {
    let wanted = peer.map(|peer| find_peer(shared, &peer)).transpose()?;
    let (roster, me) = (shared.members.roster(), shared.me());
    let others = roster.members().filter(|(node, _)| **node != me && wanted.is_none_or(|wanted| wanted == **node));
    let mut attempts = tokio::task::JoinSet::new();
    for (node, member) in others {
        let (node, name, addresses) = (*node, member.name.clone(), member.addresses.clone());
        let (key, limits) = (shared.key.clone(), shared.options.client_limits.clone());
        attempts.spawn(async move {
            let begun = Instant::now();
            match connect(&key, node, &addresses, &limits).await {
                Ok(connection) => Ping {
                    name,
                    address: connection.peer_address().to_string(),
                    ms: Some(millis(begun.elapsed())),
                    error: None,
                },
                Err(error) => {
                    let error = Some(dial_failure(&error, &name));
                    Ping { name, error, ..Ping::default() }
                }
            }
        });
    }
    let mut pings = attempts.join_all().await;
    pings.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Answer::Pinged { pings })
}

fn state_of(shared: &Shared, state: &PeerState, paused: bool) -> &'static str {
    let interval = shared.options.interval;
    let Some(last_seen) = state.last_seen else { return if paused { "paused" } else { "never seen" } };
    let silent = Duration::from_millis(shared.clock.now().0.saturating_sub(last_seen.0));
    let calls = state.waiting > 0 || state.called.is_some_and(|called| called.elapsed() < interval * 3 / 2);
    let fails = state.failure.is_some() && !calls;
    match () {
        () if paused => "paused",
        () if fails || silent > interval * shared.options.missed_intervals_max.max(1) => "offline",
        () => "live",
    }
}

async fn status(shared: &Shared) -> Result<Status, Failure> {
    let tables = shared.store.read(|store| store.tables(false)).await?;
    let open = shared.store.read(|store| store.conflicts(true, ROWS_MAX)).await?.len() as u64;
    let parked = shared.store.read(|store| store.parked()).await?.len() as u64;
    let dirty = shared.store.read(|store| store.look()).await.is_ok_and(|look| look.dirty);
    let roster = shared.members.roster();
    let now = shared.clock.now();
    let peers: Vec<Peer> = peers(shared).into_iter().map(|(_, peer)| peer).collect();
    let synced = tables.iter().filter(|table| table.synced);
    let offsets = peers.iter().filter_map(|peer| peer.clock_offset_ms);
    let attention = attention(shared, &tables, &peers, open, parked);
    let name = roster.member(&shared.me()).map_or_else(|| shared.options.name.clone(), |member| member.name.clone());
    let (paused, last_change) = {
        let book = shared.book();
        (book.is_paused(None, now), book.last_change)
    };
    Ok(Status {
        name,
        node: shared.me().short(),
        mesh: roster.mesh_name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        up_ms: millis(shared.started.elapsed()),
        database: shared.database.clone(),
        tables_synced: synced.clone().count() as u64,
        tables_excluded: tables.iter().filter(|table| !table.synced).count() as u64,
        capturing: shared.book().capture.is_none() && synced.clone().all(|table| table.captured),
        last_change_ms: last_change.map(|at| now.0.saturating_sub(at.0)),
        dirty,
        changesets: shared.store.exposed().position.vector.total(),
        parked,
        conflicts_open: open,
        paused,
        clock_offset_ms: offsets.max_by_key(|offset| offset.unsigned_abs()).unwrap_or(0),
        listen: listening(shared),
        loading: shared.loading.borrow().clone().unwrap_or_default(),
        peers,
        attention,
    })
}

/// What needs a person. Empty means healthy.
fn attention(shared: &Shared, tables: &[TableStatus], peers: &[Peer], open: u64, parked: u64) -> Vec<Hint> {
    let mut all: Vec<Hint> = Vec::new();
    if let Some(blocked) = &shared.store.exposed().blocked {
        all.push(hint_of(blocked));
    }
    {
        let book = shared.book();
        all.extend(book.troubles().into_iter().chain(book.notices.values()).map(hint_of));
    }
    if shared.two_lives.load(Ordering::Relaxed) && all.is_empty() {
        all.push(hint_of(&crate::shared::two_lives()));
    }
    let hint = |text: String, command: &str| Hint { text, command: command.to_owned() };
    for peer in peers {
        match (&peer.error, peer.state.as_str()) {
            (Some(error), "offline" | "never seen") => all.push(hint_of(error)),
            (_, "offline") => all
                .push(hint(format!("{} is offline; its changes will follow on their own", peer.name), "rowmesh peers")),
            _ => {}
        }
        if let Some(offset) = peer.clock_offset_ms.filter(|offset| offset.unsigned_abs() > CLOCK_WARN_MS) {
            let direction = if offset > 0 { "ahead of" } else { "behind" };
            let text = format!("the clock of {} is {} s {direction} ours", peer.name, offset.unsigned_abs() / 1_000);
            all.push(hint(text, "sudo timedatectl set-ntp true"));
        }
    }
    if open > 0 {
        all.push(hint(format!("{open} conflicts can be looked at"), "rowmesh conflicts"));
    }
    let many = if parked > limits::PARKED_NAMED_MAX as u64 { "RM5105 " } else { "" };
    if parked > 0 {
        all.push(hint(format!("{many}{parked} changes cannot be shown yet"), "rowmesh tables"));
    }
    for table in tables.iter().filter(|table| table.synced && (!table.captured || !table.reason.is_empty())) {
        all.push(Hint { text: format!("table {}: {}", table.name, table.reason), command: table.remedy.clone() });
    }
    all
}

/// Clocks further apart than this are worth telling.
const CLOCK_WARN_MS: u64 = 5_000;

fn hint_of(failure: &Failure) -> Hint {
    let command = failure.hints.iter().map(|hint| &hint.command).find(|command| !command.is_empty());
    let command = command.cloned().unwrap_or_else(|| format!("rowmesh explain {}", failure.code));
    Hint { text: format!("{} {}", failure.code, failure.message), command }
}

async fn tables(shared: &Shared, count: bool) -> Result<Answer, Failure> {
    let tables = shared.store.read(move |store| store.tables(count)).await?;
    let held_back = shared.store.read(|store| store.held_back()).await?;
    let held = |(filter, root, rows)| HeldBack { filter, root, rows };
    Ok(Answer::Tables {
        tables: tables.into_iter().map(table_of).collect(),
        held_back: held_back.into_iter().map(held).collect(),
    })
}

/// One table as people see it.
pub(crate) fn table_of(table: TableStatus) -> Table {
    let TableStatus { name, synced, reason, remedy, key, columns, rows, captured, parked, held_back, .. } = table;
    Table { name, synced, reason, remedy, key, columns, rows, captured, parked, held_back }
}

async fn log(shared: &Shared, question: LogQuestion) -> Result<Answer, Failure> {
    let LogQuestion { table, key, peer, since, after_id, limit } = question;
    let me = shared.me();
    let own_name = shared.members.name_of(&me);
    let node = match peer {
        Some(peer) if peer == own_name => Some(me),
        Some(peer) => Some(find_peer(shared, &peer)?),
        None => None,
    };
    let limit = limit.clamp(1, ROWS_MAX);
    let query = EventQuery { table, key, node, after_id, since: since.map(WallTime), limit };
    Ok(Answer::Log { changes: changes_of(shared, query).await? })
}

/// Events of the log, newest first.
pub(crate) async fn changes_of(shared: &Shared, query: EventQuery) -> Result<Vec<Change>, Failure> {
    let events = shared.store.read(move |store| store.events(&query)).await?;
    let change = |event: EventView| Change {
        id: event.id,
        at: event.taken_at.0,
        node: shared.members.name_of(&event.dot.origin.node),
        seq: event.dot.seq.0,
        operation: event.operation,
        table: event.table,
        key: event.key,
        before: event.before.map(|json| parsed(&json)),
        after: event.after.map(|json| parsed(&json)),
        state: event.state,
    };
    Ok(events.into_iter().map(change).collect())
}

async fn conflicts(shared: &Shared, all: bool, limit: usize) -> Result<Answer, Failure> {
    let limit = limit.clamp(1, ROWS_MAX);
    let views = shared.store.read(move |store| store.conflicts(!all, limit)).await?;
    Ok(Answer::Conflicts { conflicts: views.into_iter().map(|view| conflict_of(shared, view)).collect() })
}

async fn conflict(shared: &Shared, id: &str) -> Result<Answer, Failure> {
    let view = one_conflict(shared, id).await?;
    let (table, key) = (view.entry.id.table.clone(), view.entry.id.key.clone());
    let row = shared.store.read(move |store| store.row_json(&table, &key)).await?;
    let row = row.map(|json| parsed(&json));
    Ok(Answer::Conflict(Conflict { row, ..conflict_of(shared, view) }))
}

/// The entry that an id or the beginning of one means.
pub(crate) async fn one_conflict(shared: &Shared, id: &str) -> Result<ConflictView, Failure> {
    let views = shared.store.read(|store| store.conflicts(false, ROWS_MAX)).await?;
    let wanted = id.to_lowercase();
    let mut found: Vec<ConflictView> =
        views.into_iter().filter(|view| view.id.to_lowercase().starts_with(&wanted)).collect();
    let none = |message: String| {
        Failure::new(code::NO_SUCH_CONFLICT, message).hint("All of them:", "rowmesh conflicts ls --all")
    };
    match (found.pop(), found.len()) {
        (Some(view), 0) => Ok(view),
        (Some(_), more) => Err(none(format!("\"{id}\" means {} conflicts; give more of the id", more + 1))),
        (None, _) => Err(none(format!("there is no conflict \"{id}\""))),
    }
}

pub(crate) fn conflict_of(shared: &Shared, view: ConflictView) -> Conflict {
    let ConflictView { id, entry, detected_at } = view;
    let side = |stamp: &Stamp, left: &Left| ConflictSide {
        node: shared.members.name_of(&stamp.dot.origin.node),
        at: stamp.lamport.wall().0,
        value: left.to_json().map(|json| parsed(&json)),
    };
    Conflict {
        id,
        table: entry.id.table.to_string(),
        key: entry.id.key.to_display(),
        column: entry.id.column.as_ref().map(ToString::to_string),
        conflict_type: entry.kind.as_str().to_owned(),
        strategy: entry.strategy.as_str().to_owned(),
        state: if entry.superseded { "superseded" } else { "open" }.to_owned(),
        detected_at: detected_at.0,
        losing: side(&entry.losing, &entry.lost),
        winning: side(&entry.winning, &entry.won),
        common: entry.common_value.as_ref().map(json_of),
        row: None,
    }
}

fn invite(shared: &Shared, ttl_ms: u64, uses: u32, role: &str, addresses: Vec<String>) -> Result<Answer, Failure> {
    let roster = shared.members.roster();
    let own = roster.member(&shared.me()).map(|member| member.addresses.clone()).unwrap_or_default();
    let addresses = if addresses.is_empty() { own } else { addresses };
    let role = if role.is_empty() { Some(Role::Peer) } else { Role::parse(role) };
    let no_role =
        || Failure::new(code::NO_INVITE, "there is no such role").hint("Give --role peer or --role observer.", "");
    let role = role.ok_or_else(no_role)?;
    let ttl_ms = if ttl_ms == 0 { limits::INVITE_TTL_MS_DEFAULT } else { ttl_ms };
    let wanted = Wanted { ttl_ms, uses: uses.max(1), role, addresses };
    let invite: Invite = shared.invites.create(roster.mesh(), shared.me(), wanted, shared.clock.now())?;
    Ok(Answer::Invite { line: invite.to_line(), expires_at: invite.expires.0 })
}

async fn doctor(shared: &Shared, fix: bool) -> Result<Answer, Failure> {
    let mut checks = Vec::new();
    let mut check = |verdict: &str, text: String, code: &str, command: &str| {
        let (verdict, code, command) = (verdict.to_owned(), code.to_owned(), command.to_owned());
        checks.push(Check { verdict, text, code, command });
    };
    check("ok", format!("node {} in mesh \"{}\"", shared.me().short(), shared.members.roster().mesh_name()), "", "");
    check("ok", shared.database.clone(), "", "");
    let look = shared.store.read(|store| store.look()).await;
    if fix {
        let now = shared.clock.now();
        let found = shared.store.write(move |store| store.follow_schema(now)).await?;
        found.into_iter().for_each(|sentence| check("ok", sentence, "", ""));
        let recovered = shared.store.write(move |store| store.reconcile(None, now)).await?;
        check("ok", format!("compared all tables with the last known state: {recovered} rows differed"), "", "");
    }
    match look {
        Ok(_) => check("ok", "capture looks at the database 20 times a second".to_owned(), "", ""),
        Err(failure) => check("error", failure.message.clone(), &failure.code, &hint_of(&failure).command),
    }
    let tables = shared.store.read(|store| store.tables(false)).await?;
    for table in tables.iter().filter(|table| table.synced && !table.captured) {
        check("error", format!("table {}: {}", table.name, table.reason), "", "rowmesh doctor --fix");
    }
    let listen = listening(shared);
    match listen.is_empty() {
        true => check(
            "warning",
            "this node listens nowhere: it can only call others".to_owned(),
            "",
            "rowmesh run --listen 0.0.0.0:7696",
        ),
        false => check("ok", format!("listening on {}", listen.join(", ")), "", ""),
    }
    for peer in peers(shared).into_iter().map(|(_, peer)| peer) {
        let name = &peer.name;
        match (peer.state.as_str(), &peer.error) {
            ("live", None) => check("ok", format!("{name} is live at {}", peer.address), "", ""),
            ("live", Some(error)) if error.code == code::UNREACHABLE => check(
                "warning",
                format!("{name} reaches us, we cannot reach {name}: sync works through its connection"),
                code::ONE_WAY,
                "rowmesh explain RM4203",
            ),
            (state, Some(error)) => {
                check("error", format!("{name} is {state}: {}", error.message), &error.code, &hint_of(error).command)
            }
            (state, None) => check("warning", format!("{name} is {state}"), "", "rowmesh peers"),
        }
        if let Some(offset) = peer.clock_offset_ms.filter(|offset| offset.unsigned_abs() > CLOCK_WARN_MS) {
            let verdict = if offset.unsigned_abs() > limits::DRIFT_MS_MAX { "error" } else { "warning" };
            let text = format!("the clocks of {name} and this node are {} s apart", offset.unsigned_abs() / 1_000);
            check(verdict, text, code::CLOCK_AHEAD, "sudo timedatectl set-ntp true");
        }
    }
    {
        let book = shared.book();
        for failure in book.troubles().into_iter().chain(book.notices.values()) {
            check("error", failure.message.clone(), &failure.code, &hint_of(failure).command);
        }
    }
    Ok(Answer::Checks { checks })
}

fn listening(shared: &Shared) -> Vec<String> {
    let listening = shared.listening.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    listening.iter().map(ToString::to_string).collect()
}

pub(crate) fn parsed(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap_or_else(|_| serde_json::Value::String(json.to_owned()))
}

pub(crate) fn json_of(value: &Value) -> serde_json::Value {
    parsed(&value.to_json())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
