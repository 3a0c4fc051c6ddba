/* A mean of nine in place. Each depends on what was computed just before it: most other orders, and tiles of columns,
 * compute something else, and are found out. */
#include "kernel.h"

static double A[N][N];

static void init(void) { LOOP(i, 0, N) LOOP(j, 0, N) A[i][j] = ((double)i * (j + 2) + 2 + (i * 7 + j * 3) % 11) / N; }

static void kernel(void)
{
#pragma scop
    LOOP(t, 0, 10) TILES(i, 1, N - 1, TILE_I) TILES(j, 1, N - 1, TILE_J)
#if ORDER == 0
        IN_TILE(i, 1, N - 1, TILE_I) UNROLLED IN_TILE(j, 1, N - 1, TILE_J)
            A[i][j] = (A[i - 1][j - 1] + A[i - 1][j] + A[i - 1][j + 1] + A[i][j - 1] + A[i][j] + A[i][j + 1]
                       + A[i + 1][j - 1] + A[i + 1][j] + A[i + 1][j + 1]) / 9.0;
#elif ORDER == 1 /* what does not wait for its neighbour is added up first */
        IN_TILE(i, 1, N - 1, TILE_I) UNROLLED IN_TILE(j, 1, N - 1, TILE_J) {
            const double above = A[i - 1][j - 1] + A[i - 1][j] + A[i - 1][j + 1];
            const double below = A[i + 1][j - 1] + A[i + 1][j] + A[i + 1][j + 1];
            A[i][j] = (A[i][j - 1] + (above + below + A[i][j] + A[i][j + 1])) * (1.0 / 9.0);
        }
#else
        IN_TILE(j, 1, N - 1, TILE_J) UNROLLED IN_TILE(i, 1, N - 1, TILE_I)
            A[i][j] = (A[i - 1][j - 1] + A[i - 1][j] + A[i - 1][j + 1] + A[i][j - 1] + A[i][j] + A[i][j + 1]
                       + A[i + 1][j - 1] + A[i + 1][j] + A[i + 1][j + 1]) / 9.0;
#endif
#pragma endscop
}

static double checksum(void) { return sum_of(&A[0][0], N * N); }
