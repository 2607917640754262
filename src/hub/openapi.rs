//! `GET /api/v1/openapi.json`: the interface, described. A test compares it with the router's table.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{Deprecated, RefOr, Schema};
use utoipa::{Modify, OpenApi};

use super::{api, health, healthz, home, metrics, readyz};

/// The document; every endpoint of the router's table stands here once.
#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "waddlebot", description = "The runtime interface of a waddlebot node."),
    modifiers(&ServiceKey, &Everywhere, &ShortForms),
    paths(
        home::show,
        healthz::show,
        readyz::show,
        health::show,
        metrics::show,
        show,
        api::router::events::create,
        api::router::events::batch::create,
        api::router::commands::list,
        api::router::responses::create,
        api::status::show,
        api::cluster::show,
        api::cluster::drain,
        api::cluster::pins::list,
        api::cluster::pins::pin,
        api::cluster::pins::unpin,
        api::channels::list,
        api::channels::create,
        api::channels::import::create,
        api::channels::channel::show,
        api::channels::channel::remove,
        api::channels::restart::create,
        api::channels::modules::restart,
        api::channels::modules::enable,
        api::channels::modules::disable,
        api::channels::events::list,
        api::channels::recording::create,
        api::channels::recording::remove,
        api::channels::replay::create,
        api::modules::list,
        api::communities::live::show,
        api::audit::list,
        api::queue::show,
        api::queue::dead::list,
        api::queue::dead::letter::retry,
        api::queue::dead::letter::remove,
        api::queue::replay::create,
        api::commands::list,
        api::commands::create,
        api::commands::command::update,
        api::commands::command::remove,
        api::aliases::list,
        api::aliases::create,
        api::aliases::alias::remove,
        api::aliases::execute::create,
        api::transfer::export,
        api::transfer::import,
        api::shoutout::create,
        api::shoutout::history::list,
        api::shoutout::history::stats,
        api::shoutout::template::set,
        api::shoutout::streamer::show,
        api::shoutout::circuit_breaker::show,
        api::memories::quotes::create,
        api::memories::quotes::list,
        api::memories::quotes::quote::random,
        api::memories::quotes::summary::categories,
        api::memories::quotes::summary::stats,
        api::memories::quotes::quote::show,
        api::memories::quotes::quote::remove,
        api::memories::quotes::vote::create,
        api::memories::bookmarks::create,
        api::memories::bookmarks::list,
        api::memories::bookmarks::summary::popular,
        api::memories::bookmarks::summary::tags,
        api::memories::bookmarks::summary::stats,
        api::memories::bookmarks::bookmark::show,
        api::memories::bookmarks::bookmark::update,
        api::memories::bookmarks::bookmark::remove,
        api::memories::reminders::create,
        api::memories::reminders::lists::pending,
        api::memories::reminders::reminder::sent,
        api::memories::reminders::lists::stats,
        api::memories::reminders::lists::of_user,
        api::memories::reminders::reminder::show,
        api::memories::reminders::reminder::remove,
    )
)]
pub(super) struct Document;

/// Names the header of the service key.
struct ServiceKey;

impl Modify for ServiceKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let key = ApiKey::Header(ApiKeyValue::with_description(
            "X-Service-Key",
            "The service key; X-API-Key is accepted too.",
        ));
        document
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("service_key", SecurityScheme::ApiKey(key));
    }
}

/// What any endpoint answers that takes a body, or something in its path or query.
struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            let PathItem { get, put, post, delete, .. } = item;
            for operation in [get, put, post, delete].into_iter().flatten() {
                complete(operation);
            }
        }
        let schemas = document.components.as_mut().map(|components| &mut components.schemas);
        // An item that another node said fits its own kind and that of any item.
        if let Some(RefOr::T(item)) = schemas.and_then(|schemas| schemas.get_mut("BatchItem"))
            && let Schema::OneOf(one) = item
        {
            let any =
                std::mem::take(&mut one.items).into_iter().fold(AnyOfBuilder::new(), AnyOfBuilder::item);
            *item = Schema::AnyOf(any.description(one.description.take()).build());
        }
    }
}

/// The paths of shoutouts as those know them who come from WaddleBot.
struct ShortForms;

impl Modify for ShortForms {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let paths = &mut document.paths.paths;
        let short = |(path, item): (&String, &PathItem)| {
            let rest = path.strip_prefix("/api/v1/shoutout/")?;
            let mut item = item.clone();
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                operation.deprecated = Some(Deprecated::True);
                operation.operation_id = operation.operation_id.as_ref().map(|id| format!("{id}_short"));
            }
            Some((format!("/api/v1/{rest}"), item))
        };
        let found: Vec<_> = paths.iter().filter_map(short).collect();
        paths.extend(found);
    }
}

fn complete(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    let Some(RefOr::T(error)) = responses.get("401").cloned() else { return };
    let mut add = |status: &str, description: &str| {
        let mut answer = error.clone();
        description.clone_into(&mut answer.description);
        responses.entry(status.to_owned()).or_insert(RefOr::T(answer));
    };
    if operation.request_body.is_some() || operation.parameters.is_some() {
        add("400", "Something in the path, the query, a header or the body cannot be read; it is named.");
    }
    if operation.request_body.is_some() {
        add("413", "The body is too long.");
        add("415", "The body is not said to be JSON.");
    }
}

static TEXT: LazyLock<String> =
    LazyLock::new(|| Document::openapi().to_json().expect("the document is made of plain values"));

/// Shows this document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "clients", responses(
    (status = 200, description = "An OpenAPI 3.1 document.", body = Object)))]
pub(in crate::hub) async fn show() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}
