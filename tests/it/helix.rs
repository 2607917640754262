//! Who streams what, asked of a Twitch over HTTP: tokens, points, failures, memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_twitch::{FakeConfig, FakeTwitch, HttpMode, Show};
use futures_util::future::join_all;
use storage::{Db, StorageOptions};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use waddlebot::cache::Caches;
use waddlebot::config::Config;
use waddlebot::http::{HttpClient, HttpOptions, system_roots};
use waddlebot::messages::Clock;
use waddlebot::messages::streamers::{LookUpError, StreamerLookup};
use waddlebot::platforms::twitch::helix::{self, HelixDeps};

const LIMIT: Duration = Duration::from_secs(10);

struct Rig {
    fake: FakeTwitch,
    streamers: Arc<dyn StreamerLookup>,
    _folder: TempDir,
}

async fn rig_with(settings: &[(&str, &str)]) -> Rig {
    let fake =
        FakeTwitch::start(FakeConfig { missing_users: vec!["nobody".to_owned()], ..FakeConfig::default() });
    let fake = fake.await.expect("the fake starts");
    fake.set_show(
        "ann",
        Show { game: "Chess".to_owned(), title: "Openings".to_owned(), viewers: Some(1_234) },
    );
    fake.set_show("bob", Show { game: "Go".to_owned(), title: "Endings".to_owned(), viewers: None });
    let urls = ["HELIX_URL", "AUTH_URL"].map(|name| (name.to_owned(), fake.http_url()));
    let given = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let variables = urls
        .into_iter()
        .chain(given)
        .map(|(name, value)| (format!("WADDLEBOT_PLATFORMS__TWITCH__{name}"), value));
    let config = Config::local(variables).expect("the settings are right");
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("rig.db").display());
    let db = Db::open(&StorageOptions::new(url)).await.expect("the storage opens");
    let background = TaskTracker::new();
    let caches = Caches::start(None, 1 << 20, &background);
    let options = HttpOptions { roots: system_roots(), clock: Clock::System, seed: 1 };
    let http = HttpClient::new(options).expect("a client");
    let deps = HelixDeps { config: &config, http, db, caches: &caches, background: &background };
    Rig { streamers: helix::lookup(deps), fake, _folder: folder }
}

async fn rig() -> Rig {
    rig_with(&[("CLIENT_ID", "fake-client-id"), ("CLIENT_SECRET", "secret")]).await
}

impl Rig {
    async fn fails(&self, login: &str) -> LookUpError {
        self.streamers.look_up(login, LIMIT).await.expect_err("it cannot be known")
    }
}

#[tokio::test]
async fn a_streamer_is_known_live_offline_or_not_at_all() {
    let rig = rig().await;
    let ann = rig.streamers.look_up("ann", LIMIT).await.unwrap().expect("she streams");
    let profile = ann.profile();
    assert_eq!((profile.login.as_str(), profile.game_name.as_deref()), ("ann", Some("Chess")));
    assert_eq!((profile.title.as_str(), profile.viewer_count), ("Openings", Some(1_234)));
    let bob = rig.streamers.look_up("bob", LIMIT).await.unwrap().expect("he is known").profile();
    assert_eq!((bob.game_name.as_deref(), bob.viewer_count), (Some("Go"), None));
    // An account that never streamed.
    let eve = rig.streamers.look_up("eve", LIMIT).await.unwrap().expect("she is known");
    assert_eq!((&eve.channel, &eve.stream), (&None, &None));
    assert_eq!(rig.streamers.look_up("nobody", LIMIT).await.unwrap(), None);
}

#[tokio::test]
async fn many_who_ask_at_once_cause_one_token_and_one_lookup_and_the_next_minute_none() {
    let rig = rig().await;
    let all = join_all((0..50).map(|_| rig.streamers.look_up("ann", LIMIT))).await;
    assert!(all.iter().all(|found| matches!(found, Ok(Some(_)))), "{all:?}");
    let others = ["bob", "eve", "nobody"].map(|login| rig.streamers.look_up(login, LIMIT));
    for found in join_all(others).await {
        found.unwrap();
    }
    let counters = rig.fake.counters();
    // The token, three calls for each that there is, one for the one that there is not.
    assert_eq!((counters.app_tokens, counters.http_calls), (1, 1 + 3 * 3 + 1));
    rig.fake.set_http_mode(HttpMode::Unreachable);
    assert!(rig.streamers.look_up("ann", LIMIT).await.unwrap().is_some(), "it is remembered");
    assert_eq!(rig.streamers.look_up("nobody", LIMIT).await.unwrap(), None, "so is that there is none");
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_a_refused_application_is_said_and_left_alone() {
    let rig = rig().await;
    rig.streamers.look_up("ann", LIMIT).await.unwrap();
    rig.fake.revoke_app_tokens();
    assert!(rig.streamers.look_up("bob", LIMIT).await.unwrap().is_some());
    assert_eq!(rig.fake.counters().app_tokens, 2);
    // Whatever token it shows is refused.
    rig.fake.set_http_mode(HttpMode::Status(401));
    let told = rig.fails("eve").await;
    assert!(matches!(told, LookUpError::Refused(_)), "{told:?}");
    assert!(told.to_string().contains("check client_id and client_secret"), "{told}");
    let n_calls = rig.fake.counters().http_calls;
    let again = rig.fails("dan").await;
    assert!(matches!(again, LookUpError::Refused(_)), "{again:?}");
    assert!(rig.fake.counters().http_calls <= n_calls + 1, "a refused application asks for no token again");
}

#[tokio::test]
async fn after_five_answers_of_500_the_answer_comes_at_once_and_says_when_to_come_back() {
    let rig = rig().await;
    rig.streamers.look_up("ann", LIMIT).await.unwrap();
    rig.fake.set_http_mode(HttpMode::Status(500));
    let before = rig.fake.counters().http_calls;
    // Three attempts, then two: the breaker opens within the second call.
    rig.fails("bob").await;
    rig.fails("bob").await;
    assert_eq!(rig.fake.counters().http_calls - before, 5);
    for n in 0..20 {
        let asked_at = Instant::now();
        let told = rig.fails(&format!("user{n}")).await;
        let took = asked_at.elapsed();
        assert!(matches!(told, LookUpError::Unavailable { retry_after: Some(_), .. }), "{told:?}");
        assert!(took < Duration::from_millis(5), "{took:?}");
    }
    assert_eq!(rig.fake.counters().http_calls - before, 5, "nobody asked a host that failed");
}

#[tokio::test]
async fn without_points_the_host_is_left_alone_until_they_are_back() {
    let rig = rig().await;
    rig.streamers.look_up("ann", LIMIT).await.unwrap();
    rig.fake.set_http_mode(HttpMode::NoPoints(Duration::from_secs(30)));
    let before = rig.fake.counters().http_calls;
    rig.fails("bob").await;
    let told = rig.fails("bob").await;
    let LookUpError::Unavailable { retry_after: Some(wait), .. } = told else { panic!("{told:?}") };
    assert!(wait > Duration::from_secs(20) && wait <= Duration::from_secs(30), "{wait:?}");
    assert_eq!(rig.fake.counters().http_calls - before, 1);
}

#[tokio::test]
async fn a_slow_twitch_is_given_up_in_time() {
    let rig = rig().await;
    rig.fake.set_http_mode(HttpMode::Slow(Duration::from_secs(5)));
    let asked_at = Instant::now();
    let told = rig.streamers.look_up("ann", Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(told, LookUpError::Unavailable { .. }), "{told:?}");
    assert!(asked_at.elapsed() < Duration::from_secs(1), "{:?}", asked_at.elapsed());
}

#[tokio::test]
async fn without_an_application_the_answer_says_what_to_set() {
    let rig = rig_with(&[]).await;
    let told = rig.fails("ann").await;
    assert!(matches!(told, LookUpError::NotConfigured(_)), "{told:?}");
    assert!(told.to_string().contains("set client_id and client_secret"), "{told}");
    assert_eq!(rig.fake.counters().http_calls, 0);
}
