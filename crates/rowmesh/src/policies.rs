//! What people decide about conflicts at run time: by which policy a table's rows and columns are settled. A roster entry, signed by an admin,
//! which spreads as all entries do. What policies mean is core's business.

use std::collections::{BTreeMap, BTreeSet};

use rowmesh_core::ident::NodeId;
use rowmesh_core::policy::{ColumnPolicy, ExistencePolicy, OrphanPolicy};
use rowmesh_core::roster::{Roster, TablePolicy};
use rowmesh_core::store::TableStatus;

use crate::control::api::{Answer, Policy};
use crate::decisions::{not_allowed, table_named};
use crate::failure::{Failure, code};
use crate::shared::Shared;

/// What takes a policy back.
const DEFAULT: &str = "default";

/// What a policy is for.
#[derive(Clone, Copy)]
pub(crate) enum Of<'o> {
    /// The rows of a table.
    Rows,
    /// What one of its columns shows.
    Column(&'o str),
    /// What becomes of its rows where what this column refers to was deleted.
    Reference(&'o str),
}

impl<'o> Of<'o> {
    /// What a word is said of: those for references are none for columns.
    fn said(column: Option<&'o str>, rule: &str) -> Of<'o> {
        match column {
            None => Of::Rows,
            Some(column) if OrphanPolicy::parse(rule).is_some() => Of::Reference(column),
            Some(column) => Of::Column(column),
        }
    }

    fn column(self) -> Option<&'o str> {
        match self {
            Of::Rows => None,
            Of::Column(column) | Of::Reference(column) => Some(column),
        }
    }

    fn default(self) -> &'static str {
        match self {
            Of::Rows => ExistencePolicy::default().as_str(),
            Of::Column(_) => "last_writer",
            Of::Reference(_) => OrphanPolicy::default().as_str(),
        }
    }

    fn knows(self, rule: &str) -> bool {
        match self {
            Of::Rows => ExistencePolicy::parse(rule).is_some(),
            Of::Column(_) => ColumnPolicy::parse(rule).is_some(),
            Of::Reference(_) => OrphanPolicy::parse(rule).is_some(),
        }
    }

    fn get(self, policy: &TablePolicy) -> Option<&String> {
        match self {
            Of::Rows => policy.existence.as_ref(),
            Of::Column(column) => policy.columns.get(column),
            Of::Reference(column) => policy.references.get(column),
        }
    }

    fn set(self, policy: &mut TablePolicy, rule: &str) {
        let rule = rule.to_owned();
        match self {
            Of::Rows => policy.existence = Some(rule),
            Of::Column(column) => drop(policy.columns.insert(column.to_owned(), rule)),
            Of::Reference(column) => drop(policy.references.insert(column.to_owned(), rule)),
        }
    }
}

/// Policies that are not the default, by table, rows before columns, columns before references.
pub(crate) fn list(roster: &Roster) -> Vec<Policy> {
    let mut policies = Vec::new();
    for (table, policy) in roster.policies() {
        let columns = policy.columns.keys().map(|column| Of::Column(column));
        let references = policy.references.keys().map(|column| Of::Reference(column));
        for of in [Of::Rows].into_iter().chain(columns).chain(references) {
            let Some(rule) = of.get(policy).filter(|rule| *rule != of.default()) else { continue };
            let (table, column) = (table.to_owned(), of.column().map(str::to_owned));
            policies.push(Policy { table, column, rule: named(roster, rule), known: of.knows(rule) });
        }
    }
    policies
}

/// Sets the policy of a table's rows, of one column, or of what it refers to, on all nodes.
///
/// # Errors
/// If there is no such table, column or policy, the column belongs to the key or refers to nothing, or this node may not decide it.
pub(crate) async fn set(
    shared: &Shared,
    table: &str,
    column: Option<&str>,
    rule: &str,
    dry_run: bool,
) -> Result<Answer, Failure> {
    let roster = shared.members.roster();
    let spelled = if column.is_some() { spelled(&roster, rule)? } else { rule.to_owned() };
    let of = Of::said(column, &spelled);
    check(&table_named(shared, table).await?, of, &spelled)?;
    let before = named(&roster, &rule_now(&roster, table, of));
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

fn check(table: &TableStatus, of: Of<'_>, rule: &str) -> Result<(), Failure> {
    let name = &table.name;
    let no_table = || Failure::new(code::BAD_SETTING, format!("table {name} does not travel, so nothing meets in it"));
    if table.columns.is_empty() {
        return Err(no_table().why(&table.reason).hint("Let it travel first:", format!("rowmesh tables add {name}")));
    }
    if let Some(column) = of.column() {
        if !table.columns.iter().any(|known| known == column) {
            return Err(Failure::new(code::BAD_SETTING, format!("table {name} has no column {column:?} that travels"))
                .hint(format!("Its columns: {}", table.columns.join(", ")), ""));
        }
        if matches!(of, Of::Reference(_)) && !table.references.iter().any(|known| known == column) {
            return Err(Failure::new(code::BAD_SETTING, format!("column {column} of {name} refers to no other row"))
                .why("only a foreign key over the key of a table that travels can lack what it refers to"));
        }
        if matches!(of, Of::Column(_)) && table.key.iter().any(|key| key == column) {
            return Err(Failure::new(code::BAD_SETTING, format!("column {column} belongs to the key of {name}"))
                .why("a row with another key is another row, so there is nothing to choose from"));
        }
    }
    if of.knows(rule) || rule == DEFAULT {
        return Ok(());
    }
    let (of, all) = match of {
        Of::Rows => ("the rows of a table", ExistencePolicy::ALL.map(ExistencePolicy::as_str).join(", ")),
        Of::Column(column) | Of::Reference(column) => {
            let refers = table.references.iter().any(|known| known == column);
            let orphans = OrphanPolicy::ALL.map(OrphanPolicy::as_str);
            let words = ColumnPolicy::WORDS.iter().chain(orphans.iter().filter(|_| refers)).copied();
            ("a column", words.collect::<Vec<_>>().join(", "))
        }
    };
    Err(Failure::new(code::BAD_SETTING, format!("{rule:?} is no policy for {of}"))
        .hint(format!("Policies for {of}: {all}; or: {DEFAULT}"), ""))
}

/// A table's policies with this one among them; `None` if it holds already. Whoever takes back that of a column takes back that of what it refers to.
fn policy_with(roster: &Roster, table: &str, column: Option<&str>, rule: &str) -> Option<TablePolicy> {
    let of = match (rule, column) {
        (DEFAULT, Some(column)) => vec![Of::Column(column), Of::Reference(column)],
        _ => vec![Of::said(column, rule)],
    };
    let rule_of = |of: &Of<'_>| if rule == DEFAULT { of.default() } else { rule }.to_owned();
    let new: Vec<Of<'_>> = of.into_iter().filter(|of| rule_now(roster, table, *of) != rule_of(of)).collect();
    if new.is_empty() {
        return None;
    }
    let mut policy = roster
        .policies()
        .get(table)
        .map_or_else(|| TablePolicy { table: table.to_owned(), ..TablePolicy::default() }, |policy| (*policy).clone());
    new.iter().for_each(|of| of.set(&mut policy, &rule_of(of)));
    Some(policy)
}

/// A table's policies with those that are wished for among them; `None` if they hold already.
pub(crate) fn joined(roster: &Roster, wish: &TablePolicy) -> Option<TablePolicy> {
    let now = roster.policies().get(wish.table.as_str()).map(|policy| (*policy).clone());
    let mut policy = now.unwrap_or_else(|| TablePolicy { table: wish.table.clone(), ..TablePolicy::default() });
    let before = policy.clone();
    policy.existence = wish.existence.clone().or(policy.existence);
    policy.columns.extend(wish.columns.clone());
    policy.references.extend(wish.references.clone());
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

/// A policy as the roster has it.
pub(crate) fn rule_now(roster: &Roster, table: &str, of: Of<'_>) -> String {
    let policies = roster.policies();
    let rule = policies.get(table).and_then(|policy| of.get(policy));
    rule.map_or_else(|| of.default().to_owned(), Clone::clone)
}
