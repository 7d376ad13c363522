"""What the Python programs of this folder share: counted checks, children that do not outlive us, an orderly end."""

import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import time
import traceback

HOST = "127.0.0.1"
PORTS = [int(port) for port in sys.argv[1].split(",")]
PORT = PORTS[0]
# A program that takes longer hangs: it waits for a reply or a message that does not come.
LIMIT_S = 80

passed = 0
children = []


def same(what, got, wanted):
    """One check: `got` must equal `wanted`. `what` says in a failure which check it was."""
    global passed
    assert got == wanted, f"{what}: got {got!r}, wanted {wanted!r}"
    passed += 1


def refused(what, kind, call, text=""):
    """One check: the call must raise an error of this kind whose text has `text` in it."""
    global passed
    try:
        reply = call()
    except kind as error:
        assert text in str(error), f"{what}: the error is {error!r}; wanted {text!r}"
        passed += 1
    else:
        raise AssertionError(f"{what}: no error but {reply!r}; wanted {kind.__name__} {text!r}")


def eventually(what, condition):
    """Polls until `condition` returns something true, and returns that. For states that the client tells of by no event."""
    global passed
    while True:
        value = condition()
        if value:
            passed += 1
            return value
        time.sleep(0.005)


def _die_with_parent():
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(*args):
    """Starts this program once more, with more arguments; it ends with us, whatever happens. Its output is a pipe of text."""
    command = [sys.executable, "-B", sys.argv[0], sys.argv[1], *args]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=_die_with_parent)
    children.append(child)
    return child


def says(child, line):
    """Reads the child's output up to this line."""
    for got in child.stdout:
        if got.rstrip("\n") == line:
            return
    raise AssertionError(f"a child ended with {child.wait()} before it said {line!r}")


def _kill_children():
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()


def run(main, in_child=None):
    """Runs `main`, or in a child `in_child` with the arguments given to `spawn`."""
    if len(sys.argv) > 2:
        in_child(*sys.argv[2:])
        return
    # Says where every thread is when the time is over, and ends the process; the children follow.
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    status = 0
    try:
        main()
        print(f"{passed} checks passed", flush=True)
    except BaseException:
        traceback.print_exc()
        status = 1
    _kill_children()
    # Threads that a library left waiting shall not keep us.
    os._exit(status)
