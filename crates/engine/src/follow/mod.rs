//! What follows from a change: watches, waiting clients, notifications, messages, client-side caches, MONITOR.

pub mod effects;
pub mod messages;
pub mod monitor;
pub mod pending;
pub mod tracking;
pub mod waiting;
