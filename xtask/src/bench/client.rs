//! A connection that sends one command at a time, for what the load generator is not for: preparing data, and timing
//! single calls.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

use super::servers::Server;

/// Bytes read ahead: replies of 100,000 elements come in few reads.
const BUFFER: usize = 256 * 1024;

/// A connection to a server.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to `server`.
    pub fn connect(server: &Server) -> Result<Client> {
        let stream = server.connect().context("cannot connect")?;
        Ok(Client {
            stream: BufReader::with_capacity(BUFFER, stream),
        })
    }

    /// Sends a command and waits for the end of its reply, which is not kept. An error reply is an error.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<()> {
        self.send(&request(words))
    }

    /// The same for a command that is RESP already ([`request`]).
    pub fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream
            .get_mut()
            .write_all(request)
            .context("cannot send")?;
        self.skip()
    }

    /// Waits for the end of a reply that nothing more is sent for.
    pub fn skip(&mut self) -> Result<()> {
        match skip_reply(&mut self.stream)? {
            None => Ok(()),
            Some(error) => bail!("{error}"),
        }
    }
}

impl Client {
    /// Sends a command whose reply is text.
    pub fn text<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<String> {
        let stream = &mut self.stream;
        stream
            .get_mut()
            .write_all(&request(words))
            .context("cannot send")?;
        let mut line = String::new();
        stream.read_line(&mut line).context("cannot receive")?;
        let length = line.strip_prefix('$').map(|n| n.trim().parse::<usize>());
        let Some(Ok(length)) = length else {
            bail!("{}", line.trim());
        };
        let mut text = vec![0; length + 2];
        stream.read_exact(&mut text).context("cannot receive")?;
        text.truncate(length);
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// A command as RESP.
pub fn request<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        request.extend_from_slice(word);
        request.extend_from_slice(b"\r\n");
    }
    request
}

/// Reads over one RESP2 reply. Returns the text of the first error in it.
fn skip_reply(stream: &mut impl BufRead) -> Result<Option<String>> {
    let mut error = None;
    let mut values: u64 = 1;
    let mut line = Vec::new();
    while values > 0 {
        values -= 1;
        line.clear();
        stream
            .read_until(b'\n', &mut line)
            .context("cannot receive")?;
        let Some((kind, content)) = line
            .strip_suffix(b"\r\n")
            .and_then(<[u8]>::split_first)
            .map(|(&kind, content)| (kind, String::from_utf8_lossy(content)))
        else {
            bail!("the reply ends in the middle");
        };
        match kind {
            b'+' | b':' => {}
            b'-' => error = error.or_else(|| Some(content.into_owned())),
            b'$' | b'*' => {
                let length: i64 = content.parse().context("a length that is no number")?;
                // A negative length is a null.
                let Ok(length) = u64::try_from(length) else {
                    continue;
                };
                if kind == b'*' {
                    values += length;
                } else {
                    skip_bytes(stream, length + 2)?;
                }
            }
            _ => bail!("not a reply: {}", char::from(kind)),
        }
    }
    Ok(error)
}

fn skip_bytes(stream: &mut impl BufRead, mut count: u64) -> Result<()> {
    while count > 0 {
        let here = stream.fill_buf().context("cannot receive")?.len();
        if here == 0 {
            bail!("the reply ends in the middle");
        }
        let taken = usize::try_from(count).map_or(here, |count| count.min(here));
        stream.consume(taken);
        count -= taken as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_arrays_of_bulk_strings() {
        assert_eq!(
            request(&["SET", "a b", ""]),
            b"*3\r\n$3\r\nSET\r\n$3\r\na b\r\n$0\r\n\r\n"
        );
    }

    #[test]
    fn reads_over_exactly_one_reply_and_finds_errors_in_it() {
        let replies: [(&str, Option<&str>); 6] = [
            ("+OK\r\n", None),
            ("$4\r\na\r\nb\r\n", None),
            ("*-1\r\n", None),
            ("*3\r\n$-1\r\n*1\r\n:1\r\n$0\r\n\r\n", None),
            ("-ERR no\r\n", Some("ERR no")),
            ("*2\r\n-WRONGTYPE a\r\n-ERR b\r\n", Some("WRONGTYPE a")),
        ];
        for (reply, error) in replies {
            let stream = format!("{reply}+next\r\n");
            let mut stream = stream.as_bytes();
            let found = skip_reply(&mut stream).expect("a reply");
            assert_eq!(found.as_deref(), error, "{reply:?}");
            assert_eq!(stream, b"+next\r\n", "after {reply:?}");
        }
        for broken in ["", "*2\r\n:1\r\n", "$5\r\nab", "$x\r\n", "HTTP/1.1\r\n"] {
            assert!(skip_reply(&mut broken.as_bytes()).is_err(), "{broken:?}");
        }
    }
}
