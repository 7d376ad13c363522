//! Lists with `list-compress-depth`: what they take, and that everybody reads them as if they were not compressed.

use redpoll_tests::check::{check, check_args, show};
use redpoll_tests::server::Folder;
use redpoll_tests::{Client, Server, eventually, every_peer};
use resp::Value;
use rustix::process::Signal;

/// Elements such as queues have them, a few that are large, and some that nothing shortens.
fn elements() -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut noise = |n: usize| -> Vec<u8> {
        let byte = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        (0..n).map(byte).collect()
    };
    (0..6000)
        .map(|i| match i % 500 {
            100 => format!("{{\"large\":\"{}\"}}", "payload ".repeat(2000)).into_bytes(),
            200..220 => noise(700),
            300 => i.to_string().into_bytes(),
            _ => format!("{{\"id\":{i},\"state\":\"waiting\",\"queue\":\"mail\"}}").into_bytes(),
        })
        .collect()
}

fn fill(client: &mut Client, key: &str, elements: &[Vec<u8>]) {
    for chunk in elements.chunks(200) {
        let mut command = vec![b"RPUSH".to_vec(), key.as_bytes().to_vec()];
        command.extend_from_slice(chunk);
        client.call(&command);
    }
}

fn all(client: &mut Client, key: &str) -> Vec<Vec<u8>> {
    match client.call(&["LRANGE", key, "0", "-1"]) {
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::Bulk(bytes) => bytes,
                other => panic!("{other:?}"),
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn usage(client: &mut Client, key: &str) -> i64 {
    match client.call(&["MEMORY", "USAGE", key, "SAMPLES", "0"]) {
        Value::Int(n) => n,
        other => panic!("{other:?}"),
    }
}

/// A compressed list takes a fraction, is counted as what it takes, and comes out of files and payloads as it was, with and without
/// compression there; in a real server too.
#[test]
fn compressed_lists_are_lists_like_others() {
    let elements = elements();
    let server = Server::redpoll_with(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    fill(&mut client, "plain", &elements);
    check(&mut client, "CONFIG SET list-compress-depth 1", "OK");
    check(
        &mut client,
        "CONFIG GET list-compress-depth",
        "[\"list-compress-depth\", \"1\"]",
    );
    fill(&mut client, "k", &elements);
    let (plain, small) = (usage(&mut client, "plain"), usage(&mut client, "k"));
    assert!(small * 2 < plain, "{small} of {plain} bytes");
    check(&mut client, "OBJECT ENCODING k", "\"quicklist\"");
    assert!(all(&mut client, "k") == elements);
    let digest = client.call(&["DEBUG", "DIGEST-VALUE", "plain"]);
    assert_eq!(client.call(&["DEBUG", "DIGEST-VALUE", "k"]), digest);
    for i in [0, 7, 100, 101, 210, 2999, 3000, 5899, 5999] {
        let at = i.to_string();
        assert_eq!(
            client.call(&["LINDEX", "k", &at]),
            Value::Bulk(elements[i].clone())
        );
        let found = elements.iter().position(|e| *e == elements[i]).unwrap();
        assert_eq!(
            client.call(&[b"LPOS".as_slice(), b"k", &elements[i]]),
            Value::Int(found as i64)
        );
    }
    // It goes on being small, and being right, when it is changed.
    let mut changed = elements.clone();
    for i in (5..6000).step_by(37) {
        let new = format!("{{\"id\":{i},\"state\":\"done\"}}");
        check_args(&mut client, &["LSET", "k", &i.to_string(), &new], "OK");
        changed[i] = new.into_bytes();
    }
    assert!(all(&mut client, "k") == changed);
    assert!(
        usage(&mut client, "k") * 2 < plain,
        "{} of {plain} bytes",
        usage(&mut client, "k")
    );
    check(&mut client, "COPY k copy", "1");
    assert!(all(&mut client, "copy") == changed);
    check(&mut client, "SORT k BY nosort STORE sorted", "6000");
    assert!(all(&mut client, "sorted") == changed);
    for compression in ["yes", "no"] {
        check_args(
            &mut client,
            &["CONFIG", "SET", "rdbcompression", compression],
            "OK",
        );
        check(&mut client, "DEBUG RELOAD", "OK");
        assert!(
            all(&mut client, "k") == changed,
            "rdbcompression {compression}"
        );
        assert!(usage(&mut client, "k") * 2 < plain);
        let Value::Bulk(payload) = client.call(&["DUMP", "k"]) else {
            panic!("no payload");
        };
        let restore = |peer: &mut Client, key: &str| {
            let argv: [&[u8]; 4] = [b"RESTORE", key.as_bytes(), b"0", &payload];
            assert_eq!(show(&peer.call(&argv)), "OK");
            assert!(all(peer, key) == changed, "{key}");
        };
        restore(&mut client, &format!("restored:{compression}"));
        for peer in every_peer("compressed_lists_are_lists_like_others") {
            let other = Server::peer(&peer, &[]);
            restore(&mut other.connect(), "k");
        }
    }
    // Every element once, from both ends.
    let mut left = changed.as_slice();
    while let [first, rest @ ..] = left {
        assert_eq!(client.call(&["LPOP", "k"]), Value::Bulk(first.clone()));
        left = rest;
        if let [rest @ .., last] = left {
            assert_eq!(client.call(&["RPOP", "k"]), Value::Bulk(last.clone()));
            left = rest;
        }
    }
    check(&mut client, "EXISTS k", "0");
}

/// A snapshot holds compressed lists as they were at one moment, however they change while it is written.
#[test]
fn compressed_lists_that_change_while_they_are_saved() {
    const LISTS: usize = 10;
    let elements = elements();
    let dir = Folder::new();
    let args = [
        "--list-compress-depth",
        "2",
        "--save",
        "",
        "--dir",
        dir.text(),
    ];
    let mut server = Server::redpoll_with(&args);
    let mut client = server.connect();
    for i in 0..LISTS {
        fill(&mut client, &format!("k{i}"), &elements);
    }
    let mut steps: Vec<Vec<String>> = Vec::new();
    for i in 0..LISTS {
        let key = format!("k{i}");
        for at in (3..6000).step_by(501) {
            steps.push(
                ["LSET", &key, &at.to_string(), "changed"]
                    .map(String::from)
                    .into(),
            );
        }
        steps.push(["LTRIM", &key, "1000", "4000"].map(String::from).into());
    }
    check(&mut client, "BGSAVE", "Background saving started");
    for (i, step) in steps.iter().enumerate() {
        client.run("MULTI");
        client.call(step);
        client.call(&["SET", "step", &i.to_string()]);
        client.run("EXEC");
    }
    eventually("it is saved", || {
        show(&client.run("INFO persistence")).contains("rdb_bgsave_in_progress:0")
    });
    drop(client);
    server.signal(Signal::KILL);
    server.wait();
    let again = Server::redpoll_with(&args);
    let mut client = again.connect();
    // Which step was the last before its moment.
    let done = match client.run("GET step") {
        Value::Bulk(n) => String::from_utf8(n).unwrap().parse::<usize>().unwrap() + 1,
        _ => 0,
    };
    let mut model = vec![elements; LISTS];
    for step in &steps[..done] {
        let list = &mut model[step[1][1..].parse::<usize>().unwrap()];
        match step[0].as_str() {
            "LSET" => list[step[2].parse::<usize>().unwrap()] = b"changed".to_vec(),
            _ => *list = list[1000..=4000].to_vec(),
        }
    }
    for (i, list) in model.iter().enumerate() {
        let found = all(&mut client, &format!("k{i}"));
        assert!(found == *list, "k{i} is not as it was after {done} steps");
    }
}
