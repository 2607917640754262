//! The terminal as a platform: needs no account.
//!
//! Delivery: each line once, live, no redelivery. You are the owner; `@name text` is said by a viewer of that name.
//! The end of the input does not stop the node, a line that is no text is dropped. A terminal that was stopped holds up
//! nobody: what is said waits for it, within bounds.

use std::io::{BufRead, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{CorrelationId, Level, Platform};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::Map;
use tokio::sync::mpsc;
use ulid::Ulid;

use super::{PlatformDeps, PlatformSpec};
use crate::cluster::ChannelSlot;
use crate::messages::{
    ChatEvent, Chatter, Delivery, EventClass, EventKind, PlatformReport, ReplySink, Source,
};

mod screen;

use screen::Screen;

pub const SPEC: PlatformSpec = PlatformSpec {
    name: "console",
    wanted: |deps| deps.console,
    spawn: |deps, supervisor| {
        Box::pin(async move {
            Ok(Actor::spawn_linked(None, Console { deps }, (), supervisor).await?.0.get_cell())
        })
    },
};

/// Lines read ahead of the bot; the reading thread waits beyond it.
const LINES_AHEAD_MAX: usize = 64;
/// A longer line is cut.
const LINE_CHARS_MAX: usize = 5_000;
/// And one that is longer than this is dropped.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What waits for the terminal may take this long at the end.
const FLUSH_MAX: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Console {
    deps: PlatformDeps,
}

/// What the actor keeps.
#[derive(Debug)]
struct State {
    /// `None`: the terminal has no channel here.
    slot: Option<Arc<ChannelSlot>>,
    screen: Arc<Screen>,
}

impl Drop for State {
    fn drop(&mut self) {
        self.screen.close();
    }
}

/// A line that somebody typed.
#[derive(Debug)]
struct Typed(String);

impl Actor for Console {
    type Msg = Typed;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Typed>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        let screen = Screen::open(Arc::clone(self.deps.directory.recorder()))?;
        let slot = self.deps.directory.all().into_iter().find(|slot| slot.platform == Platform::Console);
        if let Some(slot) = &slot {
            slot.set_stream(domain::stream_info::StreamInfo::always_live(self.deps.clock.now()));
            slot.set_outlet(Some(Arc::clone(&screen) as Arc<dyn ReplySink>));
        }
        let (tell, mut typed) = mpsc::channel(LINES_AHEAD_MAX);
        std::thread::Builder::new().name("console".to_owned()).spawn(move || {
            read_lines(std::io::stdin().lock(), &tell);
        })?;
        let stop = self.deps.stop_reading.clone();
        self.deps.tasks.spawn(async move {
            loop {
                let line = tokio::select! {
                    line = typed.recv() => line,
                    () = stop.cancelled() => None,
                };
                let Some(line) = line else { return };
                if myself.cast(Typed(line)).is_err() {
                    return;
                }
            }
        });
        let report = PlatformReport {
            login: Some("you".to_owned()),
            connections: 1,
            channels_joined: 1,
            ..PlatformReport::default()
        };
        self.deps.board.set(Platform::Console, report);
        Ok(State { slot, screen })
    }

    async fn handle(
        &self,
        _: ActorRef<Typed>,
        Typed(line): Typed,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let Some(slot) = &state.slot else { return Ok(()) };
        let (user, text) = speaker(line.trim());
        if text.is_empty() {
            return Ok(());
        }
        metrics::counter!("waddlebot_lines_in_total", "platform" => "console").increment(1);
        let event = ChatEvent {
            channel_id: slot.id,
            platform: Platform::Console,
            kind: EventKind::ChatMessage,
            source: Source::Console,
            message_id: None,
            user,
            text: text.chars().take(LINE_CHARS_MAX).collect(),
            sent_at: None,
            received_at: self.deps.clock.now(),
            correlation_id: CorrelationId(Ulid::new()),
            traceparent: None,
            metadata: Map::new(),
        };
        let sink = Arc::clone(&state.screen) as Arc<dyn ReplySink>;
        let delivery = Delivery { event: Arc::new(event), received: Instant::now(), sink, permit: None };
        self.deps.directory.route(slot, delivery, EventClass::Command);
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Typed>, state: &mut State) -> Result<(), ActorProcessingErr> {
        if let Some(slot) = &state.slot {
            slot.set_outlet(None);
        }
        let deadline = Instant::now() + FLUSH_MAX;
        while state.screen.is_busy() && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

/// Who says a typed line: the owner, or the viewer named in front.
fn speaker(line: &str) -> (Chatter, &str) {
    let named = line.strip_prefix('@').and_then(|rest| rest.split_once(char::is_whitespace));
    let (name, level, text) = match named {
        Some((name, text)) if !name.is_empty() => (name, Level::Everyone, text.trim()),
        _ => ("you", Level::Owner, line),
    };
    let login = name.to_lowercase();
    let display_name = name.to_owned();
    (Chatter { platform_user_id: format!("console-{login}"), login, display_name, level }, text)
}

/// Reads the terminal until its end. A thread, since a terminal cannot be read without waiting.
fn read_lines(mut input: impl BufRead, tell: &mpsc::Sender<String>) {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        // An error is the end, too: a terminal does not come back.
        let Ok(n @ 1..) = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) else { return };
        if n as u64 == LINE_BYTES_MAX && bytes.last() != Some(&b'\n') {
            drop_line("oversized");
            if input.skip_until(b'\n').is_err() {
                return;
            }
            continue;
        }
        match std::str::from_utf8(&bytes) {
            Ok(line) => {
                if tell.blocking_send(line.to_owned()).is_err() {
                    return;
                }
            }
            Err(_) => drop_line("not_utf8"),
        }
    }
}

fn drop_line(reason: &'static str) {
    tracing::warn!(reason, "a typed line is dropped");
    metrics::counter!("waddlebot_lines_in_total", "platform" => "console").increment(1);
    metrics::counter!("waddlebot_messages_dropped_total", "reason" => reason).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_text_or_too_long_is_dropped_and_the_next_one_is_read() {
        let mut input = b"\xff\xfe\n!ping\n".to_vec();
        input.extend(vec![b'x'; 200_000]);
        input.extend(b"\n!hi\nthe last");
        let (tell, mut typed) = mpsc::channel(8);
        read_lines(input.as_slice(), &tell);
        drop(tell);
        let lines: Vec<_> = std::iter::from_fn(|| typed.blocking_recv()).collect();
        assert_eq!(lines, ["!ping\n", "!hi\n", "the last"]);
    }

    #[test]
    fn a_line_is_the_owners_unless_a_viewer_is_named() {
        assert_eq!(speaker("!ping").0.level, Level::Owner);
        let (ann, text) = speaker("@Ann  !hi there");
        assert_eq!((ann.login.as_str(), ann.level, text), ("ann", Level::Everyone, "!hi there"));
        assert_eq!(speaker("@ann").1, "@ann");
    }
}
