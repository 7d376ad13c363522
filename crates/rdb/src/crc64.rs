//! The checksum of payloads and RDB files: CRC-64 with Jones's polynomial, bits reflected, starting from zero.

use std::sync::LazyLock;

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

/// Bytes of a lane: long inputs are cut into groups of four lanes, whose checksums do not wait for each other.
const LANE: usize = 1024;

/// `SHIFT[k][b]`: the checksum with byte `b` in its place `k` after `LANE` zero bytes. A checksum is linear, so the whole of
/// it is the sum of these for its bytes, and lanes can be put together.
static SHIFT: LazyLock<[[u64; 256]; 8]> = LazyLock::new(|| {
    let mut shift = [[0; 256]; 8];
    for (k, table) in shift.iter_mut().enumerate() {
        for bit in 0..8 {
            let mut crc = 1u64 << (8 * k + bit);
            for _ in 0..LANE {
                crc = crc >> 8 ^ TABLES[0][(crc & 0xff) as usize];
            }
            let step = 1 << bit;
            for byte in step..2 * step {
                table[byte] = table[byte - step] ^ crc;
            }
        }
    }
    shift
});

/// The checksum after `LANE` zero bytes.
fn shifted(crc: u64) -> u64 {
    let mut sum = 0;
    for (table, byte) in SHIFT.iter().zip(crc.to_le_bytes()) {
        sum ^= table[usize::from(byte)];
    }
    sum
}

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
    let (groups, bytes) = bytes.as_chunks::<{ 4 * LANE }>();
    for group in groups {
        let (words, _) = group.as_chunks::<8>();
        let (first, rest) = words.split_at(LANE / 8);
        let (second, rest) = rest.split_at(LANE / 8);
        let (third, fourth) = rest.split_at(LANE / 8);
        let mut lanes = [crc, 0, 0, 0];
        for (((a, b), c), d) in first.iter().zip(second).zip(third).zip(fourth) {
            lanes = [
                word(lanes[0], a),
                word(lanes[1], b),
                word(lanes[2], c),
                word(lanes[3], d),
            ];
        }
        crc = lanes[1..]
            .iter()
            .fold(lanes[0], |crc, lane| shifted(crc) ^ lane);
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
    use super::update;

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

    /// Long inputs go through lanes, single bytes do not.
    #[test]
    fn lanes_are_put_together() {
        let bytes: Vec<u8> = (0..20_000u32).map(|n| ((n * n) >> 3) as u8).collect();
        for len in [4095, 4096, 4097, 8192, 20_000] {
            let bytes = &bytes[..len];
            let one_by_one = bytes.chunks(1).fold(7, update);
            assert_eq!(update(7, bytes), one_by_one, "{len}");
        }
    }
}
