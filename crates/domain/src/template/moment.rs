//! Points in time as `countdown` and `countup` take them.

use chrono::{DateTime, Utc};

use crate::when::Moment;

/// Reads RFC 3339, `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM`; without a zone it is UTC. `None`: it is none of them.
pub(super) fn parse(text: &str) -> Option<DateTime<Utc>> {
    Some(match Moment::parse(text.trim())? {
        Moment::Exact(moment) => moment,
        Moment::Local(moment) => moment.and_utc(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_in_every_form() {
        for (text, want) in [
            ("2030-01-02", "2030-01-02T00:00:00Z"),
            ("2030-01-02T03:04", "2030-01-02T03:04:00Z"),
            ("2030-01-02 03:04", "2030-01-02T03:04:00Z"),
            ("2030-01-02T03:04:05", "2030-01-02T03:04:05Z"),
            ("2030-01-02T03:04:05+01:00", "2030-01-02T02:04:05Z"),
            (" 2030-01-02T03:04:05Z ", "2030-01-02T03:04:05Z"),
        ] {
            let want: DateTime<Utc> = want.parse().unwrap();
            assert_eq!(parse(text), Some(want), "{text:?}");
        }
        for text in ["", "soon", "2030-13-01", "2030-02-30", "1.2.2030"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
