//! What one directive is: its name, the kind of value it takes, and how such a value is read and written.
//!
//! The texts of the errors are those of Redis, because they reach clients through CONFIG SET.

use super::Live;
use resp::number::parse_i64;

/// The form of a directive's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`.
    Flag,
    /// A signed integer in a range.
    Int {
        /// Smallest value allowed.
        min: i64,
        /// Largest value allowed.
        max: i64,
    },
    /// An integer that Redis keeps unsigned: a negative one gets an error of its own.
    Uint {
        /// Smallest value allowed.
        min: i64,
        /// Largest value allowed.
        max: i64,
    },
    /// An integer that must be a power of two.
    PowerOfTwo {
        /// Smallest value allowed.
        min: i64,
        /// Largest value allowed.
        max: i64,
    },
    /// A number of threads, or `auto` for one a core.
    Threads,
    /// File permissions in octal, 0 to 777.
    Octal,
    /// A number of bytes, with the units of redis.conf: `1k` is 1000, `1kb` is 1024.
    Size {
        /// Smallest value allowed, in bytes.
        min: i64,
        /// Largest value allowed, in bytes.
        max: i64,
    },
    /// The same, or a part of the memory that there is, in percent: see [`Value::Memory`].
    Memory,
    /// One of a few names.
    Choice(&'static [&'static str]),
    /// Some of a few names, of which the first stands for none of the others.
    Names(&'static [&'static str]),
    /// Classes of keyspace notifications, a letter each.
    Events,
    /// Any text.
    Text,
    /// A list of words.
    Words,
    /// A list of percentages.
    Percentiles,
    /// Snapshot points: pairs of seconds and changes.
    Save,
    /// Output buffer limits: a class, a hard and a soft limit and the soft limit's seconds, for one or more classes.
    OutputLimits,
}

/// When a directive may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// In the file and on the command line only.
    Startup,
    /// Also by CONFIG SET.
    Runtime,
    /// By CONFIG SET if `enable-protected-configs` allows it.
    Protected,
}

/// What a row knows of its values that their kind does not.
pub(super) type Check = fn(&Value) -> Result<(), String>;

/// One row of the table of directives.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// The name, in lower case.
    pub name: &'static str,
    /// Older and other names for the same value.
    pub aliases: &'static [&'static str],
    /// The form of its value.
    pub kind: Kind,
    /// The value it has when nothing sets it, as it stands in a redis.conf without quotes.
    pub default: &'static str,
    /// When it may change.
    pub change: Change,
    /// The heading it belongs under; of a directive that is not built, the feature it belongs to.
    pub group: &'static str,
    /// False: only the default is accepted, because what the directive configures does not exist.
    pub built: bool,
    /// True: any value is accepted and none changes anything.
    pub moot: bool,
    /// True: CONFIG GET shows it only to who asks for it by its name.
    pub hidden: bool,
    /// What it does, in a sentence or two; of a moot one, why it need not do anything.
    pub doc: &'static str,
    /// Looks at what the kind cannot know; the error is the reason in the words Redis uses.
    pub(super) check: Option<Check>,
    /// Copies the value to where the running server reads it.
    pub(super) apply: Option<fn(&Live, &Value)>,
}

/// The bounds on the unsent replies of one class of clients; 0 is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes at which a client is disconnected at once.
    pub hard: u64,
    /// Bytes at which a client is disconnected if it stays over them for `soft_seconds`.
    pub soft: u64,
    /// See `soft`.
    pub soft_seconds: u64,
}

/// A directive's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of [`Kind::Flag`].
    Flag(bool),
    /// Of the integer kinds and [`Kind::Size`].
    Int(i64),
    /// Of [`Kind::Memory`].
    Memory {
        /// Whether it is `n` percent; else it is `n` bytes.
        percent: bool,
        /// See above.
        n: i64,
    },
    /// Of [`Kind::Octal`].
    Octal(u32),
    /// Of [`Kind::Events`]: bits of [`crate::base::class`].
    Events(u32),
    /// Of [`Kind::Choice`].
    Choice(&'static str),
    /// Of [`Kind::Text`].
    Text(String),
    /// Of [`Kind::Words`], [`Kind::Names`], [`Kind::Percentiles`] and [`Kind::Save`].
    Words(Vec<String>),
    /// Of [`Kind::OutputLimits`]: normal clients, replicas, subscribers.
    Limits([OutputLimit; 3]),
}

/// The names CONFIG GET prints for the classes of [`Kind::OutputLimits`].
const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

impl Directive {
    /// The same, shown only to who knows its name.
    pub(super) const fn hidden(self) -> Directive {
        Directive {
            hidden: true,
            ..self
        }
    }

    /// Reads a value from the words after the directive's name; see [`Kind::parse`].
    pub fn parse(&self, words: &[&str], old: Option<&Value>) -> Result<Value, String> {
        let value = self.kind.parse(words, old)?;
        match self.check {
            Some(check) => check(&value).map(|()| value),
            None => Ok(value),
        }
    }

    /// Reads the default.
    pub(crate) fn parse_default(&self) -> Result<Value, String> {
        self.parse(&self.kind.words_of(self.default), None)
    }

    /// The words of a line of redis.conf that give it this value, quoted where they have to be.
    pub(super) fn written(&self, value: &Value) -> String {
        match (self.kind, value) {
            (Kind::Size { .. }, Value::Int(bytes)) => written_size(*bytes),
            (_, Value::Text(text)) => quoted(text),
            // Without a word the list would not be empty but missing.
            (_, Value::Words(words)) if words.is_empty() => quoted(""),
            (_, Value::Words(words)) => {
                let words: Vec<String> = words
                    .iter()
                    .map(|word| {
                        if word
                            .bytes()
                            .all(|b| b.is_ascii_graphic() && !b"\"'\\#".contains(&b))
                        {
                            word.clone()
                        } else {
                            quoted(word)
                        }
                    })
                    .collect();
                words.join(" ")
            }
            (_, Value::Events(_)) => quoted(&value.text()),
            (_, Value::Limits(limits)) => {
                let texts = CLASSES.iter().zip(limits).map(|(class, l)| {
                    let (hard, soft) = (written_size(l.hard as i64), written_size(l.soft as i64));
                    format!("{class} {hard} {soft} {}", l.soft_seconds)
                });
                texts.collect::<Vec<_>>().join(" ")
            }
            _ => value.text(),
        }
    }
}

/// A number of bytes in the largest unit that it is a multiple of.
fn written_size(bytes: i64) -> String {
    let units = [("gb", 1i64 << 30), ("mb", 1 << 20), ("kb", 1 << 10)];
    match units
        .iter()
        .find(|(_, size)| bytes != 0 && bytes % size == 0)
    {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None => bytes.to_string(),
    }
}

/// A word in double quotes, as [`super::lines`] reads it.
pub(super) fn quoted(text: &str) -> String {
    let mut into = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => into.extend(['\\', c]),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            c if c.is_ascii_control() => into.push_str(&format!("\\x{:02x}", c as u32)),
            c => into.push(c),
        }
    }
    into.push('"');
    into
}

impl Kind {
    /// The words that a text stands for which may hold several, as in CONFIG SET.
    pub(super) fn words_of(self, text: &str) -> Vec<&str> {
        if self.takes_list() {
            text.split(' ').collect()
        } else {
            vec![text]
        }
    }

    /// True for a directive that takes more than one word.
    pub(crate) fn takes_list(self) -> bool {
        matches!(
            self,
            Kind::Words | Kind::Names(_) | Kind::Percentiles | Kind::Save | Kind::OutputLimits
        )
    }

    /// Reads a value from the words after a directive's name.
    ///
    /// `old` is the present value: output limits change only the classes that are named. The error is the reason in
    /// the words Redis uses.
    pub fn parse(self, words: &[&str], old: Option<&Value>) -> Result<Value, String> {
        match self {
            Kind::Words => return Ok(Value::Words(some_words(words))),
            Kind::Names(names) => return parse_names(words, names),
            Kind::Percentiles => return parse_percentiles(words),
            Kind::Save => return parse_save(words),
            Kind::OutputLimits => return parse_limits(words, old),
            _ => {}
        }
        let &[word] = words else {
            return Err("wrong number of arguments".into());
        };
        match self {
            Kind::Flag if word.eq_ignore_ascii_case("yes") => Ok(Value::Flag(true)),
            Kind::Flag if word.eq_ignore_ascii_case("no") => Ok(Value::Flag(false)),
            Kind::Flag => Err("argument must be 'yes' or 'no'".into()),
            Kind::Int { min, max } => in_range(parse_int(word)?, min, max),
            Kind::Uint { min, max } => match parse_int(word)? {
                n if n < 0 => Err("argument must be greater or equal to 0".into()),
                n => in_range(n, min, max),
            },
            Kind::PowerOfTwo { min, max } => match parse_int(word)? {
                n if n.count_ones() != 1 => Err("argument must be a power of two".into()),
                n => in_range(n, min, max),
            },
            Kind::Threads if word.eq_ignore_ascii_case("auto") => Ok(Value::Int(
                std::thread::available_parallelism().map_or(1, |n| n.get() as i64),
            )),
            Kind::Threads => in_range(parse_int(word)?, 1, 1024),
            Kind::Octal => match u32::from_str_radix(word, 8) {
                Ok(mode) if mode <= 0o777 => Ok(Value::Octal(mode)),
                Ok(_) => Err("argument must be between 0 and 777 inclusive".into()),
                Err(_) => Err("argument couldn't be parsed as an octal number".into()),
            },
            Kind::Size { min, max } => match parse_size(word) {
                Some(bytes) => in_range(bytes, min, max),
                None => Err("argument must be a memory value".into()),
            },
            Kind::Memory => parse_memory(word),
            Kind::Choice(names) => {
                match names.iter().find(|name| name.eq_ignore_ascii_case(word)) {
                    Some(name) => Ok(Value::Choice(name)),
                    None => Err(none_of(names)),
                }
            }
            Kind::Events => crate::base::class::parse(word)
                .map(Value::Events)
                .ok_or_else(|| "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into()),
            Kind::Text
            | Kind::Words
            | Kind::Names(_)
            | Kind::Percentiles
            | Kind::Save
            | Kind::OutputLimits => Ok(Value::Text(word.into())),
        }
    }

    /// The value's form for the page of directives.
    pub fn describe(self) -> String {
        match self {
            Kind::Flag => "yes or no".into(),
            Kind::Int { min, max } | Kind::Uint { min, max } => range_text(min, max),
            Kind::PowerOfTwo { min, max } => format!("power of two, {min} to {max}"),
            Kind::Threads => "auto, or 1 to 1024".into(),
            Kind::Octal => "octal, 0 to 777".into(),
            Kind::Size { min: 0 | 1, .. } => "bytes".into(),
            Kind::Size { min, .. } => format!("bytes, at least {min}"),
            Kind::Memory => "bytes, or percent (`10%`)".into(),
            Kind::Choice(names) => names.join(", "),
            Kind::Names(names) => format!("some of {}", names.join(", ")),
            Kind::Events => "letters".into(),
            Kind::Text => "text".into(),
            Kind::Words => "words".into(),
            Kind::Percentiles => "numbers, 0 to 100".into(),
            Kind::Save => "pairs of seconds and changes".into(),
            Kind::OutputLimits => "class, hard, soft, seconds".into(),
        }
    }
}

impl Value {
    /// The text CONFIG GET answers.
    pub fn text(&self) -> String {
        match self {
            Value::Flag(on) => if *on { "yes" } else { "no" }.into(),
            Value::Int(n) => n.to_string(),
            Value::Memory { percent: true, n } => format!("{n}%"),
            Value::Memory { n, .. } => n.to_string(),
            Value::Octal(mode) => format!("{mode:o}"),
            Value::Events(classes) => crate::base::class::letters(*classes),
            Value::Choice(name) => (*name).into(),
            Value::Text(text) => text.clone(),
            Value::Words(words) => words.join(" "),
            Value::Limits(limits) => {
                let classes = CLASSES.iter().zip(limits);
                let texts = classes
                    .map(|(class, l)| format!("{class} {} {} {}", l.hard, l.soft, l.soft_seconds));
                texts.collect::<Vec<_>>().join(" ")
            }
        }
    }
}

fn range_text(min: i64, max: i64) -> String {
    if max == i64::MAX {
        format!("integer, at least {min}")
    } else {
        format!("integer, {min} to {max}")
    }
}

fn parse_int(word: &str) -> Result<i64, String> {
    parse_i64(word.as_bytes()).ok_or_else(|| "argument couldn't be parsed into an integer".into())
}

fn in_range(n: i64, min: i64, max: i64) -> Result<Value, String> {
    if (min..=max).contains(&n) {
        return Ok(Value::Int(n));
    }
    Err(format!(
        "argument must be between {min} and {max} inclusive"
    ))
}

/// Reads a number of bytes: digits, then nothing or one of `b`, `k`, `kb`, `m`, `mb`, `g`, `gb` in any case.
pub(crate) fn parse_size(word: &str) -> Option<i64> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = word.split_at(digits);
    let factor: i64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1000 * 1000,
        "mb" => 1 << 20,
        "g" => 1000 * 1000 * 1000,
        "gb" => 1 << 30,
        _ => return None,
    };
    // As Redis does, a unit alone is none of it.
    let number = if digits == 0 {
        0
    } else {
        number.parse::<i64>().ok()?
    };
    number.checked_mul(factor)
}

fn parse_memory(word: &str) -> Result<Value, String> {
    let wrong = || "argument must be a memory or percent value".to_owned();
    if let Some(number) = word.strip_suffix('%') {
        let n = parse_i64(number.as_bytes()).filter(|n| *n >= 0);
        return match n.ok_or_else(wrong)? {
            n @ 0..=100 => Ok(Value::Memory { percent: true, n }),
            _ => Err("percentage argument must be less or equal to 100".into()),
        };
    }
    let n = parse_size(word).ok_or_else(wrong)?;
    Ok(Value::Memory { percent: false, n })
}

fn some_words(words: &[&str]) -> Vec<String> {
    words
        .iter()
        .filter(|word| !word.is_empty())
        .map(|&word| word.into())
        .collect()
}

fn none_of(names: &[&str]) -> String {
    format!(
        "argument(s) must be one of the following: {}",
        names.join(", ")
    )
}

/// Of several names, in their own order; the first of them alone if there is no other.
fn parse_names(words: &[&str], names: &'static [&'static str]) -> Result<Value, String> {
    let is = |name: &str, word: &str| name.eq_ignore_ascii_case(word);
    let known = |word: &&str| names.iter().any(|name| is(name, word));
    if words.is_empty() || !words.iter().all(known) {
        return Err(none_of(names));
    }
    let mut chosen: Vec<String> = names
        .iter()
        .skip(1)
        .filter(|name| words.iter().any(|word| is(name, word)))
        .map(|&name| name.into())
        .collect();
    if chosen.is_empty() {
        chosen.extend(names.first().map(|&name| name.to_owned()));
    }
    Ok(Value::Words(chosen))
}

fn parse_percentiles(words: &[&str]) -> Result<Value, String> {
    let mut percents = some_words(words);
    for word in &mut percents {
        match word.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => *word = percent.to_string(),
            Ok(percent) if !percent.is_nan() => {
                return Err(
                    "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
                        .into(),
                );
            }
            _ => return Err("Invalid latency-tracking-info-percentiles parameters".into()),
        }
    }
    Ok(Value::Words(percents))
}

fn parse_save(words: &[&str]) -> Result<Value, String> {
    let points = some_words(words);
    // Nothing at all is none too, as `save ""` is.
    let whole = points.len().is_multiple_of(2);
    let numbers = points.chunks(2).all(|pair| {
        let seconds = parse_i64(pair[0].as_bytes()).is_some_and(|n| n >= 1);
        seconds
            && pair
                .last()
                .and_then(|n| parse_i64(n.as_bytes()))
                .is_some_and(|n| n >= 0)
    });
    if whole && numbers {
        Ok(Value::Words(points))
    } else {
        Err("Invalid save parameters".into())
    }
}

fn parse_limits(words: &[&str], old: Option<&Value>) -> Result<Value, String> {
    let mut limits = match old {
        Some(Value::Limits(limits)) => *limits,
        _ => Default::default(),
    };
    if words == [""] {
        // CONFIG SET with an empty text names no class, which is no mistake.
        return Ok(Value::Limits(limits));
    }
    if words.is_empty() || !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    for of_class in words.chunks(4) {
        let class = match of_class[0].to_ascii_lowercase().as_str() {
            "normal" => 0,
            "replica" | "slave" => 1,
            "pubsub" => 2,
            _ => {
                return Err("Invalid client class specified in buffer limit configuration.".into());
            }
        };
        let bytes = |word: &str| parse_size(word).map(|n| n as u64);
        let seconds = of_class[3].parse::<u32>().ok();
        let (Some(hard), Some(soft), Some(seconds)) =
            (bytes(of_class[1]), bytes(of_class[2]), seconds)
        else {
            return Err(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.".into(),
            );
        };
        limits[class] = OutputLimit {
            hard,
            soft,
            soft_seconds: seconds.into(),
        };
    }
    Ok(Value::Limits(limits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: Kind, text: &str) -> Result<String, String> {
        kind.parse(&[text], None).map(|value| value.text())
    }

    #[test]
    fn memory_units_are_those_of_redis_conf() {
        let size = Kind::Size {
            min: 0,
            max: i64::MAX,
        };
        for (text, bytes) in [
            ("7", "7"),
            ("7b", "7"),
            ("1k", "1000"),
            ("1KB", "1024"),
            ("2mb", "2097152"),
        ] {
            assert_eq!(parse(size, text).as_deref(), Ok(bytes));
        }
        assert_eq!(parse(size, "1gb").unwrap(), (1u64 << 30).to_string());
        assert_eq!(parse(size, "3G").unwrap(), "3000000000");
        assert_eq!(parse(size, "").unwrap(), "0");
        assert_eq!(parse(size, "mb").unwrap(), "0");
        for bad in [
            "1mbb",
            "-1",
            "1.5mb",
            " 1",
            "99999999999999999999",
            "9223372036854775807kb",
        ] {
            assert_eq!(
                parse(size, bad).unwrap_err(),
                "argument must be a memory value",
                "{bad}"
            );
        }
    }

    #[test]
    fn integers_are_strict_and_bounded() {
        let port = Kind::Int { min: 0, max: 65535 };
        assert_eq!(parse(port, "6379").unwrap(), "6379");
        assert_eq!(
            parse(port, "70000").unwrap_err(),
            "argument must be between 0 and 65535 inclusive"
        );
        for bad in ["", "1.5", "+1", "01", "six"] {
            assert_eq!(
                parse(port, bad).unwrap_err(),
                "argument couldn't be parsed into an integer",
                "{bad}"
            );
        }
        let clients = Kind::Uint {
            min: 1,
            max: 4294967295,
        };
        assert_eq!(
            parse(clients, "-1").unwrap_err(),
            "argument must be greater or equal to 0"
        );
        assert_eq!(
            parse(clients, "0").unwrap_err(),
            "argument must be between 1 and 4294967295 inclusive"
        );
        assert_eq!(
            parse(Kind::PowerOfTwo { min: 1, max: 64 }, "48").unwrap_err(),
            "argument must be a power of two"
        );
        assert_eq!(parse(Kind::Octal, "700").unwrap(), "700");
        assert!(parse(Kind::Octal, "999").is_err() && parse(Kind::Octal, "1777").is_err());
    }

    #[test]
    fn names_match_in_any_case_and_print_as_declared() {
        assert_eq!(
            parse(Kind::Choice(&["notice", "warning"]), "NOTICE").unwrap(),
            "notice"
        );
        let error = parse(Kind::Choice(&["a", "b"]), "c").unwrap_err();
        assert_eq!(error, "argument(s) must be one of the following: a, b");
        assert_eq!(parse(Kind::Flag, "YES").unwrap(), "yes");
        assert_eq!(
            parse(Kind::Flag, "1").unwrap_err(),
            "argument must be 'yes' or 'no'"
        );
    }

    #[test]
    fn several_names_are_told_in_their_own_order() {
        let kind = Kind::Names(&["default", "save", "nosave", "now"]);
        let parse = |words: &[&str]| kind.parse(words, None).map(|value| value.text());
        assert_eq!(parse(&["NOW", "save"]).unwrap(), "save now");
        assert_eq!(parse(&["default", "now"]).unwrap(), "now");
        assert_eq!(parse(&["default"]).unwrap(), "default");
        for bad in [&["maybe"][..], &[], &[""], &["save", "x"]] {
            let error = parse(bad).unwrap_err();
            assert!(
                error.ends_with("following: default, save, nosave, now"),
                "{error}"
            );
        }
    }

    #[test]
    fn output_limits_change_only_the_classes_named() {
        let old = Kind::OutputLimits
            .parse(&["pubsub", "32mb", "8mb", "60"], None)
            .unwrap();
        let new = Kind::OutputLimits
            .parse(
                &["replica", "1mb", "2", "3", "normal", "4", "5", "6"],
                Some(&old),
            )
            .unwrap();
        assert_eq!(
            new.text(),
            "normal 4 5 6 slave 1048576 2 3 pubsub 33554432 8388608 60"
        );
        assert_eq!(Kind::OutputLimits.parse(&[""], Some(&old)), Ok(old));
        let error = |words: &[&str]| Kind::OutputLimits.parse(words, None).unwrap_err();
        assert!(error(&["normal", "1"]).starts_with("Wrong number"));
        assert!(error(&["master", "1", "2", "3"]).starts_with("Invalid client class"));
        assert!(error(&["normal", "a", "2", "3"]).starts_with("Error in hard"));
    }

    #[test]
    fn snapshot_points_come_in_pairs() {
        assert_eq!(parse(Kind::Save, "").unwrap(), "");
        assert!(Kind::Save.parse(&["60", "1", "70"], None).is_err());
        assert!(Kind::Save.parse(&["a", "b"], None).is_err());
        assert_eq!(Kind::Save.parse(&[], None).unwrap().text(), "");
        assert_eq!(Kind::Save.parse(&["60", "1"], None).unwrap().text(), "60 1");
    }
}
