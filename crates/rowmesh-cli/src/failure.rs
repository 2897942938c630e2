//! Errors as people and programs see them. What went wrong is decided elsewhere; which number the process ends with, in `exit`.

use std::fmt::Write;

use rowmesh::failure::{Failure, Hint};
use serde_json::{Value, json};

use crate::paint::Paint;

/// Result of everything a command does.
pub type Outcome<T> = Result<T, Failure>;

/// Begins a failure of this program's own.
pub fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure::new(code, message)
}

/// `error[RM4201] port 7696 is in use`, then where, why and what to type.
pub fn show(failure: &Failure, paint: Paint) -> String {
    if failure.code.is_empty() {
        return format!("{}\n", failure.message);
    }
    let label = paint.bad(&format!("error[{}]", failure.code));
    let mut shown = format!("{label} {}\n", paint.bold(&failure.message));
    for line in [&failure.location, &failure.cause].into_iter().flat_map(|text| text.lines()) {
        let _ = writeln!(shown, "  {line}");
    }
    shown.push_str(&show_hints(&failure.hints, "  "));
    let _ = writeln!(shown, "  {}", paint.dim(&format!("more: rowmesh explain {}", failure.code)));
    shown
}

/// Hints, one a line, their commands under each other.
pub fn show_hints(hints: &[Hint], indent: &str) -> String {
    let both = |hint: &&Hint| !hint.text.is_empty() && !hint.command.is_empty();
    let widths = hints.iter().filter(both).map(|hint| hint.text.chars().count());
    let width = widths.filter(|width| *width <= BESIDE_WIDTH_MAX).max().unwrap_or(0);
    let mut shown = String::new();
    for hint in hints {
        let line = match (hint.text.as_str(), hint.command.as_str()) {
            (text, "") => text.to_owned(),
            ("", command) => format!("  {command}"),
            (text, command) if text.chars().count() > BESIDE_WIDTH_MAX => format!("{text}\n{indent}  {command}"),
            (text, command) => format!("{text:width$}  {command}"),
        };
        let _ = writeln!(shown, "{indent}{line}");
    }
    shown
}

/// Longer texts stand above their command.
const BESIDE_WIDTH_MAX: usize = 40;

/// The document that `--json` prints instead of a result.
pub fn to_json(failure: &Failure) -> Value {
    let hints: Vec<Value> =
        failure.hints.iter().map(|hint| json!({ "text": hint.text, "command": hint.command })).collect();
    json!({ "error": {
        "code": failure.code,
        "message": failure.message,
        "where": failure.location,
        "cause": failure.cause,
        "hints": hints,
        "docs": format!("rowmesh explain {}", failure.code),
    } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port_in_use() -> Failure {
        failure("RM4201", "port 7696 is in use")
            .at("on this machine")
            .why("by another program")
            .hint("Look at it:", "rowmesh status")
            .hint("A second node:", "rowmesh up other.db --listen :7706")
            .hint("If that program is none of yours, ask its owner to end it:", "kill 812")
            .hint("Or end that program.", "")
    }

    #[test]
    fn an_error_says_what_where_why_and_what_to_type() {
        insta::assert_snapshot!(show(&port_in_use(), Paint::default()), @r"
        error[RM4201] port 7696 is in use
          on this machine
          by another program
          Look at it:     rowmesh status
          A second node:  rowmesh up other.db --listen :7706
          If that program is none of yours, ask its owner to end it:
            kill 812
          Or end that program.
          more: rowmesh explain RM4201
        ");
    }

    #[test]
    fn the_json_of_an_error_has_the_same_parts() {
        let document = to_json(&port_in_use());
        assert_eq!(document["error"]["code"], "RM4201");
        assert_eq!(document["error"]["where"], "on this machine");
        assert_eq!(document["error"]["hints"][1]["command"], "rowmesh up other.db --listen :7706");
        assert_eq!(document["error"]["docs"], "rowmesh explain RM4201");
    }
}
