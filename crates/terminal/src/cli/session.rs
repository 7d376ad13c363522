//! Commands sent and replies shown: what one connection of the client is, interactive or not.

use super::docs::Docs;
use super::format::{Form, Style};
use super::options::Options;
use super::quote;
use crate::link::connection::{Connection, is_timeout, plain};
use crate::link::{Address, Reply};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Why something ended early.
#[derive(Debug)]
pub enum Failure {
    /// It has been said already.
    Said,
    /// For this reason, which is a line.
    Because(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Failure {
        Failure::Because(why)
    }
}

impl From<&str> for Failure {
    fn from(why: &str) -> Failure {
        Failure::Because(why.to_owned())
    }
}

/// What is wrong with a connection, as redis-cli says it.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Because(format!("Error: {}", plain(&error)))
    }
}

/// A reply longer in coming than this is told of.
const LONG: Duration = Duration::from_millis(500);

/// A client's connection and what it knows of it.
pub struct Session {
    /// The command line.
    pub options: Options,
    /// How replies are written.
    pub style: Style,
    connection: Option<Connection>,
    /// The database that is selected, and the one that EXEC will have selected.
    db: u32,
    db_after_exec: u32,
    /// Whether there is a transaction that is not carried out yet.
    pub in_multi: bool,
    /// How many channels and patterns it listens to.
    subscriptions: i64,
    /// Whether a person is there.
    pub interactive: bool,
    /// Set by Ctrl-C while messages are waited for.
    interrupted: Arc<AtomicBool>,
    /// Whether Ctrl-C ends the program.
    deadly: Arc<AtomicBool>,
    docs: Option<Docs>,
}

impl Session {
    /// A client that is not connected yet.
    pub fn new(options: Options) -> Session {
        let people = io::stdout().is_terminal() || std::env::var_os("FAKETTY").is_some();
        let form = options
            .form
            .unwrap_or(if people { Form::Pretty } else { Form::Raw });
        Session {
            style: Style {
                form,
                between: options.between.clone(),
                after: options.after.clone(),
            },
            connection: None,
            db: options.target.db,
            db_after_exec: 0,
            in_multi: false,
            subscriptions: 0,
            interactive: false,
            interrupted: Arc::default(),
            deadly: Arc::new(AtomicBool::new(true)),
            docs: None,
            options,
        }
    }

    /// What is known of commands.
    pub fn docs(&mut self) -> &mut Docs {
        self.docs.get_or_insert_with(Docs::builtin)
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// From now on Ctrl-C ends only what is being waited for, where something is.
    pub fn handle_interrupts(&mut self) -> io::Result<()> {
        use signal_hook::consts::SIGINT;
        signal_hook::flag::register_conditional_default(SIGINT, self.deadly.clone())?;
        signal_hook::flag::register(SIGINT, self.interrupted.clone())?;
        Ok(())
    }

    /// The same for a loop that looks itself whether it is to end.
    pub fn catch_interrupts(&mut self) -> io::Result<impl Fn() -> bool + use<>> {
        self.handle_interrupts()?;
        self.deadly.store(false, Ordering::Relaxed);
        let interrupted = self.interrupted.clone();
        Ok(move || interrupted.load(Ordering::Relaxed))
    }

    /// Connects and greets. What the server has against the greeting is said, and nothing else.
    pub fn connect(&mut self) -> Result<(), String> {
        self.connection = None;
        let mut target = self.options.target.clone();
        target.db = self.db;
        let opened = Connection::open(&target);
        let (connection, complaints) =
            opened.map_err(|error| cannot_connect(&target.address, &error))?;
        for complaint in &complaints {
            if complaint.starts_with("SELECT") {
                self.db = 0;
            }
            eprintln!("{complaint}");
        }
        self.connection = Some(connection);
        self.in_multi = false;
        self.subscriptions = 0;
        Ok(())
    }

    /// The same, for who cannot go on without.
    pub fn connect_or_fail(&mut self) -> Result<(), Failure> {
        self.connect().map_err(Failure::Because)
    }

    /// Connects to another server.
    pub fn connect_to(&mut self, host: String, port: u16) -> Result<(), String> {
        self.options.target.address = Address::Tcp(host, port);
        self.connect()
    }

    /// The connection, which is made if there is none.
    pub fn connection(&mut self) -> Result<&mut Connection, Failure> {
        if self.connection.is_none() {
            self.connect_or_fail()?;
        }
        self.connection
            .as_mut()
            .ok_or_else(|| Failure::from("not connected"))
    }

    /// What stands before a line that is typed.
    pub fn prompt(&self) -> String {
        if self.connection.is_none() {
            return "not connected> ".into();
        }
        let mut prompt = match &self.options.target.address {
            Address::Unix(path) => format!("redis {path}"),
            address => address.to_string(),
        };
        if self.db != 0 {
            prompt += &format!("[{}]", self.db);
        }
        if self.in_multi {
            prompt += "(TX)";
        }
        if self.subscriptions > 0 {
            prompt += "(subscribed mode)";
        }
        prompt + "> "
    }

    /// Runs a command as often as the options say, and shows its replies.
    pub fn run(&mut self, args: &[Vec<u8>]) -> Result<(), Failure> {
        let times = self.options.repeat;
        self.repeat(args, times)
    }

    /// The same so many times, or for ever.
    pub fn repeat(&mut self, args: &[Vec<u8>], times: Option<u64>) -> Result<(), Failure> {
        let mut done = 0;
        while times.is_none_or(|times| done < times) {
            if done > 0
                && let Some(pause) = self.options.interval
            {
                io::stdout().flush().ok();
                std::thread::sleep(pause);
            }
            self.once(args)?;
            done += 1;
        }
        io::stdout().flush().ok();
        Ok(())
    }

    fn once(&mut self, args: &[Vec<u8>]) -> Result<(), Failure> {
        let words: Vec<String> = args
            .iter()
            .map(|arg| String::from_utf8_lossy(arg).to_ascii_lowercase())
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let ["help" | "?", topic @ ..] = &words[..] {
            let topic: Vec<String> = topic.iter().map(|word| (*word).to_owned()).collect();
            let plain = !io::stdout().is_terminal();
            let page = self.docs().help(&topic, plain);
            return show(page.as_bytes());
        }
        let begun = Instant::now();
        let reply = match self.exchange(args) {
            // The server may have gone and come back since the last line: once more, then.
            Err(Failure::Because(_)) if self.interactive && self.connection.is_none() => {
                self.connect_or_fail()?;
                self.exchange(args)?
            }
            other => other?,
        };
        match &words[..] {
            ["monitor"] => return self.messages(reply, false),
            ["subscribe" | "psubscribe" | "ssubscribe", ..] => return self.messages(reply, true),
            _ => {}
        }
        let reply = match self.options.cluster {
            true => self.follow(args, reply)?,
            false => reply,
        };
        self.note(&words, args, &reply);
        self.show_pushes()?;
        if self.options.fail_on_error
            && !self.interactive
            && let Reply::Error(text) = &reply
        {
            io::stdout().flush().ok();
            let mut line = text.clone();
            line.push(b'\n');
            io::stderr().write_all(&line).ok();
            return Err(Failure::Said);
        }
        let text = match is_page(&words) {
            true => self.style.write_page(&reply),
            false => self.style.write(&reply),
        };
        show(&text)?;
        let took = begun.elapsed();
        if self.interactive && took >= LONG && self.style.form == Form::Pretty {
            show(format!("({:.2}s)\n", took.as_secs_f64()).as_bytes())?;
        }
        if words.first() == Some(&"quit") {
            self.connection = None;
        }
        Ok(())
    }

    /// Sends a command and waits for its reply; a connection that breaks is gone.
    fn exchange(&mut self, args: &[Vec<u8>]) -> Result<Reply, Failure> {
        let listens = self.subscriptions > 0 || is_listening(args);
        let connection = self.connection()?;
        // To a client that listens, replies to (un)subscribing are pushes.
        let reply = connection.send(args).and_then(|()| match listens {
            true => connection.next(),
            false => connection.reply(),
        });
        reply.map_err(|error| {
            self.connection = None;
            error.into()
        })
    }

    /// Goes where MOVED and ASK point to.
    fn follow(&mut self, args: &[Vec<u8>], mut reply: Reply) -> Result<Reply, Failure> {
        for _ in 0..16 {
            let Some(error) = reply.error() else {
                break;
            };
            let words: Vec<&str> = error.split(' ').collect();
            let ["MOVED" | "ASK", slot, place] = words[..] else {
                break;
            };
            let Some((host, port)) = place.rsplit_once(':') else {
                break;
            };
            let Ok(port) = port.parse() else {
                break;
            };
            let host = match (&self.options.target.address, host) {
                // An empty name is the server's that said it.
                (Address::Tcp(now, _), "") => now.clone(),
                (_, host) => host.to_owned(),
            };
            if self.style.form == Form::Pretty {
                println!("-> Redirected to slot [{slot}] located at {host}:{port}");
            }
            self.connect_to(host, port)?;
            if words[0] == "ASK" {
                self.exchange(&[b"ASKING".to_vec()])?;
            }
            reply = self.exchange(args)?;
        }
        Ok(reply)
    }

    /// Keeps in step with what a command did to the connection.
    fn note(&mut self, words: &[&str], args: &[Vec<u8>], reply: &Reply) {
        let failed = matches!(reply, Reply::Error(_));
        match words {
            ["exec"] | ["discard"] if self.in_multi => {
                if words[0] == "exec" && matches!(reply, Reply::Array(_)) {
                    self.db = self.db_after_exec;
                }
                if !failed || words[0] == "exec" {
                    self.in_multi = false;
                }
            }
            _ if failed => {}
            ["select", db] => {
                if let Ok(db) = db.parse() {
                    match self.in_multi {
                        true => self.db_after_exec = db,
                        false => self.db = db,
                    }
                }
            }
            ["multi"] => {
                self.in_multi = true;
                self.db_after_exec = self.db;
            }
            ["reset"] => {
                self.db = 0;
                self.in_multi = false;
                self.subscriptions = 0;
            }
            // So that a connection that has to be made anew is as good as this one.
            ["auth", _] | ["auth", _, _] => {
                let target = &mut self.options.target;
                target.user =
                    (args.len() == 3).then(|| String::from_utf8_lossy(&args[1]).into_owned());
                target.password = args.last().cloned();
            }
            _ => {}
        }
    }

    /// Shows the messages that came with a reply.
    fn show_pushes(&mut self) -> Result<(), Failure> {
        let wanted = self
            .options
            .show_pushes
            .unwrap_or_else(|| io::stdout().is_terminal());
        while let Some(push) = self.connection.as_mut().and_then(Connection::push) {
            if wanted {
                show(&self.push_text(&push))?;
            }
        }
        Ok(())
    }

    fn push_text(&self, push: &Reply) -> Vec<u8> {
        if let Reply::Push(elements) = push
            && let [Reply::Bulk(kind), keys] = &elements[..]
            && kind == b"invalidate"
        {
            let keys = match keys.elements() {
                Some(keys) => keys
                    .iter()
                    .map(|key| format!("'{}'", key.text().unwrap_or_default()))
                    .collect::<Vec<_>>()
                    .join(", "),
                None => "(all keys)".into(),
            };
            return format!("-> invalidate: {keys}\n").into_bytes();
        }
        self.style.write(push)
    }

    /// Shows messages as they come, until the connection ends; for a person also until Ctrl-C, or, where one listens to channels,
    /// until a key is pressed, so that there can be other commands in between.
    fn messages(&mut self, first: Reply, channels: bool) -> Result<(), Failure> {
        if matches!(first, Reply::Error(_)) {
            return show(&self.style.write(&first));
        }
        self.one_message(&first)?;
        if self.style.form != Form::Raw {
            let how = match (self.interactive, channels) {
                (true, true) => "press Ctrl-C to quit or any key to type command",
                _ => "press Ctrl-C to quit",
            };
            show(format!("Reading messages... ({how})\n").as_bytes())?;
        }
        self.listen(channels)
    }

    /// Goes on listening after a command was typed in between.
    pub fn listen_again(&mut self) -> Result<(), Failure> {
        match self.subscriptions > 0 && self.connection.is_some() {
            true => self.listen(true),
            false => Ok(()),
        }
    }

    fn listen(&mut self, channels: bool) -> Result<(), Failure> {
        io::stdout().flush().ok();
        let _keys = (self.interactive && channels).then(Keys::one_by_one);
        self.interrupted.store(false, Ordering::Relaxed);
        self.deadly.store(!self.interactive, Ordering::Relaxed);
        let ended = self.listen_until(channels);
        self.deadly.store(true, Ordering::Relaxed);
        if ended.is_err() {
            self.connection = None;
        }
        match ended {
            Ok(Ended::Interrupted) => {
                // What is still under way is no reply to what is typed next: a new connection has nothing of it.
                self.connection = None;
                show(b"\n")?;
                self.connect_or_fail()
            }
            Ok(Ended::Key) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    fn listen_until(&mut self, channels: bool) -> Result<Ended, Failure> {
        let watched = self.interactive;
        loop {
            if channels && watched && self.subscriptions <= 0 {
                return Ok(Ended::Key);
            }
            let interrupted = self.interrupted.clone();
            let connection = self.connection()?;
            if watched {
                // Short timeouts, so that Ctrl-C and keys are seen.
                connection.set_read_timeout(Some(Duration::from_millis(50)))?;
            }
            let message = connection.next();
            if watched {
                connection.set_read_timeout(None)?;
            }
            match message {
                Ok(message) => self.one_message(&message)?,
                Err(error) if is_timeout(&error) => {
                    if interrupted.load(Ordering::Relaxed) {
                        return Ok(Ended::Interrupted);
                    }
                    if channels && is_key_pressed() {
                        return Ok(Ended::Key);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn one_message(&mut self, message: &Reply) -> Result<(), Failure> {
        // (Un)subscribing is answered with how many channels there are now.
        if let Some([kind, _, Reply::Int(count)]) = message.elements()
            && kind.text().is_some_and(|kind| kind.ends_with("subscribe"))
        {
            self.subscriptions = *count;
        }
        show(&self.style.write(message))?;
        io::stdout().flush().ok();
        Ok(())
    }

    /// Runs what stands on each line.
    pub fn lines(&mut self, mut input: impl BufRead) -> Result<(), Failure> {
        // A script of commands ends well even if there is nobody to send them to, as with redis-cli.
        if let Err(why) = self.connect() {
            eprintln!("{why}");
        }
        let mut line = Vec::new();
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            match quote::split(&line) {
                None => show(b"Invalid argument(s)\n")?,
                Some(words) if words.is_empty() => {}
                Some(words) => match self.line(words) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(Failure::Because(why)) => {
                        io::stdout().flush().ok();
                        eprintln!("{why}");
                    }
                    Err(said) => return Err(said),
                },
            }
            io::stdout().flush().ok();
        }
        io::stdout().flush().ok();
        Ok(())
    }

    /// Runs one line's words, which may begin with a number of times. False if that was `quit` or `exit`.
    pub fn line(&mut self, mut words: Vec<Vec<u8>>) -> Result<bool, Failure> {
        let first = String::from_utf8_lossy(&words[0]).to_ascii_lowercase();
        if first == "quit" || first == "exit" {
            return Ok(false);
        }
        let times = match first.parse::<u64>() {
            Ok(times) if words.len() > 1 && times > 0 => {
                words.remove(0);
                Some(times)
            }
            _ => self.options.repeat,
        };
        self.repeat(&words, times)?;
        Ok(true)
    }

    /// Runs a script of a file, with what the command line gives it: keys, a comma, arguments.
    pub fn eval_file(&mut self, file: &str) -> Result<(), Failure> {
        let script = std::fs::read(file)
            .map_err(|error| format!("Can't open file '{file}': {}", plain(&error)))?;
        let given = std::mem::take(&mut self.options.command);
        let (keys, args) = match given.iter().position(|word| word == b",") {
            Some(comma) => (&given[..comma], &given[comma + 1..]),
            None => (&given[..], &[][..]),
        };
        let count = keys.len().to_string().into_bytes();
        let mut request = vec![b"EVAL".to_vec(), script, count];
        request.extend(keys.iter().cloned());
        request.extend(args.iter().cloned());
        self.connect_or_fail()?;
        self.run(&request)
    }
}

/// How listening ended.
enum Ended {
    Interrupted,
    Key,
}

/// The terminal giving keys one by one, without showing them, until this is dropped.
struct Keys(Option<Termios>);

impl Keys {
    fn one_by_one() -> Keys {
        let stdin = io::stdin();
        let Ok(before) = tcgetattr(&stdin) else {
            return Keys(None);
        };
        let mut one = before.clone();
        one.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        match tcsetattr(&stdin, OptionalActions::Now, &one) {
            Ok(()) => Keys(Some(before)),
            Err(_) => Keys(None),
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // The terminal may be gone; then there is nothing to put back.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn is_key_pressed() -> bool {
    let stdin = io::stdin();
    let mut fds = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
    let now = rustix::event::Timespec::default();
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Whether a command's replies are messages.
fn is_listening(args: &[Vec<u8>]) -> bool {
    let name = args
        .first()
        .map(|name| name.to_ascii_lowercase())
        .unwrap_or_default();
    let known = [
        &b"subscribe"[..],
        b"psubscribe",
        b"ssubscribe",
        b"unsubscribe",
        b"punsubscribe",
        b"sunsubscribe",
    ];
    known.contains(&&name[..])
}

/// Whether a command answers a page of text, which is shown as it is in every form.
fn is_page(words: &[&str]) -> bool {
    matches!(
        words,
        ["info" | "lolwut", ..]
            | ["debug", "htstats" | "htstats-key" | "client-eviction", ..]
            | ["memory", "malloc-stats" | "doctor", ..]
            | ["cluster", "nodes" | "info"]
            | ["client", "list" | "info", ..]
            | ["latency", "graph", _]
            | ["latency", "doctor"]
            | ["proxy", "info", ..]
    )
}

/// What redis-cli says when nobody answers.
fn cannot_connect(address: &Address, error: &io::Error) -> String {
    format!("Could not connect to Redis at {address}: {}", plain(error))
}

/// Writes to standard output. Who reads it may have gone: nothing is left to do then.
pub fn show(text: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(text) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::Said),
        Err(error) => Err(error.into()),
    }
}
