//! Durations and counts as people write them and as we show them. Knows no clock.

use std::time::Duration;

/// Reads `30s`, `1h30m`, `250ms`, `2d`; a bare number is refused, because nobody remembers which unit it would have.
///
/// # Errors
/// A sentence that says what is expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?} is no duration: write a number with ms, s, m, h or d, such as 30s or 1h30m");
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(expected());
    }
    while !rest.is_empty() {
        let (number, behind) = split_number(rest).ok_or_else(expected)?;
        let unit_end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let seconds = match &behind[..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return Err(expected()),
        };
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| expected())?;
        total = total.checked_add(part).ok_or_else(expected)?;
        rest = behind[unit_end..].trim_start();
    }
    Ok(total)
}

/// `0.3 s`, `14 s`, `2h 11m`, `3d 4h`: two figures at most.
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit} {small}{small_unit}"),
    };
    match seconds {
        0 if duration.as_millis() < 100 => format!("{} ms", duration.as_millis()),
        0..=9 => format!("{:.1} s", duration.as_secs_f64()),
        10..=59 => format!("{seconds} s"),
        60..=3_599 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..=86_399 => two(seconds / 3_600, "h", seconds / 60 % 60, "m"),
        _ => two(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
    }
}

/// A duration as the configuration writes it, so that [`parse_duration`] reads the same back.
pub fn write_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.into_iter().find(|(size, _)| milliseconds > 0 && milliseconds.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", milliseconds / size),
        None => format!("{milliseconds}ms"),
    }
}

/// `912 004`: thousands apart, as all our tables show numbers.
pub fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(' ');
        }
        shown.push(digit);
    }
    shown
}

/// `1 table`, `2 tables`.
pub fn plural(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", show_count(count))
}

fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        let check = |text: &str, milliseconds: u64| {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        };
        check("250ms", 250);
        check("30s", 30_000);
        check("1h30m", 5_400_000);
        check("1h 30m", 5_400_000);
        check("0.5s", 500);
        check("2d", 172_800_000);
    }

    #[test]
    fn durations_without_unit_or_sense_are_refused() {
        for text in ["", "30", "s", "30 parsecs", "-5s", "1h30", "1.2.3s", "99999999999999999999d", "∞"] {
            let refused = parse_duration(text).expect_err(text);
            assert!(refused.contains("such as 30s"), "{refused}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for milliseconds in [0, 1, 250, 1_000, 1_500, 60_000, 90_000, 3_600_000, 86_400_000, 90_061_001] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(&write_duration(duration)), Ok(duration));
        }
    }

    #[test]
    fn durations_are_shown_in_two_figures_at_most() {
        let check = |milliseconds: u64, shown: &str| {
            assert_eq!(show_duration(Duration::from_millis(milliseconds)), shown);
        };
        check(4, "4 ms");
        check(312, "0.3 s");
        check(14_900, "14 s");
        check(61_000, "1m 1s");
        check(7_860_000, "2h 11m");
        check(273_600_000, "3d 4h");
        check(86_400_000, "1d");
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!(show_count(0), "0");
        assert_eq!(show_count(999), "999");
        assert_eq!(show_count(48_210), "48 210");
        assert_eq!(show_count(1_234_567), "1 234 567");
        assert_eq!(plural(1, "table"), "1 table");
        assert_eq!(plural(1_200, "row"), "1 200 rows");
    }
}
