//! From a redis.conf, standard input and the command line to one list of directives, in the order in which they count.
//!
//! The syntax is that of redis-server. A line is words separated by spaces; quoted words may contain escapes; `#` begins
//! a comment line; `include` stands for the lines of other files. `--name value ...` on the command line is such a line
//! appended to the file. Later lines win over earlier ones.

use super::ConfigError;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How deep files may include each other; a cycle ends here.
const MAX_DEPTH: usize = 16;

/// The place of lines that do not stand in a file.
const COMMAND_LINE: &str = "command line";

/// One directive as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it stands, for error messages: `redis.conf:12`, or the command line.
    pub place: String,
    /// The name in lower case.
    pub name: String,
    /// The words after it.
    pub words: Vec<String>,
}

impl Line {
    /// An error about this line, quoting it but for what is secret. Words of the command line stand in quotes, as in real servers.
    pub fn error(&self, reason: &str) -> ConfigError {
        let mut quoted = self.name.clone();
        for (at, word) in self.words.iter().enumerate() {
            if is_secret(self.name.as_bytes()) || self.name == "user" && at > 0 {
                quoted.push_str(" (redacted)");
                break;
            }
            quoted.push(' ');
            let plain = self.place != COMMAND_LINE;
            if !plain || word.is_empty() || word.contains([' ', '"', '\t']) {
                quoted.push_str(&super::directive::quoted(word));
            } else {
                quoted.push_str(word);
            }
        }
        ConfigError(format!("{}: '{quoted}': {reason}", self.place))
    }
}

/// Whether the value of a directive, by its name in any case, is nobody's business.
pub(crate) fn is_secret(name: &[u8]) -> bool {
    let secret = [
        "requirepass",
        "masterauth",
        "primaryauth",
        "masteruser",
        "primaryuser",
        "tls-key-file-pass",
        "tls-client-key-file-pass",
        "http-token",
    ];
    secret
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// What the command line asks for.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The configuration file, if one is named.
    pub file: Option<PathBuf>,
    /// Every directive, in order.
    pub lines: Vec<Line>,
}

/// Splits a line into words as redis.conf and inline commands do; None if a quote is left open or a closing quote is
/// not followed by a space.
///
/// Within double quotes `\n \r \t \b \a`, `\xHH` and a backslash before anything else are escapes, within single quotes
/// only `\'`.
pub(super) fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.as_bytes();
    loop {
        let start = rest.iter().position(|b| !is_space(*b));
        let Some(start) = start else {
            return Some(words);
        };
        rest = &rest[start..];
        let mut word = Vec::new();
        let mut quote = None;
        loop {
            let (&first, after) = match (rest.split_first(), quote) {
                (Some(pair), _) => pair,
                (None, None) => break,
                (None, Some(_)) => return None,
            };
            rest = after;
            match (first, quote) {
                (b'\\', Some(b'"')) => rest = unescape(after, &mut word)?,
                (b'\\', Some(b'\'')) if after.first() == Some(&b'\'') => {
                    word.push(b'\'');
                    rest = &after[1..];
                }
                (close, Some(open)) if close == open => {
                    if after.first().is_some_and(|b| !is_space(*b)) {
                        return None;
                    }
                    break;
                }
                (open @ (b'"' | b'\''), None) => quote = Some(open),
                (space, None) if is_space(space) => break,
                (byte, _) => word.push(byte),
            }
        }
        words.push(String::from_utf8(word).ok()?);
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0)
}

/// Appends what the escape at the front of `text` (without its backslash) stands for; returns what follows it.
fn unescape<'a>(text: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    if let [b'x', high, low, rest @ ..] = text
        && let (Some(high), Some(low)) = ((*high as char).to_digit(16), (*low as char).to_digit(16))
    {
        word.push((high * 16 + low) as u8);
        return Some(rest);
    }
    let (&first, rest) = text.split_first()?;
    word.push(match first {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    });
    Some(rest)
}

/// Reads the arguments of the program (without its name): `[file|-] [--directive value ...] [-]`.
///
/// `stdin` is read when `-` stands first or last. Its lines come after the file's and before the command line's.
pub(super) fn from_args(
    args: impl Iterator<Item = OsString>,
    stdin: &mut dyn Read,
) -> Result<Source, ConfigError> {
    let mut args = args
        .map(|arg| {
            arg.into_string()
                .map_err(|arg| ConfigError(format!("argument {arg:?} is not UTF-8")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut source = Source::default();
    if args.first().is_some_and(|first| !first.starts_with('-')) {
        let file = PathBuf::from(args.remove(0));
        read_file(&file, &mut source.lines, 0)?;
        source.file = Some(std::path::absolute(&file).unwrap_or(file));
    }
    let dashes = args.first().is_some_and(|a| a == "-") || args.last().is_some_and(|a| a == "-");
    if dashes {
        let ends = [
            args.first().is_some_and(|a| a == "-"),
            args.len() > 1 && args.last().is_some_and(|a| a == "-"),
        ];
        if ends[1] {
            args.pop();
        }
        if ends[0] {
            args.remove(0);
        }
        let mut text = String::new();
        stdin
            .read_to_string(&mut text)
            .map_err(|e| ConfigError(format!("standard input: {e}")))?;
        read_lines("standard input", &text, &mut source.lines, 0)?;
    }
    command_line(&args, &mut source.lines)?;
    Ok(source)
}

/// The directives on the command line. The first needs no dashes. A name takes at least one word: what follows it belongs to it even when it begins
/// with dashes, except after `--save`, whose missing words mean an empty list.
fn command_line(args: &[String], lines: &mut Vec<Line>) -> Result<(), ConfigError> {
    let mut current: Option<Line> = None;
    for (at, arg) in args.iter().enumerate() {
        let complete = current.as_ref().is_none_or(|line| !line.words.is_empty());
        let Some(option) = arg.strip_prefix("--").filter(|_| complete) else {
            match &mut current {
                Some(line) => line.words.push(arg.clone()),
                // The first may do without dashes.
                None => {
                    current = Some(Line {
                        place: COMMAND_LINE.into(),
                        name: arg.to_ascii_lowercase(),
                        words: Vec::new(),
                    });
                }
            }
            continue;
        };
        let unbalanced =
            || ConfigError(format!("'{arg}': Unbalanced quotes in configuration line"));
        let mut words = split(option).ok_or_else(unbalanced)?.into_iter();
        let Some(name) = words.next() else {
            return Err(ConfigError("'--' is not a directive".into()));
        };
        let mut line = Line {
            place: COMMAND_LINE.into(),
            name: name.to_ascii_lowercase(),
            words: words.collect(),
        };
        let followed = args.get(at + 1).is_some_and(|next| !next.starts_with("--"));
        if line.name == "save" && line.words.is_empty() && !followed {
            line.words.push(String::new());
        }
        flush(current.replace(line), lines)?;
    }
    flush(current, lines)
}

/// Adds a finished directive of the command line; an `include` there reads its file.
fn flush(line: Option<Line>, lines: &mut Vec<Line>) -> Result<(), ConfigError> {
    match line {
        Some(line) if line.name == "include" => include(&line, lines, 0),
        Some(line) => {
            lines.push(line);
            Ok(())
        }
        None => Ok(()),
    }
}

fn read_file(path: &Path, lines: &mut Vec<Line>, depth: usize) -> Result<(), ConfigError> {
    read_lines(&path.display().to_string(), &text_of(path)?, lines, depth)
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    let shown = path.display();
    let bytes = std::fs::read(path)
        .map_err(|e| ConfigError(format!("can't open config file '{shown}': {}", reason(&e))))?;
    String::from_utf8(bytes).map_err(|_| ConfigError(format!("config file '{shown}' is not UTF-8")))
}

fn read_lines(
    place: &str,
    text: &str,
    lines: &mut Vec<Line>,
    depth: usize,
) -> Result<(), ConfigError> {
    for (at, raw) in text.lines().enumerate() {
        let trimmed = raw.trim_matches([' ', '\t', '\r', '\n']);
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let place = format!("{place}:{}", at + 1);
        let Some(words) = split(trimmed) else {
            return Err(ConfigError(format!(
                "{place}: '{trimmed}': Unbalanced quotes in configuration line"
            )));
        };
        let mut words = words.into_iter();
        let Some(name) = words.next() else { continue };
        let line = Line {
            place,
            name: name.to_ascii_lowercase(),
            words: words.collect(),
        };
        if line.name == "include" {
            include(&line, lines, depth)?;
        } else {
            lines.push(line);
        }
    }
    Ok(())
}

/// Reads the files an `include` names. Parts of its path may be patterns; where these match nothing, that is no error.
fn include(line: &Line, lines: &mut Vec<Line>, depth: usize) -> Result<(), ConfigError> {
    let [path] = line.words.as_slice() else {
        return Err(line.error("wrong number of arguments"));
    };
    if depth >= MAX_DEPTH {
        return Err(line.error("files include each other too deeply"));
    }
    if !is_pattern(path) {
        let text = text_of(Path::new(path)).map_err(|ConfigError(why)| line.error(&why))?;
        return read_lines(path, &text, lines, depth + 1);
    }
    for file in matching(Path::new(path)) {
        read_file(&file, lines, depth + 1)?;
    }
    Ok(())
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// What a path with patterns in its parts matches, in alphabetical order.
fn matching(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        let part = part.as_os_str();
        match part.to_str().filter(|part| is_pattern(part)) {
            Some(pattern) => {
                found = (found.iter())
                    .flat_map(|dir| matching_in(dir, pattern))
                    .collect();
            }
            None => found.iter_mut().for_each(|path| path.push(part)),
        }
    }
    found.retain(|path| path.exists());
    found
}

/// What a pattern matches in a folder, which may not be there.
fn matching_in(dir: &Path, pattern: &str) -> Vec<PathBuf> {
    let here = match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    };
    let names = std::fs::read_dir(here).into_iter().flatten();
    let mut found: Vec<PathBuf> = names
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        // As in a shell, a pattern does not match hidden files unless it says so.
        .filter(|name| !name.starts_with('.') || pattern.starts_with('.'))
        .filter(|name| crate::base::glob::matches(pattern.as_bytes(), name.as_bytes()))
        .map(|name| dir.join(name))
        .collect();
    found.sort();
    found
}

/// An I/O error without the code that the standard library appends.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        split(line)
    }

    fn args(args: &[&str], stdin: &str) -> Result<Vec<String>, String> {
        let source = from_args(args.iter().map(OsString::from), &mut stdin.as_bytes())
            .map_err(|e| e.to_string())?;
        Ok(source
            .lines
            .iter()
            .map(|l| format!("{}={}", l.name, l.words.join("|")))
            .collect())
    }

    #[test]
    fn words_may_be_quoted_and_escaped() {
        assert_eq!(
            words("  bind 127.0.0.1\t-::1 ").unwrap(),
            ["bind", "127.0.0.1", "-::1"]
        );
        assert_eq!(
            words(r#"a "b c" 'd e' "" "#).unwrap(),
            ["a", "b c", "d e", ""]
        );
        assert_eq!(
            words(r#""\x41\n\"\\\z" '\n\''"#).unwrap(),
            ["A\n\"\\z", "\\n'"]
        );
        assert_eq!(words(r#"pre"fix ed""#).unwrap(), ["prefix ed"]);
        assert_eq!(words("").unwrap(), [""; 0]);
        for bad in [
            r#""open"#,
            "'open",
            r#""a"b"#,
            r#"'a'b"#,
            r#""\"#,
            r#""\xff""#,
        ] {
            assert_eq!(words(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_command_line_has_the_syntax_of_redis_server() {
        let lines = args(
            &[
                "--port",
                "7000",
                "--BIND",
                "127.0.0.1",
                "::1",
                "--save",
                "--maxclients 5",
            ],
            "",
        )
        .unwrap();
        assert_eq!(
            lines,
            ["port=7000", "bind=127.0.0.1|::1", "save=", "maxclients=5"]
        );
        assert_eq!(
            args(&["--save", "3600", "1", "--port", "1"], "").unwrap(),
            ["save=3600|1", "port=1"]
        );
        assert_eq!(args(&["--save"], "").unwrap(), ["save="]);
        // The first word after a name is its value, whatever it looks like.
        assert_eq!(
            args(&["--requirepass", "--secret", "--port", "1"], "").unwrap(),
            ["requirepass=--secret", "port=1"]
        );
        assert_eq!(args(&["--port"], "").unwrap(), ["port="]);
        assert!(args(&["--"], "").is_err());
    }

    #[test]
    fn standard_input_comes_before_the_command_line() {
        for order in [["-", "--port", "2"], ["--port", "2", "-"]] {
            assert_eq!(
                args(&order, "port 1\n# comment\n\n timeout 3 \n").unwrap(),
                ["port=1", "timeout=3", "port=2"]
            );
        }
        assert_eq!(args(&["-"], "port 1").unwrap(), ["port=1"]);
        assert_eq!(
            args(&["-", "port", "1", "--timeout", "2"], "").unwrap(),
            ["port=1", "timeout=2"]
        );
    }

    #[test]
    fn files_include_files_in_place() {
        let dir = std::env::temp_dir().join(format!("redpoll-config-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("conf.d")).unwrap();
        let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        std::fs::write(at("conf.d/b.conf"), "timeout 2\n").unwrap();
        std::fs::write(at("conf.d/a.conf"), "timeout 1\n").unwrap();
        std::fs::write(at("conf.d/.hidden.conf"), "timeout 9\n").unwrap();
        std::fs::write(
            at("one.conf"),
            format!(
                "port 1\ninclude {}\nport 3\ninclude {}\ninclude {}\n",
                at("conf.d/*.conf"),
                at("nowhere/*.conf"),
                at("c*.?/a.con[f]")
            ),
        )
        .unwrap();
        assert_eq!(
            args(&[&at("one.conf")], "").unwrap(),
            ["port=1", "timeout=1", "timeout=2", "port=3", "timeout=1"]
        );
        assert_eq!(
            args(&["--include", &at("conf.d/a.conf"), "--port", "4"], "").unwrap(),
            ["timeout=1", "port=4"]
        );

        std::fs::write(at("self.conf"), format!("include {}\n", at("self.conf"))).unwrap();
        assert!(
            args(&[&at("self.conf")], "")
                .unwrap_err()
                .contains("too deeply")
        );
        std::fs::write(at("bad.conf"), "port 1\nfoo \"bar\n").unwrap();
        let error = args(&[&at("bad.conf")], "").unwrap_err();
        assert!(
            error.ends_with("bad.conf:2: 'foo \"bar': Unbalanced quotes in configuration line"),
            "{error}"
        );
        let error = args(&[&at("none.conf")], "").unwrap_err();
        assert!(
            error.contains("can't open config file")
                && error.ends_with("No such file or directory"),
            "{error}"
        );
        // Of a file that another one names, it is told where that stands.
        std::fs::write(at("names.conf"), format!("\ninclude {}\n", at("none.conf"))).unwrap();
        let error = args(&[&at("names.conf")], "").unwrap_err();
        let place = format!("{}:2: 'include ", at("names.conf"));
        assert!(error.starts_with(&place), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
