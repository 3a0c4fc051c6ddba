/* The mean of three neighbours, again and again.
 *
 *   stencil [SIZE [STEPS]]       prints GFLOPS: and checksum:
 *
 * SIZE counts thousands of elements. */
#include "kernel.h"

int main(int argc, char **argv)
{
    const size_t count = 1000 * argument(argc, argv, 1, 200);
    const size_t steps = argument(argc, argv, 2, 10);
    double *from = elements(count), *to = elements(count);

    const double start = seconds();
    for (size_t s = 0; s < steps; s++) {
        for (size_t i = 1; i + 1 < count; i++) to[i] = (from[i - 1] + from[i] + from[i + 1]) * (1.0 / 3.0);
        double *swap = from;
        from = to, to = swap;
    }
    const double elapsed = seconds() - start;

    report(3.0 * (double)count * (double)steps, elapsed, from, count);
    free(from), free(to);
    return 0;
}
