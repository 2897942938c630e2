//! Ties docs/storage.md to the SQL that makes Rowmesh's tables: what we put into a user's database is told to the user, column by column.
//! Reads only as much SQL as that one file holds; what the columns mean is for people to judge.

use std::collections::BTreeSet;

use crate::findings::Findings;
use crate::markdown;
use crate::repo::Repo;

const DOC: &str = "docs/storage.md";
const SQL: &str = "crates/rowmesh-sqlite/src/tables.sql";

/// Each table and view has a section of its own that names all its columns and no others, and each index is named somewhere.
pub fn every_table_and_column_is_told(repo: &Repo) -> Findings {
    let (Some(doc), Some(sql)) = (repo.text(DOC), repo.text(SQL)) else {
        return Findings::note(format!("{DOC} and {SQL} do not both exist yet: tables not checked"));
    };
    let sections = sections(doc);
    let made = relations(sql);
    let mut problems: Vec<String> = made.iter().flat_map(|relation| check(relation, &sections)).collect();
    let gone = sections.iter().filter(|section| made.iter().all(|relation| relation.name != section.table));
    problems.extend(gone.map(|section| format!("{DOC}: {} is not made by {SQL}", section.table)));
    let untold = indexes(sql).filter(|index| !doc.contains(&format!("`{index}`")));
    problems.extend(untold.map(|index| format!("{DOC}: index {index} is not told")));
    problems.into_iter().collect()
}

/// A table or view as the SQL makes it.
#[derive(Debug, PartialEq, Eq)]
struct Relation {
    name: String,
    columns: Vec<String>,
}

/// What the document says of a table: a heading with its name, and below it a table with a row per column.
struct Section<'a> {
    table: &'a str,
    columns: BTreeSet<&'a str>,
}

fn check(relation: &Relation, sections: &[Section<'_>]) -> Vec<String> {
    let name = &relation.name;
    let Some(section) = sections.iter().find(|section| section.table == name) else {
        return vec![format!("{DOC}: {name} has no section of its own")];
    };
    let untold = relation.columns.iter().filter(|column| !section.columns.contains(column.as_str()));
    let gone = section.columns.iter().filter(|column| relation.columns.iter().all(|made| made != *column));
    let untold = untold.map(|column| format!("{DOC}: column {name}.{column} is not told"));
    untold.chain(gone.map(|column| format!("{DOC}: {name} has no column {column}"))).collect()
}

fn sections(doc: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut inside = false;
    for line in markdown::lines(doc).filter(|line| !line.fenced) {
        if line.text.starts_with('#') {
            let title = line.text.trim_start_matches('#').trim();
            inside = title.starts_with("rowmesh_");
            if inside {
                sections.push(Section { table: title, columns: BTreeSet::new() });
            }
        } else if let (true, Some(section), Some(cell)) = (inside, sections.last_mut(), markdown::first_cell(line.text))
        {
            section.columns.extend(markdown::code_spans(cell));
        }
    }
    sections
}

fn relations(sql: &str) -> Vec<Relation> {
    statements(sql).filter_map(|statement| table(&statement).or_else(|| view(&statement))).collect()
}

fn indexes(sql: &str) -> impl Iterator<Item = String> {
    statements(sql).filter_map(|statement| Some(word_after(&statement, "CREATE INDEX IF NOT EXISTS ")?.to_owned()))
}

/// Statements without comments. No text in that file holds a semicolon or two dashes.
fn statements(sql: &str) -> impl Iterator<Item = String> {
    let code: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    code.split(';').map(|statement| statement.trim().to_owned()).collect::<Vec<_>>().into_iter()
}

fn table(statement: &str) -> Option<Relation> {
    let name = word_after(statement, "CREATE TABLE IF NOT EXISTS ")?.to_owned();
    let body = statement.split_once('(')?.1.rsplit_once(')')?.0;
    let definitions = items(body).into_iter().filter_map(|item| item.split_whitespace().next());
    let constraints = ["PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "CONSTRAINT"];
    let columns = definitions.filter(|first| !constraints.contains(first)).map(str::to_owned).collect();
    Some(Relation { name, columns })
}

/// A column of a view has the last name of its expression.
fn view(statement: &str) -> Option<Relation> {
    let name = word_after(statement, "CREATE VIEW IF NOT EXISTS ")?.to_owned();
    let selected = statement.split_once("SELECT ")?.1.rsplit_once("\n  FROM ")?.0;
    let last_name = |item: &str| item.rsplit(|c: char| c.is_whitespace() || c == '.').next().map(str::to_owned);
    Some(Relation { name, columns: items(selected).into_iter().filter_map(last_name).collect() })
}

fn word_after<'a>(statement: &'a str, head: &str) -> Option<&'a str> {
    statement.strip_prefix(head)?.split(|c: char| c.is_whitespace() || c == '(').next()
}

/// Splits at the commas that stand in no parentheses.
fn items(list: &str) -> Vec<&str> {
    let mut depth = 0;
    let split = list.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    split.map(str::trim).filter(|item| !item.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "-- A table; its key is two columns, (a, b).
CREATE TABLE IF NOT EXISTS rowmesh_one (
    a INTEGER NOT NULL,
    b, c,
    UNIQUE (a, b)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rowmesh_one_c ON rowmesh_one (c);
CREATE VIEW IF NOT EXISTS rowmesh_seen AS
SELECT o.a,
       lower(hex(o.b)) AS letters,
       CASE WHEN EXISTS (SELECT 1 FROM x, y)
            THEN 'yes' ELSE 'no' END AS state
  FROM rowmesh_one o
";

    fn check_doc(doc: &str, expected: &[&str]) {
        let findings = every_table_and_column_is_told(&Repo::of(&[(DOC, doc), (SQL, TABLES)]));
        assert_eq!(findings.problems, expected, "{doc}");
    }

    const ONE: &str =
        "### rowmesh_one\n\n| column | meaning |\n|---|---|\n| `a` | x |\n| `b`, `c` | x `d` |\n\n`rowmesh_one_c`\n";
    const SEEN: &str =
        "## rowmesh_seen\n| `a` | x |\n| `letters` | x |\n| `state` | x |\n# Other\n| `z` | no column |\n";

    #[test]
    fn tables_and_views_are_taken_apart() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let expected = [
            Relation { name: "rowmesh_one".into(), columns: names(&["a", "b", "c"]) },
            Relation { name: "rowmesh_seen".into(), columns: names(&["a", "letters", "state"]) },
        ];
        assert_eq!(relations(TABLES), expected);
        assert_eq!(indexes(TABLES).collect::<Vec<_>>(), ["rowmesh_one_c"]);
    }

    #[test]
    fn a_document_that_tells_everything_is_clean() {
        check_doc(&format!("{ONE}{SEEN}"), &[]);
    }

    #[test]
    fn what_is_not_told_is_found_and_what_is_told_and_gone_too() {
        check_doc(ONE, &["docs/storage.md: rowmesh_seen has no section of its own"]);
        check_doc(
            &format!("{}{SEEN}", ONE.replace("| `b`, `c` |", "| `b`, `e` |")),
            &["docs/storage.md: column rowmesh_one.c is not told", "docs/storage.md: rowmesh_one has no column e"],
        );
        let gone = "docs/storage.md: rowmesh_two is not made by crates/rowmesh-sqlite/src/tables.sql";
        check_doc(&format!("{ONE}{SEEN}## rowmesh_two\n"), &[gone]);
        let index = "docs/storage.md: index rowmesh_one_c is not told";
        check_doc(&format!("{}{SEEN}", ONE.replace("`rowmesh_one_c`", "")), &[index]);
    }

    #[test]
    fn a_missing_document_is_told_and_no_failure() {
        let findings = every_table_and_column_is_told(&Repo::of(&[(SQL, TABLES)]));
        assert_eq!((findings.problems.len(), findings.notes.len()), (0, 1));
    }
}
