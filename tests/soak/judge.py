"""What came of it: was anything lost, doubled or wrong, and who explains it?

The ledger is one file that tasks, script and faults append to, a write a line, on one machine: the order of its lines is
the order in which things happened.
"""

import collections
import json
import re

EXPECTED = {"exec": "ok", "call": "ok", "file": "ok", "gang": "ok", "build": "ok", "kernel": "ok", "measure": "ok",
            "fail": "nonzero_exit", "crash": "signal", "raise": "error", "hang": "timeout"}
MEASURED_RUNS = 3
OUT_OF_REACH = ("stop", "cable", "blink")


def wanted(tasks):
    """Every key there is to be, by the same rule as in campaign.lua."""
    keys = []
    for i in range(1, tasks + 1):
        if i % 500 == 0:
            keys += [f"build-{i}", f"kernel-{i}", f"measure-{i}"]
            continue
        rules = [(1000, 251, "gang"), (100, 33, "hang"), (100, 13, "file"), (200, 99, "crash"), (100, 66, "raise"),
                 (50, 7, "fail"), (2, 1, "call"), (1, 0, "exec")]
        keys.append(f"{next(name for by, rest, name in rules if i % by == rest)}-{i}")
    return keys


class Ledger:
    def __init__(self, path):
        self.begins = collections.defaultdict(list)  # key: (place, (node, keeper), pid)
        self.ends = collections.defaultdict(dict)  # key: place by (node, pid)
        self.reports = collections.defaultdict(list)  # key: (place, status)
        self.faults = {}  # number: kind, node, detail, costs, from, to
        self.stops = []  # where the script asked to be run again: what was under way is begun once more
        self.unsettled, self.missed, self.torn = [], 0, []
        for place, line in enumerate(path.read_text(errors="replace").splitlines()):
            words = line.split()
            try:
                self.take(place, words)
            except (IndexError, ValueError):
                self.torn.append(line)

    def take(self, place, words):
        what = words[0]
        if what == "begin":
            _, key, node, keeper, pid = words
            self.begins[key].append((place, (node, keeper), pid))
        elif what == "end":
            _, key, node, keeper, pid = words
            self.ends[key][node, pid] = place
        elif what == "reported":
            self.reports[words[1]].append((place, words[2]))
        elif what == "fault":
            costs = set(tuple(one.split(":")) for one in words[5].split(",")) if words[5] != "-" else set()
            self.faults[words[1]] = dict(kind=words[2], node=words[3], detail=words[4], costs=costs, start=place, end=1 << 60)
        elif what == "past":
            self.faults[words[1]]["end"] = place
        elif what == "unsettled":
            self.unsettled.append(" ".join(words[1:]))
            self.stops.append(place)
        elif what == "missed":
            self.missed += 1
        elif what not in ("grown", "over"):
            self.torn.append(" ".join(words))

    def gave_up(self, who, begun, again):
        """Whether a fault cost the worker `who` an attempt that it had begun, or all were stopped."""
        if any(begun < stop < again or self.ended_with(who, stop, again) for stop in self.stops):
            return True
        return any(who in f["costs"] and f["start"] < again and f["end"] > begun for f in self.faults.values())

    def ended_with(self, who, stop, again):
        """Whether the worker `who` was of a run that asked to be run again, and ended with it: what it began in between too."""
        places = [place for begins in self.begins.values() for place, by, _ in begins if by == who]
        return min(places) < stop < again and max(places) < again

    def was_given_up(self, who, before):
        """Whether a fault that began before cost the worker `who` its work: what it does later comes late."""
        return any(who in f["costs"] and f["start"] < before for f in self.faults.values())

    def was_out_of_reach(self, who, before):
        """The same of a fault that let it go on where nobody could stop it."""
        return any(who in f["costs"] and f["start"] < before and f["kind"] in OUT_OF_REACH for f in self.faults.values())

    def went_on(self, key, begun, who, again):
        """Whether an attempt of `who` that began there ended after the next one had begun."""
        own = [(who[0], pid) for place, begun_by, pid in self.begins[key] if begun_by == who and begun <= place < again]
        return any(self.ends[key].get(one, 0) > again for one in own)

    def struck(self, key):
        """Was a program or a slot killed that ran this?"""
        begun = {(who[0], pid) for _, who, pid in self.begins[key]}
        return any(f["kind"] == "program" and f["detail"] == key or f["kind"] == "slot" and (f["node"], f["detail"]) in begun
                   for f in self.faults.values())


def judge(ledger, tasks, journal):
    """What is wrong, by kind of wrong, and figures."""
    wrong = collections.defaultdict(list)
    keys = wanted(tasks)
    known = set(keys)
    figures = collections.Counter(tasks=len(keys))
    wrong["lines of the ledger that are none"] = ledger.torn

    recorded = collections.defaultdict(list)
    for line in journal.read_text(errors="replace").splitlines():
        record = json.loads(line)
        if record["type"] not in ("task", "measurement") or record.get("name") == "program":
            continue
        status = record["status"] if record["type"] == "measurement" else record["outcome"]["status"]
        if status in ("lost_worker", "cancelled", "refused", "spawn_failed", "setup_failed", "skipped"):
            figures["records of tasks that were to be run again"] += 1
            continue
        recorded[f"{record['name']}-{record['params']['i']}"].append(status)
        figures["records"] += 1

    for key in keys:
        reports = ledger.reports.get(key, [])
        statuses = {status for _, status in reports}
        if not reports:
            wrong["never reported"].append(key)
            continue
        if len(statuses) > 1:
            wrong["reported in two ways"].append(f"{key} {sorted(statuses)}")
        if len(recorded[key]) != 1:
            wrong["not recorded once"].append(f"{key} {recorded[key]}")
        elif recorded[key][0] not in statuses:
            wrong["recorded otherwise than reported"].append(f"{key} {recorded[key]} {statuses}")
        status = reports[0][1]
        figures[f"status {status}"] += 1
        name = key.split("-")[0]
        if status != EXPECTED[name]:
            if status == "signal" and ledger.struck(key):
                figures["ended by a fault that hit the task itself"] += 1
            else:
                wrong["ended otherwise than it should"].append(f"{key} {status}")
        if name not in ("build", "kernel"):
            attempts(ledger, key, reports[0][0], MEASURED_RUNS if name == "measure" else 1, wrong, figures)
    wrong["keys nobody asked for"] = [key for key in set(recorded) | set(ledger.begins) if key not in known]
    return {what: which for what, which in wrong.items() if which}, figures


def attempts(ledger, key, reported, runs, wrong, figures):
    """Each attempt but one is explained by a fault that cost its worker, and none begins once its end is known."""
    begins = ledger.begins.get(key, [])
    if not begins and key.startswith("hang-"):
        figures["ended by their timeout before they could say that they had begun"] += 1
        return
    if not begins:
        wrong["reported and never run"].append(key)
        return
    by_worker = collections.OrderedDict()
    for place, who, pid in begins:
        by_worker.setdefault(who, []).append((place, pid))
    for who, times in by_worker.items():
        if len(times) > runs:
            wrong["run twice by one worker"].append(f"{key} {who} {times}")
    firsts = [(times[0][0], who) for who, times in by_worker.items()]
    figures["attempts"] += len(firsts)
    figures["attempts that a fault made necessary"] += len(firsts) - 1
    for (begun, who), (again, other) in zip(firsts, firsts[1:]):
        # One that was given up may also begin it after the one that has it now.
        late = ledger.was_given_up(other, again)
        if not ledger.gave_up(who, begun, again) and not late:
            wrong["run twice without a reason"].append(f"{key} by {who}, then by {other}")
        if late or ledger.went_on(key, begun, who, again):
            figures["at once with the next attempt, on a worker that could not be reached"] += 1
            if not ledger.was_out_of_reach(other if late else who, again):
                wrong["run twice at once"].append(f"{key} by {who} and by {other}")
    for place, who, pid in begins:
        if place > reported:
            figures["begun late, by a worker that was given up"] += 1
            if not ledger.gave_up(who, reported, place):
                wrong["run again after it was reported"].append(f"{key} by {who} at line {place + 1}")


def reasons(said):
    """How often harness said that a worker is lost, and why."""
    count = collections.Counter()
    for reason in re.findall(r"worker \d+ on \S+ is lost: ([^\n;,(]*)", said):
        count[re.sub(r"\d+", "N", reason).strip()] += 1
    return count
