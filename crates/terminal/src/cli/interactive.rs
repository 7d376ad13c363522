//! Lines that a person types: history, completion, hints, and the few words that are not for the server.

use super::docs::Docs;
use super::quote;
use super::session::{Failure, Session};
use rustyline::completion::Completer;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use std::borrow::Cow;
use std::path::PathBuf;

/// So many lines are kept.
const HISTORY: usize = 1000;

/// Reads and runs lines until the person leaves.
pub fn run(session: &mut Session) -> Result<(), Failure> {
    session.interactive = true;
    session.handle_interrupts()?;
    if let Err(why) = session.connect() {
        eprintln!("{why}");
    }
    learn(session);
    let assistant = Assistant {
        docs: std::mem::replace(session.docs(), Docs::builtin()),
        hints: true,
    };
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY)
        .map_err(said)?
        .build();
    let mut editor: Editor<Assistant, FileHistory> = Editor::with_config(config).map_err(said)?;
    editor.set_helper(Some(assistant));
    editor.set_auto_add_history(false);
    let history = file("REDISCLI_HISTFILE", ".rediscli_history");
    if let Some(path) = &history {
        // There is none the first time.
        let _ = editor.load_history(path);
    }
    if let Some(path) = file("REDISCLI_RCFILE", ".redisclirc")
        && let Ok(text) = std::fs::read_to_string(path)
    {
        for line in text.lines() {
            preference(&mut editor, line);
        }
    }
    loop {
        let line = match editor.readline(&session.prompt()) {
            Ok(line) => line,
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => return Ok(()),
            Err(error) => return Err(said(error)),
        };
        if line.trim().is_empty() {
            session.listen_again()?;
            continue;
        }
        let Some(words) = quote::split(line.as_bytes()) else {
            println!("Invalid argument(s)");
            continue;
        };
        if !is_secret(&words) {
            let _ = editor.add_history_entry(&line);
            if let Some(path) = &history {
                // A history that cannot be kept is no reason to complain at every line.
                let _ = editor.save_history(path);
            }
        }
        if preference(&mut editor, &line) {
            continue;
        }
        match perform(session, &mut editor, words) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(Failure::Because(why)) => eprintln!("{why}"),
            Err(Failure::Said) => return Err(Failure::Said),
        }
        if let Err(Failure::Because(why)) = session.listen_again() {
            eprintln!("{why}");
        }
    }
}

/// Asks the server for commands that the table does not know.
fn learn(session: &mut Session) {
    if !session.is_connected() {
        return;
    }
    let Ok(connection) = session.connection() else {
        return;
    };
    // Who may not ask, or has no COMMAND DOCS, has no hints for a module's commands.
    if let Ok(reply) = connection.call(&["COMMAND", "DOCS"]) {
        session.docs().add(&reply);
    }
}

/// One line. False ends the client.
fn perform(
    session: &mut Session,
    editor: &mut Editor<Assistant, FileHistory>,
    words: Vec<Vec<u8>>,
) -> Result<bool, Failure> {
    let text = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
    match (text(&words[0]).to_ascii_lowercase().as_str(), &words[1..]) {
        ("clear", []) => editor.clear_screen().map_err(said)?,
        ("connect", [host, port]) => {
            let port = text(port);
            let port = port
                .parse()
                .map_err(|_| Failure::from(format!("{port} is no port")))?;
            session.connect_to(text(host), port)?;
        }
        ("restart", []) => {
            let program = std::env::current_exe()?;
            let error = std::os::unix::process::CommandExt::exec(
                std::process::Command::new(program).args(std::env::args_os().skip(1)),
            );
            return Err(error.into());
        }
        _ => return session.line(words),
    }
    Ok(true)
}

/// Carries out `:set hints` and `:set nohints`; false if the line is something else.
fn preference(editor: &mut Editor<Assistant, FileHistory>, line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some(assistant) = editor.helper_mut() else {
        return false;
    };
    match words[..] {
        [":set", "hints"] => assistant.hints = true,
        [":set", "nohints"] => assistant.hints = false,
        [":set", ..] => println!("unknown redis-cli preference '{}'", words[1..].join(" ")),
        _ => return false,
    }
    true
}

/// Whether a line says passwords, so that no file should hold it.
fn is_secret(words: &[Vec<u8>]) -> bool {
    let is = |at: usize, text: &str| {
        words
            .get(at)
            .is_some_and(|word| word.eq_ignore_ascii_case(text.as_bytes()))
    };
    let settings = [
        "requirepass",
        "masterauth",
        "masteruser",
        "tls-key-file-pass",
    ];
    is(0, "auth")
        || (is(0, "acl") && (is(1, "deluser") || is(1, "setuser")))
        || (is(0, "config")
            && is(1, "set")
            && (2..words.len()).any(|at| settings.iter().any(|name| is(at, name))))
        || (is(0, "hello") && (1..words.len()).any(|at| is(at, "auth")))
        || (is(0, "migrate") && (1..words.len()).any(|at| is(at, "auth") || is(at, "auth2")))
}

/// A file of the person's: where the variable says, or in the home folder. None if the variable is empty or says /dev/null.
fn file(variable: &str, name: &str) -> Option<PathBuf> {
    match std::env::var_os(variable) {
        Some(path) if path.is_empty() || path == "/dev/null" => None,
        Some(path) => Some(path.into()),
        None => Some(PathBuf::from(std::env::var_os("HOME")?).join(name)),
    }
}

fn said(error: ReadlineError) -> Failure {
    Failure::from(format!("the terminal: {error}"))
}

/// What helps while a line is typed.
struct Assistant {
    docs: Docs,
    hints: bool,
}

/// What may follow; it is shown and not inserted.
struct Following(String);

impl Hint for Following {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Assistant {
    type Hint = Following;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Following> {
        if !self.hints || pos < line.len() {
            return None;
        }
        let words = quote::split(line.as_bytes())?;
        let words: Vec<String> = words
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let hint = self.docs.hint(&words)?;
        let space = if line.ends_with(' ') { "" } else { " " };
        Some(Following(format!("{space}{hint}")))
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = &line[..pos];
        let start = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let before: Vec<String> = typed[..start]
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        Ok((start, self.docs.complete(&before, &typed[start..])))
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[90m{hint}\x1b[0m"))
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        false
    }
}

impl Validator for Assistant {}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_kept_nowhere() {
        let secret = |line: &str| is_secret(&quote::split(line.as_bytes()).unwrap());
        for line in [
            "AUTH x",
            "acl setuser bob >pw",
            "CONFIG SET maxmemory 0 RequirePass x",
            "HELLO 3 AUTH a b",
            "MIGRATE h 1 k 0 10 AUTH x",
        ] {
            assert!(secret(line), "{line}");
        }
        for line in ["GET auth", "CONFIG GET requirepass", "ACL LIST", "HELLO 3"] {
            assert!(!secret(line), "{line}");
        }
    }
}
