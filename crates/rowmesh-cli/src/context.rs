//! What every command starts from: how to talk, the flags and the configuration; and how a running node is asked.

use std::sync::mpsc;
use std::time::Duration;

use rowmesh::control::api::{Answer, Question};
use rowmesh::control::client;
use rowmesh::failure::Failure;

use crate::args::Everywhere;
use crate::config::{Config, Surroundings};
use crate::failure::{Outcome, failure};
use crate::nodes::{self, Place};
use crate::talk::Talk;
use crate::units::show_duration;

/// What every command starts from.
pub struct Context {
    /// How to talk.
    pub talk: Talk,
    /// The flags.
    pub everywhere: Everywhere,
    /// The settings.
    pub config: Config,
}

impl Context {
    /// Reads the configuration.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn new(talk: Talk, everywhere: &Everywhere) -> Outcome<Context> {
        let mut config = Config::load(&Surroundings::of_process(), everywhere.config.as_deref())?;
        everywhere.apply(&mut config);
        config.warnings.iter().for_each(|warning| talk.warn(warning));
        if let Some(path) = &config.path {
            talk.detail(&format!("configuration {}", path.display()));
        }
        Ok(Context { talk, everywhere: everywhere.clone(), config })
    }

    /// The node that is meant.
    ///
    /// # Errors
    /// As [`nodes::existing`].
    pub fn place(&self) -> Outcome<Place> {
        nodes::existing(&self.everywhere, &self.config)
    }

    /// Asks the running node that is meant.
    ///
    /// # Errors
    /// RM4000 if it does not run, RM4001 if it does not answer within `--timeout`, or what it answers.
    pub fn ask(&self, question: &Question) -> Outcome<Answer> {
        self.ask_at(&self.place()?, question)
    }

    /// Asks the running node of a place.
    ///
    /// # Errors
    /// As [`Context::ask`].
    pub fn ask_at(&self, place: &Place, question: &Question) -> Outcome<Answer> {
        self.talk.detail(&format!("asking {}", place.socket.display()));
        let answer = match self.everywhere.timeout {
            Some(limit) if !matches!(question, Question::Sync { .. }) => ask_within(place, question, limit),
            _ => client::ask(&place.socket, question),
        };
        answer.map_err(|mut failure| {
            // The hint names no node; here it is known which.
            let start = failure.hints.iter_mut().filter(|hint| hint.command == "rowmesh run");
            start.for_each(|hint| hint.command = format!("rowmesh run {}", place.flag(&self.config)));
            failure
        })
    }
}

/// An answer of a kind that the question does not have.
pub fn unexpected(answer: &Answer) -> Failure {
    let kind = serde_json::to_value(answer).ok().and_then(|value| Some(value.get("is")?.as_str()?.to_owned()));
    failure("RM4403", "the daemon gave another answer than this command understands")
        .why(format!("it said \"{}\"; is it of another version?", kind.unwrap_or_default()))
        .hint("Compare the versions:", "rowmesh status")
}

fn ask_within(place: &Place, question: &Question, limit: Duration) -> Outcome<Answer> {
    let (sender, answer) = mpsc::channel();
    let (socket, question) = (place.socket.clone(), question.clone());
    std::thread::spawn(move || {
        // Nobody listens any more where it took too long.
        let _ = sender.send(client::ask(&socket, &question));
    });
    answer.recv_timeout(limit).unwrap_or_else(|_| {
        Err(failure("RM4001", format!("the daemon did not answer within {}", show_duration(limit)))
            .at(place.socket.display().to_string())
            .hint("Give it longer:", "--timeout 60s"))
    })
}
