//! The proof: what every shared table holds on every node, read by the application itself, beside each other.

use business::Contents;
use serde_json::{Value, json};

use super::NAMES;
use super::broken;
use super::daemon::Daemon;
use crate::failure::Outcome;
use crate::paint::Paint;
use crate::render::grid::{Grid, Tone, plain};
use crate::units::show_count;

/// What all tables hold, node by node.
pub struct Proof {
    nodes: Vec<Vec<Contents>>,
}

impl Proof {
    /// Reads all tables of all nodes.
    ///
    /// # Errors
    /// If the application cannot read.
    pub fn of(daemons: &[Daemon]) -> Outcome<Proof> {
        let read = |daemon: &Daemon| daemon.desk()?.contents().map_err(|error| broken("read all tables", &error));
        Ok(Proof { nodes: daemons.iter().map(read).collect::<Outcome<_>>()? })
    }

    /// Whether every table holds the same everywhere.
    pub fn is_equal(&self) -> bool {
        self.differing() == 0
    }

    /// How many tables do not.
    pub fn differing(&self) -> usize {
        (0..self.tables()).filter(|at| !self.is_same(*at)).count()
    }

    /// The tables that differ, with their rows on each node.
    pub fn difference(&self) -> String {
        let line = |at: usize| {
            let rows: Vec<String> =
                self.nodes.iter().zip(NAMES).map(|(node, name)| format!("{name} {} rows", node[at].rows)).collect();
            format!("{}: {}", self.nodes[0][at].table, rows.join(", "))
        };
        (0..self.tables()).filter(|at| !self.is_same(*at)).map(line).collect::<Vec<_>>().join("\n")
    }

    /// Every table, its rows and the digest of its contents on each node.
    pub fn show(&self, paint: Paint) -> String {
        let headings: Vec<&str> = ["TABLE", ">ROWS"].into_iter().chain(NAMES).collect();
        let mut grid = Grid::new(&headings, paint);
        for at in 0..self.tables() {
            let tone = if self.is_same(at) { Tone::Good } else { Tone::Bad };
            let first = &self.nodes[0][at];
            let digests = self.nodes.iter().map(|node| (node[at].digest[..DIGITS].to_owned(), tone));
            let row: Vec<(String, Tone)> =
                [plain(first.table), plain(show_count(first.rows))].into_iter().chain(digests).collect();
            grid.row(&row);
        }
        let same = self.tables() - self.differing();
        format!("{}{same} of {} tables identical on all three nodes\n", grid.show(), self.tables())
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        (0..self.tables())
            .map(|at| {
                let digests: Vec<&str> = self.nodes.iter().map(|node| node[at].digest.as_str()).collect();
                json!({ "table": self.nodes[0][at].table, "rows": self.nodes[0][at].rows, "equal": self.is_same(at), "digests": digests })
            })
            .collect()
    }

    fn tables(&self) -> usize {
        self.nodes.iter().map(Vec::len).min().unwrap_or(0)
    }

    fn is_same(&self, at: usize) -> bool {
        self.nodes.iter().all(|node| node[at] == self.nodes[0][at])
    }
}

/// Enough of a digest to see that two are the same.
const DIGITS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(rows: u64, digest: &str) -> Vec<Contents> {
        let one = Contents { table: "users", rows: 3, digest: "a".repeat(64) };
        vec![one, Contents { table: "orders", rows, digest: digest.repeat(64) }]
    }

    #[test]
    fn equal_nodes_are_equal_and_a_difference_is_named() {
        let equal = Proof { nodes: vec![node(9, "b"), node(9, "b"), node(9, "b")] };
        assert!(equal.is_equal());
        assert!(equal.show(Paint::default()).ends_with("2 of 2 tables identical on all three nodes\n"));
        let apart = Proof { nodes: vec![node(9, "b"), node(9, "b"), node(9, "c")] };
        assert!(!apart.is_equal());
        assert_eq!(apart.difference(), "orders: till 9 rows, office 9 rows, depot 9 rows");
        assert_eq!(apart.to_json()[1]["equal"], false);
    }
}
