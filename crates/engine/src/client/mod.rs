//! Who is connected, and what others have to say to them.

pub mod clients;
pub mod outbox;
