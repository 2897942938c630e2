//! Which database is meant: an argument, a setting, `DATABASE_URL` or `./.env`, in all the spellings that applications use. Opens nothing.

use std::path::{Path, PathBuf};

use rowmesh::postgres;

use super::dotenv;
use super::whereabouts::{Whereabouts, not_understood, postgres_surroundings};
use super::{Config, Source, Value, candidates};
use crate::failure::{Outcome, failure};

/// The database that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Where it is.
    pub place: Whereabouts,
    /// Who said so.
    pub source: Source,
}

/// The database that is meant.
///
/// # Errors
/// RM1201 if nobody names one, and as [`find`].
pub fn require(config: &Config, argument: Option<&str>) -> Outcome<Database> {
    find(config, argument)?.ok_or_else(|| {
        let looked: Vec<String> =
            candidates(config.surroundings()).iter().map(|path| path.display().to_string()).collect();
        failure("RM1201", "no database given")
            .why(format!(
                "Looked at: argument, --config, {}, DATABASE_URL, ./.env, PGHOST, PGDATABASE",
                looked.join(", ")
            ))
            .hint("", "rowmesh up shop.db")
            .hint("", "rowmesh up postgres://USER@HOST/DATABASE")
            .hint("Or for good, in rowmesh.toml:", "[database] url = \"shop.db\"")
    })
}

/// The database that is meant, if anything names one.
///
/// # Errors
/// RM1301 for databases that this version does not speak, RM1302 for what is no database, RM1210 for a url of PostgreSQL that cannot
/// be used, RM1106 for a placeholder without value, RM1303 for a `url_file` that cannot be read.
pub fn find(config: &Config, argument: Option<&str>) -> Outcome<Option<Database>> {
    let Some(argument) = argument else {
        return match named_by_url(config)? {
            Some(found) => Ok(Some(found)),
            None => named_by_variables(config),
        };
    };
    let source = Source::Flag("argument".into());
    if postgres::is_postgres(argument) {
        return server(config, argument, source).map(Some);
    }
    let path = sqlite_path(argument, &config.surroundings().folder, &source)?;
    Ok(Some(Database { place: Whereabouts::File(path), source }))
}

/// The database that a url in the configuration, a variable or `./.env` names.
///
/// # Errors
/// As [`find`].
pub fn named_by_url(config: &Config) -> Outcome<Option<Database>> {
    let Some((url, source)) = url(config)? else { return Ok(None) };
    if postgres::is_postgres(&url) {
        return server(config, &url, source).map(Some);
    }
    let folder = &config.surroundings().folder;
    let base = match &source {
        Source::File(file, _) => folder.join(file).parent().map_or_else(|| folder.clone(), Path::to_owned),
        _ => folder.clone(),
    };
    let path = sqlite_path(&url, &base, &source)?;
    Ok(Some(Database { place: Whereabouts::File(prisma_place(path, &url, &base)?), source }))
}

/// The database that a node's folder remembers, with the password that it may have left to be found elsewhere: in a url that names the
/// same database, in `PGPASSWORD`, in `~/.pgpass`.
///
/// # Errors
/// As [`find`], of `~/.pgpass`.
pub fn remembered(config: &Config, place: Whereabouts, folder: PathBuf) -> Outcome<Database> {
    let source = Source::Remembered(folder);
    let is_complete = match &place {
        Whereabouts::File(_) => true,
        Whereabouts::Server(location) => location.password.is_some(),
    };
    if is_complete {
        return Ok(Database { place, source });
    }
    match named_by_url(config) {
        Ok(Some(found)) if found.place.is_same(&place) => Ok(Database { place: found.place, source }),
        _ => server(config, &place.reveal(), source),
    }
}

/// `PGHOST` and its like, which count only where nothing else names a database.
fn named_by_variables(config: &Config) -> Outcome<Option<Database>> {
    let names = ["PGHOST", "PGHOSTADDR", "PGDATABASE"];
    let Some(name) = names.into_iter().find(|name| config.surroundings().variable(name).is_some()) else {
        return Ok(None);
    };
    let source = Source::Variable(name.to_owned());
    let found = postgres::of_variables(&postgres_surroundings(config.surroundings()));
    let found = found.map_err(|error| not_understood(&error, &source))?;
    Ok(found.map(|location| Database { place: Whereabouts::Server(Box::new(location)), source }))
}

fn server(config: &Config, url: &str, source: Source) -> Outcome<Database> {
    let location = postgres::parse(url, &postgres_surroundings(config.surroundings()));
    let location = location.map_err(|error| not_understood(&error, &source))?;
    Ok(Database { place: Whereabouts::Server(Box::new(location)), source })
}

fn url(config: &Config) -> Outcome<Option<(String, Source)>> {
    let (url, file) = (config.given("database.url"), config.given("database.url_file"));
    match (url, file) {
        (Some(url), Some(file)) if rank(&url.source) == rank(&file.source) => {
            let text = format!("database.url ({}) and database.url_file ({}) are both set", url.source, file.source);
            Err(failure("RM1103", text).hint("Keep one of them.", ""))
        }
        (Some(url), file) if file.is_none_or(|file| rank(&url.source) < rank(&file.source)) => match &url.value {
            Value::Text(text) => expand(config, text, &url.source),
            Value::List(_) | Value::Duration(_) => Ok(None),
        },
        (_, Some(file)) => read_url_file(config, &file.source),
        _ => expand(config, &config.text("database.url"), &Source::Default),
    }
}

fn rank(source: &Source) -> u8 {
    match source {
        Source::Flag(_) => 0,
        Source::Variable(_) => 1,
        Source::File(..) => 2,
        Source::DotEnv(..) => 3,
        Source::Remembered(_) => 4,
        Source::Default => 5,
    }
}

fn read_url_file(config: &Config, source: &Source) -> Outcome<Option<(String, Source)>> {
    let path = config.surroundings().folder.join(config.text("database.url_file"));
    let text = std::fs::read_to_string(&path).map_err(|error| {
        failure("RM1303", format!("{} cannot be read", path.display()))
            .at(format!("named by database.url_file ({source})"))
            .why(error.to_string())
    })?;
    let url = text.trim();
    if url.is_empty() {
        return Err(failure("RM1303", format!("{} is empty", path.display()))
            .at(format!("named by database.url_file ({source})")));
    }
    Ok(Some((url.to_owned(), Source::File(path, 1))))
}

/// Puts in what `${NAME}` stands for. Nothing was given where the default's own placeholder has no value.
fn expand(config: &Config, text: &str, source: &Source) -> Outcome<Option<(String, Source)>> {
    let Some((before, rest)) = text.split_once("${") else {
        return Ok(Some((text.to_owned(), source.clone())).filter(|_| !text.is_empty()));
    };
    let Some((name, after)) = rest.split_once('}') else {
        return Err(failure("RM1106", format!("database.url ({source}): \"${{\" is never closed")));
    };
    let variable = config.surroundings().variable(name).map(|v| (v.to_owned(), Source::Variable(name.to_owned())));
    let dotenv = || {
        let (url, path, line) = dotenv::database_url(&config.surroundings().folder)?;
        Some((url, Source::DotEnv(path, line)))
    };
    match variable.or_else(|| if name == dotenv::VARIABLE { dotenv() } else { None }) {
        Some((value, from)) => {
            let whole = before.is_empty() && after.is_empty();
            // Of a value that is only partly a placeholder the place of the whole is the better answer.
            let source = if whole { from } else { source.clone() };
            Ok(Some((format!("{before}{value}{after}"), source)))
        }
        None if *source == Source::Default => Ok(None),
        None => Err(failure("RM1106", format!("database.url ({source}) needs {name}, which is not set"))
            .hint("Set it, or write the url itself.", "")),
    }
}

/// The file that a SQLite url or path names.
fn sqlite_path(url: &str, base: &Path, source: &Source) -> Outcome<PathBuf> {
    let lower = url.to_lowercase();
    let path = if lower.starts_with("file:") || lower.starts_with("sqlite:") {
        let rest = url.split_once(':').map_or("", |(_, rest)| rest);
        // `sqlite:///abs`, `sqlite://rel` and `sqlite:rel` are all in use; of `file://` the host part is always empty.
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        decode(rest.split(['?', '#']).next().unwrap_or(rest))
    } else if let Some((scheme, _)) = url.split_once("://") {
        return Err(not_spoken(scheme, source));
    } else {
        url.to_owned()
    };
    if path.is_empty() || path.contains(":memory:") {
        return Err(failure("RM1302", format!("{url:?} is no database that could be kept in sync"))
            .at(format!("given by {source}"))
            .why("a database in memory is gone when the program ends")
            .hint("A SQLite file:", "rowmesh up shop.db"));
    }
    Ok(normal(&base.join(path)))
}

fn not_spoken(scheme: &str, source: &Source) -> rowmesh::failure::Failure {
    let kind = scheme.split('+').next().unwrap_or(scheme).to_lowercase();
    let name = match kind.as_str() {
        "mysql" | "mariadb" => "MySQL",
        _ => {
            return failure("RM1302", format!("\"{scheme}://\" is no database that rowmesh knows"))
                .at(format!("given by {source}"))
                .hint("A SQLite file:", "rowmesh up shop.db");
        }
    };
    failure("RM1301", format!("this version of rowmesh keeps SQLite and PostgreSQL databases in sync, not {name}"))
        .at(format!("given by {source}"))
        .hint("A SQLite file:", "rowmesh up shop.db")
        .hint("Or PostgreSQL:", "rowmesh up postgres://USER@HOST/DATABASE")
}

/// Prisma takes `file:./dev.db` from the folder of its schema, other programs from the working folder.
fn prisma_place(path: PathBuf, url: &str, base: &Path) -> Outcome<PathBuf> {
    let schema = base.join("prisma/schema.prisma");
    let relative = url.strip_prefix("file:").filter(|rest| !rest.starts_with('/'));
    let (Some(_), Ok(inside)) = (relative.filter(|_| schema.exists()), path.strip_prefix(base)) else {
        return Ok(path);
    };
    let beside_schema = normal(&base.join("prisma").join(inside));
    if path.exists() && beside_schema.exists() {
        return Err(failure("RM1304", format!("{url:?} can mean two files here"))
            .why("Prisma takes it from the folder of prisma/schema.prisma, other programs from the working folder")
            .hint("This one:", format!("rowmesh up {}", beside_schema.display()))
            .hint("Or this one:", format!("rowmesh up {}", path.display())));
    }
    Ok(if path.exists() { path } else { beside_schema })
}

/// `%20` and its like; what is no such sequence stands for itself.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

/// Without `.` and `..`, links followed as far as the path exists: one database has one name.
fn normal(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent().and_then(|parent| parent.canonicalize().ok()), path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Surroundings;
    use crate::config::whereabouts::shown;

    fn in_folder(folder: &Path, variables: &[(&str, &str)]) -> Config {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let surroundings = Surroundings { variables, folder: folder.to_owned(), host: "till-1".into() };
        Config::load(&surroundings, None).expect("loads")
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let guard = tempfile::tempdir().expect("a folder");
        let real = guard.path().canonicalize().expect("exists");
        (guard, real)
    }

    #[test]
    fn every_spelling_of_a_sqlite_file_is_understood() {
        let (_guard, folder) = folder();
        let config = in_folder(&folder, &[]);
        let check = |url: &str, expected: &Path| {
            assert_eq!(require(&config, Some(url)).expect(url).place.file(), Some(expected), "{url}");
        };
        for url in [
            "shop.db",
            "./shop.db",
            "file:shop.db",
            "file:./shop.db?connection_limit=1",
            "sqlite:shop.db",
            "sqlite://shop.db",
        ] {
            check(url, &folder.join("shop.db"));
        }
        let absolute = folder.join("a b.db");
        check(&absolute.display().to_string(), &absolute);
        check(&format!("sqlite://{}", absolute.display().to_string().replace(' ', "%20")), &absolute);
        check(&format!("file://{}", absolute.display()), &absolute);
    }

    #[test]
    fn other_databases_and_nonsense_are_told_apart() {
        let (_guard, folder) = folder();
        let config = in_folder(&folder, &[]);
        let check = |url: &str, code: &str| assert_eq!(require(&config, Some(url)).expect_err(url).code, code, "{url}");
        check("postgres://user@host:port/db", "RM1210");
        check("prisma://accelerate.example/?api_key=x", "RM1210");
        check("postgres://user@host/db?sslmod=require", "RM1210");
        check("mysql://user@host/db", "RM1301");
        check("mongodb://host/db", "RM1302");
        check(":memory:", "RM1302");
        check("file::memory:?cache=shared", "RM1302");
        check("", "RM1302");
        assert_eq!(require(&config, None).expect_err("none given").code, "RM1201");
    }

    #[test]
    fn k12_the_password_of_a_url_is_never_shown() {
        let (_guard, folder) = folder();
        for url in
            ["mysql://app:hunter2@host/db", "postgres://app:hunter2@host:x/db", "postgres://app:hunter2/x@host/db"]
        {
            let refused = require(&in_folder(&folder, &[("DATABASE_URL", url)]), None).expect_err(url);
            assert!(!format!("{refused:?}").contains("hunter2"), "{refused:?}");
            assert!(!shown(url).contains("hunter2"), "{url}");
        }
        let url = "postgres://app:hunter2@host/db?sslmode=require";
        let found = require(&in_folder(&folder, &[("DATABASE_URL", url)]), None).expect("found");
        assert!(!format!("{found:?} {}", found.place).contains("hunter2"), "{found:?}");
        assert!(found.place.reveal().contains("hunter2"), "the node needs it");
        assert_eq!(shown(url), "postgres://app@host:5432/db");
        assert_eq!(shown("shop.db"), "shop.db");
    }

    #[test]
    fn a_database_of_a_server_is_found_wherever_one_is_named() {
        let (_guard, folder) = folder();
        let check = |variables: &[(&str, &str)], argument: Option<&str>, place: &str, source: &str| {
            let found = require(&in_folder(&folder, variables), argument).expect("found");
            assert_eq!(found.place.to_string(), place);
            assert_eq!(found.source.to_string().replace(&format!("{}/", folder.display()), ""), source);
        };
        let variables = [("PGHOST", "db.example"), ("PGDATABASE", "shop"), ("PGUSER", "app")];
        check(&variables, None, "postgres://app@db.example:5432/shop", "environment PGHOST");
        let url = "postgresql+psycopg://app:x@one,two/shop?schema=public";
        check(&variables, Some(url), "postgres://app@one:5432,two:5432/shop", "argument");
        check(&variables, Some("host=other dbname=x"), "postgres://app@other:5432/x", "argument");
        let both = [variables.as_slice(), &[("DATABASE_URL", "postgres://web@main")]].concat();
        check(&both, None, "postgres://web@main:5432/shop", "environment DATABASE_URL");
        check(
            &[("DATABASE_URL", "shop.db"), variables[0]],
            None,
            &folder.join("shop.db").display().to_string(),
            "environment DATABASE_URL",
        );
        std::fs::write(folder.join(".env"), "DATABASE_URL=\"postgres://app@env/shop\"\n").expect("written");
        check(&variables, None, "postgres://app@env:5432/shop", ".env:1");
        assert_eq!(
            require(&in_folder(&folder, &[("PGUSER", "app")]), Some("postgres://")).expect("found").place.stem(),
            "app"
        );
    }

    #[test]
    fn a_remembered_server_finds_its_password_where_it_was_found_before() {
        let (_guard, folder) = folder();
        let remember = |url: &str, source: Source| {
            let found = require(&in_folder(&folder, &[]), Some(url)).expect("found");
            found.place.to_remember(&source).reveal()
        };
        let url = "postgres://app:hunter2@host/shop?sslmode=require&sslrootcert=ca.pem";
        let by_variable = remember(url, Source::Variable("DATABASE_URL".into()));
        assert!(!by_variable.contains("hunter2"), "{by_variable}");
        let typed = remember(url, Source::Flag("argument".into()));
        assert!(typed.contains("hunter2"), "nowhere else could it be found again");
        let again = |text: &str, variables: &[(&str, &str)]| {
            let place = Whereabouts::of_remembered(text).expect("written by us");
            remembered(&in_folder(&folder, variables), place, folder.clone()).expect("found").place.reveal()
        };
        assert_eq!(again(&typed, &[]), typed);
        assert_eq!(again(&by_variable, &[("PGPASSWORD", "hunter2")]), typed);
        assert_eq!(again(&by_variable, &[("DATABASE_URL", url)]), typed);
        assert_eq!(again(&by_variable, &[("DATABASE_URL", "postgres://app:other@elsewhere/shop")]), by_variable);
    }

    #[test]
    fn the_nearest_of_all_sources_counts_and_is_named() {
        let (_guard, folder) = folder();
        std::fs::write(folder.join(".env"), "DATABASE_URL=\"file:./env.db\"\n").expect("written");
        let check = |variables: &[(&str, &str)], argument: Option<&str>, file: &str, source: &str| {
            let found = require(&in_folder(&folder, variables), argument).expect("found");
            assert_eq!(found.place.file(), Some(folder.join(file).as_path()));
            assert_eq!(found.source.to_string().replace(&format!("{}/", folder.display()), ""), source);
        };
        let both = [("DATABASE_URL", "variable.db"), ("ROWMESH_DATABASE_URL", "own.db")];
        check(&[], None, "env.db", ".env:1");
        check(&both[..1], None, "variable.db", "environment DATABASE_URL");
        check(&both, None, "own.db", "environment ROWMESH_DATABASE_URL");
        check(&both, Some("argument.db"), "argument.db", "argument");
        std::fs::write(folder.join("rowmesh.toml"), "[database]\nurl = \"file.db\"\n").expect("written");
        check(&both[..1], None, "file.db", "rowmesh.toml:2");
        std::fs::write(folder.join("rowmesh.toml"), "[database]\nurl = \"${DATABASE_URL}\"\n").expect("written");
        check(&both[..1], None, "variable.db", "environment DATABASE_URL");
        check(&[], None, "env.db", ".env:1");
    }

    #[test]
    fn a_placeholder_without_value_is_an_error_where_it_was_written() {
        let (_guard, folder) = folder();
        std::fs::write(folder.join("rowmesh.toml"), "[database]\nurl = \"${SHOP_DB}\"\n").expect("written");
        let refused = require(&in_folder(&folder, &[]), None).expect_err("SHOP_DB is not set");
        assert_eq!(refused.code, "RM1106");
        assert!(refused.message.contains("rowmesh.toml:2) needs SHOP_DB"), "{}", refused.message);
    }

    #[test]
    fn a_secret_file_is_read_and_its_absence_told() {
        let (_guard, folder) = folder();
        std::fs::write(folder.join("rowmesh.toml"), "[database]\nurl_file = \"url\"\n").expect("written");
        assert_eq!(require(&in_folder(&folder, &[]), None).expect_err("no such file").code, "RM1303");
        std::fs::write(folder.join("url"), "shop.db\n").expect("written");
        assert_eq!(
            require(&in_folder(&folder, &[]), None).expect("read").place.file(),
            Some(folder.join("shop.db").as_path())
        );
        std::fs::write(folder.join("rowmesh.toml"), "[database]\nurl = \"a\"\nurl_file = \"url\"\n").expect("written");
        assert_eq!(require(&in_folder(&folder, &[]), None).expect_err("both").code, "RM1103");
    }

    #[test]
    fn prisma_files_lie_beside_their_schema() {
        let (_guard, folder) = folder();
        std::fs::create_dir(folder.join("prisma")).expect("made");
        std::fs::write(folder.join("prisma/schema.prisma"), "").expect("written");
        let url = [("DATABASE_URL", "file:./dev.db")];
        let find = || require(&in_folder(&folder, &url), None);
        assert_eq!(find().expect("found").place.file(), Some(folder.join("prisma/dev.db").as_path()));
        std::fs::write(folder.join("dev.db"), "").expect("written");
        assert_eq!(find().expect("found").place.file(), Some(folder.join("dev.db").as_path()));
        std::fs::write(folder.join("prisma/dev.db"), "").expect("written");
        assert_eq!(find().expect_err("two").code, "RM1304");
    }
}
