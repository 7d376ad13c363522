use crate::raw::L;
pub(crate) fn fill(_: L) {}
