//! Which clients CLIENT LIST and CLIENT KILL mean.
//!
//! A filter is a list of conditions that must all hold, each possibly negated by `NOT-` before its name.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::client::clients::{Client, Kind};
use crate::context::ctx::Ctx;
use crate::context::describe::{capa, flags};
use resp::number::parse_i64;
use std::collections::HashSet;
use std::mem::discriminant;
use std::sync::atomic::Ordering::Relaxed;

/// The letters that CLIENT LIST has for flags, those of features that do not exist yet included.
const FLAGS: &str = "bcdeirtuxABEIMNOPRSTU";

/// Which command the filter is for: they differ in what they answer to bad ids and in what SKIPME is by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    List,
    Kill,
}

#[derive(Debug)]
enum Condition {
    Id(HashSet<i64>),
    /// Normal clients, replicas, subscribers or, if none of these, the primary.
    Class(Option<usize>),
    User(String),
    Addr(String),
    Laddr(String),
    Ip(String),
    Name(String),
    LibName(String),
    LibVersion(String),
    Flags(String),
    Capa(String),
    Db(usize),
    MaxAge(u64),
    Idle(u64),
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Filter {
    /// (negated, condition)
    conditions: Vec<(bool, Condition)>,
    skip_me: bool,
}

impl Filter {
    /// The filter of the old form of CLIENT KILL: everybody from one address.
    pub fn address(addr: &[u8]) -> Filter {
        Filter {
            conditions: vec![(false, Condition::Addr(text(addr)))],
            skip_me: false,
        }
    }

    /// Reads all arguments that are left.
    pub fn parse(args: &mut Args<'_>, ctx: &Ctx<'_>, of: Use) -> Result<Filter> {
        let mut filter = Filter {
            conditions: Vec::new(),
            skip_me: of == Use::Kill,
        };
        while args.left() > 0 {
            let word = text(args.take()).to_ascii_uppercase();
            if args.left() == 0 {
                return Err(Error::SYNTAX);
            }
            if word == "SKIPME" {
                filter.skip_me = args.keyword("YES");
                if !filter.skip_me && !args.keyword("NO") {
                    return Err(Error::SYNTAX);
                }
                continue;
            }
            let (negated, name) = match word.strip_prefix("NOT-") {
                Some(name) => (true, name),
                None => (false, &word[..]),
            };
            let condition = match name {
                "ID" => ids(args, of, negated)?,
                "TYPE" => class(args)?,
                "USER" => user(args, ctx)?,
                "ADDR" => Condition::Addr(text(args.take())),
                "LADDR" => Condition::Laddr(text(args.take())),
                "IP" => Condition::Ip(text(args.take())),
                "NAME" => Condition::Name(text(args.take())),
                "LIB-NAME" => Condition::LibName(text(args.take())),
                "LIB-VER" => Condition::LibVersion(text(args.take())),
                "FLAGS" => Condition::Flags(letters(args, "flags", FLAGS)?),
                "CAPA" => Condition::Capa(letters(args, "capa", "r")?),
                "DB" => db(args, &word, ctx)?,
                "MAXAGE" if !negated => Condition::MaxAge(seconds(args, "maxage")?),
                "IDLE" if !negated => Condition::Idle(seconds(args, "idle")?),
                _ => return Err(Error::SYNTAX),
            };
            // The last of several counts.
            let kind = discriminant(&condition);
            filter
                .conditions
                .retain(|(n, c)| (*n, discriminant(c)) != (negated, kind));
            filter.conditions.push((negated, condition));
        }
        Ok(filter)
    }

    /// Whether a client is meant.
    pub(crate) fn accepts(&self, client: &Client, ctx: &Ctx<'_>) -> bool {
        if self.skip_me && client.id == ctx.session.client.id {
            return false;
        }
        self.conditions
            .iter()
            .all(|(negated, condition)| condition.holds(client, ctx) != *negated)
    }
}

impl Condition {
    fn holds(&self, client: &Client, ctx: &Ctx<'_>) -> bool {
        let now_s = ctx.keys.now_ms / 1000;
        match self {
            Condition::Id(ids) => ids.contains(&(client.id as i64)),
            Condition::Class(None) => client.kind == Kind::Primary,
            Condition::Class(class) => {
                client.kind != Kind::Primary && *class == Some(client.class())
            }
            Condition::User(user) => client.words.lock().user == *user,
            Condition::Addr(addr) => client.addr == *addr,
            Condition::Laddr(laddr) => client.laddr == *laddr,
            Condition::Ip(ip) => client.ip() == ip,
            Condition::Name(name) => !name.is_empty() && client.words.lock().name == *name,
            Condition::LibName(name) => !name.is_empty() && client.words.lock().lib_name == *name,
            Condition::LibVersion(v) => !v.is_empty() && client.words.lock().lib_version == *v,
            Condition::Flags(wanted) => {
                let shown = flags(client);
                wanted.chars().all(|letter| shown.contains(letter))
            }
            Condition::Capa(wanted) => wanted.chars().all(|letter| capa(client).contains(letter)),
            Condition::Db(db) => client.db.load(Relaxed) == *db,
            Condition::MaxAge(seconds) => now_s.saturating_sub(client.since_s) >= *seconds,
            Condition::Idle(seconds) => {
                let idle = if client.id == ctx.session.client.id {
                    0
                } else {
                    client.idle_s(now_s)
                };
                idle >= *seconds
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a word begins another condition.
fn is_filter_word(word: &[u8]) -> bool {
    let word = word.to_ascii_uppercase();
    let name = word.strip_prefix(b"NOT-").unwrap_or(&word);
    [
        "ID", "TYPE", "USER", "ADDR", "LADDR", "IP", "NAME", "LIB-NAME", "LIB-VER", "FLAGS",
        "CAPA", "DB", "MAXAGE", "IDLE", "SKIPME",
    ]
    .iter()
    .any(|known| known.as_bytes() == name)
}

/// One id or more: as many numbers as follow.
fn ids(args: &mut Args<'_>, of: Use, negated: bool) -> Result<Condition> {
    let not_positive = || Error::new("ERR client-id should be greater than 0");
    // CLIENT LIST ID has always answered nothing to ids that nobody has, and taken nothing but ids.
    let old_form = of == Use::List && args.index() == 3 && !negated;
    let mut ids = HashSet::new();
    while let Some(id) = args.peek().and_then(parse_i64) {
        if id <= 0 && !old_form {
            return Err(not_positive());
        }
        ids.insert(id);
        args.take();
    }
    if old_form && args.peek().is_some_and(|next| !is_filter_word(next)) {
        return Err(Error::new("ERR Invalid client ID"));
    }
    match (ids.is_empty(), of) {
        (false, _) => Ok(Condition::Id(ids)),
        (true, _) if negated => Err(Error::SYNTAX),
        (true, Use::List) => Err(Error::new("ERR Invalid client ID")),
        (true, Use::Kill) => Err(not_positive()),
    }
}

fn class(args: &mut Args<'_>) -> Result<Condition> {
    let name = args.take();
    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    if is("normal") {
        return Ok(Condition::Class(Some(0)));
    }
    if is("pubsub") {
        return Ok(Condition::Class(Some(2)));
    }
    if is("slave") || is("replica") {
        return Ok(Condition::Class(Some(1)));
    }
    if is("master") || is("primary") {
        return Ok(Condition::Class(None));
    }
    Err(Error::quoting("ERR Unknown client type '{}'", &[name]))
}

fn user(args: &mut Args<'_>, ctx: &Ctx<'_>) -> Result<Condition> {
    let name = args.take();
    let user = text(name);
    if !ctx.engine.has_user(name) {
        return Err(Error::new(format!("ERR No such user '{user}'")));
    }
    Ok(Condition::User(user))
}

fn letters(args: &mut Args<'_>, what: &str, known: &str) -> Result<String> {
    let wanted = text(args.take());
    if !wanted.chars().all(|letter| known.contains(letter)) {
        return Err(Error::new(format!(
            "ERR Unknown {what} found in the provided filter: {wanted}"
        )));
    }
    Ok(wanted)
}

fn db(args: &mut Args<'_>, word: &str, ctx: &Ctx<'_>) -> Result<Condition> {
    let databases = ctx.engine.keyspace().databases();
    let db = parse_i64(args.take())
        .ok_or_else(|| Error::new(format!("ERR {word} is not an integer or out of range")))?;
    match usize::try_from(db) {
        Ok(db) if db < databases => Ok(Condition::Db(db)),
        _ => Err(Error::new(format!(
            "ERR {word} number should be between 0 and {}",
            databases - 1
        ))),
    }
}

fn seconds(args: &mut Args<'_>, what: &str) -> Result<u64> {
    let n = parse_i64(args.take())
        .ok_or_else(|| Error::new(format!("ERR {what} is not an integer or out of range")))?;
    if n <= 0 {
        return Err(Error::new(format!("ERR {what} should be greater than 0")));
    }
    Ok(n as u64)
}
