//! `make cluster`: three nodes on this machine, from the repository's own cluster.toml.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::node::PROGRAM;

/// PostgreSQL, Redis and three nodes begin.
const START: Duration = Duration::from_secs(90);
/// They hand over and end.
const STOP: Duration = Duration::from_mins(1);

#[tokio::test]
async fn three_nodes_meet_and_end_with_the_script() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/cluster.sh");
    let mut command = Command::new(script);
    // Settings of other tests are none of a node's; without the server's address it starts one.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WADDLEBOT_") {
            command.env_remove(name);
        }
    }
    let mut cluster = command
        .arg(PROGRAM)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("bash");
    let mut lines = BufReader::new(cluster.stdout.take().expect("its output")).lines();
    let mut said = String::new();
    let started = tokio::time::timeout(START, async {
        while let Some(line) = lines.next_line().await.expect("text") {
            said.push_str(&line);
            said.push('\n');
            if line.starts_with("Stop everything") {
                return true;
            }
        }
        false
    });
    assert_eq!(started.await, Ok(true), "{said}");
    assert_eq!(said.matches(" active ").count(), 3, "{said}");
    let pid = cluster.id().expect("it runs").to_string();
    let told = Command::new("kill").args(["-s", "INT", &pid]).status().await.expect("kill");
    assert!(told.success());
    tokio::time::timeout(STOP, cluster.wait()).await.expect("it ends").expect("a status");
    let pids: Vec<&str> =
        said.lines().filter_map(|line| line.split_once(" pid ")?.1.split(' ').next()).collect();
    assert_eq!(pids.len(), 3, "{said}");
    for pid in pids {
        assert!(!Path::new("/proc").join(pid).exists(), "{pid} is left: {said}");
    }
}
