//! What happens when a timer is due.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use domain::template::Template;
use futures_util::FutureExt;
use serde_json::Value;
use storage::timers::{self, Timer};
use storage::{Effect, StorageError, Tx, commands};
use ulid::Ulid;

use crate::actors::modules::commands::{run::Filling, split_word};
use crate::actors::{Context, ModuleError};
use crate::messages::{ChatEvent, Reply};

const STEP: u16 = 2;

/// What a due time came to, as it is stored.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Claim {
    is_ours: bool,
    /// How often the timer's command was used; `None` where its text does not say.
    count: Option<i64>,
}

/// Says the text of the timer that `event` names, unless its time was claimed already.
///
/// # Errors
/// Those of the storage; a timer that cannot be said (its command is gone, its text cannot be read) is silent.
pub async fn fire(ctx: &Context, event: &ChatEvent) -> Result<Vec<Reply>, ModuleError> {
    let Some((id, due_at)) = due(event) else {
        tracing::warn!(channel.id = %ctx.channel_id(), "a due timer came without its id or time");
        return Ok(Vec::new());
    };
    let timers = timers::list(ctx.db(), ctx.channel_id()).await?;
    let Some(timer) = timers.into_iter().find(|timer| timer.id == id) else { return Ok(Vec::new()) };
    let text = text_of(ctx, &timer);
    let counted = text.as_ref().and_then(|(template, command)| command.filter(|_| template.uses_count()));
    let next_due_at = ctx.now() + TimeDelta::seconds(timer.spec.interval_secs);
    let filling = match text {
        Some((template, _)) => Some(Filling::of(ctx, Arc::new(template), None).await?),
        None => None,
    };
    let say = move |claim: &Claim| match &filling {
        Some(filling) if claim.is_ours => filling.fill(claim.count),
        _ => Vec::new(),
    };
    let due_and_next = (due_at, next_due_at);
    ctx.unit_of_work(ctx.channel_scope(), STEP, move |tx| claim(tx, id, due_and_next, counted).boxed(), say)
        .await
}

/// Moves the timer on, and counts the use of its command if the text says how often that was.
async fn claim(
    tx: &mut Tx,
    id: Ulid,
    (due_at, next_due_at): (DateTime<Utc>, DateTime<Utc>),
    counted: Option<Ulid>,
) -> Result<Effect<Claim>, StorageError> {
    let is_ours = timers::claim_due(&mut *tx, id, due_at, next_due_at).await?;
    let count = match counted {
        Some(command) if is_ours => commands::bump_count(tx, command).await?,
        _ => None,
    };
    Ok(Effect::new(Claim { is_ours, count }))
}

fn due(event: &ChatEvent) -> Option<(Ulid, DateTime<Utc>)> {
    let id = event.metadata.get("timer_id").and_then(Value::as_str)?;
    let due_at = event.metadata.get("due_at").and_then(Value::as_str)?;
    Some((Ulid::from_string(id).ok()?, DateTime::parse_from_rfc3339(due_at).ok()?.to_utc()))
}

/// The timer's template, and the command it comes from. `None` when there is nothing to say.
fn text_of(ctx: &Context, timer: &Timer) -> Option<(Template, Option<Ulid>)> {
    let (text, command) = match timer.spec.body.strip_prefix('!') {
        None => (timer.spec.body.as_str(), None),
        Some(line) => {
            let name = split_word(line).0.to_lowercase();
            let entry = ctx.commands.commands.get(&name).filter(|entry| entry.enabled)?;
            let custom = entry.custom.as_ref()?;
            (custom.response.as_str(), Ulid::from_string(&custom.id).ok())
        }
    };
    let template = Template::parse(text);
    if let Err(error) = &template {
        tracing::warn!(channel.id = %ctx.channel_id(), timer.name = timer.spec.name, %error, "a timer cannot be said");
    }
    template.ok().map(|template| (template, command))
}
