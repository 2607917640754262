//! What the metrics show of the queue.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use storage::queue::Claimed;

use super::Queue;

/// The `service` label of every metric that `WaddleBot` had.
const SERVICE: &str = "waddlebot";

const SAMPLE_EVERY: Duration = Duration::from_secs(5);

pub(super) fn claimed(message: &Claimed) {
    if message.attempt > 1 {
        metrics::counter!("waddlebot_redelivered_total").increment(1);
    }
}

pub(super) fn handled(message: &Claimed, took: Duration) {
    metrics::histogram!("waddlebot_queue_processing_duration_seconds",
        "service" => SERVICE, "queue_name" => message.topic.clone())
    .record(took.as_secs_f64());
}

/// Counts what waits, every five seconds, for the metrics and for the bound of the queue.
pub(super) async fn sample(queue: &Queue) -> Infallible {
    let mut interval = tokio::time::interval(SAMPLE_EVERY);
    // A topic that was seen once is shown from then on, also when nothing waits any more.
    let mut waiting: HashMap<String, i64> = HashMap::new();
    loop {
        interval.tick().await;
        let depths = match storage::queue::depth(&queue.db).await {
            Ok(depths) => depths,
            Err(error) => {
                tracing::debug!(%error, "cannot count what waits in the queue");
                continue;
            }
        };
        for n in waiting.values_mut() {
            *n = 0;
        }
        let mut n_dead = 0;
        for depth in depths {
            if depth.state == "dead" {
                n_dead += depth.n_messages;
            } else {
                *waiting.entry(depth.topic).or_default() += depth.n_messages;
            }
        }
        queue.backlog.store(waiting.values().sum(), Ordering::Relaxed);
        metrics::gauge!("waddlebot_dlq_depth").set(n_dead as f64);
        for (topic, n) in &waiting {
            metrics::gauge!("waddlebot_queue_size", "service" => SERVICE, "queue_name" => topic.clone())
                .set(*n as f64);
        }
    }
}
