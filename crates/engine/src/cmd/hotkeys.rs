//! HOTKEYS: which keys are hot.
//!
//! Three shapes of one thing. TOP is ours: by operations, time or bytes, over the last ten to twenty seconds, always on
//! ([`crate::base::hot`]). START to RESET is Redis 8.6's: a session that somebody begins and ends
//! ([`crate::follow::hot_session`]). GET without such a session answers as Valkey 9.2 does, with keys and their operations per
//! second, while `hotkey-top-k` asks for that.

use super::generic::help as write_help;
use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::base::hot::{HotKeys, MEASURES, Measure};
use crate::context::command::{ADMIN, Command, Group, LOADING, NOSCRIPT, STALE, container, row};
use crate::context::ctx::Ctx;
use crate::follow::hot_session::{Told, Wanted};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    container("hotkeys", Group::Server, "8.6.0", HOTKEYS_COMMANDS)
        .docs("Holds the commands about hot keys.", "Depends on the subcommand"),
];

/// The subcommands of HOTKEYS.
#[rustfmt::skip]
const HOTKEYS_COMMANDS: &[Command] = &[
    row("hotkeys|get", 2, ADMIN | NOSCRIPT, Group::Server, "8.6.0", get)
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
        .docs("Returns the hottest keys of a session, or of the last seconds.", "O(K), K being the number of keys returned"),
    row("hotkeys|help", 2, LOADING | STALE, Group::Server, "8.6.1", help)
        .docs("Lists the subcommands of HOTKEYS.", "O(1)"),
    row("hotkeys|reset", 2, ADMIN | NOSCRIPT, Group::Server, "8.6.0", reset)
        .tips(&["request_policy:special"])
        .docs("Forgets what a session has recorded, and the last seconds.", "O(1)"),
    row("hotkeys|start", -2, ADMIN | NOSCRIPT, Group::Server, "8.6.0", start)
        .args("METRICS{count:int [CPU] [NET]} [COUNT k:int] [DURATION seconds:int] [SAMPLE ratio:int] [SLOTS{count:int slot:int...}]")
        .tips(&["request_policy:special"])
        .docs("Begins a session in which the keys of all commands are recorded.", "O(1)"),
    row("hotkeys|stop", 2, ADMIN | NOSCRIPT, Group::Server, "8.6.0", stop)
        .tips(&["request_policy:special"])
        .docs("Ends a session.", "O(1)"),
    row("hotkeys|top", -2, ADMIN | NOSCRIPT, Group::Server, "8.6.0", top)
        .args("[BY measure(OPS | CPU | IN | OUT)] [COUNT count:int]")
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
        .docs("Returns the hottest keys of the last seconds by one measure.", "O(T), T being the number of threads"),
];

/// Most keys of HOTKEYS TOP: more than a sketch knows well.
const MOST: i64 = 100;

/// Databases' hot keys are merged for each call: this many threads' sketches, some microseconds each.
fn hottest(ctx: &Ctx<'_>, measure: Measure, most: usize) -> HotKeys {
    ctx.engine.stats().hot_keys(measure, most)
}

fn start(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    if args.left() < 2 || !args.keyword("METRICS") {
        return Err(Error::new("ERR METRICS parameter is required"));
    }
    let range = Error::new("ERR METRICS count must be > 0 and <= 2");
    let count = args.int_in(1..=2, range);
    args.check()?;
    let (mut cpu, mut net, mut named) = (false, false, 0);
    while named < count {
        let (metric, name) = if args.keyword("CPU") {
            (&mut cpu, "CPU")
        } else if args.keyword("NET") {
            (&mut net, "NET")
        } else {
            break;
        };
        if std::mem::replace(metric, true) {
            return Err(Error::new(format!(
                "ERR METRICS {name} defined more than once!"
            )));
        }
        named += 1;
    }
    if named == 0 {
        return Err(Error::new(
            "ERR METRICS no valid metrics passed. Supported: CPU|NET",
        ));
    }
    if named != count {
        return Err(Error::new(
            "ERR METRICS count does not match number of metric types provided",
        ));
    }
    let mut wanted = Wanted {
        cpu,
        net,
        most: 10,
        seconds: 0,
        ratio: 1,
    };
    while args.left() > 0 {
        if args.keyword_with_value("COUNT") {
            let error = Error::new("ERR COUNT must be between 1 and 64");
            wanted.most = args.int_in(1..=64, error) as usize;
        } else if args.keyword_with_value("DURATION") {
            let error = Error::new("ERR DURATION must be between 1 and 1000000");
            wanted.seconds = args.int_in(1..=1_000_000, error) as u64;
        } else if args.keyword_with_value("SAMPLE") {
            let error = Error::new("ERR SAMPLE ratio must be positive");
            wanted.ratio = args.int_in(1..=i64::from(i32::MAX), error) as u64;
        } else if args.keyword_with_value("SLOTS") {
            return Err(Error::new(
                "ERR SLOTS parameter cannot be used in non-cluster mode",
            ));
        } else {
            return Err(Error::SYNTAX);
        }
        args.check()?;
    }
    if !ctx.engine.follow.hot_session.start(wanted) {
        return Err(Error::new(
            "ERR hotkey tracking session already in progress",
        ));
    }
    ctx.out.ok();
    Ok(())
}

fn stop(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    match ctx.engine.follow.hot_session.stop() {
        true => ctx.out.ok(),
        false => ctx.out.null(),
    }
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    if !ctx.engine.follow.hot_session.reset() {
        return Err(Error::new(
            "ERR hotkey tracking session in progress, stop tracking first",
        ));
    }
    ctx.engine.stats().each(|set| set.hot.clear());
    ctx.out.ok();
    Ok(())
}

fn get(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    if let Some(told) = ctx.engine.follow.hot_session.told() {
        write_session(ctx, &told);
        return Ok(());
    }
    let most = ctx.engine.config().number("hotkey-top-k") as usize;
    if most == 0 || !ctx.engine.config().flag("hotkey-tracking") {
        ctx.out.null();
        return Ok(());
    }
    let found = hottest(ctx, Measure::Ops, most);
    ctx.out.array(found.keys.len());
    for hot in &found.keys {
        ctx.out.map(3);
        ctx.out.bulk(b"key");
        ctx.out.bulk(&hot.key);
        ctx.out.bulk(b"db");
        ctx.out.int(hot.db as i64);
        ctx.out.bulk(b"qps");
        ctx.out
            .int((hot.value * 1000 / found.window_ms.max(1)) as i64);
    }
    Ok(())
}

fn write_session(ctx: &mut Ctx<'_>, told: &Told) {
    let ms = |seconds: f64| (seconds * 1000.0).round() as u64;
    let all = [
        ("all-commands-all-slots-us", true, told.all_us),
        ("net-bytes-all-commands-all-slots", true, told.all_bytes),
        ("collection-start-time-unix-ms", true, told.began_ms),
        ("collection-duration-ms", true, told.duration_ms),
        (
            "total-cpu-time-user-ms",
            told.wanted.cpu,
            ms(told.process.0),
        ),
        ("total-cpu-time-sys-ms", told.wanted.cpu, ms(told.process.1)),
        ("total-net-bytes", told.wanted.net, told.bytes),
    ];
    let lists = [
        ("by-cpu-time-us", told.wanted.cpu, &told.by_cpu),
        ("by-net-bytes", told.wanted.net, &told.by_net),
    ];
    let fields = all.iter().filter(|field| field.1).count();
    let listed = lists.iter().filter(|list| list.1).count();
    let out = &mut *ctx.out;
    // One for each node that answers, of which there is one.
    out.array(1);
    out.map(3 + fields + listed);
    out.bulk(b"tracking-active");
    out.int(i64::from(told.active));
    out.bulk(b"sample-ratio");
    out.int(told.wanted.ratio as i64);
    out.bulk(b"selected-slots");
    out.array(1);
    out.array(2);
    out.int(0);
    out.int(16383);
    for (name, _, value) in all.iter().filter(|field| field.1) {
        out.bulk(name.as_bytes());
        out.int(*value as i64);
    }
    for (name, _, keys) in lists.iter().filter(|list| list.1) {
        out.bulk(name.as_bytes());
        out.array(2 * keys.len());
        for (key, value) in *keys {
            out.bulk(key);
            out.int(*value as i64);
        }
    }
}

fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    write_help(
        ctx.out,
        &[
            "HOTKEYS <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "GET",
            "    What the session has recorded. Without one: keys and their operations per second, if hotkey-top-k asks for that.",
            "RESET",
            "    Forget what the session has recorded, and what is known of the last seconds.",
            "START METRICS <count> [CPU] [NET] [COUNT <k>] [DURATION <seconds>] [SAMPLE <ratio>]",
            "    Begin a session: record the keys of all commands, by time or by bytes, and tell the <k> hottest (10).",
            "    It ends after that many seconds or with STOP. SAMPLE records one of so many keys.",
            "STOP",
            "    End the session. What it has recorded stays until RESET.",
            "TOP [BY <OPS|CPU|IN|OUT>] [COUNT <count>]",
            "    The hottest keys of the last seconds (10), without a session: by operations, time, or bytes received or sent.",
            "HELP",
            "    Print this help.",
        ],
    );
    Ok(())
}

fn top(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let (mut measure, mut most) = (Measure::Ops, 10);
    while args.left() > 0 {
        if args.keyword_with_value("BY") {
            let found = MEASURES.into_iter().find(|m| args.keyword(name(*m)));
            measure = found.ok_or(Error::SYNTAX)?;
        } else if args.keyword_with_value("COUNT") {
            let error = Error::new("ERR COUNT must be between 1 and 100");
            most = args.int_in(1..=MOST, error);
            args.check()?;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    if !ctx.engine.config().flag("hotkey-tracking") {
        return Err(Error::new(
            "ERR hotkey-tracking is off: no command is looked at",
        ));
    }
    let found = hottest(ctx, measure, most as usize);
    // Time is told in microseconds, as everywhere.
    let scale = if measure == Measure::Cpu { 1000 } else { 1 };
    let out = &mut *ctx.out;
    out.map(4);
    out.bulk(b"by");
    out.bulk(name(measure).to_ascii_lowercase().as_bytes());
    out.bulk(b"window-ms");
    out.int(found.window_ms as i64);
    out.bulk(b"total");
    out.int((found.total / scale) as i64);
    out.bulk(b"keys");
    out.array(found.keys.len());
    for hot in &found.keys {
        out.map(5);
        out.bulk(b"key");
        out.bulk(&hot.key);
        out.bulk(b"db");
        out.int(hot.db as i64);
        out.bulk(b"value");
        out.int((hot.value / scale) as i64);
        out.bulk(b"error");
        out.int((hot.error / scale) as i64);
        out.bulk(b"per-second");
        out.double(hot.value as f64 / scale as f64 * 1000.0 / found.window_ms.max(1) as f64);
    }
    Ok(())
}

/// How TOP calls a measure.
fn name(measure: Measure) -> &'static str {
    match measure {
        Measure::Ops => "OPS",
        Measure::Cpu => "CPU",
        Measure::In => "IN",
        Measure::Out => "OUT",
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::TestClient;

    #[test]
    fn a_session_is_begun_and_ended() {
        let mut c = TestClient::new();
        c.check("HOTKEYS GET", "nil");
        c.check("HOTKEYS STOP", "nil");
        c.check("HOTKEYS START METRICS 2 CPU NET COUNT 3", "OK");
        c.check(
            "HOTKEYS START METRICS 1 CPU",
            "-ERR hotkey tracking session already in progress",
        );
        c.check(
            "HOTKEYS RESET",
            "-ERR hotkey tracking session in progress, stop tracking first",
        );
        for line in [
            "SET a 1; SET a 1; SET b 1; PING; MSET c 1 d 2",
            "MULTI; SET a 1; GET a; EXEC",
            "EVAL \"return redis.call('set', 'hidden', 1)\" 1 e",
        ] {
            c.run(line);
        }
        let told = c.run("HOTKEYS GET");
        assert!(
            told.starts_with(
                r#"[["tracking-active" 1 "sample-ratio" 1 "selected-slots" [[0 16383]]"#
            ),
            "{told}"
        );
        let by_net = told.split("by-net-bytes").nth(1).expect("a list");
        // SET of a three times, one GET of it, and their replies.
        assert!(by_net.starts_with("\" [\"a\" "), "{told}");
        assert!(!told.contains("hidden"), "{told}");
        c.check("HOTKEYS STOP", "OK");
        assert!(c.run("HOTKEYS GET").contains(r#""tracking-active" 0"#));
        c.check("HOTKEYS RESET; HOTKEYS GET", "nil");
    }

    #[test]
    fn wrong_sessions_are_refused() {
        let mut c = TestClient::new();
        for (line, error) in [
            ("", "METRICS parameter is required"),
            ("METRICS", "METRICS parameter is required"),
            ("METRICS 0", "METRICS count must be > 0 and <= 2"),
            (
                "METRICS 1 FOO",
                "METRICS no valid metrics passed. Supported: CPU|NET",
            ),
            ("METRICS 1 CPU NET", "syntax error"),
            (
                "METRICS 2 CPU",
                "METRICS count does not match number of metric types provided",
            ),
            ("METRICS 2 CPU CPU", "METRICS CPU defined more than once!"),
            ("METRICS 1 CPU COUNT 65", "COUNT must be between 1 and 64"),
            (
                "METRICS 1 CPU DURATION 0",
                "DURATION must be between 1 and 1000000",
            ),
            ("METRICS 1 CPU SAMPLE 0", "SAMPLE ratio must be positive"),
            (
                "METRICS 1 CPU SLOTS 1 5",
                "SLOTS parameter cannot be used in non-cluster mode",
            ),
        ] {
            c.check(&format!("HOTKEYS START {line}"), &format!("-ERR {error}"));
        }
    }

    #[test]
    fn the_top_is_always_known() {
        let mut c = TestClient::new();
        c.run("SET a 1; GET a; GET a; GET b; SELECT 3; SET c 1");
        let told = c.run("HOTKEYS TOP COUNT 2");
        assert!(told.contains(r#""by" "ops""#), "{told}");
        assert!(
            told.contains(r#"["key" "a" "db" 0 "value" 3 "error" 0"#),
            "{told}"
        );
        assert!(!told.contains(r#""c""#), "{told}");
        let told = c.run("HOTKEYS TOP");
        assert!(
            told.contains(r#"["key" "c" "db" 3 "value" 1 "error" 0"#),
            "{told}"
        );
        for by in ["cpu", "in", "out"] {
            assert!(
                c.run(&format!("HOTKEYS TOP BY {by}"))
                    .contains(r#""key" "a""#)
            );
        }
        c.check("HOTKEYS TOP BY x", "-ERR syntax error");
        c.run("CONFIG SET hotkey-top-k 1");
        let told = c.run("HOTKEYS GET");
        assert!(told.starts_with(r#"[["key" "a" "db" 0 "qps" "#), "{told}");
        c.check("HOTKEYS RESET", "OK");
        assert!(!c.run("HOTKEYS TOP").contains(r#""key" "a""#));
    }

    /// Switched off, nothing is sampled, in transactions neither, and nobody is told what was known before.
    #[test]
    fn hot_keys_can_be_switched_off() {
        let mut c = TestClient::new();
        c.run("CONFIG SET hotkey-top-k 5 hotkey-tracking no; SET before 1");
        c.check("MULTI; SET within 1; EXEC", "[OK]");
        c.check(
            "HOTKEYS TOP",
            "-ERR hotkey-tracking is off: no command is looked at",
        );
        c.check("HOTKEYS GET", "nil");
        assert!(
            c.run("OBJECT FREQ before")
                .contains("LFU maxmemory policy is not selected")
        );
        c.run("CONFIG SET maxmemory-policy allkeys-lfu");
        assert!(!c.run("OBJECT FREQ before").starts_with('-'));
        // A session of its own sees commands all the same.
        c.run("HOTKEYS START METRICS 1 NET; SET recorded 1");
        assert!(c.run("HOTKEYS GET").contains("recorded"));
        c.run("CONFIG SET hotkey-tracking yes; SET after 1");
        let told = c.run("HOTKEYS TOP");
        assert!(told.contains(r#""key" "after""#), "{told}");
        assert!(
            !told.contains("before") && !told.contains("within"),
            "{told}"
        );
    }
}
