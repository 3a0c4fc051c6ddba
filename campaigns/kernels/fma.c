/* Multiply and add in registers alone: the most one core can compute. The reference of a roofline.
 *
 *   fma [STEPS]          prints GFLOPS: and checksum:
 *
 * STEPS counts millions of steps, each of CHAINS vectors. The chains are independent, so that the units for arithmetic are
 * never waited for. Build it with -O3 -march=native: without, it shows what a build without shows. */
#define _POSIX_C_SOURCE 200809L
#include "timing.h"

#if defined __AVX512F__
#define WIDTH 8
#elif defined __AVX__
#define WIDTH 4
#else
#define WIDTH 2
#endif
#define CHAINS 10

typedef double vector __attribute__((vector_size(WIDTH * sizeof(double))));

int main(int argc, char **argv)
{
    const long steps = 1000000L * positive(argc, argv, 1, 20);
    vector x[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        for (int j = 0; j < WIDTH; j++) x[i][j] = 1.0 + 0.01 * (i * WIDTH + j);
    vector a = x[0] * 0.0 + 0.999, b = x[0] * 0.0 + 0.001; /* each chain approaches 1 */

    const double start = seconds();
    for (long s = 0; s < steps; s++) {
        for (int i = 0; i < CHAINS; i++) x[i] = x[i] * a + b;
    }
    const double elapsed = seconds() - start;

    printf("GFLOPS: %.3f\n", 2e-9 * CHAINS * WIDTH * (double)steps / elapsed);
    print_checksum((const double *)x, CHAINS * WIDTH);
    return 0;
}
