//! Compiling source text: in pieces, so that it is counted as work of the run, and never bytecode, which could do what it likes.

use std::ffi::{CStr, c_char, c_int, c_void};

use mlua_sys as ffi;

use crate::budget::charge;
use crate::raw::{L, NIL, lua_State};

impl L {
    /// Compiles source text (never bytecode) into a function, pushed; if false, the error message is pushed instead.
    pub fn load_text(self, text: &[u8], name: &CStr) -> bool {
        // The parser's own copy of the name could be collected while it reads: anchored here, it is the same string.
        self.push_bytes(name.to_bytes());
        let mut pieces = Pieces {
            text,
            started: false,
        };
        // SAFETY: as above; `read_text` gets a pointer to `pieces`, which outlives the call.
        let status =
            unsafe { ffi::lua_load(self.0, read_text, (&raw mut pieces).cast(), name.as_ptr()) };
        self.remove(-2);
        status == ffi::LUA_OK
    }

    /// Compiles the text that the function at stack index 1 returns piece by piece; as [`L::load_text`].
    pub fn load_pieces(self, name: &[u8]) -> bool {
        self.push_bytes(name);
        let mut state = ReaderState {
            slot: self.top(),
            started: false,
            held: None,
        };
        self.push_nil();
        state.slot += 1;
        // SAFETY: as above; the name is on the stack, and Lua's strings end in a NUL.
        let status = unsafe {
            let name = ffi::lua_tolstring(self.0, state.slot - 1, std::ptr::null_mut());
            ffi::lua_load(self.0, read_function, (&raw mut state).cast(), name)
        };
        status == ffi::LUA_OK
    }
}

/// Source text for `lua_load`.
struct Pieces<'a> {
    text: &'a [u8],
    started: bool,
}

/// A space before a text that starts with bytecode's first byte keeps Lua's loader from taking it for bytecode, and
/// changes nothing else.
const TEXT_ONLY: &[u8] = b" ";
const BYTECODE: u8 = ffi::LUA_SIGNATURE[0];

unsafe extern "C-unwind" fn read_text(
    state: *mut lua_State,
    data: *mut c_void,
    size: *mut usize,
) -> *const c_char {
    // SAFETY: `load_text` passes its Pieces; Lua passes a place for the size. This frame has no destructors to skip when it
    // raises.
    unsafe {
        let pieces = &mut *data.cast::<Pieces>();
        let piece = if !pieces.started && pieces.text.first() == Some(&BYTECODE) {
            TEXT_ONLY
        } else {
            let (piece, rest) = pieces.text.split_at(pieces.text.len().min(PIECE));
            pieces.text = rest;
            piece
        };
        if pieces.started && !piece.is_empty() {
            let l = L(state);
            if charge(l, l.ctx(), piece.len() * COMPILING).is_err() {
                ffi::lua_error(state);
            }
        }
        pieces.started = true;
        *size = piece.len();
        piece.as_ptr().cast()
    }
}

/// Bytes of source given to the compiler at a time, and how much longer one takes than to copy it.
const PIECE: usize = 16 * 1024;
const COMPILING: usize = 32;

struct ReaderState {
    /// The stack slot that keeps the current piece alive.
    slot: c_int,
    started: bool,
    /// The first piece, held back for [`TEXT_ONLY`].
    held: Option<(*const c_char, usize)>,
}

unsafe extern "C-unwind" fn read_function(
    state: *mut lua_State,
    data: *mut c_void,
    size: *mut usize,
) -> *const c_char {
    let l = L(state);
    // SAFETY: `load_pieces` passes its ReaderState; Lua passes a place for the size. The piece stays in its slot until
    // the next one replaces it. This frame has no destructors to skip when the function raises.
    unsafe {
        let reader = &mut *data.cast::<ReaderState>();
        if let Some((piece, len)) = reader.held.take() {
            *size = len;
            return piece;
        }
        ffi::luaL_checkstack_(state, 2, c"too many nested functions".as_ptr());
        l.push_value(1);
        l.call(0, 1);
        if l.kind(-1) == NIL {
            l.pop(1);
            *size = 0;
            return std::ptr::null();
        }
        if ffi::lua_isstring(state, -1) == 0 {
            ffi::luaL_error(state, c"reader function must return a string".as_ptr());
        }
        l.replace(reader.slot);
        let mut len = 0;
        let piece = ffi::lua_tolstring(state, reader.slot, &mut len);
        if !reader.started && len > 0 {
            reader.started = true;
            if *piece.cast::<u8>() == BYTECODE {
                reader.held = Some((piece, len));
                *size = TEXT_ONLY.len();
                return TEXT_ONLY.as_ptr().cast();
            }
        }
        *size = len;
        piece
    }
}
