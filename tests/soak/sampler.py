"""Memory and descriptors of every process of harness, every few seconds, as a table; and whether they stay flat."""

import csv
import os
import statistics
import threading
import time
from pathlib import Path

COLUMNS = ["t_s", "node", "role", "pid", "start", "rss_kib", "anonymous_kib", "pss_kib", "descriptors", "threads"]

# So many samples make a quarter.
FEWEST = 12


class Sampler(threading.Thread):
    def __init__(self, cluster, path, every_s):
        super().__init__(daemon=True)
        self.cluster, self.path, self.every_s = cluster, path, every_s
        self.over = threading.Event()

    def run(self):
        began = time.monotonic()
        with open(self.path, "w", newline="", buffering=1) as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            while not self.over.wait(self.every_s):
                for p in self.cluster.processes():
                    try:
                        memory = dict(line.split(":") for line in
                                      Path(f"/proc/{p.pid}/smaps_rollup").read_text().splitlines()[1:])
                        kib = [int(memory[name].split()[0]) for name in ("Rss", "Anonymous", "Pss")]
                        count = [len(os.listdir(f"/proc/{p.pid}/{what}")) for what in ("fd", "task")]
                    except (OSError, KeyError, ValueError):
                        continue  # it ended meanwhile
                    if p.lives():
                        table.writerow([f"{time.monotonic() - began:.1f}", p.node, p.role, p.pid, p.start, *kib, *count])

    def end(self):
        self.over.set()
        self.join()


def lives(path):
    """The samples of each process, by (role, node, pid, start)."""
    found = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            key = (row["role"], row["node"], int(row["pid"]), row["start"])
            figures = {name: float(row[name]) for name in ("t_s", "rss_kib", "anonymous_kib", "pss_kib", "descriptors")}
            found.setdefault(key, []).append(figures)
    return found


def flatness(samples, warm_up_s, name, of=statistics.median):
    """What it was in the first and in the last quarter after the warm-up; none if it did not live long enough for both."""
    after = [s[name] for s in samples if s["t_s"] >= samples[0]["t_s"] + warm_up_s]
    quarter = len(after) // 4
    if quarter < FEWEST:
        return None
    return of(after[:quarter]), of(after[-quarter:])
