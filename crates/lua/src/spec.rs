//! What a library registers while it is loaded.

use std::ffi::c_int;

use crate::shebang::Flags;

/// A function that a library has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSpec {
    /// Letters, digits and underscores.
    pub name: Vec<u8>,
    /// As given, if it was.
    pub description: Option<Vec<u8>>,
    /// As given.
    pub flags: Flags,
}

/// A registered function and the registry's reference of its code.
#[derive(Debug)]
pub(crate) struct Registration {
    pub spec: FunctionSpec,
    pub function: c_int,
}
