//! Clients that take too much memory: which of them are disconnected.

use crate::client::clients::Client;
use crate::context::engine::Engine;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Engine {
    /// Whether a client by itself takes more than all of them may (`maxmemory-clients`): then it is to be closed, and is counted.
    /// Whoever serves it asks, since one that sends or is sent much at once may be done with it before anybody else looks.
    #[inline]
    pub fn is_too_large(&self, client: &Client) -> bool {
        match self.memory().limit_of_clients() {
            0 => false,
            limit => self.evicts(client, limit),
        }
    }

    fn evicts(&self, client: &Client, limit: usize) -> bool {
        let bytes = client.memory();
        let may_stay = || client.no_evict.load(Relaxed) || client.replicates();
        if bytes <= limit || may_stay() || !client.kill() {
            return false;
        }
        let (id, addr) = (client.id, &client.addr);
        tracing::warn!(
            "Evicting client {id} ({addr}): {bytes} bytes, and all clients may take {limit}"
        );
        self.memory().evicted_clients.fetch_add(1, Relaxed);
        true
    }

    /// Disconnects the clients that take most while all take more than they may; returns how many, and the bytes of those who were
    /// disconnected before and have not gone yet. `asking`: the client whose command this is for, which is to get its reply; it and those
    /// who take less than it are left to the next look.
    pub(crate) fn evict_clients(&self, asking: Option<u64>) -> (usize, usize) {
        let memory = self.memory();
        let limit = memory.limit_of_clients();
        // Who is to go counts until it has gone.
        let (mut taken, mut going) = (0, 0);
        for client in self.clients().list() {
            match client.kill_requested() {
                true => going += client.memory(),
                // Primary and replicas are not closed for it, so that nobody else is to be for what they take.
                false if client.replicates() => {}
                false => taken += client.memory(),
            }
        }
        let mut allowed = match limit {
            0 => usize::MAX,
            limit => limit,
        };
        // What is over for good goes at the clients' expense, but for what a crowd of idle ones takes.
        let bound = memory.bound().saturating_add(going);
        let beyond = memory.used().saturating_sub(bound);
        if beyond > 0 {
            allowed = allowed.min(taken.saturating_sub(beyond).max(16 << 20));
        }
        let mut evicted = 0;
        if taken <= allowed {
            return (evicted, going);
        }
        let mut all: Vec<(usize, Arc<Client>)> = self
            .clients()
            .list()
            .into_iter()
            .filter(|c| !c.kill_requested() && !c.no_evict.load(Relaxed) && !c.replicates())
            .map(|c| (c.memory(), c))
            .collect();
        all.sort_unstable_by_key(|(bytes, c)| (std::cmp::Reverse(*bytes), c.id));
        for (bytes, client) in all {
            if taken <= allowed || asking == Some(client.id) {
                break;
            }
            if !client.kill() {
                continue;
            }
            let (id, addr) = (client.id, &client.addr);
            tracing::warn!(
                "Evicting client {id} ({addr}): {bytes} bytes of the {taken} that all clients take"
            );
            memory.evicted_clients.fetch_add(1, Relaxed);
            taken = taken.saturating_sub(bytes);
            evicted += 1;
        }
        (evicted, going)
    }
}
