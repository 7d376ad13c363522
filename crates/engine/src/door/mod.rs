//! The only way to keys: what is held, looking, changing, and the list of what changed.

pub mod change;
pub mod held;
pub mod keys;
pub(crate) mod known;
pub mod listening;
pub mod record;
pub(crate) mod room;
pub mod stored;
pub(crate) mod undo;
