"""`HarnessExecutor`: an executor of `concurrent.futures` whose workers are Python processes on all nodes of a job.

    from harness_futures import HarnessExecutor

    with HarnessExecutor() as executor:
        for result in executor.map(function, items):
            ...

It starts `harness serve --stdio` and speaks JSON Lines with it (docs/python.md has the protocol). Functions, arguments and
results are pickled; functions of the main script are found by running its file in each worker as `__mp_main__`, as
`multiprocessing` does. The standard library only; Python 3.9 or later. The other half, at the end of this file, is what a worker runs.
"""

import atexit
import base64
import collections
import fcntl
import functools
import itertools
import json
import os
import pickle
import runpy
import shlex
import signal
import subprocess
import sys
import threading
import time
import types
import weakref
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION  # for those who change one import
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, TimeoutError, as_completed, wait

__all__ = [
    "ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", "BrokenHarness", "CancelledError", "Executor", "Future",
    "HarnessError", "HarnessExecutor", "RemoteTraceback", "TimeoutError", "as_completed", "wait",
]  # fmt: skip

PROTOCOL = 1
# Tasks are sent ahead of what the slots can run at once, for about so long (s), at most so many for each slot: those count
# as running. One always is, so that its slot need not wait for the next.
AHEAD_S, MOST_AHEAD = 0.01, 32
# What requests and answers pass through (B): the more fits in, the less often the two sides wait for each other.
PIPE_BYTES = 1 << 20
F_SETPIPE_SZ = 1031  # of fcntl.h; `fcntl` has it since Python 3.10
# No line is followed by more (B).
MOST_BYTES = 1 << 30
# So much of what an exception says is in the line; the exception itself follows it (characters).
NAME_CHARS = 1000
# How long a harness that has nothing to do any more may take to end (s).
END_S = 60


class HarnessError(RuntimeError):
    """A task did not come to its end: its worker crashed, ran into a limit or was lost. Other tasks go on.

    `status` says what happened in a word (`signal`, `nonzero_exit`, `timeout`, `oom`, `lost_worker`, ...), `host` where, if it
    is known."""

    def __init__(self, status, reason, host=None):
        super().__init__(status, reason, host)
        self.status, self.reason, self.host = status, reason, host

    def __str__(self):
        return "%s%s: %s" % (self.status, " on " + self.host if self.host else "", self.reason)


class BrokenHarness(BrokenExecutor):
    """There is no harness any more, or no worker can begin: nothing that was submitted will be done."""


class RemoteTraceback(Exception):
    """Where an exception was raised: the cause of the one that a future gives."""

    def __init__(self, text, host=None):
        super().__init__(text, host)
        self.text, self.host = text, host

    def __str__(self):
        return "%s\n\"\"\"\n%s\"\"\"" % ("on " + self.host if self.host else "", self.text)


class HarnessExecutor(Executor):
    """Runs callables in Python processes on the nodes of a job, or on this machine.

    max_workers: so many processes (each node has the same number; default: one for each core of every node).
    initializer, initargs: called in each process before its first task; also in one that takes the place of a crashed one.
    harness: the program, or a list of words that start it.
    spawn: options of harness's `spawn`, as a dict: {"slots": 4, "hosts": [...], "start": "srun", "env": {...}, ...}.
    task: options of every task: {"cores": 2, "timeout": "10 min", "gpus": 1, "retries": 0, ...}.
    mpirun: True to start it through `mpirun -n 1`, or a list of words; default: harness reads the nodes from the batch system itself.
    python: the interpreter on the nodes (default: this one).
    """

    def __init__(self, max_workers=None, initializer=None, initargs=(), *, harness="harness", spawn=None, task=None,
                 mpirun=None, python=None):  # fmt: skip
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if _Worker.is_here:
            raise RuntimeError(
                "a worker cannot have workers of its own. If no function that you submitted makes this executor, the main "
                'script does whenever a worker imports it: put what it does below `if __name__ == "__main__":`'
            )
        words = [harness] if isinstance(harness, (str, os.PathLike)) else list(harness)
        serve = ["serve", "--stdio"]
        launcher = ["mpirun", "-n", "1"] if mpirun is True else list(map(os.fspath, mpirun or ()))
        if not launcher:
            words += serve
        elif len(words) == 1:
            words += serve + ["--mpirun", shlex.join(launcher)]
        else:
            words = launcher + words + serve  # a container, say: the launcher is outside
        # What a worker returns may be of a class of the main script, which is called `__mp_main__` there.
        sys.modules.setdefault("__mp_main__", sys.modules["__main__"])
        link = _Link(words, task)
        try:
            session = {"cmd": [python or sys.executable, "-c", _BEGIN], "setup": _setup(initializer, initargs)}
            link.spawn(max_workers, dict(spawn or {}), session)
        except BaseException:
            link.give_up()
            raise
        self._link = link
        self._max_workers = sum(worker["slots"] for worker in link.workers)
        # Nobody can submit any more: what was submitted is done, then harness ends.
        weakref.finalize(self, link.close).atexit = False

    def submit(self, fn, /, *args, **kwargs):
        return self._link.submit(fn, args, kwargs)

    submit.__doc__ = Executor.submit.__doc__

    def map(self, fn, *iterables, timeout=None, chunksize=1):
        """As `Executor.map`; `chunksize` items are sent as one task, which is worth it where one takes less than a
        millisecond."""
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        chunks = super().map(functools.partial(_run_chunk, fn), _chunks(zip(*iterables), chunksize), timeout=timeout)
        return _one_by_one(chunks)

    def shutdown(self, wait=True, *, cancel_futures=False):
        self._link.close(cancel_futures)
        if wait:
            self._link.join()

    shutdown.__doc__ = Executor.shutdown.__doc__

    def workers(self):
        """Where tasks run: a list of dicts with `host`, `slots` (processes), `cores` and `start`, one for each worker."""
        return [dict(worker) for worker in self._link.workers]


def _chunks(items, size):
    while True:
        chunk = list(itertools.islice(items, size))
        if not chunk:
            return
        yield chunk


def _run_chunk(fn, chunk):
    return [fn(*arguments) for arguments in chunk]


def _one_by_one(lists):
    for values in lists:
        values.reverse()  # no reference is kept to what was given away
        while values:
            yield values.pop()


def _setup(initializer, initargs):
    """What each worker does first, as JSON has it."""
    main = sys.modules["__main__"]
    spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    run = None
    if spec is not None and spec.name != "__main__":
        if not spec.name.endswith(".__main__"):
            run = {"module": spec.name}
    elif path is not None:
        run = {"path": os.path.abspath(path)}
    return {
        "path": [os.path.abspath(folder) for folder in sys.path],
        "argv": sys.argv,
        "folder": os.getcwd(),
        "main": run,
        "initialize": base64.b64encode(_packed((initializer, initargs))).decode(),
    }


def _packed(value):
    return pickle.dumps(value, protocol=5)


def _write(stream, message, data=None):
    """A line; with data these bytes behind it, of which it says first how many."""
    if data is not None:
        message = {"bytes": len(data), **message}
    stream.write(json.dumps(message).encode() + b"\n")
    if data is not None:
        stream.write(data)
        stream.write(b"\n")


def _read(stream):
    """A line, and the bytes behind it if it says so; nothing at the end. ValueError: it is no line of ours."""
    line = stream.readline()
    if not line:
        return None, None
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise ValueError(repr(line[:200]))
    count = message.get("bytes")
    if count is None:
        return message, None
    data = stream.read(count)
    return (message, data) if stream.read(1) else (None, None)


# The library's buffered streams have locks. A process that the script forks while a thread of ours holds one waits for it at its end.
class _Reader:
    def __init__(self, raw):
        self.raw, self.buffer, self.at = raw, b"", 0

    def readline(self):
        parts = []
        while True:
            end = self.buffer.find(b"\n", self.at) + 1
            parts.append(self.buffer[self.at : end or None])
            if end:
                self.at = end
                return b"".join(parts)
            self.buffer, self.at = self.raw.read(PIPE_BYTES), 0
            if not self.buffer:
                return b"".join(parts)

    def read(self, count):
        data = self.buffer[self.at : self.at + count]
        self.at += len(data)
        if len(data) == count:
            return data
        whole, filled = bytearray(count), len(data)
        whole[:filled] = data
        while filled < count:
            got = self.raw.readinto(memoryview(whole)[filled:])
            if not got:
                break
            filled += got
        return whole[:filled] if filled < count else whole


class _Writer:
    def __init__(self, raw):
        self.raw, self.parts, self.size = raw, [], 0

    def write(self, data):
        self.parts.append(data)
        self.size += len(data)
        if self.size > PIPE_BYTES:
            self.flush()

    def flush(self):
        parts = self.parts if self.size > PIPE_BYTES else [b"".join(self.parts)]
        self.parts, self.size = [], 0
        for part in parts:
            while part:
                part = memoryview(part)[self.raw.write(part) :]


class _Link:
    """A harness, what was submitted to it and two threads: one writes requests, one reads answers. The executor may go away
    before it."""

    def __init__(self, command, task):
        self.task = task
        self.waiting = collections.deque()  # (future, function, args, kwargs)
        self.sent = {}  # futures by the id of their request
        self.count = 0
        self.slots = 0
        self.task_s = None  # what a task takes, of late
        self.is_closed = False
        self.broken = None  # why there is no harness
        self.changed = threading.Condition()
        self.threads = []
        self.workers = []
        try:
            self.process = subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            raise BrokenHarness("cannot start %s: %s: is it on PATH? `harness=` names it" % (command[0], error)) from None
        for end in self.process.stdin, self.process.stdout:
            try:
                fcntl.fcntl(end, F_SETPIPE_SZ, PIPE_BYTES)
            except OSError:
                pass  # the system has given this user enough already
        self.requests, self.answers = _Writer(self.process.stdin), _Reader(self.process.stdout)
        _links.add(self)

    def forget(self):
        """In a process that the script forked: harness is its parent's, and is to see the end of that one although this lives on."""
        self.changed = threading.Condition()  # a thread that is not here may have it
        null = os.open(os.devnull, os.O_RDWR)
        for end in self.process.stdin, self.process.stdout:
            if not end.closed:
                os.dup2(null, end.fileno(), inheritable=False)
        os.close(null)

    def spawn(self, max_workers, options, session):
        """Waits until the workers are there."""
        hello = self._answer()
        if hello.get("protocol") != PROTOCOL:
            text = "this harness_futures.py speaks protocol %d, and harness %s another: take the file from `harness python-path`"
            raise BrokenHarness(text % (PROTOCOL, hello.get("harness", "?")))
        if max_workers is not None:
            nodes = hello["nodes"]
            size = {"workers": max_workers, "slots": 1} if max_workers < nodes else {"slots": -(-max_workers // nodes)}
            options = {**size, **options}
        self._write({"id": 0, "do": "spawn", "options": options, "session": session})
        self._flush()
        answer = self._answer()
        if answer["status"] != "ok":
            raise BrokenHarness(answer["reason"])
        self.workers = answer["workers"]
        self.slots = sum(worker["slots"] for worker in self.workers)
        for work in (self._send_all, self._read_all):
            thread = threading.Thread(target=work, name="harness" + work.__name__, daemon=True)
            self.threads.append(thread)
            thread.start()

    def _write(self, request, data=None):
        try:
            _write(self.requests, request, data)
        except OSError:
            pass  # it has ended; whoever reads learns why

    def _flush(self):
        try:
            self.requests.flush()
        except OSError:
            pass  # likewise

    def _answer(self):
        answer, _ = _read(self.answers)
        if answer is None:
            raise BrokenHarness(self._how_it_ended())
        return answer

    def give_up(self):
        """It did not come to workers."""
        try:
            self.process.stdin.close()
        except OSError:
            pass  # it has ended before
        self._how_it_ended()
        self.process.stdout.close()

    def _how_it_ended(self):
        try:
            code = self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "harness closed its standard output and did not end: it was killed"
        if code < 0:
            return "harness was killed by %s" % signal.Signals(-code).name
        if code == 75:
            return "harness was stopped by a signal, or because the time of the job is nearly over"
        return "harness ended with exit code %d: what it said is on standard error" % code

    def submit(self, fn, args, kwargs):
        with self.changed:
            if self.broken:
                raise BrokenHarness(self.broken)
            if self.is_closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            future = Future()
            self.waiting.append((future, fn, args, kwargs))
            self.changed.notify()
            return future

    def close(self, cancel_futures=False):
        with self.changed:
            self.is_closed = True
            unsent = list(self.waiting) if cancel_futures else []
            if cancel_futures:
                self.waiting.clear()
            self.changed.notify()
        for future, *_ in unsent:
            future.cancel()
            future.set_running_or_notify_cancel()

    def join(self):
        for thread in self.threads:
            if thread is not threading.current_thread():  # a callback of a future may shut its executor down
                thread.join()

    def _room(self):
        """May another task be sent?"""
        ahead = 1
        if self.task_s is not None:
            ahead = max(1, min(MOST_AHEAD, int(AHEAD_S / max(self.task_s, 1e-9)))) * self.slots
        return len(self.sent) < self.slots + ahead

    def _send_all(self):
        ahead = 0  # requests that lie in the buffer: they leave together, and before this thread waits
        while True:
            with self.changed:
                must_flush = ahead and not self._is_ready()
                if not must_flush:
                    self.changed.wait_for(self._is_ready)
                    if self.broken or self._is_over():
                        break
                    future, fn, args, kwargs = self.waiting.popleft()
                    if not future.set_running_or_notify_cancel():
                        continue
                    self.count += 1
                    number = self.count
                    self.sent[number] = future
            if must_flush:
                self._flush()
                ahead = 0
                continue
            try:
                data = _packed((fn, args, kwargs))
                if len(data) > MOST_BYTES:
                    text = "what its function is called with takes %d MiB, and at most %d can be sent: pass the name of a file"
                    raise HarnessError("bad_request", text % (len(data) >> 20, MOST_BYTES >> 20))
            except BaseException as error:
                if self._take(number):
                    future.set_exception(error)
                continue
            finally:
                del future, fn, args, kwargs
            request = {"id": number, "do": "submit", "ask": {"run": True, "seq": number}}
            if self.task:
                request["options"] = self.task
            self._write(request, data)
            del data
            ahead += 1
        self._flush()
        try:
            self.process.stdin.close()
        except OSError:
            pass  # it has ended before

    def _is_ready(self):
        return self.broken or self._is_over() or self.waiting and self._room()

    def _is_over(self):
        return self.is_closed and not self.waiting and not self.sent

    def _take(self, number, took=None):
        with self.changed:
            if took is not None:
                self.task_s = took if self.task_s is None else self.task_s + (took - self.task_s) / 8
            future = self.sent.pop(number, None)
            self.changed.notify()
        return future

    def _read_all(self):
        while True:
            try:
                answer, data = _read(self.answers)
            except ValueError as error:
                self._break("something else than harness writes to its standard output: %s" % error)
                continue
            if answer is None:
                break
            self._heard(answer, data)
            del answer, data
        how = self._how_it_ended()
        self.process.stdout.close()
        with self.changed:
            is_over = self._is_over()
        if not is_over:
            self._break(how)

    def _heard(self, answer, data):
        said = answer.get("answer") or {}
        future = self._take(answer["id"], said.get("s"))
        if answer["status"] == "setup_failed":
            cause = _raised(data, answer.get("host")) if data is not None else None
            self._break("no worker can begin: " + answer["reason"], cause, future)
        elif future is not None:
            _settle(future, answer, said, data)

    def _break(self, why, cause=None, future=None):
        with self.changed:
            self.broken = self.broken or why
            lost = [future, *self.sent.values()]
            waiting = list(self.waiting)
            self.sent.clear()
            self.waiting.clear()
            self.changed.notify()
        lost += [work[0] for work in waiting if work[0].set_running_or_notify_cancel()]
        for each in filter(None, lost):
            error = BrokenHarness(self.broken)
            error.__cause__ = cause
            each.set_exception(error)


_links = weakref.WeakSet()


def _in_child():
    for link in list(_links):
        link.forget()
    _links.clear()


os.register_at_fork(after_in_child=_in_child)


@atexit.register
def _at_exit():
    """As the executors of the standard library: what was submitted is done before the interpreter ends."""
    links = list(_links)
    for link in links:
        link.close()
    for link in links:
        link.join()


def _settle(future, answer, said, data):
    host = answer.get("host")
    if answer["status"] != "ok":
        future.set_exception(HarnessError(answer["status"], answer["reason"], host))
        return
    try:
        value = _raised(data, host) if said.get("raised") else pickle.loads(data)
    except BaseException as error:
        told = HarnessError("unreadable", "what the task came to cannot be unpickled here: %r" % error, host)
        told.__cause__ = error
        future.set_exception(told)
        return
    if said.get("raised"):
        future.set_exception(value)
    else:
        future.set_result(value)


def _raised(data, host):
    error, name, told = pickle.loads(data)
    try:
        error = pickle.loads(error)
    except Exception:
        error = HarnessError("error", name, host)  # its class cannot be made of what was pickled
    error.__cause__ = RemoteTraceback(told, host)
    return error


# The rest is the worker's: a process beside a slot, kept by `harness serve`. A question is a line of JSON, and so is each
# answer: {"setup"...} first; {"run": true, "seq": number} with (function, args, kwargs) pickled behind it -> {"s": seconds, "seq": the
# same} with what came of it pickled behind it, and with "raised" where that is an exception.

# Runs in a fresh interpreter, where the folder of `-c` must not hide this module.
_BEGIN = "import sys; sys.path[:] = filter(None, sys.path); from harness_futures import _Worker; _Worker().serve()"


class _Worker:
    is_here = False

    def serve(self):
        from harness.session import flush, take_streams

        _Worker.is_here = True
        questions, answers = take_streams()
        while True:
            question, data = _read(questions)
            if question is None:
                break
            if "run" in question:
                answer, data = _run(_call, data)
                answer["seq"] = question["seq"]
            else:
                answer, data = _run(_prepare, question)
                if "raised" in answer:
                    answer["error"] = answer["raised"]
            flush()
            _write(answers, answer, data)
            answers.flush()
            del data


def _run(function, *given):
    """What is said of it, and pickled what it came to."""
    from harness.session import described, end_unless_in

    ours = os.getpid()
    began = time.perf_counter()
    try:
        value = function(*given)
        end_unless_in(ours)
        data = _packed(value)
        return {"s": time.perf_counter() - began}, data
    except BaseException as error:  # SystemExit, too: it is the task's
        end_unless_in(ours, error)
        frames = error.__traceback__
        while frames and frames.tb_frame.f_code.co_filename == __file__:  # ours say nothing
            frames = frames.tb_next
        name, message, told = described(error, frames or error.__traceback__)
        name = "%s: %s" % (name, message)
        name = name if len(name) <= NAME_CHARS else name[:NAME_CHARS] + "…"
        try:
            data = pickle.dumps(error, protocol=5)
        except BaseException:  # its own methods may raise anything
            data = b""
        return {"s": time.perf_counter() - began, "raised": name}, _packed((data, name, told))


def _call(data):
    function, args, kwargs = pickle.loads(data)
    return function(*args, **kwargs)


def _prepare(setup):
    sys.argv = setup["argv"]
    os.chdir(setup["folder"])
    sys.path[:] = setup["path"]
    main = setup.get("main")
    if main:
        if "module" in main:
            content = runpy.run_module(main["module"], run_name="__mp_main__", alter_sys=True)
        else:
            content = runpy.run_path(main["path"], run_name="__mp_main__")
        module = types.ModuleType("__mp_main__")
        module.__dict__.update(content)
        sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    initializer, initargs = pickle.loads(base64.b64decode(setup["initialize"]))
    if initializer is not None:
        initializer(*initargs)
