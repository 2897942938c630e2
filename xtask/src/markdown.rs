//! The little of Markdown that the checks need: fences, code spans, links, table rows, anchors. Renders nothing.

/// A line of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Counted from one.
    pub number: usize,
    pub text: &'a str,
    /// Inside a fenced block: code or a picture made of letters.
    pub fenced: bool,
}

/// All lines but the fences themselves.
pub fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, text)| {
        if text.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        Some(Line { number: index + 1, text, fenced })
    })
}

/// What stands between backticks in a line.
pub fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    let pairs = line.matches('`').count() / 2;
    line.split('`').skip(1).step_by(2).take(pairs)
}

/// Targets of `[text](target)` in a line, code spans left out.
pub fn links(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.split(' ').next().unwrap_or_default().to_string()).collect()
}

/// Anchors that headings of a document give, as the usual renderers make them.
pub fn anchors(text: &str) -> Vec<String> {
    let headings = lines(text).filter(|line| !line.fenced && line.text.starts_with('#'));
    headings.map(|line| anchor(line.text.trim_start_matches('#').trim())).collect()
}

/// First cell of a table row; none for other lines and for the line below a table's head.
pub fn first_cell(line: &str) -> Option<&str> {
    let cell = line.trim().strip_prefix('|')?.split('|').next()?.trim();
    let is_ruler = cell.chars().all(|c| matches!(c, '-' | ':'));
    (!is_ruler).then_some(cell)
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_know_whether_they_are_fenced_and_keep_their_numbers() {
        let text = "a\n```text\nb\n```\nc";
        let seen: Vec<_> = lines(text).map(|line| (line.number, line.text, line.fenced)).collect();
        assert_eq!(seen, [(1, "a", false), (3, "b", true), (5, "c", false)]);
    }

    #[test]
    fn code_spans_need_both_backticks() {
        assert_eq!(code_spans("`a` and `b c` and `d").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!(code_spans("none").count(), 0);
    }

    #[test]
    fn links_in_code_are_no_links() {
        assert_eq!(links("[a](b.md), ![c](d.svg \"title\"), `[e](f)`, [g `h`](i#j)"), ["b.md", "d.svg", "i#j"]);
    }

    #[test]
    fn anchors_are_those_of_the_headings() {
        assert_eq!(anchors("# Wire: v1 (CBOR)\ntext\n```\n# no\n```\n## `merge`"), ["wire-v1-cbor", "merge"]);
    }

    #[test]
    fn the_ruler_of_a_table_is_no_row() {
        assert_eq!(first_cell("| node, peer | one |"), Some("node, peer"));
        assert_eq!(first_cell("|---|:-:|"), None);
        assert_eq!(first_cell("text | text"), None);
    }
}
