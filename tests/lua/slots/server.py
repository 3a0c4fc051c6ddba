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

    def _private(self):
        return "never"


serve(Kept())
