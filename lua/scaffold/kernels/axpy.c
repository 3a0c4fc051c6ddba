/* y = a * x + y, again and again.
 *
 *   axpy [SIZE [STEPS]]          prints GFLOPS: and checksum:
 *
 * SIZE counts thousands of elements. */
#include "kernel.h"

int main(int argc, char **argv)
{
    const size_t count = 1000 * argument(argc, argv, 1, 200);
    const size_t steps = argument(argc, argv, 2, 10);
    double *x = elements(count), *y = elements(count);

    const double start = seconds();
    for (size_t s = 0; s < steps; s++)
        for (size_t i = 0; i < count; i++) y[i] = 0.5 * x[i] + 0.25 * y[i];
    const double elapsed = seconds() - start;

    report(3.0 * (double)count * (double)steps, elapsed, y, count);
    free(x), free(y);
    return 0;
}
