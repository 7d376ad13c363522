//! ACL categories: which of `@read`, `@string`, `@dangerous` ... a command belongs to.
//!
//! Almost all of it follows from what a row says anyway. Flags give `@write`, `@read`, `@admin` (which is always
//! `@dangerous` too), `@pubsub`, `@blocking`, and `@fast` or else `@slow`; the group gives the type (`@string`,
//! `@keyspace` ...). A row whose commands belong elsewhere than its group says lists its categories with
//! `.acl(..)`: those stand in place of the group's, while those of the flags stay. Containers (CLIENT, OBJECT ...)
//! run nothing themselves and get only what follows from flags.

use crate::table::row::{ADMIN, BLOCKING, FAST, Facts, Group, PUBSUB, READONLY, WRITE};

macro_rules! categories {
    ($($(#[$doc:meta])* $name:ident = $bit:expr, $text:expr;)*) => {
        $($(#[$doc])* pub const $name: u64 = 1 << $bit;)*
        /// Every category with its name, in the order in which ACL CAT and COMMAND INFO print them.
        pub const CATEGORY_NAMES: &[(u64, &str)] = &[$(($name, $text)),*];
    };
}

categories! {
    /// Works on keys whatever their type.
    CAT_KEYSPACE = 0, "keyspace";
    /// Reads keys.
    CAT_READ = 1, "read";
    /// Changes keys.
    CAT_WRITE = 2, "write";
    /// Works on sets.
    CAT_SET = 3, "set";
    /// Works on sorted sets.
    CAT_SORTEDSET = 4, "sortedset";
    /// Works on lists.
    CAT_LIST = 5, "list";
    /// Works on hashes.
    CAT_HASH = 6, "hash";
    /// Works on strings.
    CAT_STRING = 7, "string";
    /// Works on the bits of strings.
    CAT_BITMAP = 8, "bitmap";
    /// Works on HyperLogLogs.
    CAT_HYPERLOGLOG = 9, "hyperloglog";
    /// Works on positions on the globe.
    CAT_GEO = 10, "geo";
    /// Works on streams.
    CAT_STREAM = 11, "stream";
    /// Publishes, subscribes, or looks at who does.
    CAT_PUBSUB = 12, "pubsub";
    /// An administrator's.
    CAT_ADMIN = 13, "admin";
    /// Constant or logarithmic time.
    CAT_FAST = 14, "fast";
    /// All that is not fast.
    CAT_SLOW = 15, "slow";
    /// May block the connection.
    CAT_BLOCKING = 16, "blocking";
    /// Can do harm, or slow everybody down.
    CAT_DANGEROUS = 17, "dangerous";
    /// About the connection itself.
    CAT_CONNECTION = 18, "connection";
    /// About transactions.
    CAT_TRANSACTION = 19, "transaction";
    /// About scripts and functions.
    CAT_SCRIPTING = 20, "scripting";
}

/// The categories of a command, as a set of bits.
pub const fn categories(cmd: &Facts) -> u64 {
    let mut set = if cmd.has(FAST) { CAT_FAST } else { CAT_SLOW };
    if cmd.has(WRITE) {
        set |= CAT_WRITE;
    }
    // Scripts that promise not to write may still do anything else: they are not mere reads.
    if cmd.has(READONLY) && !matches!(cmd.group, Group::Scripting) {
        set |= CAT_READ;
    }
    if cmd.has(ADMIN) {
        set |= CAT_ADMIN | CAT_DANGEROUS;
    }
    if cmd.has(PUBSUB) {
        set |= CAT_PUBSUB;
    }
    if cmd.has(BLOCKING) {
        set |= CAT_BLOCKING;
    }
    if cmd.acl != 0 {
        set | cmd.acl
    } else if !cmd.container {
        set | of_group(cmd.group)
    } else {
        set
    }
}

const fn of_group(group: Group) -> u64 {
    match group {
        Group::Generic => CAT_KEYSPACE,
        Group::String => CAT_STRING,
        Group::List => CAT_LIST,
        Group::Set => CAT_SET,
        Group::SortedSet => CAT_SORTEDSET,
        Group::Hash => CAT_HASH,
        Group::Transactions => CAT_TRANSACTION,
        Group::Connection => CAT_CONNECTION,
        Group::Scripting => CAT_SCRIPTING,
        Group::Hyperloglog => CAT_HYPERLOGLOG,
        Group::Geo => CAT_GEO,
        Group::Stream => CAT_STREAM,
        Group::Bitmap => CAT_BITMAP,
        // Publish/subscribe has a flag of its own; the others have no category.
        Group::Pubsub | Group::Server | Group::Cluster | Group::Sentinel | Group::Module => 0,
    }
}

/// The bit of a category, by its name in any case and without `@`.
pub fn category_by_name(name: &[u8]) -> Option<u64> {
    CATEGORY_NAMES
        .iter()
        .find(|(_, text)| text.as_bytes().eq_ignore_ascii_case(name))
        .map(|(bit, _)| *bit)
}

/// The names of the categories in `set`, in print order.
pub fn category_names(set: u64) -> impl Iterator<Item = &'static str> {
    CATEGORY_NAMES
        .iter()
        .filter(move |(bit, _)| set & bit != 0)
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::row::{Command, row};

    fn names(cmd: &Facts) -> Vec<&'static str> {
        category_names(categories(cmd)).collect()
    }

    #[test]
    fn flags_and_group_decide() {
        let get = row("get", 2, READONLY | FAST, Group::String, "1.0.0", ());
        assert_eq!(names(&get), ["read", "string", "fast"]);
        let blpop = row("blpop", -3, WRITE | BLOCKING, Group::List, "2.0.0", ());
        assert_eq!(names(&blpop), ["write", "list", "slow", "blocking"]);
        let save = row("save", 1, ADMIN, Group::Server, "1.0.0", ());
        assert_eq!(names(&save), ["admin", "slow", "dangerous"]);
        let eval_ro = row("eval_ro", -3, READONLY, Group::Scripting, "7.0.0", ());
        assert_eq!(names(&eval_ro), ["slow", "scripting"]);
    }

    #[test]
    fn listed_categories_replace_the_group() {
        let wait = row("wait", 3, BLOCKING, Group::Generic, "3.0.0", ()).acl(CAT_CONNECTION);
        assert_eq!(names(&wait), ["slow", "blocking", "connection"]);
    }

    #[test]
    fn containers_belong_to_no_type() {
        const SUBS: &[Command<()>] = &[row("object|freq", 3, 0, Group::Generic, "4.0.0", ())];
        let object = row("object", -2, 0, Group::Generic, "2.2.3", ()).subs(SUBS);
        assert_eq!(names(&object), ["slow"]);
        assert_eq!(names(&SUBS[0]), ["keyspace", "slow"]);
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(category_by_name(b"SortedSet"), Some(CAT_SORTEDSET));
        assert_eq!(category_by_name(b"@read"), None);
    }
}
