//! Who may stay when there are too many connections. A lane is a number of places; a full one takes a newcomer in and shows
//! out the oldest connection of whoever has the most, so that nobody shuts the others out by sitting still.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use rowmesh_core::ident::NodeId;
use tokio::sync::oneshot;

use super::body::lock;

/// Connections of one kind: in handshake, of strangers, of members.
#[derive(Debug)]
pub(super) struct Lane {
    places: usize,
    places_per_group: usize,
    guests: Mutex<Guests>,
}

/// Those who count as one when places are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Address(IpAddr),
    Node(NodeId),
}

/// A place in a lane, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    lane: Arc<Lane>,
    number: u64,
    shown_out: oneshot::Receiver<()>,
}

#[derive(Debug, Default)]
struct Guests {
    /// By number, and so by age.
    present: BTreeMap<u64, Guest>,
    taken: u64,
}

#[derive(Debug)]
struct Guest {
    group: Group,
    node: Option<NodeId>,
    /// Dropped with the guest's entry, which is what tells the connection to go.
    _show_out: oneshot::Sender<()>,
}

impl Lane {
    pub(super) fn new(places: usize, places_per_group: usize) -> Arc<Lane> {
        Arc::new(Lane { places: places.max(1), places_per_group: places_per_group.max(1), guests: Mutex::default() })
    }

    pub(super) fn enter(self: &Arc<Lane>, group: Group, node: Option<NodeId>) -> Place {
        let (show_out, shown_out) = oneshot::channel();
        let mut guests = lock(&self.guests);
        if guests.count(group) >= self.places_per_group {
            guests.show_out_oldest(group);
        } else if guests.present.len() >= self.places {
            let greediest = guests.greediest().unwrap_or(group);
            guests.show_out_oldest(greediest);
        }
        guests.taken += 1;
        let number = guests.taken;
        guests.present.insert(number, Guest { group, node, _show_out: show_out });
        Place { lane: self.clone(), number, shown_out }
    }

    /// Shows out every connection of a node.
    pub(super) fn show_out(&self, node: NodeId) {
        lock(&self.guests).present.retain(|_, guest| guest.node != Some(node));
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.guests).present.len()
    }
}

impl Place {
    /// Ends when somebody else needs the place more.
    pub(super) async fn shown_out(&mut self) {
        let _ = (&mut self.shown_out).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.lane.guests).present.remove(&self.number);
    }
}

impl Group {
    /// An IPv6 customer has a whole /64 to come from.
    pub(super) fn of_address(address: IpAddr) -> Group {
        Group::Address(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        })
    }
}

impl Guests {
    fn count(&self, group: Group) -> usize {
        self.present.values().filter(|guest| guest.group == group).count()
    }

    fn greediest(&self) -> Option<Group> {
        let mut counts = BTreeMap::<Group, usize>::new();
        for guest in self.present.values() {
            *counts.entry(guest.group).or_default() += 1;
        }
        // Among equals, whoever has been here longest: found by going from the newest to the oldest.
        self.present.values().rev().map(|guest| guest.group).max_by_key(|group| counts[group])
    }

    fn show_out_oldest(&mut self, group: Group) {
        let oldest = self.present.iter().find(|(_, guest)| guest.group == group).map(|(number, _)| *number);
        if let Some(number) = oldest {
            self.present.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j5_a_full_lane_shows_out_the_oldest_of_the_greediest() {
        let lane = Lane::new(4, 4);
        let mut modest = lane.enter(address(1), None);
        let mut greedy: Vec<Place> = (0..3).map(|_| lane.enter(address(2), None)).collect();
        let mut newcomer = lane.enter(address(3), None);
        assert_eq!(lane.len(), 4);
        assert!(is_shown_out(&mut greedy[0]));
        assert!(!is_shown_out(&mut greedy[1]) && !is_shown_out(&mut modest) && !is_shown_out(&mut newcomer));
    }

    #[test]
    fn j5_among_equals_the_oldest_goes() {
        let lane = Lane::new(3, 3);
        let mut places: Vec<Place> = (1..=4).map(|n| lane.enter(address(n), None)).collect();
        assert!(is_shown_out(&mut places[0]));
        assert!(places[1..].iter_mut().all(|place| !is_shown_out(place)));
    }

    #[test]
    fn s19_a_node_over_its_own_bound_loses_its_oldest_connection() {
        let lane = Lane::new(100, 2);
        let node = NodeId([7; 32]);
        let mut places: Vec<Place> = (0..3).map(|_| lane.enter(Group::Node(node), Some(node))).collect();
        assert!(is_shown_out(&mut places[0]));
        assert_eq!(lane.len(), 2);
        lane.show_out(node);
        assert!(places.iter_mut().all(is_shown_out));
        assert_eq!(lane.len(), 0);
    }

    #[test]
    fn a_place_given_back_is_free() {
        let lane = Lane::new(1, 1);
        drop(lane.enter(address(1), None));
        assert_eq!(lane.len(), 0);
        assert!(!is_shown_out(&mut lane.enter(address(1), None)));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address_and_a_mapped_one_as_ipv4() {
        let group = |text: &str| Group::of_address(text.parse().unwrap());
        assert_eq!(group("2001:db8:0:1::5"), group("2001:db8:0:1:ffff::"));
        assert_ne!(group("2001:db8:0:1::5"), group("2001:db8:0:2::5"));
        assert_eq!(group("::ffff:10.0.0.1"), group("10.0.0.1"));
    }

    fn address(last: u8) -> Group {
        Group::of_address(IpAddr::from([10, 0, 0, last]))
    }

    fn is_shown_out(place: &mut Place) -> bool {
        !matches!(place.shown_out.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}
