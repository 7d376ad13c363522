//! The classes of keyspace notifications, as bits. The letters are those of `notify-keyspace-events`.

/// `g`: commands that are of no type (DEL, EXPIRE, RENAME ...).
pub const GENERIC: u32 = 1 << 2;
/// `$`
pub const STRING: u32 = 1 << 3;
/// `l`
pub const LIST: u32 = 1 << 4;
/// `s`
pub const SET: u32 = 1 << 5;
/// `h`
pub const HASH: u32 = 1 << 6;
/// `z`
pub const SORTED_SET: u32 = 1 << 7;
/// `x`: a key was removed because it had expired.
pub const EXPIRED: u32 = 1 << 8;
/// `e`: a key was removed because memory was short.
pub const EVICTED: u32 = 1 << 9;
/// `t`
pub const STREAM: u32 = 1 << 10;
/// `m`: a key was asked for that is not there.
pub const KEY_MISS: u32 = 1 << 11;
/// `n`: a key came to be.
pub const NEW: u32 = 1 << 14;
/// `o`: a key was given another value, whatever it had before.
pub const OVERWRITTEN: u32 = 1 << 15;
/// `c`: the same, when the new value is of another type.
pub const TYPE_CHANGED: u32 = 1 << 16;
/// `K`: notifications go to the channel of the key.
pub const KEYSPACE: u32 = 1;
/// `E`: notifications go to the channel of the event.
pub const KEYEVENT: u32 = 1 << 1;
/// `S`: what happened to which fields of a key goes to the key's channel for that.
pub const SUBKEYSPACE: u32 = 1 << 17;
/// `T`: the same, to the channel of the event.
pub const SUBKEYEVENT: u32 = 1 << 18;
/// `I`: the same, to the channel of each field.
pub const SUBKEYSPACEITEM: u32 = 1 << 19;
/// `V`: the same, to the channel of the event and the key.
pub const SUBKEYSPACEEVENT: u32 = 1 << 20;
/// Those that tell of fields.
pub const SUBKEYS: u32 = SUBKEYSPACE | SUBKEYEVENT | SUBKEYSPACEITEM | SUBKEYSPACEEVENT;
/// `d`: events of modules, of which there are none.
pub const MODULE: u32 = 1 << 13;
/// `A`
pub const ALL: u32 =
    GENERIC | STRING | LIST | SET | HASH | SORTED_SET | EXPIRED | EVICTED | STREAM | MODULE;
/// Everything that has a letter.
pub const KNOWN: u32 = ALL | KEY_MISS | NEW | OVERWRITTEN | TYPE_CHANGED;
/// The letters of classes in the order in which CONFIG GET prints them.
const LETTERS: [(char, u32); 14] = [
    ('g', GENERIC),
    ('$', STRING),
    ('l', LIST),
    ('s', SET),
    ('h', HASH),
    ('z', SORTED_SET),
    ('x', EXPIRED),
    ('e', EVICTED),
    ('t', STREAM),
    ('d', MODULE),
    ('n', NEW),
    ('o', OVERWRITTEN),
    ('c', TYPE_CHANGED),
    ('K', KEYSPACE),
];

/// The letters that come last, and are in no `A`.
const LAST: [(char, u32); 6] = [
    ('E', KEYEVENT),
    ('m', KEY_MISS),
    ('S', SUBKEYSPACE),
    ('T', SUBKEYEVENT),
    ('I', SUBKEYSPACEITEM),
    ('V', SUBKEYSPACEEVENT),
];

/// Reads the letters of `notify-keyspace-events`; None if one is not known.
pub fn parse(letters: &str) -> Option<u32> {
    let mut classes = 0;
    for letter in letters.chars() {
        classes |= match letter {
            'A' => ALL,
            _ => {
                let mut all = LETTERS.iter().chain(&LAST);
                all.find(|(l, _)| *l == letter)?.1
            }
        };
    }
    Some(classes)
}

/// Writes them as CONFIG GET does, in which `A` stands for the letters up to `c`, in real servers too.
pub fn letters(classes: u32) -> String {
    let mut letters = String::new();
    let all = classes & ALL == ALL;
    if all {
        letters.push('A');
    }
    for (letter, class) in LETTERS {
        if classes & class != 0 && (!all || class == KEYSPACE) {
            letters.push(letter);
        }
    }
    for (letter, class) in LAST {
        if classes & class != 0 {
            letters.push(letter);
        }
    }
    letters
}

/// No class: see [`crate::door::change::Event::of_pending`].
pub const PENDING: u32 = 1 << 29;
/// No class: see [`crate::door::change::Event::waking`].
pub const WAKES: u32 = 1 << 30;
/// No class: see [`crate::door::change::Event::aside`].
pub const ASIDE: u32 = 1 << 31;
