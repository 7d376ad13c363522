"""A person at a terminal: redpoll cli, typed to key by key, and redpoll top. Arguments: port, program."""

import os
import pty
import re
import select
import signal
import struct
import sys
import tempfile
import time
import fcntl
import termios

import redis

PORT, PROGRAM = sys.argv[1], sys.argv[2]
checks = 0


def check(what, condition):
    global checks
    assert condition, what
    checks += 1


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *args, size=(40, 120), home=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.environ["HOME"] = home or tempfile.gettempdir()
            for name in ("REDISCLI_AUTH", "REDISCLI_HISTFILE", "REDISCLI_RCFILE"):
                os.environ.pop(name, None)
            os.execv(PROGRAM, [PROGRAM, *args])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.seen = ""

    def read(self, seconds):
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        text = data.decode("utf-8", "replace")
        # Whoever asks where the cursor is wants an answer.
        if "\x1b[6n" in text:
            os.write(self.fd, b"\x1b[1;1R")
        self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        return bool(data)

    def expect(self, text):
        """Waits until this is shown, and forgets everything up to it."""
        deadline = time.monotonic() + 30
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} is not shown, but: {self.seen[-2000:]!r}"
            self.read(0.2)
        before, _, self.seen = self.seen.partition(text)
        global checks
        checks += 1
        return before

    def type(self, text):
        os.write(self.fd, text.encode())

    def line(self, text):
        self.type(text + "\r")

    def end(self):
        """Its status, once it has ended by itself."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"it goes on: {self.seen[-2000:]!r}")


db = redis.Redis(port=int(PORT))
db.flushall()
home = tempfile.mkdtemp(prefix="redpoll-terminal-")
prompt = f"127.0.0.1:{PORT}> "

# Commands, transactions and databases, which the prompt shows.
cli = Terminal("cli", "-p", PORT, home=home)
cli.expect(prompt)
cli.line("set a b")
cli.expect("OK")
cli.line("lpush l 1 2")
cli.expect("(integer) 2")
cli.line("MULTI")
cli.expect("(TX)> ")
cli.line("get a")
cli.expect("QUEUED")
cli.line("exec")
cli.expect('1) "b"')
cli.expect(prompt)
cli.line("select 3")
cli.expect(f":{PORT}[3]> ")
cli.line("select 0")
cli.expect(prompt)
cli.line("3 incr n")
cli.expect("(integer) 3")
cli.line("hello 3")
cli.expect('"proto" => (integer) 3')
cli.line('get "x')
cli.expect("Invalid argument(s)")

# Hints and completion come from the table of commands.
cli.type("config ge")
cli.type("\t")
cli.expect("parameter [parameter ...]")
cli.line(" maxmemory-policy")
cli.expect('1# "maxmemory-policy" => "noeviction"')
cli.type("zadd z")
cli.expect("[NX|XX]")
cli.type("\x15")
cli.line("help getdel")
cli.expect("summary:")
cli.line(":set nohints")
cli.expect(prompt)
cli.line("debug sleep 0.6")
cli.expect("s)")

# Messages of client-side caching come before the reply.
cli.line("client tracking on")
cli.expect("OK")
cli.line("get a")
cli.expect('"b"')
db.set("a", "c")
cli.line("get a")
cli.expect("-> invalidate: 'a'")
cli.expect('"c"')

# Listening to channels, with a command in between, until Ctrl-C.
cli.line("subscribe news")
cli.expect("Reading messages...")
while db.publish("news", "hello") == 0:
    time.sleep(0.01)
cli.expect('3) "hello"')
cli.type("p")
cli.expect("(subscribed mode)> ")
cli.line("ing")
cli.expect("PONG")
db.publish("news", "again")
cli.expect('3) "again"')
cli.type("\x03")
cli.expect(prompt)

cli.line("monitor")
cli.expect("OK")
db.set("seen-by-monitor", "1")
cli.expect('"SET" "seen-by-monitor" "1"')
cli.type("\x03")
cli.expect(prompt)

# Other servers, and none.
cli.line("connect 127.0.0.1 1")
cli.expect("Connection refused")
cli.expect("not connected> ")
cli.line(f"connect 127.0.0.1 {PORT}")
cli.expect(prompt)
# Whoever's connection is closed gets a new one.
db.client_kill_filter(_type="normal", skipme=True)
cli.line("get a")
cli.expect('"c"')
cli.line("auth secret-password")
cli.expect("(error)")
cli.expect(prompt)
cli.line("quit")
check("quit ends well", cli.end() == 0)

history = open(os.path.join(home, ".rediscli_history")).read()
check("lines are kept", "lpush l 1 2" in history)
check("passwords are not", "secret-password" not in history)

# The history of the last time, and the end by Ctrl-D.
cli = Terminal("cli", "-p", PORT, home=home)
cli.expect(prompt)
cli.type("\x1b[A")
cli.expect("quit")
cli.type("\x15\x04")
check("Ctrl-D ends well", cli.end() == 0)

# A password that is typed and not shown.
db.acl_setuser("bob", enabled=True, passwords=["+typed"], keys=["*"], commands=["+@all"])
cli = Terminal("cli", "-p", PORT, "--user", "bob", "--askpass", "acl", "whoami", home=home)
cli.expect("Please input password: ")
cli.line("typed")
check("the password is not shown", "typed" not in cli.expect('"bob"'))
check("one command ends well", cli.end() == 0)

# The live view.
top = Terminal("top", "-p", PORT, "-i", "0.1", home=home)
# Word by word: between them the cursor moves.
for word in ("operations", "memory", "durability", "slow"):
    top.expect(word)
top.type(" ")
top.expect("paused")
top.type(" ")
top.type("o")
top.type("q")
check("q ends well", top.end() == 0)

print(f"{checks} checks passed")
