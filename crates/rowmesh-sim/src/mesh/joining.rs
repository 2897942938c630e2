//! How a node comes into a mesh of the simulator: invite, roster, snapshot, with the shipped messages, frames and loading. It may be cut short
//! at every message by a lost one, a broken link or the death of either side. What connections and files do in a real node is played here.

use rowmesh_core::clock::WallTime;
use rowmesh_core::exchange::Responder;
use rowmesh_core::ident::Digest;
use rowmesh_core::invite::{Attempt, Invite, InviteRecord, InviteSecret, Redeemed};
use rowmesh_core::limits;
use rowmesh_core::roster::{NewMember, Role, Roster};
use rowmesh_core::sign::Signer;
use rowmesh_core::store::Store;
use rowmesh_core::wire::message::{PROTOCOL_MAX, PROTOCOL_MIN};
use rowmesh_core::wire::{FrameKind, FrameReader, Join, Request, Response, SnapshotRequest, write_frame};

use super::node::Stage;
use super::oracle;
use super::world::{Happening, World};

/// How often a node that is not in yet asks again, unless something came meanwhile.
const ASK_MS: u64 = 20_000;
/// Keying material that both ends of a connection know.
const EXPORTER: [u8; 32] = [9; 32];

/// A node on its way in.
pub struct Application {
    sponsor: usize,
    invite: Invite,
    /// What the sponsor keeps of the invite, in a file.
    record: InviteRecord,
    /// The copy that is coming in, and which piece of it comes next.
    stream: Option<(u64, u64)>,
    /// Whether anything came since it last asked.
    moved: bool,
}

impl World {
    /// A person sets a new node up: the database is attached, and a member makes an invite.
    pub(super) fn come(&mut self, node: usize) {
        let members: Vec<usize> = (0..self.nodes.len()).filter(|other| self.nodes[*other].stage == Stage::In).collect();
        let sponsor = *self.rng.pick(&members);
        let secret = InviteSecret::new([node as u8; 16]);
        let mesh = self.mesh;
        let expires = WallTime(limits::NUMBER_MAX);
        let inviter = self.nodes[sponsor].id();
        let invite = Invite { mesh, inviter, addresses: vec![], secret, expires, role: Role::Peer };
        let record = invite.record(1);
        let application = Application { sponsor, invite, record, stream: None, moved: false };
        self.applications.insert(node, application);
        // Either its application ran its migrations, and writes already, or the tables come with the copy.
        if self.rng.chance(50) {
            self.make_schema(node);
            self.plan_write(node);
        }
        self.nodes[node].stage = Stage::Outside;
        self.start(node);
    }

    /// Does what a node that is not in does next.
    pub(super) fn ask(&mut self, node: usize, life: u64) {
        if self.nodes[node].life != life || self.nodes[node].stage == Stage::In {
            return;
        }
        self.plan(ASK_MS, Happening::Ask { node, life });
        let Some(application) = self.applications.get_mut(&node) else { return };
        if std::mem::take(&mut application.moved) {
            return;
        }
        application.stream = None;
        match self.nodes[node].stage {
            Stage::Loading => self.ask_for_a_copy(node),
            _ => self.ask_in(node),
        }
    }

    fn ask_in(&mut self, node: usize) {
        let Application { sponsor, invite, .. } = &self.applications[&node];
        let key = &self.nodes[node].key;
        let join = Join {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            mesh: invite.mesh,
            invite: invite.secret.id(),
            proof: invite.proof(&EXPORTER, &key.node_id()),
            name: format!("node-{node}"),
            public_key: key.public_key(),
            addresses: vec![],
            schema: Digest::default(),
            now: self.wall(node),
        };
        self.send(node, *sponsor, &Request::Join(Box::new(join)));
    }

    /// The sponsor's side: the invite's use is noted first, the new member's entry follows.
    pub(super) fn let_in(&mut self, sponsor: usize, joiner: usize, join: &Join) -> Response {
        let now = self.wall(sponsor);
        let id = self.nodes[joiner].id();
        let attempt = Attempt {
            mesh: join.mesh,
            id: join.invite,
            proof: join.proof,
            joiner: id,
            inviter: self.nodes[sponsor].id(),
            exporter: &EXPORTER,
        };
        // What was asked twice may come after all is over: nobody waits for the answer.
        let Some(application) = self.applications.get_mut(&joiner) else {
            return Responder::join_refused(&Redeemed::Unknown);
        };
        let role = match application.record.redeem(now, &attempt) {
            Redeemed::Ok { role, .. } => role,
            refused => panic!("a good invite is refused: {refused:?}"),
        };
        let member = NewMember {
            public_key: join.public_key,
            name: join.name.clone(),
            role,
            addresses: vec![],
            invited_by: None,
        };
        let node = &mut self.nodes[sponsor];
        let roster = node.roster().expect("only members answer");
        if !roster.is_member(&id) {
            let entry = roster.add(&*node.key, now, member).expect("members may let others in");
            node.adopt_roster(&[entry.bytes().clone()], now);
            self.follow_roster(sponsor);
        }
        self.nodes[sponsor].with_view(now, Responder::joined).expect("it answers")
    }

    /// The joiner's side: from here it is a member whose copy is unfinished.
    pub(super) fn joined(&mut self, node: usize, life: u64, response: Response) {
        if self.nodes[node].life != life || self.nodes[node].stage != Stage::Outside {
            return;
        }
        let Response::Joined(reply) = response else { panic!("node {node} was not let in: {response:?}") };
        assert!(!reply.more, "rosters here are small");
        let roster = Roster::from_entries(self.applications[&node].invite.mesh, &reply.entries);
        let now = self.wall(node);
        self.nodes[node].enter(roster.expect("a member sends a whole roster"), Stage::Loading, now);
        self.ask_for_a_copy(node);
    }

    /// Asks the sponsor or, as good, any other member.
    fn ask_for_a_copy(&mut self, node: usize) {
        let me = self.nodes[node].id();
        let roster = self.nodes[node].roster().expect("it was let in");
        let members: Vec<usize> = (0..self.nodes.len())
            .filter(|other| self.nodes[*other].id() != me && roster.is_member(&self.nodes[*other].id()))
            .collect();
        let source = *self.rng.pick(&members);
        let request = SnapshotRequest { schema: Digest::default(), mark: vec![], max_bytes: limits::NUMBER_MAX };
        self.send(node, source, &Request::Snapshot(request));
    }

    fn send(&mut self, from: usize, to: usize, request: &Request) {
        self.requests += 1;
        let (id, life, path, body) = (self.requests, self.nodes[from].life, request.path(), request.encode());
        self.transmit(from, to, &|| Happening::Request { from, life, to, id, path, body: body.clone() });
    }

    /// The source's side. The whole copy is read at once: a database in memory has no WAL that would let others write meanwhile.
    /// Its pieces arrive in order, as those of one stream do, and somewhere the stream may break off.
    pub(super) fn send_copy(&mut self, from: usize, to: usize, to_life: u64) {
        self.requests += 1;
        let stream = self.requests;
        let Some(pieces) = self.read_copy(from) else { return };
        let from_life = self.nodes[from].life;
        let mut delay = 0;
        for (position, bytes) in (0..).zip(pieces) {
            if self.rng.chance(self.faults.loss / 4) {
                return;
            }
            delay += self.rng.between(1, self.faults.delay_ms) as u64;
            self.plan(delay, Happening::Piece { from, from_life, to, to_life, at: (stream, position), bytes });
        }
    }

    fn read_copy(&self, from: usize) -> Option<Vec<Vec<u8>>> {
        let daemon = self.nodes[from].daemon.as_ref()?;
        let vector = daemon.store.borrow().position().vector;
        let stable = daemon.acks.stable(daemon.roster.as_ref()?, &vector);
        let mut source = daemon.store.borrow_mut().snapshot(&stable).expect("a copy can be read");
        let framed = |kind, payload: &[u8]| {
            let mut frame = Vec::new();
            write_frame(&mut frame, kind, payload);
            frame
        };
        let mut pieces = vec![framed(FrameKind::SnapshotStart, &source.start())];
        while let Some((chunk, _)) = source.next_chunk().expect("a copy can be read") {
            pieces.push(framed(FrameKind::SnapshotChunk, &chunk));
        }
        pieces.push(framed(FrameKind::SnapshotEnd, &source.end()));
        Some(pieces)
    }

    /// A piece of a copy arrives. What belongs to a stream that was given up, or to a life that is over, is nobody's.
    pub(super) fn take_piece(&mut self, from: usize, to: usize, at: (u64, u64), bytes: &[u8], both_live: bool) {
        self.note(bytes);
        self.overhear(bytes);
        self.messages += 1;
        if self.broken.contains(&(from, to)) || !both_live || self.nodes[to].stage != Stage::Loading {
            return;
        }
        let Some(application) = self.applications.get_mut(&to) else { return };
        let Some((kind, payload)) = application.take(at, bytes) else { return };
        let now = self.wall(to);
        let source = self.nodes[from].id();
        let had_tables = oracle::has_tables(&self.nodes[to].app, &self.workload);
        self.draw_fault(to);
        let loaded = self.nodes[to].call_store(|store| match kind {
            FrameKind::SnapshotStart => store.load_begin(&payload, source, now),
            FrameKind::SnapshotChunk => store.load_chunk(&payload, now).map(drop),
            _ => store.load_finish(&payload, now),
        });
        if loaded.is_none() {
            // A copy that breaks off begins anew.
            self.applications.get_mut(&to).expect("it was there a moment ago").stream = None;
        }
        if !had_tables && oracle::has_tables(&self.nodes[to].app, &self.workload) {
            self.plan_write(to);
        }
        if loaded.is_some() && kind == FrameKind::SnapshotEnd {
            self.joins += 1;
            self.applications.remove(&to);
            self.nodes[to].stage = Stage::In;
            self.take_up(to);
        }
    }
}

impl Application {
    /// The frame that a piece is, if it is the next of the copy that is coming in. A copy that begins takes the place of the one before.
    fn take(&mut self, (stream, position): (u64, u64), bytes: &[u8]) -> Option<(FrameKind, Vec<u8>)> {
        let begins = position == 0 && self.stream.is_none_or(|(before, _)| before < stream);
        if !begins && self.stream != Some((stream, position)) {
            return None;
        }
        self.stream = Some((stream, position + 1));
        self.moved = true;
        let mut reader = FrameReader::new();
        reader.push(bytes);
        let frame = reader.next_frame().expect("the frame can be read").expect("the frame is whole");
        Some((frame.kind, frame.payload))
    }
}
