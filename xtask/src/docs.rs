//! What the pages name is there: files, folders and items of the code.
//!
//! A page that describes code goes stale without anybody noticing. This reads every page for words that look like a file or folder of
//! the project, or like an item (`Type::name`), and looks for them. A path may be told from the root, or from anywhere below: `src/` and
//! `crates/` are left out where nobody misses them, so `store/dict/` is `crates/store/src/dict/`, and `ctx.rs` any file of that name.
//! Whether a sentence is true only a reader can say; whether it speaks of something that exists is held here.

use crate::run;
use anyhow::{Context, Result, bail};
use std::collections::HashSet;
use std::path::Path;

/// Pages whose words are those of other projects.
const LEFT_OUT: &[&str] = &["CHANGELOG.md"];

/// Ends of names that are files of ours, where they are.
const ENDS: &[&str] = &[".rs", ".md", ".toml", ".ts", ".js", ".py", ".sh"];

/// Every page of the project.
pub fn check() -> Result<()> {
    let listed = run::output(&mut run::command(
        "git",
        &["ls-files", "--cached", "--others", "--exclude-standard"],
    ))?;
    let code = Code::of(run::root(), listed.lines())?;
    let mut wrong = Vec::new();
    let mut named = 0;
    for page in listed.lines().filter(|path| path.ends_with(".md")) {
        if LEFT_OUT.contains(&page) {
            continue;
        }
        let text = std::fs::read_to_string(run::root().join(page))
            .with_context(|| format!("cannot read {page}"))?;
        for (number, line) in text.lines().enumerate() {
            for word in words(line) {
                named += 1;
                if !code.has(&word) {
                    wrong.push(format!("{page}:{}: there is no {word}", number + 1));
                }
            }
        }
    }
    if !wrong.is_empty() {
        bail!("docs:\n  {}", wrong.join("\n  "));
    }
    println!("docs: all {named} files, folders and items that pages name are there");
    Ok(())
}

/// What there is to be named.
#[derive(Default)]
struct Code {
    /// Files and folders, each by every end of its path.
    paths: HashSet<String>,
    /// Words of the code.
    words: HashSet<String>,
}

impl Code {
    fn of<'a>(root: &Path, files: impl Iterator<Item = &'a str>) -> Result<Code> {
        let mut code = Code::default();
        for path in files {
            code.add_path(path);
            if path.ends_with(".rs") {
                // One that is deleted and not committed yet is still listed.
                let Ok(text) = std::fs::read_to_string(root.join(path)) else {
                    continue;
                };
                code.add_words(&text);
            }
        }
        Ok(code)
    }

    fn add_path(&mut self, path: &str) {
        for path in [path.to_owned(), path.replace("src/", "")] {
            let parts: Vec<&str> = path.split('/').collect();
            for from in 0..parts.len() {
                for to in from + 1..=parts.len() {
                    self.paths.insert(parts[from..to].join("/"));
                }
            }
        }
    }

    fn add_words(&mut self, text: &str) {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        for word in words.filter(|word| !word.is_empty()) {
            if !self.words.contains(word) {
                self.words.insert(word.to_owned());
            }
        }
    }

    fn has(&self, word: &Word) -> bool {
        match word {
            Word::Path(path) => self.paths.contains(path.trim_end_matches('/')),
            Word::Item(item) => item.split("::").all(|part| self.words.contains(part)),
        }
    }
}

/// Something that a page names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Path(String),
    Item(String),
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Word::Path(text) | Word::Item(text) => f.write_str(text),
        }
    }
}

/// What a line of a page names of ours.
fn words(line: &str) -> Vec<Word> {
    let mut found = Vec::new();
    for (at, part) in line.split('`').enumerate() {
        let is_code = at % 2 == 1;
        let ends = |c: char| c.is_whitespace() || "()[]|\"'*;".contains(c);
        for word in part.split(ends) {
            let word = word.trim_end_matches(['.', ',', ':']);
            for word in choices(word) {
                if is_path(&word, is_code && part == word) {
                    found.push(Word::Path(word));
                } else if is_code && part == word && is_item(&word) {
                    found.push(Word::Item(word));
                }
            }
        }
    }
    found
}

/// `a{b,c}d` is two words.
fn choices(word: &str) -> Vec<String> {
    let Some((before, rest)) = word.split_once('{') else {
        return vec![word.to_owned()];
    };
    let Some((middle, after)) = rest.split_once('}') else {
        return vec![word.to_owned()];
    };
    let choices = middle.split(',');
    choices
        .flat_map(|choice| choices_of(before, choice.trim(), after))
        .collect()
}

fn choices_of(before: &str, choice: &str, after: &str) -> Vec<String> {
    choices(&format!("{before}{choice}{after}"))
}

/// Whether a word is a path in the project. `alone`: it is all that stands between two backticks.
fn is_path(word: &str, alone: bool) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let outside = word.starts_with(['/', '.', '-']) || word.contains("..") || word.contains("//");
    if outside || !word.chars().all(plain) {
        return false;
    }
    ENDS.iter()
        .any(|end| word.ends_with(end) && word.len() > end.len())
        || alone && word.ends_with('/') && word.trim_end_matches('/').contains('/')
        || alone && word.starts_with("crates/")
}

/// Whether a word is a type or module and something of it.
fn is_item(word: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    word.contains("::") && word.split("::").all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> Code {
        let mut code = Code::default();
        code.add_path("crates/store/src/dict/read.rs");
        code.add_words("impl EntryRef { fn value() {} }");
        code
    }

    fn missing(line: &str) -> Vec<String> {
        let code = code();
        let words = words(line).into_iter();
        words
            .filter(|w| !code.has(w))
            .map(|w| w.to_string())
            .collect()
    }

    #[test]
    fn a_path_is_told_from_the_root_or_from_anywhere_below() {
        let line = "`crates/store/src/dict/read.rs`, `store/dict/`, **dict/read.rs** (`read.rs`)";
        assert_eq!(words(line).len(), 4);
        assert_eq!(missing(line), [""; 0]);
    }

    #[test]
    fn what_is_not_there_is_told() {
        assert_eq!(
            missing("see `store/dict/write.rs`, `store/dict/{read,entry}.rs` and door/keys.rs."),
            ["store/dict/write.rs", "store/dict/entry.rs", "door/keys.rs"]
        );
        assert_eq!(
            missing("`crates/disk` and `gone/away/`"),
            ["crates/disk", "gone/away/"]
        );
        assert_eq!(
            missing("`EntryRef::value`, `EntryRef::gone`"),
            ["EntryRef::gone"]
        );
    }

    #[test]
    fn other_words_are_left_alone() {
        let line =
            "GET /x.rs, `redis.conf`, `a -> b`, `--some/thing.rs`, 1/2, and/or, `set/`, `::1`";
        assert_eq!(words(line), []);
    }
}
