//! Work that no command waits for.

mod exchange;
mod give_back;
mod limits;
pub mod load;
mod own;
mod survey;
pub mod sweep;
