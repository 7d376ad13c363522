//! A client of the HTTP port: one request a connection, and the answer as it came.

use crate::server::free_port;
use crate::{Client, Server};
use resp::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// 200 and its kin.
    pub status: u16,
    /// Names in lower case, with their values.
    pub head: Vec<(String, String)>,
    /// What came after the head.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let found = self.head.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Has a server listen for HTTP, on a port that is free.
pub fn open(server: &Server) -> SocketAddr {
    open_by(&mut server.connect())
}

/// The same by a client that may change settings.
pub fn open_by(client: &mut Client) -> SocketAddr {
    for _ in 0..20 {
        let port = free_port();
        let reply = client.run(&format!("CONFIG SET http-port {port}"));
        if !matches!(reply, Value::Error(_)) {
            return SocketAddr::from(([127, 0, 0, 1], port));
        }
    }
    panic!("no port for HTTP");
}

/// Sends a request and reads its answer whole. `head`: further lines.
pub fn request(to: SocketAddr, method: &str, path: &str, head: &[&str], body: &str) -> Answer {
    let mut stream = begin(to, method, path, head, body);
    read(&mut BufReader::new(&mut stream))
}

/// GET.
pub fn get(to: SocketAddr, path: &str, head: &[&str]) -> Answer {
    request(to, "GET", path, head, "")
}

/// Sends a request; what comes is for the caller to read.
pub fn begin(to: SocketAddr, method: &str, path: &str, head: &[&str], body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).expect("the port is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
        .write_all(written(to, method, path, head, body).as_bytes())
        .expect("a request is sent");
    stream
}

/// A request as it is sent.
pub fn written(to: SocketAddr, method: &str, path: &str, head: &[&str], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !head.iter().any(|line| line.starts_with("Host:")) {
        text.push_str(&format!("Host: {to}\r\n"));
    }
    if !body.is_empty() {
        text.push_str("Content-Type: application/json\r\n");
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for line in head {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body);
    text
}

/// Reads an answer to its end.
pub fn read(from: &mut impl BufRead) -> Answer {
    let (status, head) = read_head(from);
    let chunked = head
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let mut body = Vec::new();
    match chunked {
        true => read_chunks(from, &mut body),
        false => drop(from.read_to_end(&mut body).expect("a body")),
    }
    Answer { status, head, body }
}

/// Reads a body that comes in pieces, each behind its length.
fn read_chunks(from: &mut impl BufRead, body: &mut Vec<u8>) {
    loop {
        let mut line = String::new();
        from.read_line(&mut line).expect("a length");
        let length = usize::from_str_radix(line.trim_end(), 16).expect("a length");
        let start = body.len();
        // With the end of its line.
        body.resize(start + length + 2, 0);
        from.read_exact(&mut body[start..]).expect("a piece");
        body.truncate(start + length);
        if length == 0 {
            return;
        }
    }
}

/// Reads what stands before the body.
pub fn read_head(from: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    from.read_line(&mut line).expect("an answer");
    let status = line.split(' ').nth(1).and_then(|n| n.parse().ok());
    let mut head = Vec::new();
    loop {
        line.clear();
        from.read_line(&mut line).expect("a head");
        match line.trim_end().split_once(": ") {
            Some((name, value)) => head.push((name.to_ascii_lowercase(), value.to_owned())),
            None => return (status.expect("a status"), head),
        }
    }
}

/// Somebody who is logged in.
pub struct Login {
    to: SocketAddr,
    cookie: String,
    csrf: String,
}

impl Login {
    /// Logs in. The error is the answer.
    pub fn new(to: SocketAddr, user: &str, password: &str) -> Result<Login, Answer> {
        let body = format!("{{\"user\":\"{user}\",\"password\":\"{password}\"}}");
        let answer = request(to, "POST", "/api/login", &[], &body);
        if answer.status != 200 {
            return Err(answer);
        }
        let cookie = answer.header("set-cookie").split(';').next();
        let text = answer.text();
        let csrf = text
            .split("\"csrf\":\"")
            .nth(1)
            .and_then(|t| t.split('"').next());
        Ok(Login {
            to,
            cookie: format!("Cookie: {}", cookie.unwrap_or_default()),
            csrf: format!("X-CSRF-Token: {}", csrf.unwrap_or_default()),
        })
    }

    /// The header that shows who it is.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The header that shows that it knows the token.
    pub fn csrf(&self) -> &str {
        &self.csrf
    }

    /// A GET of somebody who is logged in.
    pub fn get(&self, path: &str) -> Answer {
        get(self.to, path, &[&self.cookie])
    }

    /// A POST, with the token.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        request(self.to, "POST", path, &[&self.cookie, &self.csrf], body)
    }

    /// The answer to `/api/command`, which has to be one.
    pub fn command(&self, body: &str) -> String {
        let answer = self.post("/api/command", body);
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        answer.text()
    }
}
