//! INFO's section on persistence.

use crate::keeper::Keeper;
use crate::saving::{Busy, changes};
use crate::snapshot::Shared;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

impl Keeper {
    pub(crate) fn write_info(&self, into: &mut String) {
        let Ok(engine) = self.engine() else { return };
        let loading = engine.loading.is_on() && engine.config().flag("appendonly");
        let enabled = loading || self.log_is_on();
        let stats = self.stats.lock();
        let saving = self.saving.lock();
        let log = self.log();
        let status = log.as_ref().map(|log| log.status());
        let beginning = self.beginning.load(Relaxed);
        let begins_later = saving.busy != Some(Busy::Rewrite) || saving.ending_log;
        let scheduled = saving.rewrite_scheduled || beginning && begins_later;
        let ok = |ok: bool| if ok { "ok" } else { "err" };
        let secs = |s: Option<u64>| s.map_or(-1, |s| s as i64);
        let now = |busy: Busy| match &saving.running {
            Some(running) if saving.busy == Some(busy) => running.began.elapsed().as_secs() as i64,
            _ => -1,
        };
        let (done, total) = saving.running.as_ref().map_or((0, 0), |r| {
            (r.shared.keys.load(Relaxed), r.shared.total.load(Relaxed))
        });
        let rewriting = saving.running.as_ref().is_some_and(|r| r.rewrite)
            || saving.busy == Some(Busy::Rewrite);
        let changed = changes(&engine).saturating_sub(stats.changes_at_last_save);
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            let _ = write!(into, "{name}:{value}\r\n");
        };
        line("loading", &u8::from(engine.loading.is_on()));
        line("async_loading", &u8::from(engine.loading.is_beside()));
        // What corresponds here to pages that a forked process makes be copied: old versions of keys.
        let shared = saving.running.as_ref().map(|running| &running.shared);
        let size = shared.map_or(0, |shared| shared.held_bytes.load(Relaxed));
        let peak = shared.map_or(0, |shared| shared.peak_bytes.load(Relaxed));
        let part = 100.0 * done as f64 / total.max(1) as f64;
        line("current_cow_peak", &peak);
        line("current_cow_size", &size);
        line("current_cow_size_age", &0);
        line("current_fork_perc", &format!("{:.2}", part.min(100.0)));
        line("current_save_keys_processed", &done);
        line("current_save_keys_total", &total);
        line("rdb_changes_since_last_save", &changed);
        line(
            "rdb_bgsave_in_progress",
            // As in real servers: a copy for replicas too, once its moment has come, so that whoever sees this knows that all
            // that is done from now on is in the stream.
            &u8::from(match saving.busy {
                Some(Busy::Save) => true,
                Some(Busy::Send) => saving.running.is_some(),
                _ => false,
            }),
        );
        line("rdb_last_save_time", &stats.last_save_s);
        line("rdb_last_bgsave_status", &ok(stats.last_save_ok));
        line("rdb_last_bgsave_time_sec", &secs(stats.last_save_secs));
        line("rdb_current_bgsave_time_sec", &now(Busy::Save));
        line("rdb_saves", &stats.saves);
        line("rdb_saves_consecutive_failures", &stats.save_failures);
        line("rdb_last_cow_size", &stats.peaks[0]);
        let loaded = self.loaded.lock().clone();
        line("rdb_last_load_keys_expired", &loaded.expired);
        line("rdb_last_load_keys_loaded", &loaded.keys);
        line("aof_enabled", &u8::from(enabled));
        line("aof_rewrite_in_progress", &u8::from(rewriting));
        line("aof_rewrite_scheduled", &u8::from(scheduled));
        line("aof_last_rewrite_time_sec", &secs(stats.rewrite_secs));
        line("aof_current_rewrite_time_sec", &now(Busy::Rewrite));
        line("aof_last_bgrewrite_status", &ok(stats.rewrite_ok));
        line("aof_rewrites", &stats.rewrites);
        line("aof_rewrites_consecutive_failures", &stats.rewrite_failures);
        line("aof_last_cow_size", &stats.peaks[1]);
        let refusing = log.as_ref().and_then(|log| log.refusing());
        line(
            "aof_last_write_status",
            &ok(refusing.is_none() || beginning),
        );
        if enabled {
            let size = |of: fn(&disk::Status) -> u64| status.as_ref().map_or(0, of);
            line("aof_current_size", &size(|s| s.size));
            line("aof_base_size", &size(|s| s.base_size));
            line("aof_pending_rewrite", &0);
            let queued = engine.journal.queue.bytes();
            line(
                "aof_buffer_length",
                &(engine.journal.waiting_bytes() + queued),
            );
            let syncing = size(|s| s.progress.durable) < size(|s| s.progress.written);
            line("aof_pending_bio_fsync", &u8::from(syncing));
            // A write never waits for a sync that somebody else makes.
            line("aof_delayed_fsync", &0);
            line("redpoll_log_piece_given", &size(|s| s.progress.given));
            line("redpoll_log_piece_durable", &size(|s| s.progress.durable));
        }
        line("redpoll_log_queue_bytes", &engine.journal.queue.bytes());
        line("redpoll_log_queue_bound_bytes", &engine::LogQueue::BOUND);
        line("redpoll_log_queue_waits", &engine.journal.queue.waits());
        let running = saving.running.as_ref().map(|running| &running.shared);
        let held = running.map_or(0, |shared| shared.held_bytes.load(Relaxed));
        let bound = running.map_or(0, |shared| shared.bound_bytes);
        line("redpoll_snapshot_held_bytes", &held);
        line("redpoll_snapshot_bound_bytes", &bound);
        line("redpoll_snapshot_waits", &engine.pressure.waits());
        let last = stats.snapshot.as_ref();
        let count = |of: fn(&Shared) -> u64| last.map_or(0, |shared| of(shared));
        let mut of_last = |name: &str, of: fn(&Shared) -> u64| {
            line(&format!("redpoll_snapshot_last_{name}"), &count(of));
        };
        of_last("old_keys", |s| s.old_keys.load(Relaxed));
        of_last("old_elements", |s| s.old_elements.load(Relaxed));
        of_last("collections", |s| s.collections.load(Relaxed));
        of_last("peak_bytes", |s| s.peak_bytes.load(Relaxed) as u64);
        of_last("longest_hold_us", |s| {
            s.longest_hold_ns.load(Relaxed) / 1000
        });
        engine.loading.info(into);
    }
}
