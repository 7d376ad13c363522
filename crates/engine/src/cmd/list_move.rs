//! LMOVEM and BLMOVEM: several elements from one list to another.
//!
//! The reference is the published documentation of Redis 8.10 (redis.io, LMOVEM and BLMOVEM), where no server is at hand. Nothing
//! moved with EXACTLY is a null array in RESP2, as with LMPOP.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::list::{end, limits, list_len, pop_event, pop_verb, push_event, push_verb};
use crate::context::command::{
    BLOCKING, Command, DENYOOM, Group, KS_ACCESS, KS_DELETE, KS_INSERT, KS_RW, KeySpec, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::keys::Keys;
use crate::follow::waiting::{Wait, timeout_seconds};
use resp::Out;
use resp::number::format_i64;
use store::Type;
use store::types::list::{End, Item, Limits, List};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("blmovem", -6, WRITE | DENYOOM | BLOCKING, Group::List, "8.10.0", blmovem)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE), KeySpec::at(2, KS_RW | KS_INSERT)])
        .args("source:key destination:key#1 wherefrom(LEFT | RIGHT) whereto(LEFT | RIGHT) timeout:double \
               [how-many{selector(COUNT count:int | EXACTLY exactly:int) ordering(OBO | BULK)}]")
        .docs("Moves several elements from one list to another; waits for them if they are not there.",
              "O(N), N being the number of elements moved"),
    row("lmovem", -5, WRITE | DENYOOM, Group::List, "8.10.0", lmovem)
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_DELETE), KeySpec::at(2, KS_RW | KS_INSERT)])
        .args("source:key destination:key#1 wherefrom(LEFT | RIGHT) whereto(LEFT | RIGHT) \
               [how-many{selector(COUNT count:int | EXACTLY exactly:int) ordering(OBO | BULK)}]")
        .docs("Moves several elements from one list to another.",
              "O(N), N being the number of elements moved"),
];

/// Which elements to move, and how.
#[derive(Clone, Copy)]
struct Request {
    from: End,
    to: End,
    count: usize,
    /// All of them or none.
    exactly: bool,
    /// They keep their order, else each is moved by itself.
    bulk: bool,
}

impl Request {
    fn take_ends(args: &mut Args<'_>) -> Result<Request> {
        let (from, to) = (end(args), end(args));
        args.check()?;
        Ok(Request {
            from,
            to,
            count: 1,
            exactly: false,
            bulk: false,
        })
    }

    fn take_count(mut self, mut args: Args<'_>) -> Result<Request> {
        const BAD: Error = Error::fixed("ERR count should be greater than 0");
        if args.left() > 0 {
            self.exactly = args.keyword_with_value("EXACTLY");
            if !self.exactly && !args.keyword_with_value("COUNT") {
                return Err(Error::SYNTAX);
            }
            let n = args.int_in(1..=i64::MAX, BAD);
            self.count = n as usize;
            self.bulk = args.keyword("BULK");
            if !self.bulk && !args.keyword("OBO") {
                args.fail(Error::SYNTAX);
            }
        }
        args.finish()?;
        Ok(self)
    }

    /// Moves and answers with what was moved, in the order in which it stands now; false if there is too little.
    fn run(
        self,
        keys: &mut Keys<'_>,
        (source, target): (&[u8], &[u8]),
        limits: Limits,
        out: &mut Out,
    ) -> Result<bool> {
        let Some(len) = list_len(keys, source)? else {
            return Ok(false);
        };
        let n = len.min(self.count);
        if self.exactly && n < self.count {
            return Ok(false);
        }
        let other = keys.write(target);
        if other.is_some_and(|found| found.get().kind() != Type::List) {
            return Err(Error::WRONG_TYPE);
        }
        // As they stand at the destination in the end.
        let mut moved: Vec<Vec<u8>> = Vec::with_capacity(n);
        let take = |list: &mut List, moved: &mut Vec<Vec<u8>>| {
            for _ in 0..n {
                moved.extend(list.pop(self.from, limits, |item| item.to_vec()));
            }
            let reversed = match self.bulk {
                true => self.from == End::Back,
                false => self.to == End::Front,
            };
            if reversed {
                moved.reverse();
            }
        };
        let put = |list: &mut List, moved: &[Vec<u8>]| {
            let items = moved.iter().map(|bytes| Item::Bytes(bytes));
            match self.to {
                End::Back => list.push(End::Back, items, limits),
                End::Front => list.push(End::Front, items.rev(), limits),
            }
        };
        if source == target {
            keys.edit(source, |list: &mut List| {
                take(list, &mut moved);
                put(list, &moved);
            })?;
        } else {
            keys.edit(source, |list: &mut List| take(list, &mut moved))?;
            keys.edit_or_create(target, |list: &mut List| put(list, &moved))?;
        }
        keys.changed_times(target, push_event(self.to), n);
        keys.changed_too(source, pop_event(self.from));
        self.record(keys, (source, target), &moved, n == len);
        out.array(n);
        moved.iter().for_each(|bytes| out.bulk(bytes));
        Ok(true)
    }

    /// Writes it down as commands that older servers know. `all`: nothing else was in the source.
    fn record(
        self,
        keys: &mut Keys<'_>,
        (source, target): (&[u8], &[u8]),
        moved: &[Vec<u8>],
        all: bool,
    ) {
        if !keys.recording() {
            return;
        }
        let mut push: Vec<&[u8]> = vec![push_verb(self.to), target];
        match self.to {
            End::Back => push.extend(moved.iter().map(|bytes| &bytes[..])),
            End::Front => push.extend(moved.iter().rev().map(|bytes| &bytes[..])),
        }
        let mut digits = [0; 20];
        let n = format_i64(moved.len() as i64, &mut digits);
        if source != target {
            keys.record(&push);
            keys.record(&[pop_verb(self.from), source, n]);
        } else if all {
            // A list that is emptied in between would lose its expiry: the old elements go from behind the new ones.
            let old = match self.to {
                End::Back => End::Front,
                End::Front => End::Back,
            };
            keys.record(&push);
            keys.record(&[pop_verb(old), source, n]);
        } else {
            keys.record(&[pop_verb(self.from), source, n]);
            keys.record(&push);
        }
    }
}

fn lmovem(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, target) = (args.take(), args.take());
    let request = Request::take_ends(&mut args)?.take_count(args)?;
    let limits = limits(ctx.engine);
    if !request.run(&mut ctx.keys, (source, target), limits, ctx.out)? {
        match request.exactly {
            true => ctx.out.null_array(),
            false => ctx.out.array(0),
        }
    }
    Ok(())
}

fn blmovem(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, target) = (args.take(), args.take());
    let request = Request::take_ends(&mut args)?;
    let timeout = args.take();
    let request = request.take_count(args)?;
    let timeout = timeout_seconds(timeout, ctx.keys.now_ms)?;
    let limits = limits(ctx.engine);
    if request.run(&mut ctx.keys, (source, target), limits, ctx.out)? {
        return Ok(());
    }
    let own_target: Box<[u8]> = target.into();
    let attempt = move |ks: &mut Keys<'_>, key: &[u8], out: &mut Out| {
        // Something else than a list does not end the wait.
        let is_list = matches!(ks.peek_view::<List>(key), Ok(Some(_)));
        Ok(is_list && request.run(ks, (key, &own_target), limits, out)?)
    };
    ctx.block(Wait {
        further: Some(target),
        ..Wait::new(&[source], timeout, Box::new(attempt))
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::TestClient;

    /// The examples of the published documentation and what it says of errors: `line | reply`, in one database.
    const TALK: &str = r#"
RPUSH s 1 2 3 4; LMOVEM s d LEFT LEFT COUNT 2 OBO | ["2" "1"]
LRANGE s 0 -1 | ["3" "4"]
LRANGE d 0 -1 | ["2" "1"]
LMOVEM s d LEFT LEFT EXACTLY 5 BULK | nil
DEL s; RPUSH s a b c; LMOVEM s s LEFT LEFT EXACTLY 2 OBO | ["b" "a"]
LRANGE s 0 -1 | ["b" "a" "c"]
LMOVEM s s LEFT LEFT EXACTLY 2 BULK | ["b" "a"]
LRANGE s 0 -1 | ["b" "a" "c"]
LMOVEM s s LEFT RIGHT COUNT 9 BULK | ["b" "a" "c"]
DEL s d; RPUSH s 1 2 3 4 5; LMOVEM s d RIGHT RIGHT COUNT 3 OBO | ["5" "4" "3"]
DEL s d; RPUSH s 1 2 3 4 5; LMOVEM s d RIGHT RIGHT COUNT 3 BULK | ["3" "4" "5"]
LMOVEM s d LEFT LEFT COUNT 2 BULK | ["1" "2"]
LRANGE d 0 -1 | ["1" "2" "3" "4" "5"]
EXISTS s | 0
LMOVEM d s LEFT RIGHT | ["1"]
LMOVEM none d LEFT RIGHT | []
LMOVEM none d LEFT RIGHT COUNT 5 BULK | []
LMOVEM none d LEFT RIGHT EXACTLY 5 BULK | nil
LMOVEM s d LEFT RIGHT COUNT 0 BULK | -ERR count should be greater than 0
LMOVEM s d LEFT RIGHT EXACTLY a BULK | -ERR count should be greater than 0
LMOVEM s d LEFT RIGHT COUNT 2 | -ERR syntax error
LMOVEM s d LEFT RIGHT COUNT 2 OBO extra | -ERR syntax error
LMOVEM s d LEFT RIGHT bad 2 OBO | -ERR syntax error
LMOVEM s d bad RIGHT | -ERR syntax error
SET t v; LMOVEM t d LEFT RIGHT | -WRONGTYPE Operation against a key holding the wrong kind of value
LMOVEM s t LEFT RIGHT | -WRONGTYPE Operation against a key holding the wrong kind of value
LRANGE s 0 -1 | ["1"]
MULTI; BLMOVEM none d LEFT RIGHT 0 EXACTLY 3 BULK; EXEC | [nil]
"#;

    #[test]
    fn examples() {
        let mut c = TestClient::new();
        for line in TALK.lines().filter(|line| !line.is_empty()) {
            let (call, reply) = line.rsplit_once(" | ").expect("a call and a reply");
            c.check(call, reply);
        }
    }

    #[test]
    fn exactly_waits_for_all_of_them() {
        let mut c = TestClient::new();
        let mut other = c.another();
        c.block("BLMOVEM s d LEFT RIGHT 0 EXACTLY 3 BULK");
        other.check("RPUSH s 1 2", "2");
        other.check("EXISTS d", "0");
        other.check("LINSERT s BEFORE 1 0", "3");
        c.check_blocked("[\"0\" \"1\" \"2\"]");
        other.check("LRANGE d 0 -1", "[\"0\" \"1\" \"2\"]");
        c.block("BLMOVEM s d LEFT LEFT 0 COUNT 5 OBO");
        other.check("RPUSH s a b", "2");
        c.check_blocked("[\"b\" \"a\"]");
    }

    #[test]
    fn events() {
        let mut c = TestClient::new();
        c.run("RPUSH s a b c");
        c.check_events("LMOVEM s d LEFT RIGHT COUNT 2 BULK", "rpush d, lpop s");
        c.check_events(
            "LMOVEM s d LEFT RIGHT COUNT 2 BULK",
            "rpush d, lpop s, del s",
        );
    }

    /// Against moving one by one with LMOVE, and against a plain vector.
    #[test]
    fn agrees_with_a_model() {
        let mut c = TestClient::new();
        let mut seed = 7u64;
        let mut below = |n: u64| {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) % n
        };
        let mut lists: [Vec<u64>; 2] = [Vec::new(), Vec::new()];
        for step in 0..600 {
            let (s, d) = (below(2) as usize, below(2) as usize);
            if lists[s].len() < 3 {
                lists[s].push(step);
                c.run(&format!("RPUSH l{s} {step}"));
            }
            let (left, to_left, bulk, exactly) =
                (below(2) == 0, below(2) == 0, below(2) == 0, below(2) == 0);
            let count = 1 + below(4) as usize;
            let side = |left| if left { "LEFT" } else { "RIGHT" };
            let line = format!(
                "LMOVEM l{s} l{d} {} {} {} {count} {}",
                side(left),
                side(to_left),
                if exactly { "EXACTLY" } else { "COUNT" },
                if bulk { "BULK" } else { "OBO" },
            );
            let n = count.min(lists[s].len());
            if exactly && n < count {
                c.check(&line, "nil");
                continue;
            }
            let mut moved: Vec<u64> = match left {
                true => lists[s].drain(..n).collect(),
                false => {
                    let at = lists[s].len() - n;
                    let mut tail = lists[s].split_off(at);
                    tail.reverse();
                    tail
                }
            };
            if bulk && !left || !bulk && to_left {
                moved.reverse();
            }
            let at = if to_left { 0 } else { lists[d].len() };
            lists[d].splice(at..at, moved.iter().copied());
            let texts = |list: &[u64]| {
                let texts: Vec<String> = list.iter().map(|n| format!("\"{n}\"")).collect();
                format!("[{}]", texts.join(" "))
            };
            c.check(&line, &texts(&moved));
            for (i, list) in lists.iter().enumerate() {
                c.check(&format!("LRANGE l{i} 0 -1"), &texts(list));
            }
        }
    }
}
