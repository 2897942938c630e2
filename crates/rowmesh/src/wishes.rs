//! What a node's options ask of the whole mesh: what travels, how conflicts are settled. They count where they ask for something else than at the last
//! start: what was decided at run time since then stays. What people decide at run time is `decisions` and `policies`.

use std::path::PathBuf;

use rowmesh_core::ident::hex;
use rowmesh_core::roster::{self, Role, RowFilter, TablePolicy};
use rowmesh_core::scope::TablePatterns;
use tracing::info;

use crate::failure::{Failure, code};
use crate::files;
use crate::options::NodeOptions;
use crate::policies;
use crate::shared::Shared;

/// Brings to the mesh what the options ask for anew, where this node may decide it.
///
/// # Errors
/// If the database or the data folder cannot be read or written.
pub(crate) async fn settle(shared: &Shared) -> Result<(), Failure> {
    settle_scope(shared).await?;
    settle_policies(shared).await
}

async fn settle_scope(shared: &Shared) -> Result<(), Failure> {
    let tables = shared.store.read(|store| store.tables(false)).await?;
    let tables = tables.into_iter().map(|table| table.name).collect();
    let roster = shared.members.roster();
    let Some(wanted) = wanted_scope(&shared.options, roster.scope(), tables) else { return Ok(()) };
    let asked = Asked::scope(&shared.options);
    if asked.is_as_before()? {
        return Ok(());
    }
    if roster.scope() == Some(&wanted) {
        return asked.remember();
    }
    if !may_decide(shared, "scope", "this node's rules of what travels are not those of the mesh, which hold") {
        return Ok(());
    }
    let entry = shared.members.sign(|roster, signer, now| roster.set_scope(signer, now, wanted).map(Some)).await?;
    info!(changed = entry.is_some(), "the mesh's rules of what travels are this node's now");
    asked.remember()
}

/// What the options say about what travels; `None` where they say nothing. Who sets filters has seen the plan, and with it the tables that
/// there are; those that come later are not known, however often the node starts.
pub(crate) fn wanted_scope(
    options: &NodeOptions,
    now: Option<&roster::Scope>,
    tables: Vec<String>,
) -> Option<roster::Scope> {
    let NodeOptions { include, exclude, filters, .. } = options;
    let says_nothing = include.iter().all(|pattern| pattern == "*") && exclude.is_empty() && filters.is_empty();
    let known = match now {
        Some(now) if now.filters == *filters => now.known.clone(),
        _ => (!filters.is_empty()).then_some(tables),
    };
    let exclude = TablePatterns { include: include.clone(), exclude: exclude.clone() }.to_rules();
    (!says_nothing).then(|| roster::Scope { exclude, filters: filters.clone(), known, extras: Vec::new() })
}

async fn settle_policies(shared: &Shared) -> Result<(), Failure> {
    let wanted = shared.options.policies.clone();
    let asked = Asked::policies(&shared.options);
    if asked.is_as_before()? || (wanted.is_empty() && !asked.was_asked()?) {
        return Ok(());
    }
    let roster = shared.members.roster();
    let resolved = wanted.iter().map(|wish| policies::resolved(&roster, wish));
    let (wanted, unknown): (Vec<TablePolicy>, Vec<_>) = resolved.unzip();
    let unknown = unknown.into_iter().flatten().next();
    let missing: Vec<_> = wanted.iter().filter_map(|wish| policies::joined(&roster, wish)).collect();
    let what = "this node's rules of how conflicts are settled are not those of the mesh, which hold";
    if !missing.is_empty() && !may_decide(shared, "policies", what) {
        return Ok(());
    }
    for wish in wanted {
        let signed = shared.members.sign(move |roster, signer, now| {
            policies::joined(roster, &wish).map(|policy| roster.set_policy(signer, now, policy)).transpose()
        });
        signed.await?;
    }
    info!(changed = !missing.is_empty(), "the mesh settles conflicts as this node asks");
    if let Some(unknown) = unknown {
        // What is left is asked for again at the next start: the node that it names may join later.
        shared.book().notices.insert("policies".to_owned(), unknown);
        return Ok(());
    }
    asked.remember()
}

/// Whether this node decides for the mesh; else people are told that its configuration does not hold.
fn may_decide(shared: &Shared, notice: &str, what: &str) -> bool {
    let is_admin = shared.members.roster().member(&shared.me()).is_some_and(|member| member.role == Role::Admin);
    if !is_admin {
        let failure = Failure::new(code::BAD_SETTING, what).hint(
            "Change them on an admin node, or take them out of this node's configuration.",
            "rowmesh config show",
        );
        shared.book().notices.insert(notice.to_owned(), failure);
    }
    is_admin
}

/// What the options ask for, in a few bytes that outlive the process.
struct Asked {
    file: PathBuf,
    words: String,
}

impl Asked {
    /// Of what travels.
    fn scope(options: &NodeOptions) -> Asked {
        let NodeOptions { include, exclude, filters, .. } = options;
        let mut asks = Asks::default();
        asks.list(include);
        asks.list(exclude);
        for filter in filters {
            let RowFilter { name, root, condition, follow, several_owners, extras: _ } = filter;
            [name, root, condition].into_iter().for_each(|part| asks.text(part));
            asks.list(follow);
            asks.text(several_owners.as_deref().unwrap_or_default());
        }
        asks.keep(options.data.join("scope.asked"))
    }

    /// Of how conflicts are settled.
    fn policies(options: &NodeOptions) -> Asked {
        let mut asks = Asks::default();
        for policy in &options.policies {
            let roster::TablePolicy { table, existence, columns, references, extras: _ } = policy;
            asks.text(table);
            asks.text(existence.as_deref().unwrap_or_default());
            asks.text(&columns.len().to_string());
            columns.iter().flat_map(|(column, rule)| [column, rule]).for_each(|part| asks.text(part));
            references.iter().flat_map(|(column, rule)| [column, rule]).for_each(|part| asks.text(part));
        }
        asks.keep(options.data.join("policies.asked"))
    }

    fn is_as_before(&self) -> Result<bool, Failure> {
        Ok(files::read(&self.file)?.is_some_and(|before| before == self.words.as_bytes()))
    }

    fn was_asked(&self) -> Result<bool, Failure> {
        Ok(files::read(&self.file)?.is_some())
    }

    fn remember(&self) -> Result<(), Failure> {
        files::write(&self.file, self.words.as_bytes())
    }
}

/// Texts on their way into those few bytes.
#[derive(Default)]
struct Asks(blake3::Hasher);

impl Asks {
    fn text(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_be_bytes()).update(text.as_bytes());
    }

    fn list(&mut self, texts: &[String]) {
        self.text(&texts.len().to_string());
        texts.iter().for_each(|text| self.text(text));
    }

    fn keep(self, file: PathBuf) -> Asked {
        Asked { file, words: hex(self.0.finalize().as_bytes()) }
    }
}
