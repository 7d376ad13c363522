//! What modules leave in files: their values, and metadata of keys. We have no modules; but their data can be gone past,
//! since each piece of it says what it is.

use crate::cursor::{Cursor, Short, TRUNCATED};
use crate::version::Dialect;
use crate::{Malformed, Result, opcode};

/// The bytes between pieces of a module's data.
mod piece {
    pub const END: u64 = 0;
    pub const SIGNED: u64 = 1;
    pub const UNSIGNED: u64 = 2;
    pub const FLOAT: u64 = 3;
    pub const DOUBLE: u64 = 4;
    pub const STRING: u64 = 5;
}

/// Goes past a module's data, its end mark included.
pub(crate) fn skip_module_data(r: &mut Cursor<'_>) -> std::result::Result<(), Short> {
    loop {
        match r.length()? {
            piece::END => return Ok(()),
            piece::SIGNED | piece::UNSIGNED => drop(r.length()?),
            piece::FLOAT => r.skip(4)?,
            piece::DOUBLE => r.skip(8)?,
            piece::STRING => r.skip_string()?,
            _ => return Err(Short::Bad(Malformed("bad data of a module"))),
        }
    }
}

/// The letters of names, 6 bits each.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn name(bits: u64, letters: u32) -> String {
    (0..letters)
        .rev()
        .map(|at| char::from(LETTERS[(bits >> (6 * at)) as usize & 63]))
        .collect()
}

/// The name and version in the number by which a module's type is known.
pub(crate) fn module_name(id: u64) -> String {
    format!("{} version {}", name(id >> 10, 9), id & 0x3ff)
}

/// Says that a class of metadata may be left out by those who do not know it.
const MAY_BE_IGNORED: u32 = 1;

/// Goes past the metadata of a key, behind its opcode. Returns the first class that must not be left out.
pub(crate) fn skip_classes(r: &mut Cursor<'_>) -> std::result::Result<Option<String>, Short> {
    let mut needed = None;
    for _ in 0..r.length()? {
        let class = r.u32_le()?;
        if class & MAY_BE_IGNORED == 0 {
            needed.get_or_insert_with(|| name(u64::from(class >> 8), 4));
        }
        skip_module_data(r)?;
    }
    Ok(needed)
}

/// Goes past metadata that may stand before the type of a value in a payload.
pub(crate) fn skip(r: &mut Cursor<'_>, dialect: Dialect) -> Result<()> {
    if dialect == Dialect::Redis && r.rest().first() == Some(&opcode::METADATA_OR_IMPORT) {
        r.byte()?;
        match skip_classes(r) {
            Ok(None) => {}
            Ok(Some(_)) => return Err(Malformed("metadata of a module that must not be left out")),
            Err(Short::Missing(_)) => return Err(TRUNCATED),
            Err(Short::Bad(malformed)) => return Err(malformed),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        // "vectorset" version 0, as Redis 8 writes it.
        let letters = b"vectorset".map(|b| LETTERS.iter().position(|l| *l == b).unwrap() as u64);
        let id = letters.iter().fold(0, |id, l| id << 6 | l) << 10 | 3;
        assert_eq!(module_name(id), "vectorset version 3");
        assert_eq!(name(0, 4), "AAAA");
    }

    #[test]
    fn classes_may_be_ignored_or_not() {
        let class = |flags: u32| (1u32 << 8 | flags).to_le_bytes();
        let data = [
            2, 5, 5, 1, b'x', 3, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let one = [&[1][..], &class(1), &data].concat();
        let mut r = Cursor::new(&one);
        assert_eq!(skip_classes(&mut r).unwrap(), None);
        assert_eq!(r.left(), 0);
        let two = [&[2][..], &class(1), &data, &class(0), &data].concat();
        assert_eq!(
            skip_classes(&mut Cursor::new(&two)).unwrap().unwrap(),
            "AAAB"
        );
        for cut in 0..two.len() {
            assert!(matches!(
                skip_classes(&mut Cursor::new(&two[..cut])),
                Err(Short::Missing(_))
            ));
        }
    }
}
