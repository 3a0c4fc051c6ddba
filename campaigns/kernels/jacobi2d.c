/* Jacobi iteration on a square grid of doubles, five-point stencil, in tiles of TILE x TILE.
 *
 *   jacobi2d [SIZE [STEPS]]          prints GFLOPS: and checksum:
 *
 * The border is fixed, and hot on its upper side. -DTILE=n chooses the tile. */
#define _POSIX_C_SOURCE 200809L
#include "timing.h"

#ifndef TILE
#define TILE 32
#endif
#if TILE < 1
#error "TILE must be at least 1"
#endif

static inline int min(int a, int b) { return a < b ? a : b; }

static void step(int n, const double *restrict old, double *restrict new)
{
    for (int ii = 1; ii < n - 1; ii += TILE)
        for (int jj = 1; jj < n - 1; jj += TILE)
            for (int i = ii; i < min(ii + TILE, n - 1); i++)
                for (int j = jj; j < min(jj + TILE, n - 1); j++) {
                    const size_t at = (size_t)i * n + j;
                    new[at] = 0.2 * (old[at] + old[at - 1] + old[at + 1] + old[at - n] + old[at + n]);
                }
}

int main(int argc, char **argv)
{
    const int n = positive(argc, argv, 1, 1024), steps = positive(argc, argv, 2, 20);
    const size_t cells = (size_t)n * n;
    double *grid = doubles(cells), *next = doubles(cells);
    for (size_t i = 0; i < cells; i++) grid[i] = next[i] = i < (size_t)n ? 100.0 : (double)(i % 11);

    const double start = seconds();
    for (int s = 0; s < steps; s++) {
        step(n, grid, next);
        double *swap = grid;
        grid = next, next = swap;
    }
    const double elapsed = seconds() - start;

    printf("GFLOPS: %.3f\n", 5e-9 * (n - 2.0) * (n - 2.0) * steps / elapsed);
    print_checksum(grid, cells);
    free(grid), free(next);
    return 0;
}
