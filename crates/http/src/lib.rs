//! The HTTP port: metrics for Prometheus, health, and what the console's page asks of the server.
//!
//! Sockets are the business of the network server (`crates/server`), which accepts them, encrypts them if it is to, and gives each
//! connection to [`Http::serve`], on a thread of its own. So nothing that is done here holds up a client of the store, but
//! for what a command does that somebody sends by way of the page: commands run on helper threads of that thread's runtime, as the
//! user who is logged in, through the same gate as those of any client.
//!
//! `ui/README.md` beside this crate's sources describes what there is below `/api/`.
//!
//! | file | what |
//! |---|---|
//! | `peer`, `shared` | who is at the other end; what all connections share |
//! | `answer` | answers and their bodies |
//! | `route` | which path is whose, and who may come in |
//! | `metrics`, `hot_keys`, `text` | `/metrics`: what is told, and the two formats of it |
//! | `login` | who is logged in: cookies, tokens, requests of other sites |
//! | `command`, `json` | running commands, and their replies as JSON |
//! | `history` | the numbers of the last hour |
//! | `events` | event streams |
//! | `page` | the console's files |
//! | `patience` | sockets of who does not read are given up |

#![forbid(unsafe_code)]

mod answer;
mod command;
mod events;
mod history;
mod hot_keys;
mod json;
mod login;
mod metrics;
mod page;
mod patience;
mod peer;
mod route;
mod shared;
mod text;

use engine::Engine;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
pub use patience::Patient;
pub use peer::Peer;
use shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

/// How long the head of a request may take to arrive: a client that is silent is closed.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// Threads that the runtime which serves the port has to have for what blocks. Commands of the page have part of them and those who sign in
/// another, so that metrics find some however long commands take.
pub const HELPERS: usize = shared::HELPERS;

/// See the crate's page. A handle; all clones serve the same port.
#[derive(Clone)]
pub struct Http(Arc<Shared>);

impl Http {
    /// What serves an engine's port.
    pub fn new(engine: Arc<Engine>) -> Http {
        Http(Arc::new(Shared::new(engine)))
    }

    /// Serves a connection until it ends.
    pub async fn serve<S>(&self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = &self.0;
        let Some(_counted) = shared.count() else {
            return;
        };
        let cut = Arc::new(Notify::new());
        let service =
            service_fn(|request| route::answer(shared.clone(), request, peer, cut.clone()));
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            served = serving => if let Err(error) = served {
                tracing::debug!("HTTP with {}: {error}", peer.address);
            },
            // Dropped with all that it still had to send.
            () = cut.notified() => {}
        }
    }

    /// Keeps the numbers of the last hour; never returns. One task of the thread that serves the port.
    pub async fn keep_history(&self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let row = self.0.history.lock().sample(&self.0.engine);
            if let Some(row) = row {
                // If nobody listens, nobody is told.
                let _ = self.0.rows.send(row);
            }
            self.0.logins.forget_old();
        }
    }
}
