//! Digests of scripts, as text.

/// A SHA-1 digest as 40 lower-case hexadecimal digits, by which scripts are known.
pub type Sha = [u8; 40];

/// The digest of a script's body.
pub fn sha1_hex(body: &[u8]) -> Sha {
    hex_of(sha1_smol::Sha1::from(body))
}

/// A digest as text.
pub(crate) fn hex_of(sha: sha1_smol::Sha1) -> Sha {
    let bytes = sha.digest().bytes();
    let mut text = [0; 40];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}
