//! What a check of ours found: problems fail it, notes only inform.

use std::fmt::Write;

/// Result of one check.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Each fails the check; one sentence with the file and the remedy.
    pub problems: Vec<String>,
    /// Worth knowing, but no failure.
    pub notes: Vec<String>,
}

impl Findings {
    /// One problem and nothing else.
    pub fn problem(text: impl Into<String>) -> Findings {
        Findings { problems: vec![text.into()], notes: Vec::new() }
    }

    /// One note and nothing else.
    pub fn note(text: impl Into<String>) -> Findings {
        Findings { problems: Vec::new(), notes: vec![text.into()] }
    }

    /// Adds what another check found.
    pub fn join(&mut self, other: Findings) {
        self.problems.extend(other.problems);
        self.notes.extend(other.notes);
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Prints all for a person; returns whether nothing is wrong.
    pub fn print(&self, name: &str) -> bool {
        print!("{}", self.render());
        match self.problems.len() {
            0 => println!("{name}: clean"),
            1 => println!("{name}: 1 problem"),
            n => println!("{name}: {n} problems"),
        }
        self.is_clean()
    }

    /// Notes first, so that the problems stand last on the screen.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        for problem in &self.problems {
            let _ = writeln!(text, "problem: {problem}");
        }
        text
    }
}

impl FromIterator<String> for Findings {
    /// A list of problems.
    fn from_iter<I: IntoIterator<Item = String>>(problems: I) -> Findings {
        Findings { problems: problems.into_iter().collect(), notes: Vec::new() }
    }
}
