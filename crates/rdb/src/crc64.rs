//! The checksum of payloads and RDB files: CRC-64 with Jones's polynomial, bits reflected, starting from zero.

use crc_fast::{CrcAlgorithm, Digest};

/// The polynomial 0xad93d23594c935a9 with its bits in reverse.
const REFLECTED: u64 = 0x95ac_9329_ac4b_c9b5;

/// `TABLES[k][b]`: the checksum of byte `b` followed by `k` zero bytes.
static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ REFLECTED
            } else {
                crc >> 1
            };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[k - 1][byte];
            tables[k][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        k += 1;
    }
    tables
}

/// From this many bytes on it pays to set up what works on many at a time.
const LONG: usize = 256;

/// The checksum after 8 bytes.
#[inline(always)]
fn word(crc: u64, word: &[u8; 8]) -> u64 {
    let [a, b, c, d, e, f, g, h] = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
    let t = &TABLES;
    t[7][a as usize]
        ^ t[6][b as usize]
        ^ t[5][c as usize]
        ^ t[4][d as usize]
        ^ t[3][e as usize]
        ^ t[2][f as usize]
        ^ t[1][g as usize]
        ^ t[0][h as usize]
}

/// The checksum of bytes that follow others with checksum `crc` (0 for none).
pub fn update(mut crc: u64, bytes: &[u8]) -> u64 {
    if bytes.len() >= LONG {
        let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc64Redis, crc);
        digest.update(bytes);
        return digest.finalize();
    }
    let (words, rest) = bytes.as_chunks::<8>();
    for bytes in words {
        crc = word(crc, bytes);
    }
    for byte in rest {
        crc = crc >> 8 ^ TABLES[0][(crc as u8 ^ byte) as usize];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::{LONG, update};

    #[test]
    fn the_published_check_value() {
        assert_eq!(update(0, b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(update(0, b""), 0);
    }

    #[test]
    fn pieces_add_up() {
        let bytes: Vec<u8> = (0..100).collect();
        for cut in 0..bytes.len() {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(update(update(0, a), b), update(0, &bytes));
        }
    }

    /// Long inputs go another way than single bytes.
    #[test]
    fn both_ways_give_the_same() {
        let bytes: Vec<u8> = (0..20_000u32).map(|n| ((n * n) >> 3) as u8).collect();
        for len in [
            LONG - 1,
            LONG,
            LONG + 1,
            1000,
            4095,
            4096,
            4097,
            8192,
            20_000,
        ] {
            for from in 0..17 {
                let bytes = &bytes[from..len];
                let one_by_one = bytes.chunks(1).fold(7, update);
                assert_eq!(update(7, bytes), one_by_one, "{from}..{len}");
            }
        }
    }
}
