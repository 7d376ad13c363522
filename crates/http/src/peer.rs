//! Who is at the other end of a connection.

use std::net::SocketAddr;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Our address that it came to.
    pub local: SocketAddr,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}
