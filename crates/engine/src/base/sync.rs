//! The locks of [`super::journal`], which is model-checked with others.

pub use parking_lot::{Condvar, Mutex};
pub use std::sync::atomic;
