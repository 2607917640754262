//! The module actor: runs one module in one channel.
//!
//! Receives: [`ModuleMsg`]; its channel keeps at most one call in flight. Sends: replies to the event's sink, one
//! [`CallReport`] a call to the channel. Owns: the module's memory.
//! Dies: by a panic, a fatal error, when its channel lets it go. Time limit and panic fence are here.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::RngExt;

use super::{Context, Module, ModuleError, ModuleSpec, Permission, Services};
use crate::cluster::ChannelSlot;
use crate::messages::{
    CallEnd, CallReport, ChannelMsg, ChatEvent, CommandCall, CommandTable, ModuleMsg, ModuleRequest, Once,
    OutboundReply, Permit, Reply, ReplySink, ReplyTarget,
};
use crate::telemetry::poll_slots::{PollSlot, Watched};

/// Attempts at a retryable failure, the first included.
const ATTEMPTS_MAX: u32 = 3;
/// All attempts of one call together.
const CALL_TIMEOUT: Duration = Duration::from_secs(6);
/// A hand-over is cut here.
const HANDOVER_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub struct ModuleActor {
    pub services: Arc<Services>,
    pub slot: Arc<ChannelSlot>,
    pub spec: ModuleSpec,
    pub request: ModuleRequest,
}

/// The module and the slot in which the watchdog sees its polls.
pub struct Running {
    module: Box<dyn Module>,
    polls: PollSlot,
}

/// Where the replies of a call go.
struct Origin<'a> {
    event: &'a Arc<ChatEvent>,
    received: Instant,
    sink: &'a Arc<dyn ReplySink>,
    permit: Option<Arc<Permit>>,
}

impl Actor for ModuleActor {
    type Msg = ModuleMsg;
    type State = Running;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<ModuleMsg>, (): ()) -> Result<Running, ActorProcessingErr> {
        let polls = self.services.poll_slots.register(self.slot.id, self.spec.name);
        let up = ChannelMsg::ModuleUp {
            module: self.spec.name,
            generation: self.request.generation,
            actor: myself,
        };
        self.request.channel.cast(up)?;
        Ok(Running { module: (self.spec.new)(), polls })
    }

    async fn handle(
        &self,
        myself: ActorRef<ModuleMsg>,
        message: ModuleMsg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ModuleMsg::Command(call) => self.command(running, &call).await,
            ModuleMsg::Event(call) => {
                let origin = Origin {
                    event: &call.event,
                    received: call.received,
                    sink: &call.sink,
                    permit: call.permit.clone(),
                };
                let ctx = self.context(&origin, &call.table);
                let Running { module, polls } = running;
                let future = module.on_event(&ctx, &call.event);
                let ended = self.fenced(polls, future).await;
                self.end(call.ticket, ended, &origin, (Instant::now(), ctx.waited_in_vain()))
            }
            ModuleMsg::Lines { lines, sink, table, under_way } => {
                let heard = self.lines(running, &lines, &sink, &table).await;
                drop(under_way);
                // More lines may wait; a channel that is just ending needs no wake.
                drop(self.request.channel.cast(ChannelMsg::Wake));
                heard
            }
            ModuleMsg::HandOver(reply) => {
                let mut memory = running.module.handover();
                memory.truncate(HANDOVER_BYTES_MAX);
                drop(reply.send(memory));
                myself.stop(None);
                Ok(())
            }
        }
    }
}

/// How one attempt ended.
enum Attempt {
    Returned(Result<Vec<Reply>, ModuleError>),
    TimedOut,
    Panicked(String),
}

impl ModuleActor {
    async fn command(&self, running: &mut Running, call: &CommandCall) -> Result<(), ActorProcessingErr> {
        let origin = Origin {
            event: &call.event,
            received: call.received,
            sink: &call.sink,
            permit: call.permit.clone(),
        };
        let started = Instant::now();
        let mut ctx = self.context(&origin, &call.table);
        ctx.level = call.level;
        let mut attempts = 1;
        let ended = loop {
            let Running { module, polls } = running;
            let attempt = self.fenced(polls, module.on_command(&ctx, call)).await;
            let retry = matches!(&attempt, Attempt::Returned(Err(error)) if error.is_retryable());
            let pause = Duration::from_secs(attempts.into()).mul_f64(ctx.rng().random_range(0.8..1.2));
            if !retry || attempts == ATTEMPTS_MAX || started.elapsed() + pause > CALL_TIMEOUT {
                break attempt;
            }
            attempts += 1;
            tokio::time::sleep(pause).await;
        };
        let label = if call.custom.is_some() { "custom" } else { self.command_label(&call.name) };
        self.services.meters.took(self.slot.platform.as_str(), label, started.elapsed());
        match ended {
            Attempt::Returned(Err(
                ref error @ (ModuleError::Retry(_) | ModuleError::Failed(_) | ModuleError::Storage { .. }),
            )) => {
                tracing::warn!(channel.key = %self.slot.key(), module.name = self.spec.name, attempts, %error,
                    correlation.id = %call.event.correlation_id, "a command failed");
                self.count("failed");
                self.reply(&origin, Reply::text(format!("!{} failed: {error}", call.name)));
                let is_storage = matches!(error, ModuleError::Storage { .. });
                let end = if is_storage { CallEnd::NoStorage } else { CallEnd::Failed { attempts } };
                self.report(call.ticket, &call.event, end);
                Ok(())
            }
            other => {
                self.end(call.ticket, other, &origin, (started + ctx.time_outside(), ctx.waited_in_vain()))
            }
        }
    }

    /// A name that does not grow with what people type.
    fn command_label(&self, name: &str) -> &'static str {
        self.services.registry.command(name).map_or("custom", |(_, command)| command.name)
    }

    async fn lines(
        &self,
        running: &mut Running,
        lines: &[crate::messages::Line],
        sink: &Arc<dyn ReplySink>,
        table: &Arc<CommandTable>,
    ) -> Result<(), ActorProcessingErr> {
        let event = Arc::new(self.services.system_event(&self.slot));
        let origin = Origin { event: &event, received: Instant::now(), sink, permit: None };
        let ctx = self.context(&origin, table);
        let Running { module, polls } = running;
        match self.fenced(polls, module.on_lines(&ctx, lines)).await {
            Attempt::Returned(Ok(replies)) => {
                for reply in replies {
                    self.reply(&origin, reply);
                }
                Ok(())
            }
            Attempt::Returned(Err(error)) => {
                tracing::warn!(channel.key = %self.slot.key(), module.name = self.spec.name, %error, "lines failed");
                Ok(())
            }
            Attempt::TimedOut => Err("on_lines took too long".into()),
            Attempt::Panicked(reason) => Err(reason.into()),
        }
    }

    /// One attempt, under the time limit, with panics caught and polls noted for the watchdog.
    async fn fenced<F>(&self, polls: &PollSlot, future: F) -> Attempt
    where
        F: Future<Output = Result<Vec<Reply>, ModuleError>> + Send + Unpin,
    {
        let guarded = AssertUnwindSafe(Watched::new(polls, future)).catch_unwind();
        match tokio::time::timeout(self.services.limits.module_timeout, guarded).await {
            Ok(Ok(returned)) => Attempt::Returned(returned),
            Ok(Err(panic)) => Attempt::Panicked(panic_text(panic.as_ref())),
            Err(_) => Attempt::TimedOut,
        }
    }

    /// Sends the replies and reports the end. An error means that the actor dies.
    fn end(
        &self,
        ticket: u64,
        attempt: Attempt,
        origin: &Origin<'_>,
        (started, in_storage): (Instant, bool),
    ) -> Result<(), ActorProcessingErr> {
        let slow = started.elapsed() > self.services.limits.module_timeout / 2;
        let (status, end, fate) = match attempt {
            Attempt::Returned(Ok(replies)) => {
                let answered = !replies.is_empty();
                for reply in replies {
                    self.reply(origin, reply);
                }
                ("success", CallEnd::Succeeded { answered, slow }, Ok(()))
            }
            Attempt::Returned(Err(ModuleError::User(text))) => {
                self.reply(origin, Reply::text(text));
                ("user_error", CallEnd::Succeeded { answered: true, slow }, Ok(()))
            }
            Attempt::Returned(Err(ModuleError::Fatal(reason))) => {
                ("crashed", CallEnd::Crashed { reason: reason.clone() }, Err(reason.into()))
            }
            Attempt::Returned(Err(error)) => {
                tracing::warn!(channel.key = %self.slot.key(), module.name = self.spec.name, %error, "an event failed");
                let end = match error {
                    ModuleError::Storage { .. } => CallEnd::NoStorage,
                    _ => CallEnd::Failed { attempts: 1 },
                };
                ("failed", end, Ok(()))
            }
            Attempt::TimedOut => ("timeout", CallEnd::TimedOut { in_storage }, Ok(())),
            Attempt::Panicked(reason) => {
                let reason = format!("panicked: {reason}");
                ("crashed", CallEnd::Crashed { reason: reason.clone() }, Err(reason.into()))
            }
        };
        self.count(status);
        self.report(ticket, origin.event, end);
        fate
    }

    fn context(&self, origin: &Origin<'_>, table: &Arc<CommandTable>) -> Context {
        let Origin { event, received, sink, .. } = origin;
        let (services, slot) = (Arc::clone(&self.services), Arc::clone(&self.slot));
        let mut ctx = Context::new(services, slot, Arc::clone(table), self.spec.name, Arc::clone(event));
        ctx.waited = received.elapsed();
        ctx.has_outlet = sink.is_outlet();
        ctx
    }

    /// Hands one reply to where the event came from, if the module may say that.
    fn reply(&self, origin: &Origin<'_>, reply: Reply) {
        let may = |permission| self.spec.permissions.contains(&permission);
        let elsewhere = matches!(reply.target, ReplyTarget::Channel(_));
        if (reply.action.is_some() && !may(Permission::Moderate))
            || (elsewhere && !may(Permission::OtherChannels))
        {
            metrics::counter!("waddlebot_replies_dropped_total", "reason" => "not_permitted").increment(1);
            tracing::error!(
                module.name = self.spec.name,
                "a reply needs a permission that the module's row lacks"
            );
            if let Once::Held(ticket) = &reply.once {
                ticket.taken();
            }
            return;
        }
        let reply = OutboundReply {
            channel_id: self.slot.id,
            reply,
            in_reply_to: origin.event.message_id.clone(),
            received: origin.received,
            correlation_id: origin.event.correlation_id,
            permit: origin.permit.clone(),
        };
        self.services.say(&self.slot, &**origin.sink, reply);
    }

    fn report(&self, ticket: u64, event: &ChatEvent, end: CallEnd) {
        let report = CallReport {
            channel_id: self.slot.id,
            module: self.spec.name,
            ticket,
            generation: self.request.generation,
            correlation_id: event.correlation_id,
            end,
        };
        if self.request.channel.cast(ChannelMsg::Finished(report)).is_err() {
            tracing::debug!(channel.key = %self.slot.key(), "the channel ended before its module's call");
        }
    }

    fn count(&self, status: &'static str) {
        self.services.meters.executed(self.spec.name, status);
    }
}

/// What a panic said.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a text".to_owned())
}
