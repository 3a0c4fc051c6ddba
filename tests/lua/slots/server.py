import ctypes
import os
import sys

from harness.session import serve


class Kept:
    """State that stays from call to call."""

    def __init__(self):
        self.items = []

    def add(self, *items):
        self.items.extend(items)
        print("added", items)  # must not reach the answers
        return self.items

    def noise(self):
        os.write(1, b"raw bytes on standard output\n")
        ctypes.CDLL(None).puts(b"from C")
        ctypes.CDLL(None).fflush(None)
        os.system("echo from a shell")
        return sys.stdin.readline()

    def echo(self, value=None):
        return value

    def kinds(self, *values):
        return [type(value).__name__ for value in values]

    def divide(self, a, b):
        return a / b

    def not_json(self):
        return {1, 2}

    def infinite(self):
        return float("inf")

    def leave(self):
        sys.exit(4)

    def crash(self):
        ctypes.string_at(0)

    def forks(self, how):
        ours, theirs = os.pipe()
        if os.fork() == 0:
            os.close(ours)  # and comes back, as a child that forgot its end
            if how == "raise":
                raise ValueError("of the child")
            return "the child's"
        os.close(theirs)
        os.read(ours, 1)  # until it is gone
        return "the parent's"

    def answers_before(self):
        for fd in range(3, 10):
            try:
                os.write(fd, b'{"value":"of nobody","seq":0}\n')
            except OSError:
                pass

    def surrogate(self, how):
        if how == "raise":
            raise ValueError("cannot read \udcff")
        return "\udcff"

    def unprintable(self):
        class Unprintable(Exception):
            def __str__(self):
                raise KeyError("no text")

        raise Unprintable

    def closes(self):
        sys.stdout.close()

    def _private(self):
        return "never"


serve(Kept())
