use clap::{CommandFactory, Parser};
use serde_json::json;

use super::client::Client;
use super::output::Failure;
use super::{Cli, Command, Env, dispatch};
use crate::hub::tests::node::{KEY, TestNode};

fn parsed(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

async fn exit_code(line: &str, env: &[(&str, &str)]) -> String {
    let env: Env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let code = dispatch(parsed(line).unwrap(), env).await.unwrap();
    format!("{code:?}")
}

const DONE: &str = "ExitCode(unix_exit_status(0))";
const FAILED: &str = "ExitCode(unix_exit_status(1))";

#[test]
fn the_command_line_is_whole() {
    Cli::command().debug_assert();
    for line in [
        "waddlebot run --config x.toml --node n1 --console",
        "waddlebot chat --channel twitch:ann --as bob --level vip",
        "waddlebot channels add twitch:ann --json",
        "waddlebot channels why twitch:ann --message 42",
        "waddlebot channels why twitch:ann --user bob --json",
        "waddlebot channels record twitch:ann --for 1h",
        "waddlebot channels record twitch:ann --stop",
        "waddlebot channels replay twitch:ann --from 1h --to 2026-05-01T18:00:00Z --dry-run",
        "waddlebot commands add hi Hello $(user) --global",
        "waddlebot --url http://x:1 modules --channel twitch:ann",
        "waddlebot doctor",
        "waddlebot cluster move twitch:ann node-2",
        "waddlebot cluster move twitch:ann --to node-2 --json",
        "waddlebot cluster move twitch:ann --unpin",
    ] {
        assert!(parsed(line).is_ok(), "{line}");
    }
    for line in [
        "waddlebot",
        "waddlebot chat --level king",
        "waddlebot commands list",
        "waddlebot commands add hi --global",
        "waddlebot commands list --global --channel twitch:ann",
        "waddlebot channels record twitch:ann",
        "waddlebot cluster move twitch:ann",
        "waddlebot cluster move twitch:ann node-2 --unpin",
        "waddlebot channels why twitch:ann --user bob --message 42",
    ] {
        let error = parsed(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[tokio::test]
async fn what_starts_a_node_is_given_back() {
    let given_back = dispatch(parsed("waddlebot tree").unwrap(), Env::new()).await.unwrap_err();
    assert!(matches!(given_back, Command::Tree));
}

#[tokio::test]
async fn commands_against_a_node_end_in_their_exit_code() {
    let node = TestNode::start().await;
    let env = [("WADDLEBOT_URL", node.base.as_str()), ("WADDLEBOT_SERVICE_KEY", KEY)];
    for (line, want) in [
        ("waddlebot channels add twitch:bob", DONE),
        ("waddlebot channels list --json", DONE),
        ("waddlebot channels remove twitch:bob", DONE),
        ("waddlebot channels remove twitch:bob", FAILED),
        ("waddlebot channels add bob", FAILED),
        ("waddlebot channels why twitch:zoe", FAILED),
        ("waddlebot channels why twitch:ann", DONE),
        ("waddlebot channels record twitch:ann --for 1h", DONE),
        ("waddlebot channels record twitch:ann --for 25h", FAILED),
        ("waddlebot channels record twitch:ann --stop", DONE),
        ("waddlebot channels record twitch:ann --stop", FAILED),
        ("waddlebot channels replay twitch:ann --from 1h --dry-run", DONE),
        ("waddlebot channels replay twitch:ann --from 1h", FAILED),
        ("waddlebot commands add hi Hello $(user) --channel twitch:ann", DONE),
        ("waddlebot commands edit !hi --cooldown 9 --channel twitch:ann", DONE),
        ("waddlebot commands edit !hi --channel twitch:ann", FAILED),
        ("waddlebot commands list --channel twitch:ann", DONE),
        ("waddlebot commands remove hi --channel twitch:ann", DONE),
        ("waddlebot commands remove hi --channel twitch:ann", FAILED),
        ("waddlebot modules", DONE),
        ("waddlebot modules --channel twitch:zoe", FAILED),
    ] {
        assert_eq!(exit_code(line, &env).await, want, "{line}");
    }
    let wrong_key = [("WADDLEBOT_URL", node.base.as_str()), ("WADDLEBOT_SERVICE_KEY", "wrong")];
    assert_eq!(exit_code("waddlebot modules", &wrong_key).await, FAILED);
}

#[tokio::test]
async fn a_list_is_read_over_all_its_pages() {
    let node = TestNode::start().await;
    let client = Client::with_key(node.base.parse().unwrap(), KEY.into()).unwrap();
    let keys: Vec<String> = (0..249).map(|n| format!("twitch:c{n}")).collect();
    client.post(&["channels", "import"], &json!({ "keys": keys })).await.unwrap();
    assert_eq!(client.list(&["channels"], &[]).await.unwrap().len(), 250);
}

#[tokio::test]
async fn a_node_that_is_away_is_said_with_what_to_do() {
    let client = Client::with_key("http://127.0.0.1:9".parse().unwrap(), KEY.into()).unwrap();
    let failure = client.get(&["status"], &[]).await.unwrap_err();
    assert!(matches!(&failure, Failure::Said(text) if text.contains("waddlebot run")), "{failure}");
}

#[test]
fn a_wrong_configuration_fails_the_check_and_the_doctor() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "[hub]\nlissen = \"127.0.0.1:1\"\n").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for line in ["waddlebot check-config", "waddlebot doctor --config"] {
        let line = format!("{line} {}", file.display());
        assert_eq!(runtime.block_on(exit_code(&line, &[])), FAILED, "{line}");
    }
    std::fs::write(&file, "[hub]\nlisten = \"127.0.0.1:1\"\n").unwrap();
    let line = format!("waddlebot check-config {}", file.display());
    assert_eq!(runtime.block_on(exit_code(&line, &[])), DONE);
}
