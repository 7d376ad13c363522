//! What the hub does for those who follow this server, while it follows a primary itself.

use super::Hub;
use crate::replica::{Address, Downstream, set_stale};
use engine::{Config, Engine, READ_ONLY_REPLICA, new_stream_id};
use std::sync::{Arc, Weak};

/// The hub, as the link to the primary sees it.
pub(super) struct Below(Weak<Hub>);

impl Below {
    pub fn new(hub: &Weak<Hub>) -> Below {
        Below(hub.clone())
    }

    /// Does something, unless everything is being closed.
    fn with(&self, work: impl FnOnce(&Hub, &Arc<Engine>)) {
        if let Some(hub) = self.0.upgrade()
            && let Ok(engine) = hub.engine()
        {
            work(&hub, &engine);
        }
    }
}

impl Downstream for Below {
    fn become_replica(&self) {
        self.with(|hub, engine| {
            let _applying = hub.applying.lock();
            let read_only = engine.config().flag("replica-read-only");
            // Those who follow go on to get what was done here. They are dropped when the stream is not theirs any more.
            let turned = hub.keeper.want_pieces(false, || {
                engine.standing.set_replica(true);
                hub.stream.settle();
                // What comes from here on is in no stream of anybody's: nobody is to be told that it is done.
                engine.standing.close(READ_ONLY_REPLICA, read_only);
                if !hub.stream.is_active() {
                    // What was done is not in any stream: there is none to go on with.
                    hub.stream.restart(&new_stream_id(), 0);
                }
                // What comes from the primary is kept for those who follow this server, and may follow others one day.
                hub.stream.set_active(true);
            });
            if let Err(why) = turned {
                tracing::warn!("The stream did not end: {why}");
            }
        });
    }

    fn become_primary(&self) {
        self.with(|hub, engine| {
            let applying = hub.applying.lock();
            let turned = hub.keeper.want_pieces(true, || {
                hub.stream.go_on_as(&new_stream_id());
                engine.standing.set_replica(false);
            });
            if let Err(why) = turned {
                tracing::warn!("The stream did not begin: {why}");
            }
            // Who tells those who wait for replicas may want it, with their list in hand.
            drop(applying);
            hub.primary.drop_replicas();
        });
    }

    fn begin(&self, id: &str, offset: u64) {
        self.with(|hub, _| {
            hub.stream.restart(id, offset);
            // Behind it: whoever has come at this very moment and goes on in the old stream is among them.
            hub.primary.drop_replicas();
        });
    }

    fn rename(&self, id: &str) {
        self.with(|hub, _| {
            hub.stream.go_on_as(id);
            hub.primary.drop_replicas();
        });
    }

    fn forget(&self) {
        self.begin(&new_stream_id(), 0);
    }

    fn pass(&self, bytes: &[u8], carry_out: &mut dyn FnMut() -> Option<usize>) {
        self.with(|hub, _| {
            hub.keeper.beside_no_reload(|| {
                let _applying = hub.applying.lock();
                if let Some(db) = carry_out() {
                    hub.stream.append(bytes);
                    hub.replica.note_db(db);
                }
            });
        });
    }

    fn link_is(&self, up: bool) {
        self.with(|_, engine| set_stale(engine, !up));
    }
}

/// The primary that a configuration names.
pub(super) fn configured(config: &Config) -> Option<Address> {
    let text = config.text("replicaof");
    let (host, port) = text.split_once(' ')?;
    Some(Address {
        host: host.to_owned(),
        port: port.trim().parse().ok()?,
    })
}

/// A server that is to follow somebody is a replica from its start: what is loaded is then taken as a replica takes it.
pub(super) fn start_as_replica(engine: &Engine) {
    let config = engine.config();
    if configured(config).is_some() {
        engine.standing.set_replica(true);
        engine.host().role_changed(true, config);
        engine
            .standing
            .close(READ_ONLY_REPLICA, config.flag("replica-read-only"));
        set_stale(engine, true);
    }
}
