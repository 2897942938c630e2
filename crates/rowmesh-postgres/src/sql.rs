//! The little of SQL's surface that has to be written by hand: quoting. Understands no grammar.

/// An identifier, quoted.
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Identifiers, quoted, with commas between.
pub fn quote_list<S: AsRef<str>>(identifiers: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<String> = identifiers.into_iter().map(|name| quote(name.as_ref())).collect();
    quoted.join(", ")
}

/// A name inside a schema, both quoted.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote(schema), quote(name))
}

/// A text literal that reads the same whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_inside_are_kept() {
        assert_eq!(qualified("a\"b", "Ünï \\code"), "\"a\"\"b\".\"Ünï \\code\"");
        assert_eq!(quote_list(["a", "b c"]), "\"a\", \"b c\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("C:\\it's"), "E'C:\\\\it''s'");
    }
}
