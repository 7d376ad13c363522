//! Unsigned integers of any size, with just the operations that exact conversion of numbers to and from decimal needs.
//!
//! The largest in use hold a few thousand digits (an extended-precision number with its full exponent), so schoolbook
//! methods are enough.

use std::cmp::Ordering;

/// Little-endian limbs without leading zeros; zero has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BigUint(Vec<u32>);

impl BigUint {
    pub(crate) fn from_u64(n: u64) -> BigUint {
        let mut big = BigUint(vec![n as u32, (n >> 32) as u32]);
        big.trim();
        big
    }

    /// Reads ASCII digits; the caller has checked that they are.
    pub(crate) fn from_digits(digits: &[u8]) -> BigUint {
        let mut big = BigUint(Vec::new());
        for group in digits.chunks(9) {
            let value = group
                .iter()
                .fold(0, |n, digit| n * 10 + u32::from(digit - b'0'));
            big.multiply_add(10u32.pow(group.len() as u32), value);
        }
        big
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// `self * factor + term`.
    pub(crate) fn multiply_add(&mut self, factor: u32, term: u32) {
        let mut carry = u64::from(term);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// `self * 10^power`.
    pub(crate) fn multiply_power_of_ten(&mut self, power: u32) {
        for _ in 0..power / 9 {
            self.multiply_add(1_000_000_000, 0);
        }
        self.multiply_add(10u32.pow(power % 9), 0);
    }

    /// Number of bits without leading zeros.
    pub(crate) fn bits(&self) -> u32 {
        match self.0.last() {
            Some(top) => self.0.len() as u32 * 32 - top.leading_zeros(),
            None => 0,
        }
    }

    pub(crate) fn shift_left(&mut self, by: u32) {
        if self.0.is_empty() {
            return;
        }
        let (limbs, bits) = ((by / 32) as usize, by % 32);
        if bits > 0 {
            let mut carry = 0;
            for limb in &mut self.0 {
                let next = *limb >> (32 - bits);
                *limb = *limb << bits | carry;
                carry = next;
            }
            if carry > 0 {
                self.0.push(carry);
            }
        }
        self.0.splice(0..0, std::iter::repeat_n(0, limbs));
    }

    fn compare(&self, other: &BigUint) -> Ordering {
        let length = self.0.len().cmp(&other.0.len());
        length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// `self - other`, which must not be larger.
    fn subtract(&mut self, other: &BigUint) {
        let mut borrow = 0;
        for (i, limb) in self.0.iter_mut().enumerate() {
            let difference =
                i64::from(*limb) - i64::from(other.0.get(i).copied().unwrap_or(0)) - borrow;
            *limb = difference as u32;
            borrow = i64::from(difference < 0);
        }
        self.trim();
    }

    /// The highest 128 bits (fewer if there are no more), how many bits are below them, and whether any of those is set.
    pub(crate) fn top_bits(&self) -> (u128, u32, bool) {
        let below = self.bits().saturating_sub(128);
        let (limbs, bits) = ((below / 32) as usize, below % 32);
        let mut top = 0;
        // With a shift within a limb 128 bits touch five of them.
        for (i, &limb) in self.0[limbs..].iter().enumerate() {
            let place = 32 * i as i32 - bits as i32;
            top |= if place < 0 {
                u128::from(limb) >> bits
            } else {
                u128::from(limb) << place
            };
        }
        let cut = self
            .0
            .get(limbs)
            .is_some_and(|limb| limb & ((1 << bits) - 1) != 0);
        (
            top,
            below,
            cut || self.0[..limbs].iter().any(|&limb| limb != 0),
        )
    }

    /// The quotient of two non-zero numbers to 70 or 71 bits, as `(q, e, sticky)`: it is `q * 2^e`, plus something
    /// smaller than `2^e` if sticky.
    pub(crate) fn divide(mut self, mut by: BigUint) -> (u128, i32, bool) {
        const BITS: i32 = 70;
        // Scale so that by * 2^69 < self < by * 2^71.
        let scale = BITS + by.bits() as i32 - self.bits() as i32;
        if scale >= 0 {
            self.shift_left(scale as u32);
        } else {
            by.shift_left(scale.unsigned_abs());
        }
        by.shift_left(BITS as u32);
        let mut quotient = 0;
        for step in 0..=BITS {
            if step > 0 {
                self.shift_left(1);
            }
            quotient <<= 1;
            if self.compare(&by) != Ordering::Less {
                self.subtract(&by);
                quotient |= 1;
            }
        }
        (quotient, -scale, !self.0.is_empty())
    }

    /// Appends the decimal digits.
    pub(crate) fn write_decimal(mut self, out: &mut Vec<u8>) {
        let mut groups = Vec::new();
        while !self.0.is_empty() {
            let mut rest = 0u64;
            for limb in self.0.iter_mut().rev() {
                let part = rest << 32 | u64::from(*limb);
                *limb = (part / 1_000_000_000) as u32;
                rest = part % 1_000_000_000;
            }
            self.trim();
            groups.push(rest);
        }
        let first = groups.pop().unwrap_or(0);
        out.extend_from_slice(first.to_string().as_bytes());
        for group in groups.iter().rev() {
            out.extend_from_slice(format!("{group:09}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(n: &BigUint) -> String {
        let mut out = Vec::new();
        n.clone().write_decimal(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn digits_survive_the_round_trip() {
        for text in [
            "0",
            "1",
            "999999999",
            "1000000000",
            "4294967296",
            "340282366920938463463374607431768211456",
        ] {
            assert_eq!(decimal(&BigUint::from_digits(text.as_bytes())), text);
        }
        let long = "1234567890".repeat(500);
        assert_eq!(decimal(&BigUint::from_digits(long.as_bytes())), long);
    }

    #[test]
    fn multiplication_and_shifts_agree() {
        let mut a = BigUint::from_u64(12345678901234567890);
        let mut b = a.clone();
        a.shift_left(70);
        for _ in 0..7 {
            b.multiply_add(1024, 0);
        }
        assert_eq!(a, b);
        let mut c = BigUint::from_u64(7);
        c.multiply_power_of_ten(40);
        assert_eq!(decimal(&c), format!("7{}", "0".repeat(40)));
    }

    #[test]
    fn top_bits_of_large_and_small_numbers() {
        assert_eq!(BigUint::from_u64(5).top_bits(), (5, 0, false));
        let mut n = BigUint::from_u64(u64::MAX);
        n.shift_left(64);
        n.multiply_add(1, u32::MAX);
        assert_eq!(
            n.top_bits(),
            (
                (u128::from(u64::MAX) << 64) + u128::from(u32::MAX),
                0,
                false
            )
        );
        n.shift_left(67);
        assert_eq!(
            n.top_bits(),
            (
                (u128::from(u64::MAX) << 64) + u128::from(u32::MAX),
                67,
                false
            )
        );
        // Below them, in the limb they begin in, and in one further down.
        let mut near = n.clone();
        near.multiply_add(1, 0);
        let mut bit = BigUint::from_u64(1);
        bit.shift_left(66);
        near.subtract(&bit);
        assert!(near.top_bits().2);
        n.multiply_add(1, 1);
        assert_eq!(
            n.top_bits(),
            (
                (u128::from(u64::MAX) << 64) + u128::from(u32::MAX),
                67,
                true
            )
        );
    }

    #[test]
    fn quotients_have_enough_bits() {
        // 2/3 is 0.101010... in binary.
        let (q, e, sticky) = BigUint::from_u64(2).divide(BigUint::from_u64(3));
        assert!(sticky);
        assert_eq!((q, e), ((1 << 71) / 3, -70));
        let (q, e, sticky) = BigUint::from_u64(1 << 40).divide(BigUint::from_u64(1 << 10));
        assert_eq!((q >> -e, sticky), (1 << 30, false));
        let (q, e, sticky) = BigUint::from_digits(&b"1".repeat(1000)).divide(BigUint::from_u64(1));
        assert!(sticky && e > 3000 && 128 - q.leading_zeros() >= 70);
    }
}
