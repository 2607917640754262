//! An open call from each node to each other one, answered by a byte a second without end: when a process ends, its
//! system closes them at once, and the others look whether it is dead instead of waiting for its lease to lapse.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use membership::{Incarnation, Input};
use reqwest::Method;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gateway::{Gateway, Peer, PeerCall};
use super::member::Member;

/// Where a peer's link is answered.
pub const PATH: &str = "/peer/link";
/// Between two signs of life on a link.
pub const SIGN_EVERY: Duration = Duration::from_secs(1);
/// A link without one for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// From a link that ended to the next attempt.
const REDIAL: Duration = Duration::from_millis(500);
/// Ends that wait to be told at most.
const ENDS_MAX: usize = 256;

/// Holds a link to every other member and tells the protocol of each that ends.
pub async fn watch(gateway: Gateway, member: Member, tasks: TaskTracker) {
    let mut seen = member.seen();
    let mut links = HashMap::new();
    let (ended, mut ends) = mpsc::channel::<Incarnation>(ENDS_MAX);
    loop {
        seen.borrow_and_update();
        let peers = gateway.peers();
        links.retain(|peer, _| peers.contains(peer));
        for peer in peers {
            links.entry(peer.clone()).or_insert_with(|| {
                let closed = CancellationToken::new();
                let link = link(gateway.clone(), peer, ended.clone());
                tasks.spawn(closed.clone().run_until_cancelled_owned(link));
                closed.drop_guard()
            });
        }
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { return },
            Some(peer) = ends.recv() => member.tell(Input::PeerDropped(peer)).await,
        }
    }
}

/// Dials again and again; says so each time a link that stood has ended.
async fn link(gateway: Gateway, peer: Peer, ended: mpsc::Sender<Incarnation>) {
    let mut in_trouble = false;
    loop {
        let why = match hold(&gateway, &peer).await {
            Ok(()) => {
                if ended.send(peer.incarnation).await.is_err() {
                    return;
                }
                "it ended".to_owned()
            }
            Err(why) => why,
        };
        if !std::mem::replace(&mut in_trouble, true) {
            tracing::warn!(peer = %peer.node, why, "no link to another node, trying again");
        }
        tokio::time::sleep(REDIAL).await;
    }
}

/// Reads signs of life until there are none any more.
async fn hold(gateway: &Gateway, peer: &Peer) -> Result<(), String> {
    let call = PeerCall {
        method: Method::GET,
        path: PATH.to_owned(),
        headers: reqwest::header::HeaderMap::new(),
        body: Bytes::new(),
        limit: SILENCE_MAX,
    };
    let begun = tokio::time::timeout(SILENCE_MAX, gateway.begin(peer, call)).await;
    let mut response =
        begun.map_err(|_elapsed| "no answer in time".to_owned())?.map_err(|error| error.why)?;
    if !response.status().is_success() {
        return Err(format!("it answered {}", response.status()));
    }
    while let Ok(Ok(Some(_sign))) = tokio::time::timeout(SILENCE_MAX, response.chunk()).await {}
    Ok(())
}
