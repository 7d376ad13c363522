//! Isolation: nobody ever sees a state between two steps of one transaction, script or command on several keys.
//!
//! Accounts hold 100 each. Threads move money between random accounts, each in its own way: by WATCH, MULTI and EXEC; by a
//! script with declared keys; by a script that is told the accounts as plain arguments; by a script that reads one
//! account, then the other, then writes; by transactions of commands and such scripts, with WATCH and without. Meanwhile others sum up all accounts by one MGET, by a transaction of GETs, and
//! by a script with undeclared keys. The sum never differs.

use redpoll_tests::check::show;
use redpoll_tests::rng::Rng;
use redpoll_tests::{Client, Server};
use resp::Value;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

const ACCOUNTS: usize = 12;
const START: i64 = 100;

const DECLARED: &str =
    "redis.call('DECRBY', KEYS[1], ARGV[1]) redis.call('INCRBY', KEYS[2], ARGV[1]) return 1";
const UNDECLARED: &str =
    "redis.call('DECRBY', ARGV[2], ARGV[1]) redis.call('INCRBY', ARGV[3], ARGV[1]) return 1";
const READ_FIRST: &str = "local a, b = redis.call('GET', ARGV[2]), redis.call('GET', ARGV[3]) \
    redis.call('SET', ARGV[2], a - ARGV[1]) redis.call('SET', ARGV[3], b + ARGV[1]) return 1";
const GIVE: &str = "return redis.call('INCRBY', ARGV[2], ARGV[1])";
/// Writes to a hash too large to be put back, so that the script cannot be undone.
const DEFINITE: &str = "redis.call('HINCRBY', 'log', ARGV[2], 1) redis.call('DECRBY', ARGV[2], ARGV[1]) \
    redis.call('INCRBY', ARGV[3], ARGV[1]) return 1";
const SUM: &str = "local sum = 0 for i = 0, ARGV[1] - 1 do sum = sum + redis.call('GET', 'account:' .. i) end return sum";

fn account(n: usize) -> String {
    format!("account:{n}")
}

fn two(rng: &mut Rng) -> (String, String) {
    let from = rng.below(ACCOUNTS);
    let to = (from + 1 + rng.below(ACCOUNTS - 1)) % ACCOUNTS;
    (account(from), account(to))
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Int(n) => *n,
        Value::Bulk(text) => String::from_utf8_lossy(text).parse().expect("a number"),
        other => panic!("not a number: {}", show(other)),
    }
}

fn transfer(client: &mut Client, how: usize, rng: &mut Rng) {
    let (from, to) = two(rng);
    let amount = (1 + rng.below(5)).to_string();
    let eval = |client: &mut Client, script: &str| {
        let reply = client.call(&["EVAL", script, "0", &amount, &from, &to]);
        assert_eq!(show(&reply), "1");
    };
    match how {
        0 => loop {
            client.call(&["WATCH", &from, &to]);
            let a = number(&client.call(&["GET", &from])) - amount.parse::<i64>().unwrap();
            let b = number(&client.call(&["GET", &to])) + amount.parse::<i64>().unwrap();
            client.run("MULTI");
            client.call(&["SET", &from, &a.to_string()]);
            client.call(&["SET", &to, &b.to_string()]);
            if client.run("EXEC") != Value::Null {
                break;
            }
        },
        1 => {
            client.run("MULTI");
            client.call(&["DECRBY", &from, &amount]);
            client.call(&["INCRBY", &to, &amount]);
            assert!(matches!(client.run("EXEC"), Value::Array(_)));
        }
        2 => {
            let reply = client.call(&["EVAL", DECLARED, "2", &from, &to, &amount]);
            assert_eq!(show(&reply), "1");
        }
        3 => eval(client, UNDECLARED),
        4 => eval(client, READ_FIRST),
        5 => eval(client, DEFINITE),
        6 => {
            client.run("MULTI");
            client.call(&["EVAL", UNDECLARED, "0", &amount, &from, &to]);
            assert!(matches!(client.run("EXEC"), Value::Array(_)));
        }
        7 => {
            // A command and a script that reaches further than is known.
            client.run("MULTI");
            client.call(&["DECRBY", &from, &amount]);
            client.call(&["EVAL", GIVE, "0", &amount, &to]);
            assert!(matches!(client.run("EXEC"), Value::Array(_)));
        }
        8 => {
            client.run("MULTI");
            client.call(&["EVAL", DECLARED, "2", &from, &to, &amount]);
            client.call(&["EVAL", READ_FIRST, "0", &amount, &to, &from]);
            client.call(&["EVAL", DEFINITE, "0", &amount, &from, &to]);
            assert!(matches!(client.run("EXEC"), Value::Array(_)));
        }
        _ => loop {
            client.call(&["WATCH", &from]);
            let a = number(&client.call(&["GET", &from])) - amount.parse::<i64>().unwrap();
            client.run("MULTI");
            client.call(&["SET", &from, &a.to_string()]);
            client.call(&["EVAL", GIVE, "0", &amount, &to]);
            if client.run("EXEC") != Value::Null {
                break;
            }
        },
    }
}

fn sum(client: &mut Client, how: usize) -> i64 {
    let all: Vec<String> = (0..ACCOUNTS).map(account).collect();
    match how {
        0 => {
            let mut command = vec!["MGET".to_owned()];
            command.extend(all);
            let Value::Array(items) = client.call(&command) else {
                panic!("MGET answers an array")
            };
            items.iter().map(number).sum()
        }
        1 => {
            client.run("MULTI");
            for key in &all {
                client.call(&["GET", key]);
            }
            let Value::Array(items) = client.run("EXEC") else {
                panic!("EXEC answers an array")
            };
            items.iter().map(number).sum()
        }
        _ => number(&client.call(&["EVAL", SUM, "0", &ACCOUNTS.to_string()])),
    }
}

#[test]
fn money_moves_and_the_sum_stays() {
    let server = Server::redpoll_with(&["--threads", "4"]);
    let mut client = server.connect();
    for i in 0..ACCOUNTS {
        client.call(&["SET", &account(i), &START.to_string()]);
    }
    for i in 0..3000 {
        client.call(&["HSET", "log", &format!("field:{i}"), "0"]);
    }
    let (over, sums) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let movers: Vec<_> = (0..10)
            .map(|how| {
                let server = &server;
                scope.spawn(move || {
                    let (mut client, mut rng) = (server.connect(), Rng::new(how as u64 + 1));
                    for _ in 0..1000 {
                        transfer(&mut client, how, &mut rng);
                    }
                })
            })
            .collect();
        for how in 0..3 {
            let (server, over, sums) = (&server, &over, &sums);
            scope.spawn(move || {
                let mut client = server.connect();
                while !over.load(Relaxed) {
                    let total = sum(&mut client, how);
                    assert_eq!(
                        total,
                        ACCOUNTS as i64 * START,
                        "reader {how} saw a transfer half done"
                    );
                    sums.fetch_add(1, Relaxed);
                }
            });
        }
        let ended: Vec<_> = movers.into_iter().map(|m| m.join()).collect();
        over.store(true, Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
    assert!(sums.load(Relaxed) > 0);
    assert_eq!(sum(&mut client, 0), ACCOUNTS as i64 * START);
}
