//! Three kinds of time that must not be mixed up, and calendar days of a workspace's zone.
//!
//! All are microseconds since 1970 in UTC. [`EventTime`] is what a source claims, [`ReceivedTime`] is the gateway's
//! stamp. Processing time has no type here: nothing in the domain may depend on it.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a day of UTC.
pub const DAY: i64 = 86_400 * SECOND;

/// When something happened, as its source says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

/// When the gateway accepted the delivery.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReceivedTime(pub i64);

impl EventTime {
    /// The time that decides the window: a claim of more than a day ahead of `received` is not believed (R6.6).
    pub fn for_window(self, received: ReceivedTime) -> Self {
        if self.is_future_of(received) { received.as_event() } else { self }
    }

    /// True when the claim is more than 24 hours ahead of the arrival (flag `timestamp_future`).
    pub fn is_future_of(self, received: ReceivedTime) -> bool {
        self.0.saturating_sub(received.0) > DAY
    }

    /// RFC 3339 in UTC.
    pub fn to_rfc3339(self) -> String {
        rfc3339(self.0)
    }
}

impl ReceivedTime {
    /// The arrival used where the source gives no time.
    pub const fn as_event(self) -> EventTime {
        EventTime(self.0)
    }

    /// RFC 3339 in UTC.
    pub fn to_rfc3339(self) -> String {
        rfc3339(self.0)
    }
}

impl fmt::Debug for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rfc3339(self.0))
    }
}

impl fmt::Debug for ReceivedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rfc3339(self.0))
    }
}

fn rfc3339(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| format!("{micros}us"), |t| t.to_string())
}

/// A time that was read, and whether it came without an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read {
    /// The instant.
    pub at: EventTime,
    /// True when the text had no offset and was taken as UTC (flag `timestamp_naive`).
    pub naive: bool,
}

/// Reads an ISO 8601 text with offset, `Z`, or none.
pub fn parse_iso(text: &str) -> Result<Read, TimeError> {
    let text = text.trim();
    if let Some(micros) = plain(text.as_bytes()) {
        return Ok(Read { at: EventTime(micros), naive: false });
    }
    let bad = || TimeError(text.chars().take(40).collect());
    if text.len() > 64 {
        return Err(bad());
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Read { at: EventTime(at.as_microsecond()), naive: false });
    }
    let civil: jiff::civil::DateTime = text.parse().map_err(|_| bad())?;
    let at = civil.to_zoned(TimeZone::UTC).map_err(|_| bad())?.timestamp();
    Ok(Read { at: EventTime(at.as_microsecond()), naive: true })
}

/// Reads the gateway's own stamp.
pub fn parse_received(text: &str) -> Result<ReceivedTime, TimeError> {
    parse_iso(text).map(|read| ReceivedTime(read.at.0))
}

/// A text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an ISO 8601 time")]
pub struct TimeError(pub String);

/// `YYYY-MM-DDThh:mm:ss[.f…](Z|±hh:mm)`, the form that nearly every source sends.
fn plain(b: &[u8]) -> Option<i64> {
    if b.len() < 20 || b[4] != b'-' || b[7] != b'-' || b[10] != b'T' || b[13] != b':' || b[16] != b':' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        b.get(range)?.iter().try_fold(0_i64, |n, c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let date =
        Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let (fraction, rest) = match b[19] {
        b'.' => {
            let digits = b[20..].iter().take_while(|c| c.is_ascii_digit()).count();
            if digits == 0 || digits > 9 {
                return None;
            }
            let mut micros = number(20..20 + digits.min(6))?;
            for _ in digits.min(6)..6 {
                micros *= 10;
            }
            (micros, &b[20 + digits..])
        }
        _ => (0, &b[19..]),
    };
    let offset = match rest {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2]
            if [h1, h2, m1, m2].iter().all(|c| c.is_ascii_digit()) =>
        {
            let two = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
            let (hours, minutes) = (two(h1, h2), two(m1, m2));
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let days = epoch_days(date);
    Some((days * 86_400 + hour * 3600 + minute * 60 + second - offset) * SECOND + fraction)
}

fn epoch_days(date: Date) -> i64 {
    let (y, m, d) = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// A calendar day: days since 1970-01-01, whichever zone it was cut in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub i32);

impl Day {
    /// Reads `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Option<Self> {
        let date: Date = text.parse().ok()?;
        i32::try_from(epoch_days(date)).ok().map(Self)
    }

    /// The first day of its month.
    pub fn first_of_month(self) -> Self {
        let date = Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(self.0));
        let into_month = date.map_or(0, |date| i32::from(date.day()) - 1);
        Self(self.0.saturating_sub(into_month))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(self.0));
        match date {
            Ok(date) => write!(f, "{date}"),
            Err(_) => write!(f, "day {}", self.0),
        }
    }
}

/// The time zone that cuts the days of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// `None` is UTC, so that the common case is one division.
    tz: Option<TimeZone>,
    name: String,
}

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Self { tz: None, name: "UTC".to_owned() }
    }

    /// An IANA name such as `America/New_York`.
    pub fn parse(name: &str) -> Result<Self, String> {
        if matches!(name, "UTC" | "Etc/UTC" | "Z") {
            return Ok(Self::utc());
        }
        let tz = TimeZone::get(name).map_err(|_| format!("'{name}' is not an IANA time zone"))?;
        Ok(Self { tz: Some(tz), name: name.to_owned() })
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The calendar day of an instant.
    pub fn day_of(&self, at: EventTime) -> Day {
        Day(i32::try_from(self.local(at).div_euclid(DAY)).unwrap_or(i32::MAX))
    }

    /// Microseconds since 1970 as the clock on the wall counts them.
    fn local(&self, at: EventTime) -> i64 {
        let Some(tz) = &self.tz else { return at.0 };
        let offset = Timestamp::from_microsecond(at.0)
            .map_or(0, |timestamp| i64::from(tz.to_offset(timestamp).seconds()));
        at.0.saturating_add(offset * SECOND)
    }

    /// The calendar day of an instant, and the hour that its clock shows, 0 to 23.
    pub fn hour_of(&self, at: EventTime) -> (Day, u8) {
        let micros = self.local(at);
        let hour = micros.rem_euclid(DAY) / (3600 * SECOND);
        (
            Day(i32::try_from(micros.div_euclid(DAY)).unwrap_or(i32::MAX)),
            u8::try_from(hour).unwrap_or_default(),
        )
    }

    /// The end of an hour that the clock shows, exclusive.
    pub fn end_of_hour(&self, day: Day, hour: u8) -> EventTime {
        if hour >= 23 {
            return self.start_of(Day(day.0.saturating_add(1)));
        }
        let naive =
            i64::from(day.0).saturating_mul(DAY).saturating_add((i64::from(hour) + 1) * 3600 * SECOND);
        let Some(tz) = &self.tz else { return EventTime(naive) };
        let date = Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(day.0));
        let next = i8::try_from(hour + 1).unwrap_or_default();
        let end = date.ok().and_then(|date| date.at(next, 0, 0, 0).to_zoned(tz.clone()).ok());
        EventTime(end.map_or(naive, |zoned| zoned.timestamp().as_microsecond()))
    }

    /// The first instant of a calendar day.
    pub fn start_of(&self, day: Day) -> EventTime {
        let naive = i64::from(day.0).saturating_mul(DAY);
        let Some(tz) = &self.tz else { return EventTime(naive) };
        let date = Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(day.0));
        let start = date.ok().and_then(|date| date.to_zoned(tz.clone()).ok());
        EventTime(start.map_or(naive, |zoned| zoned.timestamp().as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_month_begins_on_its_first_day() {
        for (day, first) in
            [("2024-02-29", "2024-02-01"), ("1969-12-31", "1969-12-01"), ("2026-03-01", "2026-03-01")]
        {
            assert_eq!(super::Day::parse(day).unwrap().first_of_month(), super::Day::parse(first).unwrap());
        }
    }

    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> i64 {
        parse_iso(text).unwrap().at.0
    }

    #[test]
    fn instants_are_compared_and_not_strings() {
        assert!(at("2024-01-05T06:42:16+00:00") < at("2024-01-05T01:43:48-05:00"));
        assert_eq!(at("1970-01-01T01:00:00+01:00"), 0);
        assert_eq!(at("2026-01-01T00:00:00.5Z"), at("2026-01-01T00:00:00Z") + 500_000);
    }

    #[test]
    fn a_time_without_offset_is_utc_and_says_so() {
        let read = parse_iso("2026-01-01T00:00:00").unwrap();
        assert!(read.naive);
        assert_eq!(read.at.0, at("2026-01-01T00:00:00Z"));
        assert!(parse_iso("2026-01-01").unwrap().naive);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "99999-01-01T00:00:00Z",
            "2026-01-01T25:00:00Z",
        ] {
            assert!(parse_iso(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_hour_is_that_of_the_clock_on_the_wall_also_on_the_days_on_which_it_is_changed() {
        let zone = Zone::parse("America/New_York").unwrap();
        let hour = |text: &str| {
            let (day, hour) = zone.hour_of(EventTime(at(text)));
            (format!("{day}T{hour:02}"), zone.end_of_hour(day, hour).0)
        };
        assert_eq!(hour("2026-03-08T03:30:00Z"), ("2026-03-07T22".to_owned(), at("2026-03-08T04:00:00Z")));
        // There is no hour from two to three on 8 March 2026, and on 1 November that from one to two is there twice.
        assert_eq!(hour("2026-03-08T06:59:00Z"), ("2026-03-08T01".to_owned(), at("2026-03-08T07:00:00Z")));
        assert_eq!(hour("2026-03-08T07:00:00Z"), ("2026-03-08T03".to_owned(), at("2026-03-08T08:00:00Z")));
        for twice in ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"] {
            assert_eq!(hour(twice), ("2026-11-01T01".to_owned(), at("2026-11-01T07:00:00Z")));
        }
        assert_eq!(Zone::utc().hour_of(EventTime(-1)), (Day(-1), 23));
        assert_eq!(Zone::utc().end_of_hour(Day(-1), 23), EventTime(0));
    }

    #[test]
    fn a_day_belongs_to_the_zone_of_the_workspace() {
        let zone = Zone::parse("America/New_York").unwrap();
        let late = EventTime(at("2026-03-08T03:30:00Z"));
        assert_eq!(zone.day_of(late).to_string(), "2026-03-07");
        assert_eq!(Zone::utc().day_of(late).to_string(), "2026-03-08");
        // 8 March 2026 has 23 hours there.
        let day = Day::parse("2026-03-08").unwrap();
        assert_eq!(zone.start_of(Day(day.0 + 1)).0 - zone.start_of(day).0, 23 * 3600 * SECOND);
    }

    #[test]
    fn a_claim_far_in_the_future_opens_no_window() {
        let received = ReceivedTime(at("2026-01-01T00:00:00Z"));
        let claim = EventTime(at("2099-01-01T00:00:00Z"));
        assert_eq!(claim.for_window(received), received.as_event());
        let fine = EventTime(received.0 + DAY);
        assert_eq!(fine.for_window(received), fine);
    }

    proptest! {
        #[test]
        fn the_short_way_reads_what_the_library_reads(micros in -62_000_000_000_i64..250_000_000_000_i64, offset in -840_i64..840) {
            let t = Timestamp::from_microsecond(micros * 1000).unwrap();
            let tz = TimeZone::fixed(jiff::tz::Offset::from_seconds(i32::try_from(offset * 60).unwrap()).unwrap());
            let text = t.to_zoned(tz).strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string();
            prop_assert_eq!(parse_iso(&text).unwrap().at.0, t.as_microsecond(), "{}", text);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = parse_iso(&text);
        }
    }
}
