//! The embeddable node: opened over a database, brought into a mesh, started, asked, stopped. Several may live in one process: nothing
//! is global. Needs a tokio runtime from [`Node::start`] on.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::{Incarnation, NodeId};
use rowmesh_core::policy::ColumnPolicy;
use rowmesh_core::roster::{Roster, TablePolicy};
use rowmesh_core::store::{Store, StoreError, StoreErrorKind, StoreResult};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::control::api::{Answer, Question, Status};
use crate::control::server::{Asked, ControlServer};
use crate::daemon::{Daemon, Mouths, Wake};
use crate::database::{self, Place};
use crate::failure::{Failure, code};
use crate::high_water::{HighWater, Machine};
use crate::identity::{KEY_FILE, NodeKey};
use crate::invites::Invites;
use crate::joining::{self, Applicant, Unfinished};
use crate::lock::Lock;
use crate::members::{Kept, Members, kept_roster, standing};
use crate::options::NodeOptions;
use crate::peers::PeerBook;
use crate::port::KeptPort;
use crate::random::random;
use crate::responder::Door;
use crate::shared::{Parts, Shared};
use crate::snapshots::Progress;
use crate::store_thread::{Noticed, StoreHandle, StoreThread};
use crate::transport::Server;
use crate::wishes;

/// A node over its database: it notes changes, and neither seals nor exchanges anything yet.
#[derive(Debug)]
pub struct Node {
    options: NodeOptions,
    key: Arc<NodeKey>,
    thread: StoreThread,
    notices: mpsc::UnboundedReceiver<Noticed>,
    database: String,
    /// Why the database goes on under a new incarnation, if it does.
    renewed: Option<Failure>,
    locks: Vec<Lock>,
}

/// A node at work. Dropping it stops it roughly; [`RunningNode::stop`] is kinder.
#[derive(Debug)]
pub struct RunningNode {
    shared: Arc<Shared>,
    questions: mpsc::Sender<Asked>,
    daemon: DaemonTask,
    control: ControlServer,
    thread: StoreThread,
    locks: Vec<Lock>,
}

/// Ends with whoever holds it.
#[derive(Debug)]
struct DaemonTask(JoinHandle<()>);

impl Drop for DaemonTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What joining brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// What the mesh is called.
    pub mesh: String,
    /// What this node is called in it.
    pub name: String,
    /// Rows that came with the initial copy.
    pub rows: u64,
}

impl Node {
    /// Opens the database that the options name, attaching to it if that has not been done.
    ///
    /// # Errors
    /// If the settings, the key, the locks or the database do not allow it.
    pub fn open(options: NodeOptions) -> Result<Node, Failure> {
        let place = Place::of(&options.database)?;
        let options = NodeOptions { look: options.look.min(place.look_interval()), ..options };
        let attach = database::attach_options(&options);
        let opener =
            |node: NodeId, incarnation: Incarnation, _: WallTime| patiently(|| place.open(&attach, node, incarnation));
        // What is wrong with the database is told before a key or a lock is made for it.
        patiently(|| place.check())?;
        let file = place.file().map(Path::to_owned);
        Node::over(options, file.as_deref(), opener)
    }

    /// Opens any store. `file` is what no other daemon may have open, where the database is a file; `open` is given the node, the
    /// incarnation for a database that has none, and the time.
    ///
    /// # Errors
    /// If the settings, the key, the locks or the store do not allow it.
    pub fn over(
        options: NodeOptions,
        file: Option<&Path>,
        open: impl FnOnce(NodeId, Incarnation, WallTime) -> StoreResult<Box<dyn Store>>,
    ) -> Result<Node, Failure> {
        options.check()?;
        let key = Arc::new(NodeKey::load_or_create(&options.data)?);
        let mut locks = vec![Lock::data_folder(&options.data)?];
        locks.extend(file.map(Lock::database).transpose()?);
        let high_water = HighWater::open(&options.data, Machine::of_key_file(&options.data.join(KEY_FILE))?)?;
        let offered = high_water.next_incarnation(Incarnation::default(), random()?);
        let mut store = open(key.node_id(), offered, options.clock.now())?;
        let renewed = judge(&mut *store, &high_water, &key, offered)?;
        let database = store.describe();
        let (thread, notices) = StoreThread::start(store, high_water, options.clock.clone(), options.look)?;
        Ok(Node { options, key, thread, notices, database, renewed, locks })
    }

    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.key.node_id()
    }

    /// Kind, version, name and mode of the database, for people.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The name of the mesh that this node belongs to, if it belongs to one.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn mesh(&self) -> Result<Option<String>, Failure> {
        Ok(self.roster().await?.map(|roster| roster.mesh_name().to_owned()))
    }

    /// Founds a mesh with this node as its first member and admin. What does not travel is taken from the options.
    ///
    /// # Errors
    /// If the node belongs to a mesh already, a name cannot be, or the database cannot be written.
    pub async fn found_mesh(&self, mesh_name: &str) -> Result<(), Failure> {
        if let Some(roster) = self.roster().await? {
            return Err(has_mesh(&roster));
        }
        let (options, now) = (&self.options, self.options.clock.now());
        let addresses = advertised(options, None);
        let mut roster = Roster::found(&*self.key, mesh_name, &options.name, addresses, now)?;
        let tables = self.store().read(|store| store.tables(false)).await?;
        let tables = tables.into_iter().map(|table| table.name).collect();
        if let Some(scope) = wishes::wanted_scope(options, None, tables) {
            let entry = roster.set_scope(&*self.key, now, scope)?;
            roster.insert(entry.bytes())?;
        }
        for (table, columns) in self.store().read(|store| Ok(store.touched_columns())).await? {
            let columns =
                columns.iter().map(|column| (column.to_string(), ColumnPolicy::Max.spell(NodeId::to_string))).collect();
            let policy = TablePolicy { table: table.to_string(), columns, ..TablePolicy::default() };
            let entry = roster.set_policy(&*self.key, now, policy)?;
            roster.insert(entry.bytes())?;
        }
        // A scope that is not understood is told now, not when rows have left.
        standing(&self.key, &roster)?;
        let kept = Kept::of(&roster, &roster.hashes(), self.id());
        self.store().write(move |store| kept.keep(store)).await?;
        info!(mesh = mesh_name, "founded a mesh");
        Ok(())
    }

    /// Joins the mesh of an invite and loads its rows. If that breaks off after this node was let in, it is a member whose copy is
    /// unfinished: joining again, or starting, goes on with the copy.
    ///
    /// # Errors
    /// If the invite does not work, the database holds rows already, or the copy breaks off.
    pub async fn join(&self, invite: &str, progress: impl Fn(Progress) + Send + Sync) -> Result<Joined, Failure> {
        let applicant = self.applicant();
        let (roster, connection) = match self.roster().await? {
            Some(roster) if Unfinished::read(&self.options.data)?.is_some() => (roster, None),
            Some(roster) => return Err(has_mesh(&roster)),
            None => {
                self.refuse_rows().await?;
                let (roster, connection) = joining::ask_in(&applicant, invite).await?;
                (roster, Some(connection))
            }
        };
        let sponsor = Unfinished::read(&self.options.data)?.map_or_else(|| self.id(), |note| note.sponsor);
        let standing = standing(&self.key, &roster)?;
        self.store().set_standing(standing).await?;
        let loaded = joining::load(&applicant, &roster, sponsor, connection, &progress).await?;
        let name = roster.member(&self.id()).map_or_else(String::new, |member| member.name.clone());
        info!(mesh = roster.mesh_name(), name, rows = loaded.rows, "joined a mesh");
        Ok(Joined { mesh: roster.mesh_name().to_owned(), name, rows: loaded.rows })
    }

    /// Listens, captures, exchanges, until it is stopped.
    ///
    /// # Errors
    /// If the node belongs to no mesh, the address is taken, or something it needs cannot be had.
    pub async fn start(self) -> Result<RunningNode, Failure> {
        let roster = self.roster().await?.ok_or_else(no_mesh)?;
        let Node { options, key, thread, notices, database, renewed, locks } = self;
        let store = thread.handle().clone();
        let unfinished = Unfinished::read(&options.data)?;
        let members = Members::open(key.clone(), store.clone(), options.clock.clone(), roster).await?;
        members.stand().await?;
        store.set_capturing(unfinished.is_none()).await?;
        let mut book = PeerBook::open(&options.data);
        book.notices.extend(renewed.map(|failure| ("lives".to_owned(), failure)));
        let (wake, wakes) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(Parts {
            key,
            invites: Invites::open(&options.data)?,
            options,
            store,
            members,
            database,
            wake,
            book,
            loading: unfinished.map(|_| "not begun".to_owned()),
        }));
        let server = listen(&shared).await?;
        if let Some(server) = &server {
            *shared.listening.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(server.local_address());
        }
        settle(&shared, server.as_ref().map(Server::local_address)).await?;
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let control = ControlServer::open(&shared.options.socket_path(), questions.clone())?;
        let daemon = Daemon::new(shared.clone(), Mouths { wakes, notices, questions: asked, server });
        let daemon = DaemonTask(tokio::spawn(daemon.run()));
        Ok(RunningNode { shared, questions, daemon, control, thread, locks })
    }

    fn store(&self) -> &StoreHandle {
        self.thread.handle()
    }

    async fn roster(&self) -> Result<Option<Roster>, Failure> {
        kept_roster(self.store()).await
    }

    fn applicant(&self) -> Applicant<'_> {
        let addresses = advertised(&self.options, None);
        Applicant { key: &self.key, options: &self.options, store: self.store(), addresses }
    }

    /// Told before the invite is used up. Rows that are here would have to be merged with those of the mesh, and which of two equal keys
    /// is right nobody but a person can say.
    async fn refuse_rows(&self) -> Result<(), Failure> {
        let tables = self.store().read(|store| store.tables(true)).await?;
        let full: Vec<String> = tables
            .into_iter()
            .filter(|table| table.synced && table.rows.is_some_and(|rows| rows > 0))
            .map(|table| format!("{} ({} rows)", table.name, table.rows.unwrap_or(0)))
            .collect();
        if full.is_empty() {
            return Ok(());
        }
        Err(Failure::new(code::HAS_ROWS, format!("this database holds rows already, in {} tables", full.len()))
            .at(self.database.clone())
            .why(full.join(", "))
            .hint("Join with an empty database; its rows come from the mesh:", "rowmesh up new.db --join INVITE"))
    }
}

impl RunningNode {
    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.shared.me()
    }

    /// Where it listens; `None` if it only calls others.
    pub fn listening(&self) -> Option<SocketAddr> {
        *self.shared.listening.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Where its control socket lies.
    pub fn socket(&self) -> PathBuf {
        self.shared.options.socket_path()
    }

    /// Asks what the command line may ask.
    ///
    /// # Errors
    /// If it cannot be answered.
    pub async fn ask(&self, question: Question) -> Result<Answer, Failure> {
        let (reply, answer) = oneshot::channel();
        let ending = || Failure::new(code::NOT_RUNNING, "the node is stopping");
        self.questions.send(Asked { question, reply }).await.map_err(|_| ending())?;
        match answer.await.map_err(|_| ending())? {
            Answer::Failed(failure) => Err(failure),
            answer => Ok(answer),
        }
    }

    /// Is everything everywhere?
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn status(&self) -> Result<Status, Failure> {
        match self.ask(Question::Status).await? {
            Answer::Status(status) => Ok(status),
            _ => Err(Failure::bug("a question for the status was answered with something else")),
        }
    }

    /// Why the node hangs, if it does: for a watchdog that restarts it (H13).
    pub fn stuck(&self) -> Option<Failure> {
        if self.daemon.0.is_finished() {
            return Some(Failure::bug("the daemon's loop has ended"));
        }
        let busy = self.shared.store.busy_for();
        let silent = self
            .shared
            .started
            .elapsed()
            .saturating_sub(Duration::from_millis(self.shared.beat.load(Ordering::Relaxed)));
        let hangs = |what: &str, since: Duration| {
            Failure::bug(format!("{what} has been at one thing for {} s", since.as_secs()))
        };
        match self.shared.options.watchdog {
            patience if busy > patience => Some(hangs("the store's thread", busy)),
            patience if silent > patience + LOOP_TURN => Some(hangs("the daemon's loop", silent)),
            _ => None,
        }
    }

    /// Waits until somebody has asked the node to stop, by [`Question::Stop`].
    pub async fn ended(&mut self) {
        // A second wait would panic in tokio; there is nothing to wait for then.
        if !self.daemon.0.is_finished()
            && let Err(error) = (&mut self.daemon.0).await
        {
            warn!(%error, "the daemon's loop broke off");
        }
    }

    /// Finishes the transaction at hand and ends, within five seconds whatever is under way.
    pub async fn stop(mut self) {
        self.shared.wake(Wake::Stop);
        if tokio::time::timeout(STOP_PATIENCE, self.ended()).await.is_err() {
            warn!("the daemon's loop did not end in time and is cut off");
        }
        let RunningNode { control, thread, locks, daemon, .. } = self;
        drop((control, daemon));
        let ended = tokio::task::spawn_blocking(move || {
            thread.stop();
            drop(locks);
        });
        if let Err(error) = ended.await {
            warn!(%error, "the store's thread could not be ended");
        }
    }
}

/// Another program may be in the middle of a transaction: that passes.
fn patiently<T>(mut work: impl FnMut() -> StoreResult<T>) -> StoreResult<T> {
    let deadline = Instant::now() + OPEN_PATIENCE;
    loop {
        match work() {
            Err(error) if error.kind == StoreErrorKind::Transient && Instant::now() < deadline => {
                std::thread::sleep(OPEN_PAUSE);
            }
            Err(error) if error.kind == StoreErrorKind::Transient => {
                let remedy = "end the transaction of the program that holds the database, then try again".to_owned();
                return Err(StoreError { remedy, ..error });
            }
            done => return done,
        }
    }
}

/// How long to wait for a database that others have locked when it is opened,
const OPEN_PATIENCE: Duration = Duration::from_secs(10);
/// and between two attempts.
const OPEN_PAUSE: Duration = Duration::from_millis(50);
/// Questions that wait for the daemon.
const QUESTIONS_MAX: usize = 64;
/// The daemon's loop comes round once a second when nothing happens.
const LOOP_TURN: Duration = Duration::from_secs(2);
/// Longer than the daemon's own grace.
const STOP_PATIENCE: Duration = Duration::from_millis(4_500);

/// Whether the database may go on as it is, and what to tell people if it may not: then it has a new incarnation already.
fn judge(
    store: &mut dyn Store,
    high_water: &HighWater,
    key: &NodeKey,
    offered: Incarnation,
) -> Result<Option<Failure>, Failure> {
    let position = store.position();
    if position.origin.node != key.node_id() {
        return Err(Failure::new(code::OTHER_NODES_DATABASE, "this database belongs to another node")
            .at(store.describe())
            .why(format!("it is {}'s, this node is {}", position.origin.node.short(), key.node_id().short()))
            .hint("Start with the data folder that belongs to it:", "rowmesh run --data FOLDER")
            .hint("Or, if it is a copy, free it first:", "rowmesh uninstall DB"));
    }
    let own = position.vector.get(&position.origin);
    let Some(distrust) = high_water.judge(&position.origin, own, offered) else { return Ok(None) };
    let next = high_water.next_incarnation(position.origin.incarnation, random()?);
    store.renew_incarnation(next)?;
    warn!(%distrust, incarnation = %next, "the database goes on under a new incarnation");
    Ok(Some(
        Failure::new(code::RESTORED, distrust.to_string())
            .why("it goes on under a new incarnation and fetches from its peers what it lost")
            .hint(
                "Nothing to do, unless the disk was cloned: then, on the copy:",
                "rowmesh up new.db --name NEW --join INVITE",
            ),
    ))
}

async fn listen(shared: &Arc<Shared>) -> Result<Option<Server>, Failure> {
    let Some(address) = &shared.options.listen else { return Ok(None) };
    let door = Arc::new(Door(shared.clone()));
    let bind = |address: String| {
        let (key, door, limits) = (shared.key.clone(), door.clone(), shared.options.server_limits.clone());
        async move { Server::bind(&address, &key, door, limits).await }
    };
    let Some(kept) = KeptPort::of(address, &shared.options.data) else {
        return Ok(Some(bind(address.clone()).await?));
    };
    let again = match kept.last() {
        Some(last) => bind(last).await.ok(),
        None => None,
    };
    let server = match again {
        Some(server) => server,
        None => bind(address.clone()).await?,
    };
    kept.keep(server.local_address().port());
    Ok(Some(server))
}

/// Tells the mesh where this node is reached now and, if it is an admin, what its options newly say about what travels.
async fn settle(shared: &Arc<Shared>, local: Option<SocketAddr>) -> Result<(), Failure> {
    let me = shared.me();
    let addresses = advertised(&shared.options, local);
    let moved = shared.members.sign(|roster, signer, now| match roster.member(&me) {
        Some(member) if member.addresses != addresses => roster.set_addresses(signer, now, addresses).map(Some),
        _ => Ok(None),
    });
    moved.await?;
    wishes::settle(shared).await
}

/// Where others reach this node: what the options say, else what follows from where it listens.
fn advertised(options: &NodeOptions, local: Option<SocketAddr>) -> Vec<String> {
    if !options.advertise.is_empty() {
        return options.advertise.clone();
    }
    let named: Option<SocketAddr> = options.listen.as_ref().and_then(|listen| listen.parse().ok());
    let Some(address) = local.or(named).filter(|address| address.port() != 0) else { return Vec::new() };
    if !address.ip().is_unspecified() {
        return vec![address.to_string()];
    }
    let own = own_ip(address.is_ipv6()).or_else(|| own_ip(false)).unwrap_or(IpAddr::from([127, 0, 0, 1]));
    vec![SocketAddr::new(own, address.port()).to_string()]
}

/// The address of this machine on the way out. Nothing is sent: the system only looks which way it would go.
fn own_ip(v6: bool) -> Option<IpAddr> {
    let (any, documentation) = if v6 { ("[::]:0", "[2001:db8::1]:9") } else { ("0.0.0.0:0", "192.0.2.1:9") };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(documentation).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

fn no_mesh() -> Failure {
    Failure::new(code::NO_MESH, "this node belongs to no mesh yet")
        .hint("Begin one:", "rowmesh up DB")
        .hint("Or join one:", "rowmesh up DB --join INVITE")
}

fn has_mesh(roster: &Roster) -> Failure {
    Failure::new(code::HAS_MESH, format!("this node belongs to mesh \"{}\" already", roster.mesh_name()))
        .hint("Look at it:", "rowmesh status")
        .hint("To change meshes, leave this one first:", "rowmesh uninstall")
}
