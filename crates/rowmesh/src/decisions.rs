//! What people decide for the mesh at run time: which tables travel, what this node is called. Each becomes a roster entry signed by this
//! node, if the roster allows it, and spreads as all entries do. What the configuration asks for is `node`'s to settle at the start.

use rowmesh_core::roster::{self, RosterError, is_person_name};
use rowmesh_core::scope::{Decision, TablePatterns};
use rowmesh_core::store::TableStatus;

use crate::answers::{find_peer, table_of};
use crate::control::api::Answer;
use crate::failure::{Failure, code};
use crate::shared::Shared;

/// Lets a table travel, or keeps it at home everywhere.
///
/// # Errors
/// If this database has no such table, or this node may not decide it.
pub(crate) async fn set_table(shared: &Shared, name: &str, travels: bool, dry_run: bool) -> Result<Answer, Failure> {
    let table = table_named(shared, name).await?;
    let roster = shared.members.roster();
    let Some(scope) = scope_with(roster.scope(), &table, travels) else {
        return Ok(Answer::TableSet { changed: false, table: table_of(table) });
    };
    // Signed for a dry run too, and thrown away: so it is refused where the real one would be.
    let trial = roster.set_scope(&*shared.key, shared.clock.now(), scope);
    trial.map_err(|error| not_allowed(error, shared, "which tables travel"))?;
    if dry_run {
        return Ok(Answer::TableSet { changed: true, table: table_of(table) });
    }
    let name = table.name.clone();
    let signed = shared.members.sign(move |roster, signer, now| {
        scope_with(roster.scope(), &table, travels).map(|scope| roster.set_scope(signer, now, scope)).transpose()
    });
    let changed = signed.await?.is_some();
    Ok(Answer::TableSet { changed, table: table_of(table_named(shared, &name).await?) })
}

/// Gives this node another name.
///
/// # Errors
/// If another node is meant, the name cannot be one, or another node has it.
pub(crate) async fn rename(shared: &Shared, node: &str, name: String, dry_run: bool) -> Result<Answer, Failure> {
    let roster = shared.members.roster();
    let me = shared.me();
    let before = shared.members.name_of(&me);
    let means_me = node.is_empty() || node == before || me.short().starts_with(&node.to_uppercase());
    if !means_me {
        let other = shared.members.name_of(&find_peer(shared, node)?);
        return Err(Failure::new(code::NOT_ALLOWED, format!("only {other} itself can change what it is called"))
            .why("a name is signed with the key of the node that bears it")
            .hint(format!("On {other}:"), format!("rowmesh peers rename {name}")));
    }
    if !is_person_name(&name) {
        return Err(Failure::new(code::BAD_SETTING, format!("{name:?} cannot be the name of a node"))
            .hint("Names are 1 to 128 bytes of visible text.", ""));
    }
    if roster.members().any(|(node, member)| *node != me && member.name == name) {
        return Err(Failure::new(code::BAD_SETTING, format!("another node is called {name} already"))
            .hint("See who is called what:", "rowmesh peers"));
    }
    let changed = name != before;
    if changed && !dry_run {
        shared.members.sign(|roster, signer, now| roster.rename(signer, now, name).map(Some)).await?;
    }
    Ok(Answer::Renamed { changed, before })
}

/// The scope with the table in it, or without it; `None` if it says so already.
fn scope_with(now: Option<&roster::Scope>, table: &TableStatus, travels: bool) -> Option<roster::Scope> {
    let mut scope = now.cloned().unwrap_or_default();
    let mut patterns = TablePatterns::from_rules(scope.exclude.iter().map(String::as_str));
    let is_in = patterns.decide(&table.name) == Decision::Sync;
    // One that waits, or is left out by this node alone, has to be named.
    let is_settled = if travels { is_in && table.synced && table.reason.is_empty() } else { !is_in };
    if is_settled {
        return None;
    }
    if travels {
        patterns.add(&table.name);
        let known = scope.known.iter_mut().filter(|known| !known.contains(&table.name));
        known.for_each(|known| known.push(table.name.clone()));
    } else {
        patterns.remove(&table.name);
    }
    scope.exclude = patterns.to_rules();
    (now != Some(&scope)).then_some(scope)
}

pub(crate) async fn table_named(shared: &Shared, wanted: &str) -> Result<TableStatus, Failure> {
    let tables = shared.store.read(|store| store.tables(false)).await?;
    tables.into_iter().find(|table| table.name == wanted).ok_or_else(|| {
        Failure::new(code::NO_SUCH_TABLE, format!("the database has no table {wanted:?}"))
            .hint("All of them:", "rowmesh tables")
    })
}

pub(crate) fn not_allowed(error: RosterError, shared: &Shared, what: &str) -> Failure {
    let failure = Failure::from(error);
    if failure.code != code::NOT_ALLOWED {
        return failure;
    }
    let roster = shared.members.roster();
    let admins = roster.members().filter(|(_, member)| member.role == roster::Role::Admin);
    let admins: Vec<&str> = admins.map(|(_, member)| member.name.as_str()).collect();
    Failure::new(code::NOT_ALLOWED, format!("only an admin of the mesh may decide {what}"))
        .why(format!("this node is none; admins are: {}", admins.join(", ")))
        .hint("Give the same command there.", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, synced: bool, reason: &str) -> TableStatus {
        TableStatus {
            name: name.into(),
            synced,
            reason: reason.into(),
            remedy: String::new(),
            key: Vec::new(),
            columns: Vec::new(),
            references: Vec::new(),
            rows: None,
            captured: synced,
            parked: 0,
            held_back: 0,
        }
    }

    #[test]
    fn a_table_is_named_only_where_that_changes_something() {
        assert_eq!(scope_with(None, &table("orders", true, ""), true), None);
        let out = scope_with(None, &table("orders", true, ""), false).expect("it travelled");
        assert_eq!(out.exclude, ["orders"]);
        assert_eq!(scope_with(Some(&out), &table("orders", false, "left out"), false), None);
        let back = scope_with(Some(&out), &table("orders", false, "left out"), true).expect("it stayed");
        assert_eq!(back.exclude, ["!*", "!orders"]);
        assert_eq!(scope_with(Some(&back), &table("orders", true, ""), true), None);
    }

    #[test]
    fn m3_a_table_that_waits_is_known_once_it_is_named() {
        let known = roster::Scope { known: Some(vec!["orders".into()]), ..roster::Scope::default() };
        let waits = table("reminders", true, "its rows wait here");
        let named = scope_with(Some(&known), &waits, true).expect("it waited");
        assert_eq!(named.known.as_deref(), Some(&["orders".to_owned(), "reminders".to_owned()][..]));
        assert_eq!(named.exclude, ["!*", "!reminders"]);
        assert_eq!(scope_with(Some(&named), &waits, true), None, "said once is enough, whatever else keeps it");
    }
}
