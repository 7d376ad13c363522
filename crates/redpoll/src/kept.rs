//! What keeps a data set's files, and follows its primary.

#[cfg(feature = "files")]
use std::sync::Arc;

/// Ends the keeping when the last handle goes: all that was changed is on the disk then.
pub(crate) struct Kept {
    #[cfg(feature = "files")]
    pub(crate) keeper: Arc<keeper::Keeper>,
    /// Whom it follows.
    #[cfg(feature = "replication")]
    pub(crate) hub: Option<Arc<replication::Hub>>,
}

#[cfg(feature = "files")]
impl Drop for Kept {
    fn drop(&mut self) {
        #[cfg(feature = "replication")]
        if let Some(hub) = &self.hub {
            hub.close(Some(std::time::Duration::ZERO));
        }
        // What goes wrong stands in the log; nobody is left to be told.
        let _ = self.keeper.close(self.keeper.saves_at_the_end());
    }
}
