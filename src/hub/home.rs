//! `GET /`: one plain page: state, channels, the next step. No script, no picture, nothing from elsewhere.

use axum::extract::State;
use axum::response::Html;

use super::readyz::readiness;
use super::router::Hub;

/// Channels that the page lists; the rest are counted.
const CHANNELS_LISTED_MAX: usize = 50;

/// Shows the page.
#[utoipa::path(get, path = "/", tag = "pages", responses(
    (status = 200, description = "A plain page.", body = String, content_type = "text/html")))]
pub(in crate::hub) async fn show(State(hub): State<Hub>) -> Html<String> {
    let readiness = readiness(&hub).await;
    let state = if readiness.ready { "running" } else { "running, but the database does not answer" };
    let mut keys: Vec<String> = hub.deps.directory.all().iter().map(|slot| slot.key()).collect();
    keys.sort_unstable();
    let trouble = readiness
        .platforms
        .iter()
        .filter_map(|(platform, report)| Some(format!("{platform}: {}", report.trouble.as_deref()?)));
    let node = &hub.deps.node;
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>waddlebot</title>\n\
         <h1>waddlebot</h1>\n<p>Node {} (version {}) is {state}.</p>\n",
        escaped(&node.id),
        escaped(node.version),
    );
    list(&mut page, "Trouble", trouble.take(CHANNELS_LISTED_MAX));
    list(&mut page, &format!("Channels ({})", keys.len()), keys.iter().take(CHANNELS_LISTED_MAX).cloned());
    page.push_str(
        "<h2>Next</h2>\n<p>Add a channel: <code>waddlebot channels add twitch:your_channel</code>, \
         then type <code>!ping</code> there. Check the setup: <code>waddlebot doctor</code>. \
         The API: <a href=\"/api/v1/openapi.json\">openapi.json</a>.</p>\n</html>\n",
    );
    Html(page)
}

fn list(page: &mut String, title: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.map(|item| format!("<li>{}</li>\n", escaped(&item))).collect();
    if !items.is_empty() {
        let section = format!("<h2>{}</h2>\n<ul>\n{}</ul>\n", escaped(title), items.concat());
        page.push_str(&section);
    }
}

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
