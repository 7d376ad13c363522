//! Work that no command waits for.

mod give_back;
pub mod load;
pub mod sweep;
