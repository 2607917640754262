//! Calls to hosts of the configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::CorrelationId;
use reqwest::StatusCode;
use rustls::RootCertStore;
use ulid::Ulid;

use super::server::{Said, Server, answer, gzip_bomb};
use crate::http::{HttpClient, HttpError, HttpOptions};
use crate::messages::Clock;

fn client() -> HttpClient {
    HttpClient::new(HttpOptions { roots: RootCertStore::empty(), clock: Clock::System, seed: 1 }).unwrap()
}

/// Lets time pass for breakers, while sockets go on in real time.
async fn pass(duration: Duration) {
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_host_that_fails_five_times_is_left_alone_and_closes_after_two_successes() {
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let status = move || if failing.load(Ordering::SeqCst) { 500 } else { 200 };
    let server = Server::start(move |_, _| answer(status(), "", b"")).await;
    let (http, url) = (client(), server.url("/"));
    let post = async || http.post(&url).send().await.map(|answer| answer.status.as_u16());
    for _ in 0..5 {
        assert_eq!(post().await, Ok(500));
    }
    let mut took = Vec::new();
    for _ in 0..21 {
        let asked = Instant::now();
        assert!(matches!(post().await, Err(HttpError::Open { retry_after: Some(_), .. })));
        took.push(asked.elapsed());
    }
    took.sort();
    assert!(took[took.len() / 2] < Duration::from_millis(5), "{took:?}");
    assert_eq!(server.n_requests(), 5, "nothing is sent while it is open");

    pass(Duration::from_secs(61)).await;
    assert_eq!(post().await, Ok(500), "the probe");
    assert!(matches!(post().await, Err(HttpError::Open { .. })), "a failed probe opens again");
    pass(Duration::from_secs(61)).await;
    fails.store(false, Ordering::SeqCst);
    assert_eq!((post().await, post().await), (Ok(200), Ok(200)));
    fails.store(true, Ordering::SeqCst);
    assert_eq!((post().await, post().await), (Ok(500), Ok(500)), "closed: one failure does not open it");
}

#[tokio::test]
async fn what_a_host_refuses_is_no_failure_of_it() {
    let server = Server::start(|_, _| answer(404, "", b"")).await;
    let http = client();
    for _ in 0..20 {
        assert_eq!(http.get(&server.url("/")).send().await.unwrap().status, StatusCode::NOT_FOUND);
    }
    assert_eq!(server.n_requests(), 20);
}

#[tokio::test]
async fn a_host_that_wants_a_pause_gets_all_of_it() {
    let script = |number, _: &str| match number {
        0 => answer(429, "retry-after: 30\r\n", b""),
        _ => answer(200, "", b""),
    };
    let server = Server::start(script).await;
    let (http, url) = (client(), server.url("/"));
    assert_eq!(http.get(&url).send().await.unwrap().status, StatusCode::TOO_MANY_REQUESTS);
    for _ in 0..2 {
        assert!(matches!(http.get(&url).send().await, Err(HttpError::Open { .. })));
        pass(Duration::from_secs(14)).await;
    }
    assert!(matches!(http.get(&url).send().await, Err(HttpError::Open { .. })), "28 s are not 30");
    assert_eq!(server.n_requests(), 1);
    pass(Duration::from_secs(3)).await;
    assert_eq!(http.get(&url).send().await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn what_only_asks_is_tried_three_times_and_what_changes_once() {
    let server = Server::start(|number, _| answer(if number == 2 { 200 } else { 503 }, "", b"done")).await;
    let answered = client().get(&server.url("/")).send().await.unwrap();
    assert_eq!((answered.status, answered.body.as_slice()), (StatusCode::OK, b"done".as_slice()));
    assert_eq!(server.n_requests(), 3);

    let server = Server::start(|_, _| answer(503, "", b"")).await;
    let answered = client().post(&server.url("/")).form(&[("a", "b")]).send().await.unwrap();
    assert_eq!((answered.status, server.n_requests()), (StatusCode::SERVICE_UNAVAILABLE, 1));
    let answered = client().get(&server.url("/")).send().await.unwrap();
    assert_eq!((answered.status, server.n_requests()), (StatusCode::SERVICE_UNAVAILABLE, 4));
}

#[tokio::test]
async fn a_retry_waits_as_long_as_the_host_asks_and_never_beyond_the_limit() {
    let script = |number, _: &str| match number {
        0 => answer(503, "retry-after: 1\r\n", b""),
        _ => answer(200, "", b""),
    };
    let server = Server::start(script).await;
    let started = Instant::now();
    assert_eq!(client().get(&server.url("/")).send().await.unwrap().status, StatusCode::OK);
    assert!(started.elapsed() >= Duration::from_secs(1));

    let server = Server::start(|_, _| answer(503, "retry-after: 60\r\n", b"")).await;
    let started = Instant::now();
    client().get(&server.url("/")).send().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(server.n_requests(), 1);
}

#[tokio::test]
async fn an_answer_is_bounded_in_size_and_time() {
    let bomb = gzip_bomb();
    let server = Server::start(move |_, _| bomb.clone()).await;
    let ended = client().get(&server.url("/")).send().await;
    assert!(matches!(ended, Err(HttpError::TooLong { bytes_max: 0x0010_0000, .. })), "{ended:?}");
    let server = Server::start(|_, _| Said::Drip).await;
    let started = Instant::now();
    let ended = client().get(&server.url("/")).limit(Duration::from_millis(300)).send().await;
    assert!(matches!(ended, Err(HttpError::TimedOut { .. })), "{ended:?}");
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_call_carries_its_correlation_id_and_an_error_names_the_host_alone() {
    let server = Server::start(|_, _| answer(200, "", b"")).await;
    let id = CorrelationId(Ulid::from_parts(7, 7));
    client().get(&server.url("/")).correlation(id).send().await.unwrap();
    let head = server.last_head();
    assert!(head.contains(&format!("x-correlation-id: {}", id.to_string().to_lowercase())), "{head}");

    let call = client().get("http://127.0.0.1:1/hidden-path?token=hidden-token").authorization("hidden-key");
    let shown = format!("{call:?}");
    let error = call.limit(Duration::from_secs(2)).send().await.unwrap_err();
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(text.contains("127.0.0.1") && !text.contains("hidden"), "{text}");
    }
    assert!(!shown.contains("hidden"), "{shown}");
}
