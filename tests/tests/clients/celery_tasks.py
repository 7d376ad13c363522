"""Celery with its Redis transport and result store against a server on 127.0.0.1: python celery_tasks.py PORT.

Workers are processes of their own: with a pool of threads, and solo ones, several at once.
"""

import logging
import signal
import threading
import warnings

import redis
from celery import Celery, chain, chord, group, signals
from celery.exceptions import Ignore, TaskRevokedError
from checks import HOST, PORT, eventually, refused, run, same, says, spawn
from kombu import Exchange, Queue

URL = f"redis://{HOST}:{PORT}"
WORKERS = 3
TASKS = 200

TOPICAL = Queue("topical", Exchange("topics", type="topic"), routing_key="a.*.c")

app = Celery("checks", broker=f"{URL}/0", backend=f"{URL}/1")
app.conf.update(
    result_extended=True,
    task_track_started=True,
    task_queues=[Queue("celery"), Queue("other"), TOPICAL],
    broker_connection_retry_on_startup=True,
    worker_send_task_events=True,
    task_send_sent_event=True,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
)


def connect():
    return redis.Redis(host=HOST, port=PORT, db=2)


@app.task(name="add")
def add(a, b):
    return a + b


@app.task(name="total")
def total(numbers):
    return sum(numbers)


@app.task(name="fail")
def fail(text="as told"):
    raise ValueError(text)


@app.task(name="flaky", bind=True, max_retries=5)
def flaky(self, succeed_at):
    if self.request.retries < succeed_at:
        raise self.retry(countdown=0.01, exc=ValueError(f"attempt {self.request.retries}"))
    return self.request.retries


@app.task(name="states", bind=True)
def states(self, gate):
    r = connect()
    self.update_state(state="PROGRESS", meta={"done": 1})
    r.rpush(f"{gate}:reached", "yes")
    r.blpop(gate)
    raise Ignore()


@app.task(name="waits")
def waits(gate):
    r = connect()
    r.rpush(f"{gate}:reached", "yes")
    r.blpop(gate)
    return gate


@app.task(name="survives", acks_late=True)
def survives():
    r = connect()
    if r.incr("survives") == 1:
        # Its first worker is killed here.
        r.rpush("survives:reached", "yes")
        r.blpop("never")
    return "second try"


@app.task(name="once each", acks_late=True)
def once_each(n):
    connect().hincrby("processed", n, 1)
    return n


@app.task(name="tell", ignore_result=True)
def tell(what, key):
    connect().rpush(key, what)


@app.task(name="tell error", ignore_result=True)
def tell_error(request, error, traceback):
    connect().rpush("errors", f"{request.task} {error}")


def worker(name, *args):
    if name in ("mortal", "heir"):
        # What a worker took and did not acknowledge in a second is given to another.
        app.conf.broker_transport_options = {"visibility_timeout": 1, "unacked_restore_interval": 0.1, "unacked_restore_throttle": 1}
    logging.disable(logging.CRITICAL)
    # It warns of running as root.
    warnings.simplefilter("ignore")
    # Spoken when the worker consumes from its queues.
    signals.worker_ready.connect(lambda **_: print("ready", flush=True), weak=False)
    app.worker_main(["--quiet", "worker", "--hostname", f"{name}@here", "--loglevel", "CRITICAL", "--without-mingle", *args])


def start(name, *args):
    child = spawn(name, *args)
    says(child, "ready")
    return child


def stop(child):
    child.send_signal(signal.SIGTERM)
    same("a worker leaves", child.wait(), 0)


def basics(r):
    same("a result", add.delay(2, 3).get(timeout=20), 5)
    result = fail.delay("no luck")
    refused("an error", ValueError, lambda: result.get(timeout=20), "no luck")
    same("its state", (result.state, "ValueError: no luck" in result.traceback), ("FAILURE", True))
    same("retries", flaky.delay(3).get(timeout=20), 3)
    same("kept", app.AsyncResult(result.id).state, "FAILURE")
    result.forget()
    same("forgotten", app.AsyncResult(result.id).state, "PENDING")
    same("a countdown", add.apply_async((1, 1), countdown=0.05).get(timeout=20), 2)
    refused("expired", TaskRevokedError, lambda: add.apply_async((1, 1), countdown=0.05, expires=0.01).get(timeout=20))
    same("another queue", add.apply_async((3, 3), queue="other").get(timeout=20), 6)
    same("a topic", add.apply_async((4, 4), exchange=TOPICAL.exchange, routing_key="a.b.c", declare=[TOPICAL]).get(timeout=20), 8)
    tell.delay("without a result", "told")
    same("no result", r.blpop("told", timeout=20)[1], b"without a result")
    add.apply_async((1, 2), link=tell.s("linked"))
    same("linked", r.blpop("linked", timeout=20)[1], b"3")
    fail.apply_async(("oops",), link_error=tell_error.s())
    same("linked to an error", r.blpop("errors", timeout=20)[1], b"fail oops")
    waiting = states.delay("gate")
    r.blpop("gate:reached", timeout=20)
    same("a state of its own", (waiting.state, waiting.info), ("PROGRESS", {"done": 1}))
    r.rpush("gate", "open")
    same("large", total.delay(list(range(10_000))).get(timeout=20), 49_995_000)
    text = "\u20ac\r\n\x00" * 10_000
    same("a long text", add.delay(text, "!").get(timeout=20), text + "!")


def canvases():
    same("a group", group(add.s(n, n) for n in range(20))().get(timeout=20), [2 * n for n in range(20)])
    same("a chain", chain(add.s(1, 2), add.s(10), add.s(100)).delay().get(timeout=20), 113)
    same("a chord", chord([add.s(n, 1) for n in range(10)])(total.s()).get(timeout=20), 55)
    same("a group after a chord", chain(chord([add.s(1, 1), add.s(2, 2)], total.s()), group(add.s(1), add.s(2))).delay().get(timeout=20), [7, 8])
    pairs = add.chunks(zip(range(10), range(10)), 4).apply_async()
    same("chunks", pairs.get(timeout=20), [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18]])
    bad = chord([add.s(1, 1), fail.s("part")])(total.s())
    refused("a chord with an error", Exception, lambda: bad.get(timeout=20), "part")
    nested = group(chord([add.s(i, j) for j in range(3)], total.s()) for i in range(3))
    same("chords in a group", nested.apply_async().get(timeout=20), [3, 6, 9])
    results = group(add.s(n, 0) for n in range(30))()
    same("as they come", sorted(kept["result"] for _, kept in results.iter_native()), list(range(30)))


def control(r):
    inspect = app.control.inspect(timeout=2, limit=1)
    same("ping", inspect.ping(), {"threads@here": {"ok": "pong"}})
    same("registered", "once each" in inspect.registered()["threads@here"], True)
    held = waits.delay("held")
    r.blpop("held:reached", timeout=20)
    same("active", [t["id"] for t in inspect.active()["threads@here"]], [held.id])
    far = add.apply_async((1, 1), countdown=3600)
    eventually("scheduled", lambda: [t["request"]["id"] for t in inspect.scheduled()["threads@here"]] == [far.id])
    same("revoked", [list(x)[0] for x in app.control.revoke(far.id, reply=True, limit=1, timeout=2)], ["threads@here"])
    same("known as revoked", far.id in inspect.revoked()["threads@here"], True)
    r.rpush("held", "open")
    same("let go", held.get(timeout=20), "held")
    same("stats", inspect.stats()["threads@here"]["pool"]["max-concurrency"], 4)
    same("a rate", app.control.rate_limit("tell", "100/s", reply=True, limit=1, timeout=2), [{"threads@here": {"ok": "new rate limit set successfully"}}])
    cancelled = app.control.cancel_consumer("other", reply=True, limit=1, timeout=2)
    same("a queue less", list(cancelled[0]), ["threads@here"])
    added = app.control.add_consumer("other", reply=True, limit=1, timeout=2)
    same("and again", list(added[0]), ["threads@here"])
    same("done", add.apply_async((5, 5), queue="other").get(timeout=20), 10)


def events():
    """What workers tell of tasks goes to every listener."""
    kinds = {"task-sent", "task-received", "task-started", "task-succeeded"}
    heard = {}
    done = threading.Event()
    listening = threading.Event()

    def listen():
        with app.connection_for_read() as connection:
            def hear(event):
                heard.setdefault(event["uuid"], set()).add(event["type"])
                if kinds <= heard[event["uuid"]]:
                    receiver.should_stop = True
                    done.set()

            receiver = app.events.Receiver(connection, handlers={kind: hear for kind in kinds})
            with receiver.consumer_context(wakeup=False):
                listening.set()
                for _ in receiver.consume(limit=None, timeout=20, wakeup=False):
                    pass

    r = connect()
    patterns = r.pubsub_numpat()
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    same("listening", listening.wait(20), True)
    eventually("the server knows of the listener's pattern", lambda: r.pubsub_numpat() > patterns)
    result = add.delay(1, 1)
    result.get(timeout=20)
    same("heard of each step", done.wait(20), True)


def handing_over(r):
    """A worker that leaves gives back what it took and did not begin."""
    first = start("first", "--pool", "solo", "--queues", "celery")
    held = waits.delay("over")
    r.blpop("over:reached", timeout=20)
    broker = redis.Redis(host=HOST, port=PORT)
    rest = [add.delay(n, 1) for n in range(3)]
    first.send_signal(signal.SIGTERM)
    r.rpush("over", "open")
    same("what it had begun is done", held.get(timeout=20), "over")
    same("it leaves", first.wait(), 0)
    eventually("the rest waits", lambda: broker.llen("celery") == 3)
    same("none is thought to be under way", broker.hlen("unacked"), 0)
    second = start("second", "--pool", "solo", "--queues", "celery")
    same("another does them", [x.get(timeout=20) for x in rest], [1, 2, 3])
    stop(second)


def killed(r):
    """A worker that is killed loses nothing: what it had begun is begun again when its time to acknowledge is over."""
    mortal = start("mortal", "--pool", "solo", "--queues", "celery")
    result = survives.delay()
    r.blpop("survives:reached", timeout=20)
    mortal.kill()
    mortal.wait()
    heir = start("heir", "--pool", "solo", "--queues", "celery")
    same("begun again", result.get(timeout=30), "second try")
    stop(heir)
    same("nothing is left", redis.Redis(host=HOST, port=PORT).hlen("unacked"), 0)


def many(r):
    workers = [spawn(f"many{i}", "--pool", "threads", "--concurrency", "4", "--queues", "celery") for i in range(WORKERS)]
    for child in workers:
        says(child, "ready")
    results = [once_each.delay(n) for n in range(TASKS)]
    same("all are done", [x.get(timeout=30) for x in results], list(range(TASKS)))
    same("each once", set(r.hgetall("processed").values()), {b"1"})
    same("over all workers", chord([add.s(n, 0) for n in range(40)])(total.s()).get(timeout=20), 780)
    same("pings", sorted(list(x)[0] for x in app.control.ping(timeout=3, limit=WORKERS)), [f"many{i}@here" for i in range(WORKERS)])
    app.control.shutdown()
    same("told to leave", [child.wait() for child in workers], [0] * WORKERS)


def main():
    r = connect()
    r.flushall()
    worker = start("threads", "--pool", "threads", "--concurrency", "4", "--queues", "celery,other,topical")
    basics(r)
    canvases()
    control(r)
    events()
    stop(worker)
    same("the task of an hour from now was given back", app.control.purge(), 1)
    handing_over(r)
    killed(r)
    many(r)


if __name__ == "__main__":
    run(main, worker)
