"""Tasks that do not end by themselves; says what became of the first."""

import sys
import time

from harness_futures import BrokenHarness, HarnessExecutor


def endless():
    sys.stderr.write("begun\n")  # in one piece, also where nothing is buffered: another begins at the same time
    while True:
        time.sleep(1)


if __name__ == "__main__":
    with HarnessExecutor(2) as executor:
        futures = [executor.submit(endless) for _ in range(9)]
        try:
            futures[0].result()
        except BrokenHarness as error:
            print("broken:", error, all(isinstance(future.exception(), BrokenHarness) for future in futures))
