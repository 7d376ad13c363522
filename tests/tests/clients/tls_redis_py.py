"""redis-py over TLS: python tls_redis_py.py PORT CA CERT KEY."""

import ssl
import sys

import redis

port, ca, cert, key = int(sys.argv[1]), *sys.argv[2:5]
checks = 0


def same(got, wanted):
    global checks
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"
    checks += 1


def connect(host="localhost", **more):
    return redis.Redis(host=host, port=port, ssl=True, ssl_ca_certs=ca, **more)


shown = {"ssl_certfile": cert, "ssl_keyfile": key}
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    for protocol in (2, 3):
        r = connect(protocol=protocol, ssl_min_version=version, **shown)
        same(r.set("k", "v" * 100_000), True)
        same(r.get("k"), b"v" * 100_000)
        with r.pipeline(transaction=True) as pipe:
            for i in range(1000):
                pipe.incr("n")
            same(len(pipe.execute()), 1000)
        r.delete("n")
        pubsub = r.pubsub()
        pubsub.subscribe("c")
        same(pubsub.get_message(timeout=5)["type"], "subscribe")
        same(r.publish("c", "hello"), 1)
        same(pubsub.get_message(timeout=5)["data"], b"hello")
        pubsub.close()
try:
    connect().ping()
except (redis.ConnectionError, ssl.SSLError):
    checks += 1
else:
    raise AssertionError("no certificate, and served")
print(f"{checks} checks passed")
