"""No-op tasks a second, and the wait for one, with an executor: futures.py harness|process|mpi4py TASKS. Two workers."""

import sys
import time


def make(name):
    if name == "harness":
        from harness_futures import HarnessExecutor

        return HarnessExecutor(2)
    if name == "process":
        from concurrent.futures import ProcessPoolExecutor

        return ProcessPoolExecutor(2)
    from mpi4py.futures import MPIPoolExecutor

    return MPIPoolExecutor(2)


def noop(x):
    return x


def main(name, tasks):
    with make(name) as executor:
        list(executor.map(noop, range(1000)))  # the workers are there, and warm
        began = time.perf_counter()
        futures = [executor.submit(noop, n) for n in range(tasks)]
        for future in futures:
            future.result()
        rate = tasks / (time.perf_counter() - began)
        began = time.perf_counter()
        for _ in executor.map(noop, range(10 * tasks), chunksize=100):
            pass
        chunked = 10 * tasks / (time.perf_counter() - began)
        waits = []
        for n in range(200):
            began = time.perf_counter()
            executor.submit(noop, n).result()
            waits.append(time.perf_counter() - began)
        data = bytes(64 << 20)
        began = time.perf_counter()
        executor.submit(noop, data).result()
        print(name, rate, chunked, sorted(waits)[100] * 1e6, time.perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
