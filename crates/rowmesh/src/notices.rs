//! What changesets that had to wait or were refused mean for people. Whether they have to wait is core's to say.

use rowmesh_core::ident::NodeId;
use rowmesh_core::wire::Report;
use rowmesh_core::wire::message::code as wire_code;

use crate::failure::{Failure, code};

/// The worst of what had to wait or was refused here.
pub(crate) fn held_here<'a>(
    reports: impl Iterator<Item = &'a Report>,
    name_of: &dyn Fn(&NodeId) -> String,
) -> Option<Failure> {
    let report = reports.max_by_key(|report| weight(report))?;
    let from = report.dot.map_or_else(|| "an unknown node".to_owned(), |dot| name_of(&dot.origin.node));
    Some(match report.code.as_str() {
        wire_code::CLOCK_AHEAD => Failure::new(
            code::CLOCK_AHEAD,
            format!("the clock of {from} is more than 5 min ahead: its changes are held"),
        )
        .why(report.text.clone())
        .hint(format!("On {from}:"), "sudo timedatectl set-ntp true"),
        wire_code::EQUIVOCATION => Failure::new(code::EQUIVOCATION, format!("{from} gave one number to two changes"))
            .why(report.text.clone())
            .hint(format!("Was the disk of {from} cloned? On the copy:"), "rowmesh up new.db --name NEW --join INVITE"),
        other => Failure::new(other, format!("changes of {from} have to wait or are refused")).why(report.text.clone()),
    })
}

/// The worst of what had to wait or was refused there.
pub(crate) fn held_there<'a>(reports: impl Iterator<Item = &'a Report>, peer: &str) -> Option<Failure> {
    let report = reports.max_by_key(|report| weight(report))?;
    Some(match report.code.as_str() {
        wire_code::CLOCK_AHEAD => Failure::new(
            code::CLOCK_AHEAD,
            format!("{peer} holds changes whose times lie more than 5 min ahead of its clock"),
        )
        .why(report.text.clone())
        .hint("If this machine's clock is wrong:", "sudo timedatectl set-ntp true"),
        other => Failure::new(other, format!("{peer} holds back or refuses changes that it was offered"))
            .why(report.text.clone()),
    })
}

fn weight(report: &Report) -> u8 {
    match report.code.as_str() {
        wire_code::EQUIVOCATION | wire_code::CHANGESET_FORGED => 3,
        wire_code::CLOCK_AHEAD => 2,
        wire_code::CHANGESET_MALFORMED => 1,
        _ => 0,
    }
}
