//! A data set that follows another one, which a server in this very program may serve.

use redpoll::Db;
use std::time::Duration;

/// While nobody is there to be followed, everything is as it would be with a link that broke.
#[test]
fn a_server_that_is_not_there() {
    let db = Db::replicate("redis://127.0.0.1:1").unwrap();
    assert_eq!(db.wait_for_link(Duration::from_millis(1)), Ok(false));
    assert_eq!(db.get("k").unwrap(), None);
    assert!(
        db.set("k", "v")
            .unwrap_err()
            .to_string()
            .starts_with("READONLY")
    );
    while db.link_error().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    db.promote().unwrap();
    assert_eq!(db.wait_for_link(Duration::ZERO), Ok(false));
    db.set("k", "v").unwrap();
    assert_eq!(db.get("k").unwrap().unwrap(), "v");
}

/// What is asked of a link where there never was one is an error.
#[test]
fn a_database_that_follows_nobody() {
    let db = Db::open(redpoll::Config::default()).unwrap();
    assert!(db.wait_for_link(Duration::ZERO).is_err());
    assert!(db.link_error().is_err());
    assert!(db.promote().is_err());
}
