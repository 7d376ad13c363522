//! What replicas get: the pieces of the journal, and copies of the data set that they go on from.

use crate::feed::{Feed, StreamAt};
use crate::keeper::Keeper;
use crate::load::StreamPlace;
use crate::saving::Busy;
use crate::snapshot::{Failed, Snapshot};
use engine::Engine;
use rdb::encode::Options;
use rdb::file::Writer;
use std::io::Write;
use std::sync::Weak;
use std::sync::atomic::Ordering::Relaxed;

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
        if let Some(feed) = self.any_feed() {
            feed.passed(pump.last);
        }
        pump.begin_anew();
        self.fed.store(want, Relaxed);
        engine.journal.give_replicas(want);
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

    /// Writes a copy of the data set as it is at one moment, and has a primary's journal's pieces given to the feed from that moment on. `at`
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
                    // What a replica's replicas get is what its primary sends. If its journal were given too, it would be cut in the middle
                    // of a unit, where the place in the stream is not the data set's.
                    let own = !engine.standing.is_replica();
                    let result = self.turn_feed(&engine, own, at);
                    (result, self.stream_at(&self.pump.lock()))
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

    /// Where the data set that was loaded stands in a stream, if that is known.
    pub fn loaded_stream(&self) -> Option<StreamPlace> {
        let stream = self.loaded.lock().stream.clone();
        (!stream.id.is_empty()).then_some(stream)
    }

    /// Where the stream that the data set stands in had got to, though its name is not known: what follows is not to be counted as if it
    /// had been before.
    pub fn loaded_offset(&self) -> u64 {
        self.loaded.lock().stream.offset
    }
}
