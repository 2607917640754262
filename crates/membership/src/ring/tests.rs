use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const N_KEYS: usize = 5_000;

fn ring(nodes: &[NodeId]) -> Ring {
    Ring::new(nodes.iter().map(|node| (node, 100)), VIRTUAL_NODES)
}

fn keys(salt: u64) -> Vec<String> {
    (0..N_KEYS).map(|n| format!("channel:{salt:x}-{n}")).collect()
}

fn owners(ring: &Ring, keys: &[String]) -> Vec<NodeId> {
    keys.iter().map(|key| ring.owner(Affinity::of(key)).unwrap().clone()).collect()
}

/// The fullest node's keys, of 1,000 that would be even.
fn max_per_mille_of_mean(owners: &[NodeId], n_nodes: usize) -> usize {
    let mut counts = BTreeMap::<&NodeId, usize>::new();
    for owner in owners {
        *counts.entry(owner).or_default() += 1;
    }
    counts.values().max().unwrap() * n_nodes * 1_000 / owners.len()
}

fn ids(n: usize) -> impl Strategy<Value = Vec<NodeId>> {
    prop::collection::btree_set("[a-z0-9.-]{1,20}", n)
        .prop_map(|ids| ids.into_iter().map(NodeId).collect::<Vec<_>>())
        .prop_shuffle()
}

proptest! {
    #[test]
    fn ten_nodes_of_any_names_share_evenly(nodes in ids(10), salt: u64) {
        let max = max_per_mille_of_mean(&owners(&ring(&nodes), &keys(salt)), 10);
        prop_assert!(max <= 1_250, "the fullest has {max} of 1000");
    }

    #[test]
    fn one_node_more_moves_few_keys_and_only_to_itself(nodes in ids(11), salt: u64) {
        let keys = keys(salt);
        let (before, after) = (owners(&ring(&nodes[1..]), &keys), owners(&ring(&nodes), &keys));
        let moved: Vec<_> = after.iter().zip(&before).filter(|(after, before)| after != before).collect();
        prop_assert!(moved.len() * 100 <= N_KEYS * 13, "{} moved", moved.len());
        prop_assert!(moved.iter().all(|(after, _)| **after == nodes[0]));
    }

    #[test]
    fn a_node_that_goes_moves_its_own_keys_only(nodes in ids(10), salt: u64) {
        let keys = keys(salt);
        let (before, after) = (owners(&ring(&nodes), &keys), owners(&ring(&nodes[1..]), &keys));
        prop_assert!(before.iter().zip(&after).all(|(before, after)| before == after || *before == nodes[0]));
    }

    #[test]
    fn the_order_of_the_members_is_irrelevant(nodes in ids(5), salt: u64) {
        let sorted: BTreeSet<_> = nodes.iter().cloned().collect();
        let sorted: Vec<_> = sorted.into_iter().collect();
        prop_assert_eq!(owners(&ring(&nodes), &keys(salt)), owners(&ring(&sorted), &keys(salt)));
    }
}

#[test]
fn names_that_differ_by_a_number_share_evenly() {
    for name in ["node-", "waddlebot-", "n", "10.0.0."] {
        let nodes: Vec<_> = (0..10).map(|n| NodeId(format!("{name}{n}"))).collect();
        let max = max_per_mille_of_mean(&owners(&ring(&nodes), &keys(7)), 10);
        assert!(max <= 1_250, "{name}: the fullest has {max} of 1000");
    }
}

/// Two versions of the program in one cluster must agree on every key.
#[test]
fn a_key_falls_to_the_same_node_for_ever() {
    let nodes = ["a", "b", "c"].map(|node| NodeId(node.to_owned()));
    let found: String = (0..40)
        .map(|n| ring(&nodes).owner(Affinity::of(&format!("channel:{n}"))).unwrap().0.clone())
        .collect();
    assert_eq!(found, "cbabaaabacacbabcccbccbbbaabbcababbbccaba");
    assert_eq!(
        [point(&nodes[0], 0), point(&nodes[2], 149)],
        [8_277_010_872_302_405_747, 5_474_212_605_051_627_131]
    );
}

#[test]
fn a_heavier_node_gets_more() {
    let nodes = ["a", "b", "c"].map(|node| NodeId(node.to_owned()));
    let ring = Ring::new(nodes.iter().zip([100, 200, 0]), VIRTUAL_NODES);
    let owners = owners(&ring, &keys(1));
    let heavy = owners.iter().filter(|owner| **owner == nodes[1]).count() * 100 / N_KEYS;
    assert!((60..=73).contains(&heavy), "{heavy} %");
    assert!(!ring.contains(&nodes[2]) && ring.contains(&nodes[0]));
}

#[test]
fn an_empty_ring_has_no_owner() {
    assert_eq!(ring(&[]).owner(Affinity::of("channel:1")), None);
}
