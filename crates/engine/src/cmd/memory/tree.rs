//! MEMORY TREE: where memory is, by prefix, type and expiry, and which keys are the largest, as the last walk over all keys has
//! found it ([`crate::context::surveyed`]).

use crate::base::args::Args;
use crate::base::clock::unix_ms;
use crate::base::error::{Error, Result};
use crate::base::tree::{Node, Sum, TYPES};
use crate::context::ctx::Ctx;
use resp::Out;

/// Children that are told if nobody says how many.
const CHILDREN: i64 = 50;

/// Most that may be asked for.
const MOST: i64 = 1000;

pub(super) fn memory_tree(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    args.take();
    let (mut prefix, mut most, mut db, mut refresh): (&[u8], _, _, _) =
        (b"", CHILDREN, ctx.session.db, false);
    while args.left() > 0 {
        if args.keyword_with_value("PREFIX") {
            prefix = args.take();
        } else if args.keyword_with_value("COUNT") {
            let error = Error::new("ERR COUNT must be between 1 and 1000");
            most = args.int_in(1..=MOST, error);
        } else if args.keyword_with_value("DB") {
            let last = ctx.engine.keyspace().databases() as i64 - 1;
            db = args.int_in(0..=last, Error::DB_INDEX) as usize;
        } else if args.keyword("REFRESH") {
            refresh = true;
        } else {
            return Err(Error::SYNTAX);
        }
        args.check()?;
    }
    if !ctx.engine.config().flag("memory-survey") {
        return Err(Error::new(
            "ERR memory-survey is off: nobody walks over the keys",
        ));
    }
    if refresh {
        ctx.engine.surveyed.ring();
    }
    let ks = ctx.engine.keyspace();
    let keys = (0..ks.databases()).map(|db| ks.counts(db).keys as u64);
    let Some((round, is_complete)) = ctx.engine.surveyed.told(keys.sum()) else {
        // The first walk, or the first since there are so many keys, has just begun.
        ctx.engine.surveyed.ring();
        ctx.out.null();
        return Ok(());
    };
    let part = match is_complete {
        true => Part::ALL,
        false => {
            let seen = round.trees.roots.get(&db).map_or(0, |root| root.all.keys);
            let keys = ks.counts(db).keys as u64;
            // Keys that are gone have been seen too.
            let keys = keys.max(seen);
            Part { seen, keys }
        }
    };
    let (none, now_ms) = (Node::default(), unix_ms());
    let (node, name) = round
        .trees
        .find(db, prefix)
        .unwrap_or_else(|| (&none, prefix.to_vec()));
    let out = &mut *ctx.out;
    out.map(12);
    out.bulk(b"age-ms");
    out.int(now_ms.saturating_sub(round.began_ms) as i64);
    out.bulk(b"took-ms");
    out.int(round.took_ms as i64);
    out.bulk(b"seen-percent");
    out.int(part.percent());
    out.bulk(b"db");
    out.int(db as i64);
    out.bulk(b"prefix");
    out.bulk(&name);
    write_node(out, node, part);
    let mut children: Vec<(&[u8], &Node)> = node
        .children
        .iter()
        .map(|(name, child)| (&**name, child))
        .collect();
    children.sort_by(|a, b| (b.1.all.bytes, a.0).cmp(&(a.1.all.bytes, b.0)));
    children.truncate(most as usize);
    out.bulk(b"children");
    out.array(children.len());
    for (step, child) in children {
        out.map(7);
        out.bulk(b"prefix");
        out.bulk(&[&name, step].concat());
        write_node(out, child, part);
        out.bulk(b"children");
        out.int(child.children.len() as i64);
    }
    let big = round.trees.big();
    let big = big
        .into_iter()
        .filter(|big| big.db == db && big.key.starts_with(prefix));
    let big: Vec<_> = big.take(most as usize).collect();
    out.bulk(b"largest");
    out.array(big.len());
    for key in big {
        out.map(3);
        out.bulk(b"key");
        out.bulk(&key.key);
        out.bulk(b"type");
        out.bulk(key.kind.as_bytes());
        out.bulk(b"bytes");
        out.int(key.bytes as i64);
    }
    Ok(())
}

/// How much of a database a walk has seen.
#[derive(Clone, Copy)]
struct Part {
    seen: u64,
    keys: u64,
}

impl Part {
    const ALL: Part = Part { seen: 1, keys: 1 };

    fn percent(self) -> i64 {
        (self.seen * 100).checked_div(self.keys).unwrap_or(100) as i64
    }

    /// What a figure of that part comes to for all.
    fn scale(self, figure: u64) -> i64 {
        let all = u128::from(figure) * u128::from(self.keys);
        all.checked_div(self.seen.into()).unwrap_or(0) as i64
    }
}

/// Five pairs of a node.
fn write_node(out: &mut Out, node: &Node, part: Part) {
    out.bulk(b"keys");
    out.int(part.scale(node.all.keys));
    out.bulk(b"bytes");
    out.int(part.scale(node.all.bytes));
    out.bulk(b"expiring");
    out.int(part.scale(node.expiring.keys));
    out.bulk(b"avg-ttl-ms");
    out.int(node.left_ms.checked_div(node.expiring.keys).unwrap_or(0) as i64);
    out.bulk(b"types");
    let types = TYPES.iter().zip(&node.types);
    let types: Vec<(&str, &Sum)> = types
        .filter(|(_, sum)| sum.keys > 0)
        .map(|(kind, sum)| (kind.name(), sum))
        .collect();
    out.map(types.len());
    for (name, sum) in types {
        out.bulk(name.as_bytes());
        out.array(2);
        out.int(part.scale(sum.keys));
        out.int(part.scale(sum.bytes));
    }
}

#[cfg(test)]
mod tests {
    use crate::base::sizes::Sizes;
    use crate::base::tree::{Counted, Trees};
    use crate::context::surveyed::Round;
    use crate::testing::TestClient;
    use store::Type;

    #[test]
    fn prefixes_are_told_by_size() {
        let mut c = TestClient::new();
        c.check("MEMORY TREE", "nil");
        let mut trees = Trees::default();
        for (name, bytes, left_ms) in [
            (&b"user:1:mail"[..], 100, None),
            (b"user:1:name", 50, Some(3000)),
            (b"log:1", 1000, None),
        ] {
            let kind = Type::String;
            let counted = Counted {
                kind,
                bytes,
                left_ms,
            };
            trees.count(0, name, counted);
        }
        c.engine.surveyed.put(Round {
            trees,
            sizes: Sizes::default(),
            began_ms: 1,
            took_ms: 5,
        });
        let told = c.run("MEMORY TREE");
        assert!(told.contains(r#""took-ms" 5 "seen-percent" 100 "db" 0 "prefix" "" "keys" 3 "bytes" 1150 "expiring" 1 "avg-ttl-ms" 3000 "types" ["string" [3 1150]]"#), "{told}");
        let log = told.find(r#"["prefix" "log:" "keys" 1"#).expect("a child");
        let user = told.find(r#"["prefix" "user:" "keys" 2"#).expect("a child");
        assert!(log < user, "{told}");
        let told = c.run("MEMORY TREE PREFIX user:1: COUNT 1");
        assert!(
            told.contains(r#""children" [["prefix" "user:1:mail" "#),
            "{told}"
        );
        assert!(
            told.contains(r#""largest" [["key" "user:1:mail" "type" "string" "bytes" 100]]"#),
            "{told}"
        );
        assert!(c.run("MEMORY TREE DB 3").contains(r#""keys" 0"#));
        assert!(c.run("MEMORY TREE PREFIX nosuch:").contains(r#""keys" 0"#));
        c.check(
            "MEMORY TREE COUNT 0",
            "-ERR COUNT must be between 1 and 1000",
        );
        c.check("MEMORY TREE x", "-ERR syntax error");
        c.run("CONFIG SET memory-survey no");
        assert!(
            c.run("MEMORY TREE")
                .starts_with("-ERR memory-survey is off")
        );
    }
}
