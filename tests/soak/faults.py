"""Faults drawn from a seed, one after another: who is hit, how and when.

Each has a line in the ledger before it happens, with the workers it may cost (as NODE:PID, of the keeper and of the worker on their node),
and one when it is over: what was to go has gone. What cost the root its life happens in the first part of the run, so
that one root and the worker of the last node, the witness, live long enough for their memory to be judged.
"""

import random
import signal
import threading
import time

SILENCE_S = 10  # after which a worker counts as lost
GONE_S = 60  # within which whoever is to go has gone
HEALED_S = 20  # within which a worker that was cut off has gone, if it was given up
SOON_S = 5  # within which somebody is there to be hit

STORM = ["worker", "keeper", "slot", "program", "stop", "cable", "root", "requeue"]
CALM = ["worker", "keeper", "slot", "program", "stop", "cable"]


class Injector(threading.Thread):
    def __init__(self, cluster, seed, seconds, ledger):
        super().__init__(daemon=True)
        self.cluster, self.ledger = cluster, ledger
        self.dice = random.Random(seed)
        self.began, self.seconds = time.monotonic(), seconds
        self.over = threading.Event()
        self.number = 0
        self.stuck = []  # who did not go
        self.kinds = []

    def say(self, line):
        with open(self.ledger, "a", buffering=1) as file:
            file.write(line + "\n")

    def run(self):
        while not self.over.wait(self.dice.uniform(10, 30) if self.seconds > 600 else self.dice.uniform(4, 10)):
            part = (time.monotonic() - self.began) / self.seconds
            if part > 0.95:
                return
            if not self.kinds:  # each as often as the others, in the order of the dice
                self.kinds = self.dice.sample(STORM, len(STORM)) if part < 0.4 else self.dice.sample(CALM, len(CALM))
            kind = self.kinds.pop()
            if part >= 0.4 and kind not in CALM:
                continue
            storm = part < 0.4
            try:
                getattr(self, kind)(storm)
            except StopIteration:
                self.say(f"missed {kind}")  # nobody was there to be hit

    def end(self):
        """Waits for the fault under way."""
        self.over.set()
        self.join()

    # Who is there.

    def those(self, role, storm):
        """Of one role, in an order that the dice can choose from. The witness keeps its worker once the storm is over."""
        found = [p for p in self.cluster.processes(programs=True) if p.role == role]
        if not storm and role in ("worker", "keeper"):
            found = [p for p in found if p.node != self.cluster.nodes[-1]]
        return sorted(found, key=lambda p: (p.node, p.pid))

    def one(self, role, storm):
        until = time.monotonic() + SOON_S
        while not (found := self.those(role, storm)):
            if time.monotonic() > until:
                raise StopIteration
            time.sleep(0.02)
        return self.dice.choice(found)

    def hit(self, kind, victim, costs):
        self.number += 1
        # A program that loses its keeper before it asks for it is told the worker in its stead.
        names = ",".join(f"{p.node}:{p.inner}" for p in costs if p.role in ("worker", "keeper")) or "-"
        detail = victim.words[2] if victim and victim.role == "program" else victim.inner if victim else "-"
        self.say(f"fault {self.number} {kind} {victim.node if victim else '-'} {detail} {names} {time.time():.1f}")
        return self.number

    def await_end_of(self, number, kind, those, patience=GONE_S, may_stay=False):
        until = time.monotonic() + patience
        while any(p.lives() for p in those) and time.monotonic() < until:
            time.sleep(0.1)
        left = [f"{p.role} {p.pid} on {p.node}" for p in those if p.lives()]
        if left and not may_stay:
            self.stuck.append(f"fault {number}, {kind}: still there after {GONE_S} s: {', '.join(left)}")
        self.say(f"past {number} {time.time():.1f}")

    def with_keeper(self, worker):
        return [worker] + [p for p in self.cluster.processes() if p.role == "keeper" and p.parent == worker.pid]

    # What happens.

    def worker(self, storm):
        victim = self.one("worker", storm)
        costs = self.with_keeper(victim)
        number = self.hit("worker", victim, costs)
        victim.kill(signal.SIGKILL)
        self.await_end_of(number, "worker", costs)

    def keeper(self, storm):
        victim = self.one("keeper", storm)
        worker = [p for p in self.cluster.processes() if p.role == "worker" and p.pid == victim.parent]
        costs = [victim] + worker
        number = self.hit("keeper", victim, costs)
        victim.kill(signal.SIGKILL)
        self.await_end_of(number, "keeper", costs)

    def slot(self, storm):
        self.small("slot", storm)

    def program(self, storm):
        self.small("program", storm)

    def small(self, role, storm):
        victim = self.one(role, storm)
        number = self.hit(role, victim, [])
        victim.kill(signal.SIGKILL)
        self.await_end_of(number, role, [victim])

    def stop(self, storm):
        victim = self.one("worker", storm)
        costs = self.with_keeper(victim)
        number = self.hit("stop", victim, costs)
        victim.kill(signal.SIGSTOP)
        self.over.wait(SILENCE_S + self.dice.uniform(2, 8))
        victim.kill(signal.SIGCONT)
        self.await_end_of(number, "stop", costs)

    def cable(self, storm):
        nodes = self.cluster.nodes
        node = self.dice.choice(nodes if storm else nodes[1:-1])
        # The root is on the first node: its cable cuts all the others off.
        away = [n for n in nodes if n != node] if node == nodes[0] else [node]
        costs = [p for p in self.cluster.processes() if p.node in away and p.role in ("worker", "keeper")]
        short = self.dice.random() < 0.3
        number = self.hit("blink" if short else "cable", None, costs)
        self.cluster.run("unplug", node)
        self.over.wait(3 if short else SILENCE_S + self.dice.uniform(4, 10))
        self.cluster.run("plug", node)
        # Beside a measurement silence says nothing: then nobody was given up. Who was and stays is found at the end.
        self.await_end_of(number, "cable", [] if short else costs, patience=HEALED_S, may_stay=True)

    def root(self, storm):
        victims = self.those("root", storm)
        if not victims:
            raise StopIteration
        everybody = self.cluster.processes()
        number = self.hit("root", victims[-1], everybody)
        victims[-1].kill(signal.SIGKILL)
        self.await_end_of(number, "root", everybody)

    def requeue(self, storm):
        job = self.cluster.run("run", "squeue", "-h", "-t", "RUNNING", "-o", "%i").split()
        if len(job) != 1:
            raise StopIteration
        everybody = self.cluster.processes()
        number = self.hit("requeue", None, everybody)
        self.cluster.run("run", "scontrol", "requeue", job[0], check=False)
        self.await_end_of(number, "requeue", everybody)
