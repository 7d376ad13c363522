//! The network server: sockets, worker threads, signals and logs around an [`engine::Engine`].
//!
//! The program `redpoll` (`crates/cli`) is a few lines around this library, and another program can run the same server beside its own
//! code:
//!
//! ```no_run
//! use engine::{Engine, config::Config};
//! use redpoll_server::{Server, ServerHost, ServerOptions};
//!
//! let mut config = Config::default();
//! config.directive("port", &["7000"]).unwrap();
//! let host = ServerHost::new();
//! let engine = Engine::new(config, host.clone());
//! let running = Server::start(engine, ServerOptions::new(host)).unwrap();
//! running.stop();
//! running.join();
//! ```
//!
//! # Threads
//!
//! One *control* thread accepts connections, watches for signals, looks for idle clients and stops the server. One
//! *worker* thread per core runs a runtime of one thread with one task per connection; a new connection goes to the
//! worker with the fewest, and stays there. Workers share nothing but the engine. A command that will take long moves
//! to a helper thread and its connection awaits it, so that the worker's other connections do not wait.
//!
//! | file | what |
//! |---|---|
//! | `server` | starts and stops all of it |
//! | `listen` | opens listening sockets and accepts on them |
//! | `control` | the control thread: accepting, signals, idle clients |
//! | `worker`, `seat` | a worker thread; what its connections share, whichever thread serves them |
//! | `connection` | one client: read, execute, write |
//! | `input`, `output`, `stream`, `plain` | a connection's unparsed bytes, its unsent replies, its socket |
//! | `outbox`, `commit` | replies that wait for those of other connections; for the disk |
//! | `tls`, `handshake`, `tls_stream` | certificates and whom to trust; agreeing on an encryption; an encrypted socket |
//! | `http_port` | the listeners for HTTP and the thread that serves them (`crates/http`) |
//! | `host` | what commands may ask of the server |
//! | `stopping` | a stop that is under way, and may be given up |
//! | `logging` | log lines in the form of redis-server's |
//! | `lines` | events as lines of a form |
//! | `syslog` | the log of the system |
//! | `service` | who started the server and is told how it is |
//! | `system` | limits and files of the process |

#![forbid(unsafe_code)]

mod commit;
mod connection;
mod control;
pub mod dial;
mod handshake;
mod host;
mod http_port;
mod input;
mod lines;
mod listen;
pub mod logging;
mod outbox;
mod output;
mod plain;
mod seat;
mod server;
pub mod service;
mod stopping;
mod stream;
mod syslog;
pub mod system;
mod tls;
mod tls_stream;
mod wire;
mod worker;

pub use host::{Allocator, ServerHost};
pub use server::{RunningServer, Server, ServerOptions};
pub use stopping::End;
