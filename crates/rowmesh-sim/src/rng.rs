//! Random numbers from a seed, the same on every machine and in every version: xoshiro256** seeded by SplitMix64.
//! Not for keys or salts.
//!
//! Source: Blackman and Vigna, *Scrambled Linear Pseudorandom Number Generators*, 2021.

/// A stream of random numbers that its seed decides wholly.
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

impl Rng {
    /// The stream of a seed; every seed is good, zero included.
    pub fn from_seed(seed: u64) -> Rng {
        let mut state = seed;
        Rng(std::array::from_fn(|_| split_mix(&mut state)))
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "no number lies below zero");
        // The high word of the product: the bias is below one in 2^32 for the small bounds used here.
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of the items; there is at least one.
    pub fn pick<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[self.below(items.len())]
    }

    /// Takes an item out of a list that is not empty; the order of the rest changes.
    pub fn take<T>(&mut self, items: &mut Vec<T>) -> T {
        let position = self.below(items.len());
        items.swap_remove(position)
    }

    /// Puts the items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let mut rng = Rng::from_seed(1);
        // From an independent implementation of the paper's pseudocode: an accidental change would make old seeds useless.
        assert_eq!([rng.bits(), rng.bits()], [12_966_619_160_104_079_557, 9_600_361_134_598_540_522]);
    }

    #[test]
    fn every_number_below_the_bound_comes_up_about_equally_often() {
        let mut rng = Rng::from_seed(7);
        let mut counts = [0; 6];
        (0..6_000).for_each(|_| counts[rng.below(6)] += 1);
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }
}
