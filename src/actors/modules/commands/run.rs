//! Running custom commands: template, values, text.

use std::collections::HashMap;
use std::sync::Arc;

use domain::StreamInfo;
use domain::command_line::words;
use domain::template::{Template, Values, fetched_text};
use futures_util::FutureExt;
use storage::{Effect, commands};
use ulid::Ulid;

use crate::actors::command_name::mistake;
use crate::actors::{Context, ModuleError, quote_text};
use crate::http::FetchError;
use crate::messages::{CommandCall, CustomCommand, Reply};

/// Parsed templates that one channel keeps; a text beyond that is parsed anew.
const TEMPLATES_MAX: usize = 256;
const STEP_COUNT: u16 = 10;

/// The templates of a channel's commands that ran lately, by the command's id.
#[derive(Debug, Default)]
pub struct Templates {
    parsed: HashMap<String, (Arc<CustomCommand>, Arc<Template>)>,
}

impl Templates {
    /// Answers with the text of a custom command; one that comes to nothing is silent.
    ///
    /// # Errors
    /// [`ModuleError::User`] when the stored text cannot be read, which only an edit mends.
    pub async fn run(
        &mut self,
        ctx: &Context,
        call: &CommandCall,
        custom: &Arc<CustomCommand>,
    ) -> Result<Vec<Reply>, ModuleError> {
        let template = self.template(custom).map_err(|error| {
            ModuleError::User(format!(
                "!{0} cannot be read ({error}); mend it with !editcom {0} <text>.",
                call.name
            ))
        })?;
        let counted = Ulid::from_string(&custom.id).ok().filter(|_| template.uses_count());
        let filling = Filling::of(ctx, template, Some(call)).await?;
        let Some(id) = counted else { return Ok(filling.fill(None)) };
        // Counts a use once for each line that caused it, and answers with the count in the same commit. None when the
        // command was removed meanwhile.
        let say = move |count: &Option<i64>| filling.fill(*count);
        let unit = ctx.unit_of_work(
            ctx.community_scope(),
            STEP_COUNT,
            move |tx| async move { Ok(Effect::new(commands::bump_count(tx, id).await?)) }.boxed(),
            say,
        );
        unit.await
    }

    fn template(
        &mut self,
        custom: &Arc<CustomCommand>,
    ) -> Result<Arc<Template>, domain::template::TemplateError> {
        if let Some((of, template)) = self.parsed.get(&custom.id)
            && (Arc::ptr_eq(of, custom) || of.response == custom.response)
        {
            return Ok(Arc::clone(template));
        }
        let template = Arc::new(Template::parse(&custom.response)?);
        if self.parsed.len() >= TEMPLATES_MAX && !self.parsed.contains_key(&custom.id) {
            self.parsed.clear();
        }
        self.parsed.insert(custom.id.clone(), (Arc::clone(custom), Arc::clone(&template)));
        Ok(template)
    }
}

/// A template and what goes into it, pages included: nothing of it waits for anybody when it is filled.
pub struct Filling {
    ctx: Context,
    template: Arc<Template>,
    /// `None`: nobody asked for this text, a timer says it; then the channel stands for the user.
    user: Option<String>,
    args: Vec<String>,
    query: String,
    stream: StreamInfo,
    quote: String,
    fetched: Vec<String>,
}

impl Filling {
    /// Collects what `template` needs, and fetches its pages.
    ///
    /// # Errors
    /// [`ModuleError::Storage`] when the database does not give a quote.
    pub async fn of(
        ctx: &Context,
        template: Arc<Template>,
        call: Option<&CommandCall>,
    ) -> Result<Self, ModuleError> {
        let chatter = ctx.user();
        let shown = if chatter.display_name.is_empty() { &chatter.login } else { &chatter.display_name };
        let query = call.map_or_else(String::new, |call| call.args.clone());
        let mut filling = Self {
            ctx: ctx.clone(),
            template,
            user: call.map(|_| shown.clone()),
            args: words(&query),
            query,
            stream: ctx.stream(),
            quote: String::new(),
            fetched: Vec::new(),
        };
        if filling.template.uses_quote() {
            filling.quote = quote_text::drawn(ctx).await?;
        }
        let urls = filling.template.urls(&filling.values(None), &mut ctx.rng(), ctx.now());
        filling.fetched = ctx.fetch(&urls).await.into_iter().map(said).collect();
        Ok(filling)
    }

    /// The text; one that comes to nothing is silent.
    pub fn fill(&self, count: Option<i64>) -> Vec<Reply> {
        let text = self.template.expand(&self.values(count), &mut self.ctx.rng(), self.ctx.now());
        if text.is_empty() { Vec::new() } else { Reply::only(text) }
    }

    fn values(&self, count: Option<i64>) -> Values<'_> {
        Values {
            user: self.user.as_deref().unwrap_or_else(|| self.ctx.channel_login()),
            touser: self.args.first().map_or("", String::as_str),
            args: &self.args,
            query: &self.query,
            count,
            channel: self.ctx.channel_login(),
            stream: &self.stream,
            quote: &self.quote,
            fetched: &self.fetched,
        }
    }
}

/// What stands in the text for a page.
fn said(page: Result<String, FetchError>) -> String {
    match page {
        Ok(text) => fetched_text(&text),
        Err(error) => format!("({error})"),
    }
}

/// Reads a text that is to be saved, and looks at the addresses in it.
///
/// # Errors
/// [`ModuleError::User`] says what to write instead.
pub fn check(ctx: &Context, text: &str) -> Result<(), ModuleError> {
    let template = Template::parse(text).map_err(mistake)?;
    template
        .literal_urls()
        .into_iter()
        .try_for_each(|url| ctx.check_url(url))
        .map_err(|refused| ModuleError::User(format!("`$(urlfetch)` cannot be saved: {refused}.")))
}
