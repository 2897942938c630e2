//! The repository's files, read once into memory so that checks are functions of text. Does not ask git: build output is left out by itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Larger files are taken for data: known by name, not read.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// All files by their path from the root, with `/` on every platform.
pub struct Repo {
    /// Where the repository lies on this machine.
    pub root: PathBuf,
    files: BTreeMap<String, Option<String>>,
}

impl Repo {
    /// The repository that this program was built from.
    ///
    /// # Errors
    /// A directory or file of it cannot be read.
    pub fn here() -> Result<Repo, String> {
        let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let xtask = manifest_dir.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        let root = xtask.parent().ok_or("xtask lies at the root of the file system")?.to_path_buf();
        let mut files = BTreeMap::new();
        walk(&root, "", &mut files)?;
        Ok(Repo { root, files })
    }

    /// A repository that exists in a test only.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Repo {
        let files = files.iter().map(|(path, text)| (path.to_string(), Some(text.to_string()))).collect();
        Repo { root: PathBuf::from("/nowhere/rowmesh"), files }
    }

    /// Text of a file; none if it is missing or no text.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether a file or directory of this name exists. The empty path is the root.
    pub fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        path.is_empty() || self.files.contains_key(path) || self.has_dir(path)
    }

    /// All paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Path and text of all text files.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Path and text of the text files with this extension, given without the dot.
    pub fn texts_with(&self, extension: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| Path::new(path).extension().is_some_and(|e| e == extension))
    }

    fn has_dir(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.files.range(prefix.clone()..).next().is_some_and(|(first, _)| first.starts_with(&prefix))
    }
}

fn walk(root: &Path, dir: &str, files: &mut BTreeMap<String, Option<String>>) -> Result<(), String> {
    let full = root.join(dir);
    for entry in fs::read_dir(&full).map_err(|e| format!("read directory {}: {e}", full.display()))? {
        let entry = entry.map_err(|e| format!("read directory {}: {e}", full.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if dir.is_empty() { name.clone() } else { format!("{dir}/{name}") };
        let kind = entry.file_type().map_err(|e| format!("read type of {path}: {e}"))?;
        if kind.is_dir() {
            if name != ".git" && !is_build_output(&entry.path()) {
                walk(root, &path, files)?;
            }
        } else if kind.is_file() {
            let text = read_text(&entry.path());
            files.insert(path, text);
        }
    }
    Ok(())
}

/// Cargo marks its target directories as caches.
fn is_build_output(dir: &Path) -> bool {
    dir.join("CACHEDIR.TAG").exists()
}

/// A file that vanishes while we look (an editor's, a test's) is no file of ours.
fn read_text(path: &Path) -> Option<String> {
    let small = fs::metadata(path).ok()?.len() <= TEXT_BYTES_MAX;
    if small { fs::read_to_string(path).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_exists_through_its_files_and_a_prefix_is_no_directory() {
        let repo = Repo::of(&[("crates/core-extra/a.rs", ""), ("crates/core.rs", "")]);
        assert!(repo.exists("crates"));
        assert!(repo.exists("crates/"));
        assert!(repo.exists("crates/core-extra"));
        assert!(repo.exists("crates/core.rs"));
        assert!(!repo.exists("crates/core"));
        assert!(!repo.exists("docs"));
    }

    #[test]
    fn this_very_file_is_found_and_build_output_is_not() {
        let repo = Repo::here().expect("readable repository");
        assert!(repo.text("xtask/src/repo.rs").is_some_and(|text| text.contains("this_very_file_is_found")));
        assert!(repo.paths().all(|path| !path.starts_with("target/") && !path.starts_with(".git/")));
    }
}
