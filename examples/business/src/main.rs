//! The reference application as a program: `create` a database, `seed` it, `work` on it. Everything it does stands in
//! the library; here are only the arguments and the clock that the library does not read.

use std::{
    io::{self, Write},
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use business::{Action, Database, Seed, Workload};

const USAGE: &str = "\
The reference application of Rowmesh, on a SQLite or PostgreSQL database.

usage: business create DB
       business seed DB [--seed N] [--small] [--no-demo]
       business work DB [--steps N] [--seconds N] [--node NAME] [--seed N] [--pause-ms N]

DB      a SQLite file, or the url of a PostgreSQL database: postgres://user@host/name
create  makes the tables, in a new file or in an empty database of the server's
seed    fills them with data; the same number makes the same data (default 1)
work    does one business action after another and prints each once it is committed,
        until the given steps or seconds are over, or for ever
        --node      begins order and receipt numbers; another one for every server (default A)
        --seed      repeats a run; a second run on the same database needs another number
        --pause-ms  rests between two actions (default 0)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            eprintln!("business: {message}\n\n{USAGE}");
            ExitCode::from(2)
        }
        Err(Failure::Database(path, error)) => {
            eprintln!("business: database {path}: {error}");
            ExitCode::FAILURE
        }
        // Whoever read our output has gone away.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => {
            eprintln!("business: standard output: {error}");
            ExitCode::FAILURE
        }
    }
}

enum Failure {
    Usage(String),
    Database(String, business::Error),
    Output(io::Error),
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => Err(Failure::Usage("no command given".to_owned())),
        ["--help" | "-h" | "help", ..] => say(USAGE),
        ["create", path] => create(path),
        ["seed", path, options @ ..] => seed(path, &Options::read(options, &["--seed"], &["--small", "--no-demo"])?),
        ["work", path, options @ ..] => {
            work(path, &Options::read(options, &["--steps", "--seconds", "--node", "--seed", "--pause-ms"], &[])?)
        }
        ["create" | "seed" | "work"] => Err(Failure::Usage("no database given".to_owned())),
        [command @ "create", _, extra, ..] => Err(Failure::Usage(format!("{command}: unexpected argument {extra}"))),
        [command, ..] => Err(Failure::Usage(format!("unknown command {command}"))),
    }
}

fn create(path: &str) -> Result<(), Failure> {
    let db = business::open_new(path).map_err(in_database(path))?;
    business::create(&*db).map_err(in_database(path))?;
    say(&format!("created {} tables in {path}\n", business::tables().len()))
}

fn seed(path: &str, options: &Options<'_>) -> Result<(), Failure> {
    let number = options.number("--seed")?.unwrap_or(1);
    let seed = if options.has("--small") { Seed::small(number) } else { Seed::new(number) };
    let seed = if options.has("--no-demo") { seed.without_demo_data() } else { seed };
    let db = open(path)?;
    business::generate(&*db, &seed).map_err(in_database(path))?;
    say(&format!("filled {path} from seed {number}\n"))
}

fn work(path: &str, options: &Options<'_>) -> Result<(), Failure> {
    let steps: Option<u64> = options.number("--steps")?;
    let seconds: Option<u64> = options.number("--seconds")?;
    let pause = Duration::from_millis(options.number("--pause-ms")?.unwrap_or(0));
    let seed = options.number("--seed")?.unwrap_or_else(seed_of_this_run);
    let mut workload = Workload::new(seed, options.text("--node").unwrap_or("A"));
    let db = open(path)?;
    let start = Instant::now();
    let mut done = 0;
    while steps.is_none_or(|steps| done < steps) && seconds.is_none_or(|limit| start.elapsed().as_secs() < limit) {
        let action = workload.step(&*db).map_err(in_database(path))?;
        say(&format!("{action}\n"))?;
        if action == Action::Idle {
            break;
        }
        done += 1;
        std::thread::sleep(pause);
    }
    Ok(())
}

fn open(path: &str) -> Result<Box<dyn Database>, Failure> {
    business::open(path).map_err(in_database(path))
}

fn in_database(path: &str) -> impl FnOnce(business::Error) -> Failure + use<> {
    let path = path.to_owned();
    move |error| Failure::Database(path, error)
}

fn say(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(Failure::Output)
}

/// Another number for each run, so that ids of an earlier run are not made again.
fn seed_of_this_run() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_secs() << 30 ^ u64::from(since_epoch.subsec_nanos()) ^ u64::from(std::process::id()) << 44
}

/// What follows the database on the command line.
struct Options<'a> {
    values: Vec<(&'a str, &'a str)>,
    switches: Vec<&'a str>,
}

impl<'a> Options<'a> {
    fn read(words: &[&'a str], with_value: &[&str], switches: &[&str]) -> Result<Self, Failure> {
        let mut options = Self { values: Vec::new(), switches: Vec::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if switches.contains(word) {
                options.switches.push(word);
            } else if with_value.contains(word) {
                let value = words.next().ok_or_else(|| Failure::Usage(format!("{word} needs a value")))?;
                options.values.push((word, value));
            } else {
                return Err(Failure::Usage(format!("unknown option {word}")));
            }
        }
        Ok(options)
    }

    fn has(&self, name: &str) -> bool {
        self.switches.contains(&name)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.values.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| *value)
    }

    fn number<N: FromStr>(&self, name: &str) -> Result<Option<N>, Failure> {
        let parse = |text: &str| text.parse().map_err(|_| Failure::Usage(format!("{name}: {text} is no number")));
        self.text(name).map(parse).transpose()
    }
}
