"""No-op calls through mpi4py.futures, for benches/beside_mpi4py: `noop.py RATE_CALLS AWAITED_CALLS`.

Prints calls per second (all submitted, then all awaited) and the median of submit and await of one, in microseconds.
"""

import statistics
import sys
import time

from mpi4py.futures import MPIPoolExecutor


def nothing():
    return None


def main(many, few):
    with MPIPoolExecutor(2) as executor:
        executor.submit(nothing).result()  # the workers are there
        began = time.perf_counter()
        for future in [executor.submit(nothing) for _ in range(many)]:
            future.result()
        print(many / (time.perf_counter() - began))
        times = []
        for _ in range(few):
            began = time.perf_counter()
            executor.submit(nothing).result()
            times.append(time.perf_counter() - began)
        print(statistics.median(times) * 1e6)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
