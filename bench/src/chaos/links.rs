//! What a link between two nodes takes: the run stands in for a node that hears channels of another one and hands on
//! what it hears, as nodes do.

use std::fmt::Write as _;
use std::io::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, Identity};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::network::Place;
use super::node::SERVICE_KEY;
use super::table::{Line, row};
use super::world::World;

const NODE: usize = 0;
/// Calls under way while the link is full.
const N_CALLS: usize = 4;
const N_CHANNELS: usize = 100;
/// Events of one call: as many as the gateway sends at most, and as many as come in a millisecond or so.
const FULL_BATCH: usize = 1_000;
const PACED_BATCH: usize = 64;
/// Moments that may be told late.
const TICKS_MAX: usize = 1_024;
const GOAL_PER_SECOND: f64 = 150_000.0;
const TEXT: &str = "good evening everybody, what a stream this is, I was here from the start";

struct Link {
    client: Client,
    url: String,
    channel_ids: Vec<String>,
    next: AtomicUsize,
}

impl Link {
    /// The body of a call: that many lines, each with an id of its own, spread over the channels.
    fn batch(&self, n_events: usize) -> Result<String> {
        let per_channel = n_events.div_ceil(N_CHANNELS);
        let mut body = String::with_capacity(n_events * 500);
        let mut n_left = n_events;
        for id in &self.channel_ids {
            let n = per_channel.min(n_left);
            if n == 0 {
                break;
            }
            n_left -= n;
            let separator = if body.is_empty() { '[' } else { ',' };
            write!(body, "{separator}{{\"channel_id\":\"{id}\",\"events\":[").map_err(Error::other)?;
            for index in 0..n {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let separator = if index == 0 { "" } else { "," };
                write!(
                    body,
                    "{separator}{{\"channel_id\":\"{id}\",\"platform\":\"twitch\",\"kind\":\"chatMessage\",\"source\":\"twitch_irc\",\
                     \"message_id\":\"b34ccfc7-4977-403a-8a94-{number:012}\",\"user\":{{\"platform_user_id\":\"1337\",\
                     \"login\":\"ronni\",\"display_name\":\"Ronni\",\"level\":\"everyone\"}},\"text\":\"{TEXT}\",\
                     \"sent_at\":null,\"received_at\":\"2026-11-23T12:00:00Z\",\"correlation_id\":\"01M84EK47M0VNGETK0TSG5EAG8\",\
                     \"traceparent\":null,\"metadata\":{{}}}}"
                )
                .map_err(Error::other)?;
            }
            body.push_str("]}");
        }
        body.push(']');
        Ok(body)
    }

    /// Sends a batch and returns how many events the node took.
    async fn send(&self, n_events: usize) -> Result<usize> {
        let request = self.client.post(&self.url).header("x-waddlebot-cookie", SERVICE_KEY);
        let request = request.header("content-type", "application/json").body(self.batch(n_events)?);
        let answer = request.send().await.map_err(Error::other)?;
        let status = answer.status();
        let text = answer.text().await.map_err(Error::other)?;
        let taken: Value =
            serde_json::from_str(&text).map_err(|_| Error::other(format!("{status}: {text}")))?;
        let counts = taken.as_array().into_iter().flatten();
        let n_taken: u64 = counts.filter_map(|taken| taken["n_events"].as_u64()).sum();
        usize::try_from(n_taken).map_err(Error::other)
    }
}

/// The figures of one link.
pub(crate) async fn figures(world: &World, length: Duration) -> Result<Vec<Line>> {
    eprintln!("events over one link for twice {length:?}");
    world.load.rest().await?;
    let link = Arc::new(link(world).await?);
    let dropped_before = dropped(world).await;
    let (n_events, wall) = fill(&link, length).await?;
    let per_second = n_events as f64 / wall.as_secs_f64();
    let calls = pace(&link, GOAL_PER_SECOND / 2.0, length).await?;
    let n_dropped = dropped(world).await - dropped_before;
    world.load.go_on();
    let what = "events a second over one link, in calls of up to 1,000";
    let measured = format!("{per_second:.0}, {n_dropped:.0} of {n_events} shed by full channels");
    Ok(vec![
        Line::new("link", what, measured, "≥150,000", per_second >= GOAL_PER_SECOND),
        row(
            "link",
            "at 75,000/s in calls of 64: from the call to its answer".to_owned(),
            &calls,
            "p99 <2 ms",
            |p| p.p99_ms < 2.0,
        ),
    ])
}

async fn link(world: &World) -> Result<Link> {
    let incarnation = world.incarnation(NODE).await?.ok_or_else(|| Error::other("the node is gone"))?;
    let address = Place::Node(NODE).address();
    let identity =
        Identity::from_pem(&world.setting.pem(&[&format!("{address}.pem"), &format!("{address}.key")])?)
            .map_err(Error::other)?;
    let authority = Certificate::from_pem(&world.setting.pem(&["ca.pem"])?).map_err(Error::other)?;
    let client = Client::builder().identity(identity).tls_certs_only([authority]).tcp_nodelay(true).build();
    Ok(Link {
        client: client.map_err(Error::other)?,
        url: format!("https://{address}:7070/peer/relay"),
        channel_ids: world.channel_ids_of(&incarnation, N_CHANNELS).await?,
        next: AtomicUsize::new(0),
    })
}

/// Keeps the link full.
async fn fill(link: &Arc<Link>, length: Duration) -> Result<(usize, Duration)> {
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..N_CALLS {
        let link = Arc::clone(link);
        calls.spawn(async move {
            let mut n_events = 0;
            while started.elapsed() < length {
                n_events += link.send(FULL_BATCH).await?;
            }
            Ok::<_, Error>(n_events)
        });
    }
    let mut n_events = 0;
    while let Some(ended) = calls.join_next().await {
        n_events += ended.map_err(Error::other)??;
    }
    Ok((n_events, started.elapsed()))
}

/// Sends at a pace and returns how long each call took, counted from when it was due.
async fn pace(link: &Arc<Link>, per_second: f64, length: Duration) -> Result<Vec<Duration>> {
    let mut ticks = ticks(Duration::from_secs_f64(PACED_BATCH as f64 / per_second), length);
    let (mut calls, mut took) = (JoinSet::new(), Vec::new());
    while let Some(due) = ticks.recv().await {
        let link = Arc::clone(link);
        calls.spawn(async move { link.send(PACED_BATCH).await.map(|_| due.elapsed()) });
        while let Some(ended) = calls.try_join_next() {
            took.push(ended.map_err(Error::other)??);
        }
    }
    while let Some(ended) = calls.join_next().await {
        took.push(ended.map_err(Error::other)??);
    }
    Ok(took)
}

/// The moments at which something is due. From a thread of its own: tokio's timers go off up to a millisecond late, as much
/// as is to be measured.
#[expect(clippy::disallowed_methods, reason = "a thread that does nothing but wait for the next moment")]
fn ticks(each: Duration, length: Duration) -> mpsc::Receiver<Instant> {
    let (tell, told) = mpsc::channel(TICKS_MAX);
    let started = Instant::now();
    std::thread::spawn(move || {
        let mut due = started;
        while due < started + length {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if tell.blocking_send(due).is_err() {
                return;
            }
            due += each;
        }
    });
    told
}

async fn dropped(world: &World) -> f64 {
    world.caller.metric(NODE, "waddlebot_messages_dropped_total").await.unwrap_or(0.0)
}
