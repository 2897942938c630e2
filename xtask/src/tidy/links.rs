//! Links between the documents. Those to the outside are not followed: a check must not depend on a network.

use std::path::{Component, Path};

use crate::findings::Findings;
use crate::markdown;
use crate::repo::Repo;

/// Every link to a file or heading of this repository leads somewhere.
pub fn every_link_resolves(repo: &Repo) -> Findings {
    let mut problems = Vec::new();
    for (path, text) in repo.texts_with("md") {
        for line in markdown::lines(text).filter(|line| !line.fenced) {
            let broken = markdown::links(line.text).into_iter().filter(|target| !resolves(repo, path, target));
            problems.extend(broken.map(|target| format!("{path}:{}: link to {target} leads nowhere", line.number)));
        }
    }
    problems.into_iter().collect()
}

fn resolves(repo: &Repo, from: &str, target: &str) -> bool {
    if target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let Some(path) = resolve(from, file) else {
        return false;
    };
    let has_anchor = || repo.text(&path).is_some_and(|text| markdown::anchors(text).iter().any(|a| a == anchor));
    repo.exists(&path) && (anchor.is_empty() || has_anchor())
}

/// Path from the root of a file that is named relative to another (the empty name is that other); none if it lies outside.
fn resolve(from: &str, file: &str) -> Option<String> {
    if file.is_empty() {
        return Some(from.to_string());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for component in Path::new(file).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(parts.pop()?),
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, broken: usize) {
        let repo = Repo::of(&[("docs/a.md", line), ("docs/b.md", "# Two words\n"), ("README.md", "")]);
        assert_eq!(every_link_resolves(&repo).problems.len(), broken, "{line}");
    }

    #[test]
    fn links_are_followed_relative_to_their_file() {
        check("[b](b.md) [b](./b.md#two-words) [r](../README.md) [d](../docs/) [w](https://example.com/x)", 0);
        check("[b](docs/b.md)", 1);
        check("[b](b.md#three)", 1);
        check("[r](../../README.md)", 1);
        check("[r](/README.md)", 1);
        check("[here](#there)", 1);
        check("```\n[b](nothing.md)\n```", 0);
    }
}
