//! Commands that only look: status, peers, tables, conflicts.

use std::time::Duration;

use rowmesh::control::api::{Answer, HeldBack, Peer, Question, Status, Table};
use serde_json::json;

use crate::args::{Conflicts, ConflictsCommand, Peers, PeersCommand, StatusArgs, Tables, TablesCommand, Why};
use crate::config::suggest::nearest;
use crate::context::{Context, unexpected};
use crate::exit::Exit;
use crate::failure::{Outcome, failure};
use crate::render;
use crate::render::time::Moment;

/// `rowmesh status`.
pub fn status(context: &Context, arguments: &StatusArgs) -> Outcome<Exit> {
    loop {
        let status = ask_status(context)?;
        let text = || render::status::status(&status, &Moment::now(), context.talk.out);
        if arguments.watch && context.talk.json {
            context.talk.document_line(&status)?;
        } else if arguments.watch {
            // Home, text, then clear what is left of a longer screen before.
            let home = if context.talk.out.on { "\x1b[H\x1b[2J" } else { "" };
            context.talk.data(&format!("{home}{}\n", text()))?;
        } else {
            context.talk.result(&status, text)?;
            let attention = arguments.check && (!status.attention.is_empty() || !status.capturing);
            return Ok(if attention { Exit::Attention } else { Exit::Done });
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

/// `rowmesh peers`.
pub fn peers(context: &Context, arguments: &Peers) -> Outcome<Exit> {
    if let Some(PeersCommand::Ping { peer }) = &arguments.what {
        return ping(context, peer.as_deref());
    }
    let peers = match context.ask(&Question::Peers)? {
        Answer::Peers { peers } => peers,
        other => return Err(unexpected(&other)),
    };
    match &arguments.what {
        None | Some(PeersCommand::Ls | PeersCommand::Ping { .. } | PeersCommand::Rename { .. }) => {
            context.talk.result(&json!({ "peers": peers }), || {
                if peers.is_empty() {
                    return "No other node yet. Let one in:  rowmesh invite\n".to_owned();
                }
                render::peers::list(&peers, &Moment::now(), context.talk.out)
            })?
        }
        Some(PeersCommand::Show { peer }) => {
            let peer = one_peer(&peers, peer)?;
            context.talk.result(peer, || render::peers::one(peer, &Moment::now(), context.talk.out))?;
        }
    }
    Ok(Exit::Done)
}

/// `rowmesh tables`.
pub fn tables(context: &Context, arguments: &Tables) -> Outcome<Exit> {
    match &arguments.what {
        // The plan needs no running node: `up` makes it.
        None | Some(TablesCommand::Plan { .. } | TablesCommand::Add { .. } | TablesCommand::Rm { .. }) => {
            list_tables(context, false)
        }
        Some(TablesCommand::Ls { count }) => list_tables(context, *count),
        Some(TablesCommand::Show { table }) => {
            let (tables, _) = ask_tables(context, true)?;
            let table = one_table(&tables, table)?;
            context.talk.result(table, || render::tables::one(table, context.talk.out))?;
            Ok(Exit::Done)
        }
    }
}

/// `rowmesh conflicts`.
pub fn conflicts(context: &Context, arguments: &Conflicts) -> Outcome<Exit> {
    let (all, limit) = match &arguments.what {
        None => (false, LIMIT),
        Some(ConflictsCommand::Ls { all, limit }) => (*all, *limit as usize),
        Some(ConflictsCommand::Show { id }) => return show_conflict(context, id),
        Some(ConflictsCommand::Resolve { id, .. } | ConflictsCommand::Undo { id, .. }) => {
            return show_conflict(context, id);
        }
        Some(ConflictsCommand::Policy { table, .. }) => return list_policies(context, table.as_deref()),
    };
    match context.ask(&Question::Conflicts { all, limit })? {
        Answer::Conflicts { conflicts } => {
            let text = || render::conflicts::list(&conflicts, &Moment::now(), context.talk.out);
            context.talk.result(&json!({ "conflicts": conflicts }), text)?;
            Ok(Exit::Done)
        }
        other => Err(unexpected(&other)),
    }
}

/// `rowmesh why`.
pub fn why(context: &Context, arguments: &Why) -> Outcome<Exit> {
    let Why { table, key, limit } = arguments.clone();
    let (tables, _) = ask_tables(context, false)?;
    let table = one_table(&tables, &table)?.name.clone();
    match context.ask(&Question::Why { table, key, limit: limit as usize })? {
        Answer::Why(why) => {
            context.talk.result(&why, || render::why::row(&why, &Moment::now(), context.talk.out))?;
            Ok(Exit::Done)
        }
        other => Err(unexpected(&other)),
    }
}

/// Asks for the status; other commands need it too.
pub fn ask_status(context: &Context) -> Outcome<Status> {
    match context.ask(&Question::Status)? {
        Answer::Status(status) => Ok(status),
        other => Err(unexpected(&other)),
    }
}

/// 3 if some do not answer beside others, 1 if none does.
fn ping(context: &Context, peer: Option<&str>) -> Outcome<Exit> {
    let pings = match context.ask(&Question::Ping { peer: peer.map(str::to_owned) })? {
        Answer::Pinged { pings } => pings,
        other => return Err(unexpected(&other)),
    };
    context.talk.result(&json!({ "pings": pings }), || match pings.is_empty() {
        true => "No other node yet. Let one in:  rowmesh invite\n".to_owned(),
        false => render::peers::pings(&pings, context.talk.out),
    })?;
    let silent = pings.iter().filter(|ping| ping.ms.is_none()).count();
    Ok(match silent {
        0 => Exit::Done,
        all if all == pings.len() => Exit::Failed,
        _ => Exit::Attention,
    })
}

const WATCH_EVERY: Duration = Duration::from_secs(2);
const LIMIT: usize = 50;

fn list_policies(context: &Context, table: Option<&str>) -> Outcome<Exit> {
    if let Some(table) = table {
        one_table(&ask_tables(context, false)?.0, table)?;
    }
    match context.ask(&Question::Policies)? {
        Answer::Policies { mut policies } => {
            policies.retain(|policy| table.is_none_or(|table| policy.table == table));
            let text = || render::conflicts::policies(&policies, context.talk.out);
            context.talk.result(&json!({ "policies": policies }), text)?;
            Ok(Exit::Done)
        }
        other => Err(unexpected(&other)),
    }
}

fn show_conflict(context: &Context, id: &str) -> Outcome<Exit> {
    match context.ask(&Question::Conflict { id: id.to_owned() })? {
        Answer::Conflict(conflict) => {
            context.talk.result(&conflict, || render::conflicts::one(&conflict, &Moment::now(), context.talk.out))?;
            Ok(Exit::Done)
        }
        other => Err(unexpected(&other)),
    }
}

fn list_tables(context: &Context, count: bool) -> Outcome<Exit> {
    let (tables, held_back) = ask_tables(context, count)?;
    let document = json!({ "tables": tables, "held_back": held_back });
    context.talk.result(&document, || render::tables::list(&tables, &held_back, context.talk.out))?;
    Ok(Exit::Done)
}

/// Asks for the tables; other commands need them too.
pub fn ask_tables(context: &Context, count: bool) -> Outcome<(Vec<Table>, Vec<HeldBack>)> {
    match context.ask(&Question::Tables { count })? {
        Answer::Tables { tables, held_back } => Ok((tables, held_back)),
        other => Err(unexpected(&other)),
    }
}

/// By its whole name, or by the beginning of its id where only one begins so.
pub fn one_peer<'a>(peers: &'a [Peer], wanted: &str) -> Outcome<&'a Peer> {
    if let Some(peer) = peers.iter().find(|peer| peer.name == wanted) {
        return Ok(peer);
    }
    let begins = |peer: &&Peer| !wanted.is_empty() && peer.node.to_lowercase().starts_with(&wanted.to_lowercase());
    let mut found = peers.iter().filter(begins);
    match (found.next(), found.next()) {
        (Some(peer), None) => Ok(peer),
        (Some(_), Some(_)) => Err(failure("RM5503", format!("the ids of several peers begin with {wanted:?}"))
            .hint("Give more of it:", "rowmesh peers")),
        (None, _) => {
            let meant = nearest(wanted, peers.iter().map(|peer| peer.name.as_str()));
            let meant = meant.map(|name| format!(". Did you mean {name:?}?")).unwrap_or_default();
            Err(failure("RM5503", format!("there is no peer {wanted:?}{meant}")).hint("All of them:", "rowmesh peers"))
        }
    }
}

/// By its whole name.
pub fn one_table<'a>(tables: &'a [Table], wanted: &str) -> Outcome<&'a Table> {
    tables.iter().find(|table| table.name == wanted).ok_or_else(|| {
        let meant = nearest(wanted, tables.iter().map(|table| table.name.as_str()));
        let meant = meant.map(|name| format!(". Did you mean {name:?}?")).unwrap_or_default();
        failure("RM2001", format!("the database has no table {wanted:?}{meant}")).hint("All of them:", "rowmesh tables")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_found_by_name_and_by_the_beginning_of_their_id() {
        let peer = |name: &str, node: &str| Peer { name: name.into(), node: node.into(), ..Peer::default() };
        let peers = [peer("office", "AB12"), peer("AB", "CD34"), peer("depot", "AB99")];
        assert_eq!(one_peer(&peers, "office").expect("by name").node, "AB12");
        assert_eq!(one_peer(&peers, "AB").expect("a name beats an id").node, "CD34");
        assert_eq!(one_peer(&peers, "ab9").expect("by id").name, "depot");
        assert!(one_peer(&peers, "a").expect_err("two").message.contains("several"));
        assert!(one_peer(&peers, "ofice").expect_err("none").message.contains("\"office\""));
        assert!(one_peer(&peers, "").is_err());
    }

    #[test]
    fn a_misspelt_table_is_answered_with_the_right_one() {
        let tables = [Table { name: "orders".into(), ..Table::default() }];
        assert!(one_table(&tables, "order").expect_err("none").message.ends_with("Did you mean \"orders\"?"));
    }
}
