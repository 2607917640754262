//! Tests of the settings as a whole.

mod sample;
mod secrets;

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::Level;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

/// A key that nothing objects to.
const GOOD_KEY: &str = "9f3c1e7ab24d6058c1f7e92ab3d4605f77aa";

fn env(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect::<Vec<_>>()
        .into_iter()
}

/// Writes a file that only its owner can read.
fn write(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    set_mode(&path, 0o600);
    path
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "node.toml", text);
    Config::load(Some(&path), env(variables))
}

fn load(text: &str) -> Result<Config, ConfigErrors> {
    load_with(text, &[])
}

/// Line, key and message of each problem.
fn problems(result: Result<Config, ConfigErrors>) -> Vec<(usize, String, String)> {
    let problems = result.expect_err("refused").problems;
    problems.into_iter().map(|problem| (problem.line.unwrap_or(0), problem.key, problem.message)).collect()
}

/// The one problem, as the user reads it without the path.
fn only_problem(text: &str) -> String {
    let found = problems(load(text));
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    format!("{}: {}: {}", found[0].0, found[0].1, found[0].2)
}

#[test]
fn local_mode_needs_no_setting() {
    let config = Config::local(env(&[("PATH", "/bin")])).unwrap();
    assert_eq!(config.source, None);
    assert_eq!(config.node.id, "local");
    assert_eq!(config.storage.url.expose_secret(), "sqlite://data/waddlebot.db");
    assert_eq!(config.hub.listen.to_string(), "127.0.0.1:8080");
    assert!(config.hub.service_key.is_none());
    assert!(!config.platforms.twitch.enabled);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn every_problem_of_a_file_is_reported_with_its_line() {
    let found = problems(load(
        "[node]\n\
         id = \"a b\"\n\
         rolls = [\"hub\"]\n\
         [limits]\n\
         channel_mailbox = 0\n\
         command_rate = 2000000000\n\
         module_timeout_ms = \"fast\"\n\
         chanel_mailbox = 5\n\
         [huub]\n\
         listen = \"x\"\n\
         [telemetry]\n\
         sample_ratio = 1.5\n\
         log = \"info,=\"\n\
         [platforms.twitch]\n\
         enabled = \"yes\"\n\
         channels = [\"good\", \"not good\"]\n\
         irc_url = \"https://example.org\"\n\
         listen = \"127.0.0.1:1\"\n",
    ));
    let want = [
        (2, "node.id", "must be 1 to 63 letters"),
        (3, "node.rolls", "did you mean `roles`?"),
        (5, "limits.channel_mailbox", "a whole number from 1 to 1000000000"),
        (6, "limits.command_rate", "a whole number from 0 to 1000000000"),
        (7, "limits.module_timeout_ms", "whole milliseconds from 1 to 86400000"),
        (8, "limits.chanel_mailbox", "did you mean `channel_mailbox`?"),
        (9, "huub", "did you mean `hub`?"),
        (12, "telemetry.sample_ratio", "a number from 0 to 1"),
        (13, "telemetry.log", "must be error, warn"),
        (15, "platforms.twitch.enabled", "must be true or false"),
        (16, "platforms.twitch.channels", "channel names of 1 to 100 letters"),
        (17, "platforms.twitch.irc_url", "begins with wss://, ircs://, ws://, irc://"),
        (18, "platforms.twitch.listen", "did you mean `cluster.listen` or `hub.listen`?"),
    ];
    assert_eq!(found.len(), want.len(), "{found:#?}");
    for ((line, key, message), (want_line, want_key, want_message)) in found.iter().zip(want) {
        assert_eq!((*line, key.as_str()), (want_line, want_key), "{message}");
        assert!(message.contains(want_message), "{key}: {message}");
    }
}

#[test]
fn a_problem_reads_file_line_key_message() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "node.toml", "\n[hub]\nlisten = 8080\n");
    let error = Config::load(Some(&path), env(&[("WADDLEBOT_NODE__ID", "")])).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{}:3: hub.listen: must be a text: \"…\"\n\
             environment: WADDLEBOT_NODE__ID: is empty; leave it out instead",
            path.display()
        )
    );
}

#[test]
fn a_truncated_file_is_refused_and_what_stands_before_the_cut_is_checked() {
    let found = problems(load("[limits]\ncommand_rate = -1\n[hub]\nlisten = \"127.0.0.1:80"));
    assert_eq!((found[0].0, found[0].1.as_str()), (2, "limits.command_rate"));
    assert!(
        found.iter().any(|(line, _, message)| *line == 4 && message.starts_with("not TOML")),
        "{found:?}"
    );
    assert!(problems(load("[hub")).iter().all(|(line, ..)| *line == 1));
}

#[test]
fn tables_and_values_in_each_others_place_are_refused() {
    assert_eq!(only_problem("node = 5\n"), "1: node: must be a table: [node]");
    assert_eq!(only_problem("platforms = 5\n"), "1: platforms: must be a table: [platforms]");
    assert_eq!(only_problem("commands = 5\n"), "1: commands: must be tables: [[commands]]");
    assert_eq!(only_problem("[commands]\n"), "1: commands: must be tables: [[commands]]");
    assert_eq!(only_problem("[hub]\n[hub.listen]\n"), "2: hub.listen: must be a text: \"…\"");
    assert!(only_problem("[hub]\nlisten = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\n").contains("not TOML"));
}

#[test]
fn a_missing_an_unreadable_and_a_huge_file_are_refused() {
    let dir = TempDir::new().unwrap();
    let huge = write(&dir, "huge.toml", &"#\n".repeat(3 << 20));
    let binary = dir.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    for (path, want) in [
        (dir.path().join("absent.toml"), "cannot be read"),
        (dir.path().to_path_buf(), "not a file"),
        (huge, "larger than 4194304 bytes"),
        (binary, "cannot be read"),
    ] {
        let message = Config::load(Some(&path), env(&[])).unwrap_err().to_string();
        assert!(message.contains(want) && message.contains(path.to_str().unwrap()), "{message}");
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let config = load_with(
        "[hub]\nlisten = \"127.0.0.1:1\"\n[platforms.twitch]\nchannels = [\"one\"]\n",
        &[
            ("WADDLEBOT_HUB__LISTEN", "127.0.0.1:2"),
            ("WADDLEBOT_PLATFORMS__TWITCH__CHANNELS", "two, #Three,two,"),
            ("WADDLEBOT_PLATFORMS__TWITCH__CONNECTIONS_PER_SECOND", "2"),
            ("WADDLEBOT_NODE__DATA_DIR", "/var/lib/waddlebot"),
            ("WADDLEBOT_NODE__ROLES", "hub,channels"),
            ("HOSTNAME", "node-7"),
        ],
    )
    .unwrap();
    assert_eq!(config.hub.listen.port(), 2);
    let channels: Vec<String> = config.platforms.twitch.channels.iter().map(ToString::to_string).collect();
    assert_eq!(channels, ["twitch:two", "twitch:three"]);
    assert!(config.platforms.twitch.enabled, "a channel switches Twitch on");
    assert!((config.platforms.twitch.connections_per_second - 2.0).abs() < f64::EPSILON);
    assert_eq!(config.storage.url.expose_secret(), "sqlite:///var/lib/waddlebot/waddlebot.db");
    assert_eq!(config.node.roles, [Role::Channels, Role::Hub]);
    assert_eq!(config.node.id, "node-7");
}

#[test]
fn waddlebot_config_names_the_file_unless_one_is_given() {
    let dir = TempDir::new().unwrap();
    let named = write(&dir, "named.toml", "[node]\nid = \"named\"\n");
    let given = write(&dir, "given.toml", "[node]\nid = \"given\"\n");
    let variables = [("WADDLEBOT_CONFIG", named.to_str().unwrap())];
    assert_eq!(Config::load(None, env(&variables)).unwrap().node.id, "named");
    let config = Config::load(Some(&given), env(&variables)).unwrap();
    assert_eq!((config.node.id.as_str(), config.source.as_deref()), ("given", Some(given.as_path())));
}

#[test]
fn unknown_variables_are_refused_by_name() {
    let found = problems(Config::local(env(&[
        ("WADDLEBOT_STORAGE_URL", "x"),
        ("WADDLEBOT_COMMANDS__NAME", "x"),
        ("WADDLEBOT_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("WADDLEBOT_URL", "http://localhost"),
        ("WADDLEBOT_SERVICE_KEY", "short"),
        ("WADDLEBOT_TEST_POSTGRES", "x"),
        ("OTHER_NAME", "x"),
    ])));
    let shown: Vec<String> = found.iter().map(|(_, key, message)| format!("{key}: {message}")).collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(shown[0].starts_with("WADDLEBOT_COMMANDS__NAME: unknown variable"), "{}", shown[0]);
    assert!(shown[1].contains("enableServiceLinks"), "{}", shown[1]);
    assert_eq!(shown[2], "WADDLEBOT_STORAGE_URL: unknown variable; did you mean WADDLEBOT_STORAGE__URL?");
}

#[test]
fn what_is_not_in_this_version_is_refused_when_switched_on() {
    for text in [
        "[platforms.discord]\nenabled = true\n",
        "[platforms.slack]\nchannels = [\"C1\"]\n",
        "[platforms.youtube]\nenabled = true\n",
        "[platforms.kick]\nenabled = true\n",
        "[platforms.twitch]\ningest = \"eventsub\"\n",
        "[platforms.twitch]\ningest = \"conduit\"\n",
        "[platforms.twitch]\nsend = \"helix\"\n",
        "[telemetry]\notlp_endpoint = \"http://h:4317\"\n",
        "[telemetry]\nexporter = \"zipkin\"\n",
    ] {
        let problem = only_problem(text);
        assert!(problem.starts_with("2: ") && problem.contains("not in this version"), "{problem}");
    }
    assert!(only_problem("[platforms.twitch]\nsend = \"smtp\"\n").contains("must be \"irc\" or \"helix\""));
}

#[test]
fn a_cluster_names_everything_it_lacks() {
    let found = problems(load("[cluster]\nenabled = true\ncookie = \"short\"\n"));
    let all = format!("{found:?}");
    for want in ["needs PostgreSQL", "explicit address", "at least 32 bytes"] {
        assert!(all.contains(want), "{want}: {all}");
    }
}

#[test]
fn nodes_that_meet_beyond_loopback_need_certificates() {
    let cluster = |listen: &str, more: &str| {
        let text = format!(
            "[storage]\nurl = \"postgres://h/d\"\n[cluster]\nenabled = true\nlisten = \"{listen}:7070\"\n\
             cookie = \"{}\"\n{more}",
            "c".repeat(32)
        );
        load(&text).map_or_else(|error| error.to_string(), |_| String::new())
    };
    assert!(cluster("10.0.0.1", "").contains("need tls_cert, tls_key and tls_ca"));
    assert!(cluster("127.0.0.1", "tls_ca = \"Cargo.toml\"").contains("belong together"));
    assert!(!cluster("127.0.0.1", "").contains("tls"));
}

#[test]
fn lease_and_gate_keep_their_distance() {
    assert!(
        only_problem("[cluster]\nlease_renew_ms = 700\n").contains("at least 3 × lease_renew_ms, here 2100")
    );
    assert!(only_problem("[cluster]\ngate_ms = 1500\n").starts_with("2: cluster.gate_ms: must be less than"));
    assert!(load("[cluster]\ngate_ms = 1499\nlease_ttl_ms = 2000\n").is_ok());
}

#[test]
fn listening_beyond_loopback_needs_a_service_key() {
    for listen in ["0.0.0.0:8080", "192.168.0.1:80", "[::]:8080"] {
        let problem = only_problem(&format!("[hub]\nlisten = \"{listen}\"\n"));
        assert!(
            problem.starts_with("2: hub.listen: listening beyond loopback needs hub.service_key"),
            "{problem}"
        );
        assert!(load(&format!("[hub]\nlisten = \"{listen}\"\nservice_key = \"{GOOD_KEY}\"\n")).is_ok());
    }
    for listen in ["127.0.0.1:0", "[::1]:8080", "[::ffff:127.0.0.1]:8080"] {
        assert!(load(&format!("[hub]\nlisten = \"{listen}\"\n")).is_ok(), "{listen}");
    }
}

#[test]
fn seeded_commands_are_read_and_each_mistake_is_found() {
    let config = load(
        "[[commands]]\nname = \"!Echo\"\nresponse = \"$(query)\"\n\
         [[commands]]\nname = \"so\"\nresponse = \"hi\"\nlevel = \"mod\"\ncooldown_secs = 0\n",
    )
    .unwrap();
    assert_eq!(
        (config.commands[0].name.as_str(), config.commands[0].level, config.commands[0].cooldown),
        ("echo", Level::Everyone, Duration::from_secs(5))
    );
    assert_eq!(
        (config.commands[1].name.as_str(), config.commands[1].level, config.commands[1].cooldown),
        ("so", Level::Moderator, Duration::ZERO)
    );
    let found = problems(load(
        "[[commands]]\nname = \"!a\"\nresponse = \"x\\r\\nQUIT\"\n\
         [[commands]]\nname = \"!b\"\nresponse = \"x\"\n\
         [[commands]]\nname = \"B\"\nresponse = \"x\"\nlevle = \"vip\"\n\
         [[commands]]\nname = \"two words\"\nlevel = \"king\"\ncooldown_secs = 90000\n",
    ));
    let places: Vec<(usize, &str)> = found.iter().map(|(line, key, _)| (*line, key.as_str())).collect();
    assert_eq!(
        places,
        [
            (3, "commands.response"),
            (8, "commands.name"),
            (10, "commands.levle"),
            (11, "commands.response"),
            (12, "commands.name"),
            (13, "commands.level"),
            (14, "commands.cooldown_secs"),
        ],
        "{found:?}"
    );
}

#[test]
fn names_from_outside_cannot_forge_lines_of_the_report() {
    let found = problems(load("\"a\\nnode.toml:1: fine\" = 1\n"));
    assert_eq!(found[0].1, "a\\nnode.toml:1: fine");
}

#[test]
fn a_file_of_nonsense_gives_a_bounded_report() {
    let nonsense = (0..5_000).map(|index| format!("listen{index} = 1")).collect::<Vec<_>>().join("\n");
    assert_eq!(problems(load(&nonsense)).len(), 1_000);
}

#[test]
fn a_memory_ceiling_below_what_an_empty_node_needs_is_refused_by_name() {
    let problem = only_problem("[limits]\nmax_rss_mib = 63\n");
    assert_eq!(problem, "2: limits.max_rss_mib: must be a whole number from 64 to 1000000000");
    assert!(only_problem("[limits]\nmax_rss_mib = \"2GiB\"\n").contains("limits.max_rss_mib"));
    assert!(only_problem("[limits]\ndata_budget_mib = 0\n").contains("limits.data_budget_mib"));
    assert!(only_problem("[limits]\nsend_budget_mib = 0\n").contains("limits.send_budget_mib"));
    let limits =
        load("[limits]\nmax_rss_mib = 64\ndata_budget_mib = 2\nsend_budget_mib = 1\n").unwrap().limits;
    assert_eq!(limits.max_rss_bytes, Some(64 << 20));
    assert_eq!((limits.data_budget_bytes, limits.send_budget_bytes), (2 << 20, 1 << 20));
    assert_eq!(load("").unwrap().limits.max_rss_bytes, None);
}

#[test]
fn services_that_users_may_reach_are_named_with_their_port() {
    let limits = load("[limits]\nurl_fetch_allow = [\"Wiki.internal:8080\", \"0x7f.1:80\", \"[::1]:443\"]\n");
    assert_eq!(limits.unwrap().limits.url_fetch_allow, ["wiki.internal:8080", "127.0.0.1:80", "[::1]:443"]);
    for bad in ["wiki", "wiki:", "http://wiki:80", "wiki:80/x", "me@wiki:80", "10.0.0.0/8:80", "wiki:99999"] {
        let problem = only_problem(&format!("[limits]\nurl_fetch_allow = [\"{bad}\"]\n"));
        assert!(problem.contains("limits.url_fetch_allow: must be hosts with ports"), "{bad}: {problem}");
    }
}
