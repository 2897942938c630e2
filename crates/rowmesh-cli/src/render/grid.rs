//! Rows under headings, columns aligned, no lines. Knows no content.

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, presets};

use super::clean;
use crate::paint::Paint;

/// Rows under headings.
pub struct Grid {
    table: Table,
}

/// How one cell looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As usual.
    Plain,
    /// All is well.
    Good,
    /// Look at this.
    Warn,
    /// Broken.
    Bad,
}

impl Grid {
    /// With headings; those that begin with `>` stand over numbers, to the right.
    pub fn new(headings: &[&str], paint: Paint) -> Grid {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).force_no_tty();
        if paint.on {
            table.enforce_styling();
        }
        table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, GAP));
            if headings[at].starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Grid { table }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: &[(String, Tone)]) {
        self.table.add_row(cells.iter().map(|(text, tone)| {
            let cell = Cell::new(clean(text));
            match tone {
                Tone::Plain => cell,
                Tone::Good => cell.fg(Color::DarkGreen),
                Tone::Warn => cell.fg(Color::DarkYellow),
                Tone::Bad => cell.fg(Color::DarkRed),
            }
        }));
    }

    /// The text, each line ended.
    pub fn show(&self) -> String {
        self.table.trim_fmt() + "\n"
    }
}

const GAP: u16 = 3;

/// A cell without a tone.
pub fn plain(text: impl Into<String>) -> (String, Tone) {
    (text.into(), Tone::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let mut grid = Grid::new(&["NAME", ">ROWS", "NOTE"], Paint::default());
        grid.row(&[plain("orders"), plain("912 004"), plain("")]);
        grid.row(&[plain("Ünïcode"), plain("7"), ("bad\x1b[m".into(), Tone::Bad)]);
        insta::assert_snapshot!(grid.show(), @r"
        NAME         ROWS   NOTE
        orders    912 004
        Ünïcode         7   bad\u{1b}[m
        ");
        assert!(grid.show().lines().all(|line| line == line.trim_end()));
    }

    #[test]
    fn colours_are_there_only_where_they_are_wanted() {
        let show = |on: bool| {
            let mut grid = Grid::new(&["A"], Paint { on });
            grid.row(&[("x".into(), Tone::Good)]);
            grid.show().contains('\x1b')
        };
        assert!(show(true));
        assert!(!show(false));
    }
}
