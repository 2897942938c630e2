//! `rowmesh demo`: three real daemons of this very program on throw-away databases, an application that writes on all three, a node that is
//! cut off, edits of the same rows on both sides, and the proof that all three end up equal. Knows no SQL: the application is crate `business`.

mod crew;
mod daemon;
mod proof;
mod stage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use business::{Customer, Desk, Seed};
use rowmesh::control::api::{Answer, Conflict, Question, Status};
use serde_json::json;

use self::crew::Crew;
use self::daemon::Daemon;
use self::proof::Proof;
use self::stage::Stage;
use crate::args::Demo;
use crate::commands::serve;
use crate::exit::{Exit, INTERRUPTED};
use crate::failure::{Outcome, failure};
use crate::render;
use crate::render::grid::{Grid, plain};
use crate::talk::Talk;
use crate::units::{plural, show_count, show_duration};

/// The three nodes. The last one is cut off.
const NAMES: [&str; 3] = ["till", "office", "depot"];
const TILL: usize = 0;
const OFFICE: usize = 1;
const DEPOT: usize = 2;

/// How long the nodes may take to be equal again.
const PATIENCE: Duration = Duration::from_secs(25);
/// Customers whose number is changed on both sides.
const CONTESTED: usize = 3;

/// Runs the demo; `Exit::Done` only if all three nodes are equal in the end.
///
/// # Errors
/// If a node cannot be started or the application is refused something: the files are kept then.
pub fn demo(talk: Talk, arguments: &Demo) -> Outcome<Exit> {
    let begun = Instant::now();
    let folder = Folder::new(arguments.keep)?;
    let stage = Stage::new(talk, arguments.headless, &NAMES);
    let play = Play { talk, stage, folder, seconds: arguments.seconds, stopped: stop_on_signal() };
    let result = play.run();
    play.stage.end();
    match &result {
        Ok(ending) if ending.proof.is_equal() => {
            play.say(&format!("All three nodes are equal. {} in all.", show_duration(begun.elapsed())))?;
        }
        Err(failure) if failure.code == INTERRUPTED => {}
        // Who looks for the mistake needs the files.
        _ => play.folder.keep(),
    }
    if play.folder.is_kept() {
        play.say(&format!("The files are in {}", play.folder.path.display()))?;
    }
    let ending = result.map_err(|error| error.at(format!("demo in {}", play.folder.path.display())))?;
    if talk.json {
        talk.document(&ending.to_json(begun.elapsed()))?;
    }
    if ending.proof.is_equal() {
        return Ok(Exit::Done);
    }
    Err(failure("RM5002", "the three nodes are not equal").why(ending.proof.difference()))
}

/// What the demo needs while it runs.
struct Play {
    talk: Talk,
    stage: Stage,
    folder: Folder,
    seconds: u64,
    stopped: Arc<AtomicBool>,
}

/// What came out.
struct Ending {
    proof: Proof,
    conflicts: Vec<Conflict>,
    actions: u64,
}

impl Play {
    fn run(&self) -> Outcome<Ending> {
        let daemons = self.start_nodes()?;
        let crew = Crew::start(&daemons)?;
        self.work(&daemons, &crew, self.half(), "all three write")?;
        let edits = self.cut_off(&daemons)?;
        self.work(&daemons, &crew, self.half(), "depot is alone")?;
        let actions = crew.stop()?;
        self.say(&format!("stopped writing after {}", plural(actions, "business action")))?;
        let apart = Proof::of(&daemons)?;
        self.say(&format!("while apart {} differ", plural(apart.differing() as u64, "table")))?;
        self.heal(&daemons)?;
        let proof = self.until_equal(&daemons)?;
        self.tell_proof(&proof)?;
        let conflicts = self.tell_conflicts(&daemons, &edits)?;
        daemons.into_iter().try_for_each(Daemon::stop)?;
        Ok(Ending { proof, conflicts, actions })
    }

    /// The first node has a company's data; the others start empty. The third joins through the second.
    fn start_nodes(&self) -> Outcome<Vec<Daemon>> {
        let paths: Vec<PathBuf> = NAMES.iter().map(|name| self.folder.path.join(format!("{name}.db"))).collect();
        let desk = Desk::create(&paths[TILL]).map_err(|error| broken("create the application's database", &error))?;
        desk.seed(&company()).map_err(|error| broken("fill the application's database", &error))?;
        drop(desk);
        let till = self.start(TILL, None)?;
        let office = self.start(OFFICE, Some(till.invite()?))?;
        let depot = self.start(DEPOT, Some(office.invite()?))?;
        self.say("depot joined through office; till learns of it by itself")?;
        Ok(vec![till, office, depot])
    }

    fn start(&self, at: usize, invite: Option<String>) -> Outcome<Daemon> {
        self.check_stopped()?;
        let how = if invite.is_some() { "joins, fetches schema and rows" } else { "begins a mesh with its data" };
        self.stage.note(at, how);
        let begun = Instant::now();
        let daemon = Daemon::start(&self.folder.path, NAMES[at], invite.as_deref())?;
        self.say(&format!("{} {how}: live after {}", NAMES[at], show_duration(begun.elapsed())))?;
        Ok(daemon)
    }

    /// Lets the application work and shows what travels.
    fn work(&self, daemons: &[Daemon], crew: &Crew, time: Duration, what: &str) -> Outcome<()> {
        self.say(&format!("{what}, for {}", show_duration(time)))?;
        let end = Instant::now() + time;
        let mut told = Instant::now();
        while Instant::now() < end {
            self.check_stopped()?;
            crew.check()?;
            let statuses = statuses(daemons)?;
            self.stage.show(&statuses, &crew.tallies());
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                self.stage.tell(&statuses, &crew.tallies())?;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// One link is cut, then the other; then the same rows are edited on both sides.
    fn cut_off(&self, daemons: &[Daemon]) -> Outcome<Vec<Edit>> {
        set_link(daemons, TILL, DEPOT, false)?;
        self.say("cut the link till ╌╌ depot: changes come round by office")?;
        self.comes_round(daemons, TILL, DEPOT)?;
        set_link(daemons, OFFICE, DEPOT, false)?;
        self.say("cut the link office ╌╌ depot: depot is alone")?;
        let edits = edit_both_sides(daemons)?;
        for edit in &edits {
            self.say(&edit.to_string())?;
        }
        Ok(edits)
    }

    fn heal(&self, daemons: &[Daemon]) -> Outcome<()> {
        set_link(daemons, TILL, DEPOT, true)?;
        set_link(daemons, OFFICE, DEPOT, true)?;
        self.say("healed both links")
    }

    /// A row that one node adds now reaches another, although the two cannot talk to each other.
    fn comes_round(&self, daemons: &[Daemon], from: usize, to: usize) -> Outcome<()> {
        let id = format!("guest-of-{}", NAMES[from]);
        let added = daemons[from].desk()?.add_customer(&id, "A guest");
        added.map_err(|error| broken("add a customer", &error))?;
        let (begun, desk) = (Instant::now(), daemons[to].desk()?);
        while desk.customer(&id).map_err(|error| broken("read a customer", &error))?.is_none() {
            self.check_stopped()?;
            if begun.elapsed() > PATIENCE {
                return Err(failure(
                    "RM5003",
                    format!("a row did not come round from {} to {}", NAMES[from], NAMES[to]),
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let time = show_duration(begun.elapsed());
        self.say(&format!("a row added on {} is on {} after {time}, by {}", NAMES[from], NAMES[to], NAMES[OFFICE]))
    }

    fn until_equal(&self, daemons: &[Daemon]) -> Outcome<Proof> {
        let begun = Instant::now();
        loop {
            self.check_stopped()?;
            let statuses = statuses(daemons)?;
            self.stage.show(&statuses, &[]);
            let is_even = |status: &Status| {
                !status.dirty
                    && status.parked == 0
                    && status.peers.iter().all(|peer| peer.they_lack + peer.we_lack == 0)
            };
            if statuses.iter().all(is_even) || begun.elapsed() > PATIENCE {
                let proof = Proof::of(daemons)?;
                if proof.is_equal() || begun.elapsed() > PATIENCE {
                    self.say(&format!("everything is everywhere {} after healing", show_duration(begun.elapsed())))?;
                    return Ok(proof);
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// What lost, and that every node tells the same.
    fn tell_conflicts(&self, daemons: &[Daemon], edits: &[Edit]) -> Outcome<Vec<Conflict>> {
        let ledgers = daemons.iter().map(ledger).collect::<Outcome<Vec<_>>>()?;
        let ids = |ledger: &[Conflict]| {
            let mut ids: Vec<String> = ledger.iter().map(|conflict| conflict.id.clone()).collect();
            ids.sort();
            ids
        };
        let same = ledgers.iter().all(|ledger| ids(ledger) == ids(&ledgers[TILL]));
        let conflicts = ledgers.into_iter().next().unwrap_or_default();
        self.say(&format!(
            "{} in the ledger, {} on all three nodes",
            plural(conflicts.len() as u64, "losing write"),
            if same { "the same" } else { "NOT the same" }
        ))?;
        for (place, count) in most_contested(&conflicts) {
            self.say(&format!("  {:>5}  {place}", show_count(count)))?;
        }
        self.say("  Users of all three changed the same stock, balances and points at once:\n  the last write stands, every other is kept.")?;
        self.say("customers whose phone both sides changed while depot was alone:")?;
        let told: Vec<(&Edit, &Conflict)> =
            edits.iter().filter_map(|edit| Some((edit, edit.entry(&conflicts)?))).collect();
        self.say(&format!("\n{}", self.both_sides(&told)))?;
        for edit in edits.iter().filter(|edit| !edit.same_column) {
            let merged =
                daemons[TILL].desk()?.customer(&edit.customer).map_err(|error| broken("read a customer", &error))?;
            let merged = merged.ok_or_else(|| failure("RM5003", "a customer that was edited is gone"))?;
            self.say(&format!("merged, as the columns differ: {}, {}", merged.name, merged.phone))?;
        }
        let missing = edits.iter().filter(|edit| edit.same_column).count() - told.len();
        match (same, missing) {
            (true, 0) => Ok(conflicts),
            (false, _) => Err(failure("RM5003", "the nodes' ledgers are not the same")),
            (true, missing) => {
                Err(failure("RM5003", format!("{missing} edits of the same value left no entry in the ledger")))
            }
        }
    }

    /// One line for each customer, no wider than a terminal of 80 columns.
    fn both_sides(&self, told: &[(&Edit, &Conflict)]) -> String {
        let mut grid = Grid::new(&["CUSTOMER", "SHOWN EVERYWHERE", "IN THE LEDGER", "ENTRY"], self.talk.out);
        for (edit, conflict) in told {
            let [shown, lost] = render::conflicts::sides(conflict);
            let entry = render::conflicts::short(&conflict.id);
            grid.row(&[plain(render::shorten(&edit.name, 13)), plain(shown), plain(lost), plain(entry)]);
        }
        grid.show()
    }

    fn tell_proof(&self, proof: &Proof) -> Outcome<()> {
        self.say(&format!("\n{}", proof.show(self.talk.out).trim_end()))
    }

    fn say(&self, text: &str) -> Outcome<()> {
        self.stage.say(text)
    }

    fn half(&self) -> Duration {
        Duration::from_secs(self.seconds) / 2
    }

    fn check_stopped(&self) -> Outcome<()> {
        if self.stopped.load(Ordering::Relaxed) { Err(failure(INTERRUPTED, "interrupted")) } else { Ok(()) }
    }
}

impl Ending {
    fn to_json(&self, time: Duration) -> serde_json::Value {
        json!({
            "equal": self.proof.is_equal(),
            "actions": self.actions,
            "seconds": time.as_secs_f64(),
            "conflicts": self.conflicts,
            "tables": self.proof.to_json(),
        })
    }
}

/// A company of a size that is copied in a moment on any machine.
fn company() -> Seed {
    let smaller =
        Seed { businesses: 2, users: 12, employees: 8, customers: 24, products: 30, orders: 40, ..Seed::new(1) };
    Seed { messages: 20, days: 8, ..smaller }.without_demo_data()
}

/// The same customer, edited on both sides of the cut.
struct Edit {
    customer: String,
    name: String,
    same_column: bool,
    /// What the two sides wrote.
    phones: [String; 2],
}

impl Edit {
    /// The entry of the side that lost. The users may have changed the same customer in other ways.
    fn entry<'a>(&self, conflicts: &'a [Conflict]) -> Option<&'a Conflict> {
        let wrote = |value: &Option<serde_json::Value>| {
            value
                .as_ref()
                .and_then(|value| value.as_str())
                .is_some_and(|phone| self.phones.iter().any(|it| it == phone))
        };
        let is_it = |conflict: &&Conflict| {
            conflict.column.as_deref() == Some("phone")
                && conflict.key.contains(&self.customer)
                && wrote(&conflict.losing.value)
        };
        conflicts
            .iter()
            .filter(is_it)
            .max_by_key(|conflict| wrote(&conflict.winning.value))
            .filter(|_| self.same_column)
    }
}

impl std::fmt::Display for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.same_column {
            "till and depot both change the phone"
        } else {
            "till changes the name, depot the phone"
        };
        write!(f, "  {}: {what}", self.name)
    }
}

/// Where most writes lost, as `table.column`.
fn most_contested(conflicts: &[Conflict]) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for conflict in conflicts {
        let place = format!("{}.{}", conflict.table, conflict.column.as_deref().unwrap_or("(row)"));
        *counts.entry(place).or_default() += 1;
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(PLACES_TOLD);
    counts
}

fn edit_both_sides(daemons: &[Daemon]) -> Outcome<Vec<Edit>> {
    let (till, depot) = (daemons[TILL].desk()?, daemons[DEPOT].desk()?);
    let customers = till.customers(CONTESTED as u32 + 1).map_err(|error| broken("read the customers", &error))?;
    let edit = |(at, customer): (usize, Customer)| -> Result<Edit, business::Error> {
        let same_column = at < CONTESTED;
        let phones = [format!("+263 71 000 00{at}1"), format!("+263 78 000 00{at}2")];
        if same_column {
            till.change_phone(&customer.id, &phones[0])?;
        } else {
            till.change_name(&customer.id, &format!("{} (moved)", customer.name))?;
        }
        depot.change_phone(&customer.id, &phones[1])?;
        Ok(Edit { customer: customer.id, name: customer.name, same_column, phones })
    };
    let edits: Result<Vec<Edit>, business::Error> = customers.into_iter().enumerate().map(edit).collect();
    edits.map_err(|error| broken("edit a customer", &error))
}

/// Cuts or mends a link at both its ends.
fn set_link(daemons: &[Daemon], a: usize, b: usize, open: bool) -> Outcome<()> {
    for (here, there) in [(a, b), (b, a)] {
        let peer = Some(NAMES[there].to_owned());
        let question = if open { Question::Resume { peer } } else { Question::Pause { peer, for_ms: None } };
        daemons[here].ask(&question)?;
    }
    Ok(())
}

fn statuses(daemons: &[Daemon]) -> Outcome<Vec<Status>> {
    daemons.iter().map(Daemon::status).collect()
}

fn ledger(daemon: &Daemon) -> Outcome<Vec<Conflict>> {
    match daemon.ask(&Question::Conflicts { all: true, limit: LEDGER_MAX })? {
        Answer::Conflicts { conflicts } => Ok(conflicts),
        other => Err(crate::context::unexpected(&other)),
    }
}

/// The application was refused something, which Rowmesh must never cause.
fn broken(doing: &str, error: &business::Error) -> rowmesh::failure::Failure {
    failure("RM5003", format!("the demo could not {doing}")).because(error)
}

/// Ctrl-C ends the demo in order: daemons stopped, files gone.
fn stop_on_signal() -> Arc<AtomicBool> {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = stopped.clone();
    std::thread::spawn(move || {
        if let Ok(runtime) = serve::runtime() {
            runtime.block_on(serve::interrupted());
            flag.store(true, Ordering::Relaxed);
        }
    });
    stopped
}

/// Where the demo's files lie: gone afterwards, unless they are to be kept.
struct Folder {
    path: PathBuf,
    kept: AtomicBool,
    guard: std::sync::Mutex<Option<tempfile::TempDir>>,
}

impl Folder {
    fn new(keep: bool) -> Outcome<Folder> {
        let made = tempfile::Builder::new().prefix("rowmesh-demo-").tempdir();
        let guard =
            made.map_err(|error| rowmesh::failure::Failure::file("make a folder", &std::env::temp_dir(), &error))?;
        let folder = Folder { path: guard.path().to_owned(), kept: AtomicBool::new(false), guard: Some(guard).into() };
        if keep {
            folder.keep();
        }
        Ok(folder)
    }

    fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
        if let Some(guard) = self.guard.lock().ok().and_then(|mut guard| guard.take()) {
            let _ = guard.keep();
        }
    }

    fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(150);
const TELL_EVERY: Duration = Duration::from_secs(2);
const LEDGER_MAX: usize = 10_000;
const PLACES_TOLD: usize = 5;
