//! Passwords: kept as SHA-256 digests, compared in a time that says nothing of them.

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The digest of a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(a password)")
    }
}

impl Digest {
    /// Of a password.
    pub fn of(password: &[u8]) -> Digest {
        Digest(Sha256::digest(password).into())
    }

    /// Of what [`Digest::hex`] writes: 64 digits in lower case.
    pub fn from_hex(text: &[u8]) -> Option<Digest> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, []) = text.as_chunks::<2>() else {
            return None;
        };
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Digest(bytes))
    }

    /// 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether this is one of those. All are compared, whichever it is.
    pub fn is_among(&self, all: &[Digest]) -> bool {
        let found = all.iter().fold(Choice::from(0), |found, other| {
            found | self.0.ct_eq(&other.0)
        });
        found.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_as_they_are_written() {
        let digest = Digest::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.hex(), hex);
        assert!(Digest::from_hex(hex.as_bytes()) == Some(digest));
        for bad in [
            "",
            &hex[1..],
            &format!("{hex}0"),
            &hex.to_uppercase(),
            &hex.replace('b', "g"),
        ] {
            assert!(Digest::from_hex(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(digest.is_among(&[Digest::of(b"x"), digest]));
        assert!(!digest.is_among(&[Digest::of(b"x")]) && !digest.is_among(&[]));
    }
}
