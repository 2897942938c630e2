//! Reads conditions: words, then grammar. Every error names the place and what would have been right there. What a condition
//! means is not here.

use std::fmt;

use thiserror::Error;

use crate::limits;
use crate::scope::condition::{Comparison, Node, Operand};
use crate::scope::like::Pattern;
use crate::scope::number::Decimal;

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConditionError {
    /// Something else should stand there.
    #[error("at character {at}: expected {expected}, found {found}")]
    Unexpected {
        /// Which character, from 1.
        at: usize,
        /// What would have been right.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// More than a condition may have.
    #[error("{what} of the condition is {got}, above the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        got: usize,
        /// The most that is accepted.
        limit: usize,
    },
}

/// Words that are no column names unless quoted.
const RESERVED: &[&str] =
    &["AND", "OR", "NOT", "LIKE", "ILIKE", "IN", "IS", "BETWEEN", "ESCAPE", "NULL", "TRUE", "FALSE"];
/// What may stand where a value is wanted.
const OPERAND: &str = "a column, a text in single quotes, a number, TRUE, FALSE or NULL";

pub(super) fn parse(text: &str) -> Result<(Node, Vec<String>), ConditionError> {
    if text.len() > limits::CONDITION_BYTES_MAX {
        let what = "the length in bytes";
        return Err(ConditionError::TooLarge { what, got: text.len(), limit: limits::CONDITION_BYTES_MAX });
    }
    let mut parser = Parser { words: read_words(text)?, next: 0, depth: 0, columns: Vec::new() };
    let node = parser.condition()?;
    match parser.peek() {
        Word::End => Ok((node, parser.columns)),
        _ => Err(parser.unexpected("AND, OR or the end")),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Word {
    /// A bare word: a keyword or a column.
    Bare(String),
    /// A column in double quotes.
    Quoted(String),
    Text(String),
    Number(String),
    Sign(&'static str),
    End,
}

struct Parser {
    /// Words and the characters that they begin at.
    words: Vec<(Word, usize)>,
    next: usize,
    depth: usize,
    columns: Vec<String>,
}

impl Parser {
    fn condition(&mut self) -> Result<Node, ConditionError> {
        let mut parts = vec![self.conjunction()?];
        while self.take_keyword("OR") {
            parts.push(self.conjunction()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::Or(parts) })
    }

    fn conjunction(&mut self) -> Result<Node, ConditionError> {
        let mut parts = vec![self.negation()?];
        while self.take_keyword("AND") {
            parts.push(self.negation()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::And(parts) })
    }

    fn negation(&mut self) -> Result<Node, ConditionError> {
        if self.take_keyword("NOT") {
            return self.deeper(|parser| Ok(Node::Not(Box::new(parser.negation()?))));
        }
        if self.take_sign("(") {
            return self.deeper(|parser| {
                let inner = parser.condition()?;
                if parser.take_sign(")") {
                    Ok(inner)
                } else {
                    Err(parser.unexpected("AND, OR or a closing parenthesis"))
                }
            });
        }
        self.predicate()
    }

    fn predicate(&mut self) -> Result<Node, ConditionError> {
        let left = self.operand("a condition: a column, NOT or an opening parenthesis")?;
        if let Some(comparison) = self.comparison() {
            return Ok(Node::Compare(left, comparison, self.operand(OPERAND)?));
        }
        if self.take_keyword("IS") {
            let negated = self.take_keyword("NOT");
            return match self.take_keyword("NULL") {
                true => Ok(negate_if(negated, Node::IsNull(left))),
                false => Err(self.unexpected(if negated { "NULL" } else { "NULL or NOT NULL" })),
            };
        }
        let negated = self.take_keyword("NOT");
        match self.test(left)? {
            Ok(node) => Ok(negate_if(negated, node)),
            Err(_) if negated => Err(self.unexpected("LIKE, ILIKE, IN or BETWEEN")),
            Err(operand) => Ok(Node::Bare(operand)),
        }
    }

    /// LIKE, ILIKE, IN or BETWEEN; gives the operand back where none follows.
    fn test(&mut self, left: Operand) -> Result<Result<Node, Operand>, ConditionError> {
        if self.take_keyword("LIKE") {
            return Ok(Ok(Node::Like(left, self.pattern(false)?)));
        }
        if self.take_keyword("ILIKE") {
            return Ok(Ok(Node::Like(left, self.pattern(true)?)));
        }
        if self.take_keyword("IN") {
            return Ok(Ok(Node::In(left, self.list()?)));
        }
        if self.take_keyword("BETWEEN") {
            let low = self.operand(OPERAND)?;
            if !self.take_keyword("AND") {
                return Err(self.unexpected("AND and the upper bound of BETWEEN"));
            }
            return Ok(Ok(Node::Between(left, low, self.operand(OPERAND)?)));
        }
        Ok(Err(left))
    }

    fn pattern(&mut self, ignore_case: bool) -> Result<Pattern, ConditionError> {
        let at = self.next;
        let text = self.text("a pattern in single quotes")?;
        let escape = if self.take_keyword("ESCAPE") { Some(self.escape()?) } else { None };
        Pattern::new(&text, escape, ignore_case)
            .ok_or_else(|| self.unexpected_at(at, "a character behind the escape character"))
    }

    fn escape(&mut self) -> Result<char, ConditionError> {
        let at = self.next;
        let text = self.text("one character in single quotes")?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(c),
            _ => Err(self.unexpected_at(at, "one character in single quotes")),
        }
    }

    fn list(&mut self) -> Result<Vec<Operand>, ConditionError> {
        if !self.take_sign("(") {
            return Err(self.unexpected("an opening parenthesis and the list of IN"));
        }
        let mut list = vec![self.operand(OPERAND)?];
        while self.take_sign(",") {
            list.push(self.operand(OPERAND)?);
        }
        if self.take_sign(")") { Ok(list) } else { Err(self.unexpected("a comma or a closing parenthesis")) }
    }

    fn operand(&mut self, expected: &str) -> Result<Operand, ConditionError> {
        let operand = match self.peek().clone() {
            Word::Bare(word) => match keyword(&word) {
                Some("NULL") => Operand::Null,
                Some("TRUE") => Operand::Truth(true),
                Some("FALSE") => Operand::Truth(false),
                Some(_) => return Err(self.unexpected(expected)),
                None => self.column(word)?,
            },
            Word::Quoted(name) => self.column(name)?,
            Word::Text(text) => Operand::Text(text),
            Word::Number(digits) => match Decimal::parse(&digits) {
                Some(number) => Operand::Number(number),
                None => return Err(self.unexpected("a number such as 12, -0.5 or 1e9")),
            },
            Word::Sign(_) | Word::End => return Err(self.unexpected(expected)),
        };
        self.next += 1;
        Ok(operand)
    }

    fn column(&mut self, name: String) -> Result<Operand, ConditionError> {
        match self.words.get(self.next + 1).map(|(word, _)| word) {
            Some(Word::Sign("(")) => {
                return Err(self.unexpected("a column; there are no functions here (ILIKE ignores case)"));
            }
            Some(Word::Sign(".")) => {
                return Err(self.unexpected("a column without its table: all are the root table's"));
            }
            _ => {}
        }
        let known = self.columns.iter().position(|column| *column == name);
        Ok(Operand::Column(known.unwrap_or_else(|| {
            self.columns.push(name);
            self.columns.len() - 1
        })))
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let comparison = match self.peek() {
            Word::Sign("=") => Comparison::Equal,
            Word::Sign("<>" | "!=") => Comparison::Unequal,
            Word::Sign("<") => Comparison::Less,
            Word::Sign("<=") => Comparison::LessOrEqual,
            Word::Sign(">") => Comparison::Greater,
            Word::Sign(">=") => Comparison::GreaterOrEqual,
            _ => return None,
        };
        self.next += 1;
        Some(comparison)
    }

    fn text(&mut self, expected: &str) -> Result<String, ConditionError> {
        match self.peek().clone() {
            Word::Text(text) => {
                self.next += 1;
                Ok(text)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// Parentheses and NOT recurse: their depth is bounded, so that no text can exhaust the stack.
    fn deeper(
        &mut self,
        read: impl FnOnce(&mut Parser) -> Result<Node, ConditionError>,
    ) -> Result<Node, ConditionError> {
        self.depth += 1;
        if self.depth > limits::CONDITION_DEPTH_MAX {
            let what = "the depth of parentheses and NOT";
            return Err(ConditionError::TooLarge { what, got: self.depth, limit: limits::CONDITION_DEPTH_MAX });
        }
        let node = read(self)?;
        self.depth -= 1;
        Ok(node)
    }

    fn peek(&self) -> &Word {
        &self.words[self.next].0
    }

    fn take_keyword(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Word::Bare(word) if word.eq_ignore_ascii_case(wanted));
        self.next += usize::from(found);
        found
    }

    fn take_sign(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Word::Sign(sign) if *sign == wanted);
        self.next += usize::from(found);
        found
    }

    fn unexpected(&self, expected: &str) -> ConditionError {
        self.unexpected_at(self.next, expected)
    }

    fn unexpected_at(&self, word: usize, expected: &str) -> ConditionError {
        let (word, at) = &self.words[word];
        ConditionError::Unexpected { at: *at, expected: expected.to_owned(), found: word.to_string() }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Bare(word) | Word::Number(word) => f.write_str(&shortened(word)),
            Word::Quoted(name) => write!(f, "\"{}\"", shortened(name)),
            Word::Text(text) => write!(f, "'{}'", shortened(text)),
            Word::Sign(sign) => f.write_str(sign),
            Word::End => f.write_str("the end"),
        }
    }
}

fn negate_if(negated: bool, node: Node) -> Node {
    if negated { Node::Not(Box::new(node)) } else { node }
}

fn keyword(word: &str) -> Option<&'static str> {
    RESERVED.iter().copied().find(|reserved| reserved.eq_ignore_ascii_case(word))
}

fn shortened(text: &str) -> String {
    const CHARS_SHOWN: usize = 40;
    match text.char_indices().nth(CHARS_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn read_words(text: &str) -> Result<Vec<(Word, usize)>, ConditionError> {
    let chars: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(c) = chars.get(at) {
        if c.is_whitespace() {
            at += 1;
            continue;
        }
        let (word, end) = read_word(&chars, at)?;
        words.push((word, at + 1));
        at = end;
    }
    words.push((Word::End, chars.len() + 1));
    Ok(words)
}

/// One word and the place behind it.
fn read_word(chars: &[char], at: usize) -> Result<(Word, usize), ConditionError> {
    const SIGNS: &[&str] = &["<>", "!=", "<=", ">=", "=", "<", ">", "(", ")", ",", "."];
    let c = chars[at];
    let second = chars.get(at + 1);
    let starts_number = |c: &char| c.is_ascii_digit() || *c == '.';
    if c == '\'' || c == '"' {
        let (inside, end) = read_quoted(chars, at, c)?;
        return Ok((if c == '"' { Word::Quoted(inside) } else { Word::Text(inside) }, end));
    }
    if c.is_ascii_digit()
        || (c == '.' && second.is_some_and(char::is_ascii_digit))
        || (c == '-' && second.is_some_and(starts_number))
    {
        let end = number_end(chars, at);
        return Ok((Word::Number(chars[at..end].iter().collect()), end));
    }
    if c.is_alphabetic() || c == '_' {
        let end = end_of(chars, at, |c| c.is_alphanumeric() || matches!(c, '_' | '$'));
        return Ok((Word::Bare(chars[at..end].iter().collect()), end));
    }
    let sign = SIGNS.iter().find(|sign| chars[at..].iter().copied().take(sign.len()).eq(sign.chars()));
    match sign {
        Some(sign) => Ok((Word::Sign(sign), at + sign.len())),
        None => Err(ConditionError::Unexpected {
            at: at + 1,
            expected: "a column, a value, a comparison, AND, OR, NOT or a parenthesis".to_owned(),
            found: c.to_string(),
        }),
    }
}

/// Digits, points and an exponent; letters right behind belong to it too, so that `1abc` is one wrong number.
fn number_end(chars: &[char], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(c) = chars.get(end) {
        let in_exponent = matches!(c, '+' | '-') && matches!(chars[end - 1], 'e' | 'E');
        if !(c.is_alphanumeric() || matches!(c, '.' | '_') || in_exponent) {
            break;
        }
        end += 1;
    }
    end
}

fn end_of(chars: &[char], at: usize, belongs: impl Fn(char) -> bool) -> usize {
    at + chars[at..].iter().take_while(|c| belongs(**c)).count()
}

/// What stands between two quotes, doubled ones inside being one.
fn read_quoted(chars: &[char], at: usize, quote: char) -> Result<(String, usize), ConditionError> {
    let mut inside = String::new();
    let mut next = at + 1;
    while let Some(c) = chars.get(next) {
        let doubled = chars.get(next + 1) == Some(&quote);
        match (*c == quote, doubled) {
            (true, false) if inside.is_empty() && quote == '"' => break,
            (true, false) => return Ok((inside, next + 1)),
            (true, true) => next += 2,
            (false, _) => next += 1,
        }
        inside.push(*c);
    }
    let expected = if quote == '"' { "a column's name and a closing \"" } else { "a closing '" };
    Err(ConditionError::Unexpected {
        at: at + 1,
        expected: expected.to_owned(),
        found: shortened(&chars[at..].iter().collect::<String>()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scope::Condition;

    fn check(text: &str, at: usize, expected_part: &str, found: &str) {
        match Condition::parse(text) {
            Err(ConditionError::Unexpected { at: place, expected, found: what }) => {
                assert_eq!((place, &*what), (at, found), "{text}: {expected}");
                assert!(expected.contains(expected_part), "{text}: {expected}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn m3_errors_name_the_place_and_what_was_expected() {
        check("", 1, "a condition", "the end");
        check("id LIKE", 8, "pattern", "the end");
        check("id LIKE demo", 9, "pattern", "demo");
        check("id = ", 6, "column", "the end");
        check("id == 'x'", 5, "column", "=");
        check("id = 'x' id = 'y'", 10, "AND, OR", "id");
        check("(id = 'x'", 10, "closing parenthesis", "the end");
        check("id = 'x')", 9, "AND, OR or the end", ")");
        check("id = 'x", 6, "closing '", "'x");
        check("\"\" = 1", 1, "column's name", "\"\" = 1");
        check("id IN ()", 8, "column", ")");
        check("id IN (1 2)", 10, "comma", "2");
        check("id IN 1", 7, "parenthesis", "1");
        check("id IS 5", 7, "NULL or NOT NULL", "5");
        check("id NOT = 5", 8, "LIKE, ILIKE, IN or BETWEEN", "=");
        check("id BETWEEN 1 OR 2", 14, "upper bound", "OR");
        check("id LIKE 'x' ESCAPE 'ab'", 20, "one character", "'ab'");
        check("id LIKE 'x!' ESCAPE '!'", 9, "behind the escape", "'x!'");
        check("lower(id) = 'x'", 1, "no functions", "lower");
        check("businesses.id = 'x'", 1, "without its table", "businesses");
        check("id || 'x' = 'y'", 4, "a column", "|");
        check("id = 1abc", 6, "a number", "1abc");
        check("id = 1.2.3", 6, "a number", "1.2.3");
        check("AND id = 1", 1, "a condition", "AND");
        check("id = 'é' ; drop", 10, "comparison", ";");
    }

    #[test]
    fn texts_names_and_numbers_are_read_in_all_their_forms() {
        let columns = |text: &str| Condition::parse(text).map(|condition| condition.columns().to_vec());
        assert_eq!(columns("\"a \"\"b\"\"\" = 'it''s'"), Ok(vec!["a \"b\"".to_owned()]));
        assert_eq!(columns("straße = -1.5e-3 and _x$1<>.5"), Ok(vec!["straße".to_owned(), "_x$1".to_owned()]));
        assert_eq!(columns("\"select\" is not null and select not like ''"), Ok(vec!["select".to_owned()]));
        assert_eq!(
            columns("a>=1or b<=2"),
            Err(ConditionError::Unexpected {
                at: 4,
                expected: "a number such as 12, -0.5 or 1e9".into(),
                found: "1or".into(),
            })
        );
    }

    #[test]
    fn k13_length_and_depth_are_bounded() {
        let long = |bytes: usize| format!("id = '{}'", "x".repeat(bytes - "id = ''".len()));
        assert!(Condition::parse(&long(limits::CONDITION_BYTES_MAX)).is_ok());
        assert!(matches!(
            Condition::parse(&long(limits::CONDITION_BYTES_MAX + 1)),
            Err(ConditionError::TooLarge { .. })
        ));
        let deep = |depth: usize| format!("{}id{}", "(".repeat(depth), ")".repeat(depth));
        assert!(Condition::parse(&deep(limits::CONDITION_DEPTH_MAX)).is_ok());
        assert!(matches!(
            Condition::parse(&deep(limits::CONDITION_DEPTH_MAX + 1)),
            Err(ConditionError::TooLarge { .. })
        ));
        let nots = format!("{}id", "NOT ".repeat(limits::CONDITION_DEPTH_MAX + 1));
        assert!(matches!(Condition::parse(&nots), Err(ConditionError::TooLarge { .. })));
        let flat = vec!["id"; 1_000].join(" OR ");
        assert!(Condition::parse(&flat).is_ok(), "length is no depth");
    }

    proptest! {
        #[test]
        fn k13_no_text_upsets_the_parser(text in ".{0,60}") {
            let _ = Condition::parse(&text);
        }

        #[test]
        fn k13_no_sequence_of_words_upsets_the_parser(words in proptest::collection::vec(
            prop_oneof![
                Just("id"), Just("AND"), Just("OR"), Just("NOT"), Just("("), Just(")"), Just("LIKE"), Just("'x%'"),
                Just("IN"), Just(","), Just("IS"), Just("NULL"), Just("BETWEEN"), Just("1"), Just("="), Just("ESCAPE"),
            ], 0..20))
        {
            let text = words.join(" ");
            if let Ok(condition) = Condition::parse(&text) {
                let again = Condition::parse(condition.text());
                prop_assert_eq!(Ok(condition), again);
            }
        }
    }
}
