//! How a node comes into a mesh, from both ends. Every step may be the last before a crash: the one who lets in remembers first and lets
//! the same node ask again; the one who joins writes down that its copy is unfinished before it counts as a member.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rowmesh_core::clock::WallTime;
use rowmesh_core::exchange::Responder;
use rowmesh_core::ident::NodeId;
use rowmesh_core::invite::{Attempt, Invite, Redeemed};
use rowmesh_core::roster::{NewMember, Roster};
use rowmesh_core::sign::PublicKey;
use rowmesh_core::wire::message::{PROTOCOL_MAX, PROTOCOL_MIN, code as wire_code};
use rowmesh_core::wire::{Join, JoinReply, Refusal, Request, Response, RosterOffer};
use tracing::{info, warn};

use crate::exchanger;
use crate::failure::{Failure, code, dial_failure, request_failure};
use crate::files;
use crate::identity::NodeKey;
use crate::members::{Kept, roster_of};
use crate::options::NodeOptions;
use crate::shared::Shared;
use crate::snapshots::{self, Progress};
use crate::store_thread::StoreHandle;
use crate::transport::{Connection, DialFault, connect};

/// Who wants to be let in.
pub(crate) struct Joiner {
    pub(crate) join: Join,
    pub(crate) node: NodeId,
    pub(crate) exporter: [u8; 32],
}

/// Lets a node in, if its invite is good. The invite's use is durable first, the new member's entry follows: a crash between lets
/// the same node ask again, and nobody else.
pub(crate) async fn let_in(shared: &Arc<Shared>, joiner: Joiner) -> Result<Response, Failure> {
    let Joiner { join, node, exporter } = joiner;
    let attempt = Attempt {
        mesh: join.mesh,
        id: join.invite,
        proof: join.proof,
        joiner: node,
        inviter: shared.me(),
        exporter: &exporter,
    };
    let role = match shared.invites.redeem(&attempt, shared.clock.now())? {
        Redeemed::Ok { role, .. } => role,
        refused => {
            warn!(joiner = ?node, ?refused, "a node was not let in");
            return Ok(refusal(shared, &refused));
        }
    };
    let member = |roster: &Roster| NewMember {
        public_key: join.public_key,
        name: free_name(roster, &join.name, &node),
        role,
        addresses: join.addresses.clone(),
        invited_by: None,
    };
    let signed = shared.members.sign(|roster, signer, now| match roster.is_member(&node) {
        true => Ok(None),
        false => roster.add(signer, now, member(roster)).map(Some),
    });
    if let Err(failure) = signed.await {
        return Ok(Response::Refused(Refusal::new(wire_code::NOT_ALLOWED, failure.message)));
    }
    info!(joiner = ?node, name = join.name, "a node was let in");
    Ok(shared.view(Responder::joined))
}

/// As core words it, but with names and times that people understand.
fn refusal(shared: &Shared, why: &Redeemed) -> Response {
    let text = match why {
        Redeemed::Used { by, at } => format!("used by \"{}\" at {}", shared.members.name_of(by), time_of_day(*at)),
        Redeemed::Expired(at) => format!("expired at {}", time_of_day(*at)),
        Redeemed::Revoked(at) => format!("taken back at {}", time_of_day(*at)),
        _ => return Responder::join_refused(why),
    };
    Response::Refused(Refusal::new(wire_code::INVITE_DEAD, text))
}

/// Two nodes of one name would be one to people.
fn free_name(roster: &Roster, wanted: &str, node: &NodeId) -> String {
    let is_taken = |name: &str| roster.members().any(|(other, member)| other != node && member.name == name);
    let numbered = std::iter::once(wanted.to_owned()).chain((2..1_000).map(|nth| format!("{wanted}-{nth}")));
    numbered.into_iter().find(|name| !is_taken(name)).unwrap_or_else(|| node.short())
}

fn time_of_day(at: WallTime) -> String {
    let minutes = at.0 / 60_000 % (24 * 60);
    format!("{:02}:{:02} UTC", minutes / 60, minutes % 60)
}

/// What a node that wants to join brings along.
pub(crate) struct Applicant<'a> {
    pub(crate) key: &'a Arc<NodeKey>,
    pub(crate) options: &'a NodeOptions,
    pub(crate) store: &'a StoreHandle,
    pub(crate) addresses: Vec<String>,
}

/// Asks to be let in and takes the roster. From then on this node is a member whose copy is unfinished.
pub(crate) async fn ask_in(applicant: &Applicant<'_>, line: &str) -> Result<(Roster, Connection), Failure> {
    let invite = Invite::parse(line)?;
    let connection = reach(applicant, &invite).await?;
    let reply = hand_over(applicant, &invite, &connection).await?;
    let roster = whole_roster(&invite, reply, &connection).await?;
    let me = applicant.key.node_id();
    if !roster.is_member(&me) {
        return Err(Failure::new(code::BAD_ANSWER, "the mesh let this node in and does not name it as a member"));
    }
    Unfinished::note(&applicant.options.data, connection.peer())?;
    let kept = Kept::of(&roster, &roster.hashes(), me);
    applicant.store.write(move |store| kept.keep(store)).await?;
    Ok((roster, connection))
}

async fn reach(applicant: &Applicant<'_>, invite: &Invite) -> Result<Connection, Failure> {
    let limits = &applicant.options.client_limits;
    connect(applicant.key, invite.inviter, &invite.addresses, limits).await.map_err(|error| match error.fault() {
        DialFault::WrongNode { expected, answered } => {
            let at = &error.attempts[0].0;
            Failure::new(code::WRONG_NODE, format!("the node at {at} is not the one that made this invite"))
                .at(at.clone())
                .why(format!("invite says {}, answered {}", expected.short(), answered.short()))
                .hint("Its address may have moved to another machine, or someone is in between. Nothing was sent.", "")
                .hint("On the node that made the invite:", "rowmesh invite --addr ITS-ADDRESS:7696")
        }
        DialFault::Itself => Failure::new(code::INVITE, "this invite was made by this very node")
            .hint("Use it on another node:", "rowmesh up DB --join INVITE"),
        _ => dial_failure(&error, "the node that made this invite"),
    })
}

async fn hand_over(applicant: &Applicant<'_>, invite: &Invite, connection: &Connection) -> Result<JoinReply, Failure> {
    let key = applicant.key;
    let request = Request::Join(Box::new(Join {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL_MAX,
        mesh: invite.mesh,
        invite: invite.secret.id(),
        proof: invite.proof(&connection.exporter(), &key.node_id()),
        name: applicant.options.name.clone(),
        public_key: PublicKey(key.public_key()),
        addresses: applicant.addresses.clone(),
        schema: applicant.store.exposed().schema,
        now: applicant.options.clock.now(),
    }));
    match ask(connection, request).await? {
        Response::Joined(reply) => Ok(reply),
        Response::Refused(refusal) => Err(not_let_in(&refusal)),
        _ => Err(out_of_place()),
    }
}

/// A mesh that is old has more entries than fit into one answer.
async fn whole_roster(invite: &Invite, reply: JoinReply, connection: &Connection) -> Result<Roster, Failure> {
    let mut roster = roster_of(invite.mesh, &reply.entries)?;
    let mut more = reply.more;
    while more {
        let offer = Request::RosterOffer(RosterOffer { hashes: roster.hashes() });
        let Response::Roster(reply) = ask(connection, offer).await? else { return Err(out_of_place()) };
        let adopted = roster.adopt(&reply.entries);
        more = reply.more && !adopted.new.is_empty();
    }
    Ok(roster)
}

async fn ask(connection: &Connection, request: Request) -> Result<Response, Failure> {
    let path = request.path();
    let response = connection.request(path.as_str(), request.encode()).await;
    let response = response.map_err(|error| request_failure(&error, "the node that made this invite"))?;
    Response::decode(path, &response.body).map_err(|error| {
        Failure::new(code::BAD_ANSWER, "the node that made this invite answers what is not understood")
            .because(&error)
            .hint("Are both on versions that speak to each other?", "rowmesh version")
    })
}

fn not_let_in(refusal: &Refusal) -> Failure {
    let another = |message: String| {
        Failure::new(code::INVITE, message).hint("Invites work once. On a member of the mesh:", "rowmesh invite")
    };
    match refusal.code.as_str() {
        wire_code::INVITE_DEAD => another(format!("this invite no longer works: {}", refusal.text)),
        wire_code::INVITE_UNKNOWN => {
            another("this invite is not known to the node that made it: it was made anew, or too long ago".to_owned())
        }
        wire_code::INVITE_LOCKED => another("this invite is locked after too many wrong attempts".to_owned()),
        wire_code::OTHER_MESH => another("this invite is for another mesh than its maker belongs to now".to_owned()),
        _ => exchanger::refused(refusal, "the node that made this invite"),
    }
}

fn out_of_place() -> Failure {
    Failure::new(code::BAD_ANSWER, "the node that made this invite answers another question than was asked")
}

/// Fetches the copy, from the connection at hand or from whoever of the mesh can be reached, the sponsor first; the store's standing is
/// set and it captures nothing yet. When this returns the node is like any other.
pub(crate) async fn load(
    applicant: &Applicant<'_>,
    roster: &Roster,
    sponsor: NodeId,
    connection: Option<Connection>,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Progress, Failure> {
    let (store, options) = (applicant.store, applicant.options);
    let connection = match connection {
        Some(connection) => connection,
        None => reach_member(applicant, roster, sponsor).await?,
    };
    let name = roster.member(&connection.peer()).map_or("a member", |member| member.name.as_str());
    let loaded = snapshots::load(store, &options.clock, &connection, name, progress).await?;
    Unfinished::done(&options.data)?;
    Ok(loaded)
}

async fn reach_member(applicant: &Applicant<'_>, roster: &Roster, sponsor: NodeId) -> Result<Connection, Failure> {
    let me = applicant.key.node_id();
    let mut members: Vec<_> = roster.members().filter(|(node, _)| **node != me).collect();
    members.sort_by_key(|(node, _)| **node != sponsor);
    let mut last = Failure::new(code::UNREACHABLE, "no other member of the mesh is known");
    for (node, member) in members {
        match connect(applicant.key, *node, &member.addresses, &applicant.options.client_limits).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = dial_failure(&error, &member.name),
        }
    }
    Err(last)
}

/// The note that this node is a member whose copy has not come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// Who let it in, and has all that it lacks.
    pub(crate) sponsor: NodeId,
}

impl Unfinished {
    /// Reads the note, if there is one.
    pub(crate) fn read(data: &Path) -> Result<Option<Unfinished>, Failure> {
        let Some(bytes) = files::read(&path(data))? else { return Ok(None) };
        let sponsor = std::str::from_utf8(&bytes).ok().and_then(|text| NodeId::parse(text.trim()));
        let damaged = || {
            Failure::new(code::FILE, "the note of the unfinished copy is damaged").at(path(data).display().to_string())
        };
        sponsor.map(|sponsor| Some(Unfinished { sponsor })).ok_or_else(damaged)
    }

    fn note(data: &Path, sponsor: NodeId) -> Result<(), Failure> {
        files::write(&path(data), format!("{sponsor}\n").as_bytes())
    }

    /// The copy is whole.
    pub(crate) fn done(data: &Path) -> Result<(), Failure> {
        files::remove(&path(data))
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("loading")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowmesh_core::roster::Roster;

    #[test]
    fn two_nodes_do_not_get_one_name() {
        let key = NodeKey::from_seed(&[1; 32]);
        let roster = Roster::found(&key, "shop", "till", vec![], WallTime(1)).unwrap();
        let other = NodeId([9; 32]);
        assert_eq!(free_name(&roster, "till", &other), "till-2");
        assert_eq!(free_name(&roster, "office", &other), "office");
        assert_eq!(free_name(&roster, "till", &key.node_id()), "till", "it is its own");
    }

    #[test]
    fn times_are_told_as_people_tell_them() {
        assert_eq!(time_of_day(WallTime(14 * 3_600_000 + 5 * 60_000 + 59_999)), "14:05 UTC");
    }
}
