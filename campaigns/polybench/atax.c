/* y = transpose(A) A x, ten times. */
#include "kernel.h"

static double A[N][N], x[N], y[N], t[N];

static void init(void)
{
    LOOP(i, 0, N) {
        x[i] = 1.0 + (double)i / N;
        LOOP(j, 0, N) A[i][j] = (double)((i + j) % N) / (5 * N);
    }
}

static void kernel(void)
{
#pragma scop
    LOOP(repetition, 0, 10) {
        LOOP(i, 0, N) y[i] = t[i] = 0.0;
#if ORDER == 0 /* each row twice */
        LOOP(i, 0, N) {
            UNROLLED LOOP(j, 0, N) t[i] += A[i][j] * x[j];
            UNROLLED LOOP(j, 0, N) y[j] += A[i][j] * t[i];
        }
#elif ORDER == 1 /* one product, then the other */
        TILES(i, 0, N, TILE_I) TILES(j, 0, N, TILE_J) IN_TILE(i, 0, N, TILE_I) UNROLLED IN_TILE(j, 0, N, TILE_J) t[i] += A[i][j] * x[j];
        TILES(i, 0, N, TILE_I) TILES(j, 0, N, TILE_J) IN_TILE(i, 0, N, TILE_I) UNROLLED IN_TILE(j, 0, N, TILE_J) y[j] += A[i][j] * t[i];
#else /* the same by columns */
        TILES(i, 0, N, TILE_I) TILES(j, 0, N, TILE_J) IN_TILE(j, 0, N, TILE_J) UNROLLED IN_TILE(i, 0, N, TILE_I) t[i] += A[i][j] * x[j];
        TILES(i, 0, N, TILE_I) TILES(j, 0, N, TILE_J) IN_TILE(j, 0, N, TILE_J) UNROLLED IN_TILE(i, 0, N, TILE_I) y[j] += A[i][j] * t[i];
#endif
        LOOP(i, 0, N) x[i] = 1.0 + y[i] / (N * N);
    }
#pragma endscop
}

static double checksum(void) { return sum_of(y, N); }
