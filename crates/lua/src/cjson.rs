use crate::raw::L;
#[derive(Clone, Copy, Default)]
pub(crate) struct Config;
pub(crate) fn fill(_: L) {}
