//! Scripts: EVAL and its kin, and SCRIPT.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::bridge::run::{Call, keys_and_args, run};
use crate::cmd::command::help;
use crate::context::command::{
    ALLOW_BUSY, BY_DIGEST, CHANGES_SESSION, Command, Group, KS_ACCESS, KS_RO, KS_RW, KS_UPDATE,
    KeySpec, LOADING, MOVABLEKEYS, NO_MANDATORY_KEYS, NOSCRIPT, READONLY, RUNS_SCRIPT,
    SKIP_MONITOR, STALE, container, row,
};
use crate::context::ctx::Ctx;
use crate::context::engine::Engine;
use crate::script::known::{Body, LONG_SOURCE};
use crate::script::runner::Runner;
use lua::Flags;

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("eval", -3, RUNS_SCRIPT | NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLEKEYS,
            Group::Scripting, "2.6.0", eval)
        .keys(&[KeySpec::numkeys(2, KS_RW | KS_ACCESS | KS_UPDATE)
                    .note("How keys are used is unknown, so the most is assumed: RW and update")])
        .args("script numkeys:int [key...] [arg...]")
        .docs("Runs a Lua script.", "Depends on the script"),
    row("eval_ro", -3, RUNS_SCRIPT | READONLY | NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLEKEYS,
            Group::Scripting, "7.0.0", eval_ro)
        .keys(&[KeySpec::numkeys(2, KS_RO | KS_ACCESS)
                    .note("How keys are used is unknown, so the most is assumed: RO and access")])
        .args("script numkeys:int [key...] [arg...]")
        .docs("Runs a Lua script that only reads.", "Depends on the script"),
    row("evalsha", -3, BY_DIGEST | RUNS_SCRIPT | NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLEKEYS,
            Group::Scripting, "2.6.0", evalsha)
        .keys(&[KeySpec::numkeys(2, KS_RW | KS_ACCESS | KS_UPDATE)])
        .args("sha1 numkeys:int [key...] [arg...]")
        .docs("Runs a Lua script by its SHA1 digest.", "Depends on the script"),
    row("evalsha_ro", -3, BY_DIGEST | RUNS_SCRIPT | READONLY | NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS
            | MOVABLEKEYS,
            Group::Scripting, "7.0.0", evalsha_ro)
        .keys(&[KeySpec::numkeys(2, KS_RO | KS_ACCESS)])
        .args("sha1 numkeys:int [key...] [arg...]")
        .docs("Runs a Lua script that only reads, by its SHA1 digest.", "Depends on the script"),
    container("script", Group::Scripting, "2.6.0", SCRIPT_COMMANDS)
        .docs("Holds the commands about scripts.", "Depends on the subcommand"),
];

/// The subcommands of SCRIPT.
#[rustfmt::skip]
const SCRIPT_COMMANDS: &[Command] = &[
    row("script|debug", -3, CHANGES_SESSION | NOSCRIPT, Group::Scripting, "3.2.0", script_debug)
        .args("mode(YES | SYNC | NO) [engine@9.1.0]")
        .docs("Sets how scripts of this connection are debugged.", "O(1)"),
    row("script|exists", -3, NOSCRIPT | STALE, Group::Scripting, "2.6.0", script_exists)
        .args("sha1...").tips(&["request_policy:all_shards", "response_policy:agg_logical_and"])
        .docs("Tells which scripts the server has, by their digests.",
              "O(N), N being the number of digests"),
    row("script|flush", -2, NOSCRIPT | STALE, Group::Scripting, "2.6.0", script_flush)
        .args("[flush-type(ASYNC | SYNC)@6.2.0]")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs("Forgets all scripts.", "O(N), N being the number of scripts")
        .history(&[("6.2.0", "New options ASYNC and SYNC.")]),
    row("script|help", 2, LOADING | STALE, Group::Scripting, "5.0.0", help)
        .docs("Lists the subcommands of SCRIPT.", "O(1)"),
    row("script|kill", 2, NOSCRIPT | ALLOW_BUSY, Group::Scripting, "2.6.0", script_kill)
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
        .docs("Stops the script that is running.", "O(1)"),
    row("script|load", 3, NOSCRIPT | STALE, Group::Scripting, "2.6.0", script_load)
        .args("script").tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs("Keeps a script for EVALSHA and returns its digest.",
              "O(N), N being the length of the script"),
    row("script|show", 3, NOSCRIPT | STALE, Group::Scripting, "8.0.0", script_show)
        .args("sha1")
        .docs("Returns the source of a script by its digest.", "O(1)"),
];

fn eval(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    by_source(ctx, args, false)
}

fn eval_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    by_source(ctx, args, true)
}

fn evalsha(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    by_sha(ctx, args, false)
}

fn evalsha_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    by_sha(ctx, args, true)
}

fn by_source(ctx: &mut Ctx<'_>, args: Args<'_>, read_only: bool) -> Result {
    refuse_to_debug(ctx)?;
    keys_and_args(&args, &Error::NOT_AN_INTEGER)?;
    let engine = ctx.engine;
    let source = args.argv()[1];
    with_runner(ctx, |ctx, runner| {
        if source.len() >= LONG_SOURCE && runner.is_new(source) && ctx.moves_elsewhere() {
            return Ok(());
        }
        let body = runner.eval(&engine.scripts, source)?;
        run_body(ctx, runner, &body, &args, read_only)
    })
}

fn by_sha(ctx: &mut Ctx<'_>, args: Args<'_>, read_only: bool) -> Result {
    refuse_to_debug(ctx)?;
    let digest = args.argv()[1];
    if digest.len() != size_of::<lua::Sha>() {
        return Err(Error::NO_SCRIPT);
    }
    keys_and_args(&args, &Error::NOT_AN_INTEGER)?;
    let engine = ctx.engine;
    with_runner(ctx, |ctx, runner| {
        let body = runner.evalsha(&engine.scripts, digest)?;
        run_body(ctx, runner, &body, &args, read_only)
    })
}

/// Takes the worker's Lua states out for the time of a call.
pub(super) fn with_runner<R>(
    ctx: &mut Ctx<'_>,
    f: impl FnOnce(&mut Ctx<'_>, &mut Runner) -> R,
) -> R {
    let scripts = &ctx.engine.scripts;
    let runner = ctx.runner.take();
    let mut runner = runner.unwrap_or_else(|| Box::new(Runner::new(scripts)));
    runner
        .vm
        .limit_memory(room_for_lua(ctx.engine, runner.memory_used()));
    let result = f(ctx, &mut runner);
    *ctx.runner = Some(runner);
    result
}

/// What a thread's Lua states may take together with what they have, `used` bytes: what is left below the bound that nothing
/// may exceed, but some megabytes in any case.
fn room_for_lua(engine: &Engine, used: usize) -> Option<usize> {
    const LEAST: usize = 8 << 20;
    let memory = engine.memory();
    if memory.limit() == 0 {
        return None;
    }
    let left = memory.bound().saturating_sub(memory.used());
    Some(used.saturating_add(left.max(LEAST)))
}

fn run_body(
    ctx: &mut Ctx<'_>,
    runner: &mut Runner,
    body: &Body,
    args: &Args<'_>,
    read_only: bool,
) -> Result {
    let (keys, rest) = keys_and_args(args, &Error::NOT_AN_INTEGER)?;
    let reads = body.flags.map(|flags| flags.contains(Flags::NO_WRITES));
    if read_only && reads == Some(false) {
        return Err(Error::new(
            "ERR Can not execute a script with write flag using *_ro command.",
        ));
    }
    let call = Call {
        is_function: false,
        name: &body.sha,
        read_only: read_only || reads == Some(true),
        allow_oom: body
            .flags
            .is_some_and(|flags| flags.contains(Flags::ALLOW_OOM)),
        slow: &body.slow,
        argv: args.argv(),
    };
    run(ctx, runner, &call, &mut |vm, server, out| {
        vm.run(&body.script(), keys, rest, server, out)
    })
}

// ---- SCRIPT

fn script_load(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let engine = ctx.engine;
    let source = args.argv()[2];
    if source.len() >= LONG_SOURCE && ctx.moves_elsewhere() {
        return Ok(());
    }
    let sha = with_runner(ctx, |_, runner| runner.load(&engine.scripts, source))?;
    ctx.out.bulk(&sha);
    Ok(())
}

fn script_exists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let shas = &args.argv()[2..];
    ctx.out.array(shas.len());
    for sha in shas {
        let known = ctx.engine.scripts.get(sha).is_some();
        ctx.out.int(i64::from(known));
    }
    Ok(())
}

fn script_show(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    match ctx.engine.scripts.get(args.argv()[2]) {
        Some(body) => ctx.out.bulk(&body.source),
        None => return Err(Error::new("NOSCRIPT No matching script.")),
    }
    Ok(())
}

/// Reads ASYNC or SYNC, which make no difference where there is nothing large to free.
pub(super) fn flush_type(args: &Args<'_>, error: &'static str) -> Result {
    match &args.argv()[2..] {
        [] => Ok(()),
        [word] if word.eq_ignore_ascii_case(b"async") || word.eq_ignore_ascii_case(b"sync") => {
            Ok(())
        }
        _ => Err(Error::new(error)),
    }
}

fn script_flush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    flush_type(&args, "ERR SCRIPT FLUSH only support SYNC|ASYNC option")?;
    ctx.engine.scripts.flush();
    ctx.out.ok();
    Ok(())
}

fn script_kill(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.engine.scripts.kill(false)?;
    ctx.out.ok();
    Ok(())
}

/// An error where a script would run for a client that has asked for the debugger: redis-cli asks and does not look at the answer,
/// and what a script changes in a session of `--ldb` is not to stay.
fn refuse_to_debug(ctx: &Ctx<'_>) -> Result {
    if ctx.session.debugs_scripts {
        return Err(Error::new(
            "ERR this server has no debugger for scripts. Without it, after SCRIPT DEBUG NO, they run",
        ));
    }
    Ok(())
}

fn script_debug(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    match args.argv()[3..] {
        [] => {}
        [engine] if engine.eq_ignore_ascii_case(b"lua") => {}
        [engine] => {
            return Err(Error::quoting(
                "ERR No scripting engine found with name '{}' to enable debug",
                &[engine],
            ));
        }
        _ => return Err(Error::subcommand_syntax(args.argv())),
    }
    match args.argv()[2] {
        mode if mode.eq_ignore_ascii_case(b"no") => {
            ctx.session.debugs_scripts = false;
            ctx.out.ok();
            Ok(())
        }
        mode if mode.eq_ignore_ascii_case(b"yes") || mode.eq_ignore_ascii_case(b"sync") => {
            ctx.session.debugs_scripts = true;
            Err(Error::new("ERR this server has no debugger for scripts"))
        }
        _ => Err(Error::new("ERR Use SCRIPT DEBUG YES/SYNC/NO")),
    }
}

#[cfg(test)]
mod tests {
    use crate::context::next::Next;
    use crate::testing::{TestClient, check};
    use resp::{Batch, Out};

    /// The name of a key that lies in another shard than `key`.
    fn apart_from(db: &TestClient, key: &str) -> String {
        let ks = db.engine.keyspace();
        let shard = |key: &str| ks.place(key.as_bytes()).shard();
        let mut names = (0..).map(|n| format!("apart:{n}"));
        names
            .find(|name| shard(name) != shard(key))
            .expect("a key elsewhere")
    }

    /// Runs a script whose last step cannot have a further key's lock: it is undone, and would be tried again later.
    fn undone(db: &mut TestClient, script: &str, key: &str) {
        let further = apart_from(db, key);
        let engine = db.engine.clone();
        let ks = engine.keyspace();
        let _taken = ks.lock(ks.place(further.as_bytes()).shard());
        let script = format!("{script} return redis.call('GET', ARGV[1])");
        let argv = ["EVAL", &script, "1", key, &further].map(str::as_bytes);
        let (mut batch, mut out) = (Batch::new(), Out::new(db.session.proto));
        batch.push(&argv);
        let mut progress = db.worker.run(&mut db.session, &batch, 0, &mut out);
        if matches!(progress.next, Next::Elsewhere) {
            // On a busy machine it may be slow.
            progress = db
                .engine
                .worker()
                .run_long(&mut db.session, &batch, 0, &mut out);
        }
        assert!(matches!(progress.next, Next::Retry(_)));
    }

    #[test]
    fn what_xreadgroup_has_delivered_is_undone() {
        let mut db = TestClient::new();
        db.run("XADD s 1-1 a b; XGROUP CREATE s g 0");
        let script = "redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', KEYS[1], '>')";
        undone(&mut db, script, "s");
        db.check("XPENDING s g", "[0 nil nil nil]");
    }

    /// A key that had expired stays gone when the script that came upon it is undone, so it must be announced at once.
    #[test]
    fn an_expiry_that_a_script_met_is_announced_although_it_is_undone() {
        let mut db = TestClient::new();
        for write in ["", "redis.call('SET', KEYS[1], 1)"] {
            db.run("SET k v PX 1");
            let now = crate::base::clock::unix_ms();
            while crate::base::clock::unix_ms() < now + 2 {
                std::thread::yield_now();
            }
            let effects = &db.engine.follow.effects;
            effects.listen();
            effects.recorded.lock().clear();
            undone(&mut db, &format!("redis.call('GET', KEYS[1]) {write}"), "k");
            let recorded = std::mem::take(&mut *db.engine.follow.effects.recorded.lock());
            assert_eq!(recorded, ["expired k"]);
            db.engine.follow.effects.unlisten();
            db.check("EXISTS k", "0");
        }
    }

    /// A script in a transaction that fills an undeclared list serves who waits there, with what that one needs.
    #[test]
    fn a_script_in_a_transaction_serves_those_who_move() {
        let mut db = TestClient::new();
        let mut waits = db.another();
        let target = apart_from(&db, "list");
        waits.block(&format!("BLMOVE list {target} LEFT RIGHT 0"));
        db.run("MULTI; EVAL \"return redis.call('RPUSH', 'list', 'x')\" 0");
        db.check("EXEC", "[1]");
        waits.check_blocked("\"x\"");
        db.check(&format!("LRANGE {target} 0 -1"), "[\"x\"]");
    }

    #[test]
    fn scripts_run_commands_on_their_keys() {
        check("EVAL 'return 1' 0", "1");
        check(
            "EVAL \"redis.call('set',KEYS[1],ARGV[1]) return redis.call('get',KEYS[1])\" 1 k v",
            "\"v\"",
        );
        check("EVAL \"return {KEYS[1],ARGV[1]}\" 1 a b", "[\"a\" \"b\"]");
        check(
            "EVAL 'return 1' 2 a",
            "-ERR Number of keys can't be greater than number of args",
        );
        check(
            "EVALSHA abc 0",
            "-NOSCRIPT No matching script. Please use EVAL.",
        );
    }

    #[test]
    fn undeclared_keys_are_reached_and_a_read_only_script_does_not_write() {
        let mut db = TestClient::new();
        db.check(
            "EVAL \"for i=1,100 do redis.call('incr','k'..i) end return redis.call('dbsize')\" 0",
            "100",
        );
        db.check(
            "EVAL_RO \"return redis.pcall('incr','k1').err\" 0",
            "\"ERR Write commands are not allowed from read-only scripts.\"",
        );
        db.check("GET k1", "\"1\"");
        db.check("SCRIPT FLUSH", "OK");
        db.check(
            "SCRIPT LOAD 'return 7'",
            "\"59b6ab2fbe0ee4b25733de0f62e6cda4899ef8e9\"",
        );
    }

    /// Who asked for the debugger gets no script run without it, and whoever else does.
    #[test]
    fn no_script_runs_for_who_wants_to_debug_it() {
        let mut db = TestClient::new();
        let mut other = db.another();
        let sha = db.run("SCRIPT LOAD \"return redis.call('incr','k')\"");
        let sha = sha.trim_matches('"');
        let by_source = "EVAL \"return redis.call('incr','k')\" 0";
        let by_digest = format!("EVALSHA {sha} 0");
        for (ask, end) in [("YES", "SCRIPT DEBUG NO"), ("SYNC", "RESET")] {
            db.check(
                &format!("SCRIPT DEBUG {ask}"),
                "-ERR this server has no debugger for scripts",
            );
            for call in [by_source, by_digest.as_str(), "EVAL_RO 'return 1' 0"] {
                let said = db.run(call);
                assert!(
                    said.starts_with("-ERR this server has no debugger"),
                    "{said}"
                );
            }
            db.check("EXISTS k", "0");
            other.check(by_source, "1");
            other.check("DEL k", "1");
            db.run(end);
            db.check(by_source, "1");
            db.check(&by_digest, "2");
            db.check("DEL k", "1");
        }
    }

    /// A script that made room for others is known again once it is sent again, by whichever worker.
    #[test]
    fn what_was_forgotten_is_learned_again() {
        let mut db = TestClient::new();
        let mut other = db.another();
        let sha = db.run("SCRIPT LOAD 'return 1'");
        db.run("SCRIPT FLUSH");
        db.run("EVAL 'return 1' 0");
        for i in 0..600 {
            other.run(&format!("EVAL 'return {i}+5' 0"));
        }
        other.check(&format!("SCRIPT EXISTS {sha}"), "[0]");
        db.run("EVAL 'return 1' 0");
        other.check(&format!("EVALSHA {sha} 0"), "1");
    }
}
