use domain::ChannelId;
use proptest::prelude::*;

use super::*;

/// From the tests of twitch-irc, as Twitch sent them.
const PLAIN: &str = "@badge-info=;badges=;color=#0000FF;display-name=JuN1oRRRR;emotes=;flags=;id=e9d998c3-36f1-430f-89ec-6b887c28af36;mod=0;room-id=11148817;subscriber=0;tmi-sent-ts=1594545155039;turbo=0;user-id=29803735;user-type= :jun1orrrr!jun1orrrr@jun1orrrr.tmi.twitch.tv PRIVMSG #pajlada :dank cam";
const ACTION: &str = "@badge-info=subscriber/22;badges=moderator/1,subscriber/12;color=#19E6E6;display-name=randers;emotes=;flags=;id=d831d848-b7c7-4559-ae3a-2cb88f4dbfed;mod=1;room-id=11148817;subscriber=1;tmi-sent-ts=1594555275886;turbo=0;user-id=40286300;user-type=mod :randers!randers@randers.tmi.twitch.tv PRIVMSG #pajlada :\u{1}ACTION !test\u{1}";
const CHEER: &str = "@badge-info=;badges=bits/100;bits=1;color=#004B49;display-name=TETYYS;emotes=;flags=;id=d7f03a35-f339-41ca-b4d4-7c0721438570;mod=0;room-id=11148817;subscriber=0;tmi-sent-ts=1594571566672;turbo=0;user-id=36175310;user-type= :tetyys!tetyys@tetyys.tmi.twitch.tv PRIVMSG #pajlada :trihard1";
const REPLY: &str = "@badge-info=;badges=;client-nonce=cd56193132f934ac71b4d5ac488d4bd6;color=;display-name=LeftSwing;emotes=;first-msg=0;flags=;id=5b4f63a9-776f-4fce-bf3c-d9707f52e32d;mod=0;reply-parent-display-name=Retoon;reply-parent-msg-body=hello;reply-parent-msg-id=6b13e51b-7ecb-43b5-ba5b-2bb5288df696;reply-parent-user-id=37940952;reply-parent-user-login=retoon;returning-chatter=0;room-id=37940952;subscriber=0;tmi-sent-ts=1673925983585;turbo=0;user-id=133651738;user-type= :leftswing!leftswing@leftswing.tmi.twitch.tv PRIVMSG #retoon :@Retoon !yes of course";
const RAID: &str = "@badge-info=;badges=sub-gifter/50;color=;display-name=AdamAtReflectStudios;emotes=;flags=;id=7f2ce6b4-6b95-4fc7-9cd8-71de5d1a29b9;login=adamatreflectstudios;mod=0;msg-id=raid;msg-param-displayName=AdamAtReflectStudios;msg-param-login=adamatreflectstudios;msg-param-profileImageURL=https://static-cdn.jtvnw.net/x-70x70.png;msg-param-viewerCount=10;room-id=11148817;subscriber=0;system-msg=10\\sraiders\\sfrom\\sAdamAtReflectStudios\\shave\\sjoined!;tmi-sent-ts=1594517796120;user-id=211711554;user-type= :tmi.twitch.tv USERNOTICE #pajlada";

fn chat_line(line: &str) -> ChatLine<'_> {
    match see(line) {
        Seen::Chat(chat) => chat,
        other => panic!("{other:?}"),
    }
}

fn occasion() -> Occasion {
    Occasion {
        channel_id: ChannelId(Ulid::nil()),
        correlation_id: CorrelationId(Ulid::nil()),
        received_at: DateTime::from_timestamp_millis(1_594_545_156_000).unwrap(),
    }
}

fn worth<'a>(line: &ChatLine<'a>) -> Worth<'a> {
    line.worth(&Finder::new(BITS_TAG))
}

use ulid::Ulid;

#[test]
fn plain_chat_is_worth_nothing_and_gives_its_channel() {
    let line = chat_line(PLAIN);
    assert_eq!((line.channel_login, line.login, line.text), ("pajlada", "jun1orrrr", "dank cam"));
    assert_eq!(worth(&line), Worth::Nothing);
}

#[test]
fn a_command_said_with_me_is_a_command_of_its_moderator() {
    let line = chat_line(ACTION);
    assert_eq!(worth(&line), Worth::Command("!test"));
    let event = chat_event(&line, "!test", EventKind::ChatMessage, occasion()).unwrap();
    assert_eq!(event.user.level, Level::Moderator);
    assert_eq!(event.user.platform_user_id, "40286300");
    assert_eq!(event.message_id.as_deref(), Some("d831d848-b7c7-4559-ae3a-2cb88f4dbfed"));
    assert_eq!(event.sent_at.map(|at| at.timestamp_millis()), Some(1_594_555_275_886));
    assert_eq!(event.metadata["is_action"], true);
}

#[test]
fn a_cheer_tells_its_bits() {
    let line = chat_line(CHEER);
    assert_eq!(worth(&line), Worth::Cheer);
    let event = chat_event(&line, line.text, EventKind::Cheer, occasion()).unwrap();
    assert_eq!(event.metadata["bits"], 1);
}

#[test]
fn the_mention_of_an_answer_does_not_hide_its_command() {
    let line = chat_line(REPLY);
    assert_eq!(worth(&line), Worth::Command("!yes of course"));
    let no_answer = ":a!a@a PRIVMSG #b :@ann !hi";
    assert_eq!(worth(&chat_line(no_answer)), Worth::Nothing);
}

#[test]
fn what_was_said_elsewhere_in_a_shared_chat_is_nobodys() {
    let line = "@id=1;room-id=5;source-room-id=6;user-id=7 :a!a@a PRIVMSG #b :!hi";
    assert_eq!(
        chat_event(&chat_line(line), "!hi", EventKind::ChatMessage, occasion()).unwrap_err(),
        FromElsewhere
    );
    let here = "@id=1;room-id=5;source-room-id=5;user-id=7 :a!a@a PRIVMSG #b :!hi";
    assert!(chat_event(&chat_line(here), "!hi", EventKind::ChatMessage, occasion()).is_ok());
}

#[test]
fn a_raid_tells_who_and_how_many() {
    let tags = Tags(RAID[1..].split_once(' ').unwrap().0);
    let event = notice_event(tags, "", EventKind::Raid, occasion()).unwrap();
    assert_eq!(event.user.login, "adamatreflectstudios");
    assert_eq!(event.metadata["viewerCount"], "10");
    assert_eq!(event.metadata["system-msg"], "10 raiders from AdamAtReflectStudios have joined!");
    assert_eq!(notice_kind("announcement"), None);
}

#[test]
fn the_two_readings_of_a_chat_line_agree() {
    for raw in [PLAIN, ACTION, CHEER, REPLY] {
        let line = chat_line(raw);
        let event = chat_event(&line, line.text, EventKind::ChatMessage, occasion()).unwrap();
        let theirs = twitch_irc::message::IRCMessage::parse(raw).unwrap();
        let theirs = twitch_irc::message::PrivmsgMessage::try_from(theirs).unwrap();
        assert_eq!(event.message_id.as_ref(), Some(&theirs.message_id));
        assert_eq!(event.text, theirs.message_text);
        assert_eq!(event.user.display_name, theirs.sender.name);
        assert_eq!(line.channel_login, theirs.channel_login);
        assert_eq!(line.is_action, theirs.is_action);
    }
}

#[test]
fn lines_without_sense_are_malformed() {
    for line in [
        "@",
        "@a",
        ":",
        ":x",
        "@a=b ",
        ":x ",
        "PRIVMSG",
        "PRIVMSG #",
        "PRIVMSG # :x",
        "PRIVMSG #a :x",
        ":a!a@a PRIVMSG a :x",
    ] {
        assert_eq!(see(line), Seen::Malformed, "{line:?}");
    }
    assert_eq!(see("PING :tmi.twitch.tv"), Seen::Ping { payload: "tmi.twitch.tv" });
    assert_eq!(see(":tmi.twitch.tv RECONNECT"), Seen::Other("RECONNECT"));
}

/// Whatever can be done with a line.
fn chew(line: &str) {
    if let Seen::Chat(chat) = see(line) {
        let _ = worth(&chat);
        drop(chat_event(&chat, chat.text, EventKind::ChatMessage, occasion()));
    }
    if let Some((tags, _)) = line.strip_prefix('@').and_then(|line| line.split_once(' ')) {
        drop(notice_event(Tags(tags), "", EventKind::Raid, occasion()));
    }
}

#[test]
fn no_truncation_of_a_line_panics() {
    for line in [PLAIN, ACTION, CHEER, REPLY, RAID] {
        for at in (0..line.len()).filter(|at| line.is_char_boundary(*at)) {
            chew(&line[..at]);
            chew(&line[at..]);
        }
    }
}

proptest! {
    #[test]
    fn no_line_panics(line in "[@:#!;= a-z\\\\\u{1}é]{0,60}") {
        chew(&line);
        chew(&format!("@{line} :a!a@a PRIVMSG #b :{line}"));
    }
}
