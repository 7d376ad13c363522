//! A program with a Redis-compatible server inside: its own code and network clients work on the same keys.
//!
//! Run it with `cargo run -p server --example embed_server` and, while it counts, look with
//! `redis-cli -p 6380 GET ticks`, or change what it counts with `redis-cli -p 6380 SET ticks 100`. It ends when the counter
//! reaches 1000, or at SHUTDOWN.

use engine::{Config, Engine, Kind, Origin};
use resp::{Batch, Limits, Out, Parser, Value};
use server::{Server, ServerHost, ServerOptions};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The program's own access to the keys: a session like a client's, without a socket.
struct Local {
    worker: engine::Worker,
    session: engine::Session,
}

impl Local {
    fn new(engine: &Arc<Engine>) -> Local {
        let origin = Origin {
            addr: String::new(),
            laddr: String::new(),
            fd: -1,
            kind: Kind::Embedded,
            waker: None,
        };
        Local {
            worker: engine.worker(),
            session: engine.session(origin),
        }
    }

    /// Executes one command and returns its reply.
    fn execute(&mut self, args: &[&str]) -> Result<Value, Box<dyn Error>> {
        let mut request = Vec::new();
        resp::write_command(&mut request, args);
        let mut batch = Batch::new();
        batch.fill(&mut Parser::new(), &request, &Limits::default(), 1);
        let mut out = Out::default();
        self.worker.run(&mut self.session, &batch, 0, &mut out);
        let reply = resp::decode(&out.to_vec())?;
        reply
            .map(|(value, _)| value)
            .ok_or_else(|| "no reply".into())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.directive("port", &["6380"])?;
    config.directive("bind", &["127.0.0.1"])?;
    config.directive("threads", &["1"])?;
    let host = ServerHost::new();
    let engine = Engine::new(config, host.clone());
    let running = Server::start(engine.clone(), ServerOptions::new(host))?;
    println!("serving on {:?}", running.tcp_addresses());

    let mut local = Local::new(&engine);
    while running.is_running() {
        match local.execute(&["INCR", "ticks"])? {
            Value::Int(1000..) => break,
            Value::Int(_) => {}
            other => println!("somebody else has the key: {other:?}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    running.stop();
    running.join();
    println!("stopped");
    Ok(())
}
