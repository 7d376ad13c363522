//! Keeping the data of a program: where, how durable, and what there is to do about it.

use crate::config::Config;
use crate::db::Db;
use crate::durability::Durability;
use crate::error::{Error, Result};
use crate::kept::Kept;
use engine::{Engine, Persistence};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How far loading is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadProgress {
    /// Bytes of the files that were read.
    pub loaded_bytes: u64,
    /// Bytes that the files have.
    pub total_bytes: u64,
}

impl LoadProgress {
    fn of_engine(progress: engine::LoadProgress) -> LoadProgress {
        LoadProgress {
            loaded_bytes: progress.loaded_bytes,
            total_bytes: progress.total_bytes,
        }
    }
}

/// A data set that is kept in a folder: a log of changes, which [`Db::open`] reads back.
///
/// The folder is made if there is none, belongs to one process at a time, and can be moved to and from a server: it is that of
/// Redis's multi-part log.
///
/// ```
/// use redpoll::{Db, Durability, Files};
/// # let folder = std::env::temp_dir().join(format!("redpoll-doc-{}", std::process::id()));
/// let files = Files::at(&folder)
///     .durability(Durability::Always)
///     .on_load(|p| eprintln!("{} of {} bytes", p.loaded_bytes, p.total_bytes));
/// let db = Db::open(files)?;
/// db.set("k", "v")?;
/// drop(db);
/// assert_eq!(Db::open(&*folder)?.get("k")?.unwrap(), "v");
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), redpoll::Error>(())
/// ```
#[must_use]
pub struct Files {
    config: engine::Config,
    #[cfg_attr(not(feature = "files"), expect(dead_code))]
    folder: PathBuf,
    on_load: Option<engine::OnLoad>,
    wrong: Option<String>,
}

impl Files {
    /// Kept in this folder, every second ([`Durability::EverySecond`]), with no snapshots but those that are asked for.
    pub fn at(folder: impl AsRef<Path>) -> Files {
        let mut config = engine::Config::default();
        let set = config
            .directive("save", &[""])
            .and_then(|()| config.directive("appendonly", &["yes"]));
        Files {
            config,
            folder: folder.as_ref().to_owned(),
            on_load: None,
            wrong: set.err(),
        }
    }

    /// As a configuration says: `appendonly`, `appendfsync`, `save`, `dbfilename`, `appenddirname` and so on. The folder is that
    /// of [`Files::at`], whatever `dir` is.
    pub fn config(mut self, config: Config) -> Files {
        match config.into_engine() {
            Ok(config) => self.config = config,
            Err(why) => self.wrong = Some(without_code(&why)),
        }
        self
    }

    /// With a log, and changes on the disk at this time.
    pub fn durability(mut self, durability: Durability) -> Files {
        let set = self
            .config
            .directive("appendonly", &["yes"])
            .and_then(|()| {
                self.config
                    .directive("appendfsync", &[durability.appendfsync()])
            });
        self.wrong = self.wrong.or(set.err());
        self
    }

    /// Told how far loading is, at least once a megabyte. It holds loading up.
    pub fn on_load(mut self, watcher: impl Fn(LoadProgress) + Send + Sync + 'static) -> Files {
        self.on_load = Some(Box::new(move |progress| {
            watcher(LoadProgress::of_engine(progress))
        }));
        self
    }
}

/// What [`Db::open`] opens: a [`Config`] is a data set in memory, unless it says `appendonly yes`, which is one kept in its
/// `dir`; a path or [`Files`] is one kept in that folder.
pub struct Open(Kind);

enum Kind {
    Wrong(Error),
    Memory(engine::Config),
    Kept(Files),
}

impl From<Config> for Open {
    fn from(config: Config) -> Open {
        match config.into_engine() {
            Err(why) => Open(Kind::Wrong(why)),
            Ok(config) if config.flag("appendonly") => Files::at(config.dir())
                .config(Config::of_engine(config))
                .into(),
            Ok(config) => Open(Kind::Memory(config)),
        }
    }
}

impl From<Files> for Open {
    fn from(files: Files) -> Open {
        Open(Kind::Kept(files))
    }
}

macro_rules! paths {
    ($($path:ty),*) => {
        $(
            impl From<$path> for Open {
                fn from(folder: $path) -> Open {
                    Files::at(folder).into()
                }
            }
        )*
    };
}

paths!(&str, String, &String, &Path, PathBuf, &PathBuf);

/// The text of an error without its code, which [`failed`] puts there again.
fn without_code(why: &Error) -> String {
    let text = why.to_string();
    text.strip_prefix("ERR ").unwrap_or(&text).to_owned()
}

fn failed(why: String) -> Error {
    Error::new(format!("ERR {why}"))
}

pub(crate) fn new_engine(config: engine::Config) -> Result<Arc<Engine>> {
    let engine = Engine::new(config, Arc::new(engine::NoHost));
    engine.load_users().map_err(failed)?;
    Ok(engine)
}

impl Open {
    /// The engine, loaded, and what keeps it.
    pub(crate) fn open(self) -> Result<(Arc<Engine>, Option<Kept>)> {
        match self.0 {
            Kind::Wrong(why) => Err(why),
            Kind::Memory(config) => Ok((new_engine(config)?, None)),
            Kind::Kept(files) => {
                let (engine, kept) = files.open()?;
                Ok((engine, Some(kept)))
            }
        }
    }
}

impl Files {
    #[cfg(not(feature = "files"))]
    fn open(self) -> Result<(Arc<Engine>, Kept)> {
        let _ = (self.on_load, self.wrong);
        Err(failed(
            "the library was built without its feature `files`".into(),
        ))
    }

    #[cfg(feature = "files")]
    fn open(mut self) -> Result<(Arc<Engine>, Kept)> {
        if let Some(why) = self.wrong {
            return Err(failed(why));
        }
        let folder = self.folder.to_string_lossy().into_owned();
        self.config.directive("dir", &[&folder]).map_err(failed)?;
        let engine = new_engine(self.config)?;
        if let Some(watcher) = self.on_load {
            engine.loading.watch(watcher);
        }
        let keeper = keeper::Keeper::open_in(&engine, &self.folder).map_err(failed)?;
        let kept = Kept {
            keeper,
            #[cfg(feature = "replication")]
            hub: None,
        };
        Ok((engine, kept))
    }
}

impl Db {
    /// Opens a data set with a thread of its own that removes expired keys; the result is database 0. A path, or
    /// [`Files`], opens what is kept in a folder, and keeps it there; a [`Config`] an empty data set in memory. Of
    /// the configuration, what concerns sockets has no effect, and what concerns files only with `appendonly yes` or in
    /// [`Files::config`].
    ///
    /// # Errors
    /// The folder is used by another process, a file in it is damaged or newer than what is understood, or the disk fails.
    ///
    /// ```
    /// use redpoll::{Config, Db};
    /// let db = Db::open(Config::new().databases(4))?;
    /// assert!(db.select(3).is_ok() && db.select(4).is_err());
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn open(what: impl Into<Open>) -> Result<Db> {
        let (engine, kept) = what.into().open()?;
        let maintenance = engine.start_maintenance();
        Ok(Db::of(engine, Some(maintenance), kept))
    }

    /// A handle whose changes are as durable as this, whatever the log does by itself: with [`Durability::Always`] a call
    /// returns once its change is on the disk, with the others at once. It does not make a log sync less often.
    ///
    /// ```
    /// # use redpoll::{Db, Durability};
    /// # let folder = std::env::temp_dir().join(format!("redpoll-doc-with-{}", std::process::id()));
    /// let db = Db::open(&*folder)?;
    /// db.incr("visits")?;
    /// db.with_durability(Durability::Always).incr("orders")?;
    /// # drop(db);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn with_durability(&self, durability: Durability) -> Db {
        let mut db = self.clone();
        db.way.asked = Some(durability);
        db
    }

    /// Returns once all that was changed before is on the disk, whatever the log does by itself.
    ///
    /// # Errors
    /// There is no log, or the disk fails.
    pub fn sync(&self) -> Result {
        self.keeper()?.sync(0).map_err(failed)
    }

    /// Writes a snapshot of this moment to `dbfilename` and returns when it is on the disk (SAVE). Others go on meanwhile.
    ///
    /// # Errors
    /// The data set is not kept in files, another save is running, or the disk fails.
    pub fn save(&self) -> Result {
        self.keeper()?.save().map_err(failed)
    }

    /// Writes the log anew, as short as it can be, and returns when that is done (BGREWRITEAOF). Others go on meanwhile.
    ///
    /// # Errors
    /// There is no log, or the disk fails; the old log stays then.
    pub fn rewrite(&self) -> Result {
        self.keeper()?.rewrite_now().map_err(failed)
    }

    fn keeper(&self) -> Result<&dyn Persistence> {
        match self.engine().persistence() {
            Some(keeper) => Ok(&**keeper),
            None => Err(failed("this database is not kept in files".into())),
        }
    }
}
