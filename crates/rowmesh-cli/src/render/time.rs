//! Times as people read them, seen from one moment in one time zone. Reads no clock but in [`Moment::now`].

use std::time::Duration;

#[cfg(test)]
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned, civil};

/// Now, and where.
#[derive(Debug, Clone)]
pub struct Moment {
    now: Zoned,
}

impl Moment {
    /// This machine's.
    pub fn now() -> Moment {
        Moment { now: Zoned::now() }
    }

    /// Any other.
    #[cfg(test)]
    pub fn at(milliseconds: u64, zone: TimeZone) -> Moment {
        Moment { now: timestamp(milliseconds).to_zoned(zone) }
    }

    /// `now`, `09:14`, `yesterday 09:14`, `2026-01-31 09:14`.
    pub fn when(&self, milliseconds: u64) -> String {
        let near = self.since(milliseconds).max(self.until(milliseconds));
        if near < Duration::from_secs(60) {
            return "now".to_owned();
        }
        let then = timestamp(milliseconds).to_zoned(self.now.time_zone().clone());
        let clock = then.strftime("%H:%M");
        if then.date() == self.now.date() {
            return clock.to_string();
        }
        if self.now.date().yesterday().is_ok_and(|yesterday| yesterday == then.date()) {
            return format!("yesterday {clock}");
        }
        then.strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// `14:31:07.214`, with the date where it is not today's.
    pub fn exact(&self, milliseconds: u64) -> String {
        let then = timestamp(milliseconds).to_zoned(self.now.time_zone().clone());
        let format = if then.date() == self.now.date() { "%H:%M:%S.%3f" } else { "%Y-%m-%d %H:%M:%S.%3f" };
        then.strftime(format).to_string()
    }

    /// Milliseconds since 1970 that `2h`, `14:00`, `2026-01-31` or `2026-01-31T14:00` mean here.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn read(&self, text: &str) -> Result<u64, String> {
        let zone = self.now.time_zone();
        let passed = crate::units::parse_duration(text).ok().and_then(|d| self.now.timestamp().checked_sub(d).ok());
        let local = |datetime: civil::DateTime| datetime.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp());
        let clock = || text.parse::<civil::Time>().ok().and_then(|time| local(self.now.date().to_datetime(time)));
        let stamp = || text.parse::<Timestamp>().ok();
        let day = || text.parse::<civil::DateTime>().ok().and_then(local);
        let found = passed.or_else(stamp).or_else(day).or_else(clock);
        let milliseconds = found.and_then(|found| u64::try_from(found.as_millisecond()).ok());
        milliseconds.ok_or_else(|| format!("{text:?} is no time: write 2h, 14:00, 2026-01-31 or 2026-01-31T14:00"))
    }

    /// What has passed; nothing where the other clock is ahead.
    fn since(&self, milliseconds: u64) -> Duration {
        Duration::from_millis(self.milliseconds().saturating_sub(milliseconds))
    }

    fn until(&self, milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds.saturating_sub(self.milliseconds()))
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.now.timestamp().as_millisecond()).unwrap_or(0)
    }
}

fn timestamp(milliseconds: u64) -> Timestamp {
    let signed = i64::try_from(milliseconds).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(signed).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-31 16:00:00 UTC.
    const NOW: u64 = 1_769_875_200_000;
    const HOUR: u64 = 3_600_000;

    fn moment() -> Moment {
        Moment::at(NOW, TimeZone::UTC)
    }

    #[test]
    fn times_are_as_short_as_they_can_be() {
        let moment = moment();
        assert_eq!(moment.when(NOW - 3_000), "now");
        assert_eq!(moment.when(NOW - 2 * HOUR), "14:00");
        assert_eq!(moment.when(NOW - 20 * HOUR), "yesterday 20:00");
        assert_eq!(moment.when(NOW - 48 * HOUR), "2026-01-29 16:00");
        assert_eq!(moment.exact(NOW - 1), "15:59:59.999");
        assert_eq!(moment.when(u64::MAX).len(), "9999-12-30 22:00".len());
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let moment = moment();
        assert_eq!(moment.read("2h"), Ok(NOW - 2 * HOUR));
        assert_eq!(moment.read("14:00"), Ok(NOW - 2 * HOUR));
        assert_eq!(moment.read("2026-01-30T16:00"), Ok(NOW - 24 * HOUR));
        assert_eq!(moment.read("2026-01-31"), Ok(NOW - 16 * HOUR));
        assert_eq!(moment.read("2026-01-31T15:00:00Z"), Ok(NOW - HOUR));
        for wrong in ["", "yesterday", "25:00", "7"] {
            assert!(moment.read(wrong).is_err(), "{wrong}");
        }
    }
}
