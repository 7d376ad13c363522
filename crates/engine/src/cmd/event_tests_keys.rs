//! What commands on strings, lists and keys of any type announce, and to whom: tables as in [`super::event_tests`].

use super::event_tests::check;

/// Of a string that is stored with a time in the past Redis removes the key at its next opportunity, here at once.
const STRINGS: &str = r#"
SET k v | set k | k
SET k v EX 10 | set k, expire k | k
SET k 1 EX 100; SET k v | set k | k
SET k 1 EX 100; SET k v KEEPTTL | set k | k
RPUSH k k; SET k v | set k | k
SET k v; SET k w NX |  |
SET k w XX |  |
SET k v; SET k w XX GET | set k | k
SET k v PXAT 1 | set k, expire k, expired k | k
SET k o; SET k v PXAT 1 | set k, expire k, expired k | k
SET k o; SET k v EXAT 1 GET | set k, expire k, expired k | k
SETEX k 10 v | set k, expire k | k
PSETEX k 10000 v | set k, expire k | k
SET k v; SETEX k 10 v | set k, expire k | k
SETNX k v | set k | k
SET k v; SETNX k v |  |
GETSET k v | set k | k
SET k o EX 100; GETSET k v | set k | k
SET k v; GETDEL k | del k | k
GETDEL k |  |
SET k v; GETEX k |  |
SET k v; GETEX k EX 10 | expire k | k
SET k v EX 10; GETEX k PERSIST | persist k | k
SET k v; GETEX k PERSIST |  |
SET k v; GETEX k PXAT 1 | del k | k
SET k v; GETEX k EX 100 | expire k | k
MSET k 1 d 2 | set k, set d | k d
RPUSH k 1; MSET k 1 d 2 k 3 | set k, set d, set k | k d
MSETNX k 1 d 2 | set k, set d | k d
SET d 1; MSETNX k 1 d 2 |  |
INCR k | incrby k | k
DECR k | incrby k | k
INCRBY k 0 | incrby k | k
DECRBY k 5 | incrby k | k
SET k x; INCR k |  |
INCRBYFLOAT k 1.5 | incrbyfloat k | k
APPEND k v | append k | k
APPEND k "" | append k | k
SET k v; APPEND k "" | append k | k
SET k v; APPEND k w | append k | k
SETRANGE k 2 ab | setrange k | k
SETRANGE k 2 "" |  |
SET k v; SETRANGE k 0 "" |  |
SET k v; SETRANGE k 0 v | setrange k | k
SET k v; SET k v IFEQ v | set k | k
SET k v; SET k v IFEQ w |  |
SET k v; DELIFEQ k v | del k | k
SET k v; DELIFEQ k w |  |
SET k v; DELEX k IFEQ v | del k | k
SET k v; DELEX k IFNE v |  |
RPUSH k v; DELEX k | del k | k
SET k v; SET k w IFNE w | set k | k
SET k v; SET k w IFNE v |  |
SET k 1; INCREX k | incrby k | k
SET k 1; INCREX k EX 9 | incrby k, expire k | k
SET k 1; INCREX k UBOUND 0 |  |
MSETEX 2 k 1 d 2 EX 10 | set k, expire k, set d, expire d | k d
SET k 1 EX 9; MSETEX 1 k 1 KEEPTTL | set k | k
"#;

/// A BITFIELD all of whose operations fail makes the key all the same, which only here counts as a change.
const BITMAPS: &str = "
SETBIT k 3 1 | setbit k | k
SETBIT k 3 0 | setbit k | k
SET k v; SETBIT k 3 1 |  |
SET k v; SETBIT k 3 0 | setbit k | k
SETBIT k 3 1; SETBIT k 3 1 |  |
BITFIELD k SET u8 0 5 | setbit k | k
BITFIELD k GET u8 0 |  |
SET k v; BITFIELD k GET u8 0 |  |
BITFIELD k SET u8 0 5; BITFIELD k SET u8 0 5 |  |
BITFIELD k SET u8 0 255; BITFIELD k OVERFLOW FAIL INCRBY u8 0 5 |  |
BITFIELD k OVERFLOW FAIL INCRBY u8 0 500 |  | k
BITFIELD k INCRBY u8 0 0 | setbit k | k
BITFIELD k INCRBY u8 0 5 GET u8 8 SET u8 16 1 | setbit k | k
BITFIELD k SET u8 0 0 | setbit k | k
SET k v; BITOP AND d k | set d | d
BITOP AND d k |  |
SET d v; BITOP AND d k | del d | d
RPUSH d v; SET k v; BITOP NOT d k | set d | d
SET k v; BITOP NOT k k | set k | k
";

const HYPERLOGLOGS: &str = "
PFADD k k | pfadd k | k
PFADD k | pfadd k | k
PFADD k k; PFADD k k |  |
PFADD k k; PFADD k |  |
PFADD k k; PFADD k d | pfadd k | k
PFADD k k; PFADD d d; PFMERGE c k d | pfadd c |
PFMERGE c | pfadd c |
PFMERGE c k | pfadd c |
PFADD c k; PFMERGE c | pfadd c |
PFADD k k; PFADD d d; PFCOUNT k |  | k
PFADD k k; PFADD d d; PFCOUNT k d |  |
PFADD k k; PFCOUNT k; PFCOUNT k |  |
";

const KEYS: &str = r#"
DEL k d |  |
SET k 1; SET d 2; DEL k x d | del k, del d | k d
SET k 1; SET d 2; DEL k k d | del k, del d | k d
SET k 1; UNLINK k | del k | k
RPUSH k 1; DEL k | del k | k
SET k 1; RENAME k d | rename_from k, rename_to d | k d
SET k 1; SET d 2; RENAME k d | rename_from k, rename_to d | k d
SET k 1; RENAME k k |  |
SET k 1; RENAMENX k k |  |
SET k 1; SET d 1; RENAMENX k d |  |
SET k 1; RENAMENX k d | rename_from k, rename_to d | k d
RPUSH k 1; RPUSH d 2; RENAME k d | rename_from k, rename_to d | k d
RPUSH k 1; SET d 2; RENAME k d | rename_from k, rename_to d | k d
SET k 1; COPY k d | copy_to d | d
SET k 1; SET d 2; COPY k d |  |
SET k 1; SET d 2; COPY k d REPLACE | copy_to d | d
SET k 1; RPUSH d 2; COPY k d REPLACE | copy_to d | d
SET k 1; COPY k k DB 1 | copy_to k |
SET k 1; MOVE k 1 | move_from k, move_to k | k
SET k 1 EX 100; MOVE k 1 | move_from k, move_to k | k
MOVE k 1 |  |
SET k 1; EXPIRE k 100 | expire k | k
SET k 1; EXPIRE k -1 | del k | k
SET k 1; EXPIRE k 0 | del k | k
SET k 1; PEXPIREAT k 1 | del k | k
SET k 1; EXPIRE k 100 XX |  |
SET k 1; EXPIRE k -1 XX |  |
SET k 1 EX 10; EXPIRE k 100 GT | expire k | k
SET k 1 EX 10; PEXPIRE k 100 GT |  |
SET k 1 EX 10; PERSIST k | persist k | k
SET k 1; PERSIST k |  |
PERSIST k |  |
EXPIRE k 10 |  |
SET k 1; TOUCH k |  |
RPUSH l 3 1 2; SORT l |  |
RPUSH l 3 1 2; SORT l STORE d | sortstore d | d
RPUSH l 3 1 2; SET d 1; SORT l STORE d | sortstore d | d
SORT l STORE d |  |
SET d 1; SORT l STORE d | del d | d
RPUSH d 1; SORT l STORE d | del d | d
SET d 1; SORT l LIMIT 5 5 STORE d | del d | d
SET k 1; SET d 1; FLUSHALL |  | k d
SET k 1; FLUSHALL |  | k
SELECT 1; SET k 1; SELECT 0; FLUSHALL |  |
RESTORE d 0 "\x00\xc0\x01\x0c\x00\xed\x0e\xd3\x76\x2b\x2b\x8f\xb5" | restore d | d
SET d 1; RESTORE d 0 "\x00\xc0\x01\x0c\x00\xed\x0e\xd3\x76\x2b\x2b\x8f\xb5" |  |
RPUSH d 1; RESTORE d 0 "\x00\xc0\x01\x0c\x00\xed\x0e\xd3\x76\x2b\x2b\x8f\xb5" REPLACE | restore d | d
RESTORE d 1000 "\x12\x01\x02\x09\x09\x00\x00\x00\x01\x00\x01\x01\xff\x0c\x00\xdb\xf4\xbb\x52\xf3\x99\x6a\x0f" | restore d | d
RESTORE d 1 "\x12\x01\x02\x09\x09\x00\x00\x00\x01\x00\x01\x01\xff\x0c\x00\xdb\xf4\xbb\x52\xf3\x99\x6a\x0f" ABSTTL |  |
SET d 1; RESTORE d 1 "\x12\x01\x02\x09\x09\x00\x00\x00\x01\x00\x01\x01\xff\x0c\x00\xdb\xf4\xbb\x52\xf3\x99\x6a\x0f" REPLACE ABSTTL | del d | d
"#;

const LISTS: &str = "
LPUSH k k | lpush k | k
LPUSH k k d | lpush k | k
RPUSH k k | rpush k | k
SET k k; RPUSH k k |  |
LPUSHX k k |  |
RPUSH k k; LPUSHX k k | lpush k | k
RPUSH k k; RPUSHX k d | rpush k | k
RPUSH k k d; LINSERT k BEFORE d x | linsert k | k
RPUSH k k d; LINSERT k AFTER c x |  |
LINSERT k AFTER c x |  |
RPUSH k k d; LSET k 0 x | lset k | k
RPUSH k k d; LSET k 0 k | lset k | k
RPUSH k k d; LSET k 9 k |  |
LSET k 9 k |  |
RPUSH k k d; LPOP k | lpop k | k
RPUSH k k d; RPOP k | rpop k | k
RPUSH k k d; LPOP k 1 | lpop k | k
RPUSH k k d; LPOP k 2 | lpop k, del k | k
RPUSH k k d; RPOP k 5 | rpop k, del k | k
RPUSH k k d; RPOP k 0 |  |
RPUSH k k; LPOP k | lpop k, del k | k
LPOP k |  |
LPOP k 1 |  |
RPUSH k k d; LMPOP 2 j k LEFT | lpop k | k
RPUSH k k d; LMPOP 2 j k RIGHT COUNT 10 | rpop k, del k | k
LMPOP 2 j k RIGHT |  |
RPUSH k k d; LREM k 0 k | lrem k | k
RPUSH k k d; LREM k 0 x |  |
RPUSH k k k; LREM k 0 k | lrem k, del k | k
LREM k 0 k |  |
RPUSH k k d c; LTRIM k 1 1 | ltrim k | k
RPUSH k k d c; LTRIM k 0 -1 | ltrim k | k
RPUSH k k d c; LTRIM k 5 6 | ltrim k, del k | k
LTRIM k 5 6 |  |
RPUSH k 1 2; LMOVE k d LEFT RIGHT | rpush d, lpop k | k d
RPUSH k 1 2; LMOVE k d RIGHT LEFT | lpush d, rpop k | k d
RPUSH k 1; LMOVE k d RIGHT LEFT | lpush d, rpop k, del k | k d
RPUSH k 1; LMOVE k k RIGHT LEFT | lpush k, rpop k | k
RPUSH k 1 2; LMOVE k k RIGHT RIGHT | rpush k, rpop k | k
RPUSH k 1 2; SET d x; LMOVE k d RIGHT RIGHT |  |
LMOVE k d RIGHT RIGHT |  |
RPUSH k 1 2; RPOPLPUSH k d | lpush d, rpop k | k d
RPUSH k 1; RPOPLPUSH k d | lpush d, rpop k, del k | k d
RPUSH k 1; RPOPLPUSH k k | lpush k, rpop k | k
RPUSH k k d; LRANGE k 0 -1 |  |
MULTI; LPUSH k k; DEL k; EXEC | lpush k, del k | k
";

const BLOCKING: &str = "
RPUSH k k d; BLPOP j k 0 | lpop k | k
RPUSH k k; BLPOP j k 0 | lpop k, del k | k
RPUSH k k d; BRPOP j k 0 | rpop k | k
RPUSH k k d; BLMPOP 0 2 j k RIGHT | rpop k | k
RPUSH k k d; BLMPOP 0 2 j k LEFT COUNT 5 | lpop k, del k | k
RPUSH k 1; BLMOVE k d RIGHT LEFT 0 | lpush d, rpop k, del k | k d
RPUSH k 1; BLMOVE k k RIGHT LEFT 0 | lpush k, rpop k | k
RPUSH k 1 2; BRPOPLPUSH k d 0 | lpush d, rpop k | k d
MULTI; BLPOP k 0; EXEC |  |
";

const DATABASES: &str = "
SET k 1; SWAPDB 0 1 |  | k
SWAPDB 0 1 |  |
SELECT 1; SET d 1; SELECT 0; SWAPDB 0 1 |  | d
SET k 1; SET d 1; FLUSHDB |  | k d
SET k 1; FLUSHALL |  | k
SELECT 1; SET k 1; SELECT 0; FLUSHALL |  |
FLUSHALL |  |
";

#[test]
fn strings() {
    check(STRINGS);
}

#[test]
fn bitmaps() {
    check(BITMAPS);
}

#[test]
fn hyperloglogs() {
    check(HYPERLOGLOGS);
}

#[test]
fn keys() {
    check(KEYS);
}

#[test]
fn lists() {
    check(LISTS);
}

#[test]
fn blocking() {
    check(BLOCKING);
}

#[test]
fn databases() {
    check(DATABASES);
}
