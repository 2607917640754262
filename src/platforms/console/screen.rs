//! What is said at the terminal: a bounded queue and the one thread that writes it, since a terminal that was stopped
//! takes nothing for as long as it likes.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use domain::Outcome;

use crate::messages::{
    Completion, EventRecord, Once, OutboundReply, Recorder, ReplySink, SendState, Ticket, What,
};

/// Lines that wait for the terminal at most; beyond it the newest is dropped.
const LINES_MAX: usize = 256;
/// A longer line is cut.
const LINE_CHARS_MAX: usize = 5_000;

/// A line on its way.
#[derive(Debug)]
struct Line {
    text: String,
    /// `None`: no reply, but a word to whoever types.
    reply: Option<Said>,
}

/// What is owed when a reply is written.
#[derive(Debug)]
struct Said {
    received: Instant,
    /// The reply's row in the outbox. `None`: it has none.
    ticket: Option<Arc<Ticket>>,
    /// Names the reply in the event log.
    record: EventRecord,
    /// Comes back to the channel's bound by being dropped. `None` when nothing is answered.
    _permit: Option<Arc<crate::messages::Permit>>,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Line>,
    /// The thread has a line in hands.
    is_writing: bool,
    /// The actor ended: nothing more is taken.
    is_closed: bool,
}

/// Takes replies for the terminal.
#[derive(Debug)]
pub(super) struct Screen {
    state: Mutex<State>,
    /// Notified when there is a line, or nothing more will come.
    changed: Condvar,
    recorder: Arc<Recorder>,
}

impl Screen {
    /// Starts the thread that writes to standard output; it ends with [`Screen::close`].
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn open(recorder: Arc<Recorder>) -> std::io::Result<Arc<Self>> {
        let screen = Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), recorder });
        let writer = Arc::clone(&screen);
        std::thread::Builder::new().name("screen".to_owned()).spawn(move || writer.write_all())?;
        Ok(screen)
    }

    /// Whether something was taken and is not written.
    pub fn is_busy(&self) -> bool {
        let state = self.lock();
        state.is_writing || !state.lines.is_empty()
    }

    /// Takes nothing more. What waits goes back to the outbox; what is being written stays unknown.
    pub fn close(&self) {
        let lines = {
            let mut state = self.lock();
            state.is_closed = true;
            std::mem::take(&mut state.lines)
        };
        self.changed.notify_one();
        for line in lines {
            self.let_go(line, "stopping");
        }
    }

    fn print(&self, line: Line) {
        let reason = {
            let mut state = self.lock();
            if !state.is_closed && state.lines.len() < LINES_MAX {
                state.lines.push_back(line);
                self.changed.notify_one();
                return;
            }
            if state.is_closed { "stopping" } else { "send_queue" }
        };
        self.let_go(line, reason);
    }

    /// Not written: a reply of an effect is for the next start, unless there is no room for it; any other is dropped.
    fn let_go(&self, line: Line, reason: &'static str) {
        let Some(mut said) = line.reply else { return };
        said.record.what = match &said.ticket {
            Some(ticket) if reason == "stopping" => {
                ticket.release();
                What::Send { state: SendState::Queued, why: Some("the next start".into()) }
            }
            _ => {
                metrics::counter!("waddlebot_replies_dropped_total", "platform" => "console", "reason" => reason)
                    .increment(1);
                What::dropped(reason)
            }
        };
        self.recorder.note(said.record);
    }

    fn write_all(&self) {
        while let Some(line) = self.next() {
            let said = line.reply;
            if let Some(ticket) = said.as_ref().and_then(|said| said.ticket.as_ref()) {
                // A process that ends while the terminal takes nothing does not know what it took.
                ticket.begun();
            }
            // A terminal that is gone cannot be told.
            drop(writeln!(std::io::stdout().lock(), "waddlebot: {}", line.text));
            if let Some(Said { received, ticket, mut record, .. }) = said {
                if let Some(ticket) = ticket {
                    ticket.written();
                }
                record.what = What::written();
                self.recorder.note(record);
                metrics::histogram!("waddlebot_reply_latency_seconds").record(received.elapsed());
            }
        }
    }

    /// Waits for the next line. `None`: no more comes.
    fn next(&self) -> Option<Line> {
        let mut state = self.lock();
        state.is_writing = false;
        while state.lines.is_empty() && !state.is_closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let line = state.lines.pop_front();
        state.is_writing = line.is_some();
        line
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn clean(text: &str) -> String {
    domain::reply_text::clean(text).chars().take(LINE_CHARS_MAX).collect()
}

impl ReplySink for Screen {
    fn is_outlet(&self) -> bool {
        true
    }

    fn deliver(&self, reply: OutboundReply) {
        if reply.reply.once == Once::Repeated {
            return;
        }
        let record = EventRecord::of_reply(&reply, What::written());
        let ticket = match reply.reply.once {
            Once::Held(ticket) => Some(ticket),
            Once::Stateless | Once::Repeated => None,
        };
        if let Some(ticket) = &ticket {
            ticket.taken();
        }
        let said = Said { received: reply.received, ticket, record, _permit: reply.permit };
        self.print(Line { text: clean(&reply.reply.text), reply: Some(said) });
    }

    /// Says what chat keeps silent about: whoever types here wants to know.
    fn done(&self, completion: &Completion) {
        // What was shed is counted where it was shed.
        if completion.outcome != Outcome::Shed {
            metrics::counter!("waddlebot_lines_handled_total", "platform" => "console").increment(1);
        }
        if let Outcome::Refused { refusal } = &completion.outcome {
            let command = completion.command.as_deref().unwrap_or_default();
            if refusal.said_in_chat(command).is_none() {
                self.print(Line { text: clean(&refusal.text(command)), reply: None });
            }
        }
    }
}
