//! `/api/v1/memories/reminders`: what is said to somebody when its time has come.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, SubsecRound, Utc};
use chrono_tz::Tz;
use domain::recurrence::Recurrence;
use domain::when::{parse_when, parse_zone};
use domain::{ChannelKey, CommunityId, Platform};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::channels::{self, Channel};
use storage::reminders::{self, Added, NewReminder, PER_CHANNEL_MAX, PER_CREATOR_MAX, Reminder};
use storage::{AuditEntry, Effect, Scope};
use ulid::Ulid;
use utoipa::ToSchema;

use super::OffsetPage;
use crate::hub::answer::{Answer, Answered, ApiError, Envelope, ErrorEnvelope};
use crate::hub::api::communities::community_of;
use crate::hub::changing::Caller;
use crate::hub::fields::Fields;
use crate::hub::input::JsonBody;
use crate::hub::router::Hub;

pub(in crate::hub) mod lists;
pub(in crate::hub) mod reminder;

/// Rows of a page when nobody says how many.
const LIMIT_DEFAULT: u32 = 50;

const NAME_CHARS_MAX: usize = 100;
const TEXT_CHARS_MAX: usize = 1_000;
const WHEN_CHARS_MAX: usize = 100;

/// A reminder as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct ReminderLine {
    id: String,
    /// Its number in the community, as `!reminders remove <number>` takes it.
    number: i64,
    /// The id of the channel where it is said.
    channel_id: String,
    /// The platform's id of who is reminded; null when only the name is known.
    user_id: Option<String>,
    username: String,
    reminder_text: String,
    /// Its next time, or its last one when it is over.
    remind_at: DateTime<Utc>,
    /// The rule with its start, in lines of RFC 5545; null when it comes once.
    recurring_rule: Option<String>,
    /// `pending`, `sent` or `missed`: nobody could say it within an hour after its time.
    status: &'static str,
    /// How often it was said.
    times_sent: i64,
    /// How often it was missed.
    times_missed: i64,
    last_sent_at: Option<DateTime<Utc>>,
    last_missed_at: Option<DateTime<Utc>>,
    /// `platform:user_id`, or `service`.
    created_by: String,
    created_at: DateTime<Utc>,
}

impl From<Reminder> for ReminderLine {
    fn from(reminder: Reminder) -> Self {
        Self {
            id: reminder.id.to_string(),
            number: reminder.number,
            channel_id: reminder.channel_id.to_string(),
            user_id: reminder.user_id,
            username: reminder.username,
            reminder_text: reminder.body,
            remind_at: reminder.due_at,
            recurring_rule: reminder.rule,
            status: reminder.status.as_str(),
            times_sent: reminder.n_sent,
            times_missed: reminder.n_missed,
            last_sent_at: reminder.last_sent_at,
            last_missed_at: reminder.last_missed_at,
            created_by: reminder.created_by,
            created_at: reminder.created_at,
        }
    }
}

/// A reminder to set; who sets it is whom the call acts for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct NewReminderBody {
    /// The community's id, or the key of one of its channels.
    #[schema(example = "twitch:ann")]
    community_id: String,
    /// The platform's id of who is reminded.
    user_id: String,
    /// The name that is said, at most 100 characters.
    username: String,
    /// 1 to 1,000 characters.
    reminder_text: String,
    /// `10m`, `1h30m`, `3w`, or ISO 8601: `2030-05-01T18:00[Europe/Berlin]`.
    #[schema(example = "1h30m")]
    remind_in: String,
    /// The platform where it is said.
    #[schema(value_type = String, example = "twitch")]
    channel: Platform,
    /// The login or platform id of the channel; may be absent where the community has one channel on the platform.
    #[serde(default)]
    platform_channel_id: Option<String>,
    /// A rule of RFC 5545: `FREQ=WEEKLY;BYDAY=MO;COUNT=5`, or lines of DTSTART, RRULE and EXDATE; at most 1,000 bytes,
    /// at least 15 minutes between two times.
    #[serde(default)]
    recurring_rule: Option<String>,
    /// Where times without a zone are meant; UTC when absent.
    #[serde(default)]
    #[schema(example = "Europe/Berlin")]
    timezone: Option<String>,
}

/// Sets a reminder.
#[utoipa::path(post, path = "/api/v1/memories/reminders", tag = "memories", request_body = NewReminderBody,
    params(("X-Acting-User" = Option<String>, Header, description = "Who sets it, as platform:user_id")),
    security(("service_key" = [])), responses(
    (status = 201, description = "It is set.", body = Envelope<ReminderLine>),
    (status = 400, description = "Fields that are wrong, each named.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "There is no such community.", body = ErrorEnvelope),
    (status = 409, description = "Whoever sets it, or the channel, has as many as may be.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    caller: Caller,
    JsonBody(body): JsonBody<NewReminderBody>,
) -> Answered<ReminderLine> {
    let now = hub.deps.clock.now();
    let mut fields = Fields::default();
    let user_id = fields.text("user_id", &body.user_id, 1..=NAME_CHARS_MAX);
    let username = fields.text("username", &body.username, 1..=NAME_CHARS_MAX);
    let text = fields.text("reminder_text", &body.reminder_text, 1..=TEXT_CHARS_MAX);
    let times = times_of(&mut fields, &body, now);
    fields.check()?;
    let Some((due_at, rule)) = times else { return Err(ApiError::invalid("remind_in cannot be read")) };
    let community_id = community_of(&hub, &body.community_id).await?;
    let channel = channel_of(&hub, community_id, &body).await?;
    let created_by = caller.acting().to_string();
    let is_own = caller.acting().account().is_some_and(|account| account.user_id == user_id);
    let new = NewReminder {
        community_id,
        channel_id: channel.id,
        created_by,
        creator_name: if is_own { username.clone() } else { String::new() },
        person_id: None,
        user_id: Some(user_id),
        username,
        body: text,
        rule,
        due_at,
    };
    let mut audit = AuditEntry {
        community_id: Some(community_id),
        channel_id: Some(channel.id),
        ..caller.entry("reminder.add", "")
    };
    let done = caller
        .change(&hub, "memories.reminders", Scope::Community(community_id), move |tx| {
            async move {
                Ok(match reminders::add(tx, &new, now).await? {
                    Added::Kept { id, number } => {
                        audit.target = number.to_string();
                        Effect::new(Ok(id)).audited(audit)
                    }
                    Added::CreatorIsFull => Effect::new(Err(false)),
                    Added::ChannelIsFull => Effect::new(Err(true)),
                })
            }
            .boxed()
        })
        .await?;
    let id: Ulid = done.outcome.map_err(|of_channel| {
        ApiError::conflict(if of_channel {
            format!("a channel has at most {PER_CHANNEL_MAX} pending reminders; delete one first")
        } else {
            format!("an account has at most {PER_CREATOR_MAX} pending reminders; delete one first")
        })
    })?;
    let stored = reminders::get(&hub.deps.db, community_id, id).await?;
    let stored = stored.ok_or_else(|| ApiError::conflict("the reminder was deleted meanwhile"))?;
    Ok(Answer(StatusCode::CREATED, ReminderLine::from(stored)))
}

/// When it comes first, and the rule by which it comes again. `None`: a field is wrong, and was named.
fn times_of(
    fields: &mut Fields,
    body: &NewReminderBody,
    now: DateTime<Utc>,
) -> Option<(DateTime<Utc>, Option<String>)> {
    let zone = body.timezone.as_deref().map_or(Ok(Tz::UTC), parse_zone);
    let zone = zone.map_err(|error| fields.wrong("timezone", error.to_string())).ok()?;
    if body.remind_in.chars().count() > WHEN_CHARS_MAX {
        fields.wrong("remind_in", format!("must have 1 to {WHEN_CHARS_MAX} characters"));
        return None;
    }
    let first = parse_when(&body.remind_in, zone, now);
    let first = first.map_err(|error| fields.wrong("remind_in", error.to_string())).ok()?;
    let Some(rule) = body.recurring_rule.as_deref().filter(|rule| !rule.trim().is_empty()) else {
        return Some((first, None));
    };
    // A rule counts in whole seconds.
    let first = first.trunc_subsecs(0);
    let rule = Recurrence::parse(rule, first.with_timezone(&zone))
        .and_then(|rule| rule.first(first).map(|due_at| (due_at, Some(rule.to_string()))));
    rule.map_err(|error| fields.wrong("recurring_rule", error.to_string())).ok()
}

/// Where it is said: the named channel, the one by which the community was named, or its only one on the platform.
async fn channel_of(
    hub: &Hub,
    community_id: CommunityId,
    body: &NewReminderBody,
) -> Result<Channel, ApiError> {
    let db = &hub.deps.db;
    let wrong = |text: &str| {
        let mut fields = Fields::default();
        fields.wrong("platform_channel_id", text);
        fields.check().err().unwrap_or_else(|| ApiError::invalid(text))
    };
    let by_community =
        body.community_id.parse().ok().filter(|key: &ChannelKey| key.platform() == body.channel);
    let key = match &body.platform_channel_id {
        Some(name) => Some(ChannelKey::new(body.channel, name).map_err(|error| wrong(&error.to_string()))?),
        None => by_community,
    };
    if let Some(key) = key {
        let channel = channels::by_key(db, &key).await?;
        let of_it = |channel: &Channel| channel.community_id == community_id && channel.is_active;
        return channel.filter(of_it).ok_or_else(|| wrong("names no channel of this community"));
    }
    let mut all = channels::of_community(db, community_id, body.channel, 2).await?;
    match all.len() {
        1 => Ok(all.remove(0)),
        0 => Err(wrong("the community has no channel on that platform")),
        _ => Err(wrong("is needed: the community has several channels on that platform")),
    }
}

/// Reads the id in a path.
fn id_of(text: &str) -> Result<Ulid, ApiError> {
    Ulid::from_string(text).map_err(|_| no_such_reminder())
}

/// 404 of an id that no reminder has.
fn no_such_reminder() -> ApiError {
    ApiError::not_found(
        "there is no reminder of that id; GET /api/v1/memories/reminders/pending lists those that are still to come",
    )
}
