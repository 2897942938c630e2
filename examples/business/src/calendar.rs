//! Points in time as the application writes them: ISO 8601 text in UTC. Reads no clock: all time here is made up.

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(i64);

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

impl Moment {
    /// Monday 2026-01-05, 08:00 UTC: generated data lies before it, and every workload starts there.
    pub(crate) const OPENING: Self = Self(1_767_600_000_000);

    pub(crate) fn plus_minutes(self, minutes: i64) -> Self {
        Self(self.0 + minutes * MINUTE_MS)
    }

    pub(crate) fn plus_days(self, days: i64) -> Self {
        Self(self.0 + days * DAY_MS)
    }

    pub(crate) fn year(self) -> i64 {
        civil(self.0.div_euclid(DAY_MS)).0
    }

    /// `2026-01-05`
    pub(crate) fn date(self) -> String {
        let (year, month, day) = civil(self.0.div_euclid(DAY_MS));
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// `2026-01-05T08:00:00.000Z`
    pub(crate) fn time(self) -> String {
        let ms = self.0.rem_euclid(DAY_MS);
        let (seconds, ms) = (ms / 1000, ms % 1000);
        format!("{}T{:02}:{:02}:{:02}.{ms:03}Z", self.date(), seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

/// The date of a day counted from 2000-01-01, as PostgreSQL counts days.
pub(crate) fn date_of_day(days: i64) -> String {
    Moment(MILLENNIUM_MS + days * DAY_MS).date()
}

/// The time of a microsecond counted from 2000-01-01, as PostgreSQL counts them; finer than milliseconds only where it must be.
pub(crate) fn time_of_microsecond(microseconds: i64) -> String {
    let time = Moment(MILLENNIUM_MS + microseconds.div_euclid(1000)).time();
    match microseconds.rem_euclid(1000) {
        0 => time,
        rest => format!("{}{rest:03}Z", time.trim_end_matches('Z')),
    }
}

const MILLENNIUM_MS: i64 = 946_684_800_000;

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_are_written_right() {
        assert_eq!(Moment(0).time(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Moment(-1).time(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Moment(951_782_400_000).date(), "2000-02-29");
        assert_eq!(Moment::OPENING.time(), "2026-01-05T08:00:00.000Z");
        assert_eq!(Moment::OPENING.plus_days(55).plus_minutes(61).time(), "2026-03-01T09:01:00.000Z");
    }

    #[test]
    fn what_is_counted_from_the_millennium_is_the_same_calendar() {
        assert_eq!(date_of_day(0), "2000-01-01");
        assert_eq!(date_of_day(-1), "1999-12-31");
        assert_eq!(time_of_microsecond(-1), "1999-12-31T23:59:59.999999Z");
        assert_eq!(time_of_microsecond(1_500_000), "2000-01-01T00:00:01.500Z");
    }
}
