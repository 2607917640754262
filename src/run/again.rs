//! Starts the program anew in the same process, as another incarnation.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When the program started itself again, in seconds since 1970, parted by commas.
const RESTARTS: &str = "WADDLEBOT_RESTARTS";
/// At most so many times within [`WITHIN`]; then the service manager sees the exit code.
const RESTARTS_MAX: usize = 3;
const WITHIN: Duration = Duration::from_mins(1);

/// Replaces the process by a new one with the same arguments. Returns only when it was done too often, or could not be.
pub fn start_again() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let before = std::env::var_os(RESTARTS).and_then(|text| text.into_string().ok()).unwrap_or_default();
    let Some(restarts) = with_one_more(&before, now) else {
        tracing::error!("started itself again {RESTARTS_MAX} times within a minute, no more");
        return;
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            tracing::error!(%error, "cannot find the own program to start it again");
            return;
        }
    };
    let error = Command::new(program).args(std::env::args_os().skip(1)).env(RESTARTS, restarts).exec();
    tracing::error!(%error, "cannot start again");
}

/// The times with this one; `None` when there were too many lately.
fn with_one_more(before: &str, now: u64) -> Option<String> {
    let is_recent = |at: &u64| now.saturating_sub(*at) < WITHIN.as_secs();
    let mut times: Vec<u64> = before.split(',').filter_map(|at| at.parse().ok()).filter(is_recent).collect();
    if times.len() >= RESTARTS_MAX {
        return None;
    }
    times.push(now);
    Some(times.iter().map(u64::to_string).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_a_minute_and_no_more() {
        let one = with_one_more("", 100).unwrap();
        let two = with_one_more(&one, 110).unwrap();
        let three = with_one_more(&two, 120).unwrap();
        assert_eq!(three, "100,110,120");
        assert_eq!(with_one_more(&three, 159), None);
        assert_eq!(with_one_more(&three, 160).as_deref(), Some("110,120,160"));
        assert_eq!(with_one_more("nonsense", 5).as_deref(), Some("5"));
    }
}
