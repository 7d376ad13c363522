//! LCS: the longest common subsequence of two strings.
//!
//! The usual table of lengths, one row per byte of the first string. It takes time and memory in proportion to the
//! product of the lengths, so anything but small inputs is computed on a helper thread, on copies, with no lock held.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::context::ctx::Ctx;
use crate::ops::strings::text;
use resp::Out;
use resp::number::parse_i64;
use std::sync::atomic::Ordering::Relaxed;
use store::Type;

/// Inputs whose table has at most this many cells are computed where they are: some tens of microseconds.
const SMALL: usize = 1 << 14;

#[derive(Clone, Copy, Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: usize,
}

/// Handles LCS.
pub fn lcs(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let keys = [args.take(), args.take()];
    let mut inputs = [Vec::new(), Vec::new()];
    for (key, input) in keys.iter().zip(&mut inputs) {
        if let Some(e) = ctx.keys.read(key) {
            if e.kind() != Type::String {
                return Err(Error::new(
                    "ERR The specified keys must contain string values",
                ));
            }
            *input = text(e.value(), &mut [0; 20]).to_vec();
        }
    }
    let mut options = Options::default();
    while args.left() > 0 && !args.failed() {
        if args.keyword("IDX") {
            options.idx = true;
        } else if args.keyword("LEN") {
            options.len = true;
        } else if args.keyword("WITHMATCHLEN") {
            options.with_match_len = true;
        } else if args.keyword_with_value("MINMATCHLEN") {
            match parse_i64(args.take()) {
                Some(n) => options.min_match_len = n.max(0) as usize,
                None => args.fail(Error::NOT_AN_INTEGER),
            }
        } else {
            args.fail(Error::SYNTAX);
        }
    }
    args.check()?;
    if options.idx && options.len {
        return Err(Error::new(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    let [a, b] = inputs;
    let cells = (a.len() as u128 + 1) * (b.len() as u128 + 1);
    let most = ctx.engine.config().live.proto_max_bulk_len.load(Relaxed);
    if cells * 4 > most as u128 {
        return Err(Error::new(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    if cells as usize <= SMALL {
        compute(&a, &b, options, ctx.out);
    } else {
        ctx.offload(Box::new(move |out| compute(&a, &b, options, out)));
    }
    Ok(())
}

fn compute(a: &[u8], b: &[u8], options: Options, out: &mut Out) {
    let width = b.len() + 1;
    let mut table = vec![0u32; (a.len() + 1) * width];
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            table[i * width + j] = if a[i - 1] == b[j - 1] {
                table[(i - 1) * width + j - 1] + 1
            } else {
                table[(i - 1) * width + j].max(table[i * width + j - 1])
            };
        }
    }
    let total = table[a.len() * width + b.len()] as usize;
    if options.len {
        out.int(total as i64);
        return;
    }
    let mut found = Vec::with_capacity(if options.idx { 0 } else { total });
    let mut mark = None;
    let mut matches = 0;
    if options.idx {
        out.map(2);
        out.bulk(b"matches");
        mark = Some(out.begin_array());
    }
    // Back from the end; `run` is the stretch of equal bytes being followed: (start in a, start in b, length).
    let (mut i, mut j) = (a.len(), b.len());
    let mut run: Option<(usize, usize, usize)> = None;
    let mut emit = |out: &mut Out, run: Option<(usize, usize, usize)>| {
        if let Some((x, y, n)) = run
            && options.idx
            && n >= options.min_match_len
        {
            out.array(2 + usize::from(options.with_match_len));
            for start in [x, y] {
                out.array(2);
                out.int(start as i64);
                out.int((start + n - 1) as i64);
            }
            if options.with_match_len {
                out.int(n as i64);
            }
            matches += 1;
        }
    };
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            if !options.idx {
                found.push(a[i - 1]);
            }
            run = match run {
                Some((x, y, n)) if x == i && y == j => Some((i - 1, j - 1, n + 1)),
                other => {
                    emit(out, other);
                    Some((i - 1, j - 1, 1))
                }
            };
            i -= 1;
            j -= 1;
        } else if table[(i - 1) * width + j] > table[i * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    emit(out, run);
    if let Some(mark) = mark {
        out.end_array(mark, matches);
        out.bulk(b"len");
        out.int(total as i64);
    } else {
        found.reverse();
        out.bulk(&found);
    }
}
