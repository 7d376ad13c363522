//! The bytes that stand where else the type of a value does.
#![allow(missing_docs)]

/// Of Redis: metadata of the next key, left by modules. Of Valkey: a slot is being imported.
pub(crate) const METADATA_OR_IMPORT: u8 = 243;
/// How many keys a slot has.
pub(crate) const SLOT: u8 = 244;
pub(crate) const FUNCTION: u8 = 245;
/// Libraries of functions before GA.
pub(crate) const FUNCTION_RC: u8 = 246;
pub(crate) const MODULE_AUX: u8 = 247;
/// Seconds since the next key was used.
pub const IDLE: u8 = 248;
/// The counter of uses of the next key.
pub(crate) const FREQUENCY: u8 = 249;
pub(crate) const AUX: u8 = 250;
/// How many keys a database has, and how many that expire.
pub(crate) const RESIZE: u8 = 251;
pub(crate) const EXPIRY_MS: u8 = 252;
pub(crate) const EXPIRY_S: u8 = 253;
pub(crate) const SELECT: u8 = 254;
pub(crate) const END: u8 = 255;
