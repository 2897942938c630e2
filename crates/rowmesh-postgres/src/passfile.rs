//! `~/.pgpass`: one line `host:port:database:user:password` per server, `*` for any, the first that fits counts. A file that others may read is
//! not used, as libpq does not; but that is said where its password would have been needed.

use std::path::{Path, PathBuf};

use crate::location::{Host, Location, Password, Server};
use crate::url::UrlError;

/// Gives each server the password that the file has for it.
///
/// # Errors
/// If others may read the file. That it is not there, or not for us to read, is no error.
pub fn add_passwords(location: &mut Location, path: &Path) -> Result<(), UrlError> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(()) };
    let found: Vec<Option<Password>> =
        location.servers.iter().map(|server| find(&text, server, &location.database, &location.user)).collect();
    if found.iter().any(Option::is_some) && is_open_to_others(path) {
        return Err(UrlError::PassfileOpen(path.to_owned()));
    }
    for (server, password) in location.servers.iter_mut().zip(found) {
        server.password = password;
    }
    Ok(())
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_path: &Path) -> bool {
    false
}

fn find(text: &str, server: &Server, database: &str, user: &str) -> Option<Password> {
    let is_usual_socket = |folder: &PathBuf| {
        ["/tmp", "/var/run/postgresql", "/run/postgresql"].iter().any(|usual| folder == Path::new(usual))
    };
    let host = match &server.host {
        Host::Name(name) => name.clone(),
        Host::Folder(folder) if is_usual_socket(folder) => "localhost".to_owned(),
        Host::Folder(folder) => folder.to_string_lossy().into_owned(),
    };
    let wanted = [host, server.port.to_string(), database.to_owned(), user.to_owned()];
    let fits = |fields: &Vec<String>| {
        fields.len() == 5 && fields.iter().zip(&wanted).all(|(field, wanted)| field == "*" || field == wanted)
    };
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(fields_of);
    lines.filter(fits).map(|fields| Password::new(&fields[4])).next()
}

/// Parts at colons; a backslash takes the meaning from what follows. The fifth part is the rest of the line.
fn fields_of(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let last = fields.len() - 1;
        match c {
            '\\' => fields[last].extend(chars.next()),
            ':' if fields.len() < 5 => fields.push(String::new()),
            c => fields[last].push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::PORT;

    fn found(line: &str) -> Option<String> {
        let server = Server::new(Host::Name("db.example".to_owned()), PORT);
        find(line, &server, "shop", "app").map(|password| password.reveal().to_owned())
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let check = |text: &str, password: Option<&str>| assert_eq!(found(text).as_deref(), password, "{text}");
        check("db.example:5432:shop:app:one", Some("one"));
        check("*:*:*:*:any", Some("any"));
        check("# db.example:5432:shop:app:comment\n*:*:shop:app:two", Some("two"));
        check("other:*:*:*:one\ndb.example:*:*:app:two\n*:*:*:*:three", Some("two"));
        check("db.example:5433:shop:app:port", None);
        check("db.example:5432:shop:other:user", None);
        check("db.example:5432:shop", None);
        check("*:*:*:*:with\\:colon\\\\and:more", Some("with:colon\\and:more"));
    }

    #[test]
    fn a_socket_in_the_usual_place_goes_by_the_name_of_localhost() {
        let at = |folder: &str| find("localhost:*:*:*:x", &Server::new(Host::Folder(folder.into()), PORT), "a", "b");
        assert!(at("/var/run/postgresql").is_some());
        assert!(at("/srv/sockets").is_none());
    }
}
