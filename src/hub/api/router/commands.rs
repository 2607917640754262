//! `GET /api/v1/router/commands`: what can be typed in a channel.

use axum::extract::State;
use domain::Level;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

use crate::hub::answer::{Answered, Envelope, ErrorEnvelope, ok};
use crate::hub::ask::slot_of;
use crate::hub::input::Queried;
use crate::hub::page::{Page, page_of, rows_of};
use crate::hub::read_after::{READ_AFTER, ReadAfter};
use crate::hub::router::Hub;

/// Whose commands are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::hub) struct RouterCommandsQuery {
    /// The channel; absent for the built-in commands alone.
    channel: Option<String>,
    /// Rows of the page, 1 to 100; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A command that can be typed.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::hub) struct RouterCommand {
    /// Lower case, without prefix.
    command: String,
    module: String,
    description: String,
    usage: String,
    #[schema(value_type = String)]
    level: Level,
    cooldown_secs: i64,
    enabled: bool,
}

/// Lists the commands in the order of their names, the channel's own settings applied.
#[utoipa::path(get, path = "/api/v1/router/commands", tag = "router", params(RouterCommandsQuery,
    ("X-Read-After" = Option<String>, Header, description = READ_AFTER)),
    security(("service_key" = [])), responses(
    (status = 200, description = "A page of commands.", body = Envelope<Page<RouterCommand>>),
    (status = 400, description = "A wrong limit or channel.", body = ErrorEnvelope),
    (status = 401, description = "No or a wrong service key.", body = ErrorEnvelope),
    (status = 404, description = "The bot is not in that channel.", body = ErrorEnvelope)))]
pub(in crate::hub) async fn list(
    State(hub): State<Hub>,
    read_after: ReadAfter,
    Queried(query): Queried<RouterCommandsQuery>,
) -> Answered<Page<RouterCommand>> {
    let limit = rows_of(query.limit)?;
    let mut by_name = built_in(&hub);
    if let Some(key) = query.channel {
        let slot = slot_of(&hub, &key)?;
        for row in storage::commands::for_channel(read_after.lists(&hub), slot.id, slot.community_id).await? {
            let spec = row.spec;
            let line = RouterCommand {
                command: spec.command.clone(),
                module: spec.module_name,
                description: spec.description,
                usage: spec.usage,
                level: spec.level,
                cooldown_secs: spec.cooldown_secs,
                enabled: spec.is_enabled,
            };
            by_name.insert(spec.command, line);
        }
    }
    let after = query.cursor.unwrap_or_default();
    let lines = by_name.into_values().filter(|line| line.command > after).take(limit as usize);
    ok(page_of(lines.collect(), limit, |line| line.command.clone()))
}

fn built_in(hub: &Hub) -> BTreeMap<String, RouterCommand> {
    let commands = hub.deps.modules.iter().flat_map(|module| {
        module.commands.iter().map(|command| RouterCommand {
            command: command.name.to_owned(),
            module: module.name.to_owned(),
            description: command.description.to_owned(),
            usage: command.usage.to_owned(),
            level: command.level,
            cooldown_secs: i64::from(command.cooldown_secs),
            enabled: true,
        })
    });
    commands.map(|line| (line.command.clone(), line)).collect()
}
