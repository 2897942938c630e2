//! Reads how many tests a runner says it ran. Understands cargo-nextest, `cargo test` and the plain line that our own programs print.

use std::ops::AddAssign;

/// Tests that passed and tests that did not.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    /// Timed out and crashed ones included.
    pub failed: u64,
}

impl Tally {
    /// What a runner's output says in its own summary lines; none if there is no such line. Runners show the output of failed tests, which may
    /// hold such lines too: so only the form of this runner counts, and only where the runner itself writes it.
    pub fn read(output: &str) -> Option<Tally> {
        let output = without_colours(output);
        let nextest = output.lines().filter_map(nextest_summary).next_back();
        nextest
            .or_else(|| sum(output.lines().filter_map(cargo_test_result)))
            .or_else(|| sum(output.lines().filter_map(plain)))
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// `     Summary [ 0.3s] 4 tests run: 2 passed (1 slow), 1 failed, 1 timed out, 3 skipped`: what neither passed nor was skipped has failed.
fn nextest_summary(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("     Summary [")?.split_once(" run: ")?;
    let of = |what: &str| counts.split(", ").filter_map(|part| count(part, what)).sum::<u64>();
    Some(Tally { passed: of("passed"), failed: of("failed") + of("timed out") + of("exec failed") })
}

/// `test result: ok. 12 passed; 0 failed; …`, one line per test program
fn cargo_test_result(line: &str) -> Option<Tally> {
    pair(line.strip_prefix("test result: ")?.split_once(". ")?.1)
}

/// `12 passed, 0 failed`
fn plain(line: &str) -> Option<Tally> {
    pair(line).filter(|_| line.ends_with(" failed"))
}

fn pair(text: &str) -> Option<Tally> {
    let mut parts = text.split([',', ';']);
    Some(Tally { passed: count(parts.next()?, "passed")?, failed: count(parts.next()?, "failed")? })
}

fn sum(tallies: impl Iterator<Item = Tally>) -> Option<Tally> {
    tallies.reduce(|mut sum, tally| {
        sum += tally;
        sum
    })
}

/// The number in `12 passed`, also in `12 passed (1 slow)`.
fn count(part: &str, what: &str) -> Option<u64> {
    let (number, rest) = part.trim().split_once(' ')?;
    let is_this = rest == what || rest.strip_prefix(what).is_some_and(|more| more.starts_with(" ("));
    if is_this { number.parse().ok() } else { None }
}

/// Leaves out terminal escapes of the form `ESC [ … letter`.
fn without_colours(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        out.push_str(before);
        rest = after.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).get(1..).unwrap_or("");
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &str, passed: u64, failed: u64) {
        assert_eq!(Tally::read(output), Some(Tally { passed, failed }), "{output}");
    }

    #[test]
    fn summaries_of_nextest_are_read() {
        check("     Summary [   0.005s] 3 tests run: 3 passed, 0 skipped", 3, 0);
        check(
            "     Summary [   1.5s] 5/9 tests run: 2 passed (1 slow, 1 leaky), 1 failed, 1 timed out, 1 exec failed, 4 skipped",
            2,
            3,
        );
        check(
            "\u{1b}[32;1m     Summary\u{1b}[0m [   0.005s] \u{1b}[1m1\u{1b}[0m test run: \u{1b}[1m1\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, 0 skipped",
            1,
            0,
        );
        check("     Summary [   0.005s] 0 tests run: 0 passed, 7 skipped", 0, 0);
    }

    #[test]
    fn results_of_cargo_test_are_summed_over_its_programs() {
        let result = |status: &str, passed: u64, failed: u64| {
            format!(
                "test result: {status}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
            )
        };
        check(&(result("ok", 12, 0) + "\n   Doc-tests a\n" + &result("FAILED", 3, 2)), 15, 2);
    }

    #[test]
    fn summaries_in_the_output_of_a_failed_test_do_not_count() {
        let shown = "      stdout ───\n\n    test result: FAILED. 0 passed; 1 failed; 0 ignored\n         Summary [ 1s] 9 tests run: 9 passed\n";
        check(&format!("{shown}     Summary [   0.4s] 60 tests run: 59 passed, 1 failed, 0 skipped\n{shown}"), 59, 1);
        check("---- a stdout ----\n500 passed, 0 failed\n\ntest result: FAILED. 3 passed; 1 failed; 0 ignored\n", 3, 1);
    }

    #[test]
    fn the_plain_line_is_read_and_prose_is_not() {
        check("seed 17 ok\n500 passed, 0 failed", 500, 0);
        for prose in ["", "all passed, none failed", "12 passed", "3 passed, 1 failed to start", "step 3 failed"] {
            assert_eq!(Tally::read(prose), None, "{prose}");
        }
    }
}
