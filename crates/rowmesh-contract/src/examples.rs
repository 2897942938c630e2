//! The worked examples of docs/conflicts.md, run as they stand there.

use std::collections::BTreeSet;

use rowmesh_core::ident::NodeId;
use rowmesh_core::ledger::{ConflictType, Entry, Left};
use rowmesh_core::policy::{ColumnPolicy, ExistencePolicy, OrphanPolicy, Policies, PolicyHistory};
use rowmesh_core::scope::Scope;
use rowmesh_core::store::Store;

use crate::node::{Node, check_equal, converge, nodes, now};
use crate::place::Place;

const PAGE: &str = include_str!("../../../docs/conflicts.md");

pub(crate) fn the_examples_of_the_page_on_conflicts_come_out_as_they_say<P: Place>() {
    let examples: Vec<&str> = PAGE.split("```mesh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 8, "{} examples", examples.len());
    examples.into_iter().for_each(play::<P>);
}

fn play<P: Place>(example: &str) {
    let lines: Vec<(&str, &str)> = example
        .lines()
        .map(|line| line.split_once(' ').map_or((line, ""), |(word, rest)| (word, rest.trim())))
        .collect();
    let all =
        |wanted: &str| lines.iter().filter(|(word, _)| *word == wanted).map(|(_, rest)| *rest).collect::<Vec<_>>();
    let mut nodes = nodes::<P>(2, all("table")[0]);
    let ids = [&nodes[0], &nodes[1]].map(|node| node.dot(1).origin.node);
    let policies = policies(&all("policy"), ids);
    nodes.iter_mut().for_each(|node| node.stand_by(&Scope::default(), &policies));
    let query = all("query")[0];
    for (word, rest) in &lines {
        match *word {
            "table" | "policy" | "query" | "lost" => {}
            "both" => {
                nodes[0].run(rest);
                converge(&mut nodes);
            }
            "a" => write(&mut nodes[0], rest),
            "b" => write(&mut nodes[1], rest),
            "meet" => converge(&mut nodes),
            "shows" => {
                check_equal(&mut nodes);
                nodes.iter().for_each(|node| assert_eq!(node.texts(query), [*rest], "{example}"));
            }
            other => panic!("{other:?} is no word of an example: {example}"),
        }
    }
    let views = nodes[1].store.conflicts(false, 100).expect("read");
    let lost: BTreeSet<String> = views.iter().map(|view| told(&view.entry)).collect();
    assert_eq!(lost, all("lost").into_iter().map(str::to_owned).collect(), "{example}");
    assert_eq!(views.len(), lost.len(), "{example}");
}

/// The later line is the later write.
fn write<P: Place>(node: &mut Node<P>, statement: &str) {
    let before = now();
    while now() <= before {
        std::hint::spin_loop();
    }
    node.run(statement);
    node.seal();
}

fn policies(lines: &[&str], ids: [NodeId; 2]) -> PolicyHistory {
    let node = |name: &str| ["a", "b"].iter().position(|known| *known == name).map(|position| ids[position]);
    let mut policies = Policies::default();
    for line in lines {
        let (of, rule) = line.split_once(' ').expect("of what, and which");
        match of.split_once('.') {
            Some((table, column)) if let Some(rule) = OrphanPolicy::parse(rule) => {
                policies.tables.entry(table.into()).or_default().references.insert(column.into(), rule);
            }
            Some((table, column)) => {
                let rule = ColumnPolicy::parse_with(rule, node).expect("a policy");
                policies.tables.entry(table.into()).or_default().columns.insert(column.into(), rule);
            }
            None => {
                let rule = ExistencePolicy::parse(rule).expect("a policy");
                policies.tables.entry(of.into()).or_default().existence = rule;
            }
        }
    }
    PolicyHistory::constant(policies)
}

fn told(entry: &Entry) -> String {
    let side = |left: &Left| match left {
        Left::Nothing => "the delete".to_owned(),
        Left::Value(value) => value.to_json(),
        Left::Written(_) => "a write".to_owned(),
    };
    let column = entry.id.column.as_ref().map(|column| format!("{column} ")).unwrap_or_default();
    let state = if entry.superseded { "superseded" } else { "open" };
    let (kind, strategy) = (entry.kind.as_str(), entry.strategy.as_str());
    let won = match (entry.kind, &entry.won) {
        (ConflictType::Unique, _) => "another row".to_owned(),
        (ConflictType::ForeignKey, Left::Written(_)) => "a row that refers to it".to_owned(),
        (_, won) => side(won),
    };
    format!("{column}{} to {won}, {kind}, {strategy}, {state}", side(&entry.lost))
}
