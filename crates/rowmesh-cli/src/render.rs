//! Answers of a node as people read them: pure functions from answers, the time and the colours to text. JSON is the answers themselves.

pub mod conflicts;
pub mod doctor;
pub mod grid;
pub mod log;
pub mod peers;
pub mod plan;
pub mod status;
pub mod tables;
pub mod time;
pub mod undo;
pub mod why;

use crate::failure;
use crate::paint::Paint;
use rowmesh::control::api::Hint;

/// Text from a database or a peer, without what would make the terminal do something.
pub fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if !c.is_control() && !is_direction_mark(c) => cleaned.push(c),
            c => cleaned.extend(c.escape_default()),
        }
    }
    cleaned
}

/// A value as one line, cut where it is longer than anybody reads.
pub fn value(value: Option<&serde_json::Value>) -> String {
    let text = match value {
        None | Some(serde_json::Value::Null) => return "-".to_owned(),
        Some(serde_json::Value::String(text)) => clean(text),
        Some(other) => clean(&other.to_string()),
    };
    shorten(&text, VALUE_CHARACTERS_MAX)
}

/// The first characters of a text, and that there are more.
pub fn shorten(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What needs a person, with the command that helps.
pub fn attention(hints: &[Hint], paint: Paint) -> String {
    let lines = failure::show_hints(hints, "");
    let mark =
        |line: &str| if line.starts_with("  ") { format!("{line}\n") } else { format!("{} {line}\n", paint.warn("!")) };
    lines.lines().map(mark).collect()
}

const VALUE_CHARACTERS_MAX: usize = 60;

/// Marks that turn the direction of what follows, so that a text reads other than it is.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_from_outside_cannot_drive_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\r\n\u{202e}c"), "a\\u{1b}[2Jb\\r\\n\\u{202e}c");
        assert_eq!(clean("Жук ☕ é"), "Жук ☕ é");
        assert_eq!(value(Some(&json!("\x07"))), "\\u{7}");
        assert_eq!(value(Some(&json!({"a": "\x1b"}))), "{\"a\":\"\\u001b\"}");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let long = "é".repeat(100);
        assert_eq!(value(Some(&json!(long))).chars().count(), VALUE_CHARACTERS_MAX + 1);
        assert_eq!(value(None), "-");
    }
}
