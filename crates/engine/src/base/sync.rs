//! The locks of [`super::journal`] and [`super::wait_list`], which are model-checked with others.

pub use parking_lot::{Condvar, Mutex};
pub use std::sync::atomic;
