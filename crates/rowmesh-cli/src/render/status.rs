//! `rowmesh status`: is everything everywhere, on one screen.

use std::time::Duration;

use rowmesh::control::api::Status;

use super::peers;
use super::time::Moment;
use super::{attention, clean};
use crate::paint::Paint;
use crate::units::{plural, show_count, show_duration};

/// The screen.
pub fn status(status: &Status, moment: &Moment, paint: Paint) -> String {
    let mut text = headline(status, paint) + "\n\n" + &database(status, paint);
    if !status.listen.is_empty() {
        text += &format!("LISTEN    {}\n", clean(&status.listen.join(", ")));
    }
    if status.peers.iter().any(|peer| peer.clock_offset_ms.is_some()) {
        let offset = Duration::from_millis(status.clock_offset_ms.unsigned_abs());
        text += &format!("CLOCK     {} from peers\n", show_duration(offset));
    }
    if !status.loading.is_empty() {
        text += &format!("LOADING   {}\n", clean(&status.loading));
    }
    text += "\n";
    if status.peers.is_empty() {
        text += "No other node yet. Let one in:  rowmesh invite\n";
    } else {
        text += &peers::list(&status.peers, moment, paint);
    }
    if !status.attention.is_empty() {
        text += "\n";
        text += &attention(&status.attention, paint);
    }
    text
}

fn headline(status: &Status, paint: Paint) -> String {
    let up = show_duration(Duration::from_millis(status.up_ms));
    let who = format!("{} · mesh {} · up {up} · rowmesh {}", clean(&status.name), clean(&status.mesh), status.version);
    let (verdict, painted) = match status.attention.len() {
        0 if status.paused => ("PAUSED".to_owned(), paint.warn("PAUSED")),
        0 => ("OK".to_owned(), paint.good("OK")),
        count => (format!("ATTENTION ({count})"), paint.warn(&format!("ATTENTION ({count})"))),
    };
    let gap = WIDTH.saturating_sub(who.chars().count() + verdict.chars().count()).max(3);
    format!("{}{}{painted}", paint.bold(&who), " ".repeat(gap))
}

fn database(status: &Status, paint: Paint) -> String {
    let tables = plural(status.tables_synced, "table");
    let excluded = match status.tables_excluded {
        0 => String::new(),
        count => format!(", {} excluded", show_count(count)),
    };
    let capture = if status.capturing { paint.good("● capture on") } else { paint.bad("○ capture off") };
    let last = match status.last_change_ms {
        Some(0..5_000) => ", last change now".to_owned(),
        Some(ago) => format!(", last change {} ago", show_duration(Duration::from_millis(ago))),
        None => String::new(),
    };
    let waiting = if status.dirty { ", changes waiting to be sealed" } else { "" };
    format!("DATABASE  {}    {tables} synced{excluded}     {capture}{last}{waiting}\n", clean(&status.database))
}

const WIDTH: usize = 98;

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use rowmesh::control::api::{Hint, Peer};

    use super::*;

    /// 2026-01-31 16:00:00 UTC.
    const NOW: u64 = 1_769_875_200_000;

    fn shown(given: &Status) -> String {
        status(given, &Moment::at(NOW, TimeZone::UTC), Paint::default())
    }

    pub fn till() -> Status {
        Status {
            name: "till-1".into(),
            node: "F6WD6JB6-P2PAXRCP".into(),
            mesh: "shop".into(),
            version: "0.1.0".into(),
            up_ms: 273_600_000,
            database: "SQLite 3.50.2  shop.db".into(),
            tables_synced: 70,
            tables_excluded: 4,
            capturing: true,
            last_change_ms: Some(14_000),
            listen: vec!["0.0.0.0:7696".into()],
            ..Status::default()
        }
    }

    #[test]
    fn a_healthy_mesh_is_one_quiet_screen() {
        let live = |name: &str, they_lack, lag| Peer {
            name: name.into(),
            state: "live".into(),
            they_lack,
            lag_ms: Some(lag),
            last_seen: Some(NOW - 1_000),
            clock_offset_ms: Some(12),
            ..Peer::default()
        };
        let status =
            Status { peers: vec![live("till-2", 0, 312), live("office", 14, 900)], clock_offset_ms: 12, ..till() };
        insta::assert_snapshot!(shown(&status));
    }

    #[test]
    fn what_needs_a_person_has_its_light_and_its_command() {
        let depot = Peer {
            name: "depot".into(),
            state: "offline".into(),
            they_lack: 3_912,
            lag_ms: Some(7_860_000),
            last_seen: Some(NOW - 7_860_000),
            ..Peer::default()
        };
        let attention = vec![
            Hint { text: "2 conflicts wait for you".into(), command: "rowmesh conflicts".into() },
            Hint { text: "depot is offline; its changes will follow on their own".into(), command: String::new() },
        ];
        let status = Status {
            peers: vec![depot],
            attention,
            capturing: false,
            dirty: true,
            last_change_ms: None,
            loading: "orders 78 %".into(),
            ..till()
        };
        insta::assert_snapshot!(shown(&status));
    }

    #[test]
    fn a_lonely_node_is_told_how_to_get_company() {
        insta::assert_snapshot!(shown(&Status { paused: true, ..till() }));
    }

    #[test]
    fn names_from_other_nodes_cannot_drive_the_terminal() {
        let status = Status {
            mesh: "\x1b[2J".into(),
            peers: vec![Peer { name: "\x1b]0;x\x07".into(), ..Peer::default() }],
            ..till()
        };
        assert!(!shown(&status).contains('\x1b'));
    }
}
