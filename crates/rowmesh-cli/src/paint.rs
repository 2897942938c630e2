//! Colours, and whether there are any. Nothing is said by colour alone.

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR or TERM=dumb say otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Colours text, or leaves it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Paint {
    /// Whether it colours.
    pub on: bool,
}

impl ColorChoice {
    /// Whether to colour one stream. The flag decides, then NO_COLOR, CLICOLOR_FORCE and TERM, then the terminal.
    pub fn decide(self, variable: impl Fn(&str) -> Option<String>, is_terminal: bool) -> Paint {
        let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
        let on = match self {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if set("NO_COLOR") => false,
            ColorChoice::Auto if set("CLICOLOR_FORCE") && variable("CLICOLOR_FORCE").as_deref() != Some("0") => true,
            ColorChoice::Auto => is_terminal && variable("TERM").as_deref() != Some("dumb"),
        };
        Paint { on }
    }
}

impl Paint {
    /// All is well.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Look at this.
    pub fn warn(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Broken.
    pub fn bad(self, text: &str) -> String {
        self.wrap("31;1", text)
    }

    /// Less important.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// More important.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, style: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(choice: ColorChoice, variables: &[(&str, &str)], is_terminal: bool) -> bool {
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        choice.decide(variable, is_terminal).on
    }

    #[test]
    fn flags_beat_variables_and_variables_beat_the_terminal() {
        use ColorChoice::{Always, Auto, Never};
        assert!(decide(Auto, &[], true));
        assert!(!decide(Auto, &[], false));
        assert!(!decide(Auto, &[("NO_COLOR", "1")], true));
        assert!(decide(Auto, &[("NO_COLOR", "")], true));
        assert!(!decide(Auto, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true));
        assert!(decide(Auto, &[("CLICOLOR_FORCE", "1")], false));
        assert!(!decide(Auto, &[("CLICOLOR_FORCE", "0")], false));
        assert!(!decide(Auto, &[("TERM", "dumb")], true));
        assert!(decide(Always, &[("NO_COLOR", "1")], false));
        assert!(!decide(Never, &[("CLICOLOR_FORCE", "1")], true));
    }

    #[test]
    fn without_colour_text_is_left_alone() {
        assert_eq!(Paint { on: false }.bad("x"), "x");
        assert_eq!(Paint { on: true }.good("x"), "\x1b[32mx\x1b[0m");
        assert_eq!(Paint { on: true }.good(""), "");
    }
}
