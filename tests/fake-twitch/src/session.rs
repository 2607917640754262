//! What one client may do: login, JOIN, PRIVMSG and PING, each held to its limit.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::config::Account;
use crate::connection::Connection;
use crate::lines;
use crate::parse::ClientLine;
use crate::received::{Received, keep_pong};
use crate::world::{ANONYMOUS, LastSent, State, World};

const TEXT_CHARS_MAX: usize = 500;
const CAPABILITIES: [&str; 3] = ["twitch.tv/commands", "twitch.tv/membership", "twitch.tv/tags"];
const RATE_NOTICE: (&str, &str) =
    ("msg_ratelimit", "Your message was not sent because you are sending messages too quickly.");
const DUPLICATE_NOTICE: (&str, &str) = (
    "msg_duplicate",
    "Your message was not sent because it is identical to the previous one you sent, less than 30 seconds ago.",
);

/// Who is logged in on a connection.
struct User {
    login: String,
    anonymous: bool,
}

/// The protocol state of one connection.
pub(crate) struct Session {
    world: Arc<World>,
    connection: Arc<Connection>,
    /// `None`: PASS has not come.
    pass: Option<String>,
    /// `None`: not logged in.
    user: Option<User>,
    /// The login failed; the rest is ignored until the close.
    ended: bool,
}

/// A line that the bot wants shown.
struct Sent<'a> {
    user: &'a User,
    channel_login: &'a str,
    text: &'a str,
    /// `None`: a plain line.
    reply_parent: Option<&'a str>,
    moderator: bool,
    at: Instant,
}

/// Why a line of the bot is not shown.
enum Refusal {
    Anonymous,
    NotJoined,
    TooLong,
    ChatCommand,
    OverLimit,
    OverInterval,
    Duplicate,
}

impl Session {
    pub(crate) fn new(world: Arc<World>, connection: Arc<Connection>) -> Self {
        Self { world, connection, pass: None, user: None, ended: false }
    }

    /// Handles one line, with or without its line end.
    pub(crate) fn on_line(&mut self, line: &[u8]) {
        let line = line.trim_ascii_end();
        if self.ended || line.is_empty() || self.connection.is_silent() {
            return;
        }
        let parsed = std::str::from_utf8(line).ok().and_then(ClientLine::parse);
        let Some(line) = parsed else {
            self.world.state().counters.malformed += 1;
            return;
        };
        match upper_case(line.command).as_ref() {
            "PRIVMSG" => self.on_privmsg(&line),
            "CAP" => self.on_cap(&line),
            "PASS" => self.pass = Some(line.argument().to_owned()),
            "NICK" => self.on_nick(line.argument()),
            "PING" => self.on_ping(&line),
            "PONG" => self.on_pong(line.argument()),
            "JOIN" => self.on_join(line.argument()),
            "PART" => self.on_part(line.argument()),
            "USER" => {}
            "QUIT" => self.connection.close_after_flush(),
            unknown => self.on_unknown(unknown),
        }
    }

    fn on_cap(&self, line: &ClientLine<'_>) {
        let sub_command = line.params.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let answer = match sub_command.as_str() {
            "LS" => format!(":tmi.twitch.tv CAP * LS :{}\r\n", CAPABILITIES.join(" ")),
            "REQ" => self.on_cap_request(line),
            _ => return,
        };
        self.connection.push(answer.as_bytes());
    }

    fn on_cap_request(&self, line: &ClientLine<'_>) -> String {
        let wanted =
            line.trailing.or_else(|| line.params.split_once(' ').map(|(_, names)| names)).unwrap_or_default();
        let known = wanted.split_whitespace().all(|name| CAPABILITIES.contains(&name));
        if known && wanted.contains("twitch.tv/tags") {
            self.connection.capabilities.tags.store(true, Relaxed);
        }
        if known && wanted.contains("twitch.tv/commands") {
            self.connection.capabilities.commands.store(true, Relaxed);
        }
        format!(":tmi.twitch.tv CAP * {} :{wanted}\r\n", if known { "ACK" } else { "NAK" })
    }

    fn on_nick(&mut self, nick: &str) {
        if self.user.is_some() {
            return;
        }
        let nick = nick.to_lowercase();
        let anonymous = nick
            .strip_prefix(ANONYMOUS)
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
        let mut state = self.world.state();
        let limited = if anonymous { ANONYMOUS } else { nick.as_str() };
        if !state.limits_of(limited, &self.world.config).auths.take(Instant::now()) {
            state.counters.auths_over += 1;
            drop(state);
            return self.fail("Error logging in");
        }
        let account = if anonymous { Ok(None) } else { find_account(&state, self.pass.as_deref()).map(Some) };
        match account {
            Ok(account) => {
                let login = account.as_ref().map_or(nick, |account| account.login.clone());
                state.counters.logins += 1;
                if let Some(entry) = state.log_entry(self.connection.id) {
                    entry.login = Some((login.clone(), Instant::now()));
                }
                drop(state);
                self.welcome(login, account.as_ref());
            }
            Err(reason) => {
                state.counters.login_failures += 1;
                drop(state);
                self.fail(reason);
            }
        }
    }

    fn welcome(&mut self, login: String, account: Option<&Account>) {
        self.connection.push(lines::welcome(&login).as_bytes());
        if let Some(account) = account {
            self.connection.push_command(&lines::global_user_state(&login, &account.user_id));
        }
        self.connection.mark_logged_in();
        self.user = Some(User { login, anonymous: account.is_none() });
    }

    fn fail(&mut self, reason: &str) {
        self.ended = true;
        self.connection.push(format!(":tmi.twitch.tv NOTICE * :{reason}\r\n").as_bytes());
        self.connection.close_after_flush();
    }

    fn on_ping(&self, line: &ClientLine<'_>) {
        self.world.state().counters.pings += 1;
        self.connection
            .push(format!(":tmi.twitch.tv PONG tmi.twitch.tv :{}\r\n", line.argument()).as_bytes());
    }

    fn on_pong(&self, payload: &str) {
        let mut state = self.world.state();
        state.counters.pongs += 1;
        keep_pong(&mut state.pongs, payload);
    }

    fn on_join(&self, names: &str) {
        let Some(user) = &self.user else { return self.on_unknown("JOIN") };
        let limited = if user.anonymous { ANONYMOUS } else { user.login.as_str() };
        for name in names.split(',').filter_map(|name| name.strip_prefix('#')).filter(|name| !name.is_empty())
        {
            let mut state = self.world.state();
            if !state.limits_of(limited, &self.world.config).joins.take(Instant::now()) {
                state.counters.joins_over += 1;
                continue;
            }
            state.counters.joins += 1;
            let moderator = state.is_moderator(&user.login, name);
            let channel = state.channel(name);
            if !channel.joined.iter().any(|joined| joined.id == self.connection.id) {
                channel.joined.push(Arc::clone(&self.connection));
            }
            self.connection.push(lines::joined(&user.login, name).as_bytes());
            if !user.anonymous {
                self.connection.push_command(&lines::user_state(&user.login, name, moderator, None));
            }
            self.connection.push_command(&lines::room_state(name, &channel.room_id));
        }
    }

    fn on_part(&self, names: &str) {
        let Some(user) = &self.user else { return self.on_unknown("PART") };
        let login = user.login.as_str();
        for name in names.split(',').filter_map(|name| name.strip_prefix('#')) {
            let mut state = self.world.state();
            let Some(channel) = state.channels.get_mut(name) else { continue };
            let before = channel.joined.len();
            channel.joined.retain(|joined| joined.id != self.connection.id);
            if channel.joined.len() < before {
                state.counters.parts += 1;
                drop(state);
                let echo = format!(":{login}!{login}@{login}.tmi.twitch.tv PART #{name}\r\n");
                self.connection.push(echo.as_bytes());
            }
        }
    }

    fn on_privmsg(&self, line: &ClientLine<'_>) {
        let Some(user) = &self.user else { return self.on_unknown("PRIVMSG") };
        let (Some(channel_login), Some(text)) = (line.params.strip_prefix('#'), line.trailing) else {
            self.world.state().counters.malformed += 1;
            return;
        };
        // Twitch shows `. text` as `text`: clients write it so that no text becomes a chat command.
        let text = text.strip_prefix(". ").unwrap_or(text);
        let at = Instant::now();
        let mut state = self.world.state();
        let moderator = state.is_moderator(&user.login, channel_login);
        let reply_parent = line.tag("reply-parent-msg-id");
        let sent = Sent { user, channel_login, text, reply_parent, moderator, at };
        match self.refusal(&mut state, &sent) {
            Some(refusal) => self.refuse(&mut state, &refusal, channel_login),
            None => self.accept(&mut state, &sent),
        }
    }

    fn refusal(&self, state: &mut State, sent: &Sent<'_>) -> Option<Refusal> {
        if sent.user.anonymous {
            return Some(Refusal::Anonymous);
        }
        let joined = state.channels.get(sent.channel_login).is_some_and(|channel| !channel.joined.is_empty());
        if !joined {
            return Some(Refusal::NotJoined);
        }
        // There are never more characters than bytes.
        if sent.text.len() > TEXT_CHARS_MAX && sent.text.chars().count() > TEXT_CHARS_MAX {
            return Some(Refusal::TooLong);
        }
        if is_chat_command(sent.text) {
            return Some(Refusal::ChatCommand);
        }
        let config = &self.world.config;
        if config.limits_sends()
            && !state.limits_of(&sent.user.login, config).send_has_room(sent.moderator, sent.at)
        {
            return Some(Refusal::OverLimit);
        }
        let last = state.channel(sent.channel_login).last_sent.get(&sent.user.login)?;
        if sent.moderator {
            return None;
        }
        let elapsed = sent.at.duration_since(last.at);
        if config.channel_interval.is_some_and(|interval| elapsed < interval.saturating_sub(config.tolerance))
        {
            return Some(Refusal::OverInterval);
        }
        let window = config.duplicate_window.saturating_sub(config.tolerance);
        (last.text == sent.text && elapsed < window).then_some(Refusal::Duplicate)
    }

    fn refuse(&self, state: &mut State, refusal: &Refusal, channel_login: &str) {
        let counters = &mut state.counters;
        let (counter, notice) = match refusal {
            Refusal::Anonymous => (&mut counters.sends_anonymous, None),
            Refusal::NotJoined => (&mut counters.sends_not_joined, None),
            Refusal::TooLong => (&mut counters.too_long, None),
            Refusal::ChatCommand => (
                &mut counters.chat_commands,
                Some(("unavailable_command", "Sorry, that command is unavailable through this client.")),
            ),
            Refusal::OverLimit => (&mut counters.sends_over_limit, Some(RATE_NOTICE)),
            Refusal::OverInterval => (&mut counters.sends_over_interval, Some(RATE_NOTICE)),
            Refusal::Duplicate => (&mut counters.duplicates, Some(DUPLICATE_NOTICE)),
        };
        *counter += 1;
        if let Some((msg_id, text)) = notice {
            self.connection.push_command(&lines::notice(channel_login, msg_id, text));
        }
    }

    fn accept(&self, state: &mut State, sent: &Sent<'_>) {
        let login = sent.user.login.as_str();
        let config = &self.world.config;
        if config.limits_sends() {
            state.limits_of(login, config).record_send(sent.moderator, sent.at);
        }
        state.counters.sends += 1;
        if config.compares_sends() {
            let last = LastSent { at: sent.at, text: sent.text.to_owned() };
            state.channel(sent.channel_login).last_sent.insert(login.to_owned(), last);
        }
        let id = self.world.next_message_id(state);
        state.received.push(|seq| Received {
            seq,
            channel_login: sent.channel_login.to_owned(),
            login: login.to_owned(),
            text: sent.text.to_owned(),
            reply_parent: sent.reply_parent.map(str::to_owned),
            at: sent.at,
            connection: self.connection.id,
        });
        self.connection.push_command(&lines::user_state(
            login,
            sent.channel_login,
            sent.moderator,
            Some(&id),
        ));
    }

    fn on_unknown(&self, command: &str) {
        self.world.state().counters.unknown_commands += 1;
        let login = self.user.as_ref().map_or("you", |user| user.login.as_str());
        self.connection.push(format!(":tmi.twitch.tv 421 {login} {command} :Unknown command\r\n").as_bytes());
    }
}

/// Twitch takes commands in any case; nearly all come in upper case.
fn upper_case(command: &str) -> Cow<'_, str> {
    if command.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Cow::Owned(command.to_ascii_uppercase());
    }
    Cow::Borrowed(command)
}

/// The account that the PASS belongs to; like Twitch, the token decides and not the NICK.
fn find_account(state: &State, pass: Option<&str>) -> Result<Account, &'static str> {
    let token = pass.and_then(|pass| pass.strip_prefix("oauth:")).ok_or("Improperly formatted auth")?;
    let found = state.accounts.iter().find(|account| account.token == token);
    found.cloned().ok_or("Login authentication failed")
}

fn is_chat_command(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['/', '.']) else { return false };
    let word = rest.split(' ').next().unwrap_or_default();
    word.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic()) && word != "me"
}
