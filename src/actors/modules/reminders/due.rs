//! What happens when a reminder is due.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::recurrence::Recurrence;
use futures_util::FutureExt;
use serde_json::Value;
use storage::Effect;
use storage::reminders::{self, MISSED_AFTER, Reminder, Step};
use ulid::Ulid;

use crate::actors::{Context, ModuleError};
use crate::messages::{ChatEvent, Reply};

const STEP: u16 = 2;

/// Says the reminder that `event` names, unless its time was claimed already or is over for too long; either moves it on.
///
/// # Errors
/// Those of the storage.
pub async fn say(ctx: &Context, event: &ChatEvent) -> Result<Vec<Reply>, ModuleError> {
    let Some((id, due_at)) = named(event) else {
        tracing::warn!(channel.id = %ctx.channel_id(), "a due reminder came without its id or time");
        return Ok(Vec::new());
    };
    // One that was taken back meanwhile has nothing to say.
    let found = reminders::get(ctx.db(), ctx.community_id(), id).await?;
    let Some(reminder) = found.filter(|reminder| reminder.due_at == due_at) else { return Ok(Vec::new()) };
    let now = ctx.now();
    let step = step_of(&reminder, now);
    let text = spoken(&reminder);
    let say = move |is_ours: &bool| if *is_ours && !step.is_missed { Reply::only(text) } else { Vec::new() };
    let work = async move |tx: &mut storage::Tx| {
        Ok(Effect::new(reminders::claim(tx, (id, due_at), step, now).await?))
    };
    ctx.unit_of_work(ctx.channel_scope(), STEP, move |tx| async move { work(tx).await }.boxed(), say).await
}

/// What this time comes to. One that could not be said for long is passed over, with all that should have come until then.
fn step_of(reminder: &Reminder, now: DateTime<Utc>) -> Step {
    let is_missed = now - reminder.due_at > MISSED_AFTER;
    let from = if is_missed { now - MISSED_AFTER } else { reminder.due_at };
    let next = reminder.rule.as_deref().and_then(|rule| {
        let rule = Recurrence::parse(rule, reminder.created_at.with_timezone(&Tz::UTC));
        if let Err(error) = &rule {
            tracing::error!(reminder.id = %reminder.id, %error, "a stored rule cannot be read, it ends here");
        }
        rule.ok()?.after(from)
    });
    Step { is_missed, next }
}

/// Begins with a name, so that no text of a user becomes a command.
fn spoken(reminder: &Reminder) -> String {
    let Reminder { username, creator_name, body, .. } = reminder;
    if creator_name.is_empty() || creator_name == username {
        format!("@{username} reminder: {body}")
    } else {
        format!("@{username} {creator_name} reminds you: {body}")
    }
}

fn named(event: &ChatEvent) -> Option<(Ulid, DateTime<Utc>)> {
    let id = event.metadata.get("reminder_id").and_then(Value::as_str)?;
    let due_at = event.metadata.get("due_at").and_then(Value::as_str)?;
    Some((Ulid::from_string(id).ok()?, DateTime::parse_from_rfc3339(due_at).ok()?.to_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(due_at: &str) -> Reminder {
        let due_at: DateTime<Utc> = due_at.parse().unwrap();
        Reminder {
            id: Ulid::nil(),
            number: 1,
            channel_id: domain::ChannelId(Ulid::nil()),
            created_by: "twitch:1".into(),
            creator_name: "Ann".into(),
            user_id: None,
            username: "Bob".into(),
            body: "drink".into(),
            rule: Some("DTSTART;TZID=UTC:20300101T120000\nRRULE:FREQ=DAILY;COUNT=5".into()),
            status: storage::reminders::Status::Pending,
            due_at,
            n_sent: 0,
            n_missed: 0,
            last_sent_at: None,
            last_missed_at: None,
            created_at: due_at,
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn an_outage_passes_over_what_is_too_late_and_goes_on_with_what_is_not() {
        let reminder = daily("2030-01-01T12:00:00Z");
        for (now, is_missed, next) in [
            ("2030-01-01T12:00:01Z", false, Some("2030-01-02T12:00:00Z")),
            ("2030-01-01T13:00:00Z", false, Some("2030-01-02T12:00:00Z")),
            ("2030-01-01T13:00:01Z", true, Some("2030-01-02T12:00:00Z")),
            ("2030-01-03T12:30:00Z", true, Some("2030-01-03T12:00:00Z")),
            ("2030-01-03T13:30:00Z", true, Some("2030-01-04T12:00:00Z")),
            ("2030-02-01T00:00:00Z", true, None),
        ] {
            let step = step_of(&reminder, at(now));
            assert_eq!((step.is_missed, step.next), (is_missed, next.map(at)), "{now}");
        }
        let unreadable = Reminder { rule: Some("FREQ=".into()), ..reminder };
        assert_eq!(step_of(&unreadable, at("2030-01-01T12:00:00Z")).next, None);
    }

    #[test]
    fn what_is_said_begins_with_a_name() {
        let reminder = daily("2030-01-01T12:00:00Z");
        assert_eq!(spoken(&reminder), "@Bob Ann reminds you: drink");
        let own = Reminder { username: "Ann".into(), body: "/ban bob".into(), ..reminder };
        assert_eq!(spoken(&own), "@Ann reminder: /ban bob");
    }

    #[test]
    fn an_hour_is_what_the_documents_promise() {
        assert_eq!(MISSED_AFTER, chrono::TimeDelta::hours(1));
    }
}
