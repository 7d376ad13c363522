//! Rules as people write them, `on >secret ~cache:* +@read -keys`: words, one rule each.
//!
//! Names and texts are those of Redis; the rules about databases (`db=1,3`, `alldbs`, `resetdbs`) are those of Valkey.

use std::borrow::Cow;

/// Why a rule is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Syntax,
    /// No such command or category.
    Unknown,
    /// A first argument below a subcommand.
    SubOfSub,
    /// A pattern of keys where all are allowed already.
    AllKeys,
    AllChannels,
    NoSuchPassword,
    BadDigest,
    /// No such database.
    Database,
}

impl Wrong {
    /// The text of the error.
    pub fn text(self) -> &'static str {
        match self {
            Wrong::Syntax => "Syntax error",
            Wrong::Unknown => "Unknown command or category name in ACL",
            Wrong::SubOfSub => "Allowing first-arg of a subcommand is not supported",
            Wrong::AllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
                 Try 'resetkeys' to start with an empty list of patterns"
            }
            Wrong::AllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Wrong::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            Wrong::BadDigest => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Wrong::Database => "The provided database ID is out of range",
        }
    }
}

/// Whether a word is a certain one, in any case.
pub(crate) fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// Whether there is something in a text that would end a word in a file.
pub(crate) fn has_spaces(text: &[u8]) -> bool {
    // As in C, where form feed and vertical tab are spaces too.
    text.iter()
        .any(|byte| matches!(byte, b' ' | b'\t'..=b'\r' | 0))
}

/// Makes one word of each selector, whose words stand between `(` and `)`. The error is the index of the word that opens a selector
/// which is not closed.
pub(crate) fn merge<'a>(words: &[&'a [u8]]) -> Result<Vec<Cow<'a, [u8]>>, usize> {
    let mut merged: Vec<Cow<'a, [u8]>> = Vec::with_capacity(words.len());
    let mut open: Option<(usize, Vec<u8>)> = None;
    for (at, word) in words.iter().copied().enumerate() {
        let closes = word.last() == Some(&b')');
        match &mut open {
            None if word.first() == Some(&b'(') && !closes => open = Some((at, word.to_vec())),
            None => merged.push(word.into()),
            Some((_, text)) => {
                text.push(b' ');
                text.extend_from_slice(word);
                if closes && let Some((_, text)) = open.take() {
                    merged.push(text.into());
                }
            }
        }
    }
    match open {
        None => Ok(merged),
        Some((at, _)) => Err(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_become_one_word() {
        let merged = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            merge(&words).map(|merged| {
                merged
                    .iter()
                    .map(|w| String::from_utf8_lossy(w).into_owned())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(
            merged("on (+get ~a) ) (+set)"),
            Ok(vec![
                "on".into(),
                "(+get ~a)".into(),
                ")".into(),
                "(+set)".into()
            ])
        );
        assert_eq!(merged("( +get )"), Ok(vec!["( +get )".into()]));
        assert_eq!(merged("on (+get"), Err(1));
        assert_eq!(merged("(a) (b (c"), Err(1));
    }
}
