"""Loops in their polyhedral form, kept by TADASHI (https://github.com/vatai/tadashi) for the tasks of a slot.

The state lives in TADASHI's shared library and cannot be sent anywhere; questions about it can. A step is a text,
`tile_2d 0.1 32 8`: a transformation, the static control part and the node of its schedule tree, sizes. Which node has which
number depends on the steps before.
"""

import contextlib
import ctypes
import pathlib
import tempfile
import time

from harness.session import serve
from tadashi import TrEnum
from tadashi.apps import Simple

# What is offered; TADASHI has more.
OFFERED = [
    TrEnum.INTERCHANGE, TrEnum.TILE_1D, TrEnum.TILE_2D, TrEnum.TILE_3D, TrEnum.FULL_SPLIT, TrEnum.FULL_FUSE,
]  # fmt: skip


@contextlib.contextmanager
def file_of(text):
    """A program in a file, which is there no longer than TADASHI needs it."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "kernel.c")
        source.write_text(text)
        yield source


class Kernels:
    def __init__(self):
        self.texts, self.apps, self.taken = {}, {}, {}

    def open(self, name, text, options):
        """Parses a program in C; how many static control parts it has."""
        with file_of(text) as source:
            self.texts[name], self.apps[name], self.taken[name] = text, Simple(source, compiler_options=options), []
        return len(self.apps[name].scops)

    def after(self, name, steps, sizes):
        """The steps that can be tried after these, tiles as squares of each of the sizes; none after what is illegal."""
        app, found = self.apps[name], []
        if self._take(name, steps):
            return found
        for number, scop in enumerate(app.scops):
            for node in scop.schedule_tree:
                for transformation in filter(node.valid_transformation, OFFERED):
                    count = len(node.available_args(transformation))
                    for size in sizes if count else [None]:
                        found.append(" ".join([transformation, f"{number}.{node.index}"] + [str(size)] * count))
        return found

    def source(self, name, steps, even_if_illegal=False):
        """The program with these steps, or the first one that is illegal."""
        app, illegal = self.apps[name], self._take(name, steps, even_if_illegal)
        if illegal and not even_if_illegal:
            return {"illegal": illegal}
        with file_of(self.texts[name]) as source:
            app.source = source
            made = app.generate_code(ephemeral=False, ensure_legality=not even_if_illegal)
            return {"source": made.source.read_text()}

    def crash(self):
        """As a fault in the library would."""
        ctypes.string_at(0)

    def hang(self):
        time.sleep(3600)

    def _take(self, name, steps, even_if_illegal=False):
        """Takes these steps, from where it is if that is on their way; the first that is illegal, where it stops unless told not to."""
        app, taken = self.apps[name], self.taken.pop(name)
        if steps[: len(taken)] != taken:
            app.reset_scops()
            taken = []
        self.taken[name], illegal = [None], None  # what an error leaves behind is on nobody's way
        for step in steps[len(taken) :]:
            transformation, place, *sizes = step.split()
            scop, node = map(int, place.split("."))
            app.scops[scop].schedule_tree[node].transform(TrEnum(transformation), *map(int, sizes))
            if not app.legal:
                illegal = illegal or step
                if not even_if_illegal:
                    return illegal
        if not illegal:
            self.taken[name] = list(steps)
        return illegal


serve(Kernels())
