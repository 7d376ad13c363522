//! Any bytes as a redis.conf, as arguments of CONFIG SET, and as rules of a user: nothing panics, and what is taken is written so that it is
//! read back as the same.

use crate::config::Config;
use crate::config::host::NoHost;
use crate::context::engine::Engine;
use std::ffi::OsString;
use std::sync::Arc;

/// Everything that a configuration says, as CONFIG GET answers it.
fn all(config: &Config) -> Vec<(String, String)> {
    let mut values = Vec::new();
    config.get_matching(b"*", &mut |name, value| {
        values.push((name.to_owned(), value.to_owned()));
    });
    values
}

fn read(text: &[u8]) -> Option<Config> {
    let dash = [OsString::from("-")];
    Config::from_args_and(dash.into_iter(), &mut &text[..]).ok()
}

/// A redis.conf. What CONFIG REWRITE makes of one that is taken says the same.
pub fn conf(data: &[u8]) {
    // Other files are nothing that an input should choose.
    if data
        .windows(7)
        .any(|part| part.eq_ignore_ascii_case(b"include"))
    {
        return;
    }
    let Some(config) = read(data) else { return };
    let rewritten = config.rewritten(&String::from_utf8_lossy(data), &[]);
    let again = read(rewritten.as_bytes());
    let again = again.unwrap_or_else(|| panic!("what was rewritten is refused:\n{rewritten}"));
    assert_eq!(all(&again), all(&config), "{rewritten}");
}

/// Lines of a name and a value for CONFIG SET. What a directive was set to it can be set to again.
pub fn config_set(data: &[u8]) {
    let config = Config::default();
    for line in data.split(|byte| *byte == b'\n') {
        let at = line.iter().position(|byte| *byte == b' ');
        let (name, value) = line.split_at(at.unwrap_or(line.len()));
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let before = all(&config);
        if config.set(&[(name, value)], &NoHost).is_err() {
            assert_eq!(all(&config), before, "a failed CONFIG SET changes nothing");
            continue;
        }
        let name = String::from_utf8_lossy(name);
        let text = config.text(&name);
        let again = config.set(&[(name.as_bytes(), text.as_bytes())], &NoHost);
        assert_eq!(again, Ok(()), "{name} was told as {text:?}");
        assert_eq!(config.text(&name), text, "{name}");
    }
}

/// Rules of a user, with spaces between them. A user's line makes another one who is the same.
pub fn acl_rules(data: &[u8]) {
    let engine = Engine::new(Config::default(), Arc::new(NoHost));
    let split = |text: &[u8]| -> Vec<Vec<u8>> {
        let words = text.split(|byte| *byte == b' ');
        words.map(<[u8]>::to_vec).collect()
    };
    let set = |name: &[u8], words: &[Vec<u8>]| {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        engine.users.set(name, &words, false).is_ok()
    };
    let line = |name: &[u8]| engine.users.get(name).map(|user| user.rules());
    if !set(b"one", &split(data)) {
        assert!(line(b"one").is_none(), "rules that are refused make nobody");
        return;
    }
    let rules = line(b"one").expect("a user that was made");
    assert!(set(b"other", &split(&rules)), "{}", rules.escape_ascii());
    let again = line(b"other").expect("a user that was made");
    assert_eq!(
        again.escape_ascii().to_string(),
        rules.escape_ascii().to_string()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Samples, and the same with parts of each other put in, taken out or changed: the same ones in each run.
    fn replay(run: fn(&[u8]), samples: &[&str], inputs: usize) {
        samples.iter().for_each(|sample| run(sample.as_bytes()));
        let state = Cell::new(1u64);
        for _ in 0..inputs {
            // SplitMix64.
            let below = |n: usize| {
                state.set(state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
                let mixed = (state.get() ^ (state.get() >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                ((mixed ^ (mixed >> 31)) % n.max(1) as u64) as usize
            };
            let mut input = samples[below(samples.len())].as_bytes().to_vec();
            for _ in 0..1 + below(4) {
                let (at, to) = (below(input.len()), below(input.len()));
                let other = samples[below(samples.len())].as_bytes();
                let start = below(other.len());
                let part = &other[start..other.len().min(start + 1 + below(12))];
                match below(4) {
                    0 if !input.is_empty() => input[at] = below(256) as u8,
                    1 => drop(input.drain(at.min(to)..at.max(to))),
                    _ => drop(input.splice(at..at, part.iter().copied())),
                }
            }
            println!("{}", input.escape_ascii());
            run(&input);
        }
    }

    #[test]
    fn configurations() {
        let samples = [
            "port 7000\nbind 127.0.0.1 -::1\n# a comment\nsave 60 1\nsave 300 10\n",
            "maxmemory 100mb\nmaxmemory-policy allkeys-lru\nrequirepass \"a b\\\"\\x41\"\n",
            "client-output-buffer-limit pubsub 32mb 8mb 60\nnotify-keyspace-events KEA\n",
            "shutdown-on-sigterm save now\noom-score-adj-values 1 2 3\nlogfile ''\n",
            "user ann on >pw ~* +@all\nproc-title-template \"{title} {port}\"\nsave \"\"\n",
        ];
        replay(conf, &samples, 2000);
    }

    #[test]
    fn arguments_of_config_set() {
        let samples = [
            "maxmemory 10%\nmaxmemory 1gb\nmaxmemory-clients 5%\nsave 60 1 300 2\nsave \n",
            "client-output-buffer-limit normal 1 2 3 slave 4mb 5 6\nbind * -::*\n",
            "notify-keyspace-events gxKE\nlatency-tracking-info-percentiles 50 99.9\n",
            "shutdown-on-sigint force nosave\noom-score-adj-values 0 -5 9\nproc-title-template {port}\n",
            "hash-max-listpack-entries 7\nloglevel DEBUG\ntls-protocols TLSv1.2 TLSv1.3\n",
        ];
        replay(config_set, &samples, 800);
    }

    #[test]
    fn rules() {
        let samples = [
            "on >pw ~key:* %R~read:* %W~w:* &ch* +@all -@dangerous +config|get",
            "on nopass allkeys allchannels allcommands (+get ~x) (~y +@write -set)",
            "reset -@all +select|0 db=0,3 resetchannels &a &b sanitize-payload",
            "off resetpass #0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef clearselectors",
            "%RW~a* ~b +@read -get +get +client|id -client|kill alldbs",
        ];
        replay(acl_rules, &samples, 400);
    }
}
