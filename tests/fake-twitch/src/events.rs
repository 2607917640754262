//! What the fake says to those who joined: chat, notices, moderation, raids and subscriptions.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::config::Chatter;
use crate::connection::Connection;
use crate::lines;
use crate::server::FakeTwitch;
use crate::world::State;

/// A chat line to be said.
#[derive(Clone, Debug)]
pub struct Line {
    pub channel_login: String,
    pub chatter: Chatter,
    pub text: String,
    /// `None`: a new one; set it to say the same line twice.
    pub id: Option<String>,
    /// Milliseconds of the Unix epoch in `tmi-sent-ts`; `None`: now.
    pub sent_ms: Option<u64>,
    /// The room it was said in, for shared chat; `None`: no such tag.
    pub source_room_id: Option<String>,
    /// The line it replies to; `None`: a plain line.
    pub reply_parent: Option<ReplyParent>,
}

/// The line that a reply answers.
#[derive(Clone, Debug)]
pub struct ReplyParent {
    pub id: String,
    pub chatter: Chatter,
    pub text: String,
}

impl Line {
    /// Makes a plain line.
    pub fn new(channel_login: &str, chatter: Chatter, text: &str) -> Self {
        Self {
            channel_login: channel_login.to_owned(),
            chatter,
            text: text.to_owned(),
            id: None,
            sent_ms: None,
            source_room_id: None,
            reply_parent: None,
        }
    }
}

/// A USERNOTICE to be sent.
#[derive(Clone, Debug)]
pub struct UserNotice {
    pub channel_login: String,
    pub chatter: Chatter,
    /// Its kind, e.g. `raid`, `sub`, `subgift`.
    pub msg_id: String,
    /// The `msg-param-…` tags as on the wire, each ended by a semicolon.
    pub params: String,
    pub system_msg: String,
    /// Empty: the chatter added nothing.
    pub text: String,
    /// The room it came from, for shared chat; `None`: no such tag.
    pub source_room_id: Option<String>,
}

impl UserNotice {
    /// Makes an empty one, to be filled in.
    pub fn new(channel_login: &str, chatter: Chatter) -> Self {
        Self {
            channel_login: channel_login.to_owned(),
            chatter,
            msg_id: String::new(),
            params: String::new(),
            system_msg: String::new(),
            text: String::new(),
            source_room_id: None,
        }
    }
}

/// What became of a line that was said.
#[derive(Clone, Debug)]
pub struct Said {
    pub id: String,
    /// The connections it was handed to; empty: nobody had joined.
    pub connections: Vec<u64>,
    pub at: Instant,
}

impl FakeTwitch {
    /// Says a line in a channel and returns its message id.
    pub fn say(&self, channel_login: &str, chatter: &Chatter, text: &str) -> String {
        self.say_line(&Line::new(channel_login, chatter.clone(), text)).id
    }

    /// Says a line and tells which connections it was handed to.
    pub fn say_line(&self, line: &Line) -> Said {
        let mut state = self.world().state();
        let id = line.id.clone().unwrap_or_else(|| self.world().next_message_id(&mut state));
        let sent_ms = line.sent_ms.unwrap_or_else(now_ms).to_string();
        let mut bytes = std::mem::take(&mut state.scratch);
        bytes.clear();
        let room_id = Arc::clone(&state.channel(&line.channel_login).room_id);
        lines::privmsg(&mut bytes, line, &id, &room_id, &sent_ms);
        let connections = deliver(&mut state, &line.channel_login, &bytes);
        state.scratch = bytes;
        Said { id, connections, at: Instant::now() }
    }

    /// Renders a line as `say_line` would send it, CR LF included, without sending it.
    pub fn render(&self, line: &Line) -> Vec<u8> {
        let mut state = self.world().state();
        let id = line.id.clone().unwrap_or_else(|| self.world().next_message_id(&mut state));
        let room_id = Arc::clone(&state.channel(&line.channel_login).room_id);
        let mut bytes = Vec::with_capacity(512);
        lines::privmsg(&mut bytes, line, &id, &room_id, &line.sent_ms.unwrap_or_else(now_ms).to_string());
        bytes
    }

    /// Sends bytes as they stand, line end included, to those who joined the channel; returns to how many.
    pub fn say_raw(&self, channel_login: &str, bytes: &[u8]) -> usize {
        deliver(&mut self.world().state(), channel_login, bytes).len()
    }

    /// Sends bytes as they stand, line end included, to every connection; returns to how many.
    pub fn raw_to_all(&self, bytes: &[u8]) -> usize {
        let connections: Vec<_> = self.world().state().connections.values().map(Arc::clone).collect();
        connections.iter().filter(|connection| connection.push_tagged(bytes)).count()
    }

    /// Sends a NOTICE with one of Twitch's ids, e.g. `msg_banned`, to those who joined.
    pub fn notice(&self, channel_login: &str, msg_id: &str, text: &str) {
        self.command(channel_login, |_| lines::notice(channel_login, msg_id, text).into_bytes());
    }

    /// Clears what a user said, or with `None` the whole chat; `ban_secs` `None`: for ever.
    pub fn clear_chat(&self, channel_login: &str, target: Option<&Chatter>, ban_secs: Option<u32>) {
        self.command(channel_login, |room_id| {
            let duration = ban_secs.map(|secs| format!("ban-duration={secs};")).unwrap_or_default();
            let now = now_ms();
            let (tag, login) = target.map_or_else(Default::default, |target| {
                (format!("target-user-id={};", target.user_id), format!(" :{}", target.login))
            });
            format!("@{duration}room-id={room_id};{tag}tmi-sent-ts={now} :tmi.twitch.tv CLEARCHAT #{channel_login}{login}\r\n")
                .into_bytes()
        });
    }

    /// Deletes one line.
    pub fn clear_msg(&self, channel_login: &str, msg_id: &str, login: &str, text: &str) {
        self.command(channel_login, |_| {
            let now = now_ms();
            format!(
                "@login={login};room-id=;target-msg-id={msg_id};tmi-sent-ts={now} \
                 :tmi.twitch.tv CLEARMSG #{channel_login} :{text}\r\n"
            )
            .into_bytes()
        });
    }

    /// Announces a raid of `n_viewers` and returns its id.
    pub fn raid(&self, channel_login: &str, raider: &Chatter, n_viewers: u32) -> String {
        let name = lines::escape_tag(&raider.display_name);
        let login = &raider.login;
        self.user_notice(&UserNotice {
            msg_id: "raid".to_owned(),
            params: format!(
                "msg-param-displayName={name};msg-param-login={login};msg-param-profileImageURL=;\
                 msg-param-viewerCount={n_viewers};"
            ),
            system_msg: format!("{n_viewers} raiders from {} have joined!", raider.display_name),
            ..UserNotice::new(channel_login, raider.clone())
        })
    }

    /// Announces a subscription (`n_months` 1) or its renewal with a text, and returns its id.
    pub fn subscription(
        &self,
        channel_login: &str,
        subscriber: &Chatter,
        n_months: u32,
        text: &str,
    ) -> String {
        self.user_notice(&UserNotice {
            msg_id: if n_months > 1 { "resub" } else { "sub" }.to_owned(),
            params: format!(
                "msg-param-cumulative-months={n_months};msg-param-months=0;msg-param-should-share-streak=0;\
                 msg-param-sub-plan-name=Channel\\sSubscription;msg-param-sub-plan=1000;"
            ),
            system_msg: format!("{} subscribed at Tier 1.", subscriber.display_name),
            text: text.to_owned(),
            ..UserNotice::new(channel_login, subscriber.clone())
        })
    }

    /// Sends any USERNOTICE and returns its id.
    pub fn user_notice(&self, notice: &UserNotice) -> String {
        let id = self.world().next_message_id(&mut self.world().state());
        self.command(&notice.channel_login, |room_id| {
            let mut bytes = Vec::with_capacity(1024);
            lines::user_notice(&mut bytes, notice, &id, room_id, &now_ms().to_string());
            bytes
        });
        id
    }

    /// Delivers a line of the kinds that need the commands capability.
    fn command(&self, channel_login: &str, render: impl FnOnce(&str) -> Vec<u8>) {
        let mut state = self.world().state();
        let channel = state.channel(channel_login);
        let bytes = render(&channel.room_id);
        for connection in &channel.joined {
            connection.push_command(&String::from_utf8_lossy(&bytes));
        }
    }
}

fn deliver(state: &mut State, channel_login: &str, bytes: &[u8]) -> Vec<u64> {
    let channel = state.channel(channel_login);
    let n_joined = channel.joined.len();
    let taken = |connection: &&Arc<Connection>| connection.push_tagged(bytes);
    let connections: Vec<u64> = channel.joined.iter().filter(taken).map(|connection| connection.id).collect();
    state.counters.lines_out += connections.len() as u64;
    state.counters.lines_dropped += (n_joined - connections.len()) as u64;
    state.counters.undelivered += u64::from(n_joined == 0);
    connections
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
