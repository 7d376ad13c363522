//! Replies as text: for people, raw, CSV and JSON, byte for byte as redis-cli writes them.
//!
//! Two exceptions, so that what calls itself JSON is JSON: a quote inside of `--quoted-json`, and numbers that JSON does not have.

use super::quote::{push_json, push_quoted, push_quoted_json};
use crate::link::Reply;

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people: types, indices, quotes.
    Pretty,
    /// Nothing but the bytes.
    Raw,
    /// One line, with commas.
    Csv,
    /// One line of JSON.
    Json,
    /// The same in plain ASCII: bytes are escaped as in [`Form::Pretty`], within JSON's strings.
    QuotedJson,
}

/// How replies are written.
#[derive(Clone, Debug)]
pub struct Style {
    /// The form.
    pub form: Form,
    /// Between the elements of one reply, where it is raw.
    pub between: Vec<u8>,
    /// After each reply, where it is raw.
    pub after: Vec<u8>,
}

impl Style {
    /// A reply as it is written.
    pub fn write(&self, reply: &Reply) -> Vec<u8> {
        let mut out = Vec::new();
        match self.form {
            Form::Pretty => pretty(reply, "", &mut out),
            Form::Raw => {
                self.raw(reply, &mut out);
                out.extend(&self.after);
            }
            Form::Csv => {
                csv(reply, &mut out);
                out.push(b'\n');
            }
            Form::Json => {
                json(reply, push_json, &mut out);
                out.push(b'\n');
            }
            Form::QuotedJson => {
                json(reply, push_quoted_json, &mut out);
                out.push(b'\n');
            }
        }
        out
    }

    /// The reply of a command that answers a page of text (INFO): its bytes, in every form.
    pub fn write_page(&self, reply: &Reply) -> Vec<u8> {
        let mut out = Vec::new();
        self.raw(reply, &mut out);
        out
    }

    fn raw(&self, reply: &Reply, out: &mut Vec<u8>) {
        match reply {
            Reply::Nil => {}
            Reply::Error(text) => {
                out.extend(text);
                out.push(b'\n');
            }
            Reply::Status(text)
            | Reply::Bulk(text)
            | Reply::Verbatim(text)
            | Reply::Double(text)
            | Reply::BigNumber(text) => out.extend(text),
            Reply::Int(n) => out.extend(n.to_string().bytes()),
            Reply::Bool(on) => out.extend(format!("({on})").bytes()),
            Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => {
                for (i, element) in elements.iter().enumerate() {
                    if i > 0 {
                        out.extend(&self.between);
                    }
                    self.raw(element, out);
                }
            }
            Reply::Map(pairs) => {
                for (i, (key, value)) in pairs.iter().enumerate() {
                    if i > 0 {
                        out.extend(&self.between);
                    }
                    self.raw(key, out);
                    out.push(b' ');
                    self.raw(value, out);
                }
            }
        }
    }
}

fn pretty(reply: &Reply, indent: &str, out: &mut Vec<u8>) {
    let mut say = |text: &str| out.extend(text.bytes());
    match reply {
        Reply::Error(text) => {
            say("(error) ");
            out.extend(text);
            out.push(b'\n');
        }
        Reply::Status(text) | Reply::Verbatim(text) => {
            out.extend(text);
            out.push(b'\n');
        }
        Reply::Int(n) => say(&format!("(integer) {n}\n")),
        Reply::Double(text) => {
            say("(double) ");
            out.extend(text);
            out.push(b'\n');
        }
        Reply::BigNumber(text) => {
            say("(big number) ");
            out.extend(text);
            out.push(b'\n');
        }
        Reply::Bool(on) => say(&format!("({on})\n")),
        Reply::Nil => say("(nil)\n"),
        Reply::Bulk(text) => {
            push_quoted(text, out);
            out.push(b'\n');
        }
        Reply::Array(elements) => list(elements, "array", ')', indent, out),
        Reply::Set(elements) => list(elements, "set", '~', indent, out),
        Reply::Push(elements) => list(elements, "push", ')', indent, out),
        Reply::Map(pairs) if pairs.is_empty() => say("(empty hash)\n"),
        Reply::Map(pairs) => {
            let width = pairs.len().to_string().len();
            let inner = format!("{indent}{}", " ".repeat(width + 2));
            for (i, (key, value)) in pairs.iter().enumerate() {
                let before = if i == 0 { "" } else { indent };
                out.extend(format!("{before}{:width$}# ", i + 1).bytes());
                pretty(key, &inner, out);
                // The line goes on after the key.
                out.pop();
                out.extend(b" => ");
                if is_tall(value) {
                    out.push(b'\n');
                    out.extend(inner.bytes());
                }
                pretty(value, &inner, out);
            }
        }
    }
}

fn list(elements: &[Reply], what: &str, mark: char, indent: &str, out: &mut Vec<u8>) {
    if elements.is_empty() {
        out.extend(format!("(empty {what})\n").bytes());
    }
    let width = elements.len().to_string().len();
    let inner = format!("{indent}{}", " ".repeat(width + 2));
    for (i, element) in elements.iter().enumerate() {
        // The first one stands in the line of whatever it is part of.
        let before = if i == 0 { "" } else { indent };
        out.extend(format!("{before}{:width$}{mark} ", i + 1).bytes());
        pretty(element, &inner, out);
    }
}

/// Whether a value takes several lines because of its structure.
fn is_tall(reply: &Reply) -> bool {
    match reply {
        Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => {
            match &elements[..] {
                [] => false,
                [only] => is_tall(only),
                _ => true,
            }
        }
        Reply::Map(pairs) => match &pairs[..] {
            [] => false,
            [(_, value)] => is_tall(value),
            _ => true,
        },
        _ => false,
    }
}

fn csv(reply: &Reply, out: &mut Vec<u8>) {
    match reply {
        Reply::Error(text) => {
            out.extend(b"ERROR,");
            push_quoted(text, out);
        }
        Reply::Status(text) | Reply::Bulk(text) | Reply::Verbatim(text) => push_quoted(text, out),
        Reply::Int(n) => out.extend(n.to_string().bytes()),
        Reply::Double(text) | Reply::BigNumber(text) => out.extend(text),
        Reply::Nil => out.extend(b"NULL"),
        Reply::Bool(on) => out.extend(on.to_string().bytes()),
        Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => {
            for (i, element) in elements.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                csv(element, out);
            }
        }
        Reply::Map(pairs) => {
            for (i, (key, value)) in pairs.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                csv(key, out);
                out.push(b',');
                csv(value, out);
            }
        }
    }
}

fn json(reply: &Reply, string: fn(&[u8], &mut Vec<u8>), out: &mut Vec<u8>) {
    match reply {
        Reply::Error(text) => {
            out.extend(b"error:");
            string(text, out);
        }
        Reply::Status(text) | Reply::Bulk(text) | Reply::Verbatim(text) => string(text, out),
        Reply::Int(n) => out.extend(n.to_string().bytes()),
        // "inf" and "nan" are no numbers of JSON.
        Reply::Double(text) if text.iter().any(|b| b.eq_ignore_ascii_case(&b'n')) => {
            string(text, out);
        }
        Reply::Double(text) | Reply::BigNumber(text) => out.extend(text),
        Reply::Nil => out.extend(b"null"),
        Reply::Bool(on) => out.extend(on.to_string().bytes()),
        Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => {
            out.push(b'[');
            for (i, element) in elements.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                json(element, string, out);
            }
            out.push(b']');
        }
        Reply::Map(pairs) => {
            out.push(b'{');
            for (i, (key, value)) in pairs.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                match key.bytes() {
                    Some(text) => string(text, out),
                    None => {
                        let mut inner = Vec::new();
                        json(key, string, &mut inner);
                        push_json(&inner, out);
                    }
                }
                out.push(b':');
                json(value, string, out);
            }
            out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(text.as_bytes().to_vec())
    }

    fn text(form: Form, reply: &Reply) -> String {
        let style = Style {
            form,
            between: b"\n".to_vec(),
            after: b"\n".to_vec(),
        };
        String::from_utf8(style.write(reply)).unwrap()
    }

    #[test]
    fn nested_replies_are_indented() {
        let map = Reply::Map(vec![
            (bulk("one"), Reply::Array(vec![Reply::Int(1)])),
            (bulk("none"), Reply::Set(vec![])),
            (
                bulk("two"),
                Reply::Set(vec![Reply::Bool(true), Reply::Double(b"1.5".to_vec())]),
            ),
        ]);
        let outer = Reply::Array(vec![map, Reply::Nil]);
        assert_eq!(
            text(Form::Pretty, &outer),
            "1) 1# \"one\" => 1) (integer) 1\n   2# \"none\" => (empty set)\n   3# \"two\" => \n      1~ (true)\n      2~ (double) 1.5\n2) (nil)\n"
        );
        assert_eq!(
            text(Form::Csv, &outer),
            "\"one\",1,\"none\",,\"two\",true,1.5,NULL\n"
        );
        assert_eq!(
            text(Form::Json, &outer),
            "[{\"one\":[1],\"none\":[],\"two\":[true,1.5]},null]\n"
        );
        assert_eq!(text(Form::Raw, &outer), "one 1\nnone \ntwo (true)\n1.5\n\n");
    }

    #[test]
    fn json_has_no_infinity() {
        let inf = Reply::Map(vec![(Reply::Int(1), Reply::Double(b"-inf".to_vec()))]);
        assert_eq!(text(Form::Json, &inf), "{\"1\":\"-inf\"}\n");
    }
}
