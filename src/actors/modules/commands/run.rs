//! Running custom commands: template, values, text.

use std::collections::HashMap;
use std::sync::Arc;

use domain::StreamInfo;
use domain::command_line::words;
use domain::template::{Template, Values};
use futures_util::FutureExt;
use storage::{Effect, commands};
use ulid::Ulid;

use crate::actors::{Context, ModuleError};
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
        let filling =
            Filling { ctx: ctx.clone(), template, args: words(&call.args), query: call.args.clone() };
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

/// A template and what goes into it.
struct Filling {
    ctx: Context,
    template: Arc<Template>,
    args: Vec<String>,
    query: String,
}

impl Filling {
    fn fill(&self, count: Option<i64>) -> Vec<Reply> {
        let stream = self.ctx.stream();
        let user = self.ctx.user();
        let values = Values {
            user: if user.display_name.is_empty() { &user.login } else { &user.display_name },
            touser: self.args.first().map_or("", String::as_str),
            args: &self.args,
            query: &self.query,
            count,
            channel: self.ctx.channel_login(),
            stream: &stream,
        };
        reply(self.template.expand(&values, &mut self.ctx.rng(), self.ctx.now()))
    }
}

/// Fills a text that nobody asked for: a timer's. The channel stands for the user.
pub fn expand_unasked(ctx: &Context, template: &Template, count: Option<i64>) -> Vec<Reply> {
    let stream: StreamInfo = ctx.stream();
    let channel = ctx.channel_login();
    let values = Values { user: channel, touser: "", args: &[], query: "", count, channel, stream: &stream };
    reply(template.expand(&values, &mut ctx.rng(), ctx.now()))
}

fn reply(text: String) -> Vec<Reply> {
    if text.is_empty() { Vec::new() } else { Reply::only(text) }
}
