/* A = L U in place, without pivots. */
#include "kernel.h"

static double A[N][N];

static void init(void) { LOOP(i, 0, N) LOOP(j, 0, N) A[i][j] = i == j ? N : (double)((i * 3 + j * 5) % 17) / 17; }

static void kernel(void)
{
#pragma scop
#if ORDER == 0 /* row by row, inner products */
    LOOP(i, 0, N) {
        LOOP(j, 0, i) {
            UNROLLED LOOP(k, 0, j) A[i][j] -= A[i][k] * A[k][j];
            A[i][j] /= A[j][j];
        }
        TILES(j, i, N, TILE_J) IN_TILE(j, i, N, TILE_J) UNROLLED LOOP(k, 0, i) A[i][j] -= A[i][k] * A[k][j];
    }
#elif ORDER == 1 /* right-looking: what is left over is updated step by step */
    LOOP(k, 0, N) {
        LOOP(i, k + 1, N) A[i][k] /= A[k][k];
        TILES(i, k + 1, N, TILE_I) TILES(j, k + 1, N, TILE_J) IN_TILE(i, k + 1, N, TILE_I) UNROLLED IN_TILE(j, k + 1, N, TILE_J)
            A[i][j] -= A[i][k] * A[k][j];
    }
#else /* row by row, rows added to rows */
    LOOP(i, 0, N) LOOP(k, 0, i) {
        A[i][k] /= A[k][k];
        TILES(j, k + 1, N, TILE_J) UNROLLED IN_TILE(j, k + 1, N, TILE_J) A[i][j] -= A[i][k] * A[k][j];
    }
#endif
#pragma endscop
}

static double checksum(void) { return sum_of(&A[0][0], N * N); }
