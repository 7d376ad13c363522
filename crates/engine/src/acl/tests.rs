//! Users and their rules, with a few commands made up for it.

use super::selector::{Denied, Selector};
use super::*;
use crate::table::registry::Registry;
use crate::table::row::{
    Channels, Command, Databases, FAST, Group, KS_ACCESS, KS_OW, KS_RO, KS_RW, KS_UPDATE, KeySpec,
    READONLY, WRITE, row,
};
use proptest::prelude::*;

const SUBS: &[Command<()>] = &[
    row("config|get", 3, 0, Group::Server, "", ()),
    row("config|set", 4, 0, Group::Server, "", ()),
];

const COMMANDS: &[Command<()>] = &[
    row("get", 2, READONLY | FAST, Group::String, "", ())
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]),
    row("set", 3, WRITE, Group::String, "", ()).keys(&[KeySpec::at(1, KS_OW | KS_UPDATE)]),
    row("type", 2, READONLY, Group::Generic, "", ()).keys(&[KeySpec::at(1, KS_RO)]),
    row("append", 3, WRITE, Group::String, "", ())
        .keys(&[KeySpec::at(1, KS_RW | KS_ACCESS | KS_UPDATE)]),
    row("mget", -2, READONLY, Group::String, "", ()).keys(&[KeySpec::range(
        1,
        -1,
        1,
        KS_RO | KS_ACCESS,
    )]),
    row("select", 2, FAST, Group::Connection, "", ()).databases(Databases::Named(&[1])),
    row("publish", 3, FAST, Group::Pubsub, "", ()).channels(Channels::First),
    row("psubscribe", -2, 0, Group::Pubsub, "", ()).channels(Channels::Patterns),
    row("config", -2, 0, Group::Server, "", ()).subs(SUBS),
];

struct Commands {
    registry: Registry<()>,
    users: Users,
}

impl Commands {
    fn new() -> Commands {
        let registry = Registry::new(&[COMMANDS]);
        let users = Users::new(Catalog::new(&registry), None);
        Commands { registry, users }
    }

    fn user(&self, rules: &str) -> Arc<User> {
        let words: Vec<&[u8]> = rules.split(' ').map(str::as_bytes).collect();
        self.users.remove(b"u");
        let changed = self.users.set(b"u", &words, false);
        let why = |e: Vec<u8>| String::from_utf8_lossy(&e).into_owned();
        changed.map_err(why).expect("rules").now.expect("a user")
    }

    fn check(&self, rules: &str, call: &str) -> Result<(), Denied> {
        let argv: Vec<&[u8]> = call.split(' ').map(str::as_bytes).collect();
        let entry = self.registry.resolve(&argv).expect("a command");
        self.user(rules).check(entry, &argv, 0)
    }
}

/// What some rules allow, and of what they refuse, why.
#[test]
fn rules_allow_and_refuse() {
    use Reason::{Channel, Command, Database, Key};
    let db = Commands::new();
    for (rules, call, refused) in [
        ("+get ~a", "get a", None),
        ("+get ~a", "GET a", None),
        ("+get ~a", "get b", Some((Key, 1))),
        ("~a", "get a", Some((Command, 0))),
        ("+mget ~a ~b*", "mget a b bc", None),
        ("+mget ~a ~b*", "mget a b c d", Some((Key, 3))),
        // Reading and writing.
        ("+@all %R~a", "get a", None),
        ("+@all %R~a", "set a v", Some((Key, 1))),
        ("+@all %W~a", "set a v", None),
        ("+@all %W~a", "get a", Some((Key, 1))),
        ("+@all %W~a", "append a v", Some((Key, 1))),
        ("+@all %R~a %W~a", "append a v", None),
        ("+@all %R~a* %W~*b", "append ab v", Some((Key, 1))),
        // Nothing of the value is shown.
        ("+@all %W~a", "type a", None),
        ("+@all %W~a", "type b", Some((Key, 1))),
        // Globs; a star alone is none for the empty key.
        ("+get ~a?c", "get abc", None),
        ("+get ~[ab]*", "get bx", None),
        ("+get ~[ab]*", "get cx", Some((Key, 1))),
        ("+get ~*b", "get ab", None),
        // Categories, later rules win.
        ("+@read ~*", "get a", None),
        ("+@read -get ~*", "get a", Some((Command, 0))),
        ("+@all -@write ~*", "set a b", Some((Command, 0))),
        ("+@all -@write +set ~*", "set a b", None),
        // Subcommands and first arguments.
        ("+config", "config set a b", None),
        ("+config -config|set", "config set a b", Some((Command, 0))),
        ("+config -config|set", "config get a", None),
        ("+config|get", "config get a", None),
        ("+config|get", "config set a b", Some((Command, 0))),
        ("+select|0", "select 0", None),
        ("+select|0", "select 1", Some((Command, 0))),
        ("+select|0 -select", "select 0", Some((Command, 0))),
        // Channels.
        ("+@all &a*", "publish ab m", None),
        ("+@all &a*", "publish b m", Some((Channel, 1))),
        ("+@all &a*", "psubscribe a*", None),
        ("+@all &a*", "psubscribe ab", Some((Channel, 1))),
        ("+@all &a* &b", "psubscribe b a* c", Some((Channel, 3))),
        // Databases.
        ("+@all ~* db=1", "get a", Some((Database, 0))),
        ("+@all ~* db=0,1", "get a", None),
        ("+@all ~* db=1", "select 1", None),
        ("+@all ~* db=1", "select 2", Some((Database, 1))),
        ("+@all ~* resetdbs", "config get x", None),
        ("+@all ~* db=1 alldbs", "get a", None),
        // Selectors: one has to allow all of it, and the last reason is told.
        ("+get ~a (+set ~b)", "set b v", None),
        ("+get ~a (+set ~b)", "get b", Some((Key, 1))),
        ("+get ~a (+mget ~a ~b)", "mget a b c", Some((Key, 3))),
        (
            "(+set ~b) clearselectors +get ~a",
            "set b v",
            Some((Command, 0)),
        ),
        ("+@all ~* reset", "get a", Some((Command, 0))),
    ] {
        let told = db.check(rules, call).err().map(|d| (d.reason, d.at));
        assert_eq!(told, refused, "{rules}: {call}");
    }
}

/// A change is seen by its version, and by who asks for the user again.
#[test]
fn versions() {
    let db = Commands::new();
    let user = db.user("on nopass");
    let before = db.users.version();
    assert_eq!(db.users.renewed(&user).1, before);
    db.users.set(b"u", &[b"off"], false).expect("a rule");
    assert!(db.users.version() > before);
    let (now, version) = db.users.renewed(&user);
    assert!(!now.expect("the same user").enabled && version == db.users.version());
    // Another that has its name is another.
    db.users.remove(b"u");
    db.users.set(b"u", &[], false).expect("no rules");
    assert!(db.users.renewed(&user).0.is_none());
}

#[test]
fn lost_channels() {
    let db = Commands::new();
    for (before, after, lost) in [
        ("&a &b", "&a &b &c", false),
        ("&a &b", "&a", true),
        ("allchannels", "&a", true),
        ("&a", "allchannels", false),
        ("&a", "(&a)", false),
        ("&a (&b)", "&b", true),
        ("resetchannels", "resetchannels", false),
    ] {
        let before_user = db.user(before);
        let lost_now = db.user(after).has_lost_channels(&before_user);
        assert_eq!(lost_now, lost, "{before} -> {after}");
    }
}

/// A user that can do everything is so at a glance, whichever selector says so.
#[test]
fn all_powerful() {
    let db = Commands::new();
    for (rules, all) in [
        ("+@all ~* &*", true),
        ("+@all ~* &* -get", false),
        ("+@all ~* &* -get +get", true),
        ("+@all ~* &* -get -set +get", false),
        ("+@all ~*", false),
        ("+@all ~* &* db=0", false),
        ("(+@all ~* &*)", true),
        ("+@all %RW~* &*", false),
    ] {
        assert_eq!(db.user(rules).all, all, "{rules}");
    }
}

fn rule() -> impl Strategy<Value = String> {
    let text = "[a-c*?]{0,3}";
    let plain = prop::sample::select(vec![
        "on",
        "off",
        "nopass",
        "resetpass",
        "reset",
        "allkeys",
        "resetkeys",
        "allchannels",
        "resetchannels",
        "allcommands",
        "nocommands",
        "alldbs",
        "resetdbs",
        "sanitize-payload",
        "skip-sanitize-payload",
        "+get",
        "-get",
        "+config",
        "-config|set",
        "+config|get",
        "+select|0",
        "+select|1",
        "-select",
        "+@read",
        "-@read",
        "+@fast",
        "-@slow",
        "+@all",
        "-@all",
        ">p",
        ">q",
        "<p",
        "clearselectors",
        "+nosuch",
        "@read",
        "",
    ]);
    prop_oneof![
        4 => plain.prop_map(str::to_owned),
        1 => text.prop_map(|t| format!("~{t}")),
        1 => text.prop_map(|t| format!("%R~{t}")),
        1 => text.prop_map(|t| format!("%W~{t}")),
        1 => text.prop_map(|t| format!("%rw~{t}")),
        1 => text.prop_map(|t| format!("&{t}")),
        1 => "[0-3](,[0-3]){0,2}".prop_map(|t| format!("db={t}")),
        1 => "[ -~]{0,6}",
    ]
}

fn rules() -> impl Strategy<Value = Vec<String>> {
    let selector =
        prop::collection::vec(rule(), 0..4).prop_map(|words| format!("({})", words.join(" ")));
    prop::collection::vec(prop_oneof![5 => rule(), 1 => selector], 0..12)
}

proptest! {
    /// What a user's rules are printed as makes the same user, and whatever the rules, nothing panics.
    #[test]
    fn rules_are_read_as_they_are_printed(rules in rules(), all_channels: bool) {
        let db = Commands::new();
        let mut user = User::new(b"u", 1, &db.users.catalog, all_channels);
        for rule in &rules {
            let _ = user.apply(rule.as_bytes(), &db.users.catalog, all_channels);
        }
        // A new user may have channels already; the printed rules say which it has either way.
        let file = [user.line(), b"\n".to_vec()].concat();
        let mut read = file::parse("f", &file, &db.users.catalog, all_channels, || 1).expect("a file");
        let read = read.remove(&b"u"[..]).expect("the user");
        prop_assert_eq!(read.line(), user.line());
        prop_assert_eq!(read.root(), user.root());
        prop_assert_eq!(read.selectors(), user.selectors());
        prop_assert_eq!(read.passwords().collect::<Vec<_>>(), user.passwords().collect::<Vec<_>>());
        prop_assert_eq!((read.enabled, read.nopass, read.all), (user.enabled, user.nopass, user.all));
    }

    /// Any text is a file or none, and a file that is none changes nothing.
    #[test]
    fn any_text_may_be_a_file(text in "(user|usr)? ?[a-b]? ?([ -~]{0,5} ?){0,4}\n?(user b (on|off|x|\\(+get))?", bytes: Vec<u8>) {
        let db = Commands::new();
        let before = db.users.lines();
        for text in [text.as_bytes(), &bytes] {
            match db.users.load("f", text, false) {
                Ok(_) => prop_assert!(db.users.get(DEFAULT_USER).is_some()),
                Err(why) => {
                    prop_assert!(why.ends_with("no change to the previously active ACL rules was performed"));
                }
            }
        }
        if db.users.load("f", b"user x nope", false).is_err() && db.users.version() == 2 {
            prop_assert_eq!(db.users.lines(), before);
        }
    }
}

/// The log merges what is alike and of the last minute, among its ten newest.
#[test]
fn the_log_merges() {
    use super::log::{Entry, Kind};
    let mut log = Log::default();
    let entry = |object: &str, at_ms: u64| Entry {
        number: 0,
        count: 1,
        kind: Kind::Permission(Reason::Key),
        context: "toplevel",
        object: object.into(),
        user: b"u".to_vec(),
        client: at_ms.to_string(),
        created_ms: at_ms,
        updated_ms: at_ms,
    };
    log.add(entry("a", 1000), 128);
    log.add(entry("b", 1001), 128);
    log.add(entry("a", 61_000), 128);
    let shown = |log: &Log| {
        let newest = log.newest(99);
        let shown = newest.iter().map(|e| {
            let object = String::from_utf8_lossy(&e.object).into_owned();
            format!(
                "{}:{object}x{} {}-{}",
                e.number, e.count, e.created_ms, e.updated_ms
            )
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(shown(&log), "0:ax2 1000-61000, 1:bx1 1001-1001");
    // Too long ago.
    log.add(entry("b", 61_002), 128);
    assert_eq!(
        shown(&log),
        "2:bx1 61002-61002, 0:ax2 1000-61000, 1:bx1 1001-1001"
    );
    for i in 0..10 {
        log.add(entry(&format!("c{i}"), 61_003), 5);
    }
    assert_eq!(log.newest(99).len(), 5);
    log.add(entry("d", 61_004), 2);
    assert_eq!(log.newest(1)[0].number, 13);
    assert_eq!(log.newest(99).len(), 2);
}

#[test]
fn text_of_a_selector() {
    let db = Commands::new();
    let selector = |text: &str| {
        Selector::parse(text.as_bytes(), &db.users.catalog, false)
            .map(|s| String::from_utf8(s.text()).expect("text"))
    };
    assert_eq!(
        selector("(+get ~a %R~b %W~a &c -GET +@read db=2,1)").as_deref(),
        Ok("~a %R~b resetchannels &c db=1,2 -@all -get +@read")
    );
    assert_eq!(selector("( )").as_deref(), Ok("resetchannels -@all"));
    assert!(selector("(on)").is_err());
    assert_eq!(selector("(~* %X~a)"), Err(super::rules::Wrong::AllKeys));
    assert_eq!(selector("(%X~a)"), Err(super::rules::Wrong::Syntax));
}
