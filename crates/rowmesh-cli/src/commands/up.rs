//! `rowmesh up`, `init` and `join`: the plan, a yes, capture, a mesh, and for `up` the daemon in the foreground. If setting up fails, the
//! database is left as it was found.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rowmesh::failure::Failure;
use rowmesh::setup::{self, Plan};
use rowmesh::transport::BindError;
use rowmesh::{Joined, Node, NodeOptions, Progress};
use serde_json::json;

use super::serve::{self, Greeting};
use super::setup::Job;
use crate::args::{Init, Join, Setup, Up};
use crate::config::{Source, example};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Outcome, failure};
use crate::render;
use crate::talk::Talk;
use crate::units::{plural, show_count, show_duration};

/// `rowmesh up`.
pub fn up(context: &Context, arguments: &Up) -> Outcome<Exit> {
    let job = Job::new(context, arguments.db.as_deref(), &arguments.setup)?;
    let way = match &arguments.join {
        Some(invite) => Way::Join(invite.clone()),
        None => Way::Found(arguments.mesh.clone()),
    };
    // In the foreground the talk says what goes well; the log adds what does not.
    let level =
        context.config.given("log.level").map_or_else(|| "warn".to_owned(), |_| context.config.text("log.level"));
    serve::log_to_stderr(&context.config, context.talk, &level);
    let Some(ready) = set_up(context, &job, &arguments.setup, &way)? else { return Ok(Exit::Done) };
    serve::in_foreground(context.talk, &job, ready.node, ready.greeting)
}

/// `rowmesh init`.
pub fn init(context: &Context, arguments: &Init) -> Outcome<Exit> {
    let job = Job::new(context, arguments.db.as_deref(), &arguments.setup)?;
    if arguments.print_grants {
        return print_grants(context, &job);
    }
    let Some(ready) = set_up(context, &job, &arguments.setup, &Way::Found(arguments.mesh.clone()))? else {
        return Ok(Exit::Done);
    };
    drop(ready);
    write_config(context, &job)?;
    ready_to_run(context, &job)
}

/// Statements on stdout, ready for psql; why each is needed stands behind it.
fn print_grants(context: &Context, job: &Job) -> Outcome<Exit> {
    let missing = setup::missing_rights(&job.options)?;
    context.talk.result(&missing, || match missing.is_empty() {
        true => "-- nothing is missing\n".to_owned(),
        false => missing.iter().map(|right| format!("{}  -- {}\n", right.statement, right.what_for)).collect(),
    })?;
    Ok(Exit::Done)
}

/// `rowmesh join`.
pub fn join(context: &Context, arguments: &Join) -> Outcome<Exit> {
    let job = Job::new(context, arguments.db.as_deref(), &arguments.setup)?;
    let Some(ready) = set_up(context, &job, &arguments.setup, &Way::Join(arguments.invite.clone()))? else {
        return Ok(Exit::Done);
    };
    drop(ready);
    ready_to_run(context, &job)
}

/// `rowmesh tables plan`.
pub fn plan_only(context: &Context, argument: Option<&str>) -> Outcome<Exit> {
    let job = Job::new(context, argument, &Setup::default())?;
    let plan = setup::plan(&job.options)?;
    context
        .talk
        .result(&plan, || format!("{}{}", describe(&plan, &job), render::plan::plan(&plan, true, context.talk.out)))?;
    Ok(Exit::Done)
}

/// How a node comes into a mesh.
enum Way {
    Found(Option<String>),
    Join(String),
}

/// A node that is a member of a mesh and not yet at work.
struct Ready {
    node: Node,
    greeting: Greeting,
}

/// Nothing where nothing is to be done: a dry run, or a person said no.
fn set_up(context: &Context, job: &Job, setup: &Setup, way: &Way) -> Outcome<Option<Ready>> {
    let talk = context.talk;
    // A file is made; a database on a server is whoever runs it's to make.
    let new_file = job.database.place.file().filter(|path| matches!(way, Way::Join(_)) && !path.exists());
    let is_new_file = new_file.is_some();
    if job.place.remembered.is_none() {
        if let Some(path) = new_file {
            talk.done(&format!("database {}  new file", path.display()));
        } else if !agreed(context, job, setup)? {
            return Ok(None);
        }
    }
    if setup.dry_run {
        return Ok(None);
    }
    refuse_taken_port(&job.options)?;
    let made = new_file.map(NewFile::make).transpose()?;
    let result = enter(talk, job, way, is_new_file);
    if result.is_ok() {
        made.into_iter().for_each(NewFile::keep);
    }
    result.map(Some)
}

/// Shows the plan and asks.
fn agreed(context: &Context, job: &Job, setup: &Setup) -> Outcome<bool> {
    let talk = context.talk;
    let plan = setup::plan(&job.options)?;
    if setup.dry_run {
        let text = || format!("{}{}", describe(&plan, job), render::plan::plan(&plan, setup.plan, talk.out));
        talk.result(&plan, text)?;
        return Ok(true);
    }
    talk.say(describe(&plan, job).trim_end());
    talk.say(&format!("\n{}", render::plan::plan(&plan, setup.plan, talk.err).trim_end()));
    let agreed = talk.confirm("Go ahead?", true)?;
    if !agreed {
        talk.say("Nothing was changed.");
    }
    Ok(agreed)
}

fn describe(plan: &Plan, job: &Job) -> String {
    let tables = plural((plan.sync.len() + plan.skip.len()) as u64, "table");
    let kilobytes = show_count(plan.database_bytes.div_ceil(1_000));
    format!(
        "✔ database {}  {tables}, {kilobytes} kB  (from {})\n✔ node     {}  (identity in {})\n",
        render::clean(&plan.database),
        job.database.source,
        job.options.name,
        job.place.folder.display(),
    )
}

/// Attaches, then founds or joins. What was attached for a mesh that did not come about is taken out again.
fn enter(talk: Talk, job: &Job, way: &Way, is_new: bool) -> Outcome<Ready> {
    let begun = Instant::now();
    let was_known = job.place.remembered.is_some();
    let was_attached = was_known || setup::installed(&job.options).is_ok_and(|found| !found.triggers.is_empty());
    let node = Node::open(NodeOptions { is_new, ..job.options.clone() })?;
    talk.done(&render::clean(node.database()));
    if !was_known {
        talk.done(&format!("capture on, {}", show_duration(begun.elapsed())));
    }
    let runtime = serve::runtime()?;
    let entered = runtime.block_on(async {
        tokio::select! {
            entered = into_mesh(talk, job, &node, way) => entered,
            () = serve::interrupted() => Err(failure("", "interrupted")),
        }
    });
    match entered {
        Ok(greeting) => {
            // A node that is there already may have been renamed since.
            let known = job.place.remembered.as_ref().map(|remembered| remembered.name.clone());
            let name = greeting.name.clone().or(known).unwrap_or_else(|| job.options.name.clone());
            job.to_remember(&name).write(&job.place.folder)?;
            Ok(Ready { node, greeting })
        }
        Err(failure) => {
            let is_member = runtime.block_on(node.mesh()).is_ok_and(|mesh| mesh.is_some());
            drop(node);
            Err(after_failure(talk, job, failure, is_member, was_attached))
        }
    }
}

fn after_failure(talk: Talk, job: &Job, failure: Failure, is_member: bool, was_attached: bool) -> Failure {
    if is_member {
        // Let in, but the copy broke off: the node has to be found again, so that it can go on.
        if let Err(also) = job.to_remember(&job.options.name).write(&job.place.folder) {
            talk.warn(&also.to_string());
        }
        return failure.hint(
            "This node is a member already. Go on with the copy:",
            format!("rowmesh up --name {}", job.options.name),
        );
    }
    if !was_attached && let Err(also) = setup::uninstall(&job.options) {
        talk.warn(&format!("the database could not be left as it was found: {also}"));
    }
    failure
}

async fn into_mesh(talk: Talk, job: &Job, node: &Node, way: &Way) -> Outcome<Greeting> {
    if let Some(mesh) = node.mesh().await? {
        if matches!(way, Way::Join(_)) {
            talk.warn(&format!(
                "this node is a member of mesh \"{}\" already; the invite is not used",
                render::clean(&mesh)
            ));
        }
        return Ok(Greeting::default());
    }
    match way {
        Way::Found(name) => {
            let mesh = name.clone().unwrap_or_else(|| job.database.place.stem());
            node.found_mesh(&mesh).await?;
            talk.done(&format!("new mesh \"{mesh}\""));
            Ok(Greeting { name: None, founded: true })
        }
        Way::Join(invite) => {
            let Joined { name, .. } = load(talk, node, invite).await?;
            Ok(Greeting { name: Some(name), founded: false })
        }
    }
}

/// Joins with a bar that shows how the copy comes.
async fn load(talk: Talk, node: &Node, invite: &str) -> Outcome<Joined> {
    let begun = Instant::now();
    let bar = ProgressBar::with_draw_target(None, target(talk));
    bar.set_style(bar_style());
    bar.set_message("joining");
    bar.enable_steady_tick(Duration::from_millis(120));
    let joined = node
        .join(invite, |Progress { rows, rows_total, .. }| {
            bar.set_message("loading");
            bar.set_length(rows_total);
            bar.set_position(rows);
        })
        .await;
    bar.finish_and_clear();
    let joined = joined?;
    talk.done(&format!(
        "joined mesh \"{}\" as {}; its identity matches the invite",
        render::clean(&joined.mesh),
        render::clean(&joined.name)
    ));
    talk.done(&format!("loaded {} in {}", plural(joined.rows, "row"), show_duration(begun.elapsed())));
    Ok(joined)
}

/// A bar on a terminal, nothing elsewhere.
fn target(talk: Talk) -> ProgressDrawTarget {
    if talk.live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

fn bar_style() -> ProgressStyle {
    let template = "  {msg:8} {bar:40} {percent:>3} %   {human_pos}/{human_len} rows   {per_sec}   {eta}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}

/// Told before anything is changed, not after.
fn refuse_taken_port(options: &NodeOptions) -> Outcome<()> {
    options.check()?;
    let Some(address) = &options.listen else { return Ok(()) };
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(source) => Err(BindError { address: address.clone(), source }.into()),
    }
}

/// Starts the configuration of this folder, unless there is one.
fn write_config(context: &Context, job: &Job) -> Outcome<()> {
    if context.config.path.is_some() {
        return Ok(());
    }
    let path = context.config.surroundings().folder.join("rowmesh.toml");
    let url = match &job.database.source {
        Source::DotEnv(..) => "${DATABASE_URL}".to_owned(),
        Source::Variable(name) if name.ends_with("DATABASE_URL") => format!("${{{name}}}"),
        // No password: the file may be shown to others.
        _ => job.database.place.to_remember(&Source::Default).reveal(),
    };
    std::fs::write(&path, example::written_by_init(&job.options.name, &url))
        .map_err(|error| Failure::file("write the configuration", &path, &error))?;
    context.talk.done(&format!("configuration begun in {}", path.display()));
    Ok(())
}

fn ready_to_run(context: &Context, job: &Job) -> Outcome<Exit> {
    let command = format!("rowmesh run {}", job.place.flag(&context.config));
    let document = json!({ "name": job.options.name, "database": job.database.place.to_string(), "data": job.place.folder, "run": command });
    context.talk.result(&document, || format!("Set up. Start it:  {command}\n"))?;
    Ok(Exit::Done)
}

/// A database file that is new, and goes again unless it is kept.
struct NewFile<'a> {
    path: &'a Path,
    kept: bool,
}

impl NewFile<'_> {
    fn make(path: &Path) -> Outcome<NewFile<'_>> {
        std::fs::File::create_new(path).map_err(|error| Failure::file("make the new database", path, &error))?;
        Ok(NewFile { path, kept: false })
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Nothing but an empty schema has ever been in it.
        for ending in ["", "-wal", "-shm"] {
            let mut name = self.path.as_os_str().to_owned();
            name.push(ending);
            let _ = std::fs::remove_file(Path::new(&name));
        }
    }
}
