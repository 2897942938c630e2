//! The pages of docs/errors.md inside the program. The document is the one truth; here it is only taken apart.

const ERRORS: &str = include_str!("../../../docs/errors.md");

/// One code's page.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Page {
    /// `RM` and four digits.
    pub code: String,
    /// The heading behind the code.
    pub title: String,
    /// What it means and what to do.
    pub text: String,
}

/// All pages, in the order of their codes.
pub fn pages() -> Vec<Page> {
    let mut pages = parse(ERRORS);
    pages.sort_by(|a, b| a.code.cmp(&b.code));
    pages
}

/// The page of a code; letters may be small and `RM` may be left out.
pub fn page(code: &str) -> Option<Page> {
    let code = code.trim().to_uppercase();
    let code = if code.starts_with("RM") { code } else { format!("RM{code}") };
    pages().into_iter().find(|page| page.code == code)
}

/// A page begins at a heading with a code and ends at the next heading that is no part of it. What stands in a fence is text.
fn parse(document: &str) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    let (mut depth, mut open, mut fenced) = (0, false, false);
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        match heading(line).filter(|_| !fenced) {
            Some((level, text)) if code_in(text).is_some() => {
                let code = code_in(text).unwrap_or_default();
                let title = text.split_once(&code).map_or("", |(_, title)| title);
                let title = title.trim_matches(|c: char| c.is_whitespace() || "`*:.-–—".contains(c)).to_owned();
                pages.push(Page { code, title, text: String::new() });
                (depth, open) = (level, true);
            }
            Some((level, _)) if level <= depth => open = false,
            _ => {
                if let Some(page) = pages.last_mut().filter(|_| open) {
                    page.text.push_str(line);
                    page.text.push('\n');
                }
            }
        }
    }
    for page in &mut pages {
        page.text = page.text.trim().to_owned();
    }
    pages
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    (level > 0 && text.starts_with(' ')).then_some((level, text))
}

/// The first word of the form `RM` and four digits.
pub fn code_in(text: &str) -> Option<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let is_code =
        |word: &&str| word.len() == 6 && word.starts_with("RM") && word[2..].bytes().all(|b| b.is_ascii_digit());
    words.into_iter().find(is_code).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_taken_apart_at_its_codes() {
        let document = "# Errors\n\nIntro RM0001.\n\n## RM1105 Unknown key\n\nText RM1101.\n\n### Why\n\nMore.\n\n```\n## RM0002 in a fence\n```\n\n\
            ## `RM2103`: no key\n\nB.\n\n## Appendix\n\nnot B\n";
        let pages = parse(document);
        assert_eq!(pages.len(), 2, "{pages:?}");
        assert_eq!((pages[0].code.as_str(), pages[0].title.as_str()), ("RM1105", "Unknown key"));
        assert!(pages[0].text.starts_with("Text RM1101.") && pages[0].text.ends_with("```"), "{}", pages[0].text);
        assert!(pages[0].text.contains("More."));
        assert_eq!((pages[1].title.as_str(), pages[1].text.as_str()), ("no key", "B."));
    }

    #[test]
    fn every_page_of_the_real_document_says_something_and_none_stands_twice() {
        let pages = pages();
        assert!(pages.len() > 10);
        for pair in pages.windows(2) {
            assert_ne!(pair[0].code, pair[1].code, "two pages");
        }
        for page in &pages {
            assert!(!page.title.is_empty(), "{} has no title", page.code);
            assert!(page.text.len() > 20, "{} says nothing", page.code);
        }
    }

    #[test]
    fn a_code_may_be_written_carelessly() {
        for code in ["RM1105", "rm1105", "1105", " RM1105 "] {
            assert_eq!(page(code).map(|page| page.code).as_deref(), Some("RM1105"));
        }
        assert_eq!(page("RM9999"), None);
        assert_eq!(page(""), None);
    }
}
