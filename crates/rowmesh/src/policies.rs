//! What people decide about conflicts at run time: by which policy a table's rows and columns are settled. A roster entry, signed by an admin,
//! which spreads as all entries do. What policies mean is core's business.

use std::collections::{BTreeMap, BTreeSet};

use rowmesh_core::ident::NodeId;
use rowmesh_core::policy::{ColumnPolicy, ExistencePolicy};
use rowmesh_core::roster::{Roster, TablePolicy};
use rowmesh_core::store::TableStatus;

use crate::control::api::{Answer, Policy};
use crate::decisions::{not_allowed, table_named};
use crate::failure::{Failure, code};
use crate::shared::Shared;

/// What takes a policy back.
const DEFAULT: &str = "default";

/// Policies that are not the default, by table, rows before columns.
pub(crate) fn list(roster: &Roster) -> Vec<Policy> {
    let mut policies = Vec::new();
    for (table, policy) in roster.policies() {
        let mut add = |column: Option<&String>, rule: &str, known: bool| {
            if rule != default_of(column.map(String::as_str)) {
                let (table, column, rule) = (table.to_owned(), column.cloned(), rule.to_owned());
                policies.push(Policy { table, column, rule, known });
            }
        };
        if let Some(rule) = &policy.existence {
            add(None, rule, ExistencePolicy::parse(rule).is_some());
        }
        for (column, rule) in &policy.columns {
            add(Some(column), &named(roster, rule), ColumnPolicy::parse(rule).is_some());
        }
    }
    policies
}

/// Sets the policy of a table's rows, or of one column, on all nodes.
///
/// # Errors
/// If there is no such table, column or policy, the column belongs to the key, or this node may not decide it.
pub(crate) async fn set(
    shared: &Shared,
    table: &str,
    column: Option<&str>,
    rule: &str,
    dry_run: bool,
) -> Result<Answer, Failure> {
    let roster = shared.members.roster();
    let spelled = if column.is_some() { spelled(&roster, rule)? } else { rule.to_owned() };
    check(&table_named(shared, table).await?, column, &spelled)?;
    let before = named(&roster, &rule_now(&roster, table, column));
    let Some(policy) = policy_with(&roster, table, column, &spelled) else {
        return Ok(Answer::PolicySet { changed: false, before });
    };
    // Signed for a dry run too, and thrown away: so it is refused where the real one would be.
    let trial = roster.set_policy(&*shared.key, shared.clock.now(), policy);
    trial.map_err(|error| not_allowed(error, shared, "how conflicts are settled"))?;
    if !dry_run {
        let (table, column, rule) = (table.to_owned(), column.map(str::to_owned), spelled);
        let signed = shared.members.sign(move |roster, signer, now| {
            let policy = policy_with(roster, &table, column.as_deref(), &rule);
            policy.map(|policy| roster.set_policy(signer, now, policy)).transpose()
        });
        signed.await?;
    }
    Ok(Answer::PolicySet { changed: true, before })
}

fn check(table: &TableStatus, column: Option<&str>, rule: &str) -> Result<(), Failure> {
    let name = &table.name;
    let no_table = || Failure::new(code::BAD_SETTING, format!("table {name} does not travel, so nothing meets in it"));
    if table.columns.is_empty() {
        return Err(no_table().why(&table.reason).hint("Let it travel first:", format!("rowmesh tables add {name}")));
    }
    if let Some(column) = column {
        if !table.columns.iter().any(|known| known == column) {
            return Err(Failure::new(code::BAD_SETTING, format!("table {name} has no column {column:?} that travels"))
                .hint(format!("Its columns: {}", table.columns.join(", ")), ""));
        }
        if table.key.iter().any(|key| key == column) {
            return Err(Failure::new(code::BAD_SETTING, format!("column {column} belongs to the key of {name}"))
                .why("a row with another key is another row, so there is nothing to choose from"));
        }
    }
    let known = match column {
        Some(_) => ColumnPolicy::parse(rule).is_some(),
        None => ExistencePolicy::parse(rule).is_some(),
    };
    if known || rule == DEFAULT {
        return Ok(());
    }
    let (of, all) = match column {
        Some(_) => ("a column", ColumnPolicy::WORDS.join(", ")),
        None => ("the rows of a table", ExistencePolicy::ALL.map(ExistencePolicy::as_str).join(", ")),
    };
    Err(Failure::new(code::BAD_SETTING, format!("{rule:?} is no policy for {of}"))
        .hint(format!("Policies for {of}: {all}; or: {DEFAULT}"), ""))
}

/// A table's policies with this one among them; `None` if it holds already.
fn policy_with(roster: &Roster, table: &str, column: Option<&str>, rule: &str) -> Option<TablePolicy> {
    let rule = if rule == DEFAULT { default_of(column) } else { rule };
    if rule_now(roster, table, column) == rule {
        return None;
    }
    let mut policy = roster
        .policies()
        .get(table)
        .map_or_else(|| TablePolicy { table: table.to_owned(), ..TablePolicy::default() }, |policy| (*policy).clone());
    match column {
        Some(column) => drop(policy.columns.insert(column.to_owned(), rule.to_owned())),
        None => policy.existence = Some(rule.to_owned()),
    }
    Some(policy)
}

/// A table's policies with those that are wished for among them; `None` if they hold already.
pub(crate) fn joined(roster: &Roster, wish: &TablePolicy) -> Option<TablePolicy> {
    let now = roster.policies().get(wish.table.as_str()).map(|policy| (*policy).clone());
    let mut policy = now.unwrap_or_else(|| TablePolicy { table: wish.table.clone(), ..TablePolicy::default() });
    let before = policy.clone();
    policy.existence = wish.existence.clone().or(policy.existence);
    policy.columns.extend(wish.columns.clone());
    (policy != before).then_some(policy)
}

/// A wish with nodes named as rosters name them, less what names nodes that are no members; and what that is.
pub(crate) fn resolved(roster: &Roster, wish: &TablePolicy) -> (TablePolicy, Option<Failure>) {
    let (mut columns, mut unknown) = (BTreeMap::new(), None);
    for (name, rule) in &wish.columns {
        match spelled(roster, rule) {
            Ok(rule) => drop(columns.insert(name.clone(), rule)),
            Err(failure) => unknown = Some(failure),
        }
    }
    (TablePolicy { columns, ..wish.clone() }, unknown)
}

/// A column's policy as rosters spell it: where people name nodes, it has their ids. What is no policy stays as it is.
fn spelled(roster: &Roster, rule: &str) -> Result<String, Failure> {
    let node = |name: &str| {
        let known = roster.members().find(|(_, member)| member.name == name).map(|(id, _)| *id);
        known.or_else(|| NodeId::parse(name))
    };
    if let Some(unknown) = ColumnPolicy::nodes_named(rule).find(|name| node(name).is_none()) {
        let names: BTreeSet<&str> = roster.members().map(|(_, member)| member.name.as_str()).collect();
        let names = Vec::from_iter(names);
        return Err(Failure::new(code::BAD_SETTING, format!("{unknown:?} is no node of this mesh"))
            .hint(format!("Its nodes: {}", names.join(", ")), "rowmesh peers"));
    }
    Ok(ColumnPolicy::parse_with(rule, node).map_or_else(|| rule.to_owned(), |policy| policy.spell(NodeId::to_string)))
}

/// A column's policy as people read it: nodes by their names.
fn named(roster: &Roster, rule: &str) -> String {
    let name = |id: &NodeId| roster.member(id).map_or_else(|| id.to_string(), |member| member.name.clone());
    ColumnPolicy::parse(rule).map_or_else(|| rule.to_owned(), |policy| policy.spell(name))
}

/// The policy of a column, or of the rows of a table, as the roster has it.
pub(crate) fn rule_now(roster: &Roster, table: &str, column: Option<&str>) -> String {
    let policies = roster.policies();
    let policy = policies.get(table);
    let rule = match column {
        Some(column) => policy.and_then(|policy| policy.columns.get(column)),
        None => policy.and_then(|policy| policy.existence.as_ref()),
    };
    rule.map_or_else(|| default_of(column).to_owned(), Clone::clone)
}

fn default_of(column: Option<&str>) -> &'static str {
    match column {
        Some(_) => "last_writer",
        None => "update_wins",
    }
}
