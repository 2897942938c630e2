//! Repeatable dice: everything that looks random in this crate is made here, from a seed and a name.
//! No entropy of the machine comes in, so that the same seed makes the same bytes everywhere.

/// A stream of random numbers (xoshiro256**, seeded with splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    state: [u64; 4],
}

impl Dice {
    /// The stream that belongs to `parts`; other parts make an unrelated stream.
    pub(crate) fn of(seed: u64, parts: &[&str]) -> Self {
        let mut mixer = seed ^ fingerprint(parts);
        Self { state: std::array::from_fn(|_| splitmix(&mut mixer)) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let drawn = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        drawn
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high, "empty range {low}..={high}");
        let span = high.abs_diff(low) + 1;
        low + i64::try_from(self.next() % span).unwrap_or(0)
    }

    /// A place in a list of `length` entries, which must not be empty.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        assert!(length > 0, "nothing to choose from");
        usize::try_from(self.next() % length as u64).unwrap_or(0)
    }

    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_be_bytes()[0]).collect()
    }

    /// A UUID with the marks of version 4, as text.
    pub(crate) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | ((low >> 48) & 0x3fff),
            low & 0xffff_ffff_ffff,
        )
    }
}

/// The UUID-like id that belongs to a name: the same in every process.
pub(crate) fn uuid_of(seed: u64, parts: &[&str]) -> String {
    Dice::of(seed, parts).uuid()
}

/// FNV-1a over the parts, each closed by a byte that no UTF-8 text holds, so that ("ab", "c") and ("a", "bc") differ.
pub(crate) fn fingerprint(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn splitmix(state: &mut u64) -> u64 {
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
    fn the_same_name_draws_the_same_numbers_and_another_name_others() {
        let draw = |seed, parts: &[&str]| {
            let mut dice = Dice::of(seed, parts);
            [dice.next(), dice.next(), dice.next()]
        };
        assert_eq!(draw(7, &["a", "b"]), draw(7, &["a", "b"]));
        assert_ne!(draw(7, &["a", "b"]), draw(8, &["a", "b"]));
        assert_ne!(draw(7, &["ab", "c"]), draw(7, &["a", "bc"]));
    }

    #[test]
    fn an_id_has_the_shape_of_a_uuid() {
        let id = uuid_of(1, &["users", "3"]);
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "variant of {id}");
    }

    #[test]
    fn a_range_includes_both_ends() {
        let mut dice = Dice::of(1, &["range"]);
        let drawn: std::collections::BTreeSet<i64> = (0..200).map(|_| dice.between(-1, 2)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [-1, 0, 1, 2]);
    }
}
