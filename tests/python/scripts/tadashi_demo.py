"""The loop of TADASHI's demonstrations: transformations here, builds and runs on the workers."""

import socket
import sys

from mpi4py.futures import MPIPoolExecutor as Executor
from tadashi import TrEnum
from tadashi.apps import Simple


def compile_and_run(app):
    app.compile()
    return socket.gethostname(), app.measure()


def main():
    app = Simple(sys.argv[1])
    futures = []
    with Executor(max_workers=3) as executor:
        for size in [8, 16, 32]:
            app.reset_scops()
            app.transform_list([[0, 1, TrEnum.TILE_2D, size, size]])
            futures.append(executor.submit(compile_and_run, app.generate_code(ephemeral=False)))
        while futures:
            for future in [f for f in futures if f.done()]:
                host, seconds = future.result()
                print(host, seconds > 0)
                futures.remove(future)


if __name__ == "__main__":
    main()
