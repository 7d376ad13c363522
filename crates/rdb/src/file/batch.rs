//! Whole items of a file with the bytes they stand in, and entries on their way to becoming values.

use super::error::{Error, What};
use crate::cursor::{Cursor, Short, TRUNCATED, Text};
use crate::encode::Hint;
use crate::malformed::EMPTY;
use crate::version::Dialect;
use crate::{Loaded, Malformed, Settings, decode, metadata, opcode};
use store::Collection;

/// Some items that follow each other in a file. Owns its bytes, so that it can go to another thread.
#[derive(Debug)]
pub struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Where the first item begins.
    pub(super) start: usize,
    /// Where each item ends.
    pub(super) ends: Vec<usize>,
    /// Where `bytes` are in the file.
    pub(super) base: u64,
    /// The database of the first item.
    pub(super) db: u32,
    pub(super) dialect: Dialect,
    pub(super) piece: Option<PieceOf>,
}

/// What a piece belongs to, for all pieces but the first do not say.
#[derive(Clone, Debug)]
pub(super) struct PieceOf {
    pub place: Place,
    pub elements: u64,
    pub kind: u8,
    pub key: Vec<u8>,
    pub lead: Lead,
}

/// Which piece of a value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Place {
    First,
    Middle,
    Last,
}

/// A part of a large collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which one.
    pub place: Place,
    /// The number of elements in it.
    pub elements: u64,
}

/// What stands in a file.
#[derive(Debug)]
pub enum Item<'a> {
    /// Something that is to be known about the file.
    Aux {
        /// What it is called, such as `redis-ver`.
        name: Text<'a>,
        /// Its value, as text.
        value: Text<'a>,
    },
    /// The entries that follow are in this database.
    Select(u32),
    /// How many entries follow in this database, and how many of them expire. Only a hint.
    Resize {
        /// Entries.
        keys: u64,
        /// Those that expire.
        expires: u64,
    },
    /// How many entries follow in a slot. Only a hint.
    Slot {
        /// The slot.
        slot: u64,
        /// Entries.
        keys: u64,
        /// Those that expire.
        expires: u64,
    },
    /// The source of a library of functions.
    Function(Text<'a>),
    /// Slots that were being moved to a Valkey server. Nothing to us.
    SlotImport,
    /// What a module left beside the keys; only where the reader goes past such. The text is the module's name.
    ModuleAux(String),
    /// A key with its value.
    Entry(Entry<'a>),
}

/// A key with its value, which is not built yet.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The database.
    pub db: u32,
    /// The key.
    pub key: Text<'a>,
    /// When it expires, in Unix milliseconds; 0 for times before 1970.
    pub expiry_ms: Option<u64>,
    /// How much it was used.
    pub hint: Option<Hint>,
    /// The type and encoding of the value.
    pub kind: u8,
    /// Whose numbers `kind` is one of.
    pub dialect: Dialect,
    /// The value's bytes, or those of a piece of it.
    pub bytes: &'a [u8],
    /// Where these are in the file.
    pub offset: u64,
    /// Which piece of a large collection it is; `None` for a whole value.
    pub piece: Option<Piece>,
}

/// What stands before a type or opcode.
#[derive(Clone, Debug)]
pub(super) struct Lead {
    pub expiry_ms: Option<u64>,
    pub hint: Option<Hint>,
    /// A class of metadata that must not be left out.
    pub class: Option<String>,
    /// Whether there was anything.
    pub any: bool,
}

/// Reads what may stand before the type of an entry, and the byte of that type, or an opcode.
#[inline]
pub(super) fn lead(r: &mut Cursor<'_>, dialect: Dialect) -> Result<(Lead, u8), Short> {
    let mut lead = Lead {
        expiry_ms: None,
        hint: None,
        class: None,
        any: false,
    };
    loop {
        match r.byte()? {
            opcode::EXPIRY_MS => lead.expiry_ms = Some((r.u64_le()? as i64).max(0) as u64),
            opcode::EXPIRY_S => {
                let seconds = (r.u32_le()? as i32).max(0) as u64;
                lead.expiry_ms = Some(seconds * 1000);
            }
            opcode::IDLE => lead.hint = Some(Hint::Idle(r.length()?)),
            opcode::FREQUENCY => lead.hint = Some(Hint::Frequency(r.byte()?)),
            opcode::METADATA_OR_IMPORT if dialect == Dialect::Redis => {
                lead.class = metadata::skip_classes(r)?;
            }
            byte => return Ok((lead, byte)),
        }
        lead.any = true;
    }
}

impl Batch {
    /// Bytes of the file it has.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether it has no item.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many items it has.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Where it begins in the file.
    pub fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Which piece of a large collection it is, if that is all it is. The others come in the batches before and behind it.
    pub fn piece(&self) -> Option<Place> {
        self.piece.as_ref().map(|piece| piece.place)
    }

    /// Its items in order.
    pub fn items(&self) -> Items<'_> {
        Items {
            batch: self,
            at: self.start,
            n: 0,
            db: self.db,
        }
    }

    fn item<'a>(&'a self, range: std::ops::Range<usize>, db: u32) -> Result<Item<'a>, Error> {
        let bytes = &self.bytes[range.clone()];
        let offset_of = |r: &Cursor<'_>| self.base + (range.end - r.left()) as u64;
        let mut r = Cursor::new(bytes);
        if let Some(piece) = self.piece.as_ref().filter(|p| p.place != Place::First) {
            return Ok(Item::Entry(Entry {
                db,
                key: Text::from_vec(piece.key.clone()),
                expiry_ms: piece.lead.expiry_ms,
                hint: piece.lead.hint,
                kind: piece.kind,
                dialect: self.dialect,
                bytes,
                offset: self.base + range.start as u64,
                piece: Some(Piece {
                    place: piece.place,
                    elements: piece.elements,
                }),
            }));
        }
        // The scanner has been over all this, so that only strings can still turn out to be damaged inside.
        let bad = |r: &Cursor<'_>, malformed| Error::at(offset_of(r), What::Malformed(malformed));
        let (lead, byte) = lead(&mut r, self.dialect).map_err(|short| {
            bad(
                &r,
                match short {
                    Short::Bad(malformed) => malformed,
                    Short::Missing(_) => TRUNCATED,
                },
            )
        })?;
        let number = |r: &mut Cursor<'_>| r.length().map_err(|m| bad(r, m));
        let text = |r: &mut Cursor<'a>| -> Result<Text<'a>, Error> {
            let at = r.clone();
            r.string().map_err(|m| bad(&at, m))
        };
        Ok(match byte {
            opcode::AUX => Item::Aux {
                name: text(&mut r)?,
                value: text(&mut r)?,
            },
            opcode::SELECT => Item::Select(number(&mut r)? as u32),
            opcode::RESIZE => Item::Resize {
                keys: number(&mut r)?,
                expires: number(&mut r)?,
            },
            opcode::SLOT => Item::Slot {
                slot: number(&mut r)?,
                keys: number(&mut r)?,
                expires: number(&mut r)?,
            },
            opcode::FUNCTION => Item::Function(text(&mut r)?),
            opcode::METADATA_OR_IMPORT => Item::SlotImport,
            opcode::MODULE_AUX => Item::ModuleAux(metadata::module_name(number(&mut r)?)),
            kind => {
                let key = text(&mut r)?;
                Item::Entry(Entry {
                    db,
                    key,
                    expiry_ms: lead.expiry_ms,
                    hint: lead.hint,
                    kind,
                    dialect: self.dialect,
                    bytes: r.rest(),
                    offset: offset_of(&r),
                    piece: self.piece.as_ref().map(|piece| Piece {
                        place: piece.place,
                        elements: piece.elements,
                    }),
                })
            }
        })
    }
}

/// See [`Batch::items`].
#[derive(Clone, Debug)]
pub struct Items<'a> {
    batch: &'a Batch,
    at: usize,
    n: usize,
    db: u32,
}

impl<'a> Items<'a> {
    pub(super) fn from(batch: &'a Batch, at: usize, n: usize, db: u32) -> Items<'a> {
        Items { batch, at, n, db }
    }

    /// The database of what comes next.
    pub fn db(&self) -> u32 {
        self.db
    }

    /// Where it has come to.
    pub(super) fn place(&self) -> (usize, usize, u32) {
        (self.at, self.n, self.db)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let end = *self.batch.ends.get(self.n)?;
        let item = self.batch.item(self.at..end, self.db);
        self.at = end;
        self.n += 1;
        if let Ok(Item::Select(db)) = &item {
            self.db = *db;
        }
        Some(item)
    }
}

impl<'a> Entry<'a> {
    /// Builds the value; `None` if there is nothing of it: a collection without elements, which old servers sometimes wrote,
    /// or a hash or set whose elements have all expired. Whether the key itself has expired is not looked at.
    ///
    /// A piece is not a value: see [`Assembly`].
    pub fn load(&self, settings: &Settings) -> Result<Option<Loaded<'a>>, Error> {
        let mut r = Cursor::new(self.bytes);
        let loaded = if self.piece.is_some() {
            Err(Malformed("a piece of a value instead of all of it"))
        } else {
            decode::value(self.kind, &mut r, self.dialect, settings)
        };
        self.loaded(&r, loaded)
    }

    fn loaded<'l>(
        &self,
        r: &Cursor<'_>,
        loaded: crate::Result<Loaded<'l>>,
    ) -> Result<Option<Loaded<'l>>, Error> {
        match loaded {
            Ok(_) if r.left() > 0 => Err(self.error(r, Malformed("more than a value"))),
            Ok(Loaded::Object(store::Object::Hash(hash))) if hash.is_empty() => Ok(None),
            Ok(Loaded::Object(store::Object::Set(set))) if set.is_empty() => Ok(None),
            Ok(loaded) => Ok(Some(loaded)),
            Err(EMPTY) => Ok(None),
            Err(malformed) => Err(self.error(r, malformed)),
        }
    }

    fn error(&self, r: &Cursor<'_>, malformed: Malformed) -> Error {
        Error {
            offset: self.offset + (self.bytes.len() - r.left()) as u64,
            db: Some(self.db),
            key: Some(self.key.to_vec()),
            what: What::Malformed(malformed),
        }
    }
}

/// Puts values together, whole ones and those that come in pieces.
#[derive(Debug, Default)]
pub struct Assembly(Option<decode::Assembly>);

/// What has become of an entry.
#[derive(Debug)]
pub enum Built<'a> {
    /// A piece of a value; more are to come.
    More,
    /// A value.
    Value(Loaded<'a>),
    /// Nothing is left of the value: see [`Entry::load`].
    Nothing,
}

impl Assembly {
    /// One without pieces.
    pub fn new() -> Assembly {
        Assembly::default()
    }

    /// Adds an entry: a whole value, or the next piece of one.
    pub fn add<'a>(&mut self, entry: &Entry<'a>, settings: &Settings) -> Result<Built<'a>, Error> {
        let Some(piece) = entry.piece else {
            self.0 = None;
            return Ok(match entry.load(settings)? {
                Some(loaded) => Built::Value(loaded),
                None => Built::Nothing,
            });
        };
        let mut r = Cursor::new(entry.bytes);
        let in_error = |r: &Cursor<'_>, malformed| entry.error(r, malformed);
        let mut assembly = if piece.place == Place::First {
            decode::Assembly::begin(entry.kind, &mut r, entry.dialect, settings)
                .map_err(|m| in_error(&r, m))?
        } else {
            self.0
                .take()
                .ok_or_else(|| in_error(&r, Malformed("a piece of a value without the first")))?
        };
        assembly
            .add(&mut r, piece.elements, settings)
            .map_err(|m| in_error(&r, m))?;
        if piece.place != Place::Last {
            if r.left() > 0 {
                return Err(in_error(&r, Malformed("more than its elements in a piece")));
            }
            self.0 = Some(assembly);
            return Ok(Built::More);
        }
        let loaded = assembly.finish(&mut r, settings);
        Ok(match entry.loaded(&r, loaded)? {
            Some(loaded) => Built::Value(loaded),
            None => Built::Nothing,
        })
    }
}
