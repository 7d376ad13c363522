//! A program that is killed in the middle of its work and finds its data again.
//!
//! It starts itself a second time; that child counts, takes orders off a queue and books them, as fast as it can, each change on
//! the disk before the next begins, and says what it has done. The parent kills it without a warning (SIGKILL), opens the
//! folder, and compares what is there with what the child said.
//!
//! ```sh
//! cargo run -p redpoll --example killed
//! ```

use redpoll::{Db, Durability, Files, Result};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// How often the child is killed.
const ROUNDS: usize = 5;

/// What the child does until it is killed. Each line that it writes is a promise.
fn work(folder: &Path) -> Result {
    let db = Db::open(Files::at(folder).durability(Durability::Always))?;
    let mut out = std::io::stdout().lock();
    loop {
        let order = db.incr("orders")?;
        db.rpush("queue", order.to_string())?;
        // Off the queue and into the books in one step: never in both, never in neither.
        let moved = db.execute(["LMOVE", "queue", "booked", "LEFT", "RIGHT"]);
        moved?;
        if writeln!(out, "{order}").and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
}

/// Kills a child after some lines; the last number it gave its word for.
fn one_round(folder: &Path, lines: usize) -> std::io::Result<i64> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("work")
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut promised = 0;
    if let Some(out) = child.stdout.take() {
        let mut out = BufReader::new(out).lines();
        for line in out.by_ref().take(lines) {
            promised = line?.parse().unwrap_or(0);
        }
        child.kill()?;
        // What it wrote before the end counts too; the last line may be cut off.
        for line in out.map_while(std::result::Result::ok) {
            promised = line.parse().unwrap_or(promised).max(promised);
        }
    }
    child.wait()?;
    Ok(promised)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|word| word == "work") {
        let folder = args.next().ok_or("work in which folder?")?;
        work(Path::new(&folder))?;
        return Ok(());
    }
    let folder = std::env::temp_dir().join(format!("redpoll-killed-{}", std::process::id()));
    for round in 1..=ROUNDS {
        let promised = one_round(&folder, 40 * round)?;
        let db = Db::open(&*folder)?;
        let orders: i64 = db
            .get("orders")?
            .map_or(0, |n| n.to_string_lossy().parse().unwrap_or(0));
        let waiting = db.llen("queue")? as i64;
        let booked = db.llen("booked")? as i64;
        println!(
            "round {round}: promised {promised}, found {orders} orders, {booked} booked, {waiting} waiting"
        );
        // One more of each may be there, of which the child did not come to tell.
        if orders < promised || booked < promised || orders - (booked + waiting) > 1 {
            return Err("something that was promised is not there".into());
        }
        // The next round begins with everything in order.
        while db.execute(["LMOVE", "queue", "booked", "LEFT", "RIGHT"])? != redpoll::Value::Null {}
        if orders > booked + waiting {
            db.rpush("booked", orders.to_string())?;
        }
        if round == ROUNDS / 2 {
            db.rewrite()?;
        }
    }
    std::fs::remove_dir_all(&folder)?;
    println!("everything that was promised was there");
    Ok(())
}
