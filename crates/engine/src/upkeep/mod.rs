//! Work that no command waits for.

mod give_back;
mod limits;
pub mod load;
pub mod sweep;
