//! What of the log was decoded lately: rows that are fought over are looked at again and again, event by event. Bounded; whatever is not here is read
//! anew. What the log holds and how events are judged is `log`'s business and core's.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use rowmesh_core::changeset::{Changeset, Header};
use rowmesh_core::event::Event;
use rowmesh_core::ledger::RowEvent;

use crate::database::Log;
use crate::fault::{Error, Result};
use crate::log::{self, EVENTS_PER_CHANGESET};

/// Bytes of encoded changesets that are kept decoded: neighbours of an event are often asked for next.
const CHANGESETS_BYTES_MAX: usize = 8 << 20;
/// Bytes of single events that are kept. A changeset has thousands of them, and only those of fought-over rows are asked for: so they are kept when
/// their changesets are not.
const EVENTS_BYTES_MAX: usize = 16 << 20;
/// What an event takes beside its images, about.
const EVENT_BYTES: usize = 1 << 10;

/// Changesets and events, by their numbers.
pub struct Decoded {
    changesets: Recent<i64, Arc<Changeset>>,
    events: Recent<i64, Arc<RowEvent>>,
}

impl Default for Decoded {
    fn default() -> Decoded {
        Decoded { changesets: Recent::new(CHANGESETS_BYTES_MAX), events: Recent::new(EVENTS_BYTES_MAX) }
    }
}

impl Decoded {
    /// Forgets all: after a rollback numbers of changesets are given again.
    pub fn clear(&mut self) {
        *self = Decoded::default();
    }

    /// The event with an id.
    ///
    /// # Errors
    /// If the log does not have it, or cannot be read.
    pub fn event(&mut self, db: &impl Log, id: i64) -> Result<Arc<RowEvent>> {
        if let Some(known) = self.events.get(&id) {
            return Ok(known.clone());
        }
        let changeset = self.changeset(db, id / EVENTS_PER_CHANGESET)?;
        let event = changeset.events().get((id % EVENTS_PER_CHANGESET) as usize);
        let event = event.ok_or_else(|| Error::inconsistent("an event that its changeset lacks"))?;
        let row_event = Arc::new(log::row_event(&changeset, event));
        self.events.keep(id, row_event.clone(), weight(changeset.header(), event));
        Ok(row_event)
    }

    fn changeset(&mut self, db: &impl Log, number: i64) -> Result<Arc<Changeset>> {
        if let Some(known) = self.changesets.get(&number) {
            return Ok(known.clone());
        }
        let changeset = Arc::new(log::numbered(db, number)?);
        self.changesets.keep(number, changeset.clone(), changeset.bytes().len());
        Ok(changeset)
    }
}

fn weight(header: &Header, event: &Event) -> usize {
    // It has its own copy of what its origin knew, parked events excepted, which all of a changeset share.
    event.weight() + EVENT_BYTES + header.context.vector.len() * size_of::<(rowmesh_core::ident::Origin, u64)>()
}

/// Values that were kept last, as many as a bound allows.
struct Recent<K, V> {
    values: HashMap<K, V>,
    order: VecDeque<(K, usize)>,
    weight: usize,
    weight_max: usize,
}

impl<K: Hash + Eq + Copy, V> Recent<K, V> {
    fn new(weight_max: usize) -> Recent<K, V> {
        Recent { values: HashMap::new(), order: VecDeque::new(), weight: 0, weight_max }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key)
    }

    /// Keeps a value that is not kept yet; those that were kept first make room. One that is larger than all the room is not kept.
    fn keep(&mut self, key: K, value: V, weight: usize) {
        if weight > self.weight_max {
            return;
        }
        while self.weight + weight > self.weight_max {
            let Some((first, freed)) = self.order.pop_front() else { break };
            self.values.remove(&first);
            self.weight -= freed;
        }
        self.weight += weight;
        self.order.push_back((key, weight));
        self.values.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_first_makes_room_and_what_is_larger_than_all_room_is_not_kept() {
        let mut recent = Recent::new(10);
        for key in 0..5 {
            recent.keep(key, key, 3);
        }
        recent.keep(9, 9, 11);
        let kept: Vec<i32> = (0..10).filter(|key| recent.get(key).is_some()).collect();
        assert_eq!((kept, recent.weight), (vec![2, 3, 4], 9));
    }
}
