//! From flags, configuration and what a node's folder remembers to the options of a node. Touches no database.

use rowmesh::NodeOptions;
use rowmesh::options::{RowFilter, TablePolicy};

use crate::args::Setup;
use crate::config::database::{self, Database};
use crate::config::{Config, TableSettings, Value};
use crate::context::Context;
use crate::failure::Outcome;
use crate::nodes::{self, Place, Remembered};

/// A node that is about to be set up or started.
pub struct Job {
    /// Its folder.
    pub place: Place,
    /// Its database.
    pub database: Database,
    /// Everything else.
    pub options: NodeOptions,
}

impl Job {
    /// The node of a database that an argument, the configuration or a node's folder names.
    ///
    /// # Errors
    /// If no database is named, or the name of the node is taken by another.
    pub fn new(context: &Context, argument: Option<&str>, setup: &Setup) -> Outcome<Job> {
        let mut config = context.config.clone();
        put_flags(&mut config, setup);
        let database = match remembered_database(context, argument)? {
            Some(database) => database,
            None => database::require(&config, argument)?,
        };
        let place = nodes::for_database(&context.everywhere, &config, &database.place)?;
        place.fill(&mut config);
        let options = options(&config, &place, &database);
        Ok(Job { place, database, options })
    }

    /// What the node's folder is to remember.
    pub fn to_remember(&self, name: &str) -> Remembered {
        Remembered {
            name: name.to_owned(),
            database: self.database.place.to_remember(&self.database.source),
            listen: self.options.listen.clone().or_else(|| Some(String::new())),
            advertise: self.options.advertise.clone(),
        }
    }
}

/// Flags that say what the configuration could say too. Exclusions add up, everything else replaces.
fn put_flags(config: &mut Config, setup: &Setup) {
    if let Some(listen) = &setup.listen {
        config.set_flag("sync.listen", Value::Text(listen.clone()), "--listen");
    }
    let lists = [("sync.advertise", &setup.advertise, "--advertise"), ("tables.include", &setup.tables, "--tables")];
    for (path, list, flag) in lists {
        if !list.is_empty() {
            config.set_flag(path, Value::List(list.clone()), flag);
        }
    }
    if !setup.exclude.is_empty() {
        let all = config.list("tables.exclude").into_iter().chain(setup.exclude.iter().cloned()).collect();
        config.set_flag("tables.exclude", Value::List(all), "--exclude");
    }
}

/// A node that was named has its database already; `DATABASE_URL` is then somebody else's.
fn remembered_database(context: &Context, argument: Option<&str>) -> Outcome<Option<Database>> {
    let config = &context.config;
    let is_named = config.given("node.name").is_some() || config.given("node.data").is_some();
    let is_said =
        argument.is_some() || config.given("database.url").is_some() || config.given("database.url_file").is_some();
    let said_by_others = || database::named_by_url(config).is_ok_and(|found| found.is_some());
    if is_said || (!is_named && said_by_others()) {
        return Ok(None);
    }
    let place = nodes::existing(&context.everywhere, config);
    let remembered = place.ok().and_then(|place| Some((place.remembered?.database, place.folder)));
    remembered.map(|(place, folder)| database::remembered(config, place, folder)).transpose()
}

fn options(config: &Config, place: &Place, database: &Database) -> NodeOptions {
    let off = config.tables.iter().filter(|(_, table)| table.off).map(|(name, _)| name.clone());
    let keys = config.tables.iter().filter(|(_, table)| !table.key.is_empty());
    let filters = config.filters.iter().map(|filter| RowFilter {
        name: filter.name.clone(),
        root: filter.table.clone(),
        condition: filter.skip.clone(),
        follow: filter.follow.clone(),
        several_owners: filter.several_owners.clone(),
        extras: Vec::new(),
    });
    let says_something =
        |table: &TableSettings| table.conflicts.is_some() || !table.columns.is_empty() || !table.references.is_empty();
    let policies = config.tables.iter().filter(|(_, table)| says_something(table));
    let policies = policies.map(|(name, table)| TablePolicy {
        table: name.clone(),
        existence: table.conflicts.clone(),
        columns: table.columns.clone(),
        references: table.references.clone(),
        extras: Vec::new(),
    });
    NodeOptions {
        name: Some(config.text("node.name")).filter(|name| !name.is_empty()).unwrap_or_else(|| place.name.clone()),
        listen: listen(&config.text("sync.listen")),
        advertise: config.list("sync.advertise"),
        socket: Some(place.socket.clone()),
        interval: config.duration("sync.interval"),
        include: config.list("tables.include"),
        exclude: config.list("tables.exclude").into_iter().chain(off).collect(),
        leave_triggers: config.list("triggers.leave"),
        carry_triggers: config.list("triggers.carry"),
        filters: filters.collect(),
        policies: policies.collect(),
        keys: keys.map(|(name, table)| (name.clone(), table.key.clone())).collect(),
        ..NodeOptions::new(place.folder.clone(), database.place.reveal())
    }
}

/// `:7706` means this port on all addresses, nothing means that this node only calls others.
fn listen(text: &str) -> Option<String> {
    match text.trim() {
        "" => None,
        port if port.starts_with(':') => Some(format!("0.0.0.0{port}")),
        port if port.bytes().all(|b| b.is_ascii_digit()) => Some(format!("0.0.0.0:{port}")),
        address => Some(address.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_may_be_short() {
        assert_eq!(listen(":7706").as_deref(), Some("0.0.0.0:7706"));
        assert_eq!(listen("7706").as_deref(), Some("0.0.0.0:7706"));
        assert_eq!(listen("127.0.0.1:0").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(listen("[::1]:7696").as_deref(), Some("[::1]:7696"));
        assert_eq!(listen(" "), None);
    }
}
