"""RQ against a server on 127.0.0.1: python rq_jobs.py PORT. Jobs, results, retries, dependencies, schedules, commands, many workers."""

import logging
import os
import time
from datetime import datetime, timedelta, timezone

import redis
import rq_jobs as jobs
from checks import HOST, PORT, eventually, run, same, says, spawn
from rq import Callback, Queue, Repeat, Retry, SimpleWorker, Worker
from rq.command import send_shutdown_command, send_stop_job_command
from rq.exceptions import NoSuchJobError
from rq.group import Group
from rq.job import Dependency, Job, JobStatus
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)

WORKERS = 4
JOBS = 60


def connect():
    return redis.Redis(host=HOST, port=PORT)


# What the jobs do; workers import this file to find it.


def add(a, b):
    return a + b


def fail(text="as told"):
    raise ValueError(text)


def flaky(key, succeed_at):
    n = connect().incr(key)
    if n < succeed_at:
        raise ValueError(f"attempt {n}")
    return n


def once_each(n):
    r = connect()
    r.hincrby("processed", n, 1)
    r.sadd("by", os.getppid())
    return n


def forever():
    r = connect()
    r.rpush("forever:started", "yes")
    r.blpop("never")


def succeeded(job, connection, result):
    connection.rpush("callbacks", f"success {result}")


def failed(job, connection, type, value, traceback):
    connection.rpush("callbacks", f"failure {value}")


def simple(r):
    q = Queue("simple", connection=r)
    worker = SimpleWorker([q], connection=r)
    job = q.enqueue(jobs.add, 2, b=3, meta={"who": "tester"})
    same("queued", (job.get_status(), q.count, q.job_ids), (JobStatus.QUEUED, 1, [job.id]))
    same("worked", worker.work(burst=True), True)
    same("its result", (job.return_value(), job.get_status()), (5, JobStatus.FINISHED))
    same("kept in its registry", FinishedJobRegistry(queue=q).get_job_ids(), [job.id])
    same("read again", Job.fetch(job.id, connection=r).meta, {"who": "tester"})
    same("a result's record", job.latest_result().return_value, 5)

    many = q.enqueue_many([Queue.prepare_data(jobs.add, (n, n)) for n in range(10)])
    front = q.enqueue(jobs.add, 100, 1, at_front=True)
    same("positions", (q.count, q.get_job_position(front), q.get_job_position(many[3])), (11, 0, 4))
    worker.work(burst=True)
    same("their results", [j.return_value() for j in many], [2 * n for n in range(10)])

    bad = q.enqueue(jobs.fail, on_failure=Callback(failed), on_success=Callback(succeeded))
    good = q.enqueue(jobs.add, 1, 1, on_failure=Callback(failed), on_success=Callback(succeeded))
    worker.work(burst=True)
    same("callbacks", r.lrange("callbacks", 0, -1), [b"failure as told", b"success 2"])
    same("failed", (bad.get_status(), FailedJobRegistry(queue=q).get_job_ids()), (JobStatus.FAILED, [bad.id]))
    same("with a traceback", "ValueError: as told" in bad.latest_result().exc_string, True)
    same("requeued", FailedJobRegistry(queue=q).requeue(bad.id).get_status(), JobStatus.QUEUED)
    worker.work(burst=True)
    same("failed again", bad.get_status(refresh=True), JobStatus.FAILED)
    bad.delete()
    try:
        Job.fetch(bad.id, connection=r)
        same("a deleted job", "there", "gone")
    except NoSuchJobError:
        same("a deleted job", FailedJobRegistry(queue=q).count, 0)

    retried = q.enqueue(jobs.flaky, "flaky", 3, retry=Retry(max=3))
    worker.work(burst=True)
    same("retried until it worked", (retried.return_value(), r.get("flaky")), (3, b"3"))
    repeated = q.enqueue(jobs.flaky, "repeated", 0, repeat=Repeat(times=2))
    worker.work(burst=True)
    eventually("repeated", lambda: worker.work(burst=True) is not None and r.get("repeated") == b"3")
    same("and no more", repeated.get_status(refresh=True), JobStatus.FINISHED)
    short = q.enqueue(jobs.add, 1, 2, result_ttl=0)
    worker.work(burst=True)
    same("a result that is not kept", Job.exists(short.id, connection=r), False)
    same("good one kept", good.return_value(), 2)
    q.enqueue(jobs.add, 1, 2)
    same("emptied", (q.empty(), q.count), (1, 0))


def dependencies(r):
    q = Queue("dependent", connection=r)
    worker = SimpleWorker([q], connection=r)
    first, second = q.enqueue(jobs.add, 1, 2), q.enqueue(jobs.add, 3, 4)
    both = q.enqueue(jobs.add, 5, 6, depends_on=[first, second])
    bad = q.enqueue(jobs.fail)
    never = q.enqueue(jobs.add, 7, 8, depends_on=bad)
    anyway = q.enqueue(jobs.add, 9, 10, depends_on=Dependency(jobs=[bad], allow_failure=True))
    same("deferred", (both.get_status(), sorted(DeferredJobRegistry(queue=q).get_job_ids())), (JobStatus.DEFERRED, sorted([both.id, never.id, anyway.id])))
    worker.work(burst=True)
    same("after both", both.return_value(), 11)
    same("never", never.get_status(refresh=True), JobStatus.DEFERRED)
    same("anyway", anyway.return_value(), 19)
    chosen = q.enqueue(jobs.add, 0, 0)
    chosen.cancel()
    same("canceled", (chosen.get_status(), chosen.id in CanceledJobRegistry(queue=q).get_job_ids(), q.count), (JobStatus.CANCELED, True, 0))
    group = Group.create(connection=r)
    members = group.enqueue_many(q, [Queue.prepare_data(jobs.add, (n, 1)) for n in range(3)])
    worker.work(burst=True)
    same("a group", sorted(j.return_value() for j in group.get_jobs()), [1, 2, 3])
    same("of so many", len(members), 3)


def schedules(r):
    q = Queue("scheduled", connection=r)
    soon = q.enqueue_in(timedelta(milliseconds=1), jobs.add, 1, 1)
    later = q.enqueue_at(datetime.now(timezone.utc) + timedelta(days=1), jobs.add, 2, 2)
    registry = ScheduledJobRegistry(queue=q)
    same("scheduled", sorted(registry.get_job_ids()), sorted([soon.id, later.id]))
    worker = Worker([q], connection=r)
    eventually("the first one's time has come", lambda: soon.id in registry.get_jobs_to_schedule(int(time.time()) + 1))
    # With a scheduler beside it: a process that enqueues what is due before the worker looks.
    eventually("it was done", lambda: worker.work(burst=True, with_scheduler=True) is not None and soon.return_value() == 2)
    same("the other waits", registry.get_job_ids(), [later.id])
    registry.remove(later, delete_job=True)
    same("nothing is left", registry.count, 0)


def worker(name):
    logging.disable(logging.CRITICAL)
    r = connect()
    # Unlike burst mode, in which a worker leaves when the queue is empty, it waits in BLMOVE.
    w = Worker(["many", "urgent"], connection=r, name=name)
    print("ready", flush=True)
    w.work()


def many(r):
    q = Queue("many", connection=r)
    children = [spawn(f"worker{i}") for i in range(WORKERS)]
    for child in children:
        says(child, "ready")
    eventually("all are known", lambda: len(Worker.all(connection=r)) == WORKERS)
    done = q.enqueue_many([Queue.prepare_data(jobs.once_each, (n,)) for n in range(JOBS)])
    urgent = Queue("urgent", connection=r).enqueue(jobs.add, 1, 1)
    # Waits in XREAD BLOCK until the record of the result is written.
    same("a result that is waited for", urgent.latest_result(timeout=30).return_value, 2)
    same("all are done", [j.latest_result(timeout=30).return_value for j in done], list(range(JOBS)))
    same("each once", set(r.hgetall("processed").values()), {b"1"})
    same("by several", r.scard("by") > 1, True)
    eventually("nothing is under way", lambda: StartedJobRegistry(queue=q).count == 0)

    # Commands go by messages: one job is stopped, then all workers are told to leave.
    endless = q.enqueue(jobs.forever)
    same("it has begun", r.blpop("forever:started", timeout=30)[1], b"yes")
    eventually("its worker says so", lambda: any(w.get_current_job_id() == endless.id for w in Worker.all(connection=r)))
    send_stop_job_command(r, endless.id)
    eventually("it was stopped", lambda: endless.get_status(refresh=True) == JobStatus.STOPPED)
    same("it failed", FailedJobRegistry(queue=q).get_job_ids(), [endless.id])
    for w in Worker.all(connection=r):
        send_shutdown_command(r, w.name)
    same("they leave", [child.wait() for child in children], [0] * WORKERS)
    same("none is known", Worker.all(connection=r), [])


def main():
    # Jobs that fail as they should would fill pages.
    logging.disable(logging.CRITICAL)
    r = connect()
    r.flushall()
    r.script_flush()
    simple(r)
    dependencies(r)
    schedules(r)
    many(r)


if __name__ == "__main__":
    run(main, worker)
