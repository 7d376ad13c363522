//! What it costs those who set keys that others listen to keys and to notifications: a hundred clients that block on other keys, as the
//! workers of a queue do, and one that is told of keys that expire, against the same server without them.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Bench;
use super::client::{Client, request};
use super::load;
use super::saving::{Figure, figures};
use super::scenarios::Cores;
use super::servers::{Contender, Server};

/// All of them, with what they are.
pub const ALL: [(&str, &str); 1] = [(
    "listeners/set",
    "CPU of SET with 100 clients that block on other keys and notifications of all classes, and without, at P=16 and P=64",
)];

/// The rows that goals are about.
pub const TIMES: &str = "SET beside listeners to others: times the CPU without, ";

/// Clients that wait for a member of a sorted set, and as many that wait for an entry of a stream.
const WAITING: usize = 50;

/// Those who listen. They leave with their connections.
struct Listeners {
    _connections: Vec<TcpStream>,
}

impl Listeners {
    fn come(server: &Server, control: &mut Client) -> Result<Listeners> {
        control.call(&["CONFIG", "SET", "notify-keyspace-events", "KEA"])?;
        let mut connections = Vec::new();
        let mut send = |words: &[&str]| -> Result<()> {
            let mut stream = server.connect().context("cannot connect")?;
            stream.write_all(&request(words))?;
            connections.push(stream);
            Ok(())
        };
        for n in 0..WAITING {
            let (queue, events) = (format!("queue:{n}"), format!("events:{n}"));
            send(&["BZPOPMIN", &queue, "0"])?;
            send(&["XREAD", "BLOCK", "0", "STREAMS", &events, "$"])?;
        }
        send(&["SUBSCRIBE", "__keyevent@0__:expired"])?;
        wait_for_blocked(control, 2 * WAITING)?;
        Ok(Listeners {
            _connections: connections,
        })
    }

    fn go(self, control: &mut Client) -> Result<()> {
        drop(self);
        wait_for_blocked(control, 0)?;
        control.call(&["CONFIG", "SET", "notify-keyspace-events", ""])
    }
}

fn wait_for_blocked(control: &mut Client, clients: usize) -> Result<()> {
    let wanted = format!("blocked_clients:{clients}\r\n");
    for _ in 0..1000 {
        if control.text(&["INFO", "clients"])?.contains(&wanted) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    anyhow::bail!("there are not {clients} blocked clients")
}

/// Measures it in a server.
pub fn measure(bench: &Bench, contender: &Contender) -> Result<Vec<Figure>> {
    let time = format!("{}ms", bench.settings.time.as_millis());
    let keys = bench.settings.shared_keys;
    let server = bench.start(contender, bench.first_port, Cores::OnePinned)?;
    let redpoll = &bench.programs.redpoll;
    load::fill(redpoll, &server, Cores::OnePinned, keys)?;
    let mut control = Client::connect(&server)?;
    let mut rows = Vec::new();
    for pipeline in ["16", "64"] {
        let keys = keys.to_string();
        let args = load::on_one_core("SET {key} {value}", &keys, pipeline, &time);
        let mut taken = [Vec::new(), Vec::new()];
        for round in 0..bench.settings.rounds {
            // Each goes first as often as the other.
            for with in [round % 2 == 0, round % 2 == 1] {
                let listeners = match with {
                    true => Some(Listeners::come(&server, &mut control)?),
                    false => None,
                };
                let report = load::report(redpoll, &server, &args)?;
                taken[usize::from(with)].push(load::cpu_us(&report)?);
                if let Some(listeners) = listeners {
                    listeners.go(&mut control)?;
                }
            }
        }
        // Of each round by itself: what else the machine does changes from one to the next.
        let times = taken[0].iter().zip(&taken[1]);
        let times = load::median(times.map(|(without, with)| with / without).collect());
        let [without, with] = taken.map(|taken| load::median(taken).unwrap_or_default());
        rows.push((
            format!("SET, P={pipeline}, nobody listens: server CPU (us)"),
            without,
        ));
        rows.push((
            format!("SET, P={pipeline}, others listen: server CPU (us)"),
            with,
        ));
        rows.push((format!("{TIMES}P={pipeline}"), times.unwrap_or_default()));
    }
    Ok(figures(rows, contender))
}
