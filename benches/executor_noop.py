"""Calls through an executor of Python's, for benches/beside_executors: `executor_noop.py mpi4py|process CALLS AWAITED ITEMS`.

Prints no-op calls per second (all submitted, then all awaited), the median of submit and await of one, in microseconds, and items
per second of a map over numbers: of a hundredth of them without a chunk size, which takes that long, and of all in chunks of 100 and of 1000.
Last, how fast 64 MiB travel to a function and back (MB/s, there and back counted).
"""

import statistics
import sys
import time


def nothing():
    return None


def increment(x):
    return x + 1


def same(x):
    return x


def executor(which):
    if which == "mpi4py":
        from mpi4py.futures import MPIPoolExecutor as Executor
    else:
        from concurrent.futures import ProcessPoolExecutor as Executor
    return Executor(2)


def main(which, many, few, items):
    with executor(which) as pool:
        pool.submit(nothing).result()  # the workers are there
        began = time.perf_counter()
        for future in [pool.submit(nothing) for _ in range(many)]:
            future.result()
        print(many / (time.perf_counter() - began))
        times = []
        for _ in range(few):
            began = time.perf_counter()
            pool.submit(nothing).result()
            times.append(time.perf_counter() - began)
        print(statistics.median(times) * 1e6)
        for number, chunk in (items // 100, 1), (items, 100), (items, 1000):
            began = time.perf_counter()
            total = sum(pool.map(increment, range(number), chunksize=chunk))
            print(number / (time.perf_counter() - began))
            assert total == number * (number + 1) // 2
        large = b"x" * (64 << 20)
        times = []
        for _ in range(15):  # the first ones find memory that nobody used before
            began = time.perf_counter()
            assert len(pool.submit(same, large).result()) == len(large)
            times.append(time.perf_counter() - began)
        print(2 * len(large) / 1e6 / statistics.median(times))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
