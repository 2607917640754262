//! Where a key belongs by a view: one ring per role, and pins.

use std::collections::BTreeMap;

use crate::ask::{Role, View};
use crate::{Affinity, NodeId, OwnedKey, Ring};

/// What decides where a key goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The ring.
    pub role: Role,
    /// Keys of one affinity fall to one node.
    pub affinity: Affinity,
    /// The node that an operator tied the key to; it counts while that node is on the ring. Boxed, as few have one.
    pub pin: Option<Box<NodeId>>,
}

impl Place {
    /// That of a key which goes with no other and is tied to no node.
    pub fn of(role: Role, key: &OwnedKey) -> Self {
        Self { role, affinity: Affinity::of(&key.0), pin: None }
    }
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

    /// The node that owns a key of that place by this view; `None` where nobody has that role.
    pub fn owner<'a>(&'a self, place: &'a Place) -> Option<&'a NodeId> {
        let ring = self.rings.get(&place.role)?;
        let pin = place.pin.as_deref().filter(|node| ring.contains(node));
        pin.or_else(|| ring.owner(place.affinity))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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

    fn owner(placement: &Placement, place: &Place) -> Option<String> {
        placement.owner(place).map(|node| node.0.clone())
    }

    #[test]
    fn each_role_has_a_ring_of_its_own_and_the_hub_owns_nothing() {
        let members = vec![seat("c", &[Role::Channels]), seat("h", &[Role::Hub])];
        let placement = Placement::new(&View { members, ..View::default() }, 10);
        for key in ["a", "b", "c", "d"] {
            let place = |role| Place::of(role, &OwnedKey(key.to_owned()));
            assert_eq!(owner(&placement, &place(Role::Channels)).as_deref(), Some("c"));
            assert_eq!(owner(&placement, &place(Role::Platforms)), None);
            assert_eq!(owner(&placement, &place(Role::Hub)), None);
        }
    }

    #[test]
    fn a_pin_counts_while_its_node_is_on_the_ring() {
        let members = vec![seat("a", &[Role::Channels]), seat("b", &[Role::Channels])];
        let placement = Placement::new(&View { members, ..View::default() }, 10);
        let place = |affinity: &str, pin: Option<&str>| Place {
            role: Role::Channels,
            affinity: Affinity::of(affinity),
            pin: pin.map(|node| Box::new(NodeId(node.to_owned()))),
        };
        let nodes: BTreeSet<_> = (0..50)
            .map(|n| {
                let key = n.to_string();
                assert_eq!(owner(&placement, &place(&key, Some("b"))).as_deref(), Some("b"));
                let unpinned = owner(&placement, &place(&key, None));
                assert_eq!(owner(&placement, &place(&key, Some("gone"))), unpinned);
                unpinned
            })
            .collect();
        assert_eq!(nodes.len(), 2);
    }
}
