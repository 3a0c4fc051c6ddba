"""What every executor of `concurrent.futures` promises, and what ours does besides.

The cases of `Promises` run twice: with the standard library's `ProcessPoolExecutor`, which shows that they are what users rely on,
and with `HarnessExecutor`. Waits have a limit and nothing is slept for, but where a task has to last.
"""

import concurrent.futures
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import weakref
from concurrent.futures import ProcessPoolExecutor

import harness_futures
from harness_futures import BrokenHarness, HarnessError, HarnessExecutor

LIMIT = 120  # seconds, that no wait here should need


def add(x, y, z=0):
    return x + y + z


def keywords(*args, **kwargs):
    return args, kwargs


def square(x):
    return x * x


def inverse(x):
    return 1 / x


def until(path):
    """Lasts until the file is there."""
    end = time.monotonic() + LIMIT
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise TimeoutError(path)
        time.sleep(0.005)
    return path


def touch(path):
    open(path, "x").close()


def raises(text):
    raise ValueError(text)


STATE = "not initialised"


def initialise(value):
    global STATE
    STATE = value


def state():
    return STATE


def fails_to_begin():
    raise LookupError("there is no such library")


def unpicklable():
    return lambda: 0


class Heavy:
    """Not to be kept longer than needed."""

    def method(self):
        return self

    def __call__(self):
        return self


class Point:
    def __init__(self, x):
        self.x = x


def point(x):
    return Point(x)


class Odd(Exception):
    """Is pickled, and cannot be made again."""

    def __init__(self, first, second):
        super().__init__("odd " + first)


def odd():
    raise Odd("one", "two")


def faults():
    import ctypes

    ctypes.string_at(0)


def pid():
    return os.getpid()


def forks(how, n):
    """Comes back twice, as where a child forgot its end."""
    ours, theirs = os.pipe()
    if os.fork() == 0:
        os.close(ours)
        if how == "raise":
            raise LookupError("of the child")
        if how == "exit":
            sys.exit()
        return "the child's"
    os.close(theirs)
    os.read(ours, 1)  # until the child is gone
    return n


def answers_before(n):
    """Writes an answer wherever it can, as a program that writes to all descriptors does."""
    told = pickle.dumps("of nobody")
    for fd in range(3, 20):
        try:
            os.write(fd, b'{"bytes":%d,"s":0.1,"seq":%d}\n%s\n' % (len(told), n, told))
        except OSError:
            pass
    return n


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")

    def __reduce__(self):
        raise SystemExit("nor a pickle")


def unprintable():
    raise Unprintable


def closes(how):
    if how == "close":
        sys.stdout.close()
    sys.stdout = None
    return how


def nested():
    HarnessExecutor()


class Promises:
    """Of `self.make(...)`, an executor with two workers unless said otherwise."""

    @classmethod
    def setUpClass(cls):
        cls.executor = cls.make()

    @classmethod
    def tearDownClass(cls):
        cls.executor.shutdown()

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def held(self, executor, count):
        """So many tasks that last until the second value is called, which waits for their end."""
        go = self.path("go")
        futures = [executor.submit(until, go) for _ in range(count)]

        def release():
            touch(go)
            others = [future for future in futures if not future.cancelled()]
            self.assertEqual(concurrent.futures.wait(others, LIMIT).not_done, set())

        return futures, release

    def await_start(self, future):
        end = time.monotonic() + LIMIT
        while not future.running() and time.monotonic() < end:
            time.sleep(0.001)

    # submit and map

    def test_submit(self):
        self.assertEqual(self.executor.submit(add, 2, 3).result(LIMIT), 5)
        self.assertEqual(self.executor.submit(add, 2, y=3, z=4).result(LIMIT), 9)
        future = self.executor.submit(keywords, 1, self=2, fn=3)
        self.assertEqual(future.result(LIMIT), ((1,), {"self": 2, "fn": 3}))
        with self.assertRaises(TypeError):
            self.executor.submit()
        with self.assertRaises(TypeError):
            self.executor.submit(arg=1)

    def test_map(self):
        self.assertEqual(list(self.executor.map(square, range(10))), [n * n for n in range(10)])
        self.assertEqual(list(self.executor.map(add, range(4), (n for n in range(3)))), [0, 2, 4])
        self.assertEqual(list(self.executor.map(square, [])), [])

    def test_map_in_chunks(self):
        expected = [n * n for n in range(40)]
        for size in 3, 8, 40, 100:
            self.assertEqual(list(self.executor.map(square, (n for n in range(40)), chunksize=size)), expected)
        with self.assertRaises(ValueError):
            self.executor.map(square, range(4), chunksize=-1)

    def test_an_exception_comes_in_its_place(self):
        results = self.executor.map(inverse, [1, 2, 0, 4])
        self.assertEqual([next(results), next(results)], [1, 0.5])
        with self.assertRaises(ZeroDivisionError):
            next(results)

    def test_map_has_a_timeout(self):
        go = self.path("go")
        with self.make() as executor:  # its end waits for the last one
            executor.submit(square, 1).result(LIMIT)
            results = executor.map(until, [self.folder.name, go], timeout=0.5)
            with self.assertRaises(concurrent.futures.TimeoutError):
                list(results)
            touch(go)

    def test_many_tasks(self):
        futures = [self.executor.submit(square, n) for n in range(1000)]
        self.assertEqual([future.result(LIMIT) for future in futures], [n * n for n in range(1000)])

    def test_what_was_submitted_is_not_kept(self):
        heavy = Heavy()
        gone = threading.Event()
        ref = weakref.ref(heavy, lambda _: gone.set())
        future = self.executor.submit(heavy.method)
        del heavy
        future.result(LIMIT)
        self.assertTrue(gone.wait(LIMIT), ref)

    def test_results_of_map_are_not_kept(self):
        for value in self.executor.map(Heavy.__call__, [Heavy() for _ in range(4)]):
            ref = weakref.ref(value)
            del value
            self.assertIsNone(ref())

    def test_a_number_of_workers_that_is_none(self):
        for number in 0, -1:
            with self.assertRaisesRegex(ValueError, "max_workers must be greater than 0"):
                self.make(max_workers=number)

    # wait and as_completed

    def test_wait_for_the_first(self):
        pending, release = self.held(self.executor, 1)
        first = self.executor.submit(square, 3)
        done, rest = concurrent.futures.wait([first, *pending], LIMIT, concurrent.futures.FIRST_COMPLETED)
        self.assertEqual((done, rest), ({first}, set(pending)))
        release()
        done, rest = concurrent.futures.wait([first, *pending], LIMIT)
        self.assertEqual((done, rest), ({first, *pending}, set()))

    def test_wait_for_an_exception(self):
        pending, release = self.held(self.executor, 1)
        bad = self.executor.submit(raises, "bad")
        done, rest = concurrent.futures.wait([bad, *pending], LIMIT, concurrent.futures.FIRST_EXCEPTION)
        self.assertIn(bad, done)
        self.assertEqual(rest, set(pending))
        release()

    def test_wait_has_a_timeout(self):
        pending, release = self.held(self.executor, 1)
        self.assertEqual(concurrent.futures.wait(pending, 0.01), (set(), set(pending)))
        with self.assertRaises(concurrent.futures.TimeoutError):
            pending[0].result(0.01)
        with self.assertRaises(concurrent.futures.TimeoutError):
            list(concurrent.futures.as_completed(pending, 0))
        release()
        self.assertEqual(set(concurrent.futures.as_completed(pending + pending, LIMIT)), set(pending))

    def test_callbacks(self):
        called = []
        future = self.executor.submit(square, 4)
        future.add_done_callback(lambda f: called.append(f.result()))
        future.add_done_callback(lambda f: called.append(self.executor.submit(square, 5)))  # must not lock up
        end = time.monotonic() + LIMIT
        while len(called) < 2 and time.monotonic() < end:
            time.sleep(0.001)
        self.assertEqual((called[0], called[1].result(LIMIT)), (16, 25))

    # exceptions

    def test_an_exception_says_where_it_was_raised(self):
        error = self.executor.submit(raises, "no such luck").exception(LIMIT)
        self.assertEqual((type(error), error.args), (ValueError, ("no such luck",)))
        self.assertIn("raise ValueError(text)", str(error.__cause__))

    def test_what_cannot_be_pickled(self):
        self.assertIn("pickle", str(self.executor.submit(lambda: 0).exception(LIMIT)))
        self.assertIn("pickle", str(self.executor.submit(square, lambda: 0).exception(LIMIT)))
        self.assertIn("pickle", str(self.executor.submit(unpicklable).exception(LIMIT)))
        self.assertEqual(self.executor.submit(square, 3).result(LIMIT), 9)

    def test_exit_is_an_exception(self):
        self.assertIsInstance(self.executor.submit(sys.exit, 3).exception(LIMIT), SystemExit)

    def test_classes_of_the_main_script(self):
        future = self.executor.submit(point, 3)
        self.assertEqual((type(future.result(LIMIT)), future.result().x), (Point, 3))

    # cancel and shutdown

    def test_cancel(self):
        pending, release = self.held(self.executor, 40)
        self.await_start(pending[0])
        self.assertFalse(pending[0].cancel())
        self.assertTrue(pending[-1].cancel() and pending[-1].cancelled())
        with self.assertRaises(concurrent.futures.CancelledError):
            pending[-1].result(LIMIT)
        for future in pending[1:]:
            future.cancel()
        release()
        self.assertTrue(sum(future.cancelled() for future in pending) > 30)

    def test_no_submit_after_shutdown(self):
        executor = self.make()
        executor.shutdown()
        executor.shutdown()
        with self.assertRaisesRegex(RuntimeError, "after shutdown"):
            executor.submit(square, 2)

    def test_shutdown_waits(self):
        with self.make() as executor:
            futures = [executor.submit(square, n) for n in range(50)]
        self.assertTrue(all(future.done() for future in futures))

    def test_shutdown_does_not_wait_for_what_the_script_forked(self):
        with self.make() as executor:
            futures = [executor.submit(square, n) for n in range(1000)]
            ours, theirs = os.pipe()
            child = os.fork()
            if not child:
                os.close(theirs)
                os.read(ours, 1)  # until the test has ended
                os._exit(0)
            self.addCleanup(os.waitpid, child, 0)
            self.addCleanup(os.close, theirs)
            os.close(ours)
            self.assertEqual([future.result(LIMIT) for future in futures], [n * n for n in range(1000)])

    def test_shutdown_without_waiting(self):
        executor = self.make()
        pending, release = self.held(executor, 3)
        executor.shutdown(wait=False)
        self.assertFalse(any(future.done() for future in pending))
        release()

    def test_an_executor_that_is_forgotten_does_its_work(self):
        executor = self.make()
        futures = [executor.submit(square, n) for n in range(20)]
        del executor
        self.assertEqual([future.result(LIMIT) for future in futures], [n * n for n in range(20)])

    def test_shutdown_cancels(self):
        executor = self.make()
        pending, _ = self.held(executor, 40)
        self.await_start(pending[0])
        executor.shutdown(wait=False, cancel_futures=True)
        touch(self.path("go"))
        # The standard library tells nobody of those it cancels so: they are looked at.
        end = time.monotonic() + LIMIT
        while not all(future.done() for future in pending) and time.monotonic() < end:
            time.sleep(0.005)
        cancelled = [future for future in pending if future.cancelled()]
        self.assertTrue(all(future.done() for future in pending))
        self.assertGreater(len(cancelled), 30)
        self.assertLess(len(cancelled), 40)

    # initialisers

    def test_an_initialiser(self):
        with self.make(initializer=initialise, initargs=("ready",)) as executor:
            self.assertEqual({f.result(LIMIT) for f in [executor.submit(state) for _ in range(20)]}, {"ready"})
        self.assertEqual(state(), "not initialised")
        with self.assertRaises(TypeError):
            self.make(initializer="no function")

    def test_an_initialiser_that_fails_breaks_the_executor(self):
        with self.make(initializer=fails_to_begin) as executor:
            with self.assertRaises(concurrent.futures.BrokenExecutor):
                executor.submit(square, 1).result(LIMIT)
            end = time.monotonic() + LIMIT
            with self.assertRaises(concurrent.futures.BrokenExecutor):
                while time.monotonic() < end:
                    executor.submit(square, 1).result(LIMIT)


class OfTheStandardLibrary(Promises, unittest.TestCase):
    @staticmethod
    def make(max_workers=2, **options):
        return ProcessPoolExecutor(max_workers, mp_context=multiprocessing.get_context("spawn"), **options)


class OfHarness(Promises, unittest.TestCase):
    @staticmethod
    def make(max_workers=2, **options):
        return HarnessExecutor(max_workers, **options)

    def test_more_than_one_at_a_time(self):
        paths = [self.path(str(n)) for n in range(3)]
        with self.make(max_workers=3) as executor:
            # Each waits for the file that the next one makes.
            futures = [executor.submit(meets, paths[n], paths[(n + 1) % 3]) for n in range(3)]
            self.assertEqual([future.result(LIMIT) for future in futures], [True] * 3)

    def test_workers_are_told(self):
        workers = self.executor.workers()
        self.assertEqual((len(workers), workers[0]["slots"], workers[0]["start"]), (1, 2, "local"))
        self.assertEqual(workers[0]["host"], os.uname().nodename)

    def test_a_crash_is_that_of_its_task(self):
        with self.make(1, initializer=initialise, initargs=("ready",)) as executor:
            before = executor.submit(pid).result(LIMIT)
            crash, exits, after = executor.submit(faults), executor.submit(os._exit, 3), executor.submit(pid)
            error = crash.exception(LIMIT)
            self.assertEqual((type(error), error.status, error.host), (HarnessError, "signal", os.uname().nodename))
            self.assertIn("SIGSEGV", str(error))
            self.assertEqual(exits.exception(LIMIT).status, "nonzero_exit")
            self.assertNotEqual(after.result(LIMIT), before)
            self.assertEqual(executor.submit(state).result(LIMIT), "ready")  # initialised again

    def test_why_an_initialiser_failed(self):
        with self.make(initializer=fails_to_begin) as executor:
            error = executor.submit(square, 1).exception(LIMIT)
        self.assertIsInstance(error, BrokenHarness)
        self.assertIn("LookupError: there is no such library", str(error))
        self.assertIsInstance(error.__cause__, LookupError)
        self.assertIn("in fails_to_begin", str(error.__cause__.__cause__))

    def test_an_exception_that_cannot_be_made_again(self):
        error = self.executor.submit(odd).exception(LIMIT)
        self.assertEqual((type(error), error.status), (HarnessError, "error"))
        self.assertIn("Odd: odd one", str(error))
        self.assertIn('raise Odd("one", "two")', str(error.__cause__))
        self.assertIn("on " + os.uname().nodename, str(error.__cause__))

    def test_an_exception_says_much(self):
        error = self.executor.submit(raises, "x" * (70 << 20)).exception(LIMIT)
        self.assertEqual((type(error), len(str(error))), (ValueError, 70 << 20))

    def test_a_child_that_comes_back_answers_nothing(self):
        with self.make(1) as executor:
            for how in "return", "raise", "exit":
                futures = [executor.submit(forks, how, n) if n == 1 else executor.submit(square, n) for n in range(40)]
                self.assertEqual([future.result(LIMIT) for future in futures], [n * n for n in range(40)])

    def test_an_answer_to_another_question_is_nobodys(self):
        with self.make(1) as executor:
            futures = [executor.submit(answers_before, 0) if n == 5 else executor.submit(square, n) for n in range(40)]
            error = futures.pop(5).exception(LIMIT)
            self.assertEqual((type(error), error.status), (HarnessError, "error"))
            self.assertIn("its answer is to another question: it has `seq` 0, not 6; it was ended", error.reason)
            self.assertEqual([future.result(LIMIT) for future in futures], [n * n for n in range(40) if n != 5])

    def test_an_exception_that_is_no_text(self):
        with self.make(1) as executor:
            before = executor.submit(pid).result(LIMIT)
            error = executor.submit(raises, "cannot read \udcff").exception(LIMIT)
            self.assertEqual((type(error), error.args), (ValueError, ("cannot read \udcff",)))
            error = executor.submit(unprintable).exception(LIMIT)
            self.assertEqual((type(error), error.status), (HarnessError, "error"))
            self.assertEqual(error.reason, "Unprintable: (its __str__ raised ValueError)")
            self.assertEqual(executor.submit(pid).result(LIMIT), before)

    def test_a_task_may_close_the_standard_output(self):
        with self.make(1) as executor:
            before = executor.submit(pid).result(LIMIT)
            for how in "close", "none":
                self.assertEqual(executor.submit(closes, how).result(LIMIT), how)
            self.assertEqual(executor.submit(pid).result(LIMIT), before)

    def test_workers_have_no_workers(self):
        self.assertIn("a worker cannot have workers", str(self.executor.submit(nested).exception(LIMIT)))

    def test_options_of_tasks(self):
        with self.make(1, task={"timeout": 0.2}) as executor:
            error = executor.submit(until, self.path("never")).exception(LIMIT)
            self.assertEqual((type(error), error.status), (HarnessError, "timeout"))
            self.assertEqual(error.reason, "ran into its timeout of 0.2 s")
        with self.make(1, task={"tiemout": 1}) as executor:
            error = executor.submit(square, 3).exception(LIMIT)
            self.assertIn("unknown option 'tiemout' (did you mean 'timeout'?)", str(error))

    def test_options_of_spawn(self):
        with HarnessExecutor(spawn={"slots": 1, "env": {"COLOUR": "blue"}}) as executor:
            self.assertEqual(executor.submit(os.getenv, "COLOUR").result(LIMIT), "blue")
        with self.assertRaisesRegex(BrokenHarness, "spawn: unknown option 'slotz'"):
            HarnessExecutor(spawn={"slotz": 1})

    def test_a_harness_that_is_none(self):
        for program, why in [
            ("/nowhere/harness", "cannot start /nowhere/harness: .*is it on PATH"),
            (["sh", "-c", "exit 3"], "exit code 3"),
            (["sh", "-c", "kill -9 $$"], "killed by SIGKILL"),
            (["sh", "-c", 'echo \'{"harness":"9.9","protocol":99}\'; cat'], "speaks protocol 1, and harness 9.9"),
        ]:
            with self.assertRaisesRegex(BrokenHarness, why):
                HarnessExecutor(harness=program)

    def test_ten_thousand_tiny_tasks(self):
        self.assertEqual(sum(self.executor.map(square, range(10_000))), sum(n * n for n in range(10_000)))

    def test_arguments_and_results_of_64_mib(self):
        data = os.urandom(1 << 20) * 64
        self.assertTrue(self.executor.submit(same, data).result(5 * LIMIT) == data)


def meets(mine, other):
    touch(mine)
    until(other)
    return True


def same(value):
    return value


class WholeScripts(unittest.TestCase):
    """Scripts of their own, run to their end: (exit code, standard output, standard error)."""

    def script(self, text, name="script.py", words=()):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, name)
            with open(path, "w") as file:
                file.write(text)
            done = subprocess.run([sys.executable, *(words or [path])], capture_output=True, text=True, timeout=LIMIT, cwd=folder)
            return done.returncode, done.stdout, done.stderr

    def test_a_script_may_end_without_shutdown(self):
        code, out, err = self.script(
            "import time\nfrom harness_futures import HarnessExecutor\n"
            "def late(): time.sleep(0.2); return 'late'\n"
            "def tell(f): print(f.result())\n"
            "if __name__ == '__main__':\n"
            "    executor = HarnessExecutor(1)\n"
            "    executor.submit(late).add_done_callback(tell)\n"
        )
        self.assertEqual((code, out, err), (0, "late\n", ""))

    def test_what_tasks_print_goes_to_standard_error(self):
        code, out, err = self.script(
            "import os\nfrom harness_futures import HarnessExecutor\n"
            "def speak(): print('printed'); os.system('echo by a program'); return 1\n"
            "if __name__ == '__main__':\n"
            "    with HarnessExecutor(1) as executor: print(executor.submit(speak).result())\n"
        )
        self.assertEqual((code, out, sorted(err.splitlines())), (0, "1\n", ["by a program", "printed"]))

    def test_a_main_script_without_a_guard_is_told_of_it(self):
        code, out, err = self.script(
            "from harness_futures import HarnessExecutor\n"
            "def f(): return 1\n"
            "with HarnessExecutor(1) as executor: print(executor.submit(f).result())\n"
        )
        self.assertEqual(code, 1)
        self.assertIn('put what it does below `if __name__ == "__main__":`', err)
        self.assertIn("BrokenHarness: no worker can begin: RuntimeError: ", err)

    def test_a_module_as_the_main_script(self):
        code, out, err = self.script(
            "from harness_futures import HarnessExecutor\n"
            "def f(): return __name__\n"
            "if __name__ == '__main__':\n"
            "    with HarnessExecutor(1) as executor: print(executor.submit(f).result())\n",
            "study.py",
            ["-m", "study"],
        )
        self.assertEqual((code, out), (0, "__mp_main__\n"), err)

    def test_no_main_script_at_all(self):
        code, out, err = self.script(
            "", words=["-c", "from harness_futures import *; e = HarnessExecutor(1); print(e.submit(pow, 2, 5).result())"]
        )
        self.assertEqual((code, out), (0, "32\n"), err)


if __name__ == "__main__":
    unittest.main()
