//! R5 on one node: a database that is away is no fault of the modules.

use std::time::{Duration, Instant};

use super::modules::{add_channels, breaker, say};
use crate::cluster::door::Door;
use crate::node::{Launch, eventually};

const KEY: &str = "twitch:a";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_opens_no_breaker_and_commands_work_when_it_is_back() {
    let database = storage::testing::empty_postgres().await;
    let door = Door::new(&database.url).await;
    let launch = Launch::new("[limits]\ncommand_rate = 0\nmodule_timeout_ms = 500\n")
        .env("WADDLEBOT_STORAGE__URL", &door.url);
    let node = launch.start().await;
    add_channels(&node, &[KEY]).await;
    let (_, added) = say(&node, KEY, "!addcom !before text").await;
    assert!(added.to_string().contains("added"), "{added}");
    door.shut();
    for n in 0..8 {
        let (took, answer) = say(&node, KEY, &format!("!addcom !away{n} text")).await;
        let said = answer.to_string();
        assert!(said.contains("took too long") || said.contains("storage"), "{said}");
        assert!(took < Duration::from_secs(7), "{took:?}");
    }
    assert_eq!(breaker(&node, KEY, "commands").await, "CLOSED", "{}", node.log());
    door.open();
    let opened = Instant::now();
    eventually("commands are added again", || async {
        say(&node, KEY, "!addcom !back text").await.1.to_string().contains("added")
    })
    .await;
    println!("a command that was refused for {:?} after the database was back", opened.elapsed());
    assert!(opened.elapsed() < Duration::from_secs(5), "{:?}: {}", opened.elapsed(), node.log());
}
