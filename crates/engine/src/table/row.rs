//! What a command is: one `const` row of facts and the function that carries it out.
//!
//! A family of commands (strings, keys, bitmaps ...) is one file under `cmd/`, with its rows at the top and its
//! handlers below. Everything that is ever asked about a command is answered from its row: dispatch takes arity,
//! flags and keys from it, COMMAND and COMMAND DOCS print it, ACL categories derive from it, and the page of
//! supported commands is written from it. There is no second list to keep in step.

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:expr, $text:expr;)*) => {
        $($(#[$doc])* pub const $name: u64 = 1 << $bit;)*
        /// Every command flag with the name COMMAND INFO prints for it, in print order.
        pub const FLAG_NAMES: &[(u64, &str)] = &[$(($name, $text)),*];
    };
}

flags! {
    /// Changes the keyspace.
    WRITE = 0, "write";
    /// Reads keys and changes nothing.
    READONLY = 1, "readonly";
    /// Refused when memory is over `maxmemory`.
    DENYOOM = 2, "denyoom";
    /// An administrator's command.
    ADMIN = 3, "admin";
    /// Part of publish/subscribe.
    PUBSUB = 4, "pubsub";
    /// Not callable from scripts.
    NOSCRIPT = 5, "noscript";
    /// May block the connection.
    BLOCKING = 6, "blocking";
    /// Allowed while the data set is loading.
    LOADING = 7, "loading";
    /// Allowed on a stale replica.
    STALE = 8, "stale";
    /// Not shown by MONITOR.
    SKIP_MONITOR = 9, "skip_monitor";
    /// Not recorded by the slow log.
    SKIP_SLOWLOG = 10, "skip_slowlog";
    /// Accepted during a slot import.
    ASKING = 11, "asking";
    /// Constant or logarithmic time.
    FAST = 12, "fast";
    /// Allowed before authentication.
    NO_AUTH = 13, "no_auth";
    /// May be propagated although it is not a write.
    MAY_REPLICATE = 14, "may_replicate";
    /// Refused while loading asynchronously.
    NO_ASYNC_LOADING = 15, "no_async_loading";
    /// Not allowed inside MULTI.
    NO_MULTI = 16, "no_multi";
    /// Has key arguments that may be absent.
    NO_MANDATORY_KEYS = 19, "no_mandatory_keys";
    /// Keys are not at fixed positions.
    MOVABLEKEYS = 17, "movablekeys";
    /// Allowed while a script is running for too long.
    ALLOW_BUSY = 18, "allow_busy";
    /// Touches keys that are not among its arguments.
    TOUCHES_ARBITRARY_KEYS = 20, "touches_arbitrary_keys";
}

/// Needs every shard's lock for its whole run (FLUSHALL, SWAPDB): a fact about Redpoll, not printed.
pub const ALL_SHARDS: u64 = 1 << 40;
/// The handler takes the locks it needs itself, shard by shard (SCAN, KEYS, DBSIZE): not printed.
/// Bit 42 is [`crate::table::docs::SYSCMD`].
pub const OWN_LOCKS: u64 = 1 << 41;
/// Carried out at once inside MULTI, not queued: not printed.
pub const IN_MULTI: u64 = 1 << 44;
/// Runs a script, which may touch keys that it does not name: not printed.
pub const RUNS_SCRIPT: u64 = 1 << 45;
/// No write, but real servers send it on to replicas: CLIENT PAUSE WRITE holds it back, and who uses MONITOR may not use it.
/// Not printed.
pub const LIKE_WRITE: u64 = 1 << 46;
/// CLIENT and its subcommands: carried out while clients are paused, and CLIENT CACHING is not used up by it. Not printed.
pub const ABOUT_CLIENT: u64 = 1 << 47;
/// Changes the state of the connection it comes from, which later commands of that connection see: the database, the protocol,
/// a transaction, subscriptions and the like. Not printed.
pub const CHANGES_SESSION: u64 = 1 << 48;
/// BY and GET patterns among the arguments name further keys, which dispatch cannot know: a call that has such patterns
/// gets every shard's lock, any other only those of the keys it names (SORT). Not printed.
pub const PATTERN_KEYS: u64 = 1 << 43;

/// Carries out what MULTI has queued (EXEC): it takes the locks of all that, is judged by what all that does, and ends the
/// transaction even if it is refused. Not printed.
pub const RUNS_QUEUE: u64 = 1 << 49;
/// Allowed to a client of RESP2 that subscribes to something; it could not tell other replies from messages. Not printed.
pub const WHILE_SUBSCRIBED: u64 = 1 << 50;
/// Its messages may be gathered and handed out together, for as long as the client sends nothing else (PUBLISH). Not
/// printed.
pub const GATHERS: u64 = 1 << 51;
/// Changes a key of a database that need not be the selected one (MOVE, COPY). Not printed.
pub const OTHER_DB: u64 = 1 << 52;
/// Changes something of keys that its key specs, as real servers print them, call read-only (XREADGROUP). Not printed.
pub const CHANGES_READ_KEYS: u64 = 1 << 53;
/// The score among its arguments is added to the one that is there (ZINCRBY). Not printed.
pub const ADDS_SCORE: u64 = 1 << 54;
/// Looks for where the first member it names stands in the order of its sorted set (ZRANK, ZREM). Not printed.
pub const SEEKS_PLACE: u64 = 1 << 60;
/// All arguments are secret (AUTH). Not printed.
pub const SECRET: u64 = 1 << 55;
/// The two arguments after the word AUTH are secret (HELLO). Not printed.
pub const SECRET_AFTER_AUTH: u64 = 1 << 56;
/// Runs the script that has a digest (EVALSHA). Not printed.
pub const BY_DIGEST: u64 = 1 << 57;
/// Runs a function of a library (FCALL). Not printed.
pub const BY_NAME: u64 = 1 << 58;
/// Goes through all elements of the collections that it names (SUNIONSTORE, SORT): with large ones it is long. Not printed.
pub const WHOLE: u64 = 1 << 59;

/// Two flags with one bit would be one flag.
const _: () = {
    let unprinted = [
        ALL_SHARDS,
        OWN_LOCKS,
        IN_MULTI,
        RUNS_SCRIPT,
        LIKE_WRITE,
        ABOUT_CLIENT,
        CHANGES_SESSION,
        PATTERN_KEYS,
        RUNS_QUEUE,
        WHILE_SUBSCRIBED,
        GATHERS,
        OTHER_DB,
        CHANGES_READ_KEYS,
        ADDS_SCORE,
        SEEKS_PLACE,
        SECRET,
        SECRET_AFTER_AUTH,
        BY_DIGEST,
        BY_NAME,
        WHOLE,
        crate::table::docs::SYSCMD,
    ];
    let (mut seen, mut i) = ((1 << 40) - 1, 0);
    while i < unprinted.len() {
        assert!(seen & unprinted[i] == 0);
        seen |= unprinted[i];
        i += 1;
    }
};

/// The groups of the command documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    Pubsub,
    Transactions,
    Connection,
    Server,
    Scripting,
    Hyperloglog,
    Cluster,
    Sentinel,
    Geo,
    Stream,
    Bitmap,
    Module,
}

impl Group {
    /// The name COMMAND DOCS prints.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Hash => "hash",
            Group::Pubsub => "pubsub",
            Group::Transactions => "transactions",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Scripting => "scripting",
            Group::Hyperloglog => "hyperloglog",
            Group::Cluster => "cluster",
            Group::Sentinel => "sentinel",
            Group::Geo => "geo",
            Group::Stream => "stream",
            Group::Bitmap => "bitmap",
            Group::Module => "module",
        }
    }
}

/// Key-spec flag: the value is read and nothing of the key changes.
pub const KS_RO: u32 = 1;
/// Key-spec flag: the value is read and changed.
pub const KS_RW: u32 = 1 << 1;
/// Key-spec flag: the value is overwritten without being read.
pub const KS_OW: u32 = 1 << 2;
/// Key-spec flag: the key is removed.
pub const KS_RM: u32 = 1 << 3;
/// Key-spec flag: the user gets to see something of the value.
pub const KS_ACCESS: u32 = 1 << 4;
/// Key-spec flag: existing data changes.
pub const KS_UPDATE: u32 = 1 << 5;
/// Key-spec flag: data is added, existing data stays.
pub const KS_INSERT: u32 = 1 << 6;
/// Key-spec flag: some or all content is deleted.
pub const KS_DELETE: u32 = 1 << 7;
/// Key-spec flag: the argument looks like a key and is routed like one, but is none.
pub const KS_NOT_KEY: u32 = 1 << 8;
/// Key-spec flag: the spec may miss some keys.
pub const KS_INCOMPLETE: u32 = 1 << 9;
/// Key-spec flag: the real flags depend on the other arguments.
pub const KS_VARIABLE_FLAGS: u32 = 1 << 10;

/// Where a key spec starts looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument (the command's name is argument 0).
    Index(i32),
    /// After this keyword, searched from the argument given (negative: backwards from the end).
    Keyword(&'static str, i32),
    /// Nowhere in particular.
    Unknown,
}

/// How a key spec goes on from where it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Keys at every `step`th argument up to `last`, counted from the start (negative: from the end of the
    /// arguments); `limit` 2 or more: only the first 1/limit of them.
    #[allow(missing_docs)]
    Range { last: i32, step: i32, limit: i32 },
    /// A count at `keynumidx`, then that many keys from `first`, all counted from the start.
    #[allow(missing_docs)]
    Keynum {
        keynumidx: i32,
        first: i32,
        step: i32,
    },
    /// Only the command itself knows.
    Unknown,
}

/// One rule by which a command's keys are found among its arguments, as COMMAND INFO prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct KeySpec {
    pub flags: u32,
    pub begin: Begin,
    pub find: Find,
    pub notes: &'static str,
}

impl KeySpec {
    /// One key at argument `index`.
    pub const fn at(index: i32, flags: u32) -> KeySpec {
        KeySpec::range(index, 0, 1, flags)
    }

    /// Keys from argument `first` to `last`, which is relative to `first`, or to the end if negative.
    pub const fn range(first: i32, last: i32, step: i32, flags: u32) -> KeySpec {
        KeySpec {
            flags,
            begin: Begin::Index(first),
            find: Find::Range {
                last,
                step,
                limit: 0,
            },
            notes: "",
        }
    }

    /// A count at argument `index`, followed by that many keys.
    pub const fn numkeys(index: i32, flags: u32) -> KeySpec {
        KeySpec {
            flags,
            begin: Begin::Index(index),
            find: Find::Keynum {
                keynumidx: 0,
                first: 1,
                step: 1,
            },
            notes: "",
        }
    }

    /// The same rule with a note on what is special about it.
    pub const fn note(mut self, notes: &'static str) -> KeySpec {
        self.notes = notes;
        self
    }
}

/// Which arguments of a command are channels that its user needs to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// None.
    None,
    /// The first.
    First,
    /// All.
    All,
    /// All, and they are patterns.
    Patterns,
}

/// Which databases a command works on, which its user needs to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Databases {
    /// The selected one, if it has to do with data.
    Selected,
    /// All.
    All,
    /// Those at these arguments, and not the selected one.
    Named(&'static [usize]),
    /// The selected one and the one at this argument.
    AlsoNamed(usize),
    /// The selected one and the one after this word among the options.
    AfterWord(&'static str),
}

/// Which arguments of a command are never shown to others than the one who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// None but those that a flag is about (`SECRET`, `SECRET_AFTER_AUTH`).
    Nothing,
    /// Those from this one on.
    From(usize),
    /// The values of directives that are secret.
    Settings,
    /// What MIGRATE tells the other server: behind AUTH and AUTH2.
    Peer,
}

/// The facts of one command, or of one subcommand of a container. See the module's page.
#[derive(Clone, Copy)]
pub struct Facts {
    /// Lower case; a subcommand's is `container|sub`.
    pub name: &'static str,
    /// Number of arguments with the name; negative: at least that many.
    pub arity: i16,
    /// `WRITE | FAST ...`
    pub flags: u64,
    /// The group it is documented under.
    pub group: Group,
    /// The first version of Redis or Valkey that had it.
    pub since: &'static str,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// ACL categories in place of the group's; those that follow from flags come on top.
    pub acl: u64,
    /// One sentence.
    pub summary: &'static str,
    /// Time complexity.
    pub complexity: &'static str,
    /// The arguments in the notation of [`crate::table::docs`].
    pub args: &'static str,
    /// COMMAND INFO's tips for clients and proxies.
    pub tips: &'static [&'static str],
    /// (version, what changed) pairs.
    pub history: &'static [(&'static str, &'static str)],
    /// It only holds subcommands.
    pub container: bool,
    /// (since, what to use instead) of a deprecated command.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Its channels.
    pub channels: Channels,
    /// Its databases.
    pub databases: Databases,
    /// Its secrets.
    pub secret: Secret,
}

/// A command's row: its facts, what carries it out, and a container's subcommands.
///
/// `H` is the type of handlers, of which this room knows nothing: they work with what is built on top of it.
#[derive(Clone, Copy)]
pub struct Command<H: 'static> {
    /// What is to be known of it.
    pub facts: Facts,
    /// What carries it out; a container's own handler answers unknown subcommands.
    pub run: H,
    /// A container's subcommands.
    pub subs: &'static [Command<H>],
}

impl<H> std::ops::Deref for Command<H> {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

impl<H> std::fmt::Debug for Command<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.facts.name)
    }
}

/// Begins a row; the builder methods below add what the command has beyond this.
pub const fn row<H: Copy>(
    name: &'static str,
    arity: i16,
    flags: u64,
    group: Group,
    since: &'static str,
    run: H,
) -> Command<H> {
    Command {
        facts: Facts {
            name,
            arity,
            flags,
            group,
            since,
            keys: &[],
            acl: 0,
            summary: "",
            complexity: "",
            args: "",
            tips: &[],
            history: &[],
            container: false,
            deprecated: None,
            channels: Channels::None,
            databases: Databases::Selected,
            secret: Secret::Nothing,
        },
        run,
        subs: &[],
    }
}

#[allow(missing_docs)]
impl<H: Copy> Command<H> {
    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.facts.keys = keys;
        self
    }
    pub const fn acl(mut self, categories: u64) -> Self {
        self.facts.acl = categories;
        self
    }
    pub const fn docs(mut self, summary: &'static str, complexity: &'static str) -> Self {
        self.facts.summary = summary;
        self.facts.complexity = complexity;
        self
    }
    pub const fn args(mut self, notation: &'static str) -> Self {
        self.facts.args = notation;
        self
    }
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.facts.tips = tips;
        self
    }
    pub const fn history(mut self, h: &'static [(&'static str, &'static str)]) -> Self {
        self.facts.history = h;
        self
    }
    pub const fn subs(mut self, subs: &'static [Command<H>]) -> Self {
        self.facts.container = !subs.is_empty();
        self.subs = subs;
        self
    }
    pub const fn channels(mut self, channels: Channels) -> Self {
        self.facts.channels = channels;
        self
    }
    pub const fn databases(mut self, databases: Databases) -> Self {
        self.facts.databases = databases;
        self
    }
    pub const fn secret(mut self, secret: Secret) -> Self {
        self.facts.secret = secret;
        self
    }
    pub const fn deprecated(mut self, since: &'static str, instead: &'static str) -> Self {
        self.facts.deprecated = Some((since, instead));
        self
    }
}

impl Facts {
    /// Whether any of `flags` is set.
    pub const fn has(&self, flags: u64) -> bool {
        self.flags & flags != 0
    }

    /// Whether a call of `argc` arguments, the name included, fits the arity.
    pub const fn accepts(&self, argc: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity >= 0 {
            argc == arity
        } else {
            argc >= arity
        }
    }
}
