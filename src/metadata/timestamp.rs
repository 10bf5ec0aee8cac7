//! A moment, and its text by RFC 3339.
//!
//! Days are counted in the proleptic Gregorian calendar, in eras of 400 years of 146,097 days that begin in March, so
//! that the day put in every four years is the last of its year. Leap seconds are not counted, as in Unix time.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::error::{Error, Result};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
const ERA_DAYS: i64 = 146_097;
/// Days from the first of March of the year 0 to the first of January 1970.
const EPOCH: i64 = 719_468;

/// A moment: microseconds since the beginning of 1970 in UTC, about 290,000 years either way.
///
/// It is printed and parsed as RFC 3339; years beyond 9999 and before 0 have a sign and six digits. In serde formats
/// that people read, such as JSON, it is that text, in others the number of microseconds. A text of plain JSON stays a
/// text: what is to be a timestamp in [`Metadata`](crate::Metadata) has this type in the struct that is inserted, and
/// comes back into a field of this type or of a text.
///
/// ```
/// use understory::Timestamp;
///
/// let moment: Timestamp = "2026-01-01T01:30:00.25+01:00".parse()?;
/// assert_eq!(moment.to_string(), "2026-01-01T00:30:00.25Z");
/// assert_eq!(moment, Timestamp::from_micros(1_767_227_400_250_000));
/// # Ok::<(), understory::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    micros: i64,
}

impl Timestamp {
    /// The name under which a serializer of this crate recognises it.
    pub(super) const SERDE_NAME: &'static str = "understory::Timestamp";

    /// The moment so many microseconds after the beginning of 1970 in UTC.
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp { micros }
    }

    /// Microseconds since the beginning of 1970 in UTC.
    pub const fn as_micros(self) -> i64 {
        self.micros
    }

    /// What the system's clock says.
    pub fn now() -> Timestamp {
        SystemTime::now().into()
    }
}

/// Rounds down to a microsecond; what lies out of reach becomes the first or the last moment.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        let micros = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_nanos().div_ceil(1000)).map_or(i64::MIN, |micros| -micros)
            }
        };
        Timestamp { micros }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.micros.div_euclid(DAY));
        match year {
            0..=9999 => write!(f, "{year:04}")?,
            _ => write!(f, "{year:+07}")?,
        }
        let micros = self.micros.rem_euclid(DAY);
        let seconds = micros / SECOND;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        let fraction = format!("{:06}", micros % SECOND);
        match fraction.trim_end_matches('0') {
            "" => f.write_str("Z"),
            digits => write!(f, ".{digits}Z"),
        }
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Parses RFC 3339, with any offset. Digits beyond the microsecond are dropped.
    fn from_str(text: &str) -> Result<Timestamp> {
        parse(text).map(|micros| Timestamp { micros }).ok_or_else(|| {
            let found: String = text.chars().take(64).collect();
            Error::InvalidArgument(format!("expected a time such as 2026-01-31T18:30:00Z, found {found:?}"))
        })
    }
}

/// The year, month and day of a day counted from the beginning of 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH;
    let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The day of a date, counted from the beginning of 1970.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - EPOCH
}

/// Microseconds since the beginning of 1970.
fn parse(text: &str) -> Option<i64> {
    let mut rest = Rest(text.as_bytes());
    let year = match rest.one_of(b"+-") {
        Some(b'-') => -rest.digits(6)?,
        Some(_) => rest.digits(6)?,
        None => rest.digits(4)?,
    };
    rest.one_of(b"-")?;
    let month = rest.digits(2)?;
    rest.one_of(b"-")?;
    let day = rest.digits(2)?;
    let days = days_of(year, month, day);
    if civil(days) != (year, month, day) {
        return None;
    }
    rest.one_of(b"Tt ")?;
    let seconds = rest.clock()? * 60 + {
        rest.one_of(b":")?;
        rest.digits(2).filter(|&second| second < 60)?
    };
    let fraction = match rest.one_of(b".") {
        Some(_) => rest.fraction()?,
        None => 0,
    };
    let offset = match rest.one_of(b"Zz+-")? {
        b'+' => rest.clock()?,
        b'-' => -rest.clock()?,
        _ => 0,
    };
    if !rest.0.is_empty() {
        return None;
    }
    // In 128 bits: at the ends of the range a day and its time fit together only.
    let micros = i128::from(days) * i128::from(DAY) + i128::from((seconds - offset * 60) * SECOND + fraction);
    i64::try_from(micros).ok()
}

/// What is left to parse.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn one_of(&mut self, expected: &[u8]) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        expected.contains(&first).then(|| {
            self.0 = rest;
            first
        })
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        (0..count).try_fold(0, |number, _| Some(number * 10 + i64::from(self.one_of(b"0123456789")? - b'0')))
    }

    /// Hours and minutes, in minutes.
    fn clock(&mut self) -> Option<i64> {
        let hour = self.digits(2).filter(|&hour| hour < 24)?;
        self.one_of(b":")?;
        let minute = self.digits(2).filter(|&minute| minute < 60)?;
        Some(hour * 60 + minute)
    }

    /// The digits after a point, in microseconds.
    fn fraction(&mut self) -> Option<i64> {
        let mut unit = SECOND / 10;
        let mut micros = self.digits(1)? * unit;
        while let Some(digit) = self.digits(1) {
            unit /= 10;
            micros += digit * unit;
        }
        Some(micros)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.serialize_newtype_struct(Timestamp::SERDE_NAME, &self.to_string()),
            false => serializer.serialize_newtype_struct(Timestamp::SERDE_NAME, &self.micros),
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        deserializer.deserialize_newtype_struct(Timestamp::SERDE_NAME, TimestampVisitor)
    }
}

struct TimestampVisitor;

impl<'de> Visitor<'de> for TimestampVisitor {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time as RFC 3339")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Timestamp, D::Error> {
        match deserializer.is_human_readable() {
            true => deserializer.deserialize_str(self),
            false => i64::deserialize(deserializer).map(Timestamp::from_micros),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn known_moments_have_their_texts() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00Z"),
            (4_107_542_399_500_000, "2100-02-28T23:59:59.5Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
            (253_402_300_800_000_000, "+010000-01-01T00:00:00Z"),
            (-62_167_219_200_000_000, "0000-01-01T00:00:00Z"),
            (-62_167_219_200_000_001, "-000001-12-31T23:59:59.999999Z"),
        ];
        for (micros, text) in cases {
            assert_eq!(Timestamp::from_micros(micros).to_string(), text);
            assert_eq!(text.parse::<Timestamp>().unwrap().as_micros(), micros, "{text}");
        }
        let others = ["2000-02-29t01:30:00+01:30", "2000-02-28 23:00:00-01:00", "2000-02-29T00:00:00.0000009z"];
        for text in others {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), "2000-02-29T00:00:00Z", "{text}");
        }
    }

    #[test]
    fn every_day_and_the_ends_of_time_come_back() {
        let days = (-1_000_000..1_000_000).map(|day| day * DAY + day);
        for micros in days.chain([i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]) {
            let moment = Timestamp::from_micros(micros);
            assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment, "{micros}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let texts = [
            "",
            "2026",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00Z ",
            "+300000-01-01T00:00:00Z",
            "20260-01-01T00:00:00Z",
        ];
        for text in texts {
            let message = text.parse::<Timestamp>().unwrap_err().to_string();
            assert!(message.contains(&format!("{text:?}")), "{message}");
        }
    }

    #[test]
    fn the_clock_of_the_system_is_rounded_down() {
        let at = |time: SystemTime| Timestamp::from(time).as_micros();
        assert_eq!(at(UNIX_EPOCH + Duration::from_nanos(1999)), 1);
        assert_eq!(at(UNIX_EPOCH - Duration::from_nanos(1)), -1);
        assert_eq!(at(UNIX_EPOCH - Duration::from_nanos(1000)), -1);
        assert!(Timestamp::now() > Timestamp::from_micros(1_767_225_600_000_000));
    }
}
