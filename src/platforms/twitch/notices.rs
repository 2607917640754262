//! What a NOTICE of Twitch means for the bot, by its `msg-id`.

use std::time::Duration;

/// How long a channel that refuses the bot altogether is left alone.
const REFUSED_PAUSE: Duration = Duration::from_mins(10);
/// After "too fast" a channel pauses this long.
const RATE_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause that a text of Twitch's can cause.
const PAUSE_MAX: Duration = Duration::from_hours(24);

/// What follows from a NOTICE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The token or the login is wrong; the connection is about to be closed.
    LoginFailed,
    /// The channel cannot be joined for the time being.
    NotJoined {
        reason: &'static str,
        pause: Duration,
    },
    /// The last line was not shown and the channel takes none for a while.
    Hold {
        reason: &'static str,
        pause: Duration,
    },
    /// The last line was not shown.
    NotShown {
        reason: &'static str,
    },
    Nothing,
}

/// Reads a NOTICE. `msg_id` is `None` for those before the login.
pub fn meaning(msg_id: Option<&str>, text: &str) -> Meaning {
    let Some(msg_id) = msg_id else {
        let failed = [
            "Login authentication failed",
            "Login unsuccessful",
            "Improperly formatted auth",
            "Invalid NICK",
        ];
        return if failed.iter().any(|known| text.starts_with(known)) {
            Meaning::LoginFailed
        } else {
            Meaning::Nothing
        };
    };
    let hold = |reason, pause| Meaning::Hold { reason, pause };
    let not_joined = |reason| Meaning::NotJoined { reason, pause: REFUSED_PAUSE };
    match msg_id {
        "msg_ratelimit" => hold("msg_ratelimit", RATE_PAUSE),
        "msg_slowmode" => hold("msg_slowmode", seconds_in(text).unwrap_or(RATE_PAUSE)),
        "msg_timedout" => hold("msg_timedout", seconds_in(text).unwrap_or(REFUSED_PAUSE)),
        "no_permission" => hold("no_permission", REFUSED_PAUSE),
        "msg_followersonly" | "msg_followersonly_zero" | "msg_followersonly_followed" => {
            hold("msg_followersonly", REFUSED_PAUSE)
        }
        "msg_subsonly" => hold("msg_subsonly", REFUSED_PAUSE),
        "msg_emoteonly" => hold("msg_emoteonly", REFUSED_PAUSE),
        "msg_verified_email" => hold("msg_verified_email", REFUSED_PAUSE),
        "msg_requires_verified_phone_number" => hold("msg_requires_verified_phone_number", REFUSED_PAUSE),
        "msg_suspended" => hold("msg_suspended", REFUSED_PAUSE),
        "msg_duplicate" => Meaning::NotShown { reason: "msg_duplicate" },
        "msg_r9k" => Meaning::NotShown { reason: "msg_r9k" },
        "msg_rejected" => Meaning::NotShown { reason: "msg_rejected" },
        "msg_rejected_mandatory" => Meaning::NotShown { reason: "msg_rejected_mandatory" },
        "msg_bad_characters" => Meaning::NotShown { reason: "msg_bad_characters" },
        "unrecognized_cmd" | "unavailable_command" => Meaning::NotShown { reason: "chat_command" },
        "msg_banned" => not_joined("msg_banned"),
        "msg_channel_suspended" => not_joined("msg_channel_suspended"),
        "msg_channel_blocked" => not_joined("msg_channel_blocked"),
        "msg_room_not_found" => not_joined("msg_room_not_found"),
        "tos_ban" => not_joined("tos_ban"),
        _ => Meaning::Nothing,
    }
}

/// What an operator can do about a reason that lasts.
pub fn advice(reason: &str) -> &'static str {
    match reason {
        "msg_banned" => "the channel banned the bot; ask its owner to lift the ban or remove the channel",
        "msg_channel_suspended" | "tos_ban" => "Twitch suspended the channel; remove it if that stays",
        "msg_room_not_found" => "no such channel on Twitch; check the login",
        "msg_channel_blocked" => "the channel's owner blocked the bot; remove the channel",
        "no_permission" => "the bot lacks a permission there; make it a moderator",
        "msg_followersonly" | "msg_subsonly" | "msg_emoteonly" => {
            "the chat is restricted; make the bot a moderator"
        }
        "msg_verified_email" | "msg_requires_verified_phone_number" => {
            "verify the bot account's e-mail and phone on Twitch"
        }
        "msg_suspended" => "Twitch suspended the bot's account; appeal on Twitch",
        _ => "it goes on by itself",
    }
}

/// The first number in a sentence of Twitch's, as seconds.
fn seconds_in(text: &str) -> Option<Duration> {
    let digits = text.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?;
    digits.parse().ok().map(|secs| Duration::from_secs(secs).min(PAUSE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_before_the_login_tells_of_a_wrong_token() {
        assert_eq!(meaning(None, "Login authentication failed"), Meaning::LoginFailed);
        assert_eq!(meaning(None, "Improperly formatted auth"), Meaning::LoginFailed);
        assert_eq!(meaning(None, "Welcome"), Meaning::Nothing);
    }

    #[test]
    fn the_pause_is_as_long_as_twitch_says() {
        let text = "This room is in slow mode. You will be able to talk again in 17 seconds.";
        assert_eq!(
            meaning(Some("msg_slowmode"), text),
            Meaning::Hold { reason: "msg_slowmode", pause: Duration::from_secs(17) }
        );
        let text = "You are timed out for 99999999999 more seconds.";
        assert_eq!(
            meaning(Some("msg_timedout"), text),
            Meaning::Hold { reason: "msg_timedout", pause: PAUSE_MAX }
        );
    }

    #[test]
    fn a_ban_keeps_the_bot_out_and_unknown_ids_mean_nothing() {
        assert!(matches!(meaning(Some("msg_banned"), ""), Meaning::NotJoined { .. }));
        assert_eq!(meaning(Some("slow_on"), ""), Meaning::Nothing);
    }
}
