//! R4: a node under load while its Redis is killed, emptied, stopped, filled up or locked.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::node::{Launch, Node, eventually};
use crate::redis_server::RedisServer;

/// Callers at a time whose commands need no Redis, and strangers whose calls are counted in it.
const COMMANDERS: usize = 6;
const STRANGERS: usize = 2;
/// What a trouble may add to the 99th percentile.
const P99_MORE_MAX: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    Calm,
    Emptied,
    Stopped,
    OutOfMemory,
    Killed,
    WrongPassword,
}

/// How long a trouble lasts, and the calm before; with `make soak` as long as R4 asks.
fn length() -> Duration {
    let is_soak = std::env::var_os("WADDLEBOT_TEST_SOAK").is_some();
    Duration::from_secs(if is_soak { 30 } else { 3 })
}

/// What one load saw.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    n_unanswered: usize,
}

impl Seen {
    fn p99(&mut self) -> Duration {
        self.took.sort_unstable();
        self.took[(self.took.len() * 99).div_ceil(100) - 1]
    }
}

async fn command(node: &Node, n: usize) -> bool {
    let body = json!({
        "platform": "twitch", "channel_id": "a", "user_id": format!("u{n}"), "username": "ann", "message": "!ping",
        "message_type": "chatMessage", "message_id": format!("m{n}"), "metadata": { "level": "moderator" },
    });
    let (status, answer) = node.post("/api/v1/router/events", body).await;
    status == 200 && answer["data"]["response"].is_string()
}

async fn stranger(node: &Node) -> bool {
    let answer = node.raw_get("/api/v1/status", "x-service-key", "wrong").await;
    matches!(answer.status().as_u16(), 401 | 429)
}

/// Calls again and again until `done`.
async fn load(node: &Node, ids: &AtomicUsize, done: &AtomicBool) -> Seen {
    let caller = |is_commander: bool| async move {
        let mut seen = Seen::default();
        while !done.load(Ordering::Relaxed) {
            let began = Instant::now();
            let is_answered = if is_commander {
                command(node, ids.fetch_add(1, Ordering::Relaxed)).await
            } else {
                stranger(node).await
            };
            seen.took.push(began.elapsed());
            seen.n_unanswered += usize::from(!is_answered);
        }
        seen
    };
    let callers = (0..COMMANDERS + STRANGERS).map(|n| caller(n < COMMANDERS));
    join_all(callers).await.into_iter().fold(Seen::default(), |mut all, one| {
        all.took.extend(one.took);
        all.n_unanswered += one.n_unanswered;
        all
    })
}

async fn begin(trouble: Trouble, server: &mut RedisServer) {
    match trouble {
        Trouble::Calm => {}
        Trouble::Emptied => drop(server.command(1, &["FLUSHALL"]).await),
        Trouble::Stopped => server.pause(),
        Trouble::OutOfMemory => drop(server.command(1, &["CONFIG", "SET", "maxmemory", "1"]).await),
        Trouble::Killed => server.kill(),
        Trouble::WrongPassword => server.set_password("changed").await,
    }
}

async fn end(trouble: Trouble, server: &mut RedisServer) {
    match trouble {
        Trouble::Calm | Trouble::Emptied => {}
        Trouble::Stopped => server.resume(),
        Trouble::OutOfMemory => drop(server.command(1, &["CONFIG", "SET", "maxmemory", "0"]).await),
        Trouble::Killed => server.start_again().await,
        Trouble::WrongPassword => server.set_password("").await,
    }
}

async fn is_up(node: &Node) -> bool {
    let (status, ready) = node.get("/readyz").await;
    assert_eq!(status, 200, "Redis decides nothing");
    ready["data"]["redis"] == "up"
}

/// How the node fared, and how long after the trouble it used Redis again.
async fn suffer(
    trouble: Trouble,
    node: &Node,
    server: &mut RedisServer,
    ids: &AtomicUsize,
) -> (Seen, Duration) {
    let done = AtomicBool::new(false);
    let trouble_and_cure = async {
        begin(trouble, server).await;
        tokio::time::sleep(length()).await;
        let loses_redis = matches!(trouble, Trouble::Stopped | Trouble::Killed | Trouble::WrongPassword);
        assert_eq!(is_up(node).await, !loses_redis, "{trouble:?}");
        end(trouble, server).await;
        let ended = Instant::now();
        eventually("Redis is used again", || is_up(node)).await;
        done.store(true, Ordering::Relaxed);
        ended.elapsed()
    };
    tokio::join!(load(node, ids, &done), trouble_and_cure)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_go_on_whatever_happens_to_redis() {
    let mut server = RedisServer::start().await;
    server.age().await;
    let node =
        Launch::new("[limits]\ncommand_rate = 0\n").env("WADDLEBOT_REDIS__URL", &server.url()).start().await;
    node.post("/api/v1/channels", json!({ "key": "twitch:a" })).await;
    let ids = AtomicUsize::new(0);
    let (mut calm, _) = suffer(Trouble::Calm, &node, &mut server, &ids).await;
    let calm_p99 = calm.p99();
    assert_eq!(calm.n_unanswered, 0, "{}", node.log());
    println!("| Redis | calls | not answered | p99 | used again after |");
    println!("|---|---|---|---|---|");
    println!("| calm | {} | 0 | {calm_p99:.1?} | |", calm.took.len());
    for trouble in
        [Trouble::Emptied, Trouble::Stopped, Trouble::OutOfMemory, Trouble::Killed, Trouble::WrongPassword]
    {
        let (mut seen, again) = suffer(trouble, &node, &mut server, &ids).await;
        let (n_calls, p99) = (seen.took.len(), seen.p99());
        println!("| {trouble:?} | {n_calls} | {} | {p99:.1?} | {again:.1?} |", seen.n_unanswered);
        assert!(seen.n_unanswered * 1_000 <= n_calls, "{trouble:?}: {}", node.log());
        assert!(p99 <= calm_p99 + P99_MORE_MAX, "{trouble:?}: {p99:?} after {calm_p99:?}");
        assert!(again <= Duration::from_secs(2), "{trouble:?}: {again:?}");
    }
}
