//! HyperLogLog: how many different elements a set has, estimated from 16384 small registers.
//!
//! An element's 64-bit hash chooses a register by its low 14 bits; the register keeps the longest run of trailing zeros
//! (plus one) seen in the other 50. Long runs are rare, so that the registers together tell how many different hashes there
//! have been, with a standard error of 0.81 %.
//!
//! A HyperLogLog is a string in Redis's format, so that it can be read with GET here and written with SET there:
//!
//! ```text
//! bytes 0-3    "HYLL"
//! byte  4      0 dense, 1 sparse
//! bytes 5-7    unused
//! bytes 8-15   the last estimate, little-endian; the top bit of byte 15 says that it is out of date
//! bytes 16-    dense: 16384 registers of 6 bits, from the lowest bit of each byte up
//!              sparse: runs of registers that are equal
//!                00nnnnnn             ZERO: n+1 registers are 0
//!                01nnnnnn nnnnnnnn    XZERO: n+1 registers are 0
//!                1vvvvvnn             VAL: n+1 registers are v+1
//! ```
//!
//! What a sequence of changes leaves behind is the same here and in Redis to the byte: the runs are split and joined by the
//! same rules, and the sparse form is left at the same length ([`Draft::add`]'s `max`).

use smallvec::SmallVec;
use std::ops::{ControlFlow, Range};

/// Number of registers.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Length of the header.
pub const HEADER: usize = 16;
/// Length of a dense HyperLogLog.
pub(crate) const DENSE_LEN: usize = HEADER + REGISTERS * 6 / 8;

const INDEX_BITS: u32 = 14;
/// Bits of a hash that do not choose the register; a register is at most one more than that.
const RUN_BITS: u32 = 64 - INDEX_BITS;
const SEED: u64 = 0xadc8_3b19;
const MAGIC: &[u8; 4] = b"HYLL";

/// Most registers of a ZERO run.
const ZERO_MAX: usize = 64;
/// Most registers of a VAL run.
const VAL_MAX: usize = 4;
/// The largest register a VAL run can hold.
const VAL_TOP: u8 = 32;

/// The form a HyperLogLog is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All registers, 6 bits each.
    Dense,
    /// Runs of equal registers.
    Sparse,
}

/// The runs of a sparse HyperLogLog do not make 16384 registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// The form of a HyperLogLog, `None` if the string is none.
pub fn form(bytes: &[u8]) -> Option<Form> {
    if bytes.len() < HEADER || !bytes.starts_with(MAGIC) {
        return None;
    }
    match bytes[4] {
        0 if bytes.len() == DENSE_LEN => Some(Form::Dense),
        1 => Some(Form::Sparse),
        _ => None,
    }
}

/// The estimate that is kept in the header (16 bytes at least), unless it is out of date.
pub fn cached(bytes: &[u8]) -> Option<u64> {
    let mut card = [0; 8];
    card.copy_from_slice(&bytes[8..HEADER]);
    Some(u64::from_le_bytes(card)).filter(|_| bytes[15] & 0x80 == 0)
}

/// Keeps an estimate in the header.
pub fn set_cached(bytes: &mut [u8], card: u64) {
    bytes[8..HEADER].copy_from_slice(&card.to_le_bytes());
}

/// Marks the estimate in the header as out of date.
pub fn invalidate(bytes: &mut [u8]) {
    bytes[15] |= 0x80;
}

/// MurmurHash64A, by Austin Appleby.
fn hash(data: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    let mut h = SEED ^ (data.len() as u64).wrapping_mul(M);
    let (words, tail) = data.as_chunks::<8>();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 47;
        h = (h ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !tail.is_empty() {
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        h = (h ^ u64::from_le_bytes(last)).wrapping_mul(M);
    }
    h ^= h >> 47;
    h = h.wrapping_mul(M);
    h ^ h >> 47
}

/// An element's register and the value it asks for there: 1 to 51.
fn place(element: &[u8]) -> (usize, u8) {
    let h = hash(element);
    let run = (h >> INDEX_BITS | 1 << RUN_BITS).trailing_zeros() as u8 + 1;
    (h as usize % REGISTERS, run)
}

// ---- Dense

fn dense_get(registers: &[u8], index: usize) -> u8 {
    let (byte, shift) = (index * 6 / 8, index * 6 % 8);
    let low = u16::from(registers[byte]);
    let high = registers.get(byte + 1).map_or(0, |b| u16::from(*b));
    ((low | high << 8) >> shift) as u8 & 63
}

fn dense_put(registers: &mut [u8], index: usize, value: u8) {
    let (byte, shift) = (index * 6 / 8, index * 6 % 8);
    let (mask, bits) = (63u16 << shift, u16::from(value & 63) << shift);
    registers[byte] = registers[byte] & !(mask as u8) | bits as u8;
    if shift > 2 {
        let next = &mut registers[byte + 1];
        *next = *next & !((mask >> 8) as u8) | (bits >> 8) as u8;
    }
}

/// Raises a register of a dense HyperLogLog; whether it was lower.
fn dense_raise(bytes: &mut [u8], index: usize, value: u8) -> bool {
    let registers = &mut bytes[HEADER..];
    let lower = dense_get(registers, index) < value;
    if lower {
        dense_put(registers, index, value);
    }
    lower
}

/// Adds an element to a dense HyperLogLog; whether that changed it. The kept estimate is left to the caller.
pub fn dense_add(bytes: &mut [u8], element: &[u8]) -> bool {
    let (index, value) = place(element);
    dense_raise(bytes, index, value)
}

// ---- Sparse

/// A run of equal registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Zeros, in one byte.
    Zero(usize),
    /// Zeros, in two bytes.
    XZero(usize),
    /// This value, so many times.
    Val(u8, usize),
}

impl Run {
    /// The run that starts at a byte, which must be there.
    fn at(bytes: &[u8], at: usize) -> Run {
        let b = bytes[at];
        match b >> 6 {
            0 => Run::Zero(usize::from(b & 63) + 1),
            1 => {
                let low = bytes.get(at + 1).copied().unwrap_or(0);
                Run::XZero((usize::from(b & 63) << 8 | usize::from(low)) + 1)
            }
            _ => Run::Val((b >> 2 & 31) + 1, usize::from(b & 3) + 1),
        }
    }

    /// Bytes it takes.
    fn size(self) -> usize {
        if matches!(self, Run::XZero(_)) { 2 } else { 1 }
    }

    fn registers(self) -> usize {
        match self {
            Run::Zero(n) | Run::XZero(n) | Run::Val(_, n) => n,
        }
    }

    fn value(self) -> u8 {
        if let Run::Val(value, _) = self {
            value
        } else {
            0
        }
    }

    /// The shortest run of so many zeros.
    fn zeros(n: usize) -> Run {
        if n > ZERO_MAX {
            Run::XZero(n)
        } else {
            Run::Zero(n)
        }
    }

    fn push_to(self, to: &mut SmallVec<[u8; 8]>) {
        match self {
            Run::Zero(n) => to.push((n - 1) as u8),
            Run::XZero(n) => to.extend_from_slice(&[0x40 | ((n - 1) >> 8) as u8, (n - 1) as u8]),
            Run::Val(value, n) => to.push(val_byte(value, n)),
        }
    }
}

fn val_byte(value: u8, n: usize) -> u8 {
    0x80 | (value - 1) << 2 | (n - 1) as u8
}

/// The runs of a sparse HyperLogLog, right or wrong.
pub fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> + '_ {
    let mut at = HEADER;
    std::iter::from_fn(move || {
        let run = (at < bytes.len()).then(|| Run::at(bytes, at))?;
        at += run.size();
        Some(run)
    })
}

/// Calls `f` with the registers and the value of every run, while they make sense; whether they do to the end.
fn for_each_run(bytes: &[u8], mut f: impl FnMut(Range<usize>, u8)) -> Result<(), Corrupt> {
    let end = runs(bytes).try_fold(0, |first, run| {
        let end = first + run.registers();
        if end > REGISTERS {
            return ControlFlow::Break(());
        }
        f(first..end, run.value());
        ControlFlow::Continue(end)
    });
    if end == ControlFlow::Continue(REGISTERS) {
        Ok(())
    } else {
        Err(Corrupt)
    }
}

/// A HyperLogLog that is being changed: a copy, which turns dense when it has to.
#[derive(Clone, Debug)]
pub struct Draft {
    bytes: SmallVec<[u8; 1024]>,
    /// A run before which no further change will be, as the index of its first byte and of its first register.
    hint: Option<(usize, usize)>,
}

impl Default for Draft {
    fn default() -> Self {
        Draft::new()
    }
}

impl Draft {
    /// An empty one, sparse.
    pub fn new() -> Draft {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(MAGIC);
        header[4] = 1;
        let mut draft = Draft::of(&header);
        let mut run = SmallVec::new();
        Run::XZero(REGISTERS).push_to(&mut run);
        draft.bytes.extend_from_slice(&run);
        draft
    }

    /// A copy of a HyperLogLog: of a string of which [`form`] knows the form.
    pub fn of(bytes: &[u8]) -> Draft {
        Draft {
            bytes: SmallVec::from_slice(bytes),
            hint: None,
        }
    }

    /// The string as it stands.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The string as it stands, to have its estimate set.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The string.
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes.into_vec()
    }

    fn is_dense(&self) -> bool {
        self.bytes[4] == 0
    }

    /// Makes it dense if it is sparse.
    pub fn make_dense(&mut self) -> Result<(), Corrupt> {
        if self.is_dense() {
            return Ok(());
        }
        let mut dense: SmallVec<[u8; 1024]> = SmallVec::from_elem(0, DENSE_LEN);
        let (header, registers) = dense.split_at_mut(HEADER);
        header.copy_from_slice(&self.bytes[..HEADER]);
        header[4] = 0;
        for_each_run(&self.bytes, |range, value| {
            if value > 0 {
                range.for_each(|i| dense_put(registers, i, value));
            }
        })?;
        self.bytes = dense;
        Ok(())
    }

    /// Adds an element; whether that changed anything. A sparse one that would become longer than `max` bytes (the setting
    /// `hll-sparse-max-bytes`) turns dense.
    pub fn add(&mut self, element: &[u8], max: usize) -> Result<bool, Corrupt> {
        let (index, value) = place(element);
        self.hint = None;
        self.raise(index, value, max)
    }

    /// Raises all registers to those of `max_of`, and turns dense first if that is asked for.
    pub fn raise_all(&mut self, max_of: &Union, dense: bool, max: usize) -> Result<(), Corrupt> {
        if dense {
            self.make_dense()?;
        }
        self.hint = None;
        for (index, value) in max_of.0.iter().enumerate().filter(|(_, value)| **value > 0) {
            // A run that cannot be made sense of is left alone, as everywhere after it.
            let _ = self.raise(index, *value, max);
        }
        Ok(())
    }

    fn raise(&mut self, index: usize, value: u8, max: usize) -> Result<bool, Corrupt> {
        if self.is_dense() {
            return Ok(dense_raise(&mut self.bytes, index, value));
        }
        match if value > VAL_TOP {
            None
        } else {
            self.raise_sparse(index, value, max)?
        } {
            Some(changed) => Ok(changed),
            None => {
                self.make_dense()?;
                Ok(dense_raise(&mut self.bytes, index, value))
            }
        }
    }

    /// Raises a register of the sparse form, unless it becomes too long by that (`None`).
    fn raise_sparse(
        &mut self,
        index: usize,
        value: u8,
        max: usize,
    ) -> Result<Option<bool>, Corrupt> {
        // The run that the register is in, and the one before it.
        let (mut at, mut first) = self.hint.unwrap_or((HEADER, 0));
        let mut before = None;
        let run = loop {
            if at >= self.bytes.len() {
                return Err(Corrupt);
            }
            let run = Run::at(&self.bytes, at);
            if index < first + run.registers() {
                break run;
            }
            before = Some((at, first));
            at += run.size();
            first += run.registers();
        };
        self.hint = before.or(self.hint);
        if run.value() >= value {
            return Ok(Some(false));
        }
        if run.registers() == 1 && run.size() == 1 {
            self.bytes[at] = val_byte(value, 1);
        } else {
            let (left, right) = (index - first, first + run.registers() - 1 - index);
            let part = |n| {
                if run.value() == 0 {
                    Run::zeros(n)
                } else {
                    Run::Val(run.value(), n)
                }
            };
            let mut new = SmallVec::new();
            if left > 0 {
                part(left).push_to(&mut new);
            }
            Run::Val(value, 1).push_to(&mut new);
            if right > 0 {
                part(right).push_to(&mut new);
            }
            let old = run.size();
            if at + old > self.bytes.len() {
                return Err(Corrupt);
            }
            if new.len() > old && self.bytes.len() + new.len() - old > max {
                return Ok(None);
            }
            self.splice(at, old, &new);
        }
        self.join(before.map_or(HEADER, |(at, _)| at));
        invalidate(&mut self.bytes);
        Ok(Some(true))
    }

    /// Replaces `old` bytes by others.
    fn splice(&mut self, at: usize, old: usize, new: &[u8]) {
        let len = self.bytes.len();
        if new.len() >= old {
            self.bytes.resize(len + new.len() - old, 0);
        }
        self.bytes.copy_within(at + old..len, at + new.len());
        self.bytes.truncate(len + new.len() - old);
        self.bytes[at..at + new.len()].copy_from_slice(new);
    }

    /// Joins neighbouring VAL runs of the same value where they fit into one, looking at five runs from one on.
    fn join(&mut self, mut at: usize) {
        for _ in 0..5 {
            if at >= self.bytes.len() {
                return;
            }
            let run = Run::at(&self.bytes, at);
            if let Run::Val(value, n) = run
                && at + 1 < self.bytes.len()
                && let Run::Val(next, m) = Run::at(&self.bytes, at + 1)
                && value == next
                && n + m <= VAL_MAX
            {
                self.splice(at, 2, &[val_byte(value, n + m)]);
                continue;
            }
            at += run.size();
        }
    }
}

// ---- Estimating

/// The registers of several HyperLogLogs together: the highest of each.
#[derive(Clone)]
pub struct Union([u8; REGISTERS]);

impl Default for Union {
    fn default() -> Self {
        Union([0; REGISTERS])
    }
}

impl Union {
    /// Takes a HyperLogLog in: a string of which [`form`] knows the form.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        if form(bytes) == Some(Form::Dense) {
            for_each_dense(bytes, |i, value| self.0[i] = self.0[i].max(value));
            return Ok(());
        }
        for_each_run(bytes, |range, value| {
            if value > 0 {
                self.0[range].iter_mut().for_each(|r| *r = value.max(*r));
            }
        })
    }

    /// The estimate for all that was taken in.
    pub fn estimate(&self) -> u64 {
        let mut histogram = [0; 64];
        self.0.iter().for_each(|r| histogram[usize::from(*r)] += 1);
        estimate(&histogram)
    }

    /// All registers.
    pub fn registers(&self) -> &[u8; REGISTERS] {
        &self.0
    }
}

fn for_each_dense(bytes: &[u8], mut f: impl FnMut(usize, u8)) {
    for (i, three) in bytes[HEADER..].as_chunks::<3>().0.iter().enumerate() {
        let four = u32::from_le_bytes([three[0], three[1], three[2], 0]);
        for j in 0..4 {
            f(4 * i + j, (four >> (6 * j)) as u8 & 63);
        }
    }
}

/// Estimates how many different elements a HyperLogLog has seen: a string of which [`form`] knows the form.
pub fn count(bytes: &[u8]) -> Result<u64, Corrupt> {
    let mut histogram = [0; 64];
    if form(bytes) == Some(Form::Dense) {
        for_each_dense(bytes, |_, value| histogram[usize::from(value)] += 1);
    } else {
        for_each_run(bytes, |range, value| {
            histogram[usize::from(value)] += range.len() as u32
        })?;
    }
    Ok(estimate(&histogram))
}

/// The estimator of Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (arXiv:1702.01284), from
/// how many registers have each value. Operations are in the order that gives Redis's rounding.
fn estimate(histogram: &[u32; 64]) -> u64 {
    /// 0.5 / ln 2
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let m = REGISTERS as f64;
    let count = |value: usize| f64::from(histogram[value]);
    let top = RUN_BITS as usize + 1;
    let mut z = m * tau((m - count(top)) / m);
    for value in (1..top).rev() {
        z = 0.5 * (z + count(value));
    }
    z += m * sigma(count(0) / m);
    let e = (ALPHA * m * m / z).round();
    // What does not fit becomes what Redis's conversion makes of it.
    if e < i64::MAX as f64 {
        e as u64
    } else {
        i64::MIN as u64
    }
}

/// x + x^2 + 2 x^4 + 4 x^8 + ...
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// A third of 1 - x - (1 - x^(1/2))^2 / 2 - (1 - x^(1/4))^2 / 4 - ...
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// Tests registers, both forms against each other, and the estimates of up to 300,000 elements. Takes some milliseconds.
///
/// # Errors
/// What went wrong.
pub fn self_test() -> Result<(), String> {
    let mut registers = [0; DENSE_LEN - HEADER];
    let mut wanted = [0u8; REGISTERS];
    for round in 0..20u64 {
        for (i, wanted) in wanted.iter_mut().enumerate() {
            *wanted = (hash(&(round << 32 | i as u64).to_le_bytes()) & 63) as u8;
            dense_put(&mut registers, i, *wanted);
        }
        for (i, wanted) in wanted.iter().enumerate() {
            let got = dense_get(&registers, i);
            if got != *wanted {
                return Err(format!(
                    "TESTFAILED Register {i} should be {wanted} but is {got}"
                ));
            }
        }
    }
    let mut sparse = Draft::new();
    let mut dense = Draft::new();
    dense
        .make_dense()
        .map_err(|_| "TESTFAILED an empty one is corrupted".to_owned())?;
    let mut checkpoint = 1;
    for n in 1..=300_000u64 {
        let element = hash(&n.to_le_bytes()).to_le_bytes();
        dense
            .add(&element, 0)
            .map_err(|_| "TESTFAILED dense form is corrupted".to_owned())?;
        if n <= 10_000 {
            sparse
                .add(&element, 3000)
                .map_err(|_| "TESTFAILED sparse form is corrupted".to_owned())?;
        }
        if n == checkpoint {
            checkpoint = (checkpoint * 3).min(300_000);
            let card = count(dense.bytes()).unwrap_or(0);
            if n <= 10_000 && count(sparse.bytes()) != Ok(card) {
                return Err("TESTFAILED dense/sparse disagree".to_owned());
            }
            let allowed = (1.04 / (REGISTERS as f64).sqrt() * 6.0 * n as f64).ceil() as u64
                + u64::from(n == 10);
            if card.abs_diff(n) > allowed {
                return Err(format!(
                    "TESTFAILED Too big error. card:{n} abserr:{}",
                    card.abs_diff(n)
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
