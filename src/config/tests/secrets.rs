//! Secrets: their three forms, who may read the files, and that no output shows them.

use super::*;

const TOKEN: &str = "tokentokentokentoken0123456789";

fn token_of(config: &Config) -> &str {
    config.platforms.twitch.bot_token.as_ref().expect("a token").expose_secret()
}

#[test]
fn a_secret_comes_from_file_key_file_or_variable_and_the_variable_wins() {
    let dir = TempDir::new().unwrap();
    let in_file = write(&dir, "token", &format!("oauth:{TOKEN}\n"));
    let by_file = format!("[platforms.twitch]\nbot_token_file = \"{}\"\n", in_file.display());
    assert_eq!(token_of(&load(&by_file).unwrap()), TOKEN);
    let direct = format!("[platforms.twitch]\nbot_token = \"{TOKEN}\"\n");
    assert_eq!(token_of(&load(&direct).unwrap()), TOKEN);
    let name = "WADDLEBOT_PLATFORMS__TWITCH__BOT_TOKEN";
    assert_eq!(token_of(&load_with(&by_file, &[(name, "oauth:fromenv")]).unwrap()), "fromenv");
    let file_name = format!("{name}_FILE");
    let variables = [(file_name.as_str(), in_file.to_str().unwrap())];
    let other = "[platforms.twitch]\nbot_token = \"other\"\n";
    assert_eq!(token_of(&load_with(other, &variables).unwrap()), TOKEN);
    let both = format!("{direct}bot_token_file = \"{}\"\n", in_file.display());
    assert!(only_problem(&both).contains("give either `bot_token` or `bot_token_file`"));
}

#[test]
fn a_secret_file_that_others_can_read_is_refused() {
    let dir = TempDir::new().unwrap();
    let key = write(&dir, "service.key", GOOD_KEY);
    let text = format!("[hub]\nservice_key_file = \"{}\"\n", key.display());
    for (mode, legal) in [(0o600, true), (0o640, true), (0o644, false), (0o602, false), (0o666, false)] {
        set_mode(&key, mode);
        let result = load(&text);
        assert_eq!(result.is_ok(), legal, "{mode:o}");
        if !legal {
            let found = problems(result);
            assert_eq!((found[0].0, found[0].1.as_str()), (2, "hub.service_key_file"));
            assert!(found[0].2.contains("chmod 600"), "{}", found[0].2);
        }
    }
}

#[test]
fn a_secret_file_that_is_missing_empty_or_no_file_is_refused() {
    let dir = TempDir::new().unwrap();
    let empty = write(&dir, "empty", " \n");
    let two_lines = write(&dir, "lines", "one\ntwo");
    for (path, want) in [
        (dir.path().join("absent"), "cannot be read"),
        (dir.path().to_path_buf(), "not a regular file"),
        (PathBuf::from("/dev/zero"), "not a regular file"),
        (empty, "is empty"),
        (two_lines, "line breaks"),
    ] {
        let problem = only_problem(&format!("[platforms.twitch]\nbot_token_file = \"{}\"\n", path.display()));
        assert!(problem.contains(want), "{problem}");
        assert!(!problem.contains(path.to_str().unwrap()), "a path could be a misplaced secret: {problem}");
    }
}

#[test]
fn a_file_with_secrets_that_others_can_read_gives_one_warning() {
    let dir = TempDir::new().unwrap();
    let text = format!("[hub]\nservice_key = \"{GOOD_KEY}\"\nsession_secret = \"{GOOD_KEY}\"\n");
    let path = write(&dir, "node.toml", &text);
    assert_eq!(Config::load(Some(&path), env(&[])).unwrap().warnings, Vec::<String>::new());
    set_mode(&path, 0o644);
    let warnings = Config::load(Some(&path), env(&[])).unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("node.toml") && warnings[0].contains("chmod 600"), "{warnings:?}");

    let open = write(&dir, "open.toml", "[storage]\nurl = \"sqlite://x.db\"\n");
    set_mode(&open, 0o644);
    assert_eq!(Config::load(Some(&open), env(&[])).unwrap().warnings, Vec::<String>::new());
    let password = write(&dir, "password.toml", "[storage]\nurl = \"postgres://a:pw@h/d\"\n");
    set_mode(&password, 0o644);
    assert_eq!(Config::load(Some(&password), env(&[])).unwrap().warnings.len(), 1);
}

#[test]
fn a_token_over_plain_text_to_another_machine_gives_a_warning() {
    for (url, n_warnings) in [
        ("irc://irc.chat.twitch.tv:6667", 1),
        ("ws://10.0.0.1:80", 1),
        ("irc://127.0.0.1:6667", 0),
        ("irc://[::1]:6667", 0),
        ("ws://localhost:80", 0),
        ("ircs://irc.chat.twitch.tv:6697", 0),
    ] {
        let text = format!("[platforms.twitch]\nirc_url = \"{url}\"\nbot_token = \"{TOKEN}\"\n");
        assert_eq!(load(&text).unwrap().warnings.len(), n_warnings, "{url}");
    }
}

#[test]
fn weak_service_keys_are_refused() {
    for weak in ["", "changeme", "31-bytes-31-bytes-31-bytes-31-b", "waddlebot-changeme-waddlebot-changeme"] {
        let found = problems(load(&format!("[hub]\nlisten = \"0.0.0.0:1\"\nservice_key = \"{weak}\"\n")));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].1, "hub.service_key");
    }
}

#[test]
fn no_output_shows_a_secret() {
    let secret = "S3cretS3cretS3cretS3cretS3cretS3cret";
    let good = format!(
        "[storage]\nurl = \"postgres://bot:{secret}@db/x\"\nkey = \"{secret}\"\n\
         [hub]\nservice_key = \"{secret}\"\nsession_secret = \"{secret}\"\n[cluster]\ncookie = \"{secret}\"\n\
         [platforms.twitch]\nbot_token = \"oauth:{secret}\"\nbot_refresh_token = \"{secret}\"\n\
         client_secret = \"{secret}\"\neventsub_secret = \"{secret}\"\n"
    );
    let config = load(&good).unwrap();
    assert_eq!(token_of(&config), secret);
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains(secret), "{shown}");

    // The same secret where it cannot be right: wrong type, wrong key, broken line, wrong place.
    let mut broken: Vec<String> =
        ["node.id", "node.data_dir_", "hub.listen", "limits.command_rate", "redis.url"]
            .into_iter()
            .chain([
                "storage.url",
                "telemetry.log_format",
                "telemetry.exporter",
                "hub.public_url",
                "node.roles",
            ])
            .chain([
                "platforms.twitch.channels",
                "platforms.twitch.ca_file",
                "platforms.twitch.bot_token_file",
            ])
            .chain([
                "cluster.tls_key",
                "cluster.advertise",
                "hub.trusted_proxies",
                "platforms.discord.enabled",
            ])
            .map(|key| format!("{key} = \"{secret} :x\"\n"))
            .collect();
    broken.push(format!("[platforms.twitch]\nbot_token = \"{secret}\nx = 1\n"));
    broken.push(format!("[platforms.twitch]\nbot_token = {secret}\n"));
    broken.push(format!("[hub]\nservice_key = \"{secret}\"\nservice_key = \"{secret}\"\n"));
    broken.push(format!("[hub]\nservice_key = [\"{secret}\"]\n"));
    broken.push(format!("[platforms.twitch]\nhelix_url = \"https://u:{secret}@h\"\n"));
    broken.push(format!("[platforms.twitch]\nbot_token = \"{secret} {secret}\"\n"));
    broken.push(format!("[[commands]]\nname = \"{secret} x\"\nlevel = \"{secret}\"\n"));
    for text in broken {
        let error = load(&text).expect_err(&text);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(secret), "{text}: {shown}");
    }
    let variables =
        [("WADDLEBOT_HUB__LISTEN", secret), ("WADDLEBOT_TOKEN", secret), ("WADDLEBOT_REDIS__URL", secret)];
    let error = Config::local(env(&variables)).unwrap_err();
    assert_eq!(error.problems.len(), 3, "{error}");
    assert!(!format!("{error} {error:?}").contains(secret), "{error}");
}

#[test]
fn replicas_come_from_list_file_or_variable_and_only_beside_postgresql() {
    let dir = TempDir::new().unwrap();
    let urls = |config: Config| -> Vec<String> {
        config.storage.replicas.iter().map(|url| url.expose_secret().to_owned()).collect()
    };
    let (one, two) = ("postgres://u:hunter2@one/d", "postgres://u:hunter2@two/d");
    let pg = "[storage]\nurl = \"postgres://u@h/d\"\n";
    let direct = format!("{pg}replicas = [\"{one}\", \"{two}\"]\n");
    assert_eq!(urls(load(&direct).unwrap()), [one, two]);
    let in_file = write(&dir, "replicas", &format!("{two}\n\n {one} \n"));
    let by_file = format!("{pg}replicas_file = \"{}\"\n", in_file.display());
    assert_eq!(urls(load(&by_file).unwrap()), [two, one]);
    let name = "WADDLEBOT_STORAGE__REPLICAS";
    assert_eq!(urls(load_with(&by_file, &[(name, one)]).unwrap()), [one]);
    let both = format!("{direct}replicas_file = \"{}\"\n", in_file.display());
    assert!(only_problem(&both).contains("give either `replicas` or `replicas_file`"));

    let nine = format!("{pg}replicas = [{}]\n", vec![format!("\"{one}\""); 9].join(", "));
    for (text, why) in [
        (format!("[storage]\nreplicas = [\"{one}\"]\n"), "needs PostgreSQL"),
        (format!("{pg}replicas = [\"sqlite://data/copy.db\"]\n"), "must be postgres://"),
        (format!("{pg}replicas = [\"{one}\", \"hunter2\"]\n"), "must be postgres://"),
        (nine, "at most 8"),
        (format!("{pg}replica_lag_max_ms = 0\n"), "replica_lag_max_ms"),
    ] {
        let problem = only_problem(&text);
        assert!(problem.contains(why) && !problem.contains("hunter2"), "{problem}");
    }
    assert!(!format!("{:?}", load(&direct).unwrap()).contains("hunter2"));
}
