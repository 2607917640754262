//! `waddlebot commands`: custom commands of a channel, or of all channels.

use clap::{Args, Subcommand};
use domain::Level;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::output::{Failure, field, print_json, say, say_part, table};

/// What can be done with commands.
#[derive(Debug, Subcommand)]
pub enum CommandsCommand {
    /// Add a command
    Add {
        /// One word, with or without !
        name: String,
        /// What the bot answers, with variables such as $(user)
        #[arg(required = true, num_args = 1..)]
        response: Vec<String>,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        options: Options,
    },
    /// Change a command; what is not given stays
    Edit {
        /// One word, with or without !
        name: String,
        /// What the bot answers from now on
        response: Vec<String>,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        options: Options,
        /// Switch it on or off
        #[arg(long, value_name = "BOOL")]
        enabled: Option<bool>,
    },
    /// Remove a command
    Remove {
        /// One word, with or without !
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// List the commands
    List {
        #[command(flatten)]
        place: Place,
    },
}

/// Where a command belongs.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// The channel, platform:login; its whole community has the command
    #[arg(long, value_name = "KEY")]
    channel: Option<String>,
    /// Every channel
    #[arg(long)]
    global: bool,
}

/// Who may use a command, and how often.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// everyone, subscriber, regular, vip, moderator, editor or owner
    #[arg(long, value_name = "LEVEL")]
    level: Option<Level>,
    /// Seconds between two uses in the channel
    #[arg(long, value_name = "SECS")]
    cooldown: Option<u32>,
    /// Seconds between two uses by one user
    #[arg(long, value_name = "SECS")]
    user_cooldown: Option<u32>,
}

pub(super) async fn run(client: &Client, command: CommandsCommand, json: bool) -> Result<(), Failure> {
    let (done, verb) = match command {
        CommandsCommand::List { place } => return list(client, &place, json).await,
        CommandsCommand::Add { name, response, place, options } => {
            let mut body = options.fields();
            body.insert("name".to_owned(), name.into());
            body.insert("response".to_owned(), response.join(" ").into());
            if let Some(channel) = place.channel {
                body.insert("channel".to_owned(), channel.into());
            }
            (client.post(&["commands"], &Value::Object(body)).await?, "added")
        }
        CommandsCommand::Edit { name, response, place, options, enabled } => {
            let mut body = options.fields();
            if !response.is_empty() {
                body.insert("response".to_owned(), response.join(" ").into());
            }
            body.extend(enabled.map(|enabled| ("enabled".to_owned(), json!(enabled))));
            if body.is_empty() {
                return Err(Failure::said("say what to change: a new text, --level, --cooldown, --enabled"));
            }
            let id = find(client, &place, &name).await?;
            (client.put(&["commands", &id], &Value::Object(body)).await?, "changed")
        }
        CommandsCommand::Remove { name, place } => {
            let id = find(client, &place, &name).await?;
            (client.delete(&["commands", &id]).await?, "removed")
        }
    };
    if json {
        print_json(&done);
    } else {
        say(format_args!("!{} {verb}", field(&done, "name")));
    }
    Ok(())
}

impl Options {
    fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.extend(self.level.map(|level| ("level".to_owned(), json!(level))));
        fields.extend(self.cooldown.map(|secs| ("cooldown_secs".to_owned(), json!(secs))));
        fields.extend(self.user_cooldown.map(|secs| ("user_cooldown_secs".to_owned(), json!(secs))));
        fields
    }
}

impl Place {
    fn query(&self) -> Vec<(&str, &str)> {
        self.channel.iter().map(|key| ("channel", key.as_str())).collect()
    }
}

async fn list(client: &Client, place: &Place, json: bool) -> Result<(), Failure> {
    let commands = client.list(&["commands"], &place.query()).await?;
    if json {
        print_json(&commands);
        return Ok(());
    }
    let columns = ["name", "level", "cooldown_secs", "enabled", "scope", "response"];
    let rows: Vec<Vec<String>> =
        commands.iter().map(|command| columns.map(|name| field(command, name)).to_vec()).collect();
    say_part(table(&["command", "level", "cooldown", "enabled", "scope", "answer"], &rows));
    Ok(())
}

/// The id of the command of that name. A global one is not changed by way of a channel.
async fn find(client: &Client, place: &Place, name: &str) -> Result<String, Failure> {
    let wanted = domain::names::valid_command_name(name).map_err(|error| Failure::said(error.to_string()))?;
    let commands = client.list(&["commands"], &place.query()).await?;
    let found = commands.iter().find(|command| command["name"] == *wanted);
    match found {
        Some(command) if command["scope"] == "global" && !place.global => {
            Err(Failure::said(format!("!{wanted} is a command of all channels; change it with --global")))
        }
        Some(command) => Ok(field(command, "id")),
        None => Err(Failure::said(format!(
            "there is no custom command !{wanted} there; see `waddlebot commands list`"
        ))),
    }
}
