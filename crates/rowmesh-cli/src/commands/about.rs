//! Commands about the program itself: explain, completions, man, version. They need neither configuration nor node.

use clap::CommandFactory;
use rowmesh::failure::Failure;
use serde_json::json;

use crate::args::{Cli, Completions, Explain, Man, Version};
use crate::config::suggest::nearest;
use crate::exit::Exit;
use crate::explain;
use crate::failure::{Outcome, failure};
use crate::talk::Talk;

/// `rowmesh explain`.
pub fn explain(talk: Talk, arguments: &Explain) -> Outcome<Exit> {
    let Some(code) = &arguments.code else {
        let pages = explain::pages();
        let titles: Vec<_> = pages.iter().map(|page| json!({ "code": page.code, "title": page.title })).collect();
        let text = || pages.iter().map(|page| format!("{}  {}\n", talk.out.bold(&page.code), page.title)).collect();
        talk.result(&json!({ "codes": titles }), text)?;
        return Ok(Exit::Done);
    };
    let Some(page) = explain::page(code) else {
        let pages = explain::pages();
        let meant = nearest(code, pages.iter().map(|page| page.code.as_str()));
        let meant = meant.map(|code| format!(". Did you mean {code}?")).unwrap_or_default();
        return Err(
            failure("RM1501", format!("there is no code {code:?}{meant}")).hint("All of them:", "rowmesh explain")
        );
    };
    talk.result(&page, || format!("{} {}\n\n{}\n", talk.out.bold(&page.code), talk.out.bold(&page.title), page.text))?;
    Ok(Exit::Done)
}

/// `rowmesh completions`.
pub fn completions(talk: Talk, arguments: &Completions) -> Outcome<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "rowmesh", &mut script);
    talk.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// `rowmesh man`.
pub fn man(talk: Talk, arguments: &Man) -> Outcome<Exit> {
    let command = Cli::command();
    if let Some(folder) = &arguments.out {
        let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
        written.map_err(|error| Failure::file("write the manual", folder, &error))?;
        talk.done(&format!("manual written to {}", folder.display()));
        return Ok(Exit::Done);
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|error| failure("RM9001", "the manual could not be written").because(&error))?;
    talk.data(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Done)
}

/// `rowmesh version`.
pub fn version(talk: Talk, arguments: &Version) -> Outcome<Exit> {
    let version = env!("CARGO_PKG_VERSION");
    if arguments.licenses {
        let part = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            json!({ "name": name, "version": version, "license": words.next().unwrap_or_default().trim() })
        };
        let own = json!({ "name": "rowmesh", "version": version, "license": env!("CARGO_PKG_LICENSE") });
        let parts: Vec<_> = std::iter::once(own).chain(LICENCES.lines().map(part)).collect();
        let text = || format!("rowmesh {version}  {}\n\nBuilt in:\n{LICENCES}", env!("CARGO_PKG_LICENSE"));
        talk.result(&json!({ "parts": parts }), text)?;
        return Ok(Exit::Done);
    }
    let document = json!({ "version": version, "databases": ["SQLite", "PostgreSQL"] });
    talk.result(&document, || format!("rowmesh {version}\n"))?;
    Ok(Exit::Done)
}

/// Every package that is linked into this program: `cargo xtask licences` writes it, the CI checks it.
const LICENCES: &str = include_str!("../licences.txt");
