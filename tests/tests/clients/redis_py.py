"""redis-py against a server on 127.0.0.1: python redis_py.py PORT. Speaks RESP2, then RESP3."""

import sys

import redis

checks = 0


def same(got, wanted):
    global checks
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"
    checks += 1


def refused(call, text):
    global checks
    try:
        call()
    except redis.ResponseError as error:
        assert text in str(error), error
        checks += 1
    else:
        raise AssertionError(f"no error, wanted {text!r}")


def play(protocol):
    r = redis.Redis(port=int(sys.argv[1]), protocol=protocol, client_name="tester", db=0)
    same(r.ping(), True)
    r.flushall()
    same(r.client_getname() in ("tester", b"tester"), True)
    same(r.set("key", b"\x00\xff"), True)
    same(r.get("key"), b"\x00\xff")
    same(r.get("missing"), None)
    same(r.set("key", "other", nx=True), None)
    same(r.set("key", "value", get=True), b"\x00\xff")
    same(r.getex("key", ex=100), b"value")
    same(90 < r.ttl("key") <= 100, True)
    same(r.persist("key"), True)
    same(r.ttl("key"), -1)
    same(r.append("key", "!"), 6)
    same(r.getrange("key", 0, 2), b"val")
    same(r.setrange("key", 0, "V"), 6)
    same(r.getdel("key"), b"Value!")
    same(r.incrby("n", 5), 5)
    same(r.decr("n"), 4)
    same(r.incrbyfloat("f", 1.5), 1.5)
    same(r.mset({"a": 1, "b": 2}), True)
    same(r.msetnx({"a": 1, "c": 2}), False)
    same(r.mget("a", "missing", "b"), [b"1", None, b"2"])
    same(sorted(r.keys("*")), [b"a", b"b", b"f", b"n"])
    same(sorted(r.scan_iter(match="?", count=1)), [b"a", b"b", b"f", b"n"])
    same(r.type("a"), b"string")
    same(r.rename("a", "z"), True)
    same(r.copy("z", "y"), True)
    same(r.exists("z", "y", "a"), 2)
    same(r.unlink("z", "y"), 2)
    same(r.setbit("bits", 7, 1), 0)
    same(r.bitcount("bits"), 1)
    same(r.bitpos("bits", 1), 7)
    same(r.bitfield("bits").set("u8", 0, 255).get("u4", 0).execute(), [1, 15])
    same(r.object("encoding", "n") in ("int", b"int"), True)
    same(r.lcs("b", "b"), b"2")
    with r.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.set(f"p:{i}", i)
        pipe.get("p:999")
        same(pipe.execute()[-1], b"999")
    same(r.dbsize(), 1004)
    refused(lambda: r.incr("bits"), "not an integer")
    refused(lambda: r.execute_command("NOSUCH"), "unknown command")
    same(r.config_get("databases"), {"databases": "16"})
    same(r.config_set("timeout", 0), True)
    info = r.info()
    same("redis_version" in info and info["db0"]["keys"] == 1004, True)
    same(r.command_count() > 60, True)
    same(len(r.command_getkeys("MSET", "a", 1, "b", 2)), 2)
    same(isinstance(r.client_id(), int), True)
    same(any(c["name"] == "tester" for c in r.client_list()), True)
    same(r.echo("hello"), b"hello")
    same(len(r.time()), 2)
    same(r.memory_usage("n") > 0, True)
    same(r.swapdb(0, 1), True)
    same(r.dbsize(), 0)
    same(r.flushall(), True)
    r.close()


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def users(protocol):
    """Users and their rights, in the words of the library."""
    admin = redis.Redis(port=int(sys.argv[1]), protocol=protocol)
    same(admin.acl_whoami() in ("default", b"default"), True)
    same(
        admin.acl_setuser(
            "bob",
            enabled=True,
            reset=True,
            passwords=["+secret"],
            categories=["+@read", "+@connection"],
            commands=["+set", "-mget"],
            keys=["a*"],
            channels=["c*"],
        ),
        True,
    )
    user = admin.acl_getuser("bob")
    same(user["enabled"], True)
    same(set(user["flags"]) >= {"on"}, True)
    same(user["keys"], ["~a*"])
    same(len(user["passwords"]), 1)
    same(sorted(map(text, admin.acl_users())), ["bob", "default"])
    same(any(text(line).startswith("user bob on ") for line in admin.acl_list()), True)
    bob = redis.Redis(port=int(sys.argv[1]), protocol=protocol, username="bob", password="secret")
    same(bob.set("a1", "v"), True)
    same(bob.get("a1"), b"v")
    for call in (lambda: bob.get("b"), lambda: bob.mget("a1"), lambda: bob.flushall(), lambda: bob.publish("c", "m")):
        try:
            call()
        except redis.exceptions.NoPermissionError:
            same(True, True)
        else:
            raise AssertionError("no NoPermissionError")
    log = admin.acl_log()
    same({text(entry["reason"]) for entry in log} >= {"key", "command"}, True)
    same(text(log[0]["username"]), "bob")
    same(admin.acl_log_reset(), True)
    wrong = redis.Redis(port=int(sys.argv[1]), protocol=protocol, username="bob", password="wrong")
    try:
        wrong.ping()
    except redis.exceptions.AuthenticationError:
        same(True, True)
    else:
        raise AssertionError("a wrong password lets in")
    same(admin.acl_dryrun("bob", "get", "a") in (b"OK", "OK", True), True)
    same("dangerous" in map(text, admin.acl_cat()), True)
    same(len(admin.acl_genpass()), 64)
    same(admin.acl_deluser("bob"), 1)
    try:
        bob.ping()
    except redis.exceptions.RedisError:
        same(True, True)
    else:
        raise AssertionError("a user that is gone goes on")
    admin.flushall()
    admin.close()


play(2)
play(3)
users(2)
users(3)
print(f"{checks} checks passed")
