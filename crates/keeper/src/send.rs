//! What replicas get: the pieces of the journal, and copies of the data set that they go on from.

use crate::Keeper;
use crate::load::StreamPlace;
use crate::save::Busy;
use crate::snapshot::{Failed, Snapshot};
use engine::Engine;
use rdb::encode::Options;
use rdb::file::Writer;
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

/// Where a stream of changes is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAt {
    /// Its name.
    pub id: String,
    /// Its bytes so far.
    pub offset: u64,
    /// The database that it is in.
    pub db: u64,
}

impl StreamAt {
    /// The fields of a file that say so.
    pub(crate) fn aux(&self) -> [(&'static str, String); 3] {
        [
            ("repl-stream-db", self.db.to_string()),
            ("repl-id", self.id.clone()),
            ("repl-offset", self.offset.to_string()),
        ]
    }
}

/// Who is given the pieces of the journal too, beside the log.
pub trait Feed: Send + Sync {
    /// Where the stream is that the pieces become part of, so that it can be saved with the data set; None: it is not counted.
    /// Right behind the pieces that were given.
    fn stream_at(&self) -> Option<StreamAt>;

    /// The data set is loaded, and nobody has changed it yet.
    fn loaded(&self);

    /// Calls `work` while nothing of a primary's stream is half carried out.
    fn between_units(&self, work: &mut dyn FnMut());

    /// A piece, as the log has it; they come in order. It holds up those who write, so it is to be quick.
    fn piece(&self, number: u64, bytes: &[u8]);
}

/// What a copy of the data set is to have in it.
#[derive(Clone, Debug)]
pub struct Contents {
    /// How values are written.
    pub options: Options,
    /// Libraries of functions.
    pub functions: bool,
    /// Keys.
    pub keys: bool,
}

impl Keeper {
    /// From now on this is given the pieces of the journal too, whenever it [wants to](Keeper::want_pieces). It is not kept
    /// alive by that.
    pub fn feed_to(&self, feed: Weak<dyn Feed>) {
        *self.feed.write() = Some(feed);
    }

    /// Tells the feed that the data set is loaded.
    pub(crate) fn tell_loaded(&self) {
        if let Some(feed) = self.any_feed() {
            feed.loaded();
        }
    }

    fn any_feed(&self) -> Option<Arc<dyn Feed>> {
        self.feed.read().as_ref().and_then(Weak::upgrade)
    }

    pub(crate) fn feed(&self) -> Option<Arc<dyn Feed>> {
        if !self.fed.load(Relaxed) {
            return None;
        }
        self.any_feed()
    }

    /// Begins to give pieces to the feed, or ends that: what was done before is given before, or not at all. `at` is called at
    /// that very moment, with all locks held.
    pub fn want_pieces<R>(&self, want: bool, at: impl FnOnce() -> R) -> Result<R, String> {
        let engine = self.engine()?;
        let _all = engine.keyspace().lock_all();
        Ok(self.turn_feed(&engine, want, at))
    }

    /// With all locks held.
    fn turn_feed<R>(&self, engine: &Engine, want: bool, at: impl FnOnce() -> R) -> R {
        let mut pump = self.pump.lock();
        self.pump(engine, &mut pump, true);
        pump.begin_anew();
        self.fed.store(want, Relaxed);
        engine.journal.turn(want || self.log().is_some());
        at()
    }

    /// Gives out what is in the journal now, so that the feed has all that was done before.
    pub fn give_pieces(&self) {
        self.pump_all();
    }

    /// Whether a copy of the data set may be written now: nothing else is being written. It is to be written then with
    /// [`Keeper::send_copy`].
    pub fn begin_copy(&self) -> bool {
        self.claim(Busy::Send).is_ok()
    }

    /// Writes a copy of the data set as it is at one moment, and has the journal's pieces given to the feed from that moment on. `at`
    /// is called at the moment, with all locks held; what it returns is given to `into`, which says where the copy goes. After
    /// [`Keeper::begin_copy`]. `Ok(None)`: the data set was replaced meanwhile, or something else is more urgent, and what was
    /// written is worth nothing.
    ///
    /// # Errors
    /// One line.
    pub fn send_copy<R, W: Write>(
        &self,
        contents: &Contents,
        at: impl FnOnce() -> R,
        into: impl FnOnce(R) -> Result<W, String>,
    ) -> Result<Option<W>, String> {
        let written = self.engine().and_then(|engine| {
            let (mut snapshot, (result, stream)) =
                Snapshot::take(&engine, contents.options, |shared| {
                    self.note_running(shared.clone());
                    let result = self.turn_feed(&engine, true, at);
                    (result, self.stream_at())
                });
            if !contents.functions {
                snapshot.leave_out_functions();
            }
            let shared = snapshot.shared().clone();
            let sink = match into(result) {
                Ok(sink) => sink,
                Err(why) => {
                    snapshot.give_up(&engine);
                    return Err(why);
                }
            };
            if !contents.keys {
                snapshot.leave_out_keys(&engine);
            }
            let mut aux = crate::save::usual_aux(&engine);
            aux.extend(stream.iter().flat_map(StreamAt::aux));
            let checksum = engine.config().flag("rdbchecksum");
            let out = Writer::new(sink, contents.options.version, checksum);
            let written = snapshot.write(&engine, out, &aux);
            self.stats.lock().snapshot = Some(shared);
            match written {
                Ok(sink) => Ok(Some(sink)),
                Err(Failed::Aborted) => Ok(None),
                Err(Failed::Io(e)) => Err(e.to_string()),
            }
        });
        self.note_end();
        written
    }

    /// No copy is going to be written after [`Keeper::begin_copy`].
    pub fn give_copy_up(&self) {
        self.note_end();
    }

    /// Where the stream is, for a file. With all locks held, and nothing in the journal.
    pub(crate) fn stream_at(&self) -> Option<StreamAt> {
        self.any_feed()?.stream_at()
    }

    /// Where the data set that was loaded stands in a stream, if that is known.
    pub fn loaded_stream(&self) -> Option<StreamPlace> {
        let stream = self.loaded.lock().stream.clone();
        (!stream.id.is_empty()).then_some(stream)
    }

    /// Does something while nothing of a primary's stream is half carried out.
    pub(crate) fn between_units<R>(&self, work: impl FnOnce() -> R) -> R {
        let Some(feed) = self.any_feed() else {
            return work();
        };
        let (mut work, mut result) = (Some(work), None);
        feed.between_units(&mut || result = work.take().map(|work| work()));
        match (result, work) {
            (Some(result), _) => result,
            (None, Some(work)) => work(),
            (None, None) => unreachable!("what was called has a result"),
        }
    }

    /// The disk that the data are kept on.
    pub fn disk(&self) -> &Arc<dyn disk::Disk> {
        &self.disk
    }

    /// The folder that the data are kept in.
    pub fn folder(&self) -> &std::path::Path {
        &self.dir
    }
}
