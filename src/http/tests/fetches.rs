//! Pages that users name.

use std::time::{Duration, Instant};

use domain::CommunityId;
use futures_util::future::join_all;
use rustls::RootCertStore;
use ulid::Ulid;

use super::server::{Said, Server, answer, gzip_bomb};
use crate::http::{FetchError, FetchOptions, UrlFetcher};
use crate::messages::Clock;

pub const LIMIT: Duration = Duration::from_secs(3);

pub fn community(n: u64) -> CommunityId {
    CommunityId(Ulid::from_parts(n, 1))
}

/// A fetcher whose operator allows these servers.
pub fn allowing(servers: &[&Server]) -> UrlFetcher {
    let allow = servers.iter().map(|server| server.address.to_string()).collect();
    UrlFetcher::new(FetchOptions::new(RootCertStore::empty(), Clock::System, allow)).unwrap()
}

async fn fetched(server: &Server, path: &str) -> Result<String, FetchError> {
    allowing(&[server]).fetch(community(1), &server.url(path), LIMIT).await
}

#[tokio::test]
async fn a_page_is_fetched_without_cookies_login_or_our_ids() {
    let server = Server::start(|_, _| answer(200, "set-cookie: a=b\r\n", "grüße".as_bytes())).await;
    let fetcher = allowing(&[&server]);
    for _ in 0..2 {
        let text = fetcher.fetch(community(1), &server.url("/x?y=z#w"), LIMIT).await;
        assert_eq!(text.as_deref(), Ok("grüße"));
        let head = server.last_head();
        assert!(head.starts_with("get /x?y=z http/1.1\r\n"), "{head}");
        assert!(head.contains("accept-encoding: gzip\r\n"), "{head}");
        for unwanted in ["cookie", "authorization", "correlation", "referer"] {
            assert!(!head.contains(unwanted), "{head}");
        }
    }
}

#[tokio::test]
async fn a_gzip_bomb_and_a_drip_end_in_bounds() {
    let bomb = gzip_bomb();
    let server = Server::start(move |_, _| bomb.clone()).await;
    assert_eq!(fetched(&server, "/").await, Err(FetchError::TooLong));
    let server = Server::start(|_, _| Said::Drip).await;
    let started = Instant::now();
    let fetcher = allowing(&[&server]);
    let ended = fetcher.fetch(community(1), &server.url("/"), Duration::from_mins(1)).await;
    assert_eq!(ended, Err(FetchError::TimedOut));
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(4_900) && took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn what_is_no_page_of_text_is_said_in_short_words() {
    for (said, want) in [
        (answer(404, "", b""), FetchError::Status(404)),
        (answer(200, "", &[0xff, 0xfe]), FetchError::NotText),
        (answer(302, "", b""), FetchError::Redirect),
        (Said::Whole(b"no http at all\r\n\r\n".to_vec()), FetchError::Unreachable),
        (Said::Whole(Vec::new()), FetchError::Unreachable),
    ] {
        let server = Server::start(move |_, _| said.clone()).await;
        let error = fetched(&server, "/hidden?hidden").await.unwrap_err();
        assert_eq!(error, want);
        let text = error.to_string();
        assert!(!text.contains("127") && !text.contains("hidden"), "{text}");
    }
}

#[tokio::test]
async fn three_redirects_are_followed_and_a_fourth_is_not() {
    let script = |_: usize, head: &str| {
        let left: usize = head[5..6].parse().unwrap();
        match left {
            0 => answer(200, "", b"there"),
            left => answer(302, &format!("location: /{}\r\n", left - 1), b""),
        }
    };
    let server = Server::start(script).await;
    assert_eq!(fetched(&server, "/3").await.as_deref(), Ok("there"));
    assert_eq!(fetched(&server, "/4").await, Err(FetchError::Redirect));
}

#[tokio::test]
async fn a_community_has_four_fetches_under_way_and_holds_up_no_other() {
    let server =
        Server::start(|number, _| if number < 4 { Said::Nothing } else { answer(200, "", b"ok") }).await;
    let (fetcher, url) = (allowing(&[&server]), server.url("/"));
    let hanging = join_all((0..4).map(|_| fetcher.fetch(community(1), &url, Duration::from_secs(2))));
    let others = async {
        let deadline = Instant::now() + LIMIT;
        while server.n_requests() < 4 && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        assert_eq!(fetcher.fetch(community(1), &url, LIMIT).await, Err(FetchError::Busy));
        assert_eq!(fetcher.fetch(community(2), &url, LIMIT).await.as_deref(), Ok("ok"));
    };
    let (ended, ()) = tokio::join!(hanging, others);
    assert!(ended.iter().all(|ended| *ended == Err(FetchError::TimedOut)), "{ended:?}");
    assert_eq!(fetcher.fetch(community(1), &url, LIMIT).await.as_deref(), Ok("ok"), "their turns came back");
}

#[tokio::test]
async fn a_site_that_fails_five_times_is_left_alone() {
    let server = Server::start(|_, _| answer(500, "", b"")).await;
    let fetcher = allowing(&[&server]);
    for _ in 0..5 {
        assert_eq!(fetcher.fetch(community(1), &server.url("/"), LIMIT).await, Err(FetchError::Status(500)));
    }
    assert_eq!(fetcher.fetch(community(2), &server.url("/"), LIMIT).await, Err(FetchError::Open));
    assert_eq!(server.n_requests(), 5, "each was tried once");
}
