//! Licence expressions as crates state them (SPDX, and the older `MIT/Apache-2.0`). Knows no licence by itself: the caller says which are allowed.

/// Whether the expression can be satisfied with allowed licences alone.
///
/// # Errors
/// The expression is malformed.
pub fn is_allowed(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let tokens = tokens(expression);
    let mut parser = Parser { tokens: &tokens, at: 0, allowed };
    let verdict = parser.any_of();
    match verdict {
        Some(verdict) if parser.at == tokens.len() => Ok(verdict),
        _ => Err(format!("malformed licence expression {expression:?}")),
    }
}

fn tokens(expression: &str) -> Vec<String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    spaced.split_whitespace().map(str::to_string).collect()
}

struct Parser<'a> {
    tokens: &'a [String],
    at: usize,
    allowed: &'a dyn Fn(&str) -> bool,
}

impl Parser<'_> {
    fn any_of(&mut self) -> Option<bool> {
        let mut verdict = self.all_of()?;
        while self.take("OR") {
            verdict |= self.all_of()?;
        }
        Some(verdict)
    }

    fn all_of(&mut self) -> Option<bool> {
        let mut verdict = self.one()?;
        while self.take("AND") {
            verdict &= self.one()?;
        }
        Some(verdict)
    }

    /// An exception belongs to its licence: `X WITH Y` must be allowed as such.
    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let verdict = self.any_of()?;
            return self.take(")").then_some(verdict);
        }
        let licence = self.word()?;
        if self.take("WITH") {
            let exception = self.word()?;
            return Some((self.allowed)(&format!("{licence} WITH {exception}")));
        }
        Some((self.allowed)(&licence))
    }

    fn word(&mut self) -> Option<String> {
        let word = self.tokens.get(self.at).filter(|t| !["OR", "AND", "WITH", "(", ")"].contains(&t.as_str()))?;
        self.at += 1;
        Some(word.clone())
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|t| t == token);
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: bool) {
        let allowed = |licence: &str| ["MIT", "ISC", "Unicode-3.0"].contains(&licence);
        assert_eq!(is_allowed(expression, &allowed), Ok(expected), "{expression}");
    }

    #[test]
    fn or_needs_one_and_needs_all() {
        check("MIT", true);
        check("GPL-3.0", false);
        check("GPL-3.0 OR MIT", true);
        check("GPL-3.0/MIT", true);
        check("GPL-3.0 AND MIT", false);
        check("(GPL-3.0 OR MIT) AND Unicode-3.0", true);
        check("GPL-3.0 OR MIT AND Unicode-3.0", true);
        check("MIT OR GPL-3.0 AND LGPL-2.1", true);
        check("(MIT OR GPL-3.0) AND LGPL-2.1", false);
    }

    #[test]
    fn an_exception_is_part_of_the_licence() {
        check("MIT WITH LLVM-exception", false);
        check("ISC OR MIT WITH LLVM-exception", true);
    }

    #[test]
    fn malformed_expressions_are_errors_and_not_allowed() {
        for expression in ["", "OR", "MIT OR", "MIT MIT", "(MIT", "MIT)", "MIT WITH", "()"] {
            assert!(is_allowed(expression, &|_| true).is_err(), "{expression}");
        }
    }
}
