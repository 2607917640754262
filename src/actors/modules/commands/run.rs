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
        let count = if template.uses_count() { bump(ctx, &custom.id).await? } else { None };
        let words = words(&call.args);
        let stream = ctx.stream();
        let values = Values {
            user: call.event.user.shown_name(),
            touser: words.first().map_or("", String::as_str),
            args: &words,
            query: &call.args,
            count,
            channel: ctx.channel_login(),
            stream: &stream,
        };
        Ok(reply(template.expand(&values, &mut ctx.rng(), ctx.now())))
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

/// Fills a text that nobody asked for: a timer's. The channel stands for the user.
pub fn expand_unasked(ctx: &Context, template: &Template, count: Option<i64>) -> Vec<Reply> {
    let stream: StreamInfo = ctx.stream();
    let channel = ctx.channel_login();
    let values = Values { user: channel, touser: "", args: &[], query: "", count, channel, stream: &stream };
    reply(template.expand(&values, &mut ctx.rng(), ctx.now()))
}

/// Counts a use, once for each line that caused it. `None` when the command was removed meanwhile.
async fn bump(ctx: &Context, id: &str) -> Result<Option<i64>, ModuleError> {
    let Ok(id) = Ulid::from_string(id) else { return Ok(None) };
    let unit = ctx.unit_of_work(ctx.community_scope(), STEP_COUNT, move |tx| {
        async move { Ok(Effect::new(commands::bump_count(tx, id).await?)) }.boxed()
    });
    Ok(unit.await?.outcome)
}

fn reply(text: String) -> Vec<Reply> {
    if text.is_empty() { Vec::new() } else { vec![Reply::text(text)] }
}
