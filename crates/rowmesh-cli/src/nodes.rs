//! Which node of this machine is meant, and what its folder remembers of its set-up. Keys, locks and sockets are the node's own business.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rowmesh::failure::Failure;
use rowmesh::setup;

use crate::args::Everywhere;
use crate::config::database::{self, Database};
use crate::config::whereabouts::Whereabouts;
use crate::config::{Config, Source, Value, example};
use crate::failure::{Outcome, failure};
use crate::paths;

/// A node's folder, whether there is anything in it yet or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder of its key and state.
    pub folder: PathBuf,
    /// Its name.
    pub name: String,
    /// Where it can be asked while it runs.
    pub socket: PathBuf,
    /// What its set-up left.
    pub remembered: Option<Remembered>,
}

/// What `rowmesh run` needs to start a node again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The node's name.
    pub name: String,
    /// Its database.
    pub database: Whereabouts,
    /// Where it listens, if it was told.
    pub listen: Option<String>,
    /// Its further addresses.
    pub advertise: Vec<String>,
}

/// The file in a node's folder that remembers.
const FILE: &str = "node.toml";

impl Remembered {
    /// Reads what a folder remembers; `None` where no set-up was finished.
    ///
    /// # Errors
    /// RM8201 if the file is there and cannot be read or understood.
    pub fn read(folder: &Path) -> Outcome<Option<Remembered>> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::file("read what the node remembers", &path, &error)),
        };
        let parsed: Option<Remembered> = text.parse::<toml::Table>().ok().as_ref().and_then(from_table);
        parsed.map(Some).ok_or_else(|| {
            failure("RM8201", "what the node remembers of its set-up is damaged")
                .at(path.display().to_string())
                .hint("Set it up again; key and database stay as they are:", "rowmesh up shop.db")
        })
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// RM8201 if the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Outcome<()> {
        let path = folder.join(FILE);
        let draft = folder.join("node.toml.new");
        let written = write_private(&draft, &self.to_text()).and_then(|()| std::fs::rename(&draft, &path));
        written.map_err(|error| Failure::file("write what the node remembers", &path, &error))
    }

    fn to_text(&self) -> String {
        let listen = self.listen.as_ref().map(|listen| format!("listen = {}\n", example::quoted(listen)));
        let advertise: Vec<String> = self.advertise.iter().map(|address| example::quoted(address)).collect();
        format!(
            "# What `rowmesh run` needs to start this node again. Settings belong into rowmesh.toml: what stands there counts.\n\
             name = {}\ndatabase = {}\n{}advertise = [{}]\n",
            example::quoted(&self.name),
            example::quoted(&self.database.reveal()),
            listen.unwrap_or_default(),
            advertise.join(", "),
        )
    }
}

impl Everywhere {
    /// Puts the flags that name a node above what file and environment say.
    pub fn apply(&self, config: &mut Config) {
        if let Some(data) = &self.data {
            config.set_flag("node.data", Value::Text(data.display().to_string()), "--data");
        }
        if let Some(name) = &self.name {
            config.set_flag("node.name", Value::Text(name.clone()), "--name");
        }
    }
}

impl Place {
    fn new(everywhere: &Everywhere, folder: PathBuf, name: String) -> Outcome<Place> {
        let remembered = Remembered::read(&folder)?;
        let name = remembered.as_ref().map_or(name, |remembered| remembered.name.clone());
        let socket = everywhere.socket.clone().unwrap_or_else(|| folder.join(paths::SOCKET));
        Ok(Place { folder, name, socket, remembered })
    }

    /// Puts what is remembered under what was said.
    pub fn fill(&self, config: &mut Config) {
        let Some(remembered) = &self.remembered else { return };
        let text = |text: &str| Value::Text(text.to_owned());
        config.set_remembered("node.name", text(&remembered.name), &self.folder);
        if let Some(listen) = &remembered.listen {
            config.set_remembered("sync.listen", text(listen), &self.folder);
        }
        config.set_remembered("sync.advertise", Value::List(remembered.advertise.clone()), &self.folder);
    }

    /// Forgets the set-up; the key stays.
    ///
    /// # Errors
    /// RM8201 if the folder cannot be written.
    pub fn forget(&self) -> Outcome<()> {
        let path = self.folder.join(FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::file("forget the node's set-up", &path, &error))
            }
            _ => Ok(()),
        }
    }

    /// The flag that means this node and no other.
    pub fn flag(&self, config: &Config) -> String {
        match paths::state_root(config.surroundings()).join(&self.name) == self.folder {
            true => format!("--name {}", self.name),
            false => format!("--data {}", self.folder.display()),
        }
    }

    /// Whether a daemon holds its socket open.
    pub fn is_running(&self) -> bool {
        UnixStream::connect(&self.socket).is_ok()
    }
}

/// Where the node of a database lies, or shall lie.
///
/// # Errors
/// RM1313 if the name or folder belongs to the node of another database.
pub fn for_database(everywhere: &Everywhere, config: &Config, database: &Whereabouts) -> Outcome<Place> {
    let place = match named(everywhere, config)? {
        Some(place) => place,
        None => match all(everywhere, config)?.into_iter().find(|place| place.is_of(database)) {
            Some(place) => place,
            None => free_place(everywhere, config)?,
        },
    };
    match place.database() {
        Some(other) if !other.is_same(database) && !has_moved(other, database) => {
            Err(failure("RM1313", format!("{} is the node of another database", place.name))
                .at(place.folder.display().to_string())
                .why(format!("it was set up for {}; this is {}", other, database))
                .hint("Give the new node a name of its own:", format!("--name {}-2", place.name)))
        }
        _ => Ok(place),
    }
}

/// Whether a node's database lies elsewhere now. Whose it is the node itself looks at.
fn has_moved(from: &Whereabouts, to: &Whereabouts) -> bool {
    match (from, to) {
        (Whereabouts::File(from), Whereabouts::File(_)) => !from.exists() && setup::is_attached(&to.reveal()),
        // A server that is not there now may be back later.
        _ => setup::is_attached(&to.reveal()),
    }
}

/// The node that a command means which only makes sense where one was set up.
///
/// # Errors
/// RM1311 if several could be meant, RM1312 if none is there.
pub fn existing(everywhere: &Everywhere, config: &Config) -> Outcome<Place> {
    if let Some(socket) = everywhere.socket.as_ref().filter(|_| everywhere.data.is_none() && everywhere.name.is_none())
    {
        let folder = socket.parent().unwrap_or(Path::new("."));
        return Place::new(everywhere, folder.to_owned(), config.text("node.name"));
    }
    let places = all(everywhere, config)?;
    if let Some(place) = named(everywhere, config)? {
        return if place.folder.exists() { Ok(place) } else { Err(no_such_node(&place, &places)) };
    }
    // A variable or ./.env that is there for other programs is a clue, not an order.
    let database = database::find(config, None).ok().flatten();
    if let Some(Database { place: whereabouts, source }) = database {
        if let Some(place) = places.iter().find(|place| place.is_of(&whereabouts)) {
            return Ok(place.clone());
        }
        if matches!(source, Source::File(..)) {
            return Err(failure("RM1312", format!("no node of this machine keeps {whereabouts} in sync"))
                .at(format!("database.url: {source}"))
                .hint("Set it up:", "rowmesh up"));
        }
    }
    the_only_one(places)
}

fn the_only_one(places: Vec<Place>) -> Outcome<Place> {
    let mut running: Vec<&Place> = places.iter().filter(|place| place.is_running()).collect();
    match (places.as_slice(), running.as_slice()) {
        ([], _) => Err(failure("RM1312", "no node has been set up on this machine")
            .hint("Set one up:", "rowmesh up shop.db")
            .hint("Or say where it is:", "--data DIR")),
        ([only], _) => Ok(only.clone()),
        (_, [only]) => Ok((*only).clone()),
        _ => {
            running.sort_by(|a, b| a.name.cmp(&b.name));
            let all = || places.iter().collect();
            let shown = if running.is_empty() { all() } else { running };
            let ask = failure("RM1311", format!("{} nodes are on this machine: say which", places.len()));
            Err(shown.into_iter().fold(ask, |ask, place| {
                let database = place.database().map(ToString::to_string).unwrap_or_default();
                ask.hint(database, format!("--name {}", place.name))
            }))
        }
    }
}

fn no_such_node(place: &Place, places: &[Place]) -> Failure {
    let known: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
    let failure = failure("RM1312", format!("no node {} has been set up on this machine", place.name))
        .at(place.folder.display().to_string());
    match known.as_slice() {
        [] => failure.hint("Set it up:", format!("rowmesh up shop.db --name {}", place.name)),
        known => failure.why(format!("there are: {}", known.join(", "))),
    }
}

impl Place {
    fn database(&self) -> Option<&Whereabouts> {
        self.remembered.as_ref().map(|remembered| &remembered.database)
    }

    fn is_of(&self, database: &Whereabouts) -> bool {
        self.database().is_some_and(|own| own.is_same(database))
    }
}

/// The folder that a flag, a variable or the file names.
fn named(everywhere: &Everywhere, config: &Config) -> Outcome<Option<Place>> {
    let data = config.text("node.data");
    let name = config.given("node.name").map(|_| config.text("node.name"));
    if !data.is_empty() {
        let folder = config.surroundings().folder.join(data);
        let host = config.surroundings().host.clone();
        return Place::new(everywhere, folder, name.unwrap_or(host)).map(Some);
    }
    let Some(name) = name else { return Ok(None) };
    let folder = paths::state_root(config.surroundings()).join(&name);
    if !folder.exists() {
        // A node that was renamed keeps its folder.
        let renamed = all(everywhere, config)?.into_iter().find(|place| place.name == name);
        if renamed.is_some() {
            return Ok(renamed);
        }
    }
    Place::new(everywhere, folder, name).map(Some)
}

/// All nodes of this user's state folder.
fn all(everywhere: &Everywhere, config: &Config) -> Outcome<Vec<Place>> {
    let root = paths::state_root(config.surroundings());
    let Ok(entries) = std::fs::read_dir(&root) else { return Ok(Vec::new()) };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let places = names.into_iter().filter(|name| root.join(name).join(FILE).exists());
    places.map(|name| Place::new(everywhere, root.join(&name), name)).collect()
}

/// The host's name, or the first of `host-2`, `host-3` … that no node has.
fn free_place(everywhere: &Everywhere, config: &Config) -> Outcome<Place> {
    let root = paths::state_root(config.surroundings());
    let host = Some(config.surroundings().host.as_str()).filter(|host| !host.is_empty()).unwrap_or("node");
    let names = std::iter::once(host.to_owned()).chain((2..).map(|number| format!("{host}-{number}")));
    let mut free = names.filter(|name| !root.join(name).join(FILE).exists());
    let name = free.next().unwrap_or_else(|| host.to_owned());
    Place::new(everywhere, root.join(&name), name)
}

/// For this user only, as everything in a node's folder.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn from_table(table: &toml::Table) -> Option<Remembered> {
    let text = |name: &str| table.get(name).and_then(toml::Value::as_str).map(str::to_owned);
    let advertise = table.get("advertise").and_then(toml::Value::as_array).into_iter().flatten();
    Some(Remembered {
        name: text("name")?,
        database: Whereabouts::of_remembered(&text("database")?)?,
        listen: text("listen"),
        advertise: advertise.filter_map(|address| address.as_str().map(str::to_owned)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use clap::Parser;

    use super::*;
    use crate::args::Cli;
    use crate::config::Surroundings;

    struct Machine {
        guard: tempfile::TempDir,
    }

    impl Machine {
        fn new() -> Machine {
            Machine { guard: tempfile::tempdir().expect("a folder") }
        }

        fn config(&self, flags: &[&str]) -> (Everywhere, Config) {
            let words = ["rowmesh", "status"].into_iter().chain(flags.iter().copied());
            let everywhere = Cli::try_parse_from(words).expect("flags").everywhere;
            let state = self.guard.path().join("state").display().to_string();
            let variables = [("XDG_STATE_HOME".to_owned(), state)].into_iter().collect();
            let folder = self.guard.path().to_owned();
            let surroundings = Surroundings { variables, folder, host: "till".into() };
            let mut config = Config::load(&surroundings, None).expect("loads");
            everywhere.apply(&mut config);
            (everywhere, config)
        }

        fn set_up(&self, name: &str, database: &str) {
            let folder = self.guard.path().join("state/rowmesh").join(name);
            std::fs::create_dir_all(&folder).expect("made");
            let database = Whereabouts::File(self.guard.path().join(database));
            let remembered = Remembered { name: name.into(), database, listen: None, advertise: Vec::new() };
            remembered.write(&folder).expect("written");
        }

        fn for_database(&self, flags: &[&str], database: &str) -> Outcome<String> {
            let (everywhere, config) = self.config(flags);
            for_database(&everywhere, &config, &Whereabouts::File(self.guard.path().join(database)))
                .map(|place| place.name)
        }

        fn existing(&self, flags: &[&str]) -> Outcome<String> {
            let (everywhere, config) = self.config(flags);
            existing(&everywhere, &config).map(|place| place.name)
        }
    }

    #[test]
    fn each_database_of_a_machine_has_a_node_of_its_own() {
        let machine = Machine::new();
        assert_eq!(machine.for_database(&[], "a.db").expect("new"), "till");
        machine.set_up("till", "a.db");
        assert_eq!(machine.for_database(&[], "a.db").expect("known"), "till");
        assert_eq!(machine.for_database(&[], "b.db").expect("new"), "till-2");
        assert_eq!(machine.for_database(&["--name", "office"], "b.db").expect("named"), "office");
        assert_eq!(machine.for_database(&["--name", "till"], "b.db").expect_err("taken").code, "RM1313");
    }

    #[test]
    fn a_command_finds_the_only_node_and_asks_where_there_are_several() {
        let machine = Machine::new();
        assert_eq!(machine.existing(&[]).expect_err("none").code, "RM1312");
        machine.set_up("till", "a.db");
        assert_eq!(machine.existing(&[]).expect("the only one"), "till");
        machine.set_up("office", "b.db");
        let asked = machine.existing(&[]).expect_err("two");
        assert_eq!(asked.code, "RM1311");
        assert_eq!(
            asked.hints.iter().map(|hint| hint.command.as_str()).collect::<Vec<_>>(),
            ["--name office", "--name till"]
        );
        assert_eq!(machine.existing(&["--name", "office"]).expect("named"), "office");
        assert_eq!(machine.existing(&["--name", "depot"]).expect_err("unknown").code, "RM1312");
    }

    #[test]
    fn the_configured_database_tells_its_node() {
        let machine = Machine::new();
        machine.set_up("till", "a.db");
        machine.set_up("office", "b.db");
        std::fs::write(machine.guard.path().join(".env"), "DATABASE_URL=file:./b.db\n").expect("written");
        let real = machine.guard.path().canonicalize().expect("exists");
        if real == machine.guard.path() {
            assert_eq!(machine.existing(&[]).expect("from ./.env"), "office");
        }
        std::fs::write(machine.guard.path().join("rowmesh.toml"), "[database]\nurl = \"c.db\"\n").expect("written");
        assert_eq!(machine.existing(&[]).expect_err("of no node").code, "RM1312");
    }

    #[test]
    fn what_is_remembered_is_read_back_and_damage_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Remembered::read(folder.path()).expect("nothing there"), None);
        let remembered = Remembered {
            name: "till \"1\"".into(),
            database: Whereabouts::File("/a b/shop.db".into()),
            listen: Some(":7706".into()),
            advertise: vec!["shop.example.org:7696".into()],
        };
        remembered.write(folder.path()).expect("written");
        assert_eq!(Remembered::read(folder.path()).expect("read"), Some(remembered));
        let mode = std::fs::metadata(folder.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "S66: nobody else reads it");
        std::fs::write(folder.path().join(FILE), "name = ").expect("written");
        assert_eq!(Remembered::read(folder.path()).expect_err("damaged").code, "RM8201");
    }
}
