# redis-py's Sentinel support: python sentinel.py PORT... of the sentinels. Somebody ends the primary once "written" is there.
import sys
import time

from redis.exceptions import RedisError
from redis.sentinel import Sentinel

ports = [int(port) for port in sys.argv[1:]]
sentinel = Sentinel([("127.0.0.1", port) for port in ports], socket_timeout=0.5)
first = sentinel.discover_master("mymaster")
assert len(sentinel.discover_slaves("mymaster")) == 1, "the replica is known"
primary = sentinel.master_for("mymaster", socket_timeout=0.5)
replica = sentinel.slave_for("mymaster", socket_timeout=0.5)
primary.set("value", 1)
assert primary.wait(1, 5000) == 1, "the replica has it"
assert replica.get("value") == b"1", "reads go to a replica"
primary.set("written", 1)
deadline = time.monotonic() + 60
counted = 0
while True:
    assert time.monotonic() < deadline, "another primary is found in time"
    try:
        primary.incr("counter")
        if sentinel.discover_master("mymaster") != first:
            counted += 1
    except RedisError:
        time.sleep(0.05)
    if counted == 100:
        break
assert primary.get("value") == b"1", "what the replica had is there"
print("checks passed")
