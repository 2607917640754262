//! The bot's token: refused, refreshed, stored, unknown.

use domain::Platform;
use fake_twitch::{FakeConfig, FakeTwitch, HttpMode};
use secrecy::ExposeSecret;
use storage::bot_accounts::{self, AccountName};

use crate::twitch_rig::{Rig, folder, names, settings, within};

const REFRESHABLE: [(&str, &str); 3] = [
    ("BOT_REFRESH_TOKEN", "refresh-waddlebot"),
    ("CLIENT_ID", "fake-client-id"),
    ("CLIENT_SECRET", "secret"),
];

async fn fake() -> FakeTwitch {
    FakeTwitch::start(FakeConfig::default()).await.unwrap()
}

#[tokio::test]
async fn a_wrong_token_stops_the_account_with_a_sentence_that_helps_and_without_the_token() {
    let fake = fake().await;
    let rig =
        Rig::start(settings(&fake, &fake.irc_url(), &[("BOT_TOKEN", "wrong-token-value")]), &names(1)).await;
    let told = |report: &waddlebot::messages::PlatformReport| {
        report.trouble.as_ref().is_some_and(|trouble| trouble.contains("make a new token"))
    };
    let report = rig.wait_report(told, within(10)).await;
    assert!(!report.trouble.unwrap().contains("wrong-token-value"));
    let n_failures = fake.counters().login_failures;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(fake.counters().login_failures, n_failures, "a refused account is not tried again");
    rig.stop().await;
}

#[tokio::test]
async fn a_refused_token_is_refreshed_stored_encrypted_and_used_after_a_restart() {
    let fake = fake().await;
    fake.revoke_token("waddlebot");
    let folder = folder();
    let settings = settings(&fake, &fake.irc_url(), &REFRESHABLE);
    let rig = Rig::start_in(folder.clone(), settings.clone(), &names(1)).await;
    rig.wait_report(|report| report.channels_joined == 1, within(10)).await;
    let name = AccountName { platform: Platform::Twitch, login: "waddlebot".to_owned(), community_id: None };
    let account = bot_accounts::get(&rig.db, &rig.vault, &name).await.unwrap().expect("it is stored");
    let token = account.access_token.expect("with its token").expose_secret().to_owned();
    assert_eq!(token, fake.account("waddlebot").unwrap().token);
    rig.stop().await;
    let file = std::fs::read(folder.path().join("rig.db")).unwrap();
    assert!(
        !file.windows(token.len()).any(|bytes| bytes == token.as_bytes()),
        "the token lies open in the file"
    );
    let n_failures = fake.counters().login_failures;
    let rig = Rig::start_in(folder, settings, &names(1)).await;
    rig.wait_report(|report| report.channels_joined == 1, within(10)).await;
    assert_eq!(
        fake.counters().login_failures,
        n_failures,
        "the stored token is newer than the configured one"
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_token_that_is_revoked_while_it_runs_is_refreshed_at_the_next_login() {
    let fake = fake().await;
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &REFRESHABLE), &names(1)).await;
    rig.wait_report(|report| report.channels_joined == 1, within(10)).await;
    fake.revoke_token("waddlebot");
    fake.cut_all();
    assert!(fake.wait_until(|fake| fake.counters().login_failures > 0, within(10)).await);
    assert!(fake.wait_joined(1, within(10)).await, "{:?}", rig.report());
    rig.stop().await;
}

#[tokio::test]
async fn an_unreachable_token_service_is_a_warning_and_chat_goes_on() {
    let fake = fake().await;
    fake.set_http_mode(HttpMode::Unreachable);
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &[]), &names(1)).await;
    let report =
        rig.wait_report(|report| report.channels_joined == 1 && report.trouble.is_some(), within(10)).await;
    assert!(report.trouble.unwrap().contains("could not be checked"));
    rig.stop().await;
}

#[tokio::test]
async fn a_token_tells_the_login_when_nobody_else_does_and_another_login_is_refused() {
    let fake = fake().await;
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &[("BOT_LOGIN", "")]), &names(1)).await;
    rig.wait_report(|report| report.login.as_deref() == Some("waddlebot"), within(10)).await;
    rig.stop().await;
    let rig = Rig::start(settings(&fake, &fake.irc_url(), &[("BOT_LOGIN", "somebody")]), &names(1)).await;
    let told = |report: &waddlebot::messages::PlatformReport| {
        report.trouble.as_ref().is_some_and(|trouble| trouble.contains("belongs to `waddlebot`"))
    };
    rig.wait_report(told, within(10)).await;
    rig.stop().await;
}
