//! A program with a Redis-compatible server inside: its own code and network clients work on the same keys.
//!
//! Run it with `cargo run -p redpoll-server --example embed_server [port]` and, while it counts, look with
//! `redis-cli -p 6380 GET ticks`, or change what it counts with `redis-cli -p 6380 SET ticks 100`. It ends when the counter
//! reaches 1000, or at SHUTDOWN.

// The engine's crate is `redpoll-engine` to other programs.
use engine::{Config, Engine};
use redpoll_server::{Server, ServerHost, ServerOptions};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    let port = std::env::args().nth(1);
    config.directive("port", &[port.as_deref().unwrap_or("6380")])?;
    config.directive("bind", &["127.0.0.1"])?;
    config.directive("threads", &["1"])?;
    let host = ServerHost::new();
    let engine = Engine::new(config, host.clone());
    let running = Server::start(engine, ServerOptions::new(host))?;
    println!("serving on {:?}", running.tcp_addresses());

    // What clients reach over a socket, this program reaches with a function call.
    let db = running.db()?;
    while running.is_running() {
        match db.incr("ticks") {
            Ok(1000..) => break,
            Ok(_) => {}
            Err(error) => println!("somebody else has the key: {error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    running.stop();
    running.join();
    println!("stopped at {:?}", db.get("ticks")?);
    Ok(())
}
