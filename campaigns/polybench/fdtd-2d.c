/* Electric and magnetic fields in turns. */
#include "kernel.h"

static double Ex[N][N], Ey[N][N], Hz[N][N];

static void init(void)
{
    LOOP(i, 0, N) LOOP(j, 0, N) {
        Ex[i][j] = (double)i * (j + 1) / N;
        Ey[i][j] = (double)i * (j + 2) / N;
        Hz[i][j] = (double)i * (j + 3) / N;
    }
}

static void kernel(void)
{
#pragma scop
    LOOP(t, 0, 10) {
        LOOP(j, 0, N) Ey[0][j] = t;
#if ORDER == 0 /* one field after the other */
        TILES(i, 1, N, TILE_I) TILES(j, 1, N, TILE_J) IN_TILE(i, 1, N, TILE_I) UNROLLED IN_TILE(j, 1, N, TILE_J)
            Ey[i][j] -= 0.5 * (Hz[i][j] - Hz[i - 1][j]);
        TILES(i, 1, N, TILE_I) TILES(j, 1, N, TILE_J) IN_TILE(i, 1, N, TILE_I) UNROLLED IN_TILE(j, 1, N, TILE_J)
            Ex[i][j] -= 0.5 * (Hz[i][j] - Hz[i][j - 1]);
        TILES(i, 1, N - 1, TILE_I) TILES(j, 1, N - 1, TILE_J) IN_TILE(i, 1, N - 1, TILE_I) UNROLLED IN_TILE(j, 1, N - 1, TILE_J)
            Hz[i][j] -= 0.7 * (Ex[i][j + 1] - Ex[i][j] + Ey[i + 1][j] - Ey[i][j]);
#elif ORDER == 1 /* the electric field in one loop */
        TILES(i, 1, N, TILE_I) TILES(j, 1, N, TILE_J) IN_TILE(i, 1, N, TILE_I) UNROLLED IN_TILE(j, 1, N, TILE_J) {
            Ey[i][j] -= 0.5 * (Hz[i][j] - Hz[i - 1][j]);
            Ex[i][j] -= 0.5 * (Hz[i][j] - Hz[i][j - 1]);
        }
        TILES(i, 1, N - 1, TILE_I) TILES(j, 1, N - 1, TILE_J) IN_TILE(i, 1, N - 1, TILE_I) UNROLLED IN_TILE(j, 1, N - 1, TILE_J)
            Hz[i][j] -= 0.7 * (Ex[i][j + 1] - Ex[i][j] + Ey[i + 1][j] - Ey[i][j]);
#else /* columns first */
        TILES(j, 1, N, TILE_J) TILES(i, 1, N, TILE_I) IN_TILE(j, 1, N, TILE_J) UNROLLED IN_TILE(i, 1, N, TILE_I) {
            Ey[i][j] -= 0.5 * (Hz[i][j] - Hz[i - 1][j]);
            Ex[i][j] -= 0.5 * (Hz[i][j] - Hz[i][j - 1]);
        }
        TILES(j, 1, N - 1, TILE_J) TILES(i, 1, N - 1, TILE_I) IN_TILE(j, 1, N - 1, TILE_J) UNROLLED IN_TILE(i, 1, N - 1, TILE_I)
            Hz[i][j] -= 0.7 * (Ex[i][j + 1] - Ex[i][j] + Ey[i + 1][j] - Ey[i][j]);
#endif
    }
#pragma endscop
}

static double checksum(void) { return sum_of(&Hz[0][0], N * N); }
