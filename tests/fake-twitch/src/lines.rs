//! The lines that Twitch sends, rendered as bytes with CR LF.

use std::borrow::Cow;

use crate::config::Chatter;
use crate::events::{Line, UserNotice};

/// Replaces what tag values may not hold.
pub(crate) fn escape_tag(value: &str) -> Cow<'_, str> {
    if !value.contains([';', ' ', '\\', '\r', '\n']) {
        return Cow::Borrowed(value);
    }
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            ';' => escaped.push_str("\\:"),
            ' ' => escaped.push_str("\\s"),
            '\\' => escaped.push_str("\\\\"),
            '\r' => escaped.push_str("\\r"),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

fn flag(badges: &str, name: &str) -> &'static str {
    let held = badges.split(',').any(|badge| badge.split('/').next() == Some(name));
    if held { "1" } else { "0" }
}

fn moderator_flag(badges: &str) -> &'static str {
    flag(badges, "moderator")
}

fn user_type(badges: &str) -> &'static str {
    if moderator_flag(badges) == "1" { "mod" } else { "" }
}

/// Tags that describe the chatter, shared by PRIVMSG and USERNOTICE, up to and without `flags`.
fn put_chatter(out: &mut Vec<u8>, chatter: &Chatter) {
    let months = chatter.badges.split(',').find_map(|badge| badge.strip_prefix("subscriber/"));
    if let Some(months) = months {
        put(out, &["badge-info=subscriber/", months, ";"]);
    } else {
        put(out, &["badge-info=;"]);
    }
    put(
        out,
        &["badges=", &chatter.badges, ";color=#19E6E6;display-name=", &escape_tag(&chatter.display_name)],
    );
    put(out, &[";emotes=;"]);
}

/// Appends a PRIVMSG with all its tags (about 440 bytes with a usual text).
pub(crate) fn privmsg(out: &mut Vec<u8>, line: &Line, id: &str, room_id: &str, sent_ms: &str) {
    let chatter = &line.chatter;
    let badges = chatter.badges.as_str();
    out.push(b'@');
    put_chatter(out, chatter);
    put(out, &["first-msg=0;flags=;id=", id, ";mod=", moderator_flag(badges)]);
    if let Some(parent) = &line.reply_parent {
        let (name, body) = (escape_tag(&parent.chatter.display_name), escape_tag(&parent.text));
        put(out, &[";reply-parent-display-name=", &name, ";reply-parent-msg-body=", &body]);
        put(out, &[";reply-parent-msg-id=", &parent.id, ";reply-parent-user-id=", &parent.chatter.user_id]);
        put(out, &[";reply-parent-user-login=", &parent.chatter.login]);
    }
    put(out, &[";returning-chatter=0;room-id=", room_id]);
    if let Some(source) = &line.source_room_id {
        put(
            out,
            &[";source-badge-info=;source-badges=", badges, ";source-id=", id, ";source-room-id=", source],
        );
    }
    put(out, &[";subscriber=", flag(badges, "subscriber"), ";tmi-sent-ts=", sent_ms, ";turbo=0;user-id="]);
    put(
        out,
        &[
            &chatter.user_id,
            ";user-type=",
            user_type(badges),
            if flag(badges, "vip") == "1" { ";vip=1" } else { "" },
        ],
    );
    let login = chatter.login.as_str();
    put(
        out,
        &[
            " :",
            login,
            "!",
            login,
            "@",
            login,
            ".tmi.twitch.tv PRIVMSG #",
            &line.channel_login,
            " :",
            &line.text,
            "\r\n",
        ],
    );
}

/// Appends a USERNOTICE: its parameters stand as they are.
pub(crate) fn user_notice(out: &mut Vec<u8>, notice: &UserNotice, id: &str, room_id: &str, sent_ms: &str) {
    let chatter = &notice.chatter;
    out.push(b'@');
    put_chatter(out, chatter);
    put(out, &["flags=;id=", id, ";login=", &chatter.login, ";mod=", moderator_flag(&chatter.badges)]);
    put(out, &[";msg-id=", &notice.msg_id, ";", &notice.params, "room-id=", room_id]);
    if let Some(source) = &notice.source_room_id {
        put(out, &[";source-room-id=", source]);
    }
    put(
        out,
        &[
            ";subscriber=",
            flag(&chatter.badges, "subscriber"),
            ";system-msg=",
            &escape_tag(&notice.system_msg),
        ],
    );
    put(out, &[";tmi-sent-ts=", sent_ms, ";user-id=", &chatter.user_id, ";user-type="]);
    put(out, &[" :tmi.twitch.tv USERNOTICE #", &notice.channel_login]);
    if !notice.text.is_empty() {
        put(out, &[" :", &notice.text]);
    }
    put(out, &["\r\n"]);
}

/// The numerics after a good login.
pub(crate) fn welcome(login: &str) -> String {
    format!(
        ":tmi.twitch.tv 001 {login} :Welcome, GLHF!\r\n\
         :tmi.twitch.tv 002 {login} :Your host is tmi.twitch.tv\r\n\
         :tmi.twitch.tv 003 {login} :This server is rather new\r\n\
         :tmi.twitch.tv 004 {login} :-\r\n\
         :tmi.twitch.tv 375 {login} :-\r\n\
         :tmi.twitch.tv 372 {login} :You are in a maze of twisty passages, all alike.\r\n\
         :tmi.twitch.tv 376 {login} :>\r\n"
    )
}

pub(crate) fn global_user_state(login: &str, user_id: &str) -> String {
    format!(
        "@badge-info=;badges=;color=;display-name={login};emote-sets=0;user-id={user_id};user-type= \
         :tmi.twitch.tv GLOBALUSERSTATE\r\n"
    )
}

pub(crate) fn joined(login: &str, channel_login: &str) -> String {
    format!(
        ":{login}!{login}@{login}.tmi.twitch.tv JOIN #{channel_login}\r\n\
         :{login}.tmi.twitch.tv 353 {login} = #{channel_login} :{login}\r\n\
         :{login}.tmi.twitch.tv 366 {login} #{channel_login} :End of /NAMES list\r\n"
    )
}

pub(crate) fn room_state(channel_login: &str, room_id: &str) -> String {
    format!(
        "@emote-only=0;followers-only=-1;r9k=0;room-id={room_id};slow=0;subs-only=0 \
         :tmi.twitch.tv ROOMSTATE #{channel_login}\r\n"
    )
}

/// `msg_id`: the id of the line it answers; `None` after a JOIN.
pub(crate) fn user_state(login: &str, channel_login: &str, moderator: bool, msg_id: Option<&str>) -> String {
    let badges = match (moderator, login == channel_login) {
        (_, true) => "broadcaster/1",
        (true, false) => "moderator/1",
        (false, false) => "",
    };
    let id = msg_id.map(|id| format!("id={id};")).unwrap_or_default();
    let (flag, kind) = if moderator && login != channel_login { ("1", "mod") } else { ("0", "") };
    format!(
        "@badge-info=;badges={badges};color=;display-name={login};emote-sets=0;{id}mod={flag};subscriber=0;\
         user-type={kind} :tmi.twitch.tv USERSTATE #{channel_login}\r\n"
    )
}

pub(crate) fn notice(channel_login: &str, msg_id: &str, text: &str) -> String {
    format!("@msg-id={msg_id} :tmi.twitch.tv NOTICE #{channel_login} :{text}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fully_tagged_line_has_the_size_of_a_real_one() {
        let chatter = Chatter::with_badges("viewer_number_12", "subscriber/12,premium/1");
        let line = Line::new("some_channel", chatter, "an ordinary sentence, as people type it in chat");
        let mut out = Vec::new();
        privmsg(&mut out, &line, "0a1b2c3d-0000-4000-8000-00000000002a", "11148817", "1594545155039");
        let text = String::from_utf8(out).unwrap();
        assert!((400..480).contains(&text.len()), "{} {text}", text.len());
        assert!(text.contains("badge-info=subscriber/12;") && text.contains(";subscriber=1;"), "{text}");
    }

    #[test]
    fn tag_values_are_escaped() {
        assert_eq!(escape_tag("a b;c\\d\r\n"), "a\\sb\\:c\\\\d\\r\\n");
    }
}
