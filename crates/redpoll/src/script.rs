//! Scripts: Lua that runs where the data are.

use crate::bytes::Payload;
use crate::call::Decode;
use crate::db::Db;
use crate::error::{ErrorKind, Result};
use crate::value::Value;

/// A script, to be run as often as one likes. It is compiled when it runs for the first time, and called by its digest from
/// then on (EVALSHA); a data set that does not know it, because it never ran there or after SCRIPT FLUSH, is sent it again.
///
/// A script runs at one moment, like an [update](Db::update). See EVAL for what it can do.
///
/// ```
/// # use redpoll::{Config, Db, Script};
/// # let db = Db::open(Config::default())?;
/// let add_up_to = Script::new(
///     "local n = tonumber(redis.call('GET', KEYS[1]) or 0) + ARGV[1]
///      if n > tonumber(ARGV[2]) then return false end
///      redis.call('SET', KEYS[1], n)
///      return n",
/// );
/// let mut add = |n: i64| add_up_to.key("stock").arg(n).arg(10).run::<Option<i64>>(&db);
/// assert_eq!(add(7)?, Some(7));
/// assert_eq!(add(7)?, None);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Script {
    source: String,
    digest: String,
}

impl Script {
    /// A script of this source.
    pub fn new(source: impl Into<String>) -> Script {
        let source = source.into();
        let digest = engine::sha1_hex(source.as_bytes());
        let digest = String::from_utf8_lossy(&digest).into_owned();
        Script { source, digest }
    }

    /// The SHA-1 of its source, which EVALSHA takes.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Begins a call.
    pub fn call(&self) -> ScriptCall<'_> {
        ScriptCall {
            script: self,
            keys: Vec::new(),
            args: Vec::new(),
        }
    }

    /// Begins a call with a key: `KEYS[1]`.
    pub fn key(&self, key: impl AsRef<[u8]>) -> ScriptCall<'_> {
        self.call().key(key)
    }

    /// Begins a call without keys, with an argument: `ARGV[1]`.
    pub fn arg<'v>(&self, arg: impl Into<Payload<'v>>) -> ScriptCall<'_> {
        self.call().arg(arg)
    }

    /// Runs it without keys and arguments.
    pub fn run<T: Decode>(&self, db: &Db) -> Result<T> {
        self.call().run(db)
    }
}

/// A call of a [`Script`], while it is put together.
#[derive(Clone, Debug)]
#[must_use]
pub struct ScriptCall<'s> {
    script: &'s Script,
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
}

impl ScriptCall<'_> {
    /// The next of its keys.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.keys.push(key.as_ref().to_vec());
        self
    }

    /// The next of its arguments.
    pub fn arg<'v>(mut self, arg: impl Into<Payload<'v>>) -> Self {
        self.args.push(arg.into().with_bytes(<[u8]>::to_vec));
        self
    }

    /// Runs the script. What it returns is turned into `T`; Lua's `false` and `nil` are null, `true` is 1, and numbers are whole.
    ///
    /// # Errors
    /// That of the script, or [`ErrorKind::Decode`] if it returns something else than a `T`.
    pub fn run<T: Decode>(&self, db: &Db) -> Result<T> {
        let by_digest = self.send(db, "EVALSHA", &self.script.digest);
        let reply = match by_digest {
            Err(e) if e.kind() == ErrorKind::NoScript => {
                self.send(db, "EVAL", &self.script.source)?
            }
            reply => reply?,
        };
        T::decode(reply)
    }

    fn send(&self, db: &Db, command: &'static str, script: &str) -> Result<Value> {
        let call = db.command(command).arg(script);
        call.counted(&self.keys).all(&self.args).run()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Value};

    #[test]
    fn a_script_is_sent_once_and_after_it_was_forgotten() {
        let db = Db::open(Config::default()).expect("a database");
        let script = Script::new("return {KEYS[1], ARGV[1] + 1}");
        let stats = |name: &str| {
            let Ok(Value::Verbatim(_, text)) = db.execute(["INFO", "commandstats"]) else {
                panic!("no statistics")
            };
            let text = String::from_utf8_lossy(&text).into_owned();
            let line = text
                .lines()
                .find(|l| l.starts_with(&format!("cmdstat_{name}:")));
            line.and_then(|l| l.split(['=', ',']).nth(1)?.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let run = || script.key("k").arg(41).run::<(String, i64)>(&db);
        assert_eq!(run(), Ok(("k".to_owned(), 42)));
        assert_eq!(run(), Ok(("k".to_owned(), 42)));
        assert_eq!((stats("eval"), stats("evalsha")), (1, 2));
        db.execute(["SCRIPT", "FLUSH"]).expect("no error");
        assert_eq!(run(), Ok(("k".to_owned(), 42)));
        assert_eq!((stats("eval"), stats("evalsha")), (2, 3));
        assert_eq!(
            script.key("k").arg(1).run::<i64>(&db).map_err(|e| e.kind()),
            Err(ErrorKind::Decode)
        );
        let failing = Script::new("return redis.call('INCR', KEYS[1])");
        db.set("text", "x").expect("no error");
        let error = failing.key("text").run::<i64>(&db).expect_err("no number");
        assert!(error.to_string().contains("not an integer"), "{error}");
        let stopped = Script::new("error('no')")
            .run::<i64>(&db)
            .expect_err("it fails");
        assert_eq!(stopped.kind(), ErrorKind::Script, "{stopped}");
    }
}
