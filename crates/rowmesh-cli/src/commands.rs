//! One function per command. Each says how it ended; none ends the process.

mod about;
mod act;
mod config;
mod decide;
mod doctor;
mod log;
mod look;
pub mod serve;
mod setup;
mod undo;
mod uninstall;
mod up;

use rowmesh::control::api::Resolution;

use crate::args::{Cli, Command, Conflicts, ConflictsCommand, Peers, PeersCommand, Tables, TablesCommand};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::talk::Talk;

/// Runs the command of a command line.
///
/// # Errors
/// What went wrong, for people and programs.
pub fn run(talk: Talk, cli: &Cli) -> Outcome<Exit> {
    let context = || Context::new(talk, &cli.everywhere);
    match &cli.command {
        Command::Status(arguments) => look::status(&context()?, arguments),
        Command::Peers(Peers { what: Some(PeersCommand::Rename { names, dry_run }) }) => {
            decide::rename(&context()?, names, *dry_run)
        }
        Command::Peers(arguments) => look::peers(&context()?, arguments),
        Command::Tables(Tables { what: Some(TablesCommand::Plan { db }) }) => up::plan_only(&context()?, db.as_deref()),
        Command::Tables(Tables { what: Some(TablesCommand::Add { table, key, dry_run }) }) => {
            decide::add_table(&context()?, table, key, *dry_run)
        }
        Command::Tables(Tables { what: Some(TablesCommand::Rm { table, dry_run }) }) => {
            decide::remove_table(&context()?, table, *dry_run)
        }
        Command::Tables(arguments) => look::tables(&context()?, arguments),
        Command::Conflicts(Conflicts {
            what: Some(ConflictsCommand::Policy { table: Some(table), rule: Some(rule), column, dry_run }),
        }) => decide::set_policy(&context()?, table, column.as_deref(), rule, *dry_run),
        Command::Conflicts(Conflicts { what: Some(ConflictsCommand::Resolve { id, keep, set, null, dry_run }) }) => {
            let (id, keep, set, set_null) = (id.clone(), keep.clone(), set.clone(), null.clone());
            decide::resolve(&context()?, Resolution { id, keep, set, set_null, dry_run: *dry_run })
        }
        Command::Conflicts(Conflicts { what: Some(ConflictsCommand::Undo { id, dry_run }) }) => {
            let keep = Some("lost".to_owned());
            decide::resolve(
                &context()?,
                Resolution { id: id.clone(), keep, dry_run: *dry_run, ..Resolution::default() },
            )
        }
        Command::Conflicts(arguments) => look::conflicts(&context()?, arguments),
        Command::Why(arguments) => look::why(&context()?, arguments),
        Command::Undo(arguments) => undo::undo(&context()?, arguments),
        Command::Count(arguments) => decide::count(&context()?, arguments),
        Command::Log(arguments) => log::log(&context()?, arguments),
        Command::Sync(arguments) => act::sync(&context()?, arguments),
        Command::Pause(arguments) => act::pause(&context()?, arguments),
        Command::Resume(arguments) => act::resume(&context()?, arguments),
        Command::Invite(arguments) => act::invite(&context()?, arguments),
        Command::Doctor(arguments) => doctor::doctor(&context()?, arguments),
        Command::Config(arguments) => config::config(talk, &cli.everywhere, arguments),
        Command::Explain(arguments) => about::explain(talk, arguments),
        Command::Completions(arguments) => about::completions(talk, arguments),
        Command::Man(arguments) => about::man(talk, arguments),
        Command::Version(arguments) => about::version(talk, arguments),
        Command::Up(arguments) => up::up(&context()?, arguments),
        Command::Init(arguments) => up::init(&context()?, arguments),
        Command::Join(arguments) => up::join(&context()?, arguments),
        Command::Run(arguments) => serve::run(&context()?, arguments),
        Command::Uninstall(arguments) => uninstall::uninstall(&context()?, arguments),
        Command::Demo(arguments) => crate::demo::demo(talk, arguments),
    }
}
