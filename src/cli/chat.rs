//! `waddlebot chat`: a conversation with the bot in a channel, line by line.

use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};

use super::client::Client;
use super::output::{Failure, say, tell, visible};

/// Longest line, in bytes; the rest is dropped.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Who talks where.
#[derive(Debug, Args)]
pub struct ChatArgs {
    /// The channel
    #[arg(long, value_name = "KEY", default_value = "console:local")]
    channel: String,
    /// Who you are; a line `@name text` is said by a viewer of that name
    #[arg(long = "as", value_name = "NAME", default_value = "you")]
    name: String,
    /// Your level: everyone, subscriber, regular, vip, moderator, editor or owner
    #[arg(long, value_name = "LEVEL", default_value = "owner")]
    level: domain::Level,
}

/// Reads lines until the input ends; with `json` each answer is one line.
pub(super) async fn talk(client: &Client, args: ChatArgs, json: bool) -> Result<(), Failure> {
    let status = client.get(&["status"], &[]).await?;
    let node = status["node"].as_str().unwrap_or("?");
    tell(format_args!(
        "In {} on node {node}. Type !ping; @ann !ping says it as ann; Ctrl-D ends.",
        args.channel
    ));
    let mut input = BufReader::new(tokio::io::stdin());
    while let Some(line) = next_line(&mut input).await.map_err(|error| Failure::said(error.to_string()))? {
        let Some(event) = event_of(&args, &line)? else { continue };
        match client.post(&["router", "events"], &event).await {
            Ok(handled) if json => say(handled),
            Ok(handled) => print_replies(&handled),
            Err(Failure::Said(words)) if json => say(json!({ "error": words })),
            Err(Failure::Said(words)) => tell(format_args!("({})", visible(&words))),
            Err(Failure::Printed) => {}
        }
    }
    Ok(())
}

/// The next line, cut to its limit; `None` at the end of the input.
async fn next_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let chunk = input.fill_buf().await?;
        if chunk.is_empty() {
            return Ok((!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned()));
        }
        let end = memchr::memchr(b'\n', chunk);
        let n_read = end.map_or(chunk.len(), |end| end + 1);
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        line.extend_from_slice(&chunk[..end.unwrap_or(chunk.len()).min(room)]);
        input.consume(n_read);
        if end.is_some() {
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
        }
    }
}

/// The router event of a line; `None` for an empty one.
fn event_of(args: &ChatArgs, line: &str) -> Result<Option<Value>, Failure> {
    let line = line.trim();
    let as_other = line.strip_prefix('@').and_then(|rest| rest.split_once(char::is_whitespace));
    let (name, level, message) = match as_other {
        Some((name, message)) if !name.is_empty() => (name, domain::Level::Everyone, message.trim()),
        _ => (args.name.as_str(), args.level, line),
    };
    if message.is_empty() {
        return Ok(None);
    }
    let (platform, channel_id) = args
        .channel
        .split_once(':')
        .ok_or_else(|| Failure::said("--channel must be platform:login, for example console:local"))?;
    Ok(Some(json!({
        "platform": platform,
        "channel_id": channel_id,
        "user_id": format!("chat-{}", name.to_lowercase()),
        "username": name,
        "message": message,
        "message_type": "chatMessage",
        "metadata": { "level": level },
    })))
}

fn print_replies(handled: &Value) {
    if let Some(response) = handled["response"].as_str() {
        for line in response.lines() {
            say(format_args!("bot: {}", visible(line)));
        }
    } else if handled["success"] == Value::Bool(false) {
        tell(format_args!("({})", visible(handled["status"].as_str().unwrap_or("nothing happened"))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> ChatArgs {
        ChatArgs { channel: "console:local".into(), name: "you".into(), level: domain::Level::Owner }
    }

    #[test]
    fn a_line_is_said_by_you_or_by_who_is_named() {
        let event = event_of(&args(), " !ping \r").unwrap().unwrap();
        assert_eq!((event["username"].as_str(), event["message"].as_str()), (Some("you"), Some("!ping")));
        assert_eq!(event["metadata"]["level"], "owner");
        let event = event_of(&args(), "@Ann !hi there").unwrap().unwrap();
        assert_eq!((event["username"].as_str(), event["message"].as_str()), (Some("Ann"), Some("!hi there")));
        assert_eq!(event["metadata"]["level"], "everyone");
        assert_eq!(event_of(&args(), "   ").unwrap(), None);
    }

    #[tokio::test]
    async fn an_endless_line_is_cut() {
        let mut input =
            BufReader::new(std::io::Cursor::new([vec![b'x'; 100_000], b"\nnext".to_vec()].concat()));
        assert_eq!(next_line(&mut input).await.unwrap().unwrap().len(), LINE_BYTES_MAX);
        assert_eq!(next_line(&mut input).await.unwrap().as_deref(), Some("next"));
        assert_eq!(next_line(&mut input).await.unwrap(), None);
    }
}
