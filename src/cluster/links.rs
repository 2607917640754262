//! An open connection from each node to each other one, on which nothing is said: when a process ends, its system closes
//! them at once, and the others look whether it is dead instead of waiting for its lease to lapse.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use membership::{Incarnation, Input};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::member::Member;

/// Connections that others may hold open here; more are closed.
const HELD_MAX: usize = 256;
const DIAL_LIMIT: Duration = Duration::from_secs(1);
/// From a link that ended to the next attempt.
const REDIAL: Duration = Duration::from_millis(500);
/// A listener that fails is asked again after this.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Keeps open what others dial, until they close it.
pub async fn hold(listener: TcpListener) {
    let mut held = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if held.len() < HELD_MAX => drop(held.spawn(until_closed(stream))),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a link of another node");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
            Some(_ended) = held.join_next() => {}
        }
    }
}

/// Holds a link to every other member and tells the protocol of each that ends.
pub async fn watch(member: Member, me: Incarnation, tasks: TaskTracker) {
    let mut seen = member.seen();
    let mut links = HashMap::new();
    let (ended, mut ends) = mpsc::channel::<Incarnation>(HELD_MAX);
    loop {
        let others: HashMap<_, _> = seen
            .borrow_and_update()
            .members
            .iter()
            .filter(|other| other.seat.incarnation != me)
            .map(|other| (other.seat.incarnation, other.address.clone()))
            .collect();
        links.retain(|peer, _| others.contains_key(peer));
        for (peer, address) in others {
            links.entry(peer).or_insert_with(|| {
                let closed = tokio_util::sync::CancellationToken::new();
                let link = link(peer, address, ended.clone());
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
async fn link(peer: Incarnation, address: String, ended: mpsc::Sender<Incarnation>) {
    loop {
        let dialled = tokio::time::timeout(DIAL_LIMIT, TcpStream::connect(&address)).await;
        if let Ok(Ok(stream)) = dialled {
            until_closed(stream).await;
            if ended.send(peer).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(REDIAL).await;
    }
}

/// Reads and forgets until the other side closes.
async fn until_closed(mut stream: TcpStream) {
    let mut bytes = [0; 64];
    let closed: io::Result<()> = async {
        while stream.read(&mut bytes).await? > 0 {}
        Ok(())
    }
    .await;
    if let Err(error) = closed {
        tracing::debug!(%error, "a link between nodes broke");
    }
}
