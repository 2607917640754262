//! R6: the disk is full, then it is not: the user is told, reading goes on, no restart is needed.

use std::time::{Duration, Instant};

use crate::node::{Launch, PATIENCE};

/// A small file system of its own for the data folder, gone with the process.
const SMALL_DISK: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    "mount -t tmpfs -o size=3m small data && exec \"$0\" \"$@\"",
];

#[tokio::test]
async fn a_full_disk_is_said_and_after_space_comes_back_writing_works_without_a_restart() {
    let launch = Launch::new("[limits]\ncommand_rate = 0\n").console().under(SMALL_DISK);
    std::fs::create_dir_all(launch.data_dir()).expect("a data folder");
    let mut node = launch.start().await;
    assert!(node.say("!addcom !before works").await.contains("added"));
    let filler = format!("/proc/{}/root{}/filler", node.pid(), node.launch.data_dir().display());
    fill(&filler);

    let text = "x".repeat(400);
    let mut refused = None;
    for n in 0..200 {
        let said = node.say(&format!("!addcom !fill{n} {text}")).await;
        if !said.contains("added") {
            refused = Some((n, said));
            break;
        }
    }
    let (n, said) = refused.expect("the disk is full at some point");
    assert!(said.contains("full"), "the user is told: {said}");
    assert!(node.say("!before").await.contains("works"), "reading goes on");
    assert!(node.say("!ping").await.contains("Pong"), "other commands go on");

    std::fs::remove_file(&filler).expect("space comes back");
    let freed = Instant::now();
    loop {
        let said = node.say(&format!("!addcom !after{n} {text}")).await;
        if said.contains("added") {
            break;
        }
        assert!(freed.elapsed() < PATIENCE, "still refused: {said}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("full at command {n}: \"{said}\"; writing again {:?} after space came back", freed.elapsed());
    assert!(freed.elapsed() < Duration::from_secs(25), "{:?}", freed.elapsed());
    let mut node = {
        node.signal(15).await;
        assert!(node.ended().await.success());
        node
    };
    assert_eq!(node.line().await, None);
}

/// Writes until the file system is full, but for a few pages.
fn fill(path: &str) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).expect("the small disk is reachable");
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file.flush());
}
