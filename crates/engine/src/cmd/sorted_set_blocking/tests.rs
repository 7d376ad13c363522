//! Popping that waits.
