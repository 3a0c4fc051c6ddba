/* Spins for so many milliseconds from its first instruction to its last: benches/beside_hyperfine. */
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(int argc, char **argv) {
    double end = now() + 1e-3 * atof(argv[argc - 1]);
    while (now() < end) {
    }
    return 0;
}
