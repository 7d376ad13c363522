"""Locks against servers on 127.0.0.1: python locks.py PORT[,PORT...]. redis-py's own, redlock-py's, and pottery's over all ports.

In each way several processes add to a number by reading and writing it; only the lock keeps additions from being lost.
"""

import asyncio
import threading

import redis
import redis.asyncio
from checks import HOST, PORTS, eventually, refused, run, same, says, spawn
from pottery import Redlock as PotteryLock
from pottery.exceptions import ReleaseUnlockedLock
from redis.exceptions import LockError, LockNotOwnedError
from redlock import Redlock

# Of two contenders over three servers one always has the majority; more may split the votes again and again.
PROCESSES = 4 if len(PORTS) == 1 else 2
ROUNDS = 25


def connect():
    return [redis.Redis(host=HOST, port=port) for port in PORTS]


def redis_py(clients):
    r = clients[0]
    lock = r.lock("lock", timeout=60)
    same("acquired", lock.acquire(), True)
    same("locked", (lock.locked(), lock.owned()), (True, True))
    other = r.lock("lock", timeout=60)
    same("taken", other.acquire(blocking=False), False)
    same("taken for a while", other.acquire(blocking_timeout=0.02), False)
    same("not the other's", other.owned(), False)
    same("extended", lock.extend(30), True)
    same("by so much", 80 < r.ttl("lock") <= 90, True)
    same("replaced", lock.extend(30, replace_ttl=True), True)
    same("to so much", 20 < r.ttl("lock") <= 30, True)
    same("reacquired", lock.reacquire(), True)
    same("to its first time", 50 < r.ttl("lock") <= 60, True)
    lock.release()
    same("free", (lock.locked(), r.exists("lock")), (False, 0))
    refused("released twice", LockError, lock.release)
    lock = r.lock("short", timeout=0.02)
    lock.acquire()
    eventually("it has run out", lambda: not lock.locked())
    r.set("short", "another's")
    refused("no longer ours to extend", LockNotOwnedError, lambda: lock.extend(10))
    refused("nor to release", LockNotOwnedError, lock.release)
    same("another's stays", r.get("short"), b"another's")
    with r.lock("with", timeout=10, sleep=0.001) as held:
        same("held", held.owned(), True)

    # Threads of one process: one lock object each.
    total = {"n": 0}

    def add():
        for _ in range(20):
            with r.lock("threads", timeout=30, sleep=0.001):
                n = total["n"]
                threading.Event().wait(0)
                total["n"] = n + 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    same("additions of four threads", total["n"], 80)


async def asyncio_lock():
    r = redis.asyncio.Redis(host=HOST, port=PORTS[0])
    await r.set("number", 0)

    async def add():
        for _ in range(10):
            async with r.lock("tasks", timeout=30, sleep=0.001):
                n = int(await r.get("number"))
                await r.set("number", n + 1)

    await asyncio.gather(*[add() for _ in range(5)])
    same("additions of five tasks", await r.get("number"), b"50")
    await r.aclose()


def redlock_py(clients):
    manager = Redlock(clients, retry_count=1, retry_delay=0.001)
    lock = manager.lock("resource", 60_000)
    same("a majority has it", [c.get("resource") for c in clients], [lock.key] * len(clients))
    same("valid", 50_000 < lock.validity < 60_000, True)
    same("taken", manager.lock("resource", 1000), False)
    manager.unlock(lock)
    same("free", [c.exists("resource") for c in clients], [0] * len(clients))


def pottery(clients):
    lock = PotteryLock(key="printer", masters=set(clients), auto_release_time=60)
    same("acquired", lock.acquire(), True)
    same("time left", 50 < lock.locked() <= 60, True)
    same("taken", PotteryLock(key="printer", masters=set(clients), auto_release_time=60).acquire(blocking=False), False)
    lock.extend()
    lock.release()
    same("free", lock.locked(), 0)
    refused("released twice", ReleaseUnlockedLock, lock.release)
    with PotteryLock(key="printer", masters=set(clients)) as held:
        same("held", held.locked() > 0, True)


def contender(kind):
    clients = connect()
    store = clients[0]

    def add():
        n = int(store.get("number"))
        store.set("number", n + 1)

    print("ready", flush=True)
    # Opened for all at once.
    store.blpop(f"go:{kind}")
    if kind == "redis-py":
        for _ in range(ROUNDS):
            with store.lock("number lock", timeout=30, sleep=0.002):
                add()
    elif kind == "redlock-py":
        manager = Redlock(clients, retry_count=100_000, retry_delay=0.002)
        for _ in range(ROUNDS):
            lock = manager.lock("number lock", 30_000)
            add()
            manager.unlock(lock)
    else:
        # It waits long between its tries, and none of its parameters says otherwise.
        for _ in range(3):
            with PotteryLock(key="number", masters=set(clients)):
                add()


def contend(clients, kind, wanted):
    store = clients[0]
    store.set("number", 0)
    children = [spawn(kind) for _ in range(PROCESSES)]
    for child in children:
        says(child, "ready")
    store.rpush(f"go:{kind}", *range(PROCESSES))
    same(f"{kind}: they end well", [child.wait() for child in children], [0] * PROCESSES)
    same(f"{kind}: nothing is lost", int(store.get("number")), wanted)


def main():
    clients = connect()
    for client in clients:
        client.flushall()
        client.script_flush()
    redis_py(clients)
    asyncio.run(asyncio_lock())
    redlock_py(clients)
    pottery(clients)
    contend(clients, "redis-py", PROCESSES * ROUNDS)
    contend(clients, "redlock-py", PROCESSES * ROUNDS)
    contend(clients, "pottery", PROCESSES * 3)


if __name__ == "__main__":
    run(main, contender)
