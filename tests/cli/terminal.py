"""Sessions with the program at a pseudo-terminal: terminal.py SESSION PROGRAM.

The folder has the registry `reg.db` with the subscriptions `crm` and `bi`.
"""

import errno
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata

PROGRAM = sys.argv[2]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def environment(**changes):
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return {**kept, "TERM": "xterm-256color", "WEBHOOK_REGISTRY_DB": "reg.db", **changes}


class Terminal:
    """The program with a terminal as stdin, stdout and stderr."""

    def __init__(self, *arguments, columns=100, **changes):
        self.text = ""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
            # In the background of a shell it is ignored, and a program inherits that.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execve(PROGRAM, [PROGRAM, *arguments], environment(**changes))

    def read(self, until=None, seconds=30):
        """Reads until a text, or to the end."""
        end = time.monotonic() + seconds
        while until is None or until not in self.text:
            wait = end - time.monotonic()
            if wait <= 0 or not select.select([self.master], [], [], wait)[0]:
                raise AssertionError(f"no {until!r} in {self.text!r}")
            try:
                part = os.read(self.master, 65536)
            except OSError as error:
                # Linux reports the end of a terminal like this.
                if error.errno != errno.EIO:
                    raise
                part = b""
            if not part:
                break
            self.text += part.decode()
        return self.text

    def write(self, text):
        os.write(self.master, text.encode())

    def end(self):
        """Returns the exit status, negative for a signal, and all that was written."""
        self.read()
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.master)
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        return code, self.text.replace("\r\n", "\n")


def run(*arguments, **options):
    return Terminal(*arguments, **options).end()


def answer(*arguments):
    """Returns the JSON answer of a run without a terminal."""
    ran = subprocess.run(
        [PROGRAM, *arguments, "--json"], env=environment(), stdout=subprocess.PIPE, check=True
    )
    return json.loads(ran.stdout)


def names():
    return [subscription["name"] for subscription in answer("list")]


def expect(condition, shown):
    if not condition:
        raise AssertionError(repr(shown))


def question():
    for reply in ("\n", "n\n", "x\n", "\x04"):
        terminal = Terminal("delete", "crm")
        terminal.read("delete crm? [y/N] ")
        terminal.write(reply)
        code, text = terminal.end()
        expect(code == 2 and "not confirmed" in text, text)
        expect(names() == ["crm", "bi"], names())
    terminal = Terminal("delete", "crm")
    terminal.read("[y/N] ")
    terminal.write("y\n")
    code, text = terminal.end()
    expect(code == 0 and "deleted " in text, text)
    expect(names() == ["bi"], names())
    code, text = run("delete", "bi", "--yes")
    expect(code == 0 and "[y/N]" not in text, text)
    expect(names() == [], names())


def interrupt():
    terminal = Terminal("delete", "crm")
    terminal.read("[y/N] ")
    terminal.write("\x03")
    code, text = terminal.end()
    expect(code == -2, (code, text))
    expect(names() == ["crm", "bi"], names())


def progress():
    subscriptions = [
        {"name": f"s{n}", "url": "https://a.example/", "events": ["*"]} for n in range(10_000)
    ]
    with open("many.json", "w", encoding="utf-8") as file:
        json.dump(subscriptions, file)
    for command in (["create", "--from", "many.json"], ["check"]):
        terminal = Terminal(*command)
        terminal.read("%")
        code, shown = terminal.end()
        expect(code == 0 and command[0] in shown, shown[:200])
        # The bar is gone before the answer.
        expect(re.search(r"\x1b\[2?K", shown), shown[:200])
        expect("%" not in shown.rpartition("\x1b[2K")[2], shown[-200:])
    ran = subprocess.run([PROGRAM, "check"], env=environment(), stderr=subprocess.PIPE, check=True)
    expect(b"%" not in ran.stderr, ran.stderr)


def empty():
    code, shown = run("list", "--event", "order.paid", "--disabled")
    expect(code == 0 and shown == "nothing to show\n", shown)


def colour():
    code, text = run("list")
    expect(code == 0 and ESCAPE.search(text), text)
    expect(ESCAPE.sub("", text).startswith("ID "), text)
    expect("\x1b[" in run("show", "nobody")[1], "an error has colour")
    for options in (
        {"NO_COLOR": "1"},
        {"CLICOLOR": "0"},
        {"TERM": "dumb"},
    ):
        code, text = run("list", **options)
        expect(code == 0 and "\x1b" not in text, (options, text))
        expect(text.startswith("ID "), text)
    expect("\x1b" not in run("list", "--color", "never")[1], "--color never")
    expect("\x1b" in run("list", "--color", "always", NO_COLOR="1")[1], "--color always")
    expect("\x1b" not in run("list", "--json")[1], "JSON has no colour")


def width():
    os.environ.pop("COLUMNS", None)
    text = "a long description of a subscription " * 5 + "日本語" * 10
    code, _ = run("update", "crm", "--description", text)
    expect(code == 0, code)
    identity = answer("show", "crm")["subscriptionId"]
    for columns in (60, 80, 120):
        for command in ("list", "show crm", "changes", "matrix", "explain order.paid"):
            code, shown = run(*command.split(), columns=columns)
            expect(code == 0, shown)
            plain = ESCAPE.sub("", shown)
            # An id in two lines could not be copied.
            expect(columns < 80 or "matrix" in command or identity in plain, plain)
            for line in plain.splitlines():
                cells = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)
                expect(cells <= columns, (columns, command, line))


if __name__ == "__main__":
    sessions = (question, interrupt, colour, empty, width, progress)
    {session.__name__: session for session in sessions}[sys.argv[1]]()
