//! The metrics of commands. Each command updates three; their handles are looked up once for each set of labels, since
//! the recorder's own lookup allocates and costs more than the rest of a command's bookkeeping.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use metrics::{Counter, Histogram};

use super::metric_names::SERVICE;

/// Two labels that do not grow with what people type, behind the platform's or module's name.
type Labels = (&'static str, &'static str);
type Handles<T> = ArcSwap<HashMap<Labels, T, RandomState>>;

/// Handles to the metrics of commands; each appears with its first use.
#[derive(Default)]
pub struct CommandMeters {
    ended: ArcSwap<HashMap<(Labels, &'static str), Counter, RandomState>>,
    executions: Handles<Counter>,
    durations: Handles<Histogram>,
}

impl fmt::Debug for CommandMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandMeters").finish_non_exhaustive()
    }
}

impl CommandMeters {
    /// Counts the end of a command in `commands_total`.
    pub fn ended(&self, platform: &'static str, command: &'static str, status: &'static str) {
        with(
            &self.ended,
            ((platform, command), status),
            |ended| ended.increment(1),
            || {
                metrics::counter!("waddlebot_commands_total", "service" => SERVICE, "command" => command,
                "platform" => platform, "status" => status)
            },
        );
    }

    /// Counts one run of a module in `module_executions_total`.
    pub fn executed(&self, module: &'static str, status: &'static str) {
        with(
            &self.executions,
            (module, status),
            |executions| executions.increment(1),
            || {
                metrics::counter!("waddlebot_module_executions_total", "service" => SERVICE,
                "module_type" => "builtin", "module_name" => module, "status" => status)
            },
        );
    }

    /// Notes in `command_duration_seconds` how long a module took for a command.
    pub fn took(&self, platform: &'static str, command: &'static str, duration: Duration) {
        with(
            &self.durations,
            (platform, command),
            |durations| durations.record(duration),
            || {
                metrics::histogram!("waddlebot_command_duration_seconds", "service" => SERVICE,
                "command" => command, "platform" => platform)
            },
        );
    }
}

/// Uses the handle of `labels`, made by `make` at its first use.
fn with<K, T>(
    handles: &ArcSwap<HashMap<K, T, RandomState>>,
    labels: K,
    used: impl Fn(&T),
    make: impl FnOnce() -> T,
) where
    K: Copy + Eq + std::hash::Hash,
    T: Clone,
{
    if let Some(handle) = handles.load().get(&labels) {
        return used(handle);
    }
    let handle = make();
    used(&handle);
    handles.rcu(|known| {
        let mut known = HashMap::clone(known);
        known.insert(labels, handle.clone());
        known
    });
}
