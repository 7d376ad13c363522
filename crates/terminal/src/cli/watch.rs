//! Figures line by line: `--stat`, `--latency`, `--latency-history`.

use super::format::Form;
use super::session::{Failure, Session, show};
use crate::link::Connection;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// So many lines stand below one heading.
const LINES: u64 = 20;

/// The fields of INFO by name.
pub fn info(connection: &mut Connection, sections: &[&str]) -> Result<Fields, Failure> {
    let mut request = vec!["INFO"];
    request.extend(sections);
    let reply = connection.call(&request)?;
    match reply.error() {
        Some(error) => Err(format!("ERROR: {error}").into()),
        None => Ok(Fields(reply.text().unwrap_or_default())),
    }
}

/// What INFO answered.
#[derive(Clone, Debug, Default)]
pub struct Fields(pub String);

impl Fields {
    /// A field's text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            (field == name).then_some(value.trim_end())
        })
    }

    /// A field that is a number; 0 if it is not there.
    pub fn number(&self, name: &str) -> i64 {
        self.get(name).and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// Keys of all databases.
    pub fn keys(&self) -> i64 {
        let databases = self.0.lines().filter_map(|line| {
            let (db, value) = line.trim_end().split_once(":keys=")?;
            db.strip_prefix("db")?.parse::<u32>().ok()?;
            value.split(',').next()?.parse::<i64>().ok()
        });
        databases.sum()
    }
}

/// Bytes in the largest unit that leaves a whole number.
pub fn human(bytes: i64) -> String {
    let n = bytes as f64;
    match n {
        ..1024.0 => format!("{bytes}B"),
        ..1_048_576.0 => format!("{:.2}K", n / 1024.0),
        ..1_073_741_824.0 => format!("{:.2}M", n / 1_048_576.0),
        _ => format!("{:.2}G", n / 1_073_741_824.0),
    }
}

/// A line of figures each second, or as often as the options say.
pub fn stat(session: &mut Session) -> Result<(), Failure> {
    let pause = session.options.interval.unwrap_or(Duration::from_secs(1));
    // One round is the default of -r and no default here.
    let rounds = match session.options.repeat {
        Some(1) | None => None,
        some => some,
    };
    let (mut line, mut requests_before) = (0, None);
    while rounds.is_none_or(|rounds| line < rounds) {
        let fields = match session.connection().and_then(|c| info(c, &[])) {
            Ok(fields) => fields,
            // The server may come back.
            Err(Failure::Because(why)) if line > 0 => {
                eprintln!("{why}");
                std::thread::sleep(pause.max(Duration::from_millis(100)));
                // An error here is told of in the next round.
                let _ = session.connect();
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let mut text = String::new();
        if line % LINES == 0 {
            text += "------- data ------ --------------------- load -------------------- - child -\n\
                     keys       mem      clients blocked requests            connections          \n";
        }
        let requests = fields.number("total_commands_processed");
        let new = requests - requests_before.unwrap_or(requests);
        requests_before = Some(requests);
        let child = match () {
            () if fields.number("aof_rewrite_in_progress") != 0 => "AOF",
            () if fields.number("rdb_bgsave_in_progress") != 0 => "SAVE",
            () => "",
        };
        text += &format!(
            "{:<11}{:<9}{:<8}{:<8}{:<20}{:<12}{child}\n",
            fields.keys(),
            human(fields.number("used_memory")),
            fields.number("connected_clients"),
            fields.number("blocked_clients"),
            format!("{requests} (+{new})"),
            fields.number("total_connections_received"),
        );
        show(text.as_bytes())?;
        io::stdout().flush().ok();
        line += 1;
        std::thread::sleep(pause);
    }
    Ok(())
}

/// Times of PING in whole milliseconds.
#[derive(Default)]
struct Times {
    min: u64,
    max: u64,
    sum: u64,
    count: u64,
}

impl Times {
    fn take(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let begun = Instant::now();
        connection.call(&["PING"])?;
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.min = match self.count {
            0 => took,
            _ => self.min.min(took),
        };
        self.max = self.max.max(took);
        self.sum += took;
        self.count += 1;
        Ok(())
    }

    fn average(&self) -> f64 {
        match self.count {
            0 => 0.0,
            n => self.sum as f64 / n as f64,
        }
    }

    fn text(&self, form: Form) -> String {
        let (min, max, average, count) = (self.min, self.max, self.average(), self.count);
        match form {
            Form::Pretty => {
                format!("min: {min}, max: {max}, avg: {average:.2} ({count} samples)")
            }
            Form::Raw => format!("{min} {max} {average:.2} {count}\n"),
            Form::Csv => format!("{min},{max},{average:.2},{count}\n"),
            Form::Json | Form::QuotedJson => format!(
                "{{\"min\": {min}, \"max\": {max}, \"avg\": {average:.2}, \"count\": {count}}}\n"
            ),
        }
    }
}

/// PING a hundred times a second.
const PAUSE: Duration = Duration::from_millis(10);

/// How long PING takes: for people until they stop it, else over a second or the interval, as one line.
pub fn latency(session: &mut Session) -> Result<(), Failure> {
    let form = session.style.form;
    let time = session.options.interval.unwrap_or(Duration::from_secs(1));
    let begun = Instant::now();
    let mut times = Times::default();
    loop {
        times.take(session.connection()?)?;
        if form == Form::Pretty {
            show(format!("\x1b[0G\x1b[2K{}", times.text(form)).as_bytes())?;
            io::stdout().flush().ok();
        } else if begun.elapsed() >= time {
            return show(times.text(form).as_bytes());
        }
        std::thread::sleep(PAUSE);
    }
}

/// The same with a new line every 15 seconds, or as often as the options say.
pub fn latency_history(session: &mut Session) -> Result<(), Failure> {
    let form = session.style.form;
    let time = session.options.interval.unwrap_or(Duration::from_secs(15));
    let live = form == Form::Pretty && io::stdout().is_terminal();
    loop {
        let begun = Instant::now();
        let mut times = Times::default();
        while begun.elapsed() < time {
            times.take(session.connection()?)?;
            if live {
                show(format!("\x1b[0G\x1b[2K{}", times.text(form)).as_bytes())?;
                io::stdout().flush().ok();
            }
            std::thread::sleep(PAUSE);
        }
        let seconds = begun.elapsed().as_secs_f64();
        let line = match (form, live) {
            (Form::Pretty, true) => format!(" -- {seconds:.2} seconds range\n"),
            (Form::Pretty, false) => {
                format!("{} -- {seconds:.2} seconds range\n", times.text(form))
            }
            _ => times.text(form),
        };
        show(line.as_bytes())?;
        io::stdout().flush().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let fields = Fields("# Memory\r\nused_memory:12\r\nx:y\r\ndb0:keys=3,expires=0\r\ndb2:keys=4,expires=1\r\ndbs:keys=9\r\n".into());
        assert_eq!(fields.number("used_memory"), 12);
        assert_eq!(fields.get("x"), Some("y"));
        assert_eq!((fields.get("memory"), fields.number("x")), (None, 0));
        assert_eq!(fields.keys(), 7);
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1024), "1.00K");
        assert_eq!(human(2_055_208), "1.96M");
        assert_eq!(human(3 << 30), "3.00G");
    }
}
