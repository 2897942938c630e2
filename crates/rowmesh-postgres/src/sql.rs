//! The little of SQL's surface that has to be written or read by hand: quoting, and the words of a text that PostgreSQL has already accepted.
//! Understands no grammar.

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

/// One word of a text of SQL or PL/pgSQL. White space and comments are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A keyword, a bare identifier or a number, in small letters as the server reads it.
    Word(String),
    /// An identifier in quotes, without them.
    Name(String),
    /// A literal, however it is quoted, without its quotes.
    Text(String),
    /// A single character that stands for itself.
    Mark(char),
}

impl Token {
    /// Whether it is this keyword.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word == keyword)
    }

    /// What it names, if it can be a name.
    pub fn name(&self) -> Option<&str> {
        match self {
            Token::Word(name) | Token::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// Takes a text apart. Never fails: what is left open runs to the end.
pub fn tokens(sql: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (token, length) = next_token(rest, first);
        found.extend(token);
        rest = &rest[length..];
    }
    found
}

fn next_token(rest: &str, first: char) -> (Option<Token>, usize) {
    let quoted_text = |from: usize, escapes: bool| {
        let length = quoted_length(&rest[from..], '\'', escapes);
        (Some(Token::Text(inside(&rest[from..from + length], '\''))), from + length)
    };
    if first.is_whitespace() {
        (None, first.len_utf8())
    } else if rest.starts_with("--") {
        (None, rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        (None, comment_length(rest))
    } else if first == '\'' {
        quoted_text(0, false)
    } else if let Some(prefix) =
        ["e'", "E'", "b'", "B'", "x'", "X'", "n'", "N'"].iter().find(|prefix| rest.starts_with(**prefix))
    {
        quoted_text(1, prefix.eq_ignore_ascii_case("e'"))
    } else if rest.starts_with("U&'") || rest.starts_with("u&'") {
        quoted_text(2, false)
    } else if first == '"' {
        let length = quoted_length(rest, '"', false);
        (Some(Token::Name(inside(&rest[..length], '"'))), length)
    } else if let Some(tag) = dollar_tag(rest) {
        let body = &rest[tag.len()..];
        let end = body.find(tag);
        let text = Token::Text(body[..end.unwrap_or(body.len())].to_owned());
        (Some(text), end.map_or(rest.len(), |end| end + 2 * tag.len()))
    } else if is_word(first) {
        let length = rest.find(|c: char| !is_word(c) && c != '$').unwrap_or(rest.len());
        (Some(Token::Word(rest[..length].to_ascii_lowercase())), length)
    } else {
        (Some(Token::Mark(first)), first.len_utf8())
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

/// `$$` or `$tag$`, where the text begins with one; `$1` is a parameter.
fn dollar_tag(rest: &str) -> Option<&str> {
    let inner = rest.strip_prefix('$')?;
    let end = inner.find('$')?;
    let is_tag = inner[..end].chars().all(is_word) && !inner.starts_with(|c: char| c.is_ascii_digit());
    is_tag.then(|| &rest[..end + 2])
}

/// Comments stand inside of one another.
fn comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted_length(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && escapes {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

fn inside(quoted: &str, quote: char) -> String {
    let text = quoted.strip_prefix(quote).unwrap_or(quoted);
    let doubled: String = [quote, quote].iter().collect();
    text.strip_suffix(quote).unwrap_or(text).replace(&doubled, &quote.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_skip_comments_and_keep_quoted_text_whole() {
        let check = |sql: &str, expected: &[Token]| assert_eq!(tokens(sql), expected, "{sql}");
        let word = |text: &str| Token::Word(text.to_owned());
        let text = |text: &str| Token::Text(text.to_owned());
        check(
            "Insert/* UPDATE /* x */ t */INTO \"A\"\"b\" -- no\nX",
            &[word("insert"), word("into"), Token::Name("A\"b".to_owned()), word("x")],
        );
        check(
            "'it''s' E'\\'' $$a 'b$$ $q$ $$ $q$ $1",
            &[text("it's"), text("\\'"), text("a 'b"), text(" $$ "), Token::Mark('$'), word("1")],
        );
        check(
            "a.b:=1;",
            &[word("a"), Token::Mark('.'), word("b"), Token::Mark(':'), Token::Mark('='), word("1"), Token::Mark(';')],
        );
        check("'open", &[text("open")]);
        check("e$x n'x' é1", &[word("e$x"), text("x"), word("é1")]);
    }

    #[test]
    fn quotes_and_backslashes_inside_are_kept() {
        assert_eq!(qualified("a\"b", "Ünï \\code"), "\"a\"\"b\".\"Ünï \\code\"");
        assert_eq!(quote_list(["a", "b c"]), "\"a\", \"b c\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("C:\\it's"), "E'C:\\\\it''s'");
    }
}
