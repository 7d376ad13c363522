//! The notation in which a row writes its arguments: one line of text for the tree that COMMAND DOCS answers.
//!
//! Written out as Rust values that tree would be forty lines for SET; in this notation it is three, and reads like
//! the syntax line of a manual:
//!
//! ```text
//! key value [condition(NX@2.6.12 | XX@2.6.12 | IFEQ comparison-value@8.1.0)] [GET@6.2.0]
//!     [expiration(EX seconds:int@2.6.12 | ... | KEEPTTL@6.0.0)]
//! ```
//!
//! | written | is |
//! |---|---|
//! | `value` | an argument; its type is string, or key if its name is `key` |
//! | `count:int` | with a type: `int`, `double`, `key`, `pattern`, `time`, `string` |
//! | `destination:key#1` | a key found by the command's key spec number 1 (a key without a number: 0) |
//! | `addr<ip:port>` | shown to people under another name than its own |
//! | `EX seconds:int` | an argument behind a word that announces it |
//! | `NX` | a word alone; its name is the word in lower case |
//! | `change=CH` | a word alone under a name of its own; any characters if quoted: `auto-id='*'` |
//! | `unit(M \| KM)` | one of several |
//! | `data{field value}` | several together |
//! | `LIMIT{offset:int count:int}` | a group behind a word; its name is the word in lower case, or stands between: `TYPE client-type(..)` |
//! | `[x]` | may be left out |
//! | `x...` | may be repeated |
//! | `GET* pattern...` | may be repeated, and the word is repeated with it |
//! | `@6.2.0`, `!2.8.12` | since this version; deprecated since this version |
//!
//! The text is parsed when somebody asks (COMMAND DOCS, HELP, the page of supported commands), never when a
//! command runs. A malformed line is a mistake in our own table, and a test over the whole table finds it.

use std::borrow::Cow;
use std::fmt;

/// The type of an argument, as COMMAND DOCS names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ArgType {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl ArgType {
    /// The name COMMAND DOCS prints.
    pub const fn name(self) -> &'static str {
        match self {
            ArgType::String => "string",
            ArgType::Integer => "integer",
            ArgType::Double => "double",
            ArgType::Key => "key",
            ArgType::Pattern => "pattern",
            ArgType::UnixTime => "unix-time",
            ArgType::PureToken => "pure-token",
            ArgType::OneOf => "oneof",
            ArgType::Block => "block",
        }
    }

    fn from_notation(word: &str) -> Option<ArgType> {
        Some(match word {
            "int" => ArgType::Integer,
            "double" => ArgType::Double,
            "key" => ArgType::Key,
            "pattern" => ArgType::Pattern,
            "time" => ArgType::UnixTime,
            "string" => ArgType::String,
            _ => return None,
        })
    }
}

/// One node of a command's argument tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg<'a> {
    /// Its name: unique among its siblings, for programs.
    pub name: Cow<'a, str>,
    /// What may stand there.
    pub kind: ArgType,
    /// What people are shown instead of the name.
    pub display: Option<&'a str>,
    /// Which of the command's key specs finds it.
    pub key_spec: Option<u8>,
    /// The word before it, or the word itself for [`ArgType::PureToken`]; `Some("")` is an empty argument.
    pub token: Option<&'a str>,
    /// Since when, if later than the command.
    pub since: Option<&'a str>,
    /// Since when it should no longer be used.
    pub deprecated_since: Option<&'a str>,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// Repeated with its word before each.
    pub multiple_token: bool,
    /// The parts of a [`ArgType::OneOf`] or [`ArgType::Block`].
    pub args: Vec<Arg<'a>>,
}

/// A line that is not in the notation of this module.
#[derive(Debug, PartialEq, Eq)]
pub struct NotationError {
    /// Where in the line, in bytes.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for NotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}

impl std::error::Error for NotationError {}

/// Parses a line of the notation into the arguments it describes, in order.
pub fn parse(notation: &str) -> Result<Vec<Arg<'_>>, NotationError> {
    let mut cursor = Cursor {
        text: notation,
        at: 0,
    };
    if notation.is_empty() {
        return Ok(Vec::new());
    }
    let args = cursor.sequence()?;
    if cursor.at < notation.len() {
        return cursor.fail("a space or the end");
    }
    Ok(args)
}

/// The parser: a position in the line. Every method leaves it just behind what it has read.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, what: &str) -> bool {
        let found = self.text[self.at..].starts_with(what);
        if found {
            self.at += what.len();
        }
        found
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, NotationError> {
        Err(NotationError {
            at: self.at,
            expected,
        })
    }

    fn need(&mut self, what: &str, expected: &'static str) -> Result<(), NotationError> {
        if self.eat(what) {
            Ok(())
        } else {
            self.fail(expected)
        }
    }

    /// The longest run of bytes that `belongs` accepts; may be empty.
    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let len = rest.bytes().take_while(|&b| belongs(b)).count();
        self.at += len;
        &rest[..len]
    }

    fn name(&mut self) -> Result<&'a str, NotationError> {
        if !self.peek().is_some_and(|b| b.is_ascii_lowercase()) {
            return self.fail("a name");
        }
        Ok(self.run(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'))
    }

    fn at_token(&self) -> bool {
        self.peek()
            .is_some_and(|b| b.is_ascii_uppercase() || b == b'\'')
    }

    /// A word in capitals, or any characters in quotes.
    fn token(&mut self) -> Result<&'a str, NotationError> {
        if self.eat("'") {
            let token = self.run(|b| b != b'\'');
            self.need("'", "a closing quote")?;
            return Ok(token);
        }
        if !self.at_token() {
            return self.fail("a word in capitals");
        }
        Ok(self.run(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-'))
    }

    /// Arguments separated by single spaces, up to a closing bracket or the end.
    fn sequence(&mut self) -> Result<Vec<Arg<'a>>, NotationError> {
        let mut args = vec![self.item()?];
        while self.eat(" ") {
            args.push(self.item()?);
        }
        Ok(args)
    }

    /// Alternatives separated by ` | `, up to a closing bracket.
    fn alternatives(&mut self) -> Result<Vec<Arg<'a>>, NotationError> {
        let mut args = vec![self.item()?];
        while self.eat(" | ") {
            args.push(self.item()?);
        }
        Ok(args)
    }

    /// One argument, in square brackets if it may be left out.
    fn item(&mut self) -> Result<Arg<'a>, NotationError> {
        if !self.eat("[") {
            return self.element();
        }
        let mut arg = self.element()?;
        self.need("]", "']'")?;
        arg.optional = true;
        Ok(arg)
    }

    fn element(&mut self) -> Result<Arg<'a>, NotationError> {
        let mut arg = Arg {
            name: Cow::Borrowed(""),
            kind: ArgType::String,
            display: None,
            key_spec: None,
            token: None,
            since: None,
            deprecated_since: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            args: Vec::new(),
        };
        if self.at_token() {
            let token = self.token()?;
            arg.token = Some(token);
            arg.name = Cow::Owned(token.to_ascii_lowercase());
            arg.multiple_token = self.eat("*");
            if self.peek() == Some(b'(') || self.peek() == Some(b'{') {
                self.group(&mut arg)?;
            } else if self.announces_next() {
                self.at += 1;
                arg.name = Cow::Borrowed(self.name()?);
                self.body(&mut arg)?;
            } else {
                arg.kind = ArgType::PureToken;
            }
        } else {
            arg.name = Cow::Borrowed(self.name()?);
            if self.eat("=") {
                arg.token = Some(self.token()?);
                arg.kind = ArgType::PureToken;
            } else {
                self.body(&mut arg)?;
            }
        }
        arg.multiple = self.eat("...");
        if arg.multiple_token && !arg.multiple {
            return self.fail("'...', as the word is marked with '*'");
        }
        if self.eat("@") {
            arg.since = Some(self.version()?);
        }
        if self.eat("!") {
            arg.deprecated_since = Some(self.version()?);
        }
        Ok(arg)
    }

    /// Whether the word just read announces what follows: a space and a name that is not itself the name of a
    /// word (`name=WORD`).
    fn announces_next(&self) -> bool {
        let mut ahead = Cursor {
            text: self.text,
            at: self.at,
        };
        ahead.eat(" ") && ahead.name().is_ok() && ahead.peek() != Some(b'=')
    }

    /// What may follow a name: a group, or the display text, type and key spec of a plain argument.
    fn body(&mut self, arg: &mut Arg<'a>) -> Result<(), NotationError> {
        if self.peek() == Some(b'(') || self.peek() == Some(b'{') {
            return self.group(arg);
        }
        if self.eat("<") {
            arg.display = Some(self.run(|b| b != b'>' && b != b' '));
            self.need(">", "'>'")?;
        }
        if self.eat(":") {
            let word = self.run(|b| b.is_ascii_lowercase());
            match ArgType::from_notation(word) {
                Some(kind) => arg.kind = kind,
                None => return self.fail("a type"),
            }
        } else if arg.name == "key" {
            arg.kind = ArgType::Key;
        }
        if self.eat("#") {
            match self.run(|b| b.is_ascii_digit()).parse() {
                Ok(n) => arg.key_spec = Some(n),
                Err(_) => return self.fail("the number of a key spec"),
            }
        } else if arg.kind == ArgType::Key {
            arg.key_spec = Some(0);
        }
        Ok(())
    }

    fn group(&mut self, arg: &mut Arg<'a>) -> Result<(), NotationError> {
        if self.eat("(") {
            arg.kind = ArgType::OneOf;
            arg.args = self.alternatives()?;
            self.need(")", "' | ' or ')'")?;
        } else {
            self.need("{", "'(' or '{'")?;
            arg.kind = ArgType::Block;
            arg.args = self.sequence()?;
            self.need("}", "a space or '}'")?;
        }
        if arg.args.len() < 2 {
            return self.fail("at least two parts in the group");
        }
        Ok(())
    }

    fn version(&mut self) -> Result<&'a str, NotationError> {
        let version = self.run(|b| b.is_ascii_digit() || b == b'.');
        let parts = version.split('.').filter(|p| !p.is_empty()).count();
        if parts == 3 && version.matches('.').count() == 2 {
            Ok(version)
        } else {
            self.fail("a version of three numbers")
        }
    }
}

/// The arguments as people write them: `key value [NX | XX | IFEQ comparison-value] [GET]`.
#[cfg(test)]
pub fn syntax(args: &[Arg<'_>]) -> String {
    let mut text = String::new();
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            text.push(' ');
        }
        push_syntax(arg, &mut text);
    }
    text
}

/// The same as HELP shows it, in the notation of real servers: `<key> <value> [NX|XX|IFEQ <comparison-value>] [GET]`.
pub fn help_syntax(args: &[Arg<'_>]) -> String {
    let texts: Vec<String> = args.iter().map(help_of).collect();
    texts.join(" ")
}

fn help_of(arg: &Arg<'_>) -> String {
    let inner = match arg.kind {
        ArgType::PureToken => String::new(),
        ArgType::Block => help_syntax(&arg.args),
        ArgType::OneOf => {
            let choices: Vec<String> = arg.args.iter().map(help_of).collect();
            let choices = choices.join("|");
            match arg.optional && arg.token.is_none() {
                true => choices,
                false => format!("({choices})"),
            }
        }
        _ => format!("<{}>", arg.display.unwrap_or(&arg.name)),
    };
    let word = match arg.token {
        Some("") => "\"\"",
        Some(token) => token,
        None => "",
    };
    let mut text = format!("{word} {inner}").trim().to_owned();
    if arg.multiple {
        text += match (arg.multiple_token, &inner) {
            _ if text.len() > 60 => " ...".to_owned(),
            (true, _) => format!(" [{text} ...]"),
            (false, inner) => format!(" [{inner} ...]"),
        }
        .as_str();
    }
    match arg.optional {
        true => format!("[{text}]"),
        false => text,
    }
}

#[cfg(test)]
fn push_syntax(arg: &Arg<'_>, text: &mut String) {
    if arg.optional {
        text.push('[');
    }
    let bare_choice = arg.optional && arg.token.is_none() && !arg.multiple;
    let start = text.len();
    push_once(arg, text, bare_choice);
    if arg.multiple && text.len() - start > 60 {
        // Too long to be repeated word for word.
        text.push_str(" ...");
    } else if arg.multiple {
        text.push_str(" [");
        let mut again = arg.clone();
        if !arg.multiple_token {
            again.token = None;
        }
        push_once(&again, text, true);
        text.push_str(" ...]");
    }
    if arg.optional {
        text.push(']');
    }
}

/// The argument once, without the brackets of an optional one; a choice that is already in brackets needs none of
/// its own.
#[cfg(test)]
fn push_once(arg: &Arg<'_>, text: &mut String, in_brackets: bool) {
    if let Some(token) = arg.token {
        text.push_str(if token.is_empty() { "\"\"" } else { token });
        if arg.kind == ArgType::PureToken {
            return;
        }
        text.push(' ');
    }
    match arg.kind {
        ArgType::Block => text.push_str(&syntax(&arg.args)),
        ArgType::OneOf => {
            let enclose = !in_brackets || arg.token.is_some();
            if enclose {
                text.push('<');
            }
            for (i, choice) in arg.args.iter().enumerate() {
                if i > 0 {
                    text.push_str(" | ");
                }
                push_syntax(choice, text);
            }
            if enclose {
                text.push('>');
            }
        }
        _ => text.push_str(arg.display.unwrap_or(&arg.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_written_as_real_servers_write_it() {
        for (notation, text) in [
            ("", ""),
            ("[pattern:pattern]", "[<pattern>]"),
            (
                "status(ON | OFF) [REDIRECT client-id:int]",
                "(ON|OFF) [REDIRECT <client-id>]",
            ),
            (
                "timeout:int [mode(WRITE | ALL)@6.2.0]",
                "<timeout> [WRITE|ALL]",
            ),
            ("key [SAMPLES count:int]", "<key> [SAMPLES <count>]"),
            (
                "data{parameter value}...",
                "<parameter> <value> [<parameter> <value> ...]",
            ),
            ("sha1...", "<sha1> [<sha1> ...]"),
            ("addr<ip:port>", "<ip:port>"),
            (
                "[PREFIX* prefix...]",
                "[PREFIX <prefix> [PREFIX <prefix> ...]]",
            ),
        ] {
            let args = parse(notation).unwrap_or_else(|e| panic!("{notation}: {e}"));
            assert_eq!(help_syntax(&args), text, "{notation}");
        }
    }

    fn one(notation: &str) -> Arg<'_> {
        let mut args = parse(notation).unwrap_or_else(|e| panic!("{notation}: {e}"));
        assert_eq!(args.len(), 1, "{notation}");
        args.remove(0)
    }

    #[test]
    fn plain_arguments_have_types_and_key_specs() {
        let key = one("key");
        assert_eq!((key.kind, key.key_spec), (ArgType::Key, Some(0)));
        let value = one("value");
        assert_eq!((value.kind, value.key_spec), (ArgType::String, None));
        assert_eq!(one("key:string").kind, ArgType::String);
        assert_eq!(one("destination:key#2").key_spec, Some(2));
        assert_eq!(one("at:time").kind, ArgType::UnixTime);
        let get = one("[GET* by-pattern<pattern>:pattern#1...]");
        assert_eq!(get.token, Some("GET"));
        assert_eq!((&*get.name, get.display), ("by-pattern", Some("pattern")));
        assert_eq!((get.kind, get.key_spec), (ArgType::Pattern, Some(1)));
        assert!(get.optional && get.multiple && get.multiple_token);
    }

    #[test]
    fn words_stand_alone_or_announce() {
        let nx = one("NX@2.6.12");
        assert_eq!((nx.kind, nx.token), (ArgType::PureToken, Some("NX")));
        assert_eq!((&*nx.name, nx.since), ("nx", Some("2.6.12")));
        let any = one("auto-id='*'");
        assert_eq!((&*any.name, any.token), ("auto-id", Some("*")));
        assert_eq!(one("empty-string=''").token, Some(""));
        let ex = one("EX seconds:int");
        assert_eq!((&*ex.name, ex.kind), ("seconds", ArgType::Integer));
        let both = parse("NO ONE").unwrap();
        assert_eq!(both.len(), 2);
        let then_named = parse("ALPHA node-token=NODE node-id").unwrap();
        let kinds: Vec<ArgType> = then_named.iter().map(|a| a.kind).collect();
        assert_eq!(
            kinds,
            [ArgType::PureToken, ArgType::PureToken, ArgType::String]
        );
    }

    #[test]
    fn groups_nest_and_take_their_name_from_the_word() {
        let limit = one("[LIMIT{offset:int count:int}]");
        assert_eq!((&*limit.name, limit.kind), ("limit", ArgType::Block));
        assert_eq!(limit.args.len(), 2);
        let kind = one("TYPE client-type(NORMAL | MASTER@3.2.0)...@2.8.12!3.0.0");
        assert_eq!((&*kind.name, kind.token), ("client-type", Some("TYPE")));
        assert_eq!(kind.deprecated_since, Some("3.0.0"));
        let by = one("by(circle{BYRADIUS radius:double unit(M | KM)} | box{A a B})");
        assert_eq!(by.args[0].args[1].args[1].token, Some("KM"));
    }

    #[test]
    fn malformed_lines_are_refused() {
        for bad in [
            " key",
            "key ",
            "key  value",
            "key:float",
            "key#",
            "[key",
            "key]",
            "(NX | XX)",
            "a(NX |XX)",
            "a(NX)",
            "a{b}",
            "'*",
            "Key",
            "a@7.0",
            "a@",
            "GET* pattern",
            "a<b",
            "a(NX | XX",
            "a{b c",
            "x=y",
            "key#999",
            "a|b",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse(""), Ok(Vec::new()));
    }

    #[test]
    fn syntax_is_what_a_manual_would_print() {
        for (notation, text) in [
            (
                "key value [condition(NX@2.6.12 | XX | IFEQ comparison-value)] [GET]",
                "key value [NX | XX | IFEQ comparison-value] [GET]",
            ),
            ("key...", "key [key ...]"),
            ("[key...]", "[key [key ...]]"),
            ("data{key value}...", "key value [key value ...]"),
            ("[ID client-id:int...]", "[ID client-id [client-id ...]]"),
            (
                "[GET* g<pattern>:pattern#1...]",
                "[GET pattern [GET pattern ...]]",
            ),
            ("[AGGREGATE(SUM | MIN)]", "[AGGREGATE <SUM | MIN>]"),
            ("where(BEFORE | AFTER) pivot", "<BEFORE | AFTER> pivot"),
            ("sel(key | empty=\'\')", "<key | \"\">"),
            ("[LIMIT{offset:int count:int}]", "[LIMIT offset count]"),
        ] {
            assert_eq!(syntax(&parse(notation).unwrap()), text);
        }
    }
}
