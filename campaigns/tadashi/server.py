"""The polyhedral state of a kernel, kept by TADASHI (https://github.com/vatai/tadashi) for the tasks of a slot.

The state lives in TADASHI's shared library and cannot be sent anywhere; questions about it can. A node of the schedule
tree is named by the number of its static control part and its own number there.
"""

import contextlib
import ctypes
import pathlib
import tempfile
import time

from harness.session import serve
from tadashi import TrEnum
from tadashi.apps import Simple

# What the search draws from; TADASHI has more.
TRANSFORMATIONS = [TrEnum.INTERCHANGE, TrEnum.TILE_2D, TrEnum.TILE_3D]


class Kernel:
    def open(self, text, options):
        """Parses a program in C; how many static control parts it has."""
        self.text = text
        with self._file() as source:
            self.app = Simple(source, compiler_options=options)
        return len(self.app.scops)

    @contextlib.contextmanager
    def _file(self):
        """The program in a file, which is there no longer than TADASHI needs it."""
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "kernel.c")
            source.write_text(self.text)
            yield source

    def reset(self):
        """Back to the loops as they were written."""
        self.app.reset_scops()

    def available(self):
        """What can be tried now, legal or not: scop, node, transformation and how many sizes it takes."""
        found = []
        for scop, node, name in self.app.get_all_transformations(tr_allow=TRANSFORMATIONS):
            bounds = self.app.scops[scop].schedule_tree[node].available_args(name)
            found.append({"scop": scop, "node": node, "name": str(name), "sizes": len(bounds)})
        return found

    def transform(self, scop, node, name, *sizes):
        """Applies one; is all still legal? If not, `rollback` takes it back."""
        self.app.scops[scop].schedule_tree[node].transform(TrEnum(name), *sizes)
        return bool(self.app.legal)

    def rollback(self, scop):
        self.app.scops[scop].rollback()

    def generate(self, even_if_illegal=False):
        """The program with the loops as they are now."""
        with self._file() as source:
            self.app.source = source
            made = self.app.generate_code(ephemeral=False, ensure_legality=not even_if_illegal)
            return made.source.read_text()

    def crash(self):
        """As a fault in the library would."""
        ctypes.string_at(0)

    def hang(self):
        time.sleep(3600)


serve(Kernel())
