"""The judge of the soak must be able to find each thing that can be wrong: python3 -m unittest discover tests/soak"""

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from judge import EXPECTED, Ledger, judge, wanted
from sampler import flatness

TASKS = 1000
TWICE = {"run twice without a reason", "run twice at once"}


def told(key):
    """The lines of a task that nobody disturbed."""
    runs = {"build": 0, "kernel": 0, "measure": 3}.get(key.split("-")[0], 1)
    return [f"{what} {key} node2 10 {20 + run}" for run in range(runs) for what in ("begin", "end")] + [
        f"reported {key} {EXPECTED[key.split('-')[0]]}"]


def recorded(key):
    name, i = key.split("-")
    return {"type": "task", "name": name, "params": {"i": int(i)}, "outcome": {"status": EXPECTED[name]}}


class Judge(unittest.TestCase):
    def setUp(self):
        self.lines = {key: told(key) for key in wanted(TASKS)}
        self.records = {key: [recorded(key)] for key in wanted(TASKS)}
        self.after = []

    def wrong(self):
        with tempfile.TemporaryDirectory() as folder:
            ledger, journal = Path(folder) / "ledger", Path(folder) / "journal"
            ledger.write_text("\n".join([line for lines in self.lines.values() for line in lines] + self.after) + "\n")
            journal.write_text("".join(json.dumps(record) + "\n" for records in self.records.values() for record in records))
            return judge(Ledger(ledger), TASKS, journal)[0]

    def test_an_undisturbed_campaign_is_right(self):
        self.assertEqual(self.wrong(), {})
        self.assertEqual({key.split("-")[0] for key in wanted(TASKS)}, set(EXPECTED))

    def test_a_task_that_was_never_reported(self):
        self.lines["exec-2"].pop()
        self.assertEqual(self.wrong(), {"never reported": ["exec-2"]})

    def test_a_task_that_is_not_recorded(self):
        self.records["exec-2"] = []
        self.assertEqual(list(self.wrong()), ["not recorded once"])

    def test_a_task_that_is_recorded_twice(self):
        self.records["exec-2"] *= 2
        self.assertEqual(list(self.wrong()), ["not recorded once"])

    def test_a_record_that_says_otherwise(self):
        self.records["exec-2"][0]["outcome"]["status"] = "timeout"
        self.assertEqual(list(self.wrong()), ["recorded otherwise than reported"])

    def test_a_task_that_was_reported_and_never_run(self):
        self.lines["exec-2"] = self.lines["exec-2"][-1:]
        self.assertEqual(self.wrong(), {"reported and never run": ["exec-2"]})

    def test_a_busy_machine_may_let_a_timeout_come_first(self):
        self.lines["hang-33"] = self.lines["hang-33"][-1:]
        self.assertEqual(self.wrong(), {})

    def test_an_answer_of_the_journal_that_differs(self):
        self.after = ["reported exec-2 timeout"]
        self.assertEqual(list(self.wrong()), ["reported in two ways"])

    def test_a_task_that_ends_as_it_should_not(self):
        self.lines["exec-2"][-1] = "reported exec-2 signal"
        self.records["exec-2"][0]["outcome"]["status"] = "signal"
        self.assertEqual(list(self.wrong()), ["ended otherwise than it should"])
        self.lines["exec-2"].insert(1, "fault 1 program node2 exec-2 - 0")
        self.assertEqual(self.wrong(), {}, "it was hit")

    def test_a_task_that_the_same_worker_ran_twice(self):
        self.lines["exec-2"].insert(1, "begin exec-2 node2 10 99")
        self.assertEqual(list(self.wrong()), ["run twice by one worker"])

    def test_a_task_that_two_workers_ran(self):
        self.lines["exec-2"].insert(1, "begin exec-2 node3 11 99")
        self.assertEqual(set(self.wrong()), TWICE)
        # A fault of another worker is no reason, nor one that was over before.
        self.lines["exec-2"].insert(1, "fault 1 stop node3 9 node3:12 0")
        self.lines["exec-2"].insert(0, "past 2 0")
        self.lines["exec-2"].insert(0, "fault 2 worker node2 9 node2:10 0")
        self.assertEqual(set(self.wrong()), TWICE)
        self.lines["exec-2"].insert(3, "fault 3 worker node2 9 node2:10 0")
        self.assertEqual(list(self.wrong()), ["run twice at once"], "its worker was killed, and it went on")
        self.lines["exec-2"].remove("end exec-2 node2 10 20")
        self.assertEqual(self.wrong(), {}, "its worker was killed")

    def test_what_comes_later_is_no_reason(self):
        self.lines["exec-2"].insert(1, "begin exec-2 node3 11 99")
        self.after = ["fault 1 worker node3 9 node3:11 0", "past 1 0", "unsettled 1"]
        self.assertEqual(set(self.wrong()), TWICE)

    def test_what_a_run_began_while_it_ended_may_run_again(self):
        began = ["unsettled gang-1 refused", "begin exec-2 node5 13 2"]
        self.lines["exec-2"] = began + told("exec-2")
        self.assertEqual(list(self.wrong()), ["run twice without a reason"], "a worker of the next run")
        self.lines["exec-2"] = ["begin exec-4 node5 13 1"] + self.lines["exec-2"]
        self.assertEqual(self.wrong(), {})

    def test_a_worker_out_of_reach_may_go_on(self):
        self.lines["exec-2"].insert(1, "fault 1 cable - - node2:10 0")
        self.lines["exec-2"].insert(2, "begin exec-2 node3 11 99")
        self.assertEqual(self.wrong(), {})

    def test_a_task_that_runs_again_after_its_report(self):
        self.after = ["begin exec-2 node3 11 99"]
        self.assertEqual(set(self.wrong()), {"run again after it was reported", "run twice without a reason"})

    def test_an_attempt_of_a_stopped_worker_may_begin_late(self):
        self.lines["exec-2"].insert(0, "fault 1 stop node3 9 node3:11 0")
        self.after = ["begin exec-2 node3 11 99"]
        self.assertEqual(self.wrong(), {})

    def test_a_key_that_nobody_asked_for(self):
        self.after = ["begin exec-2002 node3 11 99"]
        self.assertEqual(self.wrong(), {"keys nobody asked for": ["exec-2002"]})

    def test_a_line_that_is_torn(self):
        self.after = ["begin exec-2"]
        self.assertEqual(list(self.wrong()), ["lines of the ledger that are none"])

    def test_what_grows_is_not_flat(self):
        samples = [{"t_s": t, "kib": 1000 + t} for t in range(0, 1000, 10)]
        first, last = flatness(samples, 200, "kib")
        self.assertAlmostEqual(last / first, 1.48, delta=0.05)
        self.assertIsNone(flatness(samples[:25], 200, "kib"), "it did not live long enough")


if __name__ == "__main__":
    unittest.main()
