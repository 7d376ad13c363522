//! CONFIG: the settings, read and changed while the server runs.

use super::command::help;
use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::config::Config;
use crate::config::host::{Host, OnFailure, ShutdownMode};
use crate::context::command::{
    ADMIN, Command, Group, LOADING, NOSCRIPT, STALE, Secret, container, row,
};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use resp::Out;
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    container("config", Group::Server, "2.0.0", CONFIG_COMMANDS)
        .docs("Holds the commands about the configuration.", "Depends on the subcommand"),
];

/// The subcommands of CONFIG.
#[rustfmt::skip]
const CONFIG_COMMANDS: &[Command] = &[
    row("config|get", -3, ADMIN | NOSCRIPT | LOADING | STALE, Group::Server, "2.0.0", config_get)
        .args("parameter...")
        .docs("Returns the settings whose names match.", "O(N), N being the number of settings")
        .history(&[("7.0.0", "Several patterns may be given.")]),
    row("config|help", 2, LOADING | STALE, Group::Server, "5.0.0", help)
        .docs("Lists the subcommands of CONFIG.", "O(1)"),
    row("config|resetstat", 2, ADMIN | NOSCRIPT | LOADING | STALE,
            Group::Server, "2.0.0", config_resetstat)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs("Sets the counters that INFO shows back to zero.", "O(1)"),
    row("config|rewrite", 2, ADMIN | NOSCRIPT | LOADING | STALE, Group::Server, "2.8.0", config_rewrite)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs("Brings the configuration file up to the present settings.",
              "O(N), N being the number of settings"),
    row("config|set", -4, ADMIN | NOSCRIPT | LOADING | STALE, Group::Server, "2.0.0", config_set)
        .args("data{parameter value}...").secret(Secret::Settings)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs("Changes settings while the server runs.",
              "O(N), N being the number of settings given")
        .history(&[("7.0.0", "Several settings may be given.")]),
];

fn config_get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let mut told = HashSet::new();
    let out = &mut *ctx.out;
    let start = out.begin_array();
    for pattern in &args.argv()[2..] {
        ctx.engine
            .config()
            .get_matching(pattern, &mut |name, value| {
                // A directive that several patterns match is told once.
                if told.insert(name.to_ascii_lowercase()) {
                    out.bulk(name.as_bytes());
                    out.bulk(value.as_bytes());
                }
            });
    }
    out.end_map(start, told.len());
    Ok(())
}

fn config_set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let (pairs, odd) = args.argv()[2..].as_chunks::<2>();
    if !odd.is_empty() {
        return Err(Error::SYNTAX);
    }
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    let engine = ctx.engine;
    let local = ctx.session.client.is_local();
    let moves = pairs
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(b"dir"));
    if moves && engine.loading.is_on() && engine.config().allows("enable-protected-configs", local)
    {
        // Files are being read there.
        return Err(Error::LOADING);
    }
    engine.config().set_for(&pairs, &Both(engine), local)?;
    engine.follow.heed_settings();
    engine.heed_memory_settings(Some((ctx.keys.counters, ctx.keys.now_ms)));
    if engine.memory().limit_of_clients() != 0 {
        engine.evict_clients(Some(ctx.session.client.id));
    }
    ctx.out.ok();
    Ok(())
}

fn config_rewrite(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let engine = ctx.engine.handle();
    let Some(file) = engine.config().file().map(ToOwned::to_owned) else {
        return Err(Error::new(
            "ERR The server is running without a config file",
        ));
    };
    let write = move |out: &mut Out| {
        let change = |old: &str| {
            // Users who stand in a file of their own are not the configuration's.
            let listed = engine.config().text("aclfile").is_empty();
            let rules = |line: Vec<u8>| {
                let line = String::from_utf8_lossy(&line).into_owned();
                line.strip_prefix("user ").unwrap_or(&line).to_owned()
            };
            let lists = [(
                "user",
                engine.users.lines().into_iter().map(rules).collect(),
            )];
            engine
                .config()
                .rewritten(old, if listed { &lists } else { &[] })
        };
        match engine.host().replace_config(&file, &change) {
            Ok(()) => out.ok(),
            Err(why) => out.error(&format!("ERR Rewriting config file: {why}")),
        }
    };
    if ctx.nested {
        // EXEC answers here and now.
        write(ctx.out);
    } else {
        ctx.offload(Box::new(write));
    }
    Ok(())
}

/// Why there is nothing that a setting about files could be about.
const NOT_KEPT: &str = "this data set is not kept in files";

/// The host and whoever keeps the data, which both put settings into effect.
struct Both<'e>(&'e Engine);

impl Host for Both<'_> {
    fn shutdown(&self, mode: ShutdownMode, failed: OnFailure) -> std::result::Result<(), String> {
        self.0.host().shutdown(mode, failed)
    }

    fn applied(&self, directive: &str, config: &Config) -> std::result::Result<(), String> {
        let applied = || self.0.host().applied(directive, config);
        match self.0.persistence() {
            Some(keeper) if directive == "dir" => keeper.move_to(&config.dir(), &applied)?,
            None if directive == "dir" => return Err(NOT_KEPT.into()),
            _ => applied()?,
        }
        if directive == "requirepass" {
            let password = config.requirepass();
            let users = &self.0.users;
            users.set_default_password(password.as_deref().map(str::as_bytes));
        }
        match self.0.persistence() {
            Some(keeper) => keeper.applied(directive, config)?,
            None if directive == "appendonly" && config.flag(directive) => {
                return Err(NOT_KEPT.into());
            }
            None => {}
        }
        match self.0.replication() {
            Some(replication) => replication.applied(directive, config),
            None => Ok(()),
        }
    }

    fn info(&self, section: &str, into: &mut String) {
        self.0.host().info(section, into);
    }
}

fn config_resetstat(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.engine.stats().reset();
    ctx.engine.reclaimer.reset();
    ctx.engine.memory().reset();
    ctx.engine.scripts.evicted.store(0, Relaxed);
    for limit in &ctx.engine.config().live.output_limits {
        limit.disconnections.store(0, Relaxed);
    }
    ctx.engine
        .users
        .denied
        .iter()
        .for_each(|n| n.store(0, Relaxed));
    ctx.engine.users.denied_certificates.store(0, Relaxed);
    ctx.engine.host().reset_stats();
    if let Some(replication) = ctx.engine.replication() {
        replication.reset_syncs();
    }
    ctx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestClient, check, check3, run};

    #[test]
    fn get_tells_each_setting_once() {
        check("CONFIG GET maxclients", r#"["maxclients" "10000"]"#);
        check(
            "CONFIG GET maxclients MAXCLIENTS maxcl*",
            r#"["maxclients" "10000"]"#,
        );
        check("CONFIG GET nosuch", "[]");
        check3(
            "CONFIG GET timeout databases",
            r#"{"timeout": "0" "databases": "16"}"#,
        );
        assert!(run("CONFIG GET *").contains(r#""proto-max-bulk-len" "536870912""#));
        check(
            "CONFIG GET",
            "-ERR wrong number of arguments for 'config|get' command",
        );
    }

    #[test]
    fn set_changes_all_or_nothing() {
        let mut c = TestClient::new();
        c.check("CONFIG SET timeout 5 maxclients 77", "OK");
        c.check(
            "CONFIG GET timeout maxclients",
            r#"["timeout" "5" "maxclients" "77"]"#,
        );
        c.check(
            "CONFIG SET timeout 6 maxclients x",
            "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument couldn't be parsed into \
             an integer",
        );
        c.check(
            "CONFIG SET foo bar",
            "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'",
        );
        c.check(
            "CONFIG SET timeout 6 TIMEOUT 7",
            "-ERR CONFIG SET failed (possibly related to argument 'TIMEOUT') - duplicate parameter",
        );
        c.check("CONFIG SET timeout 6 maxclients", "-ERR syntax error");
        c.check("CONFIG GET timeout", r#"["timeout" "5"]"#);
        // A name and its alias may stand together.
        c.check(
            "CONFIG SET lua-time-limit 4000 busy-reply-threshold 3000",
            "OK",
        );
        c.check("CONFIG GET lua-time-limit", r#"["lua-time-limit" "3000"]"#);
        c.check(
            "CONFIG SET timeout",
            "-ERR wrong number of arguments for 'config|set' command",
        );
    }

    #[test]
    fn a_data_set_without_files_has_no_folder_to_change() {
        let mut c = TestClient::with(&[("enable-protected-configs", "yes")]);
        for pair in ["dir /", "appendonly yes"] {
            let name = pair.split(' ').next().unwrap_or_default();
            let error = format!(
                "-ERR CONFIG SET failed (possibly related to argument '{name}') - this data set is not kept in files"
            );
            c.check(&format!("CONFIG SET {pair}"), &error);
        }
    }

    #[test]
    fn without_a_file_there_is_nothing_to_rewrite() {
        let mut c = TestClient::new();
        let error = "-ERR The server is running without a config file";
        c.check("CONFIG REWRITE", error);
        c.check("MULTI; CONFIG REWRITE; EXEC", &format!("[{error}]"));
    }

    #[test]
    fn a_password_set_at_run_time_holds_for_new_clients() {
        let mut c = TestClient::new();
        c.check("CONFIG SET requirepass pw", "OK");
        c.check("PING", "PONG");
        c.another()
            .check("PING", "-NOAUTH Authentication required.");
    }

    #[test]
    fn resetstat_starts_counting_anew() {
        let mut c = TestClient::new();
        c.run("GET nosuch; NOSUCH");
        assert_eq!(
            c.engine
                .stats()
                .sum(|s| s.misses.get() + s.error_replies.get()),
            2
        );
        c.check("CONFIG RESETSTAT", "OK");
        assert_eq!(
            c.engine
                .stats()
                .sum(|s| s.misses.get() + s.error_replies.get()),
            0
        );
        assert!(c.engine.stats().errors().is_empty());
        c.check(
            "CONFIG nosuch",
            "-ERR unknown subcommand 'nosuch'. Try CONFIG HELP.",
        );
    }
}
