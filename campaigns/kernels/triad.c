/* The STREAM triad a = b + s * c, again and again: how fast memory (or the cache SIZE fits in) delivers.
 *
 *   triad [SIZE [STEPS]]          prints GB/s: and checksum:
 *
 * SIZE counts thousands of doubles per array. Each step takes the result of the last one, so none can be left out. */
#define _POSIX_C_SOURCE 200809L
#include "timing.h"

static void triad(size_t count, double scale, double *restrict a, const double *restrict b, const double *restrict c)
{
    for (size_t i = 0; i < count; i++) a[i] = b[i] + scale * c[i];
}

int main(int argc, char **argv)
{
    const size_t count = 1000 * (size_t)positive(argc, argv, 1, 2000);
    const int steps = positive(argc, argv, 2, 10);
    double *a = doubles(count), *b = doubles(count), *c = doubles(count);
    for (size_t i = 0; i < count; i++) {
        a[i] = 0.0;
        b[i] = (double)(i % 17) + 1.0;
        c[i] = (double)(i % 5) - 2.0;
    }

    const double start = seconds();
    for (int s = 0; s < steps; s++) {
        triad(count, 0.5, a, b, c);
        double *swap = b;
        b = a, a = swap;
    }
    const double elapsed = seconds() - start;

    printf("GB/s: %.3f\n", 1e-9 * 3 * sizeof(double) * (double)count * steps / elapsed);
    print_checksum(b, count);
    free(a), free(b), free(c);
    return 0;
}
