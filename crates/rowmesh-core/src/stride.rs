//! Which numbers a node's sequences deal out, so that nodes which insert while apart rarely draw the same. Knows no sequence and no
//! database: how one is brought into step is each database's business.

/// The least step, so that the first members of a mesh come and go without anybody's step changing.
const STEP_MIN: usize = 16;

/// The numbers of one node: every `step`th, beginning at the node's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stride {
    slot: i64,
    step: i64,
}

impl Stride {
    /// The numbers of the node in this slot, counted from 1, of so many that were ever given. The step is a power of two: when it doubles,
    /// each node keeps half of the numbers that it had, and takes none that was another's.
    pub fn new(slot: usize, slots: usize) -> Stride {
        assert!((1..=slots).contains(&slot), "slot {slot} is none of {slots}");
        let step = slots.next_power_of_two().max(STEP_MIN);
        Stride { slot: slot as i64, step: step as i64 }
    }

    /// The least step that a node may be given, for a plan that is made before the mesh is known.
    pub const fn step_min() -> i64 {
        STEP_MIN as i64
    }

    /// From one number to the next.
    pub fn step(&self) -> i64 {
        self.step
    }

    /// What is left of each of its numbers when it is divided by the step.
    pub fn remainder(&self) -> i64 {
        self.slot % self.step
    }

    /// Whether a number is one of them.
    pub fn has(&self, number: i64) -> bool {
        number.rem_euclid(self.step) == self.remainder()
    }

    /// The first of them that is not below a number; `None` if there is none.
    pub fn first_from(&self, number: i64) -> Option<i64> {
        let behind = number.rem_euclid(self.step);
        number.checked_add((self.remainder() - behind).rem_euclid(self.step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_belongs_to_two_slots_and_none_to_nobody_where_all_are_taken() {
        for slots in [1, 2, 15, 16, 17, 32, 33, 1_024] {
            let strides: Vec<Stride> = (1..=slots).map(|slot| Stride::new(slot, slots)).collect();
            assert!(strides.iter().all(|stride| stride.step() == strides[0].step()), "one step for all of {slots}");
            for number in -40..2_100 {
                assert!(strides.iter().filter(|stride| stride.has(number)).count() <= 1, "{number} of {slots}");
            }
        }
    }

    #[test]
    fn steps_are_sixteen_and_double_when_there_are_more_slots() {
        let steps = [1, 2, 16, 17, 32, 33, 1_024].map(|slots| Stride::new(1, slots).step());
        assert_eq!(steps, [16, 16, 16, 32, 32, 64, 1_024]);
    }

    #[test]
    fn a_node_keeps_its_own_numbers_when_the_step_doubles() {
        for slot in 1..=16 {
            let (before, after) = (Stride::new(slot, 16), Stride::new(slot, 17));
            let mut kept = (1..1_000).filter(|number| after.has(*number));
            assert!(kept.all(|number| before.has(number)), "slot {slot}");
        }
    }

    #[test]
    fn the_first_number_from_any_on_is_the_nearest() {
        let third = Stride::new(3, 4);
        for (from, first) in [(-14, -13), (-13, -13), (0, 3), (1, 3), (3, 3), (4, 19), (100, 115)] {
            assert_eq!(third.first_from(from), Some(first), "from {from}");
        }
        assert_eq!(Stride::new(16, 16).first_from(1), Some(16));
        assert_eq!(third.first_from(i64::MAX), None);
        assert!(third.first_from(i64::MIN).is_some());
    }
}
