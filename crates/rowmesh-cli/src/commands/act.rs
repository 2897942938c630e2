//! Commands that ask a running node to do something: sync, pause, resume, invite.

use std::time::Duration;

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use rowmesh::control::api::{Answer, Peer, Question};
use serde_json::json;

use crate::args::{Invite, Pause, Resume, Sync};
use crate::context::{Context, unexpected};
use crate::exit::Exit;
use crate::failure::{Outcome, failure};
use crate::render;
use crate::render::time::Moment;
use crate::units::{plural, show_duration};

/// `rowmesh sync`.
pub fn sync(context: &Context, arguments: &Sync) -> Outcome<Exit> {
    let timeout = context.everywhere.timeout.unwrap_or(SYNC_PATIENCE);
    let question =
        Question::Sync { peer: arguments.peer.clone(), wait: arguments.wait, timeout_ms: milliseconds(timeout) };
    let (complete, peers, unreachable, late) = match context.ask(&question)? {
        Answer::Synced { complete, peers, unreachable, late } => (complete, peers, unreachable, late),
        other => return Err(unexpected(&other)),
    };
    if !peers.is_empty() && unreachable.len() == peers.len() {
        return Err(nobody_reached(&peers));
    }
    if arguments.wait && !late.is_empty() {
        return Err(not_complete(&peers, &late, timeout));
    }
    let document = json!({ "complete": complete, "peers": peers, "unreachable": unreachable });
    context.talk.result(&document, || {
        let list = render::peers::list(&peers, &Moment::now(), context.talk.out);
        let verdict =
            if complete { "Everything is everywhere." } else { "Exchanged; not everything is everywhere yet." };
        if peers.is_empty() { "No other node to exchange with.\n".to_owned() } else { format!("{list}\n{verdict}\n") }
    })?;
    for name in &unreachable {
        context.talk.warn(&format!("{name} could not be reached; its changes will follow on their own"));
    }
    Ok(if unreachable.is_empty() { Exit::Done } else { Exit::Attention })
}

/// `rowmesh pause`.
pub fn pause(context: &Context, arguments: &Pause) -> Outcome<Exit> {
    let for_ms = arguments.duration.map(milliseconds);
    done(context, &Question::Pause { peer: arguments.peer.clone(), for_ms })?;
    let what = arguments.peer.as_ref().map_or_else(String::new, |peer| format!(" with {peer}"));
    let until = match arguments.duration {
        Some(duration) => format!("it goes on by itself in {}", show_duration(duration)),
        None => "go on with: rowmesh resume".to_owned(),
    };
    context.talk.done(&format!("exchange{what} is paused, changes are still captured; {until}"));
    Ok(Exit::Done)
}

/// `rowmesh resume`.
pub fn resume(context: &Context, arguments: &Resume) -> Outcome<Exit> {
    done(context, &Question::Resume { peer: arguments.peer.clone() })?;
    let what = arguments.peer.as_ref().map_or_else(String::new, |peer| format!(" with {peer}"));
    context.talk.done(&format!("exchange{what} goes on"));
    Ok(Exit::Done)
}

/// `rowmesh invite`.
pub fn invite(context: &Context, arguments: &Invite) -> Outcome<Exit> {
    let role = if arguments.read_only { "observer" } else { "peer" };
    let question = Question::Invite {
        ttl_ms: milliseconds(arguments.ttl),
        uses: arguments.uses,
        role: role.to_owned(),
        addresses: arguments.addr.clone(),
    };
    let (line, expires_at) = match context.ask(&question)? {
        Answer::Invite { line, expires_at } => (line, expires_at),
        other => return Err(unexpected(&other)),
    };
    let uses =
        if arguments.uses == 1 { "once".to_owned() } else { format!("for {}", plural(arguments.uses.into(), "node")) };
    context.talk.say(&format!("Works {uses}, for {}. On the new node:", show_duration(arguments.ttl)));
    context.talk.say(&format!("    rowmesh up shop.db --join {line}\nThe invite alone:"));
    if arguments.qr {
        context.talk.say(&picture(&line)?);
    }
    context.talk.result(&json!({ "line": line, "expires_at": expires_at }), || format!("{line}\n"))?;
    Ok(Exit::Done)
}

/// A QR code of half blocks, for light text on a dark terminal: its light parts are drawn.
fn picture(line: &str) -> Outcome<String> {
    let code = QrCode::with_error_correction_level(line, EcLevel::L)
        .map_err(|error| failure("RM9001", "the invite does not fit into a picture").because(&error))?;
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

/// With `--json` a command that only acts prints that it is done.
fn done(context: &Context, question: &Question) -> Outcome<()> {
    match context.ask(question)? {
        Answer::Done if context.talk.json => context.talk.document(&json!({ "done": true })),
        Answer::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// Nothing was exchanged: what the first of them says stands for all.
fn nobody_reached(peers: &[Peer]) -> rowmesh::failure::Failure {
    let told = |peer: &Peer| match &peer.error {
        Some(error) => format!("{}: {}", peer.name, error.message),
        None => format!("{} is {}", peer.name, peer.state),
    };
    let failure = match peers {
        [Peer { error: Some(error), .. }] => return error.clone(),
        _ => failure("RM4401", "no peer could be reached"),
    };
    failure
        .why(peers.iter().map(told).collect::<Vec<_>>().join("\n"))
        .hint("They are tried again by themselves. See how they fare:", "rowmesh peers")
}

fn not_complete(peers: &[Peer], late: &[String], timeout: Duration) -> rowmesh::failure::Failure {
    let behind: Vec<String> = peers
        .iter()
        .filter(|peer| late.contains(&peer.name))
        .map(|peer| format!("{} is {}, lacks {}, we lack {}", peer.name, peer.state, peer.they_lack, peer.we_lack))
        .collect();
    failure("RM5001", format!("not everything was exchanged within {}", show_duration(timeout)))
        .why(behind.join("\n"))
        .hint("Exchange goes on by itself. Watch it:", "rowmesh status --watch")
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const SYNC_PATIENCE: Duration = Duration::from_secs(60);
