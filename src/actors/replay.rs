//! Recorded lines through today's configuration: gate and custom commands as they are now, beside what happened then.
//!
//! The gate is the channel's own, with a memory of its own that begins empty and whose time is that of the lines. Nothing
//! is sent and nothing is written: what a module would do is named, not done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use domain::command_line::{CommandLine, words};
use domain::template::{Template, Values};
use domain::{Outcome, Refusal};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use storage::event_log::event_id;

use super::Services;
use super::channel::gate::{Gate, Passed};
use super::channel::load;
use crate::cluster::ChannelSlot;
use crate::messages::{Chatter, CommandTable, Logged, RecordedLine, ReplayAsk, ReplayPage, Replayed, What};

/// What stands where a page would.
const A_PAGE: &str = "(a page)";

/// Stands for a quote: a replay draws none.
const A_QUOTE: &str = "(a quote)";
/// Lines of one page.
const PAGE_LINES: usize = 200;
/// Lines read at once.
const BATCH_LINES: u32 = 500;
/// One page's time. The lines before it run again each time, since they fill the cooldowns.
const PAGE_TIME_MAX: Duration = Duration::from_secs(7);
/// A text that comes out the same so many times is taken for one without chance.
const SEEDS: u64 = 16;

/// Runs the next page of a replay.
///
/// # Errors
/// A sentence that says what to do: the log or the commands cannot be read, or the range is too long.
pub async fn replay(
    services: &Services,
    slot: &Arc<ChannelSlot>,
    ask: ReplayAsk,
) -> Result<ReplayPage, String> {
    let table = load::today(services, slot).await.map_err(|error| error.advice())?;
    let gate = Gate::new(&services.limits, services.registry.clone());
    let mut today =
        Today { gate, table, slot, from: ask.from, began: Instant::now(), now: services.clock.now() };
    let mut page = ReplayPage { lines: Vec::new(), next: None, reached: None };
    let (mut after, to) = (event_id(ask.from, 0) - 1, event_id(ask.to, u32::MAX));
    loop {
        let told = services.events.command_lines(slot.id, (after, to), BATCH_LINES).await;
        if !told.is_complete {
            return Err("the event log does not answer; try again in a moment".to_owned());
        }
        let then = services.events.companions(slot.id, &told.records).await.records;
        let is_last = told.records.len() < BATCH_LINES as usize;
        for logged in &told.records {
            let What::CommandLine(line) = &logged.record.what else { continue };
            after = logged.id;
            let then = Then::of(logged, &then);
            let now = today.judge(line, &then);
            if ask.after.is_some_and(|shown| logged.id <= shown) {
                continue;
            }
            page.reached = Some(logged.at());
            page.lines.push(compare(logged, line, &then, &now));
            if page.lines.len() == PAGE_LINES {
                page.next = Some(after.to_string());
                return Ok(page);
            }
        }
        if is_last {
            return Ok(page);
        }
        if today.began.elapsed() > PAGE_TIME_MAX {
            return Err(
                "too many lines for one replay; choose a shorter time with --from and --to".to_owned()
            );
        }
    }
}

/// What happened then.
struct Then {
    /// `None`: no end of the command is in the log.
    ended: Option<(Box<str>, Option<String>, Outcome)>,
    said: Vec<String>,
}

impl Then {
    fn of(line: &Logged, records: &[Logged]) -> Self {
        let own = records.iter().filter(|other| other.record.correlation_id == line.record.correlation_id);
        let mut then = Self { ended: None, said: Vec::new() };
        for logged in own {
            match &logged.record.what {
                What::Ended { command, module, outcome, .. } => {
                    let module = module.as_deref().map(str::to_owned);
                    then.ended = Some((command.clone(), module, outcome.clone()));
                }
                What::Said { text } => then.said.push(text.to_string()),
                _ => {}
            }
        }
        then
    }

    /// The gate's refusal; `None` when the command passed it or nothing is known.
    fn refusal(&self) -> Option<&Refusal> {
        match &self.ended {
            Some((_, _, Outcome::Refused { refusal })) if is_of_gate(refusal) => Some(refusal),
            _ => None,
        }
    }

    fn told(&self) -> String {
        match &self.ended {
            None => "not known: its end is not in the log".to_owned(),
            Some((command, _, Outcome::Refused { refusal })) => refused(command, refusal),
            Some((_, _, Outcome::Answered)) if !self.said.is_empty() => {
                format!("said: {}", self.said.join(" | "))
            }
            Some((command, module, outcome)) => {
                let module = module.as_deref().unwrap_or("no module");
                format!("!{command} in {module}: {}", outcome.status())
            }
        }
    }
}

/// What would happen now.
enum Now {
    Refused {
        command: String,
        refusal: Refusal,
    },
    Says {
        command: Arc<str>,
        text: String,
    },
    /// A text with chance or time in it, or with a count that only a real use raises.
    SaysVarying {
        command: Arc<str>,
        example: String,
    },
    /// A custom command whose text cannot be read.
    Unreadable {
        command: Arc<str>,
    },
    WouldRun {
        command: Arc<str>,
        module: &'static str,
    },
}

impl Now {
    fn told(&self) -> String {
        match self {
            Self::Refused { command, refusal } => refused(command, refusal),
            Self::Says { text, .. } if text.is_empty() => "silent".to_owned(),
            Self::Says { text, .. } => format!("said: {text}"),
            Self::SaysVarying { example, .. } => format!("would say something like: {example}"),
            Self::Unreadable { command } => {
                format!("the text of !{command} cannot be read; mend it with !editcom {command} <text>")
            }
            Self::WouldRun { command, module } => format!("would run {module} (!{command})"),
        }
    }

    const fn command(&self) -> Option<&Arc<str>> {
        match self {
            Self::Refused { .. } => None,
            Self::Says { command, .. }
            | Self::SaysVarying { command, .. }
            | Self::Unreadable { command }
            | Self::WouldRun { command, .. } => Some(command),
        }
    }
}

fn refused(command: &str, refusal: &Refusal) -> String {
    format!("refused ({}): {}", refusal.status(), refusal.text(command))
}

/// Refusals that the configuration decides; the others depend on how busy or ill the node was.
const fn is_of_gate(refusal: &Refusal) -> bool {
    !matches!(refusal, Refusal::Unavailable { .. } | Refusal::Busy { .. } | Refusal::NotLoaded)
}

fn compare(logged: &Logged, line: &RecordedLine, then: &Then, now: &Now) -> Replayed {
    Replayed {
        at: line.received_at,
        user: line.user.login.clone(),
        text: line.text.clone(),
        message_id: logged.record.message_id.to_string(),
        then: then.told(),
        now: now.told(),
        differs: differs(then, now),
    }
}

fn differs(then: &Then, now: &Now) -> bool {
    let Some((command, module, _)) = &then.ended else { return false };
    match (then.refusal(), now) {
        // How many seconds were left depends on what came before the recording began.
        (Some(then), Now::Refused { refusal, .. }) => match (then, refusal) {
            (Refusal::Level { needed }, Refusal::Level { needed: now }) => needed != now,
            (then, now) => then.status() != now.status(),
        },
        (Some(_), _) | (None, Now::Refused { .. } | Now::Unreadable { .. }) => true,
        (None, passed) if passed.command().is_some_and(|now| **now != **command) => true,
        (None, Now::WouldRun { module: now, .. }) => module.as_deref() != Some(now),
        (None, Now::Says { text, .. }) => !then.said.is_empty() && then.said.join(" ") != *text,
        (None, Now::SaysVarying { .. }) => false,
    }
}

/// The configuration of today, with a gate that has seen the replay's lines only.
struct Today<'a> {
    gate: Gate,
    table: CommandTable,
    slot: &'a ChannelSlot,
    from: DateTime<Utc>,
    /// Where the lines' time begins.
    began: Instant,
    now: DateTime<Utc>,
}

impl Today<'_> {
    fn judge(&mut self, line: &RecordedLine, then: &Then) -> Now {
        let Some(typed) = CommandLine::parse(&line.text) else {
            let refusal = Refusal::Unknown { command: String::new() };
            return Now::Refused { command: String::new(), refusal };
        };
        let at = self.began + (line.received_at - self.from).to_std().unwrap_or_default();
        match self.gate.judge(&self.table, &line.user, typed, at) {
            Err((command, refusal)) => Now::Refused { command, refusal },
            Ok(passed) => {
                let failed = matches!(then.ended, Some((_, _, Outcome::Failed | Outcome::TimedOut)));
                if failed {
                    self.gate.release(&passed.name, &line.user, passed.reservation);
                }
                self.answer(passed, &line.user)
            }
        }
    }

    fn answer(&self, passed: Passed, user: &Chatter) -> Now {
        let Passed { module, name: command, args, custom, .. } = passed;
        let Some(custom) = custom else { return Now::WouldRun { command, module } };
        let Ok(template) = Template::parse(&custom.response) else { return Now::Unreadable { command } };
        let expand = |seed: u64, now| self.expand(&template, (&args, user), (seed, now));
        let (text, has_pages) = expand(0, self.now);
        let varies = has_pages
            || template.uses_quote()
            || template.uses_count()
            || (1..SEEDS).any(|seed| expand(seed, self.now + TimeDelta::days(1)).0 != text);
        if varies { Now::SaysVarying { command, example: text } } else { Now::Says { command, text } }
    }

    /// The text, and whether pages stand in it: a replay fetches none.
    fn expand(
        &self,
        template: &Template,
        (args, user): (&str, &Chatter),
        (seed, now): (u64, DateTime<Utc>),
    ) -> (String, bool) {
        let stream = self.slot.stream().map(|info| domain::StreamInfo::clone(&info)).unwrap_or_default();
        let words = words(args);
        let mut values = Values {
            user: user.shown_name(),
            touser: words.first().map_or("", String::as_str),
            args: &words,
            query: args,
            count: None,
            channel: &self.slot.login,
            stream: &stream,
            quote: A_QUOTE,
            fetched: &[],
        };
        let n_pages = template.urls(&values, &mut SmallRng::seed_from_u64(seed), now).len();
        let pages = vec![A_PAGE.to_owned(); n_pages];
        values.fetched = &pages;
        (template.expand(&values, &mut SmallRng::seed_from_u64(seed), now), n_pages > 0)
    }
}
