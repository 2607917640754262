//! Consistent hashing: which node a key falls to, with as few moves as possible when nodes come and go.
//!
//! Each node has points on a circle of 64 bits, a key falls to the next point. With 150 points a node that is uneven:
//! at ten nodes one set of ids in ten puts more than 1.25 times the mean on one node. So a key asks at five places
//! (multi-probe consistent hashing, Appleton and O'Reilly 2015) and falls to the point that is nearest to its place: a
//! node with long gaps wins less. All promises of a plain ring stay, since a new point only ever wins keys for itself.
//!
//! Points and places are `SipHash`-2-4 of 128 bits with a zero key; nothing here may change between versions, as nodes of
//! two versions must agree.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::NodeId;

#[cfg(test)]
mod tests;

/// Points of a node of weight 100, unless configured.
pub const VIRTUAL_NODES: u32 = 150;
/// Places at which a key asks.
const PROBES: u64 = 5;
/// Points that one node has at most, whatever its weight.
const POINTS_MAX: u64 = 15_000;

/// Where keys ask: those of one affinity fall to one node. A hash, since a node knows it of each key of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affinity(u64, u64);

impl Affinity {
    /// That of a text; a key that goes with no other has its own name for it.
    pub fn of(text: &str) -> Self {
        let mut hasher = SipHasher24::new();
        hasher.write(text.as_bytes());
        let hash = hasher.finish128();
        Self(hash.h1, hash.h2)
    }
}

/// The nodes of one role on a circle.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    /// By place, then by node.
    points: Vec<(u64, u16)>,
    /// By id, each once.
    nodes: Vec<NodeId>,
}

impl Ring {
    /// Puts nodes on the circle, in any order, with `virtual_nodes` points for each 100 of weight. Weight 0 is no point.
    pub fn new<'a>(members: impl IntoIterator<Item = (&'a NodeId, u32)>, virtual_nodes: u32) -> Self {
        let mut members: Vec<_> = members.into_iter().filter(|(_, weight)| *weight > 0).collect();
        members.sort_unstable();
        members.dedup_by_key(|(node, _)| *node);
        members.truncate(usize::from(u16::MAX));
        let mut points = Vec::new();
        for (at, (node, weight)) in (0_u16..).zip(&members) {
            let n_points = (u64::from(*weight) * u64::from(virtual_nodes) / 100).clamp(1, POINTS_MAX);
            points.extend((0..n_points).map(|number| (point(node, number), at)));
        }
        points.sort_unstable();
        Self { points, nodes: members.into_iter().map(|(node, _)| node.clone()).collect() }
    }

    /// The node that a key of this affinity falls to; `None` on an empty ring. O(log n).
    pub fn owner(&self, affinity: Affinity) -> Option<&NodeId> {
        let Affinity(first, step) = affinity;
        (0..PROBES)
            .filter_map(|probe| self.next(first.wrapping_add((step | 1).wrapping_mul(probe))))
            .min()
            .map(|(_, node)| &self.nodes[usize::from(node)])
    }

    /// Whether that node is on it.
    pub fn contains(&self, node: &NodeId) -> bool {
        self.nodes.binary_search(node).is_ok()
    }

    /// The distance to the next point, and whose it is.
    fn next(&self, place: u64) -> Option<(u64, u16)> {
        let at = self.points.partition_point(|(point, _)| *point < place);
        let (point, node) = self.points.get(at).or_else(|| self.points.first())?;
        Some((point.wrapping_sub(place), *node))
    }
}

fn point(node: &NodeId, number: u64) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(node.0.as_bytes());
    hasher.write(&number.to_le_bytes());
    hasher.finish128().h1
}
