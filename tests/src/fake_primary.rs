//! A primary that is none: it sends a copy and a stream that tests have made, whatever it is asked for.

use crate::check::show;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What it calls its stream.
const ID: &str = "0123456789abcdef0123456789abcdef01234567";

/// A primary that plays what it is told, connection after connection.
pub struct FakePrimary {
    /// Where it listens.
    pub port: u16,
    heard: Arc<Mutex<Heard>>,
}

/// What was said to it.
#[derive(Default)]
struct Heard {
    connections: usize,
    commands: Vec<String>,
}

impl FakePrimary {
    /// One that sends these bytes as its copy, from the mark or the length before it on, and these behind it.
    pub fn new(copy: Vec<u8>, stream: Vec<u8>) -> FakePrimary {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::<Mutex<Heard>>::default();
        let hears = heard.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                hears.lock().expect("no panic").connections += 1;
                // Whatever goes wrong ends the connection.
                let _ = serve(socket, &copy, &stream, &hears);
            }
        });
        FakePrimary { port, heard }
    }

    /// How many have come.
    pub fn connections(&self) -> usize {
        self.heard.lock().expect("no panic").connections
    }

    /// The commands that it was sent, as [`show`] shows them.
    pub fn asked(&self) -> Vec<String> {
        self.heard.lock().expect("no panic").commands.clone()
    }
}

fn serve(
    mut socket: TcpStream,
    copy: &[u8],
    stream: &[u8],
    heard: &Mutex<Heard>,
) -> std::io::Result<()> {
    let mut buf = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let n = socket.read(&mut chunk)?;
        if n == 0 {
            return Ok(());
        }
        buf.extend_from_slice(&chunk[..n]);
        while let Ok(Some((value, used))) = resp::decode(&buf) {
            buf.drain(..used);
            let line = show(&value);
            let answer = if line.contains("PSYNC") {
                socket.write_all(format!("+FULLRESYNC {ID} 100\r\n").as_bytes())?;
                socket.write_all(copy)?;
                socket.write_all(stream)?;
                ""
            } else if line.contains("ACK") {
                ""
            } else if line.contains("PING") {
                "+PONG\r\n"
            } else {
                "+OK\r\n"
            };
            heard.lock().expect("no panic").commands.push(line);
            socket.write_all(answer.as_bytes())?;
        }
        // Signs of life.
        while buf.first() == Some(&b'\n') {
            buf.remove(0);
        }
    }
}

/// A copy whose length is told first.
pub fn with_length(file: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", file.len()).as_bytes(), file].concat()
}

/// An RDB with nothing in it but these bytes, without a checksum.
pub fn rdb(inner: &[u8]) -> Vec<u8> {
    [b"REDIS0011", inner, &[255, 0, 0, 0, 0, 0, 0, 0, 0]].concat()
}
