//! Lines that are no chat: logins, joins, room and user state, notices.

use std::sync::Arc;
use std::time::Duration;

use domain::Level;
use twitch_irc::message::{ClearChatAction, IRCMessage, ServerMessage};

use super::{Intake, messages_total};
use crate::messages::{EventClass, EventRecord, What};
use crate::platforms::twitch::notices::{self, Meaning};
use crate::platforms::twitch::tags::{self, Tags};
use crate::platforms::twitch::translate::{self, FromElsewhere};

/// A ban of the bot without an end is looked at again after this time.
const BAN_PAUSE: Duration = Duration::from_mins(10);

impl Intake {
    /// Handles one line that is neither chat nor PING; what nobody needs is handled by doing nothing.
    pub(super) fn control(&mut self, command: &str, line: &str) {
        match command {
            "001" => self.welcome(line),
            "USERNOTICE" => return self.user_notice(line),
            "USERSTATE" => return self.user_state(line),
            "RECONNECT" => self.news.wants_reconnect = true,
            "JOIN" | "PART" | "ROOMSTATE" | "NOTICE" | "CLEARCHAT" => {
                let parsed = IRCMessage::parse(line).ok().map(ServerMessage::try_from);
                let Some(Ok(message)) = parsed else { return self.meters.malformed.increment(1) };
                self.server_message(message);
            }
            _ => {}
        }
        self.tally.handled += 1;
    }

    /// `:tmi.twitch.tv 001 <login> :Welcome, GLHF!` — the login that the token belongs to, whatever NICK said.
    fn welcome(&mut self, line: &str) {
        if let Some(login) = line.split(' ').nth(2) {
            login.clone_into(&mut self.own_login);
            self.news.logged_in_as = Some(login.to_owned());
        }
    }

    /// What the bot is in a channel. Comes after each line that it says, so it is read without making a message of it:
    /// `@badges=moderator/1;…;mod=1 :tmi.twitch.tv USERSTATE #channel`
    fn user_state(&mut self, line: &str) {
        let Some((tags, rest)) = line.strip_prefix('@').and_then(|line| line.split_once(' ')) else {
            return self.meters.malformed.increment(1);
        };
        let login = rest.rsplit_once('#').map_or("", |(_, login)| login.trim_end());
        let tags = Tags(tags);
        let level = tags::level(tags.get("badges").unwrap_or_default());
        let is_moderator = tags.get("mod") == Some("1") || level >= Level::Vip;
        if let Some(index) = self.index(login) {
            self.entries[index].handle.sender.set_moderator(is_moderator);
        }
        self.tally.handled += 1;
    }

    fn server_message(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Join(join) if join.user_login == self.own_login => {
                self.joined(&join.channel_login);
            }
            ServerMessage::Part(part) if part.user_login == self.own_login => {
                self.remove(&part.channel_login);
            }
            ServerMessage::RoomState(room) => {
                self.joined(&room.channel_login);
                self.learn(&room.channel_login, &room.channel_id);
                if let (Some(slow), Some(index)) = (room.slow_mode, self.index(&room.channel_login)) {
                    self.entries[index].handle.sender.set_slow(slow);
                }
            }
            ServerMessage::ClearChat(clear) => self.clear_chat(&clear.channel_login, &clear.action),
            ServerMessage::Notice(notice) => {
                let meaning = notices::meaning(notice.message_id.as_deref(), &notice.message_text);
                self.notice(notice.channel_login.as_deref(), meaning);
            }
            _ => {}
        }
    }

    fn joined(&mut self, login: &str) {
        let Some(index) = self.index(login) else { return };
        let entry = &mut self.entries[index];
        if !std::mem::replace(&mut entry.is_joined, true) {
            entry.handle.sender.set_route(Some(Arc::clone(&self.outlet)));
            self.news.joined.push(Arc::clone(&entry.handle.slot));
        }
    }

    fn learn(&mut self, login: &str, platform_id: &str) {
        let is_id = !platform_id.is_empty()
            && platform_id.len() <= 32
            && platform_id.bytes().all(|b| b.is_ascii_digit());
        let Some(index) = self.index(login).filter(|_| is_id) else { return };
        let slot = &self.entries[index].handle.slot;
        if slot.platform_id().is_none_or(|known| *known != platform_id) {
            self.news.learned.push((Arc::clone(slot), platform_id.to_owned()));
        }
    }

    fn clear_chat(&self, login: &str, action: &ClearChatAction) {
        let (user, pause) = match action {
            ClearChatAction::ChatCleared => return,
            ClearChatAction::UserBanned { user_login, .. } => (user_login, BAN_PAUSE),
            ClearChatAction::UserTimedOut { user_login, timeout_length, .. } => (user_login, *timeout_length),
        };
        if *user == self.own_login {
            self.hold(login, "msg_timedout", pause);
        }
    }

    fn notice(&mut self, login: Option<&str>, meaning: Meaning) {
        match (meaning, login) {
            (Meaning::LoginFailed, _) => self.news.login_failed = true,
            (Meaning::Hold { reason, pause }, Some(login)) => {
                count_refused(reason);
                self.hold(login, reason, pause);
            }
            (Meaning::NotShown { reason }, Some(login)) => {
                count_refused(reason);
                self.hold(login, reason, Duration::ZERO);
            }
            (Meaning::NotJoined { reason, pause }, Some(login)) => {
                count_refused(reason);
                self.hold(login, reason, pause);
                if let Some(index) = self.index(login).filter(|index| !self.entries[*index].is_joined) {
                    self.news.refused.push((Arc::clone(&self.entries[index].handle.slot), reason, pause));
                }
            }
            _ => {}
        }
    }

    fn hold(&self, login: &str, reason: &'static str, pause: Duration) {
        let Some(index) = self.index(login) else { return };
        let held = What::Held { reason: reason.into() };
        let channel_id = self.entries[index].handle.slot.id;
        self.directory.recorder().note(EventRecord::about(Some(channel_id), held));
        if self.entries[index].handle.sender.hold(pause, reason, self.received) {
            let pause_secs = pause.as_secs();
            tracing::warn!(
                channel.login = login,
                reason,
                pause_secs,
                "Twitch refuses what the bot says in this channel: {}",
                notices::advice(reason)
            );
        }
    }

    /// Subscriptions, gifts and raids; what else stands there is nobody's.
    fn user_notice(&mut self, line: &str) {
        let Some((tags, rest)) = line.strip_prefix('@').and_then(|line| line.split_once(' ')) else {
            return self.meters.malformed.increment(1);
        };
        let tags = Tags(tags);
        let params = rest.split_once("USERNOTICE #").map_or("", |(_, params)| params);
        let (login, text) = params.split_once(" :").unwrap_or((params.trim_end(), ""));
        let kind = tags.get("msg-id").and_then(translate::notice_kind);
        let (Some(index), Some(kind)) = (self.index(login), kind) else {
            self.tally.handled += 1;
            return;
        };
        let occasion = self.occasion(index);
        match translate::notice_event(tags, text, kind, occasion) {
            Ok(event) => {
                messages_total(kind).increment(1);
                self.route(index, event, EventClass::Command);
            }
            Err(FromElsewhere) => self.meters.from_elsewhere.increment(1),
        }
    }
}

fn count_refused(reason: &'static str) {
    metrics::counter!("waddlebot_replies_dropped_total", "platform" => "twitch", "reason" => reason)
        .increment(1);
}
