/* What MPI alone takes for a root that spawns one worker, for benches/at_rest: SECONDS. The worker says a word to the root, which
 * prints it; then both rest for so long. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  MPI_Comm parent, worker;
  char word[8] = "first";
  MPI_Init(&argc, &argv);
  MPI_Comm_get_parent(&parent);
  if (parent == MPI_COMM_NULL) {
    MPI_Comm_spawn(argv[0], argv + 1, 1, MPI_INFO_NULL, 0, MPI_COMM_SELF, &worker, MPI_ERRCODES_IGNORE);
    MPI_Recv(word, sizeof word, MPI_CHAR, 0, 0, worker, MPI_STATUS_IGNORE);
    puts(word);
    fflush(stdout);
  } else {
    MPI_Send(word, sizeof word, MPI_CHAR, 0, 0, parent);
    worker = parent;
  }
  sleep(argc > 1 ? atoi(argv[1]) : 0);
  MPI_Comm_disconnect(&worker);
  return MPI_Finalize();
}
