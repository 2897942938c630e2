//! Patterns of LIKE and ILIKE: `%` any run of characters, `_` one character, an escape character only where one is declared.
//! Works on bytes, so that text which is not UTF-8 has an answer too: each byte outside a valid sequence counts as one character.

/// A pattern, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    parts: Vec<Part>,
    ignore_case: bool,
}

/// Which matches count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// All that the pattern allows.
    Plain,
    /// Only those where text beside `%` begins and ends a word: `-demo` in `x-demo-1`, not in `x-demolition`.
    WholeWords,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    AnyOne,
    AnyRun,
}

impl Pattern {
    /// Takes a pattern apart. `None` if it ends in the escape character, which then escapes nothing.
    pub(super) fn new(text: &str, escape: Option<char>, ignore_case: bool) -> Option<Pattern> {
        let mut parts: Vec<Part> = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                c if Some(c) == escape => push_literal(&mut parts, chars.next()?),
                '%' if parts.last() == Some(&Part::AnyRun) => {}
                '%' => parts.push(Part::AnyRun),
                '_' => parts.push(Part::AnyOne),
                c => push_literal(&mut parts, c),
            }
        }
        Some(Pattern { parts, ignore_case })
    }

    /// Whether the whole text matches. Takes at most (length of text) × (length of pattern) steps.
    pub(super) fn matches(&self, text: &[u8], reading: Reading) -> bool {
        let mut part = 0;
        let mut at = 0;
        // Where to go on if the parts since the last `%` do not fit: that `%` takes one character more.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match self.parts.get(part) {
                Some(Part::AnyRun) => {
                    part += 1;
                    retry = Some((part, at));
                    continue;
                }
                Some(_) => {
                    if let Some(next) = self.step(part, text, at, reading) {
                        (part, at) = (part + 1, next);
                        continue;
                    }
                }
                None if at == text.len() => return true,
                None => {}
            }
            let Some((after_run, from)) = retry else { return false };
            if from == text.len() {
                return false;
            }
            at = from + char_len(text, from);
            part = after_run;
            retry = Some((part, at));
        }
    }

    /// Where the text goes on behind one part that fits here.
    fn step(&self, part: usize, text: &[u8], at: usize, reading: Reading) -> Option<usize> {
        match &self.parts[part] {
            Part::AnyRun => Some(at),
            Part::AnyOne => (at < text.len()).then(|| at + char_len(text, at)),
            Part::Literal(literal) => {
                let end = at.checked_add(literal.len())?;
                let here = text.get(at..end)?;
                let equal = if self.ignore_case { here.eq_ignore_ascii_case(literal) } else { here == literal };
                let whole = reading == Reading::Plain
                    || ((!self.is_run(part.wrapping_sub(1)) || is_word_edge(text, at))
                        && (!self.is_run(part + 1) || is_word_edge(text, end)));
                (equal && whole).then_some(end)
            }
        }
    }

    fn is_run(&self, part: usize) -> bool {
        self.parts.get(part) == Some(&Part::AnyRun)
    }
}

fn push_literal(parts: &mut Vec<Part>, c: char) {
    let mut buffer = [0; 4];
    let bytes = c.encode_utf8(&mut buffer).as_bytes();
    match parts.last_mut() {
        Some(Part::Literal(literal)) => literal.extend_from_slice(bytes),
        _ => parts.push(Part::Literal(bytes.to_vec())),
    }
}

/// Whether no word goes on across this place. Only letters make words: `demo2` is a numbered demo, `demoBusiness` two words.
fn is_word_edge(text: &[u8], at: usize) -> bool {
    match (char_before(text, at), char_at(text, at)) {
        (Some(before), Some(after)) => {
            let camel = before.is_lowercase() && after.is_uppercase();
            !(before.is_alphabetic() && after.is_alphabetic()) || camel
        }
        _ => true,
    }
}

fn char_before(text: &[u8], at: usize) -> Option<char> {
    (1..=4usize).filter_map(|back| at.checked_sub(back)).find_map(|start| {
        let one = std::str::from_utf8(text.get(start..at)?).ok()?;
        one.chars().next_back()
    })
}

fn char_at(text: &[u8], at: usize) -> Option<char> {
    std::str::from_utf8(text.get(at..at + char_len(text, at))?).ok()?.chars().next()
}

/// Bytes of the character that begins here; 1 where none does.
fn char_len(text: &[u8], at: usize) -> usize {
    let width = match text.get(at) {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => return 1,
    };
    match text.get(at..at + width) {
        Some(bytes) if std::str::from_utf8(bytes).is_ok() => width,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pattern: &str, escape: Option<char>, text: &[u8], expected: bool) {
        let parsed = Pattern::new(pattern, escape, false).expect("the pattern is whole");
        assert_eq!(parsed.matches(text, Reading::Plain), expected, "{pattern:?} on {text:?}");
    }

    #[test]
    fn m3_percent_is_any_run_and_underscore_one_character() {
        check("", None, b"", true);
        check("", None, b"a", false);
        check("%", None, b"", true);
        check("a%", None, b"a", true);
        check("%a", None, b"ba", true);
        check("%ab%", None, b"aab", true);
        check("a%b%c", None, b"axxbxxbxc", true);
        check("a%b%c", None, b"axxcxxb", false);
        check("_", None, "é".as_bytes(), true);
        check("__", None, "é".as_bytes(), false);
        check("_%_", None, "é".as_bytes(), false);
        check("%_", None, "漢字".as_bytes(), true);
        check("A%", None, b"abc", false);
    }

    #[test]
    fn m3_only_a_declared_escape_character_escapes() {
        check("10\\%", None, b"10\\5", true);
        check("10\\%", Some('\\'), b"10%", true);
        check("10\\%", Some('\\'), b"10\\5", false);
        check("a!_b!!", Some('!'), b"a_b!", true);
        check("a!_b", Some('!'), b"axb", false);
        assert_eq!(Pattern::new("a!", Some('!'), false), None);
    }

    #[test]
    fn f13_a_byte_that_is_no_utf8_counts_as_one_character() {
        check("a_c", None, b"a\xffc", true);
        check("a__c", None, b"a\xe2\x82c", true);
        check("%-demo%", None, b"\xff-demo\xfe", true);
        check("_", None, b"\xc3", true);
    }

    #[test]
    fn ilike_ignores_the_case_of_ascii_letters_only() {
        let pattern = |text: &str| Pattern::new(text, None, true).unwrap();
        assert!(pattern("%-DEMO%").matches(b"x-Demo-1", Reading::Plain));
        assert!(!pattern("É").matches("é".as_bytes(), Reading::Plain));
    }

    #[test]
    fn m3_whole_words_are_told_from_pieces_of_longer_ones() {
        let whole = |pattern: &str, text: &str| {
            Pattern::new(pattern, None, false).unwrap().matches(text.as_bytes(), Reading::WholeWords)
        };
        assert!(whole("%-demo%", "x-demo"));
        assert!(whole("%-demo%", "x-demo-1"));
        assert!(whole("%-demo%", "x-demo2"));
        assert!(whole("%-demo%", "x-demoShop"));
        assert!(!whole("%-demo%", "grand-demolition-co"));
        assert!(whole("%-demo%", "grand-demolition-demo"));
        assert!(!whole("%demo%", "modemo-1"));
        assert!(whole("demo-%", "demo-lition"));
        assert!(!whole("demo%", "democracy"));
        assert!(!whole("%-démo%", "la-démonstration"));
    }

    #[test]
    fn k13_a_pattern_made_to_backtrack_ends_soon() {
        let pattern = Pattern::new(&"%a".repeat(500), None, false).unwrap();
        assert!(!pattern.matches(&b"a".repeat(499), Reading::Plain));
        assert!(!pattern.matches(&[b"a".repeat(2_000), b"b".to_vec()].concat(), Reading::Plain));
    }

    /// The definition, without any thought for speed.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            Some(('_', rest)) => !text.is_empty() && naive(rest, &text[1..]),
            Some((c, rest)) => text.first() == Some(c) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn m3_like_does_what_its_definition_says(pattern in "[ab%_é]{0,7}", text in "[abé]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<char>>();
            let parsed = Pattern::new(&pattern, None, false).unwrap();
            prop_assert_eq!(parsed.matches(text.as_bytes(), Reading::Plain), naive(&chars(&pattern), &chars(&text)));
        }

        #[test]
        fn m3_whole_words_never_match_more(pattern in "[ab%_-]{0,7}", text in "[abA-]{0,9}") {
            let parsed = Pattern::new(&pattern, None, false).unwrap();
            if parsed.matches(text.as_bytes(), Reading::WholeWords) {
                prop_assert!(parsed.matches(text.as_bytes(), Reading::Plain));
            }
        }
    }
}
