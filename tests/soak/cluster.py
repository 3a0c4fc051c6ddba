"""The Slurm of tests/cluster, and the processes of harness on its nodes as the host sees them."""

import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parent / "cluster" / "cluster"
ROLES = {"__worker": "worker", "__keeper": "keeper", "__slot": "slot"}


class Process:
    """One process of harness, or a program it runs."""

    def __init__(self, pid, node, role, words, start, parent, inner):
        self.pid, self.node, self.role, self.words = pid, node, role, words
        self.start, self.parent = start, parent
        self.inner = inner  # its pid on its node

    def lives(self):
        return start_of(self.pid) == self.start

    def kill(self, signal):
        """False if it was gone already."""
        try:
            if self.lives():
                os.kill(self.pid, signal)
                return True
        except ProcessLookupError:
            pass
        return False


def stat_of(pid):
    """What follows the name in /proc/PID/stat: state, parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def start_of(pid):
    try:
        fields = stat_of(pid)
        return None if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return None


class Cluster:
    def __init__(self, folder, nodes, harness):
        self.folder, self.harness = folder, str(harness)
        self.nodes = [f"node{k + 1}" for k in range(nodes)]
        self.environment = dict(
            os.environ,
            CLUSTER_STATE=str(folder / "state"),
            CLUSTER_USER="root",
            CLUSTER_CPUS="4",
            CLUSTER_CONF=str(folder / "slurm.conf"),
            CLUSTER_PRIVATE_TMP="1",
            FLAVOUR=os.environ.get("HARNESS_MPI_FLAVOUR", ""),
        )
        self.spaces = {}

    def up(self):
        # As long as Slurm waits by default: here a pulled cable is the campaign's business, not Slurm's.
        (self.folder / "slurm.conf").write_text("SlurmdTimeout=300\n")
        self.run("up", str(len(self.nodes)))
        login = int((self.folder / "state/login/pid").read_text().split()[0])
        for pid in everybody():
            words = words_of(pid)
            if "__init_node" in words and login in ancestors(pid):
                self.spaces[os.readlink(f"/proc/{pid}/ns/uts")] = words[-1]
        if sorted(self.spaces.values()) != sorted(self.nodes):
            raise SystemExit(f"soak: found only {self.spaces}")

    def down(self):
        self.run("down")

    def run(self, *words, check=True):
        """`cluster WORDS…`; what it said."""
        done = subprocess.run([SCRIPT, *words], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)
        if check and done.returncode:
            raise SystemExit(f"soak: cluster {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def processes(self, programs=False):
        """Those of harness; with what it runs, if asked for."""
        found, task = [], str(self.folder / "ledger")
        for pid in everybody():
            try:
                node = self.spaces.get(os.readlink(f"/proc/{pid}/ns/uts"))
                words = words_of(pid)
                if not node or not words:
                    continue
                if os.path.basename(words[0]) == "harness":
                    role = ROLES.get(words[1] if len(words) > 1 else "", "root")
                elif programs and len(words) == 5 and words[1] == task:
                    role = "program"
                else:
                    continue
                start = start_of(pid)
                if start is None:
                    continue
                inner = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                             if line.startswith("NSpid:")).split()[-1]
                found.append(Process(pid, node, role, words, start, int(stat_of(pid)[1]), inner))
            except (OSError, IndexError, StopIteration):
                continue  # it ended meanwhile
        return found


def everybody():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def words_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def ancestors(pid):
    found = []
    try:
        while pid > 1:
            pid = int(stat_of(pid)[1])
            found.append(pid)
    except (OSError, IndexError):
        pass
    return found
