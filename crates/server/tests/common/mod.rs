//! A server on a port of its own and a client that speaks bytes.

use engine::{Config, Engine};
use redpoll_server::{RunningServer, Server, ServerHost, ServerOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A server inside the test; stopped when dropped.
pub struct TestServer {
    pub engine: Arc<Engine>,
    pub host: Arc<ServerHost>,
    pub address: SocketAddr,
    running: Option<RunningServer>,
}

impl TestServer {
    /// Starts a server with these directives on a port the system chooses.
    pub fn start(directives: &[(&str, &[&str])]) -> TestServer {
        let mut config = Config::default();
        config.directive("port", &["0"]).unwrap();
        config.directive("threads", &["2"]).unwrap();
        for (name, words) in directives {
            config.directive(name, words).unwrap();
        }
        let host = ServerHost::new();
        let engine = Engine::new(config, host.clone());
        let mut options = ServerOptions::new(host.clone());
        options
            .listeners
            .push(TcpListener::bind("127.0.0.1:0").unwrap());
        let running = Server::start(engine.clone(), options).unwrap();
        let address = running.tcp_addresses()[0];
        TestServer {
            engine,
            host,
            address,
            running: Some(running),
        }
    }

    pub fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).unwrap())
    }

    pub fn stop(&self) {
        self.running.as_ref().unwrap().stop();
    }

    pub fn join(&mut self) {
        self.running.take().unwrap().join();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
            running.join();
        }
    }
}

/// More than any test has left to read.
const REST: u64 = 256 << 20;

/// A blocking connection.
pub struct Client(pub TcpStream);

impl Client {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Reads as many bytes as are expected and compares.
    #[track_caller]
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut got = vec![0; expected.len()];
        // A reply that never comes fails the test instead of hanging it.
        self.0
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        self.0
            .read_exact(&mut got)
            .expect("the reply is shorter than expected");
        assert!(
            got == expected,
            "{:?} instead of {:?}",
            show(&got),
            show(expected)
        );
    }

    /// Reads until the server closes the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut got = Vec::new();
        self.0
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        match (&self.0).take(REST).read_to_end(&mut got) {
            Ok(_) => assert!((got.len() as u64) < REST, "the replies never end"),
            // How a close looks that left bytes of ours unread.
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(e) => panic!("{e}"),
        }
        got
    }

    /// Half-closes: the server sees the end of our bytes, and can still answer.
    pub fn finish(&mut self) {
        self.0.shutdown(std::net::Shutdown::Write).unwrap();
    }
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}

/// A command as an array of bulk strings.
pub fn command(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    resp::write_command(&mut bytes, args);
    bytes
}

/// A string as a reply.
pub fn bulk(value: &[u8]) -> Vec<u8> {
    let mut bytes = format!("${}\r\n", value.len()).into_bytes();
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
    bytes
}
