//! `redpoll top`: what happens in a server now, on a terminal.
//!
//! [`sample`] asks the server and works out rates, [`view`] lays them out. Where standard output is no terminal, one picture is
//! printed as text, so that it can be mailed or grepped.

mod sample;
mod view;

use crate::cli::Options;
use crate::link::Connection;
use crate::link::connection::plain;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use sample::{HotSource, Sample};
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use view::{Order, Screen};

const USAGE: &str = "\
Usage: redpoll top [OPTIONS]

Shows what happens in a server now: Redpoll, Redis or Valkey, as far as it says. Where standard output is no terminal, it prints
one picture and ends.

The options are those of redpoll cli that say where the server is and how to get in (-h, -p, -s, -u, -a, --user, --pass,
--askpass, --tls and its kin), and
  -i <seconds>         Time between two looks (default: 1)

Keys: q quits, space pauses, o orders commands by calls or by time, h goes on to the next measure of hot keys,
+ and - change the time between two looks.
";

/// The shortest time between two looks.
const SHORTEST: f64 = 0.1;

/// The size of a picture that is printed.
const PRINTED: (u16, u16) = (120, 40);

/// Runs the view. `args` are the words after `redpoll top`. Leaves with status 1 if the server cannot be reached.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let options = match Options::for_top(args) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {}", options.target.address, plain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let mut screen = Screen {
        address: options.target.address.to_string(),
        interval: options
            .interval
            .map_or(1.0, |i| i.as_secs_f64())
            .max(SHORTEST),
        ..Screen::default()
    };
    // A server that is not there, or lets nobody in, is told of before the screen is taken.
    let mut server = Server::open(options)?;
    screen.take(server.look()?);
    if !io::stdout().is_terminal() {
        std::thread::sleep(Duration::from_secs_f64(screen.interval));
        screen.take(server.look()?);
        return print(&screen);
    }
    let mut terminal = ratatui::try_init()?;
    let ended = watch(options, &mut terminal, &mut screen, Some(server));
    ratatui::restore();
    ended
}

/// A server that is looked at.
struct Server {
    connection: Connection,
    hot: HotSource,
}

impl Server {
    fn open(options: &Options) -> io::Result<Server> {
        let (connection, complaints) = Connection::open(&options.target)?;
        match complaints.into_iter().next() {
            Some(complaint) => Err(io::Error::other(complaint)),
            None => Ok(Server {
                connection,
                hot: HotSource::default(),
            }),
        }
    }

    fn look(&mut self) -> io::Result<Sample> {
        sample::take(&mut self.connection, &mut self.hot)
    }
}

/// One picture as text.
fn print(screen: &Screen) -> io::Result<()> {
    let backend = TestBackend::new(PRINTED.0, PRINTED.1);
    let mut terminal = Terminal::new(backend).unwrap_or_else(|never| match never {});
    let drawn = terminal.draw(|frame| screen.draw(frame));
    drawn.unwrap_or_else(|never| match never {});
    let buffer = terminal.backend().buffer();
    let width = usize::from(buffer.area.width).max(1);
    for line in buffer.content().chunks(width) {
        let text: String = line.iter().map(|cell| cell.symbol()).collect();
        println!("{}", text.trim_end());
    }
    Ok(())
}

fn watch(
    options: &Options,
    terminal: &mut ratatui::DefaultTerminal,
    screen: &mut Screen,
    mut server: Option<Server>,
) -> io::Result<()> {
    let mut due = Instant::now() + Duration::from_secs_f64(screen.interval);
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        let wait = due.saturating_duration_since(Instant::now());
        if event::poll(wait)? {
            if let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
                && !pressed(screen, key.code, key.modifiers)
            {
                return Ok(());
            }
            continue;
        }
        due = Instant::now() + Duration::from_secs_f64(screen.interval);
        if screen.paused {
            continue;
        }
        if let Err(error) = look(options, screen, &mut server) {
            // It may come back; what was known of it stays on the screen.
            server = None;
            screen.trouble = Some(plain(&error));
        }
    }
}

fn look(options: &Options, screen: &mut Screen, server: &mut Option<Server>) -> io::Result<()> {
    let open = match server {
        Some(open) => open,
        None => server.insert(Server::open(options)?),
    };
    screen.take(open.look()?);
    Ok(())
}

/// What a key does; false ends the view.
fn pressed(screen: &mut Screen, key: KeyCode, with: KeyModifiers) -> bool {
    match key {
        KeyCode::Char('c') if with.contains(KeyModifiers::CONTROL) => return false,
        KeyCode::Char('q') | KeyCode::Esc => return false,
        KeyCode::Char(' ' | 'p') => screen.paused = !screen.paused,
        KeyCode::Char('o') => {
            screen.order = match screen.order {
                Order::Calls => Order::Time,
                Order::Time => Order::Calls,
            };
        }
        KeyCode::Char('h') => screen.measure = screen.measure.wrapping_add(1),
        KeyCode::Char('+') => screen.interval = (screen.interval * 2.0).min(60.0),
        KeyCode::Char('-') => screen.interval = (screen.interval / 2.0).max(SHORTEST),
        _ => {}
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_what_the_last_line_says() {
        let mut screen = Screen {
            interval: 1.0,
            ..Screen::default()
        };
        let mut press = |key| pressed(&mut screen, KeyCode::Char(key), KeyModifiers::NONE);
        assert!(press(' ') && press('o') && press('+') && press('x'));
        assert!(!press('q'));
        assert!(screen.paused);
        assert_eq!((screen.order, screen.interval), (Order::Time, 2.0));
    }
}
