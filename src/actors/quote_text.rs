//! How quotes are said, by `!quote` and by `$(quote)`.

use rand::RngExt;
use storage::quotes::{self, Quote};

use super::{Context, ModuleError};

/// `“I love cake” – ann`.
pub fn shown(quote: &Quote) -> String {
    let author = if quote.author.is_empty() { String::new() } else { format!(" – {}", quote.author) };
    format!("“{}”{author}", quote.body)
}

/// One of the community's quotes, the same when the call is tried again. `None` when there are none.
pub async fn draw(ctx: &Context) -> Result<Option<Quote>, ModuleError> {
    Ok(quotes::random(ctx.db(), ctx.community_id(), ctx.rng().random()).await?)
}

/// What `$(quote)` says.
pub async fn drawn(ctx: &Context) -> Result<String, ModuleError> {
    Ok(draw(ctx).await?.map_or_else(|| "no quotes yet".to_owned(), |quote| shown(&quote)))
}
