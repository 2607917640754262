//! A network of the run's own: each node in a namespace, and every way between two places can be cut, one way or both.
//!
//! A cut is a neighbour entry with a hardware address that nobody has: packets leave and reach nobody, as with a switch
//! that lost them, and no sender is told.

use std::io::{Error, Result};
use std::net::Ipv4Addr;
use std::process::Command;

const BRIDGE: &str = "wdchaos";
const NOBODY: &str = "02:00:5e:00:00:01";

/// Who can be cut off from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Counted from 0.
    Node(usize),
    Database,
    Twitch,
    /// Where the run itself asks and listens from. Cut from here, a node hears no service at all.
    Control,
}

impl Place {
    pub(crate) fn address(self) -> Ipv4Addr {
        let last = match self {
            Self::Node(number) => u8::try_from(number).map_or(200, |number| number + 1),
            Self::Database => 250,
            Self::Twitch => 251,
            Self::Control => 254,
        };
        Ipv4Addr::new(10, 213, 77, last)
    }
}

/// Gone with this value.
pub(crate) struct Network {
    n_nodes: usize,
}

impl Network {
    /// Makes the bridge and the namespaces.
    ///
    /// # Errors
    /// Not root, or no `ip` of iproute2.
    pub(crate) fn new(n_nodes: usize) -> Result<Self> {
        let network = Self { n_nodes };
        // What a killed run left.
        network.remove();
        ip(&["link", "add", BRIDGE, "type", "bridge"]).map_err(|error| {
            Error::other(format!("a network of its own needs root and Debian's iproute2: {error}"))
        })?;
        for place in [Place::Database, Place::Twitch, Place::Control] {
            ip(&["addr", "add", &format!("{}/24", place.address()), "dev", BRIDGE])?;
        }
        ip(&["link", "set", BRIDGE, "up"])?;
        for number in 0..n_nodes {
            let (space, outside, inside) = (namespace(number), format!("{BRIDGE}{number}"), "eth0");
            ip(&["netns", "add", &space])?;
            ip(&["link", "add", &outside, "type", "veth", "peer", "name", inside, "netns", &space])?;
            ip(&["link", "set", &outside, "master", BRIDGE, "up"])?;
            let address = format!("{}/24", Place::Node(number).address());
            ip(&["-n", &space, "addr", "add", &address, "dev", inside])?;
            ip(&["-n", &space, "link", "set", inside, "up"])?;
            ip(&["-n", &space, "link", "set", "lo", "up"])?;
        }
        Ok(network)
    }

    fn remove(&self) {
        for number in 0..self.n_nodes {
            // Not there at the first run.
            drop(ip(&["netns", "del", &namespace(number)]));
            drop(ip(&["link", "del", &format!("{BRIDGE}{number}")]));
        }
        drop(ip(&["link", "del", BRIDGE]));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Lets nothing more through from one to the other; the other way stays open.
pub(crate) fn cut(from: Place, to: Place) -> Result<()> {
    let to = to.address().to_string();
    neighbour(from, &["replace", &to, "lladdr", NOBODY, "nud", "permanent"])
}

/// Opens it again.
pub(crate) fn heal(from: Place, to: Place) -> Result<()> {
    neighbour(from, &["del", &to.address().to_string()])
}

/// The namespace that a node runs in.
pub(crate) fn namespace(number: usize) -> String {
    format!("{BRIDGE}{number}")
}

fn neighbour(from: Place, words: &[&str]) -> Result<()> {
    let (space, device) = match from {
        Place::Node(number) => (Some(namespace(number)), "eth0"),
        Place::Database | Place::Twitch | Place::Control => (None, BRIDGE),
    };
    let mut all: Vec<&str> = space.iter().flat_map(|space| ["-n", space.as_str()]).collect();
    all.extend(["neigh"].iter().chain(words));
    all.extend(["dev", device]);
    ip(&all)
}

fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("ip {}: {}", words.join(" "), said.trim())))
}
