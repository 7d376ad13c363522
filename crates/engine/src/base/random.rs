//! Random numbers: unpredictable bytes, and fast numbers that are no secrets.

/// Bytes nobody can predict.
///
/// # Panics
/// If the system cannot give any.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    let mut got = 0;
    while got < N {
        // SAFETY: the pointer and length describe the part of the array that is still to be filled.
        let n = unsafe { libc::getrandom(bytes[got..].as_mut_ptr().cast(), N - got, 0) };
        assert!(n >= 0, "the system gives no random bytes");
        got += n as usize;
    }
    bytes
}

/// A number below `n` (not zero), each as likely as any other.
///
/// Not for secrets: a xorshift generator per thread, seeded by the system.
pub fn random_below(n: u64) -> u64 {
    use std::cell::Cell;
    thread_local!(static STATE: Cell<u64> = Cell::new(u64::from_le_bytes(random_bytes()) | 1));
    let x = STATE.with(|s| {
        let mut x = s.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        s.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    });
    // The bias of taking the high half of a product is below n / 2^64.
    ((u128::from(x) * u128::from(n)) >> 64) as u64
}
