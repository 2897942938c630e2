//! Reads from `deny.toml` what cargo-deny reads from it, so that there is one truth. Understands the part of TOML that stands there, no more.

use std::collections::BTreeSet;

/// What dependencies may be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Licences, with their exception where they have one.
    pub licences: BTreeSet<String>,
    /// Crates that must not occur at all.
    pub banned: BTreeSet<String>,
    /// Crates that may occur in one version only.
    pub single: BTreeSet<String>,
    /// Registries that crates may come from.
    pub registries: BTreeSet<String>,
}

impl Policy {
    /// Reads the text of `deny.toml`.
    ///
    /// # Errors
    /// A list that we need is missing, empty or not closed.
    pub fn parse(text: &str) -> Result<Policy, String> {
        let text: String = text.lines().map(|line| without_comment(line).to_string() + "\n").collect();
        let banned = list(&text, "bans", "deny")?;
        let (single, banned) = banned.iter().partition::<Vec<&String>, _>(|e| e.contains("deny-multiple-versions"));
        Ok(Policy {
            licences: list(&text, "licenses", "allow")?.iter().map(|entry| first_text(entry)).collect(),
            banned: banned.into_iter().map(|entry| first_text(entry)).collect(),
            single: single.into_iter().map(|entry| first_text(entry)).collect(),
            registries: list(&text, "sources", "allow-registry")?.iter().map(|entry| first_text(entry)).collect(),
        })
    }
}

/// Entries of `key = [ … ]` in `[section]`, each as it was written.
fn list(text: &str, section: &str, key: &str) -> Result<Vec<String>, String> {
    let missing = || format!("deny.toml: no list {key} in [{section}]");
    let (_, body) = text.split_once(&format!("[{section}]\n")).ok_or_else(missing)?;
    let body = body.split("\n[").next().unwrap_or(body);
    let body = format!("\n{body}");
    let (_, value) = body.split_once(&format!("\n{key} = [")).ok_or_else(missing)?;
    let entries = split_entries(value).ok_or_else(|| format!("deny.toml: list {key} in [{section}] is not closed"))?;
    if entries.is_empty() { Err(missing()) } else { Ok(entries) }
}

/// Splits at the commas outside of quotes and braces, up to the closing bracket.
fn split_entries(text: &str) -> Option<Vec<String>> {
    let (mut entries, mut entry, mut in_text, mut depth) = (Vec::new(), String::new(), false, 0u32);
    for c in text.chars() {
        match c {
            '"' => in_text = !in_text,
            '{' | '[' if !in_text => depth += 1,
            ']' if !in_text && depth == 0 => {
                entries.push(entry);
                return Some(entries.into_iter().map(|e| e.trim().to_string()).filter(|e| !e.is_empty()).collect());
            }
            '}' | ']' if !in_text => depth = depth.saturating_sub(1),
            ',' if !in_text && depth == 0 => {
                entries.push(std::mem::take(&mut entry));
                continue;
            }
            _ => {}
        }
        entry.push(c);
    }
    None
}

/// The name stands first in an entry, by itself or as the value of `crate`.
fn first_text(entry: &str) -> String {
    entry.split('"').nth(1).unwrap_or_default().to_string()
}

fn without_comment(line: &str) -> &str {
    let mut in_text = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => in_text = !in_text,
            '#' if !in_text => return &line[..at],
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r##"
# [licenses] in a comment
[graph]
all-features = false

[licenses]
allow = [
  "MIT", # the usual; "GPL" is not
  "Apache-2.0 WITH LLVM-exception",
]

[bans]
multiple-versions = "warn"
deny = [
  "openssl",
  { crate = "sqlx", reason = "schemas, [known] at run time" },
  { crate = "rustls", deny-multiple-versions = true },
]

[sources]
allow-registry = ["https://one.example/index#x"]
"##;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn the_lists_are_read() {
        let policy = Policy::parse(EXAMPLE).expect("valid");
        assert_eq!(policy.licences, set(&["MIT", "Apache-2.0 WITH LLVM-exception"]));
        assert_eq!(policy.banned, set(&["openssl", "sqlx"]));
        assert_eq!(policy.single, set(&["rustls"]));
        assert_eq!(policy.registries, set(&["https://one.example/index#x"]));
    }

    #[test]
    fn a_missing_empty_or_open_list_is_an_error() {
        for (from, to) in [
            ("[bans]", "[ban]"),
            ("allow = [", "permit = ["),
            ("#x\"]", "#x\""),
            ("[\"https://one.example/index#x\"]", "[]"),
        ] {
            let damaged = EXAMPLE.replace(from, to);
            assert!(Policy::parse(&damaged).is_err(), "{from} → {to}");
        }
    }
}
