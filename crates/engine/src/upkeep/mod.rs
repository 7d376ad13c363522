//! Work that no command waits for.

pub(crate) mod claims;
mod exchange;
mod give_back;
mod limits;
pub mod load;
mod survey;
pub mod sweep;
