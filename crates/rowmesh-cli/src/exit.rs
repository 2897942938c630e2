//! What the program's exit code says. Nothing else ends the process.

use std::process::ExitCode;

use rowmesh::failure::Failure;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or healthy.
    Done,
    /// It did not work.
    Failed,
    /// Wrong usage or configuration.
    Usage,
    /// It worked, but something needs attention.
    Attention,
    /// The daemon cannot be reached.
    NoDaemon,
    /// Not allowed: permission, invite, identity.
    NotAllowed,
    /// Not done in time.
    TimedOut,
    /// Stopped by the user.
    Interrupted,
}

impl Exit {
    /// The number that a shell sees.
    pub fn number(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Attention => 3,
            Exit::NoDaemon => 4,
            Exit::NotAllowed => 5,
            Exit::TimedOut => 6,
            Exit::Interrupted => 130,
        }
    }

    /// What a failure ends with: decided by its code, so that the same error always ends the same.
    pub fn of(failure: &Failure) -> Exit {
        match failure.code.as_str() {
            INTERRUPTED => Exit::Interrupted,
            "RM4000" => Exit::NoDaemon,
            code if TIMED_OUT.contains(&code) => Exit::TimedOut,
            // A table that was misspelt on the command line.
            "RM2001" => Exit::Usage,
            code if code.starts_with("RM1") => Exit::Usage,
            code if code.starts_with("RM3") || code.starts_with("RM41") => Exit::NotAllowed,
            _ => Exit::Failed,
        }
    }
}

/// The one failure that has no code: the user did it.
pub const INTERRUPTED: &str = "";

/// The daemon took too long to answer; an exchange did not end in time.
const TIMED_OUT: &[&str] = &["RM4001", "RM5001"];

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides_how_a_failure_ends() {
        let check = |code: &str, number: u8| {
            let failure = Failure { code: code.into(), ..Failure::default() };
            assert_eq!(Exit::of(&failure).number(), number, "{code}");
        };
        check("RM1105", 2);
        check("RM1201", 2);
        check("RM2001", 2);
        check("RM2103", 1);
        check("RM3102", 5);
        check("RM4000", 4);
        check("RM4001", 6);
        check("RM4103", 5);
        check("RM4201", 1);
        check("RM5001", 6);
        check(INTERRUPTED, 130);
    }
}
