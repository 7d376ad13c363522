//! Settings of a data set.

use crate::error::{Error, Result};
use std::time::Duration;

/// The settings that a data set is opened with: those of the server, of which the ones about sockets have no effect. The important ones
/// have methods of their own; any other is set by its [directive](Config::directive).
///
/// ```
/// use redpoll::{Config, Db};
/// use std::time::Duration;
/// let config = Config::new()
///     .databases(4)
///     .longest_value(1 << 20)
///     .busy_after(Duration::from_secs(1))
///     .notify_keyspace_events("KEA");
/// let db = Db::open(config)?;
/// assert!(db.select(3).is_ok() && db.select(4).is_err());
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Config {
    inner: engine::Config,
    /// The first setting that cannot be.
    wrong: Option<Error>,
}

impl Config {
    /// All settings at their defaults.
    pub fn new() -> Config {
        Config::default()
    }

    /// How many numbered databases there are (`databases`): 16 if not said otherwise.
    pub fn databases(self, number: usize) -> Config {
        self.with("databases", &[&number.to_string()])
    }

    /// Into how many shards, each behind a lock, keys are spread (`shards`).
    pub fn shards(self, number: usize) -> Config {
        self.with("shards", &[&number.to_string()])
    }

    /// How many bytes a string may have (`proto-max-bulk-len`): 512 MB if not said otherwise.
    pub fn longest_value(self, bytes: usize) -> Config {
        self.with("proto-max-bulk-len", &[&bytes.to_string()])
    }

    /// For how long a script may run before those who wait for it are told
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) (`busy-reply-threshold`): 5 seconds if not said otherwise.
    pub fn busy_after(self, time: Duration) -> Config {
        self.with("busy-reply-threshold", &[&time.as_millis().to_string()])
    }

    /// How many bytes of messages may wait for a [`Subscriber`](crate::Subscriber) before it is cut off (the class `pubsub` of
    /// `client-output-buffer-limit`); 0 is no bound.
    pub fn subscriber_backlog(self, bytes: usize) -> Config {
        let limit = bytes.to_string();
        self.with("client-output-buffer-limit", &["pubsub", &limit, "0", "0"])
    }

    /// Which changes of keys are announced to subscribers, in the letters of `notify-keyspace-events`: none if not said otherwise.
    pub fn notify_keyspace_events(self, letters: &str) -> Config {
        self.with("notify-keyspace-events", &[letters])
    }

    fn with(mut self, name: &str, words: &[&str]) -> Config {
        if let Err(error) = self.directive(name, words) {
            self.wrong.get_or_insert(error);
        }
        self
    }

    /// Sets a directive, as a line of redis.conf does.
    pub fn directive(&mut self, name: &str, words: &[&str]) -> Result {
        let set = self.inner.directive(name, words);
        set.map_err(|why| Error::new(format!("ERR {name}: {why}")))
    }

    pub(crate) fn of_engine(inner: engine::Config) -> Config {
        Config { inner, wrong: None }
    }

    /// For the engine, unless one of the settings cannot be.
    pub(crate) fn into_engine(self) -> Result<engine::Config> {
        match self.wrong {
            Some(error) => Err(error),
            None => Ok(self.inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Db;

    #[test]
    fn settings_arrive_and_wrong_ones_are_errors() {
        let config = Config::new()
            .databases(3)
            .longest_value(1 << 20)
            .subscriber_backlog(0);
        let db = Db::open(config).expect("a database");
        assert!(db.select(2).is_ok() && db.select(3).is_err());
        assert!(db.set("k", vec![0; (1 << 20) + 1]).is_err());
        let wrong = Config::new().databases(0).shards(8);
        let error = Db::open(wrong).expect_err("no database at all");
        assert!(error.to_string().contains("databases"), "{error}");
        assert!(Config::new().directive("nosuch", &["1"]).is_err());
    }
}
