//! `rowmesh peers`: the other nodes, as a list or one by one.

use std::fmt::Write;
use std::time::Duration;

use rowmesh::control::api::{Peer, Ping};

use super::clean;
use super::grid::{Grid, Tone, plain};
use super::time::Moment;
use crate::failure;
use crate::paint::Paint;
use crate::units::{plural, show_count, show_duration};

/// All of them.
pub fn list(peers: &[Peer], moment: &Moment, paint: Paint) -> String {
    let mut grid = Grid::new(&["PEER", "STATE", ">THEY LACK", ">WE LACK", ">LAG", "LAST SEEN", "SCHEMA"], paint);
    for peer in peers {
        grid.row(&[
            plain(&peer.name),
            state(peer),
            plain(show_count(peer.they_lack)),
            plain(if peer.state == "live" { show_count(peer.we_lack) } else { "?".to_owned() }),
            plain(lag(peer)),
            plain(peer.last_seen.map_or_else(|| "never".to_owned(), |seen| moment.when(seen))),
            if peer.schema == "differs" { (peer.schema.clone(), Tone::Warn) } else { plain(&peer.schema) },
        ]);
    }
    grid.show()
}

/// Who answers, where and how fast; who does not, and why.
pub fn pings(pings: &[Ping], paint: Paint) -> String {
    let mut grid = Grid::new(&["PEER", "ANSWER", "ADDRESS"], paint);
    for ping in pings {
        let answer = match (ping.ms, &ping.error) {
            (Some(ms), _) => (show_duration(Duration::from_millis(ms)), Tone::Good),
            (None, Some(error)) => (format!("{} {}", error.code, error.message), Tone::Bad),
            (None, None) => ("none".to_owned(), Tone::Bad),
        };
        let error_at = ping.error.as_ref().map_or("", |error| error.location.as_str());
        let address = if ping.address.is_empty() { error_at } else { &ping.address };
        grid.row(&[plain(&ping.name), answer, plain(address)]);
    }
    grid.show()
}

/// One of them, with everything known.
pub fn one(peer: &Peer, moment: &Moment, paint: Paint) -> String {
    let clock = peer.clock_offset_ms.map_or_else(
        || "unknown".to_owned(),
        |ahead| {
            let by = show_duration(Duration::from_millis(ahead.unsigned_abs()));
            if ahead < 0 { format!("{by} behind ours") } else { format!("{by} ahead of ours") }
        },
    );
    let reached = if peer.dialled { "from here" } else { "only when it calls" };
    let seen = peer.last_seen.map_or_else(|| "never".to_owned(), |seen| moment.when(seen));
    let rows = [
        ("node", peer.node.clone()),
        ("role", peer.role.clone()),
        ("state", state(peer).0),
        ("address", peer.address.clone()),
        ("reached", reached.to_owned()),
        ("last seen", seen),
        ("they lack", plural(peer.they_lack, "changeset")),
        ("we lack", plural(peer.we_lack, "changeset")),
        ("lag", lag(peer)),
        ("clock", clock),
        ("schema", if peer.schema.is_empty() { "unknown".to_owned() } else { peer.schema.clone() }),
    ];
    let mut text = format!("{}\n", paint.bold(&clean(&peer.name)));
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "  {name:<10} {}", clean(value));
    }
    if let Some(error) = &peer.error {
        let _ = write!(text, "\nthe last attempt failed:\n{}", failure::show(error, paint));
    }
    text
}

fn state(peer: &Peer) -> (String, Tone) {
    match peer.state.as_str() {
        "live" => ("● live".to_owned(), Tone::Good),
        "paused" => ("◌ paused".to_owned(), Tone::Warn),
        other => (format!("○ {other}"), Tone::Warn),
    }
}

fn lag(peer: &Peer) -> String {
    peer.lag_ms.map_or_else(|| "-".to_owned(), |lag| show_duration(Duration::from_millis(lag)))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use rowmesh::failure::Failure;

    use super::*;

    #[test]
    fn one_peer_is_shown_with_its_last_failure() {
        let error = Failure::new("RM4401", "cannot reach depot").at("10.8.0.4:7696").why("connection refused");
        let peer = Peer {
            name: "depot".into(),
            node: "U52U56KE".into(),
            role: "peer".into(),
            state: "offline".into(),
            address: "10.8.0.4:7696".into(),
            they_lack: 1,
            we_lack: 3_912,
            last_seen: Some(1_769_867_340_000),
            clock_offset_ms: Some(-2_400),
            schema: "differs".into(),
            error: Some(error),
            ..Peer::default()
        };
        let moment = Moment::at(1_769_875_200_000, TimeZone::UTC);
        insta::assert_snapshot!(one(&peer, &moment, Paint::default()));
        insta::assert_snapshot!(list(&[peer], &moment, Paint::default()));
    }
}
