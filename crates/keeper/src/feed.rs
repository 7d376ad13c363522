//! What the keeper knows of replication: where a stream of changes is, and who gets the pieces of the journal for it.

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
    /// Right behind the pieces that were given, the last of which ends in this database; if the next one says anew which it is in, 0.
    fn stream_at(&self, db: usize) -> Option<StreamAt>;

    /// The data set is loaded, and nobody has changed it yet.
    fn loaded(&self);

    /// Calls `work` while nothing of a primary's stream is half carried out.
    fn between_units(&self, work: &mut dyn FnMut());

    /// A piece, as the log has it; they come in order. It holds up those who write, so it is to be quick.
    fn piece(&self, number: u64, bytes: &[u8]);

    /// All up to this piece is done, and what of it was not given will not be: it is in every copy of the data set from now on.
    fn passed(&self, number: u64);
}
