//! XNACK: a consumer gives back what it cannot process.
//!
//! The reference is the published documentation of Redis 8.8 (redis.io, XNACK), where no server is at hand. What it does not say
//! is as with XCLAIM (a group that is not there) and XDELEX (the number of IDs).

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::stream::id_text;
use crate::cmd::stream_groups::{no_key_or_group, tell_silently};
use crate::cmd::stream_ids as ids;
use crate::context::command::{
    Command, FAST, Group as Docs, KS_RW, KS_UPDATE, KeySpec, WRITE, row,
};
use crate::context::ctx::Ctx;
use resp::number::{format_i64, parse_i64};
use store::types::stream::{Group, NOBODY, Pending, Stream, StreamId, StreamRef};

/// The command of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("xnack", -7, WRITE | FAST, Docs::Stream, "8.8.0", xnack)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key group mode(SILENT | FAIL | FATAL) IDS{numids:int id...} [RETRYCOUNT count:int] [FORCE]")
        .docs("Gives pending messages back to their group, for whoever claims them next.", "O(1) for each ID"),
];

/// What becomes of the number of deliveries.
#[derive(Clone, Copy)]
enum Mode {
    /// One less: as if it had not been delivered.
    Silent,
    /// It stays.
    Fail,
    /// The greatest number.
    Fatal,
}

fn xnack(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.take(), args.take());
    let modes = [
        ("SILENT", Mode::Silent),
        ("FAIL", Mode::Fail),
        ("FATAL", Mode::Fatal),
    ];
    let mode = modes.into_iter().find(|(word, _)| args.keyword(word));
    let (_, mode) = mode.ok_or(Error::SYNTAX)?;
    if !args.keyword("IDS") {
        return Err(Error::SYNTAX);
    }
    let count = parse_i64(args.take()).filter(|n| *n > 0);
    let count = count.ok_or(Error::new("ERR Number of IDs must be a positive integer"))?;
    let texts = args.rest().get(..count as usize).ok_or(Error::new(
        "ERR The `numids` parameter must match the number of arguments",
    ))?;
    for _ in texts {
        args.take();
    }
    let (mut deliveries, mut force) = (None, false);
    while args.left() > 0 {
        if deliveries.is_none() && args.keyword_with_value("RETRYCOUNT") {
            let n = args.int();
            args.check()?;
            deliveries = Some(u64::try_from(n).map_err(|_| Error::NOT_POSITIVE)?);
        } else if !force && args.keyword("FORCE") {
            force = true;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let wanted: Vec<StreamId> = texts
        .iter()
        .map(|text| ids::strict(text))
        .collect::<Result<_>>()?;
    let mut released: Vec<(StreamId, u64)> = Vec::new();
    let release = |entries: StreamRef<'_>, group: &mut Group| {
        for id in wanted {
            let old = group.pending(id).copied();
            let new = match (old, deliveries) {
                (None, _) if !(force && entries.contains(id)) => continue,
                (_, Some(n)) => n,
                (_, None) if matches!(mode, Mode::Fatal) => i64::MAX as u64,
                (None, None) => 0,
                (Some(old), None) if matches!(mode, Mode::Silent) => {
                    old.deliveries.saturating_sub(1)
                }
                (Some(old), None) => old.deliveries,
            };
            let pending = Pending {
                consumer: NOBODY,
                // It is pending for longer than any other.
                delivered_ms: 0,
                deliveries: new,
            };
            group.assign(id, pending);
            released.push((id, new));
        }
    };
    // It is looked for to be changed.
    let _ = ctx.keys.write(key);
    let there = ctx.keys.peek_view::<Stream>(key)?;
    if there.and_then(|s| s.group(name)).is_none() {
        return Err(no_key_or_group(key, name));
    }
    ctx.keys
        .edit(key, |s: &mut Stream| s.edit_group(name, release))?;
    if !released.is_empty() {
        tell_silently(&mut ctx.keys, key, released.len());
        record(ctx, key, name, &released);
    }
    ctx.out.int(released.len() as i64);
    Ok(())
}

/// Writes it down so that it comes out the same wherever it is done again. No older command leaves a message to nobody.
fn record(ctx: &mut Ctx<'_>, key: &[u8], name: &[u8], released: &[(StreamId, u64)]) {
    if !ctx.keys.recording() {
        return;
    }
    for (id, deliveries) in released {
        let id = id_text(*id);
        let mut digits = [0; 20];
        let n = format_i64(*deliveries as i64, &mut digits);
        ctx.keys.record(&[
            b"XNACK",
            key,
            name,
            b"FAIL",
            b"IDS",
            b"1",
            &id,
            b"RETRYCOUNT",
            n,
            b"FORCE",
        ]);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::TestClient;

    /// The examples of the published documentation, with IDs that are known.
    #[test]
    fn examples() {
        let mut c = TestClient::new();
        c.run("XADD s 1-0 f v1; XADD s 2-0 f v2; XGROUP CREATE s g 0; XREADGROUP GROUP g c STREAMS s >");
        for (line, reply) in [
            ("XNACK s g FAIL IDS 2 1-0 2-0", "2"),
            (
                "XPENDING s g - + 10",
                r#"[["1-0" "" -1 1] ["2-0" "" -1 1]]"#,
            ),
            ("XPENDING s g", r#"[2 "1-0" "2-0" []]"#),
            ("XNACK s g SILENT IDS 1 1-0", "1"),
            (
                "XNACK s g SILENT IDS 1 1-0; XPENDING s g - + 1",
                r#"[["1-0" "" -1 0]]"#,
            ),
            (
                "XNACK s g FATAL IDS 1 1-0; XPENDING s g - + 1",
                r#"[["1-0" "" -1 9223372036854775807]]"#,
            ),
            (
                "XNACK s g FAIL IDS 1 1-0 RETRYCOUNT 5; XPENDING s g - + 1",
                r#"[["1-0" "" -1 5]]"#,
            ),
            ("XNACK s g FAIL IDS 1 9-0", "0"),
            ("XNACK s g FAIL IDS 1 9-0 FORCE", "0"),
            ("XADD s 9-0 f v; XNACK s g FAIL IDS 1 9-0 FORCE", "1"),
            ("XPENDING s g 9-0 + 1", r#"[["9-0" "" -1 0]]"#),
            ("XACK s g 9-0", "1"),
            ("XCLAIM s g d 100000 1-0 JUSTID", r#"["1-0"]"#),
            ("XPENDING s g", r#"[2 "1-0" "2-0" [["d" "1"]]]"#),
            ("XAUTOCLAIM s g e 100000 0 JUSTID", r#"["0-0" ["2-0"] []]"#),
            (
                "XNACK s g FAIL IDS 0",
                "-ERR wrong number of arguments for 'xnack' command",
            ),
            (
                "XNACK s g FAIL IDS 0 1-0",
                "-ERR Number of IDs must be a positive integer",
            ),
            (
                "XNACK s g FAIL IDS 2 1-0",
                "-ERR The `numids` parameter must match the number of arguments",
            ),
            ("XNACK s g OTHER IDS 1 1-0", "-ERR syntax error"),
            ("XNACK s g FAIL IDS 1 1-0 OTHER", "-ERR syntax error"),
            (
                "XNACK s none FAIL IDS 1 1-0",
                "-NOGROUP No such key 's' or consumer group 'none'",
            ),
        ] {
            c.check(line, reply);
        }
    }

    #[test]
    fn what_was_given_back_is_claimed_first() {
        let mut c = TestClient::new();
        c.run("XADD s 1-0 f v; XADD s 2-0 f v; XADD s 3-0 f v; XGROUP CREATE s g 0");
        c.run("XREADGROUP GROUP g c COUNT 2 STREAMS s >; XNACK s g FAIL IDS 1 2-0");
        let got = c.run("XREADGROUP GROUP g d COUNT 2 CLAIM 100000 STREAMS s >");
        assert!(got.starts_with(r#"[["s" [["2-0" ["f" "v"] 1"#), "{got}");
        assert!(got.ends_with(r#" 1] ["3-0" ["f" "v"] 0 0]]]]"#), "{got}");
        // It goes with DUMP.
        let dumped = c.call(&["DUMP", "s"]);
        c.run("XNACK s g FAIL IDS 1 1-0");
        let Some(resp::Value::Bulk(bytes)) = c.call(&["DUMP", "s"]) else {
            panic!("a payload")
        };
        assert_ne!(dumped, Some(resp::Value::Bulk(bytes.clone())));
        c.call(&[&b"RESTORE"[..], b"t", b"0", &bytes]);
        assert_eq!(c.run("XPENDING t g"), c.run("XPENDING s g"));
        assert!(
            c.run("XPENDING t g - + 1")
                .starts_with(r#"[["1-0" "" -1 1]"#)
        );
    }
}
