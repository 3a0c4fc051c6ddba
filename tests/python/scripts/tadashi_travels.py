"""The loop of TADASHI's other examples: the application itself travels, and is transformed, built and run on the workers."""

import socket
import sys

from mpi4py.futures import MPIPoolExecutor, as_completed
from tadashi import TrEnum
from tadashi.apps import Simple


def evaluate(app, size):
    app.reset_scops()
    app.transform_list([[0, 1, TrEnum.TILE_2D, size, size]])
    tiled = app.generate_code(alt_infix="tiled%d" % size, ephemeral=False)
    tiled.compile()
    return size, socket.gethostname(), tiled.measure()


def main():
    app = Simple(sys.argv[1])
    with MPIPoolExecutor(max_workers=2) as executor:
        futures = [executor.submit(evaluate, app, size) for size in [8, 16, 32]]
    for size, host, seconds in sorted(future.result() for future in as_completed(futures)):
        print(size, host, seconds > 0)


if __name__ == "__main__":
    main()
