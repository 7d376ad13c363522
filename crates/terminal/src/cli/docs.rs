//! What is known of commands: help pages, hints while one types, and completion.
//!
//! All of it is what COMMAND DOCS answers: that of the table that Redpoll's dispatch uses, which is part of this program, and that
//! of the server one speaks to for commands that the table does not have, such as a module's.

use crate::link::Reply;
use crate::link::reply::Replies;
use std::collections::BTreeMap;
use std::fmt::Write;

/// An argument of a command.
#[derive(Clone, Debug)]
struct Arg {
    display: String,
    kind: Kind,
    token: Option<String>,
    optional: bool,
    multiple: bool,
    multiple_token: bool,
    args: Vec<Arg>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Value,
    Token,
    OneOf,
    Block,
}

/// A command, or a container's subcommand.
#[derive(Clone, Debug)]
struct Doc {
    summary: String,
    since: String,
    group: String,
    args: Vec<Arg>,
    is_container: bool,
}

/// All commands that are known, by name in upper case; a subcommand's is `CONFIG GET`.
pub struct Docs(BTreeMap<String, Doc>);

impl Docs {
    /// Those of the table.
    pub fn builtin() -> Docs {
        let mut replies = Replies::default();
        replies.feed(&engine::command_docs());
        let mut docs = Docs(BTreeMap::new());
        if let Ok(Some(reply)) = replies.next() {
            docs.add(&reply);
        }
        docs
    }

    /// Adds what a server's COMMAND DOCS answers of commands that are not known yet.
    pub fn add(&mut self, reply: &Reply) {
        for (name, doc) in reply.pairs() {
            let Some(name) = name.text() else {
                continue;
            };
            let name = name.to_ascii_uppercase();
            if !self.0.contains_key(&name) {
                self.insert(name, doc);
            }
        }
    }

    fn insert(&mut self, name: String, doc: &Reply) {
        let text = |field| doc.field(field).and_then(Reply::text).unwrap_or_default();
        let subs = doc
            .field("subcommands")
            .map(Reply::pairs)
            .unwrap_or_default();
        for (sub, doc) in &subs {
            if let Some(sub) = sub.text() {
                self.insert(sub.to_ascii_uppercase().replace('|', " "), doc);
            }
        }
        let args = doc.field("arguments").map(args).unwrap_or_default();
        let doc = Doc {
            summary: text("summary"),
            since: text("since"),
            group: text("group"),
            args,
            is_container: !subs.is_empty(),
        };
        self.0.insert(name, doc);
    }

    /// The names that `help` knows: commands, and groups with an @.
    fn topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = self
            .0
            .values()
            .map(|doc| format!("@{}", doc.group))
            .collect();
        topics.sort();
        topics.dedup();
        topics.extend(self.0.keys().cloned());
        topics
    }

    /// The command that a line's first words name, and how many words that takes. A container alone is none.
    fn find(&self, words: &[String]) -> Option<(&Doc, usize)> {
        let first = words.first()?.to_ascii_uppercase();
        if let Some(second) = words.get(1)
            && let Some(doc) = self
                .0
                .get(&format!("{first} {}", second.to_ascii_uppercase()))
        {
            return Some((doc, 2));
        }
        let doc = self.0.get(&first)?;
        (!doc.is_container).then_some((doc, 1))
    }

    /// What may still be typed after these words, each of which is whole.
    pub fn hint(&self, words: &[String]) -> Option<String> {
        let (doc, taken) = self.find(words)?;
        let mut words = Words(&words[taken..]);
        let rest = sequence(&doc.args, &mut words);
        // A word that fits nowhere: better no hint than a wrong one.
        (words.0.is_empty() && !rest.is_empty()).then_some(rest)
    }

    /// What the word that is being typed may become, given those before it.
    pub fn complete(&self, before: &[String], word: &str) -> Vec<String> {
        let prefix = word.to_ascii_uppercase();
        let mut found: Vec<String> = match before {
            [] => {
                let names = self.0.keys().filter(|name| !name.contains(' '));
                names.cloned().chain(["HELP".to_owned()]).collect()
            }
            [help, rest @ ..] if help.eq_ignore_ascii_case("help") => {
                let so_far = rest.iter().fold(String::new(), |text, word| {
                    text + &word.to_ascii_uppercase() + " "
                });
                let topics = self.topics().into_iter();
                topics
                    .filter_map(|topic| {
                        let upper = topic.to_ascii_uppercase();
                        upper
                            .starts_with(&so_far)
                            .then(|| topic[so_far.len()..].to_owned())
                    })
                    .collect()
            }
            _ => {
                let container = format!("{} ", before[0].to_ascii_uppercase());
                let mut found: Vec<String> = match before.len() {
                    1 => {
                        let names = self.0.keys();
                        names
                            .filter_map(|name| name.strip_prefix(&container))
                            .map(str::to_owned)
                            .collect()
                    }
                    _ => Vec::new(),
                };
                // Words among the options are offered once something is typed of them.
                if let Some((doc, _)) = self.find(before)
                    && !word.is_empty()
                {
                    tokens(&doc.args, &mut found);
                }
                found
            }
        };
        found.retain(|name| name.to_ascii_uppercase().starts_with(&prefix));
        found.sort();
        found.dedup();
        // Who types small letters goes on in small letters.
        if word.chars().any(|c| c.is_ascii_lowercase()) {
            for name in &mut found {
                name.make_ascii_lowercase();
            }
        }
        found
    }

    /// The page of `help` for these words; `plain` without colours.
    pub fn help(&self, words: &[String], plain: bool) -> String {
        let Some(first) = words.first() else {
            return GENERAL.to_owned();
        };
        if let Some(group) = first.strip_prefix('@') {
            let of_group = self
                .0
                .iter()
                .filter(|(_, doc)| doc.group.eq_ignore_ascii_case(group));
            let pages: Vec<String> = of_group
                .map(|(name, doc)| page(name, doc, false, plain))
                .collect();
            return match pages.is_empty() {
                true => "\n".to_owned(),
                false => format!("{}\n", pages.concat()),
            };
        }
        let wanted = words.join(" ").to_ascii_uppercase();
        let inside = format!("{wanted} ");
        let mut text = String::new();
        // A container is shown with all that it contains.
        for (name, doc) in &self.0 {
            if *name == wanted || name.starts_with(&inside) {
                text += &page(name, doc, true, plain);
            }
        }
        text + "\n"
    }
}

const GENERAL: &str = "\
redpoll cli
To get help about commands type:
      \"help @<group>\" to get a list of commands in <group>
      \"help <command>\" for help on <command>
      \"help <tab>\" to get a list of possible help topics
      \"quit\" to exit

To set preferences:
      \":set hints\" enable online hints
      \":set nohints\" disable online hints
Set your preferences in ~/.redisclirc
";

fn page(name: &str, doc: &Doc, with_group: bool, plain: bool) -> String {
    let paint = |code: &str, text: &str| match plain {
        true => text.to_owned(),
        false => format!("\x1b[{code}m{text}\x1b[0m"),
    };
    let mut text = format!(
        "\n  {} {}\n",
        paint("1", name),
        paint("90", &syntax(&doc.args))
    );
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "  {} {value}", paint("33", label));
    };
    line("summary:", &doc.summary);
    line("since:", &doc.since);
    if with_group {
        line("group:", &doc.group);
    }
    text
}

fn args(reply: &Reply) -> Vec<Arg> {
    let elements = reply.elements().unwrap_or_default();
    elements.iter().map(arg).collect()
}

fn arg(reply: &Reply) -> Arg {
    let text = |field| reply.field(field).and_then(Reply::text);
    let flags: Vec<String> = reply
        .field("flags")
        .and_then(Reply::elements)
        .unwrap_or_default()
        .iter()
        .filter_map(Reply::text)
        .collect();
    let has = |flag: &str| flags.iter().any(|f| f == flag);
    Arg {
        display: text("display_text")
            .or_else(|| text("name"))
            .unwrap_or_default(),
        kind: match text("type").as_deref() {
            Some("pure-token") => Kind::Token,
            Some("oneof") => Kind::OneOf,
            Some("block") => Kind::Block,
            _ => Kind::Value,
        },
        token: text("token"),
        optional: has("optional"),
        multiple: has("multiple"),
        multiple_token: has("multiple_token"),
        args: reply.field("arguments").map(args).unwrap_or_default(),
    }
}

/// The words that can stand among the arguments.
fn tokens(args: &[Arg], found: &mut Vec<String>) {
    for arg in args {
        found.extend(arg.token.iter().filter(|token| !token.is_empty()).cloned());
        tokens(&arg.args, found);
    }
}

/// Arguments as they are written in manuals: `key value [NX|XX] [EX seconds|KEEPTTL]`.
fn syntax(args: &[Arg]) -> String {
    args.iter().map(shown).collect::<Vec<_>>().join(" ")
}

fn shown(arg: &Arg) -> String {
    match arg.optional {
        true => format!("[{}]", once_and_more(arg)),
        false => once_and_more(arg),
    }
}

fn once_and_more(arg: &Arg) -> String {
    let inner = inner(arg);
    let token = match arg.token.as_deref() {
        Some("") => "\"\"",
        Some(token) => token,
        None => "",
    };
    let once = format!("{token} {inner}").trim().to_owned();
    match (arg.multiple, arg.multiple_token) {
        (false, _) => once,
        (true, true) => format!("{once} [{once} ...]"),
        (true, false) => format!("{once} [{inner} ...]"),
    }
}

fn inner(arg: &Arg) -> String {
    match arg.kind {
        Kind::Value => arg.display.clone(),
        Kind::Token => String::new(),
        Kind::Block => syntax(&arg.args),
        Kind::OneOf => {
            let choices: Vec<String> = arg.args.iter().map(shown).collect();
            choices.join("|")
        }
    }
}

/// Words that were typed and are not accounted for yet.
struct Words<'w>(&'w [String]);

impl Words<'_> {
    fn token(&mut self, token: &str) -> bool {
        let is_it = self
            .0
            .first()
            .is_some_and(|word| word.eq_ignore_ascii_case(token));
        if is_it {
            self.0 = &self.0[1..];
        }
        is_it
    }
}

/// What is left of arguments after as many words as fit.
fn sequence(args: &[Arg], words: &mut Words<'_>) -> String {
    let mut left: Vec<String> = Vec::new();
    let mut at = 0;
    while at < args.len() {
        // Options that stand together may come in any order.
        let run = args[at..].iter().take_while(|arg| arg.optional).count();
        if run == 0 {
            let before = words.0.len();
            let rest = take(&args[at], words);
            // Where this has begun, it is too late for the options before it.
            if words.0.len() < before {
                left.clear();
            }
            match rest {
                Some(rest) if rest.is_empty() => {}
                Some(rest) => left.push(rest),
                None => left.push(shown(&args[at])),
            }
            at += 1;
            continue;
        }
        let mut open: Vec<&Arg> = args[at..at + run].iter().collect();
        // Values that stand at the very end are not for an option to take.
        let needed = args[at + run..].iter().filter(|arg| !arg.optional).count();
        while words.0.len() > needed {
            let fits = open.iter().position(|arg| {
                let mut probe = Words(words.0);
                take(arg, &mut probe).is_some() && probe.0.len() < words.0.len()
            });
            let Some(index) = fits else {
                break;
            };
            match take(open.remove(index), words) {
                Some(rest) if !rest.is_empty() => {
                    left.push(rest);
                }
                _ => {}
            }
        }
        left.extend(open.into_iter().map(shown));
        at += run;
    }
    left.join(" ")
}

/// Takes the words that are this argument; what is left of it, or None if they are something else.
fn take(arg: &Arg, words: &mut Words<'_>) -> Option<String> {
    let mut rest = once(arg, words)?;
    if !arg.multiple {
        return Some(rest);
    }
    while rest.is_empty() && !words.0.is_empty() {
        let mut again = arg.clone();
        if !arg.multiple_token {
            again.token = None;
        }
        match once(&again, words) {
            Some(more) => rest = more,
            None => return Some(rest),
        }
    }
    let more = match arg.multiple_token {
        true => format!("{} {}", arg.token.as_deref().unwrap_or(""), inner(arg)),
        false => inner(arg),
    };
    Some(format!("{rest} [{} ...]", more.trim()).trim().to_owned())
}

fn once(arg: &Arg, words: &mut Words<'_>) -> Option<String> {
    if let Some(token) = &arg.token
        && !words.token(token)
    {
        return None;
    }
    match arg.kind {
        Kind::Token => Some(String::new()),
        Kind::Value if words.0.is_empty() => arg.token.as_ref().map(|_| arg.display.clone()),
        Kind::Value => {
            words.0 = &words.0[1..];
            Some(String::new())
        }
        Kind::Block | Kind::OneOf if words.0.is_empty() => arg.token.as_ref().map(|_| inner(arg)),
        Kind::Block => {
            let before = words.0.len();
            let first = arg.args.first()?;
            let mut probe = Words(words.0);
            take(first, &mut probe)?;
            let rest = sequence(&arg.args, words);
            (words.0.len() < before).then_some(rest)
        }
        Kind::OneOf => {
            // A word that is one of the choices before a value that could be anything.
            let (mut words_first, values): (Vec<&Arg>, Vec<&Arg>) =
                arg.args.iter().partition(|choice| starts_with_word(choice));
            words_first.extend(values);
            words_first.into_iter().find_map(|choice| {
                let mut probe = Words(words.0);
                let rest = take(choice, &mut probe)?;
                words.0 = probe.0;
                Some(rest)
            })
        }
    }
}

fn starts_with_word(arg: &Arg) -> bool {
    arg.token.is_some()
        || (arg.kind == Kind::Block && arg.args.first().is_some_and(starts_with_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn hint(line: &str) -> String {
        Docs::builtin().hint(&words(line)).unwrap_or_default()
    }

    fn complete(line: &str) -> Vec<String> {
        let (before, word) = line.rsplit_once(' ').unwrap_or(("", line));
        Docs::builtin().complete(&words(before), word)
    }

    #[test]
    fn hints_follow_what_is_typed() {
        assert_eq!(hint("GET"), "key");
        assert_eq!(hint("get k"), "");
        assert_eq!(hint("get k more"), "");
        assert!(hint("SET").starts_with("key value ["));
        assert!(hint("SET k").starts_with("value ["));
        assert!(
            hint("set k v").contains("EX seconds"),
            "{}",
            hint("set k v")
        );
        let after = hint("SET k v EX 10");
        assert!(
            !after.contains("EX seconds") && after.contains("[GET]"),
            "{after}"
        );
        assert!(
            hint("SET k v EX").starts_with("seconds"),
            "{}",
            hint("SET k v EX")
        );
        assert!(hint("SET k v NX").contains("EX seconds"));
        assert_eq!(hint("MGET a b"), "[key ...]");
        assert_eq!(hint("MSET a"), "value [key value ...]");
        assert_eq!(hint("MSET a 1"), "[key value ...]");
        assert_eq!(hint("CONFIG"), "");
        assert_eq!(hint("config get"), "parameter [parameter ...]");
        assert_eq!(hint("NOSUCH"), "");
        assert!(
            hint("ZADD z").contains("score member"),
            "{}",
            hint("ZADD z")
        );
        assert_eq!(hint("ZADD z XX 1"), "member [score member ...]");
    }

    #[test]
    fn completion_knows_names_subcommands_and_options() {
        assert_eq!(complete("getd"), ["getdel"]);
        assert_eq!(complete("GETD"), ["GETDEL"]);
        assert!(complete("CONFIG ").contains(&"RESETSTAT".to_owned()));
        assert_eq!(complete("config rew"), ["rewrite"]);
        assert_eq!(complete("SET k v KEEP"), ["KEEPTTL"]);
        assert!(complete("SET k ").is_empty());
        assert!(complete("help @str").contains(&"@string".to_owned()));
        assert_eq!(complete("HELP CONFIG RESE"), ["RESETSTAT"]);
    }

    #[test]
    fn help_says_what_a_command_does() {
        let docs = Docs::builtin();
        let page = docs.help(&words("getdel"), true);
        assert!(page.starts_with("\n  GETDEL key\n  summary: "), "{page}");
        assert!(page.contains("\n  group: string\n"));
        assert!(
            docs.help(&words("config"), true)
                .contains("CONFIG GET parameter")
        );
        assert!(
            docs.help(&words("@hyperloglog"), true)
                .contains("PFADD key")
        );
        assert_eq!(docs.help(&words("nosuch"), true), "\n");
        assert!(docs.help(&[], true).contains("help @<group>"));
    }

    /// Every command has a page and a hint, and none of them panics.
    #[test]
    fn the_whole_table_has_pages() {
        let docs = Docs::builtin();
        assert!(docs.0.len() > 300, "{}", docs.0.len());
        for (name, doc) in &docs.0 {
            assert!(!doc.summary.is_empty(), "{name}");
            let typed = words(name);
            let hint = docs.hint(&typed).unwrap_or_default();
            assert!(
                doc.is_container || hint == syntax(&doc.args),
                "{name}: {hint}"
            );
            for n in 0..6 {
                let mut typed = typed.clone();
                typed.extend((0..n).map(|n| n.to_string()));
                docs.hint(&typed);
            }
        }
    }
}
