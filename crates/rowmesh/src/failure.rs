//! What went wrong, as people and programs see it: one code, one message, where, why, and what to type. Every error of the layers below
//! is turned into one here, and here only, so that a code means the same everywhere. Deciding whether to try again is here too;
//! trying again is not. docs/errors.md has a page for every code.

use std::fmt;

use rowmesh_core::ident::NodeId;
use rowmesh_core::invite::InviteError;
use rowmesh_core::roster::RosterError;
use rowmesh_core::store::{StoreError, StoreErrorKind};

use crate::identity::IdentityError;
use crate::transport::{BindError, DialError, DialFault, RequestError};

pub use crate::control::api::{Failure, Hint};

/// Every code that this crate itself gives out, beside those that travel (`rowmesh_core::wire::message::code`) and those of the stores.
/// Codes are never reused.
pub mod code {
    pub use rowmesh_core::wire::message::code::{
        BUSY, CLOCK_AHEAD, EQUIVOCATION, INVITE_DEAD as INVITE, MALFORMED, NO_COMMON_PROTOCOL, NOT_A_MEMBER,
        NOT_ALLOWED, OTHER_MESH, REMOVED, TWO_LIVES,
    };

    /// A database of another make.
    pub const OTHER_DATABASE: &str = "RM1301";
    /// A name, an address or another setting cannot be what was given.
    pub const BAD_SETTING: &str = "RM1401";
    /// The node belongs to no mesh yet.
    pub const NO_MESH: &str = "RM1402";
    /// The node belongs to a mesh already.
    pub const HAS_MESH: &str = "RM1403";
    /// The database has no such table.
    pub const NO_SUCH_TABLE: &str = "RM2001";
    /// The database cannot be written.
    pub const READ_ONLY: &str = "RM3201";
    /// No daemon answers on the socket.
    pub const NOT_RUNNING: &str = "RM4000";
    /// The daemon did not answer in time.
    pub const NO_ANSWER: &str = "RM4001";
    /// Another node answers at the address.
    pub const WRONG_NODE: &str = "RM4104";
    /// The node's key cannot be read or made.
    pub const IDENTITY: &str = "RM4121";
    /// A peer cannot be reached.
    pub const UNREACHABLE: &str = "RM4401";
    /// Something else than a Rowmesh node answers.
    pub const NOT_ROWMESH: &str = "RM4402";
    /// The other side answered what is not understood.
    pub const BAD_ANSWER: &str = "RM4403";
    /// The database belongs to another node.
    pub const OTHER_NODES_DATABASE: &str = "RM4125";
    /// No invite can be made.
    pub const NO_INVITE: &str = "RM4126";
    /// The port is taken.
    pub const PORT_IN_USE: &str = "RM4201";
    /// Another daemon works on this database or with this data folder.
    pub const TWO_DAEMONS: &str = "RM4202";
    /// A peer reaches us, we do not reach it.
    pub const ONE_WAY: &str = "RM4203";
    /// The address cannot be listened on.
    pub const CANNOT_LISTEN: &str = "RM4204";
    /// Not everything was exchanged in time.
    pub const NOT_IN_TIME: &str = "RM5001";
    /// The peer no longer has the changes that we lack.
    pub const LOG_PRUNED: &str = "RM5501";
    /// The database was put back to an earlier state, or copied.
    pub const RESTORED: &str = "RM5502";
    /// No such peer.
    pub const NO_SUCH_PEER: &str = "RM5503";
    /// The database that is to join holds rows already.
    pub const HAS_ROWS: &str = "RM5504";
    /// The initial copy broke off.
    pub const LOAD: &str = "RM5505";
    /// No such conflict.
    pub const NO_SUCH_CONFLICT: &str = "RM6101";
    /// There is no row with that key.
    pub const NO_SUCH_ROW: &str = "RM6102";
    /// The log holds no change that was meant.
    pub const NO_SUCH_CHANGE: &str = "RM6103";
    /// A file or folder of the node cannot be read or written.
    pub const FILE: &str = "RM8201";
    /// A part of the node stopped by a mistake of ours.
    pub const BUG: &str = "RM9001";
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It may pass by itself.
    Later,
    /// Nothing changes until a person acts.
    NeedsPerson,
}

impl Failure {
    /// A failure with nothing but its code and what happened.
    pub fn new(code: &str, message: impl Into<String>) -> Failure {
        Failure { code: code.to_owned(), message: message.into(), ..Failure::default() }
    }

    /// Says where: a database, a file, a peer.
    #[must_use]
    pub fn at(mut self, location: impl Into<String>) -> Failure {
        self.location = location.into();
        self
    }

    /// Says why, with all that lies below the error.
    #[must_use]
    pub fn because(mut self, source: &(dyn std::error::Error + 'static)) -> Failure {
        self.cause = chain(Some(source));
        self
    }

    /// Says why in words.
    #[must_use]
    pub fn why(mut self, cause: impl Into<String>) -> Failure {
        self.cause = cause.into();
        self
    }

    /// Adds a thing to do, in words and as a command; the command may be empty.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>, command: impl Into<String>) -> Failure {
        self.hints.push(Hint { text: text.into(), command: command.into() });
        self
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self.code.as_str() {
            code::INVITE
            | code::WRONG_NODE
            | code::OTHER_MESH
            | code::REMOVED
            | code::NOT_ALLOWED
            | code::OTHER_NODES_DATABASE
            | code::HAS_MESH
            | code::NO_MESH
            | code::BAD_SETTING
            | code::IDENTITY => Retry::NeedsPerson,
            _ => Retry::Later,
        }
    }

    /// Whether two failures are the same as far as a person cares: the times and numbers in the cause do not count.
    pub fn is_like(&self, other: &Failure) -> bool {
        self.code == other.code && self.message == other.message
    }

    /// No daemon answers.
    pub fn not_running(socket: &std::path::Path) -> Failure {
        Failure::new(code::NOT_RUNNING, "the daemon is not running")
            .at(socket.display().to_string())
            .hint("Start it:", "rowmesh run")
    }

    /// A file of the node cannot be read or written.
    pub fn file(doing: &str, path: &std::path::Path, source: &std::io::Error) -> Failure {
        Failure::new(code::FILE, format!("cannot {doing}"))
            .at(path.display().to_string())
            .why(source.to_string())
            .hint("Check that the folder exists, that this user may write it, and that the disk is not full.", "")
    }

    /// Part of the program stopped where it should not have.
    pub fn bug(message: impl Into<String>) -> Failure {
        Failure::new(code::BUG, message)
            .hint("Please report it, with what this says and the daemon's log:", "rowmesh doctor --json")
    }

    /// The peer says that this node is no member.
    pub fn not_a_member(peer: &str) -> Failure {
        Failure::new(code::NOT_A_MEMBER, format!("{peer} does not know this node as a member of the mesh"))
            .hint("If this node was just let in, the news is still on its way and this passes by itself.", "")
            .hint("Otherwise, on a member of the mesh:", "rowmesh invite")
    }

    /// A stranger asks for what only members get.
    pub fn stranger(node: NodeId) -> Failure {
        Failure::new(code::NOT_A_MEMBER, format!("node {} is not a member of this mesh", node.short()))
            .hint("Let it in with an invite:", "rowmesh invite")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code, self.message)?;
        if !self.location.is_empty() {
            write!(f, " ({})", self.location)?;
        }
        if !self.cause.is_empty() {
            write!(f, ": {}", self.cause)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let cause = chain(error.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static)));
        let mut failure = Failure::new(error.code, error.message).why(cause);
        if !error.remedy.is_empty() {
            failure = failure.hint(error.remedy, "");
        }
        if error.kind == StoreErrorKind::Transient && failure.hints.is_empty() {
            failure = failure.hint("It is tried again by itself.", "");
        }
        failure
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Failure {
        let hint = match &error {
            IdentityError::KeyOpenToOthers { path, .. } => format!("chmod 600 {}", path.display()),
            IdentityError::FolderOpenToOthers { path, .. } => format!("chmod 700 {}", path.display()),
            _ => String::new(),
        };
        let text = match &error {
            IdentityError::KeyOpenToOthers { .. } => "If nobody else can have read it, close it:",
            IdentityError::FolderOpenToOthers { .. } => "Close the folder:",
            IdentityError::Damaged { .. } => "Put the file back from a backup. Without it this node has to join anew.",
            IdentityError::File { .. } => "Check that the folder exists and that this user may write it.",
            IdentityError::Random(_) => "The operating system gives no random numbers yet: try again a little later.",
        };
        let source = std::error::Error::source(&error);
        Failure::new(code::IDENTITY, error.to_string()).why(chain(source)).hint(text, hint)
    }
}

impl From<InviteError> for Failure {
    fn from(error: InviteError) -> Failure {
        let cause = chain(std::error::Error::source(&error));
        Failure::new(code::INVITE, error.to_string())
            .why(cause)
            .hint("Copy the whole line again, or make a new one on a member of the mesh:", "rowmesh invite")
    }
}

impl From<RosterError> for Failure {
    fn from(error: RosterError) -> Failure {
        let message = error.to_string();
        match error {
            RosterError::Entry(_) => Failure::new(code::BAD_SETTING, message)
                .hint("Names are 1 to 128 bytes of visible text; addresses are host:port.", ""),
            RosterError::Revoked(_) => Failure::new(code::REMOVED, message)
                .hint("Give it a new identity, then invite it again:", "rowmesh up new.db --name NEW --join INVITE"),
            RosterError::OtherMesh(_) | RosterError::NoGenesis(_) => Failure::new(code::OTHER_MESH, message),
            RosterError::NotAllowed { .. } | RosterError::LastAdmin | RosterError::Full { .. } => {
                Failure::new(code::NOT_ALLOWED, message).hint("See who is an admin of the mesh:", "rowmesh peers")
            }
            _ => Failure::new(code::BAD_ANSWER, message),
        }
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Failure {
        let port = error.address.rsplit_once(':').map_or("", |(_, port)| port);
        if error.source.kind() == std::io::ErrorKind::AddrInUse {
            return Failure::new(code::PORT_IN_USE, format!("port {port} is in use"))
                .at(error.address.clone())
                .hint("If a Rowmesh daemon already runs here, look at it:", "rowmesh status")
                .hint("A second node on this machine:", "rowmesh up other.db --listen :7706");
        }
        Failure::new(code::CANNOT_LISTEN, format!("cannot listen on {}", error.address))
            .why(error.source.to_string())
            .hint("Give an address of this machine:", "rowmesh run --listen 0.0.0.0:7696")
    }
}

/// What came of dialling a peer that people call `name`.
pub fn dial_failure(error: &DialError, name: &str) -> Failure {
    let at = error.attempts.first().map_or("", |(address, _)| address.as_str()).to_owned();
    let failure = match error.fault() {
        DialFault::WrongNode { expected, answered } => {
            Failure::new(code::WRONG_NODE, format!("the node at {at} is not {name}"))
                .why(format!("expected {}, answered {}", expected.short(), answered.short()))
                .hint("Its address may have moved to another machine, or someone is in between. Nothing was sent.", "")
        }
        DialFault::Impostor => Failure::new(code::WRONG_NODE, format!("an impostor of {name} answers at {at}"))
            .why("it shows the certificate of the node without having its key; nothing was sent"),
        DialFault::Itself => Failure::new(code::TWO_LIVES, "that is this node itself").hint(
            "If this machine was cloned, give it an identity of its own:",
            "rowmesh up new.db --name NEW --join INVITE",
        ),
        DialFault::NotRowmesh(fault) => {
            Failure::new(code::NOT_ROWMESH, format!("no Rowmesh node answers at {at}")).because(fault)
        }
        DialFault::Refused(_) => Failure::not_a_member(name),
        DialFault::NoAddress => Failure::new(code::UNREACHABLE, format!("no address of {name} is known"))
            .hint("It reaches this node by itself; from here it cannot be dialled.", ""),
        _ => Failure::new(code::UNREACHABLE, format!("cannot reach {name}"))
            .hint(format!("Is it running, and is its port open? On {name}:"), "rowmesh doctor"),
    };
    let told = failure.cause.is_empty();
    let failure = if told { failure.why(error.to_string()) } else { failure };
    failure.at(at)
}

/// What came of a request to a peer that people call `name`.
pub fn request_failure(error: &RequestError, name: &str) -> Failure {
    Failure::new(code::UNREACHABLE, format!("lost {name}")).because(error)
}

/// An error and everything below it, in one line.
fn chain(mut error: Option<&(dyn std::error::Error + 'static)>) -> String {
    let mut parts: Vec<String> = Vec::new();
    while let Some(link) = error {
        let text = link.to_string();
        if parts.last().is_none_or(|last| !last.ends_with(&text)) {
            parts.push(text);
        }
        error = link.source();
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_tells_the_whole_chain_once() {
        let inner = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let error = StoreError::needs_person("RM8101", "disk is full", "free some").because(inner);
        let failure = Failure::from(error);
        assert_eq!(failure.to_string(), "[RM8101] disk is full: no such file");
        assert_eq!(failure.hints, [Hint { text: "free some".into(), command: String::new() }]);
    }

    #[test]
    fn a_taken_port_is_told_apart_from_an_address_of_another_machine() {
        let bind = |kind| BindError { address: "0.0.0.0:7696".into(), source: std::io::Error::from(kind) };
        let taken = Failure::from(bind(std::io::ErrorKind::AddrInUse));
        assert_eq!((taken.code.as_str(), taken.message.as_str()), (code::PORT_IN_USE, "port 7696 is in use"));
        let foreign = Failure::from(bind(std::io::ErrorKind::AddrNotAvailable));
        assert_eq!(foreign.code, code::CANNOT_LISTEN);
    }
}
