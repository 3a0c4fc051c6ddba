"""Everything passes through the launcher: its words are the arguments."""

import os
import sys

from harness_futures import HarnessExecutor


def reverse(data):
    print("printed")
    return data[::-1]


def fail():
    raise ValueError("no such luck")


if __name__ == "__main__":
    data = os.urandom(1 << 20) * 4
    with HarnessExecutor(2, mpirun=sys.argv[1:]) as executor:
        assert executor.submit(reverse, data).result() == data[::-1]
        print(sum(executor.map(abs, range(-500, 0))), executor.submit(fail).exception())
