//! Names to addresses, only public ones: the connection goes to the very address that was looked at.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::address::is_public;

/// Lookups under way; each holds a thread until the system gives up, however soon its caller did.
const LOOKUPS_MAX: usize = 32;

/// Asks for a name's addresses; may block.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The system's own lookup.
pub(super) fn system() -> Lookup {
    Arc::new(|name| Ok((name, 0).to_socket_addrs()?.collect()))
}

/// Looks names up and may refuse what they stand for.
#[derive(Clone)]
pub(super) struct Resolver {
    lookup: Lookup,
    under_way: Arc<Semaphore>,
    only_public: bool,
}

impl Resolver {
    /// One that refuses every name behind which is an address that is not public.
    pub fn only_public(lookup: Lookup) -> Self {
        Self { lookup, under_way: Arc::new(Semaphore::new(LOOKUPS_MAX)), only_public: true }
    }

    /// The same for names that the operator allowed, wherever they lead.
    pub fn unrestricted(&self) -> Self {
        Self { only_public: false, ..self.clone() }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { lookup, under_way, only_public } = self.clone();
        Box::pin(async move {
            let permit = under_way.acquire_owned().await?;
            let found = tokio::task::spawn_blocking(move || {
                let found = lookup(name.as_str());
                drop(permit);
                found
            });
            let found = found.await??;
            let is_good = |address: &SocketAddr| !only_public || is_public(address.ip());
            // One bad address makes the name bad: whoever mixes them wants us to end up there.
            if found.is_empty() || !found.iter().all(is_good) {
                return Err(io::Error::other("no such host").into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
