//! R12: a configuration that is wrong in any way is refused before a port opens, and no secret is shown.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::node::Launch;

/// From the start of the process to its end.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);
const SECRET: &str = "hunter2hunter2hunter2hunter2hunter2";

async fn refused(launch: Launch, names: &[&str]) {
    let (status, text, took) = launch.run_to_end().await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(took < REFUSED_WITHIN, "took {took:?}");
    for name in names {
        assert!(text.contains(name), "`{name}` is not named in: {text}");
    }
    assert!(!text.contains(SECRET), "a secret is shown: {text}");
    assert!(!text.contains("ready:"), "{text}");
    assert!(!launch.data_dir().join("waddlebot.db").exists(), "the storage was touched");
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    refused(Launch::new("[platforms.twitch]\nchannels = [\"a\","), &["waddlebot.toml:", "2"]).await;
}

#[tokio::test]
async fn every_problem_is_named_at_once_with_file_line_and_key() {
    let config = "[limits]\nchannel_mailbox = \"many\"\nmodule_timeout_ms = 0\n[hubb]\nlisten = \"x\"\n[node]\nidd = \"a\"\n";
    let names = [
        "waddlebot.toml:2: limits.channel_mailbox",
        "waddlebot.toml:3: limits.module_timeout_ms",
        "hubb",
        "did you mean",
        "node.idd",
    ];
    refused(Launch::new(config), &names).await;
}

#[tokio::test]
async fn an_unknown_environment_name_is_refused_with_the_nearest_known() {
    let launch = Launch::new("").env("WADDLEBOT_LIMITS__CHANEL_MAILBOX", "5");
    refused(launch, &["WADDLEBOT_LIMITS__CHANEL_MAILBOX"]).await;
}

#[tokio::test]
async fn a_missing_or_weak_secret_is_refused_and_never_shown() {
    refused(Launch::new("[hub]\nservice_key = \"changeme\"\n"), &["hub.service_key", "32"]).await;
    let launch = Launch::new("").env("WADDLEBOT_HUB__LISTEN", "0.0.0.0:0");
    refused(launch, &["hub.service_key"]).await;
    let launch = Launch::new("[platforms.twitch]\nchannels = [\"a\"]\nbot_token_file = \"nowhere\"\n");
    refused(launch, &["platforms.twitch.bot_token_file"]).await;
}

#[tokio::test]
async fn a_secret_file_that_others_can_read_is_refused() {
    let launch = Launch::new("[hub]\nservice_key_file = \"key\"\n");
    let path = launch.folder().join("key");
    std::fs::write(&path, SECRET).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
    refused(launch, &["hub.service_key_file", "chmod"]).await;
}

#[tokio::test]
async fn what_this_version_lacks_is_refused_by_name() {
    refused(
        Launch::new("[platforms.discord]\nenabled = true\n"),
        &["platforms.discord", "not in this version"],
    )
    .await;
}

#[tokio::test]
async fn a_storage_that_is_not_there_is_refused_with_what_to_do() {
    let launch = Launch::new("").env("WADDLEBOT_STORAGE__URL", "postgres://nobody@127.0.0.1:1/none");
    let (status, text, _) = launch.run_to_end().await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("storage.url"), "{text}");
}
