//! `/api/v1/transfer/{kind}/{channel}`: quotes, commands, bookmarks and timers as rows, out and in again.

use axum::extract::{Path, State};
use domain::Level;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use storage::channels::Channel;
use storage::{AuditEntry, Change, ChangeKind, ChangeScope, Effect, Scope};
use utoipa::{IntoParams, ToSchema};

use self::item::{Did, Item, Kind};
use crate::hub::answer::{Answered, ApiError, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::{key_of, unknown_channel};
use crate::hub::changing::Caller;
use crate::hub::fields::Fields;
use crate::hub::input::{BATCH_BYTES_MAX, JsonBody, Queried};
use crate::hub::read_after::{READ_AFTER, ReadAfter};
use crate::hub::router::Hub;

mod bookmarks;
mod commands;
mod item;
mod quotes;
mod row;
mod timers;

/// Most rows of one call, out or in.
const ROWS_MAX: u32 = 500;
const ROWS_MAX_USIZE: usize = 500;

/// Which rows are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct ExportQuery {
    /// Rows of the page, 1 to 500; 500 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// One page of rows, each as an import takes it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Exported {
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Value>,
    /// The names of a row's fields, in the order of a table's columns.
    columns: Vec<&'static str>,
    /// Give it back as `cursor` for the next page; null when that was all.
    next_cursor: Option<String>,
}

/// Exports what a channel's community has, page by page; timers are the channel's own.
#[utoipa::path(get, path = "/api/v1/transfer/{kind}/{channel}", tag = "transfer", params(ExportQuery,
    ("kind" = String, Path, description = "quotes, commands, bookmarks or timers"),
    ("channel" = String, Path, description = "The channel's key"),
    ("X-Read-After" = Option<String>, Header, description = READ_AFTER)),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of rows.", body = Envelope<Exported>),
    (status = 400, description = "A wrong channel, limit or cursor.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "No such channel or kind.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn export(
    State(hub): State<Hub>,
    read_after: ReadAfter,
    Path((kind, channel)): Path<(String, String)>,
    Queried(query): Queried<ExportQuery>,
) -> Answered<Exported> {
    let mut fields = Fields::default();
    let limit = fields.number("limit", query.limit, ROWS_MAX, 1..=ROWS_MAX);
    fields.check()?;
    let (kind, channel) = (kind_of(&kind)?, channel_of(&hub, &channel).await?);
    let on = read_after.lists(&hub);
    let cursor = query.cursor.unwrap_or_default();
    let rows = match kind {
        Kind::Quotes => quotes::export(on, &channel, number_of(&cursor)?, limit).await?,
        Kind::Bookmarks => bookmarks::export(on, &channel, number_of(&cursor)?, limit).await?,
        Kind::Commands => commands::export(on, &channel, &cursor, limit).await?,
        Kind::Timers => timers::export(on, &channel).await?,
    };
    let is_full = rows.n_read >= limit && kind != Kind::Timers;
    ok(Exported {
        rows: rows.items,
        columns: kind.columns().to_vec(),
        next_cursor: rows.last.filter(|_| is_full),
    })
}

/// Rows to take in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::hub) struct ImportBody {
    /// Only say what would change.
    #[serde(default)]
    dry_run: bool,
    /// 1 to 500, with the fields that an export of that kind has. Numbers and flags may be texts, and an empty text is
    /// no value.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Map<String, Value>>,
}

/// What an import did, or would do.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct Imported {
    dry_run: bool,
    added: usize,
    changed: usize,
    /// Those that are there already, as they are in the row.
    same: usize,
    /// What is added or changed, in the order of the rows.
    changes: Vec<ImportedLine>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ImportedLine {
    /// Which row, from 1.
    row: usize,
    /// `added` or `changed`.
    did: &'static str,
    /// A command's or timer's name, an address, or the beginning of a quote.
    what: String,
}

/// Takes rows in, all or none: what is there by the same name, address or text is changed or left as it is.
#[utoipa::path(post, path = "/api/v1/transfer/{kind}/{channel}", tag = "transfer", request_body = ImportBody,
    params(("kind" = String, Path, description = "quotes, commands, bookmarks or timers"),
    ("channel" = String, Path, description = "The channel's key"),
    ("X-Acting-User" = Option<String>, Header, description = "Who imports, an editor, as platform:user_id")),
    security(("service_key" = [])), responses(
    (status = 200, description = "What was, or would be, added and changed.", body = Envelope<Imported>),
    (status = 400, description = "Rows that are wrong, each named; nothing was changed.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 403, description = "X-Acting-User is no editor of the community.", body = ErrorEnvelope),
    (status = 404, description = "No such channel or kind.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn import(
    State(hub): State<Hub>,
    caller: Caller,
    Path((kind, channel)): Path<(String, String)>,
    JsonBody(body): JsonBody<ImportBody, BATCH_BYTES_MAX>,
) -> Answered<Imported> {
    let kind = kind_of(&kind)?;
    if body.rows.is_empty() || body.rows.len() > ROWS_MAX_USIZE {
        return Err(ApiError::invalid(format!("rows must hold 1 to {ROWS_MAX} rows")));
    }
    let channel = channel_of(&hub, &channel).await?;
    caller.acting().require(&hub.deps.db, channel.community_id, Level::Editor).await?;
    let mut problems = Map::new();
    let mut items = Vec::with_capacity(body.rows.len());
    for (row, cells) in (1..).zip(&body.rows) {
        match kind.read(&hub, cells, &caller.acting().to_string()) {
            Ok(item) => items.push((row, item)),
            Err(problem) => drop(problems.insert(format!("row {row}"), problem.into())),
        }
    }
    let tried = try_out(&hub, &channel, &items).await?;
    for (row, did) in &tried {
        if let Did::Refused(reason) = did {
            problems.insert(format!("row {row}"), reason.as_str().into());
        }
    }
    if !problems.is_empty() {
        return Err(refusal(problems));
    }
    let changes = lines(&items, &tried);
    let tally = if body.dry_run {
        Tally::of(tried.iter().map(|(_, did)| did))
    } else {
        apply(&hub, &caller, kind, (channel, items)).await?
    };
    ok(Imported {
        dry_run: body.dry_run,
        added: tally.added,
        changed: tally.changed,
        same: tally.same,
        changes,
    })
}

/// How many rows did what; what an import keeps for a repeat of its call.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Tally {
    added: usize,
    changed: usize,
    same: usize,
}

impl Tally {
    fn of<'a>(done: impl Iterator<Item = &'a Did>) -> Self {
        done.fold(Self::default(), |mut tally, did| {
            match did {
                Did::Added => tally.added += 1,
                Did::Changed => tally.changed += 1,
                Did::Same | Did::Refused(_) => tally.same += 1,
            }
            tally
        })
    }
}

/// Does it all in a transaction that is given up.
async fn try_out(
    hub: &Hub,
    channel: &Channel,
    items: &[(usize, Item)],
) -> Result<Vec<(usize, Did)>, ApiError> {
    let mut tx = hub.deps.db.begin().await?;
    let mut tried = Vec::with_capacity(items.len());
    for (row, item) in items {
        tried.push((*row, item.apply(&mut tx, channel, hub.deps.clock.now()).await?));
    }
    Ok(tried)
}

async fn apply(
    hub: &Hub,
    caller: &Caller,
    kind: Kind,
    (channel, items): (Channel, Vec<(usize, Item)>),
) -> Result<Tally, ApiError> {
    let (community_id, now) = (channel.community_id, hub.deps.clock.now());
    let mut audit = AuditEntry {
        community_id: Some(community_id),
        channel_id: Some(channel.id),
        ..caller.entry("transfer.import", kind.as_str())
    };
    let change = Change::new(ChangeScope::Community(community_id), ChangeKind::Commands);
    let done = caller
        .change(hub, kind.endpoint(), Scope::Community(community_id), move |tx| {
            async move {
                let mut done = Vec::with_capacity(items.len());
                for (_, item) in &items {
                    done.push(item.apply(&mut *tx, &channel, now).await?);
                }
                let tally = Tally::of(done.iter());
                audit.detail = serde_json::json!({ "added": tally.added, "changed": tally.changed });
                let effect = Effect::new(tally).audited(audit);
                Ok(if kind == Kind::Commands { effect.changed(change) } else { effect })
            }
            .boxed()
        })
        .await?;
    Ok(done.outcome)
}

fn lines(items: &[(usize, Item)], tried: &[(usize, Did)]) -> Vec<ImportedLine> {
    let line = |((row, item), (_, did)): (&(usize, Item), &(usize, Did))| {
        let did = match did {
            Did::Added => "added",
            Did::Changed => "changed",
            Did::Same | Did::Refused(_) => return None,
        };
        Some(ImportedLine { row: *row, did, what: item.what() })
    };
    items.iter().zip(tried).filter_map(line).collect()
}

fn refusal(problems: Map<String, Value>) -> ApiError {
    let first =
        problems.iter().next().map(|(row, problem)| format!("{row}: {}", problem.as_str().unwrap_or("")));
    let text = format!(
        "nothing was changed: {} of the rows cannot be taken in; {}",
        problems.len(),
        first.unwrap_or_default()
    );
    ApiError::invalid(text).details(Value::Object(problems))
}

fn kind_of(text: &str) -> Result<Kind, ApiError> {
    Kind::parse(text).ok_or_else(|| {
        ApiError::not_found("what can be transferred is quotes, commands, bookmarks and timers")
    })
}

async fn channel_of(hub: &Hub, text: &str) -> Result<Channel, ApiError> {
    let key = key_of(text)?;
    let channel = storage::channels::by_key(&hub.deps.db, &key).await?;
    channel.ok_or_else(|| unknown_channel(&key))
}

/// The number that a page begins after.
fn number_of(cursor: &str) -> Result<i64, ApiError> {
    if cursor.is_empty() {
        return Ok(0);
    }
    cursor.parse().map_err(|_| ApiError::invalid("cursor must be the next_cursor of the page before"))
}
