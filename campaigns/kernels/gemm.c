/* C = A * B for square matrices of doubles, in tiles of TILE x TILE.
 *
 *   gemm [SIZE]          prints GFLOPS: and checksum:
 *
 * -DTILE=n chooses the tile. -DBROKEN leaves out the last tiles, as a careless bound would. */
#define _POSIX_C_SOURCE 200809L
#include "timing.h"

#ifndef TILE
#define TILE 32
#endif
#if TILE < 1
#error "TILE must be at least 1"
#endif

static inline int min(int a, int b) { return a < b ? a : b; }

static void gemm(int n, const double *restrict a, const double *restrict b, double *restrict c)
{
#ifdef BROKEN
    const int end = n - TILE;
#else
    const int end = n;
#endif
    for (int ii = 0; ii < end; ii += TILE)
        for (int kk = 0; kk < end; kk += TILE)
            for (int jj = 0; jj < end; jj += TILE)
                for (int i = ii; i < min(ii + TILE, n); i++)
                    for (int k = kk; k < min(kk + TILE, n); k++) {
                        const double aik = a[(size_t)i * n + k];
                        for (int j = jj; j < min(jj + TILE, n); j++)
                            c[(size_t)i * n + j] += aik * b[(size_t)k * n + j];
                    }
}

int main(int argc, char **argv)
{
    const int n = positive(argc, argv, 1, 512);
    const size_t cells = (size_t)n * n;
    double *a = doubles(cells), *b = doubles(cells), *c = doubles(cells);
    for (size_t i = 0; i < cells; i++) {
        a[i] = (double)(i % 13) - 5.5;
        b[i] = (double)(i % 7) * 0.25 - 0.6;
        c[i] = 0.0;
    }

    const double start = seconds();
    gemm(n, a, b, c);
    const double elapsed = seconds() - start;

    printf("GFLOPS: %.3f\n", 2e-9 * n * n * n / elapsed);
    print_checksum(c, cells);
    free(a), free(b), free(c);
    return 0;
}
