"""What an executor does on three nodes, and when one of them is lost; the argument is how workers start there."""

import os
import signal
import socket
import sys
import time

from harness_futures import HarnessError, HarnessExecutor, as_completed

START = sys.argv[1]
NODES = ["node1", "node2", "node3"]
HOST = socket.gethostname()
WORD = "not initialised"


def say(*words):
    """In one piece: what harness says at the same time is on the same output, and an unbuffered `print` writes each word."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")


def initialise(word):
    global WORD
    WORD = word


def await_that(condition):
    end = time.monotonic() + 40
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("in vain on " + HOST)
        time.sleep(0.01)


def meet(folder, number, count):
    """Begins, and lasts until so many have begun: where tasks land is no race then. All that came, in order."""
    open(os.path.join(folder, "%s.%d" % (HOST, number)), "w").close()
    await_that(lambda: len(os.listdir(folder)) >= count)
    return sorted(os.listdir(folder))


def here(folder, number, count):
    meet(folder, number, count)
    return HOST, os.getpid(), WORD


def parent(pid):
    with open("/proc/%d/stat" % pid) as stat:
        return int(stat.read().rsplit(")", 1)[1].split()[1])


def loses_its_node(folder, number, count):
    """The first on the first host ends the worker there: the slot's parent is the keeper, whose parent is the worker."""
    if not os.path.exists(folder + ".lost"):
        first = meet(folder, number, count)[0]
        if first == "%s.%d" % (HOST, number):
            with open(folder + ".lost", "w") as lost:
                lost.write(HOST)
            os.kill(parent(parent(os.getppid())), signal.SIGKILL)
        if first.startswith(HOST):
            time.sleep(1000)  # goes with it
    await_that(lambda: os.path.exists(folder + ".lost"))
    return HOST


def fails():
    raise ValueError("no such luck")


def folder(name):
    path = os.path.abspath("%s.%s" % (START, name))
    os.mkdir(path)
    return path


def executor(hosts, **options):
    return HarnessExecutor(spawn={"slots": 2, "hosts": hosts, "start": START}, **options)


def on_all_nodes():
    with executor(NODES, initializer=initialise, initargs=("ready",)) as pool:
        say("workers", sorted((worker["host"], worker["slots"]) for worker in pool.workers()))
        first, second = folder("first"), folder("second")
        found = [f.result() for f in as_completed([pool.submit(here, first, n, 6) for n in range(6)])]
        again = [f.result() for f in as_completed([pool.submit(here, second, n, 6) for n in range(6)])]
        say("hosts", sorted(host for host, _, _ in found))
        say("words", {word for _, _, word in found})
        say("the same processes", {(host, pid) for host, pid, _ in found} == {(host, pid) for host, pid, _ in again})
        error = pool.submit(fails).exception()
        told = str(error.__cause__)
        say("raised", repr(error), told.startswith("on node"), 'raise ValueError("no such luck")' in told)
        say("map", sum(pool.map(abs, range(-100, 0), chunksize=7)))


def lost_in(where):
    with open(where + ".lost") as file:
        return file.read()


def tried_again():
    where = folder("again")
    with executor(NODES[1:]) as pool:
        hosts = {future.result() for future in [pool.submit(loses_its_node, where, n, 4) for n in range(4)]}
        say("tried again", len(hosts), lost_in(where) not in hosts)


def not_tried_again():
    where = folder("once")
    with executor(NODES[1:], task={"retries": 0}) as pool:
        futures = [pool.submit(loses_its_node, where, n, 4) for n in range(4)]
        errors, gone = [future.exception() for future in futures], lost_in(where)
        found = [error for error in errors if isinstance(error, HarnessError)]
        say("lost", sorted({(error.status, error.host == gone) for error in found}), len(found))
        say("others", {future.result() != gone for future in futures if future.exception() is None})
        say("then", pool.submit(socket.gethostname).result() != gone)


if __name__ == "__main__":
    on_all_nodes()
    tried_again()
    not_tried_again()
    say("done")
