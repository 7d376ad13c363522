//! Copies of the data set for replicas: one for all that came together.
//!
//! A copy goes through a spool of its own, from which each link sends at its own pace. As long as all keep up it is in memory; if
//! one is slow, what it has not taken goes to the disk, so that the copy is written to its end in any case and holds back no
//! changes. At the very moment of the copy each link gets a place in the stream, and all that is done from then on waits for it
//! there, however long it loads.

use super::Primary;
use super::link::{Form, Job, Link, State, Written};
use crate::spool::{Overflow, Reader, Spool};
use engine::{Filter, new_stream_id};
use keeper::Contents;
use parking_lot::Mutex;
use rdb::encode::Options;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Bytes of a copy in memory that wait for those who send it.
const IN_MEMORY: usize = 32 << 20;

/// How long a copy waits for a slow replica before it goes to the disk.
const PATIENCE: Duration = Duration::from_millis(200);

/// Whether a copy is being written, and how many there were.
#[derive(Default)]
pub(super) struct Copies {
    /// A thread writes one.
    busy: AtomicBool,
    /// Those of which somebody still has to be sent something.
    spools: Mutex<Vec<Weak<Spool>>>,
    pub full: AtomicU64,
    pub partial: AtomicU64,
    pub refused_partial: AtomicU64,
}

impl Copies {
    /// Bytes of memory that they take.
    pub fn memory(&self) -> usize {
        let mut spools = self.spools.lock();
        spools.retain(|spool| spool.strong_count() > 0);
        let there = spools.iter().filter_map(Weak::upgrade);
        there.map(|spool| spool.memory()).sum()
    }
}

/// Where a copy is written to.
struct Sink {
    spool: Arc<Spool>,
    overflow: Overflow,
    /// Somebody is slow.
    spills: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.spool.has_readers() {
            return Err(io::Error::other("all who wanted the copy have left"));
        }
        self.spool.append(bytes);
        if !self.spills {
            self.spills = !self.spool.wait_for_room(IN_MEMORY, PATIENCE);
        }
        if self.spills {
            self.spool.spill(&self.overflow)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Those who get one copy.
struct Group {
    links: Vec<Arc<Link>>,
    form: Form,
}

impl Primary {
    /// Begins a copy if somebody waits for one and it is time.
    pub(super) fn copy_if_due(&self) {
        if self.copies.busy.load(Relaxed) {
            return;
        }
        let Some(group) = self.due_group() else {
            return;
        };
        if !self.keeper.begin_copy() {
            // Something else is being written: a save, a rewrite of the log.
            return;
        }
        self.copies.busy.store(true, Relaxed);
        let Some(me) = self.me.upgrade() else { return };
        let spawned = std::thread::Builder::new()
            .name("full-sync".into())
            .spawn(move || {
                if let Err(why) = me.write_copy(&group) {
                    tracing::warn!("A copy of the data set for replicas was not written: {why}");
                    group.links.iter().for_each(|link| link.close());
                }
                me.copies.busy.store(false, Relaxed);
                me.wake();
            });
        if let Err(error) = spawned {
            tracing::warn!("No thread for a copy of the data set: {error}");
            self.keeper.give_copy_up();
            self.copies.busy.store(false, Relaxed);
        }
    }

    /// Those who are to get a copy now.
    fn due_group(&self) -> Option<Group> {
        let waiting: Vec<(Instant, Arc<Link>)> = {
            let links = self.links.lock();
            let since = |link: &Arc<Link>| match link.state() {
                State::Waits(since) => Some((since, link.clone())),
                _ => None,
            };
            links.iter().filter_map(since).collect()
        };
        let (since, first) = waiting.iter().min_by_key(|(since, _)| *since)?;
        let engine = self.engine().ok()?;
        let config = engine.config();
        let delay = Duration::from_secs(config.number("repl-diskless-sync-delay") as u64);
        let most = config.number("repl-diskless-sync-max-replicas") as usize;
        // Who wants a file alone is not kept waiting.
        let alone = first.announced.rdb_only || !config.flag("repl-diskless-sync");
        if !alone && since.elapsed() < delay && (most == 0 || waiting.len() < most) {
            return None;
        }
        let form = first.form;
        let same = waiting.iter().filter(|(_, link)| link.form == form);
        Some(Group {
            links: same.map(|(_, link)| link.clone()).collect(),
            form,
        })
    }

    fn write_copy(&self, group: &Group) -> Result<(), String> {
        let began = Instant::now();
        let engine = self.engine()?;
        let config = engine.config();
        let overflow = self.overflow(&engine);
        let diskless = config.flag("repl-diskless-sync");
        let Form {
            version,
            for_replica,
            filter,
        } = group.form;
        let contents = Contents {
            options: Options {
                version,
                compress: config.flag("rdbcompression"),
                now_ms: 0,
                for_replica,
            },
            functions: filter != Filter::All,
            keys: filter == Filter::Nothing,
        };
        let spool = Spool::new(0, 0);
        self.copies.spools.lock().push(Arc::downgrade(&spool));
        let written = Arc::new(Written::default());
        // No unit of a primary's stream is half carried out.
        let applying = Mutex::new(Some(self.applying.lock()));
        let places = group.links.len();
        let at = || {
            self.stream.set_active(true);
            let offset = self.stream.offset();
            let streams: Vec<Option<Reader>> = (0..places)
                .map(|_| self.stream.spool().reader(offset))
                .collect();
            (offset, streams, engine.standing.ids().id)
        };
        let sink = |(offset, streams, id): (u64, Vec<Option<Reader>>, String)| {
            drop(applying.lock().take());
            // Only now: on a busy machine the moment of the copy would come late, and all changes until then would be in it. Not
            // far: who wants the shard whose lock it holds waits until it has a core again.
            engine::stand_behind_workers(engine::CLOSE_BEHIND);
            tracing::info!(
                "A copy of the data set begins for {} replicas, at offset {offset}",
                group.links.len()
            );
            let mark = new_stream_id();
            for (link, stream) in group.links.iter().zip(streams) {
                let (Some(copy), Some(stream)) = (spool.reader(0), stream) else {
                    return Err("no place in the stream".to_owned());
                };
                let mut bytes = [0; 40];
                bytes.copy_from_slice(&mark.as_bytes()[..40]);
                let gets = link.give(Job {
                    greeting: format!("+FULLRESYNC {id} {offset}\r\n").into_bytes(),
                    copy,
                    mark: (diskless && link.announced.eof).then_some(bytes),
                    length: written.clone(),
                    stream,
                });
                self.copies.full.fetch_add(u64::from(gets), Relaxed);
            }
            Ok(Sink {
                spool: spool.clone(),
                // Whoever wants to know the length before takes nothing until the end.
                spills: !diskless || group.links.iter().any(|link| !link.announced.eof),
                overflow,
            })
        };
        let outcome = self.keeper.send_copy(&contents, at, sink);
        let done = match outcome {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("the data set was replaced meanwhile".to_owned()),
            Err(why) => Err(why),
        };
        written.set(done.clone().map(|()| spool.written()));
        for link in &group.links {
            link.copy_written.store(true, Relaxed);
        }
        spool.end(done.clone());
        if done.is_ok() {
            tracing::info!(
                "The copy of the data set is written: {} bytes in {:.3} seconds",
                spool.written(),
                began.elapsed().as_secs_f64()
            );
        }
        done
    }

    /// Where what replicas miss goes once it outgrows memory.
    pub(super) fn overflow(&self, engine: &engine::Engine) -> Overflow {
        let config = engine.config();
        let folder = config.text("repl-spill-dir");
        Overflow {
            disk: self.keeper.disk().clone(),
            folder: match folder.is_empty() {
                true => self.keeper.folder().to_owned(),
                false => folder.into(),
            },
            limit: config.number("repl-spill-limit") as u64,
            memory: IN_MEMORY,
        }
    }
}
