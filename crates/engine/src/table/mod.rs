//! Commands as facts: one row each, found by name, with key positions, categories and documentation.

pub mod categories;
pub mod docs;
pub mod positions;
pub mod registry;
pub mod renamed;
pub mod row;
