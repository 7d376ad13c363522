//! A data set that follows a server: a local copy, always fresh, read at memory speed.

use crate::db::Db;
use crate::error::{Error, Result};
use crate::files::new_engine;
use crate::kept::Kept;
use crate::updating::check_not_updating;
use replication::Hub;
use std::sync::Arc;
use std::time::Duration;

fn failed(why: impl std::fmt::Display) -> Error {
    Error::new(format!("ERR {why}"))
}

/// What a URL says.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    host: String,
    port: u16,
    user: String,
    password: String,
    db: usize,
}

/// Reads `redis://[[user]:password@]host[:port][/db]`.
fn parse(url: &str) -> std::result::Result<Source, String> {
    let wrong = || format!("'{url}' is not of the form redis://[[user]:password@]host[:port][/db]");
    if url.starts_with("rediss://") {
        return Err("TLS to the primary is not spoken by the library".into());
    }
    let rest = url.strip_prefix("redis://").ok_or_else(wrong)?;
    let (access, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (user, password) = access.split_once(':').unwrap_or(("", access));
    let (place, db) = place.split_once('/').unwrap_or((place, ""));
    let db = match db {
        "" => 0,
        db => db.parse().map_err(|_| wrong())?,
    };
    let (host, port) = match place.rsplit_once(':') {
        // An IPv6 address in brackets may stand alone.
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (place, 6379),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok(Source {
        host: host.to_owned(),
        port,
        user: user.to_owned(),
        password: password.to_owned(),
        db,
    })
}

impl Db {
    /// A copy of a server's data set, in memory, that follows whatever changes there: Redis, Valkey or Redpoll. Reads are calls of this
    /// program, without network and in most cases without a lock; changes are refused ([`ErrorKind::ReadOnly`](crate::ErrorKind)) until
    /// [`Db::promote`].
    ///
    /// The URL is `redis://[[user]:password@]host[:port][/db]`. Returns at once; calls see an empty data set until the first copy is
    /// there ([`Db::wait_for_link`]). A link that breaks is made anew, and then only what was missed comes; if a whole copy has to
    /// come again, the old data are seen until it is there, and the new ones from one moment to the next: no call waits for it or fails
    /// because of it.
    ///
    /// ```no_run
    /// # use redpoll::Db;
    /// # use std::time::Duration;
    /// let db = Db::replicate("redis://127.0.0.1:6379")?;
    /// assert!(db.wait_for_link(Duration::from_secs(10))?);
    /// println!("{:?}", db.get("greeting")?);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    ///
    /// # Errors
    /// The URL is none, or there are no threads to be had. That the server cannot be reached is none: it is tried until it can.
    pub fn replicate(url: &str) -> Result<Db> {
        let source = parse(url).map_err(failed)?;
        let mut config = engine::Config::default();
        for (name, words) in [
            ("save", &[""][..]),
            ("appendonly", &["no"]),
            // Nobody can connect here.
            ("port", &["0"]),
            // Whoever reads never sees less than it saw before, and no file is needed.
            ("repl-diskless-load", &["swapdb"]),
            ("masteruser", &[source.user.as_str()]),
            ("masterauth", &[source.password.as_str()]),
        ] {
            config.directive(name, words).map_err(failed)?;
        }
        let engine = new_engine(config)?;
        if source.db >= engine.keyspace().databases() {
            return Err(Error::of_engine(engine::Error::DB_INDEX));
        }
        let keeper = keeper::Keeper::in_memory(&engine).map_err(failed)?;
        let hub = Hub::start(&engine, &keeper).map_err(failed)?;
        hub.loaded();
        hub.follow(&source.host, source.port).map_err(failed)?;
        let kept = Kept {
            keeper,
            hub: Some(hub),
        };
        let maintenance = engine.start_maintenance();
        Db::of(engine, Some(maintenance), Some(kept)).select(source.db)
    }

    fn hub(&self) -> Result<&Arc<Hub>> {
        check_not_updating()?;
        let kept = self.way.shared.kept.as_ref();
        let hub = kept.and_then(|kept| kept.hub.as_ref());
        hub.ok_or_else(|| failed("this database follows no server"))
    }

    /// Waits until a data set that follows a server ([`Db::replicate`]) has its copy and a link, for this long at most; whether it has.
    /// After [`Db::promote`] it has none.
    ///
    /// # Errors
    /// It has never followed anybody.
    pub fn wait_for_link(&self, time: Duration) -> Result<bool> {
        let link = self.hub()?.link();
        Ok(link.is_some_and(|link| link.wait_until_up(time)))
    }

    /// Why there is no link to the server that this data set follows; None if there is one, or none was tried yet.
    ///
    /// # Errors
    /// It has never followed anybody.
    pub fn link_error(&self) -> Result<Option<String>> {
        let error = self.hub()?.link().map(|link| link.error());
        Ok(error.filter(|error| !error.is_empty()))
    }

    /// Ends the following: the data set is this program's own, and can be changed. As it is at this moment, whether or not all of the
    /// server's changes have come.
    ///
    /// # Errors
    /// It follows nobody.
    pub fn promote(&self) -> Result {
        self.hub()?.lead().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let source = parse("redis://u:p@h:7000/3").unwrap();
        let (user, password) = ("u".to_owned(), "p".to_owned());
        let expected = Source {
            host: "h".into(),
            port: 7000,
            user,
            password,
            db: 3,
        };
        assert_eq!(source, expected);
        assert_eq!(parse("redis://[::1]").unwrap().port, 6379);
        for bad in [
            "h",
            "http://h",
            "redis://",
            "redis://h:x",
            "redis://h/x",
            "rediss://h",
        ] {
            assert!(Db::replicate(bad).is_err(), "{bad}");
        }
        assert!(Db::replicate("redis://127.0.0.1:1/99").is_err());
    }
}
