//! The command line, as clap reads it. What the commands do is in `commands`; values are checked here only as far as one can without looking at anything.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::paint::ColorChoice;
use crate::units::parse_duration;

/// The program's command line.
#[derive(Debug, Parser)]
#[command(
    name = "rowmesh",
    version,
    about = "Keep your databases in sync, without a server.",
    help_template = ROOT_HELP,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 110
)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub everywhere: Everywhere,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The overview names each command where a reader looks for it; clap would list them in one row. A test compares it with [`Command`].
const ROOT_HELP: &str = "\
rowmesh <command> [flags]            {about}

Examples
  rowmesh demo                       three throw-away nodes on this machine, cut apart and healed
  rowmesh up shop.db                 start a mesh with this database
  rowmesh up shop.db --join rm1.…    on another machine: join it
  rowmesh status                     is everything everywhere?

Start
  up [DB]                 set up if needed, then sync in the foreground
  init [DB]               set up only: identity, plan, capture
  invite                  print a one-time line for the next node
  join INVITE [DB]        set up and join
  run                     the daemon (what a service runs)
  demo                    see it work, on three throw-away databases

Look
  status                  is everything everywhere?
  peers                   the other nodes: ls | show | ping | rename
  tables                  what syncs and what does not: ls | show | add | rm | plan
  log                     changes in and out
  conflicts               writes that lost, and to what: ls | show | resolve | undo | policy
  why TABLE KEY           who wrote each column of a row, what it beat, by which rule

Act
  sync                    exchange now, wait until done
  count                   say what was counted in a stock-take
  undo                    take back a changeset or a while, as new changes
  pause, resume           stop exchanging, go on: the whole node or one peer

Care
  doctor                  check this machine, the database, the network, the clock
  config                  show | check | path | example
  uninstall [DB]          remove triggers and Rowmesh's tables
  explain CODE            what a code means and how to fix it
  completions SHELL, man, version

Everywhere
{options}

rowmesh <command> --help says more.
";

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Everywhere {
    /// Configuration file; otherwise ./rowmesh.toml, then the user's, then the system's
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The node's folder: its key and state
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The node's name: a new one gets it, others are found by it
    #[arg(long, global = true, value_name = "NAME")]
    pub name: Option<String>,
    /// The running node's socket, if it is not where we would look
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Results as one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Answer every question with yes
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Say less
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice: even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", hide_possible_values = true)]
    pub color: ColorChoice,
    /// Give up after so long, such as 30s
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set up if needed, then sync in the foreground
    #[command(before_help = "rowmesh up shop.db\nrowmesh up shop.db --join rm1.…")]
    Up(Up),
    /// Set up only: identity, plan, capture
    #[command(before_help = "rowmesh init shop.db --dry-run\nrowmesh init shop.db --exclude 'tmp_*' --mesh shop")]
    Init(Init),
    /// Print a one-time line for the next node
    #[command(before_help = "rowmesh invite\nrowmesh invite --ttl 24h --uses 500 --addr shop.example.org:7696")]
    Invite(Invite),
    /// Set up and join
    #[command(before_help = "rowmesh join rm1.… shop.db")]
    Join(Join),
    /// The daemon (what a service runs)
    #[command(before_help = "rowmesh run --name till-1")]
    Run(Run),
    /// Is everything everywhere?
    #[command(
        before_help = "rowmesh status\nrowmesh status --check      for monitoring: exit code 3 if something needs attention"
    )]
    Status(StatusArgs),
    /// The other nodes: ls | show | ping | rename
    #[command(before_help = "rowmesh peers\nrowmesh peers show office\nrowmesh peers rename till-2")]
    Peers(Peers),
    /// What syncs and what does not: ls | show | add | rm | plan
    #[command(
        before_help = "rowmesh tables\nrowmesh tables show orders\nrowmesh tables add reminders\nrowmesh tables plan shop.db"
    )]
    Tables(Tables),
    /// Changes in and out
    #[command(before_help = "rowmesh log -f\nrowmesh log --table orders --since 2h")]
    Log(Log),
    /// Writes that lost, and to what: ls | show ID | resolve ID | undo ID | policy
    #[command(
        before_help = "rowmesh conflicts\nrowmesh conflicts show 7Q\nrowmesh conflicts resolve 7Q --keep lost\nrowmesh conflicts policy products max --column version"
    )]
    Conflicts(Conflicts),
    /// Who wrote each column of a row, what it beat, by which rule
    #[command(before_help = "rowmesh why products pen-blue\nrowmesh why order_items '[\"o-17\", 2]'")]
    Why(Why),
    /// Say what was counted in a stock-take
    #[command(before_help = "rowmesh count products pen-blue stock=50")]
    Count(Count),
    /// Take back a changeset or a while, as new changes
    #[command(
        before_help = "rowmesh undo --origin office --seq 17 --dry-run\nrowmesh undo --since 14:00 --table orders"
    )]
    Undo(Undo),
    /// Exchange now, wait until done
    #[command(before_help = "rowmesh sync --wait --timeout 60s")]
    Sync(Sync),
    /// Stop exchanging; capture goes on
    #[command(before_help = "rowmesh pause --for 2h\nrowmesh pause --peer office")]
    Pause(Pause),
    /// Go on exchanging
    #[command(before_help = "rowmesh resume\nrowmesh resume --peer office")]
    Resume(Resume),
    /// Check this machine, the database, the network, the clock
    #[command(before_help = "rowmesh doctor\nrowmesh doctor --fix")]
    Doctor(Doctor),
    /// Show, check or find the configuration
    #[command(before_help = "rowmesh config show\nrowmesh config example > rowmesh.toml")]
    Config(Config),
    /// Remove triggers and Rowmesh's tables
    #[command(before_help = "rowmesh uninstall shop.db --dry-run")]
    Uninstall(Uninstall),
    /// What a code means and how to fix it
    #[command(before_help = "rowmesh explain RM4201")]
    Explain(Explain),
    /// See it work, on three throw-away databases
    #[command(before_help = "rowmesh demo\nrowmesh demo --headless --keep")]
    Demo(Demo),
    /// Completions for a shell
    #[command(before_help = "rowmesh completions bash > /etc/bash_completion.d/rowmesh")]
    Completions(Completions),
    /// The manual as man pages
    #[command(before_help = "rowmesh man | man -l -\nrowmesh man --out DIR")]
    Man(Man),
    /// Version of this program and of its protocol
    Version(Version),
}

/// `rowmesh version`.
#[derive(Debug, Args)]
pub struct Version {
    /// What is built in, with the licence of each part
    #[arg(long)]
    pub licenses: bool,
}

/// What a new node may be told; all of it may stand in the configuration too.
#[derive(Debug, Clone, Default, Args)]
pub struct Setup {
    /// Listen here; `:7706` means this port on all addresses
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Further addresses under which others reach this node
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub advertise: Vec<String>,
    /// Only these tables; `*` stands for anything
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub tables: Vec<String>,
    /// Not these tables, besides those of the configuration
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub exclude: Vec<String>,
    /// Show the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Name every table in the plan
    #[arg(long)]
    pub plan: bool,
}

/// `rowmesh up`.
#[derive(Debug, Args)]
pub struct Up {
    /// The database: a SQLite file or a postgres:// url; otherwise from the configuration, DATABASE_URL or ./.env
    pub db: Option<String>,
    /// Join the mesh that this line invites to
    #[arg(long, value_name = "INVITE")]
    pub join: Option<String>,
    /// Name of a new mesh
    #[arg(long, value_name = "NAME", conflicts_with = "join")]
    pub mesh: Option<String>,
    /// What to tell a new node.
    #[command(flatten)]
    pub setup: Setup,
}

/// `rowmesh init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The database: a SQLite file or a postgres:// url; otherwise from the configuration, DATABASE_URL or ./.env
    pub db: Option<String>,
    /// Name of the new mesh
    #[arg(long, value_name = "NAME")]
    pub mesh: Option<String>,
    /// PostgreSQL: print the rights that the role of the url lacks, as statements for the owner, and do nothing else
    #[arg(long)]
    pub print_grants: bool,
    /// What to tell the new node.
    #[command(flatten)]
    pub setup: Setup,
}

/// `rowmesh join`.
#[derive(Debug, Args)]
pub struct Join {
    /// The line that `rowmesh invite` printed
    pub invite: String,
    /// The database: a SQLite file or a postgres:// url; otherwise from the configuration, DATABASE_URL or ./.env
    pub db: Option<String>,
    /// What to tell the new node.
    #[command(flatten)]
    pub setup: Setup,
}

/// `rowmesh run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Listen here; `:7706` means this port on all addresses
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
}

/// `rowmesh invite`.
#[derive(Debug, Args)]
pub struct Invite {
    /// How long it works
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = parse_duration)]
    pub ttl: Duration,
    /// How many nodes may use it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub uses: u32,
    /// Put this address into it instead of those that were found
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub addr: Vec<String>,
    /// The new node may read and not write
    #[arg(long)]
    pub read_only: bool,
    /// Show it as a picture too, for a camera
    #[arg(long)]
    pub qr: bool,
}

/// `rowmesh status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Again every two seconds
    #[arg(long)]
    pub watch: bool,
    /// Exit code 3 if something needs attention
    #[arg(long)]
    pub check: bool,
}

/// `rowmesh peers`.
#[derive(Debug, Args)]
pub struct Peers {
    /// What about them; all are listed without.
    #[command(subcommand)]
    pub what: Option<PeersCommand>,
}

/// What about the peers.
#[derive(Debug, Subcommand)]
pub enum PeersCommand {
    /// All of them
    Ls,
    /// One of them, with everything known
    Show {
        /// Its name, or the beginning of its id
        peer: String,
    },
    /// Can they be reached from here, and how fast?
    Ping {
        /// Only this one: its name, or the beginning of its id
        peer: Option<String>,
    },
    /// Give this node another name, in the whole mesh
    #[command(before_help = "rowmesh peers rename till-2\nrowmesh peers rename till-1 till-2")]
    Rename {
        /// The new name; of two names the first is the one until now
        #[arg(value_name = "NAME", num_args = 1..=2, required = true)]
        names: Vec<String>,
        /// Show what would happen and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// `rowmesh tables`.
#[derive(Debug, Args)]
pub struct Tables {
    /// What about them; all are listed without.
    #[command(subcommand)]
    pub what: Option<TablesCommand>,
}

/// What about the tables.
#[derive(Debug, Subcommand)]
pub enum TablesCommand {
    /// All of them
    Ls {
        /// Count their rows too, which takes a scan
        #[arg(long)]
        count: bool,
    },
    /// One of them, with everything known
    Show {
        /// Its name
        table: String,
    },
    /// Let a table travel, on all nodes; only an admin of the mesh may
    #[command(before_help = "rowmesh tables add reminders")]
    Add {
        /// Its name
        table: String,
        /// Columns that tell its rows apart; stands in the configuration file
        #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
        key: Vec<String>,
        /// Show what would happen and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Keep a table at home from now on, on all nodes: what exists elsewhere stays
    #[command(before_help = "rowmesh tables rm reminders")]
    Rm {
        /// Its name
        table: String,
        /// Show what would happen and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// What setting up would do, without doing it
    Plan {
        /// The database: a SQLite file or a postgres:// url; otherwise from the configuration, DATABASE_URL or ./.env
        db: Option<String>,
    },
}

/// `rowmesh log`.
#[derive(Debug, Args)]
pub struct Log {
    /// Go on as changes come
    #[arg(short, long)]
    pub follow: bool,
    /// Only this table
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Only the row with this key
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Only changes made at this node
    #[arg(long, value_name = "PEER")]
    pub peer: Option<String>,
    /// Only since then: 2h, 14:00, 2026-01-31, 2026-01-31T14:00
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
}

const POLICIES: &str = "Of a column: last_writer (default), max, min, counter (two sales of one leave two less),
node_priority:head,branch (what head wrote stands, then what branch wrote), ask (a person decides)
Of the rows of a table: update_wins (default), delete_wins, last_writer, ask

  rowmesh conflicts policy products max --column version
  rowmesh conflicts policy products counter --column stock
  rowmesh conflicts policy orders delete_wins";

/// `rowmesh conflicts`.
#[derive(Debug, Args)]
pub struct Conflicts {
    /// What about them; open ones are listed without.
    #[command(subcommand)]
    pub what: Option<ConflictsCommand>,
}

/// What about the conflicts.
#[derive(Debug, Subcommand)]
pub enum ConflictsCommand {
    /// Open ones
    Ls {
        /// Those that later writes have settled too
        #[arg(long)]
        all: bool,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// One of them, both sides beside each other
    Show {
        /// Its id, or the beginning of it
        id: String,
    },
    /// Settle one of them, on all nodes
    Resolve {
        /// Its id, or the beginning of it
        id: String,
        /// The side that stays: shown, lost, or the name of the node that wrote it
        #[arg(long, value_name = "SIDE", conflicts_with_all = ["set", "null"], required_unless_present_any = ["set", "null"])]
        keep: Option<String>,
        /// Write this instead; may be given again for other columns
        #[arg(long, value_name = "COLUMN=VALUE", value_parser = parse_assignment)]
        set: Vec<(String, String)>,
        /// Write NULL instead; may be given again for other columns
        #[arg(long, value_name = "COLUMN")]
        null: Vec<String>,
        /// Say what would happen, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Bring back what lost, on all nodes: short for resolve --keep lost
    Undo {
        /// Its id, or the beginning of it
        id: String,
        /// Say what would happen, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Which write is shown: the policies that are not the default, or a new one for a table or a column of it
    #[command(after_help = POLICIES)]
    Policy {
        /// The table; without a policy behind it, its policies are listed
        table: Option<String>,
        /// The policy, or default
        rule: Option<String>,
        /// The column; without it, whether a row stands that one node deleted and another wrote at once
        #[arg(long, requires = "rule")]
        column: Option<String>,
        /// Say what would happen, and change nothing
        #[arg(long, requires = "rule")]
        dry_run: bool,
    },
}

fn parse_assignment(text: &str) -> Result<(String, String), String> {
    let (column, value) = text.split_once('=').ok_or("write it as COLUMN=VALUE")?;
    if column.is_empty() { Err("no column stands before the =".into()) } else { Ok((column.into(), value.into())) }
}

/// `rowmesh why`.
#[derive(Debug, Clone, Args)]
pub struct Why {
    /// The table
    pub table: String,
    /// The row: its key; where that has several columns, a JSON array
    pub key: String,
    /// So many of its changes at most, the newest
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

/// `rowmesh count`.
#[derive(Debug, Clone, Args)]
pub struct Count {
    /// The table
    pub table: String,
    /// The row: its key; where that has several columns, a JSON array
    pub key: String,
    /// What was counted: what was sold elsewhere unseen by it is taken from it
    #[arg(required = true, value_name = "COLUMN=NUMBER", value_parser = parse_assignment)]
    pub values: Vec<(String, String)>,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `rowmesh undo`.
#[derive(Debug, Clone, Args)]
pub struct Undo {
    /// What this node did
    #[arg(long, value_name = "NODE")]
    pub origin: Option<String>,
    /// In its changeset with this number; rowmesh log and rowmesh why tell it
    #[arg(long, value_name = "NUMBER", requires = "origin")]
    pub seq: Option<u64>,
    /// What was done since then: 2h, 14:00, 2026-01-31, 2026-01-31T14:00
    #[arg(long, value_name = "TIME", required_unless_present = "seq")]
    pub since: Option<String>,
    /// And until then; otherwise until now
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// In this table
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `rowmesh sync`.
#[derive(Debug, Args)]
pub struct Sync {
    /// Only with this peer
    #[arg(long, value_name = "PEER")]
    pub peer: Option<String>,
    /// Wait until every peer that can be reached has everything (at most --timeout, 60s without)
    #[arg(long)]
    pub wait: bool,
}

/// `rowmesh pause`.
#[derive(Debug, Args)]
pub struct Pause {
    /// Only with this peer
    #[arg(long, value_name = "PEER")]
    pub peer: Option<String>,
    /// Resume after so long
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub duration: Option<Duration>,
}

/// `rowmesh resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// Only with this peer
    #[arg(long, value_name = "PEER")]
    pub peer: Option<String>,
}

/// `rowmesh doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Mend what can be mended
    #[arg(long)]
    pub fix: bool,
}

/// `rowmesh config`.
#[derive(Debug, Args)]
pub struct Config {
    /// What about it.
    #[command(subcommand)]
    pub what: ConfigCommand,
}

/// What about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every setting that holds, and where it comes from
    Show,
    /// Whether it can be understood
    Check,
    /// Which file is read, and where else one would be looked for
    Path,
    /// A file with every key and its default
    Example,
}

/// `rowmesh uninstall`.
#[derive(Debug, Args)]
pub struct Uninstall {
    /// The database: a SQLite file or a postgres:// url; otherwise from the configuration, DATABASE_URL or ./.env
    pub db: Option<String>,
    /// Show what would be removed and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `rowmesh explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The code: RM and four digits; all are listed without
    pub code: Option<String>,
}

/// `rowmesh demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Plain lines, for scripts
    #[arg(long)]
    pub headless: bool,
    /// Keep the files and say where they are
    #[arg(long)]
    pub keep: bool,
    /// Write for so many seconds
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u64).range(3..=600))]
    pub seconds: u64,
}

/// `rowmesh completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `rowmesh man`.
#[derive(Debug, Args)]
pub struct Man {
    /// Write one page for every command into this folder, instead of the first page to stdout
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn clap_finds_no_mistake_in_it() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_overview_names_every_command_and_no_other() {
        let overview = ROOT_HELP.split("\nStart\n").nth(1).and_then(|rest| rest.split("\nEverywhere\n").next());
        let listed = overview.unwrap_or_default();
        let mut named: Vec<&str> = listed
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .flat_map(|line| line.split("   ").next().unwrap_or_default().split(", "))
            .filter_map(|command| command.split_whitespace().next())
            .collect();
        let command = Cli::command();
        let mut existing: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        named.sort_unstable();
        existing.sort_unstable();
        assert_eq!(named, existing);
    }

    #[test]
    fn every_argument_is_explained() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        let check = |line: &str, kind: ErrorKind| {
            let refused = Cli::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(refused.kind(), kind, "{line}");
        };
        check("rowmesh statsu", ErrorKind::InvalidSubcommand);
        check("rowmesh dashboard", ErrorKind::InvalidSubcommand);
        check("rowmesh verify", ErrorKind::InvalidSubcommand);
        check("rowmesh invite --ttl 15", ErrorKind::ValueValidation);
        check("rowmesh invite --uses 0", ErrorKind::ValueValidation);
        check("rowmesh join", ErrorKind::MissingRequiredArgument);
        check("rowmesh up a.db --join rm1.x --mesh shop", ErrorKind::ArgumentConflict);
        check("rowmesh status -q -v", ErrorKind::ArgumentConflict);
        check("rowmesh status --color pink", ErrorKind::InvalidValue);
        check("rowmesh peers rm office", ErrorKind::InvalidSubcommand);
    }

    #[test]
    fn a_slip_of_the_finger_is_answered_with_the_right_word() {
        let refused = Cli::try_parse_from(["rowmesh", "statsu"]).expect_err("no such command");
        assert!(refused.to_string().contains("'status'"), "{refused}");
    }

    #[test]
    fn flags_that_hold_everywhere_may_stand_anywhere() {
        for line in ["rowmesh --json --data /x status", "rowmesh status --json --data /x"] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            assert!(cli.everywhere.json);
            assert_eq!(cli.everywhere.data.as_deref(), Some(std::path::Path::new("/x")));
        }
    }

    /// All commands that the manual has ever named: a text that names one is a promise.
    const EVER_NAMED: &str = "up init invite join run service status peers tables log logs conflicts files sync pause resume migrate why undo \
        load verify repair doctor config dashboard user backup restore support uninstall explain completions man version demo";

    #[test]
    fn every_command_that_a_hint_names_exists() {
        let (mut checked, mut wrong) = (0, Vec::new());
        for (path, text) in ["rowmesh-sqlite", "rowmesh", "rowmesh-cli"].into_iter().flat_map(sources) {
            for command in named_commands(&text) {
                let words = command.replace("{{", "{").split_whitespace().map(plain_word).collect::<Vec<_>>();
                let refused = Cli::try_parse_from(&words).err();
                // Words behind a whole command are the rest of the sentence; flags are not.
                let is_prose = |error: &clap::Error| {
                    let argument = error.get(clap::error::ContextKind::InvalidArg).map(ToString::to_string);
                    error.kind() == ErrorKind::UnknownArgument && argument.is_some_and(|word| !word.starts_with('-'))
                };
                let fine = refused.as_ref().is_none_or(is_prose);
                let refused = refused.map(|error| error.kind());
                if !fine {
                    wrong.push(format!("{}: `{command}`: {refused:?}", path.display()));
                }
                checked += 1;
            }
        }
        assert!(wrong.is_empty(), "no commands of this version:\n{}", wrong.join("\n"));
        assert!(checked > 40, "only {checked} commands were found");
    }

    #[test]
    fn every_code_of_this_crate_has_its_page() {
        for (path, text) in sources("rowmesh-cli") {
            for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
                if crate::explain::code_in(word).as_deref() == Some(word) && word != "RM9999" {
                    assert!(crate::explain::page(word).is_some(), "{} uses {word}, which has no page", path.display());
                }
            }
        }
    }

    /// Every source file of a crate, without its tests.
    fn sources(crate_name: &str) -> Vec<(PathBuf, String)> {
        fn collect(folder: &std::path::Path, found: &mut Vec<(PathBuf, String)>) {
            for entry in std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path()) {
                if entry.is_dir() {
                    collect(&entry, found);
                } else if entry.extension().is_some_and(|extension| extension == "rs") && !entry.ends_with("tests.rs") {
                    let text = std::fs::read_to_string(&entry).expect("readable");
                    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
                    found.push((entry, code.to_owned()));
                }
            }
        }
        let mut found = Vec::new();
        collect(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(crate_name).join("src"), &mut found);
        found
    }

    /// What stands in literals behind `rowmesh `, up to the end of the command.
    fn named_commands(text: &str) -> Vec<String> {
        let code: String =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect();
        let starts = code
            .match_indices("rowmesh ")
            .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '-'));
        let command = |(at, _): (usize, &str)| {
            let rest = &code[at..];
            let end = rest.find(['"', '\n', ';', ',', '`', ')', '|']).unwrap_or(rest.len());
            let line = rest[..end].trim_end_matches("\\n").split("  ").next().unwrap_or_default().trim_end_matches('.');
            let line = line.split(" > ").next().unwrap_or_default().split("\\n").next().unwrap_or_default();
            let second = line.split_whitespace().nth(1)?;
            EVER_NAMED.split_whitespace().any(|name| name == second).then(|| line.to_owned())
        };
        starts.filter_map(command).collect()
    }

    /// Placeholders stand for themselves.
    fn plain_word(word: &str) -> String {
        let Some((before, rest)) = word.split_once('{') else { return word.to_owned() };
        // What stands in braces is filled in when the hint is shown.
        let after = rest.rsplit_once('}').map_or("", |(_, after)| after);
        if after.starts_with('=') { format!("{before}x{after}") } else { "x".to_owned() }
    }
}
