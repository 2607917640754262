//! Where a key belongs by a view: one ring per role, and pins.

use std::collections::BTreeMap;

use crate::ask::{Role, View};
use crate::{NodeId, OwnedKey, Ring};

/// What decides where a key goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The ring.
    pub role: Role,
    /// Keys of one affinity fall to one node. `None`: the key itself.
    pub affinity: Option<String>,
    /// The node that an operator tied the key to; it counts while that node is on the ring.
    pub pin: Option<NodeId>,
}

/// The rings of one view.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    rings: BTreeMap<Role, Ring>,
}

impl Placement {
    /// Builds the rings of the roles that own something.
    pub fn new(view: &View, virtual_nodes: u32) -> Self {
        let ring = |role: Role| {
            let seats = view.members.iter().filter(|seat| seat.roles.contains(&role));
            (role, Ring::new(seats.map(|seat| (&seat.node, seat.weight)), virtual_nodes))
        };
        Self { rings: [Role::Channels, Role::Platforms].map(ring).into() }
    }

    /// The node that owns the key by this view; `None` where nobody has that role.
    pub fn owner<'a>(&'a self, key: &OwnedKey, place: &'a Place) -> Option<&'a NodeId> {
        let ring = self.rings.get(&place.role)?;
        let pin = place.pin.as_ref().filter(|node| ring.contains(node));
        pin.or_else(|| ring.owner(place.affinity.as_deref().unwrap_or(&key.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Incarnation;
    use crate::ask::Seat;

    fn seat(node: &str, roles: &[Role]) -> Seat {
        Seat {
            node: NodeId(node.to_owned()),
            incarnation: Incarnation(1),
            roles: roles.to_vec(),
            weight: 100,
        }
    }

    fn owner(placement: &Placement, key: &str, place: &Place) -> Option<String> {
        placement.owner(&OwnedKey(key.to_owned()), place).map(|node| node.0.clone())
    }

    #[test]
    fn each_role_has_a_ring_of_its_own_and_the_hub_owns_nothing() {
        let members = vec![seat("c", &[Role::Channels]), seat("h", &[Role::Hub])];
        let placement = Placement::new(&View { members, ..View::default() }, 10);
        let place = |role| Place { role, affinity: None, pin: None };
        for key in ["a", "b", "c", "d"] {
            assert_eq!(owner(&placement, key, &place(Role::Channels)).as_deref(), Some("c"));
            assert_eq!(owner(&placement, key, &place(Role::Platforms)), None);
            assert_eq!(owner(&placement, key, &place(Role::Hub)), None);
        }
    }

    #[test]
    fn a_pin_counts_while_its_node_is_on_the_ring_and_one_affinity_is_one_node() {
        let members = vec![seat("a", &[Role::Channels]), seat("b", &[Role::Channels])];
        let placement = Placement::new(&View { members, ..View::default() }, 10);
        let place = |affinity: Option<&str>, pin: Option<&str>| Place {
            role: Role::Channels,
            affinity: affinity.map(str::to_owned),
            pin: pin.map(|node| NodeId(node.to_owned())),
        };
        let one = owner(&placement, "0", &place(Some("community:1"), None));
        for key in (0..50).map(|n| n.to_string()) {
            assert_eq!(owner(&placement, &key, &place(None, Some("b"))).as_deref(), Some("b"));
            let gone = owner(&placement, &key, &place(None, Some("gone")));
            assert_eq!(gone, owner(&placement, &key, &place(None, None)));
            assert_eq!(owner(&placement, &key, &place(Some("community:1"), None)), one);
        }
    }
}
