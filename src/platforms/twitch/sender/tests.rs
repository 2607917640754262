use std::time::Duration;

use domain::CorrelationId;
use ulid::Ulid;

use super::*;
use crate::cluster::SendGate;
use crate::config::Config;
use crate::messages::Reply;
use crate::platforms::twitch::outlet::Batch;
use crate::platforms::twitch::settings::Settings;

fn account(extra: &[(&str, &str)]) -> Arc<Account> {
    let key = |name: &str| format!("WADDLEBOT_PLATFORMS__TWITCH__{name}");
    let token = ("BOT_TOKEN", "token");
    let env = extra.iter().chain([&token]).map(|(name, value)| (key(name), (*value).to_owned()));
    let config = Config::local(env.collect::<Vec<_>>().into_iter()).unwrap();
    let bytes = Arc::new(ByteBudget::new(config.limits.send_budget_bytes));
    Arc::new(Account::new(&Settings::from(&config), bytes, Arc::default(), Arc::new(SendGate::open())))
}

fn sender(account: &Arc<Account>) -> (Arc<ChannelSender>, Arc<Outlet>) {
    let sender = ChannelSender::new(ChannelId(Ulid::nil()), "waddle".to_owned(), Arc::clone(account));
    let outlet = Arc::new(Outlet::default());
    sender.set_route(Some(Arc::clone(&outlet)));
    (sender, outlet)
}

fn reply(text: &str) -> OutboundReply {
    OutboundReply {
        channel_id: ChannelId(Ulid::nil()),
        reply: Reply::text(text),
        in_reply_to: None,
        received: Instant::now(),
        correlation_id: CorrelationId(Ulid::nil()),
        permit: None,
    }
}

async fn written(outlet: &Outlet) -> String {
    let mut batch = Batch::default();
    let taken =
        tokio::time::timeout(Duration::from_millis(20), outlet.take(&mut batch, &SendGate::open())).await;
    taken.ok().flatten().map_or_else(String::new, |()| String::from_utf8(batch.chat).unwrap())
}

/// One turn with whatever was handed to the pump.
fn turn(account: &Account, now: Instant) -> Option<Step> {
    let handed = account.take_handed().pop()?;
    handed.sender.turn(handed.ticket, true, now)
}

#[tokio::test]
async fn a_reply_that_may_leave_is_written_before_deliver_returns() {
    let account = account(&[]);
    let (sender, outlet) = sender(&account);
    sender.deliver(reply("pong"));
    assert_eq!(written(&outlet).await, "PRIVMSG #waddle :pong\r\n");
    assert_eq!(account.n_waiting(), 0);
}

#[tokio::test]
async fn the_second_reply_of_a_channel_waits_for_its_pace_and_a_moderators_does_not() {
    let account = account(&[]);
    let (sender, outlet) = sender(&account);
    sender.deliver(reply("one"));
    sender.deliver(reply("two"));
    assert_eq!(written(&outlet).await, "PRIVMSG #waddle :one\r\n");
    let now = Instant::now();
    let Some(Step::At(at)) = turn(&account, now) else { panic!("it waits for a time") };
    assert!(at > now + Duration::from_millis(900) && at < now + Duration::from_millis(1_100));
    let (moderated, outlet) = self::sender(&account);
    moderated.set_moderator(true);
    moderated.deliver(reply("one"));
    moderated.deliver(reply("one"));
    assert_eq!(written(&outlet).await, "PRIVMSG #waddle :one\r\nPRIVMSG #waddle :one\r\n");
}

#[tokio::test]
async fn the_same_text_again_is_made_another() {
    let account = account(&[("CHANNEL_INTERVAL_MS", "0")]);
    let (sender, outlet) = sender(&account);
    for _ in 0..3 {
        sender.deliver(reply("same"));
    }
    let lines = written(&outlet).await;
    let lines: Vec<&str> = lines.split("\r\n").collect();
    assert_eq!(
        lines[..3],
        ["PRIVMSG #waddle :same", "PRIVMSG #waddle :same \u{E0000}", "PRIVMSG #waddle :same"]
    );
}

#[tokio::test]
async fn a_full_queue_drops_the_oldest_and_an_old_reply_is_not_said() {
    let account = account(&[("SEND_QUEUE", "2")]);
    let (sender, outlet) = sender(&account);
    sender.set_route(None);
    for text in ["one", "two", "three"] {
        sender.deliver(reply(text));
    }
    assert_eq!(account.n_waiting(), 2);
    sender.set_route(Some(Arc::clone(&outlet)));
    assert_eq!(turn(&account, Instant::now()), Some(Step::Sent));
    assert_eq!(written(&outlet).await, "PRIVMSG #waddle :two\r\n");
    sender.set_route(Some(Arc::clone(&outlet)));
    assert_eq!(turn(&account, Instant::now() + Duration::from_secs(61)), Some(Step::Idle));
    assert_eq!(written(&outlet).await, "");
    assert_eq!(account.n_waiting(), 0);
}

#[tokio::test]
async fn an_answer_names_its_message_and_nothing_else_gets_into_the_line() {
    let account = account(&[("CHANNEL_INTERVAL_MS", "0")]);
    let (sender, outlet) = sender(&account);
    for id in ["e9d998c3-36f1", "x y;\r\nPRIVMSG #other :spam"] {
        let mut answer = reply("yes");
        answer.reply.target = ReplyTarget::Message;
        answer.in_reply_to = Some(id.to_owned());
        sender.deliver(answer);
    }
    let lines = written(&outlet).await;
    assert!(
        lines.starts_with("@reply-parent-msg-id=e9d998c3-36f1 PRIVMSG #waddle :yes\r\nPRIVMSG #waddle :yes")
    );
    assert!(!lines.contains("spam"));
}

#[tokio::test]
async fn without_moderator_state_a_hold_stops_the_channel_until_it_is_over() {
    let account = account(&[]);
    let (sender, outlet) = sender(&account);
    let now = Instant::now();
    assert!(sender.hold(Duration::from_secs(30), "msg_timedout", now));
    assert!(!sender.hold(Duration::from_secs(30), "msg_timedout", now), "said once");
    sender.deliver(reply("held"));
    assert_eq!(written(&outlet).await, "");
    assert!(matches!(turn(&account, now), Some(Step::At(at)) if at >= now + Duration::from_secs(30)));
}

#[test]
fn a_connection_that_is_gone_keeps_the_reply_for_the_next_one() {
    let account = account(&[]);
    let (sender, outlet) = sender(&account);
    outlet.close();
    sender.deliver(reply("later"));
    assert_eq!(account.n_waiting(), 1);
}
