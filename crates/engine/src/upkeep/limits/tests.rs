//! The thread that keeps to the limits, a look at a time.

use super::*;
use crate::testing::TestClient;

fn look(keeper: &mut Keeper, db: &TestClient) -> Rest {
    keeper.clients_at = None;
    keeper.tick(&db.engine, db.worker.counters())
}

/// Without a limit it sleeps; above it it evicts; with room it rests, and if nothing may go it does not spin.
#[test]
fn it_works_as_much_as_there_is_to_do() {
    let mut db = TestClient::with(&[("maxmemory-policy", "allkeys-lru")]);
    let mut keeper = Keeper::default();
    for i in 0..2000 {
        db.run(&format!("SET k{i} {}", "v".repeat(500)));
    }
    assert_eq!(look(&mut keeper, &db), Rest::Long);
    db.check("CONFIG SET maxmemory 1gb", "OK");
    assert_eq!(look(&mut keeper, &db), Rest::For(RESTS.1));
    db.check("DBSIZE", "2000");
    db.engine.measure_memory(true);
    let half = db.engine.memory().used() - 500_000;
    db.check(&format!("CONFIG SET maxmemory {half}"), "OK");
    while look(&mut keeper, &db) == Rest::None {}
    let left: usize = db.run("DBSIZE").parse().unwrap();
    assert!((700..1200).contains(&left), "{left}");
    assert!(db.engine.memory().used() <= half);
    db.check("CONFIG SET maxmemory 1 maxmemory-policy volatile-ttl", "OK");
    assert_eq!(look(&mut keeper, &db), Rest::Stuck);
    db.check("DBSIZE", &left.to_string());
}

/// The clients that take most go first, and not those who have said that they are not to.
#[test]
fn clients_that_take_most_are_disconnected() {
    let mut db = TestClient::new();
    let mut others: Vec<TestClient> = (0..4).map(|_| db.another()).collect();
    for (i, client) in others.iter_mut().enumerate() {
        let bytes = [100_000, 400_000, 300_000, 200_000][i];
        client.session.client().set_buffers(bytes, 0, 0, 0);
    }
    others[1].run("CLIENT NO-EVICT ON");
    db.check("CONFIG SET maxmemory-clients 600kb", "OK");
    look(&mut Keeper::default(), &db);
    let killed: Vec<bool> = others
        .iter()
        .map(|client| client.session.client().kill_requested())
        .collect();
    assert_eq!(killed, [false, false, true, true]);
    assert!(db.run("INFO stats").contains("evicted_clients:2\\r\\n"));
}

/// Pages that many removals have left partly empty are given back, when memory is short or at any time.
#[test]
fn free_slots_are_moved_together() {
    for short in [true, false] {
        free_slots(short);
    }
}

fn free_slots(short: bool) {
    let mut db = TestClient::with(&[("shards", "1")]);
    // So many that they are not moved in one go.
    const KEYS: usize = 120_000;
    for i in 0..KEYS {
        db.run(&format!("SET k{i} {}", "v".repeat(200)));
    }
    for i in 0..KEYS {
        if i % 4 != 0 {
            db.run(&format!("DEL k{i}"));
        }
    }
    let engine = db.engine.clone();
    let ks = engine.keyspace();
    let (used, idle) = (ks.bytes(), ks.idle_bytes());
    assert!(idle > used, "{idle} {used}");
    match short {
        true => db.check(&format!("CONFIG SET maxmemory {}", used + used / 2), "OK"),
        false => db.check("CONFIG SET activedefrag yes", "OK"),
    };
    let mut keeper = Keeper::default();
    look(&mut keeper, &db);
    assert!(db.run("INFO memory").contains("active_defrag_running:1"));
    while keeper.moving.is_some() {
        // It takes a part of the time only.
        std::thread::sleep(Duration::from_millis(1));
        look(&mut keeper, &db);
    }
    assert!(db.run("INFO memory").contains("active_defrag_running:0"));
    assert!(ks.idle_bytes() < idle / 8, "{}", ks.idle_bytes());
    db.check("DBSIZE", &(KEYS / 4).to_string());
    db.check("STRLEN k4000", "200");
}

/// Commands that find no room wait for it, and messages until it is known whether clients can be disconnected for them; who looks
/// after the limit calls both.
#[test]
fn who_waits_for_room_is_called() {
    use crate::testing::Asked;
    for (policy, line, reply) in [
        ("allkeys-lru", "SET new v", "OK"),
        ("noeviction", "PUBLISH c m", "0"),
    ] {
        let mut db = TestClient::with(&[("maxmemory-policy", policy)]);
        for i in 0..20_000 {
            db.run(&format!("SET k{i} {}", "v".repeat(500)));
        }
        db.check("CONFIG SET maxmemory 2mb", "OK");
        let mut keeper = Keeper::default();
        assert_eq!(db.run(line), "");
        assert!(matches!(db.asked, Asked::Retry(_)), "{line}");
        assert!(!db.session.is_called(), "{line}");
        look(&mut keeper, &db);
        assert!(db.session.is_called(), "{line}");
        let mut said = db.run(line);
        while said.is_empty() {
            look(&mut keeper, &db);
            said = db.run(line);
        }
        assert_eq!(said, reply);
    }
}

/// Those who have been disconnected count until they have gone. Until then nobody says that disconnecting helps nothing: whoever
/// sends messages would go on and fill what the others leave.
#[test]
fn who_is_going_is_waited_for() {
    let db = TestClient::with(&[("maxmemory", "1mb")]);
    let mut keeper = Keeper::default();
    let stay = || db.engine.memory().clients_stay.load(Relaxed);
    let greedy = db.another();
    greedy.session.client().set_buffers(30 << 20, 0, 0, 0);
    look(&mut keeper, &db);
    assert!(greedy.session.client().kill_requested());
    look(&mut keeper, &db);
    assert!(db.engine.memory().used() > db.engine.memory().bound());
    assert!(!stay());
    drop(greedy);
    // One that may not be disconnected stays.
    let mut kept = db.another();
    kept.run("CLIENT NO-EVICT ON");
    kept.session.client().set_buffers(30 << 20, 0, 0, 0);
    // The first look disconnects everybody else.
    look(&mut keeper, &db);
    look(&mut keeper, &db);
    assert!(stay());
}
