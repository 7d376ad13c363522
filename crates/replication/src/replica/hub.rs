//! What the hub does as a replica, and for those who follow it meanwhile.

use super::{Dial, Downstream, Primary, Replica, set_stale};
use crate::Hub;
use engine::{Config, Engine, READ_ONLY_REPLICA, RoleReport, new_stream_id};
use keeper::Keeper;
use std::sync::{Arc, Weak};

/// The hub, as the link to the primary sees it.
struct Below(Weak<Hub>);

impl Below {
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
            let turned = hub.keeper.want_pieces(false, || {
                engine.standing.set_replica(true);
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
            hub.drop_replicas();
        });
    }

    fn become_primary(&self) {
        self.with(|hub, engine| {
            let _applying = hub.applying.lock();
            let turned = hub.keeper.want_pieces(true, || {
                hub.stream.go_on_as(&new_stream_id());
                engine.standing.set_replica(false);
            });
            if let Err(why) = turned {
                tracing::warn!("The stream did not begin: {why}");
            }
            hub.drop_replicas();
        });
    }

    fn begin(&self, id: &str, offset: u64) {
        self.with(|hub, _| {
            hub.drop_replicas();
            hub.stream.restart(id, offset);
        });
    }

    fn rename(&self, id: &str) {
        self.with(|hub, _| {
            hub.drop_replicas();
            hub.stream.go_on_as(id);
        });
    }

    fn forget(&self) {
        self.begin(&new_stream_id(), 0);
    }

    fn pass(&self, bytes: &[u8], carry_out: &mut dyn FnMut() -> Option<usize>) {
        self.with(|hub, _| {
            let _applying = hub.applying.lock();
            if let Some(db) = carry_out() {
                hub.stream.append(bytes);
                hub.replica.note_db(db);
            }
        });
    }

    fn link_is(&self, up: bool) {
        self.with(|_, engine| set_stale(engine, !up));
    }
}

/// The primary that a configuration names.
fn configured(config: &Config) -> Option<Primary> {
    let text = config.text("replicaof");
    let (host, port) = text.split_once(' ')?;
    Some(Primary {
        host: host.to_owned(),
        port: port.trim().parse().ok()?,
    })
}

impl Hub {
    /// The side that follows. A server that is to follow somebody is a replica from its start: what is loaded is then taken as a
    /// replica takes it.
    pub(crate) fn new_replica(
        me: &Weak<Hub>,
        engine: &Arc<Engine>,
        keeper: &Arc<Keeper>,
        dial: Arc<Dial>,
    ) -> Replica {
        let config = engine.config();
        if configured(config).is_some() {
            engine.standing.set_replica(true);
            engine
                .standing
                .close(READ_ONLY_REPLICA, config.flag("replica-read-only"));
            set_stale(engine, true);
        }
        Replica::new(engine, keeper, Arc::new(Below(me.clone())), dial)
    }

    /// Follows a primary from now on.
    ///
    /// # Errors
    /// There is no thread for it, or the database is being closed.
    pub fn follow(&self, host: &str, port: u16) -> Result<(), String> {
        let host = host.to_owned();
        self.replica.follow(Primary { host, port }, None)
    }

    /// Follows nobody any more.
    ///
    /// # Errors
    /// The database is being closed.
    pub fn lead(&self) -> Result<(), String> {
        self.replica.lead()
    }

    /// REPLICAOF.
    pub(crate) fn follow_primary(
        &self,
        primary: Option<(&str, u16)>,
    ) -> Result<&'static str, String> {
        match primary {
            None => self.lead()?,
            Some((host, port)) => {
                self.follow(host, port)?;
            }
        }
        Ok("OK")
    }

    /// The data set is loaded: follows whom the configuration names.
    pub(crate) fn begin_as_replica(&self) {
        let Ok(engine) = self.engine() else { return };
        let Some(primary) = configured(engine.config()) else {
            return;
        };
        self.stream.set_active(true);
        if let Err(why) = self.replica.follow(primary, None) {
            tracing::warn!("The primary is not followed: {why}");
        }
    }

    pub(crate) fn end_as_replica(&self) {
        self.replica.close();
    }

    /// What ROLE tells; None of a primary.
    pub(crate) fn role_as_replica(&self) -> Option<RoleReport> {
        self.replica.role()
    }

    /// INFO's lines on the primary that is followed.
    pub(crate) fn info_as_replica(&self, into: &mut String) {
        self.replica.info(into);
    }

    pub(crate) fn heed_as_replica(&self, directive: &str, _config: &Config) -> Result<(), String> {
        self.replica.applied(directive);
        Ok(())
    }

    /// What is known of the link to the primary, if one is followed.
    pub fn link(&self) -> Option<Arc<super::status::Status>> {
        self.replica.status()
    }
}
