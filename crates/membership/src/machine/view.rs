//! The view that keys are placed by, and what the next one should be.

use std::collections::BTreeMap;

use crate::ask::{Member, Role, Seat, State, View};
use crate::{DbTime, Incarnation, MonotonicUs, NodeId, Place, Placement, Timings};

/// Roles whose nodes own something.
const OWNING: [Role; 2] = [Role::Channels, Role::Platforms];

#[derive(Debug, Default)]
pub(super) struct Rings {
    view: View,
    placement: Placement,
    /// My own seat in it; `None`: I am not on the rings.
    seat: Option<NodeId>,
    /// The version by which everybody in it was known: of somebody unknown nobody can say that he is gone.
    version_looked: i64,
    /// When a view added somebody last; `None`: never.
    added_at: Option<MonotonicUs>,
    /// When a node was added last, if keys moved to it from others. Who comes and goes takes them along each time.
    returned_at: BTreeMap<NodeId, MonotonicUs>,
    /// Until then anybody may have been added by a view that was not seen here; `None`: all were seen.
    unseen_until: Option<MonotonicUs>,
    /// Since when somebody waits for keys that nobody can own; `None`: there are none.
    vacant_since: Option<MonotonicUs>,
}

impl Rings {
    pub const fn view(&self) -> &View {
        &self.view
    }

    pub const fn version(&self) -> i64 {
        self.view.version
    }

    /// Whether I am on the rings.
    pub const fn is_seated(&self) -> bool {
        self.seat.is_some()
    }

    pub fn is_me(&self, node: &NodeId) -> bool {
        self.seat.as_ref() == Some(node)
    }

    pub fn owner<'a>(&'a self, place: &'a Place) -> Option<&'a NodeId> {
        self.placement.owner(place)
    }

    pub fn is_mine(&self, place: &Place) -> bool {
        self.owner(place).is_some_and(|node| self.is_me(node))
    }

    /// Takes over a later view; `age_us`: how long ago it was published, as far as known. Says whether it was later.
    pub fn adopt(
        &mut self,
        me: Incarnation,
        (now, age_us): (MonotonicUs, i64),
        view: View,
        timings: &Timings,
    ) -> bool {
        if view.version <= self.view.version {
            return false;
        }
        let published_at = now.plus(-age_us.clamp(0, timings.rebalance_us));
        if view.version != self.view.version + 1 {
            self.unseen_until = Some(published_at);
        }
        self.note_added(&view, published_at, timings);
        if view.members != self.view.members {
            self.placement = Placement::new(&view, timings.virtual_nodes);
        }
        self.seat = view.members.iter().find(|seat| seat.incarnation == me).map(|seat| seat.node.clone());
        self.view = view;
        true
    }

    /// Notes who is new in a view.
    fn note_added(&mut self, view: &View, at: MonotonicUs, timings: &Timings) {
        self.returned_at.retain(|_, returned_at| returned_at.plus(timings.rebalance_us) > at);
        let stays = |seat: &Seat| self.view.members.iter().any(|old| old.incarnation == seat.incarnation);
        // Where nobody stays nobody gives anything up.
        let moves_keys = view.members.iter().any(stays);
        for seat in view.members.iter().filter(|seat| !has_node(&self.view.members, &seat.node)) {
            self.added_at = Some(at);
            if moves_keys {
                self.returned_at.insert(seat.node.clone(), at);
            }
        }
    }

    /// Whether a node may be added: soon, so that those who start together come in together, but each only once in a
    /// rebalancing time, so that one that comes and goes does not take its keys along each time.
    fn may_enter(&self, now: MonotonicUs, node: &NodeId, timings: &Timings) -> bool {
        let gathered = self.added_at.is_none_or(|at| at.plus(timings.gather_us) <= now);
        let returned_at = self.returned_at.get(node).copied().max(self.unseen_until);
        gathered && returned_at.is_none_or(|at| at.plus(timings.rebalance_us) <= now)
    }

    /// Notes who was seen at this view.
    pub fn looked(&mut self, now: MonotonicUs, members: &[Member]) {
        self.version_looked = self.view.version;
        let vacant = OWNING.iter().any(|role| {
            let has_role = |seat: &&Seat| seat.roles.contains(role);
            active(members).any(|seat| has_role(&seat))
                && !self.unchanged(members).any(|seat| has_role(&seat))
        });
        let none = self.unchanged(members).next().is_none();
        self.vacant_since = (vacant || none).then(|| self.vacant_since.unwrap_or(now));
    }

    /// Whether everybody in the view was seen since he entered: then no look is needed to go on.
    pub fn knows_all(&mut self, members: &[Member]) -> bool {
        let entered = |member: &&Member| member.state != State::Joining;
        let known =
            |seat: &Seat| members.iter().filter(entered).any(|m| m.seat.incarnation == seat.incarnation);
        if self.view.members.iter().all(known) {
            self.version_looked = self.view.version;
        }
        self.version_looked == self.view.version
    }

    /// The next view's members; `None` while this one is right. Who died or drains goes at once, and who came back under
    /// his node id takes his old place at once, as no other key moves; others wait for their time.
    pub fn proposal(&self, now: MonotonicUs, members: &[Member], timings: &Timings) -> Option<Vec<Seat>> {
        if self.version_looked != self.view.version {
            return None;
        }
        let staying = active(members).filter(|seat| has_node(&self.view.members, &seat.node));
        let mut seats: Vec<_> = staying.cloned().collect();
        let is_new = |seat: &&Seat| !has_node(&self.view.members, &seat.node);
        let may_enter = |seat: &&Seat| match self.vacant_since {
            Some(since) => since.plus(timings.gather_us) <= now,
            None => self.may_enter(now, &seat.node, timings),
        };
        let new: Vec<_> = active(members).filter(is_new).filter(may_enter).cloned().collect();
        let nobody_stays = seats.len() < self.view.members.len() && self.unchanged(members).next().is_none();
        if nobody_stays && self.vacant_since.is_some_and(|since| since.plus(timings.gather_us) > now) {
            // After the loss of all nodes: the others come back as well.
            return None;
        }
        seats.extend(new);
        seats.sort_unstable_by(|a, b| a.node.cmp(&b.node));
        (!seats.is_empty() && seats != self.view.members).then_some(seats)
    }

    /// Members of the view that are active yet in the same life.
    fn unchanged<'a>(&'a self, members: &'a [Member]) -> impl Iterator<Item = &'a Seat> {
        let seated = |seat: &&Seat| self.view.members.iter().any(|old| old.incarnation == seat.incarnation);
        active(members).filter(seated)
    }
}

/// How long ago that was by the database's clock, which may have been stepped since.
pub(super) const fn age_us(view: &View, now: DbTime) -> i64 {
    now.0.saturating_sub(view.published_at.0)
}

fn active(members: &[Member]) -> impl Iterator<Item = &Seat> {
    members.iter().filter(|member| member.state == State::Active).map(|member| &member.seat)
}

fn has_node(seats: &[Seat], node: &NodeId) -> bool {
    seats.iter().any(|seat| seat.node == *node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(n: u128, state: State) -> Member {
        let seat = Seat {
            node: NodeId(format!("node-{n}")),
            incarnation: Incarnation(n),
            roles: vec![Role::Channels],
            weight: 100,
        };
        Member { seat, state, address: String::new(), protocol: (1, 1), lease_until: DbTime(0) }
    }

    fn view(version: i64, members: &[Member]) -> View {
        View {
            version,
            members: members.iter().map(|member| member.seat.clone()).collect(),
            ..View::default()
        }
    }

    #[test]
    fn who_entered_since_the_look_is_not_left_out() {
        let (now, timings) = (MonotonicUs(0), Timings::default());
        let [a, b] = [1, 2].map(|n| member(n, State::Active));
        for before in [vec![a.clone()], vec![a.clone(), member(2, State::Joining)]] {
            let mut rings = Rings::default();
            rings.adopt(Incarnation(1), (now, 0), view(1, std::slice::from_ref(&a)), &timings);
            rings.looked(now, &before);
            rings.adopt(Incarnation(1), (now, 0), view(2, &[a.clone(), b.clone()]), &timings);
            assert!(!rings.knows_all(&before));
            assert_eq!(rings.proposal(now, &before, &timings), None);
            rings.looked(now, &[a.clone(), b.clone()]);
            assert_eq!(rings.proposal(now, &[a.clone(), b.clone()], &timings), None);
            let next = rings.proposal(now, std::slice::from_ref(&a), &timings);
            assert_eq!(next, Some(vec![a.seat.clone()]), "he died: at once");
        }
    }

    #[test]
    fn who_comes_back_takes_his_place_at_once_and_another_after_those_who_came_before() {
        let (now, timings) = (MonotonicUs(0), Timings::default());
        let (a, b, c) = (member(1, State::Active), member(2, State::Active), member(3, State::Active));
        let mut again = b.clone();
        again.seat.incarnation = Incarnation(20);
        let mut rings = Rings::default();
        rings.adopt(Incarnation(1), (now, 0), view(1, &[a.clone(), b]), &timings);
        let members = [a.clone(), again.clone(), c.clone()];
        rings.looked(now, &members);
        assert_eq!(rings.proposal(now, &members, &timings), Some(vec![a.seat.clone(), again.seat.clone()]));
        let later = now.plus(timings.gather_us);
        assert_eq!(rings.proposal(later, &members, &timings), Some(vec![a.seat, again.seat, c.seat]));
    }

    #[test]
    fn a_node_is_added_once_in_thirty_seconds_and_another_need_not_wait_for_it() {
        let (timings, sec) = (Timings::default(), |n: i64| MonotonicUs(n * 1_000_000));
        let [a, b, c] = [1, 2, 3].map(|n| member(n, State::Active));
        let mut rings = Rings::default();
        let both = [a.clone(), b.clone()];
        let mut see = |at: i64, version: i64, members: &[Member], seen: &[Member]| {
            rings.adopt(Incarnation(1), (sec(at), 0), view(version, members), &timings);
            rings.looked(sec(at), seen);
            rings.proposal(sec(at), seen, &timings).map(|seats| seats.len())
        };
        assert_eq!(see(0, 1, &both, &both), None);
        assert_eq!(see(5, 2, std::slice::from_ref(&a), &both), Some(2), "its first death: at once");
        see(5, 3, &both, &both);
        assert_eq!(see(10, 4, std::slice::from_ref(&a), &both), None, "again, five seconds later");
        assert_eq!(see(34, 4, std::slice::from_ref(&a), &both), None);
        assert_eq!(
            see(34, 4, std::slice::from_ref(&a), &[a.clone(), b.clone(), c]),
            Some(2),
            "somebody else"
        );
        assert_eq!(see(35, 4, std::slice::from_ref(&a), &both), Some(2));
        assert_eq!(see(40, 9, std::slice::from_ref(&a), &both), None, "it may have come and gone unseen");
    }

    #[test]
    fn after_the_loss_of_all_nodes_the_first_one_back_waits_for_the_others() {
        let (now, timings) = (MonotonicUs(0), Timings::default());
        let [a, b] = [1, 2].map(|n| member(n, State::Active));
        let mut again = a.clone();
        again.seat.incarnation = Incarnation(10);
        let mut rings = Rings::default();
        rings.adopt(Incarnation(10), (now, 0), view(1, &[a, b]), &timings);
        let members = [again.clone()];
        rings.looked(now, &members);
        assert_eq!(rings.proposal(now, &members, &timings), None);
        assert_eq!(rings.proposal(now.plus(timings.gather_us), &members, &timings), Some(vec![again.seat]));
    }
}
