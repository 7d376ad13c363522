//! The collections.

pub mod hash;
pub mod list;
pub mod members;
pub mod set;
pub mod sorted_set;
pub mod stream;
