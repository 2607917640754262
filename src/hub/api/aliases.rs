//! `/api/v1/aliases`: the aliases of a channel.

use axum::extract::State;
use axum::http::StatusCode;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use storage::aliases::Alias;
use storage::{AuditEntry, Change, ChangeKind, ChangeScope, Effect, Scope};
use utoipa::{IntoParams, ToSchema};

use super::commands::name_of;
use crate::hub::answer::{Answer, Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::slot_of;
use crate::hub::changing::Caller;
use crate::hub::input::{JsonBody, Queried};
use crate::hub::page::{Page, page_of, rows_of};
use crate::hub::read_after::{READ_AFTER, ReadAfter};
use crate::hub::router::Hub;

pub(in crate::hub) mod alias;
pub(in crate::hub) mod execute;

/// An alias as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct AliasLine {
    id: String,
    /// Lower case, without prefix.
    name: String,
    /// The command it stands for, with `{user} {args} {arg1} {all_args}`.
    body: String,
    usage_count: i64,
}

impl From<Alias> for AliasLine {
    fn from(alias: Alias) -> Self {
        Self { id: alias.id.to_string(), name: alias.name, body: alias.body, usage_count: alias.usage_count }
    }
}

/// Which aliases are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct AliasesQuery {
    /// The channel.
    channel: String,
    /// Rows of the page, 1 to 100; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists a channel's aliases in the order of their names.
#[utoipa::path(get, path = "/api/v1/aliases", tag = "commands", params(AliasesQuery,
    ("X-Read-After" = Option<String>, Header, description = READ_AFTER)),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of aliases.", body = Envelope<Page<AliasLine>>),
    (status = 400, description = "A wrong limit or channel.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not in that channel.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn list(
    State(hub): State<Hub>,
    read_after: ReadAfter,
    Queried(query): Queried<AliasesQuery>,
) -> Answered<Page<AliasLine>> {
    let limit = rows_of(query.limit)?;
    let slot = slot_of(&hub, &query.channel)?;
    let after = query.cursor.unwrap_or_default();
    let rows = storage::aliases::list(read_after.lists(&hub), slot.id).await?;
    let lines = rows.into_iter().filter(|alias| alias.name > after).take(limit as usize).map(AliasLine::from);
    ok(page_of(lines.collect(), limit, |line| line.name.clone()))
}

/// An alias to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct NewAlias {
    channel: String,
    /// One word, with or without `!`.
    #[schema(example = "hello")]
    name: String,
    /// The command it stands for.
    #[schema(example = "!hi {args}")]
    body: String,
}

/// Adds an alias.
#[utoipa::path(post, path = "/api/v1/aliases", tag = "commands", request_body = NewAlias,
    security(("service_key" = [])), responses(
    (status = 201, description = "It works in the next line.", body = Envelope<AliasLine>),
    (status = 400, description = "A wrong name, or one that would call itself.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not in that channel.", body = ErrorEnvelope),
    (status = 409, description = "There is an alias or built-in command of that name.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn create(
    State(hub): State<Hub>,
    caller: Caller,
    JsonBody(new): JsonBody<NewAlias>,
) -> Answered<AliasLine> {
    let slot = slot_of(&hub, &new.channel)?;
    let name = name_of(&hub, &new.name)?;
    let known = storage::aliases::list(&hub.deps.db, slot.id).await?;
    let lookup =
        |wanted: &str| known.iter().find(|alias| alias.name == wanted).map(|alias| alias.body.clone());
    let body = new.body.trim();
    let body = body.strip_prefix(['!', '#']).unwrap_or(body).to_owned();
    domain::alias::check_no_loop(&name, &body, lookup)
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    let commands = storage::commands::for_channel(&hub.deps.db, slot.id, slot.community_id).await?;
    if commands.iter().any(|row| row.spec.command == name) {
        return Err(ApiError::conflict(format!("there is a command !{name}; choose another name")));
    }
    let (id, now) = (slot.id, hub.deps.clock.now());
    let audit = AuditEntry { channel_id: Some(id), ..caller.entry("alias.add", format!("!{name}")) };
    let alias = name.clone();
    let done = caller
        .change(&hub, "aliases", Scope::Global, move |tx| {
            async move {
                let added = storage::aliases::add(tx, id, &alias, &body, now).await?;
                let effect = Effect::new(added.map(|id| id.to_string()));
                let change = Change::new(ChangeScope::Channel(id), ChangeKind::Aliases);
                Ok(if added.is_some() { effect.audited(audit).changed(change) } else { effect })
            }
            .boxed()
        })
        .await?;
    if done.outcome.is_none() {
        return Err(ApiError::conflict(format!("there is an alias !{name} already; delete it first")));
    }
    let stored = storage::aliases::get(&hub.deps.db, id, &name).await?;
    let stored = stored.ok_or_else(|| ApiError::conflict(format!("!{name} was removed meanwhile")))?;
    Ok(Answer(StatusCode::CREATED, AliasLine::from(stored)))
}
