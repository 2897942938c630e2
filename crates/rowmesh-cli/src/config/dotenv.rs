//! `./.env`, read for `DATABASE_URL` and nothing else: what else stands there is none of our business.

use std::path::{Path, PathBuf};

/// Name of the one variable that is read.
pub const VARIABLE: &str = "DATABASE_URL";

/// Its value, with file and line. The last assignment counts, as in a shell.
pub fn database_url(folder: &Path) -> Option<(String, PathBuf, usize)> {
    let path = folder.join(".env");
    let text = std::fs::read_to_string(&path).ok()?;
    let found = text.lines().enumerate().filter_map(|(at, line)| Some((assigned(line)?, at + 1))).last()?;
    Some((found.0, path, found.1)).filter(|(url, ..)| !url.is_empty())
}

/// The value of a line `DATABASE_URL=…`, with or without `export`, spaces, quotes and a comment behind.
fn assigned(line: &str) -> Option<String> {
    let line = line.trim().strip_prefix("export ").unwrap_or(line.trim());
    let (name, value) = line.split_once('=')?;
    if name.trim() != VARIABLE {
        return None;
    }
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some((inside, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return Some(inside.to_owned());
        }
    }
    // Without quotes a comment begins at a # behind a space: one inside a URL is part of it.
    Some(value.split(" #").next().unwrap_or(value).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_ways_to_write_a_line_are_read() {
        let check = |line: &str, value: Option<&str>| assert_eq!(assigned(line).as_deref(), value, "{line}");
        check("DATABASE_URL=file:./dev.db", Some("file:./dev.db"));
        check("DATABASE_URL=\"file:./dev.db\"", Some("file:./dev.db"));
        check("  export DATABASE_URL = 'file:./dev.db' # here", Some("file:./dev.db"));
        check("DATABASE_URL=file:./a#b.db # note", Some("file:./a#b.db"));
        check("DATABASE_URL=", Some(""));
        check("# DATABASE_URL=file:./dev.db", None);
        check("SHADOW_DATABASE_URL=file:./dev.db", None);
        check("", None);
    }

    #[test]
    fn the_last_line_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(database_url(folder.path()), None);
        let text = "SECRET=1\nDATABASE_URL=file:./a.db\n\nDATABASE_URL=file:./b.db\n";
        std::fs::write(folder.path().join(".env"), text).expect("written");
        let (url, path, line) = database_url(folder.path()).expect("found");
        assert_eq!((url.as_str(), line), ("file:./b.db", 4));
        assert!(path.ends_with(".env"));
    }
}
