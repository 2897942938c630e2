//! The two voices of the program: data on stdout, talk on stderr; and the questions that it asks when somebody is there to answer.
//! Decides nothing about what is said.

use std::io::{self, BufRead, IsTerminal, Write};

use rowmesh::failure::Failure;
use serde::Serialize;

use crate::args::Everywhere;
use crate::failure::{self, Outcome, failure};
use crate::paint::Paint;

/// How this run talks.
#[derive(Debug, Clone, Copy)]
pub struct Talk {
    /// Results as JSON.
    pub json: bool,
    /// Colours of stdout.
    pub out: Paint,
    /// Colours of stderr.
    pub err: Paint,
    /// Whether stderr is a terminal, so that bars may move on it.
    pub live: bool,
    quiet: bool,
    verbose: u8,
    yes: bool,
    can_ask: bool,
}

impl Talk {
    /// From the flags and what this process is connected to.
    pub fn new(everywhere: &Everywhere) -> Talk {
        let variable = |name: &str| std::env::var(name).ok();
        let live = io::stderr().is_terminal() && std::env::var("TERM").as_deref() != Ok("dumb");
        Talk {
            json: everywhere.json,
            out: everywhere.color.decide(variable, io::stdout().is_terminal()),
            err: everywhere.color.decide(variable, io::stderr().is_terminal()),
            live: live && !everywhere.quiet,
            quiet: everywhere.quiet,
            verbose: everywhere.verbose,
            yes: everywhere.yes,
            can_ask: io::stdin().is_terminal() && io::stderr().is_terminal(),
        }
    }

    /// Prints data. Where the reader has gone away (`rowmesh log | head`) the program ends in peace.
    ///
    /// # Errors
    /// If stdout cannot be written for another reason, such as a full disk.
    pub fn data(&self, text: &str) -> Outcome<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => Err(failure("RM8301", "the output cannot be written").why(error.to_string())),
        }
    }

    /// Prints one document of JSON.
    ///
    /// # Errors
    /// As [`Talk::data`].
    pub fn document(&self, document: &impl Serialize) -> Outcome<()> {
        let text = serde_json::to_string_pretty(document).map_err(|error| ours(&error))?;
        self.data(&(text + "\n"))
    }

    /// Prints one document of JSON on a line of its own.
    ///
    /// # Errors
    /// As [`Talk::data`].
    pub fn document_line(&self, document: &impl Serialize) -> Outcome<()> {
        let text = serde_json::to_string(document).map_err(|error| ours(&error))?;
        self.data(&(text + "\n"))
    }

    /// The result: as a document if JSON was asked for, else as text.
    ///
    /// # Errors
    /// As [`Talk::data`].
    pub fn result(&self, document: &impl Serialize, text: impl FnOnce() -> String) -> Outcome<()> {
        if self.json { self.document(document) } else { self.data(&text()) }
    }

    /// Says something on stderr.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            write_stderr(&format!("{text}\n"));
        }
    }

    /// Something is done.
    pub fn done(&self, text: &str) {
        self.say(&format!("{} {text}", self.err.good("✔")));
    }

    /// Something to know, said even where little is.
    pub fn warn(&self, text: &str) {
        write_stderr(&format!("{} {text}\n", self.err.warn("!")));
    }

    /// Something for those who asked for more.
    pub fn detail(&self, text: &str) {
        if self.verbose > 0 {
            write_stderr(&format!("{}\n", self.err.dim(text)));
        }
    }

    /// How much more was asked for.
    pub fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// Shows a failure: as the one document on stdout if JSON was asked for, else on stderr.
    pub fn fail(&self, failure: &Failure) {
        if self.json {
            // Nothing is left to say where stdout fails too.
            let _ = self.document(&failure::to_json(failure));
        } else {
            write_stderr(&failure::show(failure, self.err));
        }
    }

    /// Asks for a yes. `Enter` means yes where `default` says so.
    ///
    /// # Errors
    /// Where nobody can answer: with the flag to pass instead.
    pub fn confirm(&self, question: &str, default: bool) -> Outcome<bool> {
        if self.yes {
            return Ok(true);
        }
        if !self.can_ask {
            return Err(failure("RM1322", format!("this needs an answer, and nobody is at a terminal: {question}"))
                .hint("Say yes beforehand:", "--yes"));
        }
        let choices = if default { "[Y/n]" } else { "[y/N]" };
        loop {
            write_stderr(&format!("{} {choices} ", self.err.bold(question)));
            let mut answer = String::new();
            let length = io::stdin().lock().read_line(&mut answer);
            match (length, answer.trim().to_lowercase().as_str()) {
                (Ok(0) | Err(_), _) => return Ok(false),
                (_, "") => return Ok(default),
                (_, "y" | "yes") => return Ok(true),
                (_, "n" | "no") => return Ok(false),
                _ => {}
            }
        }
    }
}

/// Talk is not worth failing for.
pub fn write_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn ours(error: &serde_json::Error) -> Failure {
    failure("RM9001", "an answer could not be written as JSON").why(error.to_string())
}
