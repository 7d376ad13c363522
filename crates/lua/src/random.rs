//! The random numbers of scripts. As in Redis since version 7 the sequence goes on from run to run, from the same start
//! in every process, and `math.randomseed` is for whoever needs it repeated.

/// The generator of POSIX's `lrand48`: x := (0x5DEECE66D x + 11) mod 2^48, of which the top 31 bits are the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lrand48(u64);

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 11;
const MASK: u64 = (1 << 48) - 1;

/// One more than the largest result is 2^31; Redis divides by the largest.
pub(crate) const LARGEST: i32 = i32::MAX;

impl Lrand48 {
    /// The generator that `srand48(seed)` leaves.
    pub fn seeded(seed: i32) -> Lrand48 {
        Lrand48((u64::from(seed as u32) << 16) | 0x330E)
    }

    /// The next number, from 0 to 2^31 - 1.
    pub fn next(&mut self) -> i32 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        (self.0 >> 17) as i32
    }
}

/// The state that `lrand48` has before any `srand48`.
impl Default for Lrand48 {
    fn default() -> Lrand48 {
        Lrand48(0x1234_ABCD_330E)
    }
}

#[cfg(test)]
mod tests {
    use super::Lrand48;

    #[test]
    fn the_sequences_are_those_of_lrand48() {
        // What math.random(1000) gives on real servers.
        let thousand = |random: &mut Lrand48| {
            let share = f64::from(random.next() % super::LARGEST) / f64::from(super::LARGEST);
            (share * 1000.0).floor() as i32 + 1
        };
        let mut random = Lrand48::default();
        assert_eq!([0; 3].map(|_| thousand(&mut random)), [397, 841, 354]);
        let mut random = Lrand48::seeded(1);
        assert_eq!([0; 2].map(|_| thousand(&mut random)), [42, 455]);
        assert_eq!(thousand(&mut Lrand48::seeded(-5)), 817);
    }
}
