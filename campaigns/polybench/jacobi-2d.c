/* A mean of five, from one field into another and back. */
#include "kernel.h"

static double A[N][N], B[N][N];

static void init(void)
{
    LOOP(i, 0, N) LOOP(j, 0, N) {
        A[i][j] = ((double)i * (j + 2) + 2) / N;
        B[i][j] = ((double)i * (j + 3) + 3) / N;
    }
}

static inline void step(double to[N][N], double from[N][N])
{
#pragma scop
    TILES(i, 1, N - 1, TILE_I) TILES(j, 1, N - 1, TILE_J)
#if ORDER == 0
        IN_TILE(i, 1, N - 1, TILE_I) UNROLLED IN_TILE(j, 1, N - 1, TILE_J)
#else
        IN_TILE(j, 1, N - 1, TILE_J) UNROLLED IN_TILE(i, 1, N - 1, TILE_I)
#endif
            to[i][j] = 0.2 * (from[i][j] + from[i][j - 1] + from[i][j + 1] + from[i + 1][j] + from[i - 1][j]);
#pragma endscop
}

static void kernel(void)
{
    LOOP(t, 0, 20) {
        step(B, A);
        step(A, B);
    }
}

static double checksum(void) { return sum_of(&A[0][0], N * N); }
