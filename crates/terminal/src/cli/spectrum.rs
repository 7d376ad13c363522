//! How long things take, as a distribution: of PING in colours (`--latency-dist`), and of the machine itself, without any server
//! (`--intrinsic-latency`).

use super::session::{Failure, Session, show};
use std::fmt::Write;
use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

/// A class of times: its letter, and the longest one in microseconds.
const CLASSES: [(char, u64); 31] = [
    ('.', 10),
    ('-', 125),
    ('*', 250),
    ('#', 500),
    ('1', 1_000),
    ('2', 2_000),
    ('3', 3_000),
    ('4', 4_000),
    ('5', 5_000),
    ('6', 6_000),
    ('7', 7_000),
    ('8', 8_000),
    ('9', 9_000),
    ('A', 10_000),
    ('B', 20_000),
    ('C', 30_000),
    ('D', 40_000),
    ('E', 50_000),
    ('F', 100_000),
    ('G', 200_000),
    ('H', 300_000),
    ('I', 400_000),
    ('J', 500_000),
    ('K', 1_000_000),
    ('L', 2_000_000),
    ('M', 4_000_000),
    ('N', 8_000_000),
    ('O', 16_000_000),
    ('P', 30_000_000),
    ('Q', 60_000_000),
    ('?', u64::MAX),
];

/// Colours of xterm's 256 for shares from none to all, as redis-cli has them.
const COLOURS: [u8; 19] = [
    0, 233, 234, 235, 237, 239, 241, 243, 245, 247, 144, 143, 142, 184, 226, 214, 208, 202, 196,
];

/// Lines between two explanations.
const LINES: u32 = 20;

/// Between two PINGs.
const PAUSE: Duration = Duration::from_millis(10);

/// A line each second, or as often as the options say, until somebody ends it.
pub fn distribution(session: &mut Session) -> Result<(), Failure> {
    let time = session.options.interval.unwrap_or(Duration::from_secs(1));
    let mut line = 0;
    loop {
        let begun = Instant::now();
        let (mut counts, mut all) = ([0; CLASSES.len()], 0);
        while begun.elapsed() < time {
            let sent = Instant::now();
            session.connection()?.call(&["PING"])?;
            count(&mut counts, sent.elapsed());
            all += 1;
            std::thread::sleep(PAUSE);
        }
        if all == 0 {
            return Err("-i is too short for a single PING".into());
        }
        if line % LINES == 0 {
            show(explanation().as_bytes())?;
        }
        line += 1;
        show(coloured(&counts, all).as_bytes())?;
        io::Write::flush(&mut io::stdout()).ok();
    }
}

fn count(counts: &mut [u64; CLASSES.len()], took: Duration) {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    counts[CLASSES.partition_point(|(_, longest)| *longest < us)] += 1;
}

/// What letters and colours mean.
fn explanation() -> String {
    let rule = "---------------------------------------------\n";
    let mut text = rule.to_owned()
        + ". - * #          .01 .125 .25 .5 milliseconds\n\
           1,2,3,...,9      from 1 to 9     milliseconds\n\
           A,B,C,D,E        10,20,30,40,50  milliseconds\n\
           F,G,H,I,J        .1,.2,.3,.4,.5       seconds\n\
           K,L,M,N,O,P,Q,?  1,2,4,8,16,30,60,>60 seconds\n\
           From 0 to 100%: ";
    for colour in COLOURS {
        // Writing to a string does not fail.
        let _ = write!(text, "\x1b[48;5;{colour}m ");
    }
    text + "\x1b[0m\n" + rule
}

/// A letter for each class, on the colour of its share.
fn coloured(counts: &[u64; CLASSES.len()], all: u64) -> String {
    let mut text = String::from("\x1b[38;5;0m");
    for ((letter, _), count) in CLASSES.iter().zip(counts) {
        let most = COLOURS.len() as u64 - 1;
        let colour = COLOURS[(count * most).div_ceil(all) as usize];
        let _ = write!(text, "\x1b[48;5;{colour}m{letter}");
    }
    text + "\x1b[0m\n"
}

/// How long a piece of work that always takes the same time takes at most: longer ones are the system's doing, and no server
/// on it can be quicker.
pub fn intrinsic(time: Duration) -> Result<(), Failure> {
    let begun = Instant::now();
    let (mut runs, mut longest, mut worst) = (0u64, 0, Duration::ZERO);
    while begun.elapsed() < time {
        let started = Instant::now();
        work();
        let took = started.elapsed();
        runs += 1;
        worst = worst.max(took);
        let us = took.as_micros();
        if us > longest {
            longest = us;
            show(format!("Max latency so far: {us} microseconds.\n").as_bytes())?;
            io::Write::flush(&mut io::stdout()).ok();
        }
    }
    if runs == 0 {
        return Err("the time is too short for a single run".into());
    }
    let average = begun.elapsed().as_secs_f64() * 1e6 / runs as f64;
    let text = format!(
        "\n{runs} total runs (avg latency: {average:.4} microseconds / {:.2} nanoseconds per run).\n\
         Worst run took {:.0}x longer than the average latency.\n",
        average * 1e3,
        worst.as_secs_f64() * 1e6 / average
    );
    show(text.as_bytes())
}

/// Computing that takes some hundred nanoseconds.
fn work() {
    let mut mixed = 1u64;
    for i in 0..100 {
        mixed = black_box(mixed.rotate_left(7) ^ i);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_classes_and_shares_colours() {
        let mut counts = [0; CLASSES.len()];
        for us in [10, 11, 125, 126, 9_000, 9_001, 60_000_000, 60_000_001] {
            count(&mut counts, Duration::from_micros(us));
        }
        let letters: String = CLASSES
            .iter()
            .zip(&counts)
            .flat_map(|((letter, _), n)| std::iter::repeat_n(letter, *n as usize))
            .collect();
        assert_eq!(letters, ".--*9AQ?");
        let line = coloured(&counts, 8);
        // None, one in eight, two in eight.
        assert!(line.contains("\x1b[48;5;0m#") && line.contains("\x1b[48;5;235m."));
        assert!(line.contains("\x1b[48;5;239m-"), "{line:?}");
        let one = coloured(&{ [1; CLASSES.len()] }, 1);
        assert_eq!(one.matches("\x1b[48;5;196m").count(), CLASSES.len());
    }
}
