//! What comes again: rules of RFC 5545 (`FREQ=WEEKLY;BYDAY=MO`) with their start, end and exceptions.
//!
//! A rule is bounded before it is expanded: how often, how far, how near to each other. What it gives is always later than
//! what was asked for, so that whoever follows it comes to its end.

use std::fmt;
use std::iter;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SubsecRound, TimeDelta, Utc};
use chrono_tz::Tz;
use rrule::{RRule, RRuleSet, Unvalidated};

use crate::when::{WhenError, in_zone, parse_zone};

#[cfg(test)]
mod tests;

/// Longest rule that is read at all, in bytes.
pub const RULE_BYTES_MAX: usize = 1_000;

/// A rule says nothing more so long after its start: ten years.
const SPAN_MAX: TimeDelta = TimeDelta::days(3_660);

/// Its start may lie so far back.
const START_AGE_MAX: TimeDelta = TimeDelta::days(366);

/// Two occurrences are at least so far apart.
const GAP_MIN: TimeDelta = TimeDelta::minutes(15);

/// Occurrences that are looked at for the gap between them; a rule's days are all alike, and a day has fewer.
const GAPS_LOOKED_AT: usize = 200;

const COUNT_MAX: u32 = 10_000;
const INTERVAL_MAX: u32 = 1_000;

/// Parts of a rule that are understood.
const PARTS: [&str; 13] = [
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "BYMONTH",
    "BYMONTHDAY",
    "BYDAY",
    "BYYEARDAY",
    "BYWEEKNO",
    "BYHOUR",
    "BYMINUTE",
    "BYSETPOS",
    "WKST",
];

/// The text is no rule that can be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecurrenceError {
    #[error("a rule has at most {RULE_BYTES_MAX} bytes")]
    TooLong,
    #[error("a rule needs one line such as FREQ=DAILY;COUNT=5")]
    NoRule,
    #[error("`{0}` is not understood here; a rule has RRULE, and may have DTSTART and EXDATE")]
    Line(String),
    #[error(
        "`{0}` is no part of a rule; known are FREQ, INTERVAL, COUNT, UNTIL, the BY… parts without BYSECOND, and WKST"
    )]
    Part(String),
    #[error("FREQ must be HOURLY, DAILY, WEEKLY, MONTHLY or YEARLY, not `{0}`")]
    Frequency(String),
    #[error("{name} must be 1 to {max}")]
    Number { name: &'static str, max: u32 },
    #[error("COUNT and UNTIL exclude each other; leave one of them out")]
    TwoEnds,
    #[error("`{0}` is no date; write it like 20300501T180000 or 20300501T180000Z")]
    Date(String),
    #[error(transparent)]
    Zone(#[from] WhenError),
    #[error("{0}")]
    Unfit(String),
    #[error("DTSTART lies more than a year back; choose a later one")]
    TooOld,
    #[error("the rule never comes true within ten years")]
    Never,
    #[error("it would come again after less than 15 minutes; choose a longer way between")]
    TooOften,
}

/// A rule with its start, as [`Recurrence::parse`] reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrence {
    start: DateTime<Tz>,
    /// `FREQ=…`, with its end in UTC.
    rule: String,
    without: Vec<Exception>,
    set: RRuleSet,
}

/// What does not come although the rule says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exception {
    At(DateTime<Utc>),
    /// All of that day where the rule begins.
    Day(NaiveDate),
}

/// A date or date and time of RFC 5545.
enum Written {
    Utc(DateTime<Utc>),
    Local(NaiveDateTime),
    Day(NaiveDate),
}

impl Recurrence {
    /// Reads `FREQ=…` or the lines `DTSTART`, `RRULE` and `EXDATE`; without a DTSTART it begins at `start`, in whole
    /// seconds.
    ///
    /// # Errors
    /// [`RecurrenceError`] says what to write instead. [`Recurrence::first`] refuses what would come too often or never.
    pub fn parse(text: &str, start: DateTime<Tz>) -> Result<Self, RecurrenceError> {
        if text.len() > RULE_BYTES_MAX {
            return Err(RecurrenceError::TooLong);
        }
        let (mut start, mut rule, mut exdates) = (start.trunc_subsecs(0), None, Vec::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, zone, value) = line_of(line)?;
            match name.as_str() {
                "DTSTART" => start = start_of(value, zone.unwrap_or(start.timezone()))?,
                "EXDATE" => exdates.push((zone, value)),
                "RRULE" if rule.is_none() => rule = Some(value),
                _ => return Err(RecurrenceError::Line(shown(line))),
            }
        }
        let rule = checked(rule.ok_or(RecurrenceError::NoRule)?, start)?;
        let mut without = Vec::new();
        for (zone, dates) in exdates {
            for date in dates.split(',') {
                without.push(exception(date.trim(), zone.unwrap_or(start.timezone()))?);
            }
        }
        let there = start.with_timezone(&rrule::Tz::from(start.timezone()));
        let unfit = |error: rrule::RRuleError| RecurrenceError::Unfit(shown(&error.to_string()));
        let valid =
            rule.parse::<RRule<Unvalidated>>().and_then(|rule| rule.validate(there)).map_err(unfit)?;
        let set = RRuleSet::new(there).rrule(valid).limit();
        Ok(Self { start, rule, without, set })
    }

    /// The first occurrence at or after `at`, for who is about to follow the rule.
    ///
    /// # Errors
    /// [`RecurrenceError`] when there is none, when they come too often, or when it began too long ago.
    pub fn first(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, RecurrenceError> {
        if self.start < at - START_AGE_MAX {
            return Err(RecurrenceError::TooOld);
        }
        let mut before = None;
        for next in self.occurrences().take(GAPS_LOOKED_AT) {
            if before.replace(next).is_some_and(|before| next - before < GAP_MIN) {
                return Err(RecurrenceError::TooOften);
            }
        }
        self.occurrences().find(|next| *next >= at).ok_or(RecurrenceError::Never)
    }

    /// The first occurrence later than `at`. `None`: it is over.
    pub fn after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.occurrences().find(|next| *next > at)
    }

    /// Where the rule's days and hours are meant.
    pub fn zone(&self) -> Tz {
        self.start.timezone()
    }

    fn occurrences(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let last = self.start + SPAN_MAX;
        let mut before = None;
        self.set
            .into_iter()
            .take_while(move |next| *next <= last)
            .map(|next| next.to_utc())
            .filter(|next| !self.is_left_out(*next))
            // Two hours of the wall that a clock change made one.
            .filter(move |next| before.replace(*next).is_none_or(|before| *next > before))
    }

    fn is_left_out(&self, next: DateTime<Utc>) -> bool {
        self.without.iter().any(|exception| match exception {
            Exception::At(at) => *at == next,
            Exception::Day(day) => next.with_timezone(&self.zone()).date_naive() == *day,
        })
    }
}

impl fmt::Display for Recurrence {
    /// The lines that [`Recurrence::parse`] reads, with their start.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (zone, start) = (self.zone(), self.start.format("%Y%m%dT%H%M%S"));
        write!(f, "DTSTART;TZID={zone}:{start}\nRRULE:{}", self.rule)?;
        for (index, exception) in self.without.iter().enumerate() {
            f.write_str(if index == 0 { "\nEXDATE:" } else { "," })?;
            match exception {
                Exception::At(at) => write!(f, "{}", at.format("%Y%m%dT%H%M%SZ"))?,
                Exception::Day(day) => write!(f, "{}", day.format("%Y%m%d"))?,
            }
        }
        Ok(())
    }
}

/// Name, zone and value of `DTSTART;TZID=Europe/Berlin:20300501T180000`; what has no name is the rule itself.
fn line_of(line: &str) -> Result<(String, Option<Tz>, &str), RecurrenceError> {
    let Some((head, value)) = line.split_once(':') else { return Ok(("RRULE".to_owned(), None, line)) };
    let mut head = head.split(';');
    let name = head.next().unwrap_or_default().to_ascii_uppercase();
    let mut zone = None;
    for parameter in head {
        match parameter.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("TZID") => zone = Some(parse_zone(value)?),
            Some((name, _)) if name.eq_ignore_ascii_case("VALUE") => {}
            _ => return Err(RecurrenceError::Line(shown(line))),
        }
    }
    Ok((name, zone, value))
}

fn start_of(text: &str, zone: Tz) -> Result<DateTime<Tz>, RecurrenceError> {
    let unreadable = || RecurrenceError::Date(shown(text));
    let local = match date(text)? {
        Written::Utc(at) => return Ok(at.with_timezone(&zone)),
        Written::Local(local) => local,
        Written::Day(day) => day.and_time(NaiveTime::MIN),
    };
    in_zone(local, zone).map(|at| at.with_timezone(&zone)).ok_or_else(unreadable)
}

fn exception(text: &str, zone: Tz) -> Result<Exception, RecurrenceError> {
    match date(text)? {
        Written::Utc(at) => Ok(Exception::At(at)),
        Written::Day(day) => Ok(Exception::Day(day)),
        Written::Local(local) => {
            in_zone(local, zone).map(Exception::At).ok_or_else(|| RecurrenceError::Date(shown(text)))
        }
    }
}

fn date(text: &str) -> Result<Written, RecurrenceError> {
    let (digits, is_utc) = text.strip_suffix(['Z', 'z']).map_or((text, false), |digits| (digits, true));
    let time = NaiveDateTime::parse_from_str(digits, "%Y%m%dT%H%M%S");
    match (time, NaiveDate::parse_from_str(digits, "%Y%m%d")) {
        (Ok(time), _) if is_utc => Ok(Written::Utc(time.and_utc())),
        (Ok(time), _) => Ok(Written::Local(time)),
        (_, Ok(day)) if !is_utc => Ok(Written::Day(day)),
        _ => Err(RecurrenceError::Date(shown(text))),
    }
}

/// The rule with known parts only, each within its bounds, its end in UTC as the expansion wants it.
fn checked(text: &str, start: DateTime<Tz>) -> Result<String, RecurrenceError> {
    let mut parts: Vec<(String, String)> = Vec::new();
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| RecurrenceError::Part(shown(part)))?;
        let (name, value) = (name.trim().to_ascii_uppercase(), value.trim().to_ascii_uppercase());
        if !PARTS.contains(&name.as_str()) || parts.iter().any(|(known, _)| *known == name) {
            return Err(RecurrenceError::Part(shown(part)));
        }
        parts.push((name, value));
    }
    let find = |wanted: &str| parts.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let frequency = find("FREQ").ok_or(RecurrenceError::NoRule)?;
    if !["HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"].contains(&frequency) {
        return Err(RecurrenceError::Frequency(shown(frequency)));
    }
    for (name, max) in [("INTERVAL", INTERVAL_MAX), ("COUNT", COUNT_MAX)] {
        let number = find(name).map(|value| value.parse::<u32>().unwrap_or(0));
        if number.is_some_and(|number| !(1..=max).contains(&number)) {
            return Err(RecurrenceError::Number { name, max });
        }
    }
    if find("COUNT").is_some() && find("UNTIL").is_some() {
        return Err(RecurrenceError::TwoEnds);
    }
    let unfit = |text: &str| Err(RecurrenceError::Unfit(text.to_owned()));
    let numbered = find("BYDAY").is_some_and(|days| days.contains(|char: char| char.is_ascii_digit()));
    if numbered && !["MONTHLY", "YEARLY"].contains(&frequency) {
        return unfit(
            "BYDAY has numbers only with FREQ=MONTHLY or FREQ=YEARLY; write for example BYDAY=MO,WE",
        );
    }
    if frequency == "HOURLY" && find("BYSETPOS").is_some() {
        return unfit("BYSETPOS has no use with FREQ=HOURLY; leave it out");
    }
    let until = find("UNTIL").map(|value| end_of(value, start)).transpose()?;
    let parts =
        parts.iter().filter(|(name, _)| name != "UNTIL").map(|(name, value)| format!("{name}={value}"));
    Ok(parts.chain(until.map(|until| format!("UNTIL={until}"))).collect::<Vec<_>>().join(";"))
}

/// UNTIL in UTC: a time without a zone is meant where the rule begins, a day ends with its last second.
fn end_of(text: &str, start: DateTime<Tz>) -> Result<String, RecurrenceError> {
    let unreadable = || RecurrenceError::Date(shown(text));
    let local = match date(text)? {
        Written::Utc(at) => return Ok(until(at)),
        Written::Local(local) => local,
        Written::Day(day) => day.and_hms_opt(23, 59, 59).ok_or_else(unreadable)?,
    };
    in_zone(local, start.timezone()).map(until).ok_or_else(unreadable)
}

fn until(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

fn shown(text: &str) -> String {
    text.chars().take(80).chain(iter::once('…').filter(|_| text.chars().nth(80).is_some())).collect()
}
