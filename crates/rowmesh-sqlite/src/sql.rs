//! The little of SQL's surface that has to be written or read by hand: quoting, and the words of a statement that SQLite has already
//! accepted. Understands no grammar beyond the head of a trigger.

use std::ops::Range;

/// An identifier, quoted.
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Identifiers, quoted, with commas between.
pub fn quote_list<S: AsRef<str>>(identifiers: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<String> = identifiers.into_iter().map(|name| quote(name.as_ref())).collect();
    quoted.join(", ")
}

/// A text literal.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What kind of word a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenKind {
    /// A keyword, a bare identifier or a number.
    Word,
    /// An identifier in any of the four ways of quoting it, or a text literal: in a trigger SQLite accepts one for the other.
    Quoted,
    /// A single character that stands for itself.
    Mark,
}

/// One word of a statement. White space and comments are none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// Its kind.
    pub kind: TokenKind,
    /// Where it stands, in bytes.
    pub span: Range<usize>,
}

/// A statement that has already been accepted by SQLite, word by word.
pub struct Words<'a> {
    sql: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Words<'a> {
    /// Takes a statement apart. Never fails: what is left open runs to the end.
    pub fn of(sql: &'a str) -> Words<'a> {
        let mut tokens = Vec::new();
        let mut at = 0;
        while at < sql.len() {
            let (kind, end) = next_token(sql.as_bytes(), at);
            if let Some(kind) = kind {
                tokens.push(Token { kind, span: at..end });
            }
            at = end;
        }
        Words { sql, tokens }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether the word at `position` is this keyword, in any case.
    pub fn is(&self, position: usize, keyword: &str) -> bool {
        (self.tokens.get(position))
            .is_some_and(|token| token.kind != TokenKind::Quoted && self.text(token).eq_ignore_ascii_case(keyword))
    }

    /// Position of the first such keyword from `from` on.
    pub fn find(&self, keyword: &str, from: usize) -> Option<usize> {
        (from..self.tokens.len()).find(|position| self.is(*position, keyword))
    }

    /// Where a word begins, in bytes; the end of the statement if there is no such word.
    pub fn start(&self, position: usize) -> usize {
        self.tokens.get(position).map_or(self.sql.len(), |token| token.span.start)
    }

    /// Where a word ends, in bytes; the end of the statement if there is no such word.
    pub fn end(&self, position: usize) -> usize {
        self.tokens.get(position).map_or(self.sql.len(), |token| token.span.end)
    }

    fn text(&self, token: &Token) -> &'a str {
        &self.sql[token.span.clone()]
    }
}

/// The token (or `None` for white space and comments) that begins at `at`, and where it ends. Every byte that matters here is ASCII,
/// so ends always fall between characters.
fn next_token(sql: &[u8], at: usize) -> (Option<TokenKind>, usize) {
    let rest = &sql[at..];
    match rest[0] {
        byte if byte.is_ascii_whitespace() => (None, at + 1),
        b'-' if rest.starts_with(b"--") => (None, at + find(rest, 2, b"\n")),
        b'/' if rest.starts_with(b"/*") => (None, at + find(rest, 2, b"*/")),
        quote @ (b'\'' | b'"' | b'`') => (Some(TokenKind::Quoted), at + quoted_length(rest, quote)),
        b'[' => (Some(TokenKind::Quoted), at + find(rest, 1, b"]")),
        byte if is_word_byte(byte) => {
            let length = rest.iter().position(|byte| !is_word_byte(*byte)).unwrap_or(rest.len());
            (Some(TokenKind::Word), at + length)
        }
        _ => (Some(TokenKind::Mark), at + 1),
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn find(text: &[u8], from: usize, what: &[u8]) -> usize {
    let from = from.min(text.len());
    (text[from..].windows(what.len()).position(|window| window == what))
        .map_or(text.len(), |found| from + found + what.len())
}

fn quoted_length(text: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < text.len() {
        if text[at] != quote {
            at += 1;
        } else if text.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &[&str]) {
        let words = Words::of(sql);
        let found: Vec<&str> = words.tokens.iter().map(|token| words.text(token)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn quotes_double_inside_their_own_kind() {
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(quote_list(["a", "b c"]), "\"a\", \"b c\"");
    }

    #[test]
    fn words_skip_comments_and_keep_quoted_text_whole() {
        check(
            "CREATE/* RAISE */TRIGGER \"a\"\"b\" -- ON\nON [x y]",
            &["CREATE", "TRIGGER", "\"a\"\"b\"", "ON", "[x y]"],
        );
        check("SELECT 'it''s', `q``r`, é1", &["SELECT", "'it''s'", ",", "`q``r`", ",", "é1"]);
        check("'never closed", &["'never closed"]);
        check("a/* never closed", &["a"]);
        check("", &[]);
    }

    #[test]
    fn a_quoted_word_is_no_keyword() {
        let words = Words::of("SELECT 'raise', \"RAISE\", raise(ABORT, 'no')");
        assert_eq!(words.find("RAISE", 0), Some(5));
        assert!(words.is(6, "("));
    }
}
