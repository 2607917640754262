//! Programs of two versions in one cluster: they share it while one version of the protocol is common to them.

use super::{Cluster, has_its_share};

impl Cluster {
    /// From now on the node says that it speaks those versions, as a program of another release would.
    async fn speaks(&self, node: &str, oldest: i64, newest: i64) {
        self.database.db.set_protocol(node, oldest, newest).await.expect("the row is there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_others_of_the_next_version_and_refuses_those_it_cannot_talk_to() {
    let cluster = Cluster::new().await;
    let a = cluster.launch("a").start().await;
    cluster.all_joined(&[&a]).await;
    // The next version speaks this one's protocol too.
    cluster.speaks("a", 1, 2).await;
    let b = cluster.launch("b").start().await;
    has_its_share(&b, "b").await;
    cluster.all_joined(&[&a, &b]).await;

    cluster.speaks("a", 2, 3).await;
    let (status, said, _) = cluster.launch("c").run_to_end().await;
    assert!(!status.success(), "{said}");
    let why = "a speaks versions 2 to 3 of the protocol between nodes, this program 1 to 1";
    assert!(said.contains(why), "{said}");
    cluster.all_joined(&[&a, &b]).await;
}
